/* SPDX-License-Identifier: MIT */
/* Events as values: copying, reading, the JSON form, and queues of them. */
#include <string.h>

#include "base/alloc.h"
#include "base/event_private.h"
#include "base/text.h"

#define JSON_VERSION 1

static const struct event_kind {
    enum mmgr_event_type type;
    const char *name;
    uint32_t group;
    int progress;
} kinds[] = {
    {MMGR_EVENT_DOWNLOAD_ENQUEUED, "download.enqueued", MMGR_EVENTS_DOWNLOAD, 0},
    {MMGR_EVENT_DOWNLOAD_RUNNING, "download.running", MMGR_EVENTS_DOWNLOAD, 1},
    {MMGR_EVENT_DOWNLOAD_PAUSED, "download.paused", MMGR_EVENTS_DOWNLOAD, 0},
    {MMGR_EVENT_DOWNLOAD_COMPLETED, "download.completed", MMGR_EVENTS_DOWNLOAD, 0},
    {MMGR_EVENT_DOWNLOAD_ERROR, "download.error", MMGR_EVENTS_DOWNLOAD, 0},
    {MMGR_EVENT_DOWNLOAD_CANCELLED, "download.cancelled", MMGR_EVENTS_DOWNLOAD, 0},
    {MMGR_EVENT_INSTALL_DOWNLOADING, "install.downloading", MMGR_EVENTS_INSTALL, 1},
    {MMGR_EVENT_INSTALL_DOWNLOADS_COMPLETE, "install.downloads_complete", MMGR_EVENTS_INSTALL, 0},
    {MMGR_EVENT_INSTALL_RUNNING, "install.running", MMGR_EVENTS_INSTALL, 0},
    {MMGR_EVENT_INSTALL_COMPLETED, "install.completed", MMGR_EVENTS_INSTALL, 0},
    {MMGR_EVENT_INSTALL_ERROR, "install.error", MMGR_EVENTS_INSTALL, 0},
    {MMGR_EVENT_INSTALL_CANCELLED, "install.cancelled", MMGR_EVENTS_INSTALL, 0},
    {MMGR_EVENT_INSTALL_PAUSED, "install.paused", MMGR_EVENTS_INSTALL, 0},
    {MMGR_EVENT_LOAD_STARTED, "load.started", MMGR_EVENTS_LOAD, 0},
    {MMGR_EVENT_LOAD_COMPLETED, "load.completed", MMGR_EVENTS_LOAD, 0},
    {MMGR_EVENT_LOAD_ERROR, "load.error", MMGR_EVENTS_LOAD, 0},
    {MMGR_EVENT_STORE_ADDED, "store.added", MMGR_EVENTS_STORE, 0},
    {MMGR_EVENT_STORE_UPDATED, "store.updated", MMGR_EVENTS_STORE, 0},
    {MMGR_EVENT_STORE_DELETED, "store.deleted", MMGR_EVENTS_STORE, 0},
    {MMGR_EVENT_STORE_CHANGED, "store.changed", MMGR_EVENTS_STORE, 0},
};

/* JSON member of each text, in the order of writing. */
static const struct text_name {
    enum mmgr_event_text which;
    const char *member;
} text_names[] = {
    {MMGR_EVENT_TEXT_SOURCE, "source"},   {MMGR_EVENT_TEXT_LOCAL_PATH, "local_path"},
    {MMGR_EVENT_TEXT_KEY, "key"},         {MMGR_EVENT_TEXT_SUBMODEL, "submodel"},
    {MMGR_EVENT_TEXT_HASH, "hash"},       {MMGR_EVENT_TEXT_PRECISION, "precision"},
    {MMGR_EVENT_TEXT_CONTEXT, "context"},
};

static const struct event_kind *find_kind(enum mmgr_event_type type)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (kinds[i].type == type)
            return &kinds[i];
    return NULL;
}

uint32_t mmgr__event_group(enum mmgr_event_type type)
{
    const struct event_kind *kind = find_kind(type);

    return kind ? kind->group : 0;
}

int mmgr__event_is_progress(enum mmgr_event_type type)
{
    const struct event_kind *kind = find_kind(type);

    return kind && kind->progress;
}

