#include "wire/type.h"

#include <assert.h>
#include <pthread.h>

#include "base/alloc.h"

/*
 * Types by descriptor address, in a table that only grows: open addressing, readers without a lock.
 * The number of types is fixed by the .proto files.
 */
enum { TYPE_SLOTS = 4096, DIRECT_MAX = 256 };

static _Atomic(const struct wire_type *) g_types[TYPE_SLOTS];
static pthread_mutex_t g_types_lock = PTHREAD_MUTEX_INITIALIZER;

static uint8_t element_size(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return sizeof(uint32_t);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return sizeof(uint64_t);
    case PROTOBUF_C_TYPE_FLOAT:
        return sizeof(float);
    case PROTOBUF_C_TYPE_DOUBLE:
        return sizeof(double);
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_ENUM:
        return sizeof(int);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    }
    assert(!"unknown field type");
    return 0;
}

static uint8_t element_wire_type(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return PROTOBUF_C_WIRE_TYPE_32BIT;
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return PROTOBUF_C_WIRE_TYPE_64BIT;
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
    default:
        return PROTOBUF_C_WIRE_TYPE_VARINT;
    }
}

/* protoc turns map<k, v> into repeated messages NameEntry {key = 1; value = 2}. */
static bool is_map(const ProtobufCFieldDescriptor *f)
{
    if (f->label != PROTOBUF_C_LABEL_REPEATED || f->type != PROTOBUF_C_TYPE_MESSAGE)
        return false;
    const ProtobufCMessageDescriptor *entry = f->descriptor;
    return entry->n_fields == 2 && has_suffix(entry->short_name, "Entry") &&
           streq(entry->fields[0].name, "key") && streq(entry->fields[1].name, "value") &&
           entry->fields[0].type == PROTOBUF_C_TYPE_STRING;
}

static const struct wire_type *build(const ProtobufCMessageDescriptor *d)
{
    struct wire_type *t = xcalloc(1, sizeof(*t) + d->n_fields * sizeof(t->fields[0]));
    t->d = d;
    t->n_fields = d->n_fields;
    t->order = xnew_array(const struct wire_field *, MAX(d->n_fields, 1u));
    size_t n_required;
    const char *const *required = wire_required_fields(d->name, &n_required);
    uint32_t top = d->n_fields > 0 ? d->fields[d->n_fields - 1].id : 0;
    t->n_direct = (uint16_t)(MIN(top, (uint32_t)DIRECT_MAX - 1) + 1);
    t->direct = xnew_array(uint16_t, t->n_direct);
    for (unsigned i = 0; i < d->n_fields; i++) {
        struct wire_field *f = &t->fields[i];
        f->d = &d->fields[i];
        f->repeated = f->d->label == PROTOBUF_C_LABEL_REPEATED;
        f->map = is_map(f->d);
        f->size = element_size(f->d->type);
        f->wire_type = element_wire_type(f->d->type);
        f->emit_default = !f->repeated && f->d->default_value != NULL &&
                          !(f->d->flags & PROTOBUF_C_FIELD_FLAG_DEPRECATED);
        for (size_t k = 0; k < n_required; k++)
            f->required = f->required || streq(required[k], f->d->name);
        t->n_required += f->required;
        t->has_repeated = t->has_repeated || f->repeated;
        t->has_messages = t->has_messages || f->d->type == PROTOBUF_C_TYPE_MESSAGE;
        if (f->d->id < t->n_direct)
            t->direct[f->d->id] = (uint16_t)(i + 1);
        /* The generated struct has its members in declaration order. */
        unsigned at = i;
        while (at > 0 && t->order[at - 1]->d->offset > f->d->offset) {
            t->order[at] = t->order[at - 1];
            at--;
        }
        t->order[at] = f;
    }
    assert(t->n_required == n_required);
    return t;
}

const struct wire_type *wire_type_of(const ProtobufCMessageDescriptor *d)
{
    uint64_t hash = (uint64_t)(uintptr_t)d * UINT64_C(0x9e3779b97f4a7c15);
    size_t first = (size_t)(hash >> 52) % TYPE_SLOTS, slot = first;
    for (;;) {
        const struct wire_type *t = atomic_load_explicit(&g_types[slot], memory_order_acquire);
        if (t && t->d == d)
            return t;
        if (!t)
            break;
        slot = (slot + 1) % TYPE_SLOTS;
        assert(slot != first);
    }
    pthread_mutex_lock(&g_types_lock);
    const struct wire_type *t;
    while ((t = atomic_load_explicit(&g_types[slot], memory_order_relaxed)) && t->d != d) {
        slot = (slot + 1) % TYPE_SLOTS;
        assert(slot != first);
    }
    if (!t) {
        t = build(d);
        atomic_store_explicit(&g_types[slot], t, memory_order_release);
    }
    pthread_mutex_unlock(&g_types_lock);
    return t;
}

const struct wire_type *wire_field_type(const struct wire_field *f)
{
    const struct wire_type *t = atomic_load_explicit(&f->type, memory_order_acquire);
    if (!t) {
        t = wire_type_of(f->d->descriptor);
        atomic_store_explicit(
            (_Atomic(const struct wire_type *) *)(uintptr_t)&f->type, t, memory_order_release);
    }
    return t;
}

const struct wire_field *wire_field_by_number(const struct wire_type *t, uint32_t number)
{
    if (number < t->n_direct)
        return t->direct[number] ? &t->fields[t->direct[number] - 1] : NULL;
    size_t low = 0, high = t->n_fields;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (t->d->fields[mid].id == number)
            return &t->fields[mid];
        if (t->d->fields[mid].id < number)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

const struct wire_field *wire_field_by_name(const struct wire_type *t, const char *name)
{
    size_t low = 0, high = t->n_fields;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        unsigned index = t->d->fields_sorted_by_name[mid];
        int order = strcmp(t->d->fields[index].name, name);
        if (order == 0)
            return &t->fields[index];
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

bool wire_is_set(const ProtobufCMessage *m, const struct wire_field *f)
{
    if (f->d->type == PROTOBUF_C_TYPE_STRING || f->d->type == PROTOBUF_C_TYPE_MESSAGE) {
        const void *p = *(void *const *)wire_member(m, f->d);
        return p != NULL && p != f->d->default_value;
    }
    return *wire_has(m, f->d);
}

void *wire_budget_alloc(struct wire_budget *b, size_t size)
{
    if (size > b->left)
        return NULL;
    b->left -= size;
    return arena_alloc(b->arena, size);
}
