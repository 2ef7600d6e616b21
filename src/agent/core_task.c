#include "agent/core_internal.h"

#include <inttypes.h>

/* Launching, killing and reconciling tasks on the master's word. */

/* What the command executor gets on top of its task, as in the reference. */
#define COMMAND_EXECUTOR_CPUS 0.1
#define COMMAND_EXECUTOR_MEM_MB 32.0
enum { COMMAND_EXECUTOR_NAME_MAX = 15 };

static void refuse(struct agent_core *core, struct agent_framework *f,
    const Dcos__Internal__RunTask *r, const char *executor_id, Mesos__V1__TaskState state,
    Mesos__V1__TaskStatus__Reason reason, const char *message)
{
    struct agent_core_status s = {
        .framework_id = f->id,
        .task_id = r->task->task_id->value,
        .executor_id = executor_id,
        .state = state,
        .reason = reason,
        .message = message,
    };
    agent_core_agent_update(core, &s);
    if (r->launch_executor)
        agent_executor_disown(core, f, executor_id);
    agent_framework_maybe_remove(core, f);
}

static Mesos__V1__Resource *scalar_resource(
    struct arena *arena, const char *name, double value, const Mesos__V1__TaskInfo *task)
{
    Mesos__V1__Resource *r = arena_new(arena, Mesos__V1__Resource);
    mesos__v1__resource__init(r);
    r->name = arena_strdup(arena, name);
    r->has_type = true;
    r->type = MESOS__V1__VALUE__TYPE__SCALAR;
    r->scalar = arena_new(arena, Mesos__V1__Value__Scalar);
    mesos__v1__value__scalar__init(r->scalar);
    r->scalar->has_value = true;
    r->scalar->value = value;
    /* Charged to the role that the task runs in. */
    for (size_t i = 0; i < task->n_resources && !r->allocation_info; i++)
        r->allocation_info = task->resources[i]->allocation_info;
    return r;
}

/* ExecutorInfo of the executor that runs one command task. */
static Mesos__V1__ExecutorInfo *command_executor_info(struct agent_core *core, struct arena *arena,
    const struct agent_framework *f, const Mesos__V1__TaskInfo *task)
{
    Mesos__V1__ExecutorInfo *info = arena_new(arena, Mesos__V1__ExecutorInfo);
    mesos__v1__executor_info__init(info);
    info->executor_id = arena_new(arena, Mesos__V1__ExecutorID);
    mesos__v1__executor_id__init(info->executor_id);
    info->executor_id->value = task->task_id->value;
    info->framework_id = arena_new(arena, Mesos__V1__FrameworkID);
    mesos__v1__framework_id__init(info->framework_id);
    info->framework_id->value = f->id;
    const char *text = task->command->value ? task->command->value : "";
    info->name = arena_printf(arena, "Command Executor (Task: %s) (Command: %s%.*s%s)",
        task->task_id->value, !task->command->has_shell || task->command->shell ? "sh -c '" : "",
        COMMAND_EXECUTOR_NAME_MAX, text,
        strlen(text) > COMMAND_EXECUTOR_NAME_MAX
            ? "..."
            : (!task->command->has_shell || task->command->shell ? "'" : ""));
    info->source = task->task_id->value;
    Mesos__V1__CommandInfo *command = arena_new(arena, Mesos__V1__CommandInfo);
    mesos__v1__command_info__init(command);
    command->has_shell = true;
    command->shell = false;
    command->value = core->executor_program;
    command->arguments = arena_new_array(arena, char *, 1);
    command->arguments[0] = core->executor_program;
    command->n_arguments = 1;
    command->user = task->command->user;
    command->uris = task->command->uris;
    command->n_uris = task->command->n_uris;
    info->command = command;
    info->container = task->container;
    info->discovery = task->discovery;
    info->labels = task->labels;
    info->n_resources = 2;
    info->resources = arena_new_array(arena, Mesos__V1__Resource *, 2);
    info->resources[0] = scalar_resource(arena, "cpus", COMMAND_EXECUTOR_CPUS, task);
    info->resources[1] = scalar_resource(arena, "mem", COMMAND_EXECUTOR_MEM_MB, task);
    return info;
}

