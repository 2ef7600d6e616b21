#include "unit.h"

#include "world.h"

#include "base/clock.h"

struct saved {
    char *key;
    void *p;
    size_t n;
};

#define FRAMEWORK "M-0000"

static struct agent_core *make_core(const struct world *w)
{
    Mesos__V1__AgentInfo info = MESOS__V1__AGENT_INFO__INIT;
    Mesos__V1__Value__Scalar scalar = MESOS__V1__VALUE__SCALAR__INIT;
    Mesos__V1__Value__Scalar disk_size = MESOS__V1__VALUE__SCALAR__INIT;
    Mesos__V1__Value__Scalar mount_size = MESOS__V1__VALUE__SCALAR__INIT;
    Mesos__V1__Resource cpus = MESOS__V1__RESOURCE__INIT, disk = cpus, mount = cpus;
    Mesos__V1__Resource *resources[] = {&cpus, &disk, &mount};
    Mesos__V1__Resource__DiskInfo info_of_mount = MESOS__V1__RESOURCE__DISK_INFO__INIT;
    Mesos__V1__Resource__DiskInfo__Source source = MESOS__V1__RESOURCE__DISK_INFO__SOURCE__INIT;
    Mesos__V1__Resource__DiskInfo__Source__Mount mounted =
        MESOS__V1__RESOURCE__DISK_INFO__SOURCE__MOUNT__INIT;
    disk_size.has_value = mount_size.has_value = true;
    disk_size.value = w->disk_mb;
    mount_size.value = 500;
    disk.name = mount.name = (char *)(uintptr_t) "disk";
    disk.has_type = mount.has_type = true;
    disk.type = mount.type = MESOS__V1__VALUE__TYPE__SCALAR;
    disk.scalar = &disk_size;
    mount.scalar = &mount_size;
    mounted.root = (char *)(uintptr_t) "/mnt/one";
    source.has_type = true;
    source.type = MESOS__V1__RESOURCE__DISK_INFO__SOURCE__TYPE__MOUNT;
    source.mount = &mounted;
    info_of_mount.source = &source;
    mount.disk = &info_of_mount;
    scalar.has_value = true;
    scalar.value = w->cpus;
    cpus.name = (char *)(uintptr_t) "cpus";
    cpus.has_type = true;
    cpus.type = MESOS__V1__VALUE__TYPE__SCALAR;
    cpus.scalar = &scalar;
    info.hostname = (char *)(uintptr_t)(w->hostname ? w->hostname : "a1");
    info.has_port = true;
    info.port = 5051;
    info.n_resources = ARRAY_SIZE(resources);
    info.resources = resources;
    Mesos__V1__Value__Text text = MESOS__V1__VALUE__TEXT__INIT;
    Mesos__V1__Attribute attribute = MESOS__V1__ATTRIBUTE__INIT, *attributes[] = {&attribute};
    if (w->attribute) {
        text.value = (char *)(uintptr_t)w->attribute;
        attribute.name = (char *)(uintptr_t) "rack";
        attribute.has_type = true;
        attribute.type = MESOS__V1__VALUE__TYPE__TEXT;
        attribute.text = &text;
        info.n_attributes = 1;
        info.attributes = attributes;
    }
    Mesos__V1__DomainInfo domain = MESOS__V1__DOMAIN_INFO__INIT;
    Mesos__V1__DomainInfo__FaultDomain fault = MESOS__V1__DOMAIN_INFO__FAULT_DOMAIN__INIT;
    Mesos__V1__DomainInfo__FaultDomain__RegionInfo region =
        MESOS__V1__DOMAIN_INFO__FAULT_DOMAIN__REGION_INFO__INIT;
    if (w->region) {
        region.name = (char *)(uintptr_t)w->region;
        fault.region = &region;
        domain.fault_domain = &fault;
        info.domain = &domain;
    }
    struct agent_core_options o = {
        .additive = w->additive,
        .info = &info,
        .version = "1.11.0",
        .boot_id = w->boot_id,
        .ip = "10.0.0.2",
        .executor_program = "/x/dcos-executor",
    };
    return agent_core_new(&o);
}

