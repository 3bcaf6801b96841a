/* SPDX-License-Identifier: MIT */
/* list, show, set, add, remove: the commands on records. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define MOST_RECORD_BYTES (16u << 20) /* a record file larger than that is no record */

int cli_print_record(struct cli *cli, const mmgr_record *record)
{
    char *json;

    if (mmgr_record_to_json(record, &json) != MMGR_OK) {
        return cli_fail_last(cli);
    }
    cli_print_text(cli, json);
    mmgr_string_free(json);
    return 0;
}

/* The texts of records are put together as they are, so that no number of theirs is rewritten. */
static int print_list_json(struct cli *cli, const mmgr_record_list *list, uint32_t count)
{
    uint32_t i;

    fputs("{\"models\":[", stdout);
    for (i = 0; i < count; i++) {
        char *json;

        if (mmgr_record_to_json(mmgr_record_list_at(list, i), &json) != MMGR_OK) {
            return cli_fail_last(cli);
        }
        printf("%s%s", i > 0 ? "," : "", json);
        mmgr_string_free(json);
    }
    printf("],\"total\":%llu", (unsigned long long)mmgr_record_list_total(list));
    if (count > 0 && mmgr_record_list_cursor(list) != NULL) {
        printf(",\"cursor\":\"%s\"", mmgr_record_list_cursor(list));
    }
    puts("}");
    return 0;
}

static int print_list(struct cli *cli, const mmgr_record_list *list, uint32_t count)
{
    static const enum mmgr_field fields[] = {MMGR_FIELD_KEY, MMGR_FIELD_NAME, MMGR_FIELD_TYPE,
                                             MMGR_FIELD_BASE, MMGR_FIELD_FORMAT};
    const size_t columns = sizeof fields / sizeof fields[0] + 1;
    const char **cells = calloc((count + 1) * columns, sizeof *cells);
    char(*sizes)[CLI_SIZE_TEXT] = calloc(count + 1, sizeof *sizes);
    int status = 0;
    uint32_t i;
    size_t j;

    if (cells == NULL || sizes == NULL) {
        status = cli_fail(cli, MMGR_ERR_NO_MEMORY, NULL, NULL, "out of memory");
    } else {
        for (j = 0; j + 1 < columns; j++) {
            cells[j] = mmgr_field_name(fields[j]);
        }
        cells[j] = "size";
        for (i = 0; i < count; i++) {
            const mmgr_record *record = mmgr_record_list_at(list, i);
            const char *size = mmgr_record_text(record, MMGR_FIELD_FILE_SIZE);
            const char **row = cells + (i + 1) * columns;

            for (j = 0; j + 1 < columns; j++) {
                row[j] = mmgr_record_text(record, fields[j]);
            }
            row[j] = size != NULL ? cli_size(sizes[i], strtoull(size, NULL, 10)) : NULL;
        }
        cli_table(cells, count + 1, columns);
        if (count < mmgr_record_list_total(list)) {
            printf("%u of %llu\n", count, (unsigned long long)mmgr_record_list_total(list));
        }
    }
    free(cells);
    free(sizes);
    return status;
}

int cli_list(struct cli *cli)
{
    struct mmgr_search_options search = {sizeof search};
    mmgr_record_list *list;
    mmgr_manager *manager;
    uint64_t limit;
    uint32_t count;
    int status = cli_number(cli, OPT_LIMIT, UINT64_MAX, &limit);

    if (status == 0) {
        status = cli_number(cli, OPT_OFFSET, 0, &search.offset);
    }
    if (status == 0) {
        status = cli_open_manager(cli, CLI_LOOK, &manager);
    }
    if (status != 0) {
        return status;
    }
    search.base = cli_value(cli, OPT_BASE);
    search.type = cli_value(cli, OPT_TYPE);
    search.format = cli_value(cli, OPT_FORMAT);
    search.name = cli_value(cli, OPT_NAME);
    search.filter = cli_value(cli, OPT_FILTER);
    search.text = cli_value(cli, OPT_SEARCH);
    search.cursor = cli_value(cli, OPT_AFTER);
    search.sort = cli_value(cli, OPT_SORT);
    search.tags = cli->options[OPT_TAG].items;
    search.tag_count = cli->options[OPT_TAG].count;
    // In the library 0 is "no limit"; here it is none at all, for those who want the total only.
    search.limit = limit == UINT64_MAX ? 0 : limit == 0 ? 1 : limit;
    if (mmgr_store_search(mmgr_manager_store(manager), &search, &list) != MMGR_OK) {
        status = cli_fail_last(cli);
    } else {
        count = limit == 0 ? 0 : mmgr_record_list_count(list);
        status = cli->json ? print_list_json(cli, list, count) : print_list(cli, list, count);
        mmgr_record_list_free(list);
    }
    mmgr_manager_close(manager);
    return status;
}

