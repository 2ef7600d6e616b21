#include "agent/core_internal.h"

#include <errno.h>

/* Start, registration, and the master's records. */

enum { LINK_MAJOR = 1, LINK_MINOR = 0 };
#define PING_TIMEOUT_MIN_US (1 * USEC_PER_SEC)

/* ---- start ---- */

static Mesos__V1__AgentInfo *unpack_info(const struct agent_bytes *b, struct arena *arena)
{
    ProtobufCMessage *m;
    if (!b->n || wire_unpack(&mesos__v1__agent_info__descriptor, arena, b->p, b->n, &m, NULL) < 0)
        return NULL;
    return (Mesos__V1__AgentInfo *)m;
}

int agent_core_start(struct agent_core *core, const struct agent_now *now, struct error *err)
{
    agent_core_begin(core, now);
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__AgentInfo *old = unpack_info(&core->stored_info, &arena);
    Mesos__V1__AgentInfo *fresh = unpack_info(&core->info, &arena);
    if (old && old->id && fresh) {
        int r = agent_info_check(old, fresh, core->additive, err);
        if (r < 0)
            return r;
        fresh->id = old->id;
        agent_bytes_pack(&core->info, &fresh->base);
        core->id = xstrdup(old->id->value);
    }
    if (fresh) {
        int r = agent_total_start(core, fresh, err);
        if (r < 0)
            return r;
    }
    bool rebooted = core->stored_boot_id && !streq(core->stored_boot_id, core->boot_id);
    if (!core->stored_boot_id || rebooted)
        core->contact_us = now->boot_us; /* another clock; nothing lives to be fenced */
    agent_record_dirty(core, &core->record);
    core->recovering = true;
    MAP_FOREACH (entry, &core->frameworks) {
        struct agent_framework *f = entry->value;
        /* Created before their own record was, by a stop between two batches. */
        if (!f->info.n)
            f->terminating = true;
        if (f->terminating)
            agent_framework_shutdown(core, f);
    }
    bool waiting = false;
    MAP_FOREACH (entry, &core->containers) {
        struct agent_executor *e = entry->value;
        if (e->state == AGENT_EXECUTOR_TERMINATED) {
            agent_executor_maybe_remove(core, e);
        } else if (rebooted) {
            struct agent_container_exit gone = {.status = -1};
            if (!e->ending) {
                e->ending = true;
                e->ending_state = TASK_STATE(FAILED);
                e->ending_reason = STATUS_REASON(EXECUTOR_TERMINATED);
                e->ending_message = xstrdup("The agent's machine was restarted");
            }
            agent_executor_terminated(core, e, &gone);
        } else if (e->state == AGENT_EXECUTOR_TERMINATING) {
            e->recovered = false;
            if (!e->destroying)
                agent_core_timer_start(core, &e->timer, e->shutdown_grace_us);
        } else {
            agent_groups_start(core, e);
            waiting = true;
        }
    }
    /* Frameworks that were about to be removed. */
    MAP_FOREACH (entry, &core->frameworks)
        agent_framework_maybe_remove(core, entry->value);
    if (waiting)
        agent_core_timer_start(core, &core->recovery_timer, core->reregistration_timeout_us);
    agent_volumes_start(core);
    agent_lease_check(core);
    agent_core_check_recovered(core);
    return 0;
}

/* ---- leaving ---- */

static void send_unregister(struct agent_core *core)
{
    Dcos__Internal__Unregister unregister = DCOS__INTERNAL__UNREGISTER__INIT;
    Dcos__Internal__AgentRecord record = DCOS__INTERNAL__AGENT_RECORD__INIT;
    record.unregister = &unregister;
    agent_core_to_master(core, &record);
}

