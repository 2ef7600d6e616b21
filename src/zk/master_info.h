#ifndef DCOS_ZK_MASTER_INFO_H
#define DCOS_ZK_MASTER_INFO_H

/*
 * What a master says of itself in its ZooKeeper node: MasterInfo, as JSON in nodes with the label
 * "json.info", in protobuf in those with the label "info". "address" counts more than "ip", "port"
 * and "hostname" on the top level; the number "ip" is an IPv4 address in network byte order, read
 * on a little-endian machine.
 */

#include "base/buf.h"
#include "base/error.h"

enum { ZK_MASTER_HOST_MAX = 256, ZK_MASTER_INFO_MAX = 64 * 1024 };

struct zk_master {
    char id[ZK_MASTER_HOST_MAX];
    char ip[ZK_MASTER_HOST_MAX];       /* may be empty */
    char hostname[ZK_MASTER_HOST_MAX]; /* may be empty */
    char pid[ZK_MASTER_HOST_MAX];      /* "master@ip:port"; may be empty */
    uint16_t port;
};

/* `version` of Mesos; ip is numeric. */
void zk_master_write(const struct zk_master *m, const char *version,
    const char *const capabilities[], struct buf *ret);
/* -EBADMSG when it is neither form or names no address. */
int zk_master_read(const char *p, size_t n, struct zk_master *ret, struct error *err);
/* Where to connect to: the ip, or the hostname when there is none. */
const char *zk_master_host(const struct zk_master *m);
/* Whether host and port, as somebody else wrote them, are this master's. */
bool zk_master_is(const struct zk_master *m, const char *host, uint16_t port);

#endif
