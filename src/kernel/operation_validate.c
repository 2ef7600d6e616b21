/* Which operations are acceptable, apart from what is in the pool. */

#include <errno.h>

#include "kernel/framework.h"
#include "kernel/ids.h"
#include "kernel/internal.h"
#include "kernel/operation.h"
#include "wire/codec.h"

#define TYPE(name) MESOS__V1__OFFER__OPERATION__TYPE__##name
#define DISK_TYPE(name) MESOS__V1__RESOURCE__DISK_INFO__SOURCE__TYPE__##name

typedef Mesos__V1__Offer__Operation Operation;
typedef struct operation_context context;

static const char *expected_principal(const context *ctx)
{
    return ctx->framework ? ctx->framework->principal : ctx->principal;
}

static int check_principal(
    const char *whose, const char *principal, const context *ctx, struct error *err)
{
    const char *expected = expected_principal(ctx);
    if (!expected || streq(principal, expected))
        return 0;
    if (!principal)
        return error_set(err, -EINVAL,
            "The principal of %s is not set while the request is made by principal '%.255s'", whose,
            expected);
    return error_set(err, -EINVAL,
        "The principal '%.255s' of %s is not that of the request, '%.255s'", principal, whose,
        expected);
}

static int check_allocation(const struct resources *r, const context *ctx, struct error *err)
{
    RESOURCES_FOREACH(x, r)
    {
        const char *role = x->kind->allocation_role;
        if (role && !ctx->framework)
            return error_set(
                err, -EINVAL, "Resource '%.100s' must not be allocated to a role", x->kind->name);
        if (role && !streq(role, ctx->role))
            return error_set(err, -EINVAL,
                "Resource '%.100s' is allocated to role '%.200s' while the offer is of role "
                "'%.200s'",
                x->kind->name, role, ctx->role);
    }
    return 0;
}

static int check_one_provider(const struct resources *r, struct error *err)
{
    RESOURCES_FOREACH(x, r)
    if (!streq(x->kind->provider_id, r->items[0].kind->provider_id))
        return error_set(
            err, -EINVAL, "The resources of an operation must be of one resource provider");
    return 0;
}

/* Roles and stacks that the agent must be able to keep. */
static int check_agent_roles(const struct resources *r, const context *ctx, struct error *err)
{
    RESOURCES_FOREACH(x, r)
    {
        if (x->kind->n_reservations && strchr(x->kind->role, '/') &&
            !(ctx->agent_capabilities & AGENT_HAS_HIERARCHICAL_ROLE))
            return error_set(err, -EINVAL,
                "The agent cannot reserve for role '%.200s': it lacks the HIERARCHICAL_ROLE "
                "capability",
                x->kind->role);
        if (x->kind->n_reservations > 1 &&
            !(ctx->agent_capabilities & AGENT_HAS_RESERVATION_REFINEMENT))
            return error_set(err, -EINVAL,
                "The agent cannot refine reservations: it lacks the RESERVATION_REFINEMENT "
                "capability");
    }
    return 0;
}

static int to_resources(Mesos__V1__Resource *const *list, size_t n, const context *ctx,
    struct resources *ret, struct error *err)
{
    int r = resources_from_wire(list, n, ret, err);
    if (r == 0)
        r = check_allocation(ret, ctx, err);
    return r < 0 ? r : check_one_provider(ret, err);
}

/* ---- RESERVE and UNRESERVE ---- */

static bool same_stack(const Mesos__V1__Resource *a, const Mesos__V1__Resource *b, size_t n)
{
    if (a->n_reservations < n || b->n_reservations < n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!wire_equal(&a->reservations[i]->base, &b->reservations[i]->base))
            return false;
    return true;
}

/* All have the stack of the first, which is returned. */
static Mesos__V1__Resource *common_stack(const struct resources *r, struct arena *arena)
{
    Mesos__V1__Resource *first = resource_kind_to_wire(r->items[0].kind, arena);
    RESOURCES_FOREACH(x, r)
    {
        Mesos__V1__Resource *m = resource_kind_to_wire(x->kind, arena);
        if (m->n_reservations != first->n_reservations ||
            !same_stack(m, first, first->n_reservations))
            return NULL;
    }
    return first;
}