struct agent_now *world_now(struct world *w)
{
    w->draws++;
    memset(w->now.entropy, 0, sizeof(w->now.entropy));
    memcpy(w->now.entropy + 8, &w->draws, sizeof(w->draws));
    return &w->now;
}

void world_start(struct world *w)
{
    *w = (struct world){.boot_id = "boot-1", .cpus = 4, .disk_mb = 1000, .epoch = 5};
    w->now.mono_us = 1000 * USEC_PER_SEC;
    w->now.wall_us = INT64_C(1700000000) * USEC_PER_SEC;
    w->now.boot_us = 5000 * USEC_PER_SEC;
    w->core = make_core(w);
    assert_int_equal(agent_core_start(w->core, world_now(w), NULL), 0);
    world_drain(w);
}

static void free_effect(struct agent_effect *e)
{
    free(e->framework_id);
    free(e->executor_id);
    free(e->container_id);
    free(e->message);
    buf_done(&e->bytes);
}

void world_forget(struct world *w)
{
    VEC_FOREACH (e, &w->effects)
        free_effect(e);
    vec_clear(&w->effects);
}

void world_done(struct world *w)
{
    world_forget(w);
    vec_done(&w->effects);
    agent_core_free(w->core);
    MAP_FOREACH (entry, &w->disk) {
        struct saved *s = entry->value;
        free(s->key);
        free(s->p);
        free(s);
    }
    map_done(&w->disk);
    arena_done(&w->arena);
}

static void disk_remove(struct world *w, const char *key)
{
    struct saved *old = map_get(&w->disk, key);
    if (!old)
        return;
    map_remove(&w->disk, key);
    free(old->key);
    free(old->p);
    free(old);
}

void world_lose(struct world *w, const struct agent_record *r)
{
    _cleanup_free_ char *key = xasprintf("task/%016llx", (unsigned long long)r->serial);
    assert_int_equal(r->kind, AGENT_RECORD_TASK);
    assert_non_null(map_get(&w->disk, key));
    disk_remove(w, key);
}

void world_drain(struct world *w)
{
    struct agent_output out;
    while (agent_core_take(w->core, &out)) {
        VEC_FOREACH (m, &out.mutations) {
            disk_remove(w, m->key);
            if (!m->value)
                continue;
            struct saved *s = xnew(struct saved);
            s->key = xstrdup(m->key);
            s->p = xmemdup(m->value, m->n);
            s->n = m->n;
            map_put(&w->disk, s->key, s);
        }
        VEC_FOREACH (e, &out.effects) {
            vec_push(&w->effects, *e);
            *e = (struct agent_effect){0};
        }
        agent_output_done(&out);
    }
}

static int by_key(const void *a, const void *b)
{
    return strcmp((*(struct saved *const *)a)->key, (*(struct saved *const *)b)->key);
}

int world_restart(struct world *w)
{
    agent_core_free(w->core);
    world_forget(w);
    w->core = make_core(w);
    VEC(struct saved *) all = {0};
    MAP_FOREACH (entry, &w->disk)
        vec_push(&all, entry->value);
    if (all.n)
        qsort(all.items, all.n, sizeof(*all.items), by_key);
    VEC_FOREACH (s, &all) {
        struct error err = ERROR_INIT;
        int r = agent_core_restore(w->core, (*s)->key, (*s)->p, (*s)->n, &err);
        if (r < 0)
            fail_msg("%s", err.msg);
    }
    vec_done(&all);
    int r = agent_core_start(w->core, world_now(w), NULL);
    world_drain(w);
    return r;
}

void world_advance(struct world *w, int64_t us)
{
    int64_t end = w->now.mono_us + us;
    for (;;) {
        int64_t next = agent_core_next_deadline(w->core);
        if (next > end)
            break;
        int64_t step = MAX(next - w->now.mono_us, INT64_C(0));
        w->now.mono_us += step;
        w->now.wall_us += step;
        w->now.boot_us += step;
        agent_core_tick(w->core, world_now(w));
        world_drain(w);
    }
    w->now.wall_us += end - w->now.mono_us;
    w->now.boot_us += end - w->now.mono_us;
    w->now.mono_us = end;
}

/* ---- what came out ---- */

