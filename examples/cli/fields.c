/* SPDX-License-Identifier: MIT */
/* FIELD=VALUE texts of the command line as the JSON object that the library takes. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

enum form { TEXT, LIST, LITERAL };

/* Forms of the fields that are not plain text. */
static const struct {
    const char *field;
    enum form form;
} forms[] = {
    {"bases", LIST},
    {"tags", LIST},
    {"trigger_phrases", LIST},
    {"upcast_attention", LITERAL},
    {"default_settings", LITERAL},
    {"file_size", LITERAL},
    {"converted_at", LITERAL},
    {"cpu_only", LITERAL},
    {"has_dual_expert", LITERAL},
    {"boundary_ratio", LITERAL},
    {"latent_channels", LITERAL},
    {"cond_in_channels", LITERAL},
    {"submodels", LITERAL},
    {"capabilities", LITERAL},
};

/* What no table knows may be anything, so it is JSON where it can be. */
static enum form form_of(const char *field)
{
    size_t i;

    for (i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (strcmp(forms[i].field, field) == 0) {
            return forms[i].form;
        }
    }
    for (i = 1; mmgr_field_name((enum mmgr_field)i) != NULL; i++) {
        if (strcmp(mmgr_field_name((enum mmgr_field)i), field) == 0) {
            return TEXT;
        }
    }
    return LITERAL;
}

/* Items separated by commas, without the blanks around them. */
static json_t *list_of(const char *text)
{
    json_t *array = json_array();

    while (array != NULL && *text != '\0') {
        size_t skip = strspn(text, " ");
        size_t item = strcspn(text + skip, ",");
        size_t length = item;

        while (length > 0 && text[skip + length - 1] == ' ') {
            length--;
        }
        if (json_array_append_new(array, json_stringn(text + skip, length)) != 0) {
            json_decref(array);
            return NULL;
        }
        text += skip + item;
        text += *text == ',';
    }
    return array;
}

/* JSON value that a text means for a field; NULL when it is malformed. Whether the field can have
 * that value, the library says. */
static json_t *value_of(const char *field, const char *text, json_error_t *error)
{
    enum form form = form_of(field);
    int structured = *text == '[' || *text == '{';
    json_t *value;

    snprintf(error->text, sizeof error->text, "it is not valid UTF-8");
    if (*text == '\0') {
        return json_null();
    }
    if (form == LIST && !structured) {
        return list_of(text);
    }
    if (form == TEXT) {
        return json_string(text);
    }
    value = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, error);
    return value == NULL && !structured ? json_string(text) : value;
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
        json_error_t error;
        json_t *value;
        char *field;

        if (length == 0) {
            status = cli_fail_usage(cli, "\"%s\" is not of the form FIELD=VALUE", texts[i]);
            break;
        }
        field = strndup(texts[i], length);
        value = field != NULL ? value_of(field, equals + 1, &error) : NULL;
        if (field == NULL || (value != NULL && json_object_set_new(object, field, value) != 0)) {
            status = cli_fail(cli, MMGR_ERR_NO_MEMORY, NULL, NULL, "out of memory");
        } else if (value == NULL) {
            status = cli_fail(cli, MMGR_ERR_INVALID_CONFIG, field, NULL,
                              "field \"%s\" cannot have this value: %s", field, error.text);
        }
        free(field);
    }
    if (status == 0 && (*json = json_dumps(object, JSON_COMPACT)) == NULL) {
        status = cli_fail(cli, MMGR_ERR_NO_MEMORY, NULL, NULL, "out of memory");
    }
    json_decref(object);
    return status;
}
