#include "agent/core_internal.h"

#include <errno.h>
#include <inttypes.h>

#include "agent/checkpoint.pb-c.h"
#include "base/parse.h"

/*
 * Records of agent.db, to bytes and back. Keys are "<kind>/<serial, 16 hex digits>"; kinds sort so
 * that what is referred to comes first, but for frameworks, which executors bring into being with
 * their id alone.
 */

enum { FORMAT_VERSION = 1 };

static const char *const kind_names[] = {
    [AGENT_RECORD_SELF] = "agent",
    [AGENT_RECORD_FRAMEWORK] = "framework",
    [AGENT_RECORD_EXECUTOR] = "executor",
    [AGENT_RECORD_STREAM] = "stream",
    [AGENT_RECORD_TASK] = "task",
    [AGENT_RECORD_UPDATE] = "update",
    [AGENT_RECORD_RESOURCES] = "resources",
    [AGENT_RECORD_OPERATION] = "operation",
    [AGENT_RECORD_VOLUME] = "volume",
};

void agent_record_key(const struct agent_record *r, struct buf *out)
{
    if (r->kind == AGENT_RECORD_SELF)
        buf_puts(out, "agent/self");
    else if (r->kind == AGENT_RECORD_RESOURCES)
        buf_puts(out, "resources/self");
    else
        buf_printf(out, "%s/%016" PRIx64, kind_names[r->kind], r->serial);
}

static ProtobufCBinaryData data_of(const struct agent_bytes *b)
{
    return (ProtobufCBinaryData){.len = b->n, .data = b->p};
}

#define SET_BYTES(record, field, bytes)                                                            \
    do {                                                                                           \
        if ((bytes).n) {                                                                           \
            (record).has_##field = true;                                                           \
            (record).field = data_of(&(bytes));                                                    \
        }                                                                                          \
    } while (0)
#define SET(record, field, value)                                                                  \
    do {                                                                                           \
        (record).has_##field = true;                                                               \
        (record).field = (value);                                                                  \
    } while (0)

static void pack_self(struct agent_core *core, struct buf *out)
{
    Dcos__Agent__SelfRecord r = DCOS__AGENT__SELF_RECORD__INIT;
    SET(r, version, FORMAT_VERSION);
    SET_BYTES(r, agent_info, core->info);
    SET(r, epoch, core->epoch);
    r.boot_id = core->boot_id;
    SET(r, forgetting, core->forgetting);
    if (core->draining) {
        SET(r, draining, true);
        SET_BYTES(r, drain_config, core->drain_config);
        SET(r, drain_start_wall_us, core->drain_start_wall_us);
    }
    if (core->lease_us) {
        SET(r, lease_us, core->lease_us);
        SET(r, contact_boot_us, core->contact_us);
        core->stored_contact_us = core->contact_us;
    }
    wire_pack(&r.base, out);
}

static void pack_framework(const struct agent_framework *f, struct buf *out)
{
    Dcos__Agent__FrameworkRecord r = DCOS__AGENT__FRAMEWORK_RECORD__INIT;
    SET_BYTES(r, info, f->info);
    SET(r, terminating, f->terminating);
    wire_pack(&r.base, out);
}

static void pack_executor(const struct agent_executor *e, struct buf *out)
{
    Dcos__Agent__ExecutorRecord r = DCOS__AGENT__EXECUTOR_RECORD__INIT;
    r.framework_id = e->framework->id;
    r.container_id = e->container_id;
    SET_BYTES(r, info, e->info);
    SET(r, command, e->command);
    SET(r, state, e->state);
    SET(r, pid, e->pid);
    SET(r, start_time, e->start_time);
    SET(r, delivered, e->delivered);
    SET(r, launched_wall_us, e->launched_wall_us);
    if (e->ending) {
        SET(r, ending_state, e->ending_state);
        SET(r, ending_reason, e->ending_reason);
        r.ending_message = e->ending_message;
    }
    wire_pack(&r.base, out);
}

