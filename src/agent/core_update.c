#include "agent/core_internal.h"

/*
 * Streams of status updates, one per task, first in first out. Only the head is on its way to the
 * master; it is sent again after 10 s, doubling up to 10 min, until the acknowledgement with its
 * uuid arrives, then the next one goes. The acknowledgement of a terminal update ends the stream
 * and the task.
 */

static char *stream_key(const char *framework_id, const char *task_id)
{
    return xasprintf("%s\n%s", framework_id, task_id);
}

struct agent_stream *agent_core_stream(
    const struct agent_core *core, const char *framework_id, const char *task_id)
{
    _cleanup_free_ char *key = stream_key(framework_id, task_id);
    return map_get(&core->streams, key);
}

struct agent_stream *agent_stream_add(
    struct agent_core *core, const char *framework_id, const char *task_id, const char *executor_id)
{
    struct agent_stream *s = xnew(struct agent_stream);
    agent_record_init(core, &s->record, AGENT_RECORD_STREAM);
    s->key = stream_key(framework_id, task_id);
    s->framework_id = xstrdup(framework_id);
    s->task_id = xstrdup(task_id);
    s->executor_id = executor_id ? xstrdup(executor_id) : NULL;
    list_init(&s->updates);
    s->timer.kind = AGENT_TIMER_STREAM;
    s->retry_us = AGENT_RETRY_MIN_US;
    map_put(&core->streams, s->key, s);
    agent_record_dirty(core, &s->record);
    return s;
}

static void update_free(struct agent_core *core, struct agent_update *u)
{
    agent_record_drop(core, &u->record);
    list_remove(&u->node);
    u->stream->n_updates--;
    agent_bytes_done(&u->status);
    free(u);
}

/* The caller dropped the stream's own record where the stored copy has to go. */
void agent_stream_free(struct agent_core *core, struct agent_stream *s)
{
    LIST_FOREACH_SAFE (u, &s->updates, struct agent_update, node)
        update_free(core, u);
    agent_core_timer_stop(core, &s->timer);
    list_remove(&s->record.dirty);
    map_remove(&core->streams, s->key);
    free(s->key);
    free(s->framework_id);
    free(s->task_id);
    free(s->executor_id);
    free(s);
}

struct agent_update *agent_stream_append(struct agent_core *core, struct agent_stream *s,
    const uint8_t uuid[AGENT_UUID_SIZE], Mesos__V1__TaskState state, struct agent_bytes status)
{
    if (s->n_updates >= AGENT_STREAM_PENDING_MAX) {
        /* The oldest that is neither in flight nor the end: what it said has been overtaken. */
        struct agent_update *head = list_first(&s->updates, struct agent_update, node);
        LIST_FOREACH_SAFE (old, &s->updates, struct agent_update, node) {
            if (old == head || agent_state_terminal(old->state))
                continue;
            update_free(core, old);
            break;
        }
    }
    struct agent_update *u = xnew(struct agent_update);
    agent_record_init(core, &u->record, AGENT_RECORD_UPDATE);
    u->stream = s;
    memcpy(u->uuid, uuid, AGENT_UUID_SIZE);
    u->state = state;
    u->status = status;
    list_push(&s->updates, &u->node);
    s->n_updates++;
    s->latest_state = state;
    agent_record_dirty(core, &u->record);
    agent_record_dirty(core, &s->record);
    return u;
}

/* ---- to the master ---- */

