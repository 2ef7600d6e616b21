#include <errno.h>

#include "base/map.h"
#include "pkgpanda/package.h"

/* Which packages can be active together. */

static char *show(const struct packages *p)
{
    struct strings ids = {0};
    for (size_t i = 0; i < p->n; i++)
        strings_add(&ids, p->items[i]->id);
    char *text = strings_join(&ids);
    strings_done(&ids);
    return text;
}

static int check_names(const struct packages *p, struct map *names, struct error *err)
{
    for (size_t i = 0; i < p->n; i++) {
        struct package *one = p->items[i];
        if (map_put(names, one->name, one)) {
            _cleanup_free_ char *set = show(p);
            return error_set(err, -EINVAL,
                "Repeated name %s in set of packages %.500s. Each name may be active once.",
                one->name, set);
        }
    }
    return 0;
}

static int check_user(const struct package *p, struct error *err)
{
    if (p->group && !p->username)
        return error_set(
            err, -EINVAL, "Package %s has group '%.64s' but no username.", p->id, p->group);
    if (p->username && !user_name_valid(p->username))
        return error_set(err, -EINVAL,
            "Username '%.64s' of package %s is not allowed: it must begin with dcos_ and go on "
            "with small letters, digits and underscores.",
            p->username, p->id);
    if (p->group && !group_name_valid(p->group))
        return error_set(
            err, -EINVAL, "Group '%.64s' of package %s is not a valid name.", p->group, p->id);
    return 0;
}

static int check_requires(
    const struct packages *set, const struct package *p, const struct map *names, struct error *err)
{
    size_t i;
    json_t *value;
    json_array_foreach((json_t *)(uintptr_t)p->requires, i, value)
    {
        const char *name = json_is_string(value) ? json_string_value(value)
                                                 : json_str_at(value, "name", "");
        if (map_get(names, name))
            continue;
        const char *variant = json_str_at(value, "variant", "");
        _cleanup_free_ char *all = show(set);
        return error_set(err, -EINVAL,
            "Package %s variant %s requires %s variant %s but that is not in the set %.400s", p->id,
            *p->variant ? p->variant : "<default>", name, *variant ? variant : "<default>", all);
    }
    return 0;
}

static int check_environment(const struct package *p, struct map *variables, struct error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)p->environment, key, value)
    {
        if (streq(key, "LD_LIBRARY_PATH") || streq(key, "PATH"))
            return error_set(err, -EINVAL,
                "%s are reserved environment variables and cannot be specified in packages. "
                "Package %s sets %s.",
                "LD_LIBRARY_PATH, PATH", p->id, key);
        const struct package *other = map_put(variables, key, (void *)(uintptr_t)p);
        if (other)
            return error_set(err, -EINVAL,
                "Environment variable %s is set by both package %s and package %s.", key, other->id,
                p->id);
    }
    return 0;
}

/* A key is the kernel's, not the service's: one value for all. */
static int check_sysctl(const struct package *p, struct map *values, struct error *err)
{
    const char *service, *key;
    json_t *keys, *value;
    json_object_foreach((json_t *)(uintptr_t)p->sysctl, service, keys)
    {
        json_object_foreach(keys, key, value)
        {
            json_t *other = map_get(values, key);
            if (other && !json_equal(other, value))
                return error_set(err, -EINVAL,
                    "Conflicting sysctl setting %s=%.100s for service %s of package %s: another "
                    "service has %.100s.",
                    key, json_string_value(value), service, p->id, json_string_value(other));
            map_put(values, key, value);
        }
    }
    return 0;
}

int packages_validate(const struct packages *p, struct error *err)
{
    struct map names = MAP_INIT, variables = MAP_INIT, sysctl = MAP_INIT;
    int r = check_names(p, &names, err);
    for (size_t i = 0; i < p->n && r == 0; i++) {
        r = check_user(p->items[i], err);
        if (r == 0)
            r = check_requires(p, p->items[i], &names, err);
        if (r == 0)
            r = check_environment(p->items[i], &variables, err);
        if (r == 0)
            r = check_sysctl(p->items[i], &sysctl, err);
    }
    map_done(&names);
    map_done(&variables);
    map_done(&sysctl);
    return r;
}
