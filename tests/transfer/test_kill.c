/* SPDX-License-Identifier: MIT */
/* A download that is killed at each step that changes the disk, and then goes on in a new process.
 * */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "bench.h"

static int kill_at, steps;

static int count_down(enum mmgr__io_op op, const char *name, void *user)
{
    (void)op, (void)name, (void)user;
    if (__atomic_add_fetch(&steps, 1, __ATOMIC_SEQ_CST) == kill_at)
        kill(getpid(), SIGKILL);
    return 0;
}

struct plan {
    const char *destination;
    const unsigned char *content;
    const char *sha256;
    int parts; /* > 0: a job of so many files */
    mmgr_parts *list;
};

/* In a process of its own: download, die at the given step. Returns the exit status, or -1 when
 * killed. */
static int download_in_child(const struct plan *plan, int at)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct fake fake;
        mmgr_queue *queue = NULL;
        mmgr_download *job = NULL;
        fake_init(&fake, plan->content, CONTENT_BYTES);
        fake.chunk_us = at > 0 ? 200 : 0;
        kill_at = at;
        struct mmgr_queue_options q = {sizeof q, .transport = &fake.ops, .transport_self = &fake};
        if (mmgr_queue_open(&q, &queue) != MMGR_OK)
            _exit(2);
        bench_tune(queue);
        struct mmgr__transfer_tuning fine = {.room_bytes = 1000, .sync_bytes = 4000};
        mmgr__queue_tune(queue, &fine);
        mmgr__io_set_hook(count_down, NULL);
        struct mmgr_download_options o = {sizeof o, .destination = plan->destination};
        if (plan->list != NULL) {
            o.parts = plan->list;
        } else {
            o.source = URL;
            o.sha256 = plan->sha256;
        }
        if (mmgr_queue_submit(queue, &o, &job) != MMGR_OK ||
            mmgr_queue_wait(queue, 1, -1) != MMGR_OK)
            _exit(3);
        int done = mmgr_download_status(job) == MMGR_DOWNLOAD_COMPLETED;
        if (!done)
            fprintf(stderr, "child: %s\n", mmgr_error_message(mmgr_download_error(job)));
        _exit(done ? 0 : 4);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? -1 : WEXITSTATUS(status);
}

static void one_file(void **state)
{
    (void)state;
    int killed = 0;
    for (int with_hash = 0; with_hash <= 1; with_hash++) {
        for (int at = 1;; at++) {
            struct bench bench;
            bench_open(&bench);
            bench_close_queue(&bench); /* no threads across the fork */
            const char *path = bench_path(&bench, "model.safetensors");
            struct plan plan = {.destination = path,
                                .content = bench.content,
                                .sha256 = with_hash ? bench.sha256 : NULL};
            int first = download_in_child(&plan, at);
            assert_true(first == 0 || first == -1);
            /* Whatever was left, the target is there whole or not at all. */
            if (bench_exists(path))
                assert_true(bench_equals(path, bench.content, CONTENT_BYTES));
            int placed = bench_exists(path);
            if (first == -1) {
                killed++;
                int second = download_in_child(&plan, 0);
                /* Without a hash nothing tells that the file in place is what is wanted. */
                assert_int_equal(second, placed && !with_hash ? 4 : 0);
            }
            assert_true(bench_equals(path, bench.content, CONTENT_BYTES));
            if (bench_hidden(bench.folder) != 0)
                print_message("left behind after a kill at step %d\n", at);
            assert_int_equal(bench_hidden(bench.folder), 0);
            bench_close(&bench);
            if (first == 0)
                break;
        }
    }
    print_message("%d kills survived\n", killed);
    assert_true(killed >= 50);
}

