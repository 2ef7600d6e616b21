#include "marathon/match.h"

#include "base/str.h"

void match_result_done(struct match_result *r)
{
    json_decref(r->resources);
    free(r->ports);
    *r = (struct match_result){0};
}

bool match_accepts_role(
    const struct app *a, const char *instance_role, enum accepted_behavior b, const char *role)
{
    if (a->accepted) {
        for (char **p = a->accepted; *p; p++)
            if (streq(*p, role))
                return true;
        return false;
    }
    bool unreserved = streq(role, "*"), own = streq(role, instance_role);
    return (b != ACCEPTED_RESERVED && unreserved) || (b != ACCEPTED_UNRESERVED && own);
}

static bool accepts(const struct match_input *in, const struct offer_resource *r)
{
    return r->usable && match_accepts_role(in->app, in->role, in->accepted, r->role);
}

static int64_t available(const struct match_input *in, const struct offer *o, const char *name)
{
    int64_t sum = 0;
    for (size_t i = 0; i < o->resources.n; i++) {
        const struct offer_resource *r = &o->resources.items[i];
        if (streq(r->name, name) && accepts(in, r))
            sum += r->milli;
    }
    return sum;
}

static void take_scalar(
    const struct match_input *in, struct offer *o, const char *name, int64_t milli, json_t *out)
{
    /* Reserved resources first: the others can serve anybody. */
    for (int pass = 0; pass < 2 && milli > 0; pass++)
        VEC_FOREACH (r, &o->resources) {
            if (milli <= 0 || !streq(r->name, name) || r->milli <= 0 || !accepts(in, r) ||
                streq(r->role, "*") != (pass == 1))
                continue;
            int64_t take = MIN(milli, r->milli);
            json_t *piece = json_deep_copy(r->form);
            json_object_set_new(
                piece, "scalar", json_pack("{s:f}", "value", (double)take / 1000.0));
            json_array_append_new(out, piece);
            r->milli -= take;
            milli -= take;
        }
}

static bool port_offered(const struct match_input *in, const struct offer *o, int32_t port)
{
    for (size_t i = 0; i < o->resources.n; i++) {
        const struct offer_resource *r = &o->resources.items[i];
        if (!streq(r->name, "ports") || !accepts(in, r))
            continue;
        for (size_t k = 0; k < r->ranges.n; k++)
            if (r->ranges.items[k].begin <= port && port <= r->ranges.items[k].end)
                return true;
    }
    return false;
}

static bool chosen(const uint16_t *ports, size_t n, int32_t port)
{
    for (size_t i = 0; i < n; i++)
        if (ports[i] == port)
            return true;
    return false;
}

/* The nth port of all that are offered and accepted; -1 past the end. */
static int32_t nth_port(const struct match_input *in, const struct offer *o, int64_t n)
{
    for (size_t i = 0; i < o->resources.n; i++) {
        const struct offer_resource *r = &o->resources.items[i];
        if (!streq(r->name, "ports") || !accepts(in, r))
            continue;
        for (size_t k = 0; k < r->ranges.n; k++) {
            int64_t size = r->ranges.items[k].end - r->ranges.items[k].begin + 1;
            if (n < size)
                return (int32_t)(r->ranges.items[k].begin + n);
            n -= size;
        }
    }
    return -1;
}

static int64_t count_ports(const struct match_input *in, const struct offer *o)
{
    int64_t n = 0;
    for (size_t i = 0; i < o->resources.n; i++) {
        const struct offer_resource *r = &o->resources.items[i];
        for (size_t k = 0; streq(r->name, "ports") && accepts(in, r) && k < r->ranges.n; k++)
            n += r->ranges.items[k].end - r->ranges.items[k].begin + 1;
    }
    return n;
}

/* Fixed ports must be offered; the others come from a random start, with wrap-around. */
static bool choose_ports(
    const struct match_input *in, const struct offer *o, uint16_t *ports, size_t *ret_n)
{
    const struct app *a = in->app;
    uint16_t fixed[APP_PORTS_MAX];
    size_t n_fixed = 0, n = 0;
    for (size_t i = 0; i < a->n_ports; i++)
        if (a->ports[i].host > 0) {
            if (!port_offered(in, o, a->ports[i].host) || chosen(fixed, n_fixed, a->ports[i].host))
                return false;
            fixed[n_fixed++] = (uint16_t)a->ports[i].host;
        }
    int64_t total = count_ports(in, o), used = 0;
    int64_t start = total > 0 ? (int64_t)rng_below(in->rng, (uint64_t)total) : 0;
    for (size_t i = 0; i < a->n_ports; i++) {
        if (a->ports[i].host < 0)
            continue;
        if (a->ports[i].host > 0) {
            ports[n++] = (uint16_t)a->ports[i].host;
            continue;
        }
        int32_t port = -1;
        while (used < total) {
            port = nth_port(in, o, (start + used++) % total);
            if (!chosen(fixed, n_fixed, port))
                break;
            port = -1;
        }
        if (port < 0)
            return false;
        ports[n++] = (uint16_t)port;
    }
    *ret_n = n;
    return true;
}

