/* SPDX-License-Identifier: MIT */
/* Which files of a folder are its weights: by component, by variant, whole files before shards. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/path.h"
#include "format/folder.h"
#include "format/header.h"

#define SUFFIX       ".safetensors"
#define STEM_ROOM    128
#define VARIANT_ROOM 24

/* A weight file's or index's name taken apart: stem[.variant][-NNNNN-of-NNNNN]. */
struct part {
    const char *name;
    char stem[STEM_ROOM], variant[VARIANT_ROOM];
    unsigned shard, shards; /* 0 of 0: whole */
    int index;
};
struct parts {
    struct part *items;
    size_t count, capacity;
};

/* Stems that the libraries look for; when one is there, the others of its folder are other
 * copies. */
static const char *const usual_stems[] = {"diffusion_pytorch_model", "model", "pytorch_model",
                                          "pytorch_lora_weights", "learned_embeds"};

/* Take "-00001-of-00004" from the end of a text. */
static void take_shard(char *text, unsigned *shard, unsigned *shards)
{
    size_t length = strlen(text);
    unsigned a, b;
    char end;

    if (length <= 15 || sscanf(text + length - 15, "-%5u-of-%5u%c", &a, &b, &end) != 2 || a == 0 ||
        a > b)
        return;
    *shard = a;
    *shards = b;
    text[length - 15] = '\0';
}

