#include "base/alloc.h"
#include "base/clock.h"
#include "iam/shell.h"

/*
 * Failed logins are counted per name and per address, in a bucket that leaks: guessing gets so many
 * tries a minute, and somebody who mistyped once waits for nothing.
 */

struct limit {
    int64_t level_us; /* each failure adds a minute's share; it runs out with time */
    int64_t at_us;
    char who[];
};

static int64_t level(const struct limit *l, int64_t now)
{
    return MAX(l->level_us - (now - l->at_us), 0);
}

static int64_t share(const struct iam *s)
{
    return 60 * USEC_PER_SEC / MAX(s->options.login_failures, 1);
}

bool limit_reached(struct iam *s, const char *who)
{
    const struct limit *l = map_get(&s->limits, who);
    /* Whether another failure would be one too many. */
    return l && level(l, clock_monotonic_us()) + share(s) > 60 * USEC_PER_SEC;
}

/* Those that ran out are of no use; when none did, the oldest goes. */
static void make_room(struct iam *s, int64_t now)
{
    MAP_FOREACH (e, &s->limits) {
        struct limit *l = e->value;
        if (level(l, now) > 0 && map_size(&s->limits) < LIMITS_MAX)
            break;
        map_remove(&s->limits, l->who);
        free(l);
    }
}

void limit_count(struct iam *s, const char *who)
{
    int64_t now = clock_monotonic_us();
    struct limit *l = map_get(&s->limits, who);
    if (!l) {
        make_room(s, now);
        l = xcalloc(1, sizeof(*l) + strlen(who) + 1);
        memcpy(l->who, who, strlen(who) + 1);
        map_put(&s->limits, l->who, l);
    }
    l->level_us = level(l, now) + share(s);
    l->at_us = now;
}

void limit_done(struct iam *s)
{
    MAP_FOREACH (e, &s->limits)
        free(e->value);
    map_done(&s->limits);
}
