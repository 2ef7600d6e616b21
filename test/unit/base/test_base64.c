#include "unit.h"
#include <errno.h>

#include "base/base64.h"

static void round_trips(void **state)
{
    (void)state;
    static const struct {
        const char *raw, *text;
    } cases[] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_buf_ struct buf out = BUF_INIT;
        _cleanup_buf_ struct buf back = BUF_INIT;
        base64_encode(&out, cases[i].raw, strlen(cases[i].raw));
        assert_string_equal(buf_cstr(&out), cases[i].text);
        assert_int_equal(base64_decode(&back, str_of(cases[i].text)), 0);
        assert_string_equal(buf_cstr(&back), cases[i].raw);
    }
}

static void refuses(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "Zg", "Zg=", "Zh==", "Zm9=", "Z===", "====", "Zm 9", "Zg==Zg==", "Zm9v\n"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        _cleanup_buf_ struct buf out = BUF_INIT;
        if (base64_decode(&out, str_of(bad[i])) == 0)
            fail_msg("accepted '%s'", bad[i]);
        assert_int_equal(out.n, 0);
    }
}

static void refusal_leaves_the_buffer(void **state)
{
    (void)state;
    static const char *const bad[] = {"QUJDREVG*UJD", "QUJDRR==", "QUJD QUJ"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        _cleanup_buf_ struct buf fresh = BUF_INIT, used = BUF_INIT;
        buf_puts(&used, "text");
        assert_int_equal(base64_decode(&fresh, str_of(bad[i])), -EINVAL);
        assert_int_equal(base64_decode(&used, str_of(bad[i])), -EINVAL);
        assert_string_equal(buf_cstr(&fresh), "");
        assert_string_equal(buf_cstr(&used), "text");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(round_trips), cmocka_unit_test(refuses),
        cmocka_unit_test(refusal_leaves_the_buffer)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
