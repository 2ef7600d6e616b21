#include "unit.h"

#include <errno.h>

#include "kernel/framework.h"
#include "kernel/resources.h"
#include "kernel/task.h"
#include "wire/codec.h"

static void *parse(const ProtobufCMessageDescriptor *type, struct arena *arena, const char *text)
{
    ProtobufCMessage *m = NULL;
    struct error err = ERROR_INIT;
    if (wire_parse_json(type, arena, text, strlen(text), &m, &err) < 0)
        fail_msg("%s in %s", err.msg, text);
    return m;
}

static const struct task_context g_context = {
    .framework_id = "F", .agent_id = "S0", .agent_has_limits = true};

#define IDS "\"name\":\"t\",\"task_id\":{\"value\":\"t1\"},\"agent_id\":{\"value\":\"S0\"}"
#define SCALAR(name, value)                                                                        \
    "{\"name\":\"" name "\",\"type\":\"SCALAR\",\"scalar\":{\"value\":" value                      \
    "},\"allocation_info\":{\"role\":\"*\"}}"
#define RESOURCES "\"resources\":[" SCALAR("cpus", "0.1") "," SCALAR("mem", "32") "]"
#define COMMAND "\"command\":{\"value\":\"sleep 60\"}"
#define PORTS                                                                                      \
    "\"resources\":[{\"name\":\"ports\",\"type\":\"RANGES\",\"ranges\":{\"range\":[{\"begin\":1,"  \
    "\"end\":"                                                                                     \
    "5}]},\"allocation_info\":{\"role\":\"*\"}}]"
#define EXECUTOR_IDS "\"executor_id\":{\"value\":\"e\"},\"framework_id\":{\"value\":\"F\"}"
#define EXECUTOR "\"executor\":{" EXECUTOR_IDS "," COMMAND "}"

