#include "checks/config.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/parse.h"
#include "base/vec.h"
#include "json/json.h"

enum { TIMEOUT_DEFAULT_S = 5, TIMEOUT_MAX_S = 24 * 3600 };

struct check_config {
    struct arena arena;
    struct check_list lists[CHECK_TYPES];
    const char **env;
};

static const char *const type_names[CHECK_TYPES] = {"cluster", "node-prestart", "node-poststart"};

const char *check_type_name(enum check_type type)
{
    return type_names[type];
}

int check_type_parse(const char *text, enum check_type *ret)
{
    for (size_t i = 0; i < ARRAY_SIZE(type_names); i++)
        if (streq(text, type_names[i])) {
            *ret = (enum check_type)i;
            return 0;
        }
    return -EINVAL;
}

int check_timeout_parse(const char *text, int64_t *ret_us)
{
    static const struct {
        const char *name;
        double us;
    } units[] = {{"ns", 1e-3}, {"us", 1}, {"\xc2\xb5s", 1}, {"ms", 1e3}, {"s", 1e6}, {"m", 6e7},
        {"h", 3.6e9}};
    double total = 0;
    if (!*text)
        return -EINVAL;
    while (*text) {
        size_t digits = strspn(text, "0123456789."), unit = 0, i = 0;
        double value;
        if (parse_double((struct str){text, digits}, &value) < 0)
            return -EINVAL;
        text += digits;
        while (text[unit] && !strchr("0123456789.", text[unit]))
            unit++;
        while (i < ARRAY_SIZE(units) && !str_eq_c((struct str){text, unit}, units[i].name))
            i++;
        if (i == ARRAY_SIZE(units))
            return -EINVAL;
        text += unit;
        total += value * units[i].us;
    }
    *ret_us = (int64_t)fmin(total, TIMEOUT_MAX_S * 1e6);
    return 0;
}

static int expect_keys(
    const json_t *object, const char *where, const char *const *keys, size_t n, struct error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        size_t i = 0;
        while (i < n && !streq(keys[i], key))
            i++;
        if (i == n)
            return error_set(err, -EBADMSG, "%s: unknown key \"%.100s\"", where, key);
    }
    return 0;
}

static int read_roles(const json_t *roles, const char *name, unsigned *ret, struct error *err)
{
    size_t i;
    json_t *role;
    if (!roles) {
        *ret = CHECK_ANY;
        return 0;
    }
    if (!json_is_array(roles) || json_array_size(roles) == 0)
        return error_set(err, -EBADMSG, "check %s: roles must be a list that is not empty", name);
    *ret = 0;
    json_array_foreach(roles, i, role)
    {
        const char *text = json_string_value(role);
        if (streq(text, "master"))
            *ret |= CHECK_MASTER;
        else if (streq(text, "agent"))
            *ret |= CHECK_AGENT;
        else
            return error_set(
                err, -EBADMSG, "check %s: a role must be \"master\" or \"agent\"", name);
    }
    return 0;
}

static int read_command(
    struct check_config *c, const json_t *cmd, struct check *check, struct error *err)
{
    size_t n = json_array_size(cmd), i;
    json_t *word;
    if (!json_is_array(cmd) || n == 0 || n > CHECK_ARGS_MAX)
        return error_set(err, -EBADMSG, "check %s: cmd must be a list of 1 to %d strings",
            check->name, CHECK_ARGS_MAX);
    check->argv = arena_alloc(&c->arena, (n + 1) * sizeof(*check->argv));
    json_array_foreach(cmd, i, word)
    {
        if (!json_is_string(word))
            return error_set(err, -EBADMSG, "check %s: cmd must hold strings only", check->name);
        check->argv[i] = arena_strdup(&c->arena, json_string_value(word));
    }
    check->argv[n] = NULL;
    return 0;
}

static int read_text(struct check_config *c, const json_t *object, const char *name,
    const char *key, const char **ret, struct error *err)
{
    const json_t *value = json_at(object, key);
    if (!json_is_string(value))
        return error_set(err, -EBADMSG, "check %s: %s must be a string", name, key);
    *ret = arena_strdup(&c->arena, json_string_value(value));
    return 0;
}

static int read_check(struct check_config *c, const char *name, const json_t *object, bool of_node,
    struct check **ret, struct error *err)
{
    static const char *const keys[] = {"description", "cmd", "timeout", "roles"};
    _cleanup_free_ char *where = xasprintf("check %.100s", name);
    if (!*name || strpbrk(name, " \t\n\r\v\f"))
        return error_set(
            err, -EBADMSG, "\"%.100s\": a check's name must not be empty or have blanks", name);
    if (!json_is_object(object))
        return error_set(err, -EBADMSG, "%s: must be an object", where);
    struct check *check = arena_alloc(&c->arena, sizeof(*check));
    *check = (struct check){.name = arena_strdup(&c->arena, name)};
    int r = expect_keys(object, where, keys, of_node ? 4 : 3, err);
    if (r == 0)
        r = read_text(c, object, name, "description", &check->description, err);
    if (r == 0)
        r = read_text(c, object, name, "timeout", &check->timeout_text, err);
    if (r == 0)
        r = read_command(c, json_at(object, "cmd"), check, err);
    if (r == 0)
        r = read_roles(json_at(object, "roles"), name, &check->roles, err);
    if (r < 0)
        return r;
    if (check_timeout_parse(check->timeout_text, &check->timeout_us) < 0)
        check->timeout_us = TIMEOUT_DEFAULT_S * USEC_PER_SEC;
    *ret = check;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    const struct check *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static int read_checks(struct check_config *c, const json_t *object, const char *where,
    bool of_node, struct check_list *ret, struct error *err)
{
    const char *name;
    json_t *value;
    if (object && (!json_is_object(object) || json_object_size(object) > CHECKS_MAX))
        return error_set(
            err, -EBADMSG, "%s: must be an object of at most %d checks", where, CHECKS_MAX);
    ret->items = arena_alloc(&c->arena, (json_object_size(object) + 1) * sizeof(struct check *));
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        int r = read_check(c, name, value, of_node, &ret->items[ret->n], err);
        if (r < 0)
            return r;
        ret->n++;
    }
    qsort(ret->items, ret->n, sizeof(*ret->items), by_name);
    return 0;
}

