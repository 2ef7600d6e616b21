#ifndef DCOS_STORE_STORE_H
#define DCOS_STORE_STORE_H

/*
 * Durable state of a controller: versioned keys, atomic batches, leadership with an epoch.
 *
 * Keys are slash-separated names without leading slash ("agents/S12"); values are bytes. All calls
 * are asynchronous on the loop; commits that queue up while one is being written are flushed
 * together. Nothing is reported done before it is durable. If storage fails for good (-EIO, -ENOSPC
 * after the file was damaged) the callback says so and the caller must end the process.
 */

#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"
#include "io/loop.h"

enum {
    STORE_KEY_MAX = 512,
    STORE_VALUE_MAX = 512 * 1024,
    STORE_BATCH_MAX = 1000 * 1000, /* bytes of one batch, as store_op_size() counts them */
    STORE_BATCH_OPS_MAX = 1024,
};

/* What one operation counts in a batch. The names are more than they seem, because a batch must fit
 * into one packet of ZooKeeper, escaped and with everything around them. */
static inline size_t store_op_size(const char *key, size_t value_bytes)
{
    return 256 + 3 * strlen(key) + value_bytes;
}

#define STORE_ANY_VERSION INT64_C(-1) /* do not compare */
#define STORE_ABSENT INT64_C(0)       /* the key must not exist */

#define STORE_SLOW_US INT64_C(1000000) /* what daemons give to store_on_slow() */

struct store;

enum store_op_type { STORE_PUT, STORE_DELETE, STORE_CHECK };

struct store_op {
    enum store_op_type type;
    const char *key;
    const void *value; /* for STORE_PUT */
    size_t n;
    int64_t version; /* expected: STORE_ANY_VERSION, STORE_ABSENT, or what get returned */
};

struct store_entry {
    const char *key;
    struct str value;
    int64_t version; /* > 0, grows with each put of the key */
};

/* For "zk://"; zero and NULL stand for the defaults. */
struct store_options {
    int64_t session_timeout_us; /* 10 s */
    const char *zk_state;       /* folder below the URL's path for the entries, "dcos-state" */
    const char *zk_candidates;  /* and for who wants to lead, "dcos-leader"; "" = the path itself */
    const char *zk_label;       /* of the candidates' nodes, "member" */
};

/* `url`: "sqlite:PATH" (the file's directory must exist), "zk://host:port,.../path", or "memory:"
 * for tests. The open itself is synchronous; ZooKeeper need not be there yet. */
int store_open(struct loop *l, const char *url, struct store **ret, struct error *err);
int store_open_with(struct loop *l, const char *url, const struct store_options *o,
    struct store **ret, struct error *err);
/* Pending commits are finished first, their callbacks are not called. */
void store_close(struct store *s);

/* ---- leadership ---- */
/* cb once we lead, with the epoch (> 0, larger than any before). Waits as long as another leads. */
typedef void (*store_leader_cb)(int status, uint64_t epoch, void *userdata);
int store_lead(struct store *s, const char *info, store_leader_cb cb, void *userdata);
/* on_lost: leadership is gone; the process must stop acting at once. */
void store_on_lost(struct store *s, void (*fn)(void *userdata), void *userdata);
uint64_t store_epoch(const struct store *s); /* 0 while not leading */
/* For a leader, before it acts: whether it certainly still leads, by the clock. In doubt it waits
 * until it is known, a quarter of the session timeout at most. After a no, which stays, the process
 * must not act any more; on_lost is called soon. True for who does not lead. */
bool store_confirm(struct store *s);
/* `info` text of the current leader into ret, empty when none. Costs nothing, and does not wait,
 * while store_lead() waits for another that leads; else it may take a second. */
int store_leader_info(struct store *s, struct buf *ret, struct error *err);

/* ---- commits ---- */
/* status 0: all ops are durable; new_versions[i] for each put. -EAGAIN: a version did not match or
 * the epoch is stale (failed_op = index or -1); nothing was written. Other negative errno: storage
 * failed. */
typedef void (*store_commit_cb)(
    int status, ssize_t failed_op, const int64_t *new_versions, void *userdata);
/* Copies everything. Refuses at once what breaks a limit (-EMSGSIZE) or a malformed key (-EINVAL).
 * Batches are written in the order of the calls. The epoch of this process's leadership, when it
 * leads, is checked in the same transaction. */
int store_commit(struct store *s, const struct store_op *ops, size_t n, store_commit_cb cb,
    void *userdata, struct error *err);

/* ---- reads: synchronous, see every commit whose callback was called ---- */
/* 0 and the value appended to *ret; -ENOENT. */
int store_get(
    struct store *s, const char *key, struct buf *ret, int64_t *ret_version, struct error *err);
/* Entries whose key starts with `prefix`, in key order, after `after` (NULL = from the start), at
 * most `max` of them; fn returns false to stop. Returns how many were visited. */
int store_list(struct store *s, const char *prefix, const char *after, size_t max,
    bool (*fn)(const struct store_entry *e, void *userdata), void *userdata, struct error *err);
/* fn after each durable change under the prefix by this process (deleted: value.p = NULL). */
struct store_watch;
struct store_watch *store_watch(struct store *s, const char *prefix,
    void (*fn)(const struct store_entry *e, void *userdata), void *userdata);
void store_watch_free(struct store_watch *w);

/* Why storage failed for good, or that another process leads now, for the last words of this one;
 * empty while all is well. */
const char *store_failure(const struct store *s);

/* fn on the loop when the oldest unfinished commit, or the epoch of a new leader, has waited
 * `after_us`, and again every ten times that as long as it lasts. `reason` is what storage last
 * complained of, or "" when it is only slow. Disk full is such a case: commits wait and are tried
 * again until there is space. */
void store_on_slow(struct store *s, int64_t after_us,
    void (*fn)(int64_t waited_us, const char *reason, void *userdata), void *userdata);

/* Longest commit so far and commits waiting, for metrics and "storage is slow" reports. A flush
 * that is still running counts. */
struct store_stats {
    uint64_t commits, flushes;
    int64_t last_flush_us, max_flush_us;
    size_t queued;
};
void store_stats(const struct store *s, struct store_stats *ret);

#endif
