/* Routes, and the small ones: deployments, queue, info, leader, ping, metrics. */

#include "marathon/api.h"

#include "base/clock.h"
#include "base/str.h"
#include "marathon/api_internal.h"
#include "marathon/path.h"

static void not_allowed(struct api_reply *r)
{
    reply_message(r, 405, "Method Not Allowed");
}

void api_deployments(
    struct core *c, const struct api_request *req, const char *rest, struct api_reply *r)
{
    struct json_writer w;
    const char *id = rest[0] == '/' ? rest + 1 : rest;
    if (!*id && req->method == HTTP_GET) {
        r->status = 200;
        jw_init(&w, &r->body);
        jw_begin_array(&w);
        MAP_FOREACH (e, &c->deployments)
            if (api_sees_deployment(req, e->value))
                write_deployment(e->value, &w);
        jw_end_array(&w);
        return;
    }
    if (!*id || req->method != HTTP_DELETE) {
        not_allowed(r);
        return;
    }
    struct deployment *d = map_get(&c->deployments, id);
    if (!d) {
        reply_message(r, 404, "DeploymentPlan %s does not exist", id);
        return;
    }
    if (!api_allow_deployment(req, d, r))
        return;
    if (param_bool(req, "force", false)) {
        core_cancel(c, d, req->now_us);
        core_settle(c);
        r->status = 202;
        return;
    }
    _cleanup_refusal_ struct refusal refusal = {0};
    char deployment[UUID_TEXT_SIZE];
    int64_t version;
    if (core_rollback(c, d, req->now_us, deployment, &version, &refusal) < 0)
        reply_refusal(r, &refusal);
    else
        reply_deployment(r, 200, deployment, version);
}

/* ---- queue ---- */

static const char *const reject_names[] = {"UnfulfilledRole", "UnfulfilledConstraint",
    "NoCorrespondingReservationFound", "AgentMaintenance", "InsufficientCpus", "InsufficientMemory",
    "InsufficientDisk", "InsufficientGpus", "InsufficientPorts", "DeclinedScarceResources"};

static void write_funnel(struct json_writer *w, const char *key, int64_t processed,
    const int64_t rejects[REJECT_REASONS])
{
    jw_key(w, key);
    jw_begin_array(w);
    for (size_t k = 0; k < REJECT_REASONS; k++) {
        jw_begin_object(w);
        jw_field_string(w, "reason", reject_names[k]);
        jw_field_i64(w, "declined", rejects[k]);
        jw_field_i64(w, "processed", processed);
        jw_end_object(w);
        processed -= rejects[k];
    }
    jw_end_array(w);
}

static void write_queue_item(struct core *c, const struct spec *s, size_t waiting, bool offers,
    int64_t now_us, struct json_writer *w)
{
    const struct offer_stats none = {0};
    const struct offer_stats *st = s->stats ? s->stats : &none;
    int64_t left = s->delay_until_us > now_us ? (s->delay_until_us - now_us) / USEC_PER_SEC : 0;
    bool overdue = !s->delay_until_us || now_us - s->delay_until_us >= USEC_PER_SEC;
    int64_t last[REJECT_REASONS] = {0};
    int64_t agents = 0;
    MAP_FOREACH (e, &st->agents) {
        const struct offer_seen *seen = e->value;
        agents++;
        if (seen->reason != REJECT_NONE)
            last[seen->reason]++;
    }
    jw_begin_object(w);
    jw_field_i64(w, "count", (int64_t)waiting);
    jw_field_string(w, "role", s->app ? s->app->role : "*");
    write_time(w, "since", s->waiting_since_us);
    jw_key(w, "delay");
    jw_begin_object(w);
    jw_field_i64(w, "timeLeftSeconds", left);
    jw_field_bool(w, "overdue", overdue);
    jw_end_object(w);
    jw_key(w, "processedOffersSummary");
    jw_begin_object(w);
    jw_field_i64(w, "processedOffersCount", st->processed);
    jw_field_i64(w, "unusedOffersCount", st->unused);
    if (st->last_unused_us)
        write_time(w, "lastUnusedOfferAt", st->last_unused_us);
    if (st->last_used_us)
        write_time(w, "lastUsedOfferAt", st->last_used_us);
    write_funnel(w, "rejectSummaryLastOffers", agents, last);
    write_funnel(w, "rejectSummaryLaunchAttempt", st->processed, st->rejects);
    jw_end_object(w);
    if (offers) {
        jw_key(w, "lastUnusedOffers");
        jw_begin_array(w);
        jw_end_array(w);
    }
    if (s->app) {
        jw_key(w, "app");
        app_write(s->app, true, w);
    }
    jw_end_object(w);
}

static size_t waiting_of(const struct spec *s)
{
    size_t n = 0;
    if (s->n_scheduled == 0 && map_size(&s->instances) == 0)
        return 0;
    MAP_FOREACH (e, &s->instances) {
        const struct instance *i = e->value;
        n += instance_is_scheduled(i) ||
             (i->condition == CONDITION_PROVISIONED && i->goal == GOAL_RUNNING);
    }
    return n;
}

