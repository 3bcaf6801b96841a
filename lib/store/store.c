/* SPDX-License-Identifier: MIT */
/* The public store: options, choice of the back end, edits, events. Knows no SQL. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
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
#include "store/store.h"

struct mmgr_store {
    const struct mmgr__store_ops *ops;
    void *self;
    struct mmgr__store_place place;
    mmgr_config *config;
    mmgr_bus *bus;
    pthread_mutex_t write; /* one writer at a time; events leave in the order of their commits */
    struct mmgr__store_host host;
    atomic_int users;
    int read_only;
    pid_t pid; /* SQLite's handles must not be used in a forked child */
};

static enum mmgr_result check_store(const mmgr_store *store)
{
    if (store == NULL)
        return mmgr__bad_argument("store");
    if (store->pid != getpid())
        return mmgr__fail(MMGR_ERR_STATE,
                          "the store was opened before fork(); open it again in this process");
    return MMGR_OK;
}

static enum mmgr_result check_writable(const mmgr_store *store)
{
    enum mmgr_result result = check_store(store);

    if (result == MMGR_OK && store->read_only)
        return mmgr__fail(MMGR_ERR_STATE, "the record store was opened to be read only");
    return result;
}

/* The host's lock comes before ours: a host that holds it already may call the store. */
static void lock_writes(mmgr_store *store)
{
    if (store->host.lock != NULL)
        store->host.lock(store->host.user);
    pthread_mutex_lock(&store->write);
}

static void unlock_writes(mmgr_store *store)
{
    pthread_mutex_unlock(&store->write);
    if (store->host.unlock != NULL)
        store->host.unlock(store->host.user);
}

static enum mmgr_result choose_backend(const char *path, const struct mmgr__store_ops **ops)
{
    static const struct mmgr__store_ops *const all[] = {&mmgr__store_sqlite};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (mmgr__ends_with_nocase(path, all[i]->extension)) {
            *ops = all[i];
            return MMGR_OK;
        }
    }
    if (mmgr__ends_with_nocase(path, ".yaml") || mmgr__ends_with_nocase(path, ".yml"))
        mmgr__fail(MMGR_ERR_UNSUPPORTED,
                   "record stores in YAML are not available in this release: %s", path);
    else
        mmgr__fail(MMGR_ERR_UNSUPPORTED, "a record store is a file that ends in .db: %s", path);
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
    if ((given->flags & ~MMGR_STORE_READ_ONLY) != 0)
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
    if (given.config != NULL) {
        made->config = mmgr_config_ref(given.config);
        mmgr__config_freeze(made->config);
        made->place.models_dir = mmgr_config_get(made->config, "models_dir");
        made->place.root = mmgr_config_get(made->config, "root");
    }
    result = open_backend(&given, made);
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
    return store != NULL ? store->ops->version(store->self) : NULL;
}

static void send(const mmgr_store *store, enum mmgr_event_type type, const char *key)
{
    struct mmgr__event_data data = {.type = type};

    if (store->bus == NULL)
        return;
    data.texts[MMGR_EVENT_TEXT_KEY] = key;
    /* The record is committed: a lost event must not turn that into a failure. */
    if (mmgr__bus_send(store->bus, &data) != MMGR_OK)
        mmgr__log(MMGR_LOG_WARNING, "store", "no memory for the event of model %s", key);
}

static enum mmgr_result set_inward(mmgr_record_builder *builder, enum mmgr_field field,
                                   const char *folder)
{
    const char *path = mmgr__record_builder_text(builder, field);
    enum mmgr_result result = MMGR_OK;
    char *stored;

    if (path == NULL)
        return MMGR_OK;
    stored = mmgr__store_inward(path, folder);
    if (stored == NULL)
        return mmgr__oom();
    if (strcmp(stored, path) != 0)
        result = mmgr_record_builder_set(builder, field, stored);
    mmgr__free(stored);
    return result;
}

/* Bring paths and times into the form that is stored, and build. created_at: text, or NULL for
 * now. */
