/* SPDX-License-Identifier: MIT */
/* The life of a job as one table: state x input -> next state and what is to be done on the way. */
#ifndef TRANSFER_STATE_H
#define TRANSFER_STATE_H

#include <modelmgr/queue.h>

enum mmgr__job_state {
    MMGR__JOB_IDLE,
    MMGR__JOB_ENQUEUED,
    MMGR__JOB_RUNNING,
    /* Winding down: runners still hold files of the job. Shown to the host as "running". */
    MMGR__JOB_PAUSING,
    MMGR__JOB_RESTARTING, /* paused and started again before it had stopped */
    MMGR__JOB_CANCELLING,
    MMGR__JOB_FAILING,
    MMGR__JOB_PAUSED,
    /* Terminal. */
    MMGR__JOB_COMPLETED,
    MMGR__JOB_ERROR,
    MMGR__JOB_CANCELLED,
    MMGR__JOB_STATES
};

enum mmgr__job_input {
    MMGR__INPUT_START,   /* command */
    MMGR__INPUT_PAUSE,   /* command, or a handler's decision */
    MMGR__INPUT_CANCEL,  /* command, or a handler's decision */
    MMGR__INPUT_FAIL,    /* a part failed, or a handler's decision */
    MMGR__INPUT_PICK,    /* a runner takes a part */
    MMGR__INPUT_DONE,    /* the last part is in its place */
    MMGR__INPUT_STOPPED, /* no runner holds a file of the job any more */
    MMGR__INPUTS
};

enum mmgr__job_action {
    MMGR__ACT_NONE,
    MMGR__ACT_REFUSE,    /* MMGR_ERR_STATE, nothing changes */
    MMGR__ACT_ENQUEUE,   /* event enqueued; wake runners */
    MMGR__ACT_BEGIN,     /* sequence number, start time, event running */
    MMGR__ACT_WIND,      /* tell the runners to let go */
    MMGR__ACT_PAUSED,    /* event paused */
    MMGR__ACT_COMPLETED, /* terminal events */
    MMGR__ACT_ERROR,
    MMGR__ACT_CANCELLED
};

struct mmgr__job_step {
    enum mmgr__job_state next;
    enum mmgr__job_action action;
};

struct mmgr__job_step mmgr__job_step(enum mmgr__job_state state, enum mmgr__job_input input);
/* The state as the host sees it. */
enum mmgr_download_status mmgr__job_status_of(enum mmgr__job_state state);
int mmgr__job_terminal(enum mmgr__job_state state);
int mmgr__job_winding(enum mmgr__job_state state);

#endif
