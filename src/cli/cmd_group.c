/* dcos marathon group add|list|remove|scale|show|update */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "cli/marathon.h"
#include "console/print.h"
#include "http/http.h"

static int missing(const char *id, int r, struct error *err)
{
    if (r != -ENOENT)
        return r;
    _cleanup_free_ char *absolute = marathon_absolute_id(id);
    return error_set(
        err, r, "Group '%s' does not exist (see 'dcos marathon group list')", absolute);
}

static int change(const struct invocation *inv, const char *method, const char *path,
    const json_t *body, bool print, struct error *err)
{
    struct marathon_answer a;
    int r = marathon_call(cli_of(inv), method, path, body, &a, err);
    if (r == 0 && print)
        print_deployment(&a);
    marathon_answer_done(&a);
    return r;
}

static int run_add(const struct invocation *inv, struct error *err)
{
    struct cli *c = cli_of(inv);
    const char *name = option_text(inv, "id");
    _cleanup_json_ json_t *group = NULL, *existing = NULL;
    if (name && !arg_at(inv, 0))
        group = json_object();
    int r = group ? 0 : cli_read_json(c, arg_at(inv, 0), &group, err);
    if (r < 0)
        return r;
    if (!json_is_object(group))
        return error_set(err, -EINVAL, "error loading JSON: expected an object, the group");
    if (name)
        json_object_set_new(group, "id", json_string(name));
    const char *id = json_str_at(group, "id", NULL);
    if (!id || !*id)
        return error_set(err, -EINVAL, "group ID must be set");
    _cleanup_free_ char *path = marathon_path("groups", id, "");
    r = marathon_get(c, path, &existing, err);
    if (r == 0) {
        _cleanup_free_ char *absolute = marathon_absolute_id(id);
        return error_set(err, -EEXIST,
            "Group '%s' already exists; change it with 'dcos marathon group update %s'", absolute,
            absolute);
    }
    if (r != -ENOENT)
        return r;
    return change(inv, "POST", "/v2/groups", group, true, err);
}

/* Adds rows for the group and those below, children first; returns how many apps are in it. */
static size_t put_group(struct table *t, const json_t *group, size_t depth)
{
    const json_t *groups = json_at(group, "groups"), *enforce = json_at(group, "enforceRole");
    size_t n = json_array_size(json_at(group, "apps"));
    for (size_t i = 0; depth < JSON_DEPTH_MAX && i < json_array_size(groups); i++)
        n += put_group(t, json_array_get(groups, i), depth + 1);
    table_cell(t, json_str_at(group, "id", ""));
    table_cell_f(t, "%zu", n);
    table_cell(t, json_is_boolean(enforce) ? json_is_true(enforce) ? "True" : "False" : "");
    return n;
}

static int run_list(const struct invocation *inv, struct error *err)
{
    static const char *const headers[] = {"ID", "APPS", "ENFORCE_ROLE"};
    _cleanup_json_ json_t *root = NULL;
    int r = marathon_get(cli_of(inv), "/v2/groups", &root, err);
    if (r < 0)
        return r;
    const json_t *groups = json_at(root, "groups");
    if (option_bool(inv, "json")) {
        json_print(groups, 2, PRINT_SORTED, stdout);
        return 0;
    }
    struct table t;
    table_init(&t, headers, ARRAY_SIZE(headers));
    for (size_t i = 0; i < json_array_size(groups); i++)
        put_group(&t, json_array_get(groups, i), 0);
    table_sort(&t, 0);
    if (option_bool(inv, "quiet")) {
        for (size_t i = 1; i <= table_rows(&t); i++)
            printf("%s\n", t.cells.items[i * t.columns]);
        table_done(&t);
    } else {
        print_table(&t);
    }
    return 0;
}

