#include "unit.h"

#include "minidcos/cleanup.h"

static void marks(void **state)
{
    (void)state;
    static const struct {
        struct str environment, arguments;
        bool ours;
    } cases[] = {
        {STR("A=b\0MESOS_SANDBOX=/h/c/agent-1/slaves\0"), STR("/bin/sh\0-c\0x\0"), true},
        {STR("MINIDCOS_CLUSTER=/h/c\0"), STR("x\0"), true},
        {STR("MINIDCOS_CLUSTER=/h/c2\0"), STR("x\0"), false},   /* a neighbour */
        {STR("MESOS_SANDBOX=/h\0"), STR("x\0"), false},         /* above it */
        {STR("XMESOS_SANDBOX=/h/c/x\0"), STR("x\0"), false},    /* another variable */
        {STR("PWD=/h/c/agent-1\0"), STR("/bin/bash\0"), false}, /* a shell that stands there */
        {STR(""), STR("/usr/bin/dcos-agent\0--work_dir=/h/c/agent-1\0"), true},
        {STR(""), STR("dcos-agent\0--work_dir=/h/c2/agent-1\0"), false},
        {STR(""), STR("grep\0--work_dir=/h/c/agent-1\0"), false},
        {STR(""), STR("tail\0-f\0/h/c/logs/master.log\0"), false},
        {STR(""), STR(""), false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_int_equal(
            marks_process("/h/c", cases[i].environment, cases[i].arguments), cases[i].ours);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(marks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
