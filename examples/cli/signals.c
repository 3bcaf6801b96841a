/* SPDX-License-Identifier: MIT */
/* Signals: the handlers belong to the tool, since the library touches none. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "cli.h"

static int wake[2] = {-1, -1};
static volatile sig_atomic_t hold;
static volatile sig_atomic_t caught;

static void on_signal(int number)
{
    int error = errno;

    // The second one, or one that finds nothing to be kept, ends the program at once.
    if (!hold || caught != 0) {
        _exit(128 + number);
    }
    caught = number;
    if (write(wake[1], "", 1) < 0) {
        _exit(128 + number);
    }
    errno = error;
}

void cli_signals_start(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGINT);
    sigaddset(&action.sa_mask, SIGTERM);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    // A reader that leaves shows as a failed write, which is handled at the end.
    sigaction(SIGPIPE, &ignore, NULL);
}

int cli_signals_hold(void)
{
    if (wake[0] < 0 && pipe2(wake, O_CLOEXEC | O_NONBLOCK) != 0) {
        return -1;
    }
    hold = 1;
    return wake[0];
}

void cli_signals_release(void)
{
    hold = 0;
}

int cli_signals_caught(void)
{
    return caught;
}
