/* SPDX-License-Identifier: MIT */
/* Selection of files: the recorded cases of real repositories, and the rules one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/alloc.h"
#include "hub/hub.h"

/* Metadata of a repository with these files; names separated by blanks. */
static mmgr_metadata *repository(const char *names)
{
    mmgr_metadata *metadata = mmgr__metadata_new();
    char *copy = strdup(names);

    assert_int_equal(mmgr__metadata_set(metadata, MMGR_METADATA_ID, "org/name"), MMGR_OK);
    for (char *save = NULL, *name = strtok_r(copy, " ", &save); name;
         name = strtok_r(NULL, " ", &save)) {
        struct hub_file file = {.path = name, .size = 1};

        assert_int_equal(mmgr__metadata_add(metadata, &file), MMGR_OK);
    }
    free(copy);
    assert_int_equal(mmgr__metadata_check_files(metadata), MMGR_OK);
    return metadata;
}

/* The chosen paths, separated by blanks, or the name of the error. */
static void choose(const mmgr_metadata *metadata, const char *variant, const char *subfolder,
                   char *out, size_t room)
{
    mmgr_metadata *part = NULL;
    enum mmgr_result result = mmgr_metadata_select(metadata, variant, subfolder, &part);

    out[0] = '\0';
    if (result != MMGR_OK)
        snprintf(out, room, "!%s", mmgr_result_name(result));
    for (uint32_t i = 0; result == MMGR_OK && i < mmgr_metadata_file_count(part); i++) {
        size_t length = strlen(out);

        snprintf(out + length, room - length, "%s%s", i ? " " : "",
                 mmgr_metadata_file_text(part, i, MMGR_METADATA_FILE_PATH));
    }
    mmgr_metadata_unref(part);
}

static void join(const json_t *list, char *out, size_t room)
{
    out[0] = '\0';
    for (size_t i = 0; i < json_array_size(list); i++) {
        size_t length = strlen(out);

        snprintf(out + length, room - length, "%s%s", i ? " " : "",
                 json_string_value(json_array_get(list, i)));
    }
}

static void recorded_cases(void **state)
{
    const char *root = getenv("MMGR_SOURCE_ROOT");
    char path[1024], names[16384], expected[16384], found[16384];
    json_t *cases;
    size_t index;
    json_t *item;

    assert_non_null(root);
    snprintf(path, sizeof(path), "%s/tests/fixtures/hf_select_cases.json", root);
    cases = json_load_file(path, 0, NULL);
    assert_int_equal(json_array_size(cases), 6);
    json_array_foreach(cases, index, item)
    {
        mmgr_metadata *metadata;

        join(json_object_get(item, "files"), names, sizeof(names));
        join(json_object_get(item, "expected"), expected, sizeof(expected));
        metadata = repository(names);
        choose(metadata, json_string_value(json_object_get(item, "variant")),
               json_string_value(json_object_get(item, "subfolder")), found, sizeof(found));
        if (strcmp(found, expected) != 0)
            fail_msg("case %zu\nexpected %s\nfound    %s", index, expected, found);
        mmgr_metadata_unref(metadata);
    }
    json_decref(cases);
}

