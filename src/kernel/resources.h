#ifndef DCOS_KERNEL_RESOURCES_H
#define DCOS_KERNEL_RESOURCES_H

/*
 * Resources, compact: what the master keeps for a million tasks.
 *
 * A resource is a *kind* and a value. The kind is all that is not quantity: name, type, allocation
 * role, reservations, disk, provider, revocable, shared. Kinds are interned: equal kinds are the
 * same pointer, so "may these two be added" is one comparison. Four typical task resources (cpus,
 * mem, disk, one port range) take about 110 bytes.
 *
 * Kinds live in one process-wide table. Making, copying and freeing resources belongs to one
 * thread; other threads may read resources that nobody changes meanwhile.
 *
 * Scalars are thousandths. A collection holds no empty items, at most one item of each kind that
 * can be merged, and one item per unit of what cannot be (persistent volumes, MOUNT and BLOCK
 * disks, identified RAW disks). A shared resource is in a collection as often as it was added; sums
 * and the wire form count it once. Items keep the order in which their kinds were first added.
 */

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "json/writer.h"
#include "kernel/ranges.h"
#include "wire/mesos.pb-c.h"

enum {
    RESOURCES_MAX = 4096,    /* items in one list from outside */
    RESOURCE_SET_MAX = 4096, /* items of one set */
    RESERVATIONS_MAX = 32,   /* depth of one reservation stack */
    RESOURCE_NAME_MAX = 255,
};
/* Largest scalar magnitude from outside, in thousandths: sums of millions cannot overflow. */
#define RESOURCE_MILLI_MAX (INT64_C(1) << 52)

enum resource_type { RESOURCE_SCALAR, RESOURCE_RANGES, RESOURCE_SET };

struct resource_kind {
    uint32_t refs;
    uint8_t type;    /* enum resource_type */
    bool plain : 1;  /* nothing but name, type, allocation role and revocable */
    bool unique : 1; /* never merged */
    bool shared : 1;
    bool revocable : 1;
    bool dynamic : 1; /* last reservation is dynamic */
    uint16_t n_reservations;
    const char *name;
    const char *role;            /* of the last reservation; "*" when unreserved */
    const char *allocation_role; /* NULL when not allocated */
    const char *principal;       /* of the last reservation, or NULL */
    const char *provider_id;     /* or NULL */
    const char *persistence_id;  /* or NULL */
    /* Of a persistent volume: its kind without how somebody wants to see it (disk.volume). Two
     * volumes of one such kind and size are equal, as in Mesos. NULL = the kind itself. */
    const struct resource_kind *identity;
    /* The rest is private to kind.c: the identity as bytes, the table of all kinds. */
    struct resource_kind *next;
    uint64_t hash;
    uint32_t key_size;
    uint8_t key[];
};

/* Immutable, sorted, without duplicates; empty set is NULL. */
struct resource_set {
    uint32_t refs;
    uint32_t n;
    const char *items[];
};

struct resource {
    const struct resource_kind *kind;
    union {
        int64_t milli;
        struct ranges *ranges;
        struct resource_set *set;
    };
};

struct resources {
    struct resource *items;
    uint32_t n, cap;
};

#define RESOURCES_INIT                                                                             \
    {                                                                                              \
        0                                                                                          \
    }
#define _cleanup_resources_ _cleanup_(resources_done)
#define RESOURCES_FOREACH(var, set)                                                                \
    for (const struct resource *var = (set)->items; var && var < (set)->items + (set)->n; var++)

/* ---- life of collections; a zero-initialised struct is empty ---- */

void resources_done(struct resources *r);
/* `to` must be empty or uninitialised memory; exact size. */
void resources_copy(struct resources *to, const struct resources *from);
/* Moves; `from` is empty afterwards. `to` must be empty. */
void resources_move(struct resources *to, struct resources *from);
/* Replaces what is in `to` by a copy. */
void resources_assign(struct resources *to, const struct resources *from);
/* Gives memory back that growing left over. */
void resources_shrink(struct resources *r);
static inline bool resources_empty(const struct resources *r)
{
    return r->n == 0;
}

/* ---- algebra ---- */

void resources_add(struct resources *a, const struct resources *b);
void resources_add_one(struct resources *a, const struct resource *b);
/* Takes out of `a` what it has of `b`; what `a` has less of ends up absent. */
void resources_subtract(struct resources *a, const struct resources *b);
void resources_subtract_one(struct resources *a, const struct resource *b);
bool resources_contains(const struct resources *a, const struct resources *b);
bool resources_contains_one(const struct resources *a, const struct resource *b);
bool resources_equal(const struct resources *a, const struct resources *b); /* in any order */

/* ---- sums and questions; all kinds of the name together ---- */

int64_t resources_scalar(const struct resources *r, const char *name); /* thousandths */
/* Union of the ranges; the caller owns the reference. */
struct ranges *resources_ranges(const struct resources *r, const char *name);
bool resources_has(const struct resources *r, const char *name);
/* Only the revocable ones, or only the others. */
int64_t resources_scalar_if(const struct resources *r, const char *name, bool revocable);

/* ---- selection: `ret` must be empty ---- */

typedef bool (*resource_predicate)(const struct resource *r, const void *userdata);
void resources_filter(const struct resources *r, resource_predicate keep, const void *userdata,
    struct resources *ret);
