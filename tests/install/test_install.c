/* SPDX-License-Identifier: MIT */
/* Pieces of the installer: plans of local models, the journal's round trip, staging folders and
 * their locks, folders that are removed, and every allocation failing in turn. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/json.h"
#include "install/install.h"
#include "small_model.h"

static int exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static void make_folder(const char *name)
{
    assert_int_equal(mkdir(temp_path(name), 0755), 0);
}

static struct mmgr_install_options local(const char *path)
{
    return (struct mmgr_install_options){.struct_size = sizeof(struct mmgr_install_options),
                                         .source = path};
}

static void test_plan_of_a_file(void **state)
{
    mmgr_manager *manager = small_manager();
    mmgr_plan *plan = NULL;
    char *json = NULL;
    small_model("thing.v1.safetensors", 1);
    struct mmgr_install_options options = local(temp_path("thing.v1.safetensors"));
    assert_int_equal(mmgr_installer_plan(mmgr_manager_installer(manager), &options, &plan),
                     MMGR_OK);
    assert_int_equal(plan->count, 1);
    assert_true(plan->single);
    assert_string_equal(plan->name, "thing.v1");
    assert_string_equal(plan->files[0].relative, "thing.v1.safetensors");
    assert_true(plan->files[0].mtime_ns > 0);
    assert_int_equal(mmgr_plan_total_bytes(plan), plan->files[0].size);
    assert_int_equal(mmgr_plan_to_json(plan, &json), MMGR_OK);
    assert_non_null(strstr(json, "\"action\":\"copy\""));
    assert_non_null(strstr(json, "/models/sd-1/embedding/thing.v1\""));
    mmgr_string_free(json);
    mmgr_plan_free(plan);
    assert_false(exists(temp_path("root/models/sd-1")));
    mmgr_manager_close(manager);
}

static void test_walk(void **state)
{
    struct mmgr__walk walk;
    make_folder("w");
    make_folder("w/b");
    temp_write("w/b/two", "22", 2);
    temp_write("w/a", "1", 1);
    temp_write("w/.hidden", "x", 1);
    temp_write("outside", "333", 3);
    make_folder("elsewhere");
    temp_write("elsewhere/not_mine", "x", 1);
    assert_int_equal(symlink(temp_path("outside"), temp_path("w/linked")), 0);
    assert_int_equal(symlink(temp_path("elsewhere"), temp_path("w/folder")), 0);
    assert_int_equal(symlink("/none/at/all", temp_path("w/dangling")), 0);
    assert_int_equal(mkfifo(temp_path("w/pipe"), 0600), 0);
    assert_int_equal(mmgr__walk(temp_path("w"), &walk), MMGR_OK);
    assert_int_equal(walk.count, 3);
    assert_string_equal(walk.items[0].relative, "a");
    assert_string_equal(walk.items[1].relative, "b/two");
    assert_string_equal(walk.items[2].relative, "linked");
    assert_int_equal(walk.items[2].size, 3);
    mmgr__walk_free(&walk);
    assert_int_equal(mmgr__walk(temp_path("w/pipe"), &walk), MMGR_ERR_INVALID_FILE);
    assert_int_equal(mmgr__walk(temp_path("none"), &walk), MMGR_ERR_PATH_NOT_FOUND);
}

static void test_remove_tree_follows_no_link(void **state)
{
    make_folder("keep");
    temp_write("keep/file", "x", 1);
    make_folder("go");
    make_folder("go/deep");
    temp_write("go/deep/file", "x", 1);
    assert_int_equal(symlink(temp_path("keep"), temp_path("go/link")), 0);
    assert_int_equal(mmgr__remove_tree(temp_path("go")), 0);
    assert_false(exists(temp_path("go")));
    assert_true(exists(temp_path("keep/file")));
    assert_int_equal(symlink(temp_path("keep"), temp_path("go")), 0);
    assert_int_equal(mmgr__remove_tree(temp_path("go")), 0);
    assert_true(exists(temp_path("keep/file")));
    assert_int_equal(mmgr__remove_tree(temp_path("go")), 0); /* there is none */
}

static void test_remove_hidden(void **state)
{
    make_folder("keep");
    temp_write("keep/.file", "x", 1);
    make_folder("go");
    make_folder("go/deep");
    make_folder("go/.gone");
    temp_write("go/.gone/file", "x", 1);
    temp_write("go/deep/.part", "x", 1);
    temp_write("go/deep/file", "x", 1);
    assert_int_equal(symlink(temp_path("keep"), temp_path("go/link")), 0);
    assert_int_equal(symlink(temp_path("keep"), temp_path("go/.link")), 0);
    assert_int_equal(mmgr__remove_hidden(temp_path("go")), 0);
    assert_false(exists(temp_path("go/.gone")) || exists(temp_path("go/.link")));
    assert_false(exists(temp_path("go/deep/.part")));
    assert_true(exists(temp_path("go/deep/file")) && exists(temp_path("keep/.file")));
}

