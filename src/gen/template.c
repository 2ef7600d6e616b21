#include "gen/template.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/vec.h"
#include "gen/template-internal.h"

/* Parsing and rendering. A template is a list of nodes in order; a switch's cases and a loop's body
 * are ranges of the same list, so that there is one allocation to free and no recursion in freeing.
 */

enum node_kind { NODE_TEXT, NODE_VALUE, NODE_SWITCH, NODE_CASE, NODE_FOR };

struct node {
    enum node_kind kind;
    unsigned line;
    char *text;   /* TEXT: the text; CASE: its string; VALUE, SWITCH: argument; FOR: the list */
    char *extra;  /* VALUE: filter or NULL; FOR: the variable */
    size_t n;     /* TEXT: bytes */
    size_t after; /* SWITCH, CASE, FOR: index of the first node behind it */
};

struct template
{
    VEC(struct node) nodes;
};

struct parsing {
    struct template_lexer lexer;
    struct template *t;
    unsigned depth;
    struct error *err;
};

void template_free(struct template *t)
{
    if (!t)
        return;
    VEC_FOREACH (n, &t->nodes) {
        free(n->text);
        free(n->extra);
    }
    vec_done(&t->nodes);
    free(t);
}

static int add(struct parsing *p, struct node node, size_t *ret)
{
    if (p->t->nodes.n >= TEMPLATE_NODES_MAX) {
        free(node.text);
        free(node.extra);
        return error_set(
            p->err, -EBADMSG, "line %u: more than %d pieces", node.line, (int)TEMPLATE_NODES_MAX);
    }
    *ret = p->t->nodes.n;
    vec_push(&p->t->nodes, node);
    return 0;
}

static int parse_until(struct parsing *p, enum template_token_kind stop,
    enum template_token_kind other_stop, struct template_token *ret_end);

static int expected(struct parsing *p, const struct template_token *got, const char *what)
{
    return error_set(p->err, -EBADMSG, "line %u: expected %s, found %s", got->line, what,
        template_token_name(got->kind));
}

static int parse_cases(struct parsing *p, struct template_token *ret_end)
{
    struct template_token token;
    int r = template_next(&p->lexer, &token, p->err);
    if (r == 0 && token.kind == TEMPLATE_TEXT) {
        if (str_trim(token.text).n)
            return error_set(p->err, -EBADMSG,
                "line %u: only white space may stand between switch and its first case",
                token.line);
        r = template_next(&p->lexer, &token, p->err);
    }
    if (r < 0)
        return r;
    if (token.kind != TEMPLATE_CASE)
        return expected(p, &token, "case");
    while (token.kind == TEMPLATE_CASE) {
        size_t at;
        r = add(p,
            (struct node){
                .kind = NODE_CASE, .line = token.line, .text = template_case_text(&token)},
            &at);
        if (r == 0)
            r = parse_until(p, TEMPLATE_CASE, TEMPLATE_END_SWITCH, &token);
        if (r < 0)
            return r;
        p->t->nodes.items[at].after = p->t->nodes.n;
    }
    *ret_end = token;
    return 0;
}

static int parse_block(struct parsing *p, const struct template_token *token)
{
    bool loop = token->kind == TEMPLATE_FOR;
    struct template_token end;
    size_t at;
    if (p->depth == TEMPLATE_DEPTH_MAX)
        return error_set(
            p->err, -EBADMSG, "line %u: more than %d levels", token->line, (int)TEMPLATE_DEPTH_MAX);
    int r = add(p,
        (struct node){.kind = loop ? NODE_FOR : NODE_SWITCH,
            .line = token->line,
            .text = str_dup(token->text),
            .extra = loop ? str_dup(token->extra) : NULL},
        &at);
    if (r < 0)
        return r;
    p->depth++;
    r = loop ? parse_until(p, TEMPLATE_END_FOR, TEMPLATE_END_FOR, &end) : parse_cases(p, &end);
    p->depth--;
    if (r == 0)
        p->t->nodes.items[at].after = p->t->nodes.n;
    return r;
}

static int parse_until(struct parsing *p, enum template_token_kind stop,
    enum template_token_kind other_stop, struct template_token *ret_end)
{
    for (;;) {
        struct template_token token;
        size_t at;
        int r = template_next(&p->lexer, &token, p->err);
        if (r < 0)
            return r;
        if (token.kind == stop || token.kind == other_stop) {
            *ret_end = token;
            return 0;
        }
        switch (token.kind) {
        case TEMPLATE_TEXT:
            r = add(p,
                (struct node){.kind = NODE_TEXT,
                    .line = token.line,
                    .text = str_dup(token.text),
                    .n = token.text.n},
                &at);
            break;
        case TEMPLATE_VALUE:
            r = add(p,
                (struct node){.kind = NODE_VALUE,
                    .line = token.line,
                    .text = str_dup(token.text),
                    .extra = token.extra.p ? str_dup(token.extra) : NULL},
                &at);
            break;
        case TEMPLATE_FOR:
        case TEMPLATE_SWITCH:
            r = parse_block(p, &token);
            break;
        default:
            r = expected(p, &token, template_token_name(other_stop));
        }
        if (r < 0)
            return r;
    }
}

