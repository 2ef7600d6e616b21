#include <errno.h>

#include "gen/calc.h"
#include "gen/rules.h"

/* custom_checks and check_config: what dcos-check-runner takes. */

static int unknown_keys(
    const json_t *o, const char *const *known, const char *where, struct error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)o, key, value)
    {
        size_t i = 0;
        while (known[i] && !streq(known[i], key))
            i++;
        if (!known[i])
            return error_set(err, -EINVAL, "%s: unknown key '%.60s'", where, key);
    }
    return 0;
}

static bool timeout_fine(const char *text)
{
    static const char *const units[] = {"ns", "us", "\xc2\xb5s", "ms", "s", "m", "h"};
    size_t digits = 0, dots = 0;
    while ((*text >= '0' && *text <= '9') || *text == '.') {
        digits += *text != '.';
        dots += *text == '.';
        text++;
    }
    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        if (streq(units[i], text))
            return digits && dots < 2;
    }
    return false;
}

static int check_roles(const char *name, const json_t *roles, struct error *err)
{
    json_t *item;
    size_t i;
    if (!roles)
        return 0;
    if (!json_is_array(roles))
        return error_set(err, -EINVAL, "Check '%.60s': `roles` must be a list", name);
    json_array_foreach((json_t *)(uintptr_t)roles, i, item)
    {
        const char *role = json_is_string(item) ? json_string_value(item) : "";
        if (!streq(role, "master") && !streq(role, "agent"))
            return error_set(err, -EINVAL,
                "Check '%.60s': roles are 'master' and 'agent', not '%.60s'", name, role);
    }
    return 0;
}

static int check_one(const char *name, const json_t *check, bool node, struct error *err)
{
    static const char *const known[] = {"description", "cmd", "timeout", "roles", NULL};
    static const char *const known_cluster[] = {"description", "cmd", "timeout", NULL};
    const json_t *cmd = json_at(check, "cmd");
    const char *timeout = json_str_at(check, "timeout", NULL);
    char where[80];
    json_t *item;
    size_t i;
    if (!*name || strpbrk(name, " \t\r\n\v\f"))
        return error_set(err, -EINVAL,
            "Check names must be a non-empty string with no white space: '%.60s'", name);
    if (!json_is_object(check))
        return error_set(err, -EINVAL, "Check '%.60s' must be a dictionary", name);
    snprintf(where, sizeof(where), "Check '%.60s'", name);
    int r = unknown_keys(check, node ? known : known_cluster, where, err);
    if (r < 0)
        return r;
    if (!json_str_at(check, "description", NULL))
        return error_set(err, -EINVAL, "Check '%.60s': `description` must be text", name);
    if (!json_is_array(cmd) || json_array_size(cmd) == 0)
        return error_set(
            err, -EINVAL, "Check '%.60s': `cmd` must be a list of texts that is not empty", name);
    json_array_foreach((json_t *)(uintptr_t)cmd, i, item)
    {
        if (!json_is_string(item))
            return error_set(err, -EINVAL,
                "Check '%.60s': `cmd` must be a list of texts that is not empty", name);
    }
    if (!timeout || !timeout_fine(timeout))
        return error_set(err, -EINVAL,
            "Check '%.60s': `timeout` must be a number with ns, us, ms, s, m or h", name);
    return check_roles(name, json_at(check, "roles"), err);
}

