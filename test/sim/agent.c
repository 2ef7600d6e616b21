/*
 * A model of an agent: runs tasks as timers, keeps each task's updates until they are acknowledged,
 * remembers all of it across restarts of its process (as the checkpoint of the real one does) and
 * loses its tasks when the host dies.
 */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "wire/codec.h"
#include "world.h"

static const int64_t PING_TIMEOUT = 30 * SEC;

bool sim_state_ended(Mesos__V1__TaskState state)
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

static void send_head(struct world *w, struct sim_agent *a, struct sim_task *t);

static char *task_key(const char *framework_id, const char *task_id)
{
    return xasprintf("%s/%s", framework_id, task_id);
}

static struct sim_task *task_find(
    struct sim_agent *a, const char *framework_id, const char *task_id)
{
    _cleanup_free_ char *key = task_key(framework_id, task_id);
    return map_get(&a->tasks, key);
}

/* Tasks are kept in the map under a key that belongs to the map's entry. */
static struct sim_task *task_add(struct sim_agent *a, const char *framework_id, const char *task_id)
{
    struct sim_task *t = xnew(struct sim_task);
    t->id = xstrdup(task_id);
    t->framework_id = xstrdup(framework_id);
    t->state = MESOS__V1__TASK_STATE__TASK_STAGING;
    map_put(&a->tasks, task_key(framework_id, task_id), t);
    return t;
}

static void task_drop(struct sim_agent *a, struct map_entry *entry)
{
    struct sim_task *t = entry->value;
    char *key = (char *)(uintptr_t)entry->key;
    map_remove(&a->tasks, key);
    free(key);
    free(t->id);
    free(t->framework_id);
    arena_done(&t->arena);
    vec_done(&t->updates);
    free(t);
}

static void task_forget(struct sim_agent *a, struct sim_task *t)
{
    MAP_FOREACH (e, &a->tasks) {
        if (e->value == t) {
            task_drop(a, e);
            return;
        }
    }
}

static void framework_keep(struct sim_agent *a, const Mesos__V1__FrameworkInfo *info)
{
    struct buf *b = map_get(&a->frameworks, info->id->value);
    if (!b) {
        b = xnew(struct buf);
        map_put(&a->frameworks, xstrdup(info->id->value), b);
    }
    buf_clear(b);
    wire_pack(&info->base, b);
}

static void frameworks_clear(struct sim_agent *a)
{
    MAP_FOREACH (e, &a->frameworks) {
        struct buf *b = e->value;
        buf_done(b);
        free(b);
        free((char *)(uintptr_t)e->key);
    }
    map_done(&a->frameworks);
}

static void lose_identity(struct sim_agent *a)
{
    MAP_FOREACH (e, &a->tasks)
        task_drop(a, e);
    frameworks_clear(a);
    free(a->id);
    a->id = NULL;
}

/* ---- updates ---- */

static void retry(struct world *w, void *target, unsigned generation);

struct retry_ref {
    struct sim_agent *agent;
    uint8_t uuid[16];
    int64_t delay;
    char key[];
};

static void update_add(struct world *w, struct sim_agent *a, struct sim_task *t,
    Mesos__V1__TaskState state, Mesos__V1__TaskStatus__Reason reason)
{
    struct sim_update u = {.state = state, .reason = reason};
    rng_bytes(&w->rng, u.uuid, sizeof(u.uuid));
    uuid_make_v4(u.uuid);
    t->state = state;
    if (sim_state_ended(state) && t->alive) {
        t->alive = false;
        t->generation++;
        w->finished++;
    }
    sim_trace(w, "agent %u: task %s is %d", a->index, t->id, state);
    vec_push(&t->updates, u);
    if (t->updates.n == 1)
        send_head(w, a, t);
}

