#include "http/sse.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void append_field(struct buf *out, const char *name, struct str value)
{
    buf_puts(out, name);
    buf_puts(out, ": ");
    for (size_t i = 0; i < value.n; i++)
        if (value.p[i] != '\n' && value.p[i] != '\r' && value.p[i] != '\0')
            buf_putc(out, value.p[i]);
    buf_putc(out, '\n');
}

void sse_append(struct buf *out, const char *event, const char *id, struct str data)
{
    if (event)
        append_field(out, "event", str_of(event));
    if (id)
        append_field(out, "id", str_of(id));
    /* CR, LF and CRLF end lines alike. */
    size_t start = 0;
    for (size_t i = 0; i <= data.n; i++) {
        if (i < data.n && data.p[i] != '\n' && data.p[i] != '\r')
            continue;
        buf_puts(out, "data: ");
        buf_append(out, data.p + start, i - start);
        buf_putc(out, '\n');
        if (i + 1 < data.n && data.p[i] == '\r' && data.p[i + 1] == '\n')
            i++;
        start = i + 1;
    }
    buf_putc(out, '\n');
}

void sse_decoder_init(struct sse_decoder *d, size_t max)
{
    *d = (struct sse_decoder){.max = max};
}

void sse_decoder_done(struct sse_decoder *d)
{
    buf_done(&d->line);
    buf_done(&d->data);
}

static void set_field(char *field, size_t size, struct str value)
{
    /* Longer names than any producer uses are cut: they only label. */
    size_t n = MIN(value.n, size - 1);
    if (n)
        memcpy(field, value.p, n);
    field[n] = '\0';
}

static void take_line(struct sse_decoder *d, struct str line,
    void (*fn)(const char *event, const char *id, struct str data, void *userdata), void *userdata)
{
    if (line.n == 0) {
        if (d->data.n > 0) {
            struct str data = {d->data.p, d->data.n - 1}; /* without the last line's end */
            fn(d->event[0] ? d->event : "message", d->id, data, userdata);
        }
        buf_clear(&d->data);
        d->event[0] = '\0';
        return;
    }
    ptrdiff_t colon = str_index(line, ':');
    if (colon == 0)
        return; /* comment */
    struct str name = line, value = {"", 0};
    if (colon > 0) {
        name.n = (size_t)colon;
        value = (struct str){line.p + colon + 1, line.n - (size_t)colon - 1};
        if (value.n > 0 && value.p[0] == ' ')
            value = (struct str){value.p + 1, value.n - 1};
    }
    if (str_eq_c(name, "data")) {
        buf_append(&d->data, value.p, value.n);
        buf_putc(&d->data, '\n');
    } else if (str_eq_c(name, "event")) {
        set_field(d->event, sizeof(d->event), value);
    } else if (str_eq_c(name, "id") && (value.n == 0 || !memchr(value.p, '\0', value.n))) {
        set_field(d->id, sizeof(d->id), value);
    }
}

int sse_decode(struct sse_decoder *d, const char *p, size_t n,
    void (*fn)(const char *event, const char *id, struct str data, void *userdata), void *userdata)
{
    if (d->failed)
        return -EMSGSIZE;
    for (size_t i = 0; i < n; i++) {
        if (d->skip_lf) {
            d->skip_lf = false;
            if (p[i] == '\n')
                continue;
        }
        size_t from = i;
        while (i < n && p[i] != '\n' && p[i] != '\r')
            i++;
        if (d->line.n + (i - from) + d->data.n > d->max) {
            d->failed = true;
            return -EMSGSIZE;
        }
        buf_append(&d->line, p + from, i - from);
        if (i == n)
            break;
        d->skip_lf = p[i] == '\r';
        struct str line = buf_str(&d->line);
        if (!d->started && str_has_prefix(line, STR("\xef\xbb\xbf")))
            line = (struct str){line.p + 3, line.n - 3};
        d->started = true;
        take_line(d, line, fn, userdata);
        buf_clear(&d->line);
    }
    return 0;
}
