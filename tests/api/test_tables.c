/* SPDX-License-Identifier: MIT */
/* Function tables of hosts: their sizes, versions and missing functions, and who frees what. Also
 * calls on live services whose other arguments are missing. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <modelmgr/modelmgr.h>

#include "tap.h"

#define ROOM 256

static char marker;
static char folder[] = "/tmp/mmgr-tables-XXXXXX";
static int freed; /* calls of a self_free or user_free */
static mmgr_config *config;
static mmgr_bus *bus;
static mmgr_store *store;
static mmgr_queue *queue;
static mmgr_hub *hub;
static mmgr_prober *prober;

static void count_free(void *self)
{
    (void)self;
    freed++;
}

/* The functions are never called here, so that one will do for all. */
static enum mmgr_result never(void)
{
    abort();
}

static void (*const any)(void) = (void (*)(void))never;

struct table {
    const char *name;
    uint32_t size;
    uint32_t real_size;
    size_t first_function, required, functions; /* offset of the first, and how many there are */
    enum mmgr_result (*add)(const void *ops, void (*self_free)(void *));
    int owns_self; /* add takes a self_free */
};

static enum mmgr_result add_device(const void *ops, void (*self_free)(void *))
{
    mmgr_device *out = (mmgr_device *)&marker;
    enum mmgr_result result =
        mmgr_device_new((const mmgr_device_ops *)ops, &marker, self_free, &out);
    if (result != MMGR_OK)
        tap(out == (mmgr_device *)&marker, "the output stays");
    else
        mmgr_device_unref(out);
    return result;
}

static enum mmgr_result add_loader(const void *ops, void (*self_free)(void *))
{
    mmgr_loader_registry *registry = NULL;
    mmgr_loader_registry_new(&registry);
    enum mmgr_result result = mmgr_loader_registry_add(
        registry, "any", "vae", "checkpoint", (const mmgr_loader_ops *)ops, &marker, self_free);
    mmgr_loader_registry_unref(registry);
    return result;
}

static enum mmgr_result add_fetcher(const void *ops, void (*self_free)(void *))
{
    struct mmgr_hub_options options = {sizeof options};
    mmgr_hub *one = NULL;
    options.config = config;
    mmgr_queue_transport(queue, &options.transport, &options.transport_self);
    mmgr_hub_open(&options, &one);
    enum mmgr_result result =
        mmgr_hub_add_fetcher(one, (const mmgr_fetcher_ops *)ops, &marker, self_free);
    mmgr_hub_close(one);
    return result;
}

static enum mmgr_result add_transport(const void *ops, void (*self_free)(void *))
{
    struct mmgr_queue_options options = {sizeof options};
    mmgr_queue *out = (mmgr_queue *)&marker;
    (void)self_free;
    options.transport = (const mmgr_transport_ops *)ops;
    enum mmgr_result result = mmgr_queue_open(&options, &out);
    if (result != MMGR_OK)
        tap(out == (mmgr_queue *)&marker, "the output stays");
    else
        tap(mmgr_queue_close(out) == MMGR_OK, "it closes");
    return result;
}

static enum mmgr_result add_hub_transport(const void *ops, void (*self_free)(void *))
{
    struct mmgr_hub_options options = {sizeof options};
    mmgr_hub *out = (mmgr_hub *)&marker;
    (void)self_free;
    options.config = config;
    options.transport = (const mmgr_transport_ops *)ops;
    enum mmgr_result result = mmgr_hub_open(&options, &out);
    if (result != MMGR_OK)
        tap(out == (mmgr_hub *)&marker, "the output stays");
    else
        mmgr_hub_close(out);
    return result;
}

static const struct table tables[] = {
    {"device", 72, sizeof(mmgr_device_ops), offsetof(mmgr_device_ops, memory_info), 7, 7,
     add_device, 1},
    {"loader", 48, sizeof(mmgr_loader_ops), offsetof(mmgr_loader_ops, load), 1, 4, add_loader, 1},
    {"fetcher", 32, sizeof(mmgr_fetcher_ops), offsetof(mmgr_fetcher_ops, accepts), 2, 2,
     add_fetcher, 1},
    {"transport of a queue", 48, sizeof(mmgr_transport_ops), offsetof(mmgr_transport_ops, start), 3,
     4, add_transport, 0},
    {"transport of a hub", 48, sizeof(mmgr_transport_ops), offsetof(mmgr_transport_ops, start), 3,
     4, add_hub_transport, 0},
};

