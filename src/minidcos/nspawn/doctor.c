/* minidcos nspawn doctor: can this host run machines? */

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/parse.h"
#include "minidcos/nspawn/commands.h"

enum {
    SPACE_MIN_GB = 5,
    MEMORY_MIN_MB = 4096,
    INOTIFY_INSTANCES_MIN = 128,
    INOTIFY_WATCHES_MIN = 8192,
    PIDS_MIN = 16384,
    FILES_MIN = 4096,
    FILE_MAX = 1024 * 1024,
    PATHS_MAX = 64,
};

enum level { LEVEL_OK, LEVEL_NOTE, LEVEL_WARNING, LEVEL_ERROR };

static const char *const levels[] = {"ok", "note", "WARNING", "ERROR"};

struct doctor {
    const char *home, *cache;
    char text[768];
};

static enum level answer(struct doctor *d, enum level level, const char *fmt, ...) _printf_(3, 4);

static enum level answer(struct doctor *d, enum level level, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(d->text, sizeof(d->text), fmt, ap);
    va_end(ap);
    return level;
}

static enum level check_root(struct doctor *d)
{
    return geteuid() == 0
               ? answer(d, LEVEL_OK, "root")
               : answer(d, LEVEL_ERROR, "machines can be made by root only: call it with sudo");
}

static bool in_path(const char *name)
{
    struct str rest = str_of(getenv("PATH") ?: "/usr/sbin:/usr/bin:/sbin:/bin"), folder;
    for (int i = 0; i < PATHS_MAX && str_split(&rest, ':', &folder); i++) {
        _cleanup_free_ char *path = xasprintf(STR_FMT "/%s", STR_ARG(folder), name);
        if (access(path, X_OK) == 0)
            return true;
    }
    return false;
}

static enum level check_programs(struct doctor *d)
{
    static const struct {
        const char *name, *package;
    } needed[] = {{"systemd-nspawn", "systemd-container"}, {"debootstrap", "debootstrap"},
        {"unshare", "util-linux"}, {"ip", "iproute2"}, {"nft", "nftables"},
        {"ssh", "openssh-client"}, {"scp", "openssh-client"}, {"ssh-keygen", "openssh-client"},
        {"systemctl", "systemd"}};
    _cleanup_buf_ struct buf missing = BUF_INIT, packages = BUF_INIT;
    for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
        if (in_path(needed[i].name))
            continue;
        buf_printf(&missing, "%s%s", missing.n ? ", " : "", needed[i].name);
        if (!strstr(buf_cstr(&packages), needed[i].package))
            buf_printf(&packages, " %s", needed[i].package);
    }
    return missing.n ? answer(d, LEVEL_ERROR, "missing: %s; apt-get install%s", buf_cstr(&missing),
                           buf_cstr(&packages))
                     : answer(d, LEVEL_OK, "systemd-nspawn, debootstrap, ip, nft, ssh");
}

/* ---- kernel: each is tried in namespaces of a child, so nothing stays ---- */

static int in_child(int (*fn)(const struct doctor *), const struct doctor *d)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(-fn(d) & 255);
    int status = 0;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return pid < 0 ? -errno : WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

/* A folder that is not there yet will be on the file system of the one above. */
static char *existing(const char *wanted)
{
    char *path = xstrdup(wanted);
    while (!path_exists(path) && strrchr(path, '/') > path)
        *strrchr(path, '/') = '\0';
    if (path_exists(path))
        return path;
    free(path);
    return xstrdup("/");
}

static int mount_layers(const char *lower, const char *top)
{
    static const char *const names[] = {"upper", "work", "root"};
    _cleanup_buf_ struct buf layers = BUF_INIT;
    int r = 0;
    buf_puts(&layers, "lowerdir=");
    overlay_word(&layers, lower);
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(names); i++) {
        _cleanup_free_ char *path = path_join(top, names[i]);
        r = mkdir_all(path, 0755, NULL);
        if (i < 2) {
            buf_printf(&layers, ",%sdir=", names[i]);
            overlay_word(&layers, path);
        }
    }
    _cleanup_free_ char *root = path_join(top, "root");
    if (r == 0 &&
        (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("overlay", root, "overlay", 0, buf_cstr(&layers)) < 0))
        r = -errno;
    if (r == 0)
        umount2(root, MNT_DETACH);
    return r;
}

