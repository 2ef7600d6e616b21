/*
 * Child processes. The result is given when the child is gone and what it wrote was read: pipes
 * that a grandchild still holds open are read as far as they are filled, not waited for.
 */

#include "io/process.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "io/loop-internal.h"

enum { READ_STEP = 16 * 1024, PIPE_READS_MAX = 64 };

struct capture {
    uv_pipe_t pipe;
    struct process *p;
    struct buf data;
    bool open;
};

struct process {
    uv_process_t uv;
    struct loop *loop;
    process_cb cb; /* NULL when abandoned or done */
    void *userdata;
    struct timer timeout;
    struct loop_lingering lingering; /* once abandoned, until it is reaped */
    struct capture out, err;
    uv_pipe_t in;
    uv_write_t in_write;
    char *in_text;
    size_t capture_max;
    unsigned handles; /* libuv handles that are not closed yet */
    int status;
    bool own_group, timed_out, truncated, exited, in_open;
};

static void on_handle_closed(uv_handle_t *handle)
{
    struct process *p = handle->data;
    if (--p->handles)
        return;
    buf_done(&p->out.data);
    buf_done(&p->err.data);
    free(p->in_text);
    free(p);
}

static void close_capture(struct capture *c)
{
    if (c->open) {
        c->open = false;
        uv_close((uv_handle_t *)&c->pipe, on_handle_closed);
    }
}

static void close_in(struct process *p)
{
    if (p->in_open) {
        p->in_open = false;
        uv_close((uv_handle_t *)&p->in, on_handle_closed);
    }
}

static void keep(struct capture *c, const char *p, size_t n)
{
    size_t room = c->p->capture_max - c->data.n;
    if (n > room) {
        c->p->truncated = true;
        n = room;
    }
    buf_append(&c->data, p, n);
}

static void alloc_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    (void)suggested;
    struct process *p = handle->data;
    *ret = uv_buf_init(p->loop->read_buffer, LOOP_READ_BUFFER);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct capture *c = container_of((uv_pipe_t *)stream, struct capture, pipe);
    if (n > 0)
        keep(c, buf->base, (size_t)n);
    else if (n < 0)
        close_capture(c);
}

/* What is in the pipe now; all that the child itself wrote is. */
static void drain(struct capture *c)
{
    uv_os_fd_t fd;
    if (!c->open || uv_fileno((uv_handle_t *)&c->pipe, &fd) < 0)
        return;
    char *step = c->p->loop->read_buffer;
    for (int i = 0; i < PIPE_READS_MAX; i++) {
        ssize_t n = read(fd, step, READ_STEP);
        if (n > 0)
            keep(c, step, (size_t)n);
        else if (n == 0 || errno != EINTR)
            break;
    }
    close_capture(c);
}

static void on_child_exit(uv_process_t *handle, int64_t code, int signum)
{
    struct process *p = handle->data;
    p->exited = true;
    p->status = signum ? W_EXITCODE(0, signum) : W_EXITCODE((int)code, 0);
    timer_stop(&p->timeout);
    list_remove(&p->lingering.node);
    drain(&p->out);
    drain(&p->err);
    close_in(p);
    process_cb cb = p->cb;
    p->cb = NULL;
    if (cb) {
        struct process_result result = {
            .status = p->status,
            .timed_out = p->timed_out,
            .truncated = p->truncated,
            .out = {buf_cstr(&p->out.data), p->out.data.n},
            .err = {buf_cstr(&p->err.data), p->err.data.n},
        };
        cb(&result, p->userdata);
    }
    uv_close((uv_handle_t *)&p->uv, on_handle_closed);
}

static void on_timeout(struct timer *t)
{
    struct process *p = container_of(t, struct process, timeout);
    p->timed_out = true;
    (void)process_kill(p, SIGKILL); /* gone meanwhile: its exit is on the way */
}

static void on_in_written(uv_write_t *req, int status)
{
    (void)status; /* a child that does not read its input is its own affair */
    close_in(req->data);
}

