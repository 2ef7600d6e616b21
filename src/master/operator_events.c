#include <arpa/inet.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "master/state.h"

/* Wire forms for operators: events of the v1 stream, and the objects of GET_*. */

static Mesos__V1__TimeInfo *time_new(struct arena *arena, int64_t us)
{
    if (us <= 0)
        return NULL;
    Mesos__V1__TimeInfo *t = arena_alloc(arena, sizeof(*t));
    mesos__v1__time_info__init(t);
    t->has_nanoseconds = true;
    t->nanoseconds = us * NSEC_PER_USEC;
    return t;
}

void master_info_init(
    const struct master_core *core, struct arena *arena, Mesos__V1__MasterInfo *ret)
{
    mesos__v1__master_info__init(ret);
    ret->id = (char *)(uintptr_t)core->master_id;
    struct in_addr addr = {0};
    (void)inet_pton(AF_INET, core->ip, &addr); /* other forms read 0; `address` has the text */
    ret->has_ip = true;
    ret->ip = addr.s_addr;
    ret->has_port = true;
    ret->port = core->config.port;
    ret->pid = arena_printf(arena, "master@%s:%u", core->ip, core->config.port);
    ret->hostname = core->hostname;
    ret->version = core->version;
    ret->address = arena_alloc(arena, sizeof(*ret->address));
    mesos__v1__address__init(ret->address);
    ret->address->hostname = core->hostname;
    ret->address->ip = core->ip;
    ret->address->has_port = true;
    ret->address->port = core->config.port;
    ret->domain = core->domain;
    static const Mesos__V1__MasterInfo__Capability__Type types[] = {
        MESOS__V1__MASTER_INFO__CAPABILITY__TYPE__AGENT_UPDATE,
        MESOS__V1__MASTER_INFO__CAPABILITY__TYPE__AGENT_DRAINING,
        MESOS__V1__MASTER_INFO__CAPABILITY__TYPE__QUOTA_V2,
    };
    ret->capabilities = arena_new_array(
        arena, Mesos__V1__MasterInfo__Capability *, ARRAY_SIZE(types));
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        ret->capabilities[i] = arena_alloc(arena, sizeof(*ret->capabilities[i]));
        mesos__v1__master_info__capability__init(ret->capabilities[i]);
        ret->capabilities[i]->has_type = true;
        ret->capabilities[i]->type = types[i];
        ret->n_capabilities++;
    }
}

Mesos__V1__Master__Response__GetAgents__Agent *agent_to_wire(
    const struct agent *a, struct arena *arena)
{
    Mesos__V1__Master__Response__GetAgents__Agent *w = arena_alloc(arena, sizeof(*w));
    mesos__v1__master__response__get_agents__agent__init(w);
    w->agent_info = a->info;
    w->has_active = true;
    w->active = agent_active(a);
    w->has_deactivated = true;
    w->deactivated = a->node.deactivated;
    w->drain_info = node_drain_info(&a->node, arena);
    if (w->drain_info)
        w->estimated_drain_start_time = time_new(arena, a->drain_started_us);
    w->version = (char *)(uintptr_t)a->version;
    w->pid = arena_printf(arena, "slave(1)@%s", a->address);
    w->registered_time = time_new(arena, a->registered_us);
    w->reregistered_time = time_new(arena, a->reregistered_us);
    w->total_resources = resources_to_wire(&a->total, 0, arena, &w->n_total_resources);
    w->allocated_resources = resources_to_wire(&a->used, 0, arena, &w->n_allocated_resources);
    w->offered_resources = resources_to_wire(&a->offered, 0, arena, &w->n_offered_resources);
    w->capabilities = a->capabilities;
    w->n_capabilities = a->n_capabilities;
    return w;
}

Mesos__V1__Master__Response__GetFrameworks__Framework *framework_to_wire(
    const struct framework *f, struct arena *arena)
{
    Mesos__V1__Master__Response__GetFrameworks__Framework *w = arena_alloc(arena, sizeof(*w));
    mesos__v1__master__response__get_frameworks__framework__init(w);
    w->framework_info = f->info;
    w->has_active = w->has_connected = w->has_recovered = true;
    w->active = w->connected = f->connected;
    w->recovered = f->recovered;
    w->registered_time = time_new(arena, f->registered_us);
    w->reregistered_time = time_new(arena, f->reregistered_us);
    w->unregistered_time = time_new(arena, f->unregistered_us);
    w->allocated_resources = resources_to_wire(&f->used, 0, arena, &w->n_allocated_resources);
    w->offered_resources = resources_to_wire(&f->offered, 0, arena, &w->n_offered_resources);
    w->offer_constraints = f->constraints;
    size_t n = 0;
    LIST_FOREACH (o, &f->offers, struct offer, framework_node)
        n++;
    w->offers = arena_new_array(arena, Mesos__V1__Offer *, n + 1);
    LIST_FOREACH (o, &f->offers, struct offer, framework_node)
        w->offers[w->n_offers++] = offer_to_wire(o, arena);
    n = 0;
    LIST_FOREACH (o, &f->inverse_offers, struct inverse_offer, framework_node)
        n++;
    w->inverse_offers = arena_new_array(arena, Mesos__V1__InverseOffer *, n + 1);
    LIST_FOREACH (o, &f->inverse_offers, struct inverse_offer, framework_node)
        w->inverse_offers[w->n_inverse_offers++] = inverse_to_wire(o, arena);
    return w;
}

