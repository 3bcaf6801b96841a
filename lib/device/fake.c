/* SPDX-License-Identifier: MIT */
/* The test device: host memory that plays a device of a set capacity, counts, and fails when
 * told to. */
#include "device/device.h"

#include <string.h>

#include "base/alloc.h"

struct fake {
    uint64_t capacity;
    pthread_mutex_t guard;
    struct mmgr__fake_numbers numbers;
    uint64_t fail_in[MMGR__FAKE_OPS]; /* calls until the failing one; 0 = none */
};

/* Count one call down; 1 when this is the one to fail. Called under the guard. */
static int fails(struct fake *fake, enum mmgr__fake_op op)
{
    return fake->fail_in[op] > 0 && --fake->fail_in[op] == 0;
}

static enum mmgr_result fake_memory_info(void *self, uint64_t *free_bytes, uint64_t *total_bytes)
{
    struct fake *fake = self;
    pthread_mutex_lock(&fake->guard);
    *free_bytes = fake->capacity - fake->numbers.used;
    *total_bytes = fake->capacity;
    pthread_mutex_unlock(&fake->guard);
    return MMGR_OK;
}

/* The block that was allocated lies in front of what the caller sees. */
static enum mmgr_result fake_allocate(void *self, uint64_t bytes, uint64_t alignment, void **memory)
{
    struct fake *fake = self;
    pthread_mutex_lock(&fake->guard);
    int full = fails(fake, MMGR__FAKE_ALLOCATE) || bytes > fake->capacity - fake->numbers.used;
    if (!full) {
        fake->numbers.used += bytes;
        fake->numbers.allocations++;
        if (fake->numbers.used > fake->numbers.high)
            fake->numbers.high = fake->numbers.used;
    }
    pthread_mutex_unlock(&fake->guard);
    if (full)
        return MMGR_ERR_DEVICE_MEMORY;
    char *block = mmgr__alloc((size_t)(bytes + alignment + sizeof block));
    if (block == NULL) {
        pthread_mutex_lock(&fake->guard);
        fake->numbers.used -= bytes;
        fake->numbers.allocations--;
        pthread_mutex_unlock(&fake->guard);
        return MMGR_ERR_NO_MEMORY;
    }
    uintptr_t start = (uintptr_t)block + sizeof block;
    start = (start + (uintptr_t)alignment - 1) & ~((uintptr_t)alignment - 1);
    char *seen = block + (start - (uintptr_t)block);
    memcpy(seen - sizeof block, &block, sizeof block);
    memset(seen, 0xaa, (size_t)bytes); /* so that a forgotten upload shows */
    *memory = seen;
    return MMGR_OK;
}

static void fake_release(void *self, void *memory, uint64_t bytes)
{
    struct fake *fake = self;
    char *block;
    memcpy(&block, (char *)memory - sizeof block, sizeof block);
    mmgr__free(block);
    pthread_mutex_lock(&fake->guard);
    fake->numbers.used -= bytes;
    fake->numbers.releases++;
    pthread_mutex_unlock(&fake->guard);
}

static enum mmgr_result fake_upload(void *self, void *memory, const void *host, uint64_t bytes)
{
    struct fake *fake = self;
    pthread_mutex_lock(&fake->guard);
    int failing = fails(fake, MMGR__FAKE_UPLOAD);
    fake->numbers.uploads++;
    fake->numbers.upload_bytes += bytes;
    pthread_mutex_unlock(&fake->guard);
    if (failing)
        return MMGR_ERR_IO;
    memcpy(memory, host, (size_t)bytes);
    return MMGR_OK;
}

static enum mmgr_result fake_download(void *self, void *host, const void *memory, uint64_t bytes)
{
    struct fake *fake = self;
    pthread_mutex_lock(&fake->guard);
    fake->numbers.downloads++;
    pthread_mutex_unlock(&fake->guard);
    memcpy(host, memory, (size_t)bytes);
    return MMGR_OK;
}

static enum mmgr_result fake_synchronize(void *self)
{
    struct fake *fake = self;
    pthread_mutex_lock(&fake->guard);
    int failing = fails(fake, MMGR__FAKE_SYNCHRONIZE);
    fake->numbers.synchronizes++;
    pthread_mutex_unlock(&fake->guard);
    return failing ? MMGR_ERR_IO : MMGR_OK;
}

/* It is host memory, but saying so would spare the copies that it is there to test. */
static int fake_is_host(void *self)
{
    return 0;
}

static void fake_free(void *self)
{
    struct fake *fake = self;
    pthread_mutex_destroy(&fake->guard);
    mmgr__free(fake);
}

enum mmgr_result mmgr__fake_table(uint64_t capacity, mmgr_device_ops *ops, void **self,
                                  void (**self_free)(void *))
{
    struct fake *fake = mmgr__alloc0(1, sizeof *fake);
    if (fake == NULL)
        return mmgr__oom();
    fake->capacity = capacity;
    pthread_mutex_init(&fake->guard, NULL);
    ops->memory_info = fake_memory_info;
    ops->allocate = fake_allocate;
    ops->release = fake_release;
    ops->upload = fake_upload;
    ops->download = fake_download;
    ops->synchronize = fake_synchronize;
    ops->is_host = fake_is_host;
    *self = fake;
    *self_free = fake_free;
    return MMGR_OK;
}

static struct fake *as_fake(const mmgr_device *device)
{
    return device->ops.allocate == fake_allocate ? device->self : NULL;
}

int mmgr__fake_numbers(const mmgr_device *device, struct mmgr__fake_numbers *numbers)
{
    struct fake *fake = as_fake(device);
    if (fake == NULL)
        return 0;
    pthread_mutex_lock(&fake->guard);
    *numbers = fake->numbers;
    pthread_mutex_unlock(&fake->guard);
    return 1;
}

void mmgr__fake_fail_at(const mmgr_device *device, enum mmgr__fake_op op, uint64_t number)
{
    struct fake *fake = as_fake(device);
    if (fake == NULL)
        return;
    pthread_mutex_lock(&fake->guard);
    fake->fail_in[op] = number;
    pthread_mutex_unlock(&fake->guard);
}
