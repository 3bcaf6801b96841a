/* SPDX-License-Identifier: MIT */
/* Servers that misbehave: each answer that could spoil a file, and what the queue makes of it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "bench.h"

/* One misbehaviour. The script is told the number of the request and the honest reply to spoil. */
struct fault {
    const char *name;
    void (*spoil)(struct fake *fake, const struct fake_request *request, struct fake_reply *reply);
    int times; /* spoils the first so many requests; 0: all */
    int with_hash, with_size;
    enum mmgr_result want; /* MMGR_OK: the file arrives whole */
    int requests;          /* exactly so many; 0: any number */
    const char *message;
};

static const struct fault *present;
static unsigned char *other_content;

static void script(struct fake *fake, const struct fake_request *request, struct fake_reply *reply)
{
    fake_serve(fake, request, reply);
    if (present->times == 0 || request->number <= present->times)
        present->spoil(fake, request, reply);
}

static void set_status(struct fake_reply *reply, int status)
{
    reply->status = status;
    reply->length = 0;
    reply->header_count = 0;
}

#define SPOIL(name)                                                         \
    static void name(struct fake *fake, const struct fake_request *request, \
                     struct fake_reply *reply)

SPOIL(cut_short)
{
    (void)fake, (void)request;
    reply->cut = 20000;
    reply->end = MMGR_ERR_NETWORK;
}

SPOIL(cut_silently)
{
    (void)fake, (void)request;
    reply->cut = 20000;
    fake_drop_header(reply, "Content-Length");
}

SPOIL(reset)
{
    (void)fake, (void)request;
    reply->status = 0;
    reply->end = MMGR_ERR_NETWORK;
}

SPOIL(stall)
{
    (void)fake, (void)request;
    reply->cut = 3000;
    reply->end = MMGR_ERR_TIMEOUT;
}

SPOIL(crumbs)
{
    (void)fake, (void)request;
    reply->cut = 1;
    reply->end = MMGR_ERR_NETWORK;
}

SPOIL(flipped_bit)
{
    (void)fake, (void)request;
    other_content[777] = fake->content[777] ^ 1;
    reply->body = other_content + (reply->body - fake->content);
}

SPOIL(wrong_length)
{
    (void)fake, (void)request;
    fake_drop_header(reply, "Content-Length");
    fake_header(reply, "Content-Length: %zu", reply->length + 7);
}

SPOIL(two_lengths)
{
    (void)fake, (void)request;
    fake_header(reply, "Content-Length: 7");
}

SPOIL(huge_length)
{
    (void)fake, (void)request;
    fake_drop_header(reply, "Content-Length");
    fake_header(reply, "Content-Length: 99999999999999999999999");
}

SPOIL(endless)
{
    (void)request;
    fake_drop_header(reply, "Content-Length");
    reply->body = other_content;
    reply->length = 2 * fake->size;
}

SPOIL(unasked_part)
{
    (void)fake, (void)request;
    reply->status = 206;
    fake_header(reply, "Content-Range: bytes 0-99/50000");
    reply->length = 100;
}

SPOIL(no_content)
{
    (void)fake, (void)request;
    set_status(reply, 204);
}

SPOIL(empty)
{
    (void)fake, (void)request;
    set_status(reply, 200);
}

SPOIL(login_page)
{
    static const char page[] = "<!DOCTYPE html><html>sign in</html>";
    (void)fake, (void)request;
    set_status(reply, 200);
    fake_header(reply, "Content-Type: text/html; charset=utf-8");
    reply->body = (const unsigned char *)page;
    reply->length = sizeof page - 1;
}

SPOIL(login_page_untyped)
{
    login_page(fake, request, reply);
    reply->header_count = 0;
}

SPOIL(pointer)
{
    static const char text[] =
        "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n";
    (void)fake, (void)request;
    set_status(reply, 200);
    reply->body = (const unsigned char *)text;
    reply->length = sizeof text - 1;
}

