/* SPDX-License-Identifier: MIT */
/* Answers of the hub into metadata: sound ones, hostile ones, cut and damaged ones, and our own JSON form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "hub/hub.h"

#define SHA256 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define SHA1   "00112233445566778899aabbccddeeff00112233"

static const char answer[] =
    "{\"id\":\"org/name\",\"author\":\"org\",\"sha\":\"" SHA1
    "\",\"lastModified\":\"2024-01-02T03:04:05.000Z\","
    "\"private\":false,\"gated\":\"auto\",\"tags\":[\"diffusers\",\"license:mit\"],"
    "\"cardData\":{\"license\":\"mit\",\"base_model\":[\"x/y\"]},\"siblings\":["
    "{\"rfilename\":\"unet/model #1.safetensors\",\"size\":1234567890123,\"blobId\":\"" SHA1 "\","
    "\"lfs\":{\"sha256\":\"" SHA256 "\",\"size\":1234567890123,\"pointerSize\":135}},"
    "{\"rfilename\":\"config.json\",\"size\":7,\"blobId\":\"" SHA1 "\",\"lfs\":null},"
    "{\"rfilename\":\"no_size.txt\"}]}";

static void sound(void **state)
{
    static const char *const texts[9] = {NULL,
                                         "huggingface",
                                         "org/name",
                                         "name",
                                         "org",
                                         SHA1,
                                         "2024-01-02T03:04:05.000Z",
                                         answer,
                                         "https://huggingface.co/org/name"};
    mmgr_metadata *metadata = NULL;

    assert_int_equal(mmgr_metadata_from_json(answer, &metadata), MMGR_OK);
    for (int i = 1; i < 9; i++)
        assert_string_equal(mmgr_metadata_text(metadata, (enum mmgr_metadata_text)i), texts[i]);
    assert_int_equal(mmgr_metadata_tag_count(metadata), 2);
    assert_string_equal(mmgr_metadata_tag(metadata, 1), "license:mit");
    assert_null(mmgr_metadata_tag(metadata, 2));
    assert_int_equal(mmgr_metadata_file_count(metadata), 3);
    assert_string_equal(mmgr_metadata_file_text(metadata, 0, MMGR_METADATA_FILE_PATH),
                        "config.json");
    assert_string_equal(mmgr_metadata_file_text(metadata, 0, MMGR_METADATA_FILE_GIT_SHA1), SHA1);
    assert_null(mmgr_metadata_file_text(metadata, 0, MMGR_METADATA_FILE_SHA256));
    assert_int_equal(mmgr_metadata_file_size(metadata, 0), 7);
    assert_int_equal(mmgr_metadata_file_size(metadata, 1), UINT64_MAX);
    assert_int_equal(mmgr_metadata_file_size(metadata, 2), 1234567890123);
    assert_string_equal(mmgr_metadata_file_text(metadata, 2, MMGR_METADATA_FILE_SHA256), SHA256);
    assert_null(mmgr_metadata_file_text(metadata, 2, MMGR_METADATA_FILE_GIT_SHA1));
    assert_string_equal(mmgr_metadata_file_text(metadata, 2, MMGR_METADATA_FILE_URL),
                        "https://huggingface.co/org/name/resolve/" SHA1
                        "/unet/model%20%231.safetensors");
    assert_null(mmgr_metadata_file_text(metadata, 3, MMGR_METADATA_FILE_PATH));
    assert_int_equal(mmgr_metadata_file_size(metadata, 3), UINT64_MAX);
    mmgr_metadata_unref(metadata);
    assert_int_equal(mmgr__alloc_live(), 0);
}

static void round_trip(void **state)
{
    mmgr_metadata *metadata = NULL, *again = NULL;
    char *first = NULL, *second = NULL;

    assert_int_equal(mmgr_metadata_from_json(answer, &metadata), MMGR_OK);
    assert_int_equal(mmgr_metadata_to_json(metadata, &first), MMGR_OK);
    assert_int_equal(mmgr_metadata_from_json(first, &again), MMGR_OK);
    assert_int_equal(mmgr_metadata_to_json(again, &second), MMGR_OK);
    assert_string_equal(first, second);
    assert_non_null(strstr(first, "\"tag_dict\":{\"license\":\"mit\",\"base_model\":[\"x/y\"]}"));
    mmgr_string_free(first);
    mmgr_string_free(second);
    mmgr_metadata_unref(metadata);
    mmgr_metadata_unref(again);
    assert_int_equal(mmgr__alloc_live(), 0);
}

#define HEAD "{\"id\":\"org/name\",\"siblings\":"

static void refused(void **state)
{
    static const struct {
        const char *json;
        enum mmgr_result result;
        const char *field; /* of a PROTOCOL error; NULL: not checked */
    } rows[] = {
        {"", MMGR_ERR_PROTOCOL, NULL},
        {"<html>", MMGR_ERR_PROTOCOL, NULL},
        {"[]", MMGR_ERR_PROTOCOL, NULL},
        {"null", MMGR_ERR_PROTOCOL, NULL},
        {"{}", MMGR_ERR_PROTOCOL, "id"},
        {"{\"id\":5,\"siblings\":[]}", MMGR_ERR_PROTOCOL, "id"},
        {"{\"id\":\"../x\",\"siblings\":[]}", MMGR_ERR_PROTOCOL, "id"},
        {"{\"id\":\"a/b/c\",\"siblings\":[]}", MMGR_ERR_PROTOCOL, "id"},
        {"{\"id\":\"a b\",\"siblings\":[]}", MMGR_ERR_PROTOCOL, "id"},
        {"{\"id\":\"a/b\",\"id\":\"c/d\",\"siblings\":[]}", MMGR_ERR_PROTOCOL, NULL},
        {"{\"id\":\"a/b\"}", MMGR_ERR_PROTOCOL, "siblings"},
        {HEAD "null}", MMGR_ERR_PROTOCOL, "siblings"},
        {HEAD "{}}", MMGR_ERR_PROTOCOL, "siblings"},
        {HEAD "[5]}", MMGR_ERR_PROTOCOL, "siblings[0]"},
        {HEAD "[{\"rfilename\":\"a\"},{}]}", MMGR_ERR_PROTOCOL, "siblings[1].rfilename"},
        {HEAD "[{\"rfilename\":\"a\",\"size\":-1}]}", MMGR_ERR_PROTOCOL, "siblings[0].size"},
        {HEAD "[{\"rfilename\":\"a\",\"size\":1.5}]}", MMGR_ERR_PROTOCOL, "siblings[0].size"},
        {HEAD "[{\"rfilename\":\"a\",\"size\":\"5\"}]}", MMGR_ERR_PROTOCOL, "siblings[0].size"},
        {HEAD "[{\"rfilename\":\"a\",\"size\":9223372036854775808}]}", MMGR_ERR_PROTOCOL, NULL},
        {HEAD "[{\"rfilename\":\"a\",\"blobId\":\"xyz\"}]}", MMGR_ERR_PROTOCOL,
         "siblings[0].blobId"},
        {HEAD "[{\"rfilename\":\"a\",\"lfs\":5}]}", MMGR_ERR_PROTOCOL, "siblings[0].lfs"},
        {HEAD "[{\"rfilename\":\"a\",\"lfs\":{\"sha256\":\"" SHA1 "\"}}]}", MMGR_ERR_PROTOCOL,
         "siblings[0].lfs.sha256"},
        {HEAD "[{\"rfilename\":\"a\",\"lfs\":{\"size\":-4}}]}", MMGR_ERR_PROTOCOL,
         "siblings[0].lfs.size"},
        {"{\"id\":\"a/b\",\"sha\":\"main\",\"siblings\":[]}", MMGR_ERR_PROTOCOL, "sha"},
        {"{\"id\":\"a/b\",\"sha\":5,\"siblings\":[]}", MMGR_ERR_PROTOCOL, "sha"},
        {"{\"id\":\"a/b\",\"tags\":\"x\",\"siblings\":[]}", MMGR_ERR_PROTOCOL, "tags"},
        {"{\"id\":\"a/b\",\"tags\":[1],\"siblings\":[]}", MMGR_ERR_PROTOCOL, "tags[0]"},
        {"{\"id\":\"a/b\",\"author\":[],\"siblings\":[]}", MMGR_ERR_PROTOCOL, "author"},
        {HEAD "[{\"rfilename\":\"a\\u0000b\"}]}", MMGR_ERR_PROTOCOL, NULL},
        /* names that lead elsewhere */
        {HEAD "[{\"rfilename\":\"../../x\"}]}", MMGR_ERR_UNSAFE_PATH, NULL},
        {HEAD "[{\"rfilename\":\"/etc/x\"}]}", MMGR_ERR_UNSAFE_PATH, NULL},
        {HEAD "[{\"rfilename\":\"a/../../b\"}]}", MMGR_ERR_UNSAFE_PATH, NULL},
        {HEAD "[{\"rfilename\":\"a/./b\"}]}", MMGR_ERR_UNSAFE_PATH, NULL},
        {HEAD "[{\"rfilename\":\"a//b\"}]}", MMGR_ERR_UNSAFE_PATH, NULL},
        {HEAD "[{\"rfilename\":\"a/\"}]}", MMGR_ERR_UNSAFE_PATH, NULL},
        {HEAD "[{\"rfilename\":\"\"}]}", MMGR_ERR_UNSAFE_PATH, NULL},
        {HEAD "[{\"rfilename\":\"C:\\\\x\"}]}", MMGR_ERR_UNSAFE_PATH, NULL},
        {HEAD "[{\"rfilename\":\"..\\\\x\"}]}", MMGR_ERR_UNSAFE_PATH, NULL},
        {HEAD "[{\"rfilename\":\"a\\nb\"}]}", MMGR_ERR_UNSAFE_PATH, NULL},
        {HEAD "[{\"rfilename\":\".git/config\"}]}", MMGR_ERR_UNSAFE_PATH, NULL},
        {HEAD "[{\"rfilename\":\"x/.GIT/hooks/y\"}]}", MMGR_ERR_UNSAFE_PATH, NULL},
        {HEAD "[{\"rfilename\":\"a\"},{\"rfilename\":\"a\"}]}", MMGR_ERR_UNSAFE_PATH, NULL},
        {HEAD
         "[{\"rfilename\":\"Model.bin\"},{\"rfilename\":\"x\"},{\"rfilename\":\"model.bin\"}]}",
         MMGR_ERR_UNSAFE_PATH, NULL},
        {HEAD "[{\"rfilename\":\"a-b\"},{\"rfilename\":\"a/c\"},{\"rfilename\":\"A\"}]}",
         MMGR_ERR_UNSAFE_PATH, NULL},
        /* our own form */
        {"{\"files\":[]}", MMGR_ERR_PROTOCOL, "type"},
        {"{\"type\":\"x\",\"files\":[]}", MMGR_ERR_PROTOCOL, "id"},
        {"{\"type\":\"x\",\"id\":\"y\",\"files\":[{}]}", MMGR_ERR_PROTOCOL, "files[0].path"},
        {"{\"type\":\"x\",\"id\":\"y\",\"files\":[{\"path\":\"a\"}]}", MMGR_ERR_PROTOCOL,
         "files[0].url"},
        {"{\"type\":\"x\",\"id\":\"y\",\"files\":[{\"path\":\"a\",\"url\":\"file:///x\"}]}",
         MMGR_ERR_PROTOCOL, "files[0].url"},
        {"{\"type\":\"x\",\"id\":\"y\",\"files\":[{\"path\":\"a\",\"url\":\"https://h/a\",\"sha256\":\"A\"}]}",
         MMGR_ERR_PROTOCOL, "files[0].sha256"},
        {"{\"type\":\"x\",\"id\":\"y\",\"files\":[{\"path\":\"../a\",\"url\":\"https://h/a\"}]}",
         MMGR_ERR_UNSAFE_PATH, NULL},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        mmgr_metadata *metadata = (mmgr_metadata *)1;
        enum mmgr_result result = mmgr_metadata_from_json(rows[i].json, &metadata);
        const char *field = mmgr_error_field(mmgr_last_error());

        if (result != rows[i].result)
            fail_msg("%s gave %s", rows[i].json, mmgr_result_name(result));
        assert_ptr_equal(metadata, (mmgr_metadata *)1);
        if (rows[i].field && (!field || strcmp(field, rows[i].field) != 0))
            fail_msg("%s names the field %s", rows[i].json, field ? field : "(none)");
        assert_int_equal(mmgr__alloc_live(), 0);
    }
}

