/* SPDX-License-Identifier: MIT */
/* Loading by key: the one place where loading looks into the record store. */
#include "base/error.h"
#include "base/options.h"
#include "load/service.h"

enum mmgr_result mmgr_load_service_load_by_key(mmgr_load_service *service, const char *key,
                                               const struct mmgr_load_options *options,
                                               mmgr_loaded **loaded)
{
    struct mmgr_load_options given;
    mmgr_record *record;
    if (service == NULL)
        return mmgr__bad_argument("service");
    if (key == NULL)
        return mmgr__bad_argument("key");
    if (loaded == NULL)
        return mmgr__bad_argument("loaded");
    enum mmgr_result result = MMGR__IMPORT(given, options, context);
    if (result != MMGR_OK)
        return result;
    if (given.flags != 0)
        return mmgr__bad_argument("options.flags");
    result = mmgr_store_get(service->store, key, &record);
    if (result != MMGR_OK)
        return result;
    result = mmgr_load_service_load(service, record, options, loaded);
    mmgr_record_unref(record);
    return result;
}
