/* SPDX-License-Identifier: MIT */
/* The checkpoint view: the headers of one file, or of all weight files of a folder, as one list. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/options.h"
#include "base/path.h"
#include "base/thread.h"
#include "format/header.h"

struct weight_file {
    char *path; /* below the opened folder; the base name when a file was opened */
    struct mmgr__header header;
    uint64_t first; /* index of its first tensor in the whole list */
    uint32_t group;
    struct stat identity; /* as it was when its header was read */
};
struct mmgr_checkpoint {
    mmgr__refs refs;
    char *path;   /* as given */
    char *folder; /* folder that file paths are below; NULL when a file was opened */
    struct weight_file *files;
    uint32_t file_count;
    uint64_t tensor_count, bytes_read;
    struct mmgr__pair *metadata;
    size_t metadata_count;
    struct mmgr__names names;
};

static void checkpoint_free(mmgr_checkpoint *checkpoint)
{
    for (uint32_t i = 0; i < checkpoint->file_count; i++) {
        mmgr__free(checkpoint->files[i].path);
        mmgr__header_free(&checkpoint->files[i].header);
    }
    mmgr__free(checkpoint->files);
    mmgr__free(checkpoint->metadata);
    mmgr__names_free(&checkpoint->names);
    mmgr__free(checkpoint->folder);
    mmgr__free(checkpoint->path);
    mmgr__free(checkpoint);
}

mmgr_checkpoint *mmgr_checkpoint_ref(const mmgr_checkpoint *checkpoint)
{
    mmgr_checkpoint *same = (mmgr_checkpoint *)checkpoint;

    if (same != NULL)
        mmgr__refs_take(&same->refs);
    return same;
}

void mmgr_checkpoint_unref(mmgr_checkpoint *checkpoint)
{
    if (checkpoint != NULL && mmgr__refs_drop(&checkpoint->refs))
        checkpoint_free(checkpoint);
}

/* --- opening
 * --------------------------------------------------------------------------------------- */

static const struct mmgr__tensor *tensor_at(const mmgr_checkpoint *checkpoint, uint64_t index,
                                            uint32_t *file)
{
    uint32_t low = 0, high = mmgr_checkpoint_file_count(checkpoint);

    if (index >= mmgr_checkpoint_tensor_count(checkpoint))
        return NULL;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (checkpoint->files[middle].first <= index)
            low = middle;
        else
            high = middle;
    }
    *file = low;
    return &checkpoint->files[low].header.tensors[index - checkpoint->files[low].first];
}

/* One list and one table of names. In one group (a file, or the shards of one model part) a name
 * stands once; parts of a pipeline may use the same names, and the first is found. */
static enum mmgr_result join(mmgr_checkpoint *checkpoint)
{
    struct weight_file *files = checkpoint->files;
    uint64_t count = 0;

    for (uint32_t f = 0; f < checkpoint->file_count; f++) {
        files[f].first = count;
        count += files[f].header.count;
    }
    if (count > UINT32_MAX / 2)
        return mmgr__fail(MMGR_ERR_INVALID_FILE, "%s has too many tensors", checkpoint->path);
    checkpoint->tensor_count = count;
    if (checkpoint->file_count == 1) {
        checkpoint->names = files[0].header.names;
        files[0].header.names = (struct mmgr__names){0};
        return MMGR_OK;
    }
    enum mmgr_result result = mmgr__names_init(&checkpoint->names, (size_t)count);
    for (uint32_t f = 0; result == MMGR_OK && f < checkpoint->file_count; f++) {
        for (size_t t = 0; result == MMGR_OK && t < files[f].header.count; t++) {
            const char *name = files[f].header.tensors[t].name;
            uint32_t other, owner = 0;
            int put = mmgr__names_put(&checkpoint->names, name, strlen(name),
                                      (uint32_t)(files[f].first + t));
            if (put == 0 && mmgr__names_find(&checkpoint->names, name, &other))
                tensor_at(checkpoint, other, &owner);
            if (put < 0 || (put == 0 && files[owner].group == files[f].group)) {
                char shown[MMGR__DISPLAY_ROOM];
                result = mmgr__fail(MMGR_ERR_INVALID_FILE, "%s: tensor \"%s\" is also in %s",
                                    files[f].path, mmgr__display(name, shown, sizeof(shown)),
                                    files[owner].path);
                mmgr__error_set_subject(files[f].path);
            }
        }
    }
    return result;
}

