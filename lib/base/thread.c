/* SPDX-License-Identifier: MIT */
/* Clocks, timed waits, threads, random bytes. */
#include "base/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define SECOND 1000000000ll

static int64_t now(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (int64_t)time.tv_sec * SECOND + time.tv_nsec;
}

int64_t mmgr__now_realtime(void)
{
    return now(CLOCK_REALTIME);
}

int64_t mmgr__now_monotonic(void)
{
    return now(CLOCK_MONOTONIC);
}

int mmgr__cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;
    int error = pthread_condattr_init(&attributes);
    if (error != 0)
        return error;
    error = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    if (error == 0)
        error = pthread_cond_init(cond, &attributes);
    pthread_condattr_destroy(&attributes);
    return error;
}

int64_t mmgr__deadline(int64_t timeout_ns)
{
    int64_t deadline;
    if (timeout_ns < 0 || __builtin_add_overflow(mmgr__now_monotonic(), timeout_ns, &deadline))
        return INT64_MAX;
    return deadline;
}

int mmgr__cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t deadline)
{
    if (deadline == INT64_MAX)
        return pthread_cond_wait(cond, mutex);
    struct timespec time = {.tv_sec = deadline / SECOND, .tv_nsec = deadline % SECOND};
    return pthread_cond_timedwait(cond, mutex, &time);
}

int mmgr__thread_start(pthread_t *thread, void *(*run)(void *), void *argument, const char *name)
{
    /* The host's signals are for the host's threads: ours start with all of them blocked. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(thread, NULL, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0) {
        char short_name[16]; /* the kernel's limit */
        snprintf(short_name, sizeof short_name, "%s", name);
        pthread_setname_np(*thread, short_name);
    }
    return error;
}

void mmgr__random(void *data, size_t bytes)
{
    unsigned char *at = data;
    while (bytes > 0) {
        ssize_t got = getrandom(at, bytes, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        at += got;
        bytes -= (size_t)got;
    }
    /* Only under a sandbox that forbids the call. The values name things, they protect nothing. */
    static atomic_uint_fast64_t salt;
    while (bytes > 0) {
        uint64_t mixed = (uint64_t)mmgr__now_realtime() + (uint64_t)(uintptr_t)&mixed +
                         atomic_fetch_add(&salt, 0x9e3779b97f4a7c15u);
        mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
        mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
        size_t step = bytes < sizeof mixed ? bytes : sizeof mixed;
        memcpy(at, &mixed, step);
        at += step;
        bytes -= step;
    }
}

void mmgr__random_hex(char *text, size_t digits)
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < digits; i += 64) {
        unsigned char bytes[32];
        mmgr__random(bytes, sizeof bytes);
        for (size_t k = 0; k < 64 && i + k < digits; k++)
            text[i + k] = hex[k % 2 == 0 ? bytes[k / 2] >> 4 : bytes[k / 2] & 15];
    }
    text[digits] = '\0';
}

void mmgr__format_time(int64_t ns, char text[32])
{
    int64_t seconds = ns / SECOND, rest = ns % SECOND;
    if (rest < 0) {
        seconds--;
        rest += SECOND;
    }
    time_t time = (time_t)seconds;
    struct tm tm;
    if (gmtime_r(&time, &tm) == NULL)
        memset(&tm, 0, sizeof tm);
    /* int64 nanoseconds reach from 1677 to 2262, so four digits hold the year. */
    snprintf(text, 32, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
             (unsigned)(tm.tm_year + 1900) % 10000u, (unsigned)(tm.tm_mon + 1) % 100u,
             (unsigned)tm.tm_mday % 100u, (unsigned)tm.tm_hour % 100u, (unsigned)tm.tm_min % 100u,
             (unsigned)tm.tm_sec % 100u, (unsigned)(rest / 1000000) % 1000u);
}
