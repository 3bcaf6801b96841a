/* SPDX-License-Identifier: MIT */
/* YAML stores that are refused: the error says where, and nothing is touched. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "yaml_files.h"

#define VERSION "modelmgr_store: 1\n"
#define HEAD    VERSION "models:\n"
#define FIELDS  "    name: N\n    type: main\n    format: diffusers\n    base: sd-1\n"
/* Lines 3 to 8 of a store. */
#define ONE    HEAD "  a:\n" FIELDS "    path: pa\n"
#define TWO    ONE "  b:\n" FIELDS
#define NESTED "[[[[[[[[[[[[[[[["

#define OTHER MMGR_ERR_STORE_INCOMPATIBLE
#define WRONG MMGR_ERR_INVALID_CONFIG
#define TAKEN MMGR_ERR_DUPLICATE_MODEL

/* A part of the message, and the field, each NULL: none. The subject is the path of what is no store, and the key
 * of a wrong model, which is "a" unless `key` says otherwise. */
static const struct refusal {
    const char *text;
    enum mmgr_result code;
    int line, column;
    const char *part, *field, *key;
    size_t length; /* of a text that holds a NUL */
} refusals[] = {
    /* no store of ours */
    {"{}\n", OTHER, 1, 1, "no record store", NULL, NULL, 0},
    {"[]\n", OTHER, 1, 1, "no record store", NULL, NULL, 0},
    {"hello\n", OTHER, 1, 1, "no record store", NULL, NULL, 0},
    {"models: {}\n", OTHER, 1, 1, "has no modelmgr_store", NULL, NULL, 0},
    {"# models\n\n__metadata__:\n  version: 3.0.0\nsd-1/main/model:\n  path: x\n  model_format: diffusers\n",
     OTHER, 3, 1, "no record store", NULL, NULL, 0},
    {"a: 1\nb: [2, 3]\n", OTHER, 1, 1, "no record store", NULL, NULL, 0},
    {"%!PS-Adobe-3.0\n%%EOF\n", OTHER, 1, 2, "", NULL, NULL, 0},
    {"%YAML 1.1\n", OTHER, 2, 1, "", NULL, NULL, 0},
    {"%YAML 1.1\n# c\n" ONE, OTHER, 3, 1, "", NULL, NULL, 0},
    {"---\n---\n", OTHER, 2, 1, "one document", NULL, NULL, 0},
    {ONE "---\n" ONE, OTHER, 9, 1, "one document", NULL, NULL, 0},
    {"...\n# c\n", OTHER, 1, 1, "", NULL, NULL, 0},
    {"SQLite format 3\0\020\0\001\001", OTHER, 1, 16, "", NULL, NULL, 20},
    {"\x7f"
     "ELF\x02\x01\x01",
     OTHER, 1, 1, "", NULL, NULL, 0},
    {"\x89PNG\r\n\x1a\n", OTHER, 1, 1, "", NULL, NULL, 0},
    {"# \xff\n", OTHER, 1, 3, "", NULL, NULL, 0},
    {"# c\n# \x01\n", OTHER, 2, 3, "", NULL, NULL, 0},
    {"# a\0b\n", OTHER, 1, 4, "", NULL, NULL, 6},
    {ONE "    description: a\0b\n", OTHER, 9, 19, "", NULL, NULL, sizeof ONE - 1 + 21},
    {ONE "    description: \xc3\n", OTHER, 9, 19, "", NULL, NULL, 0},
    {ONE "    description: \xed\xa0\x80\n", OTHER, 9, 18, "", NULL, NULL, 0},
    {ONE "    description: \"\\0\"\n", OTHER, 9, 18, "NUL", NULL, NULL, 0},
    /* its version */
    {"modelmgr_store: 2\n", OTHER, 1, 17, "newer release", NULL, NULL, 0},
    {"modelmgr_store: 2\nmodels: [x]\nnew: !thing\n", OTHER, 3, 6, "tags", NULL, NULL, 0},
    {"models: {a: 5}\nmodelmgr_store: 18446744073709551615\n", OTHER, 2, 17, "newer release", NULL,
     NULL, 0},
    {"modelmgr_store: one\n", OTHER, 1, 17, "no version", NULL, NULL, 0},
    {"modelmgr_store: 0\n", OTHER, 1, 17, "no version", NULL, NULL, 0},
    {"modelmgr_store: -1\n", OTHER, 1, 17, "no version", NULL, NULL, 0},
    {"modelmgr_store: 1.0\n", OTHER, 1, 17, "no version", NULL, NULL, 0},
    {"modelmgr_store:\n", OTHER, 1, 16, "no version", NULL, NULL, 0},
    {"modelmgr_store: [1]\n", OTHER, 1, 17, "no version", NULL, NULL, 0},
    {VERSION "models: []\n", OTHER, 2, 9, "models must be a map", NULL, NULL, 0},
    {VERSION "models:\n- name: N\n", OTHER, 3, 1, "models must be a map", NULL, NULL, 0},
    {VERSION "models: all\n", OTHER, 2, 9, "models must be a map", NULL, NULL, 0},
    /* YAML that surprises */
    {"x: &x [1]\ny: *x\n" VERSION, OTHER, 1, 4, "anchors", NULL, NULL, 0},
    {"a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n" VERSION, OTHER, 1, 4, "anchors", NULL, NULL, 0},
    {VERSION "models: *m\n", OTHER, 2, 9, "aliases", NULL, NULL, 0},
    {ONE "    <<: *b\n", OTHER, 9, 9, "aliases", NULL, NULL, 0},
    {VERSION "models: !!map {}\n", OTHER, 2, 9, "tags", NULL, NULL, 0},
    {ONE "    description: !!python/object:os.system x\n", OTHER, 9, 18, "tags", NULL, NULL, 0},
    {VERSION VERSION, OTHER, 2, 1, "twice", "modelmgr_store", NULL, 0},
    {ONE "  a:\n" FIELDS "    path: pb\n", OTHER, 9, 3, "twice", "a", NULL, 0},
    {ONE "  'a': {}\n", OTHER, 9, 3, "twice", "a", NULL, 0},
    {ONE "    name: M\n", OTHER, 9, 5, "twice", "name", NULL, 0},
    {ONE "    x: {y: 1, 'y': 2}\n", OTHER, 9, 15, "twice", "y", NULL, 0},
    {HEAD "  ? [a]\n  : {}\n", OTHER, 3, 5, "plain text", NULL, NULL, 0},
    {VERSION "x: " NESTED NESTED NESTED NESTED "\n", OTHER, 2, 67, "deep", NULL, NULL, 0},
    {ONE "\tdescription: x\n", OTHER, 9, 1, "", NULL, NULL, 0},
    {ONE "   description: x\n", OTHER, 9, 4, "", NULL, NULL, 0},
    {ONE "    description: 'x\n", OTHER, 10, 1, "", NULL, NULL, 0},
    {ONE "    description: a: b\n", OTHER, 9, 19, "", NULL, NULL, 0},
    {ONE "    description x\n", OTHER, 10, 1, "", NULL, NULL, 0},
    {ONE "    tags: [a, b\n", OTHER, 10, 1, "", NULL, NULL, 0},
    {ONE "    name: @x\n", OTHER, 9, 11, "", NULL, NULL, 0},
    {"\xef\xbb\xbf"
     "a: 'b\n",
     OTHER, 2, 1, "", NULL, NULL, 0},
    /* a model */
    {HEAD "  a: 5\n", WRONG, 3, 6, "must have a map", "key", NULL, 0},
    {HEAD "  a:\n", WRONG, 3, 5, "must have a map", "key", NULL, 0},
    {HEAD "  a: [x]\n", WRONG, 3, 6, "must have a map", "key", NULL, 0},
    {HEAD "  a: {}\n", WRONG, 3, 6, "is missing", "name", NULL, 0},
    {HEAD "  a b:\n" FIELDS "    path: p\n", WRONG, 4, 5, "letters, digits", "key", "a b", 0},
    {HEAD "  'a/../b':\n" FIELDS "    path: p\n", WRONG, 4, 5, "letters, digits", "key", "a/../b",
     0},
    {HEAD "  '':\n" FIELDS "    path: p\n", WRONG, 4, 5, "another key", "key", "", 0},
    {ONE "    key: b\n", WRONG, 9, 10, "another key", "key", NULL, 0},
    {ONE "    key:\n", WRONG, 9, 9, "another key", "key", NULL, 0},
    {TWO, WRONG, 10, 5, "is missing", "path", "b", 0},
    {TWO "    path: pa\n", TAKEN, 14, 11, "already that of model a", "path", "a", 0},
    {HEAD "  a:\n" FIELDS "    path: /m/pa\n  b:\n" FIELDS "    path: /m/./x//../pa\n", TAKEN, 14,
     11, "already that of model a", "path", "a", 0},
    /* a field of each kind */
    {ONE "    description: [x]\n", WRONG, 9, 18, "must be text", "description", NULL, 0},
    {ONE "    variant: {x: 1}\n", WRONG, 9, 14, "must be text", "variant", NULL, 0},
    {ONE "    created_at: [2024]\n", WRONG, 9, 17, "must be text", "created_at", NULL, 0},
    {ONE "    created_at: yesterday\n", WRONG, 9, 17, "must be a time", "created_at", NULL, 0},
    {ONE "    updated_at: 2024-02-30T00:00:00Z\n", WRONG, 9, 17, "must be a time", "updated_at",
     NULL, 0},
    {ONE "    tags: x, y\n", WRONG, 9, 11, "must be a list", "tags", NULL, 0},
    {ONE "    tags: {x: y}\n", WRONG, 9, 11, "must be a list", "tags", NULL, 0},
    {ONE "    tags: [x, [y]]\n", WRONG, 9, 15, "must be text", "tags", NULL, 0},
    {ONE "    tags:\n    - x\n    - ''\n", WRONG, 10, 5, "empty item", "tags", NULL, 0},
    {ONE "    bases: [sdxl]\n", WRONG, 9, 12, "must contain the base", "bases", NULL, 0},
    {ONE "    upcast_attention: maybe\n", WRONG, 9, 23, "true or false", "upcast_attention", NULL,
     0},
    {ONE "    upcast_attention: 'true'\n", WRONG, 9, 23, "true or false", "upcast_attention", NULL,
     0},
    {ONE "    file_size: big\n", WRONG, 9, 16, "must be a number", "file_size", NULL, 0},
    {ONE "    file_size: -1\n", WRONG, 9, 16, "whole number", "file_size", NULL, 0},
    {ONE "    file_size: 1.5\n", WRONG, 9, 16, "whole number", "file_size", NULL, 0},
    {ONE "    file_size: [1]\n", WRONG, 9, 16, "must be a number", "file_size", NULL, 0},
    {ONE "    default_settings: wide\n", WRONG, 9, 23, "must be an object", "default_settings",
     NULL, 0},
    {ONE "    default_settings: [x]\n", WRONG, 9, 23, "must be an object", "default_settings", NULL,
     0},
    {ONE "    hash: abc\n", WRONG, 9, 11, "algorithm:digest", "hash", NULL, 0},
    {ONE "    source_url: file:///etc/passwd\n", WRONG, 9, 17, "http", "source_url", NULL, 0},
    {ONE "    revision: \"a\\nb\"\n", WRONG, 9, 15, "control character", "revision", NULL, 0},
    /* paths that lead out */
    {HEAD "  a:\n" FIELDS "    path: ../../etc\n", WRONG, 8, 11, "\"..\"", "path", NULL, 0},
    {HEAD "  a:\n" FIELDS "    path: x/../../y\n", WRONG, 8, 11, "\"..\"", "path", NULL, 0},
    {ONE "    vae: ../v\n", WRONG, 9, 10, "\"..\"", "vae", NULL, 0},
    {ONE "    config_path: ../c\n", WRONG, 9, 18, "\"..\"", "config_path", NULL, 0},
    /* JSON texts */
    {ONE "    _json: x\n", WRONG, 9, 12, "must be a list", "_json", NULL, 0},
    {ONE "    _json: [[x]]\n", WRONG, 9, 13, "list of texts", "_json", NULL, 0},
    {ONE "    _json:\n    - '\"x\":1'\n    - ''\n", WRONG, 11, 7, "no member", "_json", NULL, 0},
    {ONE "    _json: ['x']\n", WRONG, 9, 13, "no member", "_json", NULL, 0},
    {ONE "    _json: ['\"x\":1,']\n", WRONG, 9, 13, "no member", "_json", NULL, 0},
    {ONE "    _json: ['\"x\":1}']\n", WRONG, 9, 13, "no member", "_json", NULL, 0},
    {ONE "    _json: ['\"x\":1},{\"y\":2']\n", WRONG, 9, 13, "no member", "_json", NULL, 0},
    {ONE "    _json: ['\"x\":01']\n", WRONG, 9, 13, "no member", "_json", NULL, 0},
    {ONE "    _json: ['\"name\":\"M\"']\n", WRONG, 4, 11, "is there twice", "name", NULL, 0},
    {ONE "    x: 1\n    _json: ['\"\\u0078\":2']\n", WRONG, 9, 8, "is there twice", "x", NULL, 0},
    {ONE "    _json: ['\"vae\":\"../v\"']\n", WRONG, 4, 5, "\"..\"", "vae", NULL, 0},
    /* the manifest */
    {ONE "    _files: x\n", WRONG, 9, 13, "must be a list", "_files", NULL, 0},
    {ONE "    _files: [x]\n", WRONG, 9, 14, "list of maps", "_files", NULL, 0},
    {ONE "    _files: [{size: 1}]\n", WRONG, 9, 14, "without a path", "_files", NULL, 0},
    {ONE "    _files: [{path: }]\n", WRONG, 9, 14, "without a path", "_files", NULL, 0},
    {ONE "    _files: [{path: [f]}]\n", WRONG, 9, 21, "bad path", "_files", NULL, 0},
    {ONE "    _files: [{path: f, size: x}]\n", WRONG, 9, 30, "bad size", "_files", NULL, 0},
    {ONE "    _files: [{path: f, size: -1}]\n", WRONG, 9, 30, "bad size", "_files", NULL, 0},
    {ONE "    _files: [{path: f, size: 9223372036854775808}]\n", WRONG, 9, 30, "bad size", "_files",
     NULL, 0},
    {ONE "    _files: [{path: f, size: [1]}]\n", WRONG, 9, 30, "bad size", "_files", NULL, 0},
    {ONE "    _files: [{path: f, mtime_ns: --1}]\n", WRONG, 9, 34, "bad mtime_ns", "_files", NULL,
     0},
    {ONE "    _files: [{path: f, inode: 18446744073709551616}]\n", WRONG, 9, 31, "bad inode",
     "_files", NULL, 0},
    {ONE "    _files: [{path: f, flags: 4294967296}]\n", WRONG, 9, 31, "bad flags", "_files", NULL,
     0},
    {ONE "    _files: [{path: f, sha256: {x: 1}}]\n", WRONG, 9, 32, "bad sha256", "_files", NULL,
     0},
    {ONE "    _files: [{path: f, sha265: aa}]\n", WRONG, 9, 24, "unknown member", "_files", NULL,
     0},
    {ONE "    _files: [{path: ../f}]\n", WRONG, 9, 21, "unsafe path", "_files", NULL, 0},
    {ONE "    _files: [{path: /etc/passwd}]\n", WRONG, 9, 21, "unsafe path", "_files", NULL, 0},
    {ONE "    _files: [{path: x/../../f}]\n", WRONG, 9, 21, "unsafe path", "_files", NULL, 0},
    {ONE "    _files: [{path: f}, {path: g}, {path: f}]\n", WRONG, 9, 13, "twice", "_files", NULL,
     0},
};
#define COUNT (sizeof refusals / sizeof refusals[0])

