/*
 * Streams. Output is queued as segments and handed to the kernel once per turn of the loop, in one
 * gathered write; what the kernel does not take at once goes on as a libuv write request. Input
 * comes through a buffer that all streams of the loop share, so that an idle stream holds none.
 */

#include "io/stream.h"

#include <assert.h>
#include <errno.h>

#include "base/alloc.h"
#include "io/stream-internal.h"

enum {
    SEGMENT_MIN = 1024,
    FLUSH_NOW = 256 * 1024, /* more than this does not wait for the end of the turn */
    FLUSH_IOV_MAX = 64,
};
static const size_t FLUSH_STEP = 256 * 1024; /* of one stream in one turn of the loop */

int (*stream_tls_default_client)(struct tls_context **ret, struct error *err);

/* ---- life ---- */

struct stream_linger {
    struct loop_lingering lingering;
    struct timer timer;
    struct stream *stream;
};

static void on_deferred(struct deferred *d);

struct stream *stream_new(struct loop *l, bool is_unix)
{
    struct stream *s = xnew(struct stream);
    s->loop = l;
    s->is_unix = is_unix;
    int r = is_unix ? uv_pipe_init(&l->uv, &s->uv.pipe, 0) : uv_tcp_init(&l->uv, &s->uv.tcp);
    assert(r == 0); /* neither makes a descriptor yet */
    (void)r;
    s->uv.handle.data = s;
    deferred_init(&s->deferred, on_deferred);
    return s;
}

static void free_segments(struct stream_segment *seg)
{
    while (seg) {
        struct stream_segment *next = seg->next;
        blob_unref(seg->blob);
        free(seg);
        seg = next;
    }
}

static void drop_output(struct stream *s)
{
    free_segments(s->out_head);
    s->out_head = s->out_tail = NULL;
    s->out_n = 0;
}

static void on_closed(uv_handle_t *handle)
{
    struct stream *s = handle->data;
    if (s->listener)
        listener_stream_gone(s->listener);
    free(s);
}

void stream_close(struct stream *s)
{
    if (!s)
        return;
    assert(!s->closing);
    s->closing = true;
    s->handlers = (struct stream_handlers){0};
    s->on_ready = NULL;
    deferred_cancel(&s->deferred);
    drop_output(s);
    if (s->linger) {
        timer_stop(&s->linger->timer);
        list_remove(&s->linger->lingering.node);
        free(s->linger);
        s->linger = NULL;
    }
    if (s->filter)
        s->filter_ops->free(TAKE_PTR(s->filter));
    uv_close(&s->uv.handle, on_closed);
}

void stream_attach_tls(struct stream *s, struct tls_context *t, const char *server_name)
{
    s->filter_ops = t->ops;
    s->filter = t->ops->attach(t, s, server_name);
    stream_wire_start(s);
}

void stream_set_handlers(struct stream *s, const struct stream_handlers *h, void *userdata)
{
    s->handlers = *h;
    s->userdata = userdata;
}

struct loop *stream_loop(const struct stream *s)
{
    return s->loop;
}

bool stream_is_tls(const struct stream *s)
{
    return s->filter_ops != NULL;
}

/* ---- reports: always from the loop ---- */

void stream_kick(struct stream *s)
{
    if (!s->closing)
        loop_defer(s->loop, &s->deferred);
}

static void fail(struct stream *s, int status)
{
    if (s->error || s->closing)
        return;
    s->error = status;
    drop_output(s);
    if (s->wire_reading) {
        s->wire_reading = false;
        uv_read_stop(&s->uv.stream);
    }
    stream_kick(s);
}

void stream_filter_failed(struct stream *s, int status, const char *error)
{
    if (s->on_ready) {
        void (*ready)(struct stream *, int, const char *) = s->on_ready;
        s->on_ready = NULL;
        s->error = status;
        s->told_error = true;
        ready(s, status, error);
        return;
    }
    fail(s, status);
}

