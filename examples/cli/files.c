/* SPDX-License-Identifier: MIT */
/* probe, inspect, hash: what can be said of a file or folder. They write nothing anywhere. */
#include <string.h>

#include "cli.h"

static void print_probe(const json_t *tree, int explain)
{
    static const char *const own[] = {"rule", "score", "evidence", "runners_up"};
    json_t *object = (json_t *)tree;
    const char *name;
    json_t *value;
    const json_t *item;
    size_t i;

    json_object_foreach(object, name, value) {
        char text[64];

        for (i = 0; i < sizeof own / sizeof own[0] && strcmp(own[i], name) != 0; i++) {
        }
        if (i < sizeof own / sizeof own[0]) {
            continue;
        }
        if (json_is_string(value)) {
            cli_line(name, json_string_value(value));
        } else if (json_is_integer(value)) {
            snprintf(text, sizeof text, "%lld", (long long)json_integer_value(value));
            cli_line(name, text);
        } else if (json_is_boolean(value)) {
            cli_line(name, json_is_true(value) ? "true" : "false");
        }
        json_array_foreach(value, i, item) {
            cli_line(i == 0 ? name : "", json_string_value(item));
        }
    }
    if (explain) {
        cli_line("rule", json_string_value(json_object_get(tree, "rule")));
        json_array_foreach(json_object_get(tree, "evidence"), i, item) {
            cli_line(i == 0 ? "because" : "", json_string_value(item));
        }
        json_array_foreach(json_object_get(tree, "runners_up"), i, item) {
            cli_line(i == 0 ? "also considered" : "",
                     json_string_value(json_object_get(item, "rule")));
        }
    }
}

/* The members that are always there, null where the rule says nothing. */
static void complete(json_t *tree)
{
    static const char *const fields[] = {"type", "base", "format", "variant", "prediction_type",
                                         "name"};
    size_t i;

    for (i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (json_object_get(tree, fields[i]) == NULL) {
            json_object_set_new(tree, fields[i], json_null());
        }
    }
}

/* As the manager would identify: with the rules and the leniency that the config names. */
static int probe_options(struct cli *cli, mmgr_prober **prober, uint32_t *flags)
{
    struct mmgr_prober_options options = {sizeof options};
    const char *lenient;
    mmgr_config *config;
    int status = cli_open_config(cli, &config);

    if (status != 0) {
        return status;
    }
    lenient = mmgr_config_get(config, "allow_unknown");
    if (cli_has(cli, OPT_ALLOW_UNKNOWN) || (lenient != NULL && strcmp(lenient, "true") == 0)) {
        *flags = MMGR_PROBE_ALLOW_UNKNOWN;
    }
    options.rules_folder = mmgr_config_get(config, "rules_folder");
    if (mmgr_prober_new(&options, prober) != MMGR_OK) {
        status = cli_fail_last(cli);
    }
    mmgr_config_unref(config);
    return status;
}

int cli_probe(struct cli *cli)
{
    struct mmgr_probe_options options = {sizeof options};
    int explain = cli_has(cli, OPT_EXPLAIN);
    mmgr_probe_result *result = NULL;
    mmgr_prober *prober;
    char *json = NULL;
    json_t *tree;
    int status = probe_options(cli, &prober, &options.flags);

    if (status != 0) {
        return status;
    }
    if (mmgr_probe_path(prober, cli->operands[0], &options, &result) != MMGR_OK ||
        mmgr_probe_result_to_json(result, &json) != MMGR_OK) {
        status = cli_fail_last(cli);
    } else {
        tree = json_loads(json, 0, NULL);
        complete(tree);
        if (!explain) {
            json_object_del(tree, "rule");
            json_object_del(tree, "score");
            json_object_del(tree, "evidence");
            json_object_del(tree, "runners_up");
        }
        if (cli->json) {
            status = cli_print_tree(cli, tree);
        } else {
            print_probe(tree, explain);
            json_decref(tree);
        }
    }
    mmgr_string_free(json);
    mmgr_probe_result_unref(result);
    mmgr_prober_unref(prober);
    return status;
}

static json_t *metadata_of(const mmgr_checkpoint *checkpoint)
{
    json_t *object = json_object();
    uint64_t i;

    for (i = 0; i < mmgr_checkpoint_metadata_count(checkpoint); i++) {
        const char *key, *value;

        if (mmgr_checkpoint_metadata_at(checkpoint, i, &key, &value) == MMGR_OK) {
            json_object_set_new(object, key, cli_json_text(value));
        }
    }
    return object;
}

