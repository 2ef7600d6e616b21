#include "agent/core_internal.h"

#include <errno.h>

#include "kernel/operation.h"

/*
 * Operations: what the master changes of the agent's resources. The change, the operation with its
 * status and the work that it means for the disk (core_volume.c) are stored in one output, before
 * anybody is told. An operation is repeated to the master until it is acknowledged, like the update
 * of a task; one that comes twice is applied once.
 */

#define STATE(name) MESOS__V1__OPERATION_STATE__OPERATION_##name

static ProtobufCMessage *unpack(
    const ProtobufCMessageDescriptor *type, const struct agent_bytes *b, struct arena *arena)
{
    ProtobufCMessage *m;
    return wire_unpack(type, arena, b->p, b->n, &m, NULL) < 0 ? NULL : m;
}

/* ---- what the agent has ---- */

static bool is_checkpointed(const struct resource *r, const void *unused)
{
    (void)unused;
    return r->kind->dynamic || r->kind->persistence_id;
}

void agent_resources_checkpointed(const struct agent_core *core, struct resources *ret)
{
    resources_filter(&core->total, is_checkpointed, NULL, ret);
}

/* The item as the flags would have it: without volume, and without reservations made later. */
static int strip(const struct resource *item, struct resources *ret, struct error *err)
{
    struct resources one = RESOURCES_INIT;
    resources_add_one(&one, item);
    resources_without_persistence(&one, ret);
    resources_done(&one);
    while (ret->n && ret->items[0].kind->dynamic) {
        struct resources popped = RESOURCES_INIT;
        int r = resources_pop_reservation(ret, &popped, err);
        resources_done(ret);
        if (r < 0)
            return r;
        resources_move(ret, &popped);
    }
    return 0;
}

int agent_total_start(struct agent_core *core, const Mesos__V1__AgentInfo *info, struct error *err)
{
    int r = resources_from_wire(info->resources, info->n_resources, &core->total, err);
    RESOURCES_FOREACH(item, &core->restored)
    {
        if (r < 0)
            break;
        struct resources base = RESOURCES_INIT;
        r = strip(item, &base, err);
        if (r >= 0 && !resources_contains(&core->total, &base)) {
            struct resources one = RESOURCES_INIT;
            struct buf text = BUF_INIT;
            resources_add_one(&one, item);
            resources_format(&one, &text);
            r = error_set(err, -EINVAL,
                "%s was reserved or made a volume on this agent and --resources has no room for it "
                "any more; give the agent the resources it had before",
                buf_cstr(&text));
            buf_done(&text);
            resources_done(&one);
        }
        if (r >= 0) {
            resources_subtract(&core->total, &base);
            resources_add_one(&core->total, item);
        }
        resources_done(&base);
    }
    resources_done(&core->restored);
    core->restored = (struct resources)RESOURCES_INIT;
    return r;
}

static void total_changed(struct agent_core *core, struct resources *fresh)
{
    resources_done(&core->total);
    core->total = (struct resources)RESOURCES_INIT;
    resources_move(&core->total, fresh);
    agent_record_dirty(core, &core->resources_record);
}

/* Whether a list of checkpointed resources still fits a record. */
static bool fits(const struct resources *total)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct resources kept = RESOURCES_INIT;
    resources_filter(total, is_checkpointed, NULL, &kept);
    size_t n, bytes = 0;
    Mesos__V1__Resource **list = resources_to_wire(&kept, 0, &arena, &n);
    for (size_t i = 0; i < n; i++)
        bytes += protobuf_c_message_get_packed_size(&list[i]->base) + 8;
    resources_done(&kept);
    return bytes <= AGENT_RECORD_MAX;
}

bool agent_total_convert(
    struct agent_core *core, const struct resources *consumed, const struct resources *converted)
{
    if (!resources_contains(&core->total, consumed))
        return false;
    struct resources fresh = RESOURCES_INIT;
    resources_copy(&fresh, &core->total);
    resources_subtract(&fresh, consumed);
    resources_add(&fresh, converted);
    total_changed(core, &fresh);
    return true;
}

void agent_core_send_total(struct agent_core *core)
{
    if (core->link != AGENT_REGISTERED_LINK)
        return;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Dcos__Internal__UpdateResources u = DCOS__INTERNAL__UPDATE_RESOURCES__INIT;
    u.total = resources_to_wire(&core->total, 0, &arena, &u.n_total);
    u.has_has_oversubscribed = true;
    u.has_oversubscribed = true;
    u.oversubscribed = resources_to_wire(&core->oversubscribed, 0, &arena, &u.n_oversubscribed);
    Dcos__Internal__AgentRecord record = DCOS__INTERNAL__AGENT_RECORD__INIT;
    record.resources = &u;
    agent_core_to_master(core, &record);
}

