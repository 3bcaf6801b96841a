/* SPDX-License-Identifier: MIT */
/* Plans: what an install would bring and from where. Making one writes nothing. */
#include <string.h>

#include "base/alloc.h"
#include "base/config.h"
#include "base/digest.h"
#include "base/http.h"
#include "base/json.h"
#include "base/path.h"
#include "hub/hub.h"
#include "install/install.h"
#include "store/store.h"

void mmgr_plan_free(mmgr_plan *plan)
{
    if (!plan)
        return;
    char *texts[] = {plan->source,     plan->name,    plan->overrides,  plan->repo,
                     plan->revision,   plan->variant, plan->subfolder,  plan->identity,
                     plan->staging_id, plan->key,     plan->local,      plan->response,
                     plan->page_url,   plan->tags,    plan->destination};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        mmgr__free(texts[i]);
    for (size_t i = 0; i < plan->count; i++) {
        mmgr__free(plan->files[i].origin);
        mmgr__free(plan->files[i].relative);
        mmgr__free(plan->files[i].from);
        mmgr__free(plan->files[i].sha256);
        mmgr__free(plan->files[i].git_sha1);
    }
    mmgr__free(plan->files);
    mmgr__free(plan);
}

enum mmgr_result mmgr__plan_add_file(mmgr_plan *plan, const char *origin, const char *relative,
                                     const char *from, uint64_t size, const char *sha256,
                                     const char *git_sha1)
{
    if (!mmgr__grow((void **)&plan->files, &plan->capacity, plan->count + 1, sizeof *plan->files))
        return mmgr__oom();
    struct mmgr__plan_file *file = &plan->files[plan->count];
    *file = (struct mmgr__plan_file){.origin = mmgr__strdup(origin ? origin : relative),
                                     .relative = mmgr__strdup(relative),
                                     .from = mmgr__strdup(from),
                                     .sha256 = mmgr__strdup(sha256),
                                     .git_sha1 = mmgr__strdup(git_sha1),
                                     .size = size};
    plan->count++;
    if (!file->origin || !file->relative || !file->from || (sha256 && !file->sha256) ||
        (git_sha1 && !file->git_sha1))
        return mmgr__oom();
    if (size != UINT64_MAX)
        plan->total += size;
    return MMGR_OK;
}

static int keep(char **member, const char *text)
{
    *member = mmgr__strdup(text);
    return !text || *member;
}

/* "model.safetensors" → "model"; without a known suffix it stays whole ("v1.5" is none). */
char *mmgr__plan_stem(const char *name)
{
    static const char *const suffixes[] = {".safetensors", ".ckpt", ".pth", ".bin",
                                           ".pt",          ".gguf", ".onnx"};
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (mmgr__ends_with_nocase(name, suffixes[i]) && strlen(name) > strlen(suffixes[i]))
            return mmgr__strndup(name, strlen(name) - strlen(suffixes[i]));
    return mmgr__strdup(name);
}

static enum mmgr_result plan_local(mmgr_installer *installer, mmgr_plan *plan)
{
    struct mmgr__walk walk;
    enum mmgr_result result = mmgr__walk(plan->local, &walk);
    if (result != MMGR_OK)
        return result;
    const char *base = mmgr__path_basename(plan->local);
    plan->single = walk.count == 1 && !*walk.items[0].relative;
    for (size_t i = 0; result == MMGR_OK && i < walk.count; i++) {
        const char *relative = plan->single ? base : walk.items[i].relative;
        char *from =
            plan->single ? mmgr__strdup(plan->local) : mmgr__path_join(plan->local, relative);
        result = from ? mmgr__path_check_relative(relative) : mmgr__oom();
        if (result == MMGR_OK)
            result = mmgr__plan_add_file(plan, relative, relative, from, walk.items[i].size, NULL,
                                         NULL);
        if (result == MMGR_OK)
            plan->files[i].mtime_ns = walk.items[i].mtime_ns;
        plan->has_links |= walk.items[i].is_link;
        mmgr__free(from);
    }
    mmgr__walk_free(&walk);
    if (result == MMGR_OK && !plan->name)
        result = (plan->name = plan->single ? mmgr__plan_stem(base) : mmgr__strdup(base))
                     ? MMGR_OK
                     : mmgr__oom();
    return result;
}

