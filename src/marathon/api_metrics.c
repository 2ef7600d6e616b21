#include "base/clock.h"
#include "base/str.h"
#include "marathon/api_internal.h"

struct metric {
    const char *name;
    int64_t value;
};

static void write_json(struct json_writer *w, const char *section, const char *key,
    const struct metric *m, size_t n, const struct core *c, bool updates)
{
    jw_key(w, section);
    jw_begin_object(w);
    for (size_t i = 0; i < n; i++) {
        jw_key(w, m[i].name);
        jw_begin_object(w);
        jw_field_i64(w, key, m[i].value);
        jw_end_object(w);
    }
    for (size_t i = 0; updates && i < CONDITION_UNREACHABLE_INACTIVE; i++) {
        if (i == CONDITION_SCHEDULED || i == CONDITION_PROVISIONED)
            continue;
        _cleanup_free_ char *name = xasprintf(
            "marathon.mesos.task-updates.%s.counter", condition_task_state((enum condition)i));
        for (char *p = name; *p; p++)
            *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p == '_' ? '-' : *p);
        jw_key(w, name);
        jw_begin_object(w);
        jw_field_i64(w, key, (int64_t)c->count.updates[i]);
        jw_end_object(w);
    }
    jw_end_object(w);
}

static void write_prometheus(struct buf *out, const char *type, const struct metric *m, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        _cleanup_free_ char *name = xstrdup(m[i].name);
        for (char *p = name; *p; p++)
            if (*p == '.' || *p == '-')
                *p = '_';
        buf_printf(out, "# TYPE %s %s\n%s %lld\n", name, type, name, (long long)m[i].value);
    }
}

void api_metrics(struct core *c, const struct api_info *info, bool prometheus, struct api_reply *r,
    int64_t now_us)
{
    int64_t running = 0, staged = 0, kills = 0, overdue = 0, groups = 0;
    MAP_FOREACH (e, &c->instances) {
        const struct instance *i = e->value;
        bool starting = i->condition == CONDITION_STAGING || i->condition == CONDITION_STARTING ||
                        i->condition == CONDITION_PROVISIONED;
        running += i->condition == CONDITION_RUNNING;
        staged += starting;
        overdue += starting && i->kill_wanted;
        kills += i->kill_wanted;
    }
    MAP_FOREACH (e, &c->groups)
        groups += ((struct group *)e->value)->def != NULL;
    const struct metric counters[] = {
        {"marathon.deployments.counter", (int64_t)c->count.deployments},
        {"marathon.deployments.dismissed.counter", (int64_t)c->count.dismissed},
        {"marathon.tasks.launched.counter", (int64_t)c->count.launched},
        {"marathon.mesos.calls.revive.counter", (int64_t)c->count.revive},
        {"marathon.mesos.calls.suppress.counter", (int64_t)c->count.suppress},
        {"marathon.mesos.offer-operations.launch.counter", (int64_t)c->count.op_launch},
        {"marathon.mesos.offers.incoming.counter", (int64_t)c->count.offers_in},
        {"marathon.mesos.offers.used.counter", (int64_t)c->count.offers_used},
        {"marathon.mesos.offers.declined.counter", (int64_t)c->count.offers_declined}};
    int64_t up = (now_us - info->started_us) / USEC_PER_SEC;
    const struct metric gauges[] = {{"marathon.apps.active.gauge", (int64_t)c->n_apps},
        {"marathon.pods.active.gauge", 0}, {"marathon.groups.active.gauge", groups},
        {"marathon.deployments.active.gauge", (int64_t)map_size(&c->deployments)},
        {"marathon.instances.running.gauge", running}, {"marathon.instances.staged.gauge", staged},
        {"marathon.instances.launch-overdue.gauge", overdue},
        {"marathon.instances.inflight-kills.gauge", kills},
        {"marathon.leadership.duration.gauge.seconds", up}, {"marathon.uptime.gauge.seconds", up},
        {"marathon.http.event-streams.active.gauge", (int64_t)info->event_streams}};
    struct json_writer w;
    r->status = 200;
    if (prometheus) {
        r->content_type = "text/plain; version=0.0.4";
        write_prometheus(&r->body, "counter", counters, ARRAY_SIZE(counters));
        write_prometheus(&r->body, "gauge", gauges, ARRAY_SIZE(gauges));
        return;
    }
    jw_init(&w, &r->body);
    jw_begin_object(&w);
    jw_field_string(&w, "version", "4.0.0");
    write_json(&w, "counters", "count", counters, ARRAY_SIZE(counters), c, true);
    write_json(&w, "gauges", "value", gauges, ARRAY_SIZE(gauges), c, false);
    static const char *const empty[] = {"histograms", "meters", "timers"};
    for (size_t k = 0; k < ARRAY_SIZE(empty); k++)
        write_json(&w, empty[k], "", NULL, 0, c, false);
    jw_end_object(&w);
}
