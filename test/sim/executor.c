/*
 * Executors of real agents: with one task each, as dcos-executor, or with as many as their
 * framework gives them. Updates go one at a time, each until it is acknowledged, and once more with
 * every new subscription.
 */

#include <string.h>

#include "real.h"

#define RECOVERY_TIMEOUT (100 * SEC) /* alone for so long, an executor ends */
#define ACK_LIMIT (60 * SEC)         /* after the task's end */

typedef Mesos__V1__Executor__Call Call;
typedef Mesos__V1__Executor__Event Event;

static void lose(struct world *w, struct container *c);
static void flush(struct world *w, struct container *c);

/* ---- messages ---- */

static void fill_call(
    struct container *c, struct arena *arena, Call *call, Mesos__V1__Executor__Call__Type type)
{
    mesos__v1__executor__call__init(call);
    call->has_type = true;
    call->type = type;
    call->executor_id = MSG(arena, Mesos__V1__ExecutorID, mesos__v1__executor_id);
    call->executor_id->value = c->executor_id;
    call->framework_id = MSG(arena, Mesos__V1__FrameworkID, mesos__v1__framework_id);
    call->framework_id->value = c->framework_id;
}

static Mesos__V1__Executor__Call__Update *update_message(
    struct container *c, struct arena *arena, const struct executor_update *u)
{
    Mesos__V1__Executor__Call__Update *m = MSG(
        arena, Mesos__V1__Executor__Call__Update, mesos__v1__executor__call__update);
    Mesos__V1__TaskStatus *s = MSG(arena, Mesos__V1__TaskStatus, mesos__v1__task_status);
    s->task_id = MSG(arena, Mesos__V1__TaskID, mesos__v1__task_id);
    s->task_id->value = u->task_id;
    s->has_state = s->has_source = s->has_uuid = true;
    s->state = u->state;
    s->source = MESOS__V1__TASK_STATUS__SOURCE__SOURCE_EXECUTOR;
    s->uuid = (ProtobufCBinaryData){sizeof(u->uuid), arena_memdup(arena, u->uuid, sizeof(u->uuid))};
    m->status = s;
    return m;
}

static struct container_event *call_event(struct container *c, const Call *call)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    wire_pack(&call->base, &b);
    return container_event(c, b.p, b.n);
}

static const Call *unpack_call(
    struct world *w, const struct container_event *e, struct arena *arena)
{
    ProtobufCMessage *m;
    if (wire_unpack(&mesos__v1__executor__call__descriptor, arena, e->data, e->n, &m, NULL) < 0)
        sim_fail(w, "executor's call does not decode");
    return (const Call *)m;
}

static struct agent_executor *known(const struct container *c)
{
    return c->agent->up ? agent_core_executor(c->agent->real->core, c->framework_id, c->executor_id)
                        : NULL;
}

/* ---- subscription ---- */

static void subscribe_arrives(struct world *w, void *target, unsigned life)
{
    struct container_event *e = target;
    struct container *c = e->c;
    if (c->life != life || c->attempt != e->attempt)
        return;
    struct agent_executor *x = known(c);
    if (!x)
        return lose(w, c); /* nobody listens, or nobody knows it */
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct agent_now now;
    real_now(w, c->agent, &now);
    c->last_down = 0;
    c->stream = agent_core_subscribe(
        c->agent->real->core, &now, x, unpack_call(w, e, &arena)->subscribe);
    real_pump(w, c->agent);
}

static void subscribe(struct world *w, void *target, unsigned life)
{
    struct container *c = target;
    if (c->life != life || c->link != LINK_WAITING)
        return;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Call call;
    fill_call(c, &arena, &call, MESOS__V1__EXECUTOR__CALL__TYPE__SUBSCRIBE);
    Mesos__V1__Executor__Call__Subscribe *s = MSG(
        &arena, Mesos__V1__Executor__Call__Subscribe, mesos__v1__executor__call__subscribe);
    s->unacknowledged_tasks = arena_new_array(&arena, Mesos__V1__TaskInfo *, c->tasks.n + 1);
    VEC_FOREACH (t, &c->tasks)
        if (!(*t)->acknowledged)
            s->unacknowledged_tasks[s->n_unacknowledged_tasks++] = (*t)->info;
    s->unacknowledged_updates = arena_new_array(
        &arena, Mesos__V1__Executor__Call__Update *, c->updates.n + 1);
    bool forgetful = w->options.defect == DEFECT_EXECUTOR_AMNESIA;
    VEC_FOREACH (u, &c->updates) {
        u->taken = true;
        if (!forgetful)
            s->unacknowledged_updates[s->n_unacknowledged_updates++] = update_message(c, &arena, u);
    }
    call.subscribe = s;
    c->link = LINK_SUBSCRIBING;
    c->attempt++;
    c->cut = false;
    sim_after_owned(
        w, sim_between(w, 100, 10 * MSEC), subscribe_arrives, call_event(c, &call), c->life);
}

