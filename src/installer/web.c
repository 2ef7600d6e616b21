#include "installer/web.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "http/server.h"
#include "installer/text.h"
#include "json/writer.h"

/* The HTTP API. Actions and everything that reads much run on the pool, one at a time. */

enum { BODY_MAX = 2 * 1024 * 1024, LOG_FILE_SENT_MAX = 256 * 1024 * 1024 };

#define NO_CACHE "no-cache, no-store, must-revalidate"

struct web {
    const struct installer *in;
    const struct web_options *options;
    struct loop *loop;
    struct http_server *server;
    struct ssh_cancel cancel;
    struct job *job;     /* that runs; NULL = none */
    const char *current; /* name of the last action, "" = none yet */
    bool stopping;
};

/* genconf, and an action after it. */
struct job {
    struct loop_work work;
    struct web *web;
    struct http_request *req; /* waits for genconf; NULL otherwise */
    enum action action;
    bool with_genconf, with_chain, retry;
    char *problems; /* JSON of errors, when genconf failed */
};

/* ---- answers ---- */

static void answer(struct http_request *req, int status, const json_t *value)
{
    _cleanup_buf_ struct buf body = BUF_INIT;
    json_dump(value, &body);
    http_respond_json(req, status, &body);
}

static void answer_take(struct http_request *req, int status, json_t *value)
{
    answer(req, status, value);
    json_decref(value);
}

static void answer_failure(struct http_request *req, const struct error *err)
{
    answer_take(req, 500, json_pack("{s:s}", "error", err->msg));
}

static void answer_status(struct http_request *req, const char *text)
{
    answer_take(req, 200, json_pack("{s:s}", "status", text));
}

/* ---- jobs ---- */

static char *state_path(const struct installer *in, enum action action)
{
    _cleanup_free_ char *name = xasprintf("state/%s.json", action_name(action));
    return installer_path(in, name);
}

static json_t *problems_of(const struct gen *g)
{
    json_t *errors = json_object();
    size_t n;
    const struct gen_problem *problems = gen_errors(g, &n);
    for (size_t i = 0; i < n; i++)
        json_object_set_new(errors, problems[i].name, json_string(problems[i].message));
    return errors;
}

static void job_problem(struct job *job, const struct gen *g, const struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_json_ json_t *errors = g && !gen_ok(g) ? problems_of(g)
                                                    : json_pack("{s:s}", "config", err->msg);
    json_dump(errors, &text);
    job->problems = buf_steal(&text);
}

/* A run that could not begin has no state of hosts to say it in. */
static void write_failed_state(const struct job *job, const struct error *err)
{
    _cleanup_free_ char *path = state_path(job->web->in, job->action);
    _cleanup_json_ json_t *state = json_pack(
        "{s:{},s:s,s:s}", "hosts", "chain_name", action_name(job->action), "error", err->msg);
    _cleanup_buf_ struct buf text = BUF_INIT;
    json_dump(state, &text);
    (void)file_write_atomic(path, text.p, text.n, 0644, NULL); /* nothing more can be done */
}

static void job_work(struct loop_work *w)
{
    struct job *job = container_of(w, struct job, work);
    _cleanup_(gen_freep)
    struct gen *g = NULL;
    struct error err = ERROR_INIT;
    int r = config_load_whole(job->web->in, &g, &err);
    if (r == 0 && !gen_ok(g))
        r = error_set(&err, -EINVAL, "config.yaml is not valid");
    if (r == 0 && job->with_genconf)
        r = genconf_make(job->web->in, g, &err);
    if (job->with_genconf && r < 0)
        job_problem(job, g, &err);
    if (!job->with_chain)
        return;
    const struct action_options options = {.record_host_keys = job->web->options->record_host_keys,
        .retry = job->retry,
        .cancel = &job->web->cancel};
    struct action_result result = {0};
    if (r == 0)
        r = action_run(job->web->in, g, job->action, &options, &result, &err);
    if (r < 0)
        write_failed_state(job, &err);
    action_result_done(&result);
}

static void start_job(struct job *job);

static void job_done(struct loop_work *w)
{
    struct job *job = container_of(w, struct job, work);
    struct web *web = job->web;
    web->job = NULL;
    if (job->req && job->problems) {
        _cleanup_buf_ struct buf body = BUF_INIT;
        buf_printf(&body, "{\"errors\": %s}", job->problems);
        http_respond_json(job->req, 400, &body);
    } else if (job->req && !web->stopping) {
        struct job *next = xnew(struct job);
        *next = (struct job){.web = web, .action = job->action, .with_chain = true};
        _cleanup_free_ char *status = xasprintf("%s started", action_name(job->action));
        answer_status(job->req, status);
        start_job(next);
    }
    if (job->req)
        http_request_unref(job->req);
    free(job->problems);
    free(job);
    if (web->stopping)
        loop_stop(web->loop);
}

