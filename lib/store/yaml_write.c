/* SPDX-License-Identifier: MIT */
/* YAML back end: from records to the file. What a person arranged stays: the head, the order of the models and
 * of the members of each. */
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "base/alloc.h"
#include "base/error.h"
#include "store/yaml_store.h"

struct writing {
    yaml_emitter_t emitter;
    struct mmgr__buf *text;
    int failed;
};

static int append(void *user, unsigned char *data, size_t length)
{
    struct writing *writing = user;

    mmgr__buf_append(writing->text, data, length);
    return !writing->text->failed;
}

static void emit(struct writing *writing, yaml_event_t *event, int made)
{
    if (!made)
        writing->failed = 1;
    else if (writing->failed)
        yaml_event_delete(event);
    else
        writing->failed = !yaml_emitter_emit(&writing->emitter, event);
}

static void emit_scalar(struct writing *writing, const char *text, yaml_scalar_style_t style)
{
    yaml_event_t event;

    emit(writing, &event,
         yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text,
                                      (int)strlen(text), 1, 1, style));
}

static void emit_text(struct writing *writing, const char *text)
{
    emit_scalar(writing, text,
                mmgr__yaml_needs_escapes(text)      ? YAML_DOUBLE_QUOTED_SCALAR_STYLE
                : mmgr__yaml_is_text(text)  ? YAML_PLAIN_SCALAR_STYLE
                                         : YAML_SINGLE_QUOTED_SCALAR_STYLE);
}

static void emit_plain(struct writing *writing, const char *text)
{
    emit_scalar(writing, text, YAML_PLAIN_SCALAR_STYLE);
}

static void begin(struct writing *writing, int map, int flow)
{
    yaml_event_t event;

    emit(writing, &event,
         map ? yaml_mapping_start_event_initialize(
                   &event, NULL, NULL, 1, flow ? YAML_FLOW_MAPPING_STYLE : YAML_BLOCK_MAPPING_STYLE)
             : yaml_sequence_start_event_initialize(
                   &event, NULL, NULL, 1,
                   flow ? YAML_FLOW_SEQUENCE_STYLE : YAML_BLOCK_SEQUENCE_STYLE));
}

static void end(struct writing *writing, int map)
{
    yaml_event_t event;

    emit(writing, &event,
         map ? yaml_mapping_end_event_initialize(&event)
             : yaml_sequence_end_event_initialize(&event));
}

static void emit_node(struct writing *writing, const struct mmgr__yaml *node)
{
    if (node->kind == MMGR__YAML_SCALAR) {
        if (node->quoted || mmgr__yaml_needs_escapes(node->text))
            emit_text(writing, node->text);
        else
            emit_plain(writing, node->text);
        return;
    }
    begin(writing, node->kind == MMGR__YAML_MAP, 0);
    for (size_t i = 0; i < node->count; i++) {
        if (node->kind == MMGR__YAML_MAP)
            emit_node(writing, node->keys[i]);
        emit_node(writing, node->items[i]);
    }
    end(writing, node->kind == MMGR__YAML_MAP);
}

/* ---- members in their natural form */

/* Emit a JSON value whose first token was just read; its text is known to be in normal form. */
static void emit_json(struct writing *writing, struct mmgr__jscan *scan, enum mmgr__jscan_kind kind)
{
    int map = kind == MMGR__JSCAN_OBJECT, sound;
    char *text;

    if (map || kind == MMGR__JSCAN_ARRAY) {
        enum mmgr__jscan_kind last = map ? MMGR__JSCAN_OBJECT_END : MMGR__JSCAN_ARRAY_END;

        begin(writing, map, 0);
        while ((kind = mmgr__jscan_next(scan)) != last && kind != MMGR__JSCAN_ERROR)
            emit_json(writing, scan, kind);
        end(writing, map);
        return;
    }
    text = mmgr__yaml_token_text(scan, kind, &sound);
    if (text == NULL)
        writing->failed = 1;
    else if (kind == MMGR__JSCAN_STRING || kind == MMGR__JSCAN_KEY)
        emit_text(writing, text);
    else
        emit_plain(writing, text);
    mmgr__free(text);
}

static void emit_value(struct writing *writing, const char *value, size_t length)
{
    struct mmgr__jscan scan;

    mmgr__jscan_init(&scan, value, length);
    emit_json(writing, &scan, mmgr__jscan_next(&scan));
}

