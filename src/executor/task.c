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
#include "io/process.h"
#include "wire/codec.h"

/* After SIGKILL to its processes the init ends by itself; one that does not is killed. */
#define INIT_PATIENCE_US (2 * USEC_PER_SEC)
/* What a killed init leaves gets this long to die. */
#define ORPHANS_PATIENCE_US (1 * USEC_PER_SEC)
enum { CHILDREN_MAX = 1024 * 1024 };

static void on_result(void *userdata, unsigned events);
static void on_gone(void *userdata, unsigned events);

static int watch(struct task *t, struct error *err)
{
    struct loop *l = t->ex->loop;
    int r = loop_fd_new(l, t->spawn.pidfd, LOOP_READABLE, on_gone, t, &t->pid_watch);
    if (r == 0)
        r = loop_fd_new(l, t->spawn.result_fd, LOOP_READABLE, on_result, t, &t->result_watch);
    return r < 0 ? error_errno(err, r, "cannot watch the task") : 0;
}

static int start(struct task *t, struct error *err)
{
    struct executor *ex = t->ex;
    _cleanup_close_ int out = -1, err_fd = -1;
    int r = 0;
    if (!t->out)
        r = logger_new(ex->loop,
            &(struct logger_options){.fd = t->out_fd,
                .name = "stdout",
                .sandbox_fd = t->sandbox_fd,
                .max_size = ex->o.max_stdout,
                .files = ex->o.log_files},
            &t->out, &out, err);
    if (r == 0 && !t->err)
        r = logger_new(ex->loop,
            &(struct logger_options){.fd = t->err_fd,
                .name = "stderr",
                .sandbox_fd = t->sandbox_fd,
                .max_size = ex->o.max_stderr,
                .files = ex->o.log_files},
            &t->err, &err_fd, err);
    if (r < 0)
        return r;
    struct spawn_options *o = &t->spawn_options;
    *o = (struct spawn_options){.cwd = t->sandbox,
        .user = t->user,
        .stdout_fd = out,
        .stderr_fd = err_fd,
        .supervised = true,
        .namespaces = t->namespaces,
        .dies_with_caller = true,
        .cgroup_fd = -1,
        .join_pidfd = -1,
        .mounts = t->mounts,
        .n_mounts = t->n_mounts};
    o->argv = command_argv(t->info->command, &t->arena, &o->file);
    o->envp = command_env(t, t->info->command, NULL, &t->arena);
    o->n_rlimits = task_rlimits(t->info, &t->arena, &o->rlimits);
    r = spawn_start(o, &t->spawn, err);
    if (r < 0)
        return r;
    r = watch(t, err);
    if (r == 0)
        r = pod_groups_join(t, t->spawn.pid, err);
    if (r == 0)
        spawn_release(&t->spawn);
    return r;
}

static void drop_process(struct task *t)
{
    if (t->pid_watch)
        loop_fd_free(TAKE_PTR(t->pid_watch));
    if (t->result_watch)
        loop_fd_free(TAKE_PTR(t->result_watch));
    spawn_done(&t->spawn);
    logger_finish(TAKE_PTR(t->out));
    logger_finish(TAKE_PTR(t->err));
}

/* From now on no kernel ends the rest when init dies: its orphans come to us. */
static void without_namespaces(struct task *t)
{
    t->namespaces = false;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
}

static bool is_ours(const struct executor *ex, pid_t pid)
{
    LIST_FOREACH (t, &ex->tasks, struct task, node) {
        if ((t->spawn.pidfd >= 0 && t->spawn.pid == pid) ||
            (t->fetcher && process_pid(t->fetcher) == pid) || checks_own(t, pid))
            return true;
    }
    return false;
}

/* Everything below us that is not, or below, a process that we follow. Returns how many of our
 * children that were: one that ends meanwhile may have handed its own over to us after we looked,
 * so those that are gone count too. */
static int signal_orphans(const struct executor *ex)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (file_read(path, CHILDREN_MAX, &text, NULL) < 0)
        return 0;
    struct str rest = buf_str(&text), word;
    int n = 0;
    while (str_split(&rest, ' ', &word)) {
        int64_t pid;
        if (parse_i64(str_trim(word), &pid) < 0 || pid <= 1 || is_ours(ex, (pid_t)pid))
            continue;
        proc_signal_descendants((pid_t)pid, SIGKILL);
        kill((pid_t)pid, SIGKILL);
        waitpid((pid_t)pid, NULL, WNOHANG);
        n++;
    }
    return n;
}

