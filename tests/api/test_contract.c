/* SPDX-License-Identifier: MIT */
/* The contract that all functions share: sizes of options and function tables, names of results,
 * terms and states, and the replacement of the allocator. */
#include <stdlib.h>
#include <string.h>

#include <modelmgr/modelmgr.h>

#include "tap.h"

#define ROOM 512

static char marker;
static char folder[] = "/tmp/mmgr-contract-XXXXXX";
static struct {
    mmgr_config *config;
    mmgr_bus *bus;
    mmgr_store *store;
    mmgr_queue *queue;
    mmgr_hub *hub;
    mmgr_prober *prober;
    mmgr_installer *installer;
    mmgr_load_service *loads;
    mmgr_loader_registry *registry;
    mmgr_record *record;
} live;

/* Calls a function with an output; a failure must leave the output alone, a success is undone. */
#define TRY(type, call, undo)                            \
    do {                                                 \
        type *out = (type *)&marker;                     \
        enum mmgr_result result_ = call;                 \
        if (result_ == MMGR_OK)                          \
            undo(out);                                   \
        else if (out != (type *)&marker)                 \
            tap(0, "%s leaves its output alone", #call); \
        return result_;                                  \
    } while (0)

/* One subject: how to fill a struct so that the call gives `expected`, and the call. */
struct subject {
    const char *name;
    uint32_t size; /* on a 64-bit machine, as first released */
    uint32_t real_size;
    int has_flags; /* the second member is a set of flags, of which the highest is none */
    enum mmgr_result expected;
    void (*fill)(void *memory);
    enum mmgr_result (*call)(const void *memory);
};

static void fill_config(void *memory)
{
    ((struct mmgr_config_options *)memory)->root = folder;
}

static enum mmgr_result call_config(const void *memory)
{
    TRY(mmgr_config, mmgr_config_new((const struct mmgr_config_options *)memory, &out),
        mmgr_config_unref);
}

static enum mmgr_result call_bus(const void *memory)
{
    TRY(mmgr_bus, mmgr_bus_open((const struct mmgr_bus_options *)memory, &out), mmgr_bus_close);
}

static void fill_store(void *memory)
{
    ((struct mmgr_store_options *)memory)->config = live.config;
}

static enum mmgr_result call_store(const void *memory)
{
    TRY(mmgr_store, mmgr_store_open((const struct mmgr_store_options *)memory, &out),
        mmgr_store_close);
}

static enum mmgr_result call_queue(const void *memory)
{
    TRY(mmgr_queue, mmgr_queue_open((const struct mmgr_queue_options *)memory, &out),
        mmgr_queue_close);
}

static void fill_hub(void *memory)
{
    struct mmgr_hub_options *options = (struct mmgr_hub_options *)memory;
    options->config = live.config;
    mmgr_queue_transport(live.queue, &options->transport, &options->transport_self);
}

static enum mmgr_result call_hub(const void *memory)
{
    TRY(mmgr_hub, mmgr_hub_open((const struct mmgr_hub_options *)memory, &out), mmgr_hub_close);
}

static enum mmgr_result call_prober(const void *memory)
{
    TRY(mmgr_prober, mmgr_prober_new((const struct mmgr_prober_options *)memory, &out),
        mmgr_prober_unref);
}

static enum mmgr_result call_probe(const void *memory)
{
    TRY(mmgr_probe_result,
        mmgr_probe_path(live.prober, "/nowhere", (const struct mmgr_probe_options *)memory, &out),
        mmgr_probe_result_unref);
}

static enum mmgr_result call_checkpoint(const void *memory)
{
    TRY(mmgr_checkpoint,
        mmgr_checkpoint_open("/nowhere", (const struct mmgr_checkpoint_options *)memory, &out),
        mmgr_checkpoint_unref);
}

static void fill_installer(void *memory)
{
    struct mmgr_installer_options *options = (struct mmgr_installer_options *)memory;
    options->config = live.config;
    options->store = live.store;
    options->queue = live.queue;
    options->hub = live.hub;
    options->prober = live.prober;
    options->bus = live.bus;
}

static enum mmgr_result call_installer(const void *memory)
{
    TRY(mmgr_installer, mmgr_installer_open((const struct mmgr_installer_options *)memory, &out),
        mmgr_installer_close);
}

static void fill_install(void *memory)
{
    ((struct mmgr_install_options *)memory)->source = "/nowhere";
}

static enum mmgr_result call_plan(const void *memory)
{
    TRY(mmgr_plan,
        mmgr_installer_plan(live.installer, (const struct mmgr_install_options *)memory, &out),
        mmgr_plan_free);
}

static enum mmgr_result call_install(const void *memory)
{
    TRY(mmgr_install,
        mmgr_installer_submit(live.installer, (const struct mmgr_install_options *)memory, &out),
        mmgr_install_unref);
}

static void fill_download(void *memory)
{
    struct mmgr_download_options *options = (struct mmgr_download_options *)memory;
    options->source = "/nowhere";
    options->destination = folder;
}

static enum mmgr_result call_download(const void *memory)
{
    TRY(mmgr_download,
        mmgr_queue_submit(live.queue, (const struct mmgr_download_options *)memory, &out),
        mmgr_download_unref);
}

static void fill_load_service(void *memory)
{
    struct mmgr_load_service_options *options = (struct mmgr_load_service_options *)memory;
    options->config = live.config;
    options->store = live.store;
}

static enum mmgr_result call_load_service(const void *memory)
{
    TRY(mmgr_load_service,
        mmgr_load_service_open((const struct mmgr_load_service_options *)memory, &out),
        mmgr_load_service_close);
}

static enum mmgr_result call_load(const void *memory)
{
    TRY(mmgr_loaded,
        mmgr_load_service_load(live.loads, live.record, (const struct mmgr_load_options *)memory,
                               &out),
        mmgr_loaded_unref);
}

static enum mmgr_result call_load_by_key(const void *memory)
{
    TRY(mmgr_loaded,
        mmgr_load_service_load_by_key(live.loads, "nobody",
                                      (const struct mmgr_load_options *)memory, &out),
        mmgr_loaded_unref);
}

static enum mmgr_result call_search(const void *memory)
{
    TRY(mmgr_record_list,
        mmgr_store_search(live.store, (const struct mmgr_search_options *)memory, &out),
        mmgr_record_list_free);
}

static void fill_import(void *memory)
{
    struct mmgr_import_options *options = (struct mmgr_import_options *)memory;
    options->kind = MMGR_IMPORT_INVOKEAI;
    options->path = "/nowhere";
}

static enum mmgr_result call_import(const void *memory)
{
    TRY(char, mmgr_store_import(live.store, (const struct mmgr_import_options *)memory, &out),
        mmgr_string_free);
}

static void fill_manager(void *memory)
{
    ((struct mmgr_manager_options *)memory)->config = live.config;
}

static enum mmgr_result call_manager(const void *memory)
{
    TRY(mmgr_manager, mmgr_manager_open((const struct mmgr_manager_options *)memory, &out),
        mmgr_manager_close);
}

static void nothing(void *memory)
{
    (void)memory;
}

#define SUBJECT(tag, size, has_flags, expected, fill, call)                          \
    {                                                                                \
#tag " in " #call, size, sizeof(struct tag), has_flags, expected, fill, call \
    }

static const struct subject subjects[] = {
    SUBJECT(mmgr_config_options, 24, 1, MMGR_OK, fill_config, call_config),
    SUBJECT(mmgr_bus_options, 8, 1, MMGR_OK, nothing, call_bus),
    SUBJECT(mmgr_store_options, 72, 1, MMGR_OK, fill_store, call_store),
    SUBJECT(mmgr_queue_options, 48, 1, MMGR_OK, nothing, call_queue),
    SUBJECT(mmgr_hub_options, 32, 1, MMGR_OK, fill_hub, call_hub),
    SUBJECT(mmgr_prober_options, 16, 1, MMGR_OK, nothing, call_prober),
    SUBJECT(mmgr_probe_options, 16, 1, MMGR_ERR_PATH_NOT_FOUND, nothing, call_probe),
    SUBJECT(mmgr_checkpoint_options, 24, 1, MMGR_ERR_PATH_NOT_FOUND, nothing, call_checkpoint),
    SUBJECT(mmgr_installer_options, 56, 1, MMGR_OK, fill_installer, call_installer),
    SUBJECT(mmgr_install_options, 64, 1, MMGR_ERR_PATH_NOT_FOUND, fill_install, call_plan),
    SUBJECT(mmgr_install_options, 64, 1, MMGR_ERR_PATH_NOT_FOUND, fill_install, call_install),
    SUBJECT(mmgr_download_options, 104, 1, MMGR_ERR_PATH_NOT_FOUND, fill_download, call_download),
    SUBJECT(mmgr_load_service_options, 64, 1, MMGR_OK, fill_load_service, call_load_service),
    SUBJECT(mmgr_load_options, 24, 1, MMGR_ERR_MODEL_NOT_FOUND, nothing, call_load),
    SUBJECT(mmgr_load_options, 24, 1, MMGR_ERR_UNKNOWN_MODEL, nothing, call_load_by_key),
    SUBJECT(mmgr_search_options, 136, 0, MMGR_OK, nothing, call_search),
    SUBJECT(mmgr_import_options, 32, 1, MMGR_ERR_PATH_NOT_FOUND, fill_import, call_import),
    SUBJECT(mmgr_manager_options, 64, 1, MMGR_OK, fill_manager, call_manager),
};

static void open_live(void)
{
    struct mmgr_config_options config = {sizeof config,
                                         MMGR_CONFIG_NO_ENVIRONMENT | MMGR_CONFIG_NO_FILE};
    struct mmgr_store_options store = {sizeof store};
    struct mmgr_queue_options queue = {sizeof queue};
    struct mmgr_hub_options hub = {sizeof hub};
    struct mmgr_installer_options installer = {sizeof installer};
    struct mmgr_load_service_options loads = {sizeof loads};
    int good = 1;
    config.root = folder;
    good &= mmgr_config_new(&config, &live.config) == MMGR_OK;
    good &= mmgr_bus_open(NULL, &live.bus) == MMGR_OK;
    fill_store(&store);
    good &= mmgr_store_open(&store, &live.store) == MMGR_OK;
    queue.bus = live.bus;
    good &= mmgr_queue_open(&queue, &live.queue) == MMGR_OK;
    fill_hub(&hub);
    good &= mmgr_hub_open(&hub, &live.hub) == MMGR_OK;
    good &= mmgr_prober_new(NULL, &live.prober) == MMGR_OK;
    fill_installer(&installer);
    good &= mmgr_installer_open(&installer, &live.installer) == MMGR_OK;
    fill_load_service(&loads);
    good &= mmgr_load_service_open(&loads, &live.loads) == MMGR_OK;
    good &= mmgr_loader_registry_new(&live.registry) == MMGR_OK;
    good &=
        mmgr_record_from_json("{\"name\": \"x\", \"type\": \"vae\", \"format\": \"checkpoint\", "
                              "\"base\": \"sd-1\", \"path\": \"/nowhere\"}",
                              &live.record) == MMGR_OK;
    if (!tap(good, "the services open")) {
        printf("Bail out! %s\n", mmgr_error_message(mmgr_last_error()));
        exit(1);
    }
}

static void close_live(void)
{
    mmgr_record_unref(live.record);
    mmgr_loader_registry_unref(live.registry);
    tap(mmgr_load_service_close(live.loads) == MMGR_OK, "load service closes");
    tap(mmgr_installer_close(live.installer) == MMGR_OK, "installer closes");
    mmgr_prober_unref(live.prober);
    mmgr_hub_close(live.hub);
    tap(mmgr_queue_close(live.queue) == MMGR_OK, "queue closes");
    tap(mmgr_store_close(live.store) == MMGR_OK, "store closes");
    tap(mmgr_bus_close(live.bus) == MMGR_OK, "bus closes");
    mmgr_config_unref(live.config);
}

/* Gives the call a struct of this size in a memory block of exactly that size. */
static enum mmgr_result try_size(const struct subject *subject, uint32_t size, uint32_t bytes,
                                 int tail)
{
    unsigned char filled[ROOM];
    unsigned char *exact = (unsigned char *)malloc(bytes);
    enum mmgr_result result;
    if (exact == NULL)
        return MMGR_ERR_NO_MEMORY;
    memset(filled, 0, sizeof filled);
    subject->fill(filled);
    memcpy(filled, &size, sizeof size);
    filled[bytes - 1] = (unsigned char)(tail ? 1 : filled[bytes - 1]);
    memcpy(exact, filled, bytes);
    result = subject->call(exact);
    free(exact);
    return result;
}

static void sizes(const struct subject *subject)
{
    const uint32_t size = subject->real_size;
    unsigned char flagged[ROOM];
    uint32_t highest = 0x80000000u;
    tap(sizeof(void *) != 8 || size == subject->size, "%s: %u bytes", subject->name, size);
    tap(try_size(subject, 0, size, 0) == MMGR_ERR_ABI_SIZE, "%s: size 0", subject->name);
    tap(try_size(subject, 4, 4, 0) == MMGR_ERR_ABI_SIZE, "%s: size 4", subject->name);
    tap(try_size(subject, size - 1, size, 0) == MMGR_ERR_ABI_SIZE, "%s: one byte short",
        subject->name);
    tap(try_size(subject, size, size, 0) == subject->expected, "%s: exact", subject->name);
    tap(try_size(subject, size + 16, size + 16, 0) == subject->expected, "%s: newer",
        subject->name);
    tap(try_size(subject, size + 16, size + 16, 1) == MMGR_ERR_ABI_NEWER, "%s: newer, used",
        subject->name);
    tap(try_size(subject, 0xffffffffu, size, 0) == MMGR_ERR_ABI_SIZE, "%s: absurd", subject->name);
    if (!subject->has_flags)
        return;
    memset(flagged, 0, sizeof flagged);
    subject->fill(flagged);
    memcpy(flagged, &size, sizeof size);
    memcpy(flagged + 4, &highest, sizeof highest);
    tap(subject->call(flagged) == MMGR_ERR_ARGUMENT, "%s: a flag that is none", subject->name);
}

int main(void)
{
    char command[64];
    if (mkdtemp(folder) == NULL)
        return 1;
    open_live();
    for (size_t i = 0; i < sizeof subjects / sizeof subjects[0]; i++)
        sizes(&subjects[i]);
    close_live();
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return tap_end() | (system(command) != 0);
}
