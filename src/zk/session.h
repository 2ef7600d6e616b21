#ifndef DCOS_ZK_SESSION_H
#define DCOS_ZK_SESSION_H

/*
 * A session with ZooKeeper, on its official C client.
 *
 * The client has threads of its own, so that a busy loop does not lose the session. Calls here
 * block the calling thread until the answer is there; they are for worker threads, and for the few
 * reads that a loop makes before it serves. Any number of threads may use a session at once; the
 * requests of one thread take effect in order.
 *
 * Errors of calls: -ENOENT, -EEXIST, -ENOTEMPTY, -EACCES as the names say; -EAGAIN for a version
 * that did not match; -ENOTCONN when the connection broke, which leaves open whether a write took
 * effect; -ESTALE when the session is over; -EIO for the rest.
 *
 * Where servers come and go, the environment variable DCOS_ZOOKEEPER_SERVERS names a file with
 * "host:port,host:port". While it can be read, its servers count in place of the URL's. A session
 * without a connection takes changes up within seconds, and goes on.
 *
 * A session that ended is replaced by the next zk_session_connect(), unless it was pinned: who
 * leads by an ephemeral node must not go on with another session.
 */

#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/vec.h"
#include "zk/url.h"

#define ZK_SERVERS_VARIABLE "DCOS_ZOOKEEPER_SERVERS"
enum { ZK_SERVERS_MAX = 4096 /* bytes of that file */ };
#define ZK_SESSION_TIMEOUT_US INT64_C(10000000) /* what Mesos asks for */

struct zk_session;

enum zk_state {
    ZK_CONNECTING, /* no connection at the moment; the session may live */
    ZK_CONNECTED,
    ZK_ENDED, /* the session is over */
};

/* Starts to connect and returns; -EINVAL for a timeout that is out of range (100 ms to 1 hour). */
int zk_session_new(
    const struct zk_url *url, int64_t timeout_us, struct zk_session **ret, struct error *err);
/* No other thread may be inside a call. Ends the session with the server, so that its ephemeral
 * nodes go at once. */
void zk_session_free(struct zk_session *s);
/* From any thread: waits for a connection or an event end at once, now and later. Requests still
 * work while there is a connection. */
void zk_session_cancel(struct zk_session *s);
bool zk_session_cancelled(struct zk_session *s);
/* The session is not replaced any more. False when it is not the one with this id, or is over. */
bool zk_session_pin(struct zk_session *s, int64_t id);
/* Counts as over from now on, whatever the servers think. Only for a pinned one. */
void zk_session_give_up(struct zk_session *s);

/* Appends what the file says. -ENOENT when there is none, -EBADMSG when it is no list. */
int zk_servers_read(const char *path, struct buf *ret);

enum zk_state zk_session_state(struct zk_session *s);
int64_t zk_session_id(struct zk_session *s);
/* As agreed with the servers, or as asked for before that. */
int64_t zk_session_timeout_us(struct zk_session *s);
/* How long there has been no connection; 0 while there is one. */
int64_t zk_session_silence_us(struct zk_session *s);

/* Waits for a connection, at most so long (-1: without end). 0 and the session's id; -ETIMEDOUT,
 * -ECANCELED, -ESTALE when a pinned session is over. */
int zk_session_connect(
    struct zk_session *s, int64_t timeout_us, int64_t *ret_id, struct error *err);
/* A number that grows with each change of state and each watch that fires. */
uint64_t zk_session_events(struct zk_session *s);
/* Waits until it is not `seen` any more, at most so long (-1: without end), or until cancelled. */
void zk_session_wait(struct zk_session *s, uint64_t seen, int64_t timeout_us);
void zk_session_wake(struct zk_session *s); /* counts as an event */

/* ---- nodes ---- */

/* Where the URL's folder is open to everybody, nodes stay so even with a password: others may not
 * have it yet. That ends with the folder's own list, without another session. */
enum zk_access {
    ZK_SHARED,  /* with a password: everything for us, reading for all; else open */
    ZK_PRIVATE, /* with a password: for us only; else open */
};

