#ifndef DCOS_CONSOLE_COMMAND_H
#define DCOS_CONSOLE_COMMAND_H

/*
 * Command lines with a tree of commands, as `dcos marathon app add` has: tables in, one call out.
 *
 * Every command answers -h and --help in the layout of the DC/OS CLI. Options may stand anywhere
 * after their command, "--" ends them, short ones may be joined ("-qf"). Errors are one line on
 * stderr.
 */

#include <stdio.h>

#include "base/error.h"

enum option_type {
    OPTION_BOOL,   /* --name, --name=true|false */
    OPTION_STRING, /* --name=V, --name V, -nV, -n V; the last one counts */
    OPTION_LIST,   /* like a string, each occurrence counts */
    OPTION_I64,    /* whole number */
};

struct option_spec {
    const char *name;
    char letter; /* 0 = none */
    enum option_type type;
    const char *help;
    bool hidden;
    const char *word; /* written with one dash too, as in "-te"; NULL = not */
};

struct invocation;

/* Returns 0, a positive exit code (nothing more is printed), or a negative errno with err set. */
typedef int (*command_run)(const struct invocation *inv, struct error *err);

struct command {
    const char *name;
    const char *arguments;              /* for the usage line: "<name> [<value>]"; NULL = none */
    const char *summary;                /* one line */
    const char *description, *examples; /* NULL = none */
    const struct option_spec *options;
    size_t n_options;
    unsigned min_args, max_args; /* positional arguments; max UINT_MAX = any number */
    const struct command *const *children;
    size_t n_children;
    command_run run;   /* of a group: when no child is named; NULL prints the help */
    const char *words; /* shell command that prints what its arguments can be, for completion */
    bool hidden;
    bool usage_on_stderr; /* group: where usage goes after an unknown child */
    int usage_exit;       /* group: exit code of command lines that are wrong; 0 = 1 */
    bool lenient;         /* group: an unknown child prints the help and succeeds */
    bool first_ends;      /* options end at the first argument: the rest is somebody else's */
};

/* An element of a table of children. */
#define COMMAND(...) (&(const struct command){__VA_ARGS__})

enum { COMMAND_OPTIONS_MAX = 40, COMMAND_DEPTH_MAX = 8 };

struct invocation {
    const struct command *command;
    char path[128]; /* "dcos config set" */
    const char *const *args;
    size_t n_args;
    void *app; /* of command_main */
    int usage_exit;
    /* Values by option, in the order of command->options. */
    struct {
        bool seen, truth;
        int64_t number;
        const char **texts;
        size_t n;
    } values[COMMAND_OPTIONS_MAX];
};

/* All three abort on a name or type that the command's table does not have. */
bool option_bool(const struct invocation *inv, const char *name);
const char *option_text(const struct invocation *inv, const char *name); /* NULL when absent */
int64_t option_i64(const struct invocation *inv, const char *name, int64_t fallback);
/* Returns how many values there are. */
size_t option_list(const struct invocation *inv, const char *name, const char *const **ret);

/* Argument i, or NULL. */
static inline const char *arg_at(const struct invocation *inv, size_t i)
{
    return i < inv->n_args ? inv->args[i] : NULL;
}

/* Finds the command that argv (without the program name) means and runs it. Returns the exit code
 * of the process: 0; 1 for an error, which is printed; or what the command gave. */
int command_main(const struct command *root, void *app, int argc, char **argv);
void command_help(const struct command *command, const char *path, bool is_root, FILE *out);

#endif
