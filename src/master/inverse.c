#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "master/state.h"

/*
 * Inverse offers: a framework that has something on an agent whose machine is scheduled for
 * maintenance is asked whether the agent may go. One question per framework and agent at a time; an
 * answer is kept for operators to see, and holds the next question back as long as its filter says.
 * Whatever the answer, nothing is taken from the framework.
 */

static struct inverse_answer *find_answer(const struct agent *a, const struct framework *f)
{
    LIST_FOREACH (x, &a->inverse_answers, struct inverse_answer, agent_node) {
        if (x->framework == f)
            return x;
    }
    return NULL;
}

static bool is_asked(const struct agent *a, const struct framework *f)
{
    LIST_FOREACH (o, &a->inverse_offers, struct inverse_offer, agent_node) {
        if (o->framework == f)
            return true;
    }
    return false;
}

/* ---- ending ---- */

static void inverse_free(struct master_core *core, struct inverse_offer *o)
{
    core_timer_stop(core, &o->timer);
    list_remove(&o->framework_node);
    list_remove(&o->agent_node);
    map_remove(&core->inverse_offers, o->id);
    free(o);
    core->change++;
}

static void rescind(struct master_core *core, struct inverse_offer *o)
{
    Mesos__V1__OfferID id = MESOS__V1__OFFER_ID__INIT;
    id.value = o->id;
    Mesos__V1__Scheduler__Event__RescindInverseOffer r =
        MESOS__V1__SCHEDULER__EVENT__RESCIND_INVERSE_OFFER__INIT;
    r.inverse_offer_id = &id;
    Mesos__V1__Scheduler__Event e = MESOS__V1__SCHEDULER__EVENT__INIT;
    e.has_type = true;
    e.type = MESOS__V1__SCHEDULER__EVENT__TYPE__RESCIND_INVERSE_OFFER;
    e.rescind_inverse_offer = &r;
    send_event(core, o->framework, &e);
    inverse_free(core, o);
}

static void answer_free(struct master_core *core, struct inverse_answer *x)
{
    core_timer_stop(core, &x->filter);
    list_remove(&x->agent_node);
    list_remove(&x->framework_node);
    free(x);
}

void inverse_rescind_agent(struct master_core *core, struct agent *a)
{
    struct inverse_offer *o;
    while ((o = list_first(&a->inverse_offers, struct inverse_offer, agent_node)))
        rescind(core, o);
}

void inverse_forget_agent(struct master_core *core, struct agent *a)
{
    struct inverse_offer *o;
    while ((o = list_first(&a->inverse_offers, struct inverse_offer, agent_node)))
        inverse_free(core, o);
    struct inverse_answer *x;
    while ((x = list_first(&a->inverse_answers, struct inverse_answer, agent_node)))
        answer_free(core, x);
}

void inverse_clear_filters(struct master_core *core, struct agent *a)
{
    LIST_FOREACH (x, &a->inverse_answers, struct inverse_answer, agent_node)
        core_timer_stop(core, &x->filter);
}

void inverse_discard_framework(struct master_core *core, struct framework *f)
{
    struct inverse_offer *o;
    while ((o = list_first(&f->inverse_offers, struct inverse_offer, framework_node)))
        inverse_free(core, o);
    LIST_FOREACH (x, &f->inverse_answers, struct inverse_answer, framework_node)
        core_timer_stop(core, &x->filter);
}

void inverse_forget_framework(struct master_core *core, struct framework *f)
{
    inverse_discard_framework(core, f);
    struct inverse_answer *x;
    while ((x = list_first(&f->inverse_answers, struct inverse_answer, framework_node)))
        answer_free(core, x);
}

/* ---- asking ---- */

void inverse_wake(struct master_core *core, struct agent *a)
{
    if (!a->machine || !list_empty(&a->inverse_node))
        return;
    list_push(&core->inverse_dirty, &a->inverse_node);
    if (!heap_contains(&core->inverse_timer.node))
        core_timer_start(core, &core->inverse_timer, core->now + core->config.allocation_delay_us);
}

void inverse_wake_all(struct master_core *core)
{
    MAP_FOREACH (e, &core->machines)
        LIST_FOREACH (a, &((struct machine *)e->value)->agents, struct agent, machine_node)
            inverse_wake(core, a);
}

static void inverse_offer_due(struct master_core *core, struct core_timer *t, int64_t now_us)
{
    struct inverse_offer *o = container_of(t, struct inverse_offer, timer);
    struct agent *a = o->agent;
    rescind(core, o);
    inverse_wake(core, a);
}

static void consider(struct master_core *core, struct agent *a, struct framework *f)
{
    if (!f->connected || is_asked(a, f))
        return;
    const struct inverse_answer *x = find_answer(a, f);
    if (x && heap_contains(&x->filter.node))
        return;
    struct inverse_offer *o = xnew(struct inverse_offer);
    snprintf(
        o->id, sizeof(o->id), "%s-O%llu", core->master_id, (unsigned long long)core->next_offer++);
    o->framework = f;
    o->agent = a;
    o->timer.fn = inverse_offer_due;
    list_init(&o->framework_node);
    list_init(&o->agent_node);
    list_push(&f->inverse_offers, &o->framework_node);
    list_push(&a->inverse_offers, &o->agent_node);
    map_put(&core->inverse_offers, o->id, o);
    if (core->config.offer_timeout_us > 0)
        core_timer_start(core, &o->timer, core->now + core->config.offer_timeout_us);
    core->change++;
}