static int run_show(const struct invocation *inv, struct error *err)
{
    const char *version = option_text(inv, "group-version");
    _cleanup_buf_ struct buf suffix = BUF_INIT;
    _cleanup_json_ json_t *json = NULL, *versions = NULL;
    int64_t relative;
    if (version && parse_i64(str_of(version), &relative) == 0) {
        if (relative > 0)
            return error_set(err, -EINVAL, "relative versions must be negative: %s", version);
        _cleanup_free_ char *path = marathon_path("groups", inv->args[0], "/versions");
        int r = marathon_get(cli_of(inv), path, &versions, err);
        if (r < 0)
            return missing(inv->args[0], r, err);
        size_t n = json_array_size(versions);
        if (relative <= -(int64_t)n)
            return error_set(err, -EINVAL, "group '%s' only has %zu version(s)", inv->args[0], n);
        /* Newest first, whatever the order of the answer: the one that `-relative` are above. */
        for (size_t i = 0; i < n; i++) {
            size_t newer = 0;
            const char *text = json_string_value(json_array_get(versions, i)) ?: "";
            for (size_t k = 0; k < n; k++)
                newer += strcmp(json_string_value(json_array_get(versions, k)) ?: "", text) > 0;
            if ((int64_t)newer == -relative)
                version = text;
        }
    }
    if (version) {
        buf_puts(&suffix, "/versions/");
        buf_puts(&suffix, version);
    }
    _cleanup_free_ char *path = marathon_path("groups", inv->args[0], buf_cstr(&suffix));
    int r = marathon_get(cli_of(inv), path, &json, err);
    if (r == 0)
        json_print(json, 2, PRINT_SORTED, stdout);
    return missing(inv->args[0], r, err);
}

static int run_remove(const struct invocation *inv, struct error *err)
{
    _cleanup_free_ char *path = marathon_path(
        "groups", inv->args[0], option_bool(inv, "force") ? "?force=true" : "");
    return missing(inv->args[0], change(inv, "DELETE", path, NULL, false, err), err);
}

static int run_scale(const struct invocation *inv, struct error *err)
{
    double factor;
    if (parse_double(str_of(inv->args[1]), &factor) < 0 || factor < 0)
        return error_set(
            err, -EINVAL, "the scale factor must be a number of at least 0: %s", inv->args[1]);
    _cleanup_json_ json_t *body = json_object();
    json_object_set_new(body, "scaleBy", json_real(factor));
    _cleanup_free_ char *path = marathon_path(
        "groups", inv->args[0], option_bool(inv, "force") ? "?force=true" : "");
    return missing(inv->args[0], change(inv, "PUT", path, body, true, err), err);
}

static int run_update(const struct invocation *inv, struct error *err)
{
    struct cli *c = cli_of(inv);
    _cleanup_json_ json_t *body = NULL, *existing = NULL;
    int r = marathon_read_properties(c, inv, 1, &body, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *plain = marathon_path("groups", inv->args[0], "");
    r = marathon_get(c, plain, &existing, err);
    if (r < 0)
        return missing(inv->args[0], r, err);
    _cleanup_free_ char *path = marathon_path(
        "groups", inv->args[0], option_bool(inv, "force") ? "?force=true" : "");
    return change(inv, "PUT", path, body, true, err);
}

static const struct option_spec add_options[] = {
    {"id", 0, OPTION_STRING, "Id of an empty group to add, without a file"}};
static const struct option_spec force_options[] = {OPTION_FORCE};
static const struct option_spec list_options[] = {OPTION_JSON, OPTION_QUIET};
static const struct option_spec show_options[] = {{"group-version", 0, OPTION_STRING,
    "The version of the group to show: a timestamp, or how many versions back as -1"}};

static const struct command *const children[] = {
    COMMAND(.name = "add", .arguments = "[<file>]", .summary = "Create a group",
        OPTIONS(add_options), .max_args = 1, .run = run_add),
    COMMAND(.name = "list", .summary = "List the groups", OPTIONS(list_options), .run = run_list),
    COMMAND(.name = "remove", .arguments = "<group-id>", .summary = "Remove a group",
        OPTIONS(force_options), .min_args = 1, .max_args = 1, .run = run_remove),
    COMMAND(.name = "scale", .arguments = "<group-id> <factor>",
        .summary = "Scale a group: every app of it by the factor", OPTIONS(force_options),
        .min_args = 2, .max_args = 2, .run = run_scale),
    COMMAND(.name = "show", .arguments = "<group-id>", .summary = "Print a detailed list of groups",
        OPTIONS(show_options), .min_args = 1, .max_args = 1, .run = run_show),
    COMMAND(.name = "update", .arguments = "<group-id> [<property>=<value>...]",
        .summary = "Update a group", OPTIONS(force_options), .min_args = 1, .max_args = UINT_MAX,
        .run = run_update),
};

const struct command command_marathon_group = {
    .name = "group", .summary = "Manage groups", CHILDREN(children), .lenient = true};
