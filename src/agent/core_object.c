#include "agent/core_internal.h"

#include <math.h>

/* Making, describing and freeing frameworks, executors and tasks. */

/* The command executor's own share, as in the reference. */
enum { COMMAND_EXECUTOR_KILL_EXTRA_S = 2 };

/* ---- resources ---- */

static int64_t to_milli(double v)
{
    if (isinf(v))
        return v > 0 ? -1 : 0;
    if (isnan(v) || v <= 0 || v > 1e12)
        return 0;
    return llround(v * 1000);
}

void agent_resources_sum(Mesos__V1__Resource *const *resources, size_t n, int64_t *ret_cpus_milli,
    int64_t *ret_mem_milli)
{
    int64_t cpus = 0, mem = 0;
    for (size_t i = 0; i < n; i++) {
        const Mesos__V1__Resource *r = resources[i];
        if (!r->name || !r->scalar || !r->scalar->has_value)
            continue;
        if (streq(r->name, "cpus"))
            cpus += to_milli(r->scalar->value);
        else if (streq(r->name, "mem"))
            mem += to_milli(r->scalar->value);
    }
    *ret_cpus_milli = cpus;
    *ret_mem_milli = mem;
}

/* ---- frameworks ---- */

struct agent_framework *agent_framework_get(struct agent_core *core, const char *id)
{
    return id ? map_get(&core->frameworks, id) : NULL;
}

struct agent_framework *agent_framework_add(struct agent_core *core, const char *id)
{
    struct agent_framework *f = xnew(struct agent_framework);
    agent_record_init(core, &f->record, AGENT_RECORD_FRAMEWORK);
    f->id = xstrdup(id);
    list_init(&f->completed);
    list_init(&f->node);
    map_put(&core->frameworks, f->id, f);
    return f;
}

void agent_framework_set_info(struct agent_framework *f, const Mesos__V1__FrameworkInfo *info)
{
    agent_bytes_pack(&f->info, &info->base);
    free(f->user);
    f->user = info->user ? xstrdup(info->user) : NULL;
    f->checkpoint = info->has_checkpoint && info->checkpoint;
    f->partition_aware = false;
    for (size_t i = 0; i < info->n_capabilities; i++)
        if (info->capabilities[i]->type ==
            MESOS__V1__FRAMEWORK_INFO__CAPABILITY__TYPE__PARTITION_AWARE)
            f->partition_aware = true;
}

void agent_framework_free(struct agent_framework *f)
{
    list_remove(&f->node);
    map_done(&f->executors);
    map_done(&f->tasks);
    agent_bytes_done(&f->info);
    free(f->user);
    free(f->id);
    free(f);
}

static void framework_forget_oldest_executor(struct agent_core *core, struct agent_framework *f)
{
    struct agent_executor *oldest = list_first(&f->completed, struct agent_executor, node);
    list_remove(&oldest->node);
    f->n_completed--;
    agent_executor_free(core, oldest);
}

void agent_framework_maybe_remove(struct agent_core *core, struct agent_framework *f)
{
    if (map_size(&f->executors) || map_size(&f->tasks))
        return;
    if (f->terminating) {
        /* Nobody will acknowledge what is left. */
        MAP_FOREACH (e, &core->streams) {
            struct agent_stream *s = e->value;
            if (!streq(s->framework_id, f->id))
                continue;
            agent_record_drop(core, &s->record);
            agent_stream_free(core, s);
        }
    }
    agent_record_drop(core, &f->record);
    map_remove(&core->frameworks, f->id);
    agent_core_effect(core, AGENT_FRAMEWORK_GONE)->framework_id = xstrdup(f->id);
    list_push(&core->completed_frameworks, &f->node);
    if (++core->n_completed_frameworks > AGENT_COMPLETED_FRAMEWORKS_MAX) {
        struct agent_framework *oldest = list_first(
            &core->completed_frameworks, struct agent_framework, node);
        while (oldest->n_completed)
            framework_forget_oldest_executor(core, oldest);
        agent_framework_free(oldest);
        core->n_completed_frameworks--;
    }
    agent_core_check_empty(core);
}

/* ---- executors ---- */

