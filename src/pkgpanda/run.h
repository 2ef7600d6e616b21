#ifndef DCOS_PKGPANDA_RUN_H
#define DCOS_PKGPANDA_RUN_H

/* Other programs, one after the other, waited for. */

#include "base/buf.h"
#include "base/error.h"

struct run_options {
    const char *cwd;         /* NULL = inherit */
    const char *const *envp; /* NULL = inherit */
    struct buf *output;      /* NULL = inherit stdout and stderr, else both are appended */
    int stdout_fd;           /* > 0: both go there instead */
    /* In the child, before the program; returns 0 or a negative errno. NULL = nothing. */
    int (*prepare)(void *userdata);
    void *userdata;
};

enum { RUN_OUTPUT_MAX = 1024 * 1024 /* what is beyond is dropped */ };

/* argv[0] is looked up in PATH. Returns the exit status (128 + signal for one that was killed), or
 * a negative errno with err set when it could not be started. Stdin is /dev/null. */
int run_program(const char *const *argv, const struct run_options *options, struct error *err);

#endif
