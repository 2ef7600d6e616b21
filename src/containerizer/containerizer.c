/*
 * Containers and their lives.
 *
 * launch: QUEUED -> PREPARING (groups, on the pool) -> LAUNCHING (launcher) -> RUNNING.
 * end: the process is gone -> STATUS -> TEARDOWN (kill the rest, remove groups, until nothing is
 * left) -> on_exit, or the launch's callback when it never ran.
 */

#include "containerizer/internal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parse.h"
#include "containerizer/proc.h"

#define TEARDOWN_PAUSE_MIN_US (1 * USEC_PER_MSEC)
#define TEARDOWN_PAUSE_MAX_US (250 * USEC_PER_MSEC)
/* An executor that learns of its task's death by itself gets this long to say so. */
#define LIMIT_GRACE_US (500 * USEC_PER_MSEC)
#define OOM_LOOK_US (20 * USEC_PER_MSEC)
enum { OOM_LOOKS_MAX = 50 };

static bool id_ok(const char *id)
{
    size_t n = id ? strlen(id) : 0;
    if (n == 0 || n > CONTAINER_ID_MAX || id[0] == '.')
        return false;
    for (const char *p = id; *p; p++) {
        bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z');
        if (!letter && !(*p >= '0' && *p <= '9') && !strchr("-_.", *p))
            return false;
    }
    return true;
}

struct container *container_new(struct containerizer *c, const char *id)
{
    struct container *k = xnew(struct container);
    k->c = c;
    k->id = xstrdup(id);
    k->pidfd = k->oom_fd = -1;
    k->status = -1;
    k->state_dir = path_join(c->runtime_dir, "containers", id);
    k->pause_us = TEARDOWN_PAUSE_MIN_US;
    timer_init(&k->timer, c->loop, NULL);
    deferred_init(&k->deferred, NULL);
    map_put(&c->containers, k->id, k);
    return k;
}

static void container_free(struct container *k)
{
    timer_stop(&k->timer);
    deferred_cancel(&k->deferred);
    if (k->pid_watch)
        loop_fd_free(k->pid_watch);
    if (k->oom_watch)
        loop_fd_free(k->oom_watch);
    fd_close(k->pidfd);
    fd_close(k->oom_fd);
    buf_done(&k->request);
    free(k->state_dir);
    free(k->id);
    free(k);
}

int container_read_pid(const char *state_dir, pid_t *ret_pid, uint64_t *ret_start)
{
    _cleanup_free_ char *path = path_join(state_dir, "pid");
    _cleanup_buf_ struct buf text = BUF_INIT;
    int r = file_read(path, 128, &text, NULL);
    if (r < 0)
        return r;
    struct str rest = str_trim(buf_str(&text)), word;
    int64_t pid;
    uint64_t start;
    if (!str_split(&rest, ' ', &word) || parse_i64(word, &pid) < 0 || parse_u64(rest, &start) < 0)
        return -EBADMSG;
    *ret_pid = (pid_t)pid;
    *ret_start = start;
    return 0;
}

void container_after(struct container *k, int64_t delay_us, void (*fn)(struct timer *t))
{
    k->timer.fn = fn;
    timer_start(&k->timer, delay_us);
}

/* ---- the end ---- */

static void finish(struct container *k)
{
    struct containerizer *c = k->c;
    map_remove(&c->containers, k->id);
    if (k->launch_failed) {
        struct container_started s = {
            .id = k->id, .status = k->failure.code, .error = k->failure.msg};
        if (k->started_cb)
            k->started_cb(&s, k->started_userdata);
    } else if (c->options.on_exit) {
        struct container_exit e = {.id = k->id,
            .pid = k->pid,
            .status = k->status,
            .destroyed = k->destroyed,
            .limitation = k->limited ? CONTAINER_LIMITATION_MEMORY : CONTAINER_LIMITATION_NONE,
            .message = k->message,
            .mem_limit_bytes = k->mem_limit_bytes};
        c->options.on_exit(&e, c->options.userdata);
    }
    container_free(k);
}

static void teardown_work(struct loop_work *w)
{
    struct container *k = container_of(w, struct container, work);
    k->work_result = 0;
    if (k->c->has_cgroups) {
        k->work_result = cgroup_remove(&k->c->fs, k->id);
        if (k->work_result == -EBUSY) {
            cgroup_kill(&k->c->fs, k->id);
            k->work_result = cgroup_remove(&k->c->fs, k->id);
        }
    }
    if (k->work_result != -EBUSY)
        remove_tree(k->state_dir, NULL);
}

