/* SPDX-License-Identifier: MIT */
/* install: the plan (--dry-run), or the whole way with progress, resumable when interrupted. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static void print_plan_for_people(const json_t *plan)
{
    const json_t *files = json_object_get(plan, "files");
    const json_t *file;
    char size[CLI_SIZE_TEXT];
    size_t i;

    cli_line("repository", json_string_value(json_object_get(plan, "repo")));
    cli_line("revision", json_string_value(json_object_get(plan, "revision")));
    cli_line("variant", json_string_value(json_object_get(plan, "variant")));
    cli_line("destination", json_string_value(json_object_get(plan, "destination")));
    cli_line("total",
             cli_size(size, (uint64_t)json_integer_value(json_object_get(plan, "total_bytes"))));
    json_array_foreach(files, i, file) {
        const json_t *bytes = json_object_get(file, "size");
        const char *action = json_string_value(json_object_get(file, "action"));
        const char *path = json_string_value(json_object_get(file, "path"));

        printf("  %-9s %10s  ", action != NULL ? action : "",
               json_is_integer(bytes) ? cli_size(size, (uint64_t)json_integer_value(bytes)) : "?");
        cli_put(stdout, path != NULL ? path : "");
        putchar('\n');
    }
    printf("Nothing has been written.\n");
}

static int dry_run(struct cli *cli, mmgr_manager *manager,
                   const struct mmgr_install_options *options)
{
    mmgr_plan *plan;
    char *json;
    int status = 0;

    if (mmgr_installer_plan(mmgr_manager_installer(manager), options, &plan) != MMGR_OK) {
        return cli_fail_last(cli);
    }
    if (mmgr_plan_to_json(plan, &json) != MMGR_OK) {
        mmgr_plan_free(plan);
        return cli_fail_last(cli);
    }
    if (cli->json) {
        status = cli_print_text(cli, json);
    } else {
        json_t *tree = json_loads(json, 0, NULL);

        print_plan_for_people(tree);
        json_decref(tree);
    }
    mmgr_string_free(json);
    mmgr_plan_free(plan);
    return status;
}

static int print_installed(struct cli *cli, const mmgr_install *job)
{
    mmgr_record *record;
    char *json;
    int status = 0;

    if (mmgr_install_record(job, &record) != MMGR_OK) {
        return cli_fail_last(cli);
    }
    if (cli->events) {
        // The last event has told it.
    } else if (cli->json) {
        if (mmgr_record_to_json(record, &json) != MMGR_OK) {
            status = cli_fail_last(cli);
        } else {
            status = cli_print_text(cli, json);
            mmgr_string_free(json);
        }
    } else {
        static const enum mmgr_field fields[] = {MMGR_FIELD_NAME, MMGR_FIELD_TYPE, MMGR_FIELD_BASE,
                                                 MMGR_FIELD_FORMAT};
        size_t i;

        printf("Installed %s\n", mmgr_record_text(record, MMGR_FIELD_KEY));
        for (i = 0; i < sizeof fields / sizeof fields[0]; i++) {
            cli_line(mmgr_field_name(fields[i]), mmgr_record_text(record, fields[i]));
        }
        cli_line("location", mmgr_record_location(record));
    }
    mmgr_record_unref(record);
    return status;
}

/* What became of the job. */
static int conclude(struct cli *cli, const mmgr_install *job, int signal)
{
    const mmgr_error *error = mmgr_install_error(job);

    switch (mmgr_install_status(job)) {
    case MMGR_INSTALL_COMPLETED:
        return print_installed(cli, job);
    case MMGR_INSTALL_CANCELLED:
        return cli_fail(cli, MMGR_ERR_CANCELLED, NULL, NULL, "the install was cancelled");
    case MMGR_INSTALL_ERROR:
        return cli_fail_error(cli, error);
    default:
        break;
    }
    if (signal != 0) {
        return cli_interrupted(cli, signal,
                               "interrupted; the same command again goes on where it stopped");
    }
    if (error != NULL) {
        int status = cli_fail_error(cli, error);

        cli_note(cli, "what came so far is kept; the same command again goes on where it stopped");
        return status;
    }
    return cli_fail(cli, MMGR_ERR_STATE, NULL, NULL, "the install stopped in state \"%s\"",
                    mmgr_install_status_name(mmgr_install_status(job)));
}

static int run_job(struct cli *cli, mmgr_manager *manager,
                   const struct mmgr_install_options *options)
{
    mmgr_installer *installer = mmgr_manager_installer(manager);
    struct cli_job follow = {.service = installer, .group = MMGR_EVENTS_INSTALL};
    mmgr_install *job;
    int status, signal;

    // Listening begins before the job does, so that no event is missed.
    if (mmgr_listener_open(mmgr_manager_bus(manager), MMGR_EVENTS_ALL, &follow.listener) !=
        MMGR_OK) {
        return cli_fail_last(cli);
    }
    if (mmgr_installer_submit(installer, options, &job) != MMGR_OK) {
        status = cli_fail_last(cli);
        mmgr_listener_close(follow.listener);
        return status;
    }
    follow.id = mmgr_install_id(job);
    if (mmgr_install_status(job) == MMGR_INSTALL_PAUSED) {
        mmgr_installer_resume(installer, follow.id); // one that was interrupted earlier
    }
    signal = cli_follow(cli, &follow);
    status = conclude(cli, job, signal);
    mmgr_listener_close(follow.listener);
    mmgr_install_unref(job);
    return status;
}

int cli_install(struct cli *cli)
{
    struct mmgr_install_options options = {sizeof options};
    const struct cli_values *set = &cli->options[OPT_SET];
    mmgr_manager *manager;
    char *overrides;
    int status = cli_token(cli, &options.token);

    if (status == 0 && cli_has(cli, OPT_INPLACE) && cli_has(cli, OPT_MOVE)) {
        status = cli_fail_usage(cli, "--inplace and --move exclude each other");
    }
    if (status == 0) {
        status = cli_assignments(cli, set->items, set->count, &overrides);
    }
    if (status != 0) {
        return status;
    }
    options.source = cli->operands[0];
    options.variant = cli_value(cli, OPT_VARIANT);
    options.revision = cli_value(cli, OPT_REVISION);
    options.name = cli_value(cli, OPT_NAME);
    options.overrides = overrides;
    options.flags = (cli_has(cli, OPT_INPLACE) ? MMGR_INSTALL_INPLACE : 0) |
                    (cli_has(cli, OPT_MOVE) ? MMGR_INSTALL_MOVE : 0) |
                    (cli_has(cli, OPT_ALLOW_UNKNOWN) ? MMGR_INSTALL_ALLOW_UNKNOWN : 0);
    status = cli_open_manager(cli, cli_has(cli, OPT_DRY_RUN) ? CLI_PLAN : CLI_WRITE, &manager);
    if (status == 0) {
        status = cli_has(cli, OPT_DRY_RUN) ? dry_run(cli, manager, &options)
                                           : run_job(cli, manager, &options);
        mmgr_manager_close(manager);
    }
    free(overrides);
    return status;
}
