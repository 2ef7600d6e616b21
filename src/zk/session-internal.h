#ifndef DCOS_ZK_SESSION_INTERNAL_H
#define DCOS_ZK_SESSION_INTERNAL_H

/* What session.c (life), calls.c (requests) and acl.c (who may) share. */

#include <pthread.h>
#include <stdatomic.h>

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
    char *opened; /* servers of the handle */

    pthread_mutex_t mutex; /* everything below, and the groups of calls.c */
    pthread_cond_t changed;
    enum zk_state state;
    int64_t agreed_us, id;
    int64_t silent_since_us; /* monotonic; 0 while connected */
    uint64_t events;
    bool cancelled, pinned, given_up;

    /* Of the URL's folder, for who has a password. */
    atomic_bool open_folder;   /* everybody may change it, when it was last looked at */
    atomic_bool closed_folder; /* known for good that not */
    atomic_bool told_open;

    struct zk_servers *servers; /* NULL: those of the URL */
};

/* servers.c: follows the file that the environment names, on a thread of its own. NULL when it
 * names none. */
struct zk_servers *zk_servers_start(struct zk_session *s);
void zk_servers_stop(struct zk_servers *f);
/* While there is no connection: goes on with other servers, when they are others by now. */
void zk_session_move(struct zk_session *s);
/* What the file says now, or the URL's servers when it says nothing. Caller frees. */
char *zk_servers_now(struct zk_session *s);

int zk_status(int rc);
/* The handle for one request; NULL when there is none. Give it back with zk_release(). */
zhandle_t *zk_acquire(struct zk_session *s);
void zk_release(struct zk_session *s);
/* acl.c: what zk_acl_of() needs to know, before nodes are made. */
int zk_learn_access(struct zk_session *s);
const struct ACL_vector *zk_acl_of(struct zk_session *s, enum zk_access access);
/* For the client's calls that take a watch. */
void zk_on_watch(zhandle_t *zh, int type, int state, const char *path, void *context);

#endif
