/* SPDX-License-Identifier: MIT */
/* What every back end of the store must do, on the public interface alone. */
#ifndef TESTS_STORE_CONFORMANCE_H
#define TESTS_STORE_CONFORMANCE_H

/* Run all of it on stores whose files end in the extension; the number of failed tests. */
int store_conformance(const char *extension);

#endif