bool agent_total_lacks(
    const struct agent_core *core, Mesos__V1__Resource *const *list, size_t n, struct buf *ret_what)
{
    struct resources given = RESOURCES_INIT, wanted = RESOURCES_INIT;
    bool special = false;
    for (size_t i = 0; i < n; i++)
        special = special || list[i]->n_reservations || list[i]->disk || list[i]->reservation;
    if (!special || resources_from_wire(list, n, &given, NULL) < 0)
        return false;
    resources_allocate(&given, NULL, &wanted);
    resources_done(&given);
    bool lacks = false;
    RESOURCES_FOREACH(r, &wanted)
    {
        if (!is_checkpointed(r, NULL) || lacks)
            continue;
        lacks = !resources_contains_one(&core->total, r);
        if (!lacks)
            continue;
        struct resources one = RESOURCES_INIT;
        resources_add_one(&one, r);
        resources_format(&one, ret_what);
        resources_done(&one);
    }
    resources_done(&wanted);
    return lacks;
}

static bool list_uses(Mesos__V1__Resource *const *list, size_t n, const struct resource *volume)
{
    for (size_t i = 0; i < n; i++) {
        const Mesos__V1__Resource *r = list[i];
        if (!r->disk || !r->disk->persistence || !r->disk->persistence->id ||
            !streq(r->disk->persistence->id, volume->kind->persistence_id))
            continue;
        struct resources one = RESOURCES_INIT;
        bool same = resources_from_wire(&list[i], 1, &one, NULL) >= 0 && one.n &&
                    streq(one.items[0].kind->role, volume->kind->role);
        resources_done(&one);
        if (same)
            return true;
    }
    return false;
}

/* The id of a task or executor that uses one of the volumes, or NULL. */
static const char *user_of(const struct agent_core *core, const struct resources *volumes)
{
    MAP_FOREACH (entry, &core->containers) {
        const struct agent_executor *e = entry->value;
        if (e->state == AGENT_EXECUTOR_TERMINATED)
            continue;
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        const Mesos__V1__ExecutorInfo *info = (const Mesos__V1__ExecutorInfo *)unpack(
            &mesos__v1__executor_info__descriptor, &e->info, &arena);
        RESOURCES_FOREACH(v, volumes)
        if (v->kind->persistence_id && info && list_uses(info->resources, info->n_resources, v))
            return e->id;
        LIST_FOREACH (t, &e->tasks, struct agent_task, node) {
            const Mesos__V1__Task *task = (const Mesos__V1__Task *)unpack(
                &mesos__v1__task__descriptor, &t->task, &arena);
            if (t->phase == AGENT_TASK_TERMINATED || !task)
                continue;
            RESOURCES_FOREACH(v, volumes)
            if (v->kind->persistence_id && list_uses(task->resources, task->n_resources, v))
                return t->id;
        }
    }
    return NULL;
}

/* ---- operations ---- */

static struct agent_operation *operation_new(struct agent_core *core, const uint8_t *uuid)
{
    struct agent_operation *op = xnew(struct agent_operation);
    agent_record_init(core, &op->record, AGENT_RECORD_OPERATION);
    memcpy(op->uuid, uuid, AGENT_UUID_SIZE);
    hex_encode(uuid, AGENT_UUID_SIZE, op->key);
    op->timer.kind = AGENT_TIMER_OPERATION;
    op->retry_us = AGENT_RETRY_MIN_US;
    map_put(&core->operations, op->key, op);
    return op;
}

void agent_operation_free(struct agent_core *core, struct agent_operation *op)
{
    agent_core_timer_stop(core, &op->timer);
    list_remove(&op->record.dirty);
    map_remove(&core->operations, op->key);
    agent_bytes_done(&op->message);
    free(op);
}

struct agent_operation *agent_core_operation(
    const struct agent_core *core, const uint8_t uuid[AGENT_UUID_SIZE])
{
    char key[2 * AGENT_UUID_SIZE + 1];
    hex_encode(uuid, AGENT_UUID_SIZE, key);
    return map_get(&core->operations, key);
}

static void send_status(struct agent_core *core, const uint8_t *uuid,
    Mesos__V1__FrameworkID *framework_id, Mesos__V1__OperationStatus *status)
{
    Dcos__Internal__OperationUpdate u = DCOS__INTERNAL__OPERATION_UPDATE__INIT;
    u.framework_id = framework_id;
    u.has_operation_uuid = true;
    u.operation_uuid = (ProtobufCBinaryData){
        .len = AGENT_UUID_SIZE, .data = (uint8_t *)(uintptr_t)uuid};
    u.status = status;
    Dcos__Internal__AgentRecord record = DCOS__INTERNAL__AGENT_RECORD__INIT;
    record.operation_update = &u;
    agent_core_to_master(core, &record);
}