/* ---- a model */

/* One member that is to be written. */
struct member {
    const struct mmgr__field *field; /* or NULL: of a newer release */
    char *name;
    char *value;  /* of those: its JSON text */
    int written;
};

struct model {
    const mmgr_record *record;
    struct member *members;
    size_t count, capacity;
    struct mmgr__strings raw; /* members that YAML cannot keep, as JSON text */
};

static enum mmgr_result add_member(struct model *model, const struct mmgr__field *field,
                                   const char *name, const char *value, size_t length)
{
    struct member member = {field, mmgr__strdup(name), NULL, 0};

    if (value != NULL)
        member.value = mmgr__strndup(value, length);
    if (member.name == NULL || (value != NULL && member.value == NULL) ||
        !mmgr__grow((void **)&model->members, &model->capacity, model->count + 1,
                    sizeof *model->members)) {
        mmgr__free(member.name);
        mmgr__free(member.value);
        return mmgr__oom();
    }
    model->members[model->count++] = member;
    return MMGR_OK;
}

static enum mmgr_result add_raw(struct model *model, const char *member, size_t length)
{
    char *copy = mmgr__strndup(member, length);
    int added = copy != NULL && mmgr__strings_add(&model->raw, copy);

    mmgr__free(copy);
    return added ? MMGR_OK : mmgr__oom();
}

static enum mmgr_result add_extra(const struct mmgr__extra *extra, void *user)
{
    struct model *model = user;
    struct mmgr__buf normal = {0};
    int ours = strcmp(extra->name, MMGR__YAML_FILES_KEY) == 0 ||
               strcmp(extra->name, MMGR__YAML_JSON_KEY) == 0;
    int natural = 0;
    enum mmgr_result result = mmgr__yaml_check_natural(extra->value, extra->value_length, &natural);

    mmgr__buf_json_string(&normal, extra->name);
    mmgr__buf_puts(&normal, ":");
    mmgr__buf_append(&normal, extra->value, extra->value_length);
    if (result == MMGR_OK && normal.failed)
        result = mmgr__oom();
    if (result == MMGR_OK) {
        natural = natural && !ours && normal.length == extra->member_length &&
                  memcmp(normal.data, extra->member, normal.length) == 0;
        result = natural ? add_member(model, NULL, extra->name, extra->value, extra->value_length)
                         : add_raw(model, extra->member, extra->member_length);
    }
    mmgr__buf_free(&normal);
    return result;
}

static enum mmgr_result add_field(struct model *model, const struct mmgr__field *field)
{
    const char *text = model->record->text[field->id];
    enum mmgr_result result = MMGR_OK;
    int natural = 1;
    char *member;

    if (field->kind == MMGR__FIELD_OBJECT)
        result = mmgr__yaml_check_natural(text, strlen(text), &natural);
    if (result != MMGR_OK || natural)
        return result == MMGR_OK ? add_member(model, field, field->name, NULL, 0) : result;
    member = mmgr__printf("\"%s\":%s", field->name, text);
    result = member != NULL ? add_raw(model, member, strlen(member)) : mmgr__oom();
    mmgr__free(member);
    return result;
}

static enum mmgr_result collect(struct model *model)
{
    const struct mmgr__field *field;
    enum mmgr_result result = MMGR_OK;

    for (uint32_t i = 0; (field = mmgr__field_at(i)) != NULL && result == MMGR_OK; i++) {
        if (model->record->text[field->id] != NULL && field->id != MMGR_FIELD_KEY)
            result = add_field(model, field);
    }
    return result == MMGR_OK ? mmgr__record_each_extra(model->record, add_extra, model) : result;
}

static void emit_member(struct writing *writing, const mmgr_record *record, struct member *member)
{
    const struct mmgr__field *field = member->field;
    const char *text = field != NULL ? record->text[field->id] : member->value;

    if (member->written)
        return;
    member->written = 1;
    emit_text(writing, member->name);
    if (field == NULL || field->kind == MMGR__FIELD_OBJECT) {
        emit_value(writing, text, strlen(text));
    } else if (field->kind == MMGR__FIELD_LIST) {
        begin(writing, 0, 0);
        for (size_t i = 0; i < record->list[field->id].count; i++)
            emit_text(writing, record->list[field->id].items[i]);
        end(writing, 0);
    } else if (field->kind == MMGR__FIELD_BOOL || field->kind == MMGR__FIELD_NUMBER ||
               field->kind == MMGR__FIELD_REAL) {
        emit_plain(writing, text);
    } else {
        emit_text(writing, text);
    }
}