SPOIL(gzipped)
{
    (void)fake, (void)request;
    fake_header(reply, "Content-Encoding: gzip");
}

SPOIL(status_400)
{
    (void)fake, (void)request;
    set_status(reply, 400);
}

SPOIL(status_401)
{
    (void)fake, (void)request;
    set_status(reply, 401);
}

SPOIL(status_403)
{
    (void)fake, (void)request;
    set_status(reply, 403);
}

SPOIL(gated)
{
    (void)fake, (void)request;
    set_status(reply, 403);
    fake_header(reply, "X-Error-Code: GatedRepo");
    fake_header(reply, "X-Error-Message: ask for access first");
}

SPOIL(status_404)
{
    (void)fake, (void)request;
    set_status(reply, 404);
}

SPOIL(no_repo)
{
    (void)fake, (void)request;
    set_status(reply, 404);
    fake_header(reply, "X-Error-Code: RepoNotFound");
}

SPOIL(no_revision)
{
    (void)fake, (void)request;
    set_status(reply, 404);
    fake_header(reply, "X-Error-Code: RevisionNotFound");
}

SPOIL(gone)
{
    (void)fake, (void)request;
    set_status(reply, 410);
}

SPOIL(status_416)
{
    (void)fake, (void)request;
    set_status(reply, 416);
}

SPOIL(status_451)
{
    (void)fake, (void)request;
    set_status(reply, 451);
}

SPOIL(busy)
{
    (void)fake, (void)request;
    set_status(reply, 503);
    fake_header(reply, "Retry-After: 99999999999");
}

SPOIL(limited)
{
    (void)fake, (void)request;
    set_status(reply, 429);
    fake_header(reply, "Retry-After: 120");
}

SPOIL(loop)
{
    (void)fake;
    set_status(reply, 302);
    fake_header(reply, "Location: %s", request->url);
}

SPOIL(no_location)
{
    (void)fake, (void)request;
    set_status(reply, 302);
}

SPOIL(to_file)
{
    (void)fake, (void)request;
    set_status(reply, 302);
    fake_header(reply, "Location: file:///etc/passwd");
}

SPOIL(to_private)
{
    (void)fake, (void)request;
    set_status(reply, 302);
    fake_header(reply, "Location: http://169.254.169.254/latest/meta-data");
}

SPOIL(private_peer)
{
    (void)fake, (void)request;
    if (request->number == 1) {
        set_status(reply, 302);
        fake_header(reply, "Location: http://rebound.example/x");
    } else {
        reply->peer = "10.0.0.7";
    }
}

