/* SPDX-License-Identifier: MIT */
/* Paths as text: joining, splitting, and the rules for names that come from outside. */
#include "base/path.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"

#define LONGEST_COMPONENT 255
#define LONGEST_PATH      4096
#define LONGEST_PORTABLE  200

char *mmgr__path_join(const char *folder, const char *name)
{
    size_t length = strlen(folder);
    while (length > 1 && folder[length - 1] == '/')
        length--;
    while (length > 0 && name[0] == '/')
        name++;
    if (length == 0)
        return mmgr__strdup(name);
    const char *slash = folder[length - 1] == '/' ? "" : "/";
    return mmgr__printf("%.*s%s%s", (int)length, folder, slash, name);
}

/* The user's home folder, owned, or NULL. */
static char *home(void)
{
    const char *variable = getenv("HOME");
    if (variable != NULL && variable[0] == '/')
        return mmgr__strdup(variable);
    struct passwd entry, *found = NULL;
    char buffer[4096];
    if (getpwuid_r(getuid(), &entry, buffer, sizeof buffer, &found) != 0 || found == NULL)
        return mmgr__strdup("/");
    return mmgr__strdup(found->pw_dir);
}

static char *working_folder(void)
{
    char buffer[LONGEST_PATH + 1];
    return mmgr__strdup(getcwd(buffer, sizeof buffer) != NULL ? buffer : "/");
}

/* Fold "//", "." and ".." of an absolute path, in place. */
static void fold(char *path)
{
    char *to = path;
    const char *at = path;
    while (*at != '\0') {
        at += strspn(at, "/");
        size_t length = strcspn(at, "/");
        if (length == 2 && at[0] == '.' && at[1] == '.') {
            while (to > path && *--to != '/') {
            }
        } else if (length > 0 && !(length == 1 && at[0] == '.')) {
            *to++ = '/';
            memmove(to, at, length);
            to += length;
        }
        at += length;
    }
    if (to == path)
        *to++ = '/';
    *to = '\0';
}

char *mmgr__path_absolute(const char *path)
{
    char *start = NULL, *joined;
    if (path[0] == '~' && (path[1] == '/' || path[1] == '\0')) {
        start = home();
        path++;
    } else if (path[0] != '/') {
        start = working_folder();
    } else {
        start = mmgr__strdup("");
    }
    if (start == NULL)
        return NULL;
    joined = mmgr__printf("%s/%s", start, path);
    mmgr__free(start);
    if (joined != NULL)
        fold(joined);
    return joined;
}

char *mmgr__path_dirname(const char *path)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    while (length > 0 && path[length - 1] != '/')
        length--;
    if (length == 0)
        return mmgr__strdup(".");
    while (length > 1 && path[length - 1] == '/')
        length--;
    return mmgr__strndup(path, length);
}

const char *mmgr__path_basename(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

const char *mmgr__path_inside(const char *path, const char *folder)
{
    size_t length = strlen(folder);
    while (length > 0 && folder[length - 1] == '/')
        length--;
    if (strncmp(path, folder, length) != 0 || path[length] != '/' || path[length + 1] == '\0')
        return NULL;
    return path + length + 1;
}

/* Why a component from outside is refused, or NULL. */
static const char *component_fault(const char *name, size_t length)
{
    if (length == 0)
        return "it has an empty component";
    if (name[0] == '.' && (length == 1 || (length == 2 && name[1] == '.')))
        return "it has a \".\" or \"..\" component";
    if (length > LONGEST_COMPONENT)
        return "it has a component of more than 255 bytes";
    if (!mmgr__utf8_valid(name, length))
        return "it is not UTF-8";
    if (length >= 2 && name[1] == ':' &&
        ((name[0] >= 'A' && name[0] <= 'Z') || (name[0] >= 'a' && name[0] <= 'z')))
        return "it names a drive";
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)name[i];
        if (c < 0x20 || c == 0x7f)
            return "it has a control character";
        if (c == '\\')
            return "it has a backslash";
        if (c == '/')
            return "it has a slash";
    }
    return NULL;
}

static enum mmgr_result refuse(const char *path, const char *why)
{
    enum mmgr_result result = mmgr__fail(MMGR_ERR_UNSAFE_PATH, "unsafe path \"%s\": %s", path, why);
    mmgr__error_set_subject(path);
    return result;
}

enum mmgr_result mmgr__path_check_component(const char *name)
{
    const char *why = component_fault(name, strlen(name));
    return why != NULL ? refuse(name, why) : MMGR_OK;
}

