/* dcos marathon app ... */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "cli/marathon.h"
#include "console/print.h"
#include "http/http.h"

static const char *force_suffix(const struct invocation *inv)
{
    return option_bool(inv, "force") ? "?force=true" : "";
}

/* The app object; -ENOENT with "app '/x' does not exist". */
static int get_app(struct cli *c, const char *id, json_t **ret, struct error *err)
{
    _cleanup_free_ char *path = marathon_path("apps", id, "");
    _cleanup_json_ json_t *json = NULL;
    int r = marathon_get(c, path, &json, err);
    if (r == -ENOENT) {
        _cleanup_free_ char *absolute = marathon_absolute_id(id);
        return error_set(
            err, r, "app '%s' does not exist (see 'dcos marathon app list')", absolute);
    }
    if (r < 0)
        return r;
    json_t *app = json_object_get(json, "app");
    if (!json_is_object(app))
        return error_set(err, -EPROTO, "Marathon's answer holds no app");
    *ret = json_incref(app);
    return 0;
}

/* Sends and prints "Created deployment <id>". */
static int change(struct cli *c, const char *method, const char *path, const json_t *body,
    bool print, struct error *err)
{
    struct marathon_answer a;
    int r = marathon_call(c, method, path, body, &a, err);
    if (r == 0 && print)
        print_deployment(&a);
    marathon_answer_done(&a);
    return r;
}

static int run_add(const struct invocation *inv, struct error *err)
{
    struct cli *c = cli_of(inv);
    _cleanup_json_ json_t *app = NULL, *existing = NULL;
    int r = cli_read_json(c, arg_at(inv, 0), &app, err);
    if (r < 0)
        return r;
    if (!json_is_object(app))
        return error_set(err, -EINVAL, "error loading JSON: %s: expected an object, the app",
            arg_at(inv, 0) ?: "stdin");
    const char *id = json_str_at(app, "id", NULL);
    if (!id || !*id)
        return error_set(err, -EINVAL, "application ID must be set");
    r = get_app(c, id, &existing, err);
    if (r == 0) {
        _cleanup_free_ char *absolute = marathon_absolute_id(id);
        return error_set(err, -EEXIST,
            "Application '%s' already exists; change it with 'dcos marathon app update %s'",
            absolute, absolute);
    }
    if (r != -ENOENT)
        return r;
    return change(c, "POST", "/v2/apps", app, true, err);
}

/* ---- list ---- */

static const json_t *find_by_id(const json_t *array, const char *id)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *item = json_array_get(array, i);
        if (streq(json_str_at(item, "id", NULL), id))
            return item;
    }
    return NULL;
}

static void put_deployment(struct table *t, const json_t *app, const json_t *deployments)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    size_t n = 0;
    const json_t *own = json_at(app, "deployments");
    for (size_t i = 0; i < json_array_size(own); i++) {
        const json_t *d = find_by_id(deployments, json_str_at(json_array_get(own, i), "id", ""));
        const json_t *actions = json_at(d, "currentActions");
        for (size_t k = 0; k < json_array_size(actions); k++) {
            const json_t *action = json_array_get(actions, k);
            if (!streq(json_str_at(action, "app", NULL), json_str_at(app, "id", "")))
                continue;
            buf_printf(&text, "%s%s", n++ ? "," : "",
                marathon_action_word(json_str_at(action, "action", "?")));
        }
    }
    if (n == 0)
        table_cell(t, "---");
    else if (n == 1)
        table_cell(t, buf_cstr(&text));
    else
        table_cell_f(t, "(%s)", buf_cstr(&text));
}