static void kill_task(struct world *w, struct executor_task *t);

static bool idle(struct container *c)
{
    VEC_FOREACH (t, &c->tasks)
        if (!(*t)->over)
            return false;
    return !c->updates.n || c->lost;
}

static void leave(struct world *w, struct container *c)
{
    if (idle(c)) {
        container_die(w, c, 0);
        return;
    }
    c->leaving = true;
    VEC_FOREACH (t, &c->tasks)
        kill_task(w, *t);
}

static void alone_too_long(struct world *w, void *target, unsigned life)
{
    struct container *c = target;
    if (c->life != life || !c->alone_since || w->now - c->alone_since < RECOVERY_TIMEOUT)
        return;
    sim_trace(w, "agent %u: %s gives its agent up", c->agent->index, c->executor_id);
    c->lost = true;
    leave(w, c);
}

static void lose(struct world *w, struct container *c)
{
    c->attempt++;
    c->link = LINK_WAITING;
    c->calling = false;
    c->stream = 0;
    if (!c->alone_since) {
        c->alone_since = w->now;
        sim_after(w, RECOVERY_TIMEOUT, alone_too_long, c, c->life);
    }
    sim_after(w, sim_between(w, 0, SEC), subscribe, c, c->life);
}

void executor_start(struct world *w, struct container *c)
{
    c->alone_since = w->now;
    sim_after(w, RECOVERY_TIMEOUT, alone_too_long, c, c->life);
    sim_after(w, sim_between(w, MSEC, 300 * MSEC), subscribe, c, c->life);
}

static void notice(struct world *w, void *target, unsigned life)
{
    struct container_event *e = target;
    if (e->c->life == life && e->c->attempt == e->attempt)
        lose(w, e->c);
}

void executor_cut(struct world *w, struct container *c)
{
    c->stream = 0;
    c->cut = true;
    sim_after_owned(w, sim_between(w, 0, SEC), notice, container_event(c, NULL, 0), c->life);
}

/* ---- updates ---- */

static void answered(struct world *w, void *target, unsigned life)
{
    struct container_event *e = target;
    struct container *c = e->c;
    if (c->life != life || c->attempt != e->attempt)
        return;
    c->calling = false;
    VEC_FOREACH (u, &c->updates)
        if (memcmp(u->uuid, e->uuid, sizeof(u->uuid)) == 0)
            u->taken = true;
    flush(w, c);
}

/* On a connection of its own: it may arrive although the stream is broken. */
static void update_arrives(struct world *w, void *target, unsigned life)
{
    struct container_event *e = target;
    struct container *c = e->c;
    bool current = c->life == life && c->attempt == e->attempt;
    if (!current && sim_chance(w, 50))
        return;
    if (!c->agent->up) {
        if (current)
            lose(w, c);
        return;
    }
    struct agent_executor *x = known(c);
    if (x && x->state != AGENT_EXECUTOR_REGISTERING && !x->connected) {
        if (current)
            lose(w, c); /* 503: older ones come first, with the next subscription */
        return;
    }
    if (x && x->state != AGENT_EXECUTOR_REGISTERING) {
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        struct agent_now now;
        real_now(w, c->agent, &now);
        agent_core_update(c->agent->real->core, &now, x, unpack_call(w, e, &arena)->update->status);
        real_pump(w, c->agent);
    }
    if (!current)
        return;
    if (w->chaos && sim_chance(w, 1))
        return lose(w, c); /* the answer does not make it */
    struct container_event *answer = container_event(c, NULL, 0);
    memcpy(answer->uuid, e->uuid, sizeof(answer->uuid));
    sim_after_owned(w, sim_between(w, 100, 5 * MSEC), answered, answer, c->life);
}

