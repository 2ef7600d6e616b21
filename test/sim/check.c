/* Invariants. */

#include <inttypes.h>

#include "master/core.h"
#include "world.h"

static int64_t used(const struct sim_agent *a, const char *name)
{
    double sum = 0;
    MAP_FOREACH (e, &a->tasks) {
        const struct sim_task *t = e->value;
        if (!t->alive)
            continue;
        for (size_t i = 0; i < t->info->n_resources; i++)
            if (streq(t->info->resources[i]->name, name))
                sum += t->info->resources[i]->scalar->value;
    }
    return (int64_t)(sum * 1000 + 0.5);
}

void check_step(struct world *w)
{
    if (w->core)
        master_core_check(w->core);
    for (unsigned i = 0; i < w->n_agents; i++) {
        const struct sim_agent *a = &w->agents[i];
        if (used(a, "cpus") > a->cpus_milli || used(a, "mem") > a->mem_milli)
            sim_fail(w, "agent %u runs more than it has", i);
    }
}

struct settle {
    struct world *w;
    struct map tasks; /* "framework/task" of the master's view, keys owned */
};

static bool collect(const struct master_task_view *t, void *userdata)
{
    struct settle *s = userdata;
    map_put(&s->tasks, xasprintf("%s/%s", t->framework_id, t->task_id),
        (void *)(uintptr_t)(t->state + 1));
    return true;
}

static struct sim_scheduler *owner(struct world *w, const char *framework_id)
{
    for (unsigned i = 0; i < w->n_schedulers; i++)
        if (w->schedulers[i].framework_id && streq(w->schedulers[i].framework_id, framework_id))
            return &w->schedulers[i];
    return NULL;
}

void check_settled(struct world *w)
{
    struct settle s = {.w = w};
    struct master_counts counts;
    master_core_counts(w->core, &counts);
    if (counts.agents_connected != w->n_agents)
        sim_fail(w, "%zu of %u agents are connected", counts.agents_connected, w->n_agents);
    if (counts.agents_recovered || counts.agents_disconnected)
        sim_fail(w, "agents are still missing: %zu recovered, %zu disconnected",
            counts.agents_recovered, counts.agents_disconnected);
    master_core_each_task(w->core, collect, &s);
    for (unsigned i = 0; i < w->n_agents; i++) {
        const struct sim_agent *a = &w->agents[i];
        if (!a->registered)
            sim_fail(w, "agent %u is not registered", i);
        MAP_FOREACH (e, &a->tasks) {
            const struct sim_task *t = e->value;
            struct sim_scheduler *o = owner(w, t->framework_id);
            if (!o)
                continue; /* a framework that was torn down while nobody remembered: operators end
                             it */
            if (t->updates.n)
                sim_fail(w, "agent %u: update %d of %s was never acknowledged", i,
                    t->updates.items[0].state, t->id);
            if (!map_get(&s.tasks, e->key))
                sim_fail(w, "agent %u runs %s, which the master does not know", i, e->key);
            struct sched_task *st = map_get(&o->tasks, t->id);
            if (!st)
                sim_fail(w, "agent %u runs %s, which its scheduler does not know", i, t->id);
            if (st->done || st->state != MESOS__V1__TASK_STATE__TASK_RUNNING)
                sim_fail(
                    w, "agent %u runs %s, which its scheduler takes for %d", i, t->id, st->state);
        }
    }
    for (unsigned i = 0; i < w->n_schedulers; i++) {
        const struct sim_scheduler *o = &w->schedulers[i];
        if (!o->subscribed)
            sim_fail(w, "scheduler %u is not subscribed", i);
        MAP_FOREACH (e, &o->tasks) {
            const struct sched_task *t = e->value;
            if (t->done || t->lost)
                continue;
            bool found = false;
            _cleanup_free_ char *key = xasprintf("%s/%s", o->framework_id, t->id);
            for (unsigned k = 0; k < w->n_agents && !found; k++) {
                const struct sim_task *at = map_get(&w->agents[k].tasks, key);
                found = at && at->alive;
            }
            if (!found)
                sim_fail(w, "scheduler %u believes in %s (state %d), which runs nowhere", i, t->id,
                    t->state);
        }
    }
    MAP_FOREACH (e, &s.tasks)
        free((char *)(uintptr_t)e->key);
    map_done(&s.tasks);
}
