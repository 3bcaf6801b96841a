/* SPDX-License-Identifier: MIT */
/* Which files of a repository make up a model. The rules are in docs/sources.md. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "hub/hub.h"
#include "hub/select.h"

struct selection {
    const mmgr_metadata *metadata;
    const char *variant; /* canonical; "default" when none was given */
    const char *scope;   /* "folder/" that the choice is limited to, or "" */
    enum hub_family
        family; /* HUB_ONNX, HUB_OPENVINO, HUB_FLAX, HUB_GGUF, or HUB_SAFETENSORS for all others */
    char *keep; /* by file */
    struct hub_weight *weights;
    size_t count;
};

static const char *file_path(const struct selection *s, size_t i)
{
    return s->metadata->files[i].path;
}

static int in_scope(const struct selection *s, const char *path)
{
    return mmgr__starts_with(path, s->scope);
}

static int compare_weights(const void *a, const void *b)
{
    const struct hub_weight *p = a, *q = b;
    size_t shorter = p->folder_length < q->folder_length ? p->folder_length : q->folder_length;
    int order = memcmp(p->path, q->path, shorter);

    if (!order)
        order = (p->folder_length > q->folder_length) - (p->folder_length < q->folder_length);
    if (!order)
        order = strcmp(p->stem, q->stem);
    if (!order)
        order = (int)p->family - (int)q->family;
    if (!order)
        order = strcmp(p->label, q->label);
    if (!order)
        order = (p->shards > q->shards) - (p->shards < q->shards);
    return order ? order : (p->shard > q->shard) - (p->shard < q->shard);
}

static int same_folder(const struct hub_weight *a, const struct hub_weight *b)
{
    return a->folder_length == b->folder_length && memcmp(a->path, b->path, a->folder_length) == 0;
}

static int same_stem(const struct hub_weight *a, const struct hub_weight *b)
{
    return same_folder(a, b) && strcmp(a->stem, b->stem) == 0;
}

/* Take apart the weights in scope; sorted, so that folders and stems are runs. */
static enum mmgr_result gather(struct selection *s)
{
    size_t count = s->metadata->file_count;

    s->keep = mmgr__alloc0(count + 1, 1);
    s->weights = mmgr__alloc0(count + 1, sizeof(*s->weights));
    if (!s->keep || !s->weights)
        return mmgr__oom();
    for (size_t i = 0; i < count; i++) {
        struct hub_weight *weight = &s->weights[s->count];

        if (!in_scope(s, file_path(s, i)) || !mmgr__weight_parse(file_path(s, i), weight))
            continue;
        weight->file = i;
        s->count++;
    }
    if (s->count > 1)
        qsort(s->weights, s->count, sizeof(*s->weights), compare_weights);
    return MMGR_OK;
}

/* How well a label suits the variant asked for; 0 is the worst. */
static int label_score(const char *variant, const char *label)
{
    const char *wanted = strcmp(variant, "fp16") == 0   ? "fp16"
                         : strcmp(variant, "fp32") == 0 ? "fp32"
                                                        : "";

    if (strcmp(label, wanted) == 0)
        return 4;
    if (!*label)
        return 3;
    if (strcmp(label, "fp32") == 0)
        return 2;
    return strcmp(label, "fp16") == 0 || strcmp(label, "bf16") == 0;
}

/* Of the run [from, to) of one stem and one family: keep one label, and of it the whole file or one whole
 * set of shards. */
static void keep_best(struct selection *s, size_t from, size_t to)
{
    struct hub_weight *weights = s->weights;
    size_t best = from, start, end;
    int whole = 0;

    for (size_t i = from, best_score = 0; i < to; i++) {
        size_t score = (size_t)label_score(s->variant, weights[i].label);
        if (score > best_score) {
            best = i;
            best_score = score;
        }
    }
    /* Within a label, files without shards come first, then the sets by size. */
    for (start = best;
         !whole && start < to && strcmp(weights[start].label, weights[best].label) == 0;
         start = end) {
        for (end = start; end < to && weights[end].shards == weights[start].shards &&
                          strcmp(weights[end].label, weights[best].label) == 0;
             end++)
            ;
        whole = weights[start].shards == 0 || end - start == weights[start].shards;
        best = whole ? start : best;
    }
    for (size_t i = best; i < to && weights[i].shards == weights[best].shards &&
                          strcmp(weights[i].label, weights[best].label) == 0;
         i++)
        weights[i].keep = 1;
}

/* Call keep_best() for each stem and family in the run [from, to) of one folder. */
static void keep_family(struct selection *s, size_t from, size_t to, enum hub_family family,
                        int usual_only)
{
    for (size_t i = from; i < to;) {
        size_t end = i;

        while (end < to && same_stem(&s->weights[i], &s->weights[end]) &&
               s->weights[end].family == s->weights[i].family)
            end++;
        if (s->weights[i].family == family && (s->weights[i].usual || !usual_only))
            keep_best(s, i, end);
        i = end;
    }
}

