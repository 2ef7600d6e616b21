/* ZooKeeper as a store: opening, names, leadership. */

#include "store/zk.h"

#include <errno.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/rng.h"
#include "zk/member.h"

#define CLOSE_PATIENCE_US (2 * USEC_PER_SEC)
#define INFO_PATIENCE_US (1 * USEC_PER_SEC)

/* ---- names and values ---- */

static bool is_plain(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-_.:@+=~", c) != NULL);
}

/* FNV-1a: the same for all releases and machines. */
unsigned zk_store_bucket(const char *key)
{
    uint32_t h = 2166136261;
    for (const char *p = key; *p; p++)
        h = (h ^ (unsigned char)*p) * 16777619;
    return (h ^ h >> 16) % ZK_BUCKETS;
}

char *zk_store_bucket_path(const struct zk_store *s, unsigned bucket)
{
    return xasprintf("%s/%03x", s->buckets, bucket);
}

char *zk_store_path(const struct zk_store *s, const char *key)
{
    struct buf b = BUF_INIT;
    buf_printf(&b, "%s/%03x/", s->buckets, zk_store_bucket(key));
    for (const char *p = key; *p; p++) {
        if (is_plain((unsigned char)*p))
            buf_putc(&b, *p);
        else
            buf_printf(&b, "%%%02X", (unsigned char)*p);
    }
    return buf_steal(&b);
}

bool zk_store_key(const char *name, char ret[STORE_KEY_MAX + 1])
{
    size_t n = 0;
    for (const char *p = name; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (n == STORE_KEY_MAX)
            return false;
        if (c == '%') {
            if (hex_decode((struct str){p + 1, MIN(strlen(p + 1), (size_t)2)}, &c, 1) != 1)
                return false;
            p += 2;
        } else if (!is_plain(c)) {
            return false;
        }
        ret[n++] = (char)c;
    }
    ret[n] = '\0';
    return n > 0;
}

void zk_store_header(int64_t version, char ret[ZK_HEADER])
{
    ret[0] = ZK_FORMAT;
    for (unsigned i = 0; i < 8; i++)
        ret[1 + i] = (char)((uint64_t)version >> (56 - 8 * i));
}

int zk_store_read_header(const char *p, size_t n, int64_t *ret_version)
{
    if (n < ZK_HEADER || p[0] != ZK_FORMAT)
        return -EBADMSG;
    uint64_t v = 0;
    for (unsigned i = 0; i < 8; i++)
        v = v << 8 | (unsigned char)p[1 + i];
    if (v == 0 || v > INT64_MAX)
        return -EBADMSG;
    *ret_version = (int64_t)v;
    return 0;
}

/* ---- connection ---- */

static bool is_closing(struct zk_store *s)
{
    pthread_mutex_lock(&s->mutex);
    bool closing = s->closing;
    pthread_mutex_unlock(&s->mutex);
    return closing;
}

int zk_store_reconnect(struct zk_store *s, struct error *err)
{
    struct error why = ERROR_INIT;
    int64_t started_us = 0;
    for (;;) {
        int r = zk_session_connect(s->session, 100 * USEC_PER_MSEC, NULL, &why);
        if (r == 0)
            return 0;
        if (r == -ETIMEDOUT)
            s->backend.host->complain(s->backend.host->userdata, why.msg);
        if (is_closing(s)) {
            if (started_us == 0)
                started_us = clock_monotonic_us();
            if (r == -ETIMEDOUT && clock_monotonic_us() - started_us > CLOSE_PATIENCE_US)
                return error_set(err, r, "%s", why.msg);
        }
        if (r != -ETIMEDOUT)
            return error_set(err, r == -ESTALE ? -EIO : r, "%s", why.msg);
    }
}

int zk_store_reconnect_reader(struct zk_store *s, struct error *err)
{
    int r = zk_session_connect(s->session, zk_session_timeout_us(s->session), NULL, err);
    return r == -ESTALE ? -EIO : r;
}

/* ---- leadership ---- */

static void on_lease_lost(const char *why, void *userdata)
{
    struct zk_store *s = userdata;
    s->backend.host->lost(s->backend.host->userdata, why);
}

static void keep_leader(struct zk_store *s, char *text)
{
    pthread_mutex_lock(&s->mutex);
    free(s->leader);
    s->leader = text;
    pthread_mutex_unlock(&s->mutex);
}

static void on_leader(struct str data, void *userdata)
{
    keep_leader(userdata, str_dup(data));
}

