/* The master's shell in the simulator: the real core while it leads, its commits, its connections.
 * A master that does not lead only waits. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "master/core.h"
#include "wire/codec.h"
#include "world.h"

/* Three quarters of a session. */
static const int64_t LEASE = 7500 * MSEC;

int64_t sim_master_now(const struct world *w, const struct sim_master *m)
{
    return w->now + m->clock_error;
}

int64_t sim_path(
    const struct world *w, const struct sim_master *m, enum sim_path path, unsigned peer, bool up)
{
    const struct sim_cut *c = &m->cuts[path];
    if (path != PATH_STORE && !(c->peers & 1U << peer))
        return w->now;
    return MAX(w->now, c->until[up]);
}

/* ---- commits ---- */

static void pump(struct world *w, struct sim_master *m);

static void commit(struct world *w, struct sim_master *m)
{
    m->flushing = m->unflushed.n;
    /* Batches have a limit, so what one event changed may be in two. */
    if (w->chaos && sim_chance(w, 10))
        m->flushing = 1 + rng_below(&w->rng, m->unflushed.n);
    m->batch++;
    store_send_commit(w, m);
}

static void forget_entry(struct disk_entry *e)
{
    free(e->key);
    free(e->value);
}

void sim_master_committed(struct world *w, struct sim_master *m, uint64_t batch, uint64_t version)
{
    if (!m->flushing || batch != m->batch)
        return;
    if (version != ++m->store_version)
        sim_fail(w, "master %u, epoch %" PRIu64 ": somebody else wrote to the store", m->index,
            m->epoch);
    for (size_t i = 0; i < m->flushing; i++) {
        m->durable = m->unflushed.items[i].number;
        forget_entry(&m->unflushed.items[i]);
    }
    memmove(m->unflushed.items, m->unflushed.items + m->flushing,
        (m->unflushed.n - m->flushing) * sizeof(struct disk_entry));
    m->unflushed.n -= m->flushing;
    m->flushing = 0;
    pump(w, m);
}

/* ---- effects ---- */

static void tick(struct world *w, void *target, unsigned generation)
{
    struct sim_master *m = *(struct sim_master **)target;
    if (!m->core || m->tick_at > w->now)
        return;
    m->tick_at = INT64_MAX;
    master_core_tick(m->core, sim_master_now(w, m));
    if (master_core_failure(m->core))
        sim_fail(w, "master %u must not go on: %s", m->index, master_core_failure(m->core));
    pump(w, m);
}

static struct sim_master **ref(struct sim_master *m)
{
    struct sim_master **r = xnew(struct sim_master *);
    *r = m;
    return r;
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

static void look_at(struct world *w, const struct sim_master *m, const struct master_effect *e)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *message;
    if (wire_unpack(
            &mesos__v1__scheduler__event__descriptor, &arena, e->data, e->n, &message, NULL) < 0)
        sim_fail(w, "event does not decode");
    const Mesos__V1__Scheduler__Event *event = (const Mesos__V1__Scheduler__Event *)message;
    if (event->offers)
        operator_offers(w, m, event->offers);
}

static void doom(struct world *w, void *target, unsigned generation)
{
    sim_master_end(w, *(struct sim_master **)target, "killed, or its lease is over");
}

void sim_master_promise(struct world *w, struct sim_master *m,
    void (*answer)(struct world *w, struct sim_master *m, void *target), void *target)
{
    bool haste = w->options.defect == DEFECT_OPERATOR_HASTE;
    vec_push(
        &m->promises, (struct sim_promise){.after = haste ? 0 : master_core_last_mutation(m->core),
                          .answer = answer,
                          .target = target});
    pump(w, m);
}

static void keep_promises(struct world *w, struct sim_master *m)
{
    while (m->promises.n && m->promises.items[0].after <= m->durable) {
        struct sim_promise p = m->promises.items[0];
        vec_remove(&m->promises, 0);
        p.answer(w, m, p.target);
        free(p.target);
    }
}

void sim_master_pump(struct world *w, struct sim_master *m)
{
    pump(w, m);
}

/* Stopped processes do not look at their watches. */
static bool surely_leads(struct world *w, const struct sim_master *m)
{
    return !w->lease || w->n_masters == 1 || w->now - m->heard_store < LEASE;
}