static void put_command(struct table *t, const json_t *app)
{
    enum { COMMAND_MAX = 30 };
    _cleanup_buf_ struct buf text = BUF_INIT;
    const json_t *args = json_at(app, "args");
    const char *cmd = json_str_at(app, "cmd", NULL);
    if (cmd) {
        buf_puts(&text, cmd);
    } else if (json_array_size(args) > 0) {
        for (size_t i = 0; i < json_array_size(args); i++)
            buf_printf(
                &text, "%s%s", i ? ", " : "[", json_string_value(json_array_get(args, i)) ?: "?");
        buf_putc(&text, ']');
    }
    /* One line, cut between characters, to 30 with the dots. */
    size_t n = 0, chars = 0, cut = 0;
    for (; n < text.n && chars < COMMAND_MAX; chars++) {
        if (chars == COMMAND_MAX - 3)
            cut = n;
        if (text.p[n] == '\n')
            text.p[n] = ' ';
        n++;
        while (n < text.n && ((unsigned char)text.p[n] & 0xc0) == 0x80)
            n++;
    }
    bool whole = n == text.n;
    table_cell_f(t, "%.*s%s", (int)(whole ? n : cut), buf_cstr(&text), whole ? "" : "...");
}

static bool is_waiting(const json_t *queue, const char *id)
{
    for (size_t i = 0; i < json_array_size(queue); i++) {
        const json_t *item = json_array_get(queue, i);
        if (streq(json_str_at(json_at(item, "app"), "id", NULL), id))
            return json_bool_at(json_at(item, "delay"), "overdue", false);
    }
    return false;
}

static void put_number(struct table *t, const json_t *app, const char *key)
{
    table_cell_f(t, "%.10g", json_double_at(app, key, 0));
}

static void put_app(
    struct table *t, const json_t *app, const json_t *deployments, const json_t *queue)
{
    const char *id = json_str_at(app, "id", "");
    long long running = json_i64_at(app, "tasksRunning", 0);
    table_cell(t, id);
    put_number(t, app, "mem");
    put_number(t, app, "cpus");
    table_cell_f(t, "%lld/%lld", running, (long long)json_i64_at(app, "instances", 0));
    if (json_array_size(json_at(app, "healthChecks")) > 0)
        table_cell_f(t, "%lld/%lld", (long long)json_i64_at(app, "tasksHealthy", 0), running);
    else
        table_cell(t, "---");
    put_deployment(t, app, deployments);
    table_cell(t, is_waiting(queue, id) ? "true" : "false");
    table_cell(t, json_str_at(json_at(app, "container"), "type", "MESOS"));
    put_command(t, app);
    table_cell(t, json_str_at(app, "role", ""));
}

static int by_id(const void *a, const void *b)
{
    return strcmp(
        json_str_at(*(json_t *const *)a, "id", ""), json_str_at(*(json_t *const *)b, "id", ""));
}

static int run_list(const struct invocation *inv, struct error *err)
{
    static const char *const headers[] = {"ID", "MEM", "CPUS", "TASKS", "HEALTH", "DEPLOYMENT",
        "WAITING", "CONTAINER", "CMD", "ROLE"};
    struct cli *c = cli_of(inv);
    _cleanup_json_ json_t *json = NULL, *deployments = NULL, *queue = NULL;
    int r = marathon_get(c, "/v2/apps", &json, err);
    if (r < 0)
        return r;
    const json_t *apps = json_at(json, "apps");
    if (option_bool(inv, "json")) {
        json_print(apps, 4, 0, stdout);
        return 0;
    }
    size_t n = json_array_size(apps);
    json_t **sorted = xnew_array(json_t *, n + 1);
    for (size_t i = 0; i < n; i++)
        sorted[i] = json_array_get(apps, i);
    qsort(sorted, n, sizeof(*sorted), by_id);
    if (option_bool(inv, "quiet")) {
        for (size_t i = 0; i < n; i++)
            printf("%s\n", json_str_at(sorted[i], "id", ""));
        free(sorted);
        return 0;
    }
    r = marathon_get(c, "/v2/deployments", &deployments, err);
    if (r == 0)
        r = marathon_get(c, "/v2/queue", &queue, err);
    if (r == 0) {
        struct table t;
        table_init(&t, headers, ARRAY_SIZE(headers));
        t.left_only = true;
        for (size_t i = 0; i < n; i++)
            put_app(&t, sorted[i], deployments, json_at(queue, "queue"));
        print_table(&t);
    }
    free(sorted);
    return r;
}

