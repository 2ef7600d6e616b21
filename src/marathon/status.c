/* Task status updates and reconciliation. */

#include "base/clock.h"
#include "base/str.h"
#include "marathon/core_internal.h"
#include "marathon/path.h"

static const struct {
    const char *state;
    enum condition condition;
} states[] = {
    {"TASK_STAGING", CONDITION_STAGING},
    {"TASK_STARTING", CONDITION_STARTING},
    {"TASK_RUNNING", CONDITION_RUNNING},
    {"TASK_KILLING", CONDITION_KILLING},
    {"TASK_UNREACHABLE", CONDITION_UNREACHABLE},
    {"TASK_FINISHED", CONDITION_FINISHED},
    {"TASK_KILLED", CONDITION_KILLED},
    {"TASK_ERROR", CONDITION_ERROR},
    {"TASK_FAILED", CONDITION_FAILED},
    {"TASK_DROPPED", CONDITION_DROPPED},
    {"TASK_GONE", CONDITION_GONE},
    {"TASK_GONE_BY_OPERATOR", CONDITION_GONE},
    {"TASK_UNKNOWN", CONDITION_UNKNOWN},
};

static enum condition condition_of(const struct core_status *st)
{
    for (size_t i = 0; i < ARRAY_SIZE(states); i++)
        if (streq(states[i].state, st->state))
            return states[i].condition;
    /* TASK_LOST */
    if (has_prefix(st->message ? st->message : "", "Reconciliation: Task is unknown to the") ||
        streq(st->reason, "REASON_TASK_UNKNOWN"))
        return CONDITION_UNKNOWN;
    if (streq(st->reason, "REASON_RECONCILIATION") ||
        streq(st->reason, "REASON_SLAVE_DISCONNECTED") ||
        streq(st->reason, "REASON_AGENT_DISCONNECTED") ||
        streq(st->reason, "REASON_SLAVE_REMOVED") || streq(st->reason, "REASON_AGENT_REMOVED"))
        return CONDITION_UNREACHABLE;
    return CONDITION_GONE;
}

static void acknowledge(struct core *c, const struct core_status *st)
{
    if (!st->uuid || !st->agent_id)
        return;
    out_call(c,
        json_pack("{s:s,s:{s:{s:s},s:{s:s},s:s}}", "type", "ACKNOWLEDGE", "acknowledge", "agent_id",
            "value", st->agent_id, "task_id", "value", st->task_id, "uuid", st->uuid));
}

static void kill_task(struct core *c, const char *task_id, const char *agent_id)
{
    json_t *kill = json_pack("{s:{s:s}}", "task_id", "value", task_id);
    if (agent_id)
        json_object_set_new(kill, "agent_id", json_pack("{s:s}", "value", agent_id));
    out_call(c, json_pack("{s:s,s:o}", "type", "KILL", "kill", kill));
}

static void note_failure(struct core *c, struct instance *i, const struct core_status *st)
{
    static const char *const failures[] = {"TASK_FAILED", "TASK_ERROR", "TASK_LOST", "TASK_DROPPED",
        "TASK_GONE", "TASK_GONE_BY_OPERATOR", "TASK_UNKNOWN"};
    bool is_failure = false;
    for (size_t k = 0; k < ARRAY_SIZE(failures); k++)
        is_failure = is_failure || streq(failures[k], st->state);
    if (!is_failure)
        return;
    _cleanup_buf_ struct buf text = BUF_INIT, key = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &text);
    jw_begin_object(&w);
    jw_field_string(&w, "host", i->hostname ? i->hostname : "unknown");
    jw_key(&w, "message");
    const char *message = st->message ? st->message : "";
    jw_string_n(&w, message, strnlen(message, STATUS_MESSAGE_MAX));
    jw_field_string(&w, "state", st->state);
    jw_field_string(&w, "taskId", st->task_id);
    jw_field_i64(&w, "timestamp", c->now_us);
    jw_field_i64(&w, "version", i->app ? i->app->version_us : 0);
    if (i->agent_id)
        jw_field_string(&w, "slaveId", i->agent_id);
    jw_end_object(&w);
    free(i->spec->last_failure);
    i->spec->last_failure = xstrdup(text.p);
    buf_printf(&key, "failure/%s", i->spec->safe);
    out_put(c, key.p, &text);
}

