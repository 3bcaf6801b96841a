/* SPDX-License-Identifier: MIT */
/* Jobs of several files, and local sources. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "bench.h"

#define FILES 6

static const char *const paths[FILES] = {"model_index.json",   "unet/config.json",
                                         "unet/a.safetensors", "vae/deep/er/b.safetensors",
                                         "text/c.bin",         "d.bin"};

/* Each file has bytes of its own: the common content from another offset. */
static size_t size_of(int index)
{
    return 3000u + 5000u * (size_t)index;
}

static const unsigned char *bytes_of(const struct bench *bench, int index)
{
    return bench->content + 100 * index;
}

static int broken_file = -1;

static void file_script(struct fake *fake, const struct fake_request *request,
                        struct fake_reply *reply)
{
    const char *number = strrchr(request->url, '/') + 1;
    int index = number[0] - '0';
    struct fake one = {
        .content = fake->content + 100 * index, .size = size_of(index), .etag = fake->etag};
    fake_serve(&one, request, reply);
    if (index == broken_file) {
        reply->status = 404;
        reply->length = 0;
    }
}

static mmgr_parts *make_parts(struct bench *bench, int with_hash)
{
    mmgr_parts *parts = NULL;
    assert_int_equal(mmgr_parts_new(&parts), MMGR_OK);
    for (int i = 0; i < FILES; i++) {
        char url[64], hex[65];
        snprintf(url, sizeof url, "http://files.example/%d", i);
        bench_sha256(bytes_of(bench, i), size_of(i), hex);
        assert_int_equal(mmgr_parts_add(parts, url, paths[i], with_hash ? size_of(i) : UINT64_MAX,
                                        with_hash ? hex : NULL, NULL),
                         MMGR_OK);
    }
    return parts;
}

static void assert_files(const struct bench *bench, const char *folder)
{
    for (int i = 0; i < FILES; i++) {
        char name[128];
        snprintf(name, sizeof name, "%s/%s", folder, paths[i]);
        assert_true(bench_equals(bench_path(bench, name), bytes_of(bench, i), size_of(i)));
    }
}

static uint64_t last_parts, last_bytes;

static void watch(const mmgr_event *event, void *user)
{
    (void)user;
    uint64_t sum = 0;
    last_parts = mmgr_event_part_count(event);
    for (uint32_t i = 0; i < last_parts; i++) {
        const char *path = NULL;
        uint64_t bytes = 0, total = 0;
        assert_int_equal(mmgr_event_part(event, i, &path, &bytes, &total), MMGR_OK);
        assert_string_equal(path, paths[i]);
        assert_true(total == 0 || bytes <= total);
        sum += bytes;
    }
    assert_int_equal(sum, mmgr_event_bytes(event));
    last_bytes = sum;
}

static void many_files(void **state)
{
    (void)state;
    for (int with_hash = 0; with_hash <= 1; with_hash++) {
        struct bench bench;
        struct recorder recorder;
        bench_open(&bench);
        recorder_init(&recorder);
        recorder.call = watch;
        bench.fake.script = file_script;
        mmgr_parts *parts = make_parts(&bench, with_hash);
        struct mmgr_download_options o = {.parts = parts,
                                          .destination = bench_path(&bench, "new/model"),
                                          .handler = recorder_handler,
                                          .handler_user = &recorder};
        mmgr_download *job = bench_submit(&bench, &o);
        mmgr_parts_free(parts);
        assert_int_equal(bench_end(&bench, job), MMGR_DOWNLOAD_COMPLETED);
        assert_files(&bench, "new/model");
        size_t total = 0;
        for (int i = 0; i < FILES; i++) {
            char hex[65];
            total += size_of(i);
            bench_sha256(bytes_of(&bench, i), size_of(i), hex);
            assert_string_equal(mmgr_download_part_sha256(job, (uint32_t)i), hex);
        }
        assert_int_equal(mmgr_download_number(job, MMGR_DOWNLOAD_NUMBER_BYTES), total);
        assert_int_equal(mmgr_download_number(job, MMGR_DOWNLOAD_NUMBER_TOTAL), total);
        assert_int_equal(mmgr_download_number(job, MMGR_DOWNLOAD_NUMBER_PARTS), FILES);
        assert_true(bench.fake.most_running <= 5);
        assert_int_equal(bench_hidden(bench_path(&bench, "new/model")), 0);
        bench_close_queue(&bench);
        assert_string_equal(recorder.order, "ERC");
        assert_int_equal(last_parts, FILES);
        assert_int_equal(last_bytes, total);
        mmgr_download_unref(job);
        bench_close(&bench);
    }
}