static mmgr_plan *full_plan(void)
{
    mmgr_plan *plan = mmgr__alloc0(1, sizeof *plan);
    plan->source = mmgr__strdup("acme/pipe");
    plan->name = mmgr__strdup("n\xc3\xa4me \"quoted\"");
    plan->repo = mmgr__strdup("acme/pipe");
    plan->revision = mmgr__strdup("c0ffee");
    plan->variant = mmgr__strdup("fp16");
    plan->identity = mmgr__strdup("repo\nacme/pipe\nc0ffee\nfp16\n");
    plan->staging_id = mmgr__strdup("0123");
    plan->key = mmgr__strdup("k");
    plan->overrides = mmgr__strdup("{\"type\":\"lora\"}");
    plan->source_type = "hf_repo_id";
    plan->flags = MMGR_INSTALL_ALLOW_UNKNOWN;
    plan->named = plan->key_given = 1;
    assert_int_equal(mmgr__plan_add_file(plan, "a/b", "b", "http://h/b", UINT64_MAX, NULL, "abc"),
                     0);
    assert_int_equal(mmgr__plan_add_file(plan, NULL, "c", "/c", INT64_C(12) << 30, "def", NULL), 0);
    plan->files[1].mtime_ns = INT64_C(1700000000123456789);
    return plan;
}

static void test_journal_round_trip(void **state)
{
    mmgr_plan *plan = full_plan(), *back = NULL;
    struct mmgr_installer installer = {.staging_dir = (char *)temp_path("staging")};
    struct mmgr__staging staging, second;
    json_t *journal = mmgr__journal_of_plan(plan, MMGR__STATE_FETCHING), *read = NULL;
    assert_int_equal(mmgr__staging_open(&installer, "0123", 0, &staging), MMGR_ERR_PATH_NOT_FOUND);
    assert_int_equal(mmgr__staging_open(&installer, "0123", 1, &staging), MMGR_OK);
    assert_false(exists(staging.files));
    assert_int_equal(mmgr__staging_open(&installer, "0123", 1, &second), MMGR_ERR_BUSY);
    assert_int_equal(mmgr__install_journal_read(&staging, &read), MMGR_OK);
    assert_null(read);
    assert_int_equal(mmgr__install_journal_write(&staging, journal), MMGR_OK);
    assert_int_equal(mmgr__install_journal_read(&staging, &read), MMGR_OK);
    assert_true(json_equal(journal, read));
    assert_int_equal(mmgr__plan_of_journal(read, &back), MMGR_OK);
    assert_string_equal(back->name, plan->name);
    assert_string_equal(back->overrides, plan->overrides);
    assert_string_equal(back->source_type, "hf_repo_id");
    assert_int_equal(back->flags, plan->flags);
    assert_true(back->named && back->key_given && !back->single && !back->url_name);
    assert_null(back->local);
    assert_int_equal(back->count, 2);
    assert_true(back->files[0].size == UINT64_MAX && back->files[1].size == UINT64_C(12) << 30);
    assert_int_equal(back->files[1].mtime_ns, plan->files[1].mtime_ns);
    assert_string_equal(back->files[0].git_sha1, "abc");
    assert_int_equal(back->total, UINT64_C(12) << 30);
    assert_int_equal(mmgr__staging_drop(&staging), MMGR_OK);
    assert_false(exists(temp_path("staging/0123")));
    json_decref(read);
    json_decref(journal);
    mmgr_plan_free(back);
    mmgr_plan_free(plan);
}

/* A journal is input like any other: what leads outside, or lacks something, is refused. */
static void test_bad_journals(void **state)
{
    static const struct {
        const char *text;
        enum mmgr_result code;
    } rows[] = {
        {"", MMGR_ERR_INVALID_FILE},
        {"[]", MMGR_ERR_INVALID_FILE},
        {"{\"version\":2,\"state\":\"fetching\",\"key\":\"k\"}", MMGR_ERR_INVALID_FILE},
        {"{\"version\":1,\"key\":\"k\"}", MMGR_ERR_INVALID_FILE},
        {"{\"version\":1,\"state\":\"fetching\",\"key\":\"k\"}", MMGR_ERR_INVALID_FILE},
        {"{\"version\":1,\"state\":\"fetching\",\"key\":\"k\",\"source\":\"s\",\"identity\":\"i\","
         "\"name\":\"n\",\"files\":[{\"relative\":\"../x\",\"from\":\"f\"}]}",
         MMGR_ERR_UNSAFE_PATH},
        {"{\"version\":1,\"state\":\"fetching\",\"key\":\"k\",\"source\":\"s\",\"identity\":\"i\","
         "\"name\":\"n\",\"files\":[{\"from\":\"f\"}]}",
         MMGR_ERR_INVALID_FILE},
    };
    struct mmgr_installer installer = {.staging_dir = (char *)temp_path("staging")};
    struct mmgr__staging staging;
    assert_int_equal(mmgr__staging_open(&installer, "bad", 1, &staging), MMGR_OK);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_t *journal = NULL;
        mmgr_plan *plan = NULL;
        temp_write("staging/bad/journal.json", rows[i].text, strlen(rows[i].text));
        enum mmgr_result result = mmgr__install_journal_read(&staging, &journal);
        if (result == MMGR_OK)
            result = mmgr__plan_of_journal(journal, &plan);
        assert_int_equal(result, rows[i].code);
        assert_null(plan);
        json_decref(journal);
    }
    mmgr__staging_close(&staging);
    /* and an open says so in the log, and goes on */
    make_folder("root");
    make_folder("root/models");
    make_folder("root/models/.staging");
    make_folder("root/models/.staging/bad");
    temp_write("root/models/.staging/bad/journal.json", "{}", 2);
    mmgr_manager *manager = small_manager();
    assert_non_null(manager);
    mmgr_manager_close(manager);
    assert_true(exists(temp_path("root/models/.staging/bad/journal.json")));
}

