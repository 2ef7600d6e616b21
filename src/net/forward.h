#ifndef DCOS_NET_FORWARD_H
#define DCOS_NET_FORWARD_H

/*
 * Asking upstream servers: two at once, those with the fewest failures of late, and the first
 * answer that is one counts. 5 s each, 10 s in all. Over the transport that the question came by.
 * Each question has a socket and an id of its own.
 */

#include "io/stream.h"
#include "net/cache.h"
#include "net/resolve.h"

enum { FORWARD_PENDING_MAX = 1024, FORWARD_PARALLEL = 2, UPSTREAM_FAILURES_MAX = 1000 };

struct upstream {
    struct address ip;
    uint16_t port;
    char text[ADDRESS_TEXT];
    unsigned failures; /* halved with each answer */
    uint64_t requests, timeouts;
    int64_t total_us;
};

struct forwarder;
/* reply NULL: nobody answered. Called once, never from inside forwarder_ask. */
typedef void (*forward_cb)(const void *reply, size_t n, void *userdata);

struct forwarder *forwarder_new(struct loop *l);
/* Pending questions are dropped; their callbacks are called with NULL. */
void forwarder_free(struct forwarder *f);
/* The query is copied. -EBUSY when too many are under way: the callback is not called then. */
int forwarder_ask(struct forwarder *f, struct forward_zone *zone, bool tcp, const void *query,
    size_t n, const struct dns_query *q, forward_cb cb, void *userdata);
struct cache *forwarder_cache(struct forwarder *f);

/* "ip[:port]", "[ip6]:port"; port 53 when there is none. NULL when it is neither. */
struct upstream *upstream_new(struct str text);

#endif
