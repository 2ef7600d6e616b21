#include "wire/codec.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "wire/type.h"

void wire_pack(const ProtobufCMessage *m, struct buf *out)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    char *to = buf_reserve(out, n);
    if (to)
        buf_commit(out, protobuf_c_message_pack(m, (uint8_t *)to));
}

/* ---- copying ---- */

static void copy_element(
    struct arena *arena, const struct wire_field *f, void *to, const void *from)
{
    switch (f->d->type) {
    case PROTOBUF_C_TYPE_STRING: {
        const char *s = *(char *const *)from;
        *(char **)to = s ? arena_strdup(arena, s) : NULL;
        break;
    }
    case PROTOBUF_C_TYPE_BYTES: {
        const ProtobufCBinaryData *b = from;
        *(ProtobufCBinaryData *)to = (ProtobufCBinaryData){
            .len = b->len, .data = b->data ? arena_memdup(arena, b->data, b->len) : NULL};
        break;
    }
    case PROTOBUF_C_TYPE_MESSAGE: {
        const ProtobufCMessage *m = *(ProtobufCMessage *const *)from;
        *(ProtobufCMessage **)to = m ? wire_clone(m, arena) : NULL;
        break;
    }
    default:
        memcpy(to, from, f->size);
    }
}

ProtobufCMessage *wire_clone(const ProtobufCMessage *m, struct arena *arena)
{
    const struct wire_type *t = wire_type_of(m->descriptor);
    ProtobufCMessage *copy = arena_alloc(arena, t->d->sizeof_message);
    t->d->message_init(copy);
    for (unsigned i = 0; i < t->n_fields; i++) {
        const struct wire_field *f = &t->fields[i];
        if (!f->repeated) {
            if (!wire_is_set(m, f))
                continue;
            if (f->d->type != PROTOBUF_C_TYPE_STRING && f->d->type != PROTOBUF_C_TYPE_MESSAGE)
                *wire_has(copy, f->d) = true;
            copy_element(arena, f, wire_member(copy, f->d), wire_member(m, f->d));
            continue;
        }
        size_t n = *wire_count(m, f->d);
        if (n == 0)
            continue;
        const char *from = *(char **)wire_member(m, f->d);
        char *to = arena_alloc(arena, n * f->size);
        for (size_t k = 0; k < n; k++)
            copy_element(arena, f, to + k * f->size, from + k * f->size);
        *(char **)wire_member(copy, f->d) = to;
        *wire_count(copy, f->d) = n;
    }
    return copy;
}

/* ---- comparing ---- */

static bool elements_equal(const struct wire_field *f, const void *a, const void *b)
{
    switch (f->d->type) {
    case PROTOBUF_C_TYPE_STRING:
        return streq(*(char *const *)a, *(char *const *)b);
    case PROTOBUF_C_TYPE_BYTES: {
        const ProtobufCBinaryData *x = a, *y = b;
        return x->len == y->len && (x->len == 0 || memcmp(x->data, y->data, x->len) == 0);
    }
    case PROTOBUF_C_TYPE_MESSAGE:
        return wire_equal(*(ProtobufCMessage *const *)a, *(ProtobufCMessage *const *)b);
    case PROTOBUF_C_TYPE_BOOL:
        return !*(const protobuf_c_boolean *)a == !*(const protobuf_c_boolean *)b;
    default:
        return memcmp(a, b, f->size) == 0;
    }
}

bool wire_equal(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
    if (a == b)
        return true;
    if (!a || !b || a->descriptor != b->descriptor)
        return false;
    const struct wire_type *t = wire_type_of(a->descriptor);
    for (unsigned i = 0; i < t->n_fields; i++) {
        const struct wire_field *f = &t->fields[i];
        if (!f->repeated) {
            bool set = wire_is_set(a, f);
            if (set != wire_is_set(b, f) ||
                (set && !elements_equal(f, wire_member(a, f->d), wire_member(b, f->d))))
                return false;
            continue;
        }
        size_t n = *wire_count(a, f->d);
        if (n != *wire_count(b, f->d))
            return false;
        const char *x = *(char **)wire_member(a, f->d), *y = *(char **)wire_member(b, f->d);
        for (size_t k = 0; k < n; k++)
            if (!elements_equal(f, x + k * f->size, y + k * f->size))
                return false;
    }
    return true;
}

/* ---- enums ---- */

const char *wire_enum_name(const ProtobufCEnumDescriptor *type, int value)
{
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(type, value);
    return v ? v->name : NULL;
}

int wire_enum_parse(const ProtobufCEnumDescriptor *type, const char *name, int *ret)
{
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value_by_name(type, name);
    if (!v)
        return -ENOENT;
    *ret = v->value;
    return 0;
}

const char *wire_missing_of_type(
    const ProtobufCMessage *m, const ProtobufCEnumDescriptor *type, int value)
{
    const char *upper = wire_enum_name(type, value);
    char name[64];
    if (!upper || strlen(upper) >= sizeof(name))
        return NULL;
    for (size_t i = 0; i <= strlen(upper); i++)
        name[i] = (char)tolower((unsigned char)upper[i]);
    const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field_by_name(
        m->descriptor, name);
    if (!f || f->label == PROTOBUF_C_LABEL_REPEATED || f->type != PROTOBUF_C_TYPE_MESSAGE)
        return NULL;
    const void *nested;
    memcpy(&nested, (const char *)m + f->offset, sizeof(nested));
    return nested ? NULL : f->name;
}
