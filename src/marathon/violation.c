#include "marathon/violation.h"

#include "base/alloc.h"
#include "base/str.h"

void violations_done(struct violations *v)
{
    for (size_t i = 0; i < v->n; i++) {
        free(v->items[i].path);
        free(v->items[i].message);
    }
    free(v->items);
    *v = (struct violations){0};
}

void violation_add(struct violations *v, const char *path, const char *fmt, ...)
{
    if (v->n >= VIOLATIONS_MAX)
        return;
    if (v->n == v->cap) {
        v->cap = v->cap ? v->cap * 2 : 4;
        v->items = xreallocarray(v->items, v->cap, sizeof(*v->items));
    }
    _cleanup_buf_ struct buf text = BUF_INIT;
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(&text, fmt, ap);
    va_end(ap);
    v->items[v->n++] = (struct violation){xstrdup(path), buf_steal(&text)};
}

bool violations_has(const struct violations *v, const char *path, const char *message)
{
    for (size_t i = 0; i < v->n; i++)
        if (streq(v->items[i].path, path) && streq(v->items[i].message, message))
            return true;
    return false;
}

void violations_write(const struct violations *v, struct json_writer *w)
{
    jw_begin_array(w);
    for (size_t i = 0; i < v->n; i++) {
        bool seen = false;
        for (size_t k = 0; k < i && !seen; k++)
            seen = streq(v->items[k].path, v->items[i].path);
        if (seen)
            continue;
        jw_begin_object(w);
        jw_field_string(w, "path", v->items[i].path);
        jw_key(w, "errors");
        jw_begin_array(w);
        for (size_t k = i; k < v->n; k++)
            if (streq(v->items[k].path, v->items[i].path))
                jw_string(w, v->items[k].message);
        jw_end_array(w);
        jw_end_object(w);
    }
    jw_end_array(w);
}
