/* SPDX-License-Identifier: MIT */
/* Rule files: faults with file and line, rules of users and hosts, patterns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "files.h"
#include "probe/prober.h"

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

#define HEAD "version: 1\nrules:\n"
#define RULE "  - name: r\n    type: lora\n    base: sd-1\n    format: lycoris\n"

/* Faulty texts and the line that must be named. */
static const struct {
    const char *text;
    int line;
} faults[] = {
    {"", 1},
    {"rules: []\n", 1},
    {"version: 2\nrules: []\n", 1},
    {"version: 1\n", 1},
    {"version: 1\nrules: {}\n", 1},
    {"version: 1\nrules: []\ncolour: red\n", 3},
    {HEAD "  - 5\n", 3},
    {HEAD RULE, 3},
    {HEAD "  - name: r\n    type: lora\n    base: sd-1\n    all: [{key: a}]\n", 3},
    {HEAD RULE "    all: [{key: a}]\n    colour: red\n", 8},
    {HEAD RULE "    all: {key: a}\n", 7},
    {HEAD RULE "    all: []\n", 7},
    {HEAD RULE "    all:\n      - {kye: a}\n", 8},
    {HEAD RULE "    all:\n      - {key: a, colour: red}\n", 8},
    {HEAD RULE "    all:\n      - {key: \"(a\"}\n", 8},
    {HEAD RULE "    all:\n      - {key: \"a)\"}\n", 8},
    {HEAD RULE "    all:\n      - {key: \"((a))\"}\n", 8},
    {HEAD RULE "    all:\n      - {key: \"\"}\n", 8},
    {HEAD RULE "    all:\n      - {key: []}\n", 8},
    {HEAD RULE "    all:\n      - {key: \"(a|b|c|d)(a|b|c|d)(a|b|c|d)(a|b|c|d)(a|b|c|d)\"}\n", 8},
    {HEAD RULE "    all:\n      - key: a\n        shape: {x: 1}\n", 9},
    {HEAD RULE "    all:\n      - key: a\n        shape: {0: wide}\n", 9},
    {HEAD RULE "    all:\n      - key: a\n        shape: {0: -1}\n", 9},
    {HEAD RULE "    all:\n      - key: a\n        shape: 5\n", 9},
    {HEAD RULE "    all:\n      - {key: a, points: 5000}\n", 8},
    {HEAD RULE "    all:\n      - {key: a, every: perhaps}\n", 8},
    {HEAD RULE "    all:\n      - {config: ../config.json}\n", 8},
    {HEAD RULE "    all:\n      - {config: /etc/passwd}\n", 8},
    {HEAD RULE "    all:\n      - {config: c.json, has: x}\n", 8},
    {HEAD RULE "    all:\n      - {use: nothing}\n", 8},
    {HEAD RULE "    all:\n      - {key: a}\n    on: paper\n", 9},
    {HEAD RULE "    all:\n      - {key: a}\n    set: {colour: red}\n", 9},
    {HEAD RULE "    all:\n      - {key: a}\n    set:\n      variant: {if: [{key: b}]}\n", 10},
    {HEAD RULE "    all:\n      - {key: a}\n    set: {variant: Normal Size}\n", 9},
    {HEAD "  - {name: r, type: LoRA, base: sd-1, format: lycoris, all: [{key: a}]}\n", 3},
    {HEAD "  - {name: r, type: lora, base: sd-1, format: x, all: [{key: a}]}\n"
          "  - {name: r, type: lora, base: sd-1, format: x, all: [{key: a}]}\n",
     4},
    {HEAD "  - {name: r\n", 4},
    {"version: 1\ndefine:\n  a: [{use: b}]\n  b: [{use: a}]\nrules:\n" RULE
     "    all:\n      - {use: a}\n",
     4},
};

static void faults_name_file_and_line(void **state)
{
    uint64_t live = mmgr__alloc_live();
    int wrong = 0;

    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        struct mmgr__rules rules = {0};
        char place[64];
        enum mmgr_result code =
            mmgr__rules_parse(&rules, "mine.yaml", faults[i].text, strlen(faults[i].text));
        snprintf(place, sizeof(place), "mine.yaml:%d:", faults[i].line);
        if (code != MMGR_ERR_INVALID_FILE ||
            strstr(mmgr_error_message(mmgr_last_error()), place) == NULL) {
            print_error("%s\nwanted %s, got %s\n", faults[i].text, place,
                        code == MMGR_OK ? "ok" : mmgr_error_message(mmgr_last_error()));
            wrong++;
        }
        mmgr__rules_free(&rules);
        assert_int_equal(mmgr__alloc_live(), live);
    }
    assert_int_equal(wrong, 0);
}

static const char house_rules[] =
    "version: 1\nrules:\n  - name: house\n    type: house_thing\n    base: house-1\n"
    "    format: checkpoint\n    on: file\n    all:\n"
    "      - {key: \"house.#.weight\", shape: {0: 7}}\n"
    "    set: {description: of the house}\n";

