#include "base/clock.h"
#include "base/str.h"
#include "marathon/core_internal.h"
#include "marathon/path.h"

struct group_def *group_def_new(int64_t version_us, const json_t *dependencies, int enforce_role)
{
    struct group_def *d = xnew(struct group_def);
    size_t n = json_array_size(dependencies);
    d->refs = 1;
    d->version_us = version_us;
    d->has_enforce = enforce_role >= 0;
    d->enforce_role = enforce_role > 0;
    if (n > 0) {
        d->dependencies = xnew_array(char *, n + 1);
        for (size_t i = 0; i < n; i++)
            d->dependencies[i] = xstrdup(json_string_value(json_array_get(dependencies, i)));
    }
    return d;
}

struct group_def *group_def_ref(struct group_def *d)
{
    if (d)
        d->refs++;
    return d;
}

void group_def_unref(struct group_def *d)
{
    if (!d || --d->refs > 0)
        return;
    for (char **p = d->dependencies; p && *p; p++)
        free(*p);
    free(d->dependencies);
    free(d);
}

struct group *group_get(struct core *c, const char *id)
{
    struct group *g = map_get(&c->groups, id);
    if (g)
        return g;
    g = xnew(struct group);
    g->id = xstrdup(id);
    map_put(&c->groups, g->id, g);
    if (!path_is_root(id)) {
        _cleanup_free_ char *parent = path_parent(id);
        g->parent = group_get(c, parent);
        map_put(&g->parent->groups, g->id, g);
    }
    return g;
}

struct group *core_group(const struct core *c, const char *id)
{
    struct group *g = map_get(&c->groups, id);
    return g && g->def ? g : NULL;
}

struct spec *spec_get(struct core *c, const char *id)
{
    struct spec *s = map_get(&c->specs, id);
    if (s)
        return s;
    _cleanup_free_ char *parent = path_parent(id);
    _cleanup_buf_ struct buf safe = BUF_INIT;
    path_safe(id, &safe);
    s = xnew(struct spec);
    s->id = xstrdup(id);
    s->safe = buf_steal(&safe);
    s->group = group_get(c, parent);
    list_init(&s->scheduled);
    list_init(&s->ready);
    list_init(&s->dirty_node);
    map_put(&c->specs, s->id, s);
    map_put(&s->group->specs, s->id, s);
    return s;
}

struct spec *core_spec(const struct core *c, const char *id)
{
    struct spec *s = map_get(&c->specs, id);
    return s && s->app ? s : NULL;
}

void spec_free(struct core *c, struct spec *s)
{
    queue_removed(c, s);
    list_remove(&s->dirty_node);
    map_remove(&c->specs, s->id);
    map_remove(&s->group->specs, s->id);
    while (map_size(&s->instances) > 0) {
        size_t pos = 0;
        instance_free(c, map_next(&s->instances, &pos)->value);
    }
    map_done(&s->instances);
    VEC_FOREACH (v, &s->versions)
        app_unref(*v);
    vec_done(&s->versions);
    app_unref(s->app);
    offer_stats_free(s->stats);
    free(s->last_failure);
    free(s->safe);
    free(s->id);
    free(s);
}

void spec_maybe_free(struct core *c, struct spec *s)
{
    if (s->app || s->deployment || s->pins || s->versions.n > 0 || map_size(&s->instances) > 0)
        return;
    spec_free(c, s);
}

void tree_free(struct core *c)
{
    while (map_size(&c->specs) > 0) {
        size_t pos = 0;
        spec_free(c, map_next(&c->specs, &pos)->value);
    }
    MAP_FOREACH (e, &c->groups) {
        struct group *g = e->value;
        map_done(&g->groups);
        map_done(&g->specs);
        group_def_unref(g->def);
        free(g->id);
        free(g);
    }
    map_done(&c->groups);
    map_done(&c->specs);
}

void spec_mark(struct core *c, struct spec *s)
{
    if (s->dirty)
        return;
    s->dirty = true;
    list_push(&c->dirty, &s->dirty_node);
}

static void count_ports(struct core *c, const struct app *a, int by)
{
    for (size_t i = 0; a && i < a->n_ports; i++)
        if (a->ports[i].service > 0)
            c->service_ports[a->ports[i].service] =
                (uint16_t)(c->service_ports[a->ports[i].service] + by);
}

