/* SPDX-License-Identifier: MIT */
/* SQLite connections: settings, waiting for others, prepared statements, transactions, errors. */
#include "store/sqlite_db.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/io.h"

static const char *const texts[SQL_COUNT] = {
    [SQL_BEGIN_READ] = "BEGIN",
    [SQL_BEGIN_WRITE] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_SAVE] = "SAVEPOINT mmgr",
    [SQL_RELEASE] = "RELEASE mmgr",
    [SQL_BACK] = "ROLLBACK TO mmgr",
    [SQL_INSERT] =
        "INSERT INTO mmgr_models(key, path, name, type, base, format, hash, source, revision,"
        " repo_variant, file_size, created_at, updated_at, record)"
        " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    [SQL_UPDATE] =
        "UPDATE mmgr_models SET key = ?1, path = ?2, name = ?3, type = ?4, base = ?5, format = ?6,"
        " hash = ?7, source = ?8, revision = ?9, repo_variant = ?10, file_size = ?11,"
        " created_at = ?12, updated_at = ?13, record = ?14 WHERE id = ?15",
    [SQL_DELETE] = "DELETE FROM mmgr_models WHERE id = ?1",
    [SQL_GET] = "SELECT id, path, record FROM mmgr_models WHERE key = ?1",
    [SQL_BY_PATH] = "SELECT key FROM mmgr_models WHERE path = ?1",
    [SQL_BY_SOURCE] = "SELECT key FROM mmgr_models WHERE source = ?1 AND revision IS ?2"
                      " AND repo_variant IS ?3 AND key <> ?4",
    [SQL_ADD_TAG] = "INSERT INTO mmgr_tags(id, tag) VALUES(?1, ?2)",
    [SQL_DROP_TAGS] = "DELETE FROM mmgr_tags WHERE id = ?1",
    [SQL_ADD_BASE] = "INSERT INTO mmgr_bases(id, base) VALUES(?1, ?2)",
    [SQL_DROP_BASES] = "DELETE FROM mmgr_bases WHERE id = ?1",
    [SQL_ADD_FILE] =
        "INSERT INTO mmgr_files(id, path, size, sha256, git_sha1, xxh3, blocks, mtime_ns, device,"
        " inode, flags) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    [SQL_DROP_FILES] = "DELETE FROM mmgr_files WHERE id = ?1",
    [SQL_FILES] =
        "SELECT path, size, sha256, git_sha1, xxh3, blocks, mtime_ns, device, inode, flags"
        " FROM mmgr_files WHERE id = ?1 ORDER BY path",
    [SQL_ADD_WORDS] = "INSERT INTO mmgr_text(rowid, name, description, tags, trigger_phrases)"
                      " VALUES(?1, ?2, ?3, ?4, ?5)",
    [SQL_DROP_WORDS] = "DELETE FROM mmgr_text WHERE rowid = ?1",
    [SQL_DATA_VERSION] = "PRAGMA data_version",
    [SQL_TAG_USES] =
        "SELECT count(*) FROM (SELECT 1 FROM mmgr_tags WHERE tag = ?1 LIMIT ?2)",
};

enum mmgr_result mmgr__db_incompatible(const char *path, const char *format, ...)
{
    char why[512];
    va_list args;

    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    mmgr__fail(MMGR_ERR_STORE_INCOMPATIBLE, "%s %s; it was not changed", path, why);
    mmgr__error_set_subject(path);
    return MMGR_ERR_STORE_INCOMPATIBLE;
}