static void teardown_again(struct timer *t);

static void teardown_done(struct loop_work *w)
{
    struct container *k = container_of(w, struct container, work);
    struct containerizer *c = k->c;
    k->working = false;
    if (c->closing) {
        containerizer_work_done(c);
        return;
    }
    if (k->work_result == -EBUSY) {
        container_after(k, k->pause_us, teardown_again);
        k->pause_us = MIN(k->pause_us * 2, TEARDOWN_PAUSE_MAX_US);
    } else {
        if (k->work_result < 0)
            log_warn("control groups are left, ignoring container=%s error=%s", k->id,
                errno_text(k->work_result));
        finish(k);
    }
    containerizer_work_done(c);
}

static void start_work(
    struct container *k, void (*work)(struct loop_work *), void (*done)(struct loop_work *))
{
    k->work = (struct loop_work){.work = work, .done = done};
    k->working = true;
    k->c->works++;
    loop_work_start(k->c->loop, &k->work);
}

static void teardown_again(struct timer *t)
{
    start_work(container_of(t, struct container, timer), teardown_work, teardown_done);
}

static void teardown(struct container *k)
{
    timer_stop(&k->timer);
    if (k->pid_watch)
        loop_fd_free(TAKE_PTR(k->pid_watch));
    if (k->oom_watch)
        loop_fd_free(TAKE_PTR(k->oom_watch));
    k->state = CONTAINER_TEARDOWN;
    start_work(k, teardown_work, teardown_done);
}

void container_failed(struct container *k, int error, const char *text)
{
    k->launch_failed = true;
    if (k->destroyed)
        error_set(&k->failure, -ECANCELED, "destroyed while it was started");
    else
        error_set(&k->failure, error < 0 ? error : -EIO, "%s", text);
    _cleanup_close_ int fd = k->pid > 0 ? proc_open(k->pid, k->start_time) : -1;
    if (fd >= 0) {
        proc_signal_descendants(k->pid, SIGKILL);
        pidfd_send_signal(fd, SIGKILL, NULL, 0);
    }
    teardown(k);
}

static bool note_limit(struct container *k)
{
    if (k->limited || !k->c->has_cgroups)
        return k->limited;
    if (cgroup_oom_kills(&k->c->fs, k->id) <= 0)
        return false;
    k->limited = true;
    k->mem_limit_bytes = cgroup_mem_limit(&k->c->fs, k->id);
    int64_t peak = cgroup_mem_peak(&k->c->fs, k->id);
    snprintf(k->message, sizeof k->message,
        "Memory limit exceeded: Requested: %lldMB Maximum Used: %lldMB",
        (long long)(k->mem_limit_bytes >> 20), (long long)(MAX(peak, INT64_C(0)) >> 20));
    return true;
}

void container_exited(struct container *k, int status)
{
    k->status = status;
    note_limit(k);
    teardown(k);
}

/* ---- running ---- */

static void kill_all(struct container *k)
{
    /* Once the process is gone its id may be a stranger's; its supervisor ended the rest. */
    bool there = k->pidfd >= 0 && pidfd_send_signal(k->pidfd, 0, NULL, 0) == 0;
    if (k->c->has_cgroups)
        cgroup_kill(&k->c->fs, k->id);
    else if (there)
        proc_signal_descendants(k->pid, SIGKILL);
    if (there)
        pidfd_send_signal(k->pidfd, SIGKILL, NULL, 0);
}

static void on_pid_gone(void *userdata, unsigned events)
{
    struct container *k = userdata;
    loop_fd_free(TAKE_PTR(k->pid_watch));
    timer_stop(&k->timer);
    k->state = CONTAINER_STATUS;
    container_find_status(k);
}

static void limit_grace_over(struct timer *t)
{
    struct container *k = container_of(t, struct container, timer);
    kill_all(k);
}

/* The notice may come before the kernel has killed anything, and also when it need not kill. */
static void look_at_memory(struct timer *t)
{
    struct container *k = container_of(t, struct container, timer);
    if (note_limit(k))
        container_after(k, LIMIT_GRACE_US, limit_grace_over);
    else if (k->oom_tries++ < OOM_LOOKS_MAX)
        container_after(k, OOM_LOOK_US, look_at_memory);
}

