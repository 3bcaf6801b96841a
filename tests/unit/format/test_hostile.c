/* SPDX-License-Identifier: MIT */
/* Broken and hostile files: the whole corpus, every allocation failing in turn, nothing read or
 * allocated on the word of the file alone. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <modelmgr/checkpoint.h>

#include "base/alloc.h"
#include "base/io.h"
#include "files.h"
#include "format/header.h"

static char *folder;

static int make_corpus(void **state)
{
    char arguments[4200];

    folder = make_folder();
    snprintf(arguments, sizeof(arguments), "hostile --out '%s'", folder);
    make_model(arguments);
    return 0;
}

static int drop_corpus(void **state)
{
    drop_folder(folder);
    return 0;
}

/* 1 when the file answers as its name says. */
static int answers(const char *name)
{
    mmgr_checkpoint *checkpoint = NULL;
    enum mmgr_result result = mmgr_checkpoint_open(at(folder, name), NULL, &checkpoint);
    size_t prefix = (size_t)(strstr(name, "__") - name);
    const char *code = mmgr_result_name(result);
    int right = strncmp(code, name, prefix) == 0 && code[prefix] == '\0';

    if (!right)
        print_error("%s: %s (%s)\n", name, code,
                    result != MMGR_OK ? mmgr_error_message(mmgr_last_error()) : "");
    if (result == MMGR_OK) {
        mmgr_checkpoint_unref(checkpoint);
        return right;
    }
    assert_null(checkpoint);
    assert_non_null(mmgr_error_subject(mmgr_last_error()));
    if (result == MMGR_ERR_INVALID_FILE && strstr(name, "__index") == NULL) {
        /* The file and the place in it. */
        assert_non_null(strstr(mmgr_error_message(mmgr_last_error()), name));
        assert_true(mmgr_error_offset(mmgr_last_error()) != MMGR_NO_OFFSET);
    }
    /* Nothing in a message may steer a terminal. */
    for (const char *c = mmgr_error_message(mmgr_last_error()); *c != '\0'; c++)
        assert_true((unsigned char)*c >= 0x20);
    return right;
}

static void corpus(void **state)
{
    DIR *stream = opendir(folder);
    const struct dirent *entry;
    int cases = 0, wrong = 0;

    while ((entry = readdir(stream)) != NULL) {
        if (strstr(entry->d_name, "__") == NULL)
            continue;
        cases++;
        wrong += !answers(entry->d_name);
    }
    closedir(stream);
    assert_int_equal(wrong, 0);
    assert_true(cases >= 150);
}

/* The control of the test above: a case under a wrong name is noticed. */
static void corpus_control(void **state)
{
    put_text(at(folder, "ok__not_sound.safetensors"), "nonsense that is no header");
    assert_int_equal(answers("ok__not_sound.safetensors"), 0);
    assert_int_equal(remove(at(folder, "ok__not_sound.safetensors")), 0);
}

static int sweep(const char *name)
{
    uint64_t live = mmgr__alloc_live();
    int refusals = 0;

    for (uint64_t number = 1; number < 100000; number++) {
        mmgr_checkpoint *checkpoint = NULL;
        mmgr__alloc_fail_at(number, 0);
        enum mmgr_result result = mmgr_checkpoint_open(at(folder, name), NULL, &checkpoint);
        mmgr__alloc_fail_at(0, 0);
        if (result == MMGR_OK) {
            mmgr_checkpoint_unref(checkpoint);
            assert_int_equal(mmgr__alloc_live(), live);
            /* One failure may be got round; when all from here on fail and it still works, none is
             * left. */
            mmgr__alloc_fail_at(number, 1);
            result = mmgr_checkpoint_open(at(folder, name), NULL, &checkpoint);
            mmgr__alloc_fail_at(0, 0);
            if (result == MMGR_OK) {
                mmgr_checkpoint_unref(checkpoint);
                return refusals;
            }
        } else {
            assert_int_equal(result, MMGR_ERR_NO_MEMORY);
            assert_null(checkpoint);
            refusals++;
        }
        assert_int_equal(mmgr__alloc_live(), live);
    }
    return -1;
}

static void allocation_failures(void **state)
{
    assert_true(sweep("ok__metadata_unicode.safetensors") >= 6);
    assert_true(sweep("ok__all_dtypes.safetensors") >= 8);
    assert_true(sweep("ok__index") >= 12);
}

