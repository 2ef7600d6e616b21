#include "executor/kill_core.h"

static int64_t add(int64_t a, int64_t b)
{
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

enum kill_action kill_core_request(struct kill_core *k, int64_t grace_us, int64_t now_us)
{
    if (k->state == KILL_KILLED)
        return KILL_ACTION_NONE;
    if (grace_us < 0)
        grace_us = 0;
    bool first = k->state == KILL_IDLE;
    if (first) {
        k->state = KILL_TERMINATING;
        k->asked_us = now_us;
        k->deadline_us = INT64_MAX;
    }
    /* Counted from the first request: asking again does not give more time. */
    k->deadline_us = MIN(k->deadline_us, add(k->asked_us, grace_us));
    enum kill_action due = kill_core_tick(k, now_us);
    return due != KILL_ACTION_NONE ? due : first ? KILL_ACTION_TERM : KILL_ACTION_NONE;
}

enum kill_action kill_core_tick(struct kill_core *k, int64_t now_us)
{
    if (k->state != KILL_TERMINATING || now_us < k->deadline_us)
        return KILL_ACTION_NONE;
    k->state = KILL_KILLED;
    return KILL_ACTION_KILL;
}

int64_t kill_core_next_deadline(const struct kill_core *k)
{
    return k->state == KILL_TERMINATING ? k->deadline_us : INT64_MAX;
}
