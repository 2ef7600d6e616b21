#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "router/router.h"
#include "router/service.h"
#include "scheduler/leader_stream.h"

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
    struct leader_stream *stream;
    struct host_port leader; /* port 0: not known */
    struct map frameworks, agents;
    bool known, tried, told;
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
    f->router->read_much = true;
    f->told = false;
    leader_stream_works(f->stream, SILENCE_US);
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

static void on_record(const char *p, size_t n, void *userdata)
{
    struct mesos_follower *f = userdata;
    if (!concerns_us(p, n))
        return;
    _cleanup_json_ json_t *event = NULL;
    struct error err = ERROR_INIT;
    if (json_parse(p, n, &event, &err) < 0) {
        log_warn("master: an event is not JSON error=%s", err.msg);
        leader_stream_again(f->stream, "an event is not JSON");
        return;
    }
    if (apply(f, event))
        router_routes_changed(f->router);
}

/* ---- the stream ---- */

static void fill(struct buf *body, void *userdata)
{
    buf_puts(body, "{\"type\":\"SUBSCRIBE\"}");
}

static void on_open(const struct http_response *res, void *userdata)
{
    struct mesos_follower *f = userdata;
    const struct leader_address *at = leader_stream_address(f->stream);
    snprintf(f->leader.host, sizeof(f->leader.host), "%s", at->host);
    f->leader.port = at->port;
    f->leader.tls = at->tls;
    router_routes_changed(f->router);
}

static void on_end(bool worked, int status, const char *why, void *userdata)
{
    struct mesos_follower *f = userdata;
    char text[64];
    if (status)
        snprintf(text, sizeof(text), "it answered with status %d", status);
    f->tried = true;
    if (!f->told)
        log_warn("master is not followed, what is known stays error=%s", status ? text : why);
    f->told = true;
    /* Only ZooKeeper knows who leads when the stream does not tell. */
    if (!leader_stream_detects(f->stream))
        f->leader.port = 0;
    router_routes_changed(f->router);
}

static void on_leader(const struct zk_master *leader, void *userdata)
{
    struct mesos_follower *f = userdata;
    f->leader = (struct host_port){0};
    if (leader) {
        snprintf(f->leader.host, sizeof(f->leader.host), "%s", zk_master_host(leader));
        f->leader.port = leader->port;
        f->leader.tls = f->router->options.mesos_tls;
    }
    router_routes_changed(f->router);
}

int mesos_follower_new(struct router *r, struct mesos_follower **ret, struct error *err)
{
    static const struct leader_stream_handlers handlers = {.fill = fill,
        .on_open = on_open,
        .on_record = on_record,
        .on_end = on_end,
        .on_leader = on_leader};
    struct mesos_follower *f = xnew(struct mesos_follower);
    f->router = r;
    const struct leader_stream_options options = {.masters = r->options.master,
        .tls = r->options.mesos_tls,
        .http = r->http,
        .login = r->login,
        .target = "/api/v1",
        .type = "application/json",
        .agent = "Master Admin Router",
        .record_max = ROUTER_RECORD_MAX,
        .silence_us = SILENCE_US};
    int status = leader_stream_new(r->loop, &options, &handlers, f, &f->stream, err);
    if (status < 0) {
        mesos_follower_free(f);
        return error_prefix(err, status, "--master");
    }
    leader_stream_start(f->stream);
    *ret = f;
    return 0;
}

void mesos_follower_free(struct mesos_follower *f)
{
    if (!f)
        return;
    leader_stream_free(f->stream);
    forget(f);
    map_done(&f->frameworks);
    map_done(&f->agents);
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
        if (where.tls && f->router->options.upstream_ca && f->router->marathon &&
            marathon_follower_is(f->router->marathon, &where))
            t.flags |= TARGET_CHECKED;
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
        struct target where = {
            .port = a->port, .flags = f->router->options.mesos_tls ? TARGET_TLS : 0};
        if (resolver_get(f->router->resolver, a->host, &where))
            add(b, 'a', a->id, &where, sizeof(where));
    }
    MAP_FOREACH (e, &f->frameworks)
        add_framework(f, b, e->value);
}
