/* TaskInfo of an app's instance, as JSON of the v1 API. */

#include <ctype.h>
#include <math.h>

#include "base/clock.h"
#include "base/str.h"
#include "marathon/core_internal.h"
#include "marathon/path.h"

enum { LABEL_KEY_MAX = 493, LABEL_VALUE_MAX = 512, GENERATED_PORT_MIN = 1025 };

struct env {
    json_t *vars; /* name -> value, later ones win */
};

static void env_set(struct env *e, const char *prefix, const char *name, const char *value)
{
    _cleanup_free_ char *key = xasprintf("%s%s", prefix ? prefix : "", name);
    json_object_set_new(e->vars, key, json_string(value));
}

static void env_number(struct env *e, const char *name, int64_t milli)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &text);
    jw_milli(&w, milli);
    env_set(e, NULL, name, buf_cstr(&text));
}

static void env_labels(struct env *e, const json_t *labels)
{
    const char *key;
    json_t *value;
    _cleanup_buf_ struct buf all = BUF_INIT;
    json_object_foreach((json_t *)(uintptr_t)labels, key, value)
    {
        const char *text = json_string_value(value);
        if (strlen(key) >= LABEL_KEY_MAX || strlen(text) >= LABEL_VALUE_MAX)
            continue;
        _cleanup_buf_ struct buf name = BUF_INIT;
        for (const char *p = key; *p; p++) {
            bool word = isalnum((unsigned char)*p) || *p == '_';
            if (word)
                buf_putc(&name, (char)toupper((unsigned char)*p));
            else if (name.n == 0 || p == key || isalnum((unsigned char)p[-1]) || p[-1] == '_')
                buf_putc(&name, '_');
        }
        buf_printf(&all, "%s%s", all.n ? " " : "", buf_cstr(&name));
        _cleanup_free_ char *var = xasprintf("MARATHON_APP_LABEL_%s", buf_cstr(&name));
        env_set(e, NULL, var, text);
    }
    env_set(e, NULL, "MARATHON_APP_LABELS", buf_cstr(&all));
}

/* Port i as the task sees it: the host's, else the container's, else one made up. */
struct ports {
    int32_t host[APP_PORTS_MAX];      /* -1 = none */
    int32_t effective[APP_PORTS_MAX]; /* what $PORTn says */
};

static void resolve_ports(const struct instance *i, struct ports *p)
{
    size_t next = 0;
    int32_t made_up = GENERATED_PORT_MIN;
    for (size_t k = 0; k < i->app->n_ports; k++) {
        const struct port_request *r = &i->app->ports[k];
        p->host[k] = r->host >= 0 && next < i->n_ports ? i->ports[next++] : -1;
        p->effective[k] = p->host[k] >= 0    ? p->host[k]
                          : r->container > 0 ? r->container
                                             : made_up++;
    }
}

static void env_ports(const struct core *c, struct env *e, const struct instance *i,
    const struct ports *p, const json_t *list)
{
    const char *prefix = c->options.env_prefix;
    _cleanup_buf_ struct buf all = BUF_INIT;
    char name[64], value[32];
    for (size_t k = 0; k < i->app->n_ports; k++) {
        const struct port_request *r = &i->app->ports[k];
        int32_t requested = i->app->host_mode ? r->service : r->container;
        snprintf(value, sizeof(value), "%d", p->effective[k]);
        snprintf(name, sizeof(name), "PORT_%d", requested > 0 ? requested : p->effective[k]);
        env_set(e, prefix, name, value);
        snprintf(name, sizeof(name), "PORT%zu", k);
        env_set(e, prefix, name, value);
        if (k == 0)
            env_set(e, prefix, "PORT", value);
        buf_printf(&all, "%s%s", k ? "," : "", value);
        const char *named = json_str_at(json_array_get(list, k), "name", NULL);
        if (named) {
            _cleanup_free_ char *upper = xasprintf("PORT_%s", named);
            for (char *q = upper; *q; q++)
                *q = (char)toupper((unsigned char)*q);
            env_set(e, prefix, upper, value);
        }
    }
    if (i->app->n_ports > 0)
        env_set(e, prefix, "PORTS", buf_cstr(&all));
}

