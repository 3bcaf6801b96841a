/* SPDX-License-Identifier: MIT */
/* Which loader loads what: the registry, the built-in loader's submodels, hosts' tables,
 * conversion, events. */
#include "models.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/event.h"
#include "base/io.h"
#include "load/registry.h"

/* A loader of a host: counts, and makes an object or tensors. */
struct host {
    int loads, freed, objects_freed, estimates;
    int conversions, fail_conversion;
    enum mmgr_result fail;
    int as_tensors, speaks;
    char seen[1024];
};

static void object_free(void *object)
{
    ++**(int **)object;
    free(object);
}

static enum mmgr_result host_load(void *self, const mmgr_load_request *request,
                                  mmgr_load_result *result)
{
    struct host *host = self;
    host->loads++;
    snprintf(host->seen, sizeof host->seen, "%s", request->path);
    if (host->speaks)
        return mmgr_tensor_set_read("/does/not/exist", NULL, NULL, &result->tensors);
    if (host->fail != MMGR_OK)
        return host->fail;
    if (host->as_tensors)
        return mmgr_tensor_set_read(request->path, request->submodel, request->variant,
                                    &result->tensors);
    int **object = malloc(sizeof *object);
    *object = &host->objects_freed;
    result->object = object;
    result->object_free = object_free;
    result->bytes = 100;
    return MMGR_OK;
}

static uint64_t host_estimate(void *self, const mmgr_load_request *request)
{
    ((struct host *)self)->estimates++;
    return 90;
}

static int host_needs(void *self, const mmgr_load_request *request, const char *converted_path)
{
    return access(converted_path, F_OK) != 0;
}

static enum mmgr_result host_convert(void *self, const mmgr_load_request *request,
                                     const char *output_path)
{
    struct host *host = self;
    host->conversions++;
    assert_int_equal(mkdir(output_path, 0777), 0);
    char path[1100];
    snprintf(path, sizeof path, "%s/half", output_path);
    FILE *file = fopen(path, "w");
    fputs("x", file);
    fclose(file);
    return host->fail_conversion ? MMGR_ERR_UNSUPPORTED : MMGR_OK;
}

static void host_free(void *self)
{
    ((struct host *)self)->freed++;
}

static mmgr_loader_ops plain_ops(const char *name)
{
    return (mmgr_loader_ops){sizeof(mmgr_loader_ops), 1,    name, host_load,
                             host_estimate,           NULL, NULL};
}

