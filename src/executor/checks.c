/* Performing the checks that checks_core.c asks for. */

#include "executor/executor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/vec.h"
#include "io/stream.h"

enum { REDIRECTS_MAX = 5, ANSWER_MAX = 64 * 1024, HELPER_OUTPUT_MAX = 64 };

enum probe { PROBE_COMMAND, PROBE_HTTP, PROBE_HTTPS, PROBE_TCP };

struct checker {
    struct executor *ex;
    struct task *task;
    struct check_core core;
    enum probe probe;
    const Mesos__V1__CommandInfo *command;
    uint16_t port;
    const char *path;
    bool ipv6;
    struct timer timer;

    /* the one under way */
    bool busy, timed_out;
    struct spawn spawn;
    struct loop_fd *pid_watch;
    bool have_status;
    int status;
    int output_fd; /* dcos-https-check's answer, or -1 */
    struct http_call *call;
    struct http_client *http;
    struct stream_connect *connecting;
    unsigned redirects;
    char host[256], target[2048];
    uint16_t target_port;
};

static void arm(struct checker *c)
{
    int64_t deadline = check_core_next_deadline(&c->core);
    if (deadline == INT64_MAX)
        timer_stop(&c->timer);
    else
        timer_start(&c->timer, deadline - loop_now_us(c->ex->loop));
}

static void tell(struct checker *c)
{
    struct task *t = c->task;
    struct update_text u = {.state = MESOS__V1__TASK_STATE__TASK_RUNNING, .has_reason = true};
    if (c->core.config.health) {
        t->has_healthy = true;
        t->healthy = c->core.failures == 0;
        u.reason = MESOS__V1__TASK_STATUS__REASON__REASON_TASK_HEALTH_CHECK_STATUS_UPDATED;
    } else {
        u.reason = MESOS__V1__TASK_STATUS__REASON__REASON_TASK_CHECK_STATUS_UPDATED;
    }
    update_send(c->ex, t, &u);
}

static void conclude(struct checker *c, unsigned actions)
{
    struct task *t = c->task;
    if (actions & CHECK_ACTION_UPDATE)
        tell(c);
    arm(c);
    if (actions & CHECK_ACTION_KILL) {
        log_info("task is unhealthy, killing it task=%s", t->info->task_id->value);
        t->killed_by_health = true;
        task_kill(t, task_grace_us(t, NULL));
    }
}

/* A result, or CHECK_VALUE_NONE when the check could not be completed. */
static void finished(struct checker *c, int64_t value, const char *why)
{
    if (!c->busy)
        return;
    c->busy = false;
    int64_t now = loop_now_us(c->ex->loop);
    if (!c->core.config.health) {
        conclude(c, check_core_value(&c->core, value, now));
        return;
    }
    bool healthy = c->probe == PROBE_COMMAND ? value == 0
                   : c->probe == PROBE_TCP   ? value == 1
                                             : value >= 200 && value <= 399;
    if (!healthy)
        log_info("health check failed task=%s reason=%s", c->task->info->task_id->value,
            value == CHECK_VALUE_NONE ? why : "bad result");
    conclude(c, check_core_health(&c->core, healthy, now));
}

/* ---- commands, and the helper for https ---- */

static void drop_process(struct checker *c)
{
    if (c->pid_watch)
        loop_fd_free(TAKE_PTR(c->pid_watch));
    spawn_done(&c->spawn);
    c->output_fd = fd_close(c->output_fd);
}

static void on_process_gone(void *userdata, unsigned events)
{
    struct checker *c = userdata;
    struct spawn_record record;
    bool started = false, ended = false;
    int status = 0;
    while (read(c->spawn.result_fd, &record, sizeof record) == (ssize_t)sizeof record) {
        started = started || record.kind == SPAWN_STARTED;
        if (record.kind == SPAWN_STATUS) {
            ended = true;
            status = record.value;
        }
    }
    siginfo_t info = {0};
    waitid(P_PIDFD, (id_t)c->spawn.pidfd, &info, WEXITED);
    char answer[HELPER_OUTPUT_MAX];
    ssize_t n = c->output_fd >= 0 ? read(c->output_fd, answer, sizeof answer) : 0;
    drop_process(c);
    if (c->timed_out) {
        finished(c, CHECK_VALUE_NONE, "it took too long");
    } else if (!started) {
        finished(c, CHECK_VALUE_NONE, "its command cannot be run");
    } else if (c->probe == PROBE_HTTPS) {
        int64_t code;
        bool good = ended && status == 0 && n > 0 &&
                    parse_i64(str_trim((struct str){answer, (size_t)n}), &code) == 0;
        finished(c, good ? code : CHECK_VALUE_NONE, "no answer");
    } else if (!ended || !WIFEXITED(status)) {
        finished(c, c->core.config.health ? 1 : CHECK_VALUE_NONE, "its command was killed");
    } else {
        finished(c, WEXITSTATUS(status), NULL);
    }
}

