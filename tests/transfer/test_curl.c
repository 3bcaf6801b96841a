/* SPDX-License-Identifier: MIT */
/* The built-in transport on a real server: run by run_with_hub.py. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"
#include "transfer/curl_transport.h"

static unsigned char *big, *small, *weights;
static size_t big_size, small_size, weights_size;

static unsigned char *read_all(const char *name, size_t *size)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", getenv("MMGR_TEST_FILES"), name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    unsigned char *data = malloc(4000000);
    *size = fread(data, 1, 4000000, file);
    fclose(file);
    return data;
}

/* A control request, by hand: the answer's text, to be freed. */
static char *control(const char *method, const char *path, const char *body)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    const char *port = strrchr(getenv("MMGR_TEST_HUB"), ':') + 1;
    char head[512];
    address.sin_port = htons((uint16_t)atoi(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    int length =
        snprintf(head, sizeof head,
                 "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n",
                 method, path, strlen(body));
    assert_int_equal(write(fd, head, (size_t)length), length);
    assert_int_equal(write(fd, body, strlen(body)), strlen(body));
    char *text = calloc(1, 1 << 20);
    size_t got = 0;
    ssize_t n;
    while (got < (1 << 20) - 1 && (n = read(fd, text + got, (1 << 20) - 1 - got)) > 0)
        got += (size_t)n;
    close(fd);
    return text;
}

static void set_fault(const char *json)
{
    free(control("POST", "/_reset", ""));
    if (json != NULL)
        free(control("POST", "/_faults", json));
}

static int count_in(const char *text, const char *what)
{
    int count = 0;
    for (const char *at = strstr(text, what); at != NULL; at = strstr(at + 1, what))
        count++;
    return count;
}

static const char *url(const char *variable, const char *path)
{
    static char ring[4][512];
    static int next;
    char *text = ring[next++ % 4];
    snprintf(text, sizeof ring[0], "%s%s", getenv(variable), path);
    return text;
}

static void open_real(struct bench *bench)
{
    bench_open(bench);
    bench_close_queue(bench);
    assert_int_equal(mmgr_queue_open(NULL, &bench->queue), MMGR_OK);
    struct mmgr__transfer_tuning tuning = {.backoff_base_ns = 1000000,
                                           .backoff_cap_ns = 2000000,
                                           .wait_cap_ns = 1000000,
                                           .stall_ns = 1000000000,
                                           .sync_bytes = 500000,
                                           .room_bytes = 50000,
                                           .unknown_limit = 5000000};
    mmgr__queue_tune(bench->queue, &tuning);
}

static void good_files(void **state)
{
    (void)state;
    struct bench bench;
    mmgr_download *jobs[6];
    open_real(&bench);
    set_fault(NULL);
    for (int i = 0; i < 6; i++) {
        char name[16];
        snprintf(name, sizeof name, "file%d", i);
        struct mmgr_download_options o = {.source = url("MMGR_TEST_HUB", "/files/big.bin"),
                                          .destination = bench_path(&bench, name)};
        jobs[i] = bench_submit(&bench, &o);
    }
    for (int i = 0; i < 6; i++) {
        char name[16];
        snprintf(name, sizeof name, "file%d", i);
        assert_int_equal(bench_end(&bench, jobs[i]), MMGR_DOWNLOAD_COMPLETED);
        assert_true(bench_equals(bench_path(&bench, name), big, big_size));
        mmgr_download_unref(jobs[i]);
    }
    char *log = control("GET", "/_log", "");
    assert_int_equal(count_in(log, "/files/big.bin"), 6);
    assert_int_equal(count_in(log, "gzip"), 0);
    assert_true(count_in(log, "identity") >= 6);
    free(log);
    bench_close(&bench);
}

/* Redirect to the second origin: followed, and the token stays behind. */
static void token_stays(void **state)
{
    (void)state;
    struct bench bench;
    open_real(&bench);
    for (int with_token = 0; with_token <= 1; with_token++) {
        set_fault(NULL);
        struct mmgr_download_options o = {
            .source = url("MMGR_TEST_HUB", "/org/private/resolve/main/weights.safetensors"),
            .token = with_token ? "hf_reader" : NULL};
        mmgr_download *job = bench_submit(&bench, &o);
        if (with_token) {
            assert_int_equal(bench_end(&bench, job), MMGR_DOWNLOAD_COMPLETED);
            assert_true(
                bench_equals(bench_path(&bench, "model.safetensors"), weights, weights_size));
            char *log = control("GET", "/_log", "");
            assert_int_equal(count_in(log, "\"has_authorization\":true"), 1);
            assert_int_equal(count_in(log, "\"has_authorization\":false"), 1);
            free(log);
        } else {
            bench_expect_error(&bench, job, MMGR_ERR_NOT_AUTHORIZED, "401");
        }
        mmgr_download_unref(job);
    }
    bench_close(&bench);
}

struct wire_fault {
    const char *json;
    enum mmgr_result want;
};

/* Misbehaviour that only a real connection can show. */
static void wire_faults(void **state)
{
    (void)state;
    static const struct wire_fault faults[] = {
        {"{\"kind\":\"truncate\",\"bytes\":100000,\"times\":2}", MMGR_OK},
        {"{\"kind\":\"reset\",\"bytes\":1000000,\"times\":1}", MMGR_OK},
        {"{\"kind\":\"disconnect\",\"times\":2}", MMGR_OK},
        {"{\"kind\":\"disconnect\"}", MMGR_ERR_NETWORK},
        {"{\"kind\":\"stall\",\"bytes\":200000,\"seconds\":20,\"times\":1}", MMGR_OK},
        {"{\"kind\":\"raw\",\"text\":\"garbage, not HTTP\\r\\n\\r\\n\"}", MMGR_ERR_PROTOCOL},
        {"{\"kind\":\"raw\",\"text\":\"HTTP/1.1 100 Continue\\r\\n\\r\\n\",\"repeat\":20000}",
         MMGR_ERR_PROTOCOL},
        {"{\"kind\":\"content-length\",\"value\":\"-5\"}", MMGR_ERR_PROTOCOL},
        {"{\"kind\":\"content-length\",\"value\":\"99999999999999999999999\"}", MMGR_ERR_PROTOCOL},
        {"{\"kind\":\"gzip\"}", MMGR_ERR_PROTOCOL},
        {"{\"kind\":\"gzip\",\"zeros\":50000000}", MMGR_ERR_PROTOCOL},
        {"{\"kind\":\"endless\"}", MMGR_ERR_TOO_LARGE},
        {"{\"kind\":\"chunked\"}", MMGR_OK},
        {"{\"kind\":\"chunked\",\"bytes\":400000,\"times\":1}", MMGR_OK},
        {"{\"kind\":\"chunked\",\"bytes\":400000,\"bad\":true}", MMGR_OK},
        {"{\"kind\":\"ignore-range\"}", MMGR_OK},
        {"{\"kind\":\"status\",\"status\":503,\"retry_after\":\"1\",\"times\":1}", MMGR_OK},
        {"{\"kind\":\"status\",\"status\":429,\"ratelimit_t\":100,\"times\":2}", MMGR_OK},
        {"{\"kind\":\"redirect\",\"location\":\"file:///etc/passwd\"}", MMGR_ERR_REFUSED_ADDRESS},
        {"{\"kind\":\"redirect\",\"location\":\"ftp://127.0.0.1/x\"}", MMGR_ERR_REFUSED_ADDRESS},
        {"{\"kind\":\"redirect\",\"loop\":true}", MMGR_ERR_PROTOCOL},
        {"{\"kind\":\"lfs-pointer\"}", MMGR_ERR_PROTOCOL},
        {"{\"kind\":\"html\"}", MMGR_ERR_NOT_AUTHORIZED},
    };
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        struct bench bench;
        open_real(&bench);
        set_fault(faults[i].json);
        struct mmgr_download_options o = {.source = url("MMGR_TEST_HUB", "/files/big.bin")};
        mmgr_download *job = bench_submit(&bench, &o);
        bench_end(&bench, job);
        if (bench_code(job) != faults[i].want)
            print_message("fault %s: %s\n", faults[i].json,
                          mmgr_error_message(mmgr_download_error(job)));
        assert_string_equal(mmgr_result_name(bench_code(job)), mmgr_result_name(faults[i].want));
        if (faults[i].want == MMGR_OK)
            assert_true(bench_equals(bench_path(&bench, "model.safetensors"), big, big_size));
        else
            assert_int_equal(bench_hidden(bench.folder), 0);
        mmgr_download_unref(job);
        bench_close(&bench);
    }
    set_fault(NULL);
}

