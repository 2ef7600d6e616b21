#include <stdio.h>

#include "json/writer.h"
#include "net/shell.h"

/* mesos-dns' HTTP API. A name that nobody has is answered with one record of empty strings. */

static void version(struct http_request *req, void *userdata)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct json_writer w;
    (void)userdata;
    jw_init(&w, &out);
    jw_begin_object(&w);
    jw_field_string(&w, "Service", "Mesos-DNS");
    jw_field_string(&w, "Version", "v" DCOS_VERSION);
    jw_field_string(&w, "URL", "https://github.com/mesosphere/mesos-dns");
    jw_end_object(&w);
    http_respond_json(req, 200, &out);
}

static void addresses(struct json_writer *w, const char *key, const struct address *items, size_t n,
    const char *suffix)
{
    jw_key(w, key);
    jw_begin_array(w);
    for (size_t i = 0; i < n; i++) {
        char ip[ADDRESS_TEXT], text[ADDRESS_TEXT + 8];
        address_text(&items[i], ip);
        (void)snprintf(text, sizeof(text), "%s%s", ip, suffix);
        jw_string(w, text);
    }
    jw_end_array(w);
}

static void put_zones(struct json_writer *w, const struct net *n)
{
    jw_key(w, "ZoneResolvers");
    jw_begin_object(w);
    VEC_FOREACH (z, &n->resolver.zones) {
        if (!(*z)->name[0])
            continue;
        jw_key(w, (*z)->name);
        jw_begin_array(w);
        for (size_t i = 0; i < (*z)->n_upstreams; i++)
            jw_string(w, (*z)->upstreams[i]->text);
        jw_end_array(w);
    }
    jw_end_object(w);
    jw_key(w, "Resolvers");
    jw_begin_array(w);
    VEC_FOREACH (z, &n->resolver.zones)
        for (size_t i = 0; !(*z)->name[0] && i < (*z)->n_upstreams; i++)
            jw_string(w, (*z)->upstreams[i]->text);
    jw_end_array(w);
}

static void config(struct http_request *req, void *userdata)
{
    const struct net *n = userdata;
    const struct net_config *c = net_core_config(n->core);
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct json_writer w;
    bool zk = has_prefix(n->masters_shown, "zk://");
    jw_init(&w, &out);
    jw_begin_object(&w);
    jw_field_i64(&w, "RefreshSeconds", 0); /* records follow events */
    jw_field_i64(&w, "Port", n->dns_port);
    jw_field_i64(&w, "Timeout", 5);
    jw_field_i64(&w, "StateTimeoutSeconds", 60);
    jw_field_i64(&w, "ZkDetectionTimeout", 30);
    jw_field_i64(&w, "HttpPort", n->mesos_http_port);
    jw_field_i64(&w, "TTL", n->resolver.mesos_ttl);
    jw_field_i64(&w, "SRVRecordDefaultWeight", 1);
    jw_field_i64(&w, "SOASerial", (int64_t)net_core_names(n->core)->version);
    jw_field_i64(&w, "SOARefresh", 60);
    jw_field_i64(&w, "SOARetry", 600);
    jw_field_i64(&w, "SOAExpire", 86400);
    jw_field_i64(&w, "SOAMinttl", 60);
    jw_field_string(&w, "SOAMname", "ns1.mesos.");
    jw_field_string(&w, "SOARname", "root.ns1.mesos.");
    addresses(&w, "Masters", c->masters.items, c->masters.n, ":5050");
    put_zones(&w, n);
    jw_key(&w, "IPSources");
    jw_begin_array(&w);
    for (size_t i = 0; i < c->n_ip_sources; i++)
        jw_string(&w, c->ip_sources[i] == IP_HOST ? "host" : "netinfo");
    jw_end_array(&w);
    jw_field_string(&w, "Zk", zk ? n->masters_shown : "");
    jw_field_string(&w, "Domain", "mesos");
    jw_field_string(&w, "File", "");
    jw_field_string(&w, "Listener", n->listen_text);
    jw_field_string(&w, "HTTPListener", "127.0.0.1");
    jw_field_bool(&w, "RecurseOn", true);
    jw_field_bool(&w, "DnsOn", true);
    jw_field_bool(&w, "HttpOn", true);
    jw_field_bool(&w, "ExternalOn", n->resolver.zones.n > 0);
    jw_field_bool(&w, "EnforceRFC952", c->strict);
    jw_field_bool(&w, "SetTruncateBit", true);
    jw_field_bool(&w, "EnumerationOn", true);
    jw_field_bool(&w, "MesosHTTPSOn", has_prefix(n->masters_shown, "https://"));
    jw_end_object(&w);
    http_respond_json(req, 200, &out);
}

