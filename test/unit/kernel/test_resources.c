#include "unit.h"

#include <errno.h>
#include <malloc.h>

#include "base/rng.h"
#include "kernel/resources.h"
#include "wire/codec.h"

static void parse(const char *text, struct resources *ret)
{
    struct error err = ERROR_INIT;
    if (resources_parse(str_of(text), "*", ret, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
}

static void assert_text(const struct resources *r, const char *want)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    resources_format(r, &b);
    assert_string_equal(buf_cstr(&b), want);
}

static int no_kinds_left(void **state)
{
    (void)state;
    assert_int_equal(resource_kinds_in_use(), 0);
    return 0;
}

static void parses(void **state)
{
    (void)state;
    static const struct {
        const char *in, *role, *out;
    } cases[] = {
        {"", "*", ""},
        {"cpus:2;mem:512;ports:[31000-32000, 33000-33010];disk(role):10", "*",
            "cpus:2; mem:512; ports:[31000-32000, 33000-33010]; disk(role):10"},
        {" cpus : 0.5 ; cpus:1.25;", "*", "cpus:1.75"},
        {"zones:{b, a};ports:[5-6,1-4]", "*", "zones:{a, b}; ports:[1-6]"},
        {"cpus:1;cpus(*):2;mem(prod/a):3", "dev", "cpus(dev):1; cpus:2; mem(prod/a):3"},
        {"cpus:0;ports:[];z:{}", "*", ""},
        {"[{\"name\":\"cpus\",\"type\":\"SCALAR\",\"scalar\":{\"value\":1.5}},{\"name\":\"mem\","
         "\"type\":"
         "\"SCALAR\",\"scalar\":{\"value\":\"8\"},\"role\":\"a\"}]",
            "dev", "cpus(dev):1.5; mem(a):8"},
        {"[{\"name\":\"disk\",\"type\":\"SCALAR\",\"scalar\":{\"value\":5},\"reservations\":[{"
         "\"type\":"
         "\"STATIC\",\"role\":\"a\"},{\"type\":\"DYNAMIC\",\"role\":\"a/b\"}]}]",
            "*", "disk(a/b):5"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_resources_ struct resources r = RESOURCES_INIT;
        struct error err = ERROR_INIT;
        if (resources_parse(str_of(cases[i].in), cases[i].role, &r, &err) < 0)
            fail_msg("%s: %s", cases[i].in, err.msg);
        assert_text(&r, cases[i].out);
    }
}

static void refuses_text(void **state)
{
    (void)state;
    static const char *const bad[] = {"cpus", ":1", "cpus:abc", "cpus:-1", "cpus:0.0001",
        "cpus:1e300", "ports:[5-1]", "ports:[1-5,5-6]", "ports:[1-", "ports:[a-b]", "z:{a,a}",
        "z:{a,}", "cpus(:1", "cpus():1", "cpus(a b):1", "cpus:1;cpus:[1-2]", "[{]", "[1]",
        "[{\"name\":\"cpus\"}]", "[{\"name\":\"c\",\"type\":\"TEXT\"}]"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        _cleanup_resources_ struct resources r = RESOURCES_INIT;
        struct error err = ERROR_INIT;
        if (resources_parse(str_of(bad[i]), "*", &r, &err) != -EINVAL)
            fail_msg("accepted '%s'", bad[i]);
        assert_true(err.msg[0] && r.n == 0);
    }
}

static void wire_list(
    const char *json, struct arena *arena, Mesos__V1__Resource ***ret, size_t *ret_n)
{
    _cleanup_json_ json_t *doc = NULL;
    struct error err = ERROR_INIT;
    assert_int_equal(json_parse(json, strlen(json), &doc, &err), 0);
    *ret_n = json_array_size(doc);
    *ret = arena_new_array(arena, Mesos__V1__Resource *, *ret_n);
    for (size_t i = 0; i < *ret_n; i++) {
        ProtobufCMessage *m = NULL;
        if (wire_from_json(
                &mesos__v1__resource__descriptor, arena, json_array_get(doc, i), &m, &err) < 0)
            fail_msg("%s", err.msg);
        (*ret)[i] = (Mesos__V1__Resource *)m;
    }
}

#define CPUS "\"name\":\"cpus\",\"type\":\"SCALAR\",\"scalar\":{\"value\":1.0}"
#define DISK "\"name\":\"disk\",\"type\":\"SCALAR\",\"scalar\":{\"value\":8.0}"
#define STACK_A "\"reservations\":[{\"type\":\"DYNAMIC\",\"role\":\"a\",\"principal\":\"p\"}]"

static void validates(void **state)
{
    (void)state;
    static const struct {
        const char *in, *why; /* NULL: fine */
    } cases[] = {
        {"[{" CPUS "}]", NULL},
        {"[{" CPUS ",\"role\":\"a\",\"reservation\":{\"principal\":\"p\"}}]", NULL},
        {"[{" CPUS ",\"role\":\"a\",\"reservation\":{\"principal\":\"p\"}," STACK_A "}]", NULL},
        {"[{\"type\":\"SCALAR\",\"scalar\":{\"value\":1}}]", "Invalid resource: the name is empty"},
        {"[{\"name\":\"x\",\"type\":\"SCALAR\"}]",
            "Invalid resource 'x': a SCALAR has a scalar and nothing else"},
        {"[{\"name\":\"x\",\"type\":\"SCALAR\",\"scalar\":{\"value\":-1}}]",
            "Invalid resource 'x': value is negative"},
        {"[{\"name\":\"x\",\"type\":\"SCALAR\",\"scalar\":{\"value\":0.0001}}]",
            "Invalid resource 'x': value is smaller than 0.001"},
        {"[{\"name\":\"x\",\"type\":\"SCALAR\",\"scalar\":{\"value\":\"Infinity\"}}]",
            "Invalid resource 'x': value is not finite"},
        {"[{\"name\":\"x\",\"type\":\"RANGES\",\"ranges\":{\"range\":[{\"begin\":1,\"end\":3},{"
         "\"begin\":3,"
         "\"end\":4}]}}]",
            "Invalid resource 'x': ranges overlap"},
        {"[{\"name\":\"x\",\"type\":\"SET\",\"set\":{\"item\":[\"a\",\"a\"]}}]",
            "Invalid resource 'x': an item appears twice"},
        {"[{\"name\":\"x\",\"type\":\"TEXT\"}]", "Invalid resource 'x': unsupported type"},
        {"[{" CPUS ",\"disk\":{}}]",
            "Invalid resource 'cpus': only 'disk' may have disk information"},
        {"[{" DISK ",\"disk\":{\"source\":{\"type\":\"RAW\",\"path\":{}}}}]",
            "Invalid resource 'disk': a BLOCK or RAW disk has neither path nor mount"},
        {"[{" CPUS ",\"reservation\":{}}]", "Invalid resource 'cpus': role '*' cannot be reserved"},
        {"[{" CPUS ",\"role\":\"b\"," STACK_A "}]",
            "Invalid resource 'cpus': 'role' and 'reservation' contradict 'reservations'"},
        {"[{" CPUS ",\"revocable\":{}," STACK_A "}]",
            "Invalid resource 'cpus': revocable resources cannot be reserved"},
        {"[{" CPUS ",\"reservations\":[{\"type\":\"DYNAMIC\",\"role\":\"a\"},{\"type\":\"DYNAMIC\","
         "\"role\":\"ab\"}]}]",
            "Invalid resource 'cpus': the role of a refined reservation must be below the one it "
            "refines"},
        {"[{" CPUS ",\"reservations\":[{\"type\":\"STATIC\",\"role\":\"a\"},{\"type\":\"STATIC\","
         "\"role\":\"a/b\"}]}]",
            "Invalid resource 'cpus': a refined reservation must be DYNAMIC"},
        {"[{" CPUS ",\"shared\":{}}]",
            "Invalid resource 'cpus': only persistent volumes can be shared"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        Mesos__V1__Resource **list;
        size_t n;
        struct error err = ERROR_INIT;
        wire_list(cases[i].in, &arena, &list, &n);
        assert_int_equal(resources_validate(list, n, &err), cases[i].why ? -EINVAL : 0);
        assert_string_equal(err.msg, cases[i].why ? cases[i].why : "");
    }
}

static void json_of_list(Mesos__V1__Resource **list, size_t n, struct buf *out)
{
    struct json_writer w;
    jw_init(&w, out);
    jw_begin_array(&w);
    for (size_t i = 0; i < n; i++)
        wire_to_json(&w, &list[i]->base);
    jw_end_array(&w);
}

/* Into the compact form and back, in both formats. */
static void wire_forms(void **state)
{
    (void)state;
#define ALLOC "\"allocation_info\":{\"role\":\"x\"}"
    static const struct {
        const char *in, *out, *old;
    } cases[] = {
        {"[{" CPUS "}]", "[{" CPUS "}]", "[{" CPUS ",\"role\":\"*\"}]"},
        {"[{" CPUS ",\"role\":\"a\"}]",
            "[{" CPUS ",\"reservations\":[{\"type\":\"STATIC\",\"role\":\"a\"}]}]",
            "[{" CPUS ",\"role\":\"a\"}]"},
        {"[{" CPUS ",\"role\":\"a\",\"reservation\":{\"principal\":\"p\"}," ALLOC "}]",
            "[{" CPUS "," ALLOC "," STACK_A "}]",
            "[{" CPUS ",\"role\":\"a\",\"reservation\":{\"principal\":\"p\"}}]"},
        {"[{" CPUS "," ALLOC ",\"revocable\":{}},{" CPUS "," ALLOC ",\"revocable\":{}}]",
            "[{\"name\":\"cpus\",\"type\":\"SCALAR\",\"scalar\":{\"value\":2.0}," ALLOC
            ",\"revocable\":{}}]",
            "[{\"name\":\"cpus\",\"type\":\"SCALAR\",\"scalar\":{\"value\":2.0},\"role\":\"*\","
            "\"revocable\":{}}]"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        _cleanup_resources_ struct resources r = RESOURCES_INIT;
        _cleanup_buf_ struct buf text = BUF_INIT;
        _cleanup_buf_ struct buf old = BUF_INIT;
        Mesos__V1__Resource **list;
        size_t n;
        wire_list(cases[i].in, &arena, &list, &n);
        assert_int_equal(resources_from_wire(list, n, &r, NULL), 0);
        list = resources_to_wire(&r, 0, &arena, &n);
        json_of_list(list, n, &text);
        assert_string_equal(buf_cstr(&text), cases[i].out);
        list = resources_to_wire(&r, RESOURCES_OLD_FORMAT | RESOURCES_NO_ALLOCATION, &arena, &n);
        json_of_list(list, n, &old);
        assert_string_equal(buf_cstr(&old), cases[i].old);
    }
}

#define VOLUME                                                                                     \
    "{" DISK                                                                                       \
    ",\"reservations\":[{\"type\":\"DYNAMIC\",\"role\":\"a\"}],\"disk\":{\"persistence\":{\"id\":" \
    "\"v1\"},\"volume\":{\"mode\":\"RW\",\"container_path\":\"data\"}}"

static void volumes_do_not_merge(void **state)
{
    (void)state;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    _cleanup_resources_ struct resources one = RESOURCES_INIT;
    _cleanup_resources_ struct resources shared = RESOURCES_INIT;
    _cleanup_resources_ struct resources sum = RESOURCES_INIT;
    Mesos__V1__Resource **list;
    size_t n;
    wire_list("[" VOLUME "}]", &arena, &list, &n);
    assert_int_equal(resources_from_wire(list, n, &one, NULL), 0);
    assert_string_equal(one.items[0].kind->persistence_id, "v1");
    resources_add(&sum, &one);
    resources_add(&sum, &one);
    assert_int_equal(sum.n, 2);
    assert_int_equal(resources_scalar(&sum, "disk"), 16000);
    assert_false(resources_contains(&one, &sum));
    resources_subtract(&sum, &one);
    assert_true(resources_equal(&sum, &one));

    /* Half a volume is none of it. */
    struct resource half = resource_copy(&one.items[0]);
    half.milli /= 2;
    assert_false(resources_contains_one(&one, &half));
    resources_subtract_one(&sum, &half);
    assert_int_equal(sum.n, 1);
    resource_done(&half);

    wire_list("[" VOLUME ",\"shared\":{}}]", &arena, &list, &n);
    assert_int_equal(resources_from_wire(list, n, &shared, NULL), 0);
    resources_done(&sum);
    for (int i = 0; i < 3; i++)
        resources_add(&sum, &shared);
    assert_int_equal(resources_scalar(&sum, "disk"), 8000);
    (void)resources_to_wire(&sum, 0, &arena, &n);
    assert_int_equal(n, 1);
    resources_subtract(&sum, &shared);
    assert_int_equal(sum.n, 2);
    assert_true(resources_contains(&sum, &shared));

    _cleanup_resources_ struct resources plain = RESOURCES_INIT;
    resources_without_persistence(&one, &plain);
    assert_text(&plain, "disk(a):8");
}

/* How it is used is no part of what it is; everything else is. */
static void volumes_are_what_they_hold(void **state)
{
    (void)state;
    static const struct {
        const char *volume;
        bool same;
    } cases[] = {
        {"\"scalar\":{\"value\":8},\"disk\":{\"persistence\":{\"id\":\"v1\"},\"volume\":{\"mode\":"
         "\"RO\",\"container_path\":\"other\"}}",
            true},
        {"\"scalar\":{\"value\":9},\"disk\":{\"persistence\":{\"id\":\"v1\"},\"volume\":{\"mode\":"
         "\"RW\",\"container_path\":\"data\"}}",
            false},
        {"\"scalar\":{\"value\":8},\"disk\":{\"persistence\":{\"id\":\"v2\"},\"volume\":{\"mode\":"
         "\"RW\",\"container_path\":\"data\"}}",
            false},
        {"\"scalar\":{\"value\":8},\"shared\":{},\"disk\":{\"persistence\":{\"id\":\"v1\"},"
         "\"volume\":{\"mode\":\"RW\",\"container_path\":\"data\"}}",
            false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        _cleanup_resources_ struct resources have = RESOURCES_INIT, other = RESOURCES_INIT;
        Mesos__V1__Resource **list;
        size_t n;
        wire_list("[" VOLUME "}]", &arena, &list, &n);
        assert_int_equal(resources_from_wire(list, n, &have, NULL), 0);
        char *text = arena_printf(&arena,
            "[{\"name\":\"disk\",\"type\":\"SCALAR\",\"reservations\":[{\"type\":\"DYNAMIC\","
            "\"role\":\"a\"}],%s}]",
            cases[i].volume);
        wire_list(text, &arena, &list, &n);
        assert_int_equal(resources_from_wire(list, n, &other, NULL), 0);
        assert_int_equal(resources_contains(&have, &other), cases[i].same);
        assert_int_equal(resources_equal(&have, &other), cases[i].same);
        /* Each keeps its own form all the same. */
        Mesos__V1__Resource **wire = resources_to_wire(&other, 0, &arena, &n);
        assert_string_equal(wire[0]->disk->volume->container_path, i == 0 ? "other" : "data");
        resources_subtract(&have, &other);
        assert_int_equal(have.n, cases[i].same ? 0 : 1);
    }
}

static void changes_kind(void **state)
{
    (void)state;
    _cleanup_resources_ struct resources r = RESOURCES_INIT, allocated = RESOURCES_INIT,
                                         back = RESOURCES_INIT, pushed = RESOURCES_INIT,
                                         popped = RESOURCES_INIT, mine = RESOURCES_INIT,
                                         flat = RESOURCES_INIT;
    struct error err = ERROR_INIT;
    parse("cpus:2;cpus(a):1;mem(a):64;ports:[1-9]", &r);
    resources_allocate(&r, "a/b", &allocated);
    assert_text(&allocated,
        "cpus(allocated: a/b):2; cpus(a)(allocated: a/b):1; mem(a)(allocated: a/b):64; "
        "ports(allocated: a/b):[1-9]");
    assert_false(resources_contains(&r, &allocated));
    resources_allocate(&allocated, NULL, &back);
    assert_true(resources_equal(&back, &r));

    resources_filter(&r, resource_is_allocatable_to, "a/b", &mine);
    assert_int_equal(mine.n, r.n);
    resources_done(&mine);
    resources_filter(&r, resource_is_allocatable_to, "ab", &mine);
    assert_text(&mine, "cpus:2; ports:[1-9]");

    resources_to_unreserved(&r, &flat);
    assert_text(&flat, "cpus:3; mem:64; ports:[1-9]");
    resources_done(&flat);
    resources_to_quantities(&allocated, &flat);
    assert_text(&flat, "cpus:3; mem:64; ports:[1-9]");

    Mesos__V1__Resource__ReservationInfo info = MESOS__V1__RESOURCE__RESERVATION_INFO__INIT;
    info.has_type = true;
    info.type = MESOS__V1__RESOURCE__RESERVATION_INFO__TYPE__DYNAMIC;
    info.role = (char *)(uintptr_t) "a/b";
    assert_int_equal(resources_push_reservation(&r, &info, &pushed, &err), 0);
    assert_text(&pushed, "cpus(a/b):2; cpus(a/b):1; mem(a/b):64; ports(a/b):[1-9]");
    assert_true(pushed.items[0].kind->dynamic);
    assert_int_equal(resources_pop_reservation(&pushed, &popped, &err), 0);
    assert_true(resources_equal(&popped, &r));
    resources_done(&popped);
    assert_int_equal(resources_pop_reservation(&r, &popped, &err), -EINVAL);
    info.role = (char *)(uintptr_t) "other";
    resources_done(&pushed);
    assert_int_equal(resources_push_reservation(&r, &info, &pushed, &err), -EINVAL);
    assert_int_equal(pushed.n, 0);
}

static void state_object(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"", "{\"cpus\":0.0,\"disk\":0.0,\"gpus\":0.0,\"mem\":0.0}"},
        {"ports:[31000-31009,31020-31020];cpus:0.1;cpus(a):1;mem:32;z:{b,a};ports(a):[31010-31011]",
            "{\"cpus\":1.1,\"disk\":0.0,\"gpus\":0.0,\"mem\":32.0,\"ports\":\"[31000-31011, "
            "31020-31020]\",\"z\":\"{a, b}\"}"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_resources_ struct resources r = RESOURCES_INIT;
        _cleanup_buf_ struct buf out = BUF_INIT;
        struct json_writer w;
        parse(cases[i].in, &r);
        jw_init(&w, &out);
        resources_write_state(&w, &r);
        assert_string_equal(buf_cstr(&out), cases[i].out);
    }
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    _cleanup_resources_ struct resources r = RESOURCES_INIT;
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct json_writer w;
    Mesos__V1__Resource **list;
    size_t n;
    wire_list("[{" CPUS ",\"revocable\":{}},{" CPUS "}]", &arena, &list, &n);
    assert_int_equal(resources_from_wire(list, n, &r, NULL), 0);
    jw_init(&w, &out);
    resources_write_state(&w, &r);
    assert_string_equal(buf_cstr(&out),
        "{\"cpus\":1.0,\"cpus_revocable\":1.0,\"disk\":0.0,\"gpus\":0.0,\"mem\":0.0}");
    assert_int_equal(resources_scalar_if(&r, "cpus", true), 1000);
    assert_int_equal(resources_scalar(&r, "cpus"), 2000);
}

/* A random collection as text, so that every way of making resources is used. */
static void random_resources(struct rng *rng, struct resources *ret)
{
    static const char *const names[] = {"cpus", "mem", "disk"}, *const roles[] = {"*", "a", "a/b"};
    _cleanup_buf_ struct buf text = BUF_INIT;
    size_t n = rng_below(rng, 6);
    for (size_t i = 0; i < n; i++) {
        const char *role = roles[rng_below(rng, 3)];
        switch (rng_below(rng, 4)) {
        case 0: {
            unsigned at = (unsigned)rng_below(rng, 20), width = (unsigned)rng_below(rng, 5);
            buf_printf(&text, "ports(%s):[%u-%u,%u-%u];", role, at, at + width, at + width + 2,
                at + width + 4);
            break;
        }
        case 1:
            buf_printf(&text, "set(%s):{i%u,j%u};", role, (unsigned)rng_below(rng, 4),
                (unsigned)rng_below(rng, 4));
            break;
        default:
            buf_printf(&text, "%s(%s):%u.%03u;", names[rng_below(rng, 3)], role,
                (unsigned)rng_below(rng, 3), (unsigned)rng_below(rng, 1000));
        }
    }
    parse(buf_cstr(&text), ret);
    if (rng_below(rng, 2)) {
        struct resources allocated = RESOURCES_INIT;
        resources_allocate(ret, "a", &allocated);
        resources_done(ret);
        resources_move(ret, &allocated);
    }
}

/* Disjoint parts of one thing: what b has of ranges and sets is taken out of a first. */
static void algebra(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, 7);
    for (int i = 0; i < 5000; i++) {
        _cleanup_resources_ struct resources a = RESOURCES_INIT, b = RESOURCES_INIT,
                                             ab = RESOURCES_INIT, ba = RESOURCES_INIT,
                                             rest = RESOURCES_INIT, again = RESOURCES_INIT;
        random_resources(&rng, &a);
        random_resources(&rng, &b);
        resources_copy(&ab, &a);
        resources_add(&ab, &b);
        resources_copy(&ba, &b);
        resources_add(&ba, &a);
        /* Order does not matter, and nothing is lost. */
        assert_true(resources_equal(&ab, &ba));
        assert_true(resources_contains(&ab, &a) && resources_contains(&ab, &b));
        assert_int_equal(resources_scalar(&ab, "cpus"),
            resources_scalar(&a, "cpus") + resources_scalar(&b, "cpus"));
        /* A part and the rest are the whole. */
        assert_true(resources_contains(&ab, &a));
        resources_copy(&rest, &ab);
        resources_subtract(&rest, &a);
        resources_copy(&again, &rest);
        resources_add(&again, &a);
        assert_true(resources_equal(&again, &ab));
        /* Containing is a partial order. */
        if (resources_contains(&a, &b) && resources_contains(&b, &a))
            assert_true(resources_equal(&a, &b));
        resources_subtract(&rest, &ab);
        assert_true(resources_empty(&rest));
        /* The wire form keeps all. */
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        _cleanup_resources_ struct resources back = RESOURCES_INIT;
        size_t n;
        Mesos__V1__Resource **list = resources_to_wire(&ab, i & 1, &arena, &n);
        assert_int_equal(resources_from_wire(list, n, &back, NULL), 0);
        assert_true(resources_equal(&back, &ab));
    }
}

static void aliasing(void **state)
{
    (void)state;
    _cleanup_resources_ struct resources r = RESOURCES_INIT;
    parse("cpus:2;ports:[1-3];mem(a):4", &r);
    resources_add(&r, &r);
    assert_text(&r, "cpus:4; ports:[1-3]; mem(a):8");
    resources_assign(&r, &r);
    assert_text(&r, "cpus:4; ports:[1-3]; mem(a):8");
    resources_subtract(&r, &r);
    assert_true(resources_empty(&r));
}

/* A million tasks have one such set each. */
static void typical_set_is_small(void **state)
{
    (void)state;
    _cleanup_resources_ struct resources kinds = RESOURCES_INIT, all = RESOURCES_INIT;
    parse("cpus:0.1;mem:32;disk:10;ports:[31000-31000]", &kinds);
    resources_allocate(&kinds, "slave_public", &all);
    resources_shrink(&all);
    size_t size = sizeof(all) + malloc_usable_size(all.items) + sizeof(size_t) +
                  malloc_usable_size(all.items[3].ranges) + sizeof(size_t);
    if (size > 150)
        fail_msg("four resources take %zu bytes", size);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, no_kinds_left)
    const struct CMUnitTest tests[] = {TEST(parses), TEST(refuses_text), TEST(validates),
        TEST(wire_forms), TEST(volumes_do_not_merge), TEST(volumes_are_what_they_hold),
        TEST(changes_kind), TEST(state_object), TEST(algebra), TEST(aliasing),
        TEST(typical_set_is_small)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