/* As nodes have it: the tree is in the cache, what they write is in the folder of clusters. */
static int try_overlay(const struct doctor *d)
{
    _cleanup_free_ char *above = existing(d->home);
    _cleanup_free_ char *top = path_join(above, ".minidcos-doctor-XXXXXX");
    if (!mkdtemp(top))
        return -errno;
    int r = mount_layers(d->cache, top);
    (void)remove_tree(top, NULL);
    return r;
}

static int try_network(const struct doctor *d)
{
    (void)d;
    const char *const bridge[] = {"ip", "link", "add", "mdc-doctor", "type", "bridge", NULL};
    const char *const veth[] = {
        "ip", "link", "add", "mdc-a", "type", "veth", "peer", "name", "mdc-b", NULL};
    const char *const join[] = {"ip", "link", "set", "mdc-a", "master", "mdc-doctor", NULL};
    const char *const *const steps[] = {bridge, veth, join};
    if (unshare(CLONE_NEWNET) < 0)
        return -errno;
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        if (child_must(steps[i], NULL) < 0)
            return -EOPNOTSUPP;
    }
    return 0;
}

static enum level check_overlay(struct doctor *d)
{
    int r = in_child(try_overlay, d);
    if (r == -ENODEV)
        return answer(d, LEVEL_ERROR, "the kernel has no overlay: modprobe overlay");
    return r < 0 ? answer(d, LEVEL_ERROR,
                       "layers cannot be mounted in %s (%s): choose a folder on a disk of this "
                       "host, which is no layer itself, with --dir",
                       d->home, errno_text(r))
                 : answer(d, LEVEL_OK, "layers (overlay) can be mounted in %s", d->home);
}

static enum level check_network(struct doctor *d)
{
    int r = in_child(try_network, d);
    return r < 0 ? answer(d, LEVEL_ERROR,
                       "no bridge with a veth pair can be made (%s): modprobe "
                       "bridge veth",
                       errno_text(r))
                 : answer(d, LEVEL_OK, "bridges and veth pairs can be made");
}

static int try_filter(const struct doctor *d)
{
    (void)d;
    const char *const argv[] = {"nft",
        "add table inet x; add chain inet x y { type nat hook output priority -100; }; "
        "add rule inet x y fib daddr type local tcp dport 1 dnat ip to 127.0.0.2:1",
        NULL};
    if (unshare(CLONE_NEWNET) < 0)
        return -errno;
    return child_must(argv, NULL) < 0 ? -EOPNOTSUPP : 0;
}

static enum level check_filter(struct doctor *d)
{
    return in_child(try_filter, d) < 0
               ? answer(d, LEVEL_ERROR,
                     "nft cannot turn connections to other addresses, which virtual addresses "
                     "need: modprobe nf_tables nft_nat nft_fib_inet")
               : answer(d, LEVEL_OK, "nft can turn connections to other addresses");
}

/* -1 when it cannot be read. */
static int64_t setting(const char *path)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    int64_t value;
    return file_read(path, FILE_MAX, &text, NULL) == 0 &&
                   parse_i64(str_trim(buf_str(&text)), &value) == 0
               ? value
               : -1;
}

/* Nodes talk over a bridge, which a packet filter of the host may see too. */
static enum level check_forwarding(struct doctor *d)
{
    const char *const argv[] = {"nft", "list", "ruleset", NULL};
    _cleanup_buf_ struct buf rules = BUF_INIT;
    struct str rest, line;
    bool drops = false;
    if (setting("/proc/sys/net/bridge/bridge-nf-call-iptables") == 1 &&
        child_run(argv, NULL, &rules, NULL) == 0) {
        rest = buf_str(&rules);
        while (str_split(&rest, '\n', &line)) {
            _cleanup_free_ char *text = str_dup(line);
            drops = drops || (strstr(text, "hook forward") && strstr(text, "policy drop"));
        }
    }
    if (drops)
        return answer(d, LEVEL_WARNING,
            "the host's packet filter drops what it forwards, between nodes too: sysctl "
            "net.bridge.bridge-nf-call-iptables=0, or let mdc-* through");
    if (setting("/proc/sys/net/ipv4/ip_forward") != 1)
        return answer(d, LEVEL_NOTE,
            "net.ipv4.ip_forward is off: --one-master-host-port-map serves this host only");
    return answer(d, LEVEL_OK, "nodes reach each other, and ports of the host can lead to them");
}

