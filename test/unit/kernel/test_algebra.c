#include "unit.h"

#include "base/rng.h"
#include "json/json.h"
#include "kernel/resources.h"
#include "wire/codec.h"

/* What must hold for any collections, made at random of every kind of resource there is. */

#define DYNAMIC(role) "{\"type\":\"DYNAMIC\",\"role\":\"" role "\",\"principal\":\"p\"}"
#define STATIC(role) "{\"type\":\"STATIC\",\"role\":\"" role "\"}"
#define STACK(entries) ",\"reservations\":[" entries "]"
#define DISK(inside) ",\"disk\":{" inside "}"
#define VOLUME(id)                                                                                 \
    "\"persistence\":{\"id\":\"" id "\"},\"volume\":{\"container_path\":\"x\",\"mode\":\"RW\"}"
#define SOURCE(inside) "\"source\":{" inside "}"

enum merging { MERGES, IS_ONE, IS_SHARED };

static const struct {
    const char *name, *more;
    enum merging merging;
} kinds[] = {
    {"cpus", "", MERGES},
    {"cpus", STACK(STATIC("a")), MERGES},
    {"cpus", STACK(STATIC("a") "," DYNAMIC("a/b")), MERGES},
    {"cpus", STACK(DYNAMIC("a")), MERGES},
    {"cpus", ",\"revocable\":{}", MERGES},
    {"cpus", ",\"provider_id\":{\"value\":\"rp\"}", MERGES},
    {"mem",
        ",\"reservations\":[{\"type\":\"DYNAMIC\",\"role\":\"a\",\"labels\":{\"labels\":[{\"key\":"
        "\"k\",\"value\":\"v\"}]}}]",
        MERGES},
    {"mem", ",\"role\":\"a\",\"reservation\":{\"principal\":\"p\"}", MERGES},
    {"mem", ",\"role\":\"a\"", MERGES},
    {"disk", "", MERGES},
    {"disk", DISK(SOURCE("\"type\":\"PATH\",\"path\":{\"root\":\"/d\"}")), MERGES},
    {"disk", DISK(SOURCE("\"type\":\"PATH\",\"path\":{\"root\":\"/e\"}")), MERGES},
    {"disk", DISK(SOURCE("\"type\":\"MOUNT\",\"mount\":{\"root\":\"/m\"}")), IS_ONE},
    {"disk", DISK(SOURCE("\"type\":\"BLOCK\",\"id\":\"b\"")), IS_ONE},
    {"disk", DISK(SOURCE("\"type\":\"RAW\",\"profile\":\"f\"")), MERGES},
    {"disk", DISK(SOURCE("\"type\":\"RAW\",\"id\":\"r\"")), IS_ONE},
    {"disk", STACK(DYNAMIC("a")) DISK(VOLUME("v1")), IS_ONE},
    {"disk",
        STACK(DYNAMIC("a"))
            DISK(VOLUME("v1") "," SOURCE("\"type\":\"PATH\",\"path\":{\"root\":\"/d\"}")),
        IS_ONE},
    {"disk", STACK(DYNAMIC("a")) DISK(VOLUME("s1")) ",\"shared\":{}", IS_SHARED},
};
enum { N_KINDS = ARRAY_SIZE(kinds), ITEMS = 8, ROUNDS = 3000 };

/* Ranges and sets of two sides do not meet: a union could not be undone. */
static void put_random(struct rng *rng, struct buf *out, unsigned side)
{
    unsigned low = side * 50 + (unsigned)rng_below(rng, 20), width = (unsigned)rng_below(rng, 20);
    switch (rng_below(rng, 6)) {
    case 0:
        buf_printf(out,
            "{\"name\":\"ports\",\"type\":\"RANGES\",\"ranges\":{\"range\":[{\"begin\":%u,\"end\":"
            "%u}]}%s}",
            low, low + width, rng_below(rng, 2) ? STACK(STATIC("a")) : "");
        return;
    case 1:
        buf_printf(out, "{\"name\":\"set\",\"type\":\"SET\",\"set\":{\"item\":[\"i%u\",\"j%u\"]}}",
            low, low);
        return;
    default: {
        size_t k = rng_below(rng, N_KINDS);
        unsigned thousandths = kinds[k].merging == MERGES
                                   ? (unsigned)rng_below(rng, 4000)
                                   : 1000 + 1000 * (unsigned)rng_below(rng, 2);
        buf_printf(out, "{\"name\":\"%s\",\"type\":\"SCALAR\",\"scalar\":{\"value\":%u.%03u}%s}",
            kinds[k].name, thousandths / 1000, thousandths % 1000, kinds[k].more);
    }
    }
}

