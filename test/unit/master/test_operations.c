#include "harness.h"

#include <errno.h>
#include <stdio.h>

#include "auth/authorizer.h"
#include "wire/codec.h"

/* Reservations, volumes, and what frameworks hear of them. */

#define CPUS(v) "\"name\":\"cpus\",\"type\":\"SCALAR\",\"scalar\":{\"value\":" v "}"
#define MEM(v) "\"name\":\"mem\",\"type\":\"SCALAR\",\"scalar\":{\"value\":" v "}"
#define DISK(v) "\"name\":\"disk\",\"type\":\"SCALAR\",\"scalar\":{\"value\":" v "}"
#define FOR_A ",\"reservations\":[{\"type\":\"DYNAMIC\",\"role\":\"a\",\"principal\":\"p\"}]"
#define VOLUME(id)                                                                                 \
    ",\"disk\":{\"persistence\":{\"id\":\"" id "\",\"principal\":\"p\"},\"volume\":{"              \
    "\"container_path\":\"data\",\"mode\":\"RW\"}}"
#define SHARED ",\"shared\":{}"
#define ID(id) ",\"id\":{\"value\":\"" id "\"}"

#define RESERVE(list, more) "{\"type\":\"RESERVE\",\"reserve\":{\"resources\":[" list "]}" more "}"
#define UNRESERVE(list, more)                                                                      \
    "{\"type\":\"UNRESERVE\",\"unreserve\":{\"resources\":[" list "]}" more "}"
#define CREATE(list, more) "{\"type\":\"CREATE\",\"create\":{\"volumes\":[" list "]}" more "}"
#define DESTROY(list, more) "{\"type\":\"DESTROY\",\"destroy\":{\"volumes\":[" list "]}" more "}"
#define GROW(volume, more_disk, more)                                                              \
    "{\"type\":\"GROW_VOLUME\",\"grow_volume\":{\"volume\":" volume ",\"addition\":" more_disk     \
    "}" more "}"
#define SHRINK(volume, less, more)                                                                 \
    "{\"type\":\"SHRINK_VOLUME\",\"shrink_volume\":{\"volume\":" volume                            \
    ",\"subtract\":{\"value\":" less "}}" more "}"
#define TASK(id, resources)                                                                        \
    "{\"name\":\"t\",\"task_id\":{\"value\":\"" id "\"},\"agent_id\":{\"value\":\"M1-S0\"},"       \
    "\"command\":{\"value\":\"true\"},\"resources\":[" resources "]}"
#define LAUNCH(tasks) "{\"type\":\"LAUNCH\",\"launch\":{\"task_infos\":[" tasks "]}}"

#define ROLE_A                                                                                     \
    ",\"principal\":\"p\",\"roles\":[\"a\"],\"capabilities\":[{\"type\":\"MULTI_ROLE\"},{"         \
    "\"type\":\"RESERVATION_REFINEMENT\"},{\"type\":\"SHARED_RESOURCES\"},{\"type\":"              \
    "\"PARTITION_AWARE\"}]"
#define CAPABILITY(c) "{\"type\":\"" c "\"}"
#define CAPABILITIES                                                                                                                   \
    "\"capabilities\":[" CAPABILITY("MULTI_ROLE") "," CAPABILITY("AGENT_DRAINING") "," CAPABILITY("HIERARCHICAL_ROLE") "," CAPABILITY( \
        "RESERVATION_REFINEMENT") "," CAPABILITY("RESOURCE_PROVIDER") "," CAPABILITY("RESIZE_"                                         \
                                                                                     "VOLUME") "," CAPABILITY("AGENT_OPERATION_FEEDBACK") "]"
#define CAPABLE "},\"version\":\"1\"," CAPABILITIES
#define TOTAL "[{" CPUS("4") "},{" MEM("1000") "},{" DISK("100") "}]"

struct world {
    struct harness *h;
    char *framework, *agent;
    char offer[80];
};

/* The next offer of the framework on stream 10. */
static const json_t *next_offer(struct world *w)
{
    harness_pass(w->h, 5000);
    const json_t *offer = at(take(w->h, 10, "OFFERS"), "offers.offers.0");
    snprintf(w->offer, sizeof(w->offer), "%s", str_at(offer, "id.value"));
    return offer;
}

static struct world world_with(const char *agent_extra, const struct authorizer *authorizer)
{
    struct master_config config;
    master_config_defaults(&config);
    config.authorizer = authorizer;
    struct world w = {.h = harness_new(&config)};
    w.agent = xstrdup(harness_agent(w.h, 1, "a1", TOTAL, agent_extra));
    w.framework = xstrdup(harness_subscribe(w.h, 10, INFO("f", ROLE_A)));
    next_offer(&w);
    return w;
}

static struct world world(const char *agent_extra)
{
    return world_with(agent_extra, NULL);
}

static void world_done(struct world *w)
{
    harness_free(w->h);
    free(w->framework);
    free(w->agent);
}

static void accept_offer(struct world *w, const char *operations)
{
    assert_int_equal(
        harness_call(w->h, 10,
            "{\"type\":\"ACCEPT\",\"framework_id\":{\"value\":\"%s\"},\"accept\":{\"offer_ids\":[{"
            "\"value\":\"%s\"}],\"filters\":{\"refuse_seconds\":0},\"operations\":[%s]}}",
            w->framework, w->offer, operations),
        202);
}

static const char *hex_uuid(const json_t *apply)
{
    return str_at(apply, "apply_operation.operation_uuid");
}

static void operation_update(
    struct world *w, uint64_t link, const char *uuid, const char *state, const char *status_uuid)
{
    char with_uuid[80] = "";
    if (status_uuid)
        snprintf(with_uuid, sizeof(with_uuid), ",\"uuid\":{\"value\":\"%s\"}", status_uuid);
    harness_agent_record(w->h, link,
        "{\"operation_update\":{\"framework_id\":{\"value\":\"%s\"},\"operation_uuid\":\"%s\","
        "\"status\":{\"state\":\"%s\"%s}}}",
        w->framework, uuid, state, with_uuid);
}

static const char *state_of(const json_t *event)
{
    return str_at(event, "update_operation_status.status.state");
}

static const json_t *reconcile(struct world *w, const char *id, const char *agent)
{
    char with_agent[120] = "";
    if (agent)
        snprintf(with_agent, sizeof(with_agent), ",\"agent_id\":{\"value\":\"%s\"}", agent);
    assert_int_equal(harness_call(w->h, 10,
                         "{\"type\":\"RECONCILE_OPERATIONS\",\"framework_id\":{\"value\":\"%s\"},"
                         "\"reconcile_operations\":{\"operations\":[{\"operation_id\":{\"value\":"
                         "\"%s\"}%s}]}}",
                         w->framework, id, with_agent),
        202);
    return take(w->h, 10, "UPDATE_OPERATION_STATUS");
}

