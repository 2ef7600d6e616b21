/* dcos marathon debug list|summary|details: why an app does not start */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/marathon.h"
#include "console/print.h"

/* What Marathon calls a reason, in the order in which it looks at an offer. */
static const struct {
    const char *reason, *resource, *requested;
} reasons[] = {{"UnfulfilledRole", "ROLE", "acceptedResourceRoles"},
    {"UnfulfilledConstraint", "CONSTRAINTS", "constraints"}, {"InsufficientCpus", "CPUS", "cpus"},
    {"InsufficientMemory", "MEM", "mem"}, {"InsufficientDisk", "DISK", "disk"},
    {"InsufficientGpus", "GPUS", "gpus"}, {"InsufficientPorts", "PORTS", "ports"}};

static const json_t *spec_of(const json_t *item)
{
    return json_at(item, "app") ?: json_at(item, "pod");
}

static int run_list(const struct invocation *inv, struct error *err)
{
    static const char *const headers[] = {"ID", "SINCE", "INSTANCES TO LAUNCH", "WAITING",
        "PROCESSED OFFERS", "UNUSED OFFERS", "LAST UNUSED OFFER", "LAST USED OFFER"};
    _cleanup_json_ json_t *json = NULL;
    int r = marathon_get(cli_of(inv), "/v2/queue", &json, err);
    if (r < 0)
        return r;
    const json_t *queue = json_at(json, "queue");
    if (option_bool(inv, "json")) {
        json_print(queue, 4, 0, stdout);
        return 0;
    }
    struct table t;
    table_init(&t, headers, ARRAY_SIZE(headers));
    for (size_t i = 0; i < json_array_size(queue); i++) {
        const json_t *item = json_array_get(queue, i);
        const json_t *s = json_at(item, "processedOffersSummary");
        table_cell(&t, json_str_at(spec_of(item), "id", ""));
        table_cell(&t, json_str_at(item, "since", ""));
        table_cell_f(&t, "%lld", (long long)json_i64_at(item, "count", 0));
        table_cell(&t, json_bool_at(json_at(item, "delay"), "overdue", false) ? "true" : "false");
        table_cell_f(&t, "%lld", (long long)json_i64_at(s, "processedOffersCount", 0));
        table_cell_f(&t, "%lld", (long long)json_i64_at(s, "unusedOffersCount", 0));
        table_cell(&t, json_str_at(s, "lastUnusedOfferAt", "---"));
        table_cell(&t, json_str_at(s, "lastUsedOfferAt", "---"));
    }
    table_sort(&t, 0);
    print_table(&t);
    return 0;
}

/* The queue's entry of an app; it lives as long as *ret_json. */
static int find_item(
    const struct invocation *inv, json_t **ret_json, const json_t **ret, struct error *err)
{
    int r = marathon_get(cli_of(inv), "/v2/queue?embed=lastUnusedOffers", ret_json, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *id = marathon_absolute_id(inv->args[0]);
    const json_t *queue = json_at(*ret_json, "queue");
    for (size_t i = 0; i < json_array_size(queue); i++) {
        const json_t *item = json_array_get(queue, i);
        if (streq(json_str_at(spec_of(item), "id", NULL), id)) {
            *ret = item;
            return 0;
        }
    }
    return error_set(err, -ENOENT,
        "the app '%s' is not waiting for offers (see 'dcos marathon debug list')", id);
}

static void put_requested(struct table *t, const json_t *spec, const char *key)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    const json_t *value = json_at(spec, key);
    if (!value && streq(key, "ports"))
        value = json_at(spec, "portDefinitions");
    if (json_is_array(value) && json_array_size(value) > 0 && streq(key, "ports"))
        buf_printf(&text, "%zu", json_array_size(value));
    else if (value && !(json_is_array(value) && json_array_size(value) == 0))
        json_dump(value, &text);
    table_cell(t, text.n ? buf_cstr(&text) : "---");
}

