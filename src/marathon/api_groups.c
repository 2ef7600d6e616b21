/* /v2/groups */

#include <errno.h>
#include <math.h>

#include "base/clock.h"
#include "base/str.h"
#include "marathon/api_internal.h"
#include "marathon/app_schema.h"
#include "marathon/path.h"

/* ---- reading ---- */

static void write_group(
    struct core *c, const struct group *g, const struct embed *e, struct json_writer *w)
{
    jw_begin_object(w);
    jw_field_string(w, "id", g->id);
    jw_key(w, "apps");
    jw_begin_array(w);
    if (e->apps)
        MAP_FOREACH (m, &g->specs) {
            const struct spec *s = m->value;
            if (s->app && api_may(e->req, s->id, POLICY_READ))
                write_app_info(c, s, e, w);
        }
    jw_end_array(w);
    jw_key(w, "pods");
    jw_begin_array(w);
    jw_end_array(w);
    jw_key(w, "groups");
    jw_begin_array(w);
    if (e->groups)
        MAP_FOREACH (m, &g->groups) {
            const struct group *child = m->value;
            if (child->def && api_sees_group(e->req, child))
                write_group(c, child, e, w);
        }
    jw_end_array(w);
    jw_key(w, "dependencies");
    jw_begin_array(w);
    for (char **p = g->def->dependencies; p && *p; p++)
        jw_string(w, *p);
    jw_end_array(w);
    write_time(w, "version", g->def->version_us);
    if (path_depth(g->id) == 1)
        jw_field_bool(w, "enforceRole", g->def->enforce_role);
    jw_end_object(w);
}

/* The root group as it was: what later changes replaced, newest first. */
struct past {
    struct map apps;   /* id -> struct app *, or &absent */
    struct map groups; /* id -> struct group_def *, or &absent */
};
static char absent;

static bool past_of(struct core *c, int64_t version_us, struct past *p)
{
    bool found = version_us / 1000 == c->root->def->version_us / 1000;
    for (size_t k = c->history.n; k > 0; k--) {
        struct change *ch = c->history.items[k - 1];
        if (ch->version_us / 1000 == version_us / 1000)
            found = true;
        if (ch->version_us / 1000 <= version_us / 1000)
            break;
        VEC_FOREACH (e, &ch->entries) {
            if (e->spec)
                map_put(&p->apps, e->spec->id, e->old_app ? (void *)e->old_app : &absent);
            else
                map_put(&p->groups, e->group->id, e->old_group ? (void *)e->old_group : &absent);
        }
    }
    return found;
}

static void past_done(struct past *p)
{
    map_done(&p->apps);
    map_done(&p->groups);
}

static struct app *past_app(const struct past *p, const struct spec *s)
{
    void *a = map_get(&p->apps, s->id);
    return !a ? s->app : a == &absent ? NULL : a;
}

static struct group_def *past_group(const struct past *p, const struct group *g)
{
    void *d = map_get(&p->groups, g->id);
    return !d ? g->def : d == &absent ? NULL : d;
}

static void write_past_group(
    const struct past *p, const struct group *g, int64_t version_us, struct json_writer *w)
{
    struct group_def *def = past_group(p, g);
    jw_begin_object(w);
    jw_field_string(w, "id", g->id);
    jw_key(w, "apps");
    jw_begin_array(w);
    MAP_FOREACH (m, &g->specs) {
        struct app *a = past_app(p, m->value);
        if (a)
            app_write(a, true, w);
    }
    jw_end_array(w);
    jw_key(w, "pods");
    jw_begin_array(w);
    jw_end_array(w);
    jw_key(w, "groups");
    jw_begin_array(w);
    MAP_FOREACH (m, &g->groups) {
        const struct group *child = m->value;
        if (past_group(p, child))
            write_past_group(p, child, version_us, w);
    }
    jw_end_array(w);
    jw_key(w, "dependencies");
    jw_begin_array(w);
    for (char **q = def ? def->dependencies : NULL; q && *q; q++)
        jw_string(w, *q);
    jw_end_array(w);
    write_time(w, "version", version_us);
    jw_end_object(w);
}

