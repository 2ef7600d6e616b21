#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "master/state.h"

/*
 * Who is offered what.
 *
 * Agents that have something new to offer are marked dirty; a moment later each is looked at. First
 * for the guarantees of quotas: roles whose guarantee is not met, in the order of fairness, and in
 * each its clients in theirs. Then for everybody: the first client that may have what is there gets
 * an offer of all of it, short of what its role's limit and the guarantees of others leave. What is
 * reserved for others goes on to the next round, until nobody wants the rest.
 *
 * An agent of which something was kept back for a limit or a guarantee is held, and looked at again
 * when that may have changed, at most once per allocation interval.
 */

/* ---- agents to look at ---- */

enum trace_result agent_offerable(const struct master_core *core, const struct agent *a)
{
    if (!agent_connected(a) || a->state != AGENT_REGISTERED)
        return TRACE_AGENT_AWAY;
    if (!agent_active(a))
        return TRACE_DEACTIVATED;
    if (core->has_whitelist && !map_get(&core->whitelist, a->info->hostname))
        return TRACE_NOT_WHITELISTED;
    return TRACE_AVAILABLE;
}

static void wake(struct master_core *core)
{
    if (core->paused || heap_contains(&core->allocate_timer.node))
        return;
    core->woken_us = core->now;
    core_timer_start(core, &core->allocate_timer, core->now + core->config.allocation_delay_us);
}

void mark_dirty(struct master_core *core, struct agent *a)
{
    if (!list_empty(&a->dirty) || agent_offerable(core, a) != TRACE_AVAILABLE)
        return;
    list_remove(&a->held);
    list_push(&core->dirty, &a->dirty);
    wake(core);
}

void mark_all_dirty(struct master_core *core)
{
    MAP_FOREACH (e, &core->agents) {
        struct agent *a = e->value;
        if (!resources_empty(&a->available))
            mark_dirty(core, a);
    }
}

void agent_offerable_changed(struct master_core *core, struct agent *a)
{
    if (agent_offerable(core, a) != TRACE_AVAILABLE) {
        list_remove(&a->dirty);
        list_remove(&a->held);
    }
    agent_recount(core, a);
    mark_dirty(core, a);
}

static void held_due(struct master_core *core, struct core_timer *t, int64_t now_us)
{
    core->held_us = now_us;
    struct agent *a;
    while ((a = list_first(&core->held, struct agent, held))) {
        list_remove(&a->held);
        mark_dirty(core, a);
    }
}

void allocator_wake_held(struct master_core *core)
{
    if (list_empty(&core->held) || heap_contains(&core->held_timer.node))
        return;
    core->held_timer.fn = held_due;
    core_timer_start(core, &core->held_timer,
        MAX(core->now + core->config.allocation_delay_us,
            core->held_us + core->config.allocation_interval_us));
}

/* ---- after a failover ---- */

static void resume(struct master_core *core)
{
    core->paused = false;
    core_timer_stop(core, &core->recovery_timer);
    mark_all_dirty(core);
    if (!list_empty(&core->dirty))
        wake(core);
}

static void recovery_due(struct master_core *core, struct core_timer *t, int64_t now_us)
{
    resume(core);
}

void allocator_start(struct master_core *core)
{
    core->expected_back = (size_t)((int64_t)map_size(&core->agents) *
                                   core->config.recovery_factor_milli / 1000);
    if (core->n_quotas == 0 || core->expected_back == 0)
        return;
    core->paused = true;
    core->recovery_timer.fn = recovery_due;
    core_timer_start(
        core, &core->recovery_timer, core->now + core->config.allocator_recovery_timeout_us);
}

void allocator_agent_back(struct master_core *core)
{
    core->n_back++;
    if (core->paused && core->n_back >= core->expected_back)
        resume(core);
}

/* ---- minimal sets ---- */

static bool set_met(const struct min_quantities *m, const struct resources *r)
{
    for (size_t j = 0; j < m->n; j++)
        if (resources_scalar(r, m->items[j].name) < m->items[j].milli)
            return false;
    return true;
}

static bool any_set_met(const struct min_quantities *min, size_t n, const struct resources *r)
{
    for (size_t i = 0; i < n; i++)
        if (set_met(&min[i], r))
            return true;
    return n == 0 && !resources_empty(r);
}

static bool worth_offering(
    const struct master_core *core, const struct client *c, const struct resources *r)
{
    return c->n_min ? any_set_met(c->min, c->n_min, r) : any_set_met(core->min, core->n_min, r);
}

static bool nothing_left(const struct master_core *core, const struct agent *a)
{
    if (resources_empty(&a->available))
        return true;
    return core->n_custom_min == 0 && !any_set_met(core->min, core->n_min, &a->available);
}