enum mmgr_result mmgr__path_check_relative(const char *path)
{
    if (strlen(path) > LONGEST_PATH)
        return refuse(path, "it has more than 4096 bytes");
    if (path[0] == '/')
        return refuse(path, "it is absolute");
    for (const char *at = path;; at++) {
        size_t length = strcspn(at, "/");
        const char *why = component_fault(at, length);
        if (why != NULL)
            return refuse(path, why);
        at += length;
        if (*at == '\0')
            return MMGR_OK;
    }
}

/* Characters that show nothing or turn the text around: zero-width, bidirectional, line
 * separators, C1. */
static size_t invisible(const unsigned char *at)
{
    if (at[0] == 0xc2 && at[1] >= 0x80 && at[1] <= 0x9f)
        return 2;
    if (at[0] == 0xd8 && at[1] == 0x9c) /* U+061C */
        return 2;
    if (at[0] == 0xe2 && at[1] == 0x80 &&
        ((at[2] >= 0x8b && at[2] <= 0x8f) || (at[2] >= 0xa8 && at[2] <= 0xae)))
        return 3; /* U+200B-200F, U+2028-202E */
    if (at[0] == 0xe2 && at[1] == 0x81 && at[2] >= 0xa0 && at[2] <= 0xaf)
        return 3; /* U+2060-206F */
    if (at[0] == 0xef && at[1] == 0xbb && at[2] == 0xbf)
        return 3; /* U+FEFF */
    return 0;
}

/* Replace, in place, what no portable name may hold by "_". */
static void clean(char *text)
{
    unsigned char *at = (unsigned char *)text, *to = at;
    size_t left = strlen(text);
    while (left > 0) {
        size_t step = 1;
        while (step < 4 && step < left && (at[step] & 0xc0) == 0x80)
            step++;
        while (step > 1 && !mmgr__utf8_valid((char *)at, step))
            step--;
        int bad = !mmgr__utf8_valid((char *)at, step) || *at < 0x20 || *at == 0x7f ||
                  strchr("/\\<>:\"|?*", *at) != NULL || (step > 1 && invisible(at) == step);
        if (bad) {
            *to++ = '_';
        } else {
            memmove(to, at, step);
            to += step;
        }
        at += step;
        left -= step;
    }
    *to = '\0';
}

static void trim_end(char *text)
{
    size_t length = strlen(text);
    while (length > 0 && (text[length - 1] == '.' || text[length - 1] == ' '))
        text[--length] = '\0';
}

/* Names that Windows gives to devices, with any extension: "con", "Aux.bin", "COM1 .txt". */
static int is_device(const char *name)
{
    static const char *const devices[] = {"con",    "prn",     "aux",   "nul",
                                          "conin$", "conout$", "clock$"};
    char stem[8];
    size_t length = strcspn(name, ".");
    while (length > 0 && name[length - 1] == ' ')
        length--;
    if (length == 0 || length >= sizeof stem)
        return 0;
    for (size_t i = 0; i < length; i++)
        stem[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] - 'A' + 'a' : name[i]);
    stem[length] = '\0';
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
        if (strcmp(stem, devices[i]) == 0)
            return 1;
    if (strncmp(stem, "com", 3) != 0 && strncmp(stem, "lpt", 3) != 0)
        return 0;
    /* a digit, or a superscript 1, 2, 3 */
    return (length == 4 && stem[3] >= '0' && stem[3] <= '9') || strcmp(stem + 3, "\xc2\xb9") == 0 ||
           strcmp(stem + 3, "\xc2\xb2") == 0 || strcmp(stem + 3, "\xc2\xb3") == 0;
}

/* Cut to the longest length between characters, keeping a short extension. */
static void shorten(char *text)
{
    size_t length = strlen(text);
    if (length <= LONGEST_PORTABLE)
        return;
    const char *dot = strrchr(text, '.');
    size_t tail =
        dot != NULL && length - (size_t)(dot - text) <= 16 ? length - (size_t)(dot - text) : 0;
    size_t keep = LONGEST_PORTABLE - tail;
    while (keep > 0 && ((unsigned char)text[keep] & 0xc0) == 0x80)
        keep--;
    memmove(text + keep, text + length - tail, tail + 1);
}

char *mmgr__path_portable_name(const char *text)
{
    while (*text == ' ')
        text++;
    /* One byte of room for the "_" before a device name. */
    char *buffer = mmgr__printf("_%s", text);
    if (buffer == NULL)
        return NULL;
    char *name = buffer + 1;
    clean(name);
    trim_end(name);
    shorten(name);
    trim_end(name);
    /* Hidden files, options of commands and "~" of shells begin with these. */
    if (name[0] == '.' || name[0] == '-' || name[0] == '~')
        name[0] = '_';
    if (is_device(name)) {
        name = buffer;
        shorten(name);
    }
    char *result = mmgr__strdup(name[0] != '\0' ? name : "unnamed");
    mmgr__free(buffer);
    return result;
}
