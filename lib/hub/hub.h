/* SPDX-License-Identifier: MIT */
/* What the hub layer's files share, and what install needs beyond the public calls. */
#ifndef HUB_HUB_H
#define HUB_HUB_H

#include <modelmgr/metadata.h>

#include "base/config.h"
#include "base/error.h"
#include "base/text.h"
#include "base/thread.h"

#define HUB_DEFAULT_ENDPOINT "https://huggingface.co"
#define HUB_FILES_MAX        50000

/* ---- sources */
struct mmgr_source {
    mmgr__refs refs;
    enum mmgr_source_kind kind;
    char *parts[9]; /* by enum mmgr_source_part */
};

/* Canonical name of a repo variant ("fp16") or GGUF quantisation ("Q4_K_M") into out, or 0. */
int mmgr__hub_variant(const char *text, char out[32]);
int mmgr__hub_is_quantisation(const char *variant);
/* "org/name" as the hub allows it. */
int mmgr__hub_repo_valid(const char *repo, size_t length);
int mmgr__hub_id_valid(const char *id); /* the same, or one of the oldest ids, without an "org/" */
enum mmgr_result mmgr__source_fail(const char *text, const char *why);

/* The forms of a repository, filled into a source whose kind is set: "org/name[@rev][:variant][:sub]",
 * "[models/]org/name[@rev][/path]" of an hf:// URI, and the path of a web page. `whole` is for messages. */
enum mmgr_result mmgr__hub_parse_grammar(const char *text, const char *whole,
                                         struct mmgr_source *source);
enum mmgr_result mmgr__hub_parse_uri(const char *text, const char *whole,
                                     struct mmgr_source *source);
enum mmgr_result mmgr__hub_parse_page(const char *path, const char *whole,
                                      struct mmgr_source *source);
/* Work out the canonical text. */
enum mmgr_result mmgr__source_settle(struct mmgr_source *source);
/* A URL source that is a page of the hub at this endpoint, as a repository; else UNSUPPORTED_SOURCE. */
enum mmgr_result mmgr__source_at_endpoint(const mmgr_source *source, const char *endpoint,
                                          mmgr_source **repository);

/* ---- metadata */
struct hub_file {
    char *path, *url, *sha256, *git_sha1;
    uint64_t size;
};
struct mmgr_metadata {
    mmgr__refs refs;
    char *texts[9]; /* by enum mmgr_metadata_text */
    char *tag_dict; /* JSON object, or NULL */
    struct mmgr__strings tags;
    struct hub_file *files;
    size_t file_count, file_capacity;
};
int mmgr__hub_is_hash(const char *text, size_t digits); /* lower-case hex */
mmgr_metadata *mmgr__metadata_new(void);
enum mmgr_result mmgr__metadata_set(mmgr_metadata *metadata, enum mmgr_metadata_text which,
                                    const char *text);
/* Append a file; texts may be NULL. */
enum mmgr_result mmgr__metadata_add(mmgr_metadata *metadata, const struct hub_file *file);
void mmgr__metadata_drop_files(mmgr_metadata *metadata);
/* Every path safe, no path twice (also not up to case), none both file and folder; sorts by path. */
enum mmgr_result mmgr__metadata_check_files(mmgr_metadata *metadata);
/* The same metadata without files. NULL = no memory. */
mmgr_metadata *mmgr__metadata_without_files(const mmgr_metadata *metadata);

/* ---- Hugging Face answers; pure functions from bytes. Errors name the field. */
enum mmgr_result mmgr__hf_parse_info(const char *json, size_t length, const char *endpoint,
                                     mmgr_metadata **metadata);
/* One page of the file listing, appended to the metadata's files. */
enum mmgr_result mmgr__hf_parse_tree(const char *json, size_t length, mmgr_metadata *metadata);
/* Fill in each file's URL: pinned to the commit. */
enum mmgr_result mmgr__hf_set_urls(mmgr_metadata *metadata, const char *endpoint);
/* URL of rel="next" in a Link header (owned), or NULL. */
char *mmgr__hf_next_link(const char *value);

/* ---- fetching */
struct mmgr_hub {
    mmgr_config *config;
    mmgr_transport_ops transport; /* copied */
    void *transport_self;
    pthread_mutex_t mutex; /* guards users and the list; its nodes never change once linked */
    struct fetcher *fetchers;
    uint32_t users;
    int64_t retry_ns; /* first pause before a failed call is tried again */
};
enum mmgr_result mmgr__hf_fetch(mmgr_hub *hub, const mmgr_source *source, const char *token,
                                mmgr_metadata **metadata);
/* While a service uses the hub, closing it is BUSY. */
void mmgr__hub_use(mmgr_hub *hub);
void mmgr__hub_unuse(mmgr_hub *hub);
/* Whether mmgr_hub_fetch() has a fetcher for this source: 0 for a plain URL. */
int mmgr__hub_knows(mmgr_hub *hub, const mmgr_source *source);

#endif
