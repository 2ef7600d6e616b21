#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "master/state.h"
#include "wire/codec.h"

/* Reservations and volumes of operators: out of what is free on an agent, or is on offer there. */

typedef Mesos__V1__Offer__Operation Operation;

static const int64_t RESCINDED_REFUSE_US = 5 * USEC_PER_SEC;

static struct agent *find_agent(struct master_core *core, const char *id, struct error *err)
{
    struct agent *a = id ? map_get(&core->agents, id) : NULL;
    if (a && a->state == AGENT_REGISTERED)
        return a;
    (void)error_set(err, -EINVAL, "No agent found with specified ID");
    return NULL;
}

int master_core_check_operation(struct master_core *core, const char *agent_id, const Operation *op,
    const char *principal, struct error *err)
{
    const struct agent *a = find_agent(core, agent_id, err);
    if (!a)
        return -EINVAL;
    const struct operation_context ctx = {.principal = principal,
        .agent_capabilities = a->capability_bits,
        .total = &a->total,
        .used = &a->used};
    return operation_validate(op, &ctx, err);
}

/* Takes offers back, one by one, until what is needed is available. */
static void rescind_for(struct master_core *core, struct agent *a, const struct resources *needed)
{
    LIST_FOREACH_SAFE (o, &a->offers, struct offer, agent_node) {
        if (resources_contains(&a->available, needed))
            return;
        _cleanup_resources_ struct resources held = RESOURCES_INIT, rest = RESOURCES_INIT,
                                             allocated = RESOURCES_INIT;
        resources_allocate(&o->resources, NULL, &held);
        resources_copy(&rest, needed);
        resources_subtract(&rest, &held);
        if (resources_equal(&rest, needed))
            continue; /* nothing of it is needed */
        /* Who had it is not offered the rest at once. */
        struct client *c = o->client;
        resources_copy(&allocated, &o->resources);
        offer_discard(core, o, true);
        filter_add(core, c, a, &allocated, RESCINDED_REFUSE_US);
    }
}

/* A shared volume that goes may be in offers though it is available. */
static void rescind_shared(struct master_core *core, struct agent *a, const struct resources *gone)
{
    LIST_FOREACH_SAFE (o, &a->offers, struct offer, agent_node) {
        _cleanup_resources_ struct resources held = RESOURCES_INIT;
        resources_allocate(&o->resources, NULL, &held);
        bool has = false;
        RESOURCES_FOREACH(x, gone)
        has = has || (x->kind->shared && resources_contains_one(&held, x));
        if (has)
            offer_discard(core, o, true);
    }
}

/* Free or on offer. */
static bool within_reach(const struct agent *a, const struct resources *needed)
{
    _cleanup_resources_ struct resources reach = RESOURCES_INIT;
    resources_allocate(&a->offered, NULL, &reach);
    resources_add(&reach, &a->available);
    return resources_contains(&reach, needed);
}

int master_core_apply_operation(struct master_core *core, const char *agent_id, const Operation *op,
    int64_t now_us, struct error *err)
{
    core->now = MAX(core->now, now_us);
    struct agent *a = find_agent(core, agent_id, err);
    if (!a)
        return -EINVAL;
    _cleanup_operation_change_ struct operation_change change = OPERATION_CHANGE_INIT;
    int r = operation_convert(op, NULL, &change, err);
    if (r < 0)
        return r;
    if (!agent_connected(a))
        return error_set(err, -EBUSY, "Agent '%s' is disconnected", agent_id);
    if (!within_reach(a, &change.consumed)) {
        _cleanup_buf_ struct buf want = BUF_INIT_MAX(256), have = BUF_INIT_MAX(256);
        resources_format(&change.consumed, &want);
        resources_format(&a->available, &have);
        return error_set(err, -EBUSY, "Invalid %s Operation: %s does not contain %s",
            operation_type_name(op->type), buf_cstr(&have), buf_cstr(&want));
    }
    if ((r = operation_has_room(a, &change, err)) < 0)
        return error_prefix(err, r, "Invalid %s Operation", operation_type_name(op->type));
    rescind_for(core, a, &change.consumed);
    rescind_shared(core, a, &change.consumed);
    RESOURCES_FOREACH(x, &change.consumed)
    if (!x->kind->shared)
        resources_subtract_one(&a->available, x);
    RESOURCES_FOREACH(x, &change.converted)
    if (!x->kind->shared)
        resources_add_one(&a->available, x);
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Operation *upgraded = (Operation *)wire_clone(&op->base, &arena);
    operation_upgrade(upgraded, NULL, &arena);
    operation_send(core, NULL, a, upgraded, &change);
    mark_dirty(core, a);
    return 0;
}