void agent_core_check_empty(struct agent_core *core)
{
    if (core->recovering || map_size(&core->frameworks))
        return;
    if (core->leaving) {
        core->leaving = false;
        if (core->unregistering)
            send_unregister(core);
        agent_core_effect(core, AGENT_EXIT)->message = xstrdup(core->leaving_message);
    } else if (core->forgetting) {
        core->forgetting = false;
        agent_core_set_drain(core, NULL); /* it was the old id that drained */
        agent_operations_forget(core);
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        Mesos__V1__AgentInfo *info = unpack_info(&core->info, &arena);
        if (info) {
            info->id = NULL;
            agent_bytes_pack(&core->info, &info->base);
        }
        free(core->id);
        core->id = NULL;
        agent_record_dirty(core, &core->record);
        agent_core_relink(core, "registers as a new agent");
    }
}

static void leave(struct agent_core *core, const char *message)
{
    if (core->leaving)
        return;
    core->leaving = true;
    core->leaving_message = xstrdup(message);
    agent_core_shutdown_all(core);
    agent_core_check_empty(core);
}

void agent_core_unregister(
    struct agent_core *core, const struct agent_now *now, const char *message)
{
    agent_core_begin(core, now);
    core->unregistering = true;
    leave(core, message);
}

/* ---- registration ---- */

static Mesos__V1__AgentInfo__Capability *capability(
    struct arena *arena, Mesos__V1__AgentInfo__Capability__Type type)
{
    Mesos__V1__AgentInfo__Capability *c = arena_new(arena, Mesos__V1__AgentInfo__Capability);
    mesos__v1__agent_info__capability__init(c);
    c->has_type = true;
    c->type = type;
    return c;
}

static Mesos__V1__Task *task_message(const struct agent_task *t, struct arena *arena)
{
    ProtobufCMessage *m;
    if (wire_unpack(&mesos__v1__task__descriptor, arena, t->task.p, t->task.n, &m, NULL) < 0)
        return NULL;
    Mesos__V1__Task *task = (Mesos__V1__Task *)m;
    task->has_state = true;
    task->state = t->state;
    if (t->status.n && wire_unpack(&mesos__v1__task_status__descriptor, arena, t->status.p,
                           t->status.n, &m, NULL) >= 0) {
        task->n_statuses = 1;
        task->statuses = arena_new_array(arena, Mesos__V1__TaskStatus *, 1);
        task->statuses[0] = (Mesos__V1__TaskStatus *)m;
    }
    return task;
}

const Mesos__V1__AgentInfo__Capability__Type *agent_core_capabilities(size_t *ret_n)
{
    static const Mesos__V1__AgentInfo__Capability__Type capabilities[] = {
        MESOS__V1__AGENT_INFO__CAPABILITY__TYPE__MULTI_ROLE,
        MESOS__V1__AGENT_INFO__CAPABILITY__TYPE__HIERARCHICAL_ROLE,
        MESOS__V1__AGENT_INFO__CAPABILITY__TYPE__RESERVATION_REFINEMENT,
        /* Says that operations are tracked; masters want it for feedback. There are no providers.
         */
        MESOS__V1__AGENT_INFO__CAPABILITY__TYPE__RESOURCE_PROVIDER,
        MESOS__V1__AGENT_INFO__CAPABILITY__TYPE__RESIZE_VOLUME,
        MESOS__V1__AGENT_INFO__CAPABILITY__TYPE__AGENT_OPERATION_FEEDBACK,
        MESOS__V1__AGENT_INFO__CAPABILITY__TYPE__AGENT_DRAINING,
        MESOS__V1__AGENT_INFO__CAPABILITY__TYPE__TASK_RESOURCE_LIMITS,
    };
    *ret_n = ARRAY_SIZE(capabilities);
    return capabilities;
}

