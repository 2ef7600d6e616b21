/* dcos cluster attach|list|open|remove|rename|setup, and link|unlink of cmd_cluster_link.c */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "cli/links.h"
#include "console/print.h"

enum { LOOK_TIMEOUT_S = 3 };

/* ---- setup, attach ---- */

static int run_setup(const struct invocation *inv, struct error *err)
{
    struct setup_flags flags;
    if (inv->n_args == 0)
        return error_set(err, -EINVAL, "missing cluster URL");
    if (inv->n_args > 1) {
        _cleanup_buf_ struct buf words = BUF_INIT;
        for (size_t i = 0; i < inv->n_args; i++)
            buf_printf(&words, "%s%s", i ? " " : "", inv->args[i]);
        return error_set(err, -EINVAL, "received %zu arguments [%s], expects a single cluster URL",
            inv->n_args, buf_cstr(&words));
    }
    setup_flags_of(inv, &flags);
    return setup(cli_of(inv), inv->args[0], &flags, NULL, err);
}

/* A cluster that the current one links to, and that is not set up here, is set up on the way. */
static int attach_linked(struct cli *c, const char *word, struct error *err)
{
    _cleanup_json_ json_t *links = NULL;
    if (links_get(c, &links, NULL) < 0)
        return error_set(err, -ENOENT, "no match found");
    const json_t *link = links_find(links, word);
    if (!link)
        return error_set(err, -ENOENT, "no match found");
    const struct setup_flags flags = {.name = json_str_at(link, "name", NULL),
        .login = {.provider = json_str_at(json_at(link, "login_provider"), "id", NULL)}};
    return setup(c, json_str_at(link, "url", ""), &flags, NULL, err);
}

static int run_attach(const struct invocation *inv, struct error *err)
{
    struct clusters all;
    int r = clusters_load(&all, err);
    if (r < 0)
        return r;
    ssize_t i = clusters_find(&all, inv->args[0], true, err);
    if (i >= 0)
        r = clusters_attach(&all, (size_t)i, err);
    else
        r = i == -ENOENT && all.items.n ? attach_linked(cli_of(inv), inv->args[0], err) : (int)i;
    clusters_done(&all);
    return r;
}

/* ---- list ---- */

struct row {
    bool attached;
    const char *id, *name, *url, *status;
    char *version;
};

static void row_done(struct row *row)
{
    free(row->version);
}

/* Version of a cluster, to be freed, or NULL when it does not answer. */
static char *ask_version(struct cli *c, const struct known_cluster *k)
{
    struct reply reply = {0};
    _cleanup_json_ json_t *json = NULL;
    char *version = NULL;
    const char *base = known_get(k, "core.dcos_url", NULL);
    /* A local cluster without a front door: its master answers. */
    const char *master = known_get(k, "core.mesos_master_url", NULL);
    _cleanup_free_ char *url = base ? xasprintf("%s/dcos-metadata/dcos-version.json", base)
                                    : xasprintf("%s/version", master ?: "");
    if ((!base && !master) || cli_connect_to(c, k, NULL) < 0)
        return NULL;
    const struct request req = {.url = url, .timeout_us = LOOK_TIMEOUT_S * USEC_PER_SEC};
    if (cli_send_raw(c, &req, &reply, NULL) == 0 && reply.status == 200 &&
        json_parse(buf_cstr(&reply.body), reply.body.n, &json, NULL) == 0)
        version = xstrdup(json_str_at(json, "version", "UNKNOWN"));
    reply_done(&reply);
    return version;
}

static void print_rows(const struct row *rows, size_t n)
{
    static const char *const headers[] = {"", "NAME", "ID", "STATUS", "VERSION", "URL"};
    struct table t;
    table_init(&t, headers, ARRAY_SIZE(headers));
    for (size_t i = 0; i < n; i++) {
        table_cell(&t, rows[i].attached ? "*" : "");
        table_cell(&t, rows[i].name);
        table_cell(&t, rows[i].id);
        table_cell(&t, rows[i].status);
        table_cell(&t, rows[i].version);
        table_cell(&t, rows[i].url);
    }
    print_table(&t);
}

