#include "agent/core_internal.h"

#include <stdio.h>
#include <sys/wait.h>

/* Executors: their streams, their containers, their end, and what becomes of their tasks. */

static bool has_work(const struct agent_executor *e, enum agent_task_phase phase)
{
    LIST_FOREACH (t, &e->tasks, struct agent_task, node)
        if (t->phase == phase)
            return true;
    return false;
}

static void send_shutdown(struct agent_core *core, struct agent_executor *e)
{
    Mesos__V1__Executor__Event event = MESOS__V1__EXECUTOR__EVENT__INIT;
    event.type = MESOS__V1__EXECUTOR__EVENT__TYPE__SHUTDOWN;
    agent_core_to_executor(core, e, &event);
}

static void destroy_container(struct agent_core *core, struct agent_executor *e)
{
    if (e->destroying)
        return;
    e->destroying = true;
    agent_core_timer_stop(core, &e->timer);
    struct agent_effect *d = agent_core_effect(core, AGENT_DESTROY);
    d->container_id = xstrdup(e->container_id);
}

void agent_executor_destroy(struct agent_core *core, struct agent_executor *e,
    Mesos__V1__TaskState state, Mesos__V1__TaskStatus__Reason reason, const char *message)
{
    if (e->state == AGENT_EXECUTOR_TERMINATED)
        return;
    if (!e->ending && message) {
        e->ending = true;
        e->ending_state = state;
        e->ending_reason = reason;
        e->ending_message = xstrdup(message);
    }
    e->state = AGENT_EXECUTOR_TERMINATING;
    agent_record_dirty(core, &e->record);
    destroy_container(core, e);
}

void agent_executor_shutdown(struct agent_core *core, struct agent_executor *e)
{
    if (e->state >= AGENT_EXECUTOR_TERMINATING)
        return;
    bool registered = e->state == AGENT_EXECUTOR_RUNNING;
    e->state = AGENT_EXECUTOR_TERMINATING;
    agent_record_dirty(core, &e->record);
    if (!registered) {
        destroy_container(core, e);
        return;
    }
    /* Not connected just now: it is told when it comes back within the grace period. */
    send_shutdown(core, e);
    agent_core_timer_start(core, &e->timer, e->shutdown_grace_us);
}

void agent_framework_shutdown(struct agent_core *core, struct agent_framework *f)
{
    if (!f->terminating) {
        f->terminating = true;
        agent_record_dirty(core, &f->record);
    }
    MAP_FOREACH (entry, &f->executors)
        agent_executor_shutdown(core, entry->value);
    /* Executors that ended, with updates that nobody will acknowledge any more. */
    MAP_FOREACH (entry, &f->executors) {
        struct agent_executor *e = entry->value;
        if (e->state != AGENT_EXECUTOR_TERMINATED)
            continue;
        LIST_FOREACH_SAFE (t, &e->tasks, struct agent_task, node)
            agent_task_complete(core, t);
    }
    bool last = map_size(&f->executors) == 0;
    MAP_FOREACH (entry, &f->executors) {
        struct agent_executor *e = entry->value;
        if (e->state == AGENT_EXECUTOR_TERMINATED) {
            last = map_size(&f->executors) == 1;
            agent_executor_maybe_remove(core, e);
            if (last)
                return; /* and the framework with it */
        }
    }
    if (last)
        agent_framework_maybe_remove(core, f);
}

void agent_core_shutdown_all(struct agent_core *core)
{
    MAP_FOREACH (f, &core->frameworks)
        agent_framework_shutdown(core, f->value);
}

void agent_executor_timer_fired(struct agent_core *core, struct agent_executor *e)
{
    if (e->state == AGENT_EXECUTOR_REGISTERING) {
        agent_executor_destroy(core, e, TASK_STATE(FAILED),
            STATUS_REASON(EXECUTOR_REGISTRATION_TIMEOUT), "The executor did not register in time");
    } else if (e->state == AGENT_EXECUTOR_TERMINATING) {
        destroy_container(core, e);
    }
}

