/* JSON to structs, as lenient as Mesos is (docs/compat-wire.md). */

#include "wire/type.h"

#include <errno.h>
#include <float.h>
#include <math.h>

#include "base/base64.h"
#include "base/parse.h"

/* Where we are, for error messages; lives on the stack of the recursion. */
struct place {
    const struct place *up;
    const char *name; /* field or map key; NULL for the root */
    size_t index;     /* of an element */
    bool is_element;
};

struct decoder {
    struct wire_budget budget;
    unsigned depth;
    struct error *err;
};

static void put_place(struct buf *b, const struct place *at)
{
    if (at->up)
        put_place(b, at->up);
    if (at->is_element)
        buf_printf(b, "[%zu]", at->index);
    else if (at->name)
        buf_printf(b, "%s%s", b->n ? "." : "", at->name);
}

static int fail(struct decoder *d, const struct place *at, const char *what)
{
    _cleanup_buf_ struct buf path = BUF_INIT_MAX(ERROR_MSG_MAX / 2);
    put_place(&path, at);
    return error_set(
        d->err, -EINVAL, "%s%s%s", buf_cstr(&path), path.n ? ": " : "the document: ", what);
}

static int fail_expected(
    struct decoder *d, const struct place *at, const char *expected, const json_t *got)
{
    char text[128], what[256];
    json_describe(got, text, sizeof(text));
    (void)snprintf(what, sizeof(what), "expected %s, got %s", expected, text);
    return fail(d, at, what);
}

static struct str str_of_json(const json_t *j)
{
    return (struct str){json_string_value(j), json_string_length(j)};
}

/* ---- scalars ---- */

static int get_i64(const json_t *j, int64_t *ret)
{
    double v;
    if (json_is_integer(j)) {
        *ret = json_integer_value(j);
        return 0;
    }
    if (json_is_string(j)) {
        if (parse_i64(str_of_json(j), ret) == 0)
            return 0;
        if (parse_double(str_of_json(j), &v) < 0)
            return -EINVAL;
    } else if (json_is_real(j)) {
        v = json_real_value(j);
    } else {
        return -EINVAL;
    }
    if (v != trunc(v) || v < -0x1p63 || v >= 0x1p63)
        return -EINVAL;
    *ret = (int64_t)v;
    return 0;
}

static int get_u64(const json_t *j, uint64_t *ret)
{
    int64_t v;
    if (get_i64(j, &v) == 0) {
        if (v < 0)
            return -EINVAL;
        *ret = (uint64_t)v;
        return 0;
    }
    if (json_is_string(j))
        return parse_u64(str_of_json(j), ret) < 0 ? -EINVAL : 0;
    if (!json_is_real(j))
        return -EINVAL;
    double x = json_real_value(j);
    if (x != trunc(x) || x < 0 || x >= 0x1p64)
        return -EINVAL;
    *ret = (uint64_t)x;
    return 0;
}

static int get_double(const json_t *j, double *ret)
{
    if (json_is_number(j)) {
        *ret = json_number_value(j);
        return 0;
    }
    if (!json_is_string(j))
        return -EINVAL;
    struct str s = str_of_json(j);
    if (str_eq_c(s, "Infinity") || str_eq_c(s, "+Infinity"))
        *ret = HUGE_VAL;
    else if (str_eq_c(s, "-Infinity"))
        *ret = -HUGE_VAL;
    else
        return parse_double(s, ret) < 0 ? -EINVAL : 0;
    return 0;
}

static int get_bool(const json_t *j, bool *ret)
{
    if (json_is_boolean(j)) {
        *ret = json_is_true(j);
        return 0;
    }
    return json_is_string(j) ? parse_bool(str_of_json(j), ret) : -EINVAL;
}

static int put_string(struct decoder *d, const struct place *at, const json_t *j, char **to)
{
    if (!json_is_string(j))
        return fail_expected(d, at, "a string", j);
    struct str s = str_of_json(j);
    char *copy = wire_budget_alloc(&d->budget, s.n + 1);
    if (!copy)
        return fail(d, at, "document takes too much memory");
    memcpy(copy, s.p, s.n);
    copy[s.n] = '\0';
    *to = copy;
    return 0;
}

static int put_bytes(
    struct decoder *d, const struct place *at, const json_t *j, ProtobufCBinaryData *to)
{
    _cleanup_buf_ struct buf raw = BUF_INIT;
    if (!json_is_string(j) || base64_decode(&raw, str_of_json(j)) < 0)
        return fail_expected(d, at, "a base64 string", j);
    uint8_t *copy = wire_budget_alloc(&d->budget, raw.n + 1);
    if (!copy)
        return fail(d, at, "document takes too much memory");
    if (raw.n)
        memcpy(copy, raw.p, raw.n);
    copy[raw.n] = 0;
    *to = (ProtobufCBinaryData){.len = raw.n, .data = copy};
    return 0;
}

