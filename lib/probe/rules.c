/* SPDX-License-Identifier: MIT */
/* Reads rule files. Every member must be known and well-formed; a fault names the file and the
 * line. */
#include "probe/rules.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fields.h"
#include "base/path.h"
#include "base/yaml.h"

#define USE_DEPTH 8

struct reader {
    struct mmgr__rules *rules;
    const char *name;
    const struct mmgr__yaml *define;
    int use_depth;
};

static enum mmgr_result fail_at(const struct reader *reader, const struct mmgr__yaml *node,
                                const char *why)
{
    char shown[MMGR__DISPLAY_ROOM] = "";

    if (node->kind == MMGR__YAML_SCALAR)
        mmgr__display(node->text, shown, sizeof(shown));
    mmgr__fail(MMGR_ERR_INVALID_FILE, "%s:%u: %s%s%s", reader->name, node->line, why,
               shown[0] ? ": " : "", shown);
    mmgr__error_set_subject(reader->name);
    return MMGR_ERR_INVALID_FILE;
}

static enum mmgr_result copy_text(const struct reader *reader, const struct mmgr__yaml *node,
                                  char **text)
{
    if (node->kind != MMGR__YAML_SCALAR || node->text[0] == '\0')
        return fail_at(reader, node, "a text is expected here");
    *text = mmgr__strdup(node->text);
    return *text == NULL ? mmgr__oom() : MMGR_OK;
}

static enum mmgr_result read_u64(const struct reader *reader, const struct mmgr__yaml *node,
                                 uint64_t *value)
{
    if (node->kind != MMGR__YAML_SCALAR || !mmgr__parse_u64(node->text, value))
        return fail_at(reader, node, "a whole number is expected here");
    return MMGR_OK;
}

static enum mmgr_result read_bool(const struct reader *reader, const struct mmgr__yaml *node,
                                  int *value)
{
    if (node->kind != MMGR__YAML_SCALAR ||
        (strcmp(node->text, "true") != 0 && strcmp(node->text, "false") != 0))
        return fail_at(reader, node, "true or false is expected here");
    *value = node->text[0] == 't';
    return MMGR_OK;
}

/* One scalar, or a list of scalars. */
static size_t item_count(const struct mmgr__yaml *node)
{
    return node->kind == MMGR__YAML_LIST ? node->count : 1;
}

static const struct mmgr__yaml *item_at(const struct mmgr__yaml *node, size_t index)
{
    return node->kind == MMGR__YAML_LIST ? node->items[index] : node;
}

static enum mmgr_result read_texts(const struct reader *reader, const struct mmgr__yaml *node,
                                   struct mmgr__strings *texts)
{
    for (size_t i = 0; i < item_count(node); i++) {
        const struct mmgr__yaml *item = item_at(node, i);
        if (item->kind != MMGR__YAML_SCALAR)
            return fail_at(reader, item, "a text is expected here");
        if (!mmgr__strings_add(texts, item->text))
            return mmgr__oom();
    }
    return texts->count == 0 ? fail_at(reader, node, "an empty list says nothing") : MMGR_OK;
}

static enum mmgr_result read_patterns(const struct reader *reader, const struct mmgr__yaml *node,
                                      struct mmgr__test *test)
{
    for (size_t i = 0; i < item_count(node); i++) {
        const struct mmgr__yaml *item = item_at(node, i);
        if (item->kind != MMGR__YAML_SCALAR)
            return fail_at(reader, item, "a pattern is expected here");
        const char *why = mmgr__patterns_add(&reader->rules->patterns, item->text, &test->patterns,
                                             &test->pattern_count);
        if (why != NULL)
            return fail_at(reader, item, why);
    }
    if (test->pattern_count == 0)
        return fail_at(reader, node, "an empty list says nothing");
    test->shown = mmgr__strdup(item_at(node, 0)->text);
    return test->shown == NULL ? mmgr__oom() : MMGR_OK;
}

