#include "marathon/app.h"

#include <errno.h>
#include <math.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/str.h"
#include "marathon/normalize.h"

static char **strings_at(const json_t *o, const char *key)
{
    const json_t *array = json_at(o, key);
    size_t n = json_array_size(array);
    if (n == 0)
        return NULL;
    char **out = xnew_array(char *, n + 1);
    for (size_t i = 0; i < n; i++)
        out[i] = xstrdup(json_string_value(json_array_get(array, i)));
    return out;
}

static void strings_free(char **list)
{
    for (char **p = list; p && *p; p++)
        free(*p);
    free(list);
}

static int64_t milli_at(const json_t *o, const char *key)
{
    return llround(json_double_at(o, key, 0) * 1000);
}

static int64_t seconds_at(const json_t *o, const char *key, int64_t fallback)
{
    return json_i64_at(o, key, fallback) * USEC_PER_SEC;
}

static void read_ports(struct app *a, const json_t *t)
{
    enum network_mode mode = app_network_mode(t);
    a->host_mode = mode == NETWORK_HOST;
    a->container_mode = mode == NETWORK_CONTAINER;
    const json_t *list = a->host_mode ? json_at(t, "portDefinitions")
                                      : json_at(json_at(t, "container"), "portMappings");
    a->n_ports = json_array_size(list);
    a->require_ports = json_bool_at(t, "requirePorts", false);
    a->ports = xnew_array(struct port_request, a->n_ports + 1);
    for (size_t i = 0; i < a->n_ports; i++) {
        const json_t *p = json_array_get(list, i);
        struct port_request *r = &a->ports[i];
        if (a->host_mode) {
            r->service = (int32_t)json_i64_at(p, "port", 0);
            r->host = a->require_ports ? r->service : 0;
            r->container = -1;
        } else {
            r->container = (int32_t)json_i64_at(p, "containerPort", 0);
            r->host = (int32_t)json_i64_at(p, "hostPort", -1);
            r->service = (int32_t)json_i64_at(p, "servicePort", 0);
        }
    }
}

static void read_health(struct app *a, const json_t *t)
{
    static const char *const names[] = {
        "HTTP", "HTTPS", "TCP", "COMMAND", "MESOS_HTTP", "MESOS_HTTPS", "MESOS_TCP"};
    const json_t *list = json_at(t, "healthChecks");
    a->n_health = json_array_size(list);
    a->health = xnew_array(struct health_check, a->n_health + 1);
    for (size_t i = 0; i < a->n_health; i++) {
        const json_t *j = json_array_get(list, i);
        struct health_check *h = &a->health[i];
        const char *protocol = json_str_at(j, "protocol", "HTTP");
        for (size_t k = 0; k < ARRAY_SIZE(names); k++)
            if (streq(protocol, names[k]))
                h->protocol = (enum health_protocol)k;
        const char *path = json_str_at(j, "path", "/");
        h->path = path[0] == '/' ? xstrdup(path) : xasprintf("/%s", path);
        h->port_index = (int32_t)json_i64_at(j, "portIndex", -1);
        h->port = (int32_t)json_i64_at(j, "port", -1);
        h->grace_us = seconds_at(j, "gracePeriodSeconds", 300);
        h->interval_us = seconds_at(j, "intervalSeconds", 60);
        h->timeout_us = seconds_at(j, "timeoutSeconds", 20);
        h->max_failures = (int32_t)json_i64_at(j, "maxConsecutiveFailures", 3);
    }
}

