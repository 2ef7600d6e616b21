/* The network of a cluster: one bridge, 256 addresses, no way out. */

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/file.h"
#include "base/parse.h"
#include "minidcos/nspawn/nspawn.h"

enum { ROUTES_MAX = 4 * 1024 * 1024, ALIAS_FILE_MAX = 4096, ALIAS_MAX = 255 };

/* 172.30.0.0 and up; the reference's networks (overlay, CNI bridge, calico) are elsewhere. */
static const uint32_t FIRST_NETWORK = 172u << 24 | 30u << 16;
static const char LOCK[] = "/run/lock/minidcos-nspawn.lock";

int network_parse(const char *text, uint32_t *ret, struct error *err)
{
    struct str rest = str_of(text), part;
    uint32_t network = 0;
    bool good = str_has_suffix(rest, STR(".0/24"));
    rest.n -= good ? strlen("/24") : 0;
    for (int i = 0; good && i < 4; i++) {
        uint32_t value = 0;
        good = str_split(&rest, '.', &part) && parse_u32(part, &value) == 0 && value <= 255;
        network = network << 8 | value;
    }
    if (!good || rest.n)
        return error_set(
            err, -EINVAL, "'%s' is not a network of 256 addresses such as 172.30.7.0/24", text);
    *ret = network;
    return 0;
}

/* Columns are hexadecimal, in the host's byte order of a network order number. */
static bool parse_hex(struct str text, uint32_t *ret)
{
    unsigned char raw[4];
    if (text.n != 8 || hex_decode(text, raw, sizeof(raw)) != sizeof(raw))
        return false;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    *ret = (uint32_t)raw[3] << 24 | (uint32_t)raw[2] << 16 | (uint32_t)raw[1] << 8 | raw[0];
#else
    *ret = (uint32_t)raw[0] << 24 | (uint32_t)raw[1] << 16 | (uint32_t)raw[2] << 8 | raw[3];
#endif
    return true;
}

/* Whether the host has a way to one of the network's addresses already. */
static bool is_taken(struct str routes, uint32_t network)
{
    struct str line;
    while (str_split(&routes, '\n', &line)) {
        struct str word, words[8];
        size_t n = 0;
        while (n < ARRAY_SIZE(words) && str_split(&line, '\t', &word))
            words[n++] = str_trim(word);
        uint32_t to, mask;
        if (n < 8 || !parse_hex(words[1], &to) || !parse_hex(words[7], &mask) || mask == 0)
            continue;
        uint32_t wider = mask & 0xffffff00u;
        if ((network & wider) == (to & wider))
            return true;
    }
    return false;
}

static int choose(struct machines *m, const char *wanted, struct error *err)
{
    _cleanup_buf_ struct buf routes = BUF_INIT;
    int r = file_read("/proc/net/route", ROUTES_MAX, &routes, err);
    if (r < 0)
        return r;
    if (wanted) {
        r = network_parse(wanted, &m->network, err);
        if (r == 0 && is_taken(buf_str(&routes), m->network))
            r = error_set(
                err, -EADDRINUSE, "this host has a route to addresses of %s already", wanted);
        return r;
    }
    for (uint32_t n = 0; n < 256; n++) {
        m->network = FIRST_NETWORK | n << 8;
        if (!is_taken(buf_str(&routes), m->network))
            return 0;
    }
    return error_set(err, -EADDRINUSE,
        "all networks of 172.30.0.0/16 are taken on this host; name one with --network");
}

static int make_bridge(const struct machines *m, struct error *err)
{
    _cleanup_free_ char *own = machines_address(m, 1);
    _cleanup_free_ char *address = xasprintf("%s/24", own);
    const char *const add[] = {"ip", "link", "add", m->bridge, "type", "bridge", NULL};
    const char *const alias[] = {"ip", "link", "set", m->bridge, "alias", m->dir, NULL};
    const char *const number[] = {"ip", "address", "add", address, "dev", m->bridge, NULL};
    const char *const up[] = {"ip", "link", "set", m->bridge, "up", NULL};
    const char *const *const steps[] = {add, alias, number, up};
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        int r = child_must(steps[i], err);
        if (r < 0) {
            network_remove(m);
            return r;
        }
    }
    return 0;
}

/* Ports of the host that lead to the first master: for others by prerouting, for the host itself
 * by output. Addresses of the host only, so that what it sends elsewhere is left alone. */
