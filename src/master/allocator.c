#include <string.h>

#include "base/alloc.h"
#include "master/state.h"

/*
 * Who is offered what.
 *
 * Agents that have something new to offer are marked dirty; a moment later each is looked at once:
 * roles in the order of fairness, in each its clients in theirs, and the first that may have what
 * is there gets an offer of all of it. What is reserved for others goes on to the next round, until
 * nobody wants the rest.
 */

enum { MIN_CPUS_MILLI = 10, MIN_MEM_MILLI = 32000 };

void mark_dirty(struct master_core *core, struct agent *a)
{
    if (!agent_active(a) || !list_empty(&a->dirty))
        return;
    list_push(&core->dirty, &a->dirty);
    if (!heap_contains(&core->allocate_timer.node))
        core_timer_start(core, &core->allocate_timer, core->now + core->config.allocation_delay_us);
}

void mark_all_dirty(struct master_core *core)
{
    MAP_FOREACH (e, &core->agents) {
        struct agent *a = e->value;
        if (!resources_empty(&a->available))
            mark_dirty(core, a);
    }
}

static bool worth_offering(const struct client *c, const struct resources *r)
{
    if (c->n_min == 0)
        return resources_scalar(r, "cpus") >= MIN_CPUS_MILLI ||
               resources_scalar(r, "mem") >= MIN_MEM_MILLI;
    for (size_t i = 0; i < c->n_min; i++) {
        bool all = true;
        for (size_t j = 0; j < c->min[i].n && all; j++)
            all = resources_scalar(r, c->min[i].items[j].name) >= c->min[i].items[j].milli;
        if (all)
            return true;
    }
    return false;
}

struct wanted {
    const char *role;
    uint32_t capabilities;
    const struct framework *framework;
    const struct agent *agent;
};

/* A shared volume stays available; who has it in an offer is not offered it again. */
static bool offered_already(const struct wanted *w, const struct resource *r)
{
    LIST_FOREACH (o, &w->agent->offers, struct offer, agent_node) {
        if (o->framework != w->framework)
            continue;
        _cleanup_resources_ struct resources plain = RESOURCES_INIT;
        resources_allocate(&o->resources, NULL, &plain);
        if (resources_contains_one(&plain, r))
            return true;
    }
    return false;
}

static bool may_have(const struct resource *r, const void *userdata)
{
    const struct wanted *w = userdata;
    if (!resource_is_allocatable_to(r, w->role))
        return false;
    if (r->kind->revocable && !(w->capabilities & FRAMEWORK_REVOCABLE_RESOURCES))
        return false;
    if (r->kind->shared &&
        (!(w->capabilities & FRAMEWORK_SHARED_RESOURCES) || offered_already(w, r)))
        return false;
    return (w->capabilities & FRAMEWORK_RESERVATION_REFINEMENT) ||
           !resource_has_refined_reservation(r, NULL);
}

static bool offer_to(struct master_core *core, struct agent *a, struct client *c)
{
    struct framework *f = c->framework;
    if (a->has_gpus && core->config.filter_gpu_resources &&
        !framework_is(f, FRAMEWORK_GPU_RESOURCES))
        return false;
    if (f->constraints && !constraints_allow(f, c->role->name, a))
        return false;
    struct wanted w = {c->role->name, f->capabilities, f, a};
    _cleanup_resources_ struct resources some = RESOURCES_INIT, r = RESOURCES_INIT;
    resources_filter(&a->available, may_have, &w, &some);
    if (resources_empty(&some) || !worth_offering(c, &some))
        return false;
    resources_allocate(&some, c->role->name, &r);
    if (filter_blocks(core, c, a, &r))
        return false;
    core_offer_new(core, c, a, &r);
    return true;
}

/* True once an offer was made: the orders have changed then. */
static bool offer_in(struct master_core *core, struct agent *a, const struct order *o)
{
    for (size_t i = 0; i < o->n; i++) {
        const struct share *s = o->items[i];
        if (s->client) {
            if (offer_to(core, a, s->client))
                return true;
        } else if (s->own) {
            if (offer_in(core, a, &s->role->clients))
                return true;
        } else if (offer_in(core, a, &s->role->order)) {
            return true;
        }
    }
    return false;
}

static bool nothing_left(const struct master_core *core, const struct agent *a)
{
    if (resources_empty(&a->available))
        return true;
    return core->n_custom_min == 0 && resources_scalar(&a->available, "cpus") < MIN_CPUS_MILLI &&
           resources_scalar(&a->available, "mem") < MIN_MEM_MILLI;
}

void allocate(struct master_core *core)
{
    core->stats.allocation_runs++;
    shares_rebuild(core);
    struct agent *a;
    while ((a = list_first(&core->dirty, struct agent, dirty))) {
        list_remove(&a->dirty);
        while (!nothing_left(core, a) && offer_in(core, a, &core->root.order))
            ;
    }
    send_fresh_offers(core);
}
