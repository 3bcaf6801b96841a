/* SPDX-License-Identifier: MIT */
/* The checkpoint view over sound files and folders. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <modelmgr/checkpoint.h>

#include "base/io.h"
#include "files.h"
#include "format/format.h"

#define F32(begin, end) "{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[" #begin "," #end "]}"

static char *folder;

static int setup(void **state)
{
    folder = make_folder();
    return 0;
}

static int teardown(void **state)
{
    drop_folder(folder);
    return 0;
}

static mmgr_checkpoint *open_ok(const char *path, const char *component, const char *variant)
{
    struct mmgr_checkpoint_options options = {sizeof(options), 0, component, variant};
    mmgr_checkpoint *checkpoint = NULL;
    enum mmgr_result result = mmgr_checkpoint_open(path, &options, &checkpoint);

    if (result != MMGR_OK)
        print_error("%s: %s\n", path, mmgr_error_message(mmgr_last_error()));
    assert_int_equal(result, MMGR_OK);
    return checkpoint;
}

static void expect(enum mmgr_result wanted, const char *path, const char *component,
                   const char *words)
{
    struct mmgr_checkpoint_options options = {sizeof(options), 0, component, NULL};
    mmgr_checkpoint *checkpoint = (mmgr_checkpoint *)&options;
    enum mmgr_result result = mmgr_checkpoint_open(path, &options, &checkpoint);

    if (result != wanted)
        print_error("%s: %s\n", path, mmgr_error_message(mmgr_last_error()));
    assert_int_equal(result, wanted);
    assert_ptr_equal(checkpoint, &options);
    if (words != NULL && strstr(mmgr_error_message(mmgr_last_error()), words) == NULL)
        fail_msg("\"%s\" is not in: %s", words, mmgr_error_message(mmgr_last_error()));
}

static void one_file(void **state)
{
    mmgr_checkpoint *c;
    uint64_t index;
    const char *key, *value;

    put_safetensors(
        at(folder, "x.safetensors"),
        "{\"__metadata__\":{\"format\":\"pt\",\"k\":\"v\\n\"},\"b\":" F32(8, 16)
        ",\"a\\u0062\":" F32(0, 8)
        ",\"s\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[16,18]}}  ",
        18);
    c = open_ok(at(folder, "x.safetensors"), NULL, NULL);
    assert_string_equal(mmgr_checkpoint_format(c), "safetensors");
    assert_int_equal(mmgr_checkpoint_tensor_count(c), 3);
    assert_int_equal(mmgr_checkpoint_file_count(c), 1);
    assert_string_equal(mmgr_checkpoint_file_path(c, 0), "x.safetensors");
    assert_null(mmgr_checkpoint_file_path(c, 1));
    /* In the order of the data. */
    assert_string_equal(mmgr_checkpoint_tensor_name(c, 0), "ab");
    assert_string_equal(mmgr_checkpoint_tensor_name(c, 1), "b");
    assert_null(mmgr_checkpoint_tensor_name(c, 3));
    assert_int_equal(mmgr_checkpoint_find(c, "b", &index), MMGR_OK);
    assert_int_equal(index, 1);
    assert_int_equal(mmgr_checkpoint_tensor_offset(c, 1), mmgr_checkpoint_tensor_offset(c, 0) + 8);
    assert_int_equal(mmgr_checkpoint_tensor_offset(c, 0), mmgr__checkpoint_data_offset(c, 0));
    assert_int_equal(mmgr_checkpoint_tensor_bytes(c, 1), 8);
    assert_int_equal(mmgr_checkpoint_tensor_rank(c, 1), 1);
    assert_int_equal(mmgr_checkpoint_tensor_shape(c, 1)[0], 2);
    assert_int_equal(mmgr_checkpoint_tensor_dtype(c, 1), MMGR_DTYPE_F32);
    assert_int_equal(mmgr_checkpoint_tensor_dtype(c, 2), MMGR_DTYPE_BF16);
    assert_int_equal(mmgr_checkpoint_tensor_rank(c, 2), 0);
    assert_null(mmgr_checkpoint_tensor_shape(c, 2));
    assert_null(mmgr_checkpoint_tensor_strides(c, 1));
    assert_int_equal(mmgr_checkpoint_tensor_block(c, 1), MMGR_BLOCK_NONE);
    assert_int_not_equal(mmgr_checkpoint_tensor_storage(c, 0),
                         mmgr_checkpoint_tensor_storage(c, 1));
    assert_int_equal(mmgr_checkpoint_find(c, "c", &index), MMGR_ERR_UNKNOWN_TENSOR);
    assert_int_equal(mmgr_checkpoint_metadata_count(c), 2);
    assert_int_equal(mmgr_checkpoint_metadata_at(c, 1, &key, &value), MMGR_OK);
    assert_string_equal(key, "k");
    assert_string_equal(value, "v\n");
    assert_int_equal(mmgr_checkpoint_metadata_at(c, 2, &key, &value), MMGR_ERR_ARGUMENT);
    mmgr_checkpoint *same = mmgr_checkpoint_ref(c);
    mmgr_checkpoint_unref(c);
    assert_int_equal(mmgr_checkpoint_tensor_count(same), 3);
    mmgr_checkpoint_unref(same);
    mmgr_checkpoint_unref(NULL);
}