int template_parse(const char *text, size_t n, struct template **ret, struct error *err)
{
    if (n > TEMPLATE_MAX)
        return error_set(err, -EFBIG, "more than %d bytes", (int)TEMPLATE_MAX);
    if (memchr(text ? text : "", 0, n))
        return error_set(err, -EBADMSG, "the text holds a NUL byte");
    _cleanup_(template_freep)
    struct template *t = xnew(struct template);
    struct parsing p = {.lexer = {.rest = {text, n}, .line = 1}, .t = t, .err = err};
    struct template_token end;
    int r = parse_until(&p, TEMPLATE_END, TEMPLATE_END, &end);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(t);
    return 0;
}

/* ---- rendering ---- */

struct scope {
    const char *name, *value;
    const struct scope *above;
};

struct rendering {
    const struct template *t;
    const json_t *arguments;
    const struct template_filter *filters;
    size_t n_filters;
    struct buf *out;
    size_t limit;
    unsigned steps; /* loops in loops take time also where they write nothing */
    struct error *err;
};

static const char *scope_get(const struct scope *s, const char *name)
{
    for (; s; s = s->above) {
        if (streq(s->name, name))
            return s->value;
    }
    return NULL;
}

static int value_of(
    struct rendering *x, const struct scope *scope, const struct node *n, const char **ret)
{
    *ret = scope_get(scope, n->text);
    if (*ret)
        return 0;
    const json_t *value = json_at(x->arguments, n->text);
    if (!value)
        return error_set(x->err, -ENOENT, "line %u: no argument named %s", n->line, n->text);
    *ret = json_string_value(value);
    if (!*ret)
        return error_set(x->err, -EINVAL, "line %u: %s is a list", n->line, n->text);
    return 0;
}

static void append_json_string(const char *value, struct buf *out)
{
    json_t *text = json_string(value);
    char *dump = text ? json_dumps(text, JSON_ENCODE_ANY) : NULL;
    if (dump)
        buf_puts(out, dump);
    free(dump);
    json_decref(text);
}

static void append_shell_word(const char *value, struct buf *out)
{
    buf_putc(out, '\'');
    for (; *value; value++) {
        if (*value == '\'')
            buf_puts(out, "'\\''");
        else
            buf_putc(out, *value);
    }
    buf_putc(out, '\'');
}

static int render_value(struct rendering *x, const struct scope *scope, const struct node *n)
{
    const char *value;
    int r = value_of(x, scope, n, &value);
    if (r < 0)
        return r;
    if (!n->extra) {
        buf_puts(x->out, value);
        return 0;
    }
    for (size_t i = 0; i < x->n_filters; i++) {
        if (streq(x->filters[i].name, n->extra)) {
            r = x->filters[i].fn(value, x->out, x->err);
            return r < 0 ? error_prefix(x->err, r, "line %u: %s", n->line, n->text) : 0;
        }
    }
    if (streq(n->extra, "json"))
        append_json_string(value, x->out);
    else if (streq(n->extra, "shell"))
        append_shell_word(value, x->out);
    else
        return error_set(x->err, -EINVAL, "line %u: no filter named %s", n->line, n->extra);
    return 0;
}

static int render_range(struct rendering *x, const struct scope *scope, size_t from, size_t to);

static int render_switch(struct rendering *x, const struct scope *scope, size_t at)
{
    const struct node *nodes = x->t->nodes.items, *n = &nodes[at];
    const char *value;
    int r = value_of(x, scope, n, &value);
    if (r < 0)
        return r;
    for (size_t i = at + 1; i < n->after; i = nodes[i].after) {
        if (streq(nodes[i].text, value))
            return render_range(x, scope, i + 1, nodes[i].after);
    }
    return error_set(
        x->err, -EINVAL, "line %u: no case for '%.100s', the value of %s", n->line, value, n->text);
}

