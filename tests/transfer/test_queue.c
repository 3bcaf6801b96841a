/* SPDX-License-Identifier: MIT */
/* The queue as a host uses it: files, names, events, commands in every state, from handlers too. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"

static char *text(mmgr_download *job, enum mmgr_download_text which)
{
    char *value = NULL;
    assert_int_equal(mmgr_download_text(job, which, &value), MMGR_OK);
    return value;
}

static void assert_text(mmgr_download *job, enum mmgr_download_text which, const char *want)
{
    char *value = text(job, which);
    assert_non_null(value);
    assert_string_equal(value, want);
    mmgr_string_free(value);
}

static void plain_download(void **state)
{
    (void)state;
    struct bench bench;
    struct recorder recorder;
    bench_open(&bench);
    recorder_init(&recorder);
    struct mmgr_download_options o = {.sha256 = bench.sha256,
                                      .size = CONTENT_BYTES,
                                      .handler = recorder_handler,
                                      .handler_user = &recorder,
                                      .handler_user_free = recorder_freed};
    mmgr_download *job = bench_submit(&bench, &o);
    assert_int_equal(mmgr_download_id(job), 1);
    assert_int_equal(bench_end(&bench, job), MMGR_DOWNLOAD_COMPLETED);
    assert_true(
        bench_equals(bench_path(&bench, "model.safetensors"), bench.content, CONTENT_BYTES));
    assert_int_equal(bench_hidden(bench.folder), 0);
    assert_text(job, MMGR_DOWNLOAD_TEXT_SHA256, bench.sha256);
    assert_string_equal(mmgr_download_part_sha256(job, 0), bench.sha256);
    assert_null(mmgr_download_part_sha256(job, 1));
    assert_text(job, MMGR_DOWNLOAD_TEXT_SOURCE, URL);
    assert_text(job, MMGR_DOWNLOAD_TEXT_PATH, bench_path(&bench, "model.safetensors"));
    assert_int_equal(mmgr_download_number(job, MMGR_DOWNLOAD_NUMBER_BYTES), CONTENT_BYTES);
    assert_int_equal(mmgr_download_number(job, MMGR_DOWNLOAD_NUMBER_TOTAL), CONTENT_BYTES);
    assert_int_equal(mmgr_download_number(job, MMGR_DOWNLOAD_NUMBER_PRIORITY), 10);
    assert_int_equal(mmgr_download_number(job, MMGR_DOWNLOAD_NUMBER_SEQUENCE), 1);
    assert_int_equal(mmgr_download_number(job, MMGR_DOWNLOAD_NUMBER_PARTS), 1);
    assert_true(mmgr_download_number(job, MMGR_DOWNLOAD_NUMBER_ENDED) >=
                mmgr_download_number(job, MMGR_DOWNLOAD_NUMBER_STARTED));
    assert_null(mmgr_download_error(job));
    assert_string_equal(bench.fake.log[0].accept_encoding, "identity");
    assert_string_equal(bench.fake.log[0].range, "");
    bench_close_queue(&bench);
    assert_string_equal(recorder.order, "ERC");
    assert_int_equal(recorder.terminal, 1);
    assert_int_equal(recorder.freed, 0); /* the job is still held */
    assert_int_equal(mmgr_download_status(job), MMGR_DOWNLOAD_COMPLETED);
    mmgr_download_unref(job);
    assert_int_equal(recorder.freed, 1);
    bench_close(&bench);
}

static void with_disposition(struct fake *fake, const struct fake_request *request,
                             struct fake_reply *reply)
{
    fake_serve(fake, request, reply);
    fake_header(reply, "Content-Disposition: %s", (const char *)fake->user);
}

/* Into a folder: the name comes from the option, the answer, or the URL, and stays inside the
 * folder. */
