#ifndef DCOS_MASTER_ELECTION_H
#define DCOS_MASTER_ELECTION_H

/*
 * Which master leads, and where the registry is, as the flags say: one master with SQLite, or
 * several on ZooKeeper.
 *
 * With --zk=zk://servers/path the masters contend as those of Mesos do, by nodes
 * <path>/json.info_NNNNNNNNNN with MasterInfo in JSON, so that every client of Mesos finds the
 * leader. The registry lives in <path>/log_replicas/dcos: "log_replicas", where Mesos masters keep
 * their replicated log, is the one child of the path that clients are known to pass over.
 */

#include "base/buf.h"
#include "base/error.h"
#include "io/loop.h"

struct shell;

struct election_options {
    const char *zk;       /* zk://…, file:///… or an absolute path of a file; NULL: none */
    const char *store;    /* another place for the registry; NULL: by zk or work_dir */
    const char *work_dir; /* may be NULL */
    int64_t session_timeout_us; /* of ZooKeeper */
    int64_t quorum;             /* taken because Mesos needs it; ZooKeeper knows its own */
};

struct election; /* s->election */

/* Opens the store (s->store) and, with ZooKeeper, starts to look for the leader. */
int election_open(struct shell *s, const struct election_options *o, struct error *err);
/* Stands for leadership once the address is known; cb as store_lead() has it. */
int election_stand(struct shell *s, void (*cb)(int status, uint64_t epoch, void *userdata));
/* "host:port" of the leader that is known; false when there is none. */
bool election_leader(struct shell *s, struct buf *ret);
void election_free(struct shell *s);

#endif
