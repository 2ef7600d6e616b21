#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/parse.h"
#include "exhibitor/shared.h"
#include "zk/session.h"

/* The tag is the node's version. */

#define SESSION_US (10 * USEC_PER_SEC)
#define CONNECT_US (5 * USEC_PER_SEC)

struct shared_zookeeper {
    struct shared base;
    struct zk_session *session;
    char *folder, *node;
};

static struct shared_zookeeper *of(struct shared *s)
{
    return container_of(s, struct shared_zookeeper, base);
}

static int node_get(struct shared *s, struct buf *ret, char **ret_tag, struct error *err)
{
    struct shared_zookeeper *z = of(s);
    struct zk_info info;
    int64_t id;
    int r = zk_session_connect(z->session, CONNECT_US, &id, err);
    if (r < 0)
        return r;
    r = zk_sync(z->session, z->folder);
    if (r == 0)
        r = zk_get(z->session, z->node, false, ret, &info);
    if (r < 0)
        return error_errno(err, r, "ZooKeeper's %s", z->node);
    *ret_tag = xasprintf("%" PRId32, info.version);
    return 0;
}

static int node_put(struct shared *s, const char *tag, const struct buf *text, struct error *err)
{
    struct shared_zookeeper *z = of(s);
    int64_t id, version = -1;
    ssize_t failed;
    int r = zk_session_connect(z->session, CONNECT_US, &id, err);
    if (r == 0 && tag)
        r = parse_i64(str_of(tag), &version);
    if (r == 0 && !tag)
        r = zk_make_path(z->session, z->folder, ZK_SHARED);
    const struct zk_op op = {.type = tag ? ZK_OP_SET : ZK_OP_CREATE,
        .path = z->node,
        .p = text->p,
        .n = text->n,
        .version = (int32_t)version,
        .access = ZK_SHARED};
    if (r == 0)
        r = zk_multi(z->session, &op, 1, &failed);
    if (r == -EEXIST || r == -ENOENT)
        r = -EAGAIN;
    return r < 0 ? error_errno(err, r, "ZooKeeper's %s", z->node) : 0;
}

static void node_free(struct shared *s)
{
    struct shared_zookeeper *z = of(s);
    zk_session_free(z->session);
    free(z->folder);
    free(z->node);
    free(z);
}

int shared_zookeeper_new(
    const char *servers, const char *path, struct shared **ret, struct error *err)
{
    static const struct shared_ops ops = {.read = node_get, .write = node_put, .free = node_free};
    _cleanup_free_ char *text = xasprintf("zk://%s%s", servers, path);
    _cleanup_zk_url_ struct zk_url url = {0};
    struct zk_session *session = NULL;
    int r = zk_url_parse(text, &url, err);
    if (r == 0)
        r = zk_session_new(&url, SESSION_US, &session, err);
    if (r < 0)
        return r;
    struct shared_zookeeper *z = xnew(struct shared_zookeeper);
    z->base.ops = &ops;
    z->session = session;
    z->folder = xstrdup(url.path);
    z->node = xasprintf("%s/dcos-exhibitor", url.path);
    *ret = &z->base;
    return 0;
}
