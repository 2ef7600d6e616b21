#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/parse.h"
#include "json/json.h"
#include "net/shell.h"
#include "net/spartan.h"

/* What the options say, made into zones, networks, addresses and a core. */

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

/* "ip:port" or "[ip6]:port". */
static int split_listen(struct str part, char host[ADDRESS_TEXT], uint16_t *ret_port)
{
    size_t colon = part.n;
    while (colon > 0 && part.p[colon - 1] != ':')
        colon--;
    struct str ip = {part.p, colon > 0 ? colon - 1 : 0};
    if (ip.n >= 2 && ip.p[0] == '[' && ip.p[ip.n - 1] == ']')
        ip = (struct str){ip.p + 1, ip.n - 2};
    if (ip.n == 0 || ip.n >= ADDRESS_TEXT ||
        parse_port((struct str){part.p + colon, part.n - colon}, ret_port) < 0)
        return -EINVAL;
    memcpy(host, ip.p, ip.n);
    host[ip.n] = '\0';
    return 0;
}

static int listen_at(struct net *n, const char *host, uint16_t port, struct error *err)
{
    int status = dns_server_listen(n->dns, host, port, &port, err);
    if (status < 0)
        return status;
    if (n->dns_port == 0)
        n->dns_port = port;
    log_info("serving DNS address=%s port=%u", host, port);
    return 0;
}

int net_listen(struct net *n, const struct net_options *o, struct error *err)
{
    struct str rest = str_of(o->dns_listen), part;
    int status = each(o->networks, "recursion_networks", push_network, n->dns, err);
    while (status == 0 && str_split(&rest, ',', &part)) {
        char host[ADDRESS_TEXT];
        uint16_t port;
        part = str_trim(part);
        if (split_listen(part, host, &port) < 0)
            return error_set(
                err, -EINVAL, "--dns_listen: '" STR_FMT "' is not ip:port", STR_ARG(part));
        status = listen_at(n, host, port, err);
        if (status < 0)
            return error_prefix(err, status, "--dns_listen");
    }
    if (status < 0 || !o->spartan)
        return status;
    status = spartan_up(&n->spartan, err);
    if (status < 0)
        return error_prefix(err, status, "--spartan");
    log_info("this node's addresses are up interface=%s kind=%s",
        n->spartan.kind == SPARTAN_LO ? "lo" : SPARTAN_INTERFACE, n->spartan.type);
    for (size_t i = 0; i < n->spartan.n; i++) {
        char ip[ADDRESS_TEXT];
        address_text(&n->spartan.addresses[i], ip);
        status = listen_at(n, ip, SPARTAN_PORT, err);
        if (status < 0)
            return error_prefix(err, status, "--spartan");
    }
    return 0;
}

/* What is listened on, for ns1.mesos; wildcards have no address of their own. */
static void listeners(struct net_config *c, const char *text)
{
    struct str rest = str_of(text), part;
    static const struct address any, any6 = {.v6 = true};
    while (str_split(&rest, ',', &part)) {
        struct address a;
        char host[ADDRESS_TEXT];
        uint16_t port;
        if (split_listen(str_trim(part), host, &port) == 0 && address_parse(host, &a) == 0)
            vec_push(&c->listeners, address_eq(&a, &any) || address_eq(&a, &any6) ? c->node : a);
    }
}

int net_configure(struct net *n, const struct net_options *o, struct error *err)
{
    struct net_config c = {.strict = o->strict};
    if (address_parse(o->ip, &c.node) < 0)
        return error_set(err, -EINVAL, "--ip: %s is no address", o->ip);
    int status = each(o->public_ips, "public_ips", push_address, &c.public, err);
    if (status == 0)
        status = net_masters_read(n, o, &c, err);
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
