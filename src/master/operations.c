#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "master/state.h"
#include "wire/codec.h"

/*
 * Operations on their way: sent to agents, reported back, acknowledged.
 *
 * The master counts an operation as done when it sends it; the agent's total is what holds in the
 * end. A total that the agent sends counts in what it answered before; operations that are still on
 * their way on the same link are put on top of it. One that failed there is undone by the total
 * that follows.
 */

typedef Mesos__V1__Offer__Operation Operation;

/* ---- the record ---- */

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* From the master's id, which is random, and a counter: the core draws nothing. */
static void make_uuid(struct master_core *core, uint8_t uuid[16])
{
    uint64_t n = core->next_operation++;
    uint64_t half[2] = {UINT64_C(0xcbf29ce484222325), UINT64_C(0x9ae16a3b2f90404f)};
    for (int i = 0; i < 2; i++) {
        for (const char *p = core->master_id; *p; p++)
            half[i] = (half[i] ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
        half[i] = mix(half[i] + n * UINT64_C(0x9e3779b97f4a7c15));
    }
    memcpy(uuid, half, 16);
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40);
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
}

static void set_status(struct operation *op, const Mesos__V1__OperationStatus *status)
{
    Mesos__V1__OperationStatus own = *status;
    Mesos__V1__OperationID id = MESOS__V1__OPERATION_ID__INIT;
    id.value = op->id;
    own.operation_id = op->has_id ? &id : NULL;
    own.agent_id = op->agent->info->id;
    free(op->status);
    op->status = packed_new(&own.base);
    op->state = (uint8_t)status->state;
    op->has_status_uuid = status->uuid && status->uuid->has_value && status->uuid->value.len == 16;
    if (op->has_status_uuid)
        memcpy(op->status_uuid, status->uuid->value.data, 16);
}

static struct operation *operation_new(struct master_core *core, struct framework *f,
    struct agent *a, const Operation *info, const uint8_t uuid[16])
{
    const char *id = info->id && info->id->value ? info->id->value : "";
    size_t n = strlen(id) + 1;
    struct operation *op = xcalloc(1, sizeof(*op) + n);
    memcpy(op->id, id, n);
    /* An id that is in use can only come from an agent that reports nonsense. */
    op->has_id = id[0] && f && !map_get(&f->operation_ids, id);
    memcpy(op->uuid, uuid, 16);
    hex_encode(uuid, 16, op->key);
    op->framework = f;
    op->framework_id = f ? name_ref(f->id) : NULL;
    op->agent = a;
    op->info = packed_new(&info->base);
    op->type = (uint8_t)info->type;
    list_init(&op->agent_node);
    list_init(&op->framework_node);
    list_push(&a->operations, &op->agent_node);
    map_put(&core->operations, op->key, op);
    if (f) {
        list_push(&f->operations, &op->framework_node);
        if (op->has_id)
            map_put(&f->operation_ids, op->id, op);
    }
    Mesos__V1__OperationStatus pending = MESOS__V1__OPERATION_STATUS__INIT;
    pending.has_state = true;
    pending.state = MESOS__V1__OPERATION_STATE__OPERATION_PENDING;
    set_status(op, &pending);
    core->change++;
    return op;
}

void operation_detach(struct operation *op)
{
    if (op->framework && op->has_id && map_get(&op->framework->operation_ids, op->id) == op)
        map_remove(&op->framework->operation_ids, op->id);
    list_remove(&op->framework_node);
    op->framework = NULL;
}

void core_operation_free(struct master_core *core, struct operation *op)
{
    operation_detach(op);
    list_remove(&op->agent_node);
    map_remove(&core->operations, op->key);
    node_check_drained(core, op->agent);
    name_unref(op->framework_id);
    free(op->info);
    free(op->status);
    free(op);
    core->change++;
}

static const Operation *info_of(const struct operation *op, struct arena *arena)
{
    ProtobufCMessage *m;
    unpack_into(&mesos__v1__offer__operation__descriptor, op->info, arena, &m);
    return (const Operation *)m;
}

static Mesos__V1__OperationStatus *status_of(const struct operation *op, struct arena *arena)
{
    ProtobufCMessage *m;
    unpack_into(&mesos__v1__operation_status__descriptor, op->status, arena, &m);
    return (Mesos__V1__OperationStatus *)m;
}

static bool is_terminal(const struct operation *op)
{
    return operation_state_is_terminal((Mesos__V1__OperationState)op->state);
}

