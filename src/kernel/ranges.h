#ifndef DCOS_KERNEL_RANGES_H
#define DCOS_KERNEL_RANGES_H

/*
 * Sets of unsigned 64-bit numbers as inclusive ranges, sorted, disjoint, adjacent ones joined.
 *
 * A block is immutable and reference-counted, so that copies of resources share it; the empty set
 * is NULL. Functions that make a new set return a reference that the caller owns.
 */

#include "base/buf.h"
#include "base/error.h"

enum { RANGES_MAX = 65536 }; /* ranges in one set from outside */

struct range {
    uint64_t begin, end; /* both inclusive, begin <= end */
};

struct ranges {
    uint32_t refs;
    uint32_t n;
    struct range r[];
};

/* From n ranges in any order; overlapping and adjacent ones are joined. */
struct ranges *ranges_new(const struct range *r, size_t n);
struct ranges *ranges_ref(const struct ranges *a); /* NULL-safe */
void ranges_unref(struct ranges *a);               /* NULL-safe */
struct ranges *ranges_union(const struct ranges *a, const struct ranges *b);
struct ranges *ranges_difference(const struct ranges *a, const struct ranges *b);
struct ranges *ranges_intersection(const struct ranges *a, const struct ranges *b);
bool ranges_contains(const struct ranges *a, const struct ranges *b); /* b is a subset of a */
bool ranges_contains_value(const struct ranges *a, uint64_t v);
bool ranges_equal(const struct ranges *a, const struct ranges *b);
bool ranges_overlap(const struct ranges *a, const struct ranges *b);
/* How many numbers; UINT64_MAX when it does not fit. */
uint64_t ranges_count(const struct ranges *a);

/* "[31000-32000, 33000-33010]". Overlaps are refused like begin > end. -EINVAL. */
int ranges_parse(struct str text, struct ranges **ret, struct error *err);
/* "[31000-31009, 31020-31020]"; "[]" when empty. */
void ranges_format(const struct ranges *a, struct buf *out);

#endif
