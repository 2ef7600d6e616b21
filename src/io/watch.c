/* Signals, descriptors, pool work and wake-ups from other threads. */

#include <assert.h>
#include <errno.h>

#include "base/alloc.h"
#include "io/loop-internal.h"

/* ---- signals ---- */

struct loop_signal {
    uv_signal_t uv;
    void (*fn)(void *userdata, int signum);
    void *userdata;
};

static void on_signal(uv_signal_t *handle, int signum)
{
    struct loop_signal *s = handle->data;
    s->fn(s->userdata, signum);
}

struct loop_signal *loop_signal_new(
    struct loop *l, int signum, void (*fn)(void *userdata, int signum), void *userdata)
{
    struct loop_signal *s = xnew(struct loop_signal);
    s->fn = fn;
    s->userdata = userdata;
    s->uv.data = s;
    int r = uv_signal_init(&l->uv, &s->uv);
    r = r ? r : uv_signal_start(&s->uv, on_signal, signum);
    assert(r == 0); /* fails for numbers that cannot be caught only */
    (void)r;
    return s;
}

static void free_data(uv_handle_t *handle)
{
    free(handle->data);
}

void loop_signal_free(struct loop_signal *s)
{
    if (s)
        uv_close((uv_handle_t *)&s->uv, free_data);
}

/* ---- descriptors ---- */

struct loop_fd {
    uv_poll_t uv;
    unsigned events;
    void (*fn)(void *userdata, unsigned events);
    void *userdata;
};

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct loop_fd *w = handle->data;
    if (status < 0) {
        /* An error state of the descriptor: libuv stopped watching. The owner meets the error
         * when it reads or writes; until then it stays ready, as level-triggered things do. */
        w->fn(w->userdata, w->events);
        if (!uv_is_closing((uv_handle_t *)handle) && !uv_is_active((uv_handle_t *)handle))
            loop_fd_set(w, w->events);
        return;
    }
    unsigned mask = (events & UV_READABLE ? LOOP_READABLE : 0u) |
                    (events & UV_WRITABLE ? LOOP_WRITABLE : 0u);
    w->fn(w->userdata, mask);
}

int loop_fd_new(struct loop *l, int fd, unsigned events,
    void (*fn)(void *userdata, unsigned events), void *userdata, struct loop_fd **ret)
{
    struct loop_fd *w = xnew(struct loop_fd);
    w->fn = fn;
    w->userdata = userdata;
    int r = uv_poll_init(&l->uv, &w->uv, fd);
    if (r < 0) {
        free(w);
        return r;
    }
    w->uv.data = w;
    loop_fd_set(w, events);
    *ret = w;
    return 0;
}

void loop_fd_set(struct loop_fd *w, unsigned events)
{
    w->events = events;
    int mask = (events & LOOP_READABLE ? UV_READABLE : 0) |
               (events & LOOP_WRITABLE ? UV_WRITABLE : 0);
    if (mask)
        uv_poll_start(&w->uv, mask, on_poll);
    else
        uv_poll_stop(&w->uv);
}

void loop_fd_free(struct loop_fd *w)
{
    if (w)
        uv_close((uv_handle_t *)&w->uv, free_data);
}

/* ---- the pool ---- */

static void run_work(uv_work_t *req)
{
    struct loop_work *w = req->data;
    w->work(w);
}

static void work_done(uv_work_t *req, int status)
{
    (void)status; /* never cancelled */
    struct loop_work *w = req->data;
    w->impl = NULL;
    free(req);
    w->done(w);
}

void loop_work_start(struct loop *l, struct loop_work *w)
{
    uv_work_t *req = xnew(uv_work_t);
    req->data = w;
    w->impl = req;
    uv_queue_work(&l->uv, req, run_work, work_done);
}

/* ---- wake-ups ---- */

struct loop_wakeup {
    uv_async_t uv;
    void (*fn)(void *userdata);
    void *userdata;
};

static void on_wakeup(uv_async_t *handle)
{
    struct loop_wakeup *w = handle->data;
    w->fn(w->userdata);
}

struct loop_wakeup *loop_wakeup_new(struct loop *l, void (*fn)(void *userdata), void *userdata)
{
    struct loop_wakeup *w = xnew(struct loop_wakeup);
    w->fn = fn;
    w->userdata = userdata;
    w->uv.data = w;
    int r = uv_async_init(&l->uv, &w->uv, on_wakeup);
    assert(r == 0);
    (void)r;
    return w;
}

void loop_wakeup_send(struct loop_wakeup *w)
{
    uv_async_send(&w->uv);
}

void loop_wakeup_free(struct loop_wakeup *w)
{
    if (w)
        uv_close((uv_handle_t *)&w->uv, free_data);
}
