#include "io/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "io/loop-internal.h"

enum { OUT = 3, DONE = 4, CHILD_NICE = 2 };

struct snapshot {
    struct loop *loop;
    snapshot_cb cb;
    void *userdata;
    pid_t pid;
    int memory;           /* memfd that the child writes */
    int done;             /* one byte comes when it is complete; its end alone is a failure */
    int pidfd;            /* readable once the child can be reaped */
    struct loop_fd *wait; /* on `done`, then on `pidfd` */
    struct timer timeout;
    struct loop_lingering lingering; /* once the result is told */
};

/* ---- the child ---- */

void snapshot_write(int out, const void *p, size_t n)
{
    const char *from = p;
    while (n > 0) {
        ssize_t r = write(out, from, n);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            _exit(EXIT_FAILURE);
        from += r;
        n -= (size_t)r;
    }
}

/* Signals are blocked; handlers of the parent would write into pipes that both share. */
static void forget_signals(void)
{
    for (int i = 1; i < NSIG; i++)
        if (i != SIGKILL && i != SIGSTOP)
            (void)signal(i, SIG_DFL); /* fails for libc's own */
    sigset_t none;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
}

/* When memory runs out the copy goes first. */
static void volunteer(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t ignored = write(fd, "1000", 4);
    (void)ignored; /* it only was an offer */
    close(fd);
}

static _noreturn_ void child(pid_t parent, int memory, int done, snapshot_fn fn, void *userdata)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(EXIT_FAILURE);
    /* Both are high numbers or in each other's way: first out of the way, then to their places. */
    int m = fcntl(memory, F_DUPFD_CLOEXEC, DONE + 1), d = fcntl(done, F_DUPFD_CLOEXEC, DONE + 1);
    if (m < 0 || d < 0 || dup2(m, OUT) < 0 || dup2(d, DONE) < 0 ||
        close_range(DONE + 1, ~0u, 0) < 0)
        _exit(EXIT_FAILURE);
    forget_signals();
    setpriority(PRIO_PROCESS, 0, CHILD_NICE);
    volunteer();
    const struct blob head = {0};
    snapshot_write(OUT, &head, sizeof(head));
    fn(OUT, userdata);
    snapshot_write(OUT, "", 1); /* texts end with a NUL, as those of buffers do */
    snapshot_write(DONE, "", 1);
    _exit(EXIT_SUCCESS);
}

/* ---- the parent ---- */

static void reap(struct snapshot *s)
{
    siginfo_t info;
    while (waitid(P_PIDFD, (id_t)s->pidfd, &info, WEXITED) < 0 && errno == EINTR)
        ;
    list_remove(&s->lingering.node);
    timer_stop(&s->timeout);
    loop_fd_free(s->wait);
    fd_close(s->memory);
    fd_close(s->done);
    fd_close(s->pidfd);
    free(s);
}

static void on_exit_(void *userdata, unsigned events)
{
    (void)events;
    reap(userdata);
}

static void kill_child(struct snapshot *s)
{
    kill(s->pid, SIGKILL); /* not reaped yet: the number is still its own */
}

static void drop(struct loop_lingering *l)
{
    struct snapshot *s = container_of(l, struct snapshot, lingering);
    kill_child(s);
    reap(s);
}

static struct blob *map_result(struct snapshot *s)
{
    struct stat st;
    if (fstat(s->memory, &st) < 0 || st.st_size <= (off_t)sizeof(struct blob))
        return NULL;
    size_t size = (size_t)st.st_size;
    struct blob *b = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, s->memory, 0);
    if (b == MAP_FAILED)
        return NULL;
    *b = (struct blob){.refs = 1, .n = size - sizeof(*b) - 1, .mapped = size};
    return b;
}

/* The result is told now; the child is reaped when its memory is gone, which takes a while. */
static void on_done(void *userdata, unsigned events)
{
    (void)events;
    struct snapshot *s = userdata;
    char byte;
    struct blob *body = read(s->done, &byte, 1) == 1 ? map_result(s) : NULL;
    timer_stop(&s->timeout);
    loop_fd_free(s->wait);
    s->wait = NULL;
    snapshot_cb cb = s->cb;
    void *to = s->userdata;
    if (loop_fd_new(s->loop, s->pidfd, LOOP_READABLE, on_exit_, s, &s->wait) < 0) {
        reap(s);
    } else {
        s->lingering.drop = drop;
        loop_linger(s->loop, &s->lingering);
    }
    cb(body, body ? NULL : "the process that wrote the snapshot failed", to);
    blob_unref(body);
}

static void on_timeout(struct timer *t)
{
    kill_child(container_of(t, struct snapshot, timeout)); /* the end of its pipe tells the rest */
}

static pid_t fork_child(int memory, int done, snapshot_fn fn, void *userdata)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        child(parent, memory, done, fn, userdata);
    int saved = errno;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = saved;
    return pid;
}

int snapshot_start(struct loop *l, snapshot_fn fn, snapshot_cb cb, void *userdata,
    struct snapshot **ret, struct error *err)
{
    _cleanup_close_ int memory = memfd_create("snapshot", MFD_CLOEXEC);
    if (memory < 0)
        return error_errno(err, -errno, "cannot make memory for a snapshot");
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_errno(err, -errno, "cannot make a pipe for a snapshot");
    _cleanup_close_ int done = ends[0];
    pid_t pid = fork_child(memory, ends[1], fn, userdata);
    int failed = -errno;
    close(ends[1]);
    if (pid < 0)
        return error_errno(err, failed, "cannot fork for a snapshot");
    struct snapshot *s = xnew(struct snapshot);
    *s = (struct snapshot){
        .loop = l, .cb = cb, .userdata = userdata, .pid = pid, .pidfd = pidfd_open(pid, 0)};
    list_init(&s->lingering.node);
    timer_init(&s->timeout, l, on_timeout);
    int r = s->pidfd < 0 ? -errno : loop_fd_new(l, done, LOOP_READABLE, on_done, s, &s->wait);
    if (r < 0) {
        kill_child(s);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        fd_close(s->pidfd);
        free(s);
        return error_errno(err, r, "cannot watch a snapshot");
    }
    s->memory = TAKE_FD(memory);
    s->done = TAKE_FD(done);
    timer_start(&s->timeout, SNAPSHOT_TIMEOUT_S * USEC_PER_SEC);
    *ret = s;
    return 0;
}

void snapshot_cancel(struct snapshot *s)
{
    if (!s)
        return;
    kill_child(s);
    reap(s);
}
