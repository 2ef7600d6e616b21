#include "checks/options.h"

#include <errno.h>
#include <string.h>

#include "base/str.h"

static const struct check_option *find(const struct check_option *table, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq_c(name, table[i].name) || (table[i].also && str_eq_c(name, table[i].also)))
            return &table[i];
    return NULL;
}

int check_options_parse(const char *program, const struct check_option *table, size_t n, int argc,
    char **argv, const char **args, size_t max, size_t *ret_args, struct error *err)
{
    size_t n_args = 0;
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-') {
            if (n_args == max)
                return error_set(err, -EINVAL, "more than %zu arguments", max);
            args[n_args++] = argv[i];
            continue;
        }
        struct str name = {argv[i], strcspn(argv[i], "=")};
        const struct check_option *o = find(table, n, name);
        bool has_value = argv[i][name.n] != '\0';
        if (!o || (o->flag && has_value))
            return error_set(
                err, -EINVAL, "unknown option %.100s, see %s --help", argv[i], program);
        if (o->flag)
            *o->flag = true;
        else if (has_value)
            *o->text = argv[i] + name.n + 1;
        else if (i + 1 < argc)
            *o->text = argv[++i];
        else
            return error_set(err, -EINVAL, "%s needs a value", argv[i]);
    }
    *ret_args = n_args;
    return 0;
}
