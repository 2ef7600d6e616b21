/* Tasks, groups and executors as LAUNCH and LAUNCH_GROUP bring them. */

#include <errno.h>
#include <math.h>

#include "base/map.h"
#include "kernel/ids.h"
#include "kernel/internal.h"
#include "kernel/task.h"
#include "wire/codec.h"

/* What an executor of a group needs at least. */
enum { EXECUTOR_CPUS_MIN_MILLI = 10, EXECUTOR_MEM_MIN_MILLI = 32000, GROUP_TASKS_MAX = 10000 };

#define LIMIT_ENTRY Mesos__V1__TaskInfo__LimitsEntry

static int negative(const Mesos__V1__DurationInfo *d)
{
    return d && d->nanoseconds < 0;
}

/* ---- resources ---- */

static int validate_disk_use(const Mesos__V1__Resource *r, struct error *err)
{
    if (!r->disk)
        return 0;
    if (r->disk->persistence) {
        const Mesos__V1__Volume *volume = r->disk->volume;
        if (!volume)
            return error_set(err, -EINVAL, "Expecting 'volume' to be set for persistent volume");
        if (volume->host_path)
            return error_set(
                err, -EINVAL, "Expecting 'host_path' to be unset for persistent volume");
        struct error why = ERROR_INIT;
        int e = id_validate(r->disk->persistence->id, &why);
        return e < 0 ? error_set(err, e, "Persistence ID is invalid: %s", why.msg) : 0;
    }
    if (r->disk->volume)
        return error_set(err, -EINVAL, "Non-persistent volume not supported");
    if (!r->disk->source)
        return error_set(err, -EINVAL, "DiskInfo is set but empty");
    return 0;
}

static int validate_whole_gpus(const struct resources *r, struct error *err)
{
    if (resources_scalar(r, "gpus") % 1000 != 0)
        return error_set(err, -EINVAL, "The 'gpus' resource must be an unsigned integer");
    return 0;
}

static int validate_one_kind_each(const struct resources *r, struct error *err)
{
    RESOURCES_FOREACH(a, r)
    {
        for (const struct resource *b = r->items; b < a; b++) {
            if (streq(a->kind->name, b->kind->name) && a->kind->revocable != b->kind->revocable)
                return error_set(err, -EINVAL,
                    "Cannot use both revocable and non-revocable '%.100s' at the same time",
                    a->kind->name);
            if (a->kind->persistence_id && !a->kind->shared &&
                streq(a->kind->persistence_id, b->kind->persistence_id) &&
                streq(a->kind->role, b->kind->role))
                return error_set(
                    err, -EINVAL, "Persistence ID '%.200s' is used twice", a->kind->persistence_id);
        }
    }
    return 0;
}

/* `ret` must be empty; it is filled on success. */
static int validate_resources(
    Mesos__V1__Resource *const *list, size_t n, struct resources *ret, struct error *err)
{
    struct resources all = RESOURCES_INIT;
    int r = resources_validate(list, n, err);
    const char *role = NULL;
    for (size_t i = 0; r == 0 && i < n; i++) {
        const char *its = list[i]->allocation_info ? list[i]->allocation_info->role : NULL;
        if (!its)
            r = error_set(
                err, -EINVAL, "Resource '%.100s' is not allocated to a role", list[i]->name);
        else if (role && !streq(role, its))
            r = error_set(err, -EINVAL,
                "The resources have multiple allocation roles ('%.100s' and '%.100s') but only one "
                "is allowed",
                role, its);
        else
            r = validate_disk_use(list[i], err);
        role = its;
    }
    if (r == 0 && (r = resources_from_wire(list, n, &all, err)) == 0 &&
        (r = validate_whole_gpus(&all, err)) == 0)
        r = validate_one_kind_each(&all, err);
    if (r < 0) {
        resources_done(&all);
        return r;
    }
    resources_move(ret, &all);
    return 0;
}

