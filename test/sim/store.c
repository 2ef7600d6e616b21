/*
 * The store that masters share, and their election, as ZooKeeper has them: a candidate lives by its
 * session, which ends when it has not been heard for a while; the oldest candidate leads, and gets
 * an epoch of its own when it takes office; commits of an older epoch are refused. Requests and
 * answers take their time, get lost, and come twice. With one master it stands for its disk.
 */

#include <inttypes.h>
#include <string.h>

#include "world.h"

static const int64_t SESSION_TIMEOUT = 10 * SEC;
static const int64_t HEARTBEAT = 2 * SEC;
static const int64_t RESEND = 3 * SEC;

enum answer { ANSWER_EXPIRED, ANSWER_LIVES, ANSWER_DONE, ANSWER_STALE };

struct flat {
    bool remove;
    size_t key, value, n; /* offsets into data */
    uint64_t number;
};

/* Either way. */
struct letter {
    struct sim_master *m;
    unsigned generation; /* of its process */
    uint64_t session, epoch, batch, version;
    enum answer answer;
    size_t n_ops;
    size_t size;
    char data[]; /* struct flat of each op, then bytes */
};

static struct letter *letter_new(struct sim_master *m, size_t size)
{
    struct letter *l = xcalloc(1, sizeof(*l) + size);
    l->m = m;
    l->generation = m->generation;
    l->session = m->session;
    l->epoch = m->epoch;
    l->size = size;
    return l;
}

static struct sim_session *session_find(struct world *w, uint64_t id)
{
    VEC_FOREACH (s, &w->store.sessions)
        if (s->id == id)
            return s;
    return NULL;
}

struct sim_master *sim_leader(struct world *w)
{
    const struct sim_session *first = w->store.sessions.n ? &w->store.sessions.items[0] : NULL;
    return first && first->epoch ? &w->masters[first->master] : NULL;
}

/* ---- on the way ---- */

static int64_t latency(struct world *w)
{
    int64_t delay = sim_between(w, 100, 10 * MSEC);
    if (w->chaos && sim_chance(w, 2))
        delay += sim_between(w, 0, 5 * SEC); /* slow is not failed */
    return delay;
}

/* Over a path that is cut, letters are lost or come late. Returns the delay, or -1. */
static int64_t way(struct world *w, const struct sim_master *m, bool to_store)
{
    int64_t open = sim_path(w, m, PATH_STORE, 0, to_store);
    if (open > w->now && sim_chance(w, 50))
        return -1;
    return open - w->now + latency(w);
}

static void answer_arrives(struct world *w, void *target, unsigned generation);

static void answer(struct world *w, const struct letter *l, enum answer a, uint64_t epoch)
{
    int64_t delay = way(w, l->m, false);
    if (delay < 0 || !l->m->up || l->m->generation != l->generation)
        return;
    struct letter *back = letter_new(l->m, 0);
    back->session = l->session;
    back->batch = l->batch;
    back->epoch = epoch;
    back->answer = a;
    back->version = w->store.version;
    sim_after_master(w, l->m, delay, answer_arrives, back);
}

static void answer_arrives(struct world *w, void *target, unsigned generation)
{
    const struct letter *l = target;
    struct sim_master *m = l->m;
    if (l->session != m->session)
        return;
    m->heard_store = w->now;
    switch (l->answer) {
    case ANSWER_EXPIRED:
        sim_master_end(w, m, "its session has ended");
        break;
    case ANSWER_LIVES:
        if (l->epoch && !m->core)
            sim_master_lead(w, m, l->epoch);
        break;
    case ANSWER_DONE:
        if (l->epoch == m->epoch)
            sim_master_committed(w, m, l->batch, l->version);
        break;
    case ANSWER_STALE:
        sim_master_end(w, m, "another one leads");
        break;
    }
}

/* ---- sessions ---- */

/* At the store: the one that leads and does not know yet takes office with its next heartbeat. */
static void heartbeat_arrives(struct world *w, void *target, unsigned unused)
{
    const struct letter *l = target;
    if (w->store.stalled_until > w->now)
        return;
    struct sim_session *s = session_find(w, l->session);
    if (!s) {
        answer(w, l, ANSWER_EXPIRED, 0);
        return;
    }
    s->heard = w->now;
    if (s == &w->store.sessions.items[0] && !s->epoch) {
        s->epoch = ++w->store.epoch;
        w->store.batch = 0;
        sim_trace(w, "master %u leads, epoch %" PRIu64, s->master, s->epoch);
    }
    answer(w, l, ANSWER_LIVES, s->epoch);
}

static void heartbeat(struct world *w, void *target, unsigned generation)
{
    const struct letter *me = target;
    struct sim_master *m = me->m;
    if (m->core && !m->patient && w->now - m->heard_store > SESSION_TIMEOUT) {
        sim_master_end(w, m, "it does not hear the store");
        return;
    }
    int64_t delay = way(w, m, true);
    if (delay >= 0)
        sim_after_owned(w, delay, heartbeat_arrives, letter_new(m, 0), 0);
    sim_after_master(
        w, m, m->core || w->n_masters > 1 ? HEARTBEAT : 100 * MSEC, heartbeat, letter_new(m, 0));
}

