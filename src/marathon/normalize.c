#include "marathon/normalize.h"

#include "base/alloc.h"
#include "base/str.h"
#include "marathon/validate.h"

enum network_mode app_network_mode(const json_t *app)
{
    const json_t *first = json_array_get(json_at(app, "networks"), 0);
    const char *mode = json_str_at(first, "mode", first ? "container" : "host");
    if (streq(mode, "host"))
        return NETWORK_HOST;
    return streq(mode, "container/bridge") ? NETWORK_BRIDGE : NETWORK_CONTAINER;
}

static bool nonempty(const json_t *array)
{
    return json_array_size(array) > 0;
}

static bool extractable(const char *uri)
{
    static const char *const endings[] = {
        ".tar", ".tar.gz", ".tar.bz2", ".tar.xz", ".gz", ".tgz", ".tbz2", ".txz", ".zip"};
    struct str path = str_of(uri);
    for (size_t i = 0; i < path.n; i++)
        if (path.p[i] == '?' || path.p[i] == '#')
            path.n = i;
    for (size_t i = 0; i < ARRAY_SIZE(endings); i++)
        if (str_has_suffix(path, str_of(endings[i])))
            return true;
    return false;
}

static void translate_uris(json_t *app, struct violations *v)
{
    json_t *uris = json_object_get(app, "uris");
    if (!uris)
        return;
    if (nonempty(uris) && nonempty(json_object_get(app, "fetch"))) {
        violation_add(v, "/uris", "may not be set in conjunction with fetch");
    } else if (!nonempty(json_object_get(app, "fetch"))) {
        json_t *fetch = json_array();
        for (size_t i = 0; i < json_array_size(uris); i++) {
            const char *uri = json_string_value(json_array_get(uris, i));
            json_array_append_new(fetch, json_pack("{s:s,s:b,s:b,s:b}", "uri", uri, "extract",
                                             extractable(uri), "executable", 0, "cache", 0));
        }
        json_object_set_new(app, "fetch", fetch);
    }
    json_object_del(app, "uris");
}

static void translate_ports(json_t *app, struct violations *v)
{
    json_t *ports = json_object_get(app, "ports");
    if (!ports)
        return;
    json_t *given = json_object_get(app, "portDefinitions");
    size_t n = json_array_size(ports);
    if (given) {
        bool same = json_array_size(given) == n;
        for (size_t i = 0; same && i < n; i++)
            same = json_i64_at(json_array_get(given, i), "port", 0) ==
                   json_integer_value(json_array_get(ports, i));
        if (!same)
            violation_add(v, "/", "cannot specify both ports and port definitions");
    } else {
        json_t *definitions = json_array();
        for (size_t i = 0; i < n; i++) {
            json_int_t port = json_integer_value(json_array_get(ports, i));
            for (size_t k = 0; k < i && port; k++)
                if (json_integer_value(json_array_get(ports, k)) == port)
                    violation_add(v, "/ports", "ports must be unique");
            json_array_append_new(
                definitions, json_pack("{s:I,s:s}", "port", port, "protocol", "tcp"));
        }
        if (n == 1)
            json_object_set_new(json_array_get(definitions, 0), "name", json_string("default"));
        json_object_set_new(app, "portDefinitions", definitions);
    }
    json_object_del(app, "ports");
}

static json_t *network(const char *mode, const char *name, const json_t *labels)
{
    json_t *n = json_object();
    if (name)
        json_object_set_new(n, "name", json_string(name));
    json_object_set_new(n, "mode", json_string(mode));
    if (json_object_size(labels) > 0)
        json_object_set_new(n, "labels", json_deep_copy(labels));
    return json_pack("[o]", n);
}

