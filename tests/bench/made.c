/* SPDX-License-Identifier: MIT */
/* The generator of records. */
#include "made.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/record.h"
#include "base/text.h"
#include "base/thread.h"

/* Parts per thousand of all records. */
static const struct {
    uint32_t share;
    const char *type, *format;
} kinds[] = {
    {560, "lora", "lycoris"},         {170, "main", "checkpoint"},
    {70, "main", "diffusers"},        {70, "embedding", "embedding_file"},
    {40, "controlnet", "diffusers"},  {30, "vae", "checkpoint"},
    {20, "main", "gguf_quantized"},   {15, "ip_adapter", "invokeai"},
    {10, "t2i_adapter", "diffusers"}, {10, "t5_encoder", "t5_encoder"},
    {5, "clip_vision", "diffusers"},
};

static const struct {
    uint32_t share;
    const char *base;
} bases[] = {{420, "sdxl"}, {270, "sd-1"}, {170, "flux"}, {50, "sd-3"},
             {40, "sd-2"},  {30, "wan"},   {20, "any"}};

static const char *const tag_words[] = {
    "character",    "style",     "anime",        "concept",   "photorealistic", "clothing",
    "woman",        "celebrity", "game",         "portrait",  "fantasy",        "landscape",
    "background",   "vehicle",   "cartoon",      "manga",     "scifi",          "tool",
    "detail",       "lighting",  "architecture", "poses",     "animal",         "comics",
    "illustration", "retro",     "horror",       "cyberpunk", "watercolor",     "sketch",
    "pixel",        "food"};
static const char *const tag_kinds[] = {"",      " art",     " base",  "-style", " pack",  "_v2",
                                        " xl",   " lora",    " model", " ultra", " mixed", "-core",
                                        " soft", " classic", " turbo", " study"};

static const char *const words[] = {
    "a",          "model",       "trained", "on",       "images",      "of",       "the",
    "best",       "results",     "with",    "weight",   "between",     "and",      "for",
    "high",       "quality",     "details", "lighting", "use",         "this",     "negative",
    "prompt",     "recommended", "steps",   "sampler",  "version",     "improved", "hands",
    "faces",      "merged",      "from",    "several",  "checkpoints", "dataset",  "captions",
    "resolution", "works",       "well",    "at",       "low",         "strength", "style",
    "inspired",   "by",          "classic", "painters", "realistic",   "skin",     "texture",
    "colours",    "are",         "more",    "vivid",    "than",        "before",   "please",
    "credit",     "author",      "when",    "sharing",  "schön",       "détail",   "“soft”",
    "光",         "no",          "baked",   "vae",      "included"};

static const char *const moods[] = {
    "Realistic", "Dream",   "Absolute", "Cyber",  "Epic",   "Detail", "Vivid",   "Neon",
    "Ancient",   "Crystal", "Lunar",    "Solar",  "Velvet", "Iron",   "Emerald", "Golden",
    "Silent",    "Arcane",  "Mystic",   "Photon", "Pastel", "Analog", "Cosmic",  "Urban",
    "Winter",    "Summer",  "Crimson",  "Azure",  "Hyper",  "Ultra",  "Soft",    "Noir"};
static const char *const things[] = {
    "Vision",  "Shaper", "Diffusion", "Tweaker", "Enhancer", "Mix",     "Portrait", "Engine",
    "Forge",   "Canvas", "Render",    "Sketch",  "Illusion", "Reality", "Painter",  "Lens",
    "Studio",  "Spirit", "Horizon",   "Garden",  "Machine",  "Story",   "Light",    "Shadow",
    "Realism", "Style",  "Texture",   "Fusion",  "Pulse",    "Wonder",  "Atlas",    "Film"};

#define COUNT(list)   (sizeof(list) / sizeof(list)[0])
#define PICK(s, list) (list)[below(s, COUNT(list))]

/* A generator of our own, so that the records are the same everywhere. */
static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint32_t below(uint64_t *state, uint64_t end)
{
    return (uint32_t)(next(state) % end);
}

/* The n-th most common is taken about 1/n as often as the most common, as with tags that people give. */
static uint32_t skewed(uint64_t *state, uint32_t levels)
{
    uint32_t level = below(state, levels);

    return (UINT32_C(1) << level) - 1 + below(state, UINT64_C(1) << level);
}

