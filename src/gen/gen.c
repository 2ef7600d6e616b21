#include "gen/gen.h"

#include <errno.h>

#include "base/alloc.h"

struct gen {
    json_t *arguments;
};

int gen_new(const struct gen_input *in, struct gen **ret, struct error *err)
{
    return error_set(err, -ENOSYS, "this build cannot work out configurations yet");
}

void gen_free(struct gen *g)
{
    if (!g)
        return;
    json_decref(g->arguments);
    free(g);
}

bool gen_ok(const struct gen *g)
{
    return false;
}

const struct gen_problem *gen_errors(const struct gen *g, size_t *ret_n)
{
    *ret_n = 0;
    return NULL;
}

const struct gen_problem *gen_warnings(const struct gen *g, size_t *ret_n)
{
    *ret_n = 0;
    return NULL;
}

const char *gen_value(const struct gen *g, const char *name)
{
    return json_str_at(g->arguments, name, NULL);
}

json_t *gen_list(const struct gen *g, const char *name)
{
    return json_array();
}

bool gen_is_secret(const char *name)
{
    return true;
}

const json_t *gen_cloud_config(const struct gen *g)
{
    return NULL;
}

const json_t *gen_arguments(const struct gen *g)
{
    return g->arguments;
}

int gen_generate(const struct gen *g, const char *folder, struct error *err)
{
    return error_set(err, -EINVAL, "a configuration with errors cannot be generated");
}