static void hosts(struct http_request *req, void *userdata)
{
    const struct net *n = userdata;
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct json_writer w;
    struct route route;
    char text[NAME_TEXT_MAX], shown[NAME_TEXT_MAX + 1], ip[ADDRESS_TEXT];
    const struct name *name = net_lookup(n, http_route_var(req, "name"), &route, text);
    size_t found = 0;
    (void)snprintf(shown, sizeof(shown), "%s.", text);
    jw_init(&w, &out);
    jw_begin_array(&w);
    for (size_t i = 0; name && i < name->records.n; i++) {
        const struct record *r = &name->records.items[i];
        if (r->type != DNS_A && r->type != DNS_AAAA)
            continue;
        net_record_ip(r, ip);
        jw_begin_object(&w);
        jw_field_string(&w, "host", shown);
        jw_field_string(&w, "ip", ip);
        jw_end_object(&w);
        found++;
    }
    if (found == 0) {
        jw_begin_object(&w);
        jw_field_string(&w, "host", "");
        jw_field_string(&w, "ip", "");
        jw_end_object(&w);
    }
    jw_end_array(&w);
    http_respond_json(req, 200, &out);
}

static void ports(struct http_request *req, void *userdata)
{
    (void)userdata;
    http_respond_text(req, 501, "Not Implemented\n");
}

static void put_service(
    struct json_writer *w, const char *service, const char *host, const char *ip, const char *port)
{
    jw_begin_object(w);
    jw_field_string(w, "service", service);
    jw_field_string(w, "host", host);
    jw_field_string(w, "ip", ip);
    jw_field_string(w, "port", port);
    jw_end_object(w);
}

/* One for each family in which the target has an address; without one, an empty ip. */
static void put_target(struct json_writer *w, const struct net *n, const char *service,
    const struct route *route, const struct record *r)
{
    char shown[NAME_TEXT_MAX], host[NAME_TEXT_MAX + 1], port[8], ip[ADDRESS_TEXT];
    net_name_shown(route, r->target, shown);
    (void)snprintf(host, sizeof(host), "%s.", shown);
    (void)snprintf(port, sizeof(port), "%u", r->port);
    bool four = net_target_ip(n, r->target, DNS_A, ip);
    if (four)
        put_service(w, service, host, ip, port);
    if (net_target_ip(n, r->target, DNS_AAAA, ip))
        put_service(w, service, host, ip, port);
    else if (!four)
        put_service(w, service, host, "", port);
}

static void services(struct http_request *req, void *userdata)
{
    const struct net *n = userdata;
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct json_writer w;
    struct route route;
    char text[NAME_TEXT_MAX];
    struct str asked = http_route_var(req, "name");
    const char *service = arena_strndup(&req->arena, asked.p, asked.n);
    const struct name *name = net_lookup(n, asked, &route, text);
    size_t found = 0;
    jw_init(&w, &out);
    jw_begin_array(&w);
    for (size_t i = 0; name && i < name->records.n; i++)
        if (name->records.items[i].type == DNS_SRV) {
            put_target(&w, n, service, &route, &name->records.items[i]);
            found++;
        }
    if (found == 0)
        put_service(&w, "", "", "", "");
    jw_end_array(&w);
    http_respond_json(req, 200, &out);
}

/* ---- /v1/enumerate ---- */

