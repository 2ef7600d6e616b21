#include "gen/explain.h"

#include <errno.h>

#include "base/alloc.h"
#include "gen/gen-internal.h"
#include "gen/graph.h"
#include "gen/params.h"
#include "gen/render.h"
#include "json/writer.h"

static const char *kind_name(enum setter_kind kind)
{
    static const char *const names[] = {[SET_DEFAULT] = "default",
        [SET_MUST] = "calculated",
        [SET_REQUIRED] = "required",
        [SET_OPTIONAL] = "optional",
        [SET_LATE] = "late"};
    return names[kind];
}

static const char *effect_name(enum param_effect effect)
{
    static const char *const names[] = {
        [EFFECT_NODES] = "nodes", [EFFECT_INSTALLER] = "installer", [EFFECT_NONE] = "none"};
    return names[effect];
}

/* Whether a list of words, or of word=value, has the word. */
static bool mentions(const char *text, const char *name)
{
    struct str rest = str_of(text), one;
    while (text && str_split(&rest, ' ', &one)) {
        ptrdiff_t at = str_index(one, '=');
        if (at >= 0)
            one.n = (size_t)at;
        if (str_eq_c(one, name))
            return true;
    }
    return false;
}

static void add_word(struct buf *b, const char *word)
{
    buf_printf(b, "%s%s", b->n ? ", " : "", word);
}

/* Parameters whose value or validity depends on this one. */
static void dependants(const char *name, struct buf *out)
{
    const char *last = "";
    for (size_t i = 0; i < n_param_tables; i++) {
        for (size_t k = 0; k < param_tables[i]->n; k++) {
            const struct param *p = &param_tables[i]->params[k];
            if ((mentions(p->inputs, name) || mentions(p->when, name)) && !streq(p->name, last))
                add_word(out, last = p->name);
        }
    }
}

static void checked_with(const char *name, struct buf *out)
{
    for (size_t i = 0; i < gen_n_checks; i++) {
        struct str rest = str_of(gen_checks[i].inputs), one;
        if (!mentions(gen_checks[i].inputs, name))
            continue;
        while (str_split(&rest, ' ', &one)) {
            _cleanup_free_ char *other = str_dup(one);
            if (!streq(other, name))
                add_word(out, other);
        }
    }
}

static void print_setter(const struct param *p, struct buf *out)
{
    buf_printf(out, "  %s", kind_name(p->kind));
    if (p->value)
        buf_printf(out, " '%s'", p->value);
    if (p->calc)
        buf_printf(out, ", worked out of %s", p->inputs);
    if (p->when)
        buf_printf(out, ", when %s", p->when);
    buf_putc(out, '\n');
}

static void print_value(const char *name, const struct gen *g, struct buf *out)
{
    static const char *const sources[] = {[FROM_NOWHERE] = "nowhere",
        [FROM_USER] = "config.yaml",
        [FROM_DEFAULT] = "the default",
        [FROM_MUST] = "calculation",
        [FROM_LATE] = "the host, when it starts"};
    const struct graph_node *n = graph_get(gen_graph(g), name);
    if (!n)
        return;
    if (n->message && gen_is_secret(g, name))
        buf_puts(out, "Wrong; the value is secret.\n");
    else if (n->message)
        buf_printf(out, "Wrong: %s\n", n->message);
    else if (n->state == NODE_SET) {
        buf_puts(out, "Value: ");
        gen_shown(g, name, n->value, out);
        buf_putc(out, '\n');
    } else
        buf_puts(out, n->state == NODE_SKIPPED
                          ? "Value: none, since something that it depends on has none\n"
                          : "Value: none\n");
    if (n->state == NODE_SET || n->message)
        buf_printf(out, "From: %s", sources[n->source]);
    if (n->line && n->source == FROM_USER)
        buf_printf(out, ", line %u", n->line);
    if (n->state == NODE_SET || n->message)
        buf_putc(out, '\n');
}

/* What an extension says of a parameter that is not built in. */
static void explain_extra(const struct extra_param *p, const struct gen *g, struct buf *out)
{
    buf_printf(out, "%s: %s\n\nArea: extension%s\n", p->name, p->help ? p->help : "",
        p->secret ? " (secret)" : "");
    buf_printf(out, "How it gets its value:\n  %s%s%s%s%s\n\n", kind_name(p->kind),
        p->inputs ? ", worked out of " : "", p->inputs ? p->inputs : "", p->when ? ", when " : "",
        p->when ? p->when : "");
    print_value(p->name, g, out);
}

