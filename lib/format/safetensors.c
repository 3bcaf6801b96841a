/* SPDX-License-Identifier: MIT */
/* The safetensors header: read in at most two reads, scanned once, checked completely. Names and
 * metadata are decoded in place in the one buffer that holds the header. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "format/header.h"

#define LENGTH_BYTES   8
#define HEADER_MAX     UINT64_C(100000000)
#define FIRST_READ     65536
#define TENSOR_MAX     1000000
#define NAME_MAX_BYTES 4096
#define RANK_MAX       32
#define DEPTH_MAX      16

struct reader {
    struct mmgr__bytes *bytes;
    const char *shown;
    struct mmgr__header *out;
    struct mmgr__jscan scan;
    char *json;          /* out->text + LENGTH_BYTES */
    uint64_t data_bytes; /* from the end of the header to the end of the file */
    const char *name;    /* tensor being read */
    uint16_t last_dtype;
};

/* The rule that was broken, with the file and the place in it. `at` counts from the start of the
 * file. */
static enum mmgr_result bad(const struct reader *reader, uint64_t at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static enum mmgr_result bad(const struct reader *reader, uint64_t at, const char *format, ...)
{
    char why[512];
    va_list args;

    va_start(args, format);
    vsnprintf(why, sizeof(why), format, args);
    va_end(args);
    mmgr__fail(MMGR_ERR_INVALID_FILE, "%s: not a sound safetensors file: offset %" PRIu64 ": %s",
               reader->shown, at, why);
    mmgr__error_set_subject(reader->shown);
    mmgr__error_set_offset(at);
    return MMGR_ERR_INVALID_FILE;
}

static enum mmgr_result bad_json(const struct reader *reader)
{
    return bad(reader, LENGTH_BYTES + reader->scan.at, "%s", reader->scan.problem);
}

/* A fault of the entry just read; at = position in the JSON. */
static enum mmgr_result bad_tensor(const struct reader *reader, size_t at, const char *why)
{
    char shown[MMGR__DISPLAY_ROOM];

    return bad(reader, LENGTH_BYTES + at, "tensor \"%s\": %s",
               mmgr__display(reader->name, shown, sizeof(shown)), why);
}

/* Decode the string just read where it stands and end it with NUL (its closing quote is passed
 * already). */
static enum mmgr_result decode(struct reader *reader, char **text, size_t *length)
{
    char *start = reader->json + reader->scan.start;
    size_t bytes = reader->scan.end - reader->scan.start;

    if (reader->scan.escaped) {
        int64_t decoded = mmgr__jscan_unescape(start, bytes, start);
        if (decoded < 0)
            return bad(reader, LENGTH_BYTES + reader->scan.start, "a string holds a bad escape");
        bytes = (size_t)decoded;
    }
    start[bytes] = '\0';
    *text = start;
    *length = bytes;
    return MMGR_OK;
}

static enum mmgr_result read_metadata(struct reader *reader)
{
    struct mmgr__header *out = reader->out;
    enum mmgr__jscan_kind kind = mmgr__jscan_next(&reader->scan);
    struct mmgr__names keys = {0};
    enum mmgr_result result = MMGR_OK;

    if (kind == MMGR__JSCAN_NULL)
        return MMGR_OK;
    if (kind == MMGR__JSCAN_ERROR)
        return bad_json(reader);
    if (kind != MMGR__JSCAN_OBJECT)
        return bad(reader, LENGTH_BYTES + reader->scan.start, "__metadata__ is not an object");
    while (result == MMGR_OK && (kind = mmgr__jscan_next(&reader->scan)) == MMGR__JSCAN_KEY) {
        struct mmgr__pair pair;
        char *key = NULL, *value = NULL;
        size_t length = 0, at = reader->scan.start;
        void *array = out->metadata;

        if ((result = decode(reader, &key, &length)) != MMGR_OK)
            break;
        if (length > NAME_MAX_BYTES) {
            result = bad(reader, LENGTH_BYTES + at, "a metadata key is longer than %d bytes",
                         NAME_MAX_BYTES);
            break;
        }
        kind = mmgr__jscan_next(&reader->scan);
        if (kind != MMGR__JSCAN_STRING) {
            result = kind == MMGR__JSCAN_ERROR ? bad_json(reader)
                                               : bad(reader, LENGTH_BYTES + reader->scan.start,
                                                     "a metadata value is not text");
            break;
        }
        if ((result = decode(reader, &value, &length)) != MMGR_OK)
            break;
        if (!mmgr__grow(&array, &out->metadata_capacity, out->metadata_count + 1, sizeof(pair))) {
            result = mmgr__oom();
            break;
        }
        out->metadata = array;
        out->metadata[out->metadata_count++] = (struct mmgr__pair){key, value};
    }
    if (result == MMGR_OK && kind == MMGR__JSCAN_ERROR)
        result = bad_json(reader);
    if (result == MMGR_OK)
        result = mmgr__names_init(&keys, out->metadata_count);
    for (size_t i = 0; result == MMGR_OK && i < out->metadata_count; i++) {
        const char *key = out->metadata[i].key;
        if (mmgr__names_put(&keys, key, strlen(key), 0) != 1)
            result = bad(reader, LENGTH_BYTES + (size_t)(key - reader->json),
                         "a metadata key stands twice");
    }
    mmgr__names_free(&keys);
    return result;
}

static enum mmgr_result add_dim(struct reader *reader, struct mmgr__tensor *tensor, uint64_t dim)
{
    struct mmgr__header *out = reader->out;

    if (out->dim_count == out->dim_capacity) {
        void *array = out->dims;
        if (!mmgr__grow(&array, &out->dim_capacity, out->dim_count + 1, sizeof(uint64_t)))
            return mmgr__oom();
        out->dims = array;
    }
    out->dims[out->dim_count++] = dim;
    tensor->rank++;
    return MMGR_OK;
}

static enum mmgr_result read_dtype(struct reader *reader, struct mmgr__tensor *tensor)
{
    enum mmgr__jscan_kind kind = mmgr__jscan_next(&reader->scan);
    size_t length = 0, at = reader->scan.start;
    char *name = NULL;

    if (kind == MMGR__JSCAN_ERROR)
        return bad_json(reader);
    if (kind != MMGR__JSCAN_STRING)
        return bad_tensor(reader, at, "dtype is not text");
    enum mmgr_result result = decode(reader, &name, &length);
    if (result != MMGR_OK)
        return result;
    tensor->dtype = (uint16_t)mmgr__dtype_parse(name, length);
    return tensor->dtype == MMGR_DTYPE_NONE ? bad_tensor(reader, at, "unknown dtype") : MMGR_OK;
}

/* Read an array of at most `most` unsigned numbers. */
static enum mmgr_result read_numbers(struct reader *reader, const char *what, size_t most,
                                     uint64_t *numbers, size_t *count)
{
    enum mmgr__jscan_kind kind = mmgr__jscan_next(&reader->scan);
    char why[80];
    size_t done = 0;

    if (kind == MMGR__JSCAN_ERROR)
        return bad_json(reader);
    if (kind != MMGR__JSCAN_ARRAY) {
        snprintf(why, sizeof(why), "%s is not a list", what);
        return bad_tensor(reader, reader->scan.start, why);
    }
    while ((kind = mmgr__jscan_next(&reader->scan)) != MMGR__JSCAN_ARRAY_END) {
        size_t at = reader->scan.start;
        if (kind == MMGR__JSCAN_ERROR)
            return bad_json(reader);
        if (done == most) {
            snprintf(why, sizeof(why), "%s has more than %zu numbers", what, most);
            return bad_tensor(reader, at, why);
        }
        if (kind != MMGR__JSCAN_NUMBER ||
            !mmgr__jscan_u64(reader->json + at, reader->scan.end - at, &numbers[done])) {
            snprintf(why, sizeof(why),
                     "%s holds something else than a whole number of 0 to 2^64 - 1", what);
            return bad_tensor(reader, at, why);
        }
        done++;
    }
    *count = done;
    return MMGR_OK;
}

enum { HAS_DTYPE = 1, HAS_SHAPE = 2, HAS_OFFSETS = 4 };

static int field_of(const char *name, size_t length)
{
    if (length == 5 && memcmp(name, "dtype", 5) == 0)
        return HAS_DTYPE;
    if (length == 5 && memcmp(name, "shape", 5) == 0)
        return HAS_SHAPE;
    return length == 12 && memcmp(name, "data_offsets", 12) == 0 ? HAS_OFFSETS : 0;
}

/* The entry in any form that JSON allows. */
static enum mmgr_result read_entry(struct reader *reader, struct mmgr__tensor *tensor)
{
    enum mmgr__jscan_kind kind = mmgr__jscan_next(&reader->scan);
    size_t begin_at = reader->scan.start;
    int seen = 0;

    if (kind == MMGR__JSCAN_ERROR)
        return bad_json(reader);
    if (kind != MMGR__JSCAN_OBJECT)
        return bad_tensor(reader, begin_at, "its entry is not an object");
    while ((kind = mmgr__jscan_next(&reader->scan)) == MMGR__JSCAN_KEY) {
        uint64_t numbers[RANK_MAX];
        size_t length = 0, count = 0, at = reader->scan.start;
        char *name = NULL;
        enum mmgr_result result = decode(reader, &name, &length);
        int field = result == MMGR_OK ? field_of(name, length) : 0;

        if (result == MMGR_OK && (seen & field) != 0)
            return bad_tensor(reader, at, "a field stands twice");
        seen |= field;
        if (result == MMGR_OK && field == 0 &&
            !mmgr__jscan_skip(&reader->scan, mmgr__jscan_next(&reader->scan)))
            return bad_json(reader);
        if (field == HAS_DTYPE)
            result = read_dtype(reader, tensor);
        if (field == HAS_SHAPE)
            result = read_numbers(reader, "shape", RANK_MAX, numbers, &count);
        for (size_t i = 0; result == MMGR_OK && field == HAS_SHAPE && i < count; i++)
            result = add_dim(reader, tensor, numbers[i]);
        if (field == HAS_OFFSETS) {
            result = read_numbers(reader, "data_offsets", 2, numbers, &count);
            if (result == MMGR_OK && count != 2)
                return bad_tensor(reader, at, "data_offsets is not a pair");
            tensor->begin = numbers[0];
            tensor->end = numbers[1];
        }
        if (result != MMGR_OK)
            return result;
    }
    if (kind == MMGR__JSCAN_ERROR)
        return bad_json(reader);
    if (seen != (HAS_DTYPE | HAS_SHAPE | HAS_OFFSETS))
        return bad_tensor(reader, begin_at, "dtype, shape or data_offsets is missing");
    return MMGR_OK;
}

/* Digits at *at, without a leading zero; 0 when there is anything else, then the slow way finds
 * out. */
static int quick_number(const char **at, const char *end, uint64_t *value)
{
    const char *from = *at, *to = from;
    uint64_t sum = 0;

    /* 18 digits cannot overflow. */
    while (to < end && *to >= '0' && *to <= '9' && to - from < 18)
        sum = sum * 10 + (uint64_t)(*to++ - '0');
    if (to == from || to == end || (*from == '0' && to - from > 1))
        return 0;
    *at = to;
    *value = sum;
    return 1;
}

static int quick_text(const char **at, const char *end, const char *text, size_t length)
{
    if ((size_t)(end - *at) < length || memcmp(*at, text, length) != 0)
        return 0;
    *at += length;
    return 1;
}
#define QUICK(literal) quick_text(&at, end, literal, sizeof(literal) - 1)

/* The entry as every known writer puts it: no white space, dtype, shape, data_offsets. 1 when it
 * was that. */
static int quick_entry(struct reader *reader, struct mmgr__tensor *tensor)
{
    const char *at = reader->json + reader->scan.at, *end = reader->json + reader->scan.length;
    uint64_t dims[8];
    uint16_t rank = 0;

    if (!QUICK("{\"dtype\":\""))
        return 0;
    const char *quote = end - at > 16 ? memchr(at, '"', 16) : NULL;
    if (quote == NULL)
        return 0;
    /* Most tensors of a file have the type of the one before. */
    size_t length = (size_t)(quote - at);
    const char *last = mmgr_dtype_name((enum mmgr_dtype)reader->last_dtype);
    if (last != NULL && strlen(last) == length && memcmp(last, at, length) == 0)
        tensor->dtype = reader->last_dtype;
    else
        tensor->dtype = (uint16_t)mmgr__dtype_parse(at, length);
    reader->last_dtype = tensor->dtype;
    at = quote;
    if (tensor->dtype == MMGR_DTYPE_NONE || !QUICK("\",\"shape\":["))
        return 0;
    while (*at != ']') {
        if (rank == 8 || (rank > 0 && !QUICK(",")) || !quick_number(&at, end, &dims[rank]))
            return 0;
        rank++;
    }
    if (!QUICK("],\"data_offsets\":[") || !quick_number(&at, end, &tensor->begin) || !QUICK(",") ||
        !quick_number(&at, end, &tensor->end) || !QUICK("]}"))
        return 0;
    for (uint16_t i = 0; i < rank; i++)
        if (add_dim(reader, tensor, dims[i]) != MMGR_OK)
            return 0;
    mmgr__jscan_passed(&reader->scan, (size_t)(at - reader->json));
    return 1;
}

/* The entry alone: does its shape need exactly the bytes that its offsets give? */
static enum mmgr_result check_entry(struct reader *reader, struct mmgr__tensor *tensor, size_t at)
{
    uint64_t elements = 1, bits = 0;

    if (tensor->begin > tensor->end)
        return bad_tensor(reader, at, "data_offsets end before they begin");
    if (tensor->end > reader->data_bytes)
        return bad_tensor(reader, at, "data_offsets lie beyond the end of the file");
    for (uint16_t i = 0; i < tensor->rank; i++)
        if (!mmgr__mul_u64(elements, reader->out->dims[tensor->shape + i], &elements))
            return bad_tensor(reader, at, "the product of its shape overflows");
    if (!mmgr__mul_u64(elements, mmgr_dtype_bits((enum mmgr_dtype)tensor->dtype), &bits))
        return bad_tensor(reader, at, "its size overflows");
    if (bits % 8 != 0)
        return bad_tensor(reader, at, "its elements do not fill whole bytes");
    if (bits / 8 != tensor->end - tensor->begin)
        return bad_tensor(reader, at, "its shape does not fit its data_offsets");
    return MMGR_OK;
}

static enum mmgr_result read_tensor(struct reader *reader, char *name, size_t length, size_t at)
{
    struct mmgr__header *out = reader->out;
    struct mmgr__tensor tensor = {.name = name, .shape = (uint32_t)out->dim_count};
    void *array = out->tensors;
    size_t dims = out->dim_count;
    enum mmgr_result result = MMGR_OK;

    reader->name = name;
    if (length > NAME_MAX_BYTES)
        return bad(reader, LENGTH_BYTES + at, "a tensor name is longer than %d bytes",
                   NAME_MAX_BYTES);
    if (out->count == TENSOR_MAX)
        return bad(reader, LENGTH_BYTES + at, "more than %d tensors", TENSOR_MAX);
    if (!quick_entry(reader, &tensor)) {
        out->dim_count = dims;
        tensor.rank = 0;
        result = read_entry(reader, &tensor);
    }
    if (result == MMGR_OK)
        result = check_entry(reader, &tensor, at);
    if (result != MMGR_OK)
        return result;
    if (out->count == out->capacity &&
        !mmgr__grow(&array, &out->capacity, out->count + 1, sizeof(tensor)))
        return mmgr__oom();
    out->tensors = array;
    out->tensors[out->count++] = tensor;
    return MMGR_OK;
}

static enum mmgr_result scan_entries(struct reader *reader)
{
    enum mmgr__jscan_kind kind;
    int metadata_seen = 0;

    while ((kind = mmgr__jscan_next(&reader->scan)) == MMGR__JSCAN_KEY) {
        size_t length = 0, at = reader->scan.start;
        char *name = NULL;
        enum mmgr_result result = decode(reader, &name, &length);

        if (result != MMGR_OK)
            return result;
        if (strcmp(name, "__metadata__") != 0) {
            result = read_tensor(reader, name, length, at);
        } else {
            if (metadata_seen++)
                return bad(reader, LENGTH_BYTES + at, "__metadata__ stands twice");
            result = read_metadata(reader);
        }
        if (result != MMGR_OK)
            return result;
    }
    if (kind == MMGR__JSCAN_ERROR)
        return bad_json(reader);
    for (size_t at = reader->scan.at; at < reader->scan.length; at++)
        if (reader->json[at] != ' ')
            return bad(reader, LENGTH_BYTES + at,
                       "the header is followed by something else than spaces");
    return MMGR_OK;
}

static int by_place(const void *left, const void *right)
{
    const struct mmgr__tensor *a = left, *b = right;

    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    if (a->end != b->end)
        return a->end < b->end ? -1 : 1;
    return a->name < b->name ? -1 : a->name > b->name;
}

/* What stands behind the last tensor, for the message. */
static const char *tail_hint(struct reader *reader)
{
    char tail[22];

    if (reader->bytes->size >= sizeof(tail) &&
        mmgr__bytes_read(reader->bytes, reader->bytes->size - sizeof(tail), tail, sizeof(tail)) ==
            MMGR_OK &&
        memcmp(tail, "PK\005\006", 4) == 0)
        return " (a zip archive is attached)";
    return "";
}

/* Into the order of the data; most files are written so. */
static void sort_tensors(struct mmgr__header *out)
{
    int sorted = 1;

    for (size_t i = 1; i < out->count && sorted; i++)
        sorted = by_place(&out->tensors[i - 1], &out->tensors[i]) < 0;
    if (!sorted)
        qsort(out->tensors, out->count, sizeof(out->tensors[0]), by_place);
}

/* All entries together: the data are covered once, without hole, from the first byte to the
 * last. */
static enum mmgr_result check_cover(struct reader *reader)
{
    struct mmgr__header *out = reader->out;
    uint64_t reached = 0;

    for (size_t i = 0; i < out->count; i++) {
        struct mmgr__tensor *tensor = &out->tensors[i];
        reader->name = tensor->name;
        if (tensor->begin != reached)
            return bad_tensor(reader, (size_t)(tensor->name - reader->json),
                              tensor->begin < reached ? "its data overlap those of another tensor"
                                                      : "there is a hole before its data");
        reached = tensor->end;
        tensor->begin += out->data_offset;
        tensor->end += out->data_offset;
    }
    if (reached != reader->data_bytes)
        return bad(reader, out->data_offset + reached, "%" PRIu64 " bytes belong to no tensor%s",
                   reader->data_bytes - reached, tail_hint(reader));
    return MMGR_OK;
}

static enum mmgr_result check_names(struct reader *reader)
{
    struct mmgr__header *out = reader->out;
    enum mmgr_result result = mmgr__names_init(&out->names, out->count);

    for (size_t i = 0; result == MMGR_OK && i < out->count; i++) {
        const char *name = out->tensors[i].name;
        int put = mmgr__names_put(&out->names, name, strlen(name), (uint32_t)i);
        reader->name = name;
        if (put != 1)
            result = bad_tensor(reader, (size_t)(name - reader->json),
                                put == 0 ? "its name stands twice" : "names are made to collide");
    }
    return result;
}

/* Which format it is instead, when the first bytes cannot be a safetensors header. */
static enum mmgr_result check_format(struct reader *reader, const unsigned char *head, size_t bytes,
                                     uint64_t length)
{
    if (bytes > LENGTH_BYTES && head[LENGTH_BYTES] == '{' && length <= HEADER_MAX)
        return MMGR_OK;
    const char *format = mmgr__foreign_format(head, bytes, reader->shown);
    if (format == NULL)
        return MMGR_OK;
    mmgr__fail(MMGR_ERR_UNSUPPORTED, "%s: this release does not read %s files", reader->shown,
               format);
    mmgr__error_set_subject(reader->shown);
    return MMGR_ERR_UNSUPPORTED;
}

/* The header into out->text; nothing is allocated that the file does not really have. */
static enum mmgr_result read_header(struct reader *reader, size_t *length)
{
    struct mmgr__bytes *bytes = reader->bytes;
    size_t first = bytes->size < FIRST_READ ? (size_t)bytes->size : FIRST_READ;
    char *text = mmgr__alloc(first + 1);

    if (text == NULL)
        return mmgr__oom();
    reader->out->text = text;
    enum mmgr_result result = mmgr__bytes_read(bytes, 0, text, first);
    if (result != MMGR_OK)
        return result;
    uint64_t announced = 0;
    for (int i = LENGTH_BYTES - 1; i >= 0 && first >= LENGTH_BYTES; i--)
        announced = announced << 8 | (unsigned char)text[i];
    result = check_format(reader, (const unsigned char *)text, first, announced);
    if (result != MMGR_OK)
        return result;
    if (first < LENGTH_BYTES)
        return bad(reader, 0, "the file has only %zu bytes", first);
    if (announced > HEADER_MAX)
        return bad(reader, 0,
                   "its header would have %" PRIu64 " bytes; at most %" PRIu64 " are allowed",
                   announced, HEADER_MAX);
    if (announced > bytes->size - LENGTH_BYTES)
        return bad(reader, 0, "its header of %" PRIu64 " bytes is cut off", announced);
    if (announced == 0 || text[LENGTH_BYTES] != '{')
        return bad(reader, LENGTH_BYTES, "the header does not begin with {");
    size_t whole = LENGTH_BYTES + (size_t)announced;
    char *fitted = mmgr__realloc(text, whole + 1);
    if (fitted == NULL)
        return mmgr__oom();
    reader->out->text = fitted;
    if (whole > first)
        result = mmgr__bytes_read(bytes, first, fitted + first, whole - first);
    *length = (size_t)announced;
    return result;
}

enum mmgr_result mmgr__safetensors_read(struct mmgr__bytes *bytes, const char *shown,
                                        struct mmgr__header *header)
{
    struct mmgr__header fresh = {.file_size = bytes->size};
    struct reader reader = {.bytes = bytes, .shown = shown, .out = &fresh};
    size_t length = 0;
    enum mmgr_result result = read_header(&reader, &length);

    if (result == MMGR_OK) {
        reader.json = fresh.text + LENGTH_BYTES;
        fresh.data_offset = LENGTH_BYTES + (uint64_t)length;
        reader.data_bytes = bytes->size - fresh.data_offset;
        mmgr__jscan_init(&reader.scan, reader.json, length);
        reader.scan.max_depth = DEPTH_MAX;
        mmgr__jscan_next(&reader.scan); /* the { that read_header() has seen */
        result = scan_entries(&reader);
    }
    sort_tensors(&fresh);
    if (result == MMGR_OK)
        result = check_names(&reader);
    if (result == MMGR_OK)
        result = check_cover(&reader);
    if (result != MMGR_OK) {
        mmgr__header_free(&fresh);
        return result;
    }
    *header = fresh;
    return MMGR_OK;
}

void mmgr__header_free(struct mmgr__header *header)
{
    mmgr__names_free(&header->names);
    mmgr__free(header->text);
    mmgr__free(header->tensors);
    mmgr__free(header->dims);
    mmgr__free(header->metadata);
    *header = (struct mmgr__header){0};
}
