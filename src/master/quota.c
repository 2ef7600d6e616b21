#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "kernel/role.h"
#include "master/state.h"
#include "wire/codec.h"

/* Quotas and weights as operators set them: checked, stored, put in force. */

typedef Mesos__V1__Quota__QuotaConfig Config;
typedef Mesos__V1__Quota__QuotaConfig__GuaranteesEntry Guarantee;
typedef Mesos__V1__Quota__QuotaConfig__LimitsEntry Limit;

/* ---- as messages ---- */

static Mesos__V1__Value__Scalar *scalar_new(struct arena *arena, int64_t milli)
{
    Mesos__V1__Value__Scalar *s = arena_alloc(arena, sizeof(*s));
    mesos__v1__value__scalar__init(s);
    s->has_value = true;
    s->value = (double)milli / 1000;
    return s;
}

static Config *config_new(
    const struct master_core *core, const struct role *role, struct arena *arena)
{
    const struct quota *q = role->quota;
    Config *w = arena_alloc(arena, sizeof(*w));
    mesos__v1__quota__quota_config__init(w);
    w->role = role->name;
    w->guarantees = arena_new_array(arena, Guarantee *, core->n_quantities + 1);
    w->limits = arena_new_array(arena, Limit *, core->n_quantities + 1);
    for (size_t i = 0; i < core->n_quantities; i++) {
        if (q->guarantee[i] > 0) {
            Guarantee *e = arena_alloc(arena, sizeof(*e));
            mesos__v1__quota__quota_config__guarantees_entry__init(e);
            e->key = (char *)(uintptr_t)core->quantity_names[i];
            e->value = scalar_new(arena, q->guarantee[i]);
            w->guarantees[w->n_guarantees++] = e;
        }
        if (q->limit[i] != NO_LIMIT) {
            Limit *e = arena_alloc(arena, sizeof(*e));
            mesos__v1__quota__quota_config__limits_entry__init(e);
            e->key = (char *)(uintptr_t)core->quantity_names[i];
            e->value = scalar_new(arena, q->limit[i]);
            w->limits[w->n_limits++] = e;
        }
    }
    return w;
}

Config **quota_configs(const struct master_core *core, struct arena *arena, size_t *ret_n)
{
    Config **list = arena_new_array(arena, Config *, core->n_quotas + 1);
    *ret_n = 0;
    MAP_FOREACH (e, &core->roles) {
        const struct role *role = e->value;
        if (role->quota)
            list[(*ret_n)++] = config_new(core, role, arena);
    }
    return list;
}

Mesos__V1__WeightInfo **weight_infos(
    const struct master_core *core, struct arena *arena, size_t *ret_n)
{
    Mesos__V1__WeightInfo **list = arena_new_array(
        arena, Mesos__V1__WeightInfo *, map_size(&core->roles) + 1);
    *ret_n = 0;
    MAP_FOREACH (e, &core->roles) {
        const struct role *role = e->value;
        if (!role->has_weight)
            continue;
        Mesos__V1__WeightInfo *w = arena_alloc(arena, sizeof(*w));
        mesos__v1__weight_info__init(w);
        w->role = role->name;
        w->has_weight = true;
        w->weight = (double)role->tree.weight / 1000;
        list[(*ret_n)++] = w;
    }
    return list;
}

/* ---- the registry ---- */

static const char ALLOCATOR[] = "allocator/";

void registry_put_quotas(struct master_core *core)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Dcos__Internal__RegistryQuotas rec = DCOS__INTERNAL__REGISTRY_QUOTAS__INIT;
    rec.configs = quota_configs(core, &arena, &rec.n_configs);
    put_mutation(core, ALLOCATOR, "quotas", &rec.base);
}

void registry_put_weights(struct master_core *core)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Dcos__Internal__RegistryWeights rec = DCOS__INTERNAL__REGISTRY_WEIGHTS__INIT;
    rec.weights = weight_infos(core, &arena, &rec.n_weights);
    put_mutation(core, ALLOCATOR, "weights", &rec.base);
}

static size_t quotas_size(const struct master_core *core)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Dcos__Internal__RegistryQuotas rec = DCOS__INTERNAL__REGISTRY_QUOTAS__INIT;
    rec.configs = quota_configs(core, &arena, &rec.n_configs);
    return protobuf_c_message_get_packed_size(&rec.base);
}