static const struct fault faults[] = {
    {"body cut, then whole", cut_short, 1, 0, 0, MMGR_OK, 2, NULL},
    {"body cut for ever", cut_short, 0, 1, 1, MMGR_OK, 0,
     NULL}, /* each attempt brings it further */
    {"cut without a length, size known", cut_silently, 1, 0, 1, MMGR_OK, 2, NULL},
    {"cut without a length, hash known", cut_silently, 1, 1, 0, MMGR_OK, 2, NULL},
    {"no connection twice", reset, 2, 0, 0, MMGR_OK, 3, NULL},
    {"no connection ever", reset, 0, 0, 0, MMGR_ERR_NETWORK, 5, "scripted end"},
    {"stall, then whole", stall, 1, 0, 0, MMGR_OK, 2, NULL},
    {"stall without progress", stall, 0, 0, 0, MMGR_OK, 0, NULL},
    {"one byte at a time", crumbs, 0, 0, 0, MMGR_ERR_NETWORK, 5, NULL},
    {"one flipped bit once", flipped_bit, 1, 1, 1, MMGR_OK, 2, NULL},
    {"one flipped bit each time", flipped_bit, 0, 1, 1, MMGR_ERR_HASH_MISMATCH, 2, "was promised"},
    {"length wrong, size known", wrong_length, 0, 0, 1, MMGR_ERR_TOO_LARGE, 2, "were promised"},
    {"length wrong once", wrong_length, 1, 0, 1, MMGR_OK, 2, NULL},
    {"two lengths", two_lengths, 0, 0, 0, MMGR_ERR_PROTOCOL, 2, "Content-Length"},
    {"length beyond 64 bits", huge_length, 0, 0, 0, MMGR_ERR_PROTOCOL, 2, "Content-Length"},
    {"endless body, size known", endless, 0, 0, 1, MMGR_ERR_TOO_LARGE, 2, NULL},
    {"a part that nobody asked for", unasked_part, 0, 0, 0, MMGR_ERR_PROTOCOL, 2,
     "whole was asked"},
    {"no content", no_content, 0, 0, 0, MMGR_ERR_PROTOCOL, 2, "204"},
    {"empty answer", empty, 0, 0, 0, MMGR_ERR_PROTOCOL, 2, "empty"},
    {"login page", login_page, 0, 0, 0, MMGR_ERR_NOT_AUTHORIZED, 1, "web page"},
    {"login page without a type", login_page_untyped, 0, 0, 0, MMGR_ERR_NOT_AUTHORIZED, 1,
     "web page"},
    {"pointer instead of the file", pointer, 0, 0, 0, MMGR_ERR_PROTOCOL, 2, "pointer"},
    {"pointer, hash known", pointer, 0, 1, 0, MMGR_ERR_PROTOCOL, 2, "pointer"},
    {"gzip though identity was asked", gzipped, 0, 0, 0, MMGR_ERR_PROTOCOL, 2, "encoded"},
    {"gzip once", gzipped, 1, 0, 0, MMGR_OK, 2, NULL},
    {"400", status_400, 0, 0, 0, MMGR_ERR_HTTP, 1, "400"},
    {"401", status_401, 0, 0, 0, MMGR_ERR_NOT_AUTHORIZED, 1, "access token"},
    {"403", status_403, 0, 0, 0, MMGR_ERR_NOT_AUTHORIZED, 1, "403"},
    {"gated", gated, 0, 0, 0, MMGR_ERR_GATED, 1, "ask for access first"},
    {"404", status_404, 0, 0, 0, MMGR_ERR_ENTRY_NOT_FOUND, 1, "404"},
    {"404 repository", no_repo, 0, 0, 0, MMGR_ERR_REPO_NOT_FOUND, 1, NULL},
    {"404 revision", no_revision, 0, 0, 0, MMGR_ERR_REVISION_NOT_FOUND, 1, NULL},
    {"410", gone, 0, 0, 0, MMGR_ERR_ENTRY_NOT_FOUND, 1, NULL},
    {"416 without a range", status_416, 0, 0, 0, MMGR_ERR_PROTOCOL, 1, "416"},
    {"451", status_451, 0, 0, 0, MMGR_ERR_HTTP, 1, "451"},
    {"503 with Retry-After, twice", busy, 2, 0, 0, MMGR_OK, 3, NULL},
    {"503 for ever", busy, 0, 0, 0, MMGR_ERR_HTTP, 5, "503"},
    {"429 once", limited, 1, 0, 0, MMGR_OK, 2, NULL},
    {"429 for ever", limited, 0, 0, 0, MMGR_ERR_RATE_LIMITED, 5, "429"},
    {"redirect loop", loop, 0, 0, 0, MMGR_ERR_PROTOCOL, 11, "redirect"},
    {"redirect to nowhere", no_location, 0, 0, 0, MMGR_ERR_PROTOCOL, 1, "Location"},
    {"redirect to a file", to_file, 0, 0, 0, MMGR_ERR_REFUSED_ADDRESS, 1, NULL},
    {"redirect to a private address", to_private, 0, 0, 0, MMGR_ERR_REFUSED_ADDRESS, 1, "private"},
    {"redirect to a name with a private peer", private_peer, 0, 0, 0, MMGR_ERR_REFUSED_ADDRESS, 2,
     "private"},
};

