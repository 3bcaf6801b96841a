/* SPDX-License-Identifier: MIT */
/* Names and texts: each number of the interface has one, they are complete, and they lead back.
 * Also the replacement of the allocator and the log hook. */
#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <modelmgr/modelmgr.h>

#include "tap.h"

/* The results that exist, with their exit codes: the committed numbers again, seen from outside. */
static const struct {
    enum mmgr_result result;
    const char *name;
    int exit_code;
} results[] = {
    {MMGR_OK, "ok", 0},
    {MMGR_DONE, "done", 0},
    {MMGR_ERR_ARGUMENT, "argument", 2},
    {MMGR_ERR_ABI_SIZE, "abi_size", 1},
    {MMGR_ERR_ABI_NEWER, "abi_newer", 1},
    {MMGR_ERR_STATE, "state", 1},
    {MMGR_ERR_UNSUPPORTED, "unsupported", 1},
    {MMGR_ERR_NO_MEMORY, "no_memory", 1},
    {MMGR_ERR_IO, "io", 1},
    {MMGR_ERR_NO_SPACE, "no_space", 1},
    {MMGR_ERR_BUSY, "busy", 1},
    {MMGR_ERR_TIMEOUT, "timeout", 1},
    {MMGR_ERR_CANCELLED, "cancelled", 1},
    {MMGR_ERR_PERMISSION, "permission", 1},
    {MMGR_ERR_PATH_NOT_FOUND, "path_not_found", 3},
    {MMGR_ERR_EXISTS, "exists", 1},
    {MMGR_ERR_UNKNOWN_MODEL, "unknown_model", 3},
    {MMGR_ERR_MODEL_NOT_FOUND, "model_not_found", 3},
    {MMGR_ERR_DUPLICATE_MODEL, "duplicate_model", 1},
    {MMGR_ERR_AMBIGUOUS_MODEL, "ambiguous_model", 4},
    {MMGR_ERR_INVALID_CONFIG, "invalid_config", 1},
    {MMGR_ERR_STORE_INCOMPATIBLE, "store_incompatible", 1},
    {MMGR_ERR_UNKNOWN_JOB, "unknown_job", 3},
    {MMGR_ERR_INVALID_FILE, "invalid_file", 1},
    {MMGR_ERR_UNSAFE_FILE, "unsafe_file", 5},
    {MMGR_ERR_UNSAFE_PATH, "unsafe_path", 5},
    {MMGR_ERR_UNIDENTIFIED, "unidentified", 1},
    {MMGR_ERR_UNKNOWN_TENSOR, "unknown_tensor", 3},
    {MMGR_ERR_UNSUPPORTED_SOURCE, "unsupported_source", 1},
    {MMGR_ERR_NOT_AUTHORIZED, "not_authorized", 1},
    {MMGR_ERR_GATED, "gated", 1},
    {MMGR_ERR_REPO_NOT_FOUND, "repo_not_found", 3},
    {MMGR_ERR_REVISION_NOT_FOUND, "revision_not_found", 3},
    {MMGR_ERR_ENTRY_NOT_FOUND, "entry_not_found", 3},
    {MMGR_ERR_OFFLINE, "offline", 1},
    {MMGR_ERR_NETWORK, "network", 1},
    {MMGR_ERR_HTTP, "http", 1},
    {MMGR_ERR_HASH_MISMATCH, "hash_mismatch", 1},
    {MMGR_ERR_REFUSED_ADDRESS, "refused_address", 5},
    {MMGR_ERR_RATE_LIMITED, "rate_limited", 1},
    {MMGR_ERR_PROTOCOL, "protocol", 1},
    {MMGR_ERR_AMBIGUOUS_SOURCE, "ambiguous_source", 4},
    {MMGR_ERR_TOO_LARGE, "too_large", 1},
    {MMGR_ERR_SOURCE_CHANGED, "source_changed", 1},
    {MMGR_ERR_NO_LOADER, "no_loader", 1},
    {MMGR_ERR_LOADER_CLASH, "loader_clash", 1},
    {MMGR_ERR_UNKNOWN_SUBMODEL, "unknown_submodel", 3},
    {MMGR_ERR_SUBMODEL_REQUIRED, "submodel_required", 2},
    {MMGR_ERR_NO_DEVICE, "no_device", 3},
    {MMGR_ERR_DEVICE_MEMORY, "device_memory", 1},
    {MMGR_ERR_PLUGIN, "plugin", 1},
};

#define RESULTS (sizeof results / sizeof results[0])

