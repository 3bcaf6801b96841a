/* SPDX-License-Identifier: MIT */
/* Arguments: one table of options for all commands, parsing, help, and values of options. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define GLOBAL_OPTIONS                                                                 \
    (CLI_BIT(OPT_ROOT) | CLI_BIT(OPT_STORE) | CLI_BIT(OPT_JSON) | CLI_BIT(OPT_QUIET) | \
     CLI_BIT(OPT_NO_PROGRESS) | CLI_BIT(OPT_HELP))

struct option {
    const char *name;
    const char *value;   /* what the value is called; NULL for a flag */
    const char *help;
    const char *not_yet; /* said instead, for an option of a later release */
};

static const struct option options[OPT_COUNT] = {
    [OPT_ROOT] = {"root", "DIR", "root folder (default: $MODELMGR_ROOT, or below the data home)",
                  NULL},
    [OPT_STORE] = {"store", "PATH", "record store instead of the one that the config names", NULL},
    [OPT_JSON] = {"json", NULL, "one JSON document on standard output", NULL},
    [OPT_QUIET] = {"quiet", NULL, "only results and errors", NULL},
    [OPT_NO_PROGRESS] = {"no-progress", NULL, "no progress bars or lines", NULL},
    [OPT_HELP] = {"help", NULL, "this help", NULL},
    [OPT_VARIANT] = {"variant", "V", "default, fp16, fp32, onnx, openvino, flax, or a quantisation",
                     NULL},
    [OPT_REVISION] = {"revision", "R", "branch, tag or commit of the repository", NULL},
    [OPT_INPLACE] = {"inplace", NULL, "record local files where they are", NULL},
    [OPT_MOVE] = {"move", NULL, "move local files instead of copying them", NULL},
    [OPT_NAME] = {"name", "N", "name of the model", NULL},
    [OPT_SET] = {"set", "FIELD=VALUE", "field of the record that wins over identification", NULL},
    [OPT_TOKEN_ENV] = {"token-env", "VAR", "environment variable that holds the access token",
                       NULL},
    [OPT_DRY_RUN] = {"dry-run", NULL, "print the plan and write nothing", NULL},
    [OPT_EVENTS] = {"events", NULL, "a stream of events, one JSON object a line", NULL},
    [OPT_ALLOW_UNKNOWN] = {"allow-unknown", NULL, "accept a sound file that no rule knows", NULL},
    [OPT_BASE] = {"base", "B", "only models of this base", NULL},
    [OPT_TYPE] = {"type", "T", "only models of this type", NULL},
    [OPT_FORMAT] = {"format", "F", "only models of this format", NULL},
    [OPT_TAG] = {"tag", "T", "only models with this tag; several must all be there", NULL},
    [OPT_FILTER] = {"filter", "EXPR", "only models that fit, such as 'file_size > 2GiB and tags = anime'",
                    NULL},
    [OPT_SEARCH] = {"search", "TEXT", "words of name, description, tags and trigger phrases", NULL},
    [OPT_SORT] = {"sort", "FIELD", "order by a field, -FIELD for descending", NULL},
    [OPT_LIMIT] = {"limit", "N", "at most so many models", NULL},
    [OPT_OFFSET] = {"offset", "N", "skip so many models", NULL},
    [OPT_AFTER] = {"after", "CURSOR", "go on after the page whose --json answer had this cursor", NULL},
    [OPT_LENIENT] = {"lenient", NULL, "take fields and values that this release does not know", NULL},
    [OPT_KEEP_FILES] = {"keep-files", NULL, "remove the record only", NULL},
    [OPT_FORCE] = {"force", NULL, "delete the files wherever they are", NULL},
    [OPT_EXPLAIN] = {"explain", NULL, "say which rule matched and why", NULL},
    [OPT_ALGORITHM] = {"algorithm", "A", "sampled (default), xxh3 or sha256", NULL},
    [OPT_SHA256] = {"sha256", "H", "hash that the file must have", NULL},
    [OPT_SEGMENTS] = {"segments", "N", "connections for one file (not yet available)",
                      "downloads in segments are not available in this release"},
    [OPT_LIMIT_RATE] = {"limit-rate", "R", "bytes a second (not yet available)",
                        "a limit on the transfer rate is not available in this release"},
    [OPT_SUBMODEL] = {"submodel", "S", "part of a pipeline, such as unet", NULL},
    [OPT_DEVICE] = {"device", "D", "device to lock on, such as cpu", NULL},
    [OPT_REPEAT] = {"repeat", "N", "load and lock so many times", NULL},
    [OPT_MODELS_DIR] = {"models-dir", "DIR", "folder in which the other tool's models lie", NULL},
    [OPT_REBUILD] = {"rebuild", NULL, "add the records of models whose side-cars have none", NULL},
};

static void print_options(uint64_t mask)
{
    int i;

    for (i = 0; i < OPT_COUNT; i++) {
        char name[40];

        if ((mask & CLI_BIT(i)) != 0) {
            snprintf(name, sizeof name, "--%s%s%s", options[i].name,
                     options[i].value != NULL ? " " : "",
                     options[i].value != NULL ? options[i].value : "");
            printf("  %-22s %s\n", name, options[i].help);
        }
    }
}

