/*
 * Operations of schedulers: reserve and unreserve, create, destroy, grow and shrink volumes, with
 * an id and without. With one the scheduler hears what became of it, and acknowledges.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "holding.h"
#include "kernel/operation.h"
#include "master/core.h"
#include "real.h"
#include "wire/codec.h"

typedef Mesos__V1__Offer__Operation Operation;
#define TYPE(name) MESOS__V1__OFFER__OPERATION__TYPE__##name

static Mesos__V1__Resource *wire(const struct resource *r, int64_t milli, struct arena *arena)
{
    Mesos__V1__Resource *m = resource_kind_to_wire(r->kind, arena);
    m->scalar = MSG(arena, Mesos__V1__Value__Scalar, mesos__v1__value__scalar);
    m->scalar->has_value = true;
    m->scalar->value = (double)milli / 1000;
    return m;
}

static Mesos__V1__Resource **list_of(Mesos__V1__Resource *r, struct arena *arena)
{
    Mesos__V1__Resource **list = arena_new_array(arena, Mesos__V1__Resource *, 1);
    list[0] = r;
    return list;
}

/* A random scalar of the pool that fits, or NULL. */
static const struct resource *pick(struct world *w, const struct resources *pool,
    bool (*fits)(const struct resource *r, const char *name), const char *name)
{
    size_t n = 0;
    RESOURCES_FOREACH(r, pool) n += r->kind->type == RESOURCE_SCALAR && fits(r, name);
    if (!n)
        return NULL;
    size_t choice = rng_below(&w->rng, n);
    RESOURCES_FOREACH(r, pool)
    if (r->kind->type == RESOURCE_SCALAR && fits(r, name) && choice-- == 0)
        return r;
    return NULL;
}

static bool is_free(const struct resource *r, const char *name)
{
    return streq(r->kind->name, name) && !r->kind->n_reservations && !r->kind->revocable &&
           r->milli >= 1000;
}

static bool is_reserved(const struct resource *r, const char *unused)
{
    return r->kind->dynamic && !r->kind->persistence_id;
}

static bool is_reserved_disk(const struct resource *r, const char *unused)
{
    return is_reserved(r, unused) && streq(r->kind->name, "disk") && r->milli >= 1000;
}

static bool is_volume(const struct resource *r, const char *unused)
{
    return r->kind->persistence_id != NULL;
}

static bool is_own_volume(const struct resource *r, const char *unused)
{
    return r->kind->persistence_id && !r->kind->shared;
}

static char *name_of(const struct resource *r, struct arena *arena)
{
    if (r->kind->persistence_id)
        return arena_strdup(arena, r->kind->persistence_id);
    const char *label = holding_label(resource_kind_to_wire(r->kind, arena));
    return label ? arena_strdup(arena, label) : NULL;
}

/* ---- one of each ---- */

static const char *reserve(struct world *w, struct sim_agent *a, const char *role, Operation *op,
    const struct resources *pool, struct arena *arena)
{
    static const char *const names[] = {"cpus", "mem", "disk"};
    const struct resource *r = pick(w, pool, is_free, names[rng_below(&w->rng, ARRAY_SIZE(names))]);
    if (!r)
        return NULL;
    struct sim_holding *h = holding_new(w, a, false, "r");
    const char *holding = h->name;
    h->disk = streq(r->kind->name, "disk");
    h->milli = sim_between(w, 1, r->milli / 1000) * 1000;
    Mesos__V1__Resource *m = wire(r, h->milli, arena);
    Mesos__V1__Resource__ReservationInfo *info = MSG(
        arena, Mesos__V1__Resource__ReservationInfo, mesos__v1__resource__reservation_info);
    info->has_type = true;
    info->type = MESOS__V1__RESOURCE__RESERVATION_INFO__TYPE__DYNAMIC;
    info->role = arena_strdup(arena, role);
    info->principal = arena_strdup(arena, "p");
    info->labels = MSG(arena, Mesos__V1__Labels, mesos__v1__labels);
    Mesos__V1__Label *label = MSG(arena, Mesos__V1__Label, mesos__v1__label);
    label->key = arena_strdup(arena, "holding");
    label->value = arena_strdup(arena, holding);
    info->labels->n_labels = 1;
    info->labels->labels = arena_new_array(arena, Mesos__V1__Label *, 1);
    info->labels->labels[0] = label;
    m->n_reservations = 1;
    m->reservations = arena_new_array(arena, Mesos__V1__Resource__ReservationInfo *, 1);
    m->reservations[0] = info;
    op->reserve = MSG(
        arena, Mesos__V1__Offer__Operation__Reserve, mesos__v1__offer__operation__reserve);
    op->reserve->n_resources = 1;
    op->reserve->resources = list_of(m, arena);
    return holding;
}

