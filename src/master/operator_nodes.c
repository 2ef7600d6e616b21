#include <errno.h>

#include "base/log.h"
#include "master/shell.h"

/* DRAIN_AGENT, DEACTIVATE_AGENT, REACTIVATE_AGENT, MARK_AGENT_GONE. */

enum { NANOS = 1000000000 };

static const char *text_of(const Mesos__V1__AgentID *id)
{
    return id->value ? id->value : "";
}

/* `unknown`: the status for -ENOENT. */
static void finish(struct operator_call *c, int r, int unknown, const char *what, const char *id,
    uint64_t before, const struct error *err)
{
    if (r < 0) {
        http_respond_text(c->req, r == -ENOENT ? unknown : 400, "%s", err->msg);
        return;
    }
    log_info("%s by an operator agent=%s", what, id);
    operator_done(c, before, 200);
}

/* Nanoseconds, -1 when it is not given. */
static int grace_of(
    const Mesos__V1__Master__Call__DrainAgent *drain, int64_t *ret_ns, struct error *err)
{
    *ret_ns = -1;
    const Google__Protobuf__Duration *d = drain->max_grace_period;
    if (!d)
        return 0;
    int64_t ns;
    if (d->seconds < 0 || d->nanos < 0 || d->nanos >= NANOS ||
        __builtin_mul_overflow(d->seconds, (int64_t)NANOS, &ns) ||
        __builtin_add_overflow(ns, (int64_t)d->nanos, &ns))
        return error_set(err, -EINVAL, "'drain_agent.max_grace_period' is negative or too long");
    *ret_ns = ns;
    return 0;
}

void operator_drain_agent(struct operator_call *c)
{
    struct shell *s = c->s;
    const Mesos__V1__Master__Call__DrainAgent *drain = c->call->drain_agent;
    struct error err = ERROR_INIT;
    int64_t grace_ns;
    if (grace_of(drain, &grace_ns, &err) < 0) {
        http_respond_text(c->req, 400, "Failed to validate master::Call: %s", err.msg);
        return;
    }
    if (!operator_may(c, AUTH_DRAIN_AGENT, NULL) ||
        (drain->mark_gone && !operator_may(c, AUTH_MARK_AGENT_GONE, NULL)))
        return;
    const char *id = text_of(drain->agent_id);
    uint64_t before = master_core_last_mutation(s->core);
    int r = master_core_drain_agent(s->core, id, grace_ns, drain->mark_gone, shell_now(s), &err);
    finish(c, r, 400, "agent drains", id, before, &err);
}

void operator_deactivate_agent(struct operator_call *c)
{
    struct shell *s = c->s;
    struct error err = ERROR_INIT;
    if (!operator_may(c, AUTH_DEACTIVATE_AGENT, NULL))
        return;
    const char *id = text_of(c->call->deactivate_agent->agent_id);
    uint64_t before = master_core_last_mutation(s->core);
    int r = master_core_deactivate_agent(s->core, id, shell_now(s), &err);
    finish(c, r, 400, "agent deactivated", id, before, &err);
}

void operator_reactivate_agent(struct operator_call *c)
{
    struct shell *s = c->s;
    struct error err = ERROR_INIT;
    if (!operator_may(c, AUTH_REACTIVATE_AGENT, NULL))
        return;
    const char *id = text_of(c->call->reactivate_agent->agent_id);
    uint64_t before = master_core_last_mutation(s->core);
    int r = master_core_reactivate_agent(s->core, id, shell_now(s), &err);
    finish(c, r, 400, "agent reactivated", id, before, &err);
}

void operator_mark_agent_gone(struct operator_call *c)
{
    struct shell *s = c->s;
    struct error err = ERROR_INIT;
    if (!operator_may(c, AUTH_MARK_AGENT_GONE, NULL))
        return;
    const char *id = text_of(c->call->mark_agent_gone->agent_id);
    uint64_t before = master_core_last_mutation(s->core);
    int r = master_core_mark_agent_gone(s->core, id, shell_now(s), &err);
    finish(c, r, 404, "agent marked gone", id, before, &err);
}