static enum mmgr_result read_shape(const struct reader *reader, const struct mmgr__yaml *node,
                                   struct mmgr__test *test)
{
    if (node->kind != MMGR__YAML_MAP || node->count == 0)
        return fail_at(reader, node, "shape is a map from dimension to size");
    test->dims = mmgr__alloc0(node->count, sizeof(test->dims[0]));
    if (test->dims == NULL)
        return mmgr__oom();
    for (size_t i = 0; i < node->count; i++) {
        struct mmgr__dim *dim = &test->dims[test->dim_count++];
        const struct mmgr__yaml *key = node->keys[i], *value = node->items[i];
        uint64_t number;
        int negative = key->text[0] == '-';
        if (!mmgr__parse_u64(key->text + negative, &number) || number > 31)
            return fail_at(reader, key, "a dimension is a number of -31 to 31");
        dim->index = negative ? -(int32_t)number : (int32_t)number;
        dim->values = mmgr__alloc0(item_count(value) + 1, sizeof(uint64_t));
        if (dim->values == NULL)
            return mmgr__oom();
        for (; dim->count < item_count(value); dim->count++) {
            enum mmgr_result result =
                read_u64(reader, item_at(value, dim->count), &dim->values[dim->count]);
            if (result != MMGR_OK)
                return result;
        }
    }
    return MMGR_OK;
}

static enum mmgr_result read_file_name(const struct reader *reader, const struct mmgr__yaml *node,
                                       char **file)
{
    enum mmgr_result result = copy_text(reader, node, file);

    if (result == MMGR_OK && mmgr__path_check_relative(*file) != MMGR_OK)
        return fail_at(reader, node, "not a path inside the model's folder");
    return result;
}

static enum mmgr_result read_tests(struct reader *reader, const struct mmgr__yaml *node,
                                   struct mmgr__tests *tests);

static enum mmgr_result read_group(struct reader *reader, const struct mmgr__yaml *node,
                                   struct mmgr__test *test)
{
    struct mmgr__tests tests = {0};
    enum mmgr_result result = read_tests(reader, node, &tests);

    test->tests = tests.items;
    test->test_count = tests.count;
    return result;
}

static enum mmgr_result read_use(struct reader *reader, const struct mmgr__yaml *node,
                                 struct mmgr__test *test)
{
    const struct mmgr__yaml *body =
        node->kind == MMGR__YAML_SCALAR ? mmgr__yaml_get(reader->define, node->text) : NULL;

    if (body == NULL)
        return fail_at(reader, node, "nothing of that name stands under define");
    if (reader->use_depth == USE_DEPTH)
        return fail_at(reader, node, "definitions use each other without end");
    reader->use_depth++;
    enum mmgr_result result = read_group(reader, body, test);
    reader->use_depth--;
    return result;
}

/* The member that says what kind of test it is. */
static enum mmgr_result read_head(struct reader *reader, const struct mmgr__yaml *key,
                                  const struct mmgr__yaml *value, struct mmgr__test *test)
{
    static const struct {
        const char *name;
        enum mmgr__test_kind kind;
        int points;
    } kinds[] = {{"key", MMGR__TEST_KEY, 4},
                 {"all_keys", MMGR__TEST_ALL_KEYS, 6},
                 {"tensors", MMGR__TEST_TENSORS, 1},
                 {"config", MMGR__TEST_CONFIG, 8},
                 {"metadata", MMGR__TEST_METADATA, 3},
                 {"file", MMGR__TEST_FILE, 3},
                 {"name", MMGR__TEST_NAME, 1},
                 {"kron", MMGR__TEST_KRON, 8},
                 {"any", MMGR__TEST_ANY, 0},
                 {"all", MMGR__TEST_ALL, 0},
                 {"use", MMGR__TEST_ALL, 0}};

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(key->text, kinds[i].name) != 0)
            continue;
        test->kind = kinds[i].kind;
        test->points = kinds[i].points;
        switch (test->kind) {
        case MMGR__TEST_KEY:
        case MMGR__TEST_ALL_KEYS:
        case MMGR__TEST_KRON:
            return read_patterns(reader, value, test);
        case MMGR__TEST_CONFIG:
        case MMGR__TEST_FILE:
            return read_file_name(reader, value, &test->file);
        case MMGR__TEST_METADATA:
            return copy_text(reader, value, &test->field);
        case MMGR__TEST_NAME:
            return read_texts(reader, value, &test->values);
        case MMGR__TEST_TENSORS:
            return copy_text(reader, value, &test->shown);
        default:
            return kinds[i].name[0] == 'u' ? read_use(reader, value, test)
                                           : read_group(reader, value, test);
        }
    }
    return fail_at(reader, key, "no such test");
}