static void names(void **state)
{
    (void)state;
    static const struct {
        const char *filename, *disposition, *source, *want;
    } cases[] = {
        {"given.bin", "attachment; filename=\"other.bin\"", URL, "given.bin"},
        {NULL, "attachment; filename=\"answer.bin\"", URL, "answer.bin"},
        {NULL, NULL, "http://files.example/a/from%20url.bin?download=true", "from url.bin"},
        {NULL, "attachment; filename=\"../../evil.bin\"", "http://files.example/a/b.bin", "b.bin"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bench bench;
        bench_open(&bench);
        if (cases[i].disposition != NULL) {
            bench.fake.script = with_disposition;
            bench.fake.user = (void *)(uintptr_t)cases[i].disposition;
        }
        struct mmgr_download_options o = {
            .source = cases[i].source, .destination = bench.folder, .filename = cases[i].filename};
        mmgr_download *job = bench_submit(&bench, &o);
        assert_int_equal(bench_end(&bench, job), MMGR_DOWNLOAD_COMPLETED);
        assert_true(bench_equals(bench_path(&bench, cases[i].want), bench.content, CONTENT_BYTES));
        assert_text(job, MMGR_DOWNLOAD_TEXT_PATH, bench_path(&bench, cases[i].want));
        assert_int_equal(bench_hidden(bench.folder), 0);
        mmgr_download_unref(job);
        bench_close(&bench);
    }
}

static void refused_submissions(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    static const struct {
        struct mmgr_download_options o;
        enum mmgr_result want;
    } cases[] = {
        {{.source = URL}, MMGR_ERR_ARGUMENT},
        {{.destination = "/tmp/x"}, MMGR_ERR_ARGUMENT},
        {{.source = "ftp://a.example/x", .destination = "/tmp/x"}, MMGR_ERR_UNSUPPORTED_SOURCE},
        {{.source = "http://", .destination = "/tmp/x"}, MMGR_ERR_UNSUPPORTED_SOURCE},
        {{.source = "http://u:p@a.example/x", .destination = "/tmp/x"},
         MMGR_ERR_UNSUPPORTED_SOURCE},
        {{.source = "/nowhere/at/all", .destination = "/tmp/x"}, MMGR_ERR_PATH_NOT_FOUND},
        {{.source = URL, .destination = "/tmp", .filename = "../x"}, MMGR_ERR_UNSAFE_PATH},
        {{.source = URL, .destination = "/tmp", .filename = "a/b"}, MMGR_ERR_UNSAFE_PATH},
        {{.source = URL, .destination = "/tmp/x", .sha256 = "abc"}, MMGR_ERR_ARGUMENT},
        {{.source = URL, .destination = "/tmp/x", .flags = 1u << 30}, MMGR_ERR_ARGUMENT},
        {{.source = URL, .destination = "/tmp/x", .reserved = 1}, MMGR_ERR_ARGUMENT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct recorder recorder;
        recorder_init(&recorder);
        struct mmgr_download_options o = cases[i].o;
        o.struct_size = sizeof o;
        o.handler = recorder_handler;
        o.handler_user = &recorder;
        o.handler_user_free = recorder_freed;
        mmgr_download *job = NULL;
        enum mmgr_result rc = mmgr_queue_submit(bench.queue, &o, &job);
        if (rc != cases[i].want)
            print_message("case %zu\n", i);
        assert_string_equal(mmgr_result_name(rc), mmgr_result_name(cases[i].want));
        assert_null(job);
        assert_int_equal(recorder.freed, 0); /* a failed call keeps its hands off */
    }
    mmgr_download_list *list = NULL;
    assert_int_equal(mmgr_queue_list(bench.queue, &list), MMGR_OK);
    assert_int_equal(mmgr_download_list_count(list), 0);
    mmgr_download_list_free(list);
    bench_close(&bench);
}

enum command { START, PAUSE, CANCEL, PRIORITY, COMMANDS };

static enum mmgr_result give(mmgr_queue *queue, uint64_t id, enum command command)
{
    switch (command) {
    case START:
        return mmgr_queue_start(queue, id);
    case PAUSE:
        return mmgr_queue_pause(queue, id);
    case CANCEL:
        return mmgr_queue_cancel(queue, id);
    default:
        return mmgr_queue_set_priority(queue, id, 3);
    }
}

static void always_404(struct fake *fake, const struct fake_request *request,
                       struct fake_reply *reply)
{
    (void)fake;
    (void)request;
    reply->status = 404;
}

static void wait_for(mmgr_download *job, enum mmgr_download_status status)
{
    while (mmgr_download_status(job) != status)
        usleep(1000);
}

/* Bring a job into a state. The first job of the bench blocks the only slot where that is needed.
 * */
static mmgr_download *job_in(struct bench *bench, enum mmgr_download_status status,
                             mmgr_download **blocker)
{
    struct mmgr_download_options o = {.destination = bench_path(bench, "subject")};
    *blocker = NULL;
    bench->fake.hold_at = 5000;
    if (status == MMGR_DOWNLOAD_IDLE) {
        o.flags = MMGR_DOWNLOAD_HOLD;
        return bench_submit(bench, &o);
    }
    if (status == MMGR_DOWNLOAD_ENQUEUED) {
        *blocker = bench_submit(bench, NULL);
        fake_wait_held(&bench->fake, 1);
        return bench_submit(bench, &o);
    }
    if (status == MMGR_DOWNLOAD_COMPLETED)
        fake_open_gate(&bench->fake);
    if (status == MMGR_DOWNLOAD_ERROR)
        bench->fake.script = always_404;
    mmgr_download *job = bench_submit(bench, &o);
    if (status == MMGR_DOWNLOAD_COMPLETED || status == MMGR_DOWNLOAD_ERROR) {
        bench_end(bench, job);
    } else {
        fake_wait_held(&bench->fake, 1);
        while (mmgr_download_number(job, MMGR_DOWNLOAD_NUMBER_BYTES) < 5000)
            usleep(1000);
        if (status == MMGR_DOWNLOAD_PAUSED)
            mmgr_queue_pause(bench->queue, mmgr_download_id(job));
        if (status == MMGR_DOWNLOAD_CANCELLED)
            mmgr_queue_cancel(bench->queue, mmgr_download_id(job));
    }
    wait_for(job, status);
    return job;
}

/* Every command in every state. */
static void commands_in_states(void **state)
{
    (void)state;
    /* What the job becomes in the end once the gate is open; -1: the command is refused. */
    static const int want[MMGR_DOWNLOAD_CANCELLED + 1][COMMANDS] = {
        [MMGR_DOWNLOAD_IDLE] = {MMGR_DOWNLOAD_COMPLETED, MMGR_DOWNLOAD_IDLE,
                                MMGR_DOWNLOAD_CANCELLED, MMGR_DOWNLOAD_IDLE},
        [MMGR_DOWNLOAD_ENQUEUED] = {MMGR_DOWNLOAD_COMPLETED, MMGR_DOWNLOAD_PAUSED,
                                    MMGR_DOWNLOAD_CANCELLED, MMGR_DOWNLOAD_COMPLETED},
        [MMGR_DOWNLOAD_RUNNING] = {MMGR_DOWNLOAD_COMPLETED, MMGR_DOWNLOAD_PAUSED,
                                   MMGR_DOWNLOAD_CANCELLED, MMGR_DOWNLOAD_COMPLETED},
        [MMGR_DOWNLOAD_PAUSED] = {MMGR_DOWNLOAD_COMPLETED, MMGR_DOWNLOAD_PAUSED,
                                  MMGR_DOWNLOAD_CANCELLED, MMGR_DOWNLOAD_PAUSED},
        [MMGR_DOWNLOAD_COMPLETED] = {-1, -1, -1, -1},
        [MMGR_DOWNLOAD_ERROR] = {-1, -1, -1, -1},
        [MMGR_DOWNLOAD_CANCELLED] = {-1, -1, -1, -1},
    };
    for (int status = 0; status <= MMGR_DOWNLOAD_CANCELLED; status++) {
        for (int command = 0; command < COMMANDS; command++) {
            struct bench bench;
            struct mmgr_queue_options one = {sizeof one, .max_parallel = 1};
            mmgr_download *blocker = NULL;
            bench_open_with(&bench, &one);
            mmgr_download *job = job_in(&bench, (enum mmgr_download_status)status, &blocker);
            uint64_t id = mmgr_download_id(job);
            enum mmgr_result rc = give(bench.queue, id, (enum command)command);
            int end = want[status][command];
            assert_int_equal(rc, end < 0 ? MMGR_ERR_STATE : MMGR_OK);
            if (end >= 0 && status == MMGR_DOWNLOAD_RUNNING && command != START &&
                command != PRIORITY)
                wait_for(job, (enum mmgr_download_status)end);
            fake_open_gate(&bench.fake);
            if (end < 0)
                end = status;
            wait_for(job, (enum mmgr_download_status)end);
            assert_int_equal(mmgr_queue_join(bench.queue, INT64_C(60000000000)), MMGR_OK);
            assert_int_equal(mmgr_download_status(job), end);
            if (command == PRIORITY)
                assert_int_equal(mmgr_download_number(job, MMGR_DOWNLOAD_NUMBER_PRIORITY),
                                 status >= MMGR_DOWNLOAD_COMPLETED ? 10 : 3);
            if (end == MMGR_DOWNLOAD_COMPLETED)
                assert_true(
                    bench_equals(bench_path(&bench, "subject"), bench.content, CONTENT_BYTES));
            if (end == MMGR_DOWNLOAD_CANCELLED || end == MMGR_DOWNLOAD_ERROR) {
                assert_int_equal(bench_hidden(bench.folder), 0);
                assert_false(bench_exists(bench_path(&bench, "subject")));
            }
            if (end == MMGR_DOWNLOAD_PAUSED && status != MMGR_DOWNLOAD_ENQUEUED)
                assert_int_equal(bench_hidden(bench.folder), 2); /* part and journal */
            mmgr_download_unref(job);
            mmgr_download_unref(blocker);
            bench_close(&bench);
        }
    }
}

static void unknown_jobs(void **state)
{
    (void)state;
    struct bench bench;
    mmgr_download *job = NULL;
    bench_open(&bench);
    assert_int_equal(mmgr_queue_start(bench.queue, 7), MMGR_ERR_UNKNOWN_JOB);
    assert_int_equal(mmgr_queue_pause(bench.queue, 7), MMGR_ERR_UNKNOWN_JOB);
    assert_int_equal(mmgr_queue_cancel(bench.queue, 7), MMGR_ERR_UNKNOWN_JOB);
    assert_int_equal(mmgr_queue_set_priority(bench.queue, 7, 1), MMGR_ERR_UNKNOWN_JOB);
    assert_int_equal(mmgr_queue_wait(bench.queue, 7, 0), MMGR_ERR_UNKNOWN_JOB);
    assert_int_equal(mmgr_queue_get(bench.queue, 7, &job), MMGR_ERR_UNKNOWN_JOB);
    assert_null(job);
    assert_int_equal(mmgr_queue_join(bench.queue, 0), MMGR_OK);
    assert_int_equal(mmgr_queue_prune(bench.queue), MMGR_OK);
    bench_close(&bench);
}

/* Pause and start again, several times: the file is whole, and no byte is fetched twice. */
static void pause_and_resume(void **state)
{
    (void)state;
    struct bench bench;
    struct recorder recorder;
    bench_open(&bench);
    recorder_init(&recorder);
    bench.fake.hold_at = 9000;
    struct mmgr_download_options o = {.handler = recorder_handler, .handler_user = &recorder};
    mmgr_download *job = bench_submit(&bench, &o);
    for (int i = 0; i < 3; i++) {
        fake_wait_held(&bench.fake, 1);
        while (mmgr_download_number(job, MMGR_DOWNLOAD_NUMBER_BYTES) < 9000 * (i + 1))
            usleep(1000);
        assert_int_equal(mmgr_queue_wait(bench.queue, 1, 0), MMGR_ERR_TIMEOUT);
        assert_int_equal(mmgr_queue_pause(bench.queue, 1), MMGR_OK);
        assert_int_equal(mmgr_queue_join(bench.queue, -1), MMGR_OK);
        assert_int_equal(mmgr_download_status(job), MMGR_DOWNLOAD_PAUSED);
        assert_int_equal(mmgr_queue_start(bench.queue, 1), MMGR_OK);
    }
    fake_open_gate(&bench.fake);
    assert_int_equal(bench_end(&bench, job), MMGR_DOWNLOAD_COMPLETED);
    assert_true(
        bench_equals(bench_path(&bench, "model.safetensors"), bench.content, CONTENT_BYTES));
    assert_int_equal(bench.fake.requests, 4);
    assert_string_equal(bench.fake.log[1].range, "bytes=9000-");
    assert_string_equal(bench.fake.log[1].if_range, "\"v1\"");
    assert_string_equal(bench.fake.log[3].range, "bytes=27000-");
    assert_int_equal(mmgr_download_number(job, MMGR_DOWNLOAD_NUMBER_RESUMED_FROM), 27000);
    bench_close_queue(&bench);
    assert_string_equal(recorder.order, "ERPERPERPERC");
    mmgr_download_unref(job);
    bench_close(&bench);
}

struct inside {
    mmgr_queue *queue;
    enum command command;
    int done;
    enum mmgr_result waited, joined, closed;
};

static void call_inside(const mmgr_event *event, void *user)
{
    struct inside *inside = user;
    if (mmgr_event_type(event) != MMGR_EVENT_DOWNLOAD_RUNNING || inside->done)
        return;
    inside->done = 1;
    inside->waited = mmgr_queue_wait(inside->queue, mmgr_event_job(event), 0);
    inside->joined = mmgr_queue_join(inside->queue, 0);
    inside->closed = mmgr_queue_close(inside->queue);
    assert_int_equal(give(inside->queue, mmgr_event_job(event), inside->command), MMGR_OK);
}

/* Commands work inside a handler; waiting and closing there is refused. */
static void commands_inside_handlers(void **state)
{
    (void)state;
    static const enum mmgr_download_status want[COMMANDS] = {
        MMGR_DOWNLOAD_COMPLETED, MMGR_DOWNLOAD_PAUSED, MMGR_DOWNLOAD_CANCELLED,
        MMGR_DOWNLOAD_COMPLETED};
    for (int command = 0; command < COMMANDS; command++) {
        struct bench bench;
        struct recorder recorder;
        bench_open(&bench);
        recorder_init(&recorder);
        bench.fake.hold_at = 5000;
        struct inside inside = {.queue = bench.queue, .command = (enum command)command};
        recorder.call = call_inside;
        recorder.call_user = &inside;
        struct mmgr_download_options o = {.handler = recorder_handler, .handler_user = &recorder};
        mmgr_download *job = bench_submit(&bench, &o);
        if (want[command] != MMGR_DOWNLOAD_COMPLETED)
            wait_for(job, want[command]);
        fake_open_gate(&bench.fake);
        wait_for(job, want[command]);
        bench_close_queue(&bench);
        assert_int_equal(inside.waited, MMGR_ERR_BUSY);
        assert_int_equal(inside.joined, MMGR_ERR_BUSY);
        assert_int_equal(inside.closed, MMGR_ERR_BUSY);
        mmgr_download_unref(job);
        bench_close(&bench);
    }
}

/* What a handler decides about its job. */
static void decisions(void **state)
{
    (void)state;
    static const struct {
        enum mmgr_decision decision;
        enum mmgr_download_status want;
        const char *order;
    } cases[] = {
        {MMGR_DECISION_PAUSE, MMGR_DOWNLOAD_PAUSED, "ERP"},
        {MMGR_DECISION_CANCEL, MMGR_DOWNLOAD_CANCELLED, "ERA"},
        {MMGR_DECISION_FAIL, MMGR_DOWNLOAD_ERROR, "ERX"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bench bench;
        struct recorder recorder;
        bench_open(&bench);
        recorder_init(&recorder);
        bench.fake.hold_at = 5000;
        recorder.decide = cases[i].decision;
        recorder.decide_on = MMGR_EVENT_DOWNLOAD_RUNNING;
        assert_int_equal(
            mmgr_queue_add_handler(bench.queue, recorder_handler, &recorder, recorder_freed),
            MMGR_OK);
        mmgr_download *job = bench_submit(&bench, NULL);
        wait_for(job, cases[i].want);
        if (cases[i].want == MMGR_DOWNLOAD_ERROR)
            assert_int_equal(bench_code(job), MMGR_ERR_CANCELLED);
        bench_close_queue(&bench);
        assert_string_equal(recorder.order, cases[i].order);
        assert_int_equal(recorder.freed, 1);
        mmgr_download_unref(job);
        bench_close(&bench);
    }
}

/* Only so many files at once, the most urgent first, also when that changes while they wait. */
static void priorities(void **state)
{
    (void)state;
    struct bench bench;
    struct mmgr_queue_options two = {sizeof two, .max_parallel = 2};
    mmgr_download *jobs[8];
    bench_open_with(&bench, &two);
    bench.fake.hold_at = 5000;
    for (int i = 0; i < 8; i++) {
        char name[16];
        snprintf(name, sizeof name, "file%d", i);
        struct mmgr_download_options o = {.destination = bench_path(&bench, name)};
        jobs[i] = bench_submit(&bench, &o);
        if (i == 1)
            fake_wait_held(&bench.fake, 2);
    }
    assert_int_equal(mmgr_queue_set_priority(bench.queue, 8, -5), MMGR_OK);
    assert_int_equal(mmgr_queue_set_priority(bench.queue, 5, 2), MMGR_OK);
    assert_int_equal(mmgr_queue_set_priority(bench.queue, 3, 50), MMGR_OK);
    fake_open_gate(&bench.fake);
    assert_int_equal(mmgr_queue_join(bench.queue, -1), MMGR_OK);
    static const int want[8] = {1, 2, 8, 5, 4, 6, 7, 3};
    for (int i = 2; i < 8; i++)
        assert_int_equal(mmgr_download_number(jobs[want[i] - 1], MMGR_DOWNLOAD_NUMBER_SEQUENCE),
                         i + 1);
    assert_int_equal(bench.fake.most_running, 2);
    assert_int_equal(mmgr_queue_prune(bench.queue), MMGR_OK);
    assert_int_equal(mmgr_queue_pause(bench.queue, 1), MMGR_ERR_UNKNOWN_JOB);
    for (int i = 0; i < 8; i++)
        mmgr_download_unref(jobs[i]);
    bench_close(&bench);
}

/* Start, pause and cancel for all. */
static void all_jobs(void **state)
{
    (void)state;
    struct bench bench;
    mmgr_download *jobs[4];
    bench_open(&bench);
    bench.fake.hold_at = 5000;
    for (int i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof name, "file%d", i);
        struct mmgr_download_options o = {.destination = bench_path(&bench, name),
                                          .flags = i == 3 ? MMGR_DOWNLOAD_HOLD : 0};
        jobs[i] = bench_submit(&bench, &o);
    }
    fake_wait_held(&bench.fake, 3);
    assert_int_equal(mmgr_queue_pause_all(bench.queue), MMGR_OK);
    assert_int_equal(mmgr_queue_join(bench.queue, -1), MMGR_OK);
    for (int i = 0; i < 4; i++)
        assert_int_equal(mmgr_download_status(jobs[i]),
                         i == 3 ? MMGR_DOWNLOAD_IDLE : MMGR_DOWNLOAD_PAUSED);
    assert_int_equal(mmgr_queue_start_all(bench.queue), MMGR_OK);
    fake_wait_held(&bench.fake, 4);
    assert_int_equal(mmgr_queue_cancel_all(bench.queue), MMGR_OK);
    assert_int_equal(mmgr_queue_join(bench.queue, -1), MMGR_OK);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(mmgr_download_status(jobs[i]), MMGR_DOWNLOAD_CANCELLED);
        mmgr_download_unref(jobs[i]);
    }
    assert_int_equal(bench_hidden(bench.folder), 0);
    bench_close(&bench);
}

/* Closing pauses what runs; a new queue goes on with the bytes. */
static void close_keeps_bytes(void **state)
{
    (void)state;
    struct bench bench;
    struct recorder recorder;
    bench_open(&bench);
    recorder_init(&recorder);
    bench.fake.hold_at = 20000;
    struct mmgr_download_options o = {.handler = recorder_handler, .handler_user = &recorder};
    mmgr_download *job = bench_submit(&bench, &o);
    fake_wait_held(&bench.fake, 1);
    while (mmgr_download_number(job, MMGR_DOWNLOAD_NUMBER_BYTES) < 20000)
        usleep(1000);
    mmgr__queue_hold(bench.queue);
    assert_int_equal(mmgr_queue_close(bench.queue), MMGR_ERR_BUSY);
    mmgr__queue_unhold(bench.queue);
    bench_close_queue(&bench);
    assert_int_equal(mmgr_download_status(job), MMGR_DOWNLOAD_PAUSED);
    assert_string_equal(recorder.order, "ERP");
    mmgr_download_unref(job);
    assert_int_equal(bench_hidden(bench.folder), 2);
    fake_open_gate(&bench.fake);
    struct mmgr_queue_options q = {sizeof q, .transport = &bench.fake.ops,
                                   .transport_self = &bench.fake};
    assert_int_equal(mmgr_queue_open(&q, &bench.queue), MMGR_OK);
    job = bench_submit(&bench, NULL);
    assert_int_equal(bench_end(&bench, job), MMGR_DOWNLOAD_COMPLETED);
    assert_int_equal(mmgr_download_number(job, MMGR_DOWNLOAD_NUMBER_RESUMED_FROM), 20000);
    assert_string_equal(bench.fake.log[1].range, "bytes=20000-");
    assert_true(
        bench_equals(bench_path(&bench, "model.safetensors"), bench.content, CONTENT_BYTES));
    assert_int_equal(bench_hidden(bench.folder), 0);
    mmgr_download_unref(job);
    bench_close(&bench);
}

/* A file that is there: done when it is what is wanted, refused when not, replaced when asked. */
static void existing_target(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    const char *path = bench_path(&bench, "model.safetensors");
    bench_write(path, bench.content, CONTENT_BYTES);
    struct mmgr_download_options o = {.sha256 = bench.sha256};
    mmgr_download *job = bench_submit(&bench, &o);
    assert_int_equal(bench_end(&bench, job), MMGR_DOWNLOAD_COMPLETED);
    assert_int_equal(bench.fake.requests, 0);
    assert_text(job, MMGR_DOWNLOAD_TEXT_SHA256, bench.sha256);
    mmgr_download_unref(job);
    job = bench_submit(&bench, NULL);
    bench_expect_error(&bench, job, MMGR_ERR_EXISTS, "is there already");
    mmgr_download_unref(job);
    bench_write(path, "other", 5);
    job = bench_submit(&bench, &o);
    bench_expect_error(&bench, job, MMGR_ERR_EXISTS, "other content");
    mmgr_download_unref(job);
    assert_true(bench_equals(path, "other", 5));
    o.flags = MMGR_DOWNLOAD_OVERWRITE;
    job = bench_submit(&bench, &o);
    assert_int_equal(bench_end(&bench, job), MMGR_DOWNLOAD_COMPLETED);
    assert_true(bench_equals(path, bench.content, CONTENT_BYTES));
    mmgr_download_unref(job);
    assert_int_equal(bench_hidden(bench.folder), 0);
    bench_close(&bench);
}

/* Two downloads to one file: the second is told that the first is at it. */
static void same_target_twice(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    bench.fake.hold_at = 5000;
    mmgr_download *first = bench_submit(&bench, NULL);
    fake_wait_held(&bench.fake, 1);
    mmgr_download *second = bench_submit(&bench, NULL);
    bench_expect_error(&bench, second, MMGR_ERR_BUSY, "another download");
    fake_open_gate(&bench.fake);
    assert_int_equal(bench_end(&bench, first), MMGR_DOWNLOAD_COMPLETED);
    assert_true(
        bench_equals(bench_path(&bench, "model.safetensors"), bench.content, CONTENT_BYTES));
    mmgr_download_unref(first);
    mmgr_download_unref(second);
    bench_close(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_download),
        cmocka_unit_test(names),
        cmocka_unit_test(refused_submissions),
        cmocka_unit_test(commands_in_states),
        cmocka_unit_test(unknown_jobs),
        cmocka_unit_test(pause_and_resume),
        cmocka_unit_test(commands_inside_handlers),
        cmocka_unit_test(decisions),
        cmocka_unit_test(priorities),
        cmocka_unit_test(all_jobs),
        cmocka_unit_test(close_keeps_bytes),
        cmocka_unit_test(existing_target),
        cmocka_unit_test(same_target_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