static int run_summary(const struct invocation *inv, struct error *err)
{
    static const char *const headers[] = {"RESOURCE", "REQUESTED", "MATCHED", "PERCENTAGE"};
    _cleanup_json_ json_t *json = NULL;
    const json_t *item;
    int r = find_item(inv, &json, &item, err);
    if (r < 0)
        return r;
    const json_t *summary = json_at(
        json_at(item, "processedOffersSummary"), "rejectSummaryLastOffers");
    if (option_bool(inv, "json")) {
        if (summary)
            json_print(summary, 4, 0, stdout);
        return 0;
    }
    struct table t;
    table_init(&t, headers, ARRAY_SIZE(headers));
    for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
        int64_t processed = 0, declined = 0;
        for (size_t k = 0; k < json_array_size(summary); k++) {
            const json_t *s = json_array_get(summary, k);
            if (!streq(json_str_at(s, "reason", NULL), reasons[i].reason))
                continue;
            processed = json_i64_at(s, "processed", 0);
            declined = json_i64_at(s, "declined", 0);
        }
        table_cell(&t, reasons[i].resource);
        put_requested(&t, spec_of(item), reasons[i].requested);
        table_cell_f(&t, "%lld / %lld", (long long)(processed - declined), (long long)processed);
        if (processed > 0)
            table_cell_f(&t, "%.2f%%", 100.0 * (double)(processed - declined) / (double)processed);
        else
            table_cell(&t, "---");
    }
    print_table(&t);
    return 0;
}

static bool lists(const json_t *offer, const char *reason)
{
    const json_t *all = json_at(offer, "reason");
    for (size_t i = 0; i < json_array_size(all); i++) {
        if (streq(json_string_value(json_array_get(all, i)), reason))
            return true;
    }
    return false;
}

static int run_details(const struct invocation *inv, struct error *err)
{
    static const char *const headers[] = {
        "HOSTNAME", "ROLE", "CONSTRAINTS", "CPUS", "MEM", "DISK", "PORTS", "SCARCE", "RECEIVED"};
    static const char *const columns[] = {"UnfulfilledRole", "UnfulfilledConstraint",
        "InsufficientCpus", "InsufficientMemory", "InsufficientDisk", "InsufficientPorts",
        "DeclinedScarceResources"};
    _cleanup_json_ json_t *json = NULL;
    const json_t *item;
    int r = find_item(inv, &json, &item, err);
    if (r < 0)
        return r;
    const json_t *offers = json_at(item, "lastUnusedOffers");
    if (option_bool(inv, "json")) {
        if (offers)
            json_print(offers, 4, 0, stdout);
        return 0;
    }
    struct table t;
    table_init(&t, headers, ARRAY_SIZE(headers));
    for (size_t i = 0; i < json_array_size(offers); i++) {
        const json_t *o = json_array_get(offers, i);
        table_cell(&t, json_str_at(json_at(o, "offer"), "hostname", ""));
        for (size_t k = 0; k < ARRAY_SIZE(columns); k++)
            table_cell(&t, lists(o, columns[k]) ? "-" : "ok");
        table_cell(&t, json_str_at(o, "timestamp", ""));
    }
    print_table(&t);
    return 0;
}

static const struct option_spec options[] = {OPTION_JSON};

static const struct command *const children[] = {
    COMMAND(.name = "details", .arguments = "<app-id>",
        .summary = "Display which offers did not match an app, and why", OPTIONS(options),
        .min_args = 1, .max_args = 1, .run = run_details),
    COMMAND(.name = "list", .summary = "List the apps that wait for offers", OPTIONS(options),
        .run = run_list),
    COMMAND(.name = "summary", .arguments = "<app-id>",
        .summary = "Display how many offers matched each need of an app", OPTIONS(options),
        .min_args = 1, .max_args = 1, .run = run_summary),
};
const struct command command_marathon_debug = {
    .name = "debug", .summary = "See why apps do not start", CHILDREN(children), .lenient = true};