void min_quantities_free(struct min_quantities *min, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < min[i].n; j++)
            free((char *)(uintptr_t)min[i].items[j].name);
        free(min[i].items);
    }
    free(min);
}

int min_quantities_parse(
    const char *text, struct min_quantities **ret, size_t *ret_n, struct error *err)
{
    struct str rest = str_of(text), part;
    VEC(struct min_quantities) sets = {0};
    int r = 0;
    while (text[0] && r == 0 && str_split(&rest, '|', &part)) {
        _cleanup_resources_ struct resources set = RESOURCES_INIT;
        r = resources_parse(part, "*", &set, err);
        struct min_quantities m = {.items = xnew_array(struct min_quantity, set.n + 1)};
        RESOURCES_FOREACH(item, &set)
        {
            if (item->kind->type != RESOURCE_SCALAR && r == 0)
                r = error_set(err, -EINVAL, "'%s' is not a number", item->kind->name);
            else
                m.items[m.n++] = (struct min_quantity){xstrdup(item->kind->name), item->milli};
        }
        if (r == 0 && m.n == 0)
            r = error_set(err, -EINVAL, "a set of quantities is empty");
        vec_push(&sets, m);
    }
    if (r < 0) {
        min_quantities_free(sets.items, sets.n);
        return r;
    }
    *ret = sets.items;
    *ret_n = sets.n;
    return 0;
}

/* ---- what a client may have of an agent ---- */

/* How much of unreserved, not revocable scalars a role may be offered. */
struct room {
    bool bounded;
    int64_t milli[QUANTITIES_MAX];
    bool by_limit[QUANTITIES_MAX]; /* else by the guarantees of others */
};

/* Of any role. */
static bool guarantees_unmet(const struct master_core *core)
{
    for (size_t i = 0; i < core->n_quantities && core->n_guarantees; i++)
        if (core->required[i] > 0)
            return true;
    return false;
}

static void find_room(const struct master_core *core, const struct role *top,
    enum allocation_stage stage, struct room *ret)
{
    ret->bounded = guarantees_unmet(core) || (top->quota && top->quota->has_limit);
    if (!ret->bounded)
        return;
    for (size_t i = 0; i < core->n_quantities; i++) {
        int64_t room = NO_LIMIT;
        if (core->required[i] > 0) {
            room = MAX(core->free[i] - core->required[i], 0);
            if (stage == STAGE_GUARANTEES)
                room += role_unmet(top, i);
        }
        ret->by_limit[i] = false;
        if (top->quota && top->quota->limit[i] != NO_LIMIT) {
            int64_t limit = MAX(top->quota->limit[i] - role_consumed(top, i), 0);
            ret->by_limit[i] = limit <= room;
            room = MIN(limit, room);
        }
        ret->milli[i] = room;
    }
}

/* What a look at an agent for one role found: how the whole role stands. */
struct look {
    struct master_core *core;
    struct agent *a;
    enum allocation_stage stage;
    struct room room; /* of the role at hand */
    struct role *top;
    bool kept_back; /* something, from somebody */
    /* A question without consequences. */
    bool ask;
    int64_t until_us;
    int quantity;
};

/* The smallest want of any set is already more than there is room for; only for agents on which
 * there is nothing but what the room is about. Saves a look at every client of a role that is at
 * its limit. */
static bool no_room(const struct look *l, int *ret_quantity, bool *ret_by_limit)
{
    const struct master_core *core = l->core;
    if (!l->room.bounded || !l->a->simple || core->n_custom_min || core->n_min == 0)
        return false;
    for (size_t i = 0; i < core->n_min; i++) {
        bool met = true;
        for (size_t j = 0; j < core->min[i].n && met; j++) {
            const struct min_quantity *m = &core->min[i].items[j];
            int64_t have = resources_scalar(&l->a->available, m->name);
            if (have < m->milli) {
                met = false;
                continue;
            }
            for (size_t q = 0; q < core->n_quantities; q++) {
                if (l->room.milli[q] < m->milli && streq(core->quantity_names[q], m->name)) {
                    met = false;
                    *ret_quantity = (int)q;
                    *ret_by_limit = l->room.by_limit[q];
                }
            }
        }
        if (met)
            return false;
    }
    return true;
}

/* A shared volume stays available; who has it in an offer is not offered it again. */
static bool offered_already(
    const struct agent *a, const struct framework *f, const struct resource *r)
{
    LIST_FOREACH (o, &a->offers, struct offer, agent_node) {
        if (o->framework != f)
            continue;
        _cleanup_resources_ struct resources plain = RESOURCES_INIT;
        resources_allocate(&o->resources, NULL, &plain);
        if (resources_contains_one(&plain, r))
            return true;
    }
    return false;
}

