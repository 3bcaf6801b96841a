/* SPDX-License-Identifier: MIT */
/* Implementation of import_tools.h. */
#include "import_tools.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* InvokeAI's table models: only config is stored, the rest is worked out from it. */
#define COLUMN(name, nulls) \
#name " TEXT GENERATED ALWAYS AS (json_extract(config, '$." #name "')) VIRTUAL" nulls ","
#define COLUMNS                                                                                   \
    "CREATE TABLE models(id TEXT NOT NULL PRIMARY KEY," COLUMN(hash, " NOT NULL")                 \
        COLUMN(base, " NOT NULL") COLUMN(type, " NOT NULL") COLUMN(path, " NOT NULL") COLUMN(     \
            format, " NOT NULL") COLUMN(name, " NOT NULL") COLUMN(description,                    \
                                                                  "") COLUMN(source, " NOT NULL") \
            COLUMN(source_type, " NOT NULL") COLUMN(source_api_response, "") COLUMN(              \
                trigger_phrases,                                                                  \
                "") "config TEXT NOT NULL,"                                                       \
                    "created_at DATETIME NOT NULL DEFAULT(STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW'))," \
                    "updated_at DATETIME NOT NULL DEFAULT(STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW'))"
#define AROUND                                                                                \
    "CREATE TRIGGER models_updated_at AFTER UPDATE ON models FOR EACH ROW BEGIN"              \
    " UPDATE models SET updated_at = STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW') WHERE id = old.id;" \
    " END;"                                                                                   \
    "CREATE INDEX base_index ON models(base); CREATE INDEX type_index ON models(type);"       \
    "CREATE INDEX name_index ON models(name); CREATE UNIQUE INDEX path_index ON models(path);"

const char schema_429[] = COLUMNS ", UNIQUE(name, base, type));" AROUND;
const char schema_614[] =
    "PRAGMA journal_mode=WAL;" COLUMNS
    ", file_size INTEGER GENERATED ALWAYS AS (json_extract(config, '$.file_size')) VIRTUAL);" AROUND
    "CREATE TABLE model_relationships(model_key_1 TEXT NOT NULL, model_key_2 TEXT NOT NULL,"
    " PRIMARY KEY(model_key_1, model_key_2),"
    " FOREIGN KEY(model_key_1) REFERENCES models(id) ON DELETE CASCADE);";
const char schema_loose[] = "CREATE TABLE models(id TEXT PRIMARY KEY, config, created_at)";

int import_setup(void **state)
{
    if (folder_make(state) != 0)
        return -1;
    mkdir(in_folder("source"), 0777);
    mkdir(in_folder("tmp"), 0777);
    return setenv("TMPDIR", in_folder("tmp"), 1);
}

int import_teardown(void **state)
{
    char *slash = strrchr(folder, '/');
    int failed = folder_remove(state);

    *slash = '\0';
    return setenv("TMPDIR", folder, 1) != 0 || failed;
}

const char *write_file(const char *name, const char *text)
{
    const char *path = in_folder(name);
    char parent[8192];
    FILE *file;

    snprintf(parent, sizeof parent, "%s", path);
    for (char *at = parent + strlen(folder) + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        mkdir(parent, 0777);
        *at = '/';
    }
    file = fopen(path, "wb");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
    return path;
}

/* Sum over all bytes of a file (FNV-1a). */
static unsigned long long sum_of(const char *path)
{
    unsigned long long sum = 0xcbf29ce484222325;
    FILE *file = fopen(path, "rb");
    int c;

    assert_non_null(file);
    while ((c = fgetc(file)) != EOF)
        sum = (sum ^ (unsigned)c) * 0x100000001b3;
    fclose(file);
    return sum;
}

