#include "json/writer.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/parse.h"

/* The largest magnitude below which every decimal of that many digits is told apart by a double:
 * within it the shortest text is the obvious one. */
#define EXACT_DECIMALS 1e15
#define MICRO_MAX 8589934592.0 /* 2^33 */

enum { NUMBER_TEXT_SIZE = 40 };

/* ---- layout ---- */

void jw_init(struct json_writer *w, struct buf *out)
{
    *w = (struct json_writer){.out = out};
}

static void maybe_flush(struct json_writer *w)
{
    if (w->flush && w->out->n >= w->flush_at && w->out->n > 0)
        w->flush(w, w->userdata);
}

static void newline(struct json_writer *w, size_t level)
{
    size_t n = level * w->indent;
    buf_putc(w->out, '\n');
    char *p = buf_reserve(w->out, n);
    if (p) {
        memset(p, ' ', n);
        buf_commit(w->out, n);
    }
}

static void separate(struct json_writer *w, bool comma, size_t level)
{
    if (comma)
        buf_putc(w->out, ',');
    if (w->indent)
        newline(w, level);
}

/* What comes in front of a value. */
static void before_value(struct json_writer *w)
{
    if (w->after_key) {
        w->after_key = false;
        return;
    }
    if (w->depth == 0)
        return;
    assert(w->is_array[w->depth - 1] && "a value in an object needs a key");
    separate(w, w->need_comma[w->depth - 1], w->depth);
    w->need_comma[w->depth - 1] = true;
}

static void begin(struct json_writer *w, bool array)
{
    before_value(w);
    assert(w->depth < JSON_WRITER_DEPTH);
    w->is_array[w->depth] = array;
    w->need_comma[w->depth] = false;
    w->depth++;
    buf_putc(w->out, array ? '[' : '{');
}

static void end(struct json_writer *w, bool array)
{
    assert(w->depth > 0 && w->is_array[w->depth - 1] == array && !w->after_key);
    w->depth--;
    if (w->indent && w->need_comma[w->depth])
        newline(w, w->depth);
    buf_putc(w->out, array ? ']' : '}');
    maybe_flush(w);
}

void jw_begin_object(struct json_writer *w)
{
    begin(w, false);
}

void jw_end_object(struct json_writer *w)
{
    end(w, false);
}

void jw_begin_array(struct json_writer *w)
{
    begin(w, true);
}

void jw_end_array(struct json_writer *w)
{
    end(w, true);
}

/* ---- strings ---- */

/* True when none of the eight bytes is a control character, a quote, a backslash or above ASCII. */
static bool plain_word(uint64_t v)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
    uint64_t quote = v ^ (ones * '"'), slash = v ^ (ones * '\\');
    uint64_t control = v - ones * 0x20;
    uint64_t hit = control | (quote - ones) | (slash - ones) | v;
    return (hit & high) == 0;
}

static bool plain_byte(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

static size_t plain_run(const unsigned char *s, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t v;
        memcpy(&v, s + i, 8);
        if (!plain_word(v))
            break;
    }
    while (i < n && plain_byte(s[i]))
        i++;
    return i;
}

/* Length of the character at s (which starts above ASCII), or 0 with *ret_skip = how many bytes of
 * it can be taken for one broken character. Table 3-7 of the Unicode standard. */
static size_t utf8_sequence(const unsigned char *s, size_t n, size_t *ret_skip)
{
    unsigned char lead = s[0], low = 0x80, top = 0xbf;
    size_t length;
    *ret_skip = 1;
    if (lead >= 0xc2 && lead <= 0xdf) {
        length = 2;
    } else if (lead >= 0xe0 && lead <= 0xef) {
        length = 3;
        if (lead == 0xe0)
            low = 0xa0;
        else if (lead == 0xed)
            top = 0x9f;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
        length = 4;
        if (lead == 0xf0)
            low = 0x90;
        else if (lead == 0xf4)
            top = 0x8f;
    } else {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if (i == n || s[i] < low || s[i] > top) {
            *ret_skip = i;
            return 0;
        }
        low = 0x80;
        top = 0xbf;
    }
    return length;
}

