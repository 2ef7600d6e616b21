#include "base/options.h"

#include <errno.h>

#include "base/str.h"
#include "base/vec.h"

static const struct option *find(const struct option *table, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq_c(name, table[i].name) || (table[i].also && str_eq_c(name, table[i].also)))
            return &table[i];
    return NULL;
}

int options_parse(const char *program, const struct option *table, size_t n, int argc, char **argv,
    const char **args, size_t max, size_t *ret_args, struct error *err)
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
        const struct option *o = find(table, n, name);
        const char *value = argv[i][name.n] ? argv[i] + name.n + 1 : NULL;
        if (!o || (o->flag && value))
            return error_set(
                err, -EINVAL, "unknown option %.100s, see %s --help", argv[i], program);
        if (o->flag) {
            *o->flag = true;
            continue;
        }
        if (!value && i + 1 == argc)
            return error_set(err, -EINVAL, "%s needs a value", argv[i]);
        if (!value)
            value = argv[++i];
        if (o->texts)
            vec_push(o->texts, value);
        else
            *o->text = value;
    }
    *ret_args = n_args;
    return 0;
}
