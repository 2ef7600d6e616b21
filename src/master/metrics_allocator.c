#include <stdarg.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "master/shell.h"
#include "master/state.h"

/* Metrics of the allocator: runs, resources, quotas, filters. */

struct emit {
    metric_fn fn;
    void *userdata;
};

static void put(const struct emit *e, double value, const char *fmt, ...) _printf_(3, 4);
static void put(const struct emit *e, double value, const char *fmt, ...)
{
    _cleanup_buf_ struct buf name = BUF_INIT;
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(&name, fmt, ap);
    va_end(ap);
    e->fn(buf_cstr(&name), value, e->userdata);
}

static void put_quota(const struct emit *e, const struct master_core *core, const struct role *r)
{
    for (size_t i = 0; i < core->n_quantities; i++) {
        const char *name = core->quantity_names[i];
        bool guarantee = r->quota->guarantee[i] > 0, limit = r->quota->limit[i] != NO_LIMIT;
        if (guarantee)
            put(e, (double)r->quota->guarantee[i] / 1000,
                "allocator/mesos/quota/roles/%s/resources/%s/guarantee", r->name, name);
        if (limit)
            put(e, (double)r->quota->limit[i] / 1000,
                "allocator/mesos/quota/roles/%s/resources/%s/limit", r->name, name);
        if (guarantee || limit)
            put(e, (double)role_consumed(r, i) / 1000,
                "allocator/mesos/quota/roles/%s/resources/%s/offered_or_allocated", r->name, name);
    }
}

static void put_filters(const struct emit *e, const struct master_core *core)
{
    struct map counts = MAP_INIT; /* role -> size_t */
    MAP_FOREACH (fe, &core->frameworks) {
        const struct framework *f = fe->value;
        size_t pos = 0;
        for (struct map_entry *ce; (ce = map_next(&f->clients, &pos));) {
            const struct client *c = ce->value;
            size_t *n = map_get(&counts, c->role->name);
            if (!n) {
                n = xnew(size_t);
                map_put(&counts, c->role->name, n);
            }
            *n += c->n_filters;
        }
    }
    MAP_FOREACH (ce, &counts) {
        put(e, (double)*(size_t *)ce->value, "allocator/mesos/offer_filters/roles/%s/active",
            ce->key);
        free(ce->value);
    }
    map_done(&counts);
}

void each_allocator_metric(struct shell *s, metric_fn fn, void *userdata)
{
    const struct master_core *core = s->core;
    const struct emit e = {fn, userdata};
    metric_timer_put(&s->run_ms, "allocator/mesos/allocation_run_ms", fn, userdata);
    metric_timer_put(&s->run_latency_ms, "allocator/mesos/allocation_run_latency_ms", fn, userdata);
    MAP_FOREACH (re, &core->roles) {
        const struct role *r = re->value;
        if (r->quota)
            put_quota(&e, core, r);
    }
    put_filters(&e, core);
}

void shell_tick(struct shell *s)
{
    const struct master_core *core = s->core;
    uint64_t runs = core->stats.allocation_runs;
    int64_t begin = clock_monotonic_us();
    master_core_tick(s->core, shell_now(s));
    if (core->stats.allocation_runs == runs)
        return;
    metric_timer_add(&s->run_ms, clock_monotonic_us() - begin);
    metric_timer_add(&s->run_latency_ms, core->stats.allocation_wait_us);
}
