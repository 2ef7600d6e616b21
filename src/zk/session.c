/* Life of a session: connecting, ending, replacement. */

#include <errno.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "zk/session-internal.h"

#define TIMEOUT_MIN_US (100 * USEC_PER_MSEC)
#define TIMEOUT_MAX_US (3600 * USEC_PER_SEC)

int zk_status(int rc)
{
    switch (rc) {
    case ZOK:
        return 0;
    case ZNONODE:
        return -ENOENT;
    case ZNODEEXISTS:
        return -EEXIST;
    case ZNOTEMPTY:
        return -ENOTEMPTY;
    case ZBADVERSION:
        return -EAGAIN;
    case ZNOAUTH:
    case ZAUTHFAILED:
    case ZINVALIDACL:
        return -EACCES;
    case ZCONNECTIONLOSS:
    case ZOPERATIONTIMEOUT:
    case ZSESSIONMOVED:
    case ZCLOSING: /* of the handle: the session may go on with another one (zk_session_move) */
        return -ENOTCONN;
    case ZSESSIONEXPIRED:
    case ZINVALIDSTATE:
        return -ESTALE;
    default:
        return -EIO;
    }
}

static void on_log(const char *message)
{
    log_debug("zookeeper: %s", message);
}

static void note_event(struct zk_session *s)
{
    s->events++;
    pthread_cond_broadcast(&s->changed);
}

/* On the client's thread. */
static void on_state(zhandle_t *zh, int type, int state, const char *path, void *context)
{
    struct zk_session *s = context;
    if (type != ZOO_SESSION_EVENT)
        return;
    int64_t now = clock_monotonic_us();
    pthread_mutex_lock(&s->mutex);
    if (state == ZOO_CONNECTED_STATE) {
        s->state = s->given_up ? ZK_ENDED : ZK_CONNECTED;
        s->id = zoo_client_id(zh)->client_id;
        s->agreed_us = zoo_recv_timeout(zh) * USEC_PER_MSEC;
        s->silent_since_us = 0;
    } else {
        bool over = state == ZOO_EXPIRED_SESSION_STATE || state == ZOO_AUTH_FAILED_STATE;
        s->state = over || s->given_up ? ZK_ENDED : ZK_CONNECTING;
        if (s->silent_since_us == 0)
            s->silent_since_us = now;
    }
    note_event(s);
    pthread_mutex_unlock(&s->mutex);
}

void zk_on_watch(zhandle_t *zh, int type, int state, const char *path, void *context)
{
    struct zk_session *s = context;
    pthread_mutex_lock(&s->mutex);
    note_event(s);
    pthread_mutex_unlock(&s->mutex);
}

/* handle_lock is held for writing, or nobody else knows the session yet. `id`: of a session to go
 * on with, or NULL. */
static int start_handle(struct zk_session *s, const clientid_t *id, struct error *err)
{
    free(s->opened);
    s->opened = zk_servers_now(s);
    s->zh = zookeeper_init2(
        s->opened, on_state, (int)(s->asked_us / USEC_PER_MSEC), id, s, 0, on_log);
    if (!s->zh)
        return error_errno(err, errno ? -errno : -EIO, "ZooKeeper client for %s", s->opened);
    if (s->url.auth &&
        zoo_add_auth(s->zh, "digest", s->url.auth, (int)strlen(s->url.auth), NULL, NULL) != ZOK) {
        zookeeper_close(TAKE_PTR(s->zh));
        return error_set(err, -EIO, "ZooKeeper client does not take the password");
    }
    return 0;
}

/* A fresh handle and session in place of the old one; locked like the above. */
static int open_handle(struct zk_session *s, struct error *err)
{
    if (s->zh)
        zookeeper_close(TAKE_PTR(s->zh));
    pthread_mutex_lock(&s->mutex);
    s->state = ZK_CONNECTING;
    s->agreed_us = s->asked_us;
    s->silent_since_us = clock_monotonic_us();
    pthread_mutex_unlock(&s->mutex);
    return start_handle(s, NULL, err);
}

void zk_session_move(struct zk_session *s)
{
    pthread_rwlock_wrlock(&s->handle_lock);
    _cleanup_free_ char *servers = zk_servers_now(s);
    if (zk_session_state(s) == ZK_CONNECTING && (!s->zh || !streq(servers, s->opened))) {
        clientid_t id = {0};
        if (s->zh)
            id = *zoo_client_id(s->zh);
        /* Without a connection this does not end the session. */
        if (s->zh)
            zookeeper_close(TAKE_PTR(s->zh));
        (void)start_handle(s, id.client_id ? &id : NULL, NULL); /* else with the next look */
        log_debug("zookeeper: the servers are now %s", s->opened);
    }
    pthread_rwlock_unlock(&s->handle_lock);
}

int zk_session_new(
    const struct zk_url *url, int64_t timeout_us, struct zk_session **ret, struct error *err)
{
    if (timeout_us == 0)
        timeout_us = ZK_SESSION_TIMEOUT_US;
    if (timeout_us < TIMEOUT_MIN_US || timeout_us > TIMEOUT_MAX_US)
        return error_set(err, -EINVAL, "session timeout must lie between 100ms and 1hrs");
    zoo_set_debug_level(log_enabled(LOG_DEBUG) ? ZOO_LOG_LEVEL_INFO : ZOO_LOG_LEVEL_ERROR);
    struct zk_session *s = xnew(struct zk_session);
    s->url = (struct zk_url){
        xstrdup(url->servers), xstrdup(url->path), url->auth ? xstrdup(url->auth) : NULL};
    s->asked_us = timeout_us;
    pthread_rwlock_init(&s->handle_lock, NULL);
    pthread_mutex_init(&s->mutex, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->changed, &attr);
    pthread_condattr_destroy(&attr);
    int r = open_handle(s, err);
    if (r < 0) {
        zk_session_free(s);
        return r;
    }
    s->servers = zk_servers_start(s);
    *ret = s;
    return 0;
}

