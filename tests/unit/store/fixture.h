/* SPDX-License-Identifier: MIT */
/* A temporary folder and short forms of store calls, on the public interface alone. */
#ifndef TESTS_STORE_FIXTURE_H
#define TESTS_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <modelmgr/modelmgr.h>

extern char folder[4096]; /* of the running test; made and removed by these */
int folder_make(void **state);
int folder_remove(void **state);
/* "<folder>/<name>" in one of a few static buffers. */
const char *in_folder(const char *name);

#define assert_ok(call) assert_ok_(call, #call, __FILE__, __LINE__)
void assert_ok_(enum mmgr_result result, const char *call, const char *file, int line);
/* The call fails with this code; message, field and subject (each may be NULL) are checked. */
void assert_error(enum mmgr_result result, enum mmgr_result wanted, const char *message,
                  const char *field, const char *subject);

mmgr_record *record_of(const char *json);
/* A record of type main, format diffusers with this key, name, base and path, and further
 * members. */
mmgr_record *simple_record(const char *key, const char *name, const char *base, const char *path,
                           const char *more);
void add_record(mmgr_store *store, const char *key, const char *name, const char *base,
                const char *path, const char *more);
mmgr_store *open_store(const char *path); /* lenient */
mmgr_config *config_at(const char *root);
/* Keys that a search finds, joined by blanks, in a static buffer. */
const char *found(mmgr_store *store, const struct mmgr_search_options *options);

#endif
