#include "minidcos/plan.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/parse.h"
#include "minidcos/door.h"
#include "minidcos/secure.h"

enum {
    MASTER_PORT = 5050,
    AGENT_PORT = 5051,
    MARATHON_PORT = 8080,
    MASTERS_MAX = 7,
    FIRST_MASTER_HOST = 101, /* last part of the address of the first of several masters */
};

/* ---- programs ---- */

/* Folders of the build tree. */
static const struct {
    const char *program, *folder;
} programs[] = {{"dcos-master", "master"}, {"dcos-agent", "agent"}, {"dcos-marathon", "marathon"},
    {"dcos-launcher", "containerizer"}, {"dcos-executor", "executor"},
    {"dcos-https-check", "executor"}, {"dcos-fetcher", "fetcher"}, {"dcos", "cli"},
    {"dcos-iam", "iam"}, {"dcos-net", "net"}, {"dcos-router", "router"}};

static const char *const helpers[] = {
    "dcos-launcher", "dcos-executor", "dcos-fetcher", "dcos-https-check"};

static char *own_folder(void)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (n <= 0)
        return xstrdup(".");
    path[n] = '\0';
    char *slash = strrchr(path, '/');
    if (slash)
        *slash = '\0';
    return xstrdup(path);
}

int find_program(const char *bin_dir, const char *name, char **ret, struct error *err)
{
    _cleanup_free_ char *folder = bin_dir ? xstrdup(bin_dir) : own_folder();
    char *beside = path_join(folder, name);
    if (access(beside, X_OK) == 0) {
        *ret = beside;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
        if (!streq(programs[i].program, name))
            continue;
        /* .../src/minidcos -> .../src/master; or a folder that is .../src itself */
        const char *const ups[] = {"..", ".", "src"};
        for (size_t k = 0; k < ARRAY_SIZE(ups); k++) {
            _cleanup_free_ char *path = path_join(folder, ups[k], programs[i].folder, name);
            char *real = access(path, X_OK) == 0 ? realpath(path, NULL) : NULL;
            if (real) {
                free(beside);
                *ret = real;
                return 0;
            }
        }
    }
    free(beside);
    return error_set(err, -ENOENT,
        "the program %s is missing beside %s; build everything (./dev build release) or name the "
        "folder with --bin-dir",
        name, folder);
}

int plan_libexec(const struct cluster *c, const char *bin_dir, struct error *err)
{
    _cleanup_free_ char *folder = cluster_path(c, "libexec");
    int r = mkdir_all(folder, 0755, err);
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(helpers); i++) {
        _cleanup_free_ char *program = NULL;
        _cleanup_free_ char *link = path_join(folder, helpers[i]);
        /* Only the first two are needed by every task. */
        r = find_program(bin_dir, helpers[i], &program, i < 2 ? err : NULL);
        if (r < 0 && i >= 2) {
            r = 0;
            continue;
        }
        if (r < 0)
            return r;
        unlink(link);
        if (symlink(program, link) < 0)
            return error_errno(err, -errno, "cannot make %s", link);
    }
    return r;
}

/* ---- addresses and ports ---- */

int block_take(int64_t block, struct error *err)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int n = snprintf(
        sun.sun_path + 1, sizeof(sun.sun_path) - 1, "minidcos/block/%lld", (long long)block);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_errno(err, -errno, "cannot make a socket");
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
    if (bind(fd, (struct sockaddr *)&sun, size) < 0) {
        int r = -errno;
        close(fd);
        return error_errno(err, r, "share %lld of the machine", (long long)block);
    }
    return fd;
}

void block_ports(int64_t block, size_t i, size_t n, uint16_t *from, uint16_t *to)
{
    size_t each = BLOCK_PORTS / (n ? n : 1), base = 31000 - (size_t)block * BLOCK_PORTS;
    *from = (uint16_t)(base + i * each);
    *to = (uint16_t)(*from + each - 1);
}

