/* What operations on offers take and leave. */

#include "kernel/operation.h"

#include <errno.h>
#include <math.h>

#include "kernel/internal.h"

#define TYPE(name) MESOS__V1__OFFER__OPERATION__TYPE__##name

typedef Mesos__V1__Offer__Operation Operation;

uint32_t agent_capability_bits(Mesos__V1__AgentInfo__Capability *const *list, size_t n)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < n; i++)
        if (list[i]->has_type && (int)list[i]->type > 0 && (int)list[i]->type < 32)
            bits |= UINT32_C(1) << list[i]->type;
    return bits;
}

/* ---- names and states ---- */

const char *operation_type_name(Mesos__V1__Offer__Operation__Type type)
{
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(
        &mesos__v1__offer__operation__type__descriptor, (int)type);
    return v ? v->name : "UNKNOWN";
}

const char *operation_state_name(Mesos__V1__OperationState state)
{
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(
        &mesos__v1__operation_state__descriptor, (int)state);
    return v ? v->name : "OPERATION_UNKNOWN";
}

bool operation_state_is_terminal(Mesos__V1__OperationState state)
{
    switch (state) {
    case MESOS__V1__OPERATION_STATE__OPERATION_FINISHED:
    case MESOS__V1__OPERATION_STATE__OPERATION_FAILED:
    case MESOS__V1__OPERATION_STATE__OPERATION_ERROR:
    case MESOS__V1__OPERATION_STATE__OPERATION_DROPPED:
    case MESOS__V1__OPERATION_STATE__OPERATION_GONE_BY_OPERATOR:
        return true;
    default:
        return false;
    }
}

bool operation_is_speculative(Mesos__V1__Offer__Operation__Type type)
{
    return type == TYPE(RESERVE) || type == TYPE(UNRESERVE) || type == TYPE(CREATE) ||
           type == TYPE(DESTROY);
}

/* ---- the lists of resources in an operation ---- */

struct resource_list {
    Mesos__V1__Resource **items;
    size_t n;
};

/* At most two; returns how many. */
static size_t lists_of(const Operation *op, struct resource_list ret[static 2])
{
    switch (op->type) {
    case TYPE(RESERVE):
        ret[0] = (struct resource_list){op->reserve->resources, op->reserve->n_resources};
        ret[1] = (struct resource_list){op->reserve->source, op->reserve->n_source};
        return 2;
    case TYPE(UNRESERVE):
        ret[0] = (struct resource_list){op->unreserve->resources, op->unreserve->n_resources};
        return 1;
    case TYPE(CREATE):
        ret[0] = (struct resource_list){op->create->volumes, op->create->n_volumes};
        return 1;
    case TYPE(DESTROY):
        ret[0] = (struct resource_list){op->destroy->volumes, op->destroy->n_volumes};
        return 1;
    case TYPE(GROW_VOLUME):
        ret[0] = (struct resource_list){&op->grow_volume->volume, 1};
        ret[1] = (struct resource_list){&op->grow_volume->addition, 1};
        return 2;
    case TYPE(SHRINK_VOLUME):
        ret[0] = (struct resource_list){&op->shrink_volume->volume, 1};
        return 1;
    case TYPE(CREATE_DISK):
        ret[0] = (struct resource_list){&op->create_disk->source, 1};
        return 1;
    case TYPE(DESTROY_DISK):
        ret[0] = (struct resource_list){&op->destroy_disk->source, 1};
        return 1;
    default:
        return 0;
    }
}

static const char *missing_part(const Operation *op)
{
    if (!op->has_type)
        return "type";
    switch (op->type) {
    case TYPE(RESERVE):
        return op->reserve ? NULL : "reserve";
    case TYPE(UNRESERVE):
        return op->unreserve ? NULL : "unreserve";
    case TYPE(CREATE):
        return op->create ? NULL : "create";
    case TYPE(DESTROY):
        return op->destroy ? NULL : "destroy";
    case TYPE(GROW_VOLUME):
        if (!op->grow_volume)
            return "grow_volume";
        if (!op->grow_volume->volume)
            return "grow_volume.volume";
        return op->grow_volume->addition ? NULL : "grow_volume.addition";
    case TYPE(SHRINK_VOLUME):
        if (!op->shrink_volume)
            return "shrink_volume";
        if (!op->shrink_volume->volume)
            return "shrink_volume.volume";
        return op->shrink_volume->subtract ? NULL : "shrink_volume.subtract";
    case TYPE(CREATE_DISK):
        if (!op->create_disk)
            return "create_disk";
        return op->create_disk->source ? NULL : "create_disk.source";
    case TYPE(DESTROY_DISK):
        if (!op->destroy_disk)
            return "destroy_disk";
        return op->destroy_disk->source ? NULL : "destroy_disk.source";
    default:
        return NULL;
    }
}

