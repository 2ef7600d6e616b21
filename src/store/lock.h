#ifndef DCOS_STORE_LOCK_H
#define DCOS_STORE_LOCK_H

/* The leader's lock: an exclusive lock on a file beside the database, which the kernel gives up
 * when the last descriptor of whoever holds it is closed, however the process ends. */

#include <pthread.h>

#include "base/buf.h"
#include "base/error.h"

struct leader_lock {
    const char *path; /* of the lock file; borrowed */
    int fd;           /* -1 when not open */
    pthread_mutex_t mutex;
    pthread_cond_t ended; /* a wait */
    bool waiting, cancelled;
    pthread_t waiter;
};

void leader_lock_init(struct leader_lock *l, const char *path);
void leader_lock_done(struct leader_lock *l); /* releases it */

/* Blocks until the lock is ours, or -ECANCELED. */
int leader_lock_wait(struct leader_lock *l, struct error *err);
/* From another thread: ends a wait, and refuses later ones. Returns when there is none any more.
 * The waiting thread is interrupted by SIGURG, which does nothing by default and gets a handler
 * here. */
void leader_lock_cancel(struct leader_lock *l);
/* 1 when somebody else holds the lock, 0 when nobody does. */
int leader_lock_held(const char *path, struct error *err);

#endif
