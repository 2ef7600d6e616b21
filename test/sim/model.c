/*
 * The model of an agent: runs tasks as timers, keeps each task's updates until they are
 * acknowledged, remembers all of it across restarts of its process (as the checkpoint of the real
 * one does) and loses its tasks when the host dies.
 */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "model.h"
#include "wire/codec.h"

static char *task_key(const char *framework_id, const char *task_id)
{
    return xasprintf("%s/%s", framework_id, task_id);
}

static struct sim_task *task_find(
    struct sim_agent *a, const char *framework_id, const char *task_id)
{
    _cleanup_free_ char *key = task_key(framework_id, task_id);
    return map_get(&a->model->tasks, key);
}

/* Tasks are kept in the map under a key that belongs to the map's entry. */
static struct sim_task *task_add(struct sim_agent *a, const char *framework_id, const char *task_id)
{
    struct sim_task *t = xnew(struct sim_task);
    t->id = xstrdup(task_id);
    t->framework_id = xstrdup(framework_id);
    t->state = MESOS__V1__TASK_STATE__TASK_STAGING;
    map_put(&a->model->tasks, task_key(framework_id, task_id), t);
    return t;
}

static void task_drop(struct sim_agent *a, struct map_entry *entry)
{
    struct sim_task *t = entry->value;
    char *key = (char *)(uintptr_t)entry->key;
    map_remove(&a->model->tasks, key);
    free(key);
    free(t->id);
    free(t->framework_id);
    arena_done(&t->arena);
    vec_done(&t->updates);
    free(t);
}

static void task_forget(struct sim_agent *a, struct sim_task *t)
{
    MAP_FOREACH (e, &a->model->tasks) {
        if (e->value == t) {
            task_drop(a, e);
            return;
        }
    }
}

void model_framework_keep(struct sim_agent *a, const Mesos__V1__FrameworkInfo *info)
{
    struct buf *b = map_get(&a->model->frameworks, info->id->value);
    if (!b) {
        b = xnew(struct buf);
        map_put(&a->model->frameworks, xstrdup(info->id->value), b);
    }
    buf_clear(b);
    wire_pack(&info->base, b);
}

static void frameworks_clear(struct sim_agent *a)
{
    MAP_FOREACH (e, &a->model->frameworks) {
        struct buf *b = e->value;
        buf_done(b);
        free(b);
        free((char *)(uintptr_t)e->key);
    }
    map_done(&a->model->frameworks);
}

