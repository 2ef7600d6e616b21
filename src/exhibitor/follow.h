#ifndef DCOS_EXHIBITOR_FOLLOW_H
#define DCOS_EXHIBITOR_FOLLOW_H

/*
 * Nodes without a server of ZooKeeper learn where the servers are: of whoever answers at one URL,
 * in front of the masters, or of the servers known so far.
 */

#include "exhibitor/local.h"

struct follow_options {
    const char *url;    /* "http://lb.example:8181" */
    uint16_t port;      /* of the servers' daemons, 8181 */
    struct local local; /* where `servers` is written */
    int64_t poll_us;
};

/* {"servers": ["10.0.0.1", ...], "port": 2181} as "10.0.0.1:2181,...". -EAGAIN when there are none
 * yet, -EBADMSG. */
int follow_parse(const char *p, size_t n, struct buf *ret, struct error *err);
/* Does not return. */
_noreturn_ void follow_run(const struct follow_options *o);

#endif