static void kill_orphans(const struct executor *ex)
{
    int64_t deadline = clock_monotonic_us() + ORPHANS_PATIENCE_US;
    while (signal_orphans(ex) > 0 && clock_monotonic_us() < deadline) {
        struct timespec pause = {.tv_nsec = 2 * 1000 * 1000};
        nanosleep(&pause, NULL);
    }
}

void task_start(struct task *t)
{
    struct error err = ERROR_INIT;
    const Mesos__V1__CommandInfo *command = t->info->command;
    if (command && (!command->value || !command->value[0])) {
        task_fail(t, "The command has no value",
            MESOS__V1__TASK_STATUS__REASON__REASON_CONTAINER_LAUNCH_FAILED);
        return;
    }
    int r = start(t, &err);
    if (r == -EPERM && t->namespaces) {
        drop_process(t);
        without_namespaces(t);
        r = start(t, &err);
    }
    if (r < 0) {
        drop_process(t);
        task_fail(t, err.msg, MESOS__V1__TASK_STATUS__REASON__REASON_CONTAINER_LAUNCH_FAILED);
    }
}

static void on_kill_timer(struct timer *t);
static void on_completion_timer(struct timer *t);
static void on_reap_timer(struct timer *t);

struct task *task_new(struct executor *ex, const TaskInfo *info)
{
    struct task *t = xnew(struct task);
    t->ex = ex;
    list_push(&ex->tasks, &t->node);
    ex->launched = true;
    timer_stop(&ex->ack_limit);
    t->info = (TaskInfo *)wire_clone(&info->base, &t->arena);
    t->spawn = (struct spawn){.pidfd = -1, .result_fd = -1, .hold_fd = -1};
    t->sandbox_fd = t->out_fd = t->err_fd = -1;
    t->namespaces = true;
    if (geteuid() != 0)
        without_namespaces(t);
    timer_init(&t->kill_timer, ex->loop, on_kill_timer);
    timer_init(&t->completion_timer, ex->loop, on_completion_timer);
    timer_init(&t->reap_timer, ex->loop, on_reap_timer);
    return t;
}

void task_launch(struct executor *ex, const TaskInfo *info)
{
    if (!info->task_id || !info->task_id->value)
        return;
    if (ex->launched) {
        update_send(ex, NULL,
            &(struct update_text){.state = MESOS__V1__TASK_STATE__TASK_FAILED,
                .task_id = info->task_id,
                .message = "Attempted to run multiple tasks using a \"command\" executor"});
        return;
    }
    struct task *t = task_new(ex, info);
    t->sandbox = ex->o.sandbox;
    t->sandbox_fd = ex->sandbox_fd;
    t->out_fd = STDOUT_FILENO;
    t->err_fd = STDERR_FILENO;
    t->user = ex->o.user;
    t->mounts = ex->o.mounts;
    t->n_mounts = ex->o.n_mounts;
    if (!t->info->command) {
        task_fail(
            t, "The task has no command", MESOS__V1__TASK_STATUS__REASON__REASON_TASK_INVALID);
        return;
    }
    update_send(ex, t, &(struct update_text){.state = MESOS__V1__TASK_STATE__TASK_STARTING});
    task_start(t);
}

struct task *task_find(struct executor *ex, const char *id)
{
    LIST_FOREACH (t, &ex->tasks, struct task, node)
        if (streq(t->info->task_id->value, id))
            return t;
    return NULL;
}

bool tasks_live(const struct executor *ex)
{
    LIST_FOREACH (t, &ex->tasks, struct task, node)
        if (!t->over)
            return true;
    return false;
}

static void started(struct task *t)
{
    t->running = true;
    log_info("task started task=%s pid=%d", t->info->task_id->value, (int)t->spawn.pid);
    update_send(t->ex, t, &(struct update_text){.state = MESOS__V1__TASK_STATE__TASK_RUNNING});
    if (t->info->max_completion_time && t->info->max_completion_time->has_nanoseconds)
        timer_start(
            &t->completion_timer, t->info->max_completion_time->nanoseconds / NSEC_PER_USEC);
    if (t->kill.state == KILL_IDLE)
        checks_start(t);
}

