/* SPDX-License-Identifier: MIT */
/* sync, relink, relocate: the commands on records and where their files are. */
#include <stdlib.h>

#include "cli.h"

static void print_paths(const char *label, const json_t *items)
{
    const json_t *item;
    size_t i;

    json_array_foreach(items, i, item)
    {
        cli_line(label,
                 json_string_value(json_is_object(item) ? json_object_get(item, "path") : item));
    }
}

/* One line for each thing that was passed over, with the reason. */
static void print_reasons(const char *label, const json_t *items)
{
    const json_t *item;
    size_t i;

    json_array_foreach(items, i, item)
    {
        printf("%-16s ", label);
        cli_put(stdout, json_string_value(json_object_get(item, "path")));
        printf(" (%s)\n", json_string_value(json_object_get(item, "reason")));
    }
}

static size_t count_of(const json_t *tree, const char *name)
{
    return json_array_size(json_object_get(tree, name));
}

static void print_sync(const json_t *tree)
{
    print_paths("added", json_object_get(tree, "added"));
    print_reasons("skipped", json_object_get(tree, "skipped"));
    print_paths("missing", json_object_get(tree, "missing"));
    print_paths("orphan", json_object_get(tree, "orphans"));
    printf("%zu missing, %zu orphan(s)\n", count_of(tree, "missing"), count_of(tree, "orphans"));
}

static void print_relink(const json_t *tree)
{
    const json_t *item, *relinked = json_object_get(tree, "relinked");
    size_t i;

    json_array_foreach(relinked, i, item)
    {
        cli_line("relinked", json_string_value(json_object_get(item, "from")));
        cli_line("  to", json_string_value(json_object_get(item, "to")));
    }
    print_reasons("unresolved", json_object_get(tree, "unresolved"));
    printf("%zu %s, %zu unresolved\n", count_of(tree, "relinked"),
           json_is_true(json_object_get(tree, "dry_run")) ? "would be relinked" : "relinked",
           count_of(tree, "unresolved"));
}

/* Print and free a report of the library. */
static int print_report(struct cli *cli, char *report, void (*print)(const json_t *tree))
{
    int status = 0;

    if (cli->json) {
        status = cli_print_text(cli, report);
    } else {
        json_t *tree = json_loads(report, 0, NULL);

        print(tree);
        json_decref(tree);
    }
    mmgr_string_free(report);
    return status;
}

int cli_sync(struct cli *cli)
{
    mmgr_manager *manager;
    mmgr_installer *installer;
    enum mmgr_result result;
    char *report;
    int status = cli_open_manager(cli, CLI_WRITE, &manager);

    if (status != 0) {
        return status;
    }
    installer = mmgr_manager_installer(manager);
    result = cli_has(cli, OPT_REBUILD) ? mmgr_installer_rebuild(installer, &report)
                                       : mmgr_installer_sync(installer, &report);
    status = result == MMGR_OK ? print_report(cli, report, print_sync) : cli_fail_last(cli);
    mmgr_manager_close(manager);
    return status;
}

int cli_relink(struct cli *cli)
{
    int dry_run = cli_has(cli, OPT_DRY_RUN);
    struct mmgr_relink_options options = {.struct_size = sizeof options,
                                          .flags = dry_run ? MMGR_RELINK_DRY_RUN : 0,
                                          .folders = cli->operands,
                                          .folder_count = cli->operand_count};
    mmgr_manager *manager;
    char *report;
    int status = cli_open_manager(cli, dry_run ? CLI_LOOK : CLI_WRITE, &manager);

    if (status != 0) {
        return status;
    }
    status = mmgr_installer_relink(mmgr_manager_installer(manager), &options, &report) == MMGR_OK
                 ? print_report(cli, report, print_relink)
                 : cli_fail_last(cli);
    mmgr_manager_close(manager);
    return status;
}

int cli_relocate(struct cli *cli)
{
    mmgr_manager *manager;
    mmgr_record *record;
    int status = cli_open_manager(cli, CLI_WRITE, &manager);

    if (status != 0) {
        return status;
    }
    if (mmgr_installer_relocate(mmgr_manager_installer(manager), cli->operands[0], cli->operands[1],
                                0, &record) != MMGR_OK) {
        status = cli_fail_last(cli);
    } else {
        if (cli->json) {
            status = cli_print_record(cli, record);
        } else if (!cli->quiet) {
            printf("Relocated %s\n", mmgr_record_text(record, MMGR_FIELD_KEY));
        }
        mmgr_record_unref(record);
    }
    mmgr_manager_close(manager);
    return status;
}
