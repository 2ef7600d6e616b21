#ifndef DCOS_MINIDCOS_SUPERVISE_H
#define DCOS_MINIDCOS_SUPERVISE_H

#include "minidcos/cluster.h"

/*
 * The process that keeps a cluster's daemons running: starts them, starts them again when they end,
 * writes what happens to cluster.json. Daemons that an earlier supervisor left running are taken
 * over. SIGTERM ends the daemons and then the supervisor; executors and tasks are not touched.
 */

/* Runs until told to end. `ready_fd` (>= 0) gets "ok" once everything was started. Returns the exit
 * code. */
int supervise(struct cluster *c, int ready_fd);

/* Starts a supervisor for the cluster, detached from this process, and waits until it works. The
 * `lease` descriptor is handed over to it. */
int supervisor_start(const struct cluster *c, int lease, struct error *err);

#endif
