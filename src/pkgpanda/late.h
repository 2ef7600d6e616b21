#ifndef DCOS_PKGPANDA_LATE_H
#define DCOS_PKGPANDA_LATE_H

/*
 * Late values: what only a host knows when it first starts (its region, say). A text holds
 * LATE_BIND_PLACEHOLDER_START_<name>_LATE_BIND_PLACEHOLDER_END for each.
 */

#include "base/buf.h"
#include "json/json.h"

/* Puts the values (an object of strings) in. -EINVAL for a name that has none, or a placeholder
 * without end. */
int late_substitute(const char *text, const json_t *values, struct buf *out, struct error *err);

/* {"package": [{"path", "content", "permissions"}]} to files below a folder. */
int late_write_files(
    const char *folder, const json_t *config, const json_t *values, struct error *err);

#endif