static size_t weights_size(const struct master_core *core)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Dcos__Internal__RegistryWeights rec = DCOS__INTERNAL__REGISTRY_WEIGHTS__INIT;
    rec.weights = weight_infos(core, &arena, &rec.n_weights);
    return protobuf_c_message_get_packed_size(&rec.base);
}

/* ---- reading a configuration ---- */

static int read_quantity(struct master_core *core, const char *what, const char *name,
    const Mesos__V1__Value__Scalar *value, int *ret_index, int64_t *ret_milli, struct error *err)
{
    if (!name || !name[0] || strlen(name) > RESOURCE_NAME_MAX)
        return error_set(err, -EINVAL, "Invalid '%s': a resource has no name", what);
    double v = value && value->has_value ? value->value : -1.0;
    if (!isfinite(v) || v < 0 || v * 1000 > (double)RESOURCE_MILLI_MAX)
        return error_set(err, -EINVAL,
            "Invalid '%s': the quantity of '%.64s' must be a number that is not negative", what,
            name);
    *ret_milli = llround(v * 1000);
    if (v > 0 && *ret_milli == 0)
        return error_set(
            err, -EINVAL, "Invalid '%s': the quantity of '%.64s' is below 0.001", what, name);
    *ret_index = quantity_index(core, name);
    if (*ret_index < 0)
        return error_set(err, -EINVAL,
            "Invalid '%s': '%.64s' would be more than %d different names of resources", what, name,
            QUANTITIES_MAX);
    return 0;
}

static bool quota_is_default(const struct quota *q)
{
    return !q->has_guarantee && !q->has_limit;
}

static int read_config(
    struct master_core *core, const Config *c, struct quota *ret, struct error *err)
{
    *ret = (struct quota){0};
    for (size_t i = 0; i < QUANTITIES_MAX; i++)
        ret->limit[i] = NO_LIMIT;
    int index, r;
    int64_t milli;
    for (size_t i = 0; i < c->n_guarantees; i++) {
        r = read_quantity(core, "QuotaConfig.guarantees", c->guarantees[i]->key,
            c->guarantees[i]->value, &index, &milli, err);
        if (r < 0)
            return r;
        ret->guarantee[index] = milli;
        ret->has_guarantee |= milli > 0;
    }
    for (size_t i = 0; i < c->n_limits; i++) {
        r = read_quantity(core, "QuotaConfig.limits", c->limits[i]->key, c->limits[i]->value,
            &index, &milli, err);
        if (r < 0)
            return r;
        ret->limit[index] = milli;
        ret->has_limit = true;
    }
    for (size_t i = 0; i < core->n_quantities; i++)
        if (ret->guarantee[i] > ret->limit[i])
            return error_set(err, -EINVAL,
                "Invalid 'QuotaConfig': the guarantee of '%s' for role '%s' is more than its limit",
                core->quantity_names[i], c->role);
    return 0;
}

int quota_restore(struct master_core *core, const void *value, size_t n, struct error *err)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m;
    int r = wire_unpack(&dcos__internal__registry_quotas__descriptor, &arena, value, n, &m, err);
    if (r < 0)
        return r;
    const Dcos__Internal__RegistryQuotas *rec = (const Dcos__Internal__RegistryQuotas *)m;
    for (size_t i = 0; i < rec->n_configs; i++) {
        struct quota q;
        if (!rec->configs[i]->role || read_config(core, rec->configs[i], &q, err) < 0)
            return -EBADMSG;
        if (!quota_is_default(&q))
            role_set_quota(core, rec->configs[i]->role, xmemdup(&q, sizeof(q)));
    }
    return 0;
}

int weights_restore(struct master_core *core, const void *value, size_t n, struct error *err)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m;
    int r = wire_unpack(&dcos__internal__registry_weights__descriptor, &arena, value, n, &m, err);
    if (r < 0)
        return r;
    const Dcos__Internal__RegistryWeights *rec = (const Dcos__Internal__RegistryWeights *)m;
    for (size_t i = 0; i < rec->n_weights; i++) {
        if (!rec->weights[i]->role)
            return -EBADMSG;
        role_set_weight(core, rec->weights[i]->role, true, llround(rec->weights[i]->weight * 1000));
        core->weights_stored = true;
    }
    return 0;
}

/* ---- checks ---- */

bool role_is_allowed(const struct master_core *core, const char *role)
{
    return map_size(&core->role_whitelist) == 0 || streq(role, "*") ||
           map_get(&core->role_whitelist, role);
}

