/* SPDX-License-Identifier: MIT */
/* SQLite back end: the function table. One connection writes; readers take one of a small pool,
 * so that a reader waits neither for a commit nor, until four are busy, for another reader. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/path.h"
#include "store/sqlite_db.h"

#define READERS_MAX 4

struct sqlite_store {
    char *path;
    struct mmgr__store_place place;
    struct mmgr__db *writer; /* NULL when the store is only read */
    int guarded;             /* this user cannot write here: how to read depends on what others do */
    struct mmgr__store_host host; /* its handle is `writer`, for reading too */
    /* Of the pool, a leaf, never held while SQL runs; on a host's handle, held during each use. */
    pthread_mutex_t lock;
    pthread_cond_t freed;
    struct mmgr__db *idle;
    int readers;
};

static void take_host(struct sqlite_store *store)
{
    if (store->host.lock != NULL)
        store->host.lock(store->host.user);
    pthread_mutex_lock(&store->lock);
}

static void give_host(struct sqlite_store *store)
{
    pthread_mutex_unlock(&store->lock);
    if (store->host.unlock != NULL)
        store->host.unlock(store->host.user);
}

static void sqlite_close(void *self)
{
    struct sqlite_store *store = self;

    while (store->idle != NULL) {
        struct mmgr__db *next = store->idle->next;

        mmgr__db_close(store->idle);
        store->idle = next;
    }
    /* Last, so that it is the one to fold the WAL back into the file. */
    if (store->host.handle != NULL)
        take_host(store);
    mmgr__db_close(store->writer);
    if (store->host.handle != NULL)
        give_host(store);
    pthread_cond_destroy(&store->freed);
    pthread_mutex_destroy(&store->lock);
    mmgr__free(store->path);
    mmgr__free(store);
}

/* Our own writer needs no lock: the store lets one thread write at a time. */
static enum mmgr_result begin_write(struct sqlite_store *store)
{
    enum mmgr_result result;

    if (store->host.handle != NULL)
        take_host(store);
    result = mmgr__db_begin(store->writer, 1);
    if (result != MMGR_OK && store->host.handle != NULL)
        give_host(store);
    return result;
}

static enum mmgr_result end_write(struct sqlite_store *store, enum mmgr_result result)
{
    result = mmgr__db_end(store->writer, 1, result);
    if (store->host.handle != NULL)
        give_host(store);
    return result;
}

static int may_write(const char *path)
{
    return faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0;
}

/* A store that this user cannot write to is read without touching anything, unless a log beside
 * it says that somebody is at work or has not finished. *stamp has no inode where it is read as usual. */
static enum mmgr_result choose_read_mode(const struct sqlite_store *store,
                                         enum mmgr__db_mode *mode, struct mmgr__db_stamp *stamp)
{
    struct stat st;
    char *log;

    *mode = MMGR__DB_READ;
    *stamp = (struct mmgr__db_stamp){.inode = 0};
    if (!store->guarded)
        return MMGR_OK;
    log = mmgr__printf("%s-wal", store->path);
    if (log == NULL)
        return mmgr__oom();
    if ((mmgr__io_stat(AT_FDCWD, log, &st, 1) != 0 || st.st_size == 0) &&
        mmgr__io_stat(AT_FDCWD, store->path, &st, 1) == 0) {
        *mode = MMGR__DB_FROZEN;
        *stamp = (struct mmgr__db_stamp){(uint64_t)st.st_dev, (uint64_t)st.st_ino,
                                         (uint64_t)st.st_size, st.st_mtim};
    }
    mmgr__free(log);
    return MMGR_OK;
}

static enum mmgr_result open_to_read(const struct sqlite_store *store, struct mmgr__db **db)
{
    struct mmgr__db_stamp stamp;
    enum mmgr__db_mode mode;
    enum mmgr_result result = choose_read_mode(store, &mode, &stamp);

    if (result == MMGR_OK)
        result = mmgr__db_open(store->path, mode, db);
    if (result == MMGR_OK)
        (*db)->frozen = stamp;
    return result;
}