void api_queue(struct core *c, const struct api_request *req, const char *rest, struct api_reply *r)
{
    struct json_writer w;
    _cleanup_free_ char *path = path_resolve("/", rest[0] ? rest : "/");
    if (path_is_root(path) && req->method == HTTP_GET) {
        bool offers = str_eq_c(http_params_get(&req->params, "embed"), "lastUnusedOffers");
        r->status = 200;
        jw_init(&w, &r->body);
        jw_begin_object(&w);
        jw_key(&w, "queue");
        jw_begin_array(&w);
        MAP_FOREACH (e, &c->specs) {
            size_t n = waiting_of(e->value);
            if (n > 0 && api_may(req, e->key, POLICY_READ))
                write_queue_item(c, e->value, n, offers, req->now_us, &w);
        }
        jw_end_array(&w);
        jw_end_object(&w);
        return;
    }
    if (!streq(path_last(path), "delay") || req->method != HTTP_DELETE) {
        not_allowed(r);
        return;
    }
    _cleanup_free_ char *id = path_parent(path);
    struct spec *s = core_spec(c, id);
    if (!s || waiting_of(s) == 0) {
        reply_message(r, 404, "Application %s not found in tasks queue.", id);
        return;
    }
    if (!api_allow(req, id, POLICY_UPDATE, r))
        return;
    core_reset_delay(c, s, req->now_us);
    r->status = 204;
}

/* ---- info ---- */

void api_info_route(struct core *c, const struct api_info *info, struct api_reply *r)
{
    struct json_writer w;
    const struct core_options *o = &c->options;
    r->status = 200;
    jw_init(&w, &r->body);
    jw_begin_object(&w);
    jw_field_string(&w, "name", "marathon");
    jw_field_string(&w, "version", info->version);
    jw_field_string(&w, "buildref", "unknown");
    jw_field_bool(&w, "elected", true);
    jw_field_string(&w, "leader", info->address);
    jw_field_string(&w, "frameworkId", c->framework_id);
    jw_key(&w, "marathon_config");
    jw_begin_object(&w);
    const struct {
        const char *name, *text;
    } texts[] = {{"access_control_allow_origin", NULL},
        {"default_network_name", o->app->default_network_name}, {"env_vars_prefix", o->env_prefix},
        {"executor", o->executor}, {"framework_name", o->framework_name}, {"hostname", o->hostname},
        {"master", info->master_flag}, {"mesos_bridge_name", o->app->bridge_name},
        {"mesos_leader_ui_url", NULL}, {"mesos_role", o->mesos_role}, {"mesos_user", o->mesos_user},
        {"new_group_enforce_role", o->new_group_enforce_role ? "Top" : "Off"},
        {"webui_url", o->webui_url}};
    for (size_t k = 0; k < ARRAY_SIZE(texts); k++)
        jw_field_string(&w, texts[k].name, texts[k].text);
    const struct {
        const char *name;
        int64_t value;
    } numbers[] = {{"decline_offer_duration", o->decline_us / 1000},
        {"failover_timeout", o->failover_timeout_us / USEC_PER_SEC},
        {"launch_token", o->launch_tokens},
        {"launch_token_refresh_interval", o->launch_token_interval_us / 1000},
        {"leader_proxy_connection_timeout_ms", 5000}, {"leader_proxy_read_timeout_ms", 10000},
        {"local_port_max", o->local_port_max}, {"local_port_min", o->local_port_min},
        {"max_instances_per_offer", o->max_instances_per_offer},
        {"mesos_heartbeat_failure_threshold", 5}, {"mesos_heartbeat_interval", 15000},
        {"min_revive_offers_interval", o->min_revive_us / 1000}, {"offer_matching_timeout", 3000},
        {"on_elected_prepare_timeout", 180000},
        {"reconciliation_initial_delay", o->reconcile_delay_us / 1000},
        {"reconciliation_interval", o->reconcile_interval_us / 1000},
        {"scale_apps_initial_delay", o->scale_delay_us / 1000},
        {"scale_apps_interval", o->scale_interval_us / 1000},
        {"task_launch_confirm_timeout", o->confirm_timeout_us / 1000},
        {"task_launch_timeout", o->launch_timeout_us / 1000},
        {"task_lost_expunge_initial_delay", o->expunge_delay_us / 1000},
        {"task_lost_expunge_interval", o->expunge_interval_us / 1000},
        {"task_reservation_timeout", 20000}};
    for (size_t k = 0; k < ARRAY_SIZE(numbers); k++)
        jw_field_i64(&w, numbers[k].name, numbers[k].value);
    jw_field_bool(&w, "checkpoint", true);
    jw_field_bool(&w, "ha", false);
    jw_field_bool(&w, "maintenance_mode", false);
    jw_field_bool(&w, "store_cache", true);
    jw_key(&w, "features");
    jw_begin_array(&w);
    struct str rest = str_of(o->features), part;
    while (str_split(&rest, ',', &part))
        if (str_trim(part).n > 0)
            jw_string_n(&w, str_trim(part).p, str_trim(part).n);
    jw_end_array(&w);
    jw_end_object(&w);
    jw_key(&w, "zookeeper_config");
    jw_begin_object(&w);
    jw_field_string(&w, "zk", info->zk);
    jw_field_i64(&w, "zk_max_versions", o->max_versions);
    jw_key(&w, "zk_session_timeout");
    if (info->zk)
        jw_i64(&w, info->zk_session_timeout_ms);
    else
        jw_null(&w);
    static const char *const unused[] = {"zk_compression", "zk_compression_threshold",
        "zk_connection_timeout", "zk_max_node_size", "zk_timeout"};
    for (size_t k = 0; k < ARRAY_SIZE(unused); k++)
        jw_field_string(&w, unused[k], NULL);
    jw_end_object(&w);
    jw_key(&w, "http_config");
    jw_begin_object(&w);
    jw_field_i64(&w, "http_port", info->http_port);
    jw_key(&w, "https_port");
    jw_null(&w);
    jw_end_object(&w);
    jw_end_object(&w);
}