static void test_registry(void **state)
{
    struct host a = {0}, b = {0};
    mmgr_loader_ops ops = plain_ops("mine");
    mmgr_loader_registry *registry;
    assert_int_equal(mmgr_loader_registry_new(&registry), MMGR_OK);
    const struct mmgr__loader *loader = mmgr__registry_find(registry, "sd-1", "vae", "diffusers");
    assert_true(loader->builtin);
    assert_null(mmgr__registry_find(registry, "sd-1", "main", "onnx"));
    assert_null(mmgr__registry_find(registry, "sd-1", "main", "gguf_quantized"));
    assert_null(mmgr__registry_find(registry, "sd-1", "nonsense", "diffusers"));

    assert_int_equal(
        mmgr_loader_registry_add(registry, "any", "vae", "diffusers", &ops, &a, host_free),
        MMGR_OK);
    assert_int_equal(mmgr_loader_registry_add(registry, "sd-2", "vae", "diffusers", &ops, &b, NULL),
                     MMGR_OK);
    assert_int_equal(mmgr_loader_registry_add(registry, "sd-1", "weird", "format", &ops, &b, NULL),
                     MMGR_OK);
    assert_ptr_equal(mmgr__registry_find(registry, "sd-1", "vae", "diffusers")->self, &a);
    assert_ptr_equal(mmgr__registry_find(registry, "sd-2", "vae", "diffusers")->self, &b);
    assert_ptr_equal(mmgr__registry_find(registry, "sd-1", "weird", "format")->self, &b);
    assert_null(mmgr__registry_find(registry, "sd-2", "weird", "format"));
    assert_true(mmgr__registry_find(registry, "sd-2", "vae", "checkpoint")->builtin);

    ops.name = "other";
    assert_int_equal(
        mmgr_loader_registry_add(registry, "sd-2", "vae", "diffusers", &ops, &a, host_free),
        MMGR_ERR_LOADER_CLASH);
    const char *message = mmgr_error_message(mmgr_last_error());
    assert_non_null(strstr(message, "other"));
    assert_non_null(strstr(message, "mine"));
    assert_non_null(strstr(message, "sd-2"));
    assert_int_equal(a.freed, 0);

    mmgr_loader_ops bad = ops;
    bad.load = NULL;
    assert_int_equal(mmgr_loader_registry_add(registry, "x", "y", "z", &bad, &a, host_free),
                     MMGR_ERR_ARGUMENT);
    bad = ops;
    bad.convert = host_convert;
    assert_int_equal(mmgr_loader_registry_add(registry, "x", "y", "z", &bad, &a, host_free),
                     MMGR_ERR_ARGUMENT);
    assert_int_equal(mmgr_loader_registry_add(registry, "", "y", "z", &ops, &a, host_free),
                     MMGR_ERR_ARGUMENT);
    mmgr_loader_registry_ref(registry);
    mmgr_loader_registry_unref(registry);
    assert_int_equal(a.freed, 0);
    mmgr_loader_registry_unref(registry);
    assert_int_equal(a.freed, 1);
}

static void write_pipeline(void)
{
    models_text(
        "p/model_index.json",
        "{\"_class_name\":\"StableDiffusionPipeline\",\"_diffusers_version\":\"0.30.0\","
        "\"unet\":[\"diffusers\",\"UNet2DConditionModel\"],\"vae\":[\"diffusers\",\"AutoencoderKL\"],"
        "\"tokenizer\":[\"transformers\",\"CLIPTokenizer\"],"
        "\"scheduler\":[\"diffusers\",\"PNDMScheduler\"],\"safety_checker\":[null,null],"
        "\"requires_safety_checker\":false,\"../evil\":[\"a\",\"b\"],"
        "\"hollow\":[\"diffusers\",\"UNet2DConditionModel\"]}");
    models_file("p/unet/diffusion_pytorch_model.safetensors", 1, 64);
    models_file("p/unet/diffusion_pytorch_model.fp16.safetensors", 2, 32);
    models_file("p/vae/diffusion_pytorch_model.safetensors", 3, 16);
    models_text("p/tokenizer/vocab.json", "{}");
    models_text("p/scheduler/scheduler_config.json", "{}");
    models_text("p/hollow/config.json", "{}");
}

