#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "kernel/attributes.h"
#include "master/shell.h"
#include "master/state.h"
#include "master/state_json.h"
#include "process/process.h"

/* /state, /state-summary, /slaves, /frameworks: straight into the buffer, in the old names. */

static void field_time(struct json_writer *w, const char *key, int64_t us)
{
    jw_field_double(w, key, (double)us / (double)USEC_PER_SEC);
}

static void field_resources(struct json_writer *w, const char *key, const struct resources *r)
{
    jw_key(w, key);
    resources_write_state(w, r);
}

static void field_message(struct json_writer *w, const char *key, const ProtobufCMessage *m)
{
    jw_key(w, key);
    wire_to_json(w, m);
}

static void write_labels(struct json_writer *w, const Mesos__V1__Labels *labels)
{
    if (!labels)
        return;
    jw_key(w, "labels");
    jw_begin_array(w);
    for (size_t i = 0; i < labels->n_labels; i++) {
        jw_begin_object(w);
        jw_field_string(w, "key", labels->labels[i]->key);
        if (labels->labels[i]->value)
            jw_field_string(w, "value", labels->labels[i]->value);
        jw_end_object(w);
    }
    jw_end_array(w);
}

/* ---- tasks ---- */

static void write_status(struct json_writer *w, const Mesos__V1__TaskStatus *status)
{
    jw_begin_object(w);
    jw_field_string(w, "state", task_state_name(status->state));
    jw_field_double(w, "timestamp", status->timestamp);
    write_labels(w, status->labels);
    if (status->container_status)
        field_message(w, "container_status", &status->container_status->base);
    if (status->has_healthy)
        jw_field_bool(w, "healthy", status->healthy);
    jw_end_object(w);
}

static const char *task_role(const struct task *t)
{
    RESOURCES_FOREACH(r, &t->resources)
    if (r->kind->allocation_role)
        return r->kind->allocation_role;
    return "*";
}

void state_write_task(struct json_writer *w, const struct task *t)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m;
    unpack_into(&mesos__v1__task__descriptor, t->info, &arena, &m);
    const Mesos__V1__Task *info = (const Mesos__V1__Task *)m;
    jw_begin_object(w);
    jw_field_string(w, "id", t->id);
    jw_field_string(w, "name", info->name ? info->name : "");
    jw_field_string(w, "framework_id", t->framework->id->text);
    jw_field_string(w, "executor_id",
        info->executor_id && info->executor_id->value ? info->executor_id->value : "");
    jw_field_string(w, "slave_id", t->agent_id->text);
    jw_field_string(w, "state", task_state_name((Mesos__V1__TaskState)t->state));
    field_resources(w, "resources", &t->resources);
    if (info->n_limits) {
        jw_key(w, "limits");
        jw_begin_object(w);
        for (size_t i = 0; i < info->n_limits; i++)
            jw_field_double(w, info->limits[i]->key,
                info->limits[i]->value ? info->limits[i]->value->value : 0);
        jw_end_object(w);
    }
    jw_field_string(w, "role", task_role(t));
    jw_key(w, "statuses");
    jw_begin_array(w);
    for (size_t i = 0; i < t->n_statuses; i++) {
        unpack_into(&mesos__v1__task_status__descriptor, t->statuses[i], &arena, &m);
        write_status(w, (const Mesos__V1__TaskStatus *)m);
    }
    jw_end_array(w);
    if (info->user)
        jw_field_string(w, "user", info->user);
    write_labels(w, info->labels);
    if (info->discovery)
        field_message(w, "discovery", &info->discovery->base);
    if (info->container)
        field_message(w, "container", &info->container->base);
    if (info->health_check)
        field_message(w, "health_check", &info->health_check->base);
    jw_end_object(w);
}

/* ---- agents ---- */

static void write_capabilities(struct json_writer *w, const struct agent *a)
{
    jw_key(w, "capabilities");
    jw_begin_array(w);
    for (size_t i = 0; i < a->n_capabilities; i++) {
        const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(
            &mesos__v1__agent_info__capability__type__descriptor, (int)a->capabilities[i]->type);
        if (v)
            jw_string(w, v->name);
    }
    jw_end_array(w);
}

struct role_list {
    const char *items[256];
    size_t n;
};

