#include <errno.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "http/recordio.h"
#include "router/router.h"
#include "router/service.h"

/*
 * Follows the leading master: frameworks and agents from its operator event stream. Which master
 * leads, a redirect of the others tells, or ZooKeeper. The rows go on to count while the stream is
 * down; when a new leader has told its state they are replaced whole.
 */

#define SILENCE_US (60 * USEC_PER_SEC) /* heartbeats come every fifteen seconds */

struct framework {
    char *name, *webui_url;
    char id[];
};

struct agent {
    char *host;
    uint16_t port;
    char id[];
};

struct mesos_follower {
    struct router *router;
    struct retry retry;
    struct zk_detector *detector;
    struct host_port masters[ROUTER_MASTERS_MAX];
    size_t n_masters, at;
    struct host_port detected; /* what ZooKeeper says; port 0: nothing */
    struct host_port leader;   /* port 0: not known */
    struct http_call *call;
    struct recordio_decoder decoder;
    struct map frameworks, agents;
    bool known, tried, broken;
};

/* ---- what is known ---- */

static void framework_free(struct framework *f)
{
    if (!f)
        return;
    free(f->name);
    free(f->webui_url);
    free(f);
}

static void agent_free(struct agent *a)
{
    if (!a)
        return;
    free(a->host);
    free(a);
}

static void forget(struct mesos_follower *f)
{
    MAP_FOREACH (e, &f->frameworks)
        framework_free(e->value);
    map_clear(&f->frameworks);
    MAP_FOREACH (e, &f->agents)
        agent_free(e->value);
    map_clear(&f->agents);
}

static const char *id_at(const json_t *object, const char *key)
{
    return json_str_at(json_at(object, key), "value", NULL);
}

static void put_framework(struct mesos_follower *f, const json_t *framework)
{
    const json_t *info = json_at(framework, "framework_info");
    const char *id = id_at(info, "id"), *url = json_str_at(info, "webui_url", NULL);
    if (!id)
        return;
    struct framework *fw = xcalloc(1, sizeof(*fw) + strlen(id) + 1);
    memcpy(fw->id, id, strlen(id) + 1);
    fw->name = xstrdup(json_str_at(info, "name", ""));
    fw->webui_url = url ? xstrdup(url) : NULL;
    framework_free(map_remove(&f->frameworks, id));
    map_put(&f->frameworks, fw->id, fw);
}

/* "slave(1)@host:port" */
static void put_agent(struct mesos_follower *f, const json_t *agent)
{
    const char *id = id_at(json_at(agent, "agent_info"), "id"),
               *pid = json_str_at(agent, "pid", "");
    const char *at = strchr(pid, '@');
    struct host_port where;
    if (!id || !at || host_port_parse(str_of(at + 1), &where) < 0)
        return;
    struct agent *a = xcalloc(1, sizeof(*a) + strlen(id) + 1);
    memcpy(a->id, id, strlen(id) + 1);
    a->host = xstrdup(where.host);
    a->port = where.port;
    agent_free(map_remove(&f->agents, id));
    map_put(&f->agents, a->id, a);
}

static void subscribed(struct mesos_follower *f, const json_t *event)
{
    const json_t *state = json_at(json_at(event, "subscribed"), "get_state");
    size_t i;
    json_t *item;
    forget(f);
    json_array_foreach(json_at(json_at(state, "get_frameworks"), "frameworks"), i, item)
        put_framework(f, item);
    json_array_foreach(json_at(json_at(state, "get_agents"), "agents"), i, item) put_agent(f, item);
    f->known = true;
    retry_worked(&f->retry);
    log_info("following the master address=%s:%u frameworks=%zu agents=%zu", f->leader.host,
        f->leader.port, map_size(&f->frameworks), map_size(&f->agents));
}

