#include "agent/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"

enum { SANDBOX_MODE = 0750, SANDBOX_PARENT_MODE = 0755, COMPONENT_MAX = 256, TARGET_MAX = 4096 };

char *sandbox_path(const char *work_dir, const char *agent_id, const char *framework_id,
    const char *executor_id, const char *container_id)
{
    return path_join(work_dir, "slaves", agent_id, "frameworks", framework_id, "executors",
        executor_id, "runs", container_id);
}

static int point_latest(const char *runs, const char *container_id, struct error *err)
{
    _cleanup_free_ char *latest = path_join(runs, "latest");
    _cleanup_free_ char *fresh = path_join(runs, ".latest");
    if (unlink(fresh) < 0 && errno != ENOENT)
        return error_errno(err, -errno, "cannot replace %s", fresh);
    if (symlink(container_id, fresh) < 0)
        return error_errno(err, -errno, "cannot create %s", fresh);
    if (rename(fresh, latest) < 0)
        return error_errno(err, -errno, "cannot create %s", latest);
    return 0;
}

int sandbox_create(const char *work_dir, const char *agent_id, const char *framework_id,
    const char *executor_id, const char *container_id, uid_t uid, gid_t gid, char **ret_path,
    struct error *err)
{
    _cleanup_free_ char *path = sandbox_path(
        work_dir, agent_id, framework_id, executor_id, container_id);
    _cleanup_free_ char *runs = xstrndup(path, strlen(path) - strlen(container_id) - 1);
    int r = mkdir_all(runs, SANDBOX_PARENT_MODE, err);
    if (r < 0)
        return error_prefix(err, r, "cannot create the sandbox");
    if (mkdir(path, SANDBOX_MODE) < 0 && errno != EEXIST)
        return error_errno(err, -errno, "cannot create the sandbox %s", path);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, -errno, "cannot open the sandbox %s", path);
    if (fchmod(fd, SANDBOX_MODE) < 0)
        return error_errno(err, -errno, "cannot set the mode of the sandbox %s", path);
    if (uid != (uid_t)-1 && fchown(fd, uid, gid) < 0)
        return error_errno(err, -errno, "cannot give the sandbox %s to its user", path);
    r = point_latest(runs, container_id, err);
    if (r < 0)
        return r;
    *ret_path = TAKE_PTR(path);
    return 0;
}

/* ---- opening ---- */

/* Kernels without openat2: one component after the other, no links at all. */
static int open_by_walking(int root_fd, const char *path, int flags)
{
    _cleanup_close_ int dir = dup(root_fd);
    if (dir < 0)
        return -errno;
    struct str rest = str_of(path), part;
    while (str_split(&rest, '/', &part)) {
        if (part.n == 0 || str_eq_c(part, "."))
            continue;
        if (str_eq_c(part, ".."))
            return -EXDEV;
        char name[COMPONENT_MAX];
        if (part.n >= sizeof(name))
            return -ENAMETOOLONG;
        memcpy(name, part.p, part.n);
        name[part.n] = '\0';
        bool last = rest.n == 0;
        int fd = openat(dir, name, O_NOFOLLOW | O_CLOEXEC | (last ? flags : O_PATH | O_DIRECTORY));
        if (fd < 0)
            return -errno;
        fd_close(dir);
        dir = fd;
        if (last)
            return TAKE_FD(dir);
    }
    int fd = openat(root_fd, ".", O_CLOEXEC | flags);
    return fd < 0 ? -errno : fd;
}