/* ---- subscription ---- */

static Mesos__V1__AgentInfo *agent_info(struct agent_core *core, struct arena *arena)
{
    ProtobufCMessage *m;
    if (wire_unpack(
            &mesos__v1__agent_info__descriptor, arena, core->info.p, core->info.n, &m, NULL) < 0)
        return NULL;
    return (Mesos__V1__AgentInfo *)m;
}

static void send_subscribed(struct agent_core *core, struct agent_executor *e)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *executor_info = NULL, *framework_info = NULL;
    (void)wire_unpack(
        &mesos__v1__executor_info__descriptor, &arena, e->info.p, e->info.n, &executor_info, NULL);
    (void)wire_unpack(&mesos__v1__framework_info__descriptor, &arena, e->framework->info.p,
        e->framework->info.n, &framework_info, NULL);
    Mesos__V1__ContainerID container_id = MESOS__V1__CONTAINER_ID__INIT;
    container_id.value = e->container_id;
    Mesos__V1__Executor__Event__Subscribed s = MESOS__V1__EXECUTOR__EVENT__SUBSCRIBED__INIT;
    s.executor_info = (Mesos__V1__ExecutorInfo *)executor_info;
    s.framework_info = (Mesos__V1__FrameworkInfo *)framework_info;
    s.agent_info = agent_info(core, &arena);
    s.container_id = &container_id;
    Mesos__V1__Executor__Event event = MESOS__V1__EXECUTOR__EVENT__INIT;
    event.type = MESOS__V1__EXECUTOR__EVENT__TYPE__SUBSCRIBED;
    event.subscribed = &s;
    agent_core_to_executor(core, e, &event);
}

static void send_pending_kills(struct agent_core *core, struct agent_executor *e)
{
    LIST_FOREACH (t, &e->tasks, struct agent_task, node) {
        if (!t->kill_pending || t->phase != AGENT_TASK_LAUNCHED)
            continue;
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        ProtobufCMessage *policy = NULL;
        if (t->kill_policy.n)
            (void)wire_unpack(&mesos__v1__kill_policy__descriptor, &arena, t->kill_policy.p,
                t->kill_policy.n, &policy, NULL);
        Mesos__V1__TaskID task_id = MESOS__V1__TASK_ID__INIT;
        task_id.value = t->id;
        Mesos__V1__Executor__Event__Kill kill = MESOS__V1__EXECUTOR__EVENT__KILL__INIT;
        kill.task_id = &task_id;
        kill.kill_policy = (Mesos__V1__KillPolicy *)policy;
        Mesos__V1__Executor__Event event = MESOS__V1__EXECUTOR__EVENT__INIT;
        event.type = MESOS__V1__EXECUTOR__EVENT__TYPE__KILL;
        event.kill = &kill;
        agent_core_to_executor(core, e, &event);
        t->kill_pending = false;
        agent_record_dirty(core, &t->record);
    }
}

static bool lists_task(const Mesos__V1__Executor__Call__Subscribe *s, const char *task_id)
{
    for (size_t i = 0; s && i < s->n_unacknowledged_tasks; i++) {
        const Mesos__V1__TaskInfo *t = s->unacknowledged_tasks[i];
        if (t->task_id && streq(t->task_id->value, task_id))
            return true;
    }
    return false;
}

