#ifndef DCOS_ZK_SESSION_INTERNAL_H
#define DCOS_ZK_SESSION_INTERNAL_H

/* What session.c (life) and calls.c (requests) share. */

#include <pthread.h>

/* The client with threads. */
#define THREADED
#include <zookeeper/zookeeper.h>

#include "zk/session.h"

struct zk_session {
    struct zk_url url;
    int64_t asked_us;

    /* The handle, against its replacement: requests hold it for reading while they are sent. */
    pthread_rwlock_t handle_lock;
    zhandle_t *zh;

    pthread_mutex_t mutex; /* everything below, and the groups of calls.c */
    pthread_cond_t changed;
    enum zk_state state;
    int64_t agreed_us, id;
    int64_t silent_since_us; /* monotonic; 0 while connected */
    uint64_t events;
    bool cancelled, pinned, given_up;
};

int zk_status(int rc);
/* For the client's calls that take a watch. */
void zk_on_watch(zhandle_t *zh, int type, int state, const char *path, void *context);

#endif
