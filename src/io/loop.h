#ifndef DCOS_IO_LOOP_H
#define DCOS_IO_LOOP_H

/*
 * The event loop: libuv behind the few things a daemon needs. One loop per thread; all calls from
 * its own thread unless said otherwise.
 *
 * Contract of every asynchronous call here and above: an error returned means the callback is never
 * called; 0 means it is called exactly once, never from inside the call; closing cancels with
 * -ECANCELED.
 */

#include "base/error.h"
#include "base/heap.h"
#include "base/list.h"

struct loop;
struct uv_loop_s;

/* Never NULL. Ignores SIGPIPE for the process unless it is handled already: a peer that resets is
 * an error of its stream. (process_start gives children the default back.) */
struct loop *loop_new(void);
/* All handles must be closed: asserts when some are left. Runs pending closes first. */
void loop_free(struct loop *l);
DEFINE_CLEANUP(struct loop *, loop_free)
struct uv_loop_s *loop_uv(struct loop *l); /* for modules of src/io and for libcurl glue */

void loop_run(struct loop *l); /* until loop_stop() or nothing is left to wait for */
/* One iteration; waits for events when `wait`. For tests. */
void loop_run_once(struct loop *l, bool wait);
void loop_stop(struct loop *l);

/* Monotonic time of this iteration in microseconds. */
int64_t loop_now_us(const struct loop *l);

/* Runs fn once from the loop, after the current callback returned and before waiting. */
struct deferred {
    void (*fn)(struct deferred *d);
    struct list node; /* initialise with deferred_init */
};
void deferred_init(struct deferred *d, void (*fn)(struct deferred *d));
void loop_defer(struct loop *l, struct deferred *d); /* queued already: stays queued once */
void deferred_cancel(struct deferred *d);
bool deferred_pending(const struct deferred *d);

/* One-shot timers; any number, cheap: a heap under one libuv timer. */
struct timer {
    struct heap_node node;
    struct loop *loop;
    void (*fn)(struct timer *t);
};
void timer_init(struct timer *t, struct loop *l, void (*fn)(struct timer *t));
void timer_start(
    struct timer *t, int64_t delay_us); /* restarts when running; delay < 0 counts as 0 */
void timer_stop(struct timer *t);       /* must be called before the memory goes */
bool timer_active(const struct timer *t);

/* Signals; fn runs on the loop. Several watchers per signal are fine. */
struct loop_signal;
struct loop_signal *loop_signal_new(
    struct loop *l, int signum, void (*fn)(void *userdata, int signum), void *userdata);
void loop_signal_free(struct loop_signal *s);

/* Readiness of a descriptor that the caller owns (pidfd, inotify, eventfd, netlink). `events` in fn
 * is a mask of LOOP_READABLE / LOOP_WRITABLE. Level-triggered. Free before closing the fd. */
enum { LOOP_READABLE = 1, LOOP_WRITABLE = 2 };
struct loop_fd;
int loop_fd_new(struct loop *l, int fd, unsigned events,
    void (*fn)(void *userdata, unsigned events), void *userdata, struct loop_fd **ret);
void loop_fd_set(struct loop_fd *w, unsigned events);
void loop_fd_free(struct loop_fd *w);

/* Blocking work on the pool: `work` runs on another thread, `done` on the loop. Cannot fail. */
struct loop_work {
    void (*work)(struct loop_work *w);
    void (*done)(struct loop_work *w);
    void *impl;
};
void loop_work_start(struct loop *l, struct loop_work *w);

/* From any thread: makes fn run on the loop soon (several sends may become one call). */
struct loop_wakeup;
struct loop_wakeup *loop_wakeup_new(struct loop *l, void (*fn)(void *userdata), void *userdata);
void loop_wakeup_send(struct loop_wakeup *w);
void loop_wakeup_free(struct loop_wakeup *w);

#endif