int operation_check(const Operation *op, struct error *err)
{
    const char *missing = missing_part(op);
    if (missing)
        return error_set(err, -EINVAL, "Expecting '%s' to be present", missing);
    struct resource_list lists[2];
    size_t n = lists_of(op, lists);
    if (n == 0)
        return error_set(
            err, -EINVAL, "%s does not change resources", operation_type_name(op->type));
    for (size_t i = 0; i < n; i++) {
        struct resources r = RESOURCES_INIT;
        int e = resources_from_wire(lists[i].items, lists[i].n, &r, err);
        if (e < 0)
            return e;
        bool empty = resources_empty(&r);
        resources_done(&r);
        if (empty && (i == 0 || op->type != TYPE(RESERVE)))
            return error_set(err, -EINVAL, "%s has no resources", operation_type_name(op->type));
    }
    if (op->type == TYPE(SHRINK_VOLUME)) {
        const Mesos__V1__Value__Scalar *s = op->shrink_volume->subtract;
        if (!s->has_value || !isfinite(s->value) ||
            fabs(s->value) > (double)(RESOURCE_MILLI_MAX / 1000))
            return error_set(err, -EINVAL, "The value of 'subtract' is not a quantity");
    }
    return 0;
}

void operation_upgrade(Operation *op, const char *allocation_role, struct arena *arena)
{
    struct resource_list lists[2];
    size_t n = lists_of(op, lists);
    for (size_t i = 0; i < n; i++)
        resources_wire_upgrade(lists[i].items, lists[i].n, allocation_role, arena);
}

/* ---- what it takes and leaves ---- */

void operation_change_done(struct operation_change *c)
{
    resources_done(&c->consumed);
    resources_done(&c->converted);
}

static int list_to_resources(Mesos__V1__Resource *const *list, size_t n, const char *role,
    struct resources *ret, struct error *err)
{
    _cleanup_resources_ struct resources r = RESOURCES_INIT;
    int e = resources_from_wire(list, n, &r, err);
    if (e == 0)
        resources_allocate(&r, role, ret);
    return e;
}

/* The volume with another size, or nothing when that is 0. */
static void add_volume(struct resources *r, const struct resource *volume, int64_t milli)
{
    struct resource sized = resource_copy(volume);
    sized.milli = milli;
    resources_take(r, sized);
}

static int convert_grow(
    const Operation *op, const char *role, struct operation_change *c, struct error *err)
{
    _cleanup_resources_ struct resources volume = RESOURCES_INIT, more = RESOURCES_INIT;
    int e = list_to_resources(&op->grow_volume->volume, 1, role, &volume, err);
    if (e == 0)
        e = list_to_resources(&op->grow_volume->addition, 1, role, &more, err);
    if (e < 0)
        return e;
    if (volume.items[0].kind->type != RESOURCE_SCALAR ||
        more.items[0].kind->type != RESOURCE_SCALAR)
        return error_set(err, -EINVAL, "A volume has a scalar size");
    int64_t size;
    if (__builtin_add_overflow(volume.items[0].milli, more.items[0].milli, &size))
        return error_set(err, -EINVAL, "The volume would be too large");
    add_volume(&c->converted, &volume.items[0], size);
    resources_add(&c->consumed, &volume);
    resources_add(&c->consumed, &more);
    return 0;
}

static int convert_shrink(
    const Operation *op, const char *role, struct operation_change *c, struct error *err)
{
    _cleanup_resources_ struct resources volume = RESOURCES_INIT, freed = RESOURCES_INIT;
    int e = list_to_resources(&op->shrink_volume->volume, 1, role, &volume, err);
    if (e < 0)
        return e;
    if (volume.items[0].kind->type != RESOURCE_SCALAR)
        return error_set(err, -EINVAL, "A volume has a scalar size");
    int64_t less = milli_of_double(op->shrink_volume->subtract->value);
    if (less <= 0 || less >= volume.items[0].milli)
        return error_set(
            err, -EINVAL, "'subtract' must be more than nothing and less than the volume's size");
    add_volume(&c->converted, &volume.items[0], volume.items[0].milli - less);
    add_volume(&freed, &volume.items[0], less);
    resources_without_persistence(&freed, &c->converted);
    resources_move(&c->consumed, &volume);
    return 0;
}

