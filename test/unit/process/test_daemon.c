#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "json/json.h"
#include "process/daemon.h"

static void levels(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum log_level level;
    } table[] = {{"error", LOG_ERROR}, {"WARNING", LOG_WARN}, {"warn", LOG_WARN},
        {"INFO", LOG_INFO}, {"Debug", LOG_DEBUG}};
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        assert_int_equal(daemon_log_level(table[i].text, NULL), 0);
        assert_int_equal(log_level(), table[i].level);
    }
    static const char *const wrong[] = {"", "3", "verbose", "info ", "ınfo"};
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        struct error err = ERROR_INIT;
        assert_int_equal(daemon_log_level(wrong[i], &err), -EINVAL);
        assert_non_null(strstr(err.msg, "--logging_level"));
    }
    assert_int_equal(log_level(), LOG_DEBUG);
}

static void ready(void **state)
{
    (void)state;
    char path[] = "/tmp/test-ready-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    daemon_tell_ready(NULL, "127.0.0.1", 1, NULL);
    daemon_tell_ready("/nonexistent/folder/file", "127.0.0.1", 1, NULL);
    daemon_tell_ready(path, "127.0.0.1", 5050, ",\"dns_port\":53");
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_json_ json_t *json = NULL;
    assert_int_equal(file_read(path, 4096, &text, NULL), 0);
    assert_int_equal(json_parse(buf_cstr(&text), text.n, &json, NULL), 0);
    assert_string_equal(json_str_at(json, "ip", NULL), "127.0.0.1");
    assert_int_equal(json_i64_at(json, "port", 0), 5050);
    assert_int_equal(json_i64_at(json, "pid", 0), getpid());
    assert_int_equal(json_i64_at(json, "dns_port", 0), 53);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(levels), cmocka_unit_test(ready)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
