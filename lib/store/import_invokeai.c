/* SPDX-License-Identifier: MIT */
/* Import of an InvokeAI database: the rows of its table models, in which one column, config,
 * holds the whole record as JSON and the others are worked out from it. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/path.h"
#include "store/import.h"

#define MODELS_MAX 100000
/* A damaged file can give more text than it has bytes. */
#define BYTES_MAX ((uint64_t)256 << 20)
#define TRIES     3

/* What one reading of the database needs. */
struct reader {
    struct mmgr__import *import;
    sqlite3 *db;
    char *configs; /* folder of the older releases' config files */
    uint64_t bytes;
};

static enum mmgr_result fail_sqlite(const struct reader *reader, int rc)
{
    switch (rc & 0xff) {
    case SQLITE_NOMEM:
        return mmgr__oom();
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        return mmgr__fail(MMGR_ERR_IO, "cannot read %s: %s", reader->import->path,
                          sqlite3_errmsg(reader->db));
    default:
        return mmgr__import_unfit(reader->import->path,
                                  "cannot be read as a database: %s (SQLite %d)",
                                  sqlite3_errmsg(reader->db), rc);
    }
}

/* First column of the only row of a query, as a number; -1 when there is no row. */
static enum mmgr_result number(const struct reader *reader, const char *sql, int64_t *value)
{
    sqlite3_stmt *statement = NULL;
    enum mmgr_result result = MMGR_OK;
    int rc = sqlite3_prepare_v2(reader->db, sql, -1, &statement, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW || rc == SQLITE_DONE)
        *value = rc == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : -1;
    else
        result = fail_sqlite(reader, rc);
    sqlite3_finalize(statement);
    return result;
}

/* Refuse what is no InvokeAI database, saying what it is. Columns that are worked out, virtual
 * tables and views could run anything at length, so the three columns must be plain ones of a
 * plain table. */
static enum mmgr_result check_schema(const struct reader *reader)
{
    static const struct {
        const char *sql;
        int64_t wanted;
        const char *why;
    } checks[] = {
        {"SELECT count(*) FROM sqlite_schema WHERE name = 'model_config'"
         " AND NOT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'models')",
         0,
         "is of an InvokeAI release before 4.0: it has the table model_config and no table models"},
        {"SELECT count(*) FROM sqlite_schema WHERE name = 'models'", 1,
         "is no InvokeAI database: it has no table models"},
        {"SELECT type = 'table' AND rootpage > 0 FROM sqlite_schema WHERE name = 'models'", 1,
         "is no InvokeAI database: models is a view or a virtual table"},
        {"SELECT count(*) FROM pragma_table_xinfo('models')"
         " WHERE hidden = 0 AND name IN ('id', 'config', 'created_at')",
         3,
         "is no InvokeAI database: its table models lacks a plain column id, config or created_at"},
    };
    enum mmgr_result result = MMGR_OK;

    for (size_t i = 0; i < sizeof checks / sizeof checks[0] && result == MMGR_OK; i++) {
        int64_t value = 0;

        result = number(reader, checks[i].sql, &value);
        if (result == MMGR_OK && value != checks[i].wanted)
            result = mmgr__import_unfit(reader->import->path, "%s", checks[i].why);
    }
    return result;
}

/* Row numbers of all models, so that each can be read, and fail, by itself. Owned. */
static enum mmgr_result list_rows(const struct reader *reader, int64_t **rows, size_t *count)
{
    sqlite3_stmt *statement = NULL;
    enum mmgr_result result = MMGR_OK;
    size_t capacity = 0;
    int rc = sqlite3_prepare_v2(reader->db, "SELECT rowid FROM models ORDER BY rowid", -1,
                                &statement, NULL);

    while (result == MMGR_OK && rc == SQLITE_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
        void *grown = *rows;

        rc = SQLITE_OK;
        if (*count == MODELS_MAX) {
            result =
                mmgr__import_unfit(reader->import->path, "holds more than %d models", MODELS_MAX);
        } else if (!mmgr__grow(&grown, &capacity, *count + 1, sizeof **rows)) {
            result = mmgr__oom();
        } else {
            *rows = grown;
            (*rows)[(*count)++] = sqlite3_column_int64(statement, 0);
        }
    }
    if (result == MMGR_OK && rc != SQLITE_DONE)
        result = fail_sqlite(reader, rc);
    sqlite3_finalize(statement);
    return result;
}

/* ---- one row */

/* Text of a column, lent; NULL when it is none or holds a NUL. */
static const char *text_column(sqlite3_stmt *statement, int column)
{
    const char *text;

    if (sqlite3_column_type(statement, column) != SQLITE_TEXT)
        return NULL;
    text = (const char *)sqlite3_column_text(statement, column);
    return text != NULL && strlen(text) == (size_t)sqlite3_column_bytes(statement, column) ? text
                                                                                           : NULL;
}

/* A vae may be the key of another model. */
static int is_key(const char *text)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

    return text[strspn(text, letters)] == '\0';
}

/* Make a relative path of the draft absolute. */
static enum mmgr_result place(mmgr_record_builder *builder, enum mmgr_field field,
                              const char *folder, const char *other)
{
    const char *path = mmgr__record_builder_text(builder, field);
    enum mmgr_result result;
    char *absolute;

    if (path == NULL)
        return MMGR_OK;
    absolute = mmgr__import_resolve(path, folder, other);
    result = absolute != NULL ? mmgr__import_set(builder, field, absolute) : mmgr__oom();
    mmgr__free(absolute);
    return result;
}