static void translate_ip_address(json_t *app, const char *docker_network,
    const struct app_options *options, struct violations *v)
{
    json_t *ip = json_object_get(app, "ipAddress");
    json_t *container = json_object_get(app, "container");
    const json_t *labels = json_object_get(ip, "labels");
    const char *name = json_str_at(ip, "networkName", NULL);
    json_t *networks;
    if (streq(docker_network, "HOST"))
        networks = network("host", NULL, NULL);
    else if (streq(docker_network, "BRIDGE") || (name && streq(name, options->bridge_name)))
        networks = network("container/bridge", NULL, labels);
    else
        networks = network("container", name, labels);
    json_object_set_new(app, "networks", networks);
    bool docker = container && streq(json_str_at(container, "type", ""), "DOCKER");
    json_t *ports = json_object_get(json_object_get(ip, "discovery"), "ports");
    if (nonempty(ports) && docker) {
        violation_add(v, "/ipAddress/discovery",
            "ipAddress/discovery is not allowed for Docker "
            "containers");
    } else if (nonempty(ports)) {
        if (!container) {
            container = json_pack("{s:s,s:[]}", "type", "MESOS", "volumes");
            json_object_set_new(app, "container", container);
        }
        json_t *mappings = json_array();
        for (size_t i = 0; i < json_array_size(ports); i++) {
            json_t *p = json_array_get(ports, i);
            json_t *m = json_pack("{s:I,s:O?,s:O?,s:O?,s:i}", "containerPort",
                (json_int_t)json_i64_at(p, "number", 0), "labels", json_object_get(p, "labels"),
                "name", json_object_get(p, "name"), "protocol", json_object_get(p, "protocol"),
                "servicePort", 0);
            if (!json_object_get(m, "labels") || json_is_null(json_object_get(m, "labels")))
                json_object_set_new(m, "labels", json_object());
            json_array_append_new(mappings, m);
        }
        json_object_set_new(container, "portMappings", mappings);
    }
}

static void translate_networking(
    json_t *app, bool partial, const struct app_options *options, struct violations *v)
{
    json_t *container = json_object_get(app, "container");
    json_t *docker = json_object_get(container, "docker");
    json_t *ip = json_object_get(app, "ipAddress");
    _cleanup_free_ char *docker_network = NULL;
    if (json_str_at(docker, "network", NULL))
        docker_network = xstrdup(json_str_at(docker, "network", NULL));
    bool networks_given = nonempty(json_object_get(app, "networks"));
    if (docker_network && networks_given)
        violation_add(v, "/", "must not specify both container.docker.network and networks");
    if (ip && networks_given)
        violation_add(v, "/", "must not specify both networks and ipAddress");
    if (ip && nonempty(json_object_get(app, "portDefinitions")) && !streq(docker_network, "HOST") &&
        !partial)
        violation_add(v, "/", "cannot specify both an IP address and port");
    if (docker_network && streq(docker_network, "NONE"))
        violation_add(v, "/container/docker/network", "network mode NONE is not supported");
    json_t *mappings = json_object_get(docker, "portMappings");
    if (mappings) {
        if (json_object_get(container, "portMappings"))
            violation_add(v, "/container/portMappings",
                "may not be set in conjunction with docker.portMappings");
        else if (!streq(docker_network, "HOST"))
            json_object_set(container, "portMappings", mappings);
        json_object_del(docker, "portMappings");
    }
    if (ip && !networks_given)
        translate_ip_address(app, docker_network, options, v);
    else if (docker_network && !networks_given)
        json_object_set_new(app, "networks",
            network(streq(docker_network, "HOST")     ? "host"
                    : streq(docker_network, "BRIDGE") ? "container/bridge"
                                                      : "container",
                NULL, NULL));
    if (docker)
        json_object_del(docker, "network");
    json_object_del(app, "ipAddress");
}

void app_translate_legacy(
    json_t *app, bool partial, const struct app_options *options, struct violations *v)
{
    translate_uris(app, v);
    translate_ports(app, v);
    translate_networking(app, partial, options, v);
}

