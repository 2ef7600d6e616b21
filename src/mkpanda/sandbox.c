#include "mkpanda/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "base/vec.h"
#include "pkgpanda/names.h"
#include "pkgpanda/run.h"
#include "transfer/pack.h"

enum { NAMESPACES = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS };
enum { OS_RELEASE_MAX = 64 * 1024, SIGNALLED = 128 };

/* ---- namespaces ---- */

static int write_map(const char *path, unsigned outside)
{
    char text[64];
    snprintf(text, sizeof(text), "0 %u 1\n", outside);
    return file_write_string(path, text, NULL);
}

/* Root inside, whoever we are outside. */
static int enter_namespaces(void)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    if (uid == 0)
        return unshare(NAMESPACES) < 0 ? -errno : 0;
    if (unshare(NAMESPACES | CLONE_NEWUSER) < 0)
        return -errno;
    int r = file_write_string("/proc/self/setgroups", "deny", NULL);
    if (r == 0)
        r = write_map("/proc/self/uid_map", uid);
    return r < 0 ? r : write_map("/proc/self/gid_map", gid);
}

static int bind(const char *from, const char *to, bool read_only)
{
    if (mount(from, to, NULL, MS_BIND | MS_REC, NULL) < 0)
        return -errno;
    if (!read_only)
        return 0;
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID};
    return syscall(SYS_mount_setattr, AT_FDCWD, to, AT_RECURSIVE, &attr, sizeof(attr)) < 0 ? -errno
                                                                                           : 0;
}

/* One entry of a system's tree in the new root: a link as it is, a folder or file bound. */
static int bind_system(const char *base, const char *name, const char *root)
{
    char target[256];
    struct stat st;
    _cleanup_free_ char *from = path_join(base, name);
    _cleanup_free_ char *to = path_join(root, name);
    if (lstat(from, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (S_ISLNK(st.st_mode)) {
        ssize_t n = readlink(from, target, sizeof(target) - 1);
        if (n < 0)
            return -errno;
        target[n] = '\0';
        return symlink(target, to) < 0 ? -errno : 0;
    }
    if (S_ISDIR(st.st_mode) && mkdir(to, 0755) < 0)
        return -errno;
    if (!S_ISDIR(st.st_mode)) {
        int fd = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0)
            return -errno;
        close(fd);
    }
    return bind(from, to, true);
}

/* Of the machine's configuration what compilers and interpreters need, and nothing that tells one
 * machine from another, or a secret. */
static int bind_configuration(const char *base, const char *root)
{
    static const char *const wanted[] = {"alternatives", "ld.so.cache", "ld.so.conf",
        "ld.so.conf.d", "passwd", "group", "nsswitch.conf", "os-release", "ssl/certs",
        "ssl/openssl.cnf"};
    _cleanup_free_ char *from = path_join(base, "etc");
    _cleanup_free_ char *to = path_join(root, "etc");
    _cleanup_free_ char *ssl = path_join(to, "ssl");
    _cleanup_strings_ struct strings names = {0};
    int r = mkdir_all(ssl, 0755, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(wanted) && r == 0; i++)
        r = bind_system(from, wanted[i], to);
    if (r == 0)
        r = strings_read_folder(from, &names, NULL);
    for (size_t i = 0; i < names.n && r == 0; i++)
        if (has_prefix(names.items[i], "java-")) /* the runtime keeps half of itself there */
            r = bind_system(from, names.items[i], to);
    return r;
}

static int bind_devices(const char *root)
{
    static const char *const devices[] = {"null", "zero", "full", "random", "urandom"};
    _cleanup_free_ char *dev = path_join(root, "dev");
    int r = mkdir(dev, 0755) < 0 ? -errno : 0;
    for (size_t i = 0; i < ARRAY_SIZE(devices) && r == 0; i++) {
        _cleanup_free_ char *from = path_join("/dev", devices[i]);
        _cleanup_free_ char *to = path_join(dev, devices[i]);
        int fd = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0)
            return -errno;
        close(fd);
        r = bind(from, to, false);
    }
    static const char *const links[][2] = {{"/proc/self/fd", "fd"}, {"/proc/self/fd/0", "stdin"},
        {"/proc/self/fd/1", "stdout"}, {"/proc/self/fd/2", "stderr"}};
    for (size_t i = 0; i < ARRAY_SIZE(links) && r == 0; i++) {
        _cleanup_free_ char *to = path_join(dev, links[i][1]);
        r = symlink(links[i][0], to) < 0 ? -errno : 0;
    }
    return r;
}

static int place(const char *from, const char *root, const char *to, bool read_only)
{
    _cleanup_free_ char *path = path_join(root, to);
    int r = mkdir_all(path, 0755, NULL);
    return r < 0 ? r : bind(from, path, read_only);
}

static int place_package(const struct sandbox *s, const char *root)
{
    _cleanup_free_ char *src = path_join(s->work, "src");
    _cleanup_free_ char *opt = path_join(s->work, "opt");
    _cleanup_free_ char *result = path_join(s->work, "result");
    _cleanup_free_ char *extra = path_join(s->package, "extra");
    _cleanup_free_ char *target = path_join("opt/mesosphere/packages", s->id);
    _cleanup_free_ char *mountpoint = path_join(opt, "packages", s->id);
    int r = mkdir_all(mountpoint, 0755, NULL);
    if (r == 0)
        r = place(src, root, "pkg/src", false);
    if (r == 0)
        r = place(s->package, root, "pkg/build", true);
    if (r == 0 && path_exists(extra))
        r = place(extra, root, "pkg/extra", true);
    if (r == 0)
        r = place(opt, root, "opt/mesosphere", true);
    return r < 0 ? r : place(result, root, target, false);
}