struct zk_info {
    int32_t version;
    int64_t owner; /* id of the session that an ephemeral node belongs to, 0 = none */
    size_t bytes;
};

/* `watch`: the next change counts as an event. */
int zk_exists(struct zk_session *s, const char *path, bool watch, struct zk_info *ret);
int zk_get(
    struct zk_session *s, const char *path, bool watch, struct buf *ret, struct zk_info *ret_info);
struct zk_names {
    char **items;
    size_t n, cap;
};
void zk_names_done(struct zk_names *names);
#define _cleanup_zk_names_ _cleanup_(zk_names_done)
/* Appends the children's names, in no order. */
int zk_children(struct zk_session *s, const char *path, bool watch, struct zk_names *ret);
/* An ephemeral node whose name ends in a sequence number; its path into *ret, caller frees. */
int zk_create_member(struct zk_session *s, const char *path, const void *p, size_t n, char **ret);
/* Creates what is missing of the path, empty. */
int zk_make_path(struct zk_session *s, const char *path, enum zk_access access);
int zk_delete(struct zk_session *s, const char *path);
/* Whether everybody may do more than read the node. */
int zk_is_open(struct zk_session *s, const char *path, bool *ret);

/* Somebody who may do something. */
struct zk_entry {
    const char *digest;   /* "user:<base64 of the SHA-1 of user:password>"; NULL = everybody */
    unsigned permissions; /* as in ZooKeeper: 1 read, 2 write, 4 create, 8 delete, 16 administer */
};
enum { ZK_READ = 1, ZK_CREATE = 4, ZK_ALL = 31, ZK_ENTRIES_MAX = 4 };
/* A node, empty, with a list of its own; no more than ZK_ENTRIES_MAX. */
int zk_create_with(
    struct zk_session *s, const char *path, const struct zk_entry *entries, size_t n);
/* Replaces the list of a node, which its list must allow. */
int zk_set_entries(
    struct zk_session *s, const char *path, const struct zk_entry *entries, size_t n);
/* What was written before, by anybody, is seen by the reads that follow. */
int zk_sync(struct zk_session *s, const char *path);

/* Sends many reads at once. fn runs for each, on a thread of the client, one at a time; an error of
 * the first that fails is returned when all are answered, -ENOENT is for fn alone. */
typedef void (*zk_many_fn)(
    size_t i, int status, const char *p, size_t n, const struct zk_info *info, void *userdata);
int zk_get_many(struct zk_session *s, char *const *paths, size_t n, zk_many_fn fn, void *userdata);
int zk_exists_many(
    struct zk_session *s, char *const *paths, size_t n, zk_many_fn fn, void *userdata);
/* Names of all children of many nodes; a node that is not there has none. */
int zk_children_many(struct zk_session *s, char *const *paths, size_t n, struct zk_names *ret);

/* ---- transactions ---- */

enum zk_op_type { ZK_OP_CREATE, ZK_OP_SET, ZK_OP_DELETE };
struct zk_op {
    enum zk_op_type type;
    const char *path;
    const void *p; /* the new data */
    size_t n;
    int32_t version; /* expected, -1 = any; not for ZK_OP_CREATE */
    enum zk_access access;
};
/* All or nothing. When an operation was refused, *ret_failed is its index and the result what it
 * said; -1 otherwise. */
int zk_multi(struct zk_session *s, const struct zk_op *ops, size_t n, ssize_t *ret_failed);

/* Asks the leader of the ensemble, through everything that was written, whether the session lives,
 * and then whether the node is there. Does not wait: fn is called once, on a thread of the client
 * or from inside the call, with 0, -ENOENT or another error. */
void zk_probe(
    struct zk_session *s, const char *path, void (*fn)(int status, void *userdata), void *userdata);
/* Sends the removal of a node without waiting for it. */
void zk_drop(struct zk_session *s, const char *path);

/* "<folder>/<name>"; caller frees. */
char *zk_join(const char *folder, const char *name);

#endif