static void host_form(void **state)
{
    static const char json[] =
        "{\"type\":\"shelf\",\"id\":\"any id\",\"tags\":null,\"files\":[{\"path\":\"a/b.bin\","
        "\"url\":\"https://h/x\",\"size\":5,\"sha256\":null}]}";
    mmgr_metadata *metadata = NULL;

    assert_int_equal(mmgr_metadata_from_json(json, &metadata), MMGR_OK);
    assert_string_equal(mmgr_metadata_text(metadata, MMGR_METADATA_TYPE), "shelf");
    assert_null(mmgr_metadata_text(metadata, MMGR_METADATA_REVISION));
    assert_int_equal(mmgr_metadata_file_size(metadata, 0), 5);
    mmgr_metadata_unref(metadata);
}

/* Two files that differ beyond what folding joins are two files; a long list is still quick. */
static void many_files(void **state)
{
    struct mmgr__buf buf = {0};
    mmgr_metadata *metadata = NULL, *part = NULL;

    mmgr__buf_puts(&buf, HEAD "[{\"rfilename\":\"model_index.json\"}");
    for (int i = 0; i < 40000; i++)
        mmgr__buf_printf(&buf, ",{\"rfilename\":\"d%d/model.safetensors\",\"size\":1}", i);
    mmgr__buf_puts(&buf, "]}");
    assert_int_equal(mmgr_metadata_from_json(buf.data, &metadata), MMGR_OK);
    assert_int_equal(mmgr_metadata_file_count(metadata), 40001);
    assert_int_equal(mmgr_metadata_select(metadata, NULL, NULL, &part), MMGR_OK);
    assert_int_equal(mmgr_metadata_file_count(part), 40001);
    mmgr_metadata_unref(part);
    mmgr_metadata_unref(metadata);
    buf.length -= 2;
    for (int i = 0; i < 10001; i++)
        mmgr__buf_printf(&buf, ",{\"rfilename\":\"e%d\"}", i);
    mmgr__buf_puts(&buf, "]}");
    assert_int_equal(mmgr_metadata_from_json(buf.data, &metadata), MMGR_ERR_PROTOCOL);
    mmgr__buf_free(&buf);
}

