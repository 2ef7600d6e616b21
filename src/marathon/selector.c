/*
 * Label selectors: `selector (',' selector)*`, each `key`, `key == v`, `key != v`, `key in (v,..)`
 * or `key notin (v,..)`; a backslash takes the next character as it is.
 */

#include <ctype.h>
#include <errno.h>

#include "base/str.h"
#include "marathon/api_internal.h"

struct cursor {
    const char *p;
};

static void skip(struct cursor *c)
{
    while (isspace((unsigned char)*c->p))
        c->p++;
}

static bool take(struct cursor *c, const char *text)
{
    skip(c);
    size_t n = strlen(text);
    if (strncmp(c->p, text, n) != 0)
        return false;
    c->p += n;
    return true;
}

static bool term(struct cursor *c, struct buf *out)
{
    skip(c);
    buf_clear(out);
    for (;; c->p++) {
        char ch = *c->p;
        if (ch == '\\' && c->p[1])
            ch = *++c->p;
        else if (!isalnum((unsigned char)ch) && !(ch && strchr("-_.", ch)))
            break;
        buf_putc(out, ch);
    }
    return out->n > 0;
}

/* "(v, v)": whether one of them is `value`. */
static bool value_set(struct cursor *c, const char *value, bool *ret_found)
{
    _cleanup_buf_ struct buf v = BUF_INIT;
    *ret_found = false;
    if (!take(c, "("))
        return false;
    do {
        if (!term(c, &v))
            return false;
        *ret_found = *ret_found || (value && streq(buf_cstr(&v), value));
    } while (take(c, ","));
    return take(c, ")");
}

int selector_match(const char *selector, const json_t *labels, bool *ret, struct error *err)
{
    struct cursor c = {selector};
    _cleanup_buf_ struct buf key = BUF_INIT, v = BUF_INIT;
    bool all = true, found;
    do {
        if (!term(&c, &key))
            return error_set(err, -EINVAL, "expected a label name at '%s'", c.p);
        const char *value = json_str_at(labels, buf_cstr(&key), NULL);
        bool fits = value != NULL;
        skip(&c);
        if (take(&c, "==") || strncmp(c.p, "!=", 2) == 0) {
            bool negative = take(&c, "!=");
            if (!term(&c, &v))
                return error_set(err, -EINVAL, "expected a value at '%s'", c.p);
            fits = value && (streq(value, buf_cstr(&v)) != negative);
        } else if (strncmp(c.p, "in", 2) == 0 || strncmp(c.p, "notin", 5) == 0) {
            bool negative = take(&c, "notin");
            if (!negative)
                take(&c, "in");
            if (!value_set(&c, value, &found))
                return error_set(err, -EINVAL, "expected (value, ...) at '%s'", c.p);
            fits = value && (found != negative);
        }
        all = all && fits;
    } while (take(&c, ","));
    skip(&c);
    if (*c.p)
        return error_set(err, -EINVAL, "unexpected text at '%s'", c.p);
    *ret = all;
    return 0;
}