static int has_family(const struct selection *s, size_t from, size_t to, enum hub_family family)
{
    for (size_t i = from; i < to; i++)
        if (s->weights[i].family == family && s->weights[i].usual)
            return 1;
    return 0;
}

/* The weights of one folder of a folder model: safetensors, else pickles, else GGUF. */
static void choose_in_folder(struct selection *s, size_t from, size_t to)
{
    static const enum hub_family order[] = {HUB_SAFETENSORS, HUB_PICKLE, HUB_GGUF};

    if (s->family == HUB_ONNX || s->family == HUB_OPENVINO || s->family == HUB_FLAX) {
        for (size_t i = from; i < to; i++)
            s->weights[i].keep = s->weights[i].family == s->family && s->weights[i].usual;
        return;
    }
    for (size_t i = 0; i < 3; i++) {
        if (!has_family(s, from, to, order[i]))
            continue;
        keep_family(s, from, to, order[i], 1);
        return;
    }
}

static size_t folder_end(const struct selection *s, size_t from)
{
    size_t end = from;

    while (end < s->count && same_folder(&s->weights[from], &s->weights[end]))
        end++;
    return end;
}

static size_t kept_weights(const struct selection *s)
{
    size_t kept = 0;

    for (size_t i = 0; i < s->count; i++)
        kept += s->weights[i].keep != 0;
    return kept;
}

/* ---- single-file models */

static int fits_single(const struct selection *s, const struct hub_weight *weight)
{
    if (s->family != HUB_SAFETENSORS && s->family != HUB_GGUF)
        return weight->family == s->family;
    if (weight->family == HUB_GGUF)
        return !mmgr__is_gguf_side_file(weight->path) &&
               (s->family != HUB_GGUF || mmgr__names_quantisation(weight->path, s->variant));
    return s->family == HUB_SAFETENSORS &&
           (weight->family == HUB_SAFETENSORS || weight->family == HUB_PICKLE);
}

static enum mmgr_result no_files(const struct selection *s)
{
    struct mmgr__buf seen = {0};
    const char *id = s->metadata->texts[MMGR_METADATA_ID];
    int named = 0;

    for (size_t i = 0; i < s->count && named < 12; i++) {
        if (s->weights[i].family == HUB_GGUF && s->family == HUB_GGUF) {
            mmgr__buf_puts(&seen, named++ ? ", " : "; it has ");
            mmgr__buf_puts(&seen, s->weights[i].path);
        }
    }
    mmgr__fail(MMGR_ERR_ENTRY_NOT_FOUND, "%s%s%s holds no model files of the variant %s%s",
               id ? id : "the source", *s->scope ? "::" : "", s->scope, s->variant,
               seen.data ? seen.data : "");
    mmgr__error_set_subject(id);
    mmgr__buf_free(&seen);
    return MMGR_ERR_ENTRY_NOT_FOUND;
}

static enum mmgr_result ambiguous(const struct selection *s)
{
    struct mmgr__buf list = {.limit = 900};
    const char *id = s->metadata->texts[MMGR_METADATA_ID];
    size_t more = 0;

    for (size_t i = 0; i < s->count; i++) {
        if (!fits_single(s, &s->weights[i]) || (i > 0 && fits_single(s, &s->weights[i - 1]) &&
                                                same_stem(&s->weights[i - 1], &s->weights[i])))
            continue;
        if (list.length + strlen(s->weights[i].path) + 3 > 700) {
            more++;
            continue;
        }
        mmgr__buf_puts(&list, list.length ? ", " : "");
        mmgr__buf_puts(&list, s->weights[i].path);
    }
    mmgr__fail(MMGR_ERR_AMBIGUOUS_SOURCE, "%s holds several models, choose one as %s::FILE: %s%s",
               id ? id : "it", id ? id : "ORG/NAME", list.data ? list.data : "", more ? ", …" : "");
    mmgr__error_set_subject(id);
    mmgr__buf_free(&list);
    return MMGR_ERR_AMBIGUOUS_SOURCE;
}

/* The companions of a model that turned out to be one folder below the top. */
static void keep_companions(struct selection *s, const struct hub_weight *weight)
{
    size_t length = weight->folder_length;

    for (size_t i = 0; i < s->metadata->file_count; i++) {
        const char *path = file_path(s, i);

        if (strncmp(path, weight->path, length) == 0 && !strchr(path + length, '/') &&
            mmgr__is_companion(path))
            s->keep[i] = 1;
    }
}

