#ifndef DCOS_MINIDCOS_CLEANUP_H
#define DCOS_MINIDCOS_CLEANUP_H

#include "minidcos/cluster.h"

/*
 * Ends everything of a cluster and removes its traces: supervisor, daemons, executors and tasks
 * (found by control group, by environment and by command line), mounts, control groups, files.
 * Needs nothing but the cluster's name and directory to be right, so it also works after crashes.
 *
 * Only processes that carry one of our own marks are touched; one that merely has its working
 * directory or a file there is not.
 */
int cluster_destroy(struct cluster *c, struct error *err);

/* Whether a process's environment (NUL-separated) or arguments mark it as the cluster's. */
bool marks_process(const char *dir, struct str environment, struct str arguments);

/* Kills what is in a control group and in those below it, whatever it is, except this process and
 * those above it; returns how many were alive. */
int group_kill(const char *path);
/* Removes an empty group with those below it; -EBUSY while a process is in one. */
int group_remove(const char *path);

#endif
