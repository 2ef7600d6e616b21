/* /v2/apps */

#include <ctype.h>
#include <errno.h>

#include "base/clock.h"
#include "base/str.h"
#include "marathon/api_internal.h"
#include "marathon/path.h"

static const struct embed all_embeds = {
    .tasks = true, .counts = true, .deployments = true, .last_failure = true};

static bool contains_ignoring_case(const char *text, struct str part)
{
    size_t n = strlen(text);
    for (size_t i = 0; i + part.n <= n; i++) {
        size_t k = 0;
        while (
            k < part.n && tolower((unsigned char)text[i + k]) == tolower((unsigned char)part.p[k]))
            k++;
        if (k == part.n)
            return true;
    }
    return false;
}

static bool filters_match(const struct api_request *req, const struct spec *s, const char *selector,
    bool *ret, struct error *err)
{
    struct str cmd = http_params_get(&req->params, "cmd");
    struct str id = http_params_get(&req->params, "id");
    *ret = true;
    if (id.p && !contains_ignoring_case(s->id, id))
        *ret = false;
    if (!*ret || (!cmd.p && !selector))
        return true;
    _cleanup_json_ json_t *t = app_tree(s->app);
    if (cmd.p && !contains_ignoring_case(json_str_at(t, "cmd", ""), cmd))
        *ret = false;
    bool fits = true;
    if (*ret && selector && selector_match(selector, json_at(t, "labels"), &fits, err) < 0)
        return false;
    *ret = *ret && fits;
    return true;
}

static void list_apps(struct core *c, const struct api_request *req, struct api_reply *r)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    const char *selector = param_text(req, "label", &arena);
    struct embed e = embed_parse(req);
    struct error err = ERROR_INIT;
    struct json_writer w;
    bool fits;
    e.counts = e.deployments = true;
    if (selector && selector_match(selector, NULL, &fits, &err) < 0) {
        reply_message(r, 422, "Can not parse label selector %s. Reason: %s", selector, err.msg);
        return;
    }
    r->status = 200;
    jw_init(&w, &r->body);
    jw_begin_object(&w);
    jw_key(&w, "apps");
    jw_begin_array(&w);
    MAP_FOREACH (m, &c->specs) {
        struct spec *s = m->value;
        if (s->app && api_may(req, s->id, POLICY_READ) &&
            filters_match(req, s, selector, &fits, &err) && fits)
            write_app_info(c, s, &e, &w);
    }
    jw_end_array(&w);
    jw_end_object(&w);
}

/* The answer to POST: the definition as it was accepted, nothing of it runs yet. */
static void reply_created(const struct app *a, const char *deployment, struct api_reply *r)
{
    struct json_writer w;
    r->status = 201;
    jw_init(&w, &r->body);
    jw_begin_object(&w);
    app_write_members(a, false, &w);
    static const char *const counts[] = {
        "tasksStaged", "tasksRunning", "tasksHealthy", "tasksUnhealthy"};
    for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
        jw_field_i64(&w, counts[i], 0);
    jw_key(&w, "deployments");
    jw_begin_array(&w);
    jw_begin_object(&w);
    jw_field_string(&w, "id", deployment);
    jw_end_object(&w);
    jw_end_array(&w);
    jw_end_object(&w);
    reply_header(r, "Location", xstrdup(a->id));
    reply_header(r, "Marathon-Deployment-Id", xstrdup(deployment));
}

static void event_api_post(struct core *c, const struct api_request *req, const struct app *a)
{
    struct event e;
    event_begin(&e, "api_post_event");
    jw_field_string(&e.w, "clientIp", req->remote ? req->remote : "");
    jw_field_string(&e.w, "uri", req->uri ? req->uri : req->path);
    jw_key(&e.w, "appDefinition");
    app_write(a, false, &e.w);
    event_end(c, &e);
}

static struct change *change_below(const char *id)
{
    struct change *ch = change_new();
    ch->group_id = path_parent(id);
    return ch;
}

static void create_app(struct core *c, const struct api_request *req, struct api_reply *r)
{
    _cleanup_json_ json_t *json = request_json(req, r);
    if (!json)
        return;
    struct app_reader reader = {.core = c};
    _cleanup_(app_unrefp)
    struct app *app = read_app(&reader, json, "/", NULL, NULL, false, "");
    bool answered = app_reader_answer(&reader, r);
    app_reader_done(&reader);
    if (answered || !app)
        return;
    if (core_spec(c, app->id)) {
        reply_message(r, 409, "An app with id [%s] already exists.", app->id);
        return;
    }
    struct change *ch = change_below(app->id);
    struct change_done done;
    change_app(c, ch, app->id, app_ref(app));
    c->now_us = req->now_us;
    if (!run_change(c, req, ch, param_bool(req, "force", false), r, &done))
        return;
    /* What the client sent, under the version it got. */
    app->version_us = done.version_us;
    event_api_post(c, req, app);
    reply_created(app, done.deployment, r);
}