static json_t *environment(const struct core *c, const struct instance *i, const json_t *app,
    const struct ports *p, const json_t *port_list)
{
    struct env e = {.vars = json_object()};
    char version[TIME_TEXT_SIZE];
    const json_t *container = json_at(app, "container");
    const char *image = json_str_at(json_at(container, "docker"), "image", NULL);
    time_format_rfc3339(i->app->version_us, version);
    env_set(&e, c->options.env_prefix, "HOST", i->hostname);
    env_set(&e, NULL, "MESOS_TASK_ID", i->task_id);
    env_set(&e, NULL, "MARATHON_APP_ID", i->app->id);
    env_set(&e, NULL, "MARATHON_APP_VERSION", version);
    if (image && streq(json_str_at(container, "type", ""), "DOCKER"))
        env_set(&e, NULL, "MARATHON_APP_DOCKER_IMAGE", image);
    env_number(&e, "MARATHON_APP_RESOURCE_CPUS", i->app->cpus_milli);
    env_number(&e, "MARATHON_APP_RESOURCE_MEM", i->app->mem_milli);
    env_number(&e, "MARATHON_APP_RESOURCE_DISK", i->app->disk_milli);
    char gpus[32];
    snprintf(gpus, sizeof(gpus), "%lld", (long long)i->app->gpus_milli / 1000);
    env_set(&e, NULL, "MARATHON_APP_RESOURCE_GPUS", gpus);
    const struct group *top = i->spec->group;
    while (top->parent && top->parent->parent)
        top = top->parent;
    env_set(&e, NULL, "MARATHON_APP_ENFORCE_GROUP_ROLE",
        top->def && top->def->enforce_role ? "TRUE" : "FALSE");
    env_labels(&e, json_at(app, "labels"));
    env_ports(c, &e, i, p, port_list);
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(app, "env"), key, value) if (json_is_string(value))
        json_object_set(e.vars, key, value);
    json_t *list = json_array();
    json_object_foreach(e.vars, key, value)
        json_array_append_new(list, json_pack("{s:s,s:O}", "name", key, "value", value));
    json_decref(e.vars);
    return json_pack("{s:o}", "variables", list);
}

static json_t *label_list(const json_t *labels)
{
    json_t *list = json_array();
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)labels, key, value)
        json_array_append_new(list, json_pack("{s:s,s:O}", "key", key, "value", value));
    return json_pack("{s:o}", "labels", list);
}

static json_t *command_info(const json_t *app, json_t *env, const char *path_executor)
{
    json_t *command = json_pack("{s:o}", "environment", env);
    const char *cmd = json_str_at(app, "cmd", NULL);
    json_t *args = json_object_get(app, "args");
    if (cmd) {
        json_object_set_new(command, "shell", json_true());
        json_object_set_new(command, "value", json_string(cmd));
    } else {
        json_object_set_new(command, "shell", json_false());
        if (json_array_size(args) > 0) {
            json_object_set(command, "arguments", args);
            if (!json_object_get(app, "container"))
                json_object_set(command, "value", json_array_get(args, 0));
        }
    }
    if (path_executor) {
        _cleanup_buf_ struct buf text = BUF_INIT;
        buf_printf(&text, "chmod ug+rx '%s' && exec '%s'", path_executor, path_executor);
        if (cmd)
            buf_printf(&text, " %s", cmd);
        for (size_t i = 0; !cmd && i < json_array_size(args); i++)
            buf_printf(&text, " %s", json_string_value(json_array_get(args, i)));
        json_object_del(command, "arguments");
        json_object_set_new(command, "shell", json_true());
        json_object_set_new(command, "value", json_string(buf_cstr(&text)));
    }
    json_t *uris = json_array();
    size_t k;
    json_t *f;
    json_array_foreach(json_object_get(app, "fetch"), k, f)
    {
        json_t *uri = json_pack("{s:O,s:O,s:O,s:O}", "value", json_object_get(f, "uri"), "extract",
            json_object_get(f, "extract"), "executable", json_object_get(f, "executable"), "cache",
            json_object_get(f, "cache"));
        if (json_object_get(f, "destPath"))
            json_object_set(uri, "output_file", json_object_get(f, "destPath"));
        json_array_append_new(uris, uri);
    }
    json_object_set_new(command, "uris", uris);
    if (json_object_get(app, "user"))
        json_object_set(command, "user", json_object_get(app, "user"));
    return command;
}