static void dtypes(void **state)
{
    static const struct {
        const char *name;
        unsigned bits;
    } rows[] = {{"BOOL", 8},    {"F4", 4},          {"F6_E2M3", 6},     {"F6_E3M2", 6},
                {"U8", 8},      {"I8", 8},          {"F8_E5M2", 8},     {"F8_E4M3", 8},
                {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
                {"U16", 16},    {"F16", 16},        {"BF16", 16},       {"I32", 32},
                {"U32", 32},    {"F32", 32},        {"C64", 64},        {"F64", 64},
                {"I64", 64},    {"U64", 64}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        enum mmgr_dtype dtype = (enum mmgr_dtype)(i + 1);
        char json[256];
        unsigned bytes = rows[i].bits; /* of 8 elements */
        assert_string_equal(mmgr_dtype_name(dtype), rows[i].name);
        assert_int_equal(mmgr_dtype_bits(dtype), rows[i].bits);
        assert_int_equal(mmgr__dtype_parse(rows[i].name, strlen(rows[i].name)), dtype);
        snprintf(json, sizeof(json),
                 "{\"t\":{\"dtype\":\"%s\",\"shape\":[2,4],\"data_offsets\":[0,%u]}}", rows[i].name,
                 bytes);
        put_safetensors(at(folder, "d.safetensors"), json, bytes);
        mmgr_checkpoint *c = open_ok(at(folder, "d.safetensors"), NULL, NULL);
        assert_int_equal(mmgr_checkpoint_tensor_dtype(c, 0), dtype);
        mmgr_checkpoint_unref(c);
    }
    assert_null(mmgr_dtype_name(MMGR_DTYPE_NONE));
    assert_null(mmgr_dtype_name((enum mmgr_dtype)23));
    assert_null(mmgr_dtype_name((enum mmgr_dtype) - 1));
    assert_int_equal(mmgr_dtype_bits((enum mmgr_dtype)99), 0);
    assert_int_equal(mmgr__dtype_parse("F3", 2), MMGR_DTYPE_NONE);
    assert_int_equal(mmgr__dtype_parse("F321", 4), MMGR_DTYPE_NONE);
    assert_int_equal(mmgr__dtype_parse("", 0), MMGR_DTYPE_NONE);
    assert_int_equal(mmgr__dtype_parse("F32\0", 4), MMGR_DTYPE_NONE);
}

static void put_part(const char *name, const char *tensor)
{
    char json[256];

    snprintf(json, sizeof(json), "{\"%s\":" F32(0, 8) "}", tensor);
    put_safetensors(at(folder, name), json, 8);
}

static void make_pipeline(void)
{
    make_dir(at(folder, "p"));
    make_dir(at(folder, "p/unet"));
    make_dir(at(folder, "p/text_encoder"));
    make_dir(at(folder, "p/scheduler"));
    make_dir(at(folder, "p/extra"));
    put_text(
        at(folder, "p/model_index.json"),
        "{\"_class_name\":\"X\",\"unet\":[\"diffusers\",\"U\"],\"text_encoder\":[\"t\",\"C\"],"
        "\"scheduler\":[\"diffusers\",\"S\"],\"safety_checker\":[null,null],\"gone\":[\"a\",\"b\"],"
        "\"requires_safety_checker\":false}");
    put_text(at(folder, "p/scheduler/scheduler_config.json"), "{\"prediction_type\":\"epsilon\"}");
    put_part("p/unet/diffusion_pytorch_model.safetensors", "u");
    put_part("p/unet/diffusion_pytorch_model.fp16.safetensors", "u16");
    put_part("p/unet/diffusion_pytorch_model.non_ema.safetensors", "ema");
    put_part("p/text_encoder/model.fp16.safetensors", "t16");
    put_part("p/text_encoder/open_clip_model.safetensors", "other");
    put_part("p/extra/model.safetensors", "extra");
}

static void pipelines(void **state)
{
    uint64_t index;

    make_pipeline();
    mmgr_checkpoint *c = open_ok(at(folder, "p/"), NULL, NULL);
    assert_string_equal(mmgr_checkpoint_format(c), "folder");
    assert_int_equal(mmgr_checkpoint_file_count(c), 2);
    assert_string_equal(mmgr_checkpoint_file_path(c, 0),
                        "unet/diffusion_pytorch_model.safetensors");
    assert_string_equal(mmgr_checkpoint_file_path(c, 1), "text_encoder/model.fp16.safetensors");
    assert_int_equal(mmgr_checkpoint_find(c, "t16", &index), MMGR_OK);
    assert_int_equal(mmgr_checkpoint_tensor_file(c, index), 1);
    mmgr_checkpoint_unref(c);
    c = open_ok(at(folder, "p"), "unet", "fp16");
    assert_int_equal(mmgr_checkpoint_tensor_count(c), 1);
    assert_string_equal(mmgr_checkpoint_tensor_name(c, 0), "u16");
    mmgr_checkpoint_unref(c);
    c = open_ok(at(folder, "p"), "unet", "default");
    assert_string_equal(mmgr_checkpoint_tensor_name(c, 0), "u");
    mmgr_checkpoint_unref(c);
    c = open_ok(at(folder, "p"), "unet", "bf16");
    assert_string_equal(mmgr_checkpoint_tensor_name(c, 0), "u");
    mmgr_checkpoint_unref(c);
    c = open_ok(at(folder, "p"), "unet", "non_ema");
    assert_string_equal(mmgr_checkpoint_tensor_name(c, 0), "ema");
    mmgr_checkpoint_unref(c);
    expect(MMGR_ERR_UNKNOWN_SUBMODEL, at(folder, "p"), "vae", "\"vae\"");
    expect(MMGR_ERR_INVALID_FILE, at(folder, "p"), "scheduler", "no weight file");
    expect(MMGR_ERR_UNSAFE_PATH, at(folder, "p"), "../p", NULL);
    expect(MMGR_ERR_UNSAFE_PATH, at(folder, "p"), "..", NULL);
    expect(MMGR_ERR_UNKNOWN_SUBMODEL, at(folder, "p/unet/diffusion_pytorch_model.safetensors"),
           "unet", "file");
    expect(MMGR_ERR_PATH_NOT_FOUND, at(folder, "nowhere"), NULL, "nowhere");
}

static void same_names_in_two_components(void **state)
{
    make_dir(at(folder, "p"));
    make_dir(at(folder, "p/a"));
    make_dir(at(folder, "p/b"));
    put_text(at(folder, "p/model_index.json"), "{\"a\":[\"x\",\"y\"],\"b\":[\"x\",\"y\"]}");
    put_part("p/a/model.safetensors", "w");
    put_part("p/b/model.safetensors", "w");
    mmgr_checkpoint *c = open_ok(at(folder, "p"), NULL, NULL);
    uint64_t index = 9;
    assert_int_equal(mmgr_checkpoint_tensor_count(c), 2);
    assert_int_equal(mmgr_checkpoint_find(c, "w", &index), MMGR_OK);
    assert_int_equal(index, 0);
    mmgr_checkpoint_unref(c);
}

static void shards(void **state)
{
    uint64_t index;

    make_dir(at(folder, "s"));
    put_part("s/model-00001-of-00002.safetensors", "a");
    expect(MMGR_ERR_INVALID_FILE, at(folder, "s"), NULL, "shard 2 of 2");
    put_part("s/model-00002-of-00002.safetensors", "b");
    mmgr_checkpoint *c = open_ok(at(folder, "s"), NULL, NULL);
    assert_int_equal(mmgr_checkpoint_file_count(c), 2);
    mmgr_checkpoint_unref(c);
    put_text(
        at(folder, "s/model.safetensors.index.json"),
        "{\"metadata\":{\"total_size\":16.0},"
        "\"weight_map\":{\"b\":\"model-00002-of-00002.safetensors\","
        "\"\\u0061\":\"model-00001-of-00002.safetensors\"}}");
    c = open_ok(at(folder, "s"), NULL, NULL);
    assert_int_equal(mmgr_checkpoint_find(c, "a", &index), MMGR_OK);
    assert_string_equal(mmgr_checkpoint_file_path(c, mmgr_checkpoint_tensor_file(c, index)),
                        "model-00001-of-00002.safetensors");
    mmgr_checkpoint_unref(c);
    c = open_ok(at(folder, "s/model.safetensors.index.json"), NULL, NULL);
    assert_int_equal(mmgr_checkpoint_tensor_count(c), 2);
    mmgr_checkpoint_unref(c);
    /* The same tensor in two shards of one model part. */
    put_part("s/model-00002-of-00002.safetensors", "a");
    expect(MMGR_ERR_INVALID_FILE, at(folder, "s"), NULL, "also in");
}

static void index_faults(void **state)
{
    static const char *const texts[] = {
        "",
        "[]",
        "{}",
        "{\"weight_map\":{}}",
        "{\"weight_map\":[]}",
        "{\"weight_map\":{\"a\":null}}",
        "{\"weight_map\":{\"a\":\"m.safetensors\",\"a\":\"m.safetensors\"}}",
        "{\"weight_map\":{\"a\":\"m.safetensors\"},\"weight_map\":{\"a\":\"m.safetensors\"}}",
        "{\"weight_map\":{\"a\":\"m.safetensors\"}} x",
        "{\"weight_map\":{\"a\":\"m.safetensors\"}",
        "{\"weight_map\":{\"a\\u0000\":\"m.safetensors\"}}",
        "{\"weight_map\":{\"b\":\"m.safetensors\"}}",
    };

    make_dir(at(folder, "s"));
    put_part("s/m.safetensors", "a");
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        put_text(at(folder, "s/model.safetensors.index.json"), texts[i]);
        expect(MMGR_ERR_INVALID_FILE, at(folder, "s"), NULL, NULL);
    }
    put_text(at(folder, "s/model.safetensors.index.json"),
             "{\"weight_map\":{\"a\":\"m.safetensors\"}}");
    mmgr_checkpoint_unref(open_ok(at(folder, "s"), NULL, NULL));
}

