/* dcos auth list-providers|login|logout */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/login.h"
#include "console/print.h"

static int by_id(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void print_providers(const json_t *all)
{
    static const char *const headers[] = {"PROVIDER ID", "LOGIN METHOD"};
    VEC(const char *) ids = {0};
    const char *key;
    json_t *p;
    struct table t;
    json_object_foreach((json_t *)(uintptr_t)all, key, p) vec_push(&ids, key);
    if (ids.n)
        qsort(ids.items, ids.n, sizeof(*ids.items), by_id);
    table_init(&t, headers, ARRAY_SIZE(headers));
    VEC_FOREACH (id, &ids) {
        _cleanup_free_ char *text = login_method(json_at(all, *id));
        table_cell(&t, *id);
        table_cell(&t, text);
    }
    print_table(&t);
    vec_done(&ids);
}

static int run_list_providers(const struct invocation *inv, struct error *err)
{
    struct cli *c = cli_of(inv);
    const char *given = arg_at(inv, 0);
    _cleanup_free_ char *url = NULL;
    _cleanup_json_ json_t *all = NULL;
    int r = 0;
    if (given) {
        url = xasprintf("%s%s", strstr(given, "://") ? "" : "https://", given);
        for (size_t n = strlen(url); n > 0 && url[n - 1] == '/';)
            url[--n] = '\0';
        /* A URL needs no cluster that is set up. */
        struct config *config;
        if (cli_config(c, &config, NULL) < 0)
            r = cli_connect(c, &(struct cli_connection){0}, err);
    } else {
        r = cli_base_url(c, NULL, "", &url, NULL, err);
    }
    if (r == 0)
        r = login_providers(c, url, &all, err);
    if (r < 0)
        return r;
    if (!all)
        all = json_object(); /* nobody has to log in */
    if (option_bool(inv, "json"))
        json_print(all, 4, PRINT_SORTED, stdout);
    else
        print_providers(all);
    return 0;
}

static int run_login(const struct invocation *inv, struct error *err)
{
    struct cli *c = cli_of(inv);
    struct login_flags flags;
    struct config *config;
    _cleanup_free_ char *url = NULL, *token = NULL;
    int r = cli_config(c, &config, err);
    if (r == 0)
        r = cli_base_url(c, NULL, "", &url, NULL, err);
    if (r < 0)
        return r;
    login_flags_of(inv, &flags);
    const char *ready = getenv("DCOS_CLUSTER_SETUP_ACS_TOKEN");
    if (ready && *ready)
        token = xstrdup(ready);
    else
        r = login(c, url, &flags, &token, err);
    return r < 0 ? r : config_set(config, "core.dcos_acs_token", token, err);
}

static int run_logout(const struct invocation *inv, struct error *err)
{
    struct config *config;
    int r = cli_config(cli_of(inv), &config, err);
    if (r < 0 || !toml_get(&config->toml, "core.dcos_acs_token"))
        return r;
    return config_unset(config, "core.dcos_acs_token", err);
}

static const struct option_spec login_options[] = {LOGIN_OPTIONS};
static const struct option_spec list_options[] = {OPTION_JSON};

static const struct command *const children[] = {
    COMMAND(.name = "list-providers", .arguments = "[<url>]",
        .summary = "List available login providers for a cluster", OPTIONS(list_options),
        .max_args = 1, .run = run_list_providers),
    COMMAND(.name = "login", .summary = "Log in to the current cluster", OPTIONS(login_options),
        .run = run_login),
    COMMAND(.name = "logout", .summary = "Log out from the current cluster", .run = run_logout),
};

const struct command command_auth = {.name = "auth",
    .summary = "Authenticate to DC/OS cluster",
    CHILDREN(children),
    .usage_on_stderr = true};
