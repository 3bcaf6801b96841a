/* SPDX-License-Identifier: MIT */
/* Many processes add to one store at once: nothing is lost, nothing fails. Arguments: the
 * extension of the store, processes, adds of each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"

static const char *extension = ".db";
static int processes = 8, adds = 25;

/* Opens the store itself: the first ones also race to create it. */
static int child_main(const char *path, int number)
{
    struct mmgr_store_options options = {.struct_size = sizeof options, .path = path};
    mmgr_store *store;
    int failures = 0;

    if (mmgr_store_open(&options, &store) != MMGR_OK) {
        fprintf(stderr, "open: %s\n", mmgr_error_message(mmgr_last_error()));
        return 1;
    }
    for (int i = 0; i < adds; i++) {
        char key[64];
        mmgr_record *record;

        snprintf(key, sizeof key, "p%d-%d", number, i);
        record = simple_record(key, "N", "sd-1", key, "\"tags\":[\"t\"]");
        if (mmgr_store_add(store, record, NULL) != MMGR_OK) {
            fprintf(stderr, "%s: %s\n", key, mmgr_error_message(mmgr_last_error()));
            failures++;
        }
        mmgr_record_unref(record);
    }
    return failures > 0 || mmgr_store_close(store) != MMGR_OK;
}

static void all_add_at_once(void **state)
{
    char name[32];
    const char *path = (snprintf(name, sizeof name, "store%s", extension), in_folder(name));
    struct mmgr_search_options options = {.struct_size = sizeof options, .limit = 1};
    mmgr_record_list *list = NULL;
    mmgr_store *store;
    int gate[2], status, failures = 0;
    char go;

    assert_int_equal(pipe(gate), 0);
    for (int i = 0; i < processes; i++) {
        pid_t child = fork();

        assert_true(child >= 0);
        if (child == 0) {
            close(gate[1]);
            (void)!read(gate[0], &go, 1); /* ends when the parent opens the gate */
            _exit(child_main(path, i));
        }
    }
    close(gate[0]);
    close(gate[1]);
    for (int i = 0; i < processes; i++) {
        assert_true(wait(&status) > 0);
        failures += status != 0;
    }
    assert_int_equal(failures, 0);
    store = open_store(path);
    assert_ok(mmgr_store_search(store, &options, &list));
    assert_int_equal(mmgr_record_list_total(list), processes * adds);
    mmgr_record_list_free(list);
    assert_ok(mmgr_store_close(store));
}

/* Only one of all processes may record a path. */
static void one_path_for_all(void **state)
{
    char name[32];
    const char *path = (snprintf(name, sizeof name, "store%s", extension), in_folder(name));
    int status, winners = 0;

    for (int i = 0; i < processes; i++) {
        pid_t child = fork();

        assert_true(child >= 0);
        if (child == 0) {
            mmgr_store *store = open_store(path);
            char key[64];
            mmgr_record *record;
            enum mmgr_result result;

            snprintf(key, sizeof key, "p%d", i);
            record = simple_record(key, "N", "sd-1", "the-path", "");
            result = mmgr_store_add(store, record, NULL);
            mmgr_record_unref(record);
            mmgr_store_close(store);
            _exit(result == MMGR_OK ? 0 : result == MMGR_ERR_DUPLICATE_MODEL ? 1 : 2);
        }
    }
    for (int i = 0; i < processes; i++) {
        assert_true(wait(&status) > 0);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
        winners += WEXITSTATUS(status) == 0;
    }
    assert_int_equal(winners, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {TEST(all_add_at_once), TEST(one_path_for_all)};

    if (argc == 4) {
        extension = argv[1];
        processes = atoi(argv[2]);
        adds = atoi(argv[3]);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
