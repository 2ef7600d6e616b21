/* dcos marathon about|ping|leader|plugin|delay, and dcos marathon task ... */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/marathon.h"
#include "console/print.h"

static int run_about(const struct invocation *inv, struct error *err)
{
    _cleanup_json_ json_t *json = NULL;
    int r = marathon_get(cli_of(inv), "/v2/info", &json, err);
    if (r == 0)
        json_print(json, 4, 0, stdout);
    return r;
}

/* As many times as there are masters, where mesos-dns can tell; each answers for itself. */
static size_t count_masters(struct cli *c)
{
    bool direct = false;
    _cleanup_free_ char *url = NULL;
    _cleanup_json_ json_t *hosts = NULL;
    if (cli_base_url(c, "marathon.url", "/mesos_dns/v1/hosts/master.mesos", &url, &direct, NULL) <
            0 ||
        direct || cli_get_json(c, "mesos-dns", url, &hosts, NULL) < 0)
        return 1;
    return MAX(json_array_size(hosts), (size_t)1);
}

static int run_ping(const struct invocation *inv, struct error *err)
{
    struct cli *c = cli_of(inv);
    size_t n = option_bool(inv, "once") ? 1 : count_masters(c);
    _cleanup_json_ json_t *json = NULL;
    for (size_t i = 0; i < n; i++) {
        json_decref(json);
        json = NULL;
        int r = marathon_get(c, "/ping", &json, err);
        if (r < 0)
            return r;
    }
    _cleanup_buf_ struct buf text = BUF_INIT;
    json_dump(json, &text);
    printf("Marathon ping response[%zux]: %s\n", n, buf_cstr(&text));
    return 0;
}

static int run_leader_show(const struct invocation *inv, struct error *err)
{
    _cleanup_json_ json_t *json = NULL;
    int r = marathon_get(cli_of(inv), "/v2/leader", &json, err);
    if (r < 0)
        return r;
    if (option_bool(inv, "json")) {
        json_print(json, 2, PRINT_SORTED, stdout);
        return 0;
    }
    const char *leader = json_str_at(json, "leader", ""), *colon = strrchr(leader, ':');
    static const char *const headers[] = {"HOST", "IP"};
    struct table t;
    table_init(&t, headers, 2);
    table_cell(&t, "marathon.mesos.");
    table_cell_f(&t, "%.*s", colon ? (int)(colon - leader) : (int)strlen(leader), leader);
    print_table(&t);
    return 0;
}

static int run_leader_delete(const struct invocation *inv, struct error *err)
{
    struct marathon_answer a;
    int r = marathon_call(cli_of(inv), "DELETE", "/v2/leader", NULL, &a, err);
    if (r == 0)
        printf("%s\n", json_str_at(a.json, "message", "Leadership abdicated"));
    marathon_answer_done(&a);
    return r;
}

static int run_plugin_list(const struct invocation *inv, struct error *err)
{
    static const char *const headers[] = {"ID", "IMPLEMENTATION", "PLUGIN"};
    _cleanup_json_ json_t *json = NULL;
    int r = marathon_get(cli_of(inv), "/v2/plugins", &json, err);
    if (r < 0)
        return r;
    const json_t *plugins = json_at(json, "plugins");
    if (option_bool(inv, "json")) {
        json_print(plugins, 2, PRINT_SORTED, stdout);
        return 0;
    }
    struct table t;
    table_init(&t, headers, ARRAY_SIZE(headers));
    for (size_t i = 0; i < json_array_size(plugins); i++) {
        const json_t *p = json_array_get(plugins, i);
        table_cell(&t, json_str_at(p, "id", ""));
        table_cell(&t, json_str_at(p, "implementation", ""));
        table_cell(&t, json_str_at(p, "plugin", ""));
    }
    table_sort(&t, 0);
    print_table(&t);
    return 0;
}

static int run_delay_reset(const struct invocation *inv, struct error *err)
{
    _cleanup_free_ char *path = marathon_path("queue", inv->args[0], "/delay");
    _cleanup_free_ char *id = marathon_absolute_id(inv->args[0]);
    struct marathon_answer a;
    int r = marathon_call(cli_of(inv), "DELETE", path, NULL, &a, err);
    marathon_answer_done(&a);
    if (r == 0)
        printf("Delay on [%s] has been reset\n", id);
    return r;
}