static void run_fault(const struct fault *fault)
{
    struct bench bench;
    bench_open(&bench);
    present = fault;
    other_content = malloc(2 * CONTENT_BYTES);
    memcpy(other_content, bench.content, CONTENT_BYTES);
    memcpy(other_content + CONTENT_BYTES, bench.content, CONTENT_BYTES);
    bench.fake.script = script;
    struct mmgr_download_options o = {.sha256 = fault->with_hash ? bench.sha256 : NULL,
                                      .size = fault->with_size ? CONTENT_BYTES : 0};
    mmgr_download *job = bench_submit(&bench, &o);
    enum mmgr_download_status end = bench_end(&bench, job);
    enum mmgr_result code = bench_code(job);
    const char *message = mmgr_error_message(mmgr_download_error(job));
    if (code != fault->want || (fault->requests > 0 && bench.fake.requests != fault->requests) ||
        (fault->message != NULL && strstr(message, fault->message) == NULL))
        print_message("fault \"%s\": %s after %d requests: %s\n", fault->name,
                      mmgr_result_name(code), bench.fake.requests, message);
    assert_string_equal(mmgr_result_name(code), mmgr_result_name(fault->want));
    if (fault->requests > 0)
        assert_int_equal(bench.fake.requests, fault->requests);
    if (fault->message != NULL)
        assert_non_null(strstr(message, fault->message));
    const char *path = bench_path(&bench, "model.safetensors");
    if (fault->want == MMGR_OK) {
        assert_int_equal(end, MMGR_DOWNLOAD_COMPLETED);
        assert_true(bench_equals(path, bench.content, CONTENT_BYTES));
    } else {
        assert_int_equal(end, MMGR_DOWNLOAD_ERROR);
        assert_false(bench_exists(path));
        assert_non_null(strstr(message, "files.example"));
    }
    assert_int_equal(bench_hidden(bench.folder), 0);
    mmgr_download_unref(job);
    bench_close(&bench);
    free(other_content);
}

static void fault_matrix(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        run_fault(&faults[i]);
}

/* What a server may do to a resumed download. Every case must end with the right bytes: those of
 * the first version when it is still there, those of the second when it was swapped; never a
 * mixture. */
enum resume_case {
    RESUME_HONEST,
    RESUME_IGNORES_RANGE,
    RESUME_WRONG_START,
    RESUME_NO_RANGE_HEADER,
    RESUME_OTHER_TOTAL,
    RESUME_MULTIPART,
    RESUME_GZIP,
    RESUME_416,
    RESUME_SWAPPED,
    RESUME_SWAPPED_QUIETLY,
    RESUME_WEAK,
    RESUME_NO_VALIDATOR,
    RESUME_DATE_ONLY,
    RESUME_CASES
};
static enum resume_case resume_case;

static void resume_script(struct fake *fake, const struct fake_request *request,
                          struct fake_reply *reply)
{
    struct fake_request changed = *request;
    if (resume_case == RESUME_WEAK)
        fake->etag = "W/\"v1\"";
    if (resume_case == RESUME_NO_VALIDATOR || resume_case == RESUME_DATE_ONLY)
        fake->etag = NULL;
    if (resume_case == RESUME_DATE_ONLY)
        fake->last_modified = "Mon, 02 Jan 2023 03:04:05 GMT";
    if (request->number > 1 &&
        (resume_case == RESUME_SWAPPED || resume_case == RESUME_SWAPPED_QUIETLY)) {
        fake->content = other_content;
        fake->etag = "\"v2\"";
    }
    if (request->number == 2 && resume_case == RESUME_IGNORES_RANGE)
        changed.range[0] = '\0';
    if (request->number == 2 && resume_case == RESUME_SWAPPED_QUIETLY)
        changed.if_range[0] = '\0'; /* a server that does not know If-Range */
    fake_serve(fake, &changed, reply);
    if (request->number != 2)
        return;
    switch (resume_case) {
    case RESUME_WRONG_START:
        fake_drop_header(reply, "Content-Range");
        fake_header(reply, "Content-Range: bytes 9001-49999/50000");
        break;
    case RESUME_NO_RANGE_HEADER:
        fake_drop_header(reply, "Content-Range");
        break;
    case RESUME_OTHER_TOTAL:
        fake_drop_header(reply, "Content-Range");
        fake_header(reply, "Content-Range: bytes 9000-49999/60000");
        break;
    case RESUME_MULTIPART:
        fake_header(reply, "Content-Type: multipart/byteranges; boundary=X");
        break;
    case RESUME_GZIP:
        fake_header(reply, "Content-Encoding: gzip");
        break;
    case RESUME_416:
        set_status(reply, 416);
        fake_header(reply, "Content-Range: bytes */50000");
        break;
    default:
        break;
    }
}

