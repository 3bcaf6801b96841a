/* SPDX-License-Identifier: MIT */
/* import: recording the models of another tool, and saying what became of each. */
#include <string.h>

#include "cli.h"

static const struct {
    const char *name;
    enum mmgr_import_kind kind; /* 0: of a later release */
} sources[] = {
    {"invokeai", MMGR_IMPORT_INVOKEAI},
    {"yaml", MMGR_IMPORT_MODELS_YAML},
    {"hf-cache", 0},
};

static int find_kind(struct cli *cli, enum mmgr_import_kind *kind)
{
    const char *name = cli->operands[0];
    size_t i;

    for (i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        if (strcmp(sources[i].name, name) == 0) {
            *kind = sources[i].kind;
            return *kind != 0 ? 0
                              : cli_fail_usage(cli, "import of %s is not available in this release",
                                               name);
        }
    }
    return cli_fail_usage(cli, "import knows invokeai and yaml, not %s", name);
}

static void put_text(const json_t *text)
{
    cli_put(stdout, json_is_string(text) ? json_string_value(text) : "-");
}

static void print_report(const json_t *report)
{
    const json_t *added = json_object_get(report, "added");
    const json_t *names = json_object_get(report, "names");
    const json_t *skipped = json_object_get(report, "skipped");
    const json_t *missing = json_object_get(report, "missing");
    const char *verb = json_is_true(json_object_get(report, "dry_run")) ? "Would add" : "Added";
    json_t *item;
    size_t i;

    printf("%s %zu model(s)\n", verb, json_array_size(added));
    json_array_foreach (names, i, item) {
        printf("  ");
        put_text(item);
        putchar('\n');
    }
    if (json_array_size(skipped) > 0) {
        printf("Skipped %zu\n", json_array_size(skipped));
    }
    json_array_foreach (skipped, i, item) {
        const json_t *name = json_object_get(item, "name");

        printf("  ");
        put_text(json_is_string(name) ? name : json_object_get(item, "key"));
        printf(": ");
        put_text(json_object_get(item, "reason"));
        putchar('\n');
    }
    if (json_array_size(missing) > 0) {
        printf("Without their files %zu\n", json_array_size(missing));
    }
    json_array_foreach (missing, i, item) {
        printf("  ");
        put_text(item);
        putchar('\n');
    }
}

int cli_import(struct cli *cli)
{
    struct mmgr_import_options options = {sizeof options};
    mmgr_manager *manager;
    char *report;
    int status = find_kind(cli, &options.kind);

    options.path = cli->operands[1];
    options.models_dir = cli_value(cli, OPT_MODELS_DIR);
    options.flags = cli_has(cli, OPT_DRY_RUN) ? MMGR_IMPORT_DRY_RUN : 0;
    if (status == 0) {
        status = cli_open_manager(cli, options.flags != 0 ? CLI_PLAN : CLI_WRITE, &manager);
    }
    if (status != 0) {
        return status;
    }
    if (mmgr_store_import(mmgr_manager_store(manager), &options, &report) != MMGR_OK) {
        status = cli_fail_last(cli);
    } else {
        if (cli->json) {
            status = cli_print_text(cli, report);
        } else {
            json_t *tree = json_loads(report, 0, NULL);

            print_report(tree);
            json_decref(tree);
        }
        mmgr_string_free(report);
    }
    mmgr_manager_close(manager);
    return status;
}