static void read_readiness(struct app *a, const json_t *t)
{
    const json_t *j = json_array_get(json_at(t, "readinessChecks"), 0);
    if (!j)
        return;
    struct readiness_check *r = a->readiness = xnew(struct readiness_check);
    r->name = xstrdup(json_str_at(j, "name", "readinessCheck"));
    const char *path = json_str_at(j, "path", "/");
    r->path = path[0] == '/' ? xstrdup(path) : xasprintf("/%s", path);
    r->https = streq(json_str_at(j, "protocol", "HTTP"), "HTTPS");
    r->preserve = json_bool_at(j, "preserveLastResponse", false);
    r->interval_us = seconds_at(j, "intervalSeconds", 30);
    r->timeout_us = seconds_at(j, "timeoutSeconds", 10);
    const json_t *codes = json_at(j, "httpStatusCodesForReady");
    for (size_t i = 0; i < json_array_size(codes) && i < ARRAY_SIZE(r->codes); i++)
        r->codes[r->n_codes++] = (int16_t)json_integer_value(json_array_get(codes, i));
    const json_t *ports = a->host_mode ? json_at(t, "portDefinitions")
                                       : json_at(json_at(t, "container"), "portMappings");
    const char *name = json_str_at(j, "portName", "http-api");
    for (size_t i = 0; i < json_array_size(ports); i++)
        if (streq(json_str_at(json_array_get(ports, i), "name", NULL), name))
            r->port_index = (int32_t)i;
}

int app_new(const json_t *t, int64_t version_us, int64_t scaling_us, int64_t config_us,
    struct app **ret, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &text);
    jw_tree(&w, t);
    if (text.n > APP_TEXT_MAX)
        return error_set(err, -EMSGSIZE, "the definition is larger than %d bytes", APP_TEXT_MAX);
    const json_t *list = json_at(t, "constraints");
    const json_t *health = json_at(t, "healthChecks");
    const json_t *ports = app_network_mode(t) == NETWORK_HOST
                              ? json_at(t, "portDefinitions")
                              : json_at(json_at(t, "container"), "portMappings");
    if (json_array_size(ports) > APP_PORTS_MAX || json_array_size(health) > APP_CHECKS_MAX ||
        json_array_size(list) > CONSTRAINTS_MAX)
        return error_set(err, -EMSGSIZE, "too many ports, health checks or constraints");

    _cleanup_(app_unrefp)
    struct app *a = xnew(struct app);
    a->refs = 1;
    a->id = xstrdup(json_str_at(t, "id", "/"));
    a->text = xstrndup(text.p, text.n);
    a->version_us = version_us;
    a->scaling_us = scaling_us;
    a->config_us = config_us;
    a->instances = (int32_t)json_i64_at(t, "instances", 1);
    a->cpus_milli = milli_at(t, "cpus");
    a->mem_milli = milli_at(t, "mem");
    a->disk_milli = milli_at(t, "disk");
    a->gpus_milli = milli_at(t, "gpus");
    a->role = xstrdup(json_str_at(t, "role", "*"));
    a->accepted = strings_at(t, "acceptedResourceRoles");
    a->dependencies = strings_at(t, "dependencies");
    a->constraints = xnew_array(struct constraint, json_array_size(list) + 1);
    for (size_t i = 0; i < json_array_size(list); i++) {
        int r = constraint_read(json_array_get(list, i), &a->constraints[i], err);
        if (r < 0)
            return r;
        a->n_constraints++;
    }
    read_ports(a, t);
    a->backoff_us = seconds_at(t, "backoffSeconds", 1);
    a->backoff_factor = json_double_at(t, "backoffFactor", 1.15);
    a->max_delay_us = seconds_at(t, "maxLaunchDelaySeconds", 300);
    const json_t *upgrade = json_at(t, "upgradeStrategy");
    a->min_health = json_double_at(upgrade, "minimumHealthCapacity", 1);
    a->over_capacity = json_double_at(upgrade, "maximumOverCapacity", 1);
    a->oldest_first = streq(json_str_at(t, "killSelection", ""), "OLDEST_FIRST");
    const json_t *unreachable = json_at(t, "unreachableStrategy");
    a->unreachable_disabled = json_is_string(unreachable);
    a->inactive_after_us = seconds_at(unreachable, "inactiveAfterSeconds", 0);
    a->expunge_after_us = seconds_at(unreachable, "expungeAfterSeconds", 0);
    a->kill_grace_us = json_at(t, "taskKillGracePeriodSeconds")
                           ? seconds_at(t, "taskKillGracePeriodSeconds", 0)
                           : -1;
    read_health(a, t);
    a->has_check = json_at(t, "check") != NULL;
    read_readiness(a, t);
    *ret = TAKE_PTR(a);
    return 0;
}

