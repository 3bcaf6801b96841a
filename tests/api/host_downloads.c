/* SPDX-License-Identifier: MIT */
/* What the example host does with its queue: one file, several files, and decisions of handlers. */
#include "host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct handler {
    struct host *host;
    enum mmgr_decision decision;
    int calls;
};

/* Decides once, on the first progress. */
static void decide(const mmgr_event *event, enum mmgr_decision *decision, void *user)
{
    struct handler *handler = (struct handler *)user;
    if (mmgr_event_type(event) == MMGR_EVENT_DOWNLOAD_RUNNING && mmgr_event_bytes(event) > 0 &&
        handler->calls++ == 0)
        *decision = handler->decision;
}

static void handler_free(void *user)
{
    struct handler *handler = (struct handler *)user;
    handler->host->users_freed++;
    free(handler);
}

void download_one(struct host *host)
{
    struct mmgr_download_options options = {sizeof options};
    mmgr_download *job = NULL;
    char *path = NULL;
    char *hash = NULL;
    options.source = WEB_URL "small.bin";
    expect(mmgr_queue_submit(host->queue, &options, &job), MMGR_ERR_ARGUMENT, "no destination");
    options.destination = host->root;
    options.filename = "../outside";
    expect(mmgr_queue_submit(host->queue, &options, &job), MMGR_ERR_UNSAFE_PATH,
           "a name that leads out");
    check(job == NULL, "leaves the output alone");
    options.filename = "one.bin";
    expect(mmgr_queue_submit(host->queue, &options, &job), MMGR_OK, "download");
    expect(mmgr_queue_wait(host->queue, mmgr_download_id(job), 30 * SECOND), MMGR_OK,
           "comes to an end");
    check(mmgr_download_status(job) == MMGR_DOWNLOAD_COMPLETED, "and is complete");
    check(mmgr_download_number(job, MMGR_DOWNLOAD_NUMBER_BYTES) == 100, "with all bytes");
    mmgr_download_text(job, MMGR_DOWNLOAD_TEXT_PATH, &path);
    expect(mmgr_hash_path(path, "sha256", &hash), MMGR_OK, "its file has a hash");
    check(strcmp(hash + strlen("sha256:"), mmgr_download_part_sha256(job, 0)) == 0,
          "the job's own");
    check(pull(host, MMGR_EVENT_DOWNLOAD_COMPLETED, mmgr_download_id(job)),
          "its end can be pulled");
    mmgr_download_unref(job);
    mmgr_string_free(path);

    options.filename = "two.bin";
    options.sha256 = "0000000000000000000000000000000000000000000000000000000000000000";
    expect(mmgr_queue_submit(host->queue, &options, &job), MMGR_OK, "download with a wrong hash");
    mmgr_queue_wait(host->queue, mmgr_download_id(job), 30 * SECOND);
    expect(mmgr_error_code(mmgr_download_error(job)), MMGR_ERR_HASH_MISMATCH, "fails by it");
    check(access(below(host, "two.bin"), F_OK) != 0, "and leaves no file");
    mmgr_download_unref(job);
    mmgr_string_free(hash);

    options.sha256 = NULL;
    options.source = WEB_URL "missing.bin";
    expect(mmgr_queue_submit(host->queue, &options, &job), MMGR_OK, "download of nothing");
    mmgr_queue_wait(host->queue, mmgr_download_id(job), 30 * SECOND);
    expect(mmgr_error_code(mmgr_download_error(job)), MMGR_ERR_ENTRY_NOT_FOUND, "is not found");
    check(mmgr_error_http_status(mmgr_download_error(job)) == 404, "with the status");
    mmgr_download_unref(job);

    host->web.refuse = 1;
    expect(mmgr_queue_submit(host->queue, &options, &job), MMGR_OK, "download without a network");
    mmgr_queue_wait(host->queue, mmgr_download_id(job), 30 * SECOND);
    expect(mmgr_error_code(mmgr_download_error(job)), MMGR_ERR_NETWORK,
           "gives the transport's code");
    check(strstr(mmgr_error_message(mmgr_download_error(job)), "memory") != NULL, "and its name");
    mmgr_download_unref(job);
    host->web.refuse = 0;
}

