/* SPDX-License-Identifier: MIT */
/* The table of default settings: which each type of model has, and what their values may be. */
#include "base/settings.h"

#include <stdio.h>
#include <string.h>

#include "base/record_parts.h"

enum kind { TEXT, BOOL, WHOLE, REAL };

struct setting {
    const char *type; /* of the models that have it */
    const char *name;
    enum kind kind;
    double least;             /* of numbers */
    double below;             /* of numbers: must be less; 0: no bound */
    int multiple;             /* of whole numbers; 0: any */
    const char *const *texts; /* of texts: the only ones, ended by NULL; NULL: any */
};

static const char *const vae_precisions[] = {"fp16", "fp32", NULL};

#define PREPROCESSOR(type)                    \
    {                                         \
        type, "preprocessor", TEXT, 0, 0, 0, NULL \
    }
#define ANY_NUMBER (-1e300)

static const struct setting settings[] = {
    {"main", "vae", TEXT, 0, 0, 0, NULL},
    {"main", "vae_precision", TEXT, 0, 0, 0, vae_precisions},
    {"main", "scheduler", TEXT, 0, 0, 0, NULL},
    {"main", "steps", WHOLE, 1, 0, 0, NULL},
    {"main", "cfg_scale", REAL, 1, 0, 0, NULL},
    {"main", "cfg_rescale_multiplier", REAL, 0, 1, 0, NULL},
    {"main", "width", WHOLE, 64, 0, 8, NULL},
    {"main", "height", WHOLE, 64, 0, 8, NULL},
    {"main", "guidance", REAL, 1, 0, 0, NULL},
    {"main", "cpu_only", BOOL, 0, 0, 0, NULL},
    {"main", "fp8_storage", BOOL, 0, 0, 0, NULL},
    PREPROCESSOR("controlnet"),
    PREPROCESSOR("t2i_adapter"),
    PREPROCESSOR("control_lora"),
    {"lora", "weight", REAL, ANY_NUMBER, 0, 0, NULL},
    {"lora", "weight_min", REAL, ANY_NUMBER, 0, 0, NULL},
    {"lora", "weight_max", REAL, ANY_NUMBER, 0, 0, NULL},
};
#define COUNT (sizeof settings / sizeof settings[0])

/* Bounds of a LoRA's weight where the settings do not say them. */
#define WEIGHT_MIN (-1.0)
#define WEIGHT_MAX 2.0

static int has_settings(const char *type)
{
    for (size_t i = 0; i < COUNT; i++) {
        if (strcmp(settings[i].type, type) == 0)
            return 1;
    }
    return 0;
}

static const struct setting *find(const char *type, const char *name)
{
    for (size_t i = 0; i < COUNT; i++) {
        if (strcmp(settings[i].type, type) == 0 && strcmp(settings[i].name, name) == 0)
            return &settings[i];
    }
    return NULL;
}

static int is_one_of(const char *text, const char *const *texts)
{
    for (; texts != NULL && *texts != NULL; texts++) {
        if (strcmp(*texts, text) == 0)
            return 1;
    }
    return texts == NULL;
}

/* What a number must be, in words. */
static void say_range(const struct setting *setting, char *why, size_t room)
{
    char below[48] = "";

    if (setting->below > 0)
        snprintf(below, sizeof below, " and less than %g", setting->below);
    snprintf(why, room, "must be at least %g%s", setting->least, below);
}

static void say_texts(const struct setting *setting, char *why, size_t room)
{
    size_t used = (size_t)snprintf(why, room, "must be one of");

    for (size_t i = 0; setting->texts[i] != NULL && used < room; i++)
        used += (size_t)snprintf(why + used, room - used, "%s %s", i > 0 ? "," : "",
                                 setting->texts[i]);
}

/* Leaves why empty when the value may stand, else says what it must be. */
static void look_at(const struct setting *setting, const json_t *value, char *why, size_t room)
{
    double number = json_number_value(value);
    const char *kind = NULL;

    if (json_is_null(value))
        return;
    switch (setting->kind) {
    case TEXT:
        kind = json_is_string(value) ? NULL : "must be text";
        if (kind == NULL && !is_one_of(json_string_value(value), setting->texts))
            say_texts(setting, why, room);
        break;
    case BOOL:
        kind = json_is_boolean(value) ? NULL : "must be true or false";
        break;
    case WHOLE:
        kind = json_is_integer(value) ? NULL : "must be a whole number";
        break;
    case REAL:
        kind = json_is_number(value) ? NULL : "must be a number";
        break;
    }
    if (kind != NULL)
        snprintf(why, room, "%s", kind);
    else if (setting->multiple > 0 && json_integer_value(value) % setting->multiple != 0)
        snprintf(why, room, "must be a multiple of %d", setting->multiple);
    else if (json_is_number(value) &&
             (number < setting->least || (setting->below > 0 && number >= setting->below)))
        say_range(setting, why, room);
}

static enum mmgr_result bad(const mmgr_record *record, const char *name, const char *why)
{
    char field[128];

    snprintf(field, sizeof field, "default_settings.%.100s", name);
    return mmgr__record_bad(record, field, "%s", why);
}

/* A number of the settings, or what stands for it where it is not set. */
static double number_of(const json_t *object, const char *name, double otherwise)
{
    const json_t *value = json_object_get(object, name);

    return json_is_number(value) ? json_number_value(value) : otherwise;
}

static enum mmgr_result check_weight(const mmgr_record *record, const json_t *object)
{
    double least = number_of(object, "weight_min", WEIGHT_MIN);
    double most = number_of(object, "weight_max", WEIGHT_MAX);
    double weight = number_of(object, "weight", least);

    if (least >= most)
        return bad(record, "weight_min", "must be less than weight_max");
    return weight < least || weight > most
               ? bad(record, "weight", "is not between weight_min and weight_max") : MMGR_OK;
}

enum mmgr_result mmgr__settings_check(const mmgr_record *record)
{
    const char *type = record->text[MMGR_FIELD_TYPE];
    const char *text = record->text[MMGR_FIELD_DEFAULT_SETTINGS], *name;
    enum mmgr_result result = MMGR_OK;
    json_t *object, *value;

    if (text == NULL || !has_settings(type))
        return MMGR_OK;
    result = mmgr__json_parse(text, strlen(text), MMGR_ERR_INVALID_CONFIG, "default_settings",
                              &object);
    if (result != MMGR_OK)
        return mmgr__record_bad(record, "default_settings", "is no valid object");
    json_object_foreach(object, name, value) {
        const struct setting *setting = find(type, name);
        char why[128] = "";

        if (setting != NULL)
            look_at(setting, value, why, sizeof why);
        else
            snprintf(why, sizeof why, "does not exist for models of type %.64s", type);
        if (result == MMGR_OK && why[0] != '\0')
            result = bad(record, name, why);
    }
    if (result == MMGR_OK && strcmp(type, "lora") == 0)
        result = check_weight(record, object);
    json_decref(object);
    return result;
}
