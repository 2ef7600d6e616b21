/*
 * Control groups of single tasks of a pod, for those with share_cgroups = false: folders
 * mesos/<nested id> below the executor's own, in each hierarchy. The executor makes them, because
 * it lives as long as they are needed; what it leaves goes with the container's.
 *
 * On hosts with nothing but v2 the executor's own group holds processes and can therefore not hand
 * controllers down: the pod's limits hold there, those of single tasks do not.
 */

#include "executor/executor.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "containerizer/cgroup.h"

#define GROUPS_ROOT "mesos"
/* The task's processes are gone; the kernel may need a moment to let go of the folder. */
#define REMOVE_PATIENCE_US (200 * 1000)

struct pod_groups {
    struct cgroup_fs fs;
    bool usable;
};

static struct pod_groups *groups_of(struct executor *ex)
{
    if (ex->groups)
        return ex->groups;
    ex->groups = xnew(struct pod_groups);
    struct error err = ERROR_INIT;
    if (!ex->o.cgroups)
        return ex->groups;
    if (cgroup_fs_probe(GROUPS_ROOT, &ex->groups->fs, &err) < 0) {
        log_warn("tasks get no control groups of their own: %s", err.msg);
        ex->groups->fs = (struct cgroup_fs){0};
    } else if (ex->groups->fs.unified_only) {
        log_warn("tasks get no control groups of their own: this host has v2 only");
    } else {
        ex->groups->usable = true;
    }
    return ex->groups;
}

static int64_t milli(double v)
{
    return isinf(v) ? -1 : isnan(v) || v <= 0 || v > 1e12 ? 0 : llround(v * 1000);
}

static int64_t mem_bytes(int64_t mb_milli)
{
    return mb_milli > 0 ? mb_milli * (1024 * 1024) / 1000 : mb_milli;
}

static struct container_limits limits_of(const TaskInfo *info)
{
    int64_t mem = 0, mem_limit = 0;
    struct container_limits l = {0};
    for (size_t i = 0; i < info->n_resources; i++) {
        const Mesos__V1__Resource *r = info->resources[i];
        if (!r->name || !r->scalar || !r->scalar->has_value)
            continue;
        if (streq(r->name, "cpus")) {
            l.cpus_milli += milli(r->scalar->value);
            l.cpus_revocable = l.cpus_revocable || r->revocable;
        } else if (streq(r->name, "mem")) {
            mem += milli(r->scalar->value);
        }
    }
    for (size_t i = 0; i < info->n_limits; i++) {
        const Mesos__V1__TaskInfo__LimitsEntry *e = info->limits[i];
        if (!e->key || !e->value || !e->value->has_value)
            continue;
        if (streq(e->key, "cpus"))
            l.cpu_limit_milli = milli(e->value->value);
        else if (streq(e->key, "mem"))
            mem_limit = milli(e->value->value);
    }
    l.mem_bytes = mem_bytes(mem);
    l.mem_limit_bytes = mem_bytes(mem_limit);
    return l;
}

int pod_groups_make(struct task *t, struct error *err)
{
    const Mesos__V1__LinuxInfo *linux_info = t->info->container ? t->info->container->linux_info
                                                                : NULL;
    if (!linux_info || !linux_info->has_share_cgroups || linux_info->share_cgroups)
        return 0;
    struct pod_groups *g = groups_of(t->ex);
    if (!g->usable)
        return 0;
    struct container_limits limits = limits_of(t->info);
    const char *id = t->container_id->value;
    int r = cgroup_create(&g->fs, id, err);
    if (r == 0) {
        t->own_groups = true;
        r = cgroup_set_limits(&g->fs, id, &limits, t->ex->o.cpu_quota, true, err);
    }
    return r < 0 ? error_prefix(err, r, "cannot make the control groups of the task") : 0;
}

int pod_groups_join(struct task *t, pid_t pid, struct error *err)
{
    if (!t->own_groups)
        return 0;
    char *dirs[CGROUP_CONTROLLERS + 1], text[16];
    size_t n = cgroup_dirs(&t->ex->groups->fs, t->container_id->value, dirs);
    snprintf(text, sizeof text, "%d", (int)pid);
    int r = 0;
    for (size_t i = 0; i < n; i++) {
        _cleanup_free_ char *path = path_join(dirs[i], "cgroup.procs");
        if (r == 0)
            r = file_write_string(path, text, err);
        free(dirs[i]);
    }
    return r;
}

void pod_groups_remove(struct task *t)
{
    if (!t->own_groups)
        return;
    t->own_groups = false;
    int r = cgroup_end(
        &t->ex->groups->fs, t->container_id->value, clock_monotonic_us() + REMOVE_PATIENCE_US);
    if (r < 0)
        log_warn("cannot remove the control groups of task %s now: %s", t->info->task_id->value,
            errno_text(r));
}

int64_t pod_groups_oom_kills(const struct task *t)
{
    return cgroup_oom_kills(&t->ex->groups->fs, t->container_id->value);
}

int64_t pod_groups_mem_limit(const struct task *t)
{
    return cgroup_mem_limit(&t->ex->groups->fs, t->container_id->value);
}

void pod_groups_free(struct executor *ex)
{
    if (!ex->groups)
        return;
    cgroup_fs_done(&ex->groups->fs);
    free(TAKE_PTR(ex->groups));
}