static void pack_task(const struct agent_task *t, struct buf *out)
{
    Dcos__Agent__TaskRecord r = DCOS__AGENT__TASK_RECORD__INIT;
    r.framework_id = t->framework->id;
    r.container_id = t->executor->container_id;
    SET(r, phase, t->phase);
    SET(r, state, t->state);
    SET_BYTES(r, task, t->task);
    SET_BYTES(r, info, t->info);
    SET_BYTES(r, status, t->status);
    SET(r, kill_pending, t->kill_pending);
    SET_BYTES(r, kill_policy, t->kill_policy);
    if (t->group) {
        SET(r, group, t->group);
        SET(r, group_size, (uint32_t)t->group_size);
    }
    wire_pack(&r.base, out);
}

static void pack_stream(const struct agent_stream *s, struct buf *out)
{
    Dcos__Agent__StreamRecord r = DCOS__AGENT__STREAM_RECORD__INIT;
    r.framework_id = s->framework_id;
    r.task_id = s->task_id;
    r.executor_id = s->executor_id;
    ProtobufCBinaryData acked[AGENT_STREAM_ACKED_MAX];
    size_t n = MIN(s->n_acked, (size_t)AGENT_STREAM_ACKED_MAX);
    for (size_t i = 0; i < n; i++) {
        size_t slot = (s->n_acked - n + i) % AGENT_STREAM_ACKED_MAX;
        acked[i] = (ProtobufCBinaryData){
            .len = AGENT_UUID_SIZE,
            .data = (uint8_t *)(uintptr_t)s->acked[slot],
        };
    }
    r.n_acknowledged = n;
    r.acknowledged = acked;
    SET(r, latest_state, s->latest_state);
    if (s->forwarded) {
        SET(r, forwarded_state, s->forwarded_state);
        r.has_forwarded_uuid = true;
        r.forwarded_uuid = (ProtobufCBinaryData){
            .len = AGENT_UUID_SIZE,
            .data = (uint8_t *)(uintptr_t)s->forwarded_uuid,
        };
    }
    wire_pack(&r.base, out);
}

static void pack_update(const struct agent_update *u, struct buf *out)
{
    Dcos__Agent__UpdateRecord r = DCOS__AGENT__UPDATE_RECORD__INIT;
    SET(r, stream, u->stream->record.serial);
    SET_BYTES(r, status, u->status);
    wire_pack(&r.base, out);
}

static void pack_resources(const struct agent_core *core, struct buf *out)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct resources kept = RESOURCES_INIT;
    agent_resources_checkpointed(core, &kept);
    size_t n;
    Mesos__V1__Resource **list = resources_to_wire(&kept, 0, &arena, &n);
    resources_done(&kept);
    Dcos__Agent__ResourcesRecord r = DCOS__AGENT__RESOURCES_RECORD__INIT;
    r.resources = arena_new_array(&arena, ProtobufCBinaryData, n);
    for (size_t i = 0; i < n; i++) {
        struct buf one = BUF_INIT;
        wire_pack(&list[i]->base, &one);
        r.resources[i] = (ProtobufCBinaryData){
            .len = one.n, .data = arena_memdup(&arena, one.p, one.n)};
        buf_done(&one);
    }
    r.n_resources = n;
    wire_pack(&r.base, out);
}

static void pack_operation(const struct agent_operation *op, struct buf *out)
{
    Dcos__Agent__OperationRecord r = DCOS__AGENT__OPERATION_RECORD__INIT;
    SET_BYTES(r, operation, op->message);
    wire_pack(&r.base, out);
}

static void pack_volume(const struct agent_volume *v, struct buf *out)
{
    Dcos__Agent__VolumeRecord r = DCOS__AGENT__VOLUME_RECORD__INIT;
    SET_BYTES(r, resource, v->resource);
    SET(r, destroy, v->work == AGENT_VOLUME_REMOVE);
    SET(r, resize, v->work == AGENT_VOLUME_RESIZE);
    if (v->has_operation) {
        r.has_operation_uuid = true;
        r.operation_uuid = (ProtobufCBinaryData){
            .len = AGENT_UUID_SIZE, .data = (uint8_t *)(uintptr_t)v->operation};
    }
    wire_pack(&r.base, out);
}