static void foreign_formats(void **state)
{
    static const struct {
        const char *name, *data;
        size_t bytes;
        const char *words;
    } rows[] = {
        {"a.gguf", "GGUF\3\0\0\0\0\0\0\0\0\0\0\0", 16, "GGUF"},
        {"b.ckpt", "PK\3\4\24\0\0\0\0\0\0\0\0", 13, "PyTorch zip"},
        {"c.pt", "\200\2}q\0.", 6, "pickle"},
        {"d.safetensors", "\200\2}q\0.", 6, "pickle"},
        {"e.onnx", "\10\7\22\7pytorch", 11, "ONNX"},
        {"f.h5", "\211HDF\r\n\32\n0000", 12, "HDF5"},
        {"g.bin", "anything", 8, "pickle"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        put_file(at(folder, rows[i].name), rows[i].data, rows[i].bytes);
        expect(MMGR_ERR_UNSUPPORTED, at(folder, rows[i].name), NULL, rows[i].words);
    }
    /* A header length whose bytes look like a pickle is still a header; so is a wrong suffix. */
    char json[0x280 + 1];
    memset(json, ' ', 0x280);
    json[0x280] = '\0';
    memcpy(json, "{\"a\":" F32(0, 8) "}", strlen("{\"a\":" F32(0, 8) "}"));
    put_safetensors(at(folder, "h.ckpt"), json, 8);
    mmgr_checkpoint_unref(open_ok(at(folder, "h.ckpt"), NULL, NULL));
    make_dir(at(folder, "only_bin"));
    put_text(at(folder, "only_bin/pytorch_model.bin"), "x");
    expect(MMGR_ERR_UNSUPPORTED, at(folder, "only_bin"), NULL, "pickle");
    make_dir(at(folder, "nothing"));
    expect(MMGR_ERR_INVALID_FILE, at(folder, "nothing"), NULL, "no weight file");
}

static void hostile_folders(void **state)
{
    static const char *const members[] = {"../outside", "/etc", "a/../../b", "..", "a\\\\b"};

    make_dir(at(folder, "outside"));
    put_part("outside/model.safetensors", "secret");
    make_dir(at(folder, "h"));
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        char text[256];
        snprintf(text, sizeof(text), "{\"%s\":[\"diffusers\",\"X\"]}", members[i]);
        put_text(at(folder, "h/model_index.json"), text);
        expect(MMGR_ERR_UNSAFE_PATH, at(folder, "h"), NULL, "model_index.json");
    }
    put_text(at(folder, "h/model_index.json"), "{\"unet\":[\"diffusers\",\"X\"]}");
    assert_int_equal(symlink("../outside", at(folder, "h/unet")), 0);
    expect(MMGR_ERR_UNSAFE_PATH, at(folder, "h"), NULL, NULL);
    expect(MMGR_ERR_UNSAFE_PATH, at(folder, "h"), "unet", NULL);
    assert_int_equal(unlink(at(folder, "h/unet")), 0);
    assert_int_equal(symlink("unet", at(folder, "h/unet")), 0);
    expect(MMGR_ERR_UNSAFE_PATH, at(folder, "h"), NULL, NULL);
    assert_int_equal(unlink(at(folder, "h/unet")), 0);

    make_dir(at(folder, "h/unet"));
    assert_int_equal(mkfifo(at(folder, "h/unet/model.safetensors"), 0644), 0);
    expect(MMGR_ERR_INVALID_FILE, at(folder, "h"), "unet", NULL);
    expect(MMGR_ERR_INVALID_FILE, at(folder, "h/unet/model.safetensors"), NULL,
           "not a regular file");
    put_text(at(folder, "h/unet/model.safetensors.index.json"),
             "{\"weight_map\":{\"a\":\"model.safetensors\"}}");
    expect(MMGR_ERR_INVALID_FILE, at(folder, "h"), "unet", "not a regular file");

    put_text(at(folder, "h/model_index.json"), "[1,2]");
    expect(MMGR_ERR_INVALID_FILE, at(folder, "h"), NULL, "not a JSON object");
    put_text(at(folder, "h/model_index.json"), "{\"a\":1,\"a\":2}");
    expect(MMGR_ERR_INVALID_FILE, at(folder, "h"), NULL, "model_index.json");
}

