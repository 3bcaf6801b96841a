/* SPDX-License-Identifier: MIT */
/* Tensor sets: bytes as in the file, pointers, strides, shards, variants, broken and changing
 * files. */
#include "models.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "device/device.h"
#include "load/tensors.h"

static void same_bytes(const mmgr_tensor *tensor, unsigned seed)
{
    const unsigned char *data = tensor->data;
    for (unsigned i = 0; i < tensor->bytes; i++)
        if (data[i] != model_byte(seed, tensor->name, i))
            fail_msg("%s: byte %u differs", tensor->name, i);
}

static const mmgr_tensor *find(const mmgr_tensor_set *set, const char *name)
{
    const mmgr_tensor *tensor = NULL;
    assert_int_equal(mmgr_tensor_set_find(set, name, &tensor), MMGR_OK);
    return tensor;
}

static void test_one_file(void **state)
{
    static const struct model_tensor tensors[] = {
        {"conv.weight", "F32", "[2,3,4]", 96},
        {"bias", "BF16", "[5]", 10},
        {"empty", "F32", "[0,7]", 0},
        {"scalar", "F16", "[]", 2},
        {"bytes", "U8", "[3]", 3},
    };
    models_safetensors("m.safetensors", 1, tensors, 5);
    mmgr_tensor_set *set = NULL;
    assert_int_equal(mmgr_tensor_set_read(models_path("m.safetensors"), NULL, NULL, &set), MMGR_OK);
    assert_int_equal(mmgr_tensor_set_count(set), 5);
    assert_int_equal(mmgr_tensor_set_bytes(set), 111);
    assert_string_equal(mmgr_device_name(mmgr_tensor_set_device(set)), "cpu");
    for (uint64_t i = 0; i < 5; i++) {
        same_bytes(mmgr_tensor_set_at(set, i), 1);
        assert_ptr_equal(find(set, tensors[i].name), mmgr_tensor_set_at(set, i));
    }
    const mmgr_tensor *conv = find(set, "conv.weight");
    assert_int_equal(conv->dtype, MMGR_DTYPE_F32);
    assert_int_equal(conv->rank, 3);
    assert_int_equal(conv->shape[1], 3);
    assert_int_equal(conv->strides[0], 12);
    assert_int_equal(conv->strides[1], 4);
    assert_int_equal(conv->strides[2], 1);
    assert_int_equal((uintptr_t)conv->data % 64, 0);
    assert_null(find(set, "empty")->data);
    assert_int_equal(find(set, "scalar")->rank, 0);
    const mmgr_tensor *none = NULL;
    assert_int_equal(mmgr_tensor_set_find(set, "nothing", &none), MMGR_ERR_UNKNOWN_TENSOR);
    assert_null(none);
    assert_null(mmgr_tensor_set_at(set, 5));
    mmgr_tensor_set_ref(set);
    mmgr_tensor_set_unref(set);
    same_bytes(conv, 1);
    mmgr_tensor_set_unref(set);
    mmgr_tensor_set_unref(NULL);
    assert_int_equal(mmgr_tensor_set_count(NULL), 0);
}

/* In the file the F32 tensor lies at an odd place; in memory it must not. */
static void test_misaligned(void **state)
{
    static const struct model_tensor tensors[] = {{"odd", NULL, NULL, 3},
                                                  {"wide", "F64", "[2]", 16}};
    models_safetensors("m.safetensors", 2, tensors, 2);
    mmgr_tensor_set *set = NULL;
    assert_int_equal(mmgr_tensor_set_read(models_path("m.safetensors"), NULL, NULL, &set), MMGR_OK);
    assert_int_equal((uintptr_t)find(set, "wide")->data % 8, 0);
    same_bytes(find(set, "odd"), 2);
    same_bytes(find(set, "wide"), 2);
    mmgr_device *device;
    mmgr_tensor_set *copy = NULL;
    assert_int_equal(mmgr_device_open("fake:1M", &device), MMGR_OK);
    assert_int_equal(mmgr__tensor_set_upload(set, device, &copy), MMGR_OK);
    mmgr_tensor_set_unref(set); /* the copy keeps what it lends */
    assert_ptr_equal(mmgr_tensor_set_device(copy), device);
    same_bytes(find(copy, "odd"), 2);
    same_bytes(find(copy, "wide"), 2);
    assert_int_equal(find(copy, "wide")->strides[0], 1);
    mmgr_tensor_set_unref(copy);
    struct mmgr__fake_numbers numbers;
    mmgr__fake_numbers(device, &numbers);
    assert_int_equal(numbers.used, 0);
    assert_int_equal(numbers.uploads, 1);
    mmgr_device_unref(device);
}

