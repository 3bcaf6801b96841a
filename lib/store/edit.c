/* SPDX-License-Identifier: MIT */
/* Public store calls that change records. */
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/event.h"
#include "base/text.h"
#include "store/sidecar.h"
#include "store/store_private.h"

/* Bring paths and times into the form that is stored, and build. created_at: text, or NULL for
 * now. */
static enum mmgr_result complete(const mmgr_store *store, mmgr_record_builder *builder,
                                 const char *created_at, mmgr_record **record)
{
    enum mmgr_result result = mmgr__store_canonical(&store->place, builder);
    char now[32];

    mmgr__format_time(mmgr__now_realtime(), now);
    if (result == MMGR_OK)
        result = mmgr__record_builder_put(builder, MMGR_FIELD_CREATED_AT,
                                          created_at != NULL ? created_at : now);
    if (result == MMGR_OK)
        result = mmgr__record_builder_put(builder, MMGR_FIELD_UPDATED_AT, now);
    return result == MMGR_OK ? mmgr__record_builder_finish(builder, record) : result;
}

/* The record as it is stored: a copy with canonical paths and times. */
static enum mmgr_result complete_copy(const mmgr_store *store, const mmgr_record *record,
                                      mmgr_record **completed)
{
    mmgr_record_builder *builder;
    enum mmgr_result result = mmgr_record_builder_new(record, &builder);

    if (result != MMGR_OK)
        return result;
    result = complete(store, builder, mmgr_record_text(record, MMGR_FIELD_CREATED_AT), completed);
    mmgr_record_builder_free(builder);
    return result;
}

enum mmgr_result mmgr__store_add_full(mmgr_store *store, const mmgr_record *record, uint32_t flags,
                                      mmgr_record **added)
{
    mmgr_record *completed = NULL;
    struct mmgr__adding adding = {.count = 1, .flags = flags};
    enum mmgr_result result = mmgr__store_check_writable(store);

    if (result != MMGR_OK)
        return result;
    if (record == NULL)
        return mmgr__bad_argument("record");
    result = complete_copy(store, record, &completed);
    if (result != MMGR_OK)
        return result;
    adding.records = (const mmgr_record *const *)&completed;
    mmgr__store_lock(store);
    result = store->ops->add(store->self, &adding);
    if (result == MMGR_OK && !adding.existed)
        mmgr__store_send(store, MMGR_EVENT_STORE_ADDED,
                         mmgr_record_text(completed, MMGR_FIELD_KEY));
    mmgr__store_unlock(store);
    if (result == MMGR_OK && added != NULL && adding.existed)
        result = store->ops->get(store->self, mmgr_record_text(completed, MMGR_FIELD_KEY), added);
    else if (result == MMGR_OK && added != NULL)
        *added = mmgr_record_ref(completed);
    mmgr_record_unref(completed);
    return result;
}

/* What comes from outside may only hold what this release knows, unless the store was opened to take all. */
static enum mmgr_result check_known(const mmgr_store *store, const mmgr_record *record,
                                    const mmgr_record *old)
{
    return store->lenient ? MMGR_OK : mmgr__record_check_known(record, old);
}

enum mmgr_result mmgr_store_add(mmgr_store *store, const mmgr_record *record, mmgr_record **added)
{
    enum mmgr_result result = mmgr__store_check_writable(store);

    if (result == MMGR_OK && record == NULL)
        return mmgr__bad_argument("record");
    if (result == MMGR_OK)
        result = check_known(store, record, NULL);
    return result == MMGR_OK ? mmgr__store_add_full(store, record, 0, added) : result;
}

/* The records that are added, and which of them were refused. */
struct batch {
    mmgr_record **records;
    size_t count;
    enum mmgr_result (*refused)(size_t index, void *user);
    void *user;
};

static enum mmgr_result skip_refused(size_t index, void *user)
{
    struct batch *batch = user;
    enum mmgr_result result = batch->refused(index, batch->user);

    if (result == MMGR_OK) {
        mmgr_record_unref(batch->records[index]);
        batch->records[index] = NULL;
    }
    return result;
}

static enum mmgr_result add_batch(mmgr_store *store, struct batch *batch)
{
    struct mmgr__adding adding = {.records = (const mmgr_record *const *)batch->records,
                                  .count = batch->count,
                                  .refused = batch->refused != NULL ? skip_refused : NULL,
                                  .user = batch};
    enum mmgr_result result;

    mmgr__store_lock(store);
    result = store->ops->add(store->self, &adding);
    for (size_t i = 0; i < batch->count && result == MMGR_OK; i++) {
        if (batch->records[i] != NULL)
            mmgr__store_send(store, MMGR_EVENT_STORE_ADDED,
                             mmgr_record_text(batch->records[i], MMGR_FIELD_KEY));
    }
    mmgr__store_unlock(store);
    return result;
}

enum mmgr_result mmgr__store_add_batch(mmgr_store *store, const mmgr_record *const *records,
                                       size_t count,
                                       enum mmgr_result (*refused)(size_t index, void *user),
                                       void *user)
{
    struct batch batch = {.refused = refused, .user = user};
    enum mmgr_result result = mmgr__store_check_writable(store);

    if (result != MMGR_OK || count == 0)
        return result;
    batch.records = mmgr__alloc0(count, sizeof(mmgr_record *));
    if (batch.records == NULL)
        return mmgr__oom();
    for (; batch.count < count && result == MMGR_OK; batch.count++) {
        result = complete_copy(store, records[batch.count], &batch.records[batch.count]);
        if (result == MMGR_ERR_INVALID_CONFIG && refused != NULL)
            result = refused(batch.count, user);
    }
    if (result == MMGR_OK)
        result = add_batch(store, &batch);
    for (size_t i = 0; i < batch.count; i++)
        mmgr_record_unref(batch.records[i]);
    mmgr__free(batch.records);
    return result;
}

