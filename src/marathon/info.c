/* Apps, tasks and deployments as clients see them. */

#include "base/clock.h"
#include "base/str.h"
#include "marathon/api_internal.h"

bool instance_has_task(const struct instance *i)
{
    return i->task_id && i->hostname && i->condition != CONDITION_SCHEDULED;
}

static bool waits(const struct instance *i)
{
    return i->condition == CONDITION_SCHEDULED || instance_is_scheduled(i);
}

struct counts {
    int64_t staged, running, healthy, unhealthy;
};

static struct counts count(const struct spec *s)
{
    struct counts n = {0};
    MAP_FOREACH (e, &s->instances) {
        const struct instance *i = e->value;
        if (waits(i))
            continue;
        n.staged += i->condition == CONDITION_STAGING || i->condition == CONDITION_PROVISIONED;
        n.running += i->condition == CONDITION_RUNNING;
        bool any = false, all = true;
        for (size_t k = 0; i->health && i->app && k < i->app->n_health; k++) {
            any = any || i->health[k].known;
            all = all && (!i->health[k].known || i->health[k].alive);
        }
        n.healthy += any && all && i->condition == CONDITION_RUNNING;
        n.unhealthy += any && !all;
    }
    return n;
}

void write_counts(const struct spec *s, struct json_writer *w)
{
    struct counts n = count(s);
    jw_field_i64(w, "tasksStaged", n.staged);
    jw_field_i64(w, "tasksRunning", n.running);
    jw_field_i64(w, "tasksHealthy", n.healthy);
    jw_field_i64(w, "tasksUnhealthy", n.unhealthy);
}

static void write_health(const struct instance *i, struct json_writer *w)
{
    jw_key(w, "healthCheckResults");
    jw_begin_array(w);
    for (size_t k = 0; i->health && i->app && k < i->app->n_health; k++) {
        const struct health_result *h = &i->health[k];
        if (!h->known)
            continue;
        jw_begin_object(w);
        jw_field_bool(w, "alive", h->alive);
        jw_field_i64(w, "consecutiveFailures", h->failures);
        if (h->first_success_us)
            write_time(w, "firstSuccess", h->first_success_us);
        if (h->last_failure_us)
            write_time(w, "lastFailure", h->last_failure_us);
        if (h->last_success_us)
            write_time(w, "lastSuccess", h->last_success_us);
        if (h->cause)
            jw_field_string(w, "lastFailureCause", h->cause);
        jw_field_string(w, "instanceId", i->id);
        jw_end_object(w);
    }
    jw_end_array(w);
}

static void write_array_or_empty(struct json_writer *w, const char *key, const json_t *array)
{
    jw_key(w, key);
    if (array) {
        jw_tree(w, array);
    } else {
        jw_begin_array(w);
        jw_end_array(w);
    }
}

void write_task(const struct instance *i, bool service_ports, struct json_writer *w)
{
    bool active = condition_is_active(i->condition);
    jw_begin_object(w);
    write_array_or_empty(w, "ipAddresses", i->ips);
    if (active && i->staged_us)
        write_time(w, "stagedAt", i->staged_us);
    jw_field_string(w, "state", condition_task_state(i->condition));
    jw_key(w, "ports");
    jw_begin_array(w);
    for (size_t k = 0; active && k < i->n_ports; k++)
        jw_i64(w, i->ports[k]);
    jw_end_array(w);
    if (active && i->started_us)
        write_time(w, "startedAt", i->started_us);
    if (active && i->app)
        write_time(w, "version", i->app->version_us);
    jw_field_string(w, "id", i->task_id);
    jw_field_string(w, "appId", i->spec->id);
    if (i->agent_id)
        jw_field_string(w, "slaveId", i->agent_id);
    jw_field_string(w, "host", i->hostname);
    if (i->region)
        jw_field_string(w, "region", i->region);
    if (i->zone)
        jw_field_string(w, "zone", i->zone);
    jw_key(w, "servicePorts");
    jw_begin_array(w);
    const struct app *app = i->spec->app ? i->spec->app : i->app;
    for (size_t k = 0; service_ports && app && k < app->n_ports; k++)
        jw_i64(w, app->ports[k].service);
    jw_end_array(w);
    write_health(i, w);
    if (i->check_result) {
        jw_key(w, "checkResult");
        jw_tree(w, i->check_result);
    }
    write_array_or_empty(w, "localVolumes", NULL);
    jw_field_string(w, "role", i->role);
    jw_end_object(w);
}

static void write_last_failure(const struct spec *s, struct json_writer *w)
{
    _cleanup_json_ json_t *f = json_loads(s->last_failure, 0, NULL);
    jw_key(w, "lastTaskFailure");
    jw_begin_object(w);
    jw_field_string(w, "appId", s->id);
    static const char *const names[] = {"host", "message", "state", "taskId", "slaveId"};
    for (size_t k = 0; k < ARRAY_SIZE(names); k++)
        if (json_str_at(f, names[k], NULL))
            jw_field_string(w, names[k], json_str_at(f, names[k], NULL));
    write_time(w, "timestamp", json_i64_at(f, "timestamp", 0));
    write_time(w, "version", json_i64_at(f, "version", 0));
    jw_end_object(w);
}