/* The other members of a test. */
static enum mmgr_result read_option(struct reader *reader, const struct mmgr__yaml *key,
                                    const struct mmgr__yaml *value, struct mmgr__test *test)
{
    const char *name = key->text;
    int keys = test->kind == MMGR__TEST_KEY;
    uint64_t number;
    enum mmgr_result result;

    if (strcmp(name, "points") == 0) {
        result = read_u64(reader, value, &number);
        if (result == MMGR_OK && number > 1000)
            return fail_at(reader, value, "points are at most 1000");
        test->points = result == MMGR_OK ? (int)number : 0;
        return result;
    }
    if (keys && strcmp(name, "shape") == 0) {
        test->points = 8;
        return read_shape(reader, value, test);
    }
    if (keys && strcmp(name, "rank") == 0) {
        result = read_u64(reader, value, &number);
        test->rank = result == MMGR_OK ? (uint32_t)number + 1 : 0;
        return result;
    }
    if (keys && strcmp(name, "every") == 0)
        return read_bool(reader, value, &test->every);
    if ((keys || test->kind == MMGR__TEST_TENSORS) && strcmp(name, "min") == 0)
        return read_u64(reader, value, &test->min);
    if ((keys || test->kind == MMGR__TEST_TENSORS) && strcmp(name, "max") == 0)
        return read_u64(reader, value, &test->max);
    if (test->kind == MMGR__TEST_CONFIG && strcmp(name, "field") == 0)
        return copy_text(reader, value, &test->field);
    if (test->kind == MMGR__TEST_CONFIG && strcmp(name, "default") == 0)
        return copy_text(reader, value, &test->fallback);
    if (test->kind == MMGR__TEST_CONFIG && strcmp(name, "missing") == 0)
        return read_bool(reader, value, &test->missing);
    if ((test->kind == MMGR__TEST_CONFIG || test->kind == MMGR__TEST_METADATA) &&
        strcmp(name, "is") == 0)
        return read_texts(reader, value, &test->values);
    if (test->kind == MMGR__TEST_METADATA && strcmp(name, "has") == 0)
        return read_texts(reader, value, &test->parts);
    if (test->kind == MMGR__TEST_KRON && strcmp(name, "is") == 0)
        return read_u64(reader, value, &test->product);
    return fail_at(reader, key, "this kind of test has no such member");
}

static enum mmgr_result read_test(struct reader *reader, const struct mmgr__yaml *node,
                                  struct mmgr__test *test)
{
    if (node->kind != MMGR__YAML_MAP || node->count == 0)
        return fail_at(reader, node, "a test is a map");
    test->min = 1;
    test->max = UINT64_MAX;
    enum mmgr_result result = read_head(reader, node->keys[0], node->items[0], test);
    for (size_t i = 1; result == MMGR_OK && i < node->count; i++)
        result = read_option(reader, node->keys[i], node->items[i], test);
    return result;
}

static enum mmgr_result read_tests(struct reader *reader, const struct mmgr__yaml *node,
                                   struct mmgr__tests *tests)
{
    if (node->kind != MMGR__YAML_LIST || node->count == 0)
        return fail_at(reader, node, "a list of tests is expected here");
    tests->items = mmgr__alloc0(node->count, sizeof(tests->items[0]));
    if (tests->items == NULL)
        return mmgr__oom();
    for (size_t i = 0; i < node->count; i++) {
        enum mmgr_result result = read_test(reader, node->items[i], &tests->items[tests->count++]);
        if (result != MMGR_OK)
            return result;
    }
    return MMGR_OK;
}

/* --- the fields that a rule sets
 * --------------------------------------------------------------------- */

static enum mmgr_result read_choice(struct reader *reader, const struct mmgr__yaml *node,
                                    struct mmgr__choice *choice)
{
    enum mmgr_result result = MMGR_OK;

    if (node->kind == MMGR__YAML_SCALAR)
        return copy_text(reader, node, &choice->value);
    if (node->kind != MMGR__YAML_MAP)
        return fail_at(reader, node, "a value, or a map with value and if");
    for (size_t i = 0; result == MMGR_OK && i < node->count; i++) {
        const struct mmgr__yaml *key = node->keys[i], *value = node->items[i];
        if (strcmp(key->text, "value") == 0)
            result = copy_text(reader, value, &choice->value);
        else if (strcmp(key->text, "config") == 0 || strcmp(key->text, "line_of") == 0)
            result = read_file_name(reader, value, &choice->file);
        else if (strcmp(key->text, "field") == 0)
            result = copy_text(reader, value, &choice->field);
        else if (strcmp(key->text, "if") == 0)
            result = read_tests(reader, value, &choice->tests);
        else
            result = fail_at(reader, key, "no such member of a value");
    }
    if (result == MMGR_OK && (choice->value == NULL) == (choice->file == NULL))
        return fail_at(reader, node, "either value or a file to read it from");
    return result;
}

