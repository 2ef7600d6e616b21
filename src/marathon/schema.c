#include "marathon/schema.h"

#include <math.h>

#include "base/alloc.h"
#include "base/str.h"

bool schema_match_name(const char *text)
{
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!word && !(c == '-' && i > 0 && i + 1 < n))
            return false;
    }
    return n > 0;
}

static size_t utf8_length(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static json_t *read_number(
    const struct schema *s, const json_t *in, const char *path, struct violations *v)
{
    if (!json_is_number(in)) {
        violation_add(v, path, "error.expected.jsnumber");
        return NULL;
    }
    double value = json_number_value(in);
    if (s->kind == SCHEMA_INT && (fabs(value) > 2147483647.0 || value != floor(value))) {
        violation_add(v, path, "error.expected.int");
        return NULL;
    }
    if (!isfinite(value) || (s->has_min && value < s->min)) {
        violation_add(v, path, "error.min");
        return NULL;
    }
    if (s->has_max && value > s->max) {
        violation_add(v, path, "error.max");
        return NULL;
    }
    return s->kind == SCHEMA_INT ? json_integer((json_int_t)value) : json_real(value);
}

static json_t *read_string(
    const struct schema *s, const json_t *in, const char *path, struct violations *v)
{
    const char *text = json_string_value(in);
    if (!text) {
        violation_add(v, path, "error.expected.jsstring");
        return NULL;
    }
    if (s->kind == SCHEMA_ENUM) {
        for (size_t i = 0; s->enums[i]; i++)
            if (s->enum_any_case ? str_ieq_c(str_of(text), s->enums[i]) : streq(text, s->enums[i]))
                return json_string(s->enums[i]);
        violation_add(v, path, "error.unknown.enum.literal");
        return NULL;
    }
    size_t n = utf8_length(text);
    if (n < s->min_length)
        violation_add(v, path, "error.minLength");
    else if (s->max_length && n > s->max_length)
        violation_add(v, path, "error.maxLength");
    else if (s->match && !s->match(text))
        violation_add(v, path, "error.pattern");
    else
        return json_string(text);
    return NULL;
}

static json_t *read_object(
    const struct schema *s, const json_t *in, const char *path, struct violations *v)
{
    if (!json_is_object(in)) {
        violation_add(v, path, "error.expected.jsobject");
        return NULL;
    }
    json_t *out = json_object();
    for (size_t i = 0; i < s->n_fields; i++) {
        const struct schema_field *f = &s->fields[i];
        const json_t *value = json_object_get(in, f->name);
        _cleanup_free_ char *below = xasprintf("%s/%s", path, f->name);
        if (!value || json_is_null(value)) {
            if (f->required) {
                _cleanup_buf_ struct buf echo = BUF_INIT;
                json_dump(in, &echo);
                violation_add(
                    v, below, "'%s' is undefined on object: %.200s", f->name, buf_cstr(&echo));
            } else if (f->def) {
                json_object_set_new(out, f->name, json_loads(f->def, JSON_DECODE_ANY, NULL));
            }
            continue;
        }
        json_t *read = schema_read(f->type, value, below, v);
        if (read)
            json_object_set_new(out, f->name, read);
    }
    return out;
}

static json_t *read_array(
    const struct schema *s, const json_t *in, const char *path, struct violations *v)
{
    if (!json_is_array(in)) {
        violation_add(v, path, "error.expected.jsarray");
        return NULL;
    }
    size_t n = json_array_size(in);
    if (n < s->min_length)
        violation_add(v, path, "error.minLength");
    else if (s->max_length && n > s->max_length)
        violation_add(v, path, "error.maxLength");
    json_t *out = json_array();
    for (size_t i = 0; i < n; i++) {
        _cleanup_free_ char *below = xasprintf("%s(%zu)", path, i);
        json_t *read = schema_read(s->items, json_array_get(in, i), below, v);
        if (read)
            json_array_append_new(out, read);
    }
    return out;
}

static json_t *read_map(
    const struct schema *s, const json_t *in, const char *path, struct violations *v)
{
    if (!json_is_object(in)) {
        violation_add(v, path, "error.expected.jsobject");
        return NULL;
    }
    json_t *out = json_object();
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)in, key, value)
    {
        _cleanup_free_ char *below = xasprintf("%s/%s", path, key);
        json_t *read = schema_read(s->items, value, below, v);
        if (read)
            json_object_set_new(out, key, read);
    }
    return out;
}

json_t *schema_read(
    const struct schema *s, const json_t *in, const char *path, struct violations *v)
{
    switch (s->kind) {
    case SCHEMA_STRING:
    case SCHEMA_ENUM:
        return read_string(s, in, path, v);
    case SCHEMA_INT:
    case SCHEMA_NUMBER:
        return read_number(s, in, path, v);
    case SCHEMA_BOOL:
        if (json_is_boolean(in))
            return json_boolean(json_is_true(in));
        violation_add(v, path, "error.expected.jsboolean");
        return NULL;
    case SCHEMA_OBJECT:
        return read_object(s, in, path, v);
    case SCHEMA_ARRAY:
        return read_array(s, in, path, v);
    case SCHEMA_MAP:
        return read_map(s, in, path, v);
    case SCHEMA_CUSTOM:
        return s->custom(in, path, v);
    }
    return NULL;
}
