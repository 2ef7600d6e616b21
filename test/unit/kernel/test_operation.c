#include "unit.h"

#include <errno.h>

#include "json/json.h"
#include "kernel/operation.h"
#include "wire/codec.h"

/* Resources as the agent below has them. */
#define NAME(n) "\"name\":\"" n "\",\"type\":\"SCALAR\""
#define SIZE(v) ",\"scalar\":{\"value\":" v "}"
#define DYNAMIC(role, principal)                                                                   \
    "{\"type\":\"DYNAMIC\",\"role\":\"" role "\",\"principal\":\"" principal "\"}"
#define STATIC(role) "{\"type\":\"STATIC\",\"role\":\"" role "\"}"
#define STACK(entries) ",\"reservations\":[" entries "]"
#define FOR_A STACK(DYNAMIC("a", "p"))
#define VOLUME_AT(id, more)                                                                        \
    ",\"disk\":{\"persistence\":{\"id\":\"" id "\",\"principal\":\"p\"},\"volume\":{"              \
    "\"container_path\":\"data\",\"mode\":\"RW\"}" more "}"
#define VOLUME(id) VOLUME_AT(id, "")
#define PATH ",\"source\":{\"type\":\"PATH\",\"path\":{\"root\":\"/d\"}}"
#define MOUNT ",\"source\":{\"type\":\"MOUNT\",\"mount\":{\"root\":\"/m\"}}"
#define BLOCK ",\"source\":{\"type\":\"BLOCK\",\"id\":\"b\"}"
#define ALLOCATED(role) ",\"allocation_info\":{\"role\":\"" role "\"}"
#define PROVIDER ",\"provider_id\":{\"value\":\"rp\"}"

#define OP(type, field, body) "{\"type\":\"" type "\",\"" field "\":{" body "}}"
#define RESERVE(list) OP("RESERVE", "reserve", "\"resources\":[" list "]")
#define MOVE(from, to) OP("RESERVE", "reserve", "\"source\":[" from "],\"resources\":[" to "]")
#define UNRESERVE(list) OP("UNRESERVE", "unreserve", "\"resources\":[" list "]")
#define CREATE(list) OP("CREATE", "create", "\"volumes\":[" list "]")
#define DESTROY(list) OP("DESTROY", "destroy", "\"volumes\":[" list "]")
#define GROW(volume, more)                                                                         \
    OP("GROW_VOLUME", "grow_volume", "\"volume\":" volume ",\"addition\":" more)
#define SHRINK(volume, less)                                                                       \
    OP("SHRINK_VOLUME", "shrink_volume", "\"volume\":" volume ",\"subtract\":{\"value\":" less "}")

static const char TOTAL[] = "[{" NAME("cpus") SIZE("8") "},{" NAME("cpus") SIZE("4")
    STACK(STATIC("a")) "},{" NAME("disk") SIZE("100") "},{" NAME("disk") SIZE("50") FOR_A
    "},{" NAME("disk") SIZE("10") FOR_A VOLUME("v1") "},{" NAME("disk") SIZE("5")
        FOR_A VOLUME("busy") "},{" NAME("disk") SIZE("20")
            FOR_A VOLUME("s1") ",\"shared\":{}},{" NAME("disk") SIZE("30") FOR_A
    ",\"disk\":{"
    "\"source\":{\"type\":\"MOUNT\",\"mount\":{\"root\":\"/m\"}}}},{" NAME("disk") SIZE("7")
        FOR_A VOLUME_AT("m1", MOUNT) "}]";
static const char USED[] = "[{" NAME("disk") SIZE("5") FOR_A VOLUME("busy") ALLOCATED("a") "}]";
static const char FRAMEWORK[] =
    "{\"user\":\"u\",\"name\":\"f\",\"principal\":\"p\",\"roles\":[\"a\",\"a/b\"],"
    "\"capabilities\":[{\"type\":\"MULTI_ROLE\"},{\"type\":\"RESERVATION_REFINEMENT\"}]}";

