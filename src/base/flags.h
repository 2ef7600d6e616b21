#ifndef DCOS_BASE_FLAGS_H
#define DCOS_BASE_FLAGS_H

/*
 * Command line of a daemon, by table.
 *
 * Accepts --name=value, --name value, and for booleans --name, --no-name, --name=true|false. Each
 * flag may also come from the environment as PREFIX_NAME (upper case, '-' as '_'), which the
 * command line overrides. --help and --version are answered here.
 */

#include <stdio.h>

#include "base/buf.h"
#include "base/error.h"

enum flag_type {
    FLAG_STRING,   /* const char ** ; points into argv or the environment */
    FLAG_BOOL,     /* bool * */
    FLAG_I64,      /* int64_t * */
    FLAG_PORT,     /* uint16_t * */
    FLAG_DOUBLE,   /* double * */
    FLAG_DURATION, /* int64_t *, microseconds, text as duration_parse reads it */
    FLAG_BYTES,    /* uint64_t *, text as parse_bytes reads it */
    /* Known by name only, so that a configuration written for another program is taken: no target,
     * any value; --name and --no-name as well. --help has them in a list at its end. */
    FLAG_WITHOUT_EFFECT,
};

struct flag {
    const char *name; /* without dashes, words joined by '_' as in Mesos; '-' is accepted as well */
    enum flag_type type;
    void *target;
    const char *default_text; /* NULL: unset, the target stays as it is */
    const char *arg;          /* placeholder in --help, e.g. "PATH" */
    const char *help;
    bool secret; /* value is not shown by flags_each */
    bool required;
    const char *value_text; /* set by flags_parse: the text in force, or NULL */
};

struct program {
    const char *name;       /* "dcos-master" */
    const char *summary;    /* one line for --help */
    const char *env_prefix; /* "MESOS" or NULL */
    const char *version;
};

/* Fills the targets. Returns 0, or 1 when --help or --version was answered on stdout (exit 0), or
 * -EINVAL with a message that says what to do. Positional arguments are an error. */
int flags_parse(const struct program *program, struct flag *flags, size_t n, int argc, char **argv,
    struct error *err);
void flags_help(const struct program *program, const struct flag *flags, size_t n, FILE *out);

#endif