static void read_results(struct task *t)
{
    struct spawn_record record;
    while (t->spawn.result_fd >= 0 &&
           read(t->spawn.result_fd, &record, sizeof record) == (ssize_t)sizeof record) {
        if (record.kind == SPAWN_STARTED) {
            started(t);
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
            drop_process(t);
            without_namespaces(t);
            task_start(t);
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
    struct task *t = userdata;
    /* At the end of the pipe it stays readable: the process's end follows. */
    pid_t before = t->spawn.pid;
    read_results(t);
    char byte;
    if (t->spawn.pid == before && t->result_watch && read(t->spawn.result_fd, &byte, 0) == 0 &&
        (t->have_status || t->failed_to_start))
        loop_fd_free(TAKE_PTR(t->result_watch));
}

static void on_gone(void *userdata, unsigned events)
{
    struct task *t = userdata;
    pid_t pid = t->spawn.pid;
    read_results(t);
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
    checks_stop(t);
    if (!t->namespaces)
        kill_orphans(t->ex);
    drop_process(t);
    task_conclude(t);
}

/* ---- killing ---- */

static void send_order(const struct task *t, int order)
{
    if (t->spawn.pidfd >= 0)
        pidfd_send_signal(t->spawn.pidfd, order, NULL, 0);
}

static void kill_now(struct task *t)
{
    send_order(t, SPAWN_SIGNAL_KILL);
    timer_start(&t->reap_timer, INIT_PATIENCE_US);
}

static void act(struct task *t, enum kill_action action)
{
    if (action == KILL_ACTION_TERM)
        send_order(t, SPAWN_SIGNAL_TERM);
    else if (action == KILL_ACTION_KILL)
        kill_now(t);
    int64_t deadline = kill_core_next_deadline(&t->kill);
    if (deadline == INT64_MAX)
        timer_stop(&t->kill_timer);
    else
        timer_start(&t->kill_timer, deadline - loop_now_us(t->ex->loop));
}

static void on_kill_timer(struct timer *timer)
{
    struct task *t = container_of(timer, struct task, kill_timer);
    log_info("grace period is over, killing task=%s", t->info->task_id->value);
    act(t, kill_core_tick(&t->kill, loop_now_us(t->ex->loop)));
}

static void on_completion_timer(struct timer *timer)
{
    struct task *t = container_of(timer, struct task, completion_timer);
    if (t->over || t->kill.state != KILL_IDLE)
        return;
    log_info("max_completion_time is over, killing task=%s", t->info->task_id->value);
    t->out_of_time = true;
    checks_stop(t);
    act(t, kill_core_request(&t->kill, 0, loop_now_us(t->ex->loop)));
}

static void on_reap_timer(struct timer *timer)
{
    send_order(container_of(timer, struct task, reap_timer), SIGKILL);
}

int64_t task_grace_us(const struct task *t, const Mesos__V1__KillPolicy *policy)
{
    if (!policy || !policy->grace_period || !policy->grace_period->has_nanoseconds)
        policy = t->info->kill_policy;
    if (!policy || !policy->grace_period || !policy->grace_period->has_nanoseconds)
        return DEFAULT_GRACE_US;
    return policy->grace_period->nanoseconds / NSEC_PER_USEC;
}

void task_kill(struct task *t, int64_t grace_us)
{
    struct executor *ex = t->ex;
    if (t->over)
        return;
    bool first = t->kill.state == KILL_IDLE;
    enum kill_action action = kill_core_request(&t->kill, grace_us, loop_now_us(ex->loop));
    if (t->spawn.pidfd < 0) {
        pod_give_up(t);
        return;
    }
    if (first) {
        checks_stop(t);
        if (ex->wants_killing)
            update_send(ex, t, &(struct update_text){.state = MESOS__V1__TASK_STATE__TASK_KILLING});
    }
    act(t, action);
}

void task_free(struct task *t)
{
    list_remove(&t->node);
    checks_free(t);
    timer_stop(&t->kill_timer);
    timer_stop(&t->completion_timer);
    timer_stop(&t->reap_timer);
    if (t->fetcher)
        process_abandon(t->fetcher);
    drop_process(t);
    if (t->group) {
        fd_close(t->out_fd);
        fd_close(t->err_fd);
        fd_close(t->sandbox_fd);
    }
    arena_done(&t->arena);
    free(t);
}