static enum mmgr_result plan_url(mmgr_plan *plan, const char *url)
{
    struct mmgr__url parsed;
    enum mmgr_result result = mmgr__url_parse(url, &parsed);
    if (result != MMGR_OK)
        return result;
    char *raw = mmgr__url_filename(&parsed);
    char *name = mmgr__path_portable_name(raw ? raw : "model");
    plan->single = 1;
    plan->url_name = 1;
    result =
        name ? mmgr__plan_add_file(plan, name, name, url, UINT64_MAX, NULL, NULL) : mmgr__oom();
    if (result == MMGR_OK && !plan->name && !(plan->name = mmgr__plan_stem(name)))
        result = mmgr__oom();
    mmgr__free(name);
    mmgr__free(raw);
    mmgr__url_free(&parsed);
    return result;
}

static int is_hidden(const char *path)
{
    return *path == '.' || strstr(path, "/.") != NULL;
}

/* Text of metadata files as the plan's rows; the subfolder that was asked for is not part of the
 * model. */
static enum mmgr_result plan_repo_files(mmgr_plan *plan, const mmgr_metadata *files)
{
    uint32_t count = mmgr_metadata_file_count(files);
    size_t prefix = plan->subfolder ? strlen(plan->subfolder) : 0;
    plan->single = count == 1 && mmgr__has_weight_suffix(
                                     mmgr_metadata_file_text(files, 0, MMGR_METADATA_FILE_PATH));
    for (uint32_t i = 0; i < count; i++) {
        const char *path = mmgr_metadata_file_text(files, i, MMGR_METADATA_FILE_PATH);
        const char *relative = path;
        if (!plan->single && is_hidden(path))
            continue; /* hidden entries are no part of a model: see mmgr__walk() */
        if (plan->single)
            relative = mmgr__path_basename(path);
        else if (prefix && mmgr__starts_with(path, plan->subfolder) && path[prefix] == '/')
            relative = path + prefix + 1;
        enum mmgr_result result = mmgr__plan_add_file(
            plan, path, relative, mmgr_metadata_file_text(files, i, MMGR_METADATA_FILE_URL),
            mmgr_metadata_file_size(files, i),
            mmgr_metadata_file_text(files, i, MMGR_METADATA_FILE_SHA256),
            mmgr_metadata_file_text(files, i, MMGR_METADATA_FILE_GIT_SHA1));
        if (result != MMGR_OK)
            return result;
    }
    return MMGR_OK;
}

static char *tags_json(const mmgr_metadata *metadata)
{
    struct mmgr__buf buf = {0};
    mmgr__buf_puts(&buf, "[");
    for (uint32_t i = 0; i < mmgr_metadata_tag_count(metadata); i++) {
        mmgr__buf_puts(&buf, i ? "," : "");
        mmgr__buf_json_string(&buf, mmgr_metadata_tag(metadata, i));
    }
    mmgr__buf_puts(&buf, "]");
    return mmgr__buf_take(&buf);
}

static char *repo_name(const mmgr_plan *plan)
{
    const char *base = mmgr__path_basename(plan->repo);
    if (plan->single)
        return mmgr__plan_stem(plan->files[0].relative);
    return plan->subfolder ? mmgr__printf("%s_%s", base, mmgr__path_basename(plan->subfolder))
                           : mmgr__strdup(base);
}

/* The variant that is asked for, or what the precision of the config makes of none. */
static const char *resolved_variant(const mmgr_installer *installer, const char *asked)
{
    if (asked && *asked)
        return asked;
    const char *precision = mmgr_config_get(installer->config, "precision");
    return precision && strcmp(precision, "float32") == 0 ? "fp32" : "fp16";
}