/* ---- tasks ---- */

static bool is_healthy(const json_t *task)
{
    const json_t *results = json_at(task, "healthCheckResults");
    for (size_t i = 0; i < json_array_size(results); i++) {
        if (!json_bool_at(json_array_get(results, i), "alive", false))
            return false;
    }
    return true;
}

static int run_task_list(const struct invocation *inv, struct error *err)
{
    static const char *const headers[] = {"APP", "HEALTHY", "STARTED", "HOST", "ID", "ROLE"};
    _cleanup_free_ char *path = arg_at(inv, 0) ? marathon_path("apps", inv->args[0], "/tasks")
                                               : xstrdup("/v2/tasks");
    _cleanup_json_ json_t *json = NULL;
    int r = marathon_get(cli_of(inv), path, &json, err);
    if (r < 0)
        return r;
    const json_t *tasks = json_at(json, "tasks");
    if (option_bool(inv, "json")) {
        json_print(tasks, 2, PRINT_SORTED, stdout);
        return 0;
    }
    struct table t;
    table_init(&t, headers, ARRAY_SIZE(headers));
    for (size_t i = 0; i < json_array_size(tasks); i++) {
        const json_t *task = json_array_get(tasks, i);
        table_cell(&t, json_str_at(task, "appId", ""));
        table_cell(&t, is_healthy(task) ? "True" : "False");
        table_cell(&t, json_str_at(task, "startedAt", "N/A"));
        table_cell(&t, json_str_at(task, "host", ""));
        table_cell(&t, json_str_at(task, "id", ""));
        table_cell(&t, json_str_at(task, "role", ""));
    }
    table_sort(&t, 4);
    table_sort(&t, 0);
    if (option_bool(inv, "quiet")) {
        for (size_t i = 1; i <= table_rows(&t); i++)
            printf("%s\n", t.cells.items[i * t.columns + 4]);
        table_done(&t);
    } else {
        print_table(&t);
    }
    return 0;
}

static int run_task_show(const struct invocation *inv, struct error *err)
{
    _cleanup_json_ json_t *json = NULL;
    int r = marathon_get(cli_of(inv), "/v2/tasks", &json, err);
    if (r < 0)
        return r;
    const json_t *tasks = json_at(json, "tasks");
    for (size_t i = 0; i < json_array_size(tasks); i++) {
        const json_t *task = json_array_get(tasks, i);
        if (streq(json_str_at(task, "id", NULL), inv->args[0])) {
            json_print(task, 2, PRINT_SORTED, stdout);
            return 0;
        }
    }
    return error_set(
        err, -ENOENT, "Task '%s' does not exist (see 'dcos marathon task list')", inv->args[0]);
}

static int delete_tasks(
    const struct invocation *inv, bool scale, struct marathon_answer *ret, struct error *err)
{
    bool wipe = option_bool(inv, "wipe");
    _cleanup_json_ json_t *body = json_object();
    json_t *ids = json_array();
    json_object_set_new(body, "ids", ids);
    for (size_t i = 0; i < inv->n_args; i++)
        json_array_append_new(ids, json_string(inv->args[i]));
    _cleanup_free_ char *path = xasprintf("/v2/tasks/delete%s%s%s", scale || wipe ? "?" : "",
        scale  ? "scale=true"
        : wipe ? "wipe=true"
               : "",
        scale && wipe ? "&wipe=true" : "");
    return marathon_call(cli_of(inv), "POST", path, body, ret, err);
}

static int run_task_stop(const struct invocation *inv, struct error *err)
{
    struct marathon_answer a;
    int r = delete_tasks(inv, false, &a, err);
    const json_t *task = json_array_get(json_at(a.json, "tasks"), 0);
    if (r == 0 && !task)
        r = error_set(
            err, -ENOENT, "Task '%s' does not exist (see 'dcos marathon task list')", inv->args[0]);
    else if (r == 0)
        json_print(task, 2, PRINT_SORTED, stdout);
    marathon_answer_done(&a);
    return r;
}

