/* SPDX-License-Identifier: MIT */
/* What the files of the command line share: parsed arguments, output, progress, signals.
 *
 * Every function that ends a command returns its exit status, so that a command reads
 * `return cli_fail_last(cli);` where the library said no. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <jansson.h>
#include <modelmgr/modelmgr.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

enum cli_option_id {
    OPT_ROOT,
    OPT_STORE,
    OPT_JSON,
    OPT_QUIET,
    OPT_NO_PROGRESS,
    OPT_HELP,
    OPT_VARIANT,
    OPT_REVISION,
    OPT_INPLACE,
    OPT_MOVE,
    OPT_NAME,
    OPT_SET,
    OPT_TOKEN_ENV,
    OPT_DRY_RUN,
    OPT_EVENTS,
    OPT_ALLOW_UNKNOWN,
    OPT_BASE,
    OPT_TYPE,
    OPT_FORMAT,
    OPT_TAG,
    OPT_FILTER,
    OPT_SEARCH,
    OPT_SORT,
    OPT_LIMIT,
    OPT_OFFSET,
    OPT_AFTER,
    OPT_LENIENT,
    OPT_KEEP_FILES,
    OPT_FORCE,
    OPT_EXPLAIN,
    OPT_ALGORITHM,
    OPT_SHA256,
    OPT_SEGMENTS,
    OPT_LIMIT_RATE,
    OPT_SUBMODEL,
    OPT_DEVICE,
    OPT_REPEAT,
    OPT_MODELS_DIR,
    OPT_REBUILD,
    OPT_COUNT
};

#define CLI_BIT(option) (UINT64_C(1) << (option))

struct cli;

struct cli_command {
    const char *name, *usage, *summary;
    uint64_t options;  /* CLI_BIT of each option besides the global ones */
    uint32_t min_operands, max_operands;
    int (*run)(struct cli *cli);
    const char *not_yet; /* what to say instead of running, for a command of a later release */
};

struct cli_values {
    const char **items; /* in the order given; "" for a flag */
    uint32_t count;
};

struct cli {
    const struct cli_command *command;
    struct cli_values options[OPT_COUNT];
    const char **operands;
    uint32_t operand_count;
    int json, quiet, events;
};

#define CLI_USAGE 2 /* exit status of wrong usage */

/* args.c */
/* 0, or the exit status when the arguments end the program (with the answer already printed). */
int cli_parse(struct cli *cli, int argc, char **argv, const struct cli_command *commands,
              int *done);
void cli_free(struct cli *cli);
const char *cli_value(const struct cli *cli, enum cli_option_id id); /* last one given, or NULL */
int cli_has(const struct cli *cli, enum cli_option_id id);
/* A number option; `fallback` when it was not given. Nonzero (after the message) when malformed. */
int cli_number(struct cli *cli, enum cli_option_id id, uint64_t fallback, uint64_t *number);
/* The token of --token-env, NULL without that option. Nonzero when the variable is not set. */
int cli_token(struct cli *cli, const char **token);

/* fields.c */
/* JSON object of FIELD=VALUE texts (`FIELD=` is null); *json NULL when there are none. */
int cli_assignments(struct cli *cli, const char *const *texts, uint32_t count, char **json);

/* output.c */
int cli_fail_error(struct cli *cli, const mmgr_error *error);
int cli_fail_last(struct cli *cli);
int cli_fail(struct cli *cli, enum mmgr_result code, const char *field, const char *subject,
             const char *format, ...) __attribute__((format(printf, 5, 6)));
int cli_fail_usage(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
int cli_interrupted(struct cli *cli, int signal, const char *message);
/* The JSON document of a command; takes the reference of the tree. Both return 0 or a failure. */
int cli_print_tree(struct cli *cli, json_t *tree);
int cli_print_text(struct cli *cli, const char *json);
/* records.c: the JSON document of a command whose answer is one record. */
int cli_print_record(struct cli *cli, const mmgr_record *record);
/* A JSON string even of bytes that are no UTF-8; JSON null for NULL. */
json_t *cli_json_text(const char *text);
json_t *cli_json_size(uint64_t number);
/* Text for people: control characters escaped. */
void cli_put(FILE *stream, const char *text);
void cli_line(const char *label, const char *text);          /* "label   text", nothing for NULL */
/* A line on standard error, above the progress bars; not with --quiet. */
void cli_note(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define CLI_SIZE_TEXT 24
const char *cli_size(char text[CLI_SIZE_TEXT], uint64_t bytes);
/* Rows of `columns` cells each, NULL for "-"; the first row is the heading. */
int cli_table(const char *const *cells, size_t rows, size_t columns);
size_t cli_width(const char *text); /* columns on the terminal once escaped */
int cli_finish(struct cli *cli, int status);
void cli_log(enum mmgr_log_level level, const char *component, const char *message, void *user);

/* session.c: opening what commands need. All fail with an exit status after the message. */
enum cli_access {
    CLI_WRITE, /* creates and recovers what is needed */
    CLI_LOOK,  /* as CLI_WRITE where there is something to write to, else creates nothing */
    CLI_PLAN   /* creates nothing */
};
int cli_open_config(struct cli *cli, mmgr_config **config);
int cli_open_manager(struct cli *cli, enum cli_access access, mmgr_manager **manager);
/* Record by key, or by name when no key fits. */
int cli_find_record(struct cli *cli, mmgr_store *store, const char *key_or_name,
                    mmgr_record **record);

/* A running download or install, followed until it ends, pauses, or a signal asks for a pause. */
struct cli_job {
    void *service; /* mmgr_installer or mmgr_queue */
    uint64_t id;
    uint32_t group; /* MMGR_EVENTS_INSTALL or MMGR_EVENTS_DOWNLOAD */
    mmgr_listener *listener;
};
/* The signal that interrupted the job, or 0 when it ended or paused by itself. */
int cli_follow(struct cli *cli, const struct cli_job *job);

/* progress.c */
void cli_progress_begin(const struct cli *cli);
void cli_progress_event(const mmgr_event *event);
void cli_progress_tick(void);
/* Around a line on standard error from any thread: the bars are off the terminal in between. */
void cli_progress_hide(void);
void cli_progress_show(void);
void cli_progress_end(void);
int64_t cli_now(void); /* nanoseconds of a clock that only goes forward */

/* signals.c */
void cli_signals_start(void);
/* From now on the first SIGINT or SIGTERM is only noted, and makes this descriptor readable. */
int cli_signals_hold(void);
void cli_signals_release(void);
int cli_signals_caught(void); /* signal number, or 0 */

/* commands */
int cli_install(struct cli *cli);
int cli_list(struct cli *cli);
int cli_show(struct cli *cli);
int cli_set(struct cli *cli);
int cli_add(struct cli *cli);
int cli_remove(struct cli *cli);
int cli_sync(struct cli *cli);
int cli_import(struct cli *cli);
int cli_relink(struct cli *cli);
int cli_relocate(struct cli *cli);
int cli_probe(struct cli *cli);
int cli_inspect(struct cli *cli);
int cli_hash(struct cli *cli);
int cli_download(struct cli *cli);
int cli_fetch(struct cli *cli);
int cli_load(struct cli *cli);
int cli_config(struct cli *cli);
int cli_version(struct cli *cli);

#endif
