#include "net/resolve.h"

#include <errno.h>
#include <stdio.h>

#include "base/alloc.h"

enum { ZONE_TTL = 5, NS_TTL = 3600, DATA_MAX = 2 * NAME_WIRE_MAX + 32 };

static const char DIRECTORY[] = "thisdcos.directory";
static const char GLOBAL[] = "thisdcos.global";

struct answering {
    const struct resolver *r;
    const struct dns_query *q;
    struct dns_writer w;
    struct route route;
    uint32_t ttl;
};

/* ---- routing ---- */

/* Cuts "<label>.<suffix>" off the end of name; false when there is no label in front. */
static bool zone_of(struct str name, const char *suffix, struct str *zone, struct str *label)
{
    struct str s = str_of(suffix);
    if (!name_within(name, s) || name.n == s.n)
        return false;
    size_t end = name.n - s.n - 1, start = end;
    while (start > 0 && name.p[start - 1] != '.')
        start--;
    *label = (struct str){name.p + start, end - start};
    *zone = (struct str){name.p + start, name.n - start};
    return true;
}

static void route_directory(const struct resolver *r, struct str label, struct route *ret)
{
    static const struct {
        const char *label, *inner;
    } zones[] = {{"dcos", "dcos.thisdcos.directory"}, {"mesos", "mesos"},
        {"l4lb", "l4lb.thisdcos.directory"}, {"dclb", "l4lb.thisdcos.directory"},
        {"thisnode", "thisnode.thisdcos.directory"}};
    ret->known = true;
    for (size_t i = 0; i < ARRAY_SIZE(zones); i++)
        if (str_eq_c(label, zones[i].label)) {
            ret->inner = str_of(zones[i].inner);
            ret->exists = true;
            return;
        }
    MAP_FOREACH (e, net_core_aliases(r->core))
        if (name_within(str_of(e->key), label) ||
            (strlen(e->key) > label.n && memcmp(e->key, label.p, label.n) == 0 &&
                e->key[label.n] == '.')) {
            ret->inner = str_of(e->key);
            ret->exists = true;
            return;
        }
    ret->inner = ret->outer;
}

void resolve_route(const struct resolver *r, struct str name, struct route *ret)
{
    static const char *const plain[] = {"mesos", "spartan", "zk", "localhost"};
    struct str label;
    *ret = (struct route){0};
    for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
        if (name_within(name, str_of(plain[i]))) {
            ret->outer = ret->inner = str_of(plain[i]);
            ret->mesos = i == 0;
            ret->known = ret->exists = true;
            return;
        }
    if (zone_of(name, DIRECTORY, &ret->outer, &label) ||
        zone_of(name, GLOBAL, &ret->outer, &label)) {
        route_directory(r, label, ret);
        return;
    }
    char suffix[NAME_TEXT_MAX];
    if (!r->crypto_id)
        return;
    (void)snprintf(suffix, sizeof(suffix), "%s.dcos.directory", r->crypto_id);
    if (zone_of(name, suffix, &ret->outer, &label))
        route_directory(r, label, ret);
}

void resolve_inner(const struct route *route, struct str name, struct buf *out)
{
    buf_append(out, name.p, name.n - route->outer.n);
    buf_append(out, route->inner.p, route->inner.n);
}

/* The name of a record as the asker has to see it. */
static struct str outer_name(const struct route *route, struct str name, char out[NAME_TEXT_MAX])
{
    if (!name_within(name, route->inner) ||
        name.n - route->inner.n + route->outer.n >= NAME_TEXT_MAX)
        return name;
    size_t n = name.n - route->inner.n;
    memcpy(out, name.p, n);
    memcpy(out + n, route->outer.p, route->outer.n);
    return (struct str){out, n + route->outer.n};
}

/* ---- records ---- */

static bool put_soa(struct answering *a, enum dns_section section)
{
    static const struct {
        const char *mname, *rname;
        uint32_t numbers[4];
    } mesos = {"ns1.mesos", "root.ns1.mesos", {60, 600, 86400, 60}},
      other = {"ns.spartan", "support.mesosphere.com", {60, 180, 86400, 1}};
    const typeof(mesos) *s = a->route.mesos ? &mesos : &other;
    uint8_t data[DATA_MAX];
    size_t n = 0;
    if (!dns_name_write(str_of(s->mname), data, sizeof(data), &n) ||
        !dns_name_write(str_of(s->rname), data, sizeof(data), &n))
        return false;
    dns_set_u32(data + n, a->route.mesos ? (uint32_t)net_core_names(a->r->core)->version : 1);
    for (size_t i = 0; i < 4; i++)
        dns_set_u32(data + n + 4 + 4 * i, s->numbers[i]);
    return dns_put(&a->w, section, a->route.outer, DNS_SOA, a->ttl, data, n + 20);
}