static void print_help(const struct cli_command *commands, const struct cli_command *command)
{
    if (command != NULL) {
        printf("Usage: modelmgr [OPTIONS] %s%s%s%s\n\n%s.\n", command->name,
               command->options != 0 ? " [OPTIONS]" : "", command->usage[0] != '\0' ? " " : "",
               command->usage, command->summary);
        if (command->not_yet != NULL) {
            printf("\nNot yet: %s.\n", command->not_yet);
        }
        if (command->options != 0) {
            printf("\nOptions:\n");
            print_options(command->options);
        }
    } else {
        printf("Usage: modelmgr [OPTIONS] COMMAND ...\n\nFinds, downloads, identifies, records and "
               "loads machine-learning models.\n\nCommands:\n");
        for (; commands->name != NULL; commands++) {
            printf("  %-10s %s\n", commands->name, commands->summary);
        }
        printf("\nmodelmgr COMMAND --help tells more about one of them.\n");
    }
    printf("\nOptions of every command:\n");
    print_options(GLOBAL_OPTIONS);
    if (command == NULL) {
        printf("\nExit status: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 ambiguous, "
               "5 refused as unsafe, 130 interrupted.\n");
    }
}

/* Edit distance for hints, exact for the short words that it is used on. */
static size_t distance(const char *a, const char *b)
{
    size_t row[32];
    size_t i, j, width = strlen(b);

    if (width + 1 > sizeof row / sizeof row[0]) {
        return SIZE_MAX;
    }
    for (j = 0; j <= width; j++) {
        row[j] = j;
    }
    for (i = 0; a[i] != '\0'; i++) {
        size_t corner = row[0]++;

        for (j = 0; j < width; j++) {
            size_t best = corner + (a[i] != b[j]);

            best = row[j] + 1 < best ? row[j] + 1 : best;
            best = row[j + 1] + 1 < best ? row[j + 1] + 1 : best;
            corner = row[j + 1];
            row[j + 1] = best;
        }
    }
    return row[width];
}

static const struct cli_command *find_command(const struct cli_command *commands, const char *name,
                                              const char **nearest)
{
    size_t best = 3;

    for (; commands->name != NULL; commands++) {
        size_t far = distance(name, commands->name);

        if (far == 0) {
            return commands;
        }
        if (far < best) {
            best = far;
            *nearest = commands->name;
        }
    }
    return NULL;
}

static int find_option(const char *name, size_t length)
{
    int i;

    for (i = 0; i < OPT_COUNT; i++) {
        if (strlen(options[i].name) == length && memcmp(options[i].name, name, length) == 0) {
            return i;
        }
    }
    return -1;
}

static int unknown_option(struct cli *cli, const char *given)
{
    const char *nearest = NULL;
    char name[32];
    size_t best = 3;
    size_t length = strcspn(given + 2, "=");
    int i;

    if (strncmp(given, "--", 2) == 0 && length < sizeof name) {
        memcpy(name, given + 2, length);
        name[length] = '\0';
        for (i = 0; i < OPT_COUNT; i++) {
            size_t far = distance(name, options[i].name);

            if (far < best) {
                best = far;
                nearest = options[i].name;
            }
        }
    }
    if (nearest != NULL) {
        return cli_fail_usage(cli, "unknown option %s; did you mean --%s?", given, nearest);
    }
    return cli_fail_usage(cli, "unknown option %s; --help lists the options", given);
}

static int add_value(struct cli *cli, int id, const char *value)
{
    struct cli_values *values = &cli->options[id];
    const char **items = realloc(values->items, (values->count + 1) * sizeof *items);

    if (items == NULL) {
        return cli_fail(cli, MMGR_ERR_NO_MEMORY, NULL, NULL, "out of memory");
    }
    items[values->count] = value;
    values->items = items;
    values->count++;
    return 0;
}

/* One option at argv[*at], with its value. */
static int take_option(struct cli *cli, int argc, char **argv, int *at)
{
    const char *given = argv[*at];
    const char *equals = strchr(given, '=');
    int id;

    if (strcmp(given, "-h") == 0) {
        return add_value(cli, OPT_HELP, "");
    }
    id = given[1] == '-' ? find_option(given + 2, equals != NULL ? (size_t)(equals - given - 2)
                                                                 : strlen(given + 2))
                         : -1;
    if (id < 0) {
        return unknown_option(cli, given);
    }
    if (options[id].value == NULL) {
        if (equals != NULL) {
            return cli_fail_usage(cli, "--%s takes no value", options[id].name);
        }
        return add_value(cli, id, "");
    }
    if (equals != NULL) {
        return add_value(cli, id, equals + 1);
    }
    if (*at + 1 >= argc) {
        return cli_fail_usage(cli, "--%s needs a value: --%s %s", options[id].name,
                              options[id].name, options[id].value);
    }
    return add_value(cli, id, argv[++*at]);
}

