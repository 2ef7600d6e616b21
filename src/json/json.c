#include "json/json.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "base/alloc.h"
#include "json/writer.h"

enum {
    JSON_TEXT_MAX = 1 << 30,   /* bytes of one document */
    JSON_DESCRIBE_STRING = 64, /* bytes of a string that error messages repeat */
};

/* Exactly representable bounds of int64_t as doubles: [-2^63, 2^63). */
#define I64_AS_DOUBLE_MIN (-0x1p63)
#define I64_AS_DOUBLE_END 0x1p63

/* jansson reports a failed allocation by NULL in dozens of places; here it cannot fail. */
__attribute__((constructor)) static void json_use_own_alloc(void)
{
    json_set_alloc_funcs(xmalloc, free);
}

/* ---- parsing ---- */

struct position {
    unsigned line;
    size_t column; /* in bytes, from 1 */
};

static struct position position_of(const char *text, size_t offset)
{
    struct position at = {1, 1};
    for (size_t i = 0; i < offset; i++) {
        if (text[i] == '\n') {
            at.line++;
            at.column = 1;
        } else {
            at.column++;
        }
    }
    return at;
}

/* Looks at brackets outside strings only; whether they match is jansson's business. */
static int check_depth(const char *text, size_t n, struct error *err)
{
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > JSON_DEPTH_MAX) {
                struct position at = position_of(text, i);
                return error_set(err, -EBADMSG, "line %u column %zu: nested more than %d deep",
                    at.line, at.column, JSON_DEPTH_MAX);
            }
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return 0;
}

int json_parse(const char *text, size_t n, json_t **ret, struct error *err)
{
    if (n > JSON_TEXT_MAX)
        return error_set(err, -EBADMSG, "line 1 column 1: text of %zu bytes is too large", n);
    int r = check_depth(text, n, err);
    if (r < 0)
        return r;
    json_error_t e;
    json_t *value = json_loadb(n > 0 ? text : "", n, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &e);
    if (!value) {
        int line = e.line > 0 ? e.line : 1, column = e.column > 0 ? e.column : 1;
        return error_set(err, -EBADMSG, "line %d column %d: %s", line, column, e.text);
    }
    *ret = value;
    return 0;
}

/* ---- describing ---- */

void json_describe(const json_t *value, char *out, size_t size)
{
    if (!value) {
        (void)snprintf(out, size, "nothing");
    } else if (json_is_object(value)) {
        (void)snprintf(out, size, "an object");
    } else if (json_is_array(value)) {
        (void)snprintf(out, size, "an array");
    } else if (json_is_string(value) && json_string_length(value) > JSON_DESCRIBE_STRING) {
        /* Cut where a character starts. */
        const char *s = json_string_value(value);
        size_t n = JSON_DESCRIBE_STRING;
        while (n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80)
            n--;
        _cleanup_buf_ struct buf b = BUF_INIT;
        struct json_writer w;
        jw_init(&w, &b);
        jw_string_n(&w, s, n);
        (void)snprintf(out, size, "%.*s...\"", (int)(b.n - 1), buf_cstr(&b));
    } else {
        _cleanup_buf_ struct buf b = BUF_INIT;
        json_dump(value, &b);
        (void)snprintf(out, size, "%s", buf_cstr(&b));
    }
}

void json_dump(const json_t *value, struct buf *out)
{
    struct json_writer w;
    jw_init(&w, out);
    jw_tree(&w, value);
}

/* ---- table-driven reading ---- */

/* The path of a field as a JSON pointer: '~' and '/' in names are escaped. */
static void put_pointer(struct buf *b, const char *path, const char *name)
{
    buf_puts(b, path);
    buf_putc(b, '/');
    for (; *name; name++) {
        if (*name == '~')
            buf_puts(b, "~0");
        else if (*name == '/')
            buf_puts(b, "~1");
        else
            buf_putc(b, *name);
    }
}

static int field_error(struct error *err, const char *path, const char *name, const char *reason)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    put_pointer(&b, path, name);
    return error_set(err, -EINVAL, "%s: %s", buf_cstr(&b), reason);
}

static int type_error(struct error *err, const char *path, const char *name, const char *expected,
    const json_t *value)
{
    char got[2 * JSON_DESCRIBE_STRING], reason[sizeof(got) + 64];
    json_describe(value, got, sizeof(got));
    (void)snprintf(reason, sizeof(reason), "expected %s, got %s", expected, got);
    return field_error(err, path, name, reason);
}

static bool real_to_i64(double v, int64_t *ret)
{
    if (!(v >= I64_AS_DOUBLE_MIN && v < I64_AS_DOUBLE_END) || v != trunc(v))
        return false;
    *ret = (int64_t)v;
    return true;
}

static bool value_i64(const json_t *value, int64_t *ret)
{
    if (json_is_integer(value)) {
        *ret = json_integer_value(value);
        return true;
    }
    return json_is_real(value) && real_to_i64(json_real_value(value), ret);
}