static void use_capture(struct process *p, struct capture *c, uv_stdio_container_t *stdio, int fd)
{
    c->p = p;
    if (fd > 0) {
        stdio->flags = UV_INHERIT_FD;
        stdio->data.fd = fd;
        return;
    }
    if (p->capture_max == 0) {
        stdio->flags = UV_IGNORE;
        return;
    }
    uv_pipe_init(&p->loop->uv, &c->pipe, 0);
    c->pipe.data = p;
    c->open = true;
    p->handles++;
    stdio->flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE;
    stdio->data.stream = (uv_stream_t *)&c->pipe;
}

static void feed_input(struct process *p)
{
    uv_buf_t buf = uv_buf_init(p->in_text, (unsigned)strlen(p->in_text));
    p->in_write.data = p;
    if (uv_write(&p->in_write, (uv_stream_t *)&p->in, &buf, 1, on_in_written) < 0)
        close_in(p);
}

int process_start(struct loop *l, const struct process_options *options, process_cb cb,
    void *userdata, struct process **ret, struct error *err)
{
    struct process *p = xnew(struct process);
    uv_stdio_container_t stdio[3] = {{.flags = UV_IGNORE}};
    p->loop = l;
    p->cb = cb;
    p->userdata = userdata;
    p->own_group = options->own_group;
    p->capture_max = options->capture_max;
    p->uv.data = p;
    p->handles = 1;
    timer_init(&p->timeout, l, on_timeout);
    list_init(&p->lingering.node);
    if (options->stdin_text) {
        p->in_text = xstrdup(options->stdin_text);
        uv_pipe_init(&l->uv, &p->in, 0);
        p->in.data = p;
        p->in_open = true;
        p->handles++;
        stdio[0].flags = UV_CREATE_PIPE | UV_READABLE_PIPE;
        stdio[0].data.stream = (uv_stream_t *)&p->in;
    }
    use_capture(p, &p->out, &stdio[1], options->stdout_fd);
    use_capture(p, &p->err, &stdio[2], options->stderr_fd);
    uv_process_options_t o = {
        .exit_cb = on_child_exit,
        .file = options->argv[0],
        .args = (char **)(uintptr_t)options->argv,
        .env = (char **)(uintptr_t)options->envp,
        .cwd = options->cwd,
        .flags = options->own_group ? UV_PROCESS_DETACHED : 0,
        .stdio_count = 3,
        .stdio = stdio,
    };
    int r = uv_spawn(&l->uv, &p->uv, &o);
    if (r < 0) {
        error_errno(err, r, "start %s", options->argv[0]);
        close_capture(&p->out);
        close_capture(&p->err);
        close_in(p);
        uv_close((uv_handle_t *)&p->uv, on_handle_closed);
        return r;
    }
    if (p->out.open)
        uv_read_start((uv_stream_t *)&p->out.pipe, alloc_buffer, on_read);
    if (p->err.open)
        uv_read_start((uv_stream_t *)&p->err.pipe, alloc_buffer, on_read);
    if (p->in_open)
        feed_input(p);
    if (options->timeout_us > 0)
        timer_start(&p->timeout, options->timeout_us);
    if (ret)
        *ret = p;
    return 0;
}

pid_t process_pid(const struct process *p)
{
    return p->uv.pid;
}

int process_kill(struct process *p, int signum)
{
    if (p->exited)
        return -ESRCH;
    return kill(p->own_group ? -p->uv.pid : p->uv.pid, signum) < 0 ? -errno : 0;
}

/* The loop goes before the child was reaped. */
static void drop(struct loop_lingering *lingering)
{
    struct process *p = container_of(lingering, struct process, lingering);
    p->exited = true;
    uv_close((uv_handle_t *)&p->uv, on_handle_closed);
}

void process_abandon(struct process *p)
{
    if (!p || !p->cb)
        return;
    p->cb = NULL;
    timer_stop(&p->timeout);
    (void)process_kill(p, SIGKILL);
    close_capture(&p->out);
    close_capture(&p->err);
    close_in(p);
    p->lingering.drop = drop;
    loop_linger(p->loop, &p->lingering);
}
