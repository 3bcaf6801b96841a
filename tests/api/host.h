/* SPDX-License-Identifier: MIT */
/* What the example host brings itself: networking from memory, a device with a capacity, a loader.
 * */
#ifndef TESTS_API_HOST_H
#define TESTS_API_HOST_H

#include <pthread.h>
#include <stdint.h>

#include <modelmgr/modelmgr.h>

#define WEB_URL        "https://files.example/"
#define WEB_FILE_BYTES 65536u

/* A web server in memory: `small.bin` and `large.bin`; the latter stops half-way at the gate. */
struct web {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int gate_open;
    int live;     /* exchanges that are not released yet, and their threads */
    int requests; /* exchanges ever started */
    int resumed;  /* requests that asked for a range */
    int refuse;   /* start fails */
    unsigned char small[100];
    unsigned char large[WEB_FILE_BYTES];
};

extern const mmgr_transport_ops web_transport;

void web_init(struct web *web);
void web_open_gate(struct web *web, int open);
/* Waits until the library has released every exchange. */
void web_destroy(struct web *web);

/* A device with its own memory, which the CPU is not to touch directly. */
struct gpu {
    pthread_mutex_t lock;
    uint64_t capacity;
    uint64_t used;
    int freed; /* self_free was called */
};

extern const mmgr_device_ops gpu_device;

void gpu_init(struct gpu *gpu, uint64_t capacity);
void gpu_free(void *self);

enum loader_mode { LOAD_TENSORS, LOAD_OBJECT, LOAD_NOTHING, LOAD_FAILURE };

/* A loader that gives what its mode says. */
struct loader {
    enum loader_mode mode;
    int loads;
    int objects; /* objects alive */
    int freed;
};

extern const mmgr_loader_ops host_loader;

void loader_free(void *self);

#define KEY_BYTES 64
#define SECOND    INT64_C(1000000000)

/* The host itself. */
struct host {
    char root[256];
    mmgr_config *config;
    mmgr_bus *bus;
    mmgr_listener *listener;
    mmgr_store *store;
    mmgr_queue *queue;
    mmgr_hub *hub;
    mmgr_prober *prober;
    mmgr_installer *installer;
    mmgr_loader_registry *registry;
    mmgr_device *device;
    mmgr_load_service *loads;
    struct web web;
    struct gpu gpu;
    struct loader loader;
    uint64_t subscription;
    int events;      /* seen by the callback */
    int users_freed; /* of handlers */
    enum mmgr_result close_from_handler[4];
    char key[KEY_BYTES + 1];
};

/* Print a check. */
int check(int good, const char *what);
int expect(enum mmgr_result got, enum mmgr_result wanted, const char *what);
/* Path below the host's root, lent until the next call. */
const char *below(const struct host *host, const char *name);
/* Pulls events until this one of this job comes. */
int pull(struct host *host, enum mmgr_event_type type, uint64_t job);

void download_one(struct host *host);
void download_parts(struct host *host);

#endif