static const char *unreserve(
    struct world *w, Operation *op, const struct resources *pool, struct arena *arena)
{
    const struct resource *r = pick(w, pool, is_reserved, NULL);
    if (!r)
        return NULL;
    op->unreserve = MSG(
        arena, Mesos__V1__Offer__Operation__Unreserve, mesos__v1__offer__operation__unreserve);
    op->unreserve->n_resources = 1;
    op->unreserve->resources = list_of(wire(r, r->milli, arena), arena);
    return name_of(r, arena);
}

static const char *create(struct world *w, const struct sim_scheduler *s, struct sim_agent *a,
    Operation *op, const struct resources *pool, struct arena *arena)
{
    const struct resource *r = pick(w, pool, is_reserved_disk, NULL);
    if (!r)
        return NULL;
    const char *holding = holding_new(w, a, true, "v")->name;
    Mesos__V1__Resource *m = wire(r, sim_between(w, 1, r->milli / 1000) * 1000, arena);
    m->disk = MSG(arena, Mesos__V1__Resource__DiskInfo, mesos__v1__resource__disk_info);
    m->disk->persistence = MSG(arena, Mesos__V1__Resource__DiskInfo__Persistence,
        mesos__v1__resource__disk_info__persistence);
    m->disk->persistence->id = arena_strdup(arena, holding);
    m->disk->persistence->principal = arena_strdup(arena, "p");
    m->disk->volume = MSG(arena, Mesos__V1__Volume, mesos__v1__volume);
    m->disk->volume->container_path = arena_strdup(arena, "data");
    m->disk->volume->has_mode = true;
    m->disk->volume->mode = MESOS__V1__VOLUME__MODE__RW;
    if (sim_chance(w, 30))
        m->shared = MSG(arena, Mesos__V1__Resource__SharedInfo, mesos__v1__resource__shared_info);
    op->create = MSG(
        arena, Mesos__V1__Offer__Operation__Create, mesos__v1__offer__operation__create);
    op->create->n_volumes = 1;
    op->create->volumes = list_of(m, arena);
    return holding;
}

static const char *destroy(
    struct world *w, Operation *op, const struct resources *pool, struct arena *arena)
{
    const struct resource *r = pick(w, pool, is_volume, NULL);
    if (!r)
        return NULL;
    op->destroy = MSG(
        arena, Mesos__V1__Offer__Operation__Destroy, mesos__v1__offer__operation__destroy);
    op->destroy->n_volumes = 1;
    op->destroy->volumes = list_of(wire(r, r->milli, arena), arena);
    return name_of(r, arena);
}

/* Of the disk that the volume was made of. */
static const char *grow(
    struct world *w, Operation *op, const struct resources *pool, struct arena *arena)
{
    const struct resource *v = pick(w, pool, is_own_volume, NULL);
    if (!v)
        return NULL;
    Mesos__V1__Resource *volume = wire(v, v->milli, arena);
    const char *label = holding_label(volume);
    RESOURCES_FOREACH(r, pool)
    {
        const char *other = is_reserved_disk(r, NULL) ? name_of(r, arena) : NULL;
        if (!label || !other || !streq(label, other))
            continue;
        op->grow_volume = MSG(arena, Mesos__V1__Offer__Operation__GrowVolume,
            mesos__v1__offer__operation__grow_volume);
        op->grow_volume->volume = volume;
        op->grow_volume->addition = wire(r, 1000, arena);
        return name_of(v, arena);
    }
    return NULL;
}

static const char *shrink(
    struct world *w, Operation *op, const struct resources *pool, struct arena *arena)
{
    const struct resource *v = pick(w, pool, is_own_volume, NULL);
    if (!v || v->milli < 2000)
        return NULL;
    op->shrink_volume = MSG(arena, Mesos__V1__Offer__Operation__ShrinkVolume,
        mesos__v1__offer__operation__shrink_volume);
    op->shrink_volume->volume = wire(v, v->milli, arena);
    op->shrink_volume->subtract = MSG(arena, Mesos__V1__Value__Scalar, mesos__v1__value__scalar);
    op->shrink_volume->subtract->has_value = true;
    op->shrink_volume->subtract->value = 1;
    return name_of(v, arena);
}

/* ---- asking ---- */

static void remember(struct world *w, struct sim_scheduler *s, const Operation *op,
    const char *holding, const struct sim_holding *before, const Mesos__V1__Offer *o)
{
    struct sched_operation *x = xnew(struct sched_operation);
    x->id = xstrdup(op->id->value);
    x->type = op->type;
    x->holding = xstrdup(holding);
    x->makes = op->type == TYPE(RESERVE) || op->type == TYPE(CREATE);
    x->asked = holding_asked(w, holding);
    /* A task or a volume may have the rest. */
    if (op->type == TYPE(UNRESERVE))
        x->in_part = before->disk ||
                     before->milli !=
                         (int64_t)(op->unreserve->resources[0]->scalar->value * 1000 + 0.5);
    x->before = *before;
    x->agent_id = xstrdup(o->agent_id->value);
    map_put(&s->operations, x->id, x);
}