const char *made_tag(uint32_t rank)
{
    static char texts[8][64];
    static uint32_t turn;
    char *text = texts[turn++ % COUNT(texts)];

    snprintf(text, sizeof texts[0], "%s%s", tag_words[rank % COUNT(tag_words)],
             tag_kinds[rank / COUNT(tag_words)]);
    return text;
}

static void put_hex(struct mmgr__buf *json, uint64_t *state, int digits)
{
    for (; digits > 0; digits -= 16)
        mmgr__buf_printf(json, "%016llx", (unsigned long long)next(state));
}

/* Most names are there once or a few times; some that everybody uses are there often. */
static void put_name(struct mmgr__buf *json, uint64_t *state)
{
    const char *mood, *thing;

    if (below(state, 100) == 0) {
        mmgr__buf_printf(json, "%s %s", moods[skewed(state, 3)], things[0]);
        return;
    }
    mood = PICK(state, moods);
    thing = PICK(state, things);
    mmgr__buf_printf(json, "%s %s%s v%u.%u", mood, thing, below(state, 3) == 0 ? " XL" : "",
                     1 + below(state, 9), below(state, 10));
}

static void put_sentence(struct mmgr__buf *json, uint64_t *state, size_t bytes)
{
    size_t end = json->length + bytes;

    while (json->length < end)
        mmgr__buf_printf(json, "%s ", PICK(state, words));
    mmgr__buf_puts(json, below(state, 8) == 0 ? "\\n\\\"v2\\\"" : ".");
}

static void put_tags(struct mmgr__buf *json, uint64_t *state, struct made *made)
{
    uint32_t wanted = 3 + below(state, 4);

    mmgr__buf_puts(json, ",\"tags\":[");
    while (made->tag_count < wanted) {
        uint32_t rank = skewed(state, 9), i = 0;

        while (i < made->tag_count && made->ranks[i] != rank)
            i++;
        if (i < made->tag_count)
            continue;
        mmgr__buf_printf(json, "%s\"%s\"", i > 0 ? "," : "", made_tag(rank));
        made->ranks[made->tag_count++] = (uint16_t)rank;
    }
    mmgr__buf_puts(json, "]");
}

static void put_source(struct mmgr__buf *json, uint64_t *state)
{
    if (below(state, 10) < 6) {
        mmgr__buf_printf(json,
                         ",\"source\":\"https://civitai.com/api/download/models/%u\","
                         "\"source_type\":\"url\"",
                         100000 + below(state, 2000000));
    } else {
        mmgr__buf_printf(
            json, ",\"source\":\"author%u/repo-%u\",\"source_type\":\"hf_repo_id\",\"revision\":\"",
            skewed(state, 10), below(state, 100000));
        put_hex(json, state, 32);
        mmgr__buf_puts(json, "\"");
    }
}

static void put_phrases(struct mmgr__buf *json, uint64_t *state)
{
    uint32_t count = below(state, 4);

    if (count == 0)
        return;
    mmgr__buf_puts(json, ",\"trigger_phrases\":[");
    for (uint32_t i = 0; i < count; i++)
        mmgr__buf_printf(json, "%s\"%s %s%u\"", i > 0 ? "," : "", PICK(state, words),
                         PICK(state, words), i);
    mmgr__buf_puts(json, "]");
}

static void put_times(struct mmgr__buf *json, uint64_t *state)
{
    int64_t created = INT64_C(1672531200000) + (int64_t)(next(state) % UINT64_C(63072000000));
    char text[32];

    mmgr__format_time(created * 1000000, text);
    mmgr__buf_printf(json, ",\"created_at\":\"%s\"", text);
    mmgr__format_time((created + below(state, 10000000)) * 1000000, text);
    mmgr__buf_printf(json, ",\"updated_at\":\"%s\"}", text);
}

/* Every second pipeline and LoRA has settings of its own. */
static void put_settings(struct mmgr__buf *json, uint64_t *state, const char *type)
{
    if (below(state, 2) == 0)
        return;
    if (strcmp(type, "main") == 0)
        mmgr__buf_printf(
            json,
            ",\"default_settings\":{\"width\":%u,\"height\":%u,\"steps\":%u,\"cfg_scale\":%u.5}",
            512 + 64 * below(state, 13), 512 + 64 * below(state, 13), 4 + below(state, 40),
            1 + below(state, 10));
    else if (strcmp(type, "lora") == 0)
        mmgr__buf_printf(
            json, ",\"default_settings\":{\"weight\":0.%u,\"weight_min\":-1.5,\"weight_max\":1.5}",
            1 + below(state, 9));
}

