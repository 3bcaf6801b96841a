/* SPDX-License-Identifier: MIT */
/* SQLite back end: which files are ours, making the schema in a new one, and the journal mode. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/path.h"
#include "store/sqlite_db.h"

#define APPLICATION_ID 0x4d4d6772 /* "MMgr" */
#define HEADER_BYTES   100

/* Written in one transaction. `record` is the truth; the other columns of mmgr_models and the tables
 * mmgr_tags, mmgr_bases and mmgr_text are extracts of it to search by. mmgr_files is the manifest. `label` is
 * the name as lists order it; it exists in indexes only. */
const char mmgr__db_schema[] =
    "CREATE TABLE mmgr_meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE mmgr_models(id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, path TEXT NOT NULL"
    " UNIQUE, name TEXT NOT NULL, label TEXT COLLATE NOCASE GENERATED ALWAYS AS (name) VIRTUAL,"
    " type TEXT NOT NULL, base TEXT NOT NULL, format TEXT NOT NULL, hash TEXT, source TEXT,"
    " revision TEXT, repo_variant TEXT, file_size INTEGER, created_at INTEGER NOT NULL,"
    " updated_at INTEGER NOT NULL, record TEXT NOT NULL) STRICT;"
    "CREATE INDEX mmgr_models_order ON mmgr_models(type, base, label, name, format, key);"
    "CREATE INDEX mmgr_models_name ON mmgr_models(name, base, type);"
    "CREATE INDEX mmgr_models_label ON mmgr_models(label, name, key);"
    "CREATE INDEX mmgr_models_created ON mmgr_models(created_at, key);"
    "CREATE INDEX mmgr_models_updated ON mmgr_models(updated_at, key);"
    "CREATE INDEX mmgr_models_hash ON mmgr_models(hash) WHERE hash IS NOT NULL;"
    "CREATE INDEX mmgr_models_source ON mmgr_models(source) WHERE source IS NOT NULL;"
    "CREATE TABLE mmgr_tags(tag TEXT NOT NULL, id INTEGER NOT NULL, PRIMARY KEY(tag, id)) STRICT,"
    " WITHOUT ROWID;"
    "CREATE INDEX mmgr_tags_id ON mmgr_tags(id);"
    "CREATE TABLE mmgr_bases(base TEXT NOT NULL, id INTEGER NOT NULL, PRIMARY KEY(base, id))"
    " STRICT, WITHOUT ROWID;"
    "CREATE INDEX mmgr_bases_id ON mmgr_bases(id);"
    "CREATE TABLE mmgr_files(id INTEGER NOT NULL, path TEXT NOT NULL, size INTEGER NOT NULL,"
    " sha256 TEXT, git_sha1 TEXT, xxh3 TEXT, blocks TEXT, mtime_ns INTEGER NOT NULL,"
    " device INTEGER NOT NULL, inode INTEGER NOT NULL, flags INTEGER NOT NULL,"
    " PRIMARY KEY(id, path)) STRICT, WITHOUT ROWID;"
    "CREATE VIRTUAL TABLE mmgr_text USING fts5(name, description, tags, trigger_phrases,"
    " tokenize = 'unicode61 remove_diacritics 2');"
    /* A word in the name tells more than one in the description. */
    "INSERT INTO mmgr_text(mmgr_text, rank) VALUES('rank', 'bm25(10.0, 1.0, 5.0, 5.0)');"
    "INSERT INTO mmgr_meta(name, value) VALUES('created_by', 'libmodelmgr " MMGR_VERSION_STRING
    "'), ('schema', '" MMGR__DB_SCHEMA_TEXT "')";

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
            "was written by a newer release: it has schema version %lld, and this library knows"
            " versions up to %d; a release that knows version %lld is needed",
            (long long)version, MMGR__DB_SCHEMA_VERSION, (long long)version);
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

/* *version: of the schema, 0 when there is nothing in the file yet. Inside a transaction: between two reads
 * another process may make the schema. */
static enum mmgr_result read_version(struct mmgr__db *db, int64_t *version)
{
    int64_t id = 0, tables = 0;
    enum mmgr_result result = mmgr__db_number(db, "PRAGMA application_id", &id);

    if (result == MMGR_OK)
        result = mmgr__db_number(db, "PRAGMA user_version", version);
    if (result == MMGR_OK)
        result = mmgr__db_number(db, "SELECT count(*) FROM sqlite_schema", &tables);
    if (result != MMGR_OK || (id == 0 && *version == 0 && tables == 0))
        return result;
    if (id != APPLICATION_ID)
        return mmgr__db_incompatible(db->path, "is a SQLite database of another application");
    return check_version(db->path, *version);
}

static enum mmgr_result read_version_alone(struct mmgr__db *db, int64_t *version)
{
    enum mmgr_result result = mmgr__db_begin(db, 0);

    return result == MMGR_OK ? mmgr__db_end(db, 0, read_version(db, version)) : result;
}

/* Make the schema or bring it up to date, in one transaction. The version is read again inside: another
 * process may have been first. */
