#include "unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "io/loop.h"

static struct loop *g_loop;
static int g_order[16], g_n;

struct item {
    struct deferred d;
    struct timer t;
    int id, left;
};

static int setup(void **state)
{
    (void)state;
    g_loop = loop_new();
    g_n = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    loop_free(g_loop);
    return 0;
}

static void note_deferred(struct deferred *d)
{
    struct item *i = container_of(d, struct item, d);
    g_order[g_n++] = i->id;
    if (i->left-- > 0)
        loop_defer(g_loop, d);
}

static void deferred_calls(void **state)
{
    (void)state;
    struct item items[4];
    for (int i = 0; i < 4; i++) {
        items[i] = (struct item){.id = i, .left = i == 1 ? 1 : 0};
        deferred_init(&items[i].d, note_deferred);
        loop_defer(g_loop, &items[i].d);
        loop_defer(g_loop, &items[i].d); /* stays queued once */
    }
    deferred_cancel(&items[2].d);
    deferred_cancel(&items[2].d);
    assert_int_equal(g_n, 0);
    assert_false(deferred_pending(&items[2].d));
    loop_run(g_loop); /* returns when nothing is left */
    int want[] = {0, 1, 3, 1};
    assert_int_equal(g_n, 4);
    assert_memory_equal(g_order, want, sizeof(want));
}

static void note_timer(struct timer *t)
{
    struct item *i = container_of(t, struct item, t);
    assert_false(timer_active(t));
    g_order[g_n++] = i->id;
    if (i->left-- > 0)
        timer_start(t, 0);
}

static void timers_in_order(void **state)
{
    (void)state;
    static const int64_t delays[] = {30000, 0, 10000, -5, 20000};
    struct item items[5];
    int64_t start = clock_monotonic_us();
    for (int i = 0; i < 5; i++) {
        items[i] = (struct item){.id = i};
        timer_init(&items[i].t, g_loop, note_timer);
        timer_start(&items[i].t, delays[i]);
        assert_true(timer_active(&items[i].t));
    }
    timer_stop(&items[4].t);
    timer_stop(&items[4].t);
    timer_start(&items[2].t, 40000); /* restarted */
    loop_run(g_loop);
    int want[] = {1, 3, 0, 2};
    assert_int_equal(g_n, 4);
    assert_memory_equal(g_order, want, sizeof(want));
    assert_true(clock_monotonic_us() - start >= 40000);
    assert_true(loop_now_us(g_loop) - start >= 40000);
}

static void a_timer_at_once_does_not_starve(void **state)
{
    (void)state;
    struct item again = {.id = 1, .left = 1000000000}, other = {.id = 2};
    timer_init(&again.t, g_loop, note_timer);
    deferred_init(&other.d, note_deferred);
    timer_start(&again.t, 0);
    loop_defer(g_loop, &other.d);
    while (g_n < 10 && (g_n == 0 || g_order[g_n - 1] != 2))
        loop_run_once(g_loop, true);
    assert_int_equal(g_order[g_n - 1], 2);
    timer_stop(&again.t);
}

static void many_timers(void **state)
{
    (void)state;
    enum { MANY = 20000 };
    struct timer *timers = xnew_array(struct timer, MANY);
    for (int i = 0; i < MANY; i++) {
        timer_init(&timers[i], g_loop, note_timer);
        timer_start(&timers[i], 3600 * USEC_PER_SEC + i);
    }
    for (int i = 0; i < MANY; i++)
        timer_stop(&timers[i]);
    loop_run(g_loop); /* nothing is left to wait for */
    free(timers);
}

static void on_signal(void *userdata, int signum)
{
    assert_int_equal(signum, SIGUSR1);
    if (++*(int *)userdata == 2)
        loop_stop(g_loop);
}

static void signals(void **state)
{
    (void)state;
    int a = 0, b = 0;
    struct loop_signal *first = loop_signal_new(g_loop, SIGUSR1, on_signal, &a);
    struct loop_signal *second = loop_signal_new(g_loop, SIGUSR1, on_signal, &b);
    raise(SIGUSR1);
    while (a < 1 || b < 1)
        loop_run_once(g_loop, true);
    loop_signal_free(second);
    raise(SIGUSR1);
    loop_run(g_loop);
    assert_int_equal(a, 2);
    assert_int_equal(b, 1);
    loop_signal_free(first);
}

static void on_fd(void *userdata, unsigned events)
{
    *(unsigned *)userdata |= events;
    g_n++;
}

static void descriptors(void **state)
{
    (void)state;
    unsigned seen = 0;
    struct loop_fd *w;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_int_equal(loop_fd_new(g_loop, fd, LOOP_READABLE, on_fd, &seen, &w), 0);
    loop_run_once(g_loop, false);
    assert_int_equal(seen, 0);
    uint64_t one = 1;
    assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
    while (g_n < 2) /* level-triggered */
        loop_run_once(g_loop, true);
    assert_int_equal(seen, LOOP_READABLE);
    loop_fd_set(w, LOOP_WRITABLE);
    seen = 0;
    while (!seen)
        loop_run_once(g_loop, true);
    assert_int_equal(seen, LOOP_WRITABLE);
    loop_fd_set(w, 0);
    loop_run(g_loop);
    loop_fd_free(w);
    close(fd);
    /* The write end of a pipe without a reader is in error: its owner hears of it. */
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    close(fds[0]);
    seen = 0;
    assert_int_equal(loop_fd_new(g_loop, fds[1], LOOP_WRITABLE, on_fd, &seen, &w), 0);
    while (!seen)
        loop_run_once(g_loop, true);
    loop_fd_free(w);
    loop_run_once(g_loop, false);
    close(fds[1]);
    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(loop_fd_new(g_loop, fd, LOOP_READABLE, on_fd, &seen, &w) < 0);
    close(fd);
}

struct job {
    struct loop_work w;
    pthread_t thread;
    bool done;
};

static void job_work(struct loop_work *w)
{
    container_of(w, struct job, w)->thread = pthread_self();
}

static void job_done(struct loop_work *w)
{
    struct job *j = container_of(w, struct job, w);
    assert_false(pthread_equal(j->thread, pthread_self()));
    j->done = true;
}

static void pool_work(void **state)
{
    (void)state;
    struct job j = {.w = {.work = job_work, .done = job_done}};
    loop_work_start(g_loop, &j.w);
    assert_false(j.done);
    loop_run(g_loop);
    assert_true(j.done);
    /* Work under way when the loop goes is waited for. */
    static struct job late;
    late = (struct job){.w = {.work = job_work, .done = job_done}};
    loop_work_start(g_loop, &late.w);
}

static void on_wakeup(void *userdata)
{
    ++*(int *)userdata;
    loop_stop(g_loop);
}

static void *waker(void *arg)
{
    loop_wakeup_send(arg);
    return NULL;
}

static void wakeups(void **state)
{
    (void)state;
    int calls = 0;
    pthread_t thread;
    struct loop_wakeup *w = loop_wakeup_new(g_loop, on_wakeup, &calls);
    assert_int_equal(pthread_create(&thread, NULL, waker, w), 0);
    loop_run(g_loop);
    pthread_join(thread, NULL);
    assert_int_equal(calls, 1);
    loop_wakeup_free(w);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(deferred_calls),
        T(timers_in_order),
        T(a_timer_at_once_does_not_starve),
        T(many_timers),
        T(signals),
        T(descriptors),
        T(pool_work),
        T(wakeups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
