#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "json/json.h"
#include "master/shell.h"
#include "master/state.h"
#include "wire/codec.h"

/* Quotas and weights: the v1 calls, and /quota and /weights. */

typedef Mesos__V1__Quota__QuotaConfig Config;

#define NEW(arena, var, type, init)                                                                \
    type *var = arena_alloc((arena), sizeof(*var));                                                \
    init(var)

/* ---- quotas: reading ---- */

/* A guarantee as a plain resource, for clients that know no limits. */
static Mesos__V1__Resource *resource_new(struct arena *arena, char *name, double value)
{
    NEW(arena, r, Mesos__V1__Resource, mesos__v1__resource__init);
    r->name = name;
    r->has_type = true;
    r->type = MESOS__V1__VALUE__TYPE__SCALAR;
    NEW(arena, s, Mesos__V1__Value__Scalar, mesos__v1__value__scalar__init);
    s->has_value = true;
    s->value = value;
    r->scalar = s;
    return r;
}

static Mesos__V1__Quota__QuotaInfo *info_new(struct arena *arena, const Config *c)
{
    NEW(arena, info, Mesos__V1__Quota__QuotaInfo, mesos__v1__quota__quota_info__init);
    info->role = c->role;
    info->guarantee = arena_new_array(arena, Mesos__V1__Resource *, c->n_guarantees + 1);
    for (size_t i = 0; i < c->n_guarantees; i++)
        info->guarantee[info->n_guarantee++] = resource_new(
            arena, c->guarantees[i]->key, c->guarantees[i]->value->value);
    return info;
}

static Mesos__V1__Quota__QuotaStatus *status_new(struct operator_call *c)
{
    struct arena *arena = &c->req->arena;
    NEW(arena, status, Mesos__V1__Quota__QuotaStatus, mesos__v1__quota__quota_status__init);
    size_t n;
    Config **configs = quota_configs(c->s->core, arena, &n);
    status->configs = arena_new_array(arena, Config *, n + 1);
    status->infos = arena_new_array(arena, Mesos__V1__Quota__QuotaInfo *, n + 1);
    for (size_t i = 0; i < n; i++) {
        if (!operator_sees(c, AUTH_GET_QUOTA, configs[i]->role))
            continue;
        status->configs[status->n_configs++] = configs[i];
        status->infos[status->n_infos++] = info_new(arena, configs[i]);
    }
    return status;
}

void operator_get_quota(struct operator_call *c)
{
    NEW(&c->req->arena, get, Mesos__V1__Master__Response__GetQuota,
        mesos__v1__master__response__get_quota__init);
    get->status = status_new(c);
    Mesos__V1__Master__Response r = MESOS__V1__MASTER__RESPONSE__INIT;
    r.has_type = true;
    r.type = MESOS__V1__MASTER__RESPONSE__TYPE__GET_QUOTA;
    r.get_quota = get;
    operator_respond(c, &r);
}

static void write_quota(struct operator_call *c)
{
    const Mesos__V1__Quota__QuotaStatus *status = status_new(c);
    _cleanup_buf_ struct buf body = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &body);
    jw_begin_object(&w);
    jw_key(&w, "infos");
    jw_begin_array(&w);
    for (size_t i = 0; i < status->n_infos; i++)
        wire_to_json(&w, &status->infos[i]->base);
    jw_end_array(&w);
    jw_key(&w, "configs");
    jw_begin_array(&w);
    for (size_t i = 0; i < status->n_configs; i++)
        wire_to_json(&w, &status->configs[i]->base);
    jw_end_array(&w);
    jw_end_object(&w);
    http_respond_jsonp(c->req, &body);
}

/* ---- quotas: changing ---- */

static void put_quotas(struct operator_call *c, Config *const *configs, size_t n, bool force)
{
    struct shell *s = c->s;
    uint64_t before = master_core_last_mutation(s->core);
    if (n == 1)
        operator_object(c, configs[0]->role);
    master_core_update_quota(s->core, configs, n, shell_now(s));
    for (size_t i = 0; i < n; i++)
        log_info("quota updated role=%s guarantees=%zu limits=%zu forced=%d", configs[i]->role,
            configs[i]->n_guarantees, configs[i]->n_limits, force);
    operator_done(c, before, 200);
}

void operator_update_quota(struct operator_call *c)
{
    const Mesos__V1__Master__Call__UpdateQuota *u = c->call->update_quota;
    bool force = u->has_force && u->force;
    struct error err = ERROR_INIT;
    if (quota_check(c->s->core, u->quota_configs, u->n_quota_configs, force, &err) < 0) {
        http_respond_text(c->req, 400, "%s", err.msg);
        return;
    }
    for (size_t i = 0; i < u->n_quota_configs; i++)
        if (!operator_may(c, AUTH_UPDATE_QUOTA_WITH_CONFIG, u->quota_configs[i]->role))
            return;
    put_quotas(c, u->quota_configs, u->n_quota_configs, force);
}

