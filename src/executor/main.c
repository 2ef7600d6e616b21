/* dcos-executor: start, configuration, end. */

#include "executor/executor.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/flags.h"
#include "base/log.h"
#include "base/parse.h"

#define DEFAULT_RECOVERY_TIMEOUT "15mins"
#define DEFAULT_BACKOFF_MAX "2secs"
#define DEFAULT_SHUTDOWN_GRACE "5secs"
/* What is left of the shutdown grace for reporting after the task has ended. */
#define SHUTDOWN_MARGIN_US (2 * USEC_PER_SEC)

static void on_ack_limit(struct timer *t)
{
    struct executor *ex = container_of(t, struct executor, ack_limit);
    log_error("the last update was not acknowledged in time, ending");
    executor_exit(ex, 1);
}

/* For an agent that cannot wait for us any more. */
static void leave_status(const struct executor *ex)
{
    if (!ex->o.status_path)
        return;
    _cleanup_close_ int fd = open(
        ex->o.status_path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    char text[16];
    int n = snprintf(text, sizeof text, "%d\n", ex->exit_code << 8);
    if (fd >= 0)
        fd_write_all(fd, text, (size_t)n);
}

void executor_exit(struct executor *ex, int code)
{
    ex->exit_code = code;
    loop_stop(ex->loop);
}

void executor_shutdown(struct executor *ex)
{
    bool again = ex->shutting_down;
    ex->shutting_down = true;
    if (!tasks_live(ex)) {
        if (!ex->launched || list_empty(&ex->updates) || ex->lost)
            executor_exit(ex, 0);
        return;
    }
    if (again)
        return;
    int64_t grace_us = MAX(ex->o.shutdown_grace_us - SHUTDOWN_MARGIN_US, INT64_C(0));
    LIST_FOREACH (t, &ex->tasks, struct task, node)
        task_kill(t, grace_us);
}

static int read_environment(struct executor_options *o, struct error *err)
{
    o->framework_id = getenv("MESOS_FRAMEWORK_ID");
    o->executor_id = getenv("MESOS_EXECUTOR_ID");
    if (!o->framework_id || !o->executor_id)
        return error_set(err, -EINVAL,
            "MESOS_FRAMEWORK_ID and MESOS_EXECUTOR_ID are not set: this program is started by "
            "dcos-agent");
    o->socket_path = getenv("MESOS_DOMAIN_SOCKET");
    const char *endpoint = getenv("MESOS_AGENT_ENDPOINT");
    const char *colon = endpoint ? strrchr(endpoint, ':') : NULL;
    if (colon) {
        o->host = xstrndup(endpoint, (size_t)(colon - endpoint));
        if (parse_port(str_of(colon + 1), &o->port) < 0)
            return error_set(err, -EINVAL, "MESOS_AGENT_ENDPOINT is not host:port");
    }
    if (!o->socket_path && !o->host)
        return error_set(
            err, -EINVAL, "neither MESOS_DOMAIN_SOCKET nor MESOS_AGENT_ENDPOINT is set");
    o->agent_ip = getenv("LIBPROCESS_IP");
    if (!o->agent_ip)
        o->agent_ip = o->host;
    o->sandbox = getenv("MESOS_SANDBOX");
    if (!o->sandbox)
        o->sandbox = getenv("MESOS_DIRECTORY");
    if (!o->sandbox) {
        char *cwd = getcwd(NULL, 0);
        o->sandbox = cwd ? cwd : "/";
    }
    o->token = getenv("MESOS_EXECUTOR_AUTHENTICATION_TOKEN");
    o->status_path = getenv("DCOS_STATUS_FILE");
    o->oom_path = getenv("DCOS_OOM_FILE");
    const char *mounts = getenv("DCOS_MOUNTS");
    /* The items point into the copy, which lives as long as the process. */
    if (mounts && spawn_mounts_parse(xstrdup(mounts), &o->mounts, &o->n_mounts) < 0)
        return error_set(err, -EINVAL, "DCOS_MOUNTS cannot be read");
    return 0;
}

static int parse_arguments(int argc, char **argv, struct executor_options *o, struct error *err)
{
    static const char *type;
    static int64_t files;
    struct flag flags[] = {
        {"user", FLAG_STRING, &o->user, NULL, "NAME", "user that the task runs as"},
        {"content_type", FLAG_STRING, &type, "application/x-protobuf", "TYPE",
            "of the executor API: application/x-protobuf or application/json"},
        {"launcher_dir", FLAG_STRING, &o->launcher_dir, NULL, "DIR",
            "where dcos-https-check is; default: this program's folder"},
        {"max_stdout_size", FLAG_BYTES, &o->max_stdout, "2MB", "SIZE",
            "size at which stdout is rotated; 0 = never"},
        {"max_stderr_size", FLAG_BYTES, &o->max_stderr, "2MB", "SIZE",
            "size at which stderr is rotated; 0 = never"},
        {"log_files", FLAG_I64, &files, "9", "N", "rotated files that are kept of each"},
        {"checkpoint", FLAG_BOOL, &o->checkpoint, "false", NULL,
            "survive restarts of the agent (set by it)"},
        {"recovery_timeout", FLAG_DURATION, &o->recovery_timeout_us, DEFAULT_RECOVERY_TIMEOUT,
            "DURATION", "how long to wait for an agent that is gone"},
        {"subscription_backoff_max", FLAG_DURATION, &o->backoff_max_us, DEFAULT_BACKOFF_MAX,
            "DURATION", "longest pause between attempts to subscribe; at most one second counts"},
        {"pod", FLAG_BOOL, &o->pod, "false", NULL, "run task groups instead of one command task"},
        {"switch_user", FLAG_BOOL, &o->switch_user, "false", NULL,
            "with --pod: tasks run as the users that they name"},
        {"cgroups", FLAG_BOOL, &o->cgroups, "false", NULL,
            "with --pod: tasks that ask for it get control groups of their own"},
        {"cgroups_enable_cfs", FLAG_BOOL, &o->cpu_quota, "false", NULL,
            "with --pod: cpus of such tasks are a limit"},
        {"fetcher_cache_dir", FLAG_STRING, &o->fetcher_cache_dir, "/tmp/dcos/fetch", "DIR",
            "with --pod: where downloads are kept"},
        {"fetcher_cache_size", FLAG_BYTES, &o->fetcher_cache_size, "2GB", "SIZE",
            "with --pod: room for them"},
        {"fetcher_stall_timeout", FLAG_DURATION, &o->fetcher_stall_us, "1mins", "DURATION",
            "with --pod: a download is given up when nothing comes for so long"},
        {"executor_shutdown_grace_period", FLAG_DURATION, &o->shutdown_grace_us,
            DEFAULT_SHUTDOWN_GRACE, "DURATION", "how long a shutdown may take"},
    };
    static const struct program program = {.name = "dcos-executor",
        .summary = "Runs one command task, or the tasks of a pod, for dcos-agent, which starts it.",
        .env_prefix = "MESOS",
        .version = DCOS_VERSION};
    /* The agent says 1 and 0, as Mesos does. */
    const char *checkpoint = getenv("MESOS_CHECKPOINT");
    if (checkpoint && (streq(checkpoint, "1") || streq(checkpoint, "0")))
        setenv("MESOS_CHECKPOINT", *checkpoint == '1' ? "true" : "false", 1);
    int r = flags_parse(&program, flags, ARRAY_SIZE(flags), argc, argv, err);
    if (checkpoint)
        setenv("MESOS_CHECKPOINT", o->checkpoint ? "1" : "0", 1);
    if (r != 0)
        return r;
    o->json = streq(type, "application/json") || streq(type, "json");
    if (!o->json && !streq(type, "application/x-protobuf") && !streq(type, "protobuf"))
        return error_set(err, -EINVAL, "--content_type: unknown type '%s'", type);
    if (files < 0 || files > 1000)
        return error_set(err, -EINVAL, "--log_files: must be from 0 to 1000");
    o->log_files = (unsigned)files;
    if (!o->launcher_dir) {
        static char self[PATH_MAX];
        ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
        char *slash = n > 0 ? memrchr(self, '/', (size_t)n) : NULL;
        if (slash)
            *slash = 0;
        o->launcher_dir = slash ? self : ".";
    }
    return 0;
}

static void on_signal(void *userdata, int signum)
{
    struct executor *ex = userdata;
    log_info("asked to end by a signal signal=%d", signum);
    executor_shutdown(ex);
}

int main(int argc, char **argv)
{
    /* A thousand of these run on a node: keep what the allocator holds small. */
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_TRIM_THRESHOLD, 64 * 1024);
    mallopt(M_MMAP_THRESHOLD, 64 * 1024);
    setenv("UV_THREADPOOL_SIZE", "1", 0);
    log_init("dcos-executor");
    struct executor ex = {0};
    struct error err = ERROR_INIT;
    int r = parse_arguments(argc, argv, &ex.o, &err);
    if (r > 0)
        return 0;
    if (r == 0)
        r = read_environment(&ex.o, &err);
    if (r == 0) {
        ex.sandbox_fd = open(ex.o.sandbox, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (ex.sandbox_fd < 0)
            r = error_errno(&err, -errno, "cannot open the sandbox %s", ex.o.sandbox);
    }
    if (r < 0) {
        log_error("%s", err.msg);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    ex.loop = loop_new();
    list_init(&ex.updates);
    list_init(&ex.tasks);
    timer_init(&ex.ack_limit, ex.loop, on_ack_limit);
    struct loop_signal *term = loop_signal_new(ex.loop, SIGTERM, on_signal, &ex);
    struct loop_signal *interrupt = loop_signal_new(ex.loop, SIGINT, on_signal, &ex);
    link_init(&ex);
    loop_run(ex.loop);

    leave_status(&ex);
    link_done(&ex);
    LIST_FOREACH_SAFE (u, &ex.updates, struct update, node)
        update_free(u);
    LIST_FOREACH_SAFE (t, &ex.tasks, struct task, node)
        task_free(t);
    pod_groups_free(&ex);
    timer_stop(&ex.ack_limit);
    loop_signal_free(term);
    loop_signal_free(interrupt);
    arena_done(&ex.info_arena);
    loop_free(ex.loop);
    fd_close(ex.sandbox_fd);
    free(ex.o.host);
    return ex.exit_code;
}
