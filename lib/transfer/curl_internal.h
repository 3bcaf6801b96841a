/* SPDX-License-Identifier: MIT */
/* What the two halves of the libcurl transport share: the loop and the callbacks of one transfer.
 * */
#ifndef TRANSFER_CURL_INTERNAL_H
#define TRANSFER_CURL_INTERNAL_H

#include <curl/curl.h>
#include <modelmgr/transport.h>

#include "base/thread.h"

/* Bounds on an answer's head, far above what honest servers send. */
#define HEAD_LINES      200u
#define HEAD_BYTES      (64u * 1024u)
#define INTERIM_ANSWERS 16u

struct curl_transfer {
    struct curl_transfer *next; /* list of the loop; its lock */
    mmgr__refs refs;            /* the loop and the user */
    CURL *easy;
    struct curl_slist *headers;
    mmgr_sink sink;
    struct mmgr__curl *owner;
    /* Wishes of other threads, taken by the loop. */
    atomic_int cancel, pause, resume;
    int added; /* known to the multi handle */
    /* The rest belongs to the loop's thread. */
    int paused; /* libcurl holds this transfer */
    int allow_private;
    uint16_t proxy_port; /* of the proxy that the environment names; 0 = none */
    int is_head;
    uint64_t max_body, taken;
    int status;
    uint32_t interim;
    int head_given;
    char *lines[HEAD_LINES];
    uint32_t line_count;
    size_t head_bytes;
    enum mmgr_result result; /* our own verdict, stronger than libcurl's */
    char message[256];
    char curl_message[CURL_ERROR_SIZE];
};

/* Set up the easy handle of a transfer. */
enum mmgr_result mmgr__curl_prepare(struct curl_transfer *transfer, const mmgr_request *request,
                                    const char *ca_file);
/* Our code and message for what libcurl says. */
enum mmgr_result mmgr__curl_verdict(struct curl_transfer *transfer, CURLcode code,
                                    const char **message);
void mmgr__curl_drop_lines(struct curl_transfer *transfer);

#endif
