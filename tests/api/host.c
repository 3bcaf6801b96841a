/* SPDX-License-Identifier: MIT */
/* A small inference host, written against the public headers alone: it opens every service by
 * itself, brings its own networking, device and loader, and takes one model from a file to a sum
 * over its tensors. */
#include "host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TENSOR_BYTES 64u

static int checks, failures;

int check(int good, const char *what)
{
    checks++;
    failures += !good;
    printf("%sok %d - %s\n", good ? "" : "not ", checks, what);
    if (!good)
        printf("# last error: %s: %s\n", mmgr_result_name(mmgr_error_code(mmgr_last_error())),
               mmgr_error_message(mmgr_last_error()));
    fflush(stdout);
    return good;
}

int expect(enum mmgr_result got, enum mmgr_result wanted, const char *what)
{
    if (got != wanted)
        printf("# %s instead of %s\n", mmgr_result_name(got), mmgr_result_name(wanted));
    return check(got == wanted, what);
}

const char *below(const struct host *host, const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", host->root, name);
    return path;
}

static void write_file(const char *path, const void *data, size_t bytes)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(data, 1, bytes, file) != bytes || fclose(file) != 0)
        check(0, path);
}

/* Two F32 tensors of 4 x 4 with the numbers 0 … 15, so that each sums to 120. */
static void write_model(const char *path)
{
    static const char header[] =
        "{\"host.embed.weight\":{\"dtype\":\"F32\",\"shape\":[4,4],\"data_offsets\":[0,64]},"
        "\"host.out.weight\":{\"dtype\":\"F32\",\"shape\":[4,4],\"data_offsets\":[64,128]}}";
    unsigned char bytes[8 + 256 + 2 * TENSOR_BYTES];
    size_t length = (sizeof header - 1 + 7) / 8 * 8;
    memset(bytes, ' ', sizeof bytes);
    memset(bytes, 0, 8);
    bytes[0] = (unsigned char)length;
    memcpy(bytes + 8, header, sizeof header - 1);
    for (unsigned i = 0; i < 32; i++) {
        float number = (float)(i % 16);
        memcpy(bytes + 8 + length + 4 * i, &number, 4);
    }
    write_file(path, bytes, 8 + length + 2 * TENSOR_BYTES);
}

/* Closing a service from inside a handler must be refused. */
static void on_event(const mmgr_event *event, enum mmgr_decision *decision, void *user)
{
    struct host *host = (struct host *)user;
    (void)decision;
    if (host->events++ == 0) {
        host->close_from_handler[0] = mmgr_queue_close(host->queue);
        host->close_from_handler[1] = mmgr_installer_close(host->installer);
        host->close_from_handler[2] = mmgr_bus_close(host->bus);
        host->close_from_handler[3] = mmgr_queue_wait(host->queue, mmgr_event_job(event), 0);
    }
}

static void open_records(struct host *host)
{
    struct mmgr_config_options options = {sizeof options};
    struct mmgr_store_options store = {sizeof store};
    options.flags = MMGR_CONFIG_NO_ENVIRONMENT | MMGR_CONFIG_NO_FILE;
    options.root = host->root;
    expect(mmgr_config_new(&options, &host->config), MMGR_OK, "config");
    expect(mmgr_config_set(host->config, "models_dir", "weights"), MMGR_OK, "a field is set");
    expect(mmgr_config_set(host->config, "modelsdir", "x"), MMGR_ERR_INVALID_CONFIG,
           "a misspelt one");
    check(strcmp(mmgr_error_field(mmgr_last_error()), "modelsdir") == 0, "is named by the error");
    expect(mmgr_bus_open(NULL, &host->bus), MMGR_OK, "bus");
    expect(mmgr_listener_open(host->bus, MMGR_EVENTS_ALL, &host->listener), MMGR_OK, "listener");
    store.config = host->config;
    store.bus = host->bus;
    expect(mmgr_store_open(&store, &host->store), MMGR_OK, "store");
    expect(mmgr_config_set(host->config, "models_dir", "x"), MMGR_ERR_STATE,
           "the config is settled");
}

