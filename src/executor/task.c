/* The task's process: start, end, kill. */

#include "executor/executor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parse.h"
#include "containerizer/proc.h"
#include "wire/codec.h"

/* After SIGKILL to its processes the init ends by itself; one that does not is killed. */
#define INIT_PATIENCE_US (2 * USEC_PER_SEC)
/* What a killed init leaves gets this long to die. */
#define ORPHANS_PATIENCE_US (1 * USEC_PER_SEC)

static void fail_task(struct executor *ex, const char *message, Mesos__V1__TaskStatus__Reason why)
{
    ex->task->over = true;
    update_send(ex, &(struct update_text){.state = MESOS__V1__TASK_STATE__TASK_FAILED,
                        .message = message,
                        .has_reason = true,
                        .reason = why});
}

static void on_result(void *userdata, unsigned events);
static void on_gone(void *userdata, unsigned events);

static int watch(struct executor *ex, struct error *err)
{
    struct task *t = ex->task;
    int r = loop_fd_new(ex->loop, t->spawn.pidfd, LOOP_READABLE, on_gone, ex, &t->pid_watch);
    if (r == 0)
        r = loop_fd_new(
            ex->loop, t->spawn.result_fd, LOOP_READABLE, on_result, ex, &t->result_watch);
    return r < 0 ? error_errno(err, r, "cannot watch the task") : 0;
}

static int start(struct executor *ex, struct error *err)
{
    struct task *t = ex->task;
    _cleanup_close_ int out = -1, err_fd = -1;
    int r = 0;
    if (!t->out)
        r = logger_new(ex->loop,
            &(struct logger_options){.fd = 1,
                .name = "stdout",
                .sandbox_fd = ex->sandbox_fd,
                .max_size = ex->o.max_stdout,
                .files = ex->o.log_files},
            &t->out, &out, err);
    if (r == 0 && !t->err)
        r = logger_new(ex->loop,
            &(struct logger_options){.fd = 2,
                .name = "stderr",
                .sandbox_fd = ex->sandbox_fd,
                .max_size = ex->o.max_stderr,
                .files = ex->o.log_files},
            &t->err, &err_fd, err);
    if (r < 0)
        return r;
    struct spawn_options *o = &t->spawn_options;
    *o = (struct spawn_options){.cwd = ex->o.sandbox,
        .user = ex->o.user,
        .stdout_fd = out,
        .stderr_fd = err_fd,
        .supervised = true,
        .namespaces = t->namespaces,
        .dies_with_caller = true,
        .cgroup_fd = -1,
        .join_pidfd = -1,
        .mounts = ex->o.mounts,
        .n_mounts = ex->o.n_mounts};
    o->argv = command_argv(t->info->command, &t->arena, &o->file);
    o->envp = command_env(ex, t->info->command, NULL, &t->arena);
    o->n_rlimits = task_rlimits(t->info, &t->arena, &o->rlimits);
    r = spawn_start(o, &t->spawn, err);
    if (r < 0)
        return r;
    r = watch(ex, err);
    if (r == 0)
        spawn_release(&t->spawn);
    return r;
}

static void drop_process(struct executor *ex)
{
    struct task *t = ex->task;
    if (t->pid_watch)
        loop_fd_free(TAKE_PTR(t->pid_watch));
    if (t->result_watch)
        loop_fd_free(TAKE_PTR(t->result_watch));
    spawn_done(&t->spawn);
    logger_finish(TAKE_PTR(t->out));
    logger_finish(TAKE_PTR(t->err));
}

/* From now on no kernel ends the rest when init dies: its orphans come to us. */
static void without_namespaces(struct executor *ex)
{
    ex->task->namespaces = false;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
}

static void kill_orphans(void)
{
    int64_t deadline = clock_monotonic_us() + ORPHANS_PATIENCE_US;
    while (proc_signal_descendants(getpid(), SIGKILL) > 0 && clock_monotonic_us() < deadline) {
        struct timespec pause = {.tv_nsec = 2 * 1000 * 1000};
        nanosleep(&pause, NULL);
    }
}

