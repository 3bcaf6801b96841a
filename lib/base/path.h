/* SPDX-License-Identifier: MIT */
/* Paths as text: joining, splitting, and the rules for names that come from outside. */
#ifndef BASE_PATH_H
#define BASE_PATH_H

#include <modelmgr/error.h>

char *mmgr__path_join(const char *folder, const char *name); /* owned; NULL = no memory */
char *mmgr__path_absolute(const char *path); /* against the working folder, "." and ".." folded by text; ~ */
char *mmgr__path_dirname(const char *path);
const char *mmgr__path_basename(const char *path); /* points into path; trailing slashes must be gone */
/* If path is inside folder (both absolute, folded): the part after "folder/", else NULL. */
const char *mmgr__path_inside(const char *path, const char *folder);

/* A relative path from outside (hub, index, archive): components not empty, ".", "..", no backslash,
 * colon-drive, NUL or control character, valid UTF-8, component <= 255 bytes, whole <= 4096.
 * UNSAFE_PATH otherwise, naming the path. */
enum mmgr_result mmgr__path_check_relative(const char *path);
/* The same for one component. */
enum mmgr_result mmgr__path_check_component(const char *name);
/* Reduce any text to one portable file name: never empty, never "." or "..", no separators, control or
 * reserved characters (< > : " | ? *), no trailing dot or blank, no Windows device name, <= 200 bytes.
 * Owned; NULL = no memory. */
char *mmgr__path_portable_name(const char *text);

#endif