static enum level check_groups(struct doctor *d)
{
    FILE *mounts = setmntent("/proc/self/mounts", "re");
    char line[8192];
    struct mntent entry;
    size_t v1 = 0, v2 = 0;
    _cleanup_free_ char *bad = NULL;
    while (mounts && getmntent_r(mounts, &entry, line, sizeof(line))) {
        if (!has_prefix(entry.mnt_type, "cgroup"))
            continue;
        *(streq(entry.mnt_type, "cgroup2") ? &v2 : &v1) += 1;
        struct statvfs fs;
        if (access(entry.mnt_dir, W_OK) < 0 ||
            (statvfs(entry.mnt_dir, &fs) == 0 && fs.f_flag & ST_RDONLY)) {
            free(bad);
            bad = xstrdup(entry.mnt_dir);
        }
    }
    if (mounts)
        endmntent(mounts);
    if (v1 + v2 == 0)
        return answer(
            d, LEVEL_ERROR, "no control groups are mounted: mount -t cgroup2 none /sys/fs/cgroup");
    if (bad)
        return answer(d, LEVEL_ERROR,
            "groups cannot be made in %s: mount -o remount,rw %s, which in a container its owner "
            "has to allow",
            bad, bad);
    if (access("/proc/self/ns/cgroup", F_OK) < 0)
        return answer(d, LEVEL_ERROR, "the kernel has no namespaces of control groups");
    return answer(d, LEVEL_OK, "control groups: %s",
        v1 == 0   ? "version 2"
        : v2 == 0 ? "version 1"
                  : "version 1 and 2 (hybrid)");
}

/* ---- room ---- */

static enum level check_space(struct doctor *d)
{
    const char *const paths[] = {d->home, d->cache};
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        _cleanup_free_ char *path = existing(paths[i]);
        struct statvfs fs;
        if (statvfs(path, &fs) < 0)
            return answer(d, LEVEL_ERROR, "%s: %s", path, errno_text(errno));
        uint64_t gb = (uint64_t)fs.f_bavail * fs.f_frsize >> 30;
        if (gb < SPACE_MIN_GB)
            return answer(d, LEVEL_WARNING,
                "%llu GB are free in %s, a cluster may need %d: make room, or choose another "
                "folder with %s",
                (unsigned long long)gb, path, SPACE_MIN_GB, i ? "--cache" : "--dir");
    }
    return answer(
        d, LEVEL_OK, "at least %d GB are free in %s and %s", SPACE_MIN_GB, d->home, d->cache);
}

static enum level check_memory(struct doctor *d)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct str rest, line;
    if (file_read("/proc/meminfo", FILE_MAX, &text, NULL) < 0)
        return answer(d, LEVEL_WARNING, "/proc/meminfo cannot be read");
    rest = buf_str(&text);
    while (str_split(&rest, '\n', &line)) {
        static const struct str KEY = {"MemAvailable:", 13};
        if (!str_has_prefix(line, KEY))
            continue;
        struct str value = str_trim((struct str){line.p + KEY.n, line.n - KEY.n}), number;
        uint64_t kb = 0;
        if (!str_split(&value, ' ', &number) || parse_u64(number, &kb) < 0)
            break;
        return kb / 1024 < MEMORY_MIN_MB
                   ? answer(d, LEVEL_WARNING,
                         "%llu MB of memory are available, a cluster may need %d: end other "
                         "programs, or make fewer nodes",
                         (unsigned long long)kb / 1024, MEMORY_MIN_MB)
                   : answer(d, LEVEL_OK, "%llu MB of memory are available",
                         (unsigned long long)kb / 1024);
    }
    return answer(d, LEVEL_WARNING, "/proc/meminfo does not tell what is available");
}

