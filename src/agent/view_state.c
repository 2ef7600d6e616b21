#include <unistd.h>

#include "agent/sandbox.h"
#include "agent/view.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "kernel/attributes.h"
#include "kernel/framework.h"
#include "kernel/task.h"

/* GET /state, with the keys of the reference. */

static ProtobufCMessage *unpack(
    const ProtobufCMessageDescriptor *type, const struct agent_bytes *b, struct arena *arena)
{
    ProtobufCMessage *m;
    return b->n && wire_unpack(type, arena, b->p, b->n, &m, NULL) >= 0 ? m : NULL;
}

Mesos__V1__FrameworkInfo *view_framework_info(const struct agent_framework *f, struct arena *arena)
{
    return (Mesos__V1__FrameworkInfo *)unpack(
        &mesos__v1__framework_info__descriptor, &f->info, arena);
}

Mesos__V1__ExecutorInfo *view_executor_info(const struct agent_executor *e, struct arena *arena)
{
    return (Mesos__V1__ExecutorInfo *)unpack(
        &mesos__v1__executor_info__descriptor, &e->info, arena);
}

Mesos__V1__AgentInfo *view_agent_info(const struct agent *a, struct arena *arena)
{
    return (Mesos__V1__AgentInfo *)unpack(
        &mesos__v1__agent_info__descriptor, &a->core->info, arena);
}

Mesos__V1__Task *view_task(const struct agent_task *t, struct arena *arena)
{
    Mesos__V1__Task *task = (Mesos__V1__Task *)unpack(
        &mesos__v1__task__descriptor, &t->task, arena);
    if (!task)
        return NULL;
    task->has_state = true;
    task->state = t->state;
    Mesos__V1__TaskStatus *status = (Mesos__V1__TaskStatus *)unpack(
        &mesos__v1__task_status__descriptor, &t->status, arena);
    if (status) {
        task->n_statuses = 1;
        task->statuses = arena_new_array(arena, Mesos__V1__TaskStatus *, 1);
        task->statuses[0] = status;
    }
    return task;
}

static void add_wire(struct resources *sum, Mesos__V1__Resource *const *list, size_t n)
{
    struct resources one = RESOURCES_INIT;
    if (resources_from_wire(list, n, &one, NULL) < 0)
        return;
    resources_add(sum, &one);
    resources_done(&one);
}

void view_executor_resources(
    const struct agent_executor *e, struct resources *sum, struct arena *arena)
{
    const Mesos__V1__ExecutorInfo *info = view_executor_info(e, arena);
    if (info)
        add_wire(sum, info->resources, info->n_resources);
    LIST_FOREACH (t, &e->tasks, struct agent_task, node) {
        if (agent_state_terminal(t->state))
            continue;
        const Mesos__V1__Task *task = view_task(t, arena);
        if (task)
            add_wire(sum, task->resources, task->n_resources);
    }
}

void view_allocated(const struct agent *a, struct resources *ret)
{
    MAP_FOREACH (entry, &a->core->containers) {
        const struct agent_executor *e = entry->value;
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        if (e->state != AGENT_EXECUTOR_TERMINATED)
            view_executor_resources(e, ret, &arena);
    }
}

/* ---- parts ---- */

static void write_labels(struct json_writer *w, const Mesos__V1__Labels *labels)
{
    if (!labels)
        return;
    jw_key(w, "labels");
    jw_begin_array(w);
    for (size_t i = 0; i < labels->n_labels; i++)
        wire_to_json(w, &labels->labels[i]->base);
    jw_end_array(w);
}

static void write_message(struct json_writer *w, const char *key, const ProtobufCMessage *m)
{
    if (!m)
        return;
    jw_key(w, key);
    wire_to_json(w, m);
}

static void write_resources(
    struct json_writer *w, const char *key, Mesos__V1__Resource *const *list, size_t n)
{
    struct resources r = RESOURCES_INIT;
    (void)resources_from_wire(list, n, &r, NULL); /* shown as empty when it cannot be read */
    jw_key(w, key);
    resources_write_state(w, &r);
    resources_done(&r);
}

static const char *allocation_role(Mesos__V1__Resource *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (list[i]->allocation_info && list[i]->allocation_info->role)
            return list[i]->allocation_info->role;
    return NULL;
}

static void write_role(struct json_writer *w, Mesos__V1__Resource *const *list, size_t n)
{
    const char *role = allocation_role(list, n);
    if (role)
        jw_field_string(w, "role", role);
}

