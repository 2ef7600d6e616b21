#include <errno.h>

#include "base/clock.h"
#include "base/str.h"
#include "marathon/core_internal.h"

static const struct {
    const char *name, *state;
    bool terminal, active;
} conditions[] = {
    [CONDITION_ERROR] = {"Error", "TASK_ERROR", true, false},
    [CONDITION_FAILED] = {"Failed", "TASK_FAILED", true, false},
    [CONDITION_GONE] = {"Gone", "TASK_GONE", true, false},
    [CONDITION_DROPPED] = {"Dropped", "TASK_DROPPED", true, false},
    [CONDITION_UNREACHABLE] = {"Unreachable", "TASK_UNREACHABLE", false, true},
    [CONDITION_KILLING] = {"Killing", "TASK_KILLING", false, true},
    [CONDITION_STARTING] = {"Starting", "TASK_STARTING", false, true},
    [CONDITION_STAGING] = {"Staging", "TASK_STAGING", false, true},
    [CONDITION_UNKNOWN] = {"Unknown", "TASK_UNKNOWN", true, false},
    [CONDITION_SCHEDULED] = {"Scheduled", "TASK_STAGING", false, false},
    [CONDITION_PROVISIONED] = {"Provisioned", "TASK_STAGING", false, true},
    [CONDITION_RUNNING] = {"Running", "TASK_RUNNING", false, true},
    [CONDITION_FINISHED] = {"Finished", "TASK_FINISHED", true, false},
    [CONDITION_KILLED] = {"Killed", "TASK_KILLED", true, false},
    [CONDITION_UNREACHABLE_INACTIVE] = {"UnreachableInactive", "TASK_UNREACHABLE", false, false},
};

const char *condition_name(enum condition c)
{
    return conditions[c].name;
}

const char *condition_task_state(enum condition c)
{
    return conditions[c].state;
}

bool condition_is_terminal(enum condition c)
{
    return conditions[c].terminal;
}

bool condition_is_active(enum condition c)
{
    return conditions[c].active;
}

bool instance_is_scheduled(const struct instance *i)
{
    return i->goal == GOAL_RUNNING &&
           (i->condition == CONDITION_SCHEDULED || condition_is_terminal(i->condition));
}

bool instance_is_gone(const struct instance *i)
{
    return condition_is_terminal(i->condition) || i->condition == CONDITION_UNREACHABLE ||
           i->condition == CONDITION_UNREACHABLE_INACTIVE ||
           (i->condition == CONDITION_SCHEDULED && i->goal != GOAL_RUNNING);
}

bool instance_counts(const struct instance *i)
{
    return i->goal == GOAL_RUNNING && i->condition != CONDITION_UNREACHABLE_INACTIVE;
}

bool instance_is_healthy(const struct instance *i)
{
    if (i->condition != CONDITION_RUNNING)
        return false;
    return !i->app || i->app->n_health == 0 || health_aggregate(i) == 1;
}

bool instance_is_ready(const struct instance *i)
{
    return i->condition == CONDITION_RUNNING && (!i->app || !i->app->readiness || i->ready);
}

/* A version 1 UUID: 100 ns since 1582 from the clock, clock sequence and node drawn at random. */
static void uuid_v1(struct core *c, char ret[UUID_TEXT_SIZE])
{
    uint8_t b[16];
    uint64_t t = (uint64_t)c->now_us * 10 + UINT64_C(0x01b21dd213814000);
    rng_bytes(&c->rng, b + 8, 8);
    for (int i = 0; i < 4; i++)
        b[i] = (uint8_t)(t >> (24 - 8 * i));
    b[4] = (uint8_t)(t >> 40);
    b[5] = (uint8_t)(t >> 32);
    b[6] = (uint8_t)(0x10 | ((t >> 56) & 0x0f));
    b[7] = (uint8_t)(t >> 48);
    b[8] = (uint8_t)(0x80 | (b[8] & 0x3f));
    b[10] |= 1; /* not a hardware address */
    uuid_format(b, ret);
}