void stream_filter_ready(struct stream *s)
{
    if (s->on_ready) {
        void (*ready)(struct stream *, int, const char *) = s->on_ready;
        s->on_ready = NULL;
        ready(s, 0, NULL);
    }
    if (!s->closing && !s->reading)
        stream_read_stop(s); /* the handshake read on its own account */
}

/* ---- input ---- */

static void alloc_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    (void)suggested;
    struct stream *s = handle->data;
    *ret = uv_buf_init(s->loop->read_buffer, LOOP_READ_BUFFER);
}

static void wire_ended(struct stream *s)
{
    int status = 0;
    s->eof = true;
    s->wire_reading = false;
    uv_read_stop(&s->uv.stream);
    if (s->filter) {
        status = s->filter_ops->input_end(s->filter);
        if (s->closing)
            return;
    }
    if (status < 0) {
        stream_filter_failed(s, status, "the connection was closed early");
    } else {
        s->end_pending = true;
        stream_kick(s);
    }
}

static void on_read(uv_stream_t *handle, ssize_t n, const uv_buf_t *buf)
{
    struct stream *s = handle->data;
    if (s->closing || n == 0)
        return;
    if (n == UV_EOF)
        wire_ended(s);
    else if (n < 0)
        stream_filter_failed(s, (int)n, uv_strerror((int)n));
    else if (s->filter)
        s->filter_ops->input(s->filter, buf->base, (size_t)n);
    else
        stream_deliver(s, buf->base, (size_t)n);
}

void stream_deliver(struct stream *s, const char *p, size_t n)
{
    if (s->handlers.on_data)
        s->handlers.on_data(s, p, n, s->userdata);
}

void stream_wire_start(struct stream *s)
{
    if (s->wire_reading || s->eof || s->error || s->closing)
        return;
    int r = uv_read_start(&s->uv.stream, alloc_buffer, on_read);
    if (r < 0)
        fail(s, r);
    else
        s->wire_reading = true;
}

void stream_read_start(struct stream *s)
{
    if (s->reading)
        return;
    s->reading = true;
    stream_wire_start(s);
    if (s->filter || s->end_pending)
        stream_kick(s); /* something may have been held back */
}

void stream_read_stop(struct stream *s)
{
    s->reading = false;
    if (s->wire_reading && !s->on_ready) {
        s->wire_reading = false;
        uv_read_stop(&s->uv.stream);
    }
}

/* ---- output ---- */

struct write_request {
    uv_write_t uv;
    struct stream_segment *segments;
};

static void on_written(uv_write_t *req, int status)
{
    struct write_request *w = req->data;
    struct stream *s = req->handle->data;
    free_segments(w->segments);
    free(w);
    if (s->closing)
        return;
    if (status < 0)
        fail(s, status);
    else
        stream_kick(s);
}

static char *segment_data(struct stream_segment *seg)
{
    return (seg->blob ? seg->blob->p : seg->data) + seg->off;
}

/* The first `sent` bytes of the queue are gone. */
static void consume(struct stream *s, size_t sent)
{
    s->out_n -= sent;
    while (s->out_head && sent >= s->out_head->n) {
        struct stream_segment *seg = s->out_head;
        sent -= seg->n;
        s->out_head = seg->next;
        seg->next = NULL;
        free_segments(seg);
    }
    if (s->out_head) {
        s->out_head->off += sent;
        s->out_head->n -= sent;
    } else {
        s->out_tail = NULL;
    }
}

/* Keeps `n` bytes of a shared segment and gives the rest a segment behind it. */
static void split(struct stream *s, struct stream_segment *seg, size_t n)
{
    struct stream_segment *rest = xmalloc(sizeof(*rest));
    *rest = (struct stream_segment){
        .next = seg->next,
        .blob = blob_ref(seg->blob),
        .off = seg->off + n,
        .n = seg->n - n,
    };
    seg->n = n;
    seg->next = rest;
    if (s->out_tail == seg)
        s->out_tail = rest;
}