struct agent_effect *world_effect(struct world *w, enum agent_effect_type type, size_t n)
{
    VEC_FOREACH (e, &w->effects)
        if (e->type == type && n-- == 0)
            return e;
    return NULL;
}

size_t world_count(struct world *w, enum agent_effect_type type)
{
    size_t n = 0;
    VEC_FOREACH (e, &w->effects)
        n += e->type == type;
    return n;
}

static void *decode(
    struct world *w, const ProtobufCMessageDescriptor *type, const struct agent_effect *e)
{
    ProtobufCMessage *m;
    assert_int_equal(wire_unpack(type, &w->arena, e->bytes.p, e->bytes.n, &m, NULL), 0);
    return m;
}

Dcos__Internal__AgentRecord *world_record(struct world *w, size_t n)
{
    struct agent_effect *e = world_effect(w, AGENT_TO_MASTER, n);
    return e ? decode(w, &dcos__internal__agent_record__descriptor, e) : NULL;
}

Dcos__Internal__StatusUpdate *world_update(struct world *w, size_t n)
{
    for (size_t i = 0;; i++) {
        Dcos__Internal__AgentRecord *r = world_record(w, i);
        if (!r)
            return NULL;
        if (r->update && n-- == 0)
            return r->update;
    }
}

size_t world_updates(struct world *w)
{
    size_t n = 0;
    while (world_update(w, n))
        n++;
    return n;
}

Mesos__V1__Executor__Event *world_event(
    struct world *w, Mesos__V1__Executor__Event__Type type, size_t n)
{
    for (size_t i = 0;; i++) {
        struct agent_effect *e = world_effect(w, AGENT_TO_EXECUTOR, i);
        if (!e)
            return NULL;
        Mesos__V1__Executor__Event *event = decode(w, &mesos__v1__executor__event__descriptor, e);
        if (event->type == type && n-- == 0)
            return event;
    }
}

/* ---- what goes in ---- */

void world_master(struct world *w, Dcos__Internal__MasterRecord *r)
{
    if (!r->has_epoch) {
        r->has_epoch = true;
        r->epoch = w->epoch;
    }
    agent_core_master_record(w->core, world_now(w), r);
    world_drain(w);
}

void world_register(struct world *w)
{
    agent_core_link_up(w->core, world_now(w));
    world_drain(w);
    Mesos__V1__AgentID id = MESOS__V1__AGENT_ID__INIT;
    id.value = (char *)(uintptr_t) "S1";
    Dcos__Internal__Registered registered = DCOS__INTERNAL__REGISTERED__INIT;
    registered.agent_id = &id;
    registered.master_id = (char *)(uintptr_t) "M";
    registered.has_ping_timeout_us = true;
    registered.ping_timeout_us = INT64_C(1000000) * USEC_PER_SEC; /* out of the way */
    registered.has_lease_us = w->lease_us > 0;
    registered.lease_us = w->lease_us;
    registered.drain_config = (Mesos__V1__DrainConfig *)(uintptr_t)w->drain;
    Dcos__Internal__MasterRecord r = DCOS__INTERNAL__MASTER_RECORD__INIT;
    r.registered = &registered;
    world_master(w, &r);
}

void *world_json(struct world *w, const ProtobufCMessageDescriptor *type, const char *text)
{
    ProtobufCMessage *m;
    struct error err = ERROR_INIT;
    if (wire_parse_json(type, &w->arena, text, strlen(text), &m, &err) < 0)
        fail_msg("%s: %s", err.msg, text);
    return m;
}

static Mesos__V1__FrameworkInfo *framework_info(struct world *w, bool partition_aware)
{
    Mesos__V1__FrameworkInfo *f = arena_new(&w->arena, Mesos__V1__FrameworkInfo);
    mesos__v1__framework_info__init(f);
    f->id = arena_new(&w->arena, Mesos__V1__FrameworkID);
    mesos__v1__framework_id__init(f->id);
    f->id->value = arena_strdup(&w->arena, FRAMEWORK);
    f->name = arena_strdup(&w->arena, "test");
    f->user = arena_strdup(&w->arena, "nobody");
    f->has_checkpoint = f->checkpoint = true;
    if (partition_aware) {
        f->n_capabilities = 1;
        f->capabilities = arena_new_array(&w->arena, Mesos__V1__FrameworkInfo__Capability *, 1);
        f->capabilities[0] = arena_new(&w->arena, Mesos__V1__FrameworkInfo__Capability);
        mesos__v1__framework_info__capability__init(f->capabilities[0]);
        f->capabilities[0]->has_type = true;
        f->capabilities[0]->type = MESOS__V1__FRAMEWORK_INFO__CAPABILITY__TYPE__PARTITION_AWARE;
    }
    return f;
}