static void start_job(struct job *job)
{
    job->web->job = job;
    job->web->current = action_name(job->action);
    job->work.work = job_work;
    job->work.done = job_done;
    loop_work_start(job->web->loop, &job->work);
}

/* ---- configuration ---- */

static void on_version(struct http_request *req, void *userdata)
{
    answer_take(req, 200, json_pack("{s:s}", "version", DCOS_VERSION));
}

static void on_get_config(struct http_request *req, void *userdata)
{
    struct web *web = userdata;
    struct error err = ERROR_INIT;
    json_t *config = NULL;
    if (web_config_read(web->in, &config, &err) < 0)
        answer_failure(req, &err);
    else
        answer_take(req, 200, config);
}

static void on_post_config(struct http_request *req, void *userdata)
{
    struct web *web = userdata;
    struct error err = ERROR_INIT;
    _cleanup_json_ json_t *posted = NULL, *errors = NULL;
    int r = json_parse(req->body.p ? req->body.p : "", req->body.n, &posted, &err);
    if (r == 0 && !json_is_object(posted))
        r = error_set(&err, -EINVAL, "the body must be a JSON object");
    if (r < 0) {
        answer_take(req, 400, json_pack("{s:s}", "error", err.msg));
        return;
    }
    if (web_config_change(web->in, posted, &errors, &err) < 0)
        answer_failure(req, &err);
    else
        answer(req, json_object_size(errors) > 0 ? 400 : 200, errors);
}

static void on_config_status(struct http_request *req, void *userdata)
{
    struct web *web = userdata;
    struct error err = ERROR_INIT;
    _cleanup_json_ json_t *errors = NULL;
    if (web_config_check(web->in, &errors, &err) < 0)
        answer_failure(req, &err);
    else
        answer(req, json_object_size(errors) > 0 ? 400 : 200, errors);
}

static void on_config_type(struct http_request *req, void *userdata)
{
    struct web *web = userdata;
    struct error err = ERROR_INIT;
    _cleanup_json_ json_t *config = NULL;
    if (web_config_read(web->in, &config, &err) < 0) {
        answer_failure(req, &err);
        return;
    }
    const char *type = web_config_type(config);
    answer_take(req, 200,
        json_pack("{s:s,s:s}", "message",
            streq(type, "advanced")
                ? "Advanced configuration detected in genconf/config.yaml. Please backup or remove "
                  "genconf/config.yaml to use the UI installer."
                : "",
            "type", type));
}

static void on_success(struct http_request *req, void *userdata)
{
    struct web *web = userdata;
    struct error err = ERROR_INIT;
    _cleanup_json_ json_t *config = NULL;
    if (web_config_read(web->in, &config, &err) < 0) {
        answer_failure(req, &err);
        return;
    }
    const json_t *masters = json_at(config, "master_list");
    const char *first = json_string_value(json_array_get(masters, 0));
    size_t agents = json_array_size(json_at(config, "agent_list")) +
                    json_array_size(json_at(config, "public_agent_list"));
    bool good = first && agents > 0;
    _cleanup_free_ char *url = good ? xasprintf("http://%s", first) : xstrdup("");
    answer_take(req, good ? 200 : 400,
        json_pack("{s:s,s:i,s:i}", "success", url, "master_count",
            good ? (int)json_array_size(masters) : 0, "agent_count", good ? (int)agents : 0));
}

/* ---- actions ---- */

static bool action_of(struct http_request *req, enum action *ret)
{
    struct str name = http_route_var(req, "action");
    for (int i = ACTION_PREFLIGHT; i <= ACTION_POSTFLIGHT; i++) {
        if (str_eq_c(name, action_name((enum action)i))) {
            *ret = (enum action)i;
            return true;
        }
    }
    http_respond_text(req, 404, "404: Not Found");
    return false;
}

static json_t *state_of(const struct web *web, enum action action)
{
    _cleanup_free_ char *path = state_path(web->in, action);
    json_t *state = NULL;
    return chain_state_read(path, &state, NULL) == 0 ? state : NULL;
}

static void on_get_action(struct http_request *req, void *userdata)
{
    enum action action;
    if (!action_of(req, &action))
        return;
    json_t *state = state_of(userdata, action);
    answer_take(req, 200, state ? state : json_object());
}

static void on_current(struct http_request *req, void *userdata)
{
    const struct web *web = userdata;
    answer_take(req, 200, json_pack("{s:s}", "current_action", web->current));
}

