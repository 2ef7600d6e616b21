/* Nodes: their files, and systemd-nspawn. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "minidcos/cluster.h"
#include "minidcos/nspawn/nspawn.h"

enum {
    ARGS_MAX = 256,
    BANNER_MS = 1000,
    POLL_MS = 50,
    KEY_FILE_MAX = 16384,
    LOG_TAIL_MAX = 64 * 1024 * 1024,
    MESSAGE_LINES = 5,
};

static char *folder_of(const struct machines *m, const struct node *node, const char *name)
{
    return path_join(m->dir, "nodes", node->name, name);
}

/* ---- files ---- */

struct file {
    const char *path;
    mode_t mode;
    const char *text;
    size_t n;
};

/* Folders of the upper layer hide the mode of those below them, so it is given. */
static const struct {
    const char *path;
    mode_t mode;
} folders[] = {{"", 0755}, {"etc", 0755}, {"etc/ssh", 0755}, {"etc/ssh/sshd_config.d", 0755},
    {"etc/systemd", 0755}, {"etc/systemd/network", 0755}, {"root", 0700}, {"root/.ssh", 0700}};

static int write_files(const char *upper, const struct file *files, size_t n, struct error *err)
{
    int r = 0;
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(folders); i++) {
        _cleanup_free_ char *path = path_join(upper, folders[i].path);
        r = mkdir_all(path, folders[i].mode, err);
        if (r >= 0 && chmod(path, folders[i].mode) < 0)
            r = error_errno(err, -errno, "cannot set the mode of %s", path);
    }
    for (size_t i = 0; r >= 0 && i < n; i++) {
        _cleanup_free_ char *path = path_join(upper, files[i].path);
        r = file_write_atomic(path, files[i].text, files[i].n, files[i].mode, err);
    }
    return r;
}

/* How the tests' login gets in without being on a command line. */
static const char ACCEPT[] = "AcceptEnv DCOS_LOGIN_UNAME DCOS_LOGIN_PW\n";

int node_prepare(const struct machines *m, const struct node *node, struct error *err)
{
    static const char *const kinds[] = {"upper", "work", "disk"};
    int r = 0;
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(kinds); i++) {
        _cleanup_free_ char *path = folder_of(m, node, kinds[i]);
        r = mkdir_all(path, 0755, err);
    }
    _cleanup_free_ char *upper = folder_of(m, node, "upper");
    _cleanup_free_ char *gateway = machines_address(m, 1);
    _cleanup_free_ char *key = xasprintf("%s/ssh/host_%s", m->dir, node->name);
    _cleanup_free_ char *key_pub = xasprintf("%s.pub", key);
    _cleanup_free_ char *login = machines_path(m, "ssh/key.pub");
    _cleanup_buf_ struct buf host = BUF_INIT, hosts = BUF_INIT, network = BUF_INIT;
    _cleanup_buf_ struct buf resolv = BUF_INIT, private_key = BUF_INIT, public_key = BUF_INIT;
    _cleanup_buf_ struct buf login_key = BUF_INIT;
    if (r >= 0)
        r = file_read(key, KEY_FILE_MAX, &private_key, err);
    if (r >= 0)
        r = file_read(key_pub, KEY_FILE_MAX, &public_key, err);
    if (r >= 0)
        r = file_read(login, KEY_FILE_MAX, &login_key, err);
    if (r < 0)
        return r;
    buf_printf(&host, "%s\n", node->host);
    buf_printf(&hosts, "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n");
    VEC_FOREACH (other, &m->nodes)
        buf_printf(&hosts, "%s %s\n", other->ip, other->host);
    /* The way out leads nowhere; but packets to virtual addresses need one before they are turned
     * aside. The host answers at once that it has no such port. */
    buf_printf(&network,
        "[Match]\nName=host0\n\n[Network]\nAddress=%s/24\nGateway=%s\nLinkLocalAddressing=no\n"
        "IPv6AcceptRA=no\n",
        node->ip, gateway);
    buf_printf(&resolv, "nameserver %s\noptions timeout:1 attempts:1\n", gateway);
    const struct file files[] = {{"etc/hostname", 0644, host.p, host.n},
        {"etc/hosts", 0644, hosts.p, hosts.n},
        {"etc/systemd/network/10-host0.network", 0644, network.p, network.n},
        {"etc/resolv.conf", 0644, resolv.p, resolv.n},
        {"etc/ssh/sshd_config.d/login.conf", 0644, ACCEPT, strlen(ACCEPT)},
        {"etc/ssh/ssh_host_ed25519_key", 0600, private_key.p, private_key.n},
        {"etc/ssh/ssh_host_ed25519_key.pub", 0644, public_key.p, public_key.n},
        {"root/.ssh/authorized_keys", 0600, login_key.p, login_key.n}};
    return write_files(upper, files, ARRAY_SIZE(files), err);
}

