/* SPDX-License-Identifier: MIT */
/* YAML: libyaml's events into a small tree, with everything refused that could surprise a reader
 * of the file: anchors, aliases, tags, doubled keys, several documents. */
#include "base/yaml.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"

#define TEXT_MAX  ((size_t)64 << 20)
#define DEPTH_MAX 64

/* A list or map that is being read. */
struct open_node {
    struct mmgr__yaml *node;
    struct mmgr__yaml *key; /* of a map: key whose value comes next */
    size_t item_capacity, key_capacity;
};

struct reader {
    yaml_parser_t parser;
    const char *text;
    size_t length;
    enum mmgr_result code;
    const char *name;
    struct mmgr__yaml *root;
    struct open_node open[DEPTH_MAX];
    int depth;
};

void mmgr__yaml_free(struct mmgr__yaml *node)
{
    if (node == NULL)
        return;
    for (size_t i = 0; i < node->count; i++) {
        mmgr__yaml_free(node->items[i]);
        if (node->keys != NULL)
            mmgr__yaml_free(node->keys[i]);
    }
    mmgr__free(node->items);
    mmgr__free(node->keys);
    mmgr__free(node->text);
    mmgr__free(node);
}

const struct mmgr__yaml *mmgr__yaml_get(const struct mmgr__yaml *map, const char *key)
{
    if (map == NULL || map->kind != MMGR__YAML_MAP)
        return NULL;
    for (size_t i = 0; i < map->count; i++) {
        if (strcmp(map->keys[i]->text, key) == 0)
            return map->items[i];
    }
    return NULL;
}

static enum mmgr_result fail_at(const struct reader *reader, size_t line, size_t column,
                                const char *why)
{
    mmgr__fail(reader->code, "%s:%zu:%zu: %s", reader->name, line, column, why);
    mmgr__error_set_subject(reader->name);
    return reader->code;
}

static enum mmgr_result fail_event(const struct reader *reader, const yaml_event_t *event,
                                   const char *why)
{
    return fail_at(reader, event->start_mark.line + 1, event->start_mark.column + 1, why);
}

/* A byte that is no text: the parser has an offset only. */
static enum mmgr_result fail_byte(const struct reader *reader, size_t offset, const char *why)
{
    size_t line = 1, column = 1;

    for (size_t i = 0; i < offset && i + 1 < reader->length; i++) {
        if (reader->text[i] == '\n' || (reader->text[i] == '\r' && reader->text[i + 1] != '\n')) {
            line++;
            column = 1;
        } else if (((unsigned char)reader->text[i] & 0xc0) != 0x80) {
            column++;
        }
    }
    fail_at(reader, line, column, why);
    mmgr__error_set_offset(offset);
    return reader->code;
}

static enum mmgr_result fail_parser(const struct reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    const char *problem = parser->problem != NULL ? parser->problem : "not valid YAML";

    if (parser->error == YAML_MEMORY_ERROR)
        return mmgr__oom();
    if (parser->error == YAML_READER_ERROR)
        return fail_byte(reader, parser->problem_offset, problem);
    return fail_at(reader, parser->problem_mark.line + 1, parser->problem_mark.column + 1, problem);
}

static struct mmgr__yaml *new_node(enum mmgr__yaml_kind kind, const yaml_event_t *event)
{
    struct mmgr__yaml *node = mmgr__alloc0(1, sizeof *node);

    if (node == NULL)
        return NULL;
    node->kind = kind;
    node->line = (uint32_t)event->start_mark.line + 1;
    node->column = (uint32_t)event->start_mark.column + 1;
    return node;
}

/* Put a complete or just opened node where it belongs; takes it over also on failure. */
static enum mmgr_result attach(struct reader *reader, const yaml_event_t *event,
                               struct mmgr__yaml *node)
{
    struct open_node *open = reader->depth > 0 ? &reader->open[reader->depth - 1] : NULL;
    struct mmgr__yaml *parent = open != NULL ? open->node : NULL;

    if (node == NULL)
        return mmgr__oom();
    if (open == NULL) {
        reader->root = node;
        return MMGR_OK;
    }
    if (parent->kind == MMGR__YAML_MAP && open->key == NULL) {
        if (node->kind != MMGR__YAML_SCALAR) {
            mmgr__yaml_free(node);
            return fail_event(reader, event, "a key must be plain text");
        }
        open->key = node;
        return MMGR_OK;
    }
    if (!mmgr__grow((void **)&parent->items, &open->item_capacity, parent->count + 1,
                    sizeof *parent->items) ||
        (parent->kind == MMGR__YAML_MAP && !mmgr__grow((void **)&parent->keys, &open->key_capacity,
                                                       parent->count + 1, sizeof *parent->keys))) {
        mmgr__yaml_free(node);
        return mmgr__oom();
    }
    parent->items[parent->count] = node;
    if (parent->kind == MMGR__YAML_MAP)
        parent->keys[parent->count] = open->key;
    open->key = NULL;
    parent->count++;
    return MMGR_OK;
}

static enum mmgr_result read_scalar(struct reader *reader, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t length = event->data.scalar.length;
    struct mmgr__yaml *node;

    if (event->data.scalar.anchor != NULL)
        return fail_event(reader, event, "anchors and aliases are not allowed");
    if (event->data.scalar.tag != NULL)
        return fail_event(reader, event, "tags are not allowed");
    if (memchr(text, '\0', length) != NULL)
        return fail_event(reader, event, "text holds a NUL character");
    node = new_node(MMGR__YAML_SCALAR, event);
    if (node != NULL) {
        node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
        node->text = mmgr__strndup(text, length);
        if (node->text == NULL) {
            mmgr__yaml_free(node);
            node = NULL;
        }
    }
    return attach(reader, event, node);
}

