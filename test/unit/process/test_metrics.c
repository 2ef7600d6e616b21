#include "unit.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/map.h"
#include "process/metrics.h"

struct seen {
    struct buf text;
};

static void note(const char *name, double value, void *userdata)
{
    struct seen *s = userdata;
    buf_printf(&s->text, "%s=%.3f\n", name, value);
}

static void no_samples(void **state)
{
    struct metric_timer t = {0};
    struct seen s = {0};
    metric_timer_put(&t, "x_ms", note, &s);
    assert_int_equal(s.text.n, 0);
    metric_timer_done(&t);
}

static void percentiles(void **state)
{
    struct metric_timer t = {0};
    struct seen s = {0};
    for (int i = 1; i <= 101; i++)
        metric_timer_add(&t, (102 - i) * 1000);
    metric_timer_put(&t, "x_ms", note, &s);
    assert_string_equal(buf_cstr(&s.text),
        "x_ms=1.000\nx_ms/count=101.000\nx_ms/max=101.000\nx_ms/min=1.000\n"
        "x_ms/p50=51.000\nx_ms/p90=91.000\nx_ms/p95=96.000\nx_ms/p99=100.000\n"
        "x_ms/p999=100.900\nx_ms/p9999=100.990\n");
    buf_done(&s.text);
    metric_timer_done(&t);
}

/* The oldest go. */
static void window(void **state)
{
    struct metric_timer t = {0};
    struct seen s = {0};
    metric_timer_add(&t, 5000 * 1000);
    for (int i = 0; i < METRIC_SAMPLES; i++)
        metric_timer_add(&t, 2000);
    metric_timer_add(&t, INT64_MAX);
    metric_timer_add(&t, -5);
    metric_timer_put(&t, "x_ms", note, &s);
    assert_non_null(
        strstr(buf_cstr(&s.text), "x_ms=0.000\nx_ms/count=1000.000\nx_ms/max=4294967.295"));
    buf_done(&s.text);
    metric_timer_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_samples),
        cmocka_unit_test(percentiles),
        cmocka_unit_test(window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
