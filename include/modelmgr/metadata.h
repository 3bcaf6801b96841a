/* SPDX-License-Identifier: MIT */
/** @file
 * Hubs: what a repository says of itself, and which of its files make up a model.
 */
#ifndef MODELMGR_METADATA_H
#define MODELMGR_METADATA_H

#include "source.h"
#include "transport.h"

MMGR_BEGIN_DECLS

/** Options of mmgr_hub_open(). */
struct mmgr_hub_options {
    uint32_t struct_size;                /**< sizeof(struct mmgr_hub_options) */
    uint32_t flags;                      /**< must be 0 */
    mmgr_config *config;                 /**< endpoint, tokens, offline mode; required */
    const mmgr_transport_ops *transport; /**< how to reach the network, copied; required */
    void *transport_self;                /**< first argument of its functions; must outlive the hub */
};

/**
 * Open the access to the hubs.
 * @param options   Options; config and transport are required. The transport of a queue
 *   (mmgr_queue_transport()) works until the queue is closed: close the hub before it.
 * @param[out] hub  Given; close with mmgr_hub_close().
 * @return MMGR_OK; MMGR_ERR_ARGUMENT; MMGR_ERR_ABI_SIZE; MMGR_ERR_ABI_NEWER; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_hub_open(const struct mmgr_hub_options *options, mmgr_hub **hub);

/**
 * Close the access to the hubs.
 * @param hub  Hub, or NULL for no effect.
 * @return MMGR_OK, or MMGR_ERR_BUSY while an installer uses it (nothing happens then).
 *
 * Thread-safety: must not race with other calls on this hub.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_hub_close(mmgr_hub *hub);

/** A host's own fetcher for another site. Members are only appended. Both functions are required and may be
 *  called from any thread. */
typedef struct mmgr_fetcher_ops {
    uint32_t struct_size;
    uint32_t api_version; /**< 1 */
    const char *name;
    /** 1 when this fetcher knows the source. No I/O. */
    int (*accepts)(void *self, const mmgr_source *source);
    /** Make the metadata (mmgr_metadata_from_json()). token may be NULL. */
    enum mmgr_result (*fetch)(void *self, const mmgr_source *source, const char *token,
                              mmgr_metadata **metadata);
} mmgr_fetcher_ops;

/**
 * Add a fetcher; it is asked before the built-in ones.
 * @param hub        Hub.
 * @param ops        Functions, copied.
 * @param self       Passed to them.
 * @param self_free  Frees self when the hub closes, or NULL; not called when this function fails.
 * @return MMGR_OK; MMGR_ERR_ARGUMENT; MMGR_ERR_ABI_SIZE; MMGR_ERR_ABI_NEWER; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_hub_add_fetcher(mmgr_hub *hub, const mmgr_fetcher_ops *ops, void *self,
                                               void (*self_free)(void *));

/**
 * Fetch the metadata of a source. Blocks until the answer is there.
 * @param hub            Hub.
 * @param source         Source: a repository, or a URL of one.
 * @param token          Access token for this call, or NULL: what the config has for the hub.
 * @param[out] metadata  Given; release with mmgr_metadata_unref().
 * @return MMGR_OK; MMGR_ERR_REPO_NOT_FOUND; MMGR_ERR_REVISION_NOT_FOUND; MMGR_ERR_NOT_AUTHORIZED;
 *   MMGR_ERR_GATED; MMGR_ERR_OFFLINE; MMGR_ERR_NETWORK; MMGR_ERR_TIMEOUT; MMGR_ERR_HTTP;
 *   MMGR_ERR_RATE_LIMITED; MMGR_ERR_PROTOCOL (answer malformed; names the field); MMGR_ERR_UNSAFE_PATH (a
 *   file name leads outside); MMGR_ERR_REFUSED_ADDRESS; MMGR_ERR_UNSUPPORTED_SOURCE; MMGR_ERR_ARGUMENT;
 *   MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_hub_fetch(mmgr_hub *hub, const mmgr_source *source, const char *token,
                                         mmgr_metadata **metadata);

/**
 * Make metadata from JSON: the form that mmgr_metadata_to_json() writes, or the hub's own answer to
 * `/api/models/…?blobs=true`.
 * @param json           JSON object.
 * @param[out] metadata  Given; release with mmgr_metadata_unref().
 * @return MMGR_OK; MMGR_ERR_PROTOCOL (names the field); MMGR_ERR_UNSAFE_PATH; MMGR_ERR_ARGUMENT;
 *   MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_metadata_from_json(const char *json, mmgr_metadata **metadata);

/**
 * The files that make up the model: selection by variant and subfolder.
 * @param metadata   Metadata with all files.
 * @param variant    "default", "fp16", "fp32", "onnx", "openvino", "flax", or a GGUF quantisation; NULL is
 *                   "default".
 * @param subfolder  Folder or file inside the repository, or NULL.
 * @param[out] part  Given: the same metadata with only those files, sorted by path.
 * @return MMGR_OK; MMGR_ERR_ENTRY_NOT_FOUND (nothing fits); MMGR_ERR_AMBIGUOUS_SOURCE (several single-file
 *   models; the message lists them); MMGR_ERR_ARGUMENT; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_metadata_select(const mmgr_metadata *metadata, const char *variant,
                                               const char *subfolder, mmgr_metadata **part);

/**
 * Keep metadata.
 * @param metadata  Metadata.
 * @return The metadata, with one more reference.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API mmgr_metadata *mmgr_metadata_ref(const mmgr_metadata *metadata);

/**
 * Release metadata.
 * @param metadata  Metadata, or NULL for no effect.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API void mmgr_metadata_unref(mmgr_metadata *metadata);

/** Texts of metadata. */
enum mmgr_metadata_text {
    MMGR_METADATA_TYPE = 1,          /**< "huggingface" */
    MMGR_METADATA_ID = 2,            /**< repository id after renames */
    MMGR_METADATA_NAME = 3,
    MMGR_METADATA_AUTHOR = 4,
    MMGR_METADATA_REVISION = 5,      /**< commit that the files belong to */
    MMGR_METADATA_LAST_MODIFIED = 6, /**< RFC 3339 */
    MMGR_METADATA_RESPONSE = 7,      /**< the hub's answer, verbatim JSON */
    MMGR_METADATA_PAGE_URL = 8,      /**< page to show to people */
    MMGR_METADATA_TEXT_FORCE_32_ = MMGR_ENUM_32_BITS
};

