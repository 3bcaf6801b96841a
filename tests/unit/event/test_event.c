/* SPDX-License-Identifier: MIT */
/* The bus: order, decisions, merging of progress, unsubscribing while a handler runs, listeners, closing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/alloc.h"
#include "base/event.h"
#include "base/thread.h"

static mmgr_bus *open_bus(void)
{
    mmgr_bus *bus = NULL;

    assert_int_equal(mmgr_bus_open(NULL, &bus), MMGR_OK);
    return bus;
}

/* Close, and show that nothing is left. */
static void close_bus(mmgr_bus *bus)
{
    assert_int_equal(mmgr_bus_close(bus), MMGR_OK);
    assert_int_equal(mmgr__alloc_live(), 0);
}

static void send(mmgr_bus *bus, enum mmgr_event_type type, uint64_t job, uint64_t bytes)
{
    struct mmgr__event_data data = {.type = type, .job = job, .bytes = bytes};

    assert_int_equal(mmgr__bus_send(bus, &data), MMGR_OK);
}

/* What a handler saw, as "job:bytes " texts, and how often its user was freed. The handlers run on the
 * dispatcher; the texts are read after a drain. */
struct seen {
    char text[512];
    atomic_int calls, freed, inside;
    enum mmgr_decision wish;
    pthread_mutex_t gate; /* held by the test to keep the handler inside */
    int use_gate;
    mmgr_bus *bus;
    uint64_t id;
    enum mmgr_result inner; /* what a call from inside the handler gave */
};

static void on_event(const mmgr_event *event, enum mmgr_decision *decision, void *user)
{
    struct seen *seen = user;
    size_t length = strlen(seen->text);

    assert_int_equal(*decision, MMGR_DECISION_CONTINUE);
    snprintf(seen->text + length, sizeof(seen->text) - length, "%s:%llu:%llu ",
             mmgr_event_name(event), (unsigned long long)mmgr_event_job(event),
             (unsigned long long)mmgr_event_bytes(event));
    atomic_store(&seen->inside, 1);
    if (seen->use_gate) {
        pthread_mutex_lock(&seen->gate);
        pthread_mutex_unlock(&seen->gate);
    }
    *decision = seen->wish;
    atomic_store(&seen->inside, 0);
    atomic_fetch_add(&seen->calls, 1);
}

static void on_free(void *user)
{
    struct seen *seen = user;

    assert_int_equal(atomic_load(&seen->inside), 0);
    atomic_fetch_add(&seen->freed, 1);
}

static void order_and_masks(void **state)
{
    struct seen all = {.text = ""}, store = {.text = ""}, late = {.text = ""};
    mmgr_bus *bus = open_bus();
    uint64_t id = 0, other = 0;

    assert_int_equal(mmgr_bus_subscribe(bus, MMGR_EVENTS_ALL, on_event, &all, on_free, &id),
                     MMGR_OK);
    assert_int_equal(mmgr_bus_subscribe(bus, MMGR_EVENTS_STORE, on_event, &store, NULL, &other),
                     MMGR_OK);
    assert_true(id > 0 && other > id);
    send(bus, MMGR_EVENT_DOWNLOAD_ENQUEUED, 1, 0);
    send(bus, MMGR_EVENT_STORE_ADDED, 0, 0);
    assert_int_equal(mmgr_bus_subscribe(bus, MMGR_EVENTS_ALL, on_event, &late, on_free, NULL),
                     MMGR_OK);
    send(bus, MMGR_EVENT_DOWNLOAD_COMPLETED, 1, 9);
    assert_int_equal(mmgr__bus_drain(bus), MMGR_OK);
    assert_string_equal(all.text, "download.enqueued:1:0 store.added:0:0 download.completed:1:9 ");
    assert_string_equal(store.text, "store.added:0:0 ");
    assert_string_equal(late.text, "download.completed:1:9 ");
    assert_int_equal(mmgr_bus_unsubscribe(bus, id), MMGR_OK);
    assert_int_equal(all.freed, 1);
    assert_int_equal(mmgr_bus_unsubscribe(bus, id), MMGR_ERR_ARGUMENT);
    assert_int_equal(mmgr_bus_unsubscribe(bus, 999), MMGR_ERR_ARGUMENT);
    send(bus, MMGR_EVENT_STORE_DELETED, 0, 0);
    close_bus(bus);
    assert_int_equal(all.calls, 3);
    assert_int_equal(all.freed, 1);
    assert_int_equal(store.calls, 2);
    assert_int_equal(late.freed, 1);
}

