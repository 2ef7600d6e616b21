#ifndef DCOS_MINIDCOS_SECURE_H
#define DCOS_MINIDCOS_SECURE_H

/*
 * A cluster whose daemons speak TLS and ask who calls (minidcos create --secure).
 *
 *   <dir>/ca/          the authority: dcos-ca.crt for everybody, dcos-ca.key
 *   <dir>/tls/         a certificate and a key for each daemon
 *   <dir>/secrets/     0700: who may log in with what, and what they may do
 *       credentials    for the master: names and secrets of agents and Marathon
 *       agent.credential, marathon.secret
 *       token.key, token.pub, executor.key, operator.token
 *       acls.json
 *
 * Agents are "dcos_agent", Marathon "dcos_marathon"; who holds operator.token is "operator" and may
 * do everything. The settings of `dcos` get the token.
 */

#include "minidcos/cluster.h"

struct tls_context;

/* The flags of one daemon; no files are needed yet. */
void secure_flags(const struct cluster *c, struct daemon *d);
/* Makes the files, once the cluster's folder is there. */
int secure_create(const struct cluster *c, struct error *err);
/* For talking to the cluster: a context, and the token (to be freed). Both NULL for a plain one. */
int secure_client(
    const struct cluster *c, struct tls_context **ret_tls, char **ret_token, struct error *err);

#endif
