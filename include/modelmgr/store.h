/* SPDX-License-Identifier: MIT */
/** @file
 * The record store: model records in a SQLite file, a YAML file, or the host's own SQLite database; shared by
 * threads and processes.
 *
 * A YAML file may be edited while it is open: any call may then also return MMGR_ERR_STORE_INCOMPATIBLE or
 * MMGR_ERR_INVALID_CONFIG, with path, line and column in the message, until the file is repaired; and any change
 * MMGR_ERR_TOO_LARGE, when the records do not fit into such a file.
 */
#ifndef MODELMGR_STORE_H
#define MODELMGR_STORE_H

#include "filter.h"
#include "record.h"

MMGR_BEGIN_DECLS

/** Flags of mmgr_store_options. */
#define MMGR_STORE_READ_ONLY 1u /**< create nothing: a missing file is an empty store; changes are STATE errors */
#define MMGR_STORE_LENIENT 2u   /**< take fields and values of enumerations that this release does not know */
#define MMGR_STORE_WATCH 4u     /**< send MMGR_EVENT_STORE_CHANGED when others change the records; needs bus */

/** Options of mmgr_store_open(). */
struct mmgr_store_options {
    uint32_t struct_size; /**< sizeof(struct mmgr_store_options) */
    uint32_t flags;       /**< MMGR_STORE_* */
    const char *path;     /**< file (.db, .yaml or .yml); NULL: what the config names, or sqlite */
    mmgr_config *config;  /**< config whose models_dir and root resolve paths; NULL: paths stay as stored */
    mmgr_bus *bus;        /**< bus for store events; NULL: none */
    /** The host's own open sqlite3 *, instead of a path. It stays the host's and must outlive the store;
     *  its other tables and its settings are left alone. Inside a transaction of the host the store uses
     *  savepoints and never commits it. */
    void *sqlite;
    /** With sqlite: what sqlite3_sourceid() returns in the host, the pointer itself. It shows that host
     *  and library share one copy of SQLite. */
    const char *sqlite_source_id;
    /** With sqlite: taken around each use; recursive. NULL: the host does not use the handle while it
     *  calls the store. */
    void (*sqlite_lock)(void *user);
    void (*sqlite_unlock)(void *user); /**< releases it; needed with sqlite_lock */
    void *sqlite_lock_user;            /**< passed to both */
};