/* A connection that takes its file for frozen does not see what others write, and must not go on with it. */
static int is_current(const struct sqlite_store *store, const struct mmgr__db *db)
{
    const struct mmgr__db_stamp *then = &db->frozen;
    struct mmgr__db_stamp now;
    enum mmgr__db_mode mode;

    return then->inode == 0 ||
           (choose_read_mode(store, &mode, &now) == MMGR_OK && now.inode == then->inode &&
            now.device == then->device && now.size == then->size &&
            now.modified.tv_sec == then->modified.tv_sec &&
            now.modified.tv_nsec == then->modified.tv_nsec);
}

static enum mmgr_result take_reader(struct sqlite_store *store, struct mmgr__db **db)
{
    struct mmgr__db *idle;
    enum mmgr_result result;

    if (store->host.handle != NULL) {
        take_host(store);
        *db = store->writer;
        return MMGR_OK;
    }
    pthread_mutex_lock(&store->lock);
    while (store->idle == NULL && store->readers >= READERS_MAX)
        pthread_cond_wait(&store->freed, &store->lock);
    idle = store->idle;
    if (idle != NULL)
        store->idle = idle->next;
    else
        store->readers++;
    pthread_mutex_unlock(&store->lock);
    if (idle != NULL && is_current(store, idle)) {
        *db = idle;
        return MMGR_OK;
    }
    mmgr__db_close(idle);
    result = open_to_read(store, db);
    if (result != MMGR_OK) {
        pthread_mutex_lock(&store->lock);
        store->readers--;
        pthread_cond_signal(&store->freed);
        pthread_mutex_unlock(&store->lock);
    }
    return result;
}

static void give_reader(struct sqlite_store *store, struct mmgr__db *db)
{
    if (store->host.handle != NULL) {
        give_host(store);
        return;
    }
    pthread_mutex_lock(&store->lock);
    db->next = store->idle;
    store->idle = db;
    pthread_cond_signal(&store->freed);
    pthread_mutex_unlock(&store->lock);
}

static enum mmgr_result open_reader(struct sqlite_store *store)
{
    char *folder = mmgr__path_dirname(store->path);
    struct mmgr__db *db;
    enum mmgr_result result;

    if (folder == NULL)
        return mmgr__oom();
    store->guarded = !may_write(store->path) || !may_write(folder);
    mmgr__free(folder);
    result = take_reader(store, &db);
    if (result != MMGR_OK)
        return result;
    result = mmgr__db_check_schema(db);
    give_reader(store, db);
    return result;
}

static enum mmgr_result open_writer(struct sqlite_store *store, int missing)
{
    enum mmgr_result result =
        mmgr__db_open(store->path, missing ? MMGR__DB_CREATE : MMGR__DB_WRITE, &store->writer);

    return result == MMGR_OK ? mmgr__db_prepare_schema(store->writer) : result;
}

static struct sqlite_store *new_store(const struct mmgr__store_place *place)
{
    struct sqlite_store *store = mmgr__alloc0(1, sizeof *store);

    if (store == NULL)
        return NULL;
    pthread_mutex_init(&store->lock, NULL);
    mmgr__cond_init(&store->freed);
    store->place = *place;
    return store;
}

enum mmgr_result mmgr__store_adopt(const struct mmgr__store_host *host, const char *source_id,
                                   const struct mmgr__store_place *place, int read_only,
                                   void **self)
{
    struct sqlite_store *store;
    enum mmgr_result result;

    /* The text is a constant inside the library: one address, one copy. Another copy, even of the
     * same release, must not touch the handle. */
    if (source_id != sqlite3_sourceid())
        return mmgr__fail(MMGR_ERR_UNSUPPORTED,
                          "the handle belongs to another copy of SQLite than this library uses");
    store = new_store(place);
    if (store == NULL)
        return mmgr__oom();
    result = mmgr__db_adopt(host->handle, &store->writer);
    if (result == MMGR_OK) {
        store->host = *host;
        take_host(store);
        result = mmgr__db_prepare_guest(store->writer, read_only);
        give_host(store);
    }
    if (result != MMGR_OK) {
        sqlite_close(store);
        return result;
    }
    *self = store;
    return MMGR_OK;
}

