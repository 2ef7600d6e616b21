#include "world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

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
    bool owned; /* target is freed with the event */
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
    fprintf(stderr, "\nreproduce: sim --seed=%" PRIu64 " --agents=%s --trace\n", w->seed,
        kinds[w->options.agents]);
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

static void event_free(struct event *e)
{
    if (e->owned)
        free(e->target);
    free(e);
}

/* Mostly fast, sometimes slow; never before what was sent earlier the same way. */
static int64_t arrival(struct world *w, struct conn *c, bool up)
{
    int64_t delay = sim_between(w, 100, 5 * MSEC);
    if (w->chaos && sim_chance(w, 3))
        delay += sim_between(w, 0, 3 * SEC);
    int64_t *last = up ? &c->last_up : &c->last_down;
    *last = MAX(*last, w->now + delay);
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
    heap_push(&w->events, &e->node, arrival(w, c, up));
}

void sim_send(struct world *w, struct conn *c, bool up, const ProtobufCMessage *m)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    wire_pack(m, &b);
    sim_send_bytes(w, c, up, b.p, b.n);
}

struct conn *sim_connect(struct world *w, bool is_agent, unsigned peer)
{
    struct conn *c = xnew(struct conn);
    c->id = ++w->next_conn;
    c->is_agent = is_agent;
    c->peer = peer;
    c->incarnation = w->incarnation;
    vec_push(&w->conns, c);
    return c;
}

