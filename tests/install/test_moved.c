/* SPDX-License-Identifier: MIT */
/* Pieces for models that were moved: the change of a record with its manifest, side-cars, the
 * finder of files, and every allocation failing in turn. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/record.h"
#include "install/finder.h"
#include "install/install.h"
#include "small_model.h"
#include "store/sidecar.h"
#include "store/store.h"

static int exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

/* A manager with one placed model; its record. */
static mmgr_manager *with_model(mmgr_record **record)
{
    mmgr_manager *manager = small_manager();
    assert_non_null(manager);
    small_model("m.safetensors", 1);
    char *path = strdup(temp_path("m.safetensors"));
    assert_int_equal(
        mmgr_installer_install_path(mmgr_manager_installer(manager), path, NULL, record), MMGR_OK);
    free(path);
    return manager;
}

/* --- changing a record with its manifest */

struct wish {
    const char *key, *path;
    uint64_t inode;
    int calls;
};

static enum mmgr_result fulfil(const mmgr_record *old, mmgr_record **changed, void *user)
{
    struct wish *wish = user;
    mmgr_record_builder *builder;
    struct mmgr__file file = old->files[0];
    wish->calls++;
    assert_int_equal(mmgr_record_builder_new(old, &builder), MMGR_OK);
    if (wish->key)
        assert_int_equal(mmgr_record_builder_set(builder, MMGR_FIELD_KEY, wish->key), MMGR_OK);
    assert_int_equal(mmgr_record_builder_set(builder, MMGR_FIELD_PATH, wish->path), MMGR_OK);
    mmgr__record_builder_clear_files(builder);
    file.inode = wish->inode;
    assert_int_equal(mmgr__record_builder_add_file(builder, &file), MMGR_OK);
    enum mmgr_result result = mmgr_record_builder_build(builder, changed);
    mmgr_record_builder_free(builder);
    return result;
}

static enum mmgr_result refuse(const mmgr_record *old, mmgr_record **changed, void *user)
{
    return mmgr__fail(MMGR_ERR_STATE, "no");
}

static void test_change(void **state)
{
    mmgr_record *record, *changed = NULL, *read;
    mmgr_manager *manager = with_model(&record);
    mmgr_store *store = mmgr_manager_store(manager);
    const char *key = mmgr_record_text(record, MMGR_FIELD_KEY);
    struct wish wish = {.path = "/else/where", .inode = UINT64_MAX};

    assert_int_equal(mmgr__store_change(store, key, fulfil, &wish, &changed), MMGR_OK);
    assert_int_equal(wish.calls, 1);
    assert_string_equal(mmgr_record_text(changed, MMGR_FIELD_PATH), "/else/where");
    assert_string_equal(mmgr_record_location(changed), "/else/where");
    assert_string_equal(mmgr_record_text(changed, MMGR_FIELD_CREATED_AT),
                        mmgr_record_text(record, MMGR_FIELD_CREATED_AT));
    assert_int_equal(mmgr_store_get(store, key, &read), MMGR_OK);
    assert_true(mmgr__record_same_files(changed, read));
    assert_false(mmgr__record_same_files(record, read));
    assert_true(read->files[0].inode == UINT64_MAX);
    assert_string_equal(read->files[0].sha256, record->files[0].sha256);

    /* refused, and nothing is different */
    wish.key = "another";
    wish.path = "/third";
    assert_int_equal(mmgr__store_change(store, key, fulfil, &wish, NULL), MMGR_ERR_INVALID_CONFIG);
    assert_int_equal(mmgr__store_change(store, key, refuse, NULL, NULL), MMGR_ERR_STATE);
    assert_int_equal(mmgr__store_change(store, "none", fulfil, &wish, NULL),
                     MMGR_ERR_UNKNOWN_MODEL);
    mmgr_record_unref(read);
    assert_int_equal(mmgr_store_get(store, key, &read), MMGR_OK);
    assert_string_equal(mmgr_record_text(read, MMGR_FIELD_PATH), "/else/where");
    mmgr_record_unref(read);
    mmgr_record_unref(changed);
    mmgr_record_unref(record);
    mmgr_manager_close(manager);
}

/* --- side-cars */

