#include "agent/core_internal.h"

/*
 * What the agent does about its tasks because of the machine: draining and fencing.
 *
 * Draining: the operator wants the machine empty. All tasks are asked to end, new ones are refused,
 * and updates say why. It is over when the master says so, not when the agent is empty.
 *
 * Fencing: the master lends the agent its tasks for `lease_us` from each word that it heard of the
 * agent. The answer to the registration proves that it heard that, and a ping that it heard the
 * answer to the one before; any other record proves nothing, it comes also when the way to the
 * master is cut. Tasks that asked for it are killed when that time is over, so that the master may
 * start them elsewhere without two of them running. Time is measured on a clock that nobody sets
 * and that goes on while the machine is suspended; timers do not, so while there is something to
 * fence the clock is looked at every second. What is on disk is a contact that is at most a quarter
 * of the lease old: an agent that was started again meanwhile ends the tasks rather too early than
 * too late.
 */

#define LEASE_LOOK_US (1 * USEC_PER_SEC)
enum { LEASE_STORE_SHARE = 4 };
/* What our executor gives a task that has no kill policy. */
#define DEFAULT_GRACE_US (3 * USEC_PER_SEC)

/* ---- draining ---- */

static int64_t max_grace_us(const Mesos__V1__DrainConfig *config)
{
    if (!config->max_grace_period || !config->max_grace_period->has_nanoseconds)
        return -1;
    return MAX(config->max_grace_period->nanoseconds / NSEC_PER_USEC, INT64_C(0));
}

void agent_executor_drain(struct agent_core *core, struct agent_executor *e)
{
    LIST_FOREACH_SAFE (t, &e->tasks, struct agent_task, node) {
        Mesos__V1__DurationInfo grace = MESOS__V1__DURATION_INFO__INIT;
        Mesos__V1__KillPolicy policy = MESOS__V1__KILL_POLICY__INIT;
        int64_t own_us = t->kill_grace_us >= 0 ? t->kill_grace_us : DEFAULT_GRACE_US;
        grace.has_nanoseconds = true;
        grace.nanoseconds = core->drain_max_grace_us * NSEC_PER_USEC;
        policy.grace_period = &grace;
        bool shorter = core->drain_max_grace_us >= 0 && core->drain_max_grace_us < own_us;
        agent_task_kill(core, t, shorter ? &policy : NULL);
    }
}

void agent_core_restore_drain(
    struct agent_core *core, const Mesos__V1__DrainConfig *config, int64_t start_wall_us)
{
    core->draining = true;
    agent_bytes_pack(&core->drain_config, &config->base);
    core->drain_max_grace_us = max_grace_us(config);
    core->drain_mark_gone = config->has_mark_gone && config->mark_gone;
    core->drain_start_wall_us = start_wall_us;
}

void agent_core_set_drain(struct agent_core *core, const Mesos__V1__DrainConfig *config)
{
    if (!config) {
        if (!core->draining)
            return;
        core->draining = false;
        core->drain_max_grace_us = -1;
        core->drain_mark_gone = false;
        core->drain_start_wall_us = 0;
        agent_bytes_done(&core->drain_config);
        agent_record_dirty(core, &core->record);
        return;
    }
    agent_core_restore_drain(
        core, config, core->draining ? core->drain_start_wall_us : core->now.wall_us);
    agent_record_dirty(core, &core->record);
    MAP_FOREACH (entry, &core->containers)
        agent_executor_drain(core, entry->value);
}

const Mesos__V1__TaskStatus *agent_drain_status(const struct agent_core *core,
    const struct agent_framework *f, const Mesos__V1__TaskStatus *status,
    Mesos__V1__TaskStatus *storage)
{
    bool killed = status->state == TASK_STATE(KILLED);
    if (!core->draining || (!killed && status->state != TASK_STATE(KILLING)))
        return status;
    *storage = *status;
    storage->has_reason = true;
    storage->reason = STATUS_REASON(AGENT_DRAINING);
    /* Not KILLING: a terminal state would give the resources of a task away that still runs. */
    if (killed && core->drain_mark_gone && f && f->partition_aware)
        storage->state = TASK_STATE(GONE_BY_OPERATOR);
    return storage;
}

/* ---- fencing ---- */

bool agent_labels_fence(const Mesos__V1__Labels *labels)
{
    for (size_t i = 0; labels && i < labels->n_labels; i++) {
        const Mesos__V1__Label *l = labels->labels[i];
        if (l->key && l->value && streq(l->key, AGENT_FENCING_LABEL))
            return streq(l->value, "true");
    }
    return false;
}

/* An executor of the framework's own ends as a whole: only it knows where its tasks are. */
static bool to_be_fenced(const struct agent_executor *e)
{
    if (e->state == AGENT_EXECUTOR_TERMINATED || e->destroying)
        return false;
    if (e->fenced && !e->command)
        return true;
    LIST_FOREACH (t, &e->tasks, struct agent_task, node)
        if (t->fenced && t->phase != AGENT_TASK_TERMINATED)
            return true;
    return false;
}

static void fence(struct agent_core *core, struct agent_executor *e)
{
    char lease[DURATION_TEXT_SIZE];
    duration_format(core->lease_us, lease);
    _cleanup_free_ char *message = xasprintf("The agent heard of no master for the lease of %s and "
                                             "killed the task, as its label %s asks",
        lease, AGENT_FENCING_LABEL);
    size_t before = core->out.effects.n;
    agent_executor_destroy(core, e, agent_core_lost_or(e->framework, TASK_STATE(GONE)),
        STATUS_REASON(AGENT_DISCONNECTED), message);
    for (size_t i = before; i < core->out.effects.n; i++)
        if (core->out.effects.items[i].type == AGENT_DESTROY)
            core->out.effects.items[i].urgent = true;
}

bool agent_lease_over(const struct agent_core *core)
{
    return core->lease_us && core->now.boot_us - core->contact_us >= core->lease_us;
}

void agent_lease_check(struct agent_core *core)
{
    agent_core_timer_stop(core, &core->lease_timer);
    if (!core->lease_us)
        return;
    int64_t left_us = core->lease_us - (core->now.boot_us - core->contact_us);
    bool watch = false;
    MAP_FOREACH (entry, &core->containers) {
        struct agent_executor *e = entry->value;
        if (!to_be_fenced(e))
            continue;
        if (left_us <= 0)
            fence(core, e);
        else
            watch = true;
    }
    if (watch)
        agent_core_timer_start(core, &core->lease_timer, MIN(left_us, LEASE_LOOK_US));
}

void agent_lease_renew(struct agent_core *core)
{
    core->contact_us = MAX(core->contact_us, core->spoke_us);
    if (heap_contains(&core->lease_timer.node) &&
        core->contact_us - core->stored_contact_us >= core->lease_us / LEASE_STORE_SHARE)
        agent_record_dirty(core, &core->record);
}

void agent_lease_watch(struct agent_core *core)
{
    if (!core->lease_us || heap_contains(&core->lease_timer.node))
        return;
    /* From here on a restart must find a contact that is not older than the task. */
    agent_record_dirty(core, &core->record);
    agent_core_timer_start(core, &core->lease_timer, LEASE_LOOK_US);
}
