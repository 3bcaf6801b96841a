/* SPDX-License-Identifier: MIT */
/* Version of the library and of what it is made of. */
#include <modelmgr/version.h>

#include <curl/curl.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <sqlite3.h>
#include <xxhash.h>
#include <yaml.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"
#include "base/version.h"

static const char *const features[] = {"huggingface", "safetensors", "folders",
                                       "sqlite",      "yaml",        "cpu"};

uint32_t mmgr_version(void)
{
    return MMGR_VERSION_NUMBER;
}

const char *mmgr_version_string(void)
{
    return MMGR_VERSION_STRING;
}

void mmgr_string_free(char *text)
{
    mmgr__free(text);
}

static void put_library(struct mmgr__buf *buf, const char *name, const char *version)
{
    mmgr__buf_printf(buf, "\"%s\":", name);
    mmgr__buf_json_string(buf, version);
}

enum mmgr_result mmgr_version_info(char **json)
{
    if (json == NULL)
        return mmgr__bad_argument("json");
    struct mmgr__buf buf = {0};
    mmgr__buf_puts(&buf, "{\"version\":");
    mmgr__buf_json_string(&buf, mmgr_version_string());
    mmgr__buf_printf(&buf, ",\"schema\":%d,\"features\":[", MMGR__SCHEMA_VERSION);
    for (size_t i = 0; i < sizeof features / sizeof *features; i++) {
        mmgr__buf_puts(&buf, i > 0 ? "," : "");
        mmgr__buf_json_string(&buf, features[i]);
    }
    mmgr__buf_puts(&buf, "],\"libraries\":{");
    put_library(&buf, "sqlite3", sqlite3_libversion());
    mmgr__buf_puts(&buf, ",");
    put_library(&buf, "libcurl", curl_version_info(CURLVERSION_NOW)->version);
    mmgr__buf_puts(&buf, ",");
    put_library(&buf, "jansson", jansson_version_str());
    mmgr__buf_puts(&buf, ",");
    put_library(&buf, "libyaml", yaml_get_version_string());
    mmgr__buf_puts(&buf, ",");
    unsigned xxh = XXH_versionNumber();
    mmgr__buf_printf(&buf, "\"xxhash\":\"%u.%u.%u\",", xxh / 10000, xxh / 100 % 100, xxh % 100);
    put_library(&buf, "libcrypto", OpenSSL_version(OPENSSL_VERSION_STRING));
    mmgr__buf_puts(&buf, "}}");
    char *text = mmgr__buf_take(&buf);
    if (text == NULL)
        return mmgr__oom();
    *json = text;
    return MMGR_OK;
}
