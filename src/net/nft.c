#include "net/nft.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

enum { OUTPUT_MAX = 64 * 1024, ERROR_SHOWN = 200 };
static const int64_t RETRY_MIN_US = 100 * USEC_PER_MSEC, RETRY_MAX_US = 5 * USEC_PER_SEC;
/* Changes of others that come closer to each other than this are one trouble, told once. */
static const int64_t QUIET_US = 60 * USEC_PER_SEC;
static const int64_t ANSWER_TIMEOUT_US = 10 * USEC_PER_SEC;
/* Asked after each transaction: what nft says to it marks the end of what it said before. */
static const char MARK[] = "describe meta mark\n", MARK_ANSWER[] = "meta expression, datatype mark";

struct nft {
    struct loop *loop;
    const char *program;
    struct vips *vips;
    pid_t pid;
    int in, out, err; /* its standard streams, our ends */
    struct loop_fd *in_watch, *out_watch, *err_watch;
    struct buf queue, said, errors;
    struct deferred write;
    struct timer retry, answer;
    int64_t retry_us, began_us;
    struct nft_watch *watch;        /* or NULL: the kernel does not tell */
    int64_t restore_us, meddled_us; /* next pause; when others changed the table last */
    bool busy, whole; /* a transaction is under way; the next one writes the whole table */
    VEC(struct vip_cut) cuts;
    struct cutting *cutting;
    char error[ERROR_SHOWN + 1];
    struct nft_status status;
};

static void write_next(struct nft *n);

static void end_child(struct nft *n)
{
    struct loop_fd **watches[] = {&n->in_watch, &n->out_watch, &n->err_watch};
    int *fds[] = {&n->in, &n->out, &n->err};
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        if (*watches[i])
            loop_fd_free(*watches[i]);
        *watches[i] = NULL;
        fd_close(*fds[i]);
        *fds[i] = -1;
    }
    if (n->pid > 0) {
        (void)kill(n->pid, SIGKILL);
        (void)waitpid(n->pid, NULL, 0);
    }
    n->pid = 0;
    n->busy = false;
    timer_stop(&n->answer);
    buf_clear(&n->queue);
    buf_clear(&n->said);
    buf_clear(&n->errors);
}

/* What is in force stays; after a pause the whole table is written again. */
static void failed(struct nft *n, const char *what, const char *why)
{
    char line[ERROR_SHOWN + 1];
    (void)snprintf(line, sizeof(line), "%s: %s", what, why);
    char *end = strchr(line, '\n');
    if (end)
        *end = '\0';
    if (!streq(line, n->error))
        log_error("virtual addresses are not up to date error=%s, the last rules stay in force; "
                  "check that "
                  "the package nftables is installed, that the daemon runs as root, and `nft list "
                  "table inet " NFT_TABLE "`",
            line);
    memcpy(n->error, line, sizeof(line));
    n->status.failures++;
    n->status.in_force = false;
    n->whole = true;
    end_child(n);
    /* What was under way may have been taken all the same; it is written again in any case. */
    bool lost;
    if (n->watch)
        (void)nft_watch_take(n->watch, &lost);
    timer_start(&n->retry, n->retry_us);
    n->retry_us = MIN(n->retry_us * 2, RETRY_MAX_US);
}

static void on_retry(struct timer *t)
{
    write_next(container_of(t, struct nft, retry));
}

static void on_late(struct timer *t)
{
    failed(container_of(t, struct nft, answer), "nft", "no answer for 10 s");
}

/* ---- others ---- */

static void meddled(struct nft *n)
{
    int64_t now = loop_now_us(n->loop);
    bool again = n->meddled_us > 0 && now - n->meddled_us < QUIET_US;
    if (!again) {
        n->restore_us = 0;
        log_warn("somebody changed or removed the rules of virtual addresses, they are written "
                 "again table=" NFT_TABLE);
    }
    n->meddled_us = now;
    n->status.restored++;
    n->status.in_force = false;
    n->whole = true;
    if (!timer_active(&n->retry))
        timer_start(&n->retry, n->restore_us);
    n->restore_us = n->restore_us ? MIN(n->restore_us * 2, RETRY_MAX_US) : RETRY_MIN_US;
}