static void pump(struct world *w, struct sim_master *m)
{
    m->touched = true;
    if (m->doomed)
        return;
    if (!surely_leads(w, m)) {
        m->doomed = true;
        sim_after_master(w, m, 0, doom, ref(m));
        return;
    }
    for (struct master_mutation *mutation; (mutation = master_core_take_mutation(m->core));) {
        struct disk_entry e = {.number = mutation->number,
            .remove = mutation->remove,
            .key = xstrdup(mutation->key),
            .n = mutation->n};
        e.value = xmemdup(mutation->value, mutation->n);
        vec_push(&m->unflushed, e);
        free(mutation);
    }
    if (!m->flushing && m->unflushed.n)
        commit(w, m);
    bool haste = w->options.defect == DEFECT_MASTER_HASTE;
    uint64_t durable = haste ? UINT64_MAX : m->durable;
    for (struct master_effect *e; (e = master_core_take_effect(m->core, durable));) {
        if (e->after > durable)
            sim_fail(w, "effect released before mutation %" PRIu64 " was durable", e->after);
        /* What was there before would have been released before. */
        if (e->type == EFFECT_SCHEDULER_SEND && e->after <= m->released)
            look_at(w, m, e);
        effect(w, e);
        free(e);
        if (w->chaos && rng_below(&w->rng, 4000) == 0)
            m->doomed = true; /* between two effects is where a kill hurts most */
        if (m->doomed)
            break;
    }
    if (m->doomed) {
        sim_after_master(w, m, 0, doom, ref(m));
        return;
    }
    m->released = m->durable;
    keep_promises(w, m);
    int64_t next = master_core_next_deadline(m->core);
    if (next != INT64_MAX)
        next -= m->clock_error;
    if (next < m->tick_at) {
        m->tick_at = MAX(next, w->now);
        sim_after_master(w, m, m->tick_at - w->now, tick, ref(m));
    }
}

/* ---- life ---- */

void sim_master_boot(struct world *w, struct sim_master *m)
{
    sim_trace(w, "master %u starts", m->index);
    m->up = true;
    m->generation++;
    m->clock_error = m->wall_error;
    store_join(w, m);
}

static int by_key(const void *a, const void *b)
{
    return strcmp((*(struct disk_entry *const *)a)->key, (*(struct disk_entry *const *)b)->key);
}

static void restore(struct world *w, struct sim_master *m)
{
    VEC(struct disk_entry *) all = {0};
    struct error err = ERROR_INIT;
    MAP_FOREACH (e, &w->store.disk)
        vec_push(&all, e->value);
    if (all.n)
        qsort(all.items, all.n, sizeof(*all.items), by_key);
    VEC_FOREACH (e, &all)
        if (master_core_restore(m->core, (*e)->key, (*e)->value, (*e)->n, &err) < 0)
            sim_fail(w, "cannot restore %s: %s", (*e)->key, err.msg);
    vec_done(&all);
}

/* Most who are connected to somebody else hear of the new leader, each in its own time. */
static void told_agent(struct world *w, void *target, unsigned leadership)
{
    struct sim_agent *a = target;
    const struct sim_master *m = sim_leader(w);
    if (leadership != w->leaderships || !a->up || !a->conn || !m || a->conn->master == m->index)
        return;
    sim_trace(w, "agent %u is told who leads", a->index);
    struct conn *c = a->conn;
    sim_agent_conn_closed(w, a);
    sim_break(w, c);
}

static void told_scheduler(struct world *w, void *target, unsigned leadership)
{
    struct sim_scheduler *s = target;
    const struct sim_master *m = sim_leader(w);
    if (leadership != w->leaderships || !s->up || !s->conn || !m || s->conn->master == m->index)
        return;
    sim_trace(w, "scheduler %u is told who leads", s->index);
    struct conn *c = s->conn;
    sim_scheduler_conn_closed(w, s);
    sim_break(w, c);
}

static void announce(struct world *w)
{
    if (w->n_masters == 1)
        return;
    for (unsigned i = 0; i < w->n_agents; i++)
        if (!w->chaos || sim_chance(w, 70))
            sim_after(w, sim_between(w, 0, 3 * SEC), told_agent, &w->agents[i], w->leaderships);
    for (unsigned i = 0; i < w->n_schedulers; i++)
        if (!w->chaos || sim_chance(w, 70))
            sim_after(
                w, sim_between(w, 0, 3 * SEC), told_scheduler, &w->schedulers[i], w->leaderships);
}

