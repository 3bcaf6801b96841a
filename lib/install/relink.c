/* SPDX-License-Identifier: MIT */
/* Finding models whose files were moved: candidates by size and by the paths below the model,
 * proof by the whole content. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <modelmgr/hash.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/options.h"
#include "base/path.h"
#include "base/record.h"
#include "format/format.h"
#include "install/finder.h"
#include "install/install.h"
#include "store/store.h"

/* Why a model was not found. */
enum outcome { RELINKED, NOT_FOUND, NO_PROOF, MISMATCH, AMBIGUOUS, CHANGED };
static const char *const reasons[] = {NULL,       "not_found", "no_proof",
                                      "mismatch", "ambiguous", "changed"};

/* A model that is to be found. */
struct lost {
    mmgr_record *record;
    const struct mmgr__file *rows; /* of the manifest, or `file` */
    uint32_t row_count;
    const struct mmgr__file *anchor; /* the row by which candidates are sought: the largest */
    struct mmgr__file file;          /* of a record without a manifest: one file of its size */
    enum mmgr__digest_kind kind;     /* of the record's own hash, when it proves */
    const char *whole;               /* its digits; NULL: it is no proof */
};

struct relink {
    mmgr_installer *installer;
    struct lost *lost;
    size_t count, capacity;
    struct mmgr__strings locations; /* of all records */
    struct mmgr__finder finder;
    int dry_run, relinked_count, unresolved_count;
    int failed; /* memory ran out on the way; stays */
    struct mmgr__buf relinked, unresolved;
};

static const struct {
    const char *prefix;
    enum mmgr__digest_kind kind;
} full_hashes[] = {{"sha256:", MMGR__SHA256}, {"xxh3:", MMGR__XXH3}};

static void describe(struct lost *lost)
{
    const mmgr_record *record = lost->record;
    const char *hash = mmgr_record_text(record, MMGR_FIELD_HASH);
    const char *size = mmgr_record_text(record, MMGR_FIELD_FILE_SIZE);
    for (size_t i = 0; hash && i < sizeof full_hashes / sizeof *full_hashes; i++)
        if (mmgr__starts_with(hash, full_hashes[i].prefix)) {
            lost->whole = hash + strlen(full_hashes[i].prefix);
            lost->kind = full_hashes[i].kind;
        }
    lost->rows = record->files;
    lost->row_count = record->file_count;
    if (record->file_count == 0 && size && mmgr__parse_u64(size, &lost->file.size)) {
        lost->file.path = (char *)"";
        lost->rows = &lost->file;
        lost->row_count = 1;
    }
    for (uint32_t i = 0; i < lost->row_count; i++)
        if (!lost->anchor || lost->rows[i].size > lost->anchor->size)
            lost->anchor = &lost->rows[i];
}

static enum mmgr_result collect(const mmgr_record *record, void *user)
{
    struct relink *relink = user;
    const char *location = mmgr_record_location(record);
    if (location && !mmgr__strings_add(&relink->locations, location))
        return mmgr__oom();
    if (mmgr__model_is_there(record))
        return MMGR_OK;
    if (!mmgr__grow((void **)&relink->lost, &relink->capacity, relink->count + 1,
                    sizeof *relink->lost))
        return mmgr__oom();
    relink->lost[relink->count++] = (struct lost){.record = mmgr_record_ref(record)};
    return MMGR_OK;
}

/* The hash of a row that proves its file; NULL: it has none. */
static const char *proof_of(const struct mmgr__file *row, enum mmgr__digest_kind *kind)
{
    *kind = row->sha256 ? MMGR__SHA256 : row->git_sha1 ? MMGR__GIT_SHA1 : MMGR__XXH3;
    return row->sha256 ? row->sha256 : row->git_sha1 ? row->git_sha1 : row->xxh3;
}