static void caps_of_folders(void **state)
{
    struct mmgr__strings paths = {0};
    struct mmgr__folder *opened;
    char name[512] = "deep";

    make_dir(at(folder, "deep"));
    for (int i = 0; i < 20; i++) {
        strcat(name, "/d");
        make_dir(at(folder, name));
        strcat(name, "/f.bin");
        put_text(at(folder, name), "x");
        name[strlen(name) - strlen("/f.bin")] = '\0';
    }
    assert_int_equal(symlink("/", at(folder, "deep/loop")), 0);
    assert_int_equal(mmgr__folder_open(at(folder, "deep"), &opened), MMGR_OK);
    assert_int_equal(mmgr__folder_walk(opened, &paths), MMGR_OK);
    assert_int_equal(paths.count, 8);
    mmgr__strings_free(&paths);
    mmgr__folder_close(opened);

    /* A config larger than a config can be. */
    put_text(at(folder, "deep/config.json"), "{}");
    assert_int_equal(truncate(at(folder, "deep/config.json"), (off_t)1 << 32), 0);
    json_t *config = NULL;
    assert_int_equal(mmgr__folder_open(at(folder, "deep"), &opened), MMGR_OK);
    assert_int_equal(mmgr__folder_config(opened, "config.json", &config), MMGR_ERR_INVALID_FILE);
    assert_int_equal(mmgr__folder_config(opened, "none.json", &config), MMGR_OK);
    assert_null(config);
    assert_int_equal(mmgr__folder_config(opened, "loop/etc/passwd", &config), MMGR_ERR_UNSAFE_PATH);
    assert_int_equal(mmgr__folder_has(opened, "config.json"), 1);
    assert_int_equal(mmgr__folder_has(opened, "d"), 0);
    assert_int_equal(mmgr__folder_has(opened, "loop/etc/passwd"), 0);
    mmgr__folder_close(opened);
}

