/*
 * dcos-launcher: starts the processes of containers for an agent.
 *
 * A small single-threaded program, so that forking is cheap whatever the agent's size. It runs on
 * records from descriptor 3 (launch_wire.h) and ends, touching nothing, when that closes:
 * containers are in sessions of their own and go on.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"
#include "containerizer/launch_wire.h"
#include "containerizer/proc.h"
#include "containerizer/spawner.h"

enum { LINK_FD = 3, READ_SIZE = 64 * 1024, MOUNTINFO_MAX = 16 * 1024 * 1024 };

struct child {
    struct list node;
    char *id;
    struct spawn spawn;
    uint64_t start_time;
    bool supervised;
    bool starting;                /* waits for word from result_fd */
    struct launch_record request; /* for texts of errors, while starting */
    char *mounts_text;            /* which the mounts point into */
    struct spawn_mount *mounts;
    size_t n_mounts;
    struct buf frame; /* holds the request's strings */
    int64_t status;   /* from the supervisor, or -1 */
};

static struct list children;
static bool failed; /* the link is gone */

static void send_record(const struct launch_record *m)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    launch_encode(m, &out);
    if (fd_write_all(LINK_FD, out.p, out.n) < 0)
        failed = true;
}

static void send_failure(const char *id, const struct error *err)
{
    send_record(&(struct launch_record){
        .type = LAUNCH_FAILED, .id = id, .error = -err->code, .text = err->msg});
}

static void child_free(struct child *c)
{
    list_remove(&c->node);
    spawn_done(&c->spawn);
    launch_record_done(&c->request);
    buf_done(&c->frame);
    free(c->mounts);
    free(c->mounts_text);
    free(c->id);
    free(c);
}

/* An output file in the sandbox, which the task's user may have written to before: never through
 * a link, and only an ordinary file. -1 = /dev/null. */
