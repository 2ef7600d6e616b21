#include "unit.h"

#include <errno.h>
#include <string.h>

#include "containerizer/launch_wire.h"

static void test_round_trip(void **state)
{
    struct launch_record m = {.type = LAUNCH_START,
        .id = "one",
        .cwd = "/box",
        .user = "me",
        .stdout_path = "out",
        .state_dir = "/state",
        .flags = 5,
        .pid = -3,
        .start_time = INT64_MAX,
        .status = 9};
    vec_push(&m.argv, "sh");
    vec_push(&m.argv, "");
    vec_push(&m.envp, "A=b");
    vec_push(&m.dirs, "/cg/one");
    _cleanup_buf_ struct buf out = BUF_INIT;
    launch_encode(&m, &out);
    size_t first = out.n;
    launch_encode(&(struct launch_record){.type = LAUNCH_HELLO, .major = 1}, &out);

    struct launch_record got;
    for (size_t n = 0; n < first; n++)
        assert_int_equal(launch_decode((struct str){out.p, n}, &got), 0);
    assert_int_equal(launch_decode(buf_str(&out), &got), first);
    assert_int_equal(got.type, LAUNCH_START);
    assert_string_equal(got.id, "one");
    assert_string_equal(got.cwd, "/box");
    assert_string_equal(got.user, "me");
    assert_string_equal(got.stdout_path, "out");
    assert_null(got.stderr_path);
    assert_string_equal(got.state_dir, "/state");
    assert_int_equal(got.argv.n, 2);
    assert_string_equal(got.argv.items[0], "sh");
    assert_string_equal(got.argv.items[1], "");
    assert_null(got.argv.items[2]);
    assert_string_equal(got.envp.items[0], "A=b");
    assert_string_equal(got.dirs.items[0], "/cg/one");
    assert_int_equal(got.flags, 5);
    assert_int_equal(got.pid, -3);
    assert_true(got.start_time == INT64_MAX);
    assert_int_equal(got.status, 9);
    launch_record_done(&got);
    assert_int_equal(
        launch_decode((struct str){out.p + first, out.n - first}, &got), out.n - first);
    assert_int_equal(got.major, 1);
    launch_record_done(&got);
    launch_record_done(&m);
}

static void test_unknown_is_skipped(void **state)
{
    /* type 99 with tag 77 */
    static const unsigned char bytes[] = {
        4 + 8 + 3, 0, 0, 0, 99, 0, 0, 0, 77, 0, 0, 0, 3, 0, 0, 0, 1, 2, 3};
    struct launch_record got;
    assert_int_equal(
        launch_decode((struct str){(const char *)bytes, sizeof bytes}, &got), sizeof bytes);
    assert_int_equal(got.type, 99);
    launch_record_done(&got);
}

static void test_bad(void **state)
{
    static const struct {
        unsigned char bytes[24];
        size_t n;
    } cases[] = {
        {{0, 0, 0, 0}, 4},                                             /* shorter than its head */
        {{0xff, 0xff, 0xff, 0x7f}, 4},                                 /* too long */
        {{6, 0, 0, 0, 1, 0, 0, 0, 1, 0}, 10},                          /* half a field */
        {{12, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0}, 16},       /* field past the end */
        {{13, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 'x'}, 17},  /* text without NUL */
        {{14, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0}, 18}, /* NUL inside */
        {{13, 0, 0, 0, 1, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 1}, 17},   /* short number */
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct launch_record got;
        assert_int_equal(
            launch_decode((struct str){(const char *)cases[i].bytes, cases[i].n}, &got), -EBADMSG);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_unknown_is_skipped),
        cmocka_unit_test(test_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