static void resumes_never_splice(void **state)
{
    (void)state;
    for (int i = 0; i < RESUME_CASES; i++) {
        struct bench bench;
        bench_open(&bench);
        resume_case = (enum resume_case)i;
        other_content = malloc(CONTENT_BYTES);
        for (size_t k = 0; k < CONTENT_BYTES; k++)
            other_content[k] = bench.content[k] ^ 0x5a;
        bench.fake.script = resume_script;
        bench.fake.hold_at = 9000;
        mmgr_download *job = bench_submit(&bench, NULL);
        fake_wait_held(&bench.fake, 1);
        while (mmgr_download_number(job, MMGR_DOWNLOAD_NUMBER_BYTES) < 9000)
            usleep(1000);
        mmgr_queue_pause(bench.queue, 1);
        mmgr_queue_join(bench.queue, -1);
        fake_open_gate(&bench.fake);
        mmgr_queue_start(bench.queue, 1);
        assert_int_equal(bench_end(&bench, job), MMGR_DOWNLOAD_COMPLETED);
        const unsigned char *want = bench.fake.content;
        int restarted = i != RESUME_HONEST && i != RESUME_DATE_ONLY;
        int right = bench_equals(bench_path(&bench, "model.safetensors"), want, CONTENT_BYTES);
        if (!right)
            print_message("resume case %d\n", i);
        assert_true(right);
        assert_int_equal(mmgr_download_number(job, MMGR_DOWNLOAD_NUMBER_RESUMED_FROM),
                         restarted ? 0 : 9000);
        if (i == RESUME_HONEST)
            assert_string_equal(bench.fake.log[1].if_range, "\"v1\"");
        if (i == RESUME_DATE_ONLY || i == RESUME_NO_VALIDATOR)
            assert_string_equal(bench.fake.log[1].if_range, "");
        if (i == RESUME_NO_VALIDATOR || i == RESUME_WEAK)
            assert_string_equal(bench.fake.log[1].range, "");
        mmgr_download_unref(job);
        bench_close(&bench);
        free(other_content);
    }
}

/* The control of the test above: a server that swaps the file and lies about it, same tag, same
 * size. Nothing can tell without a hash, so the mixture must show here; with a hash the queue must
 * notice and fetch anew. */
static void lying_script(struct fake *fake, const struct fake_request *request,
                         struct fake_reply *reply)
{
    if (request->number > 1)
        fake->content = other_content;
    fake_serve(fake, request, reply);
}

static void control_lying_server(void **state)
{
    (void)state;
    for (int with_hash = 0; with_hash <= 1; with_hash++) {
        struct bench bench;
        char hex[65];
        bench_open(&bench);
        other_content = malloc(CONTENT_BYTES);
        for (size_t k = 0; k < CONTENT_BYTES; k++)
            other_content[k] = bench.content[k] ^ 0x5a;
        bench_sha256(other_content, CONTENT_BYTES, hex);
        bench.fake.script = lying_script;
        bench.fake.hold_at = 9000;
        struct mmgr_download_options o = {.sha256 = with_hash ? hex : NULL};
        mmgr_download *job = bench_submit(&bench, &o);
        fake_wait_held(&bench.fake, 1);
        while (mmgr_download_number(job, MMGR_DOWNLOAD_NUMBER_BYTES) < 9000)
            usleep(1000);
        mmgr_queue_pause(bench.queue, 1);
        mmgr_queue_join(bench.queue, -1);
        fake_open_gate(&bench.fake);
        mmgr_queue_start(bench.queue, 1);
        assert_int_equal(bench_end(&bench, job), MMGR_DOWNLOAD_COMPLETED);
        const char *path = bench_path(&bench, "model.safetensors");
        assert_int_equal(bench_equals(path, other_content, CONTENT_BYTES), with_hash);
        assert_false(bench_equals(path, bench.content, CONTENT_BYTES));
        mmgr_download_unref(job);
        bench_close(&bench);
        free(other_content);
    }
}

