#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "auth/credentials.h"
#include "bootstrap/bootstrap.h"
#include "zk/member.h"
#include "zk/session.h"

/* Who may change what in ZooKeeper. */

enum { PASSES_MAX = 10, DEPTH_MAX = 16 };
static const int64_t CONNECT_US = 20 * USEC_PER_SEC,
                     SESSION_US = 3 * USEC_PER_SEC; /* a server that is gone costs two thirds */

/* A folder of a service, and who may change it. */
struct keeper {
    struct zk_session *session;
    char *admin, *user; /* as ZooKeeper knows them */
    char *path;
};

static void keeper_done(struct keeper *k)
{
    zk_session_free(k->session);
    free(k->admin);
    free(k->user);
    free(k->path);
}

/* `url` without a password in it, `master` the cluster's credentials. */
static int keeper_init(struct keeper *k, const struct zk_url *url, const char *master,
    const char *user, struct error *err)
{
    _cleanup_free_ char *own = NULL;
    struct zk_url with = *url;
    with.auth = (char *)(uintptr_t)master;
    *k = (struct keeper){.path = xstrdup(url->path)};
    int r = secrets_zookeeper_of(master, user, &own, err);
    if (r == 0)
        r = secrets_zookeeper_id(own, &k->user, err);
    if (r == 0)
        r = secrets_zookeeper_id(master, &k->admin, err);
    if (r == 0)
        r = zk_session_new(&with, SESSION_US, &k->session, err);
    if (r == 0)
        r = zk_session_connect(k->session, CONNECT_US, NULL, err);
    return r;
}

/* ---- folders ---- */

static int set_ours(
    const struct keeper *k, const char *path, bool with_user, unsigned others, struct error *err)
{
    const struct zk_entry entries[] = {
        {k->admin, ZK_ALL}, {NULL, others}, {with_user ? k->user : k->admin, ZK_ALL}};
    int r = zk_set_entries(k->session, path, entries, with_user ? 3 : 2);
    return r < 0 && r != -ENOENT ? error_errno(err, r, "ZooKeeper's list of %s", path) : 0;
}

static int create_ours(const struct keeper *k, const char *path, bool with_user, struct error *err)
{
    const struct zk_entry entries[] = {
        {k->admin, ZK_ALL}, {NULL, ZK_READ}, {with_user ? k->user : k->admin, ZK_ALL}};
    int r = zk_create_with(k->session, path, entries, with_user ? 3 : 2);
    return r < 0 && r != -EEXIST ? error_errno(err, r, "ZooKeeper's %s", path) : 0;
}

/* The service's folder and those above it, as far as they are not there. */
static int make_folders(const struct keeper *k, struct error *err)
{
    int r = 0;
    for (const char *slash = strchr(k->path + 1, '/'); r == 0 && slash;
         slash = strchr(slash + 1, '/')) {
        _cleanup_free_ char *part = xstrndup(k->path, (size_t)(slash - k->path));
        r = create_ours(k, part, false, err);
    }
    return r < 0 ? r : create_ours(k, k->path, true, err);
}

/* Frameworks keep state in folders of their own beside ours: everybody may make one, nobody but us
 * removes ours. What ZooKeeper has of its own is to be read. */
static int close_top(const struct keeper *k, struct error *err)
{
    int r = set_ours(k, "/", false, ZK_READ | ZK_CREATE, err);
    if (r == 0)
        r = set_ours(k, "/zookeeper", false, ZK_READ, err);
    return r < 0 ? r : set_ours(k, "/zookeeper/quota", false, ZK_READ, err);
}

/* *ret_open: the folder was there, and everybody may change it. */
static int protect(const struct keeper *k, bool *ret_open, struct error *err)
{
    int r = make_folders(k, err);
    if (r == 0)
        r = zk_is_open(k->session, k->path, ret_open);
    if (r < 0)
        return error_errno(err, r, "ZooKeeper's %s", k->path);
    return *ret_open ? 0 : close_top(k, err);
}

/* ---- settings ---- */