Operation *operation_for(struct world *w, struct sim_scheduler *s, struct sim_agent *a,
    const Mesos__V1__Offer *o, struct resources *pool, struct arena *arena)
{
    if (!s->reserves || w->still || !a || !a->real || !o->allocation_info || sim_chance(w, 60))
        return NULL;
    static const Mesos__V1__Offer__Operation__Type types[] = {TYPE(RESERVE), TYPE(RESERVE),
        TYPE(UNRESERVE), TYPE(CREATE), TYPE(CREATE), TYPE(DESTROY), TYPE(GROW_VOLUME),
        TYPE(SHRINK_VOLUME)};
    Operation *op = MSG(arena, Mesos__V1__Offer__Operation, mesos__v1__offer__operation);
    const char *role = o->allocation_info->role, *holding = NULL;
    op->has_type = true;
    op->type = types[rng_below(&w->rng, ARRAY_SIZE(types))];
    switch (op->type) {
    case TYPE(RESERVE):
        holding = reserve(w, a, role, op, pool, arena);
        break;
    case TYPE(UNRESERVE):
        holding = unreserve(w, op, pool, arena);
        break;
    case TYPE(CREATE):
        holding = create(w, s, a, op, pool, arena);
        break;
    case TYPE(DESTROY):
        holding = destroy(w, op, pool, arena);
        break;
    case TYPE(GROW_VOLUME):
        holding = grow(w, op, pool, arena);
        break;
    default:
        holding = shrink(w, op, pool, arena);
        break;
    }
    if (!holding)
        return NULL;
    struct sim_holding before;
    holding_ask(w, holding, &before);
    if (sim_chance(w, 60)) {
        op->id = MSG(arena, Mesos__V1__OperationID, mesos__v1__operation_id);
        op->id->value = arena_printf(arena, "o%u", s->next_operation++);
        remember(w, s, op, holding, &before, o);
    }
    struct error err = ERROR_INIT;
    /* Volumes may be in use, then it fails; the rest must fit what was offered. */
    if (operation_apply(op, role, pool, &err) < 0 && op->type != TYPE(DESTROY))
        sim_fail(w, "scheduler %u: its own operation %d is wrong: %s", s->index, op->type, err.msg);
    sim_trace(w, "scheduler %u: operation %d (%s) of %s on %s", s->index, op->type,
        op->id ? op->id->value : "", holding, o->agent_id->value);
    return op;
}

int operator_operate(struct world *w, struct sim_master *m, struct sim_agent *a)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct error err = ERROR_INIT;
    Operation op = MESOS__V1__OFFER__OPERATION__INIT;
    const char *holding = NULL;
    if (!a->real || !a->real->core || !a->id)
        return -ENOENT;
    const struct resources *total = &a->real->core->total;
    char role[8];
    snprintf(role, sizeof(role), "s%u", (unsigned)rng_below(&w->rng, w->n_schedulers));
    op.has_type = true;
    switch (rng_below(&w->rng, 4)) {
    case 0:
        op.type = TYPE(RESERVE);
        holding = reserve(w, a, role, &op, total, &arena);
        break;
    case 1:
        op.type = TYPE(UNRESERVE);
        holding = unreserve(w, &op, total, &arena);
        break;
    case 2:
        op.type = TYPE(CREATE);
        holding = create(w, NULL, a, &op, total, &arena);
        break;
    default:
        op.type = TYPE(DESTROY);
        holding = destroy(w, &op, total, &arena);
        break;
    }
    if (!holding)
        return -ENOENT;
    int r = master_core_check_operation(m->core, a->id, &op, "p", &err);
    if (r < 0)
        return r;
    struct sim_holding before;
    holding_ask(w, holding, &before);
    sim_trace(w, "operator: operation %d of %s on agent %u", op.type, holding, a->index);
    return master_core_apply_operation(m->core, a->id, &op, sim_master_now(w, m), &err);
}

/* ---- hearing ---- */

static void acknowledge(
    struct world *w, struct sim_scheduler *s, const Mesos__V1__OperationStatus *status)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__Scheduler__Call call = MESOS__V1__SCHEDULER__CALL__INIT;
    Mesos__V1__FrameworkID framework_id = MESOS__V1__FRAMEWORK_ID__INIT;
    framework_id.value = s->framework_id;
    call.framework_id = &framework_id;
    call.has_type = true;
    call.type = MESOS__V1__SCHEDULER__CALL__TYPE__ACKNOWLEDGE_OPERATION_STATUS;
    call.acknowledge_operation_status = MSG(&arena,
        Mesos__V1__Scheduler__Call__AcknowledgeOperationStatus,
        mesos__v1__scheduler__call__acknowledge_operation_status);
    call.acknowledge_operation_status->agent_id = status->agent_id;
    call.acknowledge_operation_status->operation_id = status->operation_id;
    call.acknowledge_operation_status->has_uuid = true;
    call.acknowledge_operation_status->uuid = status->uuid->value;
    sim_send(w, s->conn, true, &call.base);
}

