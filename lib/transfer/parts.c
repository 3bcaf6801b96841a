/* SPDX-License-Identifier: MIT */
/* Lists of parts: made by callers, or by walking a local folder. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/http.h"
#include "base/io.h"
#include "base/path.h"
#include "base/text.h"
#include "transfer/queue_internal.h"

#define DEEPEST_FOLDER 64

void mmgr__spec_clear(struct mmgr__part_spec *spec)
{
    mmgr__free(spec->source);
    mmgr__free(spec->path);
    spec->source = spec->path = NULL;
}

enum mmgr_result mmgr__spec_copy(struct mmgr__part_spec *to, const struct mmgr__part_spec *from)
{
    struct mmgr__part_spec copy = *from;
    copy.source = mmgr__strdup(from->source);
    copy.path = mmgr__strdup(from->path);
    if ((copy.source == NULL && from->source != NULL) ||
        (copy.path == NULL && from->path != NULL)) {
        mmgr__spec_clear(&copy);
        return mmgr__oom();
    }
    *to = copy;
    return MMGR_OK;
}

/* Length of the scheme of "scheme:..." by RFC 3986, or 0. One letter is no scheme. */
static size_t scheme_length(const char *text)
{
    size_t length = 0;
    while (isalnum((unsigned char)text[length]) ||
           (length > 0 && strchr("+.-", text[length]) != NULL && text[length] != '\0'))
        length++;
    return length > 1 && text[length] == ':' && isalpha((unsigned char)text[0]) ? length : 0;
}

static enum mmgr_result local_source(const char *text, char **normal)
{
    char *path = mmgr__path_absolute(text);
    if (path == NULL)
        return mmgr__oom();
    struct stat st;
    int error = mmgr__io_stat(AT_FDCWD, path, &st, 1);
    if (error != 0) {
        enum mmgr_result rc = mmgr__fail_errno(-error, "open", path);
        mmgr__free(path);
        return rc;
    }
    *normal = path;
    return MMGR_OK;
}

static enum mmgr_result file_url(const char *text, char **normal)
{
    const char *path = text + strlen("file:");
    if (mmgr__starts_with(path, "//localhost/"))
        path += strlen("//localhost");
    else if (mmgr__starts_with(path, "///"))
        path += 2;
    if (path[0] != '/' || path[1] == '/')
        return mmgr__fail(MMGR_ERR_UNSUPPORTED_SOURCE, "%s names no local path", text);
    char *decoded = mmgr__url_decode(path);
    if (decoded == NULL)
        return mmgr__fail(MMGR_ERR_UNSUPPORTED_SOURCE, "%s is malformed", text);
    enum mmgr_result rc = local_source(decoded, normal);
    mmgr__free(decoded);
    return rc;
}

enum mmgr_result mmgr__spec_source(const char *source, char **normal, int *is_local)
{
    size_t scheme = scheme_length(source);
    if (scheme == 4 && strncasecmp(source, "file", 4) == 0) {
        *is_local = 1;
        return file_url(source, normal);
    }
    if (scheme > 0 && mmgr__starts_with(source + scheme, "://")) {
        struct mmgr__url url;
        enum mmgr_result rc = mmgr__url_parse(source, &url);
        if (rc != MMGR_OK)
            return rc;
        *normal = mmgr__strdup(url.text);
        mmgr__url_free(&url);
        *is_local = 0;
        return *normal != NULL ? MMGR_OK : mmgr__oom();
    }
    *is_local = 1;
    return local_source(source, normal);
}

enum mmgr_result mmgr_parts_new(mmgr_parts **parts)
{
    if (parts == NULL)
        return mmgr__bad_argument("parts");
    mmgr_parts *made = mmgr__alloc0(1, sizeof *made);
    if (made == NULL)
        return mmgr__oom();
    *parts = made;
    return MMGR_OK;
}

void mmgr_parts_free(mmgr_parts *parts)
{
    if (parts == NULL)
        return;
    for (size_t i = 0; i < parts->count; i++)
        mmgr__spec_clear(&parts->items[i]);
    mmgr__free(parts->items);
    mmgr__free(parts);
}

static int lower_hex(const char *text, size_t digits, char *out)
{
    if (text == NULL) {
        out[0] = '\0';
        return 1;
    }
    if (!mmgr__is_hex(text, digits))
        return 0;
    for (size_t i = 0; i <= digits; i++)
        out[i] = (char)tolower((unsigned char)text[i]);
    return 1;
}