/* Tasks that were handed over and never arrived: the stream broke with them on it. */
static void settle_undelivered(struct agent_core *core, struct agent_executor *e,
    const Mesos__V1__Executor__Call__Subscribe *subscribe)
{
    LIST_FOREACH_SAFE (t, &e->tasks, struct agent_task, node) {
        if (t->phase != AGENT_TASK_LAUNCHED || t->state != TASK_STATE(STAGING) ||
            lists_task(subscribe, t->id))
            continue;
        if (agent_executor_ours(e) && t->info.n) {
            /* Our own executor reports faithfully what it was given, so this can be repeated. A
             * group goes in one event: either all of its tasks arrived or none. */
            t->phase = AGENT_TASK_QUEUED;
            agent_record_dirty(core, &t->record);
            continue;
        }
        struct agent_core_status s = {
            .framework_id = e->framework->id,
            .task_id = t->id,
            .executor_id = e->id,
            .state = agent_core_lost_or(e->framework, TASK_STATE(DROPPED)),
            .reason = STATUS_REASON(AGENT_RESTARTED),
            .message = "The task did not reach the executor",
        };
        agent_core_agent_update(core, &s);
    }
}

uint64_t agent_core_subscribe(struct agent_core *core, const struct agent_now *now,
    struct agent_executor *e, const Mesos__V1__Executor__Call__Subscribe *subscribe)
{
    agent_core_begin(core, now);
    e->connection = core->next_connection++;
    e->connected = true;
    uint64_t connection = e->connection;
    if (e->framework->terminating || e->state >= AGENT_EXECUTOR_TERMINATING) {
        /* What it still has to say counts; then it has to go. */
        for (size_t i = 0; subscribe && i < subscribe->n_unacknowledged_updates; i++)
            agent_executor_update(core, e, subscribe->unacknowledged_updates[i]->status);
        send_shutdown(core, e);
        struct agent_effect *close = agent_core_effect(core, AGENT_CLOSE_EXECUTOR);
        close->number = connection;
        return connection;
    }
    agent_core_timer_stop(core, &e->timer);
    e->recovered = false;
    if (e->state == AGENT_EXECUTOR_REGISTERING) {
        e->state = AGENT_EXECUTOR_RUNNING;
        agent_record_dirty(core, &e->record);
    }
    bool idle = !has_work(e, AGENT_TASK_QUEUED) && !has_work(e, AGENT_TASK_LAUNCHED) &&
                !has_work(e, AGENT_TASK_TERMINATED) && (!e->delivered || e->command);
    /* First of all events; acknowledgements of what it brings follow. */
    if (!idle)
        send_subscribed(core, e);
    for (size_t i = 0; subscribe && i < subscribe->n_unacknowledged_updates; i++)
        agent_executor_update(core, e, subscribe->unacknowledged_updates[i]->status);
    settle_undelivered(core, e, subscribe);
    if (idle) {
        agent_executor_shutdown(core, e);
        agent_core_check_recovered(core);
        return connection;
    }
    if (core->draining)
        agent_executor_drain(core, e); /* what it was told may have been lost with its old stream */
    agent_executor_hand_over(core, e);
    send_pending_kills(core, e);
    agent_core_check_recovered(core);
    return connection;
}

void agent_core_disconnected(struct agent_core *core, const struct agent_now *now,
    struct agent_executor *e, uint64_t connection)
{
    agent_core_begin(core, now);
    if (e->connection == connection)
        e->connected = false;
}

void agent_core_message(struct agent_core *core, const struct agent_now *now,
    struct agent_executor *e, const void *data, size_t n)
{
    agent_core_begin(core, now);
    if (core->link != AGENT_REGISTERED_LINK) {
        core->counters.invalid_messages++;
        return; /* best effort */
    }
    core->counters.valid_messages++;
    Mesos__V1__FrameworkID framework_id = MESOS__V1__FRAMEWORK_ID__INIT;
    framework_id.value = e->framework->id;
    Mesos__V1__ExecutorID executor_id = MESOS__V1__EXECUTOR_ID__INIT;
    executor_id.value = e->id;
    Dcos__Internal__FrameworkMessage message = DCOS__INTERNAL__FRAMEWORK_MESSAGE__INIT;
    message.framework_id = &framework_id;
    message.executor_id = &executor_id;
    message.has_data = true;
    message.data = (ProtobufCBinaryData){.len = n, .data = (uint8_t *)(uintptr_t)data};
    Dcos__Internal__AgentRecord record = DCOS__INTERNAL__AGENT_RECORD__INIT;
    record.message = &message;
    agent_core_to_master(core, &record);
}

