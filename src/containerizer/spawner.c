#include "containerizer/spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/str.h"
#include "containerizer/proc.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

void spawn_fail(int result_fd, enum spawn_stage stage, int error)
{
    struct spawn_record record = {
        SPAWN_FAILED, (int32_t)((unsigned)stage << 16 | ((unsigned)error & 0xffff))};
    fd_write_all(result_fd, &record, sizeof record);
    _exit(127);
}

static int find_user(const char *name, struct spawn_identity *ret)
{
    errno = 0;
    struct passwd *pw = getpwnam(name);
    if (!pw)
        return -(errno ? errno : ENOENT);
    int n = 0;
    (void)getgrouplist(name, pw->pw_gid, NULL, &n); /* fails, and says how many there are */
    gid_t *groups = xnew_array(gid_t, MAX(n, 1));
    if (getgrouplist(name, pw->pw_gid, groups, &n) < 0) {
        free(groups);
        return -E2BIG;
    }
    *ret = (struct spawn_identity){
        .uid = pw->pw_uid, .gid = pw->pw_gid, .groups = groups, .n_groups = n};
    return 0;
}

/* With uid 0 and other users a switch needs the whole set: groups first, the uid last. */
static int switch_user(const struct spawn_identity *id)
{
    if (geteuid() == id->uid && getegid() == id->gid)
        return 0;
    if (setgroups((size_t)id->n_groups, id->groups) < 0 || setgid(id->gid) < 0 ||
        setuid(id->uid) < 0)
        return -errno;
    return 0;
}

bool spawn_mounts_need_no_new_privs(const struct spawn_mount *mounts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (mounts[i].target[0] == '/')
            return true;
    return false;
}

static int exec_path(const char *file, char *const *argv, char *const *envp)
{
    if (strchr(file, '/')) {
        execve(file, argv, envp);
        return -errno;
    }
    const char *path = env_get((const char *const *)envp, "PATH");
    struct str rest = str_of(path && *path ? path : DEFAULT_PATH), dir;
    int result = -ENOENT;
    while (str_split(&rest, ':', &dir)) {
        char full[4096];
        int n = snprintf(full, sizeof full, STR_FMT "%s%s", STR_ARG(dir), dir.n ? "/" : "", file);
        if (n < 0 || (size_t)n >= sizeof full)
            continue;
        execve(full, argv, envp);
        if (errno == EACCES)
            result = -EACCES;
        else if (errno != ENOENT && errno != ENOTDIR)
            return -errno;
    }
    return result;
}

/* Past libc, which keeps two signals to itself, and whose posix_spawn leaves them ignored. */
static void default_signals(void)
{
    static const uint64_t all_zero[8]; /* the kernel's struct sigaction: SIG_DFL and nothing else */
    for (int s = 1; s < NSIG; s++)
        syscall(SYS_rt_sigaction, s, all_zero, NULL, sizeof(uint64_t));
}

void spawn_exec(const struct spawn_options *o, const struct spawn_identity *identity, int result_fd)
{
    setsid();
    default_signals();
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (size_t i = 0; i < o->n_rlimits; i++) {
        if (setrlimit(o->rlimits[i].resource, &o->rlimits[i].limit) < 0)
            spawn_fail(result_fd, SPAWN_STAGE_LIMIT, errno);
    }
    if (o->user) {
        int r = switch_user(identity);
        if (r < 0)
            spawn_fail(result_fd, SPAWN_STAGE_USER, -r);
    }
    if ((o->no_new_privs || (o->user && spawn_mounts_need_no_new_privs(o->mounts, o->n_mounts))) &&
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        spawn_fail(result_fd, SPAWN_STAGE_USER, errno);
    if (o->cwd && chdir(o->cwd) < 0)
        spawn_fail(result_fd, SPAWN_STAGE_CWD, errno);
    /* After the switch of users, which clears it. In a pid namespace the kernel does this. */
    if (o->supervised && !o->namespaces) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        /* A supervisor that died before that reads no results any more. */
        struct pollfd reader = {.fd = result_fd};
        if (poll(&reader, 1, 0) > 0 && reader.revents & POLLERR)
            _exit(127);
    }
    int r = exec_path(o->file ? o->file : o->argv[0], (char *const *)(uintptr_t)o->argv,
        (char *const *)(uintptr_t)o->envp);
    spawn_fail(result_fd, SPAWN_STAGE_EXEC, -r);
}

static int null_fd(void)
{
    return open("/dev/null", O_RDWR | O_CLOEXEC);
}

/* Puts stdio, the hold pipe (3) and the result pipe (4) in their places and closes all else, so
 * that no descriptor of the caller lives on in a process that does not exec. */
static void arrange_fds(const struct spawn_options *o, int hold_fd, int result_fd)
{
    enum { HIGH = 64 };
    int null = null_fd();
    int fds[5] = {null, o->stdout_fd >= 0 ? o->stdout_fd : null,
        o->stderr_fd >= 0 ? o->stderr_fd : null, hold_fd, result_fd};
    int pidfd = o->join_pidfd;
    for (int i = 0; i < 5; i++)
        fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, HIGH);
    if (pidfd >= 0)
        pidfd = fcntl(pidfd, F_DUPFD_CLOEXEC, HIGH);
    for (int i = 0; i < 5; i++)
        dup3(fds[i], i, i >= 3 ? O_CLOEXEC : 0) < 0 ? _exit(127) : (void)0;
    if (pidfd >= 0)
        dup3(pidfd, 5, O_CLOEXEC);
    close_range(pidfd >= 0 ? 6 : 5, ~0u, 0);
}