static const char *volume_fault(const Mesos__V1__Volume *v, bool nested)
{
    const Mesos__V1__Volume__Source *s = v->source;
    if (v->image)
        return "This agent does not mount images as volumes";
    if (!s)
        return NULL;
    if (s->host_path) {
        if (!s->host_path->path || s->host_path->path[0] != '/')
            return "The path of a HOST_PATH volume must be absolute";
        if (s->host_path->mount_propagation &&
            s->host_path->mount_propagation->mode ==
                MESOS__V1__MOUNT_PROPAGATION__MODE__BIDIRECTIONAL)
            return "This agent does not propagate mounts out of containers";
        return NULL;
    }
    if (!s->sandbox_path)
        return "This agent mounts volumes of type HOST_PATH and SANDBOX_PATH only";
    if (!nested && s->sandbox_path->type == MESOS__V1__VOLUME__SOURCE__SANDBOX_PATH__TYPE__PARENT)
        return "A SANDBOX_PATH volume of type PARENT needs a parent container";
    if (!s->sandbox_path->path || s->sandbox_path->path[0] == '/')
        return "The path of a SANDBOX_PATH volume must be relative";
    return NULL;
}

const char *agent_container_fault(const Mesos__V1__ContainerInfo *container, bool nested)
{
    if (container && container->type == MESOS__V1__CONTAINER_INFO__TYPE__DOCKER)
        return "This agent has no Docker containerizer";
    if (container && container->mesos && container->mesos->image)
        return "This agent does not run container images";
    for (size_t i = 0; container && i < container->n_volumes; i++) {
        const char *fault = volume_fault(container->volumes[i], nested);
        if (fault)
            return fault;
    }
    return NULL;
}

const char *agent_task_size_fault(const struct agent_core *core, const Mesos__V1__TaskInfo *task)
{
    size_t size = protobuf_c_message_get_packed_size(&task->base);
    /* It is kept twice: as description and as the task that the master is told of. */
    if (size > AGENT_RECORD_MAX / 2)
        return "The task's description is too large for this agent";
    if (core->n_tasks >= AGENT_TASKS_MAX)
        return "This agent has too many tasks";
    return NULL;
}

/* The reason a description cannot run here at all, or NULL. */
static const char *description_fault(struct agent_core *core, const Mesos__V1__TaskInfo *task)
{
    if (task->executor) {
        if (!task->executor->executor_id || !task->executor->executor_id->value)
            return "The task's executor has no executor_id";
        if (!task->executor->command)
            return "The task's executor has no command";
    } else if (!task->command) {
        return "The task has neither a command nor an executor";
    }
    const char *fault = agent_task_size_fault(core, task);
    const Mesos__V1__ContainerInfo *container = task->container  ? task->container
                                                : task->executor ? task->executor->container
                                                                 : NULL;
    return fault ? fault : agent_container_fault(container, false);
}

struct agent_executor *agent_executor_make(
    struct agent_core *core, struct agent_framework *f, const Mesos__V1__ExecutorInfo *given)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__ExecutorInfo *info = (Mesos__V1__ExecutorInfo *)wire_clone(&given->base, &arena);
    if (!info->framework_id) {
        info->framework_id = arena_new(&arena, Mesos__V1__FrameworkID);
        mesos__v1__framework_id__init(info->framework_id);
    }
    info->framework_id->value = f->id;
    uint8_t uuid[AGENT_UUID_SIZE];
    char container_id[UUID_TEXT_SIZE];
    agent_core_uuid(core, uuid);
    uuid_format(uuid, container_id);
    struct agent_executor *e = agent_executor_add(core, f, info, container_id);
    agent_record_dirty(core, &e->record);
    return e;
}

