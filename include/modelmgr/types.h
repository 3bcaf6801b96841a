/* SPDX-License-Identifier: MIT */
/** @file
 * Forward declarations of every handle and the constants shared by all headers.
 *
 * Three kinds of handle exist:
 * - services (`_open` / `_close`): safe to use from any thread; `_close` must not race with other calls
 *   on the same handle. Where it returns a result, that is MMGR_ERR_BUSY, and nothing happens, from inside
 *   one of its callbacks and while another service uses it; close in the reverse order of opening;
 * - shared things (`_ref` / `_unref`): any thread; they may outlive the service that gave them (of a
 *   config, a prober and a loader registry: immutable from their first use on);
 * - builders and lists (`_new` / `_free`): one thread at a time.
 *
 * Options are structs whose first member is their size in bytes. They only ever grow at the end, zero in
 * a member means its default, a NULL pointer means all defaults, and bytes beyond what this library knows
 * must be zero (else MMGR_ERR_ABI_NEWER). Set them up with `struct mmgr_x_options o = {sizeof o};`. Flags
 * that do not exist and reserved members that are not 0 are MMGR_ERR_ARGUMENT. What options point to is
 * copied unless their comment says otherwise.
 *
 * Function tables of hosts (`mmgr_x_ops`) begin with struct_size, api_version and name, and follow the same
 * size rule; table and name are copied, `self` is the host's.
 *
 * A handle that is NULL is MMGR_ERR_ARGUMENT to a function that can fail. A getter answers for it as when
 * there is nothing (NULL, 0 or what its comment names), `_ref` gives NULL, and `_close` gives MMGR_OK.
 *
 * Text is UTF-8 and NUL-terminated. `const char *` results are lent: they live as long as the object that
 * gave them. `char **` results are given: free them with mmgr_string_free(). Outputs are untouched on
 * failure. Times are int64 nanoseconds (since 1970-01-01 UTC where they are dates); sizes are uint64 bytes.
 */
#ifndef MODELMGR_TYPES_H
#define MODELMGR_TYPES_H

#include <stddef.h>
#include <stdint.h>

#include "export.h"

MMGR_BEGIN_DECLS

typedef struct mmgr_error mmgr_error;
typedef struct mmgr_event mmgr_event;
typedef struct mmgr_bus mmgr_bus;
typedef struct mmgr_listener mmgr_listener;
typedef struct mmgr_config mmgr_config;
typedef struct mmgr_record mmgr_record;
typedef struct mmgr_record_builder mmgr_record_builder;
typedef struct mmgr_record_list mmgr_record_list;
typedef struct mmgr_filter mmgr_filter;
typedef struct mmgr_store mmgr_store;
typedef struct mmgr_source mmgr_source;
typedef struct mmgr_metadata mmgr_metadata;
typedef struct mmgr_hub mmgr_hub;
typedef struct mmgr_queue mmgr_queue;
typedef struct mmgr_download mmgr_download;
typedef struct mmgr_download_list mmgr_download_list;
typedef struct mmgr_parts mmgr_parts;
typedef struct mmgr_checkpoint mmgr_checkpoint;
typedef struct mmgr_prober mmgr_prober;
typedef struct mmgr_probe_result mmgr_probe_result;
typedef struct mmgr_installer mmgr_installer;
typedef struct mmgr_plan mmgr_plan;
typedef struct mmgr_install mmgr_install;
typedef struct mmgr_install_list mmgr_install_list;
typedef struct mmgr_device mmgr_device;
typedef struct mmgr_tensor_set mmgr_tensor_set;
typedef struct mmgr_loader_registry mmgr_loader_registry;
typedef struct mmgr_load_service mmgr_load_service;
typedef struct mmgr_loaded mmgr_loaded;
typedef struct mmgr_manager mmgr_manager;

/** "None" where zero already means "default", as in a limit that is to be lifted. */
#define MMGR_NONE (-1)

/** Wait argument: poll once, do not wait. */
#define MMGR_WAIT_NONE 0
/** Wait argument (any negative number): wait for ever. */
#define MMGR_WAIT_FOREVER (-1)

/**
 * Free a text that a function gave (`char **` output).
 *
 * @param text  Text, or NULL for no effect.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API void mmgr_string_free(char *text);

MMGR_END_DECLS
#endif
