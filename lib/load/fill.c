/* SPDX-License-Identifier: MIT */
/* Fills an entry of the RAM cache: conversion, room, then the loader. */
#include <fcntl.h>

#include "base/alloc.h"
#include "base/io.h"
#include "load/service.h"
#include "load/tensors.h"

/* Make room for what the load will take, before it takes it. */
static void reserve(mmgr_load_service *service, struct mmgr__entry *entry, uint64_t bytes)
{
    struct mmgr__entry *chain = NULL;
    pthread_mutex_lock(&service->guard);
    if (!mmgr__cache_make_room(service, bytes, &chain))
        service->overruns++;
    mmgr__cache_account(service, entry, bytes);
    pthread_mutex_unlock(&service->guard);
    mmgr__cache_dispose(service, chain);
}

static enum mmgr_result fill_builtin(mmgr_load_service *service, struct mmgr__entry *entry,
                                     const mmgr_load_request *request)
{
    struct mmgr__prepared prepared;
    enum mmgr_result result = mmgr__builtin_prepare(request, &prepared);
    if (result != MMGR_OK)
        return result;
    reserve(service, entry, prepared.bytes);
    result = mmgr__builtin_finish(&prepared, &entry->ram);
    mmgr__prepared_clear(&prepared);
    return result;
}

static enum mmgr_result take_result(struct mmgr__entry *entry, const struct mmgr__loader *loader,
                                    const mmgr_load_result *made)
{
    if (made->tensors == NULL && made->object == NULL)
        return mmgr__fail(MMGR_ERR_PLUGIN, "loader %s gave neither tensors nor an object",
                          loader->name);
    entry->ram = made->tensors;
    entry->object = made->object;
    entry->object_free = made->object_free;
    return MMGR_OK;
}

static enum mmgr_result fill_by_host(mmgr_load_service *service, struct mmgr__entry *entry,
                                     const struct mmgr__loader *loader,
                                     const mmgr_load_request *request, uint64_t *bytes)
{
    mmgr_load_request asked = *request;
    mmgr_load_result made = {.struct_size = sizeof made};
    struct mmgr_error before;
    char *converted;
    enum mmgr_result result = mmgr__convert(service, loader, request, &converted);
    if (result != MMGR_OK)
        return result;
    if (converted != NULL)
        asked.path = converted;
    reserve(service, entry,
            loader->ops.estimate != NULL ? loader->ops.estimate(loader->self, &asked) : 0);
    mmgr__host_begin(&before);
    result = loader->ops.load(loader->self, &asked, &made);
    result = mmgr__host_result(loader, "loading", result, &before);
    if (result == MMGR_OK)
        result = take_result(entry, loader, &made);
    *bytes = made.bytes;
    mmgr__free(converted);
    return result;
}

enum mmgr_result mmgr__entry_fill(mmgr_load_service *service, struct mmgr__entry *entry,
                                  const struct mmgr__loader *loader,
                                  const mmgr_load_request *request)
{
    uint64_t bytes = 0;
    enum mmgr_result result = loader->builtin
                                  ? fill_builtin(service, entry, request)
                                  : fill_by_host(service, entry, loader, request, &bytes);
    if (result == MMGR_ERR_PATH_NOT_FOUND) {
        /* The record is there, so to the caller this is a model whose files are gone. */
        struct mmgr_error error;
        mmgr__error_save(&error);
        error.code = MMGR_ERR_MODEL_NOT_FOUND;
        result = mmgr__error_restore(&error);
    }
    if (result != MMGR_OK)
        return result;
    if (bytes == 0 && entry->ram != NULL)
        bytes = mmgr__tensor_set_footprint(entry->ram);
    struct mmgr__entry *chain = NULL;
    pthread_mutex_lock(&service->guard);
    mmgr__cache_account(service, entry, bytes);
    mmgr__cache_make_room(service, 0, &chain); /* in case the estimate was too low */
    pthread_mutex_unlock(&service->guard);
    mmgr__cache_dispose(service, chain);
    return MMGR_OK;
}
