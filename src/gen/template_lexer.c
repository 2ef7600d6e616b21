#include <errno.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "gen/template-internal.h"

static bool take(struct str *s, const char *text)
{
    if (!str_has_prefix(*s, str_of(text)))
        return false;
    s->p += strlen(text);
    s->n -= strlen(text);
    return true;
}

static bool take_name(struct str *s, struct str *ret)
{
    size_t n = 0;
    while (n < s->n && ((s->p[n] >= 'a' && s->p[n] <= 'z') || (s->p[n] >= '0' && s->p[n] <= '9') ||
                           s->p[n] == '_'))
        n++;
    if (n == 0 || n > TEMPLATE_NAME_MAX)
        return false;
    *ret = (struct str){s->p, n};
    s->p += n;
    s->n -= n;
    return true;
}

/* Between quotes, with \" and \\ and no other escape. */
static bool take_string(struct str *s, struct str *ret)
{
    size_t n = 1;
    if (!s->n || s->p[0] != '"')
        return false;
    for (; n < s->n && s->p[n] != '"'; n++) {
        if (s->p[n] == '\n')
            return false;
        if (s->p[n] == '\\') {
            n++;
            if (n >= s->n || (s->p[n] != '"' && s->p[n] != '\\'))
                return false;
        }
    }
    if (n >= s->n)
        return false;
    *ret = (struct str){s->p + 1, n - 1};
    s->p += n + 1;
    s->n -= n + 1;
    return true;
}

static bool lex_value(struct str *s, struct template_token *t)
{
    t->kind = TEMPLATE_VALUE;
    t->extra = (struct str){NULL, 0};
    if (!take(s, "{{ ") || !take_name(s, &t->text))
        return false;
    if (take(s, " | ") && !take_name(s, &t->extra))
        return false;
    return take(s, " }}");
}

static bool lex_statement(struct str *s, struct template_token *t)
{
    if (!take(s, "{% "))
        return false;
    if (take(s, "switch ")) {
        t->kind = TEMPLATE_SWITCH;
        if (!take_name(s, &t->text))
            return false;
    } else if (take(s, "case ")) {
        t->kind = TEMPLATE_CASE;
        if (!take_string(s, &t->text))
            return false;
    } else if (take(s, "for ")) {
        t->kind = TEMPLATE_FOR;
        if (!take_name(s, &t->extra) || !take(s, " in ") || !take_name(s, &t->text))
            return false;
    } else if (take(s, "endswitch")) {
        t->kind = TEMPLATE_END_SWITCH;
    } else if (take(s, "endfor")) {
        t->kind = TEMPLATE_END_FOR;
    } else {
        return false;
    }
    return take(s, " %}");
}

int template_next(struct template_lexer *x, struct template_token *ret, struct error *err)
{
    struct template_token t = {.kind = TEMPLATE_TEXT, .line = x->line};
    struct str s = x->rest;
    if (s.n == 0) {
        *ret = (struct template_token){.kind = TEMPLATE_END, .line = x->line};
        return 0;
    }
    if (take(&s, "{{{{")) {
        /* Literal braces: the token is the last two of the four. */
        t.text = (struct str){s.p - 2, 2};
    } else if (str_has_prefix(s, STR("{{{"))) {
        return error_set(
            err, -EBADMSG, "line %u: {{{ is neither a value nor the text {{{{", x->line);
    } else if (str_has_prefix(s, STR("{{"))) {
        if (!lex_value(&s, &t))
            return error_set(err, -EBADMSG,
                "line %u: a value must be {{ name }} or {{ name | filter }}, with one blank each",
                x->line);
    } else if (str_has_prefix(s, STR("{%"))) {
        if (!lex_statement(&s, &t))
            return error_set(err, -EBADMSG,
                "line %u: expected switch, case \"...\", endswitch, for ... in ... or endfor",
                x->line);
    } else {
        size_t n = 1;
        while (
            n < s.n && !(s.p[n] == '{' && n + 1 < s.n && (s.p[n + 1] == '{' || s.p[n + 1] == '%')))
            n++;
        t.text = (struct str){s.p, n};
        s.p += n;
        s.n -= n;
    }
    for (const char *at = x->rest.p; at < s.p; at++)
        x->line += *at == '\n';
    x->rest = s;
    *ret = t;
    return 0;
}

char *template_case_text(const struct template_token *token)
{
    struct buf b = BUF_INIT;
    for (size_t i = 0; i < token->text.n; i++) {
        if (token->text.p[i] == '\\')
            i++;
        buf_putc(&b, token->text.p[i]);
    }
    return buf_steal(&b);
}

const char *template_token_name(enum template_token_kind kind)
{
    static const char *const names[] = {[TEMPLATE_END] = "the end",
        [TEMPLATE_TEXT] = "text",
        [TEMPLATE_VALUE] = "a value",
        [TEMPLATE_SWITCH] = "switch",
        [TEMPLATE_CASE] = "case",
        [TEMPLATE_END_SWITCH] = "endswitch",
        [TEMPLATE_FOR] = "for",
        [TEMPLATE_END_FOR] = "endfor"};
    return names[kind];
}
