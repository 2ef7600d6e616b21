#ifndef DCOS_ZK_DETECTOR_H
#define DCOS_ZK_DETECTOR_H

/*
 * Finds the leading master through ZooKeeper and says so on the loop: within milliseconds of each
 * change, by watches. Holds a session of its own, which is replaced when it ends.
 *
 * While the servers cannot be reached the last leader is kept for as long as the session lasts;
 * then there is none. Who follows a leader keeps to it all the same until another one is named.
 */

#include "io/loop.h"
#include "zk/master_info.h"
#include "zk/url.h"

struct zk_detector;

enum { ZK_MASTERS_MAX = 64 }; /* candidates that are told of; the first of the queue count */

/* fn on the loop at each change, first when the leader, or that there is none, is known. `leader`
 * is NULL when there is none. timeout_us of the session, 0 = 5 s: nothing hangs on it, and a server
 * that is gone without a word is left for another after two thirds. Must be freed on the loop. */
int zk_detector_new(struct loop *l, const struct zk_url *url, int64_t timeout_us,
    void (*fn)(const struct zk_master *leader, void *userdata), void *userdata,
    struct zk_detector **ret, struct error *err);
/* The same, and tells all candidates, the leader first, each time that they were read because one
 * came or went: on_masters runs after fn. While there are none, or they cannot be read, the last
 * ones stand. */
int zk_detector_new_all(struct loop *l, const struct zk_url *url, int64_t timeout_us,
    void (*fn)(const struct zk_master *leader, void *userdata),
    void (*on_masters)(const struct zk_master *masters, size_t n, void *userdata), void *userdata,
    struct zk_detector **ret, struct error *err);
void zk_detector_free(struct zk_detector *d);
/* The leader as fn last heard it, or NULL. */
const struct zk_master *zk_detector_leader(const struct zk_detector *d);

#endif