/* Metadata of all files; of a key that several have, the first value. */
static enum mmgr_result join_metadata(mmgr_checkpoint *checkpoint)
{
    struct mmgr__names seen = {0};
    size_t all = 0;

    for (uint32_t f = 0; f < checkpoint->file_count; f++)
        all += checkpoint->files[f].header.metadata_count;
    if (all == 0)
        return MMGR_OK;
    checkpoint->metadata = mmgr__alloc0(all, sizeof(checkpoint->metadata[0]));
    if (checkpoint->metadata == NULL)
        return mmgr__oom();
    enum mmgr_result result = mmgr__names_init(&seen, all);
    for (uint32_t f = 0; result == MMGR_OK && f < checkpoint->file_count; f++) {
        const struct mmgr__header *header = &checkpoint->files[f].header;
        for (size_t i = 0; i < header->metadata_count; i++)
            if (mmgr__names_put(&seen, header->metadata[i].key, strlen(header->metadata[i].key),
                                0) == 1)
                checkpoint->metadata[checkpoint->metadata_count++] = header->metadata[i];
    }
    mmgr__names_free(&seen);
    return result;
}

/* Every tensor that an index promises is in the shard that it names, and is promised once. */
static enum mmgr_result check_index(const mmgr_checkpoint *checkpoint,
                                    const struct mmgr__index *index)
{
    const char *slash = strrchr(index->path, '/');
    size_t inner = slash != NULL ? (size_t)(slash - index->path) + 1 : 0;
    struct mmgr__names seen = {0}, own = {0};
    size_t count = 0;
    enum mmgr_result result = mmgr__names_init(&seen, index->count);

    for (uint32_t f = 0; f < checkpoint->file_count; f++)
        if (checkpoint->files[f].group == index->group)
            count += checkpoint->files[f].header.count;
    if (result == MMGR_OK)
        result = mmgr__names_init(&own, count);
    for (uint32_t f = 0; result == MMGR_OK && f < checkpoint->file_count; f++)
        for (size_t t = 0;
             checkpoint->files[f].group == index->group && t < checkpoint->files[f].header.count;
             t++) {
            const char *name = checkpoint->files[f].header.tensors[t].name;
            mmgr__names_put(&own, name, strlen(name), f);
        }
    for (size_t i = 0; result == MMGR_OK && i < index->count; i++) {
        const struct mmgr__mapping *mapping = &index->map[i];
        const char *why = NULL;
        uint32_t file;
        if (mmgr__names_put(&seen, mapping->tensor, strlen(mapping->tensor), 0) != 1)
            why = "stands twice in weight_map";
        else if (!mmgr__names_find(&own, mapping->tensor, &file))
            why = "is in none of the shards";
        else if (strcmp(checkpoint->files[file].path + inner, mapping->shard) != 0)
            why = "is in another shard than weight_map says";
        if (why != NULL) {
            char shown[MMGR__DISPLAY_ROOM];
            result = mmgr__fail(MMGR_ERR_INVALID_FILE, "%s: tensor \"%s\" %s", index->path,
                                mmgr__display(mapping->tensor, shown, sizeof(shown)), why);
            mmgr__error_set_subject(index->path);
        }
    }
    mmgr__names_free(&seen);
    mmgr__names_free(&own);
    return result;
}

static enum mmgr_result read_file(mmgr_checkpoint *checkpoint, struct weight_file *file,
                                  struct mmgr__bytes *bytes, int dirfd, const char *stat_path)
{
    enum mmgr_result result = MMGR_OK;
    char *shown = checkpoint->folder != NULL ? mmgr__path_join(checkpoint->folder, file->path)
                                             : mmgr__strdup(checkpoint->path);
    int error = mmgr__io_stat(dirfd, stat_path, &file->identity, dirfd == AT_FDCWD);

    if (shown == NULL)
        result = mmgr__oom();
    else if (error != 0)
        result = mmgr__fail_errno(-error, "read", shown);
    else
        result = mmgr__safetensors_read(bytes, shown, &file->header);
    checkpoint->bytes_read += bytes->bytes_read;
    mmgr__bytes_close(bytes);
    mmgr__free(shown);
    return result;
}

static enum mmgr_result open_single(mmgr_checkpoint *checkpoint)
{
    struct mmgr__bytes bytes;
    enum mmgr_result result = mmgr__bytes_open_file(checkpoint->path, &bytes);

