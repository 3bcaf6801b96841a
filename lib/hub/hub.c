/* SPDX-License-Identifier: MIT */
/* The registry of fetchers: the host's own are asked first, then the built-in ones. */
#include <string.h>

#include "base/alloc.h"
#include "base/options.h"
#include "hub/hub.h"

#define RETRY_NS INT64_C(400000000)

struct fetcher {
    struct fetcher *next;
    mmgr_fetcher_ops ops;
    char *name;
    void *self;
    void (*self_free)(void *);
};

enum mmgr_result mmgr_hub_open(const struct mmgr_hub_options *options, mmgr_hub **hub)
{
    struct mmgr_hub_options local;
    mmgr_transport_ops transport;
    enum mmgr_result result;
    mmgr_hub *made;

    if (!hub)
        return mmgr__bad_argument("hub");
    result = MMGR__IMPORT(local, options, transport_self);
    if (result != MMGR_OK)
        return result;
    if (local.flags || !local.config || !local.transport)
        return mmgr__bad_argument(local.flags ? "flags" : !local.config ? "config" : "transport");
    result = MMGR__IMPORT(transport, local.transport, release);
    if (result != MMGR_OK)
        return result;
    if (transport.api_version != 1 || !transport.name || !transport.start || !transport.cancel ||
        !transport.pause)
        return mmgr__bad_argument("transport");
    made = mmgr__alloc0(1, sizeof(*made));
    if (!made)
        return mmgr__oom();
    mmgr__config_freeze(local.config);
    made->config = mmgr_config_ref(local.config);
    made->transport = transport;
    made->transport_self = local.transport_self;
    made->retry_ns = RETRY_NS;
    pthread_mutex_init(&made->mutex, NULL);
    *hub = made;
    return MMGR_OK;
}

void mmgr__hub_use(mmgr_hub *hub)
{
    pthread_mutex_lock(&hub->mutex);
    hub->users++;
    pthread_mutex_unlock(&hub->mutex);
}

void mmgr__hub_unuse(mmgr_hub *hub)
{
    pthread_mutex_lock(&hub->mutex);
    hub->users--;
    pthread_mutex_unlock(&hub->mutex);
}

enum mmgr_result mmgr_hub_close(mmgr_hub *hub)
{
    uint32_t users;

    if (!hub)
        return MMGR_OK;
    pthread_mutex_lock(&hub->mutex);
    users = hub->users;
    pthread_mutex_unlock(&hub->mutex);
    if (users > 0)
        return mmgr__fail(MMGR_ERR_BUSY, "an installer still uses the hub");
    while (hub->fetchers) {
        struct fetcher *fetcher = hub->fetchers;

        hub->fetchers = fetcher->next;
        if (fetcher->self_free)
            fetcher->self_free(fetcher->self);
        mmgr__free(fetcher->name);
        mmgr__free(fetcher);
    }
    pthread_mutex_destroy(&hub->mutex);
    mmgr_config_unref(hub->config);
    mmgr__free(hub);
    return MMGR_OK;
}

enum mmgr_result mmgr_hub_add_fetcher(mmgr_hub *hub, const mmgr_fetcher_ops *ops, void *self,
                                      void (*self_free)(void *))
{
    mmgr_fetcher_ops local;
    struct fetcher *fetcher;
    struct fetcher **end;
    enum mmgr_result result;

    if (!hub || !ops)
        return mmgr__bad_argument(hub ? "ops" : "hub");
    result = MMGR__IMPORT(local, ops, fetch);
    if (result != MMGR_OK)
        return result;
    if (local.api_version != 1 || !local.name || !local.accepts || !local.fetch)
        return mmgr__bad_argument("ops");
    fetcher = mmgr__alloc0(1, sizeof(*fetcher));
    if (fetcher)
        fetcher->name = mmgr__strdup(local.name);
    if (!fetcher || !fetcher->name) {
        mmgr__free(fetcher);
        return mmgr__oom();
    }
    fetcher->ops = local;
    fetcher->self = self;
    fetcher->self_free = self_free;
    pthread_mutex_lock(&hub->mutex);
    for (end = &hub->fetchers; *end; end = &(*end)->next)
        ;
    *end = fetcher;
    pthread_mutex_unlock(&hub->mutex);
    return MMGR_OK;
}

/* The host's fetcher that accepts a source, or NULL. Asked with no lock held: nodes stay until the close. */
static struct fetcher *find_fetcher(mmgr_hub *hub, const mmgr_source *source)
{
    struct fetcher *fetcher;

    pthread_mutex_lock(&hub->mutex);
    fetcher = hub->fetchers;
    pthread_mutex_unlock(&hub->mutex);
    while (fetcher && !fetcher->ops.accepts(fetcher->self, source)) {
        pthread_mutex_lock(&hub->mutex);
        fetcher = fetcher->next;
        pthread_mutex_unlock(&hub->mutex);
    }
    return fetcher;
}

/* A URL below the configured endpoint as a repository; else UNSUPPORTED_SOURCE. */
static enum mmgr_result repository_of(mmgr_hub *hub, const mmgr_source *source,
                                      mmgr_source **repository)
{
    return mmgr__source_at_endpoint(source, mmgr__config_hf_endpoint(hub->config), repository);
}

int mmgr__hub_knows(mmgr_hub *hub, const mmgr_source *source)
{
    mmgr_source *repository = NULL;

    if (mmgr_source_kind(source) == MMGR_SOURCE_HUGGINGFACE || find_fetcher(hub, source))
        return 1;
    if (mmgr_source_kind(source) == MMGR_SOURCE_URL)
        repository_of(hub, source, &repository);
    mmgr_source_unref(repository);
    return repository != NULL;
}

static enum mmgr_result fetch_by_host(struct fetcher *fetcher, const mmgr_source *source,
                                      const char *token, mmgr_metadata **metadata)
{
    mmgr_metadata *made = NULL;
    enum mmgr_result result = fetcher->ops.fetch(fetcher->self, source, token, &made);
    const char *name = fetcher->name;

    if (result == MMGR_OK && !made)
        result = mmgr__fail(MMGR_ERR_PLUGIN, "%s: it succeeded without metadata", name);
    else if (result != MMGR_OK && mmgr_error_code(mmgr_last_error()) != result)
        mmgr__fail(result, "%s: %s", name, mmgr_result_text(result));
    if (result != MMGR_OK)
        return result;
    *metadata = made;
    return MMGR_OK;
}

enum mmgr_result mmgr_hub_fetch(mmgr_hub *hub, const mmgr_source *source, const char *token,
                                mmgr_metadata **metadata)
{
    mmgr_source *repository = NULL;
    struct fetcher *fetcher;
    enum mmgr_result result;

    if (!hub || !source || !metadata)
        return mmgr__bad_argument(!hub ? "hub" : !source ? "source" : "metadata");
    fetcher = find_fetcher(hub, source);
    if (fetcher)
        return fetch_by_host(fetcher, source, token, metadata);
    switch (mmgr_source_kind(source)) {
    case MMGR_SOURCE_HUGGINGFACE:
        return mmgr__hf_fetch(hub, source, token, metadata);
    case MMGR_SOURCE_URL:
        result = repository_of(hub, source, &repository);
        if (result == MMGR_OK)
            result = mmgr__hf_fetch(hub, repository, token, metadata);
        mmgr_source_unref(repository);
        return result;
    default:
        return mmgr__source_fail(mmgr_source_part(source, MMGR_SOURCE_PART_TEXT),
                                 "there is no fetcher for this kind of source");
    }
}
