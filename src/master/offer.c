#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "master/state.h"

/* Offers: made by the allocator, ended by acceptance, decline, rescission or loss of a side. */

static void offer_due(struct master_core *core, struct core_timer *t, int64_t now_us)
{
    offer_discard(core, container_of(t, struct offer, timer), true);
}

struct offer *core_offer_new(
    struct master_core *core, struct client *c, struct agent *a, const struct resources *plain)
{
    struct framework *f = c->framework;
    struct offer *o = xnew(struct offer);
    snprintf(
        o->id, sizeof(o->id), "%s-O%llu", core->master_id, (unsigned long long)core->next_offer++);
    o->framework = f;
    o->client = c;
    o->agent = a;
    resources_allocate(plain, c->role->name, &o->resources);
    list_init(&o->framework_node);
    list_init(&o->agent_node);
    list_init(&o->fresh_node);
    list_push(&f->offers, &o->framework_node);
    f->n_offers++;
    list_push(&a->offers, &o->agent_node);
    map_put(&core->offers, o->id, o);
    o->timer.fn = offer_due;
    if (core->config.offer_timeout_us > 0)
        core_timer_start(core, &o->timer, core->now + core->config.offer_timeout_us);

    /* Shared ones stay available to others, in later runs. */
    RESOURCES_FOREACH(item, plain)
    {
        if (item->kind->shared)
            resources_add_one(&a->run_shared, item);
        else
            resources_subtract_one(&a->available, item);
    }
    resources_add(&a->offered, &o->resources);
    resources_add(&f->offered, &o->resources);
    client_charge(core, c, &o->resources, +1);
    core->stats.offers_made++;
    core->change++;

    inverse_wake(core, a);
    list_push(&f->fresh, &o->fresh_node);
    if (list_empty(&f->fresh_node))
        list_push(&core->fresh_frameworks, &f->fresh_node);
    return o;
}

void offer_consume(struct master_core *core, struct offer *o, struct resources *ret)
{
    core_timer_stop(core, &o->timer);
    list_remove(&o->framework_node);
    o->framework->n_offers--;
    list_remove(&o->agent_node);
    list_remove(&o->fresh_node);
    map_remove(&core->offers, o->id);
    resources_subtract(&o->agent->offered, &o->resources);
    resources_subtract(&o->framework->offered, &o->resources);
    client_charge(core, o->client, &o->resources, -1);
    core->change++;
    resources_move(ret, &o->resources);
    free(o);
}

void agent_give_back(struct master_core *core, struct agent *a, const struct resources *r)
{
    if (a->state != AGENT_REGISTERED)
        return;
    if (a->beyond) {
        /* Not all that comes back is there. */
        agent_find_available(a);
    } else {
        _cleanup_resources_ struct resources plain = RESOURCES_INIT;
        resources_allocate(r, NULL, &plain);
        RESOURCES_FOREACH(item, &plain)
        if (!item->kind->shared)
            resources_add_one(&a->available, item);
    }
    mark_dirty(core, a);
}

void offer_discard(struct master_core *core, struct offer *o, bool rescind)
{
    struct agent *a = o->agent;
    bool known = list_empty(&o->fresh_node); /* else it was not even sent */
    if (rescind && known) {
        Mesos__V1__OfferID id = MESOS__V1__OFFER_ID__INIT;
        id.value = o->id;
        Mesos__V1__Scheduler__Event__Rescind r = MESOS__V1__SCHEDULER__EVENT__RESCIND__INIT;
        r.offer_id = &id;
        Mesos__V1__Scheduler__Event e = MESOS__V1__SCHEDULER__EVENT__INIT;
        e.has_type = true;
        e.type = MESOS__V1__SCHEDULER__EVENT__TYPE__RESCIND;
        e.rescind = &r;
        send_event(core, o->framework, &e);
        core->stats.offers_rescinded++;
        o->framework->stats.offers_rescinded++;
    }
    _cleanup_resources_ struct resources r = RESOURCES_INIT;
    offer_consume(core, o, &r);
    agent_give_back(core, a, &r);
}

