/* SPDX-License-Identifier: MIT */
/* A host driven by lines of JSON on standard input, for the tests of the installer: one command a
 * line, one answer a line, and each event of the bus as a line of its own. It can kill itself, or
 * fail a step of the disk, at a numbered point. */
#include <errno.h>
#include <jansson.h>
#include <modelmgr/hash.h>
#include <modelmgr/manager.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/io.h"
#include "transfer/transfer.h"

static struct {
    mmgr_manager *manager;
    pthread_mutex_t out;
    /* what a handler does at the first event of a name */
    char at[64], action[32];
    int acted;
    /* the armed point of the disk */
    pthread_mutex_t hook;
    long count, kill_at, fail_at, fail_times;
    int fail_errno, trace;
} host = {.out = PTHREAD_MUTEX_INITIALIZER, .hook = PTHREAD_MUTEX_INITIALIZER};

static void say(json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT);
    pthread_mutex_lock(&host.out);
    puts(text);
    fflush(stdout);
    pthread_mutex_unlock(&host.out);
    free(text);
    json_decref(line);
}

static const char *text(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static uint64_t number(const json_t *object, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(object, name));
}

/* The answer to a command: the result's name and, when it failed, the error. */
static json_t *answer(const char *command, enum mmgr_result result)
{
    json_t *line = json_pack("{s:s, s:s}", "re", command, "code", mmgr_result_name(result));
    if (result != MMGR_OK) {
        const mmgr_error *error = mmgr_last_error();
        json_object_set_new(line, "message", json_string(mmgr_error_message(error)));
        json_object_set_new(line, "field", json_string(mmgr_error_field(error)));
        json_object_set_new(line, "subject", json_string(mmgr_error_subject(error)));
        json_object_set_new(line, "true_code",
                            json_string(mmgr_result_name(mmgr_error_code(error))));
    }
    return line;
}

/* --- points of the disk */

static const char *const op_names[] = {"open",   "write", "truncate", "allocate", "fsync", "rename",
                                       "unlink", "mkdir", "rmdir",    "link",     "clone", "point"};

static int on_step(enum mmgr__io_op op, const char *name, void *user)
{
    pthread_mutex_lock(&host.hook);
    long count = ++host.count;
    int fails = host.fail_at && count >= host.fail_at && count < host.fail_at + host.fail_times;
    int trace = host.trace;
    pthread_mutex_unlock(&host.hook);
    if (trace)
        say(json_pack("{s:I, s:s, s:s}", "step", (json_int_t)count, "op", op_names[op], "name",
                      name));
    if (host.kill_at && count == host.kill_at)
        kill(getpid(), SIGKILL);
    return fails ? host.fail_errno : 0;
}

static void arm(const json_t *command)
{
    pthread_mutex_lock(&host.hook);
    host.count = 0;
    host.kill_at = (long)number(command, "kill");
    host.fail_at = (long)number(command, "fail");
    host.fail_times = number(command, "times") ? (long)number(command, "times") : 1;
    host.fail_errno = (int)number(command, "errno");
    host.trace = json_is_true(json_object_get(command, "trace"));
    pthread_mutex_unlock(&host.hook);
    mmgr__io_set_hook(on_step, NULL);
    say(answer("arm", MMGR_OK));
}

static void disarm(void)
{
    mmgr__io_set_hook(NULL, NULL);
    json_t *line = answer("disarm", MMGR_OK);
    json_object_set_new(line, "count", json_integer(host.count));
    say(line);
}

/* --- events */

static void on_event(const mmgr_event *event, enum mmgr_decision *decision, void *user)
{
    char *json = NULL;
    mmgr_installer *installer = mmgr_manager_installer(host.manager);
    if (mmgr_event_to_json(event, &json) == MMGR_OK) {
        json_t *line = json_object();
        json_object_set_new(line, "ev", json_loads(json, 0, NULL));
        mmgr_string_free(json);
        say(line);
    }
    if (host.acted || strcmp(mmgr_event_name(event), host.at) != 0)
        return;
    host.acted = 1;
    uint64_t id = mmgr_event_job(event);
    if (strcmp(host.action, "decide_cancel") == 0)
        *decision = MMGR_DECISION_CANCEL;
    else if (strcmp(host.action, "decide_pause") == 0)
        *decision = MMGR_DECISION_PAUSE;
    else if (strcmp(host.action, "decide_fail") == 0)
        *decision = MMGR_DECISION_FAIL;
    else if (strcmp(host.action, "cancel") == 0)
        say(answer("at", mmgr_installer_cancel(installer, id)));
    else if (strcmp(host.action, "pause") == 0)
        say(answer("at", mmgr_installer_pause(installer, id)));
    else if (strcmp(host.action, "close") == 0)
        say(answer("at", mmgr_manager_close(host.manager)));
    else if (strcmp(host.action, "record") == 0) {
        mmgr_install *job = NULL;
        mmgr_record *record = NULL;
        mmgr_installer_get(installer, id, &job);
        say(answer("at", mmgr_install_record(job, &record)));
        mmgr_record_unref(record);
        mmgr_install_unref(job);
    }
}

