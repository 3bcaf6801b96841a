/* SPDX-License-Identifier: MIT */
/** @file
 * Version of the library, at compile time and at run time.
 */
#ifndef MODELMGR_VERSION_H
#define MODELMGR_VERSION_H

#include "error_codes.h"
#include "types.h"

MMGR_BEGIN_DECLS

#define MMGR_VERSION_MAJOR 0
#define MMGR_VERSION_MINOR 1
#define MMGR_VERSION_PATCH 0
/** major * 1,000,000 + minor * 1,000 + patch. */
#define MMGR_VERSION_NUMBER (MMGR_VERSION_MAJOR * 1000000 + MMGR_VERSION_MINOR * 1000 + MMGR_VERSION_PATCH)

/**
 * Version number of the library in use.
 *
 * @return major * 1,000,000 + minor * 1,000 + patch.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API uint32_t mmgr_version(void);

/**
 * Version text of the library in use, such as "0.1.0".
 *
 * @return Static text.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const char *mmgr_version_string(void);

/**
 * Version and source of everything the library is made of, as JSON:
 * `{"version", "schema", "features": […], "libraries": {name: version}}`.
 *
 * @param[out] json  Given text.
 * @return MMGR_OK, MMGR_ERR_ARGUMENT (json is NULL) or MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_version_info(char **json);

MMGR_END_DECLS
#endif
