#include "../unit.h"

#include <stdio.h>

#include "exhibitor/api.h"

static void make(struct view *v)
{
    struct error err = ERROR_INIT;
    *v = (struct view){.address = "10.0.0.2", .settled = true, .state = "fine"};
    assert_int_equal(
        document_of_ensemble("1:10.0.0.1,2:10.0.0.2,3:10.0.0.3", &v->document, &err), 0);
    v->answers[0] = ANSWER_FOLLOWER;
    v->answers[1] = ANSWER_LEADER;
    v->answers[2] = ANSWER_NONE;
}

static void test_answers(void **state)
{
    struct view v;
    _cleanup_buf_ struct buf status = BUF_INIT, list = BUF_INIT, config = BUF_INIT;
    make(&v);
    api_write_status(&v, &status);
    assert_string_equal(status.p,
        "[{\"code\":3,\"description\":\"serving\",\"hostname\":\"10.0.0.1\",\"isLeader\":false},"
        "{\"code\":3,\"description\":\"serving\",\"hostname\":\"10.0.0.2\",\"isLeader\":true},"
        "{\"code\":1,\"description\":\"down\",\"hostname\":\"10.0.0.3\",\"isLeader\":false}]");
    api_write_list(&v, 2181, &list);
    assert_string_equal(
        list.p, "{\"servers\":[\"10.0.0.1\",\"10.0.0.2\",\"10.0.0.3\"],\"port\":2181}");
    api_write_config(&v, 2181, &config);
    assert_non_null(strstr(config.p, "\"running\":true"));
    assert_non_null(strstr(config.p, "\"serverId\":2"));
    assert_non_null(strstr(config.p, "\"serversSpec\":\"1:10.0.0.1,2:10.0.0.2,3:10.0.0.3\""));
    assert_non_null(strstr(config.p, "\"rollInProgress\":false"));
}

static void test_srvr(void **state)
{
    static const struct {
        const char *text;
        enum answer answer;
    } rows[] = {{"", ANSWER_NONE},
        {"Zookeeper version: 3.8\nMode: leader\nNode count: 5\n", ANSWER_LEADER},
        {"Mode: follower\n", ANSWER_FOLLOWER}, {"Mode: standalone\n", ANSWER_STANDALONE},
        {"This ZooKeeper instance is not currently serving requests\n", ANSWER_NOT_SERVING}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(ask_parse(str_of(rows[i].text)), rows[i].answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_answers), cmocka_unit_test(test_srvr)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