static void send_register(struct agent_core *core)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    size_t n_capabilities;
    const Mesos__V1__AgentInfo__Capability__Type *capabilities = agent_core_capabilities(
        &n_capabilities);
    Dcos__Internal__Register r = DCOS__INTERNAL__REGISTER__INIT;
    r.agent_info = unpack_info(&core->info, &arena);
    r.version = core->version;
    r.boot_id = core->boot_id;
    r.ip = core->ip;
    r.has_epoch = true;
    r.epoch = core->epoch;
    r.n_capabilities = n_capabilities;
    r.capabilities = arena_new_array(&arena, Mesos__V1__AgentInfo__Capability *, n_capabilities);
    for (size_t i = 0; i < n_capabilities; i++)
        r.capabilities[i] = capability(&arena, capabilities[i]);
    r.frameworks = arena_new_array(&arena, Mesos__V1__FrameworkInfo *, map_size(&core->frameworks));
    r.executors = arena_new_array(&arena, Mesos__V1__ExecutorInfo *, map_size(&core->containers));
    r.tasks = arena_new_array(&arena, Mesos__V1__Task *, core->n_tasks);
    r.update_states = arena_new_array(
        &arena, Dcos__Internal__TaskUpdateState *, map_size(&core->streams));
    MAP_FOREACH (entry, &core->frameworks) {
        const struct agent_framework *f = entry->value;
        ProtobufCMessage *m;
        if (f->terminating || wire_unpack(&mesos__v1__framework_info__descriptor, &arena, f->info.p,
                                  f->info.n, &m, NULL) < 0)
            continue;
        r.frameworks[r.n_frameworks++] = (Mesos__V1__FrameworkInfo *)m;
        MAP_FOREACH (x, &f->executors) {
            const struct agent_executor *e = x->value;
            if (!e->command && e->state != AGENT_EXECUTOR_TERMINATED &&
                wire_unpack(&mesos__v1__executor_info__descriptor, &arena, e->info.p, e->info.n, &m,
                    NULL) >= 0)
                r.executors[r.n_executors++] = (Mesos__V1__ExecutorInfo *)m;
            LIST_FOREACH (t, &e->tasks, struct agent_task, node) {
                Mesos__V1__Task *task = task_message(t, &arena);
                if (task)
                    r.tasks[r.n_tasks++] = task;
            }
        }
    }
    MAP_FOREACH (entry, &core->streams) {
        struct agent_stream *s = entry->value;
        if (!s->forwarded)
            continue;
        Dcos__Internal__TaskUpdateState *state = arena_new(&arena, Dcos__Internal__TaskUpdateState);
        dcos__internal__task_update_state__init(state);
        state->framework_id = arena_new(&arena, Mesos__V1__FrameworkID);
        mesos__v1__framework_id__init(state->framework_id);
        state->framework_id->value = s->framework_id;
        state->task_id = arena_new(&arena, Mesos__V1__TaskID);
        mesos__v1__task_id__init(state->task_id);
        state->task_id->value = s->task_id;
        state->has_status_update_state = true;
        state->status_update_state = s->forwarded_state;
        state->has_status_update_uuid = true;
        state->status_update_uuid = (ProtobufCBinaryData){
            .len = AGENT_UUID_SIZE, .data = s->forwarded_uuid};
        r.update_states[r.n_update_states++] = state;
    }
    agent_operations_register(core, &r, &arena);
    r.oversubscribed = resources_to_wire(&core->oversubscribed, 0, &arena, &r.n_oversubscribed);
    ProtobufCMessage *drain;
    if (core->draining && wire_unpack(&mesos__v1__drain_config__descriptor, &arena,
                              core->drain_config.p, core->drain_config.n, &drain, NULL) >= 0)
        r.drain_config = (Mesos__V1__DrainConfig *)drain;
    Dcos__Internal__AgentRecord record = DCOS__INTERNAL__AGENT_RECORD__INIT;
    record.register_ = &r;
    agent_core_to_master(core, &record);
}

void agent_core_link_up(struct agent_core *core, const struct agent_now *now)
{
    agent_core_begin(core, now);
    core->link_number++;
    core->link = AGENT_REGISTERING;
    agent_core_timer_start(core, &core->link_timer, core->ping_timeout_us);
    Dcos__Internal__Hello hello = DCOS__INTERNAL__HELLO__INIT;
    hello.has_major = true;
    hello.major = LINK_MAJOR;
    hello.has_minor = true;
    hello.minor = LINK_MINOR;
    hello.build = core->version;
    Dcos__Internal__AgentRecord record = DCOS__INTERNAL__AGENT_RECORD__INIT;
    record.hello = &hello;
    agent_core_to_master(core, &record);
    core->spoke_us = core->now.boot_us;
    send_register(core);
}