bool resource_is_unreserved(const struct resource *r, const void *unused);
bool resource_is_reserved(const struct resource *r, const void *unused);
/* Reserved to exactly this role (const char *). */
bool resource_is_reserved_to(const struct resource *r, const void *role);
/* Unreserved, or reserved to the role or an ancestor of it: what the role may be allocated. */
bool resource_is_allocatable_to(const struct resource *r, const void *role);
bool resource_is_allocated_to(const struct resource *r, const void *role);
bool resource_is_revocable(const struct resource *r, const void *unused);
bool resource_is_nonrevocable(const struct resource *r, const void *unused);
bool resource_is_persistent_volume(const struct resource *r, const void *unused);
bool resource_is_shared(const struct resource *r, const void *unused);
bool resource_is_not_shared(const struct resource *r, const void *unused);
bool resource_is_named(const struct resource *r, const void *name);
/* More than one reservation, or one to a role with "/". */
bool resource_has_refined_reservation(const struct resource *r, const void *unused);

/* ---- changes of kind; `ret` must be empty ---- */

/* Sets the allocation role of every item (NULL strips it). */
void resources_allocate(const struct resources *r, const char *role, struct resources *ret);
/* Strips allocation, reservations, disk sources and the rest: plain quantities by name. Shared ones
 * count once. */
void resources_to_quantities(const struct resources *r, struct resources *ret);
/* Strips all reservations, keeps the rest. */
void resources_to_unreserved(const struct resources *r, struct resources *ret);
/* Takes the last reservation of each item off. -EINVAL when one has none. */
int resources_pop_reservation(const struct resources *r, struct resources *ret, struct error *err);
/* Puts a reservation on top of each item's stack, checked. -EINVAL. */
int resources_push_reservation(const struct resources *r,
    const Mesos__V1__Resource__ReservationInfo *reservation, struct resources *ret,
    struct error *err);
/* Items with their DiskInfo's persistence and volume taken off, as DESTROY leaves them; `shared`
 * goes too. */
void resources_without_persistence(const struct resources *r, struct resources *ret);

/* ---- wire form ---- */

/* Checks one message in the old or the new format by the rules of section 7. -EINVAL. */
int resource_validate(const Mesos__V1__Resource *r, struct error *err);
int resources_validate(Mesos__V1__Resource *const *list, size_t n, struct error *err);

/* Validates, converts both formats, adds up; items of zero are dropped. `ret` must be empty and
 * stays so on failure. -EINVAL. */
int resources_from_wire(
    Mesos__V1__Resource *const *list, size_t n, struct resources *ret, struct error *err);

enum {
    RESOURCES_OLD_FORMAT = 1u << 0,    /* role + reservation instead of the stack */
    RESOURCES_NO_ALLOCATION = 1u << 1, /* without allocation_info */
};
/* A list in the arena, NULL when empty; nothing in it points back to `r`. Refined reservations have
 * no old format: those items come in the new one. */
Mesos__V1__Resource **resources_to_wire(
    const struct resources *r, unsigned flags, struct arena *arena, size_t *ret_n);

/* In place, in messages that live in the arena: old format to new, and allocation_info.role set
 * where it is missing (allocation_role may be NULL: left alone). Call after validation. */
void resources_wire_upgrade(
    Mesos__V1__Resource **list, size_t n, const char *allocation_role, struct arena *arena);
/* In place: new format to old where that is possible. */
void resources_wire_downgrade(Mesos__V1__Resource **list, size_t n, struct arena *arena);

/* ---- text ---- */

/* "cpus:2;mem:512;ports:[31000-32000, 33000-33010];disk(role):10;zones:{a,b}", or a JSON array of
 * Resource. A default role other than "*" reserves (statically) what names no role. -EINVAL. */
int resources_parse(
    struct str text, const char *default_role, struct resources *ret, struct error *err);
/* For people and logs: "cpus:2; mem(dev):512; ports:[31000-32000]". */
void resources_format(const struct resources *r, struct buf *out);
/* The object of /state: {"cpus":2.0,"gpus":0.0,"mem":512.0,"disk":0.0,"ports":"[31000-32000]"}; the
 * four are always there, sets read "{a, b}", revocable ones are "<name>_revocable". */
void resources_write_state(struct json_writer *w, const struct resources *r);
/* Only those that fit. */
void resources_write_state_if(struct json_writer *w, const struct resources *r,
    resource_predicate keep, const void *userdata);
void resource_set_format(const struct resource_set *set, struct buf *out);

/* ---- kinds ---- */

const struct resource_kind *resource_kind_ref(const struct resource_kind *kind);
void resource_kind_unref(const struct resource_kind *kind);
/* Everything but the value, in the new format, in the arena. */
Mesos__V1__Resource *resource_kind_to_wire(const struct resource_kind *kind, struct arena *arena);
/* A plain scalar, owned by the caller like any resource: add it to a collection, then
 * resource_done. */
struct resource resource_make_scalar(const char *name, int64_t milli, const char *allocation_role);
struct resource resource_make_ranges(
    const char *name, const struct ranges *ranges, const char *allocation_role);
struct resource resource_copy(const struct resource *r);
void resource_done(struct resource *r);
bool resource_equal(const struct resource *a, const struct resource *b);
/* Kinds alive in the process, for tests and statistics. */
size_t resource_kinds_in_use(void);

#endif
