/*
 * Reservations and volumes that somebody was told are there: each has a name of its own (a label of
 * the reservation, the id of the volume), and its agent must have it until it is given up, over
 * restarts of everything. Of what was asked for and not answered nothing is known.
 */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "holding.h"
#include "kernel/resources.h"
#include "master/core.h"
#include "real.h"

static struct sim_holding *holding_of(struct world *w, const char *name)
{
    return map_get(&w->holdings, name);
}

struct sim_holding *holding_new(
    struct world *w, const struct sim_agent *a, bool volume, const char *prefix)
{
    struct sim_holding *h = xnew(struct sim_holding);
    h->name = xasprintf("%s-%u", prefix, w->next_holding++);
    h->agent = a->index;
    h->volume = volume;
    map_put(&w->holdings, h->name, h);
    return h;
}

void holding_ask(struct world *w, const char *name, struct sim_holding *ret_before)
{
    struct sim_holding *h = holding_of(w, name);
    if (ret_before)
        *ret_before = h ? *h : (struct sim_holding){0};
    if (h)
        h->state = HOLDING_UNKNOWN;
    if (h)
        h->asked++;
}

void holding_set(struct world *w, const char *name, enum holding_state state, unsigned asked)
{
    struct sim_holding *h = holding_of(w, name);
    /* Somebody else may have asked for something else meanwhile. */
    if (h && h->asked == asked && !h->lost)
        h->state = state;
}

unsigned holding_asked(struct world *w, const char *name)
{
    const struct sim_holding *h = holding_of(w, name);
    return h ? h->asked : 0;
}

/* Whoever is expelled comes back as somebody new, with nothing. */
void holdings_lose(struct world *w, const struct sim_agent *a)
{
    MAP_FOREACH (e, &w->holdings) {
        struct sim_holding *h = e->value;
        if (h->agent == a->index)
            h->lost = true;
    }
}

void holdings_free(struct world *w)
{
    MAP_FOREACH (e, &w->holdings) {
        struct sim_holding *h = e->value;
        free(h->name);
        free(h);
    }
    map_done(&w->holdings);
}

/* ---- looking ---- */

const char *holding_label(const Mesos__V1__Resource *r)
{
    for (size_t i = 0; i < r->n_reservations; i++) {
        const Mesos__V1__Labels *labels = r->reservations[i]->labels;
        for (size_t k = 0; labels && k < labels->n_labels; k++)
            if (streq(labels->labels[k]->key, "holding"))
                return labels->labels[k]->value;
    }
    return NULL;
}

static bool has(const struct resources *total, const struct sim_holding *h)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    RESOURCES_FOREACH(r, total)
    {
        if (h->volume) {
            if (r->kind->persistence_id && streq(r->kind->persistence_id, h->name))
                return true;
        } else if (r->kind->dynamic) {
            const char *label = holding_label(resource_kind_to_wire(r->kind, &arena));
            if (label && streq(label, h->name))
                return true;
        }
    }
    return false;
}

static void check_quantities(
    struct world *w, const struct sim_agent *a, const char *whose, const struct resources *total)
{
    const int64_t cpus = resources_scalar_if(total, "cpus", false),
                  mem = resources_scalar_if(total, "mem", false),
                  disk = resources_scalar_if(total, "disk", false);
    if (cpus != a->cpus_milli || mem != a->mem_milli || disk != a->disk_milli)
        sim_fail(w,
            "agent %u has cpus %" PRIi64 " mem %" PRIi64 " disk %" PRIi64
            " for the %s, not %" PRIi64 " %" PRIi64 " %" PRIi64,
            a->index, cpus, mem, disk, whose, a->cpus_milli, a->mem_milli, a->disk_milli);
}

static bool check_view(const struct master_agent_view *v, void *userdata)
{
    struct world *w = userdata;
    unsigned index = (unsigned)(v->hostname[strlen("agent")] - '0');
    if (v->recovered || resources_empty(v->total))
        return true;
    check_quantities(w, &w->agents[index], "master", v->total);
    return true;
}

void holdings_check(struct world *w)
{
    for (unsigned i = 0; i < w->n_masters; i++)
        if (w->masters[i].core)
            master_core_each_agent(w->masters[i].core, check_view, w);
    for (unsigned i = 0; i < w->n_agents; i++) {
        const struct sim_agent *a = &w->agents[i];
        if (!a->real || !a->real->core)
            continue;
        check_quantities(w, a, "agent", &a->real->core->total);
        if (a->expelled)
            continue;
        MAP_FOREACH (e, &w->holdings) {
            const struct sim_holding *h = e->value;
            if (h->agent != i || h->lost || h->state == HOLDING_UNKNOWN)
                continue;
            bool there = has(&a->real->core->total, h);
            if (!there && h->state == HOLDING_EXISTS)
                sim_fail(w, "%s was there on agent %u and nobody gave it up", h->name, i);
            if (there && h->state == HOLDING_GONE)
                sim_fail(w, "%s was given up on agent %u and is there", h->name, i);
        }
    }
}

static bool uses(const struct executor_task *t, const char *id)
{
    for (size_t i = 0; i < t->info->n_resources; i++) {
        const Mesos__V1__Resource *r = t->info->resources[i];
        if (r->disk && r->disk->persistence && streq(r->disk->persistence->id, id))
            return true;
    }
    return false;
}

void holding_removed(struct world *w, const struct sim_agent *a, const char *id)
{
    MAP_FOREACH (e, &a->real->containers) {
        struct container *c = e->value;
        VEC_FOREACH (t, &c->tasks)
            if ((*t)->runs && uses(*t, id))
                sim_fail(w, "agent %u removes volume %s, which %s uses", a->index, id,
                    (*t)->info->task_id->value);
    }
}

/* The master's and the agents' own word for what the agents have is the same. */
static bool check_same(const struct master_agent_view *v, void *userdata)
{
    struct world *w = userdata;
    for (unsigned i = 0; i < w->n_agents; i++) {
        const struct sim_agent *a = &w->agents[i];
        if (!a->real || !a->id || !streq(a->id, v->id))
            continue;
        _cleanup_resources_ struct resources own = RESOURCES_INIT;
        resources_filter(v->total, resource_is_nonrevocable, NULL, &own);
        if (!resources_equal(&own, &a->real->core->total)) {
            _cleanup_buf_ struct buf x = BUF_INIT, y = BUF_INIT;
            resources_format(&own, &x);
            resources_format(&a->real->core->total, &y);
            sim_fail(w, "agent %u has %s, the master thinks %s", i, buf_cstr(&y), buf_cstr(&x));
        }
    }
    return true;
}

void holdings_settled(struct world *w)
{
    struct sim_master *m = sim_leader(w);
    holdings_check(w);
    master_core_each_agent(m->core, check_same, w);
}

struct removal {
    struct sim_agent *agent;
    char id[32];
};

static void remove_now(struct world *w, void *target, unsigned unused)
{
    const struct removal *r = target;
    holding_removed(w, r->agent, r->id);
}

void holding_remove_later(struct world *w, struct sim_agent *a, const char *id)
{
    struct removal *r = xnew(struct removal);
    r->agent = a;
    snprintf(r->id, sizeof(r->id), "%s", id);
    sim_after_owned(w, sim_between(w, SEC, 30 * SEC), remove_now, r, 0);
}