void world_run(struct world *w, const char *task, const char *executor, bool partition_aware)
{
    Mesos__V1__TaskID task_id = MESOS__V1__TASK_ID__INIT;
    Mesos__V1__AgentID agent_id = MESOS__V1__AGENT_ID__INIT;
    Mesos__V1__ExecutorID executor_id = MESOS__V1__EXECUTOR_ID__INIT;
    Mesos__V1__CommandInfo command = MESOS__V1__COMMAND_INFO__INIT;
    Mesos__V1__ExecutorInfo info = MESOS__V1__EXECUTOR_INFO__INIT;
    Mesos__V1__TaskInfo t = MESOS__V1__TASK_INFO__INIT;
    task_id.value = (char *)(uintptr_t)task;
    agent_id.value = (char *)(uintptr_t) "S1";
    executor_id.value = (char *)(uintptr_t)executor;
    command.value = (char *)(uintptr_t) "true";
    t.name = (char *)(uintptr_t) "t";
    t.task_id = &task_id;
    t.agent_id = &agent_id;
    Mesos__V1__Label label = MESOS__V1__LABEL__INIT, *label_list[] = {&label};
    Mesos__V1__Labels labels = MESOS__V1__LABELS__INIT;
    label.key = (char *)(uintptr_t)AGENT_FENCING_LABEL;
    label.value = (char *)(uintptr_t) "true";
    labels.n_labels = 1;
    labels.labels = label_list;
    if (w->fencing)
        t.labels = &labels;
    Mesos__V1__DurationInfo grace = MESOS__V1__DURATION_INFO__INIT;
    Mesos__V1__KillPolicy policy = MESOS__V1__KILL_POLICY__INIT;
    grace.has_nanoseconds = true;
    grace.nanoseconds = w->grace_s * USEC_PER_SEC * NSEC_PER_USEC;
    policy.grace_period = &grace;
    if (w->grace_s)
        t.kill_policy = &policy;
    if (w->task_resources) {
        _cleanup_free_ char *json = xasprintf("{\"resources\":%s}", w->task_resources);
        const Mesos__V1__Offer__Operation__Reserve *list = world_json(
            w, &mesos__v1__offer__operation__reserve__descriptor, json);
        t.n_resources = list->n_resources;
        t.resources = list->resources;
    }
    if (executor) {
        info.executor_id = &executor_id;
        info.command = &command;
        t.executor = &info;
    } else {
        t.command = &command;
    }
    Dcos__Internal__RunTask run = DCOS__INTERNAL__RUN_TASK__INIT;
    run.framework = framework_info(w, partition_aware);
    run.task = &t;
    run.has_launch_executor = w->launch_executor != LAUNCH_UNSAID;
    run.launch_executor = w->launch_executor == LAUNCH_NEW;
    Dcos__Internal__MasterRecord r = DCOS__INTERNAL__MASTER_RECORD__INIT;
    r.run_task = &run;
    world_master(w, &r);
}

void world_run_group(struct world *w, const char *group, bool partition_aware)
{
    Dcos__Internal__RunTaskGroup *run = world_json(
        w, &dcos__internal__run_task_group__descriptor, group);
    run->framework = framework_info(w, partition_aware);
    run->has_launch_executor = w->launch_executor != LAUNCH_UNSAID;
    run->launch_executor = w->launch_executor == LAUNCH_NEW;
    Dcos__Internal__MasterRecord r = DCOS__INTERNAL__MASTER_RECORD__INIT;
    r.run_task_group = run;
    world_master(w, &r);
}

