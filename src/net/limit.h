#ifndef DCOS_NET_LIMIT_H
#define DCOS_NET_LIMIT_H

/*
 * Answers per second over UDP to networks that are not ours (/24, /56): a sender that fakes its
 * address cannot use us to flood somebody. Half of what is over the limit is answered as truncated,
 * so that who really asks goes on over TCP; the rest gets nothing.
 */

#include "net/names.h"

enum { LIMIT_SLOTS = 1024, LIMIT_ANSWERS_PER_SECOND = 100, LIMIT_NETWORKS_MAX = 64 };
enum limit_verdict { LIMIT_ANSWER, LIMIT_TRUNCATE, LIMIT_DROP };

struct network {
    struct address base;
    unsigned bits;
};
/* "10.0.0.0/8" or an address. -EINVAL. */
int network_parse(struct str text, struct network *ret);
bool network_has(const struct network *n, const struct address *a);

struct limit {
    struct {
        uint64_t key;
        int64_t from_us;
        uint32_t n;
    } slots[LIMIT_SLOTS];
};
enum limit_verdict limit_check(struct limit *l, const struct address *from, int64_t now_us);

#endif
