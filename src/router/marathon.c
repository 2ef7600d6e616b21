#include <errno.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "http/sse.h"
#include "router/router.h"
#include "router/service.h"

/*
 * Follows Marathon: its event stream, and the apps that events speak of. The stream is opened first
 * and the apps are read then, so that no change falls between. An event of an app makes that
 * app be read again, one at a time; a task that ended is dropped at once, before the app was read.
 */

#define EVENT_MAX (64 * 1024 * 1024)
#define SILENCE_US (10 * 60 * USEC_PER_SEC)

struct marathon_follower {
    struct router *router;
    struct retry retry;
    struct host_port at;
    struct host_port stream_at; /* port 0: `at`; one that does not lead sends elsewhere */
    struct http_call *stream, *fetch, *leader_call;
    struct sse_decoder decoder;
    struct map services; /* app id -> struct service */
    struct map dirty;    /* app id -> itself */
    bool all_dirty;
    char *fetching; /* the app that is being read; NULL: all */
    char leader[300];
    bool known, tried, leader_known;
    struct timer expiry;
    struct login_watch login;
};

static void next_fetch(struct marathon_follower *f);

static void lost(struct marathon_follower *f, const char *why);

/* ---- reading apps ---- */

static void put(struct marathon_follower *f, const json_t *app)
{
    struct service *s = service_read(app);
    const char *id = json_str_at(app, "id", "");
    service_free(map_remove(&f->services, id));
    if (s)
        map_put(&f->services, s->app, s);
}

static void clear(struct marathon_follower *f)
{
    MAP_FOREACH (e, &f->services)
        service_free(e->value);
    map_clear(&f->services);
}

static void read_all(struct marathon_follower *f, const json_t *answer)
{
    size_t i;
    json_t *app;
    clear(f);
    json_array_foreach(json_at(answer, "apps"), i, app) put(f, app);
    if (!f->known)
        log_info("following Marathon address=%s:%u services=%zu", f->at.host, f->at.port,
            map_size(&f->services));
    f->known = true;
    f->router->read_much = true;
    retry_worked(&f->retry);
}

static void fetched(struct http_call *call, int status, const char *error,
    const struct http_response *res, void *userdata)
{
    struct marathon_follower *f = userdata;
    _cleanup_free_ char *app = TAKE_PTR(f->fetching);
    f->fetch = NULL;
    _cleanup_json_ json_t *answer = NULL;
    struct error err = ERROR_INIT;
    const bool gone = status == 0 && res->status == 404 && app;
    if (status < 0 || (res->status != 200 && !gone) ||
        (!gone && json_parse(res->body.p, res->body.n, &answer, &err) < 0)) {
        if (f->stream)
            http_call_cancel(f->stream);
        lost(f, error ? error : err.code ? err.msg : "it refuses to list apps");
        return;
    }
    if (!app)
        read_all(f, answer);
    else if (gone)
        service_free(map_remove(&f->services, app));
    else
        put(f, json_at(answer, "app"));
    router_routes_changed(f->router);
    next_fetch(f);
}

static void get(struct marathon_follower *f, const char *target, const char *accept, size_t collect,
    bool fresh, const struct http_call_handlers *handlers, struct http_call **ret)
{
    const struct host_port *at = !collect && f->stream_at.port ? &f->stream_at : &f->at;
    _cleanup_buf_ struct buf shown = BUF_INIT;
    login_header(f->router->login, &shown);
    const struct http_header headers[] = {{STR("User-Agent"), STR("Master Admin Router")},
        {STR("Accept"), str_of(accept)}, {STR("Authorization"), buf_str(&shown)}};
    const struct http_call_options o = {.method = "GET",
        .host = at->host,
        .port = at->port,
        .tls = at->tls,
        .target = target,
        .headers = headers,
        .n_headers = shown.n ? 3 : 2,
        .collect_max = collect,
        .idle_timeout_us = collect ? 0 : SILENCE_US,
        .fresh = fresh};
    *ret = http_call_start(f->router->http, &o, handlers, f);
}

static void next_fetch(struct marathon_follower *f)
{
    static const struct http_call_handlers handlers = {.on_done = fetched};
    if (f->fetch || !f->stream)
        return;
    if (f->all_dirty) {
        f->all_dirty = false;
        MAP_FOREACH (e, &f->dirty)
            free(e->value);
        map_clear(&f->dirty);
        get(f, "/v2/apps?embed=apps.tasks&label=DCOS_SERVICE_NAME", "application/json",
            ROUTER_APPS_MAX, false, &handlers, &f->fetch);
        return;
    }
    size_t pos = 0;
    const struct map_entry *e = map_next(&f->dirty, &pos);
    if (!e)
        return;
    f->fetching = map_remove(&f->dirty, e->key);
    _cleanup_buf_ struct buf target = BUF_INIT;
    buf_printf(
        &target, "/v2/apps%s%s?embed=app.tasks", *f->fetching == '/' ? "" : "/", f->fetching);
    get(f, buf_cstr(&target), "application/json", ROUTER_APPS_MAX, false, &handlers, &f->fetch);
}

