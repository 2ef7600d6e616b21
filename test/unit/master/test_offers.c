#include "harness.h"

#include "master/state.h"

/* Registration, offers, fairness, filters. */

static const char CALL_ROLES[] = "{\"type\":\"%s\",\"framework_id\":{\"value\":\"%s\"}}";

static void test_registration_is_durable_first(void **state)
{
    struct harness *h = harness_new(NULL);
    h->hold = true;
    harness_agent_record(h, 1, "{\"hello\":{\"major\":1}}");
    take(h, 1, "hello");
    harness_agent_record(h, 1,
        "{\"register\":{\"agent_info\":{\"hostname\":\"a\",\"resources\":" RES(
            "4", "1000") "},\"version\":\"1\"}}");
    assert_false(pending(h, 1, "registered"));
    h->hold = false;
    harness_pump(h);
    assert_string_equal(str_at(take(h, 1, "registered"), "registered.agent_id.value"), "M1-S0");
    harness_free(h);
}

static void test_links_must_greet(void **state)
{
    struct harness *h = harness_new(NULL);
    harness_agent_record(h, 1, "{\"pong\":{\"sequence\":1}}");
    take(h, 1, "refused");
    assert_true(closed(h, 1));
    harness_agent_record(h, 2, "{\"hello\":{\"major\":99}}");
    take(h, 2, "refused");
    harness_agent_record(h, 3, "{\"hello\":{\"major\":1}}");
    harness_agent_record(h, 3, "{\"pong\":{\"sequence\":1}}");
    take(h, 3, "refused");
    harness_agent_record(h, 4, "{\"hello\":{\"major\":1}}");
    harness_agent_record(h, 4,
        "{\"register\":{\"agent_info\":{\"hostname\":\"a\",\"resources\":[{\"name\":\"cpus\","
        "\"type\":\"SCALAR\",\"scalar\":{\"value\":-1}}]}}}");
    take(h, 4, "refused");
    harness_free(h);
}

static void test_offer_reaches_framework(void **state)
{
    struct harness *h = harness_new(NULL);
    const char *agent = harness_agent(h, 1, "a1", RES("4", "1000"), NULL);
    const char *f = harness_subscribe(h, 10, INFO("f", ""));
    take(h, 10, "HEARTBEAT");
    assert_false(pending(h, 10, "OFFERS"));
    harness_pass(h, 2000);
    const json_t *o = at(take(h, 10, "OFFERS"), "offers.offers.0");
    assert_string_equal(str_at(o, "agent_id.value"), agent);
    assert_string_equal(str_at(o, "framework_id.value"), f);
    assert_string_equal(str_at(o, "hostname"), "a1");
    assert_string_equal(str_at(o, "url.path"), "/slave(1)");
    assert_true(num_at(o, "url.address.port") == 5051);
    assert_true(num_at(o, "resources.0.scalar.value") == 4);
    /* Neither MULTI_ROLE nor RESERVATION_REFINEMENT. */
    assert_false(has_at(o, "allocation_info"));
    assert_false(has_at(o, "resources.0.allocation_info"));
    assert_string_equal(str_at(o, "resources.0.role"), "*");
    harness_pass(h, 60 * SECOND);
    assert_false(pending(h, 10, "OFFERS")); /* all of it is out */
    take(h, 10, "HEARTBEAT");
    harness_free(h);
}

static void test_decline_is_respected(void **state)
{
    struct harness *h = harness_new(NULL);
    harness_agent(h, 1, "a1", RES("4", "1000"), NULL);
    const char *f = harness_subscribe(h, 10, INFO("f", ""));
    harness_pass(h, 2000);
    decline(h, 10, f, str_at(take(h, 10, "OFFERS"), "offers.offers.0.id.value"), 30);
    harness_pass(h, 29 * SECOND);
    assert_false(pending(h, 10, "OFFERS"));
    harness_pass(h, 2 * SECOND);
    const char *offer = str_at(take(h, 10, "OFFERS"), "offers.offers.0.id.value");

    /* Zero seconds: not at once again for who declined, though. */
    decline(h, 10, f, offer, 0);
    harness_pass(h, SECOND / 2);
    assert_false(pending(h, 10, "OFFERS"));
    harness_pass(h, SECOND);
    offer = str_at(take(h, 10, "OFFERS"), "offers.offers.0.id.value");

    /* REVIVE forgets refusals, and within milliseconds. */
    decline(h, 10, f, offer, 3600);
    harness_pass(h, 10 * SECOND);
    assert_false(pending(h, 10, "OFFERS"));
    assert_int_equal(harness_call(h, 10, CALL_ROLES, "REVIVE", f), 202);
    harness_pass(h, 5000);
    take(h, 10, "OFFERS");
    harness_free(h);
}

