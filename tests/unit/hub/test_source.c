/* SPDX-License-Identifier: MIT */
/* Source strings: every form, what each part is, what is refused and why, and that the canonical text means
 * the same again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "hub/hub.h"

static char folder[64];

static int setup(void **state)
{
    char path[128];

    strcpy(folder, "/tmp/mmgr-source-XXXXXX");
    if (!mkdtemp(folder) || chdir(folder))
        return -1;
    mkdir("org", 0700);
    mkdir("org/local", 0700);
    mkdir("it has blanks", 0700);
    mkdir("trailing ", 0700);
    fclose(fopen("model.safetensors", "w"));
    fclose(fopen("C:\\model.ckpt", "w"));
    snprintf(path, sizeof(path), "%s", folder);
    return setenv("HOME", path, 1);
}

static int teardown(void **state)
{
    static const char *const names[] = {
        "org/local", "org", "it has blanks", "trailing ", "model.safetensors", "C:\\model.ckpt"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        remove(names[i]);
    return chdir("/") || rmdir(folder);
}

#define HF     MMGR_SOURCE_HUGGINGFACE
#define COMMIT "0123456789abcdef0123456789abcdef01234567"

struct row {
    const char *given, *text; /* text NULL: same as given */
    enum mmgr_source_kind kind;
    const char *repo, *revision, *variant, *subfolder, *endpoint;
};

