#include "agent/core_internal.h"

/*
 * Task groups (pods): tasks that are taken, refused, delivered and, before they are delivered,
 * killed together. Once their executor has them each goes its own way, and what the end of one
 * means for the others is the executor's business.
 *
 * A group is named by the serial of its first task's record. The tasks of one that waits are all
 * there: a stop between two batches of one output can leave a part of it on disk, which is dropped
 * at the next start.
 */

static void refuse(struct agent_core *core, struct agent_framework *f,
    const Dcos__Internal__RunTaskGroup *r, Mesos__V1__TaskState state,
    Mesos__V1__TaskStatus__Reason reason, const char *message)
{
    const char *executor_id = r->executor->executor_id->value;
    for (size_t i = 0; i < r->group->n_tasks; i++) {
        struct agent_core_status s = {
            .framework_id = f->id,
            .task_id = r->group->tasks[i]->task_id->value,
            .executor_id = executor_id,
            .state = state,
            .reason = reason,
            .message = message,
        };
        agent_core_agent_update(core, &s);
    }
    if (r->launch_executor)
        agent_executor_disown(core, f, executor_id);
    agent_framework_maybe_remove(core, f);
}

/* The reason a group cannot run here at all, or NULL. */
static const char *group_fault(struct agent_core *core, const Dcos__Internal__RunTaskGroup *r)
{
    const Mesos__V1__ExecutorInfo *executor = r->executor;
    bool pod = executor->type == MESOS__V1__EXECUTOR_INFO__TYPE__DEFAULT;
    if (!pod && !executor->command)
        return "The group's executor has no command";
    const char *fault = agent_container_fault(executor->container, false);
    if (!fault && core->n_tasks + r->group->n_tasks > AGENT_TASKS_MAX)
        fault = "This agent has too many tasks";
    size_t size = 0;
    for (size_t i = 0; i < r->group->n_tasks && !fault; i++) {
        const Mesos__V1__TaskInfo *task = r->group->tasks[i];
        size += protobuf_c_message_get_packed_size(&task->base);
        fault = agent_task_size_fault(core, task);
        if (!fault && pod && !task->command)
            fault = "A task of the group has no command";
        if (!fault)
            fault = agent_container_fault(task->container, pod);
    }
    if (!fault && size > AGENT_GROUP_MAX)
        fault = "The group's description is too large for this agent";
    return fault;
}

static bool group_lacks(
    struct agent_core *core, const Dcos__Internal__RunTaskGroup *r, struct buf *ret_what)
{
    if (agent_total_lacks(core, r->executor->resources, r->executor->n_resources, ret_what))
        return true;
    for (size_t i = 0; i < r->group->n_tasks; i++) {
        const Mesos__V1__TaskInfo *task = r->group->tasks[i];
        if (agent_total_lacks(core, task->resources, task->n_resources, ret_what))
            return true;
    }
    return false;
}

static bool well_formed(const Dcos__Internal__RunTaskGroup *r)
{
    if (!r->framework || !r->framework->id || !r->framework->id->value || !r->group ||
        !r->group->n_tasks || !r->executor || !r->executor->executor_id ||
        !r->executor->executor_id->value)
        return false;
    for (size_t i = 0; i < r->group->n_tasks; i++)
        if (!r->group->tasks[i]->task_id || !r->group->tasks[i]->task_id->value)
            return false;
    return true;
}

