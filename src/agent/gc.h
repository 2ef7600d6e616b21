#ifndef DCOS_AGENT_GC_H
#define DCOS_AGENT_GC_H

/*
 * Collecting sandboxes of what has ended. Each waits gc_delay from its last change; the fuller the
 * disk of the work_dir, the less it waits: at most gc_delay * max(0, 1 - headroom - usage).
 */

#include "agent/agent.h"

/* Schedules everything under the work_dir that no executor uses. */
void agent_gc_start(struct agent *a);
void agent_gc_stop(struct agent *a);
void agent_gc_executor(
    struct agent *a, const char *framework_id, const char *executor_id, const char *container_id);
void agent_gc_framework(struct agent *a, const char *framework_id);
size_t agent_gc_pending(const struct agent *a);
/* Longest that an ended sandbox may stay at this usage of the disk (0 to 1). */
int64_t agent_gc_max_age(int64_t delay_us, double headroom, double usage);

#endif