static void run(struct checker *c, const char *const *argv, const char *const *envp,
    const char *file, bool inside, int stdout_fd)
{
    const struct task *t = c->task;
    struct spawn_options o = {.argv = argv,
        .envp = envp,
        .file = file,
        .cwd = t->sandbox,
        .user = t->user,
        .stdout_fd = stdout_fd,
        .stderr_fd = inside ? t->err_fd : -1,
        .supervised = true,
        .dies_with_caller = true,
        .cgroup_fd = -1,
        .join_pidfd = inside && t->namespaces ? t->spawn.pidfd : -1,
        .no_new_privs = t->user && spawn_mounts_need_no_new_privs(t->mounts, t->n_mounts)};
    struct error err = ERROR_INIT;
    int r = spawn_start(&o, &c->spawn, &err);
    if (r == 0)
        r = loop_fd_new(
            c->ex->loop, c->spawn.pidfd, LOOP_READABLE, on_process_gone, c, &c->pid_watch);
    if (r < 0) {
        log_warn("cannot run a check error=%s", err.msg);
        drop_process(c);
        c->busy = false;
        check_core_transient(&c->core, loop_now_us(c->ex->loop));
        arm(c);
        return;
    }
    spawn_release(&c->spawn);
}

static void probe_command(struct checker *c)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    const char *file;
    const char *const *argv = command_argv(c->command, &arena, &file);
    const char *const *envp = command_env(c->task, c->task->info->command, c->command, &arena);
    run(c, argv, envp, file, true, c->task->out_fd);
}

static void probe_https(struct checker *c)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    const char *argv[] = {"dcos-https-check", c->ipv6 ? "::1" : "127.0.0.1",
        arena_printf(&arena, "%u", c->port), c->path, NULL};
    const char *envp[] = {"PATH=/usr/bin:/bin", NULL};
    int fds[2];
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0) {
        finished(c, CHECK_VALUE_NONE, "no pipe");
        return;
    }
    c->output_fd = fds[0];
    run(c, argv, envp, arena_printf(&arena, "%s/dcos-https-check", c->ex->o.launcher_dir), false,
        fds[1]);
    close(fds[1]);
}

/* ---- http ---- */

static void request(struct checker *c);

static void on_answer(struct http_call *call, int status, const char *error,
    const struct http_response *res, void *userdata)
{
    struct checker *c = userdata;
    c->call = NULL;
    if (status < 0) {
        finished(c, CHECK_VALUE_NONE, error);
        return;
    }
    struct str location = http_headers_get(&res->headers, "location");
    bool redirect = res->status >= 301 && res->status <= 308 && res->status != 304 && location.p;
    if (redirect && c->core.config.health && c->redirects++ < REDIRECTS_MAX) {
        struct http_url url;
        if (location.n && location.p[0] == '/' && location.n < sizeof c->target) {
            snprintf(c->target, sizeof c->target, STR_FMT, STR_ARG(location));
            request(c);
            return;
        }
        if (http_url_parse(location, &url, NULL) == 0 && !url.tls && url.host.n < sizeof c->host &&
            url.target.n < sizeof c->target) {
            snprintf(c->host, sizeof c->host, STR_FMT, STR_ARG(url.host));
            snprintf(c->target, sizeof c->target, STR_FMT, STR_ARG(url.target));
            c->target_port = url.port;
            request(c);
            return;
        }
    }
    finished(c, res->status, NULL);
}

static void request(struct checker *c)
{
    static const struct http_call_handlers handlers = {.on_done = on_answer};
    struct http_call_options o = {.method = "GET",
        .host = c->host,
        .port = c->target_port,
        .target = c->target,
        .collect_max = ANSWER_MAX,
        .fresh = true};
    c->call = http_call_start(c->http, &o, &handlers, c);
}

static void probe_http(struct checker *c)
{
    if (!c->http)
        c->http = http_client_new(c->ex->loop, &(struct http_client_options){.idle_per_host = 1});
    snprintf(c->host, sizeof c->host, "%s", c->ipv6 ? "::1" : "127.0.0.1");
    snprintf(c->target, sizeof c->target, "%s", c->path);
    c->target_port = c->port;
    c->redirects = 0;
    request(c);
}