static void test_submodels(void **state)
{
    write_pipeline();
    struct fixture fixture;
    struct service_setup setup = {0};
    fixture_open(&fixture, &setup);
    mmgr_record *plain = models_record("plain", "main", "diffusers", models_path("p"), NULL);
    mmgr_record *half =
        models_record("half", "main", "diffusers", models_path("p"), ",\"repo_variant\":\"fp16\"");
    assert_int_equal(fixture_try(&fixture, plain, NULL), MMGR_ERR_SUBMODEL_REQUIRED);
    assert_non_null(
        strstr(mmgr_error_message(mmgr_last_error()), "unet, vae, tokenizer, scheduler"));
    assert_int_equal(fixture_try(&fixture, plain, "unot"), MMGR_ERR_UNKNOWN_SUBMODEL);
    assert_non_null(strstr(mmgr_error_message(mmgr_last_error()), "unet, vae"));
    assert_string_equal(mmgr_error_field(mmgr_last_error()), "submodel");
    assert_int_equal(fixture_try(&fixture, plain, "safety_checker"), MMGR_ERR_UNKNOWN_SUBMODEL);
    assert_int_equal(fixture_try(&fixture, plain, "_class_name"), MMGR_ERR_UNKNOWN_SUBMODEL);
    assert_int_equal(fixture_try(&fixture, plain, "../evil"), MMGR_ERR_UNSAFE_PATH);
    assert_int_equal(fixture_try(&fixture, plain, "hollow"), MMGR_ERR_INVALID_FILE);

    mmgr_loaded *unet = fixture_load(&fixture, plain, "unet");
    mmgr_loaded *fp16 = fixture_load(&fixture, half, "unet");
    mmgr_loaded *vae = fixture_load(&fixture, half, "vae");
    mmgr_loaded *tokenizer = fixture_load(&fixture, plain, "tokenizer");
    mmgr_loaded *scheduler = fixture_load(&fixture, plain, "scheduler");
    assert_int_equal(mmgr_tensor_set_bytes(mmgr_loaded_state_dict(unet)), 64);
    assert_int_equal(mmgr_tensor_set_bytes(mmgr_loaded_state_dict(fp16)), 32);
    assert_int_equal(mmgr_tensor_set_bytes(mmgr_loaded_state_dict(vae)), 16);
    assert_non_null(mmgr_loaded_state_dict(tokenizer));
    assert_int_equal(mmgr_tensor_set_count(mmgr_loaded_state_dict(tokenizer)), 0);
    assert_int_equal(mmgr_tensor_set_count(mmgr_loaded_state_dict(scheduler)), 0);
    const mmgr_tensor *tensor = NULL;
    assert_int_equal(mmgr_tensor_set_find(mmgr_loaded_state_dict(scheduler), "x", &tensor),
                     MMGR_ERR_UNKNOWN_TENSOR);
    assert_ptr_equal(mmgr_loaded_record(fp16), half);
    assert_null(mmgr_loaded_object(unet));
    mmgr_loaded_unref(unet);
    mmgr_loaded_unref(fp16);
    mmgr_loaded_unref(vae);
    mmgr_loaded_unref(tokenizer);
    mmgr_loaded_unref(scheduler);
    mmgr_record_unref(plain);
    mmgr_record_unref(half);
    fixture_close(&fixture);
}

/* A folder of parts without an index, and one file: what a submodel means there. */
static void test_folders_and_files(void **state)
{
    models_file("t5/text_encoder_2/model.safetensors", 1, 50);
    models_text("t5/tokenizer_2/spiece.model", "x");
    models_file("f.safetensors", 1, 10);
    struct fixture fixture;
    struct service_setup setup = {0};
    fixture_open(&fixture, &setup);
    mmgr_record *t5 = models_record("t5", "t5_encoder", "t5_encoder", models_path("t5"), NULL);
    mmgr_record *file = models_record("f", "lora", "lycoris", models_path("f.safetensors"), NULL);
    mmgr_loaded *loaded = fixture_load(&fixture, t5, "text_encoder_2");
    assert_int_equal(mmgr_tensor_set_bytes(mmgr_loaded_state_dict(loaded)), 50);
    mmgr_loaded_unref(loaded);
    loaded = fixture_load(&fixture, t5, "tokenizer_2");
    assert_int_equal(mmgr_tensor_set_count(mmgr_loaded_state_dict(loaded)), 0);
    mmgr_loaded_unref(loaded);
    assert_int_equal(fixture_try(&fixture, t5, "unet"), MMGR_ERR_UNKNOWN_SUBMODEL);
    assert_int_equal(fixture_try(&fixture, file, "unet"), MMGR_ERR_UNKNOWN_SUBMODEL);
    assert_int_equal(fixture_try(&fixture, file, ""), MMGR_ERR_ARGUMENT);
    assert_int_equal(fixture_try(&fixture, file, NULL), MMGR_OK);
    mmgr_record_unref(t5);
    mmgr_record_unref(file);
    fixture_close(&fixture);
}