/* The new root is in memory and goes with the namespace. */
static int make_root(const struct sandbox *s)
{
    static const char *const system[] = {"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"};
    const char *base = s->builder_root ? s->builder_root : "/";
    _cleanup_free_ char *root = path_join(s->work, "root");
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", root, "tmpfs", MS_NOSUID, "mode=755") < 0)
        return -errno;
    int r = 0;
    for (size_t i = 0; i < ARRAY_SIZE(system) && r == 0; i++)
        r = bind_system(base, system[i], root);
    if (r == 0)
        r = bind_configuration(base, root);
    if (r == 0)
        r = bind_devices(root);
    if (r == 0)
        r = place_package(s, root);
    _cleanup_free_ char *proc = path_join(root, "proc");
    _cleanup_free_ char *tmp = path_join(root, "tmp");
    if (r < 0)
        return r;
    if (mkdir(proc, 0555) < 0 || mkdir(tmp, 01777) < 0 || chmod(tmp, 01777) < 0 ||
        mount("proc", proc, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        return -errno;
    if (chdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0)
        return -errno;
    return chdir("/pkg/src") < 0 || sethostname("builder", strlen("builder")) < 0 ? -errno : 0;
}

/* In the child of run_program(): the program becomes the first process of the namespace, and this
 * one waits for it. */
static int isolate(void *userdata)
{
    const struct sandbox *s = userdata;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int r = enter_namespaces(), status;
    if (r < 0)
        return r;
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid > 0) {
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : SIGNALLED + WTERMSIG(status));
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    return make_root(s);
}

bool sandbox_can_isolate(void)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0)
        _exit(enter_namespaces() < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* ---- the script ---- */

static char *variable(const char *name, const char *folder, const char *rest)
{
    return rest ? xasprintf("%s=%s/%s", name, folder, rest) : xasprintf("%s=%s", name, folder);
}

int sandbox_run(const struct sandbox *s, struct error *err)
{
    VEC(char *) env = {0};
    bool in = s->isolated;
    vec_push(&env, xstrdup("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
    vec_push(&env, xstrdup("HOME=/tmp"));
    vec_push(&env, xstrdup("LANG=C.UTF-8"));
    vec_push(&env, xstrdup("LC_ALL=C.UTF-8"));
    vec_push(&env, xstrdup("TZ=UTC"));
    vec_push(&env, xasprintf("SOURCE_DATE_EPOCH=%d", PACK_TIME));
    vec_push(&env, variable("PKG_VERSION", s->version, NULL));
    vec_push(&env, variable("PKG_NAME", s->name, NULL));
    vec_push(&env, variable("PKG_ID", s->id, NULL));
    vec_push(&env, variable("PKG_VARIANT", s->variant, NULL));
    vec_push(&env, in ? variable("PKG_PATH", "/opt/mesosphere/packages", s->id)
                      : variable("PKG_PATH", s->work, "result"));
    vec_push(&env, variable("PKG_SRC", in ? "/pkg" : s->work, "src"));
    vec_push(&env, in ? xstrdup("PKG_BUILD=/pkg/build") : variable("PKG_BUILD", s->package, NULL));
    vec_push(&env, variable("PKG_EXTRA", in ? "/pkg" : s->package, "extra"));
    vec_push(&env, in ? xstrdup("PKG_ROOT=/opt/mesosphere") : variable("PKG_ROOT", s->work, "opt"));
    vec_push(&env, xasprintf("NUM_CORES=%ld", sysconf(_SC_NPROCESSORS_ONLN)));
    vec_push(&env, NULL);
    _cleanup_free_ char *script = in ? path_join("/pkg/build", s->script)
                                     : path_join(s->package, s->script);
    _cleanup_free_ char *src = path_join(s->work, "src");
    const char *const argv[] = {script, NULL};
    const struct run_options options = {.cwd = src,
        .envp = (const char *const *)env.items,
        .stdout_fd = s->log_fd,
        .prepare = in ? isolate : NULL,
        .userdata = (void *)(uintptr_t)s};
    int r = run_program(argv, &options, err);
    for (size_t i = 0; i + 1 < env.n; i++)
        free(env.items[i]);
    vec_done(&env);
    if (r > 0)
        return error_set(err, -EIO, "the build script of %s ended with %d", s->name, r);
    return r;
}

static struct str value_of(const char *text, const char *key)
{
    struct str rest = str_of(text), line;
    size_t n = strlen(key);
    while (str_split(&rest, '\n', &line)) {
        if (line.n <= n || strncmp(line.p, key, n) != 0 || line.p[n] != '=')
            continue;
        struct str value = {line.p + n + 1, line.n - n - 1};
        if (value.n >= 2 && value.p[0] == '"')
            value = (struct str){value.p + 1, value.n - 2};
        return value;
    }
    return (struct str){"", 0};
}

int sandbox_builder(const char *builder_root, char **ret, struct error *err)
{
    _cleanup_free_ char *path = path_join(builder_root ? builder_root : "/", "etc/os-release");
    _cleanup_buf_ struct buf text = BUF_INIT;
    int r = file_read(path, OS_RELEASE_MAX, &text, err);
    if (r < 0)
        return r;
    struct str id = value_of(buf_cstr(&text), "ID"),
               version = value_of(buf_cstr(&text), "VERSION_ID");
    *ret = xasprintf("%.*s-%.*s", STR_ARG(id), STR_ARG(version));
    return 0;
}
