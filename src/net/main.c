#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/flags.h"
#include "base/log.h"
#include "base/parse.h"
#include "json/json.h"
#include "net/shell.h"
#include "process/daemon.h"
#include "zk/url.h"

/* Options and wiring of dcos-net. */

struct resolving {
    struct loop_work work;
    struct net *net;
    char *host;
    bool found, abandoned;
    struct address ip;
};

struct running {
    struct net net;
    const struct net_options *o;
    struct tls_context *tls;
    struct login *login;
    struct resolving *resolving;
    char hostname[256];
    int failure;
    bool was_subscribed, told;
};

static void on_signal(void *userdata, int signum)
{
    struct running *r = userdata;
    log_info("ending signal=%d", signum);
    loop_stop(r->net.loop);
}

/* ---- host names of schedulers ---- */

static void resolve_work(struct loop_work *w)
{
    struct resolving *r = container_of(w, struct resolving, work);
    const struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    if (getaddrinfo(r->host, NULL, &hints, &list) != 0 || !list)
        return;
    memcpy(r->ip.bytes, &((const struct sockaddr_in *)(const void *)list->ai_addr)->sin_addr, 4);
    r->found = true;
    freeaddrinfo(list);
}

static void resolve_next(struct running *r);

static void resolve_done(struct loop_work *w)
{
    struct resolving *done = container_of(w, struct resolving, work);
    struct running *r = container_of(done->net, struct running, net);
    if (!done->abandoned) {
        r->resolving = NULL;
        net_core_resolved(r->net.core, done->host, done->found ? &done->ip : NULL);
        resolve_next(r);
    }
    free(done->host);
    free(done);
}

/* One after the other: there are few, and a slow one holds up nothing else. */
static void resolve_next(struct running *r)
{
    const char *host = r->resolving ? NULL : net_core_unresolved(r->net.core);
    if (!host)
        return;
    struct resolving *work = xnew(struct resolving);
    work->work = (struct loop_work){.work = resolve_work, .done = resolve_done};
    work->net = &r->net;
    work->host = xstrdup(host);
    r->resolving = work;
    loop_work_start(r->net.loop, &work->work);
}

/* ---- events ---- */

static void on_event(const Mesos__V1__Master__Event *e, void *userdata)
{
    struct running *r = userdata;
    net_core_event(r->net.core, e);
    r->net.changed_us = clock_realtime_us();
    if (r->net.nft)
        nft_wake(r->net.nft);
    resolve_next(r);
}

static void on_leader(const char *host, uint16_t port, void *userdata)
{
    struct running *r = userdata;
    struct address ip;
    (void)snprintf(r->net.leader, sizeof(r->net.leader), "%s:%u", host, port);
    if (address_parse(host, &ip) == 0)
        net_core_leader(r->net.core, &ip, port);
    log_info("following master=%s", r->net.leader);
    r->told = false;
}

static void on_masters(const struct zk_master *masters, size_t n, void *userdata)
{
    struct running *r = userdata;
    if (r->net.masters_of_events)
        net_masters_found(masters, n, &r->net);
}

static void on_disconnected(const char *reason, void *userdata)
{
    struct running *r = userdata;
    if (!r->told)
        log_warn("no events from the master, records stay as they are reason=%s", reason);
    r->told = true;
}

static void tell_ready(const struct running *r)
{
    const struct net *n = &r->net;
    char more[64];
    (void)snprintf(more, sizeof(more), ",\"dns_port\":%u,\"mesos_dns_port\":%u", n->dns_port,
        n->mesos_http_port);
    daemon_tell_ready(r->o->ready_file, r->o->http_ip, r->o->port, more);
}