static enum mmgr_result plan_repo(mmgr_installer *installer, const mmgr_source *source,
                                  const char *token, mmgr_plan *plan)
{
    mmgr_metadata *metadata, *files;
    enum mmgr_result result = mmgr_hub_fetch(installer->hub, source, token, &metadata);
    if (result != MMGR_OK)
        return result;
    const char *variant =
        resolved_variant(installer, mmgr_source_part(source, MMGR_SOURCE_PART_VARIANT));
    result = mmgr_metadata_select(metadata, variant, plan->subfolder, &files);
    if (result != MMGR_OK) {
        mmgr_metadata_unref(metadata);
        return result;
    }
    mmgr__free(plan->repo);
    mmgr__free(plan->revision);
    plan->repo = plan->revision = NULL;
    if (!keep(&plan->variant, variant) ||
        !keep(&plan->repo, mmgr_metadata_text(metadata, MMGR_METADATA_ID)) ||
        !keep(&plan->revision, mmgr_metadata_text(metadata, MMGR_METADATA_REVISION)) ||
        !keep(&plan->response, mmgr_metadata_text(metadata, MMGR_METADATA_RESPONSE)) ||
        !keep(&plan->page_url, mmgr_metadata_text(metadata, MMGR_METADATA_PAGE_URL)) ||
        !(plan->tags = tags_json(metadata)))
        result = mmgr__oom();
    if (result == MMGR_OK)
        result = plan_repo_files(plan, files);
    if (result == MMGR_OK && !plan->name && !(plan->name = repo_name(plan)))
        result = mmgr__oom();
    mmgr_metadata_unref(files);
    mmgr_metadata_unref(metadata);
    return result;
}

/* Two installs with the same identity are the same: they share a staging folder, and the second
 * one is a duplicate. */
static enum mmgr_result set_identity(mmgr_plan *plan)
{
    if (plan->local)
        plan->identity = mmgr__printf("path\n%s", plan->local);
    else if (plan->repo)
        plan->identity =
            mmgr__printf("repo\n%s\n%s\n%s\n%s", plan->repo, plan->revision ? plan->revision : "",
                         plan->variant, plan->subfolder ? plan->subfolder : "");
    else
        plan->identity = mmgr__printf("url\n%s", plan->files[0].from);
    struct mmgr__digest *digest;
    char hex[65];
    enum mmgr_result result =
        plan->identity ? mmgr__digest_new(MMGR__SHA256, 0, &digest) : mmgr__oom();
    if (result != MMGR_OK)
        return result;
    result = mmgr__digest_update(digest, plan->identity, strlen(plan->identity));
    if (result == MMGR_OK)
        result = mmgr__digest_hex(digest, hex);
    mmgr__digest_free(digest);
    if (result == MMGR_OK && !(plan->staging_id = mmgr__strndup(hex, 24)))
        result = mmgr__oom();
    return result;
}

/* Where the model would go: known for local sources, which are identified before anything is
 * copied. Not for a folder of links, such as a snapshot in the hub client's cache: identification
 * follows none, and the copy has none. */
static enum mmgr_result set_destination(mmgr_installer *installer, mmgr_plan *plan)
{
    if (!plan->local || (plan->has_links && !(plan->flags & MMGR_INSTALL_INPLACE))) {
        plan->destination = mmgr__strdup(installer->models_dir);
        return plan->destination ? MMGR_OK : mmgr__oom();
    }
    mmgr_record *record;
    enum mmgr_result result =
        mmgr__identify(installer, plan, plan->local, NULL, MMGR_FILE_LINKED, &record);
    if (result != MMGR_OK)
        return result;
    if (plan->flags & MMGR_INSTALL_INPLACE) {
        plan->destination = mmgr__strdup(plan->local);
    } else {
        char *name = mmgr__path_portable_name(mmgr_record_text(record, MMGR_FIELD_NAME));
        plan->destination = mmgr__printf(
            "%s/%s/%s/%s", installer->models_dir, mmgr_record_text(record, MMGR_FIELD_BASE),
            mmgr_record_text(record, MMGR_FIELD_TYPE), name ? name : "");
        mmgr__free(name);
    }
    mmgr_record_unref(record);
    return plan->destination ? MMGR_OK : mmgr__oom();
}

/* A text among the overrides, owned, or NULL. */
static char *override_text(const char *overrides, const char *name)
{
    json_t *object;
    if (!overrides || mmgr__json_parse(overrides, strlen(overrides), MMGR_ERR_INVALID_CONFIG,
                                       "overrides", &object) != MMGR_OK)
        return NULL;
    char *text = mmgr__strdup(mmgr__json_text(object, name));
    json_decref(object);
    return text;
}

