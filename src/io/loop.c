#include "io/loop.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "io/loop-internal.h"

/* ---- deferred calls ---- */

void deferred_init(struct deferred *d, void (*fn)(struct deferred *d))
{
    d->fn = fn;
    list_init(&d->node);
}

void loop_defer(struct loop *l, struct deferred *d)
{
    if (!list_empty(&d->node))
        return;
    if (list_empty(&l->deferred))
        uv_idle_start(&l->idle, l->idle.idle_cb);
    list_push(&l->deferred, &d->node);
}

void deferred_cancel(struct deferred *d)
{
    list_remove(&d->node);
}

bool deferred_pending(const struct deferred *d)
{
    return !list_empty(&d->node);
}

/* Runs what was queued when it began: a call that defers itself again waits for the next turn, so
 * that it cannot starve input. */
static void run_deferred(struct loop *l)
{
    struct list batch;
    if (list_empty(&l->deferred)) {
        uv_idle_stop(&l->idle);
        return;
    }
    batch = l->deferred;
    batch.next->prev = batch.prev->next = &batch;
    list_init(&l->deferred);
    struct deferred *d;
    while ((d = list_first(&batch, struct deferred, node)) != NULL) {
        list_remove(&d->node);
        d->fn(d);
    }
    if (list_empty(&l->deferred))
        uv_idle_stop(&l->idle);
    else
        uv_idle_start(&l->idle, l->idle.idle_cb);
}

static void on_idle(uv_idle_t *handle)
{
    (void)handle;
}

static void on_prepare(uv_prepare_t *handle)
{
    struct loop *l = handle->data;
    l->now_us = clock_monotonic_us();
    run_deferred(l);
}

static void on_check(uv_check_t *handle)
{
    struct loop *l = handle->data;
    l->now_us = clock_monotonic_us();
    run_deferred(l);
}

/* ---- timers ---- */

static void on_alarm(uv_timer_t *handle);

/* Sets the alarm for the earliest timer, unless it rings by then anyway: timers are restarted far
 * more often than they fire, and an alarm too early costs one look. */
static void arm(struct loop *l, uint64_t at_least_ms)
{
    struct heap_node *first = heap_min(&l->timers);
    if (l->in_alarm)
        return;
    if (!first) {
        if (l->alarm_us)
            uv_timer_stop(&l->alarm);
        l->alarm_us = 0;
        return;
    }
    if (l->alarm_us && l->alarm_us <= first->key)
        return;
    int64_t wait_us = MAX(first->key - clock_monotonic_us(), (int64_t)0);
    uv_update_time(&l->uv);
    uint64_t wait_ms = (uint64_t)(wait_us + USEC_PER_MSEC - 1) / USEC_PER_MSEC;
    uv_timer_start(&l->alarm, on_alarm, MAX(wait_ms, at_least_ms), 0);
    l->alarm_us = MAX(first->key, (int64_t)1);
}

static void on_alarm(uv_timer_t *handle)
{
    struct loop *l = handle->data;
    l->now_us = clock_monotonic_us();
    l->alarm_us = 0;
    l->in_alarm = true;
    int64_t now = l->now_us;
    uint64_t seq_end = l->timers.next_seq; /* timers started by what runs here wait their turn */
    struct heap_node *first;
    while ((first = heap_min(&l->timers)) != NULL && first->key <= now && first->seq < seq_end) {
        struct timer *t = container_of(first, struct timer, node);
        heap_remove(&l->timers, first);
        t->fn(t);
    }
    l->in_alarm = false;
    /* libuv calls timers until none is due: one that is due again at once must let it go on. */
    arm(l, 1);
}

void timer_init(struct timer *t, struct loop *l, void (*fn)(struct timer *t))
{
    *t = (struct timer){.loop = l, .fn = fn};
}

void timer_start(struct timer *t, int64_t delay_us)
{
    int64_t due;
    heap_remove(&t->loop->timers, &t->node);
    if (__builtin_add_overflow(clock_monotonic_us(), MAX(delay_us, (int64_t)0), &due))
        due = INT64_MAX;
    heap_push(&t->loop->timers, &t->node, due);
    arm(t->loop, 0);
}

