/* Deployments: a plan's steps one after the other, the actions of a step side by side. */

#include "base/str.h"
#include "marathon/core_internal.h"

const char *action_name(enum action_type t)
{
    static const char *const names[] = {
        "StartApplication", "StopApplication", "ScaleApplication", "RestartApplication"};
    return names[t];
}

struct deployment *deployment_new(struct core *c, struct change *ch)
{
    struct deployment *d = xnew(struct deployment);
    d->id = xstrdup(ch->deployment_id);
    d->change = ch;
    ch->refs++;
    VEC_FOREACH (e, &ch->entries) {
        d->n_steps = MAX(d->n_steps, (size_t)e->step_stop);
        d->n_steps = MAX(d->n_steps, (size_t)e->step_start);
        d->n_steps = MAX(d->n_steps, (size_t)e->step_run);
    }
    d->steps = xcalloc(d->n_steps + 1, sizeof(*d->steps));
    VEC_FOREACH (e, &ch->entries) {
        const int32_t steps[] = {e->step_stop, e->step_start, e->step_run};
        const enum action_type types[] = {
            ACTION_STOP, ACTION_START, (enum action_type)e->run_action};
        for (size_t k = 0; k < ARRAY_SIZE(steps); k++)
            if (steps[k] > 0)
                vec_push(&d->steps[steps[k] - 1], (struct action){.type = types[k], .entry = e});
        if (e->spec)
            e->spec->deployment = d;
    }
    map_put(&c->deployments, d->id, d);
    c->count.deployments++;
    return d;
}

void deployment_free(struct core *c, struct deployment *d)
{
    map_remove(&c->deployments, d->id);
    VEC_FOREACH (e, &d->change->entries)
        if (e->spec && e->spec->deployment == d) {
            e->spec->deployment = NULL;
            spec_mark(c, e->spec);
        }
    for (size_t i = 0; i < d->n_steps; i++)
        vec_done(&d->steps[i]);
    free(d->steps);
    free(d->id);
    change_unref(d->change);
    free(d);
}

static void finish(struct core *c, struct deployment *d)
{
    free(d->change->deployment_id);
    d->change->deployment_id = NULL;
    change_store_head(c, d->change);
    deployment_free(c, d);
    history_trim(c);
}

static bool stop_step(struct core *c, struct action *a)
{
    struct spec *s = a->entry->spec;
    if (!a->begun) {
        a->begun = true;
        const struct app *old = a->entry->old_app;
        for (size_t k = 0; old && k < old->n_health; k++)
            event_health_check(c, "remove_health_check_event", old, k, NULL);
        MAP_FOREACH (e, &s->instances)
            instance_set_goal(c, e->value, GOAL_DECOMMISSIONED);
    }
    if (map_size(&s->instances) > 0)
        return false;
    s->delay_us = s->delay_until_us = 0;
    event_app_terminated(c, s->id);
    return true;
}

static bool start_step(struct core *c, struct action *a)
{
    const struct app *app = a->entry->spec->app;
    for (size_t k = 0; app && k < app->n_health; k++)
        event_health_check(c, "add_health_check_event", app, k, NULL);
    return true;
}

static bool scale_step(struct core *c, struct deployment *d, struct action *a)
{
    struct spec *s = a->entry->spec;
    size_t total = map_size(&s->instances), count = 0, listed = 0;
    size_t target = (size_t)s->app->instances;
    MAP_FOREACH (e, &s->instances) {
        const struct instance *i = e->value;
        count += instance_counts(i);
        for (size_t k = 0; instance_counts(i) && k < json_array_size(a->entry->kills); k++)
            listed += streq(json_string_value(json_array_get(a->entry->kills, k)), i->id);
    }
    if (!a->begun) {
        a->begun = true;
        size_t kill = MAX(count > target ? count - target : 0, listed);
        struct instance **victims = xnew_array(struct instance *, total + 1);
        size_t n = spec_choose_victims(s, a->entry->kills, kill, victims);
        for (size_t k = 0; k < n; k++)
            instance_set_goal(c, victims[k], GOAL_DECOMMISSIONED);
        free(victims);
        count -= n;
    }
    MAP_FOREACH (e, &s->instances) {
        const struct instance *i = e->value;
        if (i->goal != GOAL_RUNNING && !instance_is_gone(i))
            return false;
    }
    bool added = count < target;
    for (; count < target; count++)
        instance_new(c, s, s->app, d->id);
    if (added)
        return false;
    MAP_FOREACH (e, &s->instances) {
        const struct instance *i = e->value;
        if (instance_counts(i) && streq(i->started_by, d->id) &&
            !(instance_is_healthy(i) && instance_is_ready(i)))
            return false;
    }
    return true;
}

static bool action_step(struct core *c, struct deployment *d, struct action *a)
{
    switch (a->type) {
    case ACTION_STOP:
        return stop_step(c, a);
    case ACTION_START:
        return start_step(c, a);
    case ACTION_SCALE:
        return scale_step(c, d, a);
    case ACTION_RESTART:
        return restart_step(c, d, a);
    }
    return true;
}

void deployment_step(struct core *c, struct deployment *d)
{
    while (d->current <= d->n_steps) {
        if (d->current > 0) {
            bool all = true;
            VEC_FOREACH (a, &d->steps[d->current - 1]) {
                if (!a->done)
                    a->done = action_step(c, d, a);
                all = all && a->done;
            }
            if (!all)
                return;
            event_deployment(c, "deployment_step_success", d, NULL);
        }
        d->current++;
        if (d->current <= d->n_steps)
            event_deployment(c, "deployment_info", d, NULL);
    }
    event_deployment(c, "deployment_success", d, NULL);
    finish(c, d);
}

void deployment_start(struct core *c, struct deployment *d)
{
    deployment_step(c, d);
}

void core_cancel(struct core *c, struct deployment *d, int64_t now_us)
{
    c->now_us = now_us;
    event_deployment(c, "deployment_failed", d, "The upgrade has been cancelled");
    finish(c, d);
}

/* ---- settling ---- */

void core_settle(struct core *c)
{
    while (!list_empty(&c->dirty)) {
        struct spec *s = list_first(&c->dirty, struct spec, dirty_node);
        list_remove(&s->dirty_node);
        s->dirty = false;
        if (s->deployment)
            deployment_step(c, s->deployment);
        else
            spec_scale_check(c, s);
        spec_maybe_free(c, s);
    }
    queue_wake(c);
}
