/* SPDX-License-Identifier: MIT */
/* From the options of a caller to a job: checks, the live job of the same source, plans for a
 * dry run, and the calls that wait for a local install. */
#include <string.h>

#include "base/alloc.h"
#include "base/config.h"
#include "base/event.h"
#include "base/fields.h"
#include "base/json.h"
#include "base/options.h"
#include "hub/hub.h"
#include "install/install.h"
#include "probe/prober.h"

void mmgr__install_append(mmgr_installer *installer, mmgr_install *job)
{
    job->id = installer->next_id++;
    *installer->jobs_tail = mmgr_install_ref(job);
    installer->jobs_tail = &job->next;
}

/* An address of the configured hub is a repository, which a parser without the config cannot know.
 * */
static void pages_to_repository(const mmgr_installer *installer, mmgr_source **source)
{
    mmgr_source *repository;
    const char *endpoint = mmgr__config_hf_endpoint(installer->config);
    if (mmgr_source_kind(*source) != MMGR_SOURCE_URL ||
        mmgr__source_at_endpoint(*source, endpoint, &repository) != MMGR_OK)
        return;
    mmgr_source_unref(*source);
    *source = repository;
}

/* The source with the options' variant and revision written into it, so that one text says it
 * all. */
static enum mmgr_result effective_source(const mmgr_installer *installer,
                                         const struct mmgr_install_options *options,
                                         mmgr_source **source)
{
    mmgr_source *parsed;
    enum mmgr_result result = mmgr_source_parse(options->source, &parsed);
    if (result != MMGR_OK)
        return result;
    pages_to_repository(installer, &parsed);
    if ((!options->variant && !options->revision) ||
        mmgr_source_kind(parsed) != MMGR_SOURCE_HUGGINGFACE) {
        if (mmgr_source_kind(parsed) != MMGR_SOURCE_HUGGINGFACE && options->revision) {
            mmgr_source_unref(parsed);
            return mmgr__fail(MMGR_ERR_ARGUMENT, "%s has no revisions", options->source);
        }
        *source = parsed;
        return MMGR_OK;
    }
    const char *variant =
        options->variant ? options->variant : mmgr_source_part(parsed, MMGR_SOURCE_PART_VARIANT);
    const char *revision =
        options->revision ? options->revision : mmgr_source_part(parsed, MMGR_SOURCE_PART_REVISION);
    const char *subfolder = mmgr_source_part(parsed, MMGR_SOURCE_PART_SUBFOLDER);
    char *text =
        mmgr__printf("hf:%s%s%s%s%s%s%s", mmgr_source_part(parsed, MMGR_SOURCE_PART_REPO),
                     revision ? "@" : "", revision ? revision : "", variant || subfolder ? ":" : "",
                     variant ? variant : "", subfolder ? ":" : "", subfolder ? subfolder : "");
    result = text ? mmgr_source_parse(text, source) : mmgr__oom();
    mmgr__free(text);
    mmgr_source_unref(parsed);
    return result;
}

/* Before anything is fetched: a mistake must not come out when the last byte is there. */
static enum mmgr_result check_overrides(const mmgr_installer *installer, const char *overrides)
{
    json_t *object;
    if (!overrides)
        return MMGR_OK;
    enum mmgr_result result = mmgr__json_parse(overrides, strlen(overrides),
                                               MMGR_ERR_INVALID_CONFIG, "overrides", &object);
    if (result != MMGR_OK)
        return result;
    if (!json_is_object(object))
        result = mmgr__fail(MMGR_ERR_INVALID_CONFIG, "the overrides are no JSON object");
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value) if (result == MMGR_OK && (!mmgr__field_by_name(name) ||
                                                                       strcmp(name, "path") == 0))
    {
        result = mmgr__fail(MMGR_ERR_INVALID_CONFIG,
                            strcmp(name, "path") == 0 ? "the installer chooses the field \"%s\""
                                                      : "records have no field \"%s\"",
                            name);
        mmgr__error_set_field(name);
    }
    json_decref(object);
    return result == MMGR_OK ? mmgr__prober_check_overrides(installer->prober, overrides) : result;
}