void zk_session_free(struct zk_session *s)
{
    if (!s)
        return;
    zk_servers_stop(s->servers);
    if (s->zh)
        zookeeper_close(s->zh);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->mutex);
    pthread_rwlock_destroy(&s->handle_lock);
    zk_url_done(&s->url);
    free(s->opened);
    free(s);
}

void zk_session_cancel(struct zk_session *s)
{
    pthread_mutex_lock(&s->mutex);
    s->cancelled = true;
    note_event(s);
    pthread_mutex_unlock(&s->mutex);
}

bool zk_session_cancelled(struct zk_session *s)
{
    pthread_mutex_lock(&s->mutex);
    bool cancelled = s->cancelled;
    pthread_mutex_unlock(&s->mutex);
    return cancelled;
}

bool zk_session_pin(struct zk_session *s, int64_t id)
{
    pthread_mutex_lock(&s->mutex);
    bool fits = s->id == id && s->state != ZK_ENDED;
    s->pinned = fits;
    pthread_mutex_unlock(&s->mutex);
    return fits;
}

void zk_session_give_up(struct zk_session *s)
{
    pthread_mutex_lock(&s->mutex);
    s->given_up = true;
    s->state = ZK_ENDED;
    note_event(s);
    pthread_mutex_unlock(&s->mutex);
}

enum zk_state zk_session_state(struct zk_session *s)
{
    pthread_mutex_lock(&s->mutex);
    enum zk_state state = s->state;
    pthread_mutex_unlock(&s->mutex);
    return state;
}

int64_t zk_session_id(struct zk_session *s)
{
    pthread_mutex_lock(&s->mutex);
    int64_t id = s->id;
    pthread_mutex_unlock(&s->mutex);
    return id;
}

int64_t zk_session_timeout_us(struct zk_session *s)
{
    pthread_mutex_lock(&s->mutex);
    int64_t us = s->agreed_us;
    pthread_mutex_unlock(&s->mutex);
    return us;
}

int64_t zk_session_silence_us(struct zk_session *s)
{
    pthread_mutex_lock(&s->mutex);
    int64_t us = s->silent_since_us ? clock_monotonic_us() - s->silent_since_us : 0;
    pthread_mutex_unlock(&s->mutex);
    return us;
}

uint64_t zk_session_events(struct zk_session *s)
{
    pthread_mutex_lock(&s->mutex);
    uint64_t events = s->events;
    pthread_mutex_unlock(&s->mutex);
    return events;
}

/* Waits for an event until a point of monotonic time (-1: without end); the mutex is held. False
 * when the time is up. */
static bool wait_until(struct zk_session *s, int64_t until_us)
{
    if (until_us < 0) {
        pthread_cond_wait(&s->changed, &s->mutex);
        return true;
    }
    struct timespec at = {
        .tv_sec = until_us / USEC_PER_SEC, .tv_nsec = until_us % USEC_PER_SEC * NSEC_PER_USEC};
    return pthread_cond_timedwait(&s->changed, &s->mutex, &at) == 0;
}

static int64_t deadline(int64_t timeout_us)
{
    return timeout_us < 0 ? -1 : clock_monotonic_us() + timeout_us;
}

void zk_session_wait(struct zk_session *s, uint64_t seen, int64_t timeout_us)
{
    int64_t until_us = deadline(timeout_us);
    pthread_mutex_lock(&s->mutex);
    while (s->events == seen && !s->cancelled && wait_until(s, until_us)) {
    }
    pthread_mutex_unlock(&s->mutex);
}

void zk_session_wake(struct zk_session *s)
{
    pthread_mutex_lock(&s->mutex);
    note_event(s);
    pthread_mutex_unlock(&s->mutex);
}

/* Replaces a session that is over; several threads may want to at the same time. */
static int replace(struct zk_session *s, struct error *err)
{
    int r = 0;
    pthread_rwlock_wrlock(&s->handle_lock);
    if (zk_session_state(s) == ZK_ENDED || !s->zh)
        r = open_handle(s, err);
    pthread_rwlock_unlock(&s->handle_lock);
    return r;
}

int zk_session_connect(struct zk_session *s, int64_t timeout_us, int64_t *ret_id, struct error *err)
{
    int64_t until_us = deadline(timeout_us);
    for (;;) {
        pthread_mutex_lock(&s->mutex);
        bool in_time = true;
        while (s->state == ZK_CONNECTING && !s->cancelled && in_time)
            in_time = wait_until(s, until_us);
        enum zk_state state = s->state;
        bool cancelled = s->cancelled, pinned = s->pinned;
        if (ret_id)
            *ret_id = s->id;
        pthread_mutex_unlock(&s->mutex);
        if (state == ZK_CONNECTED)
            return 0;
        if (cancelled)
            return error_set(err, -ECANCELED, "cancelled");
        if (state == ZK_ENDED && pinned)
            return error_set(err, -ESTALE, "the session with ZooKeeper is over");
        if (!in_time)
            return error_set(err, -ETIMEDOUT, "no connection to ZooKeeper %s", s->url.servers);
        if (state == ZK_ENDED) {
            int r = replace(s, err);
            if (r < 0)
                return r;
        }
    }
}