static void test_shards(void **state)
{
    static const struct model_tensor first[] = {{"a", "F32", "[4]", 16}, {"b", "U8", "[5]", 5}};
    static const struct model_tensor second[] = {{"c", "F16", "[3]", 6}};
    models_safetensors("m/model-00001-of-00002.safetensors", 3, first, 2);
    models_safetensors("m/model-00002-of-00002.safetensors", 3, second, 1);
    models_text(
        "m/model.safetensors.index.json",
        "{\"metadata\":{\"total_size\":27},\"weight_map\":{\"a\":\"model-00001-of-00002.safetensors\","
        "\"b\":\"model-00001-of-00002.safetensors\",\"c\":\"model-00002-of-00002.safetensors\"}}");
    mmgr_tensor_set *set = NULL;
    static const char *const paths[] = {"m", "m/model.safetensors.index.json"};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(mmgr_tensor_set_read(models_path(paths[i]), NULL, NULL, &set), MMGR_OK);
        assert_int_equal(mmgr_tensor_set_count(set), 3);
        assert_int_equal(set->slab_count, 2);
        same_bytes(find(set, "a"), 3);
        same_bytes(find(set, "b"), 3);
        same_bytes(find(set, "c"), 3);
        mmgr_tensor_set_unref(set);
    }
}

/* The second slab finds no room, or the second copy fails: the first slab goes back too. */
static void test_upload_failures(void **state)
{
    models_file("m/model-00001-of-00002.safetensors", 1, 100);
    struct model_tensor second = {"v", NULL, NULL, 50};
    models_safetensors("m/model-00002-of-00002.safetensors", 1, &second, 1);
    models_text("m/model.safetensors.index.json",
                "{\"weight_map\":{\"w\":\"model-00001-of-00002.safetensors\","
                "\"v\":\"model-00002-of-00002.safetensors\"}}");
    mmgr_tensor_set *set = NULL, *copy = NULL;
    mmgr_device *device;
    struct mmgr__fake_numbers numbers;
    assert_int_equal(mmgr_tensor_set_read(models_path("m"), NULL, NULL, &set), MMGR_OK);
    assert_int_equal(mmgr_device_open("fake:1000", &device), MMGR_OK);
    mmgr__fake_fail_at(device, MMGR__FAKE_ALLOCATE, 2);
    assert_int_equal(mmgr__tensor_set_upload(set, device, &copy), MMGR_ERR_DEVICE_MEMORY);
    mmgr__fake_fail_at(device, MMGR__FAKE_UPLOAD, 2);
    assert_int_equal(mmgr__tensor_set_upload(set, device, &copy), MMGR_ERR_PLUGIN);
    assert_null(copy);
    mmgr__fake_numbers(device, &numbers);
    assert_int_equal(numbers.used, 0);
    assert_int_equal(numbers.allocations, 3);
    assert_int_equal(numbers.releases, 3);
    mmgr_tensor_set_unref(set);
    mmgr_device_unref(device);
}

static void test_variants(void **state)
{
    models_file("m/diffusion_pytorch_model.safetensors", 10, 40);
    models_file("m/diffusion_pytorch_model.fp16.safetensors", 16, 20);
    models_text("m/config.json", "{}");
    mmgr_tensor_set *set = NULL;
    assert_int_equal(mmgr_tensor_set_read(models_path("m"), NULL, "fp16", &set), MMGR_OK);
    assert_int_equal(mmgr_tensor_set_bytes(set), 20);
    same_bytes(find(set, "w"), 16);
    mmgr_tensor_set_unref(set);
    assert_int_equal(mmgr_tensor_set_read(models_path("m"), NULL, NULL, &set), MMGR_OK);
    assert_int_equal(mmgr_tensor_set_bytes(set), 40);
    same_bytes(find(set, "w"), 10);
    mmgr_tensor_set_unref(set);
}

static void test_broken(void **state)
{
    mmgr_tensor_set *set = NULL;
    assert_int_equal(mmgr_tensor_set_read(models_path("none"), NULL, NULL, &set),
                     MMGR_ERR_PATH_NOT_FOUND);
    models_file("m.safetensors", 1, 1000);
    assert_int_equal(truncate(models_path("m.safetensors"), 500), 0);
    assert_int_equal(mmgr_tensor_set_read(models_path("m.safetensors"), NULL, NULL, &set),
                     MMGR_ERR_INVALID_FILE);
    assert_int_equal(mmgr_tensor_set_read(models_path("m.safetensors"), NULL, NULL, NULL),
                     MMGR_ERR_ARGUMENT);
    assert_null(set);
}