struct selection {
    struct resources some;
    bool others;     /* there was something reserved to others */
    bool capability; /* or something that needs a capability the framework lacks */
    bool helps;      /* a guarantee */
    int short_of;    /* quantity that was kept back, or -1 */
};

/* NULL when the client may have the item, else which of the two reasons. */
static bool *withheld(
    const struct look *l, const struct client *c, const struct resource *r, struct selection *s)
{
    const struct framework *f = c->framework;
    if (!resource_is_allocatable_to(r, c->role->name))
        return &s->others;
    if (r->kind->revocable && !framework_is(f, FRAMEWORK_REVOCABLE_RESOURCES))
        return &s->capability;
    if (r->kind->shared && !framework_is(f, FRAMEWORK_SHARED_RESOURCES))
        return &s->capability;
    if (!framework_is(f, FRAMEWORK_RESERVATION_REFINEMENT) &&
        resource_has_refined_reservation(r, NULL))
        return &s->capability;
    /* Many may use a shared volume, one after the other. */
    if (r->kind->shared &&
        (resources_contains_one(&l->a->run_shared, r) || offered_already(l->a, f, r)))
        return &s->others;
    return NULL;
}

static void select_resources(struct look *l, const struct client *c, struct selection *s)
{
    struct master_core *core = l->core;
    struct room room = l->room;
    RESOURCES_FOREACH(r, &l->a->available)
    {
        bool *why = withheld(l, c, r, s);
        if (why) {
            *why = true;
            continue;
        }
        int q = room.bounded && r->kind->type == RESOURCE_SCALAR && !r->kind->n_reservations &&
                        !r->kind->revocable
                    ? quantity_index(core, r->kind->name)
                    : -1;
        if (q < 0) {
            resources_add_one(&s->some, r);
            continue;
        }
        struct resource part = *r;
        if (room.milli[q] < r->milli) {
            s->short_of = q;
            /* A disk of its own is given whole or not at all. */
            part.milli = r->kind->unique ? 0 : room.milli[q];
        }
        if (part.milli <= 0)
            continue;
        if (room.milli[q] != NO_LIMIT)
            room.milli[q] -= part.milli;
        if (role_unmet(l->top, (size_t)q) > 0)
            s->helps = true;
        resources_add_one(&s->some, &part);
    }
}

static enum trace_result may_know(const struct look *l, const struct client *c)
{
    const struct framework *f = c->framework;
    const struct agent *a = l->a;
    if (a->has_gpus && l->core->config.filter_gpu_resources &&
        !framework_is(f, FRAMEWORK_GPU_RESOURCES))
        return TRACE_NO_GPU;
    if (a->remote && !framework_is(f, FRAMEWORK_REGION_AWARE))
        return TRACE_NO_REGION;
    if (framework_is(f, FRAMEWORK_MULTI_ROLE) && !(a->capability_bits & AGENT_HAS_MULTI_ROLE))
        return TRACE_NO_ROLES;
    if (c->role->parent->parent && !(a->capability_bits & AGENT_HAS_HIERARCHICAL_ROLE))
        return TRACE_NO_HIERARCHY;
    if (f->constraints && !constraints_allow(f, c->role->name, a))
        return TRACE_CONSTRAINTS;
    return TRACE_OFFERED;
}

/* Makes the offer, or says why not. */
static enum trace_result consider(struct look *l, struct client *c)
{
    struct master_core *core = l->core;
    enum trace_result result = may_know(l, c);
    if (result != TRACE_OFFERED)
        return result;
    struct selection s = {.short_of = -1};
    _cleanup_resources_ struct resources r = RESOURCES_INIT;
    select_resources(l, c, &s);
    l->quantity = s.short_of;
    if (s.short_of >= 0) {
        l->kept_back = true;
        result = l->room.by_limit[s.short_of] ? TRACE_QUOTA_LIMIT : TRACE_HEADROOM;
    } else if (resources_empty(&s.some) && (s.others || s.capability)) {
        result = s.others ? TRACE_RESERVED : TRACE_CAPABILITY;
    } else {
        result = TRACE_TOO_LITTLE;
    }
    if (!resources_empty(&s.some) && worth_offering(core, c, &s.some) &&
        (l->stage == STAGE_FAIR_SHARE || s.helps)) {
        result = TRACE_FILTERED;
        if (c->n_filters)
            resources_allocate(&s.some, c->role->name, &r);
        if (!c->n_filters || !filter_blocks(core, c, l->a, &r, &l->until_us)) {
            result = TRACE_OFFERED;
            if (!l->ask) {
                trace_offer(core, c, l->a, &s.some, l->stage);
                core_offer_new(core, c, l->a, &s.some);
            }
        }
    }
    resources_done(&s.some);
    return result;
}