/* True when the group may not run; all of it has been told why. */
static bool refused(struct agent_core *core, struct agent_framework *f,
    const Dcos__Internal__RunTaskGroup *r, const struct agent_executor *e)
{
    Mesos__V1__TaskState dropped = agent_core_lost_or(f, TASK_STATE(DROPPED));
    if (core->forgetting || core->leaving) {
        refuse(
            core, f, r, dropped, STATUS_REASON(AGENT_REMOVED), "The agent is leaving the cluster");
        return true;
    }
    if (core->draining) {
        refuse(core, f, r, dropped, STATUS_REASON(AGENT_DRAINING), "The agent is draining");
        return true;
    }
    const char *fault = group_fault(core, r);
    if (fault) {
        refuse(core, f, r, TASK_STATE(ERROR), STATUS_REASON(TASK_GROUP_INVALID), fault);
        return true;
    }
    _cleanup_buf_ struct buf lacking = BUF_INIT;
    if (group_lacks(core, r, &lacking)) {
        _cleanup_free_ char *message = xasprintf("The agent does not have %s", buf_cstr(&lacking));
        refuse(core, f, r, dropped, STATUS_REASON(RESOURCES_UNKNOWN), message);
        return true;
    }
    bool pod = r->executor->type == MESOS__V1__EXECUTOR_INFO__TYPE__DEFAULT;
    if (e && (e->command || e->pod != pod)) {
        refuse(core, f, r, dropped, STATUS_REASON(TASK_GROUP_INVALID),
            "An executor of another kind has the group executor's id");
        return true;
    }
    if (e && e->state >= AGENT_EXECUTOR_TERMINATING) {
        refuse(core, f, r, dropped, STATUS_REASON(EXECUTOR_TERMINATED),
            "The group's executor is terminating");
        return true;
    }
    if (!e && r->has_launch_executor && !r->launch_executor) {
        /* It ended when the group was on its way; the master hears of that in its turn. */
        refuse(core, f, r, dropped, STATUS_REASON(EXECUTOR_TERMINATED),
            "The group's executor has ended");
        return true;
    }
    return false;
}

void agent_core_run_task_group(struct agent_core *core, const Dcos__Internal__RunTaskGroup *r)
{
    if (!well_formed(r))
        return;
    struct agent_framework *f = agent_framework_get(core, r->framework->id->value);
    if (f && f->terminating)
        return;
    for (size_t i = 0; i < r->group->n_tasks; i++)
        if (agent_task_get(f, r->group->tasks[i]->task_id->value))
            return; /* sent twice */
    if (!f)
        f = agent_framework_add(core, r->framework->id->value);
    agent_framework_set_info(f, r->framework);
    agent_record_dirty(core, &f->record);
    struct agent_executor *e = map_get(&f->executors, r->executor->executor_id->value);
    if (refused(core, f, r, e))
        return;
    bool fresh = !e;
    if (fresh)
        e = agent_executor_make(core, f, r->executor);
    uint64_t group = 0;
    bool fenced = e->fenced;
    for (size_t i = 0; i < r->group->n_tasks; i++) {
        Mesos__V1__TaskInfo task = *r->group->tasks[i];
        if (!task.executor)
            task.executor = r->executor;
        struct agent_task *t = agent_task_add(core, e, task.task_id->value);
        if (!group)
            group = t->record.serial;
        t->group = group;
        t->group_size = r->group->n_tasks;
        agent_task_set_info(core, t, &task);
        agent_record_dirty(core, &t->record);
        fenced = fenced || t->fenced;
    }
    if (fenced)
        agent_lease_watch(core);
    if (fresh) {
        agent_executor_launch(core, e);
    } else {
        agent_executor_hand_over(core, e);
    }
}

void agent_groups_start(struct agent_core *core, struct agent_executor *e)
{
    LIST_FOREACH (t, &e->tasks, struct agent_task, node) {
        if (t->phase != AGENT_TASK_QUEUED || !t->group)
            continue;
        size_t n = 0;
        LIST_FOREACH (other, &e->tasks, struct agent_task, node)
            n += other->group == t->group;
        if (n >= t->group_size)
            continue;
        uint64_t group = t->group;
        LIST_FOREACH (other, &e->tasks, struct agent_task, node) {
            if (other->group != group)
                continue;
            struct agent_core_status s = {
                .framework_id = e->framework->id,
                .task_id = other->id,
                .executor_id = e->id,
                .state = agent_core_lost_or(e->framework, TASK_STATE(DROPPED)),
                .reason = STATUS_REASON(AGENT_RESTARTED),
                .message = "The agent was restarted before it had taken the whole group",
            };
            agent_core_agent_update(core, &s);
        }
    }
}