static void bad_arguments(void **state)
{
    struct mmgr_bus_options options = {.struct_size = sizeof(options), .flags = 1};
    mmgr_bus *bus = NULL;
    mmgr_listener *listener = NULL;
    mmgr_event *event = NULL;

    assert_int_equal(mmgr_bus_open(&options, &bus), MMGR_ERR_ARGUMENT);
    assert_int_equal(mmgr_bus_open(NULL, NULL), MMGR_ERR_ARGUMENT);
    bus = open_bus();
    assert_int_equal(mmgr_bus_subscribe(bus, MMGR_EVENTS_ALL, NULL, NULL, NULL, NULL),
                     MMGR_ERR_ARGUMENT);
    assert_int_equal(mmgr_bus_subscribe(bus, 0, on_event, NULL, NULL, NULL), MMGR_ERR_ARGUMENT);
    assert_int_equal(mmgr_listener_open(bus, 0, &listener), MMGR_ERR_ARGUMENT);
    assert_int_equal(mmgr_listener_next(NULL, 0, &event), MMGR_ERR_ARGUMENT);
    assert_int_equal(mmgr_listener_fd(NULL), -1);
    mmgr_listener_close(NULL);
    assert_int_equal(mmgr__bus_drain(bus), MMGR_OK);
    close_bus(bus);
    assert_int_equal(mmgr_bus_close(NULL), MMGR_OK);
    assert_string_equal(mmgr_event_name(NULL), "");
    assert_null(mmgr_event_text(NULL, MMGR_EVENT_TEXT_KEY));
    mmgr_event_unref(NULL);
}

struct decided {
    uint64_t job;
    enum mmgr_decision decision;
    atomic_int calls;
};

static void on_decide(void *service, uint64_t job, enum mmgr_decision decision)
{
    struct decided *decided = service;

    decided->job = job;
    decided->decision = decision;
    atomic_fetch_add(&decided->calls, 1);
}

static void decisions(void **state)
{
    static const struct {
        enum mmgr_decision own, defaults, subscriber, strongest;
    } rows[] = {
        {0, 0, 0, MMGR_DECISION_CONTINUE},
        {MMGR_DECISION_PAUSE, 0, 0, MMGR_DECISION_PAUSE},
        {0, MMGR_DECISION_CANCEL, MMGR_DECISION_PAUSE, MMGR_DECISION_CANCEL},
        {MMGR_DECISION_PAUSE, MMGR_DECISION_CANCEL, MMGR_DECISION_FAIL, MMGR_DECISION_FAIL},
        {(enum mmgr_decision)99, MMGR_DECISION_PAUSE, 0, MMGR_DECISION_PAUSE},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct seen own = {.wish = rows[i].own}, defaults = {.wish = rows[i].defaults};
        struct seen subscriber = {.wish = rows[i].subscriber};
        struct decided decided = {.job = 0};
        struct mmgr__handlers *job = mmgr__handlers_new(), *service = mmgr__handlers_new();
        struct mmgr__event_data data = {.type = MMGR_EVENT_DOWNLOAD_RUNNING,
                                        .job = 5,
                                        .handlers = {job, service},
                                        .decide = on_decide,
                                        .service = &decided};
        mmgr_bus *bus = open_bus();

        assert_int_equal(mmgr__handlers_add(job, on_event, &own, on_free), MMGR_OK);
        assert_int_equal(mmgr__handlers_add(service, on_event, &defaults, on_free), MMGR_OK);
        assert_int_equal(
            mmgr_bus_subscribe(bus, MMGR_EVENTS_ALL, on_event, &subscriber, on_free, NULL),
            MMGR_OK);
        assert_int_equal(mmgr__bus_send(bus, &data), MMGR_OK);
        assert_int_equal(mmgr__bus_drain(bus), MMGR_OK);
        assert_int_equal(own.calls + defaults.calls + subscriber.calls, 3);
        assert_int_equal(decided.calls, rows[i].strongest != MMGR_DECISION_CONTINUE);
        assert_int_equal(decided.decision, rows[i].strongest);
        if (decided.calls)
            assert_int_equal(decided.job, 5);
        mmgr__handlers_unref(job);
        mmgr__handlers_unref(service);
        assert_int_equal(own.freed + defaults.freed, 2);
        close_bus(bus);
        assert_int_equal(subscriber.freed, 1);
    }
}

