/* SPDX-License-Identifier: MIT */
/* Telling a host that others have changed the records. The kernel wakes the thread when something happens to
 * the store's files, so that an idle store costs nothing; where it cannot (network file systems, no inotify
 * left), the thread looks once a second. Whether records changed is then asked of the back end. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/log.h"
#include "base/path.h"
#include "base/thread.h"
#include "store/store_private.h"

#define LOOK_MS 1000

/* A writer touches its log before others can see the commit, by as long as a sync takes; so after the last
 * sign of life the thread looks again after each of these. */
static const int delays_ms[] = {2, 10, 50, 200, 1000, 4000};
#define DELAYS (sizeof delays_ms / sizeof delays_ms[0])

struct mmgr__store_watch {
    mmgr_store *store;
    char *folder;
    const char *name; /* of the store's file; its helpers begin with it */
    pthread_t thread;
    int stop, files; /* descriptors; files -1: only by looking */
};

/* Take the waiting events; 1 when one is about the store, or when some were lost. *gone: no more will come,
 * because the folder is no longer there under its name. */
static int concerns_store(const struct mmgr__store_watch *watch, int *gone)
{
    char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    int found = 0;
    ssize_t got;

    while ((got = read(watch->files, events, sizeof events)) > 0) {
        for (ssize_t at = 0; at < got;) {
            const struct inotify_event *event = (const struct inotify_event *)(events + at);

            *gone |= (event->mask & (IN_IGNORED | IN_MOVE_SELF)) != 0;
            found |= (event->mask & (IN_Q_OVERFLOW | IN_IGNORED | IN_MOVE_SELF)) != 0 ||
                     (event->len > 0 &&
                      strncmp(event->name, watch->name, strlen(watch->name)) == 0);
            at += (ssize_t)(sizeof *event + event->len);
        }
    }
    return found;
}

/* 1 when others have changed records; the event is then sent. */
static int look(mmgr_store *store)
{
    enum mmgr_result result;
    int changed = 0;

    mmgr__store_lock(store);
    result = mmgr__store_poll(store, &changed);
    if (result == MMGR_OK && changed)
        mmgr__store_send(store, MMGR_EVENT_STORE_CHANGED, NULL);
    mmgr__store_unlock(store);
    if (result != MMGR_OK)
        mmgr__log(MMGR_LOG_WARNING, "store", "cannot look for changes: %s",
                  mmgr_error_message(mmgr_last_error()));
    return changed;
}

static void *run(void *argument)
{
    struct mmgr__store_watch *watch = argument;
    struct pollfd fds[] = {{watch->stop, POLLIN, 0}, {watch->files, POLLIN, 0}};
    size_t next = DELAYS; /* of the delays: the one that comes next; DELAYS: nothing is expected */

    for (;;) {
        int wait = next < DELAYS ? delays_ms[next] : fds[1].fd >= 0 ? -1 : LOOK_MS;
        int ready = poll(fds, 2, wait);

        if (fds[0].revents != 0 || (ready < 0 && errno != EINTR))
            return NULL;
        if (ready > 0 && fds[1].revents != 0) {
            int gone = 0;

            if (concerns_store(watch, &gone))
                next = 0;
            /* Another folder may come to stand in its place. */
            if (gone)
                fds[1].fd = -1;
            continue;
        }
        if (ready == 0) {
            look(watch->store);
            next += next < DELAYS;
        }
    }
}

/* The folder is watched, not the file: the log comes and goes, and a save replaces the file. */
static int watch_folder(const struct mmgr__store_watch *watch)
{
    const uint32_t mask = IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE |
                          IN_MOVE_SELF | IN_ONLYDIR;
    int fd;

    if (mmgr__store_on_network(watch->folder))
        return -1;
    fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd >= 0 && inotify_add_watch(fd, watch->folder, mask) < 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static void free_watch(struct mmgr__store_watch *watch)
{
    if (watch->files >= 0)
        close(watch->files);
    if (watch->stop >= 0)
        close(watch->stop);
    mmgr__free(watch->folder);
    mmgr__free(watch);
}

enum mmgr_result mmgr__store_watch_start(mmgr_store *store)
{
    const char *path = store->ops->path(store->self);
    struct mmgr__store_watch *made;
    int changed, error;
    enum mmgr_result result;

    if (path == NULL)
        return MMGR_OK;
    made = mmgr__alloc0(1, sizeof *made);
    if (made == NULL)
        return mmgr__oom();
    *made = (struct mmgr__store_watch){.store = store, .files = -1, .stop = -1};
    made->name = mmgr__path_basename(path);
    made->folder = mmgr__path_dirname(path);
    result = made->folder != NULL ? MMGR_OK : mmgr__oom();
    if (result == MMGR_OK && (made->stop = eventfd(0, EFD_CLOEXEC)) < 0)
        result = mmgr__fail_errno(errno, "watch", path);
    if (result == MMGR_OK) {
        made->files = watch_folder(made);
        /* From here on everything is seen, and the back end counts from now. */
        result = mmgr__store_poll(store, &changed);
    }
    if (result == MMGR_OK) {
        error = mmgr__thread_start(&made->thread, run, made, "mmgr-store");
        if (error != 0)
            result = mmgr__fail_errno(error < 0 ? -error : error, "start a thread for", path);
    }
    if (result != MMGR_OK) {
        free_watch(made);
        return result;
    }
    store->watch = made;
    return MMGR_OK;
}

void mmgr__store_watch_stop(mmgr_store *store)
{
    if (store->watch == NULL)
        return;
    eventfd_write(store->watch->stop, 1);
    pthread_join(store->watch->thread, NULL);
    free_watch(store->watch);
    store->watch = NULL;
}