static void settle(struct world *w, struct sched_operation *x, Mesos__V1__OperationState state)
{
    x->done = true;
    bool resize = x->type == TYPE(GROW_VOLUME) || x->type == TYPE(SHRINK_VOLUME);
    switch (state) {
    case MESOS__V1__OPERATION_STATE__OPERATION_FINISHED:
        if (!x->in_part)
            holding_set(
                w, x->holding, x->makes || resize ? HOLDING_EXISTS : HOLDING_GONE, x->asked);
        break;
    case MESOS__V1__OPERATION_STATE__OPERATION_FAILED:
    case MESOS__V1__OPERATION_STATE__OPERATION_ERROR:
        holding_set(w, x->holding, x->makes ? HOLDING_GONE : x->before.state, x->asked);
        break;
    default:
        break;
    }
}

void operation_status(
    struct world *w, struct sim_scheduler *s, const Mesos__V1__OperationStatus *status)
{
    const char *id = status->operation_id ? status->operation_id->value : "";
    struct sched_operation *x = map_get(&s->operations, id);
    bool has_uuid = status->uuid && status->uuid->has_value;
    sim_trace(w, "scheduler %u: operation %s is %d%s%s", s->index, id, status->state,
        has_uuid ? "" : " says the master: ", status->message ? status->message : "");
    if (!x)
        sim_fail(w, "scheduler %u: an operation that it did not ask for: %s", s->index, id);
    if (!has_uuid) {
        if (status->state == MESOS__V1__OPERATION_STATE__OPERATION_ERROR && !x->done)
            settle(w, x, status->state);
        else if (status->state == MESOS__V1__OPERATION_STATE__OPERATION_UNKNOWN ||
                 status->state == MESOS__V1__OPERATION_STATE__OPERATION_GONE_BY_OPERATOR ||
                 status->state == MESOS__V1__OPERATION_STATE__OPERATION_DROPPED)
            x->done = true;
        return;
    }
    bool repeated = memcmp(x->last_uuid, status->uuid->value.data, 16) == 0;
    static const uint8_t none[16];
    if (!repeated && memcmp(x->last_uuid, none, 16) != 0)
        sim_fail(w, "scheduler %u: operation %s ended twice", s->index, id);
    memcpy(x->last_uuid, status->uuid->value.data, 16);
    if (!repeated)
        settle(w, x, status->state);
    acknowledge(w, s, status);
}

void operations_reconcile(struct world *w, struct sim_scheduler *s)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__Scheduler__Call call = MESOS__V1__SCHEDULER__CALL__INIT;
    Mesos__V1__FrameworkID framework_id = MESOS__V1__FRAMEWORK_ID__INIT;
    framework_id.value = s->framework_id;
    call.framework_id = &framework_id;
    call.has_type = true;
    call.type = MESOS__V1__SCHEDULER__CALL__TYPE__RECONCILE_OPERATIONS;
    Mesos__V1__Scheduler__Call__ReconcileOperations *r = MSG(&arena,
        Mesos__V1__Scheduler__Call__ReconcileOperations,
        mesos__v1__scheduler__call__reconcile_operations);
    r->operations = arena_new_array(&arena,
        Mesos__V1__Scheduler__Call__ReconcileOperations__Operation *, map_size(&s->operations) + 1);
    MAP_FOREACH (e, &s->operations) {
        const struct sched_operation *x = e->value;
        if (x->done)
            continue;
        Mesos__V1__Scheduler__Call__ReconcileOperations__Operation *op = MSG(&arena,
            Mesos__V1__Scheduler__Call__ReconcileOperations__Operation,
            mesos__v1__scheduler__call__reconcile_operations__operation);
        op->operation_id = MSG(&arena, Mesos__V1__OperationID, mesos__v1__operation_id);
        op->operation_id->value = x->id;
        op->agent_id = MSG(&arena, Mesos__V1__AgentID, mesos__v1__agent_id);
        op->agent_id->value = x->agent_id;
        r->operations[r->n_operations++] = op;
    }
    call.reconcile_operations = r;
    if (r->n_operations || sim_chance(w, 20))
        sim_send(w, s->conn, true, &call.base);
}

void operations_clear(struct sim_scheduler *s)
{
    MAP_FOREACH (e, &s->operations) {
        struct sched_operation *x = e->value;
        free(x->id);
        free(x->holding);
        free(x->agent_id);
        free(x);
    }
    map_done(&s->operations);
}
