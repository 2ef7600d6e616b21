#include "base/alloc.h"
#include "base/str.h"
#include "marathon/normalize.h"
#include "marathon/validate.h"

static bool index_ok(const json_t *check, size_t ports)
{
    const json_t *index = json_at(check, "portIndex");
    if (index)
        return json_at(check, "port") == NULL ? (size_t)json_integer_value(index) < ports : true;
    return json_at(check, "port") != NULL || ports == 1;
}

static void validate_health(
    const json_t *app, const json_t *h, const char *path, size_t ports, struct violations *v)
{
    const char *protocol = json_str_at(h, "protocol", "HTTP");
    bool command = streq(protocol, "COMMAND");
    bool has_command = json_at(h, "command") != NULL;
    if (command && !has_command) {
        violation_add(v, path, "COMMAND health checks need a command");
    } else if (has_command &&
               (!command || json_at(h, "path") || json_at(h, "port") || json_at(h, "portIndex"))) {
        violation_add(
            v, path, "a command is only allowed with protocol COMMAND, without path and port");
    } else if (!command && !index_ok(h, ports)) {
        violation_add(v, path,
            "Health check port indices must address an element of the ports "
            "array or container port mappings.");
    }
    if (json_i64_at(h, "intervalSeconds", 1) < 1)
        violation_add(v, path, "intervalSeconds must be greater than 0");
    bool docker = streq(json_str_at(json_at(app, "container"), "type", ""), "DOCKER");
    if (streq(json_str_at(h, "ipProtocol", "IPv4"), "IPv6") &&
        !(docker && has_prefix(protocol, "MESOS_")))
        violation_add(v, path,
            "IPv6 can only be used for container type DOCKER and Mesos "
            "http/https/tcp health checks");
}

static void validate_readiness(const json_t *app, struct violations *v)
{
    const json_t *ports = app_network_mode(app) == NETWORK_HOST
                              ? json_at(app, "portDefinitions")
                              : json_at(json_at(app, "container"), "portMappings");
    size_t i;
    json_t *r;
    json_array_foreach(json_at(app, "readinessChecks"), i, r)
    {
        int64_t interval = json_i64_at(r, "intervalSeconds", 30);
        int64_t timeout = json_i64_at(r, "timeoutSeconds", 10);
        _cleanup_free_ char *path = xasprintf("/readinessChecks(%zu)", i);
        _cleanup_free_ char *at_interval = xasprintf("%s/intervalSeconds", path);
        _cleanup_free_ char *at_timeout = xasprintf("%s/timeoutSeconds", path);
        _cleanup_free_ char *at_name = xasprintf("%s/portName", path);
        if (interval < 1)
            violation_add(v, at_interval, "got %lld, expected more than 0", (long long)interval);
        if (timeout < 1)
            violation_add(v, at_timeout, "got %lld, expected more than 0", (long long)timeout);
        else if (timeout >= interval)
            violation_add(v, at_timeout, "got %lld, expected less than %lld", (long long)timeout,
                (long long)interval);
        const char *name = json_str_at(r, "portName", "http-api");
        bool found = false;
        for (size_t k = 0; k < json_array_size(ports); k++)
            found = found || streq(json_str_at(json_array_get(ports, k), "name", NULL), name);
        if (!found)
            violation_add(v, at_name, "No port definition reference for portName %s", name);
    }
}

static void validate_check(const json_t *app, size_t ports, struct violations *v)
{
    const json_t *check = json_at(app, "check");
    if (!check)
        return;
    const json_t *http = json_at(check, "http"), *tcp = json_at(check, "tcp"),
                 *exec = json_at(check, "exec");
    if ((http != NULL) + (tcp != NULL) + (exec != NULL) != 1) {
        violation_add(v, "/check", "exactly one of http, tcp and exec must be given");
        return;
    }
    const json_t *command = json_at(exec, "command");
    if (exec &&
        (json_at(command, "shell") != NULL) == (json_array_size(json_at(command, "argv")) > 0))
        violation_add(v, "/check/exec/command", "exactly one of shell and argv must be given");
    if (!exec && !index_ok(http ? http : tcp, ports))
        violation_add(v, "/check",
            "check port index must address an element of the ports array "
            "or container port mappings.");
    if (streq(json_str_at(json_at(app, "container"), "type", ""), "DOCKER"))
        violation_add(v, "/", "AppDefinition must not use 'checks' if using docker");
}

void validate_checks(const json_t *app, struct violations *v)
{
    size_t ports = app_port_count(app), i, on_agent = 0;
    json_t *h;
    json_array_foreach(json_at(app, "healthChecks"), i, h)
    {
        _cleanup_free_ char *path = xasprintf("/healthChecks(%zu)", i);
        validate_health(app, h, path, ports, v);
        on_agent += has_prefix(json_str_at(h, "protocol", "HTTP"), "MESOS_");
    }
    if (on_agent > 1)
        violation_add(
            v, "/healthChecks", "AppDefinition can contain at most one Mesos health check");
    validate_check(app, ports, v);
    validate_readiness(app, v);
}