/* The record's JSON with the manifest as one more member, "files". */
static int print_shown_json(struct cli *cli, const mmgr_record *record)
{
    json_t *files = json_array();
    char *json, *rows, *end;
    uint32_t i;

    if (mmgr_record_to_json(record, &json) != MMGR_OK) {
        json_decref(files);
        return cli_fail_last(cli);
    }
    for (i = 0; i < mmgr_record_file_count(record); i++) {
        json_t *file = json_object();
        const char *sha256 = mmgr_record_file_hash(record, i, "sha256");

        json_object_set_new(file, "path", cli_json_text(mmgr_record_file_path(record, i)));
        json_object_set_new(file, "size", cli_json_size(mmgr_record_file_size(record, i)));
        json_object_set_new(file, "sha256", cli_json_text(sha256));
        json_array_append_new(files, file);
    }
    rows = json_dumps(files, JSON_COMPACT);
    end = strrchr(json, '}');
    if (rows != NULL && end != NULL) {
        printf("%.*s,\"files\":%s}\n", (int)(end - json), json, rows);
    }
    free(rows);
    json_decref(files);
    mmgr_string_free(json);
    return rows != NULL && end != NULL
               ? 0 : cli_fail(cli, MMGR_ERR_NO_MEMORY, NULL, NULL, "out of memory");
}

static void print_shown(const mmgr_record *record)
{
    char size[CLI_SIZE_TEXT];
    uint32_t i, j;

    for (i = 1; mmgr_field_name((enum mmgr_field)i) != NULL; i++) {
        enum mmgr_field field = (enum mmgr_field)i;
        const char *name = mmgr_field_name(field);

        // The hub's answer is long and meant for programs.
        if (field == MMGR_FIELD_SOURCE_API_RESPONSE) {
            continue;
        }
        for (j = 0; j < mmgr_record_list_size(record, field); j++) {
            cli_line(j == 0 ? name : "", mmgr_record_list_item(record, field, j));
        }
        if (j == 0) {
            cli_line(name, mmgr_record_text(record, field));
        }
    }
    cli_line("location", mmgr_record_location(record));
    for (i = 0; i < mmgr_record_file_count(record); i++) {
        const char *path = mmgr_record_file_path(record, i);

        printf("%-16s %10s  ", i == 0 ? "files" : "",
               cli_size(size, mmgr_record_file_size(record, i)));
        cli_put(stdout, path[0] != '\0' ? path : "(the file itself)");
        putchar('\n');
    }
}

int cli_show(struct cli *cli)
{
    mmgr_manager *manager;
    mmgr_record *record;
    int status = cli_open_manager(cli, CLI_LOOK, &manager);

    if (status != 0) {
        return status;
    }
    status = cli_find_record(cli, mmgr_manager_store(manager), cli->operands[0], &record);
    if (status == 0) {
        if (cli->json) {
            status = print_shown_json(cli, record);
        } else {
            print_shown(record);
        }
        mmgr_record_unref(record);
    }
    mmgr_manager_close(manager);
    return status;
}

int cli_set(struct cli *cli)
{
    mmgr_manager *manager;
    mmgr_record *record;
    char *patch;
    int status = cli_assignments(cli, cli->operands + 1, cli->operand_count - 1, &patch);

    if (status != 0) {
        return status;
    }
    status = cli_open_manager(cli, CLI_WRITE, &manager);
    if (status == 0) {
        if (mmgr_store_update(mmgr_manager_store(manager), cli->operands[0], patch, &record) !=
            MMGR_OK) {
            status = cli_fail_last(cli);
        } else {
            if (cli->json) {
                status = cli_print_record(cli, record);
            } else if (!cli->quiet) {
                printf("Changed %s\n", mmgr_record_text(record, MMGR_FIELD_KEY));
            }
            mmgr_record_unref(record);
        }
        mmgr_manager_close(manager);
    }
    free(patch);
    return status;
}

