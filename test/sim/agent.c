/* What the world and the checks know of agents, whichever kind they are. */

#include "holding.h"
#include "model.h"
#include "real.h"

bool sim_state_ended(Mesos__V1__TaskState state)
{
    switch (state) {
    case MESOS__V1__TASK_STATE__TASK_FINISHED:
    case MESOS__V1__TASK_STATE__TASK_FAILED:
    case MESOS__V1__TASK_STATE__TASK_KILLED:
    case MESOS__V1__TASK_STATE__TASK_ERROR:
    case MESOS__V1__TASK_STATE__TASK_LOST:
    case MESOS__V1__TASK_STATE__TASK_DROPPED:
    case MESOS__V1__TASK_STATE__TASK_GONE:
    case MESOS__V1__TASK_STATE__TASK_GONE_BY_OPERATOR:
        return true;
    default:
        return false;
    }
}

void sim_agent_boot(struct world *w, struct sim_agent *a)
{
    sim_trace(w, "agent %u starts", a->index);
    a->up = true;
    a->up_since = w->now;
    a->generation++;
    a->conn = NULL;
    if (a->real)
        real_boot(w, a);
    else
        model_boot(w, a);
}

void sim_agent_crash(struct world *w, struct sim_agent *a, bool host)
{
    sim_trace(w, "agent %u %s", a->index, host ? "loses its host" : "is killed");
    a->up = false;
    a->registered = false;
    a->generation++;
    if (a->conn) {
        sim_break(w, a->conn);
        a->conn = NULL;
    }
    if (a->real)
        real_crash(w, a, host);
    else
        model_crash(w, a, host);
}

void sim_agent_receive(struct world *w, struct sim_agent *a, const void *p, size_t n)
{
    if (n == 0) { /* the master closed */
        a->conn->broken = true;
        a->conn->peer_knows = true;
        sim_agent_conn_closed(w, a);
    } else if (a->real) {
        real_receive(w, a, p, n);
    } else {
        model_receive(w, a, p, n);
    }
}

void sim_agent_conn_closed(struct world *w, struct sim_agent *a)
{
    a->conn = NULL;
    a->registered = false;
    if (a->real)
        real_conn_closed(w, a);
    else
        model_conn_closed(w, a);
}

void sim_agent_disturb(struct world *w, struct sim_agent *a)
{
    if (a->real)
        real_disturb(w, a);
}

void sim_agent_free(struct world *w, struct sim_agent *a)
{
    if (a->real)
        real_free(w, a);
    else
        model_free(a);
    free(a->id);
    free(a->expelled_id);
}

void sim_agent_each_task(const struct sim_agent *a, sim_task_fn fn, void *userdata)
{
    if (a->real)
        real_each_task(a, fn, userdata);
    else
        model_each_task(a, fn, userdata);
}

void sim_agent_used(const struct sim_agent *a, int64_t *ret_cpus, int64_t *ret_mem)
{
    *ret_cpus = *ret_mem = 0;
    if (a->real)
        real_used(a, ret_cpus, ret_mem);
    else
        model_used(a, ret_cpus, ret_mem);
}

void sim_agent_expelled(struct world *w, struct sim_agent *a)
{
    a->expelled = true;
    a->expelled_generation = a->generation;
    free(a->expelled_id);
    a->expelled_id = a->id ? xstrdup(a->id) : NULL;
    ledger_give_up(w, a);
    holdings_lose(w, a);
}

void sim_agent_known(struct world *w, struct sim_agent *a, uint64_t epoch)
{
    if (a->expelled) {
        ledger_give_up(w, a);
        holdings_lose(w, a);
        /* Who is told to end does not change his mind, also when he is let in again meanwhile. */
        a->expelled = a->expelled_generation == a->generation && a->expelled_id &&
                      streq(a->expelled_id, a->id);
    }
    operator_agent_known(w, a, epoch);
    if (!store_had(w, "agents/", a->id))
        sim_fail(w, "agent %u is told that it is %s, which no disk holds", a->index, a->id);
}

void sim_task_starts(struct world *w, const struct sim_agent *a, const char *key)
{
    if (map_get(&w->runs, key))
        sim_fail(w, "task %s is run a second time, by agent %u", key, a->index);
    map_put(&w->runs, xstrdup(key), w);
    w->launches++;
    sim_trace(w, "agent %u: run %s", a->index, key);
}

void sim_resources(
    Mesos__V1__Resource *const *resources, size_t n, int64_t *ret_cpus, int64_t *ret_mem)
{
    double cpus = 0, mem = 0;
    for (size_t i = 0; i < n; i++) {
        const Mesos__V1__Resource *r = resources[i];
        if (streq(r->name, "cpus"))
            cpus += r->scalar->value;
        else if (streq(r->name, "mem"))
            mem += r->scalar->value;
    }
    *ret_cpus = (int64_t)(cpus * 1000 + 0.5);
    *ret_mem = (int64_t)(mem * 1000 + 0.5);
}

struct search {
    const char *key;
    bool found;
};

static void compare(const struct sim_task_view *t, void *userdata)
{
    struct search *s = userdata;
    if (t->alive && streq(t->key, s->key))
        s->found = true;
}

/* Nobody ends tasks while the agent's process is away; one that was started just now begins to. */
bool sim_runs_unfenced(struct world *w, const char *key)
{
    for (unsigned i = 0; i < w->n_agents; i++) {
        const struct sim_agent *a = &w->agents[i];
        struct search s = {.key = key};
        if (!a->real || !a->up || w->now - a->up_since < 30 * SEC)
            continue;
        sim_agent_each_task(a, compare, &s);
        if (s.found)
            return true;
    }
    return false;
}
