#include "executor/checks_core.h"

static int64_t add(int64_t a, int64_t b)
{
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

void check_core_init(struct check_core *c, const struct check_config *config)
{
    *c = (struct check_core){.config = *config, .initial = true};
}

void check_core_start(struct check_core *c, int64_t now_us)
{
    c->state = CHECK_WAITING;
    c->started_us = now_us;
    c->deadline_us = add(now_us, c->config.delay_us);
}

void check_core_stop(struct check_core *c)
{
    c->state = CHECK_STOPPED;
}

unsigned check_core_tick(struct check_core *c, int64_t now_us)
{
    if (now_us < check_core_next_deadline(c))
        return 0;
    if (c->state == CHECK_WAITING) {
        c->state = CHECK_RUNNING;
        c->deadline_us = c->config.timeout_us > 0 ? add(now_us, c->config.timeout_us) : INT64_MAX;
        return CHECK_ACTION_START;
    }
    if (c->state == CHECK_RUNNING && c->deadline_us != INT64_MAX) {
        c->deadline_us = INT64_MAX; /* once */
        return CHECK_ACTION_TIMEOUT;
    }
    return 0;
}

int64_t check_core_next_deadline(const struct check_core *c)
{
    return c->state == CHECK_WAITING || c->state == CHECK_RUNNING ? c->deadline_us : INT64_MAX;
}

static bool finish(struct check_core *c, int64_t now_us)
{
    if (c->state != CHECK_RUNNING)
        return false;
    c->state = CHECK_WAITING;
    c->deadline_us = add(now_us, c->config.interval_us);
    return true;
}

unsigned check_core_health(struct check_core *c, bool healthy, int64_t now_us)
{
    if (!finish(c, now_us))
        return 0;
    if (healthy) {
        bool tell = c->initial || c->failures > 0;
        c->initial = false;
        c->failures = 0;
        return tell ? CHECK_ACTION_UPDATE : 0;
    }
    if (c->initial && c->config.grace_us > 0 && now_us <= add(c->started_us, c->config.grace_us))
        return 0;
    c->initial = false;
    c->failures++;
    unsigned actions = CHECK_ACTION_UPDATE;
    if (c->failures >= MAX(c->config.consecutive_failures, 1u)) {
        c->state = CHECK_STOPPED;
        actions |= CHECK_ACTION_KILL;
    }
    return actions;
}

unsigned check_core_value(struct check_core *c, int64_t value, int64_t now_us)
{
    if (!finish(c, now_us))
        return 0;
    /* What is told before the first result is the empty one. */
    int64_t before = c->has_value ? c->value : CHECK_VALUE_NONE;
    c->has_value = true;
    c->value = value;
    return value != before ? CHECK_ACTION_UPDATE : 0;
}

void check_core_transient(struct check_core *c, int64_t now_us)
{
    finish(c, now_us);
}
