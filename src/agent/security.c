#include "agent/security.h"

#include <errno.h>

#include "agent/agent.h"
#include "agent/sandbox.h"
#include "agent/view.h"
#include "base/alloc.h"
#include "base/log.h"

size_t agent_security_flags(struct agent_security_settings *s, struct flag *out)
{
    size_t n = gate_flags(&s->gate, "http_credentials", out);
    const struct flag flags[AGENT_SECURITY_FLAGS - GATE_FLAGS] = {
        {"credential", FLAG_STRING, &s->credential, NULL, "PATH",
            "name and secret to show to the master: JSON, or \"principal secret\"; in place of the "
            "token of --service_account"},
        {"credential_token", FLAG_STRING, &s->credential_token, NULL, "PATH",
            "bearer token to show to the master instead; read anew for each connection"},
        {"authenticate_http_executors", FLAG_BOOL, &s->authenticate_executors, "false", NULL,
            "executors must show the token they were started with; needs --jwt_secret_key"},
    };
    memcpy(out + n, flags, sizeof(flags));
    return n + ARRAY_SIZE(flags);
}

static int open_executors(struct agent_security *x, struct error *err)
{
    if (!x->gate.jwt_secret.n)
        return error_set(err, -EINVAL, "--authenticate_http_executors needs --jwt_secret_key");
    x->executor_keys = jwt_keys_new();
    int r = jwt_keys_add_secret(x->executor_keys, x->gate.jwt_secret.p, x->gate.jwt_secret.n, err);
    const struct authenticator_options options = {.names = "jwt", .keys = x->executor_keys};
    return r < 0 ? r : authenticator_new(&options, &x->executors, err);
}

int agent_security_open(struct agent_security *x, const struct agent_security_settings *s,
    struct loop *loop, struct error *err)
{
    bool exposed = false;
    int r = gate_open(&x->gate, &s->gate, loop, "dcos-agent", "/slave(1)", "agent", err);
    if (r == 0 && (s->credential || s->credential_token))
        r = login_new(s->credential, s->credential_token, &x->own, &exposed, err);
    x->login = x->own ? x->own : x->gate.service;
    if (r == 0 && s->authenticate_executors)
        r = open_executors(x, err);
    if (r == 0 && exposed)
        buf_puts(&x->gate.warnings, "the credential can be read by everybody\n");
    if (r < 0)
        agent_security_close(x);
    return r;
}

void agent_security_close(struct agent_security *x)
{
    authenticator_free(x->executors);
    jwt_keys_free(x->executor_keys);
    login_free(x->own);
    gate_close(&x->gate);
    *x = (struct agent_security){0};
}

/* ---- executors ---- */

void agent_executor_token(const struct agent_security *x, const char *framework_id,
    const char *executor_id, const char *container_id, struct buf *out)
{
    if (!x->executors)
        return;
    _cleanup_buf_ struct buf claims = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &claims);
    jw_begin_object(&w);
    jw_field_string(&w, "cid", container_id);
    jw_field_string(&w, "eid", executor_id);
    jw_field_string(&w, "fid", framework_id);
    jw_end_object(&w);
    jwt_make_hs256(x->gate.jwt_secret.p, x->gate.jwt_secret.n, buf_str(&claims), out);
}

bool agent_is_executor(
    const struct agent_security *x, const struct auth_subject *who, const struct agent_executor *e)
{
    if (!x->executors)
        return true;
    const char *fid = auth_claim_get(who, "fid"), *eid = auth_claim_get(who, "eid"),
               *cid = auth_claim_get(who, "cid");
    return fid && eid && cid && streq(fid, e->framework->id) && streq(eid, e->id) &&
           streq(cid, e->container_id);
}

/* ---- what callers may and see ---- */

static bool permits(
    struct agent *a, const struct http_request *req, enum auth_action action, const char *object)
{
    static const struct auth_subject nobody = {0};
    return authorizer_permits(
        a->security.gate.authorizer, req->subject ? req->subject : &nobody, action, object);
}