/* 1 = written, 0 = a name nobody knows, which leaves the field unset. */
static int put_enum(
    struct decoder *d, const struct place *at, const struct wire_field *f, const json_t *j, int *to)
{
    if (!json_is_string(j))
        return fail_expected(d, at, "the name of an enum value", j);
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value_by_name(
        f->d->descriptor, json_string_value(j));
    if (!v && f->required)
        return fail_expected(d, at, "a known enum value", j);
    if (v)
        *to = v->value;
    return v != NULL;
}

/* ---- structure ---- */

static int put_object(struct decoder *d, const struct place *at, const struct wire_type *t,
    const json_t *j, ProtobufCMessage *m);

static int put_message(struct decoder *d, const struct place *at, const struct wire_type *t,
    const json_t *j, ProtobufCMessage **to)
{
    if (!json_is_object(j))
        return fail_expected(d, at, "an object", j);
    ProtobufCMessage *m = wire_budget_alloc(&d->budget, t->d->sizeof_message);
    if (!m)
        return fail(d, at, "document takes too much memory");
    t->d->message_init(m);
    int r = put_object(d, at, t, j, m);
    if (r == 0)
        *to = m;
    return r;
}

/* Writes one element to `to`: 1 = written, 0 = nothing to write. */
static int put_element(struct decoder *d, const struct place *at, const struct wire_field *f,
    const json_t *j, void *to)
{
    int r = 0;
    if (json_is_null(j))
        return 0;
    switch (f->d->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32: {
        int64_t v;
        if (get_i64(j, &v) < 0 || v < INT32_MIN || v > INT32_MAX)
            return fail_expected(d, at, "a whole number of 32 bits", j);
        *(int32_t *)to = (int32_t)v;
        break;
    }
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32: {
        uint64_t v;
        if (get_u64(j, &v) < 0 || v > UINT32_MAX)
            return fail_expected(d, at, "a whole number from 0 to 4294967295", j);
        *(uint32_t *)to = (uint32_t)v;
        break;
    }
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        if (get_i64(j, to) < 0)
            return fail_expected(d, at, "a whole number of 64 bits", j);
        break;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        if (get_u64(j, to) < 0)
            return fail_expected(d, at, "a whole number of 64 bits, not negative", j);
        break;
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_DOUBLE: {
        double v;
        if (get_double(j, &v) < 0)
            return fail_expected(d, at, "a number", j);
        if (f->d->type == PROTOBUF_C_TYPE_DOUBLE)
            *(double *)to = v;
        else
            *(float *)to = (float)v;
        break;
    }
    case PROTOBUF_C_TYPE_BOOL: {
        bool v;
        if (get_bool(j, &v) < 0)
            return fail_expected(d, at, "true or false", j);
        *(protobuf_c_boolean *)to = v;
        break;
    }
    case PROTOBUF_C_TYPE_ENUM:
        return put_enum(d, at, f, j, to);
    case PROTOBUF_C_TYPE_STRING:
        r = put_string(d, at, j, to);
        break;
    case PROTOBUF_C_TYPE_BYTES:
        r = put_bytes(d, at, j, to);
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        r = put_message(d, at, wire_field_type(f), j, to);
        break;
    }
    return r < 0 ? r : 1;
}

static int put_map(struct decoder *d, const struct place *at, const struct wire_field *f,
    const json_t *j, ProtobufCMessage *m)
{
    if (!json_is_object(j))
        return fail_expected(d, at, "an object", j);
    const struct wire_type *entry_type = wire_field_type(f);
    size_t n = 0, size = json_object_size(j);
    ProtobufCMessage **entries = wire_budget_alloc(&d->budget, size * sizeof(*entries));
    if (!entries)
        return fail(d, at, "document takes too much memory");
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)j, key, value)
    {
        struct place here = {.up = at, .name = key};
        if (json_is_null(value))
            continue;
        ProtobufCMessage *entry = wire_budget_alloc(&d->budget, entry_type->d->sizeof_message);
        char *name = wire_budget_alloc(&d->budget, strlen(key) + 1);
        if (!entry || !name)
            return fail(d, &here, "document takes too much memory");
        entry_type->d->message_init(entry);
        memcpy(name, key, strlen(key) + 1);
        *(char **)wire_member(entry, entry_type->fields[0].d) = name;
        const struct wire_field *vf = &entry_type->fields[1];
        int r = put_element(d, &here, vf, value, wire_member(entry, vf->d));
        if (r < 0)
            return r;
        if (vf->d->type != PROTOBUF_C_TYPE_STRING && vf->d->type != PROTOBUF_C_TYPE_MESSAGE)
            *wire_has(entry, vf->d) = r > 0;
        entries[n++] = entry;
    }
    *(ProtobufCMessage ***)wire_member(m, f->d) = entries;
    *wire_count(m, f->d) = n;
    return 0;
}

