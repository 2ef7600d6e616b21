#include "gen/extra.h"

#include <errno.h>
#include <regex.h>

#include "base/alloc.h"
#include "base/file.h"
#include "gen/gen-internal.h"
#include "gen/params.h"
#include "gen/render.h"
#include "json/yaml_read.h"

/* Reading gen_extra/. */

static const struct {
    const char *name;
    const struct gen_type *type;
} types[] = {{"line", &type_line}, {"text", &type_text}, {"not_empty", &type_not_empty},
    {"boolean", &type_bool}, {"integer", &type_integer}, {"list", &type_json_list},
    {"mapping", &type_json_dictionary}};

static bool name_valid(const char *name)
{
    size_t n = strlen(name);
    return n > 0 && n <= EXTRA_NAME_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == n;
}

const struct extra_param *extra_find(const struct extra *x, const char *name)
{
    VEC_FOREACH (p, &x->params) {
        if (streq(p->name, name))
            return p;
    }
    return NULL;
}

void extra_done(struct extra *x)
{
    VEC_FOREACH (p, &x->params) {
        template_free(p->template);
    }
    vec_done(&x->params);
    json_decref(x->templates);
    json_decref(x->provider_defaults);
    arena_done(&x->arena);
    *x = (struct extra){0};
}

/* ---- one description ---- */

/* The names that a value mentions, with blanks between. */
static int read_inputs(struct extra *x, struct extra_param *p, const char *text, struct error *err)
{
    _cleanup_buf_ struct buf names = BUF_INIT;
    int r = template_parse(text, strlen(text), &p->template, err);
    if (r < 0)
        return r;
    _cleanup_json_ json_t *target = template_target(p->template);
    const json_t *variables = json_at(target, "variables");
    if (json_object_size(json_at(target, "switches")))
        return error_set(err, -EINVAL, "a value may hold {{ name }}, but no {%% switch %%}");
    if (json_array_size(variables) > GRAPH_INPUTS_MAX)
        return error_set(err, -EINVAL, "a value of more than %d others", (int)GRAPH_INPUTS_MAX);
    for (size_t i = 0; i < json_array_size(variables); i++)
        buf_printf(&names, "%s%s", i ? " " : "", json_string_value(json_array_get(variables, i)));
    p->inputs = arena_strdup(&x->arena, buf_cstr(&names));
    return 0;
}

static int read_value(
    struct extra *x, struct extra_param *p, const json_t *value, struct error *err)
{
    const char *text, *problem = NULL;
    text = config_text(&x->arena, value, &problem);
    if (problem)
        return error_set(err, -EINVAL, "%s", problem);
    if (strstr(text, "{{") || strstr(text, "{%"))
        return read_inputs(x, p, text, err);
    p->value = text;
    return 0;
}

static int read_how(struct extra *x, struct extra_param *p, const json_t *json, struct error *err)
{
    const json_t *by_default = json_at(json, "default"), *must = json_at(json, "must");
    const json_t *optional = json_at(json, "optional");
    if (optional && !json_is_true(optional))
        return error_set(err, -EINVAL, "optional can only be true");
    if (!!by_default + !!must + !!optional > 1)
        return error_set(err, -EINVAL, "default, must and optional exclude each other");
    p->kind = by_default ? SET_DEFAULT : must ? SET_MUST : optional ? SET_OPTIONAL : SET_REQUIRED;
    return by_default || must ? read_value(x, p, by_default ? by_default : must, err) : 0;
}

static int read_when(struct extra *x, struct extra_param *p, const json_t *json, struct error *err)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    const char *name;
    json_t *value;
    if (!json)
        return 0;
    if (!json_is_object(json))
        return error_set(err, -EINVAL, "when must be a mapping of names to values");
    json_object_foreach((json_t *)(uintptr_t)json, name, value)
    {
        const char *problem = NULL, *text = config_text(&x->arena, value, &problem);
        if (!name_valid(name) || problem || strchr(text, ' '))
            return error_set(
                err, -EINVAL, "when: %.64s and its value must be words without blanks", name);
        buf_printf(&b, "%s%s=%s", b.n ? " " : "", name, text);
    }
    p->when = b.n ? arena_strdup(&x->arena, buf_cstr(&b)) : NULL;
    return 0;
}

static int read_one_of(
    struct extra *x, struct extra_param *p, const json_t *list, struct error *err)
{
    if (!list)
        return 0;
    size_t n = json_array_size(list);
    const char **words = arena_new_array(&x->arena, const char *, n + 1);
    for (size_t i = 0; i < n; i++) {
        const char *problem = NULL;
        words[i] = config_text(&x->arena, json_array_get(list, i), &problem);
        if (problem)
            return error_set(err, -EINVAL, "one_of: %s", problem);
    }
    if (n == 0)
        return error_set(err, -EINVAL, "one_of must be a list of values");
    p->one_of = words;
    return 0;
}