static struct instance *instance_make(struct core *c, struct spec *s, char *id)
{
    struct instance *i = xnew(struct instance);
    i->id = id;
    i->spec = s;
    i->healthy = i->last_aggregate = -1;
    list_init(&i->scheduled);
    map_put(&s->instances, i->id, i);
    map_put(&c->instances, i->id, i);
    return i;
}

struct instance *instance_new(struct core *c, struct spec *s, struct app *a, const char *deployment)
{
    char uuid[UUID_TEXT_SIZE];
    uuid_v1(c, uuid);
    struct instance *i = instance_make(c, s, xasprintf("%s.instance-%s", s->safe, uuid));
    i->app = app_ref(a);
    i->role = xstrdup(a->role);
    i->condition = CONDITION_SCHEDULED;
    i->since_us = c->now_us;
    i->started_by = deployment ? xstrdup(deployment) : NULL;
    instance_store(c, i);
    event_instance(c, i);
    instance_requeue(c, i);
    spec_mark(c, s);
    return i;
}

void instance_free(struct core *c, struct instance *i)
{
    health_stop(c, i);
    timer_cancel(c, &i->timer);
    if (!list_empty(&i->scheduled)) {
        list_remove(&i->scheduled);
        i->spec->n_scheduled--;
    }
    map_remove(&i->spec->instances, i->id);
    map_remove(&c->instances, i->id);
    if (i->health && i->app)
        for (size_t k = 0; k < i->app->n_health; k++)
            free(i->health[k].cause);
    free(i->health);
    app_unref(i->app);
    json_decref(i->attributes);
    json_decref(i->ips);
    json_decref(i->check_result);
    json_decref(i->readiness);
    free(i->task_id);
    free(i->agent_id);
    free(i->hostname);
    free(i->region);
    free(i->zone);
    free(i->role);
    free(i->ports);
    free(i->started_by);
    free(i->id);
    free(i);
}

void instance_store(struct core *c, const struct instance *i)
{
    _cleanup_buf_ struct buf key = BUF_INIT, value = BUF_INIT;
    struct json_writer w;
    buf_printf(&key, "instance/%s", i->id);
    jw_init(&w, &value);
    jw_begin_object(&w);
    jw_field_string(&w, "id", i->id);
    jw_field_string(&w, "app", i->spec->id);
    jw_field_i64(&w, "version", i->app ? i->app->version_us : 0);
    jw_field_i64(&w, "goal", i->goal);
    jw_field_string(&w, "condition", condition_name(i->condition));
    jw_field_i64(&w, "since", i->since_us);
    jw_field_i64(&w, "incarnation", i->incarnation);
    jw_field_string(&w, "role", i->role);
    static const char *const names[] = {"task", "agent", "host", "region", "zone", "startedBy"};
    const char *const texts[] = {
        i->task_id, i->agent_id, i->hostname, i->region, i->zone, i->started_by};
    for (size_t k = 0; k < ARRAY_SIZE(names); k++)
        if (texts[k])
            jw_field_string(&w, names[k], texts[k]);
    static const char *const time_names[] = {"staged", "started", "active", "unreachable"};
    const int64_t times[] = {i->staged_us, i->started_us, i->active_us, i->unreachable_us};
    for (size_t k = 0; k < ARRAY_SIZE(times); k++)
        if (times[k])
            jw_field_i64(&w, time_names[k], times[k]);
    if (i->n_ports) {
        jw_key(&w, "ports");
        jw_begin_array(&w);
        for (size_t k = 0; k < i->n_ports; k++)
            jw_i64(&w, i->ports[k]);
        jw_end_array(&w);
    }
    if (i->attributes && json_array_size(i->attributes) > 0) {
        jw_key(&w, "attributes");
        jw_tree(&w, i->attributes);
    }
    if (i->ips) {
        jw_key(&w, "ips");
        jw_tree(&w, i->ips);
    }
    if (i->healthy >= 0)
        jw_field_bool(&w, "healthy", i->healthy > 0);
    if (i->ready)
        jw_field_bool(&w, "ready", true);
    jw_end_object(&w);
    out_put(c, key.p, &value);
}