static void look_into(const char *path, char *text, size_t size)
{
    struct dirent **names;
    int count = scandir(path, &names, NULL, alphasort);

    assert_true(count >= 0);
    for (int i = 0; i < count; i++) {
        char name[9000];
        struct stat st;
        size_t used = strlen(text);

        snprintf(name, sizeof name, "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.' && lstat(name, &st) == 0) {
            snprintf(text + used, size - used, "%s %llu %lld.%09ld %llx\n", name + strlen(folder),
                     (unsigned long long)st.st_size, (long long)st.st_mtim.tv_sec,
                     st.st_mtim.tv_nsec, S_ISREG(st.st_mode) ? sum_of(name) : 0);
            if (S_ISDIR(st.st_mode))
                look_into(name, text, size);
        }
        free(names[i]);
    }
    free(names);
}

const char *look_below(const char *name)
{
    static char texts[2][65536];
    static int next;
    char *text = texts[next++ % 2];

    text[0] = '\0';
    look_into(in_folder(name), text, sizeof texts[0]);
    return text;
}

void assert_nothing_left(void)
{
    assert_string_equal(look_below("tmp"), "");
}

enum mmgr_result run_import(mmgr_store *store, enum mmgr_import_kind kind, const char *path,
                            uint32_t flags, const char *models_dir, char **report)
{
    struct mmgr_import_options options = {.struct_size = sizeof options,
                                          .flags = flags,
                                          .kind = kind,
                                          .path = path,
                                          .models_dir = models_dir};

    return mmgr_store_import(store, &options, report);
}

json_t *import(mmgr_store *store, enum mmgr_import_kind kind, const char *path, uint32_t flags,
               const char *models_dir)
{
    char *text = NULL;
    json_t *report;

    assert_ok(run_import(store, kind, path, flags, models_dir, &text));
    report = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(report);
    mmgr_string_free(text);
    assert_int_equal(json_object_size(report), 8);
    assert_int_equal(count_of(report, "added"), count_of(report, "names"));
    assert_int_equal(json_integer_value(json_object_get(report, "linked_bytes")), 0);
    assert_int_equal(json_is_true(json_object_get(report, "dry_run")), flags != 0);
    assert_nothing_left();
    return report;
}

size_t count_of(const json_t *report, const char *list)
{
    const json_t *items = json_object_get(report, list);

    assert_true(json_is_array(items));
    return json_array_size(items);
}

const char *skipped(const json_t *report, size_t index, const char *member)
{
    const json_t *item = json_array_get(json_object_get(report, "skipped"), index);

    assert_int_equal(json_object_size(item), 6);
    assert_non_null(json_object_get(item, member));
    return json_string_value(json_object_get(item, member));
}

const char *content_of(mmgr_store *store)
{
    static char texts[2][65536];
    static int next;
    char *text = texts[next++ % 2];
    mmgr_record_list *list = NULL;

    text[0] = '\0';
    assert_ok(mmgr_store_search(store, NULL, &list));
    for (uint32_t i = 0; i < mmgr_record_list_count(list); i++) {
        size_t used = strlen(text);
        char *json = NULL;

        assert_ok(mmgr_record_to_json(mmgr_record_list_at(list, i), &json));
        snprintf(text + used, sizeof texts[0] - used, "%s\n", json);
        mmgr_string_free(json);
    }
    mmgr_record_list_free(list);
    return text;
}

sqlite3 *make_database(const char *path, const char *schema)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    run_sql(db, schema);
    return db;
}

void run_sql(sqlite3 *db, const char *sql)
{
    char *message = NULL;

    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s: %s", sql, message);
}

void insert_row(sqlite3 *db, const char *id, const char *config, const char *created_at)
{
    sqlite3_stmt *statement;

    assert_int_equal(sqlite3_prepare_v2(db,
                                        "INSERT INTO models(id, config, created_at)"
                                        " VALUES(?1, ?2, ?3)",
                                        -1, &statement, NULL),
                     SQLITE_OK);
    sqlite3_bind_text(statement, 1, id, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, config, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 3, created_at, -1, SQLITE_STATIC);
    if (sqlite3_step(statement) != SQLITE_DONE)
        fail_msg("%s: %s", config, sqlite3_errmsg(db));
    sqlite3_finalize(statement);
}