static enum mmgr_result open_node(struct reader *reader, const yaml_event_t *event,
                                  enum mmgr__yaml_kind kind, const void *anchor, const void *tag)
{
    struct mmgr__yaml *node;
    enum mmgr_result result;

    if (anchor != NULL)
        return fail_event(reader, event, "anchors and aliases are not allowed");
    if (tag != NULL)
        return fail_event(reader, event, "tags are not allowed");
    if (reader->depth == DEPTH_MAX)
        return fail_event(reader, event, "nested more than 64 deep");
    node = new_node(kind, event);
    result = attach(reader, event, node);
    if (result == MMGR_OK)
        reader->open[reader->depth++] = (struct open_node){node, NULL, 0, 0};
    return result;
}

static int compare_keys(const void *a, const void *b)
{
    const struct mmgr__yaml *const *one = a, *const *two = b;
    int order = strcmp((*one)->text, (*two)->text);

    if (order != 0)
        return order;
    if ((*one)->line != (*two)->line)
        return (*one)->line < (*two)->line ? -1 : 1;
    return (*one)->column < (*two)->column ? -1 : (*one)->column > (*two)->column;
}

/* Sorted once at the end of the map, so that a large map costs no square of its size. */
static enum mmgr_result check_keys(const struct reader *reader, const struct mmgr__yaml *map)
{
    struct mmgr__yaml **sorted;
    enum mmgr_result result = MMGR_OK;

    if (map->count < 2)
        return MMGR_OK;
    sorted = mmgr__alloc0(map->count, sizeof(*sorted));
    if (sorted == NULL)
        return mmgr__oom();
    memcpy(sorted, map->keys, map->count * sizeof(*sorted));
    qsort(sorted, map->count, sizeof(*sorted), compare_keys);
    for (size_t i = 1; i < map->count && result == MMGR_OK; i++) {
        if (strcmp(sorted[i - 1]->text, sorted[i]->text) == 0) {
            result = mmgr__fail(reader->code, "%s:%u:%u: the key \"%s\" is there twice",
                                reader->name, sorted[i]->line, sorted[i]->column, sorted[i]->text);
            mmgr__error_set_subject(reader->name);
            mmgr__error_set_field(sorted[i]->text);
        }
    }
    mmgr__free(sorted);
    return result;
}

static enum mmgr_result close_node(struct reader *reader)
{
    struct open_node *open = &reader->open[--reader->depth];

    return open->node->kind == MMGR__YAML_MAP ? check_keys(reader, open->node) : MMGR_OK;
}

static enum mmgr_result take_event(struct reader *reader, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (reader->root != NULL)
            return fail_event(reader, event, "only one document is allowed");
        return MMGR_OK;
    case YAML_ALIAS_EVENT:
        return fail_event(reader, event, "anchors and aliases are not allowed");
    case YAML_SCALAR_EVENT:
        return read_scalar(reader, event);
    case YAML_SEQUENCE_START_EVENT:
        return open_node(reader, event, MMGR__YAML_LIST, event->data.sequence_start.anchor,
                         event->data.sequence_start.tag);
    case YAML_MAPPING_START_EVENT:
        return open_node(reader, event, MMGR__YAML_MAP, event->data.mapping_start.anchor,
                         event->data.mapping_start.tag);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return close_node(reader);
    default:
        return MMGR_OK;
    }
}

static enum mmgr_result read_all(struct reader *reader)
{
    enum mmgr_result result = MMGR_OK;
    int done = 0;

    while (!done && result == MMGR_OK) {
        yaml_event_t event;

        if (!yaml_parser_parse(&reader->parser, &event))
            return fail_parser(reader);
        done = event.type == YAML_STREAM_END_EVENT;
        result = take_event(reader, &event);
        /* Nothing but comments: an empty map, placed at the end. */
        if (done && result == MMGR_OK && reader->root == NULL) {
            reader->root = new_node(MMGR__YAML_MAP, &event);
            result = reader->root != NULL ? MMGR_OK : mmgr__oom();
        }
        yaml_event_delete(&event);
    }
    return result;
}

enum mmgr_result mmgr__yaml_parse(const char *text, size_t length, enum mmgr_result code,
                                  const char *name, struct mmgr__yaml **root)
{
    struct reader reader = {.text = text, .length = length, .code = code, .name = name};
    enum mmgr_result result;

    if (length > TEXT_MAX) {
        mmgr__fail(code, "%s: larger than 64 MiB", name);
        mmgr__error_set_subject(name);
        return code;
    }
    if (!yaml_parser_initialize(&reader.parser))
        return mmgr__oom();
    /* A mark of the byte order is no character of the first line. */
    if (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        reader.text += 3;
        reader.length -= 3;
    }
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)reader.text, reader.length);
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    result = read_all(&reader);
    yaml_parser_delete(&reader.parser);
    if (result == MMGR_OK) {
        *root = reader.root;
        return MMGR_OK;
    }
    /* A key without its value belongs to no node yet. */
    for (int i = 0; i < reader.depth; i++)
        mmgr__yaml_free(reader.open[i].key);
    mmgr__yaml_free(reader.root);
    return result;
}
