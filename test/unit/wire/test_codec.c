#include "unit.h"

#include <errno.h>
#include <math.h>

#include "fill.h"
#include "wire/executor.pb-c.h"
#include "wire/mesos.pb-c.h"
#include "wire/quota.pb-c.h"
#include "wire/scheduler.pb-c.h"
#include "wire/type.h"

static void json_of(const ProtobufCMessage *m, struct buf *out)
{
    struct json_writer w;
    jw_init(&w, out);
    wire_to_json(&w, m);
}

static ProtobufCMessage *parse(
    const ProtobufCMessageDescriptor *type, struct arena *arena, const char *text)
{
    ProtobufCMessage *m = NULL;
    struct error err = ERROR_INIT;
    if (wire_parse_json(type, arena, text, strlen(text), &m, &err) < 0)
        fail_msg("%s\nin %s", err.msg, text);
    return m;
}

#define CALL &mesos__v1__scheduler__call__descriptor
#define EVENT &mesos__v1__scheduler__event__descriptor
#define EXECUTOR_CALL &mesos__v1__executor__call__descriptor
#define EXECUTOR_EVENT &mesos__v1__executor__event__descriptor

/* What clients and servers exchange; `out` is NULL where the same text comes back. */
static void golden(void **state)
{
    (void)state;
    static const struct {
        const ProtobufCMessageDescriptor *type;
        const char *in, *out;
    } cases[] = {
        {CALL,
            "{\"type\":\"SUBSCRIBE\",\"subscribe\":{\"framework_info\":{\"user\":\"nobody\","
            "\"name\":"
            "\"demo\",\"failover_timeout\":60,\"roles\":[\"dev\"],\"capabilities\":[{\"type\":"
            "\"MULTI_ROLE\"},{\"type\":\"PARTITION_AWARE\"}]}}}",
            "{\"type\":\"SUBSCRIBE\",\"subscribe\":{\"framework_info\":{\"user\":\"nobody\","
            "\"name\":"
            "\"demo\",\"failover_timeout\":60.0,\"checkpoint\":false,\"roles\":[\"dev\"],"
            "\"capabilities\":[{\"type\":\"MULTI_ROLE\"},{\"type\":\"PARTITION_AWARE\"}]}}}"},
        {EVENT, "{\"type\":\"HEARTBEAT\"}", NULL},
        {EVENT,
            "{\"type\":\"SUBSCRIBED\",\"subscribed\":{\"framework_id\":{\"value\":\"M-0000\"},"
            "\"heartbeat_interval_seconds\":15.0,\"master_info\":{\"id\":\"M\",\"ip\":16777226,"
            "\"port\":5050,\"pid\":\"master@10.0.0.1:5050\",\"hostname\":\"m1\",\"version\":"
            "\"1.12.0\",\"address\":{\"hostname\":\"m1\",\"ip\":\"10.0.0.1\",\"port\":5050},"
            "\"capabilities\":[{\"type\":\"AGENT_UPDATE\"},{\"type\":\"AGENT_DRAINING\"},{\"type\":"
            "\"QUOTA_V2\"}]}}}",
            NULL},
        {EVENT,
            "{\"type\":\"OFFERS\",\"offers\":{\"offers\":[{\"id\":{\"value\":\"M-O0\"},"
            "\"framework_id\":{\"value\":\"M-0000\"},\"agent_id\":{\"value\":\"M-S0\"},"
            "\"hostname\":"
            "\"a1\",\"url\":{\"scheme\":\"http\",\"address\":{\"hostname\":\"a1\",\"ip\":\"10.0.0."
            "2\","
            "\"port\":5051},\"path\":\"/slave(1)\"},\"resources\":[{\"name\":\"cpus\",\"type\":"
            "\"SCALAR\",\"scalar\":{\"value\":4.0},\"allocation_info\":{\"role\":\"dev\"}},{"
            "\"name\":"
            "\"ports\",\"type\":\"RANGES\",\"ranges\":{\"range\":[{\"begin\":31000,\"end\":32000}]}"
            ","
            "\"allocation_info\":{\"role\":\"dev\"}},{\"name\":\"disk\",\"type\":\"SCALAR\","
            "\"scalar\":{\"value\":1024.0},\"allocation_info\":{\"role\":\"dev\"},\"reservations\":"
            "[{"
            "\"type\":\"DYNAMIC\",\"role\":\"dev\",\"principal\":\"p\"}]}],\"attributes\":[{"
            "\"name\":"
            "\"rack\",\"type\":\"TEXT\",\"text\":{\"value\":\"r1\"}}],\"allocation_info\":{"
            "\"role\":"
            "\"dev\"}}]}}",
            NULL},
        {CALL,
            "{\"framework_id\":{\"value\":\"M-0000\"},\"type\":\"ACCEPT\",\"accept\":{\"offer_"
            "ids\":[{"
            "\"value\":\"M-O0\"}],\"filters\":{},\"operations\":[{\"type\":\"LAUNCH\",\"launch\":{"
            "\"task_infos\":[{\"name\":\"t\",\"task_id\":{\"value\":\"t1\"},\"agent_id\":{"
            "\"value\":"
            "\"M-S0\"},\"command\":{\"value\":\"sleep 60\"},\"resources\":[{\"name\":\"cpus\","
            "\"type\":\"SCALAR\",\"scalar\":{\"value\":0.1}}]}]}}]}}",
            "{\"framework_id\":{\"value\":\"M-0000\"},\"type\":\"ACCEPT\",\"accept\":{\"offer_"
            "ids\":[{"
            "\"value\":\"M-O0\"}],\"operations\":[{\"type\":\"LAUNCH\",\"launch\":{\"task_infos\":["
            "{"
            "\"name\":\"t\",\"task_id\":{\"value\":\"t1\"},\"agent_id\":{\"value\":\"M-S0\"},"
            "\"resources\":[{\"name\":\"cpus\",\"type\":\"SCALAR\",\"scalar\":{\"value\":0.1}}],"
            "\"command\":{\"shell\":true,\"value\":\"sleep 60\"}}]}}],\"filters\":{"
            "\"refuse_seconds\":5.0}}}"},
        {CALL,
            "{\"framework_id\":{\"value\":\"M-0000\"},\"type\":\"DECLINE\",\"decline\":{\"offer_"
            "ids\":"
            "[{\"value\":\"M-O1\"}],\"filters\":{\"refuse_seconds\":120.0}}}",
            NULL},
        {CALL,
            "{\"framework_id\":{\"value\":\"M-0000\"},\"type\":\"REVIVE\",\"revive\":{\"roles\":["
            "\"dev\"]}}",
            NULL},
        {CALL,
            "{\"framework_id\":{\"value\":\"M-0000\"},\"type\":\"ACKNOWLEDGE\",\"acknowledge\":{"
            "\"agent_id\":{\"value\":\"M-S0\"},\"task_id\":{\"value\":\"t1\"},\"uuid\":"
            "\"AAECAwQFBgcICQoLDA0ODw==\"}}",
            NULL},
        {CALL,
            "{\"framework_id\":{\"value\":\"M-0000\"},\"type\":\"RECONCILE\",\"reconcile\":{"
            "\"tasks\":"
            "[]}}",
            "{\"framework_id\":{\"value\":\"M-0000\"},\"type\":\"RECONCILE\",\"reconcile\":{}}"},
        {EVENT,
            "{\"type\":\"UPDATE\",\"update\":{\"status\":{\"task_id\":{\"value\":\"t1\"},\"state\":"
            "\"TASK_RUNNING\",\"source\":\"SOURCE_EXECUTOR\",\"agent_id\":{\"value\":\"M-S0\"},"
            "\"executor_id\":{\"value\":\"t1\"},\"timestamp\":1700000000.25,\"uuid\":"
            "\"AAECAwQFBgcICQoLDA0ODw==\",\"container_status\":{\"container_id\":{\"value\":\"c1\"}"
            ","
            "\"network_infos\":[{\"ip_addresses\":[{\"protocol\":\"IPv4\",\"ip_address\":"
            "\"10.0.0.2\"}]}]}}}}",
            NULL},
        {EXECUTOR_CALL,
            "{\"type\":\"SUBSCRIBE\",\"executor_id\":{\"value\":\"e\"},\"framework_id\":{\"value\":"
            "\"M-0000\"},\"subscribe\":{\"unacknowledged_tasks\":[],\"unacknowledged_updates\":[]}"
            "}",
            "{\"executor_id\":{\"value\":\"e\"},\"framework_id\":{\"value\":\"M-0000\"},\"type\":"
            "\"SUBSCRIBE\",\"subscribe\":{}}"},
        {EXECUTOR_EVENT, "{\"type\":\"SHUTDOWN\"}", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        _cleanup_buf_ struct buf out = BUF_INIT;
        ProtobufCMessage *m = parse(cases[i].type, &arena, cases[i].in);
        assert_int_equal(wire_check_required(m, NULL), 0);
        json_of(m, &out);
        assert_string_equal(buf_cstr(&out), cases[i].out ? cases[i].out : cases[i].in);
    }
}

static void defaults(void **state)
{
    (void)state;
    static const struct {
        const ProtobufCMessageDescriptor *type;
        const char *out;
    } cases[] = {
        {&mesos__v1__framework_info__descriptor, "{\"failover_timeout\":0.0,\"checkpoint\":false}"},
        {&mesos__v1__command_info__descriptor, "{\"shell\":true}"},
        {&mesos__v1__command_info__uri__descriptor, "{\"extract\":true}"},
        {&mesos__v1__filters__descriptor, "{\"refuse_seconds\":5.0}"},
        {&mesos__v1__agent_info__descriptor, "{\"port\":5051}"},
        {&mesos__v1__health_check__descriptor,
            "{\"delay_seconds\":15.0,\"interval_seconds\":10.0,\"timeout_seconds\":20.0,"
            "\"consecutive_failures\":3,\"grace_period_seconds\":10.0}"},
        {&mesos__v1__csiplugin_info__descriptor, "{\"name\":\"default\"}"},
        {&mesos__v1__environment__variable__descriptor, "{\"type\":\"VALUE\"}"},
        {&mesos__v1__image__descriptor, "{\"cached\":true}"},
        {&mesos__v1__linux_info__descriptor, "{\"share_cgroups\":true}"},
        {&mesos__v1__container_info__docker_info__descriptor,
            "{\"network\":\"HOST\",\"privileged\":false}"},
        {&mesos__v1__drain_config__descriptor, "{\"mark_gone\":false}"},
        {&mesos__v1__network_info__ipaddress__descriptor, "{\"protocol\":\"IPv4\"}"},
        {&mesos__v1__resource__descriptor, "{}"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        _cleanup_buf_ struct buf out = BUF_INIT;
        json_of(parse(cases[i].type, &arena, "{}"), &out);
        assert_string_equal(buf_cstr(&out), cases[i].out);
    }
}

static void lenient(void **state)
{
    (void)state;
    static const struct {
        const ProtobufCMessageDescriptor *type;
        const char *in, *out;
    } cases[] = {
        {&mesos__v1__task_status__descriptor, "{\"nonsense\":{\"a\":[1]},\"message\":null}", "{}"},
        {&mesos__v1__task_status__descriptor, "{\"healthy\":\"true\",\"timestamp\":\"1.5\"}",
            "{\"timestamp\":1.5,\"healthy\":true}"},
        {&mesos__v1__port__descriptor, "{\"number\":\"80\"}", "{\"number\":80}"},
        {&mesos__v1__port__descriptor, "{\"number\":80.0}", "{\"number\":80}"},
        {&mesos__v1__task_status__descriptor, "{\"reason\":\"REASON_OF_TOMORROW\"}", "{}"},
        {&mesos__v1__framework_info__descriptor, "{\"checkpoint\":true,\"roles\":\"dev\"}",
            "{\"failover_timeout\":0.0,\"checkpoint\":true,\"roles\":[\"dev\"]}"},
        {&mesos__v1__framework_info__descriptor,
            "{\"roles\":[null,\"a\",null],\"capabilities\":{\"type\":\"NEW\"}}",
            "{\"failover_timeout\":0.0,\"checkpoint\":false,\"roles\":[\"a\"],\"capabilities\":[{}]"
            "}"},
        {&mesos__v1__value__scalar__descriptor, "{\"value\":\"Infinity\"}", "{\"value\":Infinity}"},
        {&mesos__v1__value__scalar__descriptor, "{\"value\": -Infinity}", "{\"value\":-Infinity}"},
        {&mesos__v1__value__range__descriptor,
            "{\"a\":\"\\\"18446744073709551615\",\"begin\":9223372036854775808,\"end\":"
            "18446744073709551615}",
            "{\"begin\":9223372036854775808,\"end\":18446744073709551615}"},
        {&mesos__v1__label__descriptor, "{\"key\":\"Infinity 18446744073709551615\"}",
            "{\"key\":\"Infinity 18446744073709551615\"}"},
        {&mesos__v1__value__scalar__descriptor, "{\"value\":1234567890123456789012.5}",
            "{\"value\":1.2345678901234568e+21}"},
        {&mesos__v1__capability_info__descriptor,
            "{\"capabilities\":[\"CHOWN\",\"FUTURE\",\"BPF\"]}",
            "{\"capabilities\":[\"CHOWN\",\"BPF\"]}"},
        {&mesos__v1__quota__quota_config__descriptor,
            "{\"role\":\"dev\",\"limits\":{\"cpus\":{\"value\":2},\"mem\":null}}",
            "{\"role\":\"dev\",\"limits\":{\"cpus\":{\"value\":2.0}}}"},
        {&mesos__v1__volume__source__csivolume__static_provisioning__descriptor,
            "{\"volume_context\":{\"a\":\"b\",\"c\":\"d\"}}",
            "{\"volume_context\":{\"a\":\"b\",\"c\":\"d\"}}"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        _cleanup_buf_ struct buf out = BUF_INIT;
        json_of(parse(cases[i].type, &arena, cases[i].in), &out);
        assert_string_equal(buf_cstr(&out), cases[i].out);
    }
}

static void refuses(void **state)
{
    (void)state;
    static const struct {
        const ProtobufCMessageDescriptor *type;
        const char *in, *why;
    } cases[] = {
        {CALL, "[]", "the document: expected an object, got an array"},
        {CALL, "{\"type\":3}", "type: expected the name of an enum value, got 3"},
        {CALL, "{\"accept\":{\"filters\":{\"refuse_seconds\":\"abc\"}}}",
            "accept.filters.refuse_seconds: expected a number, got \"abc\""},
        {CALL, "{\"accept\":{\"offer_ids\":[{\"value\":\"a\"},{\"value\":1}]}}",
            "accept.offer_ids[1].value: expected a string, got 1"},
        {CALL, "{\"acknowledge\":{\"uuid\":\"***\"}}",
            "acknowledge.uuid: expected a base64 string, got \"***\""},
        {CALL, "{\"framework_id\":[{\"value\":\"a\"}]}",
            "framework_id: expected an object, got an array"},
        {&mesos__v1__task_status__descriptor, "{\"state\":\"TASK_OF_TOMORROW\"}",
            "state: expected a known enum value, got \"TASK_OF_TOMORROW\""},
        {&mesos__v1__port__descriptor, "{\"number\":-1}",
            "number: expected a whole number from 0 to 4294967295, got -1"},
        {&mesos__v1__port__descriptor, "{\"number\":1.5}",
            "number: expected a whole number from 0 to 4294967295, got 1.5"},
        {&mesos__v1__port__descriptor, "{\"number\":4294967296}",
            "number: expected a whole number from 0 to 4294967295, got 4294967296"},
        {&mesos__v1__task_status__descriptor, "{\"healthy\":1}",
            "healthy: expected true or false, got 1"},
        {&mesos__v1__quota__quota_config__descriptor, "{\"limits\":{\"cpus\":{\"value\":\"x\"}}}",
            "limits.cpus.value: expected a number, got \"x\""},
        {&mesos__v1__value__range__descriptor, "{\"begin\":18446744073709551616}",
            "begin: expected a whole number of 64 bits, not negative, got "
            "\"18446744073709551616\""},
        {&mesos__v1__quota__quota_config__descriptor, "{\"limits\":[]}",
            "limits: expected an object, got an array"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        ProtobufCMessage *m = NULL;
        struct error err = ERROR_INIT;
        int r = wire_parse_json(cases[i].type, &arena, cases[i].in, strlen(cases[i].in), &m, &err);
        assert_int_equal(r, -EINVAL);
        assert_string_equal(err.msg, cases[i].why);
        assert_null(m);
    }
}

static void required(void **state)
{
    (void)state;
    static const struct {
        const char *in, *missing;
    } cases[] = {
        {"{\"type\":\"SUBSCRIBE\",\"subscribe\":{}}", "subscribe.framework_info"},
        {"{\"subscribe\":{\"framework_info\":{\"id\":{}}}}",
            "subscribe.framework_info.user, subscribe.framework_info.name, "
            "subscribe.framework_info.id.value"},
        {"{\"accept\":{\"offer_ids\":[{\"value\":\"a\"},{}],\"operations\":[{\"launch\":{"
         "\"task_infos\":[{\"task_id\":{\"value\":\"t\"},\"agent_id\":{\"value\":\"a\"}}]}}]}}",
            "accept.offer_ids[1].value, accept.operations[0].launch.task_infos[0].name"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        struct error err = ERROR_INIT;
        assert_int_equal(wire_check_required(parse(CALL, &arena, cases[i].in), &err), -EINVAL);
        _cleanup_buf_ struct buf want = BUF_INIT;
        buf_printf(&want, "Missing required fields: %s", cases[i].missing);
        assert_string_equal(err.msg, buf_cstr(&want));
    }
}

/* The table names fields of the .proto files, all of them. */
static void required_table(void **state)
{
    (void)state;
    size_t n, total = 0;
    const ProtobufCMessageDescriptor *const *types = fill_all_types(&n);
    for (size_t i = 0; i < n; i++) {
        const struct wire_type *t = wire_type_of(types[i]);
        size_t listed;
        (void)wire_required_fields(types[i]->name, &listed);
        assert_int_equal(t->n_required, listed);
        total += listed;
    }
    assert_int_equal(total, 273);
    assert_true(n > 344);
}

static void round_trips(void **state)
{
    (void)state;
    size_t n;
    const ProtobufCMessageDescriptor *const *types = fill_all_types(&n);
    struct rng rng;
    rng_init(&rng, 20261122);
    for (size_t i = 0; i < n * 6; i++) {
        const ProtobufCMessageDescriptor *type = types[i % n];
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        _cleanup_buf_ struct buf bytes = BUF_INIT;
        _cleanup_buf_ struct buf again = BUF_INIT;
        _cleanup_buf_ struct buf json = BUF_INIT;
        _cleanup_buf_ struct buf json_again = BUF_INIT;
        struct error err = ERROR_INIT;
        ProtobufCMessage *m = fill_message(type, &arena, &rng, (unsigned)rng_below(&rng, 6));
        ProtobufCMessage *from_bytes = NULL, *from_json = NULL;

        wire_pack(m, &bytes);
        if (wire_unpack(type, &arena, bytes.p, bytes.n, &from_bytes, &err) < 0)
            fail_msg("%s: %s", type->name, err.msg);
        if (!wire_equal(m, from_bytes))
            fail_msg("%s is not the same after protobuf", type->name);
        wire_pack(wire_clone(from_bytes, &arena), &again);
        assert_int_equal(again.n, bytes.n);
        assert_memory_equal(again.p, bytes.p, bytes.n);

        json_of(m, &json);
        if (wire_parse_json(type, &arena, json.p, json.n, &from_json, &err) < 0)
            fail_msg("%s: %s\n%s", type->name, err.msg, buf_cstr(&json));
        json_of(from_json, &json_again);
        assert_string_equal(buf_cstr(&json_again), buf_cstr(&json));
    }
}

static void merges_and_skips(void **state)
{
    (void)state;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m = NULL;
    struct error err = ERROR_INIT;
    /* Status: task_id {"a"}, unknown varint 100, unknown group 101, task_id {}, state 999, a
     * repeated message in two places. */
    static const uint8_t bytes[] = {0x0a, 3, 0x0a, 1, 'a', 0xa0, 0x06, 5, 0xab, 0x06, 0x08, 1, 0xac,
        0x06, 0x0a, 0, 0x10, 0xe7, 0x07, 0x62, 4, 0x0a, 2, 0x0a, 0, 0x62, 4, 0x0a, 2, 0x0a, 0};
    assert_int_equal(
        wire_unpack(&mesos__v1__task_status__descriptor, &arena, bytes, sizeof(bytes), &m, &err),
        0);
    const Mesos__V1__TaskStatus *s = (const Mesos__V1__TaskStatus *)m;
    assert_string_equal(s->task_id->value, "a");
    assert_false(s->has_state);
    assert_int_equal(s->labels->n_labels, 2);
}

static void bad_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
    } cases[] = {
        {"\x0a", 1}, /* no length */
        {"\x0a\x05"
         "a",
            3},                                                   /* length past the end */
        {"\x00\x01", 2},                                          /* field number 0 */
        {"\x0f", 1},                                              /* wire type 7 */
        {"\x0c", 1},                                              /* end of no group */
        {"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12}, /* eleven bytes of a number */
        {"\x22\x03"
         "a\x00"
         "b",
            5}, /* NUL in a string */
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        ProtobufCMessage *m = NULL;
        struct error err = ERROR_INIT;
        assert_int_equal(wire_unpack(&mesos__v1__task_status__descriptor, &arena, cases[i].bytes,
                             cases[i].n, &m, &err),
            -EBADMSG);
        assert_null(m);
    }
}

/* ContainerID {parent {parent {...}}} */
static void depth_is_limited(void **state)
{
    (void)state;
    for (unsigned depth = WIRE_DEPTH_MAX - 1; depth <= WIRE_DEPTH_MAX; depth++) {
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        _cleanup_buf_ struct buf bytes = BUF_INIT;
        _cleanup_buf_ struct buf json = BUF_INIT;
        Mesos__V1__ContainerID *id = NULL;
        for (unsigned i = 0; i < depth + 1; i++) {
            Mesos__V1__ContainerID *outer = arena_new(&arena, Mesos__V1__ContainerID);
            mesos__v1__container_id__init(outer);
            outer->value = arena_strdup(&arena, "c");
            outer->parent = id;
            id = outer;
        }
        wire_pack(&id->base, &bytes);
        json_of(&id->base, &json);
        ProtobufCMessage *m = NULL;
        int want = depth < WIRE_DEPTH_MAX ? 0 : -EBADMSG;
        assert_int_equal(
            wire_unpack(&mesos__v1__container_id__descriptor, &arena, bytes.p, bytes.n, &m, NULL),
            want);
        want = want ? -EINVAL : 0;
        assert_int_equal(
            wire_parse_json(&mesos__v1__container_id__descriptor, &arena, json.p, json.n, &m, NULL),
            want);
    }
}

/* Two bytes of input that would become hundreds of memory, many times. */
static void memory_is_limited(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf bytes = BUF_INIT;
    for (size_t i = 0; i < 4 * 1024 * 1024; i++)
        buf_append(&bytes, "\x0a\x00", 2);
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m = NULL;
    struct error err = ERROR_INIT;
    assert_int_equal(wire_unpack(&mesos__v1__scheduler__event__offers__descriptor, &arena, bytes.p,
                         bytes.n, &m, &err),
        -EBADMSG);
    assert_string_equal(err.msg, "message takes too much memory");
    assert_true(arena.total <= WIRE_DECODED_MAX * (size_t)2);
}

static void equality(void **state)
{
    (void)state;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    const ProtobufCMessageDescriptor *type = &mesos__v1__command_info__descriptor;
    ProtobufCMessage *unset = parse(type, &arena, "{\"value\":\"a\"}");
    ProtobufCMessage *set = parse(type, &arena, "{\"value\":\"a\",\"shell\":true}");
    assert_false(wire_equal(unset, set));
    assert_true(wire_equal(set, wire_clone(set, &arena)));
    assert_false(wire_equal(set, parse(type, &arena, "{\"value\":\"b\",\"shell\":true}")));
    assert_false(wire_equal(set, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(golden), cmocka_unit_test(defaults),
        cmocka_unit_test(lenient), cmocka_unit_test(refuses), cmocka_unit_test(required),
        cmocka_unit_test(required_table), cmocka_unit_test(round_trips),
        cmocka_unit_test(merges_and_skips), cmocka_unit_test(bad_bytes),
        cmocka_unit_test(depth_is_limited), cmocka_unit_test(memory_is_limited),
        cmocka_unit_test(equality)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
