/* SPDX-License-Identifier: MIT */
/** @file
 * The manager: one object that owns one of each service, wired together.
 */
#ifndef MODELMGR_MANAGER_H
#define MODELMGR_MANAGER_H

#include "config.h"
#include "event.h"
#include "install.h"
#include "load.h"
#include "metadata.h"
#include "probe.h"
#include "queue.h"
#include "store.h"

MMGR_BEGIN_DECLS

/** Flags of mmgr_manager_options. */
#define MMGR_MANAGER_READ_ONLY 1u /**< create and recover nothing: to look, to plan and to load */
#define MMGR_MANAGER_LENIENT 2u   /**< the store is MMGR_STORE_LENIENT */
#define MMGR_MANAGER_WATCH 4u     /**< the store is MMGR_STORE_WATCH: its events come on the manager's bus */

/** Options of mmgr_manager_open(). */
struct mmgr_manager_options {
    uint32_t struct_size;           /**< sizeof(struct mmgr_manager_options) */
    uint32_t flags;                 /**< MMGR_MANAGER_* */
    mmgr_config *config;            /**< NULL: mmgr_config_new() with root */
    const char *root;               /**< root folder when config is NULL; NULL: the default root */
    const char *store_path;         /**< record store; NULL: what the config names */
    mmgr_loader_registry *registry; /**< loaders; NULL: the built-in ones */
    mmgr_device *device;            /**< execution device; NULL: what the config names */
    const mmgr_transport_ops *transport; /**< the host's networking; NULL: built in */
    void *transport_self;           /**< first argument of its functions */
};

/**
 * Open a manager. Creates the root folder and the record store when they are missing, and recovers
 * interrupted installs, unless it is to be read-only; uses no network.
 * @param options       Options or NULL.
 * @param[out] manager  Given; close with mmgr_manager_close().
 * @return What mmgr_config_new(), mmgr_store_open(), mmgr_queue_open(), mmgr_installer_open() and
 *   mmgr_load_service_open() return.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_manager_open(const struct mmgr_manager_options *options,
                                            mmgr_manager **manager);

/**
 * Close a manager and its services. Downloads that run are paused and stay resumable.
 * @param manager  Manager, or NULL for no effect.
 * @return MMGR_OK; MMGR_ERR_BUSY from inside a handler or while a loaded model is held (nothing happens
 *   then).
 *
 * Thread-safety: must not race with other calls on this manager.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_manager_close(mmgr_manager *manager);

/**
 * The manager's config.
 * @param manager  Manager.
 * @return Lent.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API mmgr_config *mmgr_manager_config(mmgr_manager *manager);

/**
 * The manager's event bus.
 * @param manager  Manager.
 * @return Lent.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API mmgr_bus *mmgr_manager_bus(mmgr_manager *manager);

/**
 * The manager's record store.
 * @param manager  Manager.
 * @return Lent.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API mmgr_store *mmgr_manager_store(mmgr_manager *manager);

/**
 * The manager's download queue.
 * @param manager  Manager.
 * @return Lent.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API mmgr_queue *mmgr_manager_queue(mmgr_manager *manager);

/**
 * The manager's access to the hubs.
 * @param manager  Manager.
 * @return Lent.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API mmgr_hub *mmgr_manager_hub(mmgr_manager *manager);

/**
 * The manager's prober.
 * @param manager  Manager.
 * @return Lent.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API mmgr_prober *mmgr_manager_prober(mmgr_manager *manager);

/**
 * The manager's installer.
 * @param manager  Manager.
 * @return Lent.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API mmgr_installer *mmgr_manager_installer(mmgr_manager *manager);

/**
 * The manager's load service.
 * @param manager  Manager.
 * @return Lent.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API mmgr_load_service *mmgr_manager_loader(mmgr_manager *manager);

/**
 * Find the one model with these attributes and load it.
 * @param manager      Manager.
 * @param name         Name.
 * @param base         Base string, or NULL for any.
 * @param type         Type string, or NULL for any.
 * @param options      Load options or NULL.
 * @param[out] loaded  Given; release with mmgr_loaded_unref().
 * @return What mmgr_store_get_by_name() and mmgr_load_service_load() return.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_manager_load_by_name(mmgr_manager *manager, const char *name,
                                                    const char *base, const char *type,
                                                    const struct mmgr_load_options *options,
                                                    mmgr_loaded **loaded);

MMGR_END_DECLS
#endif