static void send_once(struct world *w, struct sim_agent *a, struct sim_task *t)
{
    if (!a->up || !a->registered)
        return;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Dcos__Internal__AgentRecord record = DCOS__INTERNAL__AGENT_RECORD__INIT;
    Dcos__Internal__StatusUpdate *u = MSG(
        &arena, Dcos__Internal__StatusUpdate, dcos__internal__status_update);
    u->framework_id = MSG(&arena, Mesos__V1__FrameworkID, mesos__v1__framework_id);
    u->framework_id->value = t->framework_id;
    u->executor_id = MSG(&arena, Mesos__V1__ExecutorID, mesos__v1__executor_id);
    u->executor_id->value = t->id;
    Mesos__V1__TaskStatus *s = MSG(&arena, Mesos__V1__TaskStatus, mesos__v1__task_status);
    s->task_id = MSG(&arena, Mesos__V1__TaskID, mesos__v1__task_id);
    s->task_id->value = t->id;
    s->has_state = true;
    s->state = t->updates.items[0].state;
    s->has_source = true;
    s->source = MESOS__V1__TASK_STATUS__SOURCE__SOURCE_EXECUTOR;
    if (t->updates.items[0].reason) {
        s->has_reason = true;
        s->reason = t->updates.items[0].reason;
    }
    s->has_uuid = true;
    s->uuid = (ProtobufCBinaryData){16, t->updates.items[0].uuid};
    s->agent_id = MSG(&arena, Mesos__V1__AgentID, mesos__v1__agent_id);
    s->agent_id->value = a->id;
    s->executor_id = u->executor_id;
    s->has_timestamp = true;
    s->timestamp = (double)w->now / 1e6;
    u->status = s;
    u->has_latest_state = true;
    u->latest_state = t->state;
    record.update = u;
    sim_send(w, a->conn, true, &record.base);
}

static void schedule_retry(struct world *w, struct sim_agent *a, struct sim_task *t, int64_t delay)
{
    _cleanup_free_ char *key = task_key(t->framework_id, t->id);
    struct retry_ref *ref = xcalloc(1, sizeof(*ref) + strlen(key) + 1);
    ref->agent = a;
    memcpy(ref->key, key, strlen(key) + 1);
    memcpy(ref->uuid, t->updates.items[0].uuid, 16);
    ref->delay = delay;
    sim_after_owned(w, delay, retry, ref, a->generation);
}

static void send_head(struct world *w, struct sim_agent *a, struct sim_task *t)
{
    if (!t->updates.n || !a->up || !a->registered)
        return;
    send_once(w, a, t);
    schedule_retry(w, a, t, 10 * SEC);
}

static void retry(struct world *w, void *target, unsigned generation)
{
    struct retry_ref *ref = target;
    struct sim_agent *a = ref->agent;
    struct sim_task *t = map_get(&a->tasks, ref->key);
    if (a->generation == generation && a->registered && t && t->updates.n &&
        memcmp(t->updates.items[0].uuid, ref->uuid, 16) == 0) {
        send_once(w, a, t);
        schedule_retry(w, a, t, MIN(ref->delay * 2, 600 * SEC));
    }
}

/* ---- the life of tasks: executors live on when the agent's process does not ---- */

struct life_ref {
    struct sim_agent *agent;
    unsigned generation;
    Mesos__V1__TaskState state;
    char key[];
};

static void life_step(struct world *w, void *target, unsigned unused);

static void life_after(struct world *w, struct sim_agent *a, struct sim_task *t, int64_t delay,
    Mesos__V1__TaskState state)
{
    _cleanup_free_ char *key = task_key(t->framework_id, t->id);
    struct life_ref *ref = xcalloc(1, sizeof(*ref) + strlen(key) + 1);
    ref->agent = a;
    memcpy(ref->key, key, strlen(key) + 1);
    ref->generation = t->generation;
    ref->state = state;
    sim_after_owned(w, delay, life_step, ref, 0);
}

static void life_step(struct world *w, void *target, unsigned unused)
{
    struct life_ref *ref = target;
    struct sim_agent *a = ref->agent;
    struct sim_task *t = map_get(&a->tasks, ref->key);
    if (t && t->alive && t->generation == ref->generation) {
        update_add(w, a, t, ref->state, 0);
        if (ref->state == MESOS__V1__TASK_STATE__TASK_STARTING)
            life_after(w, a, t, sim_between(w, MSEC, SEC), MESOS__V1__TASK_STATE__TASK_RUNNING);
        else if (ref->state == MESOS__V1__TASK_STATE__TASK_RUNNING && w->chaos && sim_chance(w, 30))
            life_after(w, a, t, sim_between(w, MSEC, 120 * SEC),
                sim_chance(w, 50) ? MESOS__V1__TASK_STATE__TASK_FINISHED
                                  : MESOS__V1__TASK_STATE__TASK_FAILED);
    }
}

