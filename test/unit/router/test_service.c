#include "unit.h"

#include "router/service.h"

static struct service *read_app(const char *text)
{
    json_t *app = NULL;
    struct error err = ERROR_INIT;
    if (json_parse(text, strlen(text), &app, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
    struct service *s = service_read(app);
    json_decref(app);
    return s;
}

static void names(void **state)
{
    (void)state;
    static const struct {
        const char *text, *name;
    } rows[] = {
        {"a", "a"},
        {"/a", "a"},
        {"a/", "a"},
        {"group/app", "app.group"},
        {"/a//b/c/", "c.b.a"},
        {"a.b/c", "c.a.b"},
        {"", ""},
        {"///", ""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_buf_ struct buf out = BUF_INIT;
        service_name(&out, rows[i].text);
        assert_string_equal(buf_cstr(&out), rows[i].name);
    }
}

#define LABELS(index)                                                                              \
    "\"labels\":{\"DCOS_SERVICE_NAME\":\"g/x\",\"DCOS_SERVICE_SCHEME\":\"https\","                 \
    "\"DCOS_SERVICE_PORT_INDEX\":" index "}"
#define TASK "{\"id\":\"t1\",\"state\":\"TASK_RUNNING\",\"host\":\"h1\",\"ports\":[10,11]}"

static void apps(void **state)
{
    (void)state;
    static const struct {
        const char *app;
        const char *host; /* NULL: no instance; "-": no service */
        unsigned port;
    } rows[] = {
        {"{\"id\":\"/x\"," LABELS("\"1\"") ",\"tasks\":[" TASK "]}", "h1", 11},
        {"{\"id\":\"/x\"," LABELS("0") ",\"tasks\":[" TASK "]}", "h1", 10},
        {"{\"id\":\"/x\"," LABELS("\"2\"") ",\"tasks\":[" TASK "]}", NULL, 0},
        {"{\"id\":\"/x\"," LABELS("\"one\"") ",\"tasks\":[" TASK "]}", "-", 0},
        {"{\"id\":\"/x\"," LABELS("-1") ",\"tasks\":[" TASK "]}", "-", 0},
        {"{\"id\":\"/x\"," LABELS("1.5") ",\"tasks\":[" TASK "]}", "-", 0},
        {"{\"id\":\"/x\"," LABELS("\"99999999999\"") ",\"tasks\":[" TASK "]}", "-", 0},
        {"{\"id\":\"/x\"," LABELS("\"0\"") "}", NULL, 0},
        {"{\"id\":\"/x\"," LABELS("\"0\"") ",\"tasks\":null}", NULL, 0},
        {"{\"id\":\"/x\"," LABELS("\"0\"") ",\"tasks\":[null,5,[]]}", NULL, 0},
        {"{" LABELS("\"0\"") ",\"tasks\":[" TASK "]}", "-", 0},
        {"{\"id\":\"/x\",\"labels\":5}", "-", 0},
        {"{\"id\":\"/x\",\"labels\":{\"DCOS_SERVICE_NAME\":5}}", "-", 0},
        {"[]", "-", 0},
        /* container networks: the task's own address, the container's port unless it is 0 */
        {"{\"id\":\"/x\"," LABELS(
             "0") ",\"networks\":[{\"mode\":\"container\"}],\"container\":{\"portMappings\":"
                  "[{\"containerPort\":80}]},\"tasks\":[{\"id\":\"t\",\"state\":\"TASK_RUNNING\","
                  "\"host\":\"h1\",\"ipAddresses\":[{\"ipAddress\":\"9.0.0.1\"}]}]}",
            "9.0.0.1", 80},
        {"{\"id\":\"/x\"," LABELS(
             "1") ",\"networks\":[{\"mode\":\"container\"}],\"container\":{\"portMappings\":"
                  "[{\"containerPort\":80}]},\"tasks\":[" TASK "]}",
            "-", 0},
        /* without a container the mode does not count */
        {"{\"id\":\"/x\"," LABELS("0") ",\"networks\":[{\"mode\":\"container\"}],\"tasks\":[" TASK
                                       "]}",
            "h1", 10},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct service *s = read_app(rows[i].app);
        if (rows[i].host && streq(rows[i].host, "-")) {
            if (s)
                fail_msg("row %zu is a service", i);
            continue;
        }
        if (!s)
            fail_msg("row %zu is no service", i);
        assert_string_equal(s->name, "x.g");
        assert_int_equal(s->flags, TARGET_TLS);
        if (rows[i].host) {
            assert_int_equal(s->n_instances, 1);
            assert_string_equal(s->instances[0].host, rows[i].host);
            assert_int_equal(s->instances[0].port, rows[i].port);
        } else {
            assert_int_equal(s->n_instances, 0);
        }
        service_free(s);
    }
}

static void instances_go(void **state)
{
    (void)state;
    struct service *s = read_app("{\"id\":\"/x\"," LABELS(
        "0") ",\"tasks\":[{\"id\":\"a\",\"state\":\"TASK_STAGING\",\"host\":\"h\",\"ports\":[1]},"
             "{\"id\":\"b\",\"state\":\"TASK_RUNNING\",\"host\":\"h\",\"ports\":[2]},"
             "{\"id\":\"c\",\"state\":\"TASK_RUNNING\",\"host\":\"h\",\"ports\":[3]}]}");
    assert_non_null(s);
    assert_int_equal(s->n_instances, 2);
    assert_false(service_drop(s, "a"));
    assert_true(service_drop(s, "b"));
    assert_false(service_drop(s, "b"));
    assert_int_equal(s->instances[0].port, 3);
    assert_true(service_drop(s, "c"));
    assert_int_equal(s->n_instances, 0);
    service_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(apps),
        cmocka_unit_test(instances_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
