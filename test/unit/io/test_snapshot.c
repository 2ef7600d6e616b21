#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/parse.h"
#include "io/snapshot.h"

struct world {
    struct loop *loop;
    char *text;
    struct blob *body;
    char error[128];
    unsigned calls;
};

static int setup(void **state)
{
    struct world *w = xnew(struct world);
    w->loop = loop_new();
    w->text = xstrdup("before");
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    loop_free(w->loop);
    blob_unref(w->body);
    free(w->text);
    free(w);
    return 0;
}

static void done(struct blob *body, const char *error, void *userdata)
{
    struct world *w = userdata;
    w->calls++;
    w->body = body ? blob_ref(body) : NULL;
    snprintf(w->error, sizeof(w->error), "%s", error ? error : "");
}

static void write_text(int out, void *userdata)
{
    struct world *w = userdata;
    snapshot_write(out, w->text, strlen(w->text));
}

static void frozen(void **state)
{
    struct world *w = *state;
    struct snapshot *s;
    assert_int_equal(snapshot_start(w->loop, write_text, done, w, &s, NULL), 0);
    memcpy(w->text, "AFTER", 5); /* the child does not see it */
    assert_int_equal(w->calls, 0);
    loop_run(w->loop); /* until it is told and reaped */
    assert_int_equal(w->calls, 1);
    assert_non_null(w->body);
    assert_string_equal(w->body->p, "before");
    assert_int_equal(w->body->n, 6);
}

static void write_much(int out, void *userdata)
{
    struct buf b = BUF_INIT;
    for (unsigned i = 0; i < 1000 * 1000; i++)
        buf_printf(&b, "%07u\n", i);
    for (size_t at = 0; at < b.n; at += 65536)
        snapshot_write(out, b.p + at, MIN(b.n - at, (size_t)65536));
}

static void large(void **state)
{
    struct world *w = *state;
    struct snapshot *s;
    assert_int_equal(snapshot_start(w->loop, write_much, done, w, &s, NULL), 0);
    loop_run(w->loop);
    assert_non_null(w->body);
    assert_int_equal(w->body->n, 8 * 1000 * 1000);
    for (unsigned i = 0; i < 1000 * 1000; i += 997) {
        uint64_t v;
        assert_int_equal(parse_u64((struct str){w->body->p + (size_t)i * 8, 7}, &v), 0);
        assert_int_equal(v, i);
    }
    /* It may be written to like any other: it is a private copy. */
    w->body->p[0] = 'x';
}

static void write_surroundings(int out, void *userdata)
{
    /* No descriptor of the parent's but the first three; both ends of its own are 3 and 4, and 5
     * is the listing. */
    int signum = 0;
    struct buf b = BUF_INIT;
    DIR *d = opendir("/proc/self/fd");
    const struct dirent *e;
    while (d && (e = readdir(d)))
        if (e->d_name[0] != '.')
            buf_printf(&b, "%s ", e->d_name);
    prctl(PR_GET_PDEATHSIG, &signum);
    buf_printf(&b, "death=%d term=%d", signum, signal(SIGTERM, SIG_DFL) == SIG_DFL);
    snapshot_write(out, b.p, b.n);
}

static void on_term(void *userdata, int signum)
{
}

static void alone(void **state)
{
    struct world *w = *state;
    struct snapshot *s;
    struct loop_signal *term = loop_signal_new(w->loop, SIGTERM, on_term, w);
    int fd = open("/dev/null", O_RDONLY);
    assert_true(fd > 2);
    assert_int_equal(snapshot_start(w->loop, write_surroundings, done, w, &s, NULL), 0);
    while (!w->calls)
        loop_run_once(w->loop, true);
    loop_signal_free(term);
    close(fd);
    assert_non_null(w->body);
    assert_string_equal(w->body->p, "0 1 2 3 4 5 death=9 term=1");
}

static void fail_early(int out, void *userdata)
{
    snapshot_write(out, "half", 4);
    _exit(1);
}

static void failing_child(void **state)
{
    struct world *w = *state;
    struct snapshot *s;
    assert_int_equal(snapshot_start(w->loop, fail_early, done, w, &s, NULL), 0);
    loop_run(w->loop);
    assert_int_equal(w->calls, 1);
    assert_null(w->body);
    assert_string_equal(w->error, "the process that wrote the snapshot failed");
}

static void wait_for_ever(int out, void *userdata)
{
    for (;;)
        pause();
}

static void cancelled(void **state)
{
    struct world *w = *state;
    struct snapshot *s;
    assert_int_equal(snapshot_start(w->loop, wait_for_ever, done, w, &s, NULL), 0);
    loop_run_once(w->loop, false);
    snapshot_cancel(s);
    loop_run(w->loop);
    assert_int_equal(w->calls, 0);
}

/* A loop that ends while a child is on its way out does not leave it behind. */
static void ended_while_reaping(void **state)
{
    struct world *w = *state;
    struct snapshot *s;
    assert_int_equal(snapshot_start(w->loop, write_text, done, w, &s, NULL), 0);
    while (!w->calls)
        loop_run_once(w->loop, true);
    assert_non_null(w->body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(frozen, setup, teardown),
        cmocka_unit_test_setup_teardown(large, setup, teardown),
        cmocka_unit_test_setup_teardown(alone, setup, teardown),
        cmocka_unit_test_setup_teardown(failing_child, setup, teardown),
        cmocka_unit_test_setup_teardown(cancelled, setup, teardown),
        cmocka_unit_test_setup_teardown(ended_while_reaping, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
