/* SPDX-License-Identifier: MIT */
/* What every back end of the store must do, on the public interface alone. */
#ifndef TESTS_STORE_CONFORMANCE_H
#define TESTS_STORE_CONFORMANCE_H

struct store_backend {
    const char *name;
    const char *extension; /* of the files */
    const char *version;   /* that its stores have */
    int adopted;           /* the file is opened by the host, which hands its handle over */
};

/* Run all of it; the number of failed tests. */
int store_conformance(const struct store_backend *backend);

#endif
