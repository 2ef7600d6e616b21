#include "marathon/core.h"

#include <errno.h>

#include "base/str.h"
#include "marathon/core_internal.h"

struct core *core_new(const struct core_options *options, uint64_t seed)
{
    struct core *c = xnew(struct core);
    c->options = *options;
    rng_init(&c->rng, seed);
    list_init(&c->ready);
    list_init(&c->dirty);
    c->service_ports = xnew_array(uint16_t, 65536);
    c->tokens = options->launch_tokens;
    c->root = group_get(c, "/");
    queue_role(c, options->mesos_role);
    return c;
}

void core_free(struct core *c)
{
    if (!c)
        return;
    while (map_size(&c->deployments) > 0) {
        size_t pos = 0;
        deployment_free(c, map_next(&c->deployments, &pos)->value);
    }
    VEC_FOREACH (ch, &c->history)
        change_unref(*ch);
    vec_done(&c->history);
    tree_free(c);
    MAP_FOREACH (e, &c->roles)
        free(e->value);
    map_done(&c->roles);
    VEC_FOREACH (o, &c->out)
        out_item_done(o);
    vec_done(&c->out);
    map_done(&c->instances);
    map_done(&c->deployments);
    map_done(&c->probes);
    heap_done(&c->timers);
    free(c->service_ports);
    free(c->framework_id);
    free(c->master);
    free(c);
}

static int load_app(struct core *c, const json_t *r, struct error *err)
{
    _cleanup_(app_unrefp)
    struct app *a = NULL;
    int rc = app_store_read(r, &a, err);
    if (rc < 0)
        return rc;
    struct spec *s = spec_get(c, a->id);
    spec_add_version(c, s, a, false);
    if (!s->app || s->app->version_us < a->version_us)
        spec_set_app(c, s, a);
    c->last_version_us = MAX(c->last_version_us, a->version_us);
    return 0;
}

static int load_group(struct core *c, const json_t *r, struct error *err)
{
    const char *id = json_str_at(r, "id", NULL);
    if (!id || id[0] != '/')
        return error_set(err, -EINVAL, "group without id");
    int enforce = json_at(r, "enforceRole") ? json_bool_at(r, "enforceRole", false) : -1;
    struct group_def *d = group_def_new(
        json_i64_at(r, "version", 0), json_at(r, "dependencies"), enforce);
    group_set_def(c, group_get(c, id), d);
    c->last_version_us = MAX(c->last_version_us, d->version_us);
    group_def_unref(d);
    return 0;
}

static int load_failure(struct core *c, const char *key, struct str value)
{
    const char *safe = key + strlen("failure/");
    _cleanup_buf_ struct buf id = BUF_INIT;
    buf_putc(&id, '/');
    for (const char *p = safe; *p; p++)
        buf_putc(&id, *p == '_' ? '/' : *p);
    struct spec *s = map_get(&c->specs, id.p);
    if (s && !s->last_failure)
        s->last_failure = xstrndup(value.p, value.n);
    return 0;
}

int core_load(struct core *c, const char *key, struct str value, struct error *err)
{
    _cleanup_json_ json_t *r = NULL;
    int rc = json_parse(value.p, value.n, &r, err);
    if (rc < 0)
        return error_prefix(err, rc, "record %s", key);
    if (has_prefix(key, "app/"))
        rc = load_app(c, r, err);
    else if (has_prefix(key, "group/"))
        rc = load_group(c, r, err);
    else if (has_prefix(key, "change"))
        rc = change_load(c, key, r, err);
    else if (has_prefix(key, "instance/"))
        rc = instance_load(c, r, err);
    else if (has_prefix(key, "failure/"))
        rc = load_failure(c, key, value);
    else if (streq(key, "framework") && json_str_at(r, "id", NULL))
        c->framework_id = xstrdup(json_str_at(r, "id", NULL));
    return rc < 0 ? error_prefix(err, rc, "record %s", key) : 0;
}

static void on_scale(struct core *c, struct core_timer *t)
{
    MAP_FOREACH (e, &c->specs)
        spec_mark(c, e->value);
    timer_at(c, t, c->now_us + c->options.scale_interval_us, on_scale);
}

static void on_expunge(struct core *c, struct core_timer *t)
{
    MAP_FOREACH (e, &c->instances) {
        struct instance *i = e->value;
        if (i->condition != CONDITION_UNREACHABLE && i->condition != CONDITION_UNREACHABLE_INACTIVE)
            continue;
        const struct app *a = i->app;
        int64_t for_us = c->now_us - (i->unreachable_us ? i->unreachable_us : i->since_us);
        if (!a || a->unreachable_disabled)
            continue;
        if (for_us >= a->expunge_after_us)
            instance_expunge(c, i);
        else if (for_us >= a->inactive_after_us && i->condition == CONDITION_UNREACHABLE)
            instance_set_condition(c, i, CONDITION_UNREACHABLE_INACTIVE);
    }
    timer_at(c, t, c->now_us + c->options.expunge_interval_us, on_expunge);
}

void core_loaded(struct core *c, int64_t now_us)
{
    c->now_us = now_us;
    change_reapply(c, NULL);
    if (!c->root->def) {
        c->root->def = group_def_new(core_next_version(c, now_us), NULL, -1);
        c->last_version_us = c->root->def->version_us;
        group_store(c, c->root);
    }
    MAP_FOREACH (e, &c->instances) {
        struct instance *i = e->value;
        if (!i->app && i->spec->app && i->goal == GOAL_RUNNING)
            i->app = app_ref(i->spec->app); /* its own version was lost: keep it as it is */
        if (i->goal != GOAL_RUNNING && i->condition == CONDITION_SCHEDULED) {
            instance_expunge(c, i);
            continue;
        }
        if (i->condition == CONDITION_RUNNING && i->healthy >= 0)
            health_from_task(c, i, i->healthy > 0);
        instance_requeue(c, i);
        instance_watch_launch(c, i);
        health_update(c, i);
        queue_role(c, i->role);
    }
    MAP_FOREACH (e, &c->specs) {
        struct spec *s = e->value;
        if (s->app)
            queue_role(c, s->app->role);
        spec_mark(c, s);
    }
    /* Deployments under way go through their steps again; what is done already passes at once. */
    VEC(struct deployment *) running = {0};
    VEC_FOREACH (ch, &c->history)
        if ((*ch)->deployment_id)
            vec_push(&running, deployment_new(c, *ch));
    VEC_FOREACH (d, &running)
        deployment_start(c, *d);
    vec_done(&running);
    history_trim(c);
    timer_at(c, &c->scale_timer, now_us + c->options.scale_delay_us, on_scale);
    timer_at(c, &c->expunge_timer, now_us + c->options.expunge_delay_us, on_expunge);
    core_settle(c);
}
