#ifndef DCOS_MINIDCOS_DOOR_H
#define DCOS_MINIDCOS_DOOR_H

/*
 * The cluster's front door: the identity service, names, and the router where they are built; and
 * the ZooKeeper of several masters.
 *
 *   <dir>/ca/                           the authority of the router's certificate
 *   <dir>/secrets/superuser.password    0600: the first user's, random
 *   <dir>/cluster-id                    a UUID
 *   <dir>/run/iam.sock                  the identity service for the router
 *
 * Everything listens on loopback only.
 */

#include "minidcos/plan.h"

extern const char SUPERUSER[];
enum { ZOOKEEPER_SESSION_S = 5 };

/* Adds the daemons whose programs are there. */
int door_plan(struct cluster *c, const struct plan_options *o, struct error *err);
/* The flags of one of them, once ports are known; `masters` as daemons take --master. */
void door_flags(struct cluster *c, struct daemon *d, const char *masters);
/* Makes the files. */
int door_create(const struct cluster *c, struct error *err);
/* Tells a person where the door is and how to get in. */
void door_print(struct cluster *c);

/* Whether somebody who logs in at the router gets through to the master. */
struct door_probe {
    struct tls_context *tls;
    struct requester *http;
    char *token;
};
bool door_serves(struct cluster *c, struct door_probe *p);
void door_probe_done(struct door_probe *p);

/* ---- zookeeper.c ---- */
int zookeeper_plan(struct cluster *c, struct error *err);
int zookeeper_create(const struct cluster *c, struct error *err);
bool zookeeper_serves(const struct daemon *d);
/* What others take as --master: "zk://..." of several masters, "host:port" of one; to be freed. */
char *zookeeper_masters(struct cluster *c);

#endif