/* ---- containers ---- */

void agent_core_container_started(struct agent_core *core, const struct agent_now *now,
    const char *container_id, int pid, uint64_t start_time)
{
    agent_core_begin(core, now);
    struct agent_executor *e = map_get(&core->containers, container_id);
    if (!e)
        return;
    e->pid = pid;
    e->start_time = start_time;
    agent_record_dirty(core, &e->record);
    if (e->state == AGENT_EXECUTOR_REGISTERING)
        agent_core_timer_start(core, &e->timer, core->registration_timeout_us);
}

static void send_exited(
    struct agent_core *core, struct agent_framework *f, const char *id, int status)
{
    Mesos__V1__FrameworkID framework_id = MESOS__V1__FRAMEWORK_ID__INIT;
    framework_id.value = f->id;
    Mesos__V1__ExecutorID executor_id = MESOS__V1__EXECUTOR_ID__INIT;
    executor_id.value = (char *)(uintptr_t)id;
    Dcos__Internal__ExecutorExited exited = DCOS__INTERNAL__EXECUTOR_EXITED__INIT;
    exited.framework_id = &framework_id;
    exited.executor_id = &executor_id;
    exited.has_status = true;
    exited.status = status;
    Dcos__Internal__AgentRecord record = DCOS__INTERNAL__AGENT_RECORD__INIT;
    record.executor_exited = &exited;
    agent_core_to_master(core, &record);
}

void agent_executor_disown(
    struct agent_core *core, struct agent_framework *f, const char *executor_id)
{
    const struct agent_executor *e = executor_id ? map_get(&f->executors, executor_id) : NULL;
    if (executor_id && (!e || e->command || e->state == AGENT_EXECUTOR_TERMINATED))
        send_exited(core, f, executor_id, -1);
}

static const char *exit_text(int status, char *out, size_t size)
{
    if (status == -1)
        snprintf(out, size, "Executor terminated");
    else if (WIFEXITED(status))
        snprintf(out, size, "Executor terminated: exited with status %d", WEXITSTATUS(status));
    else
        snprintf(out, size, "Executor terminated: ended by signal %d (%s)", WTERMSIG(status),
            strsignal(WTERMSIG(status)));
    return out;
}

void agent_executor_terminated(
    struct agent_core *core, struct agent_executor *e, const struct agent_container_exit *exit)
{
    if (e->state == AGENT_EXECUTOR_TERMINATED)
        return;
    bool restarted = e->recovered;
    e->state = AGENT_EXECUTOR_TERMINATED;
    e->recovered = false;
    e->connected = false;
    agent_core_timer_stop(core, &e->timer);
    agent_record_dirty(core, &e->record);
    core->counters.executors_terminated++;