void agent_core_run_task(struct agent_core *core, const Dcos__Internal__RunTask *r)
{
    const Mesos__V1__TaskInfo *task = r->task;
    if (!r->framework || !r->framework->id || !r->framework->id->value || !task || !task->task_id ||
        !task->task_id->value)
        return;
    struct agent_framework *f = agent_framework_get(core, r->framework->id->value);
    if (f && f->terminating)
        return; /* its tasks are being killed: the framework is gone */
    if (agent_task_get(f, task->task_id->value))
        return; /* sent twice */
    if (!f)
        f = agent_framework_add(core, r->framework->id->value);
    agent_framework_set_info(f, r->framework);
    agent_record_dirty(core, &f->record);

    bool custom = task->executor != NULL;
    const char *executor_id = custom && task->executor->executor_id
                                  ? task->executor->executor_id->value
                                  : task->task_id->value;
    if (core->forgetting || core->leaving) {
        refuse(core, f, r, executor_id, agent_core_lost_or(f, TASK_STATE(DROPPED)),
            STATUS_REASON(AGENT_REMOVED), "The agent is leaving the cluster");
        return;
    }
    if (core->draining) {
        refuse(core, f, r, executor_id, agent_core_lost_or(f, TASK_STATE(DROPPED)),
            STATUS_REASON(AGENT_DRAINING), "The agent is draining");
        return;
    }
    const char *fault = description_fault(core, task);
    if (fault) {
        refuse(core, f, r, custom ? executor_id : NULL, TASK_STATE(ERROR),
            STATUS_REASON(TASK_INVALID), fault);
        return;
    }
    _cleanup_buf_ struct buf lacking = BUF_INIT;
    if (agent_total_lacks(core, task->resources, task->n_resources, &lacking) ||
        (custom && agent_total_lacks(
                       core, task->executor->resources, task->executor->n_resources, &lacking))) {
        _cleanup_free_ char *message = xasprintf("The agent does not have %s", buf_cstr(&lacking));
        refuse(core, f, r, executor_id, agent_core_lost_or(f, TASK_STATE(DROPPED)),
            STATUS_REASON(RESOURCES_UNKNOWN), message);
        return;
    }
    struct agent_executor *e = map_get(&f->executors, executor_id);
    if (e && (!custom || agent_executor_ours(e))) {
        refuse(core, f, r, executor_id, agent_core_lost_or(f, TASK_STATE(DROPPED)),
            STATUS_REASON(TASK_INVALID), "An executor with the task's id exists already");
        return;
    }
    if (e && e->state >= AGENT_EXECUTOR_TERMINATING) {
        refuse(core, f, r, executor_id, agent_core_lost_or(f, TASK_STATE(DROPPED)),
            STATUS_REASON(EXECUTOR_TERMINATED), "The task's executor is terminating");
        return;
    }
    if (!e && custom && r->has_launch_executor && !r->launch_executor) {
        /* It ended when the task was on its way; the master hears of that in its turn. */
        refuse(core, f, r, executor_id, agent_core_lost_or(f, TASK_STATE(DROPPED)),
            STATUS_REASON(EXECUTOR_TERMINATED), "The task's executor has ended");
        return;
    }
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    bool fresh = !e;
    if (fresh) {
        const Mesos__V1__ExecutorInfo *info = task->executor;
        if (!custom)
            info = command_executor_info(core, &arena, f, task);
        e = agent_executor_make(core, f, info);
        e->command = !custom;
    }
    struct agent_task *t = agent_task_add(core, e, task->task_id->value);
    agent_task_set_info(core, t, task);
    agent_record_dirty(core, &t->record);
    if (e->fenced || t->fenced)
        agent_lease_watch(core);
    if (fresh) {
        agent_executor_launch(core, e);
    } else {
        agent_executor_hand_over(core, e);
    }
}

void agent_executor_hand_over(struct agent_core *core, struct agent_executor *e)
{
    if (e->state == AGENT_EXECUTOR_RUNNING) {
        e->held = agent_executor_waits_for_volumes(core, e);
        if (e->held)
            return;
    }
    agent_core_effect(core, AGENT_UPDATE_CONTAINER)->container_id = xstrdup(e->container_id);
    agent_executor_deliver(core, e);
}

void agent_executor_launch(struct agent_core *core, struct agent_executor *e)
{
    e->held = agent_executor_waits_for_volumes(core, e);
    if (e->held)
        return;
    struct agent_effect *launch = agent_core_effect(core, AGENT_LAUNCH);
    launch->framework_id = xstrdup(e->framework->id);
    launch->executor_id = xstrdup(e->id);
    launch->container_id = xstrdup(e->container_id);
}

/* What was handed over, in whatever event. */
static void mark_delivered(struct agent_core *core, struct agent_task *t)
{
    struct agent_executor *e = t->executor;
    t->phase = AGENT_TASK_LAUNCHED;
    agent_record_dirty(core, &t->record);
    if (!e->delivered) {
        e->delivered = true;
        agent_record_dirty(core, &e->record);
    }
}

