/* SPDX-License-Identifier: MIT */
/* SQLite back end: connections, statements, transactions and errors, shared by its files. */
#ifndef STORE_SQLITE_DB_H
#define STORE_SQLITE_DB_H

#include <sqlite3.h>
#include <time.h>

#include "base/error.h"
#include "store/clause.h"
#include "store/store.h"

#define SQLITE_BUSY_NS INT64_C(10000000000) /* how long a call waits for other processes */

enum mmgr__sql {
    SQL_BEGIN_READ,
    SQL_BEGIN_WRITE,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_SAVE,
    SQL_RELEASE,
    SQL_BACK,
    SQL_INSERT,
    SQL_UPDATE,
    SQL_DELETE,
    SQL_GET,
    SQL_BY_PATH,
    SQL_BY_SOURCE,
    SQL_ADD_TAG,
    SQL_DROP_TAGS,
    SQL_ADD_BASE,
    SQL_DROP_BASES,
    SQL_ADD_FILE,
    SQL_DROP_FILES,
    SQL_FILES,
    SQL_ADD_WORDS,
    SQL_DROP_WORDS,
    SQL_DATA_VERSION,
    SQL_TAG_USES,
    SQL_COUNT
};

/* A statement that was put together, kept for the next search of the same form. */
struct mmgr__db_cached {
    char *sql;
    sqlite3_stmt *statement;
    uint64_t used; /* when, in searches of this connection */
};
#define MMGR__DB_CACHED 16

/* A state of a file. */
struct mmgr__db_stamp {
    uint64_t device, inode, size;
    struct timespec modified;
};

/* One connection; used by one thread at a time. */
struct mmgr__db {
    sqlite3 *db;
    const char *path;
    sqlite3_stmt *statements[SQL_COUNT];
    int64_t busy_until;
    struct mmgr__db_cached cached[MMGR__DB_CACHED];
    uint64_t searches;
    int64_t version; /* of the data, when last looked at */
    struct mmgr__db_stamp frozen; /* of the file that is read without locks; no inode: this is none */
    int adopted;           /* the handle is the host's */
    int nested;            /* the present transaction is a savepoint in one of the host */
    struct mmgr__db *next; /* in the list of idle readers */
};

enum mmgr__db_mode {
    MMGR__DB_READ,   /* queries only */
    MMGR__DB_FROZEN, /* queries of a file that nobody changes: no locks, nothing beside it */
    /* As frozen, a file of another application, whose tables may name functions that SQLite does not
     * vouch for: nothing but plain columns may be read. */
    MMGR__DB_FOREIGN,
    MMGR__DB_WRITE,
    MMGR__DB_CREATE /* and make the file when it is missing */
};
/* Open and set up a connection. */
enum mmgr_result mmgr__db_open(const char *path, enum mmgr__db_mode mode, struct mmgr__db **db);
/* A new database in memory, with the schema; the path is what errors call it. */
enum mmgr_result mmgr__db_open_memory(const char *path, struct mmgr__db **db);
/* A connection on the host's handle; closing it leaves the handle open. */
enum mmgr_result mmgr__db_adopt(sqlite3 *handle, struct mmgr__db **db);
void mmgr__db_close(struct mmgr__db *db);

/* Typed error of the connection's last failure, rc being its code. */
enum mmgr_result mmgr__db_fail(const struct mmgr__db *db, int rc, const char *doing);
/* STORE_INCOMPATIBLE: "<path> <why>". */
enum mmgr_result mmgr__db_incompatible(const char *path, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The prepared statement, reset, with values bound from first to last: s text or NULL, i int64, n
 * int (0: NULL) and int64. Texts must live until the statement is reset. */
enum mmgr_result mmgr__db_statement(struct mmgr__db *db, enum mmgr__sql which,
                                    sqlite3_stmt **statement, const char *types, ...);
/* SQLite's code of a failed step says that a key or a path is taken. */
int mmgr__db_is_taken(const struct mmgr__db *db);
/* Run a statement that gives no rows; passes the I/O door first. */
enum mmgr_result mmgr__db_write(struct mmgr__db *db, enum mmgr__sql which, const char *types, ...);
/* Step: *row 1 or 0. Resets the statement when there is no row. */
enum mmgr_result mmgr__db_step(struct mmgr__db *db, sqlite3_stmt *statement, int *row);

/* The statement of a clause, with its values bound; the clause must live until it is released. */
enum mmgr_result mmgr__db_query(struct mmgr__db *db, const struct mmgr__clause *clause,
                                sqlite3_stmt **statement);
void mmgr__db_release(sqlite3_stmt *statement);

enum mmgr_result mmgr__db_begin(struct mmgr__db *db, int write);
/* Commit when result is MMGR_OK, else roll back; the result of both. Passes the I/O door before
 * a commit of a write. */
enum mmgr_result mmgr__db_end(struct mmgr__db *db, int write, enum mmgr_result result);

/* *changed: another connection has changed the database since this was last asked. */
enum mmgr_result mmgr__db_changed(struct mmgr__db *db, int *changed);

/* Look at a file without changing it or anything beside it. *missing: there is none, or it is
 * empty. */
enum mmgr_result mmgr__db_peek(const char *path, int *missing);
/* Create the schema where there is none, bring an older one up to date, and check the one that is there. */
enum mmgr_result mmgr__db_prepare_schema(struct mmgr__db *db);
/* Only check it. */
enum mmgr_result mmgr__db_check_schema(struct mmgr__db *db);
/* The same in a database of the host, whose application id and version are its own. */
enum mmgr_result mmgr__db_prepare_guest(struct mmgr__db *db, int read_only);
#define MMGR__DB_SCHEMA_VERSION 2
#define MMGR__DB_SCHEMA_TEXT    "2"
/* First value of a query. */
enum mmgr_result mmgr__db_number(struct mmgr__db *db, const char *sql, int64_t *value);
enum mmgr_result mmgr__db_run(struct mmgr__db *db, const char *sql, const char *doing);

/* Copy the database, as it is for others, to "<path>.schema<version>-<time>.backup". Nothing is done where
 * there is no file. */
enum mmgr_result mmgr__db_backup(struct mmgr__db *db, int64_t version);
/* Inside a writing transaction: bring the tables from an earlier version to the present one. */
enum mmgr_result mmgr__db_migrate(struct mmgr__db *db, int64_t version);
extern const char mmgr__db_schema[]; /* makes the tables of the present version */

/* ---- records; all but the search inside a transaction */

enum mmgr_result mmgr__db_get(struct mmgr__db *db, const struct mmgr__store_place *place,
                              const char *key, mmgr_record **record, int64_t *id);
enum mmgr_result mmgr__db_exists(struct mmgr__db *db, const char *key, int *exists);
enum mmgr_result mmgr__db_add(struct mmgr__db *db, struct mmgr__adding *adding);
enum mmgr_result mmgr__db_update(struct mmgr__db *db, const struct mmgr__store_place *place,
                                 const char *key, mmgr__store_edit edit, void *user,
                                 mmgr_record **updated);
enum mmgr_result mmgr__db_remove(struct mmgr__db *db, const char *key);
/* A transaction of its own. */
enum mmgr_result mmgr__db_search(struct mmgr__db *db, const struct mmgr__store_place *place,
                                 const struct mmgr__query *query, mmgr_record_list *list);

#endif