static void test_results(void)
{
    int named = 0;
    for (size_t i = 0; i < RESULTS; i++) {
        const char *name = mmgr_result_name(results[i].result);
        const char *text = mmgr_result_text(results[i].result);
        tap(strcmp(name, results[i].name) == 0, "%s is named so", results[i].name);
        tap(text != NULL && text[0] != '\0', "%s has a text", results[i].name);
        tap(mmgr_result_exit_code(results[i].result) == results[i].exit_code,
            "%s ends a program with %d", results[i].name, mmgr_result_exit_code(results[i].result));
        int retryable = mmgr_result_is_retryable(results[i].result);
        tap(retryable == 0 || retryable == 1, "%s: retryable %d", results[i].name, retryable);
    }
    for (int number = -1000; number <= 1000; number++)
        named += strcmp(mmgr_result_name((enum mmgr_result)number), "unknown_error") != 0;
    tap(named == (int)RESULTS, "%d results have names", named);
    tap(mmgr_result_exit_code((enum mmgr_result) - 999) == 1, "an unknown error is a failure");
}

static const struct {
    enum mmgr_taxonomy taxonomy;
    const char *name;
    int32_t terms; /* beside UNKNOWN; their numbers are 10, 11, … */
} taxonomies[] = {
    {MMGR_TAXONOMY_TYPE, "type", MMGR_TYPE_PID_DECODER - 9},
    {MMGR_TAXONOMY_FORMAT, "format", MMGR_FORMAT_TRANSFORMERS - 9},
    {MMGR_TAXONOMY_BASE, "base", MMGR_BASE_WAN - 9},
    {MMGR_TAXONOMY_VARIANT, "variant", MMGR_VARIANT_RES2KTO4K_SR4X - 9},
    {MMGR_TAXONOMY_PREDICTION, "prediction", MMGR_PREDICTION_SAMPLE - 9},
    {MMGR_TAXONOMY_REPO_VARIANT, "repo variant", MMGR_REPO_VARIANT_FLAX - 9},
    {MMGR_TAXONOMY_SUBMODEL, "submodel", MMGR_SUBMODEL_FEATURE_EXTRACTOR - 9},
    {MMGR_TAXONOMY_SOURCE_TYPE, "source type", MMGR_SOURCE_TYPE_CIVITAI - 9},
    {MMGR_TAXONOMY_EXPERT, "expert", MMGR_EXPERT_NONE - 9},
};

static void test_terms(void)
{
    for (size_t i = 0; i < sizeof taxonomies / sizeof taxonomies[0]; i++) {
        enum mmgr_taxonomy taxonomy = taxonomies[i].taxonomy;
        int32_t found = 0;
        for (int32_t term = -5; term < 100; term++) {
            const char *name = mmgr_term_name(taxonomy, term);
            if (name == NULL)
                continue;
            found++;
            tap(mmgr_term_parse(taxonomy, name) == term, "%s %s leads back", taxonomies[i].name,
                name);
        }
        tap(found == taxonomies[i].terms + 1, "%s has %d terms", taxonomies[i].name, found);
        tap(strcmp(mmgr_term_name(taxonomy, MMGR_TERM_UNKNOWN), "unknown") == 0, "unknown");
        tap(mmgr_term_name(taxonomy, MMGR_TERM_UNSET) == NULL, "unset has no name");
        tap(mmgr_term_name(taxonomy, MMGR_TERM_OTHER) == NULL, "other has no name");
        tap(mmgr_term_parse(taxonomy, NULL) == MMGR_TERM_UNSET, "NULL is unset");
        tap(mmgr_term_parse(taxonomy, "of a later release") == MMGR_TERM_OTHER, "other");
        tap(mmgr_term_parse(taxonomy, "") ==
                (taxonomy == MMGR_TAXONOMY_REPO_VARIANT ? (int32_t)MMGR_REPO_VARIANT_DEFAULT : 0),
            "the empty string");
    }
    tap(mmgr_term_name((enum mmgr_taxonomy)99, MMGR_TERM_UNKNOWN) == NULL, "no such taxonomy");
}

static int is_identifier(const char *name)
{
    for (const char *at = name; *at != '\0'; at++)
        if (!islower((unsigned char)*at) && !isdigit((unsigned char)*at) && *at != '_')
            return 0;
    return name[0] != '\0';
}