    if (result != MMGR_OK)
        return result;
    checkpoint->files = mmgr__alloc0(1, sizeof(checkpoint->files[0]));
    char *name = mmgr__strdup(mmgr__path_basename(checkpoint->path));
    if (checkpoint->files == NULL || name == NULL) {
        mmgr__free(name);
        mmgr__bytes_close(&bytes);
        return mmgr__oom();
    }
    checkpoint->file_count = 1;
    checkpoint->files[0].path = name;
    return read_file(checkpoint, &checkpoint->files[0], &bytes, AT_FDCWD, checkpoint->path);
}

static enum mmgr_result open_selected(mmgr_checkpoint *checkpoint, struct mmgr__folder *folder,
                                      struct mmgr__selection *selection)
{
    enum mmgr_result result = MMGR_OK;

    checkpoint->files = mmgr__alloc0(selection->count, sizeof(checkpoint->files[0]));
    if (checkpoint->files == NULL)
        return mmgr__oom();
    for (size_t i = 0; result == MMGR_OK && i < selection->count; i++) {
        struct weight_file *file = &checkpoint->files[checkpoint->file_count++];
        struct mmgr__bytes bytes;
        file->path = selection->weights[i].path;
        file->group = selection->weights[i].group;
        selection->weights[i].path = NULL;
        result = mmgr__bytes_open_beneath(mmgr__folder_fd(folder), file->path, &bytes);
        if (result == MMGR_OK)
            result = read_file(checkpoint, file, &bytes, mmgr__folder_fd(folder), file->path);
        else if (result == MMGR_ERR_PATH_NOT_FOUND) {
            result = mmgr__fail(MMGR_ERR_INVALID_FILE, "%s: shard %s is missing",
                                checkpoint->folder, file->path);
            mmgr__error_set_subject(file->path);
        } else {
            mmgr__error_prefix("in %s", checkpoint->folder);
        }
    }
    if (result == MMGR_OK)
        result = join(checkpoint);
    for (size_t i = 0; result == MMGR_OK && i < selection->index_count; i++)
        result = check_index(checkpoint, &selection->indexes[i]);
    return result;
}

/* index_name: an index that was named itself; else the folder's weights are looked for. */
static enum mmgr_result open_in_folder(mmgr_checkpoint *checkpoint, const char *index_name,
                                       const struct mmgr_checkpoint_options *options)
{
    struct mmgr__folder *folder;
    struct mmgr__selection selection = {0};
    enum mmgr_result result = mmgr__folder_open(checkpoint->folder, &folder);

    if (result != MMGR_OK)
        return result;
    if (index_name != NULL)
        result = mmgr__index_add(folder, index_name, &selection);
    else
        result = mmgr__folder_select(folder, options->component, options->variant, &selection);
    if (result == MMGR_OK)
        result = open_selected(checkpoint, folder, &selection);
    checkpoint->bytes_read += mmgr__folder_bytes_read(folder);
    mmgr__selection_free(&selection);
    mmgr__folder_close(folder);
    return result;
}

static enum mmgr_result open_checkpoint(mmgr_checkpoint *checkpoint,
                                        const struct mmgr_checkpoint_options *options)
{
    struct stat st;
    const char *path = checkpoint->path;
    int error = mmgr__io_stat(AT_FDCWD, path, &st, 1);
    enum mmgr_result result;

    if (error != 0)
        return mmgr__fail_errno(-error, "open", path);
    if (S_ISDIR(st.st_mode)) {
        checkpoint->folder = mmgr__strdup(path);
        result =
            checkpoint->folder == NULL ? mmgr__oom() : open_in_folder(checkpoint, NULL, options);
    } else if (options->component != NULL) {
        mmgr__fail(MMGR_ERR_UNKNOWN_SUBMODEL, "%s is a file and has no component \"%s\"", path,
                   options->component);
        mmgr__error_set_subject(options->component);
        return MMGR_ERR_UNKNOWN_SUBMODEL;
    } else if (mmgr__ends_with(path, ".index.json")) {
        checkpoint->folder = mmgr__path_dirname(path);
        result = checkpoint->folder == NULL
                     ? mmgr__oom()
                     : open_in_folder(checkpoint, mmgr__path_basename(path), options);
    } else {
        result = open_single(checkpoint);
        if (result == MMGR_OK)
            result = join(checkpoint);
    }
    return result == MMGR_OK ? join_metadata(checkpoint) : result;
}

