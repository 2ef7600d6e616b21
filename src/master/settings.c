#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parse.h"
#include "kernel/role.h"
#include "master/state.h"
#include "wire/codec.h"

/* Settings of the allocator that come as text: checked, and read into the core. */

/* fn for each non-empty part. */
static int each_part(const char *text, char separator,
    int (*fn)(struct master_core *core, char *part, struct error *err), struct master_core *core,
    struct error *err)
{
    struct str rest = str_of(text ? text : ""), part;
    while (rest.n && str_split(&rest, separator, &part)) {
        _cleanup_free_ char *copy = str_dup(part);
        int r = copy[0] ? fn(core, copy, err) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

static void put_name(struct map *names, const char *name)
{
    if (map_get(names, name))
        return;
    char *copy = xstrdup(name);
    map_put(names, copy, copy);
}

static void names_done(struct map *names)
{
    MAP_FOREACH (e, names)
        free(e->value);
    map_done(names);
}

static int read_role(struct master_core *core, char *part, struct error *err)
{
    int r = role_validate(part, err);
    if (r < 0)
        return error_prefix(err, r, "--roles");
    if (core)
        put_name(&core->role_whitelist, part);
    return 0;
}

static int read_excluded(struct master_core *core, char *part, struct error *err)
{
    if (strlen(part) > RESOURCE_NAME_MAX)
        return error_set(err, -EINVAL, "--fair_sharing_excluded_resource_names: name is too long");
    if (!core)
        return 0;
    core->excluded_names = xreallocarray(
        core->excluded_names, core->n_excluded_names + 1, sizeof(char *));
    core->excluded_names[core->n_excluded_names++] = xstrdup(part);
    return 0;
}

static int read_weight(struct master_core *core, char *part, struct error *err)
{
    char *equals = strchr(part, '=');
    double w;
    if (!equals)
        return error_set(err, -EINVAL, "--weights: expected role=weight, got '%.64s'", part);
    *equals = '\0';
    int r = role_validate(part, err);
    if (r < 0)
        return error_prefix(err, r, "--weights");
    if (parse_double(str_of(equals + 1), &w) < 0 || w < 0.001 || w * 1000 > (double)WEIGHT_MAX)
        return error_set(err, -EINVAL, "--weights: '%.64s' is not a positive weight", equals + 1);
    if (core)
        role_set_weight(core, part, true, llround(w * 1000));
    return 0;
}

static int read_domain(
    const char *text, struct arena *arena, Mesos__V1__DomainInfo **ret, struct error *err)
{
    ProtobufCMessage *m;
    int r = wire_parse_json(
        &mesos__v1__domain_info__descriptor, arena, text, strlen(text), &m, err);
    if (r < 0)
        return error_prefix(err, r, "--domain");
    Mesos__V1__DomainInfo *domain = (Mesos__V1__DomainInfo *)m;
    const Mesos__V1__DomainInfo__FaultDomain *f = domain->fault_domain;
    if (!f || !f->region || !f->region->name || !f->zone || !f->zone->name)
        return error_set(err, -EINVAL, "--domain: names of a region and a zone are needed");
    *ret = domain;
    return 0;
}

int master_config_check(const struct master_config *c, struct error *err)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__DomainInfo *domain;
    struct min_quantities *min;
    size_t n_min;
    int r = min_quantities_parse(c->min_allocatable_resources, &min, &n_min, err);
    if (r < 0)
        return error_prefix(err, r, "--min_allocatable_resources");
    min_quantities_free(min, n_min);
    r = each_part(c->roles, ',', read_role, NULL, err);
    if (r == 0)
        r = each_part(c->fair_sharing_excluded, ',', read_excluded, NULL, err);
    if (r == 0)
        r = each_part(c->weights, ',', read_weight, NULL, err);
    if (r == 0 && c->domain)
        r = read_domain(c->domain, &arena, &domain, err);
    return r;
}

void settings_init(struct master_core *core)
{
    const struct master_config *c = &core->config;
    core->root.order.random = c->role_sorter_random;
    (void)min_quantities_parse(c->min_allocatable_resources, &core->min, &core->n_min, NULL);
    (void)each_part(c->roles, ',', read_role, core, NULL);
    (void)each_part(c->fair_sharing_excluded, ',', read_excluded, core, NULL);
    if (c->domain)
        (void)read_domain(c->domain, &core->domain_arena, &core->domain, NULL);
    core->flag_weights = c->weights ? xstrdup(c->weights) : NULL;
    rng_init(&core->rng, 0);
    trace_init(&core->trace, c->allocator_trace);
}

void settings_start(struct master_core *core)
{
    if (core->weights_stored || !core->flag_weights || !core->flag_weights[0])
        return;
    (void)each_part(core->flag_weights, ',', read_weight, core, NULL);
    registry_put_weights(core);
    core->weights_stored = true;
}

void settings_done(struct master_core *core)
{
    trace_done(&core->trace);
    min_quantities_free(core->min, core->n_min);
    for (size_t i = 0; i < core->n_excluded_names; i++)
        free(core->excluded_names[i]);
    free(core->excluded_names);
    names_done(&core->role_whitelist);
    names_done(&core->whitelist);
    arena_done(&core->domain_arena);
    free(core->flag_weights);
    vec_done(&core->looking);
}

/* ---- events ---- */

void master_core_seed(struct master_core *core, uint64_t seed)
{
    rng_init(&core->rng, seed);
}

void master_core_whitelist(
    struct master_core *core, const char *const *hostnames, size_t n, int64_t now_us)
{
    core->now = MAX(core->now, now_us);
    names_done(&core->whitelist);
    core->has_whitelist = hostnames != NULL;
    for (size_t i = 0; i < n; i++)
        put_name(&core->whitelist, hostnames[i]);
    if (!core->started)
        return;
    MAP_FOREACH (e, &core->agents)
        agent_offerable_changed(core, e->value);
}

/* ---- fault domains ---- */

static const char *region_of(const Mesos__V1__DomainInfo *d)
{
    return d && d->fault_domain && d->fault_domain->region && d->fault_domain->region->name
               ? d->fault_domain->region->name
               : NULL;
}

const char *domain_refusal(const struct master_core *core, const Mesos__V1__AgentInfo *info)
{
    if (info->domain && !core->domain)
        return "The agent has a domain and the master has none";
    if (core->config.require_agent_domain && !region_of(info->domain))
        return "The agent must have a fault domain";
    return NULL;
}

bool domain_is_remote(const struct master_core *core, const Mesos__V1__AgentInfo *info)
{
    const char *region = region_of(info->domain), *here = region_of(core->domain);
    return region && here && !streq(region, here);
}
