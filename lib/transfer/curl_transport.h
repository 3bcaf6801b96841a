/* SPDX-License-Identifier: MIT */
/* The built-in transport: one thread on libcurl's multi interface carries every transfer. */
#ifndef TRANSFER_CURL_TRANSPORT_H
#define TRANSFER_CURL_TRANSPORT_H

#include <modelmgr/transport.h>

struct mmgr__curl;

/* The thread starts with the first transfer. ca_file: authorities to trust, PEM; NULL: the system's. */
enum mmgr_result mmgr__curl_new(const char *ca_file, struct mmgr__curl **transport);
/* Cancels what still runs (their sinks' end is called) and joins the thread. NULL allowed. */
void mmgr__curl_free(struct mmgr__curl *transport);
/* Table whose first argument is the struct mmgr__curl. */
const mmgr_transport_ops *mmgr__curl_ops(void);

#endif
