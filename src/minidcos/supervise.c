#include "minidcos/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "io/loop.h"
#include "minidcos/door.h"

extern char **environ;

enum {
    BACKOFF_MIN_MS = 100,
    BACKOFF_MAX_MS = 10 * 1000,
    STABLE_MS = 10 * 1000,      /* after so long a daemon that ends is started again at once */
    READY_POLL_MS = 10,         /* how often the ready files of starting daemons are looked at */
    STAGE_WAIT_MS = 2000,       /* a stage starts when the one before serves, or after so long */
    STOP_GRACE_MS = 10 * 1000,  /* from SIGTERM to SIGKILL */
    LOG_MAX = 64 * 1024 * 1024, /* a log that is larger at a start is moved to <name>.log.1 */
    READY_FILE_MAX = 64 * 1024,
};

struct supervisor;

struct watched {
    struct supervisor *supervisor;
    struct daemon *daemon;
    int pidfd;
    struct loop_fd *watch;
    struct timer restart;
    int64_t backoff_ms;
    int status; /* raw wait status of our own child */
    bool have_status;
};

struct supervisor {
    struct cluster *cluster;
    struct loop *loop;
    struct watched *watched; /* one per daemon */
    struct timer ready_poll, stop_grace, stage_wait;
    bool stopping;
    int stage; /* daemons of this one and of earlier ones were started */
    struct deferred save;
};

static void mark_dirty(struct supervisor *s)
{
    loop_defer(s->loop, &s->save);
}

static void on_save(struct deferred *d)
{
    struct supervisor *s = container_of(d, struct supervisor, save);
    struct error err = ERROR_INIT;
    if (cluster_save(s->cluster, &err) < 0)
        log_error("state not written: %s", err.msg);
}

/* ---- starting ---- */

static bool is_flag_variable(const char *entry)
{
    /* Settings of the caller's shell must not become flags of daemons. */
    static const char *const prefixes[] = {"MESOS_", "MARATHON_", "DCOS_", "LIBPROCESS_"};
    for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
        if (has_prefix(entry, prefixes[i]))
            return true;
    }
    return false;
}

/* The caller's environment without flags, with the mark that `destroy` looks for. */
static char **make_environment(const struct cluster *c)
{
    size_t n = 0;
    while (environ[n])
        n++;
    char **env = xnew_array(char *, n + 2);
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (!is_flag_variable(environ[i]) && !has_prefix(environ[i], "MINIDCOS_"))
            env[k++] = xstrdup(environ[i]);
    }
    env[k] = xasprintf("MINIDCOS_CLUSTER=%s", c->dir);
    return env;
}

static void free_environment(char **env)
{
    for (size_t i = 0; env[i]; i++)
        free(env[i]);
    free(env);
}

static void limit_log(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0 || st.st_size < LOG_MAX)
        return;
    _cleanup_free_ char *old = xasprintf("%s.1", path);
    if (rename(path, old) < 0)
        log_warn("log not moved path=%s: %s", path, errno_text(errno));
}

/* In a session of its own, so that Ctrl-C of the caller's terminal does not reach it. */
static int spawn_daemon(const struct cluster *c, struct daemon *d)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    sigdelset(&all, SIGKILL);
    sigdelset(&all, SIGSTOP);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setflags(
        &attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, d->log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    posix_spawn_file_actions_adddup2(&files, 1, 2);
    posix_spawn_file_actions_addchdir_np(&files, c->dir);
    char **env = make_environment(c);
    char **argv = xnew_array(char *, d->argv.n + 1);
    for (size_t i = 0; i < d->argv.n; i++)
        argv[i] = d->argv.items[i];
    limit_log(d->log);
    unlink(d->ready_file);
    pid_t pid = 0;
    int r = posix_spawn(&pid, argv[0], &files, &attr, argv, env);
    free(argv);
    free_environment(env);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attr);
    if (r != 0)
        return -r;
    d->pid = pid;
    d->start = process_start_time(pid);
    d->started_us = clock_realtime_us();
    return 0;
}

static void on_ended(void *userdata, unsigned events);
static void start_daemon(struct watched *w);
static void poll_ready(struct timer *t);

