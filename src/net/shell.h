#ifndef DCOS_NET_SHELL_H
#define DCOS_NET_SHELL_H

/* dcos-net: what its parts share. */

#include "http/server.h"
#include "io/process.h"
#include "net/events.h"
#include "net/nft.h"
#include "net/server.h"
#include "net/spartan.h"

struct net_options {
    const char *master, *ip, *http_ip, *dns_listen, *masters, *public_ips, *upstreams,
        *forward_zones;
    const char *networks, *ip_sources, *aliases, *crypto_id, *hostname, *ready_file, *logging_level;
    const char *credential, *token_file, *ca_file, *service_account;
    bool strict, rotate, vips, spartan;
    uint16_t port, mesos_port;
    int64_t mesos_ttl_us;
};

struct net {
    struct loop *loop;
    struct net_core *core;
    struct resolver resolver;
    struct forwarder *forwarder;
    struct dns_server *dns;
    struct events *events;
    struct http_server *http, *mesos_http; /* 62080, 8123 */
    struct zk_detector *masters;           /* of a ZooKeeper of its own, or NULL */
    bool masters_of_events;                /* they are told by the one that finds the leader */
    const char *zk_file;                   /* names the servers of ZooKeeper, or NULL */
    struct timer zk_timer;                 /* looks at it */
    struct spartan spartan;
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

/* ---- configure.c ---- */
/* Makes core, virtual addresses, zones and aliases. */
int net_configure(struct net *n, const struct net_options *o, struct error *err);
/* Sets the node's addresses up where that is asked for, trusts the networks, and serves DNS. */
int net_listen(struct net *n, const struct net_options *o, struct error *err);

/* ---- masters.c ---- */
/* --masters into `c`: a list, a file with one, or a ZooKeeper, which gives the addresses of its
 * servers until it has told the masters. */
int net_masters_read(
    struct net *n, const struct net_options *o, struct net_config *c, struct error *err);
/* Begins to follow a ZooKeeper of its own. */
int net_masters_start(struct net *n, const struct net_options *o, struct error *err);
/* Begins to follow the file that names the servers of ZooKeeper, where there is one. */
void net_servers_start(struct net *n);
/* As the detector tells them; userdata is struct net. */
void net_masters_found(const struct zk_master *masters, size_t n, void *userdata);

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
/* The address of an A or AAAA record. */
void net_record_ip(const struct record *r, char text[ADDRESS_TEXT]);
/* The first address of this type that the target of a record has; false when it has none. */
bool net_target_ip(const struct net *n, const char *target, uint16_t type, char text[ADDRESS_TEXT]);
/* A target in the form of the route, NUL-terminated. */
void net_name_shown(const struct route *route, const char *name, char text[NAME_TEXT_MAX]);

#endif