/**
 * A text of metadata.
 * @param metadata  Metadata.
 * @param which     Which text.
 * @return Lent text, or NULL when it is not known.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const char *mmgr_metadata_text(const mmgr_metadata *metadata, enum mmgr_metadata_text which);

/**
 * Number of tags.
 * @param metadata  Metadata.
 * @return Number.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API uint32_t mmgr_metadata_tag_count(const mmgr_metadata *metadata);

/**
 * A tag.
 * @param metadata  Metadata.
 * @param index     0 … count - 1.
 * @return Lent text, or NULL when there is no such tag.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const char *mmgr_metadata_tag(const mmgr_metadata *metadata, uint32_t index);

/**
 * Number of files.
 * @param metadata  Metadata.
 * @return Number.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API uint32_t mmgr_metadata_file_count(const mmgr_metadata *metadata);

/** Texts of a file. */
enum mmgr_metadata_file_text {
    MMGR_METADATA_FILE_PATH = 1,     /**< path inside the repository, safe to join to a folder */
    MMGR_METADATA_FILE_URL = 2,      /**< where its bytes are */
    MMGR_METADATA_FILE_SHA256 = 3,   /**< lower-case hex */
    MMGR_METADATA_FILE_GIT_SHA1 = 4, /**< lower-case hex of the git blob */
    MMGR_METADATA_FILE_TEXT_FORCE_32_ = MMGR_ENUM_32_BITS
};

/**
 * A text of a file.
 * @param metadata  Metadata.
 * @param index     0 … count - 1.
 * @param which     Which text.
 * @return Lent text, or NULL when it is not known.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const char *mmgr_metadata_file_text(const mmgr_metadata *metadata, uint32_t index,
                                             enum mmgr_metadata_file_text which);

/**
 * Size of a file.
 * @param metadata  Metadata.
 * @param index     0 … count - 1.
 * @return Bytes; UINT64_MAX when the hub does not say or there is no such file.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API uint64_t mmgr_metadata_file_size(const mmgr_metadata *metadata, uint32_t index);

/**
 * The metadata as JSON: type, id, name, author, tags, tag_dict, last_modified, revision, files.
 * @param metadata   Metadata.
 * @param[out] json  Given text.
 * @return MMGR_OK; MMGR_ERR_ARGUMENT; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_metadata_to_json(const mmgr_metadata *metadata, char **json);

MMGR_END_DECLS
#endif
