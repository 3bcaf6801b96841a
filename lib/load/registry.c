/* SPDX-License-Identifier: MIT */
/* The loader registry: which loader takes which kind of model. */
#include "load/registry.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/options.h"

struct mmgr_loader_registry {
    mmgr__refs refs;
    pthread_mutex_t guard; /* a leaf: nothing is called while it is held */
    struct mmgr__loader **items;
    size_t count, capacity;
};

static const struct mmgr__loader builtin = {.builtin = 1};

enum mmgr_result mmgr_loader_registry_new(mmgr_loader_registry **registry)
{
    if (registry == NULL)
        return mmgr__bad_argument("registry");
    mmgr_loader_registry *made = mmgr__alloc0(1, sizeof *made);
    if (made == NULL)
        return mmgr__oom();
    mmgr__refs_init(&made->refs);
    pthread_mutex_init(&made->guard, NULL);
    *registry = made;
    return MMGR_OK;
}

mmgr_loader_registry *mmgr_loader_registry_ref(mmgr_loader_registry *registry)
{
    if (registry != NULL)
        mmgr__refs_take(&registry->refs);
    return registry;
}

static void free_loader(struct mmgr__loader *loader)
{
    mmgr__free(loader->base);
    mmgr__free(loader->type);
    mmgr__free(loader->format);
    mmgr__free(loader->name);
    mmgr__free(loader);
}

void mmgr_loader_registry_unref(mmgr_loader_registry *registry)
{
    if (registry == NULL || !mmgr__refs_drop(&registry->refs))
        return;
    for (size_t i = 0; i < registry->count; i++) {
        struct mmgr__loader *loader = registry->items[i];
        if (loader->self_free != NULL)
            loader->self_free(loader->self);
        free_loader(loader);
    }
    mmgr__free(registry->items);
    pthread_mutex_destroy(&registry->guard);
    mmgr__free(registry);
}

static struct mmgr__loader *find_row(const mmgr_loader_registry *registry, const char *base,
                                     const char *type, const char *format)
{
    for (size_t i = 0; i < registry->count; i++) {
        struct mmgr__loader *loader = registry->items[i];
        if (strcmp(loader->base, base) == 0 && strcmp(loader->type, type) == 0 &&
            strcmp(loader->format, format) == 0)
            return loader;
    }
    return NULL;
}

static enum mmgr_result make_row(const char *base, const char *type, const char *format,
                                 const mmgr_loader_ops *ops, struct mmgr__loader **row)
{
    struct mmgr__loader *made = mmgr__alloc0(1, sizeof *made);
    if (made == NULL)
        return mmgr__oom();
    made->base = mmgr__strdup(base);
    made->type = mmgr__strdup(type);
    made->format = mmgr__strdup(format);
    made->name = mmgr__strdup(ops->name);
    made->ops = *ops;
    made->ops.name = made->name;
    if (made->base == NULL || made->type == NULL || made->format == NULL || made->name == NULL) {
        free_loader(made);
        return mmgr__oom();
    }
    *row = made;
    return MMGR_OK;
}

static enum mmgr_result check_table(const mmgr_loader_ops *ops)
{
    if (ops->api_version != 1)
        return mmgr__bad_argument("ops.api_version");
    if (ops->name == NULL || ops->name[0] == '\0')
        return mmgr__bad_argument("ops.name");
    if (ops->load == NULL)
        return mmgr__bad_argument("ops.load");
    if ((ops->needs_conversion == NULL) != (ops->convert == NULL))
        return mmgr__bad_argument("ops.convert");
    return MMGR_OK;
}

/* Put a row in unless there is one already. */
static enum mmgr_result insert(mmgr_loader_registry *registry, struct mmgr__loader *row)
{
    enum mmgr_result result = MMGR_OK;
    char other[128] = "";
    pthread_mutex_lock(&registry->guard);
    const struct mmgr__loader *there = find_row(registry, row->base, row->type, row->format);
    void *items = registry->items;
    if (there != NULL) {
        result = MMGR_ERR_LOADER_CLASH;
        snprintf(other, sizeof other, "%s", there->name);
    } else if (!mmgr__grow(&items, &registry->capacity, registry->count + 1,
                           sizeof *registry->items)) {
        result = MMGR_ERR_NO_MEMORY;
    } else {
        registry->items = items;
        registry->items[registry->count++] = row;
    }
    pthread_mutex_unlock(&registry->guard);
    if (result == MMGR_ERR_NO_MEMORY)
        return mmgr__oom();
    if (result != MMGR_OK)
        return mmgr__fail(result, "loader %s: %s already loads base %s, type %s, format %s",
                          row->name, other, row->base, row->type, row->format);
    return MMGR_OK;
}

enum mmgr_result mmgr_loader_registry_add(mmgr_loader_registry *registry, const char *base,
                                          const char *type, const char *format,
                                          const mmgr_loader_ops *ops, void *self,
                                          void (*self_free)(void *))
{
    mmgr_loader_ops table;
    if (registry == NULL)
        return mmgr__bad_argument("registry");
    if (base == NULL || base[0] == '\0')
        return mmgr__bad_argument("base");
    if (type == NULL || type[0] == '\0')
        return mmgr__bad_argument("type");
    if (format == NULL || format[0] == '\0')
        return mmgr__bad_argument("format");
    if (ops == NULL)
        return mmgr__bad_argument("ops");
    enum mmgr_result result = MMGR__IMPORT(table, ops, convert);
    if (result == MMGR_OK)
        result = check_table(&table);
    struct mmgr__loader *row = NULL;
    if (result == MMGR_OK)
        result = make_row(base, type, format, &table, &row);
    if (result != MMGR_OK)
        return result;
    row->self = self;
    row->self_free = self_free;
    result = insert(registry, row);
    if (result != MMGR_OK)
        free_loader(row);
    return result;
}

const struct mmgr__loader *mmgr__registry_find(mmgr_loader_registry *registry, const char *base,
                                               const char *type, const char *format)
{
    pthread_mutex_lock(&registry->guard);
    const struct mmgr__loader *found = find_row(registry, base, type, format);
    if (found == NULL)
        found = find_row(registry, "any", type, format);
    pthread_mutex_unlock(&registry->guard);
    if (found == NULL && mmgr__builtin_handles(type, format))
        found = &builtin;
    return found;
}