/* Hands about a step's worth to libuv, which goes on when the socket takes more. */
static void write_step(struct stream *s)
{
    unsigned n = 0;
    size_t total = 0;
    struct stream_segment *last = NULL;
    for (struct stream_segment *seg = s->out_head; seg && total < FLUSH_STEP; seg = seg->next) {
        if (seg->blob && seg->n > FLUSH_STEP)
            split(s, seg, FLUSH_STEP);
        total += seg->n;
        last = seg;
        n++;
    }
    uv_buf_t *bufs = xnew_array(uv_buf_t, n);
    n = 0;
    for (struct stream_segment *seg = s->out_head;; seg = seg->next) {
        bufs[n++] = uv_buf_init(segment_data(seg), (unsigned)seg->n);
        if (seg == last)
            break;
    }
    struct write_request *w = xnew(struct write_request);
    w->uv.data = w;
    w->segments = s->out_head;
    s->out_head = last->next;
    last->next = NULL;
    if (!s->out_head)
        s->out_tail = NULL;
    s->out_n -= total;
    int r = uv_write(&w->uv, &s->uv.stream, bufs, n, on_written);
    free(bufs); /* libuv copied the vector */
    if (r < 0) {
        free_segments(w->segments);
        free(w);
        fail(s, r);
    }
}

/* One step at a time: a reader that is as fast as we are would otherwise hold the loop for as long
 * as its document lasts. What is left goes on in the next turn, or when libuv is through. */
static void flush(struct stream *s)
{
    if (!s->out_head || s->error || uv_stream_get_write_queue_size(&s->uv.stream) > 0)
        return;
    uv_buf_t bufs[FLUSH_IOV_MAX];
    unsigned n = 0;
    size_t total = 0;
    for (struct stream_segment *seg = s->out_head; seg && n < FLUSH_IOV_MAX && total < FLUSH_STEP;
         seg = seg->next) {
        size_t take = MIN(seg->n, FLUSH_STEP - total);
        bufs[n++] = uv_buf_init(segment_data(seg), (unsigned)take);
        total += take;
    }
    int r = uv_try_write(&s->uv.stream, bufs, n);
    if (r < 0 && r != UV_EAGAIN) {
        fail(s, r);
        return;
    }
    size_t sent = r > 0 ? (size_t)r : 0;
    consume(s, sent);
    if (sent < total)
        write_step(s);
    else if (s->out_head)
        stream_kick(s);
}

static struct stream_segment *segment_new(struct stream *s, size_t cap)
{
    struct stream_segment *seg = xmalloc(sizeof(*seg) + cap);
    *seg = (struct stream_segment){.cap = cap};
    if (s->out_tail)
        s->out_tail->next = seg;
    else
        s->out_head = seg;
    s->out_tail = seg;
    return seg;
}

static void queued_more(struct stream *s, size_t n)
{
    s->out_n += n;
    s->writing = true;
    if (s->out_n >= FLUSH_NOW)
        flush(s);
    stream_kick(s);
}

void stream_transport_write(struct stream *s, const void *p, size_t n)
{
    if (s->closing || s->error || n == 0)
        return;
    struct stream_segment *seg = s->out_tail;
    if (!seg || seg->blob || seg->cap - seg->off - seg->n < n) /* nothing follows in a blob */
        seg = segment_new(s, MAX(n, (size_t)SEGMENT_MIN));
    memcpy(seg->data + seg->off + seg->n, p, n);
    seg->n += n;
    queued_more(s, n);
}

void stream_write(struct stream *s, const void *p, size_t n)
{
    if (s->closing || s->error || s->shutdown_wanted || n == 0)
        return;
    if (s->filter) {
        s->writing = true;
        s->filter_ops->output(s->filter, p, n);
        stream_kick(s);
    } else {
        stream_transport_write(s, p, n);
    }
}

void stream_write_blob(struct stream *s, struct blob *b)
{
    if (s->closing || s->error || s->shutdown_wanted || b->n == 0)
        return;
    if (s->filter || b->n < SEGMENT_MIN / 2) {
        stream_write(s, b->p, b->n); /* encrypted anyway, or cheaper to copy than to track */
        return;
    }
    struct stream_segment *seg = segment_new(s, 0);
    seg->blob = blob_ref(b);
    seg->n = b->n;
    queued_more(s, b->n);
}

