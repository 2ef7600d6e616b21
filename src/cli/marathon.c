#include "cli/marathon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/http.h"

void marathon_answer_done(struct marathon_answer *a)
{
    json_decref(a->json);
    *a = (struct marathon_answer){0};
}

/* " (path: '/cpus' errors: error.expected.jsnumber; ...)" */
static void append_details(struct buf *out, const json_t *details)
{
    if (json_is_string(details)) {
        buf_printf(out, " (%s)", json_string_value(details));
        return;
    }
    bool first = true;
    for (size_t i = 0; i < json_array_size(details); i++) {
        const json_t *d = json_array_get(details, i);
        const json_t *errors = json_at(d, "errors");
        buf_printf(out, "%spath: '%s' errors: ", first ? " (" : "; ", json_str_at(d, "path", ""));
        first = false;
        for (size_t k = 0; k < json_array_size(errors); k++) {
            const char *text = json_string_value(json_array_get(errors, k));
            buf_printf(out, "%s%s", k ? ", " : "", text ?: "?");
        }
    }
    if (!first)
        buf_putc(out, ')');
}

static int refusal(
    const struct reply *reply, const json_t *json, const char *url, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    const char *message = json_str_at(json, "message", NULL);
    int status = reply->status;
    if (status == 409 && json_array_size(json_at(json, "deployments")) > 0)
        return error_set(err, -EBUSY,
            "changes blocked: deployment already in progress for app; wait for it (dcos marathon "
            "deployment list) or use --force");
    if (status == 503 || status == 502 || status == 504)
        return error_set(err, -EAGAIN,
            "all the Marathon hosts are presently down (%s: HTTP %d%s%s)", url, status,
            message ? ", " : "", message ?: "");
    if (!message)
        return error_set(
            err, status == 404 ? -ENOENT : -EPROTO, "HTTP %d error for %s", status, url);
    buf_printf(&text, "%s", message);
    if (status == 400 || status == 422)
        append_details(&text, json_at(json, "details"));
    int code = status == 404                    ? -ENOENT
               : status == 409                  ? -EEXIST
               : status == 400 || status == 422 ? -EINVAL
                                                : -EPROTO;
    return error_set(err, code, "Marathon API error: %s", buf_cstr(&text));
}

int marathon_call(struct cli *c, const char *method, const char *path, const json_t *body,
    struct marathon_answer *ret, struct error *err)
{
    _cleanup_free_ char *base = NULL, *url = NULL;
    _cleanup_buf_ struct buf text = BUF_INIT;
    *ret = (struct marathon_answer){0};
    int r = cli_base_url(c, "marathon.url", "/service/marathon", &base, NULL, err);
    if (r < 0)
        return r;
    url = xasprintf("%s%s", base, path);
    if (body)
        json_dump(body, &text);
    struct reply reply = {0};
    struct request req = {.method = method, .url = url, .body = text.p, .body_n = text.n};
    r = cli_send(c, "Marathon", &req, &reply, err);
    if (r < 0) {
        reply_done(&reply);
        return r;
    }
    ret->status = reply.status;
    snprintf(ret->deployment_id, sizeof(ret->deployment_id), "%s", reply.deployment_id);
    bool good = reply.status / 100 == 2;
    if (reply.body.n) {
        r = cli_parse_reply("Marathon", &reply, &ret->json, good ? err : NULL);
        if (r < 0 && good) {
            reply_done(&reply);
            return r;
        }
    }
    r = good ? 0 : refusal(&reply, ret->json, url, err);
    reply_done(&reply);
    return r;
}

int marathon_get(struct cli *c, const char *path, json_t **ret, struct error *err)
{
    struct marathon_answer a;
    int r = marathon_call(c, "GET", path, NULL, &a, err);
    if (r == 0 && !a.json)
        r = error_set(err, -EPROTO, "Marathon gave an empty answer for %s", path);
    if (r == 0)
        *ret = TAKE_PTR(a.json);
    marathon_answer_done(&a);
    return r;
}

char *marathon_path(const char *collection, const char *id, const char *suffix)
{
    struct buf out = BUF_INIT;
    buf_printf(&out, "/v2/%s", collection);
    struct str rest = str_trim(str_of(id)), part;
    while (str_split(&rest, '/', &part)) {
        if (!part.n)
            continue;
        buf_putc(&out, '/');
        http_escape(&out, part);
    }
    buf_puts(&out, suffix);
    return buf_steal(&out);
}

char *marathon_absolute_id(const char *id)
{
    return xasprintf("%s%s", id[0] == '/' ? "" : "/", id);
}

const char *marathon_deployment_of(const struct marathon_answer *a)
{
    const char *id = json_str_at(a->json, "deploymentId", NULL);
    if (!id)
        id = json_str_at(json_array_get(json_at(a->json, "deployments"), 0), "id", NULL);
    return id ?: a->deployment_id;
}

void print_deployment(const struct marathon_answer *a)
{
    printf("Created deployment %s\n", marathon_deployment_of(a));
}

const char *marathon_action_word(const char *action)
{
    static const struct {
        const char *name, *word;
    } words[] = {{"ResolveArtifacts", "artifacts"}, {"ScaleApplication", "scale"},
        {"StartApplication", "start"}, {"StopApplication", "stop"},
        {"RestartApplication", "restart"}, {"ScalePod", "scale"}, {"StartPod", "start"},
        {"StopPod", "stop"}, {"RestartPod", "restart"}, {"KillAllOldTasksOf", "kill-tasks"}};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (streq(action, words[i].name))
            return words[i].word;
    }
    return action;
}

/* Fields that are strings whatever their value looks like: `cmd=5` is a command. */
static bool is_text_property(const char *key)
{
    static const char *const names[] = {
        "id", "cmd", "user", "version", "role", "executor", "killSelection"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (streq(key, names[i]))
            return true;
    }
    return false;
}

int marathon_read_properties(
    struct cli *c, const struct invocation *inv, size_t first, json_t **ret, struct error *err)
{
    if (inv->n_args == first) {
        int r = cli_read_json(c, NULL, ret, err);
        if (r == 0 && !json_is_object(*ret)) {
            json_decref(*ret);
            *ret = NULL;
            return error_set(err, -EINVAL, "error loading JSON: stdin: expected an object");
        }
        return r;
    }
    _cleanup_json_ json_t *object = json_object();
    for (size_t i = first; i < inv->n_args; i++) {
        const char *arg = inv->args[i], *equals = strchr(arg, '=');
        if (!equals || equals == arg)
            return error_set(err, -EINVAL,
                "'%s' is no property; write it as key=value, for example instances=3", arg);
        _cleanup_free_ char *key = xstrndup(arg, (size_t)(equals - arg));
        json_t *value = NULL;
        struct error why = ERROR_INIT;
        if (!is_text_property(key)) {
            int r = json_parse(equals + 1, strlen(equals + 1), &value, &why);
            if (r < 0 && (equals[1] == '{' || equals[1] == '['))
                return error_set(err, -EINVAL, "error loading JSON: %s: %s", key, why.msg);
        }
        if (!value)
            value = json_string(equals + 1);
        if (!value)
            return error_set(err, -EINVAL, "the value of %s is not UTF-8", key);
        json_object_set_new(object, key, value);
    }
    *ret = TAKE_PTR(object);
    return 0;
}
