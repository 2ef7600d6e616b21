#include "world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "holding.h"
#include "master/core.h"
#include "model.h"
#include "real.h"
#include "wire/codec.h"

struct event {
    struct heap_node node;
    sim_timer_fn timer; /* or, when NULL, a message or the end of a connection */
    void *target;
    unsigned generation;
    struct conn *conn;
    bool up;
    bool closed;
    bool owned;            /* target is freed with the event */
    struct sim_master *at; /* the process in which it happens; NULL: not a master's */
    size_t n;
    char data[];
};

void sim_fail(struct world *w, const char *fmt, ...)
{
    va_list ap;
    fprintf(stderr, "seed %" PRIu64 ", %.6f s, step %" PRIu64 ": ", w->seed, (double)w->now / 1e6,
        w->steps);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    static const char *const kinds[] = {"mixed", "model", "real"};
    fprintf(stderr, "\nreproduce: sim --seed=%" PRIu64 " --agents=%s", w->seed,
        kinds[w->options.agents]);
    if (w->options.masters)
        fprintf(stderr, " --masters=%u", w->options.masters);
    fprintf(stderr, " --trace\n");
    exit(SIM_FOUND);
}

void sim_trace(struct world *w, const char *fmt, ...)
{
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    n = MIN(MAX(n, 0), (int)sizeof(line) - 1);
    /* FNV-1a over time and text */
    w->hash = (w->hash ^ (uint64_t)w->now) * UINT64_C(0x100000001b3);
    for (int i = 0; i < n; i++)
        w->hash = (w->hash ^ (unsigned char)line[i]) * UINT64_C(0x100000001b3);
    if (w->options.trace)
        printf("%12.6f %s\n", (double)w->now / 1e6, line);
}

static void hash_bytes(struct world *w, const void *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        w->hash = (w->hash ^ ((const unsigned char *)p)[i]) * UINT64_C(0x100000001b3);
}

int64_t sim_between(struct world *w, int64_t lo, int64_t hi)
{
    return lo + (int64_t)rng_below(&w->rng, (uint64_t)(hi - lo) + 1);
}

bool sim_chance(struct world *w, unsigned percent)
{
    return rng_below(&w->rng, 100) < percent;
}

static struct event *event_new(size_t n)
{
    struct event *e = xcalloc(1, sizeof(*e) + n);
    e->n = n;
    return e;
}

void sim_after(struct world *w, int64_t delay, sim_timer_fn fn, void *target, unsigned generation)
{
    struct event *e = event_new(0);
    e->timer = fn;
    e->target = target;
    e->generation = generation;
    heap_push(&w->events, &e->node, w->now + MAX(delay, 0));
}

void sim_after_owned(
    struct world *w, int64_t delay, sim_timer_fn fn, void *target, unsigned generation)
{
    struct event *e = event_new(0);
    e->timer = fn;
    e->target = target;
    e->generation = generation;
    e->owned = true;
    heap_push(&w->events, &e->node, w->now + MAX(delay, 0));
}

void sim_after_master(
    struct world *w, struct sim_master *m, int64_t delay, sim_timer_fn fn, void *target)
{
    struct event *e = event_new(0);
    e->timer = fn;
    e->target = target;
    e->generation = m->generation;
    e->owned = true;
    e->at = m;
    heap_push(&w->events, &e->node, w->now + MAX(delay, 0));
}

static void event_free(struct event *e)
{
    if (e->owned)
        free(e->target);
    free(e);
}

static int64_t conn_path(struct world *w, const struct conn *c, bool up)
{
    return sim_path(
        w, &w->masters[c->master], c->is_agent ? PATH_AGENTS : PATH_SCHEDULERS, c->peer, up);
}

/* Mostly fast, sometimes slow; never before what was sent earlier the same way. A path that is cut
 * holds back what is sent, which is what TCP makes of it, until somebody gives up. */