static int check_all(const json_t *checks, const char *where, bool node, struct error *err)
{
    const char *name;
    json_t *check;
    if (!json_is_object(checks))
        return error_set(err, -EINVAL, "`%s` must be a dictionary", where);
    json_object_foreach((json_t *)(uintptr_t)checks, name, check)
    {
        int r = check_one(name, check, node, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static bool listed(const json_t *list, const char *name)
{
    json_t *item;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)list, i, item)
    {
        if (json_is_string(item) && streq(json_string_value(item), name))
            return true;
    }
    return false;
}

static int check_list(
    const json_t *list, const char *where, const json_t *checks, struct error *err)
{
    json_t *item;
    size_t i;
    if (!list)
        return 0;
    if (!json_is_array(list))
        return error_set(err, -EINVAL, "`%s` must be a list", where);
    json_array_foreach((json_t *)(uintptr_t)list, i, item)
    {
        const char *name = json_is_string(item) ? json_string_value(item) : NULL;
        if (!name)
            return error_set(err, -EINVAL, "`%s` must be a list of names", where);
        if (!json_at(checks, name))
            return error_set(
                err, -EINVAL, "`%s` names the check '%.60s', which is not defined", where, name);
    }
    return 0;
}

static int check_node(const json_t *node, struct error *err)
{
    static const char *const known[] = {"checks", "prestart", "poststart", NULL};
    const json_t *checks = json_at(node, "checks"), *pre = json_at(node, "prestart"),
                 *post = json_at(node, "poststart");
    const char *name;
    json_t *check;
    if (!json_is_object(node))
        return error_set(err, -EINVAL, "`node_checks` must be a dictionary");
    int r = unknown_keys(node, known, "node_checks", err);
    if (r < 0)
        return r;
    if (!checks)
        return error_set(err, -EINVAL, "`node_checks` must have `checks`");
    if (!pre && !post)
        return error_set(
            err, -EINVAL, "`node_checks` must have at least one of `prestart` and `poststart`");
    r = check_all(checks, "node_checks.checks", true, err);
    if (r == 0)
        r = check_list(pre, "prestart", checks, err);
    if (r == 0)
        r = check_list(post, "poststart", checks, err);
    if (r < 0)
        return r;
    json_object_foreach((json_t *)(uintptr_t)checks, name, check)
    {
        if (!listed(pre, name) && !listed(post, name))
            return error_set(
                err, -EINVAL, "Check '%.60s' is in neither `prestart` nor `poststart`", name);
    }
    return 0;
}

static int check_env(const json_t *env, struct error *err)
{
    const char *name;
    json_t *value;
    if (!json_is_object(env))
        return error_set(err, -EINVAL, "`check_env` must be a dictionary");
    json_object_foreach((json_t *)(uintptr_t)env, name, value)
    {
        if (!json_is_string(value))
            return error_set(err, -EINVAL, "`check_env`: '%.60s' must be text", name);
    }
    return 0;
}

static int rule_checks(struct graph_call *c, struct error *err)
{
    static const char *const known[] = {"cluster_checks", "node_checks", "check_env", NULL};
    _cleanup_json_ json_t *json = NULL;
    int r = rule_parse_dictionary(c->in[0], &json, err);
    if (r == 0)
        r = unknown_keys(json, known, c->name, err);
    if (r == 0 && json_at(json, "cluster_checks"))
        r = check_all(json_at(json, "cluster_checks"), "cluster_checks", false, err);
    if (r == 0 && json_at(json, "node_checks"))
        r = check_node(json_at(json, "node_checks"), err);
    if (r == 0 && json_at(json, "check_env"))
        r = check_env(json_at(json, "check_env"), err);
    return r;
}

/* Names of custom checks leave the built-in ones alone. */
static int rule_custom_checks(struct graph_call *c, struct error *err)
{
    _cleanup_json_ json_t *json = NULL;
    _cleanup_buf_ struct buf reserved = BUF_INIT;
    bool clash = false;
    int r = rule_checks(c, err);
    if (r == 0)
        r = rule_parse_dictionary(c->in[0], &json, err);
    if (r < 0)
        return r;
    const json_t *kinds[] = {
        json_at(json, "cluster_checks"), json_at(json_at(json, "node_checks"), "checks")};
    for (size_t i = 0; calc_built_in_check(i); i++) {
        buf_printf(&reserved, "%s%s", i ? ", " : "", calc_built_in_check(i));
        for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
            clash |= json_at(kinds[k], calc_built_in_check(i)) != NULL;
    }
    if (clash)
        return error_set(err, -EINVAL,
            "Custom check names conflict with builtin checks. Reserved check names: %s",
            buf_cstr(&reserved));
    return 0;
}

const struct gen_type type_custom_checks = {
    "a mapping with cluster_checks and node_checks, of names that are not built in",
    rule_custom_checks};
const struct gen_type type_checks = {"a mapping with cluster_checks and node_checks", rule_checks};
