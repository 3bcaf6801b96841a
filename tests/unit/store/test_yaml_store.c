/* SPDX-License-Identifier: MIT */
/* YAML stores as persons write and break them: what is taken, what is refused and where, what of a file stays when
 * it is written again. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/record.h"
#include "store/yaml_store.h"
#include "yaml_files.h"

#define VERSION "modelmgr_store: 1\n"
#define HEAD    VERSION "models:\n"
#define FIELDS  "    name: Nn\n    type: main\n    format: diffusers\n    base: sd-1\n"
/* A model whose lines are 3 to 8 when it comes first. */
#define MODEL(key, path) "  " key ":\n" FIELDS "    path: " path "\n"
#define ONE              HEAD MODEL("a", "pa")

static const char *store_file(void)
{
    return in_folder("store.yaml");
}

static enum mmgr_result try_open(const char *path, uint32_t flags, mmgr_store **store)
{
    struct mmgr_store_options options = {
        .struct_size = sizeof options, .path = path, .flags = flags | MMGR_STORE_LENIENT};

    return mmgr_store_open(&options, store);
}

static void add_z(mmgr_store *store)
{
    add_record(store, "z", "Z", "sd-1", "pz", "");
}

/* ---- what is taken */

/* "key=name path|description tags;" for each model, in the order of keys. */
static const char *content(mmgr_store *store)
{
    static char text[8192];
    char keys[4096], *rest = keys, *key;

    snprintf(keys, sizeof keys, "%s", found(store, NULL));
    text[0] = '\0';
    while ((key = strsep(&rest, " ")) != NULL && *key != '\0') {
        size_t used = strlen(text);
        const char *description, *tags;
        mmgr_record *record = NULL;

        assert_ok(mmgr_store_get(store, key, &record));
        description = mmgr_record_text(record, MMGR_FIELD_DESCRIPTION);
        tags = mmgr_record_text(record, MMGR_FIELD_TAGS);
        assert_non_null(mmgr_record_text(record, MMGR_FIELD_CREATED_AT));
        snprintf(text + used, sizeof text - used, "%s=%s %s|%s %s;", key,
                 mmgr_record_text(record, MMGR_FIELD_NAME),
                 mmgr_record_text(record, MMGR_FIELD_PATH), description != NULL ? description : "",
                 tags != NULL ? tags : "");
        mmgr_record_unref(record);
    }
    return text;
}