/* All four kinds of table begin alike: struct_size, api_version, name. */
static void fill(const struct table *table, unsigned char *bytes)
{
    uint32_t head[2] = {table->real_size, 1};
    const char *name = "host";
    memset(bytes, 0, ROOM);
    memcpy(bytes, head, sizeof head);
    memcpy(bytes + offsetof(mmgr_device_ops, name), &name, sizeof name);
    for (size_t i = 0; i < table->functions; i++)
        memcpy(bytes + table->first_function + i * sizeof any, &any, sizeof any);
}

static void put(unsigned char *bytes, size_t offset, uint32_t value)
{
    memcpy(bytes + offset, &value, sizeof value);
}

static void test_table(const struct table *table)
{
    unsigned char bytes[ROOM];
    const uint32_t size = table->real_size;
    freed = 0;
    tap(sizeof(void *) != 8 || size == table->size, "%s: %u bytes", table->name, size);
    fill(table, bytes);
    put(bytes, 0, 0);
    tap(table->add(bytes, count_free) == MMGR_ERR_ABI_SIZE, "%s: size 0", table->name);
    put(bytes, 0, size - 1);
    tap(table->add(bytes, count_free) == MMGR_ERR_ABI_SIZE, "%s: one byte short", table->name);
    put(bytes, 0, size + 8);
    bytes[size + 7] = 1;
    tap(table->add(bytes, count_free) == MMGR_ERR_ABI_NEWER, "%s: newer, used", table->name);
    fill(table, bytes);
    put(bytes, 4, 2);
    tap(table->add(bytes, count_free) == MMGR_ERR_ARGUMENT, "%s: another version", table->name);
    for (size_t i = 0; i < table->required; i++) {
        fill(table, bytes);
        memset(bytes + table->first_function + i * sizeof any, 0, sizeof any);
        tap(table->add(bytes, count_free) == MMGR_ERR_ARGUMENT, "%s: without function %u",
            table->name, (unsigned)i);
    }
    fill(table, bytes);
    memset(bytes + offsetof(mmgr_device_ops, name), 0, sizeof(char *));
    tap(table->add(bytes, count_free) == MMGR_ERR_ARGUMENT, "%s: without a name", table->name);
    tap(freed == 0, "%s: a failure frees nothing", table->name);
    fill(table, bytes);
    tap(table->add(bytes, count_free) == MMGR_OK, "%s: good", table->name);
    tap(freed == table->owns_self, "%s: freed once", table->name);
    put(bytes, 0, size + 8);
    tap(table->add(bytes, NULL) == MMGR_OK, "%s: newer", table->name);
}

#define REFUSED(call) tap((call) == MMGR_ERR_ARGUMENT, "%s", #call)

static void on_event(const mmgr_event *event, enum mmgr_decision *decision, void *user)
{
    (void)event;
    (void)decision;
    (void)user;
}

