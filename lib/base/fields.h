/* SPDX-License-Identifier: MIT */
/* The table of record fields and of model kinds: which fields each (type, format) has and what a value may
 * be. Validation, storage and JSON forms all come from it. */
#ifndef BASE_FIELDS_H
#define BASE_FIELDS_H

#include <modelmgr/record.h>

enum mmgr__field_kind {
    MMGR__FIELD_TEXT, MMGR__FIELD_TERM, MMGR__FIELD_LIST, MMGR__FIELD_BOOL, MMGR__FIELD_NUMBER,
    MMGR__FIELD_OBJECT, MMGR__FIELD_TIME, MMGR__FIELD_REAL
};
struct mmgr__field {
    enum mmgr_field id;
    const char *name;
    enum mmgr__field_kind kind;
    enum mmgr_taxonomy taxonomy; /* of a TERM or of the items of a LIST; 0 = plain text */
    int required;                /* every record has it */
    int general;                 /* every kind may have it; else only kinds whose row lists it */
    uint32_t max_bytes;
};
const struct mmgr__field *mmgr__field_by_id(enum mmgr_field id);
const struct mmgr__field *mmgr__field_by_name(const char *name);
const struct mmgr__field *mmgr__field_at(uint32_t index); /* NULL past the last */
#define MMGR__FIELD_MAX 48 /* ids are below */

/* One row a kind. Fields is 0-terminated: the fields beyond the general ones. */
struct mmgr__kind {
    const char *type, *format;
    enum mmgr_field fields[12];
};
const struct mmgr__kind *mmgr__kind_find(const char *type, const char *format); /* NULL: not a known pair */

#endif
