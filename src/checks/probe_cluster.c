/* Checks that ask daemons. */

#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/parse.h"
#include "base/vec.h"
#include "checks/probe.h"
#include "io/stream.h"

enum {
    MASTER_PORT = 5050,
    AGENT_PORT = 5051,
    NAMES_PORT = 8123,
    AGENT_ROUTER_PORT = 61001,
    ZOOKEEPER_PORT = 2181,
    VERSIONS_FINE = 2, /* an upgrade is under way */
    ANSWER_MAX = 64 * 1024,
    TIMEOUT_S = 10,
};

static int port_or(const char *text, uint16_t usual, uint16_t *ret)
{
    *ret = usual;
    return text ? parse_port(str_of(text), ret) : 0;
}

static int unknown(struct probe *p, const struct error *err)
{
    buf_printf(p->out, "%s\n", err->msg);
    return CHECK_UNKNOWN;
}

/* ---- mesos-metrics ---- */

int probe_mesos_metrics(struct probe *p)
{
    char ip[64];
    struct error err = ERROR_INIT;
    _cleanup_json_ json_t *metrics = NULL;
    bool master = streq(p->role, "master");
    uint16_t port;
    if (!master && !streq(p->role, "agent")) {
        buf_printf(p->out, "--role must be master or agent\n");
        return CHECK_CRITICAL;
    }
    if (port_or(p->port, master ? MASTER_PORT : AGENT_PORT, &port) < 0) {
        buf_printf(p->out, "--port %s is not a port\n", p->port);
        return CHECK_UNKNOWN;
    }
    int status = probe_node_ip(p, ip);
    if (status != CHECK_OK)
        return status;
    if (probe_fetch(p, ip, port, NULL, "/metrics/snapshot", &metrics, &err) < 0)
        return unknown(p, &err);
    const char *name = master ? "registrar/log/recovered" : "slave/registered";
    const json_t *value = json_at(metrics, name);
    if (!json_is_number(value)) {
        buf_printf(p->out, "%s is not among the metrics of %s:%u\n", name, ip, port);
        return CHECK_UNKNOWN;
    }
    if (json_number_value(value) == 1.0) {
        buf_printf(p->out, "%s\n",
            master ? "the master has its state"
                   : "the agent is registered with the leading master");
        return CHECK_OK;
    }
    buf_printf(p->out, "%s\n",
        master ? "the master has not read its state yet"
               : "the agent is not registered with a master");
    return master ? CHECK_UNKNOWN : CHECK_CRITICAL;
}

/* ---- version ---- */

struct versions {
    VEC(char *) items; /* each once, with the first node that has it */
    VEC(char *) nodes;
    int worst;
};

static void ask_version(
    struct probe *p, struct versions *v, const char *ip, uint16_t port, bool tls)
{
    struct error err = ERROR_INIT;
    _cleanup_json_ json_t *document = NULL;
    if (probe_fetch(p, ip, port, &tls, "/dcos-metadata/dcos-version.json", &document, &err) < 0) {
        v->worst = unknown(p, &err);
        return;
    }
    const char *version = json_str_at(document, "version", NULL);
    if (!version) {
        buf_printf(p->out, "%s does not say its version\n", ip);
        v->worst = CHECK_UNKNOWN;
        return;
    }
    for (size_t i = 0; i < v->items.n; i++)
        if (streq(v->items.items[i], version))
            return;
    vec_push(&v->items, xstrdup(version));
    vec_push(&v->nodes, xstrdup(ip));
}

static int ask_masters(struct probe *p, struct versions *v, struct error *err)
{
    _cleanup_json_ json_t *hosts = NULL;
    size_t i;
    json_t *host;
    int r = probe_fetch(p, p->address ? p->address : "127.0.0.1", NAMES_PORT, &(bool){false},
        "/v1/hosts/master.mesos", &hosts, err);
    if (r < 0)
        return r;
    json_array_foreach(hosts, i, host)
    {
        const char *ip = json_str_at(host, "ip", "");
        if (*ip)
            ask_version(p, v, ip, p->tls ? 443 : 80, p->tls);
    }
    return 0;
}

static int ask_agents(struct probe *p, struct versions *v, const char *ip, struct error *err)
{
    _cleanup_json_ json_t *slaves = NULL;
    size_t i;
    json_t *slave;
    int r = probe_fetch(p, ip, MASTER_PORT, NULL, "/slaves", &slaves, err);
    if (r < 0)
        return r;
    json_array_foreach(json_at(slaves, "slaves"), i, slave)
    {
        const char *host = json_str_at(slave, "hostname", "");
        if (*host && json_bool_at(slave, "active", true))
            ask_version(p, v, host, AGENT_ROUTER_PORT, p->tls);
    }
    return 0;
}

