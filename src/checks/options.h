#ifndef DCOS_CHECKS_OPTIONS_H
#define DCOS_CHECKS_OPTIONS_H

/* Command lines of the two programs: options anywhere, --name=value or --name value, the rest are
 * arguments. (base/flags.h is for daemons, which have no arguments.) */

#include "base/error.h"

struct check_option {
    const char *name, *also; /* "--port", "-p" or NULL */
    const char **text;       /* takes a value, which points into argv */
    bool *flag;              /* or is set */
};

/* Fills the targets and up to `max` arguments. -EINVAL with what is wrong; `program` is named in
 * it.
 */
int check_options_parse(const char *program, const struct check_option *table, size_t n, int argc,
    char **argv, const char **args, size_t max, size_t *ret_args, struct error *err);

#endif