Mesos__V1__Operation *operation_to_wire(const struct operation *op, struct arena *arena)
{
    Mesos__V1__Operation *w = arena_alloc(arena, sizeof(*w));
    mesos__v1__operation__init(w);
    if (op->framework_id) {
        w->framework_id = arena_alloc(arena, sizeof(*w->framework_id));
        mesos__v1__framework_id__init(w->framework_id);
        w->framework_id->value = op->framework_id->text;
    }
    w->agent_id = op->agent->info->id;
    w->info = (Operation *)(uintptr_t)info_of(op, arena);
    w->latest_status = status_of(op, arena);
    if (op->state != MESOS__V1__OPERATION_STATE__OPERATION_PENDING) {
        w->statuses = arena_new_array(arena, Mesos__V1__OperationStatus *, 1);
        w->statuses[0] = w->latest_status;
        w->n_statuses = 1;
    }
    w->uuid = arena_alloc(arena, sizeof(*w->uuid));
    mesos__v1__uuid__init(w->uuid);
    w->uuid->has_value = true;
    w->uuid->value.data = (uint8_t *)(uintptr_t)op->uuid;
    w->uuid->value.len = sizeof(op->uuid);
    return w;
}

/* ---- to the agent ---- */

void agent_convert(struct master_core *core, struct agent *a, const struct operation_change *plain)
{
    _cleanup_resources_ struct resources taken = RESOURCES_INIT, left = RESOURCES_INIT;
    resources_subtract(&a->total, &plain->consumed);
    resources_add(&a->total, &plain->converted);
    resources_filter(&plain->consumed, resource_is_shared, NULL, &taken);
    resources_filter(&plain->converted, resource_is_shared, NULL, &left);
    resources_subtract(&a->available, &taken);
    resources_add(&a->available, &left);
    agent_recount(core, a); /* quotas count it now, whether or not the agent is offered next */
    core->change++;
}

int operation_has_room(
    const struct agent *a, const struct operation_change *change, struct error *err)
{
    _cleanup_resources_ struct resources total = RESOURCES_INIT, consumed = RESOURCES_INIT,
                                         converted = RESOURCES_INIT;
    if (a->total.n + change->converted.n <= AGENT_RESOURCES_MAX)
        return 0;
    resources_copy(&total, &a->total);
    resources_allocate(&change->consumed, NULL, &consumed);
    resources_allocate(&change->converted, NULL, &converted);
    resources_subtract(&total, &consumed);
    resources_add(&total, &converted);
    if (total.n <= a->total.n || total.n <= AGENT_RESOURCES_MAX)
        return 0;
    return error_set(err, -EINVAL,
        "The agent's resources would be %u different ones, more than %d: unreserve or destroy some "
        "first, or use fewer different labels",
        total.n, AGENT_RESOURCES_MAX);
}

void operation_send(struct master_core *core, struct framework *f, struct agent *a,
    const Operation *info, const struct operation_change *plain)
{
    uint8_t uuid[16];
    char key[sizeof(((struct operation *)NULL)->key)];
    do { /* an agent may have reported one that it made up */
        make_uuid(core, uuid);
        hex_encode(uuid, sizeof(uuid), key);
    } while (map_get(&core->operations, key));
    struct operation *op = operation_new(core, f, a, info, uuid);
    op->link = a->link;
    agent_convert(core, a, plain);
    Dcos__Internal__ApplyOperation apply = DCOS__INTERNAL__APPLY_OPERATION__INIT;
    apply.framework_id = f ? f->info->id : NULL;
    apply.info = (Operation *)(uintptr_t)info;
    apply.has_operation_uuid = true;
    apply.operation_uuid = (ProtobufCBinaryData){.data = op->uuid, .len = sizeof(op->uuid)};
    Dcos__Internal__MasterRecord rec = DCOS__INTERNAL__MASTER_RECORD__INIT;
    rec.apply_operation = &apply;
    send_agent(core, a, &rec);
}

void operations_put_on_top(const struct agent *a, struct resources *total)
{
    LIST_FOREACH (op, &a->operations, struct operation, agent_node) {
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        if (op->link != a->link)
            continue;
        /* What cannot be applied will fail at the agent too. */
        (void)operation_apply(info_of(op, &arena), NULL, total, NULL);
    }
}

static void acknowledge(struct master_core *core, const struct agent *a,
    const ProtobufCBinaryData *operation_uuid, const ProtobufCBinaryData *status_uuid)
{
    Dcos__Internal__AcknowledgeOperation ack = DCOS__INTERNAL__ACKNOWLEDGE_OPERATION__INIT;
    ack.has_operation_uuid = ack.has_status_uuid = true;
    ack.operation_uuid = *operation_uuid;
    ack.status_uuid = *status_uuid;
    Dcos__Internal__MasterRecord rec = DCOS__INTERNAL__MASTER_RECORD__INIT;
    rec.acknowledge_operation = &ack;
    send_agent(core, a, &rec);
}

/* ---- to the framework ---- */

