#include "exhibitor/api.h"

#include "base/alloc.h"
#include "json/writer.h"

enum { PEER_PORT = 2888, ELECTION_PORT = 3888 };

/* Exhibitor's names of what a server does. */
static const struct state {
    int code;
    const char *text;
} g_down = {1, "down"}, g_not_serving = {2, "not serving"}, g_serving = {3, "serving"};

static const struct state *state_of(enum answer a)
{
    return a == ANSWER_NONE ? &g_down : answer_serves(a) ? &g_serving : &g_not_serving;
}

static bool leads(enum answer a)
{
    return a == ANSWER_LEADER || a == ANSWER_STANDALONE;
}

static ssize_t find(const struct view *v, struct str host)
{
    if (str_eq_c(host, "localhost"))
        host = str_of(v->address);
    for (size_t i = 0; i < v->document.n_members; i++)
        if (str_eq_c(host, v->document.members[i].address))
            return (ssize_t)i;
    return -1;
}

void api_write_status(const struct view *v, struct buf *ret)
{
    struct json_writer w;
    jw_init(&w, ret);
    jw_begin_array(&w);
    for (size_t i = 0; i < v->document.n_members; i++) {
        jw_begin_object(&w);
        jw_field_i64(&w, "code", state_of(v->answers[i])->code);
        jw_field_string(&w, "description", state_of(v->answers[i])->text);
        jw_field_string(&w, "hostname", v->document.members[i].address);
        jw_field_bool(&w, "isLeader", leads(v->answers[i]));
        jw_end_object(&w);
    }
    jw_end_array(&w);
}

void api_write_list(const struct view *v, uint16_t port, struct buf *ret)
{
    struct json_writer w;
    jw_init(&w, ret);
    jw_begin_object(&w);
    jw_key(&w, "servers");
    jw_begin_array(&w);
    for (size_t i = 0; i < v->document.n_members; i++)
        jw_string(&w, v->document.members[i].address);
    jw_end_array(&w);
    jw_field_i64(&w, "port", port);
    jw_end_object(&w);
}

static void write_form(const struct view *v, uint16_t port, struct buf *ret)
{
    buf_printf(ret, "count=%zu", v->document.n_members);
    for (size_t i = 0; i < v->document.n_members; i++)
        buf_printf(ret, "&server%zu=%s", i, v->document.members[i].address);
    buf_printf(ret, "&port=%u", port);
}

static void write_state(const struct view *v, ssize_t i, struct json_writer *w)
{
    static const char *const switches[] = {"restarts", "cleanup", "backups", "unlistedRestarts"};
    const enum answer a = i < 0 ? ANSWER_NONE : v->answers[i];
    jw_begin_object(w);
    jw_key(w, "switches");
    jw_begin_object(w);
    for (size_t s = 0; s < ARRAY_SIZE(switches); s++)
        jw_field_bool(w, switches[s], s < 2);
    jw_end_object(w);
    jw_field_i64(w, "state", i < 0 ? 0 : state_of(a)->code);
    jw_field_string(w, "description", i < 0 ? "latent" : state_of(a)->text);
    jw_field_bool(w, "isLeader", leads(a));
    jw_end_object(w);
}

void api_write_config(const struct view *v, uint16_t port, struct buf *ret)
{
    struct json_writer w;
    char ensemble[ENSEMBLE_TEXT_MAX];
    ssize_t self = find(v, str_of(v->address));
    size_t done = 0;
    document_ensemble(&v->document, ensemble);
    for (size_t i = 0; i < v->document.n_members; i++)
        done += v->document.members[i].applied == v->document.generation;
    jw_init(&w, ret);
    jw_begin_object(&w);
    jw_field_string(&w, "version", DCOS_VERSION);
    jw_field_bool(&w, "running", self >= 0 && v->answers[self] != ANSWER_NONE);
    jw_field_bool(&w, "backupActive", false);
    jw_field_string(&w, "extraHeadingText", NULL);
    jw_key(&w, "config");
    jw_begin_object(&w);
    jw_field_bool(&w, "rollInProgress", v->document.generation > 0 && !v->settled);
    jw_field_string(&w, "rollStatus", v->state);
    jw_field_i64(&w, "rollPercentDone",
        v->document.n_members ? (int64_t)(100 * done / v->document.n_members) : 0);
    jw_field_string(&w, "hostname", v->address);
    jw_field_i64(&w, "serverId", self < 0 ? -1 : (int64_t)v->document.members[self].id);
    jw_field_string(&w, "serversSpec", ensemble);
    jw_field_i64(&w, "clientPort", port);
    jw_field_i64(&w, "connectPort", PEER_PORT);
    jw_field_i64(&w, "electionPort", ELECTION_PORT);
    jw_field_i64(&w, "autoManageInstances", 1);
    jw_field_i64(&w, "autoManageInstancesFixedEnsembleSize", (int64_t)v->document.n_members);
    jw_end_object(&w);
    jw_end_object(&w);
}

