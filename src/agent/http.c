#include "agent/agent.h"

#include <stdio.h>

#include "agent/view.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "process/process.h"

/* Routes, and the small endpoints. Everything is reachable under /slave(1) as well. */

enum { SOCKET_MODE = 0666 /* callers are told apart by their credentials */ };

static void health(struct http_request *req, void *userdata)
{
    (void)userdata;
    http_respond(req, 200, NULL, NULL, 0);
}

static void version(struct http_request *req, void *userdata)
{
    (void)userdata;
    struct buf out = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &out);
    jw_begin_object(&w);
    process_write_version(&w, DCOS_MESOS_VERSION);
    jw_end_object(&w);
    http_respond_jsonp(req, &out);
    buf_done(&out);
}

static void flags(struct http_request *req, void *userdata)
{
    struct agent *a = userdata;
    if (!agent_may(a, req, AUTH_VIEW_FLAGS, NULL))
        return;
    struct buf out = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &out);
    jw_begin_object(&w);
    jw_key(&w, "flags");
    jw_begin_object(&w);
    for (size_t i = 0; i < a->n_flags; i++)
        if (a->flags[i].value_text)
            jw_field_string(
                &w, a->flags[i].name, a->flags[i].secret ? "***" : a->flags[i].value_text);
    jw_end_object(&w);
    jw_end_object(&w);
    http_respond_jsonp(req, &out);
    buf_done(&out);
}

static void state(struct http_request *req, void *userdata)
{
    struct buf out = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &out);
    view_state(userdata, req, &w);
    http_respond_jsonp(req, &out);
    buf_done(&out);
}

static void write_container(
    struct agent *a, struct json_writer *w, const struct agent_executor *e, bool whole)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    const Mesos__V1__ExecutorInfo *info = view_executor_info(e, &arena);
    const Mesos__V1__ResourceStatistics *statistics = view_statistics(a, e, &arena);
    if (!whole && !statistics)
        return;
    jw_begin_object(w);
    if (whole)
        jw_field_string(w, "container_id", e->container_id);
    jw_field_string(w, "executor_id", e->id);
    jw_field_string(w, "executor_name", info && info->name ? info->name : "");
    jw_field_string(w, "framework_id", e->framework->id);
    jw_field_string(w, "source", info && info->source ? info->source : "");
    if (statistics) {
        jw_key(w, "statistics");
        wire_to_json(w, &statistics->base);
    }
    if (whole) {
        jw_key(w, "status");
        wire_to_json(w, &view_container_status(a, e, &arena)->base);
    }
    jw_end_object(w);
}

static void write_containers(struct http_request *req, struct agent *a, bool whole,
    struct str container, struct str framework, struct str executor)
{
    struct buf out = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &out);
    jw_begin_array(&w);
    MAP_FOREACH (entry, &a->core->containers) {
        const struct agent_executor *e = entry->value;
        if (e->state == AGENT_EXECUTOR_TERMINATED ||
            (container.n && !str_eq_c(container, e->container_id)) ||
            (framework.n && !str_eq_c(framework, e->framework->id)) ||
            (executor.n && !str_eq_c(executor, e->id)) || !agent_sees_container(a, req, e))
            continue;
        write_container(a, &w, e, whole);
    }
    jw_end_array(&w);
    http_respond_jsonp(req, &out);
    buf_done(&out);
}

static void containers(struct http_request *req, void *userdata)
{
    struct str container = http_request_param(req, "container_id");
    struct str framework = http_request_param(req, "framework_id");
    struct str executor = http_request_param(req, "executor_id");
    if ((container.n && (framework.n || executor.n)) || (executor.n && !framework.n))
        return http_respond_text(req, 400,
            "Give container_id alone, framework_id alone, or executor_id with framework_id\n");
    write_containers(req, userdata, true, container, framework, executor);
}

static void statistics(struct http_request *req, void *userdata)
{
    struct str none = {NULL, 0};
    write_containers(req, userdata, false, none, none, none);
}