/* `head`: how the file begins after a save. */
static const struct {
    const char *text, *content, *head;
} taken[] = {
    {ONE, "a=Nn pa| ;", HEAD "  a:\n    name: Nn\n"},
    {HEAD MODEL("b", "pb") MODEL("a", "pa"), "a=Nn pa| ;b=Nn pb| ;", HEAD "  b:\n"},
    {"", "", VERSION "models:\n  z:\n"},
    {"# only a comment", "", "# only a comment\n" VERSION},
    {"# only a comment\n\n  # and one more\n", "",
     "# only a comment\n\n  # and one more\n" VERSION},
    {"# only a comment\r\n", "", "# only a comment\r\n" VERSION},
    {"---\n", "", "---\n" VERSION},
    {"--- # nothing\n", "", "--- # nothing\n" VERSION},
    {"%YAML 1.1\n---\n", "", "%YAML 1.1\n---\n" VERSION},
    {"\xef\xbb\xbf", "", "\xef\xbb\xbf\n" VERSION},
    {VERSION, "", VERSION "models:\n  z:\n"},
    {VERSION "models:\n", "", HEAD "  z:\n"},
    {VERSION "models: ~\n", "", HEAD "  z:\n"},
    {VERSION "models: {}\n", "", HEAD "  z:\n"},
    {"# one\n\n# two: 2\n---\n # three\n" ONE, "a=Nn pa| ;",
     "# one\n\n# two: 2\n---\n # three\n" HEAD},
    {"%YAML 1.1\n# c\n--- # d\n" ONE, "a=Nn pa| ;", "%YAML 1.1\n# c\n--- # d\n" HEAD},
    {"%YAML 1.1\n--- {modelmgr_store: 1, models: {}}\n", "", VERSION "models:\n  z:\n"},
    {"# c\n--- {modelmgr_store: 1, models: {}}\n", "", "# c\n" VERSION "models:\n  z:\n"},
    {"\xef\xbb\xbf" ONE, "a=Nn pa| ;", "\xef\xbb\xbf" HEAD},
    {"\xef\xbb\xbf# c\n" ONE, "a=Nn pa| ;", "\xef\xbb\xbf# c\n" HEAD},
    {"# c\r\nmodelmgr_store: 1\r\nmodels:\r\n  a:\r\n    name: Nn\r\n    type: main\r\n"
     "    format: diffusers\r\n    base: sd-1\r\n    path: pa\r\n    description: |\r\n      x\r\n      y\r\n",
     "a=Nn pa|x\ny\n ;", "# c\r\n" HEAD},
    {"# c\rmodelmgr_store: 1\rmodels: {}\r", "", "# c\r" HEAD},
    {"# c\xe2\x80\xa8modelmgr_store: 1\n", "", "# c\xe2\x80\xa8" HEAD},
    {"{modelmgr_store: 1, models: {a: {name: Nn, type: main, format: diffusers, base: sd-1, path: pa,\n"
     "  tags: [x, 'y z', \"w\"]}}}\n",
     "a=Nn pa| [\"x\",\"y z\",\"w\"];", HEAD},
    {"\"modelmgr_store\": '1'\n'models':\n  \"a\":\n    \"name\": \"Nn\"\n    'type': 'main'\n"
     "    format: \"diffusers\"\n    base: 'sd-1'\n    path: 'pa'\n",
     "a=Nn pa| ;", "modelmgr_store: '1'\nmodels:\n"},
    {ONE
     "    description: >-\n      folded\n      text\n\n      end\n    tags:\n    - x # no tag\n    - \"#y\"\n",
     "a=Nn pa|folded text\nend [\"x\",\"#y\"];", HEAD},
    {ONE "    description: \"a \\x41\\t\\u00e4 \\\n      b\"\n", "a=Nn pa|a A\t\xc3\xa4 b ;", HEAD},
    {HEAD
     "  a:\n    name: 0x10\n    type: main\n    format: diffusers\n    base: sd-1\n    path: 2024-01-31\n"
     "    description: true\n    tags: [1, yes, 1.50, .inf]\n",
     "a=0x10 2024-01-31|true [\"1\",\"yes\",\"1.50\",\".inf\"];", HEAD "  a:\n    name: '0x10'\n"},
    {ONE "    description: ~\n    tags:\n    hash: null\n", "a=Nn pa| ;", HEAD},
    {ONE "    key: a\n", "a=Nn pa| ;", HEAD},
    {HEAD MODEL("'123'", "pa") MODEL("-", "pb") MODEL("---", "pc") MODEL("null", "pd"),
     "-=Nn pb| ;---=Nn pc| ;123=Nn pa| ;null=Nn pd| ;", HEAD "  '123':\n"},
    {"? modelmgr_store\n: 1\n? models\n: ? a\n  : {name: Nn, type: main, format: diffusers, base: sd-1, path: pa}\n",
     "a=Nn pa| ;", HEAD},
};

static void hand_written(void **state)
{
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++) {
        const char *path = store_file();
        mmgr_store *store = NULL;
        char before[8192], *text;

        put_file(path, taken[i].text, strlen(taken[i].text));
        if (try_open(path, 0, &store) != MMGR_OK)
            fail_msg("%zu: %s\n%s", i, mmgr_error_message(mmgr_last_error()), taken[i].text);
        assert_string_equal(content(store), taken[i].content);
        add_z(store);
        assert_ok(mmgr_store_close(store));
        text = take_file(path, NULL);
        if (strncmp(text, taken[i].head, strlen(taken[i].head)) != 0)
            fail_msg("%zu: does not begin with\n%s\nbut is\n%s", i, taken[i].head, text);
        free(text);
        store = open_store(path);
        snprintf(before, sizeof before, "%s", taken[i].content);
        assert_memory_equal(content(store), before, strlen(before));
        assert_string_equal(content(store) + strlen(before), "z=Z pz| ;");
        assert_ok(mmgr_store_close(store));
        assert_string_equal(names_in(folder), "store.yaml");
        assert_int_equal(unlink(path), 0);
    }
}

/* ---- what stays */

#define STAMPS "    created_at: '2024-01-31T12:00:00Z'\n    updated_at: '2024-01-31T12:00:00Z'\n"

