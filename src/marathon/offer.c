/* Offers against the launch queue; launches are stored before the ACCEPT that starts them. */

#include "base/str.h"
#include "marathon/core_internal.h"
#include "marathon/match.h"

static void note_reject(
    struct core *c, struct spec *s, const struct offer *o, enum reject_reason reason)
{
    struct offer_stats *st = s->stats;
    if (!st)
        st = s->stats = xnew(struct offer_stats);
    st->processed++;
    if (reason == REJECT_NONE) {
        st->last_used_us = c->now_us;
    } else {
        st->unused++;
        st->last_unused_us = c->now_us;
        st->rejects[reason]++;
    }
    struct offer_seen *seen = map_get(&st->agents, o->agent_id);
    if (!seen && map_size(&st->agents) < OFFER_STATS_AGENTS_MAX) {
        seen = xnew(struct offer_seen);
        seen->agent_id = xstrdup(o->agent_id);
        map_put(&st->agents, seen->agent_id, seen);
    }
    if (seen)
        seen->reason = reason;
}

/* Where instances of the current configuration are. */
static size_t placed_at(const struct spec *s, const struct app *a, struct place *places,
    const struct place **refs, int32_t *ret_wanted)
{
    size_t n = 0;
    *ret_wanted = a->instances;
    MAP_FOREACH (e, &s->instances) {
        const struct instance *i = e->value;
        if (!i->app || i->app->version_us < a->config_us || !i->hostname ||
            instance_is_scheduled(i) || i->condition == CONDITION_SCHEDULED ||
            i->condition == CONDITION_GONE || i->condition == CONDITION_UNREACHABLE ||
            i->condition == CONDITION_UNKNOWN || i->condition == CONDITION_DROPPED)
            continue;
        if (n == 0)
            *ret_wanted = i->app->instances;
        places[n] = (struct place){i->hostname, i->region, i->zone, i->attributes};
        refs[n] = &places[n];
        n++;
    }
    return n;
}

static void set_text(char **at, const char *value)
{
    free(*at);
    *at = value ? xstrdup(value) : NULL;
}

static void provision(struct core *c, struct instance *i, const struct offer *o,
    struct match_result *m, json_t *tasks)
{
    i->incarnation++;
    free(i->task_id);
    i->task_id = xasprintf("%s._app.%d", i->id, i->incarnation);
    set_text(&i->agent_id, o->agent_id);
    set_text(&i->hostname, o->hostname);
    set_text(&i->region, o->region);
    set_text(&i->zone, o->zone);
    json_decref(i->attributes);
    i->attributes = json_deep_copy(o->attributes);
    free(i->ports);
    i->ports = TAKE_PTR(m->ports);
    i->n_ports = m->n_ports;
    i->staged_us = c->now_us;
    i->started_us = i->active_us = i->unreachable_us = 0;
    i->healthy = -1;
    i->ready = i->counted = i->kill_wanted = false;
    json_decref(i->ips);
    json_decref(i->check_result);
    json_decref(i->readiness);
    i->ips = i->check_result = i->readiness = NULL;
    json_array_append_new(tasks, task_info(c, i, o, TAKE_PTR(m->resources)));
    c->count.launched++;
    instance_set_condition(c, i, CONDITION_PROVISIONED);
}

static bool try_spec(struct core *c, struct spec *s, struct offer *o, json_t *tasks)
{
    struct instance *i = list_first(&s->scheduled, struct instance, scheduled);
    const struct app *a = i->app;
    struct match_input in = {.app = a,
        .role = i->role,
        .accepted = c->options.accepted,
        .wanted = a->instances,
        .rng = &c->rng};
    struct place *places = NULL;
    const struct place **refs = NULL;
    if (a->n_constraints > 0) {
        places = xnew_array(struct place, map_size(&s->instances) + 1);
        refs = xnew_array(const struct place *, map_size(&s->instances) + 1);
        in.n_placed = placed_at(s, a, places, refs, &in.wanted);
        in.placed = refs;
    }
    struct match_result m = {0};
    enum reject_reason reason = match_offer(&in, o, &m);
    free(places);
    free(refs);
    note_reject(c, s, o, reason);
    if (reason != REJECT_NONE)
        return false;
    provision(c, i, o, &m, tasks);
    match_result_done(&m);
    return true;
}

static void decline(struct core *c, const struct offer *o, double refuse_seconds)
{
    c->count.offers_declined++;
    out_call(c, json_pack("{s:s,s:{s:[{s:s}],s:{s:f}}}", "type", "DECLINE", "decline", "offer_ids",
                    "value", o->id, "filters", "refuse_seconds", refuse_seconds));
}

static void on_tokens(struct core *c, struct core_timer *t)
{
    c->tokens = c->options.launch_tokens;
    c->revive_wanted = !list_empty(&c->ready);
    queue_wake(c);
}

void core_offer(struct core *c, struct offer *o, int64_t now_us)
{
    c->now_us = now_us;
    c->count.offers_in++;
    c->offer_seq++;
    json_t *tasks = json_array();
    int32_t launched = 0;
    bool stopped = false;
    for (int tries = 0; tries < MATCH_ATTEMPTS_PER_OFFER; tries++) {
        struct spec *s = list_first(&c->ready, struct spec, ready);
        if (!s || s->tried_offer == c->offer_seq)
            break;
        stopped = launched >= c->options.max_instances_per_offer || c->tokens <= 0;
        if (stopped)
            break;
        /* To the end of the row first: launching may take it out. */
        list_remove(&s->ready);
        list_push(&c->ready, &s->ready);
        if (try_spec(c, s, o, tasks)) {
            launched++;
            c->tokens--;
        } else {
            s->tried_offer = c->offer_seq;
        }
    }
    if (c->tokens <= 0 && !heap_contains(&c->token_timer.node))
        timer_at(c, &c->token_timer, now_us + c->options.launch_token_interval_us, on_tokens);
    if (launched > 0) {
        c->count.offers_used++;
        c->count.op_launch++;
        out_call(
            c, json_pack("{s:s,s:{s:[{s:s}],s:[{s:s,s:{s:o}}],s:{s:f}}}", "type", "ACCEPT",
                   "accept", "offer_ids", "value", o->id, "operations", "type", "LAUNCH", "launch",
                   "task_infos", tasks, "filters", "refuse_seconds", stopped ? 0.0 : 5.0));
    } else {
        json_decref(tasks);
        decline(c, o, stopped ? 5.0 : (double)c->options.decline_us / 1e6);
    }
    core_settle(c);
}