void agent_core_link_down(struct agent_core *core, const struct agent_now *now)
{
    agent_core_begin(core, now);
    core->link = AGENT_UNLINKED;
    agent_core_timer_stop(core, &core->link_timer);
    MAP_FOREACH (entry, &core->streams) {
        struct agent_stream *s = entry->value;
        agent_core_timer_stop(core, &s->timer);
    }
    MAP_FOREACH (entry, &core->operations) {
        struct agent_operation *op = entry->value;
        agent_core_timer_stop(core, &op->timer);
    }
}

static void handle_registered(struct agent_core *core, const Dcos__Internal__Registered *r)
{
    if (!r->agent_id || !r->agent_id->value)
        return agent_core_relink(core, "the master gave no agent id");
    if (core->id && !streq(core->id, r->agent_id->value))
        return agent_core_relink(core, "the master answered with another agent's id");
    if (!core->id) {
        core->id = xstrdup(r->agent_id->value);
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        Mesos__V1__AgentInfo *info = unpack_info(&core->info, &arena);
        if (info) {
            info->id = r->agent_id;
            agent_bytes_pack(&core->info, &info->base);
        }
        agent_record_dirty(core, &core->record);
    }
    core->link = AGENT_REGISTERED_LINK;
    if (r->has_ping_timeout_us)
        core->ping_timeout_us = MAX(r->ping_timeout_us, PING_TIMEOUT_MIN_US);
    agent_core_timer_start(core, &core->link_timer, core->ping_timeout_us);
    free(core->master_id);
    core->master_id = r->master_id ? xstrdup(r->master_id) : NULL;
    agent_core_effect(core, AGENT_REGISTERED)->message = xstrdup(core->id);
    for (size_t i = 0; i < r->n_removed_frameworks; i++) {
        struct agent_framework *f = agent_framework_get(core, r->removed_frameworks[i]->value);
        if (f)
            agent_framework_shutdown(core, f);
    }
    int64_t lease_us = MAX(r->lease_us, INT64_C(0));
    if (lease_us != core->lease_us) {
        core->lease_us = lease_us;
        agent_record_dirty(core, &core->record);
    }
    agent_lease_renew(core);
    agent_core_set_drain(core, r->drain_config);
    MAP_FOREACH (entry, &core->streams) {
        struct agent_stream *s = entry->value;
        s->retry_us = AGENT_RETRY_MIN_US;
        agent_stream_forward(core, s);
    }
    MAP_FOREACH (entry, &core->operations) {
        struct agent_operation *op = entry->value;
        op->retry_us = AGENT_RETRY_MIN_US;
        agent_operation_forward(core, op);
    }
}

static void handle_refused(struct agent_core *core, const Dcos__Internal__Refused *r)
{
    if (r->forget && core->id && !core->forgetting) {
        core->forgetting = true;
        agent_record_dirty(core, &core->record);
        agent_core_shutdown_all(core);
        agent_core_check_empty(core);
        if (!core->forgetting)
            return;
    }
    agent_core_relink(core, r->message ? r->message : "the master refused the agent");
}

static void handle_message(struct agent_core *core, const Dcos__Internal__FrameworkMessage *m)
{
    if (!m->framework_id || !m->executor_id)
        return;
    struct agent_executor *e = agent_core_executor(
        core, m->framework_id->value, m->executor_id->value);
    if (!e || !e->connected || e->state != AGENT_EXECUTOR_RUNNING) {
        core->counters.invalid_messages++;
        return;
    }
    core->counters.valid_messages++;
    Mesos__V1__Executor__Event__Message message = MESOS__V1__EXECUTOR__EVENT__MESSAGE__INIT;
    message.has_data = true;
    message.data = m->data;
    Mesos__V1__Executor__Event event = MESOS__V1__EXECUTOR__EVENT__INIT;
    event.type = MESOS__V1__EXECUTOR__EVENT__TYPE__MESSAGE;
    event.message = &message;
    agent_core_to_executor(core, e, &event);
}

