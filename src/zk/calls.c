/* Requests: each is sent at once, and the caller sleeps until all that it sent are answered. */

#include <errno.h>
#include <stdatomic.h>

#include "base/alloc.h"
#include "zk/session-internal.h"

/* What one caller waits for; lives on its stack. Under the session's mutex. */
struct group {
    struct zk_session *s;
    size_t pending;
    int status; /* of the first that failed */
};

/* One request of a group. */
struct call {
    struct group *group;
    size_t i;
    zk_many_fn fn;
    void *userdata;
    struct zk_names *names;
    char *created;
    int status;
};

static void group_init(struct group *g, struct zk_session *s)
{
    *g = (struct group){.s = s};
}

static void begin(struct group *g)
{
    pthread_mutex_lock(&g->s->mutex);
    g->pending++;
    pthread_mutex_unlock(&g->s->mutex);
}

static void finish(struct group *g, int status)
{
    struct zk_session *s = g->s;
    pthread_mutex_lock(&s->mutex);
    if (status < 0 && g->status == 0)
        g->status = status;
    if (--g->pending == 0) /* not for each of thousands */
        pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mutex);
}

static int wait_all(struct group *g)
{
    pthread_mutex_lock(&g->s->mutex);
    while (g->pending > 0)
        pthread_cond_wait(&g->s->changed, &g->s->mutex);
    pthread_mutex_unlock(&g->s->mutex);
    return g->status;
}

zhandle_t *zk_acquire(struct zk_session *s)
{
    pthread_rwlock_rdlock(&s->handle_lock);
    if (zk_session_state(s) == ZK_ENDED)
        return NULL;
    return s->zh;
}

void zk_release(struct zk_session *s)
{
    pthread_rwlock_unlock(&s->handle_lock);
}

static struct zk_info info_of(const struct Stat *stat)
{
    return (struct zk_info){.version = stat->version,
        .owner = stat->ephemeralOwner,
        .bytes = stat->dataLength > 0 ? (size_t)stat->dataLength : 0};
}

static void call_done(struct call *c, int rc, const char *p, int n, const struct Stat *stat)
{
    struct zk_info info = {0};
    c->status = zk_status(rc);
    if (rc == ZOK && stat)
        info = info_of(stat);
    if (c->fn)
        c->fn(c->i, c->status, p, n > 0 ? (size_t)n : 0, &info, c->userdata);
    finish(c->group, c->status == -ENOENT ? 0 : c->status);
}

static void on_data(int rc, const char *p, int n, const struct Stat *stat, const void *data)
{
    call_done((struct call *)(uintptr_t)data, rc, p, n, stat);
}

static void on_stat(int rc, const struct Stat *stat, const void *data)
{
    call_done((struct call *)(uintptr_t)data, rc, NULL, 0, stat);
}

static void on_void(int rc, const void *data)
{
    call_done((struct call *)(uintptr_t)data, rc, NULL, 0, NULL);
}

static void on_string(int rc, const char *value, const void *data)
{
    struct call *c = (struct call *)(uintptr_t)data;
    if (rc == ZOK && value)
        c->created = xstrdup(value);
    call_done(c, rc, NULL, 0, NULL);
}

static void on_strings(int rc, const struct String_vector *strings, const void *data)
{
    struct call *c = (struct call *)(uintptr_t)data;
    if (rc == ZOK && strings)
        for (int32_t i = 0; i < strings->count; i++)
            vec_push(c->names, xstrdup(strings->data[i]));
    call_done(c, rc, NULL, 0, NULL);
}

/* ---- reads ---- */

typedef int (*send_fn)(zhandle_t *zh, const char *path, bool watch, struct call *c);

static int send_get(zhandle_t *zh, const char *path, bool watch, struct call *c)
{
    return zoo_awget(zh, path, watch ? zk_on_watch : NULL, c->group->s, on_data, c);
}

static int send_exists(zhandle_t *zh, const char *path, bool watch, struct call *c)
{
    return zoo_awexists(zh, path, watch ? zk_on_watch : NULL, c->group->s, on_stat, c);
}

static int send_children(zhandle_t *zh, const char *path, bool watch, struct call *c)
{
    return zoo_awget_children(zh, path, watch ? zk_on_watch : NULL, c->group->s, on_strings, c);
}

static int send_sync(zhandle_t *zh, const char *path, bool watch, struct call *c)
{
    return zoo_async(zh, path, on_string, c);
}

static int send_delete(zhandle_t *zh, const char *path, bool watch, struct call *c)
{
    return zoo_adelete(zh, path, -1, on_void, c);
}

