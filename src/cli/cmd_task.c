/* dcos task list|ls|log */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/mesos.h"
#include "cli/task_log.h"
#include "console/print.h"

static int scope_of(const struct invocation *inv, enum task_scope *ret, struct error *err)
{
    bool all = option_bool(inv, "all"), completed = option_bool(inv, "completed");
    if (all && completed)
        return error_set(err, -EINVAL, "cannot accept both options --all and --completed");
    *ret = all ? TASKS_ALL : completed ? TASKS_COMPLETED : TASKS_ACTIVE;
    return 0;
}

/* ---- list ---- */

static const char *user_of(const json_t *state, const json_t *task)
{
    const json_t *frameworks = json_at(state, "frameworks");
    const char *own = json_str_at(task, "user", NULL);
    for (size_t i = 0; !own && i < json_array_size(frameworks); i++) {
        const json_t *f = json_array_get(frameworks, i);
        if (streq(json_str_at(f, "id", NULL), json_str_at(task, "framework_id", "")))
            own = json_str_at(f, "user", "");
    }
    return own ?: "";
}

static void print_tasks(const json_t *state, const json_t *tasks)
{
    static const char *const headers[] = {
        "NAME", "HOST", "USER", "STATE", "ID", "AGENT ID", "REGION", "ZONE"};
    struct table t;
    table_init(&t, headers, ARRAY_SIZE(headers));
    for (size_t i = 0; i < json_array_size(tasks); i++) {
        const json_t *task = json_array_get(tasks, i);
        const char *agent_id = json_str_at(task, "slave_id", "");
        const json_t *agent = mesos_agent(state, agent_id);
        const char *word = json_str_at(task, "state", "");
        table_cell(&t, json_str_at(task, "name", ""));
        table_cell(&t, json_str_at(agent, "hostname", ""));
        table_cell(&t, user_of(state, task));
        table_cell(&t, word);
        table_cell(&t, json_str_at(task, "id", ""));
        table_cell(&t, agent_id);
        table_cell(&t, mesos_domain(agent, "region", "N/A"));
        table_cell(&t, mesos_domain(agent, "zone", "N/A"));
    }
    table_sort(&t, 4);
    table_sort(&t, 0);
    print_table(&t);
}

static int list(const struct invocation *inv, struct error *err)
{
    enum task_scope scope = 0;
    const char *filter = arg_at(inv, 0), *agent = option_text(inv, "agent-id");
    _cleanup_json_ json_t *state = NULL;
    int r = scope_of(inv, &scope, err);
    if (r == 0)
        r = mesos_state(cli_of(inv), &state, err);
    if (r < 0)
        return r;
    _cleanup_json_ json_t *tasks = mesos_tasks(state, scope, filter, agent);
    if (option_bool(inv, "json")) {
        json_print(tasks, 4, 0, stdout);
        return 0;
    }
    if (json_array_size(tasks) == 0 && filter && agent)
        return error_set(
            err, -ENOENT, "no task ID found containing '%s' in agent '%s'", filter, agent);
    if (json_array_size(tasks) == 0 && filter)
        return error_set(err, -ENOENT, "no task ID found containing '%s'", filter);
    if (json_array_size(tasks) == 0 && agent)
        return error_set(err, -ENOENT, "no task found in agent '%s'", agent);
    if (!option_bool(inv, "quiet")) {
        print_tasks(state, tasks);
        return 0;
    }
    for (size_t i = 0; i < json_array_size(tasks); i++)
        printf("%s\n", json_str_at(json_array_get(tasks, i), "id", ""));
    return 0;
}

static int run_bare(const struct invocation *inv, struct error *err)
{
    if (getenv("DCOS_CLI_STRICT_DEPRECATIONS")) {
        command_help(inv->command, inv->path, false, stdout);
        return 0;
    }
    fprintf(stderr, "\"dcos task\" is deprecated, please use \"dcos task list\".\n");
    return list(inv, err);
}

