/* SPDX-License-Identifier: MIT */
/* One load: find the model in the cache or fill a new entry, once for all who ask meanwhile;
 * tell of it. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <modelmgr/config.h>

#include "base/alloc.h"
#include "base/event.h"
#include "base/io.h"
#include "base/options.h"
#include "base/text.h"
#include "load/service.h"

static enum mmgr_result tell(mmgr_load_service *service, enum mmgr_event_type type,
                             const mmgr_load_request *request, const char *context,
                             const struct mmgr_error *error)
{
    if (service->bus == NULL)
        return MMGR_OK;
    struct mmgr__event_data data = {.type = type, .error = error};
    data.texts[MMGR_EVENT_TEXT_KEY] = mmgr_record_text(request->record, MMGR_FIELD_KEY);
    data.texts[MMGR_EVENT_TEXT_SUBMODEL] = request->submodel;
    data.texts[MMGR_EVENT_TEXT_HASH] = mmgr_record_text(request->record, MMGR_FIELD_HASH);
    data.texts[MMGR_EVENT_TEXT_LOCAL_PATH] = request->path;
    data.texts[MMGR_EVENT_TEXT_PRECISION] = mmgr_config_get(service->config, "precision");
    data.texts[MMGR_EVENT_TEXT_CONTEXT] = context;
    return mmgr__bus_send(service->bus, &data);
}

/* What tells the contents of two loads apart beyond key and submodel. Owned; NULL = no memory. */
static char *make_origin(const mmgr_load_request *request)
{
    static const enum mmgr_field fields[] = {MMGR_FIELD_HASH, MMGR_FIELD_BASE, MMGR_FIELD_TYPE,
                                             MMGR_FIELD_FORMAT, MMGR_FIELD_REPO_VARIANT};
    struct mmgr__buf buf = {0};
    mmgr__buf_puts(&buf, request->path);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const char *text = mmgr_record_text(request->record, fields[i]);
        mmgr__buf_puts(&buf, "\n");
        mmgr__buf_puts(&buf, text != NULL ? text : "");
    }
    return mmgr__buf_take(&buf);
}

static enum mmgr_result check_files(const mmgr_load_request *request)
{
    const char *key = mmgr_record_text(request->record, MMGR_FIELD_KEY);
    struct stat st;
    int error = request->path != NULL ? mmgr__io_stat(AT_FDCWD, request->path, &st, 1) : -ENOENT;
    if (error == 0)
        return MMGR_OK;
    if (error != -ENOENT && error != -ENOTDIR)
        return mmgr__fail_errno(-error, "look at", request->path);
    const char *path =
        request->path != NULL ? request->path : mmgr_record_text(request->record, MMGR_FIELD_PATH);
    enum mmgr_result result =
        mmgr__fail(MMGR_ERR_MODEL_NOT_FOUND, "model %s: its files at %s are gone", key,
                   path != NULL ? path : "(no path)");
    mmgr__error_set_subject(path != NULL ? path : key);
    return result;
}

static enum mmgr_result find_loader(mmgr_load_service *service, const mmgr_record *record,
                                    const struct mmgr__loader **loader)
{
    const char *base = mmgr_record_text(record, MMGR_FIELD_BASE);
    const char *type = mmgr_record_text(record, MMGR_FIELD_TYPE);
    const char *format = mmgr_record_text(record, MMGR_FIELD_FORMAT);
    base = base != NULL ? base : "any";
    type = type != NULL ? type : "unknown";
    format = format != NULL ? format : "unknown";
    *loader = mmgr__registry_find(service->registry, base, type, format);
    if (*loader != NULL)
        return MMGR_OK;
    enum mmgr_result result =
        mmgr__fail(MMGR_ERR_NO_LOADER, "model %s: no loader for base %s, type %s, format %s",
                   mmgr_record_text(record, MMGR_FIELD_KEY), base, type, format);
    mmgr__error_set_subject(mmgr_record_text(record, MMGR_FIELD_KEY));
    return result;
}

/* Wait for another call's load; the hold was taken already. */
static enum mmgr_result wait_for(mmgr_load_service *service, struct mmgr__entry *entry)
{
    struct mmgr_error error;
    pthread_mutex_lock(&service->guard);
    while (entry->state == MMGR__ENTRY_LOADING)
        pthread_cond_wait(&service->loaded, &service->guard);
    int failed = entry->state == MMGR__ENTRY_FAILED;
    if (failed)
        error = entry->error;
    else
        mmgr__cache_touch(service, entry);
    pthread_mutex_unlock(&service->guard);
    if (!failed)
        return MMGR_OK;
    mmgr__cache_release(service, entry, 0);
    return mmgr__error_restore(&error);
}