static int start(struct running *r, struct net_options *o, struct error *err)
{
    static const struct events_handlers handlers = {.on_event = on_event,
        .on_leader = on_leader,
        .on_disconnected = on_disconnected,
        .on_masters = on_masters};
    struct net *n = &r->net;
    bool exposed = false;
    int status = net_configure(n, o, err);
    if (status == 0 && o->ca_file)
        status = tls_context_new_client(o->ca_file, true, &r->tls, err);
    const struct login_files files = {o->credential, o->token_file, o->service_account};
    if (status == 0)
        status = login_open(n->loop, &files, r->tls, &r->login, &exposed, err);
    if (status < 0)
        return status;
    if (exposed)
        log_warn("others can read the file with the credential");
    if (o->vips)
        n->nft = nft_new(n->loop, "nft", n->vips);
    n->forwarder = forwarder_new(n->loop);
    n->dns = dns_server_new(n->loop, &n->resolver, n->forwarder);
    status = net_listen(n, o, err);
    const struct events_options events = {.masters = o->master, .tls = r->tls, .login = r->login};
    if (status == 0)
        status = events_new(n->loop, &events, &handlers, r, &n->events, err);
    if (status == 0)
        status = net_masters_start(n, o, err);
    net_servers_start(n);
    n->http = http_server_new(n->loop, NULL, net_http_handle, n);
    n->mesos_http = http_server_new(n->loop, NULL, mesos_http_handle, n);
    if (status == 0)
        status = http_server_listen(n->http, o->http_ip, o->port, NULL, &o->port, err);
    if (status == 0)
        status = http_server_listen(
            n->mesos_http, o->http_ip, o->mesos_port, NULL, &n->mesos_http_port, err);
    return status;
}

static void stop(struct running *r)
{
    struct net *n = &r->net;
    if (r->resolving)
        r->resolving->abandoned = true;
    struct error err = ERROR_INIT;
    events_free(n->events);
    zk_detector_free(n->masters);
    if (n->zk_file)
        timer_stop(&n->zk_timer);
    if (n->http)
        http_server_free(n->http);
    if (n->mesos_http)
        http_server_free(n->mesos_http);
    forwarder_free(n->forwarder);
    dns_server_free(n->dns);
    if (spartan_down(&n->spartan, &err) < 0)
        log_warn("%s, ignoring", err.msg);
    VEC_FOREACH (z, &n->resolver.zones) {
        for (size_t i = 0; i < (*z)->n_upstreams; i++)
            free((*z)->upstreams[i]);
        free((*z)->name);
        free(*z);
    }
    vec_done(&n->resolver.zones);
    if (n->asking)
        process_abandon(n->asking);
    nft_free(n->nft);
    if (n->core)
        net_core_forget(n->core);
    if (n->vips)
        vips_free(n->vips);
    if (n->core)
        net_core_free(n->core);
    login_free(r->login);
    if (r->tls)
        tls_context_free(r->tls);
}

