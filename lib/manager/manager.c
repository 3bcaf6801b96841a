/* SPDX-License-Identifier: MIT */
/* The manager: opens one of each service in the order in which they need each other, closes them in the
 * opposite order. */
#include <modelmgr/manager.h>

#include <string.h>

#include "base/alloc.h"
#include "base/config.h"
#include "base/error.h"
#include "base/event.h"
#include "base/options.h"

struct mmgr_manager {
    mmgr_config *config;
    mmgr_bus *bus;
    mmgr_store *store;
    mmgr_queue *queue;
    mmgr_hub *hub;
    mmgr_prober *prober;
    mmgr_installer *installer;
    mmgr_load_service *loader;
};

/* Every service may be missing: this also cleans up after an open that failed half-way. */
static void close_services(mmgr_manager *manager)
{
    mmgr_load_service_close(manager->loader);
    mmgr_installer_close(manager->installer);
    mmgr_hub_close(manager->hub);
    mmgr_queue_close(manager->queue);
    mmgr_prober_unref(manager->prober);
    mmgr_store_close(manager->store);
    mmgr_bus_close(manager->bus);
    mmgr_config_unref(manager->config);
    mmgr__free(manager);
}

static enum mmgr_result open_config(mmgr_manager *manager, const struct mmgr_manager_options *given)
{
    if (given->config) {
        manager->config = mmgr_config_ref(given->config);
        return MMGR_OK;
    }
    struct mmgr_config_options options = {.struct_size = sizeof options, .root = given->root};
    return mmgr_config_new(&options, &manager->config);
}

static enum mmgr_result open_queue_and_hub(mmgr_manager *manager, const struct mmgr_manager_options *given)
{
    int64_t parallel = 0;
    mmgr_config_get_number(manager->config, "max_parallel_downloads", &parallel);
    struct mmgr_queue_options queue = {.struct_size = sizeof queue,
                                       .bus = manager->bus,
                                       .config = manager->config,
                                       .transport = given->transport,
                                       .transport_self = given->transport_self,
                                       .max_parallel = (uint32_t)parallel};
    enum mmgr_result result = mmgr_queue_open(&queue, &manager->queue);
    struct mmgr_hub_options hub = {.struct_size = sizeof hub, .config = manager->config};
    if (result == MMGR_OK)
        result = mmgr_queue_transport(manager->queue, &hub.transport, &hub.transport_self);
    return result == MMGR_OK ? mmgr_hub_open(&hub, &manager->hub) : result;
}

static enum mmgr_result open_store_and_prober(mmgr_manager *manager,
                                              const struct mmgr_manager_options *given)
{
    struct mmgr_store_options store = {
        .struct_size = sizeof store,
        .flags = (given->flags & MMGR_MANAGER_READ_ONLY ? MMGR_STORE_READ_ONLY : 0) |
                 (given->flags & MMGR_MANAGER_LENIENT ? MMGR_STORE_LENIENT : 0) |
                 (given->flags & MMGR_MANAGER_WATCH ? MMGR_STORE_WATCH : 0),
        .path = given->store_path,
        .config = manager->config,
        .bus = manager->bus};
    struct mmgr_prober_options prober = {.struct_size = sizeof prober,
                                         .rules_folder = mmgr_config_get(manager->config, "rules_folder")};
    enum mmgr_result result = mmgr_store_open(&store, &manager->store);
    return result == MMGR_OK ? mmgr_prober_new(&prober, &manager->prober) : result;
}

static enum mmgr_result open_installer_and_loader(mmgr_manager *manager,
                                                  const struct mmgr_manager_options *given)
{
    struct mmgr_installer_options installer = {
        .struct_size = sizeof installer,
        .flags = given->flags & MMGR_MANAGER_READ_ONLY ? MMGR_INSTALLER_READ_ONLY : 0,
        .config = manager->config,
        .store = manager->store,
        .queue = manager->queue,
        .hub = manager->hub,
        .prober = manager->prober,
        .bus = manager->bus};
    struct mmgr_load_service_options loader = {.struct_size = sizeof loader,
                                               .config = manager->config,
                                               .store = manager->store,
                                               .registry = given->registry,
                                               .bus = manager->bus,
                                               .device = given->device};
    enum mmgr_result result = mmgr_installer_open(&installer, &manager->installer);
    return result == MMGR_OK ? mmgr_load_service_open(&loader, &manager->loader) : result;
}

