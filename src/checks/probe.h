#ifndef DCOS_CHECKS_PROBE_H
#define DCOS_CHECKS_PROBE_H

/*
 * The checks themselves, one function each: what `dcos-checks NAME` of DC/OS looks at. Each gives
 * CHECK_OK, _WARNING, _CRITICAL or _UNKNOWN and says why in `out`, one line or a few.
 */

#include "base/buf.h"
#include "checks/runner.h"

struct probe {
    const char *role;      /* "master", "agent", or NULL where it was not said */
    const char *detect_ip; /* the script that prints this node's address */
    const char *node_ip;   /* instead of the script */
    const char *ca_file;   /* of the cluster, or NULL */
    bool tls;              /* speak TLS to daemons */
    const char *const *args;
    size_t n_args;
    /* options of single checks */
    const char *url, *scheme, *port, *exclude, *script, *folder, *address, *wants;
    struct buf *out;
};

int probe_executable(struct probe *p); /* args[0]: a program that must be in PATH */
int probe_ip(struct probe *p);         /* what the script prints is an address, within a second */
int probe_journald(struct probe *p);   /* folders of the journal can be read by its group */
int probe_time(struct probe *p);       /* the kernel says that the clock is synchronised */
/* Health of all units: as dcos-diagnostics tells, or, where nothing serves its port, as systemd
 * does for the units of dcos.target. */
int probe_components(struct probe *p);
int probe_mesos_metrics(struct probe *p); /* the master has recovered, the agent is registered */
int probe_version(struct probe *p);       /* at most two versions in the cluster */
/* The server on this node is part of a quorum (or alone, with one master). */
int probe_zookeeper(struct probe *p);

/* ---- shared ---- */

/* node_ip, else what the script prints. CHECK_OK, or a status with the reason in out. */
int probe_node_ip(struct probe *p, char ret[64]);
/* GET of a JSON document, following nothing, up to 64 MiB. 0, or -ECONNREFUSED when nobody listens,
 * or another negative errno. `tls` NULL = as the probe is set. Caller owns *ret. */
int probe_fetch(const struct probe *p, const char *host, uint16_t port, const bool *tls,
    const char *target, json_t **ret, struct error *err);
/* Whether systemd's properties of a unit say that it is well. Writes what is wrong to `why`. */
bool unit_is_healthy(const char *load, const char *active, const char *sub, struct buf *why);

#endif