static enum mmgr_result sqlite_open(const char *path, const struct mmgr__store_place *place,
                                    int read_only, void **self)
{
    struct sqlite_store *store;
    int missing = 0;
    enum mmgr_result result;

    if (!sqlite3_threadsafe())
        return mmgr__fail(MMGR_ERR_UNSUPPORTED, "this SQLite was built without threads");
    result = mmgr__db_peek(path, &missing);
    if (result != MMGR_OK)
        return result;
    store = new_store(place);
    if (store == NULL)
        return mmgr__oom();
    store->path = mmgr__strdup(path);
    if (store->path == NULL)
        result = mmgr__oom();
    else
        result = read_only ? open_reader(store) : open_writer(store, missing);
    if (result != MMGR_OK) {
        sqlite_close(store);
        return result;
    }
    *self = store;
    return MMGR_OK;
}

static enum mmgr_result sqlite_get(void *self, const char *key, mmgr_record **record)
{
    struct sqlite_store *store = self;
    struct mmgr__db *db;
    int64_t id;
    enum mmgr_result result = take_reader(store, &db);

    if (result != MMGR_OK)
        return result;
    result = mmgr__db_get(db, &store->place, key, record, &id);
    give_reader(store, db);
    return result;
}

static enum mmgr_result sqlite_add(void *self, struct mmgr__adding *adding)
{
    struct sqlite_store *store = self;
    enum mmgr_result result = begin_write(store);

    if (result != MMGR_OK)
        return result;
    return end_write(store, mmgr__db_add(store->writer, adding));
}

static enum mmgr_result sqlite_update(void *self, const char *key, mmgr__store_edit edit,
                                      void *user, mmgr_record **updated)
{
    struct sqlite_store *store = self;
    mmgr_record *changed = NULL;
    enum mmgr_result result = begin_write(store);

    if (result != MMGR_OK)
        return result;
    result = mmgr__db_update(store->writer, &store->place, key, edit, user, &changed);
    result = end_write(store, result);
    if (result == MMGR_OK)
        *updated = changed;
    else
        mmgr_record_unref(changed);
    return result;
}

static enum mmgr_result sqlite_remove(void *self, const char *key)
{
    struct sqlite_store *store = self;
    enum mmgr_result result = begin_write(store);

    if (result != MMGR_OK)
        return result;
    return end_write(store, mmgr__db_remove(store->writer, key));
}

static enum mmgr_result sqlite_exists(void *self, const char *key, int *exists)
{
    struct sqlite_store *store = self;
    struct mmgr__db *db;
    enum mmgr_result result = take_reader(store, &db);

    if (result != MMGR_OK)
        return result;
    result = mmgr__db_exists(db, key, exists);
    give_reader(store, db);
    return result;
}

static enum mmgr_result sqlite_search(void *self, const struct mmgr__query *query,
                                      mmgr_record_list *list)
{
    struct sqlite_store *store = self;
    struct mmgr__db *db;
    enum mmgr_result result = take_reader(store, &db);

    if (result != MMGR_OK)
        return result;
    result = mmgr__db_search(db, &store->place, query, list);
    give_reader(store, db);
    return result;
}

/* Asked of the connection that writes, because SQLite counts only what other connections commit. A store
 * that is only read has a connection for this alone. */
static enum mmgr_result sqlite_changed(void *self, int *changed)
{
    struct sqlite_store *store = self;
    enum mmgr_result result = MMGR_OK;
    int outdated;

    if (store->host.handle != NULL)
        take_host(store);
    outdated = store->writer != NULL && !is_current(store, store->writer);
    if (outdated) {
        mmgr__db_close(store->writer);
        store->writer = NULL;
    }
    if (store->writer == NULL)
        result = open_to_read(store, &store->writer);
    if (result == MMGR_OK)
        result = mmgr__db_changed(store->writer, changed);
    *changed |= outdated;
    if (store->host.handle != NULL)
        give_host(store);
    return result;
}

static const char *sqlite_path(const void *self)
{
    return ((const struct sqlite_store *)self)->path;
}

const struct mmgr__store_ops mmgr__store_sqlite = {
    .extension = ".db",
    .open = sqlite_open,
    .close = sqlite_close,
    .version = MMGR__DB_SCHEMA_TEXT,
    .path = sqlite_path,
    .add = sqlite_add,
    .update = sqlite_update,
    .remove = sqlite_remove,
    .get = sqlite_get,
    .exists = sqlite_exists,
    .search = sqlite_search,
    .changed = sqlite_changed,
};