static int make_ports(const struct machines *m, struct error *err)
{
    const struct node *master = machines_first(m, NODE_MASTER);
    if (m->ports.n == 0 || !master)
        return 0;
    _cleanup_buf_ struct buf rules = BUF_INIT;
    buf_printf(&rules, "table inet mdc_%s {\n", m->hash);
    static const char *const hooks[] = {"prerouting", "output"};
    for (size_t i = 0; i < ARRAY_SIZE(hooks); i++) {
        buf_printf(&rules, " chain %s {\n  type nat hook %s priority -100; policy accept;\n",
            hooks[i], hooks[i]);
        VEC_FOREACH (p, &m->ports)
            buf_printf(&rules, "  fib daddr type local tcp dport %u dnat ip to %s:%u\n", p->host,
                master->ip, p->node);
        buf_puts(&rules, " }\n");
    }
    /* A master answers a host that it does not know by way of the bridge. */
    buf_printf(&rules,
        " chain postrouting {\n  type nat hook postrouting priority 100; policy accept;\n"
        "  ip daddr %s ct status dnat masquerade\n }\n}\n",
        master->ip);
    _cleanup_free_ char *path = machines_path(m, "ports.nft");
    int r = file_write_atomic(path, rules.p, rules.n, 0644, err);
    /* Without it packets to 127.0.0.1 do not leave the loopback device. */
    _cleanup_free_ char *local = xasprintf("/proc/sys/net/ipv4/conf/%s/route_localnet", m->bridge);
    if (r == 0)
        r = file_write_string(local, "1", err);
    const char *const argv[] = {"nft", "-f", path, NULL};
    return r < 0 ? r : child_must(argv, err);
}

/* Two commands must not choose the same network. */
static int lock(struct error *err)
{
    int fd = open(LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_errno(err, -errno, "cannot open %s", LOCK);
    while (flock(fd, LOCK_EX) < 0) {
        if (errno != EINTR) {
            int r = error_errno(err, -errno, "cannot lock %s", LOCK);
            close(fd);
            return r;
        }
    }
    return fd;
}

int network_create(struct machines *m, const char *wanted, struct error *err)
{
    if (strlen(m->dir) > ALIAS_MAX)
        return error_set(err, -ENAMETOOLONG, "%s is longer than %d characters", m->dir, ALIAS_MAX);
    _cleanup_close_ int fd = lock(err);
    if (fd < 0)
        return fd;
    int r = choose(m, wanted, err);
    if (r < 0)
        return r;
    machines_number(m);
    r = machines_save(m, err);
    if (r == 0)
        r = make_bridge(m, err);
    return r < 0 ? r : make_ports(m, err);
}

int network_ensure(struct machines *m, struct error *err)
{
    if (if_nametoindex(m->bridge) > 0)
        return 0;
    _cleanup_close_ int fd = lock(err);
    int r = fd < 0 ? fd : make_bridge(m, err);
    return r < 0 ? r : make_ports(m, err);
}

/* The kernel takes a network namespace down some time after its last process, and only then the
 * host's end of its device: whoever makes a device of that name must not wait for it. */
void network_forget(const struct machines *m, size_t node)
{
    char name[IF_NAMESIZE];
    _cleanup_buf_ struct buf output = BUF_INIT;
    const char *const argv[] = {"ip", "link", "delete", name, NULL};
    snprintf(name, sizeof(name), "vb-%s-%zu", m->hash, node);
    if (if_nametoindex(name) > 0)
        (void)child_run(argv, NULL, &output, NULL);
}

void network_remove(const struct machines *m)
{
    _cleanup_free_ char *table = xasprintf("mdc_%s", m->hash);
    _cleanup_buf_ struct buf output = BUF_INIT;
    const char *const list[] = {"nft", "list", "table", "inet", table, NULL};
    const char *const drop[] = {"nft", "delete", "table", "inet", table, NULL};
    const char *const link[] = {"ip", "link", "delete", m->bridge, NULL};
    if (child_run(list, NULL, &output, NULL) == 0)
        (void)child_run(drop, NULL, &output, NULL);
    for (size_t i = 0; i < NODES_MAX; i++)
        network_forget(m, i);
    if (if_nametoindex(m->bridge) > 0)
        (void)child_run(link, NULL, &output, NULL);
}

void network_each(void (*fn)(const char *dir, void *userdata), void *userdata)
{
    struct if_nameindex *all = if_nameindex();
    for (struct if_nameindex *i = all; i && i->if_index; i++) {
        if (!has_prefix(i->if_name, "mdc-"))
            continue;
        _cleanup_free_ char *path = path_join("/sys/class/net", i->if_name, "ifalias");
        _cleanup_buf_ struct buf alias = BUF_INIT;
        if (file_read(path, ALIAS_FILE_MAX, &alias, NULL) < 0)
            continue;
        _cleanup_free_ char *dir = str_dup(str_trim(buf_str(&alias)));
        if (dir[0] == '/')
            fn(dir, userdata);
    }
    if_freenameindex(all);
}