static void emit_row_text(struct writing *writing, const char *name, const char *text)
{
    if (text == NULL)
        return;
    emit_plain(writing, name);
    emit_text(writing, text);
}

static void emit_row_number(struct writing *writing, const char *name, uint64_t number)
{
    char text[24];

    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    emit_plain(writing, name);
    emit_plain(writing, text);
}

static void emit_row_time(struct writing *writing, const char *name, int64_t ns)
{
    char text[24];

    snprintf(text, sizeof text, "%lld", (long long)ns);
    emit_plain(writing, name);
    emit_plain(writing, text);
}

static void emit_files(struct writing *writing, const mmgr_record *record)
{
    if (record->file_count == 0)
        return;
    emit_plain(writing, MMGR__YAML_FILES_KEY);
    begin(writing, 0, 0);
    for (uint32_t i = 0; i < record->file_count; i++) {
        const struct mmgr__file *file = &record->files[i];

        begin(writing, 1, 0);
        emit_row_text(writing, "path", file->path);
        emit_row_number(writing, "size", file->size);
        emit_row_text(writing, "sha256", file->sha256);
        emit_row_text(writing, "git_sha1", file->git_sha1);
        emit_row_text(writing, "xxh3", file->xxh3);
        emit_row_text(writing, "blocks", file->blocks);
        emit_row_time(writing, "mtime_ns", file->mtime_ns);
        emit_row_number(writing, "device", file->device);
        emit_row_number(writing, "inode", file->inode);
        emit_row_number(writing, "flags", file->flags);
        end(writing, 1);
    }
    end(writing, 0);
}

/* Members in the order that the file has, then those that are new. */
static enum mmgr_result emit_model(struct writing *writing, const mmgr_record *record,
                                   const struct mmgr__yaml *before)
{
    struct model model = {.record = record};
    enum mmgr_result result = collect(&model);

    emit_text(writing, mmgr_record_text(record, MMGR_FIELD_KEY));
    begin(writing, 1, 0);
    for (size_t i = 0; result == MMGR_OK && before != NULL && i < before->count; i++) {
        for (size_t j = 0; j < model.count; j++) {
            if (strcmp(model.members[j].name, before->keys[i]->text) == 0)
                emit_member(writing, record, &model.members[j]);
        }
    }
    for (size_t j = 0; result == MMGR_OK && j < model.count; j++)
        emit_member(writing, record, &model.members[j]);
    if (model.raw.count > 0) {
        emit_plain(writing, MMGR__YAML_JSON_KEY);
        begin(writing, 0, 0);
        for (size_t i = 0; i < model.raw.count; i++)
            emit_text(writing, model.raw.items[i]);
        end(writing, 0);
    }
    emit_files(writing, record);
    end(writing, 1);
    for (size_t j = 0; j < model.count; j++) {
        mmgr__free(model.members[j].name);
        mmgr__free(model.members[j].value);
    }
    mmgr__free(model.members);
    mmgr__strings_free(&model.raw);
    return result;
}

/* ---- the file */

/* All models of the database. They were put there in the order of the file and new ones behind, so one look
 * ahead in the old list finds each. */
static enum mmgr_result emit_models(struct writing *writing, struct mmgr__db *db,
                                    const struct mmgr__store_place *place,
                                    const struct mmgr__yaml *before)
{
    static const char query[] = "SELECT key FROM mmgr_models ORDER BY id";
    sqlite3_stmt *statement = NULL;
    size_t at = 0, count = before != NULL ? before->count : 0;
    int row = 1;
    enum mmgr_result result = MMGR_OK;

    if (sqlite3_prepare_v2(db->db, query, -1, &statement, NULL) != SQLITE_OK)
        return mmgr__db_fail(db, sqlite3_errcode(db->db), "save");
    while (result == MMGR_OK && (result = mmgr__db_step(db, statement, &row)) == MMGR_OK && row) {
        const char *key = (const char *)sqlite3_column_text(statement, 0);
        mmgr_record *record = NULL;
        int64_t id;

        result = key != NULL ? mmgr__db_get(db, place, key, &record, &id) : mmgr__oom();
        while (result == MMGR_OK && at < count && strcmp(before->keys[at]->text, key) != 0)
            at++;
        if (result == MMGR_OK)
            result = emit_model(writing, record, at < count ? before->items[at] : NULL);
        mmgr_record_unref(record);
    }
    sqlite3_finalize(statement);
    return result;
}