/* ---- ls ---- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void print_long(const json_t *entries)
{
    static const char *const headers[] = {"MODE", "LINKS", "UID", "GID", "SIZE", "DATE", "NAME"};
    struct table t;
    table_init(&t, headers, ARRAY_SIZE(headers));
    for (size_t i = 0; i < json_array_size(entries); i++) {
        const json_t *e = json_array_get(entries, i);
        char when[TIME_TEXT_SIZE];
        time_format_rfc3339((int64_t)(json_double_at(e, "mtime", 0) * 1e6), when);
        table_cell(&t, json_str_at(e, "mode", ""));
        table_cell_f(&t, "%lld", (long long)json_i64_at(e, "nlink", 0));
        table_cell(&t, json_str_at(e, "uid", ""));
        table_cell(&t, json_str_at(e, "gid", ""));
        table_cell_f(&t, "%lld", (long long)json_i64_at(e, "size", 0));
        table_cell_f(&t, "%.10s %.5s", when, when + 11);
        table_cell(&t, base_name(json_str_at(e, "path", "")));
    }
    print_table(&t);
}

/* A file is listed like a folder that holds only it. */
static int list_sandbox(
    struct cli *c, const struct sandbox *s, const char *path, json_t **ret, struct error *err)
{
    int r = sandbox_browse(c, s, path, ret, err);
    if (r < 0 || json_array_size(*ret) > 0 || !*path)
        return r;
    const char *slash = strrchr(path, '/');
    _cleanup_free_ char *parent = xstrndup(path, slash ? (size_t)(slash - path) : 0);
    _cleanup_json_ json_t *entries = NULL;
    if (sandbox_browse(c, s, parent, &entries, NULL) < 0)
        return 0;
    for (size_t i = 0; i < json_array_size(entries); i++) {
        json_t *e = json_array_get(entries, i);
        const char *mode = json_str_at(e, "mode", "");
        if (mode[0] != 'd' && streq(base_name(json_str_at(e, "path", "")), base_name(path)))
            json_array_append(*ret, e);
    }
    return 0;
}

static int run_ls(const struct invocation *inv, struct error *err)
{
    struct cli *c = cli_of(inv);
    enum task_scope scope = 0;
    _cleanup_json_ json_t *state = NULL;
    int r = scope_of(inv, &scope, err);
    if (r == 0)
        r = mesos_state(c, &state, err);
    if (r < 0)
        return r;
    _cleanup_json_ json_t *tasks = mesos_tasks(state, scope, inv->args[0], NULL);
    size_t n = json_array_size(tasks);
    if (n == 0)
        return error_set(err, -ENOENT,
            "no task ID found containing '%s' (see 'dcos task list --all')", inv->args[0]);
    _cleanup_free_ char *path = xstrdup(arg_at(inv, 1) ?: "");
    for (size_t len = strlen(path); len > 0 && path[len - 1] == '/';)
        path[--len] = '\0';
    const char *start = path;
    while (*start == '/' || (start[0] == '.' && (start[1] == '/' || !start[1])))
        start++;
    for (size_t i = 0; i < n; i++) {
        const json_t *task = json_array_get(tasks, i);
        struct sandbox sandbox = {0};
        _cleanup_json_ json_t *entries = NULL;
        if (n > 1)
            printf("===> %s <===\n", json_str_at(task, "id", ""));
        r = sandbox_find(c, state, task, &sandbox, err);
        if (r == 0)
            r = list_sandbox(c, &sandbox, start, &entries, err);
        sandbox_done(&sandbox);
        if (r == -ENOENT)
            return error_set(
                err, r, "cannot access '%s': no such file or directory", *start ? start : "/");
        if (r < 0)
            return r;
        if (option_bool(inv, "long")) {
            print_long(entries);
            continue;
        }
        for (size_t k = 0; k < json_array_size(entries); k++)
            printf("%s%s", k ? "  " : "",
                base_name(json_str_at(json_array_get(entries, k), "path", "")));
        printf("\n");
    }
    return 0;
}