static void open_sources(struct host *host)
{
    static const char rules[] = "version: 1\nrules:\n  - name: host-model\n    type: main\n"
                                "    base: host-family\n    format: checkpoint\n    on: file\n"
                                "    all:\n      - key: host.embed.weight\n";
    struct mmgr_queue_options queue = {sizeof queue};
    struct mmgr_hub_options hub = {sizeof hub};
    struct mmgr_installer_options installer = {sizeof installer};
    queue.bus = host->bus;
    queue.config = host->config;
    queue.transport = &web_transport;
    queue.transport_self = &host->web;
    queue.max_retries = 1;
    expect(mmgr_queue_open(&queue, &host->queue), MMGR_OK, "queue");
    hub.config = host->config;
    expect(mmgr_hub_open(&hub, &host->hub), MMGR_ERR_ARGUMENT, "a hub wants a transport");
    expect(mmgr_queue_transport(host->queue, &hub.transport, &hub.transport_self), MMGR_OK,
           "the queue lends its own");
    expect(mmgr_hub_open(&hub, &host->hub), MMGR_OK, "hub");
    expect(mmgr_prober_new(NULL, &host->prober), MMGR_OK, "prober");
    expect(mmgr_prober_add_rules(host->prober, "host.yaml", "version: 1\nrules: 7\n"),
           MMGR_ERR_INVALID_FILE, "broken rules");
    expect(mmgr_prober_add_rules(host->prober, "host.yaml", rules), MMGR_OK, "rules of the host");
    installer.config = host->config;
    installer.store = host->store;
    installer.queue = host->queue;
    installer.hub = host->hub;
    installer.prober = host->prober;
    expect(mmgr_installer_open(&installer, &host->installer), MMGR_ERR_ARGUMENT,
           "no bus, no installer");
    installer.bus = host->bus;
    expect(mmgr_installer_open(&installer, &host->installer), MMGR_OK, "installer");
}

static void open_loading(struct host *host)
{
    struct mmgr_load_service_options options = {sizeof options};
    expect(mmgr_loader_registry_new(&host->registry), MMGR_OK, "registry");
    expect(mmgr_loader_registry_add(host->registry, "host-family", "main", "checkpoint",
                                    &host_loader, &host->loader, loader_free),
           MMGR_OK, "loader of the host");
    expect(mmgr_loader_registry_add(host->registry, "host-family", "main", "checkpoint",
                                    &host_loader, &host->loader, loader_free),
           MMGR_ERR_LOADER_CLASH, "only one");
    gpu_init(&host->gpu, 4096);
    expect(mmgr_device_new(&gpu_device, &host->gpu, gpu_free, &host->device), MMGR_OK, "device");
    options.config = host->config;
    options.store = host->store;
    options.registry = host->registry;
    options.bus = host->bus;
    options.device = host->device;
    expect(mmgr_load_service_open(&options, &host->loads), MMGR_OK, "load service");
}

int pull(struct host *host, enum mmgr_event_type type, uint64_t job)
{
    mmgr_event *event;
    int found = 0;
    while (!found && mmgr_listener_next(host->listener, 30 * SECOND, &event) == MMGR_OK) {
        found = mmgr_event_type(event) == type && (job == 0 || mmgr_event_job(event) == job);
        mmgr_event_unref(event);
    }
    return found;
}

static void identify(struct host *host)
{
    mmgr_probe_result *result = NULL;
    mmgr_source *source = NULL;
    mmgr_metadata *metadata = NULL;
    write_model(below(host, "toy.safetensors"));
    expect(mmgr_probe_path(host->prober, below(host, "toy.safetensors"), NULL, &result), MMGR_OK,
           "identified");
    check(strcmp(mmgr_probe_result_rule(result), "host-model") == 0, "by the host's rule");
    check(strcmp(mmgr_probe_result_text(result, MMGR_FIELD_BASE), "host-family") == 0,
          "with its base");
    mmgr_probe_result_unref(result);
    expect(mmgr_prober_add_rules(host->prober, "late.yaml", "version: 1\nrules: []\n"),
           MMGR_ERR_STATE, "rules come before use");
    expect(mmgr_probe_path(host->prober, below(host, "one.bin"), NULL, &result),
           MMGR_ERR_UNSUPPORTED, "bytes without form");
    expect(mmgr_source_parse("nobody/nothing", &source), MMGR_OK, "a repository");
    expect(mmgr_hub_fetch(host->hub, source, NULL, &metadata), MMGR_ERR_REPO_NOT_FOUND,
           "that is nowhere");
    mmgr_source_unref(source);
}