static void test_nobody_declines_for_others(void **state)
{
    struct harness *h = harness_new(NULL);
    harness_agent(h, 1, "a1", RES("4", "1000"), NULL);
    harness_subscribe(h, 10, INFO("f", ""));
    harness_pass(h, 2000);
    const char *offer = str_at(take(h, 10, "OFFERS"), "offers.offers.0.id.value");
    const char *other = harness_subscribe(h, 11, INFO("g", ""));
    decline(h, 11, other, offer, 3600);
    assert_non_null(map_get(&h->core->offers, offer));
    harness_pass(h, 2000);
    assert_false(pending(h, 11, "OFFERS"));
    harness_free(h);
}

/* An id of the caller's own that is the next one of ours. */
static void test_ids_are_not_given_twice(void **state)
{
    struct harness *h = harness_new(NULL);
    const char *first = harness_subscribe(h, 10, INFO("f", ",\"id\":{\"value\":\"M1-0000\"}"));
    assert_string_equal(first, "M1-0000");
    assert_string_equal(harness_subscribe(h, 11, INFO("g", "")), "M1-0001");
    const char *agent = harness_register(h, 1, "M1-S0", "a1", NULL);
    assert_string_equal(agent, "M1-S0");
    assert_string_equal(harness_agent(h, 2, "a2", RES("4", "1000"), NULL), "M1-S1");
    harness_free(h);
}

/* What would not fit an entry of the store would end the master. */
static void test_descriptions_have_a_limit(void **state)
{
    enum { LARGE = 300 * 1024 };
    struct harness *h = harness_new(NULL);
    char *name = xmalloc(LARGE + 1);
    memset(name, 'x', LARGE);
    name[LARGE] = '\0';
    _cleanup_free_ char *info = xasprintf("{\"user\":\"u\",\"name\":\"%s\"}", name);
    assert_null(harness_subscribe(h, 10, info));
    const char *f = harness_subscribe(h, 11, INFO("f", ""));
    assert_int_equal(harness_call(h, 11,
                         "{\"type\":\"UPDATE_FRAMEWORK\",\"framework_id\":{\"value\":\"%s\"},"
                         "\"update_framework\":{\"framework_info\":{\"user\":\"u\",\"name\":\"%s\","
                         "\"checkpoint\":true,\"id\":{\"value\":\"%s\"}}}}",
                         f, name, f),
        400);
    harness_agent_record(h, 1, "{\"hello\":{\"major\":1}}");
    harness_agent_record(h, 1,
        "{\"register\":{\"agent_info\":{\"hostname\":\"a\",\"resources\":" RES(
            "4", "1000") ",\"attributes\":[{\"name\":\"n\",\"type\":\"TEXT\",\"text\":{\"value\":"
                         "\"%s\"}}]},"
                         "\"version\":\"1\"}}",
        name);
    take(h, 1, "refused");
    free(name);
    harness_free(h);
}

static void test_declined_goes_to_the_next(void **state)
{
    struct harness *h = harness_new(NULL);
    const char *f1 = harness_subscribe(h, 10, INFO("f1", ""));
    harness_subscribe(h, 11, INFO("f2", ""));
    harness_agent(h, 1, "a1", RES("4", "1000"), NULL);
    harness_pass(h, 2000);
    const char *offer = str_at(take(h, 10, "OFFERS"), "offers.offers.0.id.value");
    assert_false(pending(h, 11, "OFFERS"));
    decline(h, 10, f1, offer, 5);
    harness_pass(h, 5000);
    take(h, 11, "OFFERS");
    assert_false(pending(h, 10, "OFFERS"));
    harness_free(h);
}

static void test_suppress(void **state)
{
    struct harness *h = harness_new(NULL);
    const char *f = harness_subscribe(h, 10, INFO("f", ""));
    assert_int_equal(harness_call(h, 10, CALL_ROLES, "SUPPRESS", f), 202);
    harness_agent(h, 1, "a1", RES("4", "1000"), NULL);
    harness_pass(h, 10 * SECOND);
    assert_false(pending(h, 10, "OFFERS"));
    assert_int_equal(harness_call(h, 10, CALL_ROLES, "REVIVE", f), 202);
    harness_pass(h, 5000);
    take(h, 10, "OFFERS");
    harness_free(h);
}