/* Ports and the like that both want, volumes that both bring. */
static int validate_disjoint(
    const struct resources *task, const struct resources *executor, struct error *err)
{
    RESOURCES_FOREACH(a, task)
    {
        RESOURCES_FOREACH(b, executor)
        {
            if (!streq(a->kind->name, b->kind->name) || a->kind->type != b->kind->type)
                continue;
            bool clash = false;
            if (a->kind->type == RESOURCE_RANGES) {
                clash = ranges_overlap(a->ranges, b->ranges);
            } else if (a->kind->type == RESOURCE_SET) {
                struct resource_set *rest = set_difference(a->set, b->set);
                clash = !set_equal(rest, a->set);
                set_unref(rest);
            } else if (a->kind->persistence_id && !a->kind->shared) {
                clash = streq(a->kind->persistence_id, b->kind->persistence_id) &&
                        streq(a->kind->role, b->kind->role);
            }
            if (clash)
                return error_set(err, -EINVAL,
                    "Task and its executor use the same part of the resource '%.100s'",
                    a->kind->name);
        }
    }
    return 0;
}

/* ---- limits ---- */

static int validate_limits(const Mesos__V1__TaskInfo *task, const struct resources *resources,
    const struct task_context *ctx, struct error *err)
{
    if (task->n_limits == 0)
        return 0;
    if (!ctx->agent_has_limits)
        return error_set(err, -EINVAL, "Agent does not have the TASK_RESOURCE_LIMITS capability");
    for (size_t i = 0; i < task->n_limits; i++) {
        const LIMIT_ENTRY *limit = task->limits[i];
        const char *name = limit->key ? limit->key : "";
        if (!streq(name, "cpus") && !streq(name, "mem"))
            return error_set(err, -EINVAL, "Resource limits of '%.100s' are not supported", name);
        double value = limit->value ? limit->value->value : (double)NAN;
        int64_t request = resources_scalar(resources, name);
        if (request == 0)
            return error_set(
                err, -EINVAL, "'%s' has a limit but the task does not request any of it", name);
        if (!(value * 1000.0 >= (double)request - 0.5))
            return error_set(err, -EINVAL, "The limit of '%s' is less than the request", name);
    }
    return 0;
}

/* ---- executors ---- */

static bool is_docker(const Mesos__V1__ContainerInfo *c)
{
    return c && c->has_type && c->type == MESOS__V1__CONTAINER_INFO__TYPE__DOCKER;
}

static const char *executor_type_problem(const Mesos__V1__ExecutorInfo *e)
{
    if (!e->has_type)
        return NULL;
    switch (e->type) {
    case MESOS__V1__EXECUTOR_INFO__TYPE__DEFAULT:
        if (e->command)
            return "'ExecutorInfo.command' must not be set for 'DEFAULT' executor";
        if (e->container && e->container->type != MESOS__V1__CONTAINER_INFO__TYPE__MESOS)
            return "'ExecutorInfo.container.type' must be 'MESOS' for 'DEFAULT' executor";
        if (e->container && e->container->mesos && e->container->mesos->image)
            return "'ExecutorInfo.container.mesos.image' must not be set for 'DEFAULT' executor";
        return NULL;
    case MESOS__V1__EXECUTOR_INFO__TYPE__CUSTOM:
        return e->command ? NULL : "'ExecutorInfo.command' must be set for 'CUSTOM' executor";
    default:
        return "Unknown executor type";
    }
}

static int validate_executor(const Mesos__V1__ExecutorInfo *e, const struct task_context *ctx,
    struct resources *ret, struct error *err)
{
    const char *why = executor_type_problem(e);
    if (why)
        return error_set(err, -EINVAL, "%s", why);
    const char *id = e->executor_id ? e->executor_id->value : NULL;
    int r = id_validate(id, err);
    if (r < 0)
        return error_prefix(err, r, "Executor ID '%.255s' is invalid", id ? id : "");
    if (negative(e->shutdown_grace_period))
        return error_set(
            err, -EINVAL, "ExecutorInfo's 'shutdown_grace_period' must be non-negative");
    if ((e->command && (r = command_validate(e->command, err)) < 0) ||
        (e->container && (r = container_validate(e->container, err)) < 0))
        return error_prefix(err, r, "Executor's");
    const char *framework = e->framework_id ? e->framework_id->value : NULL;
    if (!streq(framework, ctx->framework_id))
        return error_set(err, -EINVAL,
            "ExecutorInfo has an invalid FrameworkID (actual '%.255s', expected '%.255s')",
            framework ? framework : "", ctx->framework_id ? ctx->framework_id : "");
    if ((r = validate_resources(e->resources, e->n_resources, ret, err)) < 0)
        return error_prefix(err, r, "Executor uses invalid resources");
    return 0;
}

