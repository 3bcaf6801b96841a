/* SPDX-License-Identifier: MIT */
/* What services need of the config beyond the public getters. */
#ifndef BASE_CONFIG_H
#define BASE_CONFIG_H

#include <modelmgr/config.h>

void mmgr__config_freeze(mmgr_config *config);
/* Token bound to this place by the config (longest prefix, else the hub's own token at its endpoint), or
 * NULL. Lent. http_named is set to 1 when a prefix or endpoint that begins with "http://" names this host. */
const char *mmgr__config_token(const mmgr_config *config, const char *scheme, const char *host,
                               uint16_t port, const char *path, int *http_named);
/* Whether the config itself names this host (endpoint, token prefix, allow_private_hosts). */
int mmgr__config_names_host(const mmgr_config *config, const char *host);
int mmgr__config_offline(const mmgr_config *config);
/* Hugging Face: endpoint without trailing slash; token by the hub client's own order (lent, or NULL). */
const char *mmgr__config_hf_endpoint(const mmgr_config *config);
const char *mmgr__config_hf_token(const mmgr_config *config);
/* Where that token comes from, for messages: "the environment variable HF_TOKEN", "the file …". */
const char *mmgr__config_hf_token_source(const mmgr_config *config);
/* The hub refused that token: it is not used any more while this config lives, so that public repositories
 * go on working. Safe from any thread, also when the config is read-only. */
void mmgr__config_refuse_hf_token(const mmgr_config *config);
/* Path of the record store that the config asks for, owned; NULL = no memory. */
char *mmgr__config_store_path(const mmgr_config *config);

#endif