static int run_task_kill(const struct invocation *inv, struct error *err)
{
    struct marathon_answer a;
    bool scale = option_bool(inv, "scale");
    int r = delete_tasks(inv, scale, &a, err);
    const json_t *tasks = json_at(a.json, "tasks");
    if (r == 0 && !scale && json_array_size(tasks) == 0)
        r = error_set(
            err, -ENOENT, "Task '%s' does not exist (see 'dcos marathon task list')", inv->args[0]);
    else if (r == 0 && a.json)
        json_print(scale ? a.json : tasks, 2, PRINT_SORTED, stdout);
    marathon_answer_done(&a);
    return r;
}

/* ---- tables ---- */

static const struct option_spec list_options[] = {OPTION_JSON, OPTION_QUIET};
static const struct option_spec json_options[] = {OPTION_JSON};
static const struct option_spec once_options[] = {
    {"once", 0, OPTION_BOOL, "Only ping one Marathon"}};
static const struct option_spec stop_options[] = {
    {"wipe", 0, OPTION_BOOL, "Also remove the task's persistent data"}};
static const struct option_spec kill_options[] = {OPTION_JSON,
    {"scale", 0, OPTION_BOOL, "Scale the app down as well"},
    {"wipe", 0, OPTION_BOOL, "Also remove the task's persistent data"}};

static const struct command *const task_children[] = {
    COMMAND(.name = "kill", .arguments = "<task-id>...", .summary = "Kill tasks",
        OPTIONS(kill_options), .min_args = 1, .max_args = UINT_MAX, .run = run_task_kill),
    COMMAND(.name = "list", .arguments = "[<app-id>]",
        .summary = "List the tasks of Marathon, or of one app", OPTIONS(list_options),
        .max_args = 1, .run = run_task_list),
    COMMAND(.name = "show", .arguments = "<task-id>", .summary = "Print a task", .min_args = 1,
        .max_args = 1, .run = run_task_show),
    COMMAND(.name = "stop", .arguments = "<task-id>",
        .summary = "Stop a task; Marathon starts another one", OPTIONS(stop_options), .min_args = 1,
        .max_args = 1, .run = run_task_stop),
};
const struct command command_marathon_task = {
    .name = "task", .summary = "Manage tasks", CHILDREN(task_children), .lenient = true};

static const struct command *const leader_children[] = {
    COMMAND(.name = "delete", .summary = "Make the leader step down", .run = run_leader_delete),
    COMMAND(.name = "show", .summary = "Print the address of the leader", OPTIONS(json_options),
        .run = run_leader_show),
};
static const struct command *const plugin_children[] = {COMMAND(.name = "list",
    .summary = "List Marathon's plugins", OPTIONS(json_options), .run = run_plugin_list)};
static const struct command *const delay_children[] = {
    COMMAND(.name = "reset", .arguments = "<app-id>",
        .summary = "Launch the next task of an app without waiting for its delay", .min_args = 1,
        .max_args = 1, .run = run_delay_reset)};

static const struct command *const children[] = {
    COMMAND(.name = "about", .summary = "Print info.json for DC/OS Marathon", .run = run_about),
    &command_marathon_app,
    &command_marathon_debug,
    COMMAND(.name = "delay", .summary = "Manage the launch delay of apps", CHILDREN(delay_children),
        .lenient = true),
    &command_marathon_deployment,
    &command_marathon_group,
    COMMAND(.name = "leader", .summary = "Manage the leading Marathon", CHILDREN(leader_children),
        .lenient = true),
    COMMAND(.name = "ping", .summary = "Ping Marathon", OPTIONS(once_options), .run = run_ping),
    COMMAND(.name = "plugin", .summary = "Manage Marathon's plugins", CHILDREN(plugin_children),
        .lenient = true),
    &command_marathon_task,
};
const struct command command_marathon = {
    .name = "marathon", .summary = "Deploy and manage applications to DC/OS", CHILDREN(children)};
