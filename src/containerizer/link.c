/* The launcher process and the socket to it: started again whenever it dies. */

#include "containerizer/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

enum { READ_SIZE = 64 * 1024, LAUNCHER_FD = 3 };
#define RESTART_FAST_US (1 * USEC_PER_SEC) /* one that lived shorter is started again later */

struct launcher_link {
    struct containerizer *c;
    int fd;
    pid_t pid;
    struct loop_fd *watch;
    struct buf in, out;
    struct timer restart;
    int64_t started_us;
};

static int spawn_launcher(struct containerizer *c, int *ret_fd, pid_t *ret_pid, struct error *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return error_errno(err, -errno, "socketpair");
    _cleanup_close_ int ours = pair[0], theirs = pair[1];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attr);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, theirs, LAUNCHER_FD);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    /* A session of its own: a terminal's interrupt for the agent is not for the launcher. */
    posix_spawnattr_setflags(
        &attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
    char *argv[] = {(char *)(uintptr_t) "dcos-launcher", NULL};
    char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    char *envp[] = {path, NULL};
    int r = -posix_spawn(ret_pid, c->launcher_path, &actions, &attr, argv, envp);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    if (r < 0)
        return error_errno(err, r, "cannot start %s", c->launcher_path);
    fcntl(ours, F_SETFL, O_NONBLOCK);
    *ret_fd = TAKE_FD(ours);
    return 0;
}

static void flush(struct launcher_link *l)
{
    while (l->out.n) {
        ssize_t n = write(l->fd, l->out.p, l->out.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break; /* EAGAIN: later; broken: reading tells */
        buf_consume(&l->out, (size_t)n);
    }
    loop_fd_set(l->watch, LOOP_READABLE | (l->out.n ? LOOP_WRITABLE : 0));
}

static void handle(struct launcher_link *l, const struct launch_record *m)
{
    struct containerizer *c = l->c;
    struct container *k = m->id ? map_get(&c->containers, m->id) : NULL;
    switch (m->type) {
    case LAUNCH_HELLO:
        if (m->major != LAUNCH_MAJOR)
            log_error("launcher speaks another version major=%lld", (long long)m->major);
        return;
    case LAUNCH_STARTED:
        if (k && k->state == CONTAINER_LAUNCHING)
            container_started(k, (pid_t)m->pid, (uint64_t)m->start_time, true);
        return;
    case LAUNCH_FAILED:
        if (k && k->state == CONTAINER_LAUNCHING)
            container_failed(k, (int)-m->error, m->text ? m->text : "launch failed");
        return;
    case LAUNCH_EXITED:
        if (k && k->pid == (pid_t)m->pid &&
            (k->state == CONTAINER_RUNNING || k->state == CONTAINER_STATUS))
            container_exited(k, (int)m->status);
        return;
    case LAUNCH_START:
        return;
    }
}

static void drop(struct launcher_link *l)
{
    loop_fd_free(TAKE_PTR(l->watch));
    l->fd = fd_close(l->fd);
    buf_clear(&l->in);
    buf_clear(&l->out);
    if (l->pid > 0) {
        /* Its end of the socket is closed or it speaks nonsense: it is ending or has to. */
        kill(l->pid, SIGKILL);
        while (waitpid(l->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    l->pid = 0;
}

static void on_ready(void *userdata, unsigned events);

static int start(struct launcher_link *l, struct error *err)
{
    int r = spawn_launcher(l->c, &l->fd, &l->pid, err);
    if (r < 0)
        return r;
    l->started_us = loop_now_us(l->c->loop);
    r = loop_fd_new(l->c->loop, l->fd, LOOP_READABLE, on_ready, l, &l->watch);
    if (r < 0) {
        drop(l);
        return error_errno(err, r, "cannot watch the launcher");
    }
    launch_encode(
        &(struct launch_record){.type = LAUNCH_HELLO, .major = LAUNCH_MAJOR, .minor = LAUNCH_MINOR},
        &l->out);
    flush(l);
    return 0;
}

/* Running containers live on without their parent. Requests without an answer are sent again when
 * nothing was started for them; where something was, nobody knows whether the program ran: that
 * launch has failed. */
static void after_death(struct launcher_link *l)
{
    MAP_FOREACH (e, &l->c->containers) {
        struct container *k = e->value;
        k->ours = false;
        if (k->state != CONTAINER_LAUNCHING)
            continue;
        if (container_read_pid(k->state_dir, &k->pid, &k->start_time) == 0)
            container_failed(k, -EIO, "the launcher died while it started the container");
        else
            link_send(l->c, &k->request);
    }
}

static void on_restart(struct timer *t)
{
    struct launcher_link *l = container_of(t, struct launcher_link, restart);
    struct error err = ERROR_INIT;
    int r = start(l, &err);
    if (r < 0) {
        log_error("cannot restart the launcher error=%s", err.msg);
        timer_start(&l->restart, RESTART_FAST_US);
        return;
    }
    after_death(l);
}

static void broken(struct launcher_link *l, const char *why)
{
    log_warn("launcher is gone, starting another reason=%s", why);
    drop(l);
    int64_t lived = loop_now_us(l->c->loop) - l->started_us;
    timer_start(&l->restart, lived < RESTART_FAST_US ? RESTART_FAST_US : 0);
}

static void on_ready(void *userdata, unsigned events)
{
    struct launcher_link *l = userdata;
    if (events & LOOP_WRITABLE)
        flush(l);
    if (!(events & LOOP_READABLE))
        return;
    char *at = buf_reserve(&l->in, READ_SIZE);
    ssize_t n = read(l->fd, at, READ_SIZE);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        broken(l, n < 0 ? errno_text(errno) : "connection closed");
        return;
    }
    buf_commit(&l->in, (size_t)n);
    for (;;) {
        struct launch_record m;
        ptrdiff_t used = launch_decode(buf_str(&l->in), &m);
        if (used == 0)
            return;
        if (used < 0) {
            broken(l, "bad record");
            return;
        }
        handle(l, &m);
        launch_record_done(&m);
        buf_consume(&l->in, (size_t)used);
    }
}

int link_start(struct containerizer *c, struct error *err)
{
    struct launcher_link *l = xnew(struct launcher_link);
    l->c = c;
    l->fd = -1;
    timer_init(&l->restart, c->loop, on_restart);
    c->link = l;
    return start(l, err);
}

void link_send(struct containerizer *c, const struct buf *request)
{
    struct launcher_link *l = c->link;
    /* While there is no launcher the request waits in its container. */
    if (l->fd < 0)
        return;
    buf_append(&l->out, request->p, request->n);
    flush(l);
}

void link_free(struct launcher_link *l)
{
    if (!l)
        return;
    timer_stop(&l->restart);
    if (l->watch)
        loop_fd_free(l->watch);
    fd_close(l->fd);
    /* It ends by itself when it sees the socket close; waiting for that here keeps zombies out of
     * programs that go on. */
    if (l->pid > 0) {
        while (waitpid(l->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    buf_done(&l->in);
    buf_done(&l->out);
    free(l);
}
