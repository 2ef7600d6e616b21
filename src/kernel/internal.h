#ifndef DCOS_KERNEL_INTERNAL_H
#define DCOS_KERNEL_INTERNAL_H

/* What the files of resources share and nobody else sees. */

#include "kernel/resources.h"

/* ---- kinds (kind.c); each returns a reference ---- */

/* allocation_role may be NULL. */
const struct resource_kind *kind_plain(
    const char *name, enum resource_type type, bool revocable, const char *allocation_role);
/* Of a valid message in either format; its value does not matter. */
const struct resource_kind *kind_of_wire(const Mesos__V1__Resource *r);
/* The same with another allocation role, or none. */
const struct resource_kind *kind_with_allocation(
    const struct resource_kind *kind, const char *allocation_role);

/* ---- sets (set.c) ---- */

/* Sorts and drops duplicates. */
struct resource_set *set_new(char *const *items, size_t n);
struct resource_set *set_ref(const struct resource_set *a);
void set_unref(struct resource_set *a);
struct resource_set *set_union(const struct resource_set *a, const struct resource_set *b);
struct resource_set *set_difference(const struct resource_set *a, const struct resource_set *b);
bool set_contains(const struct resource_set *a, const struct resource_set *b);
bool set_equal(const struct resource_set *a, const struct resource_set *b);

/* ---- values (resources.c) ---- */

bool value_is_empty(const struct resource *r);
/* Takes over both references. */
void resources_take(struct resources *a, struct resource item);

/* ---- wire form (resources_wire.c) ---- */

/* llround(x * 1000). */
int64_t milli_of_double(double x);
double double_of_milli(int64_t milli);
/* Rewrites role + reservation as a stack; r's own strings are used, new nodes are in the arena. */
void wire_to_stack(Mesos__V1__Resource *r, struct arena *arena);
struct resource resource_from_valid(const Mesos__V1__Resource *r);

#endif
