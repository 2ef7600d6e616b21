#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "master/state.h"

/*
 * Agents that do not answer.
 *
 * Silence is measured by pings (agent.c), absence after a failover of the master by one timer for
 * all agents that were known. Either way an agent is given up at once, or, when the rate of
 * removals is limited, in its turn, and an answer before that saves it. What a network has cut off
 * in one piece is then lost slowly, and somebody can look first.
 */

void removal_cancel(struct master_core *core, struct agent *a)
{
    if (list_empty(&a->removal_node))
        return;
    list_remove(&a->removal_node);
    core->stats.slave_unreachable_canceled++;
}

static void removal_complete(struct master_core *core, struct agent *a)
{
    list_remove(&a->removal_node);
    core->stats.slave_unreachable_completed++;
    if (a->state == AGENT_RECOVERED)
        core->stats.recovery_slave_removals++;
    else
        core->stats.slave_removals_unhealthy++;
    agent_mark_unreachable(core, a);
}

void removal_schedule(struct master_core *core, struct agent *a)
{
    if (!list_empty(&a->removal_node))
        return;
    core->stats.slave_unreachable_scheduled++;
    if (core->config.agent_removal_interval_us <= 0) {
        removal_complete(core, a);
        return;
    }
    list_push(&core->removals, &a->removal_node);
    if (!heap_contains(&core->removal_timer.node))
        core_timer_start(core, &core->removal_timer, MAX(core->now, core->next_removal_us));
}

static void removal_due(struct master_core *core, struct core_timer *t, int64_t now_us)
{
    struct agent *a = list_first(&core->removals, struct agent, removal_node);
    if (!a)
        return; /* all of them answered */
    core->next_removal_us = now_us + core->config.agent_removal_interval_us;
    removal_complete(core, a);
    if (!list_empty(&core->removals))
        core_timer_start(core, t, core->next_removal_us);
}

/* ---- after a failover ---- */

static void absence_due(struct master_core *core, struct core_timer *t, int64_t now_us)
{
    size_t missing = core->n_recovered;
    if (missing * 100 > core->n_known_at_start * core->config.recovery_agent_removal_limit) {
        core->failure = "more agents than recovery_agent_removal_limit allows did not come back";
        return;
    }
    MAP_FOREACH (e, &core->agents) {
        struct agent *a = e->value;
        if (a->state == AGENT_RECOVERED)
            removal_schedule(core, a);
    }
}

const char *master_core_failure(const struct master_core *core)
{
    return core->failure;
}

/* ---- forgetting ---- */

struct old {
    int64_t since_us;
    const char *id;
};

static int by_age(const void *a, const void *b)
{
    const struct old *x = a, *y = b;
    if (x->since_us != y->since_us)
        return x->since_us < y->since_us ? -1 : 1;
    return strcmp(x->id, y->id);
}

/* Calls `forget` for all but the newest registry_max_agent_count, and for those that are too old.
 */
static void prune(struct master_core *core, struct old *list, size_t n,
    void (*forget)(struct master_core *core, const char *id))
{
    if (n == 0)
        return;
    qsort(list, n, sizeof(*list), by_age);
    size_t max = core->config.registry_max_agent_count;
    int64_t oldest = core->now - core->config.registry_max_agent_age_us;
    for (size_t i = 0; i < n; i++)
        if (n - i > max || list[i].since_us < oldest)
            forget(core, list[i].id);
}

static void forget_lost(struct master_core *core, const char *id)
{
    registry_delete_agent(core, id);
    free(map_remove(&core->lost, id));
}

static void forget_gone(struct master_core *core, const char *id)
{
    registry_delete_gone_agent(core, id);
    free(map_remove(&core->gone, id));
}

static void gc_due(struct master_core *core, struct core_timer *t, int64_t now_us)
{
    VEC(struct old) list = {0};
    MAP_FOREACH (e, &core->lost) {
        const struct lost_agent *l = e->value;
        struct old o = {l->unreachable_us, l->id};
        vec_push(&list, o);
    }
    prune(core, list.items, list.n, forget_lost);
    vec_clear(&list);
    MAP_FOREACH (e, &core->gone) {
        const struct gone_agent *g = e->value;
        struct old o = {g->gone_us, g->id};
        vec_push(&list, o);
    }
    prune(core, list.items, list.n, forget_gone);
    vec_done(&list);
    core_timer_start(core, t, now_us + core->config.registry_gc_interval_us);
}

/* ---- fencing ---- */

/*
 * An agent is given up no sooner than agent_ping_timeout * max_agent_ping_timeouts after the master
 * heard from it. The agent counts from when it spoke, which was earlier, and has an eighth of that
 * time left to end its tasks in.
 */
int64_t lease_us(const struct master_core *core)
{
    int64_t silence = core->config.agent_ping_timeout_us * core->config.max_agent_ping_timeouts;
    return silence - silence / 8;
}

/* ---- start ---- */

void loss_init(struct master_core *core)
{
    list_init(&core->removals);
    core->removal_timer.fn = removal_due;
    core->absence_timer.fn = absence_due;
    core->gc_timer.fn = gc_due;
}

void loss_start(struct master_core *core)
{
    core->n_known_at_start = core->n_recovered;
    if (core->n_recovered > 0)
        core_timer_start(
            core, &core->absence_timer, core->now + core->config.agent_reregister_timeout_us);
    core_timer_start(core, &core->gc_timer, core->now + core->config.registry_gc_interval_us);
}
