#include "unit.h"

#include <math.h>

#include "process/metrics.h"

/* One metric in, its line out. */
static const struct {
    const char *name;
    double value;
    const char *type, *line;
} rows[] = {
    {"master/tasks_running", 3, "gauge", "dcos_master_tasks_running 3"},
    {"master/tasks_failed", 3, "counter", "dcos_master_tasks_failed_total 3"},
    {"master/cpus_percent", 0.25, "gauge", "dcos_master_cpus_percent 0.25"},
    {"master/messages_kill_task", 1, "counter",
        "dcos_master_messages_total{message=\"kill_task\"} 1"},
    {"master/task_lost/source_master/reason_slave_removed", 2, "counter",
        "dcos_master_task_transitions_total{state=\"lost\",source=\"master\",reason=\"slave_"
        "removed\"} 2"},
    {"master/frameworks/my%20app/F-1/subscribed", 1, "gauge",
        "dcos_master_framework_subscribed{framework_name=\"my app\",framework_id=\"F-1\"} 1"},
    {"master/frameworks/a/F-1/calls", 9, "counter",
        "dcos_master_framework_calls_total{framework_name=\"a\",framework_id=\"F-1\"} 9"},
    {"master/frameworks/a/F-1/calls/accept", 9, "counter",
        "dcos_master_framework_calls_by_type_total{framework_name=\"a\",framework_id=\"F-1\",call="
        "\"accept\"} 9"},
    {"master/frameworks/a/F-1/roles/eng/dev/suppressed", 0, "gauge",
        "dcos_master_framework_role_suppressed{framework_name=\"a\",framework_id=\"F-1\",role="
        "\"eng/dev\"} 0"},
    {"master/frameworks/%22q%22%5C/F-1/subscribed", 1, "gauge",
        "dcos_master_framework_subscribed{framework_name=\"\\\"q\\\"\\\\\",framework_id=\"F-1\"} "
        "1"},
    {"master/operations/total", 1, "gauge", "dcos_master_operations 1"},
    {"master/operations/pending", 1, "gauge",
        "dcos_master_operations_by_state{state=\"pending\"} 1"},
    {"master/operations/reserve/total", 1, "gauge",
        "dcos_master_operations_by_type{operation=\"reserve\"} 1"},
    {"master/operations/reserve/finished", 1, "gauge",
        "dcos_master_operations_by_type_and_state{operation=\"reserve\",state=\"finished\"} 1"},
    {"registrar/state_store_ms", 0.5, "gauge", "dcos_registrar_state_store_ms 0.5"},
    {"registrar/state_store_ms/p50", 0.5, "gauge",
        "dcos_registrar_state_store_ms_quantile{quantile=\"0.5\"} 0.5"},
    {"registrar/state_store_ms/p9999", 0.5, "gauge",
        "dcos_registrar_state_store_ms_quantile{quantile=\"0.9999\"} 0.5"},
    {"allocator/mesos/quota/roles/a/b/resources/cpus/limit", 4, "gauge",
        "dcos_allocator_quota{role=\"a/b\",resource=\"cpus\",what=\"limit\"} 4"},
    {"slave/valid_status_updates", 4, "counter",
        "dcos_slave_valid_total{message=\"status_updates\"} 4"},
    {"something/new-one", 1, "gauge", "dcos_something_new_one 1"},
    {"system/mem_total_bytes", 25215533056.0, "gauge", "dcos_system_mem_total_bytes 25215533056"},
    {"x", INFINITY, "gauge", "dcos_x +Inf"},
    {"x", NAN, "gauge", "dcos_x NaN"},
};

static void one(void *of, metric_fn fn, void *userdata)
{
    const size_t *i = of;
    fn(rows[*i].name, rows[*i].value, userdata);
}

static void names(void **state)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct buf out = BUF_INIT, want = BUF_INIT;
        prometheus_write(one, &i, &out);
        const char *end = rows[i].line + strcspn(rows[i].line, "{ ");
        buf_printf(&want, "# TYPE %.*s %s\n%s\n", (int)(end - rows[i].line), rows[i].line,
            rows[i].type, rows[i].line);
        assert_string_equal(buf_cstr(&out), buf_cstr(&want));
        buf_done(&out);
        buf_done(&want);
    }
}

static void mixed(void *of, metric_fn fn, void *userdata)
{
    fn("master/frameworks/a/1/calls", 1, userdata);
    fn("master/frameworks/a/1/subscribed", 1, userdata);
    fn("master/frameworks/b/2/calls", 2, userdata);
}

/* The format wants all lines of a family in one place. */
static void families(void **state)
{
    struct buf out = BUF_INIT;
    prometheus_write(mixed, NULL, &out);
    assert_string_equal(buf_cstr(&out),
        "# TYPE dcos_master_framework_calls_total counter\n"
        "dcos_master_framework_calls_total{framework_name=\"a\",framework_id=\"1\"} 1\n"
        "dcos_master_framework_calls_total{framework_name=\"b\",framework_id=\"2\"} 2\n"
        "# TYPE dcos_master_framework_subscribed gauge\n"
        "dcos_master_framework_subscribed{framework_name=\"a\",framework_id=\"1\"} 1\n");
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(families),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