static void run_task(struct world *w, struct sim_agent *a, const Dcos__Internal__RunTask *run)
{
    const char *id = run->task->task_id->value;
    const char *fid = run->framework->id->value;
    _cleanup_free_ char *key = task_key(fid, id);
    uintptr_t runs = (uintptr_t)map_get(&w->runs, key) + 1;
    if (runs > 1)
        sim_fail(w, "task %s is run a second time, by agent %u", key, a->index);
    if (run->task->executor)
        sim_fail(w, "task %s has an executor that nobody gave it", key);
    map_put(&w->runs, xstrdup(key), (void *)runs);
    w->launches++;
    framework_keep(a, run->framework);
    struct sim_task *t = task_add(a, fid, id);
    t->info = (Mesos__V1__TaskInfo *)wire_clone(&run->task->base, &t->arena);
    t->alive = true;
    sim_trace(w, "agent %u: run %s", a->index, key);
    life_after(w, a, t, sim_between(w, MSEC, SEC), MESOS__V1__TASK_STATE__TASK_STARTING);
}

static void kill_task(struct world *w, struct sim_agent *a, const Dcos__Internal__KillTask *kill)
{
    const char *fid = kill->framework_id->value, *id = kill->task_id->value;
    struct sim_task *t = task_find(a, fid, id);
    sim_trace(w, "agent %u: kill %s", a->index, id);
    if (!t) {
        if (!map_get(&a->frameworks, fid))
            return;
        t = task_add(a, fid, id);
        update_add(w, a, t, MESOS__V1__TASK_STATE__TASK_LOST,
            MESOS__V1__TASK_STATUS__REASON__REASON_EXECUTOR_TERMINATED);
    } else if (t->alive && !t->killing) {
        t->killing = true;
        t->generation++;
        life_after(w, a, t, sim_between(w, MSEC, 3 * SEC), MESOS__V1__TASK_STATE__TASK_KILLED);
    }
}

static void acknowledge(
    struct world *w, struct sim_agent *a, const Dcos__Internal__StatusUpdateAcknowledgement *ack)
{
    struct sim_task *t = task_find(a, ack->framework_id->value, ack->task_id->value);
    if (!t || !t->updates.n || ack->uuid.len != 16 ||
        memcmp(t->updates.items[0].uuid, ack->uuid.data, 16) != 0)
        return;
    bool ended = sim_state_ended(t->updates.items[0].state);
    vec_remove(&t->updates, 0);
    if (ended)
        task_forget(a, t);
    else
        send_head(w, a, t);
}

static void framework_gone(struct world *w, struct sim_agent *a, const char *fid)
{
    MAP_FOREACH (e, &a->tasks) {
        struct sim_task *t = e->value;
        if (streq(t->framework_id, fid)) {
            sim_trace(w, "agent %u: %s ends with its framework", a->index, t->id);
            task_drop(a, e);
        }
    }
    struct buf *b = map_get(&a->frameworks, fid);
    if (!b)
        return;
    MAP_FOREACH (e, &a->frameworks) {
        if (e->value == b) {
            char *key = (char *)(uintptr_t)e->key;
            map_remove(&a->frameworks, key);
            free(key);
        }
    }
    buf_done(b);
    free(b);
}

static void reconcile(struct world *w, struct sim_agent *a, const Dcos__Internal__ReconcileTasks *r)
{
    framework_keep(a, r->framework);
    for (size_t i = 0; i < r->n_statuses; i++) {
        const char *id = r->statuses[i]->task_id->value;
        if (task_find(a, r->framework->id->value, id))
            continue;
        struct sim_task *t = task_add(a, r->framework->id->value, id);
        update_add(w, a, t, MESOS__V1__TASK_STATE__TASK_LOST,
            MESOS__V1__TASK_STATUS__REASON__REASON_RECONCILIATION);
    }
}

/* ---- registration ---- */

static Mesos__V1__Resource *scalar(struct arena *arena, const char *name, int64_t milli)
{
    Mesos__V1__Resource *r = MSG(arena, Mesos__V1__Resource, mesos__v1__resource);
    r->name = arena_strdup(arena, name);
    r->has_type = true;
    r->type = MESOS__V1__VALUE__TYPE__SCALAR;
    r->scalar = MSG(arena, Mesos__V1__Value__Scalar, mesos__v1__value__scalar);
    r->scalar->has_value = true;
    r->scalar->value = (double)milli / 1000;
    return r;
}

