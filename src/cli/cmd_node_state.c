/* dcos node drain|deactivate|reactivate|decommission */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/duration.h"
#include "cli/mesos.h"

enum { DRAIN_POLL_MS = 1000, NS_PER_S = 1000 * 1000 * 1000 };

/* "could not deactivate agent 'x'", with the master's reason where it gives one. */
static int refuse(const struct reply *reply, const char *failure, const char *id, struct error *err)
{
    struct str why = str_trim(buf_str(&reply->body));
    if (reply->status == 404 && why.n == 0)
        return error_set(err, -ENOENT, "could not %s", failure);
    return error_set(err, reply->status == 404 ? -ENOENT : -EPROTO, "could not %s: " STR_FMT,
        failure, (int)MIN(why.n, (size_t)300), why.p ?: "");
}

static json_t *call_of(const char *type, const char *field, const char *id)
{
    json_t *call = json_object(), *body = json_object(), *agent = json_object();
    json_object_set_new(agent, "value", json_string(id));
    json_object_set_new(body, "agent_id", agent);
    json_object_set_new(call, "type", json_string(type));
    json_object_set_new(call, field, body);
    return call;
}

static int change(const struct invocation *inv, const char *type, const char *field,
    const char *failure_format, struct error *err)
{
    const char *id = inv->args[0];
    struct reply reply = {0};
    _cleanup_json_ json_t *call = call_of(type, field, id);
    _cleanup_buf_ struct buf failure = BUF_INIT;
    buf_printf(&failure, "%s agent '%s'", failure_format, id);
    if (streq(field, "mark_agent_gone"))
        buf_puts(&failure, " as gone");
    int r = mesos_call(cli_of(inv), call, &reply, err);
    if (r == 0 && reply.status / 100 != 2)
        r = refuse(&reply, buf_cstr(&failure), id, err);
    reply_done(&reply);
    return r;
}

static int run_deactivate(const struct invocation *inv, struct error *err)
{
    return change(inv, "DEACTIVATE_AGENT", "deactivate_agent", "deactivate", err);
}

static int run_reactivate(const struct invocation *inv, struct error *err)
{
    return change(inv, "REACTIVATE_AGENT", "reactivate_agent", "reactivate", err);
}

static int run_decommission(const struct invocation *inv, struct error *err)
{
    return change(inv, "MARK_AGENT_GONE", "mark_agent_gone", "mark", err);
}

/* 1 = drained (or gone, after a drain that decommissions), 0 = not yet. */
static int is_drained(struct cli *c, const char *id, bool goes, struct error *err)
{
    _cleanup_json_ json_t *call = json_object(), *json = NULL;
    struct reply reply = {0};
    json_object_set_new(call, "type", json_string("GET_AGENTS"));
    int r = mesos_call(c, call, &reply, err);
    if (r == 0 && reply.status != 200)
        r = error_set(err, -EPROTO, "HTTP %d error", reply.status);
    if (r == 0)
        r = cli_parse_reply("the Mesos master", &reply, &json, err);
    reply_done(&reply);
    if (r < 0)
        return r;
    const json_t *agents = json_at(json_at(json, "get_agents"), "agents");
    for (size_t i = 0; i < json_array_size(agents); i++) {
        const json_t *a = json_array_get(agents, i);
        if (streq(json_str_at(json_at(json_at(a, "agent_info"), "id"), "value", NULL), id))
            return streq(json_str_at(json_at(a, "drain_info"), "state", NULL), "DRAINED");
    }
    return goes ? 1 : error_set(err, -ENOENT, "agent '%s' not found", id);
}

static int wait_drained(struct cli *c, const char *id, bool goes, struct error *err)
{
    printf("Waiting for the agent to be drained...\n");
    fflush(stdout);
    for (;;) {
        int r = is_drained(c, id, goes, err);
        if (r != 0)
            return MIN(r, 0);
        requester_pause(c->http, DRAIN_POLL_MS * USEC_PER_MSEC);
    }
}

static int run_drain(const struct invocation *inv, struct error *err)
{
    struct cli *c = cli_of(inv);
    const char *id = inv->args[0], *grace = option_text(inv, "max-grace-period");
    bool goes = option_bool(inv, "decommission");
    struct reply reply = {0};
    _cleanup_json_ json_t *call = call_of("DRAIN_AGENT", "drain_agent", id);
    json_t *body = json_object_get(call, "drain_agent");
    if (grace) {
        int64_t ns = 0;
        int r = duration_flag_parse(grace, &ns, err);
        if (r < 0)
            return error_prefix(err, r, "--max-grace-period");
        json_t *period = json_object();
        json_object_set_new(period, "seconds", json_integer(ns / NS_PER_S));
        json_object_set_new(period, "nanos", json_integer(ns % NS_PER_S));
        json_object_set_new(body, "max_grace_period", period);
    }
    if (goes)
        json_object_set_new(body, "mark_gone", json_true());
    int r = mesos_call(c, call, &reply, err);
    if (r == 0 && reply.status / 100 != 2) {
        _cleanup_buf_ struct buf failure = BUF_INIT;
        buf_printf(&failure, "drain agent '%s'", id);
        r = refuse(&reply, buf_cstr(&failure), id, err);
    }
    reply_done(&reply);
    if (r == 0 && option_bool(inv, "wait"))
        r = wait_drained(c, id, goes, err);
    return r;
}

static const struct option_spec drain_options[] = {
    {"decommission", 0, OPTION_BOOL, "Mark the agent as gone once it is drained"},
    {"max-grace-period", 0, OPTION_STRING,
        "Longest time that tasks may take to end, such as 90s or 10m"},
    {"wait", 0, OPTION_BOOL, "Wait until the agent is drained"}};

#define ONE_NODE .arguments = "<mesos-id>", .min_args = 1, .max_args = 1

const struct command command_node_deactivate = {.name = "deactivate",
    .summary = "Deactivate a Mesos agent: it gets no new tasks",
    ONE_NODE,
    .run = run_deactivate};
const struct command command_node_reactivate = {
    .name = "reactivate", .summary = "Reactivate a Mesos agent", ONE_NODE, .run = run_reactivate};
const struct command command_node_decommission = {.name = "decommission",
    .summary = "Mark an agent as gone, for ever",
    ONE_NODE,
    .run = run_decommission};
const struct command command_node_drain = {.name = "drain",
    .summary = "Drain a node: its tasks end and start elsewhere",
    ONE_NODE,
    OPTIONS(drain_options),
    .run = run_drain};
