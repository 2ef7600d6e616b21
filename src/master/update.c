#include <string.h>

#include "base/alloc.h"
#include "master/state.h"

/* Status updates on their way from agents to frameworks, and acknowledgements on theirs back. */

static void forward(struct master_core *core, struct framework *f, const struct agent *a,
    const Dcos__Internal__StatusUpdate *u)
{
    Mesos__V1__AgentID agent_id = MESOS__V1__AGENT_ID__INIT;
    agent_id.value = a->id->text;
    Mesos__V1__TaskStatus status = *u->status;
    status.agent_id = &agent_id;
    if (u->executor_id)
        status.executor_id = u->executor_id;
    Mesos__V1__Scheduler__Event__Update update = MESOS__V1__SCHEDULER__EVENT__UPDATE__INIT;
    update.status = &status;
    Mesos__V1__Scheduler__Event e = MESOS__V1__SCHEDULER__EVENT__INIT;
    e.has_type = true;
    e.type = MESOS__V1__SCHEDULER__EVENT__TYPE__UPDATE;
    e.update = &update;
    send_event(core, f, &e);
}

void handle_status_update(
    struct master_core *core, struct agent *a, const Dcos__Internal__StatusUpdate *u)
{
    core->stats.messages_status_update++;
    const Mesos__V1__TaskStatus *status = u->status;
    struct framework *f = u->framework_id && u->framework_id->value
                              ? find_framework(core, u->framework_id->value)
                              : NULL;
    if (!f || !status || !status->task_id || !status->task_id->value || !status->has_state ||
        !status->has_uuid || status->uuid.len != 16) {
        /* A framework that was removed: its shutdown is on the way to the agent. */
        core->stats.invalid_status_updates++;
        return;
    }
    core->stats.valid_status_updates++;
    forward(core, f, a, u);
    struct task *t = map_get(&f->tasks, status->task_id->value);
    if (!t || t->agent != a)
        return;
    bool resent = t->forwarded && memcmp(t->uuid, status->uuid.data, 16) == 0;
    t->forwarded = true;
    t->forwarded_state = (uint8_t)status->state;
    memcpy(t->uuid, status->uuid.data, 16);
    if (resent)
        return;
    bool was_terminal = task_state_is_terminal((Mesos__V1__TaskState)t->state);
    task_transition(core, t, u->has_latest_state ? u->latest_state : status->state, status);
    if (!was_terminal && task_state_is_terminal(status->state))
        count_task_state(core, status);
    else if (was_terminal && task_state_is_terminal(status->state) && !resent)
        count_task_state(core, status);
}

void handle_acknowledge(struct master_core *core, struct framework *f,
    const Mesos__V1__Scheduler__Call__Acknowledge *ack)
{
    struct agent *a = map_get(&core->agents, ack->agent_id->value);
    if (!a || !agent_connected(a)) {
        core->stats.invalid_acks++;
        return;
    }
    struct task *t = map_get(&f->tasks, ack->task_id->value);
    if (t && (!t->forwarded || t->agent != a)) {
        core->stats.invalid_acks++;
        return;
    }
    core->stats.valid_acks++;
    Mesos__V1__FrameworkID framework_id = MESOS__V1__FRAMEWORK_ID__INIT;
    framework_id.value = f->id->text;
    Dcos__Internal__StatusUpdateAcknowledgement out =
        DCOS__INTERNAL__STATUS_UPDATE_ACKNOWLEDGEMENT__INIT;
    out.framework_id = &framework_id;
    out.task_id = ack->task_id;
    out.has_uuid = true;
    out.uuid = ack->uuid;
    Dcos__Internal__MasterRecord rec = DCOS__INTERNAL__MASTER_RECORD__INIT;
    rec.acknowledge = &out;
    send_agent(core, a, &rec);
    if (t && memcmp(t->uuid, ack->uuid.data, 16) == 0 &&
        task_state_is_terminal((Mesos__V1__TaskState)t->forwarded_state))
        task_complete(core, t);
}

void handle_executor_exited(
    struct master_core *core, struct agent *a, const Dcos__Internal__ExecutorExited *m)
{
    core->stats.messages_exited_executor++;
    struct framework *f = m->framework_id && m->framework_id->value
                              ? find_framework(core, m->framework_id->value)
                              : NULL;
    if (!f || !m->executor_id || !m->executor_id->value)
        return;
    struct executor *e = executor_find(a, f, m->executor_id->value);
    if (!e)
        return; /* a command task's own: nobody is told */
    executor_remove(core, e);
    Mesos__V1__AgentID agent_id = MESOS__V1__AGENT_ID__INIT;
    agent_id.value = a->id->text;
    Mesos__V1__Scheduler__Event__Failure failure = MESOS__V1__SCHEDULER__EVENT__FAILURE__INIT;
    failure.agent_id = &agent_id;
    failure.executor_id = m->executor_id;
    failure.has_status = true;
    failure.status = m->has_status ? m->status : -1;
    Mesos__V1__Scheduler__Event event = MESOS__V1__SCHEDULER__EVENT__INIT;
    event.has_type = true;
    event.type = MESOS__V1__SCHEDULER__EVENT__TYPE__FAILURE;
    event.failure = &failure;
    send_event(core, f, &event);
}