/* Hosts of a state that did not succeed. */
static json_t *unsuccessful(const json_t *state)
{
    json_t *out = json_array(), *host;
    const char *name;
    json_object_foreach(json_object_get(state, "hosts"), name, host)
    {
        if (!streq(json_str_at(host, "host_status", ""), "success"))
            json_array_append_new(out, json_string(name));
    }
    return out;
}

static bool wants_retry(struct http_request *req)
{
    _cleanup_json_ json_t *body = NULL;
    struct http_params params;
    if (str_eq_c(http_request_param(req, "retry"), "true"))
        return true;
    if (req->body.n == 0)
        return false;
    if (json_parse(req->body.p, req->body.n, &body, NULL) == 0)
        return json_bool_at(body, "retry", streq(json_str_at(body, "retry", ""), "true"));
    return http_params_parse(req->body, &req->arena, &params) == 0 &&
           str_eq_c(http_params_get(&params, "retry"), "true");
}

static struct job *job_new(struct web *web, enum action action)
{
    struct job *job = xnew(struct job);
    *job = (struct job){.web = web, .action = action, .with_chain = true};
    return job;
}

static void on_post_action(struct http_request *req, void *userdata)
{
    struct web *web = userdata;
    enum action action;
    if (!action_of(req, &action))
        return;
    const char *name = action_name(action);
    _cleanup_json_ json_t *state = state_of(web, action);
    _cleanup_free_ char *text = NULL;
    if (web->job && web->job->action == action) {
        text = xasprintf("%s is running, skipping", name);
        answer_status(req, text);
        return;
    }
    if (web->job) {
        answer_take(req, 409, json_pack("{s:s}", "error", "another action runs; wait for its end"));
        return;
    }
    if (action == ACTION_DEPLOY && state && wants_retry(req)) {
        struct job *job = job_new(web, action);
        job->retry = true;
        answer_take(
            req, 200, json_pack("{s:s,s:o}", "status", "retried", "details", unsuccessful(state)));
        start_job(job);
        return;
    }
    if (action == ACTION_DEPLOY && state) {
        answer_status(req, "deploy was already executed, skipping");
        return;
    }
    _cleanup_free_ char *path = state_path(web->in, action);
    (void)unlink(path);
    struct job *job = job_new(web, action);
    if (action == ACTION_PREFLIGHT) {
        /* The answer waits until there is something to install. */
        job->with_chain = false;
        job->with_genconf = true;
        job->req = req;
        http_request_ref(req);
    } else {
        text = xasprintf("%s started", name);
        answer_status(req, text);
    }
    start_job(job);
}

/* ---- logs ---- */

static void on_logs(struct http_request *req, void *userdata)
{
    const struct web *web = userdata;
    struct error err = ERROR_INIT;
    json_t *all = json_object();
    for (int i = ACTION_PREFLIGHT; i <= ACTION_POSTFLIGHT; i++) {
        json_t *state = state_of(web, (enum action)i);
        if (state)
            json_object_set_new(all, action_name((enum action)i), state);
    }
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &text);
    w.indent = 2;
    jw_tree(&w, all);
    buf_putc(&text, '\n');
    json_decref(all);
    _cleanup_free_ char *path = installer_path(web->in, "state/complete.log");
    if (file_write_atomic(path, text.p, text.n, 0644, &err) < 0) {
        answer_failure(req, &err);
        return;
    }
    http_set_header(req, "Location", "/download/log/complete.log");
    http_respond_text(req, 302, "302: Found");
}

static void on_download(struct http_request *req, void *userdata)
{
    const struct web *web = userdata;
    struct str name = http_route_var(req, "name");
    /* Logs and states only: state/ has keys of hosts too, but nothing secret; no name leads out. */
    bool plain = name.n > 0 && name.p[0] != '.' && str_index(name, '/') < 0;
    static const char *const folders[] = {"state", "logs"};
    for (size_t i = 0; i < ARRAY_SIZE(folders) && plain; i++) {
        _cleanup_free_ char *file = xasprintf("%s/" STR_FMT, folders[i], STR_ARG(name));
        _cleanup_free_ char *path = installer_path(web->in, file);
        _cleanup_buf_ struct buf text = BUF_INIT;
        if ((has_suffix(file, ".log") || has_suffix(file, ".json")) &&
            file_read(path, LOG_FILE_SENT_MAX, &text, NULL) == 0) {
            http_respond(req, 200, has_suffix(file, ".json") ? "application/json" : "text/plain",
                buf_cstr(&text), text.n);
            return;
        }
    }
    http_respond_text(req, 404, "404: Not Found");
}

