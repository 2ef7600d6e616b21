#include <errno.h>

#include "agent/view.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "kernel/operation.h"
#include "wire/agent.pb-c.h"

/* POST /api/v1: the operator's questions. */

typedef Mesos__V1__Agent__Call Call;
typedef Mesos__V1__Agent__Response Response;

static const char type_json[] = "application/json";
static const char type_protobuf[] = "application/x-protobuf";
static const char type_recordio[] = "application/recordio";

#define ADD(arena, count, items, item)                                                             \
    do {                                                                                           \
        if (((count) & ((count)-1)) == 0) {                                                        \
            void *add_more = arena_alloc(arena, (count ? (count)*2 : 1) * sizeof(*(items)));       \
            if (count)                                                                             \
                memcpy(add_more, items, (count) * sizeof(*(items)));                               \
            (items) = add_more;                                                                    \
        }                                                                                          \
        (items)[(count)++] = (item);                                                               \
    } while (0)

static void respond(struct http_request *req, const Response *response)
{
    struct str accept = http_headers_join(&req->headers, "Accept", &req->arena);
    struct buf out = BUF_INIT;
    if (http_accepts(accept, type_json)) {
        struct json_writer w;
        jw_init(&w, &out);
        wire_to_json(&w, &response->base);
        http_respond_json(req, 200, &out);
    } else {
        wire_pack(&response->base, &out);
        http_respond(req, 200, type_protobuf, out.p, out.n);
    }
    buf_done(&out);
}

/* ---- state ---- */

static Mesos__V1__Agent__Response__GetFrameworks *get_frameworks(
    struct agent *a, const struct http_request *req, struct arena *arena)
{
    typedef Mesos__V1__Agent__Response__GetFrameworks__Framework Framework;
    Mesos__V1__Agent__Response__GetFrameworks *g = arena_new(
        arena, Mesos__V1__Agent__Response__GetFrameworks);
    mesos__v1__agent__response__get_frameworks__init(g);
    MAP_FOREACH (entry, &a->core->frameworks) {
        if (!agent_sees_framework(a, req, entry->value))
            continue;
        Framework *f = arena_new(arena, Framework);
        mesos__v1__agent__response__get_frameworks__framework__init(f);
        f->framework_info = view_framework_info(entry->value, arena);
        ADD(arena, g->n_frameworks, g->frameworks, f);
    }
    LIST_FOREACH (gone, &a->core->completed_frameworks, struct agent_framework, node) {
        if (!agent_sees_framework(a, req, gone))
            continue;
        Framework *f = arena_new(arena, Framework);
        mesos__v1__agent__response__get_frameworks__framework__init(f);
        f->framework_info = view_framework_info(gone, arena);
        ADD(arena, g->n_completed_frameworks, g->completed_frameworks, f);
    }
    return g;
}

/* Calls the two functions for all executors and tasks, those of the past included. */
struct visitor {
    void (*executor)(struct visitor *v, struct agent_executor *e, bool completed);
    void (*task)(struct visitor *v, struct agent_task *t);
    struct agent *agent;
    const struct http_request *req; /* whose caller is shown it */
    struct arena *arena;
    void *result;
};

static void visit_executor(struct visitor *v, struct agent_executor *e, bool completed)
{
    if (v->executor)
        v->executor(v, e, completed);
    if (!v->task)
        return;
    LIST_FOREACH (t, &e->tasks, struct agent_task, node)
        v->task(v, t);
    LIST_FOREACH (c, &e->completed_tasks, struct agent_task, node)
        v->task(v, c);
}

static void visit_framework(struct visitor *v, struct agent_framework *f)
{
    MAP_FOREACH (entry, &f->executors)
        visit_executor(v, entry->value, false);
    LIST_FOREACH (c, &f->completed, struct agent_executor, node)
        visit_executor(v, c, true);
}

static void visit(struct agent *a, struct visitor *v)
{
    MAP_FOREACH (entry, &a->core->frameworks)
        visit_framework(v, entry->value);
    LIST_FOREACH (gone, &a->core->completed_frameworks, struct agent_framework, node)
        visit_framework(v, gone);
}