struct agent_executor *agent_executor_add(struct agent_core *core, struct agent_framework *f,
    const Mesos__V1__ExecutorInfo *info, const char *container_id)
{
    struct agent_executor *e = xnew(struct agent_executor);
    agent_record_init(core, &e->record, AGENT_RECORD_EXECUTOR);
    e->framework = f;
    e->id = xstrdup(info->executor_id->value);
    e->container_id = xstrdup(container_id);
    agent_bytes_pack(&e->info, &info->base);
    e->timer.kind = AGENT_TIMER_EXECUTOR;
    e->launched_wall_us = core->now.wall_us;
    e->shutdown_grace_us = core->shutdown_grace_us;
    if (info->shutdown_grace_period && info->shutdown_grace_period->has_nanoseconds &&
        info->shutdown_grace_period->nanoseconds >= 0)
        e->shutdown_grace_us = info->shutdown_grace_period->nanoseconds / NSEC_PER_USEC;
    agent_resources_sum(info->resources, info->n_resources, &e->cpus_milli, &e->mem_milli);
    e->fenced = agent_labels_fence(info->labels);
    e->pod = info->has_type && info->type == MESOS__V1__EXECUTOR_INFO__TYPE__DEFAULT;
    list_init(&e->tasks);
    list_init(&e->completed_tasks);
    list_init(&e->node);
    map_put(&f->executors, e->id, e);
    map_put(&core->containers, e->container_id, e);
    return e;
}

void agent_executor_free(struct agent_core *core, struct agent_executor *e)
{
    LIST_FOREACH_SAFE (t, &e->tasks, struct agent_task, node)
        agent_task_free(core, t);
    LIST_FOREACH_SAFE (c, &e->completed_tasks, struct agent_task, node)
        agent_task_free(core, c);
    agent_core_timer_stop(core, &e->timer);
    list_remove(&e->record.dirty);
    agent_bytes_done(&e->info);
    free(e->ending_message);
    free(e->id);
    free(e->container_id);
    free(e);
}

void agent_executor_maybe_remove(struct agent_core *core, struct agent_executor *e)
{
    if (e->state != AGENT_EXECUTOR_TERMINATED || e->n_tasks)
        return;
    struct agent_framework *f = e->framework;
    struct agent_effect *gone = agent_core_effect(core, AGENT_EXECUTOR_GONE);
    gone->framework_id = xstrdup(f->id);
    gone->executor_id = xstrdup(e->id);
    gone->container_id = xstrdup(e->container_id);
    agent_core_timer_stop(core, &e->timer);
    agent_record_drop(core, &e->record);
    map_remove(&f->executors, e->id);
    map_remove(&core->containers, e->container_id);
    list_push(&f->completed, &e->node);
    if (++f->n_completed > AGENT_COMPLETED_EXECUTORS_MAX)
        framework_forget_oldest_executor(core, f);
    agent_framework_maybe_remove(core, f);
}

void agent_executor_limits(const struct agent_executor *e, struct agent_limits *ret)
{
    struct agent_limits sum = {.cpus_milli = e->cpus_milli, .mem_milli = e->mem_milli};
    int64_t cpu_limit = e->cpus_milli, mem_limit = e->mem_milli;
    bool cpu_limited = false, mem_limited = false, cpu_free = false, mem_free = false;
    LIST_FOREACH (t, &e->tasks, struct agent_task, node) {
        if (t->phase != AGENT_TASK_QUEUED && t->phase != AGENT_TASK_LAUNCHED)
            continue;
        sum.cpus_milli += t->cpus_milli;
        sum.mem_milli += t->mem_milli;
        sum.cpus_revocable = sum.cpus_revocable || t->cpus_revocable;
        cpu_limited = cpu_limited || t->cpu_limit_milli;
        mem_limited = mem_limited || t->mem_limit_milli;
        cpu_free = cpu_free || t->cpu_limit_milli < 0;
        mem_free = mem_free || t->mem_limit_milli < 0;
        /* A task without a limit of its own counts with its request. */
        cpu_limit += t->cpu_limit_milli > 0 ? t->cpu_limit_milli : t->cpus_milli;
        mem_limit += t->mem_limit_milli > 0 ? t->mem_limit_milli : t->mem_milli;
    }
    sum.cpu_limit_milli = cpu_free ? -1 : cpu_limited ? cpu_limit : 0;
    sum.mem_limit_milli = mem_free ? -1 : mem_limited ? mem_limit : 0;
    *ret = sum;
}

/* ---- tasks ---- */

struct agent_task *agent_task_get(const struct agent_framework *f, const char *id)
{
    return f && id ? map_get(&f->tasks, id) : NULL;
}

struct agent_task *agent_task_add(struct agent_core *core, struct agent_executor *e, const char *id)
{
    struct agent_task *t = xnew(struct agent_task);
    agent_record_init(core, &t->record, AGENT_RECORD_TASK);
    t->framework = e->framework;
    t->executor = e;
    t->id = xstrdup(id);
    t->state = TASK_STATE(STAGING);
    list_init(&t->completed_node);
    list_push(&e->tasks, &t->node);
    e->n_tasks++;
    core->n_tasks++;
    map_put(&t->framework->tasks, t->id, t);
    return t;
}

void agent_task_set_info(
    struct agent_core *core, struct agent_task *t, const Mesos__V1__TaskInfo *info)
{
    agent_bytes_pack(&t->info, &info->base);
    agent_task_describe(core, t, info);
}