static int copy_parts(mmgr_event *event, const struct mmgr__event_data *data)
{
    if (data->part_count == 0)
        return 1;
    event->parts = mmgr__alloc0(data->part_count, sizeof(*event->parts));
    if (!event->parts)
        return 0;
    event->part_count = data->part_count;
    for (uint32_t i = 0; i < data->part_count; i++) {
        event->parts[i].path = mmgr__strdup(data->parts[i].path ? data->parts[i].path : "");
        event->parts[i].bytes = data->parts[i].bytes;
        event->parts[i].total = data->parts[i].total;
        if (!event->parts[i].path)
            return 0;
    }
    return 1;
}

mmgr_event *mmgr__event_new(const struct mmgr__event_data *data)
{
    mmgr_event *event = mmgr__alloc0(1, sizeof(*event));
    int ok = event != NULL;

    if (!ok)
        return NULL;
    mmgr__refs_init(&event->refs);
    event->type = data->type;
    event->job = data->job;
    event->bytes = data->bytes;
    event->total = data->total;
    for (int i = 0; i < EVENT_TEXTS && ok; i++)
        if (data->texts[i])
            ok = (event->texts[i] = mmgr__strdup(data->texts[i])) != NULL;
    if (ok && data->error) {
        event->error = mmgr__alloc(sizeof(*event->error));
        ok = event->error != NULL;
        if (ok)
            *event->error = *data->error;
    }
    if (ok && copy_parts(event, data))
        return event;
    mmgr_event_unref(event);
    return NULL;
}

mmgr_event *mmgr_event_ref(const mmgr_event *event)
{
    mmgr_event *shared = (mmgr_event *)event;

    if (shared)
        mmgr__refs_take(&shared->refs);
    return shared;
}

void mmgr_event_unref(mmgr_event *event)
{
    if (!event || !mmgr__refs_drop(&event->refs))
        return;
    for (int i = 0; i < EVENT_TEXTS; i++)
        mmgr__free(event->texts[i]);
    for (uint32_t i = 0; i < event->part_count; i++)
        mmgr__free(event->parts[i].path);
    mmgr__free(event->parts);
    mmgr__free(event->error);
    mmgr__free(event);
}

enum mmgr_event_type mmgr_event_type(const mmgr_event *event)
{
    return event ? event->type : MMGR_EVENT_NONE;
}

const char *mmgr_event_name(const mmgr_event *event)
{
    const struct event_kind *kind = event ? find_kind(event->type) : NULL;

    return kind ? kind->name : "";
}

uint64_t mmgr_event_sequence(const mmgr_event *event)
{
    return event ? event->sequence : 0;
}

int64_t mmgr_event_time(const mmgr_event *event)
{
    return event ? event->time : 0;
}

uint64_t mmgr_event_job(const mmgr_event *event)
{
    return event ? event->job : 0;
}

uint64_t mmgr_event_bytes(const mmgr_event *event)
{
    return event ? event->bytes : 0;
}

uint64_t mmgr_event_total_bytes(const mmgr_event *event)
{
    return event ? event->total : 0;
}

const char *mmgr_event_text(const mmgr_event *event, enum mmgr_event_text which)
{
    return event && which > 0 && (int)which < EVENT_TEXTS ? event->texts[which] : NULL;
}

const mmgr_error *mmgr_event_error(const mmgr_event *event)
{
    return event ? event->error : NULL;
}

uint32_t mmgr_event_part_count(const mmgr_event *event)
{
    return event ? event->part_count : 0;
}

enum mmgr_result mmgr_event_part(const mmgr_event *event, uint32_t index, const char **path,
                                 uint64_t *bytes, uint64_t *total)
{
    if (!event || index >= event->part_count)
        return mmgr__bad_argument(event ? "index" : "event");
    if (path)
        *path = event->parts[index].path;
    if (bytes)
        *bytes = event->parts[index].bytes;
    if (total)
        *total = event->parts[index].total;
    return MMGR_OK;
}

static void json_member(struct mmgr__buf *buf, const char *member, const char *value)
{
    mmgr__buf_printf(buf, ",\"%s\":", member);
    mmgr__buf_json_string(buf, value);
}