static int open_output(const struct launch_record *m, const char *path, struct error *err)
{
    if (!path)
        return -1;
    _cleanup_close_ int dir = open(m->cwd ? m->cwd : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return error_errno(err, -errno, "cannot open '%s'", m->cwd);
    _cleanup_close_ int fd = openat(
        dir, path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_errno(err, -errno, "cannot open '%s'", path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, -EINVAL, "'%s' is not an ordinary file", path);
    fcntl(fd, F_SETFL, O_APPEND);
    struct passwd *pw = m->user ? getpwnam(m->user) : NULL;
    if (pw && st.st_uid != pw->pw_uid && fchown(fd, pw->pw_uid, pw->pw_gid) < 0)
        return error_errno(err, -errno, "cannot give '%s' to '%s'", path, m->user);
    return TAKE_FD(fd);
}

/* Joins the groups that clone could not. */
static int join_groups(const struct launch_record *m, pid_t pid, struct error *err)
{
    char text[16];
    snprintf(text, sizeof text, "%d", (int)pid);
    for (size_t i = m->flags & LAUNCH_FLAG_UNIFIED ? 1 : 0; i < m->dirs.n; i++) {
        _cleanup_free_ char *path = path_join(m->dirs.items[i], "cgroup.procs");
        int r = file_write_string(path, text, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* The record by which a later agent finds the process; complete before the program runs. */
static int write_pid(const struct launch_record *m, pid_t pid, uint64_t start, struct error *err)
{
    if (!m->state_dir)
        return 0;
    _cleanup_free_ char *path = path_join(m->state_dir, "pid");
    _cleanup_free_ char *tmp = path_join(m->state_dir, "pid.new");
    _cleanup_close_ int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    char text[64];
    int n = snprintf(text, sizeof text, "%d %llu\n", (int)pid, (unsigned long long)start);
    /* Not synced: after a crash of the machine there is no process either. */
    if (fd < 0 || fd_write_all(fd, text, (size_t)n) < 0 || rename(tmp, path) < 0)
        return error_errno(err, -errno, "cannot write %s", path);
    return 0;
}

static int start(struct child *c, bool namespaces, struct error *err)
{
    const struct launch_record *m = &c->request;
    _cleanup_close_ int group = -1;
    if (m->flags & LAUNCH_FLAG_UNIFIED && m->dirs.n) {
        group = open(m->dirs.items[0], O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (group < 0)
            return error_errno(err, -errno, "cannot open %s", m->dirs.items[0]);
    }
    struct error why = ERROR_INIT;
    _cleanup_close_ int out = open_output(m, m->stdout_path, &why);
    _cleanup_close_ int err_fd = why.code ? -1 : open_output(m, m->stderr_path, &why);
    if (why.code)
        return error_set(err, why.code, "%s", why.msg);
    _cleanup_free_ char *status_path = m->state_dir ? path_join(m->state_dir, "status") : NULL;
    struct spawn_options o = {.argv = m->argv.items,
        .envp = m->envp.items,
        .cwd = m->cwd,
        .user = m->user,
        .stdout_fd = out,
        .stderr_fd = err_fd,
        .supervised = c->supervised,
        .namespaces = namespaces,
        .cgroup_fd = group,
        .join_pidfd = -1,
        .mounts = c->mounts,
        .n_mounts = c->n_mounts,
        .status_path = status_path};
    int r = spawn_start(&o, &c->spawn, err);
    if (r < 0)
        return r;
    struct proc_stat stat = {0};
    r = proc_stat_read(c->spawn.pid, &stat);
    if (r < 0)
        error_errno(err, r, "cannot read the process's start time");
    if (r == 0)
        r = join_groups(m, c->spawn.pid, err);
    if (r == 0)
        r = write_pid(m, c->spawn.pid, stat.start_time, err);
    if (r == 0)
        spawn_release(&c->spawn);
    c->start_time = stat.start_time;
    c->starting = r == 0;
    if (r < 0)
        spawn_done(&c->spawn); /* it ends by itself; reaped as a stranger */
    return r;
}

static void handle_start(struct str frame)
{
    struct child *c = xnew(struct child);
    list_push(&children, &c->node);
    c->spawn = (struct spawn){.pidfd = -1, .result_fd = -1, .hold_fd = -1};
    c->status = -1;
    buf_append(&c->frame, frame.p, frame.n);
    launch_decode(buf_str(&c->frame), &c->request);
    struct launch_record *m = &c->request;
    c->id = xstrdup(m->id ? m->id : "");
    c->supervised = m->flags & (LAUNCH_FLAG_NAMESPACES | LAUNCH_FLAG_SUPERVISED);
    struct error err = ERROR_INIT;
    int r = m->id && m->argv.n ? 0 : error_set(&err, -EINVAL, "incomplete request");
    if (r == 0 && m->mounts) {
        c->mounts_text = xstrdup(m->mounts);
        r = spawn_mounts_parse(c->mounts_text, &c->mounts, &c->n_mounts);
        if (r < 0)
            error_set(&err, r, "unreadable list of mounts");
    }
    if (r == 0)
        r = start(c, m->flags & LAUNCH_FLAG_NAMESPACES, &err);
    if (r == -EPERM && m->flags & LAUNCH_FLAG_NAMESPACES)
        r = start(c, false, &err);
    if (r < 0) {
        send_failure(c->id, &err);
        child_free(c);
    }
}

static void started(struct child *c)
{
    c->starting = false;
    send_record(&(struct launch_record){.type = LAUNCH_STARTED,
        .id = c->id,
        .pid = c->spawn.pid,
        .start_time = (int64_t)c->start_time});
    launch_record_done(&c->request);
    buf_done(&c->frame);
    c->request = (struct launch_record){0};
}

/* True when the child object is gone. */
static bool read_result(struct child *c)
{
    for (;;) {
        struct spawn_record record;
        ssize_t n = read(c->spawn.result_fd, &record, sizeof record);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return false;
        if (n != (ssize_t)sizeof record) {
            if (c->starting && !c->supervised) {
                started(c);
            } else if (c->starting) {
                struct error err = ERROR_INIT;
                error_set(&err, -ECANCELED, "the process was killed while it started");
                send_failure(c->id, &err);
                child_free(c);
                return true;
            }
            c->spawn.result_fd = fd_close(c->spawn.result_fd);
            return false;
        }
        if (record.kind == SPAWN_STARTED) {
            started(c);
        } else if (record.kind == SPAWN_STATUS) {
            c->status = record.value;
        } else if (record.kind == SPAWN_FAILED) {
            if (spawn_failure_stage(record.value) == SPAWN_STAGE_NAMESPACE) {
                struct error err = ERROR_INIT;
                spawn_done(&c->spawn);
                if (start(c, false, &err) == 0)
                    return false;
                send_failure(c->id, &err);
            } else {
                struct error err = ERROR_INIT;
                struct spawn_options o = {.argv = c->request.argv.items,
                    .user = c->request.user,
                    .cwd = c->request.cwd,
                    .mounts = c->mounts,
                    .n_mounts = c->n_mounts};
                spawn_failure_text(record.value, &o, &err);
                send_failure(c->id, &err);
            }
            child_free(c);
            return true;
        }
    }
}

static void reap(void)
{
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid <= 0)
            return;
        LIST_FOREACH_SAFE (c, &children, struct child, node) {
            if (c->spawn.pid != pid || c->spawn.pidfd < 0)
                continue;
            /* What it said last comes before its end. */
            if (c->spawn.result_fd >= 0 && read_result(c))
                break;
            send_record(&(struct launch_record){.type = LAUNCH_EXITED,
                .id = c->id,
                .pid = pid,
                .status = c->supervised ? c->status >= 0 ? c->status : status : status});
            child_free(c);
            break;
        }
    }
}

static int read_link(struct buf *in)
{
    char *at = buf_reserve(in, READ_SIZE);
    ssize_t n = read(LINK_FD, at, READ_SIZE);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? 0 : -errno;
    if (n == 0)
        return -EPIPE;
    buf_commit(in, (size_t)n);
    for (;;) {
        struct launch_record m;
        ptrdiff_t used = launch_decode(buf_str(in), &m);
        if (used <= 0)
            return used < 0 ? (int)used : 0;
        bool refuse = m.type == LAUNCH_HELLO && m.major != LAUNCH_MAJOR;
        if (m.type == LAUNCH_START)
            handle_start((struct str){in->p, (size_t)used});
        launch_record_done(&m);
        buf_consume(in, (size_t)used);
        if (refuse)
            return -EPROTO;
    }
}

/* Where container engines keep one or more mounts for each of their containers. */
static bool belongs_to_engine(struct str point)
{
    static const char *const folders[] = {"/var/lib/docker/", "/run/docker/",
        "/var/lib/containers/", "/var/lib/containerd/", "/run/containerd/",
        "/var/lib/kubelet/pods/"};
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        if (str_has_prefix(point, str_of(folders[i])))
            return true;
    }
    return false;
}

/*
 * A mount namespace of our own, from which containers make theirs: each mount in it is copied for
 * every container, so those of container engines go. Mounts made on the host later still come in.
 */
static void slim_mounts(void)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        return;
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (file_read("/proc/self/mountinfo", MOUNTINFO_MAX, &text, NULL) < 0)
        return;
    struct str rest = buf_str(&text), line;
    while (str_split(&rest, '\n', &line)) {
        struct str f, point = {0};
        for (int i = 0; i < 5 && str_split(&line, ' ', &f); i++)
            point = f;
        if (!belongs_to_engine(point))
            continue;
        _cleanup_free_ char *path = str_dup(point);
        umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
    }
}

static void run(int signals)
{
    _cleanup_buf_ struct buf in = BUF_INIT;
    VEC(struct pollfd) fds = {0};
    VEC(struct child *) polled = {0};
    while (!failed) {
        vec_clear(&fds);
        vec_clear(&polled);
        vec_push(&fds, ((struct pollfd){.fd = LINK_FD, .events = POLLIN}));
        vec_push(&fds, ((struct pollfd){.fd = signals, .events = POLLIN}));
        LIST_FOREACH (c, &children, struct child, node) {
            if (c->spawn.result_fd < 0)
                continue;
            vec_push(&fds, ((struct pollfd){.fd = c->spawn.result_fd, .events = POLLIN}));
            vec_push(&polled, c);
        }
        if (poll(fds.items, fds.n, -1) < 0)
            continue;
        for (size_t i = 0; i < polled.n; i++) {
            if (fds.items[i + 2].revents)
                read_result(polled.items[i]);
        }
        if (fds.items[1].revents) {
            struct signalfd_siginfo info;
            while (read(signals, &info, sizeof info) == (ssize_t)sizeof info)
                ;
            reap();
        }
        if (fds.items[0].revents && read_link(&in) < 0)
            break;
    }
    vec_done(&fds);
    vec_done(&polled);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        bool version = streq(argv[1], "--version");
        printf(version ? "dcos-launcher " DCOS_VERSION "\n"
                       : "dcos-launcher: started by dcos-agent to start containers; speaks on "
                         "descriptor 3\n");
        return version || streq(argv[1], "--help") ? 0 : 2;
    }
    log_init("dcos-launcher");
    if (fcntl(LINK_FD, F_SETFD, FD_CLOEXEC) < 0) {
        log_error("not started by an agent: descriptor 3 is not open");
        return 2;
    }
    list_init(&children);
    signal(SIGPIPE, SIG_IGN);
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    int signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    umask(0022);
    if (geteuid() == 0)
        slim_mounts();
    send_record(&(struct launch_record){
        .type = LAUNCH_HELLO, .major = LAUNCH_MAJOR, .minor = LAUNCH_MINOR});
    run(signals);
    return 0;
}
