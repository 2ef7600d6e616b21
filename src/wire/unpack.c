/*
 * Protobuf bytes to structs.
 *
 * Our own reader rather than protobuf-c's, because bytes come from outside: depth and memory are
 * bounded, all memory comes from the arena in one piece per array, enum numbers that nobody knows
 * count as unset (as protobuf wants it for proto2), and strings with NUL in them are refused. A
 * message that has repeated fields is scanned twice: to count them, then to fill them.
 */

#include "wire/type.h"

#include <errno.h>

#define NOT_A_MESSAGE "not a protobuf message of this type"

enum { FIELD_NUMBER_MAX = (1 << 29) - 1, VARINT_MAX_BYTES = 10, COUNTERS_MAX = 64 };

struct reader {
    const uint8_t *p, *end;
};

struct unpacker {
    struct wire_budget budget;
    unsigned depth;
    struct error *err;
};

static int fail(struct unpacker *u, const char *why)
{
    return error_set(u->err, -EBADMSG, "%s", why);
}

static inline int read_varint(struct reader *r, uint64_t *ret)
{
    if (r->p < r->end && *r->p < 0x80) {
        *ret = *r->p++;
        return 0;
    }
    uint64_t v = 0;
    for (unsigned i = 0; i < VARINT_MAX_BYTES; i++) {
        if (r->p == r->end)
            return -EBADMSG;
        uint8_t byte = *r->p++;
        v |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *ret = v;
            return 0;
        }
    }
    return -EBADMSG;
}

static inline uint32_t load32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t load64(const uint8_t *p)
{
    return (uint64_t)load32(p) | (uint64_t)load32(p + 4) << 32;
}

/* One element's payload: a number, or a piece of the input. */
struct payload {
    uint64_t number;
    struct reader bytes;
};

static int skip_group(struct reader *r, uint32_t number, unsigned depth);

static int read_payload(
    struct reader *r, unsigned wire_type, uint32_t number, unsigned depth, struct payload *ret)
{
    switch (wire_type) {
    case PROTOBUF_C_WIRE_TYPE_VARINT:
        return read_varint(r, &ret->number);
    case PROTOBUF_C_WIRE_TYPE_64BIT:
        if (r->end - r->p < 8)
            return -EBADMSG;
        ret->number = load64(r->p);
        r->p += 8;
        return 0;
    case PROTOBUF_C_WIRE_TYPE_32BIT:
        if (r->end - r->p < 4)
            return -EBADMSG;
        ret->number = load32(r->p);
        r->p += 4;
        return 0;
    case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED: {
        uint64_t n;
        if (read_varint(r, &n) < 0 || n > (uint64_t)(r->end - r->p))
            return -EBADMSG;
        ret->bytes = (struct reader){r->p, r->p + n};
        r->p += n;
        return 0;
    }
    case 3: /* start of a group, which no message of ours has */
        return skip_group(r, number, depth);
    default:
        return -EBADMSG;
    }
}

static int read_tag(struct reader *r, uint32_t *ret_number, unsigned *ret_wire_type)
{
    uint64_t tag;
    if (read_varint(r, &tag) < 0 || tag >> 3 == 0 || tag >> 3 > FIELD_NUMBER_MAX)
        return -EBADMSG;
    *ret_number = (uint32_t)(tag >> 3);
    *ret_wire_type = tag & 7;
    return 0;
}

static int skip_group(struct reader *r, uint32_t number, unsigned depth)
{
    if (depth >= WIRE_DEPTH_MAX)
        return -EBADMSG;
    for (;;) {
        uint32_t inner;
        unsigned wire_type;
        struct payload ignored;
        if (read_tag(r, &inner, &wire_type) < 0)
            return -EBADMSG;
        if (wire_type == 4)
            return inner == number ? 0 : -EBADMSG;
        if (read_payload(r, wire_type, inner, depth + 1, &ignored) < 0)
            return -EBADMSG;
    }
}

static bool enum_known(const ProtobufCFieldDescriptor *d, int value)
{
    return protobuf_c_enum_descriptor_get_value(d->descriptor, value) != NULL;
}