/* Unknown model, files gone, no loader: three errors. */
static void test_distinct_errors(void **state)
{
    models_file("f.safetensors", 1, 10);
    struct fixture fixture;
    struct service_setup setup = {0};
    fixture_open(&fixture, &setup);
    mmgr_loaded *loaded = NULL;
    assert_int_equal(mmgr_load_service_load_by_key(fixture.service, "nobody", NULL, &loaded),
                     MMGR_ERR_UNKNOWN_MODEL);
    assert_null(loaded);
    mmgr_record *gone =
        models_record("gone", "lora", "lycoris", models_path("gone.safetensors"), NULL);
    mmgr_record *foreign =
        models_record("foreign", "main", "onnx", models_path("f.safetensors"), NULL);
    mmgr_record *good =
        models_record("good", "lora", "lycoris", models_path("f.safetensors"), NULL);
    assert_int_equal(fixture_try(&fixture, gone, NULL), MMGR_ERR_MODEL_NOT_FOUND);
    assert_non_null(strstr(mmgr_error_message(mmgr_last_error()), "gone.safetensors"));
    assert_int_equal(fixture_try(&fixture, foreign, NULL), MMGR_ERR_NO_LOADER);
    assert_non_null(strstr(mmgr_error_message(mmgr_last_error()), "onnx"));
    assert_int_equal(mmgr_store_add(fixture.store, good, NULL), MMGR_OK);
    assert_int_equal(mmgr_load_service_load_by_key(fixture.service, "good", NULL, &loaded),
                     MMGR_OK);
    assert_int_equal(mmgr_load_service_close(fixture.service), MMGR_ERR_BUSY);
    assert_int_equal(mmgr_store_close(fixture.store), MMGR_ERR_BUSY);
    mmgr_loaded_unref(loaded);
    mmgr_record_unref(gone);
    mmgr_record_unref(foreign);
    mmgr_record_unref(good);
    fixture_close(&fixture);
}

static void open_with_host(struct fixture *fixture, struct service_setup *setup, struct host *host,
                           const mmgr_loader_ops *ops)
{
    assert_int_equal(mmgr_loader_registry_new(&setup->registry), MMGR_OK);
    assert_int_equal(
        mmgr_loader_registry_add(setup->registry, "any", "vae", "checkpoint", ops, host, host_free),
        MMGR_OK);
    fixture_open(fixture, setup);
}

static void test_host_loader(void **state)
{
    models_file("f.safetensors", 1, 10);
    struct host host = {0};
    struct fixture fixture;
    struct service_setup setup = {.device = "fake:1000"};
    mmgr_loader_ops ops = plain_ops("mine");
    open_with_host(&fixture, &setup, &host, &ops);
    mmgr_record *record =
        models_record("k", "vae", "checkpoint", models_path("f.safetensors"), NULL);
    mmgr_loaded *loaded = fixture_load(&fixture, record, NULL);
    assert_int_equal(host.estimates, 1);
    assert_non_null(mmgr_loaded_object(loaded));
    assert_null(mmgr_loaded_state_dict(loaded));
    assert_int_equal(fixture_number(&fixture, MMGR_CACHE_RAM_BYTES), 100);
    /* An object is locked where it is. */
    const mmgr_tensor_set *set = (const mmgr_tensor_set *)&host;
    assert_int_equal(mmgr_loaded_lock(loaded, &set), MMGR_OK);
    assert_null(set);
    assert_int_equal(mmgr_loaded_unlock(loaded), MMGR_OK);
    assert_int_equal(mmgr_loaded_unlock(loaded), MMGR_ERR_STATE);
    assert_int_equal(fixture_number(&fixture, MMGR_CACHE_UPLOADS), 0);
    assert_int_equal(fixture_try(&fixture, record, NULL), MMGR_OK);
    assert_int_equal(host.loads, 1);
    mmgr_loaded_unref(loaded);
    assert_int_equal(host.objects_freed, 0);
    assert_int_equal(mmgr_load_service_unload(fixture.service, "k"), MMGR_OK);
    assert_int_equal(host.objects_freed, 1);

    host.fail = MMGR_ERR_TIMEOUT; /* without a word to say why */
    assert_int_equal(fixture_try(&fixture, record, NULL), MMGR_ERR_PLUGIN);
    assert_non_null(strstr(mmgr_error_message(mmgr_last_error()), "mine"));
    host.speaks = 1; /* a function of ours failed inside the host's */
    assert_int_equal(fixture_try(&fixture, record, NULL), MMGR_ERR_MODEL_NOT_FOUND);
    assert_non_null(strstr(mmgr_error_message(mmgr_last_error()), "/does/not/exist"));
    assert_int_equal(fixture_number(&fixture, MMGR_CACHE_RAM_BYTES), 0);
    assert_int_equal(fixture_number(&fixture, MMGR_CACHE_MODELS), 0);
    host.speaks = 0;
    host.fail = MMGR_OK;
    host.as_tensors = 1;
    loaded = fixture_load(&fixture, record, NULL);
    assert_int_equal(mmgr_tensor_set_bytes(mmgr_loaded_state_dict(loaded)), 10);
    mmgr_loaded_unref(loaded);
    mmgr_record_unref(record);
    fixture_close(&fixture);
    mmgr_loader_registry_unref(setup.registry);
    assert_int_equal(host.freed, 1);
}

