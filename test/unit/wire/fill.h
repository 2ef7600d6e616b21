#ifndef DCOS_TEST_WIRE_FILL_H
#define DCOS_TEST_WIRE_FILL_H

/* Random messages of any type, and the list of all types, for property tests. */

#include "base/rng.h"
#include "wire/codec.h"

/* Every field is set with a probability of 3/4 while `depth` lasts; JSON can carry all of it. */
ProtobufCMessage *fill_message(
    const ProtobufCMessageDescriptor *type, struct arena *arena, struct rng *rng, unsigned depth);

/* All message types reachable from the calls, events and records; NULL-terminated. */
const ProtobufCMessageDescriptor *const *fill_all_types(size_t *ret_n);

#endif