static void take_port(const struct match_input *in, struct offer *o, uint16_t port, json_t *out)
{
    VEC_FOREACH (r, &o->resources) {
        if (!streq(r->name, "ports") || !accepts(in, r))
            continue;
        for (size_t k = 0; k < r->ranges.n; k++) {
            struct port_range range = r->ranges.items[k];
            if (port < range.begin || port > range.end)
                continue;
            vec_remove(&r->ranges, k);
            if (range.begin < port)
                vec_push(&r->ranges, (struct port_range){range.begin, port - 1});
            if (port < range.end)
                vec_push(&r->ranges, (struct port_range){port + 1, range.end});
            /* Ports of one resource go into one piece. */
            for (size_t j = 0; j < json_array_size(out); j++) {
                json_t *piece = json_array_get(out, j);
                json_t *ranges = json_object_get(json_object_get(piece, "ranges"), "range");
                _cleanup_json_ json_t *bare = json_copy(piece);
                json_object_del(bare, "ranges");
                if (ranges && json_equal(bare, r->form)) {
                    json_array_append_new(
                        ranges, json_pack("{s:i,s:i}", "begin", port, "end", port));
                    return;
                }
            }
            json_t *piece = json_deep_copy(r->form);
            json_object_set_new(
                piece, "ranges", json_pack("{s:[{s:i,s:i}]}", "range", "begin", port, "end", port));
            json_array_append_new(out, piece);
            return;
        }
    }
}

static enum reject_reason check(const struct match_input *in, const struct offer *o)
{
    const struct app *a = in->app;
    bool any = false, location = false;
    if (!streq(o->role, in->role))
        return REJECT_ROLE;
    for (size_t i = 0; i < o->resources.n && !any; i++)
        any = accepts(in, &o->resources.items[i]);
    if (!any)
        return REJECT_ROLE;
    struct place at = {o->hostname, o->region, o->zone, o->attributes};
    for (size_t i = 0; i < a->n_constraints; i++) {
        const struct constraint *c = &a->constraints[i];
        location = location || streq(c->field, "@region") || streq(c->field, "@zone");
        if (!constraint_matches(c, &at, in->placed, in->n_placed, in->wanted))
            return REJECT_CONSTRAINT;
    }
    if (!o->local_region && !location)
        return REJECT_CONSTRAINT;
    if (available(in, o, "cpus") < a->cpus_milli)
        return REJECT_CPUS;
    if (available(in, o, "mem") < a->mem_milli)
        return REJECT_MEM;
    if (available(in, o, "disk") < a->disk_milli)
        return REJECT_DISK;
    if (available(in, o, "gpus") < a->gpus_milli)
        return REJECT_GPUS;
    return REJECT_NONE;
}

enum reject_reason match_offer(
    const struct match_input *in, struct offer *o, struct match_result *ret)
{
    const struct app *a = in->app;
    enum reject_reason reason = check(in, o);
    uint16_t ports[APP_PORTS_MAX];
    size_t n = 0;
    if (reason != REJECT_NONE)
        return reason;
    if (!choose_ports(in, o, ports, &n))
        return REJECT_PORTS;
    json_t *resources = json_array();
    take_scalar(in, o, "cpus", a->cpus_milli, resources);
    take_scalar(in, o, "mem", a->mem_milli, resources);
    take_scalar(in, o, "disk", a->disk_milli, resources);
    take_scalar(in, o, "gpus", a->gpus_milli, resources);
    for (size_t i = 0; i < n; i++)
        take_port(in, o, ports[i], resources);
    *ret = (struct match_result){.resources = resources, .n_ports = n};
    ret->ports = xnew_array(uint16_t, n + 1);
    memcpy(ret->ports, ports, n * sizeof(*ports));
    return REJECT_NONE;
}