/* Sends the head, when there is one and somebody to send it to, and sets the retry. */
void agent_stream_forward(struct agent_core *core, struct agent_stream *s)
{
    agent_core_timer_stop(core, &s->timer);
    struct agent_update *head = list_first(&s->updates, struct agent_update, node);
    if (!head || core->link != AGENT_REGISTERED_LINK)
        return;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *status;
    if (wire_unpack(&mesos__v1__task_status__descriptor, &arena, head->status.p, head->status.n,
            &status, NULL) < 0)
        return; /* packed by ourselves and checked when restored */
    Mesos__V1__FrameworkID framework_id = MESOS__V1__FRAMEWORK_ID__INIT;
    framework_id.value = s->framework_id;
    Mesos__V1__ExecutorID executor_id = MESOS__V1__EXECUTOR_ID__INIT;
    executor_id.value = s->executor_id;
    Dcos__Internal__StatusUpdate update = DCOS__INTERNAL__STATUS_UPDATE__INIT;
    update.framework_id = &framework_id;
    update.executor_id = s->executor_id ? &executor_id : NULL;
    update.status = (Mesos__V1__TaskStatus *)status;
    update.has_latest_state = true;
    update.latest_state = s->latest_state;
    Dcos__Internal__AgentRecord record = DCOS__INTERNAL__AGENT_RECORD__INIT;
    record.update = &update;
    agent_core_to_master(core, &record);
    if (!s->forwarded || memcmp(s->forwarded_uuid, head->uuid, AGENT_UUID_SIZE) != 0) {
        s->forwarded = true;
        s->forwarded_state = head->state;
        memcpy(s->forwarded_uuid, head->uuid, AGENT_UUID_SIZE);
        agent_record_dirty(core, &s->record);
    }
    agent_core_timer_start(core, &s->timer, s->retry_us);
}

void agent_stream_retry(struct agent_core *core, struct agent_stream *s)
{
    s->retry_us = MIN(s->retry_us * 2, AGENT_RETRY_MAX_US);
    agent_stream_forward(core, s);
}

void agent_stream_acknowledge(
    struct agent_core *core, const Dcos__Internal__StatusUpdateAcknowledgement *a)
{
    if (!a->framework_id || !a->framework_id->value || !a->task_id || !a->task_id->value)
        return;
    struct agent_stream *s = agent_core_stream(core, a->framework_id->value, a->task_id->value);
    struct agent_update *head = s ? list_first(&s->updates, struct agent_update, node) : NULL;
    if (!head || a->uuid.len != AGENT_UUID_SIZE ||
        memcmp(head->uuid, a->uuid.data, AGENT_UUID_SIZE) != 0)
        return; /* late or repeated */
    /* Only the last update ends the stream: an id may be used again while the end of its first
     * life is still on its way. */
    bool end = agent_state_terminal(head->state) && s->n_updates == 1;
    memcpy(s->acked[s->n_acked++ % AGENT_STREAM_ACKED_MAX], head->uuid, AGENT_UUID_SIZE);
    update_free(core, head);
    s->retry_us = AGENT_RETRY_MIN_US;
    if (!end) {
        agent_record_dirty(core, &s->record);
        agent_stream_forward(core, s);
        return;
    }
    struct agent_framework *f = agent_framework_get(core, s->framework_id);
    struct agent_task *t = agent_task_get(f, s->task_id);
    agent_record_drop(core, &s->record);
    agent_stream_free(core, s);
    if (t && t->phase == AGENT_TASK_TERMINATED) {
        struct agent_executor *e = t->executor;
        agent_task_complete(core, t);
        agent_executor_maybe_remove(core, e);
    } else if (f) {
        agent_framework_maybe_remove(core, f);
    }
}

/* ---- into a stream ---- */

static bool stream_knows(const struct agent_stream *s, const uint8_t uuid[AGENT_UUID_SIZE])
{
    size_t n = MIN(s->n_acked, (size_t)AGENT_STREAM_ACKED_MAX);
    for (size_t i = 0; i < n; i++)
        if (memcmp(s->acked[i], uuid, AGENT_UUID_SIZE) == 0)
            return true;
    LIST_FOREACH (u, &s->updates, struct agent_update, node)
        if (memcmp(u->uuid, uuid, AGENT_UUID_SIZE) == 0)
            return true;
    return false;
}

static void count_terminal(struct agent_core *core, Mesos__V1__TaskState state)
{
    struct agent_counters *c = &core->counters;
    switch (state) {
    case TASK_STATE(FINISHED):
        c->tasks_finished++;
        break;
    case TASK_STATE(FAILED):
        c->tasks_failed++;
        break;
    case TASK_STATE(KILLED):
        c->tasks_killed++;
        break;
    case TASK_STATE(LOST):
        c->tasks_lost++;
        break;
    case TASK_STATE(GONE):
    case TASK_STATE(GONE_BY_OPERATOR):
        c->tasks_gone++;
        break;
    case TASK_STATE(DROPPED):
        c->tasks_dropped++;
        break;
    case TASK_STATE(ERROR):
        c->tasks_error++;
        break;
    default:
        break;
    }
}

