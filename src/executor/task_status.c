/* The end of a task: what its terminal update says, and what follows from it. */

#include "executor/executor.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/parse.h"

/* Processes that the kernel killed for lack of memory in our group, or 0. */
static int64_t executor_oom_kills(const struct executor *ex)
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

static int64_t executor_mem_limit(const struct executor *ex)
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

static void task_over(struct task *t, const struct update_text *u)
{
    struct executor *ex = t->ex;
    t->over = true;
    t->final_state = u->state;
    pod_groups_remove(t);
    update_send(ex, t, u);
    if (ex->o.pod)
        pod_task_over(t);
    if (ex->lost && !tasks_live(ex))
        executor_exit(ex, 0);
}

void task_fail(struct task *t, const char *message, Mesos__V1__TaskStatus__Reason why)
{
    task_over(t, &(struct update_text){.state = MESOS__V1__TASK_STATE__TASK_FAILED,
                     .message = message,
                     .has_reason = true,
                     .reason = why});
}

void task_never_started(struct task *t)
{
    task_over(t, &(struct update_text){.state = MESOS__V1__TASK_STATE__TASK_KILLED,
                     .message = "The task was killed before it was started"});
}

/* Whether the task was, or had, the process that memory ran out for. */
static bool ran_out_of_memory(const struct task *t)
{
    if (t->own_groups)
        return pod_groups_oom_kills(t) > 0;
    int64_t kills = executor_oom_kills(t->ex);
    bool fresh = kills > t->ex->oom_seen;
    t->ex->oom_seen = kills;
    return fresh;
}

void task_conclude(struct task *t)
{
    struct executor *ex = t->ex;
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
        if (ran_out_of_memory(t)) {
            u.has_reason = true;
            u.reason = MESOS__V1__TASK_STATUS__REASON__REASON_CONTAINER_LIMITATION_MEMORY;
            u.mem_limit_bytes = t->own_groups ? pod_groups_mem_limit(t) : executor_mem_limit(ex);
            char limit[MESSAGE_MAX];
            snprintf(limit, sizeof limit, "Memory limit exceeded: Requested: %lldMB; %.200s",
                (long long)(u.mem_limit_bytes >> 20), message);
            snprintf(message, sizeof message, "%s", limit);
        }
    }
    task_over(t, &u);
}