static void show_versions(struct core *c, const struct api_request *req, const char *id,
    const char *version, struct api_reply *r)
{
    struct group *g = map_get(&c->groups, id);
    struct json_writer w;
    int64_t at;
    /* A past version shows all of it. */
    if (!api_allow(req, id, POLICY_READ, r))
        return;
    if (version) {
        struct past p = {0};
        if (parse_version(version, r, &at) < 0)
            return;
        if (g && past_of(c, at, &p) && (past_group(&p, g) || !g->parent)) {
            r->status = 200;
            jw_init(&w, &r->body);
            write_past_group(&p, g, at, &w);
        } else {
            reply_unknown(r, "Group", id);
        }
        past_done(&p);
        return;
    }
    if (!core_group(c, id)) {
        reply_unknown(r, "Group", id);
        return;
    }
    r->status = 200;
    jw_init(&w, &r->body);
    jw_begin_array(&w);
    for (size_t k = c->history.n + 1; k > 0; k--) {
        char text[TIME_TEXT_SIZE];
        time_format_rfc3339(
            k > 1 ? c->history.items[k - 2]->version_us : c->root->def->version_us, text);
        jw_string(&w, text);
    }
    jw_end_array(&w);
}

struct listing {
    struct json_writer w;
    struct embed embed;
};

static void list_one(struct core *c, struct spec *s, void *userdata)
{
    struct listing *l = userdata;
    if (api_may(l->embed.req, s->id, POLICY_READ))
        write_app_info(c, s, &l->embed, &l->w);
}

static void show_apps(
    struct core *c, const struct api_request *req, const char *id, struct api_reply *r)
{
    struct group *g = core_group(c, id);
    struct listing l = {.embed = embed_parse(req)};
    r->status = 200;
    jw_init(&l.w, &r->body);
    jw_begin_array(&l.w);
    if (g)
        tree_each_app(c, g, list_one, &l);
    jw_end_array(&l.w);
}

static void show_group(
    struct core *c, const struct api_request *req, const char *id, struct api_reply *r)
{
    struct group *g = core_group(c, id);
    struct embed e = embed_parse(req);
    struct json_writer w;
    if (!g) {
        reply_unknown(r, "Group", id);
        return;
    }
    if (g->parent && !api_sees_group(req, g)) {
        (void)api_allow(req, id, POLICY_READ, r);
        return;
    }
    r->status = 200;
    jw_init(&w, &r->body);
    write_group(c, g, &e, &w);
}

/* ---- updating ---- */

struct update {
    struct core *c;
    struct change *ch;
    struct app_reader reader;
    int64_t version_us;
    bool create; /* POST: nothing of it may exist yet */
    bool changes_services;
    bool changes_enforce;
    struct api_reply *r;
};

static void remove_below(struct update *u, struct group *g)
{
    MAP_FOREACH (m, &g->specs) {
        struct spec *s = m->value;
        if (s->app) {
            change_app(u->c, u->ch, s->id, NULL);
            u->changes_services = true;
        }
    }
    MAP_FOREACH (m, &g->groups)
        remove_below(u, m->value);
    if (g->def && g->parent)
        change_group(u->c, u->ch, g->id, NULL);
}

static bool named_in(const json_t *list, const char *base, const char *id)
{
    for (size_t k = 0; k < json_array_size(list); k++) {
        const char *text = json_str_at(json_array_get(list, k), "id", NULL);
        _cleanup_free_ char *own = text ? path_resolve(base, text) : NULL;
        if (own && streq(own, id))
            return true;
    }
    return false;
}

static json_t *resolve_all(const json_t *list, const char *base)
{
    json_t *out = json_array();
    for (size_t k = 0; k < json_array_size(list); k++) {
        _cleanup_free_ char *id = path_resolve(base, json_string_value(json_array_get(list, k)));
        json_array_append_new(out, json_string(id));
    }
    return out;
}

static json_t *dependencies_of(const struct group_def *d)
{
    json_t *out = json_array();
    for (char **p = d ? d->dependencies : NULL; p && *p; p++)
        json_array_append_new(out, json_string(*p));
    return out;
}

