/* SPDX-License-Identifier: MIT */
/* Calls once into each fallback dependency that was built, and prints the version it answers. */
#include <stdio.h>
#include <string.h>

#ifdef HAVE_JANSSON
#include <jansson.h>
#endif
#ifdef HAVE_LIBYAML
#include <yaml.h>
#endif
#ifdef HAVE_XXHASH
#include <xxhash.h>
#endif
#ifdef HAVE_SQLITE3
#include <sqlite3.h>
#endif

int main(void)
{
    int failed = 0;

#ifdef HAVE_JANSSON
    json_t *value = json_loads("{\"a\": [1, 2.5, \"x\"]}", 0, NULL);
    failed |= value == NULL || json_array_size(json_object_get(value, "a")) != 3;
    json_decref(value);
    printf("jansson %s\n", JANSSON_VERSION);
#endif
#ifdef HAVE_LIBYAML
    yaml_parser_t parser;
    yaml_event_t event;
    failed |= !yaml_parser_initialize(&parser);
    yaml_parser_set_input_string(&parser, (const unsigned char *)"a: 1\n", 5);
    failed |= !yaml_parser_parse(&parser, &event) || event.type != YAML_STREAM_START_EVENT;
    yaml_event_delete(&event);
    yaml_parser_delete(&parser);
    printf("libyaml %s\n", yaml_get_version_string());
#endif
#ifdef HAVE_XXHASH
    XXH128_hash_t hash = XXH3_128bits("", 0);
    /* The published value of XXH3-128 of no bytes. */
    failed |= hash.high64 != 0x99aa06d3014798d8u || hash.low64 != 0x6001c324468d497fu;
    printf("xxHash %u\n", XXH_versionNumber());
#endif
#ifdef HAVE_SQLITE3
    sqlite3 *db = NULL;
    failed |= sqlite3_open(":memory:", &db) != SQLITE_OK;
    failed |= sqlite3_exec(db, "CREATE VIRTUAL TABLE t USING fts5(x)", NULL, NULL, NULL) != 0;
    failed |= strcmp(sqlite3_libversion(), SQLITE_VERSION) != 0;
    sqlite3_close(db);
    printf("SQLite %s\n", sqlite3_libversion());
#endif
    if (failed)
        puts("a library answered wrongly");
    return failed;
}
