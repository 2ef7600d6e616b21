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
#include "zk/url.h"

/* Options and wiring of dcos-net. */

struct options {
    const char *master, *ip, *http_ip, *dns_listen, *masters, *public_ips, *upstreams,
        *forward_zones;
    const char *networks, *ip_sources, *aliases, *crypto_id, *hostname, *ready_file, *logging_level;
    const char *credential, *token_file, *ca_file, *service_account;
    bool strict, rotate, vips;
    uint16_t port, mesos_port;
    int64_t mesos_ttl_us;
};

struct resolving {
    struct loop_work work;
    struct net *net;
    char *host;
    bool found, abandoned;
    struct address ip;
};

struct running {
    struct net net;
    const struct options *o;
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

static void on_disconnected(const char *reason, void *userdata)
{
    struct running *r = userdata;
    if (!r->told)
        log_warn("no events from the master, records stay as they are reason=%s", reason);
    r->told = true;
}

/* ---- options ---- */

/* Calls fn for each part of "a,b,c". */
static int each(const char *list, const char *flag, int (*fn)(struct str part, void *userdata),
    void *userdata, struct error *err)
{
    struct str rest = str_of(list), part;
    while (list && str_split(&rest, ',', &part)) {
        part = str_trim(part);
        if (part.n > 0 && fn(part, userdata) < 0)
            return error_set(
                err, -EINVAL, "--%s: '" STR_FMT "' cannot be read", flag, STR_ARG(part));
    }
    return 0;
}

static int push_address(struct str part, void *userdata)
{
    VEC(struct address) *v = userdata;
    char text[ADDRESS_TEXT];
    struct address a;
    if (part.n >= sizeof(text))
        return -EINVAL;
    memcpy(text, part.p, part.n);
    text[part.n] = '\0';
    if (address_parse(text, &a) < 0)
        return -EINVAL;
    vec_push(v, a);
    return 0;
}

static int push_upstream(struct str part, void *userdata)
{
    struct forward_zone *z = userdata;
    struct upstream *u = z->n_upstreams < RESOLVE_UPSTREAMS_MAX ? upstream_new(part) : NULL;
    if (!u)
        return -EINVAL;
    z->upstreams[z->n_upstreams++] = u;
    return 0;
}

static int push_source(struct str part, void *userdata)
{
    struct net_config *c = userdata;
    if (c->n_ip_sources == ARRAY_SIZE(c->ip_sources))
        return -EINVAL;
    if (str_eq_c(part, "host"))
        c->ip_sources[c->n_ip_sources++] = IP_HOST;
    else if (str_eq_c(part, "netinfo"))
        c->ip_sources[c->n_ip_sources++] = IP_NETINFO;
    else
        return -EINVAL;
    return 0;
}

static int push_network(struct str part, void *userdata)
{
    struct network n;
    if (network_parse(part, &n) < 0)
        return -EINVAL;
    dns_server_trust(userdata, &n);
    return 0;
}

static struct forward_zone *zone_new(struct net *n, const char *name)
{
    char text[NAME_TEXT_MAX];
    struct forward_zone *z = xnew(struct forward_zone);
    (void)net_name_asked(str_of(name), text);
    z->name = xstrdup(text);
    vec_push(&n->resolver.zones, z);
    return z;
}

/* {"zone": ["ip[:port]", ...], ...} */
static int forward_zones(struct net *n, const char *text, struct error *err)
{
    _cleanup_json_ json_t *json = NULL;
    const char *key;
    json_t *list;
    int r = json_parse(text, strlen(text), &json, err);
    if (r < 0 || !json_is_object(json))
        return error_set(
            err, -EINVAL, "--forward_zones is a JSON object: zone to a list of addresses");
    json_object_foreach(json, key, list)
    {
        struct forward_zone *z = n->resolver.zones.n < RESOLVE_FORWARDS_MAX ? zone_new(n, key)
                                                                            : NULL;
        if (!z || !z->name[0] || !json_is_array(list) || json_array_size(list) == 0)
            return error_set(
                err, -EINVAL, "--forward_zones: %s: expected a list of addresses", key);
        for (size_t i = 0; i < json_array_size(list); i++) {
            const char *to = json_string_value(json_array_get(list, i));
            if (!to || push_upstream(str_of(to), z) < 0)
                return error_set(err, -EINVAL, "--forward_zones: %s: an address is ip[:port]", key);
        }
    }
    return 0;
}

static int aliases(struct net *n, const char *text, struct error *err)
{
    struct str rest = str_of(text), part;
    while (text && str_split(&rest, ',', &part)) {
        char name[NAME_TEXT_MAX], target[NAME_TEXT_MAX];
        ptrdiff_t eq = str_index(part, '=');
        if (eq < 0)
            return error_set(
                err, -EINVAL, "--aliases: '" STR_FMT "' is not name=target", STR_ARG(part));
        (void)net_name_asked(str_trim((struct str){part.p, (size_t)eq}), name);
        (void)net_name_asked(
            str_trim((struct str){part.p + eq + 1, part.n - (size_t)eq - 1}), target);
        int r = net_core_alias(n->core, name, target, err);
        if (r < 0)
            return error_prefix(err, r, "--aliases");
    }
    return 0;
}

/* Addresses to serve DNS on: a list of ip:port. */
static int listen_all(struct running *r, struct error *err)
{
    struct str rest = str_of(r->o->dns_listen), part;
    while (str_split(&rest, ',', &part)) {
        part = str_trim(part);
        size_t colon = part.n;
        while (colon > 0 && part.p[colon - 1] != ':')
            colon--;
        char host[ADDRESS_TEXT];
        uint16_t port;
        struct str ip = {part.p, colon > 0 ? colon - 1 : 0};
        if (ip.n >= 2 && ip.p[0] == '[' && ip.p[ip.n - 1] == ']')
            ip = (struct str){ip.p + 1, ip.n - 2};
        if (ip.n == 0 || ip.n >= sizeof(host) ||
            parse_port((struct str){part.p + colon, part.n - colon}, &port) < 0)
            return error_set(
                err, -EINVAL, "--dns_listen: '" STR_FMT "' is not ip:port", STR_ARG(part));
        memcpy(host, ip.p, ip.n);
        host[ip.n] = '\0';
        int status = dns_server_listen(r->net.dns, host, port, &port, err);
        if (status < 0)
            return error_prefix(err, status, "--dns_listen");
        if (r->net.dns_port == 0)
            r->net.dns_port = port;
        log_info("serving DNS address=%s:%u", host, port);
    }
    return 0;
}

/* What is listened on, for ns1.mesos; wildcards have no address of their own. */
static void listeners(struct net_config *c, const char *text)
{
    struct str rest = str_of(text), part;
    while (str_split(&rest, ',', &part)) {
        size_t colon = part.n;
        while (colon > 0 && part.p[colon - 1] != ':')
            colon--;
        static const struct address any, any6 = {.v6 = true};
        struct address a;
        char host[ADDRESS_TEXT];
        struct str ip = str_trim((struct str){part.p, colon > 0 ? colon - 1 : 0});
        if (ip.n >= 2 && ip.p[0] == '[')
            ip = (struct str){ip.p + 1, ip.n - 2};
        if (ip.n == 0 || ip.n >= sizeof(host))
            continue;
        memcpy(host, ip.p, ip.n);
        host[ip.n] = '\0';
        if (address_parse(host, &a) == 0)
            vec_push(&c->listeners, address_eq(&a, &any) || address_eq(&a, &any6) ? c->node : a);
    }
}

static int configure(struct running *r, struct error *err)
{
    const struct options *o = r->o;
    struct net *n = &r->net;
    struct net_config c = {.strict = o->strict};
    if (address_parse(o->ip, &c.node) < 0)
        return error_set(err, -EINVAL, "--ip: %s is no address", o->ip);
    int status = each(o->public_ips, "public_ips", push_address, &c.public, err);
    if (status == 0)
        status = each(o->masters, "masters", push_address, &c.masters, err);
    if (status == 0)
        status = each(o->ip_sources, "ip_sources", push_source, &c, err);
    if (status == 0 && c.n_ip_sources == 0)
        status = error_set(err, -EINVAL, "--ip_sources: host, netinfo or both");
    listeners(&c, o->dns_listen);
    n->core = net_core_new(&c);
    n->vips = vips_new(net_core_names_rw(n->core));
    net_core_on_task(n->core, vips_on_task, n->vips);
    if (status == 0 && o->forward_zones)
        status = forward_zones(n, o->forward_zones, err);
    if (status == 0 && o->upstreams && o->upstreams[0])
        status = each(o->upstreams, "upstream_resolvers", push_upstream, zone_new(n, ""), err);
    if (status == 0)
        status = aliases(n, o->aliases, err);
    n->resolver.core = n->core;
    n->resolver.crypto_id = o->crypto_id;
    n->resolver.rotate = o->rotate ? ROTATE_ROUND_ROBIN : ROTATE_NONE;
    n->resolver.mesos_ttl = (uint32_t)(o->mesos_ttl_us / USEC_PER_SEC);
    return status;
}

static void write_ready(const struct running *r)
{
    const struct net *n = &r->net;
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct error err = ERROR_INIT;
    buf_printf(&text,
        "{\"ip\":\"%s\",\"port\":%u,\"dns_port\":%u,\"mesos_dns_port\":%u,\"pid\":%d}\n",
        r->o->http_ip, r->o->port, n->dns_port, n->mesos_http_port, (int)getpid());
    if (r->o->ready_file && file_write_atomic(r->o->ready_file, text.p, text.n, 0644, &err) < 0)
        log_warn("cannot write the ready file error=%s, ignoring", err.msg);
}

static int start(struct running *r, struct options *o, struct error *err)
{
    static const struct events_handlers handlers = {
        .on_event = on_event, .on_leader = on_leader, .on_disconnected = on_disconnected};
    struct net *n = &r->net;
    bool exposed = false;
    int status = configure(r, err);
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
    status = each(o->networks, "recursion_networks", push_network, n->dns, err);
    if (status == 0)
        status = listen_all(r, err);
    const struct events_options events = {.masters = o->master, .tls = r->tls, .login = r->login};
    if (status == 0)
        status = events_new(n->loop, &events, &handlers, r, &n->events, err);
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
    events_free(n->events);
    if (n->http)
        http_server_free(n->http);
    if (n->mesos_http)
        http_server_free(n->mesos_http);
    forwarder_free(n->forwarder);
    dns_server_free(n->dns);
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
    struct options o = {0};
    struct flag flags[] = {
        {"master", FLAG_STRING, &o.master, NULL, "MASTERS",
            "host:port[,...], zk://host:port,.../path or file:///path", .required = true},
        {"ip", FLAG_STRING, &o.ip, "127.0.0.1", "ADDRESS",
            "this node's address, thisnode.thisdcos.directory"},
        {"public_ips", FLAG_STRING, &o.public_ips, NULL, "ADDRESSES", "its public addresses"},
        {"hostname", FLAG_STRING, &o.hostname, NULL, "NAME", "its name; default is the system's"},
        {"masters", FLAG_STRING, &o.masters, NULL, "ADDRESSES",
            "addresses of all masters, for master.mesos and zk-N.zk; the leader is always one"},
        {"dns_listen", FLAG_STRING, &o.dns_listen, "127.0.0.1:61053", "LIST",
            "addresses to serve DNS on, ip:port; on nodes 198.51.100.1:53 and so on"},
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
    enum log_level level;
    log_init("dcos-net");
    int status = flags_parse(&program, flags, ARRAY_SIZE(flags), argc, argv, &err);
    if (status < 0)
        fprintf(stderr, "dcos-net: %s\n", err.msg);
    if (status != 0)
        return status > 0 ? 0 : 2;
    if (log_level_parse(o.logging_level, &level) == 0)
        log_set_level(level);
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
        write_ready(&r);
        loop_run(n->loop);
    }
    stop(&r);
    loop_signal_free(term);
    loop_signal_free(intr);
    loop_free(n->loop);
    return r.failure;
}