/**
 * Open a store; a missing file is created and initialised, its folder too.
 *
 * @param options     Options or NULL. At least path, config or sqlite is needed; path and sqlite exclude
 *   each other.
 * @param[out] store  Given; close with mmgr_store_close().
 * @return MMGR_OK; MMGR_ERR_STORE_INCOMPATIBLE (no database, another schema, or one of a newer
 *   release: the file is not changed and the message says what was found); MMGR_ERR_UNSUPPORTED (file
 *   extension, handle of another copy of SQLite); MMGR_ERR_BUSY; MMGR_ERR_PERMISSION; MMGR_ERR_IO;
 *   MMGR_ERR_NO_SPACE; MMGR_ERR_ARGUMENT; MMGR_ERR_ABI_SIZE; MMGR_ERR_ABI_NEWER; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_store_open(const struct mmgr_store_options *options, mmgr_store **store);

/**
 * Close a store.
 * @param store  Store, or NULL for no effect.
 * @return MMGR_OK, or MMGR_ERR_BUSY while another service uses it.
 *
 * Thread-safety: must not race with other calls on this store.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_store_close(mmgr_store *store);

/**
 * Version of the store's schema, such as "1".
 * @param store  Store.
 * @return Lent text.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const char *mmgr_store_version(const mmgr_store *store);

/**
 * Notice changes by others: the number grows when another process, or another handle of the same store, has
 * changed records since an earlier call. The first call counts from there. One call costs a few microseconds;
 * to be told instead, open the store with MMGR_STORE_WATCH.
 * @param store         Store.
 * @param[out] changes  Number.
 * @return MMGR_OK; MMGR_ERR_BUSY; MMGR_ERR_IO; MMGR_ERR_ARGUMENT; MMGR_ERR_STATE (after fork());
 *   MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_store_changes(mmgr_store *store, uint64_t *changes);

/**
 * Add a record.
 * @param store       Store.
 * @param record      Record to add, with its manifest if it has one.
 * @param[out] added  Given: the record as stored, with its times; may be NULL.
 * @return MMGR_OK; MMGR_ERR_DUPLICATE_MODEL (key or path is taken; field says which, subject is the other
 *   record's key); MMGR_ERR_INVALID_CONFIG (a field or a value that this release does not know, unless the
 *   store is MMGR_STORE_LENIENT); MMGR_ERR_BUSY; MMGR_ERR_IO; MMGR_ERR_NO_SPACE;
 *   MMGR_ERR_ARGUMENT; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_store_add(mmgr_store *store, const mmgr_record *record, mmgr_record **added);

/**
 * Add many records in one transaction: all of them or none.
 * @param store    Store.
 * @param records  Records to add.
 * @param count    Number of records.
 * @return What mmgr_store_add() returns for the first that is refused; the subject or message names it.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_store_add_many(mmgr_store *store, const mmgr_record *const *records,
                                              uint32_t count);

/**
 * Change some fields of a record: the members of a JSON object replace fields, null clears them.
 * @param store         Store.
 * @param key           Key.
 * @param patch         JSON object.
 * @param[out] updated  Given: the record as stored; may be NULL.
 * @return MMGR_OK; MMGR_ERR_UNKNOWN_MODEL; MMGR_ERR_INVALID_CONFIG (names the field, record unchanged;
 *   see mmgr_store_add());
 *   MMGR_ERR_DUPLICATE_MODEL; MMGR_ERR_BUSY; MMGR_ERR_IO; MMGR_ERR_NO_SPACE; MMGR_ERR_ARGUMENT;
 *   MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_store_update(mmgr_store *store, const char *key, const char *patch,
                                            mmgr_record **updated);

/**
 * Delete a record; files are not touched.
 * @param store  Store.
 * @param key    Key.
 * @return MMGR_OK; MMGR_ERR_UNKNOWN_MODEL; MMGR_ERR_BUSY; MMGR_ERR_IO; MMGR_ERR_ARGUMENT.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_store_delete(mmgr_store *store, const char *key);

/**
 * Get a record with its manifest.
 * @param store        Store.
 * @param key          Key.
 * @param[out] record  Given; release with mmgr_record_unref().
 * @return MMGR_OK; MMGR_ERR_UNKNOWN_MODEL; MMGR_ERR_BUSY; MMGR_ERR_IO; MMGR_ERR_ARGUMENT;
 *   MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_store_get(mmgr_store *store, const char *key, mmgr_record **record);

/**
 * Whether a record exists.
 * @param store        Store.
 * @param key          Key.
 * @param[out] exists  1 or 0.
 * @return MMGR_OK; MMGR_ERR_BUSY; MMGR_ERR_IO; MMGR_ERR_ARGUMENT.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_store_exists(mmgr_store *store, const char *key, int *exists);

/** What mmgr_store_search() looks for; members that are unset match everything. All must match. */
struct mmgr_search_options {
    uint32_t struct_size;   /**< sizeof(struct mmgr_search_options) */
    uint32_t tag_count;     /**< number of tags */
    const char *name;       /**< exact name */
    const char *type;       /**< type string, such as "main" */
    const char *format;     /**< format string */
    const char *base;       /**< base string; matches any member of bases */
    const char *path;       /**< path as stored, or absolute */
    const char *hash;       /**< "algorithm:hex" */
    const char *source;     /**< source string */
    const char *const *tags;/**< tags, all of which the record has */
    const char *sort;       /**< field to order by, then key; "-field" for descending; NULL: type, base,
                                 name, format, key */
    uint64_t limit;         /**< most records to return; 0 = all */
    uint64_t offset;        /**< records to skip */
    const char *filter;     /**< filter expression, docs/filters.md */
    const char *text;       /**< full text over name, description, tags and trigger phrases: every word must be
                                 there as the beginning of a word, "words in quotes" exactly, -words not; without
                                 sort the best come first */
    const mmgr_filter *where; /**< filter that was built or parsed before; beside `filter`, both must hold */
    const char *cursor;     /**< what mmgr_record_list_cursor() gave: go on after that page; costs the same however
                                 far it is from the start; sort, and whether there is a text, must be the same */
    uint64_t flags;         /**< MMGR_SEARCH_* */
};

/** Flags of mmgr_search_options. */
#define MMGR_SEARCH_NO_TOTAL 1u /**< do not count what the limit cuts off; the list's total is 0 */

/**
 * Find records.
 * @param store      Store.
 * @param options    What to look for; NULL: all records.
 * @param[out] list  Given; free with mmgr_record_list_free(). Empty when nothing fits.
 * @return MMGR_OK; MMGR_ERR_ARGUMENT (its field says which: "sort", "filter" with the offset, "text", "cursor",
 *   "tags", "flags"); MMGR_ERR_BUSY; MMGR_ERR_IO; MMGR_ERR_ABI_SIZE; MMGR_ERR_ABI_NEWER; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_store_search(mmgr_store *store, const struct mmgr_search_options *options,
                                            mmgr_record_list **list);

/**
 * The one record with this name, and this base and type where they are given.
 * @param store        Store.
 * @param name         Name.
 * @param base         Base string, or NULL for any.
 * @param type         Type string, or NULL for any.
 * @param[out] record  Given; release with mmgr_record_unref().
 * @return MMGR_OK; MMGR_ERR_UNKNOWN_MODEL; MMGR_ERR_AMBIGUOUS_MODEL (the message lists the keys);
 *   MMGR_ERR_BUSY; MMGR_ERR_IO; MMGR_ERR_ARGUMENT; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_store_get_by_name(mmgr_store *store, const char *name, const char *base,
                                                 const char *type, mmgr_record **record);

/**
 * Absolute form of a record's path: path and vae are relative to models_dir, config_path to the root, and
 * absolute ones stay as they are.
 * @param store      Store that the record belongs to.
 * @param record     Record.
 * @param field      MMGR_FIELD_PATH, MMGR_FIELD_VAE or MMGR_FIELD_CONFIG_PATH.
 * @param[out] path  Given: absolute path; NULL when the field is not set, is a vae that is a key (32 hex
 *   characters), or is relative and the store was opened without a config.
 * @return MMGR_OK; MMGR_ERR_ARGUMENT (another field); MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_store_resolve(const mmgr_store *store, const mmgr_record *record,
                                             enum mmgr_field field, char **path);

MMGR_END_DECLS
#endif
