#include "../unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "exhibitor/follow.h"
#include "exhibitor/shared.h"

static int make_folder(void **state)
{
    char *folder = strdup("/tmp/dcos-test-XXXXXX");
    *state = mkdtemp(folder);
    return *state ? 0 : -1;
}

static int remove_folder(void **state)
{
    int r = remove_tree(*state, NULL);
    free(*state);
    return r;
}

static void test_files(void **state)
{
    const struct local l = {.folder = *state, .run_folder = *state, .client_port = 2181};
    char token[MASTER_TOKEN_MAX], again[MASTER_TOKEN_MAX];
    struct error err = ERROR_INIT;
    struct document d, known;
    struct core_local now = {0};
    assert_int_equal(local_token(&l, token, &err), 0);
    assert_int_equal(local_token(&l, again, &err), 0);
    assert_string_equal(token, again);
    assert_int_equal(local_known(&l, &known, &err), -ENOENT);
    assert_int_equal(document_of_ensemble("1:10.0.0.1,2:10.0.0.2", &d, &err), 0);
    snprintf(d.cluster, sizeof(d.cluster), "%s", token);
    for (size_t i = 0; i < 2; i++)
        snprintf(d.members[i].token, sizeof(d.members[i].token), "%s", token);
    assert_int_equal(local_remember(&l, &d, &err), 0);
    assert_int_equal(local_known(&l, &known, &err), 0);
    assert_memory_equal(&d, &known, sizeof(d));
    assert_int_equal(local_look(&l, &now, &err), 0);
    assert_string_equal(now.wanted, "");
    assert_int_equal(local_want(&l, "1:10.0.0.1", &err), 0);
    assert_int_equal(local_look(&l, &now, &err), 0);
    assert_string_equal(now.wanted, "1:10.0.0.1");
    assert_string_equal(now.running, ""); /* nobody starts one here */
    assert_int_equal(local_want(&l, "", &err), 0);
    assert_int_equal(local_look(&l, &now, &err), 0);
    assert_string_equal(now.wanted, "");
    assert_int_equal(local_tell_servers(&l, &d, &err), 0);
    _cleanup_free_ char *path = path_join(*state, "servers");
    _cleanup_buf_ struct buf text = BUF_INIT;
    assert_int_equal(file_read(path, 1000, &text, &err), 0);
    assert_string_equal(text.p, "10.0.0.1:2181,10.0.0.2:2181");
}

static void test_config(void **state)
{
    char text[ENSEMBLE_TEXT_MAX];
    local_read_config(STR("tickTime=2000\nserver.1=10.0.0.1:2888:3888\n"
                          "server.12=10.0.0.2:2888:3888:participant;2181\nserver.x\n"),
        text);
    assert_string_equal(text, "1:10.0.0.1,12:10.0.0.2");
    local_read_config(STR(""), text);
    assert_string_equal(text, "");
}

static void test_shared_file(void **state)
{
    struct shared *a = NULL, *b = NULL;
    struct error err = ERROR_INIT;
    _cleanup_free_ char *tag = NULL, *newer = NULL;
    _cleanup_buf_ struct buf text = BUF_INIT, one = BUF_INIT, two = BUF_INIT;
    buf_puts(&one, "one");
    buf_puts(&two, "two");
    assert_int_equal(shared_file_new("relative", "a", &a, &err), -EINVAL);
    assert_int_equal(shared_file_new(*state, "a", &a, &err), 0);
    assert_int_equal(shared_file_new(*state, "b", &b, &err), 0);
    assert_int_equal(shared_read(a, &text, &tag, &err), -ENOENT);
    assert_int_equal(shared_write(a, "what was there", &one, &err), -EAGAIN);
    assert_int_equal(shared_write(a, NULL, &one, &err), 0);
    assert_int_equal(shared_write(b, NULL, &two, &err), -EAGAIN);
    assert_int_equal(shared_read(b, &text, &tag, &err), 0);
    assert_string_equal(text.p, "one");
    assert_int_equal(shared_write(b, tag, &two, &err), 0);
    assert_int_equal(shared_write(a, tag, &one, &err), -EAGAIN);
    buf_clear(&text);
    assert_int_equal(shared_read(a, &text, &newer, &err), 0);
    assert_string_equal(text.p, "two");
    shared_free(a);
    shared_free(b);
}

static void test_follow(void **state)
{
    static const struct {
        const char *text;
        int code;
    } bad[] = {{"", -EBADMSG}, {"{}", -EBADMSG}, {"{\"servers\":[],\"port\":2181}", -EAGAIN},
        {"{\"servers\":[\"a b\"],\"port\":2181}", -EBADMSG},
        {"{\"servers\":[\"10.0.0.1\"],\"port\":0}", -EBADMSG},
        {"{\"servers\":[\"10.0.0.1\"],\"port\":70000}", -EBADMSG},
        {"{\"servers\":\"10.0.0.1\",\"port\":1}", -EBADMSG}};
    static const char good[] = "{\"servers\":[\"10.0.0.1\",\"10.0.0.2\"],\"port\":2181}";
    struct error err = ERROR_INIT;
    _cleanup_buf_ struct buf text = BUF_INIT;
    assert_int_equal(follow_parse(good, strlen(good), &text, &err), 0);
    assert_string_equal(text.p, "10.0.0.1:2181,10.0.0.2:2181");
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(follow_parse(bad[i].text, strlen(bad[i].text), &text, &err), bad[i].code);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_files, make_folder, remove_folder),
        cmocka_unit_test(test_config),
        cmocka_unit_test_setup_teardown(test_shared_file, make_folder, remove_folder),
        cmocka_unit_test(test_follow)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
