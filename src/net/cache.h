#ifndef DCOS_NET_CACHE_H
#define DCOS_NET_CACHE_H

/* Answers of upstream servers, kept as long as their TTLs say, bounded in number and bytes; the one
 * that was used the longest time ago makes room. Time is the caller's. */

#include "base/list.h"
#include "base/map.h"
#include "net/packet.h"

enum {
    CACHE_ENTRIES_MAX = 4096,
    CACHE_BYTES_MAX = 2 * 1024 * 1024,
    CACHE_TTL_MAX = 3600, /* seconds, whatever an answer says */
    CACHE_NEGATIVE_TTL_MAX = 300,
};

struct cache {
    struct map map;
    struct list order; /* of use, oldest first */
    size_t bytes;
    uint64_t hits, misses;
};

void cache_init(struct cache *c);
void cache_done(struct cache *c);
/* Size of the answer in out with q's id and the TTLs that are left, or 0. */
size_t cache_get(struct cache *c, const void *query, const struct dns_query *q, int64_t now_us,
    void *out, size_t cap);
void cache_put(
    struct cache *c, const struct dns_query *q, const void *reply, size_t n, int64_t now_us);

#endif
