#ifndef DCOS_ZK_LEASE_H
#define DCOS_ZK_LEASE_H

/*
 * Whether a leader still leads, by its own clock.
 *
 * A thread asks ZooKeeper again and again whether our session lives and our node is there. An
 * answer proves that nobody else can lead before the session timeout has passed since the question
 * was asked. The lease is valid for three quarters of that: a quarter is left for what servers know
 * of each other's clients late. Time is the kernel's CLOCK_BOOTTIME, which goes on while the
 * process is stopped and the machine sleeps.
 *
 * When no answer came for a whole timeout, or the answer is no, leadership is lost for good. The
 * same thread watches the loop: when it does not turn for a whole timeout, which the session would
 * survive because the client has threads, the node is removed and the process ends on the spot.
 */

#include "io/loop.h"
#include "zk/session.h"

struct zk_lease;

/* `node`: path of the leader's node of this session, which must be pinned. on_lost runs once, on
 * the lease's thread. The lease is valid from the start for a part of the timeout. `node` is
 * copied. */
int zk_lease_start(struct zk_session *s, const char *node,
    void (*on_lost)(const char *why, void *userdata), void *userdata, struct zk_lease **ret);
void zk_lease_free(struct zk_lease *l);

/* For the thread of the loop. True: nobody else leads. In doubt, asks ZooKeeper and waits for the
 * answer, a quarter of the session timeout at most. */
bool zk_lease_confirm(struct zk_lease *l);
/* The loop turns. */
void zk_lease_beat(struct zk_lease *l);
/* The loop's wakeup is sent each time the thread wants to hear zk_lease_beat(). */
void zk_lease_set_wakeup(struct zk_lease *l, struct loop_wakeup *w);

#endif
