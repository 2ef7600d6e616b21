/* Checks, health checks, kill policies. */

#include <errno.h>

#include "base/str.h"
#include "kernel/task.h"

enum { PORT_MAX = 65535 };

/* Not a number counts as negative. */
static int validate_time(bool set, double secs, const char *name, struct error *err)
{
    if (set && !(secs >= 0.0))
        return error_set(err, -EINVAL, "Expecting '%s' to be non-negative", name);
    return 0;
}

static int validate_http(const char *path, uint32_t port, struct error *err)
{
    if (path && path[0] != '/')
        return error_set(
            err, -EINVAL, "The path '%.200s' of an HTTP check must start with '/'", path);
    if (port > PORT_MAX)
        return error_set(err, -EINVAL, "The port %u of an HTTP check is too large", port);
    return 0;
}

int check_validate(const Mesos__V1__CheckInfo *c, struct error *err)
{
    int r = 0;
    switch (c->has_type ? c->type : MESOS__V1__CHECK_INFO__TYPE__UNKNOWN) {
    case MESOS__V1__CHECK_INFO__TYPE__COMMAND:
        if (!c->command || !c->command->command)
            return error_set(err, -EINVAL, "Expecting 'command' to be set for COMMAND check");
        if (!c->command->command->value)
            return error_set(err, -EINVAL, "Command check must contain a command's value");
        r = command_validate(c->command->command, err);
        break;
    case MESOS__V1__CHECK_INFO__TYPE__HTTP:
        if (!c->http)
            return error_set(err, -EINVAL, "Expecting 'http' to be set for HTTP check");
        r = validate_http(c->http->path, c->http->port, err);
        break;
    case MESOS__V1__CHECK_INFO__TYPE__TCP:
        if (!c->tcp)
            return error_set(err, -EINVAL, "Expecting 'tcp' to be set for TCP check");
        if (c->tcp->port > PORT_MAX)
            return error_set(err, -EINVAL, "The port %u of a TCP check is too large", c->tcp->port);
        break;
    default:
        return error_set(err, -EINVAL, "CheckInfo must specify a known 'type'");
    }
    if (r < 0 ||
        (r = validate_time(c->has_delay_seconds, c->delay_seconds, "delay_seconds", err)) < 0 ||
        (r = validate_time(c->has_interval_seconds, c->interval_seconds, "interval_seconds", err)) <
            0)
        return r;
    return validate_time(c->has_timeout_seconds, c->timeout_seconds, "timeout_seconds", err);
}

static int validate_health_http(
    const Mesos__V1__HealthCheck__HTTPCheckInfo *http, struct error *err)
{
    if (!http)
        return error_set(err, -EINVAL, "Expecting 'http' to be set for HTTP health check");
    if (http->scheme && !streq(http->scheme, "http") && !streq(http->scheme, "https"))
        return error_set(
            err, -EINVAL, "Unsupported HTTP health check scheme: '%.100s'", http->scheme);
    return validate_http(http->path, http->port, err);
}

int health_check_validate(const Mesos__V1__HealthCheck *c, struct error *err)
{
    int r = 0;
    switch (c->has_type ? c->type : MESOS__V1__HEALTH_CHECK__TYPE__UNKNOWN) {
    case MESOS__V1__HEALTH_CHECK__TYPE__COMMAND:
        if (!c->command)
            return error_set(
                err, -EINVAL, "Expecting 'command' to be set for COMMAND health check");
        if (!c->command->value)
            return error_set(err, -EINVAL, "Command health check must contain a command's value");
        r = command_validate(c->command, err);
        break;
    case MESOS__V1__HEALTH_CHECK__TYPE__HTTP:
        r = validate_health_http(c->http, err);
        break;
    case MESOS__V1__HEALTH_CHECK__TYPE__TCP:
        if (!c->tcp)
            return error_set(err, -EINVAL, "Expecting 'tcp' to be set for TCP health check");
        if (c->tcp->port > PORT_MAX)
            return error_set(
                err, -EINVAL, "The port %u of a TCP health check is too large", c->tcp->port);
        break;
    default:
        return error_set(err, -EINVAL, "HealthCheck must specify a known 'type'");
    }
    if (r < 0 ||
        (r = validate_time(c->has_delay_seconds, c->delay_seconds, "delay_seconds", err)) < 0 ||
        (r = validate_time(c->has_grace_period_seconds, c->grace_period_seconds,
             "grace_period_seconds", err)) < 0 ||
        (r = validate_time(c->has_interval_seconds, c->interval_seconds, "interval_seconds", err)) <
            0)
        return r;
    return validate_time(c->has_timeout_seconds, c->timeout_seconds, "timeout_seconds", err);
}

int check_status_validate(const Mesos__V1__CheckStatusInfo *status, struct error *err)
{
    const void *nested;
    const char *name;
    switch (status->has_type ? status->type : MESOS__V1__CHECK_INFO__TYPE__UNKNOWN) {
    case MESOS__V1__CHECK_INFO__TYPE__COMMAND:
        nested = status->command;
        name = "command";
        break;
    case MESOS__V1__CHECK_INFO__TYPE__HTTP:
        nested = status->http;
        name = "http";
        break;
    case MESOS__V1__CHECK_INFO__TYPE__TCP:
        nested = status->tcp;
        name = "tcp";
        break;
    default:
        return error_set(err, -EINVAL, "CheckStatusInfo must specify a known 'type'");
    }
    if (!nested)
        return error_set(
            err, -EINVAL, "Expecting '%s' to be set for the type of CheckStatusInfo", name);
    return 0;
}

int kill_policy_validate(const Mesos__V1__KillPolicy *policy, struct error *err)
{
    if (policy->grace_period && policy->grace_period->nanoseconds < 0)
        return error_set(err, -EINVAL, "Task's 'kill_policy.grace_period' must be non-negative");
    return 0;
}
