#ifndef DCOS_STORE_BACKEND_H
#define DCOS_STORE_BACKEND_H

/*
 * What an implementation of the store provides. The front end (store.c) does the rest: limits,
 * queueing, grouping, retries, callbacks, watches, statistics.
 *
 * Threads: flush, lead and idle run on the store's writer thread; lock on a thread of its own; all
 * else on the loop's thread, at the same time as those.
 */

#include "base/list.h"
#include "store/store.h"

/* What a backend tells its front end, from any thread. */
struct store_host {
    void *userdata;
    void (*lost)(void *userdata, const char *why); /* leadership */
    /* Why storage does not get on at the moment; "" when it does again. */
    void (*complain)(void *userdata, const char *why);
};

/* One call of store_commit(), in one allocation together with everything it copied. */
struct store_batch {
    struct list node;
    uint64_t epoch; /* of our leadership when it was queued, 0 = do not check */
    int64_t queued_us;
    size_t bytes;
    store_commit_cb cb;
    void *userdata;
    int status;        /* set by flush: 0 or -EAGAIN */
    ssize_t failed_op; /* with -EAGAIN; -1 when the epoch is stale */
    int64_t *new_versions;
    size_t n;
    struct store_op ops[];
};

struct store_backend {
    const struct store_host *host; /* set by the front end before anything else is called */
    /* Writes every batch of the list (struct store_batch.node) in one durable step, each of them
     * wholly or not at all, and sets their status, failed_op and new_versions. 0, or a negative
     * errno when nothing was written: -ENOSPC, -EDQUOT and -EBUSY are tried again, others are
     * final. */
    int (*flush)(struct store_backend *b, struct list *batches, struct error *err);
    /* Work that nobody waits for, after a flush was answered. May be NULL. */
    void (*idle)(struct store_backend *b);
    /* Blocks until we hold the leader lock, or with -ECANCELED until cancel_lock, which may come
     * before it. */
    int (*lock)(struct store_backend *b, const char *info, struct error *err);
    void (*cancel_lock)(struct store_backend *b);
    /* Whether we certainly still lead, having led; may wait to find out. NULL: always. */
    bool (*confirm)(struct store_backend *b);
    /* The store is being closed: waits for other machines must come to an end soon. May be NULL. */
    void (*closing)(struct store_backend *b);
    /* Increments the stored epoch and stores the leader's info, durably. Errors as flush. */
    int (*lead)(struct store_backend *b, const char *info, uint64_t *ret_epoch, struct error *err);
    int (*leader_info)(struct store_backend *b, bool leading, struct buf *ret, struct error *err);
    int (*get)(struct store_backend *b, const char *key, struct buf *ret, int64_t *ret_version,
        struct error *err);
    int (*list)(struct store_backend *b, const char *prefix, const char *after, size_t max,
        bool (*fn)(const struct store_entry *e, void *userdata), void *userdata, struct error *err);
    /* Both threads have ended. Releases the leader lock. */
    void (*free)(struct store_backend *b);
};

int store_sqlite_open(const char *path, struct store_backend **ret, struct error *err);
int store_memory_open(const char *name, struct store_backend **ret, struct error *err);
int store_zk_open(struct loop *l, const char *url, const struct store_options *o,
    struct store_backend **ret, struct error *err);

struct store_backend *store_backend(struct store *s);

#endif