static void weight_names(void **state)
{
    char variant[32];

    assert_int_equal(mmgr__weight_variant("unet/model.fp16.safetensors", variant, sizeof(variant)),
                     1);
    assert_string_equal(variant, "fp16");
    assert_int_equal(
        mmgr__weight_variant("model.fp16-00001-of-00002.safetensors", variant, sizeof(variant)), 1);
    assert_string_equal(variant, "fp16");
    assert_int_equal(
        mmgr__weight_variant("model-00001-of-00002.fp16.safetensors", variant, sizeof(variant)), 1);
    assert_string_equal(variant, "fp16");
    assert_int_equal(
        mmgr__weight_variant("model.safetensors.index.fp16.json", variant, sizeof(variant)), 1);
    assert_string_equal(variant, "fp16");
    assert_int_equal(
        mmgr__weight_variant("model.fp16.safetensors.index.json", variant, sizeof(variant)), 1);
    assert_string_equal(variant, "fp16");
    assert_int_equal(mmgr__weight_variant("sd-v1.5-inpaint.safetensors", variant, sizeof(variant)),
                     1);
    assert_string_equal(variant, "");
    assert_int_equal(mmgr__weight_variant("config.json", variant, sizeof(variant)), 0);
    assert_int_equal(mmgr__is_weight_name("a.BIN"), 1);
    assert_int_equal(mmgr__is_weight_name("a.gguf"), 1);
    assert_int_equal(mmgr__is_weight_name("a.json"), 0);
}