static void test_other_names(void)
{
    static const char *const downloads[] = {"idle",      "enqueued", "running",  "paused",
                                            "completed", "error",    "cancelled"};
    static const char *const installs[] = {"waiting", "downloading", "running", "completed",
                                           "error",   "cancelled",   "paused"};
    int fields = 0, dtypes = 0;
    uint32_t settings = 0;
    for (int i = 0; i < 7; i++) {
        tap(strcmp(mmgr_download_status_name((enum mmgr_download_status)i), downloads[i]) == 0,
            "download %s", downloads[i]);
        tap(strcmp(mmgr_install_status_name((enum mmgr_install_status)i), installs[i]) == 0,
            "install %s", installs[i]);
    }
    tap(mmgr_download_status_name((enum mmgr_download_status)7) == NULL, "no eighth state");
    tap(mmgr_install_status_name((enum mmgr_install_status)7) == NULL, "no eighth state");
    tap(mmgr_install_status_name((enum mmgr_install_status) - 1) == NULL, "none below 0");
    for (int i = -1; i < 200; i++) {
        const char *field = mmgr_field_name((enum mmgr_field)i);
        const char *dtype = mmgr_dtype_name((enum mmgr_dtype)i);
        fields += field != NULL && is_identifier(field);
        dtypes += dtype != NULL;
        if ((dtype != NULL) != (mmgr_dtype_bits((enum mmgr_dtype)i) != 0))
            tap(0, "element type %d has both name and size", i);
    }
    tap(fields == MMGR_FIELD_CAPABILITIES, "%d fields", fields);
    tap(dtypes == MMGR_DTYPE_U64, "%d element types", dtypes);
    tap(mmgr_dtype_bits(MMGR_DTYPE_F4) == 4 && mmgr_dtype_bits(MMGR_DTYPE_F6_E2M3) == 6,
        "small ones");
    while (mmgr_config_field_name(settings) != NULL)
        tap(is_identifier(mmgr_config_field_name(settings)), "field %u of the config", settings),
            settings++;
    tap(settings > 10, "%u fields of the config", settings);
    tap(mmgr_config_field_name(UINT32_MAX) == NULL, "and no more");
}

static void test_version(void)
{
    char text[32];
    char *json = NULL;
    snprintf(text, sizeof text, "%d.%d.%d", MMGR_VERSION_MAJOR, MMGR_VERSION_MINOR,
             MMGR_VERSION_PATCH);
    tap(mmgr_version() == MMGR_VERSION_NUMBER, "version number");
    tap(strcmp(mmgr_version_string(), text) == 0, "version text");
    tap(mmgr_version_info(&json) == MMGR_OK && strstr(json, "\"sqlite") != NULL, "libraries: %s",
        json);
    mmgr_string_free(json);
}

/* ---- allocator */

static struct {
    pthread_mutex_t lock;
    long live;
    long calls;
} heap = {PTHREAD_MUTEX_INITIALIZER, 0, 0};

static void count(void *user, long live)
{
    pthread_mutex_lock(&heap.lock);
    heap.live += live;
    heap.calls += user == &heap;
    pthread_mutex_unlock(&heap.lock);
}

static void *counted_alloc(size_t bytes, void *user)
{
    count(user, 1);
    return malloc(bytes);
}

static void *counted_resize(void *memory, size_t bytes, void *user)
{
    count(user, memory == NULL);
    return realloc(memory, bytes);
}

static void counted_release(void *memory, void *user)
{
    count(user, memory == NULL ? 0 : -1);
    free(memory);
}

static void test_allocator(void)
{
    mmgr_allocator table = {sizeof table, 0, counted_alloc, counted_resize, counted_release, &heap};
    mmgr_allocator faulty = table;
    unsigned char newer[sizeof table + 8];
    mmgr_record *record = NULL;
    faulty.release = NULL;
    tap(mmgr_set_allocator(&faulty) == MMGR_ERR_ARGUMENT, "a function is missing");
    faulty = table;
    faulty.reserved = 1;
    tap(mmgr_set_allocator(&faulty) == MMGR_ERR_ARGUMENT, "reserved is not 0");
    faulty = table;
    faulty.struct_size = 0;
    tap(mmgr_set_allocator(&faulty) == MMGR_ERR_ABI_SIZE, "size 0");
    memset(newer, 0, sizeof newer);
    memcpy(newer, &table, sizeof table);
    newer[0] = sizeof newer;
    newer[sizeof table] = 1;
    tap(mmgr_set_allocator((mmgr_allocator *)newer) == MMGR_ERR_ABI_NEWER, "newer, used");
    tap(mmgr_set_allocator(&table) == MMGR_OK, "a good one");
    mmgr_record_from_json("{\"name\": \"x\", \"type\": \"vae\", \"format\": \"checkpoint\", "
                          "\"base\": \"sd-1\", \"path\": \"x\"}",
                          &record);
    tap(record != NULL && heap.live > 0, "is used");
    tap(mmgr_set_allocator(NULL) == MMGR_ERR_STATE, "stays while memory is in use");
    mmgr_record_unref(record);
    tap(heap.live == 0, "gets all memory back");
    tap(mmgr_set_allocator(NULL) == MMGR_OK, "goes");
    long calls = heap.calls;
    char *json = NULL;
    mmgr_version_info(&json);
    mmgr_string_free(json);
    tap(heap.calls == calls, "is not used any more");
}

int main(void)
{
    tap(mmgr_error_code(mmgr_last_error()) == MMGR_OK, "nothing has failed yet");
    test_allocator();
    test_results();
    test_terms();
    test_other_names();
    test_version();
    mmgr_set_log(MMGR_LOG_OFF, NULL, NULL);
    return tap_end();
}