static enum mmgr_result upgrade(struct mmgr__db *db)
{
    int64_t version = 0;
    enum mmgr_result result = mmgr__db_begin(db, 1);

    if (result != MMGR_OK)
        return result;
    result = read_version(db, &version);
    if (result == MMGR_OK && version == MMGR__DB_SCHEMA_VERSION)
        return mmgr__db_end(db, 0, MMGR_OK);
    if (result == MMGR_OK && version == 0)
        result = mmgr__db_run(db, mmgr__db_schema, "initialise");
    else if (result == MMGR_OK && (result = mmgr__db_backup(db, version)) == MMGR_OK)
        result = mmgr__db_migrate(db, version);
    if (result == MMGR_OK)
        result = mmgr__db_run(db, identity, "initialise");
    return mmgr__db_end(db, 1, result);
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

/* In a database of the host our tables are told by their names. Those of schema 1 had no prefix. */
static enum mmgr_result read_guest_version(struct mmgr__db *db, int64_t *version)
{
    static const char ours[] =
        "SELECT count(*) FROM sqlite_schema WHERE name GLOB 'mmgr_*' AND type IN ('table', 'view')";
    static const char first[] =
        "SELECT count(*) FROM sqlite_schema WHERE name = 'meta' AND type = 'table' AND"
        " (SELECT count(*) FROM pragma_table_info('meta') WHERE name IN ('name', 'value')) = 2";
    static const char recorded[] =
        "SELECT CAST(value AS INTEGER) FROM mmgr_meta WHERE name = 'schema'";
    static const char recorded_first[] =
        "SELECT coalesce((SELECT CAST(m.value AS INTEGER) FROM meta m, meta c WHERE"
        " m.name = 'schema' AND c.name = 'created_by' AND c.value GLOB 'libmodelmgr *'), 0)";
    int64_t tables = 0;
    enum mmgr_result result = mmgr__db_number(db, ours, &tables);

    if (result == MMGR_OK && tables > 0)
        return mmgr__db_number(db, recorded, version) == MMGR_OK
                   ? check_version(db->path, *version)
                   : mmgr__db_incompatible(db->path,
                                           "has tables of its own named as those of a store");
    if (result == MMGR_OK)
        result = mmgr__db_number(db, first, &tables);
    if (result == MMGR_OK && tables > 0)
        result = mmgr__db_number(db, recorded_first, version);
    return result;
}

/* Inside a transaction. `backed_up` is the version of which a copy was made before. */
static enum mmgr_result prepare_guest(struct mmgr__db *db, int64_t backed_up)
{
    int64_t version = 0;
    enum mmgr_result result = read_guest_version(db, &version);

    if (result != MMGR_OK || version == MMGR__DB_SCHEMA_VERSION)
        return result;
    if (version == 0)
        return mmgr__db_run(db, mmgr__db_schema, "initialise");
    if (version != backed_up)
        return mmgr__fail(MMGR_ERR_BUSY, "%s changed while it was being opened", db->path);
    return mmgr__db_migrate(db, version);
}

static enum mmgr_result outdated(const struct mmgr__db *db, int64_t version)
{
    if (version == 0)
        return mmgr__db_incompatible(db->path, "holds no records yet");
    return mmgr__db_incompatible(
        db->path, "has schema version %lld; it must be opened for writing once, to become %d",
        (long long)version, MMGR__DB_SCHEMA_VERSION);
}

enum mmgr_result mmgr__db_prepare_guest(struct mmgr__db *db, int read_only)
{
    int64_t version = 0;
    enum mmgr_result result = mmgr__db_begin(db, 0);

    if (result == MMGR_OK)
        result = mmgr__db_end(db, 0, read_guest_version(db, &version));
    if (result == MMGR_OK && version != MMGR__DB_SCHEMA_VERSION) {
        if (read_only)
            return outdated(db, version);
        /* A backup can only be made before the handle begins to write. */
        if (version != 0)
            result = mmgr__db_backup(db, version);
        if (result == MMGR_OK)
            result = mmgr__db_begin(db, 1);
        if (result == MMGR_OK)
            result = mmgr__db_end(db, 1, prepare_guest(db, version));
    }
    return result == MMGR_OK ? check_tables(db) : result;
}

enum mmgr_result mmgr__db_check_schema(struct mmgr__db *db)
{
    int64_t version = 0;
    enum mmgr_result result = read_version_alone(db, &version);

    if (result == MMGR_OK && version != MMGR__DB_SCHEMA_VERSION)
        return outdated(db, version);
    return result == MMGR_OK ? check_tables(db) : result;
}

enum mmgr_result mmgr__db_prepare_schema(struct mmgr__db *db)
{
    int64_t version = 0;
    enum mmgr_result result = read_version_alone(db, &version);

    /* Made under the rollback journal, so that the main file says whose it is before a WAL
     * exists. */
    if (result == MMGR_OK && version != MMGR__DB_SCHEMA_VERSION)
        result = upgrade(db);
    if (result == MMGR_OK)
        result = check_tables(db);
    if (result == MMGR_OK && !mmgr__store_on_network(db->path))
        result = use_wal(db);
    return result;
}