static void add_executor(struct visitor *v, struct agent_executor *e, bool completed)
{
    typedef Mesos__V1__Agent__Response__GetExecutors__Executor Executor;
    Mesos__V1__Agent__Response__GetExecutors *g = v->result;
    if (!agent_sees_executor(v->agent, v->req, e))
        return;
    Executor *x = arena_new(v->arena, Executor);
    mesos__v1__agent__response__get_executors__executor__init(x);
    x->executor_info = view_executor_info(e, v->arena);
    if (completed)
        ADD(v->arena, g->n_completed_executors, g->completed_executors, x);
    else
        ADD(v->arena, g->n_executors, g->executors, x);
}

static Mesos__V1__Agent__Response__GetExecutors *get_executors(
    struct agent *a, const struct http_request *req, struct arena *arena)
{
    Mesos__V1__Agent__Response__GetExecutors *g = arena_new(
        arena, Mesos__V1__Agent__Response__GetExecutors);
    mesos__v1__agent__response__get_executors__init(g);
    struct visitor v = {
        .executor = add_executor, .agent = a, .req = req, .arena = arena, .result = g};
    visit(a, &v);
    return g;
}

static void add_task(struct visitor *v, struct agent_task *t)
{
    Mesos__V1__Agent__Response__GetTasks *g = v->result;
    Mesos__V1__Task *task = view_task(t, v->arena);
    if (!task || !agent_sees_task(v->agent, v->req, t))
        return;
    switch (t->phase) {
    case AGENT_TASK_QUEUED:
        ADD(v->arena, g->n_queued_tasks, g->queued_tasks, task);
        break;
    case AGENT_TASK_LAUNCHED:
        ADD(v->arena, g->n_launched_tasks, g->launched_tasks, task);
        break;
    case AGENT_TASK_TERMINATED:
        ADD(v->arena, g->n_terminated_tasks, g->terminated_tasks, task);
        break;
    case AGENT_TASK_COMPLETED:
        ADD(v->arena, g->n_completed_tasks, g->completed_tasks, task);
        break;
    }
}

static Mesos__V1__Agent__Response__GetTasks *get_tasks(
    struct agent *a, const struct http_request *req, struct arena *arena)
{
    Mesos__V1__Agent__Response__GetTasks *g = arena_new(
        arena, Mesos__V1__Agent__Response__GetTasks);
    mesos__v1__agent__response__get_tasks__init(g);
    struct visitor v = {.task = add_task, .agent = a, .req = req, .arena = arena, .result = g};
    visit(a, &v);
    return g;
}

/* ---- the daemon ---- */

struct metrics_list {
    struct arena *arena;
    Mesos__V1__Agent__Response__GetMetrics *g;
};

static void add_metric(const char *name, double value, void *userdata)
{
    struct metrics_list *l = userdata;
    Mesos__V1__Metric *m = arena_new(l->arena, Mesos__V1__Metric);
    mesos__v1__metric__init(m);
    m->name = arena_strdup(l->arena, name);
    m->has_value = true;
    m->value = value;
    ADD(l->arena, l->g->n_metrics, l->g->metrics, m);
}

static Mesos__V1__Agent__Response__GetFlags *get_flags(struct agent *a, struct arena *arena)
{
    Mesos__V1__Agent__Response__GetFlags *g = arena_new(
        arena, Mesos__V1__Agent__Response__GetFlags);
    mesos__v1__agent__response__get_flags__init(g);
    for (size_t i = 0; i < a->n_flags; i++) {
        if (!a->flags[i].value_text)
            continue;
        Mesos__V1__Flag *f = arena_new(arena, Mesos__V1__Flag);
        mesos__v1__flag__init(f);
        f->name = arena_strdup(arena, a->flags[i].name);
        f->value = arena_strdup(arena, a->flags[i].secret ? "***" : a->flags[i].value_text);
        ADD(arena, g->n_flags, g->flags, f);
    }
    return g;
}

/* 403 when the caller may not read there. */
static bool may_read(struct agent *a, struct http_request *req, const char *path)
{
    if (agent_sees_files(a, req, str_of(path)))
        return true;
    http_respond_text(req, 403, "403 Forbidden.");
    return false;
}

