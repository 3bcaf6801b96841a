/* SPDX-License-Identifier: MIT */
/* YAML back end: the function table. The file is read into a database in memory, which answers all questions,
 * and written anew with every change, under a lock of all processes. Files that changed are read again. */
#include "store/yaml_store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/io.h"
#include "base/path.h"
#include "base/thread.h"

#define BUSY_NS INT64_C(10000000000) /* how long a change waits for other processes */

/* What tells one state of a file from another. All zero: there is no file. */
struct stamp {
    uint64_t device, inode, size;
    struct timespec modified, changed;
};

struct yaml_store {
    char *path;      /* links resolved, so that a save replaces the file and not a link to it */
    char *folder;    /* of the path */
    char *temporary; /* in it; only the holder of the lock writes it */
    struct mmgr__store_place place;
    pthread_mutex_t lock; /* guards all below */
    struct mmgr__db *db;
    struct mmgr__yaml_file file; /* as last read; its records have moved into the database */
    struct stamp stamp;
    int loaded;
    uint64_t foreign, reported; /* changes by others: seen, and told */
};

static void yaml_close(void *self)
{
    struct yaml_store *store = self;

    mmgr__db_close(store->db);
    mmgr__yaml_file_free(&store->file);
    pthread_mutex_destroy(&store->lock);
    mmgr__free(store->path);
    mmgr__free(store->folder);
    mmgr__free(store->temporary);
    mmgr__free(store);
}

static struct stamp stamp_of(const struct stat *st)
{
    return (struct stamp){(uint64_t)st->st_dev, (uint64_t)st->st_ino, (uint64_t)st->st_size,
                          st->st_mtim, st->st_ctim};
}

static int same_stamp(const struct stamp *one, const struct stamp *two)
{
    return one->device == two->device && one->inode == two->inode && one->size == two->size &&
           one->modified.tv_sec == two->modified.tv_sec &&
           one->modified.tv_nsec == two->modified.tv_nsec &&
           one->changed.tv_sec == two->changed.tv_sec &&
           one->changed.tv_nsec == two->changed.tv_nsec;
}

static enum mmgr_result take_stamp(const struct yaml_store *store, struct stamp *stamp)
{
    struct stat st;
    int error = mmgr__io_stat(AT_FDCWD, store->path, &st, 1);

    *stamp = (struct stamp){.inode = 0};
    if (error == 0 && !S_ISREG(st.st_mode))
        return mmgr__db_incompatible(store->path, "is no regular file");
    if (error == 0)
        *stamp = stamp_of(&st);
    else if (error != -ENOENT)
        return mmgr__fail_errno(-error, "read", store->path);
    return MMGR_OK;
}

/* Put the records of a file into an empty database, which then replaces the present one. */
static enum mmgr_result adopt(struct yaml_store *store, struct mmgr__yaml_file *file)
{
    struct mmgr__adding adding = {.records = (const mmgr_record *const *)file->records,
                                  .count = file->count};
    const struct mmgr__yaml *models = mmgr__yaml_get(file->root, MMGR__YAML_MODELS_KEY);
    struct mmgr__db *db = NULL;
    enum mmgr_result result = mmgr__db_open_memory(store->path, &db);

    if (result != MMGR_OK)
        return result;
    result = mmgr__db_begin(db, 1);
    if (result == MMGR_OK)
        result = mmgr__db_end(db, 1, mmgr__db_add(db, &adding));
    if (result == MMGR_ERR_DUPLICATE_MODEL || result == MMGR_ERR_INVALID_CONFIG) {
        const struct mmgr__yaml *node = models->items[adding.at];
        const struct mmgr__yaml *member = mmgr__yaml_get(node, mmgr_error_field(mmgr_last_error()));

        node = member != NULL ? member : node;
        mmgr__error_prefix("%s:%u:%u", store->path, node->line, node->column);
    }
    if (result != MMGR_OK) {
        mmgr__db_close(db);
        return result;
    }
    mmgr__db_close(store->db);
    store->db = db;
    for (size_t i = 0; i < file->count; i++)
        mmgr_record_unref(file->records[i]);
    file->count = 0;
    mmgr__yaml_file_free(&store->file);
    store->file = *file;
    *file = (struct mmgr__yaml_file){.count = 0};
    return MMGR_OK;
}