/* While the handler is held inside its first call, progress piles up and is merged; nothing else is. */
static void merging(void **state)
{
    struct seen seen = {.use_gate = 1, .gate = PTHREAD_MUTEX_INITIALIZER};
    mmgr_bus *bus = open_bus();

    assert_int_equal(mmgr_bus_subscribe(bus, MMGR_EVENTS_ALL, on_event, &seen, NULL, NULL),
                     MMGR_OK);
    pthread_mutex_lock(&seen.gate);
    send(bus, MMGR_EVENT_STORE_ADDED, 0, 0);
    while (!atomic_load(&seen.inside))
        sched_yield();
    send(bus, MMGR_EVENT_DOWNLOAD_RUNNING, 1, 10);
    send(bus, MMGR_EVENT_DOWNLOAD_RUNNING, 2, 10);
    send(bus, MMGR_EVENT_DOWNLOAD_RUNNING, 1, 20);
    send(bus, MMGR_EVENT_INSTALL_DOWNLOADING, 1, 7);
    send(bus, MMGR_EVENT_DOWNLOAD_RUNNING, 1, 30);
    send(bus, MMGR_EVENT_DOWNLOAD_PAUSED, 1, 30);
    send(bus, MMGR_EVENT_DOWNLOAD_RUNNING, 1, 40);
    send(bus, MMGR_EVENT_DOWNLOAD_RUNNING, 1, 50);
    send(bus, MMGR_EVENT_INSTALL_DOWNLOADING, 1, 8);
    send(bus, MMGR_EVENT_DOWNLOAD_COMPLETED, 1, 60);
    pthread_mutex_unlock(&seen.gate);
    assert_int_equal(mmgr__bus_drain(bus), MMGR_OK);
    assert_string_equal(seen.text,
                        "store.added:0:0 download.running:2:10 download.running:1:30 "
                        "download.paused:1:30 download.running:1:50 install.downloading:1:8 "
                        "download.completed:1:60 ");
    close_bus(bus);
}

static void *unsubscribe(void *argument)
{
    struct seen *seen = argument;

    assert_int_equal(mmgr_bus_unsubscribe(seen->bus, seen->id), MMGR_OK);
    /* When the call has returned, the handler is not inside and its user is free. */
    assert_int_equal(atomic_load(&seen->inside), 0);
    assert_int_equal(atomic_load(&seen->freed), 1);
    return NULL;
}

