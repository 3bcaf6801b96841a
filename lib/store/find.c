/* SPDX-License-Identifier: MIT */
/* Public store calls that read records. */
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/options.h"
#include "base/text.h"
#include "store/store_private.h"

#define EACH_PAGE 256 /* records in memory at once while all are visited */

enum mmgr_result mmgr_store_get(mmgr_store *store, const char *key, mmgr_record **record)
{
    enum mmgr_result result = mmgr__store_check(store);

    if (result != MMGR_OK)
        return result;
    if (key == NULL || record == NULL)
        return mmgr__bad_argument(key == NULL ? "key" : "record");
    return store->ops->get(store->self, key, record);
}

enum mmgr_result mmgr_store_exists(mmgr_store *store, const char *key, int *exists)
{
    enum mmgr_result result = mmgr__store_check(store);

    if (result != MMGR_OK)
        return result;
    if (key == NULL || exists == NULL)
        return mmgr__bad_argument(key == NULL ? "key" : "exists");
    return store->ops->exists(store->self, key, exists);
}

static enum mmgr_result check_search(const struct mmgr_search_options *given,
                                     struct mmgr__query *query)
{
    if ((given->flags & ~(uint64_t)MMGR_SEARCH_NO_TOTAL) != 0)
        return mmgr__bad_argument("flags");
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
                                  .filters = {given->where, NULL},
                                  .words = given->text,
                                  .sort = given->sort,
                                  .cursor = given->cursor,
                                  .limit = given->limit,
                                  .offset = given->offset,
                                  .no_total = (given->flags & MMGR_SEARCH_NO_TOTAL) != 0};
    return MMGR_OK;
}

static enum mmgr_result run_search(mmgr_store *store, const struct mmgr__query *query,
                                   mmgr_record_list **list)
{
    mmgr_record_list *made = mmgr__alloc0(1, sizeof *made);
    enum mmgr_result result =
        made != NULL ? store->ops->search(store->self, query, made) : mmgr__oom();

    if (result == MMGR_OK)
        *list = made;
    else
        mmgr_record_list_free(made);
    return result;
}

enum mmgr_result mmgr_store_search(mmgr_store *store, const struct mmgr_search_options *options,
                                   mmgr_record_list **list)
{
    struct mmgr_search_options given;
    struct mmgr__query query;
    mmgr_filter *filter = NULL;
    char *path = NULL;
    enum mmgr_result result = mmgr__store_check(store);

    if (result != MMGR_OK)
        return result;
    if (list == NULL)
        return mmgr__bad_argument("list");
    result = MMGR__IMPORT(given, options, flags);
    if (result == MMGR_OK)
        result = check_search(&given, &query);
    if (result == MMGR_OK && given.filter != NULL)
        result = mmgr_filter_parse(given.filter, &filter);
    if (result == MMGR_OK && given.path != NULL) {
        path = mmgr__store_inward(given.path, store->place.models_dir);
        result = path != NULL ? MMGR_OK : mmgr__oom();
    }
    if (result == MMGR_OK) {
        query.filters[1] = filter;
        query.path = path;
        result = run_search(store, &query, list);
    }
    mmgr_filter_unref(filter);
    mmgr__free(path);
    return result;
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

/* Call fn with each record of a page, read anew with its manifest. */
static enum mmgr_result each_of_page(mmgr_store *store, const mmgr_record_list *list,
                                     enum mmgr_result (*fn)(const mmgr_record *record, void *user),
                                     void *user)
{
    enum mmgr_result result = MMGR_OK;

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
    return result;
}

enum mmgr_result mmgr__store_each(mmgr_store *store,
                                  enum mmgr_result (*fn)(const mmgr_record *record, void *user),
                                  void *user)
{
    struct mmgr_search_options options = {
        .struct_size = sizeof options, .limit = EACH_PAGE, .flags = MMGR_SEARCH_NO_TOTAL};
    mmgr_record_list *page = NULL, *next = NULL;
    enum mmgr_result result = mmgr_store_search(store, &options, &page);

    while (result == MMGR_OK) {
        result = each_of_page(store, page, fn, user);
        options.cursor = mmgr_record_list_cursor(page);
        if (result != MMGR_OK || options.cursor == NULL)
            break;
        result = mmgr_store_search(store, &options, &next);
        if (result == MMGR_OK) {
            mmgr_record_list_free(page);
            page = next;
        }
    }
    mmgr_record_list_free(page);
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