static const char arranged[] = "# Mine; keep it in this order.\n"
                               "\n"
                               "#  - and the blanks\n"
                               "zebra: 0x1F\n"
                               "models:\n"
                               "  second:\n"
                               "    path: p2\n"
                               "    tags:\n"
                               "    - x\n"
                               "    future_list:\n"
                               "    - 1.50\n"
                               "    - yes, no\n"
                               "    - a: {}\n"
                               "      'null': null\n"
                               "    name: Two\n"
                               "    bases:\n"
                               "    - sd-1\n"
                               "    base: sd-1\n" STAMPS "    format: diffusers\n"
                               "    type: main\n"
                               "  first:\n"
                               "    type: hologram\n"
                               "    name: One\n"
                               "    format: diffusers\n"
                               "    base: sd-1\n"
                               "    bases:\n"
                               "    - sd-1\n"
                               "    path: p1\n" STAMPS "    _json:\n"
                               "    - '\"odd\" : [ 1 , 2 ]'\n"
                               "    - '\"\\u0061\":1,\"_files\":2'\n"
                               "    _files:\n"
                               "    - path: f\n"
                               "      size: 1\n"
                               "      sha256: aa\n"
                               "      mtime_ns: -1\n"
                               "      device: 18446744073709551615\n"
                               "      inode: 9223372036854775808\n"
                               "      flags: 4294967295\n"
                               "modelmgr_store: 1\n"
                               "last:\n"
                               "  deep:\n"
                               "  - - ''\n"
                               "    - '5'\n"
                               "    - 5\n"
                               "    - ~\n"
                               "  7: of nine\n";

/* The text of the file with one part replaced by another. */
static void expect(const char *path, const char *part, const char *by)
{
    char wanted[8192], *text = take_file(path, NULL);
    const char *at = strstr(arranged, part);

    assert_non_null(at);
    snprintf(wanted, sizeof wanted, "%.*s%s%s", (int)(at - arranged), arranged, by,
             at + strlen(part));
    assert_string_equal(text, wanted);
    free(text);
}

static void arrangement_stays(void **state)
{
    const char *path = store_file();
    mmgr_store *store;

    put_file(path, arranged, strlen(arranged));
    store = open_store(path);
    add_z(store);
    assert_ok(mmgr_store_delete(store, "z"));
    /* Two members in one item are two from then on. */
    expect(path, "    - '\"\\u0061\":1,\"_files\":2'\n",
           "    - '\"\\u0061\":1'\n    - '\"_files\":2'\n");
    put_file(path, arranged, strlen(arranged));
    assert_ok(mmgr_store_delete(store, "first"));
    expect(path, strstr(arranged, "  first:\n"),
           "modelmgr_store: 1\nlast:\n  deep:\n  - - ''\n    - '5'\n"
           "    - 5\n    - ~\n  7: of nine\n");
    assert_ok(mmgr_store_close(store));
}

/* A record that only a newer release knows. */
static void unknown_members_stay(void **state)
{
    const char *path = store_file();
    mmgr_record *record = NULL;
    mmgr_store *store;

    put_file(path, arranged, strlen(arranged));
    store = open_store(path);
    assert_ok(mmgr_store_update(store, "first", "{\"name\":\"Uno\"}", NULL));
    assert_ok(mmgr_store_update(store, "second", "{\"odd2\":{\"a\":1,\"a\":2}}", NULL));
    assert_ok(mmgr_store_close(store));
    store = open_store(path);
    assert_ok(mmgr_store_get(store, "first", &record));
    assert_string_equal(record->extra, "\"odd\" : [ 1 , 2 ],\"\\u0061\":1,\"_files\":2");
    assert_string_equal(mmgr_record_text(record, MMGR_FIELD_TYPE), "hologram");
    assert_true(record->files[0].mtime_ns == -1 && record->files[0].device == UINT64_MAX);
    assert_true(record->files[0].inode == UINT64_C(1) << 63 &&
                record->files[0].flags == UINT32_MAX);
    mmgr_record_unref(record);
    assert_ok(mmgr_store_get(store, "second", &record));
    assert_string_equal(record->extra,
                        "\"future_list\":[1.50,\"yes, no\",{\"a\":{},\"null\":null}],"
                        "\"odd2\":{\"a\":1,\"a\":2}");
    mmgr_record_unref(record);
    assert_ok(mmgr_store_close(store));
}

/* What YAML cannot hold is kept as JSON text: escapes that stand for no character, depth, doubled names. */
static void odd_members(void **state)
{
    static const char *const members[] = {
        "\"x\":\"\\ud800\"",
        "\"x\":\"\\u0000\"",
        "\"x\":{\"\\ud800\":1}",
        "\"x\":[\"a\",\"\\u0000b\"]",
        "\"x\":{\"a\":1,\"a\":2}",
        "\"x\": 1",
        "\"x\":[1, 2]",
        "\"\\u0078\":1",
        "\"x\":\"\\u0041\"",
        ("\"x\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[0]]]]]]]]]]]]]]]]]]]]]]]]]]]"
         "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"),
        "\"_files\":[]",
        "\"_json\":{}",
        "\"\":\"\"",
        "\"<<\":{\"=\":\"<<\"}",
        "\"x\":\"- a\\n\\t: b # c \\u2028\"",
        "\"x\":-0.0e+5",
    };
    const char *path = store_file();
    mmgr_store *store = open_store(path);
    mmgr_record *record = NULL;

    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        char key[16];

        snprintf(key, sizeof key, "k%zu", i);
        add_record(store, key, "N", "sd-1", key, members[i]);
    }
    assert_ok(mmgr_store_close(store));
    store = open_store(path);
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        char key[16];

        snprintf(key, sizeof key, "k%zu", i);
        assert_ok(mmgr_store_get(store, key, &record));
        assert_string_equal(record->extra, members[i]);
        mmgr_record_unref(record);
    }
    assert_ok(mmgr_store_close(store));
}

