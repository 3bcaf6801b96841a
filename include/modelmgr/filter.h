/* SPDX-License-Identifier: MIT */
/** @file
 * Filters: conditions on the fields of records, as text or put together.
 *
 *   type = main and base in (sdxl, flux) and not (tags = broken or file_size > 8GiB)
 *   name ~ turbo or default_settings.width >= 1024 or "x_future" is not null
 *
 * docs/filters.md has the grammar and says what each comparison means. A filter never changes, so that
 * filters can share parts.
 */
#ifndef MODELMGR_FILTER_H
#define MODELMGR_FILTER_H

#include "error.h"

MMGR_BEGIN_DECLS

/** What a test does. Those with "not" hold exactly where the others do not, so also where a field is unset. */
enum mmgr_filter_op {
    MMGR_FILTER_EQ = 1,           /**< "=": equal; of a list: has the item */
    MMGR_FILTER_NE = 2,           /**< "!=": not EQ */
    MMGR_FILTER_LT = 3,           /**< "<" */
    MMGR_FILTER_LE = 4,           /**< "<=" */
    MMGR_FILTER_GT = 5,           /**< ">" */
    MMGR_FILTER_GE = 6,           /**< ">=" */
    MMGR_FILTER_CONTAINS = 7,     /**< "~": holds the text, in ASCII whatever the case; of a list: an item does */
    MMGR_FILTER_NOT_CONTAINS = 8, /**< "!~": not CONTAINS */
    MMGR_FILTER_STARTS_WITH = 9,  /**< "^=": begins with the text; of a list: an item does */
    MMGR_FILTER_IN = 10,          /**< "in": EQ with one of the values */
    MMGR_FILTER_NOT_IN = 11,      /**< "not in": not IN */
    MMGR_FILTER_IS_NULL = 12,     /**< "is null": unset; of a list: empty */
    MMGR_FILTER_IS_NOT_NULL = 13, /**< "is not null" */
    MMGR_FILTER_OP_FORCE_32_ = MMGR_ENUM_32_BITS
};

/**
 * Parse a filter expression.
 * @param text         Expression; at most 64 KiB, 256 tests, 64 levels of parentheses and "not".
 * @param[out] filter  Given; release with mmgr_filter_unref().
 * @return MMGR_OK; MMGR_ERR_ARGUMENT (field is "filter", the offset that of the byte at fault, and the
 *   message says what is wrong there; no offset where only the canonical form is too long);
 *   MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_filter_parse(const char *text, mmgr_filter **filter);

/**
 * Make a filter of one test.
 * @param field        Field as in an expression: "name", "default_settings.width", "\"x_future\".a".
 * @param op           MMGR_FILTER_*.
 * @param values       Values as text, without quotes; the field's kind says how they are read. Of a member
 *   that no table knows, what looks like a JSON number or is true or false counts as such.
 * @param count        Number of values: 1 or more for IN and NOT_IN, none for IS_NULL and IS_NOT_NULL, else 1.
 * @param[out] filter  Given; release with mmgr_filter_unref().
 * @return MMGR_OK; MMGR_ERR_ARGUMENT (no such field, or op, count or a value does not fit it; the field is
 *   "filter", and the offset is one in the text of the field, if that is at fault); MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_filter_test(const char *field, enum mmgr_filter_op op,
                                           const char *const *values, uint32_t count,
                                           mmgr_filter **filter);

/**
 * Make a filter that holds where all of these do ("and").
 * @param filters      Filters; they stay the caller's.
 * @param count        Number of filters, at least 1.
 * @param[out] filter  Given; release with mmgr_filter_unref().
 * @return MMGR_OK; MMGR_ERR_ARGUMENT (none, one is NULL, or the limits of mmgr_filter_parse() are passed);
 *   MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_filter_all(const mmgr_filter *const *filters, uint32_t count,
                                          mmgr_filter **filter);

/**
 * Make a filter that holds where at least one of these does ("or").
 * @param filters      Filters; they stay the caller's.
 * @param count        Number of filters, at least 1.
 * @param[out] filter  Given; release with mmgr_filter_unref().
 * @return MMGR_OK; MMGR_ERR_ARGUMENT (none, one is NULL, or the limits of mmgr_filter_parse() are passed);
 *   MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_filter_any(const mmgr_filter *const *filters, uint32_t count,
                                          mmgr_filter **filter);

/**
 * Make a filter that holds exactly where another does not.
 * @param filter    Filter; it stays the caller's.
 * @param[out] out  Given; release with mmgr_filter_unref().
 * @return MMGR_OK; MMGR_ERR_ARGUMENT (no filter, or the limits of mmgr_filter_parse() are passed);
 *   MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_filter_not(const mmgr_filter *filter, mmgr_filter **out);

/**
 * The expression of a filter, in its canonical form: parsed, it gives the same filter.
 * @param filter     Filter.
 * @param[out] text  Given; free with mmgr_string_free().
 * @return MMGR_OK; MMGR_ERR_ARGUMENT; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_filter_text(const mmgr_filter *filter, char **text);

/**
 * Keep a filter.
 * @param filter  Filter.
 * @return The filter, with one more reference.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API mmgr_filter *mmgr_filter_ref(const mmgr_filter *filter);

/**
 * Release a filter.
 * @param filter  Filter, or NULL for no effect.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API void mmgr_filter_unref(mmgr_filter *filter);

MMGR_END_DECLS
#endif