/* A file cannot be a folder of another: "a" and "a/b" clash, as two equal paths do. */
static int paths_clash(const char *a, const char *b)
{
    size_t i = 0;
    while (a[i] != '\0' && a[i] == b[i])
        i++;
    return (a[i] == '\0' && (b[i] == '\0' || b[i] == '/')) || (b[i] == '\0' && a[i] == '/');
}

enum mmgr_result mmgr_parts_add(mmgr_parts *parts, const char *source, const char *path,
                                uint64_t size, const char *sha256, const char *git_sha1)
{
    if (parts == NULL || source == NULL || path == NULL)
        return mmgr__bad_argument(parts == NULL ? "parts" : source == NULL ? "source" : "path");
    enum mmgr_result rc = mmgr__path_check_relative(path);
    if (rc != MMGR_OK)
        return rc;
    struct mmgr__part_spec spec = {.size = size};
    if (!lower_hex(sha256, 64, spec.sha256))
        return mmgr__bad_argument("sha256");
    if (!lower_hex(git_sha1, 40, spec.git_sha1))
        return mmgr__bad_argument("git_sha1");
    for (size_t i = 0; i < parts->count; i++) {
        if (paths_clash(parts->items[i].path, path))
            return mmgr__fail(MMGR_ERR_ARGUMENT, "the part %s clashes with the part %s", path,
                              parts->items[i].path);
    }
    spec.source = mmgr__strdup(source);
    spec.path = mmgr__strdup(path);
    void *items = parts->items;
    if (spec.source == NULL || spec.path == NULL ||
        !mmgr__grow(&items, &parts->capacity, parts->count + 1, sizeof *parts->items)) {
        mmgr__spec_clear(&spec);
        return mmgr__oom();
    }
    parts->items = items;
    parts->items[parts->count++] = spec;
    return MMGR_OK;
}

static enum mmgr_result walk(const char *folder, const char *below, int depth, mmgr_parts *parts);

/* One entry of a folder. A link to a file is copied as the file (model caches are made of such
 * links); a link to a folder is not followed, because it may lead anywhere, itself included. */
static enum mmgr_result walk_entry(const char *path, const char *relative, int depth,
                                   mmgr_parts *parts)
{
    struct stat st, target;
    int error = mmgr__io_stat(AT_FDCWD, path, &st, 0);
    if (error != 0)
        return mmgr__fail_errno(-error, "read", path);
    if (S_ISDIR(st.st_mode))
        return walk(path, relative, depth + 1, parts);
    if (S_ISLNK(st.st_mode) && (error = mmgr__io_stat(AT_FDCWD, path, &target, 1)) != 0)
        return mmgr__fail_errno(-error, "follow the link", path);
    if (S_ISLNK(st.st_mode) && S_ISDIR(target.st_mode))
        return mmgr__fail(MMGR_ERR_UNSAFE_PATH, "%s is a link to a folder, which is not followed",
                          path);
    uint64_t size = (uint64_t)(S_ISLNK(st.st_mode) ? target.st_size : st.st_size);
    if (!S_ISREG(S_ISLNK(st.st_mode) ? target.st_mode : st.st_mode))
        return mmgr__fail(MMGR_ERR_UNSAFE_PATH, "%s is no regular file", path);
    return mmgr_parts_add(parts, path, relative, size, NULL, NULL);
}

static enum mmgr_result walk(const char *folder, const char *below, int depth, mmgr_parts *parts)
{
    if (depth > DEEPEST_FOLDER)
        return mmgr__fail(MMGR_ERR_UNSAFE_PATH, "%s: the folders are nested too deeply", folder);
    int fd = mmgr__io_open_dir(AT_FDCWD, folder);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        enum mmgr_result rc = mmgr__fail_errno(fd < 0 ? -fd : errno, "read", folder);
        mmgr__io_close(fd);
        return rc;
    }
    enum mmgr_result rc = MMGR_OK;
    const struct dirent *entry = NULL;
    while (rc == MMGR_OK && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        char *path = mmgr__path_join(folder, entry->d_name);
        char *relative =
            below[0] == '\0' ? mmgr__strdup(entry->d_name) : mmgr__path_join(below, entry->d_name);
        rc = path != NULL && relative != NULL ? walk_entry(path, relative, depth, parts)
                                              : mmgr__oom();
        mmgr__free(path);
        mmgr__free(relative);
    }
    closedir(dir);
    return rc;
}

enum mmgr_result mmgr__parts_of_folder(const char *folder, mmgr_parts *parts)
{
    return walk(folder, "", 0, parts);
}
