/* Tasks: listing, killing, killing and scaling down. */

#include <errno.h>

#include "base/str.h"
#include "marathon/api_internal.h"
#include "marathon/path.h"

struct found {
    VEC(struct instance *) list;
    struct str host; /* {NULL}: any */
    const struct api_request *req;
};

static void collect(struct core *c, struct spec *s, void *userdata)
{
    struct found *f = userdata;
    if (!api_may(f->req, s->id, POLICY_READ))
        return;
    MAP_FOREACH (e, &s->instances) {
        struct instance *i = e->value;
        if (!instance_has_task(i))
            continue;
        if (!f->host.p || str_eq_c(f->host, "*") || str_eq_c(f->host, i->hostname))
            vec_push(&f->list, i);
    }
}

static bool scale_and_wipe(const struct api_request *req, struct api_reply *r)
{
    if (!param_bool(req, "scale", false) || !param_bool(req, "wipe", false))
        return false;
    reply_message(r, 400, "You cannot use scale and wipe at the same time.");
    return true;
}

void kill_instances(struct core *c, const struct api_request *req, struct instance **list, size_t n,
    bool wipe, struct api_reply *r, bool single)
{
    struct json_writer w;
    if (!api_allow_instances(req, list, n, r))
        return;
    r->status = 200;
    jw_init(&w, &r->body);
    jw_begin_object(&w);
    jw_key(&w, single ? "task" : "tasks");
    if (!single)
        jw_begin_array(&w);
    for (size_t k = 0; k < n; k++)
        write_task(list[k], false, &w);
    if (!single)
        jw_end_array(&w);
    jw_end_object(&w);
    /* Killing may forget an instance and settling another: go by id. */
    char **ids = xnew_array(char *, n + 1);
    for (size_t k = 0; k < n; k++)
        ids[k] = xstrdup(list[k]->id);
    for (size_t k = 0; k < n; k++) {
        struct instance *i = map_get(&c->instances, ids[k]);
        if (i)
            core_kill_instance(c, i, wipe, req->now_us);
        free(ids[k]);
    }
    free(ids);
}

void kill_and_scale(struct core *c, const struct api_request *req, struct instance **list, size_t n,
    struct api_reply *r)
{
    struct change *ch = change_new();
    struct change_done done;
    for (size_t k = 0; k < n; k++) {
        struct spec *s = list[k]->spec;
        if (!s->app || list[k]->goal != GOAL_RUNNING || list[k]->condition == CONDITION_KILLING)
            continue;
        struct app *now = change_app_at(c, ch, s->id);
        struct app *less = app_with(
            now, MAX(0, now->instances - 1), now->version_us, now->scaling_us, now->config_us);
        struct change_entry *e = change_app(c, ch, s->id, less);
        if (!e->kills)
            e->kills = json_array();
        json_array_append_new(e->kills, json_string(list[k]->id));
    }
    if (run_change(c, req, ch, param_bool(req, "force", false), r, &done))
        reply_deployment(r, 200, done.deployment, done.version_us);
}

static struct instance *find_task(struct core *c, const char *task_id, int *ret_error)
{
    struct task_id id;
    *ret_error = task_id_parse(task_id, &id);
    if (*ret_error < 0 || id.instance_id.n == 0)
        return NULL;
    return map_get_n(&c->instances, id.instance_id.p, id.instance_id.n);
}

static void reply_bad_task_id(struct api_reply *r, const char *task_id, int error)
{
    if (error == -EBADMSG)
        reply_message(r, 422, "Invalid UUID in task id '%s'", task_id);
    else
        reply_message(r, 400, "Invalid task id '%s'. [..]", task_id);
}

static void one_task(struct core *c, const struct api_request *req, const char *id,
    const char *task, struct api_reply *r)
{
    int error;
    struct instance *i = find_task(c, task, &error);
    bool scale = param_bool(req, "scale", false);
    if (req->method != HTTP_DELETE) {
        reply_message(r, 405, "Method Not Allowed");
    } else if (scale_and_wipe(req, r)) {
        return;
    } else if (error == -EBADMSG) {
        reply_bad_task_id(r, task, error);
    } else if (!core_spec(c, id)) {
        reply_unknown(r, "App", id);
    } else if (scale) {
        bool mine = i && streq(i->spec->id, id);
        kill_and_scale(c, req, &i, mine ? 1 : 0, r);
    } else if (!i || !streq(i->spec->id, id) || !instance_has_task(i)) {
        reply_unknown(r, "Task", task);
    } else {
        kill_instances(c, req, &i, 1, param_bool(req, "wipe", false), r, true);
    }
}