static void unsubscribe_waits(void **state)
{
    struct seen seen = {.use_gate = 1, .gate = PTHREAD_MUTEX_INITIALIZER, .bus = open_bus()};
    pthread_t thread;

    assert_int_equal(
        mmgr_bus_subscribe(seen.bus, MMGR_EVENTS_ALL, on_event, &seen, on_free, &seen.id), MMGR_OK);
    pthread_mutex_lock(&seen.gate);
    send(seen.bus, MMGR_EVENT_STORE_ADDED, 0, 0);
    send(seen.bus, MMGR_EVENT_STORE_ADDED, 0, 0);
    while (!atomic_load(&seen.inside))
        sched_yield();
    pthread_create(&thread, NULL, unsubscribe, &seen);
    assert_int_equal(atomic_load(&seen.freed), 0);
    pthread_mutex_unlock(&seen.gate);
    pthread_join(thread, NULL);
    close_bus(seen.bus);
    assert_true(seen.calls >= 1);
    assert_int_equal(seen.freed, 1);
}

static void on_unsubscribe_itself(const mmgr_event *event, enum mmgr_decision *decision, void *user)
{
    struct seen *seen = user;

    atomic_fetch_add(&seen->calls, 1);
    seen->inner = mmgr_bus_unsubscribe(seen->bus, seen->id);
    assert_int_equal(atomic_load(&seen->freed), 0);
}

static void on_close(const mmgr_event *event, enum mmgr_decision *decision, void *user)
{
    struct seen *seen = user;

    atomic_fetch_add(&seen->calls, 1);
    assert_true(mmgr__bus_in_handler(seen->bus));
    assert_int_equal(mmgr__bus_drain(seen->bus), MMGR_ERR_BUSY);
    seen->inner = mmgr_bus_close(seen->bus);
}

static void from_inside(void **state)
{
    struct seen self = {.bus = open_bus(), .inner = MMGR_ERR_IO};
    struct seen closer = {.bus = self.bus, .inner = MMGR_OK};

    assert_int_equal(mmgr_bus_subscribe(self.bus, MMGR_EVENTS_ALL, on_unsubscribe_itself, &self,
                                        on_free, &self.id),
                     MMGR_OK);
    assert_int_equal(
        mmgr_bus_subscribe(self.bus, MMGR_EVENTS_ALL, on_close, &closer, on_free, NULL), MMGR_OK);
    assert_false(mmgr__bus_in_handler(self.bus));
    send(self.bus, MMGR_EVENT_STORE_ADDED, 0, 0);
    send(self.bus, MMGR_EVENT_STORE_ADDED, 0, 0);
    assert_int_equal(mmgr__bus_drain(self.bus), MMGR_OK);
    assert_int_equal(self.calls, 1);
    assert_int_equal(self.inner, MMGR_OK);
    assert_int_equal(self.freed, 1);
    assert_int_equal(closer.calls, 2);
    assert_int_equal(closer.inner, MMGR_ERR_BUSY);
    close_bus(self.bus);
    assert_int_equal(closer.freed, 1);
}

static void job_handlers(void **state)
{
    struct seen first = {.text = ""}, second = {.text = ""};
    struct mmgr__handlers *job = mmgr__handlers_new();
    struct mmgr__event_data data = {
        .type = MMGR_EVENT_DOWNLOAD_ENQUEUED, .job = 5, .handlers = {job, NULL}};
    mmgr_bus *bus = open_bus();

    assert_int_equal(mmgr__bus_send(bus, &data), MMGR_OK);
    assert_int_equal(mmgr__handlers_add(job, on_event, &first, on_free), MMGR_OK);
    assert_int_equal(mmgr__bus_send(bus, &data), MMGR_OK);
    assert_int_equal(mmgr__bus_drain(bus), MMGR_OK);
    mmgr__handlers_clear(job);
    assert_int_equal(first.freed, 1);
    assert_int_equal(mmgr__handlers_add(job, on_event, &second, on_free), MMGR_OK);
    data.type = MMGR_EVENT_DOWNLOAD_COMPLETED;
    assert_int_equal(mmgr__bus_send(bus, &data), MMGR_OK);
    /* The job goes away before its last event is delivered: the event keeps the handlers. */
    mmgr__handlers_unref(job);
    assert_int_equal(mmgr__bus_drain(bus), MMGR_OK);
    assert_int_equal(second.freed, 1);
    assert_string_equal(first.text, "download.enqueued:5:0 ");
    assert_string_equal(second.text, "download.completed:5:0 ");
    close_bus(bus);
}