static int zk_store_lock(struct store_backend *b, const char *info, struct error *err)
{
    struct zk_store *s = container_of(b, struct zk_store, backend);
    int r = zk_contend(s->session, s->candidates, s->label, info, on_leader, s, &s->node, err);
    keep_leader(s, NULL);
    if (r < 0)
        return r;
    struct zk_lease *lease;
    r = zk_lease_start(s->session, s->node, on_lease_lost, s, &lease);
    if (r < 0)
        return error_errno(err, r, "thread of the lease");
    zk_lease_set_wakeup(lease, s->beat);
    pthread_mutex_lock(&s->mutex);
    s->lease = lease;
    pthread_mutex_unlock(&s->mutex);
    return 0;
}

static struct zk_lease *lease_of(struct zk_store *s)
{
    pthread_mutex_lock(&s->mutex);
    struct zk_lease *lease = s->lease;
    pthread_mutex_unlock(&s->mutex);
    return lease;
}

static void on_beat(void *userdata)
{
    struct zk_store *s = userdata;
    struct zk_lease *lease = lease_of(s);
    if (lease)
        zk_lease_beat(lease);
}

static bool zk_store_confirm(struct store_backend *b)
{
    struct zk_store *s = container_of(b, struct zk_store, backend);
    struct zk_lease *lease = lease_of(s);
    return !lease || zk_lease_confirm(lease);
}

static void zk_store_cancel_lock(struct store_backend *b)
{
    struct zk_store *s = container_of(b, struct zk_store, backend);
    if (!lease_of(s))
        zk_session_cancel(s->session);
}

static void zk_store_closing(struct store_backend *b)
{
    struct zk_store *s = container_of(b, struct zk_store, backend);
    pthread_mutex_lock(&s->mutex);
    s->closing = true;
    pthread_mutex_unlock(&s->mutex);
    zk_session_wake(s->session);
}

static int zk_store_leader_info(
    struct store_backend *b, bool leading, struct buf *ret, struct error *err)
{
    struct zk_store *s = container_of(b, struct zk_store, backend);
    _cleanup_free_ char *name = NULL;
    pthread_mutex_lock(&s->mutex);
    const bool known = s->leader != NULL;
    if (known)
        buf_puts(ret, s->leader);
    pthread_mutex_unlock(&s->mutex);
    if (known)
        return 0;
    int r = zk_session_connect(s->session, INFO_PATIENCE_US, NULL, err);
    if (r < 0)
        return r;
    r = zk_leader_read(s->session, s->candidates, s->label, false, &name, ret);
    if (r == -ENOENT)
        return 0;
    return r < 0 ? error_errno(err, r, "ZooKeeper node %s", s->candidates) : 0;
}

/* ---- life ---- */

static void zk_store_free(struct store_backend *b)
{
    struct zk_store *s = container_of(b, struct zk_store, backend);
    zk_lease_free(s->lease);
    zk_session_free(s->session);
    if (s->beat)
        loop_wakeup_free(s->beat);
    zk_store_forget_names(s);
    pthread_mutex_destroy(&s->mutex);
    free(s->folder);
    free(s->state);
    free(s->buckets);
    free(s->candidates);
    free(s->label);
    free(s->leader);
    free(s->node);
    free(s);
}

static void set_paths(struct zk_store *s, const struct zk_url *url, const struct store_options *o)
{
    const char *candidates = o->zk_candidates ? o->zk_candidates : "dcos-leader";
    s->folder = zk_join(url->path, o->zk_state ? o->zk_state : "dcos-state");
    s->state = zk_join(s->folder, "state");
    s->buckets = zk_join(s->folder, "b");
    s->candidates = *candidates ? zk_join(url->path, candidates) : xstrdup(url->path);
    s->label = xstrdup(o->zk_label ? o->zk_label : "member");
}

int store_zk_open(struct loop *l, const char *url, const struct store_options *o,
    struct store_backend **ret, struct error *err)
{
    _cleanup_zk_url_ struct zk_url parsed = {0};
    int r = zk_url_parse(url, &parsed, err);
    if (r < 0)
        return r;
    struct zk_session *session;
    r = zk_session_new(&parsed, o->session_timeout_us, &session, err);
    if (r < 0)
        return r;
    struct zk_store *s = xnew(struct zk_store);
    s->backend = (struct store_backend){.flush = zk_store_flush,
        .lock = zk_store_lock,
        .cancel_lock = zk_store_cancel_lock,
        .confirm = zk_store_confirm,
        .closing = zk_store_closing,
        .lead = zk_store_lead,
        .leader_info = zk_store_leader_info,
        .get = zk_store_get,
        .list = zk_store_list,
        .free = zk_store_free};
    s->session = session;
    s->loop = l;
    unsigned char random[(ZK_WRITER_SIZE - 1) / 2];
    random_bytes(random, sizeof(random));
    hex_encode(random, sizeof(random), s->writer);
    pthread_mutex_init(&s->mutex, NULL);
    s->beat = loop_wakeup_new(l, on_beat, s);
    set_paths(s, &parsed, o);
    *ret = &s->backend;
    return 0;
}
