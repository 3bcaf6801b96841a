/* SPDX-License-Identifier: MIT */
/* The built-in loader: which weights of a file, a folder or a pipeline a request means. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/fields.h"
#include "base/io.h"
#include "base/json.h"
#include "base/path.h"
#include "format/folder.h"
#include "format/format.h"
#include "load/registry.h"
#include "load/tensors.h"

/* Formats whose weights are safetensors files. GGUF, ONNX and services are not here. */
static const char *const formats[] = {
    "checkpoint",
    "diffusers",
    "lycoris",
    "omi",
    "embedding_file",
    "embedding_folder",
    "invokeai",
    "transformers",
    "t5_encoder",
    "bnb_quantized_nf4b",
    "bnb_quantized_int8b",
    "sdnq_quantized",
    "wan_t5_encoder",
    "qwen3_encoder",
    "qwen_vl_encoder",
    "qwen3_vl_encoder",
    "mistral_encoder",
    "gemma2_encoder",
};

int mmgr__builtin_handles(const char *type, const char *format)
{
    if (mmgr__kind_find(type, format) == NULL)
        return 0;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(formats[i], format) == 0)
            return 1;
    return 0;
}

/* A part of a pipeline without weights: tokenizers, schedulers, image processors. Its files are
 * for the host; as tensors it is an empty set. */