static void acknowledge_operation(struct world *w, const char *id, const char *uuid)
{
    assert_int_equal(
        harness_call(w->h, 10,
            "{\"type\":\"ACKNOWLEDGE_OPERATION_STATUS\",\"framework_id\":{\"value\":\"%s\"},"
            "\"acknowledge_operation_status\":{\"agent_id\":{\"value\":\"%s\"},\"operation_id\":{"
            "\"value\":\"%s\"},\"uuid\":\"%s\"}}",
            w->framework, w->agent, id, uuid),
        202);
}

/* How much of the name with this role and persistence id is in a list of the wire form. */
static double amount(const json_t *list, const char *name, const char *role, const char *volume)
{
    double sum = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *r = json_array_get(list, i);
        size_t depth = json_array_size(json_object_get(r, "reservations"));
        const char *its = depth ? json_str_at(
                                      json_array_get(json_object_get(r, "reservations"), depth - 1),
                                      "role", NULL)
                                : "*";
        const char *id = has_at(r, "disk.persistence.id") ? str_at(r, "disk.persistence.id") : NULL;
        if (streq(str_at(r, "name"), name) && streq(its, role) && streq(id, volume))
            sum += num_at(r, "scalar.value");
    }
    return sum;
}

static double offered(const json_t *offer, const char *name, const char *role, const char *volume)
{
    return amount(at(offer, "resources"), name, role, volume);
}

static void check_amount(double have, double want, int line)
{
    if (have < want - 0.0005 || have > want + 0.0005)
        fail_msg("line %d: %g instead of %g", line, have, want);
}
#define assert_amount(have, want) check_amount((have), (want), __LINE__)

/* ---- applying ---- */

static void test_results_are_used_in_the_same_call(void **state)
{
    struct world w = world(CAPABLE);
    accept_offer(&w,
        RESERVE("{" CPUS("1") FOR_A "},{" MEM("100") FOR_A "},{" DISK("10") FOR_A "}",
            "") "," CREATE("{" DISK("10") FOR_A VOLUME("v1") "}", "") "," LAUNCH(TASK("t1",
            "{" CPUS("1") FOR_A "},{" MEM("100") FOR_A "},{" DISK("10") FOR_A VOLUME("v1") "}")));
    const json_t *first = take(w.h, 1, "apply_operation");
    assert_string_equal(str_at(first, "apply_operation.info.type"), "RESERVE");
    assert_string_equal(
        str_at(first, "apply_operation.info.reserve.resources.0.allocation_info.role"), "a");
    assert_string_equal(str_at(first, "apply_operation.framework_id.value"), w.framework);
    const json_t *second = take(w.h, 1, "apply_operation");
    assert_string_equal(str_at(second, "apply_operation.info.type"), "CREATE");
    assert_string_not_equal(hex_uuid(first), hex_uuid(second));
    assert_int_equal(strlen(hex_uuid(first)), 24); /* 16 bytes */
    take(w.h, 1, "run_task");
    assert_false(pending(w.h, 10, "UPDATE"));
    const json_t *offer = next_offer(&w);
    assert_amount(offered(offer, "cpus", "*", NULL), 3);
    assert_amount(offered(offer, "cpus", "a", NULL), 0);
    assert_amount(offered(offer, "disk", "*", NULL), 90);
    assert_false(pending(w.h, 10, "UPDATE_OPERATION_STATUS")); /* no id was given */
    world_done(&w);
}

static void test_what_was_made_is_not_declined(void **state)
{
    struct world w = world(CAPABLE);
    assert_int_equal(
        harness_call(w.h, 10,
            "{\"type\":\"ACCEPT\",\"framework_id\":{\"value\":\"%s\"},\"accept\":{\"offer_ids\":[{"
            "\"value\":\"%s\"}],\"filters\":{\"refuse_seconds\":3600},\"operations\":[%s]}}",
            w.framework, w.offer, RESERVE("{" CPUS("1") FOR_A "},{" DISK("10") FOR_A "}", "")),
        202);
    /* More than what the filter holds back: offered at once. */
    const json_t *offer = next_offer(&w);
    assert_amount(offered(offer, "cpus", "a", NULL), 1);
    assert_amount(offered(offer, "disk", "a", NULL), 10);
    assert_amount(offered(offer, "cpus", "*", NULL), 3);

    accept_offer(&w, UNRESERVE("{" CPUS("0.5") FOR_A "}", ""));
    offer = next_offer(&w);
    assert_amount(offered(offer, "cpus", "a", NULL), 0.5);
    assert_amount(offered(offer, "cpus", "*", NULL), 3.5);
    world_done(&w);
}

static void test_resized_volumes_come_with_the_next_offer(void **state)
{
    struct world w = world(CAPABLE);
    accept_offer(&w, RESERVE("{" DISK("20") FOR_A "}", "") "," CREATE(
                         "{" DISK("10") FOR_A VOLUME("v1") "}", ""));
    next_offer(&w);
    /* The grown volume cannot be shrunk by the same call. */
    accept_offer(&w, GROW("{" DISK("10") FOR_A VOLUME("v1") "}", "{" DISK("5") FOR_A "}",
                         "") "," SHRINK("{" DISK("15") FOR_A VOLUME("v1") "}", "1", ID("o1")));
    const json_t *event = take(w.h, 10, "UPDATE_OPERATION_STATUS");
    assert_string_equal(state_of(event), "OPERATION_ERROR");
    const json_t *offer = next_offer(&w);
    assert_amount(offered(offer, "disk", "a", "v1"), 15);
    assert_amount(offered(offer, "disk", "a", NULL), 5);
    accept_offer(&w, SHRINK("{" DISK("15") FOR_A VOLUME("v1") "}", "11.5", ""));
    offer = next_offer(&w);
    assert_amount(offered(offer, "disk", "a", "v1"), 3.5);
    assert_amount(offered(offer, "disk", "a", NULL), 16.5);
    accept_offer(&w, DESTROY("{" DISK("3.5") FOR_A VOLUME("v1") "}", ""));
    assert_amount(offered(next_offer(&w), "disk", "a", NULL), 20);
    world_done(&w);
}

/* ---- refusals ---- */