/* ---- page and routes ---- */

static void on_page(struct http_request *req, void *userdata)
{
    http_set_header(req, "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'");
    const char *page = installer_text("index.html");
    http_respond(req, 200, "text/html; charset=utf-8", page, strlen(page));
}

static void on_asset(struct http_request *req, void *userdata)
{
    static const struct {
        const char *name, *type;
    } assets[] = {{"installer.js", "text/javascript; charset=utf-8"},
        {"installer.css", "text/css; charset=utf-8"}};
    for (size_t i = 0; i < ARRAY_SIZE(assets); i++) {
        if (str_eq_c(http_route_var(req, "name"), assets[i].name)) {
            const char *text = installer_text(assets[i].name);
            http_respond(req, 200, assets[i].type, text, strlen(text));
            return;
        }
    }
    http_respond_text(req, 404, "404: Not Found");
}

static void on_api(struct http_request *req, void *userdata)
{
    http_set_header(req, "Location", "/");
    http_respond_text(req, 302, "302: Found");
}

#define GET (1u << HTTP_GET)
#define POST (1u << HTTP_POST)

static const struct http_route routes[] = {
    {GET, "/", on_page},
    {GET, "/assets/*name", on_asset},
    {GET, "/download/log/:name", on_download},
    {GET, "/api/v1", on_api},
    {GET, "/api/v1/version", on_version},
    {GET, "/api/v1/configure", on_get_config},
    {POST, "/api/v1/configure", on_post_config, BODY_MAX},
    {GET, "/api/v1/configure/status", on_config_status},
    {GET, "/api/v1/configure/type", on_config_type},
    {GET, "/api/v1/success", on_success},
    {GET, "/api/v1/action/current", on_current},
    {GET, "/api/v1/action/:action", on_get_action},
    {POST, "/api/v1/action/:action", on_post_action, BODY_MAX},
    {GET, "/api/v1/logs", on_logs},
};

/* A page of somebody else in the operator's browser could post to us too. Browsers say from where;
 * programs need not. */
static bool is_from_elsewhere(const struct http_request *req)
{
    static const char mark[] = "://";
    struct str origin = http_request_header(req, "Origin");
    if (origin.n == 0)
        return false;
    ptrdiff_t at = str_index(origin, ':');
    struct str rest = at < 0 ? origin : (struct str){origin.p + at, origin.n - (size_t)at};
    if (!str_has_prefix(rest, str_of(mark)))
        return true;
    rest = (struct str){rest.p + strlen(mark), rest.n - strlen(mark)};
    return !str_eq(rest, http_request_header(req, "Host"));
}

static void on_request(struct http_request *req, void *userdata)
{
    http_set_header(req, "Cache-Control", NO_CACHE);
    if (is_from_elsewhere(req)) {
        http_respond_text(req, 403, "403: this page does not belong to the installer\n");
        return;
    }
    (void)http_route(req, routes, ARRAY_SIZE(routes), userdata);
}

static void on_signal(void *userdata, int signum)
{
    struct web *web = userdata;
    web->stopping = true;
    ssh_cancel_raise(&web->cancel);
    if (!web->job)
        loop_stop(web->loop);
}

static void remove_states(const struct installer *in)
{
    for (int i = ACTION_PREFLIGHT; i <= ACTION_POSTFLIGHT; i++) {
        _cleanup_free_ char *path = state_path(in, (enum action)i);
        (void)unlink(path); /* absent is fine, and what stays is shown as it is */
    }
}

int web_run(const struct installer *in, const struct web_options *options, struct error *err)
{
    struct web web = {.in = in, .options = options, .current = ""};
    uint16_t port;
    int r = web_config_default(in, err);
    if (r == 0)
        r = ssh_cancel_init(&web.cancel, err);
    if (r < 0)
        return r;
    remove_states(in);
    web.loop = loop_new();
    web.server = http_server_new(web.loop, &(struct http_server_options){0}, on_request, &web);
    struct loop_signal *interrupt = loop_signal_new(web.loop, SIGINT, on_signal, &web),
                       *terminate = loop_signal_new(web.loop, SIGTERM, on_signal, &web);
    r = http_server_listen(web.server, options->host, options->port, NULL, &port, err);
    if (r == 0) {
        printf("Starting DC/OS installer in web mode on http://%s:%u\n", options->host, port);
        fflush(stdout);
        loop_run(web.loop);
    }
    loop_signal_free(interrupt);
    loop_signal_free(terminate);
    http_server_free(web.server);
    loop_free(web.loop);
    ssh_cancel_done(&web.cancel);
    return r;
}
