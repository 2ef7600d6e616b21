#include "agent/environment.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/clock.h"
#include "json/json.h"

static const char default_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

void environment_done(struct environment *e)
{
    VEC_FOREACH (entry, &e->entries)
        free(*entry);
    vec_done(&e->entries);
}

static char **find(const struct environment *e, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < e->entries.n; i++)
        if (e->entries.items[i] && strncmp(e->entries.items[i], name, n) == 0 &&
            e->entries.items[i][n] == '=')
            return &e->entries.items[i];
    return NULL;
}

/* The array's terminator, if environment_array() put one. */
static void drop_terminator(struct environment *e)
{
    if (e->entries.n && !e->entries.items[e->entries.n - 1])
        e->entries.n--;
}

void environment_set(struct environment *e, const char *name, const char *value)
{
    if (!name[0] || strchr(name, '='))
        return;
    drop_terminator(e);
    char *entry = xasprintf("%s=%s", name, value);
    char **old = find(e, name);
    if (old) {
        free(*old);
        *old = entry;
    } else {
        vec_push(&e->entries, entry);
    }
}

void environment_setf(struct environment *e, const char *name, const char *fmt, ...)
{
    struct buf value = BUF_INIT;
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(&value, fmt, ap);
    va_end(ap);
    environment_set(e, name, buf_cstr(&value));
    buf_done(&value);
}

const char *environment_get(const struct environment *e, const char *name)
{
    char **entry = find(e, name);
    return entry ? *entry + strlen(name) + 1 : NULL;
}

void environment_add(struct environment *e, const Mesos__V1__Environment *more)
{
    for (size_t i = 0; more && i < more->n_variables; i++) {
        const Mesos__V1__Environment__Variable *v = more->variables[i];
        if (v->name && v->value)
            environment_set(e, v->name, v->value);
    }
}

int environment_add_json(struct environment *e, const char *text, struct error *err)
{
    _cleanup_json_ json_t *json = NULL;
    int r = json_parse(text, strlen(text), &json, err);
    if (r < 0)
        return r;
    if (!json_is_object(json))
        return error_set(err, -EINVAL, "expected an object of names and values");
    const char *name;
    json_t *value;
    json_object_foreach(json, name, value)
    {
        if (!json_is_string(value))
            return error_set(err, -EINVAL, "the value of %s is no text", name);
        environment_set(e, name, json_string_value(value));
    }
    return 0;
}

const char *const *environment_array(struct environment *e)
{
    drop_terminator(e);
    vec_push(&e->entries, NULL);
    return (const char *const *)e->entries.items;
}

void environment_executor(struct environment *e, const struct executor_environment *x)
{
    char duration[DURATION_TEXT_SIZE];
    environment_set(e, "MESOS_FRAMEWORK_ID", x->framework_id);
    environment_set(e, "MESOS_EXECUTOR_ID", x->executor_id);
    environment_set(e, "MESOS_DIRECTORY", x->sandbox);
    environment_set(e, "MESOS_SANDBOX", x->sandbox);
    environment_set(e, "MESOS_SLAVE_ID", x->agent_id);
    environment_setf(e, "MESOS_SLAVE_PID", "slave(1)@%s:%u", x->ip, x->port);
    environment_setf(e, "MESOS_AGENT_ENDPOINT", "%s:%u", x->ip, x->port);
    environment_set(e, "MESOS_CHECKPOINT", x->checkpoint ? "1" : "0");
    environment_set(e, "MESOS_HTTP_COMMAND_EXECUTOR", "0");
    duration_format(x->shutdown_grace_us, duration);
    environment_set(e, "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", duration);
    if (x->checkpoint) {
        duration_format(x->recovery_timeout_us, duration);
        environment_set(e, "MESOS_RECOVERY_TIMEOUT", duration);
        duration_format(x->subscription_backoff_us, duration);
        environment_set(e, "MESOS_SUBSCRIPTION_BACKOFF_MAX", duration);
    }
    environment_set(e, "MESOS_DOMAIN_SOCKET", x->socket_path);
    if (x->token)
        environment_set(e, "MESOS_EXECUTOR_AUTHENTICATION_TOKEN", x->token);
    environment_set(e, "LIBPROCESS_PORT", "0");
    environment_set(e, "LIBPROCESS_IP", x->ip);
    if (!environment_get(e, "PATH"))
        environment_set(e, "PATH", default_path);
}
