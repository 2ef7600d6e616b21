#include "json/yaml_read.h"

#include <errno.h>
#include <yaml.h>

#include "base/alloc.h"
#include "base/parse.h"

/* ---- scalars ---- */

static bool among(const char *text, const char *words)
{
    struct str rest = str_of(words), word;
    while (str_split(&rest, ' ', &word)) {
        if (str_eq_c(word, text))
            return true;
    }
    return false;
}

/* Digits of a base with "_" between; false when it is something else or too large. */
static bool whole(const char *p, unsigned base, uint64_t *ret)
{
    uint64_t v = 0;
    if (!*p || *p == '_')
        return false;
    for (; *p; p++) {
        unsigned digit = *p >= '0' && *p <= '9'   ? (unsigned)(*p - '0')
                         : *p >= 'a' && *p <= 'f' ? (unsigned)(*p - 'a' + 10)
                         : *p >= 'A' && *p <= 'F' ? (unsigned)(*p - 'A' + 10)
                                                  : 99;
        if (*p == '_')
            continue;
        if (digit >= base || v > ((uint64_t)INT64_MAX - digit) / base)
            return false;
        v = v * base + digit;
    }
    *ret = v;
    return true;
}

static json_t *integer(const char *text)
{
    bool minus = *text == '-';
    uint64_t v;
    const char *p = text + (*text == '-' || *text == '+');
    bool fine;
    if (p[0] == '0' && p[1] == 'x')
        fine = whole(p + 2, 16, &v);
    else if (p[0] == '0' && p[1] == 'b')
        fine = whole(p + 2, 2, &v);
    else if (p[0] == '0' && p[1])
        fine = whole(p + 1, 8, &v);
    else
        fine = whole(p, 10, &v);
    return fine ? json_integer(minus ? -(json_int_t)v : (json_int_t)v) : NULL;
}

/* Numbers with a point (an exponent needs its sign, as in PyYAML), infinities, not-a-number. */
static bool real(const char *text)
{
    size_t digits = 0;
    const char *p = text + (*text == '-' || *text == '+');
    if (among(p, ".inf .Inf .INF") || among(text, ".nan .NaN .NAN"))
        return true;
    for (; (*p >= '0' && *p <= '9') || (*p == '_' && digits); p++)
        digits++;
    if (*p++ != '.')
        return false;
    for (; (*p >= '0' && *p <= '9') || *p == '_'; p++)
        digits++;
    if (digits && (*p == 'e' || *p == 'E') && (p[1] == '+' || p[1] == '-') && p[2] >= '0' &&
        p[2] <= '9') {
        for (p += 2; *p >= '0' && *p <= '9';)
            p++;
    }
    return digits && !*p;
}

json_t *yaml_scalar(const char *text, size_t n)
{
    if (among(text, "~ null Null NULL") || n == 0)
        return json_null();
    if (among(text, "true True TRUE yes Yes YES on On ON"))
        return json_true();
    if (among(text, "false False FALSE no No NO off Off OFF"))
        return json_false();
    json_t *number = integer(text);
    if (number)
        return number;
    if (real(text)) {
        double v = 0.0;
        if (parse_double((struct str){text, n}, &v) < 0)
            return json_null();
        return json_real(v);
    }
    return json_stringn(text, n);
}

/* ---- the document ---- */

struct reading {
    yaml_parser_t parser;
    enum yaml_scalars scalars;
    unsigned nodes;
    yaml_member *member; /* NULL: everything goes to `whole` */
    void *userdata;
    json_t *whole;
    struct error *err;
};

static int bad(struct reading *x, size_t line, const char *why)
{
    return error_set(x->err, -EBADMSG, "line %zu: %s", line + 1, why);
}

static int next(struct reading *x, yaml_event_t *ret)
{
    if (yaml_parser_parse(&x->parser, ret))
        return 0;
    return bad(
        x, x->parser.problem_mark.line, x->parser.problem ? x->parser.problem : "cannot be read");
}