static void test_conversion(void **state)
{
    models_file("f.safetensors", 1, 10);
    struct host host = {.fail_conversion = 1};
    struct fixture fixture;
    struct service_setup setup = {0};
    mmgr_loader_ops ops = plain_ops("mine");
    ops.needs_conversion = host_needs;
    ops.convert = host_convert;
    open_with_host(&fixture, &setup, &host, &ops);
    mmgr_record *record =
        models_record("k", "vae", "checkpoint", models_path("f.safetensors"), NULL);
    /* A failed conversion leaves nothing; the leftover of a kill is in nobody's way. */
    assert_int_equal(fixture_try(&fixture, record, NULL), MMGR_ERR_PLUGIN);
    assert_int_equal(access(models_path("root/models/.convert/k"), F_OK), -1);
    assert_int_equal(access(models_path("root/models/.convert/.k.part"), F_OK), -1);
    models_text("root/models/.convert/.k.part/deep/er/file", "left by a kill");
    host.fail_conversion = 0;
    assert_int_equal(fixture_try(&fixture, record, NULL), MMGR_OK);
    assert_int_equal(host.conversions, 2);
    assert_string_equal(host.seen, models_path("root/models/.convert/k"));
    assert_int_equal(access(models_path("root/models/.convert/k/half"), F_OK), 0);
    assert_int_equal(access(models_path("root/models/.convert/k/deep"), F_OK), -1);
    mmgr_load_service_unload(fixture.service, NULL);
    assert_int_equal(fixture_try(&fixture, record, NULL), MMGR_OK);
    assert_int_equal(host.conversions, 2);
    mmgr_record_unref(record);
    fixture_close(&fixture);
    mmgr_loader_registry_unref(setup.registry);
}

static void expect_event(mmgr_listener *listener, const char *name, const char *key,
                         const char *submodel)
{
    mmgr_event *event = NULL;
    assert_int_equal(mmgr_listener_next(listener, 0, &event), MMGR_OK);
    assert_string_equal(mmgr_event_name(event), name);
    assert_string_equal(mmgr_event_text(event, MMGR_EVENT_TEXT_KEY), key);
    if (submodel != NULL)
        assert_string_equal(mmgr_event_text(event, MMGR_EVENT_TEXT_SUBMODEL), submodel);
    assert_string_equal(mmgr_event_text(event, MMGR_EVENT_TEXT_HASH), "sampled:12");
    assert_string_equal(mmgr_event_text(event, MMGR_EVENT_TEXT_CONTEXT), "{\"session\":5}");
    assert_string_equal(mmgr_event_text(event, MMGR_EVENT_TEXT_PRECISION), "auto");
    assert_non_null(mmgr_event_text(event, MMGR_EVENT_TEXT_LOCAL_PATH));
    int failed = strcmp(name, "load.error") == 0;
    assert_int_equal(mmgr_error_code(mmgr_event_error(event)),
                     failed ? MMGR_ERR_UNKNOWN_SUBMODEL : MMGR_OK);
    mmgr_event_unref(event);
}

