/* SPDX-License-Identifier: MIT */
/** @file
 * Loading: the loader registry, the caches, and loaded models that are locked onto a device while in use.
 */
#ifndef MODELMGR_LOAD_H
#define MODELMGR_LOAD_H

#include "device.h"
#include "event.h"
#include "record.h"
#include "store.h"
#include "tensor.h"

MMGR_BEGIN_DECLS

/** What a loader is asked to load, lent for the call. Members are only appended. */
typedef struct mmgr_load_request {
    uint32_t struct_size;
    uint32_t reserved;
    const mmgr_record *record;
    const char *path;     /**< absolute path of the model */
    const char *submodel; /**< submodel, such as "unet"; NULL: the whole model */
    const char *variant;  /**< repo variant, such as "fp16"; NULL: whichever there is */
} mmgr_load_request;

/** What a loader made. Either a tensor set or an object of the host's own. */
typedef struct mmgr_load_result {
    uint32_t struct_size;
    uint32_t reserved;
    mmgr_tensor_set *tensors;        /**< one reference given, or NULL */
    void *object;                    /**< the host's own object, or NULL */
    void (*object_free)(void *object);
    uint64_t bytes;                  /**< size in RAM; 0 with tensors = the set's size */
} mmgr_load_result;

/** A loader. Members are only appended; all functions may be called from any thread, several at a time. */
typedef struct mmgr_loader_ops {
    uint32_t struct_size;
    uint32_t api_version; /**< 1 */
    const char *name;
    /** Load into RAM. result is zeroed with its size set. The error of a library call that failed in here is
     *  passed on; any other code becomes MMGR_ERR_PLUGIN, whose message names it. */
    enum mmgr_result (*load)(void *self, const mmgr_load_request *request, mmgr_load_result *result);
    /** Bytes that load will need, or 0 when unknown. May be NULL. Headers only. */
    uint64_t (*estimate)(void *self, const mmgr_load_request *request);
    /** Whether the model must be converted first, and the conversion. Both may be NULL (no conversion). */
    int (*needs_conversion)(void *self, const mmgr_load_request *request, const char *converted_path);
    enum mmgr_result (*convert)(void *self, const mmgr_load_request *request, const char *output_path);
} mmgr_loader_ops;

/**
 * Make a registry that holds the built-in loaders.
 * @param[out] registry  Given; release with mmgr_loader_registry_unref().
 * @return MMGR_OK; MMGR_ERR_ARGUMENT; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_loader_registry_new(mmgr_loader_registry **registry);

/**
 * Keep a registry.
 * @param registry  Registry.
 * @return The registry, with one more reference.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API mmgr_loader_registry *mmgr_loader_registry_ref(mmgr_loader_registry *registry);

/**
 * Release a registry.
 * @param registry  Registry, or NULL for no effect.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API void mmgr_loader_registry_unref(mmgr_loader_registry *registry);

/**
 * Register a loader for a kind of model. One loader may be registered for several. A host's loader goes
 * before the built-in ones.
 * @param registry   Registry.
 * @param base       Base string; "any" is the fallback for every base.
 * @param type       Type string.
 * @param format     Format string.
 * @param ops        Functions, copied.
 * @param self       Passed to them.
 * @param self_free  Frees self with the registry, or NULL; not called when this function fails.
 * @return MMGR_OK; MMGR_ERR_LOADER_CLASH (a host's loader is there already); MMGR_ERR_ARGUMENT;
 *   MMGR_ERR_ABI_SIZE; MMGR_ERR_ABI_NEWER; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_loader_registry_add(mmgr_loader_registry *registry, const char *base,
                                                   const char *type, const char *format,
                                                   const mmgr_loader_ops *ops, void *self,
                                                   void (*self_free)(void *));

/**
 * Load the tensors of a file or folder into RAM: what the built-in loaders do, for loaders of hosts.
 * @param path         File, folder or index.
 * @param component    Folder of a pipeline, or NULL.
 * @param variant      Repo variant, or NULL.
 * @param[out] set     Given; release with mmgr_tensor_set_unref().
 * @return What mmgr_checkpoint_open() returns.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_tensor_set_read(const char *path, const char *component, const char *variant,
                                               mmgr_tensor_set **set);

/**
 * Keep a tensor set.
 * @param set  Set.
 * @return The set, with one more reference.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API mmgr_tensor_set *mmgr_tensor_set_ref(const mmgr_tensor_set *set);

/**
 * Release a tensor set.
 * @param set  Set, or NULL for no effect.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API void mmgr_tensor_set_unref(mmgr_tensor_set *set);

/** Options of mmgr_load_service_open(). */
struct mmgr_load_service_options {
    uint32_t struct_size;           /**< sizeof(struct mmgr_load_service_options) */
    uint32_t flags;                 /**< must be 0 */
    mmgr_config *config;            /**< budgets, folders; required */
    mmgr_store *store;              /**< for loads by key; required */
    mmgr_loader_registry *registry; /**< NULL: the built-in loaders */
    mmgr_bus *bus;                  /**< NULL: no events */
    mmgr_device *device;            /**< execution device; NULL: what the config names */
    int64_t max_ram;                /**< RAM cache in bytes; 0 = the config's; MMGR_NONE = no bound */
    int64_t max_vram;               /**< device cache in bytes; 0 = the config's; MMGR_NONE = no bound */
};