void timer_stop(struct timer *t)
{
    if (!timer_active(t))
        return;
    heap_remove(&t->loop->timers, &t->node);
    if (t->loop->timers.n == 0)
        arm(t->loop, 0);
}

bool timer_active(const struct timer *t)
{
    return heap_contains(&t->node);
}

/* ---- the loop ---- */

struct loop *loop_new(void)
{
    struct loop *l = xnew(struct loop);
    int r = uv_loop_init(&l->uv);
    r = r ? r : uv_timer_init(&l->uv, &l->alarm);
    r = r ? r : uv_prepare_init(&l->uv, &l->prepare);
    r = r ? r : uv_check_init(&l->uv, &l->check);
    r = r ? r : uv_idle_init(&l->uv, &l->idle);
    if (r < 0) {
        /* No descriptors left for epoll: like running out of memory, nothing can go on. */
        fprintf(stderr, "event loop: %s\n", uv_strerror(r));
        abort();
    }
    l->alarm.data = l->prepare.data = l->check.data = l->idle.data = l;
    l->idle.idle_cb = on_idle;
    uv_prepare_start(&l->prepare, on_prepare);
    uv_check_start(&l->check, on_check);
    uv_unref((uv_handle_t *)&l->prepare);
    uv_unref((uv_handle_t *)&l->check);
    list_init(&l->deferred);
    list_init(&l->lingering);
    l->now_us = clock_monotonic_us();
    l->read_buffer = xmalloc(LOOP_READ_BUFFER);
    /* A peer that resets is an error of its stream, never a signal. */
    struct sigaction old;
    if (sigaction(SIGPIPE, NULL, &old) == 0 && old.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN);
    return l;
}

static void report_leak(uv_handle_t *handle, void *arg)
{
    struct loop *l = arg;
    if (uv_is_closing(handle) || handle == (uv_handle_t *)&l->alarm ||
        handle == (uv_handle_t *)&l->prepare || handle == (uv_handle_t *)&l->check ||
        handle == (uv_handle_t *)&l->idle)
        return;
    fprintf(stderr, "event loop: a %s handle was left open\n", uv_handle_type_name(handle->type));
    assert(!"handle left open");
}

void loop_free(struct loop *l)
{
    struct loop_lingering *what;
    while (!list_empty(&l->deferred))
        run_deferred(l);
    while ((what = list_first(&l->lingering, struct loop_lingering, node)) != NULL) {
        list_remove(&what->node);
        what->drop(what);
    }
    uv_walk(&l->uv, report_leak, l);
    assert(l->timers.n == 0);
    /* What is left are pending closes, and name look-ups and work that the pool is busy with. */
    uv_run(&l->uv, UV_RUN_DEFAULT);
    while (!list_empty(&l->deferred))
        run_deferred(l);
    uv_close((uv_handle_t *)&l->alarm, NULL);
    uv_close((uv_handle_t *)&l->prepare, NULL);
    uv_close((uv_handle_t *)&l->check, NULL);
    uv_close((uv_handle_t *)&l->idle, NULL);
    uv_run(&l->uv, UV_RUN_DEFAULT);
    int r = uv_loop_close(&l->uv);
    assert(r == 0);
    (void)r;
    heap_done(&l->timers);
    free(l->read_buffer);
    free(l);
}

struct uv_loop_s *loop_uv(struct loop *l)
{
    return &l->uv;
}

void loop_run(struct loop *l)
{
    l->now_us = clock_monotonic_us();
    uv_run(&l->uv, UV_RUN_DEFAULT);
}

void loop_run_once(struct loop *l, bool wait)
{
    l->now_us = clock_monotonic_us();
    uv_run(&l->uv, wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
}

void loop_stop(struct loop *l)
{
    uv_stop(&l->uv);
}

int64_t loop_now_us(const struct loop *l)
{
    return l->now_us;
}

void loop_linger(struct loop *l, struct loop_lingering *what)
{
    list_push(&l->lingering, &what->node);
}
