/* SPDX-License-Identifier: MIT */
/* SQLite back end: from the schemas of earlier releases to the present one. Each step runs inside the one
 * transaction of the whole migration, after a backup. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/path.h"
#include "store/sqlite_db.h"

/* 1 to 2: names with a prefix, one integer a model, the size as a column, the table of words. Rows that are
 * no JSON, or whose members are of another kind, are taken over as they are. */
static const char from_1[] =
    "INSERT INTO mmgr_models(key, path, name, type, base, format, hash, source, revision,"
    " repo_variant, file_size, created_at, updated_at, record)"
    " SELECT key, path, name, type, base, format, hash, source, revision, repo_variant,"
    " CASE WHEN json_valid(record) AND typeof(json_extract(record, '$.file_size')) = 'integer'"
    " THEN json_extract(record, '$.file_size') END,"
    " created_at, updated_at, record FROM models ORDER BY rowid;"
    "INSERT INTO mmgr_tags(tag, id) SELECT t.tag, m.id FROM tags t JOIN mmgr_models m USING(key);"
    "INSERT INTO mmgr_bases(base, id) SELECT b.base, m.id FROM bases b JOIN mmgr_models m"
    " USING(key);"
    "INSERT INTO mmgr_files(id, path, size, sha256, git_sha1, xxh3, blocks, mtime_ns, device,"
    " inode, flags) SELECT m.id, f.path, f.size, f.sha256, f.git_sha1, f.xxh3, f.blocks,"
    " f.mtime_ns, f.device, f.inode, f.flags FROM files f JOIN mmgr_models m USING(key);"
    "INSERT INTO mmgr_text(rowid, name, description, tags, trigger_phrases) SELECT m.id, m.name,"
    " CASE WHEN json_valid(m.record) THEN json_extract(m.record, '$.description') END,"
    " (SELECT group_concat(tag, ' ' || char(57344) || ' ') FROM mmgr_tags t WHERE t.id = m.id),"
    " (SELECT group_concat(value, ' ' || char(57344) || ' ') FROM json_each("
    "   CASE WHEN json_valid(m.record) THEN m.record END, '$.trigger_phrases'))"
    " FROM mmgr_models m;"
    "DROP TABLE files; DROP TABLE bases; DROP TABLE tags; DROP TABLE models; DROP TABLE meta";

enum mmgr_result mmgr__db_migrate(struct mmgr__db *db, int64_t version)
{
    enum mmgr_result result = MMGR_OK;

    if (version == 1) {
        result = mmgr__db_run(db, mmgr__db_schema, "migrate");
        if (result == MMGR_OK)
            result = mmgr__db_run(db, from_1, "migrate");
    }
    return result;
}

/* "<path>.schema1-20240131T120000Z.backup"; owned. */
static char *backup_name(const char *path, int64_t version)
{
    char when[32];
    time_t now = (time_t)(mmgr__now_realtime() / 1000000000);
    struct tm parts;

    gmtime_r(&now, &parts);
    strftime(when, sizeof when, "%Y%m%dT%H%M%SZ", &parts);
    return mmgr__printf("%s.schema%lld-%s.backup", path, (long long)version, when);
}

/* Copy all pages; SQLite syncs the copy. */
static int copy_pages(sqlite3 *from, const char *path)
{
    sqlite3 *to = NULL;
    sqlite3_backup *backup;
    int rc = sqlite3_open_v2(path, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);

    if (rc == SQLITE_OK) {
        backup = sqlite3_backup_init(to, "main", from, "main");
        if (backup != NULL)
            sqlite3_backup_step(backup, -1);
        rc = backup != NULL ? sqlite3_backup_finish(backup) : sqlite3_errcode(to);
    }
    sqlite3_close(to);
    return rc;
}

/* What a killed migration left. The write lock of the store keeps others from being at it; a host's handle has
 * no such lock yet, so there each has a copy of its own. */
static void drop_leftovers(const char *partial)
{
    char *journal = mmgr__printf("%s-journal", partial);

    mmgr__io_unlink(AT_FDCWD, partial);
    if (journal != NULL)
        mmgr__io_unlink(AT_FDCWD, journal);
    mmgr__free(journal);
}

/* The copy gets its name when it is whole, so that half of one is never taken for a backup. */
static enum mmgr_result copy_to(struct mmgr__db *db, sqlite3 *from, const char *path,
                                const char *partial)
{
    char *folder = mmgr__path_dirname(path);
    enum mmgr_result result = MMGR_OK;
    int rc, error;

    if (folder == NULL)
        return mmgr__oom();
    error = mmgr__io_point("store.backup");
    rc = error == 0 ? copy_pages(from, partial) : SQLITE_OK;
    if (rc != SQLITE_OK) {
        result = mmgr__db_fail(db, rc, "back up");
    } else {
        if (error == 0)
            error = mmgr__io_rename(AT_FDCWD, partial, AT_FDCWD, path, 0);
        if (error == 0)
            error = mmgr__io_fsync_dir(AT_FDCWD, folder);
        if (error < 0)
            result = mmgr__fail_errno(-error, "write the backup", path);
    }
    if (result != MMGR_OK)
        mmgr__io_unlink(AT_FDCWD, partial);
    mmgr__free(folder);
    return result;
}

enum mmgr_result mmgr__db_backup(struct mmgr__db *db, int64_t version)
{
    const char *file = sqlite3_db_filename(db->db, "main");
    struct mmgr__db *reader = NULL;
    enum mmgr_result result = MMGR_OK;
    char *path, *partial;

    if (file == NULL || file[0] == '\0')
        return MMGR_OK;
    if (db->adopted && !sqlite3_get_autocommit(db->db))
        return mmgr__fail(MMGR_ERR_STATE,
                          "%s has an older schema, and a backup is made before it is migrated: open"
                          " the store outside of a transaction",
                          db->path);
    path = backup_name(file, version);
    partial = db->adopted ? mmgr__printf("%s.part", path != NULL ? path : "")
                          : mmgr__printf("%s.schema%lld.part", file, (long long)version);
    if (path == NULL || partial == NULL)
        result = mmgr__oom();
    if (result == MMGR_OK && !db->adopted)
        drop_leftovers(partial);
    /* A handle that holds the write lock cannot be copied from itself; another one of the file, which
     * sees what was committed, can. A host's handle may reach its file in a way of its own. */
    if (result == MMGR_OK && !db->adopted)
        result = mmgr__db_open(db->path, MMGR__DB_READ, &reader);
    if (result == MMGR_OK)
        result = copy_to(db, reader != NULL ? reader->db : db->db, path, partial);
    mmgr__db_close(reader);
    mmgr__free(partial);
    mmgr__free(path);
    return result;
}