void operator_task_added(struct master_core *core, const struct task *t)
{
    if (!core->operator_events)
        return;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__Master__Event__TaskAdded added = MESOS__V1__MASTER__EVENT__TASK_ADDED__INIT;
    added.task = task_to_wire(t, &arena);
    Mesos__V1__Master__Event e = MESOS__V1__MASTER__EVENT__INIT;
    e.has_type = true;
    e.type = MESOS__V1__MASTER__EVENT__TYPE__TASK_ADDED;
    e.task_added = &added;
    send_operator_event_of(core, &e, t->framework, t);
}

void operator_task_updated(
    struct master_core *core, const struct task *t, const Mesos__V1__TaskStatus *status)
{
    if (!core->operator_events)
        return;
    Mesos__V1__TaskStatus shown = *status;
    shown.has_data = false;
    Mesos__V1__Master__Event__TaskUpdated updated = MESOS__V1__MASTER__EVENT__TASK_UPDATED__INIT;
    updated.framework_id = t->framework->info->id;
    updated.status = &shown;
    updated.has_state = true;
    updated.state = (Mesos__V1__TaskState)t->state;
    Mesos__V1__Master__Event e = MESOS__V1__MASTER__EVENT__INIT;
    e.has_type = true;
    e.type = MESOS__V1__MASTER__EVENT__TYPE__TASK_UPDATED;
    e.task_updated = &updated;
    send_operator_event_of(core, &e, t->framework, t);
}

void operator_agent_added(struct master_core *core, const struct agent *a)
{
    if (!core->operator_events)
        return;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__Master__Event__AgentAdded added = MESOS__V1__MASTER__EVENT__AGENT_ADDED__INIT;
    added.agent = agent_to_wire(a, &arena);
    Mesos__V1__Master__Event e = MESOS__V1__MASTER__EVENT__INIT;
    e.has_type = true;
    e.type = MESOS__V1__MASTER__EVENT__TYPE__AGENT_ADDED;
    e.agent_added = &added;
    send_operator_event(core, &e);
}

void operator_agent_removed(struct master_core *core, const char *agent_id)
{
    if (!core->operator_events)
        return;
    Mesos__V1__AgentID id = MESOS__V1__AGENT_ID__INIT;
    id.value = (char *)(uintptr_t)agent_id;
    Mesos__V1__Master__Event__AgentRemoved removed = MESOS__V1__MASTER__EVENT__AGENT_REMOVED__INIT;
    removed.agent_id = &id;
    Mesos__V1__Master__Event e = MESOS__V1__MASTER__EVENT__INIT;
    e.has_type = true;
    e.type = MESOS__V1__MASTER__EVENT__TYPE__AGENT_REMOVED;
    e.agent_removed = &removed;
    send_operator_event(core, &e);
}

void operator_framework_added(struct master_core *core, const struct framework *f)
{
    if (!core->operator_events)
        return;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__Master__Event__FrameworkAdded added =
        MESOS__V1__MASTER__EVENT__FRAMEWORK_ADDED__INIT;
    added.framework = framework_to_wire(f, &arena);
    Mesos__V1__Master__Event e = MESOS__V1__MASTER__EVENT__INIT;
    e.has_type = true;
    e.type = MESOS__V1__MASTER__EVENT__TYPE__FRAMEWORK_ADDED;
    e.framework_added = &added;
    send_operator_event_of(core, &e, f, NULL);
}

void operator_framework_updated(struct master_core *core, const struct framework *f)
{
    if (!core->operator_events)
        return;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__Master__Event__FrameworkUpdated updated =
        MESOS__V1__MASTER__EVENT__FRAMEWORK_UPDATED__INIT;
    updated.framework = framework_to_wire(f, &arena);
    Mesos__V1__Master__Event e = MESOS__V1__MASTER__EVENT__INIT;
    e.has_type = true;
    e.type = MESOS__V1__MASTER__EVENT__TYPE__FRAMEWORK_UPDATED;
    e.framework_updated = &updated;
    send_operator_event_of(core, &e, f, NULL);
}

void operator_framework_removed(struct master_core *core, const struct framework *f)
{
    if (!core->operator_events)
        return;
    Mesos__V1__Master__Event__FrameworkRemoved removed =
        MESOS__V1__MASTER__EVENT__FRAMEWORK_REMOVED__INIT;
    removed.framework_info = f->info;
    Mesos__V1__Master__Event e = MESOS__V1__MASTER__EVENT__INIT;
    e.has_type = true;
    e.type = MESOS__V1__MASTER__EVENT__TYPE__FRAMEWORK_REMOVED;
    e.framework_removed = &removed;
    send_operator_event_of(core, &e, f, NULL);
}