static int readable(const mmgr_listener *listener)
{
    struct pollfd poll_fd = {.fd = mmgr_listener_fd(listener), .events = POLLIN};

    return poll(&poll_fd, 1, 0) == 1;
}

static void listeners(void **state)
{
    mmgr_bus *bus = open_bus();
    mmgr_listener *all = NULL, *store = NULL;
    mmgr_event *event = NULL, *kept = NULL;

    assert_int_equal(mmgr_listener_open(bus, MMGR_EVENTS_ALL, &all), MMGR_OK);
    assert_int_equal(mmgr_listener_open(bus, MMGR_EVENTS_STORE, &store), MMGR_OK);
    assert_false(readable(all));
    assert_int_equal(mmgr_listener_next(all, 0, &event), MMGR_ERR_TIMEOUT);
    assert_int_equal(mmgr_listener_next(all, 1000, &event), MMGR_ERR_TIMEOUT);
    assert_null(event);
    send(bus, MMGR_EVENT_DOWNLOAD_RUNNING, 1, 10);
    send(bus, MMGR_EVENT_DOWNLOAD_RUNNING, 1, 20);
    assert_true(readable(all));
    assert_false(readable(store));
    send(bus, MMGR_EVENT_STORE_UPDATED, 0, 0);
    assert_true(readable(store));
    assert_int_equal(mmgr_listener_next(all, 0, &event), MMGR_OK);
    assert_int_equal(mmgr_event_type(event), MMGR_EVENT_DOWNLOAD_RUNNING);
    assert_int_equal(mmgr_event_bytes(event), 20);
    assert_int_equal(mmgr_event_sequence(event), 2);
    assert_true(mmgr_event_time(event) > 0);
    assert_true(readable(all));
    assert_int_equal(mmgr_listener_next(all, MMGR_WAIT_FOREVER, &kept), MMGR_OK);
    assert_int_equal(mmgr_event_sequence(kept), 3);
    assert_false(readable(all));
    mmgr_event_unref(event);
    send(bus, MMGR_EVENT_DOWNLOAD_RUNNING, 1, 30);
    assert_true(readable(all));
    mmgr_listener_close(all);
    mmgr_listener_close(store);
    assert_int_equal(mmgr_bus_close(bus), MMGR_OK);
    assert_string_equal(mmgr_event_name(kept), "store.updated");
    mmgr_event_unref(kept);
    assert_int_equal(mmgr__alloc_live(), 0);
}