/* ---- events ---- */

static bool plain_id(const char *id)
{
    for (const char *p = id; *p; p++) {
        if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
                strchr("/-._", *p)))
            return false;
    }
    return *id != '\0' && strlen(id) < 4096;
}

static void mark(struct marathon_follower *f, const char *app)
{
    if (!app || !plain_id(app) || map_get(&f->dirty, app))
        return;
    char *copy = xstrdup(app);
    map_put(&f->dirty, copy, copy);
}

static bool is_terminal(const char *state)
{
    static const char *const states[] = {"TASK_FINISHED", "TASK_FAILED", "TASK_KILLED",
        "TASK_KILLING", "TASK_ERROR", "TASK_LOST", "TASK_DROPPED", "TASK_GONE",
        "TASK_GONE_BY_OPERATOR", "TASK_UNREACHABLE"};
    for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
        if (streq(state, states[i]))
            return true;
    }
    return false;
}

static void on_event(const char *event, const char *id, struct str data, void *userdata)
{
    struct marathon_follower *f = userdata;
    _cleanup_json_ json_t *body = NULL;
    static const char *const of_apps[] = {"status_update_event", "health_status_changed_event",
        "app_terminated_event", "instance_changed_event", "instance_health_changed_event"};
    if (streq(event, "api_post_event") || streq(event, "group_change_success") ||
        streq(event, "deployment_success") || streq(event, "deployment_failed")) {
        const bool one = streq(event, "api_post_event") &&
                         json_parse(data.p, data.n, &body, NULL) == 0 &&
                         json_at(json_at(body, "appDefinition"), "id");
        if (one)
            mark(f, json_str_at(json_at(body, "appDefinition"), "id", NULL));
        else
            f->all_dirty = true;
    } else {
        bool known = false;
        for (size_t i = 0; i < ARRAY_SIZE(of_apps); i++)
            known = known || streq(event, of_apps[i]);
        if (!known || json_parse(data.p, data.n, &body, NULL) < 0)
            return;
        const char *app = json_str_at(body, "appId", json_str_at(body, "runSpecId", NULL));
        struct service *s = app ? map_get(&f->services, app) : NULL;
        if (s && is_terminal(json_str_at(body, "taskStatus", "")) &&
            service_drop(s, json_str_at(body, "taskId", "")))
            router_routes_changed(f->router);
        mark(f, app);
    }
    next_fetch(f);
}

static void on_data(struct http_call *call, const char *p, size_t n, void *userdata)
{
    struct marathon_follower *f = userdata;
    if (sse_decode(&f->decoder, p, n, on_event, f) < 0) {
        http_call_cancel(call);
        lost(f, "an event is too large");
    }
}

/* ---- leader ---- */

static void leader_known(struct http_call *call, int status, const char *error,
    const struct http_response *res, void *userdata)
{
    struct marathon_follower *f = userdata;
    f->leader_call = NULL;
    f->leader[0] = '\0';
    _cleanup_json_ json_t *answer = NULL;
    if (status == 0 && res->status == 200 &&
        json_parse(res->body.p, res->body.n, &answer, NULL) == 0)
        snprintf(f->leader, sizeof(f->leader), "%s", json_str_at(answer, "leader", ""));
    f->leader_known = status == 0 && (f->leader[0] || res->status == 404);
    router_routes_changed(f->router);
}

/* ---- the stream ---- */

static void stop_calls(struct marathon_follower *f)
{
    if (f->fetch)
        http_call_cancel(f->fetch);
    if (f->leader_call)
        http_call_cancel(f->leader_call);
    f->fetch = f->leader_call = f->stream = NULL;
    free(f->fetching);
    f->fetching = NULL;
}

static void lost(struct marathon_follower *f, const char *why)
{
    stop_calls(f);
    if (!f->tried) {
        f->tried = true;
        router_routes_changed(f->router);
    }
    if (!f->retry.told)
        log_warn("Marathon is not followed, what is known stays error=%s", why);
    f->retry.told = true;
    if (f->known && !timer_active(&f->expiry))
        timer_start(&f->expiry, f->router->options.stale_limit_us);
    retry_later(&f->retry);
}

static void expired(struct timer *t)
{
    struct marathon_follower *f = container_of(t, struct marathon_follower, expiry);
    log_warn("Marathon was away for too long: its services are not known any more");
    f->known = false;
    clear(f);
    router_routes_changed(f->router);
}

static void open_stream(struct marathon_follower *f);

/* One that does not lead names the one that does: "http://host:port/v2/events". Followed once. */
static bool redirected(struct marathon_follower *f, const struct http_response *res)
{
    struct str where = http_headers_get(&res->headers, "Location");
    const bool tls = str_has_prefix(where, STR("https://"));
    const size_t scheme = tls ? 8 : 7;
    if (f->stream_at.port || (res->status != 302 && res->status != 307) ||
        (!tls && !str_has_prefix(where, STR("http://"))))
        return false;
    size_t end = scheme;
    while (end < where.n && where.p[end] != '/')
        end++;
    if (host_port_parse((struct str){where.p, end}, &f->stream_at) < 0)
        return false;
    /* Our token does not go in the clear because the other one says so. */
    f->stream_at.tls = f->stream_at.tls || f->at.tls;
    return true;
}

