#ifndef DCOS_STORE_ZK_H
#define DCOS_STORE_ZK_H

/*
 * The store in ZooKeeper; parts that its files share.
 *
 * Below <folder> of the URL's path and the options:
 *
 *     state          one line: format, epoch, version counter, who wrote last and its how-manieth
 *     b/<xxx>/<key>  entries, in 1,024 buckets by a hash of the key, so that the names of a million
 *                    keys do not come in one answer. Bytes other than letters, digits and -_.:@+=~
 *                    are written %XX. The data is a format byte, the version in eight bytes, most
 *                    significant first, and the value.
 *
 * Every transaction rewrites `state`, expecting the version of that node which the writer knows. So
 * nothing can have changed since the writer looked, whoever else writes; and what became of a
 * transaction whose answer was lost is told by what `state` says now.
 */

#include <pthread.h>

#include "store/backend.h"
#include "zk/lease.h"
#include "zk/session.h"

enum {
    ZK_BUCKETS = 1024,
    ZK_HEADER = 9,      /* bytes before the value */
    ZK_FORMAT = 1,      /* of entries and of `state` */
    ZK_WRITER_SIZE = 33 /* text that tells this store from others */
};

struct zk_ledger {
    bool known;
    int32_t node_version; /* of `state` */
    uint64_t epoch;
    int64_t counter;
    char writer[ZK_WRITER_SIZE];
    uint64_t sequence; /* of the writer's transactions */
};

struct zk_store {
    struct store_backend backend;
    struct zk_session *session;
    char *folder, *state, *buckets; /* paths */
    char *candidates, *label;
    int64_t timeout_us;
    struct loop *loop;
    char writer[ZK_WRITER_SIZE];

    /* Of the writer's thread. */
    struct zk_ledger ledger;
    uint64_t sequence;
    bool bucket_known[ZK_BUCKETS];

    /* Of the thread that waits for leadership, and then of the loop's. */
    char *node;
    struct loop_wakeup *beat;

    pthread_mutex_t mutex;
    struct zk_lease *lease;
    bool closing;
    char *leader; /* what another that leads says of itself, while we wait; NULL = not known */
    uint64_t names_changed; /* grows when a key appears or goes */

    /* Names for a walk in pages, of the loop's thread. */
    struct zk_names names; /* keys, sorted */
    char *names_prefix;
    uint64_t names_at; /* names_changed when they were read */
};

/* ---- names and values (zk.c) ---- */
char *zk_store_path(const struct zk_store *s, const char *key);
unsigned zk_store_bucket(const char *key);
char *zk_store_bucket_path(const struct zk_store *s, unsigned bucket);
/* Key of a node's name; false when it is none of ours. */
bool zk_store_key(const char *name, char ret[STORE_KEY_MAX + 1]);
void zk_store_header(int64_t version, char ret[ZK_HEADER]);
/* -EBADMSG when the data is not an entry of ours. */
int zk_store_read_header(const char *p, size_t n, int64_t *ret_version);

/* Waits for a connection after one broke. While the store is open and the session may live this
 * does not end; complains meanwhile. */
int zk_store_reconnect(struct zk_store *s, struct error *err);
/* The same for a reader on the loop, which gives up after a session timeout. */
int zk_store_reconnect_reader(struct zk_store *s, struct error *err);

/* zk_write.c */
int zk_store_flush(struct store_backend *b, struct list *batches, struct error *err);
int zk_store_lead(
    struct store_backend *b, const char *info, uint64_t *ret_epoch, struct error *err);

/* zk_read.c */
int zk_store_get(struct store_backend *b, const char *key, struct buf *ret, int64_t *ret_version,
    struct error *err);
int zk_store_list(struct store_backend *b, const char *prefix, const char *after, size_t max,
    bool (*fn)(const struct store_entry *e, void *userdata), void *userdata, struct error *err);
void zk_store_forget_names(struct zk_store *s);

#endif