static size_t length_of(const struct refusal *refusal)
{
    return refusal->length != 0 ? refusal->length : strlen(refusal->text);
}

static enum mmgr_result open_it(const char *path, uint32_t flags, mmgr_store **store)
{
    struct mmgr_store_options options = {
        .struct_size = sizeof options, .path = path, .flags = flags | MMGR_STORE_LENIENT};

    return mmgr_store_open(&options, store);
}

static void check(const struct refusal *refusal, const char *path, enum mmgr_result result)
{
    const mmgr_error *error = mmgr_last_error();
    const char *message = mmgr_error_message(error), *field = mmgr_error_field(error);
    const char *subject = mmgr_error_subject(error);
    const char *wanted = refusal->code == OTHER ? path : refusal->key != NULL ? refusal->key : "a";
    char place[8300];

    snprintf(place, sizeof place, "%s:%d:%d: ", path, refusal->line, refusal->column);
    if (result != refusal->code || strncmp(message, place, strlen(place)) != 0 ||
        strstr(message, refusal->part) == NULL || (field == NULL) != (refusal->field == NULL) ||
        (field != NULL && strcmp(field, refusal->field) != 0) ||
        strcmp(subject != NULL ? subject : "", wanted) != 0)
        fail_msg("%s\n-> %s: %s (field %s, subject %s)\nwanted %d:%d: %s (field %s, subject %s)",
                 refusal->text, mmgr_result_name(result), message, field, subject, refusal->line,
                 refusal->column, refusal->part, refusal->field, wanted);
}

