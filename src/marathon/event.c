#include "base/clock.h"
#include "base/str.h"
#include "marathon/core_internal.h"

static void field_time(struct json_writer *w, const char *key, int64_t us)
{
    char text[TIME_TEXT_SIZE];
    time_format_rfc3339(us, text);
    jw_field_string(w, key, text);
}

void event_begin(struct event *e, const char *type)
{
    e->text = (struct buf)BUF_INIT;
    e->type = type;
    jw_init(&e->w, &e->text);
    jw_begin_object(&e->w);
    jw_field_string(&e->w, "eventType", type);
}

void event_end(struct core *c, struct event *e)
{
    field_time(&e->w, "timestamp", c->now_us);
    jw_end_object(&e->w);
    vec_push(&c->out,
        (struct out_item){.type = OUT_EVENT, .key = xstrdup(e->type), .text = buf_steal(&e->text)});
}

void action_write(const struct action *a, struct json_writer *w, bool readiness)
{
    jw_begin_object(w);
    jw_field_string(w, "action", action_name(a->type));
    jw_field_string(w, "app", a->entry->spec->id);
    if (readiness) {
        jw_key(w, "readinessCheckResults");
        jw_begin_array(w);
        MAP_FOREACH (e, &a->entry->spec->instances) {
            const struct instance *i = e->value;
            if (i->readiness)
                jw_tree(w, i->readiness);
        }
        jw_end_array(w);
    }
    jw_end_object(w);
}

static void step_write(const struct deployment *d, size_t step, struct json_writer *w)
{
    jw_begin_object(w);
    jw_key(w, "actions");
    jw_begin_array(w);
    if (step < d->n_steps)
        VEC_FOREACH (a, &d->steps[step])
            action_write(a, w, false);
    jw_end_array(w);
    jw_end_object(w);
}

void plan_write(const struct deployment *d, struct json_writer *w)
{
    jw_begin_object(w);
    jw_field_string(w, "id", d->id);
    jw_key(w, "steps");
    jw_begin_array(w);
    for (size_t i = 0; i < d->n_steps; i++)
        step_write(d, i, w);
    jw_end_array(w);
    field_time(w, "version", d->change->version_us);
    jw_end_object(w);
}

void event_deployment(
    struct core *c, const char *type, const struct deployment *d, const char *reason)
{
    struct event e;
    event_begin(&e, type);
    bool whole = streq(type, "deployment_success") || streq(type, "deployment_failed");
    if (whole)
        jw_field_string(&e.w, "id", d->id);
    jw_key(&e.w, "plan");
    plan_write(d, &e.w);
    if (!whole) {
        jw_key(&e.w, "currentStep");
        step_write(d, d->current ? d->current - 1 : 0, &e.w);
    }
    if (reason)
        jw_field_string(&e.w, "reason", reason);
    event_end(c, &e);
}

void event_instance(struct core *c, const struct instance *i)
{
    struct event e;
    event_begin(&e, "instance_changed_event");
    jw_field_string(&e.w, "instanceId", i->id);
    jw_field_string(&e.w, "condition", condition_name(i->condition));
    jw_field_string(&e.w, "runSpecId", i->spec->id);
    jw_field_string(&e.w, "agentId", i->agent_id);
    jw_field_string(&e.w, "host", i->hostname);
    if (i->app)
        field_time(&e.w, "runSpecVersion", i->app->version_us);
    event_end(c, &e);
}

void event_unknown_instance(
    struct core *c, const char *instance_id, const char *app_id, enum condition condition)
{
    struct event e;
    event_begin(&e, "unknown_instance_terminated_event");
    jw_field_string(&e.w, "instanceId", instance_id);
    jw_field_string(&e.w, "runSpecId", app_id);
    jw_field_string(&e.w, "condition", condition_name(condition));
    event_end(c, &e);
}

