#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "bootstrap/bootstrap.h"
#include "transfer/download.h"
#include "zk/session.h"

enum { DOCUMENT_MAX = 1024 * 1024, UUID_LENGTH = 36 };
static const int64_t STALL_US = 5 * USEC_PER_SEC, CONNECT_US = 20 * USEC_PER_SEC,
                     SESSION_US = 3 * USEC_PER_SEC; /* a server that is gone costs two thirds */

bool cluster_id_valid(const char *text)
{
    if (strlen(text) != UUID_LENGTH)
        return false;
    for (size_t i = 0; i < UUID_LENGTH; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text[i] != '-' : !strchr("0123456789abcdefABCDEF", text[i]))
            return false;
    }
    return true;
}

static int draw(char ret[static NODE_ID_MAX], struct error *err)
{
    _cleanup_buf_ struct buf id = BUF_INIT;
    int r = file_read("/proc/sys/kernel/random/uuid", NODE_ID_MAX, &id, err);
    if (r < 0)
        return r;
    struct str text = str_trim(buf_str(&id));
    snprintf(ret, NODE_ID_MAX, STR_FMT, STR_ARG(text));
    return cluster_id_valid(ret) ? 0 : error_set(err, -EBADMSG, "the kernel gives no UUID");
}

/* ---- ZooKeeper ---- */

/* The ensemble, as one of the service's settings names it. */
static const char *ensemble(void)
{
    static const char *const names[] = {"MESOS_ZK", "MESOS_MASTER", "MARATHON_MASTER",
        "DCOS_NET_MASTER", "ADMINROUTER_MASTER", "DCOS_IAM_STORE"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const char *value = node_setting(names[i]);
        if (value && zk_is_url(value))
            return value;
    }
    return NULL;
}

static int read_node(struct zk_session *s, char ret[static NODE_ID_MAX], struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    int r = zk_get(s, CLUSTER_ID_NODE, false, &text, NULL);
    if (r < 0)
        return error_errno(err, r, "ZooKeeper's %s", CLUSTER_ID_NODE);
    struct str id = str_trim(buf_str(&text));
    snprintf(ret, NODE_ID_MAX, STR_FMT, STR_ARG(id));
    return cluster_id_valid(ret)
               ? 0
               : error_set(err, -EBADMSG, "ZooKeeper's %s is no id", CLUSTER_ID_NODE);
}

/* The first one to write it decides. `offer`: what a master that has none in its file offers. */
static int agree(
    struct zk_session *s, const char *offer, char ret[static NODE_ID_MAX], struct error *err)
{
    int r = read_node(s, ret, err);
    if (r != -ENOENT || !offer)
        return r;
    const struct zk_op create = {.type = ZK_OP_CREATE,
        .path = CLUSTER_ID_NODE,
        .p = offer,
        .n = strlen(offer),
        .access = ZK_SHARED};
    ssize_t failed;
    r = zk_multi(s, &create, 1, &failed);
    if (r < 0 && r != -EEXIST)
        return error_errno(err, r, "cannot make ZooKeeper's %s", CLUSTER_ID_NODE);
    return read_node(s, ret, err);
}

static int from_zookeeper(const struct node *n, const char *url, const char *offer,
    char ret[static NODE_ID_MAX], struct error *err)
{
    _cleanup_zk_url_ struct zk_url parsed = {0};
    struct zk_session *s = NULL;
    int64_t id;
    int r = zk_url_parse(url, &parsed, err);
    if (r == 0 && offer && !parsed.auth)
        r = secrets_zookeeper(n, &parsed.auth, err);
    if (r == 0)
        r = zk_session_new(&parsed, SESSION_US, &s, err);
    if (r < 0)
        return r;
    r = zk_session_connect(s, CONNECT_US, &id, err);
    if (r == 0)
        r = agree(s, offer, ret, err);
    zk_session_free(s);
    return r;
}

/* ---- over HTTP ---- */

/* A master's router tells it to everybody, in the console's settings. */
static int from_master(const char *address, char ret[static NODE_ID_MAX], struct error *err)
{
    _cleanup_free_ char *text = xasprintf(strchr(address, ':') ? "http://[%s]%s" : "http://%s%s",
        address, "/dcos-metadata/ui-config.json");
    _cleanup_buf_ struct buf document = BUF_INIT;
    _cleanup_json_ json_t *json = NULL;
    int r = download_text(text, STALL_US, DOCUMENT_MAX, &document, err);
    if (r < 0)
        return r;
    r = json_parse(document.p, document.n, &json, err);
    const char *id = json_str_at(json_at(json, "clusterConfiguration"), "id", NULL);
    if (r == 0 && (!id || !cluster_id_valid(id)))
        r = error_set(err, -EAGAIN, "master %s does not tell the cluster's id yet", address);
    if (r == 0)
        snprintf(ret, NODE_ID_MAX, "%s", id);
    return r;
}

static int from_masters(const struct node *n, char ret[static NODE_ID_MAX], struct error *err)
{
    _cleanup_json_ json_t *masters = NULL;
    int r = node_masters(n, &masters, err);
    if (r < 0)
        return r;
    r = error_set(err, -ENOENT, "etc/master_list is empty");
    for (size_t i = 0; i < json_array_size(masters) && r < 0; i++) {
        const char *address = json_string_value(json_array_get(masters, i));
        if (address)
            r = from_master(address, ret, err);
    }
    return r;
}

/* ---- the file ---- */

/* The masters are on the same network; a proxy for the world outside does not know them. */
static void forget_proxies(void)
{
    static const char *const names[] = {
        "http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        unsetenv(names[i]);
}

int cluster_id(const struct node *n, struct error *err)
{
    char id[NODE_ID_MAX] = "", drawn[NODE_ID_MAX] = "";
    _cleanup_free_ char *known = node_text(n, CLUSTER_ID_FILE);
    const bool have = known && cluster_id_valid(known), master = node_is_master(n);
    const char *zk = ensemble();
    int r = master && !have ? draw(drawn, err) : 0;
    forget_proxies();
    if (r < 0)
        return r;
    if (zk)
        r = from_zookeeper(n, zk, !master ? NULL : have ? known : drawn, id, err);
    else if (master)
        snprintf(id, sizeof(id), "%s", have ? known : drawn);
    else
        r = from_masters(n, id, err);
    if (r < 0 && have) {
        log_warn("nobody tells the cluster's id, the one in " CLUSTER_ID_FILE " is used error=%s",
            err ? err->msg : "");
        return 0;
    }
    if (r < 0)
        return error_prefix(err, r, "the cluster's id");
    if (have && streq(known, id))
        return 0;
    _cleanup_free_ char *line = xasprintf("%s\n", id);
    r = node_folder(n, "/var/lib/dcos", NULL, 0755, err);
    return r < 0 ? r : node_file(n, CLUSTER_ID_FILE, line, NULL, 0644, err);
}
