/* Containers of real agents: started late or not at all, ended by anybody, found again. */

#include <signal.h>
#include <string.h>

#include "real.h"

static struct container *find(struct sim_agent *a, const char *id)
{
    return map_get(&a->real->containers, id);
}

struct container_event *container_event(struct container *c, const void *p, size_t n)
{
    struct container_event *e = xcalloc(1, sizeof(*e) + n);
    e->c = c;
    e->agent = c->agent->generation;
    e->attempt = c->attempt;
    e->n = n;
    if (n)
        memcpy(e->data, p, n);
    return e;
}

/* ---- what the agent is told ---- */

static bool told(const struct container_event *e)
{
    return e->c->agent->up && e->c->agent->generation == e->agent;
}

static void tell_exited(struct world *w, void *target, unsigned unused)
{
    struct container_event *e = target;
    if (!told(e))
        return;
    struct agent_container_exit exit = {.status = e->c->status};
    struct agent_now now;
    real_now(w, e->c->agent, &now);
    agent_core_container_exited(e->c->agent->real->core, &now, e->c->id, &exit);
    real_pump(w, e->c->agent);
}

static void tell_started(struct world *w, void *target, unsigned unused)
{
    struct container_event *e = target;
    if (!told(e))
        return;
    struct agent_now now;
    real_now(w, e->c->agent, &now);
    agent_core_container_started(
        e->c->agent->real->core, &now, e->c->id, (int)e->c->pid, e->c->pid + 1000);
    real_pump(w, e->c->agent);
}

static void tell_failed(struct world *w, void *target, unsigned unused)
{
    struct container_event *e = target;
    if (!told(e))
        return;
    struct agent_now now;
    real_now(w, e->c->agent, &now);
    agent_core_container_failed(e->c->agent->real->core, &now, e->c->id, "no luck");
    real_pump(w, e->c->agent);
}

static void tell_update_failed(struct world *w, void *target, unsigned unused)
{
    struct container_event *e = target;
    if (!told(e))
        return;
    struct agent_now now;
    real_now(w, e->c->agent, &now);
    agent_core_container_update_failed(e->c->agent->real->core, &now, e->c->id, "no luck");
    real_pump(w, e->c->agent);
}

static void tell_disconnected(struct world *w, void *target, unsigned unused)
{
    struct container_event *e = target;
    if (!told(e))
        return;
    struct agent_core *core = e->c->agent->real->core;
    struct agent_executor *x = agent_core_executor(core, e->c->framework_id, e->c->executor_id);
    if (!x)
        return;
    struct agent_now now;
    real_now(w, e->c->agent, &now);
    agent_core_disconnected(core, &now, x, e->number);
    real_pump(w, e->c->agent);
}

static void disconnect(struct world *w, struct container *c, int64_t slow)
{
    if (!c->stream)
        return;
    struct container_event *e = container_event(c, NULL, 0);
    e->number = c->stream;
    c->stream = 0;
    sim_after_owned(w, sim_between(w, 0, slow), tell_disconnected, e, 0);
}

void container_disconnect(struct world *w, struct container *c)
{
    disconnect(w, c, SEC);
    executor_cut(w, c);
}

/* ---- the process ---- */

static void come_alive(struct world *w, struct container *c)
{
    c->state = CONTAINER_ALIVE;
    c->pid = ++c->agent->real->next_pid;
    /* Some never get as far as to subscribe. */
    if (!w->chaos || !sim_chance(w, 1))
        executor_start(w, c);
}

static void start(struct world *w, void *target, unsigned life)
{
    struct container *c = target;
    if (c->state != CONTAINER_STARTING || c->life != life)
        return;
    if (w->chaos && sim_chance(w, 4)) {
        sim_trace(w, "agent %u: %s cannot be started", c->agent->index, c->executor_id);
        c->state = CONTAINER_DEAD;
        c->status = -1;
        sim_after_owned(
            w, sim_between(w, 0, 20 * MSEC), tell_failed, container_event(c, NULL, 0), 0);
        return;
    }
    sim_trace(w, "agent %u: %s is started", c->agent->index, c->executor_id);
    come_alive(w, c);
    sim_after_owned(w, sim_between(w, 0, 50 * MSEC), tell_started, container_event(c, NULL, 0), 0);
}

void container_launch(struct world *w, struct sim_agent *a, const struct agent_effect *e)
{
    const struct agent_executor *x = map_get(&a->real->core->containers, e->container_id);
    if (!x || x->state != AGENT_EXECUTOR_REGISTERING)
        return; /* ended before it began */
    if (find(a, e->container_id))
        sim_fail(w, "agent %u launches container %s again", a->index, e->container_id);
    struct container *c = xnew(struct container);
    c->agent = a;
    c->id = xstrdup(e->container_id);
    c->framework_id = xstrdup(e->framework_id);
    c->executor_id = xstrdup(e->executor_id);
    c->command = x->command;
    c->pod = x->pod;
    if (!c->command) {
        c->cpus_milli = x->cpus_milli;
        c->mem_milli = x->mem_milli;
    }
    map_put(&a->real->containers, c->id, c);
    sim_after(w, sim_between(w, MSEC, 500 * MSEC), start, c, c->life);
}

