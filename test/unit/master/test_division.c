#include <stdio.h>

#include "harness.h"
#include "master/state.h"

/* How finely operations may divide an agent's resources. */

#define MEM(v) "{\"name\":\"mem\",\"type\":\"SCALAR\",\"scalar\":{\"value\":" v "}}"
#define ROLE_A                                                                                     \
    ",\"principal\":\"p\",\"roles\":[\"a\"],\"capabilities\":[{\"type\":\"MULTI_ROLE\"},{"         \
    "\"type\":\"RESERVATION_REFINEMENT\"}]"
#define CAPABLE                                                                                    \
    "},\"version\":\"1\",\"capabilities\":[{\"type\":\"MULTI_ROLE\"},{\"type\":\"HIERARCHICAL_"    \
    "ROLE\"},{\"type\":\"RESERVATION_REFINEMENT\"},{\"type\":\"RESOURCE_PROVIDER\"},{\"type\":"    \
    "\"AGENT_OPERATION_FEEDBACK\"}]"

struct world {
    struct harness *h;
    const char *framework;
    char offer[80];
};

static void next_offer(struct world *w)
{
    harness_pass(w->h, 5000);
    const json_t *offer = at(take(w->h, 10, "OFFERS"), "offers.offers.0");
    snprintf(w->offer, sizeof(w->offer), "%s", str_at(offer, "id.value"));
}

static void operation(
    struct buf *out, const char *kind, const char *field, int label, const char *id)
{
    buf_printf(out,
        "%s{\"type\":\"%s\"%s%s%s,\"%s\":{\"resources\":[{\"name\":\"mem\",\"type\":\"SCALAR\","
        "\"scalar\":{\"value\":1},\"reservations\":[{\"type\":\"DYNAMIC\",\"role\":\"a\","
        "\"principal\":\"p\",\"labels\":{\"labels\":[{\"key\":\"n\",\"value\":\"%d\"}]}}]}]}}",
        out->n ? "," : "", kind, id ? ",\"id\":{\"value\":\"" : "", id ? id : "", id ? "\"}" : "",
        field, label);
}

static void accept_offer(struct world *w, const struct buf *operations)
{
    _cleanup_buf_ struct buf call = BUF_INIT;
    buf_printf(&call,
        "{\"type\":\"ACCEPT\",\"framework_id\":{\"value\":\"%s\"},\"accept\":{\"offer_ids\":[{"
        "\"value\":\"%s\"}],\"filters\":{\"refuse_seconds\":0},\"operations\":[%s]}}",
        w->framework, w->offer, buf_cstr(operations));
    assert_int_equal(harness_call(w->h, 10, "%s", buf_cstr(&call)), 202);
}

static size_t applied(struct world *w)
{
    size_t n = 0;
    for (; pending(w->h, 1, "apply_operation"); n++)
        (void)take(w->h, 1, "apply_operation");
    return n;
}

static void test_reservations_with_labels_of_their_own(void **state)
{
    (void)state;
    struct master_config config;
    master_config_defaults(&config);
    struct world w = {.h = harness_new(&config)};
    harness_agent(w.h, 1, "a1", "[" MEM("100000") "]", CAPABLE);
    w.framework = xstrdup(harness_subscribe(w.h, 10, INFO("f", ROLE_A)));
    next_offer(&w);

    /* The unreserved rest is one of them. */
    _cleanup_buf_ struct buf many = BUF_INIT;
    for (int i = 0; i < AGENT_RESOURCES_MAX + 50; i++)
        operation(&many, "RESERVE", "reserve", i, NULL);
    operation(&many, "RESERVE", "reserve", AGENT_RESOURCES_MAX + 50, "last");
    accept_offer(&w, &many);
    assert_int_equal(applied(&w), AGENT_RESOURCES_MAX - 1);
    const json_t *event = take(w.h, 10, "UPDATE_OPERATION_STATUS");
    assert_string_equal(str_at(event, "update_operation_status.status.state"), "OPERATION_ERROR");
    assert_non_null(strstr(str_at(event, "update_operation_status.status.message"),
        "Invalid RESERVE Operation: The agent's resources would be 1025 different ones"));

    /* More of what is there already, and less, is no division. */
    next_offer(&w);
    _cleanup_buf_ struct buf more = BUF_INIT;
    operation(&more, "RESERVE", "reserve", 7, NULL);
    operation(&more, "UNRESERVE", "unreserve", 3, NULL);
    operation(&more, "RESERVE", "reserve", 5000, NULL); /* in the place of the one that went */
    operation(&more, "RESERVE", "reserve", 5001, NULL);
    accept_offer(&w, &more);
    assert_int_equal(applied(&w), 3);
    harness_free(w.h);
    free((char *)(uintptr_t)w.framework);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reservations_with_labels_of_their_own)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