/* Pause in the middle of a slow body, go on with a range. */
static void pause_and_resume(void **state)
{
    (void)state;
    struct bench bench;
    open_real(&bench);
    set_fault("{\"kind\":\"slow\",\"rate\":1000000,\"times\":1}");
    struct mmgr_download_options o = {.source = url("MMGR_TEST_HUB", "/files/big.bin")};
    mmgr_download *job = bench_submit(&bench, &o);
    while (mmgr_download_number(job, MMGR_DOWNLOAD_NUMBER_BYTES) < 500000)
        usleep(1000);
    assert_int_equal(mmgr_queue_pause(bench.queue, 1), MMGR_OK);
    assert_int_equal(mmgr_queue_join(bench.queue, -1), MMGR_OK);
    assert_int_equal(mmgr_download_status(job), MMGR_DOWNLOAD_PAUSED);
    assert_int_equal(mmgr_queue_start(bench.queue, 1), MMGR_OK);
    assert_int_equal(bench_end(&bench, job), MMGR_DOWNLOAD_COMPLETED);
    assert_true(mmgr_download_number(job, MMGR_DOWNLOAD_NUMBER_RESUMED_FROM) >= 500000);
    assert_true(bench_equals(bench_path(&bench, "model.safetensors"), big, big_size));
    char *log = control("GET", "/_log", "");
    assert_int_equal(count_in(log, "\"status\":206"), 1);
    free(log);
    mmgr_download_unref(job);
    bench_close(&bench);
}