/* Of the whole host, for all machines together. */
static enum level check_limits(struct doctor *d)
{
    static const struct {
        const char *path, *name;
        int64_t min;
    } limits[] = {{"/proc/sys/fs/inotify/max_user_instances", "fs.inotify.max_user_instances",
                      INOTIFY_INSTANCES_MIN},
        {"/proc/sys/fs/inotify/max_user_watches", "fs.inotify.max_user_watches",
            INOTIFY_WATCHES_MIN},
        {"/proc/sys/kernel/pid_max", "kernel.pid_max", PIDS_MIN},
        {"/proc/sys/kernel/threads-max", "kernel.threads-max", PIDS_MIN}};
    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        int64_t value = setting(limits[i].path);
        if (value >= 0 && value < limits[i].min)
            return answer(d, LEVEL_WARNING, "%s is %lld, and all machines share it: sysctl %s=%lld",
                limits[i].name, (long long)value, limits[i].name, (long long)limits[i].min * 4);
    }
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_max < FILES_MIN)
        return answer(d, LEVEL_WARNING,
            "a process may have %llu open files, which machines inherit: ulimit -Hn %d",
            (unsigned long long)files.rlim_max, FILES_MIN * 4);
    return answer(d, LEVEL_OK, "limits of inotify, processes and open files are wide enough");
}

static enum level check_loop(struct doctor *d)
{
    return access("/dev/loop-control", R_OK | W_OK) < 0
               ? answer(d, LEVEL_NOTE,
                     "there are no loop devices: create-loopback-sidecar does not work; modprobe "
                     "loop")
               : answer(d, LEVEL_OK, "loop devices can be made");
}

static enum level check_tree(struct doctor *d)
{
    _cleanup_free_ char *path = NULL;
    struct error why = ERROR_INIT;
    if (tree_path(d->cache, &path, &why) < 0)
        return answer(d, LEVEL_ERROR, "%s", why.msg);
    return path_exists(path) ? answer(d, LEVEL_OK, "the Debian tree is in %s", path)
                             : answer(d, LEVEL_NOTE,
                                   "the first cluster makes the Debian tree %s: that takes "
                                   "minutes and a mirror",
                                   path);
}

struct left {
    size_t n;
    char first[256];
};

static void count_left(const char *dir, void *userdata)
{
    struct left *left = userdata;
    if (path_exists(dir))
        return;
    if (left->n++ == 0)
        snprintf(left->first, sizeof(left->first), "%s", dir);
}

static enum level check_left(struct doctor *d)
{
    struct left left = {0};
    network_each(count_left, &left);
    return left.n ? answer(d, LEVEL_WARNING,
                        "%zu clusters lost their folders (%s); 'minidcos "
                        "nspawn clean' ends them",
                        left.n, left.first)
                  : answer(d, LEVEL_OK, "nothing is left of clusters that are gone");
}

static int run_doctor(const struct invocation *inv, struct error *err)
{
    static enum level (*const checks[])(struct doctor *) = {check_root, check_programs,
        check_overlay, check_network, check_filter, check_forwarding, check_groups, check_space,
        check_memory, check_limits, check_loop, check_tree, check_left};
    _cleanup_free_ char *home = NULL, *cache = NULL;
    int r = home_of(inv, &home, err);
    /* Who is not root is told so, rather than which folder cannot be made. */
    if (r == 0)
        r = geteuid() == 0 ? nspawn_cache(inv, &cache, err) : 0;
    if (r < 0)
        return r;
    struct doctor d = {.home = home, .cache = cache};
    int failed = 0;
    for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
        enum level level = checks[i](&d);
        printf("%-8s %s\n", levels[level], d.text);
        fflush(stdout);
        failed = failed || level == LEVEL_ERROR;
        /* Without root or programs the others say nothing. */
        if (level == LEVEL_ERROR && i < 2)
            break;
    }
    return failed;
}

static const struct option_spec options[] = {OPTIONS_COMMON, OPTION_CACHE};

const struct command nspawn_doctor = {.name = "doctor",
    .summary = "Check whether this host can run machines (exit code 1 when it cannot)",
    OPTIONS(options),
    .run = run_doctor};