static void write_status(struct json_writer *w, const Mesos__V1__TaskStatus *s)
{
    jw_begin_object(w);
    jw_field_string(w, "state", task_state_name(s->state));
    jw_field_double(w, "timestamp", s->timestamp);
    write_labels(w, s->labels);
    if (s->container_status)
        write_message(w, "container_status", &s->container_status->base);
    if (s->has_healthy)
        jw_field_bool(w, "healthy", s->healthy);
    jw_end_object(w);
}

static void write_task(struct json_writer *w, const struct agent_task *t)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    const Mesos__V1__Task *task = view_task(t, &arena);
    if (!task)
        return;
    jw_begin_object(w);
    jw_field_string(w, "id", t->id);
    jw_field_string(w, "name", task->name);
    jw_field_string(w, "framework_id", t->framework->id);
    jw_field_string(w, "executor_id", task->executor_id ? task->executor_id->value : "");
    jw_field_string(w, "slave_id", task->agent_id ? task->agent_id->value : "");
    jw_field_string(w, "state", task_state_name(t->state));
    write_resources(w, "resources", task->resources, task->n_resources);
    if (task->n_limits) {
        jw_key(w, "limits");
        jw_begin_object(w);
        for (size_t i = 0; i < task->n_limits; i++)
            if (task->limits[i]->key && task->limits[i]->value)
                jw_field_double(w, task->limits[i]->key, task->limits[i]->value->value);
        jw_end_object(w);
    }
    write_role(w, task->resources, task->n_resources);
    jw_key(w, "statuses");
    jw_begin_array(w);
    for (size_t i = 0; i < task->n_statuses; i++)
        write_status(w, task->statuses[i]);
    jw_end_array(w);
    if (task->user)
        jw_field_string(w, "user", task->user);
    write_labels(w, task->labels);
    write_message(w, "discovery", task->discovery ? &task->discovery->base : NULL);
    write_message(w, "container", task->container ? &task->container->base : NULL);
    write_message(w, "health_check", task->health_check ? &task->health_check->base : NULL);
    jw_end_object(w);
}

static void write_queued_task(struct json_writer *w, const struct agent_task *t)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    const Mesos__V1__TaskInfo *info = (const Mesos__V1__TaskInfo *)unpack(
        &mesos__v1__task_info__descriptor, &t->info, &arena);
    if (!info)
        return;
    jw_begin_object(w);
    jw_field_string(w, "id", t->id);
    jw_field_string(w, "name", info->name);
    jw_field_string(w, "slave_id", info->agent_id ? info->agent_id->value : "");
    write_resources(w, "resources", info->resources, info->n_resources);
    write_role(w, info->resources, info->n_resources);
    if (info->command)
        write_message(w, "command", &info->command->base);
    if (info->executor && info->executor->executor_id)
        jw_field_string(w, "executor_id", info->executor->executor_id->value);
    if (info->discovery)
        write_message(w, "discovery", &info->discovery->base);
    jw_end_object(w);
}

static void write_tasks(struct agent *a, const struct http_request *req, struct json_writer *w,
    const struct agent_executor *e)
{
    jw_key(w, "tasks");
    jw_begin_array(w);
    LIST_FOREACH (t, &e->tasks, struct agent_task, node)
        if (t->phase == AGENT_TASK_LAUNCHED && agent_sees_task(a, req, t))
            write_task(w, t);
    jw_end_array(w);
    jw_key(w, "queued_tasks");
    jw_begin_array(w);
    LIST_FOREACH (q, &e->tasks, struct agent_task, node)
        if (q->phase == AGENT_TASK_QUEUED && agent_sees_task(a, req, q))
            write_queued_task(w, q);
    jw_end_array(w);
    jw_key(w, "completed_tasks");
    jw_begin_array(w);
    LIST_FOREACH (c, &e->completed_tasks, struct agent_task, node)
        if (agent_sees_task(a, req, c))
            write_task(w, c);
    LIST_FOREACH (u, &e->tasks, struct agent_task, node)
        if (u->phase == AGENT_TASK_TERMINATED && agent_sees_task(a, req, u))
            write_task(w, u);
    jw_end_array(w);
}

