/* SPDX-License-Identifier: MIT */
/* Inside of the loader registry: rows of hosts first, then the built-in loader. */
#ifndef LOAD_REGISTRY_H
#define LOAD_REGISTRY_H

#include <modelmgr/load.h>

#include "base/thread.h"

struct mmgr__loader {
    char *base, *type, *format;
    mmgr_loader_ops ops; /* all NULL for the built-in loader */
    char *name;
    void *self;
    void (*self_free)(void *);
    int builtin;
};

/* The loader for a kind of model: a host's for the base, a host's for "any", the built-in one;
 * NULL when there is none. Lent as long as the registry lives: rows are never taken away. */
const struct mmgr__loader *mmgr__registry_find(mmgr_loader_registry *registry, const char *base,
                                               const char *type, const char *format);

/* --- the built-in loader (builtin.c) ---------------------------------------------------------- */

int mmgr__builtin_handles(const char *type, const char *format);
/* A model whose headers have been read and whose weights have not. */
struct mmgr__prepared {
    mmgr_checkpoint *checkpoint; /* NULL: a part that has no weights */
    uint64_t bytes;
};
enum mmgr_result mmgr__builtin_prepare(const mmgr_load_request *request,
                                       struct mmgr__prepared *prepared);
enum mmgr_result mmgr__builtin_finish(struct mmgr__prepared *prepared, mmgr_tensor_set **set);
void mmgr__prepared_clear(struct mmgr__prepared *prepared);

#endif