/* A reservation that moves: same quantities, and only dynamic entries are taken off. */
static int validate_source(
    const struct resources *source, const struct resources *target, struct error *err)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    _cleanup_resources_ struct resources a = RESOURCES_INIT, b = RESOURCES_INIT;
    RESOURCES_FOREACH(x, source)
    if (x->kind->persistence_id || x->kind->revocable)
        return error_set(
            err, -EINVAL, "'source' must not have persistent volumes or revocable resources");
    resources_to_unreserved(source, &a);
    resources_to_unreserved(target, &b);
    if (!resources_equal(&a, &b))
        return error_set(
            err, -EINVAL, "'source' and 'resources' differ in more than their reservations");
    const Mesos__V1__Resource *from = common_stack(source, &arena),
                              *to = common_stack(target, &arena);
    if (!from || !to)
        return error_set(err, -EINVAL,
            "The resources of 'source' and of 'resources' must each have the same reservations");
    size_t common = 0;
    while (same_stack(from, to, common + 1))
        common++;
    if (common == from->n_reservations && common == to->n_reservations)
        return error_set(err, -EINVAL, "'source' already has the reservations of 'resources'");
    for (size_t i = common; i < from->n_reservations; i++)
        if (from->reservations[i]->type != MESOS__V1__RESOURCE__RESERVATION_INFO__TYPE__DYNAMIC)
            return error_set(err, -EINVAL, "A static reservation of 'source' cannot be taken off");
    for (size_t i = common; i < to->n_reservations; i++)
        if (to->reservations[i]->type != MESOS__V1__RESOURCE__RESERVATION_INFO__TYPE__DYNAMIC)
            return error_set(err, -EINVAL, "A static reservation cannot be made");
    return 0;
}

static int validate_reserve(
    const Mesos__V1__Offer__Operation__Reserve *op, const context *ctx, struct error *err)
{
    if (ctx->framework && op->n_source)
        return error_set(err, -EINVAL, "'reserve.source' may only be given by operators");
    _cleanup_resources_ struct resources target = RESOURCES_INIT, source = RESOURCES_INIT;
    int r = to_resources(op->resources, op->n_resources, ctx, &target, err);
    if (r < 0)
        return r;
    RESOURCES_FOREACH(x, &target)
    {
        if (x->kind->n_reservations == 0 || !x->kind->dynamic)
            return error_set(
                err, -EINVAL, "Resource '%.100s' is not dynamically reserved", x->kind->name);
        if (x->kind->persistence_id)
            return error_set(err, -EINVAL, "A persistent volume cannot be reserved");
        r = check_principal("the reservation", x->kind->principal, ctx, err);
        if (r < 0)
            return r;
        if (!ctx->framework)
            continue;
        if (!streq(x->kind->role, ctx->role) || !framework_has_role(ctx->framework, ctx->role))
            return error_set(err, -EINVAL,
                "Resource '%.100s' cannot be reserved for role '%.200s': the offer is of role "
                "'%.200s'",
                x->kind->name, x->kind->role, ctx->role);
    }
    r = check_agent_roles(&target, ctx, err);
    if (r < 0 || op->n_source == 0)
        return r;
    r = to_resources(op->source, op->n_source, ctx, &source, err);
    return r < 0 ? r : validate_source(&source, &target, err);
}

static int validate_unreserve(
    const Mesos__V1__Offer__Operation__Unreserve *op, const context *ctx, struct error *err)
{
    _cleanup_resources_ struct resources all = RESOURCES_INIT;
    int r = to_resources(op->resources, op->n_resources, ctx, &all, err);
    RESOURCES_FOREACH(x, &all)
    {
        if (r < 0)
            break;
        if (x->kind->n_reservations == 0 || !x->kind->dynamic)
            r = error_set(
                err, -EINVAL, "Resource '%.100s' is not dynamically reserved", x->kind->name);
        else if (x->kind->persistence_id)
            r = error_set(err, -EINVAL,
                "A dynamically reserved persistent volume '%.200s' cannot be unreserved directly; "
                "destroy it first",
                x->kind->persistence_id);
    }
    return r;
}

/* ---- volumes ---- */

static bool has_volume(const struct resources *r, const struct resource_kind *volume)
{
    RESOURCES_FOREACH(x, r)
    if (x->kind->persistence_id && streq(x->kind->persistence_id, volume->persistence_id) &&
        streq(x->kind->role, volume->role))
        return true;
    return false;
}