static void unknown_instance(
    struct core *c, const struct core_status *st, const struct task_id *id, enum condition cond)
{
    if (condition_is_terminal(cond) || cond == CONDITION_UNREACHABLE) {
        _cleanup_free_ char *instance = str_dup(
            id->instance_id.n ? id->instance_id : str_of(st->task_id));
        _cleanup_buf_ struct buf app = BUF_INIT;
        buf_putc(&app, '/');
        for (size_t k = 0; k < id->safe_path.n; k++)
            buf_putc(&app, id->safe_path.p[k] == '_' ? '/' : id->safe_path.p[k]);
        event_unknown_instance(c, instance, app.p, cond);
    } else if (cond != CONDITION_KILLING) {
        kill_task(c, st->task_id, st->agent_id);
    }
}

/* True when the update tells something new about the instance's task. */
static bool take_details(
    struct core *c, struct instance *i, const struct core_status *st, enum condition cond)
{
    bool changed = i->condition != cond;
    if (st->ips && !(i->ips && json_equal(i->ips, st->ips))) {
        json_decref(i->ips);
        i->ips = json_deep_copy(st->ips);
        changed = true;
    }
    if (st->check_result && !(i->check_result && json_equal(i->check_result, st->check_result))) {
        json_decref(i->check_result);
        i->check_result = json_deep_copy(st->check_result);
        changed = true;
    }
    if (st->agent_id && !i->agent_id)
        i->agent_id = xstrdup(st->agent_id);
    if (st->healthy >= 0 && st->healthy != i->healthy) {
        i->healthy = st->healthy;
        changed = true;
    }
    return changed;
}

static void unreachable(struct core *c, struct instance *i)
{
    const struct app *a = i->app;
    if (!i->unreachable_us)
        i->unreachable_us = c->now_us;
    int64_t for_us = c->now_us - i->unreachable_us;
    bool was = i->condition == CONDITION_UNREACHABLE ||
               i->condition == CONDITION_UNREACHABLE_INACTIVE;
    if (a && !a->unreachable_disabled && for_us >= a->expunge_after_us) {
        event_instance(c, i);
        instance_expunge(c, i);
    } else if (i->goal == GOAL_DECOMMISSIONED) {
        instance_expunge(c, i);
    } else if (a && !a->unreachable_disabled && for_us >= a->inactive_after_us) {
        if (i->condition != CONDITION_UNREACHABLE_INACTIVE)
            instance_set_condition(c, i, CONDITION_UNREACHABLE_INACTIVE);
    } else if (!was) {
        instance_set_condition(c, i, CONDITION_UNREACHABLE);
    }
}

static void terminal(struct core *c, struct instance *i, enum condition cond, const char *reason)
{
    struct spec *s = i->spec;
    bool draining = streq(reason, "REASON_AGENT_DRAINING") ||
                    streq(reason, "REASON_SLAVE_DRAINING");
    if (cond == CONDITION_DROPPED || cond == CONDITION_ERROR || cond == CONDITION_FAILED ||
        cond == CONDITION_GONE || cond == CONDITION_FINISHED)
        queue_delay_increase(c, s, i->app);
    if (draining && (cond == CONDITION_KILLED || cond == CONDITION_GONE))
        s->delay_us = s->delay_until_us = 0;
    instance_set_condition(c, i, cond);
    /* With goal Running the same instance is launched again, under the next incarnation. */
    if (i->goal != GOAL_RUNNING || !i->app || !s->app)
        instance_expunge(c, i);
}