static void deliver_task(struct agent_core *core, struct agent_task *t)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *info;
    if (wire_unpack(&mesos__v1__task_info__descriptor, &arena, t->info.p, t->info.n, &info, NULL) <
        0)
        return;
    Mesos__V1__Executor__Event__Launch launch = MESOS__V1__EXECUTOR__EVENT__LAUNCH__INIT;
    launch.task = (Mesos__V1__TaskInfo *)info;
    Mesos__V1__Executor__Event event = MESOS__V1__EXECUTOR__EVENT__INIT;
    event.type = MESOS__V1__EXECUTOR__EVENT__TYPE__LAUNCH;
    event.launch = &launch;
    agent_core_to_executor(core, t->executor, &event);
    mark_delivered(core, t);
}

/* All of the group, which waits as a whole, in one event. */
static void deliver_group(struct agent_core *core, struct agent_executor *e, uint64_t group)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__TaskGroupInfo info = MESOS__V1__TASK_GROUP_INFO__INIT;
    info.tasks = arena_new_array(&arena, Mesos__V1__TaskInfo *, e->n_tasks);
    LIST_FOREACH (t, &e->tasks, struct agent_task, node) {
        ProtobufCMessage *m;
        if (t->group != group || t->phase != AGENT_TASK_QUEUED ||
            wire_unpack(&mesos__v1__task_info__descriptor, &arena, t->info.p, t->info.n, &m, NULL) <
                0)
            continue;
        info.tasks[info.n_tasks++] = (Mesos__V1__TaskInfo *)m;
    }
    Mesos__V1__Executor__Event__LaunchGroup launch = MESOS__V1__EXECUTOR__EVENT__LAUNCH_GROUP__INIT;
    launch.task_group = &info;
    Mesos__V1__Executor__Event event = MESOS__V1__EXECUTOR__EVENT__INIT;
    event.type = MESOS__V1__EXECUTOR__EVENT__TYPE__LAUNCH_GROUP;
    event.launch_group = &launch;
    agent_core_to_executor(core, e, &event);
    LIST_FOREACH (t, &e->tasks, struct agent_task, node)
        if (t->group == group && t->phase == AGENT_TASK_QUEUED)
            mark_delivered(core, t);
}

/* Hands the executor what waits for it. */
void agent_executor_deliver(struct agent_core *core, struct agent_executor *e)
{
    if (e->state != AGENT_EXECUTOR_RUNNING || !e->connected)
        return;
    LIST_FOREACH (t, &e->tasks, struct agent_task, node) {
        if (t->phase != AGENT_TASK_QUEUED)
            continue;
        if (t->group)
            deliver_group(core, e, t->group);
        else
            deliver_task(core, t);
    }
}

/* ---- kill ---- */

static bool executor_idle(const struct agent_executor *e)
{
    LIST_FOREACH (t, &e->tasks, struct agent_task, node)
        if (t->phase == AGENT_TASK_QUEUED || t->phase == AGENT_TASK_LAUNCHED)
            return false;
    return true;
}

/* A task that was not handed over yet, and its group with it. */
static void end_queued(struct agent_core *core, struct agent_task *t, Mesos__V1__TaskState state,
    Mesos__V1__TaskStatus__Reason reason, const char *message)
{
    struct agent_executor *e = t->executor;
    struct agent_core_status s = {
        .framework_id = t->framework->id,
        .executor_id = e->id,
        .state = state,
        .reason = reason,
        .message = message,
    };
    uint64_t group = t->group;
    LIST_FOREACH (other, &e->tasks, struct agent_task, node) {
        if (other != t && (!group || other->group != group))
            continue;
        s.task_id = other->id;
        agent_core_agent_update(core, &s);
    }
    /* Started for this task only: nobody will need it. */
    if (!e->delivered && executor_idle(e))
        agent_executor_shutdown(core, e);
}

static bool queued_lacks(struct agent_core *core, const struct agent_task *t, struct buf *ret_what)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m;
    if (wire_unpack(&mesos__v1__task_info__descriptor, &arena, t->info.p, t->info.n, &m, NULL) < 0)
        return false;
    const Mesos__V1__TaskInfo *info = (const Mesos__V1__TaskInfo *)m;
    return agent_total_lacks(core, info->resources, info->n_resources, ret_what) ||
           (info->executor && agent_total_lacks(core, info->executor->resources,
                                  info->executor->n_resources, ret_what));
}