static void test_refusals(void **state)
{
    static const struct {
        const char *op, *why;
    } cases[] = {
        {"{\"type\":\"RESERVE\"" ID("o") "}", "Expecting 'reserve'"},
        {RESERVE("{" CPUS("-1") FOR_A "}", ID("o")), "negative"},
        {RESERVE("{" CPUS("1") "}", ID("o")), "not dynamically reserved"},
        {RESERVE("{" CPUS("5") FOR_A "}", ID("o")), "does not contain"},
        {RESERVE("{" CPUS("1") ",\"reservations\":[{\"type\":\"DYNAMIC\",\"role\":\"b\","
                               "\"principal\":\"p\"}]}",
             ID("o")),
            "cannot be reserved for role 'b'"},
        {RESERVE("{" CPUS("1") ",\"reservations\":[{\"type\":\"DYNAMIC\",\"role\":\"a\","
                               "\"principal\":\"q\"}]}",
             ID("o")),
            "principal 'q'"},
        {RESERVE("{" CPUS("1") FOR_A ",\"allocation_info\":{\"role\":\"b\"}}", ID("o")),
            "allocated to role 'b'"},
        {"{\"type\":\"RESERVE\",\"reserve\":{\"source\":[{" CPUS("1") "}],\"resources\":[{" CPUS(
             "1") FOR_A "}]}" ID("o") "}",
            "'reserve.source'"},
        {UNRESERVE("{" CPUS("1") FOR_A "}", ID("o")), "does not contain"},
        {UNRESERVE("{" CPUS("1") "}", ID("o")), "not dynamically reserved"},
        {CREATE("{" DISK("1") FOR_A VOLUME("v") "}", ID("o")), "does not contain"},
        {CREATE("{" DISK("1") VOLUME("v") "}", ID("o")), "from unreserved"},
        {DESTROY("{" DISK("1") FOR_A VOLUME("v") "}", ID("o")), "not found"},
        {GROW("{" DISK("1") FOR_A VOLUME("v") "}", "{" DISK("1") FOR_A "}", ID("o")),
            "does not contain"},
        {SHRINK("{" DISK("2") FOR_A VOLUME("v") "}", "1", ID("o")), "does not contain"},
        {SHRINK("{" DISK("2") FOR_A VOLUME("v") "}", "2", ID("o")), "'subtract'"},
        {"{\"type\":\"CREATE_DISK\",\"create_disk\":{\"target_type\":\"MOUNT\",\"source\":{" DISK(
             "1") "}}" ID("o") "}",
            "not managed by a resource provider"},
        {"{\"type\":\"DESTROY_DISK\",\"destroy_disk\":{\"source\":{" DISK("1") "}}" ID("o") "}",
            "not managed by a resource provider"},
        {RESERVE("{" CPUS("1") FOR_A "}", ID("a/b")), "Operation ID is invalid"},
    };
    struct world w = world(CAPABLE);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        accept_offer(&w, cases[i].op);
        if (!pending(w.h, 10, "UPDATE_OPERATION_STATUS"))
            fail_msg("no answer to %s", cases[i].op);
        const json_t *event = take(w.h, 10, "UPDATE_OPERATION_STATUS");
        const json_t *status = at(event, "update_operation_status.status");
        assert_string_equal(str_at(status, "state"), "OPERATION_ERROR");
        if (!strstr(str_at(status, "message"), cases[i].why))
            fail_msg("%s: %s", cases[i].op, str_at(status, "message"));
        assert_false(has_at(status, "uuid"));
        assert_false(has_at(status, "agent_id"));
        assert_false(pending(w.h, 1, "apply_operation"));
        const json_t *offer = next_offer(&w);
        assert_amount(offered(offer, "cpus", "*", NULL), 4);
        assert_amount(offered(offer, "disk", "*", NULL), 100);
    }
    /* Without an id nobody is told. */
    accept_offer(&w, RESERVE("{" CPUS("5") FOR_A "}", ""));
    assert_false(pending(w.h, 10, "UPDATE_OPERATION_STATUS"));
    assert_false(pending(w.h, 1, "apply_operation"));
    world_done(&w);
}

static void test_a_failed_operation_does_not_stop_the_next(void **state)
{
    struct world w = world(CAPABLE);
    accept_offer(&w, RESERVE("{" CPUS("9") FOR_A "}", ID("o1")) "," RESERVE("{" CPUS("1") FOR_A "}",
                         "") "," LAUNCH(TASK("t", "{" CPUS("2") FOR_A "}")));
    assert_string_equal(state_of(take(w.h, 10, "UPDATE_OPERATION_STATUS")), "OPERATION_ERROR");
    take(w.h, 1, "apply_operation");
    /* The task lacks what the refused operation would have made. */
    assert_string_equal(str_at(take(w.h, 10, "UPDATE"), "update.status.state"), "TASK_ERROR");
    world_done(&w);
}

static void test_feedback_needs_an_agent_that_gives_it(void **state)
{
    static const char *const lacking[] = {
        "},\"version\":\"1\"",
        "},\"version\":\"1\",\"capabilities\":[" CAPABILITY("RESOURCE_PROVIDER") "]",
        "},\"version\":\"1\",\"capabilities\":[" CAPABILITY("AGENT_OPERATION_FEEDBACK") "]",
    };
    for (size_t i = 0; i < ARRAY_SIZE(lacking); i++) {
        struct world w = {.h = harness_new(NULL)};
        w.agent = xstrdup(harness_agent(w.h, 1, "a1", TOTAL, lacking[i]));
        w.framework = xstrdup(
            harness_subscribe(w.h, 10, INFO("f", ",\"role\":\"a\",\"principal\":\"p\"")));
        next_offer(&w);
        accept_offer(&w, RESERVE("{" CPUS("1") FOR_A "}", ID("o")));
        const json_t *event = take(w.h, 10, "UPDATE_OPERATION_STATUS");
        assert_string_equal(state_of(event), "OPERATION_ERROR");
        assert_false(pending(w.h, 1, "apply_operation"));
        next_offer(&w);
        accept_offer(&w, RESERVE("{" CPUS("1") FOR_A "}", ""));
        take(w.h, 1, "apply_operation");
        world_done(&w);
    }
}

