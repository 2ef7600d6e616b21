#include <errno.h>

#include "base/clock.h"
#include "base/str.h"
#include "marathon/api_internal.h"

void api_reply_done(struct api_reply *r)
{
    buf_done(&r->body);
    for (size_t i = 0; i < r->n_headers; i++)
        free(r->headers[i].value);
    *r = (struct api_reply){0};
}

void reply_header(struct api_reply *r, const char *name, char *value)
{
    if (r->n_headers == API_HEADERS_MAX) {
        free(value);
        return;
    }
    r->headers[r->n_headers].name = name;
    r->headers[r->n_headers++].value = value;
}

void reply_message(struct api_reply *r, int status, const char *fmt, ...)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct json_writer w;
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(&text, fmt, ap);
    va_end(ap);
    r->status = status;
    buf_clear(&r->body);
    jw_init(&w, &r->body);
    jw_begin_object(&w);
    jw_field_string(&w, "message", buf_cstr(&text));
    jw_end_object(&w);
}

void reply_violations(struct api_reply *r, bool json_level, const struct violations *v)
{
    struct json_writer w;
    r->status = 422;
    buf_clear(&r->body);
    jw_init(&w, &r->body);
    jw_begin_object(&w);
    jw_field_string(&w, "message", json_level ? "Invalid JSON" : "Object is not valid");
    jw_key(&w, "details");
    violations_write(v, &w);
    jw_end_object(&w);
}

void reply_refusal(struct api_reply *r, const struct refusal *refusal)
{
    struct json_writer w;
    if (refusal->violations.n > 0) {
        reply_violations(r, false, &refusal->violations);
        return;
    }
    if (!refusal->locks) {
        reply_message(r, refusal->status, "%s", refusal->message ? refusal->message : "");
        return;
    }
    r->status = refusal->status;
    buf_clear(&r->body);
    jw_init(&w, &r->body);
    jw_begin_object(&w);
    jw_field_string(&w, "message", refusal->message);
    jw_key(&w, "deployments");
    jw_tree(&w, refusal->locks);
    jw_end_object(&w);
}

void write_time(struct json_writer *w, const char *key, int64_t us)
{
    char text[TIME_TEXT_SIZE];
    time_format_rfc3339(us, text);
    jw_field_string(w, key, text);
}

void reply_deployment(struct api_reply *r, int status, const char *deployment, int64_t version_us)
{
    struct json_writer w;
    r->status = status;
    jw_init(&w, &r->body);
    jw_begin_object(&w);
    write_time(&w, "version", version_us);
    jw_field_string(&w, "deploymentId", deployment);
    jw_end_object(&w);
    reply_header(r, "Marathon-Deployment-Id", xstrdup(deployment));
}

void reply_unknown(struct api_reply *r, const char *kind, const char *id)
{
    reply_message(r, 404, "%s '%s' does not exist", kind, id);
}

bool param_bool(const struct api_request *req, const char *name, bool fallback)
{
    struct str value = http_params_get(&req->params, name);
    if (!value.p)
        return fallback;
    return str_ieq_c(value, "true") || value.n == 0 ? true : false;
}

const char *param_text(const struct api_request *req, const char *name, struct arena *arena)
{
    struct str value = http_params_get(&req->params, name);
    return value.p ? arena_strndup(arena, value.p, value.n) : NULL;
}

json_t *request_json(const struct api_request *req, struct api_reply *r)
{
    struct error err = ERROR_INIT;
    json_t *json = NULL;
    bool empty = str_trim(req->body).n == 0;
    if (!empty && json_parse(req->body.p, req->body.n, &json, &err) == 0)
        return json;
    struct json_writer w;
    r->status = 400;
    jw_init(&w, &r->body);
    jw_begin_object(&w);
    jw_field_string(&w, "message", empty ? "Please specify data in JSON format" : "Invalid JSON");
    jw_field_string(&w, "details", empty ? "the request has no body" : err.msg);
    jw_end_object(&w);
    return NULL;
}

int parse_version(const char *text, struct api_reply *r, int64_t *ret_us)
{
    if (time_parse_rfc3339(str_of(text), ret_us) == 0)
        return 0;
    reply_message(
        r, 422, "Invalid timestamp provided '%s'. Expecting ISO-8601 datetime string.", text);
    return -1;
}

struct embed embed_parse(const struct api_request *req)
{
    struct embed e = {.req = req};
    bool given = false;
    for (size_t i = 0; i < req->params.n; i++) {
        static const char *const prefixes[] = {"group.apps.", "apps.", "app."};
        struct str v = req->params.items[i].value;
        if (!str_eq_c(req->params.items[i].name, "embed"))
            continue;
        given = true;
        if (str_eq_c(v, "group.groups"))
            e.groups = true;
        if (str_eq_c(v, "group.apps"))
            e.apps = true;
        for (size_t k = 0; k < ARRAY_SIZE(prefixes); k++)
            if (str_has_prefix(v, str_of(prefixes[k]))) {
                v.p += strlen(prefixes[k]);
                v.n -= strlen(prefixes[k]);
                break;
            }
        bool failures = str_eq_c(v, "failures");
        e.tasks = e.tasks || failures || str_eq_c(v, "tasks");
        e.deployments = e.deployments || failures || str_eq_c(v, "tasks") ||
                        str_eq_c(v, "deployments");
        e.last_failure = e.last_failure || failures || str_eq_c(v, "lastTaskFailure");
        e.counts = e.counts || str_eq_c(v, "counts");
        e.readiness = e.readiness || str_eq_c(v, "readiness");
        e.stats = e.stats || str_eq_c(v, "taskStats");
    }
    if (!given)
        e.groups = e.apps = true;
    return e;
}

bool run_change(struct core *c, const struct api_request *req, struct change *ch, bool force,
    struct api_reply *r, struct change_done *ret)
{
    _cleanup_refusal_ struct refusal refusal = {0};
    if (!api_allow_change(req, ch, r)) {
        change_unref(ch);
        return false;
    }
    if (core_change(c, ch, force, req->now_us, ret->deployment, &ret->version_us, &refusal) == 0)
        return true;
    reply_refusal(r, &refusal);
    return false;
}