void model_lose_identity(struct sim_agent *a)
{
    MAP_FOREACH (e, &a->model->tasks)
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

void model_update(struct world *w, struct sim_agent *a, struct sim_task *t,
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
    _cleanup_free_ char *key = task_key(t->framework_id, t->id);
    ledger_made(w, a, key, u.uuid);
    ledger_promised(w, u.uuid); /* its disk is never late */
    if (t->updates.n == 1)
        model_send_head(w, a, t);
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

void model_send_head(struct world *w, struct sim_agent *a, struct sim_task *t)
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
    struct sim_task *t = map_get(&a->model->tasks, ref->key);
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
    struct sim_task *t = map_get(&a->model->tasks, ref->key);
    if (t && t->alive && t->generation == ref->generation) {
        model_update(w, a, t, ref->state, 0);
        if (ref->state == MESOS__V1__TASK_STATE__TASK_STARTING)
            life_after(w, a, t, sim_between(w, MSEC, SEC), MESOS__V1__TASK_STATE__TASK_RUNNING);
        else if (ref->state == MESOS__V1__TASK_STATE__TASK_RUNNING && w->chaos && sim_chance(w, 30))
            life_after(w, a, t, sim_between(w, MSEC, 120 * SEC),
                sim_chance(w, 50) ? MESOS__V1__TASK_STATE__TASK_FINISHED
                                  : MESOS__V1__TASK_STATE__TASK_FAILED);
    }
}

void model_run_task(struct world *w, struct sim_agent *a, const Dcos__Internal__RunTask *run)
{
    const char *id = run->task->task_id->value;
    const char *fid = run->framework->id->value;
    _cleanup_free_ char *key = task_key(fid, id);
    if (run->task->executor)
        sim_fail(w, "task %s has an executor that nobody gave it", key);
    sim_task_starts(w, a, key);
    model_framework_keep(a, run->framework);
    struct sim_task *t = task_add(a, fid, id);
    t->info = (Mesos__V1__TaskInfo *)wire_clone(&run->task->base, &t->arena);
    t->alive = true;
    sim_trace(w, "agent %u: run %s", a->index, key);
    life_after(w, a, t, sim_between(w, MSEC, SEC), MESOS__V1__TASK_STATE__TASK_STARTING);
}

void model_kill(struct world *w, struct sim_agent *a, struct sim_task *t)
{
    if (t->killing)
        return;
    t->killing = true;
    t->generation++;
    life_after(w, a, t, sim_between(w, MSEC, 3 * SEC), MESOS__V1__TASK_STATE__TASK_KILLED);
}

void model_kill_task(struct world *w, struct sim_agent *a, const Dcos__Internal__KillTask *kill)
{
    const char *fid = kill->framework_id->value, *id = kill->task_id->value;
    struct sim_task *t = task_find(a, fid, id);
    sim_trace(w, "agent %u: kill %s", a->index, id);
    if (!t) {
        if (!map_get(&a->model->frameworks, fid))
            return;
        t = task_add(a, fid, id);
        model_update(w, a, t, MESOS__V1__TASK_STATE__TASK_LOST,
            MESOS__V1__TASK_STATUS__REASON__REASON_EXECUTOR_TERMINATED);
    } else if (t->alive) {
        model_kill(w, a, t);
    }
}

void model_acknowledge(
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
        model_send_head(w, a, t);
}

void model_framework_gone(struct world *w, struct sim_agent *a, const char *fid)
{
    MAP_FOREACH (e, &a->model->tasks) {
        struct sim_task *t = e->value;
        if (streq(t->framework_id, fid)) {
            sim_trace(w, "agent %u: %s ends with its framework", a->index, t->id);
            task_drop(a, e);
        }
    }
    struct buf *b = map_get(&a->model->frameworks, fid);
    if (!b)
        return;
    MAP_FOREACH (e, &a->model->frameworks) {
        if (e->value == b) {
            char *key = (char *)(uintptr_t)e->key;
            map_remove(&a->model->frameworks, key);
            free(key);
        }
    }
    buf_done(b);
    free(b);
}

void model_reconcile(struct world *w, struct sim_agent *a, const Dcos__Internal__ReconcileTasks *r)
{
    model_framework_keep(a, r->framework);
    for (size_t i = 0; i < r->n_statuses; i++) {
        const char *id = r->statuses[i]->task_id->value;
        if (task_find(a, r->framework->id->value, id))
            continue;
        struct sim_task *t = task_add(a, r->framework->id->value, id);
        model_update(w, a, t, MESOS__V1__TASK_STATE__TASK_LOST,
            MESOS__V1__TASK_STATUS__REASON__REASON_RECONCILIATION);
    }
}

void model_each_task(const struct sim_agent *a, sim_task_fn fn, void *userdata)
{
    MAP_FOREACH (e, &a->model->tasks) {
        const struct sim_task *t = e->value;
        struct sim_task_view v = {.key = e->key,
            .framework_id = t->framework_id,
            .id = t->id,
            .pending = t->updates.n,
            .alive = t->alive};
        fn(&v, userdata);
    }
}

void model_used(const struct sim_agent *a, int64_t *ret_cpus, int64_t *ret_mem)
{
    MAP_FOREACH (e, &a->model->tasks) {
        const struct sim_task *t = e->value;
        if (!t->alive)
            continue;
        int64_t cpus, mem;
        sim_resources(t->info->resources, t->info->n_resources, &cpus, &mem);
        *ret_cpus += cpus;
        *ret_mem += mem;
    }
}
