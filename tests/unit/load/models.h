/* SPDX-License-Identifier: MIT */
/* What the tests of loading share: a temporary folder, small models in it, records, a service. */
#ifndef LOAD_MODELS_H
#define LOAD_MODELS_H

#include <modelmgr/load.h>
#include <modelmgr/modelmgr.h>

int models_setup(void **state); /* makes the folder */
int models_teardown(
    void **state); /* removes it, and fails when memory of the library is still in use */
const char *models_path(const char *name); /* "FOLDER/name", in one of eight rotating buffers */
void models_text(const char *name, const char *text); /* a file, with its folders */

/* One tensor of a file: `bytes` of dtype U8, filled with a pattern that depends on name and
 * place; or with a dtype and shape of its own. */
struct model_tensor {
    const char *name, *dtype, *shape; /* dtype NULL: "U8", shape [bytes] */
    unsigned bytes;
};
/* Write a safetensors file; the pattern of byte i of a tensor is model_byte(seed, name, i). */
void models_safetensors(const char *path, unsigned seed, const struct model_tensor *tensors,
                        unsigned count);
unsigned char model_byte(unsigned seed, const char *name, unsigned i);
/* A file with one U8 tensor "w". */
void models_file(const char *path, unsigned seed, unsigned bytes);

mmgr_record *models_record(
    const char *key, const char *type, const char *format, const char *path,
    const char *more); /* more: further members, such as ",\"hash\":\"x:1\"" */

/* Run something again and again, with its first, second, … allocation failing (and every other
 * time all after it), until it makes fewer. It must return OK or NO_MEMORY and leave no memory in
 * use; returns how often it did not. */
int sweep_allocations(enum mmgr_result (*run)(void *user), void *user, int *rounds);

struct service_setup {
    const char *device;        /* NULL: "cpu" */
    int64_t max_ram, max_vram; /* 0 = no bound, here */
    mmgr_loader_registry *registry;
    mmgr_bus *bus;
};
struct fixture {
    mmgr_config *config;
    mmgr_store *store;
    mmgr_device *device;
    mmgr_load_service *service;
};
void fixture_open(struct fixture *fixture, const struct service_setup *setup);
void fixture_close(struct fixture *fixture);
uint64_t fixture_number(const struct fixture *fixture, enum mmgr_cache_number which);
/* Load or end the test. submodel may be NULL. */
mmgr_loaded *fixture_load(struct fixture *fixture, const mmgr_record *record, const char *submodel);
enum mmgr_result fixture_try(struct fixture *fixture, const mmgr_record *record,
                             const char *submodel);

#endif