static void json_error(struct mmgr__buf *buf, const struct mmgr_error *error)
{
    json_member(buf, "error_type", mmgr_result_name(error->code));
    json_member(buf, "error", error->message);
    if (error->field[0])
        json_member(buf, "error_field", error->field);
    if (error->subject[0])
        json_member(buf, "error_subject", error->subject);
    if (error->http_status)
        mmgr__buf_printf(buf, ",\"http_status\":%d", error->http_status);
}

static void json_parts(struct mmgr__buf *buf, const mmgr_event *event)
{
    mmgr__buf_puts(buf, ",\"parts\":[");
    for (uint32_t i = 0; i < event->part_count; i++) {
        mmgr__buf_puts(buf, i ? ",{\"path\":" : "{\"path\":");
        mmgr__buf_json_string(buf, event->parts[i].path);
        mmgr__buf_printf(buf, ",\"bytes\":%llu,\"total_bytes\":%llu}",
                         (unsigned long long)event->parts[i].bytes,
                         (unsigned long long)event->parts[i].total);
    }
    mmgr__buf_puts(buf, "]");
}

enum mmgr_result mmgr_event_to_json(const mmgr_event *event, char **json)
{
    struct mmgr__buf buf = {0};
    char time[32];
    char *text;

    if (!event || !json)
        return mmgr__bad_argument(event ? "json" : "event");
    mmgr__format_time(event->time, time);
    mmgr__buf_printf(
        &buf, "{\"version\":%d,\"event\":\"%s\",\"sequence\":%llu,\"time\":\"%s\",\"job\":%llu",
        JSON_VERSION, mmgr_event_name(event), (unsigned long long)event->sequence, time,
        (unsigned long long)event->job);
    for (size_t i = 0; i < sizeof(text_names) / sizeof(text_names[0]); i++)
        if (event->texts[text_names[i].which])
            json_member(&buf, text_names[i].member, event->texts[text_names[i].which]);
    if (mmgr__event_group(event->type) & (MMGR_EVENTS_DOWNLOAD | MMGR_EVENTS_INSTALL))
        mmgr__buf_printf(&buf, ",\"bytes\":%llu,\"total_bytes\":%llu",
                         (unsigned long long)event->bytes, (unsigned long long)event->total);
    if (event->part_count > 0)
        json_parts(&buf, event);
    if (event->error)
        json_error(&buf, event->error);
    mmgr__buf_puts(&buf, "}");
    text = mmgr__buf_take(&buf);
    if (!text)
        return mmgr__oom();
    *json = text;
    return MMGR_OK;
}

struct event_node *mmgr__event_node_new(mmgr_event *event)
{
    struct event_node *node = mmgr__alloc0(1, sizeof(*node));

    if (node)
        node->event = mmgr_event_ref(event);
    return node;
}

void mmgr__event_node_free(struct event_node *node)
{
    if (!node)
        return;
    for (int i = 0; i < 2; i++)
        mmgr__handlers_unref(node->handlers[i]);
    mmgr_event_unref(node->event);
    mmgr__free(node);
}

void mmgr__event_queue_add(struct event_queue *queue, struct event_node *node)
{
    node->next = NULL;
    node->previous = queue->last;
    if (queue->last)
        queue->last->next = node;
    else
        queue->first = node;
    queue->last = node;
}

void mmgr__event_queue_remove(struct event_queue *queue, struct event_node *node)
{
    if (node->previous)
        node->previous->next = node->next;
    else
        queue->first = node->next;
    if (node->next)
        node->next->previous = node->previous;
    else
        queue->last = node->previous;
}

struct event_node *mmgr__event_queue_obsolete(const struct event_queue *queue,
                                              const mmgr_event *event)
{
    struct event_node *node;

    if (!mmgr__event_is_progress(event->type))
        return NULL;
    /* Only the job's newest waiting event may go: nothing of one job is ever moved past another. */
    for (node = queue->last; node; node = node->previous)
        if (node->event->job == event->job &&
            mmgr__event_group(node->event->type) == mmgr__event_group(event->type))
            return node->event->type == event->type ? node : NULL;
    return NULL;
}

void mmgr__event_queue_clear(struct event_queue *queue)
{
    while (queue->first) {
        struct event_node *node = queue->first;

        mmgr__event_queue_remove(queue, node);
        mmgr__event_node_free(node);
    }
}
