/* SPDX-License-Identifier: MIT */
/* The public store: options, choice of the back end, edits, events. Knows no SQL. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/config.h"
#include "base/error.h"
#include "base/event.h"
#include "base/io.h"
#include "base/log.h"
#include "base/options.h"
#include "base/path.h"
#include "base/text.h"
#include "store/store_private.h"

enum mmgr_result mmgr__store_check(const mmgr_store *store)
{
    if (store == NULL)
        return mmgr__bad_argument("store");
    if (store->pid != getpid())
        return mmgr__fail(MMGR_ERR_STATE,
                          "the store was opened before fork(); open it again in this process");
    return MMGR_OK;
}

enum mmgr_result mmgr__store_check_writable(const mmgr_store *store)
{
    enum mmgr_result result = mmgr__store_check(store);

    if (result == MMGR_OK && store->read_only)
        return mmgr__fail(MMGR_ERR_STATE, "the record store was opened to be read only");
    return result;
}

void mmgr__store_lock(mmgr_store *store)
{
    if (store->host.lock != NULL)
        store->host.lock(store->host.user);
    pthread_mutex_lock(&store->write);
}

void mmgr__store_unlock(mmgr_store *store)
{
    pthread_mutex_unlock(&store->write);
    if (store->host.unlock != NULL)
        store->host.unlock(store->host.user);
}

static enum mmgr_result choose_backend(const char *path, const struct mmgr__store_ops **ops)
{
    static const struct mmgr__store_ops *const all[] = {&mmgr__store_sqlite, &mmgr__store_yaml,
                                                        &mmgr__store_yml};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (mmgr__ends_with_nocase(path, all[i]->extension)) {
            *ops = all[i];
            return MMGR_OK;
        }
    }
    /* A URI may hold a password, which belongs in no message; in a config it was taken for a path before. */
    if (strstr(path, ":/") != NULL)
        return mmgr__fail(MMGR_ERR_UNSUPPORTED,
                          "a record store is a file that ends in .db or .yaml; this build has none behind a"
                          " URI");
    mmgr__fail(MMGR_ERR_UNSUPPORTED, "a record store is a file that ends in .db or .yaml: %s", path);
    mmgr__error_set_subject(path);
    return MMGR_ERR_UNSUPPORTED;
}

static enum mmgr_result make_folder(const char *path)
{
    char *folder = mmgr__path_dirname(path);
    int error;

    if (folder == NULL)
        return mmgr__oom();
    error = mmgr__io_mkdirs(folder, 0777);
    if (error < 0) {
        enum mmgr_result result = mmgr__fail_errno(-error, "make the folder", folder);

        mmgr__free(folder);
        return result;
    }
    mmgr__free(folder);
    return MMGR_OK;
}

static void free_store(mmgr_store *store)
{
    pthread_mutex_destroy(&store->write);
    mmgr_config_unref(store->config);
    mmgr__free(store);
}

static enum mmgr_result open_at(const char *path, mmgr_store *store)
{
    enum mmgr_result result = choose_backend(path, &store->ops);
    struct stat st;
    int found;

    if (result == MMGR_OK)
        store->version = store->ops->version;
    if (result == MMGR_OK && store->read_only) {
        found = mmgr__io_stat(AT_FDCWD, path, &st, 1);
        if (found == -ENOENT || found == -ENOTDIR ||
            (found == 0 && S_ISREG(st.st_mode) && st.st_size == 0))
            store->ops = &mmgr__store_empty;
    } else if (result == MMGR_OK) {
        result = make_folder(path);
    }
    if (result != MMGR_OK)
        return result;
    return store->ops->open(path, &store->place, store->read_only, &store->self);
}

static enum mmgr_result check_options(const struct mmgr_store_options *given)
{
    if ((given->flags & ~(MMGR_STORE_READ_ONLY | MMGR_STORE_LENIENT | MMGR_STORE_WATCH)) != 0)
        return mmgr__bad_argument("flags");
    if ((given->flags & MMGR_STORE_WATCH) != 0 && given->bus == NULL)
        return mmgr__bad_argument("bus");
    /* A thread of ours must not take the host's lock. */
    if ((given->flags & MMGR_STORE_WATCH) != 0 && given->sqlite != NULL)
        return mmgr__bad_argument("flags");
    if (given->path != NULL && (given->path[0] == '\0' || given->sqlite != NULL))
        return mmgr__bad_argument("path");
    if (given->path == NULL && given->config == NULL && given->sqlite == NULL)
        return mmgr__bad_argument("path");
    if ((given->sqlite_lock == NULL) != (given->sqlite_unlock == NULL))
        return mmgr__bad_argument("sqlite_unlock");
    if (given->sqlite == NULL && given->sqlite_lock != NULL)
        return mmgr__bad_argument("sqlite_lock");
    return MMGR_OK;
}