static const struct row repositories[] = {
    /* the short forms of the feature list */
    {"stabilityai/sdxl-turbo", NULL, HF, "stabilityai/sdxl-turbo"},
    {"a/b:fp16", NULL, HF, "a/b", NULL, "fp16"},
    {"a/b:fp16:vae", NULL, HF, "a/b", NULL, "fp16", "vae"},
    {"a/b::vae", NULL, HF, "a/b", NULL, NULL, "vae"},
    {"a/b:fp32:unet/model.safetensors", NULL, HF, "a/b", NULL, "fp32", "unet/model.safetensors"},
    {"a/b::checkpoints/x.safetensors", NULL, HF, "a/b", NULL, NULL, "checkpoints/x.safetensors"},
    {"a/b::/checkpoints/x.safetensors", "a/b::checkpoints/x.safetensors", HF, "a/b", NULL, NULL,
     "checkpoints/x.safetensors"},
    {"a/b::vae/", "a/b::vae", HF, "a/b", NULL, NULL, "vae"},
    {"a/b:", "a/b", HF, "a/b"},
    {"a/b:default", NULL, HF, "a/b", NULL, "default"},
    {"a/b:onnx", NULL, HF, "a/b", NULL, "onnx"},
    {"a/b:openvino", NULL, HF, "a/b", NULL, "openvino"},
    {"a/b:flax", NULL, HF, "a/b", NULL, "flax"},
    {"a/b:Q4_K_M", NULL, HF, "a/b", NULL, "Q4_K_M"},
    {"a/b:q4_k_m", "a/b:Q4_K_M", HF, "a/b", NULL, "Q4_K_M"},
    {"a/b:IQ2_XS", NULL, HF, "a/b", NULL, "IQ2_XS"},
    {"a/b:UD-Q4_K_XL", NULL, HF, "a/b", NULL, "UD-Q4_K_XL"},
    {"a/b:MXFP4_MOE", NULL, HF, "a/b", NULL, "MXFP4_MOE"},
    {"a/b:BF16", NULL, HF, "a/b", NULL, "BF16"},
    {"a/b:F16", NULL, HF, "a/b", NULL, "F16"},
    {"a/b@main", NULL, HF, "a/b", "main"},
    {"a/b@refs/pr/1:fp16:vae", NULL, HF, "a/b", "refs/pr/1", "fp16", "vae"},
    {"a/b@" COMMIT "::vae", NULL, HF, "a/b", COMMIT, NULL, "vae"},
    {"a.b-c_d/e.f-g_1.5", NULL, HF, "a.b-c_d/e.f-g_1.5"},
    {"  'a/b:fp16'  ", "a/b:fp16", HF, "a/b", NULL, "fp16"},
    {"\"a/b\"", "a/b", HF, "a/b"},
    /* forced, where a path of that name exists */
    {"hf:org/local", "hf:org/local", HF, "org/local"},
    {"hf:a/b:fp16", "a/b:fp16", HF, "a/b", NULL, "fp16"},
    {"https://huggingface.co/org/local", "hf:org/local", HF, "org/local"},
    {"hf.co/hf.co/name", "hf:hf.co/name", HF, "hf.co/name"},
    /* URIs */
    {"hf://a/b", "a/b", HF, "a/b"},
    {"hf://models/a/b", "a/b", HF, "a/b"},
    {"hf://a/b@v1.0/vae/model.safetensors", "a/b@v1.0::vae/model.safetensors", HF, "a/b", "v1.0",
     NULL, "vae/model.safetensors"},
    {"hf://a/b@refs/pr/1/vae", "a/b@refs/pr/1::vae", HF, "a/b", "refs/pr/1", NULL, "vae"},
    {"hf://a/b@refs%2Fpr%2F1/vae", "a/b@refs/pr/1::vae", HF, "a/b", "refs/pr/1", NULL, "vae"},
    {"hf://a/b/vae", "a/b::vae", HF, "a/b", NULL, NULL, "vae"},
    /* what people paste */
    {"https://huggingface.co/a/b", "a/b", HF, "a/b"},
    {"https://huggingface.co/a/b/", "a/b", HF, "a/b"},
    {"http://huggingface.co/a/b", "a/b", HF, "a/b"},
    {"HTTPS://HuggingFace.co/a/b?library=diffusers#x", "a/b", HF, "a/b"},
    {"https://www.huggingface.co/a/b", "a/b", HF, "a/b"},
    {"https://hf.co/a/b", "a/b", HF, "a/b"},
    {"hf.co/a/b:Q4_K_M", "a/b:Q4_K_M", HF, "a/b", NULL, "Q4_K_M"},
    {"https://hf.co/a/b:Q8_0", "a/b:Q8_0", HF, "a/b", NULL, "Q8_0"},
    {"huggingface.co/a/b/tree/main/vae", "a/b@main::vae", HF, "a/b", "main", NULL, "vae"},
    {"https://huggingface.co/a/b/tree/main", "a/b@main", HF, "a/b", "main"},
    {"https://huggingface.co/a/b/tree/refs%2Fpr%2F3/unet", "a/b@refs/pr/3::unet", HF, "a/b",
     "refs/pr/3", NULL, "unet"},
    {"https://huggingface.co/a/b/tree/refs/pr/3/unet", "a/b@refs/pr/3::unet", HF, "a/b",
     "refs/pr/3", NULL, "unet"},
    {"https://huggingface.co/a/b/blob/main/dir/f%20x.safetensors", "a/b@main::dir/f x.safetensors",
     HF, "a/b", "main", NULL, "dir/f x.safetensors"},
    {"https://huggingface.co/a/b/resolve/" COMMIT "/f.gguf?download=true", "a/b@" COMMIT "::f.gguf",
     HF, "a/b", COMMIT, NULL, "f.gguf"},
    {"https://huggingface.co/a/b/raw/main/config.json", "a/b@main::config.json", HF, "a/b", "main",
     NULL, "config.json"},
    {"https://huggingface.co/a/b/commit/" COMMIT, "a/b@" COMMIT, HF, "a/b", COMMIT},
    {"https://huggingface.co/a/b/commits/dev", "a/b@dev", HF, "a/b", "dev"},
    {"https://huggingface.co/a/b/discussions/4", "a/b", HF, "a/b"},
    {"https://huggingface.co/api/models/a/b/revision/v2", "a/b@v2", HF, "a/b", "v2"},
    {"https://hf-mirror.com/a/b", "https://hf-mirror.com/a/b", HF, "a/b", NULL, NULL, NULL,
     "https://hf-mirror.com"},
    {"https://hf-mirror.com/a/b/blob/refs%2Fpr%2F1/x y.bin", NULL},
    {"https://hf-mirror.com/a/b/blob/refs%2Fpr%2F1/x%20y.bin",
     "https://hf-mirror.com/a/b/tree/refs%2Fpr%2F1/x%20y.bin", HF, "a/b", "refs/pr/1", NULL,
     "x y.bin", "https://hf-mirror.com"},
    /* Civitai */
    {"civitai:1234", NULL, MMGR_SOURCE_CIVITAI, "1234"},
    {"civitai:1234@567", NULL, MMGR_SOURCE_CIVITAI, "1234", "567"},
    {"https://civitai.com/models/1234", "civitai:1234", MMGR_SOURCE_CIVITAI, "1234"},
    {"https://civitai.com/models/1234/a-slug?x=1&modelVersionId=567", "civitai:1234@567",
     MMGR_SOURCE_CIVITAI, "1234", "567"},
};

