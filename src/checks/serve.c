#include "checks/serve.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/parse.h"
#include "checks/runner.h"
#include "http/server.h"

enum {
    BODY_MAX = 256 * 1024,
    RUNS_MAX = 32, /* requests that run checks at a time */
    SYSTEMD_FIRST_FD = 3,
};

struct serve {
    const struct check_config *config;
    const struct serve_options *options;
    struct loop *loop;
    struct http_server *server;
    unsigned runs;
};

/* A request that waits for its checks. */
struct job {
    struct serve *serve;
    struct http_request *req;
    struct check_run *run;
};

static int type_of(struct http_request *req, enum check_type *ret)
{
    struct str name = http_route_var(req, "type");
    if (str_eq_c(name, "node"))
        *ret = CHECK_POSTSTART;
    else if (str_eq_c(name, "cluster"))
        *ret = CHECK_CLUSTER;
    else
        return -ENOENT;
    return 0;
}

/* 404 with the names that are not there; false when it answered. */
static bool all_there(const struct serve *s, struct http_request *req, struct check_choice *choice)
{
    const char **missing = arena_new_array(&req->arena, const char *, choice->n_names + 1);
    size_t n = check_missing(s->config, choice, missing);
    if (n == 0)
        return true;
    _cleanup_buf_ struct buf text = BUF_INIT;
    for (size_t i = 0; i < n; i++)
        buf_printf(&text, "%s%s", i ? " " : "", missing[i]);
    http_respond_text(req, 404, "missing checks: [%s]\n", buf_cstr(&text));
    return false;
}

static void not_a_type(struct http_request *req)
{
    http_respond_text(req, 404, "the kinds of checks are node and cluster\n");
}

/* Names of ?check= or of a form. */
static void names_of(
    struct http_request *req, const struct str *values, size_t n, struct check_choice *choice)
{
    const char **names = arena_new_array(&req->arena, const char *, n + 1);
    for (size_t i = 0; i < n; i++)
        names[i] = arena_strndup(&req->arena, values[i].p, values[i].n);
    choice->names = names;
    choice->n_names = n;
}

static void get_checks(struct http_request *req, void *userdata)
{
    struct serve *s = userdata;
    struct check_choice choice = {.role = s->options->role};
    struct str values[CHECK_ARGS_MAX];
    if (type_of(req, &choice.type) < 0) {
        not_a_type(req);
        return;
    }
    size_t n = http_request_param_all(req, "check", values, ARRAY_SIZE(values));
    if (n > ARRAY_SIZE(values)) {
        http_respond_text(req, 400, "more than %zu checks in one request\n", ARRAY_SIZE(values));
        return;
    }
    names_of(req, values, n, &choice);
    if (!all_there(s, req, &choice))
        return;
    _cleanup_buf_ struct buf body = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &body);
    check_list_write(s->config, &choice, &w);
    http_respond_json(req, 200, &body);
}

/* ---- running ---- */

static void on_done(struct check_run *run, void *userdata)
{
    struct job *job = userdata;
    _cleanup_buf_ struct buf body = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &body);
    check_run_write(run, &w);
    job->req->userdata = NULL; /* on_close has nothing left to end */
    http_respond_json(job->req, 200, &body);
    check_run_free(run);
    job->serve->runs--;
    http_request_unref(job->req);
    free(job);
}

/* Nobody waits for the answer any more: the checks need not go on. */
static void on_close(struct http_request *req)
{
    struct job *job = req->userdata;
    if (!job)
        return;
    req->userdata = NULL;
    check_run_free(job->run);
    job->serve->runs--;
    http_request_unref(req);
    free(job);
}

static int names_of_json(struct http_request *req, struct check_choice *choice)
{
    _cleanup_json_ json_t *body = NULL;
    if (json_parse(req->body.p, req->body.n, &body, NULL) < 0 || !json_is_object(body))
        return -EINVAL;
    const json_t *list = json_at(body, "check");
    if (!list || json_is_null(list))
        return 0;
    if (!json_is_array(list) || json_array_size(list) > CHECK_ARGS_MAX)
        return -EINVAL;
    struct str *values = arena_new_array(&req->arena, struct str, json_array_size(list) + 1);
    size_t i;
    json_t *value;
    json_array_foreach(list, i, value)
    {
        if (!json_is_string(value))
            return -EINVAL;
        values[i] = str_of(json_string_value(value));
    }
    names_of(req, values, json_array_size(list), choice); /* copies */
    return 0;
}

static int names_of_form(struct http_request *req, struct check_choice *choice)
{
    struct http_params params;
    if (http_params_parse(req->body, &req->arena, &params) < 0)
        return -EINVAL;
    struct str *values = arena_new_array(&req->arena, struct str, params.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < params.n; i++)
        if (str_eq_c(params.items[i].name, "check"))
            values[n++] = params.items[i].value;
    names_of(req, values, n, choice);
    return 0;
}

