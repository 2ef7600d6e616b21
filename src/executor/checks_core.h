#ifndef DCOS_EXECUTOR_CHECKS_CORE_H
#define DCOS_EXECUTOR_CHECKS_CORE_H

/*
 * When to check a task and what a result means. Deterministic: time comes in, actions come out;
 * who performs a check reports its result.
 *
 * The first check comes after the delay, each other one an interval after the end of the one
 * before. A health check tells on each failure that counts, on the first success and on recovery;
 * failures during the grace period, before any success, do not count; so many in a row end the
 * task. A general check tells when its result changes.
 */

#include "base/macro.h"

struct check_config {
    bool health;
    int64_t delay_us, interval_us;
    int64_t timeout_us;            /* 0 = none */
    int64_t grace_us;              /* health */
    uint32_t consecutive_failures; /* health; 0 counts as 1 */
};

struct check_core {
    struct check_config config;
    enum { CHECK_STOPPED, CHECK_WAITING, CHECK_RUNNING } state;
    int64_t started_us;  /* when checking began: the grace period counts from here */
    int64_t deadline_us; /* waiting: next start; running: timeout */
    bool initial;        /* health: neither success nor failure counted yet */
    uint32_t failures;   /* health: in a row */
    bool has_value;
    int64_t value; /* check: last result told; CHECK_VALUE_NONE = hard failure */
};

/* Result of a general check that gave none: timeout, or could not be performed. */
#define CHECK_VALUE_NONE INT64_MIN

enum check_action {
    CHECK_ACTION_START = 1 << 0,   /* perform the check */
    CHECK_ACTION_TIMEOUT = 1 << 1, /* stop performing; then report a result */
    CHECK_ACTION_UPDATE = 1 << 2,  /* tell: health as `healthy`, check as `value` */
    CHECK_ACTION_KILL = 1 << 3,    /* too many failures */
};

void check_core_init(struct check_core *c, const struct check_config *config);
void check_core_start(struct check_core *c, int64_t now_us);
void check_core_stop(struct check_core *c); /* for good: the task is being killed */
unsigned check_core_tick(struct check_core *c, int64_t now_us);
int64_t check_core_next_deadline(const struct check_core *c); /* INT64_MAX = none */
/* A health check ended. Stale results (not running) are ignored. */
unsigned check_core_health(struct check_core *c, bool healthy, int64_t now_us);
/* A general check ended: exit code, HTTP status, or 0/1 for TCP. */
unsigned check_core_value(struct check_core *c, int64_t value, int64_t now_us);
/* Could not be tried for a reason that will pass: as if it had not happened. */
void check_core_transient(struct check_core *c, int64_t now_us);

#endif
