/* Invariants. */

#include <inttypes.h>

#include "holding.h"
#include "master/core.h"
#include "real.h"
#include "world.h"

void check_step(struct world *w)
{
    for (unsigned i = 0; i < w->n_masters; i++) {
        struct sim_master *m = &w->masters[i];
        if (m->core && m->touched) {
            master_core_check(m->core);
            operator_check(w, m);
        }
        m->touched = false;
    }
    /* Dear, and what is wrong here stays wrong. */
    if (w->steps % 16 == 0)
        holdings_check(w);
    for (unsigned i = 0; i < w->n_agents; i++) {
        const struct sim_agent *a = &w->agents[i];
        int64_t cpus, mem;
        sim_agent_used(a, &cpus, &mem);
        if (cpus > a->cpus_milli + a->revocable_milli || mem > a->mem_milli)
            sim_fail(w, "agent %u runs more than it has", i);
    }
}

struct settle {
    struct world *w;
    const struct master_core *core; /* of the leader */
    unsigned agent;
    struct map tasks;     /* "framework/task" of the master's view, keys owned */
    struct map alive;     /* the same of all that runs */
    struct map executors; /* "agent/framework/executor" of the master's view */
};

static bool collect(const struct master_task_view *t, void *userdata)
{
    struct settle *s = userdata;
    map_put(&s->tasks, xasprintf("%s/%s", t->framework_id, t->task_id),
        (void *)(uintptr_t)(t->state + 1));
    return true;
}

struct sim_scheduler *sim_owner(struct world *w, const char *framework_id)
{
    for (unsigned i = 0; i < w->n_schedulers; i++)
        if (w->schedulers[i].framework_id && streq(w->schedulers[i].framework_id, framework_id))
            return &w->schedulers[i];
    return NULL;
}

/* The master charges for exactly those executors that run. */
static bool collect_executor(const struct master_executor_view *e, void *userdata)
{
    struct settle *s = userdata;
    char *key = xasprintf("%s/%s/%s", e->agent_id, e->framework_id, e->executor_id);
    map_put(&s->executors, key, s);
    return true;
}

static void check_executors(struct settle *s)
{
    struct world *w = s->w;
    master_core_each_executor(s->core, collect_executor, s);
    size_t found = 0;
    for (unsigned i = 0; i < w->n_agents; i++) {
        const struct sim_agent *a = &w->agents[i];
        if (!a->real)
            continue;
        MAP_FOREACH (entry, &a->real->containers) {
            const struct container *c = entry->value;
            if (c->state != CONTAINER_ALIVE || c->command)
                continue;
            _cleanup_free_ char *key = xasprintf(
                "%s/%s/%s", a->id, c->framework_id, c->executor_id);
            if (!map_get(&s->executors, key))
                sim_fail(w, "the master does not know executor %s", key);
            found++;
        }
    }
    if (found != map_size(&s->executors))
        sim_fail(w, "the master takes %zu executors for running and %zu do",
            map_size(&s->executors), found);
}

static void check_agent_task(const struct sim_task_view *t, void *userdata)
{
    struct settle *s = userdata;
    struct world *w = s->w;
    struct sim_scheduler *o = sim_owner(w, t->framework_id);
    /* A framework that was torn down while nobody remembered: operators end it. */
    if (!o)
        return;
    if (t->pending)
        sim_fail(w, "agent %u: an update of %s was never acknowledged", s->agent, t->id);
    if (!t->alive)
        sim_fail(w, "agent %u keeps %s, which does not run", s->agent, t->key);
    if (!map_get(&s->tasks, t->key))
        sim_fail(w, "agent %u runs %s, which the master does not know", s->agent, t->key);
    struct sched_task *st = map_get(&o->tasks, t->id);
    if (!st)
        sim_fail(w, "agent %u runs %s, which its scheduler does not know", s->agent, t->id);
    if (st->done || st->state != MESOS__V1__TASK_STATE__TASK_RUNNING)
        sim_fail(
            w, "agent %u runs %s, which its scheduler takes for %d", s->agent, t->id, st->state);
    map_put(&s->alive, xstrdup(t->key), s);
}

static void free_keys(struct map *m)
{
    MAP_FOREACH (e, m)
        free((char *)(uintptr_t)e->key);
    map_done(m);
}

void check_settled(struct world *w)
{
    struct settle s = {.w = w};
    struct master_counts counts;
    struct sim_master *leader = sim_leader(w);
    if (!leader || !leader->core || leader->epoch != w->store.epoch)
        sim_fail(w, "nobody leads");
    s.core = leader->core;
    master_core_counts(s.core, &counts);
    if (counts.agents_connected != w->n_agents)
        sim_fail(w, "%zu of %u agents are connected", counts.agents_connected, w->n_agents);
    if (counts.agents_recovered || counts.agents_disconnected)
        sim_fail(w, "agents are still missing: %zu recovered, %zu disconnected",
            counts.agents_recovered, counts.agents_disconnected);
    master_core_each_task(s.core, collect, &s);
    for (unsigned i = 0; i < w->n_agents; i++) {
        const struct sim_agent *a = &w->agents[i];
        if (!a->registered)
            sim_fail(w, "agent %u is not registered", i);
        s.agent = i;
        sim_agent_each_task(a, check_agent_task, &s);
        if (a->real)
            real_settled(w, a);
    }
    for (unsigned i = 0; i < w->n_schedulers; i++) {
        const struct sim_scheduler *o = &w->schedulers[i];
        if (!o->subscribed)
            sim_fail(w, "scheduler %u is not subscribed", i);
        MAP_FOREACH (e, &o->tasks) {
            const struct sched_task *t = e->value;
            if (t->done || t->lost)
                continue;
            _cleanup_free_ char *key = xasprintf("%s/%s", o->framework_id, t->id);
            if (!map_get(&s.alive, key))
                sim_fail(w, "scheduler %u believes in %s (state %d), which runs nowhere", i, t->id,
                    t->state);
        }
    }
    check_executors(&s);
    holdings_settled(w);
    ledger_settled(w);
    free_keys(&s.tasks);
    free_keys(&s.alive);
    free_keys(&s.executors);
}