    char text[128];
    struct agent_core_status s = {
        .framework_id = e->framework->id,
        .executor_id = e->id,
        .state = TASK_STATE(FAILED),
        .reason = STATUS_REASON(EXECUTOR_TERMINATED),
        .message = exit_text(exit->status, text, sizeof(text)),
    };
    Mesos__V1__Value__Scalar mem_value = MESOS__V1__VALUE__SCALAR__INIT;
    Mesos__V1__Resource mem = MESOS__V1__RESOURCE__INIT, *resources[] = {&mem};
    Mesos__V1__TaskResourceLimitation limitation = MESOS__V1__TASK_RESOURCE_LIMITATION__INIT;
    if (exit->limited) {
        s.reason = STATUS_REASON(CONTAINER_LIMITATION_MEMORY);
        s.message = exit->message;
        if (exit->mem_limit_bytes > 0) {
            mem_value.has_value = true;
            mem_value.value = (double)exit->mem_limit_bytes / (1024.0 * 1024.0);
            mem.name = (char *)(uintptr_t) "mem";
            mem.has_type = true;
            mem.type = MESOS__V1__VALUE__TYPE__SCALAR;
            mem.scalar = &mem_value;
            limitation.n_resources = 1;
            limitation.resources = resources;
            s.limitation = &limitation;
        }
    } else if (e->ending) {
        s.state = e->ending_state;
        s.reason = e->ending_reason;
        s.message = e->ending_message;
    }
    bool told = e->ending || exit->limited;
    LIST_FOREACH_SAFE (t, &e->tasks, struct agent_task, node) {
        if (e->framework->terminating) {
            agent_task_complete(core, t);
            continue;
        }
        if (t->phase == AGENT_TASK_TERMINATED)
            continue;
        struct agent_core_status one = s;
        one.task_id = t->id;
        if (t->phase == AGENT_TASK_QUEUED && restarted && !told) {
            one.state = agent_core_lost_or(e->framework, TASK_STATE(DROPPED));
            one.reason = STATUS_REASON(AGENT_RESTARTED);
            one.message = "The agent was restarted before the task reached its executor";
        }
        agent_core_agent_update(core, &one);
    }
    if (!e->command) /* the master knows nothing of these */
        send_exited(core, e->framework, e->id, exit->status);
    agent_executor_maybe_remove(core, e);
    agent_core_check_recovered(core);
}

void agent_core_container_exited(struct agent_core *core, const struct agent_now *now,
    const char *container_id, const struct agent_container_exit *exit)
{
    agent_core_begin(core, now);
    struct agent_executor *e = map_get(&core->containers, container_id);
    if (e)
        agent_executor_terminated(core, e, exit);
}

void agent_core_container_failed(struct agent_core *core, const struct agent_now *now,
    const char *container_id, const char *message)
{
    agent_core_begin(core, now);
    struct agent_executor *e = map_get(&core->containers, container_id);
    if (!e)
        return;
    core->counters.launch_errors++;
    if (!e->ending) {
        e->ending = true;
        e->ending_state = TASK_STATE(FAILED);
        e->ending_reason = STATUS_REASON(CONTAINER_LAUNCH_FAILED);
        e->ending_message = xasprintf("Failed to launch container: %s", message);
    }
    struct agent_container_exit exit = {.status = -1};
    agent_executor_terminated(core, e, &exit);
}

void agent_core_container_update_failed(struct agent_core *core, const struct agent_now *now,
    const char *container_id, const char *message)
{
    agent_core_begin(core, now);
    struct agent_executor *e = map_get(&core->containers, container_id);
    if (!e || e->state >= AGENT_EXECUTOR_TERMINATING)
        return;
    _cleanup_free_ char *text = xasprintf(
        "Failed to update resources of the container: %s", message);
    agent_executor_destroy(core, e, agent_core_lost_or(e->framework, TASK_STATE(GONE)),
        STATUS_REASON(CONTAINER_UPDATE_FAILED), text);
}

/* ---- recovery ---- */

void agent_core_check_recovered(struct agent_core *core)
{
    if (!core->recovering)
        return;
    MAP_FOREACH (entry, &core->containers) {
        const struct agent_executor *e = entry->value;
        if (e->recovered)
            return;
    }
    core->recovering = false;
    agent_core_timer_stop(core, &core->recovery_timer);
    agent_core_effect(core, AGENT_RECOVERED);
    agent_core_check_empty(core);
}

void agent_core_recovery_timeout(struct agent_core *core)
{
    MAP_FOREACH (entry, &core->containers) {
        struct agent_executor *e = entry->value;
        if (!e->recovered)
            continue;
        e->recovered = false;
        agent_executor_destroy(core, e, agent_core_lost_or(e->framework, TASK_STATE(GONE)),
            STATUS_REASON(EXECUTOR_REREGISTRATION_TIMEOUT),
            "The executor did not come back in time after a restart of the agent");
    }
    agent_core_check_recovered(core);
}