static bool put_ns(struct answering *a, enum dns_section section)
{
    uint8_t data[DATA_MAX];
    size_t n = 0;
    const char *ns = a->route.mesos ? "ns1.mesos" : "ns.spartan";
    return dns_name_write(str_of(ns), data, sizeof(data), &n) &&
           dns_put(
               &a->w, section, a->route.outer, DNS_NS, a->route.mesos ? a->ttl : NS_TTL, data, n);
}

static bool put_record(
    struct answering *a, enum dns_section section, struct str owner, const struct record *r)
{
    uint8_t data[DATA_MAX];
    char text[NAME_TEXT_MAX];
    if (r->type == DNS_A || r->type == DNS_AAAA)
        return dns_put(&a->w, section, owner, r->type, a->ttl, r->ip, r->type == DNS_A ? 4 : 16);
    size_t n = 0;
    if (r->type == DNS_SRV) {
        /* mesos-dns says 0 1; the mirror of its zone 1 1. */
        dns_set_u16(data, a->route.mesos ? 0 : 1);
        dns_set_u16(data + 2, 1);
        dns_set_u16(data + 4, r->port);
        n = 6;
    }
    struct str target = outer_name(&a->route, str_of(r->target), text);
    return dns_name_write(target, data, sizeof(data), &n) &&
           dns_put(&a->w, section, owner, r->type, a->ttl, data, n);
}

/* All of a type, the first one by the message's id: round robin for those who ask again. */
static size_t put_all(struct answering *a, enum dns_section section, struct str owner,
    const struct name *name, uint16_t type)
{
    size_t n = 0, put = 0;
    VEC_FOREACH (r, &name->records)
        n += r->type == type;
    if (n == 0)
        return 0;
    size_t skip = a->r->rotate == ROTATE_ROUND_ROBIN ? a->q->id % n : 0;
    for (size_t pass = 0; pass < 2; pass++) {
        size_t i = 0;
        VEC_FOREACH (r, &name->records) {
            if (r->type != type)
                continue;
            if ((i++ < skip) == (pass == 1)) {
                if (!put_record(a, section, owner, r))
                    return n;
                put++;
            }
        }
    }
    return put;
}

static void put_targets(struct answering *a, const struct name *name)
{
    const struct names *names = net_core_names(a->r->core);
    bool full = a->w.full;
    VEC_FOREACH (r, &name->records) {
        if (r->type != DNS_SRV)
            continue;
        bool before = false;
        for (struct record *o = name->records.items; o < r; o++)
            before = before || (o->type == DNS_SRV && streq(o->target, r->target));
        const struct name *target = before ? NULL : names_get(names, str_of(r->target));
        char text[NAME_TEXT_MAX];
        if (!target)
            continue;
        struct str owner = outer_name(&a->route, str_of(target->text), text);
        for (size_t type = 0; type < 2; type++)
            VEC_FOREACH (ip, &target->records)
                if (ip->type == (type ? DNS_AAAA : DNS_A)) {
                    (void)put_record(a, DNS_ADDITIONAL, owner, ip);
                    break;
                }
    }
    a->w.full = full; /* additional ones are left out without a word */
}

/* ".*" in names below .mesos counts for nothing. */
static struct str without_stars(struct str name, char out[NAME_TEXT_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] == '.' && i + 1 < name.n && name.p[i + 1] == '*') {
            i++;
            continue;
        }
        out[n++] = name.p[i];
    }
    return (struct str){out, n};
}