static int is_weightless(const char *name, const char *class_name)
{
    static const char *const names[] = {"tokenizer", "scheduler", "feature_extractor",
                                        "image_processor", "pe_tokenizer"};
    static const char *const classes[] = {"Tokenizer", "Scheduler", "Processor",
                                          "FeatureExtractor"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (mmgr__starts_with(name, names[i]))
            return 1;
    for (size_t i = 0; class_name != NULL && i < sizeof classes / sizeof *classes; i++)
        if (strstr(class_name, classes[i]) != NULL)
            return 1;
    return 0;
}

/* A member of model_index.json is a part when it is a pair of two texts; [null, null] is a part
 * left out. */
static int is_part(const char *name, const json_t *value)
{
    return name[0] != '_' && json_array_size(value) == 2 &&
           json_is_string(json_array_get(value, 0)) && json_is_string(json_array_get(value, 1));
}

/* The names of the parts: from the index, or else the folders. */
static enum mmgr_result list_parts(struct mmgr__folder *folder, json_t *index,
                                   struct mmgr__strings *parts)
{
    struct mmgr__strings files = {0};
    if (index == NULL) {
        enum mmgr_result result = mmgr__folder_list(folder, "", &files, parts);
        mmgr__strings_free(&files);
        return result;
    }
    const char *name;
    json_t *value;
    json_object_foreach(index, name, value)
    {
        if (is_part(name, value) && !mmgr__strings_add(parts, name))
            return mmgr__oom();
    }
    return MMGR_OK;
}

static enum mmgr_result fail_with_parts(enum mmgr_result code, const char *what, const char *path,
                                        const struct mmgr__strings *parts)
{
    struct mmgr__buf text = {0};
    char shown[MMGR__DISPLAY_ROOM];
    for (size_t i = 0; i < parts->count; i++) {
        mmgr__buf_puts(&text, i > 0 ? ", " : "");
        mmgr__buf_puts(&text, mmgr__display(parts->items[i], shown, sizeof shown));
    }
    char *list = mmgr__buf_take(&text);
    enum mmgr_result result = mmgr__fail(code, "%s %s; it has %s", path, what,
                                         list == NULL || list[0] == '\0' ? "none" : list);
    mmgr__error_set_field("submodel");
    mmgr__error_set_subject(path);
    mmgr__free(list);
    return result;
}

static enum mmgr_result fail_unknown_part(const mmgr_load_request *request,
                                          const struct mmgr__strings *parts)
{
    char shown[MMGR__DISPLAY_ROOM], what[MMGR__DISPLAY_ROOM + 32];
    snprintf(what, sizeof what, "has no submodel \"%s\"",
             mmgr__display(request->submodel, shown, sizeof shown));
    return fail_with_parts(MMGR_ERR_UNKNOWN_SUBMODEL, what, request->path, parts);
}

static enum mmgr_result check_folder_part(struct mmgr__folder *folder, const char *name)
{
    struct mmgr__strings files = {0}, folders = {0};
    enum mmgr_result result = mmgr__folder_list(folder, name, &files, &folders);
    mmgr__strings_free(&files);
    mmgr__strings_free(&folders);
    return result;
}

/* Decide what `submodel` means in this folder. *component is NULL for the whole folder, else the
 * part. */
static enum mmgr_result resolve(const mmgr_load_request *request, struct mmgr__folder *folder,
                                json_t *index, int *weightless)
{
    const char *type = mmgr_record_text(request->record, MMGR_FIELD_TYPE);
    const char *format = mmgr_record_text(request->record, MMGR_FIELD_FORMAT);
    int pipeline = index != NULL || (type != NULL && strcmp(type, "main") == 0 && format != NULL &&
                                     strcmp(format, "diffusers") == 0);
    if (request->submodel == NULL && !pipeline)
        return MMGR_OK;
    struct mmgr__strings parts = {0};
    enum mmgr_result result = list_parts(folder, index, &parts);
    if (result == MMGR_OK && request->submodel == NULL)
        result = fail_with_parts(MMGR_ERR_SUBMODEL_REQUIRED,
                                 "is a pipeline: a submodel must be named", request->path, &parts);
    else if (result == MMGR_OK && !mmgr__strings_has(&parts, request->submodel))
        result = fail_unknown_part(request, &parts);
    mmgr__strings_free(&parts);
    if (result != MMGR_OK)
        return result;
    const char *class_name =
        json_string_value(json_array_get(json_object_get(index, request->submodel), 1));
    result = mmgr__path_check_component(request->submodel);
    *weightless = is_weightless(request->submodel, class_name);
    if (result == MMGR_OK && *weightless)
        result = check_folder_part(folder, request->submodel);
    return result;
}

static enum mmgr_result prepare_folder(const mmgr_load_request *request, int *weightless)
{
    struct mmgr__folder *folder;
    enum mmgr_result result = mmgr__folder_open(request->path, &folder);
    if (result != MMGR_OK)
        return result;
    json_t *index = NULL;
    result = mmgr__folder_config(folder, "model_index.json", &index);
    if (result == MMGR_OK)
        result = resolve(request, folder, index, weightless);
    json_decref(index);
    mmgr__folder_close(folder);
    return result;
}

enum mmgr_result mmgr__builtin_prepare(const mmgr_load_request *request,
                                       struct mmgr__prepared *prepared)
{
    struct stat st;
    int weightless = 0;
    int error = mmgr__io_stat(AT_FDCWD, request->path, &st, 1);
    if (error != 0)
        return mmgr__fail_errno(-error, "look at", request->path);
    if (S_ISDIR(st.st_mode)) {
        enum mmgr_result result = prepare_folder(request, &weightless);
        if (result != MMGR_OK)
            return result;
    } else if (request->submodel != NULL) {
        struct mmgr__strings none = {0};
        return fail_with_parts(MMGR_ERR_UNKNOWN_SUBMODEL, "is one file, without submodels",
                               request->path, &none);
    }
    *prepared = (struct mmgr__prepared){0};
    if (weightless)
        return MMGR_OK;
    struct mmgr_checkpoint_options options = {
        .struct_size = sizeof options, .component = request->submodel, .variant = request->variant};
    enum mmgr_result result = mmgr_checkpoint_open(request->path, &options, &prepared->checkpoint);
    if (result == MMGR_OK)
        prepared->bytes = mmgr__tensor_set_estimate(prepared->checkpoint);
    return result;
}

enum mmgr_result mmgr__builtin_finish(struct mmgr__prepared *prepared, mmgr_tensor_set **set)
{
    return prepared->checkpoint != NULL ? mmgr__tensor_set_load(prepared->checkpoint, set)
                                        : mmgr__tensor_set_empty(set);
}

void mmgr__prepared_clear(struct mmgr__prepared *prepared)
{
    mmgr_checkpoint_unref(prepared->checkpoint);
    *prepared = (struct mmgr__prepared){0};
}
