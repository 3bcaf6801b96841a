/* SPDX-License-Identifier: MIT */
/* What probe and load need of model files beyond the public view: the files themselves, opened
 * without ever leaving the model's folder, and the folder's configs. */
#ifndef FORMAT_FORMAT_H
#define FORMAT_FORMAT_H

#include <modelmgr/checkpoint.h>
#include <modelmgr/error.h>
#include <stddef.h>

#include "base/json.h"
#include "base/text.h"

/* --- an opened folder
 * ------------------------------------------------------------------------------ */

struct mmgr__folder;
/* PATH_NOT_FOUND, PERMISSION, INVALID_FILE (not a folder), IO. */
enum mmgr_result mmgr__folder_open(const char *path, struct mmgr__folder **folder);
void mmgr__folder_close(struct mmgr__folder *folder);
const char *mmgr__folder_path(const struct mmgr__folder *folder);
/* Whether the path below the folder is a regular file, reached without symbolic links. */
int mmgr__folder_has(const struct mmgr__folder *folder, const char *path);
/* A JSON object of at most 4 MiB below the folder; *config is NULL when there is no such file.
 * INVALID_FILE (not JSON, not an object, too large, no regular file), UNSAFE_PATH. Owned by the
 * caller. */
enum mmgr_result mmgr__folder_config(struct mmgr__folder *folder, const char *path,
                                     json_t **config);
/* A small text file whole; *text is NULL when there is no such file. Owned by the caller. */
enum mmgr_result mmgr__folder_text(struct mmgr__folder *folder, const char *path, size_t limit,
                                   char **text);
/* Bytes that the two above have read. */
uint64_t mmgr__folder_bytes_read(const struct mmgr__folder *folder);
/* Relative paths of the regular files below the folder, sorted; symbolic links and hidden entries
 * are passed over. At most 8 levels and 100,000 entries, else INVALID_FILE. */
enum mmgr_result mmgr__folder_walk(struct mmgr__folder *folder, struct mmgr__strings *paths);
/* Whether a name ends like a file that holds weights, in whatever format. */
int mmgr__is_weight_name(const char *name);
/* "fp16" of "model.fp16-00001-of-00002.safetensors" into `variant` ("" for none). 0: no weight
 * file. */
int mmgr__weight_variant(const char *name, char *variant, size_t room);

/* --- formats
 * ------------------------------------------------------------------------------------- */

/* Name of the format that the first bytes of a file (or else its name) show, such as "GGUF", or
 * NULL. For formats other than safetensors only. */
const char *mmgr__foreign_format(const unsigned char *head, size_t bytes, const char *name);
/* A text from a file made safe to show: control and invisible characters escaped, cut. Returns
 * out. */
char *mmgr__display(const char *text, char *out, size_t room);
#define MMGR__DISPLAY_ROOM 160

enum mmgr_dtype mmgr__dtype_parse(const char *name, size_t length);

/* --- a checkpoint's files
 * -------------------------------------------------------------------------- */

/* Open a weight file for reading, beneath the folder that was opened. INVALID_FILE when it is no
 * longer the file whose header was read. */
enum mmgr_result mmgr__checkpoint_open_file(const mmgr_checkpoint *checkpoint, uint32_t file,
                                            int *fd);
uint64_t mmgr__checkpoint_file_size(const mmgr_checkpoint *checkpoint, uint32_t file);
/* Where the tensors' data begin in a weight file. */
uint64_t mmgr__checkpoint_data_offset(const mmgr_checkpoint *checkpoint, uint32_t file);

#endif