/* A signed address that has run out is asked for anew, once; the token stays with its own origin.
 * */
static int denials;

static void signed_script(struct fake *fake, const struct fake_request *request,
                          struct fake_reply *reply)
{
    if (strstr(request->url, "hub.example") != NULL) {
        set_status(reply, 302);
        fake_header(reply, "Location: https://cdn.example/blob?sig=%d", request->number);
    } else if (denials > 0) {
        denials--;
        set_status(reply, 403);
    } else {
        fake_serve(fake, request, reply);
    }
}

static void signed_addresses_and_tokens(void **state)
{
    (void)state;
    for (int times = 0; times <= 2; times++) {
        struct bench bench;
        bench_open(&bench);
        denials = times;
        bench.fake.script = signed_script;
        struct mmgr_download_options o = {
            .source = "https://hub.example/o/n/resolve/main/m.safetensors", .token = "hf_secret"};
        mmgr_download *job = bench_submit(&bench, &o);
        if (times < 2) {
            assert_int_equal(bench_end(&bench, job), MMGR_DOWNLOAD_COMPLETED);
            assert_int_equal(bench.fake.requests, 2 + 2 * times);
        } else {
            bench_expect_error(&bench, job, MMGR_ERR_NOT_AUTHORIZED, "403");
            assert_null(strstr(mmgr_error_message(mmgr_download_error(job)), "hf_secret"));
        }
        for (int i = 0; i < bench.fake.requests; i++) {
            int at_hub = strstr(bench.fake.log[i].url, "hub.example") != NULL;
            assert_string_equal(bench.fake.log[i].authorization, at_hub ? "Bearer hf_secret" : "");
        }
        mmgr_download_unref(job);
        bench_close(&bench);
    }
}

static void downgrade_script(struct fake *fake, const struct fake_request *request,
                             struct fake_reply *reply)
{
    (void)fake, (void)request;
    set_status(reply, 302);
    fake_header(reply, "Location: http://hub.example/x");
}

static void downgrade_is_refused(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    bench.fake.script = downgrade_script;
    struct mmgr_download_options o = {.source = "https://hub.example/x"};
    mmgr_download *job = bench_submit(&bench, &o);
    bench_expect_error(&bench, job, MMGR_ERR_REFUSED_ADDRESS, "plain http");
    assert_int_equal(bench.fake.requests, 1);
    mmgr_download_unref(job);
    bench_close(&bench);
}

/* Large files come in windows of one range each, because servers refuse them in one piece. */
static void windows(void **state)
{
    (void)state;
    struct bench bench;
    struct mmgr__transfer_tuning tuning = {.window_bytes = 20000};
    bench_open(&bench);
    mmgr__queue_tune(bench.queue, &tuning);
    struct mmgr_download_options o = {.sha256 = bench.sha256, .size = CONTENT_BYTES};
    mmgr_download *job = bench_submit(&bench, &o);
    assert_int_equal(bench_end(&bench, job), MMGR_DOWNLOAD_COMPLETED);
    assert_int_equal(bench.fake.requests, 3);
    assert_string_equal(bench.fake.log[0].range, "bytes=0-19999");
    assert_string_equal(bench.fake.log[1].range, "bytes=20000-39999");
    assert_string_equal(bench.fake.log[2].range, "bytes=40000-");
    mmgr_download_unref(job);
    bench_close(&bench);
}