static int check_role(const struct master_core *core, const char *role, struct error *err)
{
    struct error why = ERROR_INIT;
    if (role_validate(role, &why) < 0)
        return error_set(err, -EINVAL, "Invalid role: %s", why.msg);
    if (!role_is_allowed(core, role))
        return error_set(err, -EINVAL, "Unknown role '%s': it is not in the list of --roles", role);
    return 0;
}

/* Resources of the subtree that are in use, and what is reserved to it: offers can be taken back.
 */
static void find_consumed(
    const struct master_core *core, const struct role *top, int64_t ret[QUANTITIES_MAX])
{
    for (size_t i = 0; i < core->n_quantities; i++)
        ret[i] = role_consumed(top, i);
    MAP_FOREACH (e, &core->offers) {
        const struct offer *o = e->value;
        if (o->client->role->top != top)
            continue;
        RESOURCES_FOREACH(r, &o->resources)
        {
            if (r->kind->type != RESOURCE_SCALAR || r->kind->n_reservations || r->kind->revocable)
                continue;
            for (size_t i = 0; i < core->n_quantities; i++)
                if (streq(core->quantity_names[i], r->kind->name))
                    ret[i] -= r->milli;
        }
    }
}

static int check_consumption(
    const struct master_core *core, const char *name, const struct quota *q, struct error *err)
{
    const struct role *role = map_get(&core->roles, name);
    int64_t consumed[QUANTITIES_MAX];
    if (!role || !q->has_limit)
        return 0;
    find_consumed(core, role, consumed);
    for (size_t i = 0; i < core->n_quantities; i++)
        if (consumed[i] > q->limit[i])
            return error_set(err, -EINVAL,
                "Invalid QuotaConfig: role '%s' is already consuming %g of '%s', more than the "
                "limit of %g that is asked for (use 'force' to override this check)",
                name, (double)consumed[i] / 1000, core->quantity_names[i],
                (double)q->limit[i] / 1000);
    return 0;
}

/* Names that are new are numbered only once the call is accepted: there are few numbers. */
static void forget_quantities(struct master_core *core, size_t known)
{
    while (core->n_quantities > known) {
        core->n_quantities--;
        free((char *)(uintptr_t)core->quantity_names[core->n_quantities]);
        core->quantity_names[core->n_quantities] = NULL;
        core->excluded[core->n_quantities] = false;
    }
}

int quota_check(
    struct master_core *core, Config *const *configs, size_t n, bool force, struct error *err)
{
    size_t known = core->n_quantities;
    struct map seen = MAP_INIT;
    int64_t guaranteed[QUANTITIES_MAX] = {0};
    size_t bytes = quotas_size(core);
    int r = 0;
    for (size_t i = 0; i < n && r == 0; i++) {
        const char *role = configs[i]->role;
        struct quota q;
        r = check_role(core, role, err);
        if (r == 0 && streq(role, "*"))
            r = error_set(err, -EINVAL, "Setting quota for the default '*' role is not supported");
        if (r == 0 && strchr(role, '/'))
            r = error_set(err, -EINVAL,
                "Setting quota on nested role '%s' is not supported: its top-level role's quota "
                "holds",
                role);
        if (r == 0 && map_put(&seen, role, configs[i]))
            r = error_set(err, -EINVAL, "Role '%s' is given twice", role);
        if (r == 0)
            r = read_config(core, configs[i], &q, err);
        if (r == 0 && !force)
            r = check_consumption(core, role, &q, err);
        for (size_t k = 0; r == 0 && k < core->n_quantities; k++)
            guaranteed[k] += q.guarantee[k];
        bytes += protobuf_c_message_get_packed_size(&configs[i]->base) + 8;
    }
    if (r == 0 && bytes > QUOTAS_BYTES_MAX)
        r = error_set(err, -EINVAL, "All quotas together would be too large to be stored");
    MAP_FOREACH (e, &core->roles) {
        const struct role *role = e->value;
        if (role->quota && !map_get(&seen, role->name))
            for (size_t k = 0; k < core->n_quantities; k++)
                guaranteed[k] += role->quota->guarantee[k];
    }
    map_done(&seen);
    for (size_t k = 0; r == 0 && !force && k < core->n_quantities; k++)
        if (guaranteed[k] > core->totals[k])
            r = error_set(err, -ENOSPC,
                "Invalid QuotaConfig: total quota guarantees of %g '%s' exceed the cluster's "
                "capacity of %g (use 'force' to override this check)",
                (double)guaranteed[k] / 1000, core->quantity_names[k],
                (double)core->totals[k] / 1000);
    forget_quantities(core, known);
    return r;
}

