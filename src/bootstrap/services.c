#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/ca.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "bootstrap/bootstrap.h"
#include "pkgpanda/run.h"

/* ---- what several need ---- */

static int tell_ip(struct node *n, const char *key, char **ret, struct error *err)
{
    _cleanup_free_ char *ip = NULL;
    int r = node_detect_ip(n, &ip, err);
    if (r == 0)
        r = node_tell(n, key, ip, err);
    if (r == 0 && ret)
        *ret = TAKE_PTR(ip);
    return r;
}

static int tell_domain(struct node *n, struct error *err)
{
    _cleanup_free_ char *domain = NULL;
    int r = node_detect_domain(n, &domain, err);
    return r < 0 || !domain ? r : node_tell(n, "MESOS_DOMAIN", domain, err);
}

/* ---- one after the other ---- */

static int prepare_master(struct node *n, struct error *err)
{
    const char *work_dir = node_setting("MESOS_WORK_DIR");
    int r = work_dir ? node_folder(n, work_dir, "dcos_mesos", 0700, err) : 0;
    if (r == 0)
        r = cluster_id(n, err);
    if (r == 0)
        r = access_prepare(n, "MESOS_ZK", "dcos_mesos", err);
    /* Scripts that detect it may do what the service's sandbox forbids; here they are root. */
    if (r >= 0)
        r = tell_ip(n, "MESOS_IP", NULL, err);
    return r < 0 ? r : tell_domain(n, err);
}

static int prepare_agent(struct node *n, struct error *err)
{
    _cleanup_buf_ struct buf mounts = BUF_INIT;
    _cleanup_free_ char *resources = NULL;
    const char *work_dir = node_setting("MESOS_WORK_DIR");
    const char *role = node_setting("MESOS_DEFAULT_ROLE");
    int r = file_read("/proc/self/mounts", 16 * 1024 * 1024, &mounts, err);
    kernel_loose_filters(n);
    if (r >= 0 && work_dir)
        r = node_folder(n, work_dir, NULL, 0755, err);
    if (r >= 0)
        r = disks_resources(n, node_setting("MESOS_RESOURCES"), buf_cstr(&mounts),
            work_dir ? work_dir : "/var/lib/mesos/slave", role ? role : "*", &resources, err);
    if (r >= 0 && resources)
        r = node_tell(n, "MESOS_RESOURCES", resources, err);
    if (r >= 0)
        r = tell_ip(n, "MESOS_IP", NULL, err);
    return r < 0 ? r : tell_domain(n, err);
}

static int prepare_marathon(struct node *n, struct error *err)
{
    /* Marathon's own user could write there what root would run this program with. */
    _cleanup_free_ char *upstreams = node_path(n, "/var/lib/dcos/marathon/environment");
    if (path_exists(upstreams))
        log_warn(
            "settings there do not count, /etc/mesosphere/marathon.env is read file=%s", upstreams);
    int r = access_prepare(n, "MARATHON_ZK", "dcos_marathon", err);
    return r < 0 ? r : tell_ip(n, "MARATHON_HOSTNAME", NULL, err);
}

/* The first superuser: the operator's password hash, or a password that is drawn once and that only
 * root can read. The service gets a copy of its own. */
