/* SPDX-License-Identifier: MIT */
/* The back end of a store that is opened to be read and whose file is not there: it holds
 * nothing. */
#include "base/error.h"
#include "store/store.h"

static enum mmgr_result empty_open(const char *path, const struct mmgr__store_place *place,
                                   int read_only, void **self)
{
    return MMGR_OK;
}

static void empty_close(void *self)
{
}

static const char *empty_path(const void *self)
{
    return NULL;
}

static enum mmgr_result empty_get(void *self, const char *key, mmgr_record **record)
{
    return mmgr__store_unknown(key);
}

static enum mmgr_result empty_exists(void *self, const char *key, int *exists)
{
    *exists = 0;
    return MMGR_OK;
}

static enum mmgr_result empty_search(void *self, const struct mmgr__query *query,
                                     mmgr_record_list *list)
{
    return MMGR_OK;
}

static enum mmgr_result empty_changed(void *self, int *changed)
{
    *changed = 0;
    return MMGR_OK;
}

/* A read-only store refuses changes before they come here, so there are no functions for them. */
const struct mmgr__store_ops mmgr__store_empty = {
    .open = empty_open,
    .close = empty_close,
    .path = empty_path,
    .get = empty_get,
    .exists = empty_exists,
    .search = empty_search,
    .changed = empty_changed,
};
