#ifndef DCOS_MASTER_SECURITY_H
#define DCOS_MASTER_SECURITY_H

/* Who may call the master: operators by realm, frameworks, agents. */

#include "auth/gate.h"

struct master_security_settings {
    struct gate_settings gate;
    const char *framework_authenticators;
    bool authenticate_frameworks, authenticate_http_frameworks, authenticate_agents;
};
enum { MASTER_SECURITY_FLAGS = GATE_FLAGS + 4 };
size_t master_security_flags(struct master_security_settings *s, struct flag *out);

struct master_security {
    struct gate gate;
    struct authenticator *frameworks, *agents; /* NULL: everybody */
};
int master_security_open(struct master_security *x, const struct master_security_settings *s,
    struct loop *loop, struct error *err);
void master_security_close(struct master_security *x);

/* Before anything else of a request; false: it was answered. Operators' paths are without the
 * prefix "/master". */
bool master_enter_framework(struct master_security *x, struct http_request *req);
bool master_enter_agent(struct master_security *x, struct http_request *req);
bool master_enter_operator(struct master_security *x, struct http_request *req, struct str path,
    enum gate_kind kind, bool claims_suffice);

#endif