static const struct kept {
    const char *file, *key, *user;
} g_kept[] = {{"/opt/mesosphere/etc/mesos-master", "MESOS_ZK", "dcos_mesos"},
    {"/opt/mesosphere/etc/marathon", "MARATHON_ZK", "dcos_marathon"},
    {"/opt/mesosphere/etc/bouncer.env", "DCOS_IAM_STORE", "dcos_bouncer"}};

/* What one of gen's files sets; NULL when it does not. Caller frees. */
static char *setting_of(const struct node *n, const char *file, const char *key)
{
    _cleanup_free_ char *text = node_text(n, file);
    struct str rest = str_of(text ? text : ""), line;
    const size_t length = strlen(key);
    while (str_split(&rest, '\n', &line)) {
        line = str_trim(line);
        if (line.n <= length || memcmp(line.p, key, length) != 0 || line.p[length] != '=')
            continue;
        struct str value = {line.p + length + 1, line.n - length - 1};
        if (value.n >= 2 && value.p[0] == '\'' && value.p[value.n - 1] == '\'')
            value = (struct str){value.p + 1, value.n - 2};
        return str_dup(value);
    }
    return NULL;
}

static char *handover(const struct node *n)
{
    return xasprintf("%s/run/dcos/env/%s.zk", n->prefix, n->service);
}

void access_forget(const struct node *n)
{
    _cleanup_free_ char *path = handover(n), *told = xasprintf("file://%s", path);
    for (size_t i = 0; i < ARRAY_SIZE(g_kept); i++) {
        const char *value = node_setting(g_kept[i].key);
        if (!value || !streq(value, told))
            continue;
        _cleanup_free_ char *given = setting_of(n, g_kept[i].file, g_kept[i].key);
        setenv(g_kept[i].key, given ? given : "", 1);
    }
}

/* ---- at the start of a service ---- */

static int tell_url(struct node *n, const char *key, const struct zk_url *url, const char *master,
    const char *user, struct error *err)
{
    _cleanup_free_ char *own = NULL;
    _cleanup_free_ char *path = handover(n), *value = xasprintf("file://%s", path);
    int r = secrets_zookeeper_of(master, user, &own, err);
    if (r == 0)
        r = node_folder(n, "/run/dcos/env", NULL, 0755, err);
    if (r < 0)
        return r;
    _cleanup_secret_ struct buf text = BUF_INIT;
    buf_printf(&text, "zk://%s@%s%s\n", own, url->servers, url->path);
    r = node_file(n, path + strlen(n->prefix), buf_cstr(&text), user, 0600, err);
    explicit_bzero(own, strlen(own));
    return r < 0 ? r : node_tell(n, key, value, err);
}

/* *ret_open: the service's folder is, so that what is made in it must stay so. */
static int look(const struct zk_url *url, const char *master, const char *user, bool *ret_open,
    struct error *err)
{
    _cleanup_(keeper_done)
    struct keeper k;
    int r = keeper_init(&k, url, master, user, err);
    return r < 0 ? r : protect(&k, ret_open, err);
}

int access_prepare(struct node *n, const char *key, const char *user, struct error *err)
{
    _cleanup_zk_url_ struct zk_url url = {0};
    _cleanup_free_ char *master = NULL;
    struct error why = ERROR_INIT;
    const char *text = node_setting(key);
    bool open = true;
    if (!text || !zk_is_url(text))
        return 0;
    int r = zk_url_parse(text, &url, err);
    if (r == 0 && !url.auth)
        r = secrets_zookeeper(n, &master, err);
    if (r < 0 || url.auth) /* an operator's own */
        return r;
    if (!master) {
        log_warn("everybody who reaches ZooKeeper may change what this service keeps there: there "
                 "is no zk_master_credentials in " SECRETS_FOLDER ", see docs/security.md");
        return node_tell(n, ACCESS_PROTECTED, "false", err);
    }
    /* The service waits for ZooKeeper better than its unit does. */
    if (look(&url, master, user, &open, &why) < 0)
        log_warn("who may change ZooKeeper's %s was not looked at error=%s", url.path, why.msg);
    else if (open)
        log_warn("everybody who reaches ZooKeeper may change its %s, from before the cluster had "
                 "secrets; 'dcos-bootstrap dcos-secrets' ends that",
            url.path);
    r = node_tell(n, ACCESS_PROTECTED, open ? "false" : "true", err);
    return r < 0 ? r : tell_url(n, key, &url, master, user, err);
}