static inline int32_t unzigzag32(uint32_t v)
{
    return (int32_t)((v >> 1) ^ -(v & 1));
}

static inline int64_t unzigzag64(uint64_t v)
{
    return (int64_t)((v >> 1) ^ -(v & 1));
}

/* Writes a number to `to`; false when it is an enum number nobody knows. */
static bool store_number(const struct wire_field *f, uint64_t v, void *to)
{
    switch (f->d->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FLOAT: {
        uint32_t x = (uint32_t)v;
        memcpy(to, &x, sizeof(x));
        return true;
    }
    case PROTOBUF_C_TYPE_SINT32: {
        int32_t x = unzigzag32((uint32_t)v);
        memcpy(to, &x, sizeof(x));
        return true;
    }
    case PROTOBUF_C_TYPE_SINT64: {
        int64_t x = unzigzag64(v);
        memcpy(to, &x, sizeof(x));
        return true;
    }
    case PROTOBUF_C_TYPE_BOOL: {
        protobuf_c_boolean x = v != 0;
        memcpy(to, &x, sizeof(x));
        return true;
    }
    case PROTOBUF_C_TYPE_ENUM: {
        int x = (int)(uint32_t)v;
        if (!enum_known(f->d, x))
            return false;
        memcpy(to, &x, sizeof(x));
        return true;
    }
    default:
        memcpy(to, &v, sizeof(v));
        return true;
    }
}

static int unpack_into(
    struct unpacker *u, const struct wire_type *t, ProtobufCMessage *m, struct reader r);

static ProtobufCMessage *new_message(struct unpacker *u, const struct wire_type *t)
{
    ProtobufCMessage *m = wire_budget_alloc(&u->budget, t->d->sizeof_message);
    if (m)
        t->d->message_init(m);
    return m;
}

/* A string, bytes or message element. */
static int store_piece(
    struct unpacker *u, const struct wire_field *f, struct reader piece, void *to)
{
    size_t n = (size_t)(piece.end - piece.p);
    if (f->d->type == PROTOBUF_C_TYPE_STRING) {
        if (n > 0 && memchr(piece.p, 0, n))
            return fail(u, "a string has a NUL byte in it");
        char *s = wire_budget_alloc(&u->budget, n + 1);
        if (!s)
            return fail(u, "message takes too much memory");
        if (n > 0)
            memcpy(s, piece.p, n);
        s[n] = '\0';
        *(char **)to = s;
    } else if (f->d->type == PROTOBUF_C_TYPE_BYTES) {
        uint8_t *p = wire_budget_alloc(&u->budget, n + 1);
        if (!p)
            return fail(u, "message takes too much memory");
        if (n > 0)
            memcpy(p, piece.p, n);
        p[n] = 0;
        *(ProtobufCBinaryData *)to = (ProtobufCBinaryData){.len = n, .data = p};
    } else {
        const struct wire_type *t = wire_field_type(f);
        ProtobufCMessage **place = to;
        /* A message that comes twice is merged. */
        if (f->repeated || !*place)
            *place = new_message(u, t);
        if (!*place)
            return fail(u, "message takes too much memory");
        return unpack_into(u, t, *place, piece);
    }
    return 0;
}

static bool is_packed(const struct wire_field *f, unsigned wire_type)
{
    return f->repeated && wire_type == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED &&
           f->wire_type != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
}

/* Walks packed numbers; stores them at `to` unless it is NULL. Counts all, known or not. */
static int packed_numbers(
    struct unpacker *u, const struct wire_field *f, struct reader r, char *to, size_t *count)
{
    size_t n = 0;
    while (r.p < r.end) {
        struct payload v = {0};
        if (read_payload(&r, f->wire_type, f->d->id, 0, &v) < 0)
            return fail(u, "packed numbers end in the middle of one");
        if (!to || store_number(f, v.number, to + n * f->size))
            n++;
    }
    *count = n;
    return 0;
}