struct app *app_ref(struct app *a)
{
    a->refs++;
    return a;
}

void app_unref(struct app *a)
{
    if (!a || --a->refs > 0)
        return;
    for (size_t i = 0; i < a->n_constraints; i++)
        constraint_done(&a->constraints[i]);
    for (size_t i = 0; i < a->n_health; i++)
        free(a->health[i].path);
    if (a->readiness) {
        free(a->readiness->name);
        free(a->readiness->path);
        free(a->readiness);
    }
    strings_free(a->accepted);
    strings_free(a->dependencies);
    free(a->constraints);
    free(a->ports);
    free(a->health);
    free(a->role);
    free(a->text);
    free(a->id);
    free(a);
}

json_t *app_tree(const struct app *a)
{
    json_t *t = json_loads(a->text, 0, NULL);
    return t ? t : json_object();
}

bool app_config_equal(const struct app *a, const struct app *b)
{
    static const char *const ignored[] = {"instances", "executorResources"};
    if (streq(a->text, b->text))
        return true;
    _cleanup_json_ json_t *x = app_tree(a), *y = app_tree(b);
    for (size_t i = 0; i < ARRAY_SIZE(ignored); i++) {
        json_object_del(x, ignored[i]);
        json_object_del(y, ignored[i]);
    }
    return json_equal(x, y);
}

struct app *app_with(const struct app *a, int32_t instances, int64_t version_us, int64_t scaling_us,
    int64_t config_us)
{
    _cleanup_json_ json_t *t = app_tree(a);
    struct app *out = NULL;
    json_object_set_new(t, "instances", json_integer(instances));
    if (app_new(t, version_us, scaling_us, config_us, &out, NULL) < 0)
        abort(); /* it was valid before, and only a number changed */
    return out;
}

void app_write_members(const struct app *a, bool version_info, struct json_writer *w)
{
    char text[TIME_TEXT_SIZE];
    /* The text is `{"id":...}`: all of it goes in as if it were the value of its first key. */
    size_t skip = strlen("{\"id\":");
    jw_key(w, "id");
    jw_raw(w, a->text + skip, strlen(a->text) - skip - 1);
    time_format_rfc3339(a->version_us, text);
    jw_field_string(w, "version", text);
    if (!version_info)
        return;
    jw_key(w, "versionInfo");
    jw_begin_object(w);
    time_format_rfc3339(a->scaling_us, text);
    jw_field_string(w, "lastScalingAt", text);
    time_format_rfc3339(a->config_us, text);
    jw_field_string(w, "lastConfigChangeAt", text);
    jw_end_object(w);
}

void app_write(const struct app *a, bool version_info, struct json_writer *w)
{
    jw_begin_object(w);
    app_write_members(a, version_info, w);
    jw_end_object(w);
}

void app_store_write(const struct app *a, struct json_writer *w)
{
    jw_begin_object(w);
    jw_key(w, "app");
    jw_raw(w, a->text, strlen(a->text));
    jw_field_i64(w, "version", a->version_us);
    jw_field_i64(w, "scaling", a->scaling_us);
    jw_field_i64(w, "config", a->config_us);
    jw_end_object(w);
}

int app_store_read(const json_t *record, struct app **ret, struct error *err)
{
    const json_t *t = json_at(record, "app");
    if (!json_is_object(t) || !json_at(t, "id"))
        return error_set(err, -EINVAL, "stored app without a definition");
    return app_new(t, json_i64_at(record, "version", 0), json_i64_at(record, "scaling", 0),
        json_i64_at(record, "config", 0), ret, err);
}
