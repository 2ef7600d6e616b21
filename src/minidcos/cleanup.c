#include "minidcos/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mntent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/parse.h"

enum {
    STOP_MS = 15 * 1000, /* for the supervisor to end its daemons */
    KILL_MS = 10 * 1000, /* for killed processes to go */
    ENVIRON_MAX = 4 * 1024 * 1024,
    CGROUP_DEPTH_MAX = 32,
};

/* ---- which processes are ours ---- */

/* text is "<dir>" or "<dir>/..." */
static bool is_under(struct str text, const char *dir)
{
    size_t n = strlen(dir);
    return text.n >= n && memcmp(text.p, dir, n) == 0 && (text.n == n || text.p[n] == '/');
}

bool marks_process(const char *dir, struct str environment, struct str arguments)
{
    /* Set by the supervisor for daemons, and by agents for executors and tasks. */
    static const char *const variables[] = {
        "MINIDCOS_CLUSTER=", "MESOS_SANDBOX=", "MESOS_DIRECTORY=", "MESOS_DOMAIN_SOCKET="};
    static const char *const flags[] = {"--work_dir=", "--runtime_dir=", "--sandbox="};
    struct str part;
    while (str_split(&environment, '\0', &part)) {
        for (size_t i = 0; i < ARRAY_SIZE(variables); i++) {
            size_t n = strlen(variables[i]);
            if (part.n > n && memcmp(part.p, variables[i], n) == 0 &&
                is_under((struct str){part.p + n, part.n - n}, dir))
                return true;
        }
    }
    /* Arguments count only for programs of ours: `grep --work_dir=...` is somebody else's. */
    if (!str_split(&arguments, '\0', &part))
        return false;
    for (size_t i = part.n; i-- > 0;) {
        if (part.p[i] == '/') {
            part.p += i + 1;
            part.n -= i + 1;
            break;
        }
    }
    if (!str_has_prefix(part, STR("dcos-")))
        return false;
    while (str_split(&arguments, '\0', &part)) {
        for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
            size_t n = strlen(flags[i]);
            if (part.n > n && memcmp(part.p, flags[i], n) == 0 &&
                is_under((struct str){part.p + n, part.n - n}, dir))
                return true;
        }
    }
    return false;
}

/* This process and those above it are never ended, whatever they carry: a shell may be in a task.
 */
static bool is_ancestor(pid_t pid)
{
    for (pid_t at = getpid(); at > 1;) {
        if (at == pid)
            return true;
        char path[64];
        _cleanup_buf_ struct buf text = BUF_INIT;
        snprintf(path, sizeof(path), "/proc/%d/stat", (int)at);
        if (file_read(path, 65536, &text, NULL) < 0)
            return false;
        const char *end = strrchr(buf_cstr(&text), ')');
        struct str rest = str_of(end && end[1] ? end + 2 : ""), part;
        int64_t parent = 0;
        if (!str_split(&rest, ' ', &part) || !str_split(&rest, ' ', &part) ||
            parse_i64(part, &parent) < 0)
            return false;
        at = (pid_t)parent;
    }
    return false;
}

/* nginx writes its titles over its environment, and its workers' say nothing: but they have files
 * of the cluster open. */
static bool is_our_nginx(const struct cluster *c, pid_t pid)
{
    char path[64], target[PATH_MAX];
    bool found = false;
    _cleanup_buf_ struct buf name = BUF_INIT;
    snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
    if (file_read(path, 4096, &name, NULL) < 0 || !str_eq_c(str_trim(buf_str(&name)), "nginx"))
        return false;
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *fds = opendir(path);
    for (struct dirent *e; fds && !found && (e = readdir(fds));) {
        ssize_t n = readlinkat(dirfd(fds), e->d_name, target, sizeof(target));
        found = n > 0 && is_under((struct str){target, (size_t)n}, c->dir);
    }
    if (fds)
        closedir(fds);
    return found;
}

