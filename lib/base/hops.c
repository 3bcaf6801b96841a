/* SPDX-License-Identifier: MIT */
/* Where a chain of requests may go and which token it may carry there; decided hop by hop. */
#include "base/http.h"

#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/config.h"

#define HOPS_MAX 10

enum mmgr_result mmgr__hops_start(struct mmgr__hops *hops, const mmgr_config *config,
                                  const char *url, const char *token)
{
    struct mmgr__hops made = {.config = config};
    enum mmgr_result result;

    /* A line break would start a header of its own. */
    for (const unsigned char *p = (const unsigned char *)token; p && *p; p++)
        if (*p <= 0x20 || *p == 0x7f)
            return mmgr__bad_argument("token");
    result = mmgr__url_parse(url, &made.url);
    if (result != MMGR_OK)
        return result;
    if (token) {
        made.token = mmgr__strdup(token);
        made.token_origin = mmgr__url_origin(&made.url);
        if (!made.token || !made.token_origin) {
            mmgr__hops_free(&made);
            return mmgr__oom();
        }
    }
    *hops = made;
    return MMGR_OK;
}

static int config_names(const struct mmgr__hops *hops, const char *host)
{
    return hops->config && mmgr__config_names_host(hops->config, host);
}

int mmgr__hops_allow_private(const struct mmgr__hops *hops)
{
    return !hops->public_seen || config_names(hops, hops->url.host);
}

static enum mmgr_result refuse(const struct mmgr__url *url, const char *why)
{
    mmgr__fail(MMGR_ERR_REFUSED_ADDRESS, "%s://%s: %s", url->scheme, url->host, why);
    mmgr__error_set_subject(url->text);
    return MMGR_ERR_REFUSED_ADDRESS;
}

/* What a Location may not lead to, wherever it came from. */
static enum mmgr_result check_hop(const struct mmgr__hops *hops, const struct mmgr__url *next)
{
    if (strcmp(hops->url.scheme, "https") == 0 && strcmp(next->scheme, "https") != 0)
        return refuse(next, "a redirect leads from https to plain http");
    /* Host names are judged again by their peer, in mmgr__hops_peer(). */
    if (hops->public_seen && mmgr__address_is_private(next->host) &&
        !config_names(hops, next->host))
        return refuse(next, "a public server redirects to a private address");
    return MMGR_OK;
}

/* A Location with a scheme of its own that is not of the web. */
static int leaves_the_web(const char *location)
{
    size_t n =
        strspn(location, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");

    return n > 0 && location[n] == ':' && strncasecmp(location, "http:", 5) != 0 &&
           strncasecmp(location, "https:", 6) != 0;
}

enum mmgr_result mmgr__hops_follow(struct mmgr__hops *hops, const char *location)
{
    struct mmgr__url next = {0};
    enum mmgr_result result;

    if (!location || !*location) {
        mmgr__fail(MMGR_ERR_PROTOCOL, "%s: a redirect without a Location", hops->url.text);
        mmgr__error_set_subject(hops->url.text);
        return MMGR_ERR_PROTOCOL;
    }
    if (hops->count >= HOPS_MAX) {
        mmgr__fail(MMGR_ERR_PROTOCOL, "%s: more than %d redirects", hops->url.text, HOPS_MAX);
        mmgr__error_set_subject(hops->url.text);
        return MMGR_ERR_PROTOCOL;
    }
    if (leaves_the_web(location)) {
        mmgr__fail(MMGR_ERR_REFUSED_ADDRESS,
                   "%s redirects to \"%.100s\", which is neither http nor https", hops->url.text,
                   location);
        mmgr__error_set_subject(hops->url.text);
        return MMGR_ERR_REFUSED_ADDRESS;
    }
    result = mmgr__url_resolve(&hops->url, location, &next);
    if (result == MMGR_ERR_UNSUPPORTED_SOURCE) {
        mmgr__fail(MMGR_ERR_PROTOCOL, "%s redirects to \"%.200s\", which is not a URL",
                   hops->url.text, location);
        mmgr__error_set_subject(hops->url.text);
        return MMGR_ERR_PROTOCOL;
    }
    if (result == MMGR_OK)
        result = check_hop(hops, &next);
    if (result != MMGR_OK) {
        mmgr__url_free(&next);
        return result;
    }
    mmgr__url_free(&hops->url);
    hops->url = next;
    hops->count++;
    return MMGR_OK;
}

enum mmgr_result mmgr__hops_peer(struct mmgr__hops *hops, const char *peer)
{
    /* A transport that cannot say whom it reached is believed when the URL itself says it; otherwise the
     * chain counts as public, which allows less. */
    const char *address = peer && *peer ? peer : hops->url.host;

    if (!mmgr__address_is_private(address)) {
        hops->public_seen = 1;
        return MMGR_OK;
    }
    if (mmgr__hops_allow_private(hops) || config_names(hops, address))
        return MMGR_OK;
    return refuse(&hops->url, "a public server leads to a private address");
}

char *mmgr__hops_authorization(const struct mmgr__hops *hops, int *failed)
{
    const struct mmgr__url *url = &hops->url;
    const char *token = NULL;
    int http_named = 0;
    char *line;

    *failed = 0;
    if (hops->config)
        token = mmgr__config_token(hops->config, url->scheme, url->host, url->port, url->path,
                                   &http_named);
    if (hops->token) {
        char *origin = mmgr__url_origin(url);

        *failed = origin == NULL;
        if (origin && strcmp(origin, hops->token_origin) == 0)
            token = hops->token;
        mmgr__free(origin);
        /* An empty token means: go without any. */
        if (*failed || !*hops->token)
            return NULL;
    }
    if (!token || !*token)
        return NULL;
    if (strcmp(url->scheme, "http") == 0 && !http_named && !mmgr__address_is_loopback(url->host))
        return NULL;
    line = mmgr__printf("Authorization: Bearer %s", token);
    *failed = line == NULL;
    return line;
}

void mmgr__hops_free(struct mmgr__hops *hops)
{
    if (!hops)
        return;
    mmgr__url_free(&hops->url);
    mmgr__free(hops->token);
    mmgr__free(hops->token_origin);
    memset(hops, 0, sizeof(*hops));
}