static const struct row {
    const char *files, *variant, *subfolder, *expected;
} rows[] = {
    /* per folder: safetensors wins; a folder that has only .bin keeps it, wherever it stands in the list */
    {"aa/model.safetensors aa/pytorch_model.bin model_index.json zz/pytorch_model.bin", NULL, NULL,
     "aa/model.safetensors model_index.json zz/pytorch_model.bin"},
    {"aa/pytorch_model.bin model_index.json zz/model.safetensors zz/pytorch_model.bin", "fp16",
     NULL, "aa/pytorch_model.bin model_index.json zz/model.safetensors"},
    /* fp16 per folder, falling back to the default files; and the other way round */
    {"model_index.json u/model.fp16.safetensors u/model.safetensors v/model.safetensors", "fp16",
     NULL, "model_index.json u/model.fp16.safetensors v/model.safetensors"},
    {"model_index.json u/model.fp16.safetensors u/model.safetensors v/model.fp16.safetensors",
     "fp32", NULL, "model_index.json u/model.safetensors v/model.fp16.safetensors"},
    {"config.json model.fp32.safetensors model.safetensors", "fp32", NULL,
     "config.json model.fp32.safetensors"},
    {"config.json model.non_ema.safetensors model.safetensors", NULL, NULL,
     "config.json model.safetensors"},
    /* shard sets are taken whole, also when the other precision is in the same folder, either way of naming */
    {"model_index.json t/model-00001-of-00002.safetensors t/model-00002-of-00002.safetensors "
     "t/model.fp16-00001-of-00002.safetensors t/model.fp16-00002-of-00002.safetensors "
     "t/model.fp16.safetensors.index.json t/model.safetensors.index.json",
     NULL, NULL,
     "model_index.json t/model-00001-of-00002.safetensors t/model-00002-of-00002.safetensors "
     "t/model.safetensors.index.json"},
    {"model_index.json t/model-00001-of-00002.safetensors t/model-00002-of-00002.safetensors "
     "t/model.fp16-00001-of-00002.safetensors t/model.fp16-00002-of-00002.safetensors "
     "t/model.safetensors.index.fp16.json t/model.safetensors.index.json",
     "fp16", NULL,
     "model_index.json t/model.fp16-00001-of-00002.safetensors t/model.fp16-00002-of-00002.safetensors "
     "t/model.safetensors.index.fp16.json"},
    {"model_index.json t/model-00001-of-00002.fp16.safetensors t/model-00002-of-00002.fp16.safetensors "
     "t/model.safetensors",
     "fp16", NULL,
     "model_index.json t/model-00001-of-00002.fp16.safetensors t/model-00002-of-00002.fp16.safetensors"},
    {"config.json model-00001-of-00002.safetensors model-00002-of-00002.safetensors model.safetensors "
     "model.safetensors.index.json",
     NULL, NULL, "config.json model.safetensors"},
    {"config.json model-00001-of-00003.safetensors model-00001-of-00004.safetensors model-00002-of-00003.safetensors "
     "model-00003-of-00003.safetensors",
     NULL, NULL,
     "config.json model-00001-of-00003.safetensors model-00002-of-00003.safetensors model-00003-of-00003.safetensors"},
    {"config.json model-00001-of-00003.safetensors model-00001-of-00004.safetensors model-00002-of-00004.safetensors "
     "model-00003-of-00004.safetensors model-00004-of-00004.safetensors",
     NULL, NULL,
     "config.json model-00001-of-00004.safetensors model-00002-of-00004.safetensors model-00003-of-00004.safetensors "
     "model-00004-of-00004.safetensors"},
    /* root checkpoints, pictures, other frameworks and training states stay out; vocabularies stay in */
    {"LICENSE README.md chat_template.jinja config.json merges.txt model.safetensors optimizer.pt pic.png "
     "rng_state_0.pth spiece.model tf_model.h5 tokenizer.model training_args.bin",
     NULL, NULL,
     "chat_template.jinja config.json merges.txt model.safetensors spiece.model tokenizer.model"},
    {"flux1-dev.safetensors ae.safetensors model_index.json transformer/config.json "
     "transformer/diffusion_pytorch_model-00001-of-00001.safetensors",
     NULL, NULL,
     "model_index.json transformer/config.json transformer/diffusion_pytorch_model-00001-of-00001.safetensors"},
    {"config.json vae/config.json", NULL, NULL, "!entry_not_found"},
    {"model_index.json u/config.json u/model.safetensors v/config.json v/model.onnx", NULL, NULL,
     "model_index.json u/config.json u/model.safetensors"},
    {"model_index.json u/model.safetensors", "onnx", NULL, "!entry_not_found"},
    {"model_index.json u/model.safetensors", "flax", NULL, "!entry_not_found"},
    {"config.json flax_model.msgpack model.safetensors", "flax", NULL,
     "config.json flax_model.msgpack"},
    /* adapters */
    {"adapter_config.json adapter_model.bin adapter_model.safetensors", NULL, NULL,
     "adapter_config.json adapter_model.safetensors"},
    {"image_encoder.txt ip_adapter.bin", NULL, NULL, "image_encoder.txt ip_adapter.bin"},
    /* no marker: one weight file is the model, several are ambiguous */
    {"README.md foo.safetensors", NULL, NULL, "foo.safetensors"},
    {"foo.ckpt foo.safetensors", "fp16", NULL, "foo.safetensors"},
    {"foo.fp16.safetensors foo.safetensors", "fp16", NULL, "foo.fp16.safetensors"},
    {"foo.fp16.safetensors foo.safetensors", NULL, NULL, "foo.safetensors"},
    {"a.safetensors b.safetensors", NULL, NULL, "!ambiguous_source"},
    {"v1.0.safetensors v1.5.safetensors", NULL, NULL, "!ambiguous_source"},
    {"x-00001-of-00002.safetensors x-00002-of-00002.safetensors x.safetensors.index.json", NULL,
     NULL, "x-00001-of-00002.safetensors x-00002-of-00002.safetensors x.safetensors.index.json"},
    {"README.md config.yaml", NULL, NULL, "!entry_not_found"},
    {"learned_embeds-steps-1000.safetensors token_identifier.txt", NULL, NULL,
     "learned_embeds-steps-1000.safetensors"},
    {"config.json lora.safetensors", NULL, NULL, "config.json lora.safetensors"},
    {"config.json a.safetensors b.safetensors", NULL, NULL, "!ambiguous_source"},
    {"sub/config.json sub/model.safetensors", NULL, NULL, "sub/config.json sub/model.safetensors"},
    {"model.onnx model.onnx_data", "onnx", NULL, "model.onnx model.onnx_data"},
    /* GGUF */
    {"README.md m.gguf", "fp16", NULL, "m.gguf"},
    {"config.json m-Q4_K_M.gguf m-Q8_0.gguf", NULL, NULL, "!ambiguous_source"},
    {"config.json m-Q4_K_M.gguf m-Q8_0.gguf", "Q4_K_M", NULL, "m-Q4_K_M.gguf"},
    {"M.q4_k_m.gguf M.q4_k_s.gguf", "Q4_K_M", NULL, "M.q4_k_m.gguf"},
    {"m-IQ4_XS.gguf m-Q4_0.gguf", "Q4_0", NULL, "m-Q4_0.gguf"},
    {"m-Q4_K_XL.gguf m-UD-Q4_K_XL.gguf", "Q4_K_XL", NULL, "m-Q4_K_XL.gguf"},
    {"m-Q4_K_XL.gguf m-UD-Q4_K_XL.gguf", "UD-Q4_K_XL", NULL, "m-UD-Q4_K_XL.gguf"},
    {"m-Q4_K_M.gguf", "Q5_K_M", NULL, "!entry_not_found"},
    {"Q8_0/m-Q8_0-00001-of-00002.gguf Q8_0/m-Q8_0-00002-of-00002.gguf m-Q4_0.gguf", "Q8_0", NULL,
     "Q8_0/m-Q8_0-00001-of-00002.gguf Q8_0/m-Q8_0-00002-of-00002.gguf"},
    {"m.gguf mmproj-m-f16.gguf imatrix.gguf", NULL, NULL, "m.gguf"},
    {"config.json model.safetensors model-Q4_0.gguf", NULL, NULL, "config.json model.safetensors"},
    {"config.json model.safetensors model-Q4_0.gguf", "Q4_0", NULL, "model-Q4_0.gguf"},
    {"config.json model.safetensors", "Q4_0", NULL, "!entry_not_found"},
    /* subfolders and single files */
    {"model_index.json unet/config.json unet/model.safetensors vae/config.json vae/model.fp16.safetensors "
     "vae/model.safetensors",
     "fp16", "vae", "vae/config.json vae/model.fp16.safetensors"},
    {"model_index.json vae/config.json vae/model.safetensors vae_1/config.json vae_1/model.safetensors",
     NULL, "/vae/", "vae/config.json vae/model.safetensors"},
    {"model_index.json tokenizer/merges.txt tokenizer/vocab.json unet/model.safetensors", NULL,
     "tokenizer", "tokenizer/merges.txt tokenizer/vocab.json"},
    {"a.safetensors b.safetensors", NULL, "b.safetensors", "b.safetensors"},
    {"a.safetensors sub/x.png", NULL, "sub/x.png", "sub/x.png"},
    {"a.safetensors", NULL, "c.safetensors", "!entry_not_found"},
    {"a.safetensors", NULL, "no", "!entry_not_found"},
    {"a/x.safetensors b/y.safetensors", NULL, "a", "a/x.safetensors"},
    {"config.json model.safetensors", "fp17", NULL, "!argument"},
};