static int rows_prove(const struct lost *lost)
{
    enum mmgr__digest_kind kind;
    int prove = 1;
    for (uint32_t i = 0; prove && i < lost->row_count; i++)
        prove = proof_of(&lost->rows[i], &kind) != NULL;
    return prove;
}

/* What will be asked of a file of this size by any of the models: it is read only once. */
static uint32_t kinds_wanted(const struct relink *relink, uint64_t size)
{
    uint32_t kinds = 0;
    for (size_t i = 0; i < relink->count; i++) {
        const struct lost *lost = &relink->lost[i];
        int prove = rows_prove(lost);
        for (uint32_t row = 0; row < lost->row_count; row++) {
            enum mmgr__digest_kind kind;
            if (lost->rows[row].size != size)
                continue;
            if (prove && proof_of(&lost->rows[row], &kind))
                kinds |= 1u << kind;
            else if (lost->whole)
                kinds |= 1u << lost->kind;
        }
    }
    return kinds;
}

static char *file_path(const char *place, const struct mmgr__file *row)
{
    return *row->path ? mmgr__path_join(place, row->path) : mmgr__strdup(place);
}

/* The file of a row at a place, when it has the row's size and is not another record's. */
static struct mmgr__found *file_at(struct relink *relink, const struct lost *lost,
                                   const char *place, const struct mmgr__file *row)
{
    char *path = file_path(place, row);
    struct mmgr__found *file = path ? mmgr__finder_at(&relink->finder, path) : NULL;
    relink->failed |= !path;
    if (file && (file->size != row->size ||
                 mmgr__belongs(&relink->locations, path, mmgr_record_location(lost->record))))
        file = NULL;
    mmgr__free(path);
    return file;
}

/* Where the model would be if this file were its anchor; owned, or NULL. */
static char *place_of(struct relink *relink, const struct lost *lost,
                      const struct mmgr__found *file)
{
    size_t length = strlen(file->path), tail = strlen(lost->anchor->path);
    if (tail && (tail + 1 >= length || file->path[length - tail - 1] != '/' ||
                 strcmp(file->path + length - tail, lost->anchor->path) != 0))
        return NULL;
    char *place = mmgr__strndup(file->path, tail ? length - tail - 1 : length);
    relink->failed |= !place;
    for (uint32_t i = 0; place && i < lost->row_count; i++)
        if (!file_at(relink, lost, place, &lost->rows[i])) {
            mmgr__free(place);
            place = NULL;
        }
    return place;
}

/* A sampled hash proves nothing, but another one saves the reading of a large file. */
static int looks_other(const struct lost *lost, const char *place)
{
    const char *wanted = mmgr_record_text(lost->record, MMGR_FIELD_HASH);
    char *hash = NULL;
    if (!wanted || !mmgr__starts_with(wanted, "sampled:") || *lost->anchor->path ||
        mmgr_hash_path(place, "sampled", &hash) != MMGR_OK)
        return 0;
    int other = strcmp(hash, wanted) != 0;
    mmgr_string_free(hash);
    return other;
}

static enum mmgr_result hash_file(struct relink *relink, struct mmgr__found *file, uint32_t also)
{
    return mmgr__finder_hash(&relink->finder, file, kinds_wanted(relink, file->size) | also);
}

/* Every file of the manifest by its own hash. */
static enum mmgr_result prove_rows(struct relink *relink, const struct lost *lost,
                                   const char *place, int *proved)
{
    enum mmgr_result result = MMGR_OK;
    int same = 1;
    for (uint32_t i = 0; result == MMGR_OK && same && i < lost->row_count; i++) {
        enum mmgr__digest_kind kind;
        const char *wanted = proof_of(&lost->rows[i], &kind);
        struct mmgr__found *file = file_at(relink, lost, place, &lost->rows[i]);
        if (file)
            result = hash_file(relink, file, 0);
        same = file && wanted && strcmp(file->hash[kind], wanted) == 0;
    }
    *proved = same;
    return result;
}