/* While a transaction of ours is under way it is done() that looks. */
static void on_changed(void *userdata)
{
    struct nft *n = userdata;
    bool lost;
    if (n->busy)
        return;
    unsigned changes = nft_watch_take(n->watch, &lost);
    if ((changes > 0 || lost) && n->status.transactions > 0)
        meddled(n);
}

/* Ours was one. What was lost meanwhile was most likely ours, a large one. */
static bool only_ours(struct nft *n)
{
    bool lost;
    return !n->watch || nft_watch_take(n->watch, &lost) <= 1;
}

/* ---- flows ---- */

static void cut_next(struct nft *n);

static void on_cut(int status, void *userdata)
{
    struct nft *n = userdata;
    n->cutting = NULL;
    if (status < 0)
        log_warn(
            "flows to backends that are gone cannot be ended error=%s, they end when they time out",
            errno_text(status));
    else
        n->status.flows_cut += (uint64_t)status;
    cut_next(n);
}

static void cut_next(struct nft *n)
{
    if (n->cutting || n->cuts.n == 0 || n->busy)
        return;
    struct vip_cut *cuts = n->cuts.items;
    size_t count = n->cuts.n;
    n->cuts.items = NULL;
    n->cuts.n = n->cuts.cap = 0;
    conntrack_cut(n->loop, cuts, count, on_cut, n, &n->cutting);
}

/* ---- the child ---- */

static void done(struct nft *n)
{
    timer_stop(&n->answer);
    n->busy = false;
    n->status.transactions++;
    n->status.last_us = clock_monotonic_us() - n->began_us;
    bool alone = only_ours(n);
    if (buf_str(&n->errors).n > 0 && strstr(buf_cstr(&n->errors), "Error:")) {
        _cleanup_free_ char *why = xstrdup(buf_cstr(&n->errors));
        failed(n, "nft refused", why);
        return;
    }
    if (n->error[0])
        log_info("virtual addresses are up to date again");
    n->error[0] = '\0';
    n->retry_us = RETRY_MIN_US;
    n->status.in_force = true;
    if (!alone)
        meddled(n);
    buf_clear(&n->said);
    buf_clear(&n->errors);
    cut_next(n);
    write_next(n);
}

/* false: it ended. */
static bool read_all(int fd, struct buf *to)
{
    for (;;) {
        char piece[4096];
        ssize_t r = read(fd, piece, sizeof(piece));
        if (r > 0) {
            if (to->n < OUTPUT_MAX)
                buf_append(to, piece, (size_t)r);
            continue;
        }
        return r < 0 && (errno == EAGAIN || errno == EINTR);
    }
}

static void on_output(void *userdata, unsigned events)
{
    struct nft *n = userdata;
    bool alive = read_all(n->out, &n->said);
    alive = read_all(n->err, &n->errors) && alive;
    if (n->busy && strstr(buf_cstr(&n->said), MARK_ANSWER)) {
        done(n);
        return;
    }
    if (!alive) {
        _cleanup_free_ char *why = xstrdup(n->errors.n ? buf_cstr(&n->errors) : "it ended");
        failed(n, "nft", why);
    }
}

static void push(struct nft *n)
{
    while (n->queue.n > 0) {
        ssize_t r = write(n->in, n->queue.p, n->queue.n);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0 && errno != EAGAIN) {
            failed(n, "nft", errno_text(errno));
            return;
        }
        if (r < 0)
            break;
        buf_consume(&n->queue, (size_t)r);
    }
    loop_fd_set(n->in_watch, n->queue.n > 0 ? LOOP_WRITABLE : 0);
}

static void on_input(void *userdata, unsigned events)
{
    push(userdata);
}

