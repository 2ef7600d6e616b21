/*
 * Health and readiness: checks that Marathon makes itself (as probes for the shell), results that
 * tasks report, and what follows from them.
 */

#include "base/str.h"
#include "marathon/core_internal.h"

enum { FIRST_CHECK_MAX_SECONDS = 5, BODY_KEPT_MAX = 10000 };

int health_aggregate(const struct instance *i)
{
    bool all = true;
    if (!i->app || i->app->n_health == 0)
        return i->healthy;
    for (size_t k = 0; k < i->app->n_health; k++) {
        const struct health_result *h = i->health ? &i->health[k] : NULL;
        if (!h || !h->known)
            return -1;
        all = all && h->alive;
    }
    return all;
}

static struct health_result *result_at(struct instance *i, size_t index)
{
    if (!i->health)
        i->health = xnew_array(struct health_result, i->app->n_health + 1);
    return &i->health[index];
}

static void clear_results(struct instance *i)
{
    if (i->health && i->app)
        for (size_t k = 0; k < i->app->n_health; k++)
            free(i->health[k].cause);
    free(i->health);
    i->health = NULL;
    i->last_aggregate = -1;
}

void health_stop(struct core *c, struct instance *i)
{
    for (size_t k = 0; k < i->n_runs; k++) {
        timer_cancel(c, &i->runs[k].timer);
        if (i->runs[k].probe_key[0])
            map_remove(&c->probes, i->runs[k].probe_key);
    }
    free(i->runs);
    i->runs = NULL;
    i->n_runs = 0;
}

/* Port i of the app: of the host when it has one there, else the container's. */
static int32_t target_port(const struct instance *i, int32_t index, int32_t fixed)
{
    size_t next = 0;
    if (fixed >= 0)
        return fixed;
    for (size_t k = 0; k < i->app->n_ports; k++) {
        const struct port_request *r = &i->app->ports[k];
        int32_t host = r->host >= 0 && next < i->n_ports ? i->ports[next++] : -1;
        if ((int32_t)k == MAX(index, 0))
            return host >= 0 ? host : r->container;
    }
    return -1;
}

static const char *target_host(const struct instance *i)
{
    if (i->app->container_mode)
        return json_str_at(json_array_get(i->ips, 0), "ipAddress", NULL);
    return i->hostname;
}

static void on_check(struct core *c, struct core_timer *t)
{
    struct check_run *run = container_of(t, struct check_run, timer);
    struct instance *i = run->instance;
    const struct health_check *h = run->index >= 0 ? &i->app->health[run->index] : NULL;
    const struct readiness_check *r = i->app->readiness;
    int32_t port = h ? target_port(i, h->port_index, h->port) : target_port(i, r->port_index, -1);
    const char *host = target_host(i);
    if (!host || port <= 0) {
        timer_at(c, t, c->now_us + (h ? MAX(h->interval_us, 1) : r->interval_us), on_check);
        return;
    }
    struct probe *p = xnew(struct probe);
    p->id = ++c->probe_seq;
    p->host = xstrdup(host);
    p->port = (uint16_t)port;
    p->want_body = !h && r->preserve;
    p->path = xstrdup(h ? h->path : r->path);
    p->timeout_us = h ? h->timeout_us : r->timeout_us;
    p->kind = h ? (h->protocol == HEALTH_HTTP       ? PROBE_HTTP
                      : h->protocol == HEALTH_HTTPS ? PROBE_HTTPS
                                                    : PROBE_TCP)
                : (r->https ? PROBE_HTTPS : PROBE_HTTP);
    snprintf(run->probe_key, sizeof(run->probe_key), "%llu", (unsigned long long)p->id);
    map_put(&c->probes, run->probe_key, run);
    vec_push(&c->out, (struct out_item){.type = OUT_PROBE, .probe = p});
}

void health_update(struct core *c, struct instance *i)
{
    if (i->condition != CONDITION_RUNNING || !i->app) {
        if (i->n_runs)
            health_stop(c, i);
        if (i->condition == CONDITION_PROVISIONED)
            clear_results(i);
        return;
    }
    bool readiness = i->app->readiness && !i->ready;
    size_t wanted = readiness;
    for (size_t k = 0; k < i->app->n_health; k++)
        wanted += health_is_marathon(i->app->health[k].protocol);
    if (i->runs || wanted == 0)
        return;
    i->runs = xnew_array(struct check_run, wanted);
    for (size_t k = 0; k < i->app->n_health; k++) {
        const struct health_check *h = &i->app->health[k];
        if (!health_is_marathon(h->protocol))
            continue;
        struct check_run *run = &i->runs[i->n_runs++];
        *run = (struct check_run){.instance = i, .index = (int32_t)k};
        int64_t first = MIN(h->interval_us, FIRST_CHECK_MAX_SECONDS * INT64_C(1000000));
        timer_at(c, &run->timer, c->now_us + first, on_check);
    }
    if (readiness) {
        struct check_run *run = &i->runs[i->n_runs++];
        *run = (struct check_run){.instance = i, .index = -1};
        timer_at(c, &run->timer, c->now_us, on_check);
    }
}