enum mmgr_result mmgr_checkpoint_open(const char *path,
                                      const struct mmgr_checkpoint_options *options,
                                      mmgr_checkpoint **checkpoint)
{
    struct mmgr_checkpoint_options wanted;
    enum mmgr_result result = MMGR__IMPORT(wanted, options, variant);

    if (result != MMGR_OK)
        return result;
    if (path == NULL || path[0] == '\0')
        return mmgr__bad_argument("path");
    if (checkpoint == NULL)
        return mmgr__bad_argument("checkpoint");
    if (wanted.flags != 0)
        return mmgr__bad_argument("flags");
    mmgr_checkpoint *made = mmgr__alloc0(1, sizeof(*made));
    if (made == NULL)
        return mmgr__oom();
    mmgr__refs_init(&made->refs);
    made->path = mmgr__strdup(path);
    result = made->path == NULL ? mmgr__oom() : MMGR_OK;
    if (result == MMGR_OK) {
        size_t length = strlen(made->path);
        while (length > 1 && made->path[length - 1] == '/')
            made->path[--length] = '\0';
        result = open_checkpoint(made, &wanted);
    }
    if (result != MMGR_OK) {
        checkpoint_free(made);
        return result;
    }
    *checkpoint = made;
    return MMGR_OK;
}

/* --- reading the view
 * ------------------------------------------------------------------------------ */

const char *mmgr_checkpoint_format(const mmgr_checkpoint *checkpoint)
{
    if (checkpoint == NULL)
        return NULL;
    return checkpoint->folder != NULL ? "folder" : "safetensors";
}

uint64_t mmgr_checkpoint_bytes_read(const mmgr_checkpoint *checkpoint)
{
    return checkpoint != NULL ? checkpoint->bytes_read : 0;
}

uint32_t mmgr_checkpoint_file_count(const mmgr_checkpoint *checkpoint)
{
    return checkpoint != NULL ? checkpoint->file_count : 0;
}

const char *mmgr_checkpoint_file_path(const mmgr_checkpoint *checkpoint, uint32_t file)
{
    return file < mmgr_checkpoint_file_count(checkpoint) ? checkpoint->files[file].path : NULL;
}

uint64_t mmgr_checkpoint_metadata_count(const mmgr_checkpoint *checkpoint)
{
    return checkpoint != NULL ? checkpoint->metadata_count : 0;
}

enum mmgr_result mmgr_checkpoint_metadata_at(const mmgr_checkpoint *checkpoint, uint64_t index,
                                             const char **key, const char **value)
{
    if (checkpoint == NULL)
        return mmgr__bad_argument("checkpoint");
    if (index >= checkpoint->metadata_count)
        return mmgr__bad_argument("index");
    if (key == NULL || value == NULL)
        return mmgr__bad_argument(key == NULL ? "key" : "value");
    *key = checkpoint->metadata[index].key;
    *value = checkpoint->metadata[index].value;
    return MMGR_OK;
}

uint64_t mmgr_checkpoint_tensor_count(const mmgr_checkpoint *checkpoint)
{
    return checkpoint != NULL ? checkpoint->tensor_count : 0;
}

enum mmgr_result mmgr_checkpoint_find(const mmgr_checkpoint *checkpoint, const char *name,
                                      uint64_t *index)
{
    uint32_t found;

    if (checkpoint == NULL)
        return mmgr__bad_argument("checkpoint");
    if (name == NULL || index == NULL)
        return mmgr__bad_argument(name == NULL ? "name" : "index");
    if (!mmgr__names_find(&checkpoint->names, name, &found)) {
        char shown[MMGR__DISPLAY_ROOM];
        mmgr__fail(MMGR_ERR_UNKNOWN_TENSOR, "%s has no tensor \"%s\"", checkpoint->path,
                   mmgr__display(name, shown, sizeof(shown)));
        mmgr__error_set_subject(name);
        return MMGR_ERR_UNKNOWN_TENSOR;
    }
    *index = found;
    return MMGR_OK;
}

const char *mmgr_checkpoint_tensor_name(const mmgr_checkpoint *checkpoint, uint64_t index)
{
    uint32_t file;
    const struct mmgr__tensor *tensor = tensor_at(checkpoint, index, &file);

    return tensor != NULL ? tensor->name : NULL;
}

