#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parse.h"
#include "io/process.h"
#include "router/router.h"

/*
 * nginx as a child. A configuration counts only when `nginx -t` takes it: then it replaces the
 * last good one, else that one stays. nginx outlives this daemon when it is killed; the next one
 * takes it over by its pid file and tells it to read the configuration again.
 */

#define PAUSE_MIN_US (100 * USEC_PER_MSEC)
#define PAUSE_MAX_US (5 * USEC_PER_SEC)
#define CHECK_TIMEOUT_US (60 * USEC_PER_SEC)
#define QUIT_US (5 * USEC_PER_SEC)
enum { OUTPUT_MAX = 16 * 1024, STARTED_STEP_US = 10000 };

struct child {
    struct router *router;
    char *conf, *fresh, *pid_file;
    struct process *check, *process; /* process: started by us */
    int pidfd;                       /* of one that we took over, or -1 */
    struct loop_fd *watch;
    pid_t pid; /* 0: none runs */
    struct timer again, started, quit;
    int64_t pause_us;
    bool ending, have_good, told_ready;
};

static void start(struct child *c);
static void check(struct child *c);

static void gone(struct child *c, const char *how)
{
    c->pid = 0;
    if (c->ending) {
        loop_stop(c->router->loop);
        return;
    }
    timer_stop(&c->started);
    log_error("nginx ended, starting it again how=%s pause_ms=%lld log=%s/error.log", how,
        (long long)(c->pause_us / USEC_PER_MSEC), c->router->options.run_dir);
    timer_start(&c->again, c->pause_us);
    c->pause_us = MIN(c->pause_us * 2, PAUSE_MAX_US);
}

/* ---- taking over ---- */

static void pid_ended(void *userdata, unsigned events)
{
    struct child *c = userdata;
    loop_fd_free(c->watch);
    c->watch = NULL;
    c->pidfd = fd_close(c->pidfd);
    gone(c, "it was taken over");
}

static pid_t read_pid(struct child *c)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    uint32_t pid;
    if (file_read(c->pid_file, 64, &text, NULL) < 0 ||
        parse_u32(str_trim(buf_str(&text)), &pid) < 0)
        return 0;
    return (pid_t)pid;
}

/* Whether the process is an nginx with our configuration: its title names it. */
static bool is_ours(struct child *c, pid_t pid)
{
    char path[64];
    _cleanup_buf_ struct buf line = BUF_INIT;
    snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
    return file_read(path, OUTPUT_MAX, &line, NULL) >= 0 && line.n &&
           memmem(line.p, line.n, "nginx", 5) && memmem(line.p, line.n, c->conf, strlen(c->conf));
}

static bool take_over(struct child *c)
{
    const pid_t pid = read_pid(c);
    if (pid <= 0)
        return false;
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0)
        return false;
    if (!is_ours(c, pid) ||
        loop_fd_new(c->router->loop, fd, LOOP_READABLE, pid_ended, c, &c->watch) < 0) {
        fd_close(fd);
        return false;
    }
    c->pidfd = fd;
    c->pid = pid;
    log_info("took over nginx pid=%d", (int)pid);
    return true;
}

/* ---- starting ---- */

static void ended(const struct process_result *result, void *userdata)
{
    struct child *c = userdata;
    char how[64];
    c->process = NULL;
    if (WIFSIGNALED(result->status))
        snprintf(how, sizeof(how), "signal %d", WTERMSIG(result->status));
    else
        snprintf(how, sizeof(how), "status %d", WEXITSTATUS(result->status));
    gone(c, how);
}

static void is_started(struct timer *t)
{
    struct child *c = container_of(t, struct child, started);
    if (!c->pid || read_pid(c) != c->pid) {
        timer_start(t, STARTED_STEP_US);
        return;
    }
    c->pause_us = PAUSE_MIN_US;
    if (!c->told_ready)
        router_ready(c->router);
    c->told_ready = true;
}