static void bad_parts(void **state)
{
    (void)state;
    static const char *const unsafe[] = {"../x", "/etc/x", "a/../../b", "a\\b",
                                         "",     ".",      "a//b",      "a/"};
    mmgr_parts *parts = NULL;
    assert_int_equal(mmgr_parts_new(&parts), MMGR_OK);
    for (size_t i = 0; i < sizeof unsafe / sizeof unsafe[0]; i++)
        assert_int_equal(mmgr_parts_add(parts, URL, unsafe[i], 1, NULL, NULL),
                         MMGR_ERR_UNSAFE_PATH);
    assert_int_equal(mmgr_parts_add(parts, URL, "a/b", 1, NULL, NULL), MMGR_OK);
    assert_int_equal(mmgr_parts_add(parts, URL, "a/b", 1, NULL, NULL), MMGR_ERR_ARGUMENT);
    assert_int_equal(mmgr_parts_add(parts, URL, "a", 1, NULL, NULL), MMGR_ERR_ARGUMENT);
    assert_int_equal(mmgr_parts_add(parts, URL, "a/b/c", 1, NULL, NULL), MMGR_ERR_ARGUMENT);
    assert_int_equal(mmgr_parts_add(parts, URL, "ab", 1, NULL, NULL), MMGR_OK);
    assert_int_equal(mmgr_parts_add(parts, URL, "c", 1, "xyz", NULL), MMGR_ERR_ARGUMENT);
    assert_int_equal(mmgr_parts_add(parts, URL, "c", 1, NULL, "12"), MMGR_ERR_ARGUMENT);
    mmgr_parts_free(parts);
    mmgr_parts_free(NULL);
}

/* One part fails: the job fails once, and with PRESERVE_PARTIAL a second job fetches only what is
 * missing. */
static void failing_part(void **state)
{
    (void)state;
    struct bench bench;
    struct recorder recorder;
    struct mmgr_queue_options one = {sizeof one, .max_parallel = 1};
    bench_open_with(&bench, &one);
    recorder_init(&recorder);
    bench.fake.script = file_script;
    broken_file = 3;
    mmgr_parts *parts = make_parts(&bench, 0);
    struct mmgr_download_options o = {.parts = parts,
                                      .destination = bench_path(&bench, "model"),
                                      .flags = MMGR_DOWNLOAD_PRESERVE_PARTIAL,
                                      .handler = recorder_handler,
                                      .handler_user = &recorder};
    mmgr_download *job = bench_submit(&bench, &o);
    bench_expect_error(&bench, job, MMGR_ERR_ENTRY_NOT_FOUND, "files.example/3");
    mmgr_download_unref(job);
    assert_int_equal(bench.fake.requests, 4);
    bench_close_queue(&bench);
    assert_int_equal(recorder.terminal, 1);
    struct mmgr_queue_options q = {sizeof q, .transport = &bench.fake.ops,
                                   .transport_self = &bench.fake};
    assert_int_equal(mmgr_queue_open(&q, &bench.queue), MMGR_OK);
    broken_file = -1;
    o.handler = NULL;
    job = bench_submit(&bench, &o);
    assert_int_equal(bench_end(&bench, job), MMGR_DOWNLOAD_COMPLETED);
    assert_int_equal(bench.fake.requests, 4 + 3); /* three files were finished and noted */
    assert_files(&bench, "model");
    assert_int_equal(bench_hidden(bench_path(&bench, "model")), 0);
    mmgr_download_unref(job);
    mmgr_parts_free(parts);
    bench_close(&bench);
}

/* A noted file that was changed since is not believed. */
static void changed_after_note(void **state)
{
    (void)state;
    struct bench bench;
    struct mmgr_queue_options one = {sizeof one, .max_parallel = 1};
    bench_open_with(&bench, &one);
    bench.fake.script = file_script;
    broken_file = 5;
    mmgr_parts *parts = make_parts(&bench, 1);
    struct mmgr_download_options o = {.parts = parts,
                                      .destination = bench_path(&bench, "model"),
                                      .flags = MMGR_DOWNLOAD_PRESERVE_PARTIAL};
    mmgr_download *job = bench_submit(&bench, &o);
    bench_expect_error(&bench, job, MMGR_ERR_ENTRY_NOT_FOUND, NULL);
    mmgr_download_unref(job);
    broken_file = -1;
    unsigned char *other = calloc(1, size_of(0));
    bench_write(bench_path(&bench, "model/model_index.json"), other, size_of(0));
    free(other);
    job = bench_submit(&bench, &o);
    bench_expect_error(&bench, job, MMGR_ERR_EXISTS, "other content");
    mmgr_download_unref(job);
    o.flags |= MMGR_DOWNLOAD_OVERWRITE;
    job = bench_submit(&bench, &o);
    assert_int_equal(bench_end(&bench, job), MMGR_DOWNLOAD_COMPLETED);
    assert_files(&bench, "model");
    mmgr_download_unref(job);
    mmgr_parts_free(parts);
    bench_close(&bench);
}