static void post_checks(struct http_request *req, void *userdata)
{
    struct serve *s = userdata;
    struct check_choice choice = {.role = s->options->role};
    struct str media = http_media_type(http_request_header(req, "Content-Type"));
    int r = 0;
    if (type_of(req, &choice.type) < 0) {
        not_a_type(req);
        return;
    }
    if (str_ieq_c(media, "application/json")) {
        r = req->body.n ? names_of_json(req, &choice) : 0;
    } else if (str_ieq_c(media, "application/x-www-form-urlencoded")) {
        r = names_of_form(req, &choice);
    } else if (media.n || req->body.n) {
        http_respond_text(
            req, 415, "the body must be application/json or application/x-www-form-urlencoded\n");
        return;
    }
    if (r < 0) {
        http_respond_text(
            req, 400, "the body must be {\"check\": [NAME, ...]} or check=NAME&...\n");
        return;
    }
    if (!all_there(s, req, &choice))
        return;
    if (s->runs >= RUNS_MAX) {
        http_respond_text(req, 503, "%d requests run checks already, try again\n", RUNS_MAX);
        return;
    }
    struct job *job = xnew(struct job);
    job->serve = s;
    job->req = req;
    http_request_ref(req);
    req->userdata = job;
    req->on_close = on_close;
    s->runs++;
    job->run = check_run_start(s->loop, s->config, &choice, on_done, job);
}

static void redirect(struct http_request *req, void *userdata)
{
    (void)userdata;
    http_set_header_f(req, "Location", "%.*s/%s%.*s", STR_ARG(req->raw_path),
        req->query.n ? "?" : "", STR_ARG(req->query));
    http_respond(req, 301, NULL, NULL, 0);
}

static void handle(struct http_request *req, void *userdata)
{
    static const struct http_route routes[] = {
        {1u << HTTP_GET, "/:type/", get_checks},
        {1u << HTTP_POST, "/:type/", post_checks, .body_max = BODY_MAX},
        {0, "/:type", redirect},
    };
    struct serve *s = userdata;
    struct str base = str_of(s->options->base);
    if (!str_has_prefix(req->path, base)) {
        http_respond_text(req, 404, "this service begins at %s/\n", s->options->base);
        return;
    }
    req->path.p += base.n;
    req->path.n -= base.n;
    http_route(req, routes, ARRAY_SIZE(routes), s);
}

/* ---- serving ---- */

static void on_signal(void *userdata, int signum)
{
    struct serve *s = userdata;
    log_info("ending signal=%d", signum);
    loop_stop(s->loop);
}

static int give_to_group(const struct serve_options *o, struct error *err)
{
    char memory[16384];
    struct group gr, *found = NULL;
    if (!o->socket_group)
        return 0;
    int code = getgrnam_r(o->socket_group, &gr, memory, sizeof(memory), &found);
    if (code || !found)
        return error_set(err, -EINVAL, "group %s does not exist on this host", o->socket_group);
    return chown(o->socket, (uid_t)-1, gr.gr_gid) < 0
               ? error_errno(err, -errno, "cannot give %s to group %s", o->socket, o->socket_group)
               : 0;
}

/* As sd_listen_fds(3): exactly one socket, meant for this process. */
static int systemd_fd(struct error *err)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
    int64_t p = 0, n = 0;
    if (!pid || !fds || parse_i64(str_of(pid), &p) < 0 || parse_i64(str_of(fds), &n) < 0 ||
        p != getpid() || n != 1)
        return error_set(err, -EINVAL,
            "--systemd-socket: systemd handed no socket over (one is expected); start the unit's "
            ".socket, or use --socket=PATH");
    return SYSTEMD_FIRST_FD;
}

static int listen_where(struct serve *s, struct error *err)
{
    const struct serve_options *o = s->options;
    if (o->systemd_socket) {
        int fd = systemd_fd(err);
        if (fd < 0)
            return fd;
        log_info("serving socket=systemd base=%s", o->base);
        return http_server_listen_fd(s->server, fd, err);
    }
    if (o->socket) {
        int r = http_server_listen_unix(s->server, o->socket, 0660, err);
        if (r < 0)
            return r;
        log_info("serving socket=%s base=%s", o->socket, o->base);
        return give_to_group(o, err);
    }
    uint16_t port;
    int r = http_server_listen(s->server, o->host, o->port, NULL, &port, err);
    if (r >= 0)
        log_info("serving address=%s:%u base=%s", o->host, port, o->base);
    return r;
}

int checks_serve(
    const struct check_config *config, const struct serve_options *options, struct error *err)
{
    struct serve s = {.config = config, .options = options, .loop = loop_new()};
    s.server = http_server_new(s.loop, NULL, handle, &s);
    struct loop_signal *term = loop_signal_new(s.loop, SIGTERM, on_signal, &s);
    struct loop_signal *intr = loop_signal_new(s.loop, SIGINT, on_signal, &s);
    int r = listen_where(&s, err);
    if (r >= 0)
        loop_run(s.loop);
    http_server_free(s.server);
    loop_signal_free(term);
    loop_signal_free(intr);
    loop_free(s.loop);
    return MIN(r, 0);
}
