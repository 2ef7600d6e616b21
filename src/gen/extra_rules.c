#include <errno.h>
#include <regex.h>

#include "base/alloc.h"
#include "gen/extra.h"
#include "gen/gen-internal.h"

/* What extensions give to the graph of arguments. */

static int work_out(struct graph_call *c, const char **ret, struct error *err)
{
    const struct gen_files *files = c->userdata;
    const struct gen *g = container_of(files, const struct gen, files);
    const struct extra_param *p = extra_find(&g->extra, c->name);
    _cleanup_json_ json_t *arguments = json_object();
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct str rest = str_of(p->inputs), one;
    for (size_t i = 0; rest.n && str_split(&rest, ' ', &one); i++) {
        _cleanup_free_ char *name = str_dup(one);
        json_object_set_new(arguments, name, json_string(c->in[i] ? c->in[i] : ""));
    }
    int r = template_render(p->template, arguments, NULL, 0, &out, err);
    if (r == 0)
        *ret = arena_strdup(c->arena, buf_cstr(&out));
    return r;
}

static int match(const struct extra_param *p, const char *value, struct error *err)
{
    regex_t compiled;
    if (!p->pattern || regcomp(&compiled, p->pattern, REG_EXTENDED | REG_NOSUB) != 0)
        return 0;
    int code = regexec(&compiled, value, 0, NULL, 0);
    regfree(&compiled);
    if (code == 0)
        return 0;
    int n = (int)strlen(p->pattern) - 4; /* without ^( and )$ */
    return error_set(
        err, -EINVAL, "Must match the pattern '%.*s'. Got '%.200s'.", n, p->pattern + 2, value);
}

static int check(struct graph_call *c, struct error *err)
{
    const struct extra_param *p = c->parameter;
    struct graph_call part = *c;
    int r = 0;
    if (p->type) {
        part.parameter = p->type->parameter;
        r = p->type->check(&part, err);
    }
    if (r == 0 && p->one_of) {
        part.parameter = p->one_of;
        r = rule_one_of(&part, err);
    }
    if (r == 0 && p->range) {
        part.parameter = p->range;
        r = rule_int(&part, err);
    }
    if (r == 0)
        r = match(p, c->in[0], err);
    if (r == 0)
        return 0;
    if (p->message)
        return error_set(err, -EINVAL, "%s", p->message);
    return p->secret ? error_set(err, -EINVAL, "Is not allowed. The value is secret and not shown.")
                     : r;
}

void extra_add(struct extra *x, struct graph *g)
{
    size_t n = x->params.n;
    struct graph_setter *setters = arena_new_array(&x->arena, struct graph_setter, n + 1);
    struct graph_rule *rules = arena_new_array(&x->arena, struct graph_rule, n + 1);
    for (size_t i = 0; i < n; i++) {
        const struct extra_param *p = &x->params.items[i];
        setters[i] = (struct graph_setter){.name = p->name,
            .kind = p->kind,
            .value = p->value,
            .calc = p->template ? work_out : NULL,
            .inputs = p->inputs,
            .when = p->when};
        rules[i] = (struct graph_rule){p->name, check, p};
    }
    graph_add_setters(g, setters, n);
    graph_add_rules(g, rules, n);
}

void extra_add_defaults(struct extra *x, struct graph *g)
{
    size_t n = 0;
    const char *name;
    json_t *value;
    struct graph_setter *setters = arena_new_array(
        &x->arena, struct graph_setter, json_object_size(x->provider_defaults) + 1);
    json_object_foreach(x->provider_defaults, name, value)
    {
        setters[n++] = (struct graph_setter){
            .name = name, .kind = SET_DEFAULT, .value = json_string_value(value)};
    }
    graph_add_setters(g, setters, n);
}
