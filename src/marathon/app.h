#ifndef DCOS_MARATHON_APP_H
#define DCOS_MARATHON_APP_H

/*
 * One version of an app: immutable, reference-counted. The canonical definition is kept as JSON
 * text (what clients get); what scheduling looks at is taken out once.
 */

#include <jansson.h>

#include "base/error.h"
#include "json/writer.h"
#include "marathon/constraint.h"

enum {
    APP_PORTS_MAX = 200,
    APP_CHECKS_MAX = 32,
    APP_TEXT_MAX = 200 * 1024, /* canonical text; two must fit into one stored value */
};

enum health_protocol {
    HEALTH_HTTP,
    HEALTH_HTTPS,
    HEALTH_TCP,
    HEALTH_COMMAND,
    HEALTH_MESOS_HTTP,
    HEALTH_MESOS_HTTPS,
    HEALTH_MESOS_TCP,
};

struct health_check {
    enum health_protocol protocol;
    char *path;               /* with leading slash */
    int32_t port_index, port; /* -1 = not given */
    int64_t grace_us, interval_us, timeout_us;
    int32_t max_failures;
};
static inline bool health_is_marathon(enum health_protocol p)
{
    return p <= HEALTH_TCP;
}

struct readiness_check {
    char *name, *path;
    bool https, preserve;
    int32_t port_index;
    int64_t interval_us, timeout_us;
    int16_t codes[32];
    size_t n_codes;
};

/* What one entry of portDefinitions / portMappings asks of the agent. */
struct port_request {
    int32_t host;      /* fixed port, 0 = any, -1 = none */
    int32_t container; /* -1 in host mode */
    int32_t service;
};

struct app {
    unsigned refs;
    char *id;
    char *text; /* canonical JSON object without version and versionInfo */
    int64_t version_us, scaling_us, config_us;
    int32_t instances;
    int64_t cpus_milli, mem_milli, disk_milli, gpus_milli;
    char *role;
    char **accepted;     /* acceptedResourceRoles, NULL-terminated, or NULL */
    char **dependencies; /* NULL-terminated, or NULL */
    struct constraint *constraints;
    size_t n_constraints;
    struct port_request *ports;
    size_t n_ports;
    bool require_ports, host_mode, container_mode;
    int64_t backoff_us, max_delay_us;
    double backoff_factor;
    double min_health, over_capacity;
    bool oldest_first;
    bool unreachable_disabled;
    int64_t inactive_after_us, expunge_after_us;
    int64_t kill_grace_us; /* -1 = not given */
    struct health_check *health;
    size_t n_health;
    bool has_check;
    struct readiness_check *readiness; /* or NULL */
};

/* From a canonical tree (normalize.h). -EINVAL, -EMSGSIZE when the text is too long. */
int app_new(const json_t *canonical, int64_t version_us, int64_t scaling_us, int64_t config_us,
    struct app **ret, struct error *err);
struct app *app_ref(struct app *a);
void app_unref(struct app *a); /* NULL is fine */
DEFINE_CLEANUP(struct app *, app_unref)

/* The canonical tree; caller owns. Never NULL. */
json_t *app_tree(const struct app *a);
/* Same in everything but instances and executorResources. */
bool app_config_equal(const struct app *a, const struct app *b);
/* A copy with other versions or number of instances. */
struct app *app_with(const struct app *a, int32_t instances, int64_t version_us, int64_t scaling_us,
    int64_t config_us);

/* Members of the definition with version (and versionInfo) into an open object. */
void app_write_members(const struct app *a, bool version_info, struct json_writer *w);
void app_write(const struct app *a, bool version_info, struct json_writer *w);
/* As stored: {"app":{..},"version":us,"scaling":us,"config":us} */
void app_store_write(const struct app *a, struct json_writer *w);
int app_store_read(const json_t *record, struct app **ret, struct error *err);

#endif
