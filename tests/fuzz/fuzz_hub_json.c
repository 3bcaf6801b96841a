/* SPDX-License-Identifier: MIT */
/* Fuzz target: a hub's answer, into metadata, through selection and out again. The first byte chooses. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "hub/hub.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const variants[] = {NULL,   "default",  "fp16", "fp32",
                                       "onnx", "openvino", "flax", "Q4_K_M"};

static void use(const mmgr_metadata *metadata, const char *variant)
{
    mmgr_metadata *part = NULL, *again = NULL;
    char *json = NULL;

    if (mmgr_metadata_select(metadata, variant, NULL, &part) == MMGR_OK &&
        (mmgr_metadata_file_count(part) == 0 ||
         mmgr_metadata_file_count(part) > mmgr_metadata_file_count(metadata)))
        abort();
    if (mmgr_metadata_to_json(metadata, &json) == MMGR_OK &&
        mmgr_metadata_from_json(json, &again) != MMGR_OK)
        abort();
    mmgr_string_free(json);
    mmgr_metadata_unref(again);
    mmgr_metadata_unref(part);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mmgr_metadata *metadata = NULL;
    const char *text = (const char *)data + 1;

    if (size == 0)
        return 0;
    if (data[0] & 8) {
        metadata = mmgr__metadata_new();
        mmgr__hf_parse_tree(text, size - 1, metadata);
        mmgr__metadata_check_files(metadata);
    } else if (mmgr__hf_parse_info(text, size - 1, HUB_DEFAULT_ENDPOINT, &metadata) == MMGR_OK) {
        use(metadata, variants[data[0] & 7]);
    }
    mmgr_metadata_unref(metadata);
    if (mmgr__alloc_live() != 0)
        abort();
    return 0;
}
