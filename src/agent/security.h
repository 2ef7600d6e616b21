#ifndef DCOS_AGENT_SECURITY_H
#define DCOS_AGENT_SECURITY_H

/* Who may call the agent and what they see, how it shows itself to the master, and the tokens of
 * executors. */

#include "auth/gate.h"
#include "auth/login.h"

struct agent;
struct agent_framework;
struct agent_executor;
struct agent_task;

struct agent_security_settings {
    struct gate_settings gate;
    const char *credential, *credential_token;
    bool authenticate_executors;
};
enum { AGENT_SECURITY_FLAGS = GATE_FLAGS + 3 };
size_t agent_security_flags(struct agent_security_settings *s, struct flag *out);

struct agent_security {
    struct gate gate;
    struct login *login;             /* towards the master: `own` or the gate's; NULL: none */
    struct login *own;               /* of --credential or --credential_token */
    struct authenticator *executors; /* NULL: executors show no token */
    struct jwt_keys *executor_keys;
};
int agent_security_open(struct agent_security *x, const struct agent_security_settings *s,
    struct loop *loop, struct error *err);
void agent_security_close(struct agent_security *x);

/* A token for the executor, appended. Nothing when executors show none. */
void agent_executor_token(const struct agent_security *x, const char *framework_id,
    const char *executor_id, const char *container_id, struct buf *out);
/* Whether the caller is that executor; yes when executors show no token. */
bool agent_is_executor(
    const struct agent_security *x, const struct auth_subject *who, const struct agent_executor *e);

/* 403 when the caller may not. */
bool agent_may(
    struct agent *a, struct http_request *req, enum auth_action action, const char *object);
/* What the caller of a request is shown. */
bool agent_sees_framework(
    struct agent *a, const struct http_request *req, const struct agent_framework *f);
bool agent_sees_executor(
    struct agent *a, const struct http_request *req, const struct agent_executor *e);
bool agent_sees_task(struct agent *a, const struct http_request *req, const struct agent_task *t);
bool agent_sees_container(
    struct agent *a, const struct http_request *req, const struct agent_executor *e);
bool agent_sees_flags(struct agent *a, const struct http_request *req);
bool agent_sees_role(struct agent *a, const struct http_request *req, const char *role);
/* Whether files under the path (as /files/ names it) may be read; what belongs to no sandbox may.
 */
bool agent_sees_files(struct agent *a, const struct http_request *req, struct str path);

#endif