static void expire(struct world *w, void *target, unsigned unused)
{
    if (w->store.stalled_until <= w->now && w->n_masters > 1) {
        for (size_t i = w->store.sessions.n; i-- > 0;) {
            const struct sim_session *s = &w->store.sessions.items[i];
            if (w->now - s->heard <= SESSION_TIMEOUT)
                continue;
            sim_trace(w, "the session of master %u ends", s->master);
            vec_remove(&w->store.sessions, i);
        }
    }
    sim_after(w, 500 * MSEC, expire, NULL, 0);
}

void store_join(struct world *w, struct sim_master *m)
{
    m->session = ++w->store.next_session;
    m->heard_store = w->now;
    m->patient = !w->lease && sim_chance(w, 50);
    vec_push(&w->store.sessions,
        (struct sim_session){.id = m->session, .master = m->index, .heard = w->now});
    sim_after_master(w, m, sim_between(w, MSEC, 20 * MSEC), heartbeat, letter_new(m, 0));
}

void store_leave(struct world *w, uint64_t session)
{
    for (size_t i = 0; i < w->store.sessions.n; i++) {
        if (w->store.sessions.items[i].id == session) {
            vec_remove(&w->store.sessions, i);
            return;
        }
    }
}

void store_start(struct world *w)
{
    sim_after(w, 500 * MSEC, expire, NULL, 0);
}

/* Nothing is answered meanwhile; sessions do not age, as in an ensemble without a majority. */
void store_stall(struct world *w, int64_t time)
{
    sim_trace(w, "the store stands still");
    w->store.stalled_until = MAX(w->store.stalled_until, w->now + time);
    VEC_FOREACH (s, &w->store.sessions)
        s->heard = w->store.stalled_until;
}

/* ---- commits ---- */

static void entry_free(struct disk_entry *e)
{
    if (!e)
        return;
    free(e->key);
    free(e->value);
    free(e);
}

static void apply(struct world *w, const struct letter *l)
{
    const struct flat *ops = (const struct flat *)(const void *)l->data;
    for (size_t i = 0; i < l->n_ops; i++) {
        const char *key = l->data + ops[i].key;
        if (w->options.defect == DEFECT_FORGOTTEN_NODES && has_prefix(key, "agents/") &&
            map_get(&w->store.disk, key) && !ops[i].remove)
            continue;
        if (w->options.defect == DEFECT_FORGOTTEN_QUOTAS && streq(key, "allocator/quotas"))
            continue;
        entry_free(map_remove(&w->store.disk, key));
        if (ops[i].remove)
            continue;
        struct disk_entry *e = xnew(struct disk_entry);
        e->key = xstrdup(key);
        e->value = xmemdup(l->data + ops[i].value, ops[i].n);
        e->n = ops[i].n;
        e->number = ops[i].number;
        map_put(&w->store.disk, e->key, e);
        if (!map_get(&w->store.ever, e->key))
            map_put(&w->store.ever, xstrdup(e->key), w);
    }
    w->store.version++;
}

static void commit_arrives(struct world *w, void *target, unsigned unused)
{
    const struct letter *l = target;
    if (w->store.stalled_until > w->now)
        return;
    if (l->epoch == w->store.epoch) {
        if (l->batch > w->store.batch) {
            apply(w, l);
            w->store.batch = l->batch;
        }
    } else if (w->options.defect == DEFECT_STORE_UNFENCED) {
        apply(w, l);
    } else {
        w->refusals++;
        answer(w, l, ANSWER_STALE, 0);
        return;
    }
    answer(w, l, ANSWER_DONE, l->epoch);
}

static void resend(struct world *w, void *target, unsigned generation)
{
    const struct letter *l = target;
    if (l->m->flushing && l->m->batch == l->batch && l->m->epoch == l->epoch)
        store_send_commit(w, l->m);
}

void store_send_commit(struct world *w, struct sim_master *m)
{
    size_t size = m->flushing * sizeof(struct flat);
    for (size_t i = 0; i < m->flushing; i++)
        size += strlen(m->unflushed.items[i].key) + 1 + m->unflushed.items[i].n;
    struct letter *l = letter_new(m, size);
    l->batch = m->batch;
    l->n_ops = m->flushing;
    struct flat *ops = (struct flat *)(void *)l->data;
    size_t at = m->flushing * sizeof(struct flat);
    for (size_t i = 0; i < m->flushing; i++) {
        const struct disk_entry *e = &m->unflushed.items[i];
        size_t key_size = strlen(e->key) + 1;
        ops[i] = (struct flat){
            .remove = e->remove, .key = at, .value = at + key_size, .n = e->n, .number = e->number};
        memcpy(l->data + at, e->key, key_size);
        if (e->n)
            memcpy(l->data + at + key_size, e->value, e->n);
        at += key_size + e->n;
    }
    struct letter *again = letter_new(m, 0);
    again->batch = m->batch;
    sim_after_master(w, m, RESEND, resend, again);
    int64_t delay = way(w, m, true);
    if (delay < 0)
        free(l);
    else
        sim_after_owned(w, delay + sim_between(w, 100, 10 * MSEC), commit_arrives, l, 0);
}

bool store_had(const struct world *w, const char *prefix, const char *id)
{
    _cleanup_free_ char *key = xasprintf("%s%s", prefix, id);
    return map_get(&w->store.ever, key) != NULL;
}

void store_free(struct world *w)
{
    MAP_FOREACH (e, &w->store.disk)
        entry_free(e->value);
    map_done(&w->store.disk);
    MAP_FOREACH (e, &w->store.ever)
        free((char *)(uintptr_t)e->key);
    map_done(&w->store.ever);
    vec_done(&w->store.sessions);
}