void agent_record_pack(struct agent_core *core, const struct agent_record *r, struct buf *out)
{
    switch (r->kind) {
    case AGENT_RECORD_SELF:
        pack_self(core, out);
        break;
    case AGENT_RECORD_FRAMEWORK:
        pack_framework(container_of(r, struct agent_framework, record), out);
        break;
    case AGENT_RECORD_EXECUTOR:
        pack_executor(container_of(r, struct agent_executor, record), out);
        break;
    case AGENT_RECORD_STREAM:
        pack_stream(container_of(r, struct agent_stream, record), out);
        break;
    case AGENT_RECORD_TASK:
        pack_task(container_of(r, struct agent_task, record), out);
        break;
    case AGENT_RECORD_UPDATE:
        pack_update(container_of(r, struct agent_update, record), out);
        break;
    case AGENT_RECORD_RESOURCES:
        pack_resources(core, out);
        break;
    case AGENT_RECORD_OPERATION:
        pack_operation(container_of(r, struct agent_operation, record), out);
        break;
    case AGENT_RECORD_VOLUME:
        pack_volume(container_of(r, struct agent_volume, record), out);
        break;
    }
}

/* ---- reading back ---- */

static int damaged(struct error *err, const char *what)
{
    return error_set(err, -EBADMSG, "%s", what);
}

/* Unpacks a message that a record holds as bytes; what it names must be there. */
static ProtobufCMessage *unpack(
    const ProtobufCMessageDescriptor *type, struct arena *arena, ProtobufCBinaryData d)
{
    ProtobufCMessage *m;
    return wire_unpack(type, arena, d.data, d.len, &m, NULL) < 0 ? NULL : m;
}

static int restore_self(
    struct agent_core *core, struct arena *arena, const void *p, size_t n, struct error *err)
{
    ProtobufCMessage *m;
    int r = wire_unpack(&dcos__agent__self_record__descriptor, arena, p, n, &m, err);
    if (r < 0)
        return r;
    const Dcos__Agent__SelfRecord *s = (const Dcos__Agent__SelfRecord *)m;
    if (s->version > FORMAT_VERSION)
        return error_set(err, -EBADMSG, "written by a newer agent (format %u)", s->version);
    core->epoch = s->epoch;
    core->forgetting = s->forgetting;
    core->lease_us = s->lease_us;
    core->contact_us = core->stored_contact_us = s->contact_boot_us;
    if (s->draining) {
        const Mesos__V1__DrainConfig *config = (const Mesos__V1__DrainConfig *)unpack(
            &mesos__v1__drain_config__descriptor, arena, s->drain_config);
        if (!config)
            return damaged(err, "the drain_config cannot be read");
        agent_core_restore_drain(core, config, s->drain_start_wall_us);
    }
    free(core->stored_boot_id);
    core->stored_boot_id = s->boot_id ? xstrdup(s->boot_id) : NULL;
    agent_bytes_set(&core->stored_info, s->agent_info.data, s->agent_info.len);
    core->record.stored = true;
    return 0;
}

static int restore_framework(struct agent_core *core, uint64_t serial, struct arena *arena,
    const void *p, size_t n, struct error *err)
{
    ProtobufCMessage *m;
    int r = wire_unpack(&dcos__agent__framework_record__descriptor, arena, p, n, &m, err);
    if (r < 0)
        return r;
    const Dcos__Agent__FrameworkRecord *record = (const Dcos__Agent__FrameworkRecord *)m;
    const Mesos__V1__FrameworkInfo *info = (const Mesos__V1__FrameworkInfo *)unpack(
        &mesos__v1__framework_info__descriptor, arena, record->info);
    if (!info || !info->id || !info->id->value)
        return damaged(err, "no framework id");
    struct agent_framework *f = agent_framework_get(core, info->id->value);
    if (!f)
        f = agent_framework_add(core, info->id->value);
    f->record.serial = serial;
    f->record.stored = true;
    agent_framework_set_info(f, info);
    f->terminating = record->terminating;
    return 0;
}

