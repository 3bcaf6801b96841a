/* SPDX-License-Identifier: MIT */
/* Reads the conventions of file names in model repositories. */
#include "hub/select.h"

#include <string.h>
#include <strings.h>

#include "base/text.h"

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static int contains(const char *text, const char *word)
{
    return strcasestr(text, word) != NULL;
}

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* What training leaves behind beside the model. */
static int is_training_state(const char *name)
{
    static const char *const starts[] = {"training_args.", "optimizer.", "scheduler.pt",
                                         "scheduler.bin",  "scaler.pt",  "rng_state",
                                         "random_states"};

    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
        if (strncasecmp(name, starts[i], strlen(starts[i])) == 0)
            return 1;
    return 0;
}

static enum hub_family family_of(const char *name)
{
    static const struct {
        const char *suffix;
        enum hub_family family;
    } suffixes[] = {
        {".safetensors", HUB_SAFETENSORS},
        {".bin", HUB_PICKLE},
        {".pt", HUB_PICKLE},
        {".pth", HUB_PICKLE},
        {".ckpt", HUB_PICKLE},
        {".gguf", HUB_GGUF},
        {".onnx", HUB_ONNX},
        {".pb", HUB_ONNX},
        {"onnx_data", HUB_ONNX},
        {".onnx.data", HUB_ONNX},
        {".msgpack", HUB_FLAX},
    };

    if (is_training_state(name))
        return HUB_NO_WEIGHTS;
    if (contains(name, "openvino_model"))
        return mmgr__ends_with_nocase(name, ".xml") || mmgr__ends_with_nocase(name, ".bin")
                   ? HUB_OPENVINO
                   : HUB_NO_WEIGHTS;
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
        if (mmgr__ends_with_nocase(name, suffixes[i].suffix))
            return contains(name, "flax_model") ? HUB_FLAX : suffixes[i].family;
    return HUB_NO_WEIGHTS;
}

/* Cut "-00001-of-00003" off the end of a stem. */
static void cut_shard(struct hub_weight *weight)
{
    size_t length = strlen(weight->stem);
    char *tail = weight->stem + length - 15;

    if (length <= 15 || weight->shards || tail[0] != '-' || strncmp(tail + 6, "-of-", 4) != 0)
        return;
    for (int i = 1; i < 15; i++)
        if ((i < 6 || i > 9) && !is_digit(tail[i]))
            return;
    for (int i = 1; i < 6; i++) {
        weight->shard = weight->shard * 10 + (unsigned)(tail[i] - '0');
        weight->shards = weight->shards * 10 + (unsigned)(tail[i + 9] - '0');
    }
    *tail = '\0';
}

/* Cut ".fp16" off the end of a stem. A stem with more dots only loses what is known to be a label: the rest
 * are version numbers. */
static void cut_label(struct hub_weight *weight)
{
    static const char known[] = " fp16 fp32 bf16 fp8 int8 ema non_ema ";
    char *dot = strrchr(weight->stem, '.');
    char word[24];
    size_t length = dot ? strlen(dot + 1) : 0;

    if (length == 0 || length >= sizeof(weight->label) || dot == weight->stem || is_digit(dot[1]))
        return;
    word[0] = ' ';
    memcpy(word + 1, dot + 1, length);
    memcpy(word + 1 + length, " ", 2);
    if (strchr(weight->stem, '.') != dot && !strstr(known, word))
        return;
    memcpy(weight->label, dot + 1, length + 1);
    *dot = '\0';
}

static int usual_name(const char *name, enum hub_family family)
{
    static const char *const ends[] = {"learned_embeds.bin",
                                       "learned_embeds.safetensors",
                                       "ip_adapter.bin",
                                       "ip_adapter.safetensors",
                                       "lora_weights.safetensors",
                                       "lora_weights.bin",
                                       "weights.pb",
                                       "onnx_data"};

    if (family == HUB_GGUF || contains(name, "model"))
        return 1;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        if (mmgr__ends_with(name, ends[i]))
            return 1;
    return 0;
}

int mmgr__weight_parse(const char *path, struct hub_weight *weight)
{
    const char *name = base_name(path);
    enum hub_family family = family_of(name);
    const char *dot = strrchr(name, '.');
    size_t length = dot ? (size_t)(dot - name) : strlen(name);

    if (family == HUB_NO_WEIGHTS || length >= sizeof(weight->stem))
        return 0;
    memset(weight, 0, sizeof(*weight));
    weight->path = path;
    weight->folder_length = (size_t)(name - path);
    weight->family = family;
    weight->usual = usual_name(name, family);
    memcpy(weight->stem, name, length);
    cut_shard(weight);
    if (family != HUB_GGUF)
        cut_label(weight);
    cut_shard(weight);
    return 1;
}

int mmgr__is_companion(const char *path)
{
    return mmgr__ends_with_nocase(path, ".json") || mmgr__ends_with_nocase(path, ".txt") ||
           mmgr__ends_with_nocase(path, ".jinja") || mmgr__ends_with_nocase(path, ".model");
}

int mmgr__index_parse(const char *path, struct hub_weight *weight)
{
    const char *index = strstr(base_name(path), ".index.");
    const char *rest = index ? index + 7 : NULL;
    size_t length = index ? (size_t)(index - path) : 0;
    char weights[4200];

    if (!index || length >= sizeof(weights) || !mmgr__ends_with(rest, "json"))
        return 0;
    memcpy(weights, path, length);
    weights[length] = '\0';
    if (!mmgr__weight_parse(weights, weight))
        return 0;
    weight->path = path;
    /* "index.fp16.json", the older way to write "model.fp16.safetensors.index.json". */
    length = strcspn(rest, ".");
    if (rest[length] == '.' && length < sizeof(weight->label)) {
        memcpy(weight->label, rest, length);
        weight->label[length] = '\0';
    }
    return 1;
}

static int is_word(char c)
{
    return is_digit(c) || c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

int mmgr__names_quantisation(const char *path, const char *quantisation)
{
    size_t length = strlen(quantisation);

    for (const char *p = strcasestr(path, quantisation); p; p = strcasestr(p + 1, quantisation)) {
        if (p > path && is_word(p[-1]))
            continue;
        /* UD-Q4_K_XL is another one than Q4_K_XL. */
        if (p >= path + 3 && strncasecmp(p - 3, "UD-", 3) == 0)
            continue;
        if (!is_word(p[length]))
            return 1;
    }
    return 0;
}

int mmgr__is_gguf_side_file(const char *path)
{
    const char *name = base_name(path);

    return strncasecmp(name, "mmproj", 6) == 0 || contains(name, "imatrix");
}