/* The single protocols of "tcp", "udp" or "udp,tcp". */
static const char *const *protocols_of(const json_t *port)
{
    static const char *const both[] = {"udp", "tcp", NULL};
    static const char *const udp[] = {"udp", NULL};
    const char *text = json_str_at(port, "protocol", "tcp");
    if (streq(text, "udp,tcp"))
        return both;
    return streq(text, "udp") ? udp : both + 1;
}

static json_t *discovery_info(
    const struct instance *i, const json_t *app, const struct ports *p, const json_t *list)
{
    _cleanup_buf_ struct buf name = BUF_INIT;
    path_hostname(i->app->id, &name);
    json_t *ports = json_array();
    for (size_t k = 0; k < json_array_size(list); k++) {
        const json_t *port = json_array_get(list, k);
        for (const char *const *proto = protocols_of(port); *proto; proto++) {
            json_t *labels = label_list(json_at(port, "labels"));
            json_t *items = json_object_get(labels, "labels");
            int32_t number = p->host[k];
            if (!i->app->host_mode && p->host[k] >= 0) {
                json_array_append_new(
                    items, json_pack("{s:s,s:s}", "key", "network-scope", "value", "host"));
            } else if (!i->app->host_mode) {
                number = p->effective[k];
                json_array_append_new(
                    items, json_pack("{s:s,s:s}", "key", "network-scope", "value", "container"));
                const char *network = json_str_at(
                    json_array_get(json_at(app, "networks"), 0), "name", NULL);
                if (network)
                    json_array_append_new(
                        items, json_pack("{s:s,s:s}", "key", "network-name", "value", network));
            }
            json_t *out = json_pack(
                "{s:i,s:s,s:o}", "number", number, "protocol", *proto, "labels", labels);
            if (json_at(port, "name"))
                json_object_set_new(out, "name", json_string(json_str_at(port, "name", "")));
            json_array_append_new(ports, out);
        }
    }
    return json_pack("{s:s,s:s,s:{s:o}}", "visibility", "FRAMEWORK", "name", buf_cstr(&name),
        "ports", "ports", ports);
}

static json_t *port_mappings(const struct ports *p, const json_t *list, const char *network)
{
    json_t *out = json_array();
    for (size_t k = 0; k < json_array_size(list); k++) {
        const json_t *m = json_array_get(list, k);
        const json_t *names = json_at(m, "networkNames");
        bool mine = json_array_size(names) == 0 || !network;
        for (size_t j = 0; j < json_array_size(names) && !mine; j++)
            mine = streq(json_string_value(json_array_get(names, j)), network);
        if (p->host[k] < 0 || !mine)
            continue;
        int64_t inside = json_i64_at(m, "containerPort", 0);
        for (const char *const *proto = protocols_of(m); *proto; proto++)
            json_array_append_new(
                out, json_pack("{s:i,s:I,s:s}", "host_port", p->host[k], "container_port",
                         (json_int_t)(inside ? inside : p->host[k]), "protocol", *proto));
    }
    return out;
}

