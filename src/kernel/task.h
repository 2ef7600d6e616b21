#ifndef DCOS_KERNEL_TASK_H
#define DCOS_KERNEL_TASK_H

/* Task states, and what makes a task, a group or an executor acceptable. */

#include "base/arena.h"
#include "base/error.h"
#include "wire/mesos.pb-c.h"

/* ---- states and names ---- */

bool task_state_is_terminal(Mesos__V1__TaskState state);
/* "TASK_RUNNING"; "TASK_UNKNOWN" for a number that is none. */
const char *task_state_name(Mesos__V1__TaskState state);
/* -ENOENT. */
int task_state_parse(const char *name, Mesos__V1__TaskState *ret);
/* States that only PARTITION_AWARE frameworks know read TASK_LOST for others. */
Mesos__V1__TaskState task_state_for(Mesos__V1__TaskState state, uint32_t framework_capabilities);
/* "REASON_AGENT_REMOVED", "SOURCE_AGENT"; NULL for a number that is none. */
const char *task_reason_name(Mesos__V1__TaskStatus__Reason reason);
const char *task_source_name(Mesos__V1__TaskStatus__Source source);
/* The same with the legacy endpoints' word: "REASON_SLAVE_REMOVED", "SOURCE_SLAVE". */
const char *task_reason_name_v0(Mesos__V1__TaskStatus__Reason reason);
const char *task_source_name_v0(Mesos__V1__TaskStatus__Source source);

/* ---- status updates ---- */

enum { TASK_REASON_NONE = -1 };

/* A status in the arena: timestamp set from now_us, no uuid. `reason` is a TaskStatus.Reason or
 * TASK_REASON_NONE; message and agent_id may be NULL; strings are copied. */
Mesos__V1__TaskStatus *task_status_new(struct arena *arena, const char *task_id,
    Mesos__V1__TaskState state, Mesos__V1__TaskStatus__Source source, int reason,
    const char *message, const char *agent_id, int64_t now_us);

/* ---- validation; 0, or -EINVAL with the reason for TASK_ERROR ---- */

struct task_context {
    const char *framework_id;
    const char *agent_id; /* of the offers; NULL = not checked */
    uint32_t framework_capabilities;
    bool agent_has_limits; /* agent capability TASK_RESOURCE_LIMITS */
};

/* One task of LAUNCH: everything of the reference's table down to the executor, except uniqueness,
 * comparison with existing executors and what remains of the offers. Resources must already have
 * allocation_info. */
int task_validate(
    const Mesos__V1__TaskInfo *task, const struct task_context *ctx, struct error *err);
/* A group with its executor: all or nothing. Each task may name the executor or none. */
int task_group_validate(const Mesos__V1__TaskGroupInfo *group,
    const Mesos__V1__ExecutorInfo *executor, const struct task_context *ctx, struct error *err);
/* An executor by itself, as both of the above check it. */
int executor_validate(
    const Mesos__V1__ExecutorInfo *executor, const struct task_context *ctx, struct error *err);
/* Untyped health check with exactly one of command and http gets that type (as LAUNCH does). */
void task_infer_health_check_type(Mesos__V1__TaskInfo *task);

/* ---- parts ---- */

int command_validate(const Mesos__V1__CommandInfo *command, struct error *err);
int uri_validate(const Mesos__V1__CommandInfo__URI *uri, struct error *err);
int environment_validate(const Mesos__V1__Environment *environment, struct error *err);
int container_validate(const Mesos__V1__ContainerInfo *container, struct error *err);
int volume_validate(const Mesos__V1__Volume *volume, struct error *err);
int secret_validate(const Mesos__V1__Secret *secret, struct error *err);
int check_validate(const Mesos__V1__CheckInfo *check, struct error *err);
int health_check_validate(const Mesos__V1__HealthCheck *check, struct error *err);
int check_status_validate(const Mesos__V1__CheckStatusInfo *status, struct error *err);
int kill_policy_validate(const Mesos__V1__KillPolicy *policy, struct error *err);

#endif