static void reserved_roles(const struct resources *r, struct role_list *ret)
{
    ret->n = 0;
    RESOURCES_FOREACH(item, r)
    {
        bool known = !item->kind->n_reservations;
        for (size_t i = 0; i < ret->n && !known; i++)
            known = streq(ret->items[i], item->kind->role);
        if (!known && ret->n < ARRAY_SIZE(ret->items))
            ret->items[ret->n++] = item->kind->role;
    }
}

static void write_agent_identity(struct json_writer *w, const struct agent *a)
{
    jw_field_string(w, "id", a->id->text);
    jw_field_string(w, "hostname", a->info->hostname);
    jw_field_i64(w, "port", a->info->has_port ? a->info->port : 5051);
    jw_key(w, "attributes");
    attributes_write_state(w, a->info->attributes, a->info->n_attributes);
    if (a->info->domain)
        field_message(w, "domain", &a->info->domain->base);
}

/* The resources of an agent that fit, in one form or the other. Nothing is copied on the way, not
 * even a reference taken: in the frozen copy of the process that would copy the page. */
typedef void (*field_if)(struct json_writer *w, const char *key, const struct resources *r,
    resource_predicate keep, const void *userdata);

static void field_resources_if(struct json_writer *w, const char *key, const struct resources *r,
    resource_predicate keep, const void *userdata)
{
    jw_key(w, key);
    resources_write_state_if(w, r, keep, userdata);
}

/* What is reserved, by role, and what is not; `field` decides on the form of the resources. */
static void write_reservations(const struct operator_call *c, struct json_writer *w,
    const struct agent *a, const char *reserved, const char *unreserved, field_if field)
{
    struct role_list roles;
    reserved_roles(&a->total, &roles);
    jw_key(w, reserved);
    jw_begin_object(w);
    for (size_t i = 0; i < roles.n; i++)
        if (view_role(&c->view, roles.items[i]))
            field(w, roles.items[i], &a->total, resource_is_reserved_to, roles.items[i]);
    jw_end_object(w);
    field(w, unreserved, &a->total, resource_is_unreserved, NULL);
}

static void write_agent_fields(
    const struct operator_call *c, struct json_writer *w, const struct agent *a)
{
    write_agent_identity(w, a);
    char pid[320];
    snprintf(pid, sizeof(pid), "slave(1)@%s", a->address);
    jw_field_string(w, "pid", pid);
    field_time(w, "registered_time", a->registered_us);
    if (a->reregistered_us)
        field_time(w, "reregistered_time", a->reregistered_us);
    field_resources(w, "resources", &a->total);
    field_resources(w, "used_resources", &a->used);
    field_resources(w, "offered_resources", &a->offered);
    write_reservations(c, w, a, "reserved_resources", "unreserved_resources", field_resources_if);
    jw_field_bool(w, "active", agent_active(a));
    jw_field_bool(w, "deactivated", a->node.deactivated);
    jw_field_string(w, "version", a->version);
    write_capabilities(w, a);
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    const Mesos__V1__DrainInfo *drain = node_drain_info(&a->node, &arena);
    if (drain) {
        field_message(w, "drain_info", &drain->base);
        if (a->drain_started_us)
            field_time(w, "estimated_drain_start_time_seconds", a->drain_started_us);
    }
}

static void write_recovered(struct json_writer *w, const struct master_core *core)
{
    jw_key(w, "recovered_slaves");
    jw_begin_array(w);
    MAP_FOREACH (e, &core->agents) {
        const struct agent *a = e->value;
        if (a->state != AGENT_RECOVERED)
            continue;
        jw_begin_object(w);
        write_agent_identity(w, a);
        jw_end_object(w);
    }
    jw_end_array(w);
}

/* ---- frameworks ---- */