static int put_repeated(struct decoder *d, const struct place *at, const struct wire_field *f,
    const json_t *j, ProtobufCMessage *m)
{
    size_t n = json_is_array(j) ? json_array_size(j) : 1, written = 0;
    if (n == 0)
        return 0;
    char *array = wire_budget_alloc(&d->budget, n * f->size);
    if (!array)
        return fail(d, at, "document takes too much memory");
    for (size_t i = 0; i < n; i++) {
        struct place here = {.up = at, .index = i, .is_element = true};
        const json_t *element = json_is_array(j) ? json_array_get(j, i) : j;
        int r = put_element(d, &here, f, element, array + written * f->size);
        if (r < 0)
            return r;
        written += r > 0;
    }
    if (written) {
        *(char **)wire_member(m, f->d) = array;
        *wire_count(m, f->d) = written;
    }
    return 0;
}

static int put_object(struct decoder *d, const struct place *at, const struct wire_type *t,
    const json_t *j, ProtobufCMessage *m)
{
    if (d->depth >= WIRE_DEPTH_MAX)
        return fail(d, at, "nested too deeply");
    d->depth++;
    int r = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)j, key, value)
    {
        const struct wire_field *f = wire_field_by_name(t, key);
        if (!f || json_is_null(value))
            continue;
        struct place here = {.up = at, .name = f->d->name};
        if (f->map) {
            r = put_map(d, &here, f, value, m);
        } else if (f->repeated) {
            r = put_repeated(d, &here, f, value, m);
        } else {
            r = put_element(d, &here, f, value, wire_member(m, f->d));
            if (r > 0 && f->d->type != PROTOBUF_C_TYPE_STRING &&
                f->d->type != PROTOBUF_C_TYPE_MESSAGE)
                *wire_has(m, f->d) = true;
        }
        if (r < 0)
            break;
    }
    d->depth--;
    return MIN(r, 0);
}

int wire_from_json(const ProtobufCMessageDescriptor *type, struct arena *arena, const json_t *json,
    ProtobufCMessage **ret, struct error *err)
{
    struct decoder d = {.budget = {arena, WIRE_DECODED_MAX}, .err = err};
    struct place root = {0};
    return put_message(&d, &root, wire_type_of(type), json, ret);
}

/*
 * Two kinds of numbers that clients write are no JSON for the parser: a bare Infinity, and whole
 * numbers beyond 64 bits with sign (uint64 is bare here). Both are put in quotes, where the fields
 * accept them.
 */

enum { SAFE_DIGITS = 18 };

/* Length of such a number at text[at], or 0. */
static size_t odd_number(const char *text, size_t n, size_t at)
{
    size_t end = at + (text[at] == '-');
    if (n - end >= 8 && memcmp(text + end, "Infinity", 8) == 0)
        return end + 8 - at;
    size_t digits = end;
    while (end < n && text[end] >= '0' && text[end] <= '9')
        end++;
    if (end - digits <= SAFE_DIGITS)
        return 0;
    return end == n || !strchr(".eE", text[end]) || !text[end] ? end - at : 0;
}

/* Copies to `out` what has to be changed; leaves it empty when nothing has. */
static void quote_numbers(const char *text, size_t n, struct buf *out)
{
    bool in_string = false, in_word = false;
    size_t copied = 0;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (in_string) {
            i += c == '\\';
            in_string = c != '"';
            continue;
        }
        in_string = c == '"';
        bool word = (c >= '0' && c <= '9') || c == '-' || c == 'I' || c == '.' || c == '+' ||
                    (c >= 'a' && c <= 'z') || c == 'E';
        bool starts = word && !in_word;
        in_word = word;
        size_t length = starts ? odd_number(text, n, i) : 0;
        if (length == 0)
            continue;
        buf_append(out, text + copied, i - copied);
        buf_putc(out, '"');
        buf_append(out, text + i, length);
        buf_putc(out, '"');
        copied = i + length;
        i = copied - 1;
    }
    if (copied > 0)
        buf_append(out, text + copied, n - copied);
}

int wire_parse_json(const ProtobufCMessageDescriptor *type, struct arena *arena, const char *text,
    size_t n, ProtobufCMessage **ret, struct error *err)
{
    if (n > WIRE_MESSAGE_MAX)
        return error_set(
            err, -EINVAL, "document of %zu bytes is larger than %d", n, WIRE_MESSAGE_MAX);
    _cleanup_json_ json_t *json = NULL;
    _cleanup_buf_ struct buf quoted = BUF_INIT;
    quote_numbers(text, n, &quoted);
    int r = quoted.n > 0 ? json_parse(quoted.p, quoted.n, &json, err)
                         : json_parse(text, n, &json, err);
    if (r < 0)
        return r;
    return wire_from_json(type, arena, json, ret, err);
}
