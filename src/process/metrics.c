#include "process/metrics.h"

#include <stdio.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"

/* ---- durations ---- */

void metric_timer_add(struct metric_timer *t, int64_t us)
{
    if (!t->samples_us)
        t->samples_us = xnew_array(uint32_t, METRIC_SAMPLES);
    t->samples_us[t->next] = (uint32_t)MIN(MAX(us, (int64_t)0), (int64_t)UINT32_MAX);
    t->next = (t->next + 1) % METRIC_SAMPLES;
    t->n = MIN(t->n + 1, (size_t)METRIC_SAMPLES);
}

void metric_timer_done(struct metric_timer *t)
{
    free(t->samples_us);
    *t = (struct metric_timer){0};
}

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* Between two samples the value is on the line that joins them. */
static double percentile(const uint32_t *sorted, size_t n, double share)
{
    double at = share * (double)(n - 1);
    size_t below = (size_t)at;
    double rest = at - (double)below;
    double low = sorted[below], high = sorted[MIN(below + 1, n - 1)];
    return (low + (high - low) * rest) / 1000;
}

void metric_timer_put(const struct metric_timer *t, const char *name, metric_fn fn, void *userdata)
{
    static const struct {
        const char *name;
        double share;
    } shares[] = {
        {"p50", 0.5},
        {"p90", 0.9},
        {"p95", 0.95},
        {"p99", 0.99},
        {"p999", 0.999},
        {"p9999", 0.9999},
    };
    if (t->n == 0)
        return;
    uint32_t sorted[METRIC_SAMPLES];
    memcpy(sorted, t->samples_us, t->n * sizeof(*sorted));
    qsort(sorted, t->n, sizeof(*sorted), ascending);
    size_t newest = (t->next + METRIC_SAMPLES - 1) % METRIC_SAMPLES;
    char full[160];
    fn(name, (double)t->samples_us[newest] / 1000, userdata);
    snprintf(full, sizeof(full), "%s/count", name);
    fn(full, (double)t->n, userdata);
    snprintf(full, sizeof(full), "%s/max", name);
    fn(full, (double)sorted[t->n - 1] / 1000, userdata);
    snprintf(full, sizeof(full), "%s/min", name);
    fn(full, (double)sorted[0] / 1000, userdata);
    for (size_t i = 0; i < ARRAY_SIZE(shares); i++) {
        snprintf(full, sizeof(full), "%s/%s", name, shares[i].name);
        fn(full, percentile(sorted, t->n, shares[i].share), userdata);
    }
}

/* ---- the machine ---- */

void metrics_put_system(metric_fn fn, void *userdata)
{
    struct sysinfo info;
    if (sysinfo(&info) < 0)
        return;
    const double load = 1 << SI_LOAD_SHIFT;
    fn("system/cpus_total", (double)sysconf(_SC_NPROCESSORS_ONLN), userdata);
    fn("system/load_1min", (double)info.loads[0] / load, userdata);
    fn("system/load_5min", (double)info.loads[1] / load, userdata);
    fn("system/load_15min", (double)info.loads[2] / load, userdata);
    fn("system/mem_total_bytes", (double)info.totalram * info.mem_unit, userdata);
    fn("system/mem_free_bytes", (double)info.freeram * info.mem_unit, userdata);
}
