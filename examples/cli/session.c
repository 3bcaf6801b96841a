/* SPDX-License-Identifier: MIT */
/* Opening what commands need, and following a job to its end. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

#define TICK_MS 100
#define QUIET_TICKS 5          /* empty ticks after which a job's status counts without its event */
#define PAUSE_NS INT64_C(10000000000) /* longest wait for a job to pause */

/* Absolute form of --store, so that it does not depend on the root. Given, or NULL without it. */
static int store_path(struct cli *cli, char **path)
{
    const char *given = cli_value(cli, OPT_STORE);
    char *folder;

    *path = NULL;
    if (given == NULL) {
        return 0;
    }
    // The URI is not repeated: it may hold a password.
    if (strstr(given, "://") != NULL) {
        return cli_fail(cli, MMGR_ERR_UNSUPPORTED, NULL, NULL,
                        "--store wants a file: this library has no store behind a URI");
    }
    if (given[0] == '/') {
        *path = strdup(given);
    } else if ((folder = getcwd(NULL, 0)) != NULL) {
        *path = malloc(strlen(folder) + strlen(given) + 2);
        if (*path != NULL) {
            sprintf(*path, "%s/%s", folder, given);
        }
        free(folder);
    }
    return *path != NULL ? 0 : cli_fail(cli, MMGR_ERR_NO_MEMORY, NULL, NULL, "out of memory");
}

int cli_open_config(struct cli *cli, mmgr_config **config)
{
    struct mmgr_config_options options = {sizeof options};
    mmgr_config *made;
    char *store;
    int status = store_path(cli, &store);

    if (status != 0) {
        return status;
    }
    options.root = cli_value(cli, OPT_ROOT);
    if (mmgr_config_new(&options, &made) != MMGR_OK) {
        free(store);
        return cli_fail_last(cli);
    }
    if (store != NULL && mmgr_config_set(made, "model_config_db", store) != MMGR_OK) {
        status = cli_fail_last(cli);
    }
    free(store);
    if (status == 0) {
        *config = made;
    } else {
        mmgr_config_unref(made);
    }
    return status;
}

/* Whether looking may also recover: there is a root that can be written to, and the store that was
 * named, if one was, is no slip of the pen that would become a new one. */
static int may_recover(const mmgr_config *config, const char *store)
{
    const char *root = mmgr_config_get(config, "root");

    return root != NULL && access(root, W_OK | X_OK) == 0 &&
           (store == NULL || access(store, F_OK) == 0);
}

int cli_open_manager(struct cli *cli, enum cli_access access, mmgr_manager **manager)
{
    struct mmgr_manager_options options = {sizeof options};
    mmgr_device *device = NULL;
    mmgr_config *config;
    char *store;
    int status = cli_open_config(cli, &config);

    if (status != 0) {
        return status;
    }
    status = store_path(cli, &store);
    if (status == 0 && cli_has(cli, OPT_DEVICE) &&
        mmgr_device_open(cli_value(cli, OPT_DEVICE), &device) != MMGR_OK) {
        status = cli_fail_last(cli);
    }
    if (status == 0) {
        options.config = config;
        options.store_path = store;
        options.device = device;
        if (access == CLI_PLAN || (access == CLI_LOOK && !may_recover(config, store))) {
            options.flags = MMGR_MANAGER_READ_ONLY;
        }
        if (cli_has(cli, OPT_LENIENT)) {
            options.flags |= MMGR_MANAGER_LENIENT;
        }
        if (mmgr_manager_open(&options, manager) != MMGR_OK) {
            status = cli_fail_last(cli);
        }
    }
    mmgr_device_unref(device);
    mmgr_config_unref(config);
    free(store);
    return status;
}

int cli_find_record(struct cli *cli, mmgr_store *store, const char *key_or_name,
                    mmgr_record **record)
{
    enum mmgr_result result = mmgr_store_get(store, key_or_name, record);

    // A name may hold what no key does, so a malformed key is just not a key.
    if (result == MMGR_ERR_UNKNOWN_MODEL || result == MMGR_ERR_ARGUMENT) {
        mmgr_record *named;

        result = mmgr_store_get_by_name(store, key_or_name, NULL, NULL, &named);
        if (result == MMGR_ERR_UNKNOWN_MODEL) {
            return cli_fail(cli, result, NULL, key_or_name, "no model has the key or name \"%s\"",
                            key_or_name);
        }
        if (result == MMGR_OK) {
            // By key once more, for the manifest.
            result = mmgr_store_get(store, mmgr_record_text(named, MMGR_FIELD_KEY), record);
            mmgr_record_unref(named);
        }
    }
    return result == MMGR_OK ? 0 : cli_fail_last(cli);
}

