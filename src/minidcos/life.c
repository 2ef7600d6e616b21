/* minidcos create, wait, destroy */

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/rsa.h"
#include "base/file.h"
#include "base/parse.h"
#include "io/stream.h"
#include "minidcos/cleanup.h"
#include "minidcos/commands.h"
#include "minidcos/door.h"
#include "minidcos/plan.h"
#include "minidcos/secure.h"
#include "minidcos/supervise.h"

enum { TIMEOUT_DEFAULT_S = 60, SOCKET_PATH_MAX = 100 };

static int make_folders(const struct cluster *c, struct error *err)
{
    static const char *const names[] = {"logs", "run"};
    int r = mkdir_all(c->dir, 0755, err);
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(names); i++) {
        _cleanup_free_ char *path = cluster_path(c, names[i]);
        r = mkdir_all(path, 0755, err);
    }
    for (size_t i = 0; r >= 0 && i < c->daemons.n; i++)
        r = mkdir_all(c->daemons.items[i].work_dir, 0755, err);
    return r;
}

/* Settings with which `dcos` finds this cluster: one of the clusters of DCOS_DIR=<home>/cli.
 * `token` NULL: it shows none. */
static int write_settings(struct cluster *c, const char *token, struct error *err)
{
    _cleanup_free_ char *folder = path_join(c->home, "cli", "clusters", c->name);
    _cleanup_free_ char *file = path_join(folder, "dcos.toml");
    _cleanup_free_ char *master = cluster_url(c, cluster_first(c, DAEMON_MASTER));
    _cleanup_free_ char *marathon = cluster_url(c, cluster_first(c, DAEMON_MARATHON));
    _cleanup_buf_ struct buf text = BUF_INIT;
    int r = mkdir_all(folder, 0755, err);
    if (r < 0)
        return r;
    const struct daemon *router = cluster_first(c, DAEMON_ROUTER);
    buf_printf(&text, "\n[cluster]\n  name = \"%s\"\n\n[core]\n  mesos_master_url = \"%s\"\n",
        c->name, master);
    if (router) {
        _cleanup_free_ char *url = cluster_url(c, router);
        buf_printf(&text, "  dcos_url = \"%s\"\n", url);
    }
    if (router || c->secure)
        buf_printf(&text, "  ssl_verify = \"%s/ca/dcos-ca.crt\"\n", c->dir);
    if (token)
        buf_printf(&text, "  dcos_acs_token = \"%s\"\n", token);
    buf_printf(&text, "\n[marathon]\n  url = \"%s\"\n", marathon);
    r = file_write_atomic(file, text.p, text.n, 0600, err);
    /* The one called default is meant when no other is named. */
    if (r == 0 && streq(c->name, "default")) {
        _cleanup_free_ char *attached = path_join(folder, "attached");
        r = file_write_atomic(attached, "", 0, 0644, err);
    }
    return r;
}

static int read_options(const struct invocation *inv, struct plan_options *o, struct error *err)
{
    const char *ports = option_text(inv, "ports") ?: "default", *cpus = option_text(inv, "cpus");
    if (!streq(ports, "default") && !streq(ports, "auto"))
        return error_set(err, -EINVAL, "--ports is 'default' or 'auto', not '%s'", ports);
    double value = 0;
    if (cpus && (parse_double(str_of(cpus), &value) < 0 || value < 0.01 || value > 100000))
        return error_set(err, -EINVAL, "--cpus takes a number such as 2 or 1.5, not '%s'", cpus);
    *o = (struct plan_options){.masters = option_i64(inv, "masters", 1),
        .agents = option_i64(inv, "agents", 2),
        .public_agents = option_i64(inv, "public-agents", 1),
        .auto_ports = streq(ports, "auto"),
        .secure = option_bool(inv, "secure"),
        .no_door = option_bool(inv, "no-front-door"),
        .cpus_milli = llround(value * 1000),
        .mem_mb = option_i64(inv, "mem", 0),
        .disk_mb = option_i64(inv, "disk", 0),
        .bin_dir = option_text(inv, "bin-dir")};
    if (o->mem_mb < 0 || o->disk_mb < 0)
        return error_set(err, -EINVAL, "--mem and --disk take megabytes");
    o->n_master_flags = option_list(inv, "master-flag", &o->master_flags);
    o->n_marathon_flags = option_list(inv, "marathon-flag", &o->marathon_flags);
    o->n_agent_flags = option_list(inv, "agent-flag", &o->agent_flags);
    return 0;
}

