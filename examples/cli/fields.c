/* SPDX-License-Identifier: MIT */
/* FIELD=VALUE texts of the command line as the JSON object that the library takes. */
#include <string.h>

#include "cli.h"

/* JSON value that a text means for a field. *value is NULL when it is malformed. */
static json_t *value_of(const char *field, size_t length, const char *text)
{
    static const char *const lists[] = {"bases", "tags", "trigger_phrases"};
    static const char *const literals[] = {
        "upcast_attention", "default_settings", "file_size",       "converted_at",
        "cpu_only",         "has_dual_expert",  "boundary_ratio",  "latent_channels",
        "cond_in_channels", "submodels",        "capabilities"};
    size_t i;

    if (*text == '\0') {
        return json_null();
    }
    for (i = 0; i < sizeof literals / sizeof literals[0]; i++) {
        if (strlen(literals[i]) == length && memcmp(literals[i], field, length) == 0) {
            return json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
        }
    }
    for (i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        if (strlen(lists[i]) != length || memcmp(lists[i], field, length) != 0) {
            continue;
        }
        if (*text == '[') {
            return json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        }
        json_t *array = json_array();
        while (*text != '\0') {
            size_t skip = strspn(text, " ");
            size_t item = strcspn(text + skip, ",");

            json_array_append_new(array, json_stringn(text + skip, item));
            text += skip + item;
            text += *text == ',';
        }
        return array;
    }
    return json_string(text);
}

static int is_field(const char *name, size_t length)
{
    int i;

    for (i = 1; mmgr_field_name((enum mmgr_field)i) != NULL; i++) {
        const char *known = mmgr_field_name((enum mmgr_field)i);

        if (strlen(known) == length && memcmp(known, name, length) == 0) {
            return 1;
        }
    }
    return 0;
}

int cli_assignments(struct cli *cli, const char *const *texts, uint32_t count, char **json)
{
    json_t *object;
    uint32_t i;
    int status = 0;

    *json = NULL;
    if (count == 0) {
        return 0;
    }
    object = json_object();
    for (i = 0; i < count && status == 0; i++) {
        const char *equals = strchr(texts[i], '=');
        size_t length = equals != NULL ? (size_t)(equals - texts[i]) : 0;
        char field[64];
        json_t *value;

        if (length == 0) {
            status = cli_fail_usage(cli, "\"%s\" is not of the form FIELD=VALUE", texts[i]);
            break;
        }
        snprintf(field, sizeof field, "%.*s", (int)length, texts[i]);
        if (!is_field(texts[i], length)) {
            status = cli_fail(cli, MMGR_ERR_INVALID_CONFIG, field, NULL,
                              "a record has no field \"%s\"", field);
            break;
        }
        value = value_of(texts[i], length, equals + 1);
        if (value == NULL) {
            status = cli_fail(cli, MMGR_ERR_INVALID_CONFIG, field, NULL,
                              "field \"%s\" cannot have the value \"%s\"", field, equals + 1);
        } else if (json_object_set_new(object, field, value) != 0) {
            status = cli_fail(cli, MMGR_ERR_NO_MEMORY, NULL, NULL, "out of memory");
        }
    }
    if (status == 0 && (*json = json_dumps(object, JSON_COMPACT)) == NULL) {
        status = cli_fail(cli, MMGR_ERR_NO_MEMORY, NULL, NULL, "out of memory");
    }
    json_decref(object);
    return status;
}