static void start(struct call *c, const char *path, bool watch, send_fn send)
{
    struct zk_session *s = c->group->s;
    begin(c->group);
    zhandle_t *zh = zk_acquire(s);
    int rc = zh ? send(zh, path, watch, c) : ZINVALIDSTATE;
    zk_release(s);
    if (rc != ZOK) /* then nobody else answers */
        call_done(c, rc, NULL, 0, NULL);
}

/* One request that is waited for. */
static int one(struct call *c, struct zk_session *s, const char *path, bool watch, send_fn send)
{
    struct group g;
    group_init(&g, s);
    c->group = &g;
    start(c, path, watch, send);
    (void)wait_all(&g);
    return c->status;
}

struct read {
    struct buf *out;
    struct zk_info *info;
};

static void keep(
    size_t i, int status, const char *p, size_t n, const struct zk_info *info, void *userdata)
{
    struct read *r = userdata;
    if (status < 0)
        return;
    if (r->out && n > 0)
        buf_append(r->out, p, n);
    if (r->info)
        *r->info = *info;
}

int zk_exists(struct zk_session *s, const char *path, bool watch, struct zk_info *ret)
{
    struct read r = {NULL, ret};
    struct call c = {.fn = keep, .userdata = &r};
    return one(&c, s, path, watch, send_exists);
}

int zk_get(
    struct zk_session *s, const char *path, bool watch, struct buf *ret, struct zk_info *ret_info)
{
    struct read r = {ret, ret_info};
    struct call c = {.fn = keep, .userdata = &r};
    return one(&c, s, path, watch, send_get);
}

void zk_names_done(struct zk_names *names)
{
    VEC_FOREACH (name, names)
        free(*name);
    vec_done(names);
}

int zk_children(struct zk_session *s, const char *path, bool watch, struct zk_names *ret)
{
    struct call c = {.names = ret};
    return one(&c, s, path, watch, send_children);
}

int zk_sync(struct zk_session *s, const char *path)
{
    struct call c = {0};
    int r = one(&c, s, path, false, send_sync);
    free(c.created); /* the path again */
    return r;
}

int zk_delete(struct zk_session *s, const char *path)
{
    struct call c = {0};
    return one(&c, s, path, false, send_delete);
}

static int many(
    struct zk_session *s, char *const *paths, size_t n, send_fn send, const struct call *like)
{
    struct group g;
    group_init(&g, s);
    _cleanup_free_ struct call *calls = xnew_array(struct call, n + 1);
    for (size_t i = 0; i < n; i++) {
        calls[i] = *like;
        calls[i].group = &g;
        calls[i].i = i;
        start(&calls[i], paths[i], false, send);
    }
    return wait_all(&g);
}

int zk_get_many(struct zk_session *s, char *const *paths, size_t n, zk_many_fn fn, void *userdata)
{
    return many(s, paths, n, send_get, &(struct call){.fn = fn, .userdata = userdata});
}

int zk_exists_many(
    struct zk_session *s, char *const *paths, size_t n, zk_many_fn fn, void *userdata)
{
    return many(s, paths, n, send_exists, &(struct call){.fn = fn, .userdata = userdata});
}

int zk_children_many(struct zk_session *s, char *const *paths, size_t n, struct zk_names *ret)
{
    return many(s, paths, n, send_children, &(struct call){.names = ret});
}

/* ---- writes ---- */

static int create(struct call *c, struct zk_session *s, const char *path, const void *p, size_t n,
    int mode, enum zk_access access)
{
    struct group g;
    int r = zk_learn_access(s);
    if (r < 0)
        return r;
    group_init(&g, s);
    c->group = &g;
    begin(&g);
    zhandle_t *zh = zk_acquire(s);
    int rc = zh ? zoo_acreate(zh, path, p, (int)n, zk_acl_of(s, access), mode, on_string, c)
                : ZINVALIDSTATE;
    zk_release(s);
    if (rc != ZOK)
        call_done(c, rc, NULL, 0, NULL);
    (void)wait_all(&g);
    return c->status;
}

int zk_create_member(struct zk_session *s, const char *path, const void *p, size_t n, char **ret)
{
    struct call c = {0};
    int r = create(&c, s, path, p, n, ZOO_EPHEMERAL_SEQUENTIAL, ZK_SHARED);
    if (r == 0)
        *ret = c.created;
    return r;
}

