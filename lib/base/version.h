/* SPDX-License-Identifier: MIT */
/* Version of the record store's schema: here, so that mmgr_version_info() can tell it without the store. */
#ifndef BASE_VERSION_H
#define BASE_VERSION_H

#define MMGR__SCHEMA_VERSION 2 /* that of SQLite stores */

#endif
