/* minidcos nspawn: what its commands share. */

#include "minidcos/nspawn/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/file.h"

int usage_error(const struct error *err)
{
    fflush(stdout);
    fprintf(stderr, "Error: %s\n", err->msg);
    return EXIT_USAGE;
}

int check_transport(const struct invocation *inv, struct error *err)
{
    for (size_t i = 0; i < inv->command->n_options; i++) {
        if (!streq(inv->command->options[i].name, "transport"))
            continue;
        const char *transport = option_text(inv, "transport");
        if (transport && !streq(transport, "ssh"))
            return error_set(
                err, -EINVAL, "--transport=%s: machines are reached by 'ssh' only", transport);
    }
    return 0;
}

int nspawn_load(const struct invocation *inv, struct machines *ret, struct error *err)
{
    _cleanup_free_ char *home = NULL;
    int r = home_of(inv, &home, err);
    if (r < 0)
        return r;
    if (check_transport(inv, err) < 0)
        return usage_error(err);
    r = machines_load(home, name_of(inv), ret, err);
    return r == -ENOENT || r == -EINVAL ? usage_error(err) : r;
}

int nspawn_lock(const struct machines *m, struct error *err)
{
    int fd = open(m->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, -errno, "cannot open %s", m->dir);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int r = errno == EWOULDBLOCK
                    ? error_set(err, -EBUSY, "another command is changing cluster '%s'", m->id)
                    : error_errno(err, -errno, "cannot lock %s", m->dir);
        close(fd);
        return r;
    }
    return fd;
}

static int find_cache(const struct invocation *inv, bool make, char **ret, struct error *err)
{
    const char *dir = option_text(inv, "cache") ?: getenv("MINIDCOS_CACHE");
    const char *shared = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    _cleanup_free_ char *own = NULL;
    if (!dir || !*dir) {
        if (shared && shared[0] == '/')
            own = path_join(shared, "minidcos");
        else if (home && home[0] == '/')
            own = path_join(home, ".cache", "minidcos");
        else
            return error_set(err, -ENOENT, "cannot tell your home directory; use --cache=DIR");
        dir = own;
    }
    int r = make ? mkdir_all(dir, 0755, err) : 0;
    if (r < 0)
        return r;
    *ret = realpath(dir, NULL);
    return *ret ? 0 : error_errno(err, -errno, "%s", dir);
}

int nspawn_cache(const struct invocation *inv, char **ret, struct error *err)
{
    return find_cache(inv, true, ret, err);
}

int nspawn_cache_find(const struct invocation *inv, char **ret, struct error *err)
{
    return find_cache(inv, false, ret, err);
}

int need_root(struct error *err)
{
    return geteuid() == 0 ? 0 : error_set(err, -EPERM, "machines can be made by root only");
}

static void put_hosts(
    const struct machines *m, enum node_role role, const char *name, struct buf *out)
{
    bool first = true;
    buf_printf(out, "%s='", name);
    VEC_FOREACH (node, &m->nodes) {
        if (node->role != role)
            continue;
        buf_printf(out, "%s%s", first ? "" : ",", node->ip);
        first = false;
    }
    buf_puts(out, "' ");
}

void test_environment(const struct machines *m, struct buf *out)
{
    const struct node *master = machines_first(m, NODE_MASTER);
    put_hosts(m, NODE_MASTER, "MASTER_HOSTS", out);
    put_hosts(m, NODE_MASTER, "PUBLIC_MASTER_HOSTS", out);
    put_hosts(m, NODE_AGENT, "SLAVE_HOSTS", out);
    put_hosts(m, NODE_PUBLIC_AGENT, "PUBLIC_SLAVE_HOSTS", out);
    /* All of them: those of the public sort are agents too. */
    buf_printf(out, "DCOS_NUM_MASTERS=%zu DCOS_NUM_AGENTS=%zu ", machines_count(m, NODE_MASTER),
        machines_count(m, NODE_AGENT) + machines_count(m, NODE_PUBLIC_AGENT));
    if (master)
        buf_printf(out, "DCOS_DNS_ADDRESS=https://%s ", master->ip);
}

/* ---- what only Docker on a Mac needs ---- */

static int run_mac(const struct invocation *inv, struct error *err)
{
    (void)inv;
    return error_set(err, -EOPNOTSUPP,
        "machines run on Linux only, where this host reaches their addresses without a tunnel: "
        "there is nothing to set up");
}

static const struct option_spec mac_options[] = {OPTIONS_COMMON,
    {"configuration-dst", 0, OPTION_STRING, "Without effect", true},
    {"force", 0, OPTION_BOOL, "Without effect", true}};
static const struct command setup_mac = {.name = "setup-mac-network",
    .summary = "Not needed here: says so, exit code 1",
    OPTIONS(mac_options),
    .hidden = true,
    .run = run_mac};
static const struct command destroy_mac = {.name = "destroy-mac-network",
    .summary = "Not needed here: says so, exit code 1",
    OPTIONS(mac_options),
    .hidden = true,
    .run = run_mac};

static const struct command *const children[] = {&nspawn_clean, &nspawn_create,
    &nspawn_create_sidecar, &nspawn_destroy, &nspawn_destroy_list, &nspawn_destroy_sidecar,
    &nspawn_doctor, &nspawn_download, &nspawn_inspect, &nspawn_install, &nspawn_kill, &nspawn_list,
    &nspawn_list_sidecars, &nspawn_provision, &nspawn_run, &nspawn_send_file, &nspawn_start,
    &nspawn_sync, &nspawn_upgrade, &nspawn_wait, &nspawn_web, &setup_mac, &destroy_mac};

const struct command command_nspawn = {.name = "nspawn",
    .summary = "Clusters whose nodes are systemd-nspawn machines, installed by the installer",
    .description = "Makes clusters of machines with a systemd of their own, and installs them by "
                   "the installer file, through SSH.",
    .children = children,
    .n_children = ARRAY_SIZE(children),
    .usage_on_stderr = true,
    .usage_exit = EXIT_USAGE};
