#ifndef DCOS_NET_SERVER_H
#define DCOS_NET_SERVER_H

/* The DNS server: UDP and TCP (RFC 7766: several questions on a connection, answers as they come).
 */

#include "net/forward.h"
#include "net/limit.h"

enum {
    SERVER_LISTEN_MAX = 32,       /* addresses */
    SERVER_CONNECTIONS_MAX = 512, /* TCP, per address */
    SERVER_TCP_PENDING_MAX = 64,  /* questions of one connection that are under way */
};

struct server_counts {
    uint64_t udp, tcp, answers, forwarded, cached, refused, malformed, limited, truncated;
};

struct dns_server;
struct dns_server *dns_server_new(struct loop *l, const struct resolver *r, struct forwarder *f);
void dns_server_free(struct dns_server *s);
/* UDP and TCP on one port; 0 picks one that is free in both. 0.0.0.0 and :: (which is both
 * families) answer from the address that was asked. */
int dns_server_listen(
    struct dns_server *s, const char *host, uint16_t port, uint16_t *ret_port, struct error *err);
/* Whose questions are forwarded and not limited in rate. */
void dns_server_trust(struct dns_server *s, const struct network *n);
const struct server_counts *dns_server_counts(const struct dns_server *s);

#endif
