#include "cli/toml.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void line_done(struct toml_line *l)
{
    free(l->text);
    free(l->section);
    free(l->key);
    free(l->value);
}

void toml_done(struct toml *t)
{
    VEC_FOREACH (line, &t->lines)
        line_done(line);
    vec_done(&t->lines);
}

/* ---- reading ---- */

struct scanner {
    const char *p, *end;
    size_t line; /* from 1 */
    struct error *err;
};

static int fail(const struct scanner *s, const char *what)
{
    return error_set(s->err, -EBADMSG, "line %zu: %s", s->line, what);
}

static void skip_blanks(struct scanner *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t'))
        s->p++;
}

static bool at_line_end(const struct scanner *s)
{
    return s->p == s->end || *s->p == '\n' ||
           (*s->p == '\r' && (s->p + 1 == s->end || s->p[1] == '\n'));
}

static bool is_control(char c)
{
    return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7f;
}

static void put_utf8(struct buf *out, uint32_t c)
{
    if (c < 0x80) {
        buf_putc(out, (char)c);
    } else if (c < 0x800) {
        buf_putc(out, (char)(0xc0 | c >> 6));
        buf_putc(out, (char)(0x80 | (c & 0x3f)));
    } else if (c < 0x10000) {
        buf_putc(out, (char)(0xe0 | c >> 12));
        buf_putc(out, (char)(0x80 | (c >> 6 & 0x3f)));
        buf_putc(out, (char)(0x80 | (c & 0x3f)));
    } else {
        buf_putc(out, (char)(0xf0 | c >> 18));
        buf_putc(out, (char)(0x80 | (c >> 12 & 0x3f)));
        buf_putc(out, (char)(0x80 | (c >> 6 & 0x3f)));
        buf_putc(out, (char)(0x80 | (c & 0x3f)));
    }
}