static bool is_ours(const struct cluster *c, pid_t pid)
{
    char path[64];
    _cleanup_buf_ struct buf environment = BUF_INIT, arguments = BUF_INIT;
    snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
    file_read(path, ENVIRON_MAX, &environment, NULL);
    snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
    file_read(path, ENVIRON_MAX, &arguments, NULL);
    return marks_process(c->dir, buf_str(&environment), buf_str(&arguments)) ||
           is_our_nginx(c, pid);
}

static int kill_one(pid_t pid)
{
    uint64_t start = process_start_time(pid);
    return start && !is_ancestor(pid) && process_signal(pid, start, SIGKILL) == 0;
}

/* Kills what carries a mark; returns how many were alive. */
static int kill_marked(const struct cluster *c)
{
    int n = 0;
    DIR *proc = opendir("/proc");
    for (struct dirent *e; proc && (e = readdir(proc));) {
        uint32_t pid;
        if (parse_u32(str_of(e->d_name), &pid) == 0 && is_ours(c, (pid_t)pid))
            n += kill_one((pid_t)pid);
    }
    if (proc)
        closedir(proc);
    return n;
}

/* ---- control groups ---- */

/* Everything in a group and those below it is a cluster's: the group's name is. */
static int kill_group(const char *path, unsigned depth)
{
    int n = 0;
    _cleanup_free_ char *procs = path_join(path, "cgroup.procs");
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (file_read(procs, ENVIRON_MAX, &text, NULL) == 0) {
        struct str rest = buf_str(&text), line;
        uint32_t pid;
        while (str_split(&rest, '\n', &line)) {
            if (line.n && parse_u32(line, &pid) == 0)
                n += kill_one((pid_t)pid);
        }
    }
    /* A frozen group does not die. */
    _cleanup_free_ char *thaw1 = path_join(path, "freezer.state");
    _cleanup_free_ char *thaw2 = path_join(path, "cgroup.freeze");
    if (path_exists(thaw1))
        file_write_string(thaw1, "THAWED", NULL);
    if (path_exists(thaw2))
        file_write_string(thaw2, "0", NULL);
    DIR *dir = depth < CGROUP_DEPTH_MAX ? opendir(path) : NULL;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (e->d_type != DT_DIR || e->d_name[0] == '.')
            continue;
        _cleanup_free_ char *child = path_join(path, e->d_name);
        n += kill_group(child, depth + 1);
    }
    if (dir)
        closedir(dir);
    return n;
}

static int remove_group(const char *path, unsigned depth)
{
    DIR *dir = depth < CGROUP_DEPTH_MAX ? opendir(path) : NULL;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (e->d_type != DT_DIR || e->d_name[0] == '.')
            continue;
        _cleanup_free_ char *child = path_join(path, e->d_name);
        remove_group(child, depth + 1);
    }
    if (dir)
        closedir(dir);
    return rmdir(path) < 0 && errno != ENOENT ? -errno : 0;
}

int group_kill(const char *path)
{
    return kill_group(path, 0);
}

int group_remove(const char *path)
{
    return remove_group(path, 0);
}

struct group_visit {
    const struct cluster *cluster;
    int (*fn)(const char *path, unsigned depth); /* NULL: remove an empty shared folder */
    int sum, bad;
};

/* Agents put their groups below the one they run in, which need not be ours: every "dcos" of the
 * tree is looked at. */
static void visit_groups(struct group_visit *v, const char *path, unsigned depth)
{
    DIR *dir = depth < CGROUP_DEPTH_MAX ? opendir(path) : NULL;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (e->d_type != DT_DIR || e->d_name[0] == '.')
            continue;
        _cleanup_free_ char *child = path_join(path, e->d_name);
        if (!streq(e->d_name, "dcos")) {
            visit_groups(v, child, depth + 1);
            continue;
        }
        _cleanup_free_ char *own = path_join(child, v->cluster->id);
        if (!v->fn)
            rmdir(child); /* only when no cluster is left in it */
        else if (path_exists(own)) {
            int r = v->fn(own, 0);
            if (r < 0)
                v->bad = r;
            else
                v->sum += r;
        }
    }
    if (dir)
        closedir(dir);
}