/**
 * Open a load service.
 * @param options       Options; config and store are required and must outlive the service.
 * @param[out] service  Given; close with mmgr_load_service_close().
 * @return MMGR_OK; MMGR_ERR_NO_DEVICE; MMGR_ERR_ARGUMENT; MMGR_ERR_ABI_SIZE; MMGR_ERR_ABI_NEWER;
 *   MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_load_service_open(const struct mmgr_load_service_options *options,
                                                 mmgr_load_service **service);

/**
 * Close a load service.
 * @param service  Service, or NULL for no effect.
 * @return MMGR_OK, or MMGR_ERR_BUSY while a loaded model of it is held.
 *
 * Thread-safety: must not race with other calls on this service.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_load_service_close(mmgr_load_service *service);

/** Options of mmgr_load_service_load(). */
struct mmgr_load_options {
    uint32_t struct_size; /**< sizeof(struct mmgr_load_options) */
    uint32_t flags;       /**< must be 0 */
    const char *submodel; /**< submodel, required for pipelines; NULL: the whole model */
    const char *context;  /**< the caller's own ids as JSON, passed on in events; or NULL */
};

/**
 * Load a model into RAM, or find it in the RAM cache.
 * @param service      Service.
 * @param record       Record of the model.
 * @param options      Options or NULL.
 * @param[out] loaded  Given; release with mmgr_loaded_unref().
 * @return MMGR_OK; MMGR_ERR_MODEL_NOT_FOUND (files gone); MMGR_ERR_NO_LOADER; MMGR_ERR_SUBMODEL_REQUIRED;
 *   MMGR_ERR_UNKNOWN_SUBMODEL; MMGR_ERR_INVALID_FILE; MMGR_ERR_UNSAFE_FILE; MMGR_ERR_UNSAFE_PATH;
 *   MMGR_ERR_PLUGIN; MMGR_ERR_IO; MMGR_ERR_ARGUMENT; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_load_service_load(mmgr_load_service *service, const mmgr_record *record,
                                                 const struct mmgr_load_options *options,
                                                 mmgr_loaded **loaded);

/**
 * Load a model by its key.
 * @param service      Service.
 * @param key          Key.
 * @param options      Options or NULL.
 * @param[out] loaded  Given; release with mmgr_loaded_unref().
 * @return MMGR_ERR_UNKNOWN_MODEL, or as mmgr_load_service_load().
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_load_service_load_by_key(mmgr_load_service *service, const char *key,
                                                        const struct mmgr_load_options *options,
                                                        mmgr_loaded **loaded);

/** Statistics of the caches. */
enum mmgr_cache_number {
    MMGR_CACHE_HITS = 1,
    MMGR_CACHE_MISSES = 2,
    MMGR_CACHE_EVICTIONS = 3,      /**< models dropped from RAM */
    MMGR_CACHE_RAM_BYTES = 4,      /**< in RAM now */
    MMGR_CACHE_RAM_HIGH = 5,       /**< most ever in RAM */
    MMGR_CACHE_MODELS = 6,         /**< models in RAM now */
    MMGR_CACHE_DEVICE_BYTES = 7,   /**< on the device now */
    MMGR_CACHE_OFFLOADS = 8,       /**< models moved off the device */
    MMGR_CACHE_UPLOADS = 9,        /**< models moved onto the device */
    MMGR_CACHE_OVERRUNS = 10,      /**< loads that went over the RAM budget since everything was held */
    MMGR_CACHE_NUMBER_FORCE_32_ = MMGR_ENUM_32_BITS
};

/**
 * A statistic of the caches.
 * @param service  Service.
 * @param which    Which number.
 * @return The number.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API uint64_t mmgr_load_service_number(const mmgr_load_service *service, enum mmgr_cache_number which);

/**
 * Drop a model from the caches: at once when nobody holds it, else with its last holder.
 * @param service  Service.
 * @param key      Key; NULL: every model.
 * @return MMGR_OK; MMGR_ERR_ARGUMENT.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_load_service_unload(mmgr_load_service *service, const char *key);

/**
 * Keep a loaded model.
 * @param loaded  Loaded model.
 * @return The loaded model, with one more reference.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API mmgr_loaded *mmgr_loaded_ref(mmgr_loaded *loaded);

/**
 * Release a loaded model. Locks taken through it must have been given back before the last reference goes.
 * @param loaded  Loaded model, or NULL for no effect.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API void mmgr_loaded_unref(mmgr_loaded *loaded);

/**
 * Record of a loaded model.
 * @param loaded  Loaded model.
 * @return Lent record.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const mmgr_record *mmgr_loaded_record(const mmgr_loaded *loaded);

/**
 * The model in RAM (the seed's CPU state dict).
 * @param loaded  Loaded model.
 * @return Lent set; NULL when a host's loader made an object of its own.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const mmgr_tensor_set *mmgr_loaded_state_dict(const mmgr_loaded *loaded);

/**
 * The object that a host's loader made.
 * @param loaded  Loaded model.
 * @return Lent object, or NULL.
 *
 * Thread-safety: as the host's object.
 * Since: 0.1
 */
MMGR_API void *mmgr_loaded_object(const mmgr_loaded *loaded);

/**
 * Bring the model to the execution device and hold it there. Locks nest; each needs its unlock.
 * @param loaded    Loaded model.
 * @param[out] set  Lent until the unlock: the tensors on the device; NULL for a host's object. May be NULL.
 * @return MMGR_OK; MMGR_ERR_DEVICE_MEMORY (no room although everything unlocked was moved off);
 *   MMGR_ERR_PLUGIN; MMGR_ERR_ARGUMENT; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_loaded_lock(mmgr_loaded *loaded, const mmgr_tensor_set **set);

/**
 * Give a lock back. The model may stay on the device until its room is needed.
 * @param loaded  Loaded model.
 * @return MMGR_OK; MMGR_ERR_STATE when it is not locked; MMGR_ERR_ARGUMENT.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_loaded_unlock(mmgr_loaded *loaded);

MMGR_END_DECLS
#endif
