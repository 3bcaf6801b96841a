/* SPDX-License-Identifier: MIT */
/* Device handles: the table with its owner, and what its failures are called. */
#include "device/device.h"

#include <string.h>

#include "base/alloc.h"
#include "base/options.h"
#include "base/text.h"

static enum mmgr_result check_table(const mmgr_device_ops *ops)
{
    if (ops->api_version != 1)
        return mmgr__bad_argument("ops.api_version");
    if (ops->name == NULL || ops->name[0] == '\0')
        return mmgr__bad_argument("ops.name");
    if (ops->memory_info == NULL)
        return mmgr__bad_argument("ops.memory_info");
    if (ops->allocate == NULL)
        return mmgr__bad_argument("ops.allocate");
    if (ops->release == NULL)
        return mmgr__bad_argument("ops.release");
    if (ops->upload == NULL)
        return mmgr__bad_argument("ops.upload");
    if (ops->download == NULL)
        return mmgr__bad_argument("ops.download");
    if (ops->synchronize == NULL)
        return mmgr__bad_argument("ops.synchronize");
    if (ops->is_host == NULL)
        return mmgr__bad_argument("ops.is_host");
    return MMGR_OK;
}

enum mmgr_result mmgr_device_new(const mmgr_device_ops *ops, void *self, void (*self_free)(void *),
                                 mmgr_device **device)
{
    mmgr_device_ops table;
    if (ops == NULL)
        return mmgr__bad_argument("ops");
    if (device == NULL)
        return mmgr__bad_argument("device");
    enum mmgr_result result = MMGR__IMPORT(table, ops, is_host);
    if (result == MMGR_OK)
        result = check_table(&table);
    if (result != MMGR_OK)
        return result;
    mmgr_device *made = mmgr__alloc0(1, sizeof *made);
    char *name = mmgr__strdup(table.name);
    if (made == NULL || name == NULL) {
        mmgr__free(made);
        mmgr__free(name);
        return mmgr__oom();
    }
    mmgr__refs_init(&made->refs);
    made->ops = table;
    made->name = name;
    made->ops.name = name;
    made->self = self;
    made->self_free = self_free;
    *device = made;
    return MMGR_OK;
}

enum mmgr_result mmgr_device_open(const char *name, mmgr_device **device)
{
    mmgr_device_ops ops = {.struct_size = sizeof ops, .api_version = 1, .name = name};
    void *self = NULL;
    void (*self_free)(void *) = NULL;
    uint64_t capacity;
    enum mmgr_result result;
    if (name == NULL)
        return mmgr__bad_argument("name");
    if (device == NULL)
        return mmgr__bad_argument("device");
    if (strcmp(name, "cpu") == 0) {
        result = mmgr__cpu_table(&ops);
    } else if (mmgr__starts_with(name, "fake:")) {
        if (!mmgr__parse_size(name + strlen("fake:"), &capacity)) {
            result = mmgr__fail(MMGR_ERR_ARGUMENT, "device \"%s\": no size after \"fake:\"", name);
            mmgr__error_set_field("name");
            return result;
        }
        result = mmgr__fake_table(capacity, &ops, &self, &self_free);
    } else {
        result = mmgr__fail(MMGR_ERR_NO_DEVICE,
                            "no device \"%s\": there are \"cpu\" and \"fake:BYTES\"", name);
        mmgr__error_set_subject(name);
        return result;
    }
    if (result == MMGR_OK) {
        result = mmgr_device_new(&ops, self, self_free, device);
        if (result != MMGR_OK && self_free != NULL)
            self_free(self);
    }
    return result;
}

mmgr_device *mmgr_device_ref(const mmgr_device *device)
{
    mmgr_device *same = (mmgr_device *)device;
    if (same != NULL)
        mmgr__refs_take(&same->refs);
    return same;
}

void mmgr_device_unref(mmgr_device *device)
{
    if (device == NULL || !mmgr__refs_drop(&device->refs))
        return;
    if (device->self_free != NULL)
        device->self_free(device->self);
    mmgr__free(device->name);
    mmgr__free(device);
}

const char *mmgr_device_name(const mmgr_device *device)
{
    return device != NULL ? device->name : "";
}

/* A table's own code passes only where callers act on it; all else is the plug-in's failure. */
static enum mmgr_result failed(const mmgr_device *device, const char *doing, enum mmgr_result code)
{
    enum mmgr_result result =
        code == MMGR_ERR_DEVICE_MEMORY || code == MMGR_ERR_NO_MEMORY ? code : MMGR_ERR_PLUGIN;
    result =
        mmgr__fail(result, "device %s: %s failed: %s", device->name, doing, mmgr_result_text(code));
    mmgr__error_set_subject(device->name);
    return result;
}

enum mmgr_result mmgr_device_memory(const mmgr_device *device, uint64_t *free_bytes,
                                    uint64_t *total_bytes)
{
    uint64_t available = 0, total = 0;
    if (device == NULL)
        return mmgr__bad_argument("device");
    enum mmgr_result result = device->ops.memory_info(device->self, &available, &total);
    if (result != MMGR_OK)
        return failed(device, "asking for its memory", result);
    if (free_bytes != NULL)
        *free_bytes = available;
    if (total_bytes != NULL)
        *total_bytes = total;
    return MMGR_OK;
}

enum mmgr_result mmgr_device_download(const mmgr_device *device, void *host, const void *memory,
                                      uint64_t bytes)
{
    if (device == NULL)
        return mmgr__bad_argument("device");
    if (bytes == 0)
        return MMGR_OK;
    if (host == NULL)
        return mmgr__bad_argument("host");
    if (memory == NULL)
        return mmgr__bad_argument("memory");
    enum mmgr_result result = device->ops.download(device->self, host, memory, bytes);
    return result == MMGR_OK ? MMGR_OK : failed(device, "a copy to the host", result);
}

enum mmgr_result mmgr__device_allocate(const mmgr_device *device, uint64_t bytes, void **memory)
{
    void *made = NULL;
    if (bytes == 0) {
        *memory = NULL;
        return MMGR_OK;
    }
    enum mmgr_result result =
        device->ops.allocate(device->self, bytes, MMGR__DEVICE_ALIGNMENT, &made);
    if (result == MMGR_OK && made == NULL)
        result = MMGR_ERR_PLUGIN;
    if (result != MMGR_OK) {
        result = failed(device, "an allocation", result);
        mmgr__error_prefix("%llu bytes", (unsigned long long)bytes);
        return result;
    }
    *memory = made;
    return MMGR_OK;
}

void mmgr__device_release(const mmgr_device *device, void *memory, uint64_t bytes)
{
    if (memory != NULL)
        device->ops.release(device->self, memory, bytes);
}

enum mmgr_result mmgr__device_upload(const mmgr_device *device, void *memory, const void *host,
                                     uint64_t bytes)
{
    if (bytes == 0)
        return MMGR_OK;
    enum mmgr_result result = device->ops.upload(device->self, memory, host, bytes);
    return result == MMGR_OK ? MMGR_OK : failed(device, "a copy to the device", result);
}

enum mmgr_result mmgr__device_synchronize(const mmgr_device *device)
{
    enum mmgr_result result = device->ops.synchronize(device->self);
    return result == MMGR_OK ? MMGR_OK : failed(device, "synchronising", result);
}

int mmgr__device_is_host(const mmgr_device *device)
{
    return device->ops.is_host(device->self) != 0;
}