static void unchanged(const char *path, const char *text, size_t length)
{
    size_t now;
    char *bytes = take_file(path, &now);

    assert_int_equal(now, length);
    assert_memory_equal(bytes, text, length);
    free(bytes);
    assert_string_equal(names_in(folder), "store.yaml");
}

static void refused_and_untouched(void **state)
{
    const char *path = in_folder("store.yaml");

    for (size_t i = 0; i < COUNT; i++) {
        mmgr_store *store = NULL;

        put_file(path, refusals[i].text, length_of(&refusals[i]));
        for (int pass = 0; pass < 2; pass++) {
            check(&refusals[i], path, open_it(path, pass ? MMGR_STORE_READ_ONLY : 0, &store));
            assert_null(store);
            unchanged(path, refusals[i].text, length_of(&refusals[i]));
        }
    }
}

/* Each call of a store whose file was broken by hand. */
static enum mmgr_result call(int number, mmgr_store *store, const mmgr_record *record)
{
    mmgr_record *got = NULL;
    mmgr_record_list *list = NULL;
    uint64_t changes;
    int exists;

    switch (number) {
    case 0:
        return mmgr_store_get(store, "x", &got);
    case 1:
        return mmgr_store_exists(store, "x", &exists);
    case 2:
        return mmgr_store_search(store, NULL, &list);
    case 3:
        return mmgr_store_add(store, record, NULL);
    case 4:
        return mmgr_store_update(store, "x", "{\"name\":\"M\"}", NULL);
    case 5:
        return mmgr_store_delete(store, "x");
    default:
        return mmgr_store_changes(store, &changes);
    }
}

