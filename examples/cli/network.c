/* SPDX-License-Identifier: MIT */
/* download, fetch: the commands that use the network without a record store. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static int print_downloaded(struct cli *cli, const mmgr_download *job)
{
    char *path = NULL, *sha256 = NULL;
    char size[CLI_SIZE_TEXT];
    int64_t bytes = mmgr_download_number(job, MMGR_DOWNLOAD_NUMBER_BYTES);
    int status = 0;

    if (mmgr_download_text(job, MMGR_DOWNLOAD_TEXT_PATH, &path) != MMGR_OK ||
        mmgr_download_text(job, MMGR_DOWNLOAD_TEXT_SHA256, &sha256) != MMGR_OK) {
        status = cli_fail_last(cli);
    } else if (cli->json) {
        json_t *tree = json_object();

        json_object_set_new(tree, "path", cli_json_text(path));
        json_object_set_new(tree, "bytes", json_integer(bytes));
        json_object_set_new(tree, "sha256", cli_json_text(sha256));
        json_object_set_new(
            tree, "resumed_from",
            json_integer(mmgr_download_number(job, MMGR_DOWNLOAD_NUMBER_RESUMED_FROM)));
        status = cli_print_tree(cli, tree);
    } else {
        cli_line("path", path);
        cli_line("size", cli_size(size, (uint64_t)bytes));
        cli_line("sha256", sha256);
    }
    mmgr_string_free(path);
    mmgr_string_free(sha256);
    return status;
}

static int conclude(struct cli *cli, const mmgr_download *job, int signal)
{
    switch (mmgr_download_status(job)) {
    case MMGR_DOWNLOAD_COMPLETED:
        return print_downloaded(cli, job);
    case MMGR_DOWNLOAD_ERROR:
        return cli_fail_error(cli, mmgr_download_error(job));
    case MMGR_DOWNLOAD_CANCELLED:
        return cli_fail(cli, MMGR_ERR_CANCELLED, NULL, NULL, "the download was cancelled");
    default:
        break;
    }
    if (signal != 0) {
        return cli_interrupted(cli, signal,
                               "interrupted; the same command again goes on where it stopped");
    }
    return cli_fail(cli, MMGR_ERR_STATE, NULL, NULL, "the download stopped in state \"%s\"",
                    mmgr_download_status_name(mmgr_download_status(job)));
}

static int run_download(struct cli *cli, mmgr_queue *queue, const char *token)
{
    struct mmgr_download_options options = {sizeof options};
    struct cli_job follow = {.service = queue, .group = MMGR_EVENTS_DOWNLOAD};
    mmgr_download *job;
    int status, signal;

    options.source = cli->operands[0];
    options.destination = cli->operands[1];
    options.sha256 = cli_value(cli, OPT_SHA256);
    options.token = token;
    // What has come stays, so that the next call goes on from there.
    options.flags = MMGR_DOWNLOAD_PRESERVE_PARTIAL;
    if (mmgr_listener_open(mmgr_queue_bus(queue), MMGR_EVENTS_DOWNLOAD, &follow.listener) !=
        MMGR_OK) {
        return cli_fail_last(cli);
    }
    if (mmgr_queue_submit(queue, &options, &job) != MMGR_OK) {
        status = cli_fail_last(cli);
    } else {
        follow.id = mmgr_download_id(job);
        signal = cli_follow(cli, &follow);
        status = conclude(cli, job, signal);
        mmgr_download_unref(job);
    }
    mmgr_listener_close(follow.listener);
    return status;
}

static int open_queue(struct cli *cli, mmgr_config *config, mmgr_queue **queue)
{
    struct mmgr_queue_options options = {sizeof options, MMGR_QUEUE_QUIET};

    options.config = config;
    return mmgr_queue_open(&options, queue) == MMGR_OK ? 0 : cli_fail_last(cli);
}

int cli_download(struct cli *cli)
{
    const char *token;
    mmgr_config *config;
    mmgr_queue *queue;
    int status = cli_token(cli, &token);

    if (status == 0) {
        status = cli_open_config(cli, &config);
    }
    if (status != 0) {
        return status;
    }
    status = open_queue(cli, config, &queue);
    if (status == 0) {
        status = run_download(cli, queue, token);
        mmgr_queue_close(queue);
    }
    mmgr_config_unref(config);
    return status;
}

static void print_metadata(const mmgr_metadata *metadata)
{
    static const struct {
        const char *label;
        enum mmgr_metadata_text which;
    } texts[] = {{"id", MMGR_METADATA_ID},
                 {"type", MMGR_METADATA_TYPE},
                 {"name", MMGR_METADATA_NAME},
                 {"author", MMGR_METADATA_AUTHOR},
                 {"revision", MMGR_METADATA_REVISION},
                 {"last modified", MMGR_METADATA_LAST_MODIFIED},
                 {"page", MMGR_METADATA_PAGE_URL}};
    char size[CLI_SIZE_TEXT];
    uint32_t i;

    for (i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        cli_line(texts[i].label, mmgr_metadata_text(metadata, texts[i].which));
    }
    for (i = 0; i < mmgr_metadata_tag_count(metadata); i++) {
        cli_line(i == 0 ? "tags" : "", mmgr_metadata_tag(metadata, i));
    }
    for (i = 0; i < mmgr_metadata_file_count(metadata); i++) {
        uint64_t bytes = mmgr_metadata_file_size(metadata, i);

        printf("%-16s %10s  ", i == 0 ? "files" : "",
               bytes != UINT64_MAX ? cli_size(size, bytes) : "?");
        cli_put(stdout, mmgr_metadata_file_text(metadata, i, MMGR_METADATA_FILE_PATH));
        putchar('\n');
    }
}

static int fetch_from(struct cli *cli, mmgr_hub *hub, const char *token)
{
    mmgr_source *source;
    mmgr_metadata *metadata = NULL;
    char *json;
    int status = 0;

    if (mmgr_source_parse(cli->operands[0], &source) != MMGR_OK) {
        return cli_fail_last(cli);
    }
    if (mmgr_hub_fetch(hub, source, token, &metadata) != MMGR_OK) {
        status = cli_fail_last(cli);
    } else if (!cli->json) {
        print_metadata(metadata);
    } else if (mmgr_metadata_to_json(metadata, &json) != MMGR_OK) {
        status = cli_fail_last(cli);
    } else {
        status = cli_print_text(cli, json);
        mmgr_string_free(json);
    }
    mmgr_metadata_unref(metadata);
    mmgr_source_unref(source);
    return status;
}

int cli_fetch(struct cli *cli)
{
    struct mmgr_hub_options options = {sizeof options};
    const char *token;
    mmgr_config *config;
    mmgr_queue *queue;
    mmgr_hub *hub;
    int status = cli_token(cli, &token);

    if (status == 0) {
        status = cli_open_config(cli, &config);
    }
    if (status != 0) {
        return status;
    }
    // The queue is here for its transport only.
    status = open_queue(cli, config, &queue);
    if (status == 0) {
        options.config = config;
        if (mmgr_queue_transport(queue, &options.transport, &options.transport_self) != MMGR_OK ||
            mmgr_hub_open(&options, &hub) != MMGR_OK) {
            status = cli_fail_last(cli);
        } else {
            status = fetch_from(cli, hub, token);
            mmgr_hub_close(hub);
        }
        mmgr_queue_close(queue);
    }
    mmgr_config_unref(config);
    return status;
}