static bool offer_to(struct look *l, struct client *c)
{
    l->until_us = 0;
    l->quantity = -1;
    enum trace_result result = consider(l, c);
    if (result == TRACE_OFFERED)
        return true;
    trace_refusal(l->core, c, c->role, l->a, result, l->stage, l->quantity, l->until_us);
    return false;
}

static bool offer_in(struct look *l, struct order *o);

/* True once an offer was made: the orders have changed then. */
static bool offer_in_role(struct look *l, struct role *role)
{
    if (role->n_active == 0)
        return false;
    if (role->parent == &l->core->root) {
        int quantity = -1;
        bool by_limit = false;
        l->top = role;
        find_room(l->core, role, l->stage, &l->room);
        if (no_room(l, &quantity, &by_limit)) {
            l->kept_back = true;
            trace_refusal(l->core, NULL, role, l->a, by_limit ? TRACE_QUOTA_LIMIT : TRACE_HEADROOM,
                l->stage, quantity, 0);
            return false;
        }
    }
    return offer_in(l, &role->order);
}

static bool offer_in(struct look *l, struct order *o)
{
    for (size_t i = 0; i < o->n; i++) {
        const struct share *s = order_pick(l->core, o, i);
        if (s->client ? offer_to(l, s->client)
            : s->own  ? offer_in(l, &s->role->clients)
                      : offer_in_role(l, s->role))
            return true;
    }
    return false;
}

static bool guarantee_unmet(const struct master_core *core, const struct role *top)
{
    for (size_t i = 0; i < core->n_quantities; i++)
        if (role_unmet(top, i) > 0)
            return true;
    return false;
}

static bool offer_for_guarantees(struct look *l)
{
    struct order *o = &l->core->root.order;
    for (size_t i = 0; i < o->n; i++) {
        struct role *role = order_pick(l->core, o, i)->role;
        if (role->quota && role->quota->has_guarantee && guarantee_unmet(l->core, role) &&
            offer_in_role(l, role))
            return true;
    }
    return false;
}

/* ---- a run ---- */

static void look_at(struct master_core *core, struct agent *a, enum allocation_stage stage)
{
    struct look l = {.core = core, .a = a, .stage = stage, .quantity = -1};
    if (nothing_left(core, a)) {
        if (stage == STAGE_FAIR_SHARE)
            trace_refusal(core, NULL, NULL, a, TRACE_NOTHING_LEFT, stage, -1, 0);
        return;
    }
    while (stage == STAGE_GUARANTEES ? offer_for_guarantees(&l) : offer_in(&l, &core->root.order)) {
        if (core->n_guarantees)
            agent_recount(core, a);
        if (nothing_left(core, a))
            return;
    }
    if (stage == STAGE_FAIR_SHARE && l.kept_back && list_empty(&a->held))
        list_push(&core->held, &a->held);
}

void allocate(struct master_core *core)
{
    if (core->paused)
        return;
    core->stats.allocation_runs++;
    core->stats.allocation_wait_us = core->now - core->woken_us;
    core->looking.n = 0;
    struct agent *a;
    while ((a = list_first(&core->dirty, struct agent, dirty))) {
        list_remove(&a->dirty);
        list_remove(&a->held);
        agent_recount(core, a);
        vec_push(&core->looking, a);
    }
    shares_rebuild(core);
    trace_begin(core, core->looking.n);
    VEC_FOREACH (each, &core->looking)
        if (guarantees_unmet(core))
            look_at(core, *each, STAGE_GUARANTEES);
    VEC_FOREACH (each, &core->looking) {
        look_at(core, *each, STAGE_FAIR_SHARE);
        resources_done(&(*each)->run_shared);
    }
    send_fresh_offers(core);
}

/* ---- questions ---- */

enum trace_result allocator_explain(
    struct master_core *core, struct client *c, struct agent *a, int64_t *until_us, int *quantity)
{
    *until_us = 0;
    *quantity = -1;
    if (!c->framework->connected)
        return TRACE_DISCONNECTED;
    if (c->suppressed)
        return TRACE_SUPPRESSED;
    enum trace_result result = agent_offerable(core, a);
    if (result != TRACE_AVAILABLE)
        return result;
    if (core->paused)
        return TRACE_PAUSED;
    if (resources_empty(&a->available))
        return TRACE_NOTHING_LEFT;
    struct look l = {.core = core, .a = a, .stage = STAGE_FAIR_SHARE, .top = c->role->top};
    l.ask = true;
    l.quantity = -1;
    l.stage = guarantee_unmet(core, l.top) ? STAGE_GUARANTEES : STAGE_FAIR_SHARE;
    find_room(core, l.top, l.stage, &l.room);
    result = consider(&l, c);
    *until_us = l.until_us;
    *quantity = l.quantity;
    return result == TRACE_OFFERED ? TRACE_AVAILABLE : result;
}