static void list_files(struct agent *a, struct http_request *req, const Call *call)
{
    if (!may_read(a, req, call->list_files->path))
        return;
    struct files_list list = {0};
    struct error err = ERROR_INIT;
    int r = files_list(&a->files, str_of(call->list_files->path), &list, &err);
    if (r < 0)
        return http_respond_text(req, files_status(r), "%s", err.msg);
    Mesos__V1__Agent__Response__ListFiles g = MESOS__V1__AGENT__RESPONSE__LIST_FILES__INIT;
    VEC_FOREACH (e, &list.entries) {
        Mesos__V1__FileInfo *f = arena_new(&req->arena, Mesos__V1__FileInfo);
        mesos__v1__file_info__init(f);
        f->path = e->path;
        f->has_nlink = true;
        f->nlink = (int32_t)e->st.st_nlink;
        f->has_size = true;
        f->size = (uint64_t)e->st.st_size;
        f->mtime = arena_new(&req->arena, Mesos__V1__TimeInfo);
        mesos__v1__time_info__init(f->mtime);
        f->mtime->has_nanoseconds = true;
        f->mtime->nanoseconds = (int64_t)e->st.st_mtim.tv_sec * 1000000000;
        f->has_mode = true;
        f->mode = e->st.st_mode;
        f->uid = e->uid;
        f->gid = e->gid;
        ADD(&req->arena, g.n_file_infos, g.file_infos, f);
    }
    Response response = MESOS__V1__AGENT__RESPONSE__INIT;
    response.has_type = true;
    response.type = MESOS__V1__AGENT__RESPONSE__TYPE__LIST_FILES;
    response.list_files = &g;
    respond(req, &response);
    files_list_done(&list);
}

static void read_file(struct agent *a, struct http_request *req, const Call *call)
{
    const Mesos__V1__Agent__Call__ReadFile *q = call->read_file;
    if (!may_read(a, req, q->path))
        return;
    struct buf data = BUF_INIT;
    struct error err = ERROR_INIT;
    int64_t size = 0;
    if (q->offset > INT64_MAX || (q->has_length && q->length > INT64_MAX))
        return http_respond_text(req, 400, "Offset or length is too large");
    int r = files_read(&a->files, str_of(q->path), (int64_t)q->offset,
        q->has_length ? (int64_t)q->length : -1, &data, &size, &err);
    if (r < 0) {
        buf_done(&data);
        return http_respond_text(req, files_status(r), "%s", err.msg);
    }
    Mesos__V1__Agent__Response__ReadFile g = MESOS__V1__AGENT__RESPONSE__READ_FILE__INIT;
    g.has_size = true;
    g.size = (uint64_t)size;
    g.has_data = true;
    g.data = (ProtobufCBinaryData){.len = data.n, .data = (uint8_t *)data.p};
    Response response = MESOS__V1__AGENT__RESPONSE__INIT;
    response.has_type = true;
    response.type = MESOS__V1__AGENT__RESPONSE__TYPE__READ_FILE;
    response.read_file = &g;
    respond(req, &response);
    buf_done(&data);
}

/* Whether the caller may see every role that the operation is about. */
static bool sees_operation(
    struct agent *a, const struct http_request *req, const Mesos__V1__Operation *op)
{
    _cleanup_operation_change_ struct operation_change change = OPERATION_CHANGE_INIT;
    if (!op->info || operation_check(op->info, NULL) < 0 ||
        operation_convert(op->info, NULL, &change, NULL) < 0)
        return agent_sees_role(a, req, "*");
    RESOURCES_FOREACH(r, &change.consumed)
    if (!agent_sees_role(a, req, r->kind->role))
        return false;
    RESOURCES_FOREACH(r, &change.converted)
    if (!agent_sees_role(a, req, r->kind->role))
        return false;
    return true;
}

static void get_operations(
    struct agent *a, struct http_request *req, Mesos__V1__Agent__Response__GetOperations *ret)
{
    ret->operations = arena_new_array(
        &req->arena, Mesos__V1__Operation *, map_size(&a->core->operations));
    MAP_FOREACH (entry, &a->core->operations) {
        const struct agent_operation *op = entry->value;
        ProtobufCMessage *m;
        if (wire_unpack(&mesos__v1__operation__descriptor, &req->arena, op->message.p,
                op->message.n, &m, NULL) >= 0 &&
            sees_operation(a, req, (Mesos__V1__Operation *)m))
            ret->operations[ret->n_operations++] = (Mesos__V1__Operation *)m;
    }
}