static void json_form(void **state)
{
    struct mmgr_error error = {.code = MMGR_ERR_HASH_MISMATCH,
                               .http_status = 200,
                               .offset = MMGR_NO_OFFSET,
                               .message = "the \"data\" differs",
                               .field = "sha256",
                               .subject = "a.bin"};
    const struct mmgr__event_part parts[] = {{"unet/a.bin", 1, 2}, {"b\n", INT64_MAX, 0}};
    struct mmgr__event_data data = {.type = MMGR_EVENT_INSTALL_ERROR,
                                    .job = 3,
                                    .bytes = 10,
                                    .total = 20,
                                    .texts = {[MMGR_EVENT_TEXT_SOURCE] = "org/name",
                                              [MMGR_EVENT_TEXT_LOCAL_PATH] = "/x/\xc3\xa9",
                                              [MMGR_EVENT_TEXT_KEY] = "abc"},
                                    .error = &error,
                                    .parts = parts,
                                    .part_count = 2};
    mmgr_bus *bus = open_bus();
    mmgr_listener *listener = NULL;
    mmgr_event *event = NULL;
    const char *path = NULL;
    uint64_t bytes = 0, total = 7;
    char *json = NULL;
    json_t *root;

    assert_int_equal(mmgr_listener_open(bus, MMGR_EVENTS_INSTALL, &listener), MMGR_OK);
    assert_int_equal(mmgr__bus_send(bus, &data), MMGR_OK);
    assert_int_equal(mmgr_listener_next(listener, 0, &event), MMGR_OK);
    assert_int_equal(mmgr_event_to_json(event, &json), MMGR_OK);
    assert_null(strchr(json, '\n'));
    assert_ptr_equal(
        strstr(json, "{\"version\":1,\"event\":\"install.error\",\"sequence\":1,\"time\":\"20"),
        json);
    root = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    assert_int_equal(json_integer_value(json_object_get(root, "job")), 3);
    assert_string_equal(json_string_value(json_object_get(root, "source")), "org/name");
    assert_string_equal(json_string_value(json_object_get(root, "local_path")), "/x/\xc3\xa9");
    assert_string_equal(json_string_value(json_object_get(root, "error_type")), "hash_mismatch");
    assert_string_equal(json_string_value(json_object_get(root, "error")), "the \"data\" differs");
    assert_int_equal(json_integer_value(json_object_get(root, "bytes")), 10);
    assert_int_equal(json_integer_value(json_object_get(root, "total_bytes")), 20);
    assert_int_equal(json_array_size(json_object_get(root, "parts")), 2);
    assert_null(json_object_get(root, "submodel"));
    json_decref(root);
    mmgr_string_free(json);
    assert_int_equal(mmgr_event_part_count(event), 2);
    assert_int_equal(mmgr_event_part(event, 0, &path, &bytes, &total), MMGR_OK);
    assert_string_equal(path, "unet/a.bin");
    assert_true(bytes == 1 && total == 2);
    assert_int_equal(mmgr_event_part(event, 2, &path, NULL, NULL), MMGR_ERR_ARGUMENT);
    assert_int_equal(mmgr_error_code(mmgr_event_error(event)), MMGR_ERR_HASH_MISMATCH);
    assert_null(mmgr_event_text(event, MMGR_EVENT_TEXT_HASH));
    assert_null(mmgr_event_text(event, (enum mmgr_event_text)99));
    mmgr_event_unref(event);
    mmgr_listener_close(listener);
    close_bus(bus);
}

/* Every allocation of a send fails in turn: either the event is whole, or nobody hears of it. */
static void no_memory(void **state)
{
    const struct mmgr__event_part part = {"a", 1, 2};
    struct mmgr_error error = {.code = MMGR_ERR_IO};
    struct mmgr__event_data data = {.type = MMGR_EVENT_INSTALL_ERROR,
                                    .texts = {[1] = "s"},
                                    .error = &error,
                                    .parts = &part,
                                    .part_count = 1};
    struct seen seen = {.text = ""};
    mmgr_bus *bus = open_bus();
    mmgr_listener *listener = NULL;
    uint64_t n;

    assert_int_equal(mmgr_listener_open(bus, MMGR_EVENTS_ALL, &listener), MMGR_OK);
    assert_int_equal(mmgr_bus_subscribe(bus, MMGR_EVENTS_ALL, on_event, &seen, NULL, NULL),
                     MMGR_OK);
    for (n = 1;; n++) {
        mmgr_event *event = NULL;
        enum mmgr_result result;

        mmgr__alloc_fail_at(n, 0);
        result = mmgr__bus_send(bus, &data);
        mmgr__alloc_fail_at(0, 0);
        assert_int_equal(mmgr_listener_next(listener, 0, &event),
                         result == MMGR_OK ? MMGR_OK : MMGR_ERR_TIMEOUT);
        mmgr_event_unref(event);
        if (result == MMGR_OK)
            break;
        assert_int_equal(result, MMGR_ERR_NO_MEMORY);
    }
    assert_true(n > 5);
    assert_int_equal(mmgr__bus_drain(bus), MMGR_OK);
    assert_int_equal(seen.calls, 1);
    data.type = MMGR_EVENT_DOWNLOAD_RUNNING;
    mmgr__alloc_fail_at(1, 0);
    assert_int_equal(mmgr__bus_send(bus, &data), MMGR_OK);
    mmgr__alloc_fail_at(0, 0);
    mmgr_listener_close(listener);
    close_bus(bus);
}

