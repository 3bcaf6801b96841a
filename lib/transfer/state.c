/* SPDX-License-Identifier: MIT */
/* The table of job states; every transition of the queue goes through mmgr__job_step(). */
#include "transfer/state.h"

#define TO(state, action)                     \
    {                                         \
        MMGR__JOB_##state, MMGR__ACT_##action \
    }

/* Columns: START, PAUSE, CANCEL, FAIL, PICK, DONE, STOPPED.
 *
 * A job that is idle holds still already, so a pause leaves it idle. Winding states refuse what
 * would undo an end that was asked for. When the last part was in its place before the wish to
 * stop took effect, the job has completed: its files are there. */
static const struct mmgr__job_step table[MMGR__JOB_STATES][MMGR__INPUTS] = {
    [MMGR__JOB_IDLE] = {TO(ENQUEUED, ENQUEUE), TO(IDLE, NONE), TO(CANCELLED, CANCELLED),
                        TO(IDLE, REFUSE), TO(IDLE, REFUSE), TO(IDLE, REFUSE), TO(IDLE, REFUSE)},
    [MMGR__JOB_ENQUEUED] = {TO(ENQUEUED, NONE), TO(PAUSED, PAUSED), TO(CANCELLING, WIND),
                            TO(FAILING, WIND), TO(RUNNING, BEGIN), TO(ENQUEUED, REFUSE),
                            TO(ENQUEUED, REFUSE)},
    [MMGR__JOB_RUNNING] = {TO(RUNNING, NONE), TO(PAUSING, WIND), TO(CANCELLING, WIND),
                           TO(FAILING, WIND), TO(RUNNING, NONE), TO(COMPLETED, COMPLETED),
                           TO(RUNNING, REFUSE)},
    [MMGR__JOB_PAUSING] = {TO(RESTARTING, NONE), TO(PAUSING, NONE), TO(CANCELLING, WIND),
                           TO(FAILING, WIND), TO(PAUSING, REFUSE), TO(COMPLETED, COMPLETED),
                           TO(PAUSED, PAUSED)},
    [MMGR__JOB_RESTARTING] = {TO(RESTARTING, NONE), TO(PAUSING, NONE), TO(CANCELLING, WIND),
                              TO(FAILING, WIND), TO(RESTARTING, REFUSE), TO(COMPLETED, COMPLETED),
                              TO(ENQUEUED, ENQUEUE)},
    [MMGR__JOB_CANCELLING] = {TO(CANCELLING, REFUSE), TO(CANCELLING, REFUSE), TO(CANCELLING, NONE),
                              TO(CANCELLING, NONE), TO(CANCELLING, REFUSE),
                              TO(COMPLETED, COMPLETED), TO(CANCELLED, CANCELLED)},
    [MMGR__JOB_FAILING] = {TO(FAILING, REFUSE), TO(FAILING, REFUSE), TO(FAILING, NONE),
                           TO(FAILING, NONE), TO(FAILING, REFUSE), TO(COMPLETED, COMPLETED),
                           TO(ERROR, ERROR)},
    [MMGR__JOB_PAUSED] = {TO(ENQUEUED, ENQUEUE), TO(PAUSED, NONE), TO(CANCELLING, WIND),
                          TO(FAILING, WIND), TO(PAUSED, REFUSE), TO(PAUSED, REFUSE),
                          TO(PAUSED, REFUSE)},
    [MMGR__JOB_COMPLETED] = {TO(COMPLETED, REFUSE), TO(COMPLETED, REFUSE), TO(COMPLETED, REFUSE),
                             TO(COMPLETED, REFUSE), TO(COMPLETED, REFUSE), TO(COMPLETED, REFUSE),
                             TO(COMPLETED, REFUSE)},
    [MMGR__JOB_ERROR] = {TO(ERROR, REFUSE), TO(ERROR, REFUSE), TO(ERROR, REFUSE), TO(ERROR, REFUSE),
                         TO(ERROR, REFUSE), TO(ERROR, REFUSE), TO(ERROR, REFUSE)},
    [MMGR__JOB_CANCELLED] = {TO(CANCELLED, REFUSE), TO(CANCELLED, REFUSE), TO(CANCELLED, REFUSE),
                             TO(CANCELLED, REFUSE), TO(CANCELLED, REFUSE), TO(CANCELLED, REFUSE),
                             TO(CANCELLED, REFUSE)},
};

struct mmgr__job_step mmgr__job_step(enum mmgr__job_state state, enum mmgr__job_input input)
{
    return table[state][input];
}

enum mmgr_download_status mmgr__job_status_of(enum mmgr__job_state state)
{
    switch (state) {
    case MMGR__JOB_IDLE:
        return MMGR_DOWNLOAD_IDLE;
    case MMGR__JOB_ENQUEUED:
        return MMGR_DOWNLOAD_ENQUEUED;
    case MMGR__JOB_PAUSED:
        return MMGR_DOWNLOAD_PAUSED;
    case MMGR__JOB_COMPLETED:
        return MMGR_DOWNLOAD_COMPLETED;
    case MMGR__JOB_ERROR:
        return MMGR_DOWNLOAD_ERROR;
    case MMGR__JOB_CANCELLED:
        return MMGR_DOWNLOAD_CANCELLED;
    default:
        return MMGR_DOWNLOAD_RUNNING;
    }
}

int mmgr__job_terminal(enum mmgr__job_state state)
{
    return state >= MMGR__JOB_COMPLETED;
}

int mmgr__job_winding(enum mmgr__job_state state)
{
    return state >= MMGR__JOB_PAUSING && state <= MMGR__JOB_FAILING;
}