static void install(struct host *host)
{
    struct mmgr_install_options options = {sizeof options};
    mmgr_install *job = NULL;
    mmgr_plan *plan = NULL;
    mmgr_record *record = NULL;
    char *json = NULL;
    options.source = "./no-such-file.safetensors";
    expect(mmgr_installer_submit(host->installer, &options, &job), MMGR_ERR_PATH_NOT_FOUND,
           "a path that is missing");
    options.source = below(host, "toy.safetensors");
    expect(mmgr_installer_plan(host->installer, &options, &plan), MMGR_OK, "plan");
    expect(mmgr_plan_to_json(plan, &json), MMGR_OK, "plan as JSON");
    check(strstr(json, "\"copy\"") != NULL, "says copy");
    mmgr_string_free(json);
    mmgr_plan_free(plan);
    expect(mmgr_installer_submit(host->installer, &options, &job), MMGR_OK, "install");
    expect(mmgr_installer_wait(host->installer, mmgr_install_id(job), 30 * SECOND), MMGR_OK,
           "ends");
    if (!check(mmgr_install_status(job) == MMGR_INSTALL_COMPLETED, "complete"))
        printf("# %s\n", mmgr_error_message(mmgr_install_error(job)));
    expect(mmgr_install_record(job, &record), MMGR_OK, "its record");
    snprintf(host->key, sizeof host->key, "%s", mmgr_record_text(record, MMGR_FIELD_KEY));
    check(mmgr_record_term(record, MMGR_FIELD_TYPE) == MMGR_TYPE_MAIN, "a type of this release");
    check(mmgr_record_term(record, MMGR_FIELD_BASE) == MMGR_TERM_OTHER, "a base of the host's");
    mmgr_record_unref(record);
    check(pull(host, MMGR_EVENT_INSTALL_COMPLETED, mmgr_install_id(job)), "its end can be pulled");
    mmgr_install_unref(job);
    expect(
        mmgr_installer_install_path(host->installer, below(host, "toy.safetensors"), NULL, &record),
        MMGR_ERR_DUPLICATE_MODEL, "once is enough");
    check(strcmp(mmgr_error_subject(mmgr_last_error()), host->key) == 0, "the error names the key");
}

static void records(struct host *host)
{
    struct mmgr_search_options search = {sizeof search};
    static const char *const tags[] = {"host"};
    mmgr_record *record = NULL;
    mmgr_record_list *list = NULL;
    int exists = 0;
    expect(mmgr_store_update(host->store, host->key, "{\"tags\": [\"host\"], \"name\": \"toy\"}",
                             &record),
           MMGR_OK, "update");
    check(strcmp(mmgr_record_list_item(record, MMGR_FIELD_TAGS, 0), "host") == 0, "a tag");
    mmgr_record_unref(record);
    expect(mmgr_store_update(host->store, host->key, "{\"type\": 7}", NULL),
           MMGR_ERR_INVALID_CONFIG, "a type is no number");
    search.tags = tags;
    search.tag_count = 1;
    search.base = "host-family";
    expect(mmgr_store_search(host->store, &search, &list), MMGR_OK, "search");
    check(mmgr_record_list_count(list) == 1, "finds it");
    mmgr_record_list_free(list);
    search.filter = "tags = toy and nonsense > 1";
    expect(mmgr_store_search(host->store, &search, &list), MMGR_ERR_ARGUMENT, "a filter on no field");
    check(mmgr_error_offset(mmgr_last_error()) == 15, "the offset is that of the name");
    expect(mmgr_store_exists(host->store, host->key, &exists), MMGR_OK, "exists");
    check(exists == 1, "it does");
    expect(mmgr_store_get_by_name(host->store, "toy", NULL, "main", &record), MMGR_OK, "by name");
    mmgr_record_unref(record);
    expect(mmgr_store_get(host->store, host->key, &record), MMGR_OK, "by key");
    check(mmgr_record_file_count(record) == 1, "with its manifest");
    check(mmgr_record_file_flags(record, 0) == MMGR_FILE_OWNED, "of one file, its own");
    check(access(mmgr_record_location(record), R_OK) == 0, "that is there");
    mmgr_record_unref(record);
    expect(mmgr_store_get(host->store, "nobody", &record), MMGR_ERR_UNKNOWN_MODEL, "no such key");
}