static void test_events(void **state)
{
    write_pipeline();
    struct fixture fixture;
    struct service_setup setup = {0};
    mmgr_listener *listener;
    mmgr_event *event;
    assert_int_equal(mmgr_bus_open(NULL, &setup.bus), MMGR_OK);
    assert_int_equal(mmgr_listener_open(setup.bus, MMGR_EVENTS_LOAD, &listener), MMGR_OK);
    fixture_open(&fixture, &setup);
    mmgr_record *record =
        models_record("k", "main", "diffusers", models_path("p"), ",\"hash\":\"sampled:12\"");
    struct mmgr_load_options options = {sizeof options, 0, "unet", "{\"session\":5}"};
    mmgr_loaded *loaded = NULL;
    for (int i = 0; i < 2; i++) { /* a miss, then a hit: both are told */
        assert_int_equal(mmgr_load_service_load(fixture.service, record, &options, &loaded),
                         MMGR_OK);
        expect_event(listener, "load.started", "k", "unet");
        expect_event(listener, "load.completed", "k", "unet");
        mmgr_loaded_unref(loaded);
    }
    options.submodel = "unot";
    assert_int_equal(mmgr_load_service_load(fixture.service, record, &options, &loaded),
                     MMGR_ERR_UNKNOWN_SUBMODEL);
    expect_event(listener, "load.started", "k", "unot");
    expect_event(listener, "load.error", "k", "unot");
    assert_int_equal(mmgr_load_service_load(fixture.service, NULL, &options, &loaded),
                     MMGR_ERR_ARGUMENT);
    assert_int_equal(mmgr_listener_next(listener, 0, &event), MMGR_ERR_TIMEOUT);
    mmgr_record_unref(record);
    fixture_close(&fixture);
    mmgr_listener_close(listener);
    assert_int_equal(mmgr_bus_close(setup.bus), MMGR_OK);
}

static void test_options(void **state)
{
    struct fixture fixture;
    struct service_setup setup = {0};
    mmgr_load_service *service = NULL;
    fixture_open(&fixture, &setup);
    struct mmgr_load_service_options options = {
        .struct_size = sizeof options, .config = fixture.config, .store = fixture.store};
    assert_int_equal(mmgr_load_service_open(NULL, &service), MMGR_ERR_ARGUMENT);
    options.max_ram = -2;
    assert_int_equal(mmgr_load_service_open(&options, &service), MMGR_ERR_ARGUMENT);
    options.max_ram = 0;
    options.struct_size = 8;
    assert_int_equal(mmgr_load_service_open(&options, &service), MMGR_ERR_ABI_SIZE);
    options.struct_size = sizeof options;
    options.store = NULL;
    assert_int_equal(mmgr_load_service_open(&options, &service), MMGR_ERR_ARGUMENT);
    options.store = fixture.store;
    assert_null(service);
    assert_int_equal(mmgr_load_service_open(&options, &service), MMGR_OK);
    assert_int_equal(mmgr_load_service_number(service, MMGR_CACHE_HITS), 0);
    assert_int_equal(mmgr_load_service_close(service), MMGR_OK);
    assert_int_equal(mmgr_load_service_close(NULL), MMGR_OK);
    fixture_close(&fixture);
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, models_setup, models_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registry),
        WITH_FOLDER(test_submodels),
        WITH_FOLDER(test_folders_and_files),
        WITH_FOLDER(test_distinct_errors),
        WITH_FOLDER(test_host_loader),
        WITH_FOLDER(test_conversion),
        WITH_FOLDER(test_events),
        WITH_FOLDER(test_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