static void on_oom(void *userdata, unsigned events)
{
    struct container *k = userdata;
    char ignored[4096];
    while (read(k->oom_fd, ignored, sizeof ignored) > 0)
        ;
    if (k->state != CONTAINER_RUNNING || k->limited)
        return;
    k->oom_tries = 0;
    look_at_memory(&k->timer);
}

void container_started(struct container *k, pid_t pid, uint64_t start_time, bool ours)
{
    struct containerizer *c = k->c;
    k->pid = pid;
    k->start_time = start_time;
    k->ours = ours;
    k->state = CONTAINER_RUNNING;
    buf_done(&k->request);
    if (k->pidfd < 0)
        k->pidfd = proc_open(pid, start_time);
    /* Gone already: the launcher's record about it is under way. */
    if (k->pidfd >= 0 &&
        loop_fd_new(c->loop, k->pidfd, LOOP_READABLE, on_pid_gone, k, &k->pid_watch) < 0)
        log_warn("cannot watch a container container=%s", k->id);
    if (c->has_cgroups && k->limits.mem_limit_bytes >= 0) {
        k->oom_fd = cgroup_oom_watch(&c->fs, k->id);
        if (k->oom_fd >= 0)
            loop_fd_new(c->loop, k->oom_fd, LOOP_READABLE, on_oom, k, &k->oom_watch);
    }
    if (k->started_cb) {
        container_started_cb cb = TAKE_PTR(k->started_cb);
        struct container_started s = {.id = k->id, .pid = pid, .start_time = start_time};
        cb(&s, k->started_userdata);
    }
    if (k->destroyed)
        kill_all(k);
}

int containerizer_destroy(struct containerizer *c, const char *id)
{
    struct container *k = map_get(&c->containers, id);
    if (!k)
        return -ENOENT;
    k->destroyed = true;
    if (k->state == CONTAINER_RUNNING)
        kill_all(k);
    return 0;
}

/* ---- launch ---- */

static void prepare_work(struct loop_work *w)
{
    struct container *k = container_of(w, struct container, work);
    struct containerizer *c = k->c;
    k->work_error = (struct error){0};
    k->work_result = mkdir_all(k->state_dir, 0755, &k->work_error);
    if (k->work_result == 0 && c->has_cgroups) {
        k->work_result = cgroup_create(&c->fs, k->id, &k->work_error);
        if (k->work_result == 0)
            k->work_result = cgroup_set_limits(
                &c->fs, k->id, &k->limits, c->options.cpu_quota, true, &k->work_error);
    }
}

static void prepare_done(struct loop_work *w)
{
    struct container *k = container_of(w, struct container, work);
    struct containerizer *c = k->c;
    k->working = false;
    if (!c->closing) {
        if (k->destroyed || k->work_result < 0) {
            container_failed(k, k->work_result, k->work_error.msg);
        } else {
            k->state = CONTAINER_LAUNCHING;
            link_send(c, &k->request);
        }
    }
    containerizer_work_done(c);
}

void container_prepare(struct container *k)
{
    k->state = CONTAINER_PREPARING;
    start_work(k, prepare_work, prepare_done);
}

static size_t list_size(const char *const *list, size_t *bytes)
{
    size_t n = 0;
    for (; list && list[n]; n++)
        *bytes += strlen(list[n]) + 1;
    return n;
}

