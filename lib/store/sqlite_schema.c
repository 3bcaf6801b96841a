/* SPDX-License-Identifier: MIT */
/* SQLite back end: which files are ours, making the schema in a new one, and the journal mode. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/vfs.h>
#include <time.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/path.h"
#include "store/sqlite_db.h"

#define APPLICATION_ID 0x4d4d6772 /* "MMgr" */
#define HEADER_BYTES   100

/* Written in one transaction. `record` is the truth; the other columns of models and the tables
 * tags and bases are extracts of it to search by. `files` is the manifest. */
static const char schema[] =
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE models(key TEXT PRIMARY KEY NOT NULL, path TEXT NOT NULL UNIQUE, name TEXT "
    "NOT NULL,"
    " type TEXT NOT NULL, base TEXT NOT NULL, format TEXT NOT NULL, hash TEXT, source TEXT, "
    "revision TEXT,"
    " repo_variant TEXT, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, record "
    "TEXT NOT NULL)"
    " STRICT;"
    "CREATE INDEX models_name ON models(name);"
    "CREATE INDEX models_kind ON models(type, base, name);"
    "CREATE INDEX models_hash ON models(hash) WHERE hash IS NOT NULL;"
    "CREATE INDEX models_source ON models(source) WHERE source IS NOT NULL;"
    "CREATE TABLE tags(key TEXT NOT NULL, tag TEXT NOT NULL, PRIMARY KEY(key, tag)) STRICT, "
    "WITHOUT ROWID;"
    "CREATE INDEX tags_tag ON tags(tag, key);"
    "CREATE TABLE bases(key TEXT NOT NULL, base TEXT NOT NULL, PRIMARY KEY(key, base)) STRICT,"
    " WITHOUT ROWID;"
    "CREATE INDEX bases_base ON bases(base, key);"
    "CREATE TABLE files(key TEXT NOT NULL, path TEXT NOT NULL, size INTEGER NOT NULL, sha256 TEXT,"
    " git_sha1 TEXT, xxh3 TEXT, blocks TEXT, mtime_ns INTEGER NOT NULL, device INTEGER NOT NULL,"
    " inode INTEGER NOT NULL, flags INTEGER NOT NULL, PRIMARY KEY(key, path)) STRICT, WITHOUT "
    "ROWID;"
    "INSERT INTO meta(name, value) VALUES('created_by', 'libmodelmgr " MMGR_VERSION_STRING "'),"
    " ('schema', '" MMGR__DB_SCHEMA_TEXT "')";

static const char identity[] = "PRAGMA application_id=0x4d4d6772;"
                               "PRAGMA user_version=" MMGR__DB_SCHEMA_TEXT;

static uint32_t big_endian(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static enum mmgr_result check_version(const char *path, int64_t version)
{
    if (version > MMGR__DB_SCHEMA_VERSION)
        return mmgr__db_incompatible(
            path,
            "was written by a newer release: it has schema version %lld, and"
            " this library knows versions up to %d",
            (long long)version, MMGR__DB_SCHEMA_VERSION);
    if (version < 1)
        return mmgr__db_incompatible(path, "has no schema version: it is damaged");
    return MMGR_OK;
}

static enum mmgr_result check_header(const char *path, const unsigned char *header)
{
    if (memcmp(header, "SQLite format 3", 16) != 0)
        return mmgr__db_incompatible(path, "is not a SQLite database");
    if (big_endian(header + 68) != APPLICATION_ID)
        return mmgr__db_incompatible(
            path, "is a SQLite database of another application (application id %u)",
            big_endian(header + 68));
    return check_version(path, big_endian(header + 60));
}

/* The header is read through SQLite's own file layer, without a transaction: closing a
 * descriptor of our own would drop the locks that another store of this process holds on the
 * file, and a transaction could replay somebody else's journal. */
enum mmgr_result mmgr__db_peek(const char *path, int *missing)
{
    unsigned char header[HEADER_BYTES] = {0};
    struct mmgr__db db = {.path = path};
    sqlite3_file *file = NULL;
    enum mmgr_result result;
    struct stat st;
    int rc = mmgr__io_stat(AT_FDCWD, path, &st, 1);

    *missing = rc == -ENOENT || (rc == 0 && S_ISREG(st.st_mode) && st.st_size == 0);
    if (*missing)
        return MMGR_OK;
    if (rc < 0)
        return mmgr__fail_errno(-rc, "open the record store", path);
    if (!S_ISREG(st.st_mode))
        return mmgr__db_incompatible(path, "is no regular file");
    rc = sqlite3_open_v2(path, &db.db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
    if (db.db == NULL)
        return mmgr__oom();
    if (rc == SQLITE_OK)
        rc = sqlite3_file_control(db.db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    if (rc == SQLITE_OK && file->pMethods == NULL)
        rc = SQLITE_CANTOPEN;
    if (rc == SQLITE_OK)
        rc = file->pMethods->xRead(file, header, sizeof header, 0);
    if (rc == SQLITE_OK || rc == SQLITE_IOERR_SHORT_READ)
        result = check_header(path, header);
    else
        result = mmgr__db_fail(&db, rc, "read");
    sqlite3_close(db.db);
    return result;
}

static enum mmgr_result number(struct mmgr__db *db, const char *sql, int64_t *value)
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

/* *empty: there is nothing in the file yet. Inside a transaction: between two reads another process may
 * make the schema. */
static enum mmgr_result check_schema(struct mmgr__db *db, int *empty)
{
    int64_t id = 0, version = 0, tables = 0;
    enum mmgr_result result = number(db, "PRAGMA application_id", &id);

    if (result == MMGR_OK)
        result = number(db, "PRAGMA user_version", &version);
    if (result == MMGR_OK)
        result = number(db, "SELECT count(*) FROM sqlite_schema", &tables);
    if (result != MMGR_OK)
        return result;
    *empty = id == 0 && version == 0 && tables == 0;
    if (*empty)
        return MMGR_OK;
    if (id != APPLICATION_ID)
        return mmgr__db_incompatible(db->path, "is a SQLite database of another application");
    return check_version(db->path, version);
}

static enum mmgr_result check_schema_alone(struct mmgr__db *db, int *empty)
{
    enum mmgr_result result = mmgr__db_begin(db, 0);

    return result == MMGR_OK ? mmgr__db_end(db, 0, check_schema(db, empty)) : result;
}

static enum mmgr_result create_schema(struct mmgr__db *db)
{
    enum mmgr_result result = mmgr__db_begin(db, 1);
    int empty = 0;

    if (result != MMGR_OK)
        return result;
    /* Another process may have been first. */
    result = check_schema(db, &empty);
    if (result == MMGR_OK && empty) {
        int rc = sqlite3_exec(db->db, schema, NULL, NULL, NULL);

        if (rc == SQLITE_OK)
            rc = sqlite3_exec(db->db, identity, NULL, NULL, NULL);
        if (rc != SQLITE_OK)
            result = mmgr__db_fail(db, rc, "initialise");
    }
    return mmgr__db_end(db, empty, result);
}

/* SQLite's WAL needs shared memory, which no network file system gives to two machines. */
static int is_on_network(const char *path)
{
    static const uint32_t magic[] = {
        0x6969 /* NFS */,    0x517b /* SMB */,     0xff534d42 /* CIFS */,   0xfe534d42 /* SMB2 */,
        0x01021997 /* 9p */, 0x5346414f /* AFS */, 0x0bd00bd0 /* Lustre */, 0x00c36400 /* Ceph */};
    struct statfs fs;

    if (statfs(path, &fs) != 0)
        return 0;
    for (size_t i = 0; i < sizeof magic / sizeof magic[0]; i++) {
        if ((uint32_t)fs.f_type == magic[i])
            return 1;
    }
    return 0;
}

/* The switch to WAL wants the file for itself and does not wait by itself. */
static enum mmgr_result use_wal(struct mmgr__db *db)
{
    int64_t until = mmgr__now_monotonic() + SQLITE_BUSY_NS;
    const struct timespec nap = {0, 5000000};
    int rc;

    while ((rc = sqlite3_exec(db->db, "PRAGMA journal_mode=WAL", NULL, NULL, NULL)) != SQLITE_OK) {
        if ((rc & 0xff) != SQLITE_BUSY || mmgr__now_monotonic() > until)
            return mmgr__db_fail(db, rc, "open");
        nanosleep(&nap, NULL);
    }
    return MMGR_OK;
}

/* That the tables have the columns which the statements need. */
static enum mmgr_result check_tables(struct mmgr__db *db)
{
    static const enum mmgr__sql needed[] = {SQL_INSERT, SQL_ADD_TAG, SQL_ADD_BASE, SQL_ADD_FILE};
    enum mmgr_result result = MMGR_OK;
    sqlite3_stmt *statement;

    for (size_t i = 0; i < sizeof needed / sizeof needed[0] && result == MMGR_OK; i++)
        result = mmgr__db_statement(db, needed[i], &statement, "");
    return result;
}

/* Inside a transaction. */
static enum mmgr_result check_guest(struct mmgr__db *db, int read_only)
{
    static const char taken[] = "SELECT count(*) FROM sqlite_schema WHERE type IN ('table', 'view')"
                                " AND name IN ('meta', 'models', 'tags', 'bases', 'files')";
    int64_t tables = 0, version = 0;
    enum mmgr_result result = number(db, taken, &tables);
    int rc;

    if (result != MMGR_OK)
        return result;
    if (tables == 0 && read_only)
        return mmgr__db_incompatible(db->path, "holds no records yet");
    if (tables == 0) {
        rc = sqlite3_exec(db->db, schema, NULL, NULL, NULL);
        return rc == SQLITE_OK ? MMGR_OK : mmgr__db_fail(db, rc, "initialise");
    }
    if (number(db, "SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'schema'", &version) !=
        MMGR_OK)
        return mmgr__db_incompatible(db->path, "has tables of its own named as those of a store");
    return check_version(db->path, version);
}

enum mmgr_result mmgr__db_prepare_guest(struct mmgr__db *db, int read_only)
{
    enum mmgr_result result = mmgr__db_begin(db, !read_only);

    if (result == MMGR_OK)
        result = mmgr__db_end(db, !read_only, check_guest(db, read_only));
    return result == MMGR_OK ? check_tables(db) : result;
}

enum mmgr_result mmgr__db_check_schema(struct mmgr__db *db)
{
    int empty = 0;
    enum mmgr_result result = check_schema_alone(db, &empty);

    if (result == MMGR_OK && empty)
        return mmgr__db_incompatible(db->path, "holds no records yet");
    return result == MMGR_OK ? check_tables(db) : result;
}

enum mmgr_result mmgr__db_prepare_schema(struct mmgr__db *db)
{
    int empty = 0;
    enum mmgr_result result = check_schema_alone(db, &empty);

    /* Made under the rollback journal, so that the main file says whose it is before a WAL
     * exists. */
    if (result == MMGR_OK && empty)
        result = create_schema(db);
    if (result == MMGR_OK)
        result = check_tables(db);
    if (result == MMGR_OK && !is_on_network(db->path))
        result = use_wal(db);
    return result;
}
