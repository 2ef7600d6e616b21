/* What must hold inside real agents. */

#include "real.h"

#include <inttypes.h>

/* The master counts a framework's tasks no more once it told the agent that the framework is gone;
 * its executors may still take their time. */
static bool framework_counts(const struct sim_agent *a, const struct container *c)
{
    if (!a->real->core)
        return true;
    const struct agent_framework *f = map_get(&a->real->core->frameworks, c->framework_id);
    return f && !f->terminating;
}

void real_write_off(struct sim_agent *a)
{
    MAP_FOREACH (entry, &a->real->containers) {
        struct container *c = entry->value;
        if (framework_counts(a, c))
            continue;
        c->written_off = true;
        VEC_FOREACH (t, &c->tasks)
            (*t)->written_off = true;
    }
}

void real_used(const struct sim_agent *a, int64_t *ret_cpus, int64_t *ret_mem)
{
    MAP_FOREACH (entry, &a->real->containers) {
        struct container *c = entry->value;
        if ((!c->tasks.n && c->state == CONTAINER_DEAD) || !framework_counts(a, c))
            continue;
        if (c->state == CONTAINER_ALIVE && !c->written_off) {
            *ret_cpus += c->cpus_milli;
            *ret_mem += c->mem_milli;
        }
        VEC_FOREACH (t, &c->tasks) {
            if (!(*t)->runs || (*t)->written_off)
                continue;
            *ret_cpus += (*t)->cpus_milli;
            *ret_mem += (*t)->mem_milli;
        }
    }
}

static void each_process(const struct sim_agent *a, sim_task_fn fn, void *userdata)
{
    const struct agent_core *core = a->real->core;
    MAP_FOREACH (entry, &a->real->containers) {
        struct container *c = entry->value;
        VEC_FOREACH (t, &c->tasks) {
            if (!(*t)->runs || (*t)->written_off || !framework_counts(a, c))
                continue;
            const char *id = (*t)->info->task_id->value;
            _cleanup_free_ char *key = xasprintf("%s/%s", c->framework_id, id);
            const struct agent_stream *s = core ? agent_core_stream(core, c->framework_id, id)
                                                : NULL;
            struct sim_task_view v = {.key = key,
                .framework_id = c->framework_id,
                .id = id,
                .pending = s ? s->n_updates : 0,
                .alive = true};
            fn(&v, userdata);
        }
    }
}

static bool has_process(const struct sim_agent *a, const struct agent_task *t)
{
    struct container *c = map_get(&a->real->containers, t->executor->container_id);
    if (c)
        VEC_FOREACH (x, &c->tasks)
            if ((*x)->runs && streq((*x)->info->task_id->value, t->id))
                return true;
    return false;
}

void real_each_task(const struct sim_agent *a, sim_task_fn fn, void *userdata)
{
    each_process(a, fn, userdata);
    if (!a->real->core)
        return;
    MAP_FOREACH (entry, &a->real->core->frameworks) {
        const struct agent_framework *f = entry->value;
        MAP_FOREACH (te, &f->tasks) {
            const struct agent_task *t = te->value;
            if (has_process(a, t))
                continue;
            const struct agent_stream *s = agent_core_stream(a->real->core, f->id, t->id);
            _cleanup_free_ char *key = xasprintf("%s/%s", f->id, t->id);
            struct sim_task_view v = {
                .key = key, .framework_id = f->id, .id = t->id, .pending = s ? s->n_updates : 0};
            fn(&v, userdata);
        }
    }
}

/* The records that agent.db must hold: no more and no less. */
static size_t records(const struct agent_core *core)
{
    size_t n = 1 + map_size(&core->frameworks) + map_size(&core->containers) + core->n_tasks +
               map_size(&core->streams);
    MAP_FOREACH (e, &core->streams)
        n += ((const struct agent_stream *)e->value)->n_updates;
    n += map_size(&core->operations) + (core->resources_record.stored ? 1 : 0);
    LIST_FOREACH (v, &core->volumes, struct agent_volume, node)
        n++;
    return n;
}

void real_settled(struct world *w, const struct sim_agent *a)
{
    const struct sim_real *r = a->real;
    const struct agent_core *core = r->core;
    if (core->recovering || core->link != AGENT_REGISTERED_LINK)
        sim_fail(w, "agent %u has not recovered", a->index);
    if (r->unflushed.n || r->pending.n)
        sim_fail(w, "agent %u still has %zu writes and %zu outputs to go", a->index, r->unflushed.n,
            r->pending.n);
    if (map_size(&r->disk) != records(core) && w->options.trace)
        MAP_FOREACH (entry, &r->disk)
            sim_trace(w, "agent %u: on disk: %s", a->index, entry->key);
    if (map_size(&r->disk) != records(core))
        sim_fail(w, "the disk of agent %u holds %zu records instead of %zu", a->index,
            map_size(&r->disk), records(core));
    if (map_size(&core->operations))
        sim_fail(w, "agent %u: %zu operations were never acknowledged", a->index,
            map_size(&core->operations));
    MAP_FOREACH (entry, &core->streams) {
        const struct agent_stream *s = entry->value;
        if (s->n_updates && sim_owner(w, s->framework_id))
            sim_fail(w, "agent %u: an update of %s was never acknowledged", a->index, s->task_id);
    }
    MAP_FOREACH (entry, &r->containers) {
        struct container *c = entry->value;
        const struct agent_executor *x = map_get(&core->containers, c->id);
        VEC_FOREACH (t, &c->tasks)
            if ((*t)->runs && c->state != CONTAINER_ALIVE)
                sim_fail(w, "agent %u: a task of %s outlived it", a->index, c->executor_id);
        if (c->state == CONTAINER_STARTING)
            sim_fail(
                w, "agent %u: container of %s is still being started", a->index, c->executor_id);
        if (c->state == CONTAINER_DEAD)
            continue;
        if (!x)
            sim_fail(w, "agent %u does not know the container of %s", a->index, c->executor_id);
        if (x->state != AGENT_EXECUTOR_RUNNING || !x->connected || x->connection != c->stream ||
            c->link != LINK_SUBSCRIBED)
            sim_fail(w, "agent %u and executor %s (%s) do not hear each other", a->index,
                c->executor_id, agent_executor_state_name(x->state));
    }
    MAP_FOREACH (entry, &core->containers) {
        const struct agent_executor *x = entry->value;
        const struct container *c = map_get(&r->containers, x->container_id);
        if (x->state != AGENT_EXECUTOR_TERMINATED && (!c || c->state != CONTAINER_ALIVE))
            sim_fail(w, "agent %u takes executor %s for %s, which does not run", a->index, x->id,
                agent_executor_state_name(x->state));
    }
}
