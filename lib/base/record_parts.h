/* SPDX-License-Identifier: MIT */
/* What the files of the record share among themselves: drafts, values, JSON. */
#ifndef BASE_RECORD_PARTS_H
#define BASE_RECORD_PARTS_H

#include "base/error.h"
#include "base/record.h"

struct mmgr_record_builder {
    struct mmgr_record draft;
    uint64_t touched; /* bit per field id that the caller set or cleared, as opposed to took over */
};

void mmgr__record_wipe(struct mmgr_record *record);
enum mmgr_result mmgr__record_copy(struct mmgr_record *to, const struct mmgr_record *from);

/* INVALID_CONFIG that names the record's key and the field. */
enum mmgr_result mmgr__record_bad(const struct mmgr_record *draft, const char *field,
                                  const char *format, ...) __attribute__((format(printf, 3, 4)));

void mmgr__value_clear(struct mmgr_record *draft, const struct mmgr__field *field);
/* Set from checked text; a NUL-free span of UTF-8. */
enum mmgr_result mmgr__value_text(struct mmgr_record *draft, const struct mmgr__field *field,
                                  const char *text, size_t length);
/* Set a list; its items are checked and copied, doubles dropped. */
enum mmgr_result mmgr__value_list(struct mmgr_record *draft, const struct mmgr__field *field,
                                  const struct mmgr__strings *items);
/* Put a text in the place of a field as it is. Takes the text over. */
void mmgr__value_put(struct mmgr_record *draft, const struct mmgr__field *field, char *text);

/* Set the fields of a JSON object of at most `most` bytes on a draft; *touched gets a bit per field. Not
 * all-or-nothing. */
enum mmgr_result mmgr__record_read_json(struct mmgr_record *draft, const char *json, size_t length,
                                        size_t most, uint64_t *touched);
/* Set one field from one JSON value. */
enum mmgr_result mmgr__record_read_value(struct mmgr_record *draft, const struct mmgr__field *field,
                                         const char *json, size_t length);

#endif
