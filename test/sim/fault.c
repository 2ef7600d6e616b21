/* What goes wrong, and how it comes back. */

#include "world.h"

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
    struct sim_master *m = target;
    if (!m->up && m->generation == generation)
        sim_master_boot(w, m);
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

static void crash_master(struct world *w, struct sim_master *m)
{
    if (!m->up)
        return;
    sim_master_crash(w, m, sim_chance(w, 30));
    sim_after(w, sim_between(w, 10 * MSEC, 20 * SEC), master_again, m, m->generation);
}

static void crash_agent(struct world *w, struct sim_agent *a)
{
    if (!a->up)
        return;
    sim_agent_crash(w, a, sim_chance(w, 25));
    int64_t away = sim_chance(w, 20) ? sim_between(w, 60 * SEC, 200 * SEC)
                                     : sim_between(w, 10 * MSEC, 20 * SEC);
    sim_after(w, away, agent_again, a, a->generation);
}

static void crash_scheduler(struct world *w, struct sim_scheduler *s)
{
    if (!s->up)
        return;
    sim_scheduler_crash(w, s);
    int64_t away = sim_chance(w, 15) ? sim_between(w, 100 * SEC, 200 * SEC)
                                     : sim_between(w, 10 * MSEC, 20 * SEC);
    sim_after(w, away, scheduler_again, s, s->generation);
}

/* A few milliseconds, or longer than any session. */
static int64_t while_(struct world *w)
{
    return sim_chance(w, 40) ? sim_between(w, MSEC, 5 * SEC) : sim_between(w, 5 * SEC, 60 * SEC);
}

static void cut(struct world *w, struct sim_master *m)
{
    enum sim_path path = sim_chance(w, 50) ? PATH_STORE
                                           : (enum sim_path)rng_below(&w->rng, SIM_PATHS);
    struct sim_cut *c = &m->cuts[path];
    c->peers = sim_chance(w, 50) ? ~0U : (unsigned)rng_below(&w->rng, 256);
    unsigned ways = (unsigned)rng_below(&w->rng, 3);
    int64_t until = w->now + while_(w);
    sim_trace(w, "master %u: path %d is cut, way %u, from %x", m->index, path, ways, c->peers);
    for (unsigned up = 0; up < 2; up++)
        if (ways == up || ways == 2)
            c->until[up] = MAX(c->until[up], until);
}

static void jump(struct world *w)
{
    static const int64_t sizes[] = {10 * MSEC, 5 * SEC, 3600 * SEC, 30 * 86400 * SEC};
    int64_t size = sizes[rng_below(&w->rng, ARRAY_SIZE(sizes))];
    int64_t by = sim_between(w, -size, size);
    unsigned pick = (unsigned)rng_below(&w->rng, w->n_masters + w->n_agents);
    sim_trace(w, "clock %u jumps", pick);
    if (pick < w->n_masters)
        w->masters[pick].wall_error += by;
    else
        w->agents[pick - w->n_masters].wall_error += by;
}

/* Of masters and what they share, when there are several. */
static void master_fault(struct world *w)
{
    struct sim_master *m = sim_leader(w);
    if (!m || sim_chance(w, 25))
        m = &w->masters[rng_below(&w->rng, w->n_masters)];
    unsigned dice = (unsigned)rng_below(&w->rng, 100);
    if (dice < 25) {
        crash_master(w, m);
    } else if (dice < 50) {
        if (m->up && !m->paused)
            sim_master_pause(w, m, while_(w));
    } else if (dice < 90) {
        cut(w, m);
    } else {
        store_stall(w, while_(w));
    }
}

static void fault(struct world *w, void *target, unsigned generation)
{
    if (!w->chaos)
        return;
    w->faults++;
    unsigned dice = (unsigned)rng_below(&w->rng, 100);
    struct sim_agent *a = &w->agents[rng_below(&w->rng, w->n_agents)];
    struct sim_scheduler *s = &w->schedulers[rng_below(&w->rng, w->n_schedulers)];
    if (w->n_masters > 1 && sim_chance(w, 25)) {
        master_fault(w);
    } else if (dice < 10) {
        crash_master(w, &w->masters[rng_below(&w->rng, w->n_masters)]);
    } else if (dice < 30) {
        crash_agent(w, a);
    } else if (dice < 48) {
        crash_scheduler(w, s);
    } else if (dice < 62) {
        sim_agent_disturb(w, a);
    } else if (dice < 83) {
        struct conn *c = open_conn(w);
        if (c)
            sim_break(w, c);
    } else if (dice < 87) {
        jump(w);
    } else {
        s->wanted = (unsigned)rng_below(&w->rng, 12);
    }
    sim_after(w, sim_between(w, 100 * MSEC, 10 * SEC), fault, NULL, 0);
}

void fault_start(struct world *w)
{
    for (unsigned i = 0; i < w->n_masters; i++)
        sim_after(w, sim_between(w, 0, SEC), master_again, &w->masters[i], 0);
    for (unsigned i = 0; i < w->n_agents; i++)
        sim_after(w, sim_between(w, 0, SEC), agent_again, &w->agents[i], 0);
    for (unsigned i = 0; i < w->n_schedulers; i++)
        sim_after(w, sim_between(w, 0, SEC), scheduler_again, &w->schedulers[i], 0);
    sim_after(w, sim_between(w, SEC, 5 * SEC), fault, NULL, 0);
}

void fault_calm(struct world *w)
{
    w->store.stalled_until = 0;
    for (unsigned i = 0; i < w->n_masters; i++) {
        struct sim_master *m = &w->masters[i];
        memset(m->cuts, 0, sizeof(m->cuts));
        if (!m->up)
            sim_master_boot(w, m);
    }
    for (unsigned i = 0; i < w->n_agents; i++)
        if (!w->agents[i].up)
            sim_agent_boot(w, &w->agents[i]);
    for (unsigned i = 0; i < w->n_schedulers; i++)
        if (!w->schedulers[i].up)
            sim_scheduler_boot(w, &w->schedulers[i]);
}
