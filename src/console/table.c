#include "console/table.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>

/* Decodes one character; bytes that are not UTF-8 stand for themselves. Returns its length. */
static size_t decode(const unsigned char *p, size_t n, uint32_t *ret)
{
    size_t len = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : p[0] >= 0xc0 ? 2 : 1;
    *ret = p[0];
    if (len == 1 || len > n)
        return 1;
    uint32_t c = p[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 1;
        c = c << 6 | (p[i] & 0x3f);
    }
    *ret = c;
    return len;
}

static unsigned width_of(uint32_t c)
{
    static const struct {
        uint32_t from, to;
    } wide[] = {{0x1100, 0x115f}, {0x2e80, 0xa4cf}, {0xac00, 0xd7a3}, {0xf900, 0xfaff},
        {0xfe30, 0xfe6f}, {0xff00, 0xff60}, {0xffe0, 0xffe6}, {0x1f300, 0x1faff},
        {0x20000, 0x3fffd}};
    if ((c >= 0x300 && c <= 0x36f) || (c >= 0x200b && c <= 0x200f) || (c >= 0xfe00 && c <= 0xfe0f))
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(wide); i++) {
        if (c >= wide[i].from && c <= wide[i].to)
            return 2;
    }
    return 1;
}

size_t text_width(struct str text)
{
    size_t width = 0;
    for (size_t i = 0; i < text.n;) {
        uint32_t c;
        i += decode((const unsigned char *)text.p + i, text.n - i, &c);
        width += width_of(c);
    }
    return width;
}

bool text_is_number(struct str s)
{
    size_t i = 0, digits = 0, group = 0;
    bool commas = false;
    for (; i < s.n && (isdigit((unsigned char)s.p[i]) || s.p[i] == ','); i++) {
        if (s.p[i] != ',') {
            digits++;
            group++;
            continue;
        }
        if (group == 0 || group > 3 || (commas && group != 3))
            return false;
        commas = true;
        group = 0;
    }
    if (digits == 0 || (commas && group != 3))
        return false;
    if (i == s.n)
        return true;
    if (s.p[i++] != '.' || i == s.n)
        return false;
    for (; i < s.n; i++) {
        if (!isdigit((unsigned char)s.p[i]))
            return false;
    }
    return true;
}

void table_init(struct table *t, const char *const *headers, size_t n)
{
    assert(n > 0 && n <= TABLE_COLUMNS_MAX);
    *t = (struct table){.columns = n};
    for (size_t i = 0; i < n; i++) {
        char *upper = xstrdup(headers[i]);
        for (char *p = upper; *p; p++)
            *p = (char)toupper((unsigned char)*p);
        vec_push(&t->cells, upper);
    }
}

void table_done(struct table *t)
{
    VEC_FOREACH (cell, &t->cells)
        free(*cell);
    vec_done(&t->cells);
}

void table_cell(struct table *t, const char *text)
{
    char *copy = xstrdup(text ?: "");
    for (unsigned char *p = (unsigned char *)copy; *p; p++) {
        /* C1 controls arrive as two bytes of UTF-8: c2 80..9f. */
        bool c1 = *p == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f;
        if ((*p < 0x20 && *p != '\n') || *p == 0x7f)
            *p = '?';
        if (c1)
            p[0] = p[1] = '?';
    }
    vec_push(&t->cells, copy);
}

void table_cell_f(struct table *t, const char *fmt, ...)
{
    struct buf b = BUF_INIT;
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    table_cell(t, buf_cstr(&b));
    buf_done(&b);
}

struct row {
    char *const *cells;
    const char *key;
};

static int by_key(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    int r = strcmp(x->key, y->key);
    return r ? r : x->cells < y->cells ? -1 : 1; /* addresses are in the old order */
}

void table_sort(struct table *t, size_t column)
{
    size_t k = t->columns, n = table_rows(t);
    struct row *rows = xnew_array(struct row, n + 1);
    char **sorted = xnew_array(char *, t->cells.n);
    for (size_t i = 0; i < n; i++) {
        rows[i].cells = t->cells.items + (i + 1) * k;
        rows[i].key = rows[i].cells[column];
    }
    qsort(rows, n, sizeof(*rows), by_key);
    memcpy(sorted, t->cells.items, k * sizeof(char *));
    for (size_t i = 0; i < n; i++)
        memcpy(sorted + (i + 1) * k, rows[i].cells, k * sizeof(char *));
    memcpy(t->cells.items, sorted, t->cells.n * sizeof(char *));
    free(sorted);
    free(rows);
}

static void pad(struct buf *out, size_t n)
{
    while (n--)
        buf_putc(out, ' ');
}

static struct str line_of(const char *cell, size_t line)
{
    struct str rest = str_of(cell), part = {"", 0};
    for (size_t i = 0; i <= line; i++) {
        if (!str_split(&rest, '\n', &part))
            return (struct str){"", 0};
    }
    return part;
}

static size_t lines_of(const char *cell)
{
    size_t n = 1;
    for (; *cell; cell++)
        n += *cell == '\n';
    return n;
}

void table_print(const struct table *t, struct buf *out)
{
    size_t widths[TABLE_COLUMNS_MAX] = {0};
    size_t k = t->columns, rows = t->cells.n / k;
    for (size_t i = 0; i < rows * k; i++) {
        size_t lines = lines_of(t->cells.items[i]);
        for (size_t l = 0; l < lines; l++) {
            size_t width = text_width(line_of(t->cells.items[i], l));
            widths[i % k] = MAX(widths[i % k], width);
        }
    }
    for (size_t r = 0; r < rows; r++) {
        size_t lines = 1;
        for (size_t c = 0; c < k; c++) {
            size_t n = lines_of(t->cells.items[r * k + c]);
            lines = MAX(lines, n);
        }
        for (size_t l = 0; l < lines; l++) {
            for (size_t c = 0; c < k; c++) {
                struct str text = line_of(t->cells.items[r * k + c], l);
                size_t gap = widths[c] - text_width(text);
                bool number = !t->left_only && text_is_number(text);
                size_t left = r == 0 ? gap / 2 : number ? gap : 0;
                pad(out, 2 + left);
                buf_append(out, text.p, text.n);
                pad(out, gap - left);
            }
            buf_puts(out, "  \n");
        }
    }
}