static void note_aggregate(struct core *c, struct instance *i)
{
    int now = health_aggregate(i);
    if (now == i->last_aggregate)
        return;
    i->last_aggregate = now;
    event_instance_health(c, i, now);
    spec_mark(c, i->spec);
}

static void kill_unhealthy(
    struct core *c, struct instance *i, const struct health_result *h, int64_t failed_us)
{
    _cleanup_buf_ struct buf text = BUF_INIT, key = BUF_INIT;
    event_unhealthy_kill(c, i, h, failed_us);
    struct json_writer w;
    jw_init(&w, &text);
    jw_begin_object(&w);
    jw_field_string(&w, "host", i->hostname);
    _cleanup_free_ char *message = xasprintf(
        "Task was killed since health check failed. Reason: %s", h->cause ? h->cause : "");
    jw_field_string(&w, "message", message);
    jw_field_string(&w, "state", "TASK_KILLED");
    jw_field_string(&w, "taskId", i->task_id);
    jw_field_i64(&w, "timestamp", c->now_us);
    jw_field_i64(&w, "version", i->app->version_us);
    jw_field_string(&w, "slaveId", i->agent_id);
    jw_end_object(&w);
    free(i->spec->last_failure);
    i->spec->last_failure = xstrdup(text.p);
    buf_printf(&key, "failure/%s", i->spec->safe);
    out_put(c, key.p, &text);
    instance_kill(c, i);
}

static void apply(
    struct core *c, struct instance *i, size_t index, bool ok, const char *cause, bool decides)
{
    const struct health_check *check = &i->app->health[index];
    struct health_result *h = result_at(i, index);
    bool was_known = h->known, was_alive = h->alive;
    if (i->condition != CONDITION_RUNNING)
        return;
    if (ok) {
        h->failures = 0;
        h->last_success_us = c->now_us;
        h->first_success_us = h->first_success_us ? h->first_success_us : c->now_us;
        h->known = h->alive = true;
    } else {
        if (!h->first_success_us && c->now_us < i->since_us + check->grace_us)
            return;
        int32_t before = h->failures++;
        int64_t previous = h->last_failure_us ? h->last_failure_us : c->now_us;
        h->last_failure_us = c->now_us;
        h->known = true;
        h->alive = false;
        free(h->cause);
        h->cause = xstrdup(cause ? cause : "");
        event_health_check(c, "failed_health_check_event", i->app, index, i);
        if (decides && check->max_failures > 0 && before >= check->max_failures && !i->kill_wanted)
            kill_unhealthy(c, i, h, previous);
    }
    if (!was_known || was_alive != h->alive) {
        event_health(c, i, h->alive);
        spec_mark(c, i->spec);
    }
    note_aggregate(c, i);
}

void health_from_task(struct core *c, struct instance *i, bool healthy)
{
    for (size_t k = 0; i->app && k < i->app->n_health; k++) {
        if (health_is_marathon(i->app->health[k].protocol))
            continue;
        apply(c, i, k, healthy, healthy ? NULL : "the task's own check failed", false);
    }
    spec_mark(c, i->spec);
}

static void readiness_done(struct core *c, struct check_run *run, const struct probe_result *result)
{
    struct instance *i = run->instance;
    const struct readiness_check *r = i->app->readiness;
    int status = result->connected ? result->status : 504;
    bool ready = false;
    for (size_t k = 0; k < r->n_codes && result->connected; k++)
        ready = ready || r->codes[k] == status;
    json_decref(i->readiness);
    i->readiness = json_pack(
        "{s:s,s:s,s:b}", "name", r->name, "taskId", i->task_id, "ready", ready);
    if (r->preserve) {
        const char *body = result->connected ? "" : (result->cause ? result->cause : "");
        size_t n = result->connected ? MIN(result->body.n, (size_t)BODY_KEPT_MAX) : strlen(body);
        json_t *text = json_stringn(result->connected && result->body.p ? result->body.p : body,
            result->connected && !result->body.p ? 0 : n);
        json_object_set_new(i->readiness, "lastResponse",
            json_pack("{s:i,s:s,s:o}", "status", status, "contentType",
                result->content_type ? result->content_type : "text/plain", "body",
                text ? text : json_string("")));
    }
    if (ready) {
        i->ready = true;
        instance_store(c, i);
        spec_mark(c, i->spec);
    } else {
        timer_at(c, &run->timer, c->now_us + r->interval_us, on_check);
    }
}

void core_probe_done(
    struct core *c, uint64_t probe_id, const struct probe_result *result, int64_t now_us)
{
    char key[24];
    c->now_us = now_us;
    snprintf(key, sizeof(key), "%llu", (unsigned long long)probe_id);
    struct check_run *run = map_remove(&c->probes, key);
    if (!run)
        return; /* the task went away meanwhile */
    run->probe_key[0] = '\0';
    struct instance *i = run->instance;
    if (run->index < 0) {
        readiness_done(c, run, result);
    } else {
        const struct health_check *h = &i->app->health[run->index];
        bool ok = result->connected &&
                  (h->protocol == HEALTH_TCP || (result->status >= 200 && result->status < 400));
        timer_at(c, &run->timer, now_us + MAX(h->interval_us, INT64_C(1000000)), on_check);
        apply(c, i, (size_t)run->index, ok, result->cause, true);
    }
    core_settle(c);
}