static void ping(const struct api_request *req, struct api_reply *r)
{
    struct str accept = str_of(req->accept);
    r->status = 200;
    if (!req->accept || http_accepts(accept, "text/plain")) {
        r->content_type = "text/plain";
        buf_puts(&r->body, "pong");
    } else if (http_accepts(accept, "text/html")) {
        r->content_type = "text/html";
        buf_puts(&r->body, "pong");
    } else if (http_accepts(accept, "application/json")) {
        buf_puts(&r->body, "\"pong\"");
    } else {
        r->status = 204;
    }
}

static void leader(const struct api_info *info, const struct api_request *req, struct api_reply *r)
{
    struct json_writer w;
    if (req->method != HTTP_GET) {
        not_allowed(r);
        return;
    }
    r->status = 200;
    jw_init(&w, &r->body);
    jw_begin_object(&w);
    jw_field_string(&w, "leader", info->address);
    jw_end_object(&w);
}

/* The rest of the path after a prefix that ends at a segment; NULL when it does not fit. */
static const char *below(const char *path, const char *prefix)
{
    size_t n = strlen(prefix);
    if (strncmp(path, prefix, n) != 0 || (path[n] != '\0' && path[n] != '/'))
        return NULL;
    return path + n;
}

void api_handle(
    struct core *c, const struct api_info *info, const struct api_request *req, struct api_reply *r)
{
    static const struct {
        const char *prefix;
        void (*fn)(
            struct core *c, const struct api_request *req, const char *rest, struct api_reply *r);
    } routes[] = {{"/v2/apps", api_apps}, {"/v2/groups", api_groups}, {"/v2/tasks", api_tasks},
        {"/v2/deployments", api_deployments}, {"/v2/queue", api_queue}};
    _cleanup_free_ char *path = xstrdup(req->path);
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        path[--n] = '\0';
    bool get = req->method == HTTP_GET || req->method == HTTP_HEAD;
    struct api_request plain = *req;
    if (req->method == HTTP_HEAD)
        plain.method = HTTP_GET;
    c->now_us = req->now_us;
    for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
        const char *rest = below(path, routes[i].prefix);
        if (rest) {
            routes[i].fn(c, &plain, rest, r);
            return;
        }
    }
    static const struct {
        const char *path, *what;
    } admin[] = {{"/v2/info", "config"}, {"/v2/plugins", "config"}, {"/metrics", "config"},
        {"/v2/leader", "leader"}};
    for (size_t i = 0; i < ARRAY_SIZE(admin); i++)
        if (below(path, admin[i].path) &&
            !api_allow_admin(req, admin[i].what, get ? POLICY_READ : POLICY_UPDATE, r))
            return;
    if (streq(path, "/ping") && get) {
        ping(req, r);
    } else if (streq(path, "/v2/info") && get) {
        api_info_route(c, info, r);
    } else if (streq(path, "/v2/leader")) {
        leader(info, &plain, r);
    } else if (streq(path, "/metrics") && get) {
        api_metrics(c, info, false, r, req->now_us);
    } else if (streq(path, "/metrics/prometheus") && get) {
        api_metrics(c, info, true, r, req->now_us);
    } else if (streq(path, "/v2/plugins") && get) {
        r->status = 200;
        buf_puts(&r->body, "{\"plugins\":[]}");
    } else if (has_prefix(path, "/v2/plugins/")) {
        reply_message(r, 404, "No plugin with this pluginId: %s", path + strlen("/v2/plugins/"));
    } else if (below(path, "/v2/pods")) {
        reply_message(r, 422, "pods are not supported by this version");
    } else if (streq(path, "/") && get) {
        r->status = 302;
        reply_header(r, "Location", xstrdup("/ui/"));
    } else {
        reply_message(r, 404, "URI not found");
    }
}
