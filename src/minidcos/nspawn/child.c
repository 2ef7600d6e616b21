/* Other programs, run and waited for. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "minidcos/nspawn/nspawn.h"

enum { OUTPUT_MAX = 1024 * 1024, EXIT_SIGNALLED = 128, EXIT_NOT_STARTED = 127, MESSAGE_LINES = 6 };

/* In the child. `out` >= 0: both streams go there. */
static _noreturn_ void become(const char *const *argv, const char *cwd, int out, pid_t parent)
{
    int null = open("/dev/null", O_RDONLY);
    /* What a killed command started must not go on without it. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(EXIT_NOT_STARTED);
    if (out >= 0 && (dup2(out, STDOUT_FILENO) < 0 || dup2(out, STDERR_FILENO) < 0))
        _exit(EXIT_NOT_STARTED);
    if (null >= 0)
        dup2(null, STDIN_FILENO);
    if (!cwd || chdir(cwd) == 0)
        execvp(argv[0], (char *const *)(uintptr_t)argv);
    dprintf(STDERR_FILENO, "cannot start %s: %s\n", argv[0], errno_text(errno));
    _exit(EXIT_NOT_STARTED);
}

static int status_of(int wait_status)
{
    return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status)
                                  : EXIT_SIGNALLED + WTERMSIG(wait_status);
}

static int wait_for(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return status_of(status);
}

static void start(struct child *c)
{
    int out[2];
    c->fd = -1;
    c->pid = 0;
    if (pipe2(out, O_CLOEXEC) < 0) {
        c->status = -errno;
        return;
    }
    pid_t parent = getpid();
    c->pid = fork();
    if (c->pid == 0)
        become(c->argv, NULL, out[1], parent);
    close(out[1]);
    if (c->pid < 0) {
        c->status = -errno;
        close(out[0]);
    } else {
        c->fd = out[0];
    }
}

/* False at the end of its output. */
static bool take(struct child *c)
{
    char piece[8192];
    ssize_t n = read(c->fd, piece, sizeof(piece));
    if (n < 0)
        return errno == EINTR || errno == EAGAIN;
    if (n == 0)
        return false;
    if (c->output.n > OUTPUT_MAX)
        buf_consume(&c->output, OUTPUT_MAX / 2);
    buf_append(&c->output, piece, (size_t)n);
    return true;
}

void children_run(struct child *children, size_t n, int64_t timeout_ms)
{
    int64_t end = clock_monotonic_us() + timeout_ms * USEC_PER_MSEC;
    struct pollfd *polls = xnew_array(struct pollfd, n + 1);
    size_t open_n = 0;
    bool late = false;
    for (size_t i = 0; i < n; i++) {
        start(&children[i]);
        polls[i] = (struct pollfd){.fd = children[i].fd, .events = POLLIN};
        open_n += children[i].fd >= 0;
    }
    while (open_n && !late) {
        int64_t left = timeout_ms ? (end - clock_monotonic_us()) / USEC_PER_MSEC : 1000;
        int got = poll(polls, n, (int)MIN(MAX(left, INT64_C(0)), INT64_C(1000)));
        for (size_t i = 0; got > 0 && i < n; i++) {
            if (!polls[i].revents || take(&children[i]))
                continue;
            children[i].fd = polls[i].fd = fd_close(children[i].fd);
            open_n--;
        }
        late = timeout_ms && clock_monotonic_us() >= end;
    }
    for (size_t i = 0; i < n; i++) {
        struct child *c = &children[i];
        if (c->pid <= 0)
            continue;
        bool killed = c->fd >= 0;
        if (killed) {
            kill(c->pid, SIGKILL);
            fd_close(c->fd);
        }
        c->status = wait_for(c->pid);
        if (killed)
            c->status = -ETIMEDOUT;
    }
    free(polls);
}

void children_done(struct child *children, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_done(&children[i].output);
}

static int run_to(const char *const *argv, const char *cwd, int out, struct error *err)
{
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        become(argv, cwd, out, parent);
    if (pid < 0)
        return error_errno(err, -errno, "cannot start %s", argv[0]);
    int status = wait_for(pid);
    return status < 0 ? error_errno(err, status, "cannot wait for %s", argv[0]) : status;
}

int child_run(const char *const *argv, const char *cwd, struct buf *output, struct error *err)
{
    if (!output || cwd)
        return run_to(argv, cwd, -1, err);
    struct child c = {.argv = argv};
    children_run(&c, 1, 0);
    buf_append(output, c.output.p ? c.output.p : "", c.output.n);
    children_done(&c, 1);
    return c.status < 0 ? error_errno(err, c.status, "cannot start %s", argv[0]) : c.status;
}

int child_foreground(const char *const *argv, struct error *err)
{
    pid_t pid = fork();
    if (pid == 0) {
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        dprintf(STDERR_FILENO, "cannot start %s: %s\n", argv[0], errno_text(errno));
        _exit(EXIT_NOT_STARTED);
    }
    if (pid < 0)
        return error_errno(err, -errno, "cannot start %s", argv[0]);
    int status = wait_for(pid);
    return status < 0 ? error_errno(err, status, "cannot wait for %s", argv[0]) : status;
}

int child_loud(const char *const *argv, const char *cwd, struct error *err)
{
    return run_to(argv, cwd, STDERR_FILENO, err);
}

int child_log(const char *const *argv, const char *cwd, const char *log, struct error *err)
{
    _cleanup_close_ int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_errno(err, -errno, "cannot write %s", log);
    return run_to(argv, cwd, fd, err);
}

void last_lines(struct str output, size_t lines, struct buf *out)
{
    output = str_trim(output);
    size_t at = output.n;
    while (at > 0 && (output.p[at - 1] != '\n' || --lines > 0))
        at--;
    struct str rest = {output.p + at, output.n - at}, line;
    bool first = true;
    while (str_split(&rest, '\n', &line)) {
        line = str_trim(line);
        if (!line.n)
            continue;
        buf_printf(out, "%s" STR_FMT, first ? "" : "; ", STR_ARG(line));
        first = false;
    }
}

int child_must(const char *const *argv, struct error *err)
{
    _cleanup_buf_ struct buf output = BUF_INIT;
    int r = child_run(argv, NULL, &output, err);
    if (r <= 0)
        return r;
    _cleanup_buf_ struct buf said = BUF_INIT;
    last_lines(buf_str(&output), MESSAGE_LINES, &said);
    return error_set(err, -EIO, "%s failed: %s", argv[0], buf_cstr(&said));
}