static void put_escape(struct buf *out, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char shorts[0x20] = {
        ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
    if (c == '"' || c == '\\') {
        buf_append(out, (char[]){'\\', (char)c}, 2);
    } else if (shorts[c]) {
        buf_append(out, (char[]){'\\', shorts[c]}, 2);
    } else {
        buf_append(out, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
    }
}

static void put_string(struct buf *out, const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *)text;
    if (plain_run(s, n) == n) { /* nearly always */
        char *p = buf_reserve(out, n + 2);
        if (!p)
            return;
        p[0] = '"';
        if (n)
            memcpy(p + 1, s, n);
        p[n + 1] = '"';
        buf_commit(out, n + 2);
        return;
    }
    buf_putc(out, '"');
    while (n > 0) {
        size_t run = plain_run(s, n), skip;
        if (run > 0) {
            buf_append(out, s, run);
            s += run;
            n -= run;
            continue;
        }
        if (*s < 0x80) {
            put_escape(out, *s);
            skip = 1;
        } else if ((run = utf8_sequence(s, n, &skip)) > 0) {
            buf_append(out, s, run);
            skip = run;
        } else {
            buf_append(out, "\xef\xbf\xbd", 3);
        }
        s += skip;
        n -= skip;
    }
    buf_putc(out, '"');
}

void jw_key(struct json_writer *w, const char *key)
{
    assert(w->depth > 0 && !w->is_array[w->depth - 1] && !w->after_key);
    separate(w, w->need_comma[w->depth - 1], w->depth);
    w->need_comma[w->depth - 1] = true;
    put_string(w->out, key, strlen(key));
    buf_append(w->out, ": ", w->indent ? 2 : 1);
    w->after_key = true;
}

void jw_string_n(struct json_writer *w, const char *s, size_t n)
{
    before_value(w);
    put_string(w->out, s, n);
    maybe_flush(w);
}

void jw_string(struct json_writer *w, const char *s)
{
    if (s)
        jw_string_n(w, s, strlen(s));
    else
        jw_null(w);
}

/* ---- numbers ---- */

/* Decimal digits of v, ending before `end`; returns where they start. */
static char *digits(char *end, uint64_t v)
{
    do {
        *--end = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    return end;
}

static void put_u64(struct buf *out, uint64_t v, bool negative)
{
    char text[NUMBER_TEXT_SIZE], *end = text + sizeof(text), *p = digits(end, v);
    if (negative)
        *--p = '-';
    buf_append(out, p, (size_t)(end - p));
}

static uint64_t magnitude(int64_t v)
{
    return v < 0 ? -(uint64_t)v : (uint64_t)v;
}

/* v units of 10^-decimals; at least one decimal is written. */
static void put_decimal(struct buf *out, uint64_t v, unsigned decimals, bool negative)
{
    char text[NUMBER_TEXT_SIZE], *end = text + sizeof(text), *p = end;
    for (unsigned i = 0; i < decimals; i++, v /= 10) {
        char c = (char)('0' + v % 10);
        if (c == '0' && p == end && i + 1 < decimals)
            continue; /* trailing */
        *--p = c;
    }
    *--p = '.';
    p = digits(p, v);
    if (negative)
        *--p = '-';
    buf_append(out, p, (size_t)(end - p));
}

static void put_double(struct buf *out, double v)
{
    if (isnan(v)) {
        buf_puts(out, "null");
        return;
    }
    bool negative = signbit(v);
    double a = fabs(v);
    if (isinf(v)) {
        buf_puts(out, negative ? "-Infinity" : "Infinity");
        return;
    }
    if (a < EXACT_DECIMALS / 1000) {
        /* Whole numbers and thousandths, nearly all that is ever written. A quotient of two exact
         * doubles is the double nearest to that decimal, so equality proves the text. */
        double milli = round(a * 1000);
        if (milli / 1000 == a) {
            put_decimal(out, (uint64_t)milli, 3, negative);
            return;
        }
        /* Times in seconds with microseconds: there doubles are closer together than that, so
         * again there is no shorter text for the same double. */
        double micro = round(a * 1000000);
        if (a < MICRO_MAX && micro / 1000000 == a) {
            put_decimal(out, (uint64_t)micro, 6, negative);
            return;
        }
    } else if (a < EXACT_DECIMALS && a == trunc(a)) {
        put_u64(out, (uint64_t)a, negative);
        buf_puts(out, ".0");
        return;
    }
    /* Any 15 digits survive a double, so 15 is where the shortest text is found unless the number
     * is subnormal and has fewer to give. */
    char text[NUMBER_TEXT_SIZE];
    for (int precision = isnormal(v) ? 15 : 1; precision <= 17; precision++) {
        double back;
        int n = snprintf(text, sizeof(text), "%.*g", precision, v);
        if (precision == 17 ||
            (parse_double((struct str){text, (size_t)n}, &back) == 0 && back == v))
            break;
    }
    buf_puts(out, text);
    if (!strpbrk(text, ".e"))
        buf_puts(out, ".0");
}

void jw_i64(struct json_writer *w, int64_t v)
{
    before_value(w);
    put_u64(w->out, magnitude(v), v < 0);
    maybe_flush(w);
}

void jw_u64(struct json_writer *w, uint64_t v)
{
    before_value(w);
    put_u64(w->out, v, false);
    maybe_flush(w);
}

void jw_double(struct json_writer *w, double v)
{
    before_value(w);
    put_double(w->out, v);
    maybe_flush(w);
}

void jw_milli(struct json_writer *w, int64_t milli)
{
    before_value(w);
    put_decimal(w->out, magnitude(milli), 3, milli < 0);
    maybe_flush(w);
}

/* ---- everything else ---- */

void jw_raw(struct json_writer *w, const char *text, size_t n)
{
    before_value(w);
    buf_append(w->out, text, n);
    maybe_flush(w);
}

void jw_bool(struct json_writer *w, bool v)
{
    jw_raw(w, v ? "true" : "false", v ? 4 : 5);
}

void jw_null(struct json_writer *w)
{
    jw_raw(w, "null", 4);
}

/* Trees keep their own count of levels: their depth is the document's, not the program's, and must
 * not meet the assertion on nesting. */
static void put_tree(struct json_writer *w, const json_t *value, size_t level)
{
    size_t n = 0;
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        buf_putc(w->out, '{');
        for (void *it = json_object_iter((json_t *)value); it;
             it = json_object_iter_next((json_t *)value, it)) {
            separate(w, n++ > 0, level + 1);
            const char *key = json_object_iter_key(it);
            put_string(w->out, key, strlen(key));
            buf_append(w->out, ": ", w->indent ? 2 : 1);
            put_tree(w, json_object_iter_value(it), level + 1);
        }
        if (n > 0 && w->indent)
            newline(w, level);
        buf_putc(w->out, '}');
        break;
    case JSON_ARRAY:
        buf_putc(w->out, '[');
        for (; n < json_array_size(value); n++) {
            separate(w, n > 0, level + 1);
            put_tree(w, json_array_get(value, n), level + 1);
        }
        if (n > 0 && w->indent)
            newline(w, level);
        buf_putc(w->out, ']');
        break;
    case JSON_STRING:
        put_string(w->out, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        put_u64(w->out, magnitude(json_integer_value(value)), json_integer_value(value) < 0);
        break;
    case JSON_REAL:
        put_double(w->out, json_real_value(value));
        break;
    case JSON_TRUE:
        buf_puts(w->out, "true");
        break;
    case JSON_FALSE:
        buf_puts(w->out, "false");
        break;
    case JSON_NULL:
        buf_puts(w->out, "null");
        break;
    }
    maybe_flush(w);
}

void jw_tree(struct json_writer *w, const json_t *value)
{
    if (!value) {
        jw_null(w);
        return;
    }
    before_value(w);
    put_tree(w, value, w->depth);
}

void jw_field_string(struct json_writer *w, const char *key, const char *s)
{
    jw_key(w, key);
    jw_string(w, s);
}

void jw_field_i64(struct json_writer *w, const char *key, int64_t v)
{
    jw_key(w, key);
    jw_i64(w, v);
}

void jw_field_double(struct json_writer *w, const char *key, double v)
{
    jw_key(w, key);
    jw_double(w, v);
}

void jw_field_bool(struct json_writer *w, const char *key, bool v)
{
    jw_key(w, key);
    jw_bool(w, v);
}