static void flush(struct world *w, struct container *c)
{
    if (c->link != LINK_SUBSCRIBED || c->calling)
        return;
    VEC_FOREACH (u, &c->updates) {
        if (u->taken)
            continue;
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        Call call;
        fill_call(c, &arena, &call, MESOS__V1__EXECUTOR__CALL__TYPE__UPDATE);
        call.update = update_message(c, &arena, u);
        c->calling = true;
        struct container_event *e = call_event(c, &call);
        memcpy(e->uuid, u->uuid, sizeof(e->uuid));
        sim_after_owned(w, sim_between(w, 100, 10 * MSEC), update_arrives, e, c->life);
        return;
    }
}

static void ack_limit(struct world *w, void *target, unsigned life)
{
    struct container *c = target;
    if (c->life == life)
        container_die(w, c, 0);
}

void executor_task_dies(struct executor_task *t)
{
    t->runs = false;
    t->life++;
}

/* One of them failed or was killed. */
static void end_group(struct world *w, const struct executor_task *ended)
{
    VEC_FOREACH (t, &ended->c->tasks)
        if (*t != ended && (*t)->group == ended->group)
            kill_task(w, *t);
}

static void update(struct world *w, struct executor_task *t, Mesos__V1__TaskState state)
{
    struct container *c = t->c;
    struct executor_update u = {.state = state, .task_id = t->info->task_id->value};
    rng_bytes(&w->rng, u.uuid, sizeof(u.uuid));
    uuid_make_v4(u.uuid);
    _cleanup_free_ char *key = xasprintf("%s/%s", c->framework_id, u.task_id);
    ledger_made(w, c->agent, key, u.uuid);
    sim_trace(w, "agent %u: task %s is %d", c->agent->index, key, state);
    vec_push(&c->updates, u);
    if (sim_state_ended(state)) {
        executor_task_dies(t);
        t->over = true;
        w->finished++;
        if (t->group && state != MESOS__V1__TASK_STATE__TASK_FINISHED)
            end_group(w, t);
        if (c->command)
            sim_after(w, ACK_LIMIT, ack_limit, c, c->life);
        if (c->lost)
            return leave(w, c);
    }
    flush(w, c);
}

static void acknowledged(struct world *w, struct container *c, const ProtobufCBinaryData *uuid)
{
    for (size_t i = 0; i < c->updates.n; i++) {
        if (uuid->len != AGENT_UUID_SIZE ||
            memcmp(c->updates.items[i].uuid, uuid->data, AGENT_UUID_SIZE) != 0)
            continue;
        ledger_promised(w, uuid->data);
        VEC_FOREACH (t, &c->tasks)
            if (streq((*t)->info->task_id->value, c->updates.items[i].task_id))
                (*t)->acknowledged = true;
        vec_remove(&c->updates, i);
        break;
    }
    if (idle(c) && (c->leaving || ((c->command || c->pod) && c->tasks.n)))
        container_die(w, c, 0);
}

/* ---- the task ---- */

static void ends(struct world *w, void *target, unsigned life)
{
    struct executor_task *t = target;
    if (!t->runs || t->life != life)
        return;
    if (t->killing)
        update(w, t, MESOS__V1__TASK_STATE__TASK_KILLED);
    else if (sim_chance(w, 50))
        update(w, t, MESOS__V1__TASK_STATE__TASK_FINISHED);
    else
        update(w, t, MESOS__V1__TASK_STATE__TASK_FAILED);
}

static void runs(struct world *w, void *target, unsigned life)
{
    struct executor_task *t = target;
    if (!t->runs || t->life != life)
        return;
    update(w, t, MESOS__V1__TASK_STATE__TASK_RUNNING);
    if (w->chaos && sim_chance(w, 30))
        sim_after(w, sim_between(w, MSEC, 120 * SEC), ends, t, t->life);
}