/* One that is hidden leaves an empty object, as in Mesos. */
static void write_executor(
    const struct operator_call *c, struct json_writer *w, const struct executor *e)
{
    if (!view_executor(&c->view, e)) {
        jw_begin_object(w);
        jw_end_object(w);
        return;
    }
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m;
    unpack_into(&mesos__v1__executor_info__descriptor, e->info, &arena, &m);
    const Mesos__V1__ExecutorInfo *info = (const Mesos__V1__ExecutorInfo *)m;
    jw_begin_object(w);
    jw_field_string(w, "executor_id", e->id);
    jw_field_string(w, "name", info->name ? info->name : "");
    jw_field_string(w, "framework_id", e->framework->id->text);
    jw_key(w, "command");
    jw_begin_object(w);
    const Mesos__V1__CommandInfo *command = info->command;
    jw_field_bool(w, "shell", command ? command->shell : true);
    if (command && command->value)
        jw_field_string(w, "value", command->value);
    jw_key(w, "argv");
    jw_begin_array(w);
    for (size_t i = 0; command && i < command->n_arguments; i++)
        jw_string(w, command->arguments[i]);
    jw_end_array(w);
    if (command && command->environment)
        field_message(w, "environment", &command->environment->base);
    jw_key(w, "uris");
    jw_begin_array(w);
    for (size_t i = 0; command && i < command->n_uris; i++) {
        jw_begin_object(w);
        jw_field_string(w, "value", command->uris[i]->value);
        jw_field_bool(w, "executable", command->uris[i]->executable);
        jw_end_object(w);
    }
    jw_end_array(w);
    jw_end_object(w);
    field_resources(w, "resources", &e->resources);
    jw_field_string(w, "role", e->client->role->name);
    write_labels(w, info->labels);
    if (info->has_type && info->type != MESOS__V1__EXECUTOR_INFO__TYPE__UNKNOWN)
        jw_field_string(w, "type",
            info->type == MESOS__V1__EXECUTOR_INFO__TYPE__DEFAULT ? "DEFAULT" : "CUSTOM");
    jw_field_string(w, "slave_id", e->agent->id->text);
    jw_end_object(w);
}

static void write_offer(struct json_writer *w, const struct offer *o)
{
    jw_begin_object(w);
    jw_field_string(w, "id", o->id);
    jw_field_string(w, "framework_id", o->framework->id->text);
    jw_key(w, "allocation_info");
    jw_begin_object(w);
    jw_field_string(w, "role", o->client->role->name);
    jw_end_object(w);
    jw_field_string(w, "slave_id", o->agent->id->text);
    field_resources(w, "resources", &o->resources);
    jw_end_object(w);
}

static void write_framework_summary(struct json_writer *w, const struct framework *f)
{
    const Mesos__V1__FrameworkInfo *info = f->info;
    jw_field_string(w, "id", f->id->text);
    jw_field_string(w, "name", info->name ? info->name : "");
    field_resources(w, "used_resources", &f->used);
    field_resources(w, "offered_resources", &f->offered);
    jw_key(w, "capabilities");
    jw_begin_array(w);
    for (size_t i = 0; i < info->n_capabilities; i++) {
        const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(
            &mesos__v1__framework_info__capability__type__descriptor,
            (int)info->capabilities[i]->type);
        if (v)
            jw_string(w, v->name);
    }
    jw_end_array(w);
    jw_field_string(w, "hostname", info->hostname ? info->hostname : "");
    jw_field_string(w, "webui_url", info->webui_url ? info->webui_url : "");
    jw_field_bool(w, "active", f->connected);
    jw_field_bool(w, "connected", f->connected);
    jw_field_bool(w, "recovered", f->recovered);
}

static void write_task_map(
    const struct operator_call *c, struct json_writer *w, const char *key, const struct map *tasks)
{
    jw_key(w, key);
    jw_begin_array(w);
    size_t pos = 0;
    struct map_entry *e;
    while ((e = map_next(tasks, &pos)))
        if (view_task(&c->view, e->value))
            state_write_task(w, e->value);
    jw_end_array(w);
}

static void write_task_list(
    const struct operator_call *c, struct json_writer *w, const char *key, const struct list *tasks)
{
    jw_key(w, key);
    jw_begin_array(w);
    LIST_FOREACH (t, tasks, struct task, place_node)
        if (view_task(&c->view, t))
            state_write_task(w, t);
    jw_end_array(w);
}