static void update_group_def(struct update *u, struct group *g, const json_t *json)
{
    struct core *c = u->c;
    bool top = path_depth(g->id) == 1;
    const json_t *enforce = json_at(json, "enforceRole");
    if (enforce && json_is_true(enforce) && !top)
        violation_add(&u->reader.rules, "/",
            "enforceRole can only be set for top-level groups, and %s is not top-level", g->id);
    int wanted = !top ? -1 : (enforce ? json_is_true(enforce) : c->options.new_group_enforce_role);
    if (g->def && top && wanted != g->def->enforce_role)
        u->changes_enforce = true;
    _cleanup_json_ json_t *old = dependencies_of(g->def);
    _cleanup_json_ json_t *deps = json_at(json, "dependencies")
                                      ? resolve_all(json_at(json, "dependencies"), g->id)
                                      : json_incref(old);
    if (g->def && json_equal(old, deps) && (!top || wanted == g->def->enforce_role))
        return;
    change_group(c, u->ch, g->id, group_def_new(u->version_us, deps, wanted));
}

static void update_group(
    struct update *u, struct group *g, const json_t *json, const char *prefix, bool named);

static void update_apps_of(
    struct update *u, struct group *g, const json_t *apps, const char *prefix)
{
    MAP_FOREACH (m, &g->specs) {
        struct spec *s = m->value;
        if (s->app && !named_in(apps, g->id, s->id)) {
            change_app(u->c, u->ch, s->id, NULL);
            u->changes_services = true;
        }
    }
    for (size_t k = 0; k < json_array_size(apps); k++) {
        _cleanup_free_ char *at = xasprintf("%s/apps(%zu)", prefix, k);
        const json_t *one = json_array_get(apps, k);
        const char *text = json_str_at(one, "id", "");
        _cleanup_free_ char *id = path_resolve(g->id, text);
        _cleanup_free_ char *parent = path_parent(id);
        _cleanup_free_ char *at_id = xasprintf("%s/id", at);
        if (!streq(parent, g->id)) {
            violation_add(&u->reader.rules, at_id, "Identifier is not child of '%s'", g->id);
            continue;
        }
        for (size_t j = 0; j < k; j++) {
            _cleanup_free_ char *other = path_resolve(
                g->id, json_str_at(json_array_get(apps, j), "id", ""));
            if (streq(other, id))
                violation_add(&u->reader.rules, prefix[0] ? prefix : "/",
                    "Applications and Pods may not share the same id");
        }
        struct spec *s = core_spec(u->c, id);
        struct app *app = read_app(&u->reader, one, g->id, NULL, s ? s->app : NULL, false, at);
        if (!app)
            continue;
        u->changes_services = u->changes_services || !s || !app_config_equal(s->app, app);
        change_app(u->c, u->ch, id, app);
    }
}

static void update_groups_of(
    struct update *u, struct group *g, const json_t *groups, const char *prefix)
{
    MAP_FOREACH (m, &g->groups) {
        struct group *child = m->value;
        if (child->def && !named_in(groups, g->id, child->id))
            remove_below(u, child);
    }
    for (size_t k = 0; k < json_array_size(groups); k++) {
        const json_t *one = json_array_get(groups, k);
        const char *text = json_str_at(one, "id", NULL);
        _cleanup_free_ char *at = xasprintf("%s/groups(%zu)", prefix, k);
        if (!text || !*text) {
            violation_add(&u->reader.rules, at, "a nested group needs an id");
            continue;
        }
        _cleanup_free_ char *id = path_resolve(g->id, text);
        if (!path_below(id, g->id)) {
            violation_add(&u->reader.rules, at, "Identifier is not child of '%s'", g->id);
            continue;
        }
        update_group(u, group_get(u->c, id), one, at, false);
    }
}

static void update_group(
    struct update *u, struct group *g, const json_t *json, const char *prefix, bool named)
{
    const char *wrong = g->parent ? path_check(g->id) : NULL;
    _cleanup_free_ char *at_id = xasprintf("%s/id", prefix);
    if (wrong) {
        violation_add(&u->reader.rules, at_id, "%s", wrong);
        return;
    }
    if (g->parent)
        update_group_def(u, g, json);
    if (json_at(json, "apps"))
        update_apps_of(u, g, json_at(json, "apps"), prefix);
    if (json_at(json, "groups"))
        update_groups_of(u, g, json_at(json, "groups"), prefix);
}