#define SENDERS 4
#define ROUNDS  300

static void *send_many(void *argument)
{
    struct seen *seen = argument;

    for (uint64_t i = 0; i < ROUNDS; i++) {
        struct mmgr__event_data data = {.type = i % 3 ? MMGR_EVENT_DOWNLOAD_RUNNING
                                                      : MMGR_EVENT_STORE_UPDATED,
                                        .job = seen->id,
                                        .bytes = i};

        assert_int_equal(mmgr__bus_send(seen->bus, &data), MMGR_OK);
    }
    return NULL;
}

static void on_check_order(const mmgr_event *event, enum mmgr_decision *decision, void *user)
{
    uint64_t *last = user;

    assert_true(mmgr_event_sequence(event) > last[0]);
    last[0] = mmgr_event_sequence(event);
    if (mmgr_event_type(event) == MMGR_EVENT_STORE_UPDATED)
        last[1]++;
}

static void *come_and_go(void *argument)
{
    mmgr_bus *bus = argument;

    for (int i = 0; i < 50; i++) {
        struct seen *seen = calloc(1, sizeof(*seen));
        uint64_t id;

        assert_int_equal(mmgr_bus_subscribe(bus, MMGR_EVENTS_LOAD, on_event, seen, free, &id),
                         MMGR_OK);
        assert_int_equal(mmgr_bus_unsubscribe(bus, id), MMGR_OK);
    }
    return NULL;
}

static void many_threads(void **state)
{
    struct seen senders[SENDERS];
    pthread_t threads[SENDERS + 1];
    uint64_t last[2] = {0, 0};
    mmgr_bus *bus = open_bus();
    mmgr_listener *listener = NULL;
    mmgr_event *event = NULL;
    uint64_t previous = 0, plain = 0;

    assert_int_equal(mmgr_bus_subscribe(bus, MMGR_EVENTS_ALL, on_check_order, last, NULL, NULL),
                     MMGR_OK);
    assert_int_equal(mmgr_listener_open(bus, MMGR_EVENTS_ALL, &listener), MMGR_OK);
    for (int i = 0; i < SENDERS; i++) {
        memset(&senders[i], 0, sizeof(senders[i]));
        senders[i].bus = bus;
        senders[i].id = (uint64_t)i + 1;
        pthread_create(&threads[i], NULL, send_many, &senders[i]);
    }
    pthread_create(&threads[SENDERS], NULL, come_and_go, bus);
    for (int i = 0; i <= SENDERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(mmgr__bus_drain(bus), MMGR_OK);
    assert_int_equal(last[1], SENDERS * (ROUNDS / 3));
    while (mmgr_listener_next(listener, 0, &event) == MMGR_OK) {
        assert_true(mmgr_event_sequence(event) > previous);
        previous = mmgr_event_sequence(event);
        plain += mmgr_event_type(event) == MMGR_EVENT_STORE_UPDATED;
        mmgr_event_unref(event);
    }
    assert_int_equal(plain, SENDERS * (ROUNDS / 3));
    mmgr_listener_close(listener);
    close_bus(bus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_and_masks),   cmocka_unit_test(bad_arguments),
        cmocka_unit_test(decisions),         cmocka_unit_test(merging),
        cmocka_unit_test(unsubscribe_waits), cmocka_unit_test(from_inside),
        cmocka_unit_test(job_handlers),      cmocka_unit_test(listeners),
        cmocka_unit_test(json_form),         cmocka_unit_test(no_memory),
        cmocka_unit_test(many_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
