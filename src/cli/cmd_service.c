/* dcos service list|log|shutdown */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/marathon.h"
#include "cli/mesos.h"
#include "cli/task_log.h"
#include "console/print.h"
#include "console/prompt.h"

/* ---- list ---- */

/* Frameworks of one list of the state; `active` narrows them down. */
static void collect(json_t *out, const json_t *list, bool inactive)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *f = json_array_get(list, i);
        if (!inactive || !json_bool_at(f, "active", false))
            json_array_append(out, f);
    }
}

static void print_services(const json_t *list)
{
    static const char *const headers[] = {
        "NAME", "HOST", "ACTIVE", "TASKS", "CPU", "MEM", "DISK", "ID"};
    static const char *const resources[] = {"cpus", "mem", "disk"};
    struct table t;
    table_init(&t, headers, ARRAY_SIZE(headers));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *f = json_array_get(list, i), *used = json_at(f, "resources");
        table_cell(&t, json_str_at(f, "name", ""));
        table_cell(&t, json_str_at(f, "hostname", ""));
        table_cell(&t, json_bool_at(f, "active", false) ? "True" : "False");
        table_cell_f(&t, "%zu", json_array_size(json_at(f, "tasks")));
        for (size_t k = 0; k < ARRAY_SIZE(resources); k++)
            table_cell_f(&t, "%.1f", json_double_at(used, resources[k], 0));
        table_cell(&t, json_str_at(f, "id", ""));
    }
    table_sort(&t, 0);
    print_table(&t);
}

static int list(const struct invocation *inv, struct error *err)
{
    bool completed = option_bool(inv, "completed"), inactive = option_bool(inv, "inactive");
    _cleanup_json_ json_t *state = NULL, *found = json_array();
    if (completed && inactive)
        return error_set(err, -EINVAL, "cannot accept both options --completed and --inactive");
    int r = mesos_state(cli_of(inv), &state, err);
    if (r < 0)
        return r;
    collect(found, json_at(state, completed ? "completed_frameworks" : "frameworks"), inactive);
    if (option_bool(inv, "json")) {
        json_print(found, 4, 0, stdout);
    } else if (option_bool(inv, "quiet") || option_bool(inv, "id-only")) {
        for (size_t i = 0; i < json_array_size(found); i++)
            printf("%s\n", json_str_at(json_array_get(found, i), "id", ""));
    } else {
        print_services(found);
    }
    return 0;
}

static int run_bare(const struct invocation *inv, struct error *err)
{
    if (getenv("DCOS_CLI_STRICT_DEPRECATIONS")) {
        command_help(inv->command, inv->path, false, stdout);
        return 0;
    }
    fprintf(stderr, "\"dcos service\" is deprecated, please use \"dcos service list\".\n");
    return list(inv, err);
}

/* ---- shutdown ---- */

static int run_shutdown(const struct invocation *inv, struct error *err)
{
    const char *id = inv->args[0];
    struct reply reply = {0};
    if (!option_bool(inv, "yes")) {
        _cleanup_free_ char *question = xasprintf(
            "Do you really want to shut down service '%s', with all its tasks? [y/n] ", id);
        int r = prompt_confirm(question, -1, err);
        if (r <= 0)
            return r < 0 ? r : error_set(err, -EACCES, "couldn't get confirmation");
    }
    _cleanup_json_ json_t *call = json_object();
    json_t *body = json_object(), *framework = json_object();
    json_object_set_new(framework, "value", json_string(id));
    json_object_set_new(body, "framework_id", framework);
    json_object_set_new(call, "type", json_string("TEARDOWN"));
    json_object_set_new(call, "teardown", body);
    int r = mesos_call(cli_of(inv), call, &reply, err);
    /* 400: the master's word for a framework that it does not know. */
    if (r == 0 && (reply.status == 404 || reply.status == 400))
        r = error_set(err, -ENOENT, "could not teardown framework '%s'", id);
    else if (r == 0 && reply.status / 100 != 2)
        r = error_set(err, -EPROTO, "HTTP %d error: %.200s", reply.status, buf_cstr(&reply.body));
    reply_done(&reply);
    return r;
}

/* ---- log ---- */

