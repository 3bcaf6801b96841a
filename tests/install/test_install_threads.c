/* SPDX-License-Identifier: MIT */
/* Several threads submit, pause, resume, cancel and watch installs of one manager; for the thread
 * sanitizer, and for the promise of exactly one terminal event a job. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#include "small_model.h"

#define THREADS 4
#define ROUNDS  6

static mmgr_manager *manager;
static char folder[1024];
static atomic_int ends[THREADS * ROUNDS * 2 + 2];

static void on_event(const mmgr_event *event, enum mmgr_decision *decision, void *user)
{
    uint64_t job = mmgr_event_job(event);
    enum mmgr_event_type type = mmgr_event_type(event);
    if (type == MMGR_EVENT_INSTALL_COMPLETED || type == MMGR_EVENT_INSTALL_ERROR ||
        type == MMGR_EVENT_INSTALL_CANCELLED)
        atomic_fetch_add(&ends[job], 1);
    if (type == MMGR_EVENT_INSTALL_RUNNING && job % 5 == 0)
        mmgr_installer_cancel(mmgr_manager_installer(manager), job);
}

static void *work(void *argument)
{
    mmgr_installer *installer = mmgr_manager_installer(manager);
    int self = (int)(intptr_t)argument - 1;
    for (int round = 0; round < ROUNDS; round++) {
        char path[1100];
        snprintf(path, sizeof path, "%s/m%d.safetensors", folder, self * ROUNDS + round);
        struct mmgr_install_options options = {.struct_size = sizeof options, .source = path};
        mmgr_install *job = NULL, *same = NULL;
        mmgr_install_list *list = NULL;
        if (mmgr_installer_submit(installer, &options, &job) != MMGR_OK)
            return argument;
        uint64_t id = mmgr_install_id(job);
        mmgr_installer_pause(installer, id);
        if (round % 3 == 0)
            mmgr_installer_cancel(installer, id);
        mmgr_installer_submit(installer, &options, &same);
        mmgr_installer_list(installer, NULL, &list);
        for (uint32_t i = 0; i < mmgr_install_list_count(list); i++) {
            char *key = NULL;
            mmgr_install_text(mmgr_install_list_at(list, i), MMGR_INSTALL_TEXT_KEY, &key);
            mmgr_install_error(mmgr_install_list_at(list, i));
            mmgr_string_free(key);
        }
        mmgr_install_list_free(list);
        do
            mmgr_installer_resume(installer, id);
        while (mmgr_installer_wait(installer, id, INT64_C(20000000)) != MMGR_OK);
        mmgr_install_unref(same);
        mmgr_install_unref(job);
    }
    return NULL;
}

static void test_many_hands(void **state)
{
    pthread_t threads[THREADS];
    uint64_t subscription;
    for (int i = 0; i < THREADS * ROUNDS; i++) {
        char name[32];
        snprintf(name, sizeof name, "m%d.safetensors", i);
        small_model(name, (unsigned char)i);
    }
    snprintf(folder, sizeof folder, "%s", temp_dir);
    manager = small_manager();
    assert_non_null(manager);
    assert_int_equal(mmgr_bus_subscribe(mmgr_manager_bus(manager), MMGR_EVENTS_INSTALL, on_event,
                                        NULL, NULL, &subscription),
                     MMGR_OK);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, (void *)(intptr_t)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    mmgr_installer *installer = mmgr_manager_installer(manager);
    mmgr_install_list *list = NULL;
    mmgr_installer_list(installer, NULL, &list);
    for (uint32_t i = 0; i < mmgr_install_list_count(list); i++) {
        uint64_t id = mmgr_install_id(mmgr_install_list_at(list, i));
        do
            mmgr_installer_resume(installer, id);
        while (mmgr_installer_wait(installer, id, INT64_C(20000000)) != MMGR_OK);
    }
    uint32_t jobs = mmgr_install_list_count(list), completed = 0;
    for (uint32_t i = 0; i < jobs; i++)
        completed += mmgr_install_status(mmgr_install_list_at(list, i)) == MMGR_INSTALL_COMPLETED;
    mmgr_record_list *records = NULL;
    assert_int_equal(mmgr_store_search(mmgr_manager_store(manager), NULL, &records), MMGR_OK);
    assert_int_equal(mmgr_record_list_count(records), completed);
    assert_true(completed > 0);
    mmgr_record_list_free(records);
    assert_int_equal(mmgr_bus_unsubscribe(mmgr_manager_bus(manager), subscription), MMGR_OK);
    assert_int_equal(mmgr_manager_close(manager), MMGR_OK);
    /* jobs outlive their manager */
    for (uint32_t i = 0; i < jobs; i++) {
        assert_true(mmgr_install_is_terminal(mmgr_install_list_at(list, i)));
        assert_true(atomic_load(&ends[mmgr_install_id(mmgr_install_list_at(list, i))]) <= 1);
    }
    mmgr_install_list_free(list);
}

/* The manager is closed while all of it is under way. */
static void test_close_in_the_middle(void **state)
{
    for (int round = 0; round < 5; round++) {
        manager = small_manager();
        assert_non_null(manager);
        for (int i = 0; i < 6; i++) {
            char name[64];
            snprintf(name, sizeof name, "c%d-%d.safetensors", round, i);
            small_model(name, (unsigned char)i);
            struct mmgr_install_options options = {.struct_size = sizeof options,
                                                   .source = temp_path(name)};
            assert_int_equal(mmgr_installer_submit(mmgr_manager_installer(manager), &options, NULL),
                             MMGR_OK);
        }
        if (round % 2)
            mmgr_installer_wait_all(mmgr_manager_installer(manager), INT64_C(10000000));
        assert_int_equal(mmgr_manager_close(manager), MMGR_OK);
    }
    manager = small_manager();
    mmgr_install_list *list = NULL;
    mmgr_installer_list(mmgr_manager_installer(manager), NULL, &list);
    for (uint32_t i = 0; i < mmgr_install_list_count(list); i++) {
        mmgr_install *job = mmgr_install_list_at(list, i);
        assert_int_equal(mmgr_install_status(job), MMGR_INSTALL_PAUSED);
        assert_int_equal(
            mmgr_installer_resume(mmgr_manager_installer(manager), mmgr_install_id(job)), MMGR_OK);
        mmgr_installer_wait(mmgr_manager_installer(manager), mmgr_install_id(job), -1);
        assert_int_equal(mmgr_install_status(job), MMGR_INSTALL_COMPLETED);
    }
    mmgr_install_list_free(list);
    assert_int_equal(mmgr_manager_close(manager), MMGR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_many_hands, temp_setup, temp_teardown),
        cmocka_unit_test_setup_teardown(test_close_in_the_middle, temp_setup, temp_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
