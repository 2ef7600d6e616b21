/*
 * The Restart action: instances of the new version replace the old ones, never fewer than
 * minimumHealthCapacity healthy, never more than maximumOverCapacity in all. Old ones are killed
 * up to a quota: what may go at once, plus one for every new instance that became healthy and
 * ready.
 */

#include "marathon/upgrade.h"

#include <math.h>

#include "base/str.h"
#include "marathon/core_internal.h"

#define ROUNDING 1e-9 /* 10 * 0.3 is 3, not 2.9999 or 3.0001 */

struct upgrade_limits upgrade_limits(const struct upgrade_input *in)
{
    struct upgrade_limits l;
    l.min_healthy = (int32_t)ceil(in->target * in->min_health - ROUNDING);
    l.max_capacity = (int32_t)floor(in->target * (1 + in->over_capacity) + ROUNDING);
    l.kill_now = MAX(0, in->healthy - l.min_healthy);
    /* No room to kill first and none to start first: one more makes the first step possible. */
    if (l.min_healthy == l.max_capacity && l.max_capacity <= in->healthy)
        l.max_capacity++;
    if (in->target < in->total)
        l.kill_now = MAX(in->total - in->target, l.kill_now);
    return l;
}

int32_t upgrade_startable(int32_t target, int32_t started, int32_t old_active, int32_t max_capacity)
{
    return MAX(0, MIN(target - started, max_capacity - old_active - started));
}

struct census {
    struct instance **old, **fresh; /* with goal running */
    size_t n_old, n_fresh;
    int32_t old_active, healthy, fresh_good, fresh_bad;
};

static void take_census(struct core *c, struct spec *s, struct census *k)
{
    size_t total = map_size(&s->instances);
    int64_t version = s->app->version_us;
    k->old = xnew_array(struct instance *, total + 1);
    k->fresh = xnew_array(struct instance *, total + 1);
    MAP_FOREACH (e, &s->instances) {
        struct instance *i = e->value;
        bool is_new = i->app && i->app->version_us == version;
        if (!is_new && i->goal == GOAL_RUNNING && instance_is_gone(i)) {
            instance_set_goal(c, i, GOAL_DECOMMISSIONED); /* forgets it */
            continue;
        }
        if (!is_new && !instance_is_gone(i) && i->condition != CONDITION_SCHEDULED)
            k->old_active++;
        if (i->goal != GOAL_RUNNING)
            continue;
        bool good = instance_is_healthy(i) && instance_is_ready(i);
        k->healthy += instance_is_healthy(i);
        if (is_new) {
            k->fresh[k->n_fresh++] = i;
            k->fresh_good += good;
            k->fresh_bad += !good;
        } else {
            k->old[k->n_old++] = i;
        }
    }
}

static void kill_old(struct core *c, struct census *k, size_t n)
{
    for (int pass = 0; pass < 2; pass++)
        for (size_t j = 0; j < k->n_old && n > 0; j++) {
            struct instance *i = k->old[j];
            if (!i || instance_is_healthy(i) != (pass == 1))
                continue;
            bool active = i->condition != CONDITION_SCHEDULED;
            k->old[j] = NULL;
            instance_set_goal(c, i, GOAL_DECOMMISSIONED);
            if (!active)
                continue; /* it was not running: costs no health */
            n--;
        }
}

bool restart_step(struct core *c, struct deployment *d, struct action *a)
{
    struct spec *s = a->entry->spec;
    const struct app *app = s->app;
    struct census k = {0};
    int32_t target = app->instances;
    take_census(c, s, &k);
    if (!a->begun) {
        struct upgrade_input in = {
            target, (int32_t)(k.n_old + k.n_fresh), k.healthy, app->min_health, app->over_capacity};
        struct upgrade_limits l = upgrade_limits(&in);
        a->begun = true;
        a->kill_quota = l.kill_now;
        a->max_capacity = l.max_capacity;
        s->delay_us = s->delay_until_us = 0;
        for (size_t j = 0; j < k.n_fresh; j++)
            k.fresh[j]->counted = instance_is_healthy(k.fresh[j]) && instance_is_ready(k.fresh[j]);
    }
    for (size_t j = 0; j < k.n_fresh; j++) {
        struct instance *i = k.fresh[j];
        if (!i->counted && instance_is_healthy(i) && instance_is_ready(i)) {
            i->counted = true;
            a->kill_quota++;
        }
    }
    int32_t surplus = (int32_t)k.n_fresh - target;
    for (size_t j = k.n_fresh; j > 0 && surplus > 0; j--, surplus--)
        instance_set_goal(c, k.fresh[j - 1], GOAL_DECOMMISSIONED);
    int32_t started = (int32_t)k.n_fresh;
    int32_t may_start = upgrade_startable(target, started, k.old_active, a->max_capacity);
    int32_t kills = MIN(a->kill_quota - a->killed, (int32_t)k.n_old);
    /* Nothing may start and nothing may go: sick old ones hold the room and give nothing for it. */
    bool being_killed = k.old_active > (int32_t)k.n_old;
    if (kills <= 0 && may_start == 0 && started < target && k.fresh_bad == 0 && !being_killed)
        for (size_t j = 0; j < k.n_old && kills <= 0; j++)
            if (!instance_is_healthy(k.old[j])) {
                a->kill_quota = a->killed + 1;
                kills = 1;
            }
    if (kills > 0) {
        a->killed += kills;
        kill_old(c, &k, (size_t)kills);
    }
    for (; may_start > 0; may_start--)
        instance_new(c, s, s->app, d->id);
    bool done = k.fresh_good == target && (int32_t)k.n_fresh == target && k.old_active == 0 &&
                k.n_old == 0;
    free(k.old);
    free(k.fresh);
    return done;
}