static float sum_of(const mmgr_tensor_set *set)
{
    const mmgr_device *device = mmgr_tensor_set_device(set);
    float sum = 0;
    for (uint64_t i = 0; i < mmgr_tensor_set_count(set); i++) {
        const mmgr_tensor *tensor = mmgr_tensor_set_at(set, i);
        float numbers[TENSOR_BYTES / sizeof(float)];
        if (tensor->dtype != MMGR_DTYPE_F32 || tensor->rank != 2 ||
            tensor->bytes != sizeof numbers ||
            mmgr_device_download(device, numbers, tensor->data, tensor->bytes) != MMGR_OK)
            return -1;
        for (size_t j = 0; j < sizeof numbers / sizeof numbers[0]; j++)
            sum += numbers[j];
    }
    return sum;
}

static void load_tensors(struct host *host)
{
    mmgr_loaded *loaded = NULL;
    const mmgr_tensor_set *set = NULL;
    const mmgr_tensor *tensor = NULL;
    expect(mmgr_load_service_load_by_key(host->loads, "nobody", NULL, &loaded),
           MMGR_ERR_UNKNOWN_MODEL, "load of nothing");
    expect(mmgr_load_service_load_by_key(host->loads, host->key, NULL, &loaded), MMGR_OK, "load");
    check(sum_of(mmgr_loaded_state_dict(loaded)) == 240, "the sum in RAM");
    expect(mmgr_loaded_unlock(loaded), MMGR_ERR_STATE, "nothing to unlock");
    host->gpu.capacity = 100;
    expect(mmgr_loaded_lock(loaded, &set), MMGR_ERR_DEVICE_MEMORY, "too large for the device");
    check(set == NULL, "leaves the output alone");
    host->gpu.capacity = 4096;
    expect(mmgr_loaded_lock(loaded, &set), MMGR_OK, "lock");
    check(mmgr_tensor_set_device(set) == host->device, "on the host's device");
    check(sum_of(set) == 240 && host->gpu.used >= 2 * TENSOR_BYTES, "the sum there");
    expect(mmgr_tensor_set_find(set, "host.out.weight", &tensor), MMGR_OK, "a tensor by name");
    check(tensor->strides[0] == 4 && tensor->strides[1] == 1, "with strides");
    expect(mmgr_tensor_set_find(set, "gone", &tensor), MMGR_ERR_UNKNOWN_TENSOR, "no such tensor");
    expect(mmgr_load_service_close(host->loads), MMGR_ERR_BUSY, "no close while a model is held");
    expect(mmgr_loaded_unlock(loaded), MMGR_OK, "unlock");
    check(mmgr_load_service_number(host->loads, MMGR_CACHE_UPLOADS) == 1, "one upload");
    mmgr_loaded_unref(loaded);
}

