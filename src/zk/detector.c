#include "zk/detector.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/vec.h"
#include "zk/member.h"

#define TIMEOUT_US (5 * USEC_PER_SEC)
#define RETRY_US (500 * USEC_PER_MSEC) /* after an answer that makes no sense */

struct masters {
    VEC(struct zk_master) items;
};

struct zk_detector {
    struct zk_session *session;
    char *folder;
    struct loop_wakeup *wakeup;
    void (*fn)(const struct zk_master *leader, void *userdata);
    void (*on_masters)(const struct zk_master *masters, size_t n, void *userdata); /* or NULL */
    void *userdata;
    pthread_t thread;

    /* Only on the loop. */
    bool told, has_leader;
    struct zk_master leader;

    pthread_mutex_t mutex;
    bool stop, known, found_leader; /* what the thread found */
    struct zk_master found;
    struct masters masters; /* since the loop looked last */
    bool new_masters;
};

static bool same(const struct zk_master *a, const struct zk_master *b)
{
    return streq(a->id, b->id) && streq(a->ip, b->ip) && streq(a->hostname, b->hostname) &&
           a->port == b->port;
}

static void on_wakeup(void *userdata)
{
    struct zk_detector *d = userdata;
    pthread_mutex_lock(&d->mutex);
    bool known = d->known, has_leader = d->found_leader;
    struct zk_master found = d->found;
    struct masters masters = d->masters;
    bool new_masters = d->new_masters;
    d->masters = (struct masters){0};
    d->new_masters = false;
    pthread_mutex_unlock(&d->mutex);
    bool news = known && (!d->told || d->has_leader != has_leader ||
                             (has_leader && !same(&d->leader, &found)));
    if (news) {
        d->told = true;
        d->has_leader = has_leader;
        d->leader = found;
        d->fn(has_leader ? &d->leader : NULL, d->userdata);
    }
    if (new_masters)
        d->on_masters(masters.items.items, masters.items.n, d->userdata);
    vec_done(&masters.items);
}

/* ---- the thread ---- */

static void publish(struct zk_detector *d, const struct zk_master *leader)
{
    pthread_mutex_lock(&d->mutex);
    d->known = true;
    d->found_leader = leader != NULL;
    if (leader)
        d->found = *leader;
    pthread_mutex_unlock(&d->mutex);
    loop_wakeup_send(d->wakeup);
}

/* Reads who leads; -ENOENT when nobody does. */
static int look(struct zk_detector *d, struct zk_master *ret)
{
    _cleanup_buf_ struct buf data = BUF_INIT;
    _cleanup_free_ char *name = NULL;
    struct error err = ERROR_INIT;
    int r = zk_leader_read(d->session, d->folder, ZK_MASTER_LABEL, true, &name, &data);
    if (r == 0) {
        r = zk_master_read(buf_cstr(&data), data.n, ret, &err);
        if (r < 0) {
            log_debug("leader's node cannot be read node=%s/%s error=%s", d->folder, name, err.msg);
            r = -EBADMSG;
        }
    }
    return r;
}

/* ---- all candidates ---- */

struct reading {
    struct zk_master *masters;
    bool *good;
};

static void on_member(
    size_t i, int status, const char *p, size_t n, const struct zk_info *info, void *userdata)
{
    struct reading *r = userdata;
    r->good[i] = status == 0 && zk_master_read(p, n, &r->masters[i], NULL) == 0;
}

struct candidate {
    uint32_t sequence;
    char *path;
};

static int by_sequence(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    return (x->sequence > y->sequence) - (x->sequence < y->sequence);
}

/* Whoever goes while they are read is left out: that he goes is an event. */
static int read_masters(struct zk_detector *d, char *const *paths, size_t n, struct masters *ret)
{
    _cleanup_free_ struct zk_master *masters = xnew_array(struct zk_master, n + 1);
    _cleanup_free_ bool *good = xnew_array(bool, n + 1);
    struct reading reading = {.masters = masters, .good = good};
    int r = zk_get_many(d->session, paths, n, on_member, &reading);
    for (size_t i = 0; r == 0 && i < n; i++)
        if (good[i])
            vec_push(&ret->items, masters[i]);
    return r;
}

