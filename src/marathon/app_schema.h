#ifndef DCOS_MARATHON_APP_SCHEMA_H
#define DCOS_MARATHON_APP_SCHEMA_H

/* The JSON-level tables of apps and groups; see schema.h. */

#include "marathon/schema.h"

extern const struct schema schema_app;        /* whole definition: id required */
extern const struct schema schema_app_update; /* partial: everything optional */
extern const struct schema schema_group_update;

/* One constraint in Marathon's JSON form. */
extern const char *const constraint_operators[]; /* NULL-terminated */

#endif
