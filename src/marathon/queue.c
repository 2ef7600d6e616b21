/*
 * Who waits for a launch. A spec with waiting instances is either in core->ready, in the order in
 * which it is tried against offers, or backed off until its delay timer fires. Offers are asked
 * for (REVIVE) when a spec becomes ready and declined for good (SUPPRESS) when none is.
 */

#include "base/clock.h"
#include "base/str.h"
#include "marathon/core_internal.h"

static bool is_ready(const struct spec *s)
{
    return !list_empty(&s->ready);
}

static void on_delay_over(struct core *c, struct core_timer *t)
{
    queue_update(c, container_of(t, struct spec, delay_timer));
}

void queue_update(struct core *c, struct spec *s)
{
    bool delayed = s->delay_until_us > c->now_us;
    bool want = s->n_scheduled > 0 && !delayed;
    if (want && !is_ready(s)) {
        list_push(&c->ready, &s->ready);
        c->revive_wanted = true;
    } else if (!want && is_ready(s)) {
        list_remove(&s->ready);
    }
    if (s->n_scheduled > 0 && delayed)
        timer_at(c, &s->delay_timer, s->delay_until_us, on_delay_over);
    else
        timer_cancel(c, &s->delay_timer);
    if (s->n_scheduled == 0 && s->stats) {
        offer_stats_free(s->stats);
        s->stats = NULL;
    }
}

void queue_removed(struct core *c, struct spec *s)
{
    list_remove(&s->ready);
    timer_cancel(c, &s->delay_timer);
}

/* A delay belongs to one configuration, and dies when nothing failed for maxLaunchDelay. */
static void delay_refresh(struct core *c, struct spec *s, const struct app *a)
{
    if (s->delay_us == 0)
        return;
    if (s->delay_config_us != a->config_us ||
        c->now_us > s->delay_until_us + MAX(a->max_delay_us, s->delay_us))
        s->delay_us = s->delay_until_us = 0;
}

void queue_delay_increase(struct core *c, struct spec *s, const struct app *a)
{
    if (!a || (s->app && a->config_us < s->app->config_us))
        return;
    delay_refresh(c, s, a);
    double next = s->delay_us ? (double)s->delay_us * a->backoff_factor : (double)a->backoff_us;
    s->delay_us = next > (double)a->max_delay_us ? a->max_delay_us : (int64_t)next;
    s->delay_until_us = c->now_us + s->delay_us;
    s->delay_config_us = a->config_us;
    queue_update(c, s);
}

void queue_delay_advance(struct core *c, struct spec *s, const struct app *a)
{
    if (!a || s->delay_us == 0)
        return;
    delay_refresh(c, s, a);
    if (s->delay_us > 0)
        s->delay_until_us = c->now_us + s->delay_us;
    queue_update(c, s);
}

void core_reset_delay(struct core *c, struct spec *s, int64_t now_us)
{
    c->now_us = now_us;
    s->delay_us = s->delay_until_us = 0;
    queue_update(c, s);
    queue_wake(c);
}

static void on_revive(struct core *c, struct core_timer *t)
{
    queue_wake(c);
}

void queue_wake(struct core *c)
{
    if (!c->subscribed)
        return;
    if (list_empty(&c->ready)) {
        c->revive_wanted = false;
        if (!c->suppressed) {
            c->suppressed = true;
            c->count.suppress++;
            out_call(c, json_pack("{s:s,s:{}}", "type", "SUPPRESS", "suppress"));
        }
        return;
    }
    if (!c->revive_wanted || heap_contains(&c->revive_timer.node))
        return;
    int64_t at = c->last_revive_us + c->options.min_revive_us;
    if (c->last_revive_us && at > c->now_us) {
        timer_at(c, &c->revive_timer, at, on_revive);
        return;
    }
    c->revive_wanted = false;
    c->suppressed = false;
    c->last_revive_us = c->now_us;
    c->count.revive++;
    out_call(c, json_pack("{s:s,s:{}}", "type", "REVIVE", "revive"));
}

/* ---- roles ---- */

json_t *queue_framework_roles(const struct core *c)
{
    json_t *roles = json_array();
    MAP_FOREACH (e, &c->roles)
        json_array_append_new(roles, json_string(e->key));
    return roles;
}

void queue_role(struct core *c, const char *role)
{
    if (map_get(&c->roles, role))
        return;
    char *name = xstrdup(role);
    map_put(&c->roles, name, name);
    /* framework_info is filled in by the shell, which knows its other fields. */
    if (c->subscribed) {
        out_call(c, json_pack("{s:s,s:{}}", "type", "UPDATE_FRAMEWORK", "update_framework"));
        c->revive_wanted = true;
    }
}

void offer_stats_free(struct offer_stats *s)
{
    if (!s)
        return;
    MAP_FOREACH (e, &s->agents) {
        struct offer_seen *seen = e->value;
        free(seen->agent_id);
        free(seen);
    }
    map_done(&s->agents);
    free(s);
}