void sim_master_lead(struct world *w, struct sim_master *m, uint64_t epoch)
{
    if (epoch != w->store.epoch)
        return; /* it will learn that it led and does not any more */
    struct master_config config;
    char hostname[16];
    snprintf(hostname, sizeof(hostname), "master%u", m->index);
    master_config_defaults(&config);
    config.agent_ping_timeout_us = 5 * SEC;
    config.max_agent_ping_timeouts = 3;
    config.agent_reregister_timeout_us = 60 * SEC;
    config.hostname = hostname;
    config.ip = "10.0.0.1";
    config.port = 5050;
    config.version = "1.0.0";
    m->core = master_core_new(&config);
    m->epoch = epoch;
    m->batch = m->durable = m->released = 0;
    m->tick_at = INT64_MAX;
    m->doomed = false;
    m->store_version = w->store.version;
    restore(w, m);
    char id[64];
    snprintf(id, sizeof(id), "master-%u", ++w->leaderships);
    sim_trace(w, "master %u takes office as %s", m->index, id);
    master_core_start(m->core, epoch, id, sim_master_now(w, m));
    pump(w, m);
    announce(w);
}

void sim_master_crash(struct world *w, struct sim_master *m, bool goodbye)
{
    sim_trace(w, "master %u ends", m->index);
    sim_master_unpause(w, m);
    m->up = false;
    m->generation++;
    if (goodbye || w->n_masters == 1)
        store_leave(w, m->session);
    m->session = 0;
    master_core_free(m->core);
    m->core = NULL;
    m->epoch = 0;
    /* A commit that is under way may still reach the store; the rest is lost. */
    VEC_FOREACH (e, &m->unflushed)
        forget_entry(e);
    vec_clear(&m->unflushed);
    m->flushing = 0;
    VEC_FOREACH (p, &m->promises)
        free(p->target);
    vec_clear(&m->promises);
    VEC_FOREACH (c, &w->conns) {
        if ((*c)->master != m->index)
            continue;
        (*c)->master_knows = true;
        sim_break(w, *c);
    }
}

static void again(struct world *w, void *target, unsigned generation)
{
    struct sim_master *m = target;
    if (!m->up && m->generation == generation)
        sim_master_boot(w, m);
}

void sim_master_end(struct world *w, struct sim_master *m, const char *why)
{
    sim_trace(w, "master %u gives up: %s", m->index, why);
    sim_master_crash(w, m, false);
    sim_after(w, sim_between(w, 10 * MSEC, 5 * SEC), again, m, m->generation);
}

void sim_master_receive(
    struct world *w, struct sim_master *m, struct conn *c, const void *p, size_t n)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct error err = ERROR_INIT;
    ProtobufCMessage *message;
    int64_t now = sim_master_now(w, m);
    if (c->is_agent) {
        if (wire_unpack(&dcos__internal__agent_record__descriptor, &arena, p, n, &message, &err) <
            0)
            sim_fail(w, "agent record does not decode: %s", err.msg);
        master_core_agent_record(m->core, c->id, (const Dcos__Internal__AgentRecord *)message, now);
        pump(w, m);
        return;
    }
    if (wire_unpack(&mesos__v1__scheduler__call__descriptor, &arena, p, n, &message, &err) < 0)
        sim_fail(w, "call does not decode: %s", err.msg);
    const Mesos__V1__Scheduler__Call *call = (const Mesos__V1__Scheduler__Call *)message;
    if (master_call_validate(call, &err) < 0)
        sim_fail(w, "a valid call of type %d was refused: %s", call->type, err.msg);
    struct sim_scheduler *s = &w->schedulers[c->peer];
    char stream_id[32];
    snprintf(stream_id, sizeof(stream_id), "stream-%" PRIu64, c->id);
    if (call->type == MESOS__V1__SCHEDULER__CALL__TYPE__SUBSCRIBE) {
        master_core_subscribe(m->core, c->id, stream_id, call, now);
    } else {
        int status = master_core_call(m->core, stream_id, call, now, &err);
        if (status >= 400) {
            sim_trace(
                w, "scheduler %u: call %d answered %d %s", s->index, call->type, status, err.msg);
            /* The answer reaches the scheduler like anything else, unless the connection is gone by
             * then. */
            if (s->conn == c && s->up && !c->broken)
                sim_scheduler_refused(w, s, status);
        }
    }
    pump(w, m);
}

void sim_master_conn_closed(struct world *w, struct sim_master *m, struct conn *c)
{
    int64_t now = sim_master_now(w, m);
    if (c->is_agent)
        master_core_agent_closed(m->core, c->id, now);
    else
        master_core_scheduler_closed(m->core, c->id, now);
    pump(w, m);
}