static void rules(void **state)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        mmgr_metadata *metadata = repository(rows[i].files);
        char found[4096];

        choose(metadata, rows[i].variant, rows[i].subfolder, found, sizeof(found));
        if (strcmp(found, rows[i].expected) != 0)
            fail_msg("row %zu of %s (%s)\nexpected %s\nfound    %s", i, rows[i].files,
                     rows[i].variant ? rows[i].variant : "-", rows[i].expected, found);
        mmgr_metadata_unref(metadata);
    }
    assert_int_equal(mmgr__alloc_live(), 0);
}

static void messages(void **state)
{
    mmgr_metadata *metadata = repository("a.safetensors b.safetensors m-Q4_0.gguf m-Q8_0.gguf");
    mmgr_metadata *part = NULL;
    const char *message;

    assert_int_equal(mmgr_metadata_select(metadata, NULL, NULL, &part), MMGR_ERR_AMBIGUOUS_SOURCE);
    message = mmgr_error_message(mmgr_last_error());
    assert_true(strstr(message, "org/name") && strstr(message, "a.safetensors") &&
                strstr(message, "b.safetensors"));
    assert_int_equal(mmgr_metadata_select(metadata, "Q5_0", NULL, &part), MMGR_ERR_ENTRY_NOT_FOUND);
    message = mmgr_error_message(mmgr_last_error());
    assert_true(strstr(message, "Q5_0") && strstr(message, "m-Q4_0.gguf"));
    assert_null(part);
    assert_int_equal(mmgr_metadata_select(NULL, NULL, NULL, &part), MMGR_ERR_ARGUMENT);
    mmgr_metadata_unref(metadata);
}

static void no_memory(void **state)
{
    mmgr_metadata *metadata = repository("config.json model.safetensors");
    uint64_t live = mmgr__alloc_live();

    for (uint64_t n = 1;; n++) {
        mmgr_metadata *part = NULL;
        enum mmgr_result result;

        mmgr__alloc_fail_at(n, 0);
        result = mmgr_metadata_select(metadata, "fp16", NULL, &part);
        mmgr__alloc_fail_at(0, 0);
        mmgr_metadata_unref(part);
        assert_int_equal(mmgr__alloc_live(), live);
        if (result == MMGR_OK)
            break;
        assert_int_equal(result, MMGR_ERR_NO_MEMORY);
    }
    mmgr_metadata_unref(metadata);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(recorded_cases), cmocka_unit_test(rules),
                                       cmocka_unit_test(messages), cmocka_unit_test(no_memory)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