void world_kill(struct world *w, const char *task)
{
    Mesos__V1__TaskID task_id = MESOS__V1__TASK_ID__INIT;
    Mesos__V1__FrameworkID framework_id = MESOS__V1__FRAMEWORK_ID__INIT;
    task_id.value = (char *)(uintptr_t)task;
    framework_id.value = (char *)(uintptr_t)FRAMEWORK;
    Dcos__Internal__KillTask kill = DCOS__INTERNAL__KILL_TASK__INIT;
    kill.framework_id = &framework_id;
    kill.task_id = &task_id;
    Dcos__Internal__MasterRecord r = DCOS__INTERNAL__MASTER_RECORD__INIT;
    r.kill_task = &kill;
    world_master(w, &r);
}

void world_ack(struct world *w, const char *task, const void *uuid)
{
    Mesos__V1__TaskID task_id = MESOS__V1__TASK_ID__INIT;
    Mesos__V1__FrameworkID framework_id = MESOS__V1__FRAMEWORK_ID__INIT;
    task_id.value = (char *)(uintptr_t)task;
    framework_id.value = (char *)(uintptr_t)FRAMEWORK;
    Dcos__Internal__StatusUpdateAcknowledgement ack =
        DCOS__INTERNAL__STATUS_UPDATE_ACKNOWLEDGEMENT__INIT;
    ack.framework_id = &framework_id;
    ack.task_id = &task_id;
    ack.has_uuid = true;
    ack.uuid = (ProtobufCBinaryData){.len = AGENT_UUID_SIZE, .data = (uint8_t *)(uintptr_t)uuid};
    Dcos__Internal__MasterRecord r = DCOS__INTERNAL__MASTER_RECORD__INIT;
    r.acknowledge = &ack;
    world_master(w, &r);
}

struct agent_executor *world_executor(struct world *w, const char *id)
{
    return agent_core_executor(w->core, FRAMEWORK, id);
}

struct agent_task *world_task(struct world *w, const char *id)
{
    struct agent_framework *f = map_get(&w->core->frameworks, FRAMEWORK);
    return f ? map_get(&f->tasks, id) : NULL;
}

uint64_t world_subscribe(struct world *w, const char *executor, const char *unacked_task)
{
    Mesos__V1__Executor__Call__Subscribe s = MESOS__V1__EXECUTOR__CALL__SUBSCRIBE__INIT;
    Mesos__V1__TaskID task_id = MESOS__V1__TASK_ID__INIT;
    Mesos__V1__TaskInfo task = MESOS__V1__TASK_INFO__INIT, *tasks[] = {&task};
    task_id.value = (char *)(uintptr_t)unacked_task;
    task.task_id = &task_id;
    s.n_unacknowledged_tasks = unacked_task ? 1 : 0;
    s.unacknowledged_tasks = tasks;
    struct agent_executor *e = world_executor(w, executor);
    assert_non_null(e);
    uint64_t n = agent_core_subscribe(w->core, world_now(w), e, &s);
    world_drain(w);
    return n;
}

void world_send(struct world *w, const char *executor, const char *task, Mesos__V1__TaskState state,
    uint8_t uuid)
{
    uint8_t bytes[AGENT_UUID_SIZE];
    memset(bytes, uuid, sizeof(bytes));
    Mesos__V1__TaskID task_id = MESOS__V1__TASK_ID__INIT;
    task_id.value = (char *)(uintptr_t)task;
    Mesos__V1__TaskStatus s = MESOS__V1__TASK_STATUS__INIT;
    s.task_id = &task_id;
    s.has_state = true;
    s.state = state;
    s.has_source = true;
    s.source = MESOS__V1__TASK_STATUS__SOURCE__SOURCE_EXECUTOR;
    s.has_uuid = true;
    s.uuid = (ProtobufCBinaryData){.len = sizeof(bytes), .data = bytes};
    struct agent_executor *e = world_executor(w, executor);
    assert_non_null(e);
    agent_core_update(w->core, world_now(w), e, &s);
    world_drain(w);
}

void world_exit(struct world *w, const char *executor, int status)
{
    struct agent_executor *e = world_executor(w, executor);
    assert_non_null(e);
    struct agent_container_exit exit = {.status = status};
    agent_core_container_exited(w->core, world_now(w), e->container_id, &exit);
    world_drain(w);
}