static int restore_executor(struct agent_core *core, uint64_t serial, struct arena *arena,
    const void *p, size_t n, struct error *err)
{
    ProtobufCMessage *m;
    int r = wire_unpack(&dcos__agent__executor_record__descriptor, arena, p, n, &m, err);
    if (r < 0)
        return r;
    const Dcos__Agent__ExecutorRecord *record = (const Dcos__Agent__ExecutorRecord *)m;
    const Mesos__V1__ExecutorInfo *info = (const Mesos__V1__ExecutorInfo *)unpack(
        &mesos__v1__executor_info__descriptor, arena, record->info);
    if (!info || !info->executor_id || !info->executor_id->value || !record->framework_id ||
        !record->container_id)
        return damaged(err, "an executor lacks its ids");
    if (record->state > AGENT_EXECUTOR_TERMINATED)
        return damaged(err, "unknown state of an executor");
    struct agent_framework *f = agent_framework_get(core, record->framework_id);
    if (!f)
        f = agent_framework_add(core, record->framework_id);
    if (map_get(&f->executors, info->executor_id->value))
        return damaged(err, "two executors have one id");
    struct agent_executor *e = agent_executor_add(core, f, info, record->container_id);
    e->record.serial = serial;
    e->record.stored = true;
    e->command = record->command;
    e->state = (enum agent_executor_state)record->state;
    e->pid = record->pid;
    e->start_time = record->start_time;
    e->delivered = record->delivered;
    e->launched_wall_us = record->launched_wall_us;
    e->recovered = e->state != AGENT_EXECUTOR_TERMINATED;
    if (record->has_ending_state) {
        e->ending = true;
        e->ending_state = (Mesos__V1__TaskState)record->ending_state;
        e->ending_reason = (Mesos__V1__TaskStatus__Reason)record->ending_reason;
        e->ending_message = xstrdup(record->ending_message ? record->ending_message : "");
    }
    return 0;
}

static int restore_task(struct agent_core *core, uint64_t serial, struct arena *arena,
    const void *p, size_t n, struct error *err)
{
    ProtobufCMessage *m;
    int r = wire_unpack(&dcos__agent__task_record__descriptor, arena, p, n, &m, err);
    if (r < 0)
        return r;
    const Dcos__Agent__TaskRecord *record = (const Dcos__Agent__TaskRecord *)m;
    const Mesos__V1__Task *task = (const Mesos__V1__Task *)unpack(
        &mesos__v1__task__descriptor, arena, record->task);
    struct agent_executor *e = record->container_id
                                   ? map_get(&core->containers, record->container_id)
                                   : NULL;
    if (!task || !task->task_id || !task->task_id->value || !e)
        return damaged(err, "a task lacks its id or its executor");
    if (record->phase > AGENT_TASK_TERMINATED)
        return damaged(err, "unknown phase of a task");
    if (agent_task_get(e->framework, task->task_id->value))
        return damaged(err, "two tasks have one id");
    struct agent_task *t = agent_task_add(core, e, task->task_id->value);
    t->record.serial = serial;
    t->record.stored = true;
    t->phase = (enum agent_task_phase)record->phase;
    t->state = (Mesos__V1__TaskState)record->state;
    /* The description once more, as a TaskInfo, for what is worked out of it. */
    Mesos__V1__TaskInfo info = MESOS__V1__TASK_INFO__INIT;
    info.name = task->name;
    info.task_id = task->task_id;
    info.n_resources = task->n_resources;
    info.resources = task->resources;
    info.kill_policy = task->kill_policy;
    info.labels = task->labels;
    agent_task_describe(core, t, &info);
    for (size_t i = 0; i < task->n_limits; i++) {
        const Mesos__V1__Task__LimitsEntry *l = task->limits[i];
        if (!l->key || !l->value)
            continue;
        int64_t milli = l->value->value > 1e12 ? -1 : (int64_t)(l->value->value * 1000 + 0.5);
        if (streq(l->key, "cpus"))
            t->cpu_limit_milli = milli;
        else if (streq(l->key, "mem"))
            t->mem_limit_milli = milli;
    }
    agent_bytes_set(&t->task, record->task.data, record->task.len);
    agent_bytes_set(&t->info, record->info.data, record->info.len);
    agent_bytes_set(&t->status, record->status.data, record->status.len);
    t->kill_pending = record->kill_pending;
    agent_bytes_set(&t->kill_policy, record->kill_policy.data, record->kill_policy.len);
    t->group = record->group;
    t->group_size = record->group_size;
    return 0;
}

