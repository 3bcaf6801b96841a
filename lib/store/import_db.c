/* SPDX-License-Identifier: MIT */
/* Opening a database of somebody else so that nothing of it, and nothing beside it, is changed:
 * in place and without locks while no log of unfinished work lies beside it, else as a private
 * copy. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/path.h"
#include "store/import.h"

#define CHUNK ((size_t)256 << 10)

/* The -shm holds nothing that cannot be worked out again: it is neither looked at nor copied. */
enum { DATABASE, WAL, JOURNAL, LOOKED_AT };
static const char *const suffixes[LOOKED_AT] = {"", "-wal", "-journal"};
static const char *const copies[] = {"copy.db", "copy.db-wal", "copy.db-journal", "copy.db-shm"};

static char *with_suffix(const char *path, size_t which)
{
    return mmgr__printf("%s%s", path, suffixes[which]);
}

static int64_t nanoseconds(struct timespec time)
{
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static enum mmgr_result look_at(const char *path, struct mmgr__import_look *look)
{
    memset(look, 0, sizeof *look);
    for (size_t i = 0; i < LOOKED_AT; i++) {
        char *name = with_suffix(path, i);
        enum mmgr_result result = MMGR_OK;
        struct stat st;
        int error;

        if (name == NULL)
            return mmgr__oom();
        error = mmgr__io_stat(AT_FDCWD, name, &st, 1);
        if (error != 0 && error != -ENOENT)
            result = mmgr__fail_errno(-error, "read", name);
        mmgr__free(name);
        if (result != MMGR_OK)
            return result;
        if (error == -ENOENT)
            continue;
        look->file[i].exists = 1;
        look->file[i].device = st.st_dev;
        look->file[i].inode = st.st_ino;
        look->file[i].size = (uint64_t)st.st_size;
        look->file[i].mtime_ns = nanoseconds(st.st_mtim);
        look->file[i].ctime_ns = nanoseconds(st.st_ctim);
    }
    return MMGR_OK;
}

/* BUSY when it is not what it was before. */
static enum mmgr_result check_unchanged(const struct mmgr__import_db *source)
{
    struct mmgr__import_look now;
    enum mmgr_result result = look_at(source->path, &now);

    if (result != MMGR_OK || memcmp(&now, &source->before, sizeof now) == 0)
        return result;
    mmgr__fail(MMGR_ERR_BUSY, "%s was written to while it was read", source->path);
    mmgr__error_set_subject(source->path);
    return MMGR_ERR_BUSY;
}

/* ---- the copy */

/* What is copied: the database through SQLite, since closing a descriptor of our own would drop the
 * locks that another connection of this process holds on it; logs bear no locks. No more than the
 * size that it had, so that a log which grows is not run after. */
struct input {
    const char *path;
    sqlite3 *db;
    sqlite3_file *file;
    int fd;
};

static enum mmgr_result open_input(const char *path, int is_database, struct input *input)
{
    int rc;

    *input = (struct input){.path = path, .fd = -1};
    if (!is_database) {
        input->fd = mmgr__io_open_read(AT_FDCWD, path);
        return input->fd < 0 ? mmgr__fail_errno(-input->fd, "read", path) : MMGR_OK;
    }
    rc = sqlite3_open_v2(path, &input->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
    if (input->db == NULL)
        return mmgr__oom();
    if (rc == SQLITE_OK)
        rc = sqlite3_file_control(input->db, "main", SQLITE_FCNTL_FILE_POINTER, &input->file);
    if (rc == SQLITE_OK && input->file->pMethods != NULL)
        return MMGR_OK;
    rc = sqlite3_system_errno(input->db);
    sqlite3_close(input->db);
    return mmgr__fail_errno(rc != 0 ? rc : EIO, "read", path);
}

static void close_input(struct input *input)
{
    mmgr__io_close(input->fd);
    sqlite3_close(input->db);
}

static enum mmgr_result read_input(const struct input *input, void *data, size_t bytes,
                                   uint64_t offset)
{
    int64_t got;

    if (input->file != NULL)
        got = input->file->pMethods->xRead(input->file, data, (int)bytes, (sqlite3_int64)offset) ==
                      SQLITE_OK
                  ? (int64_t)bytes
                  : -EIO;
    else
        got = mmgr__io_pread(input->fd, data, bytes, offset);
    if (got >= 0 && (size_t)got < bytes)
        got = -EIO; /* it has shrunk, and that it changed is found afterwards */
    return got < 0 ? mmgr__fail_errno((int)-got, "read", input->path) : MMGR_OK;
}

static enum mmgr_result copy_bytes(const struct input *input, uint64_t size, int fd, const char *to)
{
    char *chunk = mmgr__alloc(CHUNK);
    enum mmgr_result result = chunk != NULL ? MMGR_OK : mmgr__oom();

    for (uint64_t offset = 0; result == MMGR_OK && offset < size; offset += CHUNK) {
        size_t bytes = size - offset < CHUNK ? (size_t)(size - offset) : CHUNK;
        int error;

        result = read_input(input, chunk, bytes, offset);
        if (result != MMGR_OK)
            break;
        error = mmgr__io_pwrite(fd, chunk, bytes, offset);
        if (error != 0)
            result = mmgr__fail_errno(-error, "write the copy", to);
    }
    mmgr__free(chunk);
    return result;
}

static enum mmgr_result copy_file(const struct mmgr__import_db *source, size_t which)
{
    char *from = with_suffix(source->path, which);
    struct input input;
    enum mmgr_result result =
        from != NULL ? open_input(from, which == DATABASE, &input) : mmgr__oom();
    int fd;

    if (result != MMGR_OK) {
        mmgr__free(from);
        return result;
    }
    fd = mmgr__io_open_write(source->folder_fd, copies[which], O_CREAT | O_EXCL, 0600);
    result = fd < 0 ? mmgr__fail_errno(-fd, "write the copy", copies[which])
                    : copy_bytes(&input, source->before.file[which].size, fd, copies[which]);
    mmgr__io_close(fd);
    close_input(&input);
    mmgr__free(from);
    return result;
}

/* A rollback journal may name the journal of a transaction over several databases, at any place,
 * which SQLite deletes once it has rolled back. Nobody's file is to go because a journal says
 * so. */
static enum mmgr_result check_journal(const struct mmgr__import_db *source)
{
    static const unsigned char magic[8] = {0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7};
    unsigned char tail[sizeof magic] = {0};
    struct stat st;
    int64_t got = 0;
    int fd = mmgr__io_open_read(source->folder_fd, copies[JOURNAL]);

    if (fd < 0)
        return mmgr__fail_errno(-fd, "read the copy", copies[JOURNAL]);
    if (fstat(fd, &st) == 0 && st.st_size >= (off_t)sizeof tail)
        got = mmgr__io_pread(fd, tail, sizeof tail, (uint64_t)st.st_size - sizeof tail);
    mmgr__io_close(fd);
    if (got < 0)
        return mmgr__fail_errno((int)-got, "read the copy", copies[JOURNAL]);
    return memcmp(tail, magic, sizeof magic) != 0
               ? MMGR_OK
               : mmgr__import_unfit(source->path,
                                    "has a journal of a transaction over several databases");
}

static enum mmgr_result make_folder(struct mmgr__import_db *source)
{
    const char *base = getenv("TMPDIR");
    char name[48] = "modelmgr-import-";
    char *relative, *folder;
    int error;

    mmgr__random_hex(name + strlen(name), 24);
    relative = mmgr__path_join(base != NULL && base[0] != '\0' ? base : "/tmp", name);
    folder = relative != NULL ? mmgr__path_absolute(relative) : NULL;
    mmgr__free(relative);
    source->copy = folder != NULL ? mmgr__path_join(folder, copies[DATABASE]) : NULL;
    if (source->copy == NULL) {
        mmgr__free(folder);
        return mmgr__oom();
    }
    error = mmgr__io_mkdir(AT_FDCWD, folder, 0700);
    if (error == 0) {
        source->folder = folder;
        source->folder_fd = mmgr__io_open_dir(AT_FDCWD, folder);
        return source->folder_fd < 0 ? mmgr__fail_errno(-source->folder_fd, "open", folder)
                                     : MMGR_OK;
    }
    mmgr__fail_errno(-error, "make the folder", folder);
    mmgr__free(folder);
    return mmgr_error_code(mmgr_last_error());
}

static enum mmgr_result copy_files(const struct mmgr__import_db *source)
{
    enum mmgr_result result = MMGR_OK;

    for (size_t i = 0; i < LOOKED_AT && result == MMGR_OK; i++) {
        if (source->before.file[i].exists)
            result = copy_file(source, i);
    }
    return result;
}

/* Let SQLite finish or undo, in the copy, what its log holds, so that the copy is as good as a
 * source without one. Nothing of the schema is looked at yet. */
static enum mmgr_result settle_copy(const struct mmgr__import_db *source)
{
    sqlite3 *db = NULL;
    enum mmgr_result result = MMGR_OK;
    int rc = sqlite3_open_v2(source->copy, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);

    if (db == NULL)
        return mmgr__oom();
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, "PRAGMA user_version", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_wal_checkpoint_v2(db, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    if (rc == SQLITE_NOMEM)
        result = mmgr__oom();
    else if (rc == SQLITE_FULL || rc == SQLITE_IOERR || rc == SQLITE_CANTOPEN)
        result = mmgr__fail(rc == SQLITE_FULL ? MMGR_ERR_NO_SPACE : MMGR_ERR_IO,
                            "cannot write the copy %s: %s", source->copy, sqlite3_errmsg(db));
    else if (rc != SQLITE_OK)
        result = mmgr__import_unfit(source->path, "is no SQLite database, or a damaged one");
    sqlite3_close(db);
    return result;
}

static enum mmgr_result make_copy(struct mmgr__import_db *source)
{
    enum mmgr_result result = make_folder(source), changed;
    struct mmgr_error cause;

    if (result != MMGR_OK)
        return result;
    result = copy_files(source);
    /* Files that change under the copy may make it fail in any way. */
    mmgr__error_save(&cause);
    changed = check_unchanged(source);
    if (changed != MMGR_OK)
        return changed;
    if (result != MMGR_OK)
        return mmgr__error_restore(&cause);
    result = source->before.file[JOURNAL].exists ? check_journal(source) : MMGR_OK;
    return result == MMGR_OK ? settle_copy(source) : result;
}

/* By names that need no memory, so that nothing is left behind for want of it. */
static void remove_copy(const struct mmgr__import_db *source)
{
    for (size_t i = 0; i < sizeof copies / sizeof copies[0] && source->folder_fd >= 0; i++)
        mmgr__io_unlink(source->folder_fd, copies[i]);
    mmgr__io_close(source->folder_fd);
    mmgr__io_rmdir(AT_FDCWD, source->folder);
}

/* ---- opening */

static enum mmgr_result open_source(struct mmgr__import_db *source)
{
    int is_quiet = source->before.file[WAL].size == 0 && source->before.file[JOURNAL].size == 0;
    enum mmgr_result result = is_quiet ? MMGR_OK : make_copy(source);

    if (result != MMGR_OK)
        return result;
    result = mmgr__db_open(is_quiet ? source->path : source->copy, MMGR__DB_FOREIGN, &source->db);
    if (result == MMGR_ERR_STORE_INCOMPATIBLE)
        return mmgr__import_unfit(source->path, "is no SQLite database, or a damaged one");
    if (result != MMGR_OK && result != MMGR_ERR_NO_MEMORY)
        mmgr__error_prefix("import of %s", source->path);
    return result;
}

enum mmgr_result mmgr__import_db_end(const struct mmgr__import_db *source, enum mmgr_result result)
{
    struct mmgr_error cause;
    enum mmgr_result changed;

    if (source->folder != NULL || result == MMGR_ERR_NO_MEMORY)
        return result;
    mmgr__error_save(&cause);
    changed = check_unchanged(source);
    if (changed != MMGR_OK)
        return changed;
    return result == MMGR_OK ? MMGR_OK : mmgr__error_restore(&cause);
}

enum mmgr_result mmgr__import_db_open(const char *path, struct mmgr__import_db *source)
{
    char resolved[PATH_MAX];
    enum mmgr_result result;

    memset(source, 0, sizeof *source);
    /* SQLite looks for its logs beside the file itself, not beside a link to it. */
    source->path = mmgr__strdup(realpath(path, resolved) != NULL ? resolved : path);
    if (source->path == NULL)
        return mmgr__oom();
    result = look_at(source->path, &source->before);
    if (result == MMGR_OK)
        result = open_source(source);
    return result == MMGR_OK ? MMGR_OK : mmgr__import_db_end(source, result);
}

void mmgr__import_db_close(struct mmgr__import_db *source)
{
    mmgr__db_close(source->db);
    if (source->folder != NULL)
        remove_copy(source);
    mmgr__free(source->copy);
    mmgr__free(source->folder);
    mmgr__free(source->path);
    memset(source, 0, sizeof *source);
}