struct scale {
    struct change *ch;
    double factor;
};

static void scale_one(struct core *c, struct spec *s, void *userdata)
{
    struct scale *k = userdata;
    double n = ceil(s->app->instances * k->factor - 1e-9);
    int32_t instances = n > CORE_INSTANCES_MAX ? CORE_INSTANCES_MAX : (int32_t)n;
    change_app(c, k->ch, s->id,
        app_with(s->app, instances, s->app->version_us, s->app->scaling_us, s->app->config_us));
}

static void back_to(struct update *u, const struct past *p, struct group *g)
{
    MAP_FOREACH (m, &g->specs) {
        struct spec *s = m->value;
        struct app *then = past_app(p, s);
        if (then != s->app)
            change_app(u->c, u->ch, s->id, then ? app_ref(then) : NULL);
    }
    MAP_FOREACH (m, &g->groups)
        back_to(u, p, m->value);
    struct group_def *then = past_group(p, g);
    if (g->parent && then != g->def)
        change_group(u->c, u->ch, g->id, group_def_ref(then));
}

static size_t fields_given(const json_t *json)
{
    size_t n = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)json, key, value)
        n += !json_is_null(value) && !streq(key, "id");
    return n;
}

static void write_dry_action(struct json_writer *w, enum action_type type, const struct spec *s)
{
    jw_begin_object(w);
    jw_field_string(w, "action", action_name(type));
    jw_field_string(w, "app", s->id);
    jw_end_object(w);
}

