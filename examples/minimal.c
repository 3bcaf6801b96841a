/* SPDX-License-Identifier: MIT */
/* The smallest useful host: installs a model and loads its weights.
 *
 *   minimal SOURCE [SUBMODEL]      for instance: minimal org/name unet
 */
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
    (void)decision;
    (void)user;
    fprintf(stderr, "%s %" PRIu64 " of %" PRIu64 " bytes\n", mmgr_event_name(event),
            mmgr_event_bytes(event), mmgr_event_total_bytes(event));
}

static int load(mmgr_manager *manager, const mmgr_record *record, const char *submodel)
{
    struct mmgr_load_options options = {sizeof options};
    const mmgr_tensor_set *set;
    mmgr_loaded *loaded;
    uint64_t i;

    options.submodel = submodel;
    if (mmgr_load_service_load(mmgr_manager_loader(manager), record, &options, &loaded) != MMGR_OK) {
        return fail(mmgr_last_error());
    }
    // While it is locked, the model stays on the execution device.
    if (mmgr_loaded_lock(loaded, &set) == MMGR_OK) {
        for (i = 0; i < mmgr_tensor_set_count(set) && i < 5; i++) {
            const mmgr_tensor *tensor = mmgr_tensor_set_at(set, i);

            printf("%s %s, %" PRIu64 " bytes\n", mmgr_dtype_name(tensor->dtype), tensor->name,
                   tensor->bytes);
        }
        printf("%" PRIu64 " tensors in all\n", mmgr_tensor_set_count(set));
        mmgr_loaded_unlock(loaded);
    }
    mmgr_loaded_unref(loaded);
    return 0;
}

int main(int argc, char **argv)
{
    struct mmgr_install_options install = {sizeof install};
    mmgr_manager *manager;
    mmgr_record *record;
    mmgr_install *job;
    int status;

    install.source = argc > 1 ? argv[1] : "";
    if (mmgr_manager_open(NULL, &manager) != MMGR_OK) { // $MODELMGR_ROOT, or the default root
        return fail(mmgr_last_error());
    }
    mmgr_bus_subscribe(mmgr_manager_bus(manager), MMGR_EVENTS_INSTALL, on_event, NULL, NULL, NULL);
    if (mmgr_installer_submit(mmgr_manager_installer(manager), &install, &job) != MMGR_OK) {
        status = fail(mmgr_last_error());
    } else {
        mmgr_installer_wait_all(mmgr_manager_installer(manager), MMGR_WAIT_FOREVER);
        if (mmgr_install_record(job, &record) == MMGR_OK) {
            status = load(manager, record, argc > 2 ? argv[2] : NULL);
            mmgr_record_unref(record);
        } else {
            status = fail(mmgr_install_error(job));
        }
        mmgr_install_unref(job);
    }
    mmgr_manager_close(manager);
    return status;
}