static enum mmgr_result emit_root(struct writing *writing, struct mmgr__db *db,
                                  const struct mmgr__store_place *place,
                                  const struct mmgr__yaml *root)
{
    size_t count = root != NULL ? root->count : 0;
    enum mmgr_result result = MMGR_OK;
    int models = 0;

    begin(writing, 1, 0);
    if (root == NULL) {
        emit_plain(writing, MMGR__YAML_VERSION_KEY);
        emit_plain(writing, MMGR__YAML_VERSION_TEXT);
    }
    for (size_t i = 0; i < count && result == MMGR_OK; i++) {
        emit_node(writing, root->keys[i]);
        if (strcmp(root->keys[i]->text, MMGR__YAML_MODELS_KEY) != 0) {
            emit_node(writing, root->items[i]);
            continue;
        }
        models = 1;
        begin(writing, 1, 0);
        result = emit_models(writing, db, place, root->items[i]);
        end(writing, 1);
    }
    if (result == MMGR_OK && !models) {
        emit_plain(writing, MMGR__YAML_MODELS_KEY);
        begin(writing, 1, 0);
        result = emit_models(writing, db, place, NULL);
        end(writing, 1);
    }
    end(writing, 1);
    return result;
}

static enum mmgr_result emit_document(struct writing *writing, struct mmgr__db *db,
                                      const struct mmgr__store_place *place,
                                      const struct mmgr__yaml *root)
{
    yaml_event_t event;
    enum mmgr_result result;

    yaml_emitter_set_output(&writing->emitter, append, writing);
    yaml_emitter_set_unicode(&writing->emitter, 1);
    yaml_emitter_set_width(&writing->emitter, -1);
    emit(writing, &event, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING));
    emit(writing, &event, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1));
    result = emit_root(writing, db, place, root);
    emit(writing, &event, yaml_document_end_event_initialize(&event, 1));
    emit(writing, &event, yaml_stream_end_event_initialize(&event));
    return result;
}

/* The emitter fails for want of memory or of room in the text. */
static enum mmgr_result emitter_failed(const struct writing *writing, const char *path)
{
    if (writing->text->length < MMGR__YAML_BYTES_MAX / 2)
        return mmgr__oom();
    mmgr__fail(MMGR_ERR_TOO_LARGE, "%s: the records do not fit into the %zu bytes of a YAML store;"
               " use one that ends in .db", path, MMGR__YAML_BYTES_MAX);
    mmgr__error_set_subject(path);
    return MMGR_ERR_TOO_LARGE;
}

enum mmgr_result mmgr__yaml_file_write(struct mmgr__db *db, const struct mmgr__store_place *place,
                                       const char *path, const struct mmgr__yaml_file *file,
                                       char **text, size_t *length)
{
    struct mmgr__buf buf = {.limit = MMGR__YAML_BYTES_MAX};
    struct writing writing = {.text = &buf};
    enum mmgr_result result;

    mmgr__buf_puts(&buf, file->head);
    /* A comment at the end of a file may lack the end of its line. */
    if (file->root == NULL && file->head[0] != '\0' && file->head[strlen(file->head) - 1] != '\n')
        mmgr__buf_puts(&buf, "\n");
    if (!yaml_emitter_initialize(&writing.emitter)) {
        mmgr__buf_free(&buf);
        return mmgr__oom();
    }
    result = emit_document(&writing, db, place, file->root);
    yaml_emitter_delete(&writing.emitter);
    if (result == MMGR_OK && (writing.failed || buf.failed))
        result = emitter_failed(&writing, path);
    if (result == MMGR_OK) {
        *length = buf.length;
        *text = mmgr__buf_take(&buf);
        result = *text != NULL ? MMGR_OK : mmgr__oom();
    }
    mmgr__buf_free(&buf);
    return result;
}
