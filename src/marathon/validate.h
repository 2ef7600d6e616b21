#ifndef DCOS_MARATHON_VALIDATE_H
#define DCOS_MARATHON_VALIDATE_H

/* Rules over canonical definitions; paths are relative to the app ("/" for the app as a whole). */

#include "marathon/violation.h"

#define FEATURE_MISSING "Feature %s is not enabled. Enable with --enable_features %s)"

struct validate_options {
    const char *const *roles; /* NULL-terminated: roles the app may have; NULL = any */
};

void app_validate(const json_t *app, const struct validate_options *options, struct violations *v);
/* Container, volumes, networks and ports; part of app_validate. */
void validate_container(const json_t *app, struct violations *v);
/* Volumes, and what an app with persistent or external ones must keep to; part of the above. */
void validate_volumes(const json_t *app, struct violations *v);
bool app_has_persistent_volumes(const json_t *app);
bool app_has_external_volumes(const json_t *app);
bool app_is_single_instance(const json_t *app);
/* Health checks, checks and readiness checks; part of app_validate. */
void validate_checks(const json_t *app, struct violations *v);
/* NULL, or what is wrong with one constraint [field, operator, value?]. */
const char *constraint_check(const json_t *constraint);
/* NULL, or what is wrong with a role name. */
const char *role_check(const char *role);
/* Number of ports that $PORTn and portIndex refer to. */
size_t app_port_count(const json_t *app);

#endif