_noreturn_ static void child_main(const struct spawn_options *o, int hold_fd, int result_fd)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    arrange_fds(o, hold_fd, result_fd);
    struct spawn_options mine = *o;
    mine.stdout_fd = 1;
    mine.stderr_fd = 2;
    if (mine.join_pidfd >= 0)
        mine.join_pidfd = 5;
    /* Before the go: when the caller dies after this the signal comes, before it the pipe ends. */
    if (o->dies_with_caller)
        prctl(PR_SET_PDEATHSIG, o->supervised && !o->namespaces ? SPAWN_SIGNAL_KILL : SIGKILL);
    char go;
    ssize_t n;
    do
        n = read(3, &go, 1);
    while (n < 0 && errno == EINTR);
    if (n != 1)
        _exit(127);
    close(3);
    struct spawn_identity identity = {0};
    int r = o->user ? find_user(o->user, &identity) : 0;
    if (r < 0)
        spawn_fail(4, SPAWN_STAGE_USER, -r);
    if (o->supervised)
        spawn_init(&mine, &identity, 4);
    spawn_exec(&mine, &identity, 4);
}

static pid_t clone_child(const struct spawn_options *o, int *ret_pidfd)
{
    struct clone_args args = {
        .flags = CLONE_PIDFD,
        .pidfd = (uint64_t)(uintptr_t)ret_pidfd,
        .exit_signal = SIGCHLD,
    };
    if (o->supervised && o->namespaces)
        args.flags |= CLONE_NEWPID | CLONE_NEWNS;
    if (o->cgroup_fd >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)o->cgroup_fd;
    }
    return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

int spawn_start(const struct spawn_options *o, struct spawn *ret, struct error *err)
{
    int hold[2] = {-1, -1}, result[2] = {-1, -1}, pidfd = -1;
    if (pipe2(hold, O_CLOEXEC) < 0 || pipe2(result, O_CLOEXEC) < 0) {
        int r = -errno;
        fd_close(hold[0]);
        fd_close(hold[1]);
        return error_errno(err, r, "pipe");
    }
    /* The loop's handlers must not run in the child before it has blocked everything. */
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t pid = clone_child(o, &pidfd);
    if (pid == 0) {
        close(hold[1]);
        close(result[0]);
        child_main(o, hold[0], result[1]);
    }
    int r = pid < 0 ? -errno : 0;
    sigprocmask(SIG_SETMASK, &before, NULL);
    fd_close(hold[0]);
    fd_close(result[1]);
    if (r < 0) {
        fd_close(hold[1]);
        fd_close(result[0]);
        return error_errno(err, r, "clone");
    }
    fcntl(result[0], F_SETFL, O_NONBLOCK);
    *ret = (struct spawn){.pid = pid, .pidfd = pidfd, .result_fd = result[0], .hold_fd = hold[1]};
    return 0;
}

int spawn_release(struct spawn *s)
{
    int fd = TAKE_FD(s->hold_fd);
    /* The caller ignores SIGPIPE or learns -EPIPE: a dead child shows on its pidfd either way. */
    int r = fd_write_all(fd, "g", 1);
    fd_close(fd);
    return r;
}

void spawn_done(struct spawn *s)
{
    s->pidfd = fd_close(s->pidfd);
    s->result_fd = fd_close(s->result_fd);
    s->hold_fd = fd_close(s->hold_fd);
}

void spawn_failure_text(int32_t value, const struct spawn_options *o, struct error *err)
{
    int error = -(value & 0xffff);
    const char *file = o->file ? o->file : o->argv ? o->argv[0] : "program";
    switch (spawn_failure_stage(value)) {
    case SPAWN_STAGE_EXEC:
        error_errno(err, error, "cannot run '%s'", file);
        return;
    case SPAWN_STAGE_USER:
        if (error == -ENOENT)
            error_set(err, error, "cannot switch to user '%s': no such user", o->user);
        else
            error_errno(err, error, "cannot switch to user '%s'", o->user);
        return;
    case SPAWN_STAGE_CWD:
        error_errno(err, error, "cannot enter '%s'", o->cwd);
        return;
    case SPAWN_STAGE_LIMIT:
        error_errno(err, error, "cannot set a resource limit");
        return;
    case SPAWN_STAGE_NAMESPACE:
        error_errno(err, error, "cannot set up namespaces");
        return;
    case SPAWN_STAGE_JOIN:
        error_errno(err, error, "cannot join namespaces");
        return;
    case SPAWN_STAGE_FORK:
        error_errno(err, error, "cannot fork");
        return;
    case SPAWN_STAGE_MOUNT:
        break;
    }
    size_t mount = (size_t)spawn_failure_stage(value) - SPAWN_STAGE_MOUNT;
    if (mount < o->n_mounts) {
        const struct spawn_mount *m = &o->mounts[mount];
        if (error == -EOPNOTSUPP)
            error_set(err, error,
                "cannot show '%s' at '%s'%s: without root this agent knows read-write volumes in "
                "the sandbox only",
                m->source, m->target, m->read_only ? " read-only" : "");
        else
            error_errno(err, error, "cannot show '%s' at '%s'", m->source, m->target);
        return;
    }
    error_errno(err, error, "cannot start '%s'", file);
}