static void broken_while_open_and_repaired(void **state)
{
    const char *path = in_folder("store.yaml");
    mmgr_record *record = simple_record("new", "N", "sd-1", "p", "");
    mmgr_store *store;

    put_file(path, HEAD "  x:\n" FIELDS "    path: p\n",
             strlen(HEAD "  x:\n" FIELDS "    path: p\n"));
    store = open_store(path);
    for (size_t i = 0; i < COUNT; i++) {
        char name[32], text[512];

        put_file(path, refusals[i].text, length_of(&refusals[i]));
        for (int number = 0; number < 7; number++) {
            check(&refusals[i], path, call(number, store, record));
            unchanged(path, refusals[i].text, length_of(&refusals[i]));
        }
        snprintf(name, sizeof name, "n%zu", i);
        snprintf(text, sizeof text, HEAD "  %s:\n" FIELDS "    path: q\n", name);
        put_file(path, text, strlen(text));
        assert_string_equal(found(store, NULL), name);
        assert_ok(mmgr_store_add(store, record, NULL));
        assert_ok(mmgr_store_delete(store, name));
        assert_string_equal(found(store, NULL), "new");
    }
    mmgr_record_unref(record);
    assert_ok(mmgr_store_close(store));
}

/* More than 64 MiB; a file with a hole takes no room. */
static void too_large(void **state)
{
    const char *path = in_folder("store.yaml");
    mmgr_store *store = NULL;
    struct stat st;

    put_file(path, ONE, strlen(ONE));
    assert_int_equal(truncate(path, ((off_t)64 << 20) + 1), 0);
    assert_error(open_it(path, 0, &store), OTHER, "is larger than 67108864 bytes", NULL, path);
    assert_null(store);
    assert_true(stat(path, &st) == 0 && st.st_size == ((off_t)64 << 20) + 1);
    assert_string_equal(names_in(folder), "store.yaml");
}

static void no_file_at_all(void **state)
{
    const char *path = in_folder("store.yaml");
    mmgr_store *store = NULL;

    assert_int_equal(mkdir(path, 0777), 0);
    assert_error(open_it(path, 0, &store), OTHER, "no regular file", NULL, path);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(mkfifo(path, 0666), 0);
    assert_error(open_it(path, 0, &store), OTHER, "no regular file", NULL, path);
    assert_int_equal(unlink(path), 0);
    /* A link into nowhere is not followed to make a file. */
    assert_int_equal(symlink("nowhere.yaml", path), 0);
    assert_error(open_it(path, 0, &store), MMGR_ERR_UNSAFE_PATH, NULL, NULL, path);
    assert_string_equal(names_in(folder), "store.yaml");
    assert_null(store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(refused_and_untouched),
        TEST(broken_while_open_and_repaired),
        TEST(too_large),
        TEST(no_file_at_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
