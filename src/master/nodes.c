#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "master/state.h"
#include "wire/codec.h"

/*
 * What operators decide about agents: deactivated, draining, gone. Kept in the registry with the
 * agent, also while it is unreachable, so that neither its return nor a new master undoes it.
 */

/* ---- the record ---- */

Mesos__V1__DrainInfo *node_drain_info(const struct node_state *node, struct arena *arena)
{
    if (node->drain == DRAIN_NONE)
        return NULL;
    Mesos__V1__DrainConfig *config = arena_alloc(arena, sizeof(*config));
    mesos__v1__drain_config__init(config);
    config->has_mark_gone = true;
    config->mark_gone = node->mark_gone;
    if (node->has_grace) {
        config->max_grace_period = arena_alloc(arena, sizeof(*config->max_grace_period));
        mesos__v1__duration_info__init(config->max_grace_period);
        config->max_grace_period->has_nanoseconds = true;
        config->max_grace_period->nanoseconds = node->grace_ns;
    }
    Mesos__V1__DrainInfo *info = arena_alloc(arena, sizeof(*info));
    mesos__v1__drain_info__init(info);
    info->has_state = true;
    info->state = node->drain == DRAIN_DONE ? MESOS__V1__DRAIN_STATE__DRAINED
                                            : MESOS__V1__DRAIN_STATE__DRAINING;
    info->config = config;
    return info;
}

void node_state_restore(
    struct node_state *node, bool deactivated, const Mesos__V1__DrainInfo *drain_info)
{
    *node = (struct node_state){.deactivated = deactivated};
    if (!drain_info)
        return;
    node->drain = drain_info->state == MESOS__V1__DRAIN_STATE__DRAINED ? DRAIN_DONE : DRAIN_RUNS;
    const Mesos__V1__DrainConfig *config = drain_info->config;
    if (!config)
        return;
    node->mark_gone = config->has_mark_gone && config->mark_gone;
    if (config->max_grace_period) {
        node->has_grace = true;
        node->grace_ns = config->max_grace_period->nanoseconds;
    }
}

/* An agent that may or may not be reachable. */
struct node {
    struct agent *agent;     /* registered or recovered, or NULL */
    struct lost_agent *lost; /* unreachable, or NULL */
    struct node_state *state;
};

static bool find_node(struct master_core *core, const char *id, struct node *ret)
{
    *ret = (struct node){map_get(&core->agents, id), map_get(&core->lost, id), NULL};
    ret->state = ret->agent ? &ret->agent->node : ret->lost ? &ret->lost->node : NULL;
    return ret->state != NULL;
}

static int unknown_agent(const char *id, struct error *err)
{
    return error_set(err, -ENOENT, "No agent found with ID %s", id);
}

static void store_node(struct master_core *core, const struct node *n)
{
    if (n->agent)
        registry_put_agent(core, n->agent);
    else
        registry_put_lost_agent(core, n->lost);
    core->change++;
}

static void take_off_the_market(struct master_core *core, struct agent *a)
{
    agent_withdraw(core, a);
    agent_offerable_changed(core, a);
}

/* ---- draining ---- */

static void send_drain(struct master_core *core, struct agent *a)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__DrainInfo *info = node_drain_info(&a->node, &arena);
    Dcos__Internal__DrainAgent drain = DCOS__INTERNAL__DRAIN_AGENT__INIT;
    drain.config = info ? info->config : NULL;
    Dcos__Internal__MasterRecord rec = DCOS__INTERNAL__MASTER_RECORD__INIT;
    rec.drain_agent = &drain;
    send_agent(core, a, &rec);
}

static bool can_drain(const struct agent *a)
{
    return a->capability_bits & AGENT_HAS_DRAINING;
}

static bool has_longer_grace(const struct task *t, int64_t grace_ns)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m;
    unpack_into(&mesos__v1__task__descriptor, t->info, &arena, &m);
    const Mesos__V1__KillPolicy *own = ((const Mesos__V1__Task *)m)->kill_policy;
    return !own || !own->grace_period || own->grace_period->nanoseconds > grace_ns;
}

/* An agent that cannot drain by itself came back while it should: the master ends its tasks. */
static void end_tasks(struct master_core *core, struct agent *a)
{
    Mesos__V1__DurationInfo grace = MESOS__V1__DURATION_INFO__INIT;
    Mesos__V1__KillPolicy policy = MESOS__V1__KILL_POLICY__INIT;
    grace.has_nanoseconds = true;
    grace.nanoseconds = a->node.grace_ns;
    policy.grace_period = &grace;
    LIST_FOREACH (t, &a->tasks, struct task, agent_node) {
        if (task_state_is_terminal((Mesos__V1__TaskState)t->state))
            continue;
        t->kill_sent = true;
        if (a->node.has_grace && has_longer_grace(t, a->node.grace_ns)) {
            free(t->kill_policy);
            t->kill_policy = packed_new(&policy.base);
        }
        task_send_kill(core, t);
    }
}