static bool apply(struct mesos_follower *f, const json_t *event)
{
    const char *type = json_str_at(event, "type", "");
    if (streq(type, "SUBSCRIBED"))
        subscribed(f, event);
    else if (streq(type, "FRAMEWORK_ADDED"))
        put_framework(f, json_at(json_at(event, "framework_added"), "framework"));
    else if (streq(type, "FRAMEWORK_UPDATED"))
        put_framework(f, json_at(json_at(event, "framework_updated"), "framework"));
    else if (streq(type, "FRAMEWORK_REMOVED")) {
        const char *id = id_at(
            json_at(json_at(event, "framework_removed"), "framework_info"), "id");
        framework_free(id ? map_remove(&f->frameworks, id) : NULL);
    } else if (streq(type, "AGENT_ADDED"))
        put_agent(f, json_at(json_at(event, "agent_added"), "agent"));
    else if (streq(type, "AGENT_REMOVED")) {
        const char *id = id_at(json_at(event, "agent_removed"), "agent_id");
        agent_free(id ? map_remove(&f->agents, id) : NULL);
    } else
        return false;
    return true;
}

/* Events of tasks are most of the stream and none of our business: they are not parsed. */
static bool concerns_us(const char *p, size_t n)
{
    static const char *const types[] = {"SUBSCRIBED\"", "FRAMEWORK_", "AGENT_"};
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        if (memmem(p, n, types[i], strlen(types[i])))
            return true;
    }
    return false;
}

static bool on_record(const char *p, size_t n, void *userdata)
{
    struct mesos_follower *f = userdata;
    if (!concerns_us(p, n))
        return true;
    _cleanup_json_ json_t *event = NULL;
    struct error err = ERROR_INIT;
    if (json_parse(p, n, &event, &err) < 0) {
        log_warn("master: an event is not JSON error=%s", err.msg);
        f->broken = true;
        return false;
    }
    if (apply(f, event))
        router_routes_changed(f->router);
    return true;
}

/* ---- the stream ---- */

static void begin(struct timer *t);

static void lost(struct mesos_follower *f, const char *why)
{
    f->call = NULL;
    if (!f->tried) {
        f->tried = true;
        router_routes_changed(f->router);
    }
    if (!f->retry.told)
        log_warn("master is not followed, what is known stays error=%s", why);
    f->retry.told = true;
    if (f->n_masters)
        f->at = (f->at + 1) % f->n_masters;
    retry_later(&f->retry);
}

static void on_data(struct http_call *call, const char *p, size_t n, void *userdata)
{
    struct mesos_follower *f = userdata;
    struct error err = ERROR_INIT;
    if (recordio_decode(&f->decoder, p, n, on_record, f, &err) < 0 || f->broken) {
        http_call_cancel(call);
        lost(f, f->broken ? "an event is not JSON" : err.msg);
    }
}

/* A follower names the leader: "//host:port/api/v1". */
static bool redirected(struct mesos_follower *f, const struct http_response *res)
{
    struct str where = http_headers_get(&res->headers, "Location");
    struct host_port to;
    const bool tls = f->leader.tls;
    const ptrdiff_t slashes = where.n ? str_index(where, '/') : -1;
    if (slashes < 0 || where.n < (size_t)slashes + 2 || where.p[slashes + 1] != '/')
        return false;
    struct str rest = {where.p + slashes + 2, where.n - (size_t)slashes - 2}, authority;
    if (!str_split(&rest, '/', &authority) || host_port_parse(authority, &to) < 0)
        return false;
    to.tls = tls || str_has_prefix(where, STR("https:"));
    f->leader = to;
    return true;
}

