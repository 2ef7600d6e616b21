#include <string.h>

#include "base/alloc.h"
#include "base/parse.h"
#include "master/shell.h"
#include "master/state.h"
#include "wire/codec.h"

/*
 * /allocator/trace: why offers were made and not made. What the last cycles decided, newest first,
 * and, asked about one framework, how it stands with each agent now.
 */

enum { TRACE_ROWS = 100, TRACE_ROWS_MAX = 10000 };

struct question {
    const struct operator_call *c;
    const struct master_core *core;
    struct str framework, role, agent; /* absent: any */
    size_t limit;
};

static bool asks_for(struct str wanted, const char *have)
{
    return !wanted.p || (have && str_eq_c(wanted, have));
}

static void field_time(struct json_writer *w, const char *key, int64_t us)
{
    jw_field_double(w, key, (double)us / 1e6);
}

static void field_quantity(struct json_writer *w, const struct master_core *core, int quantity)
{
    if (quantity >= 0 && (size_t)quantity < core->n_quantities)
        jw_field_string(w, "resource", core->quantity_names[quantity]);
}

/* ---- what was decided ---- */

static bool entry_shown(const struct question *q, const struct trace_entry *e)
{
    /* What is said about all clients of a role, or about anybody, concerns each. */
    if (!asks_for(q->agent, e->agent->text) ||
        (e->framework && !asks_for(q->framework, e->framework->text)) ||
        (e->role && !asks_for(q->role, e->role->text)))
        return false;
    if (e->role && !view_role(&q->c->view, e->role->text))
        return false;
    if (!e->framework)
        return true;
    const struct framework *f = map_get(&q->core->frameworks, e->framework->text);
    return f ? view_framework(&q->c->view, f) : !q->c->s->authorizer;
}

static void write_amounts(struct json_writer *w, const struct trace_entry *e)
{
    static const char *const names[] = {"cpus", "mem", "disk", "gpus"};
    jw_key(w, "resources");
    jw_begin_object(w);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (e->amounts[i] == 0)
            continue;
        jw_key(w, names[i]);
        jw_milli(w, e->amounts[i]);
    }
    jw_end_object(w);
}

static void write_entry(
    struct json_writer *w, const struct master_core *core, const struct trace_entry *e)
{
    jw_begin_object(w);
    jw_field_i64(w, "cycle", (int64_t)e->cycle);
    jw_field_string(w, "agent_id", e->agent->text);
    if (e->role)
        jw_field_string(w, "role", e->role->text);
    if (e->framework)
        jw_field_string(w, "framework_id", e->framework->text);
    jw_field_string(w, "result", trace_result_name((enum trace_result)e->result));
    if (e->role)
        jw_field_string(w, "stage", e->stage == STAGE_GUARANTEES ? "GUARANTEES" : "FAIR_SHARE");
    if (e->result == TRACE_OFFERED)
        write_amounts(w, e);
    field_quantity(w, core, e->quantity);
    if (e->result == TRACE_FILTERED)
        field_time(w, "until", e->until_us);
    jw_end_object(w);
}

static void write_entries(struct json_writer *w, const struct question *q)
{
    const struct trace *t = &q->core->trace;
    size_t shown = 0;
    jw_key(w, "entries");
    jw_begin_array(w);
    for (size_t i = 1; i <= t->size && shown < q->limit; i++) {
        const struct trace_entry *e = &t->entries[(t->next + t->size - i) % t->size];
        if (!e->cycle)
            break;
        if (!entry_shown(q, e))
            continue;
        write_entry(w, q->core, e);
        shown++;
    }
    jw_end_array(w);
}

static void write_cycles(struct json_writer *w, const struct trace *t, uint64_t newest)
{
    jw_key(w, "cycles");
    jw_begin_array(w);
    for (uint64_t i = 0; i < TRACE_CYCLES && i < newest; i++) {
        const struct trace_cycle *c = &t->cycles[(newest - i) % TRACE_CYCLES];
        if (c->number != newest - i)
            break;
        jw_begin_object(w);
        jw_field_i64(w, "cycle", (int64_t)c->number);
        field_time(w, "time", c->at_us);
        jw_field_i64(w, "agents", c->agents);
        jw_field_i64(w, "offers", c->offers);
        jw_field_i64(w, "refusals", c->kept_back);
        jw_field_i64(w, "refusals_not_kept", c->unrecorded);
        jw_end_object(w);
    }
    jw_end_array(w);
}