/* A checkpoint of 12 GB that is all hole behind its header. */
static void large_file_reads_little(void **state)
{
    struct mmgr__io_counters before, after;
    size_t room = 400000, length = 0;
    char *json = malloc(room);
    uint64_t at_byte = 0, each = UINT64_C(8) << 20;

    json[length++] = '{';
    for (int i = 0; i < 1536; i++, at_byte += each)
        length += (size_t)snprintf(
            json + length, room - length,
            "%s\"model.diffusion_model.blocks.%d.weight\":{\"dtype\":\"F16\",\"shape\":[2048,2048],"
            "\"data_offsets\":[%llu,%llu]}",
            i == 0 ? "" : ",", i, (unsigned long long)at_byte,
            (unsigned long long)(at_byte + each));
    snprintf(json + length, room - length, "}");
    put_safetensors(at(folder, "big.safetensors"), json, at_byte);
    mmgr__io_counters(&before);
    mmgr_checkpoint *c = open_ok(at(folder, "big.safetensors"), NULL, NULL);
    mmgr__io_counters(&after);
    assert_int_equal(mmgr_checkpoint_tensor_count(c), 1536);
    assert_true(mmgr__checkpoint_file_size(c, 0) > UINT64_C(12) << 30);
    assert_true(after.read_bytes - before.read_bytes < 1000000);
    assert_true(after.read_bytes - before.read_bytes >= length);
    assert_int_equal(mmgr_checkpoint_bytes_read(c), after.read_bytes - before.read_bytes);
    assert_true(after.read_calls - before.read_calls <= 2);
    mmgr_checkpoint_unref(c);
    free(json);
}