/* The transport alone, with a sink that only notes. */
struct note {
    pthread_mutex_t lock;
    pthread_cond_t change;
    int status, ended, stop_at_head;
    size_t bytes;
    char peer[64];
    enum mmgr_result result;
};

static void note_head(void *user, const mmgr_response *response, int *stop)
{
    struct note *note = user;
    pthread_mutex_lock(&note->lock);
    note->status = response->status;
    snprintf(note->peer, sizeof note->peer, "%s", response->peer != NULL ? response->peer : "");
    *stop = note->stop_at_head;
    pthread_cond_broadcast(&note->change);
    pthread_mutex_unlock(&note->lock);
}

static void note_body(void *user, const void *data, size_t bytes, int *stop)
{
    struct note *note = user;
    (void)data, (void)stop;
    pthread_mutex_lock(&note->lock);
    note->bytes += bytes;
    pthread_cond_broadcast(&note->change);
    pthread_mutex_unlock(&note->lock);
}

static void note_end(void *user, enum mmgr_result result, const char *message)
{
    struct note *note = user;
    (void)message;
    pthread_mutex_lock(&note->lock);
    note->result = result;
    note->ended++;
    pthread_cond_broadcast(&note->change);
    pthread_mutex_unlock(&note->lock);
}

static void *begin(struct mmgr__curl *curl, struct note *note, uint32_t flags, const char *where,
                   uint64_t most)
{
    void *transfer = NULL;
    memset(note, 0, sizeof *note);
    pthread_mutex_init(&note->lock, NULL);
    pthread_cond_init(&note->change, NULL);
    mmgr_request request = {
        .struct_size = sizeof request, .flags = flags, .url = where, .max_body = most};
    mmgr_sink sink = {.struct_size = sizeof sink,
                      .head = note_head,
                      .body = note_body,
                      .end = note_end,
                      .user = note};
    assert_int_equal(mmgr__curl_ops()->start(curl, &request, &sink, &transfer), MMGR_OK);
    return transfer;
}

static void finish(struct mmgr__curl *curl, struct note *note, void *transfer)
{
    pthread_mutex_lock(&note->lock);
    while (!note->ended)
        pthread_cond_wait(&note->change, &note->lock);
    pthread_mutex_unlock(&note->lock);
    mmgr__curl_ops()->release(curl, transfer);
    assert_int_equal(note->ended, 1);
}