static uint64_t g_seed; /* of the round, said when something fails */

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail_msg("seed %llu: %s", (unsigned long long)g_seed, #condition);                     \
    } while (0)

struct list {
    Mesos__V1__Resource *items[ITEMS];
    size_t n;
};

static void make(struct rng *rng, unsigned side, struct arena *arena, struct list *ret)
{
    ret->n = rng_below(rng, ITEMS + 1);
    for (size_t i = 0; i < ret->n; i++) {
        _cleanup_buf_ struct buf text = BUF_INIT;
        put_random(rng, &text, side);
        ProtobufCMessage *m;
        struct error err = ERROR_INIT;
        if (wire_parse_json(&mesos__v1__resource__descriptor, arena, text.p, text.n, &m, &err) < 0)
            fail_msg("%s: %s", buf_cstr(&text), err.msg);
        ret->items[i] = (Mesos__V1__Resource *)m;
    }
    if (rng_below(rng, 3) == 0)
        resources_wire_upgrade(ret->items, ret->n, "a", arena);
}

static void to_resources(const struct list *list, struct resources *ret)
{
    struct error err = ERROR_INIT;
    if (resources_from_wire(list->items, list->n, ret, &err) < 0)
        fail_msg("%s", err.msg);
}

/* A shared one as often as it is on the wire: once. */
static void shared_once(const struct resources *r, struct resources *ret)
{
    RESOURCES_FOREACH(x, r)
    if (!x->kind->shared || !resources_contains_one(ret, x))
        resources_add_one(ret, x);
}

static void check_sum(const struct resources *a, const struct resources *b)
{
    _cleanup_resources_ struct resources ab = RESOURCES_INIT, ba = RESOURCES_INIT,
                                         without = RESOURCES_INIT;
    resources_copy(&ab, a);
    resources_add(&ab, b);
    resources_copy(&ba, b);
    resources_add(&ba, a);
    CHECK(resources_equal(&ab, &ba));
    CHECK(resources_contains(&ab, a) && resources_contains(&ab, b));
    resources_copy(&without, &ab);
    resources_subtract(&without, b);
    CHECK(resources_equal(&without, a));
    resources_subtract(&without, a);
    CHECK(resources_empty(&without));
}

/* b is within a exactly when it can be taken out and put back. */
static void check_contains(const struct resources *a, const struct resources *b)
{
    _cleanup_resources_ struct resources back = RESOURCES_INIT;
    resources_copy(&back, a);
    resources_subtract(&back, b);
    CHECK(resources_contains(a, &back));
    resources_add(&back, b);
    CHECK(resources_contains(a, b) == resources_equal(&back, a));
    if (resources_contains(a, b) && resources_contains(b, a))
        CHECK(resources_equal(a, b));
    CHECK(resources_contains(a, a));
}

static void check_wire(const struct resources *a)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    _cleanup_resources_ struct resources once = RESOURCES_INIT;
    shared_once(a, &once);
    static const unsigned flags[] = {0, RESOURCES_OLD_FORMAT};
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
        _cleanup_resources_ struct resources read = RESOURCES_INIT, again = RESOURCES_INIT;
        size_t n;
        Mesos__V1__Resource **list = resources_to_wire(a, flags[i], &arena, &n);
        CHECK(resources_from_wire(list, n, &read, NULL) == 0);
        CHECK(resources_equal(&read, &once));
        /* Old and new format, back and forth. */
        resources_wire_downgrade(list, n, &arena);
        resources_wire_upgrade(list, n, NULL, &arena);
        for (size_t k = 0; k < n; k++)
            CHECK(streq(list[k]->role, "*") && !list[k]->reservation);
        CHECK(resources_from_wire(list, n, &again, NULL) == 0);
        CHECK(resources_equal(&again, &once));
    }
}