static unsigned offers_of(struct harness *h, uint64_t stream)
{
    unsigned n = 0;
    while (pending(h, stream, "OFFERS"))
        n += (unsigned)json_array_size(at(take(h, stream, "OFFERS"), "offers.offers"));
    return n;
}

static void test_agents_are_shared_fairly(void **state)
{
    struct harness *h = harness_new(NULL);
    harness_subscribe(h, 10, INFO("f1", ""));
    harness_subscribe(h, 11, INFO("f2", ""));
    harness_subscribe(h, 12, INFO("f3", ""));
    char name[16];
    for (uint64_t i = 0; i < 30; i++) {
        snprintf(name, sizeof(name), "a%d", (int)i);
        harness_agent(h, 100 + i, name, RES("4", "1000"), NULL);
    }
    harness_pass(h, 2000);
    assert_int_equal(offers_of(h, 10), 10);
    assert_int_equal(offers_of(h, 11), 10);
    assert_int_equal(offers_of(h, 12), 10);
    harness_free(h);
}

#define MULTI(role)                                                                                \
    ",\"roles\":[\"" role "\"],\"capabilities\":[{\"type\":\"MULTI_ROLE\"},{\"type\":"             \
    "\"RESERVATION_REFINEMENT\"}]"

static void test_roles_come_before_frameworks(void **state)
{
    struct harness *h = harness_new(NULL);
    /* Two frameworks in one role have together what the one of another role has. */
    harness_subscribe(h, 10, INFO("f1", MULTI("eng/web")));
    harness_subscribe(h, 11, INFO("f2", MULTI("eng/db")));
    harness_subscribe(h, 12, INFO("f3", MULTI("ops")));
    char name[16];
    for (uint64_t i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "a%d", (int)i);
        harness_agent(h, 100 + i, name, RES("4", "1000"), NULL);
    }
    harness_pass(h, 2000);
    assert_int_equal(offers_of(h, 10), 5);
    assert_int_equal(offers_of(h, 11), 5);
    assert_int_equal(offers_of(h, 12), 10);
    harness_free(h);
}

static void test_static_reservations(void **state)
{
    struct harness *h = harness_new(NULL);
    const char *mixed = "[{\"name\":\"cpus\",\"type\":\"SCALAR\",\"scalar\":{\"value\":2}},"
                        "{\"name\":\"cpus\",\"type\":\"SCALAR\",\"scalar\":{\"value\":1},\"role\":"
                        "\"slave_public\"},"
                        "{\"name\":\"mem\",\"type\":\"SCALAR\",\"scalar\":{\"value\":500},\"role\":"
                        "\"slave_public\"}]";
    harness_agent(h, 1, "a1", mixed, NULL);
    const char *f1 = harness_subscribe(h, 10, INFO("plain", ""));
    harness_pass(h, 2000);
    const json_t *o = at(take(h, 10, "OFFERS"), "offers.offers.0");
    assert_int_equal(json_array_size(at(o, "resources")), 1);
    assert_true(num_at(o, "resources.0.scalar.value") == 2);
    decline(h, 10, f1, str_at(o, "id.value"), 3600);
    /* The role's framework gets its own and what is for everybody. */
    harness_subscribe(h, 11, INFO("public", ",\"role\":\"slave_public\""));
    harness_pass(h, 5000);
    o = at(take(h, 11, "OFFERS"), "offers.offers.0");
    assert_int_equal(json_array_size(at(o, "resources")), 3);
    assert_string_equal(str_at(o, "resources.1.role"), "slave_public");
    harness_free(h);
}

static void test_multi_role_sees_allocation(void **state)
{
    struct harness *h = harness_new(NULL);
    harness_agent(h, 1, "a1", RES("4", "1000"), NULL);
    harness_subscribe(h, 10, INFO("f", MULTI("dev")));
    harness_pass(h, 2000);
    const json_t *o = at(take(h, 10, "OFFERS"), "offers.offers.0");
    assert_string_equal(str_at(o, "allocation_info.role"), "dev");
    assert_string_equal(str_at(o, "resources.0.allocation_info.role"), "dev");
    assert_false(has_at(o, "resources.0.role"));
    harness_free(h);
}

