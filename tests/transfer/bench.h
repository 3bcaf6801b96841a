/* SPDX-License-Identifier: MIT */
/* What the queue's tests share: a folder, a scripted server, a queue, and a recorder of events. */
#ifndef TESTS_TRANSFER_BENCH_H
#define TESTS_TRANSFER_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <modelmgr/error.h>
#include <modelmgr/queue.h>

#include "fake_transport.h"
#include "transfer/transfer.h"

#define CONTENT_BYTES 50000u
#define URL           "http://files.example/dir/model.safetensors"

struct bench {
    char folder[64];
    unsigned char *content;
    char sha256[65];
    struct fake fake;
    mmgr_queue *queue;
};

/* One download's events, in order, merged progress left out of `order`. */
struct recorder {
    pthread_mutex_t lock;
    char order[256]; /* "E" enqueued "R" first running "P" paused "C" "X" error "A" cancelled */
    int running, terminal, freed;
    enum mmgr_decision decide; /* given once, on the first event of the type below */
    enum mmgr_event_type decide_on;
    void (*call)(const mmgr_event *event, void *user);
    void *call_user;
};

void bench_open(struct bench *bench);
void bench_open_with(struct bench *bench, const struct mmgr_queue_options *options);
void bench_tune(mmgr_queue *queue);
void bench_close_queue(struct bench *bench);
void bench_close(struct bench *bench);
/* "FOLDER/name" in a static ring of buffers. */
const char *bench_path(const struct bench *bench, const char *name);
void bench_write(const char *path, const void *data, size_t length);
int bench_exists(const char *path);
/* Whether the file is byte for byte this. */
int bench_equals(const char *path, const void *data, size_t length);
/* Names in a folder that begin with ".". */
int bench_hidden(const char *folder);
void bench_sha256(const void *data, size_t length, char hex[65]);

void recorder_init(struct recorder *recorder);
void recorder_handler(const mmgr_event *event, enum mmgr_decision *decision, void *user);
void recorder_freed(void *user);

/* Submit a download of URL to "model.safetensors" in the folder; options may be NULL. */
mmgr_download *bench_submit(struct bench *bench, const struct mmgr_download_options *options);
/* Wait to the end; the job's state. */
enum mmgr_download_status bench_end(struct bench *bench, mmgr_download *job);
enum mmgr_result bench_code(mmgr_download *job);
void bench_expect_error(struct bench *bench, mmgr_download *job, enum mmgr_result code,
                        const char *part_of_message);

#endif