void core_status(struct core *c, const struct core_status *st, int64_t now_us)
{
    c->now_us = now_us;
    enum condition cond = condition_of(st);
    struct task_id id;
    c->count.updates[cond]++;
    if (task_id_parse(st->task_id, &id) < 0)
        id = (struct task_id){.safe_path = str_of(st->task_id)};
    struct instance *i = id.instance_id.n
                             ? map_get_n(&c->instances, id.instance_id.p, id.instance_id.n)
                             : NULL;
    if (!i) {
        unknown_instance(c, st, &id, cond);
    } else if (!streq(i->task_id, st->task_id)) {
        if (!condition_is_terminal(cond) && cond != CONDITION_KILLING &&
            cond != CONDITION_UNREACHABLE)
            kill_task(c, st->task_id, st->agent_id);
    } else if (condition_is_terminal(i->condition) || i->condition == CONDITION_SCHEDULED) {
        /* A task that ended never changes again; but what still runs of it must not. */
        if (!condition_is_terminal(cond) && cond != CONDITION_KILLING &&
            cond != CONDITION_UNREACHABLE)
            kill_task(c, st->task_id, st->agent_id);
    } else if (cond == CONDITION_UNREACHABLE) {
        if (i->condition != CONDITION_UNREACHABLE && i->condition != CONDITION_UNREACHABLE_INACTIVE)
            event_status(c, i, st);
        unreachable(c, i);
    } else if (take_details(c, i, st, cond)) {
        /* TASK_STAGING answers to reconciliation do not put a started task back. */
        if (cond == CONDITION_STAGING &&
            (i->condition == CONDITION_RUNNING || i->condition == CONDITION_STARTING))
            cond = i->condition;
        event_status(c, i, st);
        note_failure(c, i, st);
        i->unreachable_us = 0;
        bool goal_over = i->goal != GOAL_RUNNING && !condition_is_terminal(cond);
        if (condition_is_terminal(cond)) {
            terminal(c, i, cond, st->reason);
        } else {
            if (i->condition != cond)
                queue_delay_advance(c, i->spec, i->app);
            if (cond == CONDITION_RUNNING && i->condition != cond && st->healthy != 0)
                c->tokens = MIN(c->tokens + 1, c->options.launch_tokens);
            instance_set_condition(c, i, cond);
            if (st->healthy >= 0)
                health_from_task(c, i, st->healthy > 0);
            if (goal_over && !i->kill_wanted)
                instance_kill(c, i);
        }
    }
    acknowledge(c, st);
    core_settle(c);
}

/* ---- reconciliation ---- */

enum { RECONCILE_BATCH = 1000 };

static void reconcile(struct core *c)
{
    json_t *tasks = json_array();
    MAP_FOREACH (e, &c->instances) {
        const struct instance *i = e->value;
        if (!i->task_id || condition_is_terminal(i->condition) ||
            i->condition == CONDITION_SCHEDULED)
            continue;
        json_t *t = json_pack("{s:{s:s}}", "task_id", "value", i->task_id);
        if (i->agent_id)
            json_object_set_new(t, "agent_id", json_pack("{s:s}", "value", i->agent_id));
        json_array_append_new(tasks, t);
        if (json_array_size(tasks) == RECONCILE_BATCH) {
            out_call(
                c, json_pack("{s:s,s:{s:o}}", "type", "RECONCILE", "reconcile", "tasks", tasks));
            tasks = json_array();
        }
    }
    if (json_array_size(tasks) > 0)
        out_call(c, json_pack("{s:s,s:{s:o}}", "type", "RECONCILE", "reconcile", "tasks", tasks));
    else
        json_decref(tasks);
    out_call(c, json_pack("{s:s,s:{s:[]}}", "type", "RECONCILE", "reconcile", "tasks"));
}

static void on_reconcile(struct core *c, struct core_timer *t)
{
    if (c->subscribed)
        reconcile(c);
    timer_at(c, t, c->now_us + c->options.reconcile_interval_us, on_reconcile);
}

void core_subscribed(struct core *c, const char *framework_id, const char *master, int64_t now_us)
{
    c->now_us = now_us;
    bool again = c->framework_id != NULL;
    if (!streq(c->framework_id, framework_id)) {
        free(c->framework_id);
        c->framework_id = xstrdup(framework_id);
        struct buf value = BUF_INIT;
        buf_printf(&value, "{\"id\":\"%s\"}", framework_id);
        out_put(c, "framework", &value);
    }
    free(c->master);
    c->master = xstrdup(master ? master : "");
    c->subscribed = true;
    c->suppressed = false;
    c->last_revive_us = 0;
    timer_cancel(c, &c->revive_timer);
    /* A fresh subscription is offered everything: nothing has to be asked for. */
    c->revive_wanted = false;
    event_scheduler(c, again ? "scheduler_reregistered_event" : "scheduler_registered_event");
    MAP_FOREACH (e, &c->instances) {
        struct instance *i = e->value;
        if (i->kill_wanted || i->goal != GOAL_RUNNING)
            instance_kill(c, i);
    }
    timer_at(c, &c->reconcile_timer, now_us + c->options.reconcile_delay_us, on_reconcile);
    core_settle(c);
}

void core_disconnected(struct core *c, int64_t now_us)
{
    c->now_us = now_us;
    if (!c->subscribed)
        return;
    c->subscribed = false;
    timer_cancel(c, &c->revive_timer);
    event_scheduler(c, "scheduler_disconnected_event");
}
