#ifndef DCOS_BASE_OPTIONS_H
#define DCOS_BASE_OPTIONS_H

/* Command lines of tools, by table: options anywhere, --name=value or --name value, the rest are
 * arguments. (base/flags.h is for daemons, which have no arguments and take their flags from the
 * environment as well.) */

#include "base/error.h"

/* Values of an option that may be given several times. The caller frees `items`. */
struct option_values {
    const char **items; /* point into argv */
    size_t n, cap;
};

struct option {
    const char *name, *also;     /* "--port", "-p" or NULL */
    const char **text;           /* takes a value, which points into argv; the last one counts */
    bool *flag;                  /* or is set */
    struct option_values *texts; /* or takes a value each time */
};

/* Fills the targets and up to `max` arguments. -EINVAL with what is wrong; `program` is named in
 * it. */
int options_parse(const char *program, const struct option *table, size_t n, int argc, char **argv,
    const char **args, size_t max, size_t *ret_args, struct error *err);

#endif