static struct check *find(const struct check_list *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++)
        if (streq(l->items[i]->name, name))
            return l->items[i];
    return NULL;
}

static int read_names(struct check_config *c, const json_t *names, const char *where,
    const struct check_list *defined, struct check_list *ret, struct error *err)
{
    size_t i;
    json_t *name;
    if (names && !json_is_array(names))
        return error_set(err, -EBADMSG, "node_checks.%s: must be a list of names", where);
    ret->items = arena_alloc(&c->arena, (json_array_size(names) + 1) * sizeof(struct check *));
    json_array_foreach(names, i, name)
    {
        const char *text = json_string_value(name);
        struct check *check = text ? find(defined, text) : NULL;
        if (!check)
            return error_set(err, -EBADMSG, "node_checks.%s: check \"%.100s\" is not defined",
                where, text ? text : "?");
        if (!find(ret, text))
            ret->items[ret->n++] = check;
    }
    qsort(ret->items, ret->n, sizeof(*ret->items), by_name);
    return 0;
}

static int read_node_checks(struct check_config *c, const json_t *object, struct error *err)
{
    static const char *const keys[] = {"checks", "prestart", "poststart"};
    struct check_list defined = {0};
    struct check_list *pre = &c->lists[CHECK_PRESTART], *post = &c->lists[CHECK_POSTSTART];
    if (!object)
        return 0;
    if (!json_is_object(object))
        return error_set(err, -EBADMSG, "node_checks: must be an object");
    int r = expect_keys(object, "node_checks", keys, ARRAY_SIZE(keys), err);
    if (r == 0 && !json_at(object, "prestart") && !json_at(object, "poststart"))
        r = error_set(err, -EBADMSG, "node_checks: needs a list \"prestart\" or \"poststart\"");
    if (r == 0)
        r = read_checks(c, json_at(object, "checks"), "node_checks.checks", true, &defined, err);
    if (r == 0)
        r = read_names(c, json_at(object, "prestart"), "prestart", &defined, pre, err);
    if (r == 0)
        r = read_names(c, json_at(object, "poststart"), "poststart", &defined, post, err);
    for (size_t i = 0; i < defined.n && r == 0; i++)
        if (!find(pre, defined.items[i]->name) && !find(post, defined.items[i]->name))
            r = error_set(err, -EBADMSG, "check %s is in neither \"prestart\" nor \"poststart\"",
                defined.items[i]->name);
    return r;
}

static int read_env(struct check_config *c, const json_t *env, struct error *err)
{
    const char *key;
    json_t *value;
    size_t n = 0;
    if (env && (!json_is_object(env) || json_object_size(env) > CHECKS_MAX))
        return error_set(err, -EBADMSG, "check_env: must be an object of strings");
    c->env = arena_alloc(&c->arena, (json_object_size(env) + 1) * sizeof(*c->env));
    json_object_foreach((json_t *)(uintptr_t)env, key, value)
    {
        if (!*key || strchr(key, '=') || !json_is_string(value))
            return error_set(err, -EBADMSG, "check_env: must be an object of strings");
        _cleanup_free_ char *pair = xasprintf("%s=%s", key, json_string_value(value));
        c->env[n++] = arena_strdup(&c->arena, pair);
    }
    c->env[n] = NULL;
    return 0;
}

int check_config_parse(const char *text, size_t n, struct check_config **ret, struct error *err)
{
    static const char *const keys[] = {"cluster_checks", "node_checks", "check_env"};
    _cleanup_json_ json_t *root = NULL;
    int r = json_parse(text, n, &root, err);
    if (r < 0)
        return r;
    if (!json_is_object(root))
        return error_set(err, -EBADMSG, "the configuration of checks must be an object");
    struct check_config *c = xnew(struct check_config);
    r = expect_keys(root, "the configuration of checks", keys, ARRAY_SIZE(keys), err);
    if (r == 0)
        r = read_checks(c, json_at(root, "cluster_checks"), "cluster_checks", false,
            &c->lists[CHECK_CLUSTER], err);
    if (r == 0)
        r = read_node_checks(c, json_at(root, "node_checks"), err);
    if (r == 0)
        r = read_env(c, json_at(root, "check_env"), err);
    if (r < 0) {
        check_config_free(c);
        return r;
    }
    *ret = c;
    return 0;
}

int check_config_load(const char *path, struct check_config **ret, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    int r = file_read(path, CHECK_CONFIG_MAX, &text, err);
    if (r < 0)
        return r;
    r = check_config_parse(buf_cstr(&text), text.n, ret, err);
    return r < 0 ? error_prefix(err, r, "%s", path) : 0;
}

void check_config_free(struct check_config *c)
{
    if (!c)
        return;
    arena_done(&c->arena);
    free(c);
}

const struct check_list *check_config_list(const struct check_config *c, enum check_type type)
{
    return &c->lists[type];
}

const char *const *check_config_env(const struct check_config *c)
{
    return (const char *const *)c->env;
}