/* Process that has the socket open: "nginx (pid 12)". */
static bool find_holder(uint64_t inode, struct buf *out)
{
    char wanted[64];
    snprintf(wanted, sizeof(wanted), "socket:[%llu]", (unsigned long long)inode);
    DIR *proc = opendir("/proc");
    bool found = false;
    for (struct dirent *e; proc && !found && (e = readdir(proc));) {
        uint32_t pid;
        if (parse_u32(str_of(e->d_name), &pid) < 0)
            continue;
        _cleanup_free_ char *folder = path_join("/proc", e->d_name, "fd");
        DIR *fds = opendir(folder);
        for (struct dirent *f; fds && !found && (f = readdir(fds));) {
            char target[128];
            _cleanup_free_ char *path = path_join(folder, f->d_name);
            ssize_t n = readlink(path, target, sizeof(target) - 1);
            if (n <= 0)
                continue;
            target[n] = '\0';
            found = streq(target, wanted);
        }
        if (fds)
            closedir(fds);
        if (found) {
            _cleanup_buf_ struct buf name = BUF_INIT;
            _cleanup_free_ char *comm = path_join("/proc", e->d_name, "comm");
            file_read(comm, 4096, &name, NULL);
            struct str trimmed = str_trim(buf_str(&name));
            buf_printf(out, STR_FMT " (pid %u)", STR_ARG(trimmed), pid);
        }
    }
    if (proc)
        closedir(proc);
    return found;
}

/* Who listens on the address or on all addresses with that port. */
static void find_listener(uint32_t ip, uint16_t port, struct buf *out)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (file_read("/proc/net/tcp", 16 * 1024 * 1024, &text, NULL) < 0)
        return;
    struct str rest = buf_str(&text), line;
    char here[32], any[32];
    snprintf(here, sizeof(here), "%08X:%04X", ip, port);
    snprintf(any, sizeof(any), "00000000:%04X", port);
    while (str_split(&rest, '\n', &line)) {
        struct str fields[12], part, l = str_trim(line);
        size_t n = 0;
        while (n < ARRAY_SIZE(fields) && str_split(&l, ' ', &part)) {
            if (part.n)
                fields[n++] = part;
        }
        uint64_t inode;
        if (n < 10 || !str_eq_c(fields[3], "0A") ||
            !(str_eq_c(fields[1], here) || str_eq_c(fields[1], any)))
            continue;
        if (parse_u64(fields[9], &inode) == 0 && find_holder(inode, out))
            return;
    }
}

static int try_bind(const char *ip, uint16_t *port)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(*port)};
    if (inet_pton(AF_INET, ip, &sin.sin_addr) != 1)
        return -EINVAL;
    _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    socklen_t size = sizeof(sin);
    if (bind(fd, (struct sockaddr *)&sin, size) < 0 || listen(fd, 1) < 0 ||
        getsockname(fd, (struct sockaddr *)&sin, &size) < 0)
        return -errno;
    *port = ntohs(sin.sin_port);
    return 0;
}

int port_check(const char *ip, uint16_t port, const char *what, struct error *err)
{
    int r = try_bind(ip, &port);
    if (r == 0)
        return 0;
    if (r != -EADDRINUSE)
        return error_errno(err, r, "%s cannot use %s:%u", what, ip, port);
    struct in_addr in;
    inet_pton(AF_INET, ip, &in);
    _cleanup_buf_ struct buf who = BUF_INIT;
    find_listener(in.s_addr, port, &who);
    return error_set(err, r,
        "the port of %s, %s:%u, is taken%s%s; stop that program, or let free ports be picked with "
        "--ports=auto",
        what, ip, port, who.n ? " by " : "", buf_cstr(&who));
}

/* ---- command lines ---- */

void put_arg(struct daemon *d, const char *fmt, ...)
{
    struct buf text = BUF_INIT;
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(&text, fmt, ap);
    va_end(ap);
    vec_push(&d->argv, buf_steal(&text));
}

static void put_flags(struct daemon *d, const char *const *flags, size_t n)
{
    for (size_t i = 0; i < n; i++)
        put_arg(d, "%s%s", has_prefix(flags[i], "--") ? "" : "--", flags[i]);
}

static void put_milli(struct buf *out, int64_t milli)
{
    buf_printf(out, "%lld.%03lld", (long long)(milli / 1000), (long long)(milli % 1000));
}

static int make_masters(struct cluster *c, const struct plan_options *o, struct error *err)
{
    for (int64_t i = 0; i < o->masters; i++) {
        char *program, name[32];
        int r = find_program(o->bin_dir, "dcos-master", &program, err);
        if (r < 0)
            return r;
        snprintf(name, sizeof(name), o->masters > 1 ? "master-%d" : "master", (int)i + 1);
        struct daemon *d = cluster_add(c, DAEMON_MASTER, name);
        /* Several are hosts of their own, as masters are. */
        d->ip = o->masters > 1
                    ? xasprintf("127.0.%lld.%d", (long long)c->block, (int)(FIRST_MASTER_HOST + i))
                    : xstrdup("127.0.0.1");
        d->port = MASTER_PORT;
        vec_push(&d->argv, program);
    }
    return 0;
}