static int read_range(struct extra *x, struct extra_param *p, const json_t *json, struct error *err)
{
    const json_t *min = json_at(json, "min"), *max = json_at(json, "max");
    if (!min && !max)
        return 0;
    if ((min && !json_is_integer(min)) || (max && !json_is_integer(max)))
        return error_set(err, -EINVAL, "min and max must be integers");
    struct rule_range *range = arena_new(&x->arena, struct rule_range);
    range->min = min ? json_integer_value(min) : INT64_MIN;
    range->max = max ? json_integer_value(max) : INT64_MAX;
    p->range = range;
    return 0;
}

/* What {n} and {m,n} multiply to, at most. */
static bool repeats_fine(const char *pattern)
{
    unsigned long product = 1;
    for (const char *p = pattern; (p = strchr(p, '{')); p++) {
        unsigned long bound = 0, most = 1;
        for (const char *d = p + 1; (*d >= '0' && *d <= '9') || *d == ','; d++) {
            bound = *d == ',' ? 0 : bound * 10 + (unsigned long)(*d - '0');
            most = MAX(most, bound);
            if (most > EXTRA_REPEATS_MAX)
                return false;
        }
        product *= most;
        if (product > EXTRA_REPEATS_MAX)
            return false;
    }
    return true;
}

static int read_pattern(struct extra *x, struct extra_param *p, struct error *err)
{
    regex_t compiled;
    char why[200];
    if (!p->pattern)
        return 0;
    if (strlen(p->pattern) > EXTRA_PATTERN_MAX || !repeats_fine(p->pattern))
        return error_set(err, -EINVAL, "a pattern that is too long or repeats too much");
    p->pattern = arena_printf(&x->arena, "^(%s)$", p->pattern);
    int code = regcomp(&compiled, p->pattern, REG_EXTENDED | REG_NOSUB);
    if (code) {
        regerror(code, &compiled, why, sizeof(why));
        return error_set(err, -EINVAL, "pattern: %s", why);
    }
    regfree(&compiled);
    return 0;
}

static int read_texts(struct extra *x, struct extra_param *p, const json_t *json, struct error *err)
{
    const char *type = NULL;
    const struct {
        const char *key;
        const char **target;
    } texts[] = {
        {"help", &p->help}, {"type", &type}, {"pattern", &p->pattern}, {"message", &p->message}};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        const json_t *value = json_at(json, texts[i].key);
        if (value && !json_is_string(value))
            return error_set(err, -EINVAL, "%s must be text", texts[i].key);
        if (value)
            *texts[i].target = arena_strdup(&x->arena, json_string_value(value));
    }
    size_t i = 0;
    while (type && i < ARRAY_SIZE(types) && !streq(types[i].name, type))
        i++;
    if (i == ARRAY_SIZE(types))
        return error_set(err, -EINVAL,
            "type must be one of line, text, not_empty, boolean, integer, list, mapping");
    p->type = type ? types[i].type : NULL;
    return 0;
}

static int check_keys(const json_t *json, struct error *err)
{
    static const char *const known[] = {"default", "must", "optional", "when", "type", "one_of",
        "min", "max", "pattern", "message", "help", "secret"};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)json, key, value)
    {
        size_t i = 0;
        while (i < ARRAY_SIZE(known) && !streq(known[i], key))
            i++;
        if (i == ARRAY_SIZE(known))
            return error_set(err, -EINVAL, "unknown key '%.64s'", key);
    }
    return 0;
}

static int read_param(struct extra *x, const char *name, const json_t *json, struct error *err)
{
    struct extra_param p = {.name = arena_strdup(&x->arena, name)};
    const json_t *secret = json_at(json, "secret");
    if (!name_valid(name))
        return error_set(err, -EINVAL, "a name has lower-case letters, digits and _ only");
    if (streq(name, "dcos_version"))
        return error_set(err, -EINVAL, "is the release's and cannot be changed");
    if (!json_is_object(json))
        return error_set(err, -EINVAL, "must be a mapping");
    if (secret && !json_is_boolean(secret))
        return error_set(err, -EINVAL, "secret must be true or false");
    p.secret = json_is_true(secret);
    int r = check_keys(json, err);
    if (r == 0)
        r = read_texts(x, &p, json, err);
    if (r == 0)
        r = read_pattern(x, &p, err);
    if (r == 0)
        r = read_when(x, &p, json_at(json, "when"), err);
    if (r == 0)
        r = read_one_of(x, &p, json_at(json, "one_of"), err);
    if (r == 0)
        r = read_range(x, &p, json, err);
    if (r == 0)
        r = read_how(x, &p, json, err);
    if (r < 0) {
        template_free(p.template);
        return r;
    }
    const struct param *built_in = param_find(name, NULL);
    p.secret |= built_in && built_in->secret;
    if (!p.type && !built_in)
        p.type = &type_line;
    vec_push(&x->params, p);
    return 0;
}

/* ---- params.yaml ---- */

