/* SPDX-License-Identifier: MIT */
/* Full text: from what a person types to a query in the syntax of FTS5. Each word becomes a quoted string,
 * so that nothing that is typed has a meaning in that syntax. */
#include "store/words.h"

#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"

#define TEXT_MAX  4096
#define WORDS_MAX 64

/* One word or quoted group, without its marks. */
struct word {
    const char *text;
    size_t length;
    int exact, excluded;
};

static int is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Would the tokenizer find a word in it? */
static int has_letters(const struct word *word)
{
    for (size_t i = 0; i < word->length; i++) {
        unsigned char c = (unsigned char)word->text[i];

        if (c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
            return 1;
    }
    return 0;
}

/* Read the next word; 0 at the end of the text. */
static int next_word(const char **text, struct word *word)
{
    const char *at = *text;

    while (is_blank(*at))
        at++;
    if (*at == '\0')
        return 0;
    *word = (struct word){.excluded = *at == '-' && at[1] != '\0' && !is_blank(at[1])};
    at += word->excluded;
    word->exact = *at == '"';
    at += word->exact;
    word->text = at;
    while (*at != '\0' && (word->exact ? *at != '"' : !is_blank(*at) && *at != '"'))
        at++;
    word->length = (size_t)(at - word->text);
    *text = at + (word->exact && *at == '"');
    return 1;
}

static void put_word(struct mmgr__buf *query, const struct word *word, const char *joint)
{
    mmgr__buf_puts(query, query->length > 0 ? joint : "");
    mmgr__buf_puts(query, "\"");
    mmgr__buf_append(query, word->text, word->length); /* it holds no quote */
    mmgr__buf_puts(query, word->exact ? "\"" : "\" *");
}

static enum mmgr_result refuse(const char *why)
{
    mmgr__fail(MMGR_ERR_ARGUMENT, "full-text search: %s", why);
    mmgr__error_set_field("text");
    return MMGR_ERR_ARGUMENT;
}

enum mmgr_result mmgr__words_query(const char *text, char **query)
{
    struct mmgr__buf wanted = {0}, unwanted = {0};
    struct word word;
    int count = 0;
    char *made;

    if (strlen(text) > TEXT_MAX)
        return refuse("the text is longer than 4096 bytes");
    if (!mmgr__utf8_valid(text, strlen(text)))
        return refuse("the text is not valid UTF-8");
    while (next_word(&text, &word) && count <= WORDS_MAX) {
        if (!has_letters(&word))
            continue;
        count++;
        /* Side by side means "and", but passes over what the tokenizer finds no word in, such as a dash. */
        put_word(word.excluded ? &unwanted : &wanted, &word, word.excluded ? " OR " : " ");
    }
    if (count > WORDS_MAX || wanted.length == 0) {
        mmgr__buf_free(&wanted);
        mmgr__buf_free(&unwanted);
        return refuse(count > WORDS_MAX ? "more than 64 words" : "there is no word to look for");
    }
    if (unwanted.length > 0) {
        made = mmgr__printf("(%s) NOT (%s)", wanted.data, unwanted.data);
        if (wanted.failed || unwanted.failed) {
            mmgr__free(made);
            made = NULL;
        }
        mmgr__buf_free(&wanted);
    } else {
        made = mmgr__buf_take(&wanted);
    }
    mmgr__buf_free(&unwanted);
    if (made == NULL)
        return mmgr__oom();
    *query = made;
    return MMGR_OK;
}