static enum mmgr_result read_text(const struct yaml_store *store, char **text, size_t *length)
{
    int error = mmgr__io_read_file(AT_FDCWD, store->path, MMGR__YAML_BYTES_MAX, text, length);

    if (error == -ENOENT) {
        *text = mmgr__strdup("");
        *length = 0;
        return *text != NULL ? MMGR_OK : mmgr__oom();
    }
    if (error == -EFBIG)
        return mmgr__db_incompatible(store->path, "is larger than %zu bytes", MMGR__YAML_BYTES_MAX);
    return error < 0 ? mmgr__fail_errno(-error, "read", store->path) : MMGR_OK;
}

/* When a file was changed, in nanoseconds since 1970; 0 when that is out of their range. */
static int64_t time_of(const struct stamp *stamp)
{
    int64_t ns;

    return __builtin_mul_overflow((int64_t)stamp->modified.tv_sec, INT64_C(1000000000), &ns) ||
                   __builtin_add_overflow(ns, stamp->modified.tv_nsec, &ns)
               ? 0
               : ns;
}

static enum mmgr_result load(struct yaml_store *store, const struct stamp *stamp)
{
    struct mmgr__yaml_file file = {.count = 0};
    int64_t when = time_of(stamp);
    size_t length = 0;
    char *text;
    enum mmgr_result result = read_text(store, &text, &length);

    if (result != MMGR_OK)
        return result;
    result = mmgr__yaml_file_read(text, length, store->path, &store->place, when, &file);
    mmgr__free(text);
    if (result == MMGR_OK)
        result = adopt(store, &file);
    mmgr__yaml_file_free(&file);
    if (result == MMGR_OK) {
        store->foreign += store->loaded;
        store->stamp = *stamp;
        store->loaded = 1;
    }
    return result;
}

/* Under the lock: bring the database in memory up to the file. The stamp is taken before the file is read, so
 * that a change in between is seen the next time. */
static enum mmgr_result refresh(struct yaml_store *store)
{
    struct stamp now;
    enum mmgr_result result = take_stamp(store, &now);

    if (result != MMGR_OK || (store->loaded && same_stamp(&now, &store->stamp)))
        return result;
    return load(store, &now);
}

/* ---- changes */

/* The lock is on the file itself, and a save replaces the file: whoever got the lock of a file that is no
 * longer there tries again. */
static enum mmgr_result lock_file(struct yaml_store *store, int *lock)
{
    int64_t until = mmgr__now_monotonic() + BUSY_NS;
    const struct timespec nap = {0, 2000000};
    struct stat held, there;

    for (;;) {
        int fd = mmgr__io_lock(AT_FDCWD, store->path, 1, 0);

        if (fd >= 0 && fstat(fd, &held) == 0 &&
            mmgr__io_stat(AT_FDCWD, store->path, &there, 1) == 0 && held.st_dev == there.st_dev &&
            held.st_ino == there.st_ino) {
            *lock = fd;
            return MMGR_OK;
        }
        mmgr__io_unlock(fd);
        if (fd < 0 && fd != -EAGAIN)
            return mmgr__fail_errno(-fd, "lock", store->path);
        if (mmgr__now_monotonic() > until) {
            mmgr__fail(MMGR_ERR_BUSY, "%s is being changed by another process", store->path);
            mmgr__error_set_subject(store->path);
            return MMGR_ERR_BUSY;
        }
        nanosleep(&nap, NULL);
    }
}

/* Write the new text beside the store, durably and with the rights of the file that it will replace. */
static int write_temporary(const struct yaml_store *store, const char *text, size_t length)
{
    struct stat st;
    int fd, error = mmgr__io_stat(AT_FDCWD, store->path, &st, 1);

    if (error != 0)
        return error;
    /* What a killed process left may have other rights. */
    error = mmgr__io_unlink(AT_FDCWD, store->temporary);
    if (error != 0 && error != -ENOENT)
        return error;
    fd = mmgr__io_open_write(AT_FDCWD, store->temporary, O_CREAT | O_EXCL, 0600);
    if (fd < 0)
        return fd;
    error = mmgr__io_pwrite(fd, text, length, 0);
    if (error == 0)
        error = mmgr__io_copy_rights(fd, &st);
    if (error == 0)
        error = mmgr__io_fsync(fd, store->temporary);
    mmgr__io_close(fd);
    if (error != 0)
        mmgr__io_unlink(AT_FDCWD, store->temporary);
    return error;
}