static int convert(
    const Operation *op, const char *role, struct operation_change *c, struct error *err)
{
    int r;
    switch (op->type) {
    case TYPE(RESERVE):
        r = list_to_resources(
            op->reserve->resources, op->reserve->n_resources, role, &c->converted, err);
        if (r < 0)
            return r;
        if (op->reserve->n_source)
            return list_to_resources(
                op->reserve->source, op->reserve->n_source, role, &c->consumed, err);
        return resources_pop_reservation(&c->converted, &c->consumed, err);
    case TYPE(UNRESERVE):
        r = list_to_resources(
            op->unreserve->resources, op->unreserve->n_resources, role, &c->consumed, err);
        return r < 0 ? r : resources_pop_reservation(&c->consumed, &c->converted, err);
    case TYPE(CREATE):
        r = list_to_resources(op->create->volumes, op->create->n_volumes, role, &c->converted, err);
        if (r == 0)
            resources_without_persistence(&c->converted, &c->consumed);
        return r;
    case TYPE(DESTROY):
        r = list_to_resources(
            op->destroy->volumes, op->destroy->n_volumes, role, &c->consumed, err);
        if (r == 0)
            resources_without_persistence(&c->consumed, &c->converted);
        return r;
    case TYPE(GROW_VOLUME):
        return convert_grow(op, role, c, err);
    case TYPE(SHRINK_VOLUME):
        return convert_shrink(op, role, c, err);
    default:
        return error_set(err, -EINVAL, "%s is not supported: the agent has no resource provider",
            operation_type_name(op->type));
    }
}

int operation_convert(const Operation *op, const char *allocation_role,
    struct operation_change *ret, struct error *err)
{
    _cleanup_operation_change_ struct operation_change c = OPERATION_CHANGE_INIT;
    int r = operation_check(op, err);
    if (r == 0)
        r = convert(op, allocation_role, &c, err);
    if (r < 0)
        return r;
    resources_move(&ret->consumed, &c.consumed);
    resources_move(&ret->converted, &c.converted);
    return 0;
}

int operation_apply_change(
    const struct operation_change *change, struct resources *r, struct error *err)
{
    if (!resources_contains(r, &change->consumed)) {
        _cleanup_buf_ struct buf want = BUF_INIT_MAX(256), have = BUF_INIT_MAX(256);
        resources_format(&change->consumed, &want);
        resources_format(r, &have);
        return error_set(err, -ENOENT, "%s does not contain %s", buf_cstr(&have), buf_cstr(&want));
    }
    resources_subtract(r, &change->consumed);
    resources_add(r, &change->converted);
    return 0;
}

int operation_apply(
    const Operation *op, const char *allocation_role, struct resources *r, struct error *err)
{
    _cleanup_operation_change_ struct operation_change change = OPERATION_CHANGE_INIT;
    int e = operation_convert(op, allocation_role, &change, err);
    return e < 0 ? e : operation_apply_change(&change, r, err);
}

/* ---- statuses ---- */

Mesos__V1__OperationStatus *operation_status_new(struct arena *arena, const char *operation_id,
    Mesos__V1__OperationState state, const char *message, const char *agent_id)
{
    Mesos__V1__OperationStatus *s = arena_alloc(arena, sizeof(*s));
    mesos__v1__operation_status__init(s);
    s->has_state = true;
    s->state = state;
    if (operation_id) {
        s->operation_id = arena_alloc(arena, sizeof(*s->operation_id));
        mesos__v1__operation_id__init(s->operation_id);
        s->operation_id->value = arena_strdup(arena, operation_id);
    }
    if (message)
        s->message = arena_strdup(arena, message);
    if (agent_id) {
        s->agent_id = arena_alloc(arena, sizeof(*s->agent_id));
        mesos__v1__agent_id__init(s->agent_id);
        s->agent_id->value = arena_strdup(arena, agent_id);
    }
    return s;
}
