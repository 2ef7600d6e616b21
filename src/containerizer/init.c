/*
 * The supervisor of one program. In a pid namespace it is pid 1: when it ends the kernel kills the
 * rest. Without one it is a subreaper: whatever the program leaves behind becomes its child, and it
 * kills descendants until none is left. Either way it is a fork of its caller that never execs, so
 * it costs a few private pages.
 *
 * All signals are blocked and taken one at a time, so nothing here races.
 */

#include "containerizer/spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "containerizer/proc.h"

struct init {
    const struct spawn_options *o;
    const struct spawn_identity *identity;
    int result_fd;
    pid_t main_pid;
};

static void report(const struct init *i, int32_t kind, int32_t value)
{
    struct spawn_record record = {kind, value};
    fd_write_all(i->result_fd, &record, sizeof record);
}

static void signal_all(const struct init *i, int signum)
{
    if (i->o->namespaces)
        kill(-1, signum);
    else if (i->o->join_pidfd >= 0)
        kill(-i->main_pid, signum); /* its session; the rest belongs to the namespace's init */
    else
        proc_signal_descendants(getpid(), signum);
}

/* Reaps everything that has ended. True when the program was among it. */
static bool reap(const struct init *i, int *ret_status)
{
    bool found = false;
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid < 0 && errno == EINTR)
            continue;
        if (pid <= 0)
            return found;
        if (pid == i->main_pid) {
            *ret_status = status;
            found = true;
        }
    }
}

/* Without a namespace nobody else ends what is left. New processes may appear while we read /proc,
 * so repeat; killed ones that are not our children yet need a moment to come to us. */
static void kill_rest(const struct init *i)
{
    if (i->o->namespaces)
        return;
    if (i->o->join_pidfd >= 0) {
        kill(-i->main_pid, SIGKILL);
        return;
    }
    while (proc_signal_descendants(getpid(), SIGKILL) > 0) {
        struct timespec pause = {.tv_nsec = 2 * 1000 * 1000};
        nanosleep(&pause, NULL);
        int ignored;
        reap(i, &ignored);
    }
}

static int own_proc(void)
{
    /* Nothing mounted here may show on the host; the host's later mounts still come in. */
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        return -errno;
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        return -errno;
    return 0;
}

static void leave_status(const char *path, int status)
{
    if (!path)
        return;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    char text[16];
    int n = snprintf(text, sizeof text, "%d\n", status);
    if (fd >= 0)
        fd_write_all(fd, text, (size_t)n);
    fd_close(fd);
}

/* Starts the program; learns through a pipe that closes on exec whether that worked. */
static void start_main(struct init *i)
{
    int go[2];
    if (pipe2(go, O_CLOEXEC) < 0)
        spawn_fail(i->result_fd, SPAWN_STAGE_FORK, errno);
    /* Not fork(): libraries of the caller have handlers for it that act on descriptors of theirs,
     * which here are ours. */
    struct clone_args args = {.exit_signal = SIGCHLD};
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    if (pid < 0)
        spawn_fail(i->result_fd, SPAWN_STAGE_FORK, errno);
    if (pid == 0) {
        close(go[0]); /* so that our death shows on the other end */
        spawn_exec(i->o, i->identity, go[1]);
    }
    i->main_pid = pid;
    close(go[1]);
    struct spawn_record record;
    ssize_t n;
    do
        n = read(go[0], &record, sizeof record);
    while (n < 0 && errno == EINTR);
    close(go[0]);
    if (n == (ssize_t)sizeof record) {
        fd_write_all(i->result_fd, &record, sizeof record);
        _exit(127);
    }
    report(i, SPAWN_STARTED, (int32_t)pid);
}

void spawn_init(const struct spawn_options *o, const struct spawn_identity *identity, int result_fd)
{
    struct init i = {.o = o, .identity = identity, .result_fd = result_fd};
    setsid();
    prctl(PR_SET_NAME, "dcos-init");
    if (o->namespaces) {
        int r = own_proc();
        if (r < 0)
            spawn_fail(result_fd, SPAWN_STAGE_NAMESPACE, -r);
    } else if (o->join_pidfd >= 0) {
        if (setns(o->join_pidfd, CLONE_NEWPID | CLONE_NEWNS) < 0)
            spawn_fail(result_fd, SPAWN_STAGE_JOIN, errno);
        close(o->join_pidfd);
    } else {
        prctl(PR_SET_CHILD_SUBREAPER, 1);
    }
    for (size_t m = 0; m < o->n_mounts && o->join_pidfd < 0; m++) {
        int r = spawn_mount(&o->mounts[m], o->cwd, o->namespaces);
        if (r < 0)
            spawn_fail(result_fd, (enum spawn_stage)(SPAWN_STAGE_MOUNT + m), -r);
    }
    start_main(&i);
    /* The program's output must end when the program's processes do. */
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup2(null, 1);
    dup2(null, 2);
    close(null);

    sigset_t all;
    sigfillset(&all);
    for (;;) {
        siginfo_t info;
        int signum = sigwaitinfo(&all, &info);
        int status;
        if (signum == SIGCHLD && reap(&i, &status)) {
            kill_rest(&i);
            leave_status(o->status_path, status);
            report(&i, SPAWN_STATUS, status);
            _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
        }
        if (signum == SPAWN_SIGNAL_TERM) {
            signal_all(&i, SIGTERM);
            signal_all(&i, SIGCONT);
        } else if (signum == SPAWN_SIGNAL_KILL) {
            signal_all(&i, SIGKILL);
        }
    }
}