static void write_executor(struct agent *a, const struct http_request *req, struct json_writer *w,
    struct agent_executor *e)
{
    if (!agent_sees_executor(a, req, e))
        return;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    const Mesos__V1__ExecutorInfo *info = view_executor_info(e, &arena);
    if (!info)
        return;
    jw_begin_object(w);
    jw_field_string(w, "id", e->id);
    jw_field_string(w, "name", info->name ? info->name : "");
    jw_field_string(w, "source", info->source ? info->source : "");
    jw_field_string(w, "container", e->container_id);
    _cleanup_free_ char *directory = sandbox_path(
        a->work_dir, a->core->id ? a->core->id : "", e->framework->id, e->id, e->container_id);
    jw_field_string(w, "directory", directory);
    struct resources used = RESOURCES_INIT;
    view_executor_resources(e, &used, &arena);
    jw_key(w, "resources");
    resources_write_state(w, &used);
    resources_done(&used);
    write_role(w, info->resources, info->n_resources);
    write_labels(w, info->labels);
    if (info->has_type)
        jw_field_string(w, "type",
            info->type == MESOS__V1__EXECUTOR_INFO__TYPE__DEFAULT ? "DEFAULT" : "CUSTOM");
    write_tasks(a, req, w, e);
    jw_end_object(w);
}

static void write_framework(struct agent *a, const struct http_request *req, struct json_writer *w,
    struct agent_framework *f)
{
    if (!agent_sees_framework(a, req, f))
        return;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    const Mesos__V1__FrameworkInfo *info = view_framework_info(f, &arena);
    if (!info)
        return;
    jw_begin_object(w);
    jw_field_string(w, "id", f->id);
    jw_field_string(w, "name", info->name);
    jw_field_string(w, "user", info->user);
    jw_field_double(w, "failover_timeout", info->failover_timeout);
    jw_field_bool(w, "checkpoint", f->checkpoint);
    jw_field_string(w, "hostname", info->hostname ? info->hostname : "");
    if (info->principal)
        jw_field_string(w, "principal", info->principal);
    size_t n_roles;
    const char **roles = framework_roles(info, &arena, &n_roles);
    if (framework_capabilities(info) & FRAMEWORK_MULTI_ROLE) {
        jw_key(w, "roles");
        jw_begin_array(w);
        for (size_t i = 0; i < n_roles; i++)
            jw_string(w, roles[i]);
        jw_end_array(w);
    } else {
        jw_field_string(w, "role", n_roles ? roles[0] : "*");
    }
    jw_key(w, "executors");
    jw_begin_array(w);
    MAP_FOREACH (entry, &f->executors)
        write_executor(a, req, w, entry->value);
    jw_end_array(w);
    jw_key(w, "completed_executors");
    jw_begin_array(w);
    LIST_FOREACH (c, &f->completed, struct agent_executor, node)
        write_executor(a, req, w, c);
    jw_end_array(w);
    jw_end_object(w);
}

/* ---- resources of the agent ---- */

static void write_state_of(struct json_writer *w, const char *key, const struct resources *r,
    resource_predicate keep, const void *what)
{
    struct resources part = RESOURCES_INIT;
    resources_filter(r, keep, what, &part);
    jw_key(w, key);
    resources_write_state(w, &part);
    resources_done(&part);
}

static void write_full(struct json_writer *w, const char *key, const struct resources *r,
    resource_predicate keep, const void *what)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct resources part = RESOURCES_INIT;
    resources_filter(r, keep, what, &part);
    size_t n;
    /* Both formats: the stack of reservations, and the old fields where they can say it. */
    Mesos__V1__Resource **stack = resources_to_wire(&part, 0, &arena, &n);
    Mesos__V1__Resource **list = resources_to_wire(&part, RESOURCES_OLD_FORMAT, &arena, &n);
    for (size_t i = 0; i < n; i++) {
        list[i]->n_reservations = stack[i]->n_reservations;
        list[i]->reservations = stack[i]->reservations;
    }
    jw_key(w, key);
    jw_begin_array(w);
    for (size_t i = 0; i < n; i++)
        wire_to_json(w, &list[i]->base);
    jw_end_array(w);
    resources_done(&part);
}

static void write_reserved(struct agent *a, const struct http_request *req, struct json_writer *w,
    const char *key, const struct resources *r, bool full)
{
    struct map roles = MAP_INIT;
    RESOURCES_FOREACH(item, r)
    if (item->kind->n_reservations && agent_sees_role(a, req, item->kind->role))
        map_put(&roles, item->kind->role, (void *)(uintptr_t)item->kind->role);
    jw_key(w, key);
    jw_begin_object(w);
    MAP_FOREACH (entry, &roles) {
        if (full)
            write_full(w, entry->key, r, resource_is_reserved_to, entry->key);
        else
            write_state_of(w, entry->key, r, resource_is_reserved_to, entry->key);
    }
    jw_end_object(w);
    map_done(&roles);
}

