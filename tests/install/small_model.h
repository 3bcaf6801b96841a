/* SPDX-License-Identifier: MIT */
/* A textual inversion of Stable Diffusion 1 and a manager on a temporary root, for the C tests. */
#ifndef SMALL_MODEL_H
#define SMALL_MODEL_H

#include <modelmgr/manager.h>

#include "../unit/base/temp_dir.h"

static inline void small_model(const char *name, unsigned char fill)
{
    static const char header[] =
        "{\"emb_params\":{\"dtype\":\"F32\",\"shape\":[4,768],\"data_offsets\":[0,12288]}}    ";
    static unsigned char file[8 + sizeof header - 1 + 12288];
    memset(file, fill, sizeof file);
    memset(file, 0, 8);
    file[0] = (unsigned char)(sizeof header - 1);
    memcpy(file + 8, header, sizeof header - 1);
    temp_write(name, file, sizeof file);
}

static inline mmgr_manager *small_manager(void)
{
    struct mmgr_manager_options options = {.struct_size = sizeof options,
                                           .root = temp_path("root")};
    mmgr_manager *manager = NULL;
    return mmgr_manager_open(&options, &manager) == MMGR_OK ? manager : NULL;
}

#endif