/* ---- how a framework stands ---- */

static void write_standing(
    struct json_writer *w, const struct question *q, struct client *c, struct agent *a)
{
    int64_t until;
    int quantity;
    enum trace_result r = allocator_explain(q->c->s->core, c, a, &until, &quantity);
    jw_begin_object(w);
    jw_field_string(w, "agent_id", a->id->text);
    jw_field_string(w, "role", c->role->name);
    jw_field_string(w, "result", trace_result_name(r));
    field_quantity(w, q->core, quantity);
    if (r == TRACE_FILTERED)
        field_time(w, "until", until);
    jw_end_object(w);
}

static void write_counts(struct json_writer *w, const struct client *c)
{
    jw_begin_object(w);
    jw_field_string(w, "role", c->role->name);
    jw_field_i64(w, "cycle", (int64_t)c->cycle);
    jw_key(w, "results");
    jw_begin_object(w);
    for (size_t i = 0; c->results && i < TRACE_RESULTS; i++)
        if (c->results[i])
            jw_field_i64(w, trace_result_name((enum trace_result)i), c->results[i]);
    jw_end_object(w);
    jw_end_object(w);
}

static void write_framework(struct json_writer *w, const struct question *q, struct framework *f)
{
    jw_key(w, "clients");
    jw_begin_array(w);
    MAP_FOREACH (e, &f->clients)
        if (asks_for(q->role, e->key))
            write_counts(w, e->value);
    jw_end_array(w);
    size_t shown = 0;
    jw_key(w, "now");
    jw_begin_array(w);
    MAP_FOREACH (e, &f->clients) {
        struct client *c = e->value;
        if (!c->subscribed || !asks_for(q->role, e->key))
            continue;
        size_t pos = 0;
        for (struct map_entry *ae; shown < q->limit && (ae = map_next(&q->core->agents, &pos));) {
            struct agent *a = ae->value;
            if (!asks_for(q->agent, a->id->text))
                continue;
            write_standing(w, q, c, a);
            shown++;
        }
    }
    jw_end_array(w);
}

void write_allocator_trace(const struct operator_call *c, struct json_writer *w)
{
    uint64_t limit;
    struct str text = http_request_param(c->req, "limit");
    struct question q = {.c = c,
        .core = c->s->core,
        .framework = http_request_param(c->req, "framework_id"),
        .role = http_request_param(c->req, "role"),
        .agent = http_request_param(c->req, "agent_id"),
        .limit = TRACE_ROWS};
    if (text.p && parse_u64(text, &limit) == 0)
        q.limit = (size_t)MIN(limit, (uint64_t)TRACE_ROWS_MAX);
    struct framework *f = NULL;
    if (q.framework.p)
        f = map_get_n(&q.core->frameworks, q.framework.p, q.framework.n);
    jw_begin_object(w);
    jw_field_i64(w, "allocation_runs", (int64_t)q.core->stats.allocation_runs);
    jw_field_bool(w, "recovering", q.core->paused);
    write_cycles(w, &q.core->trace, q.core->stats.allocation_runs);
    write_entries(w, &q);
    if (f && view_framework(&c->view, f))
        write_framework(w, &q, f);
    jw_end_object(w);
}

/* ---- offer constraints ---- */

void write_offer_constraints_debug(const struct operator_call *c, struct json_writer *w)
{
    const struct master_core *core = c->s->core;
    jw_begin_object(w);
    jw_key(w, "frameworks");
    jw_begin_object(w);
    MAP_FOREACH (e, &core->frameworks) {
        const struct framework *f = e->value;
        if (!f->constraints || !view_framework(&c->view, f))
            continue;
        jw_key(w, f->id->text);
        wire_to_json(w, &f->constraints->base);
    }
    jw_end_object(w);
    jw_end_object(w);
}