static Mesos__V1__Task *task_record(struct arena *arena, struct sim_agent *a, struct sim_task *t)
{
    Mesos__V1__Task *task = MSG(arena, Mesos__V1__Task, mesos__v1__task);
    task->name = t->info ? t->info->name : t->id;
    task->task_id = MSG(arena, Mesos__V1__TaskID, mesos__v1__task_id);
    task->task_id->value = t->id;
    task->framework_id = MSG(arena, Mesos__V1__FrameworkID, mesos__v1__framework_id);
    task->framework_id->value = t->framework_id;
    task->agent_id = MSG(arena, Mesos__V1__AgentID, mesos__v1__agent_id);
    task->agent_id->value = a->id;
    task->has_state = true;
    task->state = t->state;
    if (t->info) {
        task->n_resources = t->info->n_resources;
        task->resources = t->info->resources;
    }
    return task;
}

static void register_now(struct world *w, struct sim_agent *a)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Dcos__Internal__AgentRecord hello = DCOS__INTERNAL__AGENT_RECORD__INIT;
    hello.hello = MSG(&arena, Dcos__Internal__Hello, dcos__internal__hello);
    hello.hello->has_major = true;
    hello.hello->major = 1;
    sim_send(w, a->conn, true, &hello.base);

    Dcos__Internal__AgentRecord record = DCOS__INTERNAL__AGENT_RECORD__INIT;
    Dcos__Internal__Register *reg = MSG(&arena, Dcos__Internal__Register, dcos__internal__register);
    Mesos__V1__AgentInfo *info = MSG(&arena, Mesos__V1__AgentInfo, mesos__v1__agent_info);
    info->hostname = arena_printf(&arena, "agent%u", a->index);
    info->has_port = true;
    info->port = 5051;
    info->resources = arena_new_array(&arena, Mesos__V1__Resource *, 2);
    info->resources[info->n_resources++] = scalar(&arena, "cpus", a->cpus_milli);
    info->resources[info->n_resources++] = scalar(&arena, "mem", a->mem_milli);
    if (a->id) {
        info->id = MSG(&arena, Mesos__V1__AgentID, mesos__v1__agent_id);
        info->id->value = a->id;
    }
    reg->agent_info = info;
    reg->version = arena_strdup(&arena, "1.0.0");
    reg->boot_id = arena_strdup(&arena, "boot");
    reg->has_epoch = true;
    reg->epoch = a->epoch;
    reg->frameworks = arena_new_array(
        &arena, Mesos__V1__FrameworkInfo *, map_size(&a->frameworks) + 1);
    MAP_FOREACH (e, &a->frameworks) {
        const struct buf *b = e->value;
        ProtobufCMessage *m;
        if (wire_unpack(&mesos__v1__framework_info__descriptor, &arena, b->p, b->n, &m, NULL) == 0)
            reg->frameworks[reg->n_frameworks++] = (Mesos__V1__FrameworkInfo *)m;
    }
    size_t n = map_size(&a->tasks) + 1;
    reg->tasks = arena_new_array(&arena, Mesos__V1__Task *, n);
    reg->update_states = arena_new_array(&arena, Dcos__Internal__TaskUpdateState *, n);
    MAP_FOREACH (e, &a->tasks) {
        struct sim_task *t = e->value;
        Mesos__V1__Task *task = task_record(&arena, a, t);
        reg->tasks[reg->n_tasks++] = task;
        if (!t->updates.n)
            continue;
        Dcos__Internal__TaskUpdateState *u = MSG(
            &arena, Dcos__Internal__TaskUpdateState, dcos__internal__task_update_state);
        u->framework_id = task->framework_id;
        u->task_id = task->task_id;
        u->has_status_update_state = true;
        u->status_update_state = t->updates.items[0].state;
        u->has_status_update_uuid = true;
        u->status_update_uuid = (ProtobufCBinaryData){16, t->updates.items[0].uuid};
        reg->update_states[reg->n_update_states++] = u;
    }
    record.register_ = reg;
    sim_send(w, a->conn, true, &record.base);
}

static void dial(struct world *w, void *target, unsigned generation)
{
    struct sim_agent *a = target;
    if (!a->up || a->generation != generation || a->conn)
        return;
    if (!w->core) {
        sim_after(w, sim_between(w, 100 * MSEC, 2 * SEC), dial, a, generation);
        return;
    }
    a->conn = sim_connect(w, true, a->index);
    a->registered = false;
    a->last_heard = w->now;
    register_now(w, a);
}

static void watch(struct world *w, void *target, unsigned generation)
{
    struct sim_agent *a = target;
    if (!a->up || a->generation != generation)
        return;
    if (a->conn && w->now - a->last_heard > PING_TIMEOUT) {
        sim_trace(w, "agent %u: master is silent", a->index);
        struct conn *c = a->conn;
        sim_agent_conn_closed(w, a);
        sim_break(w, c);
    }
    sim_after(w, 5 * SEC, watch, a, generation);
}