/* Each kind of operation is asked about by itself; "p" may do all but what the case takes away. */
static void test_authorization(void **state)
{
    static const struct {
        const char *acl, *object, *op, *why;
    } cases[] = {
        {"reserve_resources", "roles", RESERVE("{" CPUS("1") FOR_A "}", ID("o")),
            "Not authorized to reserve resources as 'p'"},
        {"unreserve_resources", "reserver_principals", UNRESERVE("{" DISK("10") FOR_A "}", ID("o")),
            "Not authorized to unreserve resources as 'p'"},
        {"create_volumes", "roles", CREATE("{" DISK("10") FOR_A VOLUME("v2") "}", ID("o")),
            "Not authorized to create persistent volumes as 'p'"},
        {"destroy_volumes", "creator_principals",
            DESTROY("{" DISK("10") FOR_A VOLUME("v1") "}", ID("o")),
            "Not authorized to destroy persistent volumes as 'p'"},
        {"resize_volumes", "roles",
            GROW("{" DISK("10") FOR_A VOLUME("v1") "}", "{" DISK("1") FOR_A "}", ID("o")),
            "Not authorized to grow the volume as 'p'"},
        {"resize_volumes", "roles", SHRINK("{" DISK("10") FOR_A VOLUME("v1") "}", "1", ID("o")),
            "Not authorized to shrink the volume as 'p'"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char rules[300];
        snprintf(rules, sizeof(rules),
            "{\"permissive\":true,\"%s\":[{\"principals\":{\"values\":[\"p\"]},\"%s\":{\"type\":"
            "\"NONE\"}}]}",
            cases[i].acl, cases[i].object);
        struct error err = ERROR_INIT;
        _cleanup_(authorizer_freep)
        struct authorizer *authorizer = NULL;
        if (authorizer_new(rules, strlen(rules), &authorizer, &err) < 0)
            fail_msg("%s: %s", rules, err.msg);
        struct world w = world_with(CAPABLE, authorizer);
        harness_agent_record(w.h, 1,
            "{\"resources\":{\"total\":[{" CPUS("4") "},{" MEM("1000") "},{" DISK("50") "},{" DISK(
                "40") FOR_A "},{" DISK("10") FOR_A VOLUME("v1") "}]}}");
        next_offer(&w);
        accept_offer(&w, cases[i].op);
        const json_t *event = take(w.h, 10, "UPDATE_OPERATION_STATUS");
        assert_string_equal(state_of(event), "OPERATION_ERROR");
        assert_string_equal(str_at(event, "update_operation_status.status.message"), cases[i].why);
        assert_false(pending(w.h, 1, "apply_operation"));
        world_done(&w);
    }
}

static void test_updates_need_leave_for_roles(void **state)
{
    static const char rules[] = "{\"permissive\":false,\"register_frameworks\":[{\"principals\":{"
                                "\"type\":\"ANY\"},\"roles\":"
                                "{\"values\":[\"a\"]}}]}";
    struct error err = ERROR_INIT;
    _cleanup_(authorizer_freep)
    struct authorizer *authorizer = NULL;
    assert_int_equal(authorizer_new(rules, strlen(rules), &authorizer, &err), 0);
    struct master_config config;
    master_config_defaults(&config);
    config.authorizer = authorizer;
    struct harness *h = harness_new(&config);
    static const char info[] = "{\"user\":\"u\",\"name\":\"f\",\"roles\":[%s],\"capabilities\":[{"
                               "\"type\":\"MULTI_ROLE\"}]%s}";
    static const char call[] =
        "{\"type\":\"UPDATE_FRAMEWORK\",\"framework_id\":{\"value\":\"M1-0000\"},"
        "\"update_framework\":{\"framework_info\":%s}}";
    char text[300];
    snprintf(text, sizeof(text), info, "\"a\"", "");
    assert_non_null(harness_subscribe(h, 10, text));
    snprintf(text, sizeof(text), info, "\"a\",\"b\"", ",\"id\":{\"value\":\"M1-0000\"}");
    assert_int_equal(harness_call(h, 10, call, text), 403);
    snprintf(text, sizeof(text), info, "\"a\"", ",\"id\":{\"value\":\"M1-0000\"}");
    assert_int_equal(harness_call(h, 10, call, text), 200);
    harness_free(h);
}

static void test_launch_has_no_operation_id(void **state)
{
    struct world w = world(CAPABLE);
    accept_offer(&w, "{\"type\":\"LAUNCH\"" ID("o") ",\"launch\":{\"task_infos\":[" TASK(
                         "t1", "{" CPUS("1") "}") "," TASK("t2", "{" CPUS("1") "}") "]}}");
    for (int i = 0; i < 2; i++) {
        const json_t *status = at(take(w.h, 10, "UPDATE"), "update.status");
        assert_string_equal(str_at(status, "state"), "TASK_ERROR");
        assert_string_equal(str_at(status, "reason"), "REASON_TASK_INVALID");
    }
    /* A malformed resource spoils all tasks of the operation. */
    next_offer(&w);
    accept_offer(&w, LAUNCH(TASK("t1", "{" CPUS("1") "}") "," TASK("t2", "{" CPUS("-1") "}")));
    for (int i = 0; i < 2; i++)
        assert_string_equal(str_at(take(w.h, 10, "UPDATE"), "update.status.state"), "TASK_ERROR");
    assert_false(pending(w.h, 1, "run_task"));
    world_done(&w);
}

static void test_void_offers(void **state)
{
    struct world w = world(CAPABLE);
    snprintf(w.offer, sizeof(w.offer), "gone");
    accept_offer(
        &w, RESERVE("{" CPUS("1") FOR_A "}", ID("o1")) "," RESERVE("{" CPUS("1") FOR_A "}", ""));
    assert_string_equal(state_of(take(w.h, 10, "UPDATE_OPERATION_STATUS")), "OPERATION_ERROR");
    assert_false(pending(w.h, 10, "UPDATE_OPERATION_STATUS"));
    assert_false(pending(w.h, 1, "apply_operation"));
    world_done(&w);
}

/* ---- feedback ---- */

static void test_feedback(void **state)
{
    struct world w = world(CAPABLE);
    accept_offer(&w, RESERVE("{" CPUS("1") FOR_A "}", ID("o1")));
    char *uuid = xstrdup(hex_uuid(take(w.h, 1, "apply_operation")));
    assert_string_equal(state_of(reconcile(&w, "o1", NULL)), "OPERATION_PENDING");

    /* An id that is in use. */
    next_offer(&w);
    accept_offer(&w, RESERVE("{" CPUS("1") FOR_A "}", ID("o1")));
    assert_string_equal(state_of(take(w.h, 10, "UPDATE_OPERATION_STATUS")), "OPERATION_ERROR");

    operation_update(&w, 1, uuid, "OPERATION_FINISHED", UUID1);
    const json_t *status = at(
        take(w.h, 10, "UPDATE_OPERATION_STATUS"), "update_operation_status.status");
    assert_string_equal(str_at(status, "state"), "OPERATION_FINISHED");
    assert_string_equal(str_at(status, "operation_id.value"), "o1");
    assert_string_equal(str_at(status, "uuid.value"), UUID1);
    assert_string_equal(str_at(status, "agent_id.value"), w.agent);
    assert_false(pending(w.h, 1, "acknowledge_operation"));

    /* It comes again until it is acknowledged; a wrong acknowledgement is none. */
    operation_update(&w, 1, uuid, "OPERATION_FINISHED", UUID1);
    take(w.h, 10, "UPDATE_OPERATION_STATUS");
    acknowledge_operation(&w, "o1", UUID2);
    acknowledge_operation(&w, "o2", UUID1);
    assert_false(pending(w.h, 1, "acknowledge_operation"));
    status = reconcile(&w, "o1", NULL);
    assert_string_equal(state_of(status), "OPERATION_FINISHED");
    assert_false(has_at(status, "update_operation_status.status.uuid"));
    /* Implicit: all that are known. */
    harness_call(w.h, 10,
        "{\"type\":\"RECONCILE_OPERATIONS\",\"framework_id\":{\"value\":\"%s\"},"
        "\"reconcile_operations\":{}}",
        w.framework);
    assert_string_equal(state_of(take(w.h, 10, "UPDATE_OPERATION_STATUS")), "OPERATION_FINISHED");
    assert_false(pending(w.h, 10, "UPDATE_OPERATION_STATUS"));

    acknowledge_operation(&w, "o1", UUID1);
    const json_t *ack = take(w.h, 1, "acknowledge_operation");
    assert_string_equal(str_at(ack, "acknowledge_operation.operation_uuid"), uuid);
    assert_string_equal(str_at(ack, "acknowledge_operation.status_uuid"), UUID1);
    assert_string_equal(state_of(reconcile(&w, "o1", w.agent)), "OPERATION_UNKNOWN");
    free(uuid);
    world_done(&w);
}

static void test_without_id_the_master_settles(void **state)
{
    struct world w = world(CAPABLE);
    accept_offer(&w, RESERVE("{" CPUS("1") FOR_A "}", ""));
    char *uuid = xstrdup(hex_uuid(take(w.h, 1, "apply_operation")));
    operation_update(&w, 1, uuid, "OPERATION_FINISHED", UUID1);
    assert_false(pending(w.h, 10, "UPDATE_OPERATION_STATUS"));
    take(w.h, 1, "acknowledge_operation");
    /* It is forgotten: another word of it is acknowledged blindly. */
    operation_update(&w, 1, uuid, "OPERATION_FINISHED", UUID2);
    take(w.h, 1, "acknowledge_operation");
    free(uuid);
    world_done(&w);
}

static void test_removed_framework(void **state)
{
    struct world w = world(CAPABLE);
    accept_offer(&w,
        RESERVE("{" CPUS("1") FOR_A "}", ID("o1")) "," RESERVE("{" CPUS("1") FOR_A "}", ID("o2")));
    char *first = xstrdup(hex_uuid(take(w.h, 1, "apply_operation")));
    char *second = xstrdup(hex_uuid(take(w.h, 1, "apply_operation")));
    operation_update(&w, 1, first, "OPERATION_FINISHED", UUID1);
    assert_int_equal(master_core_teardown(w.h->core, w.framework, w.h->now, NULL), 0);
    harness_pump(w.h);
    /* What was reported is acknowledged for it, and what comes later. */
    assert_string_equal(
        str_at(take(w.h, 1, "acknowledge_operation"), "acknowledge_operation.operation_uuid"),
        first);
    operation_update(&w, 1, second, "OPERATION_FINISHED", UUID2);
    assert_string_equal(
        str_at(take(w.h, 1, "acknowledge_operation"), "acknowledge_operation.operation_uuid"),
        second);
    free(first);
    free(second);
    world_done(&w);
}

/* ---- the agent's word ---- */

static void test_a_failure_is_undone(void **state)
{
    struct world w = world(CAPABLE);
    accept_offer(&w, RESERVE("{" CPUS("1") FOR_A "}", ID("o1")));
    char *uuid = xstrdup(hex_uuid(take(w.h, 1, "apply_operation")));
    assert_amount(offered(next_offer(&w), "cpus", "a", NULL), 1);
    operation_update(&w, 1, uuid, "OPERATION_FAILED", UUID1);
    assert_string_equal(state_of(take(w.h, 10, "UPDATE_OPERATION_STATUS")), "OPERATION_FAILED");
    harness_agent_record(w.h, 1, "{\"resources\":{\"total\":" TOTAL "}}");
    take(w.h, 10, "RESCIND");
    const json_t *offer = next_offer(&w);
    assert_amount(offered(offer, "cpus", "a", NULL), 0);
    assert_amount(offered(offer, "cpus", "*", NULL), 4);
    free(uuid);
    world_done(&w);
}

static void test_totals_and_operations_cross(void **state)
{
    struct world w = world(CAPABLE);
    accept_offer(&w, RESERVE("{" CPUS("1") FOR_A "}", "") "," RESERVE("{" MEM("10") FOR_A "}", ""));
    char *uuid = xstrdup(hex_uuid(take(w.h, 1, "apply_operation")));
    /* The agent applied the first and grew; the second is on its way. */
    operation_update(&w, 1, uuid, "OPERATION_FINISHED", NULL);
    harness_agent_record(w.h, 1,
        "{\"resources\":{\"total\":[{" CPUS("7") "},{" CPUS("1") FOR_A
        "},{" MEM("1000") "},{" DISK("100") "}]}}");
    const json_t *offer = next_offer(&w);
    assert_amount(offered(offer, "cpus", "*", NULL), 7);
    assert_amount(offered(offer, "cpus", "a", NULL), 1);
    assert_amount(offered(offer, "mem", "a", NULL), 10);
    assert_amount(offered(offer, "mem", "*", NULL), 990);
    free(uuid);
    world_done(&w);
}

static void test_work_that_is_counted_in(void **state)
{
    struct world w = world(CAPABLE);
    accept_offer(&w, RESERVE("{" CPUS("1") FOR_A "}", ID("o1")));
    char *uuid = xstrdup(hex_uuid(take(w.h, 1, "apply_operation")));
    /* The agent has work to do for it; its totals have it already. */
    operation_update(&w, 1, uuid, "OPERATION_PENDING", NULL);
    assert_false(pending(w.h, 10, "UPDATE_OPERATION_STATUS"));
    harness_agent_record(w.h, 1,
        "{\"resources\":{\"total\":[{" CPUS("7") "},{" CPUS("1") FOR_A
        "},{" MEM("1000") "},{" DISK("100") "}]}}");
    const json_t *offer = next_offer(&w);
    assert_amount(offered(offer, "cpus", "*", NULL), 7);
    assert_amount(offered(offer, "cpus", "a", NULL), 1);
    assert_string_equal(state_of(reconcile(&w, "o1", NULL)), "OPERATION_PENDING");
    free(uuid);
    world_done(&w);
}

static void test_lost_on_the_way(void **state)
{
    struct world w = world(CAPABLE);
    accept_offer(&w,
        RESERVE("{" CPUS("1") FOR_A "}", ID("o1")) "," RESERVE("{" CPUS("1") FOR_A "}", ID("o2")));
    char *first = xstrdup(hex_uuid(take(w.h, 1, "apply_operation")));
    char *second = xstrdup(hex_uuid(take(w.h, 1, "apply_operation")));
    harness_agent_closed(w.h, 1);
    harness_agent_record(w.h, 2, "{\"hello\":{\"major\":1}}");
    harness_agent_record(w.h, 2,
        "{\"register\":{\"agent_info\":{\"id\":{\"value\":\"%s\"},\"hostname\":\"a1\",\"port\":"
        "5051,\"resources\":" TOTAL "},\"version\":\"1\"," CAPABILITIES
        ",\"total\":[{" CPUS("3") "},{" CPUS("1") FOR_A
        "},{" MEM("1000") "},{" DISK("100") "}],"
                                            "\"operations\":[{\"framework_id\":{\"value\":\"%s\"},"
                                            "\"uuid\":{\"value\":\"%s\"},\"info\":"
                                            "%s,\"latest_status\":{\"state\":\"OPERATION_"
                                            "FINISHED\",\"operation_id\":{\"value\":\"o1\"}"
                                            ",\"uuid\":{\"value\":\"" UUID1 "\"}}}]}}",
        w.agent, w.framework, first, RESERVE("{" CPUS("1") FOR_A "}", ID("o1")));
    take(w.h, 2, "registered");
    /* The agent's total holds: the second never arrived. */
    const json_t *offer = next_offer(&w);
    assert_amount(offered(offer, "cpus", "a", NULL), 1);
    assert_amount(offered(offer, "cpus", "*", NULL), 3);
    const json_t *ask = take(w.h, 2, "reconcile_operations");
    assert_int_equal(json_array_size(at(ask, "reconcile_operations.operation_uuids")), 1);
    assert_string_equal(str_at(ask, "reconcile_operations.operation_uuids.0"), second);
    assert_string_equal(state_of(reconcile(&w, "o1", NULL)), "OPERATION_FINISHED");
    /* A total that comes now does not get the lost one on top. */
    harness_agent_record(w.h, 2,
        "{\"resources\":{\"total\":[{" CPUS("7") "},{" CPUS("1") FOR_A
        "},{" MEM("1000") "},{" DISK("100") "}]}}");
    assert_amount(offered(next_offer(&w), "cpus", "a", NULL), 1);
    operation_update(&w, 2, second, "OPERATION_DROPPED", NULL);
    const json_t *dropped = take(w.h, 10, "UPDATE_OPERATION_STATUS");
    assert_string_equal(state_of(dropped), "OPERATION_DROPPED");
    assert_string_equal(str_at(dropped, "update_operation_status.status.operation_id.value"), "o2");
    assert_string_equal(state_of(reconcile(&w, "o2", w.agent)), "OPERATION_UNKNOWN");
    free(first);
    free(second);
    world_done(&w);
}

/* A task was launched on a reservation that never arrived: with the task goes what it holds. */
static void test_tasks_on_what_was_lost(void **state)
{
    struct world w = world(CAPABLE);
    accept_offer(&w, RESERVE("{" CPUS("1") FOR_A "}", "") "," LAUNCH(
                         TASK("t", "{" CPUS("1") FOR_A "},{" MEM("10") "}")));
    harness_agent_closed(w.h, 1);
    harness_agent_record(w.h, 2, "{\"hello\":{\"major\":1}}");
    harness_agent_record(w.h, 2,
        "{\"register\":{\"agent_info\":{\"id\":{\"value\":\"%s\"},\"hostname\":\"a1\",\"port\":"
        "5051,\"resources\":" TOTAL "},\"version\":\"1\"," CAPABILITIES "}}",
        w.agent);
    master_core_check(w.h->core);
    update(w.h, 2, w.framework, "t", "TASK_DROPPED", UUID1);
    master_core_check(w.h->core);
    const json_t *offer = next_offer(&w);
    assert_amount(offered(offer, "cpus", "a", NULL), 0);
    assert_amount(offered(offer, "cpus", "*", NULL), 4);
    world_done(&w);
}

static void test_unreachable_and_back(void **state)
{
    struct world w = world(CAPABLE);
    accept_offer(
        &w, RESERVE("{" CPUS("1") FOR_A "}", ID("o1")) "," RESERVE("{" CPUS("1") FOR_A "}", ""));
    char *uuid = xstrdup(hex_uuid(take(w.h, 1, "apply_operation")));
    harness_agent_closed(w.h, 1);
    harness_pass(w.h, 700 * (int64_t)SECOND);
    const json_t *event = take(w.h, 10, "UPDATE_OPERATION_STATUS");
    assert_string_equal(state_of(event), "OPERATION_UNREACHABLE");
    assert_false(has_at(event, "update_operation_status.status.uuid"));
    assert_false(pending(w.h, 10, "UPDATE_OPERATION_STATUS"));
    assert_string_equal(state_of(reconcile(&w, "o1", w.agent)), "OPERATION_UNREACHABLE");
    assert_string_equal(state_of(reconcile(&w, "o1", NULL)), "OPERATION_UNKNOWN");
    harness_agent_record(w.h, 2, "{\"hello\":{\"major\":1}}");
    harness_agent_record(w.h, 2,
        "{\"register\":{\"agent_info\":{\"id\":{\"value\":\"%s\"},\"hostname\":\"a1\",\"port\":"
        "5051,\"resources\":" TOTAL "},\"version\":\"1\"," CAPABILITIES
        ",\"operations\":[{\"framework_id\":{\"value\":\"%s\"},\"uuid\":{\"value\":\"%s\"},"
        "\"info\":"
        "%s,\"latest_status\":{\"state\":\"OPERATION_FINISHED\",\"uuid\":{\"value\":\"" UUID1
        "\"}}}]}}",
        w.agent, w.framework, uuid, RESERVE("{" CPUS("1") FOR_A "}", ID("o1")));
    take(w.h, 2, "registered");
    assert_string_equal(state_of(reconcile(&w, "o1", NULL)), "OPERATION_FINISHED");
    free(uuid);
    world_done(&w);
}

static void test_marked_gone(void **state)
{
    struct world w = world(CAPABLE);
    accept_offer(&w,
        RESERVE("{" CPUS("1") FOR_A "}", ID("o1")) "," RESERVE("{" CPUS("1") FOR_A "}", ID("o2")));
    char *uuid = xstrdup(hex_uuid(take(w.h, 1, "apply_operation")));
    operation_update(&w, 1, uuid, "OPERATION_FINISHED", UUID1);
    take(w.h, 10, "UPDATE_OPERATION_STATUS");
    assert_int_equal(master_core_mark_agent_gone(w.h->core, w.agent, w.h->now, NULL), 0);
    harness_pump(w.h);
    /* The end of the first was told. */
    const json_t *event = take(w.h, 10, "UPDATE_OPERATION_STATUS");
    assert_string_equal(state_of(event), "OPERATION_GONE_BY_OPERATOR");
    assert_string_equal(str_at(event, "update_operation_status.status.operation_id.value"), "o2");
    assert_false(pending(w.h, 10, "UPDATE_OPERATION_STATUS"));
    assert_string_equal(state_of(reconcile(&w, "o1", w.agent)), "OPERATION_GONE_BY_OPERATOR");
    free(uuid);
    world_done(&w);
}

/* An agent that drains is done when its operations are over too. */
static void test_draining_waits(void **state)
{
    struct world w = world(CAPABLE);
    accept_offer(&w, RESERVE("{" CPUS("1") FOR_A "}", ID("o1")));
    char *uuid = xstrdup(hex_uuid(take(w.h, 1, "apply_operation")));
    assert_int_equal(master_core_drain_agent(w.h->core, w.agent, -1, true, w.h->now, NULL), 0);
    harness_pump(w.h);
    operation_update(&w, 1, uuid, "OPERATION_FINISHED", UUID1);
    harness_pass(w.h, 1000);
    assert_false(pending(w.h, 1, "shutdown_agent"));
    acknowledge_operation(&w, "o1", UUID1);
    harness_pass(w.h, 1000);
    take(w.h, 1, "shutdown_agent"); /* marked gone */
    free(uuid);
    world_done(&w);
}

static void test_failover(void **state)
{
    struct world w = world(CAPABLE);
    accept_offer(&w, RESERVE("{" CPUS("1") FOR_A "}", ID("o1")));
    char *uuid = xstrdup(hex_uuid(take(w.h, 1, "apply_operation")));
    harness_failover(w.h);
    char info[600];
    snprintf(info, sizeof(info),
        "{\"user\":\"u\",\"name\":\"f\",\"checkpoint\":true,"
        "\"failover_timeout\":60,\"id\":{\"value\":\"%s\"}" ROLE_A "}",
        w.framework);
    harness_subscribe(w.h, 10, info);
    assert_string_equal(state_of(reconcile(&w, "o1", w.agent)), "OPERATION_RECOVERING");
    harness_agent_record(w.h, 2, "{\"hello\":{\"major\":1}}");
    harness_agent_record(w.h, 2,
        "{\"register\":{\"agent_info\":{\"id\":{\"value\":\"%s\"},\"hostname\":\"a1\",\"port\":"
        "5051,\"resources\":" TOTAL "},\"version\":\"1\"," CAPABILITIES
        ",\"total\":[{" CPUS("3") "},{" CPUS("1") FOR_A "},{" MEM("1000") "},{" DISK(
            "100") "}],"
                   "\"operations\":[{\"framework_id\":{\"value\":\"%s\"},\"uuid\":{\"value\":\"%"
                   "s\"},\"info\":"
                   "%s,\"latest_status\":{\"state\":\"OPERATION_FINISHED\",\"uuid\":{\"value\":"
                   "\"" UUID1
                   "\"}}},{\"framework_id\":{\"value\":\"nobody\"},\"uuid\":{\"value\":\"" UUID3
                   "\"},\"info\":%s,\"latest_status\":{\"state\":\"OPERATION_FINISHED\",\"uuid\":{"
                   "\"value\":"
                   "\"" UUID2 "\"}}}]}}",
        w.agent, w.framework, uuid, RESERVE("{" CPUS("1") FOR_A "}", ID("o1")),
        RESERVE("{" CPUS("1") FOR_A "}", ID("o9")));
    take(w.h, 2, "registered");
    /* Nobody else would acknowledge what an unknown framework asked for. */
    assert_string_equal(
        str_at(take(w.h, 2, "acknowledge_operation"), "acknowledge_operation.operation_uuid"),
        UUID3);
    assert_string_equal(state_of(reconcile(&w, "o1", NULL)), "OPERATION_FINISHED");
    operation_update(&w, 2, uuid, "OPERATION_FINISHED", UUID1);
    take(w.h, 10, "UPDATE_OPERATION_STATUS");
    acknowledge_operation(&w, "o1", UUID1);
    take(w.h, 2, "acknowledge_operation");
    assert_amount(offered(next_offer(&w), "cpus", "a", NULL), 1);
    free(uuid);
    world_done(&w);
}

/* ---- shared volumes ---- */

#define S1 "{" DISK("10") FOR_A VOLUME("s1") SHARED "}"

static void test_shared_volume(void **state)
{
    struct world w = world(CAPABLE);
    accept_offer(&w, RESERVE("{" DISK("10") FOR_A "}", "") "," CREATE(S1, "") "," LAUNCH(
                         TASK("t1", "{" CPUS("1") "}," S1) "," TASK("t2", "{" CPUS("1") "}," S1)));
    take(w.h, 1, "run_task");
    take(w.h, 1, "run_task");
    /* In use, and offered still. */
    assert_amount(offered(next_offer(&w), "disk", "a", "s1"), 10);
    accept_offer(&w, DESTROY(S1, ID("o1")));
    const json_t *refused = take(w.h, 10, "UPDATE_OPERATION_STATUS");
    assert_string_equal(state_of(refused), "OPERATION_ERROR");
    assert_non_null(strstr(str_at(refused, "update_operation_status.status.message"), "in use"));
    /* Those that came in two offers are one. */
    next_offer(&w);
    update(w.h, 1, w.framework, "t1", "TASK_FINISHED", UUID1);
    update(w.h, 1, w.framework, "t2", "TASK_FINISHED", UUID2);
    harness_pass(w.h, 2000);
    const json_t *second = at(take(w.h, 10, "OFFERS"), "offers.offers.0");
    assert_amount(offered(second, "disk", "a", "s1"), 0); /* the framework has it in the other */
    accept_offer(&w, DESTROY(S1, ID("o2")));
    assert_false(pending(w.h, 10, "UPDATE_OPERATION_STATUS"));
    const json_t *offer = next_offer(&w);
    assert_amount(offered(offer, "disk", "a", NULL), 10);
    assert_amount(offered(offer, "disk", "a", "s1"), 0);
    world_done(&w);
}

static void roles_call(struct world *w, uint64_t stream, const char *type, const char *framework)
{
    assert_int_equal(harness_call(w->h, stream,
                         "{\"type\":\"%s\",\"framework_id\":{\"value\":\"%s\"}}", type, framework),
        202);
}

static void test_destroying_rescinds_other_offers(void **state)
{
    struct world w = world(CAPABLE);
    char *g = xstrdup(harness_subscribe(w.h, 11, INFO("g", ROLE_A)));
    roles_call(&w, 10, "SUPPRESS", w.framework);
    accept_offer(&w, RESERVE("{" DISK("10") FOR_A "}", "") "," CREATE(S1, "") "," LAUNCH(
                         TASK("t1", "{" CPUS("1") "},{" MEM("100") "}")));
    harness_pass(w.h, 5000);
    const json_t *offer = at(take(w.h, 11, "OFFERS"), "offers.offers.0");
    assert_amount(offered(offer, "disk", "a", "s1"), 10);
    roles_call(&w, 11, "SUPPRESS", g);
    roles_call(&w, 10, "REVIVE", w.framework);
    /* What the task leaves goes to the first, and the volume with it. */
    update(w.h, 1, w.framework, "t1", "TASK_FINISHED", UUID1);
    assert_amount(offered(next_offer(&w), "disk", "a", "s1"), 10);
    assert_int_equal(
        harness_call(w.h, 11,
            "{\"type\":\"ACCEPT\",\"framework_id\":{\"value\":\"%s\"},\"accept\":{\"offer_ids\":[{"
            "\"value\":\"%s\"}],\"operations\":[%s]}}",
            g, str_at(offer, "id.value"), DESTROY(S1, "")),
        202);
    assert_string_equal(str_at(take(w.h, 10, "RESCIND"), "rescind.offer_id.value"), w.offer);
    free(g);
    world_done(&w);
}

/* ---- operators ---- */

static int operate(struct world *w, const char *op, struct error *err)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m;
    if (wire_parse_json(&mesos__v1__offer__operation__descriptor, &arena, op, strlen(op), &m, err) <
        0)
        fail_msg("%s", err->msg);
    const Mesos__V1__Offer__Operation *operation = (const Mesos__V1__Offer__Operation *)m;
    int r = master_core_check_operation(w->h->core, w->agent, operation, NULL, err);
    if (r == 0)
        r = master_core_apply_operation(w->h->core, w->agent, operation, w->h->now, err);
    harness_pump(w->h);
    return r;
}