void agent_executor_drop_lacking(struct agent_core *core, struct agent_executor *e)
{
    LIST_FOREACH (t, &e->tasks, struct agent_task, node) {
        _cleanup_buf_ struct buf what = BUF_INIT;
        if (t->phase != AGENT_TASK_QUEUED || !queued_lacks(core, t, &what))
            continue;
        _cleanup_free_ char *message = xasprintf("The agent does not have %s", buf_cstr(&what));
        end_queued(core, t, agent_core_lost_or(e->framework, TASK_STATE(DROPPED)),
            STATUS_REASON(RESOURCES_UNKNOWN), message);
    }
}

void agent_core_kill_task(struct agent_core *core, const Dcos__Internal__KillTask *k)
{
    if (!k->framework_id || !k->task_id || !k->task_id->value)
        return;
    struct agent_framework *f = agent_framework_get(core, k->framework_id->value);
    if (!f)
        return;
    struct agent_task *t = agent_task_get(f, k->task_id->value);
    if (!t) {
        if (agent_core_stream(core, f->id, k->task_id->value))
            return; /* its end is on the way already */
        struct agent_core_status s = {
            .framework_id = f->id,
            .task_id = k->task_id->value,
            .state = agent_core_lost_or(f, TASK_STATE(DROPPED)),
            .reason = STATUS_REASON(EXECUTOR_TERMINATED),
            .message = "No executor on this agent knows the task",
        };
        agent_core_agent_update(core, &s);
        return;
    }
    agent_task_kill(core, t, k->kill_policy);
}

void agent_task_kill(
    struct agent_core *core, struct agent_task *t, const Mesos__V1__KillPolicy *policy)
{
    struct agent_executor *e = t->executor;
    if (t->phase == AGENT_TASK_TERMINATED || e->state >= AGENT_EXECUTOR_TERMINATING)
        return;
    if (t->phase == AGENT_TASK_QUEUED) {
        end_queued(core, t, TASK_STATE(KILLED), STATUS_REASON(TASK_KILLED_DURING_LAUNCH),
            t->group ? "A task of its group was killed before they were delivered to the executor"
                     : "Killed before it was delivered to the executor");
        return;
    }
    if (!e->connected) {
        t->kill_pending = true;
        if (policy)
            agent_bytes_pack(&t->kill_policy, &policy->base);
        agent_record_dirty(core, &t->record);
        return;
    }
    Mesos__V1__Executor__Event__Kill kill = MESOS__V1__EXECUTOR__EVENT__KILL__INIT;
    Mesos__V1__TaskID task_id = MESOS__V1__TASK_ID__INIT;
    task_id.value = t->id;
    kill.task_id = &task_id;
    kill.kill_policy = (Mesos__V1__KillPolicy *)(uintptr_t)policy;
    Mesos__V1__Executor__Event event = MESOS__V1__EXECUTOR__EVENT__INIT;
    event.type = MESOS__V1__EXECUTOR__EVENT__TYPE__KILL;
    event.kill = &kill;
    agent_core_to_executor(core, e, &event);
}

/* ---- reconciliation ---- */

void agent_core_reconcile(struct agent_core *core, const Dcos__Internal__ReconcileTasks *r)
{
    if (!r->framework || !r->framework->id || !r->framework->id->value)
        return;
    struct agent_framework *f = agent_framework_get(core, r->framework->id->value);
    if (f && f->terminating)
        return;
    bool fresh = !f;
    if (fresh)
        f = agent_framework_add(core, r->framework->id->value);
    agent_framework_set_info(f, r->framework);
    agent_record_dirty(core, &f->record);
    for (size_t i = 0; i < r->n_statuses; i++) {
        const Mesos__V1__TaskStatus *status = r->statuses[i];
        if (!status->task_id || !status->task_id->value ||
            agent_task_get(f, status->task_id->value) ||
            agent_core_stream(core, f->id, status->task_id->value))
            continue;
        struct agent_core_status s = {
            .framework_id = f->id,
            .task_id = status->task_id->value,
            .executor_id = status->executor_id ? status->executor_id->value : NULL,
            .state = agent_core_lost_or(f, TASK_STATE(DROPPED)),
            .reason = STATUS_REASON(RECONCILIATION),
            .message = "The agent does not know the task",
        };
        agent_core_agent_update(core, &s);
    }
    if (fresh)
        agent_framework_maybe_remove(core, f);
}