static void write_framework(
    const struct operator_call *c, struct json_writer *w, const struct framework *f)
{
    const Mesos__V1__FrameworkInfo *info = f->info;
    jw_begin_object(w);
    write_framework_summary(w, f);
    jw_field_string(w, "user", info->user ? info->user : "");
    jw_field_double(w, "failover_timeout", info->failover_timeout);
    jw_field_bool(w, "checkpoint", info->checkpoint);
    field_time(w, "registered_time", f->registered_us);
    field_time(w, "unregistered_time", f->unregistered_us);
    if (info->principal)
        jw_field_string(w, "principal", info->principal);
    _cleanup_resources_ struct resources both = RESOURCES_INIT;
    resources_copy(&both, &f->used);
    resources_add(&both, &f->offered);
    field_resources(w, "resources", &both);
    if (f->reregistered_us && f->reregistered_us != f->registered_us)
        field_time(w, "reregistered_time", f->reregistered_us);
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    size_t n;
    const char **roles = framework_roles(info, &arena, &n);
    if (framework_is(f, FRAMEWORK_MULTI_ROLE)) {
        jw_key(w, "roles");
        jw_begin_array(w);
        for (size_t i = 0; i < n; i++)
            jw_string(w, roles[i]);
        jw_end_array(w);
    } else {
        jw_field_string(w, "role", n ? roles[0] : "*");
    }
    write_task_map(c, w, "tasks", &f->tasks);
    write_task_list(c, w, "unreachable_tasks", &f->unreachable);
    write_task_list(c, w, "completed_tasks", &f->completed);
    jw_key(w, "offers");
    jw_begin_array(w);
    LIST_FOREACH (o, &f->offers, struct offer, framework_node)
        write_offer(w, o);
    jw_end_array(w);
    jw_key(w, "executors");
    jw_begin_array(w);
    LIST_FOREACH (e, &f->executors, struct executor, framework_node)
        write_executor(c, w, e);
    jw_end_array(w);
    write_labels(w, info->labels);
    if (f->constraints)
        field_message(w, "offer_constraints", &f->constraints->base);
    else {
        jw_key(w, "offer_constraints");
        jw_begin_object(w);
        jw_end_object(w);
    }
    jw_end_object(w);
}

/* ---- documents ---- */

static void empty_array(struct json_writer *w, const char *key)
{
    jw_key(w, key);
    jw_begin_array(w);
    jw_end_array(w);
}

static void write_state_head(const struct operator_call *c, struct json_writer *w)
{
    struct shell *s = c->s;
    const struct master_core *core = s->core;
    char pid[128];
    snprintf(pid, sizeof(pid), "master@%s:%u", s->ip, s->port);
    struct master_counts counts;
    master_core_counts(core, &counts);
    jw_field_string(w, "version", s->version);
    jw_field_string(w, "build_date", "");
    jw_field_double(w, "build_time", 0);
    jw_field_string(w, "build_user", "");
    field_time(w, "start_time", s->start_us);
    field_time(w, "elected_time", s->elected_us);
    jw_field_string(w, "id", s->master_id);
    jw_field_string(w, "pid", pid);
    jw_field_string(w, "hostname", s->hostname);
    jw_key(w, "capabilities");
    jw_begin_array(w);
    jw_string(w, "AGENT_UPDATE");
    jw_string(w, "AGENT_DRAINING");
    jw_string(w, "QUOTA_V2");
    jw_end_array(w);
    jw_field_double(w, "activated_slaves", (double)counts.agents_active);
    jw_field_double(w, "deactivated_slaves",
        (double)(counts.agents_connected + counts.agents_disconnected - counts.agents_active));
    jw_field_double(w, "unreachable_slaves", (double)counts.agents_unreachable);
    if (core->domain)
        field_message(w, "domain", &core->domain->base);
    jw_field_string(w, "leader", pid);
    jw_key(w, "leader_info");
    jw_begin_object(w);
    jw_field_string(w, "id", s->master_id);
    jw_field_string(w, "pid", pid);
    jw_field_i64(w, "port", s->port);
    jw_field_string(w, "hostname", s->hostname);
    if (core->domain)
        field_message(w, "domain", &core->domain->base);
    jw_end_object(w);
    if (s->cluster && c->view.flags)
        jw_field_string(w, "cluster", s->cluster);
    if (s->log_dir && c->view.flags)
        jw_field_string(w, "log_dir", s->log_dir);
    if (s->external_log_file && c->view.flags)
        jw_field_string(w, "external_log_file", s->external_log_file);
}

static void write_flag_object(struct shell *s, struct json_writer *w)
{
    jw_key(w, "flags");
    jw_begin_object(w);
    for (size_t i = 0; i < s->n_flags; i++)
        if (s->flags[i].value_text)
            jw_field_string(
                w, s->flags[i].name, s->flags[i].secret ? "[redacted]" : s->flags[i].value_text);
    jw_end_object(w);
}

