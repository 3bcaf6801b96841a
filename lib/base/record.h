/* SPDX-License-Identifier: MIT */
/* Inside of a record: one text per field (normalised JSON text for lists and objects), the raw text of
 * members of newer releases, and the manifest. Made by builders only. */
#ifndef BASE_RECORD_H
#define BASE_RECORD_H

#include <modelmgr/record.h>

#include "base/fields.h"
#include "base/text.h"
#include "base/thread.h"

/* One file of a model. Hashes are lower-case hex or NULL. */
struct mmgr__file {
    char *path; /* relative to the model's path; "" when the model is that file */
    uint64_t size;
    char *sha256, *git_sha1, *xxh3;
    char *blocks;     /* SHA-256 of each 8 MiB block, hex, joined; NULL when not taken */
    int64_t mtime_ns;
    uint64_t device, inode;
    uint32_t flags;   /* MMGR_FILE_* */
};

struct mmgr_record {
    mmgr__refs refs;
    char *text[MMGR__FIELD_MAX];               /* by field id; NULL = unset */
    int32_t term[MMGR__FIELD_MAX];             /* of TERM fields */
    struct mmgr__strings list[MMGR__FIELD_MAX];/* of LIST fields */
    char *extra;     /* unknown members as raw text `"a":1,"b":[2]`, or NULL */
    char *location;  /* absolute, or NULL */
    struct mmgr__file *files;
    uint32_t file_count;
};

/* Builder calls for services: the manifest, and the location that a store works out. */
enum mmgr_result mmgr__record_builder_add_file(mmgr_record_builder *builder, const struct mmgr__file *file);
void mmgr__record_builder_clear_files(mmgr_record_builder *builder);
enum mmgr_result mmgr__record_builder_set_location(mmgr_record_builder *builder, const char *location);
void mmgr__file_clear(struct mmgr__file *file);
/* Text that a field of the draft has now, lent, or NULL. */
const char *mmgr__record_builder_text(const mmgr_record_builder *builder, enum mmgr_field field);
/* Read a stored form into an empty builder: as mmgr_record_builder_merge(), but a field that the table does
 * not give to this kind is kept, since a newer release may have given it. */
enum mmgr_result mmgr__record_builder_load(mmgr_record_builder *builder, const char *json, size_t length);
/* As mmgr_record_builder_build(), but moves the content out: the builder is empty afterwards. */
enum mmgr_result mmgr__record_builder_finish(mmgr_record_builder *builder, mmgr_record **record);
/* "2024-01-31T12:00:00[.fff]Z" to nanoseconds since 1970; 0 when malformed. */
int mmgr__parse_time(const char *text, int64_t *ns);

/* The record's stored form: a JSON object of set fields in table order, then the unknown members. */
char *mmgr__record_stored_json(const mmgr_record *record);
/* A list of records for search results; takes the references over. */
struct mmgr_record_list {
    mmgr_record **items;
    size_t count, capacity;
    uint64_t total;
};

#endif