static void try_start(struct executor *ex)
{
    struct task *t = ex->task;
    struct error err = ERROR_INIT;
    int r = start(ex, &err);
    if (r == -EPERM && t->namespaces) {
        drop_process(ex);
        without_namespaces(ex);
        r = start(ex, &err);
    }
    if (r < 0) {
        drop_process(ex);
        fail_task(ex, err.msg, MESOS__V1__TASK_STATUS__REASON__REASON_CONTAINER_LAUNCH_FAILED);
    }
}

static void on_kill_timer(struct timer *t);
static void on_completion_timer(struct timer *t);
static void on_reap_timer(struct timer *t);

void task_launch(struct executor *ex, const TaskInfo *info)
{
    if (!info->task_id || !info->task_id->value)
        return;
    if (ex->task) {
        update_send(
            ex, &(struct update_text){.state = MESOS__V1__TASK_STATE__TASK_FAILED,
                    .task_id = info->task_id,
                    .other_task = true,
                    .message = "Attempted to run multiple tasks using a \"command\" executor"});
        return;
    }
    struct task *t = xnew(struct task);
    ex->task = t;
    t->ex = ex;
    t->info = (TaskInfo *)wire_clone(&info->base, &t->arena);
    t->spawn = (struct spawn){.pidfd = -1, .result_fd = -1, .hold_fd = -1};
    t->namespaces = true;
    if (geteuid() != 0)
        without_namespaces(ex);
    timer_init(&t->kill_timer, ex->loop, on_kill_timer);
    timer_init(&t->completion_timer, ex->loop, on_completion_timer);
    timer_init(&t->reap_timer, ex->loop, on_reap_timer);
    if (!t->info->command) {
        fail_task(
            ex, "The task has no command", MESOS__V1__TASK_STATUS__REASON__REASON_TASK_INVALID);
        return;
    }
    update_send(ex, &(struct update_text){.state = MESOS__V1__TASK_STATE__TASK_STARTING});
    try_start(ex);
}

static void started(struct executor *ex)
{
    struct task *t = ex->task;
    t->running = true;
    log_info("task started task=%s pid=%d", t->info->task_id->value, (int)t->spawn.pid);
    update_send(ex, &(struct update_text){.state = MESOS__V1__TASK_STATE__TASK_RUNNING});
    if (t->info->max_completion_time && t->info->max_completion_time->has_nanoseconds)
        timer_start(
            &t->completion_timer, t->info->max_completion_time->nanoseconds / NSEC_PER_USEC);
    if (t->kill.state == KILL_IDLE)
        checks_start(ex);
}

static void read_results(struct executor *ex)
{
    struct task *t = ex->task;
    struct spawn_record record;
    while (t->spawn.result_fd >= 0 &&
           read(t->spawn.result_fd, &record, sizeof record) == (ssize_t)sizeof record) {
        if (record.kind == SPAWN_STARTED) {
            started(ex);
        } else if (record.kind == SPAWN_STATUS) {
            t->have_status = true;
            t->status = record.value;
        } else if (record.kind == SPAWN_FAILED &&
                   spawn_failure_stage(record.value) == SPAWN_STAGE_NAMESPACE && t->namespaces) {
            log_warn("no namespaces for the task, running it without");
            /* It ends right after these words. */
            siginfo_t info;
            while (waitid(P_PIDFD, (id_t)t->spawn.pidfd, &info, WEXITED) < 0 && errno == EINTR)
                ;
            drop_process(ex);
            without_namespaces(ex);
            try_start(ex);
            return;
        } else if (record.kind == SPAWN_FAILED) {
            struct error err = ERROR_INIT;
            spawn_failure_text(record.value, &t->spawn_options, &err);
            t->failed_to_start = true;
            snprintf(t->why, sizeof t->why, "Failed to launch the task: %.*s", MESSAGE_MAX - 40,
                err.msg);
        }
    }
}

