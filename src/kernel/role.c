#include "kernel/role.h"

#include <errno.h>

#include "base/str.h"

static int validate_component(struct str c, struct error *err)
{
    if (c.n == 0)
        return error_set(
            err, -EINVAL, "role must not start or end with '/', or have two of them in a row");
    if (str_eq_c(c, ".") || str_eq_c(c, "..") || str_eq_c(c, "*"))
        return error_set(err, -EINVAL, "role component '" STR_FMT "' is not allowed", STR_ARG(c));
    if (c.p[0] == '-')
        return error_set(err, -EINVAL, "role component must not start with '-'");
    for (size_t i = 0; i < c.n; i++)
        if (strchr(" \t\n\v\f\r\b\x7f", c.p[i]))
            return error_set(err, -EINVAL, "role must not contain blanks or DEL");
    return 0;
}

int role_validate(const char *role, struct error *err)
{
    if (!role || !role[0])
        return error_set(err, -EINVAL, "role must not be empty");
    if (streq(role, "*"))
        return 0;
    if (strlen(role) > ROLE_MAX)
        return error_set(err, -EINVAL, "role is longer than %d bytes", ROLE_MAX);
    struct str rest = str_of(role), component;
    while (str_split(&rest, '/', &component)) {
        int r = validate_component(component, err);
        if (r < 0)
            return r;
    }
    return 0;
}

bool role_is_below(const char *role, const char *ancestor)
{
    size_t n = strlen(ancestor);
    return strncmp(role, ancestor, n) == 0 && role[n] == '/';
}

size_t role_parent_length(const char *role)
{
    const char *slash = strrchr(role, '/');
    return slash ? (size_t)(slash - role) : 0;
}
