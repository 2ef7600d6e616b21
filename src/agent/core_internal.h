#ifndef DCOS_AGENT_CORE_INTERNAL_H
#define DCOS_AGENT_CORE_INTERNAL_H

/* What the files of the core share. */

#include "agent/core.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "kernel/operation.h"

/* ---- core.c: time, output, records ---- */
void agent_core_begin(struct agent_core *core, const struct agent_now *now);
void agent_core_uuid(struct agent_core *core, uint8_t ret[AGENT_UUID_SIZE]);
struct agent_effect *agent_core_effect(struct agent_core *core, enum agent_effect_type type);
void agent_core_to_master(struct agent_core *core, Dcos__Internal__AgentRecord *record);
void agent_core_to_executor(
    struct agent_core *core, struct agent_executor *e, Mesos__V1__Executor__Event *event);
void agent_core_relink(struct agent_core *core, const char *why);
void agent_core_timer_start(struct agent_core *core, struct agent_timer *t, int64_t delay_us);
void agent_core_timer_stop(struct agent_core *core, struct agent_timer *t);

void agent_record_init(
    struct agent_core *core, struct agent_record *r, enum agent_record_kind kind);
void agent_record_dirty(struct agent_core *core, struct agent_record *r);
/* Deletes the stored copy. Must be called before the owner is freed. */
void agent_record_drop(struct agent_core *core, struct agent_record *r);

/* ---- checkpoint.c ---- */
void agent_record_key(const struct agent_record *r, struct buf *out);
void agent_record_pack(struct agent_core *core, const struct agent_record *r, struct buf *out);

/* ---- core_object.c: making and freeing ---- */
struct agent_framework *agent_framework_get(struct agent_core *core, const char *id);
struct agent_framework *agent_framework_add(struct agent_core *core, const char *id);
void agent_framework_set_info(struct agent_framework *f, const Mesos__V1__FrameworkInfo *info);
void agent_framework_free(struct agent_framework *f);
void agent_framework_maybe_remove(struct agent_core *core, struct agent_framework *f);
struct agent_executor *agent_executor_add(struct agent_core *core, struct agent_framework *f,
    const Mesos__V1__ExecutorInfo *info, const char *container_id);
void agent_executor_free(struct agent_core *core, struct agent_executor *e);
void agent_executor_maybe_remove(struct agent_core *core, struct agent_executor *e);
struct agent_task *agent_task_add(
    struct agent_core *core, struct agent_executor *e, const char *id);
/* Reads what the core needs from the task's description. */
void agent_task_set_info(
    struct agent_core *core, struct agent_task *t, const Mesos__V1__TaskInfo *info);
void agent_task_describe(
    struct agent_core *core, struct agent_task *t, const Mesos__V1__TaskInfo *info);
void agent_task_complete(struct agent_core *core, struct agent_task *t); /* no longer active */
void agent_task_free(struct agent_core *core, struct agent_task *t);
struct agent_task *agent_task_get(const struct agent_framework *f, const char *id);
void agent_resources_sum(Mesos__V1__Resource *const *resources, size_t n, int64_t *ret_cpus_milli,
    int64_t *ret_mem_milli);

/* ---- core_update.c ---- */
struct agent_core_status {
    const char *framework_id, *task_id, *executor_id; /* executor may be NULL */
    Mesos__V1__TaskState state;
    Mesos__V1__TaskStatus__Reason reason;
    const char *message;
    Mesos__V1__TaskResourceLimitation *limitation;
};
/* An update that the agent makes itself, source AGENT. */
void agent_core_agent_update(struct agent_core *core, const struct agent_core_status *s);
/* LOST for frameworks that do not know the finer states. */
Mesos__V1__TaskState agent_core_lost_or(const struct agent_framework *f, Mesos__V1__TaskState fine);
/* From an executor, on arrival and when it repeats itself after a break. */
void agent_executor_update(
    struct agent_core *core, struct agent_executor *e, const Mesos__V1__TaskStatus *given);