/* The control of the sweep: what it compares does notice a block that is not given back. */
static void sweep_control(void **state)
{
    uint64_t live = mmgr__alloc_live();
    void *kept = mmgr__alloc(8);

    assert_true(mmgr__alloc_live() != live);
    mmgr__free(kept);
    assert_true(mmgr__alloc_live() == live);
    mmgr__alloc_fail_at(2, 0);
    void *first = mmgr__alloc(8), *second = mmgr__alloc(8), *third = mmgr__alloc(8);
    mmgr__alloc_fail_at(0, 0);
    assert_true(first != NULL && second == NULL && third != NULL);
    mmgr__free(first);
    mmgr__free(third);
}

struct watched {
    const char *data;
    size_t length;
    size_t largest;
};

static enum mmgr_result watched_read(void *self, uint64_t offset, void *data, size_t bytes)
{
    struct watched *watched = self;

    if (bytes > watched->largest)
        watched->largest = bytes;
    memset(data, ' ', bytes);
    if (offset < watched->length)
        memcpy(data, watched->data + offset,
               bytes < watched->length - offset ? bytes : (size_t)(watched->length - offset));
    return MMGR_OK;
}

static void watched_close(void *self)
{
    (void)self;
}

static void no_large_read_on_its_word(void **state)
{
    static const struct mmgr__source_ops ops = {watched_read, watched_close};
    /* A header of 90 MB is announced and would fit the file, but does not begin as one; one that is
     * longer than the file; one beyond the limit. */
    static const char heads[3][16] = {"\0\112\135\005\0\0\0\0xx", "\0\112\135\005\0\0\0\0{}",
                                      "\1\341\365\005\0\0\0\0{}"};
    static const uint64_t sizes[3] = {UINT64_C(1) << 40, 80000000, UINT64_C(1) << 40};

    for (int i = 0; i < 3; i++) {
        struct watched watched = {heads[i], 10, 0};
        struct mmgr__bytes bytes = {&ops, &watched, "watched", sizes[i], 0};
        struct mmgr__header header = {0};
        assert_int_equal(mmgr__safetensors_read(&bytes, "watched", &header), MMGR_ERR_INVALID_FILE);
        assert_true(watched.largest <= 65536);
        assert_null(header.text);
    }
}

/* The two ways through an entry, quick and full, give the same answer. */
static void both_ways_agree(void **state)
{
    static const char *const entries[][2] = {
        {"{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}",
         "{ \"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}"},
        {"{\"dtype\":\"F32\",\"shape\":[2,03],\"data_offsets\":[0,24]}",
         "{ \"dtype\":\"F32\",\"shape\":[2,03],\"data_offsets\":[0,24]}"},
        {"{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,6],\"data_offsets\":[0,24]}",
         "{ \"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,6],\"data_offsets\":[0,24]}"},
        {"{\"dtype\":\"F32\",\"shape\":[18446744073709551615],\"data_offsets\":[0,24]}",
         "{ \"dtype\":\"F32\",\"shape\":[18446744073709551615],\"data_offsets\":[0,24]}"},
        {"{\"dtype\":\"F32\",\"shape\":[,6],\"data_offsets\":[0,24]}",
         "{ \"dtype\":\"F32\",\"shape\":[,6],\"data_offsets\":[0,24]}"},
    };

    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
        enum mmgr_result results[2];
        uint64_t counts[2] = {0, 0};
        for (int way = 0; way < 2; way++) {
            char json[512];
            mmgr_checkpoint *checkpoint;
            snprintf(json, sizeof(json), "{\"a\":%s}", entries[i][way]);
            put_safetensors(at(folder, "way.safetensors"), json, 24);
            results[way] = mmgr_checkpoint_open(at(folder, "way.safetensors"), NULL, &checkpoint);
            if (results[way] == MMGR_OK) {
                counts[way] = mmgr_checkpoint_tensor_rank(checkpoint, 0);
                mmgr_checkpoint_unref(checkpoint);
            }
        }
        assert_int_equal(results[0], results[1]);
        assert_int_equal(counts[0], counts[1]);
    }
    assert_int_equal(remove(at(folder, "way.safetensors")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(corpus),
        cmocka_unit_test(corpus_control),
        cmocka_unit_test(allocation_failures),
        cmocka_unit_test(sweep_control),
        cmocka_unit_test(no_large_read_on_its_word),
        cmocka_unit_test(both_ways_agree),
    };

    return cmocka_run_group_tests_name("hostile", tests, make_corpus, drop_corpus);
}