void app_merge(json_t *app, const json_t *update)
{
    const char *key;
    json_t *value;
    /* These two belong to one request: an update that does not repeat them takes them away. */
    json_object_del(app, "executorResources");
    json_object_del(app, "resourceLimits");
    json_object_foreach((json_t *)(uintptr_t)update, key, value)
    {
        if (!streq(key, "id") && !streq(key, "version") && !streq(key, "versionInfo"))
            json_object_set_new(app, key, json_deep_copy(value));
    }
    /* A change of the network mode leaves the other mode's port fields behind. */
    if (json_at(update, "networks")) {
        bool host = app_network_mode(app) == NETWORK_HOST;
        const json_t *container = json_at(update, "container");
        if (host && !json_at(container, "portMappings") && json_object_get(app, "container"))
            json_object_del(json_object_get(app, "container"), "portMappings");
        if (!host && !json_at(update, "portDefinitions"))
            json_object_del(app, "portDefinitions");
    }
}

/* ---- defaults ---- */

static void set_default(json_t *o, const char *key, json_t *value)
{
    if (json_object_get(o, key))
        json_decref(value);
    else
        json_object_set_new(o, key, value);
}

static json_t *default_mapping(enum network_mode mode)
{
    json_t *m = json_pack("{s:i}", "containerPort", 0);
    if (mode == NETWORK_BRIDGE)
        json_object_set_new(m, "hostPort", json_integer(0));
    json_object_set_new(m, "labels", json_object());
    json_object_set_new(m, "protocol", json_string("tcp"));
    json_object_set_new(m, "servicePort", json_integer(0));
    return m;
}

static void ports_defaults(json_t *app, enum network_mode mode)
{
    json_t *definitions = json_object_get(app, "portDefinitions");
    json_t *container = json_object_get(app, "container");
    if (mode == NETWORK_HOST) {
        if (!definitions)
            json_object_set_new(app, "portDefinitions",
                json_pack("[{s:i,s:s,s:s}]", "port", 0, "protocol", "tcp", "name", "default"));
        if (container && !nonempty(json_object_get(container, "portMappings")))
            json_object_del(container, "portMappings");
        return;
    }
    if (!container) {
        container = json_pack("{s:s,s:[]}", "type", "MESOS", "volumes");
        json_object_set_new(app, "container", container);
    }
    json_t *mappings = json_object_get(container, "portMappings");
    if (!mappings) {
        mappings = json_array();
        json_object_set_new(container, "portMappings", mappings);
        json_t *m = default_mapping(mode);
        json_object_set_new(m, "name", json_string("default"));
        json_array_append_new(mappings, m);
    }
    while (json_array_size(definitions) > json_array_size(mappings))
        json_array_append_new(mappings, default_mapping(mode));
    json_object_del(app, "portDefinitions");
    size_t i;
    json_t *m;
    json_array_foreach(mappings, i, m) if (mode == NETWORK_BRIDGE)
        set_default(m, "hostPort", json_integer(0));
}

static void health_defaults(json_t *app)
{
    size_t i;
    json_t *h;
    json_array_foreach(json_object_get(app, "healthChecks"), i, h)
    {
        const char *protocol = json_str_at(h, "protocol", "HTTP");
        if (!streq(protocol, "COMMAND") && !json_object_get(h, "port") &&
            !json_object_get(h, "command"))
            set_default(h, "portIndex", json_integer(0));
        json_object_del(h, "ignoreHttp1xx");
        if (streq(protocol, "HTTP") || streq(protocol, "HTTPS"))
            json_object_set_new(h, "ignoreHttp1xx", json_false());
    }
}

/* Volumes belong to one instance, and a single instance is never two: these apps go down before
 * they come up. */
static void strategy_defaults(json_t *app)
{
    bool persistent = app_has_persistent_volumes(app);
    if (persistent) {
        set_default(app, "residency",
            json_pack("{s:i,s:s}", "relaunchEscalationTimeoutSeconds", 3600, "taskLostBehavior",
                "WAIT_FOREVER"));
        set_default(app, "unreachableStrategy", json_string("disabled"));
    }
    if (persistent || app_has_external_volumes(app))
        set_default(app, "upgradeStrategy",
            json_pack("{s:f,s:f}", "minimumHealthCapacity", 0.5, "maximumOverCapacity", 0.0));
    else if (app_is_single_instance(app))
        set_default(app, "upgradeStrategy",
            json_pack("{s:f,s:f}", "minimumHealthCapacity", 0.0, "maximumOverCapacity", 0.0));
}

