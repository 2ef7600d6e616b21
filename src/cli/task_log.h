#ifndef DCOS_CLI_TASK_LOG_H
#define DCOS_CLI_TASK_LOG_H

/* The end of a sandbox file of each task, and what is added to it. */

#include "cli/mesos.h"

struct task_log_options {
    const char *file; /* in the sandbox */
    int64_t lines;
    bool follow;
};

/* Through the cluster's log service where there is one, else from the agents' files. */
int task_log(struct cli *c, const json_t *state, const json_t *tasks,
    const struct task_log_options *options, struct error *err);

#endif