static bool value_milli(const json_t *value, int64_t *ret)
{
    if (json_is_integer(value))
        return !__builtin_mul_overflow((int64_t)json_integer_value(value), INT64_C(1000), ret);
    return json_is_real(value) && real_to_i64(round(json_real_value(value) * 1000.0), ret);
}

/* Limits are thousandths for MILLI, and shown as the number the author would write. */
static int check_range(const struct json_field *f, const char *path, int64_t v, struct error *err)
{
    if ((f->min == 0 && f->max == 0) || (v >= f->min && v <= f->max))
        return 0;
    _cleanup_buf_ struct buf b = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &b);
    void (*put)(struct json_writer *, int64_t) = f->type == JSON_FIELD_MILLI ? jw_milli : jw_i64;
    buf_puts(&b, "expected a number from ");
    put(&w, f->min);
    buf_puts(&b, " to ");
    put(&w, f->max);
    buf_puts(&b, ", got ");
    put(&w, v);
    return field_error(err, path, f->name, buf_cstr(&b));
}

static int read_field(const struct json_field *f, const char *path, const json_t *value,
    char *target, struct arena *arena, struct error *err)
{
    void *to = target + f->offset;
    int64_t i;
    int r;
    switch (f->type) {
    case JSON_FIELD_STRING:
        if (!json_is_string(value))
            return type_error(err, path, f->name, "a string", value);
        *(const char **)to = arena_strndup(
            arena, json_string_value(value), json_string_length(value));
        break;
    case JSON_FIELD_BOOL:
        if (!json_is_boolean(value))
            return type_error(err, path, f->name, "true or false", value);
        *(bool *)to = json_is_true(value);
        break;
    case JSON_FIELD_I64:
        if (!value_i64(value, &i))
            return type_error(err, path, f->name, "a whole number", value);
        r = check_range(f, path, i, err);
        if (r < 0)
            return r;
        *(int64_t *)to = i;
        break;
    case JSON_FIELD_MILLI:
        if (!value_milli(value, &i))
            return type_error(err, path, f->name, "a number", value);
        r = check_range(f, path, i, err);
        if (r < 0)
            return r;
        *(int64_t *)to = i;
        break;
    case JSON_FIELD_DOUBLE:
        if (!json_is_number(value))
            return type_error(err, path, f->name, "a number", value);
        *(double *)to = json_number_value(value);
        break;
    case JSON_FIELD_OBJECT:
        if (!json_is_object(value))
            return type_error(err, path, f->name, "an object", value);
        *(const json_t **)to = value;
        break;
    case JSON_FIELD_ARRAY:
        if (!json_is_array(value))
            return type_error(err, path, f->name, "an array", value);
        *(const json_t **)to = value;
        break;
    case JSON_FIELD_ANY:
        *(const json_t **)to = value;
        break;
    }
    if (f->has_offset != 0)
        *(bool *)(void *)(target + f->has_offset) = true;
    return 0;
}

static int check_unknown(const json_t *object, const char *path, const struct json_field *fields,
    size_t n, struct error *err)
{
    for (void *it = json_object_iter((json_t *)object); it;
         it = json_object_iter_next((json_t *)object, it)) {
        const char *key = json_object_iter_key(it);
        size_t i = 0;
        while (i < n && !streq(fields[i].name, key))
            i++;
        if (i == n)
            return field_error(err, path, key, "unknown field");
    }
    return 0;
}

int json_read_object(const json_t *object, const char *path, const struct json_field *fields,
    size_t n, unsigned flags, void *target, struct arena *arena, struct error *err)
{
    if (!json_is_object(object)) {
        char got[2 * JSON_DESCRIBE_STRING];
        json_describe(object, got, sizeof(got));
        return error_set(err, -EINVAL, "%s: expected an object, got %s", *path ? path : "/", got);
    }
    if (!(flags & JSON_ALLOW_UNKNOWN)) {
        int r = check_unknown(object, path, fields, n, err);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *value = json_object_get(object, fields[i].name);
        if (!value || json_is_null(value)) {
            if (fields[i].required)
                return field_error(err, path, fields[i].name, "required, but missing");
            continue;
        }
        int r = read_field(&fields[i], path, value, target, arena, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- look-ups ---- */

const json_t *json_at(const json_t *object, const char *key)
{
    return json_is_object(object) ? json_object_get(object, key) : NULL;
}

const char *json_str_at(const json_t *object, const char *key, const char *fallback)
{
    const json_t *value = json_at(object, key);
    return json_is_string(value) ? json_string_value(value) : fallback;
}

int64_t json_i64_at(const json_t *object, const char *key, int64_t fallback)
{
    const json_t *value = json_at(object, key);
    int64_t i;
    return value && value_i64(value, &i) ? i : fallback;
}

double json_double_at(const json_t *object, const char *key, double fallback)
{
    const json_t *value = json_at(object, key);
    return json_is_number(value) ? json_number_value(value) : fallback;
}

bool json_bool_at(const json_t *object, const char *key, bool fallback)
{
    const json_t *value = json_at(object, key);
    return json_is_boolean(value) ? json_is_true(value) : fallback;
}