/* ---- calls ---- */

/* The field that must be there and is not, or NULL. */
static const char *missing_field(const Call *c)
{
    if (!c->has_type)
        return "type";
    if (c->type == MESOS__V1__AGENT__CALL__TYPE__GET_CONTAINERS)
        return NULL; /* its options may be left out */
    return wire_missing_of_type(&c->base, &mesos__v1__agent__call__type__descriptor, (int)c->type);
}

static void fill_version(Mesos__V1__VersionInfo *v)
{
    v->version = (char *)(uintptr_t)DCOS_MESOS_VERSION;
    v->build_date = (char *)(uintptr_t) "";
    v->has_build_time = true;
    v->build_user = (char *)(uintptr_t) "";
}

static void set_logging_level(struct agent *a, struct http_request *req, const Call *call)
{
    const Mesos__V1__Agent__Call__SetLoggingLevel *set = call->set_logging_level;
    int64_t nanoseconds = set->duration->nanoseconds;
    struct error err = ERROR_INIT;
    if (log_toggle_set(&a->log_toggle, set->level,
            nanoseconds < 0 ? -1 : nanoseconds / NSEC_PER_USEC, &err) < 0)
        http_respond_text(req, 400, "%s", err.msg);
    else
        http_respond(req, 200, NULL, NULL, 0);
}