static void containerizer_debug(struct http_request *req, void *userdata)
{
    struct agent *a = userdata;
    struct buf out = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &out);
    jw_begin_object(&w);
    jw_key(&w, "pending");
    jw_begin_array(&w);
    MAP_FOREACH (entry, &a->launches) {
        jw_begin_object(&w);
        jw_field_string(&w, "operation", "launch");
        jw_key(&w, "args");
        jw_begin_object(&w);
        jw_field_string(&w, "containerId", entry->key);
        jw_end_object(&w);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    jw_end_object(&w);
    http_respond_jsonp(req, &out);
    buf_done(&out);
}

/* ---- the door ---- */

/* Who is asked for what, by path: the first whose path is the beginning of the request's. */
static const struct door {
    const char *path;
    enum gate_kind kind;
    const char *realm;
    bool guarded; /* the path itself is an object of the rules */
} doors[] = {
    {"/api/v1/executor", GATE_OPEN, NULL}, /* executors show tokens of their own */
    {"/api/v1", GATE_WRITE, "mesos-agent-readwrite"},
    {"/health", GATE_OPEN, NULL},
    {"/version", GATE_OPEN, NULL},
    {"/containers", GATE_READ, "mesos-agent-readonly", true},
    {"/containerizer/debug", GATE_READ, "mesos-agent-readonly", true},
    {"/files/debug", GATE_READ, "mesos-agent-readonly", true},
    {"/logging/toggle", GATE_WRITE, "mesos-agent-readwrite", true},
    {"/system/stats.json", GATE_OPEN, NULL},
    {"/help", GATE_OPEN, NULL},
    {"/__processes__", GATE_OPEN, NULL},
    {"/metrics/snapshot", GATE_READ, "mesos-agent-readonly", true},
    {"/monitor/statistics", GATE_READ, "mesos-agent-readonly", true},
    {"/", GATE_READ, "mesos-agent-readonly"},
};

static bool enter(struct agent *a, struct http_request *req)
{
    struct gate *g = &a->security.gate;
    const struct door *d = doors;
    while (!str_has_prefix(req->path, str_of(d->path)))
        d++;
    gate_note(g, req,
        arena_printf(
            &req->arena, STR_FMT " " STR_FMT, STR_ARG(req->method_name), STR_ARG(req->path)),
        NULL, d->kind == GATE_WRITE && d->guarded);
    if (d->realm && (!gate_enter(g, req, d->kind, d->realm) || !gate_named(req)))
        return false;
    return !d->guarded || agent_may(a, req, AUTH_GET_ENDPOINT, d->path);
}

static void dispatch(struct http_request *req, void *userdata)
{
    enum { GET = 1u << HTTP_GET };
    struct agent *a = userdata;
    static const struct http_route routes[] = {
        {0, "/api/v1/executor", agent_executor_api, 0},
        {0, "/api/v1", view_api, 0},
        {0, "/health", health, 0},
        {GET, "/version", version, 0},
        {GET, "/flags", flags, 0},
        {GET, "/state", state, 0},
        {GET, "/state.json", state, 0},
        {GET, "/containers", containers, 0},
        {GET, "/containerizer/debug", containerizer_debug, 0},
        {GET, "/monitor/statistics", statistics, 0},
        {GET, "/monitor/statistics.json", statistics, 0},
    };
    static const struct str prefix = {"/slave(1)/", 10};
    if (str_has_prefix(req->path, prefix)) {
        req->path.p += prefix.n - 1;
        req->path.n -= prefix.n - 1;
    }
    if (!gate_passable(&a->security.gate, req))
        return;
    if (req->path.n && req->path.p[0] == '/' && !enter(a, req))
        return;
    if (!agent_process_http(userdata, req))
        http_route(req, routes, ARRAY_SIZE(routes), userdata);
}

int agent_http_start(struct agent *a, struct error *err)
{
    struct http_server_options options = {0};
    a->server = http_server_new(a->loop, &options, dispatch, a);
    int r = http_server_listen(a->server, a->settings.ip, a->settings.port,
        a->security.gate.transport.server, &a->port, err);
    if (r < 0)
        return r;
    return http_server_listen_unix(a->server, a->socket_path, SOCKET_MODE, err);
}