/* Fill a fresh entry and wake those who wait for it. */
static enum mmgr_result fill(mmgr_load_service *service, struct mmgr__entry *entry,
                             const struct mmgr__loader *loader, const mmgr_load_request *request)
{
    struct mmgr__entry *chain = NULL;
    enum mmgr_result result = mmgr__entry_fill(service, entry, loader, request);
    pthread_mutex_lock(&service->guard);
    if (result == MMGR_OK) {
        entry->state = MMGR__ENTRY_READY;
        service->models++;
    } else {
        /* It leaves the list, so that the next call tries again. */
        mmgr__error_save(&entry->error);
        entry->state = MMGR__ENTRY_FAILED;
        mmgr__cache_detach(service, entry, &chain);
    }
    pthread_cond_broadcast(&service->loaded);
    pthread_mutex_unlock(&service->guard);
    if (result != MMGR_OK) {
        struct mmgr_error error;
        mmgr__error_save(&error);
        mmgr__cache_release(service, entry, 0);
        mmgr__error_restore(&error);
    }
    return result;
}

/* The entry for a request, held once for the caller. */
static enum mmgr_result obtain(mmgr_load_service *service, const mmgr_load_request *request,
                               struct mmgr__entry **held)
{
    const struct mmgr__loader *loader = NULL;
    enum mmgr_result result = check_files(request);
    if (result == MMGR_OK)
        result = find_loader(service, request->record, &loader);
    if (result != MMGR_OK)
        return result;
    char *origin = make_origin(request);
    struct mmgr__entry *fresh =
        origin != NULL ? mmgr__entry_new(request->record, request->submodel, origin) : NULL;
    mmgr__free(origin);
    if (fresh == NULL)
        return mmgr__oom();
    struct mmgr__entry *chain = NULL;
    pthread_mutex_lock(&service->guard);
    struct mmgr__entry *entry = mmgr__cache_find(service, fresh->key, request->submodel);
    if (entry != NULL && strcmp(entry->origin, fresh->origin) != 0) {
        mmgr__cache_retire(service, entry, &chain); /* the record has changed since it was loaded */
        entry = NULL;
    }
    if (entry != NULL) {
        entry->holders++;
        service->hits++;
    } else {
        mmgr__cache_insert(service, fresh);
        service->misses++;
    }
    pthread_mutex_unlock(&service->guard);
    mmgr__cache_dispose(service, chain);
    if (entry != NULL)
        mmgr__entry_free(fresh);
    *held = entry != NULL ? entry : fresh;
    return entry != NULL ? wait_for(service, entry) : fill(service, fresh, loader, request);
}

static enum mmgr_result import_options(const struct mmgr_load_options *options,
                                       struct mmgr_load_options *given)
{
    enum mmgr_result result = MMGR__IMPORT(*given, options, context);
    if (result != MMGR_OK)
        return result;
    if (given->flags != 0)
        return mmgr__bad_argument("options.flags");
    if (given->submodel != NULL && given->submodel[0] == '\0')
        return mmgr__bad_argument("options.submodel");
    return MMGR_OK;
}

static mmgr_load_request make_request(const mmgr_record *record, const char *submodel)
{
    const char *variant = mmgr_record_text(record, MMGR_FIELD_REPO_VARIANT);
    int plain = variant == NULL || variant[0] == '\0' || strcmp(variant, "default") == 0;
    return (mmgr_load_request){.struct_size = sizeof(mmgr_load_request),
                               .record = record,
                               .path = mmgr_record_location(record),
                               .submodel = submodel,
                               .variant = plain ? NULL : variant};
}

enum mmgr_result mmgr_load_service_load(mmgr_load_service *service, const mmgr_record *record,
                                        const struct mmgr_load_options *options,
                                        mmgr_loaded **loaded)
{
    struct mmgr_load_options given;
    if (service == NULL)
        return mmgr__bad_argument("service");
    if (record == NULL || mmgr_record_text(record, MMGR_FIELD_KEY) == NULL)
        return mmgr__bad_argument("record");
    if (loaded == NULL)
        return mmgr__bad_argument("loaded");
    enum mmgr_result result = import_options(options, &given);
    if (result != MMGR_OK)
        return result;
    mmgr_loaded *made = mmgr__alloc0(1, sizeof *made);
    if (made == NULL)
        return mmgr__oom();
    mmgr_load_request request = make_request(record, given.submodel);
    result = tell(service, MMGR_EVENT_LOAD_STARTED, &request, given.context, NULL);
    if (result != MMGR_OK) {
        mmgr__free(made);
        return result;
    }
    result = obtain(service, &request, &made->entry);
    if (result != MMGR_OK) {
        struct mmgr_error error;
        mmgr__free(made);
        mmgr__error_save(&error);
        tell(service, MMGR_EVENT_LOAD_ERROR, &request, given.context, &error);
        return mmgr__error_restore(&error);
    }
    mmgr__refs_init(&made->refs);
    made->service = service;
    made->record = mmgr_record_ref(record);
    tell(service, MMGR_EVENT_LOAD_COMPLETED, &request, given.context, NULL);
    *loaded = made;
    return MMGR_OK;
}