/* The parts together are more than the disk holds, though none is alone: refused before the first
 * request. */
static void no_room_for_all(void **state)
{
    (void)state;
    struct bench bench;
    mmgr_parts *parts = NULL;
    struct statvfs fs;
    bench_open(&bench);
    assert_int_equal(statvfs(bench.folder, &fs), 0);
    uint64_t most = (uint64_t)fs.f_bavail * fs.f_frsize / 4 * 3;
    assert_int_equal(mmgr_parts_new(&parts), MMGR_OK);
    assert_int_equal(mmgr_parts_add(parts, URL, "a", most, NULL, NULL), MMGR_OK);
    assert_int_equal(mmgr_parts_add(parts, URL, "b", most, NULL, NULL), MMGR_OK);
    struct mmgr_download_options o = {.parts = parts, .destination = bench_path(&bench, "model")};
    mmgr_download *job = bench_submit(&bench, &o);
    bench_expect_error(&bench, job, MMGR_ERR_NO_SPACE, "more bytes");
    assert_int_equal(bench.fake.requests, 0);
    mmgr_download_unref(job);
    mmgr_parts_free(parts);
    bench_close(&bench);
}

/* A part never goes through a symbolic link that leads out of the destination. */
static void links_in_destination(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    bench.fake.script = file_script;
    assert_int_equal(mkdir(bench_path(&bench, "model"), 0755), 0);
    assert_int_equal(mkdir(bench_path(&bench, "outside"), 0755), 0);
    assert_int_equal(symlink("../outside", bench_path(&bench, "model/vae")), 0);
    mmgr_parts *parts = make_parts(&bench, 1);
    struct mmgr_download_options o = {.parts = parts, .destination = bench_path(&bench, "model")};
    mmgr_download *job = bench_submit(&bench, &o);
    bench_expect_error(&bench, job, MMGR_ERR_UNSAFE_PATH, "vae");
    assert_false(bench_exists(bench_path(&bench, "outside/deep")));
    mmgr_download_unref(job);
    mmgr_parts_free(parts);
    bench_close(&bench);
}

static void pause_many(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    bench.fake.script = file_script;
    bench.fake.hold_at = 2000;
    mmgr_parts *parts = make_parts(&bench, 1);
    struct mmgr_download_options o = {.parts = parts, .destination = bench_path(&bench, "model")};
    mmgr_download *job = bench_submit(&bench, &o);
    mmgr_parts_free(parts);
    fake_wait_held(&bench.fake, 5);
    assert_int_equal(mmgr_queue_pause(bench.queue, 1), MMGR_OK);
    assert_int_equal(mmgr_queue_join(bench.queue, -1), MMGR_OK);
    assert_int_equal(mmgr_download_status(job), MMGR_DOWNLOAD_PAUSED);
    fake_open_gate(&bench.fake);
    assert_int_equal(mmgr_queue_start(bench.queue, 1), MMGR_OK);
    assert_int_equal(bench_end(&bench, job), MMGR_DOWNLOAD_COMPLETED);
    assert_files(&bench, "model");
    assert_int_equal(bench_hidden(bench_path(&bench, "model")), 0);
    mmgr_download_unref(job);
    bench_close(&bench);
}

static void make_source(struct bench *bench)
{
    assert_int_equal(mkdir(bench_path(bench, "source"), 0755), 0);
    assert_int_equal(mkdir(bench_path(bench, "source/sub"), 0755), 0);
    bench_write(bench_path(bench, "source/one.bin"), bench->content, 10000);
    bench_write(bench_path(bench, "source/sub/two.bin"), bench->content + 1, 40000);
    bench_write(bench_path(bench, "source/sub/empty"), "", 0);
}

