#ifndef DCOS_NET_NAMES_H
#define DCOS_NET_NAMES_H

/*
 * The records that this node knows, by name. Several tasks may give the same record: each counts,
 * and it goes with the last of them. Iteration follows the order in which names came.
 */

#include <netinet/in.h>

#include "base/map.h"
#include "base/vec.h"
#include "net/packet.h"

struct address {
    uint8_t bytes[16];
    bool v6;
};
enum { ADDRESS_TEXT = INET6_ADDRSTRLEN };
int address_parse(const char *text, struct address *ret); /* -EINVAL */
void address_text(const struct address *a, char ret[ADDRESS_TEXT]);
bool address_eq(const struct address *a, const struct address *b);
/* IPv4 before IPv6, then by number. As strcmp. */
int address_cmp(const struct address *a, const struct address *b);

struct record {
    uint16_t type; /* DNS_A, DNS_AAAA, DNS_SRV or DNS_CNAME */
    uint16_t port; /* SRV */
    uint32_t refs;
    union {
        uint8_t ip[16];
        char *target; /* SRV, CNAME: a name as names are written */
    };
};

struct name {
    VEC(struct record) records;
    char text[];
};

struct names {
    struct map map; /* text -> struct name */
    size_t n_records;
    uint64_t version; /* grows with each change */
};

void names_done(struct names *n);
/* NULL when the text cannot be a name, and nothing is added. */
const struct name *names_add_ip(struct names *n, struct str name, const struct address *ip);
/* *ret_target: the target as the record holds it. */
const struct name *names_add_target(struct names *n, struct str name, uint16_t type,
    struct str target, uint16_t port, const char **ret_target);
void names_drop_ip(struct names *n, struct str name, const struct address *ip);
void names_drop_target(
    struct names *n, struct str name, uint16_t type, struct str target, uint16_t port);
const struct name *names_get(const struct names *n, struct str name);

/* What somebody gave, so that it can be taken back. */
struct given {
    const char *name;   /* that of the node, which lives as long as its records */
    const char *target; /* the record's own; NULL: an address */
    struct address ip;
    uint16_t type, port;
};
struct gifts {
    VEC(struct given) items;
};
void gifts_ip(struct gifts *g, struct names *n, struct str name, const struct address *ip);
void gifts_target(struct gifts *g, struct names *n, struct str name, uint16_t type,
    struct str target, uint16_t port);
/* Takes everything back; empty afterwards. */
void gifts_clear(struct gifts *g, struct names *n);

#endif
