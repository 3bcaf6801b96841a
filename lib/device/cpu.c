/* SPDX-License-Identifier: MIT */
/* The CPU device: host memory for weights, straight from the kernel in large pages where it has
 * them. */
#include "device/device.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/text.h"

#define HUGE_PAGE  ((uint64_t)2 << 20)
#define SMALL_FILE 65536u

/* A number at the start of a kernel file's text, or after `label`; UINT64_MAX for "max" and when
 * absent. */
static uint64_t kernel_number(const char *path, const char *label)
{
    char *text;
    size_t length;
    uint64_t value = UINT64_MAX;
    if (mmgr__io_read_file(AT_FDCWD, path, SMALL_FILE, &text, &length) != 0)
        return UINT64_MAX;
    const char *at = label != NULL ? strstr(text, label) : text;
    if (at != NULL) {
        at += label != NULL ? strlen(label) : 0;
        at += strspn(at, " \t");
        if (*at >= '0' && *at <= '9')
            value = strtoull(at, NULL, 10);
    }
    mmgr__free(text);
    return value;
}

/* Limit of this process's control group (version 2) and of each group above it. */
static uint64_t group_limit(void)
{
    char *text, path[1024];
    size_t length;
    uint64_t limit = UINT64_MAX;
    if (mmgr__io_read_file(AT_FDCWD, "/proc/self/cgroup", SMALL_FILE, &text, &length) != 0)
        return UINT64_MAX;
    char *group = mmgr__starts_with(text, "0::") ? text + 3 : strstr(text, "\n0::");
    if (group != NULL) {
        group += *group == '\n' ? 4 : 0;
        group[strcspn(group, "\n")] = '\0';
        for (;;) {
            snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.max", group);
            uint64_t own = kernel_number(path, NULL);
            limit = own < limit ? own : limit;
            char *slash = strrchr(group, '/');
            if (slash == NULL)
                break;
            *slash = '\0';
        }
    }
    mmgr__free(text);
    return limit;
}

void mmgr__host_memory(uint64_t *available, uint64_t *total)
{
    uint64_t installed = kernel_number("/proc/meminfo", "MemTotal:");
    uint64_t unused = kernel_number("/proc/meminfo", "MemAvailable:");
    installed = installed < UINT64_MAX / 1024
                    ? installed * 1024
                    : (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    unused = unused < UINT64_MAX / 1024 ? unused * 1024 : installed;
    uint64_t limit = group_limit();
    *total = installed < limit ? installed : limit;
    *available = unused < *total ? unused : *total;
}

static enum mmgr_result cpu_memory_info(void *self, uint64_t *free_bytes, uint64_t *total_bytes)
{
    mmgr__host_memory(free_bytes, total_bytes);
    return MMGR_OK;
}

static uint64_t whole_pages(uint64_t bytes)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    return (bytes + page - 1) / page * page;
}

static enum mmgr_result cpu_allocate(void *self, uint64_t bytes, uint64_t alignment, void **memory)
{
    if (bytes > INT64_MAX / 2 || alignment > (uint64_t)sysconf(_SC_PAGESIZE))
        return MMGR_ERR_NO_MEMORY;
    void *made = mmap(NULL, (size_t)whole_pages(bytes), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (made == MAP_FAILED)
        return MMGR_ERR_NO_MEMORY;
    /* Faulting 4 KiB pages one by one costs more than the read that fills them. */
    if (bytes >= HUGE_PAGE)
        madvise(made, (size_t)whole_pages(bytes), MADV_HUGEPAGE);
    *memory = made;
    return MMGR_OK;
}

static void cpu_release(void *self, void *memory, uint64_t bytes)
{
    munmap(memory, (size_t)whole_pages(bytes));
}

static enum mmgr_result cpu_upload(void *self, void *memory, const void *host, uint64_t bytes)
{
    memcpy(memory, host, (size_t)bytes);
    return MMGR_OK;
}

static enum mmgr_result cpu_download(void *self, void *host, const void *memory, uint64_t bytes)
{
    memcpy(host, memory, (size_t)bytes);
    return MMGR_OK;
}

static enum mmgr_result cpu_synchronize(void *self)
{
    return MMGR_OK;
}

static int cpu_is_host(void *self)
{
    return 1;
}

enum mmgr_result mmgr__cpu_table(mmgr_device_ops *ops)
{
    ops->memory_info = cpu_memory_info;
    ops->allocate = cpu_allocate;
    ops->release = cpu_release;
    ops->upload = cpu_upload;
    ops->download = cpu_download;
    ops->synchronize = cpu_synchronize;
    ops->is_host = cpu_is_host;
    return MMGR_OK;
}