/* Calls fn with each dcos/<id> of all hierarchies; returns the sum of positive results, or the last
 * negative one. */
static int each_group(const struct cluster *c, int (*fn)(const char *path, unsigned depth))
{
    struct group_visit v = {.cluster = c, .fn = fn};
    FILE *mounts = setmntent("/proc/self/mounts", "re");
    char line[8192];
    struct mntent entry;
    while (mounts && getmntent_r(mounts, &entry, line, sizeof(line))) {
        if (has_prefix(entry.mnt_type, "cgroup"))
            visit_groups(&v, entry.mnt_dir, 0);
    }
    if (mounts)
        endmntent(mounts);
    return v.bad < 0 ? v.bad : v.sum;
}

/* ---- mounts ---- */

static void unmount_all(const struct cluster *c)
{
    VEC(char *) found = {0};
    FILE *mounts = setmntent("/proc/self/mounts", "re");
    char line[8192];
    struct mntent entry;
    while (mounts && getmntent_r(mounts, &entry, line, sizeof(line))) {
        if (is_under(str_of(entry.mnt_dir), c->dir))
            vec_push(&found, xstrdup(entry.mnt_dir));
    }
    if (mounts)
        endmntent(mounts);
    /* Later ones lie on earlier ones. */
    for (size_t i = found.n; i-- > 0;) {
        umount2(found.items[i], MNT_DETACH);
        free(found.items[i]);
    }
    vec_done(&found);
}

/* ---- all of it ---- */

static void stop_supervisor(const struct cluster *c)
{
    int64_t end = clock_monotonic_us() + STOP_MS * USEC_PER_MSEC;
    if (process_signal(c->supervisor_pid, c->supervisor_start, SIGTERM) < 0)
        return;
    while (process_alive(c->supervisor_pid, c->supervisor_start) && clock_monotonic_us() < end)
        pause_ms(5);
    process_signal(c->supervisor_pid, c->supervisor_start, SIGKILL);
}

static int kill_everything(const struct cluster *c, struct error *err)
{
    int64_t end = clock_monotonic_us() + KILL_MS * USEC_PER_MSEC;
    for (;;) {
        int n = 0;
        for (size_t i = 0; i < c->daemons.n; i++) {
            const struct daemon *d = &c->daemons.items[i];
            n += process_signal(d->pid, d->start, SIGKILL) == 0;
        }
        int groups = each_group(c, kill_group);
        n += MAX(groups, 0) + kill_marked(c);
        if (n == 0)
            return 0;
        if (clock_monotonic_us() > end)
            return error_set(err, -EBUSY, "%d processes of cluster '%s' do not die", n, c->name);
        pause_ms(5);
    }
}

static int remove_groups(const struct cluster *c, struct error *err)
{
    /* A group is busy until the kernel has reaped the last process in it. */
    int r = 0;
    for (int i = 0; i < 400; i++) {
        r = each_group(c, remove_group);
        if (r >= 0) {
            each_group(c, NULL);
            return 0;
        }
        pause_ms(5);
    }
    return error_errno(err, r, "control groups dcos/%s cannot be removed", c->id);
}

static int remove_settings(const struct cluster *c, struct error *err)
{
    _cleanup_free_ char *own = path_join(c->home, "cli", "clusters", c->name);
    _cleanup_free_ char *clusters = path_join(c->home, "cli", "clusters");
    _cleanup_free_ char *cli = path_join(c->home, "cli");
    int r = remove_tree(own, err);
    /* Only when they are empty. */
    rmdir(clusters);
    rmdir(cli);
    return r;
}

int cluster_destroy(struct cluster *c, struct error *err)
{
    stop_supervisor(c);
    int r = kill_everything(c, err);
    if (r < 0)
        return r;
    unmount_all(c);
    r = remove_groups(c, err);
    int r2 = remove_tree(c->dir, r < 0 ? NULL : err);
    int r3 = remove_settings(c, r < 0 || r2 < 0 ? NULL : err);
    rmdir(c->home);
    return r < 0 ? r : r2 < 0 ? r2 : r3;
}