static char *dup_at(const json_t *o, const char *key)
{
    const char *text = json_str_at(o, key, NULL);
    return text ? xstrdup(text) : NULL;
}

int instance_load(struct core *c, const json_t *r, struct error *err)
{
    const char *id = json_str_at(r, "id", NULL), *app = json_str_at(r, "app", NULL);
    const char *condition = json_str_at(r, "condition", "");
    if (!id || !app || app[0] != '/')
        return error_set(err, -EINVAL, "instance without id or app");
    struct spec *s = spec_get(c, app);
    struct instance *i = instance_make(c, s, xstrdup(id));
    int64_t version = json_i64_at(r, "version", 0);
    VEC_FOREACH (v, &s->versions)
        if ((*v)->version_us == version)
            i->app = app_ref(*v);
    i->goal = (enum goal)json_i64_at(r, "goal", GOAL_RUNNING);
    i->condition = CONDITION_SCHEDULED;
    for (size_t k = 0; k < ARRAY_SIZE(conditions); k++)
        if (streq(conditions[k].name, condition))
            i->condition = (enum condition)k;
    i->since_us = json_i64_at(r, "since", 0);
    i->incarnation = (int32_t)json_i64_at(r, "incarnation", 0);
    i->role = xstrdup(json_str_at(r, "role", "*"));
    i->task_id = dup_at(r, "task");
    i->agent_id = dup_at(r, "agent");
    i->hostname = dup_at(r, "host");
    i->region = dup_at(r, "region");
    i->zone = dup_at(r, "zone");
    i->started_by = dup_at(r, "startedBy");
    i->staged_us = json_i64_at(r, "staged", 0);
    i->started_us = json_i64_at(r, "started", 0);
    i->active_us = json_i64_at(r, "active", 0);
    i->unreachable_us = json_i64_at(r, "unreachable", 0);
    const json_t *ports = json_at(r, "ports");
    i->n_ports = json_array_size(ports);
    i->ports = xnew_array(uint16_t, i->n_ports + 1);
    for (size_t k = 0; k < i->n_ports; k++)
        i->ports[k] = (uint16_t)json_integer_value(json_array_get(ports, k));
    if (json_at(r, "attributes"))
        i->attributes = json_deep_copy(json_at(r, "attributes"));
    if (json_at(r, "ips"))
        i->ips = json_deep_copy(json_at(r, "ips"));
    if (json_at(r, "healthy"))
        i->healthy = json_bool_at(r, "healthy", false);
    i->ready = json_bool_at(r, "ready", false);
    return 0;
}

/* Keeps spec->scheduled in step with goal and condition. */
void instance_requeue(struct core *c, struct instance *i)
{
    struct spec *s = i->spec;
    bool in = !list_empty(&i->scheduled);
    bool want = instance_is_scheduled(i) && i->app;
    if (in == want)
        return;
    if (want) {
        if (s->n_scheduled++ == 0)
            s->waiting_since_us = c->now_us;
        list_push(&s->scheduled, &i->scheduled);
    } else {
        list_remove(&i->scheduled);
        s->n_scheduled--;
    }
    queue_update(c, s);
}

static void on_launch_timeout(struct core *c, struct core_timer *t)
{
    struct instance *i = container_of(t, struct instance, timer);
    instance_kill(c, i);
}

void instance_watch_launch(struct core *c, struct instance *i)
{
    if (i->kill_wanted)
        return;
    if (i->condition == CONDITION_PROVISIONED)
        timer_at(c, &i->timer, i->since_us + c->options.confirm_timeout_us, on_launch_timeout);
    else if (i->condition == CONDITION_STAGING || i->condition == CONDITION_STARTING)
        timer_at(c, &i->timer,
            (i->staged_us ? i->staged_us : i->since_us) + c->options.launch_timeout_us,
            on_launch_timeout);
    else
        timer_cancel(c, &i->timer);
}

