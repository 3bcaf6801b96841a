/* SPDX-License-Identifier: MIT */
/* YAML by libyaml into a small tree with line numbers; no aliases, no tags, no duplicate keys. */
#ifndef BASE_YAML_H
#define BASE_YAML_H

#include <modelmgr/error.h>

enum mmgr__yaml_kind { MMGR__YAML_SCALAR, MMGR__YAML_LIST, MMGR__YAML_MAP };
struct mmgr__yaml {
    enum mmgr__yaml_kind kind;
    int quoted;           /* scalar was in quotes: is text whatever it looks like */
    uint32_t line, column; /* 1-based */
    char *text;           /* scalar */
    size_t count;         /* list items or map pairs */
    struct mmgr__yaml **items; /* list: items; map: values */
    struct mmgr__yaml **keys;  /* map: scalar keys */
};
/* Parse one document. Fails with `code`, "name:line:column: why". Bounds: 64 MiB, depth 64. */
enum mmgr_result mmgr__yaml_parse(const char *text, size_t length, enum mmgr_result code, const char *name,
                                  struct mmgr__yaml **root);
void mmgr__yaml_free(struct mmgr__yaml *node);
const struct mmgr__yaml *mmgr__yaml_get(const struct mmgr__yaml *map, const char *key);

#endif