static json_t *container_info(
    const struct core *c, const struct instance *i, const json_t *app, const struct ports *p)
{
    const json_t *container = json_at(app, "container");
    if (!container)
        return NULL;
    const char *type = json_str_at(container, "type", "MESOS");
    const json_t *docker = json_at(container, "docker");
    const json_t *mappings = json_at(container, "portMappings");
    const json_t *networks = json_at(app, "networks");
    json_t *out = json_pack("{s:s}", "type", type);
    json_t *volumes = json_array();
    for (size_t k = 0; k < json_array_size(json_at(container, "volumes")); k++) {
        const json_t *v = json_array_get(json_at(container, "volumes"), k);
        json_array_append_new(volumes,
            json_pack("{s:s,s:s,s:s}", "container_path", json_str_at(v, "containerPath", ""),
                "host_path", json_str_at(v, "hostPath", ""), "mode", json_str_at(v, "mode", "RW")));
    }
    json_object_set_new(out, "volumes", volumes);
    const char *image = json_str_at(docker, "image", NULL);
    bool force = json_bool_at(docker, "forcePullImage", false);
    if (streq(type, "DOCKER") && image) {
        json_t *parameters = json_deep_copy(json_at(docker, "parameters"));
        if (!parameters)
            parameters = json_array();
        _cleanup_free_ char *label = xasprintf("MESOS_TASK_ID=%s", i->task_id);
        json_array_append_new(parameters, json_pack("{s:s,s:s}", "key", "label", "value", label));
        const char *network = i->app->host_mode ? "HOST"
                                                : (i->app->container_mode ? "USER" : "BRIDGE");
        json_object_set_new(out, "docker",
            json_pack("{s:s,s:s,s:o,s:b,s:o,s:b}", "image", image, "network", network,
                "port_mappings", port_mappings(p, mappings, NULL), "privileged",
                json_bool_at(docker, "privileged", false), "parameters", parameters,
                "force_pull_image", force));
    } else if (image) {
        json_object_set_new(out, "mesos",
            json_pack("{s:{s:s,s:{s:s},s:b}}", "image", "type", "DOCKER", "docker", "name", image,
                "cached", !force));
    } else {
        json_object_set_new(out, "mesos", json_object());
    }
    if (i->app->host_mode)
        return out;
    json_t *infos = json_array();
    for (size_t k = 0; k < json_array_size(networks); k++) {
        const json_t *n = json_array_get(networks, k);
        const char *name = json_str_at(n, "name", NULL);
        bool bridge = streq(json_str_at(n, "mode", ""), "container/bridge");
        if (bridge && streq(type, "DOCKER"))
            continue;
        json_t *info = json_pack("{s:s,s:[{}]}", "name",
            bridge ? c->options.app->bridge_name : (name ? name : ""), "ip_addresses");
        json_object_set_new(info, "labels", label_list(json_at(n, "labels")));
        if (streq(type, "MESOS"))
            json_object_set_new(info, "port_mappings", port_mappings(p, mappings, name));
        json_array_append_new(infos, info);
    }
    json_object_set_new(out, "network_infos", infos);
    return out;
}

/* ---- checks that the executor does ---- */

static int32_t check_port(const struct instance *i, const json_t *check, const struct ports *p)
{
    int64_t port = json_i64_at(check, "port", 0);
    size_t index = (size_t)json_i64_at(check, "portIndex", 0);
    if (port > 0)
        return (int32_t)port;
    if (index >= i->app->n_ports)
        return 0;
    if (i->app->ports[index].container > 0)
        return i->app->ports[index].container;
    return p->effective[index];
}

static json_t *health_check(const struct instance *i, const json_t *app, const struct ports *p)
{
    for (size_t k = 0; k < i->app->n_health; k++) {
        const struct health_check *h = &i->app->health[k];
        const json_t *j = json_array_get(json_at(app, "healthChecks"), k);
        if (health_is_marathon(h->protocol))
            continue;
        json_t *out = json_pack("{s:f,s:f,s:f,s:i,s:f}", "delay_seconds",
            json_double_at(j, "delaySeconds", 15), "interval_seconds", (double)h->interval_us / 1e6,
            "timeout_seconds", (double)h->timeout_us / 1e6, "consecutive_failures",
            (int)h->max_failures, "grace_period_seconds", (double)h->grace_us / 1e6);
        const char *ip = json_str_at(j, "ipProtocol", "IPv4");
        if (h->protocol == HEALTH_COMMAND) {
            json_object_set_new(out, "type", json_string("COMMAND"));
            json_object_set_new(out, "command",
                json_pack("{s:b,s:s}", "shell", 1, "value",
                    json_str_at(json_at(j, "command"), "value", "")));
        } else if (h->protocol == HEALTH_MESOS_TCP) {
            json_object_set_new(out, "type", json_string("TCP"));
            json_object_set_new(
                out, "tcp", json_pack("{s:s,s:i}", "protocol", ip, "port", check_port(i, j, p)));
        } else {
            json_object_set_new(out, "type", json_string("HTTP"));
            json_object_set_new(out, "http",
                json_pack("{s:s,s:s,s:i,s:s}", "protocol", ip, "scheme",
                    h->protocol == HEALTH_MESOS_HTTPS ? "https" : "http", "port",
                    check_port(i, j, p), "path", h->path));
        }
        return out;
    }
    return NULL;
}

