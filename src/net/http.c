#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "json/writer.h"
#include "net/shell.h"
#include "process/metrics.h"

/* dcos-net's own HTTP API. */

static void version(struct http_request *req, void *userdata)
{
    (void)userdata;
    static const char text[] = "{\"Service\":\"dcos-dns\",\"Version\":\"" DCOS_VERSION "\"}";
    http_respond(req, 200, "application/json", text, sizeof(text) - 1);
}

static void absent(struct http_request *req, void *userdata)
{
    (void)userdata;
    http_respond(req, 501, NULL, NULL, 0);
}

static void hosts(struct http_request *req, void *userdata)
{
    const struct net *n = userdata;
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct json_writer w;
    struct route route;
    char text[NAME_TEXT_MAX], ip[ADDRESS_TEXT];
    const struct name *name = net_lookup(n, http_route_var(req, "name"), &route, text);
    jw_init(&w, &out);
    jw_begin_array(&w);
    for (size_t i = 0; name && i < name->records.n; i++) {
        if (name->records.items[i].type != DNS_A)
            continue;
        net_record_ip(&name->records.items[i], ip);
        jw_begin_object(&w);
        jw_field_string(&w, "host", text);
        jw_field_string(&w, "ip", ip);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    http_respond_json(req, 200, &out);
}

static void services(struct http_request *req, void *userdata)
{
    const struct net *n = userdata;
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct json_writer w;
    struct route route;
    char text[NAME_TEXT_MAX], host[NAME_TEXT_MAX], ip[ADDRESS_TEXT];
    const struct name *name = net_lookup(n, http_route_var(req, "name"), &route, text);
    jw_init(&w, &out);
    jw_begin_array(&w);
    for (size_t i = 0; name && i < name->records.n; i++) {
        const struct record *r = &name->records.items[i];
        if (r->type != DNS_SRV)
            continue;
        net_name_shown(&route, r->target, host);
        jw_begin_object(&w);
        jw_field_string(&w, "host", host);
        jw_field_i64(&w, "port", r->port);
        jw_field_string(&w, "service", text);
        if (net_target_ip(n, r->target, DNS_A, ip))
            jw_field_string(&w, "ip", ip);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    http_respond_json(req, 200, &out);
}

/* The mirror of .mesos stands for it: that zone is mesos-dns' own. */
static void records(struct http_request *req, void *userdata)
{
    const struct net *n = userdata;
    static const struct route mirror = {
        .outer = {"mesos.thisdcos.directory", 24}, .inner = {"mesos", 5}};
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct json_writer w;
    char text[NAME_TEXT_MAX], target[NAME_TEXT_MAX], host[NAME_TEXT_MAX + 8];
    jw_init(&w, &out);
    jw_begin_array(&w);
    MAP_FOREACH (e, &net_core_names(n->core)->map) {
        const struct name *name = e->value;
        net_name_shown(&mirror, name->text, text);
        VEC_FOREACH (r, &name->records) {
            if (r->type == DNS_CNAME)
                continue;
            if (r->type == DNS_SRV) {
                net_name_shown(&mirror, r->target, target);
                (void)snprintf(host, sizeof(host), "%s:%u", target, r->port);
            } else {
                net_record_ip(r, host);
            }
            jw_begin_object(&w);
            jw_field_string(&w, "name", text);
            jw_field_string(&w, "host", host);
            jw_field_string(&w, "rtype",
                r->type == DNS_SRV ? "SRV"
                : r->type == DNS_A ? "A"
                                   : "AAAA");
            jw_end_object(&w);
        }
    }
    jw_end_array(&w);
    http_respond_json(req, 200, &out);
}

static void put_node(struct json_writer *w, const struct address *ip, const char *hostname,
    const struct net_config *own, const char *updated)
{
    char text[ADDRESS_TEXT];
    address_text(ip, text);
    jw_begin_object(w);
    jw_field_string(w, "private_ip", text);
    jw_key(w, "public_ips");
    jw_begin_array(w);
    for (size_t i = 0; own && i < own->public.n; i++) {
        address_text(&own->public.items[i], text);
        jw_string(w, text);
    }
    jw_end_array(w);
    jw_field_string(w, "hostname", hostname);
    jw_field_string(w, "updated", updated);
    jw_end_object(w);
}

/* This node as it knows itself, the others as the master tells of them. */
static void nodes(struct http_request *req, void *userdata)
{
    const struct net *n = userdata;
    const struct net_config *c = net_core_config(n->core);
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct json_writer w;
    char updated[TIME_TEXT_SIZE];
    time_format_rfc3339(n->changed_us, updated);
    jw_init(&w, &out);
    jw_begin_array(&w);
    put_node(&w, &c->node, n->hostname, c, updated);
    VEC_FOREACH (m, &c->masters)
        if (!address_eq(m, &c->node))
            put_node(&w, m, "", NULL, updated);
    MAP_FOREACH (e, net_core_agents(n->core)) {
        const struct net_agent *a = e->value;
        if (!a->has_ip || address_eq(&a->ip, &c->node))
            continue;
        bool listed = false;
        VEC_FOREACH (m, &c->masters)
            listed = listed || address_eq(m, &a->ip);
        if (!listed)
            put_node(&w, &a->ip, a->hostname, NULL, updated);
    }
    jw_end_array(&w);
    http_respond_json(req, 200, &out);
}

/* ---- metrics ---- */

static void counter(struct buf *out, const char *name, const char *type, uint64_t value)
{
    buf_printf(out, "# TYPE %s %s\n%s %llu\n", name, type, name, (unsigned long long)value);
}

static void dns_metrics(const struct net *n, struct buf *out)
{
    const struct server_counts *s = dns_server_counts(n->dns);
    const struct cache *cache = forwarder_cache(n->forwarder);
    const struct names *names = net_core_names(n->core);
    buf_puts(
        out, "# TYPE forwarder_requests_total counter\n# TYPE forwarder_failures_total counter\n");
    VEC_FOREACH (z, &n->resolver.zones) {
        const char *name = (*z)->name[0] ? (*z)->name : ".";
        buf_printf(out, "forwarder_requests_total{zone=\"%s\"} %llu\n", name,
            (unsigned long long)(*z)->requests);
        buf_printf(out, "forwarder_failures_total{zone=\"%s\"} %llu\n", name,
            (unsigned long long)(*z)->failures);
    }
    counter(out, "zone_records", "gauge", names->n_records);
    counter(out, "zone_changes_total", "counter", names->version);
    counter(out, "queries_udp_total", "counter", s->udp);
    counter(out, "queries_tcp_total", "counter", s->tcp);
    counter(out, "answers_total", "counter", s->answers);
    counter(out, "forwarded_total", "counter", s->forwarded);
    counter(out, "cache_hits_total", "counter", cache->hits);
    counter(out, "cache_misses_total", "counter", cache->misses);
    counter(out, "cache_entries", "gauge", map_size(&cache->map));
    counter(out, "refused_total", "counter", s->refused);
    counter(out, "malformed_total", "counter", s->malformed);
    counter(out, "limited_total", "counter", s->limited);
    counter(out, "truncated_total", "counter", s->truncated);
}

static void listener_metrics(const struct net *n, struct buf *out)
{
    const struct events_counts *c = events_counts(n->events);
    counter(out, "is_leader", "gauge", events_subscribed(n->events));
    counter(out, "agents_total", "gauge", map_size(net_core_agents(n->core)));
    counter(out, "frameworks_total", "gauge", map_size(net_core_frameworks(n->core)));
    counter(out, "tasks_total", "gauge", map_size(net_core_tasks(n->core)));
    counter(out, "messages_total", "counter", c->messages);
    counter(out, "bytes_total", "counter", c->bytes);
    counter(out, "failures_total", "counter", c->failures);
}

static void metrics(struct http_request *req, void *userdata)
{
    const struct net *n = userdata;
    static const char *const known[] = {
        "default", "dns", "mesos_listener", "lashup", "l4lb", "overlay"};
    struct str registry = http_route_var(req, "registry");
    _cleanup_buf_ struct buf out = BUF_INIT;
    if (registry.n == 0)
        registry = STR("default");
    bool found = false;
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        found = found || str_eq_c(registry, known[i]);
    if (!found) {
        http_respond_text(req, 404, "Unknown Registry");
        return;
    }
    if (str_eq_c(registry, "dns"))
        dns_metrics(n, &out);
    else if (str_eq_c(registry, "mesos_listener"))
        listener_metrics(n, &out);
    else if (str_eq_c(registry, "l4lb"))
        vip_metrics(n, &out);
    else if (str_eq_c(registry, "default"))
        counter(&out, "uptime_seconds", "gauge",
            (uint64_t)((loop_now_us(n->loop) - n->start_us) / USEC_PER_SEC));
    http_respond(req, 200, PROMETHEUS_TYPE, out.p, out.n);
}

void net_http_handle(struct http_request *req, void *userdata)
{
    static const struct http_route routes[] = {
        {1u << HTTP_GET, "/v1/version", version},
        {1u << HTTP_GET, "/v1/config", absent},
        {1u << HTTP_GET, "/v1/enumerate", absent},
        {1u << HTTP_GET, "/v1/hosts/:name", hosts},
        {1u << HTTP_GET, "/v1/services/:name", services},
        {1u << HTTP_GET, "/v1/records", records},
        {1u << HTTP_GET, "/v1/vips", vip_http_list},
        {1u << HTTP_GET, "/v1/vips/status", vip_http_status},
        {1u << HTTP_GET, "/v1/nodes", nodes},
        {1u << HTTP_GET, "/v1/metrics", metrics},
        {1u << HTTP_GET, "/v1/metrics/:registry", metrics},
    };
    (void)http_route(req, routes, ARRAY_SIZE(routes), userdata);
}