/* One entry of a PUT or PATCH. NULL after answering or adding violations. */
static struct app *read_update(struct core *c, struct app_reader *reader, const json_t *json,
    const char *id, bool partial, const char *prefix, struct api_reply *r)
{
    _cleanup_free_ char *own = path_resolve("/", id ? id : json_str_at(json, "id", ""));
    struct spec *s = core_spec(c, own);
    const char *version = json_str_at(json, "version", NULL);
    if (version && partial && s) {
        size_t others = 0;
        const char *key;
        json_t *value;
        json_object_foreach((json_t *)(uintptr_t)json, key, value)
            others += !streq(key, "id") && !streq(key, "version") && !json_is_null(value);
        int64_t at;
        if (others > 0) {
            violation_add(&reader->rules, *prefix ? prefix : "/",
                "The 'version' field may only be combined with the 'id' field.");
            return NULL;
        }
        if (parse_version(version, r, &at) < 0)
            return NULL;
        VEC_FOREACH (v, &s->versions)
            if ((*v)->version_us / 1000 == at / 1000)
                return app_ref(*v);
        reply_unknown(r, "App", own);
        return NULL;
    }
    return read_app(reader, json, "/", own, s ? s->app : NULL, partial, prefix);
}

static void update_app(
    struct core *c, const struct api_request *req, const char *id, bool patch, struct api_reply *r)
{
    _cleanup_json_ json_t *json = request_json(req, r);
    if (!json)
        return;
    bool partial = patch || param_bool(req, "partialUpdate", true);
    bool existed = core_spec(c, id) != NULL;
    struct app_reader reader = {.core = c};
    _cleanup_(app_unrefp)
    struct app *app = read_update(c, &reader, json, id, partial, "", r);
    bool answered = app_reader_answer(&reader, r) || r->status != 0;
    app_reader_done(&reader);
    if (answered || !app)
        return;
    if (patch && !existed) {
        reply_unknown(r, "App", id);
        return;
    }
    struct change *ch = change_below(id);
    struct change_done done;
    change_app(c, ch, id, app_ref(app));
    c->now_us = req->now_us;
    if (!run_change(c, req, ch, param_bool(req, "force", false), r, &done))
        return;
    if (core_spec(c, id))
        event_api_post(c, req, core_spec(c, id)->app);
    reply_deployment(r, existed ? 200 : 201, done.deployment, done.version_us);
    if (!existed)
        reply_header(r, "Location", xstrdup(id));
}

static void update_apps(
    struct core *c, const struct api_request *req, bool patch, struct api_reply *r)
{
    _cleanup_json_ json_t *json = request_json(req, r);
    if (!json)
        return;
    bool partial = patch || param_bool(req, "partialUpdate", true);
    struct app_reader reader = {.core = c};
    struct change *ch = change_new();
    ch->group_id = xstrdup("/");
    if (!json_is_array(json))
        violation_add(&reader.json, "", "error.expected.jsarray");
    for (size_t i = 0; i < json_array_size(json) && r->status == 0; i++) {
        const json_t *one = json_array_get(json, i);
        _cleanup_free_ char *prefix = xasprintf("(%zu)", i);
        const char *text = json_str_at(one, "id", NULL);
        if (!json_is_object(one)) {
            violation_add(&reader.json, prefix, "error.expected.jsobject");
            continue;
        }
        if (!text && partial) {
            reply_message(r, 422, "requirement failed: App Update must have app id set");
            break;
        }
        _cleanup_free_ char *id = text && path_text_ok(text) ? path_resolve("/", text) : NULL;
        if (patch && id && !core_spec(c, id)) {
            reply_unknown(r, "App", id);
            break;
        }
        struct app *app = id ? read_update(c, &reader, one, id, partial, prefix, r)
                             : read_app(&reader, one, "/", NULL, NULL, false, prefix);
        if (app)
            change_app(c, ch, app->id, app);
    }
    bool answered = r->status != 0 || app_reader_answer(&reader, r);
    app_reader_done(&reader);
    struct change_done done;
    if (answered) {
        change_unref(ch);
        return;
    }
    if (run_change(c, req, ch, param_bool(req, "force", false), r, &done))
        reply_deployment(r, 200, done.deployment, done.version_us);
}

static void delete_app(
    struct core *c, const struct api_request *req, const char *id, struct api_reply *r)
{
    struct change_done done;
    if (!core_spec(c, id)) {
        reply_unknown(r, "App", id);
        return;
    }
    struct change *ch = change_below(id);
    change_app(c, ch, id, NULL);
    if (run_change(c, req, ch, param_bool(req, "force", true), r, &done))
        reply_deployment(r, 200, done.deployment, done.version_us);
}