static int read_escape(struct scanner *s, struct buf *out)
{
    static const char from[] = "btnfr\"\\", to[] = "\b\t\n\f\r\"\\";
    if (s->p == s->end)
        return fail(s, "unfinished string");
    char c = *s->p++;
    const char *at = c ? strchr(from, c) : NULL;
    if (at) {
        buf_putc(out, to[at - from]);
        return 0;
    }
    size_t digits = c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (!digits || (size_t)(s->end - s->p) < digits)
        return fail(s, "unknown escape in a string");
    uint32_t value = 0;
    for (size_t i = 0; i < digits; i++) {
        unsigned char d = (unsigned char)*s->p++;
        if (!isxdigit(d))
            return fail(s, "unknown escape in a string");
        value = value << 4 | (uint32_t)(isdigit(d) ? d - '0' : tolower(d) - 'a' + 10);
    }
    if (value == 0 || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        return fail(s, "escape in a string is no character");
    put_utf8(out, value);
    return 0;
}

/* One-line string; s->p is at its opening quote. */
static int read_string(struct scanner *s, struct buf *out)
{
    char quote = *s->p++;
    while (s->p < s->end && *s->p != '\n') {
        char c = *s->p++;
        if (c == quote)
            return 0;
        if (is_control(c))
            return fail(s, "control character in a string");
        if (c != '\\' || quote == '\'') {
            buf_putc(out, c);
            continue;
        }
        int r = read_escape(s, out);
        if (r < 0)
            return r;
    }
    return fail(s, "string is not closed");
}

static bool is_bare(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '-';
}

/* a.b."c d" up to '=' or ']'; parts joined by dots. */
static int read_name(struct scanner *s, struct buf *out)
{
    for (;;) {
        skip_blanks(s);
        size_t before = out->n;
        if (s->p < s->end && (*s->p == '"' || *s->p == '\'')) {
            int r = read_string(s, out);
            if (r < 0)
                return r;
        } else {
            while (s->p < s->end && is_bare(*s->p))
                buf_putc(out, *s->p++);
            if (out->n == before)
                return fail(s, "expected a name");
        }
        skip_blanks(s);
        if (s->p == s->end || *s->p != '.')
            return 0;
        s->p++;
        buf_putc(out, '.');
    }
}

/* Blanks and a comment up to the end of the line. */
static int read_rest(struct scanner *s, const char *what)
{
    skip_blanks(s);
    if (s->p < s->end && *s->p == '#') {
        while (s->p < s->end && *s->p != '\n')
            s->p++;
    }
    return at_line_end(s) ? 0 : fail(s, what);
}

static int read_section(struct scanner *s, struct toml_line *line)
{
    _cleanup_buf_ struct buf name = BUF_INIT;
    bool array = s->end - s->p > 1 && s->p[1] == '[';
    s->p += array ? 2 : 1;
    int r = read_name(s, &name);
    if (r < 0)
        return r;
    for (int i = 0; i < (array ? 2 : 1); i++) {
        if (s->p == s->end || *s->p++ != ']')
            return fail(s, "section is not closed with ']'");
    }
    line->kind = TOML_SECTION;
    /* A name that no look-up can spell keeps the keys of [[tables]] out of reach. */
    line->section = array ? xasprintf("\n%s", buf_cstr(&name)) : buf_steal(&name);
    return read_rest(s, "unexpected text after a section");
}

static int read_long_string(struct scanner *s, char quote)
{
    s->p += 3;
    while (s->p < s->end) {
        if (*s->p == '\n')
            s->line++;
        if (*s->p == '\\' && quote == '"' && s->p + 1 < s->end) {
            s->line += s->p[1] == '\n';
            s->p += 2;
            continue;
        }
        if (s->end - s->p >= 3 && s->p[0] == quote && s->p[1] == quote && s->p[2] == quote) {
            s->p += 3;
            while (s->p < s->end && *s->p == quote)
                s->p++;
            return 0;
        }
        s->p++;
    }
    return fail(s, "string is not closed");
}

/* Array or inline table, over lines when it must be. */
static int read_nested(struct scanner *s)
{
    _cleanup_buf_ struct buf scratch = BUF_INIT;
    size_t depth = 0;
    while (s->p < s->end) {
        char c = *s->p;
        if (c == '"' || c == '\'') {
            bool is_long = s->end - s->p >= 3 && s->p[1] == c && s->p[2] == c;
            int r = is_long ? read_long_string(s, c) : read_string(s, &scratch);
            if (r < 0)
                return r;
            continue;
        }
        s->p++;
        if (c == '#') {
            while (s->p < s->end && *s->p != '\n')
                s->p++;
        } else if (c == '\n') {
            s->line++;
        } else if (c == '[' || c == '{') {
            depth++;
        } else if ((c == ']' || c == '}') && --depth == 0) {
            return 0;
        }
    }
    return fail(s, "array or table is not closed");
}

static int read_value(struct scanner *s, struct toml_line *line)
{
    skip_blanks(s);
    if (at_line_end(s))
        return fail(s, "value is missing");
    const char *start = s->p;
    char c = *s->p;
    int r = 0;
    if (c == '"' || c == '\'') {
        if (s->end - s->p >= 3 && s->p[1] == c && s->p[2] == c) {
            r = read_long_string(s, c);
        } else {
            _cleanup_buf_ struct buf text = BUF_INIT;
            r = read_string(s, &text);
            if (r == 0) {
                line->is_string = true;
                line->value = buf_steal(&text);
            }
        }
    } else if (c == '[' || c == '{') {
        r = read_nested(s);
    } else {
        for (; !at_line_end(s) && *s->p != '#'; s->p++) {
            if (is_control(*s->p))
                return fail(s, "control character in a value");
        }
    }
    if (r < 0)
        return r;
    if (!line->value)
        line->value = str_dup(str_trim((struct str){start, (size_t)(s->p - start)}));
    if (!line->is_string && !*line->value)
        return fail(s, "value is missing");
    return read_rest(s, "unexpected text after a value");
}

static int read_line(struct scanner *s, const char *section, struct toml_line *line)
{
    skip_blanks(s);
    if (at_line_end(s) || *s->p == '#')
        return read_rest(s, "unexpected text");
    if (*s->p == '[')
        return read_section(s, line);
    _cleanup_buf_ struct buf name = BUF_INIT;
    int r = read_name(s, &name);
    if (r < 0)
        return r;
    if (s->p == s->end || *s->p != '=')
        return fail(s, "expected '=' after the key");
    s->p++;
    line->kind = TOML_VALUE;
    /* A dotted key belongs to the section that its first parts name. */
    const char *dot = strrchr(buf_cstr(&name), '.');
    if (dot) {
        int n = (int)(dot - name.p);
        line->section = *section ? xasprintf("%s.%.*s", section, n, name.p)
                                 : xasprintf("%.*s", n, name.p);
        line->key = xstrdup(dot + 1);
    } else {
        line->section = xstrdup(section);
        line->key = buf_steal(&name);
    }
    return read_value(s, line);
}

int toml_parse(struct str text, struct toml *ret, struct error *err)
{
    if (text.n == 0)
        text = STR(""); /* an empty view may point nowhere */
    if (text.n > TOML_SIZE_MAX)
        return error_set(err, -EFBIG, "larger than %d bytes", TOML_SIZE_MAX);
    if (text.n && memchr(text.p, '\0', text.n))
        return error_set(err, -EBADMSG, "holds a NUL byte");
    struct toml t = {0};
    struct scanner s = {text.p, text.p + text.n, 1, err};
    _cleanup_free_ char *section = xstrdup("");
    while (s.p < s.end) {
        struct toml_line line = {.kind = TOML_TEXT};
        const char *start = s.p;
        int r = read_line(&s, section, &line);
        if (r < 0) {
            line_done(&line);
            toml_done(&t);
            return r;
        }
        if (line.kind == TOML_SECTION) {
            free(section);
            section = xstrdup(line.section);
        }
        line.text = xstrndup(start, (size_t)(s.p - start));
        vec_push(&t.lines, line);
        if (s.p < s.end && *s.p == '\r')
            s.p++;
        if (s.p < s.end)
            s.p++;
        s.line++;
    }
    *ret = t;
    return 0;
}

/* ---- writing ---- */

void toml_write(const struct toml *t, struct buf *out)
{
    for (size_t i = 0; i < t->lines.n; i++) {
        buf_puts(out, t->lines.items[i].text);
        buf_putc(out, '\n');
    }
}

static void put_quoted(struct buf *out, const char *s)
{
    buf_putc(out, '"');
    for (const unsigned char *p = (const unsigned char *)s; *p; p++) {
        if (*p == '"' || *p == '\\')
            buf_printf(out, "\\%c", *p);
        else if (*p == '\n')
            buf_puts(out, "\\n");
        else if (*p == '\t')
            buf_puts(out, "\\t");
        else if (*p < 0x20 || *p == 0x7f)
            buf_printf(out, "\\u%04x", *p);
        else
            buf_putc(out, (char)*p);
    }
    buf_putc(out, '"');
}

static void put_key(struct buf *out, const char *key)
{
    bool bare = *key;
    for (const char *p = key; *p; p++)
        bare = bare && is_bare(*p);
    if (bare)
        buf_puts(out, key);
    else
        put_quoted(out, key);
}

static void split_name(const char *name, struct str *section, const char **key)
{
    const char *dot = strrchr(name, '.');
    *section = dot ? (struct str){name, (size_t)(dot - name)} : (struct str){"", 0};
    *key = dot ? dot + 1 : name;
}

static ptrdiff_t find(const struct toml *t, const char *name)
{
    struct str section;
    const char *key;
    split_name(name, &section, &key);
    for (size_t i = t->lines.n; i-- > 0;) {
        const struct toml_line *l = &t->lines.items[i];
        if (l->kind == TOML_VALUE && streq(l->key, key) && str_eq_c(section, l->section))
            return (ptrdiff_t)i;
    }
    return -1;
}

const struct toml_line *toml_get(const struct toml *t, const char *name)
{
    ptrdiff_t i = find(t, name);
    return i < 0 ? NULL : &t->lines.items[i];
}

static void insert(struct toml *t, size_t at, struct toml_line line)
{
    vec_push(&t->lines, line);
    memmove(t->lines.items + at + 1, t->lines.items + at,
        (t->lines.n - 1 - at) * sizeof(*t->lines.items));
    t->lines.items[at] = line;
}

/* Index of the section's header, or -1. */
static ptrdiff_t find_section(const struct toml *t, struct str name)
{
    for (size_t i = 0; i < t->lines.n; i++) {
        const struct toml_line *l = &t->lines.items[i];
        if (l->kind == TOML_SECTION && str_eq_c(name, l->section))
            return (ptrdiff_t)i;
    }
    return -1;
}

/* Where a new section's blank line and header go: before the first section of a larger name. */
static size_t place_of_section(const struct toml *t, struct str name)
{
    for (size_t i = 0; i < t->lines.n; i++) {
        const struct toml_line *l = &t->lines.items[i];
        if (l->kind != TOML_SECTION)
            continue;
        size_t n = strlen(l->section);
        int order = memcmp(name.p, l->section, MIN(n, name.n));
        if (order < 0 || (order == 0 && name.n < n)) {
            /* What stands right above belongs to it: its blank line and comments. */
            while (i > 0 && t->lines.items[i - 1].kind == TOML_TEXT)
                i--;
            return i;
        }
    }
    return t->lines.n;
}

static void put_section(struct buf *out, struct str name)
{
    struct str rest = name, part;
    bool first = true;
    buf_putc(out, '[');
    while (str_split(&rest, '.', &part)) {
        _cleanup_free_ char *text = str_dup(part);
        if (!first)
            buf_putc(out, '.');
        put_key(out, text);
        first = false;
    }
    buf_putc(out, ']');
}

void toml_set(struct toml *t, const char *name, const char *value, bool bare)
{
    struct str section;
    const char *key;
    split_name(name, &section, &key);
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (section.n)
        buf_puts(&text, "  ");
    put_key(&text, key);
    buf_puts(&text, " = ");
    if (bare)
        buf_puts(&text, value);
    else
        put_quoted(&text, value);
    struct toml_line line = {.kind = TOML_VALUE,
        .section = str_dup(section),
        .key = xstrdup(key),
        .value = xstrdup(value),
        .is_string = !bare};

    ptrdiff_t at = find(t, name);
    if (at >= 0) {
        /* A dotted key keeps its place by being written the dotted way. */
        if (strchr(t->lines.items[at].text, '.') && !streq(t->lines.items[at].section, "")) {
            size_t header = (size_t)at;
            while (header > 0 && t->lines.items[header].kind != TOML_SECTION)
                header--;
            bool own = t->lines.items[header].kind == TOML_SECTION &&
                       streq(t->lines.items[header].section, line.section);
            if (!own) {
                line_done(&t->lines.items[at]);
                vec_remove(&t->lines, (size_t)at);
                at = -1;
            }
        }
    }
    if (at >= 0) {
        line.text = buf_steal(&text);
        line_done(&t->lines.items[at]);
        t->lines.items[at] = line;
        return;
    }
    line.text = buf_steal(&text);
    size_t place = 0;
    if (section.n) {
        ptrdiff_t header = find_section(t, section);
        if (header < 0) {
            struct buf title = BUF_INIT;
            put_section(&title, section);
            place = place_of_section(t, section);
            insert(t, place, (struct toml_line){.kind = TOML_TEXT, .text = xstrdup("")});
            insert(t, place + 1,
                (struct toml_line){
                    .kind = TOML_SECTION, .text = buf_steal(&title), .section = str_dup(section)});
            header = (ptrdiff_t)place + 1;
        }
        place = (size_t)header + 1;
    }
    /* After the last smaller key, and before the next section. */
    size_t best = place;
    for (size_t i = place; i < t->lines.n && t->lines.items[i].kind != TOML_SECTION; i++) {
        const struct toml_line *l = &t->lines.items[i];
        if (l->kind == TOML_VALUE && strcmp(l->key, key) < 0)
            best = i + 1;
    }
    insert(t, best, line);
}

bool toml_unset(struct toml *t, const char *name)
{
    bool found = false;
    for (ptrdiff_t at; (at = find(t, name)) >= 0; found = true) {
        line_done(&t->lines.items[at]);
        vec_remove(&t->lines, (size_t)at);
    }
    if (!found)
        return false;
    struct str section;
    const char *key;
    split_name(name, &section, &key);
    ptrdiff_t header = find_section(t, section);
    if (header < 0)
        return true;
    for (size_t i = (size_t)header + 1; i < t->lines.n; i++) {
        const struct toml_line *l = &t->lines.items[i];
        if (l->kind == TOML_SECTION)
            break;
        if (l->kind == TOML_VALUE || *l->text)
            return true; /* a value or a comment is left */
    }
    size_t from = (size_t)header;
    if (from > 0 && t->lines.items[from - 1].kind == TOML_TEXT && !*t->lines.items[from - 1].text)
        from--;
    for (size_t n = (size_t)header - from + 1; n > 0; n--) {
        line_done(&t->lines.items[from]);
        vec_remove(&t->lines, from);
    }
    return true;
}
