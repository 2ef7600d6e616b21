#ifndef DCOS_NET_SHELL_H
#define DCOS_NET_SHELL_H

/* dcos-net: what its parts share. */

#include "http/server.h"
#include "io/process.h"
#include "net/events.h"
#include "net/nft.h"
#include "net/server.h"

struct net {
    struct loop *loop;
    struct net_core *core;
    struct resolver resolver;
    struct forwarder *forwarder;
    struct dns_server *dns;
    struct events *events;
    struct http_server *http, *mesos_http; /* 62080, 8123 */
    struct vips *vips;
    struct nft *nft;        /* or NULL: --no-vips */
    struct process *asking; /* for counters, or NULL */
    const char *hostname;
    const char *masters_shown; /* without passwords */
    const char *listen_text;
    uint16_t dns_port, mesos_http_port;
    int64_t start_us;
    char leader[300]; /* "host:port" */
    int64_t changed_us;
};

/* ---- http.c: 62080 ---- */
void net_http_handle(struct http_request *req, void *userdata);
/* ---- vip_http.c ---- */
void vip_http_list(struct http_request *req, void *userdata);
void vip_http_status(struct http_request *req, void *userdata);
void vip_metrics(const struct net *n, struct buf *out);
/* ---- mesos_http.c: 8123, as mesos-dns ---- */
void mesos_http_handle(struct http_request *req, void *userdata);

/* ---- lookup.c: what both ask for ---- */
/* Records of a name as the DNS has it, whatever form it was asked in; NULL when there are none.
 * The route tells how to write targets. */
const struct name *net_lookup(
    const struct net *n, struct str name, struct route *route, char text[NAME_TEXT_MAX]);
/* Lower case, without a dot at the end. */
struct str net_name_asked(struct str name, char text[NAME_TEXT_MAX]);
/* A target in the form of the route, NUL-terminated. */
void net_name_shown(const struct route *route, const char *name, char text[NAME_TEXT_MAX]);

#endif