int weights_check(
    struct master_core *core, Mesos__V1__WeightInfo *const *infos, size_t n, struct error *err)
{
    size_t bytes = weights_size(core);
    for (size_t i = 0; i < n; i++) {
        int r = check_role(core, infos[i]->role, err);
        if (r < 0)
            return r;
        double w = infos[i]->has_weight ? infos[i]->weight : -1.0;
        if (!isfinite(w) || w <= 0 || w * 1000 > (double)WEIGHT_MAX)
            return error_set(err, -EINVAL, "Invalid weight '%g': Weights must be positive", w);
        if (llround(w * 1000) == 0)
            return error_set(err, -EINVAL, "Invalid weight '%g': the smallest weight is 0.001", w);
        bytes += protobuf_c_message_get_packed_size(&infos[i]->base) + 8;
    }
    if (bytes > QUOTAS_BYTES_MAX)
        return error_set(err, -EINVAL, "All weights together would be too large to be stored");
    return 0;
}

/* ---- in force ---- */

static bool within_limits(const struct master_core *core, const struct role *role)
{
    for (size_t i = 0; i < core->n_quantities; i++)
        if (role_consumed(role, i) > role->quota->limit[i])
            return false;
    return true;
}

/* Offers are taken back until what the role holds fits its limits. */
static void rescind_beyond_limits(struct master_core *core, const struct role *role)
{
    MAP_FOREACH (e, &core->offers) {
        struct offer *o = e->value;
        if (within_limits(core, role))
            break;
        if (o->client->role->top == role)
            offer_discard(core, o, true);
    }
}

static bool guarantee_in_reach(const struct master_core *core, const struct role *role)
{
    for (size_t i = 0; i < core->n_quantities; i++)
        if (role_unmet(role, i) > 0 && core->free[i] < core->required[i])
            return false;
    return true;
}

/* Offers to others are taken back, agent by agent, until the guarantee can be met. */
static void rescind_for_guarantee(struct master_core *core, const struct role *role)
{
    MAP_FOREACH (e, &core->agents) {
        struct agent *a = e->value;
        if (guarantee_in_reach(core, role))
            break;
        LIST_FOREACH_SAFE (o, &a->offers, struct offer, agent_node) {
            if (o->client->role->top != role)
                offer_discard(core, o, true);
        }
        agent_recount(core, a);
    }
}

void master_core_update_quota(
    struct master_core *core, Config *const *configs, size_t n, int64_t now_us)
{
    core->now = MAX(core->now, now_us);
    for (size_t i = 0; i < n; i++) {
        struct quota q;
        if (read_config(core, configs[i], &q, NULL) < 0)
            continue; /* checked before */
        role_set_quota(
            core, configs[i]->role, quota_is_default(&q) ? NULL : xmemdup(&q, sizeof(q)));
    }
    registry_put_quotas(core);
    for (size_t i = 0; i < n; i++) {
        const struct role *role = map_get(&core->roles, configs[i]->role);
        if (role && role->quota) {
            rescind_beyond_limits(core, role);
            rescind_for_guarantee(core, role);
        }
    }
    mark_all_dirty(core);
}

void master_core_update_weights(
    struct master_core *core, Mesos__V1__WeightInfo *const *infos, size_t n, int64_t now_us)
{
    core->now = MAX(core->now, now_us);
    bool affected = false;
    for (size_t i = 0; i < n; i++) {
        const struct role *role = map_get(&core->roles, infos[i]->role);
        int64_t milli = llround(infos[i]->weight * 1000);
        affected |= role && role->n_active && role->tree.weight != milli;
        role_set_weight(core, infos[i]->role, true, milli);
    }
    registry_put_weights(core);
    core->weights_stored = true;
    if (!affected)
        return;
    MAP_FOREACH (e, &core->offers)
        offer_discard(core, e->value, true);
    mark_all_dirty(core);
}

bool master_core_has_quota(const struct master_core *core, const char *role)
{
    const struct role *r = map_get(&core->roles, role);
    return r && r->quota;
}