static int prepare_superuser(struct node *n, struct error *err)
{
    static const char HASH[] = "/run/dcos/env/superuser.hash",
                      COPY[] = "/run/dcos/env/superuser.password",
                      PASSWORD[] = "/var/lib/dcos/superuser.password";
    _cleanup_free_ char *hash = node_text(n, "/opt/mesosphere/etc/superuser_password_hash");
    int r = node_folder(n, "/run/dcos/env", NULL, 0755, err);
    if (r < 0)
        return r;
    if (hash && *hash) {
        _cleanup_free_ char *path = node_path(n, HASH);
        r = node_file(n, HASH, hash, "dcos_bouncer", 0600, err);
        return r < 0 ? r : node_tell(n, "DCOS_IAM_SUPERUSER_PASSWORD_HASH_FILE", path, err);
    }
    if (node_setting("DCOS_IAM_SUPERUSER_SERVICE_ACCOUNT_UID"))
        return 0; /* there is one who can make others */
    _cleanup_free_ char *kept = node_path(n, PASSWORD);
    r = node_folder(n, "/var/lib/dcos", NULL, 0755, err);
    if (r == 0 && !path_exists(kept)) {
        r = secret_create(kept, err);
        if (r == 0)
            log_info("a password for the first user was made, only root can read it file=%s", kept);
    }
    if (r < 0)
        return r;
    _cleanup_free_ char *password = node_text(n, PASSWORD);
    _cleanup_free_ char *path = node_path(n, COPY);
    if (!password)
        return error_set(err, -EIO, "%s cannot be read", kept);
    r = node_file(n, COPY, password, "dcos_bouncer", 0600, err);
    return r < 0 ? r : node_tell(n, "DCOS_IAM_SUPERUSER_PASSWORD_FILE", path, err);
}

