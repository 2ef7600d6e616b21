#include "minidcos/door.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/ca.h"
#include "base/file.h"

const char SUPERUSER[] = "bootstrapuser";

enum {
    IAM_PORT = 8101,
    NET_PORT = 62080,
    ROUTER_PORT = 443,
    DNS_PORT = 61053,
    MESOS_DNS_PORT = 8123,
    UUID_FILE_MAX = 64,
};

static const char ADDRESS[] = "127.0.0.1";

/* ---- daemons ---- */

static void add(struct cluster *c, const struct plan_options *o, enum daemon_kind kind,
    const char *program_name, const char *name, uint16_t port)
{
    char *program;
    /* A build without it (nginx is missing, say) makes clusters without it. */
    if (find_program(o->bin_dir, program_name, &program, NULL) < 0)
        return;
    struct daemon *d = cluster_add(c, kind, name);
    d->ip = xstrdup(ADDRESS);
    d->port = port;
    vec_push(&d->argv, program);
}

int door_plan(struct cluster *c, const struct plan_options *o, struct error *err)
{
    add(c, o, DAEMON_IAM, "dcos-iam", "iam", IAM_PORT);
    add(c, o, DAEMON_NET, "dcos-net", "net", NET_PORT);
    if (cluster_first(c, DAEMON_IAM))
        add(c, o, DAEMON_ROUTER, "dcos-router", "router", ROUTER_PORT);
    return 0;
}

/* Value of a flag that was given already, or NULL. */
static const char *flag_of(const struct daemon *d, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 1; d && i < d->argv.n; i++) {
        const char *arg = d->argv.items[i];
        if (has_prefix(arg, "--") && strncmp(arg + 2, name, n) == 0 && arg[2 + n] == '=')
            return arg + 3 + n;
    }
    return NULL;
}

static void put_port(struct daemon *d, const char *flag, uint16_t usual, bool any)
{
    uint16_t port = usual;
    if (any || port_check(ADDRESS, usual, flag, NULL) < 0)
        (void)port_pick(ADDRESS, &port, NULL); /* else the daemon tells */
    put_arg(d, "--%s=%u", flag, port);
}

static void iam_flags(struct cluster *c, struct daemon *d)
{
    put_arg(d, "--ip=%s", d->ip);
    put_arg(d, "--port=%u", d->port);
    put_arg(d, "--socket=%s/run/iam.sock", c->dir);
    put_arg(d, "--superuser_username=%s", SUPERUSER);
    put_arg(d, "--superuser_password_file=%s/secrets/superuser.password", c->dir);
    put_arg(d, "--cluster_id_file=%s/cluster-id", c->dir);
    put_arg(d, "--audit_log=%s/logs/iam.audit", c->dir);
    put_arg(d, "--work_dir=%s", d->work_dir);
}

static void net_flags(struct cluster *c, struct daemon *d, const char *masters)
{
    bool any = d->port != NET_PORT;
    uint16_t dns = DNS_PORT;
    if (any || port_check(ADDRESS, dns, "names", NULL) < 0)
        (void)port_pick(ADDRESS, &dns, NULL);
    put_arg(d, "--master=%s", masters);
    put_arg(d, "--ip=%s", d->ip);
    put_arg(d, "--http_ip=%s", d->ip);
    put_arg(d, "--port=%u", d->port);
    put_arg(d, "--dns_listen=%s:%u", ADDRESS, dns);
    put_port(d, "mesos_dns_port", MESOS_DNS_PORT, any);
}

/* Whether somebody else, such as nginx's workers, can get to files below a folder. */
static bool is_reachable(const char *folder)
{
    _cleanup_free_ char *path = xstrdup(folder);
    for (char *slash; *path; *slash = '\0') {
        struct stat st;
        if (stat(path, &st) < 0 || !(st.st_mode & S_IXOTH))
            return false;
        slash = strrchr(path, '/');
        if (!slash)
            break;
    }
    return true;
}

static void router_flags(struct cluster *c, struct daemon *d, const char *masters)
{
    const struct daemon *iam = cluster_first(c, DAEMON_IAM), *net = cluster_first(c, DAEMON_NET);
    const struct daemon *marathon = cluster_first(c, DAEMON_MARATHON);
    put_arg(d, "--role=master");
    put_arg(d, "--ip=%s", d->ip);
    put_arg(d, "--port=0");
    put_arg(d, "--tls_port=%u", d->port);
    put_arg(d, "--host_ip=%s", ADDRESS);
    put_arg(d, "--ca_dir=%s/ca", c->dir);
    put_arg(d, "--run_dir=%s", d->work_dir);
    put_arg(d, "--workers=1");
    put_arg(d, "--master=%s", masters);
    put_arg(d, "--marathon=%s:%u", marathon->ip, marathon->port);
    put_arg(d, "--iam=%s:%u", iam->ip, iam->port);
    put_arg(d, "--iam_socket=%s/run/iam.sock", c->dir);
    put_arg(d, "--cluster_id_file=%s/cluster-id", c->dir);
    if (net) {
        put_arg(d, "--net=%s:%u", net->ip, net->port);
        put_arg(d, "--mesos_dns=%s:%s", ADDRESS, flag_of(net, "mesos_dns_port") ?: "8123");
    }
    if (geteuid() == 0 && !is_reachable(c->home))
        put_arg(d, "--user=root"); /* nobody else gets to its files */
}

void door_flags(struct cluster *c, struct daemon *d, const char *masters)
{
    if (d->kind == DAEMON_IAM)
        iam_flags(c, d);
    else if (d->kind == DAEMON_NET)
        net_flags(c, d, masters);
    else
        router_flags(c, d, masters);
    put_arg(d, "--ready_file=%s", d->ready_file);
}

/* ---- files ---- */

static int make_id(const struct cluster *c, struct error *err)
{
    _cleanup_buf_ struct buf id = BUF_INIT;
    _cleanup_free_ char *path = cluster_path(c, "cluster-id");
    int r = file_read("/proc/sys/kernel/random/uuid", UUID_FILE_MAX, &id, err);
    return r < 0 ? r : file_write_atomic(path, id.p, id.n, 0644, err);
}

int door_create(const struct cluster *c, struct error *err)
{
    if (!cluster_first(c, DAEMON_IAM))
        return 0;
    _cleanup_free_ char *secrets = cluster_path(c, "secrets");
    _cleanup_free_ char *password = cluster_path(c, "secrets/superuser.password");
    _cleanup_free_ char *ca = cluster_path(c, "ca");
    _cleanup_free_ char *name = xasprintf("DC/OS %.50s", c->name);
    int r = mkdir_all(secrets, 0700, err);
    if (r == 0)
        r = secret_create(password, err);
    if (r == 0)
        r = ca_create(ca, name, err);
    return r == 0 ? make_id(c, err) : r;
}

void door_print(struct cluster *c)
{
    const struct daemon *iam = cluster_first(c, DAEMON_IAM);
    const struct daemon *router = cluster_first(c, DAEMON_ROUTER);
    if (!iam)
        return;
    _cleanup_free_ char *url = cluster_url(c, router ? router : iam);
    printf("%s: %s\n", router ? "front door" : "identity service (no router was built)", url);
    printf("login: %s, the password is in %s/secrets/superuser.password\n", SUPERUSER, c->dir);
}