static void test_operators_take_offers_back(void **state)
{
    struct world w = world(CAPABLE);
    struct error err = ERROR_INIT;
    assert_int_equal(
        operate(&w, RESERVE("{" CPUS("1") FOR_A "},{" DISK("10") FOR_A "}", ""), &err), 0);
    take(w.h, 10, "RESCIND");
    const json_t *apply = take(w.h, 1, "apply_operation");
    assert_false(has_at(apply, "apply_operation.framework_id"));
    assert_false(has_at(apply, "apply_operation.info.reserve.resources.0.allocation_info"));
    /* The rest is held back for five seconds, but the reservation is more than was refused. */
    const json_t *offer = next_offer(&w);
    assert_amount(offered(offer, "cpus", "a", NULL), 1);
    assert_amount(offered(offer, "cpus", "*", NULL), 3);

    /* What a task holds is not to be had: a conflict, and no offer is touched. */
    accept_offer(&w, LAUNCH(TASK("t", "{" CPUS("3.5") "},{" MEM("10") "}")));
    assert_string_equal(str_at(take(w.h, 10, "UPDATE"), "update.status.state"), "TASK_ERROR");
    next_offer(&w);
    accept_offer(&w, LAUNCH(TASK("t", "{" CPUS("2.5") "},{" MEM("10") "}")));
    next_offer(&w);
    assert_int_equal(operate(&w, RESERVE("{" CPUS("1") FOR_A "}", ""), &err), -EBUSY);
    assert_false(pending(w.h, 10, "RESCIND"));
    assert_int_equal(operate(&w, RESERVE("{" CPUS("0.5") FOR_A "}", ""), &err), 0);
    take(w.h, 10, "RESCIND");
    take(w.h, 1, "apply_operation");

    /* What is on offer elsewhere stays there when enough is free. */
    accept_offer(&w, "");
    assert_int_equal(operate(&w, CREATE("{" DISK("10") FOR_A VOLUME("v1") "}", ""), &err), 0);
    assert_int_equal(
        operate(&w, GROW("{" DISK("10") FOR_A VOLUME("v1") "}", "{" DISK("1") FOR_A "}", ""), &err),
        -EBUSY);
    assert_int_equal(operate(&w, UNRESERVE("{" CPUS("1.5") FOR_A "}", ""), &err), 0);
    assert_int_equal(operate(&w, DESTROY("{" DISK("10") FOR_A VOLUME("v1") "}", ""), &err), 0);
    assert_int_equal(
        operate(&w, DESTROY("{" DISK("10") FOR_A VOLUME("v1") "}", ""), &err), -EINVAL);
    harness_agent_closed(w.h, 1);
    assert_int_equal(operate(&w, RESERVE("{" CPUS("0.1") FOR_A "}", ""), &err), -EBUSY);
    w.agent[0] = 'x';
    assert_int_equal(operate(&w, RESERVE("{" CPUS("0.1") FOR_A "}", ""), &err), -EINVAL);
    world_done(&w);
}

