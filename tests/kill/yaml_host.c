/* SPDX-License-Identifier: MIT */
/* Adds one record to a YAML store and says how that ended: yaml_host PATH KEY. With a third argument it is the
 * planted bug: it writes into the file in place, as the library must not. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <modelmgr/modelmgr.h>

static enum mmgr_result add(const char *path, const char *key)
{
    struct mmgr_store_options options = {.struct_size = sizeof options, .path = path};
    char json[512];
    mmgr_record *record = NULL;
    mmgr_store *store = NULL;
    enum mmgr_result result;

    snprintf(
        json, sizeof json,
        "{\"key\":\"%s\",\"name\":\"N\",\"type\":\"main\",\"format\":\"diffusers\",\"base\":\"sd-1\","
        "\"path\":\"%s\"}",
        key, key);
    result = mmgr_record_from_json(json, &record);
    if (result == MMGR_OK)
        result = mmgr_store_open(&options, &store);
    if (result == MMGR_OK)
        result = mmgr_store_add(store, record, NULL);
    mmgr_record_unref(record);
    mmgr_store_close(store);
    return result;
}

/* In two halves, so that a kill between them leaves one. */
static int add_in_place(const char *path)
{
    static const char text[] = "modelmgr_store: 1\nmodels:\n  old: {}\n  new: {}\n";
    int fd = open(path, O_WRONLY | O_TRUNC);
    int done = fd >= 0 && pwrite(fd, text, 20, 0) == 20 &&
               pwrite(fd, text + 20, sizeof text - 21, 20) == (ssize_t)sizeof text - 21;

    close(fd);
    return done ? 0 : 1;
}

int main(int argc, char **argv)
{
    enum mmgr_result result;

    if (argc == 4)
        return add_in_place(argv[1]);
    if (argc != 3)
        return 2;
    result = add(argv[1], argv[2]);
    puts(mmgr_result_name(result));
    return result == MMGR_OK ? 0 : 1;
}