void agent_task_describe(
    struct agent_core *core, struct agent_task *t, const Mesos__V1__TaskInfo *info)
{
    Mesos__V1__Task task = MESOS__V1__TASK__INIT;
    Mesos__V1__FrameworkID framework_id = MESOS__V1__FRAMEWORK_ID__INIT;
    framework_id.value = t->framework->id;
    task.name = info->name;
    task.task_id = info->task_id;
    task.framework_id = &framework_id;
    if (info->executor)
        task.executor_id = info->executor->executor_id;
    task.agent_id = info->agent_id;
    task.n_resources = info->n_resources;
    task.resources = info->resources;
    task.labels = info->labels;
    task.discovery = info->discovery;
    task.container = info->container;
    task.health_check = info->health_check;
    task.kill_policy = info->kill_policy;
    task.n_limits = info->n_limits;
    /* The two messages spell the same map entry; the field has one type in each. */
    Mesos__V1__Task__LimitsEntry *entries = NULL;
    Mesos__V1__Task__LimitsEntry **pointers = NULL;
    if (info->n_limits) {
        entries = xnew_array(Mesos__V1__Task__LimitsEntry, info->n_limits);
        pointers = xnew_array(Mesos__V1__Task__LimitsEntry *, info->n_limits);
        for (size_t i = 0; i < info->n_limits; i++) {
            mesos__v1__task__limits_entry__init(&entries[i]);
            entries[i].key = info->limits[i]->key;
            entries[i].value = info->limits[i]->value;
            pointers[i] = &entries[i];
        }
        task.limits = pointers;
    }
    const Mesos__V1__CommandInfo *command = info->command    ? info->command
                                            : info->executor ? info->executor->command
                                                             : NULL;
    task.user = command && command->user ? command->user : t->framework->user;
    agent_bytes_pack(&t->task, &task.base);
    free(pointers);
    free(entries);

    agent_resources_sum(info->resources, info->n_resources, &t->cpus_milli, &t->mem_milli);
    for (size_t i = 0; i < info->n_limits; i++) {
        const Mesos__V1__TaskInfo__LimitsEntry *l = info->limits[i];
        if (!l->key || !l->value || !l->value->has_value)
            continue;
        if (streq(l->key, "cpus"))
            t->cpu_limit_milli = to_milli(l->value->value);
        else if (streq(l->key, "mem"))
            t->mem_limit_milli = to_milli(l->value->value);
    }
    t->kill_grace_us = -1;
    t->fenced = agent_labels_fence(info->labels);
    t->cpus_revocable = false;
    for (size_t i = 0; i < info->n_resources; i++)
        if (info->resources[i]->revocable && streq(info->resources[i]->name, "cpus"))
            t->cpus_revocable = true;
    if (info->kill_policy && info->kill_policy->grace_period &&
        info->kill_policy->grace_period->has_nanoseconds)
        t->kill_grace_us = MAX(
            info->kill_policy->grace_period->nanoseconds / NSEC_PER_USEC, INT64_C(0));
    /* The command executor must outlive the grace that its task was promised. */
    if (t->executor->command && t->kill_grace_us > 0)
        t->executor->shutdown_grace_us = MAX(t->executor->shutdown_grace_us,
            t->kill_grace_us + COMMAND_EXECUTOR_KILL_EXTRA_S * USEC_PER_SEC);
}

void agent_task_free(struct agent_core *core, struct agent_task *t)
{
    list_remove(&t->record.dirty);
    list_remove(&t->node);
    if (t->phase == AGENT_TASK_COMPLETED) {
        list_remove(&t->completed_node);
        core->n_completed_tasks--;
        t->executor->n_completed_tasks--;
    } else {
        core->n_tasks--;
        t->executor->n_tasks--;
    }
    agent_bytes_done(&t->task);
    agent_bytes_done(&t->info);
    agent_bytes_done(&t->status);
    agent_bytes_done(&t->kill_policy);
    free(t->id);
    free(t);
}

void agent_task_complete(struct agent_core *core, struct agent_task *t)
{
    struct agent_executor *e = t->executor;
    agent_record_drop(core, &t->record);
    map_remove(&t->framework->tasks, t->id);
    list_remove(&t->node);
    e->n_tasks--;
    core->n_tasks--;
    t->phase = AGENT_TASK_COMPLETED;
    agent_bytes_done(&t->info);
    list_push(&e->completed_tasks, &t->node);
    e->n_completed_tasks++;
    list_push(&core->completed_tasks, &t->completed_node);
    core->n_completed_tasks++;
    if (e->n_completed_tasks > AGENT_COMPLETED_EXECUTOR_TASKS_MAX)
        agent_task_free(core, list_first(&e->completed_tasks, struct agent_task, node));
    if (core->n_completed_tasks > AGENT_COMPLETED_TASKS_MAX)
        agent_task_free(
            core, list_first(&core->completed_tasks, struct agent_task, completed_node));
}