/* Path of the options or of the config, owned. */
static char *choose_path(const struct mmgr_store_options *given)
{
    if (given->path != NULL)
        return mmgr__path_absolute(given->path);
    return mmgr__config_store_path(given->config);
}

static enum mmgr_result open_backend(const struct mmgr_store_options *given, mmgr_store *store)
{
    enum mmgr_result result;
    char *path;

    if (given->sqlite != NULL) {
        store->ops = &mmgr__store_sqlite;
        store->version = store->ops->version;
        store->host = (struct mmgr__store_host){given->sqlite, given->sqlite_lock,
                                                given->sqlite_unlock, given->sqlite_lock_user};
        return mmgr__store_adopt(&store->host, given->sqlite_source_id, &store->place,
                                 store->read_only, &store->self);
    }
    path = choose_path(given);
    result = path != NULL ? open_at(path, store) : mmgr__oom();
    mmgr__free(path);
    return result;
}

enum mmgr_result mmgr_store_open(const struct mmgr_store_options *options, mmgr_store **store)
{
    struct mmgr_store_options given;
    mmgr_store *made;
    enum mmgr_result result;

    if (store == NULL)
        return mmgr__bad_argument("store");
    result = MMGR__IMPORT(given, options, sqlite_lock_user);
    if (result == MMGR_OK)
        result = check_options(&given);
    if (result != MMGR_OK)
        return result;
    made = mmgr__alloc0(1, sizeof *made);
    if (made == NULL)
        return mmgr__oom();
    pthread_mutex_init(&made->write, NULL);
    made->pid = getpid();
    made->bus = given.bus;
    mmgr__bus_use(made->bus);
    made->read_only = (given.flags & MMGR_STORE_READ_ONLY) != 0;
    made->lenient = (given.flags & MMGR_STORE_LENIENT) != 0;
    if (given.config != NULL) {
        made->config = mmgr_config_ref(given.config);
        mmgr__config_freeze(made->config);
        made->place.models_dir = mmgr_config_get(made->config, "models_dir");
        made->place.root = mmgr_config_get(made->config, "root");
    }
    result = open_backend(&given, made);
    if (result == MMGR_OK && (given.flags & MMGR_STORE_WATCH) != 0) {
        result = mmgr__store_watch_start(made);
        if (result != MMGR_OK)
            made->ops->close(made->self);
    }
    if (result != MMGR_OK) {
        mmgr__bus_unuse(made->bus);
        free_store(made);
        return result;
    }
    *store = made;
    return MMGR_OK;
}

enum mmgr_result mmgr_store_close(mmgr_store *store)
{
    if (store == NULL)
        return MMGR_OK;
    if (store->pid == getpid()) {
        if (atomic_load(&store->users) > 0)
            return mmgr__fail(MMGR_ERR_BUSY, "the store is still used by another service");
        if (store->bus != NULL && mmgr__bus_in_handler(store->bus))
            return mmgr__fail(MMGR_ERR_BUSY, "a store cannot be closed from a handler of its bus");
        mmgr__store_watch_stop(store);
        store->ops->close(store->self);
        mmgr__bus_unuse(store->bus);
    }
    /* In a forked child the back end's handles belong to the parent and are left alone. */
    free_store(store);
    return MMGR_OK;
}

void mmgr__store_use(mmgr_store *store)
{
    atomic_fetch_add(&store->users, 1);
}

void mmgr__store_unuse(mmgr_store *store)
{
    atomic_fetch_sub(&store->users, 1);
}

const char *mmgr_store_version(const mmgr_store *store)
{
    return store != NULL ? store->version : NULL;
}

void mmgr__store_send(const mmgr_store *store, enum mmgr_event_type type, const char *key)
{
    struct mmgr__event_data data = {.type = type};

    if (store->bus == NULL)
        return;
    data.texts[MMGR_EVENT_TEXT_KEY] = key;
    /* The record is committed: a lost event must not turn that into a failure. */
    if (mmgr__bus_send(store->bus, &data) != MMGR_OK)
        mmgr__log(MMGR_LOG_WARNING, "store", "no memory for an event of %s",
                  key != NULL ? key : "a change by others");
}

enum mmgr_result mmgr__store_poll(mmgr_store *store, int *changed)
{
    int now = 0;
    enum mmgr_result result = store->ops->changed(store->self, &now);

    if (result != MMGR_OK)
        return result;
    /* The first look only tells where the counting starts. */
    *changed = now && store->polled;
    store->changes += (uint64_t)*changed;
    store->polled = 1;
    return MMGR_OK;
}

enum mmgr_result mmgr_store_changes(mmgr_store *store, uint64_t *changes)
{
    enum mmgr_result result = mmgr__store_check(store);
    int changed;

    if (result != MMGR_OK)
        return result;
    if (changes == NULL)
        return mmgr__bad_argument("changes");
    mmgr__store_lock(store);
    result = mmgr__store_poll(store, &changed);
    if (result == MMGR_OK)
        *changes = store->changes;
    mmgr__store_unlock(store);
    return result;
}