static void test_constraints(void **state)
{
    struct harness *h = harness_new(NULL);
    static const char rack[] =
        ",\"attributes\":[{\"name\":\"rack\",\"type\":\"TEXT\",\"text\":{\"value\":\"%s\"}}]},"
        "\"version\":\"1\"";
    char extra[200];
    snprintf(extra, sizeof(extra), rack, "r1");
    harness_agent(h, 1, "a1", RES("4", "1000"), extra);
    snprintf(extra, sizeof(extra), rack, "r22");
    harness_agent(h, 2, "a2", RES("4", "1000"), extra);
    harness_agent(h, 3, "a3", RES("4", "1000"), NULL);
    /* The sisters of framework_info follow it. */
    static const char info[] = INFO(
        "f", "") ",\"offer_constraints\":{\"role_constraints\":{\"*\":{\"groups\":[{"
                 "\"attribute_constraints\":[{\"selector\":{\"attribute_name\":\"rack\"},"
                 "\"predicate\":{\"text_matches\":{\"regex\":\"%s\"}}}]}]}}}";
    char text[600];
    snprintf(text, sizeof(text), info, "r[0-9]");
    assert_non_null(harness_subscribe(h, 10, text));
    harness_pass(h, 2000);
    const json_t *offers = at(take(h, 10, "OFFERS"), "offers.offers");
    assert_int_equal(json_array_size(offers), 1);
    assert_string_equal(str_at(offers, "0.hostname"), "a1");
    snprintf(text, sizeof(text), info, "r[");
    assert_null(harness_subscribe(h, 11, text));
    harness_free(h);
}

static void test_offer_timeout(void **state)
{
    struct master_config c;
    master_config_defaults(&c);
    c.offer_timeout_us = 10 * SECOND;
    c.agent_ping_timeout_us = 60 * SECOND;
    struct harness *h = harness_new(&c);
    harness_agent(h, 1, "a1", RES("4", "1000"), NULL);
    harness_subscribe(h, 10, INFO("f", ""));
    harness_pass(h, 2000);
    const json_t *o = at(take(h, 10, "OFFERS"), "offers.offers.0");
    harness_pass(h, 10 * SECOND);
    assert_string_equal(
        str_at(take(h, 10, "RESCIND"), "rescind.offer_id.value"), str_at(o, "id.value"));
    take(h, 10, "OFFERS");
    harness_free(h);
}

static void test_little_is_not_offered(void **state)
{
    struct harness *h = harness_new(NULL);
    harness_agent(h, 1, "a1", RES("0.005", "16"), NULL);
    harness_subscribe(h, 10, INFO("f", ""));
    harness_pass(h, SECOND);
    assert_false(pending(h, 10, "OFFERS"));
    harness_free(h);
}

/* An agent that says its own resources were allocated: they would be offered for ever. */
static void test_agents_do_not_allocate(void **state)
{
    struct harness *h = harness_new(NULL);
    harness_agent(h, 1, "a1",
        "[{\"name\":\"cpus\",\"type\":\"SCALAR\",\"scalar\":{\"value\":4},"
        "\"allocation_info\":{\"role\":\"x\"}}]",
        NULL);
    harness_subscribe(h, 10, INFO("f", ""));
    harness_pass(h, 2000);
    const json_t *o = take(h, 10, "OFFERS");
    assert_int_equal(json_array_size(at(o, "offers.offers")), 1);
    assert_true(num_at(o, "offers.offers.0.resources.0.scalar.value") == 4);
    master_core_check(h->core);
    harness_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registration_is_durable_first),
        cmocka_unit_test(test_links_must_greet),
        cmocka_unit_test(test_offer_reaches_framework),
        cmocka_unit_test(test_decline_is_respected),
        cmocka_unit_test(test_declined_goes_to_the_next),
        cmocka_unit_test(test_suppress),
        cmocka_unit_test(test_agents_are_shared_fairly),
        cmocka_unit_test(test_roles_come_before_frameworks),
        cmocka_unit_test(test_static_reservations),
        cmocka_unit_test(test_multi_role_sees_allocation),
        cmocka_unit_test(test_constraints),
        cmocka_unit_test(test_offer_timeout),
        cmocka_unit_test(test_nobody_declines_for_others),
        cmocka_unit_test(test_ids_are_not_given_twice),
        cmocka_unit_test(test_descriptions_have_a_limit),
        cmocka_unit_test(test_little_is_not_offered),
        cmocka_unit_test(test_agents_do_not_allocate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