static int render_for(struct rendering *x, const struct scope *scope, size_t at)
{
    const struct node *n = &x->t->nodes.items[at];
    _cleanup_json_ json_t *read = NULL;
    const json_t *list = json_at(x->arguments, n->text);
    const char *text = scope_get(scope, n->text);
    json_t *item;
    size_t i;
    if (!list && !text)
        return error_set(x->err, -ENOENT, "line %u: no argument named %s", n->line, n->text);
    if (!text && json_is_string(list))
        text = json_string_value(list);
    if (text) {
        if (json_parse(text, strlen(text), &read, NULL) < 0)
            read = NULL;
        list = read;
    }
    if (!json_is_array(list))
        return error_set(x->err, -EINVAL, "line %u: %s is not a list", n->line, n->text);
    json_array_foreach((json_t *)(uintptr_t)list, i, item)
    {
        if (!json_is_string(item))
            return error_set(
                x->err, -EINVAL, "line %u: a member of %s is not text", n->line, n->text);
        struct scope inner = {n->extra, json_string_value(item), scope};
        int r = render_range(x, &inner, at + 1, n->after);
        if (r < 0)
            return r;
    }
    return 0;
}

static int render_range(struct rendering *x, const struct scope *scope, size_t from, size_t to)
{
    for (size_t i = from; i < to;) {
        const struct node *n = &x->t->nodes.items[i];
        int r = 0;
        switch (n->kind) {
        case NODE_TEXT:
            buf_append(x->out, n->text, n->n);
            break;
        case NODE_VALUE:
            r = render_value(x, scope, n);
            break;
        case NODE_SWITCH:
            r = render_switch(x, scope, i);
            break;
        case NODE_FOR:
            r = render_for(x, scope, i);
            break;
        case NODE_CASE:
            break;
        }
        if (r < 0)
            return r;
        if (x->out->n > x->limit || x->out->overflow || ++x->steps > TEMPLATE_STEPS_MAX)
            return error_set(
                x->err, -EFBIG, "line %u: the text becomes longer than allowed", n->line);
        i = n->kind == NODE_SWITCH || n->kind == NODE_FOR ? n->after : i + 1;
    }
    return 0;
}

int template_render(const struct template *t, const json_t *arguments,
    const struct template_filter *filters, size_t n_filters, struct buf *out, struct error *err)
{
    struct rendering x = {.t = t,
        .arguments = arguments,
        .filters = filters,
        .n_filters = n_filters,
        .out = out,
        .limit = out->n + TEMPLATE_OUTPUT_MAX,
        .err = err};
    return render_range(&x, NULL, 0, t->nodes.n);
}

/* ---- targets ---- */

static void target_of(
    const struct template *t, size_t from, size_t to, const struct scope *scope, json_t *target);

static void target_name(const struct scope *scope, const char *name, json_t *target)
{
    if (!scope_get(scope, name))
        json_object_set_new(json_object_get(target, "names"), name, json_true());
}

static json_t *target_new(void)
{
    json_t *target = json_object();
    json_object_set_new(target, "names", json_object());
    json_object_set_new(target, "switches", json_object());
    return target;
}

static void target_of(
    const struct template *t, size_t from, size_t to, const struct scope *scope, json_t *target)
{
    const struct node *nodes = t->nodes.items;
    for (size_t i = from; i < to;) {
        const struct node *n = &nodes[i];
        i++;
        if (n->kind == NODE_VALUE)
            target_name(scope, n->text, target);
        if (n->kind == NODE_FOR) {
            struct scope inner = {n->extra, "", scope};
            target_name(scope, n->text, target);
            target_of(t, i, n->after, &inner, target);
            i = n->after;
        }
        if (n->kind == NODE_SWITCH) {
            json_t *switches = json_object_get(target, "switches");
            if (!json_object_get(switches, n->text))
                json_object_set_new(switches, n->text, json_object());
            json_t *cases = json_object_get(switches, n->text);
            for (; i < n->after; i = nodes[i].after) {
                if (!json_object_get(cases, nodes[i].text))
                    json_object_set_new(cases, nodes[i].text, target_new());
                target_of(t, i + 1, nodes[i].after, scope, json_object_get(cases, nodes[i].text));
            }
        }
    }
}

/* "names" as an object was for merging; the outside wants a sorted list. */
static void target_finish(json_t *target)
{
    json_t *names = json_object_get(target, "names"), *list = json_array(), *value, *one;
    const char *key, *name;
    VEC(const char *) sorted = {0};
    json_object_foreach(names, key, value)
    {
        size_t i = sorted.n;
        vec_push(&sorted, key);
        for (; i > 0 && strcmp(sorted.items[i - 1], key) > 0; i--)
            sorted.items[i] = sorted.items[i - 1];
        sorted.items[i] = key;
    }
    for (size_t i = 0; i < sorted.n; i++)
        json_array_append_new(list, json_string(sorted.items[i]));
    vec_done(&sorted);
    json_object_set_new(target, "variables", list);
    json_object_del(target, "names");
    json_object_foreach(json_object_get(target, "switches"), name, value)
    {
        json_object_foreach(value, key, one)
        {
            target_finish(one);
        }
    }
}

json_t *template_target(const struct template *t)
{
    json_t *target = target_new();
    target_of(t, 0, t->nodes.n, NULL, target);
    target_finish(target);
    return target;
}