static void address_guard(void **state)
{
    (void)state;
    struct mmgr__curl *curl = NULL;
    struct note note;
    const char *where = url("MMGR_TEST_HUB", "/files/small.bin");
    assert_int_equal(mmgr__curl_new(NULL, &curl), MMGR_OK);
    set_fault(NULL);
    finish(curl, &note, begin(curl, &note, 0, where, UINT64_MAX));
    assert_int_equal(note.result, MMGR_ERR_REFUSED_ADDRESS);
    assert_int_equal(note.status, 0);
    char *log = control("GET", "/_log", "");
    assert_int_equal(count_in(log, "small.bin"), 0); /* nothing was sent */
    free(log);
    finish(curl, &note, begin(curl, &note, MMGR_REQUEST_ALLOW_PRIVATE, where, UINT64_MAX));
    assert_int_equal(note.result, MMGR_OK);
    assert_int_equal(note.status, 200);
    assert_int_equal(note.bytes, small_size);
    assert_string_equal(note.peer, "127.0.0.1");
    /* The open connection is there to be used again; the guard holds there too. */
    finish(curl, &note, begin(curl, &note, 0, where, UINT64_MAX));
    assert_int_equal(note.result, MMGR_ERR_REFUSED_ADDRESS);
    log = control("GET", "/_log", "");
    assert_int_equal(count_in(log, "small.bin"), 1);
    free(log);
    mmgr__curl_free(curl);
}

static void transport_contract(void **state)
{
    (void)state;
    struct mmgr__curl *curl = NULL;
    struct note note;
    const char *where = url("MMGR_TEST_HUB", "/files/big.bin");
    assert_int_equal(mmgr__curl_new(NULL, &curl), MMGR_OK);
    set_fault(NULL);
    finish(curl, &note, begin(curl, &note, MMGR_REQUEST_ALLOW_PRIVATE, where, 100000));
    assert_int_equal(note.result, MMGR_ERR_TOO_LARGE);
    assert_true(note.bytes <= 100000);
    finish(curl, &note,
           begin(curl, &note, MMGR_REQUEST_ALLOW_PRIVATE | MMGR_REQUEST_HEAD, where, UINT64_MAX));
    assert_int_equal(note.result, MMGR_OK);
    assert_int_equal(note.bytes, 0);
    set_fault("{\"kind\":\"slow\",\"rate\":100000}");
    void *transfer = begin(curl, &note, MMGR_REQUEST_ALLOW_PRIVATE, where, UINT64_MAX);
    mmgr__curl_ops()->cancel(curl, transfer);
    finish(curl, &note, transfer);
    assert_int_equal(note.result, MMGR_ERR_CANCELLED);
    set_fault(NULL);
    transfer = begin(curl, &note, MMGR_REQUEST_ALLOW_PRIVATE, where, UINT64_MAX);
    mmgr__curl_ops()->pause(curl, transfer, 1);
    mmgr__curl_ops()->pause(curl, transfer, 0);
    finish(curl, &note, transfer);
    assert_int_equal(note.result, MMGR_OK);
    assert_int_equal(note.bytes, big_size);
    /* What still runs when the transport goes is ended first. */
    set_fault("{\"kind\":\"slow\",\"rate\":1000}");
    transfer = begin(curl, &note, MMGR_REQUEST_ALLOW_PRIVATE, where, UINT64_MAX);
    mmgr__curl_free(curl);
    assert_int_equal(note.ended, 1);
    assert_int_equal(note.result, MMGR_ERR_CANCELLED);
    mmgr__curl_ops()->release(NULL, transfer);
    set_fault(NULL);
}

int main(void)
{
    if (getenv("MMGR_TEST_HUB") == NULL) {
        fprintf(stderr, "run this by run_with_hub.py\n");
        return 99;
    }
    big = read_all("big.bin", &big_size);
    small = read_all("small.bin", &small_size);
    weights = read_all("weights.safetensors", &weights_size);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_files),    cmocka_unit_test(token_stays),
        cmocka_unit_test(wire_faults),   cmocka_unit_test(pause_and_resume),
        cmocka_unit_test(address_guard), cmocka_unit_test(transport_contract),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(big);
    free(small);
    free(weights);
    return failed;
}