static enum mmgr_result fill_plan(mmgr_installer *installer,
                                  const struct mmgr_install_options *options,
                                  const mmgr_source *source, mmgr_plan *plan)
{
    char random[33];
    mmgr__random_hex(random, 32);
    char *given = override_text(options->overrides, "key");
    plan->flags = options->flags;
    plan->key = given ? given : mmgr__strdup(random);
    plan->key_given = given != NULL;
    plan->named = options->name != NULL;
    if (!plan->key || !keep(&plan->source, mmgr_source_part(source, MMGR_SOURCE_PART_TEXT)) ||
        !keep(&plan->name, options->name) || !keep(&plan->overrides, options->overrides) ||
        !keep(&plan->subfolder, mmgr_source_part(source, MMGR_SOURCE_PART_SUBFOLDER)))
        return mmgr__oom();
    switch (mmgr_source_kind(source)) {
    case MMGR_SOURCE_LOCAL:
        plan->source_type = mmgr_term_name(MMGR_TAXONOMY_SOURCE_TYPE, MMGR_SOURCE_TYPE_PATH);
        if (!keep(&plan->local, mmgr_source_part(source, MMGR_SOURCE_PART_PATH)))
            return mmgr__oom();
        return plan_local(installer, plan);
    case MMGR_SOURCE_URL:
        if (mmgr__hub_knows(installer->hub, source)) { /* a fetcher of the host takes it */
            plan->source_type = mmgr_term_name(MMGR_TAXONOMY_SOURCE_TYPE, MMGR_SOURCE_TYPE_URL);
            return plan_repo(installer, source, options->token, plan);
        }
        plan->source_type = mmgr_term_name(MMGR_TAXONOMY_SOURCE_TYPE, MMGR_SOURCE_TYPE_URL);
        if (mmgr__config_offline(installer->config))
            return mmgr__fail(MMGR_ERR_OFFLINE, "%s cannot be fetched in offline mode",
                              plan->source);
        return plan_url(plan, mmgr_source_part(source, MMGR_SOURCE_PART_URL));
    case MMGR_SOURCE_HUGGINGFACE:
        plan->source_type = mmgr_term_name(MMGR_TAXONOMY_SOURCE_TYPE, MMGR_SOURCE_TYPE_HF_REPO_ID);
        return plan_repo(installer, source, options->token, plan);
    default:
        return mmgr__fail(MMGR_ERR_UNSUPPORTED_SOURCE,
                          "%s: installing from this site is not available yet", plan->source);
    }
}

enum mmgr_result mmgr__plan_make(mmgr_installer *installer,
                                 const struct mmgr_install_options *options,
                                 const mmgr_source *source, mmgr_plan **plan)
{
    if ((options->flags & (MMGR_INSTALL_INPLACE | MMGR_INSTALL_MOVE)) &&
        mmgr_source_kind(source) != MMGR_SOURCE_LOCAL)
        return mmgr__fail(MMGR_ERR_ARGUMENT,
                          "only a local path can be installed in place or moved, not %s",
                          mmgr_source_part(source, MMGR_SOURCE_PART_TEXT));
    mmgr_plan *made = mmgr__alloc0(1, sizeof *made);
    enum mmgr_result result = made ? fill_plan(installer, options, source, made) : mmgr__oom();
    if (result == MMGR_OK && made->count == 0)
        result = mmgr__fail(MMGR_ERR_INVALID_FILE, "%s holds no files", made->source);
    if (result == MMGR_OK)
        result = set_identity(made);
    if (result == MMGR_OK)
        result = mmgr__plan_check_duplicate(installer, made);
    if (result == MMGR_OK)
        result = set_destination(installer, made);
    if (result != MMGR_OK) {
        mmgr_plan_free(made);
        return result;
    }
    *plan = made;
    return MMGR_OK;
}