void agent_stream_free(struct agent_core *core, struct agent_stream *s);
void agent_stream_forward(struct agent_core *core, struct agent_stream *s);
void agent_stream_acknowledge(
    struct agent_core *core, const Dcos__Internal__StatusUpdateAcknowledgement *a);
void agent_stream_retry(struct agent_core *core, struct agent_stream *s);
struct agent_stream *agent_stream_add(struct agent_core *core, const char *framework_id,
    const char *task_id, const char *executor_id);
struct agent_update *agent_stream_append(struct agent_core *core, struct agent_stream *s,
    const uint8_t uuid[AGENT_UUID_SIZE], Mesos__V1__TaskState state, struct agent_bytes status);

/* ---- core_task.c ---- */
void agent_core_run_task(struct agent_core *core, const Dcos__Internal__RunTask *r);
/* Why the agent cannot have such a container, or NULL. A nested one may have volumes of its parent.
 */
const char *agent_container_fault(const Mesos__V1__ContainerInfo *container, bool nested);
const char *agent_task_size_fault(const struct agent_core *core, const Mesos__V1__TaskInfo *task);
/* A new executor, with a container id drawn for it. */
struct agent_executor *agent_executor_make(
    struct agent_core *core, struct agent_framework *f, const Mesos__V1__ExecutorInfo *info);
void agent_core_kill_task(struct agent_core *core, const Dcos__Internal__KillTask *k);
/* By whatever way its phase asks for; `policy` may be NULL. */
void agent_task_kill(
    struct agent_core *core, struct agent_task *t, const Mesos__V1__KillPolicy *policy);
void agent_core_reconcile(struct agent_core *core, const Dcos__Internal__ReconcileTasks *r);
void agent_executor_deliver(struct agent_core *core, struct agent_executor *e);
/* The same with what its container needs for it first; later when volumes are not there yet. */
void agent_executor_hand_over(struct agent_core *core, struct agent_executor *e);
/* At once, or when its volumes are there. */
void agent_executor_launch(struct agent_core *core, struct agent_executor *e);
/* Ends tasks that wait for resources which will never be there. */
void agent_executor_drop_lacking(struct agent_core *core, struct agent_executor *e);

/* ---- core_group.c: task groups ---- */
void agent_core_run_task_group(struct agent_core *core, const Dcos__Internal__RunTaskGroup *r);
/* After a restart: drops groups that were not taken as a whole. */
void agent_groups_start(struct agent_core *core, struct agent_executor *e);

/* ---- core_executor.c ---- */
void agent_executor_shutdown(struct agent_core *core, struct agent_executor *e);
/* Ends it without asking; its tasks are told so. */
void agent_executor_destroy(struct agent_core *core, struct agent_executor *e,
    Mesos__V1__TaskState state, Mesos__V1__TaskStatus__Reason reason, const char *message);
/* A task was refused for which the master counts a new executor: unless one runs and will be heard
 * of, it must not any more. */
void agent_executor_disown(
    struct agent_core *core, struct agent_framework *f, const char *executor_id);
void agent_executor_timer_fired(struct agent_core *core, struct agent_executor *e);
void agent_framework_shutdown(struct agent_core *core, struct agent_framework *f);
void agent_core_shutdown_all(struct agent_core *core);
void agent_core_check_recovered(struct agent_core *core);
void agent_core_recovery_timeout(struct agent_core *core);
void agent_executor_terminated(
    struct agent_core *core, struct agent_executor *e, const struct agent_container_exit *exit);

/* ---- core_node.c: draining and fencing ---- */
/* NULL ends draining; anything else (again) asks all tasks to end. */
void agent_core_set_drain(struct agent_core *core, const Mesos__V1__DrainConfig *config);
/* Asks what the executor has to end. */
void agent_executor_drain(struct agent_core *core, struct agent_executor *e);
/* What a status reads on an agent that drains: `status` itself, or *storage. */
const Mesos__V1__TaskStatus *agent_drain_status(const struct agent_core *core,
    const struct agent_framework *f, const Mesos__V1__TaskStatus *status,
    Mesos__V1__TaskStatus *storage);
