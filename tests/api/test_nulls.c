/* SPDX-License-Identifier: MIT */
/* Every public function that takes a handle or options is called without them: it answers with an
 * argument error or with nothing, never with a crash, and leaves its outputs alone. */
#include <stdlib.h>
#include <string.h>

#include <modelmgr/modelmgr.h>

#include "tap.h"

#define CALLED_MAX 400

static char marker;
static const char *called[CALLED_MAX];
static int called_count;

static void note(const char *function, int good, const char *arguments)
{
    if (called_count < CALLED_MAX)
        called[called_count++] = function;
    tap(good, "%s %s", function, arguments);
}

/* An argument error, which the thread's last error repeats. */
#define REFUSED(function, arguments)                                  \
    note(#function,                                                   \
         function arguments == MMGR_ERR_ARGUMENT &&                   \
             mmgr_error_code(mmgr_last_error()) == MMGR_ERR_ARGUMENT, \
         #arguments)

/* The same, with an output of this type, named `out` in the arguments, that stays as it was. */
#define KEPT(type, function, arguments)                                                      \
    do {                                                                                     \
        type *out = (type *)&marker;                                                         \
        enum mmgr_result result_ = function arguments;                                       \
        note(#function, result_ == MMGR_ERR_ARGUMENT && out == (type *)&marker, #arguments); \
    } while (0)

#define NOTHING(function, arguments)      note(#function, !function arguments, #arguments)
#define GIVES(function, arguments, value) note(#function, function arguments == (value), #arguments)
#define EMPTY(function)                   note(#function, function(NULL)[0] == '\0', "(NULL)")
#define QUIET(function, arguments)        (function arguments, note(#function, 1, #arguments))

static void without_checkpoint(void)
{
    KEPT(mmgr_checkpoint, mmgr_checkpoint_open, (NULL, NULL, &out));
    NOTHING(mmgr_checkpoint_ref, (NULL));
    QUIET(mmgr_checkpoint_unref, (NULL));
    NOTHING(mmgr_checkpoint_format, (NULL));
    NOTHING(mmgr_checkpoint_bytes_read, (NULL));
    NOTHING(mmgr_checkpoint_file_count, (NULL));
    NOTHING(mmgr_checkpoint_file_path, (NULL, 0));
    NOTHING(mmgr_checkpoint_metadata_count, (NULL));
    REFUSED(mmgr_checkpoint_metadata_at, (NULL, 0, NULL, NULL));
    NOTHING(mmgr_checkpoint_tensor_count, (NULL));
    REFUSED(mmgr_checkpoint_find, (NULL, NULL, NULL));
    NOTHING(mmgr_checkpoint_tensor_name, (NULL, 0));
    NOTHING(mmgr_checkpoint_tensor_dtype, (NULL, 0));
    NOTHING(mmgr_checkpoint_tensor_rank, (NULL, 0));
    NOTHING(mmgr_checkpoint_tensor_shape, (NULL, 0));
    NOTHING(mmgr_checkpoint_tensor_strides, (NULL, 0));
    NOTHING(mmgr_checkpoint_tensor_offset, (NULL, 0));
    NOTHING(mmgr_checkpoint_tensor_bytes, (NULL, 0));
    NOTHING(mmgr_checkpoint_tensor_file, (NULL, 0));
    NOTHING(mmgr_checkpoint_tensor_storage, (NULL, 0));
    NOTHING(mmgr_checkpoint_tensor_block, (NULL, 0));
}

static void without_config(void)
{
    REFUSED(mmgr_config_new, (NULL, NULL));
    NOTHING(mmgr_config_ref, (NULL));
    QUIET(mmgr_config_unref, (NULL));
    REFUSED(mmgr_config_set, (NULL, NULL, NULL));
    NOTHING(mmgr_config_get, (NULL, NULL));
    REFUSED(mmgr_config_get_number, (NULL, NULL, NULL));
    NOTHING(mmgr_config_origin, (NULL, NULL));
    REFUSED(mmgr_config_add_token, (NULL, NULL, NULL));
    KEPT(char, mmgr_config_to_json, (NULL, &out));
}

static void without_device(void)
{
    KEPT(mmgr_device, mmgr_device_new, (NULL, NULL, NULL, &out));
    KEPT(mmgr_device, mmgr_device_open, (NULL, &out));
    NOTHING(mmgr_device_ref, (NULL));
    QUIET(mmgr_device_unref, (NULL));
    EMPTY(mmgr_device_name);
    REFUSED(mmgr_device_memory, (NULL, NULL, NULL));
    REFUSED(mmgr_device_download, (NULL, NULL, NULL, 0));
}

static void without_error(void)
{
    NOTHING(mmgr_error_code, (NULL));
    EMPTY(mmgr_error_message);
    NOTHING(mmgr_error_field, (NULL));
    NOTHING(mmgr_error_subject, (NULL));
    NOTHING(mmgr_error_os_errno, (NULL));
    NOTHING(mmgr_error_http_status, (NULL));
    GIVES(mmgr_error_offset, (NULL), MMGR_NO_OFFSET);
}

static void without_event(void)
{
    REFUSED(mmgr_bus_open, (NULL, NULL));
    NOTHING(mmgr_bus_close, (NULL));
    REFUSED(mmgr_bus_subscribe, (NULL, 0, NULL, NULL, NULL, NULL));
    REFUSED(mmgr_bus_unsubscribe, (NULL, 0));
    KEPT(mmgr_listener, mmgr_listener_open, (NULL, 0, &out));
    KEPT(mmgr_event, mmgr_listener_next, (NULL, 0, &out));
    GIVES(mmgr_listener_fd, (NULL), -1);
    QUIET(mmgr_listener_close, (NULL));
    NOTHING(mmgr_event_ref, (NULL));
    QUIET(mmgr_event_unref, (NULL));
    NOTHING(mmgr_event_type, (NULL));
    EMPTY(mmgr_event_name);
    NOTHING(mmgr_event_sequence, (NULL));
    NOTHING(mmgr_event_time, (NULL));
    NOTHING(mmgr_event_job, (NULL));
    NOTHING(mmgr_event_bytes, (NULL));
    NOTHING(mmgr_event_total_bytes, (NULL));
    NOTHING(mmgr_event_text, (NULL, (enum mmgr_event_text)1));
    NOTHING(mmgr_event_error, (NULL));
    NOTHING(mmgr_event_part_count, (NULL));
    KEPT(const char, mmgr_event_part, (NULL, 0, &out, NULL, NULL));
    KEPT(char, mmgr_event_to_json, (NULL, &out));
}

static void without_filter(void)
{
    KEPT(mmgr_filter, mmgr_filter_parse, (NULL, &out));
    KEPT(mmgr_filter, mmgr_filter_test, (NULL, MMGR_FILTER_EQ, NULL, 0, &out));
    KEPT(mmgr_filter, mmgr_filter_all, (NULL, 0, &out));
    KEPT(mmgr_filter, mmgr_filter_any, (NULL, 0, &out));
    KEPT(mmgr_filter, mmgr_filter_not, (NULL, &out));
    KEPT(char, mmgr_filter_text, (NULL, &out));
    NOTHING(mmgr_filter_ref, (NULL));
    QUIET(mmgr_filter_unref, (NULL));
}

static void without_hash(void)
{
    KEPT(char, mmgr_hash_path, (NULL, NULL, &out));
}

static void without_import(void)
{
    KEPT(char, mmgr_store_import, (NULL, NULL, &out));
}

static void without_install(void)
{
    KEPT(mmgr_installer, mmgr_installer_open, (NULL, &out));
    NOTHING(mmgr_installer_close, (NULL));
    KEPT(mmgr_plan, mmgr_installer_plan, (NULL, NULL, &out));
    QUIET(mmgr_plan_free, (NULL));
    KEPT(char, mmgr_plan_to_json, (NULL, &out));
    NOTHING(mmgr_plan_total_bytes, (NULL));
    KEPT(mmgr_install, mmgr_installer_submit, (NULL, NULL, &out));
    REFUSED(mmgr_installer_wait, (NULL, 0, 0));
    REFUSED(mmgr_installer_wait_all, (NULL, 0));
    REFUSED(mmgr_installer_resume, (NULL, 0));
    REFUSED(mmgr_installer_pause, (NULL, 0));
    REFUSED(mmgr_installer_cancel, (NULL, 0));
    KEPT(mmgr_install, mmgr_installer_get, (NULL, 0, &out));
    KEPT(mmgr_install_list, mmgr_installer_list, (NULL, NULL, &out));
    REFUSED(mmgr_installer_prune, (NULL));
    NOTHING(mmgr_install_list_count, (NULL));
    NOTHING(mmgr_install_list_at, (NULL, 0));
    QUIET(mmgr_install_list_free, (NULL));
    NOTHING(mmgr_install_ref, (NULL));
    QUIET(mmgr_install_unref, (NULL));
    NOTHING(mmgr_install_id, (NULL));
    NOTHING(mmgr_install_status, (NULL));
    NOTHING(mmgr_install_is_terminal, (NULL));
    NOTHING(mmgr_install_is_inplace, (NULL));
    QUIET(mmgr_install_progress, (NULL, NULL, NULL));
    KEPT(char, mmgr_install_text, (NULL, (enum mmgr_install_text)1, &out));
    KEPT(mmgr_record, mmgr_install_record, (NULL, &out));
    NOTHING(mmgr_install_error, (NULL));
    KEPT(mmgr_record, mmgr_installer_register_path, (NULL, NULL, NULL, &out));
    KEPT(mmgr_record, mmgr_installer_install_path, (NULL, NULL, NULL, &out));
    KEPT(char, mmgr_installer_remove, (NULL, NULL, (enum mmgr_remove_mode)1, &out));
    KEPT(char, mmgr_installer_sync, (NULL, &out));
    KEPT(char, mmgr_installer_rebuild, (NULL, &out));
    KEPT(mmgr_record, mmgr_installer_relocate, (NULL, NULL, NULL, 0, &out));
    KEPT(char, mmgr_installer_relink, (NULL, NULL, &out));
}

static void without_load(void)
{
    REFUSED(mmgr_loader_registry_new, (NULL));
    NOTHING(mmgr_loader_registry_ref, (NULL));
    QUIET(mmgr_loader_registry_unref, (NULL));
    REFUSED(mmgr_loader_registry_add, (NULL, NULL, NULL, NULL, NULL, NULL, NULL));
    KEPT(mmgr_tensor_set, mmgr_tensor_set_read, (NULL, NULL, NULL, &out));
    NOTHING(mmgr_tensor_set_ref, (NULL));
    QUIET(mmgr_tensor_set_unref, (NULL));
    KEPT(mmgr_load_service, mmgr_load_service_open, (NULL, &out));
    NOTHING(mmgr_load_service_close, (NULL));
    KEPT(mmgr_loaded, mmgr_load_service_load, (NULL, NULL, NULL, &out));
    KEPT(mmgr_loaded, mmgr_load_service_load_by_key, (NULL, NULL, NULL, &out));
    NOTHING(mmgr_load_service_number, (NULL, (enum mmgr_cache_number)1));
    REFUSED(mmgr_load_service_unload, (NULL, NULL));
    NOTHING(mmgr_loaded_ref, (NULL));
    QUIET(mmgr_loaded_unref, (NULL));
    NOTHING(mmgr_loaded_record, (NULL));
    NOTHING(mmgr_loaded_state_dict, (NULL));
    NOTHING(mmgr_loaded_object, (NULL));
    KEPT(const mmgr_tensor_set, mmgr_loaded_lock, (NULL, &out));
    REFUSED(mmgr_loaded_unlock, (NULL));
}

static void without_manager(void)
{
    REFUSED(mmgr_manager_open, (NULL, NULL));
    NOTHING(mmgr_manager_close, (NULL));
    NOTHING(mmgr_manager_config, (NULL));
    NOTHING(mmgr_manager_bus, (NULL));
    NOTHING(mmgr_manager_store, (NULL));
    NOTHING(mmgr_manager_queue, (NULL));
    NOTHING(mmgr_manager_hub, (NULL));
    NOTHING(mmgr_manager_prober, (NULL));
    NOTHING(mmgr_manager_installer, (NULL));
    NOTHING(mmgr_manager_loader, (NULL));
    KEPT(mmgr_loaded, mmgr_manager_load_by_name, (NULL, NULL, NULL, NULL, NULL, &out));
}

static void without_metadata(void)
{
    KEPT(mmgr_hub, mmgr_hub_open, (NULL, &out));

    NOTHING(mmgr_hub_close, (NULL));
    REFUSED(mmgr_hub_add_fetcher, (NULL, NULL, NULL, NULL));
    KEPT(mmgr_metadata, mmgr_hub_fetch, (NULL, NULL, NULL, &out));
    KEPT(mmgr_metadata, mmgr_metadata_from_json, (NULL, &out));
    KEPT(mmgr_metadata, mmgr_metadata_select, (NULL, NULL, NULL, &out));
    NOTHING(mmgr_metadata_ref, (NULL));
    QUIET(mmgr_metadata_unref, (NULL));
    NOTHING(mmgr_metadata_text, (NULL, (enum mmgr_metadata_text)1));
    NOTHING(mmgr_metadata_tag_count, (NULL));
    NOTHING(mmgr_metadata_tag, (NULL, 0));
    NOTHING(mmgr_metadata_file_count, (NULL));
    NOTHING(mmgr_metadata_file_text, (NULL, 0, (enum mmgr_metadata_file_text)1));
    GIVES(mmgr_metadata_file_size, (NULL, 0), UINT64_MAX);
    KEPT(char, mmgr_metadata_to_json, (NULL, &out));
}

static void without_probe(void)
{
    REFUSED(mmgr_prober_new, (NULL, NULL));
    REFUSED(mmgr_prober_add_rules, (NULL, NULL, NULL));
    NOTHING(mmgr_prober_ref, (NULL));
    QUIET(mmgr_prober_unref, (NULL));
    KEPT(mmgr_probe_result, mmgr_probe_path, (NULL, NULL, NULL, &out));
    NOTHING(mmgr_probe_result_ref, (NULL));
    QUIET(mmgr_probe_result_unref, (NULL));
    NOTHING(mmgr_probe_result_text, (NULL, (enum mmgr_field)1));
    NOTHING(mmgr_probe_result_rule, (NULL));
    NOTHING(mmgr_probe_result_evidence_count, (NULL));
    NOTHING(mmgr_probe_result_evidence, (NULL, 0));
    NOTHING(mmgr_probe_result_bytes_read, (NULL));
    KEPT(char, mmgr_probe_result_to_json, (NULL, &out));
}

static void without_queue(void)
{
    REFUSED(mmgr_queue_open, (NULL, NULL));
    NOTHING(mmgr_queue_close, (NULL));
    NOTHING(mmgr_queue_bus, (NULL));
    REFUSED(mmgr_queue_transport, (NULL, NULL, NULL));
    REFUSED(mmgr_queue_add_handler, (NULL, NULL, NULL, NULL));
    REFUSED(mmgr_parts_new, (NULL));
    QUIET(mmgr_parts_free, (NULL));
    REFUSED(mmgr_parts_add, (NULL, NULL, NULL, 0, NULL, NULL));
    KEPT(mmgr_download, mmgr_queue_submit, (NULL, NULL, &out));
    REFUSED(mmgr_queue_start, (NULL, 0));
    REFUSED(mmgr_queue_pause, (NULL, 0));
    REFUSED(mmgr_queue_cancel, (NULL, 0));
    REFUSED(mmgr_queue_set_priority, (NULL, 0, 0));
    REFUSED(mmgr_queue_start_all, (NULL));
    REFUSED(mmgr_queue_pause_all, (NULL));
    REFUSED(mmgr_queue_cancel_all, (NULL));
    REFUSED(mmgr_queue_wait, (NULL, 0, 0));
    REFUSED(mmgr_queue_join, (NULL, 0));
    KEPT(mmgr_download, mmgr_queue_get, (NULL, 0, &out));
    KEPT(mmgr_download_list, mmgr_queue_list, (NULL, &out));
    REFUSED(mmgr_queue_prune, (NULL));
    NOTHING(mmgr_download_list_count, (NULL));
    NOTHING(mmgr_download_list_at, (NULL, 0));
    QUIET(mmgr_download_list_free, (NULL));
    NOTHING(mmgr_download_ref, (NULL));
    QUIET(mmgr_download_unref, (NULL));
    REFUSED(mmgr_download_add_handler, (NULL, NULL, NULL, NULL));
    QUIET(mmgr_download_clear_handlers, (NULL));
    NOTHING(mmgr_download_id, (NULL));
    NOTHING(mmgr_download_status, (NULL));
    NOTHING(mmgr_download_number, (NULL, (enum mmgr_download_number)1));
    KEPT(char, mmgr_download_text, (NULL, (enum mmgr_download_text)1, &out));
    NOTHING(mmgr_download_error, (NULL));
    NOTHING(mmgr_download_part_sha256, (NULL, 0));
}

static void without_record(void)
{
    KEPT(mmgr_record, mmgr_record_from_json, (NULL, &out));
    NOTHING(mmgr_record_ref, (NULL));
    QUIET(mmgr_record_unref, (NULL));
    NOTHING(mmgr_record_text, (NULL, (enum mmgr_field)1));
    NOTHING(mmgr_record_term, (NULL, (enum mmgr_field)1));
    NOTHING(mmgr_record_list_size, (NULL, (enum mmgr_field)1));
    NOTHING(mmgr_record_list_item, (NULL, (enum mmgr_field)1, 0));
    NOTHING(mmgr_record_location, (NULL));
    KEPT(char, mmgr_record_to_json, (NULL, &out));
    NOTHING(mmgr_record_file_count, (NULL));
    NOTHING(mmgr_record_file_path, (NULL, 0));
    NOTHING(mmgr_record_file_size, (NULL, 0));
    NOTHING(mmgr_record_file_hash, (NULL, 0, NULL));
    NOTHING(mmgr_record_file_flags, (NULL, 0));
    REFUSED(mmgr_record_builder_new, (NULL, NULL));
    QUIET(mmgr_record_builder_free, (NULL));
    REFUSED(mmgr_record_builder_set, (NULL, (enum mmgr_field)1, NULL));
    REFUSED(mmgr_record_builder_merge, (NULL, NULL));
    KEPT(mmgr_record, mmgr_record_builder_build, (NULL, &out));
    NOTHING(mmgr_record_list_count, (NULL));
    NOTHING(mmgr_record_list_at, (NULL, 0));
    NOTHING(mmgr_record_list_total, (NULL));
    NOTHING(mmgr_record_list_cursor, (NULL));
    QUIET(mmgr_record_list_free, (NULL));
}

static void without_source(void)
{
    KEPT(mmgr_source, mmgr_source_parse, (NULL, &out));
    NOTHING(mmgr_source_ref, (NULL));
    QUIET(mmgr_source_unref, (NULL));
    NOTHING(mmgr_source_kind, (NULL));
    NOTHING(mmgr_source_part, (NULL, (enum mmgr_source_part)1));
}

static void without_store(void)
{
    KEPT(mmgr_store, mmgr_store_open, (NULL, &out));
    NOTHING(mmgr_store_close, (NULL));
    NOTHING(mmgr_store_version, (NULL));
    KEPT(mmgr_record, mmgr_store_add, (NULL, NULL, &out));
    REFUSED(mmgr_store_add_many, (NULL, NULL, 1));
    REFUSED(mmgr_store_changes, (NULL, NULL));
    KEPT(mmgr_record, mmgr_store_update, (NULL, NULL, NULL, &out));
    REFUSED(mmgr_store_delete, (NULL, NULL));
    KEPT(mmgr_record, mmgr_store_get, (NULL, NULL, &out));
    REFUSED(mmgr_store_exists, (NULL, NULL, NULL));
    KEPT(mmgr_record_list, mmgr_store_search, (NULL, NULL, &out));
    KEPT(mmgr_record, mmgr_store_get_by_name, (NULL, NULL, NULL, NULL, &out));
    KEPT(char, mmgr_store_resolve, (NULL, NULL, MMGR_FIELD_PATH, &out));
}

static void without_tensor(void)
{
    NOTHING(mmgr_tensor_set_count, (NULL));
    NOTHING(mmgr_tensor_set_at, (NULL, 0));
    KEPT(const mmgr_tensor, mmgr_tensor_set_find, (NULL, NULL, &out));
    NOTHING(mmgr_tensor_set_bytes, (NULL));
    NOTHING(mmgr_tensor_set_device, (NULL));
}

static void without_types(void)
{
    QUIET(mmgr_string_free, (NULL));
}

static void without_version(void)
{
    REFUSED(mmgr_version_info, (NULL));
}

/* Functions without a handle: test_contract.c is about them. */
static const char *const elsewhere[] = {
    "mmgr_set_allocator",        "mmgr_last_error",  "mmgr_version",    "mmgr_version_string",
    "mmgr_result_name",          "mmgr_result_text", "mmgr_field_name", "mmgr_config_field_name",
    "mmgr_result_exit_code",     "mmgr_term_name",   "mmgr_term_parse", "mmgr_result_is_retryable",
    "mmgr_dtype_name",           "mmgr_dtype_bits",  "mmgr_set_log",    "mmgr_install_status_name",
    "mmgr_download_status_name",
};

static int is_known(const char *function)
{
    for (int i = 0; i < called_count; i++)
        if (strcmp(called[i], function) == 0)
            return 1;
    for (size_t i = 0; i < sizeof elsewhere / sizeof elsewhere[0]; i++)
        if (strcmp(elsewhere[i], function) == 0)
            return 1;
    return 0;
}

/* The version script names every public function; so must this test. */
static void every_function_was_called(void)
{
    const char *root = getenv("MMGR_SOURCE_ROOT");
    char path[1024];
    char function[128];
    char line[256];
    int found = 0;
    snprintf(path, sizeof path, "%s/lib/modelmgr.map", root != NULL ? root : ".");
    FILE *map = fopen(path, "r");
    while (map != NULL && fgets(line, sizeof line, map) != NULL) {
        if (sscanf(line, " %127[a-z0-9_];", function) == 1 && strncmp(function, "mmgr_", 5) == 0) {
            found++;
            if (!is_known(function))
                tap(0, "%s is called by no test of this file", function);
        }
    }
    if (map != NULL)
        fclose(map);
    tap(found > 200, "%d functions in the version script", found);
    tap(!is_known("mmgr_no_such_function"), "an unknown function is noticed");
}

int main(void)
{
    without_checkpoint();
    without_config();
    without_device();
    without_error();
    without_event();
    without_filter();
    without_hash();
    without_import();
    without_install();
    without_load();
    without_manager();
    without_metadata();
    without_probe();
    without_queue();
    without_record();
    without_source();
    without_store();
    without_tensor();
    without_types();
    without_version();
    every_function_was_called();
    return tap_end();
}