enum mmgr_dtype mmgr_checkpoint_tensor_dtype(const mmgr_checkpoint *checkpoint, uint64_t index)
{
    uint32_t file;
    const struct mmgr__tensor *tensor = tensor_at(checkpoint, index, &file);

    return tensor != NULL ? (enum mmgr_dtype)tensor->dtype : MMGR_DTYPE_NONE;
}

uint32_t mmgr_checkpoint_tensor_rank(const mmgr_checkpoint *checkpoint, uint64_t index)
{
    uint32_t file;
    const struct mmgr__tensor *tensor = tensor_at(checkpoint, index, &file);

    return tensor != NULL ? tensor->rank : 0;
}

const uint64_t *mmgr_checkpoint_tensor_shape(const mmgr_checkpoint *checkpoint, uint64_t index)
{
    uint32_t file;
    const struct mmgr__tensor *tensor = tensor_at(checkpoint, index, &file);

    return tensor != NULL && tensor->rank > 0 ? checkpoint->files[file].header.dims + tensor->shape
                                              : NULL;
}

const int64_t *mmgr_checkpoint_tensor_strides(const mmgr_checkpoint *checkpoint, uint64_t index)
{
    (void)checkpoint;
    (void)index;
    return NULL; /* safetensors knows only contiguous tensors */
}

uint64_t mmgr_checkpoint_tensor_offset(const mmgr_checkpoint *checkpoint, uint64_t index)
{
    uint32_t file;
    const struct mmgr__tensor *tensor = tensor_at(checkpoint, index, &file);

    return tensor != NULL ? tensor->begin : 0;
}

uint64_t mmgr_checkpoint_tensor_bytes(const mmgr_checkpoint *checkpoint, uint64_t index)
{
    uint32_t file;
    const struct mmgr__tensor *tensor = tensor_at(checkpoint, index, &file);

    return tensor != NULL ? tensor->end - tensor->begin : 0;
}

uint32_t mmgr_checkpoint_tensor_file(const mmgr_checkpoint *checkpoint, uint64_t index)
{
    uint32_t file = 0;

    tensor_at(checkpoint, index, &file);
    return file;
}

uint64_t mmgr_checkpoint_tensor_storage(const mmgr_checkpoint *checkpoint, uint64_t index)
{
    (void)checkpoint;
    return index; /* each tensor of a safetensors file has bytes of its own */
}

enum mmgr_block_type mmgr_checkpoint_tensor_block(const mmgr_checkpoint *checkpoint, uint64_t index)
{
    (void)checkpoint;
    (void)index;
    return MMGR_BLOCK_NONE;
}

/* --- the files behind it
 * --------------------------------------------------------------------------- */

static int same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

enum mmgr_result mmgr__checkpoint_open_file(const mmgr_checkpoint *checkpoint, uint32_t file,
                                            int *fd)
{
    struct stat st;
    int opened;

    if (file >= checkpoint->file_count)
        return mmgr__bad_argument("file");
    const struct weight_file *weights = &checkpoint->files[file];
    const char *shown = checkpoint->folder != NULL ? weights->path : checkpoint->path;
    if (checkpoint->folder != NULL) {
        int folder = mmgr__io_open_dir(AT_FDCWD, checkpoint->folder);
        if (folder < 0)
            return mmgr__fail_errno(-folder, "open folder", checkpoint->folder);
        opened = mmgr__io_open_beneath(folder, weights->path, O_RDONLY | O_NONBLOCK, 0);
        mmgr__io_close(folder);
    } else {
        opened = mmgr__io_open_read(AT_FDCWD, checkpoint->path);
    }
    if (opened < 0)
        return mmgr__fail_errno(-opened, "open", shown);
    if (fstat(opened, &st) != 0 || !same_file(&st, &weights->identity)) {
        mmgr__io_close(opened);
        mmgr__fail(MMGR_ERR_INVALID_FILE, "%s has changed since its header was read", shown);
        mmgr__error_set_subject(shown);
        return MMGR_ERR_INVALID_FILE;
    }
    *fd = opened;
    return MMGR_OK;
}

uint64_t mmgr__checkpoint_file_size(const mmgr_checkpoint *checkpoint, uint32_t file)
{
    return file < checkpoint->file_count ? checkpoint->files[file].header.file_size : 0;
}

uint64_t mmgr__checkpoint_data_offset(const mmgr_checkpoint *checkpoint, uint32_t file)
{
    return file < checkpoint->file_count ? checkpoint->files[file].header.data_offset : 0;
}
