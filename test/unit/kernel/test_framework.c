#include "unit.h"

#include <errno.h>

#include "kernel/framework.h"
#include "wire/codec.h"

static void *parse(const ProtobufCMessageDescriptor *type, struct arena *arena, const char *text)
{
    ProtobufCMessage *m = NULL;
    struct error err = ERROR_INIT;
    if (wire_parse_json(type, arena, text, strlen(text), &m, &err) < 0)
        fail_msg("%s in %s", err.msg, text);
    return m;
}

#define INFO &mesos__v1__framework_info__descriptor
#define MULTI "\"capabilities\":[{\"type\":\"MULTI_ROLE\"}]"

static void validates(void **state)
{
    (void)state;
    static const struct {
        const char *in, *why;
    } cases[] = {
        {"{}", ""},
        {"{\"role\":\"dev\"}", ""},
        {"{" MULTI "}", ""},
        {"{" MULTI ",\"roles\":[\"a\",\"b/c\"]}", ""},
        {"{\"id\":{\"value\":\"\"}}", ""},
        {"{\"failover_timeout\":1e9}", ""},
        {"{" MULTI ",\"role\":\"a\"}",
            "'FrameworkInfo.role' must not be set by a MULTI_ROLE framework"},
        {"{\"roles\":[\"a\"]}",
            "'FrameworkInfo.roles' must not be set without the MULTI_ROLE capability"},
        {"{" MULTI ",\"roles\":[\"a\",\"a\"]}", "'FrameworkInfo.roles' contains 'a' twice"},
        {"{\"role\":\"-a\"}", "role component must not start with '-'"},
        {"{\"id\":{\"value\":\"a/b\"}}",
            "Framework ID 'a/b' is invalid: ID must not contain control characters, '/' or '\\'"},
        {"{\"failover_timeout\":1e10}",
            "'FrameworkInfo.failover_timeout' is not a representable duration"},
        {"{\"offer_filters\":{\"a\":{\"min_allocatable_resources\":{\"quantities\":[{}]}}}}",
            "Invalid offer filters for role 'a': resource quantities must not be empty"},
        {"{\"offer_filters\":{\"a\":{\"min_allocatable_resources\":{\"quantities\":[{"
         "\"quantities\":{"
         "\"cpus\":{\"value\":-1}}}]}}}}",
            "Invalid offer filters for role 'a': quantity of 'cpus' must be finite and not "
            "negative"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        struct error err = ERROR_INIT;
        int r = framework_info_validate(parse(INFO, &arena, cases[i].in), &err);
        assert_string_equal(err.msg, cases[i].why);
        assert_int_equal(r, cases[i].why[0] ? -EINVAL : 0);
    }
}

static void reads(void **state)
{
    (void)state;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    size_t n;
    Mesos__V1__FrameworkInfo *info = parse(INFO, &arena, "{\"failover_timeout\":1.5}");
    assert_string_equal(framework_roles(info, &arena, &n)[0], "*");
    assert_int_equal(n, 1);
    assert_true(framework_has_role(info, "*"));
    assert_int_equal(framework_failover_timeout_us(info), 1500000);
    info = parse(INFO, &arena,
        "{\"roles\":[\"a\",\"b\"],\"capabilities\":[{\"type\":\"MULTI_ROLE\"},{\"type\":"
        "\"UNHEARD\"},{"
        "\"type\":\"PARTITION_AWARE\"}]}");
    assert_int_equal(
        framework_capabilities(info), FRAMEWORK_MULTI_ROLE | FRAMEWORK_PARTITION_AWARE);
    assert_string_equal(framework_roles(info, &arena, &n)[1], "b");
    assert_int_equal(n, 2);
    assert_false(framework_has_role(info, "*"));
    char *suppressed[] = {(char *)(uintptr_t) "a", (char *)(uintptr_t) "c"};
    struct error err = ERROR_INIT;
    assert_int_equal(framework_validate_suppressed(info, suppressed, 1, &err), 0);
    assert_int_equal(framework_validate_suppressed(info, suppressed, 2, &err), -EINVAL);
    assert_string_equal(err.msg, "Suppressed role 'c' is not among the roles of the framework");
}

static void constraints(void **state)
{
    (void)state;
    static const struct {
        const char *in, *why;
    } cases[] = {
        {"{}", NULL},
        {"{\"role_constraints\":{\"a\":{\"groups\":[{\"attribute_constraints\":[{\"selector\":{"
         "\"attribute_name\":\"x\"},\"predicate\":{\"exists\":{}}}]}]}}}",
            NULL},
        {"{\"role_constraints\":{\"b\":{}}}", "the framework is not subscribed to the role"},
        {"{\"role_constraints\":{\"a\":{}}}", "there is no group of constraints"},
        {"{\"role_constraints\":{\"a\":{\"groups\":[{}]}}}", "a group of constraints is empty"},
        {"{\"role_constraints\":{\"a\":{\"groups\":[{\"attribute_constraints\":[{\"selector\":{},"
         "\"predicate\":{\"exists\":{}}}]}]}}}",
            "an attribute constraint has no selector"},
        {"{\"role_constraints\":{\"a\":{\"groups\":[{\"attribute_constraints\":[{\"selector\":{"
         "\"pseudoattribute_type\":\"HOSTNAME\"},\"predicate\":{}}]}]}}}",
            "an attribute constraint must have exactly one predicate"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        struct error err = ERROR_INIT;
        int r = framework_validate_constraints(parse(INFO, &arena, "{\"role\":\"a\"}"),
            parse(&mesos__v1__scheduler__offer_constraints__descriptor, &arena, cases[i].in), &err);
        assert_int_equal(r, cases[i].why ? -EINVAL : 0);
        if (cases[i].why)
            assert_non_null(strstr(err.msg, cases[i].why));
    }
}

static void updates(void **state)
{
    (void)state;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__FrameworkInfo *old = parse(INFO, &arena, "{\"user\":\"u\",\"principal\":\"p\"}");
    assert_int_equal(
        framework_validate_update(old,
            parse(INFO, &arena,
                "{\"user\":\"u\",\"principal\":\"p\",\"checkpoint\":false,\"name\":\"n\"}"),
            NULL),
        0);
    static const char *const bad[] = {"{\"user\":\"u\"}", "{\"user\":\"v\",\"principal\":\"p\"}",
        "{\"user\":\"u\",\"principal\":\"p\",\"checkpoint\":true}"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(
            framework_validate_update(old, parse(INFO, &arena, bad[i]), NULL), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(validates), cmocka_unit_test(reads),
        cmocka_unit_test(constraints), cmocka_unit_test(updates)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
