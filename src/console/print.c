#include "console/print.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "json/writer.h"

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void write_value(struct json_writer *w, const json_t *value, unsigned flags, unsigned depth);

static void write_object(
    struct json_writer *w, const json_t *object, unsigned flags, unsigned depth)
{
    size_t n = json_object_size(object), i = 0;
    const char **keys = xnew_array(const char *, n + 1);
    json_t *o = (json_t *)(uintptr_t)object; /* jansson's iterators take no const */
    for (void *it = json_object_iter(o); it; it = json_object_iter_next(o, it))
        keys[i++] = json_object_iter_key(it);
    if (flags & PRINT_SORTED)
        qsort(keys, n, sizeof(*keys), by_text);
    jw_begin_object(w);
    for (i = 0; i < n; i++) {
        jw_key(w, keys[i]);
        write_value(w, json_object_get(object, keys[i]), flags, depth + 1);
    }
    jw_end_object(w);
    free(keys);
}

static void write_value(struct json_writer *w, const json_t *value, unsigned flags, unsigned depth)
{
    if (depth + 1 >= JSON_WRITER_DEPTH) {
        jw_string(w, "(nested too deeply to be shown)");
        return;
    }
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        write_object(w, value, flags, depth);
        return;
    case JSON_ARRAY:
        jw_begin_array(w);
        for (size_t i = 0; i < json_array_size(value); i++)
            write_value(w, json_array_get(value, i), flags, depth + 1);
        jw_end_array(w);
        return;
    case JSON_REAL: {
        /* Whole numbers without ".0": what is an integer to the one is a double to the other. */
        double v = json_real_value(value);
        if (v == floor(v) && fabs(v) < 1e15)
            jw_i64(w, (int64_t)v);
        else
            jw_double(w, v);
        return;
    }
    default:
        jw_tree(w, value);
    }
}

void json_format(const json_t *value, unsigned indent, unsigned flags, struct buf *out)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &text);
    w.indent = indent;
    write_value(&w, value, flags, 0);
    /* These three characters only ever stand inside strings. */
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '<' || c == '>' || c == '&')
            buf_printf(out, "\\u%04x", (unsigned)c);
        else
            buf_putc(out, c);
    }
    buf_putc(out, '\n');
}

void json_print(const json_t *value, unsigned indent, unsigned flags, FILE *out)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    json_format(value, indent, flags, &text);
    fwrite(text.p, 1, text.n, out);
}