static void test_operators_move_reservations(void **state)
{
    struct world w = world(CAPABLE);
    struct error err = ERROR_INIT;
    assert_int_equal(operate(&w, RESERVE("{" CPUS("1") FOR_A "}", ""), &err), 0);
    assert_int_equal(
        operate(&w,
            "{\"type\":\"RESERVE\",\"reserve\":{\"source\":[{" CPUS("1") FOR_A
            "}],\"resources\":[{" CPUS("1") ",\"reservations\":[{\"type\":\"DYNAMIC\",\"role\":"
                                            "\"b\",\"principal\":\"p\"}]}]}}",
            &err),
        0);
    harness_pass(w.h, 5 * SECOND); /* what was taken back is not offered at once */
    const json_t *offer = next_offer(&w);
    assert_amount(offered(offer, "cpus", "a", NULL), 0);
    assert_amount(offered(offer, "cpus", "*", NULL), 3);
    world_done(&w);
}

static void test_reservations_count_for_quotas_at_once(void **state)
{
    struct world w = world(CAPABLE);
    struct error err = ERROR_INIT;
    /* An agent that is not offered is not looked at again either. */
    assert_int_equal(master_core_deactivate_agent(w.h->core, w.agent, w.h->now, &err), 0);
    assert_int_equal(operate(&w, RESERVE("{" CPUS("1") FOR_A "}", ""), &err), 0);
    master_core_check(w.h->core);
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_results_are_used_in_the_same_call),
        cmocka_unit_test(test_what_was_made_is_not_declined),
        cmocka_unit_test(test_resized_volumes_come_with_the_next_offer),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_a_failed_operation_does_not_stop_the_next),
        cmocka_unit_test(test_feedback_needs_an_agent_that_gives_it),
        cmocka_unit_test(test_authorization),
        cmocka_unit_test(test_updates_need_leave_for_roles),
        cmocka_unit_test(test_launch_has_no_operation_id),
        cmocka_unit_test(test_void_offers),
        cmocka_unit_test(test_feedback),
        cmocka_unit_test(test_without_id_the_master_settles),
        cmocka_unit_test(test_removed_framework),
        cmocka_unit_test(test_a_failure_is_undone),
        cmocka_unit_test(test_totals_and_operations_cross),
        cmocka_unit_test(test_work_that_is_counted_in),
        cmocka_unit_test(test_lost_on_the_way),
        cmocka_unit_test(test_tasks_on_what_was_lost),
        cmocka_unit_test(test_unreachable_and_back),
        cmocka_unit_test(test_marked_gone),
        cmocka_unit_test(test_draining_waits),
        cmocka_unit_test(test_failover),
        cmocka_unit_test(test_shared_volume),
        cmocka_unit_test(test_destroying_rescinds_other_offers),
        cmocka_unit_test(test_operators_take_offers_back),
        cmocka_unit_test(test_operators_move_reservations),
        cmocka_unit_test(test_reservations_count_for_quotas_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