/* Takes a complete status (uuid and state set). False when the task already came to its end. */
static bool status_take(struct agent_core *core, const char *framework_id, const char *executor_id,
    const Mesos__V1__TaskStatus *status, struct agent_task *t)
{
    if (t && agent_state_terminal(t->state))
        return false;
    Mesos__V1__TaskStatus drained;
    status = agent_drain_status(
        core, t ? t->framework : agent_framework_get(core, framework_id), status, &drained);
    struct agent_bytes packed = {0};
    agent_bytes_pack(&packed, &status->base);
    struct agent_stream *s = agent_core_stream(core, framework_id, status->task_id->value);
    if (!s)
        s = agent_stream_add(core, framework_id, status->task_id->value, executor_id);
    if (t) {
        t->state = status->state;
        agent_bytes_set(&t->status, packed.p, packed.n);
        agent_bytes_done(&t->info);
        if (agent_state_terminal(status->state)) {
            t->phase = AGENT_TASK_TERMINATED;
            t->kill_pending = false;
        }
        agent_record_dirty(core, &t->record);
    }
    if (agent_state_terminal(status->state))
        count_terminal(core, status->state);
    bool idle = s->n_updates == 0;
    agent_stream_append(core, s, status->uuid.data, status->state, packed);
    if (idle)
        agent_stream_forward(core, s);
    return true;
}

Mesos__V1__TaskState agent_core_lost_or(const struct agent_framework *f, Mesos__V1__TaskState fine)
{
    return f && f->partition_aware ? fine : TASK_STATE(LOST);
}

void agent_core_agent_update(struct agent_core *core, const struct agent_core_status *c)
{
    struct agent_framework *f = agent_framework_get(core, c->framework_id);
    if (f && f->terminating)
        return;
    Mesos__V1__TaskStatus status = MESOS__V1__TASK_STATUS__INIT;
    Mesos__V1__TaskID task_id = MESOS__V1__TASK_ID__INIT;
    Mesos__V1__AgentID agent_id = MESOS__V1__AGENT_ID__INIT;
    Mesos__V1__ExecutorID executor_id = MESOS__V1__EXECUTOR_ID__INIT;
    uint8_t uuid[AGENT_UUID_SIZE];
    agent_core_uuid(core, uuid);
    task_id.value = (char *)(uintptr_t)c->task_id;
    agent_id.value = core->id;
    executor_id.value = (char *)(uintptr_t)c->executor_id;
    status.task_id = &task_id;
    status.agent_id = core->id ? &agent_id : NULL;
    status.executor_id = c->executor_id ? &executor_id : NULL;
    status.has_state = true;
    status.state = c->state;
    status.has_source = true;
    status.source = MESOS__V1__TASK_STATUS__SOURCE__SOURCE_AGENT;
    status.has_reason = true;
    status.reason = c->reason;
    status.message = (char *)(uintptr_t)c->message;
    status.has_timestamp = true;
    status.timestamp = (double)core->now.wall_us / (double)USEC_PER_SEC;
    status.has_uuid = true;
    status.uuid = (ProtobufCBinaryData){.len = sizeof(uuid), .data = uuid};
    status.limitation = c->limitation;
    status_take(core, c->framework_id, c->executor_id, &status, agent_task_get(f, c->task_id));
}

static void acknowledge_executor(
    struct agent_core *core, struct agent_executor *e, const Mesos__V1__TaskStatus *status)
{
    Mesos__V1__Executor__Event__Acknowledged acked = MESOS__V1__EXECUTOR__EVENT__ACKNOWLEDGED__INIT;
    acked.task_id = status->task_id;
    acked.has_uuid = true;
    acked.uuid = status->uuid;
    Mesos__V1__Executor__Event event = MESOS__V1__EXECUTOR__EVENT__INIT;
    event.type = MESOS__V1__EXECUTOR__EVENT__TYPE__ACKNOWLEDGED;
    event.acknowledged = &acked;
    agent_core_to_executor(core, e, &event);
}

