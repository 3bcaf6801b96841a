/* SPDX-License-Identifier: MIT */
/* Fetching a repository's description from the Hugging Face hub: two calls at most beside the pages of very
 * long listings, and every refusal mapped to the error that tells a person what to do. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/http.h"
#include "base/log.h"
#include "hub/hub.h"

#define SECOND       INT64_C(1000000000)
#define ANSWER_MAX   (32u * 1024 * 1024)
#define CALL_TIMEOUT (60 * SECOND)
#define ATTEMPTS     3
#define SHORT_WAIT   (5 * SECOND)
#define PAGES_MAX    200

/* One fetch. */
struct fetch {
    mmgr_hub *hub;
    const char *repo, *revision;
    char *endpoint;
    const char *token; /* for the calls: the caller's, "" = none, NULL = what the config has */
    int token_given;   /* the caller brought it */
};

static const char *answer_header(const struct mmgr__http_answer *answer, const char *name)
{
    const char *value =
        mmgr__header((const char *const *)answer->headers, answer->header_count, name);

    return value ? value : "";
}

static void pause_for(int64_t ns)
{
    struct timespec time = {.tv_sec = ns / SECOND, .tv_nsec = ns % SECOND};

    if (ns > 0)
        nanosleep(&time, NULL);
}

static int is_transient(enum mmgr_result result, const struct mmgr__http_answer *answer)
{
    if (result != MMGR_OK)
        return result == MMGR_ERR_NETWORK;
    return answer->status == 408 || answer->status == 500 || answer->status == 502 ||
           answer->status == 503 || answer->status == 504;
}

/* The time that a server asks for, when it is short enough to wait here; else -1. */
static int64_t short_wait(enum mmgr_result result, const struct mmgr__http_answer *answer)
{
    if (result != MMGR_OK || (answer->status != 429 && answer->status != 503))
        return -1;
    int64_t wait = mmgr__retry_after((const char *const *)answer->headers, answer->header_count);
    return wait <= SHORT_WAIT ? wait : -1;
}

/* GET with a few attempts; the pauses grow and are spread, so that many clients do not come back at once. */
static enum mmgr_result get(struct fetch *fetch, const char *url, struct mmgr__http_answer *answer)
{
    static const char *const accept[] = {"Accept: application/json"};
    int64_t wait = fetch->hub->retry_ns;

    for (int attempt = 1;; attempt++) {
        enum mmgr_result result =
            mmgr__http_get(&fetch->hub->transport, fetch->hub->transport_self, fetch->hub->config,
                           url, fetch->token, accept, 1, ANSWER_MAX, CALL_TIMEOUT, answer);
        int64_t told = short_wait(result, answer);
        uint32_t random;

        if (attempt == ATTEMPTS || (told < 0 && !is_transient(result, answer)))
            return result;
        if (result == MMGR_OK)
            mmgr__http_answer_free(answer);
        mmgr__random(&random, sizeof(random));
        pause_for((told > 0 ? told : 0) + wait / 2 + (int64_t)(random % 1024) * (wait / 1024));
        wait *= 3;
    }
}

/* Fail with the repository as subject and the status attached. */
static enum mmgr_result refuse(const struct fetch *fetch, const struct mmgr__http_answer *answer,
                               enum mmgr_result code, const char *why)
{
    const char *told = answer_header(answer, "X-Error-Message");

    mmgr__fail(code, "%s: %s%s%.300s%s", fetch->repo, why, *told ? " (the hub says: " : "", told,
               *told ? ")" : "");
    mmgr__error_set_subject(fetch->repo);
    mmgr__error_set_http(answer->status);
    return code;
}

/* Text that says where the token of a call came from; NULL when the call had none. */
static const char *token_origin(const struct fetch *fetch)
{
    const mmgr_config *config = fetch->hub->config;
    struct mmgr__url url;
    const char *bound;
    int named;

    if (fetch->token)
        return *fetch->token ? "the token given with the call" : NULL;
    if (mmgr__url_parse(fetch->endpoint, &url) != MMGR_OK)
        return NULL;
    bound = mmgr__config_token(config, url.scheme, url.host, url.port, "/api/models", &named);
    mmgr__url_free(&url);
    if (!bound)
        return NULL;
    return bound == mmgr__config_hf_token(config) ? mmgr__config_hf_token_source(config)
                                                  : "a token of the configuration";
}

static enum mmgr_result not_authorized(const struct fetch *fetch,
                                       const struct mmgr__http_answer *answer)
{
    const char *origin = token_origin(fetch);
    const char *code = answer_header(answer, "X-Error-Code");
    char why[512];

    if (strcmp(code, "GatedRepo") == 0)
        return refuse(fetch, answer, MMGR_ERR_GATED,
                      "access must be requested on its page, with an account");
    if (origin && strcmp(code, "RepoNotFound") != 0) {
        snprintf(why, sizeof(why), "the hub refuses the token; it comes from %s", origin);
        return refuse(fetch, answer, MMGR_ERR_NOT_AUTHORIZED, why);
    }
    return refuse(
        fetch, answer, MMGR_ERR_REPO_NOT_FOUND,
        origin ? "there is no such repository, or it is private and this token may not see it"
               : "there is no such repository, or it is private and needs a token");
}

