#include "executor/logger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"

enum { CHUNK = 8192, CHUNKS_PER_TURN = 16, NAME_MAX_LEN = 64 };

struct logger {
    struct logger_options o;
    int read_fd;
    struct loop_fd *watch;
    uint64_t size;
};

static uint64_t present_size(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
}

/* stdout.8 -> stdout.9, ..., stdout -> stdout.1. The task's user owns the folder and may have put
 * anything under these names: renames move links instead of following them, and the new file must
 * not exist. When it cannot be made the old one simply goes on. */
static void rotate(struct logger *g)
{
    char from[NAME_MAX_LEN], to[NAME_MAX_LEN];
    int dir = g->o.sandbox_fd;
    for (unsigned i = g->o.files; i > 0; i--) {
        snprintf(to, sizeof to, "%s.%u", g->o.name, i);
        if (i > 1)
            snprintf(from, sizeof from, "%s.%u", g->o.name, i - 1);
        else
            snprintf(from, sizeof from, "%s", g->o.name);
        renameat(dir, from, dir, to);
    }
    if (g->o.files == 0)
        unlinkat(dir, g->o.name, 0);
    struct stat st;
    bool known = fstat(g->o.fd, &st) == 0;
    int fd = openat(
        dir, g->o.name, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0644);
    g->size = 0;
    if (fd < 0)
        return;
    if (known && st.st_uid != geteuid() && fchown(fd, st.st_uid, st.st_gid) < 0) {
        /* Readable all the same. */
    }
    if (g->o.fd > 2)
        dup3(fd, g->o.fd, O_CLOEXEC);
    else
        dup2(fd, g->o.fd);
    close(fd);
}

static void store(struct logger *g, const char *p, size_t n)
{
    if (g->o.max_size && g->size && g->size + n > g->o.max_size)
        rotate(g);
    /* A full disk loses output, it does not stop the task. */
    if (fd_write_all(g->o.fd, p, n) == 0)
        g->size += n;
}

/* False at the end of the stream. */
static bool take(struct logger *g, unsigned chunks)
{
    char chunk[CHUNK];
    while (chunks-- > 0) {
        ssize_t n = read(g->read_fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        if (n == 0)
            return false;
        store(g, chunk, (size_t)n);
    }
    return true;
}

static void on_readable(void *userdata, unsigned events)
{
    struct logger *g = userdata;
    if (!take(g, CHUNKS_PER_TURN))
        loop_fd_free(TAKE_PTR(g->watch));
}

int logger_new(struct loop *l, const struct logger_options *o, struct logger **ret,
    int *ret_write_fd, struct error *err)
{
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return error_errno(err, -errno, "pipe");
    fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK);
    struct logger *g = xnew(struct logger);
    g->o = *o;
    g->read_fd = pipe_fds[0];
    g->size = present_size(o->fd);
    int r = loop_fd_new(l, g->read_fd, LOOP_READABLE, on_readable, g, &g->watch);
    if (r < 0) {
        fd_close(pipe_fds[0]);
        fd_close(pipe_fds[1]);
        free(g);
        return error_errno(err, r, "cannot watch the task's output");
    }
    *ret = g;
    *ret_write_fd = pipe_fds[1];
    return 0;
}

void logger_finish(struct logger *g)
{
    if (!g)
        return;
    if (g->watch) {
        /* The task's processes are gone: a pipe holds 64 KB, and 1 MB at most. */
        take(g, 1024 * 1024 / CHUNK);
        loop_fd_free(g->watch);
    }
    fd_close(g->read_fd);
    free(g);
}