static void start(struct child *c)
{
    const struct router_options *o = &c->router->options;
    if (take_over(c)) {
        kill(c->pid, SIGHUP);
        timer_start(&c->started, 0);
        return;
    }
    const char *argv[] = {o->nginx, "-p", o->run_dir, "-c", c->conf, NULL};
    const struct process_options options = {
        .argv = argv, .stdout_fd = STDERR_FILENO, .stderr_fd = STDERR_FILENO, .own_group = true};
    struct error err = ERROR_INIT;
    unlink(c->pid_file);
    if (process_start(c->router->loop, &options, ended, c, &c->process, &err) < 0) {
        gone(c, err.msg);
        return;
    }
    c->pid = process_pid(c->process);
    timer_start(&c->started, STARTED_STEP_US);
}

static void start_again(struct timer *t)
{
    start(container_of(t, struct child, again));
}

/* ---- checking ---- */

static void checked(const struct process_result *result, void *userdata)
{
    struct child *c = userdata;
    c->check = NULL;
    if (c->ending) {
        loop_stop(c->router->loop);
        return;
    }
    const bool good = WIFEXITED(result->status) && WEXITSTATUS(result->status) == 0 &&
                      !result->timed_out;
    if (good && rename(c->fresh, c->conf) == 0) {
        c->have_good = true;
    } else {
        struct str why = str_trim(result->err);
        log_error(
            "nginx refuses the configuration%s; look at the flags that it names, or that %s is "
            "nginx and %s its module of the same build error=" STR_FMT,
            c->have_good ? ", the last good one stays in force" : "", c->router->options.nginx,
            c->router->options.nginx_module, STR_ARG(why));
        if (!c->have_good) {
            c->router->failure = 1;
            loop_stop(c->router->loop);
            return;
        }
    }
    if (c->router->options.detached) {
        router_ready(c->router);
        return;
    }
    if (!c->pid)
        start(c);
    else if (good)
        kill(c->pid, SIGHUP);
}

static void check(struct child *c)
{
    const struct router_options *o = &c->router->options;
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct error err = ERROR_INIT;
    int r = config_write(o, &text, &err);
    if (r == 0)
        r = file_write_atomic(c->fresh, text.p, text.n, 0644, &err);
    const char *argv[] = {o->nginx, "-t", "-q", "-p", o->run_dir, "-c", c->fresh, NULL};
    const struct process_options options = {
        .argv = argv, .capture_max = OUTPUT_MAX, .timeout_us = CHECK_TIMEOUT_US, .own_group = true};
    if (r == 0)
        r = process_start(c->router->loop, &options, checked, c, &c->check, &err);
    if (r < 0) {
        log_error("cannot check nginx's configuration; is nginx installed? error=%s", err.msg);
        if (c->have_good && !c->pid && !o->detached)
            start(c);
        if (!c->have_good) {
            c->router->failure = 1;
            loop_stop(c->router->loop);
        }
    }
}

void child_reload(struct child *c)
{
    if (!c->check && !c->ending)
        check(c);
}

static void quit_hard(struct timer *t)
{
    struct child *c = container_of(t, struct child, quit);
    if (c->pid)
        kill(c->pid, SIGTERM);
}

void child_end(struct child *c)
{
    c->ending = true;
    timer_stop(&c->again);
    timer_stop(&c->started);
    if (c->pid) {
        kill(c->pid, SIGQUIT);
        timer_start(&c->quit, QUIT_US);
    } else if (!c->check) {
        loop_stop(c->router->loop);
    }
}

struct child *child_new(struct router *r)
{
    struct child *c = xnew(struct child);
    c->router = r;
    c->pidfd = -1;
    c->pause_us = PAUSE_MIN_US;
    c->conf = path_join(r->options.run_dir, "nginx.conf");
    c->fresh = path_join(r->options.run_dir, "nginx.conf.new");
    c->pid_file = path_join(r->options.run_dir, "nginx.pid");
    c->have_good = path_exists(c->conf);
    timer_init(&c->again, r->loop, start_again);
    timer_init(&c->started, r->loop, is_started);
    timer_init(&c->quit, r->loop, quit_hard);
    check(c);
    return c;
}

void child_free(struct child *c)
{
    if (!c)
        return;
    timer_stop(&c->again);
    timer_stop(&c->started);
    timer_stop(&c->quit);
    if (c->check)
        process_abandon(c->check);
    if (c->process)
        process_abandon(c->process);
    if (c->watch)
        loop_fd_free(c->watch);
    fd_close(c->pidfd);
    free(c->conf);
    free(c->fresh);
    free(c->pid_file);
    free(c);
}