int node_blank(const struct machines *m, const struct node *node, struct error *err)
{
    if (groups_alive(m, node))
        return error_set(err, -EBUSY, "%s runs: its disk is in use", node->name);
    _cleanup_free_ char *path = xasprintf("%s/nodes/%s", m->dir, node->name);
    int r = remove_tree(path, err);
    return r < 0 ? r : node_prepare(m, node, err);
}

/* ---- systemd-nspawn ---- */

struct boot {
    const struct machines *m;
    const struct node *node;
    char *overlay;
    const char *argv[ARGS_MAX];
    size_t n;
    VEC(char *) keep;
};

static void arg(struct boot *b, char *text)
{
    vec_push(&b->keep, text);
    if (b->n + 1 < ARGS_MAX)
        b->argv[b->n++] = text;
}

static void arg_bind(struct boot *b, const char *source, const char *target, bool read_only)
{
    struct buf text = BUF_INIT;
    buf_puts(&text, read_only ? "--bind-ro=" : "--bind=");
    bind_word(&text, source);
    buf_putc(&text, ':');
    bind_word(&text, target);
    arg(b, buf_steal(&text));
}

static void boot_done(struct boot *b)
{
    VEC_FOREACH (text, &b->keep)
        free(*text);
    vec_done(&b->keep);
    free(b->overlay);
}

static int arg_loop(unsigned loop, void *userdata)
{
    _cleanup_free_ char *device = xasprintf("/dev/loop%u", loop);
    arg_bind(userdata, device, device, false);
    return 0;
}

static int plan(struct boot *b, struct error *err)
{
    const struct machines *m = b->m;
    const struct node *node = b->node;
    _cleanup_free_ char *upper = folder_of(m, node, "upper");
    _cleanup_free_ char *work = folder_of(m, node, "work");
    _cleanup_free_ char *disk = folder_of(m, node, "disk");
    struct buf layers = BUF_INIT;
    buf_puts(&layers, "lowerdir=");
    overlay_word(&layers, m->tree);
    buf_puts(&layers, ",upperdir=");
    overlay_word(&layers, upper);
    buf_puts(&layers, ",workdir=");
    overlay_word(&layers, work);
    b->overlay = buf_steal(&layers);
    arg(b, xstrdup("systemd-nspawn"));
    arg(b, xstrdup("--quiet"));
    arg(b, xstrdup("--directory=/run/root"));
    /* Names the device on the bridge, which is cut off after 15 characters. */
    arg(b, xasprintf("--machine=%s", node->machine));
    arg(b, xasprintf("--hostname=%s", node->host));
    arg(b, xstrdup("--kill-signal=SIGRTMIN+3"));
    arg(b, xstrdup("--register=no"));
    arg(b, xstrdup("--keep-unit"));
    arg(b, xstrdup("--capability=all"));
    arg(b, xasprintf("--network-bridge=%s", m->bridge));
    arg(b, xstrdup("--resolv-conf=off"));
    arg(b, xstrdup("--timezone=off"));
    arg(b, xstrdup("--link-journal=no"));
    /* Containers are layers themselves, and an upper layer cannot be on layers. */
    arg_bind(b, disk, "/var/lib/mesos", false);
    VEC_FOREACH (v, &m->volumes) {
        if (v->roles & 1u << node->role)
            arg_bind(b, v->source, v->target, v->read_only);
    }
    int r = sidecars_each(m->home, arg_loop, b, err);
    arg(b, xstrdup("/usr/local/sbin/minidcos-init"));
    if (r == 0 && b->n < b->keep.n)
        r = error_set(err, -E2BIG, "%s has too many volumes and devices", node->name);
    return r;
}

/* In the child. What systemd-nspawn keeps of machines in /run is the node's own, so nothing of it
 * stays on the host. Returns a negative errno. */
static int enter(const struct boot *b)
{
    static const char LAYERS[] = "/run/root";
    int r = groups_join(b->m, b->node);
    if (r < 0)
        return r;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755") < 0 ||
        mkdir(LAYERS, 0755) < 0 || mount("overlay", LAYERS, "overlay", 0, b->overlay) < 0)
        return -errno;
    return 0;
}