static void changed_file_is_noticed(void **state)
{
    int fd = -1;

    make_pipeline();
    mmgr_checkpoint *c = open_ok(at(folder, "p"), "unet", NULL);
    assert_int_equal(mmgr__checkpoint_open_file(c, 0, &fd), MMGR_OK);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(mmgr__checkpoint_open_file(c, 1, &fd), MMGR_ERR_ARGUMENT);
    put_part("p/unet/other", "changed");
    assert_int_equal(rename(at(folder, "p/unet/other"),
                            at(folder, "p/unet/diffusion_pytorch_model.safetensors")),
                     0);
    assert_int_equal(mmgr__checkpoint_open_file(c, 0, &fd), MMGR_ERR_INVALID_FILE);
    mmgr_checkpoint_unref(c);
}

static void display(void **state)
{
    char out[MMGR__DISPLAY_ROOM], small[12];

    assert_string_equal(mmgr__display("a.b\xc3\xa4", out, sizeof(out)), "a.b\xc3\xa4");
    assert_string_equal(mmgr__display("\x1b[31m\n", out, sizeof(out)), "\\u{1b}[31m\\u{a}");
    assert_string_equal(mmgr__display("x\xe2\x80\xaey\xff", out, sizeof(out)), "x\\u{202e}y\\xff");
    assert_string_equal(mmgr__display("0123456789abcdef", small, sizeof(small)), "01234567...");
}

static void arguments(void **state)
{
    mmgr_checkpoint *c = NULL;
    struct mmgr_checkpoint_options options = {sizeof(options), 1, NULL, NULL};

    assert_int_equal(mmgr_checkpoint_open(NULL, NULL, &c), MMGR_ERR_ARGUMENT);
    assert_int_equal(mmgr_checkpoint_open("", NULL, &c), MMGR_ERR_ARGUMENT);
    assert_int_equal(mmgr_checkpoint_open("x", NULL, NULL), MMGR_ERR_ARGUMENT);
    assert_int_equal(mmgr_checkpoint_open("x", &options, &c), MMGR_ERR_ARGUMENT);
    options = (struct mmgr_checkpoint_options){.struct_size = 2};
    assert_int_equal(mmgr_checkpoint_open("x", &options, &c), MMGR_ERR_ABI_SIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_file, setup, teardown),
        cmocka_unit_test_setup_teardown(dtypes, setup, teardown),
        cmocka_unit_test_setup_teardown(pipelines, setup, teardown),
        cmocka_unit_test_setup_teardown(same_names_in_two_components, setup, teardown),
        cmocka_unit_test_setup_teardown(shards, setup, teardown),
        cmocka_unit_test_setup_teardown(index_faults, setup, teardown),
        cmocka_unit_test_setup_teardown(foreign_formats, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_folders, setup, teardown),
        cmocka_unit_test_setup_teardown(caps_of_folders, setup, teardown),
        cmocka_unit_test(weight_names),
        cmocka_unit_test_setup_teardown(large_file_reads_little, setup, teardown),
        cmocka_unit_test_setup_teardown(changed_file_is_noticed, setup, teardown),
        cmocka_unit_test(display),
        cmocka_unit_test(arguments),
    };

    return cmocka_run_group_tests_name("format", tests, NULL, NULL);
}