static int validate_new_volume(const Mesos__V1__Resource *m, const context *ctx, struct error *err)
{
    if (!m->disk || !m->disk->persistence)
        return error_set(err, -EINVAL, "Resource '%.100s' is not a persistent volume", m->name);
    const char *id = m->disk->persistence->id;
    int r = id_validate(id, err);
    if (r < 0)
        return error_prefix(err, r, "Persistence ID '%.255s' is invalid", id ? id : "");
    const Mesos__V1__Volume *v = m->disk->volume;
    if (!v || !v->container_path || !v->container_path[0])
        return error_set(
            err, -EINVAL, "Expecting 'volume.container_path' to be set for persistent volume");
    if (!v->has_mode || v->mode != MESOS__V1__VOLUME__MODE__RW)
        return error_set(err, -EINVAL, "Expecting mode 'RW' for persistent volume");
    if (v->host_path)
        return error_set(err, -EINVAL, "Expecting 'host_path' to be unset for persistent volume");
    const Mesos__V1__Resource__DiskInfo__Source *s = m->disk->source;
    if (s && s->type != DISK_TYPE(PATH) && s->type != DISK_TYPE(MOUNT))
        return error_set(
            err, -EINVAL, "Persistent volumes can be created on PATH and MOUNT disks only");
    if (m->shared && ctx->framework &&
        !(framework_capabilities(ctx->framework) & FRAMEWORK_SHARED_RESOURCES))
        return error_set(err, -EINVAL,
            "The framework cannot create a shared volume: it lacks the SHARED_RESOURCES "
            "capability");
    return check_principal("the persistent volume", m->disk->persistence->principal, ctx, err);
}

static int validate_create(
    const Mesos__V1__Offer__Operation__Create *op, const context *ctx, struct error *err)
{
    _cleanup_resources_ struct resources all = RESOURCES_INIT, seen = RESOURCES_INIT;
    int r = to_resources(op->volumes, op->n_volumes, ctx, &all, err);
    for (size_t i = 0; i < op->n_volumes && r >= 0; i++)
        r = validate_new_volume(op->volumes[i], ctx, err);
    if (r < 0)
        return r;
    RESOURCES_FOREACH(x, &all)
    {
        if (x->kind->n_reservations == 0)
            return error_set(
                err, -EINVAL, "A persistent volume cannot be created from unreserved resources");
        if (has_volume(&seen, x->kind) || has_volume(ctx->total, x->kind))
            return error_set(err, -EINVAL,
                "Persistence ID '%.255s' already exists for role '%.200s'", x->kind->persistence_id,
                x->kind->role);
        resources_add_one(&seen, x);
    }
    return check_agent_roles(&all, ctx, err);
}

static int validate_destroy(
    const Mesos__V1__Offer__Operation__Destroy *op, const context *ctx, struct error *err)
{
    _cleanup_resources_ struct resources all = RESOURCES_INIT, plain = RESOURCES_INIT;
    int r = to_resources(op->volumes, op->n_volumes, ctx, &all, err);
    if (r < 0)
        return r;
    RESOURCES_FOREACH(x, &all)
    if (!x->kind->persistence_id)
        return error_set(
            err, -EINVAL, "Resource '%.100s' is not a persistent volume", x->kind->name);
    resources_allocate(&all, NULL, &plain);
    if (!resources_contains(ctx->total, &plain))
        return error_set(err, -EINVAL, "Persistent volumes not found");
    RESOURCES_FOREACH(x, &plain)
    if (has_volume(ctx->used, x->kind))
        return error_set(
            err, -EINVAL, "Persistent volume '%.255s' is in use", x->kind->persistence_id);
    return 0;
}

/* What GROW_VOLUME and SHRINK_VOLUME want of the volume. */
static int validate_resized(Mesos__V1__Resource *const *volume, const context *ctx,
    struct resources *ret, struct error *err)
{
    if (!(ctx->agent_capabilities & AGENT_HAS_RESIZE_VOLUME))
        return error_set(
            err, -EINVAL, "The agent cannot resize volumes: it lacks the RESIZE_VOLUME capability");
    int r = to_resources(volume, 1, ctx, ret, err);
    if (r < 0)
        return r;
    const struct resource_kind *kind = ret->items[0].kind;
    if (!kind->persistence_id)
        return error_set(err, -EINVAL, "'volume' is not a persistent volume");
    if (kind->shared)
        return error_set(err, -EINVAL, "A shared volume cannot be resized");
    if (kind->provider_id)
        return error_set(err, -EINVAL, "A volume of a resource provider cannot be resized");
    const Mesos__V1__Resource__DiskInfo__Source *s = (*volume)->disk->source;
    if (s && s->type == DISK_TYPE(MOUNT))
        return error_set(err, -EINVAL, "A volume on a MOUNT disk cannot be resized");
    return 0;
}

