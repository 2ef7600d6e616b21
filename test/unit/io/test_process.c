#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "io/process.h"

struct seen {
    int calls;
    struct process_result result;
    struct buf out, err;
};

static struct loop *g_loop;

static void on_result(const struct process_result *result, void *userdata)
{
    struct seen *s = userdata;
    s->calls++;
    s->result = *result;
    buf_append(&s->out, result->out.p, result->out.n);
    buf_append(&s->err, result->err.p, result->err.n);
}

static void run(struct process_options *o, const char *script, struct seen *s)
{
    const char *argv[] = {"sh", "-c", script, NULL};
    struct error err = ERROR_INIT;
    struct process *p;
    o->argv = argv;
    assert_int_equal(process_start(g_loop, o, on_result, s, &p, &err), 0);
    assert_true(process_pid(p) > 0);
    assert_int_equal(s->calls, 0);
    while (s->calls == 0)
        loop_run_once(g_loop, true);
}

static void done(struct seen *s)
{
    buf_done(&s->out);
    buf_done(&s->err);
    *s = (struct seen){0};
}

static int setup(void **state)
{
    (void)state;
    g_loop = loop_new();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    loop_free(g_loop);
    return 0;
}

static void output_and_status(void **state)
{
    (void)state;
    struct seen s = {0};
    run(&(struct process_options){.capture_max = 100, .stdin_text = "in"},
        "read x; echo out $x; echo err >&2; exit 3", &s);
    assert_int_equal(WEXITSTATUS(s.result.status), 3);
    assert_string_equal(buf_cstr(&s.out), "out in\n");
    assert_string_equal(buf_cstr(&s.err), "err\n");
    assert_false(s.result.truncated);
    done(&s);
    run(&(struct process_options){0}, "echo lost; kill -TERM $$", &s);
    assert_true(WIFSIGNALED(s.result.status));
    assert_int_equal(WTERMSIG(s.result.status), SIGTERM);
    assert_int_equal(s.out.n, 0);
    done(&s);
    run(&(struct process_options){.capture_max = 10}, "head -c 300000 /dev/zero", &s);
    assert_true(s.result.truncated);
    assert_int_equal(s.out.n, 10);
    done(&s);
    run(&(struct process_options){.capture_max = 1 << 20}, "head -c 300000 /dev/zero", &s);
    assert_int_equal(s.out.n, 300000);
    done(&s);
    /* Nobody reads this input; that is no error. */
    _cleanup_free_ char *long_text = xcalloc(1, 1000001);
    memset(long_text, 'x', 1000000);
    run(&(struct process_options){.stdin_text = long_text}, "exit 0", &s);
    assert_int_equal(s.result.status, 0);
    done(&s);
}

static void surroundings(void **state)
{
    (void)state;
    struct seen s = {0};
    const char *env[] = {"A=b", "PATH=/usr/bin:/bin", NULL};
    run(&(struct process_options){.capture_max = 100, .cwd = "/", .envp = env},
        "echo $A $HOME $(pwd)", &s);
    assert_string_equal(buf_cstr(&s.out), "b /\n");
    done(&s);
    /* Signals that the parent ignores are the child's again. */
    run(&(struct process_options){.capture_max = 100}, "kill -PIPE $$", &s);
    assert_true(WIFSIGNALED(s.result.status));
    done(&s);
    /* Descriptors of the parent's are not inherited, those asked for are. */
    int fds[2];
    char text[10] = "";
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    run(&(struct process_options){.stdout_fd = fds[1]}, "echo hi; ls /proc/self/fd >/dev/null", &s);
    assert_int_equal(read(fds[0], text, sizeof(text)), 3);
    assert_string_equal(text, "hi\n");
    close(fds[0]);
    close(fds[1]);
    done(&s);
}

static void cannot_start(void **state)
{
    (void)state;
    struct seen s = {0};
    struct error err = ERROR_INIT;
    struct process *p;
    const char *argv[] = {"/nonexistent/program", NULL};
    struct process_options o = {.argv = argv, .capture_max = 10, .stdin_text = "x"};
    assert_int_equal(process_start(g_loop, &o, on_result, &s, &p, &err), -ENOENT);
    assert_non_null(strstr(err.msg, "/nonexistent/program"));
    for (int i = 0; i < 5; i++)
        loop_run_once(g_loop, false);
    assert_int_equal(s.calls, 0);
}

static void timeout_kills_the_group(void **state)
{
    (void)state;
    struct seen s = {0};
    int64_t start = clock_monotonic_us();
    run(
        &(struct process_options){
            .own_group = true, .capture_max = 100, .timeout_us = 50 * USEC_PER_MSEC},
        "sleep 1000 & echo started; sleep 1000", &s);
    assert_true(s.result.timed_out);
    assert_int_equal(WTERMSIG(s.result.status), SIGKILL);
    assert_string_equal(buf_cstr(&s.out), "started\n");
    assert_true(clock_monotonic_us() - start < 60 * USEC_PER_SEC);
    done(&s);
}

static void grandchildren_do_not_hold_it_up(void **state)
{
    (void)state;
    struct seen s = {0};
    run(&(struct process_options){.capture_max = 100}, "sleep 1000 & echo $!", &s);
    assert_true(s.out.n > 1);
    assert_int_equal(s.result.status, 0);
    /* Its pid is what it printed; the shell's arithmetic reads it. */
    struct seen k = {0};
    _cleanup_free_ char *script = xasprintf("kill -KILL %s", s.out.p);
    run(&(struct process_options){0}, script, &k);
    assert_int_equal(k.result.status, 0);
    done(&s);
    done(&k);
}

static void abandoned(void **state)
{
    (void)state;
    struct seen s = {0};
    struct error err = ERROR_INIT;
    struct process *p;
    const char *argv[] = {"sleep", "1000", NULL};
    struct process_options o = {.argv = argv, .own_group = true};
    assert_int_equal(process_start(g_loop, &o, on_result, &s, &p, &err), 0);
    process_abandon(p);
    loop_run(g_loop); /* until it is reaped */
    assert_int_equal(s.calls, 0);
    o.capture_max = 10;
    o.stdin_text = "x";
    assert_int_equal(process_start(g_loop, &o, on_result, &s, &p, &err), 0);
    process_abandon(p); /* and the loop goes with it unreaped */
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(output_and_status),
        T(surroundings),
        T(cannot_start),
        T(timeout_kills_the_group),
        T(grandchildren_do_not_hold_it_up),
        T(abandoned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