void send_operation_status(
    struct master_core *core, struct framework *f, Mesos__V1__OperationStatus *status)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__OperationStatus *shown = status;
    if (status->n_converted_resources && !framework_is(f, FRAMEWORK_RESERVATION_REFINEMENT)) {
        shown = (Mesos__V1__OperationStatus *)wire_clone(&status->base, &arena);
        resources_wire_downgrade(shown->converted_resources, shown->n_converted_resources, &arena);
    }
    Mesos__V1__Scheduler__Event__UpdateOperationStatus update =
        MESOS__V1__SCHEDULER__EVENT__UPDATE_OPERATION_STATUS__INIT;
    update.status = shown;
    Mesos__V1__Scheduler__Event e = MESOS__V1__SCHEDULER__EVENT__INIT;
    e.has_type = true;
    e.type = MESOS__V1__SCHEDULER__EVENT__TYPE__UPDATE_OPERATION_STATUS;
    e.update_operation_status = &update;
    send_event(core, f, &e);
}

/* ---- from the agent ---- */

/* The framework does not want to hear of it, or is gone: nobody else would acknowledge. */
static bool master_acknowledges(const struct operation *op)
{
    return !op->framework || !op->has_id;
}

static void settle(struct master_core *core, struct operation *op)
{
    if (op->has_status_uuid && master_acknowledges(op)) {
        const ProtobufCBinaryData uuid = {.data = op->uuid, .len = 16},
                                  status = {.data = op->status_uuid, .len = 16};
        acknowledge(core, op->agent, &uuid, &status);
    }
    if (is_terminal(op) && (!op->has_status_uuid || master_acknowledges(op)))
        core_operation_free(core, op);
}

void handle_operation_update(
    struct master_core *core, struct agent *a, const Dcos__Internal__OperationUpdate *u)
{
    core->stats.messages_operation_status_update++;
    const Mesos__V1__OperationStatus *status = u->status;
    if (!u->has_operation_uuid || u->operation_uuid.len != 16 || !status || !status->has_state) {
        core->stats.invalid_operation_updates++;
        return;
    }
    char key[33];
    hex_encode(u->operation_uuid.data, 16, key);
    struct operation *op = map_get(&core->operations, key);
    if (!op || op->agent != a) {
        /* Of a framework that was removed: the agent may forget it. */
        core->stats.invalid_operation_updates++;
        if (status->uuid && status->uuid->has_value)
            acknowledge(core, a, &u->operation_uuid, &status->uuid->value);
        return;
    }
    core->stats.valid_operation_updates++;
    set_status(op, status);
    op->link = 0;
    core->change++;
    if (op->framework && op->has_id && op->state != MESOS__V1__OPERATION_STATE__OPERATION_PENDING) {
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        send_operation_status(core, op->framework, status_of(op, &arena));
    }
    settle(core, op);
}

/* ---- the framework's calls ---- */

void handle_acknowledge_operation(struct master_core *core, struct framework *f,
    const Mesos__V1__Scheduler__Call__AcknowledgeOperationStatus *ack)
{
    const char *id = ack->operation_id ? ack->operation_id->value : NULL;
    const char *agent_id = ack->agent_id ? ack->agent_id->value : NULL;
    struct operation *op = id ? map_get(&f->operation_ids, id) : NULL;
    struct agent *a = op ? op->agent : NULL;
    if (!op || !streq(agent_id, a->id->text) || !agent_connected(a) ||
        !(a->capability_bits & AGENT_HAS_OPERATION_FEEDBACK) || !op->has_status_uuid ||
        memcmp(op->status_uuid, ack->uuid.data, 16) != 0) {
        core->stats.invalid_operation_acks++;
        return;
    }
    core->stats.valid_operation_acks++;
    const ProtobufCBinaryData uuid = {.data = op->uuid, .len = 16};
    acknowledge(core, a, &uuid, &ack->uuid);
    if (is_terminal(op))
        core_operation_free(core, op);
}

static void answer_known(struct master_core *core, struct framework *f, const struct operation *op)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__OperationStatus *status = status_of(op, &arena);
    status->uuid = NULL;
    send_operation_status(core, f, status);
}

static void answer_unknown(struct master_core *core, struct framework *f,
    const Mesos__V1__Scheduler__Call__ReconcileOperations__Operation *op)
{
    const char *agent_id = op->agent_id ? op->agent_id->value : NULL;
    Mesos__V1__OperationStatus status = MESOS__V1__OPERATION_STATUS__INIT;
    status.operation_id = op->operation_id;
    status.agent_id = op->agent_id;
    status.resource_provider_id = op->resource_provider_id;
    status.has_state = true;
    status.state = MESOS__V1__OPERATION_STATE__OPERATION_UNKNOWN;
    const char *message = "Reconciliation: Operation is unknown";
    const struct agent *a = agent_id ? map_get(&core->agents, agent_id) : NULL;
    if (a && a->state == AGENT_RECOVERED) {
        status.state = MESOS__V1__OPERATION_STATE__OPERATION_RECOVERING;
        message = "Reconciliation: Agent is recovered but has not re-registered";
    } else if (!a && agent_id && map_get(&core->lost, agent_id)) {
        status.state = MESOS__V1__OPERATION_STATE__OPERATION_UNREACHABLE;
        message = "Reconciliation: Agent is unreachable";
    } else if (!a && agent_id && map_get(&core->gone, agent_id)) {
        status.state = MESOS__V1__OPERATION_STATE__OPERATION_GONE_BY_OPERATOR;
        message = "Reconciliation: Agent was marked gone";
    }
    status.message = (char *)(uintptr_t)message;
    send_operation_status(core, f, &status);
}