int zk_make_path(struct zk_session *s, const char *path, enum zk_access access)
{
    int r = zk_exists(s, path, false, NULL);
    if (r != -ENOENT)
        return r;
    for (const char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
        _cleanup_free_ char *part = slash ? xstrndup(path, (size_t)(slash - path)) : xstrdup(path);
        struct call c = {0};
        /* Who may not create in a folder is told so, and not that the node is there. */
        r = zk_exists(s, part, false, NULL);
        /* Only the last part is as private as asked for: others may own what is above. */
        if (r == -ENOENT)
            r = create(&c, s, part, "", 0, ZOO_PERSISTENT, slash ? ZK_SHARED : access);
        free(c.created);
        if (r < 0 && r != -EEXIST)
            return r;
        if (!slash)
            return 0;
    }
}

/* ---- transactions ---- */

static void fill_op(struct zk_session *s, const struct zk_op *op, struct Stat *stat, zoo_op_t *ret)
{
    switch (op->type) {
    case ZK_OP_CREATE:
        zoo_create_op_init(
            ret, op->path, op->p, (int)op->n, zk_acl_of(s, op->access), ZOO_PERSISTENT, NULL, 0);
        break;
    case ZK_OP_SET:
        zoo_set_op_init(ret, op->path, op->p, (int)op->n, op->version, stat);
        break;
    case ZK_OP_DELETE:
        zoo_delete_op_init(ret, op->path, op->version);
        break;
    }
}

int zk_multi(struct zk_session *s, const struct zk_op *ops, size_t n, ssize_t *ret_failed)
{
    _cleanup_free_ zoo_op_t *raw = xnew_array(zoo_op_t, n);
    _cleanup_free_ zoo_op_result_t *results = xnew_array(zoo_op_result_t, n);
    _cleanup_free_ struct Stat *stats = xnew_array(struct Stat, n);
    struct group g;
    group_init(&g, s);
    struct call c = {.group = &g};
    bool creates = false;
    for (size_t i = 0; i < n; i++)
        creates |= ops[i].type == ZK_OP_CREATE;
    *ret_failed = -1;
    int r = creates ? zk_learn_access(s) : 0;
    if (r < 0)
        return r;
    for (size_t i = 0; i < n; i++)
        fill_op(s, &ops[i], &stats[i], &raw[i]);
    begin(&g);
    zhandle_t *zh = zk_acquire(s);
    int rc = zh ? zoo_amulti(zh, (int)n, raw, results, on_void, &c) : ZINVALIDSTATE;
    zk_release(s);
    if (rc != ZOK)
        call_done(&c, rc, NULL, 0, NULL);
    (void)wait_all(&g);
    if (c.status == 0 || c.status == -ENOTCONN || c.status == -ESTALE)
        return c.status;
    for (size_t i = 0; i < n; i++)
        if (results[i].err != ZOK && results[i].err != ZRUNTIMEINCONSISTENCY) {
            *ret_failed = (ssize_t)i;
            return zk_status(results[i].err);
        }
    return c.status;
}

/* ---- probing ---- */

struct probe {
    void (*fn)(int status, void *userdata);
    void *userdata;
    int synced;
    atomic_int refs; /* one for each of the two requests */
};

static void probe_unref(struct probe *p)
{
    if (atomic_fetch_sub(&p->refs, 1) == 1)
        free(p);
}

/* Answers come in the order of the requests, on one thread. */
static void on_probe_sync(int rc, const char *value, const void *data)
{
    struct probe *p = (struct probe *)(uintptr_t)data;
    p->synced = zk_status(rc);
    probe_unref(p);
}

static void on_probe_stat(int rc, const struct Stat *stat, const void *data)
{
    struct probe *p = (struct probe *)(uintptr_t)data;
    p->fn(p->synced < 0 ? p->synced : zk_status(rc), p->userdata);
    probe_unref(p);
}

void zk_probe(
    struct zk_session *s, const char *path, void (*fn)(int status, void *userdata), void *userdata)
{
    struct probe *p = xnew(struct probe);
    p->fn = fn;
    p->userdata = userdata;
    p->refs = 2;
    zhandle_t *zh = zk_acquire(s);
    int sent = zh ? zoo_async(zh, path, on_probe_sync, p) : ZINVALIDSTATE;
    int rc = sent == ZOK ? zoo_awexists(zh, path, zk_on_watch, s, on_probe_stat, p) : sent;
    zk_release(s);
    if (rc != ZOK) {
        fn(zk_status(rc), userdata);
        if (sent != ZOK)
            probe_unref(p);
        probe_unref(p);
    }
}

static void on_dropped(int rc, const void *data)
{
}

void zk_drop(struct zk_session *s, const char *path)
{
    zhandle_t *zh = zk_acquire(s);
    if (zh)
        (void)zoo_adelete(zh, path, -1, on_dropped, NULL);
    zk_release(s);
}

char *zk_join(const char *folder, const char *name)
{
    return xasprintf("%s/%s", folder, name);
}
