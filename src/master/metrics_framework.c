#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "master/shell.h"
#include "master/state.h"
#include "wire/codec.h"

/* Metrics of each framework: master/frameworks/<name>/<id>/..., and what all have in common. */

struct place {
    struct buf name;
    size_t prefix;
    metric_fn fn;
    void *userdata;
};

/* Parts after the prefix in lower case, the prefix as it is. */
static void put(struct place *p, double value, const char *first, const char *second)
{
    p->name.n = p->prefix;
    for (; *first; first++)
        buf_putc(&p->name, *first);
    for (; *second; second++)
        buf_putc(
            &p->name, *second >= 'A' && *second <= 'Z' ? (char)(*second - 'A' + 'a') : *second);
    p->fn(buf_cstr(&p->name), value, p->userdata);
}

static void put_kinds(struct place *p, const char *what, const ProtobufCEnumDescriptor *type,
    const uint64_t *counters, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *name = wire_enum_name(type, (int)i);
        if (name && !streq(name, "UNKNOWN"))
            put(p, (double)counters[i], what, name);
    }
}

static uint64_t sum(const uint64_t *counters, size_t n)
{
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += counters[i];
    return total;
}
#define SUM(counters) ((double)sum((counters), ARRAY_SIZE(counters)))

static void put_framework(struct place *p, const struct framework *f)
{
    const struct framework_stats *st = &f->stats;
    buf_clear(&p->name);
    buf_puts(&p->name, "master/frameworks/");
    http_escape(&p->name, str_of(f->info->name ? f->info->name : ""));
    buf_printf(&p->name, "/%s/", f->id->text);
    p->prefix = p->name.n;
    put(p, f->connected, "subscribed", "");
    put(p, SUM(st->calls), "calls", "");
    put_kinds(p, "calls/", &mesos__v1__scheduler__call__type__descriptor, st->calls,
        ARRAY_SIZE(st->calls));
    put(p, SUM(st->events), "events", "");
    put_kinds(p, "events/", &mesos__v1__scheduler__event__type__descriptor, st->events,
        ARRAY_SIZE(st->events));
    put(p, (double)st->offers_sent, "offers/sent", "");
    put(p, (double)st->offers_accepted, "offers/accepted", "");
    put(p, (double)st->offers_declined, "offers/declined", "");
    put(p, (double)st->offers_rescinded, "offers/rescinded", "");
    put(p, SUM(st->operations), "operations", "");
    put_kinds(p, "operations/", &mesos__v1__offer__operation__type__descriptor, st->operations,
        ARRAY_SIZE(st->operations));
    for (size_t i = 0; i < ARRAY_SIZE(st->tasks_active); i++) {
        const char *name = wire_enum_name(&mesos__v1__task_state__descriptor, (int)i);
        if (!name)
            continue;
        if (task_state_is_terminal((Mesos__V1__TaskState)i))
            put(p, (double)st->tasks_terminal[i], "tasks/terminal/", name);
        else
            put(p, st->tasks_active[i], "tasks/active/", name);
    }
    size_t pos = 0;
    struct map_entry *ce;
    while ((ce = map_next(&f->clients, &pos))) {
        const struct client *c = ce->value;
        p->name.n = p->prefix;
        buf_printf(&p->name, "roles/%s/suppressed", c->role->name);
        p->fn(buf_cstr(&p->name), c->suppressed, p->userdata);
    }
}

void metrics_put_frameworks(const struct shell *s, metric_fn fn, void *userdata)
{
    struct place p = {.fn = fn, .userdata = userdata};
    if (!s->framework_metrics)
        return;
    MAP_FOREACH (entry, &s->core->frameworks)
        put_framework(&p, entry->value);
    buf_done(&p.name);
}