static void encode_request(struct container *k, const struct container_spec *spec)
{
    struct containerizer *c = k->c;
    struct launch_record m = {.type = LAUNCH_START,
        .id = k->id,
        .cwd = spec->cwd,
        .user = spec->user,
        .stdout_path = spec->stdout_path,
        .stderr_path = spec->stderr_path,
        .state_dir = k->state_dir};
    for (size_t i = 0; spec->argv[i]; i++)
        vec_push(&m.argv, spec->argv[i]);
    for (size_t i = 0; spec->envp && spec->envp[i]; i++)
        vec_push(&m.envp, spec->envp[i]);
    _cleanup_free_ char *status = xasprintf("DCOS_STATUS_FILE=%s/status", k->state_dir);
    vec_push(&m.envp, status);
    _cleanup_free_ char *oom_path = c->has_cgroups ? cgroup_oom_file(&c->fs, k->id) : NULL;
    _cleanup_free_ char *oom = oom_path ? xasprintf("DCOS_OOM_FILE=%s", oom_path) : NULL;
    if (oom)
        vec_push(&m.envp, oom);
    _cleanup_buf_ struct buf mounts = BUF_INIT;
    if (!spec->own_namespaces && spec->n_mounts)
        buf_puts(&mounts, "DCOS_MOUNTS=");
    spawn_mounts_format(spec->mounts, spec->n_mounts, &mounts);
    if (spec->n_mounts && spec->own_namespaces)
        m.mounts = buf_cstr(&mounts);
    else if (spec->n_mounts)
        vec_push(&m.envp, buf_cstr(&mounts));
    char *dirs[CGROUP_CONTROLLERS + 1];
    size_t n = c->has_cgroups ? cgroup_dirs(&c->fs, k->id, dirs) : 0;
    for (size_t i = 0; i < n; i++)
        vec_push(&m.dirs, dirs[i]);
    if (n && c->fs.unified)
        m.flags |= LAUNCH_FLAG_UNIFIED;
    if (spec->own_namespaces)
        m.flags |= c->has_namespaces ? LAUNCH_FLAG_NAMESPACES : LAUNCH_FLAG_SUPERVISED;
    launch_encode(&m, &k->request);
    launch_record_done(&m);
    for (size_t i = 0; i < n; i++)
        free(dirs[i]);
}

int containerizer_launch(struct containerizer *c, const struct container_spec *spec,
    container_started_cb cb, void *userdata, struct error *err)
{
    if (!id_ok(spec->id))
        return error_set(err, -EINVAL, "bad container id");
    if (!spec->argv || !spec->argv[0] || !spec->cwd || spec->cwd[0] != '/')
        return error_set(err, -EINVAL, "a container needs a program and an absolute sandbox path");
    size_t bytes = 0;
    if (list_size(spec->argv, &bytes) > CONTAINER_ARGS_MAX ||
        list_size(spec->envp, &bytes) > CONTAINER_ARGS_MAX || bytes > CONTAINER_SPEC_MAX)
        return error_set(err, -E2BIG, "arguments and environment are too large");
    if (spec->n_mounts > SPAWN_MOUNTS_MAX)
        return error_set(err, -E2BIG, "a container has at most %d volumes", SPAWN_MOUNTS_MAX);
    for (size_t i = 0; i < spec->n_mounts; i++) {
        bytes += strlen(spec->mounts[i].source) + strlen(spec->mounts[i].target);
        if (!spawn_mount_path_valid(spec->mounts[i].source) ||
            !spawn_mount_path_valid(spec->mounts[i].target) || bytes > CONTAINER_SPEC_MAX)
            return error_set(err, -EINVAL, "bad path of a volume");
    }
    if (map_get(&c->containers, spec->id))
        return error_set(err, -EEXIST, "container id is in use");
    struct container *k = container_new(c, spec->id);
    k->limits = spec->limits;
    k->started_cb = cb;
    k->started_userdata = userdata;
    encode_request(k, spec);
    if (c->sweeping)
        k->state = CONTAINER_QUEUED;
    else
        container_prepare(k);
    return 0;
}

/* ---- limits and usage ---- */

int containerizer_update(struct containerizer *c, const char *id,
    const struct container_limits *limits, struct error *err)
{
    struct container *k = map_get(&c->containers, id);
    if (!k)
        return error_set(err, -ENOENT, "no such container");
    k->limits = *limits;
    /* Preparing: written by the pool from the old values or the new; write again when it runs. */
    if (!c->has_cgroups || k->state == CONTAINER_TEARDOWN || k->state == CONTAINER_QUEUED)
        return 0;
    return cgroup_set_limits(&c->fs, id, limits, c->options.cpu_quota, false, err);
}

bool containerizer_limited(struct containerizer *c, const char *id, struct container_exit *ret)
{
    struct container *k = map_get(&c->containers, id);
    if (!k || !note_limit(k))
        return false;
    *ret = (struct container_exit){.id = k->id,
        .pid = k->pid,
        .status = -1,
        .destroyed = k->destroyed,
        .limitation = CONTAINER_LIMITATION_MEMORY,
        .message = k->message,
        .mem_limit_bytes = k->mem_limit_bytes};
    return true;
}

