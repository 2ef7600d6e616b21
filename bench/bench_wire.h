#ifndef DCOS_BENCH_WIRE_H
#define DCOS_BENCH_WIRE_H

/* Messages that several benchmarks make. */

#include "base/arena.h"
#include "wire/mesos.pb-c.h"

#define MSG(arena, type, prefix)                                                                   \
    ({                                                                                             \
        type *new_message = arena_new((arena), type);                                              \
        prefix##__init(new_message);                                                               \
        new_message;                                                                               \
    })

static inline _unused_ Mesos__V1__Resource *scalar(struct arena *a, const char *name, double value)
{
    Mesos__V1__Resource *r = MSG(a, Mesos__V1__Resource, mesos__v1__resource);
    r->name = arena_strdup(a, name);
    r->has_type = true;
    r->type = MESOS__V1__VALUE__TYPE__SCALAR;
    r->scalar = MSG(a, Mesos__V1__Value__Scalar, mesos__v1__value__scalar);
    r->scalar->has_value = true;
    r->scalar->value = value;
    return r;
}

#endif