/* --- commands */

static json_t *record_json(const mmgr_record *record)
{
    char *json = NULL;
    if (mmgr_record_to_json(record, &json) != MMGR_OK)
        return json_null();
    json_t *root = json_loads(json, 0, NULL), *files = json_array();
    mmgr_string_free(json);
    json_object_set_new(root, "_location", json_string(mmgr_record_location(record)));
    json_object_set_new(root, "_source_url",
                        json_string(mmgr_record_text(record, MMGR_FIELD_SOURCE_URL)));
    json_object_set_new(root, "_revision",
                        json_string(mmgr_record_text(record, MMGR_FIELD_REVISION)));
    for (uint32_t i = 0; i < mmgr_record_file_count(record); i++)
        json_array_append_new(files, json_pack("{s:s, s:I, s:s?, s:i}", "path",
                                               mmgr_record_file_path(record, i), "size",
                                               (json_int_t)mmgr_record_file_size(record, i),
                                               "sha256", mmgr_record_file_hash(record, i, "sha256"),
                                               "flags", (int)mmgr_record_file_flags(record, i)));
    json_object_set_new(root, "_files", files);
    return root;
}

static void do_open(const json_t *command)
{
    struct mmgr_manager_options options = {
        .struct_size = sizeof options,
        .root = text(command, "root"),
        .flags = json_is_true(json_object_get(command, "ro")) ? MMGR_MANAGER_READ_ONLY : 0};
    enum mmgr_result result = mmgr_manager_open(&options, &host.manager);
    json_t *line = answer("open", result);
    if (result == MMGR_OK) {
        struct mmgr__transfer_tuning tuning = {.backoff_base_ns = 20000000,
                                               .backoff_cap_ns = 50000000,
                                               .wait_cap_ns = 1000000000,
                                               .stall_ns = 5000000000,
                                               .sync_bytes = 256 << 10};
        mmgr__queue_tune(mmgr_manager_queue(host.manager), &tuning);
        mmgr_bus_subscribe(mmgr_manager_bus(host.manager), MMGR_EVENTS_INSTALL, on_event, NULL,
                           NULL, NULL);
    }
    say(line);
}