/* The old form: guarantees alone, which are limits as well. */
static int config_of_request(
    const Mesos__V1__Quota__QuotaRequest *q, struct arena *arena, Config *ret, struct error *err)
{
    mesos__v1__quota__quota_config__init(ret);
    if (!q->role || !q->role[0])
        return error_set(err, -EINVAL, "QuotaRequest with invalid role: role is missing");
    ret->role = q->role;
    size_t n = q->n_guarantee;
    ret->guarantees = arena_new_array(
        arena, Mesos__V1__Quota__QuotaConfig__GuaranteesEntry *, n + 1);
    ret->limits = arena_new_array(arena, Mesos__V1__Quota__QuotaConfig__LimitsEntry *, n + 1);
    if (n == 0)
        return error_set(err, -EINVAL, "QuotaRequest with invalid guarantee: it is empty");
    for (size_t i = 0; i < n; i++) {
        const Mesos__V1__Resource *r = q->guarantee[i];
        if (resource_validate(r, err) < 0)
            return error_prefix(err, -EINVAL, "QuotaRequest with invalid resource");
        if (r->type != MESOS__V1__VALUE__TYPE__SCALAR)
            return error_set(err, -EINVAL, "QuotaInfo must not include non-scalar resources");
        if (r->reservation || r->n_reservations || r->disk || r->revocable || r->shared)
            return error_set(err, -EINVAL,
                "QuotaInfo must not contain reservations, disks, revocable or shared resources");
        if (r->role && !streq(r->role, "*"))
            return error_set(err, -EINVAL, "QuotaInfo must not contain any role");
        for (size_t k = 0; k < i; k++)
            if (streq(q->guarantee[k]->name, r->name))
                return error_set(
                    err, -EINVAL, "QuotaInfo contains duplicate resource name '%s'", r->name);
        NEW(arena, g, Mesos__V1__Quota__QuotaConfig__GuaranteesEntry,
            mesos__v1__quota__quota_config__guarantees_entry__init);
        NEW(arena, l, Mesos__V1__Quota__QuotaConfig__LimitsEntry,
            mesos__v1__quota__quota_config__limits_entry__init);
        g->key = l->key = r->name;
        g->value = l->value = r->scalar;
        ret->guarantees[ret->n_guarantees++] = g;
        ret->limits[ret->n_limits++] = l;
    }
    return 0;
}

static void set_quota(struct operator_call *c, const Mesos__V1__Quota__QuotaRequest *q)
{
    struct error err = ERROR_INIT;
    Config config, *list = &config;
    bool force = q->has_force && q->force;
    int r = config_of_request(q, &c->req->arena, &config, &err);
    if (r == 0)
        r = quota_check(c->s->core, &list, 1, force, &err);
    if (r < 0) {
        http_respond_text(c->req, r == -ENOSPC ? 409 : 400, "%s", err.msg);
        return;
    }
    if (master_core_has_quota(c->s->core, q->role)) {
        http_respond_text(c->req, 400,
            "Failed to validate set quota request: Can not set quota for a role that already has "
            "quota");
        return;
    }
    if (operator_may(c, AUTH_UPDATE_QUOTA, q->role))
        put_quotas(c, &list, 1, force);
}

void operator_set_quota(struct operator_call *c)
{
    set_quota(c, c->call->set_quota->quota_request);
}

static void remove_quota(struct operator_call *c, char *role)
{
    if (!master_core_has_quota(c->s->core, role)) {
        http_respond_text(c->req, 400,
            "Failed to validate remove quota request: role '%.128s' has no quota", role);
        return;
    }
    if (!operator_may(c, AUTH_UPDATE_QUOTA, role))
        return;
    Config config = MESOS__V1__QUOTA__QUOTA_CONFIG__INIT, *list = &config;
    config.role = role;
    put_quotas(c, &list, 1, false);
}

void operator_remove_quota(struct operator_call *c)
{
    remove_quota(c, c->call->remove_quota->role);
}

