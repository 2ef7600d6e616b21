#include "marathon/path.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/parse.h"
#include "base/vec.h"

const char path_segment_regex[] = "^(([a-z0-9]|[a-z0-9][a-z0-9\\-]*[a-z0-9])\\.)*"
                                  "([a-z0-9]|[a-z0-9][a-z0-9\\-]*[a-z0-9])|(\\.|\\.\\.)$";

static bool alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool path_segment_ok(struct str s)
{
    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool edge = i == 0 || i + 1 == s.n || s.p[i - 1] == '.' || s.p[i + 1] == '.';
        if (alnum(c) || (!edge && (c == '-' || c == '.')))
            continue;
        return false;
    }
    return true;
}

bool path_text_ok(const char *text)
{
    struct str rest = str_of(text), part;
    if (rest.n == 0 || rest.n > PATH_MAX_LEN)
        return false;
    if (rest.p[0] == '/') {
        rest.p++;
        rest.n--;
    }
    while (str_split(&rest, '/', &part))
        if (!str_eq_c(part, "..") && !path_segment_ok(part) && !(part.n == 0 && rest.n == 0))
            return false;
    return true;
}

char *path_resolve(const char *base, const char *text)
{
    VEC(struct str) parts = {0};
    const char *sources[2] = {text[0] == '/' ? "" : base, text};
    for (size_t i = 0; i < 2; i++) {
        struct str rest = str_of(sources[i]), part;
        while (str_split(&rest, '/', &part)) {
            if (part.n == 0 || str_eq_c(part, "."))
                continue;
            if (!str_eq_c(part, ".."))
                vec_push(&parts, part);
            else if (parts.n > 0)
                parts.n--;
        }
    }
    _cleanup_buf_ struct buf out = BUF_INIT;
    for (size_t i = 0; i < parts.n; i++) {
        buf_putc(&out, '/');
        buf_append(&out, parts.items[i].p, parts.items[i].n);
    }
    if (parts.n == 0)
        buf_putc(&out, '/');
    vec_done(&parts);
    return buf_steal(&out);
}

const char *path_check(const char *id)
{
    static const char *const reserved[] = {"restart", "tasks", "versions", ".", ".."};
    if (id[0] != '/')
        return "Path needs to be absolute";
    if (path_is_root(id))
        return "Path must contain at least one path element";
    for (size_t i = 0; i < ARRAY_SIZE(reserved); i++)
        if (streq(path_last(id), reserved[i]))
            return "must not end with any of the following reserved keywords: restart, tasks, "
                   "versions, ., ..";
    struct str rest = str_of(id + 1), part;
    while (str_split(&rest, '/', &part))
        if (!path_segment_ok(part))
            return "must fully match regular expression "
                   "'^(([a-z0-9]|[a-z0-9][a-z0-9\\-]*[a-z0-9])\\.)*"
                   "([a-z0-9]|[a-z0-9][a-z0-9\\-]*[a-z0-9])|(\\.|\\.\\.)$'";
    return NULL;
}

bool path_is_root(const char *id)
{
    return id[0] == '/' && id[1] == '\0';
}

const char *path_last(const char *id)
{
    const char *slash = strrchr(id, '/');
    return slash ? slash + 1 : id;
}

char *path_parent(const char *id)
{
    const char *slash = strrchr(id, '/');
    if (!slash || slash == id)
        return xstrdup("/");
    return xstrndup(id, (size_t)(slash - id));
}

bool path_below(const char *id, const char *ancestor)
{
    if (path_is_root(ancestor))
        return !path_is_root(id);
    size_t n = strlen(ancestor);
    return strncmp(id, ancestor, n) == 0 && id[n] == '/';
}

size_t path_depth(const char *id)
{
    size_t n = 0;
    for (const char *p = id; *p; p++)
        n += *p == '/' && p[1];
    return n;
}

struct str path_top(const char *id)
{
    struct str rest = str_of(id + 1), part = {"", 0};
    if (!str_split(&rest, '/', &part))
        return STR("");
    return part;
}

