/* SPDX-License-Identifier: MIT */
/* The back end under test of the conformance suite, and stores of it. */
#ifndef TESTS_STORE_BACKEND_H
#define TESTS_STORE_BACKEND_H

#include "conformance.h"
#include "fixture.h"

extern const struct store_backend *backend;

const char *store_path(void); /* of the running test */
/* Open by the options' path, or on a handle of a host that has the file of that path open. */
enum mmgr_result open_by(struct mmgr_store_options *options, mmgr_store **store);
mmgr_store *open_at(const char *path); /* lenient */
mmgr_store *open_here(void);           /* open_at(store_path()) */
void close_store(mmgr_store *store);   /* and the host's handle under it */
/* A new store with four records, "a" to "d", to search in. */
mmgr_store *collection(void);

int conformance_input(void);
int conformance_search(void);
int conformance_pages(void);
int conformance_sharing(void);

#endif