static void print_rows_json(const struct row *rows, size_t n)
{
    _cleanup_json_ json_t *out = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *o = json_object();
        json_object_set_new(o, "attached", json_boolean(rows[i].attached));
        json_object_set_new(o, "cluster_id", json_string(rows[i].id));
        json_object_set_new(o, "name", json_string(rows[i].name));
        json_object_set_new(o, "status", json_string(rows[i].status));
        json_object_set_new(o, "url", json_string(rows[i].url));
        json_object_set_new(o, "version", json_string(rows[i].version));
        json_array_append_new(out, o);
    }
    json_print(out, 4, 0, stdout);
}

static struct row row_of(struct cli *c, const struct known_cluster *k, bool current)
{
    struct row row = {.attached = current,
        .id = k->id,
        .name = known_get(k, "cluster.name", ""),
        .url = known_get(k, "core.dcos_url", NULL) ?: known_get(k, "core.mesos_master_url", ""),
        .version = ask_version(c, k)};
    row.status = row.version ? "AVAILABLE" : "UNAVAILABLE";
    if (!row.version)
        row.version = xstrdup("UNKNOWN");
    return row;
}

static bool is_known(const struct clusters *all, const char *id)
{
    for (size_t i = 0; i < all->items.n; i++)
        if (streq(all->items.items[i].id, id))
            return true;
    return false;
}

static int run_list(const struct invocation *inv, struct error *err)
{
    struct cli *c = cli_of(inv);
    struct clusters all;
    bool only = option_bool(inv, "attached");
    int r = clusters_load(&all, err);
    if (r < 0)
        return r;
    if (option_bool(inv, "names")) {
        VEC_FOREACH (k, &all.items)
            printf("%s\n", known_get(k, "cluster.name", k->id));
        clusters_done(&all);
        return 0;
    }
    ssize_t current = clusters_current(&all, only ? err : NULL);
    VEC(struct row) rows = {0};
    if (only && current < 0) {
        r = current == -ENOENT ? error_set(err, -ENOENT,
                                     "no cluster is attached. Please run `dcos cluster attach "
                                     "<cluster-name>`")
                               : (int)current;
    }
    for (size_t i = 0; r == 0 && i < all.items.n; i++)
        if (!only || current == (ssize_t)i)
            vec_push(&rows, row_of(c, &all.items.items[i], current == (ssize_t)i));
    _cleanup_json_ json_t *links = NULL;
    if (r == 0 && !only && current >= 0 && streq(rows.items[current].status, "AVAILABLE") &&
        known_get(&all.items.items[current], "core.dcos_url", NULL) &&
        cli_connect_to(c, &all.items.items[current], NULL) == 0)
        (void)links_get(c, &links, NULL);
    for (size_t i = 0; i < json_array_size(links); i++) {
        const json_t *link = json_array_get(links, i);
        const struct row row = {.id = json_str_at(link, "id", ""),
            .name = json_str_at(link, "name", ""),
            .url = json_str_at(link, "url", ""),
            .status = "UNCONFIGURED",
            .version = xstrdup("UNKNOWN")};
        if (is_known(&all, row.id))
            free(row.version);
        else
            vec_push(&rows, row);
    }
    if (r == 0 && option_bool(inv, "json"))
        print_rows_json(rows.items, rows.n);
    else if (r == 0)
        print_rows(rows.items, rows.n);
    VEC_FOREACH (row, &rows)
        row_done(row);
    vec_done(&rows);
    clusters_done(&all);
    return r;
}

/* ---- open, remove, rename ---- */