/* A disk that is full: while room is reserved, and while bytes are written. */
static enum mmgr__io_op full_at;

static int full_disk(enum mmgr__io_op op, const char *name, void *user)
{
    (void)name, (void)user;
    return op == full_at ? ENOSPC : 0;
}

static void disk_full(void **state)
{
    (void)state;
    static const enum mmgr__io_op ops[] = {MMGR__IO_ALLOCATE, MMGR__IO_WRITE, MMGR__IO_FSYNC};
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        for (int keep = 0; keep <= 1; keep++) {
            struct bench bench;
            bench_open(&bench);
            full_at = ops[i];
            mmgr__io_set_hook(full_disk, NULL);
            struct mmgr_download_options o = {.flags = keep ? MMGR_DOWNLOAD_PRESERVE_PARTIAL : 0};
            mmgr_download *job = bench_submit(&bench, &o);
            bench_expect_error(&bench, job, MMGR_ERR_NO_SPACE, bench.folder);
            mmgr_download_unref(job);
            mmgr__io_set_hook(NULL, NULL);
            assert_false(bench_exists(bench_path(&bench, "model.safetensors")));
            if (!keep)
                assert_int_equal(bench_hidden(bench.folder), 0);
            job = bench_submit(&bench, NULL);
            assert_int_equal(bench_end(&bench, job), MMGR_DOWNLOAD_COMPLETED);
            assert_true(bench_equals(bench_path(&bench, "model.safetensors"), bench.content,
                                     CONTENT_BYTES));
            mmgr_download_unref(job);
            bench_close(&bench);
        }
    }
}

/* More than the disk holds is refused before the first byte. */
static void announce_too_much(struct fake *fake, const struct fake_request *request,
                              struct fake_reply *reply)
{
    fake_serve(fake, request, reply);
    fake_drop_header(reply, "Content-Length");
    fake_header(reply, "Content-Length: 4611686018427387904");
}

static void no_room(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    bench.fake.script = announce_too_much;
    mmgr_download *job = bench_submit(&bench, NULL);
    bench_expect_error(&bench, job, MMGR_ERR_NO_SPACE, "4611686018427387904 more bytes");
    mmgr_download_unref(job);
    bench_close(&bench);
}

/* PRESERVE_PARTIAL keeps the bytes of a failure, and the next job goes on from there. */
static void cut_for_good(struct fake *fake, const struct fake_request *request,
                         struct fake_reply *reply)
{
    fake_serve(fake, request, reply);
    reply->cut = request->number == 1 ? 20000 : 0;
    reply->end = MMGR_ERR_NETWORK;
}

static void preserved_bytes(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    bench.fake.script = cut_for_good;
    struct mmgr_download_options o = {.flags = MMGR_DOWNLOAD_PRESERVE_PARTIAL};
    mmgr_download *job = bench_submit(&bench, &o);
    bench_expect_error(&bench, job, MMGR_ERR_NETWORK, NULL);
    mmgr_download_unref(job);
    assert_int_equal(bench_hidden(bench.folder), 2);
    bench.fake.script = NULL;
    int before = bench.fake.requests;
    job = bench_submit(&bench, &o);
    assert_int_equal(bench_end(&bench, job), MMGR_DOWNLOAD_COMPLETED);
    assert_string_equal(bench.fake.log[before].range, "bytes=20000-");
    assert_true(
        bench_equals(bench_path(&bench, "model.safetensors"), bench.content, CONTENT_BYTES));
    assert_int_equal(bench_hidden(bench.folder), 0);
    mmgr_download_unref(job);
    bench_close(&bench);
}

/* Every step that changes the disk fails once with EIO, every allocation fails once: the job ends
 * with the file whole or with an error and without the file, and the queue goes on working. */
static int fail_step, step_count;

static int fail_one(enum mmgr__io_op op, const char *name, void *user)
{
    (void)op, (void)name, (void)user;
    return __atomic_add_fetch(&step_count, 1, __ATOMIC_SEQ_CST) == fail_step ? EIO : 0;
}

