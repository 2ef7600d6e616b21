#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "master/accept.h"

/* Reservations and volumes out of offers. */

typedef Mesos__V1__Offer__Operation Operation;

void refuse_operation(
    struct master_core *core, struct framework *f, const Operation *op, const char *message)
{
    if (!op->id || !op->id->value)
        return; /* nobody asked to hear of it */
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    send_operation_status(core, f,
        operation_status_new(
            &arena, op->id->value, MESOS__V1__OPERATION_STATE__OPERATION_ERROR, message, NULL));
}

static int check_id(const struct pool *p, const Operation *op, struct error *err)
{
    if (!op->id)
        return 0;
    int r = id_validate(op->id->value, err);
    if (r < 0)
        return error_prefix(err, r, "Operation ID is invalid");
    const uint32_t need = AGENT_HAS_RESOURCE_PROVIDER | AGENT_HAS_OPERATION_FEEDBACK;
    if ((p->agent->capability_bits & need) != need)
        return error_set(err, -EINVAL,
            "Operation feedback was asked for, but the agent lacks the %s capability",
            p->agent->capability_bits & AGENT_HAS_RESOURCE_PROVIDER ? "AGENT_OPERATION_FEEDBACK"
                                                                    : "RESOURCE_PROVIDER");
    if (map_get(&p->f->operation_ids, op->id->value))
        return error_set(err, -EINVAL, "Operation ID '%s' is already in use", op->id->value);
    return 0;
}

static int check(
    const struct pool *p, const Operation *op, struct operation_change *change, struct error *err)
{
    const struct operation_context ctx = {.framework = p->f->info,
        .role = p->client->role->name,
        .agent_capabilities = p->agent->capability_bits,
        .total = &p->agent->total,
        .used = &p->agent->used};
    int r = operation_check(op, err);
    if (r < 0 || (r = check_id(p, op, err)) < 0 || (r = operation_validate(op, &ctx, err)) < 0 ||
        (r = operation_convert(op, ctx.role, change, err)) < 0)
        return r;
    if (resources_contains(&p->left, &change->consumed)) {
        r = operation_has_room(p->agent, change, err);
        return r < 0 ? error_prefix(err, r, "Invalid %s Operation", operation_type_name(op->type))
                     : 0;
    }
    _cleanup_buf_ struct buf want = BUF_INIT_MAX(256), have = BUF_INIT_MAX(256);
    resources_format(&change->consumed, &want);
    resources_format(&p->left, &have);
    return error_set(err, -EINVAL, "Invalid %s Operation: %s does not contain %s",
        operation_type_name(op->type), buf_cstr(&have), buf_cstr(&want));
}

/* A shared volume may be in several offers: those that had one which is gone are void. */
static void rescind_offers_of(struct pool *p, const struct operation_change *plain)
{
    _cleanup_resources_ struct resources shared = RESOURCES_INIT;
    resources_filter(&plain->consumed, resource_is_shared, NULL, &shared);
    RESOURCES_FOREACH(volume, &shared)
    {
        LIST_FOREACH_SAFE (o, &p->agent->offers, struct offer, agent_node) {
            _cleanup_resources_ struct resources r = RESOURCES_INIT;
            resources_allocate(&o->resources, NULL, &r);
            if (resources_contains_one(&r, volume))
                offer_discard(p->core, o, true);
        }
    }
}

void accept_operation(struct pool *p, Operation *op)
{
    _cleanup_operation_change_ struct operation_change change = OPERATION_CHANGE_INIT,
                                                       plain = OPERATION_CHANGE_INIT;
    struct error err = ERROR_INIT;
    const struct auth_subject who = {.principal = p->f->info->principal};
    int r = check(p, op, &change, &err);
    if (r == 0) {
        operation_upgrade(op, p->client->role->name, &p->arena);
        r = operation_authorize(p->core->config.authorizer, &who, op, &err);
    }
    if (r < 0) {
        refuse_operation(p->core, p->f, op, err.msg);
        return;
    }
    resources_allocate(&change.consumed, NULL, &plain.consumed);
    resources_allocate(&change.converted, NULL, &plain.converted);
    rescind_offers_of(p, &plain);
    if (!p->changed)
        resources_copy(&p->before, &p->left);
    p->changed = true;
    resources_subtract(&p->left, &change.consumed);
    resources_add(operation_is_speculative(op->type) ? &p->left : &p->later, &change.converted);
    operation_send(p->core, p->f, p->agent, op, &plain);
}
