/* SPDX-License-Identifier: MIT */
/* Side-cars: a placed model's folder holds a copy of its record and manifest, from which the record
 * can be made again when the database is lost. The database is the truth; a side-car follows it. */
#ifndef STORE_SIDECAR_H
#define STORE_SIDECAR_H

#include "base/record.h"

/* Hidden, so that no walk over a model's files takes it for one of them. */
#define MMGR__SIDECAR_NAME ".modelmgr.json"

/* Write the side-car of a record and its manifest into a folder, durably, in the place of one that
 * is there. */
enum mmgr_result mmgr__sidecar_write(const char *folder, const mmgr_record *record);
/* Read the side-car in `folder`, a path below root ("" is root itself), without following a link.
 * Nothing in it is believed without a check: the record's path is worked out from where the
 * side-car lies, the rows of the manifest stay inside the folder and are without device and inode.
 * PATH_NOT_FOUND (there is none), INVALID_FILE, INVALID_CONFIG (the record in it), UNSAFE_PATH,
 * UNSUPPORTED (of a newer release). */
enum mmgr_result mmgr__sidecar_read(const char *root, const char *folder, mmgr_record **record);
/* The path below root of the side-car of this very record, whose model is at `below` root; owned,
 * or NULL: there is none. One that cannot be read is none, and is logged. */
char *mmgr__sidecar_find(const char *root, const char *below, const mmgr_record *record);
/* Bring the side-car of a record that was changed up to date, if there is one in models_dir (NULL:
 * no). What goes wrong is logged: the record is committed. The thread's last error stays. */
void mmgr__sidecar_refresh(const char *models_dir, const mmgr_record *record);

#endif