void spec_set_app(struct core *c, struct spec *s, struct app *a)
{
    count_ports(c, s->app, -1);
    count_ports(c, a, 1);
    c->n_apps -= s->app != NULL;
    c->n_apps += a != NULL;
    c->n_dependent -= s->app && s->app->dependencies;
    c->n_dependent += a && a->dependencies;
    struct app *old = s->app;
    s->app = a ? app_ref(a) : NULL;
    app_unref(old);
}

void group_set_def(struct core *c, struct group *g, struct group_def *d)
{
    struct group_def *old = g->def;
    c->n_dependent -= old && old->dependencies;
    c->n_dependent += d && d->dependencies;
    g->def = group_def_ref(d);
    group_def_unref(old);
}

static void version_key(const struct spec *s, int64_t version_us, struct buf *key)
{
    buf_printf(key, "app/%s/%016llx", s->safe, (unsigned long long)version_us);
}

void app_store(struct core *c, const struct spec *s, const struct app *a)
{
    _cleanup_buf_ struct buf key = BUF_INIT, value = BUF_INIT;
    struct json_writer w;
    version_key(s, a->version_us, &key);
    jw_init(&w, &value);
    app_store_write(a, &w);
    out_put(c, key.p, &value);
}

static bool version_in_use(const struct spec *s, const struct app *a)
{
    MAP_FOREACH (e, &s->instances) {
        const struct instance *i = e->value;
        if (i->app && i->app->version_us == a->version_us)
            return true;
    }
    return s->app && s->app->version_us == a->version_us;
}

void spec_add_version(struct core *c, struct spec *s, struct app *a, bool store)
{
    size_t at = s->versions.n;
    while (at > 0 && s->versions.items[at - 1]->version_us >= a->version_us)
        at--;
    if (at < s->versions.n && s->versions.items[at]->version_us == a->version_us)
        return;
    vec_push(&s->versions, NULL);
    memmove(s->versions.items + at + 1, s->versions.items + at,
        (s->versions.n - 1 - at) * sizeof(struct app *));
    s->versions.items[at] = app_ref(a);
    if (!store)
        return;
    app_store(c, s, a);
    for (size_t i = 0; s->versions.n > (size_t)c->options.max_versions && i < s->versions.n;) {
        struct app *old = s->versions.items[i];
        if (version_in_use(s, old)) {
            i++;
            continue;
        }
        _cleanup_buf_ struct buf key = BUF_INIT;
        version_key(s, old->version_us, &key);
        out_delete(c, key.p);
        app_unref(old);
        vec_remove(&s->versions, i);
    }
}

void spec_forget_versions(struct core *c, struct spec *s)
{
    VEC_FOREACH (v, &s->versions) {
        _cleanup_buf_ struct buf key = BUF_INIT;
        version_key(s, (*v)->version_us, &key);
        out_delete(c, key.p);
        app_unref(*v);
    }
    vec_done(&s->versions);
    if (s->last_failure) {
        _cleanup_free_ char *key = xasprintf("failure/%s", s->safe);
        out_delete(c, key);
        free(s->last_failure);
        s->last_failure = NULL;
    }
}

void group_store(struct core *c, const struct group *g)
{
    _cleanup_buf_ struct buf key = BUF_INIT, value = BUF_INIT;
    struct json_writer w;
    buf_puts(&key, "group/");
    if (g->parent)
        path_safe(g->id, &key);
    else
        buf_puts(&key, "_root");
    if (!g->def) {
        out_delete(c, key.p);
        return;
    }
    jw_init(&w, &value);
    jw_begin_object(&w);
    jw_field_string(&w, "id", g->id);
    jw_field_i64(&w, "version", g->def->version_us);
    if (g->def->has_enforce)
        jw_field_bool(&w, "enforceRole", g->def->enforce_role);
    jw_key(&w, "dependencies");
    jw_begin_array(&w);
    for (char **p = g->def->dependencies; p && *p; p++)
        jw_string(&w, *p);
    jw_end_array(&w);
    jw_end_object(&w);
    out_put(c, key.p, &value);
}

void tree_each_app(struct core *c, const struct group *g,
    void (*fn)(struct core *c, struct spec *s, void *userdata), void *userdata)
{
    MAP_FOREACH (e, &g->specs) {
        struct spec *s = e->value;
        if (s->app)
            fn(c, s, userdata);
    }
    MAP_FOREACH (e, &g->groups)
        tree_each_app(c, e->value, fn, userdata);
}