/* First scan: makes room for repeated fields. */
static int count_repeated(
    struct unpacker *u, const struct wire_type *t, ProtobufCMessage *m, struct reader r)
{
    uint32_t counts[COUNTERS_MAX] = {0};
    if (t->n_fields > COUNTERS_MAX)
        return fail(u, "message type has too many fields");
    while (r.p < r.end) {
        uint32_t number;
        unsigned wire_type;
        struct payload v = {0};
        if (read_tag(&r, &number, &wire_type) < 0 ||
            read_payload(&r, wire_type, number, u->depth, &v) < 0)
            return fail(u, NOT_A_MESSAGE);
        const struct wire_field *f = wire_field_by_number(t, number);
        if (!f || !f->repeated)
            continue;
        if (is_packed(f, wire_type)) {
            size_t n = 0;
            int e = packed_numbers(u, f, v.bytes, NULL, &n);
            if (e < 0)
                return e;
            counts[f - t->fields] += (uint32_t)n;
        } else if (wire_type == f->wire_type) {
            counts[f - t->fields]++;
        }
    }
    for (unsigned i = 0; i < t->n_fields; i++) {
        if (!counts[i])
            continue;
        const struct wire_field *f = &t->fields[i];
        size_t have = *wire_count(m, f->d);
        char *array = wire_budget_alloc(&u->budget, (have + counts[i]) * f->size);
        if (!array)
            return fail(u, "message takes too much memory");
        char **member = wire_member(m, f->d);
        if (have)
            memcpy(array, *member, have * f->size);
        *member = array;
    }
    return 0;
}

static int store_element(
    struct unpacker *u, const struct wire_field *f, ProtobufCMessage *m, const struct payload *v)
{
    char *to = wire_member(m, f->d);
    size_t *count = wire_count(m, f->d);
    if (f->repeated)
        to = *(char **)(void *)to + *count * f->size;
    if (f->wire_type == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED) {
        int e = store_piece(u, f, v->bytes, to);
        if (e < 0)
            return e;
    } else if (!store_number(f, v->number, to)) {
        return 0;
    }
    if (f->repeated)
        (*count)++;
    else if (f->d->type != PROTOBUF_C_TYPE_STRING && f->d->type != PROTOBUF_C_TYPE_MESSAGE)
        *wire_has(m, f->d) = true;
    return 0;
}

static int unpack_into(
    struct unpacker *u, const struct wire_type *t, ProtobufCMessage *m, struct reader r)
{
    if (u->depth >= WIRE_DEPTH_MAX)
        return fail(u, "messages are nested too deeply");
    u->depth++;
    int e = t->has_repeated ? count_repeated(u, t, m, r) : 0;
    while (e == 0 && r.p < r.end) {
        uint32_t number;
        unsigned wire_type;
        struct payload v = {0};
        if (read_tag(&r, &number, &wire_type) < 0 ||
            read_payload(&r, wire_type, number, u->depth, &v) < 0) {
            e = fail(u, NOT_A_MESSAGE);
            break;
        }
        const struct wire_field *f = wire_field_by_number(t, number);
        if (!f)
            continue;
        if (is_packed(f, wire_type)) {
            size_t n = 0, *count = wire_count(m, f->d);
            e = packed_numbers(
                u, f, v.bytes, *(char **)wire_member(m, f->d) + *count * f->size, &n);
            if (e == 0)
                *count += n;
        } else if (wire_type == f->wire_type) {
            e = store_element(u, f, m, &v);
        }
    }
    u->depth--;
    return e;
}

int wire_unpack(const ProtobufCMessageDescriptor *type, struct arena *arena, const void *p,
    size_t n, ProtobufCMessage **ret, struct error *err)
{
    if (n > WIRE_MESSAGE_MAX)
        return error_set(
            err, -EBADMSG, "message of %zu bytes is larger than %d", n, WIRE_MESSAGE_MAX);
    struct unpacker u = {.budget = {arena, WIRE_DECODED_MAX}, .err = err};
    const struct wire_type *t = wire_type_of(type);
    ProtobufCMessage *m = new_message(&u, t);
    if (!m)
        return fail(&u, "message takes too much memory");
    const uint8_t *bytes = n > 0 ? p : (const void *)"";
    int r = unpack_into(&u, t, m, (struct reader){bytes, bytes + n});
    if (r < 0)
        return r;
    *ret = m;
    return 0;
}