static enum mmgr_result code_of(int rc, int os_errno)
{
    enum mmgr_result code;

    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return MMGR_ERR_BUSY;
    case SQLITE_NOMEM:
        return MMGR_ERR_NO_MEMORY;
    case SQLITE_FULL:
        return MMGR_ERR_NO_SPACE;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return MMGR_ERR_PERMISSION;
    case SQLITE_IOERR:
        /* An errno may be older than the failure: only those that fit are taken for its cause. */
        code = mmgr__errno_code(os_errno);
        return code == MMGR_ERR_NO_SPACE || code == MMGR_ERR_PERMISSION ? code : MMGR_ERR_IO;
    case SQLITE_CANTOPEN:
        return os_errno != 0 ? mmgr__errno_code(os_errno) : MMGR_ERR_IO;
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
    case SQLITE_ERROR:
        return MMGR_ERR_STORE_INCOMPATIBLE;
    default:
        return MMGR_ERR_IO;
    }
}

/* errno of a failed call. SQLite forgets it when a commit fails; its file objects do not. */
static int errno_of(const struct mmgr__db *db, int rc)
{
    static const int files[] = {SQLITE_FCNTL_JOURNAL_POINTER, SQLITE_FCNTL_FILE_POINTER};
    int os_errno = 0;

    if ((rc & 0xff) != SQLITE_IOERR && (rc & 0xff) != SQLITE_CANTOPEN)
        return 0;
    os_errno = sqlite3_system_errno(db->db);
    for (size_t i = 0; i < sizeof files / sizeof files[0] && os_errno == 0; i++) {
        sqlite3_file *file = NULL;

        if (sqlite3_file_control(db->db, "main", files[i], &file) == SQLITE_OK && file != NULL &&
            file->pMethods != NULL)
            file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &os_errno);
    }
    return os_errno;
}

enum mmgr_result mmgr__db_fail(const struct mmgr__db *db, int rc, const char *doing)
{
    int os_errno = errno_of(db, rc);
    enum mmgr_result code = code_of(rc, os_errno);

    mmgr__fail(code, "cannot %s the record store %s: %s (SQLite %d)%s%s", doing, db->path,
               sqlite3_errcode(db->db) == SQLITE_OK ? sqlite3_errstr(rc) : sqlite3_errmsg(db->db),
               rc, os_errno != 0 ? ": " : "",
               os_errno != 0 ? strerror(os_errno) : "");
    mmgr__error_set_subject(db->path);
    mmgr__error_set_errno(os_errno);
    return code;
}

/* Waits a little at a time: SQLite's own handler grows its naps to 100 ms, and with many writers
 * a process can then miss every gap for ten seconds. */
static int wait_for_others(void *user, int count)
{
    struct mmgr__db *db = user;
    int64_t now = mmgr__now_monotonic();
    struct timespec nap = {0, 1000000 + (now / 1000 + (int64_t)(uintptr_t)db / 64) % 4000 * 1000};

    if (count == 0)
        db->busy_until = now + SQLITE_BUSY_NS;
    if (now >= db->busy_until)
        return 0;
    nanosleep(&nap, NULL);
    return 1;
}

