#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/vec.h"
#include "process/metrics.h"

/*
 * From paths to families with labels, by table. The first pattern that fits decides; what none fits
 * is a gauge without labels.
 *
 * In a pattern "{name}" stands for text without "/" and becomes a label, "{name*}" for text that
 * may have "/" in it (roles).
 */

enum { LABELS_MAX = 6 };

enum family_type { GAUGE, COUNTER };

static const struct rule {
    const char *pattern;
    const char *family; /* NULL: the pattern without its placeholders */
    enum family_type type;
} rules[] = {
    /* Percentiles of durations. */
    {"{timer*}_ms/p{quantile}", "", GAUGE},
    {"master/frameworks/{framework_name}/{framework_id}/calls", "master_framework_calls", COUNTER},
    {"master/frameworks/{framework_name}/{framework_id}/calls/{call}",
        "master_framework_calls_by_type", COUNTER},
    {"master/frameworks/{framework_name}/{framework_id}/events", "master_framework_events",
        COUNTER},
    {"master/frameworks/{framework_name}/{framework_id}/events/{event}",
        "master_framework_events_by_type", COUNTER},
    {"master/frameworks/{framework_name}/{framework_id}/offers/{outcome}",
        "master_framework_offers", COUNTER},
    {"master/frameworks/{framework_name}/{framework_id}/operations", "master_framework_operations",
        COUNTER},
    {"master/frameworks/{framework_name}/{framework_id}/operations/{operation}",
        "master_framework_operations_by_type", COUNTER},
    {"master/frameworks/{framework_name}/{framework_id}/tasks/active/{state}",
        "master_framework_tasks_active", GAUGE},
    {"master/frameworks/{framework_name}/{framework_id}/tasks/terminal/{state}",
        "master_framework_tasks_terminal", COUNTER},
    {"master/frameworks/{framework_name}/{framework_id}/roles/{role*}/suppressed",
        "master_framework_role_suppressed", GAUGE},
    {"master/frameworks/{framework_name}/{framework_id}/subscribed", "master_framework_subscribed",
        GAUGE},
    {"master/task_{state}/source_{source}/reason_{reason}", "master_task_transitions", COUNTER},
    {"master/messages_{message}", "master_messages", COUNTER},
    {"master/slave_removals/reason_{reason}", "master_slave_removals_by_reason", COUNTER},
    {"master/operations/total", "master_operations", GAUGE},
    {"master/operations/{operation}/total", "master_operations_by_type", GAUGE},
    {"master/operations/{operation}/{state}", "master_operations_by_type_and_state", GAUGE},
    {"master/operations/{state}", "master_operations_by_state", GAUGE},
    {"frameworks/{principal}/messages_received", "principal_messages_received", COUNTER},
    {"frameworks/{principal}/messages_processed", "principal_messages_processed", COUNTER},
    {"allocator/mesos/resources/{resource}/{what}", "allocator_resources", GAUGE},
    {"allocator/mesos/quota/roles/{role*}/resources/{resource}/{what}", "allocator_quota", GAUGE},
    {"allocator/mesos/offer_filters/roles/{role*}/active", "allocator_offer_filters_active", GAUGE},
    /* Counters without labels. */
    {"allocator/mesos/allocation_runs", NULL, COUNTER},
    {"master/tasks_finished", NULL, COUNTER},
    {"master/tasks_failed", NULL, COUNTER},
    {"master/tasks_killed", NULL, COUNTER},
    {"master/tasks_lost", NULL, COUNTER},
    {"master/tasks_error", NULL, COUNTER},
    {"master/tasks_dropped", NULL, COUNTER},
    {"master/tasks_gone", NULL, COUNTER},
    {"master/tasks_gone_by_operator", NULL, COUNTER},
    {"master/slave_registrations", NULL, COUNTER},
    {"master/slave_reregistrations", NULL, COUNTER},
    {"master/slave_removals", NULL, COUNTER},
    {"master/slave_shutdowns_{step}", "master_slave_shutdowns", COUNTER},
    {"master/slave_unreachable_{step}", "master_slave_unreachable", COUNTER},
    {"master/recovery_slave_removals", NULL, COUNTER},
    {"master/dropped_messages", NULL, COUNTER},
    {"master/valid_{message}", "master_valid", COUNTER},
    {"master/invalid_{message}", "master_invalid", COUNTER},
    {"master/http_cache_hits", NULL, COUNTER},
    {"slave/recovery_errors", NULL, COUNTER},
    {"slave/executors_terminated", NULL, COUNTER},
    {"slave/executors_preempted", NULL, COUNTER},
    {"slave/container_launch_errors", NULL, COUNTER},
    {"slave/tasks_finished", NULL, COUNTER},
    {"slave/tasks_failed", NULL, COUNTER},
    {"slave/tasks_killed", NULL, COUNTER},
    {"slave/tasks_lost", NULL, COUNTER},
    {"slave/tasks_gone", NULL, COUNTER},
    {"slave/valid_{message}", "slave_valid", COUNTER},
    {"slave/invalid_{message}", "slave_invalid", COUNTER},
    {"containerizer/mesos/container_destroy_errors", NULL, COUNTER},
    {"containerizer/mesos/provisioner/remove_container_errors", NULL, COUNTER},
    {"containerizer/fetcher/task_fetches_{outcome}", "containerizer_fetcher_task_fetches", COUNTER},
    {"gc/path_removals_succeeded", NULL, COUNTER},
    {"gc/path_removals_failed", NULL, COUNTER},
    {"resource_provider_manager/events/{event}", "resource_provider_manager_events", COUNTER},
};