static int make_marathon(struct cluster *c, const struct plan_options *o, struct error *err)
{
    char *program;
    int r = find_program(o->bin_dir, "dcos-marathon", &program, err);
    if (r < 0)
        return r;
    struct daemon *d = cluster_add(c, DAEMON_MARATHON, "marathon");
    d->ip = xstrdup("127.0.0.1");
    d->port = MARATHON_PORT;
    vec_push(&d->argv, program);
    return 0;
}

static int make_agents(struct cluster *c, const struct plan_options *o, struct error *err)
{
    size_t n = (size_t)(o->agents + o->public_agents);
    struct machine machine;
    machine_detect(c->home, &machine);
    int64_t cpus = o->cpus_milli ?: machine.cpus_milli, mem = o->mem_mb ?: machine.mem_mb;
    int64_t disk = o->disk_mb ?: machine.disk_mb;
    for (size_t i = 0; i < n; i++) {
        char name[64], *program;
        bool is_public = i >= (size_t)o->agents;
        size_t number = is_public ? i - (size_t)o->agents + 1 : i + 1;
        int r = find_program(o->bin_dir, "dcos-agent", &program, err);
        if (r < 0)
            return r;
        snprintf(name, sizeof(name), "%sagent-%zu", is_public ? "public-" : "", number);
        struct daemon *d = cluster_add(c, is_public ? DAEMON_PUBLIC_AGENT : DAEMON_AGENT, name);
        d->ip = xasprintf("127.0.%lld.%zu", (long long)c->block, i + 2);
        d->port = AGENT_PORT;
        d->cgroups_root = xasprintf("dcos/%s/%s", c->id, name);
        d->cpus_milli = cpus / (int64_t)n;
        d->mem_mb = mem / (int64_t)n;
        d->disk_mb = disk / (int64_t)n;
        block_ports(c->block, i, n, &d->ports_from, &d->ports_to);
        vec_push(&d->argv, program);
    }
    return 0;
}

static void fill_flags(struct cluster *c, struct daemon *d, const struct plan_options *o)
{
    _cleanup_free_ char *masters = zookeeper_masters(c);
    if (d->kind == DAEMON_ZOOKEEPER)
        return; /* all in its file */
    if (d->kind == DAEMON_IAM || d->kind == DAEMON_NET || d->kind == DAEMON_ROUTER) {
        door_flags(c, d, masters);
        return;
    }
    bool agent = d->kind == DAEMON_AGENT || d->kind == DAEMON_PUBLIC_AGENT;
    if (d->kind != DAEMON_MASTER)
        put_arg(d, "--master=%s", masters);
    if (d->kind == DAEMON_MARATHON) {
        put_arg(d, "--http_address=%s", d->ip);
        put_arg(d, "--http_port=%u", d->port);
    } else {
        put_arg(d, "--ip=%s", d->ip);
        put_arg(d, "--port=%u", d->port);
    }
    put_arg(d, "--hostname=%s", d->ip);
    put_arg(d, "--work_dir=%s", d->work_dir);
    put_arg(d, "--ready_file=%s", d->ready_file);
    if (c->secure)
        secure_flags(c, d);
    if (d->kind == DAEMON_MASTER) {
        put_arg(d, "--cluster=%s", c->name);
        if (o->masters > 1) {
            put_arg(d, "--zk=%s", masters);
            put_arg(d, "--zk_session_timeout=%dsecs", ZOOKEEPER_SESSION_S);
            put_arg(d, "--quorum=%lld", (long long)(o->masters / 2 + 1));
        }
        put_flags(d, o->master_flags, o->n_master_flags);
    } else if (d->kind == DAEMON_MARATHON) {
        put_flags(d, o->marathon_flags, o->n_marathon_flags);
    }
    if (!agent)
        return;
    _cleanup_buf_ struct buf resources = BUF_INIT;
    buf_puts(&resources, "cpus:");
    put_milli(&resources, d->cpus_milli);
    buf_printf(&resources, ";mem:%lld;disk:%lld;ports:[%u-%u]", (long long)d->mem_mb,
        (long long)d->disk_mb, d->ports_from, d->ports_to);
    put_arg(d, "--resources=%s", buf_cstr(&resources));
    put_arg(d, "--cgroups_root=%s", d->cgroups_root);
    put_arg(d, "--launcher_dir=%s/libexec", c->dir);
    if (d->kind == DAEMON_PUBLIC_AGENT) {
        put_arg(d, "--default_role=slave_public");
        put_arg(d, "--attributes=public_ip:true");
    }
    put_flags(d, o->agent_flags, o->n_agent_flags);
}