static void on_response(struct http_call *call, const struct http_response *res, void *userdata)
{
    struct mesos_follower *f = userdata;
    if (res->status == 200) {
        router_routes_changed(f->router);
        return;
    }
    char text[64];
    snprintf(text, sizeof(text), "it answered with status %d", res->status);
    const bool go = (res->status == 307 || res->status == 302) && redirected(f, res);
    http_call_cancel(call);
    f->call = NULL;
    if (go && f->retry.pause_us < USEC_PER_SEC) {
        /* Followed at once, but not forever. */
        f->retry.pause_us = MAX(f->retry.pause_us, USEC_PER_MSEC) * 2;
        f->retry.timer.fn = begin;
        timer_start(&f->retry.timer, 0);
        return;
    }
    /* A leader that ZooKeeper named is asked again: it says nothing new about one that only starts.
     */
    if (!f->detector)
        f->leader.port = 0;
    lost(f, text);
}

static void on_done(struct http_call *call, int status, const char *error,
    const struct http_response *res, void *userdata)
{
    struct mesos_follower *f = userdata;
    if (!f->detector)
        f->leader.port = 0;
    router_routes_changed(f->router);
    lost(f, error ? error : "the stream ended");
}

static void begin(struct timer *t)
{
    struct mesos_follower *f = container_of(t, struct mesos_follower, retry.timer);
    struct router *r = f->router;
    if (!f->leader.port) {
        if (f->detector)
            f->leader = f->detected;
        else if (f->n_masters)
            f->leader = f->masters[f->at];
        if (!f->leader.port)
            return; /* ZooKeeper will tell */
    }
    recordio_decoder_done(&f->decoder);
    recordio_decoder_init(&f->decoder, ROUTER_RECORD_MAX);
    f->broken = false;
    _cleanup_buf_ struct buf shown = BUF_INIT;
    login_header(r->login, &shown);
    static const char body[] = "{\"type\":\"SUBSCRIBE\"}";
    const struct http_header headers[] = {{STR("User-Agent"), STR("Master Admin Router")},
        {STR("Content-Type"), STR("application/json")}, {STR("Accept"), STR("application/json")},
        {STR("Authorization"), buf_str(&shown)}};
    const struct http_call_options o = {.method = "POST",
        .host = f->leader.host,
        .port = f->leader.port,
        .tls = f->leader.tls,
        .target = "/api/v1",
        .headers = headers,
        .n_headers = shown.n ? 4 : 3,
        .body = body,
        .body_n = sizeof(body) - 1,
        .idle_timeout_us = SILENCE_US,
        .fresh = true};
    static const struct http_call_handlers handlers = {
        .on_response = on_response, .on_data = on_data, .on_done = on_done};
    f->call = http_call_start(r->http, &o, &handlers, f);
}

static void on_leader(const struct zk_master *leader, void *userdata)
{
    struct mesos_follower *f = userdata;
    if (leader && f->call && zk_master_is(leader, f->leader.host, f->leader.port))
        return;
    if (f->call)
        http_call_cancel(f->call);
    f->call = NULL;
    f->detected = (struct host_port){0};
    timer_stop(&f->retry.timer);
    if (leader) {
        snprintf(f->detected.host, sizeof(f->detected.host), "%s", zk_master_host(leader));
        f->detected.port = leader->port;
        f->detected.tls = f->router->options.mesos_tls;
        timer_start(&f->retry.timer, 0);
    }
    f->leader = f->detected;
    router_routes_changed(f->router);
}

static int read_masters(struct mesos_follower *f, struct error *err)
{
    _cleanup_free_ char *text = NULL;
    int r = zk_flag_load(f->router->options.master, &text, err);
    if (r < 0)
        return r;
    if (zk_is_url(text)) {
        _cleanup_zk_url_ struct zk_url url = {0};
        r = zk_url_parse(text, &url, err);
        return r < 0 ? r
                     : zk_detector_new(f->router->loop, &url, 0, on_leader, f, &f->detector, err);
    }
    struct str rest = str_of(text), part;
    while (str_split(&rest, ',', &part)) {
        if (f->n_masters == ROUTER_MASTERS_MAX)
            return error_set(err, -EINVAL, "--master names more than %d", ROUTER_MASTERS_MAX);
        struct host_port *m = &f->masters[f->n_masters++];
        if (host_port_parse(str_trim(part), m) < 0)
            return error_set(
                err, -EINVAL, "--master: '" STR_FMT "' is not HOST:PORT", STR_ARG(part));
        m->tls = m->tls || f->router->options.mesos_tls;
    }
    timer_start(&f->retry.timer, 0);
    return 0;
}