enum mmgr_result mmgr_store_add_many(mmgr_store *store, const mmgr_record *const *records,
                                     uint32_t count)
{
    enum mmgr_result result = mmgr__store_check_writable(store);

    if (result != MMGR_OK)
        return result;
    if (records == NULL && count > 0)
        return mmgr__bad_argument("records");
    for (uint32_t i = 0; i < count && result == MMGR_OK; i++)
        result = records[i] != NULL ? check_known(store, records[i], NULL)
                                    : mmgr__bad_argument("records");
    return result == MMGR_OK ? mmgr__store_add_batch(store, records, count, NULL, NULL) : result;
}

/* What `builder` holds becomes the record in the place of the old one, whose key it must keep. */
static enum mmgr_result finish_edit(const mmgr_store *store, const mmgr_record *old,
                                    mmgr_record_builder *builder, mmgr_record **changed)
{
    const char *key = mmgr_record_text(old, MMGR_FIELD_KEY);
    const char *now = mmgr__record_builder_text(builder, MMGR_FIELD_KEY);

    if (now != NULL && strcmp(now, key) == 0)
        return complete(store, builder, mmgr_record_text(old, MMGR_FIELD_CREATED_AT), changed);
    mmgr__fail(MMGR_ERR_INVALID_CONFIG, "model %s: field \"key\" cannot be changed", key);
    mmgr__error_set_field("key");
    mmgr__error_set_subject(key);
    return MMGR_ERR_INVALID_CONFIG;
}

struct patch {
    const mmgr_store *store;
    const char *json;
};

static enum mmgr_result apply_patch(const mmgr_record *old, mmgr_record **changed, void *user)
{
    const struct patch *patch = user;
    mmgr_record_builder *builder;
    mmgr_record *made = NULL;
    enum mmgr_result result = mmgr_record_builder_new(old, &builder);

    if (result != MMGR_OK)
        return result;
    result = mmgr_record_builder_merge(builder, patch->json);
    if (result == MMGR_OK)
        result = finish_edit(patch->store, old, builder, &made);
    mmgr_record_builder_free(builder);
    if (result == MMGR_OK)
        result = check_known(patch->store, made, old);
    if (result == MMGR_OK)
        *changed = made;
    else
        mmgr_record_unref(made);
    return result;
}

struct change {
    const mmgr_store *store;
    mmgr__store_edit edit;
    void *user;
};

static enum mmgr_result apply_change(const mmgr_record *old, mmgr_record **changed, void *user)
{
    const struct change *change = user;
    mmgr_record_builder *builder = NULL;
    mmgr_record *made = NULL;
    enum mmgr_result result = change->edit(old, &made, change->user);

    if (result == MMGR_OK)
        result = mmgr_record_builder_new(made, &builder);
    if (result == MMGR_OK)
        result = finish_edit(change->store, old, builder, changed);
    mmgr_record_builder_free(builder);
    mmgr_record_unref(made);
    return result;
}

/* An update by any edit, with its event. */
static enum mmgr_result update(mmgr_store *store, const char *key, mmgr__store_edit edit,
                               void *user, mmgr_record **updated)
{
    mmgr_record *changed = NULL;
    enum mmgr_result result;

    mmgr__store_lock(store);
    result = store->ops->update(store->self, key, edit, user, &changed);
    if (result == MMGR_OK) {
        mmgr__sidecar_refresh(store->place.models_dir, changed);
        mmgr__store_send(store, MMGR_EVENT_STORE_UPDATED, key);
    }
    mmgr__store_unlock(store);
    if (result != MMGR_OK)
        return result;
    if (updated != NULL)
        *updated = changed;
    else
        mmgr_record_unref(changed);
    return MMGR_OK;
}

enum mmgr_result mmgr_store_update(mmgr_store *store, const char *key, const char *patch,
                                   mmgr_record **updated)
{
    struct patch edit = {store, patch};
    enum mmgr_result result = mmgr__store_check_writable(store);

    if (result != MMGR_OK)
        return result;
    if (key == NULL || patch == NULL)
        return mmgr__bad_argument(key == NULL ? "key" : "patch");
    return update(store, key, apply_patch, &edit, updated);
}

enum mmgr_result mmgr__store_change(mmgr_store *store, const char *key, mmgr__store_edit edit,
                                    void *user, mmgr_record **changed)
{
    struct change change = {store, edit, user};
    enum mmgr_result result = mmgr__store_check_writable(store);

    return result == MMGR_OK ? update(store, key, apply_change, &change, changed) : result;
}

enum mmgr_result mmgr_store_delete(mmgr_store *store, const char *key)
{
    enum mmgr_result result = mmgr__store_check_writable(store);

    if (result != MMGR_OK)
        return result;
    if (key == NULL)
        return mmgr__bad_argument("key");
    mmgr__store_lock(store);
    result = store->ops->remove(store->self, key);
    if (result == MMGR_OK)
        mmgr__store_send(store, MMGR_EVENT_STORE_DELETED, key);
    mmgr__store_unlock(store);
    return result;
}