static int run_open(const struct invocation *inv, struct error *err)
{
    struct clusters all;
    int r = clusters_load(&all, err);
    if (r < 0)
        return r;
    ssize_t i = inv->n_args ? clusters_find(&all, inv->args[0], true, err)
                            : clusters_current(&all, err);
    const char *url = i < 0 ? NULL : known_get(&all.items.items[i], "core.dcos_url", NULL);
    if (i < 0)
        r = (int)i;
    else if (!url || !*url)
        r = error_set(err, -ENOENT, "cluster '%s' has no core.dcos_url", all.items.items[i].id);
    else
        r = browser_open(url, err);
    clusters_done(&all);
    return r;
}

static int run_remove(const struct invocation *inv, struct error *err)
{
    struct cli *c = cli_of(inv);
    bool every = option_bool(inv, "all"), unavailable = option_bool(inv, "unavailable");
    struct clusters all;
    if (inv->n_args && (every || unavailable))
        return error_set(
            err, -EINVAL, "cannot accept both a cluster name and the --all / --unavailable option");
    if (!inv->n_args && !every && !unavailable)
        return error_set(err, -EINVAL,
            "either a cluster name or one of the --all / --unavailable option must be passed");
    int r = clusters_load(&all, err);
    if (r < 0)
        return r;
    ssize_t one = inv->n_args ? clusters_find(&all, inv->args[0], true, err) : 0;
    if (one < 0)
        r = (int)one;
    for (size_t i = 0; r == 0 && i < all.items.n; i++) {
        const struct known_cluster *k = &all.items.items[i];
        bool goes = inv->n_args ? one == (ssize_t)i : every;
        if (!goes && unavailable && !inv->n_args) {
            _cleanup_free_ char *version = ask_version(c, k);
            goes = !version;
        }
        if (goes)
            r = remove_tree(k->folder, err);
    }
    clusters_done(&all);
    return r;
}

static int run_rename(const struct invocation *inv, struct error *err)
{
    struct clusters all;
    struct config config = {0};
    int r = clusters_load(&all, err);
    if (r < 0)
        return r;
    ssize_t i = clusters_find(&all, inv->args[0], true, err);
    r = i < 0 ? (int)i : config_open(all.items.items[i].path, &config, err);
    if (r == 0)
        r = config_set(&config, "cluster.name", inv->args[1], err);
    config_done(&config);
    clusters_done(&all);
    return r;
}

static const struct option_spec setup_options[] = {SETUP_OPTIONS};
static const struct option_spec list_options[] = {
    {"attached", 0, OPTION_BOOL, "Show the current cluster only"}, OPTION_JSON,
    {"names", 0, OPTION_BOOL, "Print names only", .hidden = true}};
static const struct option_spec remove_options[] = {
    {"all", 0, OPTION_BOOL, "Remove all the clusters"},
    {"unavailable", 0, OPTION_BOOL, "Remove the clusters that do not answer"}};

#define NAMES .words = "dcos cluster list --names"

static const struct command *const children[] = {
    COMMAND(.name = "attach", .arguments = "<cluster>", NAMES,
        .summary = "Attach the CLI to a cluster", .min_args = 1, .max_args = 1, .run = run_attach),
    &command_cluster_link,
    COMMAND(.name = "list", .summary = "List the clusters that are set up or linked",
        OPTIONS(list_options), .run = run_list),
    COMMAND(.name = "open", .arguments = "[<cluster>]", NAMES,
        .summary = "Open the web console of a cluster in a browser", .max_args = 1,
        .run = run_open),
    COMMAND(.name = "remove", .arguments = "[<cluster>]", NAMES,
        .summary = "Remove the settings of a cluster", OPTIONS(remove_options), .max_args = 1,
        .run = run_remove),
    COMMAND(.name = "rename", .arguments = "<cluster> <name>", NAMES,
        .summary = "Rename a cluster that is set up", .min_args = 2, .max_args = 2,
        .run = run_rename),
    COMMAND(.name = "setup", .arguments = "<url>", .summary = "Set up the CLI for a cluster",
        OPTIONS(setup_options), .max_args = 16, .run = run_setup),
    &command_cluster_unlink,
};

const struct command command_cluster = {.name = "cluster",
    .summary = "Manage your DC/OS clusters",
    CHILDREN(children),
    .usage_on_stderr = true};
