#include "fill.h"

#include <math.h>

#include "base/alloc.h"
#include "wire/agent.pb-c.h"
#include "wire/executor.pb-c.h"
#include "wire/internal.pb-c.h"
#include "wire/maintenance.pb-c.h"
#include "wire/master.pb-c.h"
#include "wire/quota.pb-c.h"
#include "wire/resource_provider.pb-c.h"
#include "wire/scheduler.pb-c.h"

enum { TYPES_MAX = 1024 };

static double random_double(struct rng *rng)
{
    switch (rng_below(rng, 6)) {
    case 4:
        return (double)INFINITY;
    case 5:
        return -(double)INFINITY;
    case 0:
        return (double)(int64_t)rng_below(rng, 1000000) / 1000.0;
    case 1:
        return -(double)rng_below(rng, 100);
    case 2:
        return (double)rng_next(rng) * 1e-30;
    default:
        return 0.0;
    }
}

static char *random_string(struct arena *arena, struct rng *rng)
{
    static const char *const pieces[] = {
        "a", "Z", "0", " ", "\"", "\\", "/", "\n", "\x01", "\x7f", "\xc3\xa9", "\xf0\x9f\x98\x80"};
    size_t n = rng_below(rng, 12);
    struct buf b = BUF_INIT;
    for (size_t i = 0; i < n; i++)
        buf_puts(&b, pieces[rng_below(rng, ARRAY_SIZE(pieces))]);
    char *s = arena_strndup(arena, buf_cstr(&b), b.n);
    buf_done(&b);
    return s;
}

static void fill_element(const ProtobufCFieldDescriptor *f, struct arena *arena, struct rng *rng,
    unsigned depth, void *to)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        *(uint32_t *)to = (uint32_t)rng_next(rng);
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        *(uint64_t *)to = rng_next(rng) >> rng_below(rng, 64);
        break;
    case PROTOBUF_C_TYPE_FLOAT:
        *(float *)to = (float)rng_below(rng, 100);
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        *(double *)to = random_double(rng);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)to = (protobuf_c_boolean)rng_below(rng, 2);
        break;
    case PROTOBUF_C_TYPE_ENUM: {
        const ProtobufCEnumDescriptor *e = f->descriptor;
        *(int *)to = e->values[rng_below(rng, e->n_values)].value;
        break;
    }
    case PROTOBUF_C_TYPE_STRING:
        *(char **)to = random_string(arena, rng);
        break;
    case PROTOBUF_C_TYPE_BYTES: {
        size_t n = rng_below(rng, 20);
        uint8_t *p = arena_alloc(arena, n + 1);
        rng_bytes(rng, p, n);
        *(ProtobufCBinaryData *)to = (ProtobufCBinaryData){.len = n, .data = p};
        break;
    }
    case PROTOBUF_C_TYPE_MESSAGE:
        *(ProtobufCMessage **)to = fill_message(f->descriptor, arena, rng, depth - 1);
        break;
    }
}

ProtobufCMessage *fill_message(
    const ProtobufCMessageDescriptor *type, struct arena *arena, struct rng *rng, unsigned depth)
{
    ProtobufCMessage *m = arena_alloc(arena, type->sizeof_message);
    type->message_init(m);
    bool entry = has_suffix(type->short_name, "Entry") && type->n_fields == 2;
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &type->fields[i];
        bool message = f->type == PROTOBUF_C_TYPE_MESSAGE;
        if ((message && depth == 0) || (!entry && rng_below(rng, 4) == 0))
            continue;
        char *member = (char *)m + f->offset;
        void *quantifier = (char *)m + f->quantifier_offset;
        if (f->label != PROTOBUF_C_LABEL_REPEATED) {
            fill_element(f, arena, rng, depth, member);
            if (!message && f->type != PROTOBUF_C_TYPE_STRING)
                *(protobuf_c_boolean *)quantifier = 1;
            continue;
        }
        /* Entries of a map have keys of their own; one entry keeps it so. */
        size_t n = message && has_suffix(((const ProtobufCMessageDescriptor *)f->descriptor)->name,
                                  "Entry")
                       ? 1
                       : rng_below(rng, 3);
        char *array = arena_zalloc(arena, (n + 1) * 16);
        size_t size = 4;
        if (f->type == PROTOBUF_C_TYPE_BYTES)
            size = sizeof(ProtobufCBinaryData);
        else if (message || f->type == PROTOBUF_C_TYPE_STRING ||
                 f->type == PROTOBUF_C_TYPE_UINT64 || f->type == PROTOBUF_C_TYPE_INT64 ||
                 f->type == PROTOBUF_C_TYPE_DOUBLE)
            size = 8;
        for (size_t k = 0; k < n; k++)
            fill_element(f, arena, rng, depth, array + k * size);
        *(char **)(void *)member = array;
        *(size_t *)quantifier = n;
    }
    return m;
}

static size_t collect(
    const ProtobufCMessageDescriptor *type, const ProtobufCMessageDescriptor **list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (list[i] == type)
            return n;
    if (n + 1 == TYPES_MAX)
        abort();
    list[n++] = type;
    for (unsigned i = 0; i < type->n_fields; i++)
        if (type->fields[i].type == PROTOBUF_C_TYPE_MESSAGE)
            n = collect(type->fields[i].descriptor, list, n);
    return n;
}

const ProtobufCMessageDescriptor *const *fill_all_types(size_t *ret_n)
{
    static const ProtobufCMessageDescriptor *list[TYPES_MAX];
    static const ProtobufCMessageDescriptor *const roots[] = {
        &mesos__v1__scheduler__call__descriptor,
        &mesos__v1__scheduler__event__descriptor,
        &mesos__v1__scheduler__apiresult__descriptor,
        &mesos__v1__executor__call__descriptor,
        &mesos__v1__executor__event__descriptor,
        &mesos__v1__master__call__descriptor,
        &mesos__v1__master__response__descriptor,
        &mesos__v1__master__event__descriptor,
        &mesos__v1__agent__call__descriptor,
        &mesos__v1__agent__response__descriptor,
        &mesos__v1__agent__process_io__descriptor,
        &mesos__v1__resource_provider__call__descriptor,
        &mesos__v1__resource_provider__event__descriptor,
        &mesos__v1__quota__quota_status__descriptor,
        &mesos__v1__resource_usage__descriptor,
        &mesos__v1__credentials__descriptor,
        &mesos__v1__rate_limits__descriptor,
        &mesos__v1__machine_info__descriptor,
        &mesos__v1__value__descriptor,
        &mesos__v1__device_whitelist__descriptor,
        &dcos__internal__agent_record__descriptor,
        &dcos__internal__master_record__descriptor,
    };
    static size_t n;
    if (n == 0)
        for (size_t i = 0; i < ARRAY_SIZE(roots); i++)
            n = collect(roots[i], list, n);
    *ret_n = n;
    return list;
}