void operator_quota_endpoint(struct operator_call *c)
{
    struct http_request *req = c->req;
    struct str role = c->path;
    role.p += strlen("/quota");
    role.n -= strlen("/quota");
    if (req->method == HTTP_GET || req->method == HTTP_HEAD) {
        write_quota(c);
        return;
    }
    if (req->method == HTTP_DELETE) {
        if (role.n < 2)
            http_respond_text(req, 400,
                "Failed to parse request path '" STR_FMT "': the role must follow '/quota/'",
                STR_ARG(c->path));
        else
            remove_quota(c, arena_strndup(&req->arena, role.p + 1, role.n - 1));
        return;
    }
    struct error err = ERROR_INIT;
    ProtobufCMessage *m;
    if (wire_parse_json(&mesos__v1__quota__quota_request__descriptor, &req->arena, req->body.p,
            req->body.n, &m, &err) < 0 ||
        wire_check_required(m, &err) < 0) {
        http_respond_text(req, 400, "Failed to parse set quota request JSON: %s", err.msg);
        return;
    }
    set_quota(c, (const Mesos__V1__Quota__QuotaRequest *)m);
}

/* ---- weights ---- */

static Mesos__V1__WeightInfo **visible_weights(struct operator_call *c, size_t *ret_n)
{
    size_t n;
    Mesos__V1__WeightInfo **all = weight_infos(c->s->core, &c->req->arena, &n);
    *ret_n = 0;
    for (size_t i = 0; i < n; i++)
        if (operator_sees(c, AUTH_VIEW_ROLE, all[i]->role))
            all[(*ret_n)++] = all[i];
    return all;
}

void operator_get_weights(struct operator_call *c)
{
    NEW(&c->req->arena, get, Mesos__V1__Master__Response__GetWeights,
        mesos__v1__master__response__get_weights__init);
    get->weight_infos = visible_weights(c, &get->n_weight_infos);
    Mesos__V1__Master__Response r = MESOS__V1__MASTER__RESPONSE__INIT;
    r.has_type = true;
    r.type = MESOS__V1__MASTER__RESPONSE__TYPE__GET_WEIGHTS;
    r.get_weights = get;
    operator_respond(c, &r);
}

static void update_weights(struct operator_call *c, Mesos__V1__WeightInfo *const *infos, size_t n)
{
    struct shell *s = c->s;
    struct error err = ERROR_INIT;
    if (weights_check(s->core, infos, n, &err) < 0) {
        http_respond_text(c->req, 400, "%s", err.msg);
        return;
    }
    for (size_t i = 0; i < n; i++)
        if (!operator_may(c, AUTH_UPDATE_WEIGHT, infos[i]->role))
            return;
    uint64_t before = master_core_last_mutation(s->core);
    if (n == 1)
        operator_object(c, infos[0]->role);
    if (n)
        master_core_update_weights(s->core, infos, n, shell_now(s));
    for (size_t i = 0; i < n; i++)
        log_info("weight updated role=%s weight=%g", infos[i]->role, infos[i]->weight);
    operator_done(c, before, 200);
}

void operator_update_weights(struct operator_call *c)
{
    update_weights(
        c, c->call->update_weights->weight_infos, c->call->update_weights->n_weight_infos);
}

static int read_weights(
    struct http_request *req, Mesos__V1__WeightInfo ***ret, size_t *ret_n, struct error *err)
{
    _cleanup_json_ json_t *json = NULL;
    int r = json_parse(req->body.p, req->body.n, &json, err);
    if (r < 0)
        return r;
    if (!json_is_array(json))
        return error_set(err, -EINVAL, "expected an array");
    size_t n = json_array_size(json);
    Mesos__V1__WeightInfo **list = arena_new_array(&req->arena, Mesos__V1__WeightInfo *, n + 1);
    for (size_t i = 0; i < n; i++) {
        ProtobufCMessage *m;
        r = wire_from_json(
            &mesos__v1__weight_info__descriptor, &req->arena, json_array_get(json, i), &m, err);
        if (r == 0)
            r = wire_check_required(m, err);
        if (r < 0)
            return r;
        list[i] = (Mesos__V1__WeightInfo *)m;
    }
    *ret = list;
    *ret_n = n;
    return 0;
}

void operator_weights_endpoint(struct operator_call *c)
{
    struct http_request *req = c->req;
    size_t n = 0;
    Mesos__V1__WeightInfo **list = NULL;
    if (req->method == HTTP_PUT) {
        struct error err = ERROR_INIT;
        if (read_weights(req, &list, &n, &err) < 0)
            http_respond_text(req, 400, "Failed to parse update weights request JSON: %s", err.msg);
        else
            update_weights(c, list, n);
        return;
    }
    list = visible_weights(c, &n);
    _cleanup_buf_ struct buf body = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &body);
    jw_begin_array(&w);
    for (size_t i = 0; i < n; i++)
        wire_to_json(&w, &list[i]->base);
    jw_end_array(&w);
    http_respond_jsonp(req, &body);
}
