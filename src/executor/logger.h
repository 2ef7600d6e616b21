#ifndef DCOS_EXECUTOR_LOGGER_H
#define DCOS_EXECUTOR_LOGGER_H

/*
 * A task's output stream: from a pipe to a file in the sandbox, rotated at a size.
 *
 * The executor owns the read end, so a restart of the agent loses nothing. The file is this
 * process's own stdout or stderr, so that its log lines go there too, or that of a pod's task.
 */

#include "base/error.h"
#include "io/loop.h"

struct logger;

struct logger_options {
    int fd;            /* the open file, replaced on rotation; borrowed */
    const char *name;  /* in the sandbox: "stdout" */
    int sandbox_fd;    /* borrowed */
    uint64_t max_size; /* 0 = never rotated */
    unsigned files;    /* rotated ones kept: name.1 is the newest */
};

/* *ret_write_fd is for the task; the caller closes it. */
int logger_new(struct loop *l, const struct logger_options *o, struct logger **ret,
    int *ret_write_fd, struct error *err);
/* Takes what is in the pipe now, then closes. */
void logger_finish(struct logger *g);

#endif