static void write_framework_lists(
    const struct operator_call *c, struct json_writer *w, struct str only)
{
    const struct master_core *core = c->s->core;
    jw_key(w, "frameworks");
    jw_begin_array(w);
    MAP_FOREACH (e, &core->frameworks) {
        const struct framework *f = e->value;
        if ((!only.p || str_eq_c(only, f->id->text)) && view_framework(&c->view, f))
            write_framework(c, w, f);
    }
    jw_end_array(w);
    jw_key(w, "completed_frameworks");
    jw_begin_array(w);
    LIST_FOREACH (f, &core->completed_frameworks, struct framework, node) {
        if ((!only.p || str_eq_c(only, f->id->text)) && view_framework(&c->view, f))
            write_framework(c, w, f);
    }
    jw_end_array(w);
}

void write_state(const struct operator_call *c, struct json_writer *w)
{
    const struct master_core *core = c->s->core;
    jw_begin_object(w);
    write_state_head(c, w);
    if (c->view.flags)
        write_flag_object(c->s, w);
    jw_key(w, "slaves");
    jw_begin_array(w);
    MAP_FOREACH (e, &core->agents) {
        const struct agent *a = e->value;
        if (a->state != AGENT_REGISTERED)
            continue;
        jw_begin_object(w);
        write_agent_fields(c, w, a);
        jw_end_object(w);
    }
    jw_end_array(w);
    write_recovered(w, core);
    write_framework_lists(c, w, (struct str){0});
    empty_array(w, "orphan_tasks");
    empty_array(w, "unregistered_frameworks");
    jw_end_object(w);
}

void write_frameworks(const struct operator_call *c, struct json_writer *w)
{
    jw_begin_object(w);
    write_framework_lists(c, w, http_request_param(c->req, "framework_id"));
    empty_array(w, "unregistered_frameworks");
    jw_end_object(w);
}

static void field_wire_resources(struct json_writer *w, const char *key, const struct resources *r)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    size_t n;
    /* The endpoint format has both the stack and, where there is one, the old form. */
    Mesos__V1__Resource **both = resources_to_wire(r, 0, &arena, &n);
    Mesos__V1__Resource **old = resources_to_wire(r, RESOURCES_OLD_FORMAT, &arena, &n);
    for (size_t i = 0; i < n; i++) {
        old[i]->n_reservations = both[i]->n_reservations;
        old[i]->reservations = both[i]->reservations;
    }
    jw_key(w, key);
    jw_begin_array(w);
    for (size_t i = 0; i < n; i++)
        wire_to_json(w, &old[i]->base);
    jw_end_array(w);
}

static void field_wire_resources_if(struct json_writer *w, const char *key,
    const struct resources *r, resource_predicate keep, const void *userdata)
{
    _cleanup_resources_ struct resources some = RESOURCES_INIT;
    resources_filter(r, keep, userdata, &some);
    field_wire_resources(w, key, &some);
}

void write_slaves(const struct operator_call *c, struct json_writer *w)
{
    const struct master_core *core = c->s->core;
    struct str only = http_request_param(c->req, "slave_id");
    jw_begin_object(w);
    jw_key(w, "slaves");
    jw_begin_array(w);
    MAP_FOREACH (e, &core->agents) {
        const struct agent *a = e->value;
        if (a->state != AGENT_REGISTERED || (only.p && !str_eq_c(only, a->id->text)))
            continue;
        jw_begin_object(w);
        write_agent_fields(c, w, a);
        write_reservations(c, w, a, "reserved_resources_full", "unreserved_resources_full",
            field_wire_resources_if);
        field_wire_resources(w, "used_resources_full", &a->used);
        field_wire_resources(w, "offered_resources_full", &a->offered);
        jw_end_object(w);
    }
    jw_end_array(w);
    write_recovered(w, core);
    jw_end_object(w);
}

/* ---- /state-summary ---- */

static const Mesos__V1__TaskState summary_states[] = {
    MESOS__V1__TASK_STATE__TASK_STAGING,
    MESOS__V1__TASK_STATE__TASK_STARTING,
    MESOS__V1__TASK_STATE__TASK_RUNNING,
    MESOS__V1__TASK_STATE__TASK_KILLING,
    MESOS__V1__TASK_STATE__TASK_FINISHED,
    MESOS__V1__TASK_STATE__TASK_KILLED,
    MESOS__V1__TASK_STATE__TASK_FAILED,
    MESOS__V1__TASK_STATE__TASK_LOST,
    MESOS__V1__TASK_STATE__TASK_ERROR,
    MESOS__V1__TASK_STATE__TASK_UNREACHABLE,
};

