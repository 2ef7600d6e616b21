#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "ssh/chain.h"

/* The state file of chains, and quoting. What talks to hosts is in test/integration/test_ssh.py. */

static const struct chain_host hosts[] = {
    {"192.0.2.11", 22, "master", "master"}, {"192.0.2.21", 2222, "agent", "slave"}};

static char *folder_new(void)
{
    char *path = xstrdup("/tmp/dcos-ssh-state-XXXXXX");
    assert_non_null(mkdtemp(path));
    return path;
}

static void assert_file(const char *path, const char *want)
{
    struct buf got = BUF_INIT;
    json_t *parsed = NULL, *expected = NULL;
    assert_int_equal(file_read(path, 1 << 20, &got, NULL), 0);
    assert_int_equal(json_parse(got.p, got.n, &parsed, NULL), 0);
    assert_int_equal(json_parse(want, strlen(want), &expected, NULL), 0);
    if (!json_equal(parsed, expected))
        fail_msg("state is %s\nwanted %s", got.p, want);
    json_decref(parsed);
    json_decref(expected);
    buf_done(&got);
}

static void test_file(void **state)
{
    char *folder = folder_new(), *path = path_join(folder, "deploy.json");
    struct chain chain = {.name = "deploy", .hosts = hosts, .n_hosts = 1, .state_path = path};
    struct chain_state *s = NULL;
    struct error err = ERROR_INIT;
    assert_int_equal(chain_state_open(&chain, &s, &err), 0);
    assert_int_equal(chain_state_write(s, &err), 0);
    /* Before the first result there are hosts only. */
    assert_file(path,
        "{\"hosts\":{\"192.0.2.11:22\":{\"commands\":[],\"host_status\":\"unstarted\","
        "\"tags\":{\"role\":\"master\",\"dcos_install_param\":\"master\"}}}}");
    const struct chain_command command = {.cmd = "ls",
        .stage = "look",
        .out = STR("a\r\nb\n"),
        .err = STR("\xff!\x9b\xc2\x9b\x7f\xc3\xa9\xe2\x80\xae."),
        .returncode = 2,
        .date_us = INT64_C(1449224050000123)};
    chain_state_command(s, 0, &command);
    assert_int_equal(chain_state_write(s, &err), 0);
    char *want = xasprintf(
        "{\"hosts\":{\"192.0.2.11:22\":{\"commands\":[{\"cmd\":\"ls\",\"stdout\":[\"a\",\"b\"],"
        "\"stderr\":[\"?!???\xc3\xa9?.\"],\"returncode\":2,\"pid\":%d,\"stage\":\"look\","
        "\"date\":\"2015-12-04 10:14:10.000123\"}],\"host_status\":\"running\",\"tags\":{\"role\":"
        "\"master\",\"dcos_install_param\":\"master\"}}},\"chain_name\":\"deploy\","
        "\"total_hosts\":1,\"total_masters\":1,\"total_agents\":0}",
        getpid());
    assert_file(path, want);
    free(want);
    chain_state_host(s, 0, CHAIN_FAILED);
    assert_int_equal(chain_state_write(s, &err), 0);
    chain_state_free(s);

    /* Another run has other hosts: those of the first stay. */
    chain.hosts = hosts + 1;
    assert_int_equal(chain_state_open(&chain, &s, &err), 0);
    chain_state_host(s, 0, CHAIN_SUCCESS);
    assert_int_equal(chain_state_write(s, &err), 0);
    chain_state_free(s);
    json_t *root = NULL;
    assert_int_equal(chain_state_read(path, &root, &err), 0);
    const json_t *all = json_at(root, "hosts");
    assert_int_equal(json_object_size(all), 2);
    assert_string_equal(json_str_at(json_at(all, "192.0.2.11:22"), "host_status", ""), "failed");
    assert_string_equal(json_str_at(json_at(all, "192.0.2.21:2222"), "host_status", ""), "success");
    assert_int_equal(json_i64_at(root, "total_hosts", 0), 2);
    assert_int_equal(json_i64_at(root, "total_agents", 0), 1);
    json_decref(root);
    assert_int_equal(remove_tree(folder, NULL), 0);
    free(path);
    free(folder);
}

static void test_broken_file(void **state)
{
    static const char *const texts[] = {"", "{\"hosts\":", "[]", "{\"hosts\":3}"};
    char *folder = folder_new(), *path = path_join(folder, "deploy.json");
    struct chain chain = {.name = "deploy", .hosts = hosts, .n_hosts = 2, .state_path = path};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct chain_state *s = NULL;
        struct error err = ERROR_INIT;
        assert_int_equal(file_write_atomic(path, texts[i], strlen(texts[i]), 0644, NULL), 0);
        assert_int_equal(chain_state_open(&chain, &s, &err), -EBADMSG);
        assert_non_null(strstr(err.msg, "is no state file"));
    }
    assert_int_equal(remove_tree(folder, NULL), 0);
    struct error err = ERROR_INIT;
    json_t *root = NULL;
    assert_int_equal(chain_state_read(path, &root, &err), -ENOENT);
    free(path);
    free(folder);
}

static void test_unwritable(void **state)
{
    struct chain chain = {
        .name = "deploy", .hosts = hosts, .n_hosts = 2, .state_path = "/nonexistent/deploy.json"};
    struct chain_result results[2];
    struct error err = ERROR_INIT;
    assert_true(chain_run(&chain, results, &err) < 0);
    assert_non_null(strstr(err.msg, "/nonexistent"));
}

static void test_quote(void **state)
{
    static const struct {
        const char *text, *want;
    } rows[] = {{"", "''"}, {"a b", "'a b'"}, {"it's", "'it'\\''s'"}, {"$x`y`", "'$x`y`'"}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char *got = ssh_quote(rows[i].text);
        assert_string_equal(got, rows[i].want);
        free(got);
    }
}

static void test_digest(void **state)
{
    char *folder = folder_new(), *path = path_join(folder, "f");
    struct ssh_file f = {0};
    struct error err = ERROR_INIT;
    assert_int_equal(file_write_atomic(path, "abc", 3, 0644, NULL), 0);
    assert_int_equal(ssh_file_init(&f, path, &err), 0);
    assert_int_equal(f.size, 3);
    assert_string_equal(
        f.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    ssh_file_done(&f);
    assert_int_equal(ssh_file_init(&f, folder, &err), -EINVAL);
    assert_int_equal(remove_tree(folder, NULL), 0);
    assert_int_equal(ssh_file_init(&f, path, &err), -ENOENT);
    free(path);
    free(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_file),
        cmocka_unit_test(test_broken_file), cmocka_unit_test(test_unwritable),
        cmocka_unit_test(test_quote), cmocka_unit_test(test_digest)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