static void put_task(struct json_writer *w, const struct net_task *t)
{
    jw_begin_object(w);
    jw_field_string(w, "name", t->name);
    jw_field_string(w, "id", t->id);
    jw_key(w, "records");
    jw_begin_array(w);
    VEC_FOREACH (g, &t->mesos.items) {
        char host[NAME_TEXT_MAX + 8], name[NAME_TEXT_MAX + 1];
        (void)snprintf(name, sizeof(name), "%s.", g->name);
        if (g->target)
            (void)snprintf(host, sizeof(host), "%s.:%u", g->target, g->port);
        else
            address_text(&g->ip, host);
        jw_begin_object(w);
        jw_field_string(w, "name", name);
        jw_field_string(w, "host", host);
        jw_field_string(w, "rtype", g->target ? "SRV" : g->ip.v6 ? "AAAA" : "A");
        jw_end_object(w);
    }
    jw_end_array(w);
    jw_end_object(w);
}

static void enumerate(struct http_request *req, void *userdata)
{
    const struct net *n = userdata;
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &out);
    jw_begin_object(&w);
    jw_key(&w, "frameworks");
    jw_begin_array(&w);
    MAP_FOREACH (f, net_core_frameworks(n->core)) {
        const struct net_framework *framework = f->value;
        jw_begin_object(&w);
        jw_key(&w, "tasks");
        jw_begin_array(&w);
        MAP_FOREACH (e, net_core_tasks(n->core)) {
            const struct net_task *t = e->value;
            if (t->mesos.items.n > 0 && streq(t->framework_id, framework->id))
                put_task(&w, t);
        }
        jw_end_array(&w);
        jw_field_string(&w, "name", framework->name);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    jw_end_object(&w);
    http_respond_json(req, 200, &out);
}

/* ---- /v1/axfr ---- */

static void put_type(struct json_writer *w, const struct net *n, const char *key, uint16_t type)
{
    jw_key(w, key);
    jw_begin_object(w);
    MAP_FOREACH (e, &net_core_names(n->core)->map) {
        const struct name *name = e->value;
        char text[NAME_TEXT_MAX + 8];
        bool begun = false;
        if (!name_within(str_of(name->text), STR("mesos")))
            continue;
        VEC_FOREACH (r, &name->records) {
            if (r->type != type)
                continue;
            if (!begun) {
                (void)snprintf(text, sizeof(text), "%s.", name->text);
                jw_key(w, text);
                jw_begin_array(w);
                begun = true;
            }
            if (type == DNS_SRV) {
                (void)snprintf(text, sizeof(text), "%s.:%u", r->target, r->port);
            } else {
                net_record_ip(r, text);
            }
            jw_string(w, text);
        }
        if (begun)
            jw_end_array(w);
    }
    jw_end_object(w);
}

static void axfr(struct http_request *req, void *userdata)
{
    const struct net *n = userdata;
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &out);
    jw_begin_object(&w);
    jw_field_i64(&w, "TTL", n->resolver.mesos_ttl);
    jw_field_i64(&w, "Serial", (int64_t)net_core_names(n->core)->version);
    jw_field_i64(&w, "RefreshSeconds", 0);
    jw_field_string(&w, "Mname", "ns1.mesos.");
    jw_field_string(&w, "Rname", "root.ns1.mesos.");
    jw_field_string(&w, "Domain", "mesos");
    jw_key(&w, "Records");
    jw_begin_object(&w);
    put_type(&w, n, "As", DNS_A);
    put_type(&w, n, "AAAAs", DNS_AAAA);
    put_type(&w, n, "SRVs", DNS_SRV);
    jw_end_object(&w);
    jw_end_object(&w);
    http_respond_json(req, 200, &out);
}

void mesos_http_handle(struct http_request *req, void *userdata)
{
    static const struct http_route routes[] = {
        {1u << HTTP_GET, "/v1/version", version},
        {1u << HTTP_GET, "/v1/config", config},
        {1u << HTTP_GET, "/v1/hosts/:name", hosts},
        {1u << HTTP_GET, "/v1/hosts/:name/ports", ports},
        {1u << HTTP_GET, "/v1/services/:name", services},
        {1u << HTTP_GET, "/v1/enumerate", enumerate},
        {1u << HTTP_GET, "/v1/axfr", axfr},
    };
    (void)http_route(req, routes, ARRAY_SIZE(routes), userdata);
}