static ProtobufCMessage *message(
    const ProtobufCMessageDescriptor *type, const char *text, struct arena *arena)
{
    ProtobufCMessage *m;
    struct error err = ERROR_INIT;
    if (wire_parse_json(type, arena, text, strlen(text), &m, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
    return m;
}

static Mesos__V1__Offer__Operation *operation(const char *text, struct arena *arena)
{
    return (Mesos__V1__Offer__Operation *)message(
        &mesos__v1__offer__operation__descriptor, text, arena);
}

static void resources(const char *text, struct resources *ret)
{
    struct error err = ERROR_INIT;
    if (resources_parse(str_of(text), "*", ret, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
}

enum { ALL = 0x1ff };

static int validate(const char *text, const char *role, uint32_t agent, struct error *err)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    _cleanup_resources_ struct resources total = RESOURCES_INIT, used = RESOURCES_INIT;
    resources(TOTAL, &total);
    resources(USED, &used);
    struct operation_context ctx = {.role = role,
        .principal = "p",
        .agent_capabilities = agent,
        .total = &total,
        .used = &used};
    if (role)
        ctx.framework = (const Mesos__V1__FrameworkInfo *)message(
            &mesos__v1__framework_info__descriptor, FRAMEWORK, &arena);
    return operation_validate(operation(text, &arena), &ctx, err);
}

static void refuses(void **state)
{
    static const struct {
        const char *op, *role, *why; /* role NULL: an operator's; why is a part of the text */
        uint32_t lacks;
    } cases[] = {
        {"{\"type\":\"RESERVE\"}", "a", "Expecting 'reserve' to be present", 0},
        {"{\"type\":\"UNRESERVE\"}", "a", "Expecting 'unreserve'", 0},
        {"{\"type\":\"CREATE\"}", "a", "Expecting 'create'", 0},
        {"{\"type\":\"DESTROY\"}", "a", "Expecting 'destroy'", 0},
        {"{\"type\":\"GROW_VOLUME\",\"grow_volume\":{}}", "a", "grow_volume.volume", 0},
        {"{\"type\":\"SHRINK_VOLUME\",\"shrink_volume\":{}}", "a", "shrink_volume.volume", 0},
        {"{\"type\":\"CREATE_DISK\"}", "a", "Expecting 'create_disk'", 0},
        {"{\"type\":\"DESTROY_DISK\"}", "a", "Expecting 'destroy_disk'", 0},
        {"{}", "a", "Expecting 'type'", 0},
        {"{\"type\":\"LAUNCH\",\"launch\":{}}", "a", "LAUNCH does not change resources", 0},
        {RESERVE(""), "a", "no resources", 0},
        {RESERVE("{" NAME("cpus") SIZE("-1") FOR_A "}"), "a", "value is negative", 0},
        /* RESERVE */
        {RESERVE("{" NAME("cpus") SIZE("1") "}"), "a", "not dynamically reserved", 0},
        {RESERVE("{" NAME("cpus") SIZE("1") STACK(STATIC("a")) "}"), "a",
            "not dynamically reserved", 0},
        {RESERVE("{" NAME("cpus") SIZE("1") FOR_A ",\"revocable\":{}}"), "a",
            "revocable resources cannot be reserved", 0},
        {RESERVE("{" NAME("cpus") SIZE("1") STACK(DYNAMIC("a", "q")) "}"), "a",
            "The principal 'q' of the reservation is not that of the request, 'p'", 0},
        {RESERVE("{" NAME("cpus") SIZE("1") STACK("{\"type\":\"DYNAMIC\",\"role\":\"a\"}") "}"),
            "a", "The principal of the reservation is not set", 0},
        {RESERVE("{" NAME("cpus") SIZE("1") FOR_A "}"), "a/b",
            "cannot be reserved for role 'a': the offer is of role 'a/b'", 0},
        {RESERVE("{" NAME("cpus") SIZE("1") STACK(DYNAMIC("c", "p")) "}"), "c",
            "cannot be reserved for role 'c'", 0},
        {RESERVE("{" NAME("cpus") SIZE("1") FOR_A ALLOCATED("b") "}"), "a", "allocated to role 'b'",
            0},
        {RESERVE("{" NAME("cpus") SIZE("1") FOR_A ALLOCATED("a") "}"), NULL,
            "must not be allocated", 0},
        {RESERVE("{" NAME("cpus") SIZE("1") FOR_A "},{" NAME("mem") SIZE("1") FOR_A PROVIDER "}"),
            "a", "one resource provider", 0},
        {RESERVE("{" NAME("cpus") SIZE("1") STACK(DYNAMIC("a/b", "p")) "}"), "a/b",
            "HIERARCHICAL_ROLE", AGENT_HAS_HIERARCHICAL_ROLE},
        {RESERVE("{" NAME("cpus") SIZE("1") STACK(STATIC("a") "," DYNAMIC("a/b", "p")) "}"), "a/b",
            "RESERVATION_REFINEMENT", AGENT_HAS_RESERVATION_REFINEMENT},
        {RESERVE("{" NAME("disk") SIZE("1") FOR_A VOLUME("v1") "}"), "a",
            "persistent volume cannot be reserved", 0},
        {MOVE("{" NAME("cpus") SIZE("1") "}", "{" NAME("cpus") SIZE("1") FOR_A "}"), "a",
            "'reserve.source' may only be given by operators", 0},
        {MOVE("{" NAME("cpus") SIZE("1") "}", "{" NAME("cpus") SIZE("2") FOR_A "}"), NULL,
            "differ in more than their reservations", 0},
        {MOVE("{" NAME("cpus") SIZE("1") FOR_A "}", "{" NAME("cpus") SIZE("1") FOR_A "}"), NULL,
            "already has the reservations", 0},
        {MOVE("{" NAME("cpus") SIZE("1") STACK(STATIC("a")) "}",
             "{" NAME("cpus") SIZE("1") STACK(DYNAMIC("b", "p")) "}"),
            NULL, "static reservation of 'source' cannot be taken off", 0},
        {MOVE("{" NAME("cpus") SIZE("1") FOR_A "},{" NAME("cpus") SIZE("1") "}",
             "{" NAME("cpus") SIZE("2") STACK(DYNAMIC("b", "p")) "}"),
            NULL, "must each have the same reservations", 0},
        {MOVE("{" NAME("disk") SIZE("10") FOR_A VOLUME("v1") "}",
             "{" NAME("disk") SIZE("10") STACK(DYNAMIC("b", "p")) "}"),
            NULL, "must not have persistent volumes", 0},
        /* UNRESERVE */
        {UNRESERVE("{" NAME("cpus") SIZE("1") "}"), "a", "not dynamically reserved", 0},
        {UNRESERVE("{" NAME("cpus") SIZE("1") STACK(STATIC("a")) "}"), "a",
            "not dynamically reserved", 0},
        {UNRESERVE("{" NAME("disk") SIZE("10") FOR_A VOLUME("v1") "}"), "a",
            "cannot be unreserved directly", 0},
        /* CREATE */
        {CREATE("{" NAME("disk") SIZE("1") FOR_A "}"), "a", "not a persistent volume", 0},
        {CREATE("{" NAME("disk") SIZE("1") VOLUME("n") "}"), "a", "from unreserved resources", 0},
        {CREATE("{" NAME("disk") SIZE("1") FOR_A VOLUME("a/b") "}"), "a", "Persistence ID 'a/b'",
            0},
        {CREATE("{" NAME("disk") SIZE("1") FOR_A VOLUME("v1") "}"), "a",
            "'v1' already exists for role 'a'", 0},
        {CREATE("{" NAME("disk") SIZE("1") FOR_A VOLUME("n") "},{" NAME("disk") SIZE("2")
                 FOR_A VOLUME("n") "}"),
            "a", "'n' already exists", 0},
        {CREATE("{" NAME("disk") SIZE("1") FOR_A ",\"disk\":{\"persistence\":{\"id\":\"n\","
                                                 "\"principal\":\"p\"}}}"),
            "a", "volume.container_path", 0},
        {CREATE("{" NAME("disk") SIZE("1") FOR_A
             ",\"disk\":{\"persistence\":{\"id\":\"n\","
             "\"principal\":\"p\"},\"volume\":{\"container_path\":\"x\",\"mode\":\"RO\"}}}"),
            "a", "mode 'RW'", 0},
        {CREATE("{" NAME("disk") SIZE("1") FOR_A
             ",\"disk\":{\"persistence\":{\"id\":\"n\","
             "\"principal\":\"p\"},\"volume\":{\"container_path\":\"x\",\"mode\":\"RW\","
             "\"host_path\":\"/etc\"}}}"),
            "a", "'host_path' to be unset", 0},
        {CREATE("{" NAME("disk") SIZE("1") FOR_A
             ",\"disk\":{\"persistence\":{\"id\":\"n\"},"
             "\"volume\":{\"container_path\":\"x\",\"mode\":\"RW\"}}}"),
            "a", "The principal of the persistent volume is not set", 0},
        {CREATE("{" NAME("disk") SIZE("1") FOR_A VOLUME_AT("n", BLOCK) "}"), "a",
            "PATH and MOUNT disks only", 0},
        {CREATE("{" NAME("disk") SIZE("1") FOR_A VOLUME("n") ",\"shared\":{}}"), "a",
            "SHARED_RESOURCES", 0},
        {CREATE("{" NAME("disk") SIZE("1") FOR_A VOLUME("n") ",\"revocable\":{}}"), "a",
            "cannot be revocable", 0},
        /* DESTROY */
        {DESTROY("{" NAME("disk") SIZE("50") FOR_A "}"), "a", "not a persistent volume", 0},
        {DESTROY("{" NAME("disk") SIZE("11") FOR_A VOLUME("v1") "}"), "a", "not found", 0},
        {DESTROY("{" NAME("disk") SIZE("5") FOR_A VOLUME("busy") "}"), "a", "'busy' is in use", 0},
        /* GROW_VOLUME, SHRINK_VOLUME */
        {GROW("{" NAME("disk") SIZE("10") FOR_A VOLUME("v1") "}",
             "{" NAME("disk") SIZE("1") FOR_A "}"),
            "a", "RESIZE_VOLUME", AGENT_HAS_RESIZE_VOLUME},
        {GROW("{" NAME("disk") SIZE("10") FOR_A "}", "{" NAME("disk") SIZE("1") FOR_A "}"), "a",
            "'volume' is not a persistent volume", 0},
        {GROW("{" NAME("disk") SIZE("20") FOR_A VOLUME("s1") ",\"shared\":{}}",
             "{" NAME("disk") SIZE("1") FOR_A "}"),
            "a", "shared volume cannot be resized", 0},
        {GROW("{" NAME("disk") SIZE("10") FOR_A VOLUME("v1") PROVIDER "}",
             "{" NAME("disk") SIZE("1") FOR_A PROVIDER "}"),
            "a", "resource provider cannot be resized", 0},
        {GROW("{" NAME("disk") SIZE("7") FOR_A VOLUME_AT("m1", MOUNT) "}",
             "{" NAME("disk") SIZE("30") FOR_A ",\"disk\":{\"source\":{\"type\":\"MOUNT\","
                                               "\"mount\":{\"root\":\"/m\"}}}}"),
            "a", "MOUNT disk cannot be resized", 0},
        {GROW("{" NAME("disk") SIZE("10") FOR_A VOLUME("v1") "}", "{" NAME("disk") SIZE("1") "}"),
            "a", "not of the kind of disk", 0},
        {GROW("{" NAME("disk") SIZE("10") FOR_A VOLUME("v1") "}",
             "{" NAME("disk") SIZE("0") FOR_A "}"),
            "a", "no resources", 0},
        {GROW("{" NAME("disk") SIZE("10") FOR_A VOLUME("v1") "}",
             "{" NAME("disk") SIZE("1") FOR_A VOLUME("v2") "}"),
            "a", "'addition' must not be a persistent volume", 0},
        {SHRINK("{" NAME("disk") SIZE("10") FOR_A VOLUME("v1") "}", "0"), "a", "'subtract'", 0},
        {SHRINK("{" NAME("disk") SIZE("10") FOR_A VOLUME("v1") "}", "10"), "a", "'subtract'", 0},
        {SHRINK("{" NAME("disk") SIZE("10") FOR_A VOLUME("v1") "}", "-1"), "a", "'subtract'", 0},
        {SHRINK("{" NAME("disk") SIZE("10") FOR_A VOLUME("v1") "}", "1e300"), "a", "'subtract'", 0},
        {SHRINK("{" NAME("disk") SIZE("7") FOR_A VOLUME_AT("m1", MOUNT) "}", "1"), "a",
            "MOUNT disk", 0},
        {SHRINK("{" NAME("disk") SIZE("20") FOR_A VOLUME("s1") ",\"shared\":{}}", "1"), "a",
            "shared volume", 0},
        /* Disks of resource providers. */
        {OP("CREATE_DISK", "create_disk",
             "\"target_type\":\"MOUNT\",\"source\":{" NAME("disk") SIZE("1") "}"),
            "a", "not managed by a resource provider", 0},
        {OP("CREATE_DISK", "create_disk",
             "\"target_type\":\"MOUNT\",\"source\":{" NAME("disk") SIZE("1") PROVIDER "}"),
            "a", "not a RAW disk", 0},
        {OP("CREATE_DISK", "create_disk",
             "\"target_type\":\"RAW\",\"source\":{" NAME("disk") SIZE("1") PROVIDER
             ",\"disk\":{\"source\":{\"type\":\"RAW\"}}}"),
            "a", "neither MOUNT nor BLOCK", 0},
        {OP("CREATE_DISK", "create_disk",
             "\"target_type\":\"MOUNT\",\"source\":{" NAME("disk") SIZE("1") PROVIDER
             ",\"disk\":{\"source\":{\"type\":\"RAW\"}}}"),
            "a", "'target_profile' must be set", 0},
        {OP("CREATE_DISK", "create_disk",
             "\"target_type\":\"MOUNT\",\"target_profile\":\"x\",\"source\":{" NAME("disk")
                 SIZE("1") PROVIDER ",\"disk\":{\"source\":{\"type\":\"RAW\"}}}"),
            "a", "Resource provider 'rp' is unknown", 0},
        {OP("DESTROY_DISK", "destroy_disk", "\"source\":{" NAME("disk") SIZE("1") "}"), "a",
            "not managed by a resource provider", 0},
        {OP("DESTROY_DISK", "destroy_disk",
             "\"source\":{" NAME("disk") SIZE("1") PROVIDER
             ",\"disk\":{\"source\":{\"type\":\"RAW\"}}}"),
            "a", "not backed by a volume", 0},
        {OP("DESTROY_DISK", "destroy_disk",
             "\"source\":{" NAME("disk") SIZE("1") PROVIDER
             ",\"disk\":{\"source\":{\"type\":\"BLOCK\",\"id\":\"i\"}}}"),
            "a", "Resource provider 'rp' is unknown", 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err = ERROR_INIT;
        if (validate(cases[i].op, cases[i].role, ALL & ~cases[i].lacks, &err) != -EINVAL)
            fail_msg("accepted %s", cases[i].op);
        if (!strstr(err.msg, cases[i].why))
            fail_msg("%s: '%s' is not '%s'", cases[i].op, err.msg, cases[i].why);
    }
}

/* What is accepted, and what it makes of `from`, which holds it exactly. */
static void converts(void **state)
{
    static const struct {
        const char *op, *role, *from, *to;
    } cases[] = {
        {RESERVE("{" NAME("cpus") SIZE("2") FOR_A "}"), "a", "[{" NAME("cpus") SIZE("2") "}]",
            "[{" NAME("cpus") SIZE("2") FOR_A "}]"},
        /* The old format. */
        {RESERVE("{" NAME("cpus") SIZE("2") ",\"role\":\"a\",\"reservation\":{\"principal\":"
                                            "\"p\"}}"),
            NULL, "[{" NAME("cpus") SIZE("2") "}]", "[{" NAME("cpus") SIZE("2") FOR_A "}]"},
        {RESERVE("{" NAME("cpus") SIZE("2") STACK(STATIC("a") "," DYNAMIC("a/b", "p")) "}"), "a/b",
            "[{" NAME("cpus") SIZE("2") STACK(STATIC("a")) "}]",
            "[{" NAME("cpus") SIZE("2") STACK(STATIC("a") "," DYNAMIC("a/b", "p")) "}]"},
        {MOVE("{" NAME("cpus") SIZE("1") FOR_A "}",
             "{" NAME("cpus") SIZE("1") STACK(DYNAMIC("b", "p")) "}"),
            NULL, "[{" NAME("cpus") SIZE("1") FOR_A "}]",
            "[{" NAME("cpus") SIZE("1") STACK(DYNAMIC("b", "p")) "}]"},
        {MOVE("{" NAME("cpus") SIZE("1") STACK(STATIC("a") "," DYNAMIC("a/c", "x")) "}",
             "{" NAME("cpus") SIZE("1") STACK(STATIC("a") "," DYNAMIC("a/b", "p")) "}"),
            NULL, "[{" NAME("cpus") SIZE("1") STACK(STATIC("a") "," DYNAMIC("a/c", "x")) "}]",
            "[{" NAME("cpus") SIZE("1") STACK(STATIC("a") "," DYNAMIC("a/b", "p")) "}]"},
        {UNRESERVE("{" NAME("cpus") SIZE("2") STACK(STATIC("a") "," DYNAMIC("a/b", "z")) "}"),
            "a/b", "[{" NAME("cpus") SIZE("2") STACK(STATIC("a") "," DYNAMIC("a/b", "z")) "}]",
            "[{" NAME("cpus") SIZE("2") STACK(STATIC("a")) "}]"},
        {CREATE("{" NAME("disk") SIZE("3") FOR_A VOLUME("n") "}"), "a",
            "[{" NAME("disk") SIZE("3") FOR_A "}]",
            "[{" NAME("disk") SIZE("3") FOR_A VOLUME("n") "}]"},
        {CREATE("{" NAME("disk") SIZE("3") FOR_A VOLUME_AT("n", PATH) "}"), NULL,
            "[{" NAME("disk") SIZE("3") FOR_A ",\"disk\":{\"source\":{\"type\":\"PATH\",\"path\":{"
                                              "\"root\":\"/d\"}}}}]",
            "[{" NAME("disk") SIZE("3") FOR_A VOLUME_AT("n", PATH) "}]"},
        {CREATE("{" NAME("disk") SIZE("3") FOR_A VOLUME("n") ",\"shared\":{}}"), NULL,
            "[{" NAME("disk") SIZE("3") FOR_A "}]",
            "[{" NAME("disk") SIZE("3") FOR_A VOLUME("n") ",\"shared\":{}}]"},
        {DESTROY("{" NAME("disk") SIZE("7") FOR_A VOLUME_AT("m1", MOUNT) "}"), "a",
            "[{" NAME("disk") SIZE("7") FOR_A VOLUME_AT("m1", MOUNT) "}]",
            "[{" NAME("disk") SIZE("7") FOR_A ",\"disk\":{\"source\":{\"type\":\"MOUNT\",\"mount\":"
                                              "{\"root\":\"/m\"}}}}]"},
        {DESTROY("{" NAME("disk") SIZE("20") FOR_A VOLUME("s1") ",\"shared\":{}}"), NULL,
            "[{" NAME("disk") SIZE("20") FOR_A VOLUME("s1") ",\"shared\":{}}]",
            "[{" NAME("disk") SIZE("20") FOR_A "}]"},
        {GROW("{" NAME("disk") SIZE("10") FOR_A VOLUME("v1") "}",
             "{" NAME("disk") SIZE("2.5") FOR_A "}"),
            "a",
            "[{" NAME("disk") SIZE("10") FOR_A VOLUME("v1") "},{" NAME("disk") SIZE("2.5") FOR_A
            "}]",
            "[{" NAME("disk") SIZE("12.5") FOR_A VOLUME("v1") "}]"},
        {SHRINK("{" NAME("disk") SIZE("10") FOR_A VOLUME("v1") "}", "2.5"), "a",
            "[{" NAME("disk") SIZE("10") FOR_A VOLUME("v1") "}]",
            "[{" NAME("disk") SIZE("7.5") FOR_A VOLUME("v1") "},{" NAME("disk") SIZE("2.5") FOR_A
            "}]"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err = ERROR_INIT;
        if (validate(cases[i].op, cases[i].role, ALL, &err) < 0)
            fail_msg("%s: %s", cases[i].op, err.msg);
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        Mesos__V1__Offer__Operation *op = operation(cases[i].op, &arena);
        for (int upgraded = 0; upgraded < 2; upgraded++) {
            _cleanup_resources_ struct resources from = RESOURCES_INIT, to = RESOURCES_INIT,
                                                 less = RESOURCES_INIT, less_was = RESOURCES_INIT,
                                                 have = RESOURCES_INIT, want = RESOURCES_INIT;
            resources(cases[i].from, &from);
            resources(cases[i].to, &to);
            resources_allocate(&from, cases[i].role, &have);
            resources_allocate(&to, cases[i].role, &want);
            /* With something missing it does nothing. */
            resources_copy(&less, &have);
            struct resource one = resource_copy(&less.items[0]);
            one.milli = one.kind->unique || one.kind->shared ? one.milli : 1;
            resources_subtract_one(&less, &one);
            resource_done(&one);
            resources_copy(&less_was, &less);
            assert_int_equal(operation_apply(op, cases[i].role, &less, &err), -ENOENT);
            assert_true(resources_equal(&less, &less_was));
            if (operation_apply(op, cases[i].role, &have, &err) < 0)
                fail_msg("%s: %s", cases[i].op, err.msg);
            if (!resources_equal(&have, &want))
                fail_msg("%s gives something else", cases[i].op);
            /* The form changes, never how much there is. */
            _cleanup_resources_ struct resources before = RESOURCES_INIT, after = RESOURCES_INIT;
            resources_to_quantities(&from, &before);
            resources_to_quantities(&have, &after);
            assert_true(resources_equal(&before, &after));
            operation_upgrade(op, cases[i].role, &arena);
        }
    }
}

static void upgrades(void **state)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__Offer__Operation *op = operation(
        GROW("{" NAME("disk") SIZE("10") ",\"role\":\"a\"" VOLUME("v") "}",
            "{" NAME("disk") SIZE("1") ",\"role\":\"a\"" ALLOCATED("c") "}"),
        &arena);
    operation_upgrade(op, "b", &arena);
    const Mesos__V1__Resource *volume = op->grow_volume->volume, *more = op->grow_volume->addition;
    assert_int_equal(volume->n_reservations, 1);
    assert_string_equal(volume->reservations[0]->role, "a");
    assert_string_equal(volume->allocation_info->role, "b");
    assert_int_equal(more->n_reservations, 1);
    assert_string_equal(more->allocation_info->role, "c");
}

static void names_and_states(void **state)
{
    assert_string_equal(
        operation_type_name(MESOS__V1__OFFER__OPERATION__TYPE__GROW_VOLUME), "GROW_VOLUME");
    assert_string_equal(operation_type_name((Mesos__V1__Offer__Operation__Type)99), "UNKNOWN");
    assert_string_equal(
        operation_state_name(MESOS__V1__OPERATION_STATE__OPERATION_DROPPED), "OPERATION_DROPPED");
    static const char *const terminal[] = {"OPERATION_FINISHED", "OPERATION_FAILED",
        "OPERATION_ERROR", "OPERATION_DROPPED", "OPERATION_GONE_BY_OPERATOR"};
    for (int i = 0; i < 10; i++) {
        Mesos__V1__OperationState s = (Mesos__V1__OperationState)i;
        bool listed = false;
        for (size_t k = 0; k < ARRAY_SIZE(terminal); k++)
            listed = listed || streq(terminal[k], operation_state_name(s));
        assert_int_equal(operation_state_is_terminal(s), listed);
    }
    assert_true(operation_is_speculative(MESOS__V1__OFFER__OPERATION__TYPE__DESTROY));
    assert_false(operation_is_speculative(MESOS__V1__OFFER__OPERATION__TYPE__SHRINK_VOLUME));
}

static int no_kinds_left(void **state)
{
    assert_int_equal(resource_kinds_in_use(), 0);
    return 0;
}

int main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, no_kinds_left)
    const struct CMUnitTest tests[] = {
        TEST(refuses), TEST(converts), TEST(upgrades), TEST(names_and_states)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