static json_t *sorted_unique(const json_t *array)
{
    json_t *out = json_array();
    for (size_t i = 0; i < json_array_size(array); i++) {
        bool seen = false;
        for (size_t k = 0; k < json_array_size(out) && !seen; k++)
            seen = json_equal(json_array_get(out, k), json_array_get(array, i));
        if (!seen)
            json_array_append(out, json_array_get(array, i));
    }
    return out;
}

/* Canonical order; `keep_empty` fields are printed even when they hold nothing. */
static const struct {
    const char *name;
    bool keep_empty;
    const char *def;
} order[] = {
    {"cmd"},
    {"args"},
    {"user"},
    {"env"},
    {"instances", true, "1"},
    {"cpus", true, "1.0"},
    {"mem", true, "128.0"},
    {"disk", true, "0.0"},
    {"gpus", true, "0"},
    {"executor", true, "\"\""},
    {"executorResources"},
    {"resourceLimits"},
    {"constraints"},
    {"fetch"},
    {"backoffSeconds", true, "1"},
    {"backoffFactor", true, "1.15"},
    {"maxLaunchDelaySeconds", true, "300"},
    {"container"},
    {"healthChecks"},
    {"check"},
    {"readinessChecks"},
    {"dependencies"},
    {"upgradeStrategy", true, "{\"minimumHealthCapacity\":1.0,\"maximumOverCapacity\":1.0}"},
    {"labels", true, "{}"},
    {"acceptedResourceRoles"},
    {"networks", true, "[{\"mode\":\"host\"}]"},
    {"portDefinitions", true},
    {"requirePorts", true, "false"},
    {"residency"},
    {"secrets"},
    {"taskKillGracePeriodSeconds", true},
    {"unreachableStrategy", true, "{\"inactiveAfterSeconds\":0,\"expungeAfterSeconds\":0}"},
    {"killSelection", true, "\"YOUNGEST_FIRST\""},
    {"tty", true},
    {"role", true},
};

static bool empty(const json_t *value)
{
    return (json_is_array(value) && json_array_size(value) == 0) ||
           (json_is_object(value) && json_object_size(value) == 0);
}

json_t *app_canonical(
    json_t *app, const char *id, const char *role, const struct app_options *options)
{
    size_t i;
    json_t *net;
    if (!nonempty(json_object_get(app, "networks")))
        json_object_del(app, "networks");
    json_array_foreach(json_object_get(app, "networks"), i,
        net) if (streq(json_str_at(net, "mode", ""), "container") && options->default_network_name)
        set_default(net, "name", json_string(options->default_network_name));
    enum network_mode mode = app_network_mode(app);
    ports_defaults(app, mode);
    if (mode != NETWORK_HOST)
        json_object_set_new(app, "requirePorts", json_false());
    health_defaults(app);
    strategy_defaults(app);
    if (role)
        set_default(app, "role", json_string(role));
    static const char *const sets[] = {"dependencies", "acceptedResourceRoles"};
    for (i = 0; i < ARRAY_SIZE(sets); i++)
        if (json_object_get(app, sets[i]))
            json_object_set_new(app, sets[i], sorted_unique(json_object_get(app, sets[i])));

    json_t *out = json_pack("{s:s}", "id", id);
    for (i = 0; i < ARRAY_SIZE(order); i++) {
        json_t *value = json_object_get(app, order[i].name);
        if (value && (order[i].keep_empty || !empty(value)))
            json_object_set(out, order[i].name, value);
        else if (!value && order[i].def)
            json_object_set_new(
                out, order[i].name, json_loads(order[i].def, JSON_DECODE_ANY, NULL));
    }
    json_decref(app);
    return out;
}
