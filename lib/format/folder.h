/* SPDX-License-Identifier: MIT */
/* Listing one folder beneath a model's folder. */
#ifndef FORMAT_FOLDER_H
#define FORMAT_FOLDER_H

#include "format/format.h"

/* Names of the regular files and of the folders in `path` ("" = the folder itself), sorted; links,
 * hidden and special entries are left out. PATH_NOT_FOUND, UNSAFE_PATH (a link), INVALID_FILE (too
 * many), IO. */
enum mmgr_result mmgr__folder_list(struct mmgr__folder *folder, const char *path,
                                   struct mmgr__strings *files, struct mmgr__strings *folders);

#endif