static void print_daemons(const struct cluster *c)
{
    for (size_t i = 0; i < c->daemons.n; i++) {
        const struct daemon *d = &c->daemons.items[i];
        printf("    %-15s %s:%u", d->name, d->ip, d->port);
        if (d->cgroups_root)
            printf("   %lld.%03lld cpus, %lld MB, task ports %u-%u",
                (long long)(d->cpus_milli / 1000), (long long)(d->cpus_milli % 1000),
                (long long)d->mem_mb, d->ports_from, d->ports_to);
        printf("\n");
    }
    fflush(stdout);
}

/* Those of a cluster that is made or started again. The identity service cannot be asked for a
 * token yet: that comes when the cluster serves, and one that is there stays until then. */
static int first_settings(struct cluster *c, struct error *err)
{
    _cleanup_free_ char *file = path_join(c->home, "cli", "clusters", c->name, "dcos.toml");
    char *token = NULL;
    if (secure_by_iam(c))
        return path_exists(file) ? 0 : write_settings(c, NULL, err);
    int r = secure_token(c, NULL, &token, err);
    if (r == 0)
        r = write_settings(c, token, err);
    rsa_wipe(token);
    return r;
}

/* Waits, and gives `dcos` a fresh token. */
static int wait_for(struct cluster *c, int64_t timeout_s, bool progress, struct error *err)
{
    char *token = NULL;
    int r = cluster_wait(c, timeout_s, progress, &token, err);
    if (r == 0 && secure_by_iam(c))
        r = write_settings(c, token, err);
    rsa_wipe(token);
    return r;
}

/* Starts what exists again (its supervisor is gone), or makes a new one. */
static int create_new(
    const struct invocation *inv, const char *home, struct cluster *c, struct error *err)
{
    struct plan_options options;
    int lease = -1;
    cluster_init(c, home, name_of(inv));
    if (strlen(c->dir) + strlen("/public-agent-99/run/agent.sock") > SOCKET_PATH_MAX)
        return error_set(err, -ENAMETOOLONG,
            "%s is too long a path for unix sockets; choose a shorter one with --dir", c->dir);
    int r = read_options(inv, &options, err);
    if (r == 0)
        r = plan_cluster(c, &options, &lease, err);
    if (r < 0)
        return r;
    printf("cluster '%s' in %s\n", c->name, c->dir);
    print_daemons(c);
    r = make_folders(c, err);
    if (r == 0 && c->secure)
        r = secure_create(c, err);
    if (r == 0)
        r = zookeeper_create(c, err);
    if (r == 0)
        r = door_create(c, err);
    if (r == 0 && options.agents + options.public_agents > 0)
        r = plan_libexec(c, options.bin_dir, err);
    if (r >= 0)
        r = first_settings(c, err);
    if (r >= 0)
        r = cluster_save(c, err);
    if (r >= 0)
        r = supervisor_start(c, lease, err);
    fd_close(lease);
    if (r < 0)
        cluster_destroy(c, NULL);
    return r;
}

static int resume(struct cluster *c, struct error *err)
{
    int lease = block_take(c->block, err);
    if (lease < 0)
        return error_set(err, lease,
            "cluster '%s' is stopped, and its share of the machine was taken by another; destroy "
            "one of them",
            c->name);
    int r = first_settings(c, err);
    if (r == 0)
        r = supervisor_start(c, lease, err);
    fd_close(lease);
    return r;
}

static int run_create(const struct invocation *inv, struct error *err)
{
    _cleanup_free_ char *home = NULL;
    int64_t timeout = option_i64(inv, "timeout", TIMEOUT_DEFAULT_S);
    int r = cluster_check_name(name_of(inv), err);
    if (r == 0)
        r = home_of(inv, &home, err);
    if (r < 0)
        return r;
    _cleanup_close_ int lock = home_lock(home, err);
    if (lock < 0)
        return lock;
    struct cluster c;
    struct error why = ERROR_INIT;
    r = cluster_load(home, name_of(inv), &c, &why);
    if (r < 0 && r != -ENOENT)
        return error_set(err, r, "%s", why.msg);
    if (r == 0 && cluster_is_supervised(&c)) {
        printf("cluster '%s' is running already in %s\n", c.name, c.dir);
    } else if (r == 0) {
        printf("cluster '%s' in %s was stopped; it is started again\n", c.name, c.dir);
        r = resume(&c, err);
    } else {
        if (geteuid() != 0)
            fprintf(
                stderr, "not root: tasks run as plain processes, without limits of their own\n");
        r = create_new(inv, home, &c, err);
    }
    lock = fd_close(lock);
    if (r >= 0 && option_bool(inv, "wait"))
        r = wait_for(&c, timeout, true, err);
    cluster_done(&c);
    return MIN(r, 0);
}

