/* SPDX-License-Identifier: MIT */
/* Helpers of the format and probe tests: a temporary folder, small files, the model maker. */
#ifndef TEST_FILES_H
#define TEST_FILES_H

#include <stddef.h>
#include <stdint.h>

/* A fresh folder below $TMPDIR, removed with everything in it by drop_folder(). */
char *make_folder(void);
void drop_folder(char *folder);
/* "folder/name" in one of a few static buffers. */
const char *at(const char *folder, const char *name);
void put_file(const char *path, const void *data, size_t bytes);
void put_text(const char *path, const char *text);
void make_dir(const char *path);
/* A safetensors file from header text; the data are a hole of data_bytes. */
void put_safetensors(const char *path, const char *json, uint64_t data_bytes);
/* Run tests/models/make_model.py with these arguments. */
void make_model(const char *arguments);

#endif