/* For an operation that nothing is kept of: said once. */
static void answer_once(struct agent_core *core, const uint8_t *uuid,
    Mesos__V1__FrameworkID *framework_id, const char *id, Mesos__V1__OperationState state,
    const char *message)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    send_status(
        core, uuid, framework_id, operation_status_new(&arena, id, state, message, core->id));
}

void agent_operation_forward(struct agent_core *core, struct agent_operation *op)
{
    agent_core_timer_stop(core, &op->timer);
    if (!operation_state_is_terminal(op->state) || core->link != AGENT_REGISTERED_LINK)
        return;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__Operation *m = (Mesos__V1__Operation *)unpack(
        &mesos__v1__operation__descriptor, &op->message, &arena);
    if (!m)
        return; /* packed by ourselves and checked when restored */
    send_status(core, op->uuid, m->framework_id, m->latest_status);
    agent_core_timer_start(core, &op->timer, op->retry_us);
}

void agent_operation_retry(struct agent_core *core, struct agent_operation *op)
{
    op->retry_us = MIN(op->retry_us * 2, AGENT_RETRY_MAX_US);
    agent_operation_forward(core, op);
}

static Mesos__V1__UUID *uuid_message(struct arena *arena, const uint8_t uuid[AGENT_UUID_SIZE])
{
    Mesos__V1__UUID *m = arena_new(arena, Mesos__V1__UUID);
    mesos__v1__uuid__init(m);
    m->has_value = true;
    m->value = (ProtobufCBinaryData){
        .len = AGENT_UUID_SIZE, .data = arena_memdup(arena, uuid, AGENT_UUID_SIZE)};
    return m;
}

static void set_status(struct agent_core *core, struct agent_operation *op, Mesos__V1__Operation *m,
    Mesos__V1__OperationState state, const char *message, struct arena *arena)
{
    const char *id = m->info && m->info->id ? m->info->id->value : NULL;
    Mesos__V1__OperationStatus *status = operation_status_new(arena, id, state, message, core->id);
    if (operation_state_is_terminal(state)) {
        uint8_t uuid[AGENT_UUID_SIZE];
        agent_core_uuid(core, uuid);
        status->uuid = uuid_message(arena, uuid);
        m->n_statuses = 1;
        m->statuses = arena_new_array(arena, Mesos__V1__OperationStatus *, 1);
        m->statuses[0] = status;
    }
    m->latest_status = status;
    op->state = state;
    agent_bytes_pack(&op->message, &m->base);
    agent_record_dirty(core, &op->record);
}

void agent_operation_end(struct agent_core *core, struct agent_operation *op,
    Mesos__V1__OperationState state, const char *message)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__Operation *m = (Mesos__V1__Operation *)unpack(
        &mesos__v1__operation__descriptor, &op->message, &arena);
    if (!m)
        return;
    set_status(core, op, m, state, message, &arena);
    agent_operation_forward(core, op);
}

/* 0 with the change made in core->total, or why not. */
static int apply(struct agent_core *core, const Mesos__V1__Offer__Operation *info,
    struct operation_change *change, struct error *err)
{
    int r = operation_check(info, err);
    if (r >= 0)
        r = operation_convert(info, NULL, change, err);
    if (r < 0)
        return r;
    if (info->type == MESOS__V1__OFFER__OPERATION__TYPE__DESTROY) {
        const char *user = user_of(core, &change->consumed);
        if (user)
            return error_set(err, -EBUSY, "A volume is in use by '%s'", user);
    }
    if (info->type == MESOS__V1__OFFER__OPERATION__TYPE__CREATE) {
        r = agent_volumes_acceptable(core, &change->converted, err);
        if (r < 0)
            return r;
    }
    struct resources fresh = RESOURCES_INIT;
    resources_copy(&fresh, &core->total);
    r = operation_apply_change(change, &fresh, err);
    if (r >= 0 && !fits(&fresh))
        r = error_set(err, -E2BIG, "This agent has too many reservations and volumes");
    if (r < 0) {
        resources_done(&fresh);
        return r;
    }
    total_changed(core, &fresh);
    return 0;
}

