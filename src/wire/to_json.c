/* Structs to JSON: fields in declaration order, enums by name, bytes in base64, maps as objects,
 * defaults that the .proto states explicitly shown although unset. */

#include "wire/type.h"

#include "base/base64.h"

static void put_bytes(struct json_writer *w, const ProtobufCBinaryData *b)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    base64_encode(&text, b->data, b->len);
    jw_string_n(w, buf_cstr(&text), text.n);
}

static void put_enum(struct json_writer *w, const struct wire_field *f, int value)
{
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(f->d->descriptor, value);
    if (v)
        jw_string(w, v->name);
    else
        jw_i64(w, value);
}

static void put_message(
    struct json_writer *w, const struct wire_type *t, const ProtobufCMessage *m);

/* One element at `p`. */
static void put_element(struct json_writer *w, const struct wire_field *f, const void *p)
{
    switch (f->d->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        jw_i64(w, *(const int32_t *)p);
        break;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        jw_u64(w, *(const uint32_t *)p);
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        jw_i64(w, *(const int64_t *)p);
        break;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        jw_u64(w, *(const uint64_t *)p);
        break;
    case PROTOBUF_C_TYPE_FLOAT:
        jw_double(w, (double)*(const float *)p);
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        jw_double(w, *(const double *)p);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        jw_bool(w, *(const protobuf_c_boolean *)p);
        break;
    case PROTOBUF_C_TYPE_ENUM:
        put_enum(w, f, *(const int *)p);
        break;
    case PROTOBUF_C_TYPE_STRING:
        jw_string(w, *(char *const *)p);
        break;
    case PROTOBUF_C_TYPE_BYTES:
        put_bytes(w, p);
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        put_message(w, wire_field_type(f), *(ProtobufCMessage *const *)p);
        break;
    }
}

static void put_map(struct json_writer *w, const struct wire_field *f, const ProtobufCMessage *m)
{
    const struct wire_type *entry = wire_field_type(f);
    ProtobufCMessage *const *entries = *(ProtobufCMessage ***)wire_member(m, f->d);
    size_t n = *wire_count(m, f->d);
    jw_begin_object(w);
    for (size_t i = 0; i < n; i++) {
        const struct wire_field *value = &entry->fields[1];
        const char *key = *(char **)wire_member(entries[i], entry->fields[0].d);
        /* Of entries with one key the last counts. */
        bool again = false;
        for (size_t k = i + 1; k < n && !again; k++)
            again = streq(*(char **)wire_member(entries[k], entry->fields[0].d), key);
        if (again)
            continue;
        jw_key(w, key ? key : "");
        if (value->d->type != PROTOBUF_C_TYPE_MESSAGE || wire_is_set(entries[i], value))
            put_element(w, value, wire_member(entries[i], value->d));
        else
            jw_begin_object(w), jw_end_object(w);
    }
    jw_end_object(w);
}

static void put_message(struct json_writer *w, const struct wire_type *t, const ProtobufCMessage *m)
{
    jw_begin_object(w);
    for (unsigned i = 0; i < t->n_fields; i++) {
        const struct wire_field *f = t->order[i];
        if (!f->repeated) {
            /* An unset member holds its default. */
            if (!f->emit_default && !wire_is_set(m, f))
                continue;
            const char *member = wire_member(m, f->d);
            jw_key(w, f->d->name);
            put_element(w, f, member);
            continue;
        }
        size_t n = *wire_count(m, f->d);
        if (n == 0)
            continue;
        jw_key(w, f->d->name);
        if (f->map) {
            put_map(w, f, m);
            continue;
        }
        const char *array = *(char **)wire_member(m, f->d);
        jw_begin_array(w);
        for (size_t k = 0; k < n; k++)
            put_element(w, f, array + k * f->size);
        jw_end_array(w);
    }
    jw_end_object(w);
}

void wire_to_json(struct json_writer *w, const ProtobufCMessage *m)
{
    put_message(w, wire_type_of(m->descriptor), m);
}