static int folder_has(const struct selection *s, const struct hub_weight *weight, const char *name)
{
    for (size_t i = 0; i < s->metadata->file_count; i++) {
        const char *path = file_path(s, i);

        if (strncmp(path, weight->path, weight->folder_length) == 0 &&
            strcmp(path + weight->folder_length, name) == 0)
            return 1;
    }
    return 0;
}

/* The one model among loose weight files: one stem of one folder. */
static enum mmgr_result choose_single(struct selection *s)
{
    size_t first = s->count, last = 0;

    for (size_t i = 0; i < s->count; i++) {
        if (!fits_single(s, &s->weights[i]))
            continue;
        first = first == s->count ? i : first;
        last = i;
        /* Several ONNX, OpenVINO or Flax files of one folder belong together. */
        if (s->family == HUB_SAFETENSORS || s->family == HUB_GGUF
                ? !same_stem(&s->weights[first], &s->weights[i])
                : !same_folder(&s->weights[first], &s->weights[i]))
            return ambiguous(s);
    }
    if (first == s->count)
        return no_files(s);
    if (s->family == HUB_SAFETENSORS || s->family == HUB_GGUF)
        keep_family(s, first, last + 1, s->weights[first].family, 0);
    else
        for (size_t i = first; i <= last; i++)
            s->weights[i].keep = fits_single(s, &s->weights[i]);
    if (folder_has(s, &s->weights[first], "config.json") && s->weights[first].family != HUB_GGUF)
        keep_companions(s, &s->weights[first]);
    return MMGR_OK;
}

/* ---- folder models */

/* Files at the top of the scope that say: this folder as a whole is one model. */
static int has_marker(const struct selection *s)
{
    static const char *const markers[] = {"model_index.json", "config.json", "adapter_config.json",
                                          "image_encoder.txt"};
    size_t length = strlen(s->scope);

    for (size_t i = 0; i < s->metadata->file_count; i++)
        for (size_t m = 0; m < sizeof(markers) / sizeof(markers[0]); m++)
            if (in_scope(s, file_path(s, i)) && strcmp(file_path(s, i) + length, markers[m]) == 0)
                return 1;
    return 0;
}

/* A repository of GGUF files is a shelf of single models, whatever else it holds. */
static int is_gguf_shelf(const struct selection *s)
{
    int gguf = 0;

    for (size_t i = 0; i < s->count; i++) {
        if ((s->weights[i].family == HUB_SAFETENSORS || s->weights[i].family == HUB_PICKLE) &&
            s->weights[i].usual)
            return 0;
        gguf |= s->weights[i].family == HUB_GGUF;
    }
    return gguf;
}

/* An index of shards that were not chosen would lead a loader to files that are not there. */
static int is_dangling_index(const struct selection *s, const char *path)
{
    struct hub_weight index;

    if (!mmgr__index_parse(path, &index))
        return 0;
    for (size_t i = 0; i < s->count; i++) {
        const struct hub_weight *weight = &s->weights[i];

        if (weight->keep && weight->shards && weight->family == index.family &&
            same_stem(weight, &index) && strcmp(weight->label, index.label) == 0)
            return 0;
    }
    return 1;
}

/* Whether a kept file stands directly beside file i; the files are sorted, so its folder is near. */
static int has_neighbour(const struct selection *s, size_t i)
{
    const char *path = file_path(s, i);
    size_t length = (size_t)(strrchr(path, '/') + 1 - path);

    for (int step = -1; step <= 1; step += 2)
        for (size_t k = i + (size_t)step; k < s->metadata->file_count; k += (size_t)step) {
            if (strncmp(file_path(s, k), path, length) != 0)
                break;
            if (s->keep[k] && !strchr(file_path(s, k) + length, '/'))
                return 1;
        }
    return 0;
}

static void choose_companions(struct selection *s)
{
    for (size_t i = 0; i < s->metadata->file_count; i++) {
        const char *path = file_path(s, i);

        if (in_scope(s, path) && mmgr__is_companion(path) && !is_dangling_index(s, path))
            s->keep[i] = 1;
    }
}

/* A config whose weights were not chosen: "vae_decoder/config.json" where only ONNX has that folder. */
static void drop_lonely_configs(struct selection *s)
{
    size_t top = strlen(s->scope);

    for (size_t i = 0; i < s->metadata->file_count; i++) {
        const char *path = file_path(s, i);

        if (s->keep[i] && strchr(path + top, '/') && mmgr__ends_with(path, "/config.json") &&
            !has_neighbour(s, i))
            s->keep[i] = 0;
    }
}

static void mark_weights(struct selection *s)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->weights[i].keep)
            s->keep[s->weights[i].file] = 1;
}

static enum mmgr_result choose_folder(struct selection *s)
{
    enum mmgr_result result = MMGR_OK;

