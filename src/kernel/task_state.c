/* Names and order of task states, and statuses. */

#include <errno.h>

#include "base/clock.h"
#include "kernel/framework.h"
#include "kernel/task.h"
#include "wire/codec.h"

bool task_state_is_terminal(Mesos__V1__TaskState state)
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

const char *task_state_name(Mesos__V1__TaskState state)
{
    const char *name = wire_enum_name(&mesos__v1__task_state__descriptor, (int)state);
    return name ? name : "TASK_UNKNOWN";
}

int task_state_parse(const char *name, Mesos__V1__TaskState *ret)
{
    int value;
    int r = wire_enum_parse(&mesos__v1__task_state__descriptor, name, &value);
    if (r == 0)
        *ret = (Mesos__V1__TaskState)value;
    return r;
}

Mesos__V1__TaskState task_state_for(Mesos__V1__TaskState state, uint32_t framework_capabilities)
{
    if (framework_capabilities & FRAMEWORK_PARTITION_AWARE)
        return state;
    switch (state) {
    case MESOS__V1__TASK_STATE__TASK_DROPPED:
    case MESOS__V1__TASK_STATE__TASK_UNREACHABLE:
    case MESOS__V1__TASK_STATE__TASK_GONE:
    case MESOS__V1__TASK_STATE__TASK_GONE_BY_OPERATOR:
    case MESOS__V1__TASK_STATE__TASK_UNKNOWN:
        return MESOS__V1__TASK_STATE__TASK_LOST;
    default:
        return state;
    }
}

const char *task_reason_name(Mesos__V1__TaskStatus__Reason reason)
{
    return wire_enum_name(&mesos__v1__task_status__reason__descriptor, (int)reason);
}

const char *task_source_name(Mesos__V1__TaskStatus__Source source)
{
    return wire_enum_name(&mesos__v1__task_status__source__descriptor, (int)source);
}

const char *task_reason_name_v0(Mesos__V1__TaskStatus__Reason reason)
{
    switch (reason) {
    case MESOS__V1__TASK_STATUS__REASON__REASON_AGENT_DISCONNECTED:
        return "REASON_SLAVE_DISCONNECTED";
    case MESOS__V1__TASK_STATUS__REASON__REASON_AGENT_DRAINING:
        return "REASON_SLAVE_DRAINING";
    case MESOS__V1__TASK_STATUS__REASON__REASON_AGENT_REMOVED:
        return "REASON_SLAVE_REMOVED";
    case MESOS__V1__TASK_STATUS__REASON__REASON_AGENT_REMOVED_BY_OPERATOR:
        return "REASON_SLAVE_REMOVED_BY_OPERATOR";
    case MESOS__V1__TASK_STATUS__REASON__REASON_AGENT_REREGISTERED:
        return "REASON_SLAVE_REREGISTERED";
    case MESOS__V1__TASK_STATUS__REASON__REASON_AGENT_RESTARTED:
        return "REASON_SLAVE_RESTARTED";
    case MESOS__V1__TASK_STATUS__REASON__REASON_AGENT_UNKNOWN:
        return "REASON_SLAVE_UNKNOWN";
    default:
        return task_reason_name(reason);
    }
}

const char *task_source_name_v0(Mesos__V1__TaskStatus__Source source)
{
    if (source == MESOS__V1__TASK_STATUS__SOURCE__SOURCE_AGENT)
        return "SOURCE_SLAVE";
    return task_source_name(source);
}

Mesos__V1__TaskStatus *task_status_new(struct arena *arena, const char *task_id,
    Mesos__V1__TaskState state, Mesos__V1__TaskStatus__Source source, int reason,
    const char *message, const char *agent_id, int64_t now_us)
{
    Mesos__V1__TaskStatus *s = arena_alloc(arena, sizeof(*s));
    mesos__v1__task_status__init(s);
    s->task_id = arena_alloc(arena, sizeof(*s->task_id));
    mesos__v1__task_id__init(s->task_id);
    s->task_id->value = arena_strdup(arena, task_id);
    s->has_state = s->has_source = s->has_timestamp = true;
    s->state = state;
    s->source = source;
    s->timestamp = (double)now_us / (double)USEC_PER_SEC;
    if (reason != TASK_REASON_NONE) {
        s->has_reason = true;
        s->reason = (Mesos__V1__TaskStatus__Reason)reason;
    }
    if (message)
        s->message = arena_strdup(arena, message);
    if (agent_id) {
        s->agent_id = arena_alloc(arena, sizeof(*s->agent_id));
        mesos__v1__agent_id__init(s->agent_id);
        s->agent_id->value = arena_strdup(arena, agent_id);
    }
    return s;
}