/* ---- tcp ---- */

static void on_connected(struct stream *s, int status, const char *error, void *userdata)
{
    struct checker *c = userdata;
    c->connecting = NULL;
    if (s)
        stream_close(s);
    finished(c, status == 0, error);
}

static void probe_tcp(struct checker *c)
{
    struct stream_connect_options o = {.host = c->ipv6 ? "::1" : "127.0.0.1", .port = c->port};
    c->connecting = stream_connect_start(c->ex->loop, &o, on_connected, c);
}

/* ---- driving ---- */

static void cancel(struct checker *c)
{
    if (c->call)
        http_call_cancel(TAKE_PTR(c->call));
    if (c->connecting)
        stream_connect_cancel(TAKE_PTR(c->connecting));
    if (c->spawn.pidfd >= 0)
        pidfd_send_signal(c->spawn.pidfd, SPAWN_SIGNAL_KILL, NULL, 0);
}

static void on_timer(struct timer *timer)
{
    struct checker *c = container_of(timer, struct checker, timer);
    unsigned actions = check_core_tick(&c->core, loop_now_us(c->ex->loop));
    if (actions & CHECK_ACTION_START) {
        c->busy = true;
        c->timed_out = false;
        arm(c);
        static void (*const probes[])(struct checker *) = {[PROBE_COMMAND] = probe_command,
            [PROBE_HTTP] = probe_http,
            [PROBE_HTTPS] = probe_https,
            [PROBE_TCP] = probe_tcp};
        probes[c->probe](c);
        return;
    }
    if (actions & CHECK_ACTION_TIMEOUT) {
        bool process = c->spawn.pidfd >= 0;
        c->timed_out = true;
        cancel(c);
        if (!process) /* a process reports its end */
            finished(c, c->probe == PROBE_TCP ? 0 : CHECK_VALUE_NONE, "it took too long");
        else
            arm(c);
        return;
    }
    arm(c);
}

static struct checker *checker_new(struct task *t, const struct check_config *config)
{
    struct checker *c = xnew(struct checker);
    c->ex = t->ex;
    c->task = t;
    c->output_fd = -1;
    c->spawn = (struct spawn){.pidfd = -1, .result_fd = -1, .hold_fd = -1};
    check_core_init(&c->core, config);
    timer_init(&c->timer, t->ex->loop, on_timer);
    return c;
}

static int64_t seconds(bool has, double value, double fallback)
{
    double s = has ? value : fallback;
    return s <= 0 ? 0 : s > 1e9 ? (int64_t)1e9 * USEC_PER_SEC : (int64_t)(s * 1e6);
}

static struct checker *make_health(struct task *t, const Mesos__V1__HealthCheck *h)
{
    struct check_config config = {.health = true,
        .delay_us = seconds(h->has_delay_seconds, h->delay_seconds, 15),
        .interval_us = seconds(h->has_interval_seconds, h->interval_seconds, 10),
        .timeout_us = seconds(h->has_timeout_seconds, h->timeout_seconds, 20),
        .grace_us = seconds(h->has_grace_period_seconds, h->grace_period_seconds, 10),
        .consecutive_failures = h->has_consecutive_failures ? h->consecutive_failures : 3};
    struct checker *c = checker_new(t, &config);
    Mesos__V1__HealthCheck__Type type = h->has_type  ? h->type
                                        : h->command ? MESOS__V1__HEALTH_CHECK__TYPE__COMMAND
                                        : h->http    ? MESOS__V1__HEALTH_CHECK__TYPE__HTTP
                                                     : MESOS__V1__HEALTH_CHECK__TYPE__TCP;
    if (type == MESOS__V1__HEALTH_CHECK__TYPE__COMMAND && h->command) {
        c->probe = PROBE_COMMAND;
        c->command = h->command;
    } else if (type == MESOS__V1__HEALTH_CHECK__TYPE__HTTP && h->http) {
        c->probe = h->http->scheme && streq(h->http->scheme, "https") ? PROBE_HTTPS : PROBE_HTTP;
        c->port = (uint16_t)h->http->port;
        c->path = h->http->path && *h->http->path ? h->http->path : "/";
        c->ipv6 = h->http->has_protocol &&
                  h->http->protocol == MESOS__V1__NETWORK_INFO__PROTOCOL__IPv6;
    } else if (type == MESOS__V1__HEALTH_CHECK__TYPE__TCP && h->tcp) {
        c->probe = PROBE_TCP;
        c->port = (uint16_t)h->tcp->port;
        c->ipv6 = h->tcp->has_protocol &&
                  h->tcp->protocol == MESOS__V1__NETWORK_INFO__PROTOCOL__IPv6;
    } else {
        free(c);
        return NULL;
    }
    return c;
}