static enum mmgr_result check_term(const struct reader *reader, const struct mmgr__yaml *node,
                                   enum mmgr_field field, const char *value)
{
    const struct mmgr__field *row = mmgr__field_by_id(field);

    /* Hosts may name types and families of their own, but a variant that only differs in case is a
     * slip. */
    for (const char *c = value; row != NULL && row->taxonomy != 0 && *c != '\0'; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '-' || *c == '_'))
            return fail_at(reader, node,
                           "only lower-case letters, digits, - and _ are allowed here");
    return MMGR_OK;
}

static enum mmgr_result read_settings(struct reader *reader, const struct mmgr__yaml *node,
                                      struct mmgr__rule *rule)
{
    if (node->kind != MMGR__YAML_MAP)
        return fail_at(reader, node, "set is a map from field to value");
    rule->settings = mmgr__alloc0(node->count + 1, sizeof(rule->settings[0]));
    if (rule->settings == NULL)
        return mmgr__oom();
    for (size_t i = 0; i < node->count; i++) {
        const struct mmgr__yaml *value = node->items[i];
        const struct mmgr__field *row = mmgr__field_by_name(node->keys[i]->text);
        struct mmgr__setting *setting = &rule->settings[rule->setting_count++];
        if (row == NULL)
            return fail_at(reader, node->keys[i], "records have no such field");
        setting->field = row->id;
        setting->choices = mmgr__alloc0(item_count(value) + 1, sizeof(setting->choices[0]));
        if (setting->choices == NULL)
            return mmgr__oom();
        for (size_t c = 0; c < item_count(value); c++) {
            struct mmgr__choice *choice = &setting->choices[setting->count++];
            enum mmgr_result result = read_choice(reader, item_at(value, c), choice);
            if (result == MMGR_OK && choice->value != NULL)
                result = check_term(reader, item_at(value, c), row->id, choice->value);
            if (result != MMGR_OK)
                return result;
        }
    }
    return MMGR_OK;
}

static enum mmgr_result read_on(const struct reader *reader, const struct mmgr__yaml *node,
                                enum mmgr__subject_kind *on)
{
    static const char *const names[] = {"any", "file", "folder"};

    for (int i = 0; node->kind == MMGR__YAML_SCALAR && i < 3; i++) {
        if (strcmp(node->text, names[i]) == 0) {
            *on = (enum mmgr__subject_kind)i;
            return MMGR_OK;
        }
    }
    return fail_at(reader, node, "on is file, folder or any");
}

static enum mmgr_result read_member(struct reader *reader, const struct mmgr__yaml *key,
                                    const struct mmgr__yaml *value, struct mmgr__rule *rule)
{
    struct {
        const char *name;
        char **text;
        enum mmgr_field field;
    } texts[] = {{"name", &rule->name, MMGR_FIELD_NAME},
                 {"type", &rule->type, MMGR_FIELD_TYPE},
                 {"base", &rule->base, MMGR_FIELD_BASE},
                 {"format", &rule->format, MMGR_FIELD_FORMAT}};

    for (size_t i = 0; i < 4; i++) {
        if (strcmp(key->text, texts[i].name) == 0) {
            enum mmgr_result result = copy_text(reader, value, texts[i].text);
            return result == MMGR_OK ? check_term(reader, value, texts[i].field, *texts[i].text)
                                     : result;
        }
    }
    if (strcmp(key->text, "on") == 0)
        return read_on(reader, value, &rule->on);
    if (strcmp(key->text, "all") == 0)
        return read_tests(reader, value, &rule->all);
    if (strcmp(key->text, "some") == 0)
        return read_tests(reader, value, &rule->some);
    if (strcmp(key->text, "not") == 0)
        return read_tests(reader, value, &rule->none);
    if (strcmp(key->text, "set") == 0)
        return read_settings(reader, value, rule);
    return fail_at(reader, key, "rules have no such member");
}

static enum mmgr_result read_rule(struct reader *reader, const struct mmgr__yaml *node)
{
    struct mmgr__rules *rules = reader->rules;
    void *array = rules->items;
    enum mmgr_result result = MMGR_OK;