static void load_objects(struct host *host)
{
    mmgr_loaded *loaded = NULL;
    const mmgr_tensor_set *set = NULL;
    expect(mmgr_load_service_unload(host->loads, host->key), MMGR_OK, "unload");
    check(host->gpu.used == 0, "the device is empty");
    host->loader.mode = LOAD_FAILURE;
    expect(mmgr_load_service_load_by_key(host->loads, host->key, NULL, &loaded), MMGR_ERR_PLUGIN,
           "a loader that fails");
    check(strstr(mmgr_error_message(mmgr_last_error()), "invalid_file") != NULL,
          "its code is named");
    host->loader.mode = LOAD_NOTHING;
    expect(mmgr_load_service_load_by_key(host->loads, host->key, NULL, &loaded), MMGR_ERR_PLUGIN,
           "a loader that made nothing");
    host->loader.mode = LOAD_OBJECT;
    expect(mmgr_load_service_load_by_key(host->loads, host->key, NULL, &loaded), MMGR_OK,
           "an object");
    check(mmgr_loaded_object(loaded) != NULL && mmgr_loaded_state_dict(loaded) == NULL,
          "no tensors");
    expect(mmgr_loaded_lock(loaded, &set), MMGR_OK, "an object can be locked");
    check(set == NULL, "there is no set");
    expect(mmgr_loaded_unlock(loaded), MMGR_OK, "and unlocked");
    mmgr_loaded_unref(loaded);
    expect(mmgr_load_service_unload(host->loads, NULL), MMGR_OK, "unload all");
    check(host->loader.objects == 0 && host->loader.loads == 4, "objects are freed");
}

/* Services close in the reverse order of opening; another order is refused and changes nothing. */
static void close_all(struct host *host)
{
    char *deleted = NULL;
    int i;
    expect(mmgr_installer_remove(host->installer, host->key, MMGR_REMOVE_INSIDE, &deleted), MMGR_OK,
           "remove");
    check(strstr(deleted, host->root) != NULL, "names the file");
    mmgr_string_free(deleted);
    expect(mmgr_bus_unsubscribe(host->bus, host->subscription), MMGR_OK, "unsubscribe");
    expect(mmgr_bus_unsubscribe(host->bus, host->subscription), MMGR_ERR_ARGUMENT, "only once");
    check(host->events > 0, "the callback saw events");
    for (i = 0; i < 4; i++)
        expect(host->close_from_handler[i], MMGR_ERR_BUSY, "no close or wait in a handler");
    expect(mmgr_store_close(host->store), MMGR_ERR_BUSY, "the store is in use");
    expect(mmgr_queue_close(host->queue), MMGR_ERR_BUSY, "the queue is in use");
    expect(mmgr_hub_close(host->hub), MMGR_ERR_BUSY, "the hub is in use");
    expect(mmgr_bus_close(host->bus), MMGR_ERR_BUSY, "the bus is in use");
    expect(mmgr_installer_close(host->installer), MMGR_OK, "installer closed");
    expect(mmgr_store_close(host->store), MMGR_ERR_BUSY, "the load service still uses the store");
    expect(mmgr_load_service_close(host->loads), MMGR_OK, "load service closed");
    mmgr_loader_registry_unref(host->registry);
    check(host->loader.freed == 1, "the loader's data is freed");
    mmgr_device_unref(host->device);
    check(host->gpu.freed == 1, "the device is freed");
    mmgr_prober_unref(host->prober);
    mmgr_hub_close(host->hub);
    expect(mmgr_queue_close(host->queue), MMGR_OK, "queue closed");
    web_destroy(&host->web);
    check(host->users_freed == 2, "the handlers' data is freed");
    expect(mmgr_store_close(host->store), MMGR_OK, "store closed");
    mmgr_listener_close(host->listener);
    expect(mmgr_bus_close(host->bus), MMGR_OK, "bus closed");
    mmgr_config_unref(host->config);
}

int main(void)
{
    struct host host;
    char command[300];
    memset(&host, 0, sizeof host);
    snprintf(host.root, sizeof host.root, "/tmp/mmgr-host-XXXXXX");
    if (mkdtemp(host.root) == NULL)
        return 1;
    web_init(&host.web);
    open_records(&host);
    open_sources(&host);
    expect(mmgr_bus_subscribe(host.bus, MMGR_EVENTS_ALL, on_event, &host, NULL, &host.subscription),
           MMGR_OK, "subscribe");
    open_loading(&host);
    download_one(&host);
    download_parts(&host);
    identify(&host);
    install(&host);
    records(&host);
    load_tensors(&host);
    load_objects(&host);
    close_all(&host);
    printf("1..%d\n", checks);
    snprintf(command, sizeof command, "rm -rf '%s'", host.root);
    return system(command) != 0 || failures != 0;
}
