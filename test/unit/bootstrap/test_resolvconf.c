#include "host.h"

#define HEAD                                                                                       \
    "# Written by dcos-gen-resolvconf every minute; changes are lost.\n"                           \
    "options timeout:1 attempts:3\n"

static void test_text(void **state)
{
    static const struct {
        bool answers[3];
        const char *fallback, *search, *text;
    } rows[] = {
        {{true, true, true}, "8.8.8.8", "a b",
            HEAD "search a b\nnameserver 198.51.100.1\nnameserver 198.51.100.2\nnameserver "
                 "198.51.100.3\n"},
        {{false, true, false}, "8.8.8.8", NULL, HEAD "nameserver 198.51.100.2\n"},
        {{false}, "8.8.8.8, 8.8.4.4:53,1.1.1.1:5353,fd00::1,9.9.9.9", "",
            HEAD "nameserver 8.8.8.8\nnameserver 8.8.4.4\nnameserver fd00::1\n"},
        {{false}, "nonsense,,300.1.1.1", NULL, HEAD},
        {{false}, NULL, NULL, HEAD},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_buf_ struct buf text = BUF_INIT;
        resolvconf_text(rows[i].answers, rows[i].fallback, rows[i].search, &text);
        assert_string_equal(buf_cstr(&text), rows[i].text);
    }
}

/* Nobody answers in the test: the other servers are written, links are replaced. */
static void test_file(void **state)
{
    struct host *h = *state;
    struct error err = ERROR_INIT;
    _cleanup_free_ char *path = node_path(&h->n, "/etc/resolv.conf");
    struct stat before, after;
    host_write(h, "/etc/other", "nameserver 127.0.0.53\n", 0644);
    assert_int_equal(symlink("other", path), 0);
    setenv("RESOLVERS", "192.0.2.53", 1);
    setenv("SEARCH", "example", 1);
    assert_int_equal(resolvconf_run(&h->n, &err), 0);
    host_expect(h, "/etc/resolv.conf", HEAD "search example\nnameserver 192.0.2.53\n");
    host_expect(h, "/etc/other", "nameserver 127.0.0.53\n");
    assert_int_equal(lstat(path, &before), 0);
    assert_true(S_ISREG(before.st_mode));
    assert_int_equal(resolvconf_run(&h->n, &err), 0);
    assert_int_equal(lstat(path, &after), 0);
    assert_true(before.st_ino == after.st_ino);
    setenv("RESOLVERS", "192.0.2.53:5353", 1);
    assert_true(resolvconf_run(&h->n, &err) < 0);
    host_expect(h, "/etc/resolv.conf", HEAD "search example\nnameserver 192.0.2.53\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_text),
        cmocka_unit_test_setup_teardown(test_file, host_set_up, host_tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
