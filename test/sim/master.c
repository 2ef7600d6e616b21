/* The master's shell in the simulator: the real core, a disk that may lose what was not flushed,
 * and connections. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "master/core.h"
#include "wire/codec.h"
#include "world.h"

static void pump(struct world *w);

static void again(struct world *w, void *target, unsigned unused)
{
    if (!w->core)
        sim_master_boot(w);
}

static void disk_apply(struct world *w, struct disk_entry *e)
{
    struct disk_entry *old = map_remove(&w->disk, e->key);
    if (old) {
        free(old->key);
        free(old->value);
        free(old);
    }
    if (e->remove) {
        free(e->key);
        free(e->value);
        return;
    }
    struct disk_entry *kept = xmemdup(e, sizeof(*e));
    map_put(&w->disk, kept->key, kept);
}

static void flushed(struct world *w, void *target, unsigned incarnation)
{
    if (!w->core || incarnation != w->incarnation)
        return;
    for (size_t i = 0; i < w->flushing; i++) {
        w->durable = w->unflushed.items[i].number;
        disk_apply(w, &w->unflushed.items[i]);
    }
    memmove(w->unflushed.items, w->unflushed.items + w->flushing,
        (w->unflushed.n - w->flushing) * sizeof(struct disk_entry));
    w->unflushed.n -= w->flushing;
    w->flushing = 0;
    pump(w);
}

static void tick(struct world *w, void *target, unsigned incarnation)
{
    if (!w->core || incarnation != w->incarnation || w->tick_at > w->now)
        return;
    w->tick_at = INT64_MAX;
    master_core_tick(w->core, w->now);
    pump(w);
}

static struct conn *conn_of(struct world *w, uint64_t id)
{
    for (size_t i = w->conns.n; i-- > 0;)
        if (w->conns.items[i]->id == id)
            return w->conns.items[i];
    return NULL;
}

static void effect(struct world *w, const struct master_effect *e)
{
    struct conn *c = e->type == EFFECT_OPERATOR_EVENT ? NULL : conn_of(w, e->peer);
    if (!c)
        return;
    switch (e->type) {
    case EFFECT_AGENT_SEND:
    case EFFECT_SCHEDULER_SEND:
        if (c->is_agent != (e->type == EFFECT_AGENT_SEND))
            sim_fail(w, "an effect names a peer of the other kind");
        sim_send_bytes(w, c, false, e->data, e->n);
        break;
    case EFFECT_AGENT_CLOSE:
    case EFFECT_SCHEDULER_CLOSE:
        /* What was sent before still arrives: the close travels behind it. */
        if (!c->master_knows) {
            c->master_knows = true;
            sim_send_bytes(w, c, false, "", 0);
        }
        break;
    case EFFECT_OPERATOR_EVENT:
        break;
    }
}

static void doom(struct world *w, void *target, unsigned incarnation)
{
    if (!w->core || incarnation != w->incarnation)
        return;
    sim_master_crash(w);
    sim_after(w, sim_between(w, 10 * MSEC, 5 * SEC), again, NULL, 0);
}

static void pump(struct world *w)
{
    if (w->doomed == w->incarnation)
        return;
    for (struct master_mutation *m; (m = master_core_take_mutation(w->core));) {
        struct disk_entry e = {
            .number = m->number, .remove = m->remove, .key = xstrdup(m->key), .n = m->n};
        e.value = xmemdup(m->value, m->n);
        vec_push(&w->unflushed, e);
        free(m);
    }
    if (!w->flushing && w->unflushed.n) {
        w->flushing = w->unflushed.n;
        int64_t delay = sim_between(w, 200, 20 * MSEC);
        if (w->chaos && sim_chance(w, 2))
            delay += sim_between(w, 0, 5 * SEC); /* a slow disk is not a failed one */
        sim_after(w, delay, flushed, NULL, w->incarnation);
    }
    bool haste = w->options.defect == DEFECT_MASTER_HASTE;
    uint64_t durable = haste ? UINT64_MAX : w->durable;
    for (struct master_effect *e; (e = master_core_take_effect(w->core, durable));) {
        if (e->after > durable)
            sim_fail(w, "effect released before mutation %" PRIu64 " was durable", e->after);
        effect(w, e);
        free(e);
        if (w->chaos && rng_below(&w->rng, 4000) == 0)
            w->doomed = w->incarnation; /* between two effects is where a kill hurts most */
        if (w->doomed == w->incarnation)
            break;
    }
    if (w->doomed == w->incarnation) {
        sim_after(w, 0, doom, NULL, w->incarnation);
        return;
    }
    int64_t next = master_core_next_deadline(w->core);
    if (next < w->tick_at) {
        w->tick_at = MAX(next, w->now);
        sim_after(w, w->tick_at - w->now, tick, NULL, w->incarnation);
    }
}