/* A whole small file as text; NULL after the message. */
static char *read_text(struct cli *cli, const char *path, int *status)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    char *text = malloc(MOST_RECORD_BYTES + 1);
    size_t length = 0;

    *status = 0;
    errno = file == NULL ? errno : 0;
    if (file != NULL && text != NULL) {
        length = fread(text, 1, MOST_RECORD_BYTES + 1, file);
    }
    if (text == NULL) {
        *status = cli_fail(cli, MMGR_ERR_NO_MEMORY, NULL, path, "out of memory");
    } else if (file == NULL || ferror(file)) {
        *status = cli_fail(cli, errno == ENOENT || errno == ENOTDIR ? MMGR_ERR_PATH_NOT_FOUND
                                : errno == EACCES ? MMGR_ERR_PERMISSION : MMGR_ERR_IO,
                           NULL, path, "%s: %s", path, strerror(errno));
    } else if (length > MOST_RECORD_BYTES) {
        *status = cli_fail(cli, MMGR_ERR_TOO_LARGE, NULL, path,
                           "%s: larger than a record can be (%u MiB)", path,
                           MOST_RECORD_BYTES >> 20);
    } else if (memchr(text, '\0', length) != NULL) {
        *status = cli_fail(cli, MMGR_ERR_INVALID_FILE, NULL, path,
                           "%s: holds a NUL byte, which no JSON text does", path);
    } else {
        text[length] = '\0';
    }
    if (file != NULL && file != stdin) {
        fclose(file);
    }
    if (*status != 0) {
        free(text);
        text = NULL;
    }
    return text;
}

/* The record that a JSON text is, which may also be what show printed: its list of files is no field
 * of a record, and is left out. */
static int make_record(struct cli *cli, const char *json, mmgr_record **record)
{
    mmgr_record_builder *builder;
    int status = 0;

    if (mmgr_record_builder_new(NULL, &builder) != MMGR_OK) {
        return cli_fail_last(cli);
    }
    if (mmgr_record_builder_merge(builder, json) != MMGR_OK ||
        mmgr_record_builder_merge(builder, "{\"files\":null}") != MMGR_OK ||
        mmgr_record_builder_build(builder, record) != MMGR_OK) {
        status = cli_fail_last(cli);
    }
    mmgr_record_builder_free(builder);
    return status;
}

int cli_add(struct cli *cli)
{
    mmgr_record *record, *added;
    mmgr_manager *manager;
    int status;
    char *json = read_text(cli, cli->operands[0], &status);

    if (json == NULL) {
        return status;
    }
    // The record is judged before a root is made for it.
    status = make_record(cli, json, &record);
    free(json);
    if (status != 0) {
        return status;
    }
    status = cli_open_manager(cli, CLI_WRITE, &manager);
    if (status == 0) {
        if (mmgr_store_add(mmgr_manager_store(manager), record, &added) != MMGR_OK) {
            status = cli_fail_last(cli);
        } else {
            if (cli->json) {
                status = cli_print_record(cli, added);
            } else if (!cli->quiet) {
                printf("Added %s\n", mmgr_record_text(added, MMGR_FIELD_KEY));
            }
            mmgr_record_unref(added);
        }
        mmgr_manager_close(manager);
    }
    mmgr_record_unref(record);
    return status;
}

int cli_remove(struct cli *cli)
{
    enum mmgr_remove_mode mode = cli_has(cli, OPT_KEEP_FILES) ? MMGR_REMOVE_KEEP
                                 : cli_has(cli, OPT_FORCE)    ? MMGR_REMOVE_FORCE
                                                              : MMGR_REMOVE_INSIDE;
    const char *key = cli->operands[0];
    mmgr_manager *manager;
    char *deleted;
    int status;

    if (cli_has(cli, OPT_KEEP_FILES) && cli_has(cli, OPT_FORCE)) {
        return cli_fail_usage(cli, "--keep-files and --force exclude each other");
    }
    status = cli_open_manager(cli, CLI_WRITE, &manager);
    if (status != 0) {
        return status;
    }
    if (mmgr_installer_remove(mmgr_manager_installer(manager), key, mode, &deleted) != MMGR_OK) {
        status = cli_fail_last(cli);
    } else {
        json_t *paths = json_loads(deleted, 0, NULL);

        if (cli->json) {
            status = cli_print_tree(cli, json_pack("{s:s, s:o}", "key", key, "deleted",
                                                   paths != NULL ? paths : json_array()));
        } else {
            if (!cli->quiet) {
                printf("Removed %s, %zu file(s) deleted\n", key, json_array_size(paths));
            }
            json_decref(paths);
        }
        mmgr_string_free(deleted);
    }
    mmgr_manager_close(manager);
    return status;
}