static void handle(struct agent *a, struct http_request *req, const Call *call)
{
    struct arena *arena = &req->arena;
    Response r = MESOS__V1__AGENT__RESPONSE__INIT;
    Mesos__V1__Agent__Response__GetHealth health = MESOS__V1__AGENT__RESPONSE__GET_HEALTH__INIT;
    Mesos__V1__Agent__Response__GetVersion version = MESOS__V1__AGENT__RESPONSE__GET_VERSION__INIT;
    Mesos__V1__VersionInfo version_info = MESOS__V1__VERSION_INFO__INIT;
    Mesos__V1__Agent__Response__GetMetrics metrics = MESOS__V1__AGENT__RESPONSE__GET_METRICS__INIT;
    Mesos__V1__Agent__Response__GetLoggingLevel level =
        MESOS__V1__AGENT__RESPONSE__GET_LOGGING_LEVEL__INIT;
    Mesos__V1__Agent__Response__GetState state = MESOS__V1__AGENT__RESPONSE__GET_STATE__INIT;
    Mesos__V1__Agent__Response__GetOperations operations =
        MESOS__V1__AGENT__RESPONSE__GET_OPERATIONS__INIT;
    Mesos__V1__Agent__Response__GetResourceProviders providers =
        MESOS__V1__AGENT__RESPONSE__GET_RESOURCE_PROVIDERS__INIT;
    Mesos__V1__Agent__Response__GetAgent agent = MESOS__V1__AGENT__RESPONSE__GET_AGENT__INIT;
    r.has_type = true;
    switch (call->type) {
    case MESOS__V1__AGENT__CALL__TYPE__GET_HEALTH:
        r.type = MESOS__V1__AGENT__RESPONSE__TYPE__GET_HEALTH;
        health.has_healthy = health.healthy = true;
        r.get_health = &health;
        break;
    case MESOS__V1__AGENT__CALL__TYPE__GET_FLAGS:
        if (!agent_may(a, req, AUTH_VIEW_FLAGS, NULL))
            return;
        r.type = MESOS__V1__AGENT__RESPONSE__TYPE__GET_FLAGS;
        r.get_flags = get_flags(a, arena);
        break;
    case MESOS__V1__AGENT__CALL__TYPE__GET_VERSION:
        r.type = MESOS__V1__AGENT__RESPONSE__TYPE__GET_VERSION;
        fill_version(&version_info);
        version.version_info = &version_info;
        r.get_version = &version;
        break;
    case MESOS__V1__AGENT__CALL__TYPE__GET_METRICS: {
        struct metrics_list list = {.arena = arena, .g = &metrics};
        view_metrics(a, add_metric, &list);
        r.type = MESOS__V1__AGENT__RESPONSE__TYPE__GET_METRICS;
        r.get_metrics = &metrics;
        break;
    }
    case MESOS__V1__AGENT__CALL__TYPE__GET_LOGGING_LEVEL:
        r.type = MESOS__V1__AGENT__RESPONSE__TYPE__GET_LOGGING_LEVEL;
        level.has_level = true;
        level.level = a->log_toggle.level;
        r.get_logging_level = &level;
        break;
    case MESOS__V1__AGENT__CALL__TYPE__SET_LOGGING_LEVEL:
        if (!agent_may(a, req, AUTH_SET_LOG_LEVEL, NULL))
            return;
        return set_logging_level(a, req, call);
    case MESOS__V1__AGENT__CALL__TYPE__LIST_FILES:
        return list_files(a, req, call);
    case MESOS__V1__AGENT__CALL__TYPE__READ_FILE:
        return read_file(a, req, call);
    case MESOS__V1__AGENT__CALL__TYPE__GET_STATE:
        r.type = MESOS__V1__AGENT__RESPONSE__TYPE__GET_STATE;
        state.get_tasks = get_tasks(a, req, arena);
        state.get_executors = get_executors(a, req, arena);
        state.get_frameworks = get_frameworks(a, req, arena);
        r.get_state = &state;
        break;
    case MESOS__V1__AGENT__CALL__TYPE__GET_CONTAINERS:
        r.type = MESOS__V1__AGENT__RESPONSE__TYPE__GET_CONTAINERS;
        r.get_containers = view_containers(a, req,
            call->get_containers && call->get_containers->has_show_nested &&
                call->get_containers->show_nested,
            arena);
        break;
    case MESOS__V1__AGENT__CALL__TYPE__GET_FRAMEWORKS:
        r.type = MESOS__V1__AGENT__RESPONSE__TYPE__GET_FRAMEWORKS;
        r.get_frameworks = get_frameworks(a, req, arena);
        break;
    case MESOS__V1__AGENT__CALL__TYPE__GET_EXECUTORS:
        r.type = MESOS__V1__AGENT__RESPONSE__TYPE__GET_EXECUTORS;
        r.get_executors = get_executors(a, req, arena);
        break;
    case MESOS__V1__AGENT__CALL__TYPE__GET_OPERATIONS:
        r.type = MESOS__V1__AGENT__RESPONSE__TYPE__GET_OPERATIONS;
        get_operations(a, req, &operations);
        r.get_operations = &operations;
        break;
    case MESOS__V1__AGENT__CALL__TYPE__GET_RESOURCE_PROVIDERS:
        r.type = MESOS__V1__AGENT__RESPONSE__TYPE__GET_RESOURCE_PROVIDERS;
        r.get_resource_providers = &providers;
        break;
    case MESOS__V1__AGENT__CALL__TYPE__GET_TASKS:
        r.type = MESOS__V1__AGENT__RESPONSE__TYPE__GET_TASKS;
        r.get_tasks = get_tasks(a, req, arena);
        break;
    case MESOS__V1__AGENT__CALL__TYPE__GET_AGENT:
        r.type = MESOS__V1__AGENT__RESPONSE__TYPE__GET_AGENT;
        agent.agent_info = view_agent_info(a, arena);
        agent.drain_config = view_drain_config(a, arena);
        if (agent.drain_config) {
            agent.estimated_drain_start_time = arena_new(arena, Mesos__V1__TimeInfo);
            mesos__v1__time_info__init(agent.estimated_drain_start_time);
            agent.estimated_drain_start_time->has_nanoseconds = true;
            agent.estimated_drain_start_time->nanoseconds = a->core->drain_start_wall_us *
                                                            NSEC_PER_USEC;
        }
        r.get_agent = &agent;
        break;
    default:
        return http_respond_text(req, 501, "This agent does not serve %s",
            wire_enum_name(&mesos__v1__agent__call__type__descriptor, (int)call->type));
    }
    respond(req, &r);
}

/* Calls by name in the audit log; those that only look are written when they are refused. */
static void note(struct agent *a, struct http_request *req, const Call *call)
{
    const char *name = wire_enum_name(&mesos__v1__agent__call__type__descriptor, (int)call->type);
    bool looks = !name || has_prefix(name, "GET_") || streq(name, "LIST_FILES") ||
                 streq(name, "READ_FILE");
    gate_note(
        &a->security.gate, req, arena_printf(&req->arena, "POST /api/v1 %s", name), NULL, !looks);
}