void node_resume_draining(struct master_core *core, struct agent *a, bool was_registered)
{
    if (a->node.drain == DRAIN_NONE)
        return;
    if (!was_registered)
        a->drain_started_us = core->now;
    if (a->node.drain == DRAIN_RUNS && !can_drain(a))
        end_tasks(core, a);
    node_check_drained(core, a);
}

/* What ended is what the agent said had ended, so it must have had its say. */
static bool is_drained(const struct agent *a)
{
    return a->state == AGENT_REGISTERED && agent_connected(a) && list_empty(&a->tasks) &&
           list_empty(&a->operations);
}

static void drain_due(struct master_core *core, struct core_timer *t, int64_t now_us)
{
    struct agent *a = container_of(t, struct agent, drain_timer);
    if (a->node.drain == DRAIN_NONE || !is_drained(a))
        return;
    if (a->node.mark_gone) {
        agent_mark_gone(core, a);
        return;
    }
    if (a->node.drain == DRAIN_DONE)
        return;
    a->node.drain = DRAIN_DONE;
    registry_put_agent(core, a);
    core->change++;
}

/* Not at once: whoever calls is in the middle of something with the agent. */
void node_check_drained(struct master_core *core, struct agent *a)
{
    if (a->node.drain != DRAIN_NONE && is_drained(a))
        core_timer_start(core, &a->drain_timer, core->now);
}

void node_timers_init(struct agent *a)
{
    a->drain_timer.fn = drain_due;
}

int master_core_drain_agent(struct master_core *core, const char *agent_id, int64_t max_grace_ns,
    bool mark_gone, int64_t now_us, struct error *err)
{
    core->now = MAX(core->now, now_us);
    struct node n;
    if (!find_node(core, agent_id, &n))
        return unknown_agent(agent_id, err);
    if (n.agent && n.agent->machine)
        return error_set(err, -EINVAL,
            "Agent %s is on a machine that is part of a maintenance schedule", agent_id);
    if (n.agent && !can_drain(n.agent))
        return error_set(
            err, -EINVAL, "Agent %s does not have the AGENT_DRAINING capability", agent_id);
    *n.state = (struct node_state){.deactivated = true,
        .drain = DRAIN_RUNS,
        .mark_gone = mark_gone,
        .has_grace = max_grace_ns >= 0,
        .grace_ns = MAX(max_grace_ns, 0)};
    store_node(core, &n);
    if (n.agent) {
        n.agent->drain_started_us = core->now;
        take_off_the_market(core, n.agent);
        send_drain(core, n.agent);
        node_check_drained(core, n.agent);
    }
    return 0;
}

/* ---- deactivation ---- */

int master_core_deactivate_agent(
    struct master_core *core, const char *agent_id, int64_t now_us, struct error *err)
{
    core->now = MAX(core->now, now_us);
    struct node n;
    if (!find_node(core, agent_id, &n))
        return unknown_agent(agent_id, err);
    /* Stored also when it is deactivated: a master that was deposed and does not know finds things
     * as they were, and must not say that they are so. */
    n.state->deactivated = true;
    store_node(core, &n);
    if (n.agent)
        take_off_the_market(core, n.agent);
    return 0;
}

int master_core_reactivate_agent(
    struct master_core *core, const char *agent_id, int64_t now_us, struct error *err)
{
    core->now = MAX(core->now, now_us);
    struct node n;
    if (!find_node(core, agent_id, &n))
        return unknown_agent(agent_id, err);
    if (!n.state->deactivated)
        return error_set(err, -EINVAL, "Agent %s is not deactivated", agent_id);
    if (n.state->drain == DRAIN_RUNS)
        return error_set(err, -EINVAL, "Agent %s is still draining", agent_id);
    bool drained = n.state->drain == DRAIN_DONE;
    *n.state = (struct node_state){0};
    store_node(core, &n);
    if (n.agent) {
        n.agent->drain_started_us = 0;
        if (drained)
            send_drain(core, n.agent);
        agent_offerable_changed(core, n.agent);
        inverse_wake(core, n.agent);
    }
    return 0;
}

/* ---- gone ---- */

int master_core_mark_agent_gone(
    struct master_core *core, const char *agent_id, int64_t now_us, struct error *err)
{
    core->now = MAX(core->now, now_us);
    if (map_get(&core->gone, agent_id))
        return 0;
    struct node n;
    if (!find_node(core, agent_id, &n))
        return unknown_agent(agent_id, err);
    if (n.agent)
        agent_mark_gone(core, n.agent);
    else
        lost_agent_mark_gone(core, n.lost);
    return 0;
}