static enum mmgr_result check_name(const char *name)
{
    mmgr_record_builder *builder;
    if (!name)
        return MMGR_OK;
    enum mmgr_result result = mmgr_record_builder_new(NULL, &builder);
    if (result != MMGR_OK)
        return result;
    result = mmgr_record_builder_set(builder, MMGR_FIELD_NAME, name);
    mmgr_record_builder_free(builder);
    if (result == MMGR_OK && !*name) {
        result = mmgr__fail(MMGR_ERR_INVALID_CONFIG, "the name is empty");
        mmgr__error_set_field("name");
    }
    return result;
}

static enum mmgr_result check_options(const mmgr_installer *installer,
                                      const struct mmgr_install_options *given)
{
    const uint32_t known = MMGR_INSTALL_INPLACE | MMGR_INSTALL_MOVE | MMGR_INSTALL_ALLOW_UNKNOWN;
    if (given->flags & ~known ||
        (given->flags & MMGR_INSTALL_INPLACE && given->flags & MMGR_INSTALL_MOVE))
        return mmgr__bad_argument("flags");
    if (given->reserved)
        return mmgr__bad_argument("reserved");
    enum mmgr_result result = check_name(given->name);
    return result == MMGR_OK ? check_overrides(installer, given->overrides) : result;
}

/* With the mutex held: a job of the same source that has not ended. */
static mmgr_install *live_job(mmgr_installer *installer, const mmgr_install *made)
{
    const uint32_t kinds = MMGR_INSTALL_INPLACE | MMGR_INSTALL_MOVE;
    for (mmgr_install *job = installer->jobs; job; job = job->next)
        if (!mmgr__install_ended(job->status) && strcmp(job->source, made->source) == 0 &&
            (job->flags & kinds) == (made->flags & kinds))
            return job;
    return NULL;
}

/* With the mutex held: a paused job takes the options of the submission that it answers. Overrides
 * that are not given again are gone: they may be what made the job fail. */
static void take_options(mmgr_install *job, mmgr_install *made)
{
    if (!made->overrides) {
        mmgr__free(job->overrides);
        job->overrides = NULL;
        if (job->plan) {
            mmgr__free(job->plan->overrides);
            job->plan->overrides = NULL;
        }
    }
    char **from[] = {&made->token, &made->overrides, &made->name};
    char **to[] = {&job->token, &job->overrides, &job->name};
    char **plan[] = {NULL, job->plan ? &job->plan->overrides : NULL,
                     job->plan ? &job->plan->name : NULL};
    for (size_t i = 0; i < 3; i++) {
        char *copy = *from[i] && plan[i] ? mmgr__strdup(*from[i]) : NULL;
        if (*from[i] && (copy || !plan[i])) {
            mmgr__free(*to[i]);
            *to[i] = *from[i];
            *from[i] = NULL;
        }
        if (copy) {
            mmgr__free(*plan[i]);
            *plan[i] = copy;
        }
    }
    if (job->name && job->plan)
        job->plan->named = 1;
    job->flags |= made->flags & MMGR_INSTALL_ALLOW_UNKNOWN;
    if (job->plan)
        job->plan->flags = job->flags;
}

/* The job that answers a submission: a live one of the same source, or `made`, which then is in
 * the list. */
static mmgr_install *enter_job(mmgr_installer *installer, mmgr_install *made, int *resume)
{
    pthread_mutex_lock(&installer->mutex);
    mmgr_install *job = live_job(installer, made);
    *resume = job && job->status == MMGR_INSTALL_PAUSED;
    if (*resume)
        take_options(job, made);
    if (!job && !installer->closing)
        mmgr__install_append(installer, job = made);
    if (job)
        mmgr_install_ref(job);
    pthread_mutex_unlock(&installer->mutex);
    return job;
}