static void on_response(struct http_call *call, const struct http_response *res, void *userdata)
{
    static const struct http_call_handlers handlers = {.on_done = leader_known};
    struct marathon_follower *f = userdata;
    if (redirected(f, res)) {
        http_call_cancel(call);
        open_stream(f);
        return;
    }
    if (res->status != 200) {
        char text[64];
        snprintf(text, sizeof(text), "its event stream answers with status %d", res->status);
        if (res->status == 401)
            login_refused(f->router->login);
        http_call_cancel(call);
        lost(f, text);
        return;
    }
    timer_stop(&f->expiry);
    f->all_dirty = true;
    next_fetch(f);
    get(f, "/v2/leader", "application/json", 64 * 1024, false, &handlers, &f->leader_call);
}

static void on_done(struct http_call *call, int status, const char *error,
    const struct http_response *res, void *userdata)
{
    lost(userdata, error ? error : "the event stream ended");
}

static void open_stream(struct marathon_follower *f)
{
    static const struct http_call_handlers handlers = {
        .on_response = on_response, .on_data = on_data, .on_done = on_done};
    if (!login_ready(f->router->login))
        return; /* on_login() begins */
    sse_decoder_done(&f->decoder);
    sse_decoder_init(&f->decoder, EVENT_MAX);
    get(f, "/v2/events", "text/event-stream", 0, true, &handlers, &f->stream);
}

static void begin(struct timer *t)
{
    struct marathon_follower *f = container_of(t, struct marathon_follower, retry.timer);
    f->stream_at.port = 0;
    open_stream(f);
}

static void on_login(struct login_watch *w)
{
    struct marathon_follower *f = container_of(w, struct marathon_follower, login);
    if (!f->stream)
        timer_start(&f->retry.timer, 0);
}

int marathon_follower_new(struct router *r, struct marathon_follower **ret, struct error *err)
{
    struct host_port at;
    if (host_port_parse(str_of(r->options.marathon), &at) < 0)
        return error_set(err, -EINVAL, "--marathon is not HOST:PORT");
    struct marathon_follower *f = xnew(struct marathon_follower);
    f->router = r;
    f->at = at;
    sse_decoder_init(&f->decoder, EVENT_MAX);
    timer_init(&f->expiry, r->loop, expired);
    retry_init(&f->retry, r, begin);
    login_watch(r->login, &f->login, on_login);
    timer_start(&f->retry.timer, 0);
    *ret = f;
    return 0;
}

void marathon_follower_free(struct marathon_follower *f)
{
    if (!f)
        return;
    login_unwatch(&f->login);
    timer_stop(&f->retry.timer);
    timer_stop(&f->expiry);
    if (f->stream)
        http_call_cancel(f->stream);
    stop_calls(f);
    clear(f);
    map_done(&f->services);
    MAP_FOREACH (e, &f->dirty)
        free(e->value);
    map_done(&f->dirty);
    sse_decoder_done(&f->decoder);
    free(f);
}

/* ---- rows ---- */

static bool is_same(const struct host_port *a, const struct host_port *b)
{
    return a->port == b->port && streq(a->host, b->host);
}

bool marathon_follower_is(const struct marathon_follower *f, const struct host_port *where)
{
    struct host_port leader;
    return is_same(&f->at, where) ||
           (f->leader[0] && host_port_parse(str_of(f->leader), &leader) == 0 &&
               is_same(&leader, where));
}

void marathon_follower_add(struct marathon_follower *f, struct table_builder *b, uint32_t *bits)
{
    if (f->known)
        *bits |= ROUTES_HAVE_MARATHON;
    if (f->known || f->tried)
        *bits |= ROUTES_TRIED_MARATHON;
    if (f->leader_known)
        *bits |= ROUTES_HAVE_LEADER;
    struct host_port leader;
    struct target t = {0};
    if (f->leader[0] && host_port_parse(str_of(f->leader), &leader) == 0 &&
        resolver_get(f->router->resolver, leader.host, &t)) {
        t.port = leader.port;
        (void)table_add(b, "l:marathon", &t, sizeof(t));
    }
    MAP_FOREACH (e, &f->services) {
        const struct service *s = e->value;
        _cleanup_buf_ struct buf key = BUF_INIT;
        buf_printf(&key, "m:%s", s->name);
        for (size_t i = 0; i < s->n_instances; i++) {
            struct target where = {.flags = s->flags, .port = s->instances[i].port};
            if (!resolver_get(f->router->resolver, s->instances[i].host, &where))
                continue;
            (void)table_add(b, buf_cstr(&key), &where, sizeof(where)); /* names are bounded */
            break;
        }
    }
}