static void on_result(void *userdata, unsigned events)
{
    struct executor *ex = userdata;
    /* At the end of the pipe it stays readable: the process's end follows. */
    pid_t before = ex->task->spawn.pid;
    read_results(ex);
    char byte;
    struct task *t = ex->task;
    if (t->spawn.pid == before && t->result_watch && read(t->spawn.result_fd, &byte, 0) == 0 &&
        (t->have_status || t->failed_to_start))
        loop_fd_free(TAKE_PTR(t->result_watch));
}

/* Processes that the kernel killed for lack of memory in our group, or 0. */
static int64_t oom_kills(const struct executor *ex)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (!ex->o.oom_path || file_read(ex->o.oom_path, 65536, &text, NULL) < 0)
        return 0;
    struct str rest = buf_str(&text), line, word;
    while (str_split(&rest, '\n', &line)) {
        int64_t n;
        if (str_split(&line, ' ', &word) && str_eq_c(word, "oom_kill") &&
            parse_i64(str_trim(line), &n) == 0)
            return n;
    }
    return 0;
}

static int64_t mem_limit(const struct executor *ex)
{
    const char *slash = ex->o.oom_path ? strrchr(ex->o.oom_path, '/') : NULL;
    if (!slash)
        return 0;
    static const char *const files[] = {"memory.limit_in_bytes", "memory.max"};
    _cleanup_free_ char *dir = xstrndup(ex->o.oom_path, (size_t)(slash - ex->o.oom_path));
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        _cleanup_free_ char *path = path_join(dir, files[i]);
        _cleanup_buf_ struct buf text = BUF_INIT;
        int64_t n;
        if (file_read(path, 64, &text, NULL) == 0 && parse_i64(str_trim(buf_str(&text)), &n) == 0)
            return n;
    }
    return 0;
}

static void describe(int status, char *out, size_t size)
{
    if (WIFEXITED(status))
        snprintf(out, size, "Command exited with status %d", WEXITSTATUS(status));
    else
        snprintf(out, size, "Command terminated with signal %s", strsignal(WTERMSIG(status)));
}

/* The terminal update. */
static void conclude(struct executor *ex)
{
    struct task *t = ex->task;
    char message[MESSAGE_MAX];
    describe(t->status, message, sizeof message);
    struct update_text u = {.message = message};
    bool success = WIFEXITED(t->status) && WEXITSTATUS(t->status) == 0;
    if (t->out_of_time) {
        u.state = MESOS__V1__TASK_STATE__TASK_FAILED;
        u.has_reason = true;
        u.reason = MESOS__V1__TASK_STATUS__REASON__REASON_MAX_COMPLETION_TIME_REACHED;
    } else if (t->failed_to_start) {
        u.state = MESOS__V1__TASK_STATE__TASK_FAILED;
        u.has_reason = true;
        u.reason = MESOS__V1__TASK_STATUS__REASON__REASON_CONTAINER_LAUNCH_FAILED;
        u.message = t->why;
    } else if (t->kill.state != KILL_IDLE) {
        u.state = MESOS__V1__TASK_STATE__TASK_KILLED;
        if (t->killed_by_health) {
            t->has_healthy = true;
            t->healthy = false;
            u.has_reason = true;
            u.reason = MESOS__V1__TASK_STATUS__REASON__REASON_TASK_HEALTH_CHECK_STATUS_UPDATED;
        }
    } else if (success) {
        u.state = MESOS__V1__TASK_STATE__TASK_FINISHED;
    } else {
        u.state = MESOS__V1__TASK_STATE__TASK_FAILED;
        if (oom_kills(ex) > 0) {
            u.has_reason = true;
            u.reason = MESOS__V1__TASK_STATUS__REASON__REASON_CONTAINER_LIMITATION_MEMORY;
            u.mem_limit_bytes = mem_limit(ex);
            char limit[MESSAGE_MAX];
            snprintf(limit, sizeof limit, "Memory limit exceeded: Requested: %lldMB; %.200s",
                (long long)(u.mem_limit_bytes >> 20), message);
            snprintf(message, sizeof message, "%s", limit);
        }
    }
    t->over = true;
    update_send(ex, &u);
    if (ex->lost)
        executor_exit(ex, 0);
}

