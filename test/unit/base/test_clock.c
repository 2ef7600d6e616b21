#include "unit.h"
#include <errno.h>

#include "base/clock.h"

static void rfc3339(void **state)
{
    (void)state;
    char text[TIME_TEXT_SIZE];
    int64_t us;
    time_format_rfc3339(1700000000250000, text);
    assert_string_equal(text, "2023-11-14T22:13:20.250Z");
    assert_int_equal(time_parse_rfc3339(str_of(text), &us), 0);
    assert_int_equal(us, 1700000000250000);
    assert_int_equal(time_parse_rfc3339(STR("2023-11-14T23:13:20.25+01:00"), &us), 0);
    assert_int_equal(us, 1700000000250000);
    assert_int_equal(time_parse_rfc3339(STR("2023-11-14T17:13:20.2500001-0500"), &us), 0);
    assert_int_equal(us, 1700000000250000);
    static const char *const bad[] = {"", "2023-11-14", "2023-13-01T00:00:00Z",
        "2023-02-30T00:00:00Z", "2023-11-14T24:00:00Z", "2023-11-14T00:00:00",
        "2023-11-14T00:00:00.Z", "2023-11-14T00:00:00Zx"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (time_parse_rfc3339(str_of(bad[i]), &us) == 0)
            fail_msg("accepted '%s'", bad[i]);
}

static void durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t us;
        const char *formatted;
    } cases[] = {{"10secs", 10000000, "10secs"}, {"1.5mins", 90000000, "90secs"},
        {"15mins", 900000000, "15mins"}, {"100ms", 100000, "100ms"},
        {"2weeks", INT64_C(1209600000000), "2weeks"}, {"0ns", 0, "0ns"}, {"1500us", 1500, "1500us"},
        {"60secs", 60000000, "1mins"}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int64_t us;
        char text[DURATION_TEXT_SIZE];
        assert_int_equal(duration_parse(str_of(cases[i].text), &us), 0);
        assert_int_equal(us, cases[i].us);
        duration_format(us, text);
        assert_string_equal(text, cases[i].formatted);
    }
    static const char *const bad[] = {
        "", "10", "secs", "10 secs", "10s", "1e400secs", "--1secs", "99999999999999weeks"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        int64_t us;
        if (duration_parse(str_of(bad[i]), &us) == 0)
            fail_msg("accepted '%s'", bad[i]);
    }
}

static void nul_is_no_separator(void **state)
{
    (void)state;
    int64_t us = 7;
    assert_int_equal(
        time_parse_rfc3339((struct str){"2026\00011\00022\00017:25:24Z", 20}, &us), -EINVAL);
    assert_int_equal(time_parse_rfc3339((struct str){"2026-11-22T17:25:24\0", 20}, &us), -EINVAL);
    assert_int_equal(us, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rfc3339), cmocka_unit_test(durations),
        cmocka_unit_test(nul_is_no_separator)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