static void expect_part(const mmgr_source *source, const char *given, enum mmgr_source_part part,
                        const char *value)
{
    const char *found = mmgr_source_part(source, part);

    if (value ? !found || strcmp(found, value) != 0 : found != NULL)
        fail_msg("%s: part %d is %s, not %s", given, (int)part, found ? found : "(none)",
                 value ? value : "(none)");
}

/* The canonical text gives the same parts again, itself among them. */
static void expect_stable(const mmgr_source *source)
{
    const char *text = mmgr_source_part(source, MMGR_SOURCE_PART_TEXT);
    mmgr_source *again = NULL;

    if (mmgr_source_parse(text, &again) != MMGR_OK)
        fail_msg("%s: %s", text, mmgr_error_message(mmgr_last_error()));
    assert_int_equal(mmgr_source_kind(again), mmgr_source_kind(source));
    for (int part = 1; part < 9; part++)
        expect_part(again, text, (enum mmgr_source_part)part,
                    mmgr_source_part(source, (enum mmgr_source_part)part));
    mmgr_source_unref(again);
}

static void repository_forms(void **state)
{
    for (size_t i = 0; i < sizeof(repositories) / sizeof(repositories[0]); i++) {
        const struct row *row = &repositories[i];
        mmgr_source *source = NULL;

        if (!row->kind) {
            assert_int_equal(mmgr_source_parse(row->given, &source), MMGR_ERR_UNSUPPORTED_SOURCE);
            continue;
        }
        if (mmgr_source_parse(row->given, &source) != MMGR_OK)
            fail_msg("%s: %s", row->given, mmgr_error_message(mmgr_last_error()));
        assert_int_equal(mmgr_source_kind(source), row->kind);
        expect_part(source, row->given, MMGR_SOURCE_PART_TEXT, row->text ? row->text : row->given);
        expect_part(source, row->given, MMGR_SOURCE_PART_REPO, row->repo);
        expect_part(source, row->given, MMGR_SOURCE_PART_REVISION, row->revision);
        expect_part(source, row->given, MMGR_SOURCE_PART_VARIANT, row->variant);
        expect_part(source, row->given, MMGR_SOURCE_PART_SUBFOLDER, row->subfolder);
        expect_part(source, row->given, MMGR_SOURCE_PART_ENDPOINT, row->endpoint);
        expect_part(source, row->given, MMGR_SOURCE_PART_PATH, NULL);
        expect_stable(source);
        mmgr_source_unref(source);
    }
    assert_int_equal(mmgr__alloc_live(), 0);
}