int mesos_follower_new(struct router *r, struct mesos_follower **ret, struct error *err)
{
    struct mesos_follower *f = xnew(struct mesos_follower);
    f->router = r;
    recordio_decoder_init(&f->decoder, ROUTER_RECORD_MAX);
    retry_init(&f->retry, r, begin);
    int status = read_masters(f, err);
    if (status < 0) {
        mesos_follower_free(f);
        return status;
    }
    *ret = f;
    return 0;
}

void mesos_follower_free(struct mesos_follower *f)
{
    if (!f)
        return;
    timer_stop(&f->retry.timer);
    zk_detector_free(f->detector);
    if (f->call)
        http_call_cancel(f->call);
    forget(f);
    map_done(&f->frameworks);
    map_done(&f->agents);
    recordio_decoder_done(&f->decoder);
    free(f);
}

/* ---- rows ---- */

static void add(struct table_builder *b, char kind, const char *name, const void *t, size_t n)
{
    _cleanup_buf_ struct buf key = BUF_INIT;
    buf_printf(&key, "%c:%s", kind, name);
    (void)table_add(b, buf_cstr(&key), t, n); /* names over the limit are not reachable */
}

static void add_framework(
    struct mesos_follower *f, struct table_builder *b, const struct framework *fw)
{
    if (!fw->webui_url)
        return;
    struct host_port where = {0};
    struct target t = {0};
    struct str base = {"", 0};
    _cleanup_buf_ struct buf row = BUF_INIT, name = BUF_INIT;
    service_name(&name, fw->name);
    if (!*fw->webui_url) {
        t.flags = TARGET_ASK_DNS;
        base = buf_str(&name);
    } else {
        struct str url = str_of(fw->webui_url);
        const ptrdiff_t scheme = str_index(url, ':');
        size_t end = scheme > 0 && url.n > (size_t)scheme + 3 ? (size_t)scheme + 3 : 0;
        while (end < url.n && url.p[end] != '/')
            end++;
        if (host_port_parse((struct str){url.p, end}, &where) < 0 ||
            !resolver_get(f->router->resolver, where.host, &t))
            return;
        t.port = where.port;
        t.flags = where.tls ? TARGET_TLS : 0;
        base = (struct str){url.p + end, url.n - end};
        while (base.n && base.p[base.n - 1] == '/')
            base.n--;
    }
    if (base.n > UINT8_MAX)
        return;
    t.name_n = (uint8_t)base.n;
    buf_append(&row, &t, sizeof(t));
    buf_append(&row, base.p, base.n);
    add(b, 'i', fw->id, row.p, row.n);
    if (name.n)
        add(b, 'n', buf_cstr(&name), row.p, row.n);
}

void mesos_follower_add(struct mesos_follower *f, struct table_builder *b, uint32_t *bits)
{
    if (f->known)
        *bits |= ROUTES_HAVE_MESOS;
    if (f->known || f->tried)
        *bits |= ROUTES_TRIED_MESOS;
    struct target t = {.port = f->leader.port, .flags = f->leader.tls ? TARGET_TLS : 0};
    if (t.port && resolver_get(f->router->resolver, f->leader.host, &t))
        add(b, 'l', "mesos", &t, sizeof(t));
    MAP_FOREACH (e, &f->agents) {
        const struct agent *a = e->value;
        struct target where = {.port = a->port};
        if (resolver_get(f->router->resolver, a->host, &where))
            add(b, 'a', a->id, &where, sizeof(where));
    }
    MAP_FOREACH (e, &f->frameworks)
        add_framework(f, b, e->value);
}
