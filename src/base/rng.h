#ifndef DCOS_BASE_RNG_H
#define DCOS_BASE_RNG_H

/* Randomness: from the kernel for shells, from a seed for cores and simulation. */

#include "base/macro.h"

/* Fills with bytes from getrandom(2). Cannot fail once the kernel's pool is initialised. */
void random_bytes(void *p, size_t n);

/* xoshiro256**: fast, reproducible, not for secrets. */
struct rng {
    uint64_t s[4];
};

void rng_init(struct rng *r, uint64_t seed);
uint64_t rng_next(struct rng *r);
/* Uniform in [0, bound); bound > 0. */
uint64_t rng_below(struct rng *r, uint64_t bound);
void rng_bytes(struct rng *r, void *p, size_t n);

enum { UUID_TEXT_SIZE = 37 };

/* Turns 16 random bytes into a version 4 UUID, in place. */
void uuid_make_v4(uint8_t bytes[16]);
/* Canonical lower-case text with a NUL. */
void uuid_format(const uint8_t bytes[16], char ret[UUID_TEXT_SIZE]);
/* Fresh random version 4 UUID as text. */
void uuid_random_text(char ret[UUID_TEXT_SIZE]);

#endif