/* Usage errors come as JSON too, also those met before --json itself. */
static void look_ahead(struct cli *cli, int argc, char **argv)
{
    int i;

    for (i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            cli->json = 1;
        }
    }
}

/* What was parsed must fit the command. */
static int check_fit(struct cli *cli)
{
    const struct cli_command *command = cli->command;
    int i;

    for (i = 0; i < OPT_COUNT; i++) {
        if (cli->options[i].count == 0) {
            continue;
        }
        if (((GLOBAL_OPTIONS | command->options) & CLI_BIT(i)) == 0) {
            return cli_fail_usage(cli,
                                  "%s has no option --%s; modelmgr %s --help lists its options",
                                  command->name, options[i].name, command->name);
        }
        if (options[i].not_yet != NULL) {
            return cli_fail_usage(cli, "--%s: %s", options[i].name, options[i].not_yet);
        }
    }
    if (cli->operand_count < command->min_operands) {
        return cli_fail_usage(cli, "an argument is missing: %s %s; modelmgr %s --help tells more",
                              command->name, command->usage, command->name);
    }
    if (cli->operand_count > command->max_operands) {
        return cli_fail_usage(cli, "unexpected argument %s; modelmgr %s --help tells more",
                              cli->operands[command->max_operands], command->name);
    }
    return 0;
}

int cli_parse(struct cli *cli, int argc, char **argv, const struct cli_command *commands, int *done)
{
    const char *nearest = NULL;
    int i, literal = 0, status = 0;

    *done = 1;
    look_ahead(cli, argc, argv);
    cli->operands = calloc((size_t)argc + 1, sizeof *cli->operands);
    if (cli->operands == NULL) {
        return cli_fail(cli, MMGR_ERR_NO_MEMORY, NULL, NULL, "out of memory");
    }
    for (i = 1; i < argc && status == 0; i++) {
        if (!literal && strcmp(argv[i], "--") == 0) {
            literal = 1;
        } else if (cli->command == NULL && !literal && strcmp(argv[i], "--version") == 0) {
            cli->command = find_command(commands, "version", &nearest);
        } else if (!literal && argv[i][0] == '-' && argv[i][1] != '\0') {
            // The arguments of a command that is still to come are not known yet.
            if (cli->command == NULL || cli->command->not_yet == NULL ||
                find_option(argv[i] + 2, strlen(argv[i] + 2)) >= 0) {
                status = take_option(cli, argc, argv, &i);
            }
        } else if (cli->command == NULL) {
            cli->command = find_command(commands, argv[i], &nearest);
            if (cli->command == NULL && nearest != NULL) {
                status =
                    cli_fail_usage(cli, "unknown command %s; did you mean %s?", argv[i], nearest);
            } else if (cli->command == NULL) {
                status = cli_fail_usage(
                    cli, "unknown command %s; modelmgr --help lists the commands", argv[i]);
            }
        } else {
            cli->operands[cli->operand_count++] = argv[i];
        }
    }
    if (status != 0) {
        return status;
    }
    cli->events = cli_has(cli, OPT_EVENTS);
    cli->json = cli_has(cli, OPT_JSON);
    cli->quiet = cli_has(cli, OPT_QUIET);
    if (cli_has(cli, OPT_HELP)) {
        print_help(commands, cli->command);
        return 0;
    }
    if (cli->command == NULL) {
        return cli_fail_usage(cli, "a command is missing; modelmgr --help lists the commands");
    }
    if (cli->command->not_yet != NULL) {
        return cli_fail_usage(cli, "%s", cli->command->not_yet);
    }
    status = check_fit(cli);
    *done = status != 0;
    return status;
}

void cli_free(struct cli *cli)
{
    int i;

    for (i = 0; i < OPT_COUNT; i++) {
        free(cli->options[i].items);
    }
    free(cli->operands);
}

const char *cli_value(const struct cli *cli, enum cli_option_id id)
{
    const struct cli_values *values = &cli->options[id];

    return values->count > 0 ? values->items[values->count - 1] : NULL;
}

int cli_has(const struct cli *cli, enum cli_option_id id)
{
    return cli->options[id].count > 0;
}

int cli_number(struct cli *cli, enum cli_option_id id, uint64_t fallback, uint64_t *number)
{
    const char *text = cli_value(cli, id);
    char *end;

    *number = fallback;
    if (text == NULL) {
        return 0;
    }
    errno = 0;
    *number = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || *end != '\0' || errno != 0) {
        return cli_fail_usage(cli, "--%s wants a number, not \"%s\"", options[id].name, text);
    }
    return 0;
}

int cli_token(struct cli *cli, const char **token)
{
    const char *name = cli_value(cli, OPT_TOKEN_ENV);

    *token = NULL;
    if (name == NULL) {
        return 0;
    }
    *token = getenv(name);
    if (*token == NULL || **token == '\0') {
        // The name is not repeated: who mistakes the option may have typed the token itself.
        return cli_fail_usage(cli,
                              "--token-env wants the name of an environment variable that is set "
                              "and holds the token");
    }
    return 0;
}