    for (size_t from = 0; from < s->count; from = folder_end(s, from))
        choose_in_folder(s, from, folder_end(s, from));
    if (kept_weights(s) == 0) {
        /* Only unusual names: a config beside one loose checkpoint. */
        result =
            s->count > 0 || !*s->scope || s->family != HUB_SAFETENSORS ? choose_single(s) : MMGR_OK;
        if (result != MMGR_OK)
            return result;
    }
    choose_companions(s);
    mark_weights(s);
    drop_lonely_configs(s);
    return MMGR_OK;
}

static enum mmgr_result choose(struct selection *s)
{
    enum mmgr_result result;

    /* A folder of tokenizer files, say, asked for by name. */
    if (s->count == 0 && *s->scope && s->family == HUB_SAFETENSORS) {
        choose_companions(s);
        return MMGR_OK;
    }
    if (has_marker(s) && s->family != HUB_GGUF && !is_gguf_shelf(s))
        return choose_folder(s);
    result = choose_single(s);
    for (size_t i = 0; result == MMGR_OK && i < s->metadata->file_count; i++) {
        struct hub_weight index;

        /* The index of a set of shards goes with it. */
        if (in_scope(s, file_path(s, i)) && mmgr__index_parse(file_path(s, i), &index))
            s->keep[i] = !is_dangling_index(s, file_path(s, i));
    }
    mark_weights(s);
    return result;
}

static enum mmgr_result give(const mmgr_metadata *metadata, const char *keep, const char *subfolder,
                             mmgr_metadata **part)
{
    mmgr_metadata *made = mmgr__metadata_without_files(metadata);
    enum mmgr_result result = made ? MMGR_OK : mmgr__oom();

    for (size_t i = 0; i < metadata->file_count && result == MMGR_OK; i++)
        if (keep[i])
            result = mmgr__metadata_add(made, &metadata->files[i]);
    if (result == MMGR_OK && made->file_count == 0) {
        mmgr__fail(MMGR_ERR_ENTRY_NOT_FOUND, "%s holds no model files%s%s",
                   metadata->texts[MMGR_METADATA_ID] ? metadata->texts[MMGR_METADATA_ID]
                                                     : "the source",
                   subfolder ? " in " : "", subfolder ? subfolder : "");
        mmgr__error_set_subject(subfolder ? subfolder : metadata->texts[MMGR_METADATA_ID]);
        result = MMGR_ERR_ENTRY_NOT_FOUND;
    }
    if (result != MMGR_OK) {
        mmgr_metadata_unref(made);
        return result;
    }
    *part = made;
    return MMGR_OK;
}

/* The subfolder without slashes around it, as "folder/" or "". Owned. */
static char *scope_of(const char *subfolder)
{
    size_t length;

    subfolder = subfolder ? subfolder + strspn(subfolder, "/") : "";
    length = strlen(subfolder);
    while (length > 0 && subfolder[length - 1] == '/')
        length--;
    return mmgr__printf("%.*s%s", (int)length, subfolder, length ? "/" : "");
}

/* One file named exactly. 1 = it was one. */
static int keep_named(struct selection *s)
{
    size_t length = strlen(s->scope);

    for (size_t i = 0; i < s->metadata->file_count && length > 0; i++)
        if (strlen(file_path(s, i)) == length - 1 &&
            memcmp(file_path(s, i), s->scope, length - 1) == 0)
            return s->keep[i] = 1;
    return 0;
}

static enum hub_family family_for(const char *variant)
{
    if (strcmp(variant, "onnx") == 0)
        return HUB_ONNX;
    if (strcmp(variant, "openvino") == 0)
        return HUB_OPENVINO;
    if (strcmp(variant, "flax") == 0)
        return HUB_FLAX;
    return mmgr__hub_is_quantisation(variant) ? HUB_GGUF : HUB_SAFETENSORS;
}

enum mmgr_result mmgr_metadata_select(const mmgr_metadata *metadata, const char *variant,
                                      const char *subfolder, mmgr_metadata **part)
{
    char canonical[32] = "default";
    struct selection s = {.metadata = metadata, .variant = canonical};
    enum mmgr_result result;
    char *scope;

    if (!metadata || !part)
        return mmgr__bad_argument(metadata ? "part" : "metadata");
    if (variant && *variant && !mmgr__hub_variant(variant, canonical))
        return mmgr__bad_argument("variant");
    s.family = family_for(canonical);
    s.scope = scope = scope_of(subfolder);
    result = scope ? gather(&s) : mmgr__oom();
    if (result == MMGR_OK && !keep_named(&s))
        result = choose(&s);
    if (result == MMGR_OK)
        result = give(metadata, s.keep, *scope ? subfolder : NULL, part);
    mmgr__free(s.keep);
    mmgr__free(s.weights);
    mmgr__free(scope);
    return result;
}