void agent_core_restore_drain(
    struct agent_core *core, const Mesos__V1__DrainConfig *config, int64_t start_wall_us);
bool agent_labels_fence(const Mesos__V1__Labels *labels);
/* Ends what asked for fencing when the lease is over; keeps the timer. */
void agent_lease_check(struct agent_core *core);
bool agent_lease_over(const struct agent_core *core);
/* A master that counts this agent among its own was heard of. */
void agent_lease_renew(struct agent_core *core);
/* A task or executor with fencing came. */
void agent_lease_watch(struct agent_core *core);

/* ---- core_operation.c ---- */
/* core->total out of agent_info and what was restored. -EINVAL when there is no room for that. */
int agent_total_start(struct agent_core *core, const Mesos__V1__AgentInfo *info, struct error *err);
/* Reservations and volumes made later: what has to be on disk. `ret` must be empty. */
void agent_resources_checkpointed(const struct agent_core *core, struct resources *ret);
/* False, and nothing changed, when the agent lacks what is to be consumed. */
bool agent_total_convert(
    struct agent_core *core, const struct resources *consumed, const struct resources *converted);
/* Whether the agent has not got all reservations and volumes of the list; says one. */
bool agent_total_lacks(const struct agent_core *core, Mesos__V1__Resource *const *list, size_t n,
    struct buf *ret_what);
void agent_core_send_total(struct agent_core *core);
void agent_core_apply_operation(struct agent_core *core, const Dcos__Internal__ApplyOperation *a);
void agent_core_acknowledge_operation(
    struct agent_core *core, const Dcos__Internal__AcknowledgeOperation *a);
void agent_core_reconcile_operations(
    struct agent_core *core, const Dcos__Internal__ReconcileOperations *r);
/* Sends the status once it is terminal, and sets the retry. */
void agent_operation_forward(struct agent_core *core, struct agent_operation *op);
void agent_operation_retry(struct agent_core *core, struct agent_operation *op);
void agent_operation_end(struct agent_core *core, struct agent_operation *op,
    Mesos__V1__OperationState state, const char *message);
void agent_operation_free(struct agent_core *core, struct agent_operation *op);
void agent_operations_register(
    struct agent_core *core, Dcos__Internal__Register *r, struct arena *arena);
void agent_operations_forget(struct agent_core *core);
int agent_operation_restore(
    struct agent_core *core, uint64_t serial, const Mesos__V1__Operation *m, struct error *err);

/* ---- core_volume.c ---- */
/* Whether there is a place for new volumes. -EINVAL, -EEXIST. */
int agent_volumes_acceptable(
    const struct agent_core *core, const struct resources *volumes, struct error *err);
/* Notes the work that an operation makes; returns how much. */
size_t agent_volumes_change(struct agent_core *core, const struct agent_operation *op,
    Mesos__V1__Offer__Operation__Type type, const struct operation_change *change);
/* Orders what need not wait for other work. */
void agent_volumes_issue(struct agent_core *core);
/* The same after a restart. No volume that the agent has is removed. */
void agent_volumes_start(struct agent_core *core);
bool agent_executor_waits_for_volumes(
    const struct agent_core *core, const struct agent_executor *e);
void agent_volume_free(struct agent_volume *v);
/* operation may be NULL. */
int agent_volume_restore(struct agent_core *core, uint64_t serial, const Mesos__V1__Resource *r,
    enum agent_volume_work work, const uint8_t *operation, struct error *err);

/* ---- core_reconfigure.c ---- */
/* -EINVAL with what changed and what to do about it. */
int agent_info_check(const Mesos__V1__AgentInfo *old, const Mesos__V1__AgentInfo *fresh,
    bool additive, struct error *err);

/* ---- core_master.c ---- */
/* After frameworks went: is a forced leave or a forgotten id complete? */
void agent_core_check_empty(struct agent_core *core);

#endif