/* With several masters: where the identity services of the others reach this one. */
static int tell_peers(struct node *n, struct error *err)
{
    enum { PEERS_PORT = 8102 };
    _cleanup_free_ char *ip = NULL;
    if (!node_setting("DCOS_IAM_STORE"))
        return 0;
    int r = node_detect_ip(n, &ip, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *where = xasprintf(
        strchr(ip, ':') ? "[%s]:%d" : "%s:%d", ip, (int)PEERS_PORT);
    return node_tell(n, "DCOS_IAM_PEERS", where, err);
}

static int prepare_bouncer(struct node *n, struct error *err)
{
    int r = cluster_id(n, err);
    if (r == 0)
        r = access_prepare(n, "DCOS_IAM_STORE", "dcos_bouncer", err);
    if (r == 0)
        r = tell_peers(n, err);
    return r < 0 ? r : prepare_superuser(n, err);
}

static int prepare_router(struct node *n, struct error *err)
{
    int r = cluster_id(n, err);
    if (r == 0)
        r = secrets_authority(n, false, err);
    return r < 0 ? r : tell_ip(n, "ADMINROUTER_HOST_IP", NULL, err);
}

static int prepare_agent_router(struct node *n, struct error *err)
{
    int r = cluster_id(n, err);
    return r < 0 ? r : tell_ip(n, "ADMINROUTER_HOST_IP", NULL, err);
}

static bool listed(const char *list, const char *item)
{
    struct str rest = str_of(list ? list : ""), part;
    while (str_split(&rest, ',', &part))
        if (str_eq_c(str_trim(part), item))
            return true;
    return false;
}

/* One of the files that tell managers of networks to leave the cluster's interfaces alone; where
 * the manager is, and already runs, it is told to read it. */
static int unmanaged(const struct node *n, const char *from, const char *folder,
    const char *const *reload, struct error *err)
{
    _cleanup_free_ char *text = node_text(n, from);
    _cleanup_free_ char *there = node_path(n, folder);
    _cleanup_free_ char *target = path_join(folder, strrchr(from, '/') + 1);
    _cleanup_free_ char *now = node_text(n, target);
    if (!text || !path_exists(there) || (now && streq(now, text)))
        return 0;
    _cleanup_free_ char *whole = xasprintf("%s\n", text);
    int r = node_file(n, target, whole, NULL, 0644, err);
    if (r < 0 || *n->prefix)
        return r;
    struct error why = ERROR_INIT;
    _cleanup_buf_ struct buf output = BUF_INIT;
    const struct run_options options = {.output = &output};
    int status = run_program(reload, &options, &why); /* one that does not run reads it later */
    if (status != 0)
        log_info("the network's manager did not read it now file=%s status=%d", target, status);
    return 0;
}

static int leave_interfaces(const struct node *n, struct error *err)
{
    static const char *const networkd[] = {"networkctl", "reload", NULL};
    static const char *const manager[] = {"nmcli", "general", "reload", "conf", NULL};
    int r = unmanaged(n, "/opt/mesosphere/etc/dcos.network", "/etc/systemd/network", networkd, err);
    if (r == 0)
        r = unmanaged(n, "/opt/mesosphere/etc/dcos-unmanaged.conf", "/etc/NetworkManager/conf.d",
            manager, err);
    return r;
}

static int prepare_net(struct node *n, struct error *err)
{
    _cleanup_free_ char *ip = NULL;
    _cleanup_buf_ struct buf listen = BUF_INIT, trusted = BUF_INIT;
    int r = leave_interfaces(n, err);
    if (r == 0)
        r = tell_ip(n, "DCOS_NET_IP", &ip, err);
    if (r < 0)
        return r;
    const char *all = node_setting("DCOS_DNS_BINDALL");
    /* Its own addresses are served anyway (--spartan), 61053 is mesos-dns' port. */
    buf_puts(&listen, node_is_master(n) ? "0.0.0.0:61053" : "127.0.0.1:61053");
    if (streq(all, "true") && !listed(node_setting("DCOS_DNS_BIND_IP_BLACKLIST"), ip))
        buf_printf(&listen, strchr(ip, ':') ? ",[%s]:53" : ",%s:53", ip);
    r = node_tell(n, "DCOS_NET_DNS_LISTEN", buf_cstr(&listen), err);
    /* This node's programs, and its containers behind bridges. */
    buf_printf(&trusted, "127.0.0.0/8,::1,198.51.100.0/24,172.16.0.0/12,%s", ip);
    if (r == 0)
        r = node_tell(n, "DCOS_NET_RECURSION_NETWORKS", buf_cstr(&trusted), err);
    return r;
}

static int prepare_zookeeper(struct node *n, struct error *err)
{
    return zookeeper_prepare(n, err);
}

static int prepare_ensemble(struct node *n, struct error *err)
{
    return ensemble_prepare(n, err);
}

static int prepare_nothing(struct node *n, struct error *err)
{
    return 0;
}

static int prepare_cluster_id(struct node *n, struct error *err)
{
    return cluster_id(n, err);
}

/* For an operator, on each master: a cluster from before there were secrets takes them. */
static int prepare_secrets(struct node *n, struct error *err)
{
    int r = secrets_authority(n, true, err);
    return r < 0 ? r : access_close(n, err);
}

/* ---- the table ---- */

static const struct service {
    const char *name;
    int (*prepare)(struct node *n, struct error *err);
    bool alone; /* nobody starts after it: no clock, no kernel settings, nothing to tell */
} services[] = {
    {"dcos-adminrouter", prepare_router},
    {"dcos-adminrouter-agent", prepare_agent_router},
    {"dcos-bouncer", prepare_bouncer},
    {"dcos-cluster-id", prepare_cluster_id, true},
    {"dcos-exhibitor", prepare_zookeeper},
    {"dcos-exhibitor-ensemble", prepare_ensemble},
    {"dcos-marathon", prepare_marathon},
    {"dcos-mesos-master", prepare_master},
    {"dcos-mesos-slave", prepare_agent},
    {"dcos-mesos-slave-public", prepare_agent},
    {"dcos-net", prepare_net},
    {"dcos-pkgpanda-api", prepare_nothing},
    {"dcos-secrets", prepare_secrets, true},
};

const char *const *service_names(void)
{
    static const char *names[ARRAY_SIZE(services) + 1];
    for (size_t i = 0; i < ARRAY_SIZE(services); i++)
        names[i] = services[i].name;
    return names;
}

int service_prepare(struct node *n, struct error *err)
{
    const struct service *s = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(services); i++)
        if (streq(services[i].name, n->service))
            s = &services[i];
    if (!s)
        return error_set(err, -ENOENT, "there is no service %.100s", n->service);
    access_forget(n);
    if (s->alone)
        return s->prepare(n, err);
    int r = kernel_check_time(err);
    if (r == 0)
        r = kernel_settings(n, err);
    if (r == 0)
        r = s->prepare(n, err);
    return r < 0 ? r : node_told(n, err);
}