static void many_names(void **state)
{
    size_t size = 900000, used = 5;
    char *member = malloc(size);
    mmgr_store *store = open_store(store_file());
    mmgr_record *record = simple_record("a", "N", "sd-1", "p", ""), *changed = NULL;
    mmgr_record_builder *builder;

    /* Names are compared with each other; a square of their number would take minutes. */
    memcpy(member, "{\"x\":{", 6);
    for (used = 6; used < size - 32;)
        used += (size_t)snprintf(member + used, size - used, "\"%zx\":0,", used);
    memcpy(member + used - 1, "}}", 3);
    assert_ok(mmgr_record_builder_new(record, &builder));
    assert_ok(mmgr_record_builder_merge(builder, member));
    assert_ok(mmgr_record_builder_build(builder, &changed));
    assert_ok(mmgr_store_add(store, changed, NULL));
    mmgr_record_builder_free(builder);
    mmgr_record_unref(record);
    mmgr_record_unref(changed);
    assert_ok(mmgr_store_close(store));
    free(member);
}

/* Comments that fill the file up, so that there is no room for a record. */
static void too_large_to_save(void **state)
{
    static const struct mmgr__store_place place = {NULL, NULL};
    struct mmgr__yaml_file file = {.head = malloc(MMGR__YAML_BYTES_MAX)};
    struct mmgr__db *db;
    char *text = NULL;
    size_t length;

    memset(file.head, '#', MMGR__YAML_BYTES_MAX);
    file.head[MMGR__YAML_BYTES_MAX - 20] = '\0';
    assert_ok(mmgr__db_open_memory("big.yaml", &db));
    assert_error(mmgr__yaml_file_write(db, &place, "big.yaml", &file, &text, &length),
                 MMGR_ERR_TOO_LARGE, "do not fit", NULL, "big.yaml");
    assert_null(text);
    mmgr__db_close(db);
    free(file.head);
}

/* ---- the file itself */

static void rights_stay(void **state)
{
    static const mode_t modes[] = {0600, 0640, 0664, 0666};
    mode_t mask = umask(077);

    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        const char *path = store_file();
        struct stat st;
        mmgr_store *store;

        put_file(path, ONE, strlen(ONE));
        assert_int_equal(chmod(path, modes[i]), 0);
        store = open_store(path);
        add_z(store);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, modes[i]);
        assert_ok(mmgr_store_close(store));
        assert_int_equal(unlink(path), 0);
    }
    umask(mask);
}

static void a_link_stays(void **state)
{
    const char *path = store_file(), *inner = in_folder("inner"),
               *real = in_folder("inner/real.yaml");
    struct stat st;
    mmgr_store *store;
    char *text;

    assert_int_equal(mkdir(inner, 0777), 0);
    put_file(real, "# real\n" ONE, strlen("# real\n" ONE));
    assert_int_equal(symlink("real.yaml", in_folder("inner/link.yaml")), 0);
    assert_int_equal(symlink("inner/link.yaml", path), 0);
    store = open_store(path);
    add_z(store);
    assert_string_equal(found(store, NULL), "a z");
    assert_ok(mmgr_store_close(store));
    assert_true(lstat(path, &st) == 0 && S_ISLNK(st.st_mode));
    assert_true(lstat(real, &st) == 0 && S_ISREG(st.st_mode));
    text = take_file(real, NULL);
    assert_non_null(strstr(text, "# real\n" HEAD "  a:\n"));
    assert_non_null(strstr(text, "\n  z:\n"));
    free(text);
    assert_string_equal(names_in(folder), "inner store.yaml");
    assert_string_equal(names_in(inner), "link.yaml real.yaml");
    assert_int_equal(unlink(path), 0);
}

