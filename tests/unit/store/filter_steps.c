/* SPDX-License-Identifier: MIT */
/* Short forms for tests of filters. */
#include "filter_steps.h"

#include <stdio.h>

mmgr_filter *parsed(const char *text)
{
    mmgr_filter *filter = NULL;
    enum mmgr_result result = mmgr_filter_parse(text, &filter);

    if (result != MMGR_OK)
        fail_msg("%s: %s", text, mmgr_error_message(mmgr_last_error()));
    return filter;
}

const char *text_of(const mmgr_filter *filter)
{
    static char buffers[4][32768];
    static int next;
    char *buffer = buffers[next++ % 4], *text;

    assert_ok(mmgr_filter_text(filter, &text));
    snprintf(buffer, sizeof buffers[0], "%s", text);
    mmgr_string_free(text);
    return buffer;
}
