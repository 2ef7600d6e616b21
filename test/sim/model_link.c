/* The model's connection to the master: registration, pings, records. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "model.h"
#include "wire/codec.h"

static const int64_t PING_TIMEOUT = 30 * SEC;

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

static void drain(struct world *w, struct sim_agent *a)
{
    MAP_FOREACH (e, &a->model->tasks) {
        struct sim_task *t = e->value;
        if (t->alive)
            model_kill(w, a, t);
    }
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
    info->resources = arena_new_array(&arena, Mesos__V1__Resource *, 3);
    info->resources[info->n_resources++] = scalar(&arena, "cpus", a->cpus_milli);
    info->resources[info->n_resources++] = scalar(&arena, "mem", a->mem_milli);
    info->resources[info->n_resources++] = scalar(&arena, "disk", a->disk_milli);
    if (a->id) {
        info->id = MSG(&arena, Mesos__V1__AgentID, mesos__v1__agent_id);
        info->id->value = a->id;
    }
    reg->agent_info = info;
    reg->ip = arena_printf(&arena, "10.0.1.%u", a->index);
    reg->version = arena_strdup(&arena, "1.0.0");
    Mesos__V1__AgentInfo__Capability draining = MESOS__V1__AGENT_INFO__CAPABILITY__INIT;
    Mesos__V1__AgentInfo__Capability *capabilities[] = {&draining};
    draining.has_type = true;
    draining.type = MESOS__V1__AGENT_INFO__CAPABILITY__TYPE__AGENT_DRAINING;
    reg->capabilities = capabilities;
    reg->n_capabilities = ARRAY_SIZE(capabilities);
    reg->boot_id = arena_strdup(&arena, "boot");
    reg->has_epoch = true;
    reg->epoch = a->model->epoch;
    reg->frameworks = arena_new_array(
        &arena, Mesos__V1__FrameworkInfo *, map_size(&a->model->frameworks) + 1);
    MAP_FOREACH (e, &a->model->frameworks) {
        const struct buf *b = e->value;
        ProtobufCMessage *m;
        if (wire_unpack(&mesos__v1__framework_info__descriptor, &arena, b->p, b->n, &m, NULL) == 0)
            reg->frameworks[reg->n_frameworks++] = (Mesos__V1__FrameworkInfo *)m;
    }
    size_t n = map_size(&a->model->tasks) + 1;
    reg->tasks = arena_new_array(&arena, Mesos__V1__Task *, n);
    reg->update_states = arena_new_array(&arena, Dcos__Internal__TaskUpdateState *, n);
    MAP_FOREACH (e, &a->model->tasks) {
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
    a->conn = sim_dial(w, true, a->index);
    if (!a->conn) {
        sim_after(w, sim_between(w, 100 * MSEC, 2 * SEC), dial, a, generation);
        return;
    }
    a->registered = false;
    a->model->last_heard = w->now;
    register_now(w, a);
}

static void watch(struct world *w, void *target, unsigned generation)
{
    struct sim_agent *a = target;
    if (!a->up || a->generation != generation)
        return;
    if (a->conn && w->now - a->model->last_heard > PING_TIMEOUT) {
        sim_trace(w, "agent %u: master is silent", a->index);
        struct conn *c = a->conn;
        model_conn_closed(w, a);
        sim_break(w, c);
    }
    sim_after(w, 5 * SEC, watch, a, generation);
}

void model_boot(struct world *w, struct sim_agent *a)
{
    sim_after(w, sim_between(w, MSEC, 500 * MSEC), dial, a, a->generation);
    sim_after(w, 5 * SEC, watch, a, a->generation);
}

void model_crash(struct world *w, struct sim_agent *a, bool host)
{
    if (!host)
        return;
    MAP_FOREACH (e, &a->model->tasks) {
        struct sim_task *t = e->value;
        if (t->alive)
            model_update(w, a, t, MESOS__V1__TASK_STATE__TASK_FAILED,
                MESOS__V1__TASK_STATUS__REASON__REASON_EXECUTOR_TERMINATED);
    }
}

void model_conn_closed(struct world *w, struct sim_agent *a)
{
    if (a->up)
        sim_after(w, sim_between(w, 10 * MSEC, SEC), dial, a, a->generation);
}

void model_receive(struct world *w, struct sim_agent *a, const void *p, size_t n)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct error err = ERROR_INIT;
    ProtobufCMessage *m;
    if (wire_unpack(&dcos__internal__master_record__descriptor, &arena, p, n, &m, &err) < 0)
        sim_fail(w, "master record does not decode: %s", err.msg);
    const Dcos__Internal__MasterRecord *r = (const Dcos__Internal__MasterRecord *)m;
    if (!r->has_epoch)
        sim_fail(w, "agent %u got a record without epoch", a->index);
    if (r->epoch < a->model->epoch) {
        sim_trace(w, "agent %u does not obey an older epoch", a->index);
        w->refusals++;
        struct conn *c = a->conn;
        sim_agent_conn_closed(w, a);
        sim_break(w, c);
        return;
    }
    a->model->epoch = r->epoch;
    a->model->last_heard = w->now;
    if (r->registered) {
        if (a->id && !streq(a->id, r->registered->agent_id->value))
            sim_fail(w, "agent %s was registered as %s", a->id, r->registered->agent_id->value);
        if (!a->id)
            a->id = xstrdup(r->registered->agent_id->value);
        sim_agent_known(w, a, r->epoch);
        a->registered = true;
        sim_trace(w, "agent %u is registered as %s", a->index, a->id);
        for (size_t i = 0; i < r->registered->n_removed_frameworks; i++)
            model_framework_gone(w, a, r->registered->removed_frameworks[i]->value);
        MAP_FOREACH (e, &a->model->tasks)
            model_send_head(w, a, e->value);
        if (r->registered->drain_config)
            drain(w, a);
        return;
    }
    if (r->refused) {
        sim_trace(w, "agent %u is refused: %s", a->index, r->refused->message);
        if (r->refused->forget)
            sim_agent_expelled(w, a);
        if (r->refused->forget)
            model_lose_identity(a);
        return;
    }
    if (r->shutdown_agent) {
        sim_trace(w, "agent %u is told to end", a->index);
        struct conn *c = a->conn;
        sim_agent_expelled(w, a);
        model_lose_identity(a);
        model_conn_closed(w, a);
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
        model_run_task(w, a, r->run_task);
    else if (r->kill_task)
        model_kill_task(w, a, r->kill_task);
    else if (r->acknowledge)
        model_acknowledge(w, a, r->acknowledge);
    else if (r->shutdown_framework)
        model_framework_gone(w, a, r->shutdown_framework->framework_id->value);
    else if (r->reconcile)
        model_reconcile(w, a, r->reconcile);
    else if (r->update_framework)
        model_framework_keep(a, r->update_framework->framework);
    else if (r->drain_agent && r->drain_agent->config)
        drain(w, a);
}

void model_free(struct sim_agent *a)
{
    model_lose_identity(a);
    map_done(&a->model->tasks);
    map_done(&a->model->frameworks);
    free(a->model);
}