static void write_agent_resources(
    struct agent *a, const struct http_request *req, struct json_writer *w)
{
    struct resources used = RESOURCES_INIT;
    const struct resources *total = &a->core->total;
    view_allocated(a, &used);
    jw_key(w, "resources");
    resources_write_state(w, total);
    write_reserved(a, req, w, "reserved_resources", total, false);
    write_state_of(w, "unreserved_resources", total, resource_is_unreserved, NULL);
    write_reserved(a, req, w, "reserved_resources_full", total, true);
    write_full(w, "unreserved_resources_full", total, resource_is_unreserved, NULL);
    write_reserved(a, req, w, "reserved_resources_allocated", &used, false);
    write_state_of(w, "unreserved_resources_allocated", &used, resource_is_unreserved, NULL);
    resources_done(&used);
}

Mesos__V1__DrainConfig *view_drain_config(const struct agent *a, struct arena *arena)
{
    ProtobufCMessage *m;
    const struct agent_bytes *b = &a->core->drain_config;
    if (!a->core->draining ||
        wire_unpack(&mesos__v1__drain_config__descriptor, arena, b->p, b->n, &m, NULL) < 0)
        return NULL;
    return (Mesos__V1__DrainConfig *)m;
}

static void write_drain(const struct agent *a, struct json_writer *w, struct arena *arena)
{
    const Mesos__V1__DrainConfig *config = view_drain_config(a, arena);
    if (!config)
        return;
    jw_key(w, "drain_config");
    jw_begin_object(w);
    if (config->max_grace_period)
        write_message(w, "max_grace_period", &config->max_grace_period->base);
    jw_field_bool(w, "mark_gone", config->has_mark_gone && config->mark_gone);
    jw_end_object(w);
    jw_field_i64(
        w, "estimated_drain_start_time_seconds", a->core->drain_start_wall_us / USEC_PER_SEC);
}

static void write_flags(const struct agent *a, struct json_writer *w)
{
    if (a->settings.log_dir)
        jw_field_string(w, "log_dir", a->settings.log_dir);
    if (a->settings.external_log_file)
        jw_field_string(w, "external_log_file", a->settings.external_log_file);
    jw_key(w, "flags");
    jw_begin_object(w);
    for (size_t i = 0; i < a->n_flags; i++)
        if (a->flags[i].value_text)
            jw_field_string(
                w, a->flags[i].name, a->flags[i].secret ? "***" : a->flags[i].value_text);
    jw_end_object(w);
}

void view_state(struct agent *a, const struct http_request *req, struct json_writer *w)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    const Mesos__V1__AgentInfo *info = view_agent_info(a, &arena);
    jw_begin_object(w);
    jw_field_string(w, "version", DCOS_MESOS_VERSION);
    jw_field_string(w, "build_date", ""); /* the same sources make the same program */
    jw_field_double(w, "build_time", 0);
    jw_field_string(w, "build_user", "");
    jw_field_double(w, "start_time", (double)a->start_wall_us / (double)USEC_PER_SEC);
    jw_field_string(w, "id", a->core->id ? a->core->id : "");
    _cleanup_free_ char *pid = xasprintf("slave(1)@%s:%u", a->settings.ip, a->port);
    jw_field_string(w, "pid", pid);
    jw_field_string(w, "hostname", a->hostname);
    jw_key(w, "capabilities");
    jw_begin_array(w);
    size_t n_capabilities;
    const Mesos__V1__AgentInfo__Capability__Type *capabilities = agent_core_capabilities(
        &n_capabilities);
    for (size_t i = 0; i < n_capabilities; i++)
        jw_string(w, wire_enum_name(&mesos__v1__agent_info__capability__type__descriptor,
                         (int)capabilities[i]));
    jw_end_array(w);
    if (info && info->domain)
        write_message(w, "domain", &info->domain->base);
    write_drain(a, w, &arena);
    if (info) {
        write_agent_resources(a, req, w);
        jw_key(w, "resource_providers");
        jw_begin_array(w);
        jw_end_array(w);
        jw_key(w, "attributes");
        attributes_write_state(w, info->attributes, info->n_attributes);
    }
    if (agent_sees_flags(a, req))
        write_flags(a, w);
    jw_key(w, "frameworks");
    jw_begin_array(w);
    MAP_FOREACH (entry, &a->core->frameworks)
        write_framework(a, req, w, entry->value);
    jw_end_array(w);
    jw_key(w, "completed_frameworks");
    jw_begin_array(w);
    LIST_FOREACH (gone, &a->core->completed_frameworks, struct agent_framework, node)
        write_framework(a, req, w, gone);
    jw_end_array(w);
    jw_end_object(w);
}