static struct checker *make_check(struct task *t, const Mesos__V1__CheckInfo *k)
{
    struct check_config config = {.delay_us = seconds(k->has_delay_seconds, k->delay_seconds, 15),
        .interval_us = seconds(k->has_interval_seconds, k->interval_seconds, 10),
        .timeout_us = seconds(k->has_timeout_seconds, k->timeout_seconds, 20)};
    struct checker *c = checker_new(t, &config);
    if (k->type == MESOS__V1__CHECK_INFO__TYPE__COMMAND && k->command && k->command->command) {
        c->probe = PROBE_COMMAND;
        c->command = k->command->command;
    } else if (k->type == MESOS__V1__CHECK_INFO__TYPE__HTTP && k->http) {
        c->probe = PROBE_HTTP;
        c->port = (uint16_t)k->http->port;
        c->path = k->http->path && *k->http->path ? k->http->path : "/";
    } else if (k->type == MESOS__V1__CHECK_INFO__TYPE__TCP && k->tcp) {
        c->probe = PROBE_TCP;
        c->port = (uint16_t)k->tcp->port;
    } else {
        free(c);
        return NULL;
    }
    return c;
}

static void start(struct checker *c)
{
    if (!c)
        return;
    check_core_start(&c->core, loop_now_us(c->ex->loop));
    arm(c);
}

void checks_start(struct task *t)
{
    if (t->info->health_check)
        t->health = make_health(t, t->info->health_check);
    if (t->info->check)
        t->check = make_check(t, t->info->check);
    start(t->health);
    start(t->check);
}

static void stop(struct checker *c)
{
    if (!c)
        return;
    check_core_stop(&c->core);
    timer_stop(&c->timer);
    cancel(c);
    c->busy = false;
}

void checks_stop(struct task *t)
{
    stop(t->health);
    stop(t->check);
}

static void checker_free(struct checker *c)
{
    if (!c)
        return;
    stop(c);
    drop_process(c);
    if (c->http)
        http_client_free(c->http);
    free(c);
}

void checks_free(struct task *t)
{
    checker_free(TAKE_PTR(t->health));
    checker_free(TAKE_PTR(t->check));
}

bool checks_own(const struct task *t, pid_t pid)
{
    return (t->health && t->health->spawn.pidfd >= 0 && t->health->spawn.pid == pid) ||
           (t->check && t->check->spawn.pidfd >= 0 && t->check->spawn.pid == pid);
}

void checks_fill(const struct task *t, TaskStatus *status, struct arena *arena)
{
    const Mesos__V1__CheckInfo *k = t->info->check;
    if (!k || !k->has_type)
        return;
    const struct checker *c = t->check;
    bool known = c && c->core.has_value && c->core.value != CHECK_VALUE_NONE;
    Mesos__V1__CheckStatusInfo *s = arena_new(arena, Mesos__V1__CheckStatusInfo);
    mesos__v1__check_status_info__init(s);
    s->has_type = true;
    s->type = k->type;
    if (k->type == MESOS__V1__CHECK_INFO__TYPE__COMMAND) {
        s->command = arena_new(arena, Mesos__V1__CheckStatusInfo__Command);
        mesos__v1__check_status_info__command__init(s->command);
        s->command->has_exit_code = known;
        s->command->exit_code = known ? (int32_t)c->core.value : 0;
    } else if (k->type == MESOS__V1__CHECK_INFO__TYPE__HTTP) {
        s->http = arena_new(arena, Mesos__V1__CheckStatusInfo__Http);
        mesos__v1__check_status_info__http__init(s->http);
        s->http->has_status_code = known;
        s->http->status_code = known ? (uint32_t)c->core.value : 0;
    } else if (k->type == MESOS__V1__CHECK_INFO__TYPE__TCP) {
        s->tcp = arena_new(arena, Mesos__V1__CheckStatusInfo__Tcp);
        mesos__v1__check_status_info__tcp__init(s->tcp);
        s->tcp->has_succeeded = known;
        s->tcp->succeeded = known && c->core.value;
    }
    status->check_status = s;
}
