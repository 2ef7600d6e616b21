#include "base/clock.h"
#include "master/state.h"

/* Answers to RECONCILE: what the master knows, without an id to acknowledge. */

static void answer(struct master_core *core, struct framework *f, const char *task_id,
    const char *agent_id, Mesos__V1__TaskState state, const char *message, int64_t unreachable_us)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__TaskStatus *status = task_status_new(&arena, task_id,
        task_state_for(state, f->capabilities), MESOS__V1__TASK_STATUS__SOURCE__SOURCE_MASTER,
        MESOS__V1__TASK_STATUS__REASON__REASON_RECONCILIATION, message, agent_id, core->now);
    Mesos__V1__TimeInfo since = MESOS__V1__TIME_INFO__INIT;
    if (unreachable_us > 0) {
        since.has_nanoseconds = true;
        since.nanoseconds = unreachable_us * NSEC_PER_USEC;
        status->unreachable_time = &since;
    }
    send_master_update(core, f, status);
}

static void answer_known(struct master_core *core, struct framework *f, const struct task *t)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__TaskStatus *status = task_status_new(&arena, t->id,
        (Mesos__V1__TaskState)(t->forwarded ? t->forwarded_state : t->state),
        MESOS__V1__TASK_STATUS__SOURCE__SOURCE_MASTER,
        MESOS__V1__TASK_STATUS__REASON__REASON_RECONCILIATION, "Reconciliation: Latest task state",
        t->agent_id->text, core->now);
    const Mesos__V1__TaskStatus *last = task_last_status(t, &arena);
    if (last) {
        status->has_healthy = last->has_healthy;
        status->healthy = last->healthy;
        status->check_status = last->check_status;
        status->container_status = last->container_status;
        status->executor_id = last->executor_id;
        status->labels = last->labels;
    }
    send_master_update(core, f, status);
}

void reconcile_task(
    struct master_core *core, struct framework *f, const char *task_id, const char *agent_id)
{
    if (agent_id && agent_id[0] == '\0')
        agent_id = NULL;
    const struct task *t = map_get(&f->tasks, task_id);
    if (t) {
        answer_known(core, f, t);
        return;
    }
    const struct agent *a = agent_id ? map_get(&core->agents, agent_id) : NULL;
    /* An agent that may still come back with the task: no answer yet. */
    if ((a && a->state == AGENT_RECOVERED) || (!agent_id && core->n_recovered > 0))
        return;
    if (a) {
        answer(core, f, task_id, agent_id, MESOS__V1__TASK_STATE__TASK_GONE,
            "Reconciliation: Task is unknown to the agent", 0);
        return;
    }
    const struct lost_agent *lost = agent_id ? map_get(&core->lost, agent_id) : NULL;
    if (lost) {
        answer(core, f, task_id, agent_id, MESOS__V1__TASK_STATE__TASK_UNREACHABLE,
            "Reconciliation: Task is unreachable", lost->unreachable_us);
        return;
    }
    if (agent_id && map_get(&core->gone, agent_id)) {
        answer(core, f, task_id, agent_id, MESOS__V1__TASK_STATE__TASK_GONE_BY_OPERATOR,
            "Reconciliation: Task is gone, its agent has been marked gone", 0);
        return;
    }
    answer(core, f, task_id, agent_id, MESOS__V1__TASK_STATE__TASK_UNKNOWN,
        "Reconciliation: Task is unknown", 0);
}

void handle_reconcile(
    struct master_core *core, struct framework *f, const Mesos__V1__Scheduler__Call__Reconcile *r)
{
    if (r->n_tasks == 0) {
        MAP_FOREACH (e, &f->tasks)
            answer_known(core, f, e->value);
        return;
    }
    for (size_t i = 0; i < r->n_tasks; i++)
        if (r->tasks[i]->task_id && r->tasks[i]->task_id->value)
            reconcile_task(core, f, r->tasks[i]->task_id->value,
                r->tasks[i]->agent_id ? r->tasks[i]->agent_id->value : NULL);
}
