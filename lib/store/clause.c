/* SPDX-License-Identifier: MIT */
/* Pieces of SQL with their values. */
#include "store/clause.h"

#include <string.h>

#include "base/alloc.h"

void mmgr__clause_put(struct mmgr__clause *clause, const char *sql)
{
    mmgr__buf_puts(&clause->sql, sql);
    clause->failed |= clause->sql.failed;
}

static void add_value(struct mmgr__clause *clause, struct mmgr__clause_value value)
{
    mmgr__clause_put(clause, "?");
    if (!mmgr__grow((void **)&clause->values, &clause->capacity, clause->count + 1,
                    sizeof *clause->values)) {
        mmgr__free(value.text);
        clause->failed = 1;
        return;
    }
    clause->values[clause->count++] = value;
}

void mmgr__clause_bytes(struct mmgr__clause *clause, const char *text, size_t length)
{
    char *copy = mmgr__alloc(length + 1);

    if (copy == NULL) {
        clause->failed = 1;
        return;
    }
    memcpy(copy, text, length);
    copy[length] = '\0';
    add_value(clause, (struct mmgr__clause_value){.kind = 's', .text = copy, .length = length});
}

void mmgr__clause_text(struct mmgr__clause *clause, const char *value)
{
    mmgr__clause_bytes(clause, value, strlen(value));
}

void mmgr__clause_integer(struct mmgr__clause *clause, int64_t value)
{
    add_value(clause, (struct mmgr__clause_value){.kind = 'i', .integer = value});
}

void mmgr__clause_real(struct mmgr__clause *clause, double value)
{
    add_value(clause, (struct mmgr__clause_value){.kind = 'd', .real = value});
}

int mmgr__clause_is_column(const struct mmgr__field *field)
{
    static const enum mmgr_field columns[] = {
        MMGR_FIELD_KEY,       MMGR_FIELD_NAME,       MMGR_FIELD_TYPE,     MMGR_FIELD_FORMAT,
        MMGR_FIELD_BASE,      MMGR_FIELD_PATH,       MMGR_FIELD_HASH,     MMGR_FIELD_SOURCE,
        MMGR_FIELD_REVISION,  MMGR_FIELD_REPO_VARIANT, MMGR_FIELD_FILE_SIZE,
        MMGR_FIELD_CREATED_AT, MMGR_FIELD_UPDATED_AT};

    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++) {
        if (columns[i] == field->id)
            return 1;
    }
    return 0;
}

void mmgr__clause_field(struct mmgr__clause *clause, const struct mmgr__field *field)
{
    if (mmgr__clause_is_column(field)) {
        mmgr__clause_put(clause, "m.");
        mmgr__clause_put(clause, field->name);
        return;
    }
    /* A row that is no JSON has no fields; it must not make the whole search fail. */
    mmgr__clause_put(clause, "CASE WHEN json_valid(m.record) THEN json_extract(m.record, '$.");
    mmgr__clause_put(clause, field->name);
    mmgr__clause_put(clause, "') END");
}

int mmgr__clause_bind(const struct mmgr__clause *clause, sqlite3_stmt *statement)
{
    int rc = SQLITE_OK;

    for (size_t i = 0; i < clause->count && rc == SQLITE_OK; i++) {
        const struct mmgr__clause_value *value = &clause->values[i];

        if (value->kind == 's')
            rc = sqlite3_bind_text(statement, (int)i + 1, value->text, (int)value->length,
                                   SQLITE_STATIC);
        else if (value->kind == 'i')
            rc = sqlite3_bind_int64(statement, (int)i + 1, value->integer);
        else
            rc = sqlite3_bind_double(statement, (int)i + 1, value->real);
    }
    return rc;
}

void mmgr__clause_free(struct mmgr__clause *clause)
{
    for (size_t i = 0; i < clause->count; i++)
        mmgr__free(clause->values[i].text);
    mmgr__free(clause->values);
    mmgr__buf_free(&clause->sql);
    *clause = (struct mmgr__clause){.failed = 0};
}