static void test_names_of_files(void **state)
{
    static const char *const rows[][2] = {{"a.safetensors", "a"},
                                          {"v1.5", "v1.5"},
                                          {".safetensors", ".safetensors"},
                                          {"x.GGUF", "x"},
                                          {"a.fp16.bin", "a.fp16"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *name = mmgr__plan_stem(rows[i][0]);
        assert_string_equal(name, rows[i][1]);
        mmgr__free(name);
    }
}

static void test_no_memory_for_journals(void **state)
{
    mmgr_plan *plan = full_plan();
    int done = 0;
    for (uint64_t number = 1; !done; number++) {
        mmgr_plan *back = NULL;
        uint64_t live = mmgr__alloc_live();
        mmgr__alloc_fail_at(number, 0);
        json_t *journal = mmgr__journal_of_plan(plan, MMGR__STATE_FETCHING);
        enum mmgr_result result =
            journal ? mmgr__plan_of_journal(journal, &back) : MMGR_ERR_NO_MEMORY;
        mmgr__alloc_fail_at(0, 0);
        if (result != MMGR_OK) {
            assert_int_equal(result, MMGR_ERR_NO_MEMORY);
            assert_null(back);
        }
        done = result == MMGR_OK;
        mmgr_plan_free(back);
        json_decref(journal);
        assert_true(mmgr__alloc_live() == live);
    }
    mmgr_plan_free(plan);
}

static void test_no_memory_for_plans(void **state)
{
    mmgr_manager *manager = small_manager();
    small_model("m.safetensors", 2);
    struct mmgr_install_options options = local(temp_path("m.safetensors"));
    char *path = strdup(options.source);
    options.source = path;
    enum mmgr_result result = MMGR_ERR_NO_MEMORY;
    for (uint64_t number = 1; result != MMGR_OK; number++) {
        mmgr_plan *plan = NULL;
        mmgr__alloc_fail_at(number, 0);
        result = mmgr_installer_plan(mmgr_manager_installer(manager), &options, &plan);
        mmgr__alloc_fail_at(0, 0);
        if (result != MMGR_OK) {
            assert_int_equal(result, MMGR_ERR_NO_MEMORY);
            assert_null(plan);
        }
        mmgr_plan_free(plan);
        assert_true(number < 100000);
    }
    free(path);
    mmgr_manager_close(manager);
}

/* Memory fails once, somewhere in a whole install: it ends in one way or the other, and can be
 * repeated. */
static void test_no_memory_for_installs(void **state)
{
    mmgr_manager *manager = small_manager();
    mmgr_installer *installer = mmgr_manager_installer(manager);
    small_model("m.safetensors", 3);
    char *path = strdup(temp_path("m.safetensors"));
    for (uint64_t number = 1, failed = 1; failed && number < 4000; number += 7) {
        mmgr_record *record = NULL;
        mmgr__alloc_fail_at(number, 0);
        enum mmgr_result result = mmgr_installer_install_path(installer, path, NULL, &record);
        mmgr__alloc_fail_at(0, 0);
        failed = result != MMGR_OK;
        if (failed && result != MMGR_ERR_DUPLICATE_MODEL)
            assert_int_equal(result, MMGR_ERR_NO_MEMORY);
        mmgr_record_list *list = NULL;
        assert_int_equal(mmgr_store_search(mmgr_manager_store(manager), NULL, &list), MMGR_OK);
        assert_true(mmgr_record_list_count(list) <= 1);
        failed = failed && mmgr_record_list_count(list) == 0;
        mmgr_record_list_free(list);
        mmgr_record_unref(record);
    }
    free(path);
    mmgr_manager_close(manager);
    assert_true(exists(temp_path("root/models/sd-1/embedding/m/m.safetensors")));
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, temp_setup, temp_teardown)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_plan_of_a_file),
        IN_FOLDER(test_walk),
        IN_FOLDER(test_remove_tree_follows_no_link),
        IN_FOLDER(test_remove_hidden),
        IN_FOLDER(test_journal_round_trip),
        IN_FOLDER(test_bad_journals),
        cmocka_unit_test(test_names_of_files),
        cmocka_unit_test(test_no_memory_for_journals),
        IN_FOLDER(test_no_memory_for_plans),
        IN_FOLDER(test_no_memory_for_installs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
