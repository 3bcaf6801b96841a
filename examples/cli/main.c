/* SPDX-License-Identifier: MIT */
/* modelmgr, the command line of libmodelmgr: the table of commands and the way through one. */
#include <locale.h>
#include <string.h>

#include "cli.h"

static const struct cli_command commands[] = {
    {"install", "SOURCE", "Install a model from a repository, a URL or a local path",
     CLI_BIT(OPT_VARIANT) | CLI_BIT(OPT_REVISION) | CLI_BIT(OPT_INPLACE) | CLI_BIT(OPT_MOVE) |
         CLI_BIT(OPT_NAME) | CLI_BIT(OPT_SET) | CLI_BIT(OPT_TOKEN_ENV) | CLI_BIT(OPT_DRY_RUN) |
         CLI_BIT(OPT_EVENTS) | CLI_BIT(OPT_ALLOW_UNKNOWN),
     1, 1, cli_install, NULL},
    {"list", "", "List the models",
     CLI_BIT(OPT_BASE) | CLI_BIT(OPT_TYPE) | CLI_BIT(OPT_FORMAT) | CLI_BIT(OPT_NAME) |
         CLI_BIT(OPT_TAG) | CLI_BIT(OPT_FILTER) | CLI_BIT(OPT_SEARCH) | CLI_BIT(OPT_SORT) |
         CLI_BIT(OPT_LIMIT) | CLI_BIT(OPT_OFFSET) | CLI_BIT(OPT_AFTER),
     0, 0, cli_list, NULL},
    {"show", "KEY-OR-NAME", "Show one model with its files", 0, 1, 1, cli_show, NULL},
    {"set", "KEY FIELD=VALUE...", "Change fields of a record; FIELD= clears one",
     CLI_BIT(OPT_LENIENT), 2, UINT32_MAX, cli_set, NULL},
    {"add", "JSON-FILE", "Add a record as it stands in a JSON file (- is standard input)",
     CLI_BIT(OPT_LENIENT), 1, 1, cli_add, NULL},
    {"remove", "KEY", "Remove a model; its files are deleted if they are inside models_dir",
     CLI_BIT(OPT_KEEP_FILES) | CLI_BIT(OPT_FORCE), 1, 1, cli_remove, NULL},
    {"probe", "PATH", "Identify a model file or folder without recording it",
     CLI_BIT(OPT_EXPLAIN) | CLI_BIT(OPT_ALLOW_UNKNOWN), 1, 1, cli_probe, NULL},
    {"inspect", "PATH", "Show the tensors and metadata of a model file or folder", 0, 1, 1,
     cli_inspect, NULL},
    {"hash", "PATH", "Hash the content of a model file or folder", CLI_BIT(OPT_ALGORITHM), 1, 1,
     cli_hash, NULL},
    {"download", "URL DEST", "Download one file, going on with what is there already",
     CLI_BIT(OPT_SHA256) | CLI_BIT(OPT_SEGMENTS) | CLI_BIT(OPT_LIMIT_RATE) | CLI_BIT(OPT_TOKEN_ENV),
     2, 2, cli_download, NULL},
    {"fetch", "REPO-OR-URL", "Show what a hub says about a repository", CLI_BIT(OPT_TOKEN_ENV), 1,
     1, cli_fetch, NULL},
    {"load", "KEY-OR-NAME", "Load a model and report its size and the time that it took",
     CLI_BIT(OPT_SUBMODEL) | CLI_BIT(OPT_DEVICE) | CLI_BIT(OPT_REPEAT), 1, 1, cli_load, NULL},
    {"import", "invokeai|yaml|hf-cache PATH", "Record the models of another tool where they are",
     CLI_BIT(OPT_DRY_RUN) | CLI_BIT(OPT_MODELS_DIR), 2, 2, cli_import, NULL},
    {"sync", "", "Compare the records with what is on disk", CLI_BIT(OPT_REBUILD), 0, 0, cli_sync,
     NULL},
    {"relink", "[DIR...]", "Find models whose files were moved (below models_dir, or in DIR)",
     CLI_BIT(OPT_DRY_RUN), 0, UINT32_MAX, cli_relink, NULL},
    {"relocate", "KEY PATH", "Tell where the files of a model are now", 0, 2, 2, cli_relocate,
     NULL},
    {"config", "[FIELD]", "Show the effective configuration and where each value comes from", 0, 0,
     1, cli_config, NULL},
    {"version", "", "Show the version of the library and of what it is made of", 0, 0, 0,
     cli_version, NULL},
    {"cache", "get SOURCE | list | trim", "Download to the cache without a record", 0, 0,
     UINT32_MAX, NULL, "the download cache is not available in this release"},
    {"convert", "KEY-OR-PATH", "Convert a model to another format", 0, 0, UINT32_MAX, NULL,
     "conversion is not available in this release"},
    {"verify", "KEY | --all", "Hash a model again and compare", 0, 0, UINT32_MAX, NULL,
     "verification of installed models is not available in this release"},
    {NULL, NULL, NULL, 0, 0, 0, NULL, NULL}};

int main(int argc, char **argv)
{
    struct cli cli = {0};
    int done = 0;
    int status;

    // Character widths for the tables; numbers stay independent of the locale.
    if (setlocale(LC_CTYPE, "C.UTF-8") == NULL) {
        setlocale(LC_CTYPE, "");
    }
    cli_signals_start();
    status = cli_parse(&cli, argc, argv, commands, &done);
    if (!done) {
        if (!cli.quiet) {
            mmgr_set_log(MMGR_LOG_WARNING, cli_log, &cli);
        }
        status = cli.command->run(&cli);
        mmgr_set_log(MMGR_LOG_OFF, NULL, NULL);
    }
    status = cli_finish(&cli, status);
    cli_free(&cli);
    return status;
}
