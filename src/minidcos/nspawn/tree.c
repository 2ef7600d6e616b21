/* The Debian tree that nodes are layers on: made once by debootstrap, kept by its content. */

#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"
#include "minidcos/nspawn/nspawn.h"
#include "pkgpanda/hash.h"

enum {
    RECIPE = 1,
    TARGETS_MAX = 1024 * 1024,
    TREE_MB = 600, /* with the packages that it is made of */
    ROOM_MB = 50,
};

/* What a bare server of the release has, what the installer's preflight asks for, and pytest for
 * the integration tests. */
static const char PACKAGES[] =
    "systemd,systemd-sysv,dbus,libnss-systemd,libpam-systemd,openssh-server,sudo,"
    "iproute2,iputils-ping,ipset,nftables,kmod,procps,psmisc,"
    "bash,ca-certificates,curl,tar,xz-utils,unzip,less,"
    "python3-minimal,python3-pytest";

/* Timers that would want the network, and what a machine without a console needs not. */
static const char *const MASKED[] = {"apt-daily.timer", "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service", "console-getty.service",
    "getty.target", "systemd-resolved.service", "rpcbind.service"};

/* On hosts with version 1 hierarchies systemd-nspawn mounts the controllers read-only, although the
 * machine sees its own part only. A machine that runs containers has to write there. */
static const char INIT[] = "#!/bin/sh\n"
                           "while read -r _ at type _; do\n"
                           "    [ \"$type\" = cgroup ] && mount -o remount,bind,rw \"$at\"\n"
                           "done </proc/self/mounts\n"
                           "exec /sbin/init\n";

static const char SSHD[] = "PermitRootLogin prohibit-password\n"
                           "PasswordAuthentication no\n"
                           "KbdInteractiveAuthentication no\n"
                           "UseDNS no\n"
                           "MaxStartups 100\n"
                           "MaxSessions 100\n";

struct source {
    char *site, *suite;
};

static void source_done(struct source *s)
{
    free(s->site);
    free(s->suite);
}

/* The mirror and the release that apt uses on this host: the release with the same libraries is the
 * one our programs were built on. */
static int find_source(struct source *ret, struct error *err)
{
    const char *const argv[] = {"apt-get", "indextargets", "--format",
        "$(SITE)|$(CODENAME)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)", "Created-By: Packages", NULL};
    _cleanup_buf_ struct buf output = BUF_INIT;
    int r = child_run(argv, NULL, &output, err);
    if (r < 0)
        return r;
    struct str rest = buf_str(&output), line;
    while (r == 0 && str_split(&rest, '\n', &line)) {
        struct str words[5], word;
        size_t n = 0;
        while (n < ARRAY_SIZE(words) && str_split(&line, '|', &word))
            words[n++] = word;
        /* Updates and security are "<release>-updates": debootstrap takes the release itself. */
        if (n < 5 || !str_eq_c(words[3], "main") || str_index(words[1], '-') >= 0 ||
            !(str_eq_c(words[4], "Debian") || str_eq_c(words[4], "Ubuntu")))
            continue;
        *ret = (struct source){.site = str_dup(words[0]), .suite = str_dup(words[1])};
        return 0;
    }
    return error_set(err, -ENOENT,
        "apt knows no mirror of Debian here (apt-get indextargets); nodes need one to be made");
}

static char *tree_name(const struct source *source)
{
    char hash[SHA1_TEXT];
    _cleanup_buf_ struct buf text = BUF_INIT;
    buf_printf(&text, "%d\n%s\n%s\n%s\n%s", RECIPE, source->suite, PACKAGES, INIT, SSHD);
    for (size_t i = 0; i < ARRAY_SIZE(MASKED); i++)
        buf_printf(&text, "\n%s", MASKED[i]);
    sha1_text(text.p, text.n, hash);
    return xasprintf("%s-%.12s", source->suite, hash);
}

static int put(const char *tree, const char *name, const char *text, mode_t mode, struct error *err)
{
    _cleanup_free_ char *path = path_join(tree, name);
    return file_write_atomic(path, text, strlen(text), mode, err);
}

static void empty_folder(const char *tree, const char *name, const char *prefix)
{
    _cleanup_free_ char *path = path_join(tree, name);
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (e->d_name[0] == '.' || !has_prefix(e->d_name, prefix))
            continue;
        _cleanup_free_ char *one = path_join(path, e->d_name);
        (void)remove_tree(one, NULL);
    }
    if (dir)
        closedir(dir);
}

static int configure(const char *tree, struct error *err)
{
    const char *const enable[] = {
        "systemctl", "--quiet", "--root", tree, "enable", "systemd-networkd", "ssh", NULL};
    int r = child_must(enable, err);
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(MASKED); i++) {
        _cleanup_free_ char *path = path_join(tree, "etc/systemd/system", MASKED[i]);
        unlink(path);
        if (symlink("/dev/null", path) < 0)
            r = error_errno(err, -errno, "cannot make %s", path);
    }
    if (r >= 0)
        r = put(tree, "usr/local/sbin/minidcos-init", INIT, 0755, err);
    if (r >= 0)
        r = put(tree, "etc/ssh/sshd_config.d/minidcos.conf", SSHD, 0644, err);
    /* Each machine has its own. */
    if (r >= 0)
        r = put(tree, "etc/machine-id", "", 0444, err);
    empty_folder(tree, "etc/ssh", "ssh_host_");
    empty_folder(tree, "var/cache/apt/archives", "");
    empty_folder(tree, "var/lib/apt/lists", "");
    _cleanup_free_ char *id = path_join(tree, "var/lib/dbus/machine-id");
    unlink(id);
    return r;
}