static int64_t arrival(struct world *w, struct conn *c, bool up)
{
    int64_t delay = sim_between(w, 100, 5 * MSEC);
    if (w->chaos && sim_chance(w, 3))
        delay += sim_between(w, 0, 3 * SEC);
    int64_t *last = up ? &c->last_up : &c->last_down;
    *last = MAX(*last, conn_path(w, c, up) + delay);
    return *last;
}

void sim_send_bytes(struct world *w, struct conn *c, bool up, const void *p, size_t n)
{
    if (c->broken)
        return;
    if (w->options.defect == DEFECT_NETWORK_LOSES && !up && c->is_agent && n && sim_chance(w, 1))
        return;
    struct event *e = event_new(n);
    memcpy(e->data, p, n);
    e->conn = c;
    e->up = up;
    e->at = up ? &w->masters[c->master] : NULL;
    heap_push(&w->events, &e->node, arrival(w, c, up));
}

void sim_send(struct world *w, struct conn *c, bool up, const ProtobufCMessage *m)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    wire_pack(m, &b);
    sim_send_bytes(w, c, up, b.p, b.n);
}

/* Some are told late, or wrongly: the one that was deposed and
 * does not know yet is the worst choice. */
struct sim_master *sim_detect(struct world *w)
{
    struct sim_master *leader = sim_leader(w);
    if (w->n_masters == 1 || !w->chaos)
        return leader;
    for (unsigned i = 0; i < w->n_masters; i++)
        if (&w->masters[i] != leader && w->masters[i].core && sim_chance(w, 50))
            return &w->masters[i];
    return sim_chance(w, 10) ? &w->masters[rng_below(&w->rng, w->n_masters)] : leader;
}

struct conn *sim_dial(struct world *w, bool is_agent, unsigned peer)
{
    struct sim_master *m = sim_detect(w);
    if (!m || !m->up || !m->core)
        return NULL;
    struct conn *c = xnew(struct conn);
    c->id = ++w->next_conn;
    c->is_agent = is_agent;
    c->peer = peer;
    c->master = m->index;
    c->generation = m->generation;
    vec_push(&w->conns, c);
    return c;
}

static void send_closed(struct world *w, struct conn *c, bool up, int64_t delay)
{
    struct event *e = event_new(0);
    e->conn = c;
    e->up = up;
    e->closed = true;
    e->at = up ? &w->masters[c->master] : NULL;
    int64_t at = MAX(up ? c->last_up : c->last_down, conn_path(w, c, up) + delay);
    heap_push(&w->events, &e->node, at);
}

void sim_break(struct world *w, struct conn *c)
{
    if (c->broken)
        return;
    c->broken = true;
    c->last_up = c->last_down = 0;
    /* Half-open for a while is what real networks do. */
    int64_t slow = w->chaos && sim_chance(w, 20) ? 40 * SEC : SEC;
    send_closed(w, c, true, sim_between(w, 0, slow));
    send_closed(w, c, false, sim_between(w, 0, slow));
}

/* The master's process of the connection, while it is the one that took it. */
static struct sim_master *master_of(struct world *w, const struct conn *c)
{
    struct sim_master *m = &w->masters[c->master];
    return m->core && m->generation == c->generation ? m : NULL;
}

static void deliver(struct world *w, struct event *e)
{
    struct conn *c = e->conn;
    struct sim_master *m = master_of(w, c);
    if (e->closed) {
        bool *knows = e->up ? &c->master_knows : &c->peer_knows;
        if (*knows)
            return;
        *knows = true;
        if (e->up) {
            if (m)
                sim_master_conn_closed(w, m, c);
        } else if (c->is_agent && w->agents[c->peer].conn == c) {
            sim_agent_conn_closed(w, &w->agents[c->peer]);
        } else if (!c->is_agent && w->schedulers[c->peer].conn == c) {
            sim_scheduler_conn_closed(w, &w->schedulers[c->peer]);
        }
        return;
    }
    if (c->broken)
        return;
    hash_bytes(w, e->data, e->n);
    if (e->up) {
        if (m && !c->master_knows)
            sim_master_receive(w, m, c, e->data, e->n);
    } else if (c->is_agent) {
        if (w->agents[c->peer].conn == c && w->agents[c->peer].up)
            sim_agent_receive(w, &w->agents[c->peer], e->data, e->n);
    } else if (w->schedulers[c->peer].conn == c && w->schedulers[c->peer].up) {
        sim_scheduler_receive(w, &w->schedulers[c->peer], e->data, e->n);
    }
}