struct summary {
    uint64_t by_state[16];
    struct map others; /* framework ids of an agent, agent ids of a framework */
};

static void summarise(const struct operator_call *c, struct map *by_agent,
    struct summary *framework, const struct task *t)
{
    if (!view_task(&c->view, t))
        return;
    if (t->state < 16)
        framework->by_state[t->state]++;
    map_put(&framework->others, t->agent_id->text, t->agent_id);
    struct summary *agent = map_get(by_agent, t->agent_id->text);
    if (!agent) {
        agent = xnew(struct summary);
        map_put(by_agent, t->agent_id->text, agent);
    }
    if (t->state < 16)
        agent->by_state[t->state]++;
    map_put(&agent->others, t->framework->id->text, t->framework);
}

static void summarise_framework(const struct operator_call *c, struct map *by_agent,
    struct summary *sum, const struct framework *f)
{
    size_t pos = 0;
    struct map_entry *e;
    while ((e = map_next(&f->tasks, &pos)))
        summarise(c, by_agent, sum, e->value);
    LIST_FOREACH (t, &f->unreachable, struct task, place_node)
        summarise(c, by_agent, sum, t);
    LIST_FOREACH (t, &f->completed, struct task, place_node)
        summarise(c, by_agent, sum, t);
}

static void write_summary(struct json_writer *w, const struct summary *sum, const char *ids)
{
    for (size_t i = 0; i < ARRAY_SIZE(summary_states); i++)
        jw_field_i64(w, task_state_name(summary_states[i]),
            sum ? (int64_t)sum->by_state[summary_states[i]] : 0);
    jw_key(w, ids);
    jw_begin_array(w);
    if (sum) {
        size_t pos = 0;
        struct map_entry *e;
        while ((e = map_next(&sum->others, &pos)))
            jw_string(w, e->key);
    }
    jw_end_array(w);
}

void write_state_summary(const struct operator_call *c, struct json_writer *w)
{
    const struct master_core *core = c->s->core;
    struct map by_agent = MAP_INIT;
    struct summary *frameworks = xnew_array(struct summary, map_size(&core->frameworks) + 1);
    size_t n = 0;
    MAP_FOREACH (e, &core->frameworks)
        summarise_framework(c, &by_agent, &frameworks[n++], e->value);

    jw_begin_object(w);
    jw_field_string(w, "hostname", c->s->hostname);
    if (c->s->cluster)
        jw_field_string(w, "cluster", c->s->cluster);
    jw_key(w, "slaves");
    jw_begin_array(w);
    MAP_FOREACH (e, &core->agents) {
        const struct agent *a = e->value;
        if (a->state != AGENT_REGISTERED)
            continue;
        jw_begin_object(w);
        write_agent_fields(c, w, a);
        write_summary(w, map_get(&by_agent, a->id->text), "framework_ids");
        jw_end_object(w);
    }
    jw_end_array(w);
    jw_key(w, "frameworks");
    jw_begin_array(w);
    n = 0;
    MAP_FOREACH (e, &core->frameworks) {
        const struct summary *sum = &frameworks[n++];
        if (!view_framework(&c->view, e->value))
            continue;
        jw_begin_object(w);
        write_framework_summary(w, e->value);
        write_summary(w, sum, "slave_ids");
        jw_end_object(w);
    }
    jw_end_array(w);
    jw_end_object(w);

    for (size_t i = 0; i < n; i++)
        map_done(&frameworks[i].others);
    free(frameworks);
    MAP_FOREACH (e, &by_agent) {
        struct summary *sum = e->value;
        map_done(&sum->others);
        free(sum);
    }
    map_done(&by_agent);
}

/* ---- small ones ---- */

void write_flags(const struct operator_call *c, struct json_writer *w)
{
    jw_begin_object(w);
    write_flag_object(c->s, w);
    jw_end_object(w);
}

void write_version(const struct operator_call *c, struct json_writer *w)
{
    jw_begin_object(w);
    process_write_version(w, c->s->version);
    jw_end_object(w);
}
