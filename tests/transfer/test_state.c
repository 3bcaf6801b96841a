/* SPDX-License-Identifier: MIT */
/* The state table: every cell against a second statement of it, and the rules that hold for all of
 * it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "transfer/state.h"

/* One line a state, one word an input: START PAUSE CANCEL FAIL PICK DONE STOPPED. A word is the
 * next state and, after a dot, the action; "-" refuses. */
static const char *const golden[MMGR__JOB_STATES] = {
    [MMGR__JOB_IDLE] = "enqueued.enqueue idle cancelled.cancelled - - - -",
    [MMGR__JOB_ENQUEUED] = "enqueued paused.paused cancelling.wind failing.wind running.begin - -",
    [MMGR__JOB_RUNNING] =
        "running pausing.wind cancelling.wind failing.wind running completed.completed -",
    [MMGR__JOB_PAUSING] =
        "restarting pausing cancelling.wind failing.wind - completed.completed paused.paused",
    [MMGR__JOB_RESTARTING] =
        "restarting pausing cancelling.wind failing.wind - completed.completed enqueued.enqueue",
    [MMGR__JOB_CANCELLING] = "- - cancelling cancelling - completed.completed cancelled.cancelled",
    [MMGR__JOB_FAILING] = "- - failing failing - completed.completed error.error",
    [MMGR__JOB_PAUSED] = "enqueued.enqueue paused cancelling.wind failing.wind - - -",
    [MMGR__JOB_COMPLETED] = "- - - - - - -",
    [MMGR__JOB_ERROR] = "- - - - - - -",
    [MMGR__JOB_CANCELLED] = "- - - - - - -",
};
static const char *const states[MMGR__JOB_STATES] = {
    "idle",    "enqueued", "running",   "pausing", "restarting", "cancelling",
    "failing", "paused",   "completed", "error",   "cancelled"};
static const char *const actions[] = {"",       "-",         "enqueue", "begin",    "wind",
                                      "paused", "completed", "error",   "cancelled"};

static void every_cell(void **unused)
{
    (void)unused;
    for (int state = 0; state < MMGR__JOB_STATES; state++) {
        const char *at = golden[state];
        for (int input = 0; input < MMGR__INPUTS; input++) {
            struct mmgr__job_step step =
                mmgr__job_step((enum mmgr__job_state)state, (enum mmgr__job_input)input);
            char word[64];
            size_t length = strcspn(at, " ");
            if (step.action == MMGR__ACT_REFUSE)
                snprintf(word, sizeof word, "-");
            else
                snprintf(word, sizeof word, "%s%s%s", states[step.next],
                         step.action == MMGR__ACT_NONE ? "" : ".", actions[step.action]);
            if (strlen(word) != length || strncmp(word, at, length) != 0)
                print_message("%s x %d: %s\n", states[state], input, word);
            assert_int_equal(strlen(word), length);
            assert_int_equal(strncmp(word, at, length), 0);
            at += length + strspn(at + length, " ");
        }
        assert_string_equal(at, "");
    }
}

/* Rules that a wrong cell would break even if the table above repeated the mistake. */
static void rules(void **unused)
{
    (void)unused;
    for (int s = 0; s < MMGR__JOB_STATES; s++) {
        enum mmgr__job_state state = (enum mmgr__job_state)s;
        for (int i = 0; i < MMGR__INPUTS; i++) {
            struct mmgr__job_step step = mmgr__job_step(state, (enum mmgr__job_input)i);
            int ends = !mmgr__job_terminal(state) && mmgr__job_terminal(step.next);
            int says_end = step.action == MMGR__ACT_COMPLETED || step.action == MMGR__ACT_ERROR ||
                           step.action == MMGR__ACT_CANCELLED;
            assert_int_equal(ends, says_end); /* one terminal event, exactly at the end */
            if (mmgr__job_terminal(state) || step.action == MMGR__ACT_REFUSE)
                assert_int_equal(step.next, state);
            if (step.action == MMGR__ACT_WIND)
                assert_true(mmgr__job_winding(step.next));
            if (step.next == MMGR__JOB_PAUSED && state != MMGR__JOB_PAUSED)
                assert_int_equal(step.action, MMGR__ACT_PAUSED);
            if (step.next == MMGR__JOB_ENQUEUED && state != MMGR__JOB_ENQUEUED)
                assert_int_equal(step.action, MMGR__ACT_ENQUEUE);
        }
        /* A job that winds down always gets out of it. */
        if (mmgr__job_winding(state))
            assert_false(mmgr__job_winding(mmgr__job_step(state, MMGR__INPUT_STOPPED).next));
    }
}

static void shown_states(void **unused)
{
    (void)unused;
    static const char *const shown[MMGR__JOB_STATES] = {
        "idle",    "enqueued", "running",   "running", "running",  "running",
        "running", "paused",   "completed", "error",   "cancelled"};
    for (int s = 0; s < MMGR__JOB_STATES; s++)
        assert_string_equal(mmgr_download_status_name(mmgr__job_status_of((enum mmgr__job_state)s)),
                            shown[s]);
    assert_null(mmgr_download_status_name((enum mmgr_download_status)7));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cell),
        cmocka_unit_test(rules),
        cmocka_unit_test(shown_states),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
