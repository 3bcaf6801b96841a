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

/* A search, checked: `sort` is a field of the table or NULL. */
struct mmgr__query {
    const char *name, *type, *format, *base, *path, *hash, *source;
    const char *const *tags;
    uint32_t tag_count;
    const struct mmgr__field *sort;
    int descending;
    uint64_t limit, offset; /* limit 0 = all */
};

/* Flags of adding. */
#define MMGR__STORE_AGAIN 1u /* the same key with the same path is already there: that is fine */
#define MMGR__STORE_UNIQUE_SOURCE \
    2u /* refuse when source, revision and repo variant are those of another */

/* Makes the new record of the old one, inside the transaction of an update. */
typedef enum mmgr_result (*mmgr__store_edit)(const mmgr_record *old, mmgr_record **changed,
                                             void *user);

/* One back end. Records that come in are complete: canonical path, times. Writes are called by
 * one thread at a time, reads by any number. Every write is one transaction: all of it or
 * nothing. */
struct mmgr__store_ops {
    const char *extension; /* of the files that it handles */
    /* read_only: create nothing, and add, update and remove will not be called. */
    enum mmgr_result (*open)(const char *path, const struct mmgr__store_place *place, int read_only,
                             void **self);
    void (*close)(void *self);
    const char *(*version)(const void *self);
    /* *existed: nothing was done because of MMGR__STORE_AGAIN. */
    enum mmgr_result (*add)(void *self, const mmgr_record *record, uint32_t flags, int *existed);
    enum mmgr_result (*update)(void *self, const char *key, mmgr__store_edit edit, void *user,
                               mmgr_record **updated);
    enum mmgr_result (*remove)(void *self, const char *key);
    enum mmgr_result (*get)(void *self, const char *key, mmgr_record **record);
    enum mmgr_result (*exists)(void *self, const char *key, int *exists);
    enum mmgr_result (*search)(void *self, const struct mmgr__query *query, mmgr_record_list *list);
};
extern const struct mmgr__store_ops mmgr__store_sqlite;
/* Open the SQLite back end on the host's handle. UNSUPPORTED when it is one of another copy of
 * SQLite. */
enum mmgr_result mmgr__store_adopt(const struct mmgr__store_host *host, const char *source_id,
                                   const struct mmgr__store_place *place, int read_only,
                                   void **self);
extern const struct mmgr__store_ops mmgr__store_empty; /* for reading where no file is */

/* What back ends share. */
enum mmgr_result mmgr__store_unknown(const char *key);
/* DUPLICATE_MODEL: field is "key", "path" or "source", other the key of the record that has it. */
enum mmgr_result mmgr__store_duplicate(const char *field, const char *value, const char *other);
/* Start a record of its stored JSON; INVALID_CONFIG names the key. The caller adds files and
 * finishes. */
enum mmgr_result mmgr__store_read_row(const struct mmgr__store_place *place, const char *key,
                                      const char *json, size_t length,
                                      mmgr_record_builder **builder);
/* Canonical form of a path for storage: relative when inside the folder. Owned; NULL = no
 * memory. */
char *mmgr__store_inward(const char *path, const char *folder);
/* Absolute form of a stored path, *absolute NULL when that cannot be told. 0 = no memory. */
int mmgr__store_outward(const char *path, const char *folder, char **absolute);

/* ---- for other services */

/* Add with flags. With MMGR__STORE_AGAIN recovery may repeat what a killed process had finished;
 * *added is then the record that is there. */
enum mmgr_result mmgr__store_add_full(mmgr_store *store, const mmgr_record *record, uint32_t flags,
                                      mmgr_record **added);
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