/* Copy and move, file and folder. */
static void local_sources(void **state)
{
    (void)state;
    for (int move = 0; move <= 1; move++) {
        struct bench bench;
        struct recorder recorder;
        bench_open(&bench);
        recorder_init(&recorder);
        make_source(&bench);
        struct mmgr_download_options o = {.source = bench_path(&bench, "source"),
                                          .destination = bench_path(&bench, "target"),
                                          .flags = move ? MMGR_DOWNLOAD_MOVE : 0,
                                          .handler = recorder_handler,
                                          .handler_user = &recorder};
        mmgr_download *job = bench_submit(&bench, &o);
        assert_int_equal(bench_end(&bench, job), MMGR_DOWNLOAD_COMPLETED);
        assert_true(bench_equals(bench_path(&bench, "target/one.bin"), bench.content, 10000));
        assert_true(
            bench_equals(bench_path(&bench, "target/sub/two.bin"), bench.content + 1, 40000));
        assert_true(bench_equals(bench_path(&bench, "target/sub/empty"), "", 0));
        assert_int_equal(bench_hidden(bench_path(&bench, "target")), 0);
        assert_int_equal(bench_hidden(bench_path(&bench, "target/sub")), 0);
        assert_int_equal(bench_exists(bench_path(&bench, "source")), !move);
        assert_int_equal(mmgr_download_number(job, MMGR_DOWNLOAD_NUMBER_BYTES), 50000);
        mmgr_download_unref(job);
        o.source = bench_path(&bench, "target/one.bin");
        o.destination = bench_path(&bench, "file.bin");
        o.handler = NULL;
        job = bench_submit(&bench, &o);
        assert_int_equal(bench_end(&bench, job), MMGR_DOWNLOAD_COMPLETED);
        assert_true(bench_equals(bench_path(&bench, "file.bin"), bench.content, 10000));
        assert_int_equal(bench_exists(bench_path(&bench, "target/one.bin")), !move);
        assert_int_equal(bench.fake.requests, 0);
        bench_close_queue(&bench);
        assert_string_equal(recorder.order, "ERC");
        mmgr_download_unref(job);
        bench_close(&bench);
    }
}

static void local_hash_mismatch(void **state)
{
    (void)state;
    for (int move = 0; move <= 1; move++) {
        struct bench bench;
        bench_open(&bench);
        bench_write(bench_path(&bench, "source.bin"), bench.content, 1000);
        struct mmgr_download_options o = {.source = bench_path(&bench, "source.bin"),
                                          .destination = bench_path(&bench, "target.bin"),
                                          .flags = move ? MMGR_DOWNLOAD_MOVE : 0,
                                          .sha256 = bench.sha256};
        mmgr_download *job = bench_submit(&bench, &o);
        bench_expect_error(&bench, job, MMGR_ERR_HASH_MISMATCH, bench.sha256);
        assert_true(bench_exists(bench_path(&bench, "source.bin")));
        assert_false(bench_exists(bench_path(&bench, "target.bin")));
        assert_int_equal(bench_hidden(bench.folder), 0);
        mmgr_download_unref(job);
        bench_close(&bench);
    }
}

/* A link to a file is copied as the file; a link to a folder is refused; into an existing folder
 * the copy goes under its own name. */
static void local_links(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    make_source(&bench);
    assert_int_equal(mkdir(bench_path(&bench, "target"), 0755), 0);
    bench_write(bench_path(&bench, "blob"), bench.content, 777);
    assert_int_equal(symlink("../blob", bench_path(&bench, "source/linked.bin")), 0);
    struct mmgr_download_options o = {.source = bench_path(&bench, "source"),
                                      .destination = bench_path(&bench, "target")};
    mmgr_download *job = bench_submit(&bench, &o);
    assert_int_equal(bench_end(&bench, job), MMGR_DOWNLOAD_COMPLETED);
    assert_true(bench_equals(bench_path(&bench, "target/source/linked.bin"), bench.content, 777));
    mmgr_download_unref(job);
    assert_int_equal(symlink("..", bench_path(&bench, "source/up")), 0);
    o.struct_size = sizeof o;
    job = NULL;
    assert_int_equal(mmgr_queue_submit(bench.queue, &o, &job), MMGR_ERR_UNSAFE_PATH);
    assert_null(job);
    bench_close(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_files),          cmocka_unit_test(bad_parts),
        cmocka_unit_test(failing_part),        cmocka_unit_test(changed_after_note),
        cmocka_unit_test(no_room_for_all),     cmocka_unit_test(links_in_destination),
        cmocka_unit_test(pause_many),          cmocka_unit_test(local_sources),
        cmocka_unit_test(local_hash_mismatch), cmocka_unit_test(local_links),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