static int survives(struct bench *bench, enum mmgr_result may_fail_with)
{
    struct mmgr_download_options o = {sizeof o, .source = URL, .sha256 = bench->sha256,
                                      .destination = bench_path(bench, "model.safetensors")};
    mmgr_download *job = NULL;
    enum mmgr_result rc = mmgr_queue_submit(bench->queue, &o, &job);
    int done = 0;
    if (rc == MMGR_OK) {
        while (mmgr_queue_wait(bench->queue, mmgr_download_id(job), -1) == MMGR_ERR_NO_MEMORY)
            continue;
        rc = bench_code(job);
        done = mmgr_download_status(job) == MMGR_DOWNLOAD_COMPLETED;
    }
    if (!done)
        assert_string_equal(mmgr_result_name(rc), mmgr_result_name(may_fail_with));
    if (done || bench_exists(o.destination))
        assert_true(bench_equals(o.destination, bench->content, CONTENT_BYTES));
    mmgr_download_unref(job);
    return done;
}

static void failing_disk(void **state)
{
    (void)state;
    int failures = 0;
    for (fail_step = 1;; fail_step++) {
        struct bench bench;
        bench_open(&bench);
        step_count = 0;
        mmgr__io_set_hook(fail_one, NULL);
        failures += !survives(&bench, MMGR_ERR_IO);
        int reached = __atomic_load_n(&step_count, __ATOMIC_SEQ_CST) >= fail_step;
        mmgr__io_set_hook(NULL, NULL);
        assert_true(survives(&bench, MMGR_OK));
        bench_close(&bench);
        if (!reached)
            break;
    }
    assert_true(failures >= 5);
}

static void failing_memory(void **state)
{
    (void)state;
    int failures = 0;
    for (uint64_t at = 1;; at++) {
        struct bench bench;
        bench_open(&bench);
        uint64_t before = mmgr__alloc_count();
        mmgr__alloc_fail_at(at, 0);
        failures += !survives(&bench, MMGR_ERR_NO_MEMORY);
        int reached = mmgr__alloc_count() - before >= at;
        mmgr__alloc_fail_at(0, 0);
        assert_true(survives(&bench, MMGR_OK));
        bench_close(&bench);
        if (!reached)
            break;
    }
    assert_true(failures >= 20);
}

/* A server that is broken for a while does not cost the bytes that are there. */
static void garbage_once(struct fake *fake, const struct fake_request *request,
                         struct fake_reply *reply)
{
    fake_serve(fake, request, reply);
    if (request->number == 1) {
        reply->cut = 20000;
        reply->end = MMGR_ERR_NETWORK;
    } else if (request->number == 2) {
        reply->status = 0;
        reply->end = MMGR_ERR_PROTOCOL;
    }
}

static void garbage_keeps_bytes(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    bench.fake.script = garbage_once;
    mmgr_download *job = bench_submit(&bench, NULL);
    assert_int_equal(bench_end(&bench, job), MMGR_DOWNLOAD_COMPLETED);
    assert_int_equal(bench.fake.requests, 3);
    assert_string_equal(bench.fake.log[2].range, "bytes=20000-");
    assert_true(
        bench_equals(bench_path(&bench, "model.safetensors"), bench.content, CONTENT_BYTES));
    mmgr_download_unref(job);
    bench_close(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fault_matrix),
        cmocka_unit_test(resumes_never_splice),
        cmocka_unit_test(control_lying_server),
        cmocka_unit_test(signed_addresses_and_tokens),
        cmocka_unit_test(downgrade_is_refused),
        cmocka_unit_test(windows),
        cmocka_unit_test(disk_full),
        cmocka_unit_test(no_room),
        cmocka_unit_test(preserved_bytes),
        cmocka_unit_test(garbage_keeps_bytes),
        cmocka_unit_test(failing_disk),
        cmocka_unit_test(failing_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