enum mmgr_result mmgr_manager_open(const struct mmgr_manager_options *options, mmgr_manager **manager)
{
    struct mmgr_manager_options given;
    enum mmgr_result result = MMGR__IMPORT(given, options, transport_self);
    if (result != MMGR_OK)
        return result;
    if (!manager || given.flags & ~(MMGR_MANAGER_READ_ONLY | MMGR_MANAGER_LENIENT | MMGR_MANAGER_WATCH))
        return mmgr__bad_argument(manager ? "flags" : "manager");
    mmgr_manager *made = mmgr__alloc0(1, sizeof *made);
    if (!made)
        return mmgr__oom();
    result = open_config(made, &given);
    if (result == MMGR_OK)
        result = mmgr_bus_open(NULL, &made->bus);
    if (result == MMGR_OK)
        result = open_store_and_prober(made, &given);
    if (result == MMGR_OK)
        result = open_queue_and_hub(made, &given);
    if (result == MMGR_OK)
        result = open_installer_and_loader(made, &given);
    if (result != MMGR_OK) {
        struct mmgr_error error; /* the closing calls must not replace the reason */
        mmgr__error_save(&error);
        close_services(made);
        return mmgr__error_restore(&error);
    }
    *manager = made;
    return MMGR_OK;
}

enum mmgr_result mmgr_manager_close(mmgr_manager *manager)
{
    if (!manager)
        return MMGR_OK;
    if (mmgr__bus_in_handler(manager->bus))
        return mmgr__fail(MMGR_ERR_BUSY, "a manager cannot be closed from a handler");
    /* The one service that can refuse goes first, so that a refusal changes nothing. */
    enum mmgr_result result = mmgr_load_service_close(manager->loader);
    if (result != MMGR_OK)
        return result;
    manager->loader = NULL;
    close_services(manager);
    return MMGR_OK;
}

mmgr_config *mmgr_manager_config(mmgr_manager *manager)
{
    return manager ? manager->config : NULL;
}

mmgr_bus *mmgr_manager_bus(mmgr_manager *manager)
{
    return manager ? manager->bus : NULL;
}

mmgr_store *mmgr_manager_store(mmgr_manager *manager)
{
    return manager ? manager->store : NULL;
}

mmgr_queue *mmgr_manager_queue(mmgr_manager *manager)
{
    return manager ? manager->queue : NULL;
}

mmgr_hub *mmgr_manager_hub(mmgr_manager *manager)
{
    return manager ? manager->hub : NULL;
}

mmgr_prober *mmgr_manager_prober(mmgr_manager *manager)
{
    return manager ? manager->prober : NULL;
}

mmgr_installer *mmgr_manager_installer(mmgr_manager *manager)
{
    return manager ? manager->installer : NULL;
}

mmgr_load_service *mmgr_manager_loader(mmgr_manager *manager)
{
    return manager ? manager->loader : NULL;
}

enum mmgr_result mmgr_manager_load_by_name(mmgr_manager *manager, const char *name, const char *base,
                                           const char *type, const struct mmgr_load_options *options,
                                           mmgr_loaded **loaded)
{
    if (!manager || !name || !loaded)
        return mmgr__bad_argument(!manager ? "manager" : name ? "loaded" : "name");
    mmgr_record *record;
    enum mmgr_result result = mmgr_store_get_by_name(manager->store, name, base, type, &record);
    if (result != MMGR_OK)
        return result;
    result = mmgr_load_service_load(manager->loader, record, options, loaded);
    mmgr_record_unref(record);
    return result;
}
