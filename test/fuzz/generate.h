#ifndef DCOS_FUZZ_GENERATE_H
#define DCOS_FUZZ_GENERATE_H

/*
 * Messages made from a fuzzer's bytes by their descriptors: every field may be set, the message
 * that belongs to a type is set with it, names come from pools of what exists. When the bytes are
 * used up, a generator that they seed goes on, so that a short input makes a long run.
 */

#include "base/arena.h"
#include "base/rng.h"
#include "wire/mesos.pb-c.h"

enum { POOL_MAX = 48 };

/* Newest last; the oldest make room. */
struct pool {
    char *items[POOL_MAX];
    size_t n;
};

enum pool_kind {
    POOL_FRAMEWORKS,
    POOL_AGENTS,
    POOL_OFFERS,
    POOL_TASKS,
    POOL_EXECUTORS,
    POOL_OPERATIONS,
    POOL_ROLES,
    POOLS
};

struct generator {
    const uint8_t *p;
    size_t n;
    struct rng rng;
    unsigned budget; /* nested messages that the present one may still get */
    struct pool pools[POOLS];
    uint8_t uuids[POOL_MAX][16];
    size_t n_uuids;
    /* What offers held, packed. */
    struct {
        uint8_t *p;
        size_t n;
    } resources[POOL_MAX];
    size_t n_resources;
};

void generator_init(struct generator *g, const uint8_t *p, size_t n);
void generator_done(struct generator *g);
unsigned generate_below(struct generator *g, unsigned bound);
bool generate_chance(struct generator *g, unsigned percent);

void pool_add(struct generator *g, enum pool_kind kind, const char *name);
void pool_add_uuid(struct generator *g, const ProtobufCBinaryData *uuid);
void pool_add_resource(struct generator *g, const Mesos__V1__Resource *r);
/* NULL when there is none. */
const char *pool_pick(struct generator *g, enum pool_kind kind);

/* A message in the arena, as it looks after a way over the wire. `type` >= 0 fixes the field
 * "type". */
ProtobufCMessage *generate(
    struct generator *g, struct arena *arena, const ProtobufCMessageDescriptor *d, int type);

#endif