struct label {
    struct str name, value;
};

struct labels {
    struct label items[LABELS_MAX];
    size_t n;
};

static bool match(const char *pattern, const char *name, struct labels *ret)
{
    while (*pattern && *pattern != '{') {
        if (*pattern++ != *name++)
            return false;
    }
    if (!*pattern)
        return !*name;
    if (ret->n == LABELS_MAX)
        return false;
    const char *end = strchr(pattern, '}');
    bool deep = end[-1] == '*';
    struct label *l = &ret->items[ret->n++];
    size_t max = 0, before = ret->n;
    while (name[max] && (deep || name[max] != '/'))
        max++;
    /* The longest text that lets the rest fit. */
    for (size_t n = max; n > 0; n--) {
        *l = (struct label){{pattern + 1, (size_t)(end - pattern) - 1 - deep}, {name, n}};
        if (match(end + 1, name + n, ret))
            return true;
        ret->n = before;
    }
    return false;
}

/* ---- families ---- */

struct family {
    char *name;
    enum family_type type;
    struct buf lines;
};

struct families {
    struct map by_name; /* in order of their first metric */
};

static void put_name(struct buf *out, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        buf_putc(out, fine ? c : '_');
    }
}

static void put_label_value(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '\\' || c == '"')
            buf_putc(out, '\\');
        if (c == '\n')
            buf_puts(out, "\\n");
        else
            buf_putc(out, c);
    }
}

/* "50" is the quantile 0.5, "9999" 0.9999. */
static void put_quantile(struct buf *out, struct str digits)
{
    buf_puts(out, "0.");
    while (digits.n > 1 && digits.p[digits.n - 1] == '0')
        digits.n--;
    buf_append(out, digits.p, digits.n);
}

static void put_labels(struct buf *out, const struct labels *labels)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    for (size_t i = 0; i < labels->n; i++) {
        const struct label *l = &labels->items[i];
        buf_putc(out, i ? ',' : '{');
        buf_append(out, l->name.p, l->name.n);
        buf_puts(out, "=\"");
        if (str_eq_c(l->name, "quantile")) {
            put_quantile(out, l->value);
        } else {
            /* Names of frameworks are escaped in paths, which labels do not need. */
            struct str plain = http_unescape(l->value, false, &arena);
            put_label_value(out, plain.p ? plain : l->value);
        }
        buf_putc(out, '"');
    }
    if (labels->n)
        buf_putc(out, '}');
}

static void put_value(struct buf *out, double value)
{
    if (isnan(value))
        buf_puts(out, " NaN\n");
    else if (isinf(value))
        buf_puts(out, value > 0 ? " +Inf\n" : " -Inf\n");
    else
        buf_printf(out, " %.15g\n", value);
}

static struct family *find_family(struct families *all, const struct buf *name, enum family_type t)
{
    struct family *f = map_get(&all->by_name, buf_cstr(name));
    if (!f) {
        f = xnew(struct family);
        f->name = xstrdup(buf_cstr(name));
        f->type = t;
        map_put(&all->by_name, f->name, f);
    }
    return f;
}

static void add(const char *name, double value, void *userdata)
{
    struct families *all = userdata;
    struct labels labels = {0};
    const struct rule *rule = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(rules) && !rule; i++) {
        labels.n = 0;
        if (match(rules[i].pattern, name, &labels))
            rule = &rules[i];
    }
    _cleanup_buf_ struct buf family = BUF_INIT;
    buf_puts(&family, "dcos_");
    if (!rule) {
        labels.n = 0;
        put_name(&family, name, strlen(name));
    } else if (rule->family && !*rule->family) {
        /* A percentile: the family is named after the timer. */
        put_name(&family, labels.items[0].value.p, labels.items[0].value.n);
        buf_puts(&family, "_ms_quantile");
        labels.items[0] = labels.items[1];
        labels.n = 1;
    } else {
        const char *text = rule->family ? rule->family : rule->pattern;
        put_name(&family, text, strlen(text));
    }
    if (rule && rule->type == COUNTER)
        buf_puts(&family, "_total");
    struct family *f = find_family(all, &family, rule ? rule->type : GAUGE);
    buf_puts(&f->lines, f->name);
    put_labels(&f->lines, &labels);
    put_value(&f->lines, value);
}

void prometheus_write(metrics_source source, void *of, struct buf *out)
{
    struct families all = {0};
    source(of, add, &all);
    MAP_FOREACH (e, &all.by_name) {
        struct family *f = e->value;
        buf_printf(out, "# TYPE %s %s\n", f->name, f->type == COUNTER ? "counter" : "gauge");
        buf_append(out, f->lines.p, f->lines.n);
        buf_done(&f->lines);
        free(f->name);
        free(f);
    }
    map_done(&all.by_name);
}