static void expect_house(mmgr_prober *prober)
{
    mmgr_probe_result *result = NULL;

    put_safetensors(at(folder, "h.safetensors"),
                    "{\"house.12.weight\":{\"dtype\":\"U8\",\"shape\":[7],\"data_offsets\":[0,7]}}",
                    7);
    assert_int_equal(mmgr_probe_path(prober, at(folder, "h.safetensors"), NULL, &result), MMGR_OK);
    assert_string_equal(mmgr_probe_result_text(result, MMGR_FIELD_TYPE), "house_thing");
    assert_string_equal(mmgr_probe_result_text(result, MMGR_FIELD_BASE), "house-1");
    assert_string_equal(mmgr_probe_result_text(result, MMGR_FIELD_DESCRIPTION), "of the house");
    assert_string_equal(mmgr_probe_result_rule(result), "house");
    mmgr_probe_result_unref(result);
}

static void rules_of_the_host(void **state)
{
    mmgr_prober *prober;
    mmgr_probe_result *result = NULL;
    char broken[512];

    snprintf(broken, sizeof(broken), "%s  - broken\n", house_rules);
    assert_int_equal(mmgr_prober_new(NULL, &prober), MMGR_OK);
    put_safetensors(at(folder, "h.safetensors"),
                    "{\"house.12.weight\":{\"dtype\":\"U8\",\"shape\":[7],\"data_offsets\":[0,7]}}",
                    7);
    assert_int_equal(mmgr_prober_add_rules(prober, "house.yaml", broken),
                     MMGR_ERR_INVALID_FILE);
    assert_non_null(strstr(mmgr_error_message(mmgr_last_error()), "house.yaml:11"));
    assert_int_equal(mmgr_prober_add_rules(prober, "house.yaml", house_rules), MMGR_OK);
    expect_house(prober);
    assert_int_equal(mmgr_prober_add_rules(prober, "late.yaml", house_rules), MMGR_ERR_STATE);
    assert_int_equal(mmgr_prober_add_rules(prober, NULL, house_rules), MMGR_ERR_ARGUMENT);
    mmgr_prober *same = mmgr_prober_ref(prober);
    mmgr_prober_unref(prober);
    mmgr_prober_unref(same);
    /* Without them the file is unidentified. */
    assert_int_equal(mmgr_prober_new(NULL, &prober), MMGR_OK);
    assert_int_equal(mmgr_probe_path(prober, at(folder, "h.safetensors"), NULL, &result),
                     MMGR_ERR_UNIDENTIFIED);
    mmgr_prober_unref(prober);
}

static void rules_of_the_user(void **state)
{
    struct mmgr_prober_options options = {sizeof(options), 0, NULL};
    mmgr_prober *prober = NULL;

    make_dir(at(folder, "rules"));
    options.rules_folder = at(folder, "rules");
    put_text(at(folder, "rules/house.yaml"), house_rules);
    put_text(at(folder, "rules/notes.txt"), "not a rule file");
    assert_int_equal(mmgr_prober_new(&options, &prober), MMGR_OK);
    expect_house(prober);
    mmgr_prober_unref(prober);
    prober = NULL;
    put_text(at(folder, "rules/broken.yaml"), "version: 1\nrules:\n  - {name: x, tpye: y}\n");
    assert_int_equal(mmgr_prober_new(&options, &prober), MMGR_ERR_INVALID_FILE);
    assert_non_null(strstr(mmgr_error_message(mmgr_last_error()), "broken.yaml:3:"));
    assert_null(prober);
    options.rules_folder = "/nowhere/at/all";
    assert_int_equal(mmgr_prober_new(&options, &prober), MMGR_ERR_PATH_NOT_FOUND);
    options.flags = 1;
    assert_int_equal(mmgr_prober_new(&options, &prober), MMGR_ERR_ARGUMENT);
}

