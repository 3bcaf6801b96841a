/* SPDX-License-Identifier: MIT */
/* load: brings a model into memory and says how long each step took. */
#include "cli.h"

static double seconds_since(int64_t start)
{
    return (double)(cli_now() - start) / 1e9;
}

/* Loads and locks once; the first time fills the report in, each time adds to its runs. */
static int load_once(struct cli *cli, mmgr_load_service *service, const mmgr_record *record,
                     json_t *report)
{
    struct mmgr_load_options options = {sizeof options};
    json_t *runs = json_object_get(report, "runs");
    const mmgr_tensor_set *set = NULL;
    mmgr_loaded *loaded;
    double load, lock;
    int64_t start = cli_now();

    options.submodel = cli_value(cli, OPT_SUBMODEL);
    if (mmgr_load_service_load(service, record, &options, &loaded) != MMGR_OK) {
        return cli_fail_last(cli);
    }
    load = seconds_since(start);
    start = cli_now();
    if (mmgr_loaded_lock(loaded, &set) != MMGR_OK) {
        int status = cli_fail_last(cli);

        mmgr_loaded_unref(loaded);
        return status;
    }
    lock = seconds_since(start);
    if (json_array_size(runs) == 0) {
        json_t *seconds = json_object_get(report, "seconds");

        json_object_set_new(report, "tensors", cli_json_size(mmgr_tensor_set_count(set)));
        if (set != NULL) {
            const char *device = mmgr_device_name(mmgr_tensor_set_device(set));

            json_object_set_new(report, "bytes", cli_json_size(mmgr_tensor_set_bytes(set)));
            json_object_set_new(report, "device", cli_json_text(device));
        }
        json_object_set_new(seconds, "load", json_real(load));
        json_object_set_new(seconds, "lock", json_real(lock));
    }
    json_array_append_new(runs, json_pack("{s:f, s:f}", "load", load, "lock", lock));
    mmgr_loaded_unlock(loaded);
    mmgr_loaded_unref(loaded);
    return 0;
}

static void print_report(const json_t *report)
{
    const json_t *seconds = json_object_get(report, "seconds");
    const json_t *run;
    char text[CLI_SIZE_TEXT];
    size_t i;

    cli_line("key", json_string_value(json_object_get(report, "key")));
    cli_line("submodel", json_string_value(json_object_get(report, "submodel")));
    cli_line("device", json_string_value(json_object_get(report, "device")));
    snprintf(text, sizeof text, "%lld",
             (long long)json_integer_value(json_object_get(report, "tensors")));
    cli_line("tensors", text);
    cli_line("size",
             cli_size(text, (uint64_t)json_integer_value(json_object_get(report, "bytes"))));
    printf("%-16s %.6f s\n", "open", json_real_value(json_object_get(seconds, "open")));
    json_array_foreach(json_object_get(report, "runs"), i, run) {
        printf("%-16s %.6f s\n", "load", json_real_value(json_object_get(run, "load")));
        printf("%-16s %.6f s\n", "lock", json_real_value(json_object_get(run, "lock")));
    }
}

static int load_all(struct cli *cli, mmgr_manager *manager, const mmgr_record *record,
                    uint64_t repeat, double open)
{
    json_t *report = json_pack("{s:s, s:o, s:n, s:n, s:n, s:{s:f}, s:[]}", "key",
                               mmgr_record_text(record, MMGR_FIELD_KEY), "submodel",
                               cli_json_text(cli_value(cli, OPT_SUBMODEL)), "tensors", "bytes",
                               "device", "seconds", "open", open, "runs");
    int status = 0;

    for (; repeat > 0 && status == 0; repeat--) {
        status = load_once(cli, mmgr_manager_loader(manager), record, report);
    }
    if (status == 0 && cli->json) {
        return cli_print_tree(cli, report);
    }
    if (status == 0) {
        print_report(report);
    }
    json_decref(report);
    return status;
}

int cli_load(struct cli *cli)
{
    int64_t start = cli_now();
    mmgr_manager *manager;
    mmgr_record *record;
    uint64_t repeat;
    int status = cli_number(cli, OPT_REPEAT, 1, &repeat);

    if (status == 0 && repeat == 0) {
        status = cli_fail_usage(cli, "--repeat wants a number of 1 or more");
    }
    if (status == 0) {
        status = cli_open_manager(cli, CLI_LOOK, &manager);
    }
    if (status != 0) {
        return status;
    }
    status = cli_find_record(cli, mmgr_manager_store(manager), cli->operands[0], &record);
    if (status == 0) {
        status = load_all(cli, manager, record, repeat, seconds_since(start));
        mmgr_record_unref(record);
    }
    mmgr_manager_close(manager);
    return status;
}