void instance_set_condition(struct core *c, struct instance *i, enum condition condition)
{
    if (i->condition != condition) {
        i->condition = condition;
        i->since_us = c->now_us;
        if (condition == CONDITION_RUNNING) {
            i->started_us = i->started_us ? i->started_us : c->now_us;
            i->active_us = i->active_us ? i->active_us : c->now_us;
        }
        if (condition_is_terminal(condition))
            i->kill_wanted = false;
        event_instance(c, i);
    }
    instance_store(c, i);
    instance_watch_launch(c, i);
    instance_requeue(c, i);
    health_update(c, i);
    spec_mark(c, i->spec);
}

static void on_kill_retry(struct core *c, struct core_timer *t)
{
    struct instance *i = container_of(t, struct instance, timer);
    if (!condition_is_terminal(i->condition))
        instance_kill(c, i);
}

void instance_kill(struct core *c, struct instance *i)
{
    if (!i->task_id || condition_is_terminal(i->condition) || i->condition == CONDITION_SCHEDULED)
        return;
    i->kill_wanted = true;
    i->kill_sent_us = c->now_us;
    timer_at(c, &i->timer, c->now_us + c->options.kill_retry_us, on_kill_retry);
    if (!c->subscribed)
        return; /* the retry, or the next subscription, sends it */
    json_t *kill = json_pack("{s:{s:s}}", "task_id", "value", i->task_id);
    if (i->agent_id)
        json_object_set_new(kill, "agent_id", json_pack("{s:s}", "value", i->agent_id));
    if (i->app && i->app->kill_grace_us >= 0)
        json_object_set_new(kill, "kill_policy",
            json_pack("{s:{s:I}}", "grace_period", "nanoseconds",
                (json_int_t)(i->app->kill_grace_us * NSEC_PER_USEC)));
    out_call(c, json_pack("{s:s,s:o}", "type", "KILL", "kill", kill));
}

void instance_expunge(struct core *c, struct instance *i)
{
    _cleanup_free_ char *key = xasprintf("instance/%s", i->id);
    struct spec *s = i->spec;
    out_delete(c, key);
    instance_free(c, i);
    queue_update(c, s);
    spec_mark(c, s);
}

void instance_set_goal(struct core *c, struct instance *i, enum goal goal)
{
    if (i->goal == goal || i->goal == GOAL_DECOMMISSIONED)
        return;
    i->goal = goal;
    if (goal != GOAL_RUNNING &&
        (i->condition == CONDITION_SCHEDULED || condition_is_terminal(i->condition) ||
            i->condition == CONDITION_UNREACHABLE ||
            i->condition == CONDITION_UNREACHABLE_INACTIVE)) {
        /* Nothing runs that could confirm a kill. A task on an agent that comes back later is
         * unknown then, and killed for that. */
        instance_expunge(c, i);
        return;
    }
    instance_store(c, i);
    event_instance(c, i);
    instance_requeue(c, i);
    spec_mark(c, i->spec);
    if (goal != GOAL_RUNNING)
        instance_kill(c, i);
}

void core_kill_instance(struct core *c, struct instance *i, bool wipe, int64_t now_us)
{
    c->now_us = now_us;
    if (wipe) {
        instance_kill(c, i);
        instance_expunge(c, i);
    } else if (condition_is_active(i->condition)) {
        if (i->condition == CONDITION_UNREACHABLE)
            instance_set_goal(c, i, GOAL_DECOMMISSIONED);
        else
            instance_kill(c, i);
    } else if (i->condition == CONDITION_UNREACHABLE_INACTIVE) {
        instance_set_goal(c, i, GOAL_DECOMMISSIONED);
    }
    core_settle(c);
}

/* ---- which to take away ---- */

static int weight(const struct instance *i)
{
    switch (i->condition) {
    case CONDITION_SCHEDULED:
        return 0;
    case CONDITION_UNREACHABLE:
        return 1;
    case CONDITION_STAGING:
    case CONDITION_PROVISIONED:
        return 2;
    case CONDITION_STARTING:
        return 3;
    case CONDITION_RUNNING:
        return 4;
    default:
        return condition_is_terminal(i->condition) ? 0 : 5;
    }
}

static int64_t age_key(const struct instance *i)
{
    if (i->condition == CONDITION_STAGING)
        return i->staged_us;
    if (i->condition == CONDITION_STARTING)
        return i->since_us;
    return i->active_us;
}

