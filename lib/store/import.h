/* SPDX-License-Identifier: MIT */
/* Import of another tool's models: what its files share. A reader turns its source into a list
 * of records and of what it had to skip; only then is the store touched. */
#ifndef STORE_IMPORT_H
#define STORE_IMPORT_H

#include <modelmgr/import.h>

#include "base/record.h"
#include "store/sqlite_db.h"

struct mmgr__import_item {
    mmgr_record *record; /* with absolute paths; NULL: skipped, for this reason: */
    char *key, *name, *path; /* as far as they are known */
    enum mmgr_result code;
    char *field, *reason;
};

struct mmgr__import {
    char *path;       /* of the source, absolute */
    char *root;       /* the other tool's root folder */
    char *models_dir; /* in which its relative paths lie */
    struct mmgr__import_item *items;
    size_t count, capacity;
};

/* Readers: fill the items; an error is one of the whole source. */
enum mmgr_result mmgr__import_invokeai(struct mmgr__import *import);
enum mmgr_result mmgr__import_yaml(struct mmgr__import *import);

/* INVALID_FILE: "<path> <why>". */
enum mmgr_result mmgr__import_unfit(const char *path, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Make the record of the builder and append it. When `result`, the result of filling the
 * builder, or that of making the record is a fault of this one model, append it as skipped, with
 * the thread's last error as the reason; `key` is its key where the builder has none. Other
 * errors are returned. */
enum mmgr_result mmgr__import_take(struct mmgr__import *import, mmgr_record_builder *builder,
                                   enum mmgr_result result, const char *key);
/* Append a model that was skipped for the thread's last error. Texts may be NULL and of any
 * bytes. */
enum mmgr_result mmgr__import_skip(struct mmgr__import *import, const char *key, const char *name,
                                   const char *path);
/* Forget all items. */
void mmgr__import_clear(struct mmgr__import *import);
/* Set a text field whatever the model's kind, as mmgr__record_builder_load() does. */
enum mmgr_result mmgr__import_set(mmgr_record_builder *builder, enum mmgr_field field, const char *text);
/* Absolute form of a path of the source: below `folder`, or below `other` (may be NULL) when it
 * exists there only. Absolute paths and such as external://a/b stay. Owned; NULL = no memory. */
char *mmgr__import_resolve(const char *path, const char *folder, const char *other);

/* A database of somebody else, open for reading while nothing of it and beside it is changed. */
struct mmgr__import_look {
    struct {
        int exists;
        uint64_t device, inode, size;
        int64_t mtime_ns, ctime_ns;
    } file[3]; /* the database, its WAL, its rollback journal */
};
struct mmgr__import_db {
    struct mmgr__db *db;
    char *path;   /* of the database itself, links resolved */
    char *folder; /* private folder of the copy that is read instead, or NULL */
    int folder_fd;
    char *copy; /* of the database, in the folder */
    struct mmgr__import_look before;
};
/* BUSY: it changed while it was copied. */
enum mmgr_result mmgr__import_db_open(const char *path, struct mmgr__import_db *source);
/* `result`, that of reading; BUSY instead when the source was changed while it was read without
 * a copy. */
enum mmgr_result mmgr__import_db_end(const struct mmgr__import_db *source, enum mmgr_result result);
/* Accepts one that is zero or whose opening failed. */
void mmgr__import_db_close(struct mmgr__import_db *source);

#endif
