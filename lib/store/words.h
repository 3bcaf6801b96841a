/* SPDX-License-Identifier: MIT */
/* What a person types to find models, as a query of SQLite's full-text index. */
#ifndef STORE_WORDS_H
#define STORE_WORDS_H

#include <modelmgr/error.h>

/* Every word must be there as the beginning of a word, "words in quotes" exactly and in this order, and none
 * of those after a minus sign. Owned text. ARGUMENT (field "text") when there is nothing to look for. */
enum mmgr_result mmgr__words_query(const char *text, char **query);

#endif