static void patterns(void **state)
{
    assert_int_equal(mmgr__pattern_matches("a.b", "a.b"), 1);
    assert_int_equal(mmgr__pattern_matches("a.b", "a.bc"), 0);
    assert_int_equal(mmgr__pattern_matches("a.b", "a."), 0);
    assert_int_equal(mmgr__pattern_matches("a#b", "a12b"), 1);
    assert_int_equal(mmgr__pattern_matches("a#b", "ab"), 0);
    assert_int_equal(mmgr__pattern_matches("a*b", "ab"), 1);
    assert_int_equal(mmgr__pattern_matches("a*b", "axbxb"), 1);
    assert_int_equal(mmgr__pattern_matches("a*b", "axbx"), 0);
    assert_int_equal(mmgr__pattern_matches("*.weight", "x.weight"), 1);
    assert_int_equal(mmgr__pattern_matches("*", ""), 1);
    assert_int_equal(mmgr__pattern_matches("", "x"), 0);
    assert_int_equal(mmgr__pattern_matches("*a*b*c", "xxaxxbxxc"), 1);
    assert_int_equal(mmgr__pattern_matches("x_#_y*", "x_10_yes"), 1);

    struct mmgr__patterns set = {0};
    uint32_t *ids = NULL;
    size_t count = 0;
    assert_null(mmgr__patterns_add(&set, "(a|b|)x(1|2)", &ids, &count));
    assert_int_equal(count, 6);
    assert_int_equal(set.count, 6);
    assert_string_equal(set.items[ids[5]].text, "x2");
    assert_null(mmgr__patterns_add(&set, "ax1", &ids, &count));
    assert_int_equal(count, 7);
    assert_int_equal(set.count, 6);
    mmgr__free(ids);
    mmgr__patterns_free(&set);
}

static void random_text(uint64_t *seed, const char *alphabet, size_t longest, char *out)
{
    size_t length = 1 + (*seed >> 33) % longest;

    for (size_t i = 0; i < length; i++) {
        *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
        out[i] = alphabet[(*seed >> 33) % strlen(alphabet)];
    }
    out[length] = '\0';
}

/* The matcher of all patterns finds what each pattern alone would. */
static void one_pass_finds_all(void **state)
{
    struct mmgr__patterns set = {0};
    struct mmgr__hits hits = {0};
    mmgr_checkpoint *checkpoint;
    char json[65536] = "{\"\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}", text[16];
    uint32_t *ids = NULL;
    size_t count = 0, length = strlen(json), found = 0;
    uint64_t seed = 42;

    for (int i = 0; i < 400; i++) {
        random_text(&seed, "ab*#", 7, text);
        assert_null(mmgr__patterns_add(&set, text, &ids, &count));
    }
    for (int i = 0; i < 400; i++) {
        random_text(&seed, "ab1", 8, text);
        length += (size_t)snprintf(
            json + length, sizeof(json) - length,
            ",\"%s%d\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}", text, i);
    }
    for (int i = 0; i < 60; i++) /* short ones without a number, those that are new */
        if (snprintf(text, sizeof(text), "%s%s", i & 1 ? "a" : "b", &"aabbabab"[i % 8]) > 0 &&
            strstr(json, text) == NULL)
            length += (size_t)snprintf(
                json + length, sizeof(json) - length,
                ",\"%s\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}", text);
    snprintf(json + length, sizeof(json) - length, "}");
    put_safetensors(at(folder, "names.safetensors"), json, 0);
    assert_int_equal(mmgr_checkpoint_open(at(folder, "names.safetensors"), NULL, &checkpoint),
                     MMGR_OK);
    assert_int_equal(mmgr__hits_collect(&set, checkpoint, &hits), MMGR_OK);
    for (size_t p = 0; p < set.count; p++) {
        uint32_t next = hits.first[p];
        for (uint64_t t = 0; t < mmgr_checkpoint_tensor_count(checkpoint); t++) {
            const char *name = mmgr_checkpoint_tensor_name(checkpoint, t);
            int hit = next != 0 && hits.items[next - 1].tensor == t;
            if (hit != mmgr__pattern_matches(set.items[p].text, name))
                fail_msg("%s and \"%s\": %d", set.items[p].text, name, hit);
            next = hit ? hits.items[next - 1].next : next;
            found += (size_t)hit;
        }
        assert_int_equal(next, 0);
    }
    assert_true(found > 1000);
    mmgr_checkpoint_unref(checkpoint);
    mmgr__hits_free(&hits);
    mmgr__patterns_free(&set);
    mmgr__free(ids);
}

static void allocation_failures(void **state)
{
    uint64_t live = mmgr__alloc_live();
    int refusals = 0, done = 0;

    for (uint64_t number = 1; !done; number += 1 + number / 20) {
        mmgr_prober *prober = NULL;
        mmgr__alloc_fail_at(number, 1);
        enum mmgr_result code = mmgr_prober_new(NULL, &prober);
        mmgr__alloc_fail_at(0, 0);
        if (code == MMGR_OK) {
            mmgr_prober_unref(prober);
            done = 1;
        } else {
            assert_null(prober);
            refusals++;
        }
        assert_int_equal(mmgr__alloc_live(), live);
    }
    assert_true(refusals > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(faults_name_file_and_line),
        cmocka_unit_test_setup_teardown(rules_of_the_host, setup, teardown),
        cmocka_unit_test_setup_teardown(rules_of_the_user, setup, teardown),
        cmocka_unit_test(patterns),
        cmocka_unit_test_setup_teardown(one_pass_finds_all, setup, teardown),
        cmocka_unit_test(allocation_failures),
    };

    return cmocka_run_group_tests_name("rules", tests, NULL, NULL);
}