static enum mmgr_result forbidden(const struct fetch *fetch, const struct mmgr__http_answer *answer)
{
    char why[1024];

    if (strcmp(answer_header(answer, "X-Error-Code"), "GatedRepo") == 0) {
        snprintf(why, sizeof(why), "access must be granted first; ask for it on %s/%s",
                 fetch->endpoint, fetch->repo);
        return refuse(fetch, answer, MMGR_ERR_GATED, why);
    }
    if (strstr(answer_header(answer, "X-Error-Message"), "disabled"))
        return refuse(fetch, answer, MMGR_ERR_HTTP, "the hub has disabled this repository");
    return refuse(fetch, answer, MMGR_ERR_NOT_AUTHORIZED, "the hub denies access");
}

static enum mmgr_result not_found(const struct fetch *fetch, const struct mmgr__http_answer *answer)
{
    const char *code = answer_header(answer, "X-Error-Code");
    char why[400];

    if (strcmp(code, "EntryNotFound") == 0)
        return refuse(fetch, answer, MMGR_ERR_ENTRY_NOT_FOUND, "there is no such file");
    /* A mirror that names no reason: with a revision asked for, that is the likelier one. */
    if (strcmp(code, "RevisionNotFound") == 0 || (!*code && fetch->revision)) {
        snprintf(why, sizeof(why), "there is no revision \"%s\"",
                 fetch->revision ? fetch->revision : "main");
        return refuse(fetch, answer, MMGR_ERR_REVISION_NOT_FOUND, why);
    }
    return refuse(fetch, answer, MMGR_ERR_REPO_NOT_FOUND, "there is no such repository");
}

static enum mmgr_result rate_limited(const struct fetch *fetch,
                                     const struct mmgr__http_answer *answer)
{
    int64_t wait = mmgr__retry_after((const char *const *)answer->headers, answer->header_count);
    char why[160];

    snprintf(why, sizeof(why), "the hub asks for fewer requests");
    if (wait >= 0)
        snprintf(why, sizeof(why), "the hub asks for fewer requests; try again in %lld s%s",
                 (long long)((wait + SECOND - 1) / SECOND),
                 token_origin(fetch) ? "" : ", or use a token, which raises the limit");
    return refuse(fetch, answer, MMGR_ERR_RATE_LIMITED, why);
}

/* The error for a status other than 200. */
static enum mmgr_result map_status(const struct fetch *fetch,
                                   const struct mmgr__http_answer *answer)
{
    char why[64];

    switch (answer->status) {
    case 401:
        return not_authorized(fetch, answer);
    case 403:
        return forbidden(fetch, answer);
    case 404:
        return not_found(fetch, answer);
    case 429:
        return rate_limited(fetch, answer);
    default:
        snprintf(why, sizeof(why), "the hub answers with status %d", answer->status);
        return refuse(fetch, answer, MMGR_ERR_HTTP, why);
    }
}

/* After a 401: may the call be made again without a token? Only one that nobody gave for this call or place
 * may be left out: an old login must not stand in the way of a public repository. */
static int may_go_without(const struct fetch *fetch)
{
    const char *origin = token_origin(fetch);

    return !fetch->token_given && !fetch->token && origin &&
           origin == mmgr__config_hf_token_source(fetch->hub->config);
}

/* GET that ends in status 200, or in an error. */
static enum mmgr_result get_document(struct fetch *fetch, const char *url,
                                     struct mmgr__http_answer *answer)
{
    struct mmgr__http_answer first;
    enum mmgr_result result = get(fetch, url, &first);

    if (result != MMGR_OK)
        return result;
    if (first.status == 401 && may_go_without(fetch)) {
        struct mmgr__http_answer second;

        fetch->token = "";
        result = get(fetch, url, &second);
        if (result == MMGR_OK && second.status == 200) {
            mmgr__log(MMGR_LOG_WARNING, "hub",
                      "the hub refuses the token of %s; going on without it",
                      mmgr__config_hf_token_source(fetch->hub->config));
            mmgr__config_refuse_hf_token(fetch->hub->config);
            mmgr__http_answer_free(&first);
            *answer = second;
            return MMGR_OK;
        }
        if (result == MMGR_OK)
            mmgr__http_answer_free(&second);
        fetch->token = NULL;
    }
    if (first.status == 200) {
        *answer = first;
        return MMGR_OK;
    }
    result = map_status(fetch, &first);
    mmgr__http_answer_free(&first);
    return result;
}

static enum mmgr_result get_info(struct fetch *fetch, mmgr_metadata **metadata)
{
    struct mmgr__http_answer answer;
    char *revision = fetch->revision ? mmgr__url_encode(fetch->revision, NULL) : NULL;
    char *url = mmgr__printf("%s/api/models/%s%s%s?blobs=true", fetch->endpoint, fetch->repo,
                             revision ? "/revision/" : "", revision ? revision : "");
    enum mmgr_result result =
        url && (revision || !fetch->revision) ? get_document(fetch, url, &answer) : mmgr__oom();