static void test_sidecar_round_trip(void **state)
{
    mmgr_record *record, *read = NULL;
    mmgr_manager *manager = with_model(&record);
    char *models = strdup(temp_path("root/models"));
    char *path;

    assert_int_equal(mmgr__sidecar_read(models, "sd-1/embedding/m", &read), MMGR_OK);
    assert_string_equal(mmgr_record_text(read, MMGR_FIELD_KEY),
                        mmgr_record_text(record, MMGR_FIELD_KEY));
    assert_string_equal(mmgr_record_location(read), mmgr_record_location(record));
    assert_int_equal(read->file_count, 1);
    assert_string_equal(read->files[0].path, "");
    assert_string_equal(read->files[0].sha256, record->files[0].sha256);
    assert_true(read->files[0].mtime_ns == record->files[0].mtime_ns);
    assert_true(read->files[0].device == 0 && read->files[0].inode == 0);
    mmgr_record_unref(read);
    assert_int_equal(mmgr__sidecar_read(models, "sd-1/embedding", &read), MMGR_ERR_PATH_NOT_FOUND);
    assert_int_equal(mmgr__sidecar_read(models, "../models", &read), MMGR_ERR_UNSAFE_PATH);

    path = mmgr__sidecar_find(models, mmgr_record_text(record, MMGR_FIELD_PATH), record);
    assert_string_equal(path, "sd-1/embedding/m/.modelmgr.json");
    mmgr__free(path);
    assert_null(mmgr__sidecar_find(models, "sd-1/embedding/other/x", record));
    /* A link on the way is not followed, on old kernels neither. */
    assert_int_equal(rename(temp_path("root/models/sd-1"), temp_path("away")), 0);
    assert_int_equal(symlink(temp_path("away"), temp_path("root/models/sd-1")), 0);
    for (int old_kernel = 0; old_kernel < 2; old_kernel++) {
        mmgr__io_force_fallback(old_kernel);
        assert_int_equal(mmgr__sidecar_read(models, "sd-1/embedding/m", &read),
                         MMGR_ERR_UNSAFE_PATH);
    }
    mmgr__io_force_fallback(0);
    free(models);
    mmgr_record_unref(record);
    mmgr_manager_close(manager);
}

/* --- the finder */

static void make_folder(const char *name)
{
    assert_int_equal(mkdir(temp_path(name), 0755), 0);
}

