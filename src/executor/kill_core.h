#ifndef DCOS_EXECUTOR_KILL_CORE_H
#define DCOS_EXECUTOR_KILL_CORE_H

/*
 * When to send which signal to a task that has to end. Deterministic: no clock, no signals.
 *
 * The first request sends SIGTERM and sets a deadline; the deadline sends SIGKILL. A later request
 * can bring the deadline forward and never back. A grace period of 0 kills at once.
 */

#include "base/macro.h"

enum kill_action {
    KILL_ACTION_NONE,
    KILL_ACTION_TERM,
    KILL_ACTION_KILL,
};

struct kill_core {
    enum { KILL_IDLE, KILL_TERMINATING, KILL_KILLED } state;
    int64_t asked_us;    /* of the first request */
    int64_t deadline_us; /* while terminating */
};

/* Someone wants it dead, with this grace period (negative counts as 0). */
enum kill_action kill_core_request(struct kill_core *k, int64_t grace_us, int64_t now_us);
/* Time passed. */
enum kill_action kill_core_tick(struct kill_core *k, int64_t now_us);
/* INT64_MAX when nothing is waited for. */
int64_t kill_core_next_deadline(const struct kill_core *k);

#endif