static json_t *tensor_of(const mmgr_checkpoint *checkpoint, uint64_t index)
{
    const uint64_t *shape = mmgr_checkpoint_tensor_shape(checkpoint, index);
    const char *dtype = mmgr_dtype_name(mmgr_checkpoint_tensor_dtype(checkpoint, index));
    const char *file = mmgr_checkpoint_file_path(checkpoint,
                                                 mmgr_checkpoint_tensor_file(checkpoint, index));
    json_t *object = json_object();
    json_t *sizes = json_array();
    uint32_t i;

    for (i = 0; i < mmgr_checkpoint_tensor_rank(checkpoint, index); i++) {
        json_array_append_new(sizes, cli_json_size(shape[i]));
    }
    json_object_set_new(object, "name",
                        cli_json_text(mmgr_checkpoint_tensor_name(checkpoint, index)));
    json_object_set_new(object, "dtype", cli_json_text(dtype));
    json_object_set_new(object, "shape", sizes);
    json_object_set_new(object, "offset",
                        cli_json_size(mmgr_checkpoint_tensor_offset(checkpoint, index)));
    json_object_set_new(object, "bytes",
                        cli_json_size(mmgr_checkpoint_tensor_bytes(checkpoint, index)));
    json_object_set_new(object, "file", cli_json_text(file));
    return object;
}

static void print_tensors(const mmgr_checkpoint *checkpoint)
{
    uint64_t i, total = 0, count = mmgr_checkpoint_tensor_count(checkpoint);
    char size[CLI_SIZE_TEXT];
    uint32_t axis;

    cli_line("format", mmgr_checkpoint_format(checkpoint));
    for (i = 0; i < mmgr_checkpoint_metadata_count(checkpoint); i++) {
        const char *key, *value;

        if (mmgr_checkpoint_metadata_at(checkpoint, i, &key, &value) == MMGR_OK) {
            printf("metadata         ");
            cli_put(stdout, key);
            fputs(" = ", stdout);
            cli_put(stdout, value);
            putchar('\n');
        }
    }
    for (i = 0; i < count; i++) {
        const uint64_t *shape = mmgr_checkpoint_tensor_shape(checkpoint, i);
        const char *dtype = mmgr_dtype_name(mmgr_checkpoint_tensor_dtype(checkpoint, i));
        uint64_t bytes = mmgr_checkpoint_tensor_bytes(checkpoint, i);

        printf("  %-6s %10s  ", dtype != NULL ? dtype : "?", cli_size(size, bytes));
        cli_put(stdout, mmgr_checkpoint_tensor_name(checkpoint, i));
        fputs(" [", stdout);
        for (axis = 0; axis < mmgr_checkpoint_tensor_rank(checkpoint, i); axis++) {
            printf("%s%llu", axis > 0 ? ", " : "", (unsigned long long)shape[axis]);
        }
        fputs("]\n", stdout);
        total += bytes;
    }
    printf("%llu tensor(s), %s, in %u file(s)\n", (unsigned long long)count, cli_size(size, total),
           mmgr_checkpoint_file_count(checkpoint));
}

int cli_inspect(struct cli *cli)
{
    mmgr_checkpoint *checkpoint;
    int status = 0;
    uint64_t i;

    if (mmgr_checkpoint_open(cli->operands[0], NULL, &checkpoint) != MMGR_OK) {
        return cli_fail_last(cli);
    }
    if (cli->json) {
        json_t *tree = json_object();
        json_t *tensors = json_array();

        for (i = 0; i < mmgr_checkpoint_tensor_count(checkpoint); i++) {
            json_array_append_new(tensors, tensor_of(checkpoint, i));
        }
        json_object_set_new(tree, "format", cli_json_text(mmgr_checkpoint_format(checkpoint)));
        json_object_set_new(tree, "metadata", metadata_of(checkpoint));
        json_object_set_new(tree, "tensors", tensors);
        status = cli_print_tree(cli, tree);
    } else {
        print_tensors(checkpoint);
    }
    mmgr_checkpoint_unref(checkpoint);
    return status;
}

int cli_hash(struct cli *cli)
{
    const char *algorithm = cli_value(cli, OPT_ALGORITHM);
    char *hash;
    int status = 0;

    if (mmgr_hash_path(cli->operands[0], algorithm, &hash) != MMGR_OK) {
        return cli_fail_last(cli);
    }
    if (cli->json) {
        json_t *tree = json_object();

        json_object_set_new(tree, "algorithm", json_stringn(hash, strcspn(hash, ":")));
        json_object_set_new(tree, "hash", json_string(hash));
        status = cli_print_tree(cli, tree);
    } else {
        printf("%s  ", hash);
        cli_put(stdout, cli->operands[0]);
        putchar('\n');
    }
    mmgr_string_free(hash);
    return status;
}
