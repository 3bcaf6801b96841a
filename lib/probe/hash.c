/* SPDX-License-Identifier: MIT */
/* Content hashes of model files and folders. */
#include <modelmgr/hash.h>

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/io.h"
#include "base/path.h"
#include "base/source.h"
#include "base/text.h"
#include "format/format.h"

#define SAMPLE 16384

enum algorithm { SAMPLED, XXH3, SHA256 };

static enum mmgr_result sampled(struct mmgr__bytes *bytes, char hex[65])
{
    unsigned char data[SAMPLE], size[8];
    struct mmgr__digest *digest;
    enum mmgr_result result = mmgr__digest_new(MMGR__XXH3, 0, &digest);

    if (result != MMGR_OK)
        return result;
    for (int i = 0; i < 8; i++)
        size[i] = (unsigned char)(bytes->size >> (8 * i));
    result = mmgr__digest_update(digest, size, sizeof(size));
    int whole = bytes->size <= 3 * SAMPLE;
    for (uint64_t part = 0; result == MMGR_OK && part < 3; part++) {
        uint64_t at = part * SAMPLE, count = SAMPLE;
        if (whole) {
            if (at >= bytes->size)
                break;
            count = bytes->size - at < SAMPLE ? bytes->size - at : SAMPLE;
        } else if (part > 0) {
            at = part == 1 ? bytes->size / 2 - SAMPLE / 2 : bytes->size - SAMPLE;
        }
        result = mmgr__bytes_read(bytes, at, data, (size_t)count);
        if (result == MMGR_OK)
            result = mmgr__digest_update(digest, data, (size_t)count);
    }
    if (result == MMGR_OK)
        result = mmgr__digest_hex(digest, hex);
    mmgr__digest_free(digest);
    return result;
}

/* folder: the file's folder, opened, or -1 for a path of its own. */
static enum mmgr_result hash_file(int folder, const char *path, enum algorithm algorithm,
                                  char hex[65], uint64_t *size)
{
    if (algorithm == SAMPLED) {
        struct mmgr__bytes bytes;
        enum mmgr_result result = folder < 0 ? mmgr__bytes_open_file(path, &bytes)
                                             : mmgr__bytes_open_beneath(folder, path, &bytes);
        if (result != MMGR_OK)
            return result;
        *size = bytes.size;
        result = sampled(&bytes, hex);
        mmgr__bytes_close(&bytes);
        return result;
    }
    struct stat st;
    int fd = folder < 0 ? mmgr__io_open_read(AT_FDCWD, path)
                        : mmgr__io_open_beneath(folder, path, O_RDONLY | O_NONBLOCK, 0);
    if (fd < 0)
        return mmgr__fail_errno(-fd, "open", path);
    enum mmgr_result result = fstat(fd, &st) == 0 && S_ISREG(st.st_mode)
                                  ? MMGR_OK
                                  : mmgr__fail(MMGR_ERR_IO, "%s is not a regular file", path);
    if (result == MMGR_OK) {
        *size = (uint64_t)st.st_size;
        result = mmgr__digest_file(fd, path, algorithm == XXH3 ? MMGR__XXH3 : MMGR__SHA256, hex,
                                   NULL, NULL);
    }
    mmgr__io_close(fd);
    return result;
}

/* The weight files in the order of their paths, one line each, hashed. */
static enum mmgr_result hash_lines(struct mmgr__folder *folder, int fd,
                                   const struct mmgr__strings *paths, enum algorithm algorithm,
                                   char hex[65])
{
    struct mmgr__digest *digest;
    uint64_t files = 0;
    enum mmgr_result result =
        mmgr__digest_new(algorithm == SHA256 ? MMGR__SHA256 : MMGR__XXH3, 0, &digest);

    if (result != MMGR_OK)
        return result;
    for (size_t i = 0; result == MMGR_OK && i < paths->count; i++) {
        char one[65], number[24];
        uint64_t size = 0;
        if (!mmgr__is_weight_name(paths->items[i]))
            continue;
        files++;
        result = hash_file(fd, paths->items[i], algorithm, one, &size);
        snprintf(number, sizeof(number), "%" PRIu64, size);
        if (result == MMGR_OK)
            result = mmgr__digest_update(digest, paths->items[i], strlen(paths->items[i]) + 1);
        if (result == MMGR_OK)
            result = mmgr__digest_update(digest, number, strlen(number) + 1);
        if (result == MMGR_OK)
            result = mmgr__digest_update(digest, one, strlen(one));
        if (result == MMGR_OK)
            result = mmgr__digest_update(digest, "\n", 1);
    }
    if (result == MMGR_OK && files == 0) {
        mmgr__fail(MMGR_ERR_INVALID_FILE, "%s: no weight file in it", mmgr__folder_path(folder));
        mmgr__error_set_subject(mmgr__folder_path(folder));
        result = MMGR_ERR_INVALID_FILE;
    }
    if (result == MMGR_OK)
        result = mmgr__digest_hex(digest, hex);
    mmgr__digest_free(digest);
    return result;
}

static enum mmgr_result hash_folder(const char *path, enum algorithm algorithm, char hex[65])
{
    struct mmgr__folder *folder;
    struct mmgr__strings paths = {0};
    enum mmgr_result result = mmgr__folder_open(path, &folder);

    if (result != MMGR_OK)
        return result;
    int fd = mmgr__io_open_dir(AT_FDCWD, path);
    result =
        fd < 0 ? mmgr__fail_errno(-fd, "open folder", path) : mmgr__folder_walk(folder, &paths);
    if (result == MMGR_OK)
        result = hash_lines(folder, fd, &paths, algorithm, hex);
    mmgr__io_close(fd);
    mmgr__strings_free(&paths);
    mmgr__folder_close(folder);
    return result;
}

enum mmgr_result mmgr_hash_path(const char *path, const char *algorithm, char **hash)
{
    static const char *const names[] = {"sampled", "xxh3", "sha256"};
    int chosen = algorithm == NULL ? SAMPLED : -1;
    struct stat st;
    char hex[65];
    uint64_t size;

    if (path == NULL || path[0] == '\0')
        return mmgr__bad_argument("path");
    if (hash == NULL)
        return mmgr__bad_argument("hash");
    for (int i = 0; algorithm != NULL && i < 3; i++)
        if (strcmp(names[i], algorithm) == 0)
            chosen = i;
    if (chosen < 0) {
        mmgr__fail(MMGR_ERR_ARGUMENT,
                   "there is no hash algorithm \"%s\"; there are sampled, xxh3 and sha256",
                   algorithm);
        mmgr__error_set_field("algorithm");
        return MMGR_ERR_ARGUMENT;
    }
    int error = mmgr__io_stat(AT_FDCWD, path, &st, 1);
    if (error != 0)
        return mmgr__fail_errno(-error, "open", path);
    enum mmgr_result result = S_ISDIR(st.st_mode)
                                  ? hash_folder(path, (enum algorithm)chosen, hex)
                                  : hash_file(-1, path, (enum algorithm)chosen, hex, &size);
    if (result != MMGR_OK)
        return result;
    char *text = mmgr__printf("%s:%s", names[chosen], hex);
    if (text == NULL)
        return mmgr__oom();
    *hash = text;
    return MMGR_OK;
}