static void watch_process(struct watched *w)
{
    struct daemon *d = w->daemon;
    w->have_status = false;
    w->pidfd = (int)syscall(SYS_pidfd_open, d->pid, 0);
    struct error err = ERROR_INIT;
    int r = w->pidfd < 0
                ? -errno
                : loop_fd_new(w->supervisor->loop, w->pidfd, LOOP_READABLE, on_ended, w, &w->watch);
    if (r < 0) {
        /* Ended already: handled like any end, from the loop. */
        log_warn(
            "cannot watch daemon=%s pid=%d: %s%s", d->name, (int)d->pid, errno_text(r), err.msg);
        d->state = DAEMON_WAITING;
        timer_start(&w->restart, BACKOFF_MIN_MS * USEC_PER_MSEC);
        return;
    }
    d->state = DAEMON_STARTING;
    timer_start(&w->supervisor->ready_poll, READY_POLL_MS * USEC_PER_MSEC);
}

static void retry_later(struct watched *w)
{
    w->daemon->state = DAEMON_WAITING;
    timer_start(&w->restart, w->backoff_ms * USEC_PER_MSEC);
    w->backoff_ms = MIN(w->backoff_ms * 2, (int64_t)BACKOFF_MAX_MS);
}

static void on_restart(struct timer *t)
{
    start_daemon(container_of(t, struct watched, restart));
}

static void start_daemon(struct watched *w)
{
    struct daemon *d = w->daemon;
    int r = spawn_daemon(w->supervisor->cluster, d);
    if (r < 0) {
        free(d->last_exit);
        d->last_exit = xasprintf("could not be started: %s", errno_text(r));
        d->pid = 0;
        log_error("daemon=%s %s", d->name, d->last_exit);
        retry_later(w);
    } else {
        log_info("started daemon=%s pid=%d", d->name, (int)d->pid);
        watch_process(w);
    }
    mark_dirty(w->supervisor);
}

enum { STAGES = 3 };

/* What needs nothing, what needs ZooKeeper, what needs a master. None of them fails without: they
 * would only try in vain for a while. */
static int stage_of(enum daemon_kind kind)
{
    if (kind == DAEMON_ZOOKEEPER || kind == DAEMON_IAM)
        return 0;
    return kind == DAEMON_MASTER ? 1 : 2;
}

/* Whether the next stage may start: nothing that it waits for was ever there, or one of it serves.
 */
static bool stage_serves(const struct supervisor *s)
{
    bool waits = false;
    for (size_t i = 0; i < s->cluster->daemons.n; i++) {
        const struct daemon *d = s->watched[i].daemon;
        bool waited_for = d->kind == DAEMON_ZOOKEEPER || d->kind == DAEMON_MASTER;
        if (!waited_for || stage_of(d->kind) != s->stage)
            continue;
        if (d->state == DAEMON_RUNNING)
            return true;
        waits = true;
    }
    return !waits;
}

static void next_stage(struct supervisor *s)
{
    while (!s->stopping && s->stage < STAGES - 1) {
        s->stage++;
        for (size_t i = 0; i < s->cluster->daemons.n; i++) {
            struct watched *w = &s->watched[i];
            if (stage_of(w->daemon->kind) == s->stage && w->daemon->state == DAEMON_STOPPED)
                start_daemon(w);
        }
        if (s->stage < STAGES - 1 && !stage_serves(s)) {
            timer_start(&s->stage_wait, STAGE_WAIT_MS * USEC_PER_MSEC);
            return;
        }
    }
    timer_stop(&s->stage_wait);
}

static void on_stage_wait(struct timer *t)
{
    next_stage(container_of(t, struct supervisor, stage_wait));
}

static bool is_ready(const struct daemon *d)
{
    if (d->kind == DAEMON_ZOOKEEPER)
        return zookeeper_serves(d);
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_json_ json_t *json = NULL;
    return file_read(d->ready_file, READY_FILE_MAX, &text, NULL) == 0 &&
           json_parse(buf_cstr(&text), text.n, &json, NULL) == 0 &&
           json_i64_at(json, "pid", 0) == d->pid;
}

static void poll_ready(struct timer *t)
{
    struct supervisor *s = container_of(t, struct supervisor, ready_poll);
    bool left = false;
    for (size_t i = 0; i < s->cluster->daemons.n; i++) {
        struct daemon *d = s->watched[i].daemon;
        if (d->state != DAEMON_STARTING)
            continue;
        if (!is_ready(d)) {
            left = true;
            continue;
        }
        d->state = DAEMON_RUNNING;
        log_info("serving daemon=%s pid=%d", d->name, (int)d->pid);
        mark_dirty(s);
        if (stage_of(d->kind) == s->stage && stage_serves(s))
            next_stage(s);
    }
    if (left)
        timer_start(&s->ready_poll, READY_POLL_MS * USEC_PER_MSEC);
}