int open_beneath(int root_fd, const char *path, int flags, bool links)
{
    struct open_how how = {
        .flags = (uint64_t)(flags | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | (links ? 0 : RESOLVE_NO_SYMLINKS),
    };
    long fd = syscall(SYS_openat2, root_fd, path[0] ? path : ".", &how, sizeof(how));
    if (fd >= 0)
        return (int)fd;
    if (errno == ENOSYS || errno == EPERM)
        return open_by_walking(root_fd, path, flags);
    return -errno;
}

static bool component_valid(struct str s)
{
    return s.n > 0 && s.n < COMPONENT_MAX && !str_eq_c(s, ".") && !str_eq_c(s, "..") &&
           !memchr(s.p, '\0', s.n);
}

/* Takes "/<name>/<value>" off the front. */
static bool take_pair(struct str *path, const char *name, struct str *value)
{
    struct str rest = *path, part;
    if (!rest.n || rest.p[0] != '/')
        return false;
    rest.p++;
    rest.n--;
    if (!str_split(&rest, '/', &part) || !str_eq_c(part, name))
        return false;
    if (!str_split(&rest, '/', value) || !component_valid(*value))
        return false;
    /* What follows, with its slash. */
    const char *end = value->p + value->n;
    size_t left = (size_t)(path->p + path->n - end);
    *path = (struct str){end, left};
    return true;
}

bool sandbox_owner(
    const char *work_dir, struct str path, struct str *ret_framework, struct str *ret_executor)
{
    struct str rest = path, agent, root = str_of(work_dir);
    if (str_has_prefix(path, root)) {
        rest = (struct str){path.p + root.n, path.n - root.n};
        if (!take_pair(&rest, "slaves", &agent))
            return false;
    }
    return take_pair(&rest, "frameworks", ret_framework) &&
           take_pair(&rest, "executors", ret_executor);
}

int sandbox_open(const char *work_dir, const char *agent_id, struct str path, struct error *err)
{
    if (memchr(path.p, '\0', path.n))
        return error_set(err, -EINVAL, "Invalid path");
    struct str rest = path, agent = str_of(agent_id ? agent_id : ""), framework, executor, run;
    struct str root = str_of(work_dir);
    bool real = str_has_prefix(path, root);
    if (real) {
        rest = (struct str){path.p + root.n, path.n - root.n};
        if (!take_pair(&rest, "slaves", &agent))
            return error_set(err, -ENOENT, "No such file or directory");
    }
    if (!agent.n || !take_pair(&rest, "frameworks", &framework) ||
        !take_pair(&rest, "executors", &executor) || !take_pair(&rest, "runs", &run))
        return error_set(err, -ENOENT, "No such file or directory");

    _cleanup_close_ int work = open(work_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (work < 0)
        return error_errno(err, -errno, "cannot open the work directory");
    _cleanup_free_ char *runs_path = xasprintf("slaves/" STR_FMT "/frameworks/" STR_FMT
                                               "/executors/" STR_FMT "/runs",
        STR_ARG(agent), STR_ARG(framework), STR_ARG(executor));
    _cleanup_close_ int runs = open_beneath(work, runs_path, O_RDONLY | O_DIRECTORY, false);
    if (runs < 0)
        return error_set(err, -ENOENT, "No such file or directory");
    char name[COMPONENT_MAX];
    if (str_eq_c(run, "latest")) {
        ssize_t n = readlinkat(runs, "latest", name, sizeof(name));
        if (n <= 0 || (size_t)n >= sizeof(name) ||
            !component_valid((struct str){name, (size_t)n}) || memchr(name, '/', (size_t)n))
            return error_set(err, -ENOENT, "No such file or directory");
        name[n] = '\0';
    } else {
        memcpy(name, run.p, run.n);
        name[run.n] = '\0';
    }
    _cleanup_close_ int sandbox = open_beneath(runs, name, O_RDONLY | O_DIRECTORY, false);
    if (sandbox < 0)
        return error_set(err, -ENOENT, "No such file or directory");
    while (rest.n && rest.p[0] == '/') {
        rest.p++;
        rest.n--;
    }
    if (rest.n >= TARGET_MAX)
        return error_set(err, -ENAMETOOLONG, "The path is too long");
    _cleanup_free_ char *inner = xstrndup(rest.p, rest.n);
    int fd = open_beneath(sandbox, inner, O_RDONLY | O_NONBLOCK | O_NOCTTY, true);
    if (fd >= 0)
        return fd;
    if (fd == -EXDEV || fd == -ELOOP)
        return error_set(err, -EINVAL, "'" STR_FMT "' is inaccessible", STR_ARG(path));
    if (fd == -ENXIO) /* a socket, or a pipe that nobody writes */
        return error_set(err, -EINVAL, "'" STR_FMT "' is not a regular file", STR_ARG(path));
    if (fd == -ENOTDIR)
        fd = -ENOENT;
    return error_set(err, fd, "%s", errno_text(fd));
}