/* Every prefix and every damaged byte: an answer or a typed error, never more. */
static void damaged(void **state)
{
    size_t length = strlen(answer);
    char *copy = malloc(length + 1);
    unsigned seed = 7;

    for (size_t cut = 0; cut < length; cut++) {
        mmgr_metadata *metadata = NULL;

        memcpy(copy, answer, cut);
        copy[cut] = '\0';
        assert_int_equal(mmgr_metadata_from_json(copy, &metadata), MMGR_ERR_PROTOCOL);
    }
    for (int round = 0; round < 20000; round++) {
        mmgr_metadata *metadata = NULL;
        enum mmgr_result result;

        memcpy(copy, answer, length + 1);
        for (int i = 0; i < 3; i++) {
            seed = seed * 1103515245u + 12345u;
            copy[(seed >> 8) % length] = (char)(1 + (seed >> 24) % 255);
        }
        result = mmgr_metadata_from_json(copy, &metadata);
        assert_true(result == MMGR_OK || result == MMGR_ERR_PROTOCOL ||
                    result == MMGR_ERR_UNSAFE_PATH);
        mmgr_metadata_unref(metadata);
    }
    free(copy);
    assert_int_equal(mmgr__alloc_live(), 0);
}

static void tree_pages(void **state)
{
    static const char page[] =
        "[{\"type\":\"directory\",\"path\":\"unet\",\"oid\":\"" SHA1 "\",\"size\":0},"
        "{\"type\":\"file\",\"path\":\"unet/a.bin\",\"size\":5,\"oid\":\"" SHA1 "\","
        "\"lfs\":{\"oid\":\"" SHA256 "\",\"size\":99,\"pointerSize\":130},\"xetHash\":\"x\"},"
        "{\"type\":\"file\",\"path\":\"b.json\",\"size\":6,\"oid\":\"" SHA1 "\"}]";
    static const char *const bad[][2] = {
        {"{}", "(document)"},
        {"[5]", "tree[0].type"},
        {"[{\"path\":\"x\"}]", "tree[0].type"},
        {"[{\"type\":\"file\"}]", "tree[0].path"},
        {"[{\"type\":\"file\",\"path\":\"x\",\"oid\":5}]", "tree[0].oid"},
        {"[{\"type\":\"file\",\"path\":\"x\",\"lfs\":{\"oid\":\"" SHA1 "\"}}]", "tree[0].lfs.oid"},
    };
    mmgr_metadata *metadata = mmgr__metadata_new();

    assert_int_equal(mmgr__hf_parse_tree(page, strlen(page), metadata), MMGR_OK);
    assert_int_equal(metadata->file_count, 2);
    assert_string_equal(metadata->files[0].sha256, SHA256);
    assert_null(metadata->files[0].git_sha1);
    assert_int_equal(metadata->files[0].size, 99);
    assert_string_equal(metadata->files[1].git_sha1, SHA1);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(mmgr__hf_parse_tree(bad[i][0], strlen(bad[i][0]), metadata),
                         MMGR_ERR_PROTOCOL);
        assert_string_equal(mmgr_error_field(mmgr_last_error()), bad[i][1]);
    }
    mmgr_metadata_unref(metadata);
}

