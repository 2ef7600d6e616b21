#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "containerizer/proc.h"

static void test_parse(void **state)
{
    struct proc_stat s;
    const char *good =
        "42 (a b) c)) S 7 42 42 0 -1 4194560 1 2 3 4 50 60 0 0 20 0 3 0 123456 1 99 1\n";
    assert_int_equal(proc_stat_parse(str_of(good), &s), 0);
    assert_int_equal(s.pid, 42);
    assert_int_equal(s.ppid, 7);
    assert_int_equal(s.state, 'S');
    assert_int_equal(s.utime, 50);
    assert_int_equal(s.stime, 60);
    assert_int_equal(s.threads, 3);
    assert_int_equal(s.start_time, 123456);
    assert_int_equal(s.rss_pages, 99);
    static const char *const bad[] = {"", "42", "42 (a", "x (a) S 1", ") (", "42 (a) S 7",
        "42 (a) SS 7 42 42 0 -1 4194560 1 2 3 4 5 6 0 0 20 0 1 0 1 1 99 1",
        "42 (a) S x 42 42 0 -1 4194560 1 2 3 4 5 6 0 0 20 0 1 0 1 1 99 1"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(proc_stat_parse(str_of(bad[i]), &s), -EBADMSG);
}

static void test_open(void **state)
{
    struct proc_stat s;
    assert_int_equal(proc_stat_read(getpid(), &s), 0);
    int fd = proc_open(getpid(), s.start_time);
    assert_true(fd >= 0);
    fd_close(fd);
    assert_int_equal(proc_open(getpid(), s.start_time + 1), -ESRCH);
    assert_int_equal(proc_open(0, 1), -ESRCH);
    assert_int_equal(proc_open(-1, 1), -ESRCH);
}

static void test_descendants(void **state)
{
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        pid_t grandchild = fork();
        assert_true(write(ready[1], "x", 1) == 1);
        for (;;)
            pause();
        (void)grandchild;
    }
    char two[2];
    assert_int_equal(read(ready[0], two, 1), 1);
    assert_int_equal(read(ready[0], two, 1), 1);
    struct proc_sum sum;
    assert_int_equal(proc_sum_tree(child, &sum), 2);
    assert_true(sum.rss_bytes > 0);
    assert_int_equal(proc_signal_descendants(child, SIGKILL), 1);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(ready[0]);
    close(ready[1]);
}

static void test_env(void **state)
{
    const char *const env[] = {"AB=1", "A=2", "A", NULL};
    assert_string_equal(env_get(env, "A"), "2");
    assert_null(env_get(env, "B"));
    assert_null(env_get(NULL, "B"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_descendants),
        cmocka_unit_test(test_env),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
