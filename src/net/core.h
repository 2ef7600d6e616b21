#ifndef DCOS_NET_CORE_H
#define DCOS_NET_CORE_H

/*
 * What the master's event stream tells, as records. Deterministic: no I/O, no clock. Each event
 * changes the records of what it is about and nothing else, so a name is right as soon as its event
 * was read.
 *
 * Of a subscription the first event is a snapshot: what it does not have any more goes, the rest
 * stays without a gap. A master that has just begun to lead knows its agents from its store and
 * hears of their tasks when they come back: until an agent does, or is given up, what was known of
 * it stands. Its tasks are told before it (TASK_ADDED, then AGENT_ADDED), and what was not told by
 * then is gone.
 */

#include "base/error.h"
#include "net/names.h"
#include "wire/master.pb-c.h"

enum {
    NET_TASK_IPS_MAX = 16,    /* addresses of one task that count */
    NET_TASK_PORTS_MAX = 256, /* ports of one task that count */
};

enum ip_source { IP_HOST, IP_NETINFO };

struct net_config {
    enum ip_source ip_sources[2]; /* of task names below .mesos, first that has some wins */
    size_t n_ip_sources;
    bool strict;                /* RFC 952 names below .mesos */
    struct address node;        /* thisnode */
    VEC(struct address) public; /* public.thisnode */
    VEC(struct address) masters;
    VEC(struct address) zk;        /* zk-N.zk; none: the masters */
    VEC(struct address) listeners; /* ns1.mesos; IPv4 and IPv6 addresses that are listened on */
};

struct net_agent {
    char *id, *hostname;
    bool has_ip;
    struct address ip;
    uint16_t port;
    bool awaited; /* the master knows it, but has not heard of it yet */
    struct gifts gifts;
};

struct net_framework {
    char *id, *name;
    char *host; /* of the scheduler; may be no address */
    bool has_ip;
    struct address ip;
    struct gifts gifts;
};

struct net_port {
    uint16_t number;
    const char *name;     /* NULL: none */
    const char *protocol; /* as told; NULL: none */
    const char **vips;    /* values of VIP labels */
    size_t n_vips;
    bool host_scope; /* label network-scope: host */
};

struct net_mapping {
    uint16_t host, container;
    bool tcp, udp;
};

struct net_task {
    VEC(void *) owned; /* what does not change, and goes with it */
    const char *id, *name, *discovery, *framework_id, *agent_id;
    struct net_port *ports; /* of the discovery info */
    size_t n_ports;
    uint16_t *host_ports; /* allocated */
    size_t n_host_ports;
    const char **port_vips; /* VIP_PORT<n> labels: value, by index below */
    unsigned *port_vip_index;
    size_t n_port_vips;
    bool health_defined;

    Mesos__V1__TaskState state;
    bool has_healthy, healthy;
    struct address *ips;
    size_t n_ips;
    struct net_mapping *mappings;
    size_t n_mappings;
    bool has_agent_ip;
    struct address agent_ip; /* kept when the agent goes */
    struct gifts mesos, dcos;
    bool stale; /* not told since the last snapshot */
    void *vips; /* of vip.h */
};

struct net_core;

struct net_core *net_core_new(const struct net_config *config); /* takes over its vectors */
void net_core_free(struct net_core *c);
DEFINE_CLEANUP(struct net_core *, net_core_free)

/* Events of the operator API. What is malformed is left out. */
void net_core_event(struct net_core *c, const Mesos__V1__Master__Event *e);
/* The leading master; NULL: none is known, and the last one is kept. */
void net_core_leader(struct net_core *c, const struct address *ip, uint16_t port);
/* All masters, in place of those of the configuration; in order of their addresses, so that who
 * leads does not change master0.mesos and so on. */
void net_core_masters(struct net_core *c, const struct address *masters, size_t n);
/* Servers of ZooKeeper for zk-N.zk; none: the masters. */
void net_core_zk(struct net_core *c, const struct address *servers, size_t n);
/* Answer to a host name that net_core_unresolved() gave. */
void net_core_resolved(struct net_core *c, const char *host, const struct address *ip);
/* Host of a scheduler that is a name whose address is not known, or NULL. */
const char *net_core_unresolved(const struct net_core *c);
/* A CNAME below thisdcos.directory: -EINVAL when the zone is one of ours. */
int net_core_alias(struct net_core *c, const char *name, const char *target, struct error *err);

const struct names *net_core_names(const struct net_core *c);
struct names *net_core_names_rw(struct net_core *c); /* for vip.c */
const struct net_config *net_core_config(const struct net_core *c);
const struct map *net_core_tasks(const struct net_core *c);      /* "framework/task" -> net_task */
const struct map *net_core_frameworks(const struct net_core *c); /* id -> net_framework */
const struct map *net_core_agents(const struct net_core *c);     /* id -> net_agent */
const struct map *net_core_aliases(const struct net_core *c); /* zones of aliases; value unused */
bool net_core_loaded(const struct net_core *c);               /* a snapshot was read */
uint16_t net_core_leader_port(const struct net_core *c);
/* Called for each task whose state changed, before its memory goes (gone). */
void net_core_on_task(struct net_core *c,
    void (*fn)(void *userdata, struct net_task *t, const char *framework, bool gone),
    void *userdata);

/* Lets go of all tasks, as if each was gone. */
void net_core_forget(struct net_core *c);

/* ---- records.c: what a task is called ---- */
struct task_view {
    const struct net_config *config;
    const char *framework; /* its name */
    bool known_agent;
};
void task_records(struct net_task *t, const struct task_view *v, struct names *names);

/* ---- task.c ---- */
struct net_task *net_task_new(const Mesos__V1__Task *w); /* NULL when it lacks what it must have */
void net_task_free(struct net_task *t);
void net_task_status(struct net_task *t, const Mesos__V1__TaskStatus *s);

#endif