static void dry_run(struct core *c, struct change *ch, struct api_reply *r)
{
    _cleanup_refusal_ struct refusal refusal = {0};
    struct json_writer w;
    int steps = core_plan(c, ch, c->now_us, &refusal);
    if (steps < 0) {
        reply_refusal(r, &refusal);
        return;
    }
    r->status = 200;
    jw_init(&w, &r->body);
    jw_begin_object(&w);
    jw_key(&w, "steps");
    jw_begin_array(&w);
    for (int step = 1; step <= steps; step++) {
        jw_begin_object(&w);
        jw_key(&w, "actions");
        jw_begin_array(&w);
        VEC_FOREACH (e, &ch->entries) {
            if (e->step_stop == step)
                write_dry_action(&w, ACTION_STOP, e->spec);
            if (e->step_start == step)
                write_dry_action(&w, ACTION_START, e->spec);
            if (e->step_run == step)
                write_dry_action(&w, (enum action_type)e->run_action, e->spec);
        }
        jw_end_array(&w);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    jw_end_object(&w);
}

static bool special_update(struct update *u, struct group *g, const json_t *json)
{
    const json_t *factor = json_at(json, "scaleBy");
    const char *version = json_str_at(json, "version", NULL);
    if (!factor && !version)
        return false;
    if (fields_given(json) > 1) {
        violation_add(&u->reader.rules, factor ? "/scaleBy" : "/version",
            "not allowed in conjunction with other properties.");
        return true;
    }
    if (factor) {
        struct scale k = {u->ch, json_number_value(factor)};
        tree_each_app(u->c, g, scale_one, &k);
        return true;
    }
    struct past p = {0};
    int64_t at;
    if (parse_version(version, u->r, &at) == 0) {
        if (past_of(u->c, at, &p))
            back_to(u, &p, g);
        else
            reply_message(u->r, 422, "Group %s not available in version %s", g->id, version);
    }
    past_done(&p);
    return true;
}

static void update(struct core *c, const struct api_request *req, const char *base, bool create,
    struct api_reply *r)
{
    _cleanup_json_ json_t *raw = request_json(req, r);
    if (!raw)
        return;
    c->now_us = req->now_us;
    struct update u = {.c = c,
        .create = create,
        .r = r,
        .reader = {.core = c},
        .version_us = core_next_version(c, req->now_us)};
    _cleanup_json_ json_t *checked = schema_read(&schema_group_update, raw, "", &u.reader.json);
    _cleanup_(change_unrefp)
    struct change *ch = u.ch = change_new();
    const char *text = json_str_at(raw, "id", NULL);
    struct change_done done;
    if (u.reader.json.n == 0 && checked) {
        _cleanup_free_ char *id = create ? path_resolve(base, text ? text : "") : xstrdup(base);
        ch->group_id = xstrdup(id);
        struct group *g = group_get(c, id);
        if (create && core_spec(c, id)) {
            reply_message(r, 409, "An app with the path %s already exists.", id);
        } else if (create && g->def) {
            reply_message(r, 409, "Group %s is already created. Use PUT to change this group.", id);
        } else if (!special_update(&u, g, raw)) {
            update_group(&u, g, raw, "", text != NULL);
            if (u.changes_services && u.changes_enforce && text)
                violation_add(&u.reader.rules, "/enforceRole",
                    "enforceRole cannot be modified in a request that adds, removes or modifies "
                    "services; please make these changes in separate requests.");
        }
    }
    bool answered = r->status != 0 || app_reader_answer(&u.reader, r);
    app_reader_done(&u.reader);
    if (answered)
        return;
    if (!create && param_bool(req, "dryRun", false)) {
        if (api_allow_change(req, ch, r))
            dry_run(c, ch, r);
        return;
    }
    _cleanup_free_ char *id = xstrdup(ch->group_id);
    if (run_change(c, req, TAKE_PTR(ch), param_bool(req, "force", false), r, &done)) {
        reply_deployment(r, create ? 201 : 200, done.deployment, done.version_us);
        if (create)
            reply_header(r, "Location", xstrdup(id));
    }
}

static void patch(
    struct core *c, const struct api_request *req, const char *id, struct api_reply *r)
{
    _cleanup_json_ json_t *json = request_json(req, r);
    struct group *g = core_group(c, id);
    if (!json)
        return;
    if (!g) {
        reply_unknown(r, "Group", id);
        return;
    }
    if (!api_allow(req, id, POLICY_UPDATE, r))
        return;
    if (path_depth(id) != 1) {
        _cleanup_violations_ struct violations v = {0};
        violation_add(&v, "/id", "Path needs to be top-level");
        reply_violations(r, false, &v);
        return;
    }
    c->now_us = req->now_us;
    _cleanup_json_ json_t *deps = dependencies_of(g->def);
    bool enforce = json_bool_at(json, "enforceRole", c->options.new_group_enforce_role);
    struct group_def *d = group_def_new(g->def->version_us, deps, enforce);
    group_set_def(c, g, d);
    group_def_unref(d);
    group_store(c, g);
    r->status = 200;
}

static void delete_group(
    struct core *c, const struct api_request *req, const char *id, struct api_reply *r)
{
    struct group *g = core_group(c, id);
    struct change_done done;
    if (!g) {
        reply_unknown(r, "Group", id);
        return;
    }
    struct update u = {.c = c, .ch = change_new()};
    u.ch->group_id = xstrdup(id);
    remove_below(&u, g);
    if (run_change(c, req, u.ch, param_bool(req, "force", false), r, &done))
        reply_deployment(r, 200, done.deployment, done.version_us);
}

void api_groups(
    struct core *c, const struct api_request *req, const char *rest, struct api_reply *r)
{
    enum http_method m = req->method;
    _cleanup_free_ char *path = path_resolve("/", rest[0] ? rest : "/");
    _cleanup_free_ char *parent = path_parent(path);
    _cleanup_free_ char *grand = path_parent(parent);
    const char *last = path_last(path);
    if (m == HTTP_GET && streq(last, "apps"))
        show_apps(c, req, parent, r);
    else if (m == HTTP_GET && streq(last, "versions"))
        show_versions(c, req, parent, NULL, r);
    else if (m == HTTP_GET && streq(path_last(parent), "versions"))
        show_versions(c, req, grand, last, r);
    else if (m == HTTP_GET)
        show_group(c, req, path, r);
    else if (m == HTTP_POST)
        update(c, req, path, true, r);
    else if (m == HTTP_PUT)
        update(c, req, path, false, r);
    else if (m == HTTP_PATCH)
        patch(c, req, path, r);
    else if (m == HTTP_DELETE)
        delete_group(c, req, path, r);
    else
        reply_message(r, 405, "Method Not Allowed");
}