/* ---- ending ---- */

static void note_exit(struct watched *w)
{
    struct daemon *d = w->daemon;
    free(d->last_exit);
    if (!w->have_status)
        d->last_exit = xstrdup("ended; it was started by an earlier supervisor");
    else if (WIFSIGNALED(w->status))
        d->last_exit = xasprintf("killed by signal %d", WTERMSIG(w->status));
    else
        d->last_exit = xasprintf("exited with status %d", WEXITSTATUS(w->status));
}

static void unwatch(struct watched *w)
{
    if (w->watch)
        loop_fd_free(w->watch);
    w->watch = NULL;
    w->pidfd = fd_close(w->pidfd);
}

static bool any_left(const struct supervisor *s)
{
    for (size_t i = 0; i < s->cluster->daemons.n; i++) {
        if (s->watched[i].watch)
            return true;
    }
    return false;
}

static void reap(struct supervisor *s)
{
    int status;
    /* Also executors whose agent died: they become our children. */
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        for (size_t i = 0; i < s->cluster->daemons.n; i++) {
            if (s->watched[i].daemon->pid == pid && s->watched[i].watch) {
                s->watched[i].status = status;
                s->watched[i].have_status = true;
            }
        }
    }
}

static void on_child(void *userdata, int signum)
{
    reap(userdata);
}

static void on_ended(void *userdata, unsigned events)
{
    struct watched *w = userdata;
    struct supervisor *s = w->supervisor;
    struct daemon *d = w->daemon;
    reap(s);
    note_exit(w);
    unwatch(w);
    int64_t ran_ms = (clock_realtime_us() - d->started_us) / USEC_PER_MSEC;
    pid_t pid = d->pid;
    d->pid = 0;
    d->start = 0;
    mark_dirty(s);
    if (s->stopping) {
        d->state = DAEMON_STOPPED;
        log_info("stopped daemon=%s pid=%d %s", d->name, (int)pid, d->last_exit);
        if (!any_left(s))
            loop_stop(s->loop);
        return;
    }
    log_warn("ended daemon=%s pid=%d %s", d->name, (int)pid, d->last_exit);
    d->restarts++;
    if (ran_ms >= STABLE_MS)
        w->backoff_ms = BACKOFF_MIN_MS;
    retry_later(w);
}

static void signal_all(struct supervisor *s, int signum)
{
    for (size_t i = 0; i < s->cluster->daemons.n; i++) {
        struct daemon *d = s->watched[i].daemon;
        if (s->watched[i].watch)
            process_signal(d->pid, d->start, signum);
    }
}

static void on_grace_over(struct timer *t)
{
    struct supervisor *s = container_of(t, struct supervisor, stop_grace);
    log_warn("daemons did not end in time, they are killed");
    signal_all(s, SIGKILL);
}

static void on_stop(void *userdata, int signum)
{
    struct supervisor *s = userdata;
    if (s->stopping)
        return;
    log_info("stopping");
    s->stopping = true;
    for (size_t i = 0; i < s->cluster->daemons.n; i++) {
        timer_stop(&s->watched[i].restart);
        if (!s->watched[i].watch)
            s->watched[i].daemon->state = DAEMON_STOPPED;
    }
    timer_stop(&s->ready_poll);
    timer_stop(&s->stage_wait);
    mark_dirty(s);
    if (!any_left(s)) {
        loop_stop(s->loop);
        return;
    }
    signal_all(s, SIGTERM);
    timer_start(&s->stop_grace, STOP_GRACE_MS * USEC_PER_MSEC);
}

/* ---- the whole ---- */

/* What an earlier supervisor left: running daemons are watched, the others wait to be started. */
static void adopt(struct supervisor *s)
{
    for (size_t i = 0; i < s->cluster->daemons.n; i++) {
        struct watched *w = &s->watched[i];
        struct daemon *d = w->daemon;
        if (process_alive(d->pid, d->start)) {
            log_info("taken over daemon=%s pid=%d", d->name, (int)d->pid);
            watch_process(w);
        } else {
            d->pid = 0;
            d->state = DAEMON_STOPPED;
        }
    }
}

static void start_all(struct supervisor *s)
{
    adopt(s);
    s->stage = -1;
    next_stage(s);
}

static int take_lock(const struct cluster *c)
{
    _cleanup_free_ char *path = cluster_path(c, "supervisor.lock");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int r = -errno;
        close(fd);
        return r;
    }
    return fd;
}