/* Take ".fp16" from the end of a text: a short word that begins with a letter. */
static void take_variant(char *text, char variant[VARIANT_ROOM])
{
    char *dot = strrchr(text, '.');

    if (dot == NULL || dot == text || strlen(dot + 1) >= VARIANT_ROOM || dot[1] < 'a' ||
        dot[1] > 'z' || strspn(dot + 1, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(dot + 1))
        return;
    memcpy(variant, dot + 1, strlen(dot + 1) + 1);
    *dot = '\0';
}

/* 1 when the name is that of a safetensors file or of an index of such. */
static int take_apart(const char *name, struct part *part)
{
    char text[STEM_ROOM + 64];
    char *index;

    *part = (struct part){.name = name};
    if (strlen(name) >= STEM_ROOM)
        return 0;
    memcpy(text, name, strlen(name) + 1);
    index = strstr(text, SUFFIX ".index.");
    if (index != NULL && mmgr__ends_with(index, ".json")) {
        part->index = 1;
        /* Either "model.fp16.safetensors.index.json" or "model.safetensors.index.fp16.json". */
        char *inner = index + strlen(SUFFIX ".index");
        inner[strlen(inner) - strlen(".json")] = '\0';
        take_variant(inner - 1, part->variant);
    } else if (mmgr__ends_with_nocase(text, SUFFIX)) {
        index = text + strlen(text) - strlen(SUFFIX);
    } else {
        return 0;
    }
    *index = '\0';
    take_shard(text, &part->shard, &part->shards);
    if (part->variant[0] == '\0')
        take_variant(text, part->variant);
    if (part->shards == 0)
        take_shard(text, &part->shard, &part->shards);
    memcpy(part->stem, text, strlen(text) + 1);
    return part->stem[0] != '\0';
}

int mmgr__weight_variant(const char *name, char *variant, size_t room)
{
    struct part part;

    if (!take_apart(mmgr__path_basename(name), &part) || room < VARIANT_ROOM)
        return 0;
    memcpy(variant, part.variant, VARIANT_ROOM);
    return 1;
}

int mmgr__selection_add(struct mmgr__selection *selection, const char *folder, const char *name,
                        uint32_t group)
{
    void *array = selection->weights;
    char *path = folder[0] == '\0' ? mmgr__strdup(name) : mmgr__path_join(folder, name);

    if (path == NULL || !mmgr__grow(&array, &selection->capacity, selection->count + 1,
                                    sizeof(selection->weights[0]))) {
        mmgr__free(path);
        return 0;
    }
    selection->weights = array;
    selection->weights[selection->count++] = (struct mmgr__weight){path, group};
    return 1;
}

void mmgr__selection_free(struct mmgr__selection *selection)
{
    for (size_t i = 0; i < selection->count; i++)
        mmgr__free(selection->weights[i].path);
    for (size_t i = 0; i < selection->index_count; i++) {
        mmgr__free(selection->indexes[i].text);
        mmgr__free(selection->indexes[i].path);
        mmgr__free(selection->indexes[i].map);
    }
    mmgr__free(selection->weights);
    mmgr__free(selection->indexes);
    *selection = (struct mmgr__selection){0};
}

static int has_variant(const struct parts *parts, const char *stem, const char *variant)
{
    for (size_t i = 0; i < parts->count; i++)
        if (strcmp(parts->items[i].stem, stem) == 0 &&
            strcmp(parts->items[i].variant, variant) == 0)
            return 1;
    return 0;
}

/* The wanted variant of a stem; else the nearest that is there, full precision first. */
static const char *choose_variant(const struct parts *parts, const char *stem, const char *wanted)
{
    static const char *const order[] = {"", "fp32", "fp16", "bf16"};

    if (wanted != NULL && strcmp(wanted, "default") == 0)
        wanted = "";
    if (wanted != NULL && has_variant(parts, stem, wanted))
        return wanted;
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
        if (has_variant(parts, stem, order[i]))
            return order[i];
    for (size_t i = 0; i < parts->count; i++)
        if (strcmp(parts->items[i].stem, stem) == 0)
            return parts->items[i].variant;
    return "";
}

static enum mmgr_result add_shards(const struct parts *parts, const char *folder,
                                   const struct part *first, struct mmgr__selection *selection)
{
    uint32_t group = selection->groups++;

    for (unsigned shard = 1; shard <= first->shards; shard++) {
        const struct part *found = NULL;
        for (size_t i = 0; i < parts->count && found == NULL; i++) {
            const struct part *part = &parts->items[i];
            if (part->shard == shard && part->shards == first->shards &&
                strcmp(part->stem, first->stem) == 0 && strcmp(part->variant, first->variant) == 0)
                found = part;
        }
        if (found == NULL) {
            mmgr__fail(MMGR_ERR_INVALID_FILE, "shard %u of %u of %s is missing", shard,
                       first->shards, first->name);
            mmgr__error_set_subject(first->name);
            return MMGR_ERR_INVALID_FILE;
        }
        if (!mmgr__selection_add(selection, folder, found->name, group))
            return mmgr__oom();
    }
    return MMGR_OK;
}

/* Add the files of one stem: one whole file, else what an index lists, else a full set of
 * shards. */
static enum mmgr_result add_stem(struct mmgr__folder *folder, const struct parts *parts,
                                 const char *path, const char *stem, const char *wanted,
                                 struct mmgr__selection *selection)
{
    const char *variant = choose_variant(parts, stem, wanted);
    const struct part *whole = NULL, *index = NULL, *shard = NULL;

    for (size_t i = 0; i < parts->count; i++) {
        const struct part *part = &parts->items[i];
        if (strcmp(part->stem, stem) != 0 || strcmp(part->variant, variant) != 0)
            continue;
        if (part->index)
            index = part;
        else if (part->shards == 0)
            whole = part;
        else if (shard == NULL)
            shard = part;
    }
    if (whole != NULL)
        return mmgr__selection_add(selection, path, whole->name, selection->groups++) ? MMGR_OK
                                                                                      : mmgr__oom();
    if (index == NULL)
        return add_shards(parts, path, shard, selection);
    char *joined = path[0] == '\0' ? mmgr__strdup(index->name) : mmgr__path_join(path, index->name);
    enum mmgr_result result =
        joined == NULL ? mmgr__oom() : mmgr__index_add(folder, joined, selection);
    mmgr__free(joined);
    return result;
}

static int stem_seen(const struct parts *parts, size_t before)
{
    for (size_t i = 0; i < before; i++)
        if (strcmp(parts->items[i].stem, parts->items[before].stem) == 0)
            return 1;
    return 0;
}

static enum mmgr_result add_parts(struct mmgr__folder *folder, const struct parts *parts,
                                  const char *path, const char *wanted,
                                  struct mmgr__selection *selection)
{
    enum mmgr_result result = MMGR_OK;

    for (size_t u = 0; u < sizeof(usual_stems) / sizeof(usual_stems[0]); u++)
        for (size_t i = 0; i < parts->count; i++)
            if (strcmp(parts->items[i].stem, usual_stems[u]) == 0)
                return add_stem(folder, parts, path, usual_stems[u], wanted, selection);
    for (size_t i = 0; result == MMGR_OK && i < parts->count; i++)
        if (!stem_seen(parts, i))
            result = add_stem(folder, parts, path, parts->items[i].stem, wanted, selection);
    return result;
}

/* The weights that lie in one folder, if any. */
static enum mmgr_result select_in(struct mmgr__folder *folder, const char *path, const char *wanted,
                                  struct mmgr__selection *selection)
{
    struct mmgr__strings files = {0}, folders = {0};
    struct parts parts = {0};
    enum mmgr_result result = mmgr__folder_list(folder, path, &files, &folders);

    for (size_t i = 0; result == MMGR_OK && i < files.count; i++) {
        struct part part;
        void *array = parts.items;
        if (!take_apart(files.items[i], &part)) {
            if (selection->foreign == NULL && mmgr__is_weight_name(files.items[i]))
                selection->foreign =
                    mmgr__foreign_format((const unsigned char *)"", 0, files.items[i]);
            continue;
        }
        if (parts.count == 4096)
            result = mmgr__fail(MMGR_ERR_INVALID_FILE, "%s/%s: more than 4096 weight files",
                                mmgr__folder_path(folder), path);
        else if (!mmgr__grow(&array, &parts.capacity, parts.count + 1, sizeof(part)))
            result = mmgr__oom();
        else {
            parts.items = array;
            parts.items[parts.count++] = part;
        }
    }
    if (result == MMGR_OK)
        result = add_parts(folder, &parts, path, wanted, selection);
    mmgr__free(parts.items);
    mmgr__strings_free(&files);
    mmgr__strings_free(&folders);
    return result;
}

/* Each component that model_index.json names and that is there. */
static enum mmgr_result select_pipeline(struct mmgr__folder *folder, const json_t *index,
                                        const char *wanted, struct mmgr__selection *selection)
{
    const char *member;
    json_t *value;

    json_object_foreach((json_t *)index, member, value)
    {
        if (!json_is_array(value) || json_is_null(json_array_get(value, 0)))
            continue;
        enum mmgr_result result = mmgr__path_check_component(member);
        if (result == MMGR_OK)
            result = select_in(folder, member, wanted, selection);
        if (result == MMGR_ERR_PATH_NOT_FOUND)
            continue;
        if (result != MMGR_OK) {
            mmgr__error_prefix("model_index.json of %s", mmgr__folder_path(folder));
            return result;
        }
    }
    return MMGR_OK;
}

static enum mmgr_result select_subfolders(struct mmgr__folder *folder, const char *wanted,
                                          struct mmgr__selection *selection)
{
    struct mmgr__strings files = {0}, folders = {0};
    enum mmgr_result result = mmgr__folder_list(folder, "", &files, &folders);

    for (size_t i = 0; result == MMGR_OK && i < folders.count; i++)
        result = select_in(folder, folders.items[i], wanted, selection);
    mmgr__strings_free(&files);
    mmgr__strings_free(&folders);
    return result;
}

static enum mmgr_result select_whole(struct mmgr__folder *folder, const char *wanted,
                                     struct mmgr__selection *selection)
{
    json_t *index = NULL;
    enum mmgr_result result = mmgr__folder_config(folder, "model_index.json", &index);
    int pipeline = index != NULL;

    if (result == MMGR_OK && pipeline)
        result = select_pipeline(folder, index, wanted, selection);
    json_decref(index);
    if (result == MMGR_OK && selection->count == 0)
        result = select_in(folder, "", wanted, selection);
    if (result == MMGR_OK && selection->count == 0 && !pipeline)
        result = select_subfolders(folder, wanted, selection);
    return result;
}

static enum mmgr_result select_component(struct mmgr__folder *folder, const char *component,
                                         const char *wanted, struct mmgr__selection *selection)
{
    enum mmgr_result result = mmgr__path_check_component(component);

    if (result != MMGR_OK)
        return result;
    result = select_in(folder, component, wanted, selection);
    if (result == MMGR_ERR_PATH_NOT_FOUND ||
        (result == MMGR_ERR_IO && mmgr_error_os_errno(mmgr_last_error()) == ENOTDIR)) {
        mmgr__fail(MMGR_ERR_UNKNOWN_SUBMODEL, "%s has no folder \"%s\"", mmgr__folder_path(folder),
                   component);
        mmgr__error_set_subject(component);
        return MMGR_ERR_UNKNOWN_SUBMODEL;
    }
    return result;
}

enum mmgr_result mmgr__folder_select(struct mmgr__folder *folder, const char *component,
                                     const char *variant, struct mmgr__selection *selection)
{
    struct mmgr__selection fresh = {0};
    const char *path = mmgr__folder_path(folder);
    enum mmgr_result result = component != NULL && component[0] != '\0'
                                  ? select_component(folder, component, variant, &fresh)
                                  : select_whole(folder, variant, &fresh);

    if (result == MMGR_OK && fresh.count == 0) {
        if (fresh.foreign != NULL)
            result = mmgr__fail(MMGR_ERR_UNSUPPORTED,
                                "%s: its weights are in %s files, which this release "
                                "does not read",
                                path, fresh.foreign);
        else
            result = mmgr__fail(MMGR_ERR_INVALID_FILE, "%s%s%s: no weight file in it", path,
                                component != NULL ? "/" : "", component != NULL ? component : "");
        mmgr__error_set_subject(path);
    }
    if (result != MMGR_OK) {
        mmgr__selection_free(&fresh);
        return result;
    }
    *selection = fresh;
    return MMGR_OK;
}