static int restore_stream(struct agent_core *core, uint64_t serial, struct arena *arena,
    const void *p, size_t n, struct error *err)
{
    ProtobufCMessage *m;
    int r = wire_unpack(&dcos__agent__stream_record__descriptor, arena, p, n, &m, err);
    if (r < 0)
        return r;
    const Dcos__Agent__StreamRecord *record = (const Dcos__Agent__StreamRecord *)m;
    if (!record->framework_id || !record->task_id)
        return damaged(err, "a stream of updates lacks its ids");
    if (agent_core_stream(core, record->framework_id, record->task_id))
        return damaged(err, "two streams of updates for one task");
    struct agent_stream *s = agent_stream_add(
        core, record->framework_id, record->task_id, record->executor_id);
    list_remove(&s->record.dirty);
    s->record.serial = serial;
    s->record.stored = true;
    s->latest_state = (Mesos__V1__TaskState)record->latest_state;
    for (size_t i = 0; i < record->n_acknowledged && i < AGENT_STREAM_ACKED_MAX; i++)
        if (record->acknowledged[i].len == AGENT_UUID_SIZE)
            memcpy(s->acked[s->n_acked++], record->acknowledged[i].data, AGENT_UUID_SIZE);
    if (record->has_forwarded_state && record->forwarded_uuid.len == AGENT_UUID_SIZE) {
        s->forwarded = true;
        s->forwarded_state = (Mesos__V1__TaskState)record->forwarded_state;
        memcpy(s->forwarded_uuid, record->forwarded_uuid.data, AGENT_UUID_SIZE);
    }
    return 0;
}

static int restore_update(struct agent_core *core, uint64_t serial, struct arena *arena,
    const void *p, size_t n, struct error *err)
{
    ProtobufCMessage *m;
    int r = wire_unpack(&dcos__agent__update_record__descriptor, arena, p, n, &m, err);
    if (r < 0)
        return r;
    const Dcos__Agent__UpdateRecord *record = (const Dcos__Agent__UpdateRecord *)m;
    const Mesos__V1__TaskStatus *status = (const Mesos__V1__TaskStatus *)unpack(
        &mesos__v1__task_status__descriptor, arena, record->status);
    if (!status || status->uuid.len != AGENT_UUID_SIZE)
        return damaged(err, "a status update lacks its uuid");
    struct agent_stream *stream = NULL;
    MAP_FOREACH (e, &core->streams) {
        struct agent_stream *s = e->value;
        if (s->record.serial == record->stream)
            stream = s;
    }
    if (!stream)
        return damaged(err, "a status update lacks its stream");
    struct agent_bytes packed = {0};
    agent_bytes_set(&packed, record->status.data, record->status.len);
    Mesos__V1__TaskState latest = stream->latest_state;
    struct agent_update *u = agent_stream_append(
        core, stream, status->uuid.data, status->state, packed);
    list_remove(&u->record.dirty);
    list_remove(&stream->record.dirty);
    stream->latest_state = latest;
    u->record.serial = serial;
    u->record.stored = true;
    return 0;
}