static int read_scalar(struct reading *x, const yaml_event_t *e, json_t **ret)
{
    const char *text = (const char *)e->data.scalar.value, *tag = (const char *)e->data.scalar.tag;
    size_t n = e->data.scalar.length;
    if (e->data.scalar.anchor)
        return bad(x, e->start_mark.line, "anchors are not supported");
    if (memchr(text, 0, n))
        return bad(x, e->start_mark.line, "text holds a NUL");
    if (tag && !streq(tag, YAML_STR_TAG) && !streq(tag, "!"))
        return bad(x, e->start_mark.line, "tags are not supported");
    if (x->scalars == YAML_TYPES && !tag && e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
        *ret = yaml_scalar(text, n);
    else
        *ret = json_stringn(text, n);
    return *ret ? 0 : bad(x, e->start_mark.line, "text is not UTF-8");
}

static int read_node(struct reading *x, yaml_event_t *e, unsigned depth, json_t **ret);

static int read_key(struct reading *x, yaml_event_t *e, char **ret)
{
    int r = 0;
    if (e->type != YAML_SCALAR_EVENT || ++x->nodes > YAML_NODES_MAX)
        r = bad(x, e->start_mark.line, "a key must be text");
    else if (e->data.scalar.anchor)
        r = bad(x, e->start_mark.line, "anchors are not supported");
    else if (memchr(e->data.scalar.value, 0, e->data.scalar.length))
        r = bad(x, e->start_mark.line, "a key holds a NUL");
    else
        *ret = xstrndup((const char *)e->data.scalar.value, e->data.scalar.length);
    yaml_event_delete(e);
    return r;
}

/* Members go to `into`; NULL: to the caller's function. */
static int read_mapping(struct reading *x, unsigned depth, json_t *into)
{
    for (;;) {
        yaml_event_t e;
        _cleanup_free_ char *key = NULL;
        json_t *value = NULL;
        int r = next(x, &e);
        if (r < 0)
            return r;
        if (e.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&e);
            return 0;
        }
        size_t line = e.start_mark.line;
        r = read_key(x, &e, &key);
        if (r == 0 && into && json_object_get(into, key))
            return bad(x, line, "a key is there twice");
        if (r == 0)
            r = next(x, &e);
        if (r == 0)
            r = read_node(x, &e, depth + 1, &value);
        if (r == 0 && !into)
            r = x->member(x->userdata, key, value, (unsigned)line + 1, x->err);
        if (r < 0)
            return r;
        if (into && json_object_set_new(into, key, value) < 0)
            return bad(x, line, "a key is not UTF-8");
    }
}

static int read_list(struct reading *x, unsigned depth, json_t *into)
{
    for (;;) {
        yaml_event_t e;
        json_t *value = NULL;
        int r = next(x, &e);
        if (r < 0)
            return r;
        if (e.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&e);
            return 0;
        }
        r = read_node(x, &e, depth + 1, &value);
        if (r < 0)
            return r;
        json_array_append_new(into, value);
    }
}

/* Takes the event. *ret is the caller's on success, and not set otherwise. */
static int read_node(struct reading *x, yaml_event_t *e, unsigned depth, json_t **ret)
{
    _cleanup_json_ json_t *value = NULL;
    int r;
    if (depth > YAML_DEPTH_MAX || ++x->nodes > YAML_NODES_MAX)
        r = bad(x, e->start_mark.line, "too deep or too large");
    else if (e->type == YAML_SCALAR_EVENT)
        r = read_scalar(x, e, &value);
    else if (e->type == YAML_MAPPING_START_EVENT && !e->data.mapping_start.anchor)
        r = read_mapping(x, depth, value = json_object());
    else if (e->type == YAML_SEQUENCE_START_EVENT && !e->data.sequence_start.anchor)
        r = read_list(x, depth, value = json_array());
    else
        r = bad(x, e->start_mark.line, "anchors and aliases are not supported");
    yaml_event_delete(e);
    if (r == 0)
        *ret = TAKE_PTR(value);
    return r;
}

/* The document's outermost node. Takes the event. */
static int read_top(struct reading *x, yaml_event_t *e)
{
    bool empty = e->type == YAML_SCALAR_EVENT && e->data.scalar.length == 0;
    bool mapping = e->type == YAML_MAPPING_START_EVENT && !e->data.mapping_start.anchor;
    size_t line = e->start_mark.line;
    if (!x->member)
        return read_node(x, e, 0, &x->whole);
    yaml_event_delete(e);
    if (empty)
        return 0;
    return mapping ? read_mapping(x, 0, NULL)
                   : bad(x, line, "must be a mapping of names to values");
}

static int read_document(struct reading *x)
{
    bool seen = false;
    for (;;) {
        yaml_event_t e;
        int r = next(x, &e);
        if (r < 0)
            return r;
        const bool end = e.type == YAML_STREAM_END_EVENT;
        if (end || e.type == YAML_STREAM_START_EVENT || e.type == YAML_DOCUMENT_START_EVENT ||
            e.type == YAML_DOCUMENT_END_EVENT) {
            yaml_event_delete(&e);
            if (end)
                return 0;
            continue;
        }
        if (seen) {
            r = bad(x, e.start_mark.line, "more than one document");
            yaml_event_delete(&e);
        } else {
            r = read_top(x, &e);
        }
        if (r < 0)
            return r;
        seen = true;
    }
}

static int read_text(struct reading *x, const char *text, size_t n)
{
    if (!yaml_parser_initialize(&x->parser))
        return error_set(x->err, -ENOMEM, "libyaml cannot be started");
    yaml_parser_set_input_string(&x->parser, (const unsigned char *)text, n);
    int r = read_document(x);
    yaml_parser_delete(&x->parser);
    return r;
}

int yaml_read(const char *text, size_t n, json_t **ret, struct error *err)
{
    struct reading x = {.err = err};
    int r = read_text(&x, text, n);
    if (r < 0)
        json_decref(x.whole);
    else
        *ret = x.whole ? x.whole : json_object();
    return r;
}

int yaml_read_members(const char *text, size_t n, enum yaml_scalars scalars, yaml_member *member,
    void *userdata, struct error *err)
{
    struct reading x = {.scalars = scalars, .member = member, .userdata = userdata, .err = err};
    return read_text(&x, text, n);
}