/* The first share that is free, with ports that are. */
static int choose_block(struct cluster *c, bool any, int *ret_lease, struct error *err)
{
    if (!any) {
        struct error why = ERROR_INIT;
        c->block = 0;
        *ret_lease = block_take(0, &why);
        if (*ret_lease >= 0)
            return 0;
        if (*ret_lease != -EADDRINUSE)
            return error_set(err, *ret_lease, "%s", why.msg);
        return error_set(err, -EADDRINUSE,
            "another cluster on this machine has the usual ports; let free ones be picked with "
            "--ports=auto");
    }
    for (c->block = 1; c->block < BLOCKS; c->block++) {
        /* A cluster whose supervisor was killed has no lease, but its agents are there. */
        char ip[32];
        snprintf(ip, sizeof(ip), "127.0.%lld.2", (long long)c->block);
        if (try_bind(ip, &(uint16_t){AGENT_PORT}) == -EADDRINUSE)
            continue;
        *ret_lease = block_take(c->block, err);
        if (*ret_lease != -EADDRINUSE)
            return MIN(*ret_lease, 0);
    }
    return error_set(
        err, -EADDRINUSE, "%d clusters run on this machine; destroy one first", BLOCKS - 1);
}

static int choose_ports(struct cluster *c, bool any, struct error *err)
{
    VEC_FOREACH (d, &c->daemons) {
        int r = any ? try_bind(d->ip, &(uint16_t){d->port})
                    : port_check(d->ip, d->port, d->name, err);
        /* Those have addresses of their own. */
        bool fixed = d->kind == DAEMON_AGENT || d->kind == DAEMON_PUBLIC_AGENT ||
                     (d->kind == DAEMON_MASTER && !streq(d->ip, "127.0.0.1"));
        /* A machine may have a web server, and not everybody may use 443. */
        bool movable = d->kind == DAEMON_ROUTER && r < 0;
        if (movable || (any && (r == -EADDRINUSE || !fixed))) {
            r = port_pick(d->ip, &d->port, err);
            if (r < 0)
                return error_prefix(err, r, "%s", d->name);
        }
        if (r < 0)
            return any ? error_errno(err, r, "%s cannot use %s:%u", d->name, d->ip, d->port) : r;
    }
    return 0;
}

int port_pick(const char *ip, uint16_t *ret, struct error *err)
{
    uint16_t port = 0;
    int r = try_bind(ip, &port);
    if (r < 0)
        return error_errno(err, r, "no free port on %s", ip);
    *ret = port;
    return 0;
}

int plan_cluster(struct cluster *c, const struct plan_options *o, int *ret_lease, struct error *err)
{
    if (o->masters < 1 || o->masters > MASTERS_MAX)
        return error_set(err, -EINVAL, "--masters is 1 to %d", MASTERS_MAX);
    if (o->agents < 0 || o->public_agents < 0 || o->agents + o->public_agents > CLUSTER_NODES_MAX)
        return error_set(err, -EINVAL, "at most %d agents fit one cluster", CLUSTER_NODES_MAX);
    int lease = -1;
    int r = choose_block(c, o->auto_ports, &lease, err);
    c->created_us = clock_realtime_us();
    c->secure = o->secure;
    if (r == 0 && o->masters > 1)
        r = zookeeper_plan(c, err);
    if (r == 0)
        r = make_masters(c, o, err);
    if (r == 0)
        r = make_marathon(c, o, err);
    if (r == 0)
        r = make_agents(c, o, err);
    if (r == 0 && !o->no_door)
        r = door_plan(c, o, err);
    if (r == 0)
        r = choose_ports(c, o->auto_ports, err);
    if (r < 0) {
        fd_close(lease);
        return r;
    }
    VEC_FOREACH (d, &c->daemons)
        fill_flags(c, d, o);
    *ret_lease = lease;
    return 0;
}
