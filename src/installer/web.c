#include "installer/web.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/file.h"
#include "installer/text.h"
#include "installer/web-internal.h"
#include "json/writer.h"

/* The HTTP API: what it reads and answers. Who may is in web_door.c, what runs in web_action.c. */

enum { BODY_MAX = 2 * 1024 * 1024, LOG_FILE_SENT_MAX = 256 * 1024 * 1024 };

#define NO_CACHE "no-cache, no-store, must-revalidate"

struct web {
    const struct installer *in;
    struct http_server *server;
    struct web_door door;
    struct web_actions actions;
};

/* ---- answers ---- */

void web_answer(struct http_request *req, int status, const json_t *value)
{
    _cleanup_buf_ struct buf body = BUF_INIT;
    json_dump(value, &body);
    http_respond_json(req, status, &body);
}

void web_answer_take(struct http_request *req, int status, json_t *value)
{
    web_answer(req, status, value);
    json_decref(value);
}

void web_answer_failure(struct http_request *req, const struct error *err)
{
    web_answer_take(req, 500, json_pack("{s:s}", "error", err->msg));
}

/* ---- configuration ---- */

static void on_version(struct http_request *req, void *userdata)
{
    web_answer_take(req, 200, json_pack("{s:s}", "version", DCOS_VERSION));
}

/* NULL when it was answered that there is none to be read. */
static json_t *config_for(struct http_request *req, const struct web *web)
{
    struct error err = ERROR_INIT;
    json_t *config = NULL;
    if (web_config_read(web->in, &config, &err) < 0)
        web_answer_failure(req, &err);
    return config;
}

/* {} or what is wrong. */
static void answer_errors(
    struct http_request *req, int r, const json_t *errors, const struct error *err)
{
    if (r < 0)
        web_answer_failure(req, err);
    else
        web_answer(req, json_object_size(errors) > 0 ? 400 : 200, errors);
}

static void on_get_config(struct http_request *req, void *userdata)
{
    json_t *config = config_for(req, userdata);
    if (config)
        web_answer_take(req, 200, config);
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
        web_answer_take(req, 400, json_pack("{s:s}", "error", err.msg));
        return;
    }
    r = web_config_change(web->in, posted, &errors, &err);
    answer_errors(req, r, errors, &err);
}

static void on_config_status(struct http_request *req, void *userdata)
{
    struct web *web = userdata;
    struct error err = ERROR_INIT;
    _cleanup_json_ json_t *errors = NULL;
    int r = web_config_check(web->in, &errors, &err);
    answer_errors(req, r, errors, &err);
}

static void on_config_type(struct http_request *req, void *userdata)
{
    _cleanup_json_ json_t *config = config_for(req, userdata);
    if (!config)
        return;
    const char *type = web_config_type(config);
    web_answer_take(req, 200,
        json_pack("{s:s,s:s}", "message",
            streq(type, "advanced")
                ? "Advanced configuration detected in genconf/config.yaml. Please backup or remove "
                  "genconf/config.yaml to use the UI installer."
                : "",
            "type", type));
}

static void on_success(struct http_request *req, void *userdata)
{
    _cleanup_json_ json_t *config = config_for(req, userdata);
    if (!config)
        return;
    const json_t *masters = json_at(config, "master_list");
    const char *first = json_string_value(json_array_get(masters, 0));
    size_t agents = json_array_size(json_at(config, "agent_list")) +
                    json_array_size(json_at(config, "public_agent_list"));
    bool good = first && agents > 0;
    _cleanup_free_ char *url = good ? xasprintf("http://%s", first) : xstrdup("");
    web_answer_take(req, good ? 200 : 400,
        json_pack("{s:s,s:i,s:i}", "success", url, "master_count",
            good ? (int)json_array_size(masters) : 0, "agent_count", good ? (int)agents : 0));
}

/* ---- actions ---- */

static void on_get_action(struct http_request *req, void *userdata)
{
    struct web *web = userdata;
    web_actions_get(&web->actions, req);
}

static void on_post_action(struct http_request *req, void *userdata)
{
    struct web *web = userdata;
    web_actions_post(&web->actions, req);
}

static void on_current(struct http_request *req, void *userdata)
{
    const struct web *web = userdata;
    web_answer_take(req, 200, json_pack("{s:s}", "current_action", web->actions.current));
}

/* ---- logs ---- */

static void on_logs(struct http_request *req, void *userdata)
{
    const struct web *web = userdata;
    struct error err = ERROR_INIT;
    _cleanup_json_ json_t *all = web_actions_results(&web->actions);
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &text);
    w.indent = 2;
    jw_tree(&w, all);
    buf_putc(&text, '\n');
    _cleanup_free_ char *path = installer_path(web->in, "state/complete.log");
    if (file_write_atomic(path, text.p, text.n, 0644, &err) < 0) {
        web_answer_failure(req, &err);
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
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'");
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

static void on_request(struct http_request *req, void *userdata)
{
    struct web *web = userdata;
    http_set_header(req, "Cache-Control", NO_CACHE);
    http_set_header(req, "Referrer-Policy", "no-referrer");
    http_set_header(req, "X-Content-Type-Options", "nosniff");
    if (web_door_admit(&web->door, req))
        (void)http_route(req, routes, ARRAY_SIZE(routes), web);
}

static void on_signal(void *userdata, int signum)
{
    struct web *web = userdata;
    web_actions_stop(&web->actions);
}

static int serve(struct web *web, const struct web_options *options, struct error *err)
{
    uint16_t port;
    struct loop *loop = web->actions.loop;
    struct loop_signal *interrupt = loop_signal_new(loop, SIGINT, on_signal, web),
                       *terminate = loop_signal_new(loop, SIGTERM, on_signal, web);
    int r = http_server_listen(web->server, options->host, options->port, NULL, &port, err);
    if (r == 0)
        r = web_door_open(&web->door, web->in, options->host, port, err);
    if (r == 0) {
        loop_run(loop);
        web_door_close(&web->door);
    }
    loop_signal_free(interrupt);
    loop_signal_free(terminate);
    return r;
}

int web_run(const struct installer *in, const struct web_options *options, struct error *err)
{
    struct web web = {.in = in, .actions = {.in = in, .options = options}};
    int r = web_config_default(in, err);
    if (r == 0)
        r = web_actions_init(&web.actions, err);
    if (r < 0)
        return r;
    web.actions.loop = loop_new();
    web.server = http_server_new(
        web.actions.loop, &(struct http_server_options){0}, on_request, &web);
    r = serve(&web, options, err);
    http_server_free(web.server);
    loop_free(web.actions.loop);
    web_actions_done(&web.actions);
    return r;
}
