#ifndef DCOS_AGENT_ENVIRONMENT_H
#define DCOS_AGENT_ENVIRONMENT_H

/* Environments of executors: what the agent tells them, and what their command adds. */

#include "base/error.h"
#include "base/vec.h"
#include "wire/mesos.pb-c.h"

struct environment {
    VEC(char *) entries; /* "NAME=value" */
};

void environment_done(struct environment *e);
/* Replaces an earlier value; names that are empty or hold '=' are left out. */
void environment_set(struct environment *e, const char *name, const char *value);
void environment_setf(struct environment *e, const char *name, const char *fmt, ...) _printf_(3, 4);
const char *environment_get(const struct environment *e, const char *name);
void environment_add(struct environment *e, const Mesos__V1__Environment *more);
/* {"NAME":"value",...} */
int environment_add_json(struct environment *e, const char *text, struct error *err);
/* NULL-terminated; valid until the environment changes. */
const char *const *environment_array(struct environment *e);

struct executor_environment {
    const char *framework_id, *executor_id, *agent_id, *ip, *sandbox, *socket_path;
    const char *token; /* NULL: executors show none */
    uint16_t port;
    bool checkpoint;
    int64_t shutdown_grace_us, recovery_timeout_us, subscription_backoff_us;
};
/* The variables of an executor. */
void environment_executor(struct environment *e, const struct executor_environment *x);

#endif