/* debootstrap does not take blanks in names: it finds the cache by a name of ours, in a namespace
 * where that hides nothing that it needs. */
static const char SCRIPT[] = "cd -- \"$1\" && mount -t tmpfs -o mode=755 tmpfs /mnt &&\n"
                             "mkdir /mnt/cache && mount --bind . /mnt/cache && cd / || exit 1\n"
                             "shift\n"
                             "exec debootstrap \"$@\"\n";

/* In namespaces of its own: what it mounts, and whatever it started, ends with it. */
static int debootstrap(const struct source *source, const char *cache, const char *tree,
    const char *log, struct error *err)
{
    _cleanup_free_ char *include = xasprintf("--include=%s", PACKAGES);
    _cleanup_free_ char *target = xasprintf("/mnt/cache/trees/%s", strrchr(tree, '/') + 1);
    const char *const argv[] = {"unshare", "--fork", "--pid", "--kill-child", "--mount",
        "--mount-proc", "sh", "-c", SCRIPT, "sh", cache, "--variant=minbase", include,
        "--cache-dir=/mnt/cache/debs", source->suite, target, source->site, NULL};
    int r = child_log(argv, NULL, log, err);
    if (r <= 0)
        return r;
    _cleanup_buf_ struct buf text = BUF_INIT, said = BUF_INIT;
    (void)file_read(log, 64 * 1024 * 1024, &text, NULL);
    last_lines(buf_str(&text), 4, &said);
    /* A disk that is full takes no message either. */
    struct statvfs fs;
    uint64_t mb = statvfs(cache, &fs) == 0 ? (uint64_t)fs.f_bavail * fs.f_frsize >> 20 : ROOM_MB;
    if (mb < ROOM_MB)
        return error_set(err, -ENOSPC,
            "debootstrap failed, %llu MB are free in %s and a tree takes %d: give it room, or "
            "choose another folder with --cache (%s)",
            (unsigned long long)mb, cache, TREE_MB, buf_cstr(&said));
    return error_set(err, -EIO, "debootstrap failed (%s): %s", log, buf_cstr(&said));
}

/* A tree of that name is trusted forever after: it must not be half there after a power cut. */
static int settle(const char *tree, struct error *err)
{
    _cleanup_close_ int fd = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || syncfs(fd) < 0 ? error_errno(err, -errno, "cannot write %s", tree) : 0;
}

static int make(const struct source *source, const char *cache, const char *path, bool progress,
    struct error *err)
{
    _cleanup_free_ char *debs = path_join(cache, "debs");
    _cleanup_free_ char *temporary = xasprintf("%s.new", path);
    _cleanup_free_ char *log = xasprintf("%s.log", path);
    if (progress)
        fprintf(stderr, "making the Debian tree of nodes in %s (once; it takes minutes)\n", path);
    int r = mkdir_all(debs, 0755, err);
    if (r == 0)
        r = remove_tree(temporary, err);
    unlink(log);
    if (r == 0)
        r = debootstrap(source, cache, temporary, log, err);
    if (r == 0)
        r = configure(temporary, err);
    if (r >= 0)
        r = settle(temporary, err);
    if (r >= 0 && rename(temporary, path) < 0)
        r = error_errno(err, -errno, "cannot rename %s", temporary);
    if (r < 0)
        (void)remove_tree(temporary, NULL);
    else
        unlink(log);
    return r;
}

void tree_clean(const char *cache)
{
    _cleanup_free_ char *folder = path_join(cache, "trees");
    _cleanup_close_ int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
        return;
    DIR *dir = opendir(folder);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (!has_suffix(e->d_name, ".new") && !has_suffix(e->d_name, ".log"))
            continue;
        _cleanup_free_ char *path = path_join(folder, e->d_name);
        if (remove_tree(path, NULL) == 0)
            printf("%s\n", path);
    }
    if (dir)
        closedir(dir);
}

int tree_path(const char *cache, char **ret, struct error *err)
{
    struct source source;
    int r = find_source(&source, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *name = tree_name(&source);
    *ret = path_join(cache, "trees", name);
    source_done(&source);
    return 0;
}

int tree_ensure(const char *cache, bool progress, char **ret, struct error *err)
{
    _cleanup_free_ char *folder = path_join(cache, "trees");
    struct source source;
    int r = mkdir_all(folder, 0755, err);
    if (r == 0)
        r = find_source(&source, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *name = tree_name(&source);
    _cleanup_free_ char *path = path_join(folder, name);
    /* Another command may be making it: it is waited for. */
    _cleanup_close_ int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        r = error_errno(err, -errno, "cannot open %s", folder);
    while (r >= 0 && flock(fd, LOCK_EX) < 0) {
        if (errno != EINTR)
            r = error_errno(err, -errno, "cannot lock %s", folder);
    }
    if (r >= 0 && !path_exists(path))
        r = make(&source, cache, path, progress, err);
    source_done(&source);
    if (r >= 0)
        *ret = TAKE_PTR(path);
    return r;
}