void event_status(struct core *c, const struct instance *i, const struct core_status *st)
{
    struct event e;
    event_begin(&e, "status_update_event");
    jw_field_string(&e.w, "slaveId", i->agent_id ? i->agent_id : "");
    jw_field_string(&e.w, "taskId", st->task_id);
    jw_field_string(&e.w, "taskStatus", st->state);
    jw_field_string(&e.w, "message", st->message ? st->message : "");
    jw_field_string(&e.w, "appId", i->spec->id);
    jw_field_string(&e.w, "host", i->hostname ? i->hostname : "unknown");
    jw_key(&e.w, "ipAddresses");
    if (i->ips) {
        jw_tree(&e.w, i->ips);
    } else {
        jw_begin_array(&e.w);
        jw_end_array(&e.w);
    }
    jw_key(&e.w, "ports");
    jw_begin_array(&e.w);
    for (size_t k = 0; k < i->n_ports; k++)
        jw_i64(&e.w, i->ports[k]);
    jw_end_array(&e.w);
    if (i->app)
        field_time(&e.w, "version", i->app->version_us);
    event_end(c, &e);
}

void event_group(struct core *c, const char *group_id, int64_t version_us, const char *failure)
{
    struct event e;
    event_begin(&e, failure ? "group_change_failed" : "group_change_success");
    jw_field_string(&e.w, "groupId", group_id);
    field_time(&e.w, "version", version_us);
    if (failure)
        jw_field_string(&e.w, "reason", failure);
    event_end(c, &e);
}

void event_health_check(
    struct core *c, const char *type, const struct app *a, size_t index, const struct instance *i)
{
    struct event e;
    event_begin(&e, type);
    jw_field_string(&e.w, "appId", a->id);
    if (streq(type, "add_health_check_event"))
        field_time(&e.w, "version", a->version_us);
    if (i)
        jw_field_string(&e.w, "taskId", i->id);
    _cleanup_json_ json_t *t = app_tree(a);
    if (!streq(type, "remove_health_check_event")) {
        jw_key(&e.w, "healthCheck");
        jw_tree(&e.w, json_array_get(json_at(t, "healthChecks"), index));
    }
    event_end(c, &e);
}

void event_health(struct core *c, const struct instance *i, bool alive)
{
    struct event e;
    event_begin(&e, "health_status_changed_event");
    jw_field_string(&e.w, "appId", i->spec->id);
    jw_field_string(&e.w, "instanceId", i->id);
    if (i->app)
        field_time(&e.w, "version", i->app->version_us);
    jw_field_bool(&e.w, "alive", alive);
    event_end(c, &e);
}

void event_instance_health(struct core *c, const struct instance *i, int healthy)
{
    struct event e;
    event_begin(&e, "instance_health_changed_event");
    jw_field_string(&e.w, "instanceId", i->id);
    jw_field_string(&e.w, "runSpecId", i->spec->id);
    if (i->app)
        field_time(&e.w, "runSpecVersion", i->app->version_us);
    jw_key(&e.w, "healthy");
    if (healthy < 0)
        jw_null(&e.w);
    else
        jw_bool(&e.w, healthy > 0);
    event_end(c, &e);
}

void event_unhealthy_kill(
    struct core *c, const struct instance *i, const struct health_result *h, int64_t at_us)
{
    struct event e;
    event_begin(&e, "unhealthy_instance_kill_event");
    jw_field_string(&e.w, "appId", i->spec->id);
    jw_field_string(&e.w, "taskId", i->task_id);
    jw_field_string(&e.w, "instanceId", i->id);
    if (i->app)
        field_time(&e.w, "version", i->app->version_us);
    jw_field_string(&e.w, "reason", h->cause ? h->cause : "");
    jw_field_string(&e.w, "host", i->hostname ? i->hostname : "unknown");
    if (i->agent_id)
        jw_field_string(&e.w, "slaveId", i->agent_id);
    event_end(c, &e);
}

void event_app_terminated(struct core *c, const char *id)
{
    struct event e;
    event_begin(&e, "app_terminated_event");
    jw_field_string(&e.w, "appId", id);
    event_end(c, &e);
}

void event_scheduler(struct core *c, const char *type)
{
    struct event e;
    event_begin(&e, type);
    if (streq(type, "scheduler_registered_event"))
        jw_field_string(&e.w, "frameworkId", c->framework_id);
    if (!streq(type, "scheduler_disconnected_event"))
        jw_field_string(&e.w, "master", c->master);
    event_end(c, &e);
}