void handle_reconcile_operations(struct master_core *core, struct framework *f,
    const Mesos__V1__Scheduler__Call__ReconcileOperations *r)
{
    if (r->n_operations == 0) {
        MAP_FOREACH (e, &f->operation_ids)
            answer_known(core, f, e->value);
        return;
    }
    for (size_t i = 0; i < r->n_operations; i++) {
        const char *id = r->operations[i]->operation_id ? r->operations[i]->operation_id->value
                                                        : NULL;
        const struct operation *op = id ? map_get(&f->operation_ids, id) : NULL;
        if (op)
            answer_known(core, f, op);
        else
            answer_unknown(core, f, r->operations[i]);
    }
}

/* ---- agents that come back, and agents that do not ---- */

static void merge_one(struct master_core *core, struct agent *a, const Mesos__V1__Operation *m)
{
    if (!m->uuid || !m->uuid->has_value || m->uuid->value.len != 16 || !m->info ||
        !m->info->has_type)
        return;
    const char *framework_id = m->framework_id ? m->framework_id->value : NULL;
    struct framework *f = framework_id ? find_framework(core, framework_id) : NULL;
    char key[33];
    hex_encode(m->uuid->value.data, 16, key);
    struct operation *op = map_get(&core->operations, key);
    if (op && op->agent != a)
        return;
    if (!op) {
        op = operation_new(core, f, a, m->info, m->uuid->value.data);
        if (framework_id && !f)
            op->framework_id = name_new(framework_id);
    }
    if (m->latest_status && m->latest_status->has_state)
        set_status(op, m->latest_status);
}

void operations_merge(
    struct master_core *core, struct agent *a, const Dcos__Internal__Register *reg)
{
    for (size_t i = 0; i < reg->n_operations; i++)
        merge_one(core, a, reg->operations[i]);
}

static bool reports(const Dcos__Internal__Register *reg, const struct operation *op)
{
    for (size_t i = 0; i < reg->n_operations; i++) {
        const Mesos__V1__UUID *uuid = reg->operations[i]->uuid;
        if (uuid && uuid->value.len == 16 && memcmp(uuid->value.data, op->uuid, 16) == 0)
            return true;
    }
    return false;
}

void operations_send_differences(
    struct master_core *core, struct agent *a, const Dcos__Internal__Register *reg)
{
    VEC(ProtobufCBinaryData) unknown = {0};
    LIST_FOREACH_SAFE (op, &a->operations, struct operation, agent_node) {
        if (reports(reg, op)) {
            settle(core, op);
        } else if (is_terminal(op)) {
            /* Its end was acknowledged and the agent forgot it. */
            core_operation_free(core, op);
        } else {
            ProtobufCBinaryData uuid = {.data = op->uuid, .len = sizeof(op->uuid)};
            vec_push(&unknown, uuid);
        }
    }
    if (unknown.n) {
        Dcos__Internal__ReconcileOperations reconcile = DCOS__INTERNAL__RECONCILE_OPERATIONS__INIT;
        reconcile.operation_uuids = unknown.items;
        reconcile.n_operation_uuids = unknown.n;
        Dcos__Internal__MasterRecord rec = DCOS__INTERNAL__MASTER_RECORD__INIT;
        rec.reconcile_operations = &reconcile;
        send_agent(core, a, &rec);
    }
    vec_done(&unknown);
}

void operations_lose(
    struct master_core *core, struct agent *a, Mesos__V1__OperationState state, const char *message)
{
    LIST_FOREACH_SAFE (op, &a->operations, struct operation, agent_node) {
        if (op->framework && op->has_id && !is_terminal(op)) {
            _cleanup_arena_ struct arena arena = ARENA_INIT;
            send_operation_status(core, op->framework,
                operation_status_new(&arena, op->id, state, message, a->id->text));
        }
        core_operation_free(core, op);
    }
}

void operations_orphan(struct master_core *core, struct framework *f)
{
    LIST_FOREACH_SAFE (op, &f->operations, struct operation, framework_node) {
        operation_detach(op);
        settle(core, op);
    }
}