int main(int argc, char **argv)
{
    struct net_options o = {0};
    struct flag flags[] = {
        {"master", FLAG_STRING, &o.master, NULL, "MASTERS",
            "host:port[,...], zk://host:port,.../path or file:///path", .required = true},
        {"ip", FLAG_STRING, &o.ip, "127.0.0.1", "ADDRESS",
            "this node's address, thisnode.thisdcos.directory"},
        {"public_ips", FLAG_STRING, &o.public_ips, NULL, "ADDRESSES", "its public addresses"},
        {"hostname", FLAG_STRING, &o.hostname, NULL, "NAME", "its name; default is the system's"},
        {"masters", FLAG_STRING, &o.masters, NULL, "ADDRESSES",
            "all masters, for master.mesos and zk-N.zk: ip,..., a file with them or zk://...; "
            "none: "
            "as --master when that is a ZooKeeper; the leader is always one"},
        {"dns_listen", FLAG_STRING, &o.dns_listen, "127.0.0.1:61053", "LIST",
            "addresses to serve DNS on, ip:port; 0.0.0.0 and [::] answer from where they were "
            "asked"},
        {"spartan", FLAG_BOOL, &o.spartan, "false", NULL,
            "also serve DNS on this node's own 198.51.100.1 to 3 and fd01:d::c633:6401, port 53, "
            "on "
            "an interface spartan, which is there while it runs; needs root"},
        {"http_ip", FLAG_STRING, &o.http_ip, "127.0.0.1", "ADDRESS", "address of both HTTP APIs"},
        {"port", FLAG_PORT, &o.port, "62080", "PORT", "port of the HTTP API; 0 picks a free one"},
        {"mesos_dns_port", FLAG_PORT, &o.mesos_port, "8123", "PORT",
            "port of mesos-dns' HTTP API; 0 picks a free one"},
        {"upstream_resolvers", FLAG_STRING, &o.upstreams, NULL, "LIST",
            "servers for all other names, ip[:port]; none: they are refused"},
        {"forward_zones", FLAG_STRING, &o.forward_zones, NULL, "JSON",
            "{\"zone\": [\"ip[:port]\"]}"},
        {"recursion_networks", FLAG_STRING, &o.networks, "127.0.0.0/8,::1,198.51.100.0/24", "LIST",
            "who may ask for names that are forwarded, and has no limit of answers"},
        {"vips", FLAG_BOOL, &o.vips, "true", NULL,
            "put virtual addresses into the kernel; needs root and nft"},
        {"aliases", FLAG_STRING, &o.aliases, NULL, "LIST", "name.zone.thisdcos.directory=target"},
        {"cluster_crypto_id", FLAG_STRING, &o.crypto_id, NULL, "ID",
            "zbase32 of the cluster's key, for <label>.<id>.dcos.directory"},
        {"ip_sources", FLAG_STRING, &o.ip_sources, "host,netinfo", "LIST",
            "which addresses tasks have below .mesos: the first source that has some"},
        {"enforce_rfc952", FLAG_BOOL, &o.strict, "false", NULL,
            "24 characters and no digits in front, below .mesos"},
        {"round_robin", FLAG_BOOL, &o.rotate, "true", NULL,
            "turn the order of records by the id of the question"},
        {"mesos_ttl", FLAG_DURATION, &o.mesos_ttl_us, "60secs", "DURATION",
            "TTL of names below .mesos"},
        {"credential", FLAG_STRING, &o.credential, NULL, "PATH",
            "principal and secret for the master"},
        {"token_file", FLAG_STRING, &o.token_file, NULL, "PATH", "token for the master"},
        SERVICE_ACCOUNT_FLAG(&o.service_account),
        {"ca_file", FLAG_STRING, &o.ca_file, NULL, "PATH",
            "authorities of a master that speaks TLS; also: speak it"},
        {"logging_level", FLAG_STRING, &o.logging_level, "INFO", "LEVEL",
            "error, warning, info or debug"},
        {"ready_file", FLAG_STRING, &o.ready_file, NULL, "PATH",
            "written once it serves: {\"ip\",\"port\",\"dns_port\",\"mesos_dns_port\",\"pid\"}"},
    };
    static const struct program program = {.name = "dcos-net",
        .summary = "Names and virtual addresses: DNS, mesos-dns, load balancing.",
        .env_prefix = "DCOS_NET",
        .version = DCOS_VERSION};
    struct error err = ERROR_INIT;
    log_init("dcos-net");
    int status = flags_parse(&program, flags, ARRAY_SIZE(flags), argc, argv, &err);
    if (status == 0)
        status = daemon_log_level(o.logging_level, &err);
    if (status < 0)
        fprintf(stderr, "dcos-net: %s\n", err.msg);
    if (status != 0)
        return status > 0 ? 0 : 2;
    struct running r = {.o = &o};
    struct net *n = &r.net;
    if (!o.hostname) {
        (void)gethostname(r.hostname, sizeof(r.hostname) - 1);
        o.hostname = r.hostname;
    }
    _cleanup_free_ char *shown = zk_url_shown(o.master);
    n->masters_shown = shown;
    n->hostname = o.hostname;
    n->listen_text = o.dns_listen;
    n->changed_us = clock_realtime_us();
    n->loop = loop_new();
    n->start_us = loop_now_us(n->loop);
    struct loop_signal *term = loop_signal_new(n->loop, SIGTERM, on_signal, &r);
    struct loop_signal *intr = loop_signal_new(n->loop, SIGINT, on_signal, &r);
    if (start(&r, &o, &err) < 0) {
        log_error("cannot start error=%s", err.msg);
        r.failure = 1;
    } else {
        log_info("serving address=%s:%u version=%s", o.http_ip, o.port, DCOS_VERSION);
        tell_ready(&r);
        loop_run(n->loop);
    }
    stop(&r);
    loop_signal_free(term);
    loop_signal_free(intr);
    loop_free(n->loop);
    return r.failure;
}