/* ---- the message ---- */

Mesos__V1__URL *agent_url(const struct agent *a, struct arena *arena)
{
    Mesos__V1__URL *url = arena_alloc(arena, sizeof(*url));
    mesos__v1__url__init(url);
    url->scheme = (char *)(uintptr_t) "http";
    url->path = (char *)(uintptr_t) "/slave(1)";
    url->address = arena_alloc(arena, sizeof(*url->address));
    mesos__v1__address__init(url->address);
    url->address->hostname = a->info->hostname;
    url->address->ip = (char *)(uintptr_t)a->ip;
    url->address->has_port = true;
    url->address->port = a->info->has_port ? a->info->port : 5051;
    return url;
}

Mesos__V1__Offer *offer_to_wire(const struct offer *o, struct arena *arena)
{
    const struct agent *a = o->agent;
    struct framework *f = o->framework;
    Mesos__V1__Offer *w = arena_alloc(arena, sizeof(*w));
    mesos__v1__offer__init(w);
    w->id = arena_alloc(arena, sizeof(*w->id));
    mesos__v1__offer_id__init(w->id);
    w->id->value = (char *)(uintptr_t)o->id;
    w->framework_id = f->info->id;
    w->agent_id = a->info->id;
    w->hostname = a->info->hostname;
    w->domain = a->info->domain;
    w->url = agent_url(a, arena);
    if (a->machine)
        w->unavailability = a->machine->unavailability;
    unsigned flags = 0;
    if (!framework_is(f, FRAMEWORK_RESERVATION_REFINEMENT))
        flags |= RESOURCES_OLD_FORMAT;
    if (framework_is(f, FRAMEWORK_MULTI_ROLE)) {
        w->allocation_info = arena_alloc(arena, sizeof(*w->allocation_info));
        mesos__v1__resource__allocation_info__init(w->allocation_info);
        w->allocation_info->role = o->client->role->name;
    } else {
        flags |= RESOURCES_NO_ALLOCATION;
    }
    w->resources = resources_to_wire(&o->resources, flags, arena, &w->n_resources);
    w->attributes = a->info->attributes;
    w->n_attributes = a->info->n_attributes;
    size_t n = 0;
    LIST_FOREACH (e, &a->executors, struct executor, agent_node) {
        if (e->framework == f)
            n++;
    }
    w->executor_ids = arena_new_array(arena, Mesos__V1__ExecutorID *, n + 1);
    LIST_FOREACH (e, &a->executors, struct executor, agent_node) {
        if (e->framework != f)
            continue;
        Mesos__V1__ExecutorID *id = arena_alloc(arena, sizeof(*id));
        mesos__v1__executor_id__init(id);
        id->value = e->id;
        w->executor_ids[w->n_executor_ids++] = id;
    }
    return w;
}

static void send_offers(struct master_core *core, struct framework *f)
{
    Mesos__V1__Offer *list[OFFERS_PER_EVENT];
    while (!list_empty(&f->fresh)) {
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        Mesos__V1__Scheduler__Event__Offers offers = MESOS__V1__SCHEDULER__EVENT__OFFERS__INIT;
        offers.offers = list;
        struct offer *o;
        while (offers.n_offers < OFFERS_PER_EVENT &&
               (o = list_first(&f->fresh, struct offer, fresh_node))) {
            list_remove(&o->fresh_node);
            list[offers.n_offers++] = offer_to_wire(o, &arena);
        }
        Mesos__V1__Scheduler__Event e = MESOS__V1__SCHEDULER__EVENT__INIT;
        e.has_type = true;
        e.type = MESOS__V1__SCHEDULER__EVENT__TYPE__OFFERS;
        e.offers = &offers;
        f->stats.offers_sent += offers.n_offers;
        send_event(core, f, &e);
    }
}

void send_fresh_offers(struct master_core *core)
{
    struct framework *f;
    while ((f = list_first(&core->fresh_frameworks, struct framework, fresh_node))) {
        list_remove(&f->fresh_node);
        send_offers(core, f);
    }
}