Mesos__V1__InverseOffer *inverse_to_wire(const struct inverse_offer *o, struct arena *arena)
{
    Mesos__V1__InverseOffer *w = arena_alloc(arena, sizeof(*w));
    mesos__v1__inverse_offer__init(w);
    w->id = arena_alloc(arena, sizeof(*w->id));
    mesos__v1__offer_id__init(w->id);
    w->id->value = (char *)(uintptr_t)o->id;
    w->framework_id = o->framework->info->id;
    w->agent_id = o->agent->info->id;
    w->url = agent_url(o->agent, arena);
    w->unavailability = o->agent->machine->unavailability;
    return w;
}

/* What the framework was not told yet. */
static void send_fresh(struct master_core *core, struct framework *f)
{
    Mesos__V1__InverseOffer *list[OFFERS_PER_EVENT];
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__Scheduler__Event__InverseOffers event =
        MESOS__V1__SCHEDULER__EVENT__INVERSE_OFFERS__INIT;
    event.inverse_offers = list;
    Mesos__V1__Scheduler__Event e = MESOS__V1__SCHEDULER__EVENT__INIT;
    e.has_type = true;
    e.type = MESOS__V1__SCHEDULER__EVENT__TYPE__INVERSE_OFFERS;
    e.inverse_offers = &event;
    /* New ones are at the end. */
    struct list *first = &f->inverse_offers;
    while (first->prev != &f->inverse_offers &&
           !list_entry(first->prev, struct inverse_offer, framework_node)->sent)
        first = first->prev;
    for (struct list *p = first; p != &f->inverse_offers; p = p->next) {
        struct inverse_offer *o = list_entry(p, struct inverse_offer, framework_node);
        o->sent = true;
        list[event.n_inverse_offers++] = inverse_to_wire(o, &arena);
        if (event.n_inverse_offers == OFFERS_PER_EVENT) {
            send_event(core, f, &e);
            event.n_inverse_offers = 0;
        }
    }
    if (event.n_inverse_offers)
        send_event(core, f, &e);
}

static void inverse_due(struct master_core *core, struct core_timer *t, int64_t now_us)
{
    struct agent *a;
    while ((a = list_first(&core->inverse_dirty, struct agent, inverse_node))) {
        list_remove(&a->inverse_node);
        if (!agent_active(a) || !a->machine || a->machine->down)
            continue;
        LIST_FOREACH (task, &a->tasks, struct task, agent_node)
            if (task->charged)
                consider(core, a, task->framework);
        LIST_FOREACH (x, &a->executors, struct executor, agent_node)
            consider(core, a, x->framework);
        LIST_FOREACH (o, &a->offers, struct offer, agent_node)
            consider(core, a, o->framework);
    }
    MAP_FOREACH (e, &core->frameworks)
        send_fresh(core, e->value);
}

void inverse_init(struct master_core *core)
{
    list_init(&core->inverse_dirty);
    core->inverse_timer.fn = inverse_due;
}

/* ---- answers ---- */

static void filter_due(struct master_core *core, struct core_timer *t, int64_t now_us)
{
    inverse_wake(core, container_of(t, struct inverse_answer, filter)->agent);
}

void handle_inverse_answer(struct master_core *core, struct framework *f,
    Mesos__V1__OfferID *const *ids, size_t n, const Mesos__V1__Filters *filters, bool accepted)
{
    /* Even without a filter it is not asked again within one interval. */
    int64_t duration = MAX(filters_duration_us(filters), core->config.allocation_interval_us);
    for (size_t i = 0; i < n; i++) {
        struct inverse_offer *o = ids[i]->value ? map_get(&core->inverse_offers, ids[i]->value)
                                                : NULL;
        if (!o || o->framework != f)
            continue;
        struct agent *a = o->agent;
        inverse_free(core, o);
        struct inverse_answer *x = find_answer(a, f);
        if (!x) {
            x = xnew(struct inverse_answer);
            x->framework = f;
            x->agent = a;
            x->filter.fn = filter_due;
            list_init(&x->agent_node);
            list_init(&x->framework_node);
            list_push(&a->inverse_answers, &x->agent_node);
            list_push(&f->inverse_answers, &x->framework_node);
        }
        x->accepted = accepted;
        x->at_us = core->now;
        core_timer_start(core, &x->filter, core->now + duration);
    }
}

void inverse_revive(struct master_core *core, struct framework *f)
{
    LIST_FOREACH (x, &f->inverse_answers, struct inverse_answer, framework_node) {
        core_timer_stop(core, &x->filter);
        inverse_wake(core, x->agent);
    }
}