void sim_master_boot(struct world *w)
{
    struct master_config config;
    struct error err = ERROR_INIT;
    master_config_defaults(&config);
    config.agent_ping_timeout_us = 5 * SEC;
    config.max_agent_ping_timeouts = 3;
    config.agent_reregister_timeout_us = 60 * SEC;
    config.hostname = "master";
    config.ip = "10.0.0.1";
    config.port = 5050;
    config.version = "1.0.0";
    w->incarnation++;
    w->epoch++;
    w->core = master_core_new(&config);
    w->durable = 0;
    w->tick_at = INT64_MAX;
    MAP_FOREACH (e, &w->disk) {
        const struct disk_entry *d = e->value;
        if (master_core_restore(w->core, d->key, d->value, d->n, &err) < 0)
            sim_fail(w, "cannot restore %s: %s", d->key, err.msg);
    }
    char id[64];
    snprintf(id, sizeof(id), "master-%u", w->incarnation);
    sim_trace(w, "master %u starts", w->incarnation);
    master_core_start(w->core, w->epoch, id, w->now);
    pump(w);
}

void sim_master_crash(struct world *w)
{
    sim_trace(w, "master %u crashes", w->incarnation);
    w->failovers++;
    master_core_free(w->core);
    w->core = NULL;
    /* The flush under way may have made it to the disk, whole or in part; the rest has not. */
    size_t made = w->flushing ? rng_below(&w->rng, w->flushing + 1) : 0;
    for (size_t i = 0; i < w->unflushed.n; i++) {
        if (i < made) {
            disk_apply(w, &w->unflushed.items[i]);
        } else {
            free(w->unflushed.items[i].key);
            free(w->unflushed.items[i].value);
        }
    }
    w->unflushed.n = 0;
    w->flushing = 0;
    for (size_t i = 0; i < w->conns.n; i++)
        sim_break(w, w->conns.items[i]);
}

void sim_master_stop(struct world *w)
{
    if (w->core)
        sim_master_crash(w);
    MAP_FOREACH (e, &w->disk) {
        struct disk_entry *d = e->value;
        free(d->key);
        free(d->value);
        free(d);
    }
    map_done(&w->disk);
    vec_done(&w->unflushed);
}

void sim_master_receive(struct world *w, struct conn *c, const void *p, size_t n)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct error err = ERROR_INIT;
    ProtobufCMessage *m;
    if (c->is_agent) {
        if (wire_unpack(&dcos__internal__agent_record__descriptor, &arena, p, n, &m, &err) < 0)
            sim_fail(w, "agent record does not decode: %s", err.msg);
        master_core_agent_record(w->core, c->id, (const Dcos__Internal__AgentRecord *)m, w->now);
        pump(w);
        return;
    }
    if (wire_unpack(&mesos__v1__scheduler__call__descriptor, &arena, p, n, &m, &err) < 0)
        sim_fail(w, "call does not decode: %s", err.msg);
    const Mesos__V1__Scheduler__Call *call = (const Mesos__V1__Scheduler__Call *)m;
    if (master_call_validate(call, &err) < 0)
        sim_fail(w, "a valid call of type %d was refused: %s", call->type, err.msg);
    struct sim_scheduler *s = &w->schedulers[c->peer];
    char stream_id[32];
    snprintf(stream_id, sizeof(stream_id), "stream-%" PRIu64, c->id);
    if (call->type == MESOS__V1__SCHEDULER__CALL__TYPE__SUBSCRIBE) {
        master_core_subscribe(w->core, c->id, stream_id, call, w->now);
    } else {
        int status = master_core_call(w->core, stream_id, call, w->now, &err);
        if (status >= 400) {
            sim_trace(
                w, "scheduler %u: call %d answered %d %s", s->index, call->type, status, err.msg);
            /* The answer reaches the scheduler like anything else, unless the connection is gone by
             * then. */
            if (s->conn == c && s->up && !c->broken)
                sim_scheduler_refused(w, s, status);
        }
    }
    pump(w);
}

void sim_master_conn_closed(struct world *w, struct conn *c)
{
    if (c->is_agent)
        master_core_agent_closed(w->core, c->id, w->now);
    else
        master_core_scheduler_closed(w->core, c->id, w->now);
    pump(w);
}