static void end(struct world *w, struct container *c, int status)
{
    c->state = CONTAINER_DEAD;
    c->status = status;
    c->life++;
    c->attempt++;
    if (w->options.defect == DEFECT_LEAKED_TASKS)
        return;
    VEC_FOREACH (t, &c->tasks)
        executor_task_dies(*t);
}

void container_die(struct world *w, struct container *c, int status)
{
    sim_trace(w, "agent %u: %s ends with status %d", c->agent->index, c->executor_id, status);
    disconnect(w, c, 20 * MSEC);
    end(w, c, status);
    sim_after_owned(w, sim_between(w, 0, 50 * MSEC), tell_exited, container_event(c, NULL, 0), 0);
}

static void kill_now(struct world *w, void *target, unsigned life)
{
    struct container *c = target;
    if (c->state == CONTAINER_ALIVE && c->life == life)
        container_die(w, c, SIGKILL);
}

void container_destroy(struct world *w, struct sim_agent *a, const char *id)
{
    struct container *c = find(a, id);
    if (!c) {
        /* Never asked for, by this process or one before it. */
        c = xnew(struct container);
        c->agent = a;
        c->id = xstrdup(id);
        c->framework_id = xstrdup("");
        c->executor_id = xstrdup("");
        c->state = CONTAINER_DEAD;
        c->status = -1;
        map_put(&a->real->containers, c->id, c);
    }
    if (c->state == CONTAINER_ALIVE) {
        sim_after(w, sim_between(w, 0, 100 * MSEC), kill_now, c, c->life);
        return;
    }
    if (c->state == CONTAINER_STARTING)
        end(w, c, -1);
    sim_after_owned(w, sim_between(w, 0, 50 * MSEC), tell_exited, container_event(c, NULL, 0), 0);
}

void container_limits(struct world *w, struct sim_agent *a, const char *id)
{
    struct container *c = find(a, id);
    if (c && c->state == CONTAINER_ALIVE && w->chaos && sim_chance(w, 1))
        sim_after_owned(w, 0, tell_update_failed, container_event(c, NULL, 0), 0);
}

/* ---- the agent's process goes and comes ---- */

void containers_orphaned(struct world *w, struct sim_agent *a, bool host)
{
    MAP_FOREACH (e, &a->real->containers) {
        struct container *c = e->value;
        if (c->state == CONTAINER_DEAD)
            continue;
        if (host || (c->state == CONTAINER_STARTING && sim_chance(w, 50))) {
            c->stream = 0;
            end(w, c, -1);
        } else if (c->stream) {
            executor_cut(w, c);
        }
    }
}

void containers_recover(struct world *w, struct sim_agent *a)
{
    MAP_FOREACH (entry, &a->real->core->containers) {
        const struct agent_executor *x = entry->value;
        struct container *c = find(a, x->container_id);
        if (x->state == AGENT_EXECUTOR_TERMINATED)
            continue;
        if (c && c->state == CONTAINER_STARTING) {
            /* The launcher made it, or ended with the agent that asked for it. */
            if (sim_chance(w, 50))
                come_alive(w, c);
            else
                end(w, c, -1);
        }
        if (!c) {
            container_destroy(w, a, x->container_id);
        } else if (c->state == CONTAINER_DEAD) {
            sim_after_owned(
                w, sim_between(w, 0, 10 * MSEC), tell_exited, container_event(c, NULL, 0), 0);
        } else if (w->options.defect == DEFECT_TWIN_CONTAINERS && c->tasks.n) {
            _cleanup_free_ char *key = xasprintf(
                "%s/%s", c->framework_id, c->tasks.items[0]->info->task_id->value);
            sim_task_starts(w, a, key);
        }
    }
    /* Whatever nobody remembers is ended. */
    MAP_FOREACH (entry, &a->real->containers) {
        struct container *c = entry->value;
        const struct agent_executor *x = map_get(&a->real->core->containers, c->id);
        if (c->state == CONTAINER_DEAD || (x && x->state != AGENT_EXECUTOR_TERMINATED))
            continue;
        if (c->state == CONTAINER_ALIVE)
            sim_after(w, sim_between(w, 0, SEC), kill_now, c, c->life);
        else
            end(w, c, -1);
    }
}

/* ---- faults ---- */

void real_disturb(struct world *w, struct sim_agent *a)
{
    size_t alive = 0;
    MAP_FOREACH (e, &a->real->containers)
        alive += ((struct container *)e->value)->state == CONTAINER_ALIVE;
    if (!alive)
        return;
    size_t pick = rng_below(&w->rng, alive);
    MAP_FOREACH (e, &a->real->containers) {
        struct container *c = e->value;
        if (c->state != CONTAINER_ALIVE || pick-- > 0)
            continue;
        if (sim_chance(w, 40)) {
            container_die(w, c, SIGKILL);
        } else if (c->stream) {
            container_disconnect(w, c);
        }
        return;
    }
}

void containers_free(struct sim_agent *a)
{
    MAP_FOREACH (e, &a->real->containers) {
        struct container *c = e->value;
        free(c->id);
        free(c->framework_id);
        free(c->executor_id);
        vec_done(&c->updates);
        VEC_FOREACH (t, &c->tasks) {
            arena_done(&(*t)->arena);
            free(*t);
        }
        vec_done(&c->tasks);
        free(c);
    }
    map_done(&a->real->containers);
}
