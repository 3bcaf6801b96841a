/* SPDX-License-Identifier: MIT */
/* YAML back end: what its files share. The form of the file is described in docs/records.md. */
#ifndef STORE_YAML_STORE_H
#define STORE_YAML_STORE_H

#include "base/json.h"
#include "base/record.h"
#include "base/text.h"
#include "base/yaml.h"
#include "store/sqlite_db.h"

#define MMGR__YAML_VERSION      1
#define MMGR__YAML_VERSION_TEXT "1"
#define MMGR__YAML_VERSION_KEY  "modelmgr_store"
#define MMGR__YAML_MODELS_KEY   "models"
/* Members of a model that are no fields of the record. */
#define MMGR__YAML_FILES_KEY MMGR__FILES_MEMBER /* the manifest */
#define MMGR__YAML_JSON_KEY  "_json"  /* members that YAML would not keep byte for byte, as JSON text */
#define MMGR__YAML_BYTES_MAX ((size_t)64 << 20)

/* A file as it was read. */
struct mmgr__yaml_file {
    struct mmgr__yaml *root; /* NULL: the file was empty */
    char *head;              /* its first lines, up to the first that is neither blank nor a comment */
    mmgr_record **records;   /* in the order of the file */
    size_t count;
};

/* Read a text. STORE_INCOMPATIBLE: no YAML, no store of ours, or one of a newer release; INVALID_CONFIG: a model
 * with a wrong field. Both name path, line and column. `when` stands for times that a model does not give. */
enum mmgr_result mmgr__yaml_file_read(const char *text, size_t length, const char *path,
                                      const struct mmgr__store_place *place, int64_t when,
                                      struct mmgr__yaml_file *file);
void mmgr__yaml_file_free(struct mmgr__yaml_file *file);

/* The text of a file with all records of the database: head, order of models and of their members, and what we
 * do not know, as in the file that was read. Owned text. TOO_LARGE beyond MMGR__YAML_BYTES_MAX. */
enum mmgr_result mmgr__yaml_file_write(struct mmgr__db *db, const struct mmgr__store_place *place,
                                       const char *path, const struct mmgr__yaml_file *file,
                                       char **text, size_t *length);

/* What a plain scalar is: null, a number as JSON writes it, or text to every reader of YAML, old and new. */
int mmgr__yaml_is_null(const char *text);
int mmgr__yaml_is_number(const char *text);
int mmgr__yaml_is_text(const char *text);
/* Does it hold characters that YAML counts as ends of lines or does not allow? They stand in double quotes only. */
int mmgr__yaml_needs_escapes(const char *text);

/* The JSON token that was just read, of a string what it stands for; owned, NULL: no memory. *sound 0: it holds a
 * lone surrogate or a NUL, which no text can. */
char *mmgr__yaml_token_text(const struct mmgr__jscan *scan, enum mmgr__jscan_kind kind, int *sound);
/* *natural: this JSON value would come back from YAML byte for byte. */
enum mmgr_result mmgr__yaml_check_natural(const char *value, size_t length, int *natural);

#endif