static int by_time(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* Numbers over the instances that `which` takes. */
static void write_stats(
    const struct core *c, const struct spec *s, const char *key, int which, struct json_writer *w)
{
    struct counts n = {0};
    int64_t *lives = xnew_array(int64_t, map_size(&s->instances) + 1);
    size_t lived = 0, total = 0;
    double sum = 0;
    MAP_FOREACH (e, &s->instances) {
        const struct instance *i = e->value;
        bool latest = i->app && s->app && i->app->version_us >= s->app->config_us;
        bool fresh = i->app && s->app && i->app->version_us >= s->app->scaling_us;
        if (waits(i) || (which == 1 && !latest) || (which == 2 && latest) || (which == 3 && !fresh))
            continue;
        total++;
        n.staged += i->condition == CONDITION_STAGING || i->condition == CONDITION_PROVISIONED;
        n.running += i->condition == CONDITION_RUNNING;
        int healthy = i->app && i->app->n_health ? health_aggregate(i) : -1;
        n.healthy += healthy == 1;
        n.unhealthy += healthy == 0;
        if (i->started_us) {
            lives[lived++] = c->now_us - i->started_us;
            sum += (double)(c->now_us - i->started_us) / 1e6;
        }
    }
    if (total > 0) {
        jw_key(w, key);
        jw_begin_object(w);
        jw_key(w, "stats");
        jw_begin_object(w);
        jw_key(w, "counts");
        jw_begin_object(w);
        jw_field_i64(w, "staged", n.staged);
        jw_field_i64(w, "running", n.running);
        jw_field_i64(w, "healthy", n.healthy);
        jw_field_i64(w, "unhealthy", n.unhealthy);
        jw_end_object(w);
        if (lived > 0) {
            qsort(lives, lived, sizeof(*lives), by_time);
            jw_key(w, "lifeTime");
            jw_begin_object(w);
            jw_field_double(w, "averageSeconds", sum / (double)lived);
            jw_field_double(w, "medianSeconds", (double)lives[lived / 2] / 1e6);
            jw_end_object(w);
        }
        jw_end_object(w);
        jw_end_object(w);
    }
    free(lives);
}

void write_app_info(
    struct core *c, const struct spec *s, const struct embed *e, struct json_writer *w)
{
    jw_begin_object(w);
    app_write_members(s->app, true, w);
    if (e->counts)
        write_counts(s, w);
    if (e->deployments) {
        jw_key(w, "deployments");
        jw_begin_array(w);
        if (s->deployment) {
            jw_begin_object(w);
            jw_field_string(w, "id", s->deployment->id);
            jw_end_object(w);
        }
        jw_end_array(w);
    }
    if (e->readiness) {
        jw_key(w, "readinessCheckResults");
        jw_begin_array(w);
        MAP_FOREACH (m, &s->instances) {
            const struct instance *i = m->value;
            if (i->readiness)
                jw_tree(w, i->readiness);
        }
        jw_end_array(w);
    }
    if (e->tasks) {
        jw_key(w, "tasks");
        jw_begin_array(w);
        MAP_FOREACH (m, &s->instances)
            if (instance_has_task(m->value))
                write_task(m->value, false, w);
        jw_end_array(w);
    }
    if (e->last_failure && s->last_failure)
        write_last_failure(s, w);
    if (e->stats) {
        jw_key(w, "tasksStats");
        jw_begin_object(w);
        write_stats(c, s, "startedAfterLastScaling", 3, w);
        write_stats(c, s, "withLatestConfig", 1, w);
        write_stats(c, s, "withOutdatedConfig", 2, w);
        write_stats(c, s, "totalSummary", 0, w);
        jw_end_object(w);
    }
    jw_end_object(w);
}

void write_deployment(const struct deployment *d, struct json_writer *w)
{
    jw_begin_object(w);
    jw_field_string(w, "id", d->id);
    write_time(w, "version", d->change->version_us);
    jw_key(w, "affectedApps");
    jw_begin_array(w);
    VEC_FOREACH (e, &d->change->entries)
        if (e->spec)
            jw_string(w, e->spec->id);
    jw_end_array(w);
    write_array_or_empty(w, "affectedPods", NULL);
    jw_key(w, "steps");
    jw_begin_array(w);
    for (size_t i = 0; i < d->n_steps; i++) {
        jw_begin_object(w);
        jw_key(w, "actions");
        jw_begin_array(w);
        VEC_FOREACH (a, &d->steps[i])
            action_write(a, w, false);
        jw_end_array(w);
        jw_end_object(w);
    }
    jw_end_array(w);
    jw_key(w, "currentActions");
    jw_begin_array(w);
    if (d->current > 0 && d->current <= d->n_steps)
        VEC_FOREACH (a, &d->steps[d->current - 1])
            action_write(a, w, true);
    jw_end_array(w);
    jw_field_i64(w, "currentStep", (int64_t)d->current);
    jw_field_i64(w, "totalSteps", (int64_t)d->n_steps);
    jw_end_object(w);
}