static void handle_ping(struct agent_core *core, const Dcos__Internal__Ping *p)
{
    agent_lease_renew(core);
    core->spoke_us = core->now.boot_us;
    Dcos__Internal__Pong pong = DCOS__INTERNAL__PONG__INIT;
    pong.has_sequence = p->has_sequence;
    pong.sequence = p->sequence;
    Dcos__Internal__AgentRecord record = DCOS__INTERNAL__AGENT_RECORD__INIT;
    record.pong = &pong;
    agent_core_to_master(core, &record);
}

static void handle_update_framework(
    struct agent_core *core, const Dcos__Internal__UpdateFramework *u)
{
    struct agent_framework *f = u->framework && u->framework->id
                                    ? agent_framework_get(core, u->framework->id->value)
                                    : NULL;
    if (!f)
        return;
    agent_framework_set_info(f, u->framework);
    agent_record_dirty(core, &f->record);
}

void agent_core_master_record(
    struct agent_core *core, const struct agent_now *now, const Dcos__Internal__MasterRecord *m)
{
    agent_core_begin(core, now);
    if (core->link == AGENT_UNLINKED)
        return;
    if (m->has_epoch && m->epoch < core->epoch)
        return agent_core_relink(core, "the master is not the leader any more (older epoch)");
    if (m->has_epoch && m->epoch > core->epoch) {
        core->epoch = m->epoch;
        agent_record_dirty(core, &core->record);
    }
    /* Whatever it says, it lives. */
    agent_core_timer_start(core, &core->link_timer, core->ping_timeout_us);
    /* Before a ping counts as contact: it may have waited here while the machine slept. */
    if (agent_lease_over(core))
        agent_lease_check(core);
    if (m->hello) {
        if (m->hello->major != LINK_MAJOR)
            agent_core_relink(core, "the master speaks another version of the agent protocol");
        return;
    }
    if (m->registered)
        return handle_registered(core, m->registered);
    if (m->refused)
        return handle_refused(core, m->refused);
    if (m->ping)
        return handle_ping(core, m->ping);
    if (m->shutdown_agent)
        return leave(core, m->shutdown_agent->message ? m->shutdown_agent->message
                                                      : "the master told the agent to shut down");
    if (core->link != AGENT_REGISTERED_LINK)
        return; /* nothing else comes before the answer to the registration */
    if (m->run_task)
        agent_core_run_task(core, m->run_task);
    else if (m->run_task_group)
        agent_core_run_task_group(core, m->run_task_group);
    else if (m->kill_task)
        agent_core_kill_task(core, m->kill_task);
    else if (m->shutdown_executor && m->shutdown_executor->framework_id &&
             m->shutdown_executor->executor_id) {
        struct agent_executor *e = agent_core_executor(core,
            m->shutdown_executor->framework_id->value, m->shutdown_executor->executor_id->value);
        if (e)
            agent_executor_shutdown(core, e);
    } else if (m->shutdown_framework && m->shutdown_framework->framework_id) {
        struct agent_framework *f = agent_framework_get(
            core, m->shutdown_framework->framework_id->value);
        if (f)
            agent_framework_shutdown(core, f);
    } else if (m->acknowledge)
        agent_stream_acknowledge(core, m->acknowledge);
    else if (m->message)
        handle_message(core, m->message);
    else if (m->reconcile)
        agent_core_reconcile(core, m->reconcile);
    else if (m->update_framework)
        handle_update_framework(core, m->update_framework);
    else if (m->apply_operation)
        agent_core_apply_operation(core, m->apply_operation);
    else if (m->acknowledge_operation)
        agent_core_acknowledge_operation(core, m->acknowledge_operation);
    else if (m->reconcile_operations)
        agent_core_reconcile_operations(core, m->reconcile_operations);
    else if (m->drain_agent)
        agent_core_set_drain(core, m->drain_agent->config);
}