static json_t *check_info(const struct instance *i, const json_t *app, const struct ports *p)
{
    const json_t *j = json_at(app, "check");
    if (!j)
        return NULL;
    json_t *out = json_pack("{s:f,s:f,s:f}", "delay_seconds", json_double_at(j, "delaySeconds", 15),
        "interval_seconds", json_double_at(j, "intervalSeconds", 60), "timeout_seconds",
        json_double_at(j, "timeoutSeconds", 20));
    const json_t *http = json_at(j, "http"), *tcp = json_at(j, "tcp");
    if (http) {
        json_object_set_new(out, "type", json_string("HTTP"));
        json_object_set_new(out, "http",
            json_pack("{s:i,s:s}", "port", check_port(i, http, p), "path",
                json_str_at(http, "path", "/")));
    } else if (tcp) {
        json_object_set_new(out, "type", json_string("TCP"));
        json_object_set_new(out, "tcp", json_pack("{s:i}", "port", check_port(i, tcp, p)));
    } else {
        const json_t *command = json_at(json_at(j, "exec"), "command");
        const char *shell = json_str_at(command, "shell", NULL);
        const json_t *argv = json_at(command, "argv");
        json_t *info = shell ? json_pack("{s:b,s:s}", "shell", 1, "value", shell)
                             : json_pack("{s:b,s:s,s:o}", "shell", 0, "value",
                                   json_string_value(json_array_get(argv, 0)), "arguments",
                                   json_deep_copy(argv));
        json_object_set_new(out, "type", json_string("COMMAND"));
        json_object_set_new(out, "command", json_pack("{s:o}", "command", info));
    }
    return out;
}

static void set_limits(json_t *task, const json_t *app)
{
    static const char *const names[] = {"cpus", "mem"};
    json_t *limits = json_object();
    for (size_t k = 0; k < ARRAY_SIZE(names); k++) {
        const json_t *l = json_at(json_at(app, "resourceLimits"), names[k]);
        if (!l)
            continue;
        json_t *value = json_is_string(l) ? json_string("Infinity")
                                          : json_real(json_number_value(l));
        json_object_set_new(limits, names[k], json_pack("{s:o}", "value", value));
    }
    if (json_object_size(limits) > 0)
        json_object_set(task, "limits", limits);
    json_decref(limits);
}

json_t *task_info(
    const struct core *c, const struct instance *i, const struct offer *o, json_t *resources)
{
    _cleanup_json_ json_t *app = app_tree(i->app);
    const json_t *list = i->app->host_mode ? json_at(app, "portDefinitions")
                                           : json_at(json_at(app, "container"), "portMappings");
    struct ports p;
    resolve_ports(i, &p);
    _cleanup_buf_ struct buf name = BUF_INIT;
    path_hostname(i->app->id, &name);
    const char *executor = json_str_at(app, "executor", "");
    if (!*executor)
        executor = c->options.executor;
    bool command_task = !*executor || streq(executor, "//cmd");
    json_t *command = command_info(
        app, environment(c, i, app, &p, list), command_task ? NULL : executor);
    json_t *task = json_pack("{s:s,s:{s:s},s:{s:s},s:o,s:o}", "name", buf_cstr(&name), "task_id",
        "value", i->task_id, "agent_id", "value", o->agent_id, "resources", resources, "labels",
        label_list(json_at(app, "labels")));
    json_t *container = container_info(c, i, app, &p);
    if (command_task) {
        json_object_set_new(task, "command", command);
        if (container)
            json_object_set_new(task, "container", container);
    } else {
        json_t *info = json_pack("{s:s,s:{s:s},s:s,s:s,s:o}", "type", "CUSTOM", "executor_id",
            "value", i->task_id, "name", buf_cstr(&name), "source", i->app->id, "command", command);
        if (container)
            json_object_set_new(info, "container", container);
        json_object_set_new(task, "executor", info);
    }
    json_object_set_new(task, "discovery", discovery_info(i, app, &p, list));
    if (i->app->kill_grace_us >= 0)
        json_object_set_new(task, "kill_policy",
            json_pack("{s:{s:I}}", "grace_period", "nanoseconds",
                (json_int_t)(i->app->kill_grace_us * NSEC_PER_USEC)));
    json_t *health = health_check(i, app, &p);
    if (health)
        json_object_set_new(task, "health_check", health);
    json_t *check = check_info(i, app, &p);
    if (check)
        json_object_set_new(task, "check", check);
    set_limits(task, app);
    return task;
}
