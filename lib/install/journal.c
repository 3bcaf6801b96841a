/* SPDX-License-Identifier: MIT */
/* Staging folders and the journals in them. A journal is written whole by an atomic rename, so
 * it is always one state or the next. It holds no token: those are looked up again by origin. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/json.h"
#include "base/path.h"
#include "install/install.h"

#define JOURNAL_VERSION 1
#define JOURNAL_LIMIT   (64u << 20)

/* The lock file may have been removed by the holder that we waited for: only a lock on the file
 * that the name leads to now is a lock. */
static int lock_is_current(int fd, const char *path)
{
    struct stat held, named;
    return fstat(fd, &held) == 0 && mmgr__io_stat(AT_FDCWD, path, &named, 0) == 0 &&
           held.st_ino == named.st_ino && held.st_dev == named.st_dev;
}

static int take_lock(const char *folder)
{
    char *path = mmgr__path_join(folder, "lock");
    if (!path)
        return -ENOMEM;
    int fd = -EAGAIN;
    for (int attempt = 0; attempt < 8; attempt++) {
        fd = mmgr__io_lock(AT_FDCWD, path, 1, 0);
        if (fd < 0 || lock_is_current(fd, path))
            break;
        mmgr__io_unlock(fd);
        fd = -EAGAIN;
    }
    mmgr__free(path);
    return fd;
}

/* The folder may be removed, by its last holder, between being found and being locked. */
static enum mmgr_result open_folder(struct mmgr__staging *staging, int create)
{
    struct stat st;
    for (int attempt = 0;; attempt++) {
        int error = create ? mmgr__io_mkdirs(staging->folder, 0755)
                           : mmgr__io_stat(AT_FDCWD, staging->folder, &st, 0);
        if (error < 0)
            return mmgr__fail_errno(-error, create ? "make the folder" : "find", staging->folder);
        staging->lock = take_lock(staging->folder);
        if (staging->lock >= 0)
            return MMGR_OK;
        if (staging->lock == -EAGAIN)
            return mmgr__fail(MMGR_ERR_BUSY, "another process is working on this install (%s)",
                              staging->folder);
        if (staging->lock != -ENOENT || attempt == 8)
            return mmgr__fail_errno(-staging->lock, "lock", staging->folder);
    }
}

enum mmgr_result mmgr__staging_open(mmgr_installer *installer, const char *id, int create,
                                    struct mmgr__staging *staging)
{
    struct mmgr__staging made = {.lock = -1};
    made.folder = mmgr__path_join(installer->staging_dir, id);
    made.files = made.folder ? mmgr__path_join(made.folder, "files") : NULL;
    made.journal = made.files ? mmgr__path_join(made.folder, "journal.json") : NULL;
    enum mmgr_result result = made.journal ? MMGR_OK : mmgr__oom();
    if (result == MMGR_OK)
        result = open_folder(&made, create);
    if (result != MMGR_OK) {
        mmgr__staging_close(&made);
        return result;
    }
    *staging = made;
    return MMGR_OK;
}

void mmgr__staging_close(struct mmgr__staging *staging)
{
    if (staging->folder && staging->lock >= 0)
        mmgr__io_unlock(staging->lock);
    mmgr__free(staging->folder);
    mmgr__free(staging->files);
    mmgr__free(staging->journal);
    memset(staging, 0, sizeof *staging);
    staging->lock = -1;
}

enum mmgr_result mmgr__staging_drop(struct mmgr__staging *staging)
{
    enum mmgr_result result = MMGR_OK;
    int error = mmgr__io_unlink(AT_FDCWD, staging->journal);
    if (error == 0)
        error = mmgr__io_fsync_dir(AT_FDCWD, staging->folder);
    if (error < 0 && error != -ENOENT)
        result = mmgr__fail_errno(-error, "remove", staging->journal);
    /* The lock goes with its folder, and while it is still held: see lock_is_current(). */
    if (result == MMGR_OK && (error = mmgr__remove_tree(staging->folder)) < 0)
        result = mmgr__fail_errno(-error, "remove", staging->folder);
    mmgr__staging_close(staging);
    return result;
}

enum mmgr_result mmgr__install_journal_write(const struct mmgr__staging *staging,
                                             const json_t *journal)
{
    char *text = mmgr__json_dump(journal);
    if (!text)
        return mmgr__oom();
    int error = mmgr__io_write_file(staging->journal, text, strlen(text), 0600);
    mmgr__free(text);
    return error < 0 ? mmgr__fail_errno(-error, "write", staging->journal) : MMGR_OK;
}

enum mmgr_result mmgr__install_journal_read(const struct mmgr__staging *staging, json_t **journal)
{
    char *text;
    size_t length;
    int error = mmgr__io_read_file(AT_FDCWD, staging->journal, JOURNAL_LIMIT, &text, &length);
    if (error == -ENOENT) {
        *journal = NULL;
        return MMGR_OK;
    }
    if (error < 0)
        return mmgr__fail_errno(-error, "read", staging->journal);
    json_t *root;
    enum mmgr_result result =
        mmgr__json_parse(text, length, MMGR_ERR_INVALID_FILE, staging->journal, &root);
    mmgr__free(text);
    if (result != MMGR_OK)
        return result;
    if (json_integer_value(json_object_get(root, "version")) != JOURNAL_VERSION ||
        !mmgr__json_text(root, "state") || !mmgr__json_text(root, "key")) {
        json_decref(root);
        return mmgr__fail(MMGR_ERR_INVALID_FILE, "%s is not a journal that this version knows",
                          staging->journal);
    }
    *journal = root;
    return MMGR_OK;
}