int executor_validate(
    const Mesos__V1__ExecutorInfo *executor, const struct task_context *ctx, struct error *err)
{
    struct resources r = RESOURCES_INIT;
    int e = validate_executor(executor, ctx, &r, err);
    resources_done(&r);
    return e;
}

/* What LAUNCH wants of an executor beyond that. */
static const char *launch_executor_problem(
    const Mesos__V1__ExecutorInfo *e, const struct resources *r)
{
    if (e->has_type && e->type != MESOS__V1__EXECUTOR_INFO__TYPE__CUSTOM)
        return "'ExecutorInfo.type' must be 'CUSTOM' or unset outside of task groups";
    if (!e->command)
        return "'ExecutorInfo.command' must be set";
    RESOURCES_FOREACH(x, r)
    if (x->kind->shared)
        return "Executors must not use shared resources";
    const Mesos__V1__LinuxInfo *linux_info = e->container ? e->container->linux_info : NULL;
    if (linux_info && linux_info->has_share_cgroups && linux_info->share_cgroups)
        return "'ExecutorInfo.container.linux_info.share_cgroups' must not be true";
    return NULL;
}

/* ---- tasks ---- */

static bool shares_cgroups(const Mesos__V1__TaskInfo *task)
{
    const Mesos__V1__LinuxInfo *info = task->container ? task->container->linux_info : NULL;
    return !info || !info->has_share_cgroups || info->share_cgroups;
}

/* The rows that single tasks and tasks of groups share. */
static int validate_common(const Mesos__V1__TaskInfo *task, const struct task_context *ctx,
    struct resources *ret, struct error *err)
{
    const char *id = task->task_id ? task->task_id->value : NULL;
    const char *agent = task->agent_id ? task->agent_id->value : NULL;
    int r = id_validate(id, err);
    if (r < 0)
        return error_prefix(err, r, "Task ID '%.255s' is invalid", id ? id : "");
    if (ctx->agent_id && !streq(agent, ctx->agent_id))
        return error_set(err, -EINVAL,
            "Task uses invalid agent '%.255s' while '%.255s' is expected", agent ? agent : "",
            ctx->agent_id);
    if (task->kill_policy && (r = kill_policy_validate(task->kill_policy, err)) < 0)
        return r;
    if (negative(task->max_completion_time))
        return error_set(err, -EINVAL, "Task's 'max_completion_time' must be non-negative");
    if (task->check && (r = check_validate(task->check, err)) < 0)
        return error_prefix(err, r, "Task uses invalid check");
    if (task->health_check && (r = health_check_validate(task->health_check, err)) < 0)
        return error_prefix(err, r, "Task uses invalid health check");
    if (task->n_resources == 0)
        return error_set(err, -EINVAL, "Task uses no resources");
    struct resources all = RESOURCES_INIT;
    if ((r = validate_resources(task->resources, task->n_resources, &all, err)) < 0)
        return error_prefix(err, r, "Task uses invalid resources");
    if (task->command && (r = command_validate(task->command, err)) < 0)
        r = error_prefix(err, r, "Task's command is invalid");
    else if (task->container && (r = container_validate(task->container, err)) < 0)
        r = error_prefix(err, r, "Task's container is invalid");
    else
        r = validate_limits(task, &all, ctx, err);
    if (r < 0)
        resources_done(&all);
    else
        resources_move(ret, &all);
    return r;
}

int task_validate(
    const Mesos__V1__TaskInfo *task, const struct task_context *ctx, struct error *err)
{
    struct resources own = RESOURCES_INIT, executors = RESOURCES_INIT;
    const Mesos__V1__ExecutorInfo *executor = task->executor;
    int r = validate_common(task, ctx, &own, err);
    if (r == 0 && (executor != NULL) == (task->command != NULL))
        r = error_set(
            err, -EINVAL, "Task should have exactly one of CommandInfo and ExecutorInfo present");
    if (r == 0 && executor && (r = validate_executor(executor, ctx, &executors, err)) == 0) {
        const char *why = launch_executor_problem(executor, &executors);
        if (why)
            r = error_set(err, -EINVAL, "%s", why);
        else
            r = validate_disjoint(&own, &executors, err);
    }
    if (r == 0 && !shares_cgroups(task))
        r = error_set(
            err, -EINVAL, "Only tasks in a task group may have 'share_cgroups' set to 'false'");
    resources_done(&own);
    resources_done(&executors);
    return r;
}