/* The header was read, then the file is changed before its weights are. */
static void test_changed(void **state)
{
    mmgr_checkpoint *checkpoint;
    mmgr_tensor_set *set = NULL;
    models_file("m.safetensors", 1, 1000);
    assert_int_equal(mmgr_checkpoint_open(models_path("m.safetensors"), NULL, &checkpoint),
                     MMGR_OK);
    assert_int_equal(truncate(models_path("m.safetensors"), 500), 0);
    assert_int_equal(mmgr__tensor_set_load(checkpoint, &set), MMGR_ERR_INVALID_FILE);
    assert_int_equal(unlink(models_path("m.safetensors")), 0);
    assert_int_equal(mmgr__tensor_set_load(checkpoint, &set), MMGR_ERR_PATH_NOT_FOUND);
    assert_null(set);
    mmgr_checkpoint_unref(checkpoint);
}

/* Shrinks while it is read: the descriptor is open, and the bytes are not there. */
static void test_spans(void **state)
{
    char memory[100];
    models_text("f", "0123456789");
    int fd = mmgr__io_open_read(AT_FDCWD, models_path("f"));
    struct mmgr__span spans[] = {
        {fd, "f", 2, 3, memory}, {fd, "f", 0, 0, memory}, {fd, "f", 8, 2, memory + 3}};
    assert_int_equal(mmgr__read_spans(spans, 3), MMGR_OK);
    assert_memory_equal(memory, "23489", 5);
    assert_int_equal(mmgr__read_spans(spans, 0), MMGR_OK);
    spans[2].bytes = 5;
    assert_int_equal(mmgr__read_spans(spans, 3), MMGR_ERR_INVALID_FILE);
    assert_int_equal(mmgr_error_offset(mmgr_last_error()), 10);
    assert_string_equal(mmgr_error_subject(mmgr_last_error()), "f");
    mmgr__io_close(fd);
}

/* Enough to be read by several threads. */
static void test_large(void **state)
{
    unsigned bytes = (40u << 20) + 12345;
    models_file("m.safetensors", 7, bytes);
    mmgr_tensor_set *set = NULL;
    assert_int_equal(mmgr_tensor_set_read(models_path("m.safetensors"), NULL, NULL, &set), MMGR_OK);
    same_bytes(find(set, "w"), 7);
    mmgr_tensor_set_unref(set);
}

static enum mmgr_result read_once(void *user)
{
    mmgr_tensor_set *set = NULL;
    enum mmgr_result result = mmgr_tensor_set_read(user, NULL, NULL, &set);
    assert_true((result == MMGR_OK) == (set != NULL));
    mmgr_tensor_set_unref(set);
    return result;
}

static void test_no_memory(void **state)
{
    static const struct model_tensor tensors[] = {{"a", "F32", "[4]", 16}, {"b", "U8", "[5]", 5}};
    models_safetensors("m.safetensors", 1, tensors, 2);
    int rounds;
    assert_int_equal(sweep_allocations(read_once, (void *)models_path("m.safetensors"), &rounds),
                     0);
    assert_true(rounds > 10);
}

static void *leaked[8];
static int leaks;

static enum mmgr_result leak_when_second_fails(void *user)
{
    void *first = mmgr__alloc(1), *second = mmgr__alloc(1);
    enum mmgr_result result = first != NULL && second != NULL ? MMGR_OK : MMGR_ERR_NO_MEMORY;
    if (first != NULL && second == NULL)
        leaked[leaks++] = first;
    else
        mmgr__free(first);
    mmgr__free(second);
    return result;
}

static enum mmgr_result say_wrong_code(void *user)
{
    void *memory = mmgr__alloc(1);
    mmgr__free(memory);
    return memory != NULL ? MMGR_OK : MMGR_ERR_IO;
}

/* The sweep itself finds a leak and a wrong code. */
static void test_sweep_finds_planted_faults(void **state)
{
    int rounds;
    assert_true(sweep_allocations(leak_when_second_fails, NULL, &rounds) > 0);
    assert_int_equal(leaks, 1);
    mmgr__free(leaked[0]);
    assert_int_equal(sweep_allocations(say_wrong_code, NULL, &rounds), 1);
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, models_setup, models_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(test_one_file),
        WITH_FOLDER(test_misaligned),
        WITH_FOLDER(test_shards),
        WITH_FOLDER(test_upload_failures),
        WITH_FOLDER(test_variants),
        WITH_FOLDER(test_broken),
        WITH_FOLDER(test_changed),
        WITH_FOLDER(test_spans),
        WITH_FOLDER(test_large),
        WITH_FOLDER(test_no_memory),
        WITH_FOLDER(test_sweep_finds_planted_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
