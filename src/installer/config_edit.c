#include <errno.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/file.h"
#include "gen/config.h"
#include "installer/installer.h"

/* One parameter of config.yaml replaced, the rest of the file left alone. */

/* Where line `number`, from 1, begins; the end when there are not so many. */
static size_t line_start(struct str text, unsigned number)
{
    size_t at = 0;
    for (; number > 1 && at < text.n; number--) {
        ptrdiff_t end = str_index((struct str){text.p + at, text.n - at}, '\n');
        at = end < 0 ? text.n : at + (size_t)end + 1;
    }
    return at;
}

static size_t line_end(struct str text, size_t at)
{
    ptrdiff_t end = str_index((struct str){text.p + at, text.n - at}, '\n');
    return end < 0 ? text.n : at + (size_t)end + 1;
}

/* Lines that go on with a value are indented; blank lines and comments between them belong to it
 * too, but not those after the last. */
static size_t value_end(struct str text, size_t at)
{
    size_t end = line_end(text, at);
    for (size_t next = end; next < text.n;) {
        size_t after = line_end(text, next);
        struct str line = str_trim((struct str){text.p + next, after - next});
        bool indented = text.p[next] == ' ' || text.p[next] == '\t';
        if (line.n > 0 && !indented && line.p[0] != '#')
            break;
        if (line.n > 0 && line.p[0] != '#')
            end = after;
        next = after;
    }
    return end;
}

/* A marker that ends the document: what is set comes before it. */
static size_t document_end(struct str text)
{
    for (size_t at = 0; at < text.n; at = line_end(text, at)) {
        if (str_eq_c(str_trim((struct str){text.p + at, line_end(text, at) - at}), "..."))
            return at;
    }
    return text.n;
}

/* "  # why" after the value of a line. */
static struct str line_comment(struct str line)
{
    ptrdiff_t colon = str_index(line, ':');
    size_t at = colon < 0 ? line.n : (size_t)colon + 1;
    while (at < line.n && line.p[at] == ' ')
        at++;
    char quote = at < line.n && (line.p[at] == '"' || line.p[at] == '\'') ? line.p[at] : '\0';
    for (at += quote != '\0'; quote && at < line.n; at++) {
        bool doubled = quote == '\'' && at + 1 < line.n && line.p[at + 1] == quote;
        if (line.p[at] == quote && !doubled)
            break;
        at += line.p[at] == quote || (line.p[at] == '\\' && quote == '"');
    }
    for (; at + 1 < line.n; at++) {
        if ((line.p[at] != ' ' && line.p[at] != '\t') || line.p[at + 1] != '#')
            continue;
        while (line.p[at - 1] == ' ' || line.p[at - 1] == '\t')
            at--;
        return (struct str){line.p + at, line.n - at};
    }
    return (struct str){"", 0};
}

static void edit(struct str text, const struct config_entry *e, const char *line, struct buf *out)
{
    size_t from = e ? line_start(text, e->line) : document_end(text);
    size_t to = e ? value_end(text, from) : from;
    buf_append(out, text.p, from);
    if (from > 0 && text.p[from - 1] != '\n')
        buf_putc(out, '\n');
    buf_puts(out, line);
    size_t first = e ? line_end(text, from) : from;
    struct str comment = line_comment(str_trim((struct str){text.p + from, first - from}));
    if (first == to)
        buf_append(out, comment.p, comment.n);
    buf_putc(out, '\n');
    buf_append(out, text.p + to, text.n - to);
}

/* Nothing but the one value changed. */
static bool is_right(
    const struct config *before, const struct config *after, const char *name, const char *value)
{
    _cleanup_json_ json_t *want = json_copy(before->json);
    json_object_set_new(want, name, json_string(value));
    return json_equal(want, after->json);
}

/* YAML ends lines by more than newlines; where it does, its line numbers are not ours. */
static bool has_odd_breaks(struct str text)
{
    static const char *const odd[] = {"\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9"};
    for (size_t i = 0; i < text.n; i++) {
        struct str rest = {text.p + i, text.n - i};
        if (rest.p[0] == '\r' && (rest.n == 1 || rest.p[1] != '\n'))
            return true;
        for (size_t k = 0; k < ARRAY_SIZE(odd); k++) {
            if (str_has_prefix(rest, str_of(odd[k])))
                return true;
        }
    }
    return false;
}

int config_edit(
    struct str text, const char *name, const char *value, struct buf *out, struct error *err)
{
    struct config before = {0}, after = {0};
    _cleanup_json_ json_t *quoted = json_string(value);
    _cleanup_buf_ struct buf line = BUF_INIT;
    int r = config_read(text.p, text.n, &before, err);
    if (r < 0)
        return r;
    buf_printf(&line, "%s: ", name);
    config_dump(quoted, &line); /* JSON is YAML */
    edit(text, config_get(&before, name), buf_cstr(&line), out);
    if (out->overflow || has_odd_breaks(text))
        r = -EFBIG;
    else
        r = config_read(buf_cstr(out), out->n, &after, NULL);
    if (r < 0 || !is_right(&before, &after, name, value))
        r = error_set(err, -EBADMSG,
            "it is written in a way in which one line cannot be changed; set it yourself: %s",
            buf_cstr(&line));
    config_done(&before);
    config_done(&after);
    return r;
}

int config_set_text(
    const struct installer *in, const char *name, const char *value, struct error *err)
{
    _cleanup_free_ char *path = installer_path(in, "config.yaml");
    _cleanup_free_ char *real = realpath(path, NULL); /* a link stays one */
    _cleanup_buf_ struct buf text = BUF_INIT, edited = BUF_INIT_MAX(CONFIG_MAX);
    struct stat st;
    if (!real || stat(real, &st) < 0)
        return error_errno(err, -errno, "%s", path);
    int r = file_read(real, CONFIG_MAX, &text, err);
    if (r == 0)
        r = config_edit(buf_str(&text), name, value, &edited, err);
    if (r < 0)
        return error_prefix(err, r, "%s", path);
    return file_write_atomic(real, edited.p, edited.n, st.st_mode & 07777, err);
}