static int equal(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

/* Is it the same repository, commit, variant and subfolder, however the source was written then? */
static int same_repository(const mmgr_installer *installer, const mmgr_plan *plan,
                           const mmgr_record *record)
{
    mmgr_source *source;
    if (!equal(mmgr_record_text(record, MMGR_FIELD_REVISION), plan->revision) ||
        !equal(mmgr_record_text(record, MMGR_FIELD_SOURCE_URL), plan->page_url) ||
        !mmgr_record_text(record, MMGR_FIELD_SOURCE) ||
        mmgr_source_parse(mmgr_record_text(record, MMGR_FIELD_SOURCE), &source) != MMGR_OK)
        return 0;
    int found =
        mmgr_source_kind(source) == MMGR_SOURCE_HUGGINGFACE &&
        equal(mmgr_source_part(source, MMGR_SOURCE_PART_SUBFOLDER), plan->subfolder) &&
        equal(resolved_variant(installer, mmgr_source_part(source, MMGR_SOURCE_PART_VARIANT)),
              plan->variant);
    mmgr_source_unref(source);
    return found;
}

static enum mmgr_result duplicate(const char *field, const char *what, const char *key)
{
    mmgr__fail(MMGR_ERR_DUPLICATE_MODEL,
               strcmp(field, "key") == 0 ? "%s: the key %s is taken"
                                         : "%s is installed already, with key %s",
               what, key);
    mmgr__error_set_field(field);
    mmgr__error_set_subject(key);
    return MMGR_ERR_DUPLICATE_MODEL;
}

enum mmgr_result mmgr__plan_check_duplicate(mmgr_installer *installer, const mmgr_plan *plan)
{
    struct mmgr_search_options search = {.struct_size = sizeof search,
                                         .source = plan->repo ? NULL : plan->source};
    mmgr_record_list *list;
    int exists = 0;
    enum mmgr_result result =
        plan->key_given ? mmgr_store_exists(installer->store, plan->key, &exists) : MMGR_OK;
    if (result == MMGR_OK && exists)
        result = duplicate("key", plan->source, plan->key);
    if (result == MMGR_OK)
        result = mmgr_store_search(installer->store, &search, &list);
    if (result != MMGR_OK)
        return result;
    for (uint32_t i = 0; result == MMGR_OK && i < mmgr_record_list_count(list); i++) {
        const mmgr_record *record = mmgr_record_list_at(list, i);
        if (!plan->repo || same_repository(installer, plan, record))
            result = duplicate("source", plan->source, mmgr_record_text(record, MMGR_FIELD_KEY));
    }
    mmgr_record_list_free(list);
    return result;
}

enum mmgr_result mmgr_plan_to_json(const mmgr_plan *plan, char **json)
{
    if (!plan || !json)
        return mmgr__bad_argument(plan ? "json" : "plan");
    const char *action = !plan->local                         ? "download"
                         : plan->flags & MMGR_INSTALL_INPLACE ? "keep"
                         : plan->flags & MMGR_INSTALL_MOVE    ? "move"
                                                              : "copy";
    struct mmgr__buf buf = {0};
    mmgr__buf_puts(&buf, "{\"source\":");
    mmgr__buf_json_string(&buf, plan->source);
    mmgr__buf_puts(&buf, ",\"repo\":");
    mmgr__buf_json_string(&buf, plan->repo);
    mmgr__buf_puts(&buf, ",\"revision\":");
    mmgr__buf_json_string(&buf, plan->revision);
    mmgr__buf_puts(&buf, ",\"variant\":");
    mmgr__buf_json_string(&buf, plan->variant);
    mmgr__buf_puts(&buf, ",\"name\":");
    mmgr__buf_json_string(&buf, plan->name);
    mmgr__buf_puts(&buf, ",\"files\":[");
    for (size_t i = 0; i < plan->count; i++) {
        mmgr__buf_puts(&buf, i ? ",{\"path\":" : "{\"path\":");
        mmgr__buf_json_string(&buf, plan->files[i].origin);
        if (plan->files[i].size == UINT64_MAX)
            mmgr__buf_puts(&buf, ",\"size\":null");
        else
            mmgr__buf_printf(&buf, ",\"size\":%llu", (unsigned long long)plan->files[i].size);
        mmgr__buf_puts(&buf, ",\"sha256\":");
        mmgr__buf_json_string(&buf, plan->files[i].sha256);
        mmgr__buf_printf(&buf, ",\"action\":\"%s\"}", action);
    }
    mmgr__buf_printf(&buf,
                     "],\"total_bytes\":%llu,\"destination\":", (unsigned long long)plan->total);
    mmgr__buf_json_string(&buf, plan->destination);
    mmgr__buf_puts(&buf, "}");
    char *text = mmgr__buf_take(&buf);
    if (!text)
        return mmgr__oom();
    *json = text;
    return MMGR_OK;
}

uint64_t mmgr_plan_total_bytes(const mmgr_plan *plan)
{
    return plan ? plan->total : 0;
}
