/* dcos marathon deployment list|rollback|stop|watch */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/marathon.h"
#include "console/print.h"

static bool touches(const json_t *deployment, const char *app)
{
    const json_t *apps = json_at(deployment, "affectedApps");
    for (size_t i = 0; i < json_array_size(apps); i++) {
        if (streq(json_string_value(json_array_get(apps, i)), app))
            return true;
    }
    return false;
}

static void put_ids(struct table *t, const json_t *ids)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    for (size_t i = 0; i < json_array_size(ids); i++)
        buf_printf(&text, "%s%s", i ? "\n" : "", json_string_value(json_array_get(ids, i)) ?: "?");
    table_cell(t, text.n ? buf_cstr(&text) : "-");
}

static const char *target_of(const json_t *action)
{
    return json_str_at(action, "app", json_str_at(action, "pod", "N/A"));
}

static void put_actions(struct table *t, const json_t *actions)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    size_t n = json_array_size(actions);
    bool several = false;
    for (size_t i = 1; i < n; i++)
        several = several || !streq(target_of(json_array_get(actions, 0)),
                                 target_of(json_array_get(actions, i)));
    for (size_t i = 0; i < n; i++) {
        const json_t *action = json_array_get(actions, i);
        buf_printf(
            &text, "%s%s", i ? "\n" : "", marathon_action_word(json_str_at(action, "action", "?")));
        if (several)
            buf_printf(&text, " %s", target_of(action));
    }
    table_cell(t, buf_cstr(&text));
}

static int run_list(const struct invocation *inv, struct error *err)
{
    static const char *const headers[] = {"APP", "POD", "ACTION", "PROGRESS", "ID"};
    _cleanup_json_ json_t *all = NULL, *shown = json_array();
    _cleanup_free_ char *app = arg_at(inv, 0) ? marathon_absolute_id(inv->args[0]) : NULL;
    int r = marathon_get(cli_of(inv), "/v2/deployments", &all, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < json_array_size(all); i++) {
        json_t *d = json_array_get(all, i);
        if (!app || touches(d, app))
            json_array_append(shown, d);
    }
    size_t n = json_array_size(shown);
    if (option_bool(inv, "json")) {
        json_print(shown, 2, PRINT_SORTED, stdout);
        return 0;
    }
    if (n == 0 && app)
        return error_set(err, -ENOENT, "There are no deployments for '%s'", app);
    if (n == 0)
        return error_set(err, -ENOENT, "There are no deployments");
    struct table t;
    table_init(&t, headers, ARRAY_SIZE(headers));
    for (size_t i = 0; i < n; i++) {
        const json_t *d = json_array_get(shown, i);
        if (option_bool(inv, "quiet")) {
            printf("%s\n", json_str_at(d, "id", ""));
            continue;
        }
        put_ids(&t, json_at(d, "affectedApps"));
        put_ids(&t, json_at(d, "affectedPods"));
        put_actions(&t, json_at(d, "currentActions"));
        long long step = json_i64_at(d, "currentStep", 1) - 1;
        table_cell_f(&t, "%lld/%lld", MAX(step, 0LL), (long long)json_i64_at(d, "totalSteps", 0));
        table_cell(&t, json_str_at(d, "id", ""));
    }
    table_sort(&t, 0);
    if (option_bool(inv, "quiet"))
        table_done(&t);
    else
        print_table(&t);
    return 0;
}

static int missing(const char *id, int r, struct error *err)
{
    return r == -ENOENT
               ? error_set(err, r,
                     "DeploymentPlan %s does not exist (see 'dcos marathon deployment list')", id)
               : r;
}

static int run_rollback(const struct invocation *inv, struct error *err)
{
    _cleanup_free_ char *path = marathon_path("deployments", inv->args[0], "");
    struct marathon_answer a;
    int r = marathon_call(cli_of(inv), "DELETE", path, NULL, &a, err);
    if (r == 0 && a.json)
        json_print(a.json, 2, PRINT_SORTED, stdout);
    marathon_answer_done(&a);
    return missing(inv->args[0], r, err);
}

static int run_stop(const struct invocation *inv, struct error *err)
{
    _cleanup_free_ char *path = marathon_path("deployments", inv->args[0], "?force=true");
    struct marathon_answer a;
    int r = marathon_call(cli_of(inv), "DELETE", path, NULL, &a, err);
    marathon_answer_done(&a);
    return missing(inv->args[0], r, err);
}

static int run_watch(const struct invocation *inv, struct error *err)
{
    struct cli *c = cli_of(inv);
    const char *id = arg_at(inv, 0);
    int64_t interval = option_i64(inv, "interval", 1), max = option_i64(inv, "max-count", 300);
    if (interval < 0 || interval > 3600)
        return error_set(err, -EINVAL, "--interval takes seconds from 0 to 3600");
    if (max < 0)
        return error_set(err, -EINVAL, "--max-count must not be negative");
    for (int64_t count = 0;; count++) {
        _cleanup_json_ json_t *all = NULL;
        const json_t *found = NULL;
        int r = marathon_get(c, "/v2/deployments", &all, err);
        if (r < 0)
            return r;
        for (size_t i = 0; i < json_array_size(all); i++) {
            if (!id || streq(json_str_at(json_array_get(all, i), "id", NULL), id))
                found = json_array_get(all, i);
        }
        if (!found)
            return 0;
        if (count >= max)
            return error_set(err, -ETIMEDOUT,
                "deployment %s still runs; watch it longer with --max-count",
                json_str_at(found, "id", ""));
        char now[TIME_TEXT_SIZE];
        time_format_rfc3339(clock_realtime_us(), now);
        printf("Deployment update time: %.10s %.8s\n", now, now + 11);
        json_print(found, 2, PRINT_SORTED, stdout);
        fflush(stdout);
        requester_pause(c->http, interval * USEC_PER_SEC);
    }
}

static const struct option_spec list_options[] = {OPTION_JSON, OPTION_QUIET};
static const struct option_spec watch_options[] = {
    {"interval", 0, OPTION_I64, "Number of seconds to wait between actions"},
    {"max-count", 0, OPTION_I64, "Maximum number of entries to try to fetch and return"}};

static const struct command *const children[] = {
    COMMAND(.name = "list", .arguments = "[<app-id>]",
        .summary = "Print a list of currently deployed applications", OPTIONS(list_options),
        .max_args = 1, .run = run_list),
    COMMAND(.name = "rollback", .arguments = "<deployment-id>",
        .summary = "Remove a deployment by undoing it", .min_args = 1, .max_args = 1,
        .run = run_rollback),
    COMMAND(.name = "stop", .arguments = "<deployment-id>",
        .summary = "Cancel an in-progress deployment", .min_args = 1, .max_args = 1,
        .run = run_stop),
    COMMAND(.name = "watch", .arguments = "[<deployment-id>]",
        .summary = "Monitor a deployment, or all, until it is done", OPTIONS(watch_options),
        .max_args = 1, .run = run_watch),
};

const struct command command_marathon_deployment = {
    .name = "deployment", .summary = "Manage deployments", CHILDREN(children), .lenient = true};