static int validate_grow(
    const Mesos__V1__Offer__Operation__GrowVolume *op, const context *ctx, struct error *err)
{
    _cleanup_resources_ struct resources volume = RESOURCES_INIT, more = RESOURCES_INIT,
                                         disk = RESOURCES_INIT, plain = RESOURCES_INIT,
                                         plain_more = RESOURCES_INIT;
    int r = validate_resized(&op->volume, ctx, &volume, err);
    if (r == 0)
        r = to_resources(&op->addition, 1, ctx, &more, err);
    if (r < 0)
        return r;
    if (more.items[0].kind->persistence_id)
        return error_set(err, -EINVAL, "'addition' must not be a persistent volume");
    resources_without_persistence(&volume, &disk);
    resources_allocate(&disk, NULL, &plain);
    resources_allocate(&more, NULL, &plain_more);
    if (plain.items[0].kind != plain_more.items[0].kind)
        return error_set(
            err, -EINVAL, "'addition' is not of the kind of disk that the volume is made of");
    return 0;
}

/* ---- disks of resource providers ---- */

static int validate_create_disk(
    const Mesos__V1__Offer__Operation__CreateDisk *op, const context *ctx, struct error *err)
{
    const Mesos__V1__Resource *m = op->source;
    const Mesos__V1__Resource__DiskInfo__Source *s = m->disk ? m->disk->source : NULL;
    if (!m->provider_id)
        return error_set(err, -EINVAL, "'source' is not managed by a resource provider");
    if (!s || s->type != DISK_TYPE(RAW))
        return error_set(err, -EINVAL, "'source' is not a RAW disk resource");
    if (!op->has_target_type ||
        (op->target_type != DISK_TYPE(MOUNT) && op->target_type != DISK_TYPE(BLOCK)))
        return error_set(err, -EINVAL, "'target_type' is neither MOUNT nor BLOCK");
    if ((s->profile != NULL) == (op->target_profile != NULL))
        return error_set(err, -EINVAL,
            s->profile ? "'target_profile' must not be set: 'source' has a profile"
                       : "'target_profile' must be set: 'source' has no profile");
    return error_set(err, -EINVAL, "Resource provider '%.255s' is unknown", m->provider_id->value);
}

static int validate_destroy_disk(
    const Mesos__V1__Offer__Operation__DestroyDisk *op, const context *ctx, struct error *err)
{
    const Mesos__V1__Resource *m = op->source;
    const Mesos__V1__Resource__DiskInfo__Source *s = m->disk ? m->disk->source : NULL;
    if (!m->provider_id)
        return error_set(err, -EINVAL, "'source' is not managed by a resource provider");
    if (!s || s->type == DISK_TYPE(PATH))
        return error_set(err, -EINVAL, "'source' is neither a MOUNT, BLOCK nor RAW disk resource");
    if (!s->id)
        return error_set(err, -EINVAL, "'source' is not backed by a volume");
    if (m->disk->persistence)
        return error_set(err, -EINVAL,
            "A disk with a persistent volume cannot be destroyed; destroy the volume first");
    return error_set(err, -EINVAL, "Resource provider '%.255s' is unknown", m->provider_id->value);
}

int operation_validate(const Operation *op, const context *ctx, struct error *err)
{
    int r = operation_check(op, err);
    if (r < 0)
        return r;
    _cleanup_resources_ struct resources volume = RESOURCES_INIT;
    _cleanup_operation_change_ struct operation_change change = OPERATION_CHANGE_INIT;
    switch (op->type) {
    case TYPE(RESERVE):
        return validate_reserve(op->reserve, ctx, err);
    case TYPE(UNRESERVE):
        return validate_unreserve(op->unreserve, ctx, err);
    case TYPE(CREATE):
        return validate_create(op->create, ctx, err);
    case TYPE(DESTROY):
        return validate_destroy(op->destroy, ctx, err);
    case TYPE(GROW_VOLUME):
        return validate_grow(op->grow_volume, ctx, err);
    case TYPE(SHRINK_VOLUME):
        r = validate_resized(&op->shrink_volume->volume, ctx, &volume, err);
        /* What is left of the size is checked where it is computed. */
        return r < 0 ? r : operation_convert(op, NULL, &change, err);
    case TYPE(CREATE_DISK):
        return validate_create_disk(op->create_disk, ctx, err);
    default:
        return validate_destroy_disk(op->destroy_disk, ctx, err);
    }
}