static enum mmgr_result complete(const mmgr_store *store, mmgr_record_builder *builder,
                                 const char *created_at, mmgr_record **record)
{
    enum mmgr_result result;
    char now[32], *location = NULL;

    mmgr__format_time(mmgr__now_realtime(), now);
    result = set_inward(builder, MMGR_FIELD_PATH, store->place.models_dir);
    /* A vae may be a key as well, which has no slash in front and is left alone. */
    if (result == MMGR_OK)
        result = set_inward(builder, MMGR_FIELD_VAE, store->place.models_dir);
    if (result == MMGR_OK)
        result = set_inward(builder, MMGR_FIELD_CONFIG_PATH, store->place.root);
    if (result == MMGR_OK)
        result = mmgr_record_builder_set(builder, MMGR_FIELD_CREATED_AT,
                                         created_at != NULL ? created_at : now);
    if (result == MMGR_OK)
        result = mmgr_record_builder_set(builder, MMGR_FIELD_UPDATED_AT, now);
    if (result != MMGR_OK)
        return result;
    if (mmgr__record_builder_text(builder, MMGR_FIELD_PATH) != NULL) {
        if (!mmgr__store_outward(mmgr__record_builder_text(builder, MMGR_FIELD_PATH),
                                 store->place.models_dir, &location))
            return mmgr__oom();
        result = mmgr__record_builder_set_location(builder, location);
        mmgr__free(location);
    }
    return result == MMGR_OK ? mmgr__record_builder_finish(builder, record) : result;
}

enum mmgr_result mmgr__store_add_full(mmgr_store *store, const mmgr_record *record, uint32_t flags,
                                      mmgr_record **added)
{
    mmgr_record_builder *builder;
    mmgr_record *complete_record = NULL;
    int existed = 0;
    enum mmgr_result result = check_writable(store);

    if (result != MMGR_OK)
        return result;
    if (record == NULL)
        return mmgr__bad_argument("record");
    result = mmgr_record_builder_new(record, &builder);
    if (result != MMGR_OK)
        return result;
    result =
        complete(store, builder, mmgr_record_text(record, MMGR_FIELD_CREATED_AT), &complete_record);
    mmgr_record_builder_free(builder);
    if (result != MMGR_OK)
        return result;
    lock_writes(store);
    result = store->ops->add(store->self, complete_record, flags, &existed);
    if (result == MMGR_OK && !existed)
        send(store, MMGR_EVENT_STORE_ADDED, mmgr_record_text(complete_record, MMGR_FIELD_KEY));
    unlock_writes(store);
    if (result == MMGR_OK && added != NULL && existed)
        result =
            store->ops->get(store->self, mmgr_record_text(complete_record, MMGR_FIELD_KEY), added);
    else if (result == MMGR_OK && added != NULL)
        *added = mmgr_record_ref(complete_record);
    mmgr_record_unref(complete_record);
    return result;
}

enum mmgr_result mmgr_store_add(mmgr_store *store, const mmgr_record *record, mmgr_record **added)
{
    return mmgr__store_add_full(store, record, 0, added);
}

struct patch {
    const mmgr_store *store;
    const char *json;
};

static enum mmgr_result apply_patch(const mmgr_record *old, mmgr_record **changed, void *user)
{
    const struct patch *patch = user;
    const char *key = mmgr_record_text(old, MMGR_FIELD_KEY), *now;
    mmgr_record_builder *builder;
    enum mmgr_result result = mmgr_record_builder_new(old, &builder);

    if (result != MMGR_OK)
        return result;
    result = mmgr_record_builder_merge(builder, patch->json);
    now = mmgr__record_builder_text(builder, MMGR_FIELD_KEY);
    if (result == MMGR_OK && (now == NULL || strcmp(now, key) != 0)) {
        result =
            mmgr__fail(MMGR_ERR_INVALID_CONFIG, "model %s: field \"key\" cannot be changed", key);
        mmgr__error_set_field("key");
        mmgr__error_set_subject(key);
    }
    if (result == MMGR_OK)
        result =
            complete(patch->store, builder, mmgr_record_text(old, MMGR_FIELD_CREATED_AT), changed);
    mmgr_record_builder_free(builder);
    return result;
}

enum mmgr_result mmgr_store_update(mmgr_store *store, const char *key, const char *patch,
                                   mmgr_record **updated)
{
    struct patch edit = {store, patch};
    mmgr_record *changed = NULL;
    enum mmgr_result result = check_writable(store);

    if (result != MMGR_OK)
        return result;
    if (key == NULL || patch == NULL)
        return mmgr__bad_argument(key == NULL ? "key" : "patch");
    lock_writes(store);
    result = store->ops->update(store->self, key, apply_patch, &edit, &changed);
    if (result == MMGR_OK)
        send(store, MMGR_EVENT_STORE_UPDATED, key);
    unlock_writes(store);
    if (result != MMGR_OK)
        return result;
    if (updated != NULL)
        *updated = changed;
    else
        mmgr_record_unref(changed);
    return MMGR_OK;
}