static void happen(struct world *w, struct event *e)
{
    if (e->at && e->at->paused) {
        vec_push(&e->at->held, e);
        return;
    }
    w->steps++;
    if (!e->timer)
        deliver(w, e);
    else if (!e->at || (e->at->up && e->at->generation == e->generation))
        e->timer(w, e->target, e->generation);
    event_free(e);
    check_step(w);
}

static void wake(struct world *w, void *target, unsigned pause)
{
    struct sim_master *m = target;
    if (!m->paused || m->pauses != pause)
        return;
    sim_trace(w, "master %u goes on", m->index);
    m->paused = false;
    /* In the order of arrival, and all of it before the process learns anything new. */
    VEC(struct event *) held = {m->held.items, m->held.n, m->held.cap};
    memset(&m->held, 0, sizeof(m->held));
    VEC_FOREACH (e, &held)
        happen(w, *e);
    vec_done(&held);
}

void sim_master_pause(struct world *w, struct sim_master *m, int64_t time)
{
    sim_trace(w, "master %u stands still", m->index);
    m->paused = true;
    sim_after(w, time, wake, m, ++m->pauses);
}

void sim_master_unpause(struct world *w, struct sim_master *m)
{
    m->paused = false;
    m->pauses++;
    VEC_FOREACH (e, &m->held)
        event_free(*e);
    vec_done(&m->held);
}

/* ---- life of the world ---- */

static void world_build(struct world *w, uint64_t seed)
{
    w->seed = seed;
    rng_init(&w->rng, seed);
    w->now = INT64_C(1700000000) * SEC;
    w->hash = UINT64_C(0xcbf29ce484222325);
    w->chaos = true;
    w->n_masters = w->options.masters ? w->options.masters : sim_chance(w, 50) ? MASTERS_MAX : 1;
    for (unsigned i = 0; i < w->n_masters; i++) {
        w->masters[i].index = i;
        w->masters[i].wall_error = sim_between(w, -SEC, SEC);
    }
    w->lease = sim_chance(w, 60);
    w->n_agents = 1 + (unsigned)rng_below(&w->rng, 5);
    w->agents = xnew_array(struct sim_agent, w->n_agents);
    w->n_schedulers = 1 + (unsigned)rng_below(&w->rng, 4);
    w->schedulers = xnew_array(struct sim_scheduler, w->n_schedulers);
    for (unsigned i = 0; i < w->n_agents; i++) {
        w->agents[i].index = i;
        w->agents[i].booted = w->now - sim_between(w, 0, 1000 * SEC);
        w->agents[i].cpus_milli = sim_between(w, 1, 8) * 1000;
        w->agents[i].mem_milli = sim_between(w, 512, 4096) * 1000;
        w->agents[i].disk_milli = sim_between(w, 10, 100) * 1000;
        w->agents[i].revocable_milli = sim_chance(w, 30) ? sim_between(w, 1, 4) * 1000 : 0;
        /* Drawn in any case, so that worlds of one seed differ in nothing else. */
        bool real = sim_chance(w, 60);
        if (w->options.agents == SIM_AGENTS_REAL || (w->options.agents == SIM_AGENTS_MIXED && real))
            w->agents[i].real = real_new();
        else
            w->agents[i].model = xnew(struct sim_model);
    }
    for (unsigned i = 0; i < w->n_schedulers; i++) {
        w->schedulers[i].index = i;
        w->schedulers[i].partition_aware = sim_chance(w, 60);
        w->schedulers[i].own_executor = sim_chance(w, 40);
        w->schedulers[i].revocable = sim_chance(w, 30);
        w->schedulers[i].reserves = sim_chance(w, 50);
        w->schedulers[i].n_roles = 1 + (unsigned)rng_below(&w->rng, 2);
        w->schedulers[i].wanted = (unsigned)rng_below(&w->rng, 12);
    }
}

