#ifndef DCOS_AGENT_VIEW_H
#define DCOS_AGENT_VIEW_H

/* What the agent shows of itself. */

#include "agent/agent.h"
#include "wire/agent.pb-c.h"

/* The version of the API that clients are told. */
#define DCOS_MESOS_VERSION "1.11.0"

/* The object of /state, with what the caller is shown. */
void view_state(struct agent *a, const struct http_request *req, struct json_writer *w);

/* Messages of the public API, in the arena; NULL when the stored bytes cannot be read. */
Mesos__V1__FrameworkInfo *view_framework_info(const struct agent_framework *f, struct arena *arena);
Mesos__V1__ExecutorInfo *view_executor_info(const struct agent_executor *e, struct arena *arena);
Mesos__V1__AgentInfo *view_agent_info(const struct agent *a, struct arena *arena);
/* NULL when the agent does not drain. */
Mesos__V1__DrainConfig *view_drain_config(const struct agent *a, struct arena *arena);
/* With the newest state and status. */
Mesos__V1__Task *view_task(const struct agent_task *t, struct arena *arena);
/* Adds what the executor and its tasks hold now. */
void view_executor_resources(
    const struct agent_executor *e, struct resources *sum, struct arena *arena);
/* What executors and their tasks hold now. */
void view_allocated(const struct agent *a, struct resources *ret);
/* Of a running container; NULL when nothing is known of it. */
Mesos__V1__ResourceStatistics *view_statistics(
    struct agent *a, const struct agent_executor *e, struct arena *arena);
Mesos__V1__ContainerStatus *view_container_status(
    struct agent *a, const struct agent_executor *e, struct arena *arena);

/* GET_CONTAINERS, with what the caller is shown. */
Mesos__V1__Agent__Response__GetContainers *view_containers(
    struct agent *a, const struct http_request *req, bool nested, struct arena *arena);

/* Calls fn for each metric, in a fixed order. */
void view_metrics(
    struct agent *a, void (*fn)(const char *name, double value, void *userdata), void *userdata);

/* POST /api/v1 */
void view_api(struct http_request *req, void *userdata);

#endif