static struct mmgr_install_options install_options(const json_t *command, char **overrides)
{
    json_t *given = json_object_get(command, "overrides");
    *overrides = given ? json_dumps(given, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    return (struct mmgr_install_options){.struct_size = sizeof(struct mmgr_install_options),
                                         .flags = (uint32_t)number(command, "flags"),
                                         .source = text(command, "source"),
                                         .variant = text(command, "variant"),
                                         .revision = text(command, "revision"),
                                         .token = text(command, "token"),
                                         .name = text(command, "name"),
                                         .overrides = *overrides};
}

static void do_submit(const json_t *command)
{
    char *overrides;
    struct mmgr_install_options options = install_options(command, &overrides);
    mmgr_install *job = NULL;
    enum mmgr_result result =
        mmgr_installer_submit(mmgr_manager_installer(host.manager), &options, &job);
    json_t *line = answer("submit", result);
    if (job)
        json_object_set_new(line, "job", json_integer((json_int_t)mmgr_install_id(job)));
    mmgr_install_unref(job);
    free(overrides);
    say(line);
}

static void do_plan(const json_t *command)
{
    char *overrides, *json = NULL;
    struct mmgr_install_options options = install_options(command, &overrides);
    mmgr_plan *plan = NULL;
    enum mmgr_result result =
        mmgr_installer_plan(mmgr_manager_installer(host.manager), &options, &plan);
    json_t *line = answer("plan", result);
    if (plan && mmgr_plan_to_json(plan, &json) == MMGR_OK)
        json_object_set_new(line, "plan", json_loads(json, 0, NULL));
    mmgr_string_free(json);
    mmgr_plan_free(plan);
    free(overrides);
    say(line);
}

static json_t *job_json(const mmgr_install *job)
{
    uint64_t bytes, total;
    mmgr_install_progress(job, &bytes, &total);
    json_t *line =
        json_pack("{s:I, s:s, s:I, s:I, s:b}", "id", (json_int_t)mmgr_install_id(job), "status",
                  mmgr_install_status_name(mmgr_install_status(job)), "bytes", (json_int_t)bytes,
                  "total", (json_int_t)total, "inplace", mmgr_install_is_inplace(job));
    static const char *const names[] = {"", "source", "local_path", "config_in", "key"};
    for (int i = MMGR_INSTALL_TEXT_SOURCE; i <= MMGR_INSTALL_TEXT_KEY; i++) {
        char *value = NULL;
        mmgr_install_text(job, (enum mmgr_install_text)i, &value);
        json_object_set_new(line, names[i], value ? json_string(value) : json_null());
        mmgr_string_free(value);
    }
    const mmgr_error *error = mmgr_install_error(job);
    if (error)
        json_object_set_new(line, "error",
                            json_pack("{s:s, s:s, s:s}", "code",
                                      mmgr_result_name(mmgr_error_code(error)), "message",
                                      mmgr_error_message(error), "subject",
                                      mmgr_error_subject(error) ? mmgr_error_subject(error) : ""));
    mmgr_record *record = NULL;
    if (mmgr_install_record(job, &record) == MMGR_OK)
        json_object_set_new(line, "record", record_json(record));
    mmgr_record_unref(record);
    return line;
}

static void do_job(const json_t *command)
{
    mmgr_install *job = NULL;
    enum mmgr_result result =
        mmgr_installer_get(mmgr_manager_installer(host.manager), number(command, "job"), &job);
    json_t *line = answer("job", result);
    json_t *members = job ? job_json(job) : NULL;
    if (members)
        json_object_update(line, members);
    json_decref(members);
    mmgr_install_unref(job);
    say(line);
}

static void do_jobs(const json_t *command)
{
    mmgr_install_list *list = NULL;
    enum mmgr_result result =
        mmgr_installer_list(mmgr_manager_installer(host.manager), text(command, "source"), &list);
    json_t *line = answer("jobs", result), *jobs = json_array();
    for (uint32_t i = 0; i < mmgr_install_list_count(list); i++)
        json_array_append_new(jobs, job_json(mmgr_install_list_at(list, i)));
    json_object_set_new(line, "jobs", jobs);
    mmgr_install_list_free(list);
    say(line);
}

static void do_path(const json_t *command, int copy)
{
    char *overrides;
    mmgr_record *record = NULL;
    install_options(command, &overrides);
    mmgr_installer *installer = mmgr_manager_installer(host.manager);
    enum mmgr_result result =
        copy ? mmgr_installer_install_path(installer, text(command, "path"), overrides, &record)
             : mmgr_installer_register_path(installer, text(command, "path"), overrides, &record);
    json_t *line = answer(text(command, "do"), result);
    if (record)
        json_object_set_new(line, "record", record_json(record));
    mmgr_record_unref(record);
    free(overrides);
    say(line);
}

static void do_relocate(const json_t *command)
{
    mmgr_record *record = NULL;
    enum mmgr_result result = mmgr_installer_relocate(
        mmgr_manager_installer(host.manager), text(command, "key"), text(command, "path"),
        (uint32_t)number(command, "flags"), &record);
    json_t *line = answer("relocate", result);
    if (record)
        json_object_set_new(line, "record", record_json(record));
    mmgr_record_unref(record);
    say(line);
}

static void do_records(void)
{
    mmgr_record_list *list = NULL;
    mmgr_store *store = mmgr_manager_store(host.manager);
    enum mmgr_result result = mmgr_store_search(store, NULL, &list);
    json_t *line = answer("records", result), *records = json_array();
    for (uint32_t i = 0; i < mmgr_record_list_count(list); i++) {
        mmgr_record *record = NULL;
        if (mmgr_store_get(store, mmgr_record_text(mmgr_record_list_at(list, i), MMGR_FIELD_KEY),
                           &record) == MMGR_OK)
            json_array_append_new(records, record_json(record));
        mmgr_record_unref(record);
    }
    json_object_set_new(line, "records", records);
    mmgr_record_list_free(list);
    say(line);
}

static enum mmgr_result relink(const json_t *command, char **json)
{
    const json_t *given = json_object_get(command, "folders");
    const char *folders[8];
    struct mmgr_relink_options options = {.struct_size = sizeof options,
                                          .flags = (uint32_t)number(command, "flags"),
                                          .folders = folders};
    for (size_t i = 0; i < json_array_size(given) && i < 8; i++)
        folders[options.folder_count++] = json_string_value(json_array_get(given, i));
    return mmgr_installer_relink(mmgr_manager_installer(host.manager), &options, json);
}

/* The commands whose answer is a JSON text. */
static void do_text(const json_t *command)
{
    mmgr_installer *installer = mmgr_manager_installer(host.manager);
    const char *name = text(command, "do");
    char *json = NULL;
    enum mmgr_result result =
        strcmp(name, "remove") == 0
            ? mmgr_installer_remove(installer, text(command, "key"),
                                    (enum mmgr_remove_mode)number(command, "mode"), &json)
        : strcmp(name, "sync") == 0    ? mmgr_installer_sync(installer, &json)
        : strcmp(name, "rebuild") == 0 ? mmgr_installer_rebuild(installer, &json)
                                       : relink(command, &json);
    json_t *line = answer(text(command, "do"), result);
    if (json)
        json_object_set_new(line, "out", json_loads(json, 0, NULL));
    mmgr_string_free(json);
    say(line);
}

static void do_close(void)
{
    mmgr_install_list *list = NULL;
    mmgr_installer_list(mmgr_manager_installer(host.manager), NULL, &list);
    enum mmgr_result result = mmgr_manager_close(host.manager);
    json_t *line = answer("close", result), *jobs = json_array();
    if (result == MMGR_OK)
        host.manager = NULL;
    /* a job that the host keeps can still be asked */
    for (uint32_t i = 0; i < mmgr_install_list_count(list); i++)
        json_array_append_new(jobs, json_string(mmgr_install_status_name(
                                        mmgr_install_status(mmgr_install_list_at(list, i)))));
    json_object_set_new(line, "jobs", jobs);
    mmgr_install_list_free(list);
    say(line);
}

static void run(const json_t *command)
{
    const char *name = text(command, "do");
    mmgr_installer *installer = host.manager ? mmgr_manager_installer(host.manager) : NULL;
    uint64_t job = number(command, "job");
    int64_t limit = json_object_get(command, "seconds")
                        ? (int64_t)(json_number_value(json_object_get(command, "seconds")) * 1e9)
                        : INT64_C(60000000000);
    if (strcmp(name, "open") == 0)
        do_open(command);
    else if (strcmp(name, "arm") == 0)
        arm(command);
    else if (strcmp(name, "disarm") == 0)
        disarm();
    else if (strcmp(name, "at") == 0) {
        snprintf(host.at, sizeof host.at, "%s", text(command, "event"));
        snprintf(host.action, sizeof host.action, "%s", text(command, "action"));
        host.acted = 0;
    } else if (strcmp(name, "submit") == 0)
        do_submit(command);
    else if (strcmp(name, "plan") == 0)
        do_plan(command);
    else if (strcmp(name, "wait") == 0)
        say(answer(name, mmgr_installer_wait(installer, job, limit)));
    else if (strcmp(name, "wait_all") == 0)
        say(answer(name, mmgr_installer_wait_all(installer, limit)));
    else if (strcmp(name, "pause") == 0)
        say(answer(name, mmgr_installer_pause(installer, job)));
    else if (strcmp(name, "resume") == 0)
        say(answer(name, mmgr_installer_resume(installer, job)));
    else if (strcmp(name, "cancel") == 0)
        say(answer(name, mmgr_installer_cancel(installer, job)));
    else if (strcmp(name, "prune") == 0)
        say(answer(name, mmgr_installer_prune(installer)));
    else if (strcmp(name, "job") == 0)
        do_job(command);
    else if (strcmp(name, "jobs") == 0)
        do_jobs(command);
    else if (strcmp(name, "install_path") == 0 || strcmp(name, "register_path") == 0)
        do_path(command, *name == 'i');
    else if (strcmp(name, "records") == 0)
        do_records();
    else if (strcmp(name, "update") == 0) {
        char *patch = json_dumps(json_object_get(command, "patch"), JSON_COMPACT);
        say(answer(name, mmgr_store_update(mmgr_manager_store(host.manager), text(command, "key"),
                                           patch, NULL)));
        free(patch);
    } else if (strcmp(name, "hash") == 0) {
        char *hash = NULL;
        json_t *line =
            answer(name, mmgr_hash_path(text(command, "path"), text(command, "algorithm"), &hash));
        json_object_set_new(line, "hash", hash ? json_string(hash) : json_null());
        mmgr_string_free(hash);
        say(line);
    } else if (strcmp(name, "relocate") == 0)
        do_relocate(command);
    else if (strcmp(name, "remove") == 0 || strcmp(name, "sync") == 0 ||
             strcmp(name, "rebuild") == 0 || strcmp(name, "relink") == 0)
        do_text(command);
    else if (strcmp(name, "close") == 0)
        do_close();
    else
        say(json_pack("{s:s, s:s}", "re", name, "code", "unknown command"));
}

int main(void)
{
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, stdin) > 0) {
        json_t *command = json_loads(line, 0, NULL);
        if (command)
            run(command);
        json_decref(command);
    }
    free(line);
    if (host.manager)
        mmgr_manager_close(host.manager);
    return 0;
}