enum mmgr_result mmgr_store_delete(mmgr_store *store, const char *key)
{
    enum mmgr_result result = check_writable(store);

    if (result != MMGR_OK)
        return result;
    if (key == NULL)
        return mmgr__bad_argument("key");
    lock_writes(store);
    result = store->ops->remove(store->self, key);
    if (result == MMGR_OK)
        send(store, MMGR_EVENT_STORE_DELETED, key);
    unlock_writes(store);
    return result;
}

enum mmgr_result mmgr_store_get(mmgr_store *store, const char *key, mmgr_record **record)
{
    enum mmgr_result result = check_store(store);

    if (result != MMGR_OK)
        return result;
    if (key == NULL || record == NULL)
        return mmgr__bad_argument(key == NULL ? "key" : "record");
    return store->ops->get(store->self, key, record);
}

enum mmgr_result mmgr_store_exists(mmgr_store *store, const char *key, int *exists)
{
    enum mmgr_result result = check_store(store);

    if (result != MMGR_OK)
        return result;
    if (key == NULL || exists == NULL)
        return mmgr__bad_argument(key == NULL ? "key" : "exists");
    return store->ops->exists(store->self, key, exists);
}

static enum mmgr_result unavailable(const char *field)
{
    mmgr__fail(MMGR_ERR_UNSUPPORTED, "searching by %s is not available in this release", field);
    mmgr__error_set_field(field);
    return MMGR_ERR_UNSUPPORTED;
}

static enum mmgr_result read_sort(const char *sort, struct mmgr__query *query)
{
    if (sort == NULL || sort[0] == '\0')
        return MMGR_OK;
    query->descending = sort[0] == '-';
    query->sort = mmgr__field_by_name(sort + query->descending);
    if (query->sort != NULL && query->sort->kind != MMGR__FIELD_LIST &&
        query->sort->kind != MMGR__FIELD_OBJECT)
        return MMGR_OK;
    mmgr__fail(MMGR_ERR_ARGUMENT, "cannot sort by \"%s\": %s", sort,
               query->sort == NULL ? "there is no such field" : "it holds more than one value");
    mmgr__error_set_field("sort");
    return MMGR_ERR_ARGUMENT;
}

static enum mmgr_result check_search(const struct mmgr_search_options *given,
                                     struct mmgr__query *query)
{
    if (given->filter != NULL)
        return unavailable("filter");
    if (given->text != NULL)
        return unavailable("text");
    if (given->tag_count > 0 && given->tags == NULL)
        return mmgr__bad_argument("tags");
    for (uint32_t i = 0; i < given->tag_count; i++) {
        if (given->tags[i] == NULL)
            return mmgr__bad_argument("tags");
    }
    *query = (struct mmgr__query){.name = given->name,
                                  .type = given->type,
                                  .format = given->format,
                                  .base = given->base,
                                  .hash = given->hash,
                                  .source = given->source,
                                  .tags = given->tags,
                                  .tag_count = given->tag_count,
                                  .limit = given->limit,
                                  .offset = given->offset};
    return read_sort(given->sort, query);
}

enum mmgr_result mmgr_store_search(mmgr_store *store, const struct mmgr_search_options *options,
                                   mmgr_record_list **list)
{
    struct mmgr_search_options given;
    struct mmgr__query query;
    mmgr_record_list *made;
    char *path = NULL;
    enum mmgr_result result = check_store(store);

    if (result != MMGR_OK)
        return result;
    if (list == NULL)
        return mmgr__bad_argument("list");
    result = MMGR__IMPORT(given, options, text);
    if (result == MMGR_OK)
        result = check_search(&given, &query);
    if (result != MMGR_OK)
        return result;
    if (given.path != NULL) {
        path = mmgr__store_inward(given.path, store->place.models_dir);
        if (path == NULL)
            return mmgr__oom();
        query.path = path;
    }
    made = mmgr__alloc0(1, sizeof *made);
    result = made != NULL ? store->ops->search(store->self, &query, made) : mmgr__oom();
    mmgr__free(path);
    if (result != MMGR_OK) {
        mmgr_record_list_free(made);
        return result;
    }
    *list = made;
    return MMGR_OK;
}