static void put_json(struct mmgr__buf *json, uint64_t *state, uint32_t index, struct made *made)
{
    uint32_t kind = 0, base = 0, share = below(state, 1000);

    for (; share >= kinds[kind].share; kind++)
        share -= kinds[kind].share;
    for (share = below(state, 1000); share >= bases[base].share; base++)
        share -= bases[base].share;
    mmgr__buf_puts(json, "{\"key\":\"");
    put_hex(json, state, 32);
    mmgr__buf_puts(json, "\",\"name\":\"");
    put_name(json, state);
    mmgr__buf_printf(
        json,
        "\",\"type\":\"%s\",\"format\":\"%s\",\"base\":\"%s\",\"path\":\"%s/%s/model-%u.safetensors\"",
        kinds[kind].type, kinds[kind].format, bases[base].base, bases[base].base, kinds[kind].type,
        index);
    mmgr__buf_puts(json, ",\"hash\":\"blake3:");
    put_hex(json, state, 64);
    mmgr__buf_puts(json, "\",\"description\":\"");
    put_sentence(json, state, 90 + below(state, 200));
    mmgr__buf_puts(json, "\"");
    put_source(json, state);
    put_phrases(json, state);
    put_tags(json, state, made);
    put_settings(json, state, kinds[kind].type);
    made->file_size = (int64_t)(next(state) >> (31 + below(state, 14)));
    mmgr__buf_printf(json, ",\"file_size\":%lld", (long long)made->file_size);
    put_times(json, state);
}

/* The items of a list as the full-text index has them. 0: no memory. */
static int join(const mmgr_record *record, enum mmgr_field field, char **joined)
{
    struct mmgr__buf text = {0};

    if (mmgr_record_list_size(record, field) == 0)
        return 1;
    for (uint32_t i = 0; i < mmgr_record_list_size(record, field); i++)
        mmgr__buf_printf(&text, "%s%s", i > 0 ? " \xee\x80\x80 " : "",
                         mmgr_record_list_item(record, field, i));
    return (*joined = mmgr__buf_take(&text)) != NULL;
}

static int make_one(struct made *made, uint64_t *state, uint32_t index)
{
    struct mmgr__buf json = {0};
    char nothing[1] = "", hash[65];
    struct mmgr__file file = {
        .path = nothing, .flags = MMGR_FILE_OWNED, .device = 2049, .inode = index + 1};
    mmgr_record_builder *builder = NULL;
    int ok;

    put_json(&json, state, index, made);
    for (int i = 0; i < 64; i += 16)
        snprintf(hash + i, 17, "%016llx", (unsigned long long)next(state));
    file.size = (uint64_t)made->file_size;
    file.sha256 = hash;
    file.mtime_ns = (int64_t)(next(state) >> 3);
    ok = !json.failed && mmgr_record_builder_new(NULL, &builder) == MMGR_OK &&
         mmgr_record_builder_merge(builder, json.data) == MMGR_OK &&
         mmgr__record_builder_add_file(builder, &file) == MMGR_OK &&
         mmgr__record_builder_finish(builder, &made->record) == MMGR_OK &&
         join(made->record, MMGR_FIELD_TAGS, &made->tags) &&
         join(made->record, MMGR_FIELD_TRIGGER_PHRASES, &made->phrases);
    if (!ok)
        fprintf(stderr, "record %u: %s\n", index, mmgr_error_message(mmgr_last_error()));
    mmgr_record_builder_free(builder);
    mmgr__buf_free(&json);
    if (!ok)
        return 0;
    made->json = mmgr__record_stored_json(made->record);
    mmgr__parse_time(mmgr_record_text(made->record, MMGR_FIELD_CREATED_AT), &made->created);
    mmgr__parse_time(mmgr_record_text(made->record, MMGR_FIELD_UPDATED_AT), &made->updated);
    return made->json != NULL;
}

struct made *made_new(uint32_t count)
{
    struct made *made = calloc(count, sizeof *made);
    uint64_t state = 1;

    for (uint32_t i = 0; i < count && made != NULL; i++) {
        if (!make_one(&made[i], &state, i)) {
            made_free(made, count);
            return NULL;
        }
    }
    return made;
}

void made_free(struct made *made, uint32_t count)
{
    for (uint32_t i = 0; i < count && made != NULL; i++) {
        mmgr_record_unref(made[i].record);
        mmgr__free(made[i].json);
        mmgr__free(made[i].tags);
        mmgr__free(made[i].phrases);
    }
    free(made);
}