static void local_forms(void **state)
{
    static const char *const rows[][2] = {
        {"./model.safetensors", "/model.safetensors"},
        {"model.safetensors", "/model.safetensors"},
        {"$/model.safetensors", "/model.safetensors"},
        {"~/model.safetensors", "/model.safetensors"},
        {"org/local", "/org/local"},
        {"./org/../org/local/", "/org/local"},
        {".", ""},
        {"~", ""},
        {"file:model.safetensors", "/model.safetensors"},
        {"file://$/it%20has%20blanks", "/it has blanks"},
        {"file://localhost$/org", "/org"},
        {"file:$/org", "/org"},
        {" 'it has blanks' ", "/it has blanks"},
        {"'./trailing '", "/trailing "},
        {"C:\\model.ckpt", "/C:\\model.ckpt"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *dollar = strchr(rows[i][0], '$');
        char given[256], path[256];
        mmgr_source *source = NULL;

        snprintf(given, sizeof(given), "%.*s%s%s",
                 dollar ? (int)(dollar - rows[i][0]) : (int)strlen(rows[i][0]), rows[i][0],
                 dollar ? folder : "", dollar ? dollar + 1 : "");
        snprintf(path, sizeof(path), "%s%s", folder, rows[i][1]);
        if (mmgr_source_parse(given, &source) != MMGR_OK)
            fail_msg("%s: %s", given, mmgr_error_message(mmgr_last_error()));
        assert_int_equal(mmgr_source_kind(source), MMGR_SOURCE_LOCAL);
        expect_part(source, given, MMGR_SOURCE_PART_PATH, path);
        expect_part(source, given, MMGR_SOURCE_PART_REPO, NULL);
        expect_stable(source);
        mmgr_source_unref(source);
    }
}

static void url_forms(void **state)
{
    static const char *const rows[][2] = {
        {"https://example.org/x.safetensors", "https://example.org/x.safetensors"},
        {"HTTP://Example.org:80/x?y=z#w", "http://example.org/x?y=z"},
        {"https://civitai.com/api/download/models/5?type=Model",
         "https://civitai.com/api/download/models/5?type=Model"},
        {"http://127.0.0.1:8000/acme/pipeline", "http://127.0.0.1:8000/acme/pipeline"},
        {"https://huggingface.co:8443/a/b", "https://huggingface.co:8443/a/b"},
        {"https://evil-huggingface.co/a/b", "https://evil-huggingface.co/a/b"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        mmgr_source *source = NULL;

        if (mmgr_source_parse(rows[i][0], &source) != MMGR_OK)
            fail_msg("%s: %s", rows[i][0], mmgr_error_message(mmgr_last_error()));
        assert_int_equal(mmgr_source_kind(source), MMGR_SOURCE_URL);
        expect_part(source, rows[i][0], MMGR_SOURCE_PART_URL, rows[i][1]);
        expect_stable(source);
        mmgr_source_unref(source);
    }
}

static void refused(void **state)
{
    static const struct {
        const char *given;
        enum mmgr_result result;
        const char *says;
    } rows[] = {
        {"./foo", MMGR_ERR_PATH_NOT_FOUND, "/foo"},
        {"../foo", MMGR_ERR_PATH_NOT_FOUND, "/foo"},
        {"/no/such/file", MMGR_ERR_PATH_NOT_FOUND, "/no/such/file"},
        {"~/foo", MMGR_ERR_PATH_NOT_FOUND, "/foo"},
        {"./org/missing", MMGR_ERR_PATH_NOT_FOUND, "missing"},
        {"file:///no/such", MMGR_ERR_PATH_NOT_FOUND, "/no/such"},
        {"file://host/x", MMGR_ERR_UNSUPPORTED_SOURCE, "another machine"},
        {"file:", MMGR_ERR_UNSUPPORTED_SOURCE, "missing"},
        {"file:a%00b", MMGR_ERR_UNSUPPORTED_SOURCE, "NUL"},
        {"", MMGR_ERR_UNSUPPORTED_SOURCE, "empty"},
        {"  ", MMGR_ERR_UNSUPPORTED_SOURCE, "empty"},
        {"''", MMGR_ERR_UNSUPPORTED_SOURCE, "empty"},
        {"word", MMGR_ERR_UNSUPPORTED_SOURCE, "neither"},
        {"foo/bar/baz", MMGR_ERR_UNSUPPORTED_SOURCE, "neither"},
        {"a/b c", MMGR_ERR_UNSUPPORTED_SOURCE, "neither"},
        {"a//b", MMGR_ERR_UNSUPPORTED_SOURCE, NULL},
        {"a/", MMGR_ERR_UNSUPPORTED_SOURCE, NULL},
        {"a/..", MMGR_ERR_UNSUPPORTED_SOURCE, NULL},
        {"a/.", MMGR_ERR_UNSUPPORTED_SOURCE, NULL},
        {"-a/b", MMGR_ERR_UNSUPPORTED_SOURCE, NULL},
        {"a/b-", MMGR_ERR_UNSUPPORTED_SOURCE, NULL},
        {"a/b--c", MMGR_ERR_UNSUPPORTED_SOURCE, NULL},
        {"a/b..c", MMGR_ERR_UNSUPPORTED_SOURCE, NULL},
        {"a/b.git", MMGR_ERR_UNSUPPORTED_SOURCE, NULL},
        {"a/b:fp17", MMGR_ERR_UNSUPPORTED_SOURCE, "the variants are"},
        {"a/b:bf16", MMGR_ERR_UNSUPPORTED_SOURCE, "BF16"},
        {"a/b:f16", MMGR_ERR_UNSUPPORTED_SOURCE, "fp16"},
        {"a/b:vae", MMGR_ERR_UNSUPPORTED_SOURCE, "the variants are"},
        {"a/b:Q", MMGR_ERR_UNSUPPORTED_SOURCE, NULL},
        {"a/b:Q4_", MMGR_ERR_UNSUPPORTED_SOURCE, NULL},
        {"a/b:Q4__K", MMGR_ERR_UNSUPPORTED_SOURCE, NULL},
        {"a/b:Q4_K_M.gguf", MMGR_ERR_UNSUPPORTED_SOURCE, NULL},
        {"a/b:fp16::vae", MMGR_ERR_UNSUPPORTED_SOURCE, "missing"},
        {"a/b:fp16:", MMGR_ERR_UNSUPPORTED_SOURCE, "missing"},
        {"a/b::", MMGR_ERR_UNSUPPORTED_SOURCE, "missing"},
        {"a/b:::x", MMGR_ERR_UNSUPPORTED_SOURCE, NULL},
        {"a/b::../x", MMGR_ERR_UNSUPPORTED_SOURCE, "safe relative path"},
        {"a/b::x/../../y", MMGR_ERR_UNSUPPORTED_SOURCE, "safe"},
        {"a/b::a:b", MMGR_ERR_UNSUPPORTED_SOURCE, NULL},
        {"a/b@", MMGR_ERR_UNSUPPORTED_SOURCE, "revision"},
        {"a/b@a b", MMGR_ERR_UNSUPPORTED_SOURCE, "revision"},
        {"a/b@../x", MMGR_ERR_UNSUPPORTED_SOURCE, "revision"},
        {"a/b@x//y", MMGR_ERR_UNSUPPORTED_SOURCE, "revision"},
        {"a/b@-x", MMGR_ERR_UNSUPPORTED_SOURCE, "revision"},
        {"C:\\x", MMGR_ERR_UNSUPPORTED_SOURCE, "Windows"},
        {"C:/x", MMGR_ERR_UNSUPPORTED_SOURCE, "Windows"},
        {"\\\\nas\\x", MMGR_ERR_UNSUPPORTED_SOURCE, "Windows"},
        {"models\\x", MMGR_ERR_UNSUPPORTED_SOURCE, "Windows"},
        {"hf:word", MMGR_ERR_UNSUPPORTED_SOURCE, NULL},
        {"hf://a", MMGR_ERR_UNSUPPORTED_SOURCE, NULL},
        {"hf://datasets/a/b", MMGR_ERR_UNSUPPORTED_SOURCE, "only model"},
        {"hf://a/b@%00", MMGR_ERR_UNSUPPORTED_SOURCE, "NUL"},
        {"https://huggingface.co/", MMGR_ERR_UNSUPPORTED_SOURCE, NULL},
        {"https://huggingface.co/stabilityai", MMGR_ERR_UNSUPPORTED_SOURCE, "org/name"},
        {"https://huggingface.co/datasets/a/b", MMGR_ERR_UNSUPPORTED_SOURCE, "only model"},
        {"https://huggingface.co/spaces/a/b", MMGR_ERR_UNSUPPORTED_SOURCE, "only model"},
        {"https://huggingface.co/a/b/edit/main/x", MMGR_ERR_UNSUPPORTED_SOURCE, "no repository"},
        {"https://huggingface.co/a/b/blob/main/..%2f..%2fx", MMGR_ERR_UNSUPPORTED_SOURCE, "safe"},
        {"https://huggingface.co/a/b/blob/main/x%00", MMGR_ERR_UNSUPPORTED_SOURCE, "NUL"},
        {"https://huggingface.co/a/b/tree//vae", MMGR_ERR_UNSUPPORTED_SOURCE, "revision"},
        {"a/b::vae\\ ", MMGR_ERR_UNSUPPORTED_SOURCE, NULL},
        {"'a/b::vae '", MMGR_ERR_UNSUPPORTED_SOURCE, "safe"},
        {"https://u:p@huggingface.co/a/b", MMGR_ERR_UNSUPPORTED_SOURCE, "password"},
        {"https://example.org/x?token=abc", MMGR_ERR_UNSUPPORTED_SOURCE, "access token"},
        {"http:example.org", MMGR_ERR_UNSUPPORTED_SOURCE, NULL},
        {"ftp://example.org/x", MMGR_ERR_UNSUPPORTED_SOURCE, NULL},
        {"civitai:", MMGR_ERR_UNSUPPORTED_SOURCE, NULL},
        {"civitai:12x", MMGR_ERR_UNSUPPORTED_SOURCE, NULL},
        {"civitai:12@", MMGR_ERR_UNSUPPORTED_SOURCE, NULL},
        {"civitai:-1", MMGR_ERR_UNSUPPORTED_SOURCE, NULL},
        {"a/b\nc", MMGR_ERR_UNSUPPORTED_SOURCE, "control"},
        {"a/\xff", MMGR_ERR_UNSUPPORTED_SOURCE, "UTF-8"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        mmgr_source *source = (mmgr_source *)1;
        enum mmgr_result result = mmgr_source_parse(rows[i].given, &source);
        const char *message = mmgr_error_message(mmgr_last_error());

        if (result != rows[i].result)
            fail_msg("\"%s\" gave %s", rows[i].given, mmgr_result_name(result));
        assert_ptr_equal(source, (mmgr_source *)1);
        if (rows[i].says && !strstr(message, rows[i].says))
            fail_msg("\"%s\" says: %s", rows[i].given, message);
        assert_null(strstr(message, "token=abc"));
        assert_non_null(mmgr_error_subject(mmgr_last_error()));
    }
    assert_int_equal(mmgr__alloc_live(), 0);
}

/* A page of the configured endpoint. */
static void at_endpoint(void **state)
{
    static const struct {
        const char *url, *endpoint, *text; /* text NULL: not a repository there */
    } rows[] = {
        {"http://127.0.0.1:8000/a/b", "http://127.0.0.1:8000", "a/b"},
        {"https://hub.corp/hf/a/b/resolve/v1/x.bin", "https://hub.corp/hf", "a/b@v1::x.bin"},
        {"https://hub.corp/hf/a/b", "https://hub.corp/hf/", "a/b"},
        {"https://hub.corp/hfx/a/b", "https://hub.corp/hf", NULL},
        {"https://hub.corp/a/b", "https://hub.corp:444", NULL},
        {"https://hub.corp/x.safetensors", "https://hub.corp", NULL},
        {"https://hub.corp/a/b/c/d.safetensors", "https://hub.corp", NULL},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        mmgr_source *url = NULL, *source = NULL;
        enum mmgr_result result;

        assert_int_equal(mmgr_source_parse(rows[i].url, &url), MMGR_OK);
        result = mmgr__source_at_endpoint(url, rows[i].endpoint, &source);
        assert_int_equal(result, rows[i].text ? MMGR_OK : MMGR_ERR_UNSUPPORTED_SOURCE);
        if (rows[i].text)
            expect_part(source, rows[i].url, MMGR_SOURCE_PART_TEXT, rows[i].text);
        mmgr_source_unref(source);
        mmgr_source_unref(url);
    }
}

/* Random strings from the letters that matter: no crash, and whatever is accepted is stable. */
static void random_texts(void **state)
{
    static const char *const pieces[] = {"a",
                                         "org",
                                         "name",
                                         "/",
                                         ":",
                                         "::",
                                         "@",
                                         "fp16",
                                         "Q4_K_M",
                                         "main",
                                         "..",
                                         ".",
                                         "hf:",
                                         "hf://",
                                         "https://huggingface.co/",
                                         "tree/",
                                         "blob/",
                                         " ",
                                         "'",
                                         "refs/pr/1",
                                         "%2F",
                                         "%00",
                                         "~",
                                         "file:",
                                         "civitai:",
                                         "12",
                                         "\\",
                                         "C:",
                                         "?",
                                         "#",
                                         "resolve/",
                                         "https://hf-mirror.com/",
                                         "-",
                                         "_",
                                         "\xc3\xa9",
                                         "http://h"};
    unsigned seed = 12345;
    int accepted = 0;

    for (int round = 0; round < 20000; round++) {
        char text[256] = "";
        mmgr_source *source = NULL;

        for (int i = 0; i < 7; i++) {
            seed = seed * 1103515245u + 12345u;
            strcat(text, pieces[(seed >> 16) % (sizeof(pieces) / sizeof(pieces[0]))]);
        }
        if (mmgr_source_parse(text, &source) == MMGR_OK) {
            expect_stable(source);
            accepted++;
        }
        mmgr_source_unref(source);
    }
    assert_true(accepted > 50);
    assert_int_equal(mmgr__alloc_live(), 0);
}

static void no_memory(void **state)
{
    static const char *const texts[] = {"a/b@v1:fp16:vae", "https://hf-mirror.com/a/b/tree/main/x",
                                        "./org", "https://example.org/x", "civitai:1@2"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        for (uint64_t n = 1;; n++) {
            mmgr_source *source = NULL;
            enum mmgr_result result;

            mmgr__alloc_fail_at(n, 0);
            result = mmgr_source_parse(texts[i], &source);
            mmgr__alloc_fail_at(0, 0);
            mmgr_source_unref(source);
            assert_int_equal(mmgr__alloc_live(), 0);
            if (result == MMGR_OK)
                break;
            if (result != MMGR_ERR_NO_MEMORY)
                fail_msg("%s, allocation %d: %s", texts[i], (int)n, mmgr_result_name(result));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(repository_forms), cmocka_unit_test(local_forms),
        cmocka_unit_test(url_forms),        cmocka_unit_test(refused),
        cmocka_unit_test(at_endpoint),      cmocka_unit_test(random_texts),
        cmocka_unit_test(no_memory),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