int explain_param(const char *name, const struct gen *g, struct buf *out, struct error *err)
{
    enum param_area area;
    const struct param *p = param_find(name, &area);
    _cleanup_buf_ struct buf users = BUF_INIT, others = BUF_INIT;
    if (!p && g && extra_find(&g->extra, name)) {
        explain_extra(extra_find(&g->extra, name), g, out);
        return 0;
    }
    if (!p) {
        const char *near = param_nearest(name);
        return error_set(err, -ENOENT, "there is no parameter %.100s%s%s", name,
            near ? "; did you mean " : "", near ? near : "");
    }
    buf_printf(out, "%s: %s\n\n", name, p->help);
    buf_printf(out, "Area: %s%s\n", param_area_name(area), p->secret ? " (secret)" : "");
    buf_printf(out, "Type: %s\n", p->type->text);
    if (p->effect == EFFECT_NONE)
        buf_puts(out, "Effect: none here, the value is only checked\n");
    buf_puts(out, "How it gets its value:\n");
    for (size_t i = 0; i < n_param_tables; i++) {
        for (size_t k = 0; k < param_tables[i]->n; k++) {
            if (streq(param_tables[i]->params[k].name, name))
                print_setter(&param_tables[i]->params[k], out);
        }
    }
    dependants(name, &users);
    checked_with(name, &others);
    if (users.n)
        buf_printf(out, "What depends on it: %s\n", buf_cstr(&users));
    if (others.n)
        buf_printf(out, "Checked together with: %s\n", buf_cstr(&others));
    _cleanup_json_ json_t *templates = render_users(name);
    for (size_t i = 0; i < json_array_size(templates); i++)
        buf_printf(out, "%s%s%s", i ? ", " : "Written by the templates: ",
            json_string_value(json_array_get(templates, i)),
            i + 1 == json_array_size(templates) ? "\n" : "");
    if (g) {
        buf_putc(out, '\n');
        print_value(name, g, out);
    }
    return 0;
}

/* The first row of each name that may be in config.yaml or has a fixed value in the reference's
 * table. */
static bool is_listed(const struct param_table *t, size_t i)
{
    return t->area != AREA_DERIVED && t->params[i].type;
}

static void list_json(struct buf *out)
{
    struct json_writer w;
    jw_init(&w, out);
    jw_begin_array(&w);
    for (size_t i = 0; i < n_param_tables; i++) {
        for (size_t k = 0; k < param_tables[i]->n; k++) {
            const struct param *p = &param_tables[i]->params[k];
            if (!is_listed(param_tables[i], k))
                continue;
            jw_begin_object(&w);
            jw_field_string(&w, "name", p->name);
            jw_field_string(&w, "area", param_area_name(param_tables[i]->area));
            jw_field_string(&w, "kind", kind_name(p->kind));
            jw_field_string(&w, "type", p->type->text);
            if (p->value)
                jw_field_string(&w, "default", p->value);
            if (p->inputs)
                jw_field_string(&w, "inputs", p->inputs);
            if (p->when)
                jw_field_string(&w, "when", p->when);
            jw_field_bool(&w, "secret", p->secret);
            jw_field_string(&w, "effect", effect_name(p->effect));
            jw_field_string(&w, "help", p->help);
            jw_end_object(&w);
        }
    }
    jw_end_array(&w);
    buf_putc(out, '\n');
}

void explain_list(bool as_json, struct buf *out)
{
    enum { WIDTH = 44 };
    if (as_json) {
        list_json(out);
        return;
    }
    for (size_t i = 0; i < n_param_tables; i++) {
        for (size_t k = 0; k < param_tables[i]->n; k++) {
            const struct param *p = &param_tables[i]->params[k];
            if (!is_listed(param_tables[i], k))
                continue;
            if (k == 0)
                buf_printf(out, "%s%s\n", i ? "\n" : "", param_area_name(param_tables[i]->area));
            buf_printf(out, "  %-*s %-10s %-9s %s\n", WIDTH, p->name, kind_name(p->kind),
                effect_name(p->effect), p->type->text);
        }
    }
}
