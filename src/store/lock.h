#ifndef DCOS_STORE_LOCK_H
#define DCOS_STORE_LOCK_H

/* The leader's lock: an exclusive lock on a file beside the database, which the kernel gives up
 * when the last descriptor of whoever holds it is closed, however the process ends. */

#include "base/buf.h"
#include "base/error.h"

struct leader_lock {
    const char *path; /* of the lock file; borrowed */
    int fd;           /* -1 when not open */
};

/* Blocks until the lock is ours. Cancellation of the thread is let in only while it waits. */
int leader_lock_wait(struct leader_lock *l, struct error *err);
void leader_lock_release(struct leader_lock *l);
/* 1 when somebody else holds the lock, 0 when nobody does. */
int leader_lock_held(const char *path, struct error *err);

#endif