int containerizer_usage(struct containerizer *c, const char *id, struct container_usage *ret)
{
    struct container *k = map_get(&c->containers, id);
    if (!k)
        return -ENOENT;
    struct container_usage u;
    memset(&u, 0xff, sizeof u); /* -1 everywhere */
    u.timestamp_us = clock_realtime_us();
    if (c->has_cgroups) {
        cgroup_usage(&c->fs, id, &u);
    } else if (k->pid > 0) {
        struct proc_sum sum;
        proc_sum_tree(k->pid, &sum);
        u.cpus_user_time_us = sum.user_us;
        u.cpus_system_time_us = sum.system_us;
        u.mem_rss_bytes = sum.rss_bytes;
        u.processes = sum.processes;
        u.threads = sum.threads;
    }
    const struct container_limits *l = &k->limits;
    if (u.cpus_limit_milli < 0 && l->cpu_limit_milli >= 0)
        u.cpus_limit_milli = l->cpu_limit_milli > 0 ? l->cpu_limit_milli : l->cpus_milli;
    if (u.mem_limit_bytes < 0 && l->mem_limit_bytes >= 0)
        u.mem_limit_bytes = l->mem_limit_bytes > 0 ? l->mem_limit_bytes : l->mem_bytes;
    *ret = u;
    return 0;
}

/* ---- the containerizer ---- */

static void free_all(struct containerizer *c)
{
    MAP_FOREACH (e, &c->containers)
        container_free(e->value);
    map_done(&c->containers);
    VEC_FOREACH (id, &c->keep)
        free(*id);
    vec_done(&c->keep);
    if (c->has_cgroups) {
        cgroup_fs_cleanup(&c->fs); /* goes only when it is empty */
        cgroup_fs_done(&c->fs);
    }
    free(c->runtime_dir);
    free(c->launcher_path);
    free(c);
}

void containerizer_work_done(struct containerizer *c)
{
    c->works--;
    if (c->closing && c->works == 0)
        free_all(c);
}

void containerizer_free(struct containerizer *c)
{
    if (!c)
        return;
    c->closing = true;
    link_free(TAKE_PTR(c->link));
    MAP_FOREACH (e, &c->containers) {
        struct container *k = e->value;
        timer_stop(&k->timer);
        deferred_cancel(&k->deferred);
        if (k->pid_watch)
            loop_fd_free(TAKE_PTR(k->pid_watch));
        if (k->oom_watch)
            loop_fd_free(TAKE_PTR(k->oom_watch));
    }
    if (c->works == 0)
        free_all(c);
}

static void say_groups(const struct containerizer *c, const char *root)
{
    log_info("containers get control groups mode=%s root=%s", cgroup_fs_mode(&c->fs), root);
    _cleanup_buf_ struct buf missing = BUF_INIT;
    cgroup_fs_missing(&c->fs, &missing);
    if (missing.n)
        log_warn("limits of some controllers are not enforced: the host does not let us use them "
                 "controllers=%s",
            buf_cstr(&missing));
}

int containerizer_new(struct loop *l, const struct containerizer_options *options,
    struct containerizer **ret, struct error *err)
{
    _cleanup_free_ char *dir = path_join(options->runtime_dir, "containers");
    int r = mkdir_all(dir, 0755, err);
    if (r < 0)
        return r;
    struct containerizer *c = xnew(struct containerizer);
    c->loop = l;
    c->options = *options;
    c->runtime_dir = xstrdup(options->runtime_dir);
    c->launcher_path = xstrdup(options->launcher_path);
    if (!options->plain && geteuid() == 0) {
        struct error why = ERROR_INIT;
        const char *root = options->cgroups_root && *options->cgroups_root ? options->cgroups_root
                                                                           : "dcos";
        c->has_namespaces = true;
        c->has_cgroups = cgroup_fs_probe(root, &c->fs, &why) == 0;
        if (!c->has_cgroups)
            log_warn("containers run without control groups reason=%s", why.msg);
        else
            say_groups(c, root);
    } else {
        log_info("containers are plain processes: no limits are enforced reason=%s",
            options->plain ? "asked for" : "not root");
    }
    r = link_start(c, err);
    if (r < 0) {
        containerizer_free(c);
        return r;
    }
    *ret = c;
    return 0;
}

bool containerizer_has_cgroups(const struct containerizer *c)
{
    return c->has_cgroups;
}

size_t containerizer_count(const struct containerizer *c)
{
    return map_size(&c->containers);
}

pid_t containerizer_pid(const struct containerizer *c, const char *id)
{
    const struct container *k = map_get(&c->containers, id);
    return k ? k->pid : 0;
}
