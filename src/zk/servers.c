/*
 * Servers that a file names, so that clients keep up with an ensemble whose machines change. A
 * session that is connected stays where it is; one that has no connection goes on with the servers
 * that are named by then, on a new handle with the same id. The client's own zoo_set_servers() is
 * no way: without a connection it may try one server again and again, as fast as it can (3.8).
 */

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/parse.h"
#include "zk/session-internal.h"

#define LOOK_US (2 * USEC_PER_SEC)

struct zk_servers {
    struct zk_session *s;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool stop;
};

static const char *file(void)
{
    const char *path = getenv(ZK_SERVERS_VARIABLE);
    return path && *path ? path : NULL;
}

int zk_servers_read(const char *path, struct buf *ret)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    int r = file_read(path, ZK_SERVERS_MAX, &text, NULL);
    if (r < 0)
        return r;
    struct str list = str_trim(buf_str(&text)), rest = list, server;
    if (list.n == 0)
        return -EBADMSG;
    while (str_split(&rest, ',', &server)) {
        uint16_t port;
        ptrdiff_t colon = str_index(server, ':');
        if (colon <= 0 ||
            parse_port((struct str){server.p + colon + 1, server.n - (size_t)colon - 1}, &port) <
                0 ||
            port == 0)
            return -EBADMSG;
        for (ptrdiff_t i = 0; i < colon; i++)
            if ((unsigned char)server.p[i] <= ' ' || server.p[i] == '/')
                return -EBADMSG;
    }
    buf_append(ret, list.p, list.n);
    return 0;
}

char *zk_servers_now(struct zk_session *s)
{
    struct buf text = BUF_INIT;
    if (file() && zk_servers_read(file(), &text) == 0)
        return buf_steal(&text);
    buf_done(&text);
    return xstrdup(s->url.servers);
}

static void *follow(void *userdata)
{
    struct zk_servers *f = userdata;
    pthread_mutex_lock(&f->mutex);
    while (!f->stop) {
        int64_t until_us = clock_monotonic_us() + LOOK_US;
        struct timespec at = {
            .tv_sec = until_us / USEC_PER_SEC, .tv_nsec = until_us % USEC_PER_SEC * NSEC_PER_USEC};
        while (!f->stop && pthread_cond_timedwait(&f->changed, &f->mutex, &at) == 0) {
        }
        if (f->stop)
            break;
        pthread_mutex_unlock(&f->mutex);
        zk_session_move(f->s);
        pthread_mutex_lock(&f->mutex);
    }
    pthread_mutex_unlock(&f->mutex);
    return NULL;
}

static void forget(struct zk_servers *f)
{
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->mutex);
    free(f);
}

struct zk_servers *zk_servers_start(struct zk_session *s)
{
    pthread_condattr_t attr;
    if (!file())
        return NULL;
    struct zk_servers *f = xnew(struct zk_servers);
    f->s = s;
    pthread_mutex_init(&f->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&f->changed, &attr);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&f->thread, NULL, follow, f) != 0) {
        forget(f);
        return NULL;
    }
    return f;
}

void zk_servers_stop(struct zk_servers *f)
{
    if (!f)
        return;
    pthread_mutex_lock(&f->mutex);
    f->stop = true;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->mutex);
    pthread_join(f->thread, NULL);
    forget(f);
}