void path_safe(const char *id, struct buf *out)
{
    for (const char *p = id + (*id == '/'); *p; p++)
        buf_putc(out, *p == '/' ? '_' : *p);
}

void path_hostname(const char *id, struct buf *out)
{
    size_t end = strlen(id);
    while (end > 0) {
        size_t start = end;
        while (start > 0 && id[start - 1] != '/')
            start--;
        if (start < end) {
            buf_append(out, id + start, end - start);
            if (start > 1)
                buf_putc(out, '.');
        }
        end = start > 0 ? start - 1 : 0;
    }
}

static bool uuid_ok(struct str s)
{
    if (s.n != 36)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        char c = s.p[i];
        bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        if (dash ? c != '-' : !hex)
            return false;
    }
    return true;
}

static ptrdiff_t last_of(struct str s, const char *set)
{
    for (size_t i = s.n; i > 0; i--)
        if (strchr(set, s.p[i - 1]))
            return (ptrdiff_t)i - 1;
    return -1;
}

static ptrdiff_t find_marker(struct str s)
{
    for (size_t i = 1; i + 1 < s.n; i++) {
        struct str rest = {s.p + i, s.n - i};
        if (str_has_prefix(rest, STR(".instance-")) || str_has_prefix(rest, STR(".marathon-")))
            return (ptrdiff_t)i;
    }
    return -1;
}

enum { MARKER_LEN = 10 };

int task_id_parse(const char *text, struct task_id *ret)
{
    struct task_id id = {.safe_path = {"", 0}};
    struct str s = str_of(text);
    ptrdiff_t marker = find_marker(s);
    if (marker > 0) {
        struct str tail = {s.p + marker + MARKER_LEN, s.n - (size_t)marker - MARKER_LEN};
        size_t n = 0;
        while (n < tail.n && tail.p[n] != '_' && tail.p[n] != '.')
            n++;
        if (n > 0 && n + 1 < tail.n) {
            id.safe_path = (struct str){s.p, (size_t)marker};
            id.uuid = (struct str){tail.p, n};
            id.instance_id = (struct str){s.p, (size_t)marker + MARKER_LEN + n};
            struct str rest = {tail.p + n + 1, tail.n - n - 1};
            ptrdiff_t dot = last_of(rest, ".");
            if (dot > 0 && parse_i64((struct str){rest.p + dot + 1, rest.n - (size_t)dot - 1},
                               &id.incarnation) == 0)
                rest.n = (size_t)dot;
            else if (dot >= 0)
                return -EINVAL;
            id.container = rest;
            if (!uuid_ok(id.uuid))
                return -EBADMSG;
            *ret = id;
            return 0;
        }
    }
    /* Legacy: "<safePath>.<uuid>[.<n>]" and "<safePath>_<uuid>". */
    ptrdiff_t cut = last_of(s, "._");
    if (cut <= 0 || (size_t)cut + 1 >= s.n)
        return -EINVAL;
    struct str tail = {s.p + cut + 1, s.n - (size_t)cut - 1};
    if (s.p[cut] == '.' && parse_i64(tail, &id.incarnation) == 0) {
        struct str head = {s.p, (size_t)cut};
        ptrdiff_t inner = last_of(head, "._");
        if (inner > 0) {
            tail = (struct str){s.p + inner + 1, head.n - (size_t)inner - 1};
            cut = inner;
        }
    }
    id.safe_path = (struct str){s.p, (size_t)cut};
    id.uuid = tail;
    if (!uuid_ok(tail))
        return -EBADMSG;
    *ret = id;
    return 0;
}

int instance_id_parse(const char *text, struct str *ret_safe_path)
{
    struct str s = str_of(text);
    ptrdiff_t marker = find_marker(s);
    if (marker <= 0 || (size_t)marker + MARKER_LEN >= s.n ||
        strchr(text + marker + MARKER_LEN, '.'))
        return -EINVAL;
    *ret_safe_path = (struct str){s.p, (size_t)marker};
    return 0;
}