/* The folder's hash as mmgr_hash_path() makes it, of files that are read only once; "" where there
 * are no weights. */
static enum mmgr_result hash_folder(struct relink *relink, const struct lost *lost,
                                    const char *place, char hex[65])
{
    size_t count, length = strlen(place) + 1;
    struct mmgr__found *files = mmgr__finder_below(&relink->finder, place, &count);
    struct mmgr__digest *digest;
    int weights = 0;
    enum mmgr_result result = mmgr__digest_new(lost->kind, 0, &digest);
    if (result != MMGR_OK)
        return result;
    for (size_t i = 0; result == MMGR_OK && i < count; i++) {
        char size[24];
        const char *hash = files[i].hash[lost->kind];
        if (!mmgr__is_weight_name(files[i].path))
            continue;
        weights++;
        snprintf(size, sizeof size, "%" PRIu64, files[i].size);
        result = hash_file(relink, &files[i], 1u << lost->kind);
        if (result == MMGR_OK)
            result = mmgr__digest_update(digest, files[i].path + length,
                                         strlen(files[i].path + length) + 1);
        if (result == MMGR_OK)
            result = mmgr__digest_update(digest, size, strlen(size) + 1);
        if (result == MMGR_OK)
            result = mmgr__digest_update(digest, hash, strlen(hash));
        if (result == MMGR_OK)
            result = mmgr__digest_update(digest, "\n", 1);
    }
    if (result == MMGR_OK && weights)
        result = mmgr__digest_hex(digest, hex);
    mmgr__digest_free(digest);
    return result;
}

/* The model by the record's own hash. */
static enum mmgr_result prove_whole(struct relink *relink, const struct lost *lost,
                                    const char *place, int *proved)
{
    char hex[65] = "";
    struct mmgr__found *file =
        *lost->anchor->path ? NULL : file_at(relink, lost, place, lost->anchor);
    enum mmgr_result result =
        file ? hash_file(relink, file, 0) : hash_folder(relink, lost, place, hex);
    *proved = strcmp(file ? file->hash[lost->kind] : hex, lost->whole) == 0;
    return result;
}

static enum mmgr_result prove(struct relink *relink, const struct lost *lost, const char *place,
                              int *proved)
{
    *proved = 0;
    if (looks_other(lost, place))
        return MMGR_OK;
    return rows_prove(lost) ? prove_rows(relink, lost, place, proved)
                            : prove_whole(relink, lost, place, proved);
}

/* How many components two paths have in common, from their ends. */
static int likeness(const char *a, const char *b)
{
    size_t one = strlen(a), other = strlen(b);
    int components = 0;
    while (one && other && a[one - 1] == b[other - 1]) {
        one--;
        other--;
        components += a[one] == '/';
    }
    return components;
}

struct choice {
    char *place;
    int likeness;
    enum outcome outcome;
};

static void choose(struct choice *choice, const struct lost *lost, char *place)
{
    const char *location = mmgr_record_location(lost->record);
    int alike = likeness(location, place);
    if (choice->place && alike <= choice->likeness) {
        if (alike == choice->likeness)
            choice->outcome = AMBIGUOUS;
        mmgr__free(place);
        return;
    }
    mmgr__free(choice->place);
    *choice = (struct choice){place, alike, RELINKED};
}

static enum mmgr_result find_place(struct relink *relink, const struct lost *lost,
                                   struct choice *choice)
{
    size_t count = 0;
    struct mmgr__found *const *files =
        lost->anchor && mmgr_record_location(lost->record)
            ? mmgr__finder_of_size(&relink->finder, lost->anchor->size, &count)
            : NULL;
    enum mmgr_result result = MMGR_OK;
    choice->outcome = NOT_FOUND;
    for (size_t i = 0; result == MMGR_OK && i < count; i++) {
        char *place = place_of(relink, lost, files[i]);
        int proved = 0;
        if (!place)
            continue;
        if (choice->outcome == NOT_FOUND)
            choice->outcome = lost->whole || rows_prove(lost) ? MISMATCH : NO_PROOF;
        if (choice->outcome != NO_PROOF)
            result = prove(relink, lost, place, &proved);
        if (result == MMGR_OK && proved)
            choose(choice, lost, place);
        else
            mmgr__free(place);
    }
    return result == MMGR_OK && relink->failed ? mmgr__oom() : result;
}