struct candidate {
    struct instance *i;
    bool listed, healthy;
    size_t order;
    int64_t group_size;
};

static int compare(const void *x, const void *y)
{
    const struct candidate *a = x, *b = y;
    if (a->listed != b->listed)
        return a->listed ? -1 : 1;
    if (weight(a->i) != weight(b->i))
        return weight(a->i) - weight(b->i);
    if (a->healthy != b->healthy)
        return a->healthy ? 1 : -1;
    if (a->group_size != b->group_size)
        return a->group_size > b->group_size ? -1 : 1;
    int64_t ka = age_key(a->i), kb = age_key(b->i);
    if (ka != kb) {
        bool oldest = a->i->spec->app && a->i->spec->app->oldest_first;
        if (!ka || !kb)
            return ka ? 1 : -1;
        return (ka < kb) == oldest ? -1 : 1;
    }
    return a->order < b->order ? -1 : 1;
}

static bool is_listed(const json_t *list, const char *id)
{
    for (size_t k = 0; k < json_array_size(list); k++)
        if (streq(json_string_value(json_array_get(list, k)), id))
            return true;
    return false;
}

static struct place place_of(const struct instance *i)
{
    return (struct place){i->hostname ? i->hostname : "", i->region, i->zone, i->attributes};
}

/* Instances that share the value of the first GROUP_BY field: the largest group loses first. */
static int64_t group_size_of(struct spec *s, const struct instance *of)
{
    const struct app *a = s->app;
    for (size_t k = 0; a && k < a->n_constraints; k++) {
        if (a->constraints[k].op != CONSTRAINT_GROUP_BY)
            continue;
        struct place at = place_of(of);
        const char *value = place_value(&at, a->constraints[k].field);
        int64_t n = 0;
        MAP_FOREACH (e, &s->instances) {
            const struct instance *i = e->value;
            struct place other = place_of(i);
            const char *theirs = place_value(&other, a->constraints[k].field);
            n += instance_counts(i) && value && theirs && streq(value, theirs);
        }
        return n;
    }
    return 0;
}

size_t spec_choose_victims(struct spec *s, const json_t *listed, size_t kill, struct instance **ret)
{
    size_t n = 0, total = map_size(&s->instances);
    struct candidate *all = xnew_array(struct candidate, total + 1);
    MAP_FOREACH (e, &s->instances) {
        struct instance *i = e->value;
        if (instance_counts(i)) {
            all[n] = (struct candidate){
                i, is_listed(listed, i->id), instance_is_healthy(i), n, group_size_of(s, i)};
            n++;
        }
    }
    qsort(all, n, sizeof(*all), compare);
    kill = MIN(kill, n);
    for (size_t k = 0; k < kill; k++)
        ret[k] = all[k].i;
    free(all);
    return kill;
}

/* Brings an app that no deployment works on to its number of instances. */
void spec_scale_check(struct core *c, struct spec *s)
{
    if (s->deployment)
        return;
    size_t have = 0, want = s->app ? (size_t)s->app->instances : 0;
    size_t total = map_size(&s->instances);
    MAP_FOREACH (e, &s->instances)
        have += instance_counts(e->value);
    if (have > want) {
        struct instance **victims = xnew_array(struct instance *, total);
        size_t n = spec_choose_victims(s, NULL, have - want, victims);
        for (size_t k = 0; k < n; k++)
            instance_set_goal(c, victims[k], GOAL_DECOMMISSIONED);
        free(victims);
    }
    for (; have < want; have++)
        instance_new(c, s, s->app, NULL);
    if (!s->app) /* removed: nothing of it may stay */
        while (map_size(&s->instances) > 0) {
            bool changed = false;
            MAP_FOREACH (e, &s->instances) {
                struct instance *i = e->value;
                if (i->goal != GOAL_DECOMMISSIONED) {
                    instance_set_goal(c, i, GOAL_DECOMMISSIONED);
                    changed = true;
                    break;
                }
            }
            if (!changed)
                break;
        }
}
