#ifndef DCOS_TEST_NET_BUILD_H
#define DCOS_TEST_NET_BUILD_H

/* A core that is fed with events written as JSON, the way the master shows them. */

#include "net/resolve.h"
#include "wire/codec.h"

static inline struct net_core *core_new(void)
{
    struct net_config c = {.ip_sources = {IP_HOST, IP_NETINFO}, .n_ip_sources = 2};
    struct address a;
    assert_int_equal(address_parse("192.0.2.9", &c.node), 0);
    assert_int_equal(address_parse("192.0.2.1", &a), 0);
    vec_push(&c.masters, a);
    assert_int_equal(address_parse("192.0.2.2", &a), 0);
    vec_push(&c.masters, a);
    assert_int_equal(address_parse("127.0.0.1", &a), 0);
    vec_push(&c.listeners, a);
    return net_core_new(&c);
}

static inline void event(struct net_core *c, const char *json)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m = NULL;
    struct error err = ERROR_INIT;
    if (wire_parse_json(
            &mesos__v1__master__event__descriptor, &arena, json, strlen(json), &m, &err) < 0)
        fail_msg("%s: %s", json, err.msg);
    net_core_event(c, (const Mesos__V1__Master__Event *)m);
}

#define AGENT                                                                                      \
    "{\"agent_info\":{\"id\":{\"value\":\"20-S0\"},\"hostname\":\"node-a\",\"port\":5051},"        \
    "\"active\":true,"                                                                             \
    "\"version\":\"1\",\"pid\":\"slave(1)@192.0.2.21:5052\"}"
#define FRAMEWORK                                                                                  \
    "{\"framework_info\":{\"id\":{\"value\":\"f1\"},\"name\":\"marathon\",\"user\":\"root\","      \
    "\"hostname\":\"192.0.2.5\"},\"active\":true,\"connected\":true,\"recovered\":false}"
#define SNAPSHOT(agents, frameworks, tasks)                                                        \
    "{\"type\":\"SUBSCRIBED\",\"subscribed\":{\"get_state\":{\"get_agents\":{\"agents\":[" agents  \
    "]},\"get_frameworks\":{\"frameworks\":[" frameworks "]},\"get_tasks\":{\"tasks\":[" tasks     \
    "]}}}}"
#define UPDATE(id, state, more)                                                                    \
    "{\"type\":\"TASK_UPDATED\",\"task_updated\":{\"framework_id\":{\"value\":\"f1\"},\"state\":"  \
    "\"" state "\",\"status\":{\"task_id\":{\"value\":\"" id "\"},\"state\":\"" state "\"" more    \
    "}}}"
#define TASK(id, name, state, more)                                                                \
    "{\"name\":\"" name "\",\"task_id\":{\"value\":\"" id                                          \
    "\"},\"framework_id\":{\"value\":\"f1\"},\"agent_id\":{\"value\":\"20-S0\"},\"state\":"        \
    "\"" state "\"" more "}"
#define ADDED(task) "{\"type\":\"TASK_ADDED\",\"task_added\":{\"task\":" task "}}"

#endif