/* Make the temporary file the store. An editor does not ask for our lock, so the last look at what is there is
 * taken right before. */
static enum mmgr_result replace(const struct yaml_store *store)
{
    struct stamp now;
    int error;
    enum mmgr_result result = take_stamp(store, &now);

    if (result == MMGR_OK && !same_stamp(&now, &store->stamp)) {
        result = mmgr__fail(MMGR_ERR_BUSY, "%s was edited at the same moment; nothing was changed",
                            store->path);
        mmgr__error_set_subject(store->path);
    }
    error = result == MMGR_OK
                ? mmgr__io_rename(AT_FDCWD, store->temporary, AT_FDCWD, store->path, 0)
                : 0;
    if (result != MMGR_OK || error != 0)
        mmgr__io_unlink(AT_FDCWD, store->temporary);
    else
        error = mmgr__io_fsync_dir(AT_FDCWD, store->folder);
    return error != 0 ? mmgr__fail_errno(-error, "save", store->path) : result;
}

static enum mmgr_result save(const struct yaml_store *store)
{
    size_t length;
    char *text;
    int error;
    enum mmgr_result result =
        mmgr__yaml_file_write(store->db, &store->place, store->path, &store->file, &text, &length);

    if (result != MMGR_OK)
        return result;
    error = write_temporary(store, text, length);
    mmgr__free(text);
    return error != 0 ? mmgr__fail_errno(-error, "save", store->path) : replace(store);
}

/* After a save: the tree that the next one is arranged by is that of the new file. After one that failed the file
 * is another only when somebody else has changed it. */
static void reread(struct yaml_store *store, int saved)
{
    uint64_t foreign = store->foreign;
    struct stamp before = store->stamp;

    store->loaded = 0;
    /* A file that cannot be read is met by the next call. */
    if (refresh(store) == MMGR_OK)
        store->foreign = foreign + (!saved && !same_stamp(&before, &store->stamp));
}

static enum mmgr_result begin_change(struct yaml_store *store, int *lock)
{
    enum mmgr_result result;

    pthread_mutex_lock(&store->lock);
    result = lock_file(store, lock);
    if (result == MMGR_OK) {
        result = refresh(store);
        if (result == MMGR_OK)
            result = mmgr__db_begin(store->db, 1);
        if (result != MMGR_OK)
            mmgr__io_unlock(*lock);
    }
    if (result != MMGR_OK)
        pthread_mutex_unlock(&store->lock);
    return result;
}

/* The database in memory is nobody's truth: it is committed first, and thrown away when the file cannot be
 * written. */
static enum mmgr_result end_change(struct yaml_store *store, int lock, enum mmgr_result result)
{
    int touched = result == MMGR_OK;
    struct mmgr_error cause;

    result = mmgr__db_end(store->db, 1, result);
    if (result == MMGR_OK)
        result = save(store);
    if (touched) {
        mmgr__error_save(&cause);
        reread(store, result == MMGR_OK);
        mmgr__error_restore(&cause);
        mmgr__error_clear(&cause);
    }
    mmgr__io_unlock(lock);
    pthread_mutex_unlock(&store->lock);
    return result;
}

static enum mmgr_result yaml_add(void *self, struct mmgr__adding *adding)
{
    struct yaml_store *store = self;
    int lock;
    enum mmgr_result result = begin_change(store, &lock);

    if (result != MMGR_OK)
        return result;
    return end_change(store, lock, mmgr__db_add(store->db, adding));
}

static enum mmgr_result yaml_update(void *self, const char *key, mmgr__store_edit edit, void *user,
                                    mmgr_record **updated)
{
    struct yaml_store *store = self;
    mmgr_record *changed = NULL;
    int lock;
    enum mmgr_result result = begin_change(store, &lock);

    if (result != MMGR_OK)
        return result;
    result = end_change(store, lock,
                        mmgr__db_update(store->db, &store->place, key, edit, user, &changed));
    if (result == MMGR_OK)
        *updated = changed;
    else
        mmgr_record_unref(changed);
    return result;
}

static enum mmgr_result yaml_remove(void *self, const char *key)
{
    struct yaml_store *store = self;
    int lock;
    enum mmgr_result result = begin_change(store, &lock);

    if (result != MMGR_OK)
        return result;
    return end_change(store, lock, mmgr__db_remove(store->db, key));
}

