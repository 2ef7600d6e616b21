#ifndef DCOS_CLI_DURATION_H
#define DCOS_CLI_DURATION_H

#include "base/error.h"
#include "base/str.h"

/* Durations as command lines of the DC/OS CLI have them: "90s", "1h30m", "1.5h"; units ns, us, ms,
 * s, m and h, or a plain 0. Nanoseconds; -EINVAL also when negative or too long for them. */
int duration_flag_parse(const char *text, int64_t *ret_ns, struct error *err);

#endif