static int put(json_t *object, const char *name, const char *text)
{
    return !text || json_object_set_new(object, name, json_string(text)) == 0;
}

/* Members of the journal that are texts of the plan. */
#define PLAN_TEXTS(X)                                                                         \
    X(source)                                                                                 \
    X(name)                                                                                   \
    X(overrides)                                                                              \
    X(repo)                                                                                   \
    X(revision)                                                                               \
    X(variant) X(subfolder) X(identity) X(staging_id) X(key) X(local) X(response) X(page_url) \
        X(tags)

json_t *mmgr__journal_of_plan(const mmgr_plan *plan, const char *state)
{
    json_t *root = json_object(), *files = json_array();
    int ok = root && files &&
             json_object_set_new(root, "version", json_integer(JOURNAL_VERSION)) == 0 &&
             put(root, "state", state) && put(root, "source_type", plan->source_type) &&
             json_object_set_new(root, "flags", json_integer(plan->flags)) == 0 &&
             json_object_set_new(root, "single", json_boolean(plan->single)) == 0 &&
             json_object_set_new(root, "named", json_boolean(plan->named)) == 0 &&
             json_object_set_new(root, "key_given", json_boolean(plan->key_given)) == 0 &&
             json_object_set_new(root, "url_name", json_boolean(plan->url_name)) == 0;
#define PUT(member) ok = ok && put(root, #member, plan->member);
    PLAN_TEXTS(PUT)
#undef PUT
    for (size_t i = 0; ok && i < plan->count; i++) {
        const struct mmgr__plan_file *file = &plan->files[i];
        json_t *row = json_object();
        ok = row && put(row, "origin", file->origin) && put(row, "relative", file->relative) &&
             put(row, "from", file->from) && put(row, "sha256", file->sha256) &&
             put(row, "git_sha1", file->git_sha1) &&
             (!file->mtime_ns ||
              json_object_set_new(row, "mtime_ns", json_integer(file->mtime_ns)) == 0) &&
             (file->size == UINT64_MAX ||
              json_object_set_new(row, "size", json_integer((json_int_t)file->size)) == 0);
        if (json_array_append_new(files, row) != 0)
            ok = 0;
    }
    if (!ok || json_object_set(root, "files", files) != 0) {
        json_decref(root);
        root = NULL;
    }
    json_decref(files);
    return root;
}

static enum mmgr_result read_files(const json_t *journal, mmgr_plan *plan)
{
    size_t index;
    const json_t *row;
    json_array_foreach(json_object_get(journal, "files"), index, row)
    {
        const char *relative = mmgr__json_text(row, "relative"),
                   *from = mmgr__json_text(row, "from");
        const json_t *size = json_object_get(row, "size");
        if (!relative || !from)
            return mmgr__fail(MMGR_ERR_INVALID_FILE, "journal of %s: file %zu has no path",
                              plan->source, index);
        if (*relative && mmgr__path_check_relative(relative) != MMGR_OK)
            return MMGR_ERR_UNSAFE_PATH;
        enum mmgr_result result =
            mmgr__plan_add_file(plan, mmgr__json_text(row, "origin"), relative, from,
                                size ? (uint64_t)json_integer_value(size) : UINT64_MAX,
                                mmgr__json_text(row, "sha256"), mmgr__json_text(row, "git_sha1"));
        if (result != MMGR_OK)
            return result;
        plan->files[plan->count - 1].mtime_ns =
            json_integer_value(json_object_get(row, "mtime_ns"));
    }
    return MMGR_OK;
}

enum mmgr_result mmgr__plan_of_journal(const json_t *journal, mmgr_plan **plan)
{
    mmgr_plan *made = mmgr__alloc0(1, sizeof *made);
    if (!made)
        return mmgr__oom();
    int ok = 1;
#define GET(member)                        \
    if (mmgr__json_text(journal, #member)) \
        ok = ok && (made->member = mmgr__strdup(mmgr__json_text(journal, #member)));
    PLAN_TEXTS(GET)
#undef GET
    const char *type = mmgr__json_text(journal, "source_type");
    made->source_type =
        mmgr_term_name(MMGR_TAXONOMY_SOURCE_TYPE, mmgr_term_parse(MMGR_TAXONOMY_SOURCE_TYPE, type));
    made->flags = (uint32_t)json_integer_value(json_object_get(journal, "flags"));
    made->single = json_is_true(json_object_get(journal, "single"));
    made->named = json_is_true(json_object_get(journal, "named"));
    made->key_given = json_is_true(json_object_get(journal, "key_given"));
    made->url_name = json_is_true(json_object_get(journal, "url_name"));
    enum mmgr_result result = ok ? MMGR_OK : mmgr__oom();
    if (result == MMGR_OK && (!made->source || !made->identity || !made->key || !made->name))
        result =
            mmgr__fail(MMGR_ERR_INVALID_FILE, "the journal lacks source, identity, key or name");
    if (result == MMGR_OK)
        result = read_files(journal, made);
    if (result != MMGR_OK) {
        mmgr_plan_free(made);
        return result;
    }
    *plan = made;
    return MMGR_OK;
}
