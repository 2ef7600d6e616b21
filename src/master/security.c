#include "master/security.h"

#include <errno.h>

size_t master_security_flags(struct master_security_settings *s, struct flag *out)
{
    size_t n = gate_flags(&s->gate, "credentials", out);
    const struct flag flags[MASTER_SECURITY_FLAGS - GATE_FLAGS] = {
        {"authenticate_http_frameworks", FLAG_BOOL, &s->authenticate_http_frameworks, "false", NULL,
            "frameworks must say who they are"},
        {"authenticate_frameworks", FLAG_BOOL, &s->authenticate_frameworks, "false", NULL,
            "the same: all frameworks use HTTP here"},
        {"http_framework_authenticators", FLAG_STRING, &s->framework_authenticators, NULL, "NAMES",
            "basic, jwt or both with a comma; default: as --http_authenticators"},
        {"authenticate_agents", FLAG_BOOL, &s->authenticate_agents, "false", NULL,
            "agents must say who they are"},
    };
    memcpy(out + n, flags, sizeof(flags));
    return n + ARRAY_SIZE(flags);
}

static int open_one(const struct master_security *x, const char *names, const char *flag,
    struct authenticator **ret, struct error *err)
{
    int r = gate_authenticator(&x->gate, names, ret, err);
    return r < 0 ? error_prefix(err, r, "%s", flag) : 0;
}

int master_security_open(struct master_security *x, const struct master_security_settings *s,
    struct loop *loop, struct error *err)
{
    int r = gate_open(&x->gate, &s->gate, loop, "dcos-master", "/master", "master", err);
    if (r < 0)
        return r;
    const char *names = s->gate.authenticators;
    if (x->gate.strict || s->authenticate_http_frameworks || s->authenticate_frameworks)
        r = open_one(x, s->framework_authenticators ? s->framework_authenticators : names,
            "--authenticate_http_frameworks", &x->frameworks, err);
    if (r == 0 && (x->gate.strict || s->authenticate_agents))
        r = open_one(x, names, "--authenticate_agents", &x->agents, err);
    if (r < 0)
        master_security_close(x);
    return r;
}

void master_security_close(struct master_security *x)
{
    authenticator_free(x->frameworks);
    authenticator_free(x->agents);
    gate_close(&x->gate);
    *x = (struct master_security){0};
}

static void note(struct master_security *x, struct http_request *req, struct str path, bool changes)
{
    gate_note(&x->gate, req,
        arena_printf(&req->arena, STR_FMT " " STR_FMT, STR_ARG(req->method_name), STR_ARG(path)),
        NULL, changes);
}

bool master_enter_framework(struct master_security *x, struct http_request *req)
{
    note(x, req, STR("/api/v1/scheduler"), false);
    return authenticate(x->frameworks, req, "mesos-master-scheduler") && gate_named(req);
}

bool master_enter_agent(struct master_security *x, struct http_request *req)
{
    static const char realm[] = "mesos-master-agent"; /* ours: upstream has no HTTP here */
    note(x, req, req->path, true);
    if (!authenticate(x->agents, req, realm) || !gate_named(req))
        return false;
    if (authorizer_permits(x->gate.authorizer, req->subject, AUTH_REGISTER_AGENT, NULL))
        return true;
    http_respond_text(req, 403, "403 Forbidden.");
    return false;
}

bool master_enter_operator(struct master_security *x, struct http_request *req, struct str path,
    enum gate_kind kind, bool claims_suffice)
{
    note(x, req, path, kind == GATE_WRITE && req->method != HTTP_GET && req->method != HTTP_HEAD);
    return gate_enter(&x->gate, req, kind,
               kind == GATE_READ ? "mesos-master-readonly" : "mesos-master-readwrite") &&
           (claims_suffice || gate_named(req));
}