    mmgr__free(url);
    mmgr__free(revision);
    if (result != MMGR_OK)
        return result;
    result = mmgr__hf_parse_info(answer.body, answer.length, fetch->endpoint, metadata);
    mmgr__http_answer_free(&answer);
    if (result == MMGR_OK && !(*metadata)->texts[MMGR_METADATA_REVISION]) {
        mmgr_metadata_unref(*metadata);
        *metadata = NULL;
        result = mmgr__fail(MMGR_ERR_PROTOCOL, "%s: the hub does not say which commit it speaks of",
                            fetch->repo);
        mmgr__error_set_field("sha");
    }
    if (result == MMGR_ERR_PROTOCOL || result == MMGR_ERR_UNSAFE_PATH)
        mmgr__error_prefix("%s", fetch->repo);
    return result;
}

/* The next page's URL (owned), checked: it must stay with the origin that was asked. */
static enum mmgr_result next_page(const struct mmgr__http_answer *answer, char **next)
{
    const char *value = answer_header(answer, "Link");
    char *link = *value ? mmgr__hf_next_link(value) : NULL;
    struct mmgr__url here = {0}, there = {0};
    enum mmgr_result result = MMGR_OK;

    *next = NULL;
    if (!link)
        return MMGR_OK;
    result = mmgr__url_parse(answer->url, &here);
    if (result == MMGR_OK)
        result = mmgr__url_resolve(&here, link, &there);
    if (result == MMGR_ERR_UNSUPPORTED_SOURCE ||
        (result == MMGR_OK && !mmgr__url_same_origin(&here, &there))) {
        result = mmgr__fail(MMGR_ERR_PROTOCOL,
                            "the hub's file list goes on at \"%.200s\", another place", link);
        mmgr__error_set_field("Link");
    }
    if (result == MMGR_OK && !(*next = mmgr__strdup(there.text)))
        result = mmgr__oom();
    mmgr__url_free(&here);
    mmgr__url_free(&there);
    mmgr__free(link);
    return result;
}

/* All pages of the file listing, in place of what the metadata has. */
static enum mmgr_result get_tree(struct fetch *fetch, mmgr_metadata *metadata)
{
    enum mmgr_result result = MMGR_OK;
    char *url =
        mmgr__printf("%s/api/models/%s/tree/%s?recursive=true", fetch->endpoint,
                     metadata->texts[MMGR_METADATA_ID], metadata->texts[MMGR_METADATA_REVISION]);

    if (!url)
        return mmgr__oom();
    mmgr__metadata_drop_files(metadata);
    for (int page = 0; url && result == MMGR_OK; page++) {
        struct mmgr__http_answer answer;
        char *next = NULL;

        if (page >= PAGES_MAX) {
            result = mmgr__fail(MMGR_ERR_PROTOCOL, "%s: the file list has no end", fetch->repo);
            break;
        }
        result = get_document(fetch, url, &answer);
        if (result != MMGR_OK)
            break;
        result = mmgr__hf_parse_tree(answer.body, answer.length, metadata);
        if (result == MMGR_OK)
            result = next_page(&answer, &next);
        mmgr__http_answer_free(&answer);
        mmgr__free(url);
        url = next;
    }
    mmgr__free(url);
    if (result == MMGR_OK)
        result = mmgr__metadata_check_files(metadata);
    return result == MMGR_OK ? mmgr__hf_set_urls(metadata, fetch->endpoint) : result;
}

static int lacks_sizes(const mmgr_metadata *metadata)
{
    for (size_t i = 0; i < metadata->file_count; i++)
        if (metadata->files[i].size == UINT64_MAX)
            return 1;
    return 0;
}

enum mmgr_result mmgr__hf_fetch(mmgr_hub *hub, const mmgr_source *source, const char *token,
                                mmgr_metadata **metadata)
{
    const char *endpoint = mmgr_source_part(source, MMGR_SOURCE_PART_ENDPOINT);
    struct fetch fetch = {.hub = hub,
                          .token = token,
                          .token_given = token != NULL,
                          .repo = mmgr_source_part(source, MMGR_SOURCE_PART_REPO),
                          .revision = mmgr_source_part(source, MMGR_SOURCE_PART_REVISION)};
    mmgr_metadata *made = NULL;
    enum mmgr_result result;

    if (mmgr__config_offline(hub->config)) {
        mmgr__fail(MMGR_ERR_OFFLINE, "%s: offline mode forbids to ask the hub", fetch.repo);
        mmgr__error_set_subject(fetch.repo);
        return MMGR_ERR_OFFLINE;
    }
    fetch.endpoint = mmgr__strdup(endpoint ? endpoint : mmgr__config_hf_endpoint(hub->config));
    if (!fetch.endpoint)
        return mmgr__oom();
    result = get_info(&fetch, &made);
    if (result == MMGR_OK && lacks_sizes(made))
        result = get_tree(&fetch, made);
    mmgr__free(fetch.endpoint);
    if (result != MMGR_OK) {
        mmgr_metadata_unref(made);
        return result;
    }
    *metadata = made;
    return MMGR_OK;
}