int supervise(struct cluster *c, int ready_fd)
{
    log_init("minidcos");
    _cleanup_close_ int lock = take_lock(c);
    if (lock < 0) {
        log_error("cluster=%s has a supervisor already or cannot be locked: %s", c->name,
            errno_text(lock));
        return 1;
    }
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    c->supervisor_pid = getpid();
    c->supervisor_start = process_start_time(getpid());

    struct supervisor s = {.cluster = c, .loop = loop_new()};
    s.watched = xnew_array(struct watched, c->daemons.n);
    deferred_init(&s.save, on_save);
    timer_init(&s.ready_poll, s.loop, poll_ready);
    timer_init(&s.stop_grace, s.loop, on_grace_over);
    timer_init(&s.stage_wait, s.loop, on_stage_wait);
    for (size_t i = 0; i < c->daemons.n; i++) {
        struct watched *w = &s.watched[i];
        w->supervisor = &s;
        w->daemon = &c->daemons.items[i];
        w->pidfd = -1;
        w->backoff_ms = BACKOFF_MIN_MS;
        timer_init(&w->restart, s.loop, on_restart);
    }
    struct loop_signal *signals[] = {loop_signal_new(s.loop, SIGTERM, on_stop, &s),
        loop_signal_new(s.loop, SIGINT, on_stop, &s),
        loop_signal_new(s.loop, SIGCHLD, on_child, &s)};
    start_all(&s);
    struct error err = ERROR_INIT;
    if (cluster_save(c, &err) < 0) {
        log_error("state not written: %s", err.msg);
        on_stop(&s, SIGTERM);
    } else if (ready_fd >= 0) {
        fd_write_all(ready_fd, "ok", 2);
    }
    fd_close(ready_fd);
    if (!s.stopping || any_left(&s))
        loop_run(s.loop);

    for (size_t i = 0; i < c->daemons.n; i++) {
        timer_stop(&s.watched[i].restart);
        unwatch(&s.watched[i]);
    }
    timer_stop(&s.ready_poll);
    timer_stop(&s.stop_grace);
    timer_stop(&s.stage_wait);
    deferred_cancel(&s.save);
    for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
        loop_signal_free(signals[i]);
    loop_free(s.loop);
    free(s.watched);
    c->supervisor_pid = 0;
    c->supervisor_start = 0;
    if (cluster_save(c, &err) < 0)
        log_error("state not written: %s", err.msg);
    log_info("ended");
    return 0;
}

/* ---- starting the supervisor itself ---- */

/* Runs in the grandchild; does not return. */
static void _noreturn_ exec_supervisor(const struct cluster *c, int lease, int ready_fd)
{
    _cleanup_free_ char *log = path_join(c->dir, "logs", "supervisor.log");
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (out >= 0 && null >= 0) {
        dup2(null, 0);
        dup2(out, 1);
        dup2(out, 2);
    }
    /* These two stay open over the exec; the lease ends with the supervisor. */
    fcntl(ready_fd, F_SETFD, 0);
    fcntl(lease, F_SETFD, 0);
    char ready_text[16], lease_text[16];
    snprintf(ready_text, sizeof(ready_text), "%d", ready_fd);
    snprintf(lease_text, sizeof(lease_text), "%d", lease);
    if (chdir("/") == 0)
        execl("/proc/self/exe", "minidcos", "supervise", c->name, "--dir", c->home, "--ready-fd",
            ready_text, "--lease-fd", lease_text, (char *)NULL);
    _exit(127);
}

int supervisor_start(const struct cluster *c, int lease, struct error *err)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return error_errno(err, -errno, "cannot make a pipe");
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        setsid();
        pid_t grandchild = fork();
        if (grandchild == 0)
            exec_supervisor(c, lease, fds[1]);
        _exit(grandchild < 0 ? 1 : 0);
    }
    close(fds[1]);
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) < 0 || status != 0) {
        close(fds[0]);
        return error_set(err, -EAGAIN, "the supervisor could not be forked");
    }
    char answer[2];
    size_t n = 0;
    for (ssize_t k; n < sizeof(answer); n += (size_t)k) {
        k = read(fds[0], answer + n, sizeof(answer) - n);
        if (k < 0 && errno == EINTR)
            k = 0;
        else if (k <= 0)
            break;
    }
    close(fds[0]);
    if (n != sizeof(answer))
        return error_set(
            err, -EIO, "the supervisor ended at once; see %s/logs/supervisor.log", c->dir);
    return 0;
}