bool agent_may(
    struct agent *a, struct http_request *req, enum auth_action action, const char *object)
{
    if (permits(a, req, action, object))
        return true;
    http_respond_text(req, 403, "403 Forbidden.");
    return false;
}

static const char *executor_user(const struct agent_executor *e, struct arena *arena)
{
    const Mesos__V1__ExecutorInfo *info = view_executor_info(e, arena);
    return info && info->command && info->command->user ? info->command->user : e->framework->user;
}

static bool permits_executor(struct agent *a, const struct http_request *req,
    enum auth_action action, const struct agent_executor *e)
{
    if (!a->security.gate.authorizer)
        return true;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    return permits(a, req, action, executor_user(e, &arena));
}

bool agent_sees_framework(
    struct agent *a, const struct http_request *req, const struct agent_framework *f)
{
    return permits(a, req, AUTH_VIEW_FRAMEWORK, f->user);
}

bool agent_sees_executor(
    struct agent *a, const struct http_request *req, const struct agent_executor *e)
{
    return agent_sees_framework(a, req, e->framework) &&
           permits_executor(a, req, AUTH_VIEW_EXECUTOR, e);
}

bool agent_sees_task(struct agent *a, const struct http_request *req, const struct agent_task *t)
{
    if (!a->security.gate.authorizer)
        return true;
    if (!agent_sees_framework(a, req, t->framework))
        return false;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    const Mesos__V1__Task *task = view_task(t, &arena);
    return permits(a, req, AUTH_VIEW_TASK, task && task->user ? task->user : t->framework->user);
}

bool agent_sees_container(
    struct agent *a, const struct http_request *req, const struct agent_executor *e)
{
    return permits_executor(a, req, AUTH_VIEW_CONTAINER, e);
}

bool agent_sees_flags(struct agent *a, const struct http_request *req)
{
    return permits(a, req, AUTH_VIEW_FLAGS, NULL);
}

bool agent_sees_role(struct agent *a, const struct http_request *req, const char *role)
{
    return permits(a, req, AUTH_VIEW_ROLE, role);
}

/* ---- sandboxes ---- */

static const struct agent_executor *completed_executor(
    const struct agent_framework *f, const char *id)
{
    LIST_FOREACH (e, &f->completed, struct agent_executor, node)
        if (streq(e->id, id))
            return e;
    return NULL;
}

static const struct agent_framework *find_framework(struct agent *a, const char *id)
{
    const struct agent_framework *f = map_get(&a->core->frameworks, id);
    if (f)
        return f;
    LIST_FOREACH (gone, &a->core->completed_frameworks, struct agent_framework, node)
        if (streq(gone->id, id))
            return gone;
    return NULL;
}

bool agent_sees_files(struct agent *a, const struct http_request *req, struct str path)
{
    struct str framework, executor;
    if (str_eq_c(path, "/slave/log"))
        return permits(a, req, AUTH_ACCESS_MESOS_LOG, NULL);
    if (!a->security.gate.authorizer || !sandbox_owner(a->work_dir, path, &framework, &executor))
        return true; /* nothing of ours: it is not found either */
    _cleanup_free_ char *framework_id = str_dup(framework);
    _cleanup_free_ char *executor_id = str_dup(executor);
    const struct agent_framework *f = find_framework(a, framework_id);
    const struct agent_executor *e = f ? map_get(&f->executors, executor_id) : NULL;
    if (f && !e)
        e = completed_executor(f, executor_id);
    if (e)
        return permits_executor(a, req, AUTH_ACCESS_SANDBOX, e);
    /* Left behind by what nobody remembers: only for those who may see everything. */
    return authorizer_permits_all(a->security.gate.authorizer, req->subject, AUTH_ACCESS_SANDBOX);
}
