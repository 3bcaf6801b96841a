/* SPDX-License-Identifier: MIT */
/* The one door to memory: the host's allocator or the C library's, behind counters and a fault
 * switch. */
#include "base/alloc.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <modelmgr/alloc.h>

#include "base/error.h"
#include "base/options.h"

static void *libc_alloc(size_t bytes, void *user)
{
    return malloc(bytes);
}

static void *libc_resize(void *memory, size_t bytes, void *user)
{
    return realloc(memory, bytes);
}

static void libc_release(void *memory, void *user)
{
    free(memory);
}

#define LIBC_ALLOCATOR                                                         \
    {                                                                          \
        sizeof(mmgr_allocator), 0, libc_alloc, libc_resize, libc_release, NULL \
    }

static mmgr_allocator current = LIBC_ALLOCATOR;
static atomic_uint_fast64_t total, live;
static atomic_uint_fast64_t
    fail_number; /* absolute number of the allocation that fails; 0 = none */
static atomic_int fail_forever;

/* Count one allocation; 0 when it is to fail. */
static int admit(void)
{
    uint64_t number = atomic_fetch_add_explicit(&total, 1, memory_order_relaxed) + 1;
    uint64_t target = atomic_load_explicit(&fail_number, memory_order_relaxed);
    if (target == 0)
        return 1;
    return number != target && !(number > target && atomic_load(&fail_forever));
}

void *mmgr__alloc(size_t bytes)
{
    if (!admit())
        return NULL;
    void *memory = current.alloc(bytes != 0 ? bytes : 1, current.user);
    if (memory != NULL)
        atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
    return memory;
}

void *mmgr__alloc0(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    void *memory = mmgr__alloc(bytes);
    if (memory != NULL)
        memset(memory, 0, bytes);
    return memory;
}

void *mmgr__realloc(void *memory, size_t bytes)
{
    if (memory == NULL)
        return mmgr__alloc(bytes);
    if (!admit())
        return NULL;
    return current.resize(memory, bytes != 0 ? bytes : 1, current.user);
}

void mmgr__free(void *memory)
{
    if (memory == NULL)
        return;
    atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
    current.release(memory, current.user);
}

char *mmgr__strdup(const char *text)
{
    return text != NULL ? mmgr__strndup(text, strlen(text)) : NULL;
}

char *mmgr__strndup(const char *text, size_t length)
{
    length = strnlen(text, length);
    char *copy = mmgr__alloc(length + 1);
    if (copy == NULL)
        return NULL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

char *mmgr__vprintf(const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (length < 0)
        return NULL;
    char *text = mmgr__alloc((size_t)length + 1);
    if (text != NULL)
        vsnprintf(text, (size_t)length + 1, format, args);
    return text;
}

char *mmgr__printf(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = mmgr__vprintf(format, args);
    va_end(args);
    return text;
}

int mmgr__grow(void **array, size_t *capacity, size_t need, size_t size)
{
    if (need <= *capacity)
        return 1;
    size_t wanted = *capacity < 8 ? 8 : *capacity;
    while (wanted < need) {
        if (wanted > SIZE_MAX / 2)
            return 0;
        wanted *= 2;
    }
    size_t bytes;
    if (__builtin_mul_overflow(wanted, size, &bytes))
        return 0;
    void *grown = mmgr__realloc(*array, bytes);
    if (grown == NULL)
        return 0;
    *array = grown;
    *capacity = wanted;
    return 1;
}

uint64_t mmgr__alloc_count(void)
{
    return atomic_load(&total);
}

uint64_t mmgr__alloc_live(void)
{
    return atomic_load(&live);
}

void mmgr__alloc_fail_at(uint64_t number, int forever)
{
    atomic_store(&fail_forever, forever);
    atomic_store(&fail_number, number != 0 ? atomic_load(&total) + number : 0);
}

enum mmgr_result mmgr_set_allocator(const mmgr_allocator *allocator)
{
    mmgr_allocator next = LIBC_ALLOCATOR;
    if (allocator != NULL) {
        enum mmgr_result result = MMGR__IMPORT(next, allocator, user);
        if (result != MMGR_OK)
            return result;
        if (next.alloc == NULL || next.resize == NULL || next.release == NULL)
            return mmgr__bad_argument("allocator");
        if (next.reserved != 0)
            return mmgr__bad_argument("allocator.reserved");
    }
    uint64_t used = atomic_load(&live);
    if (used != 0)
        return mmgr__fail(MMGR_ERR_STATE,
                          "cannot change the allocator: %llu allocations are still in use",
                          (unsigned long long)used);
    current = next;
    return MMGR_OK;
}
