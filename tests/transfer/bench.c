/* SPDX-License-Identifier: MIT */
/* Shared parts of the queue's tests. */
#include "bench.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"

void bench_sha256(const void *data, size_t length, char hex[65])
{
    struct mmgr__digest *digest = NULL;
    assert_int_equal(mmgr__digest_new(MMGR__SHA256, 0, &digest), MMGR_OK);
    mmgr__digest_update(digest, data, length);
    mmgr__digest_hex(digest, hex);
    mmgr__digest_free(digest);
}

void bench_tune(mmgr_queue *queue)
{
    struct mmgr__transfer_tuning tuning = {.backoff_base_ns = 1000,
                                           .backoff_cap_ns = 1000000,
                                           .wait_cap_ns = 1000000,
                                           .sync_bytes = 8192,
                                           .sync_ns = INT64_C(3600000000000),
                                           .block_bytes = 1000,
                                           .min_progress = 1000};
    mmgr__queue_tune(queue, &tuning);
}

void bench_open_with(struct bench *bench, const struct mmgr_queue_options *options)
{
    memset(bench, 0, sizeof *bench);
    snprintf(bench->folder, sizeof bench->folder, "/tmp/mmgr-transfer-XXXXXX");
    assert_non_null(mkdtemp(bench->folder));
    bench->content = malloc(CONTENT_BYTES);
    for (size_t i = 0; i < CONTENT_BYTES; i++)
        bench->content[i] = (unsigned char)((i * 2654435761u) >> 13);
    bench_sha256(bench->content, CONTENT_BYTES, bench->sha256);
    fake_init(&bench->fake, bench->content, CONTENT_BYTES);
    struct mmgr_queue_options o = {sizeof o};
    if (options != NULL)
        o = *options;
    o.transport = &bench->fake.ops;
    o.transport_self = &bench->fake;
    assert_int_equal(mmgr_queue_open(&o, &bench->queue), MMGR_OK);
    bench_tune(bench->queue);
}

void bench_open(struct bench *bench)
{
    bench_open_with(bench, NULL);
}

void bench_close_queue(struct bench *bench)
{
    assert_int_equal(mmgr_queue_close(bench->queue), MMGR_OK);
    bench->queue = NULL;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

void bench_close(struct bench *bench)
{
    if (bench->queue != NULL)
        bench_close_queue(bench);
    fake_destroy(&bench->fake);
    free(bench->content);
    nftw(bench->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *bench_path(const struct bench *bench, const char *name)
{
    static char ring[8][512];
    static int next;
    char *text = ring[next++ % 8];
    snprintf(text, sizeof ring[0], "%s/%s", bench->folder, name);
    return text;
}

void bench_write(const char *path, const void *data, size_t length)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, length, file), length);
    fclose(file);
}

int bench_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

int bench_equals(const char *path, const void *data, size_t length)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return 0;
    unsigned char *copy = malloc(length + 1);
    size_t got = fread(copy, 1, length + 1, file);
    int same = got == length && memcmp(copy, data, length) == 0;
    free(copy);
    fclose(file);
    return same;
}

int bench_hidden(const char *folder)
{
    int count = 0;
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL)
        count += entry->d_name[0] == '.' && strcmp(entry->d_name, ".") != 0 &&
                 strcmp(entry->d_name, "..") != 0;
    closedir(dir);
    return count;
}

void recorder_init(struct recorder *recorder)
{
    memset(recorder, 0, sizeof *recorder);
    pthread_mutex_init(&recorder->lock, NULL);
}

static char letter_of(enum mmgr_event_type type)
{
    switch (type) {
    case MMGR_EVENT_DOWNLOAD_ENQUEUED:
        return 'E';
    case MMGR_EVENT_DOWNLOAD_RUNNING:
        return 'R';
    case MMGR_EVENT_DOWNLOAD_PAUSED:
        return 'P';
    case MMGR_EVENT_DOWNLOAD_COMPLETED:
        return 'C';
    case MMGR_EVENT_DOWNLOAD_ERROR:
        return 'X';
    case MMGR_EVENT_DOWNLOAD_CANCELLED:
        return 'A';
    default:
        return '?';
    }
}

void recorder_handler(const mmgr_event *event, enum mmgr_decision *decision, void *user)
{
    struct recorder *recorder = user;
    enum mmgr_event_type type = mmgr_event_type(event);
    char letter = letter_of(type);
    assert_int_equal(*decision, MMGR_DECISION_CONTINUE);
    pthread_mutex_lock(&recorder->lock);
    size_t length = strlen(recorder->order);
    if (length + 1 < sizeof recorder->order &&
        (letter != 'R' || length == 0 || recorder->order[length - 1] != 'R'))
        recorder->order[length] = letter;
    recorder->running += letter == 'R';
    recorder->terminal += letter == 'C' || letter == 'X' || letter == 'A';
    if (type == recorder->decide_on) {
        *decision = recorder->decide;
        recorder->decide_on = MMGR_EVENT_NONE;
    }
    void (*call)(const mmgr_event *, void *) = recorder->call;
    pthread_mutex_unlock(&recorder->lock);
    if (call != NULL)
        call(event, recorder->call_user);
}

void recorder_freed(void *user)
{
    ((struct recorder *)user)->freed++;
}

mmgr_download *bench_submit(struct bench *bench, const struct mmgr_download_options *options)
{
    struct mmgr_download_options o = {sizeof o};
    mmgr_download *job = NULL;
    if (options != NULL)
        o = *options;
    o.struct_size = sizeof o;
    if (o.source == NULL && o.parts == NULL)
        o.source = URL;
    if (o.destination == NULL)
        o.destination = bench_path(bench, "model.safetensors");
    enum mmgr_result rc = mmgr_queue_submit(bench->queue, &o, &job);
    if (rc != MMGR_OK)
        print_message("submit: %s\n", mmgr_error_message(mmgr_last_error()));
    assert_int_equal(rc, MMGR_OK);
    assert_non_null(job);
    return job;
}

enum mmgr_download_status bench_end(struct bench *bench, mmgr_download *job)
{
    enum mmgr_result rc =
        mmgr_queue_wait(bench->queue, mmgr_download_id(job), INT64_C(60000000000));
    if (rc != MMGR_OK)
        print_message("wait: %s\n", mmgr_error_message(mmgr_last_error()));
    assert_int_equal(rc, MMGR_OK);
    return mmgr_download_status(job);
}

enum mmgr_result bench_code(mmgr_download *job)
{
    return mmgr_error_code(mmgr_download_error(job));
}

void bench_expect_error(struct bench *bench, mmgr_download *job, enum mmgr_result code,
                        const char *part_of_message)
{
    assert_int_equal(bench_end(bench, job), MMGR_DOWNLOAD_ERROR);
    const char *message = mmgr_error_message(mmgr_download_error(job));
    if (bench_code(job) != code)
        print_message("message: %s\n", message);
    assert_string_equal(mmgr_result_name(bench_code(job)), mmgr_result_name(code));
    if (part_of_message != NULL && strstr(message, part_of_message) == NULL) {
        print_message("\"%s\" is not in: %s\n", part_of_message, message);
        fail();
    }
}