static void tasks(void **state)
{
    (void)state;
    static const struct {
        const char *in, *why; /* "": fine */
    } cases[] = {
        {"{" IDS "," RESOURCES "," COMMAND "}", ""},
        {"{" IDS "," RESOURCES "," EXECUTOR "}", ""},
        {"{\"name\":\"t\",\"task_id\":{\"value\":\"a/"
         "b\"},\"agent_id\":{\"value\":\"S0\"}," RESOURCES "," COMMAND "}",
            "Task ID 'a/b' is invalid: "},
        {"{\"name\":\"t\",\"task_id\":{\"value\":\"a\"},\"agent_id\":{\"value\":\"S1\"}," RESOURCES
         "," COMMAND "}",
            "Task uses invalid agent 'S1' while 'S0' is expected"},
        {"{" IDS "," COMMAND "}", "Task uses no resources"},
        {"{" IDS "," RESOURCES "}", "exactly one of CommandInfo and ExecutorInfo"},
        {"{" IDS "," RESOURCES "," COMMAND "," EXECUTOR "}",
            "exactly one of CommandInfo and ExecutorInfo"},
        {"{" IDS ",\"resources\":[{\"name\":\"cpus\",\"type\":\"SCALAR\",\"scalar\":{\"value\":1}}]"
         "," COMMAND "}",
            "Resource 'cpus' is not allocated to a role"},
        {"{" IDS ",\"resources\":[" SCALAR("gpus", "0.5") "]," COMMAND "}",
            "The 'gpus' resource must be an unsigned integer"},
        {"{" IDS "," RESOURCES "," COMMAND
         ",\"kill_policy\":{\"grace_period\":{\"nanoseconds\":-1}}}",
            "Task's 'kill_policy.grace_period' must be non-negative"},
        {"{" IDS "," RESOURCES "," COMMAND ",\"max_completion_time\":{\"nanoseconds\":-1}}",
            "Task's 'max_completion_time' must be non-negative"},
        {"{" IDS "," RESOURCES "," COMMAND ",\"limits\":{\"cpus\":{\"value\":\"Infinity\"}}}", ""},
        {"{" IDS "," RESOURCES "," COMMAND ",\"limits\":{\"cpus\":{\"value\":0.1}}}", ""},
        {"{" IDS "," RESOURCES "," COMMAND ",\"limits\":{\"cpus\":{\"value\":0.05}}}",
            "The limit of 'cpus' is less than the request"},
        {"{" IDS "," PORTS "," COMMAND ",\"limits\":{\"mem\":{\"value\":64}}}",
            "'mem' has a limit but the task does not request any of it"},
        {"{" IDS "," RESOURCES "," COMMAND ",\"limits\":{\"disk\":{\"value\":64}}}",
            "Resource limits of 'disk' are not supported"},
        {"{" IDS "," RESOURCES "," COMMAND ",\"container\":{\"type\":\"DOCKER\"}}",
            "Task's container is invalid: DockerInfo 'docker' is not set"},
        {"{" IDS "," RESOURCES "," COMMAND
         ",\"container\":{\"type\":\"MESOS\",\"linux_info\":{\"share_cgroups\":false}}}",
            "Only tasks in a task group may have 'share_cgroups'"},
        {"{" IDS "," RESOURCES "," COMMAND ",\"health_check\":{\"command\":{\"value\":\"x\"}}}",
            "Task uses invalid health check: HealthCheck must specify a known 'type'"},
        {"{" IDS "," RESOURCES "," COMMAND
         ",\"check\":{\"type\":\"HTTP\",\"http\":{\"port\":1,\"path\":"
         "\"x\"}}}",
            "Task uses invalid check: The path 'x' of an HTTP check must start with '/'"},
        {"{" IDS "," PORTS ",\"executor\":{" EXECUTOR_IDS "," COMMAND "," PORTS "}}",
            "Task and its executor use the same part of the resource 'ports'"},
        {"{" IDS "," RESOURCES ",\"executor\":{\"executor_id\":{\"value\":\"e\"},\"framework_id\":{"
         "\"value\":\"G\"}," COMMAND "}}",
            "ExecutorInfo has an invalid FrameworkID (actual 'G', expected 'F')"},
        {"{" IDS "," RESOURCES ",\"executor\":{" EXECUTOR_IDS ",\"type\":\"DEFAULT\"}}",
            "'ExecutorInfo.type' must be 'CUSTOM' or unset"},
        {"{" IDS "," RESOURCES ",\"executor\":{" EXECUTOR_IDS "}}",
            "'ExecutorInfo.command' must be set"},
        {"{" IDS ",\"resources\":[{\"name\":\"disk\",\"type\":\"SCALAR\",\"scalar\":{\"value\":1},"
         "\"allocation_info\":{\"role\":\"*\"},\"disk\":{}}]," COMMAND "}",
            "DiskInfo is set but empty"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        struct error err = ERROR_INIT;
        int r = task_validate(
            parse(&mesos__v1__task_info__descriptor, &arena, cases[i].in), &g_context, &err);
        if (r != (cases[i].why[0] ? -EINVAL : 0) || !strstr(err.msg, cases[i].why))
            fail_msg("%s\ngives %d '%s'\nnot '%s'", cases[i].in, r, err.msg, cases[i].why);
    }
    assert_int_equal(resource_kinds_in_use(), 0);
}

#define GROUP_EXECUTOR                                                                             \
    "{" EXECUTOR_IDS ",\"type\":\"DEFAULT\",\"resources\":[" SCALAR("cpus", "0.1") "," SCALAR(     \
        "mem", "32") "," SCALAR("disk", "10") "]}"

static void groups(void **state)
{
    (void)state;
#define TASK(more) "{" IDS "," RESOURCES "," COMMAND more "}"
    static const struct {
        const char *group, *executor, *why;
    } cases[] = {
        {"{\"tasks\":[" TASK("") "]}", GROUP_EXECUTOR, ""},
        {"{}", GROUP_EXECUTOR, "Task group must not be empty"},
        {"{\"tasks\":[" TASK("") "," TASK("") "]}", GROUP_EXECUTOR,
            "Two tasks of the group have the same ID"},
        {"{\"tasks\":[" TASK(
             ",\"container\":{\"type\":\"DOCKER\",\"docker\":{\"image\":\"i\"}}") "]}",
            GROUP_EXECUTOR, "Docker ContainerInfo is not supported on the task"},
        {"{\"tasks\":[" TASK(",\"limits\":{\"mem\":{\"value\":64}}") "]}", GROUP_EXECUTOR,
            "Resource limits may only be set"},
        {"{\"tasks\":[" TASK("") "]}", "{" EXECUTOR_IDS ",\"type\":\"DEFAULT\"}",
            "Executor must use at least 0.01 cpus"},
        {"{\"tasks\":[" TASK("") "]}", "{" EXECUTOR_IDS "}", "'ExecutorInfo.type' must be set"},
        {"{\"tasks\":[" TASK("") "]}", "{" EXECUTOR_IDS ",\"type\":\"DEFAULT\"," COMMAND "}",
            "'ExecutorInfo.command' must not be set for 'DEFAULT' executor"},
        {"{\"tasks\":[" TASK("," EXECUTOR) "]}", GROUP_EXECUTOR, "is not the group's"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        struct error err = ERROR_INIT;
        int r = task_group_validate(
            parse(&mesos__v1__task_group_info__descriptor, &arena, cases[i].group),
            parse(&mesos__v1__executor_info__descriptor, &arena, cases[i].executor), &g_context,
            &err);
        if (r != (cases[i].why[0] ? -EINVAL : 0) || !strstr(err.msg, cases[i].why))
            fail_msg("%s\ngives %d '%s'\nnot '%s'", cases[i].group, r, err.msg, cases[i].why);
    }
    assert_int_equal(resource_kinds_in_use(), 0);
}

static void parts(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        int want;
    } commands[] = {
        {"{\"value\":\"x\",\"uris\":[{\"value\":\"http://h/f.tgz\"},{\"value\":\"/etc/x\"}]}", 0},
        {"{\"uris\":[{\"value\":\"http://h\"}]}", -EINVAL},
        {"{\"uris\":[{\"value\":\"http://h/\"}]}", -EINVAL},
        {"{\"uris\":[{\"value\":\"http://h/it's\"}]}", -EINVAL},
        {"{\"uris\":[{\"value\":\"a\\\\b\"}]}", -EINVAL},
        {"{\"uris\":[{\"value\":\"a\",\"output_file\":\"/abs\"}]}", -EINVAL},
        {"{\"environment\":{\"variables\":[{\"name\":\"A\",\"value\":\"b\"}]}}", 0},
        {"{\"environment\":{\"variables\":[{\"name\":\"A\"}]}}", -EINVAL},
        {"{\"environment\":{\"variables\":[{\"name\":\"A\",\"type\":\"UNKNOWN\",\"value\":\"b\"}]}"
         "}",
            -EINVAL},
        {"{\"environment\":{\"variables\":[{\"name\":\"A\",\"type\":\"SECRET\",\"secret\":{"
         "\"type\":"
         "\"VALUE\",\"value\":{\"data\":\"AGE=\"}}}]}}",
            -EINVAL},
        {"{\"environment\":{\"variables\":[{\"name\":\"A\",\"type\":\"SECRET\",\"secret\":{"
         "\"type\":"
         "\"REFERENCE\",\"reference\":{\"name\":\"s\"}}}]}}",
            0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        int r = command_validate(
            parse(&mesos__v1__command_info__descriptor, &arena, commands[i].in), NULL);
        if (r != commands[i].want)
            fail_msg("%s: %d", commands[i].in, r);
    }
    static const struct {
        const char *in;
        int want;
    } volumes[] = {{"{\"host_path\":\"a\"}", 0}, {"{}", -EINVAL},
        {"{\"host_path\":\"a\",\"image\":{}}", -EINVAL},
        {"{\"source\":{\"type\":\"SANDBOX_PATH\",\"sandbox_path\":{\"path\":\"p\"}}}", 0},
        {"{\"source\":{\"type\":\"HOST_PATH\",\"sandbox_path\":{\"path\":\"p\"}}}", -EINVAL},
        {"{\"source\":{\"type\":\"CSI_VOLUME\",\"csi_volume\":{\"plugin_name\":\"p\"}}}", -EINVAL}};
    for (size_t i = 0; i < ARRAY_SIZE(volumes); i++) {
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        assert_int_equal(
            volume_validate(parse(&mesos__v1__volume__descriptor, &arena, volumes[i].in), NULL),
            volumes[i].want);
    }
}

static void states(void **state)
{
    (void)state;
    static const struct {
        Mesos__V1__TaskState state;
        const char *name;
        bool terminal, for_all;
    } cases[] = {
        {MESOS__V1__TASK_STATE__TASK_STAGING, "TASK_STAGING", false, true},
        {MESOS__V1__TASK_STATE__TASK_RUNNING, "TASK_RUNNING", false, true},
        {MESOS__V1__TASK_STATE__TASK_KILLING, "TASK_KILLING", false, true},
        {MESOS__V1__TASK_STATE__TASK_FINISHED, "TASK_FINISHED", true, true},
        {MESOS__V1__TASK_STATE__TASK_ERROR, "TASK_ERROR", true, true},
        {MESOS__V1__TASK_STATE__TASK_LOST, "TASK_LOST", true, true},
        {MESOS__V1__TASK_STATE__TASK_DROPPED, "TASK_DROPPED", true, false},
        {MESOS__V1__TASK_STATE__TASK_UNREACHABLE, "TASK_UNREACHABLE", false, false},
        {MESOS__V1__TASK_STATE__TASK_GONE_BY_OPERATOR, "TASK_GONE_BY_OPERATOR", true, false},
        {MESOS__V1__TASK_STATE__TASK_UNKNOWN, "TASK_UNKNOWN", false, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Mesos__V1__TaskState parsed;
        assert_string_equal(task_state_name(cases[i].state), cases[i].name);
        assert_int_equal(task_state_parse(cases[i].name, &parsed), 0);
        assert_int_equal(parsed, cases[i].state);
        assert_int_equal(task_state_is_terminal(parsed), cases[i].terminal);
        assert_int_equal(task_state_for(parsed, FRAMEWORK_PARTITION_AWARE), parsed);
        assert_int_equal(task_state_for(parsed, 0),
            cases[i].for_all ? parsed : MESOS__V1__TASK_STATE__TASK_LOST);
    }
    assert_int_equal(task_state_parse("TASK_NONE", &(Mesos__V1__TaskState){0}), -ENOENT);
    /* Every reason with AGENT in it has a legacy name. */
    for (unsigned i = 0; i < mesos__v1__task_status__reason__descriptor.n_values; i++) {
        const ProtobufCEnumValue *v = &mesos__v1__task_status__reason__descriptor.values[i];
        const char *old = task_reason_name_v0((Mesos__V1__TaskStatus__Reason)v->value);
        assert_null(strstr(old, "AGENT"));
        assert_int_equal(strlen(old), strlen(v->name));
    }
    assert_string_equal(
        task_source_name_v0(MESOS__V1__TASK_STATUS__SOURCE__SOURCE_AGENT), "SOURCE_SLAVE");
}

static void statuses(void **state)
{
    (void)state;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &out);
    wire_to_json(
        &w, &task_status_new(&arena, "t9", MESOS__V1__TASK_STATE__TASK_ERROR,
                MESOS__V1__TASK_STATUS__SOURCE__SOURCE_MASTER,
                MESOS__V1__TASK_STATUS__REASON__REASON_TASK_INVALID, "why", "S0", 1700000001500000)
                 ->base);
    assert_string_equal(buf_cstr(&out),
        "{\"task_id\":{\"value\":\"t9\"},\"state\":\"TASK_ERROR\",\"message\":\"why\",\"source\":"
        "\"SOURCE_MASTER\",\"reason\":\"REASON_TASK_INVALID\",\"agent_id\":{\"value\":\"S0\"},"
        "\"timestamp\":1700000001.5}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tasks), cmocka_unit_test(groups),
        cmocka_unit_test(parts), cmocka_unit_test(states), cmocka_unit_test(statuses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