static int is_stopped(const struct cli_job *job)
{
    int stopped = 1;

    if (job->group == MMGR_EVENTS_INSTALL) {
        mmgr_install *install;

        if (mmgr_installer_get(job->service, job->id, &install) == MMGR_OK) {
            stopped = mmgr_install_is_terminal(install) ||
                      mmgr_install_status(install) == MMGR_INSTALL_PAUSED;
            mmgr_install_unref(install);
        }
    } else {
        mmgr_download *download;

        if (mmgr_queue_get(job->service, job->id, &download) == MMGR_OK) {
            stopped = mmgr_download_status(download) >= MMGR_DOWNLOAD_PAUSED;
            mmgr_download_unref(download);
        }
    }
    return stopped;
}

static int is_last_event(const struct cli_job *job, enum mmgr_event_type type)
{
    if (job->group == MMGR_EVENTS_INSTALL) {
        return type >= MMGR_EVENT_INSTALL_COMPLETED && type <= MMGR_EVENT_INSTALL_PAUSED;
    }
    return type >= MMGR_EVENT_DOWNLOAD_PAUSED && type <= MMGR_EVENT_DOWNLOAD_CANCELLED;
}

static int is_of_group(const struct cli_job *job, enum mmgr_event_type type)
{
    enum mmgr_event_type first = job->group == MMGR_EVENTS_INSTALL ? MMGR_EVENT_INSTALL_DOWNLOADING
                                                                   : MMGR_EVENT_DOWNLOAD_ENQUEUED;

    return type >= first && type < first + 20;
}

static void print_event(struct cli *cli, const mmgr_event *event)
{
    char *json;

    if (cli->events && mmgr_event_to_json(event, &json) == MMGR_OK) {
        cli_print_text(cli, json);
        fflush(stdout);
        mmgr_string_free(json);
    }
}

/* Takes all events that wait. *taken counts them; 1 when the job's last one was among them. */
static int take_events(struct cli *cli, const struct cli_job *job, int *taken)
{
    mmgr_event *event;
    int last = 0;

    while (mmgr_listener_next(job->listener, MMGR_WAIT_NONE, &event) == MMGR_OK) {
        enum mmgr_event_type type = mmgr_event_type(event);

        (*taken)++;
        print_event(cli, event);
        if (is_of_group(job, type) && mmgr_event_job(event) == job->id) {
            cli_progress_event(event);
            last |= is_last_event(job, type);
        }
        mmgr_event_unref(event);
    }
    return last;
}

/* Returns 1 when the job will pause, 0 when it is past pausing and is waited for, -1 when it has
 * not begun to bring anything. */
static int ask_for_pause(const struct cli_job *job)
{
    if (job->group == MMGR_EVENTS_INSTALL) {
        mmgr_install *install;
        int waiting = 0;

        if (mmgr_installer_pause(job->service, job->id) == MMGR_OK) {
            return 1;
        }
        if (mmgr_installer_get(job->service, job->id, &install) == MMGR_OK) {
            waiting = mmgr_install_status(install) == MMGR_INSTALL_WAITING;
            mmgr_install_unref(install);
        }
        return waiting ? -1 : 0;
    }
    return mmgr_queue_pause(job->service, job->id) == MMGR_OK;
}

int cli_follow(struct cli *cli, const struct cli_job *job)
{
    struct pollfd fds[2] = {{.fd = mmgr_listener_fd(job->listener), .events = POLLIN},
                            {.fd = cli_signals_hold(), .events = POLLIN}};
    int interrupted = 0, idle = 0;
    int64_t asked = 0;

    cli_progress_begin(cli);
    for (;;) {
        int taken = 0;

        if (poll(fds, 2, TICK_MS) < 0 && errno != EINTR) {
            break;
        }
        if (take_events(cli, job, &taken)) {
            break;
        }
        cli_progress_tick();
        if (cli_signals_caught() != 0 && interrupted == 0) {
            int answer = ask_for_pause(job);

            interrupted = answer != 0 ? cli_signals_caught() : -1;
            asked = cli_now();
            fds[1].fd = -1;
            if (answer < 0) {
                break;
            }
            if (answer == 0) {
                cli_note(cli, "the files are being put in their place; this is finished first");
            }
        }
        // The event normally tells; the status is the way out should it not come.
        idle = taken == 0 && is_stopped(job) ? idle + 1 : 0;
        if (idle >= QUIET_TICKS || (interrupted > 0 && cli_now() - asked > PAUSE_NS)) {
            break;
        }
    }
    cli_progress_end();
    cli_signals_release();
    return interrupted > 0 ? interrupted : 0;
}