void api_app_tasks(struct core *c, const struct api_request *req, const char *id, const char *task,
    struct api_reply *r)
{
    if (task) {
        one_task(c, req, id, task, r);
        return;
    }
    struct found f = {.req = req};
    bool in_group = streq(path_last(id), "*");
    _cleanup_free_ char *parent = path_parent(id);
    struct spec *s = in_group ? NULL : core_spec(c, id);
    struct group *g = in_group ? core_group(c, parent) : NULL;
    bool scale = param_bool(req, "scale", false);
    if (req->method == HTTP_DELETE)
        f.host = http_params_get(&req->params, "host");
    if (!s && !g) {
        if (req->method == HTTP_DELETE && scale)
            reply_unknown(r, "Path", id);
        else
            reply_unknown(r, in_group ? "Group" : "App", in_group ? parent : id);
        return;
    }
    if (s && !api_allow(req, id, req->method == HTTP_DELETE ? POLICY_UPDATE : POLICY_READ, r))
        return;
    if (s)
        collect(c, s, &f);
    else
        tree_each_app(c, g, collect, &f);
    if (req->method == HTTP_GET) {
        struct json_writer w;
        r->status = 200;
        jw_init(&w, &r->body);
        jw_begin_object(&w);
        jw_key(&w, "tasks");
        jw_begin_array(&w);
        VEC_FOREACH (i, &f.list)
            write_task(*i, false, &w);
        jw_end_array(&w);
        jw_end_object(&w);
    } else if (req->method != HTTP_DELETE) {
        reply_message(r, 405, "Method Not Allowed");
    } else if (scale_and_wipe(req, r)) {
        /* answered */
    } else if (scale && s && map_size(&s->instances) == 0) {
        reply_unknown(r, "Path", id);
    } else if (scale) {
        kill_and_scale(c, req, f.list.items, f.list.n, r);
    } else {
        kill_instances(c, req, f.list.items, f.list.n, param_bool(req, "wipe", false), r, false);
    }
    vec_done(&f.list);
}

static void list_tasks(struct core *c, const struct api_request *req, struct api_reply *r)
{
    struct json_writer w;
    bool running = false, staging = false;
    if (req->accept && *req->accept && !http_accepts(str_of(req->accept), "application/json")) {
        reply_message(r, 406, "Not Acceptable");
        return;
    }
    for (size_t k = 0; k < req->params.n; k++) {
        struct http_param p = req->params.items[k];
        if (!str_eq_c(p.name, "status") && !str_eq_c(p.name, "status[]"))
            continue;
        running = running || str_eq_c(p.value, "running");
        staging = staging || str_eq_c(p.value, "staging");
    }
    r->status = 200;
    jw_init(&w, &r->body);
    jw_begin_object(&w);
    jw_key(&w, "tasks");
    jw_begin_array(&w);
    MAP_FOREACH (e, &c->instances) {
        const struct instance *i = e->value;
        bool fits = !running && !staging;
        fits = fits || (running && i->condition == CONDITION_RUNNING);
        fits = fits || (staging && i->condition == CONDITION_STAGING);
        if (fits && instance_has_task(i) && api_may(req, i->spec->id, POLICY_READ))
            write_task(i, true, &w);
    }
    jw_end_array(&w);
    jw_end_object(&w);
}

static void delete_tasks(struct core *c, const struct api_request *req, struct api_reply *r)
{
    _cleanup_json_ json_t *json = request_json(req, r);
    if (!json || scale_and_wipe(req, r))
        return;
    const json_t *ids = json_at(json, "ids");
    _cleanup_violations_ struct violations v = {0};
    if (!json_is_array(ids))
        violation_add(&v, ids ? "/ids" : "",
            ids ? "error.expected.jsarray" : "'ids' is undefined on object: {}");
    VEC(struct instance *) list = {0};
    for (size_t k = 0; k < json_array_size(ids); k++) {
        const char *text = json_string_value(json_array_get(ids, k));
        _cleanup_free_ char *at = xasprintf("/ids(%zu)", k);
        int error;
        if (!text) {
            violation_add(&v, at, "error.expected.jsstring");
            continue;
        }
        struct instance *i = find_task(c, text, &error);
        if (error < 0) {
            reply_bad_task_id(r, text, error);
            vec_done(&list);
            return;
        }
        bool seen = !i || !instance_has_task(i);
        VEC_FOREACH (other, &list)
            seen = seen || *other == i;
        if (!seen)
            vec_push(&list, i);
    }
    if (v.n > 0)
        reply_violations(r, true, &v);
    else if (param_bool(req, "scale", false))
        kill_and_scale(c, req, list.items, list.n, r);
    else
        kill_instances(c, req, list.items, list.n, param_bool(req, "wipe", false), r, false);
    vec_done(&list);
}

void api_tasks(struct core *c, const struct api_request *req, const char *rest, struct api_reply *r)
{
    bool root = streq(rest, "") || streq(rest, "/");
    if (root && req->method == HTTP_GET)
        list_tasks(c, req, r);
    else if (has_prefix(rest, "/delete") && req->method == HTTP_POST)
        delete_tasks(c, req, r);
    else
        reply_message(r, root ? 405 : 404, root ? "Method Not Allowed" : "URI not found");
}
