/* dcos config keys|set|show|unset|validate */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

static int run_keys(const struct invocation *inv, struct error *err)
{
    bool quiet = option_bool(inv, "quiet");
    for (size_t i = 0; i < config_n_keys; i++) {
        if (quiet)
            printf("%s\n", config_keys[i].name);
        else
            printf("%s : %s\n", config_keys[i].name, config_keys[i].description);
    }
    return 0;
}

static int run_set(const struct invocation *inv, struct error *err)
{
    struct config *config;
    int r = cli_config(cli_of(inv), &config, err);
    return r < 0 ? r : config_set(config, inv->args[0], inv->args[1], err);
}

static int run_unset(const struct invocation *inv, struct error *err)
{
    struct config *config;
    int r = cli_config(cli_of(inv), &config, err);
    return r < 0 ? r : config_unset(config, inv->args[0], err);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int run_show(const struct invocation *inv, struct error *err)
{
    struct config *config;
    int r = cli_config(cli_of(inv), &config, err);
    if (r < 0)
        return r;
    const char *name = arg_at(inv, 0);
    if (name) {
        _cleanup_free_ char *value = config_get(config, name);
        if (!value)
            return error_set(err, -ENOENT, "unknown key \"%s\" (see 'dcos config show')", name);
        printf("%s\n", value);
        return 0;
    }
    VEC(char *) names = {0};
    VEC_FOREACH (line, &config->toml.lines) {
        if (line->kind == TOML_VALUE && line->section[0] != '\n')
            vec_push(&names,
                *line->section ? xasprintf("%s.%s", line->section, line->key) : xstrdup(line->key));
    }
    for (size_t i = 0; i < config_n_keys; i++) {
        char variable[128];
        if (config_env(config_keys[i].name, variable, sizeof(variable)) &&
            !toml_get(&config->toml, config_keys[i].name))
            vec_push(&names, xstrdup(config_keys[i].name));
    }
    if (names.n)
        qsort(names.items, names.n, sizeof(*names.items), by_name);
    for (size_t i = 0; i < names.n; i++) {
        _cleanup_free_ char *value = config_get(config, names.items[i]);
        bool repeated = i > 0 && streq(names.items[i], names.items[i - 1]);
        if (!repeated)
            printf("%s %s\n", names.items[i],
                streq(names.items[i], "core.dcos_acs_token") ? "********" : value ?: "");
    }
    VEC_FOREACH (n, &names)
        free(*n);
    vec_done(&names);
    return 0;
}

static int run_validate(const struct invocation *inv, struct error *err)
{
    struct config *config;
    int r = cli_config(cli_of(inv), &config, err);
    for (size_t i = 0; r == 0 && i < config_n_keys; i++) {
        char variable[128];
        _cleanup_free_ char *value = config_get(config, config_keys[i].name);
        if (!value)
            continue;
        r = config_check(config_keys[i].name, value, err);
        if (r < 0 && config_env(config_keys[i].name, variable, sizeof(variable)))
            error_prefix(err, r, "%s", variable);
        else if (r < 0)
            error_prefix(err, r, "%s", config->path);
    }
    if (r == 0)
        printf("Congratulations, your configuration is valid!\n");
    return r;
}

static const struct option_spec keys_options[] = {
    {"quiet", 'q', OPTION_BOOL, "Only print the names"}};

static const struct command *const children[] = {
    COMMAND(.name = "keys", .summary = "Print the keys that can be set in the configuration file",
        OPTIONS(keys_options), .run = run_keys),
    COMMAND(.name = "set", .arguments = "<name> <value>", .words = "dcos config keys --quiet",
        .summary = "Add or set a property in the configuration file used for the current cluster",
        .min_args = 2, .max_args = 2, .run = run_set),
    COMMAND(.name = "show", .arguments = "[<name>]",
        .summary = "Print the configuration, or one property of it", .max_args = 1,
        .run = run_show),
    COMMAND(.name = "unset", .arguments = "<name>", .words = "dcos config keys --quiet",
        .summary = "Remove a property from the configuration file used for the current cluster",
        .min_args = 1, .max_args = 1, .run = run_unset),
    COMMAND(.name = "validate", .summary = "Check the configuration for values that cannot work",
        .run = run_validate),
};

const struct command command_config = {.name = "config",
    .summary = "Manage the DC/OS configuration file",
    CHILDREN(children),
    .usage_on_stderr = true};