/* Marathon is no task: what it writes is in the journal of its node. */
static int log_marathon(const struct invocation *inv, struct error *err)
{
    struct cli *c = cli_of(inv);
    struct reply reply = {0};
    _cleanup_free_ char *base = NULL;
    int r = cli_base_url(c, NULL,
        "/system/v1/leader/marathon/logs/v2/component/dcos-marathon.service", &base, NULL, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *url = xasprintf(
        "%s?cursor=END&skip=-%lld", base, (long long)option_i64(inv, "lines", 10));
    r = cli_send(
        c, "the log service", &(struct request){.url = url, .accept = "text/plain"}, &reply, err);
    if (r == 0 && reply.status == 200)
        fwrite(reply.body.p, 1, reply.body.n, stdout);
    else if (r == 0)
        r = error_set(err, -ENOSYS,
            "the log of Marathon cannot be read: the cluster has no log service (HTTP %d)",
            reply.status);
    reply_done(&reply);
    return r;
}

/* The app that runs the service. */
static int find_app(const json_t *apps, const char *name, const json_t **ret, struct error *err)
{
    *ret = NULL;
    for (size_t i = 0; i < json_array_size(apps); i++) {
        const json_t *app = json_array_get(apps, i), *labels = json_at(app, "labels");
        if (!streq(json_str_at(labels, "DCOS_PACKAGE_FRAMEWORK_NAME", NULL), name))
            continue;
        if (*ret)
            return error_set(err, -EEXIST, "several apps run a service '%s'", name);
        *ret = app;
    }
    return *ret ? 0 : error_set(err, -ENOENT, "no service '%s' was found", name);
}

/* The one task of that app, as an array. */
static int service_tasks(
    struct cli *c, const char *name, const json_t *state, json_t **ret, struct error *err)
{
    _cleanup_json_ json_t *apps = NULL;
    const json_t *app = NULL;
    int r = marathon_get(
        c, "/v2/apps?embed=apps.tasks&label=DCOS_PACKAGE_FRAMEWORK_NAME", &apps, err);
    if (r == 0)
        r = find_app(json_at(apps, "apps"), name, &app, err);
    if (r < 0)
        return r;
    const json_t *tasks = json_at(app, "tasks");
    if (json_array_size(tasks) != 1)
        return error_set(err, -ENOENT, "the app of service '%s' has %zu tasks, not one", name,
            json_array_size(tasks));
    *ret = mesos_tasks(state, TASKS_ACTIVE, json_str_at(json_array_get(tasks, 0), "id", ""), NULL);
    if (json_array_size(*ret) != 1) {
        json_decref(*ret);
        *ret = NULL;
        return error_set(err, -ENOENT, "the master does not know the task of service '%s'", name);
    }
    return 0;
}

static int run_log(const struct invocation *inv, struct error *err)
{
    struct cli *c = cli_of(inv);
    const struct task_log_options options = {.file = arg_at(inv, 1) ?: "stdout",
        .lines = option_i64(inv, "lines", 10),
        .follow = option_bool(inv, "follow")};
    _cleanup_json_ json_t *state = NULL, *tasks = NULL;
    if (options.lines < 0)
        return error_set(err, -EINVAL, "--lines must not be negative");
    if (streq(inv->args[0], "marathon"))
        return log_marathon(inv, err);
    int r = mesos_state(c, &state, err);
    if (r == 0)
        r = service_tasks(c, inv->args[0], state, &tasks, err);
    return r < 0 ? r : task_log(c, state, tasks, &options, err);
}

#define LIST_OPTIONS(hide)                                                                         \
    {"completed", 0, OPTION_BOOL, "Show services that ended", .hidden = (hide)},                   \
        {"id-only", 0, OPTION_BOOL, "Print only ids", .hidden = true},                             \
        {"inactive", 0, OPTION_BOOL, "Show services that are not connected", .hidden = (hide)},    \
        {"json", 0, OPTION_BOOL, "Print in JSON format", .hidden = (hide)},                        \
    {                                                                                              \
        "quiet", 'q', OPTION_BOOL, "Print only ids", .hidden = (hide)                              \
    }
static const struct option_spec list_options[] = {LIST_OPTIONS(false)};
static const struct option_spec bare_options[] = {LIST_OPTIONS(true)};
static const struct option_spec shutdown_options[] = {{"yes", 0, OPTION_BOOL, "Do not ask"}};
static const struct option_spec log_options[] = {
    {"follow", 0, OPTION_BOOL, "Go on with what is added"},
    {"lines", 0, OPTION_I64, "Print the last N lines (10)"},
    {"output", 'o', OPTION_STRING, "Accepted and without effect", .hidden = true},
    {"ssh-config-file", 0, OPTION_STRING, "Accepted and without effect", .hidden = true},
    {"user", 0, OPTION_STRING, "Accepted and without effect", .hidden = true}};

static const struct command *const children[] = {
    COMMAND(.name = "list", .summary = "List the services (frameworks) of the cluster",
        OPTIONS(list_options), .run = list),
    COMMAND(.name = "log", .arguments = "<service-name> [<file>]",
        .summary = "Print the log of a service", OPTIONS(log_options), .min_args = 1, .max_args = 2,
        .run = run_log),
    COMMAND(.name = "shutdown", .arguments = "<framework-id>",
        .summary = "Shut a service down, with all its tasks", OPTIONS(shutdown_options),
        .words = "dcos service list --quiet", .min_args = 1, .max_args = 1, .run = run_shutdown),
};
const struct command command_service = {.name = "service",
    .summary = "Manage DC/OS services",
    OPTIONS(bare_options),
    CHILDREN(children),
    .run = run_bare};