static void on_gone(void *userdata, unsigned events)
{
    struct executor *ex = userdata;
    struct task *t = ex->task;
    pid_t pid = t->spawn.pid;
    read_results(ex);
    if (t->spawn.pid != pid)
        return; /* started again without namespaces */
    siginfo_t info = {0};
    if (waitid(P_PIDFD, (id_t)t->spawn.pidfd, &info, WEXITED) < 0 && errno == EINTR)
        return;
    if (!t->have_status) {
        /* Its init was killed: by the kernel for memory, or by somebody outside. */
        t->status = info.si_code == CLD_EXITED ? info.si_status << 8 : info.si_status;
    }
    timer_stop(&t->kill_timer);
    timer_stop(&t->completion_timer);
    timer_stop(&t->reap_timer);
    checks_stop(ex);
    if (!t->namespaces)
        kill_orphans();
    drop_process(ex);
    conclude(ex);
}

/* ---- killing ---- */

static void send_order(struct executor *ex, int order)
{
    struct task *t = ex->task;
    if (t->spawn.pidfd >= 0)
        pidfd_send_signal(t->spawn.pidfd, order, NULL, 0);
}

static void kill_now(struct executor *ex)
{
    send_order(ex, SPAWN_SIGNAL_KILL);
    timer_start(&ex->task->reap_timer, INIT_PATIENCE_US);
}

static void act(struct executor *ex, enum kill_action action)
{
    struct task *t = ex->task;
    if (action == KILL_ACTION_TERM)
        send_order(ex, SPAWN_SIGNAL_TERM);
    else if (action == KILL_ACTION_KILL)
        kill_now(ex);
    int64_t deadline = kill_core_next_deadline(&t->kill);
    if (deadline == INT64_MAX)
        timer_stop(&t->kill_timer);
    else
        timer_start(&t->kill_timer, deadline - loop_now_us(ex->loop));
}

static void on_kill_timer(struct timer *timer)
{
    struct executor *ex = container_of(timer, struct task, kill_timer)->ex;
    log_info("grace period is over, killing task=%s", ex->task->info->task_id->value);
    act(ex, kill_core_tick(&ex->task->kill, loop_now_us(ex->loop)));
}

static void on_completion_timer(struct timer *timer)
{
    struct task *t = container_of(timer, struct task, completion_timer);
    struct executor *ex = t->ex;
    if (t->over || t->kill.state != KILL_IDLE)
        return;
    log_info("max_completion_time is over, killing task=%s", t->info->task_id->value);
    t->out_of_time = true;
    checks_stop(ex);
    act(ex, kill_core_request(&t->kill, 0, loop_now_us(ex->loop)));
}

static void on_reap_timer(struct timer *timer)
{
    send_order(container_of(timer, struct task, reap_timer)->ex, SIGKILL);
}

int64_t task_grace_us(const struct executor *ex, const Mesos__V1__KillPolicy *policy)
{
    const struct task *t = ex->task;
    if (!policy || !policy->grace_period || !policy->grace_period->has_nanoseconds)
        policy = t ? t->info->kill_policy : NULL;
    if (!policy || !policy->grace_period || !policy->grace_period->has_nanoseconds)
        return DEFAULT_GRACE_US;
    return policy->grace_period->nanoseconds / NSEC_PER_USEC;
}

void task_kill(struct executor *ex, int64_t grace_us)
{
    struct task *t = ex->task;
    if (!t || t->over)
        return;
    bool first = t->kill.state == KILL_IDLE;
    enum kill_action action = kill_core_request(&t->kill, grace_us, loop_now_us(ex->loop));
    if (first) {
        checks_stop(ex);
        if (ex->wants_killing)
            update_send(ex, &(struct update_text){.state = MESOS__V1__TASK_STATE__TASK_KILLING});
    }
    act(ex, action);
}

void task_free(struct executor *ex)
{
    struct task *t = TAKE_PTR(ex->task);
    if (!t)
        return;
    ex->task = t;
    checks_free(ex);
    timer_stop(&t->kill_timer);
    timer_stop(&t->completion_timer);
    timer_stop(&t->reap_timer);
    drop_process(ex);
    ex->task = NULL;
    arena_done(&t->arena);
    free(t);
}