/* ---- log ---- */

static int run_log(const struct invocation *inv, struct error *err)
{
    struct cli *c = cli_of(inv);
    enum task_scope scope = 0;
    struct task_log_options options = {.file = arg_at(inv, 1) ?: "stdout",
        .lines = option_i64(inv, "lines", 10),
        .follow = option_bool(inv, "follow")};
    if (options.lines < 0)
        return error_set(err, -EINVAL, "--lines must not be negative");
    while (*options.file == '/')
        options.file++;
    _cleanup_json_ json_t *state = NULL;
    int r = scope_of(inv, &scope, err);
    if (r == 0)
        r = mesos_state(c, &state, err);
    if (r < 0)
        return r;
    _cleanup_json_ json_t *tasks = mesos_tasks(state, scope, inv->args[0], NULL);
    if (json_array_size(tasks) == 0) {
        _cleanup_json_ json_t *over = mesos_tasks(state, TASKS_COMPLETED, inv->args[0], NULL);
        return error_set(err, -ENOENT, "no task ID found containing '%s'%s", inv->args[0],
            json_array_size(over) > 0 && scope == TASKS_ACTIVE
                ? "; it ended, see its log with --completed"
                : " (see 'dcos task list --all')");
    }
    return task_log(c, state, tasks, &options, err);
}

static const struct option_spec list_options[] = {
    {"agent-id", 0, OPTION_STRING, "Only tasks of this agent"},
    {"all", 0, OPTION_BOOL, "Print completed and in-progress tasks"},
    {"completed", 0, OPTION_BOOL, "Print completed tasks"}, OPTION_JSON, OPTION_QUIET};
static const struct option_spec bare_options[] = {
    {"agent-id", 0, OPTION_STRING, "Only tasks of this agent", .hidden = true},
    {"all", 0, OPTION_BOOL, "Print completed and in-progress tasks", .hidden = true},
    {"completed", 0, OPTION_BOOL, "Print completed tasks", .hidden = true},
    {"json", 0, OPTION_BOOL, "Print in JSON format", .hidden = true},
    {"quiet", 'q', OPTION_BOOL, "Print only ids", .hidden = true}};
static const struct option_spec log_options[] = {
    {"all", 0, OPTION_BOOL, "Completed and in-progress tasks"},
    {"completed", 0, OPTION_BOOL, "Completed tasks"},
    {"follow", 0, OPTION_BOOL, "Dynamically update the log"},
    {"lines", 0, OPTION_I64, "Print the last N lines (10)"},
    {"output", 'o', OPTION_STRING, "Accepted and without effect", .hidden = true}};
static const struct option_spec ls_options[] = {
    {"all", 0, OPTION_BOOL, "Completed and in-progress tasks"},
    {"completed", 0, OPTION_BOOL, "Completed tasks"},
    {"long", 0, OPTION_BOOL, "Print full details of each file"}};

static const struct command *const children[] = {
    COMMAND(.name = "list", .arguments = "[<filter>]",
        .summary = "Print the Mesos tasks in the cluster", OPTIONS(list_options), .max_args = 1,
        .run = list),
    COMMAND(.name = "log", .arguments = "<task> [<file>]",
        .summary = "Print the task log. By default, the 10 most recent task logs from stdout",
        .examples = "    dcos task log --follow web\n    dcos task log --lines=50 web stderr",
        OPTIONS(log_options), .min_args = 1, .max_args = 2, .run = run_log),
    COMMAND(.name = "ls", .arguments = "<task> [<path>]",
        .summary = "Print the list of files in the Mesos task sandbox", OPTIONS(ls_options),
        .min_args = 1, .max_args = 2, .run = run_ls),
};
const struct command command_task = {.name = "task",
    .arguments = "[<filter>]",
    .summary = "Manage DC/OS tasks",
    OPTIONS(bare_options),
    CHILDREN(children),
    .max_args = 1,
    .run = run_bare};