/* Where the container can be reached: tools find ports of tasks through this. */
static void fill_container_status(struct agent_core *core, const struct agent_executor *e,
    Mesos__V1__TaskStatus *status, struct arena *arena)
{
    if (!status->container_status) {
        status->container_status = arena_new(arena, Mesos__V1__ContainerStatus);
        mesos__v1__container_status__init(status->container_status);
    }
    Mesos__V1__ContainerStatus *cs = status->container_status;
    if (!cs->container_id) {
        cs->container_id = arena_new(arena, Mesos__V1__ContainerID);
        mesos__v1__container_id__init(cs->container_id);
        cs->container_id->value = e->container_id;
    }
    if (!cs->has_executor_pid && e->pid > 0) {
        cs->has_executor_pid = true;
        cs->executor_pid = (uint32_t)e->pid;
    }
    if (cs->n_network_infos || !core->ip)
        return;
    Mesos__V1__NetworkInfo *network = arena_new(arena, Mesos__V1__NetworkInfo);
    mesos__v1__network_info__init(network);
    Mesos__V1__NetworkInfo__IPAddress *address = arena_new(
        arena, Mesos__V1__NetworkInfo__IPAddress);
    mesos__v1__network_info__ipaddress__init(address);
    address->has_protocol = true;
    address->protocol = strchr(core->ip, ':') ? MESOS__V1__NETWORK_INFO__PROTOCOL__IPv6
                                              : MESOS__V1__NETWORK_INFO__PROTOCOL__IPv4;
    address->ip_address = core->ip;
    network->n_ip_addresses = 1;
    network->ip_addresses = arena_new_array(arena, Mesos__V1__NetworkInfo__IPAddress *, 1);
    network->ip_addresses[0] = address;
    cs->n_network_infos = 1;
    cs->network_infos = arena_new_array(arena, Mesos__V1__NetworkInfo *, 1);
    cs->network_infos[0] = network;
}

void agent_executor_update(
    struct agent_core *core, struct agent_executor *e, const Mesos__V1__TaskStatus *given)
{
    if (!given || !given->task_id || !given->task_id->value || !given->has_state ||
        given->uuid.len != AGENT_UUID_SIZE)
        return;
    if (given->agent_id && given->agent_id->value && !streq(given->agent_id->value, core->id)) {
        core->counters.invalid_updates++;
        return;
    }
    if (e->framework->terminating) {
        /* Nobody wants to know any more; the executor need not wait for its end. */
        acknowledge_executor(core, e, given);
        return;
    }
    struct agent_stream *s = agent_core_stream(core, e->framework->id, given->task_id->value);
    struct agent_task *t = agent_task_get(e->framework, given->task_id->value);
    if ((s && stream_knows(s, given->uuid.data)) || !t || t->executor != e) {
        /* A repetition, or a task that this executor was never given: it must not try again. */
        if (!t || t->executor != e)
            core->counters.invalid_updates++;
        acknowledge_executor(core, e, given);
        return;
    }
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__TaskStatus status = *given;
    Mesos__V1__AgentID agent_id = MESOS__V1__AGENT_ID__INIT;
    agent_id.value = core->id;
    status.agent_id = core->id ? &agent_id : NULL;
    Mesos__V1__ExecutorID executor_id = MESOS__V1__EXECUTOR_ID__INIT;
    executor_id.value = e->id;
    status.executor_id = &executor_id;
    if (!status.has_timestamp) {
        status.has_timestamp = true;
        status.timestamp = (double)core->now.wall_us / (double)USEC_PER_SEC;
    }
    /* `given` stays as it is: what is filled in goes to a copy. */
    if (given->container_status) {
        status.container_status = (Mesos__V1__ContainerStatus *)wire_clone(
            &given->container_status->base, &arena);
    }
    fill_container_status(core, e, &status, &arena);
    bool was_queued = t->phase == AGENT_TASK_QUEUED;
    if (status_take(core, e->framework->id, e->id, &status, t)) {
        core->counters.valid_updates++;
        if (was_queued && t->phase == AGENT_TASK_QUEUED)
            t->phase = AGENT_TASK_LAUNCHED;
        if (agent_state_terminal(status.state) && e->state == AGENT_EXECUTOR_RUNNING) {
            agent_core_effect(core, AGENT_UPDATE_CONTAINER)->container_id = xstrdup(
                e->container_id);
        }
    } else {
        core->counters.invalid_updates++;
    }
    acknowledge_executor(core, e, given);
}

void agent_core_update(struct agent_core *core, const struct agent_now *now,
    struct agent_executor *executor, const Mesos__V1__TaskStatus *status)
{
    agent_core_begin(core, now);
    agent_executor_update(core, executor, status);
}