/* Sums by name are those of the list as it was written, shared ones once. */
static void check_coalescing(const struct list *list, const struct resources *a)
{
    static const char *const names[] = {"cpus", "mem", "disk"};
    _cleanup_resources_ struct resources quantities = RESOURCES_INIT, seen = RESOURCES_INIT;
    resources_to_quantities(a, &quantities);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        int64_t sum = 0;
        for (size_t k = 0; k < list->n; k++) {
            const Mesos__V1__Resource *m = list->items[k];
            if (!streq(m->name, names[i]))
                continue;
            _cleanup_resources_ struct resources one = RESOURCES_INIT;
            CHECK(resources_from_wire(&list->items[k], 1, &one, NULL) == 0);
            if (resources_empty(&one) ||
                (m->shared && resources_contains_one(&seen, &one.items[0])))
                continue;
            resources_add(&seen, &one);
            sum += one.items[0].milli;
        }
        CHECK(resources_scalar(a, names[i]) == sum);
        CHECK(resources_scalar(&quantities, names[i]) == sum);
        CHECK(resources_scalar_if(a, names[i], true) + resources_scalar_if(a, names[i], false) ==
              sum);
    }
    for (uint32_t i = 0; i < a->n; i++)
        for (uint32_t k = 0; k < i; k++)
            CHECK(a->items[i].kind != a->items[k].kind || a->items[i].kind->unique ||
                  a->items[i].kind->shared);
}

static void check_order(struct rng *rng, struct list *list, const struct resources *a)
{
    for (size_t i = list->n; i > 1; i--) {
        size_t k = rng_below(rng, i);
        Mesos__V1__Resource *m = list->items[i - 1];
        list->items[i - 1] = list->items[k];
        list->items[k] = m;
    }
    _cleanup_resources_ struct resources shuffled = RESOURCES_INIT;
    to_resources(list, &shuffled);
    CHECK(resources_equal(&shuffled, a));
}

static void check_kinds(const struct resources *a)
{
    _cleanup_resources_ struct resources plain = RESOURCES_INIT, given = RESOURCES_INIT,
                                         back = RESOURCES_INIT, own = RESOURCES_INIT,
                                         pushed = RESOURCES_INIT, popped = RESOURCES_INIT;
    resources_allocate(a, NULL, &plain);
    resources_allocate(&plain, "r", &given);
    resources_allocate(&given, NULL, &back);
    CHECK(resources_equal(&back, &plain));
    CHECK(resources_empty(&plain) || !resources_contains(&plain, &given));
    /* A reservation on top and off again; parts by predicate are the whole. */
    Mesos__V1__Resource__ReservationInfo r = MESOS__V1__RESOURCE__RESERVATION_INFO__INIT;
    r.has_type = true;
    r.type = MESOS__V1__RESOURCE__RESERVATION_INFO__TYPE__DYNAMIC;
    r.role = (char *)(uintptr_t) "a/b/c";
    resources_filter(a, resource_is_nonrevocable, NULL, &own);
    CHECK(resources_push_reservation(&own, &r, &pushed, NULL) == 0);
    CHECK(resources_pop_reservation(&pushed, &popped, NULL) == 0);
    CHECK(resources_equal(&popped, &own));
    resources_filter(a, resource_is_revocable, NULL, &popped);
    CHECK(resources_equal(&popped, a));
}

static void any_collections(void **state)
{
    struct rng rng;
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        rng_init(&rng, g_seed = seed);
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        struct list la, lb, lc;
        make(&rng, 0, &arena, &la);
        make(&rng, 1, &arena, &lb);
        make(&rng, 0, &arena, &lc);
        _cleanup_resources_ struct resources a = RESOURCES_INIT, b = RESOURCES_INIT,
                                             c = RESOURCES_INIT;
        to_resources(&la, &a);
        to_resources(&lb, &b);
        to_resources(&lc, &c);
        check_sum(&a, &b);
        check_contains(&a, &b);
        check_contains(&a, &c);
        resources_add(&c, &a);
        check_contains(&c, &a);
        check_wire(&a);
        check_coalescing(&la, &a);
        check_order(&rng, &la, &a);
        check_kinds(&a);
    }
}

static int no_kinds_left(void **state)
{
    assert_int_equal(resource_kinds_in_use(), 0);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(any_collections, no_kinds_left)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