static enum mmgr_result submit_source(mmgr_installer *installer,
                                      const struct mmgr_install_options *given, mmgr_source *source,
                                      mmgr_install **job)
{
    mmgr_install *made, *entered;
    int resume;
    enum mmgr_result result = mmgr__install_new(installer, given, source, &made);
    if (result != MMGR_OK)
        return result;
    entered = enter_job(installer, made, &resume);
    if (!entered)
        result = mmgr__fail(MMGR_ERR_STATE, "this installer is closing");
    else if (resume)
        result = mmgr__install_resume(installer, entered);
    else if (entered == made &&
             (result = mmgr__worker_push(installer, &installer->planner, made)) != MMGR_OK)
        mmgr__install_fail(made);
    mmgr_install_unref(made);
    if (result == MMGR_OK && job)
        *job = entered;
    else
        mmgr_install_unref(entered);
    return result;
}

enum mmgr_result mmgr_installer_submit(mmgr_installer *installer,
                                       const struct mmgr_install_options *options,
                                       mmgr_install **job)
{
    struct mmgr_install_options given;
    enum mmgr_result result = MMGR__IMPORT(given, options, reserved);
    if (result != MMGR_OK)
        return result;
    if (!installer || !given.source)
        return mmgr__bad_argument(installer ? "source" : "installer");
    if (installer->read_only)
        return mmgr__fail(MMGR_ERR_STATE, "this installer takes no jobs");
    mmgr_source *source;
    if ((result = check_options(installer, &given)) != MMGR_OK ||
        (result = effective_source(installer, &given, &source)) != MMGR_OK)
        return result;
    if (mmgr_source_kind(source) != MMGR_SOURCE_LOCAL && mmgr__config_offline(installer->config))
        result = mmgr__fail(MMGR_ERR_OFFLINE, "%s cannot be fetched in offline mode", given.source);
    else
        result = submit_source(installer, &given, source, job);
    mmgr_source_unref(source);
    return result;
}

enum mmgr_result mmgr_installer_plan(mmgr_installer *installer,
                                     const struct mmgr_install_options *options, mmgr_plan **plan)
{
    struct mmgr_install_options given;
    enum mmgr_result result = MMGR__IMPORT(given, options, reserved);
    if (result != MMGR_OK)
        return result;
    if (!installer || !plan || !given.source)
        return mmgr__bad_argument(!installer ? "installer" : plan ? "source" : "plan");
    mmgr_source *source;
    if ((result = check_options(installer, &given)) != MMGR_OK ||
        (result = effective_source(installer, &given, &source)) != MMGR_OK)
        return result;
    result = mmgr__plan_make(installer, &given, source, plan);
    mmgr_source_unref(source);
    return result;
}

static enum mmgr_result run_local(mmgr_installer *installer, const char *path,
                                  const char *overrides, uint32_t flags, mmgr_record **record)
{
    if (!installer || !path)
        return mmgr__bad_argument(installer ? "path" : "installer");
    if (mmgr__bus_in_handler(installer->bus))
        return mmgr__fail(MMGR_ERR_BUSY, "waiting from a handler would never end");
    char *source = mmgr__printf("file:%s", path);
    struct mmgr_install_options options = {
        .struct_size = sizeof options, .flags = flags, .source = source, .overrides = overrides};
    mmgr_install *job;
    enum mmgr_result result =
        source ? mmgr_installer_submit(installer, &options, &job) : mmgr__oom();
    mmgr__free(source);
    if (result != MMGR_OK)
        return result;
    result = mmgr_installer_wait(installer, job->id, MMGR_WAIT_FOREVER);
    enum mmgr_install_status status = mmgr_install_status(job);
    if (result == MMGR_OK && status != MMGR_INSTALL_COMPLETED)
        result = status == MMGR_INSTALL_ERROR
                     ? mmgr__error_restore(&job->error)
                     : mmgr__fail(MMGR_ERR_CANCELLED, "the install of %s was cancelled", path);
    if (result == MMGR_OK && record)
        *record = mmgr_record_ref(job->record);
    mmgr_install_unref(job);
    return result;
}

enum mmgr_result mmgr_installer_register_path(mmgr_installer *installer, const char *path,
                                              const char *overrides, mmgr_record **record)
{
    return run_local(installer, path, overrides, MMGR_INSTALL_INPLACE, record);
}

enum mmgr_result mmgr_installer_install_path(mmgr_installer *installer, const char *path,
                                             const char *overrides, mmgr_record **record)
{
    return run_local(installer, path, overrides, 0, record);
}