static void send_closed(struct world *w, struct conn *c, bool up, int64_t delay)
{
    struct event *e = event_new(0);
    e->conn = c;
    e->up = up;
    e->closed = true;
    int64_t at = MAX(up ? c->last_up : c->last_down, w->now + delay);
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

static void deliver(struct world *w, struct event *e)
{
    struct conn *c = e->conn;
    if (e->closed) {
        bool *knows = e->up ? &c->master_knows : &c->peer_knows;
        if (*knows)
            return;
        *knows = true;
        if (e->up) {
            if (w->core && c->incarnation == w->incarnation)
                sim_master_conn_closed(w, c);
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
        if (w->core && c->incarnation == w->incarnation && !c->master_knows)
            sim_master_receive(w, c, e->data, e->n);
    } else if (c->is_agent) {
        if (w->agents[c->peer].conn == c && w->agents[c->peer].up)
            sim_agent_receive(w, &w->agents[c->peer], e->data, e->n);
    } else if (w->schedulers[c->peer].conn == c && w->schedulers[c->peer].up) {
        sim_scheduler_receive(w, &w->schedulers[c->peer], e->data, e->n);
    }
}

/* ---- faults ---- */

static struct conn *open_conn(struct world *w)
{
    size_t open = 0;
    VEC_FOREACH (c, &w->conns)
        open += !(*c)->broken;
    if (!open)
        return NULL;
    size_t pick = rng_below(&w->rng, open);
    VEC_FOREACH (c, &w->conns) {
        if (!(*c)->broken && pick-- == 0)
            return *c;
    }
    return NULL;
}

static void master_again(struct world *w, void *target, unsigned generation)
{
    if (!w->core)
        sim_master_boot(w);
}

static void agent_again(struct world *w, void *target, unsigned generation)
{
    struct sim_agent *a = target;
    if (!a->up && a->generation == generation)
        sim_agent_boot(w, a);
}

static void scheduler_again(struct world *w, void *target, unsigned generation)
{
    struct sim_scheduler *s = target;
    if (!s->up && s->generation == generation)
        sim_scheduler_boot(w, s);
}

static void fault(struct world *w, void *target, unsigned generation)
{
    if (!w->chaos)
        return;
    w->faults++;
    unsigned dice = (unsigned)rng_below(&w->rng, 100);
    struct sim_agent *a = &w->agents[rng_below(&w->rng, w->n_agents)];
    struct sim_scheduler *s = &w->schedulers[rng_below(&w->rng, w->n_schedulers)];
    if (dice < 12) {
        if (w->core) {
            sim_master_crash(w);
            sim_after(w, sim_between(w, 10 * MSEC, 20 * SEC), master_again, NULL, 0);
        }
    } else if (dice < 32) {
        if (a->up) {
            sim_agent_crash(w, a, sim_chance(w, 25));
            int64_t away = sim_chance(w, 20) ? sim_between(w, 60 * SEC, 200 * SEC)
                                             : sim_between(w, 10 * MSEC, 20 * SEC);
            sim_after(w, away, agent_again, a, a->generation);
        }
    } else if (dice < 50) {
        if (s->up) {
            sim_scheduler_crash(w, s);
            int64_t away = sim_chance(w, 15) ? sim_between(w, 100 * SEC, 200 * SEC)
                                             : sim_between(w, 10 * MSEC, 20 * SEC);
            sim_after(w, away, scheduler_again, s, s->generation);
        }
    } else if (dice < 64) {
        sim_agent_disturb(w, a);
    } else if (dice < 87) {
        struct conn *c = open_conn(w);
        if (c)
            sim_break(w, c);
    } else {
        s->wanted = (unsigned)rng_below(&w->rng, 12);
    }
    sim_after(w, sim_between(w, 100 * MSEC, 10 * SEC), fault, NULL, 0);
}

/* ---- life of the world ---- */

static void world_build(struct world *w, uint64_t seed)
{
    w->seed = seed;
    rng_init(&w->rng, seed);
    w->now = INT64_C(1700000000) * SEC;
    w->hash = UINT64_C(0xcbf29ce484222325);
    w->chaos = true;
    w->n_agents = 1 + (unsigned)rng_below(&w->rng, 5);
    w->agents = xnew_array(struct sim_agent, w->n_agents);
    w->n_schedulers = 1 + (unsigned)rng_below(&w->rng, 4);
    w->schedulers = xnew_array(struct sim_scheduler, w->n_schedulers);
    for (unsigned i = 0; i < w->n_agents; i++) {
        w->agents[i].index = i;
        w->agents[i].cpus_milli = sim_between(w, 1, 8) * 1000;
        w->agents[i].mem_milli = sim_between(w, 512, 4096) * 1000;
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
        w->schedulers[i].wanted = (unsigned)rng_below(&w->rng, 12);
    }
}

static void world_free(struct world *w)
{
    sim_master_stop(w);
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
        struct event *e = container_of(n, struct event, node);
        w->now = n->key;
        w->steps++;
        if (e->timer)
            e->timer(w, e->target, e->generation);
        else
            deliver(w, e);
        event_free(e);
        check_step(w);
    }
    w->now = until;
}

void world_run(uint64_t seed, const struct sim_options *options, struct world_result *ret)
{
    struct world w = {.options = *options};
    world_build(&w, seed);
    int64_t start = w.now;
    sim_master_boot(&w);
    for (unsigned i = 0; i < w.n_agents; i++)
        sim_after(&w, sim_between(&w, 0, SEC), agent_again, &w.agents[i], 0);
    for (unsigned i = 0; i < w.n_schedulers; i++)
        sim_after(&w, sim_between(&w, 0, SEC), scheduler_again, &w.schedulers[i], 0);
    sim_after(&w, sim_between(&w, SEC, 5 * SEC), fault, NULL, 0);
    run_until(&w, start + 240 * SEC);

    /* Quiet: everybody comes back, nothing breaks any more, and after all timeouts the world must
     * agree with itself. */
    w.chaos = false;
    sim_trace(&w, "quiet");
    for (unsigned i = 0; i < 20; i++) {
        if (!w.core)
            sim_master_boot(&w);
        for (unsigned k = 0; k < w.n_agents; k++)
            if (!w.agents[k].up)
                sim_agent_boot(&w, &w.agents[k]);
        for (unsigned k = 0; k < w.n_schedulers; k++)
            if (!w.schedulers[k].up)
                sim_scheduler_boot(&w, &w.schedulers[k]);
        run_until(&w, w.now + 60 * SEC);
    }
    check_settled(&w);
    forget_old_conns(&w);
    *ret = (struct world_result){
        .hash = w.hash, .steps = w.steps, .launches = w.launches, .faults = w.faults};
    world_free(&w);
}