/* Defences against a file that somebody else could write to, and durability. */
static int configure(struct mmgr__db *db, enum mmgr__db_mode mode)
{
    static const char pragmas[] =
        "PRAGMA cell_size_check=ON; PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY;"
        "PRAGMA synchronous=FULL; PRAGMA foreign_keys=OFF;";
    int rc;

    sqlite3_busy_handler(db->db, wait_for_others, db);
    sqlite3_extended_result_codes(db->db, 1);
    sqlite3_db_config(db->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, mode == MMGR__DB_FOREIGN, NULL);
    sqlite3_db_config(db->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    sqlite3_db_config(db->db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    sqlite3_limit(db->db, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_limit(db->db, SQLITE_LIMIT_LENGTH, 64 << 20);
    rc = sqlite3_exec(db->db, pragmas, NULL, NULL, NULL);
    if (rc == SQLITE_OK && mode < MMGR__DB_WRITE)
        rc = sqlite3_exec(db->db, "PRAGMA query_only=ON", NULL, NULL, NULL);
    return rc;
}

/* As a URI, in which %, ? and # have a meaning. */
static char *frozen_uri(const char *path)
{
    struct mmgr__buf uri = {0};

    mmgr__buf_puts(&uri, "file:");
    for (; *path != '\0'; path++) {
        if (*path == '%' || *path == '?' || *path == '#')
            mmgr__buf_printf(&uri, "%%%02x", (unsigned)*path);
        else
            mmgr__buf_append(&uri, path, 1);
    }
    mmgr__buf_puts(&uri, "?immutable=1");
    return mmgr__buf_take(&uri);
}

static int open_file(const char *path, enum mmgr__db_mode mode, sqlite3 **db)
{
    /* A host may have turned the shared cache on for its whole process; in it one connection's lock of a
     * table refuses the others at once, without a busy handler. */
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
    char *uri;
    int rc;

    if (mode != MMGR__DB_FROZEN && mode != MMGR__DB_FOREIGN)
        return sqlite3_open_v2(path, db, flags | (mode == MMGR__DB_CREATE ? SQLITE_OPEN_CREATE : 0),
                               NULL);
    uri = frozen_uri(path);
    if (uri == NULL)
        return SQLITE_NOMEM;
    rc = sqlite3_open_v2(uri, db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX |
                                       SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_URI,
                         NULL);
    mmgr__free(uri);
    return rc;
}

enum mmgr_result mmgr__db_open(const char *path, enum mmgr__db_mode mode, struct mmgr__db **db)
{
    struct mmgr__db *made = mmgr__alloc0(1, sizeof *made);
    enum mmgr_result result;
    int rc;

    if (made == NULL)
        return mmgr__oom();
    made->path = path;
    rc = open_file(path, mode, &made->db);
    if (made->db == NULL) {
        mmgr__free(made);
        return mmgr__oom();
    }
    if (rc == SQLITE_OK && mode >= MMGR__DB_WRITE && sqlite3_db_readonly(made->db, "main") == 1)
        rc = SQLITE_READONLY;
    if (rc == SQLITE_OK)
        rc = configure(made, mode);
    if (rc == SQLITE_OK) {
        *db = made;
        return MMGR_OK;
    }
    result = mmgr__db_fail(made, rc, "open");
    mmgr__db_close(made);
    return result;
}

enum mmgr_result mmgr__db_open_memory(const char *path, struct mmgr__db **db)
{
    enum mmgr_result result = mmgr__db_open(":memory:", MMGR__DB_CREATE, db);

    if (result != MMGR_OK)
        return result;
    (*db)->path = path;
    result = mmgr__db_run(*db, mmgr__db_schema, "initialise");
    if (result != MMGR_OK)
        mmgr__db_close(*db);
    return result;
}

void mmgr__db_close(struct mmgr__db *db)
{
    if (db == NULL)
        return;
    for (int i = 0; i < SQL_COUNT; i++)
        sqlite3_finalize(db->statements[i]);
    for (int i = 0; i < MMGR__DB_CACHED; i++) {
        sqlite3_finalize(db->cached[i].statement);
        mmgr__free(db->cached[i].sql);
    }
    if (!db->adopted)
        sqlite3_close(db->db);
    mmgr__free(db);
}

enum mmgr_result mmgr__db_adopt(sqlite3 *handle, struct mmgr__db **db)
{
    struct mmgr__db *made = mmgr__alloc0(1, sizeof *made);

    if (made == NULL)
        return mmgr__oom();
    made->db = handle;
    made->adopted = 1;
    made->path = "the host's database"; /* its own name may be empty */
    *db = made;
    return MMGR_OK;
}

static int bind(sqlite3_stmt *statement, const char *types, va_list args)
{
    int rc = SQLITE_OK, given;

    for (int i = 0; types[i] != '\0' && rc == SQLITE_OK; i++) {
        if (types[i] == 's') {
            rc = sqlite3_bind_text(statement, i + 1, va_arg(args, const char *), -1, SQLITE_STATIC);
            continue;
        }
        given = types[i] == 'n' ? va_arg(args, int) : 1;
        int64_t number = va_arg(args, int64_t);
        rc = given ? sqlite3_bind_int64(statement, i + 1, number) : SQLITE_OK;
    }
    return rc;
}

static enum mmgr_result prepare(struct mmgr__db *db, enum mmgr__sql which, sqlite3_stmt **statement,
                                const char *types, va_list args)
{
    int rc = SQLITE_OK;

    if (db->statements[which] == NULL)
        rc = sqlite3_prepare_v3(db->db, texts[which], -1, SQLITE_PREPARE_PERSISTENT,
                                &db->statements[which], NULL);
    if (rc != SQLITE_OK)
        return mmgr__db_fail(db, rc, "use");
    sqlite3_reset(db->statements[which]);
    sqlite3_clear_bindings(db->statements[which]);
    rc = bind(db->statements[which], types, args);
    if (rc != SQLITE_OK)
        return mmgr__db_fail(db, rc, "use");
    *statement = db->statements[which];
    return MMGR_OK;
}

enum mmgr_result mmgr__db_statement(struct mmgr__db *db, enum mmgr__sql which,
                                    sqlite3_stmt **statement, const char *types, ...)
{
    enum mmgr_result result;
    va_list args;

    va_start(args, types);
    result = prepare(db, which, statement, types, args);
    va_end(args);
    return result;
}

int mmgr__db_is_taken(const struct mmgr__db *db)
{
    int rc = sqlite3_extended_errcode(db->db);

    return rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY;
}

enum mmgr_result mmgr__db_step(struct mmgr__db *db, sqlite3_stmt *statement, int *row)
{
    int rc = sqlite3_step(statement);
    enum mmgr_result result;

    *row = rc == SQLITE_ROW;
    if (rc == SQLITE_ROW)
        return MMGR_OK;
    result = rc == SQLITE_DONE ? MMGR_OK : mmgr__db_fail(db, rc, "use");
    sqlite3_reset(statement);
    return result;
}

/* The slot with this text, or the one that was not used for longest. */
static struct mmgr__db_cached *find_cached(struct mmgr__db *db, const char *sql)
{
    struct mmgr__db_cached *oldest = &db->cached[0];

    for (int i = 0; i < MMGR__DB_CACHED; i++) {
        struct mmgr__db_cached *slot = &db->cached[i];

        if (slot->sql != NULL && strcmp(slot->sql, sql) == 0)
            return slot;
        if (slot->used < oldest->used)
            oldest = slot;
    }
    return oldest;
}

enum mmgr_result mmgr__db_query(struct mmgr__db *db, const struct mmgr__clause *clause,
                                sqlite3_stmt **statement)
{
    struct mmgr__db_cached *slot;
    int rc = SQLITE_OK;

    if (clause->failed)
        return mmgr__oom();
    slot = find_cached(db, clause->sql.data);
    if (slot->sql == NULL || strcmp(slot->sql, clause->sql.data) != 0) {
        char *sql = mmgr__strdup(clause->sql.data);

        if (sql == NULL)
            return mmgr__oom();
        sqlite3_finalize(slot->statement);
        mmgr__free(slot->sql);
        *slot = (struct mmgr__db_cached){.sql = sql};
        rc = sqlite3_prepare_v3(db->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &slot->statement, NULL);
        if (rc != SQLITE_OK) {
            mmgr__free(slot->sql);
            slot->sql = NULL;
            return mmgr__db_fail(db, rc, "search");
        }
    }
    slot->used = ++db->searches;
    rc = mmgr__clause_bind(clause, slot->statement);
    if (rc != SQLITE_OK)
        return mmgr__db_fail(db, rc, "search");
    *statement = slot->statement;
    return MMGR_OK;
}

void mmgr__db_release(sqlite3_stmt *statement)
{
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
}

static enum mmgr_result pass_point(const struct mmgr__db *db, const char *name)
{
    int error = mmgr__io_point(name);

    return error < 0 ? mmgr__fail_errno(-error, "write to the record store", db->path) : MMGR_OK;
}

enum mmgr_result mmgr__db_write(struct mmgr__db *db, enum mmgr__sql which, const char *types, ...)
{
    enum mmgr_result result = pass_point(db, "store.statement");
    sqlite3_stmt *statement;
    va_list args;
    int row;

    if (result != MMGR_OK)
        return result;
    va_start(args, types);
    result = prepare(db, which, &statement, types, args);
    va_end(args);
    if (result == MMGR_OK)
        result = mmgr__db_step(db, statement, &row);
    /* A host may have asked SQLite to count changes, which makes a row of each; a statement that is left in the
     * middle keeps its transaction from ending. */
    while (result == MMGR_OK && row)
        result = mmgr__db_step(db, statement, &row);
    return result;
}

static enum mmgr_result simple(struct mmgr__db *db, enum mmgr__sql which)
{
    sqlite3_stmt *statement;
    int row;
    enum mmgr_result result = mmgr__db_statement(db, which, &statement, "");

    return result == MMGR_OK ? mmgr__db_step(db, statement, &row) : result;
}

enum mmgr_result mmgr__db_begin(struct mmgr__db *db, int write)
{
    db->nested = db->adopted && !sqlite3_get_autocommit(db->db);
    if (db->nested)
        return simple(db, SQL_SAVE);
    /* Left over when even the rollback failed. */
    if (!sqlite3_get_autocommit(db->db))
        simple(db, SQL_ROLLBACK);
    return simple(db, write ? SQL_BEGIN_WRITE : SQL_BEGIN_READ);
}

/* Some failures of a commit have rolled back already. */
static void roll_back(struct mmgr__db *db)
{
    if (sqlite3_get_autocommit(db->db))
        return;
    if (!db->nested)
        simple(db, SQL_ROLLBACK);
    else if (simple(db, SQL_BACK) == MMGR_OK)
        simple(db, SQL_RELEASE);
}

enum mmgr_result mmgr__db_end(struct mmgr__db *db, int write, enum mmgr_result result)
{
    struct mmgr_error cause;

    if (result == MMGR_OK && write)
        result = pass_point(db, "store.commit");
    if (result == MMGR_OK)
        result = simple(db, db->nested ? SQL_RELEASE : SQL_COMMIT);
    if (result != MMGR_OK) {
        /* The first cause is what is reported. */
        mmgr__error_save(&cause);
        roll_back(db);
        mmgr__error_restore(&cause);
        mmgr__error_clear(&cause);
    }
    return result;
}

enum mmgr_result mmgr__db_number(struct mmgr__db *db, const char *sql, int64_t *value)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db->db, sql, -1, &statement, NULL);
    enum mmgr_result result = MMGR_OK;

    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW)
        *value = sqlite3_column_int64(statement, 0);
    else
        result = mmgr__db_fail(db, rc, "read");
    sqlite3_finalize(statement);
    return result;
}

enum mmgr_result mmgr__db_run(struct mmgr__db *db, const char *sql, const char *doing)
{
    int rc = sqlite3_exec(db->db, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? MMGR_OK : mmgr__db_fail(db, rc, doing);
}

enum mmgr_result mmgr__db_changed(struct mmgr__db *db, int *changed)
{
    sqlite3_stmt *statement;
    int row = 0;
    enum mmgr_result result = mmgr__db_statement(db, SQL_DATA_VERSION, &statement, "");

    if (result == MMGR_OK)
        result = mmgr__db_step(db, statement, &row);
    if (result == MMGR_OK && row) {
        int64_t version = sqlite3_column_int64(statement, 0);

        *changed = version != db->version;
        db->version = version;
        sqlite3_reset(statement);
    }
    return result;
}