/* AMBIGUOUS_MODEL with the keys, as many as fit. */
static enum mmgr_result ambiguous(const char *name, const mmgr_record_list *list)
{
    struct mmgr__buf keys = {0};
    uint32_t count = mmgr_record_list_count(list), shown = count < 10 ? count : 10;
    char *text;

    for (uint32_t i = 0; i < shown; i++)
        mmgr__buf_printf(&keys, "%s%s", i > 0 ? ", " : "",
                         mmgr_record_text(mmgr_record_list_at(list, i), MMGR_FIELD_KEY));
    if (shown < count)
        mmgr__buf_printf(&keys, " and %u more", count - shown);
    text = mmgr__buf_take(&keys);
    if (text == NULL)
        return mmgr__oom();
    mmgr__fail(MMGR_ERR_AMBIGUOUS_MODEL, "%u models are named \"%s\": %s", count, name, text);
    mmgr__error_set_subject(name);
    mmgr__free(text);
    return MMGR_ERR_AMBIGUOUS_MODEL;
}

enum mmgr_result mmgr_store_get_by_name(mmgr_store *store, const char *name, const char *base,
                                        const char *type, mmgr_record **record)
{
    struct mmgr_search_options options = {
        .struct_size = sizeof options, .name = name, .base = base, .type = type};
    mmgr_record_list *list;
    enum mmgr_result result;

    if (name == NULL || record == NULL)
        return mmgr__bad_argument(name == NULL ? "name" : "record");
    result = mmgr_store_search(store, &options, &list);
    if (result != MMGR_OK)
        return result;
    if (mmgr_record_list_count(list) == 0) {
        result = mmgr__fail(MMGR_ERR_UNKNOWN_MODEL, "no model is named \"%s\"%s%s%s%s", name,
                            type != NULL ? ", type " : "", type != NULL ? type : "",
                            base != NULL ? ", base " : "", base != NULL ? base : "");
        mmgr__error_set_subject(name);
    } else if (mmgr_record_list_count(list) > 1) {
        result = ambiguous(name, list);
    } else {
        result = mmgr_store_get(
            store, mmgr_record_text(mmgr_record_list_at(list, 0), MMGR_FIELD_KEY), record);
    }
    mmgr_record_list_free(list);
    return result;
}

enum mmgr_result mmgr__store_each(mmgr_store *store,
                                  enum mmgr_result (*fn)(const mmgr_record *record, void *user),
                                  void *user)
{
    mmgr_record_list *list = NULL;
    enum mmgr_result result = mmgr_store_search(store, NULL, &list);

    for (uint32_t i = 0; result == MMGR_OK && i < mmgr_record_list_count(list); i++) {
        const char *key = mmgr_record_text(mmgr_record_list_at(list, i), MMGR_FIELD_KEY);
        mmgr_record *record;

        result = mmgr_store_get(store, key, &record);
        if (result == MMGR_ERR_UNKNOWN_MODEL || result == MMGR_ERR_INVALID_CONFIG) {
            result = MMGR_OK; /* deleted or broken since the search */
            continue;
        }
        if (result != MMGR_OK)
            break;
        result = fn(record, user);
        mmgr_record_unref(record);
    }
    mmgr_record_list_free(list);
    return result;
}

enum mmgr_result mmgr_store_resolve(const mmgr_store *store, const mmgr_record *record,
                                    enum mmgr_field field, char **path)
{
    const char *text, *folder;
    char *absolute = NULL;

    if (store == NULL || record == NULL || path == NULL)
        return mmgr__bad_argument(store == NULL ? "store" : record == NULL ? "record" : "path");
    if (field != MMGR_FIELD_PATH && field != MMGR_FIELD_VAE && field != MMGR_FIELD_CONFIG_PATH)
        return mmgr__bad_argument("field");
    text = mmgr_record_text(record, field);
    folder = field == MMGR_FIELD_CONFIG_PATH ? store->place.root : store->place.models_dir;
    if (text != NULL && !(field == MMGR_FIELD_VAE && mmgr__is_hex(text, 32)) &&
        !mmgr__store_outward(text, folder, &absolute))
        return mmgr__oom();
    *path = absolute;
    return MMGR_OK;
}