/* "2024-01-31 12:00:00.000" of the row; a time that is none is left out. */
static enum mmgr_result set_created_at(mmgr_record_builder *builder, const char *text)
{
    char time[32];
    int64_t ns;

    if (text == NULL || strlen(text) < 19 || text[10] != ' ' ||
        (size_t)snprintf(time, sizeof time, "%.10sT%sZ", text, text + 11) >= sizeof time ||
        !mmgr__parse_time(time, &ns))
        return MMGR_OK;
    mmgr__format_time(ns, time);
    return mmgr__import_set(builder, MMGR_FIELD_CREATED_AT, time);
}

static enum mmgr_result fill(const struct reader *reader, sqlite3_stmt *row,
                             mmgr_record_builder *builder)
{
    const struct mmgr__import *import = reader->import;
    const char *id = text_column(row, 0), *json = (const char *)sqlite3_column_text(row, 1), *vae;
    enum mmgr_result result;

    if (json == NULL)
        return mmgr__oom();
    result = mmgr__record_builder_load(builder, json, (size_t)sqlite3_column_bytes(row, 1));
    if (result == MMGR_OK && mmgr__record_builder_text(builder, MMGR_FIELD_KEY) == NULL)
        result = id != NULL && id[0] != '\0'
                     ? mmgr__import_set(builder, MMGR_FIELD_KEY, id)
                     : mmgr__fail(MMGR_ERR_INVALID_CONFIG, "a model has neither a key nor an id");
    if (result == MMGR_OK)
        result = place(builder, MMGR_FIELD_PATH, import->models_dir, NULL);
    if (result == MMGR_OK)
        result = place(builder, MMGR_FIELD_CONFIG_PATH, reader->configs, import->root);
    vae = mmgr__record_builder_text(builder, MMGR_FIELD_VAE);
    if (result == MMGR_OK && vae != NULL && !is_key(vae))
        result = place(builder, MMGR_FIELD_VAE, import->models_dir, NULL);
    return result == MMGR_OK ? set_created_at(builder, text_column(row, 2)) : result;
}

static enum mmgr_result no_text(void)
{
    mmgr__fail(MMGR_ERR_INVALID_CONFIG, "the column config of a model holds no text");
    mmgr__error_set_field("config");
    return MMGR_ERR_INVALID_CONFIG;
}

static enum mmgr_result read_row(struct reader *reader, sqlite3_stmt *row)
{
    mmgr_record_builder *builder = NULL;
    int is_text = sqlite3_column_type(row, 1) == SQLITE_TEXT;
    enum mmgr_result result;

    reader->bytes += (uint64_t)sqlite3_column_bytes(row, 1);
    if (reader->bytes > BYTES_MAX)
        return mmgr__import_unfit(reader->import->path, "holds more than %llu MiB of models",
                                  (unsigned long long)BYTES_MAX >> 20);
    result = mmgr_record_builder_new(NULL, &builder);
    if (result != MMGR_OK)
        return result;
    result = is_text ? fill(reader, row, builder) : no_text();
    result = mmgr__import_take(reader->import, builder, result, text_column(row, 0));
    mmgr_record_builder_free(builder);
    return result;
}

static enum mmgr_result read_rows(struct reader *reader, const int64_t *rows, size_t count)
{
    static const char sql[] = "SELECT id, config, created_at FROM models WHERE rowid = ?1";
    sqlite3_stmt *row = NULL;
    enum mmgr_result result = MMGR_OK;
    int rc = sqlite3_prepare_v2(reader->db, sql, -1, &row, NULL);

    if (rc != SQLITE_OK)
        return fail_sqlite(reader, rc);
    for (size_t i = 0; i < count && result == MMGR_OK; i++) {
        sqlite3_reset(row);
        sqlite3_bind_int64(row, 1, rows[i]);
        rc = sqlite3_step(row);
        if (rc == SQLITE_ROW) {
            result = read_row(reader, row);
        } else if ((rc & 0xff) == SQLITE_TOOBIG) {
            mmgr__fail(MMGR_ERR_INVALID_CONFIG, "row %lld of models is too large",
                       (long long)rows[i]);
            result = mmgr__import_skip(reader->import, NULL, NULL, NULL);
        } else if (rc != SQLITE_DONE) {
            result = fail_sqlite(reader, rc);
        }
    }
    sqlite3_finalize(row);
    return result;
}

static enum mmgr_result read_database(struct mmgr__import *import, sqlite3 *db)
{
    struct reader reader = {.import = import, .db = db};
    int64_t *rows = NULL;
    size_t count = 0;
    enum mmgr_result result = check_schema(&reader);

    if (result == MMGR_OK)
        result = list_rows(&reader, &rows, &count);
    reader.configs = mmgr__path_join(import->root, "configs");
    if (result == MMGR_OK)
        result = reader.configs != NULL ? read_rows(&reader, rows, count) : mmgr__oom();
    mmgr__free(reader.configs);
    mmgr__free(rows);
    return result;
}

enum mmgr_result mmgr__import_invokeai(struct mmgr__import *import)
{
    const struct timespec nap = {0, 50000000};
    enum mmgr_result result = MMGR_ERR_BUSY;

    for (int i = 0; i < TRIES && result == MMGR_ERR_BUSY; i++) {
        struct mmgr__import_db source;

        if (i > 0)
            nanosleep(&nap, NULL);
        mmgr__import_clear(import);
        result = mmgr__import_db_open(import->path, &source);
        if (result == MMGR_OK)
            result = mmgr__import_db_end(&source, read_database(import, source.db->db));
        mmgr__import_db_close(&source);
    }
    return result;
}