static void restart_app(
    struct core *c, const struct api_request *req, const char *id, struct api_reply *r)
{
    struct spec *s = core_spec(c, id);
    struct change_done done;
    if (!s) {
        reply_unknown(r, "App", id);
        return;
    }
    struct change *ch = change_below(id);
    change_app(c, ch, id, app_ref(s->app))->restart = true;
    if (run_change(c, req, ch, param_bool(req, "force", false), r, &done))
        reply_deployment(r, 200, done.deployment, done.version_us);
}

static void show_app(
    struct core *c, const struct api_request *req, const char *id, struct api_reply *r)
{
    struct spec *s = core_spec(c, id);
    struct json_writer w;
    if (!s) {
        reply_unknown(r, "App", id);
        return;
    }
    if (!api_allow(req, id, POLICY_READ, r))
        return;
    r->status = 200;
    jw_init(&w, &r->body);
    jw_begin_object(&w);
    jw_key(&w, "app");
    write_app_info(c, s, &all_embeds, &w);
    jw_end_object(&w);
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

static void show_group_apps(
    struct core *c, const struct api_request *req, const char *id, struct api_reply *r)
{
    struct group *g = core_group(c, id);
    struct listing l = {.embed = embed_parse(req)};
    if (!g) {
        reply_unknown(r, "Group", id);
        return;
    }
    l.embed.counts = l.embed.deployments = true;
    r->status = 200;
    jw_init(&l.w, &r->body);
    jw_begin_object(&l.w);
    jw_key(&l.w, "*");
    jw_begin_array(&l.w);
    tree_each_app(c, g, list_one, &l);
    jw_end_array(&l.w);
    jw_end_object(&l.w);
}

static void show_versions(struct core *c, const struct api_request *req, const char *id,
    const char *version, struct api_reply *r)
{
    struct spec *s = core_spec(c, id);
    struct json_writer w;
    int64_t at;
    if (s && !api_allow(req, id, POLICY_READ, r))
        return;
    if (version && parse_version(version, r, &at) < 0)
        return;
    if (!version && !s) {
        reply_unknown(r, "App", id);
        return;
    }
    jw_init(&w, &r->body);
    if (version) {
        for (size_t i = 0; s && i < s->versions.n; i++)
            if (s->versions.items[i]->version_us / 1000 == at / 1000) {
                r->status = 200;
                app_write(s->versions.items[i], true, &w);
                return;
            }
        reply_message(r, 404, "App '%s' does not exist in version %s", id, version);
        return;
    }
    r->status = 200;
    jw_begin_object(&w);
    jw_key(&w, "versions");
    jw_begin_array(&w);
    for (size_t i = s->versions.n; i > 0; i--) {
        char text[TIME_TEXT_SIZE];
        time_format_rfc3339(s->versions.items[i - 1]->version_us, text);
        jw_string(&w, text);
    }
    jw_end_array(&w);
    jw_end_object(&w);
}

static void not_allowed(struct api_reply *r)
{
    reply_message(r, 405, "Method Not Allowed");
}

void api_apps(struct core *c, const struct api_request *req, const char *rest, struct api_reply *r)
{
    enum http_method m = req->method;
    _cleanup_free_ char *path = path_resolve("/", rest[0] ? rest : "/");
    if (path_is_root(path)) {
        if (m == HTTP_GET)
            list_apps(c, req, r);
        else if (m == HTTP_POST)
            create_app(c, req, r);
        else if (m == HTTP_PUT || m == HTTP_PATCH)
            update_apps(c, req, m == HTTP_PATCH, r);
        else
            not_allowed(r);
        return;
    }
    const char *last = path_last(path);
    _cleanup_free_ char *parent = path_parent(path);
    _cleanup_free_ char *grand = path_parent(parent);
    bool deep = !path_is_root(parent);
    if (streq(last, "*") && m == HTTP_GET) {
        show_group_apps(c, req, parent, r);
    } else if (deep && streq(last, "restart") && m == HTTP_POST) {
        restart_app(c, req, parent, r);
    } else if (deep && streq(last, "tasks")) {
        api_app_tasks(c, req, parent, NULL, r);
    } else if (deep && streq(path_last(parent), "tasks") && !path_is_root(grand)) {
        api_app_tasks(c, req, grand, last, r);
    } else if (deep && streq(last, "versions")) {
        m == HTTP_GET ? show_versions(c, req, parent, NULL, r) : not_allowed(r);
    } else if (deep && streq(path_last(parent), "versions") && !path_is_root(grand)) {
        m == HTTP_GET ? show_versions(c, req, grand, last, r) : not_allowed(r);
    } else if (m == HTTP_GET) {
        show_app(c, req, path, r);
    } else if (m == HTTP_PUT || m == HTTP_PATCH) {
        update_app(c, req, path, m == HTTP_PATCH, r);
    } else if (m == HTTP_DELETE) {
        delete_app(c, req, path, r);
    } else {
        not_allowed(r);
    }
}
