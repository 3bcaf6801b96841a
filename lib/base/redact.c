/* SPDX-License-Identifier: MIT */
/* Takes secrets out of texts that people will read: messages, log lines, subjects. */
#include <string.h>
#include <strings.h>

#include "base/error.h"

static int is_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
           c == '-';
}

static int is_space(char c)
{
    return c == ' ' || c == '\t';
}

static int starts_nocase(const char *text, const char *prefix)
{
    return strncasecmp(text, prefix, strlen(prefix)) == 0;
}

/* Replace `length` bytes at `at` by up to three stars; returns the place behind them. */
static char *blot(char *at, size_t length)
{
    size_t stars = length < 3 ? length : 3;
    memset(at, '*', stars);
    memmove(at + stars, at + length, strlen(at + length) + 1);
    return at + stars;
}

/* At a query parameter that carries a secret: the length of "name=", else 0. */
static size_t secret_parameter(const char *at)
{
    static const char *const names[] = {
        "token",
        "access_token",
        "api_key",
        "apikey",
        "key",
        "sig",
        "Signature",
        "Policy",
        "Key-Pair-Id",
        "X-Amz-Signature",
        "X-Amz-Credential",
        "X-Amz-Security-Token",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t length = strlen(names[i]);
        if (starts_nocase(at, names[i]) && at[length] == '=')
            return length + 1;
    }
    return 0;
}

/* At a header line that carries a secret: the length up to its value, else 0. */
static size_t secret_header(const char *at)
{
    static const char *const names[] = {"Authorization", "Cookie"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t length = strlen(names[i]);
        if (!starts_nocase(at, names[i]))
            continue;
        while (is_space(at[length]))
            length++;
        if (at[length] != ':' && at[length] != '=')
            continue;
        length++;
        while (is_space(at[length]))
            length++;
        return length;
    }
    return 0;
}

/* Words that look like tokens of the hub but are names of this project's own fields. */
static int known_word(const char *at, size_t length)
{
    static const char *const words[] = {"hf_token", "hf_endpoint", "hf_repo_id", "hf_home"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i]) == length && strncmp(at, words[i], length) == 0)
            return 1;
    return 0;
}

static size_t word_length(const char *at)
{
    size_t length = 0;
    while (is_word(at[length]))
        length++;
    return length;
}

void mmgr__redact(char *text)
{
    char *at = text;
    while (*at != '\0') {
        char before = at > text ? at[-1] : ' ';
        size_t skip, length;
        if ((before == '?' || before == '&' || before == ';') &&
            (skip = secret_parameter(at)) != 0) {
            length = strcspn(at + skip, "&#; \t\r\n\"'<>");
            at = blot(at + skip, length);
        } else if ((skip = secret_header(at)) != 0) {
            length = strcspn(at + skip, "\r\n\"");
            at = blot(at + skip, length);
        } else if (!is_word(before) && starts_nocase(at, "Bearer ")) {
            at += strlen("Bearer ");
            at = blot(at, strcspn(at, " \t\r\n\"',;"));
        } else if (!is_word(before) && strncmp(at, "hf_", 3) == 0 &&
                   !known_word(at, word_length(at))) {
            at = blot(at + 3, word_length(at + 3));
        } else if (strncmp(at, "://", 3) == 0) {
            /* user:password@ in front of a host */
            at += 3;
            length = strcspn(at, "/?# \t\r\n\"'");
            char *sign = memrchr(at, '@', length);
            if (sign != NULL)
                at = blot(at, (size_t)(sign - at));
        } else {
            at++;
        }
    }
}
