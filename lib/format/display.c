/* SPDX-License-Identifier: MIT */
/* Texts from files made safe to show: nothing in a message may steer a terminal or hide itself. */
#include <stdio.h>
#include <string.h>

#include "format/format.h"

/* Code point of the UTF-8 sequence at text, and its length; the text is valid UTF-8 or cut
 * bytes. */
static uint32_t decode(const unsigned char *text, size_t left, size_t *length)
{
    size_t want = text[0] < 0x80 ? 1 : text[0] >= 0xF0 ? 4 : text[0] >= 0xE0 ? 3 : 2;

    if (want > left || !mmgr__utf8_valid((const char *)text, want)) {
        *length = 1;
        return 0xFFFFFFFF;
    }
    uint32_t point = want == 1 ? text[0] : text[0] & (0xFFu >> (want + 1));
    for (size_t i = 1; i < want; i++)
        point = point << 6 | (text[i] & 0x3F);
    *length = want;
    return point;
}

static int hidden(uint32_t point)
{
    return point < 0x20 || (point >= 0x7F && point <= 0xA0) || point == 0xAD || point == 0x061C ||
           point == 0x180E || (point >= 0x200B && point <= 0x200F) ||
           (point >= 0x2028 && point <= 0x202E) || (point >= 0x2060 && point <= 0x206F) ||
           point == 0xFEFF || (point >= 0xFFF0 && point <= 0xFFFB) || point >= 0xE0000;
}

char *mmgr__display(const char *text, char *out, size_t room)
{
    size_t left = strlen(text), done = 0;
    const unsigned char *at = (const unsigned char *)text;

    while (left > 0) {
        char piece[16];
        size_t length, size;
        uint32_t point = decode(at, left, &length);

        if (point == 0xFFFFFFFF) {
            snprintf(piece, sizeof(piece), "\\x%02x", at[0]);
        } else if (hidden(point)) {
            snprintf(piece, sizeof(piece), "\\u{%x}", (unsigned)point);
        } else {
            memcpy(piece, at, length);
            piece[length] = '\0';
        }
        size = strlen(piece);
        if (done + size + sizeof("...") > room) {
            memcpy(out + done, "...", 3);
            done += 3;
            break;
        }
        memcpy(out + done, piece, size);
        done += size;
        at += length;
        left -= length;
    }
    out[done] = '\0';
    return out;
}