static void test_finder(void **state)
{
    struct mmgr__finder finder = {0};
    size_t count;
    make_folder("w");
    make_folder("w/a");
    make_folder("w/a-b");
    make_folder("w/a/.hidden");
    temp_write("w/a/one", "abc", 3);
    temp_write("w/a/two", "xyz", 3);
    temp_write("w/a-b/three", "12345", 5);
    temp_write("w/a/.hidden/four", "abc", 3);
    temp_write("w/a.txt", "", 0);
    assert_int_equal(symlink(temp_path("w/a/one"), temp_path("w/link")), 0);

    assert_int_equal(mmgr__finder_add(&finder, temp_path("none")), MMGR_ERR_PATH_NOT_FOUND);
    assert_int_equal(mmgr__finder_add(&finder, temp_path("w")), MMGR_OK);
    assert_int_equal(mmgr__finder_add(&finder, temp_path("w/a")), MMGR_OK);
    assert_int_equal(mmgr__finder_index(&finder), MMGR_OK);
    assert_int_equal(finder.count, 4); /* each once */
    assert_non_null(mmgr__finder_of_size(&finder, 3, &count));
    assert_int_equal(count, 2);
    assert_null(mmgr__finder_of_size(&finder, 4, &count));
    assert_null(mmgr__finder_at(&finder, temp_path("w/link")));
    assert_null(mmgr__finder_below(&finder, temp_path("w/b"), &count));
    struct mmgr__found *below = mmgr__finder_below(&finder, temp_path("w/a"), &count);
    assert_int_equal(count, 2); /* not those of a-b and a.txt */
    assert_string_equal(below[0].path, temp_path("w/a/one"));

    /* one reading for two hashes, and no second one */
    struct mmgr__found *one = mmgr__finder_at(&finder, temp_path("w/a/one"));
    assert_int_equal(mmgr__finder_hash(&finder, one, 1u << MMGR__SHA256 | 1u << MMGR__GIT_SHA1),
                     MMGR_OK);
    assert_string_equal(one->hash[MMGR__SHA256],
                        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_string_equal(one->hash[MMGR__GIT_SHA1], "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f");
    assert_string_equal(one->hash[MMGR__XXH3], "");
    assert_int_equal(mmgr__finder_hash(&finder, one, 1u << MMGR__XXH3), MMGR_OK);
    assert_true(finder.hashed_bytes == 3 && !*one->hash[MMGR__XXH3]);

    /* a link that came in the place of a file is not followed, another size not read */
    assert_int_equal(unlink(temp_path("w/a/two")), 0);
    assert_int_equal(symlink(temp_path("w/a/one"), temp_path("w/a/two")), 0);
    temp_write("w/a-b/three", "1234", 4);
    static const char *const changed[] = {"w/a/two", "w/a-b/three"};
    for (size_t i = 0; i < 2; i++) {
        struct mmgr__found *file = mmgr__finder_at(&finder, temp_path(changed[i]));
        assert_int_equal(mmgr__finder_hash(&finder, file, 1u << MMGR__SHA256), MMGR_OK);
        assert_string_equal(file->hash[MMGR__SHA256], "");
    }
    assert_true(finder.hashed_bytes == 3);
    mmgr__finder_free(&finder);
}

/* --- memory fails once, at each allocation in turn */

static void test_no_memory_for_relinking(void **state)
{
    mmgr_record *record;
    mmgr_manager *manager = with_model(&record);
    mmgr_installer *installer = mmgr_manager_installer(manager);
    make_folder("disk");
    assert_int_equal(rename(mmgr_record_location(record), temp_path("disk/m.safetensors")), 0);
    char *folder = strdup(temp_path("disk"));
    struct mmgr_relink_options options = {.struct_size = sizeof options,
                                          .flags = MMGR_RELINK_DRY_RUN,
                                          .folders = (const char *const *)&folder,
                                          .folder_count = 1};
    enum mmgr_result result = MMGR_ERR_NO_MEMORY;
    for (uint64_t number = 1; result != MMGR_OK; number++) {
        char *report = NULL;
        mmgr__alloc_fail_at(number, 0);
        result = mmgr_installer_relink(installer, &options, &report);
        mmgr__alloc_fail_at(0, 0);
        if (result == MMGR_OK) {
            assert_non_null(strstr(report, "\"to\""));
        } else {
            assert_int_equal(result, MMGR_ERR_NO_MEMORY);
            assert_null(report);
        }
        mmgr_string_free(report);
        assert_true(number < 100000);
    }
    /* and then for good: one of the tries goes through, or all of them fail alike */
    options.flags = 0;
    result = MMGR_ERR_NO_MEMORY;
    for (uint64_t number = 1; result != MMGR_OK; number += 3) {
        char *report = NULL;
        mmgr__alloc_fail_at(number, 0);
        result = mmgr_installer_relink(installer, &options, &report);
        mmgr__alloc_fail_at(0, 0);
        assert_true(result == MMGR_OK || result == MMGR_ERR_NO_MEMORY);
        mmgr_string_free(report);
    }
    mmgr_record *now;
    assert_int_equal(
        mmgr_store_get(mmgr_manager_store(manager), mmgr_record_text(record, MMGR_FIELD_KEY), &now),
        MMGR_OK);
    assert_true(mmgr__model_is_there(now));
    mmgr_record_unref(now);
    free(folder);
    mmgr_record_unref(record);
    mmgr_manager_close(manager);
}

static void test_no_memory_for_rebuilding(void **state)
{
    mmgr_record *record;
    mmgr_manager *manager = with_model(&record);
    const char *key = mmgr_record_text(record, MMGR_FIELD_KEY);
    enum mmgr_result result = MMGR_ERR_NO_MEMORY;
    assert_int_equal(mmgr_store_delete(mmgr_manager_store(manager), key), MMGR_OK);
    for (uint64_t number = 1; result != MMGR_OK; number++) {
        char *report = NULL;
        int there = 0;
        mmgr__alloc_fail_at(number, 0);
        result = mmgr_installer_rebuild(mmgr_manager_installer(manager), &report);
        mmgr__alloc_fail_at(0, 0);
        if (result != MMGR_OK) {
            assert_int_equal(result, MMGR_ERR_NO_MEMORY);
            assert_null(report);
        } else {
            assert_non_null(strstr(report, "\"skipped\":[]"));
        }
        mmgr_string_free(report);
        assert_int_equal(mmgr_store_exists(mmgr_manager_store(manager), key, &there), MMGR_OK);
        if (there && result != MMGR_OK) /* it came too far for the next try */
            assert_int_equal(mmgr_store_delete(mmgr_manager_store(manager), key), MMGR_OK);
        assert_true(number < 100000);
    }
    mmgr_record_unref(record);
    mmgr_manager_close(manager);
    assert_true(exists(temp_path("root/models/sd-1/embedding/m/.modelmgr.json")));
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, temp_setup, temp_teardown)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_change),
        IN_FOLDER(test_sidecar_round_trip),
        IN_FOLDER(test_finder),
        IN_FOLDER(test_no_memory_for_relinking),
        IN_FOLDER(test_no_memory_for_rebuilding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