void agent_core_apply_operation(struct agent_core *core, const Dcos__Internal__ApplyOperation *a)
{
    if (!a->info || a->operation_uuid.len != AGENT_UUID_SIZE)
        return;
    const uint8_t *uuid = a->operation_uuid.data;
    const char *id = a->info->id ? a->info->id->value : NULL;
    struct agent_operation *known = agent_core_operation(core, uuid);
    if (known)
        return agent_operation_forward(core, known);
    if (core->forgetting || core->leaving)
        return answer_once(
            core, uuid, a->framework_id, id, STATE(DROPPED), "The agent is leaving the cluster");
    if (map_size(&core->operations) >= AGENT_OPERATIONS_MAX ||
        protobuf_c_message_get_packed_size(&a->info->base) > AGENT_RECORD_MAX / 2) {
        answer_once(core, uuid, a->framework_id, id, STATE(FAILED),
            "The operation is too large, or too many wait for acknowledgement");
        return agent_core_send_total(core);
    }
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    _cleanup_operation_change_ struct operation_change change = OPERATION_CHANGE_INIT;
    struct error err = ERROR_INIT;
    int r = apply(core, a->info, &change, &err);
    struct agent_operation *op = operation_new(core, uuid);
    Mesos__V1__Operation m = MESOS__V1__OPERATION__INIT;
    Mesos__V1__AgentID agent_id = MESOS__V1__AGENT_ID__INIT;
    agent_id.value = core->id;
    m.framework_id = a->framework_id;
    m.agent_id = core->id ? &agent_id : NULL;
    m.info = a->info;
    m.uuid = uuid_message(&arena, uuid);
    size_t work = 0;
    if (r >= 0)
        work = agent_volumes_change(core, op, a->info->type, &change);
    set_status(core, op, &m,
        r < 0  ? STATE(FAILED)
        : work ? STATE(PENDING)
               : STATE(FINISHED),
        r < 0 ? err.msg : NULL, &arena);
    /* Said at once also while there is work: totals that follow have the change in them. */
    if (op->state == STATE(PENDING) && core->link == AGENT_REGISTERED_LINK)
        send_status(core, op->uuid, m.framework_id, m.latest_status);
    agent_operation_forward(core, op);
    if (r < 0)
        agent_core_send_total(core);
    agent_volumes_issue(core);
}

void agent_core_acknowledge_operation(
    struct agent_core *core, const Dcos__Internal__AcknowledgeOperation *a)
{
    if (a->operation_uuid.len != AGENT_UUID_SIZE)
        return;
    struct agent_operation *op = agent_core_operation(core, a->operation_uuid.data);
    if (!op || !operation_state_is_terminal(op->state))
        return;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    const Mesos__V1__Operation *m = (const Mesos__V1__Operation *)unpack(
        &mesos__v1__operation__descriptor, &op->message, &arena);
    const Mesos__V1__UUID *uuid = m && m->latest_status ? m->latest_status->uuid : NULL;
    if (!uuid || uuid->value.len != a->status_uuid.len ||
        memcmp(uuid->value.data, a->status_uuid.data, uuid->value.len) != 0)
        return; /* late or repeated */
    agent_record_drop(core, &op->record);
    agent_operation_free(core, op);
}

void agent_core_reconcile_operations(
    struct agent_core *core, const Dcos__Internal__ReconcileOperations *r)
{
    for (size_t i = 0; i < r->n_operation_uuids; i++) {
        const ProtobufCBinaryData *uuid = &r->operation_uuids[i];
        if (uuid->len != AGENT_UUID_SIZE)
            continue;
        struct agent_operation *op = agent_core_operation(core, uuid->data);
        if (op)
            agent_operation_forward(core, op);
        else
            answer_once(core, uuid->data, NULL, NULL, STATE(DROPPED),
                "The operation did not reach the agent");
    }
}

void agent_operations_register(
    struct agent_core *core, Dcos__Internal__Register *r, struct arena *arena)
{
    struct resources kept = RESOURCES_INIT;
    agent_resources_checkpointed(core, &kept);
    if (kept.n)
        r->total = resources_to_wire(&core->total, 0, arena, &r->n_total);
    resources_done(&kept);
    r->operations = arena_new_array(arena, Mesos__V1__Operation *, map_size(&core->operations));
    MAP_FOREACH (entry, &core->operations) {
        const struct agent_operation *op = entry->value;
        Mesos__V1__Operation *m = (Mesos__V1__Operation *)unpack(
            &mesos__v1__operation__descriptor, &op->message, arena);
        if (m)
            r->operations[r->n_operations++] = m;
    }
}

void agent_operations_forget(struct agent_core *core)
{
    MAP_FOREACH (entry, &core->operations) {
        struct agent_operation *op = entry->value;
        agent_record_drop(core, &op->record);
        agent_operation_free(core, op);
    }
}

int agent_operation_restore(
    struct agent_core *core, uint64_t serial, const Mesos__V1__Operation *m, struct error *err)
{
    if (!m->uuid || m->uuid->value.len != AGENT_UUID_SIZE || !m->latest_status)
        return error_set(err, -EBADMSG, "an operation lacks its uuid or its status");
    if (agent_core_operation(core, m->uuid->value.data))
        return error_set(err, -EBADMSG, "two operations have one uuid");
    struct agent_operation *op = operation_new(core, m->uuid->value.data);
    op->record.serial = serial;
    op->record.stored = true;
    op->state = m->latest_status->state;
    agent_bytes_pack(&op->message, &m->base);
    return 0;
}