int probe_version(struct probe *p)
{
    struct versions v = {.worst = CHECK_OK};
    struct error err = ERROR_INIT;
    char ip[64];
    int status = probe_node_ip(p, ip);
    if (status != CHECK_OK)
        return status;
    if (ask_masters(p, &v, &err) < 0 || ask_agents(p, &v, ip, &err) < 0)
        v.worst = unknown(p, &err);
    for (size_t i = 0; i < v.items.n; i++)
        buf_printf(p->out, "%s (first seen on %s)\n", v.items.items[i], v.nodes.items[i]);
    if (v.worst == CHECK_OK && v.items.n > VERSIONS_FINE) {
        buf_printf(p->out, "%zu versions in one cluster; an upgrade has two\n", v.items.n);
        v.worst = CHECK_WARNING;
    }
    VEC_FOREACH (text, &v.items)
        free(*text);
    VEC_FOREACH (node, &v.nodes)
        free(*node);
    vec_done(&v.items);
    vec_done(&v.nodes);
    return v.worst;
}

/* ---- zookeeper ---- */

struct srvr {
    struct loop *loop;
    struct stream *stream;
    struct buf answer;
    int status;
    struct timer timeout;
};

static void srvr_end(struct srvr *s, int status)
{
    s->status = status;
    loop_stop(s->loop);
}

static void on_data(struct stream *stream, const char *data, size_t n, void *userdata)
{
    struct srvr *s = userdata;
    (void)stream;
    buf_append(&s->answer, data, n);
}

static void on_end(struct stream *stream, int status, void *userdata)
{
    (void)stream;
    srvr_end(userdata, status);
}

static void on_connect(struct stream *stream, int status, const char *error, void *userdata)
{
    static const struct stream_handlers handlers = {.on_data = on_data, .on_end = on_end};
    struct srvr *s = userdata;
    if (!stream) {
        buf_puts(&s->answer, error);
        srvr_end(s, status);
        return;
    }
    s->stream = stream;
    stream_set_handlers(stream, &handlers, s);
    stream_read_start(stream);
    stream_write(stream, "srvr", 4);
}

static void on_timeout(struct timer *t)
{
    srvr_end(container_of(t, struct srvr, timeout), -ETIMEDOUT);
}

static int judge_mode(struct probe *p, const struct srvr *s, const char *host, uint16_t port)
{
    const char *mode = s->answer.n ? strstr(buf_cstr(&s->answer), "Mode: ") : NULL;
    if (s->status < 0) {
        buf_printf(p->out, "ZooKeeper on %s:%u: %s\n", host, port,
            s->answer.n ? buf_cstr(&s->answer) : errno_text(s->status));
        return CHECK_CRITICAL;
    }
    if (!mode) {
        buf_printf(p->out, "ZooKeeper on %s:%u serves nobody: it has no quorum, or is starting\n",
            host, port);
        return CHECK_CRITICAL;
    }
    mode += strlen("Mode: ");
    buf_printf(p->out, "ZooKeeper is %.*s\n", (int)strcspn(mode, "\r\n"), mode);
    return CHECK_OK;
}

/* What dcos-bootstrap told the master of this node. No fault of the node: clusters from before
 * there were secrets are like that until an operator changes it. */
static void tell_if_open(struct probe *p)
{
    static const char TOLD[] = "/run/dcos/env/dcos-mesos-master";
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (file_read(TOLD, ANSWER_MAX, &text, NULL) >= 0 &&
        strstr(buf_cstr(&text), "DCOS_ZOOKEEPER_PROTECTED='false'"))
        buf_puts(p->out, "warning: everybody who reaches it may change the cluster's state; see "
                         "\"Secrets of masters\" in docs/security.md\n");
}

int probe_zookeeper(struct probe *p)
{
    struct srvr s = {.answer = BUF_INIT_MAX(ANSWER_MAX)};
    const char *host = p->address ? p->address : "127.0.0.1";
    uint16_t port;
    if (port_or(p->port, ZOOKEEPER_PORT, &port) < 0) {
        buf_printf(p->out, "--port %s is not a port\n", p->port);
        return CHECK_UNKNOWN;
    }
    s.loop = loop_new();
    const struct stream_connect_options options = {
        .host = host, .port = port, .timeout_us = TIMEOUT_S * USEC_PER_SEC};
    timer_init(&s.timeout, s.loop, on_timeout);
    timer_start(&s.timeout, TIMEOUT_S * USEC_PER_SEC);
    struct stream_connect *connect = stream_connect_start(s.loop, &options, on_connect, &s);
    loop_run(s.loop);
    timer_stop(&s.timeout);
    if (s.stream)
        stream_close(s.stream);
    else if (s.status == -ETIMEDOUT && s.answer.n == 0)
        stream_connect_cancel(connect);
    int status = judge_mode(p, &s, host, port);
    if (status == CHECK_OK && !p->address)
        tell_if_open(p);
    loop_free(s.loop);
    buf_done(&s.answer);
    return status;
}