/* What a killed process, or somebody with bad intent, left in the place of the temporary file. */
static void leftovers_do_no_harm(void **state)
{
    const char *path = store_file(), *temporary = in_folder(".store.yaml.mmgr-tmp"),
               *victim = in_folder("victim");
    char *text;

    for (int kind = 0; kind < 3; kind++) {
        struct stat st;
        mmgr_store *store;

        put_file(path, ONE, strlen(ONE));
        assert_int_equal(chmod(path, 0600), 0);
        put_file(victim, "victim", 6);
        if (kind == 0)
            put_file(temporary, "half a fi", 9);
        else
            assert_int_equal(kind == 1 ? symlink(victim, temporary) : link(victim, temporary), 0);
        store = open_store(path);
        add_z(store);
        assert_ok(mmgr_store_close(store));
        text = take_file(victim, NULL);
        assert_string_equal(text, "victim");
        free(text);
        assert_true(lstat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 07777) == 0600);
        assert_string_equal(names_in(folder), "store.yaml victim");
        assert_int_equal(unlink(path), 0);
    }
}

/* An editor that saves while we do. */
struct editor {
    const char *path;
    int how; /* 0: in place, 1: by a rename, 2: by deleting it */
    int done;
};

static int edit_now(enum mmgr__io_op op, const char *name, void *user)
{
    struct editor *editor = user;
    const char *other;

    if (op != MMGR__IO_FSYNC || editor->done || strstr(name, ".mmgr-tmp") == NULL)
        return 0;
    editor->done = 1;
    other = in_folder("editor");
    if (editor->how == 2)
        return unlink(editor->path);
    put_file(editor->how == 0 ? editor->path : other, HEAD MODEL("edited", "pe"),
             strlen(HEAD MODEL("edited", "pe")));
    return editor->how == 0 ? 0 : rename(other, editor->path);
}

static void an_edit_during_our_save(void **state)
{
    static const char *const kept[] = {"edited", "edited", ""}, *const then[] = {"edited z",
                                                                                 "edited z", "z"};

    for (int how = 0; how < 3; how++) {
        struct editor editor = {store_file(), how, 0};
        uint64_t before, after;
        mmgr_store *store;
        mmgr_record *record = simple_record("z", "Z", "sd-1", "pz", "");

        put_file(editor.path, ONE, strlen(ONE));
        store = open_store(editor.path);
        assert_ok(mmgr_store_changes(store, &before));
        mmgr__io_set_hook(edit_now, &editor);
        assert_error(mmgr_store_add(store, record, NULL), MMGR_ERR_BUSY,
                     "was edited at the same moment", NULL, editor.path);
        mmgr__io_set_hook(NULL, NULL);
        assert_int_equal(editor.done, 1);
        assert_string_equal(names_in(folder), how == 2 ? "" : "store.yaml");
        assert_ok(mmgr_store_changes(store, &after));
        assert_int_equal(after, before + 1);
        assert_string_equal(found(store, NULL), kept[how]);
        assert_ok(mmgr_store_add(store, record, NULL));
        assert_string_equal(found(store, NULL), then[how]);
        assert_ok(mmgr_store_changes(store, &before));
        /* A file that is gone comes back as an empty one, which is a change too. */
        assert_int_equal(before, after + (how == 2));
        mmgr_record_unref(record);
        assert_ok(mmgr_store_close(store));
        assert_int_equal(unlink(editor.path), 0);
    }
}

/* A file may bear any time; one that no record can hold stands for the beginning of time. */
static void far_times(void **state)
{
    const struct timespec far[2] = {{INT64_C(9300000000), 0}, {INT64_C(9300000000), 0}};
    mmgr_record *record = NULL;
    mmgr_store *store;
    struct stat st;

    put_file(store_file(), ONE, strlen(ONE));
    assert_int_equal(utimensat(AT_FDCWD, store_file(), far, 0), 0);
    assert_int_equal(stat(store_file(), &st), 0);
    if (st.st_mtim.tv_sec != far[1].tv_sec)
        skip(); /* a file system that does not keep it */
    store = open_store(store_file());
    assert_ok(mmgr_store_get(store, "a", &record));
    assert_string_equal(mmgr_record_text(record, MMGR_FIELD_CREATED_AT), "1970-01-01T00:00:00.000Z");
    mmgr_record_unref(record);
    assert_ok(mmgr_store_close(store));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(hand_written),         TEST(arrangement_stays),
        TEST(unknown_members_stay), TEST(odd_members),
        TEST(many_names),           TEST(too_large_to_save),
        TEST(rights_stay),          TEST(a_link_stays),
        TEST(leftovers_do_no_harm), TEST(an_edit_during_our_save),
        TEST(far_times),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
