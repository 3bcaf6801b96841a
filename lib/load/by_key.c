/* SPDX-License-Identifier: MIT */
/* Loading by key: the one place where loading looks into the record store. */
#include "base/error.h"
#include "load/service.h"

enum mmgr_result mmgr_load_service_load_by_key(mmgr_load_service *service, const char *key,
                                               const struct mmgr_load_options *options,
                                               mmgr_loaded **loaded)
{
    mmgr_record *record;
    if (service == NULL)
        return mmgr__bad_argument("service");
    if (key == NULL)
        return mmgr__bad_argument("key");
    enum mmgr_result result = mmgr_store_get(service->store, key, &record);
    if (result != MMGR_OK)
        return result;
    result = mmgr_load_service_load(service, record, options, loaded);
    mmgr_record_unref(record);
    return result;
}
