#ifndef DCOS_MINIDCOS_SECURE_H
#define DCOS_MINIDCOS_SECURE_H

/*
 * A cluster whose daemons speak TLS and ask who calls (minidcos create --secure).
 *
 *   <dir>/ca/          the authority: dcos-ca.crt for everybody, dcos-ca.key
 *   <dir>/tls/         a certificate and a key for each daemon
 *   <dir>/secrets/     0700: who may log in with what
 *       executor.key   agents sign the tokens of their executors with it
 *
 * With a front door the identity service decides (--security_mode=strict). Each kind of daemon has
 * a service account, that logs in with its key and may do what it needs and no more:
 *       <account>.json     dcos_master, dcos_agent, dcos_marathon, dcos_router, dcos_net
 *       operator.json      a superuser, for this program and the settings of `dcos`
 *       accounts.json      what the identity service makes at its first start
 *
 * Without one (--no-front-door) files decide:
 *       credentials        for the master: names and secrets of agents and Marathon
 *       agent.credential, marathon.secret
 *       token.key, token.pub, operator.token
 *       acls.json
 * Agents are "dcos_agent", Marathon "dcos_marathon"; who holds operator.token is "operator" and may
 * do everything.
 */

#include "minidcos/cluster.h"

struct tls_context;
struct requester;

/* Whether the identity service decides. */
bool secure_by_iam(const struct cluster *c);
/* The flags of one daemon, once ports are known; no files are needed yet. */
void secure_flags(const struct cluster *c, struct daemon *d);
/* Makes the files, once the cluster's folder is there. */
int secure_create(const struct cluster *c, struct error *err);
/* For talking to the cluster; NULL for a plain one. */
int secure_client(const struct cluster *c, struct tls_context **ret, struct error *err);
/* What to show; NULL for a plain cluster. -EAGAIN while the identity service does not answer. To be
 * wiped (rsa_wipe). */
int secure_token(const struct cluster *c, struct requester *http, char **ret, struct error *err);

/* ---- secure_accounts.c ---- */
/* Account of a daemon's kind, NULL: it has none. */
const char *account_of(enum daemon_kind kind);
int accounts_create(const struct cluster *c, struct error *err);
int accounts_log_in(const struct cluster *c, struct requester *http, char **ret, struct error *err);

#endif