/* ---- groups ---- */

static int validate_group_task(const Mesos__V1__TaskInfo *task,
    const Mesos__V1__ExecutorInfo *executor, const struct task_context *ctx, struct resources *ret,
    struct error *err)
{
    int r = validate_common(task, ctx, ret, err);
    if (r < 0)
        return r;
    if (task->executor && !wire_equal(&task->executor->base, &executor->base))
        return error_set(
            err, -EINVAL, "The 'ExecutorInfo' of a task in the group is not the group's");
    if (is_docker(task->container))
        return error_set(err, -EINVAL, "Docker ContainerInfo is not supported on the task");
    if (task->health_check && task->container && task->container->n_network_infos > 0 &&
        task->health_check->type != MESOS__V1__HEALTH_CHECK__TYPE__COMMAND)
        return error_set(err, -EINVAL,
            "HTTP and TCP health checks are not supported for a task with its own networks");
    if (task->n_limits > 0 && shares_cgroups(task))
        return error_set(err, -EINVAL,
            "Resource limits may only be set for tasks with 'share_cgroups' set to 'false'");
    return 0;
}

static const char *group_executor_problem(
    const Mesos__V1__ExecutorInfo *e, const struct resources *r)
{
    if (!e->has_type || e->type == MESOS__V1__EXECUTOR_INFO__TYPE__UNKNOWN)
        return "'ExecutorInfo.type' must be set";
    if (is_docker(e->container))
        return "Docker ContainerInfo is not supported on the executor";
    if (resources_scalar(r, "cpus") < EXECUTOR_CPUS_MIN_MILLI)
        return "Executor must use at least 0.01 cpus";
    if (resources_scalar(r, "mem") < EXECUTOR_MEM_MIN_MILLI)
        return "Executor must use at least 32 MB of mem";
    if (resources_scalar(r, "disk") == 0)
        return "Executor must use some disk";
    return NULL;
}

int task_group_validate(const Mesos__V1__TaskGroupInfo *group,
    const Mesos__V1__ExecutorInfo *executor, const struct task_context *ctx, struct error *err)
{
    if (group->n_tasks == 0)
        return error_set(err, -EINVAL, "Task group must not be empty");
    if (group->n_tasks > GROUP_TASKS_MAX)
        return error_set(err, -EINVAL, "Task group has more than %d tasks", GROUP_TASKS_MAX);
    struct resources executors = RESOURCES_INIT;
    struct map ids = MAP_INIT;
    int r = 0;
    for (size_t i = 0; r == 0 && i < group->n_tasks; i++) {
        const Mesos__V1__TaskInfo *task = group->tasks[i];
        struct resources own = RESOURCES_INIT;
        const char *id = task->task_id && task->task_id->value ? task->task_id->value : "";
        r = validate_group_task(task, executor, ctx, &own, err);
        if (r == 0 && map_put(&ids, id, (void *)(uintptr_t)task))
            r = error_set(err, -EINVAL, "Two tasks of the group have the same ID");
        if (r == 0 && shares_cgroups(task) != shares_cgroups(group->tasks[0]))
            r = error_set(err, -EINVAL,
                "All tasks of an executor must have the same value of 'share_cgroups'");
        if (r < 0)
            r = error_prefix(err, r, "Task '%.255s' is invalid", id);
        resources_done(&own);
    }
    map_done(&ids);
    if (r == 0 && (r = validate_executor(executor, ctx, &executors, err)) == 0) {
        const char *why = group_executor_problem(executor, &executors);
        if (why)
            r = error_set(err, -EINVAL, "%s", why);
    }
    resources_done(&executors);
    return r;
}

void task_infer_health_check_type(Mesos__V1__TaskInfo *task)
{
    Mesos__V1__HealthCheck *c = task->health_check;
    if (!c || c->has_type || (c->command != NULL) == (c->http != NULL))
        return;
    c->has_type = true;
    c->type = c->command ? MESOS__V1__HEALTH_CHECK__TYPE__COMMAND
                         : MESOS__V1__HEALTH_CHECK__TYPE__HTTP;
}
