/* SPDX-License-Identifier: MIT */
/* Content hashes against known figures and against the definition computed another way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <xxhash.h>

#include <modelmgr/hash.h>
#include <modelmgr/modelmgr.h>

#include "base/io.h"
#include "files.h"

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

static void expect_hash(const char *path, const char *algorithm, const char *wanted)
{
    char *hash = NULL;
    enum mmgr_result code = mmgr_hash_path(path, algorithm, &hash);

    if (code != MMGR_OK)
        print_error("%s\n", mmgr_error_message(mmgr_last_error()));
    assert_int_equal(code, MMGR_OK);
    assert_string_equal(hash, wanted);
    mmgr_string_free(hash);
}

static const char *xxh3_text(const char *prefix, const void *data, size_t bytes)
{
    static char text[64];
    XXH128_hash_t hash = XXH3_128bits(data, bytes);

    snprintf(text, sizeof(text), "%s:%016llx%016llx", prefix, (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
    return text;
}

static void known_figures(void **state)
{
    put_text(at(folder, "abc.safetensors"), "abc");
    expect_hash(at(folder, "abc.safetensors"), "sha256",
                "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    expect_hash(at(folder, "abc.safetensors"), "xxh3", "xxh3:06b05ab6733a618578af5f94892f3950");
    put_text(at(folder, "empty"), "");
    expect_hash(at(folder, "empty"), "xxh3", "xxh3:99aa06d3014798d86001c324468d497f");
    expect_hash(at(folder, "abc.safetensors"), NULL,
                xxh3_text("sampled", "\3\0\0\0\0\0\0\0abc", 11));
}

/* Around the size at which sampling begins, and far beyond it. */
static void sampled_by_its_definition(void **state)
{
    static const size_t sizes[] = {0, 1, 16384, 16385, 49151, 49152, 49153, 65536, 1000001};
    unsigned char *data = malloc(1000001), *sample = malloc(8 + 49152);

    for (size_t i = 0; i < 1000001; i++)
        data[i] = (unsigned char)(i * 2654435761u >> 13);
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        size_t size = sizes[s], length = 8;
        for (int i = 0; i < 8; i++)
            sample[i] = (unsigned char)((uint64_t)size >> (8 * i));
        if (size <= 49152) {
            memcpy(sample + 8, data, size);
            length += size;
        } else {
            memcpy(sample + 8, data, 16384);
            memcpy(sample + 8 + 16384, data + size / 2 - 8192, 16384);
            memcpy(sample + 8 + 32768, data + size - 16384, 16384);
            length += 49152;
        }
        put_file(at(folder, "f"), data, size);
        expect_hash(at(folder, "f"), "sampled", xxh3_text("sampled", sample, length));
    }
    free(data);
    free(sample);
}

static void sampling_reads_little(void **state)
{
    struct mmgr__io_counters before, after;
    char *hash = NULL;

    put_text(at(folder, "big.safetensors"), "x");
    assert_int_equal(truncate(at(folder, "big.safetensors"), (off_t)12 << 30), 0);
    mmgr__io_counters(&before);
    assert_int_equal(mmgr_hash_path(at(folder, "big.safetensors"), "sampled", &hash), MMGR_OK);
    mmgr__io_counters(&after);
    assert_int_equal(after.read_bytes - before.read_bytes, 49152);
    mmgr_string_free(hash);
}

static void folders(void **state)
{
    char lines[512];
    size_t length = 0;
    const char *hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    char *hash = NULL;

    make_dir(at(folder, "m"));
    make_dir(at(folder, "m/unet"));
    put_text(at(folder, "m/config.json"), "{}");
    expect_hash(at(folder, "m/config.json"), "sha256",
                "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
    assert_int_equal(mmgr_hash_path(at(folder, "m"), "sha256", &hash), MMGR_ERR_INVALID_FILE);
    put_text(at(folder, "m/unet/b.safetensors"), "abc");
    put_text(at(folder, "m/a.safetensors"), "abc");
    assert_int_equal(symlink("a.safetensors", at(folder, "m/link.safetensors")), 0);
    length += (size_t)snprintf(lines, sizeof(lines), "a.safetensors%c3%c%s\n", 0, 0, hex);
    length += (size_t)snprintf(lines + length, sizeof(lines) - length,
                               "unet/b.safetensors%c3%c%s\n", 0, 0, hex);
    put_file(at(folder, "lines"), lines, length);
    char *wanted = NULL;
    assert_int_equal(mmgr_hash_path(at(folder, "lines"), "sha256", &wanted), MMGR_OK);
    expect_hash(at(folder, "m"), "sha256", wanted);
    mmgr_string_free(wanted);
    /* A config does not change it, a weight file and its name do. */
    assert_int_equal(mmgr_hash_path(at(folder, "m"), "sampled", &wanted), MMGR_OK);
    put_text(at(folder, "m/config.json"), "{\"x\":1}");
    expect_hash(at(folder, "m"), "sampled", wanted);
    assert_int_equal(rename(at(folder, "m/a.safetensors"), at(folder, "m/c.safetensors")), 0);
    assert_int_equal(mmgr_hash_path(at(folder, "m"), "sampled", &hash), MMGR_OK);
    assert_string_not_equal(hash, wanted);
    mmgr_string_free(hash);
    mmgr_string_free(wanted);
}

static void refusals(void **state)
{
    char *hash = NULL;

    put_text(at(folder, "f"), "abc");
    assert_int_equal(mmgr_hash_path(at(folder, "f"), "md5", &hash), MMGR_ERR_ARGUMENT);
    assert_int_equal(mmgr_hash_path(at(folder, "none"), NULL, &hash), MMGR_ERR_PATH_NOT_FOUND);
    assert_int_equal(mmgr_hash_path(NULL, NULL, &hash), MMGR_ERR_ARGUMENT);
    assert_int_equal(mmgr_hash_path(at(folder, "f"), NULL, NULL), MMGR_ERR_ARGUMENT);
    assert_null(hash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(known_figures, setup, teardown),
        cmocka_unit_test_setup_teardown(sampled_by_its_definition, setup, teardown),
        cmocka_unit_test_setup_teardown(sampling_reads_little, setup, teardown),
        cmocka_unit_test_setup_teardown(folders, setup, teardown),
        cmocka_unit_test_setup_teardown(refusals, setup, teardown),
    };

    return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