static int start_child(struct nft *n)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1}, err[2] = {-1, -1}, r = 0;
    if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
        r = -errno;
    posix_spawn_file_actions_t actions;
    char arg0[] = "nft", arg1[] = "-i";
    char *argv[] = {arg0, arg1, NULL};
    posix_spawn_file_actions_init(&actions);
    if (r == 0) {
        posix_spawn_file_actions_adddup2(&actions, in[0], 0);
        posix_spawn_file_actions_adddup2(&actions, out[1], 1);
        posix_spawn_file_actions_adddup2(&actions, err[1], 2);
        char *path = secure_getenv("PATH"), *envp[] = {NULL, NULL};
        _cleanup_free_ char *set = path ? xasprintf("PATH=%s", path) : NULL;
        envp[0] = set;
        r = -posix_spawnp(&n->pid, n->program, &actions, NULL, argv, envp);
    }
    posix_spawn_file_actions_destroy(&actions);
    fd_close(in[0]);
    fd_close(out[1]);
    fd_close(err[1]);
    n->in = in[1];
    n->out = out[0];
    n->err = err[0];
    if (r < 0) {
        n->pid = 0;
        return r;
    }
    (void)fcntl(n->in, F_SETFL, O_NONBLOCK);
    (void)fcntl(n->out, F_SETFL, O_NONBLOCK);
    (void)fcntl(n->err, F_SETFL, O_NONBLOCK);
    if ((r = loop_fd_new(n->loop, n->in, 0, on_input, n, &n->in_watch)) < 0 ||
        (r = loop_fd_new(n->loop, n->out, LOOP_READABLE, on_output, n, &n->out_watch)) < 0 ||
        (r = loop_fd_new(n->loop, n->err, LOOP_READABLE, on_output, n, &n->err_watch)) < 0)
        return r;
    n->whole = true; /* whoever was there before may have left anything */
    return 0;
}

static void write_next(struct nft *n)
{
    if (n->busy || timer_active(&n->retry))
        return;
    if (n->pid == 0) {
        int r = start_child(n);
        if (r < 0) {
            failed(n, "nft cannot be started", errno_text(r));
            return;
        }
    }
    struct vip_changes c = {0};
    vips_take(n->vips, &c);
    size_t before = n->queue.n;
    if (n->whole)
        nft_text_all(n->vips, &n->queue);
    else
        nft_text_changes(&c, &n->queue);
    VEC_FOREACH (cut, &c.cuts)
        vec_push(&n->cuts, *cut);
    vip_changes_done(&c);
    if (n->queue.n == before) {
        cut_next(n);
        return;
    }
    buf_puts(&n->queue, MARK);
    n->whole = false;
    n->busy = true;
    n->began_us = clock_monotonic_us();
    timer_start(&n->answer, ANSWER_TIMEOUT_US);
    push(n);
}

static void on_write(struct deferred *d)
{
    write_next(container_of(d, struct nft, write));
}

void nft_wake(struct nft *n)
{
    if (n->whole || vips_changed(n->vips))
        loop_defer(n->loop, &n->write);
}

void nft_get_status(const struct nft *n, struct nft_status *ret)
{
    *ret = n->status;
    ret->error = n->error;
}

struct nft *nft_new(struct loop *l, const char *program, struct vips *v)
{
    struct nft *n = xnew(struct nft);
    n->loop = l;
    n->program = program;
    n->vips = v;
    n->in = n->out = n->err = -1;
    n->retry_us = RETRY_MIN_US;
    n->whole = true;
    deferred_init(&n->write, on_write);
    timer_init(&n->retry, l, on_retry);
    timer_init(&n->answer, l, on_late);
    int r = nft_watch_new(l, on_changed, n, &n->watch);
    if (r < 0)
        log_warn("changes that others make to the rules of virtual addresses will not be noticed "
                 "error=%s",
            errno_text(r));
    return n;
}

void nft_free(struct nft *n)
{
    if (!n)
        return;
    end_child(n);
    nft_watch_free(n->watch);
    deferred_cancel(&n->write);
    timer_stop(&n->retry);
    conntrack_abandon(n->cutting);
    vec_done(&n->cuts);
    buf_done(&n->queue);
    buf_done(&n->said);
    buf_done(&n->errors);
    free(n);
}
