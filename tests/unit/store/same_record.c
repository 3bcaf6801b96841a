/* SPDX-License-Identifier: MIT */
/* Implementation of same_record.h. */
#include "same_record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

static int differ(const char *one, const char *two)
{
    return (one == NULL) != (two == NULL) || (one != NULL && strcmp(one, two) != 0);
}

static enum mmgr_result take_member(const struct mmgr__extra *extra, void *user)
{
    char *member = mmgr__strndup(extra->member, extra->member_length);

    if (member == NULL || !mmgr__strings_add(user, member))
        abort();
    mmgr__free(member);
    return MMGR_OK;
}

static const char *extra_difference(const mmgr_record *one, const mmgr_record *two)
{
    static char name[4096];
    struct mmgr__strings a = {0}, b = {0};
    const char *found = NULL;

    if (mmgr__record_each_extra(one, take_member, &a) != MMGR_OK ||
        mmgr__record_each_extra(two, take_member, &b) != MMGR_OK)
        abort();
    mmgr__strings_sort(&a);
    mmgr__strings_sort(&b);
    for (size_t i = 0; i < a.count || i < b.count; i++) {
        const char *left = i < a.count ? a.items[i] : NULL,
                   *right = i < b.count ? b.items[i] : NULL;

        if (found == NULL && differ(left, right)) {
            snprintf(name, sizeof name, "%s, %s", left != NULL ? left : "nothing",
                     right != NULL ? right : "nothing");
            found = name;
        }
    }
    mmgr__strings_free(&a);
    mmgr__strings_free(&b);
    return found;
}

const char *record_difference(const mmgr_record *one, const mmgr_record *two)
{
    const struct mmgr__field *field;

    for (uint32_t i = 0; (field = mmgr__field_at(i)) != NULL; i++) {
        if (differ(one->text[field->id], two->text[field->id]) ||
            one->term[field->id] != two->term[field->id] ||
            one->list[field->id].count != two->list[field->id].count)
            return field->name;
        for (size_t k = 0; k < one->list[field->id].count; k++) {
            if (differ(one->list[field->id].items[k], two->list[field->id].items[k]))
                return field->name;
        }
    }
    if (differ(one->location, two->location))
        return "location";
    if (!mmgr__record_same_files(one, two))
        return "_files";
    return extra_difference(one, two);
}
