#ifndef DCOS_WIRE_TYPE_H
#define DCOS_WIRE_TYPE_H

/*
 * What the codec knows about a message type beyond its descriptor. Internal to src/wire.
 *
 * Built at the first use of a type, kept for the life of the process, safe to ask for from any
 * thread.
 */

#include <stdatomic.h>

#include "base/error.h"
#include "wire/codec.h"

enum {
    WIRE_DECODED_MAX = 256 * 1024 * 1024, /* bytes of structs one decoded message may take */
    WIRE_STRING_MAX = WIRE_MESSAGE_MAX,
};

struct wire_type;

struct wire_field {
    const ProtobufCFieldDescriptor *d;
    _Atomic(const struct wire_type *) type; /* of a message field, filled at first use */
    bool repeated;
    bool required;
    bool map;          /* repeated entries {key, value} */
    bool emit_default; /* JSON shows the default when unset */
    uint8_t size;      /* bytes of one element in the struct */
    uint8_t wire_type; /* of one element, unpacked */
};

struct wire_type {
    const ProtobufCMessageDescriptor *d;
    unsigned n_fields, n_required;
    bool has_repeated, has_messages;
    const struct wire_field **order; /* declaration order */
    uint16_t n_direct;
    uint16_t *direct;           /* field number to index + 1, 0 = none; numbers above: search */
    struct wire_field fields[]; /* order of the descriptor: by number */
};

const struct wire_type *wire_type_of(const ProtobufCMessageDescriptor *d);
/* Type of a message field. */
const struct wire_type *wire_field_type(const struct wire_field *f);
/* NULL when there is none of the number. */
const struct wire_field *wire_field_by_number(const struct wire_type *t, uint32_t number);
const struct wire_field *wire_field_by_name(const struct wire_type *t, const char *name);

/* Names of required fields of the message type, or NULL; from required_fields.c. */
const char *const *wire_required_fields(const char *message_name, size_t *ret_n);

/* ---- access to struct members ---- */

static inline void *wire_member(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *d)
{
    return (char *)(uintptr_t)m + d->offset;
}

static inline size_t *wire_count(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *d)
{
    return (size_t *)(void *)((char *)(uintptr_t)m + d->quantifier_offset);
}

static inline protobuf_c_boolean *wire_has(
    const ProtobufCMessage *m, const ProtobufCFieldDescriptor *d)
{
    return (protobuf_c_boolean *)(void *)((char *)(uintptr_t)m + d->quantifier_offset);
}

/* Whether a field that is not repeated is set. */
bool wire_is_set(const ProtobufCMessage *m, const struct wire_field *f);

/* Allocates for a decoder; NULL once its budget is used up. */
struct wire_budget {
    struct arena *arena;
    size_t left;
};
void *wire_budget_alloc(struct wire_budget *b, size_t size);

#endif