static int restore_resources(
    struct agent_core *core, struct arena *arena, const void *p, size_t n, struct error *err)
{
    ProtobufCMessage *m;
    int r = wire_unpack(&dcos__agent__resources_record__descriptor, arena, p, n, &m, err);
    if (r < 0)
        return r;
    if (core->resources_record.stored)
        return damaged(err, "there are two lists of resources");
    const Dcos__Agent__ResourcesRecord *record = (const Dcos__Agent__ResourcesRecord *)m;
    Mesos__V1__Resource **list = arena_new_array(arena, Mesos__V1__Resource *, record->n_resources);
    for (size_t i = 0; i < record->n_resources; i++) {
        list[i] = (Mesos__V1__Resource *)unpack(
            &mesos__v1__resource__descriptor, arena, record->resources[i]);
        if (!list[i])
            return damaged(err, "a resource cannot be read");
    }
    core->resources_record.stored = true;
    return resources_from_wire(list, record->n_resources, &core->restored, err);
}

static int restore_operation(struct agent_core *core, uint64_t serial, struct arena *arena,
    const void *p, size_t n, struct error *err)
{
    ProtobufCMessage *m;
    int r = wire_unpack(&dcos__agent__operation_record__descriptor, arena, p, n, &m, err);
    if (r < 0)
        return r;
    const Mesos__V1__Operation *op = (const Mesos__V1__Operation *)unpack(
        &mesos__v1__operation__descriptor, arena,
        ((const Dcos__Agent__OperationRecord *)m)->operation);
    return op ? agent_operation_restore(core, serial, op, err)
              : damaged(err, "an operation cannot be read");
}

static int restore_volume(struct agent_core *core, uint64_t serial, struct arena *arena,
    const void *p, size_t n, struct error *err)
{
    ProtobufCMessage *m;
    int r = wire_unpack(&dcos__agent__volume_record__descriptor, arena, p, n, &m, err);
    if (r < 0)
        return r;
    const Dcos__Agent__VolumeRecord *record = (const Dcos__Agent__VolumeRecord *)m;
    const Mesos__V1__Resource *resource = (const Mesos__V1__Resource *)unpack(
        &mesos__v1__resource__descriptor, arena, record->resource);
    if (!resource)
        return damaged(err, "a volume cannot be read");
    const uint8_t *uuid = record->operation_uuid.len == AGENT_UUID_SIZE
                              ? record->operation_uuid.data
                              : NULL;
    enum agent_volume_work work = record->destroy  ? AGENT_VOLUME_REMOVE
                                  : record->resize ? AGENT_VOLUME_RESIZE
                                                   : AGENT_VOLUME_MAKE;
    return agent_volume_restore(core, serial, resource, work, uuid, err);
}

int agent_core_restore(
    struct agent_core *core, const char *key, const void *value, size_t n, struct error *err)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    if (streq(key, "agent/self"))
        return restore_self(core, &arena, value, n, err);
    if (streq(key, "resources/self"))
        return restore_resources(core, &arena, value, n, err);
    struct str rest = str_of(key), kind;
    uint8_t serial_bytes[8];
    if (!str_split(&rest, '/', &kind) || hex_decode(rest, serial_bytes, sizeof(serial_bytes)) != 8)
        return error_set(err, -EBADMSG, "unknown key %s", key);
    uint64_t serial = 0;
    for (size_t i = 0; i < sizeof(serial_bytes); i++)
        serial = serial << 8 | serial_bytes[i];
    static int (*const readers[])(
        struct agent_core *, uint64_t, struct arena *, const void *, size_t, struct error *) = {
        [AGENT_RECORD_FRAMEWORK] = restore_framework,
        [AGENT_RECORD_EXECUTOR] = restore_executor,
        [AGENT_RECORD_STREAM] = restore_stream,
        [AGENT_RECORD_TASK] = restore_task,
        [AGENT_RECORD_UPDATE] = restore_update,
        [AGENT_RECORD_OPERATION] = restore_operation,
        [AGENT_RECORD_VOLUME] = restore_volume,
    };
    for (size_t i = AGENT_RECORD_FRAMEWORK; i < ARRAY_SIZE(readers); i++) {
        if (!readers[i] || !str_eq_c(kind, kind_names[i]))
            continue;
        int r = readers[i](core, serial, &arena, value, n, err);
        core->next_serial = MAX(core->next_serial, serial + 1);
        return r < 0 ? error_prefix(err, r, "%s", key) : 0;
    }
    return error_set(err, -EBADMSG, "unknown key %s", key);
}
