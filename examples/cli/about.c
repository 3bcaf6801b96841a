/* SPDX-License-Identifier: MIT */
/* config, version: what the library is and how it is set up. */
#include "cli.h"

static const char *text_of(const json_t *value, char *buffer, size_t size)
{
    if (json_is_string(value)) {
        return json_string_value(value);
    }
    if (json_is_integer(value)) {
        snprintf(buffer, size, "%lld", (long long)json_integer_value(value));
        return buffer;
    }
    return json_is_boolean(value) ? (json_is_true(value) ? "true" : "false") : NULL;
}

static void print_fields(const json_t *tree)
{
    json_t *object = (json_t *)tree;
    json_t *entry;
    const char *field;

    json_object_foreach(object, field, entry) {
        const char *origin = json_string_value(json_object_get(entry, "origin"));
        char buffer[32];
        const char *value = text_of(json_object_get(entry, "value"), buffer, sizeof buffer);

        if (origin != NULL) {
            printf("%-24s ", field);
            cli_put(stdout, value != NULL ? value : "-");
            printf("  (%s)\n", origin);
        }
    }
}

static int print_field(struct cli *cli, const mmgr_config *config, const json_t *tree,
                       const char *field)
{
    json_t *entry = json_object_get(tree, field);

    if (entry == NULL && mmgr_config_origin(config, field) == NULL) {
        return cli_fail_usage(cli, "there is no field \"%s\"; modelmgr config lists all", field);
    }
    if (cli->json) {
        return cli_print_tree(cli, json_pack("{s:O}", field, entry != NULL ? entry : json_null()));
    }
    if (mmgr_config_get(config, field) != NULL) {
        cli_put(stdout, mmgr_config_get(config, field));
        putchar('\n');
    }
    return 0;
}

int cli_config(struct cli *cli)
{
    mmgr_config *config;
    char *json;
    json_t *tree;
    int status = cli_open_config(cli, &config);

    if (status != 0) {
        return status;
    }
    if (mmgr_config_to_json(config, &json) != MMGR_OK) {
        status = cli_fail_last(cli);
    } else {
        tree = json_loads(json, 0, NULL);
        if (cli->operand_count > 0) {
            status = print_field(cli, config, tree, cli->operands[0]);
        } else if (cli->json) {
            status = cli_print_text(cli, json);
        } else {
            print_fields(tree);
        }
        json_decref(tree);
        mmgr_string_free(json);
    }
    mmgr_config_unref(config);
    return status;
}

int cli_version(struct cli *cli)
{
    char *json;
    json_t *tree, *object, *value;
    const char *name;
    char buffer[32];
    size_t i;

    if (mmgr_version_info(&json) != MMGR_OK) {
        return cli_fail_last(cli);
    }
    if (cli->json) {
        cli_print_text(cli, json);
        mmgr_string_free(json);
        return 0;
    }
    tree = json_loads(json, 0, NULL);
    mmgr_string_free(json);
    printf("modelmgr %s\n", mmgr_version_string());
    cli_line("schema", text_of(json_object_get(tree, "schema"), buffer, sizeof buffer));
    json_array_foreach(json_object_get(tree, "features"), i, value) {
        cli_line(i == 0 ? "features" : "", json_string_value(value));
    }
    object = json_object_get(tree, "libraries");
    json_object_foreach(object, name, value) {
        cli_line(name, json_string_value(value));
    }
    json_decref(tree);
    return 0;
}