static void collected(struct http_request *req)
{
    struct agent *a = req->userdata;
    req->userdata = NULL;
    struct error err = ERROR_INIT;
    ProtobufCMessage *m;
    const ProtobufCMessageDescriptor *descriptor = &mesos__v1__agent__call__descriptor;
    bool json = str_eq_c(http_media_type(http_request_header(req, "Content-Type")), type_json);
    int r = json ? wire_parse_json(descriptor, &req->arena, req->body.p, req->body.n, &m, &err)
                 : wire_unpack(descriptor, &req->arena, req->body.p, req->body.n, &m, &err);
    if (r >= 0)
        r = wire_check_required(m, &err);
    if (r < 0)
        return http_respond_text(req, 400, "Failed to parse body into Call: %s", err.msg);
    const char *missing = missing_field((const Call *)m);
    if (missing)
        return http_respond_text(
            req, 400, "Failed to validate agent::Call: Expecting '%s' to be present", missing);
    const Mesos__V1__Agent__Call__Type kind = ((const Call *)m)->type;
    if (kind == MESOS__V1__AGENT__CALL__TYPE__ATTACH_CONTAINER_INPUT)
        return http_respond_text(
            req, 415, "Expecting 'Content-Type' to be %s for this call", type_recordio);
    bool streams = kind == MESOS__V1__AGENT__CALL__TYPE__ATTACH_CONTAINER_OUTPUT ||
                   kind == MESOS__V1__AGENT__CALL__TYPE__LAUNCH_NESTED_CONTAINER_SESSION;
    struct str accept = http_headers_join(&req->headers, "Accept", &req->arena);
    if (!streams && !http_accepts(accept, type_json) && !http_accepts(accept, type_protobuf))
        return http_respond_text(
            req, 406, "Expecting 'Accept' to allow '%s' or '%s'", type_protobuf, type_json);
    note(a, req, (const Call *)m);
    handle(a, req, (const Call *)m);
}

/* Of records or of what carries them; both headers about messages go with RecordIO only. 0, or the
 * status of the answer that was given. */
static int check_headers(struct http_request *req)
{
    struct str type = http_media_type(http_request_header(req, "Content-Type"));
    struct str of_messages = http_media_type(http_request_header(req, "Message-Content-Type"));
    bool known = str_eq_c(type, type_json) || str_eq_c(type, type_protobuf);
    if (!type.p) {
        http_respond_text(req, 400, "Expecting 'Content-Type' to be present");
        return 400;
    }
    if (str_eq_c(type, type_recordio) && !of_messages.p) {
        http_respond_text(
            req, 400, "Expecting 'Message-Content-Type' to be present with %s", type_recordio);
        return 400;
    }
    if (known && of_messages.p) {
        http_respond_text(req, 415, "'Message-Content-Type' is for %s only", type_recordio);
        return 415;
    }
    if (!known) { /* RecordIO too: input of containers is all that it is for */
        http_respond_text(
            req, 415, "Expecting 'Content-Type' of %s or %s", type_json, type_protobuf);
        return 415;
    }
    struct str accept = http_headers_join(&req->headers, "Accept", &req->arena);
    bool records = http_accepts(accept, type_recordio);
    if (!records && !http_accepts(accept, type_json) && !http_accepts(accept, type_protobuf)) {
        http_respond_text(req, 406, "Expecting 'Accept' to allow '%s' or '%s' or '%s'",
            type_protobuf, type_json, type_recordio);
        return 406;
    }
    if (http_request_header(req, "Message-Accept").p && !records) {
        http_respond_text(req, 406, "'Message-Accept' is for 'Accept' of %s only", type_recordio);
        return 406;
    }
    return 0;
}

void view_api(struct http_request *req, void *userdata)
{
    if (req->method != HTTP_POST) {
        http_set_header(req, "Allow", "POST");
        return http_respond_text(
            req, 405, "Expecting 'POST', received '" STR_FMT "'", STR_ARG(req->method_name));
    }
    if (check_headers(req))
        return;
    req->userdata = userdata;
    http_request_collect(req, AGENT_API_BODY_MAX, collected);
}