/* A job of two files whose first progress is met with a decision; the large one waits. */
static mmgr_download *download_both(struct host *host, const char *folder,
                                    enum mmgr_decision decision)
{
    struct mmgr_download_options options = {sizeof options};
    struct handler *handler = (struct handler *)calloc(1, sizeof *handler);
    mmgr_download *job = NULL;
    mmgr_parts *parts = NULL;
    expect(mmgr_parts_new(&parts), MMGR_OK, "list of parts");
    expect(mmgr_parts_add(parts, WEB_URL "large.bin", "../x", UINT64_MAX, NULL, NULL),
           MMGR_ERR_UNSAFE_PATH, "no part leads out");
    mmgr_parts_add(parts, WEB_URL "large.bin", "unet/large.bin", WEB_FILE_BYTES, NULL, NULL);
    mmgr_parts_add(parts, WEB_URL "small.bin", "small.bin", UINT64_MAX, NULL, NULL);
    expect(mmgr_parts_add(parts, WEB_URL "small.bin", "small.bin", UINT64_MAX, NULL, NULL),
           MMGR_ERR_ARGUMENT, "no path comes twice");
    handler->host = host;
    handler->decision = decision;
    options.destination = below(host, folder);
    options.parts = parts;
    options.handler = decide;
    options.handler_user = handler;
    options.handler_user_free = handler_free;
    options.label = "two files";
    web_open_gate(&host->web, 0);
    expect(mmgr_queue_submit(host->queue, &options, &job), MMGR_OK, "download of two files");
    mmgr_parts_free(parts);
    return job;
}

void download_parts(struct host *host)
{
    mmgr_download *job = download_both(host, "paused", MMGR_DECISION_PAUSE);
    uint64_t id = mmgr_download_id(job);
    struct stat found;
    check(pull(host, MMGR_EVENT_DOWNLOAD_PAUSED, id), "a handler pauses it");
    check(mmgr_download_status(job) == MMGR_DOWNLOAD_PAUSED, "it is paused");
    expect(mmgr_queue_wait(host->queue, id, 0), MMGR_ERR_TIMEOUT, "not ended");
    web_open_gate(&host->web, 1);
    expect(mmgr_queue_start(host->queue, id), MMGR_OK, "it resumes");
    expect(mmgr_queue_wait(host->queue, id, 30 * SECOND), MMGR_OK, "it ends");
    check(mmgr_download_status(job) == MMGR_DOWNLOAD_COMPLETED, "complete");
    check(stat(below(host, "paused/unet/large.bin"), &found) == 0 &&
              found.st_size == WEB_FILE_BYTES,
          "the large file is there");
    expect(mmgr_queue_cancel(host->queue, id), MMGR_ERR_STATE, "too late to cancel");
    mmgr_download_unref(job);

    job = download_both(host, "cancelled", MMGR_DECISION_CANCEL);
    id = mmgr_download_id(job);
    expect(mmgr_queue_wait(host->queue, id, 30 * SECOND), MMGR_OK, "a handler cancels it");
    check(mmgr_download_status(job) == MMGR_DOWNLOAD_CANCELLED, "it is cancelled");
    check(pull(host, MMGR_EVENT_DOWNLOAD_CANCELLED, id), "and says so");
    mmgr_download_unref(job);
    expect(mmgr_queue_prune(host->queue), MMGR_OK, "jobs are forgotten");
    expect(mmgr_queue_get(host->queue, id, &job), MMGR_ERR_UNKNOWN_JOB, "and unknown");
    web_open_gate(&host->web, 1);
}