static void world_free(struct world *w)
{
    for (unsigned i = 0; i < w->n_masters; i++) {
        struct sim_master *m = &w->masters[i];
        sim_master_unpause(w, m);
        if (m->up)
            sim_master_crash(w, m, true);
        vec_done(&m->unflushed);
        vec_done(&m->promises);
    }
    store_free(w);
    operator_free(w);
    for (struct heap_node *n; (n = heap_min(&w->events));) {
        heap_remove(&w->events, n);
        event_free(container_of(n, struct event, node));
    }
    heap_done(&w->events);
    for (unsigned i = 0; i < w->n_agents; i++)
        sim_agent_free(w, &w->agents[i]);
    for (unsigned i = 0; i < w->n_schedulers; i++)
        sim_scheduler_free(&w->schedulers[i]);
    free(w->agents);
    free(w->schedulers);
    VEC_FOREACH (c, &w->conns)
        free(*c);
    vec_done(&w->conns);
    ledger_free(w);
    holdings_free(w);
    MAP_FOREACH (e, &w->runs)
        free((char *)(uintptr_t)e->key);
    map_done(&w->runs);
}

/* Closed connections pile up over a long run; only those that something may still name are kept. */
static void forget_old_conns(struct world *w)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->conns.n; i++) {
        struct conn *c = w->conns.items[i];
        bool named = c->is_agent ? w->agents[c->peer].conn == c : w->schedulers[c->peer].conn == c;
        if (c->broken && c->master_knows && c->peer_knows && !named)
            free(c);
        else
            w->conns.items[kept++] = c;
    }
    w->conns.n = kept;
}

static void run_until(struct world *w, int64_t until)
{
    for (struct heap_node *n; (n = heap_min(&w->events)) && n->key <= until;) {
        heap_remove(&w->events, n);
        w->now = n->key;
        happen(w, container_of(n, struct event, node));
    }
    w->now = until;
}

static bool agents_idle(const struct world *w)
{
    for (unsigned i = 0; i < w->n_agents; i++) {
        const struct sim_real *r = w->agents[i].real;
        if (r && (r->unflushed.n || r->pending.n))
            return false;
    }
    return true;
}

void world_run(uint64_t seed, const struct sim_options *options, struct world_result *ret)
{
    struct world w = {.options = *options};
    world_build(&w, seed);
    int64_t start = w.now;
    store_start(&w);
    fault_start(&w);
    operator_start(&w);
    run_until(&w, start + 240 * SEC);

    /* Quiet: everybody comes back, nothing breaks any more, and after all timeouts the world must
     * agree with itself. */
    w.chaos = false;
    sim_trace(&w, "quiet");
    for (unsigned i = 0; i < 20; i++) {
        fault_calm(&w);
        run_until(&w, w.now + 60 * SEC);
        if (i == 7)
            operator_settled(&w);
        w.still = i >= 16;
    }
    /* Something is always written now and then. */
    for (unsigned i = 0; i < 100 && !agents_idle(&w); i++)
        run_until(&w, w.now + 50 * MSEC);
    check_settled(&w);
    forget_old_conns(&w);
    *ret = (struct world_result){.hash = w.hash,
        .steps = w.steps,
        .launches = w.launches,
        .faults = w.faults,
        .refusals = w.refusals};
    world_free(&w);
}
