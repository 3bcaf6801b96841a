/* SPDX-License-Identifier: MIT */
/* The process-wide log hook. */
#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/error.h"
#include "base/text.h"

/* The level alone is read without the lock, so that lines nobody wants cost one load. */
static atomic_int wanted = MMGR_LOG_OFF;
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static mmgr_log_fn hook;
static void *hook_user;

void mmgr_set_log(enum mmgr_log_level level, mmgr_log_fn fn, void *user)
{
    pthread_mutex_lock(&guard);
    hook = fn;
    hook_user = user;
    atomic_store(&wanted, fn != NULL ? (int)level : MMGR_LOG_OFF);
    pthread_mutex_unlock(&guard);
}

void mmgr__log(enum mmgr_log_level level, const char *component, const char *format, ...)
{
    if ((int)level > atomic_load_explicit(&wanted, memory_order_relaxed))
        return;
    pthread_mutex_lock(&guard);
    mmgr_log_fn fn = hook;
    void *user = hook_user;
    pthread_mutex_unlock(&guard);
    if (fn == NULL)
        return;
    char line[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    mmgr__redact(line);
    mmgr__text_one_line(line);
    fn(level, component, line, user);
}
