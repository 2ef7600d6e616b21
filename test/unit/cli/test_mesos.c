#include "unit.h"
#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "cli/mesos.h"

static const char state_text[] =
    "{\"frameworks\":[{\"id\":\"F\",\"tasks\":["
    "{\"id\":\"web.1\",\"state\":\"TASK_RUNNING\",\"slave_id\":\"S0\"},"
    "{\"id\":\"web.11\",\"state\":\"TASK_STAGING\",\"slave_id\":\"S1\"}],"
    "\"completed_tasks\":[{\"id\":\"db.1\",\"state\":\"TASK_FAILED\",\"slave_id\":\"S0\"}]}]}";

static void addresses(void **state)
{
    (void)state;
    static const struct {
        const char *pid, *ip;
    } cases[] = {{"slave(1)@10.0.0.5:5051", "10.0.0.5"}, {"master@[::1]:5050", "::1"},
        {"slave(1)", NULL}, {"x@nocolon", NULL}, {NULL, NULL}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char *ip = mesos_pid_ip(cases[i].pid);
        if (cases[i].ip)
            assert_string_equal(ip, cases[i].ip);
        else
            assert_null(ip);
        free(ip);
    }
}

static void tasks(void **state)
{
    (void)state;
    static const struct {
        enum task_scope scope;
        const char *filter, *agent;
        size_t n;
    } cases[] = {{TASKS_ACTIVE, NULL, NULL, 2}, {TASKS_COMPLETED, NULL, NULL, 1},
        {TASKS_ALL, NULL, NULL, 3}, {TASKS_ALL, "web", NULL, 2}, {TASKS_ALL, "*.1", NULL, 2},
        {TASKS_ALL, NULL, "S0", 2}, {TASKS_ACTIVE, "db", NULL, 0}};
    _cleanup_json_ json_t *json = NULL;
    assert_int_equal(json_parse(state_text, sizeof(state_text) - 1, &json, NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_json_ json_t *found = mesos_tasks(
            json, cases[i].scope, cases[i].filter, cases[i].agent);
        assert_int_equal(json_array_size(found), cases[i].n);
    }
    const json_t *one = NULL;
    struct error err = ERROR_INIT;
    _cleanup_json_ json_t *web = mesos_tasks(json, TASKS_ALL, "web.1", NULL);
    assert_int_equal(mesos_one_task(web, "web.1", &one, &err), 0); /* an exact id wins */
    assert_string_equal(json_str_at(one, "id", ""), "web.1");
    assert_int_equal(mesos_one_task(web, "web", &one, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "found more than one task with the same name: [web.1 web.11]"));
    _cleanup_json_ json_t *none = json_array();
    assert_int_equal(mesos_one_task(none, "x", &one, &err), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest all[] = {cmocka_unit_test(addresses), cmocka_unit_test(tasks)};
    return cmocka_run_group_tests(all, NULL, NULL);
}
