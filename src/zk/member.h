#ifndef DCOS_ZK_MEMBER_H
#define DCOS_ZK_MEMBER_H

/*
 * Leader election among the members of a folder, as in Mesos: each is an ephemeral sequential node
 * "<label>_NNNNNNNNNN", and the one with the lowest number leads. The data of a node says who its
 * owner is.
 *
 * Masters use the label "json.info" with MasterInfo as JSON. Nodes "info_NNNNNNNNNN" (MasterInfo in
 * protobuf) and "NNNNNNNNNN" of older masters count as candidates too. Everything else in the
 * folder, "log_replicas" above all, is passed over.
 */

#include "zk/session.h"

#define ZK_MASTER_LABEL "json.info"

struct zk_member {
    struct str label; /* part of the name */
    uint32_t sequence;
};

/* False when the name is none of a member with this label. */
bool zk_member_parse(const char *name, const char *label, struct zk_member *ret);
/* The name of the leader among names, or NULL; with `before`, of the last one ahead of it. */
const char *zk_member_leader(const struct zk_names *names, const char *label);
const char *zk_member_before(const struct zk_names *names, const char *label, const char *before);

/* Reads who leads the folder: its name into *ret_name (caller frees) and data. -ENOENT when nobody
 * does. With `watch`, changes of the folder and of the leader's node count as events. */
int zk_leader_read(struct zk_session *s, const char *folder, const char *label, bool watch,
    char **ret_name, struct buf *ret_data);

/* Joins the folder, which is created, and waits until this member leads. Sessions that end
 * meanwhile are replaced and the place in the queue is taken anew. Then the session is pinned, and
 * the path of our node is in *ret_node (caller frees). -ECANCELED by zk_session_cancel. While
 * another leads, on_leader (may be NULL) is told its data at each change, empty when nobody does,
 * on the calling thread. */
int zk_contend(struct zk_session *s, const char *folder, const char *label, const char *data,
    void (*on_leader)(struct str data, void *userdata), void *userdata, char **ret_node,
    struct error *err);

#endif
