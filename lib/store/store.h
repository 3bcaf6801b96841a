/* SPDX-License-Identifier: MIT */
/* The store's inside: what a back end must provide, and what other services call. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <modelmgr/store.h>

#include "base/record.h"

/* Where stored paths are resolved: a relative path or vae against models_dir, a relative
 * config_path against root. Texts are NULL when the store was opened without a config. */
struct mmgr__store_place {
    const char *models_dir, *root;
};

/* A handle of the host and its lock, already checked. */
struct mmgr__store_host {
    void *handle; /* NULL: a file of our own */
    void (*lock)(void *user);
    void (*unlock)(void *user);
    void *user;
};

/* A search, checked. */
struct mmgr__query {
    const char *name, *type, *format, *base, *path, *hash, *source;
    const char *const *tags;
    uint32_t tag_count;
    const mmgr_filter *filters[2]; /* NULL: none */
    const char *words;             /* full text */
    const char *sort;              /* as given, "" for the default */
    const char *cursor;
    uint64_t limit, offset; /* limit 0 = all */
    int no_total;
};

/* Flags of adding. */
#define MMGR__STORE_AGAIN 1u /* the same key with the same path is already there: that is fine */
#define MMGR__STORE_UNIQUE_SOURCE \
    2u /* refuse when source, revision and repo variant are those of another */

/* Records to add. */
struct mmgr__adding {
    const mmgr_record *const *records; /* complete: canonical path, times; NULL: not this one */
    size_t count;
    uint32_t flags;
    size_t at; /* the record being added, also after a failure */
    /* Called when a record is refused as a duplicate, with the thread's last error: MMGR_OK goes on without
     * it, anything else undoes all. NULL: undo. */
    enum mmgr_result (*refused)(size_t index, void *user);
    void *user;
    int existed; /* nothing was done for the last record because of MMGR__STORE_AGAIN */
};

/* Makes the new record of the old one, inside the transaction of an update. */
typedef enum mmgr_result (*mmgr__store_edit)(const mmgr_record *old, mmgr_record **changed,
                                             void *user);

/* One back end. Writes are called by one thread at a time, reads by any number. Every write is one
 * transaction: all of it or nothing. */
struct mmgr__store_ops {
    const char *extension; /* of the files that it handles */
    const char *version;   /* of what it writes */
    /* read_only: create nothing, and add, update and remove will not be called. */
    enum mmgr_result (*open)(const char *path, const struct mmgr__store_place *place, int read_only,
                             void **self);
    void (*close)(void *self);
    const char *(*path)(const void *self); /* of the file; NULL: there is none of our own */
    enum mmgr_result (*add)(void *self, struct mmgr__adding *adding);
    /* Where the new record's manifest is another one, its rows are written anew. */
    enum mmgr_result (*update)(void *self, const char *key, mmgr__store_edit edit, void *user,
                               mmgr_record **updated);
    enum mmgr_result (*remove)(void *self, const char *key);
    enum mmgr_result (*get)(void *self, const char *key, mmgr_record **record);
    enum mmgr_result (*exists)(void *self, const char *key, int *exists);
    enum mmgr_result (*search)(void *self, const struct mmgr__query *query, mmgr_record_list *list);
    /* *changed: others changed the records since this was last asked. Called as a write is. */
    enum mmgr_result (*changed)(void *self, int *changed);
};
extern const struct mmgr__store_ops mmgr__store_sqlite, mmgr__store_yaml, mmgr__store_yml;
/* Open the SQLite back end on the host's handle. UNSUPPORTED when it is one of another copy of
 * SQLite. */
enum mmgr_result mmgr__store_adopt(const struct mmgr__store_host *host, const char *source_id,
                                   const struct mmgr__store_place *place, int read_only,
                                   void **self);
extern const struct mmgr__store_ops mmgr__store_empty; /* for reading where no file is */

/* What back ends share. */
#define MMGR__FILES_MEMBER "_files" /* errors' name of the manifest, and its member in YAML */
enum mmgr_result mmgr__store_unknown(const char *key);
/* DUPLICATE_MODEL: field is "key", "path" or "source", other the key of the record that has it. */
enum mmgr_result mmgr__store_duplicate(const char *field, const char *value, const char *other);
/* Start a record of its stored JSON; INVALID_CONFIG names the key. The caller adds files and
 * finishes. */
enum mmgr_result mmgr__store_read_row(const struct mmgr__store_place *place, const char *key,
                                      const char *json, size_t length,
                                      mmgr_record_builder **builder);
/* Network file systems give no shared memory, which SQLite's WAL needs, and no notice of what others do. */
int mmgr__store_on_network(const char *path);
/* Canonical form of a path for storage: relative when inside the folder. Owned; NULL = no
 * memory. */
char *mmgr__store_inward(const char *path, const char *folder);
/* Bring the paths of a draft into the form that is stored, and set its location. */
enum mmgr_result mmgr__store_canonical(const struct mmgr__store_place *place,
                                       mmgr_record_builder *builder);
/* Absolute form of a stored path, *absolute NULL when that cannot be told. 0 = no memory. */
int mmgr__store_outward(const char *path, const char *folder, char **absolute);

/* ---- for other services */

/* Add with flags. With MMGR__STORE_AGAIN recovery may repeat what a killed process had finished;
 * *added is then the record that is there. */
enum mmgr_result mmgr__store_add_full(mmgr_store *store, const mmgr_record *record, uint32_t flags,
                                      mmgr_record **added);
/* Add many in one transaction, whatever terms and members they hold. `refused` as in mmgr__adding; it is also
 * called for a record that is invalid as a whole. */
enum mmgr_result mmgr__store_add_batch(mmgr_store *store, const mmgr_record *const *records,
                                       size_t count,
                                       enum mmgr_result (*refused)(size_t index, void *user),
                                       void *user);
/* As mmgr_store_update(), but `edit` makes the new record, with its manifest. The key stays. */
enum mmgr_result mmgr__store_change(mmgr_store *store, const char *key, mmgr__store_edit edit,
                                    void *user, mmgr_record **changed);
/* Call fn with every record and its manifest, in the default order, until it returns other than
 * MMGR_OK. No transaction is open meanwhile: fn may call the store. Broken rows are logged and
 * skipped. */
enum mmgr_result mmgr__store_each(mmgr_store *store,
                                  enum mmgr_result (*fn)(const mmgr_record *record, void *user),
                                  void *user);
/* While a service uses the store, closing it is BUSY. */
void mmgr__store_use(mmgr_store *store);
void mmgr__store_unuse(mmgr_store *store);

#endif