static void links(void **state)
{
    static const char *const rows[][2] = {
        {"<https://h/x?cursor=1>; rel=\"next\"", "https://h/x?cursor=1"},
        {"<https://h/p>; rel=\"prev\", <https://h/n>; rel=\"next\"", "https://h/n"},
        {"<https://h/p>;rel=\"first\"", NULL},
        {"", NULL},
        {"<https://h/p", NULL},
        {"rel=\"next\"", NULL},
        {"<>", NULL},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *link = mmgr__hf_next_link(rows[i][0]);

        if (rows[i][1] ? !link || strcmp(link, rows[i][1]) : link != NULL)
            fail_msg("%s gave %s", rows[i][0], link ? link : "(none)");
        mmgr__free(link);
    }
}

static void no_memory(void **state)
{
    for (uint64_t n = 1;; n++) {
        mmgr_metadata *metadata = NULL;
        enum mmgr_result result;

        mmgr__alloc_fail_at(n, 0);
        result = mmgr_metadata_from_json(answer, &metadata);
        mmgr__alloc_fail_at(0, 0);
        mmgr_metadata_unref(metadata);
        assert_int_equal(mmgr__alloc_live(), 0);
        if (result == MMGR_OK)
            return;
        assert_int_equal(result, MMGR_ERR_NO_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound),      cmocka_unit_test(round_trip), cmocka_unit_test(refused),
        cmocka_unit_test(host_form),  cmocka_unit_test(many_files), cmocka_unit_test(damaged),
        cmocka_unit_test(tree_pages), cmocka_unit_test(links),      cmocka_unit_test(no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
