#ifndef DCOS_NET_RESOLVE_H
#define DCOS_NET_RESOLVE_H

/*
 * A question to an answer, or to where it has to be forwarded. Deterministic and without memory of
 * its own.
 *
 * Names are routed by their last labels as dcos-net does it; those below .mesos are answered here
 * too, by the rules of mesos-dns: every node follows the master itself.
 */

#include "net/core.h"

enum { RESOLVE_FORWARDS_MAX = 64, RESOLVE_UPSTREAMS_MAX = 16 };

enum rotate { ROTATE_ROUND_ROBIN, ROTATE_NONE };

struct forward_zone {
    char *name; /* "": everything else */
    struct upstream *upstreams[RESOLVE_UPSTREAMS_MAX];
    size_t n_upstreams;
    uint64_t requests, failures;
};

struct resolver {
    const struct net_core *core;
    VEC(struct forward_zone *) zones; /* the one named "" last, or missing */
    const char *crypto_id;            /* <label>.<id>.dcos.directory; NULL: none */
    uint32_t mesos_ttl;
    enum rotate rotate;
};

enum resolved { RESOLVED_ANSWER, RESOLVED_FORWARD, RESOLVED_DROP };

/*
 * Answers into out (of cap bytes: the limit of the transport; UDP answers also keep to what the
 * question allows). `forwarding`: the sender may have us ask others. *ret_n is the answer's size;
 * for RESOLVED_FORWARD *ret_zone says where to. q is filled in either case but for DROP.
 */
enum resolved resolve(const struct resolver *r, const void *query, size_t n, bool udp,
    bool forwarding, struct dns_query *q, void *out, size_t cap, size_t *ret_n,
    const struct forward_zone **ret_zone);
/* An answer without records: SERVFAIL and the like. */
size_t resolve_refuse(
    const void *query, const struct dns_query *q, unsigned rcode, void *out, size_t cap);
/* An answer that only says that there is more over TCP. */
size_t resolve_truncated(const void *query, const struct dns_query *q, void *out, size_t cap);

/* How a name that was asked for is looked up: both end in the name of a zone. */
struct route {
    struct str outer, inner; /* suffix as asked, suffix in the records */
    bool mesos;              /* rules of mesos-dns */
    bool known;              /* false: no zone of ours */
    bool exists;             /* the zone has records: else REFUSED */
};
void resolve_route(const struct resolver *r, struct str name, struct route *ret);
/* The name of the records; appended. */
void resolve_inner(const struct route *route, struct str name, struct buf *out);

#endif