size_t stream_write_queued(const struct stream *s)
{
    if (s->closing || s->error)
        return 0;
    size_t n = s->out_n + uv_stream_get_write_queue_size(&s->uv.stream);
    if (s->filter)
        n += s->filter_ops->pending(s->filter);
    return n;
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
    struct stream *s = req->handle->data;
    free(req);
    if (!s->closing && status < 0 && status != UV_ENOTCONN)
        fail(s, status);
}

static void send_shutdown(struct stream *s)
{
    if (s->shutdown_sent || s->error || s->out_head)
        return;
    if (s->filter) {
        if (s->filter_ops->pending(s->filter))
            return;
        s->shutdown_sent = true;
        s->filter_ops->shutdown(s->filter);
        flush(s);
        if (s->error)
            return;
    }
    s->shutdown_sent = true;
    uv_shutdown_t *req = xnew(uv_shutdown_t);
    int r = uv_shutdown(req, &s->uv.stream, on_shutdown);
    if (r < 0) {
        free(req);
        if (r != UV_ENOTCONN)
            fail(s, r);
    }
}

void stream_shutdown(struct stream *s)
{
    if (s->closing || s->shutdown_wanted)
        return;
    s->shutdown_wanted = true;
    stream_kick(s);
}

static void on_deferred(struct deferred *d)
{
    struct stream *s = container_of(d, struct stream, deferred);
    if (s->filter && s->reading && !s->error) {
        s->filter_ops->resume(s->filter);
        if (s->closing)
            return;
    }
    flush(s);
    if (s->shutdown_wanted)
        send_shutdown(s);
    if (s->end_pending && s->reading && !s->told_end) {
        s->end_pending = false;
        s->told_end = true;
        if (s->handlers.on_end)
            s->handlers.on_end(s, 0, s->userdata);
        if (s->closing)
            return;
    }
    if (s->error && !s->told_error) {
        s->told_error = true;
        if (s->handlers.on_end)
            s->handlers.on_end(s, s->error, s->userdata);
        return;
    }
    if (s->writing && !s->error && stream_write_queued(s) == 0) {
        s->writing = false;
        if (s->handlers.on_drain)
            s->handlers.on_drain(s, s->userdata);
    }
}

/* ---- closing with manners ---- */

/*
 * After the last byte our side is ended, and input is read and dropped until the peer ends too:
 * closing a socket with unread input makes the kernel send a reset, which may destroy the answer
 * on its way.
 */
static void linger_data(struct stream *s, const char *p, size_t n, void *userdata)
{
    (void)s, (void)p, (void)n, (void)userdata;
}

static void linger_end(struct stream *s, int status, void *userdata)
{
    (void)userdata;
    if (status < 0 || stream_write_queued(s) == 0)
        stream_close(s);
}

static void linger_drain(struct stream *s, void *userdata)
{
    (void)userdata;
    if (s->eof)
        stream_close(s);
}

static void linger_timeout(struct timer *t)
{
    struct stream_linger *linger = container_of(t, struct stream_linger, timer);
    stream_close(linger->stream);
}

static void linger_drop(struct loop_lingering *l)
{
    struct stream_linger *linger = container_of(l, struct stream_linger, lingering);
    stream_close(linger->stream);
}

void stream_close_after_flush(struct stream *s, int64_t timeout_us)
{
    static const struct stream_handlers handlers = {linger_data, linger_end, linger_drain};
    if (s->error || (s->eof && stream_write_queued(s) == 0)) {
        stream_close(s);
        return;
    }
    stream_set_handlers(s, &handlers, NULL);
    struct stream_linger *linger = xnew(struct stream_linger);
    linger->stream = s;
    linger->lingering.drop = linger_drop;
    s->linger = linger;
    loop_linger(s->loop, &linger->lingering);
    timer_init(&linger->timer, s->loop, linger_timeout);
    timer_start(&linger->timer, timeout_us);
    stream_shutdown(s);
    s->writing = true;
    stream_read_start(s);
    stream_kick(s);
}