static unsigned answer_zone(struct answering *a)
{
    const struct names *names = net_core_names(a->r->core);
    struct str asked = {a->q->name, a->q->name_n}, owner = asked;
    char text[NAME_TEXT_MAX], stars[NAME_TEXT_MAX];
    uint16_t type = a->q->type;
    if (a->route.mesos)
        asked = without_stars(asked, stars);
    size_t n = asked.n - a->route.outer.n;
    if (asked.n < a->route.outer.n || n + a->route.inner.n >= sizeof(text))
        return DNS_NXDOMAIN;
    memcpy(text, asked.p, n);
    memcpy(text + n, a->route.inner.p, a->route.inner.n);
    const struct name *name = names_get(names, (struct str){text, n + a->route.inner.n});
    if (n == 0 && (type == DNS_SOA || type == DNS_NS)) {
        enum dns_section section = a->route.mesos ? DNS_AUTHORITY : DNS_ANSWER;
        (void)(type == DNS_SOA ? put_soa(a, section) : put_ns(a, section));
        return DNS_NOERROR;
    }
    if (name && type != DNS_CNAME) {
        size_t aliases = put_all(a, DNS_ANSWER, owner, name, DNS_CNAME);
        if (aliases > 0)
            return DNS_NOERROR;
    }
    size_t found = name ? put_all(a, DNS_ANSWER, owner, name, type) : 0;
    if (found > 0) {
        if (type == DNS_SRV)
            put_targets(a, name);
        return DNS_NOERROR;
    }
    if (a->route.mesos && !name && (type == DNS_SRV || type == DNS_SOA || type == DNS_NS))
        return DNS_NOERROR;
    (void)put_soa(a, DNS_AUTHORITY);
    return name || n == 0 ? DNS_NOERROR : DNS_NXDOMAIN;
}

/* ---- the whole ---- */

size_t resolve_refuse(
    const void *query, const struct dns_query *q, unsigned rcode, void *out, size_t cap)
{
    struct dns_writer w;
    dns_begin(&w, out, cap, query, q, rcode, false, true);
    return dns_end(&w, q);
}

size_t resolve_truncated(const void *query, const struct dns_query *q, void *out, size_t cap)
{
    struct dns_writer w;
    dns_begin(&w, out, cap, query, q, DNS_NOERROR, false, true);
    dns_set_truncated(&w);
    return dns_end(&w, q);
}

static const struct forward_zone *forward_to(const struct resolver *r, struct str name)
{
    const struct forward_zone *best = NULL;
    VEC_FOREACH (z, &r->zones)
        if (name_within(name, str_of((*z)->name)) &&
            (!best || strlen((*z)->name) > strlen(best->name)))
            best = *z;
    return best;
}

enum resolved resolve(const struct resolver *r, const void *query, size_t n, bool udp,
    bool forwarding, struct dns_query *q, void *out, size_t cap, size_t *ret_n,
    const struct forward_zone **ret_zone)
{
    int status = dns_query_read(query, n, q);
    if (status == -EPROTO)
        return RESOLVED_DROP;
    if (status < 0) {
        struct dns_query bare = *q;
        bare.question_end = DNS_HEAD;
        bare.edns = false;
        *ret_n = resolve_refuse(query, &bare, DNS_FORMERR, out, cap);
        return RESOLVED_ANSWER;
    }
    size_t allowed = MIN((size_t)q->udp_size, (size_t)DNS_UDP_MAX);
    if (udp)
        cap = MIN(cap, allowed);
    unsigned rcode = q->opcode != 0        ? DNS_NOTIMP
                     : q->edns_version > 0 ? DNS_BADVERS & 15
                     : q->class != DNS_CLASS_IN || q->type == DNS_ANY || q->type == DNS_AXFR ||
                             q->type == DNS_IXFR
                         ? DNS_REFUSED
                         : DNS_NOERROR;
    if (rcode != DNS_NOERROR || q->edns_version > 0) {
        *ret_n = resolve_refuse(query, q, rcode, out, cap);
        return RESOLVED_ANSWER;
    }
    struct answering a = {.r = r, .q = q};
    resolve_route(r, (struct str){q->name, q->name_n}, &a.route);
    if (!a.route.known) {
        const struct forward_zone *zone = forward_to(r, (struct str){q->name, q->name_n});
        if (zone && forwarding && q->rd) {
            *ret_zone = zone;
            return RESOLVED_FORWARD;
        }
    }
    if (!a.route.known || !a.route.exists) {
        *ret_n = resolve_refuse(query, q, DNS_REFUSED, out, cap);
        return RESOLVED_ANSWER;
    }
    if (a.route.mesos && !net_core_loaded(r->core)) {
        /* Until the master was heard nothing can be said about what is not there. */
        *ret_n = resolve_refuse(query, q, DNS_SERVFAIL, out, cap);
        return RESOLVED_ANSWER;
    }
    a.ttl = a.route.mesos ? r->mesos_ttl : ZONE_TTL;
    dns_begin(&a.w, out, cap, query, q, DNS_NOERROR, true, true);
    rcode = answer_zone(&a);
    a.w.p[3] = (uint8_t)((a.w.p[3] & 0xf0) | rcode);
    if (a.w.full)
        dns_set_truncated(&a.w);
    *ret_n = dns_end(&a.w, q);
    return RESOLVED_ANSWER;
}
