/* SPDX-License-Identifier: MIT */
/* The smallest useful host: minimal SOURCE [SUBMODEL] installs a model and loads its weights. */
#include <inttypes.h>
#include <modelmgr/modelmgr.h>
#include <stdio.h>

static int fail(const mmgr_error *error)
{
    fprintf(stderr, "minimal: %s: %s\n", mmgr_result_name(mmgr_error_code(error)),
            mmgr_error_message(error));
    return mmgr_result_exit_code(mmgr_error_code(error));
}

/* Called by the library's dispatcher thread; the event is lent for the call. */
static void on_event(const mmgr_event *event, enum mmgr_decision *decision, void *user)
{
    fprintf(stderr, "%s: %" PRIu64 " of %" PRIu64 " bytes\n", mmgr_event_name(event),
            mmgr_event_bytes(event), mmgr_event_total_bytes(event));
}

static int load(mmgr_load_service *service, const mmgr_record *record, const char *submodel)
{
    struct mmgr_load_options options = {sizeof options, .submodel = submodel};
    const mmgr_tensor_set *set;
    mmgr_loaded *loaded;
    int status = 0;

    if (mmgr_load_service_load(service, record, &options, &loaded) != MMGR_OK) {
        return fail(mmgr_last_error());
    }
    // While it is locked, the model stays on the execution device.
    if (mmgr_loaded_lock(loaded, &set) == MMGR_OK) {
        for (uint64_t i = 0; i < mmgr_tensor_set_count(set) && i < 5; i++) {
            const mmgr_tensor *tensor = mmgr_tensor_set_at(set, i);

            printf("%s %s, %" PRIu64 " bytes\n", mmgr_dtype_name(tensor->dtype), tensor->name,
                   tensor->bytes);
        }
        printf("%" PRIu64 " tensors in all\n", mmgr_tensor_set_count(set));
        mmgr_loaded_unlock(loaded);
    } else {
        status = fail(mmgr_last_error());
    }
    mmgr_loaded_unref(loaded);
    return status;
}

int main(int argc, char **argv)
{
    struct mmgr_install_options install = {sizeof install, .source = argc > 1 ? argv[1] : ""};
    mmgr_manager *manager;
    mmgr_record *record;
    mmgr_install *job;
    int status;

    if (mmgr_manager_open(NULL, &manager) != MMGR_OK) { // $MODELMGR_ROOT, or the default root
        return fail(mmgr_last_error());
    }
    mmgr_bus_subscribe(mmgr_manager_bus(manager), MMGR_EVENTS_INSTALL, on_event, NULL, NULL, NULL);
    if (mmgr_installer_submit(mmgr_manager_installer(manager), &install, &job) != MMGR_OK) {
        status = fail(mmgr_last_error());
    } else {
        mmgr_installer_wait_all(mmgr_manager_installer(manager), MMGR_WAIT_FOREVER);
        if (mmgr_install_record(job, &record) == MMGR_OK) {
            status = load(mmgr_manager_loader(manager), record, argc > 2 ? argv[2] : NULL);
            mmgr_record_unref(record);
        } else {
            status = fail(mmgr_install_error(job));
        }
        mmgr_install_unref(job);
    }
    mmgr_manager_close(manager);
    return status;
}
