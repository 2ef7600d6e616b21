/*
 * Nested containers on disk: <sandbox>/containers/<nested id>, named by <sandbox>/tasks/<task id>.
 * The pod's sandbox belongs to the agent's user, so no task can put anything in the way there;
 * what is below a nested folder is the task's and is never followed.
 */

#include "executor/executor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/vec.h"

enum { NESTED_MODE = 0750, SHARED_FOLDER_MODE = 0755, OUTPUT_MODE = 0644, LINK_MAX_LEN = 4096 };

static int folder(int dir, const char *name, mode_t mode, bool fresh)
{
    if (mkdirat(dir, name, mode) < 0 && (fresh || errno != EEXIST))
        return -errno;
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int output(const struct task *t, const char *name, uid_t uid, gid_t gid)
{
    int fd = openat(t->sandbox_fd, name,
        O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW | O_CLOEXEC, OUTPUT_MODE);
    if (fd >= 0 && fchown(fd, uid, gid) == 0)
        return fd;
    int r = -errno;
    fd_close(fd);
    return r;
}

/* An id may be used again: the name is that of its newest run. */
static int name_task(const struct executor *ex, const char *task_id, const char *nested_id)
{
    _cleanup_close_ int tasks = folder(ex->sandbox_fd, "tasks", SHARED_FOLDER_MODE, false);
    if (tasks < 0)
        return tasks;
    _cleanup_free_ char *target = xasprintf("../containers/%s", nested_id);
    if (unlinkat(tasks, task_id, 0) < 0 && errno != ENOENT)
        return -errno;
    return symlinkat(target, tasks, task_id) < 0 ? -errno : 0;
}

int pod_sandbox_make(struct task *t, const char *nested_id, uid_t uid, gid_t gid, struct error *err)
{
    struct executor *ex = t->ex;
    const char *task_id = t->info->task_id->value;
    if (strchr(task_id, '/') || streq(task_id, ".") || streq(task_id, ".."))
        return error_set(err, -EINVAL, "The task's id cannot name a folder");
    _cleanup_close_ int containers = folder(
        ex->sandbox_fd, "containers", SHARED_FOLDER_MODE, false);
    if (containers < 0)
        return error_errno(err, containers, "cannot create the task's sandbox");
    t->sandbox = arena_printf(&t->arena, "%s/containers/%s", ex->o.sandbox, nested_id);
    int fd = folder(containers, nested_id, NESTED_MODE, true);
    if (fd < 0)
        return error_errno(err, fd, "cannot create the task's sandbox %s", t->sandbox);
    t->sandbox_fd = fd;
    if (fchmod(fd, NESTED_MODE) < 0 || fchown(fd, uid, gid) < 0)
        return error_errno(err, -errno, "cannot give the sandbox %s to its user", t->sandbox);
    t->out_fd = output(t, "stdout", uid, gid);
    t->err_fd = output(t, "stderr", uid, gid);
    if (t->out_fd < 0 || t->err_fd < 0)
        return error_errno(
            err, MIN(t->out_fd, t->err_fd), "cannot create the output files in %s", t->sandbox);
    int r = name_task(ex, task_id, nested_id);
    return r < 0 ? error_errno(err, r, "cannot name the sandbox of task %s", task_id) : 0;
}

/* ---- volumes ---- */

typedef VEC(struct spawn_mount) mount_vec;

/* Bytes of `path` after the folder `prefix` and its slashes, or NULL. */
static const char *path_below(const char *path, const char *prefix)
{
    size_t n = strlen(prefix);
    while (n && prefix[n - 1] == '/')
        n--;
    if (strncmp(path, prefix, n) != 0 || (path[n] && path[n] != '/'))
        return NULL;
    path += n;
    while (*path == '/')
        path++;
    return path;
}

/* A folder of the pod: in a volume that the executor has, or in its sandbox. */
static struct spawn_mount of_parent(const struct executor *ex, const char *path)
{
    struct spawn_mount m = {.source = path, .base = ex->o.sandbox};
    size_t best = 0;
    for (size_t i = 0; i < ex->o.n_mounts; i++) {
        const struct spawn_mount *v = &ex->o.mounts[i];
        const char *rest = v->target[0] == '/' ? NULL : path_below(path, v->target);
        if (!rest || strlen(v->target) < best)
            continue;
        best = strlen(v->target);
        bool outside = v->source[0] == '/';
        m = (struct spawn_mount){.source = *rest ? rest : v->source,
            .base = !*rest && outside ? NULL
                    : *rest           ? v->source
                                      : ex->o.sandbox,
            .read_only = v->read_only};
    }
    return m;
}

static int add_volume(
    const struct task *t, const Mesos__V1__Volume *v, mount_vec *out, struct error *err)
{
    const Mesos__V1__Volume__Source *s = v->source;
    struct spawn_mount m = {0};
    if (v->host_path)
        m.source = v->host_path;
    else if (s && s->host_path)
        m.source = s->host_path->path;
    else if (s && s->sandbox_path && s->sandbox_path->path &&
             s->sandbox_path->type == MESOS__V1__VOLUME__SOURCE__SANDBOX_PATH__TYPE__PARENT)
        m = of_parent(t->ex, s->sandbox_path->path);
    else if (s && s->sandbox_path)
        m.source = s->sandbox_path->path;
    if (!m.source || !v->container_path || out->n >= SPAWN_MOUNTS_MAX)
        return error_set(err, -EINVAL, "A volume of the task cannot be mounted");
    m.target = v->container_path;
    m.read_only = m.read_only || v->mode == MESOS__V1__VOLUME__MODE__RO;
    vec_push(out, m);
    return 0;
}

/* The agent left a link that says where it is. */
static int add_persistent(struct task *t, size_t index, mount_vec *out, struct error *err)
{
    const Mesos__V1__Volume *v = t->info->resources[index]->disk->volume;
    char name[LINK_MAX_LEN], target[LINK_MAX_LEN];
    snprintf(name, sizeof name, POD_VOLUMES_DIR "/%s/%zu", t->info->task_id->value, index);
    ssize_t n = readlinkat(t->ex->sandbox_fd, name, target, sizeof target - 1);
    if (n < 0)
        return error_errno(err, -errno, "cannot find the volume '%s'", v->container_path);
    vec_push(out, ((struct spawn_mount){
                      .source = arena_strndup(&t->arena, target, (size_t)n),
                      .target = v->container_path,
                      .read_only = v->mode == MESOS__V1__VOLUME__MODE__RO,
                  }));
    return 0;
}

int pod_mounts_make(struct task *t, struct error *err)
{
    const struct executor *ex = t->ex;
    mount_vec all = {0};
    int r = 0;
    /* What the pod has at absolute paths all of its tasks see there. */
    for (size_t i = 0; i < ex->o.n_mounts; i++) {
        struct spawn_mount m = ex->o.mounts[i];
        if (m.target[0] != '/')
            continue;
        if (m.source[0] != '/')
            m.base = ex->o.sandbox;
        vec_push(&all, m);
    }
    const Mesos__V1__ContainerInfo *c = t->info->container;
    for (size_t i = 0; c && i < c->n_volumes && r == 0; i++)
        r = add_volume(t, c->volumes[i], &all, err);
    for (size_t i = 0; i < t->info->n_resources && r == 0; i++) {
        const Mesos__V1__Resource *res = t->info->resources[i];
        if (res->disk && res->disk->persistence && res->disk->volume &&
            res->disk->volume->container_path)
            r = add_persistent(t, i, &all, err);
    }
    t->n_mounts = all.n;
    t->mounts = all.n ? arena_memdup(&t->arena, all.items, all.n * sizeof *all.items) : NULL;
    vec_done(&all);
    return r;
}