/* ---- handlers ---- */

static void get_status(struct http_request *req, void *userdata)
{
    const struct api *a = userdata;
    struct view v;
    _cleanup_buf_ struct buf body = BUF_INIT;
    worker_view(a->worker, &v);
    api_write_status(&v, &body);
    http_respond_json(req, 200, &body);
}

static void get_list(struct http_request *req, void *userdata)
{
    static const char form[] = "application/x-www-form-urlencoded";
    const struct api *a = userdata;
    struct view v;
    struct str accept = http_request_header(req, "Accept");
    _cleanup_buf_ struct buf body = BUF_INIT;
    worker_view(a->worker, &v);
    if (!http_accepts(accept, "application/json") && http_accepts(accept, form)) {
        write_form(&v, a->client_port, &body);
        http_respond(req, 200, form, body.p, body.n);
        return;
    }
    api_write_list(&v, a->client_port, &body);
    http_respond_json(req, 200, &body);
}

static void get_state(struct http_request *req, void *userdata)
{
    const struct api *a = userdata;
    struct view v;
    struct json_writer w;
    struct str host = http_route_var(req, "host");
    _cleanup_buf_ struct buf body = BUF_INIT;
    worker_view(a->worker, &v);
    ssize_t i = find(&v, host.n ? host : str_of(v.address));
    jw_init(&w, &body);
    if (host.n) {
        jw_begin_object(&w);
        jw_key(&w, "response");
    }
    write_state(&v, i, &w);
    if (host.n) {
        jw_field_string(&w, "errorMessage", i < 0 ? "Unknown" : "");
        jw_field_bool(&w, "success", i >= 0);
        jw_end_object(&w);
    }
    http_respond_json(req, 200, &body);
}

static void get_config(struct http_request *req, void *userdata)
{
    const struct api *a = userdata;
    struct view v;
    _cleanup_buf_ struct buf body = BUF_INIT;
    worker_view(a->worker, &v);
    api_write_config(&v, a->client_port, &body);
    http_respond_json(req, 200, &body);
}

static void get_root(struct http_request *req, void *userdata)
{
    http_set_header(req, "Location", "/exhibitor/v1/ui/index.html");
    http_respond(req, 302, NULL, NULL, 0);
}

/* All of it is from valid addresses, numbers and our own words. */
static void get_page(struct http_request *req, void *userdata)
{
    const struct api *a = userdata;
    struct view v;
    _cleanup_buf_ struct buf body = BUF_INIT;
    worker_view(a->worker, &v);
    buf_printf(&body,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>ZooKeeper of "
        "%s</title></head>\n<body><h1>ZooKeeper servers</h1><p>%s: %s</p>\n<table>\n",
        v.address, v.address, v.state);
    for (size_t i = 0; i < v.document.n_members; i++)
        buf_printf(&body, "<tr><td>%u</td><td>%s</td><td>%s%s</td></tr>\n",
            v.document.members[i].id, v.document.members[i].address, state_of(v.answers[i])->text,
            leads(v.answers[i]) ? ", leads" : "");
    buf_puts(&body, "</table></body></html>\n");
    http_respond(req, 200, "text/html; charset=utf-8", body.p, body.n);
}

void api_handle(struct http_request *req, void *userdata)
{
    static const struct http_route routes[] = {
        {1u << HTTP_GET, "/exhibitor/v1/cluster/status", get_status},
        {1u << HTTP_GET, "/exhibitor/v1/cluster/list", get_list},
        {1u << HTTP_GET, "/exhibitor/v1/cluster/state", get_state},
        {1u << HTTP_GET, "/exhibitor/v1/cluster/state/:host", get_state},
        {1u << HTTP_GET, "/exhibitor/v1/config/get-state", get_config},
        {1u << HTTP_GET, "/exhibitor/v1/ui/index.html", get_page},
        {1u << HTTP_GET, "/", get_root},
    };
    (void)http_route(req, routes, ARRAY_SIZE(routes), userdata);
}