/* ---- show and versions ---- */

static int newest_first(const void *a, const void *b)
{
    return -strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Texts of the versions, newest first; they belong to *ret_json, the array to the caller. */
static int get_versions(struct cli *c, const char *id, json_t **ret_json, const char ***ret,
    size_t *ret_n, struct error *err)
{
    _cleanup_free_ char *path = marathon_path("apps", id, "/versions");
    int r = marathon_get(c, path, ret_json, err);
    if (r == -ENOENT) {
        _cleanup_free_ char *absolute = marathon_absolute_id(id);
        return error_set(
            err, r, "app '%s' does not exist (see 'dcos marathon app list')", absolute);
    }
    if (r < 0)
        return r;
    const json_t *versions = json_at(*ret_json, "versions");
    size_t n = 0;
    const char **texts = xnew_array(const char *, json_array_size(versions) + 1);
    for (size_t i = 0; i < json_array_size(versions); i++) {
        const char *text = json_string_value(json_array_get(versions, i));
        if (text)
            texts[n++] = text;
    }
    qsort(texts, n, sizeof(*texts), newest_first);
    *ret = texts;
    *ret_n = n;
    return 0;
}

static int run_show(const struct invocation *inv, struct error *err)
{
    struct cli *c = cli_of(inv);
    const char *id = inv->args[0], *version = option_text(inv, "app-version");
    _cleanup_json_ json_t *json = NULL, *versions_json = NULL;
    int r;
    if (!version) {
        r = get_app(c, id, &json, err);
        if (r == 0)
            json_print(json, 4, 0, stdout);
        return r;
    }
    const char **versions = NULL;
    size_t n = 0;
    int64_t relative;
    if (parse_i64(str_of(version), &relative) == 0) {
        if (relative > 0)
            return error_set(err, -EINVAL, "relative versions must be negative: %s", version);
        r = get_versions(c, id, &versions_json, &versions, &n, err);
        if (r < 0)
            return r;
        if (relative <= -(int64_t)n) {
            free(versions);
            return error_set(err, -EINVAL, "application '%s' only has %zu version(s)", id, n);
        }
        version = versions[-relative];
        free(versions);
    }
    _cleanup_buf_ struct buf suffix = BUF_INIT;
    buf_puts(&suffix, "/versions/");
    buf_puts(&suffix, version);
    _cleanup_free_ char *path = marathon_path("apps", id, buf_cstr(&suffix));
    r = marathon_get(c, path, &json, err);
    if (r == -EINVAL)
        return error_set(
            err, r, "invalid timestamp provided '%s', expecting ISO-8601 datetime string", version);
    if (r == 0)
        json_print(json, 4, 0, stdout);
    return r;
}

static int run_version_list(const struct invocation *inv, struct error *err)
{
    int64_t max = option_i64(inv, "max-count", INT64_MAX);
    if (max <= 0)
        return error_set(err, -EINVAL, "maximum count must be a positive number");
    _cleanup_json_ json_t *json = NULL, *out = json_array();
    const char **versions = NULL;
    size_t n = 0;
    int r = get_versions(cli_of(inv), inv->args[0], &json, &versions, &n, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < n && (int64_t)i < max; i++)
        json_array_append_new(out, json_string(versions[i]));
    json_print(out, 2, 0, stdout);
    free(versions);
    return 0;
}

/* ---- changes ---- */

static int scale_to(
    const struct invocation *inv, const char *id, int64_t instances, bool print, struct error *err)
{
    _cleanup_free_ char *path = marathon_path("apps", id, force_suffix(inv));
    _cleanup_json_ json_t *body = json_object();
    json_object_set_new(body, "instances", json_integer(instances));
    return change(cli_of(inv), "PUT", path, body, print, err);
}

static int run_start(const struct invocation *inv, struct error *err)
{
    int64_t wanted = 1;
    const char *text = arg_at(inv, 1);
    if (text && parse_i64(str_of(text), &wanted) < 0)
        return error_set(err, -EINVAL, "the number of instances must be a whole number: %s", text);
    if (wanted <= 0)
        return error_set(
            err, -EINVAL, "the number of instances must be positive: %lld", (long long)wanted);
    _cleanup_json_ json_t *app = NULL;
    int r = get_app(cli_of(inv), inv->args[0], &app, err);
    if (r < 0)
        return r;
    long long now = json_i64_at(app, "instances", 0);
    if (now > 0)
        return error_set(err, -EALREADY,
            "application '%s' already started: %lld instances; scale it with 'dcos marathon app "
            "update %s instances=N'",
            inv->args[0], now, inv->args[0]);
    return scale_to(inv, inv->args[0], wanted, true, err);
}

static int run_stop(const struct invocation *inv, struct error *err)
{
    _cleanup_json_ json_t *app = NULL;
    int r = get_app(cli_of(inv), inv->args[0], &app, err);
    if (r < 0)
        return r;
    if (json_i64_at(app, "instances", 0) == 0) {
        _cleanup_free_ char *id = marathon_absolute_id(inv->args[0]);
        return error_set(err, -EALREADY, "app '%s' already stopped: 0 instances", id);
    }
    return scale_to(inv, inv->args[0], 0, true, err);
}

static int run_restart(const struct invocation *inv, struct error *err)
{
    _cleanup_json_ json_t *app = NULL;
    int r = get_app(cli_of(inv), inv->args[0], &app, err);
    if (r < 0)
        return r;
    if (json_i64_at(app, "instances", 0) == 0) {
        _cleanup_free_ char *id = marathon_absolute_id(inv->args[0]);
        return error_set(err, -EINVAL,
            "unable to perform rolling restart of application '%s' because it has no running tasks",
            id);
    }
    _cleanup_buf_ struct buf suffix = BUF_INIT;
    buf_printf(&suffix, "/restart%s", force_suffix(inv));
    _cleanup_free_ char *path = marathon_path("apps", inv->args[0], buf_cstr(&suffix));
    return change(cli_of(inv), "POST", path, NULL, true, err);
}

static int run_remove(const struct invocation *inv, struct error *err)
{
    /* Marathon's own default of force is true here; the command line asks for it by name. */
    _cleanup_free_ char *path = marathon_path(
        "apps", inv->args[0], option_bool(inv, "force") ? "?force=true" : "?force=false");
    return change(cli_of(inv), "DELETE", path, NULL, false, err);
}

static int run_update(const struct invocation *inv, struct error *err)
{
    struct cli *c = cli_of(inv);
    _cleanup_json_ json_t *app = NULL, *body = NULL;
    int r = marathon_read_properties(c, inv, 1, &body, err);
    if (r == 0)
        r = get_app(c, inv->args[0], &app, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *path = marathon_path("apps", inv->args[0], force_suffix(inv));
    return change(c, "PUT", path, body, true, err);
}

static int run_kill(const struct invocation *inv, struct error *err)
{
    struct cli *c = cli_of(inv);
    const char *host = option_text(inv, "host");
    bool scale = option_bool(inv, "scale");
    if (scale && host)
        return error_set(err, -EINVAL, "--scale and --host cannot be used at the same time");
    _cleanup_buf_ struct buf suffix = BUF_INIT;
    buf_puts(&suffix, "/tasks");
    if (scale) {
        buf_puts(&suffix, "?scale=true");
    } else if (host) {
        buf_puts(&suffix, "?host=");
        http_escape(&suffix, str_of(host));
    }
    _cleanup_free_ char *path = marathon_path("apps", inv->args[0], buf_cstr(&suffix));
    struct marathon_answer a;
    int r = marathon_call(c, "DELETE", path, NULL, &a, err);
    if (r == -ENOENT) {
        _cleanup_free_ char *id = marathon_absolute_id(inv->args[0]);
        error_set(err, r, "app '%s' does not exist or has no tasks", id);
    } else if (r == 0) {
        _cleanup_buf_ struct buf text = BUF_INIT;
        const json_t *shown = scale ? a.json : json_at(a.json, "tasks");
        if (shown)
            json_dump(shown, &text);
        printf("%s: %s\n", scale ? "Started deployment" : "Killed tasks",
            shown ? buf_cstr(&text) : "[]");
    }
    marathon_answer_done(&a);
    return r;
}

/* ---- tables ---- */

static const struct option_spec force_options[] = {OPTION_FORCE};
static const struct option_spec kill_options[] = {
    {"host", 0, OPTION_STRING, "The hostname that is running app"},
    {"scale", 0, OPTION_BOOL, "Scale the app down after performing the operation"}};
static const struct option_spec list_options[] = {OPTION_JSON, OPTION_QUIET};
static const struct option_spec show_options[] = {{"app-version", 0, OPTION_STRING,
    "The version of the app to show: a timestamp, or how many versions back as -1"}};
static const struct option_spec version_options[] = {
    {"max-count", 0, OPTION_I64, "Maximum number of entries to fetch and return"}};

static const struct command *const version_children[] = {COMMAND(.name = "list",
    .arguments = "<app-id>", .summary = "List the version history of an application",
    OPTIONS(version_options), .min_args = 1, .max_args = 1, .run = run_version_list)};

static const struct command *const children[] = {
    COMMAND(.name = "add", .arguments = "[<file>]", .summary = "Add an application",
        .examples = "    dcos marathon app add web.json\n    cat web.json | dcos marathon app add",
        .max_args = 1, .run = run_add),
    COMMAND(.name = "kill", .arguments = "<app-id>",
        .summary = "Kill a running application instance", OPTIONS(kill_options), .min_args = 1,
        .max_args = 1, .run = run_kill),
    COMMAND(.name = "list", .summary = "List the installed applications", OPTIONS(list_options),
        .run = run_list),
    COMMAND(.name = "remove", .arguments = "<app-id>", .summary = "Remove an application",
        OPTIONS(force_options), .min_args = 1, .max_args = 1, .run = run_remove),
    COMMAND(.name = "restart", .arguments = "<app-id>", .summary = "Restart an application",
        OPTIONS(force_options), .min_args = 1, .max_args = 1, .run = run_restart),
    COMMAND(.name = "show", .arguments = "<app-id>",
        .summary = "Show the marathon.json for an application", OPTIONS(show_options),
        .min_args = 1, .max_args = 1, .run = run_show),
    COMMAND(.name = "start", .arguments = "<app-id> [<instances>]",
        .summary = "Start an application", OPTIONS(force_options), .min_args = 1, .max_args = 2,
        .run = run_start),
    COMMAND(.name = "stop", .arguments = "<app-id>", .summary = "Stop an application",
        OPTIONS(force_options), .min_args = 1, .max_args = 1, .run = run_stop),
    COMMAND(.name = "update", .arguments = "<app-id> [<property>=<value>...]",
        .summary = "Update an application",
        .description =
            "Update an application: each property named is replaced. Without any, a JSON "
            "object is read from stdin.",
        .examples = "    dcos marathon app update /web instances=4\n"
                    "    dcos marathon app update /web < web-v2.json",
        OPTIONS(force_options), .min_args = 1, .max_args = UINT_MAX, .run = run_update),
    COMMAND(.name = "version", .summary = "Manage application versions", CHILDREN(version_children),
        .lenient = true),
};

const struct command command_marathon_app = {
    .name = "app", .summary = "Manage applications", CHILDREN(children), .lenient = true};