/* ---- closing what is open ---- */

/* Whether anybody may read it: the service's folder, and candidates for its leadership. State is
 * the service's own. */
static bool is_shared(const struct keeper *k, const char *path)
{
    const char *below = path + strlen(k->path);
    if (!*below || has_prefix(below, "/dcos-leader"))
        return true;
    const char *name = below + 1;
    struct zk_member member;
    return !strchr(name, '/') && zk_member_parse(name, ZK_MASTER_LABEL, &member);
}

/* Closes what is open of the node and of all below; *changed counts. */
static int close_tree(
    const struct keeper *k, const char *path, unsigned depth, size_t *changed, struct error *err)
{
    _cleanup_zk_names_ struct zk_names names = {0};
    bool open;
    int r = depth > DEPTH_MAX ? -ELOOP : zk_is_open(k->session, path, &open);
    if (r == -ENOENT)
        return 0; /* it just went */
    if (r < 0)
        return error_errno(err, r, "ZooKeeper's %s", path);
    if (open) {
        const struct zk_entry entries[] = {{k->admin, ZK_ALL}, {k->user, ZK_ALL}, {NULL, ZK_READ}};
        r = zk_set_entries(k->session, path, entries, is_shared(k, path) ? 3 : 2);
        *changed += r == 0;
    }
    if (r == 0)
        r = zk_children(k->session, path, false, &names);
    /* What a service made for itself alone is closed, with all below it. */
    if (r == -ENOENT || r == -EACCES)
        return 0;
    if (r < 0)
        return error_errno(err, r, "ZooKeeper's %s", path);
    for (size_t i = 0; i < names.n && r == 0; i++) {
        _cleanup_free_ char *child = zk_join(path, names.items[i]);
        r = close_tree(k, child, depth + 1, changed, err);
    }
    return r;
}

static int close_folder(const struct keeper *k, struct error *err)
{
    size_t total = 0, changed = 1;
    int r = make_folders(k, err);
    /* Services see at their next write that the folder is closed; what they made before that is
     * found by the next pass. */
    for (unsigned pass = 0; r == 0 && changed > 0; pass++) {
        changed = 0;
        if (pass == PASSES_MAX)
            return error_set(err, -EAGAIN,
                "somebody goes on making open nodes in ZooKeeper's %s: "
                "a master that has no secrets, or another program",
                k->path);
        r = close_tree(k, k->path, 0, &changed, err);
        total += changed;
    }
    if (r == 0)
        log_info("closed in ZooKeeper path=%s nodes=%zu", k->path, total);
    return r;
}

static int close_parents(const struct keeper *k, struct error *err)
{
    int r = set_ours(k, CLUSTER_ID_NODE, false, ZK_READ, err);
    for (const char *slash = strchr(k->path + 1, '/'); r == 0 && slash;
         slash = strchr(slash + 1, '/')) {
        _cleanup_free_ char *part = xstrndup(k->path, (size_t)(slash - k->path));
        r = set_ours(k, part, false, ZK_READ, err);
    }
    return r < 0 ? r : close_top(k, err);
}

int access_close(const struct node *n, struct error *err)
{
    _cleanup_free_ char *master = NULL;
    int r = secrets_zookeeper(n, &master, err);
    for (size_t i = 0; i < ARRAY_SIZE(g_kept) && r == 0; i++) {
        _cleanup_free_ char *text = setting_of(n, g_kept[i].file, g_kept[i].key);
        _cleanup_zk_url_ struct zk_url url = {0};
        if (!text || !zk_is_url(text))
            continue; /* one master */
        if (!master)
            return error_set(err, -ENOENT, "there is no zk_master_credentials in " SECRETS_FOLDER);
        r = zk_url_parse(text, &url, err);
        if (r < 0 || url.auth)
            continue;
        _cleanup_(keeper_done)
        struct keeper k;
        r = keeper_init(&k, &url, master, g_kept[i].user, err);
        if (r == 0)
            r = close_folder(&k, err);
        if (r == 0)
            r = close_parents(&k, err);
    }
    return r;
}