static int run_wait(const struct invocation *inv, struct error *err)
{
    struct cluster c;
    int r = load_of(inv, &c, err);
    if (r < 0)
        return r;
    r = wait_for(&c, option_i64(inv, "timeout", TIMEOUT_DEFAULT_S), false, err);
    cluster_done(&c);
    return r;
}

static int run_destroy(const struct invocation *inv, struct error *err)
{
    _cleanup_free_ char *home = NULL;
    const char *name = name_of(inv);
    int r = cluster_check_name(name, err);
    if (r == 0)
        r = home_of(inv, &home, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *dir = path_join(home, name);
    if (!path_exists(dir)) {
        if (option_bool(inv, "if-exists"))
            return 0;
        return error_set(err, -ENOENT, "there is no cluster '%s' in %s", name, home);
    }
    _cleanup_close_ int lock = home_lock(home, err);
    if (lock < 0)
        return lock;
    struct cluster c;
    /* A cluster.json that cannot be read is no obstacle: processes carry marks. */
    if (cluster_load(home, name, &c, NULL) < 0)
        cluster_init(&c, home, name);
    r = cluster_destroy(&c, err);
    if (r == 0)
        printf("destroyed cluster '%s'\n", name);
    cluster_done(&c);
    return r;
}

static const struct option_spec create_options[] = {
    {"agent-flag", 0, OPTION_LIST,
        "Further flag of each agent, as NAME=VALUE (repeat it for more)"},
    {"agents", 0, OPTION_I64, "Private agents (2)"},
    {"bin-dir", 0, OPTION_STRING, "Folder of the programs (that of this one)"},
    {"cpus", 0, OPTION_STRING, "Processors to divide between the agents (all)"}, OPTION_DIR,
    {"disk", 0, OPTION_I64, "Megabytes of disk to divide between the agents (what is free)"},
    {"marathon-flag", 0, OPTION_LIST, "Further flag of Marathon"},
    {"master-flag", 0, OPTION_LIST, "Further flag of the master"},
    {"masters", 0, OPTION_I64, "Masters (1); several share a ZooKeeper (Debian's)"},
    {"mem", 0, OPTION_I64, "Megabytes of memory to divide between the agents (all but 1024)"},
    {"no-front-door", 0, OPTION_BOOL, "Without identity service, names and router"},
    {"ports", 0, OPTION_STRING, "default: 5050, 8080, 5051 and so on; auto: free ones"},
    {"public-agents", 0, OPTION_I64, "Public agents (1)"},
    {"secure", 0, OPTION_BOOL,
        "TLS everywhere, and everybody must say who they are (see docs/security.md)"},
    {"timeout", 0, OPTION_I64, "Seconds that --wait waits (60)"},
    {"wait", 0, OPTION_BOOL, "Wait until the cluster serves"}};
static const struct option_spec wait_options[] = {
    OPTION_DIR, {"timeout", 0, OPTION_I64, "Seconds to wait (60)"}};
static const struct option_spec destroy_options[] = {
    OPTION_DIR, {"if-exists", 0, OPTION_BOOL, "Succeed when there is no such cluster"}};

const struct command command_create = {.name = "create",
    .arguments = "[<name>]",
    .summary = "Make a cluster and start it; start it again when it was stopped",
    .examples = "    minidcos create --wait\n"
                "    minidcos create second --ports=auto --agents=1 --public-agents=0 --wait",
    OPTIONS(create_options),
    .max_args = 1,
    .run = run_create};
const struct command command_wait = {.name = "wait",
    .arguments = "[<name>]",
    .summary = "Wait until a cluster serves",
    OPTIONS(wait_options),
    .max_args = 1,
    .run = run_wait};
const struct command command_destroy = {.name = "destroy",
    .arguments = "[<name>]",
    .summary = "End a cluster and remove every trace of it, its data too",
    OPTIONS(destroy_options),
    .max_args = 1,
    .run = run_destroy};
