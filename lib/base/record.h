/* SPDX-License-Identifier: MIT */
/* Inside of a record: one text per field (normalised JSON text for lists and objects), the raw text of
 * members of newer releases, and the manifest. Made by builders only. */
#ifndef BASE_RECORD_H
#define BASE_RECORD_H

#include <modelmgr/record.h>

#include "base/fields.h"
#include "base/json.h"
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
/* As mmgr_record_builder_set(), but in place: after a failure the draft is to be thrown away. It is no edit of a
 * caller, which would have to fit the kind. NULL clears. */
enum mmgr_result mmgr__record_builder_put(mmgr_record_builder *builder, enum mmgr_field field, const char *value);
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
/* One member that this release does not know: its decoded name, and the raw text of the member and its value. */
struct mmgr__extra {
    const char *name, *member, *value;
    size_t member_length, value_length;
    enum mmgr__jscan_kind kind; /* first token of the value */
};
typedef enum mmgr_result (*mmgr__extra_fn)(const struct mmgr__extra *extra, void *user);
/* Call fn with each of them, until it returns other than MMGR_OK. */
enum mmgr_result mmgr__record_each_extra(const struct mmgr_record *record, mmgr__extra_fn fn, void *user);
/* INVALID_CONFIG that names a value of an enumeration or a member which this release does not know, unless the
 * old record (may be NULL) had it already. */
enum mmgr_result mmgr__record_check_known(const mmgr_record *record, const mmgr_record *old);
/* Do two records have the same manifest? */
int mmgr__record_same_files(const mmgr_record *one, const mmgr_record *two);
/* A list of records for search results; takes the references over. */
struct mmgr_record_list {
    mmgr_record **items;
    size_t count, capacity;
    uint64_t total;
    char *cursor; /* where the next page starts; NULL after the last */
};

#endif