static void test_services(void)
{
    mmgr_record *record = (mmgr_record *)&marker;
    mmgr_listener *listener = NULL;
    mmgr_parts *parts = NULL;
    int exists = 7;
    int64_t number = 7;
    freed = 0;
    REFUSED(mmgr_bus_subscribe(bus, MMGR_EVENTS_ALL, NULL, &marker, count_free, NULL));
    REFUSED(mmgr_bus_subscribe(bus, 0, on_event, &marker, count_free, NULL));
    REFUSED(mmgr_bus_unsubscribe(bus, 0));
    REFUSED(mmgr_listener_open(bus, MMGR_EVENTS_ALL, NULL));
    tap(mmgr_listener_open(bus, MMGR_EVENTS_ALL, &listener) == MMGR_OK, "listener");
    REFUSED(mmgr_listener_next(listener, 0, NULL));
    mmgr_listener_close(listener);
    REFUSED(mmgr_config_get_number(config, "models_dir", &number));
    REFUSED(mmgr_config_get_number(config, NULL, &number));
    REFUSED(mmgr_config_get_number(config, "no_such_field", &number));
    REFUSED(mmgr_config_get_number(config, "max_cache_ram", NULL));
    REFUSED(mmgr_config_to_json(config, NULL));
    REFUSED(mmgr_store_get(store, NULL, &record));
    REFUSED(mmgr_store_get(store, "key", NULL));
    REFUSED(mmgr_store_add(store, NULL, &record));
    REFUSED(mmgr_store_update(store, NULL, "{}", &record));
    REFUSED(mmgr_store_update(store, "key", NULL, &record));
    REFUSED(mmgr_store_delete(store, NULL));
    REFUSED(mmgr_store_exists(store, NULL, &exists));
    REFUSED(mmgr_store_exists(store, "key", NULL));
    REFUSED(mmgr_store_import(store, NULL, NULL));
    REFUSED(mmgr_store_search(store, NULL, NULL));
    REFUSED(mmgr_store_get_by_name(store, NULL, NULL, NULL, &record));
    REFUSED(mmgr_store_get_by_name(store, "name", NULL, NULL, NULL));
    REFUSED(mmgr_queue_add_handler(queue, NULL, &marker, count_free));
    REFUSED(mmgr_queue_submit(queue, NULL, NULL));
    REFUSED(mmgr_queue_get(queue, 1, NULL));
    REFUSED(mmgr_queue_list(queue, NULL));
    REFUSED(mmgr_queue_transport(queue, NULL, NULL));
    tap(mmgr_queue_start(queue, 0) == MMGR_ERR_UNKNOWN_JOB, "there is no job 0");
    tap(mmgr_parts_new(&parts) == MMGR_OK, "parts");
    REFUSED(mmgr_parts_add(parts, NULL, "a", 0, NULL, NULL));
    REFUSED(mmgr_parts_add(parts, "/a", NULL, 0, NULL, NULL));
    REFUSED(mmgr_parts_add(parts, "/a", "a", 0, "not a hash", NULL));
    mmgr_parts_free(parts);
    REFUSED(mmgr_hub_fetch(hub, NULL, NULL, NULL));
    REFUSED(mmgr_prober_add_rules(prober, NULL, "version: 1\nrules: []\n"));
    REFUSED(mmgr_prober_add_rules(prober, "name", NULL));
    REFUSED(mmgr_probe_path(prober, NULL, NULL, NULL));
    REFUSED(mmgr_probe_path(prober, "/nowhere", NULL, NULL));
    tap(record == (mmgr_record *)&marker && exists == 7 && number == 7, "all outputs stay");
    tap(freed == 0, "nothing was freed");
}

static void test_builder(void)
{
    mmgr_record_builder *builder = NULL;
    mmgr_record *record = (mmgr_record *)&marker;
    tap(mmgr_record_builder_new(NULL, &builder) == MMGR_OK, "builder");
    REFUSED(mmgr_record_builder_set(builder, (enum mmgr_field)0, "x"));
    REFUSED(mmgr_record_builder_set(builder, (enum mmgr_field)999, "x"));
    REFUSED(mmgr_record_builder_merge(builder, NULL));
    REFUSED(mmgr_record_builder_build(builder, NULL));
    tap(mmgr_record_builder_build(builder, &record) == MMGR_ERR_INVALID_CONFIG, "nothing is set");
    tap(record == (mmgr_record *)&marker, "the output stays");
    tap(mmgr_error_field(mmgr_last_error()) != NULL, "a field is named");
    mmgr_record_builder_free(builder);
}

static void open_services(void)
{
    struct mmgr_config_options given = {sizeof given,
                                        MMGR_CONFIG_NO_ENVIRONMENT | MMGR_CONFIG_NO_FILE};
    struct mmgr_store_options records = {sizeof records};
    struct mmgr_hub_options hubs = {sizeof hubs};
    given.root = folder;
    tap(mmgr_config_new(&given, &config) == MMGR_OK, "config");
    tap(mmgr_bus_open(NULL, &bus) == MMGR_OK, "bus");
    records.config = config;
    tap(mmgr_store_open(&records, &store) == MMGR_OK, "store");
    tap(mmgr_queue_open(NULL, &queue) == MMGR_OK, "queue");
    tap(mmgr_queue_bus(queue) != NULL, "with a bus of its own");
    hubs.config = config;
    tap(mmgr_queue_transport(queue, &hubs.transport, &hubs.transport_self) == MMGR_OK, "transport");
    tap(mmgr_hub_open(&hubs, &hub) == MMGR_OK, "hub");
    tap(mmgr_prober_new(NULL, &prober) == MMGR_OK, "prober");
}

static void close_services(void)
{
    mmgr_prober_unref(prober);
    mmgr_hub_close(hub);
    tap(mmgr_queue_close(queue) == MMGR_OK, "queue closes");
    tap(mmgr_store_close(store) == MMGR_OK, "store closes");
    tap(mmgr_bus_close(bus) == MMGR_OK, "bus closes");
    mmgr_config_unref(config);
}

int main(void)
{
    char command[64];
    if (mkdtemp(folder) == NULL)
        return 1;
    open_services();
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        test_table(&tables[i]);
    test_services();
    test_builder();
    close_services();
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return tap_end() | (system(command) != 0);
}