/* What may have come between the search and the change is a reason, not a failure of the call. */
static enum mmgr_result apply(struct relink *relink, const struct lost *lost, struct choice *choice)
{
    enum mmgr_result result =
        relink->dry_run ? MMGR_OK : mmgr__relocate(relink->installer, lost->record, choice->place);
    switch (result) {
    case MMGR_ERR_DUPLICATE_MODEL:
    case MMGR_ERR_HASH_MISMATCH:
    case MMGR_ERR_PATH_NOT_FOUND:
    case MMGR_ERR_UNSAFE_PATH:
    case MMGR_ERR_UNKNOWN_MODEL:
        choice->outcome = CHANGED;
        return MMGR_OK;
    case MMGR_OK: /* its files are those of a record from now on */
        if (!mmgr__strings_add(&relink->locations, choice->place))
            return mmgr__oom();
        mmgr__strings_sort(&relink->locations);
        return MMGR_OK;
    default:
        return result;
    }
}

static void put_member(struct mmgr__buf *json, const char *name, const char *text)
{
    mmgr__buf_printf(json, "%s\"%s\":", strcmp(name, "key") == 0 ? "{" : ",", name);
    mmgr__buf_json_string(json, text);
}

static enum mmgr_result report_one(struct relink *relink, const struct lost *lost,
                                   const struct choice *choice)
{
    const char *key = mmgr_record_text(lost->record, MMGR_FIELD_KEY);
    const char *path = mmgr_record_text(lost->record, MMGR_FIELD_PATH);
    if (choice->outcome != RELINKED) {
        mmgr__buf_puts(&relink->unresolved, relink->unresolved_count++ ? "," : "");
        put_member(&relink->unresolved, "key", key);
        put_member(&relink->unresolved, "path", path);
        put_member(&relink->unresolved, "reason", reasons[choice->outcome]);
        mmgr__buf_puts(&relink->unresolved, "}");
        return MMGR_OK;
    }
    char *to = mmgr__store_inward(choice->place, relink->installer->models_dir);
    if (!to)
        return mmgr__oom();
    mmgr__buf_puts(&relink->relinked, relink->relinked_count++ ? "," : "");
    put_member(&relink->relinked, "key", key);
    put_member(&relink->relinked, "from", path);
    put_member(&relink->relinked, "to", to);
    mmgr__buf_puts(&relink->relinked, "}");
    mmgr__free(to);
    return MMGR_OK;
}

static enum mmgr_result relink_one(struct relink *relink, const struct lost *lost)
{
    struct choice choice = {NULL};
    enum mmgr_result result = find_place(relink, lost, &choice);
    if (result == MMGR_OK && choice.outcome == RELINKED)
        result = apply(relink, lost, &choice);
    if (result == MMGR_OK)
        result = report_one(relink, lost, &choice);
    mmgr__free(choice.place);
    return result;
}

/* A slip of the pen in a folder's name is said also where nothing is sought. */
static enum mmgr_result check_folders(const struct mmgr_relink_options *options)
{
    enum mmgr_result result = MMGR_OK;
    for (uint32_t i = 0; result == MMGR_OK && i < options->folder_count; i++) {
        int fd = mmgr__io_open_dir(AT_FDCWD, options->folders[i]);
        if (fd < 0)
            result = mmgr__fail_errno(-fd, "open the folder", options->folders[i]);
        else
            mmgr__io_close(fd);
    }
    return result;
}