/* ---- questions */

static enum mmgr_result begin_read(struct yaml_store *store)
{
    enum mmgr_result result;

    pthread_mutex_lock(&store->lock);
    result = refresh(store);
    if (result != MMGR_OK)
        pthread_mutex_unlock(&store->lock);
    return result;
}

static enum mmgr_result yaml_get(void *self, const char *key, mmgr_record **record)
{
    struct yaml_store *store = self;
    int64_t id;
    enum mmgr_result result = begin_read(store);

    if (result != MMGR_OK)
        return result;
    result = mmgr__db_get(store->db, &store->place, key, record, &id);
    pthread_mutex_unlock(&store->lock);
    return result;
}

static enum mmgr_result yaml_exists(void *self, const char *key, int *exists)
{
    struct yaml_store *store = self;
    enum mmgr_result result = begin_read(store);

    if (result != MMGR_OK)
        return result;
    result = mmgr__db_exists(store->db, key, exists);
    pthread_mutex_unlock(&store->lock);
    return result;
}

static enum mmgr_result yaml_search(void *self, const struct mmgr__query *query,
                                    mmgr_record_list *list)
{
    struct yaml_store *store = self;
    enum mmgr_result result = begin_read(store);

    if (result != MMGR_OK)
        return result;
    result = mmgr__db_search(store->db, &store->place, query, list);
    pthread_mutex_unlock(&store->lock);
    return result;
}

static enum mmgr_result yaml_changed(void *self, int *changed)
{
    struct yaml_store *store = self;
    enum mmgr_result result = begin_read(store);

    if (result != MMGR_OK)
        return result;
    *changed = store->foreign != store->reported;
    store->reported = store->foreign;
    pthread_mutex_unlock(&store->lock);
    return result;
}

/* ---- opening */

/* The path with its links resolved; of a file that is not there yet, as it is. Owned. */
static char *resolve(const char *path)
{
    char real[PATH_MAX];

    return mmgr__strdup(realpath(path, real) != NULL ? real : path);
}

/* ".NAME.mmgr-tmp" in the same folder; owned. */
static char *temporary_of(const char *path)
{
    const char *name = mmgr__path_basename(path);

    return mmgr__printf("%.*s.%s.mmgr-tmp", (int)(name - path), path, name);
}

static enum mmgr_result initialise(struct yaml_store *store)
{
    int lock;
    enum mmgr_result result = begin_change(store, &lock);

    if (result != MMGR_OK)
        return result;
    /* Another process may have been first. */
    if (store->file.root != NULL) {
        result = mmgr__db_end(store->db, 0, MMGR_OK);
        mmgr__io_unlock(lock);
        pthread_mutex_unlock(&store->lock);
        return result;
    }
    return end_change(store, lock, MMGR_OK);
}

static enum mmgr_result yaml_open(const char *path, const struct mmgr__store_place *place,
                                  int read_only, void **self)
{
    struct yaml_store *store = mmgr__alloc0(1, sizeof *store);
    enum mmgr_result result;

    if (store == NULL)
        return mmgr__oom();
    pthread_mutex_init(&store->lock, NULL);
    store->place = *place;
    store->path = resolve(path);
    if (store->path != NULL) {
        store->folder = mmgr__path_dirname(store->path);
        store->temporary = temporary_of(store->path);
    }
    result = store->folder != NULL && store->temporary != NULL ? refresh(store) : mmgr__oom();
    if (result == MMGR_OK && store->file.root == NULL && !read_only)
        result = initialise(store);
    if (result != MMGR_OK) {
        yaml_close(store);
        return result;
    }
    *self = store;
    return MMGR_OK;
}

static const char *yaml_path(const void *self)
{
    return ((const struct yaml_store *)self)->path;
}

#define TABLE(suffix)                                                                            \
    {                                                                                            \
        .extension = suffix, .version = MMGR__YAML_VERSION_TEXT, .open = yaml_open,              \
        .close = yaml_close, .path = yaml_path, .add = yaml_add, .update = yaml_update,          \
        .remove = yaml_remove, .get = yaml_get, .exists = yaml_exists, .search = yaml_search,    \
        .changed = yaml_changed,                                                                 \
    }

const struct mmgr__store_ops mmgr__store_yaml = TABLE(".yaml");
const struct mmgr__store_ops mmgr__store_yml = TABLE(".yml");