    if (node->kind != MMGR__YAML_MAP)
        return fail_at(reader, node, "a rule is a map");
    if (!mmgr__grow(&array, &rules->capacity, rules->count + 1, sizeof(rules->items[0])))
        return mmgr__oom();
    rules->items = array;
    struct mmgr__rule *rule = &rules->items[rules->count++];
    *rule = (struct mmgr__rule){0};
    for (size_t i = 0; result == MMGR_OK && i < node->count; i++)
        result = read_member(reader, node->keys[i], node->items[i], rule);
    if (result != MMGR_OK)
        return result;
    if (rule->name == NULL || rule->type == NULL || rule->base == NULL || rule->format == NULL)
        return fail_at(reader, node, "a rule needs name, type, base and format");
    if (rule->all.count == 0)
        return fail_at(reader, node, "a rule needs tests under all");
    for (size_t i = 0; i + 1 < rules->count; i++)
        if (strcmp(rules->items[i].name, rule->name) == 0)
            return fail_at(reader, node, "there is a rule of this name already");
    return MMGR_OK;
}

static enum mmgr_result read_document(struct reader *reader, const struct mmgr__yaml *root)
{
    const struct mmgr__yaml *version = mmgr__yaml_get(root, "version"),
                            *list = mmgr__yaml_get(root, "rules");

    if (root->kind != MMGR__YAML_MAP || version == NULL || version->kind != MMGR__YAML_SCALAR ||
        strcmp(version->text, "1") != 0)
        return fail_at(reader, version != NULL ? version : root,
                       "a rule file begins with version: 1");
    for (size_t i = 0; i < root->count; i++)
        if (strcmp(root->keys[i]->text, "version") != 0 &&
            strcmp(root->keys[i]->text, "define") != 0 && strcmp(root->keys[i]->text, "rules") != 0)
            return fail_at(reader, root->keys[i], "rule files have no such member");
    if (list == NULL || list->kind != MMGR__YAML_LIST)
        return fail_at(reader, root, "rules is a list");
    reader->define = mmgr__yaml_get(root, "define");
    for (size_t i = 0; i < list->count; i++) {
        enum mmgr_result result = read_rule(reader, list->items[i]);
        if (result != MMGR_OK)
            return result;
    }
    return MMGR_OK;
}

/* --- freeing
 * ----------------------------------------------------------------------------------------- */

static void free_tests(struct mmgr__test *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct mmgr__test *test = &items[i];
        for (size_t d = 0; d < test->dim_count; d++)
            mmgr__free(test->dims[d].values);
        free_tests(test->tests, test->test_count);
        mmgr__free(test->dims);
        mmgr__free(test->shown);
        mmgr__free(test->patterns);
        mmgr__free(test->file);
        mmgr__free(test->field);
        mmgr__free(test->fallback);
        mmgr__strings_free(&test->values);
        mmgr__strings_free(&test->parts);
    }
    mmgr__free(items);
}

static void free_rule(struct mmgr__rule *rule)
{
    for (size_t s = 0; s < rule->setting_count; s++) {
        struct mmgr__setting *setting = &rule->settings[s];
        for (size_t c = 0; c < setting->count; c++) {
            mmgr__free(setting->choices[c].value);
            mmgr__free(setting->choices[c].file);
            mmgr__free(setting->choices[c].field);
            free_tests(setting->choices[c].tests.items, setting->choices[c].tests.count);
        }
        mmgr__free(setting->choices);
    }
    mmgr__free(rule->settings);
    free_tests(rule->all.items, rule->all.count);
    free_tests(rule->some.items, rule->some.count);
    free_tests(rule->none.items, rule->none.count);
    mmgr__free(rule->name);
    mmgr__free(rule->type);
    mmgr__free(rule->base);
    mmgr__free(rule->format);
}

enum mmgr_result mmgr__rules_parse(struct mmgr__rules *rules, const char *name, const char *text,
                                   size_t length)
{
    struct reader reader = {.rules = rules, .name = name};
    struct mmgr__yaml *root;
    size_t before = rules->count;
    enum mmgr_result result = mmgr__yaml_parse(text, length, MMGR_ERR_INVALID_FILE, name, &root);

    if (result != MMGR_OK)
        return result;
    result = read_document(&reader, root);
    mmgr__yaml_free(root);
    /* All or nothing: the rules of a broken file are taken back. */
    while (result != MMGR_OK && rules->count > before)
        free_rule(&rules->items[--rules->count]);
    return result;
}

void mmgr__rules_free(struct mmgr__rules *rules)
{
    for (size_t i = 0; i < rules->count; i++)
        free_rule(&rules->items[i]);
    mmgr__free(rules->items);
    mmgr__patterns_free(&rules->patterns);
    *rules = (struct mmgr__rules){0};
}