static _noreturn_ void become_machine(const struct boot *b, int console, int report)
{
    int null = open("/dev/null", O_RDONLY);
    setsid();
    /* Of the network only: the rest of /proc/sys is the whole host's. */
    setenv("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "network", 1);
    setenv("SYSTEMD_SECCOMP", "0", 1);
    int r = enter(b);
    if (r == 0 && (dup2(null, STDIN_FILENO) < 0 || dup2(console, STDOUT_FILENO) < 0 ||
                      dup2(console, STDERR_FILENO) < 0))
        r = -errno;
    /* A machine outlives whoever made it, and must not hold his pipes and locks. */
    if (r == 0 && close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
        r = -errno;
    if (r == 0) {
        execvp(b->argv[0], (char *const *)(uintptr_t)b->argv);
        r = -errno;
    }
    (void)!write(report, &r, sizeof(r));
    _exit(1);
}

static char *console_of(const struct machines *m, const struct node *node)
{
    return xasprintf("%s/logs/%s.console", m->dir, node->name);
}

int node_boot(const struct machines *m, const struct node *node, struct error *err)
{
    if (groups_alive(m, node))
        return error_set(err, -EALREADY, "%s runs already", node->name);
    _cleanup_free_ char *path = console_of(m, node);
    _cleanup_close_ int console = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (console < 0)
        return error_errno(err, -errno, "cannot write %s", path);
    int r = groups_create(m, node, err), report[2];
    if (r < 0)
        return r;
    if (pipe2(report, O_CLOEXEC) < 0)
        return error_errno(err, -errno, "cannot make a pipe");
    network_forget(m, (size_t)(node - m->nodes.items));
    struct boot b = {.m = m, .node = node};
    r = plan(&b, err);
    if (r < 0) {
        close(report[0]);
        close(report[1]);
        boot_done(&b);
        return r;
    }
    pid_t pid = fork();
    if (pid == 0)
        become_machine(&b, console, report[1]);
    int failed = pid < 0 ? -errno : 0;
    close(report[1]);
    if (!failed) {
        int code;
        ssize_t n;
        while ((n = read(report[0], &code, sizeof(code))) < 0 && errno == EINTR)
            ;
        if (n == sizeof(code)) {
            failed = code;
            waitpid(pid, NULL, 0);
        }
    }
    close(report[0]);
    boot_done(&b);
    return failed ? error_errno(err, failed, "cannot boot %s", node->name) : 0;
}

/* ---- waiting ---- */

/* Whether somebody greets there the way SSH servers do. */
static bool answers(const char *ip)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(22)};
    _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || inet_pton(AF_INET, ip, &to.sin_addr) != 1)
        return false;
    if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS)
        return false;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char greeting[4] = "";
    return poll(&p, 1, BANNER_MS) > 0 && read(fd, greeting, sizeof(greeting)) == 4 &&
           memcmp(greeting, "SSH-", 4) == 0;
}

static int not_booted(
    const struct machines *m, const struct node *node, const char *why, int code, struct error *err)
{
    _cleanup_free_ char *path = console_of(m, node);
    _cleanup_buf_ struct buf text = BUF_INIT, said = BUF_INIT;
    (void)file_read(path, LOG_TAIL_MAX, &text, NULL);
    last_lines(buf_str(&text), MESSAGE_LINES, &said);
    return error_set(err, code, "%s %s (%s): %s", node->name, why, path, buf_cstr(&said));
}

static int wait_greeting(
    const struct machines *m, const struct node *node, int64_t end, struct error *err)
{
    while (!answers(node->ip)) {
        if (!groups_alive(m, node))
            return not_booted(m, node, "ended while it booted", -ESRCH, err);
        if (clock_monotonic_us() > end)
            return not_booted(m, node, "does not answer over SSH", -ETIMEDOUT, err);
        pause_ms(POLL_MS);
    }
    return 0;
}

int nodes_wait(
    const struct machines *m, const struct node *one, int64_t timeout_s, struct error *err)
{
    int64_t start = clock_monotonic_us(), end = start + timeout_s * USEC_PER_SEC;
    int r = 0;
    for (size_t i = 0; r >= 0 && i < m->nodes.n; i++) {
        if (!one || one == &m->nodes.items[i])
            r = wait_greeting(m, &m->nodes.items[i], end, err);
    }
    if (r < 0)
        return r;
    /* "degraded" is a machine that is up and has a unit that failed: not ours to judge. */
    static const char COMMAND[] =
        "s=$(systemctl is-system-running --wait); [ \"$s\" = running ] || [ \"$s\" = degraded ]";
    if (one) {
        _cleanup_buf_ struct buf output = BUF_INIT;
        r = node_run(m, one, COMMAND, &output, err);
        return r > 0 ? not_booted(m, one, "did not come up", -EIO, err) : r;
    }
    struct child *children = xnew_array(struct child, m->nodes.n + 1);
    int64_t left = MAX(end - clock_monotonic_us(), INT64_C(1000000));
    nodes_run(m, COMMAND, children, left / USEC_PER_MSEC);
    for (size_t i = 0; r >= 0 && i < m->nodes.n; i++) {
        if (children[i].status != 0)
            r = not_booted(m, &m->nodes.items[i], "did not come up", -EIO, err);
    }
    children_done(children, m->nodes.n);
    free(children);
    return r;
}
