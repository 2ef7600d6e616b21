#include "gen/config.h"

#include <errno.h>
#include <yaml.h>

#include "base/alloc.h"
#include "base/parse.h"
#include "base/vec.h"
#include "gen/gen.h"
#include "gen/graph.h"
#include "json/writer.h"

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

json_t *config_scalar(const char *text, size_t n)
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
    unsigned nodes;
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
    if (!tag && e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
        *ret = config_scalar(text, n);
    else
        *ret = json_stringn(text, n);
    return *ret ? 0 : bad(x, e->start_mark.line, "text is not UTF-8");
}

static int read_node(struct reading *x, yaml_event_t *e, unsigned depth, json_t **ret);

/* A key is text, whatever it looks like. */
static int read_key(struct reading *x, yaml_event_t *e, char **ret)
{
    int r = 0;
    if (e->type != YAML_SCALAR_EVENT || ++x->nodes > CONFIG_NODES_MAX)
        r = bad(x, e->start_mark.line, "a key must be text");
    else if (memchr(e->data.scalar.value, 0, e->data.scalar.length))
        r = bad(x, e->start_mark.line, "a key holds a NUL");
    else
        *ret = xstrndup((const char *)e->data.scalar.value, e->data.scalar.length);
    yaml_event_delete(e);
    return r;
}

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
        if (r == 0 && json_object_get(into, key))
            return bad(x, line, "a key is there twice");
        if (r == 0)
            r = next(x, &e);
        if (r == 0)
            r = read_node(x, &e, depth + 1, &value);
        if (r < 0)
            return r;
        if (json_object_set_new(into, key, value) < 0)
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
    if (depth > CONFIG_DEPTH_MAX || ++x->nodes > CONFIG_NODES_MAX)
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

static const char *kind_of(const json_t *value)
{
    return json_is_null(value) ? "empty" : "a number with a fraction";
}

static void fill(struct config *c, struct config_entry *e)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    switch (json_typeof(e->json)) {
    case JSON_STRING:
        e->value = json_string_value(e->json);
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        e->value = json_is_true(e->json) ? "true" : "false";
        return;
    case JSON_NULL:
    case JSON_REAL:
        e->problem = arena_printf(&c->arena,
            "Must be text, an integer, true, false, a list or a mapping, but is %s.",
            kind_of(e->json));
        return;
    default:
        config_dump(e->json, &b);
        e->value = arena_strdup(&c->arena, buf_cstr(&b));
    }
    /* Would be taken for a late value. */
    if (strstr(e->value, LATE_START) || strstr(e->value, LATE_END))
        e->problem = "Must not hold the placeholder of a late value.";
}

/* The entries of the outermost mapping, each with its line. */
static int read_entries(struct reading *x, struct config *c)
{
    VEC(struct config_entry) entries = {0};
    int r;
    for (;;) {
        yaml_event_t e;
        _cleanup_free_ char *key = NULL;
        json_t *value = NULL;
        r = next(x, &e);
        if (r < 0)
            break;
        if (e.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&e);
            break;
        }
        struct config_entry entry = {.line = (unsigned)e.start_mark.line + 1};
        r = read_key(x, &e, &key);
        if (r == 0)
            r = next(x, &e);
        if (r == 0)
            r = read_node(x, &e, 1, &value);
        if (r < 0)
            break;
        const struct config_entry *same = NULL;
        VEC_FOREACH (other, &entries) {
            if (!same && streq(other->name, key))
                same = other;
        }
        entry.name = arena_strdup(&c->arena, key);
        if (same) {
            entry.problem = arena_printf(
                &c->arena, "Is set twice; the first time on line %u.", same->line);
            json_decref(value);
        } else if (strlen(key) > CONFIG_NAME_MAX) {
            json_decref(value);
            r = bad(x, entry.line - 1, "a name that is too long");
            break;
        } else if (json_object_set_new(c->json, key, value) < 0) {
            r = bad(x, entry.line - 1, "a name that is not UTF-8");
            break;
        } else {
            entry.json = value;
            fill(c, &entry);
        }
        if (entries.n == GEN_ARGUMENTS_MAX) {
            r = error_set(x->err, -EFBIG, "more than %d names", (int)GEN_ARGUMENTS_MAX);
            break;
        }
        vec_push(&entries, entry);
    }
    c->entries = entries.items;
    c->n = entries.n;
    return r;
}

static int read_document(struct reading *x, struct config *c)
{
    bool seen = false;
    for (;;) {
        yaml_event_t e;
        int r = next(x, &e);
        if (r < 0)
            return r;
        int type = e.type;
        size_t line = e.start_mark.line;
        bool empty = type == YAML_SCALAR_EVENT && e.data.scalar.length == 0;
        bool mapping = type == YAML_MAPPING_START_EVENT && !e.data.mapping_start.anchor;
        yaml_event_delete(&e);
        if (type == YAML_STREAM_END_EVENT)
            return 0;
        if (type == YAML_STREAM_START_EVENT || type == YAML_DOCUMENT_START_EVENT ||
            type == YAML_DOCUMENT_END_EVENT)
            continue;
        if (seen)
            return bad(x, line, "more than one document");
        seen = true;
        if (empty)
            continue;
        if (!mapping)
            return bad(x, line, "must be a mapping of names to values");
        r = read_entries(x, c);
        if (r < 0)
            return r;
    }
}

int config_read(const char *text, size_t n, struct config *ret, struct error *err)
{
    struct reading x = {.err = err};
    struct config c = {.json = json_object()};
    if (n > GEN_CONFIG_MAX) {
        config_done(&c);
        return error_set(err, -EFBIG, "more than %d bytes", (int)GEN_CONFIG_MAX);
    }
    if (!yaml_parser_initialize(&x.parser)) {
        config_done(&c);
        return error_set(err, -ENOMEM, "libyaml cannot be started");
    }
    yaml_parser_set_input_string(&x.parser, (const unsigned char *)text, n);
    int r = read_document(&x, &c);
    yaml_parser_delete(&x.parser);
    if (r < 0) {
        config_done(&c);
        return r;
    }
    *ret = c;
    return 0;
}

void config_done(struct config *c)
{
    json_decref(c->json);
    free(c->entries);
    arena_done(&c->arena);
    *c = (struct config){0};
}

const struct config_entry *config_get(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->n; i++) {
        if (streq(c->entries[i].name, name))
            return &c->entries[i];
    }
    return NULL;
}

void config_dump(const json_t *value, struct buf *out)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY);
    if (text)
        buf_puts(out, text);
    free(text);
}