void sim_agent_boot(struct world *w, struct sim_agent *a)
{
    sim_trace(w, "agent %u starts", a->index);
    a->up = true;
    a->generation++;
    a->conn = NULL;
    sim_after(w, sim_between(w, MSEC, 500 * MSEC), dial, a, a->generation);
    sim_after(w, 5 * SEC, watch, a, a->generation);
}

void sim_agent_crash(struct world *w, struct sim_agent *a, bool host)
{
    sim_trace(w, "agent %u %s", a->index, host ? "loses its host" : "is killed");
    a->up = false;
    a->registered = false;
    a->generation++;
    if (a->conn) {
        sim_break(w, a->conn);
        a->conn = NULL;
    }
    if (!host)
        return;
    MAP_FOREACH (e, &a->tasks) {
        struct sim_task *t = e->value;
        if (t->alive)
            update_add(w, a, t, MESOS__V1__TASK_STATE__TASK_FAILED,
                MESOS__V1__TASK_STATUS__REASON__REASON_EXECUTOR_TERMINATED);
    }
}

void sim_agent_conn_closed(struct world *w, struct sim_agent *a)
{
    a->conn = NULL;
    a->registered = false;
    if (a->up)
        sim_after(w, sim_between(w, 10 * MSEC, SEC), dial, a, a->generation);
}

void sim_agent_receive(struct world *w, struct sim_agent *a, const void *p, size_t n)
{
    if (n == 0) { /* the master closed */
        a->conn->broken = true;
        a->conn->peer_knows = true;
        sim_agent_conn_closed(w, a);
        return;
    }
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct error err = ERROR_INIT;
    ProtobufCMessage *m;
    if (wire_unpack(&dcos__internal__master_record__descriptor, &arena, p, n, &m, &err) < 0)
        sim_fail(w, "master record does not decode: %s", err.msg);
    const Dcos__Internal__MasterRecord *r = (const Dcos__Internal__MasterRecord *)m;
    if (!r->has_epoch || r->epoch < a->epoch)
        sim_fail(w, "agent %u got a record of epoch %" PRIu64 " after one of %" PRIu64, a->index,
            r->epoch, a->epoch);
    a->epoch = r->epoch;
    a->last_heard = w->now;
    if (r->registered) {
        if (a->id && !streq(a->id, r->registered->agent_id->value))
            sim_fail(w, "agent %s was registered as %s", a->id, r->registered->agent_id->value);
        if (!a->id)
            a->id = xstrdup(r->registered->agent_id->value);
        a->registered = true;
        sim_trace(w, "agent %u is registered as %s", a->index, a->id);
        for (size_t i = 0; i < r->registered->n_removed_frameworks; i++)
            framework_gone(w, a, r->registered->removed_frameworks[i]->value);
        MAP_FOREACH (e, &a->tasks)
            send_head(w, a, e->value);
        return;
    }
    if (r->refused) {
        sim_trace(w, "agent %u is refused: %s", a->index, r->refused->message);
        if (r->refused->forget)
            lose_identity(a);
        return;
    }
    if (r->shutdown_agent) {
        sim_trace(w, "agent %u is told to end", a->index);
        struct conn *c = a->conn;
        lose_identity(a);
        sim_agent_conn_closed(w, a);
        sim_break(w, c);
        return;
    }
    if (r->ping) {
        Dcos__Internal__AgentRecord record = DCOS__INTERNAL__AGENT_RECORD__INIT;
        record.pong = MSG(&arena, Dcos__Internal__Pong, dcos__internal__pong);
        record.pong->has_sequence = true;
        record.pong->sequence = r->ping->sequence;
        sim_send(w, a->conn, true, &record.base);
        return;
    }
    if (r->hello)
        return;
    if (!a->registered)
        sim_fail(w, "agent %u got work before it was registered", a->index);
    if (r->run_task)
        run_task(w, a, r->run_task);
    else if (r->kill_task)
        kill_task(w, a, r->kill_task);
    else if (r->acknowledge)
        acknowledge(w, a, r->acknowledge);
    else if (r->shutdown_framework)
        framework_gone(w, a, r->shutdown_framework->framework_id->value);
    else if (r->reconcile)
        reconcile(w, a, r->reconcile);
    else if (r->update_framework)
        framework_keep(a, r->update_framework->framework);
}

void sim_agent_free(struct sim_agent *a)
{
    lose_identity(a);
    map_done(&a->tasks);
    map_done(&a->frameworks);
}
