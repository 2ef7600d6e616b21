#include "marathon/constraint.h"

#include <errno.h>
#include <math.h>

#include "base/alloc.h"
#include "base/parse.h"
#include "base/str.h"
#include "base/vec.h"
#include "marathon/app_schema.h"

int constraint_read(const json_t *json, struct constraint *ret, struct error *err)
{
    const char *field = json_string_value(json_array_get(json, 0));
    const char *op = json_string_value(json_array_get(json, 1));
    const char *value = json_string_value(json_array_get(json, 2));
    size_t which = 0;
    while (constraint_operators[which] && !streq(constraint_operators[which], op))
        which++;
    if (!field || !op || !constraint_operators[which])
        return error_set(err, -EINVAL, "malformed constraint");
    struct constraint c = {.op = (enum constraint_op)which};
    if (value && parse_i64(str_of(value), &c.number) < 0)
        c.number = streq(value, "inf") ? INT32_MAX : 0;
    if (c.op == CONSTRAINT_LIKE || c.op == CONSTRAINT_UNLIKE) {
        int r = regex_new(value ? value : "", &c.regex, err);
        if (r < 0)
            return r;
    }
    c.field = xstrdup(field);
    c.value = value ? xstrdup(value) : NULL;
    *ret = c;
    return 0;
}

void constraint_done(struct constraint *c)
{
    free(c->field);
    free(c->value);
    regex_free(c->regex);
    *c = (struct constraint){0};
}

void constraint_scalar_text(double value, struct buf *out)
{
    char text[64];
    snprintf(text, sizeof(text), "%.3f", value);
    size_t n = strlen(text);
    while (n > 0 && text[n - 1] == '0')
        n--;
    if (n > 0 && text[n - 1] == '.')
        n--;
    buf_append(out, text, n);
}

const char *place_value(const struct place *p, const char *field)
{
    if (streq(field, "hostname") || streq(field, "@hostname"))
        return p->hostname;
    if (streq(field, "@region"))
        return p->region;
    if (streq(field, "@zone"))
        return p->zone;
    for (size_t i = 0; i < json_array_size(p->attributes); i++) {
        const json_t *a = json_array_get(p->attributes, i);
        if (streq(json_str_at(a, "name", NULL), field))
            return json_str_at(a, "text", NULL);
    }
    return NULL;
}

static bool same_normalized(const char *a, const char *b)
{
    double x, y;
    if (streq(a, b))
        return true;
    if (parse_double(str_of(a), &x) < 0 || parse_double(str_of(b), &y) < 0)
        return false;
    return llround(x * 1000) == llround(y * 1000);
}

struct group {
    const char *value;
    int64_t n;
};
typedef VEC(struct group) group_vec;

static void count_groups(
    const struct constraint *c, const struct place *const *placed, size_t n, group_vec *groups)
{
    for (size_t i = 0; i < n; i++) {
        const char *value = place_value(placed[i], c->field);
        bool found = false;
        if (!value)
            continue;
        VEC_FOREACH (g, groups)
            if (streq(g->value, value)) {
                g->n++;
                found = true;
            }
        if (!found)
            vec_push(groups, (struct group){value, 1});
    }
}

static bool group_by(
    const struct constraint *c, const char *value, const group_vec *groups, int32_t wanted)
{
    int64_t own = 0, smallest = INT64_MAX, full = 0;
    bool known = false;
    int64_t per = c->number > 0 ? wanted / c->number : 0;
    int64_t rem = c->number > 0 ? wanted % c->number : 0;
    for (const struct group *g = groups->items; g && g < groups->items + groups->n; g++) {
        smallest = MIN(smallest, g->n);
        full += g->n > per;
        if (streq(g->value, value)) {
            known = true;
            own = g->n;
        }
    }
    if (c->number <= 0) /* no number: balance over the groups seen so far */
        return !known || own <= smallest;
    if (!known)
        return (int64_t)groups->n < c->number;
    return own < per || (own == per && full < rem);
}

bool constraint_matches(const struct constraint *c, const struct place *at,
    const struct place *const *placed, size_t n_placed, int32_t wanted)
{
    const char *value = place_value(at, c->field);
    if (!value)
        return c->op == CONSTRAINT_UNLIKE;
    switch (c->op) {
    case CONSTRAINT_UNIQUE:
        for (size_t i = 0; i < n_placed; i++)
            if (streq(place_value(placed[i], c->field), value))
                return false;
        return true;
    case CONSTRAINT_CLUSTER:
        if (c->value && *c->value)
            return streq(c->value, value);
        return n_placed == 0 || streq(place_value(placed[0], c->field), value);
    case CONSTRAINT_LIKE:
        return regex_full_match(c->regex, value);
    case CONSTRAINT_UNLIKE:
        return !regex_full_match(c->regex, value);
    case CONSTRAINT_IS:
        return same_normalized(c->value ? c->value : "", value);
    case CONSTRAINT_GROUP_BY:
    case CONSTRAINT_MAX_PER: {
        group_vec groups = {0};
        count_groups(c, placed, n_placed, &groups);
        bool ok = true;
        if (c->op == CONSTRAINT_GROUP_BY)
            ok = group_by(c, value, &groups, wanted);
        else
            VEC_FOREACH (g, &groups)
                if (streq(g->value, value))
                    ok = g->n < c->number;
        vec_done(&groups);
        return ok;
    }
    }
    return false;
}