static enum mmgr_result search_folders(struct relink *relink,
                                       const struct mmgr_relink_options *options)
{
    enum mmgr_result result = MMGR_OK;
    for (uint32_t i = 0; result == MMGR_OK && i < options->folder_count; i++) {
        char *folder = mmgr__path_absolute(options->folders[i]);
        result = folder ? mmgr__finder_add(&relink->finder, folder) : mmgr__oom();
        mmgr__free(folder);
    }
    if (options->folder_count == 0)
        result = mmgr__finder_add(&relink->finder, relink->installer->models_dir);
    if (options->folder_count == 0 && result == MMGR_ERR_PATH_NOT_FOUND)
        result = MMGR_OK; /* nothing was installed yet */
    return result == MMGR_OK ? mmgr__finder_index(&relink->finder) : result;
}

static enum mmgr_result run(struct relink *relink, const struct mmgr_relink_options *options,
                            struct mmgr__buf *json)
{
    enum mmgr_result result = check_folders(options);
    if (result == MMGR_OK)
        result = mmgr__store_each(relink->installer->store, collect, relink);
    mmgr__strings_sort(&relink->locations);
    for (size_t i = 0; i < relink->count; i++)
        describe(&relink->lost[i]);
    if (result == MMGR_OK && relink->count)
        result = search_folders(relink, options);
    for (size_t i = 0; result == MMGR_OK && i < relink->count; i++)
        result = relink_one(relink, &relink->lost[i]);
    mmgr__buf_puts(json, "{\"relinked\":[");
    mmgr__buf_append(json, relink->relinked.data, relink->relinked.length);
    mmgr__buf_puts(json, "],\"unresolved\":[");
    mmgr__buf_append(json, relink->unresolved.data, relink->unresolved.length);
    mmgr__buf_printf(json, "],\"dry_run\":%s,\"hashed_bytes\":%" PRIu64 "}",
                     relink->dry_run ? "true" : "false", relink->finder.hashed_bytes);
    json->failed |= relink->relinked.failed | relink->unresolved.failed;
    return result;
}

static void free_relink(struct relink *relink)
{
    for (size_t i = 0; i < relink->count; i++)
        mmgr_record_unref(relink->lost[i].record);
    mmgr__free(relink->lost);
    mmgr__strings_free(&relink->locations);
    mmgr__finder_free(&relink->finder);
    mmgr__buf_free(&relink->relinked);
    mmgr__buf_free(&relink->unresolved);
}

static enum mmgr_result check_options(const struct mmgr_relink_options *given)
{
    if (given->flags & ~MMGR_RELINK_DRY_RUN)
        return mmgr__bad_argument("flags");
    if (given->reserved)
        return mmgr__bad_argument("reserved");
    if (given->folder_count && !given->folders)
        return mmgr__bad_argument("folders");
    for (uint32_t i = 0; i < given->folder_count; i++)
        if (!given->folders[i] || !*given->folders[i])
            return mmgr__bad_argument("folders");
    return MMGR_OK;
}

enum mmgr_result mmgr_installer_relink(mmgr_installer *installer,
                                       const struct mmgr_relink_options *options, char **report)
{
    struct mmgr_relink_options given;
    if (!installer || !report)
        return mmgr__bad_argument(installer ? "report" : "installer");
    enum mmgr_result result = MMGR__IMPORT(given, options, reserved);
    if (result == MMGR_OK)
        result = check_options(&given);
    if (result != MMGR_OK)
        return result;
    struct relink relink = {.installer = installer,
                            .dry_run = (given.flags & MMGR_RELINK_DRY_RUN) != 0};
    if (installer->read_only && !relink.dry_run)
        return mmgr__fail(MMGR_ERR_STATE, "this installer changes nothing");
    struct mmgr__buf json = {0};
    result = run(&relink, &given, &json);
    free_relink(&relink);
    return mmgr__give_report(&json, result, report);
}