static struct executor_task *launch(
    struct world *w, struct container *c, const Mesos__V1__TaskInfo *task)
{
    if (c->command && c->tasks.n)
        sim_fail(w, "executor %s is given a second task: %s", c->executor_id, task->task_id->value);
    struct executor_task *t = xnew(struct executor_task);
    t->c = c;
    t->info = (Mesos__V1__TaskInfo *)wire_clone(&task->base, &t->arena);
    t->runs = true;
    sim_resources(task->resources, task->n_resources, &t->cpus_milli, &t->mem_milli);
    vec_push(&c->tasks, t);
    _cleanup_free_ char *key = xasprintf("%s/%s", c->framework_id, task->task_id->value);
    sim_task_starts(w, c->agent, key);
    update(w, t, MESOS__V1__TASK_STATE__TASK_STARTING);
    if (w->chaos && sim_chance(w, 3))
        sim_after(w, sim_between(w, MSEC, SEC), ends, t, t->life);
    else
        sim_after(w, sim_between(w, MSEC, SEC), runs, t, t->life);
    return t;
}

/* All of it, as it was launched: none is missing and none is new. */
static void launch_group(
    struct world *w, struct container *c, const Mesos__V1__TaskGroupInfo *group)
{
    c->groups++;
    for (size_t i = 0; i < group->n_tasks; i++) {
        const Mesos__V1__TaskInfo *task = group->tasks[i];
        _cleanup_free_ char *together = xasprintf("%zu together", group->n_tasks);
        if (!streq(task->name, together))
            sim_fail(w, "executor %s is given %zu tasks of '%s'", c->executor_id, group->n_tasks,
                task->name);
        launch(w, c, task)->group = c->groups;
    }
}

static void kill_task(struct world *w, struct executor_task *t)
{
    if (!t->runs || t->killing)
        return;
    t->killing = true;
    t->life++;
    sim_after(w, sim_between(w, MSEC, 3 * SEC), ends, t, t->life);
}

/* ---- events ---- */

static void event_arrives(struct world *w, void *target, unsigned life)
{
    struct container_event *in = target;
    struct container *c = in->c;
    if (c->life != life || c->attempt != in->attempt || c->cut)
        return;
    if (!in->n)
        return lose(w, c);
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m;
    if (wire_unpack(&mesos__v1__executor__event__descriptor, &arena, in->data, in->n, &m, NULL) < 0)
        sim_fail(w, "executor's event does not decode");
    const Event *e = (const Event *)m;
    switch (e->type) {
    case MESOS__V1__EXECUTOR__EVENT__TYPE__SUBSCRIBED:
        c->link = LINK_SUBSCRIBED;
        c->alone_since = 0;
        flush(w, c);
        break;
    case MESOS__V1__EXECUTOR__EVENT__TYPE__LAUNCH:
        if (c->link != LINK_SUBSCRIBED)
            sim_fail(w, "executor %s got a task before it was subscribed", c->executor_id);
        if (c->pod)
            sim_fail(w, "executor %s is given a single task", c->executor_id);
        launch(w, c, e->launch->task);
        break;
    case MESOS__V1__EXECUTOR__EVENT__TYPE__LAUNCH_GROUP:
        if (c->link != LINK_SUBSCRIBED || !c->pod)
            sim_fail(w, "executor %s got a group before it was subscribed", c->executor_id);
        launch_group(w, c, e->launch_group->task_group);
        break;
    case MESOS__V1__EXECUTOR__EVENT__TYPE__KILL:
        VEC_FOREACH (t, &c->tasks)
            if (streq((*t)->info->task_id->value, e->kill->task_id->value))
                kill_task(w, *t);
        break;
    case MESOS__V1__EXECUTOR__EVENT__TYPE__ACKNOWLEDGED:
        acknowledged(w, c, &e->acknowledged->uuid);
        break;
    case MESOS__V1__EXECUTOR__EVENT__TYPE__SHUTDOWN:
        leave(w, c);
        break;
    default:
        break;
    }
}

void executor_send(struct world *w, struct container *c, uint64_t stream, const void *p, size_t n)
{
    if (c->state != CONTAINER_ALIVE)
        return;
    c->last_down = MAX(c->last_down, w->now + sim_between(w, 100, 5 * MSEC));
    sim_after_owned(w, c->last_down - w->now, event_arrives, container_event(c, p, n), c->life);
    if (w->chaos && sim_chance(w, 1))
        container_disconnect(w, c);
}