static void many_files(void **state)
{
    (void)state;
    int killed = 0;
    for (int at = 1;; at += 3) {
        struct bench bench;
        bench_open(&bench);
        bench_close_queue(&bench);
        struct plan plan = {.destination = bench_path(&bench, "model"), .content = bench.content};
        assert_int_equal(mmgr_parts_new(&plan.list), MMGR_OK);
        for (int i = 0; i < 3; i++) {
            char url[64], name[64];
            snprintf(url, sizeof url, "http://files.example/%d", i);
            snprintf(name, sizeof name, "folder%d/file%d", i / 2, i);
            assert_int_equal(
                mmgr_parts_add(plan.list, url, name, CONTENT_BYTES, bench.sha256, NULL), MMGR_OK);
        }
        int first = download_in_child(&plan, at);
        assert_true(first == 0 || first == -1);
        if (first == -1) {
            killed++;
            assert_int_equal(download_in_child(&plan, 0), 0);
        }
        for (int i = 0; i < 3; i++) {
            char name[64];
            snprintf(name, sizeof name, "model/folder%d/file%d", i / 2, i);
            assert_true(bench_equals(bench_path(&bench, name), bench.content, CONTENT_BYTES));
        }
        assert_int_equal(bench_hidden(bench_path(&bench, "model")), 0);
        assert_int_equal(bench_hidden(bench_path(&bench, "model/folder0")), 0);
        mmgr_parts_free(plan.list);
        bench_close(&bench);
        if (first == 0)
            break;
    }
    print_message("%d kills survived\n", killed);
    assert_true(killed >= 20);
}

static long journal_offset(const char *path)
{
    char text[4096] = "";
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t got = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[got] = '\0';
    const char *at = strstr(text, "\"offset\":\"");
    assert_non_null(at);
    return strtol(at + 10, NULL, 10);
}

/* The control: were the journal to claim bytes that never reached the disk, this would show. A
 * kill leaves a journal; the last bytes that it claims are wiped. Without a promised hash the
 * download must then go wrong (so the comparison above can fail), with one it must notice and
 * fetch the file again. */
static void planted_lie(void **state)
{
    (void)state;
    for (int with_hash = 0; with_hash <= 1; with_hash++) {
        struct bench bench;
        bench_open(&bench);
        bench_close_queue(&bench);
        const char *path = bench_path(&bench, "model.safetensors");
        const char *part = bench_path(&bench, ".model.safetensors.mmgr-part");
        const char *journal = bench_path(&bench, ".model.safetensors.mmgr-journal");
        struct plan plan = {.destination = path,
                            .content = bench.content,
                            .sha256 = with_hash ? bench.sha256 : NULL};
        int at = 10;
        do {
            unlink(part);
            unlink(journal);
            assert_int_equal(download_in_child(&plan, at++), -1);
        } while (!bench_exists(journal) || journal_offset(journal) < 16000);
        long claimed = journal_offset(journal);
        FILE *file = fopen(part, "r+b");
        assert_non_null(file);
        char zeros[1000] = {0};
        fseek(file, claimed - 1000, SEEK_SET);
        fwrite(zeros, 1, sizeof zeros, file);
        fclose(file);
        assert_int_equal(download_in_child(&plan, 0), 0);
        assert_int_equal(bench_equals(path, bench.content, CONTENT_BYTES), with_hash);
        bench_close(&bench);
    }
}

/* A journal that claims more than the file has is not believed. */
static void short_part(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    bench_close_queue(&bench);
    const char *path = bench_path(&bench, "model.safetensors");
    const char *part = bench_path(&bench, ".model.safetensors.mmgr-part");
    const char *journal = bench_path(&bench, ".model.safetensors.mmgr-journal");
    struct plan plan = {.destination = path, .content = bench.content};
    for (int at = 10; !bench_exists(journal) || journal_offset(journal) < 16000; at++) {
        unlink(part);
        unlink(journal);
        assert_int_equal(download_in_child(&plan, at), -1);
    }
    assert_int_equal(truncate(part, journal_offset(journal) - 1), 0);
    assert_int_equal(download_in_child(&plan, 0), 0);
    assert_true(bench_equals(path, bench.content, CONTENT_BYTES));
    static const char *const broken[] = {"",
                                         "{",
                                         "[]",
                                         "{\"version\":2,\"offset\":\"9\"}",
                                         "{\"version\":1,\"source\":\"x\",\"offset\":\"-9\"}",
                                         "{\"version\":1,\"source\":\"x\",\"offset\":9}"};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        unlink(path);
        bench_write(part, "old bytes", 9);
        bench_write(journal, broken[i], strlen(broken[i]));
        assert_int_equal(download_in_child(&plan, 0), 0);
        assert_true(bench_equals(path, bench.content, CONTENT_BYTES));
        assert_int_equal(bench_hidden(bench.folder), 0);
    }
    bench_close(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_file),
        cmocka_unit_test(many_files),
        cmocka_unit_test(planted_lie),
        cmocka_unit_test(short_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