static int read_params(struct extra *x, const json_t *json, struct error *err)
{
    const char *name;
    json_t *description;
    if (!json_is_object(json))
        return error_set(err, -EINVAL, "parameters must be a mapping");
    if (json_object_size(json) > EXTRA_PARAMS_MAX)
        return error_set(err, -EINVAL, "more than %d parameters", (int)EXTRA_PARAMS_MAX);
    json_object_foreach((json_t *)(uintptr_t)json, name, description)
    {
        int r = read_param(x, name, description, err);
        if (r < 0)
            return error_prefix(err, r, "%.64s", name);
    }
    return 0;
}

static int read_provider_defaults(struct extra *x, const json_t *json, struct error *err)
{
    const char *name;
    json_t *value;
    if (!json_is_object(json))
        return error_set(err, -EINVAL, "provider_template_defaults must be a mapping");
    json_object_foreach((json_t *)(uintptr_t)json, name, value)
    {
        const char *problem = NULL, *text = config_text(&x->arena, value, &problem);
        if (problem)
            return error_set(err, -EINVAL, "%.64s: %s", name, problem);
        json_object_set_new(x->provider_defaults, name, json_string(text));
    }
    return 0;
}

static int read_member(
    void *userdata, const char *name, json_t *value, unsigned line, struct error *err)
{
    struct extra *x = userdata;
    int r = streq(name, "parameters") ? read_params(x, value, err)
            : streq(name, "provider_template_defaults")
                ? read_provider_defaults(x, value, err)
                : error_set(err, -EINVAL,
                      "line %u: unknown key '%.64s': parameters and provider_template_defaults are "
                      "known",
                      line, name);
    json_decref(value);
    return r;
}

/* The name that a value mentions, and whether it is to be hidden. */
static int check_input(
    const struct extra *x, const struct extra_param *p, const char *name, struct error *err)
{
    const struct param *built_in = param_find(name, NULL);
    const struct extra_param *other = extra_find(x, name);
    if (!built_in && !other)
        return error_set(err, -EINVAL, "%s: there is no parameter %.64s", p->name, name);
    if (((other && other->secret) || (built_in && built_in->secret)) && !p->secret)
        return error_set(err, -EINVAL,
            "%s: is worked out of %.64s, which is secret; so must this be", p->name, name);
    return 0;
}

static int check_references(const struct extra *x, struct error *err)
{
    VEC_FOREACH (p, &x->params) {
        const char *const lists[] = {p->inputs, p->when};
        for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
            struct str rest = str_of(lists[i]), one;
            while (lists[i] && rest.n && str_split(&rest, ' ', &one)) {
                ptrdiff_t at = str_index(one, '=');
                _cleanup_free_ char *name = str_dup(
                    (struct str){one.p, at < 0 ? one.n : (size_t)at});
                int r = check_input(x, p, name, err);
                if (r < 0)
                    return r;
            }
        }
    }
    return 0;
}

/* ---- the folder ---- */

static bool is_template(const char *name)
{
    _cleanup_json_ json_t *known = render_template_names();
    for (size_t i = 0; i < json_array_size(known); i++)
        if (streq(json_string_value(json_array_get(known, i)), name))
            return true;
    return false;
}

static int read_file(struct extra *x, const struct gen_files *files, const char *folder,
    const char *name, struct error *err)
{
    _cleanup_free_ char *path = path_join(folder, name);
    _cleanup_buf_ struct buf text = BUF_INIT;
    int r = files->read(files->userdata, path, GEN_FILE_MAX, &text, err);
    if (r < 0)
        return r;
    if (streq(name, EXTRA_PARAMS)) {
        r = yaml_read_members(buf_cstr(&text), text.n, YAML_TYPES, read_member, x, err);
        if (r == 0)
            r = check_references(x, err);
    } else {
        json_t *content = json_stringn(buf_cstr(&text), text.n);
        r = content ? 0 : error_set(err, -EBADMSG, "is not UTF-8");
        json_object_set_new(x->templates, name, content);
    }
    return r < 0 ? error_prefix(err, r, "%s", path) : 0;
}

int extra_read(
    const struct gen_files *files, const char *folder, struct extra *ret, struct error *err)
{
    struct extra x = {.templates = json_object(), .provider_defaults = json_object()};
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_json_ json_t *list = NULL;
    int r = files->list(files->userdata, folder, &text, err);
    if (r == 0)
        r = rule_parse_list(buf_cstr(&text), &list, err);
    for (size_t i = 0; i < json_array_size(list) && r == 0; i++) {
        const char *name = json_string_value(json_array_get(json_array_get(list, i), 0));
        if (streq(name, EXTRA_PARAMS) || is_template(name))
            r = read_file(&x, files, folder, name, err);
        else if (has_suffix(name, ".py"))
            r = error_set(err, -EINVAL,
                "%s/%s: extensions are not read as Python here; say it in " EXTRA_PARAMS, folder,
                name);
        else if (has_suffix(name, ".yaml"))
            r = error_set(err, -EINVAL,
                "%s/%s would not be used: it is not " EXTRA_PARAMS " and no template has its name",
                folder, name);
    }
    if (r < 0 && r != -ENOENT) {
        extra_done(&x);
        return r;
    }
    *ret = x;
    return 0;
}