/* The folder is watched: look() has done that. */
static int look_at_all(struct zk_detector *d, struct masters *ret)
{
    _cleanup_zk_names_ struct zk_names names = {0};
    VEC(struct candidate) all = {0};
    VEC(char *) paths = {0};
    int r = zk_children(d->session, d->folder, false, &names);
    for (size_t i = 0; r == 0 && i < names.n; i++) {
        struct zk_member m;
        if (zk_member_parse(names.items[i], ZK_MASTER_LABEL, &m))
            vec_push(&all, (struct candidate){m.sequence, zk_join(d->folder, names.items[i])});
    }
    if (all.n > 0)
        qsort(all.items, all.n, sizeof(all.items[0]), by_sequence);
    VEC_FOREACH (c, &all) {
        if (paths.n < ZK_MASTERS_MAX)
            vec_push(&paths, c->path);
        else
            free(c->path);
    }
    if (r == 0)
        r = read_masters(d, paths.items, paths.n, ret);
    VEC_FOREACH (path, &paths)
        free(*path);
    vec_done(&paths);
    vec_done(&all);
    return r;
}

static void publish_all(struct zk_detector *d)
{
    struct masters found = {0};
    if (look_at_all(d, &found) < 0) {
        vec_done(&found.items);
        return;
    }
    pthread_mutex_lock(&d->mutex);
    struct masters old = d->masters;
    d->masters = found;
    d->new_masters = true;
    pthread_mutex_unlock(&d->mutex);
    vec_done(&old.items);
    loop_wakeup_send(d->wakeup);
}

/* How long to wait for an event. */
static int64_t detect(struct zk_detector *d)
{
    struct zk_master leader;
    int r = look(d, &leader);
    if (d->on_masters && (r == 0 || r == -EBADMSG))
        publish_all(d);
    if (r == 0)
        publish(d, &leader);
    else if (r == -ENOENT || r == -EBADMSG || r == -ESTALE)
        publish(d, NULL);
    /* The rest: the connection broke, and coming back is an event; or the password is wrong. */
    return r == 0 || r == -ENOENT ? -1 : RETRY_US;
}

static void *detector_main(void *arg)
{
    struct zk_detector *d = arg;
    for (;;) {
        int64_t timeout_us = zk_session_timeout_us(d->session);
        int r = zk_session_connect(d->session, timeout_us, NULL, NULL);
        pthread_mutex_lock(&d->mutex);
        bool stop = d->stop;
        pthread_mutex_unlock(&d->mutex);
        if (stop || r == -ECANCELED)
            return NULL;
        if (r < 0) {
            publish(d, NULL); /* no connection for a whole session */
            continue;
        }
        uint64_t seen = zk_session_events(d->session);
        int64_t wait_us = detect(d);
        zk_session_wait(d->session, seen, wait_us);
    }
}

/* ---- life ---- */

static void destroy(struct zk_detector *d)
{
    zk_session_free(d->session);
    loop_wakeup_free(d->wakeup);
    pthread_mutex_destroy(&d->mutex);
    vec_done(&d->masters.items);
    free(d->folder);
    free(d);
}

int zk_detector_new_all(struct loop *l, const struct zk_url *url, int64_t timeout_us,
    void (*fn)(const struct zk_master *leader, void *userdata),
    void (*on_masters)(const struct zk_master *masters, size_t n, void *userdata), void *userdata,
    struct zk_detector **ret, struct error *err)
{
    struct zk_session *session;
    int r = zk_session_new(url, timeout_us ? timeout_us : TIMEOUT_US, &session, err);
    if (r < 0)
        return r;
    struct zk_detector *d = xnew(struct zk_detector);
    d->session = session;
    d->folder = xstrdup(url->path);
    d->fn = fn;
    d->on_masters = on_masters;
    d->userdata = userdata;
    pthread_mutex_init(&d->mutex, NULL);
    d->wakeup = loop_wakeup_new(l, on_wakeup, d);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = -pthread_create(&d->thread, NULL, detector_main, d);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r < 0) {
        destroy(d);
        return error_errno(err, r, "detector's thread");
    }
    *ret = d;
    return 0;
}

int zk_detector_new(struct loop *l, const struct zk_url *url, int64_t timeout_us,
    void (*fn)(const struct zk_master *leader, void *userdata), void *userdata,
    struct zk_detector **ret, struct error *err)
{
    return zk_detector_new_all(l, url, timeout_us, fn, NULL, userdata, ret, err);
}

void zk_detector_free(struct zk_detector *d)
{
    if (!d)
        return;
    pthread_mutex_lock(&d->mutex);
    d->stop = true;
    pthread_mutex_unlock(&d->mutex);
    zk_session_cancel(d->session);
    pthread_join(d->thread, NULL);
    destroy(d);
}

const struct zk_master *zk_detector_leader(const struct zk_detector *d)
{
    return d->has_leader ? &d->leader : NULL;
}
