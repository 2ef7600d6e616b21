#include "http/server-internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"

#define HEAD_TIMEOUT_US (10 * USEC_PER_SEC)
#define IDLE_TIMEOUT_US (75 * USEC_PER_SEC)
#define BODY_TIMEOUT_US (60 * USEC_PER_SEC)
#define WRITE_TIMEOUT_US (60 * USEC_PER_SEC)
#define CLOSE_TIMEOUT_US (5 * USEC_PER_SEC)
enum { MAX_CONNECTIONS = 16384, STREAM_BUFFER_MAX = 4 * 1024 * 1024 };

/* ---- life of a connection ---- */

static void conn_unref(struct http_conn *c)
{
    if (--c->refs)
        return;
    http_parser_free(c->parser);
    buf_done(&c->in);
    free(c);
}

static void set_timer(struct http_conn *c, int timing, int64_t delay_us)
{
    c->timing = timing;
    if (timing == TIMER_NONE)
        timer_stop(&c->timer);
    else
        timer_start(&c->timer, delay_us);
}

static void close_stream(struct http_conn *c)
{
    set_timer(c, TIMER_NONE, 0);
    timer_stop(&c->write_timer);
    if (!c->stream)
        return;
    if (c->lingering)
        stream_close_after_flush(TAKE_PTR(c->stream), CLOSE_TIMEOUT_US);
    else
        stream_close(TAKE_PTR(c->stream));
}

/* The end: tells the exchange and forgets the connection. */
static void conn_destroy(struct http_conn *c)
{
    close_stream(c);
    deferred_cancel(&c->turn);
    list_remove(&c->node);
    c->server->n_conns--;
    c->server = NULL;
    if (c->ex) {
        struct exchange *x = TAKE_PTR(c->ex);
        exchange_close(x, -ECONNRESET);
        exchange_unref(x);
    }
    conn_unref(c);
}

void conn_break(struct http_conn *c)
{
    if (c->broken)
        return;
    c->broken = true;
    c->lingering = false;
    close_stream(c);
    conn_kick(c);
}

void conn_kick(struct http_conn *c)
{
    if (c->server)
        loop_defer(c->server->loop, &c->turn);
}

/* ---- output ---- */

static void on_write_timer(struct timer *t)
{
    struct http_conn *c = container_of(t, struct http_conn, write_timer);
    size_t queued = stream_write_queued(c->stream), taken = c->written - queued;
    if (queued == 0)
        return;
    if (taken == c->taken_before) {
        conn_break(c);
        return;
    }
    c->taken_before = taken;
    timer_start(t, c->server->options.write_timeout_us);
}

static void wrote(struct http_conn *c, size_t n)
{
    c->written += n;
    if (!timer_active(&c->write_timer)) {
        c->taken_before = c->written - stream_write_queued(c->stream);
        timer_start(&c->write_timer, c->server->options.write_timeout_us);
    }
}

void conn_write(struct http_conn *c, const void *p, size_t n)
{
    if (!c->stream)
        return;
    stream_write(c->stream, p, n);
    wrote(c, n);
}

void conn_write_blob(struct http_conn *c, struct blob *b)
{
    if (!c->stream)
        return;
    stream_write_blob(c->stream, b);
    wrote(c, b->n);
}

static void on_drain(struct stream *s, void *userdata)
{
    struct http_conn *c = userdata;
    timer_stop(&c->write_timer);
    if (!c->ex)
        return;
    if (c->ex->ended) {
        conn_kick(c);
    } else if (c->ex->on_drain) {
        struct exchange *x = c->ex;
        http_request_ref(&x->pub);
        x->on_drain(&x->pub);
        exchange_unref(x);
    }
}

/* ---- input ---- */

static int parsed_head(void *userdata, const struct http_head *head)
{
    struct http_conn *c = userdata;
    struct exchange *x;
    set_timer(c, TIMER_NONE, 0);
    c->keep_alive = head->keep_alive && !c->eof;
    int r = exchange_new(c, head, &x);
    if (r)
        return r;
    c->ex = x;
    http_request_ref(&x->pub);
    c->server->handler(&x->pub, c->server->userdata);
    if (c->ex == x && x->has_body && x->mode == BODY_UNDECIDED && !x->ended)
        http_parser_pause(c->parser);
    exchange_unref(x);
    return 0;
}

static bool parsed_body(void *userdata, const char *p, size_t n)
{
    struct http_conn *c = userdata;
    if (!c->ex || !c->stream)
        return false; /* a handler ended it meanwhile */
    c->body_seen_us = loop_now_us(c->ex->loop);
    return exchange_body(c->ex, p, n);
}

static const struct http_parser_events parser_events = {parsed_head, parsed_body};

void conn_body_timer(struct http_conn *c)
{
    c->body_seen_us = loop_now_us(c->server->loop);
    if (c->timing != TIMER_BODY)
        set_timer(c, TIMER_BODY, c->server->options.body_timeout_us);
}

static void update_reading(struct http_conn *c)
{
    if (!c->stream)
        return;
    /* With an exchange in progress, reading on is how one learns that the peer is gone. */
    bool want = c->in.n < CONN_INPUT_MAX;
    if (c->ex && !c->ex->body_complete &&
        (c->ex->paused || (c->ex->mode == BODY_UNDECIDED && !c->ex->ended)))
        want = false;
    if (want == c->reading)
        return;
    c->reading = want;
    if (want)
        stream_read_start(c->stream);
    else
        stream_read_stop(c->stream);
}

static bool may_feed(const struct http_conn *c)
{
    if (!c->stream || c->broken || c->lingering)
        return false;
    if (!c->ex)
        return true;
    return !c->ex->body_complete && !c->ex->paused &&
           (c->ex->mode != BODY_UNDECIDED || c->ex->ended);
}

static void input_error(struct http_conn *c, int status)
{
    struct exchange *x = c->ex;
    if (x && (x->begun || x->mode == BODY_STREAM)) {
        conn_break(c);
        return;
    }
    if (x) {
        /* A bad body that is being collected: its handler learns that it is over. */
        c->ex = NULL;
        conn_refuse(c, status, http_parser_error(c->parser));
        exchange_close(x, -EBADMSG);
        exchange_unref(x);
    } else {
        conn_refuse(c, status, http_parser_error(c->parser));
    }
}

/* Gives bytes to the parser; returns how many it took. */
static size_t feed(struct http_conn *c, const char *p, size_t n)
{
    size_t done = 0;
    while ((done < n || http_parser_paused(c->parser)) && may_feed(c)) {
        size_t used;
        int r = http_parser_feed(c->parser, p + done, n - done, &used);
        done += used;
        if (!c->server || !c->stream)
            break;
        if (r < 0) {
            input_error(c, -r);
            break;
        }
        if (r == HTTP_PARSE_DONE) {
            if (c->timing == TIMER_BODY)
                set_timer(c, TIMER_NONE, 0);
            exchange_body_complete(c->ex);
        } else if (r == HTTP_PARSE_MORE) {
            if (http_parser_between(c->parser) || !c->ex)
                break; /* an incomplete head: keep it */
        }
    }
    return done;
}

static void input(struct http_conn *c, const char *p, size_t n)
{
    /* One level only: a handler that asks for more from inside is served by the turn. */
    if (c->feeding) {
        conn_kick(c);
        return;
    }
    c->feeding = true;
    c->refs++;
    if (c->in.n > 0) {
        if (n)
            buf_append(&c->in, p, n);
        size_t used = feed(c, c->in.p, c->in.n);
        buf_consume(&c->in, used);
    } else {
        size_t used = feed(c, n ? p : "", n);
        if (used < n && c->stream)
            buf_append(&c->in, p + used, n - used);
    }
    c->feeding = false;
    if (c->in.n == 0 && c->in.cap)
        buf_done(&c->in); /* idle connections hold nothing */
    if (c->server && c->stream) {
        if (!c->ex && !c->lingering && c->in.n > 0 && c->timing != TIMER_HEAD)
            set_timer(c, TIMER_HEAD, c->server->options.head_timeout_us);
        update_reading(c);
    }
    conn_unref(c);
}

void conn_continue(struct http_conn *c)
{
    c->want_feed = true;
    conn_kick(c);
}

static void on_data(struct stream *s, const char *p, size_t n, void *userdata)
{
    input(userdata, p, n);
}

static void on_end(struct stream *s, int status, void *userdata)
{
    struct http_conn *c = userdata;
    struct exchange *x = c->ex;
    if (status < 0 || !x || !x->body_complete || (x->streaming && !x->ended)) {
        /* Nothing to finish, or nobody who would take it. */
        conn_break(c);
        return;
    }
    c->eof = true;
    c->keep_alive = false;
}

/* ---- after something happened ---- */

static void finish_exchange(struct http_conn *c)
{
    struct exchange *x = TAKE_PTR(c->ex);
    if (!c->keep_alive)
        c->lingering = true;
    exchange_close(x, 0);
    exchange_unref(x);
    if (!c->stream || c->broken)
        return;
    if (c->lingering) {
        c->broken = true;
        conn_kick(c);
        return;
    }
    if (c->in.n > 0) {
        c->want_feed = true;
        conn_kick(c);
    } else {
        set_timer(c, TIMER_IDLE, c->server->options.idle_timeout_us);
    }
}

static void on_turn(struct deferred *d)
{
    struct http_conn *c = container_of(d, struct http_conn, turn);
    c->refs++;
    if (c->broken) {
        conn_destroy(c);
        conn_unref(c);
        return;
    }
    struct exchange *x = c->ex;
    if (x && x->ended && stream_write_queued(c->stream) == 0) {
        if (!x->body_complete && x->mode != BODY_DISCARD)
            c->keep_alive = false; /* the handler did not want to hear the rest */
        if (x->body_complete || !c->keep_alive)
            finish_exchange(c);
    }
    if (c->server && c->stream && !c->broken && c->want_feed) {
        c->want_feed = false;
        input(c, NULL, 0);
    }
    if (c->server)
        update_reading(c);
    conn_unref(c);
}

static void on_timer(struct timer *t)
{
    struct http_conn *c = container_of(t, struct http_conn, timer);
    int timing = c->timing;
    c->timing = TIMER_NONE;
    if (timing == TIMER_BODY && c->ex && !c->ex->body_complete) {
        int64_t quiet = loop_now_us(c->server->loop) - c->body_seen_us;
        int64_t limit = c->server->options.body_timeout_us;
        if (quiet < limit) {
            set_timer(c, TIMER_BODY, limit - quiet);
            return;
        }
        if (c->ex->begun) {
            conn_break(c);
            return;
        }
        struct exchange *x = TAKE_PTR(c->ex);
        conn_refuse(c, 408, "the request's body did not arrive");
        exchange_close(x, -ETIMEDOUT);
        exchange_unref(x);
    } else if (timing == TIMER_HEAD) {
        conn_refuse(c, 408, "the request did not arrive");
    } else if (timing == TIMER_IDLE) {
        conn_break(c);
    }
}

static void on_accept(struct stream *s, void *userdata)
{
    static const struct stream_handlers handlers = {on_data, on_end, on_drain};
    struct http_server *server = userdata;
    struct http_conn *c = xnew(struct http_conn);
    struct stream_address local;
    c->refs = 1;
    c->server = server;
    c->stream = s;
    stream_local(s, &local);
    c->is_unix = local.is_unix;
    c->parser = http_parser_new(false, &parser_events, c);
    list_push(&server->conns, &c->node);
    server->n_conns++;
    timer_init(&c->timer, server->loop, on_timer);
    timer_init(&c->write_timer, server->loop, on_write_timer);
    deferred_init(&c->turn, on_turn);
    stream_set_handlers(s, &handlers, c);
    set_timer(c, TIMER_IDLE, server->options.idle_timeout_us);
    update_reading(c);
}

/* ---- the server ---- */

struct http_server *http_server_new(
    struct loop *l, const struct http_server_options *options, http_handler handler, void *userdata)
{
    struct http_server *s = xnew(struct http_server);
    struct http_server_options *o = &s->options;
    s->loop = l;
    s->handler = handler;
    s->userdata = userdata;
    if (options)
        *o = *options;
    o->head_timeout_us = o->head_timeout_us ? o->head_timeout_us : HEAD_TIMEOUT_US;
    o->idle_timeout_us = o->idle_timeout_us ? o->idle_timeout_us : IDLE_TIMEOUT_US;
    o->body_timeout_us = o->body_timeout_us ? o->body_timeout_us : BODY_TIMEOUT_US;
    o->write_timeout_us = o->write_timeout_us ? o->write_timeout_us : WRITE_TIMEOUT_US;
    o->max_connections = o->max_connections ? o->max_connections : MAX_CONNECTIONS;
    o->stream_buffer_max = o->stream_buffer_max ? o->stream_buffer_max : STREAM_BUFFER_MAX;
    if (o->server_name)
        o->server_name = s->server_name = xstrdup(o->server_name);
    list_init(&s->conns);
    return s;
}

static void add_listener(struct http_server *s, struct listener *l)
{
    s->listeners = xreallocarray(s->listeners, s->n_listeners + 1, sizeof(*s->listeners));
    s->listeners[s->n_listeners++] = l;
}

int http_server_listen(struct http_server *s, const char *host, uint16_t port,
    struct tls_context *tls, uint16_t *ret_port, struct error *err)
{
    struct listener *l;
    int r = listener_tcp(
        s->loop, host, port, tls, s->options.max_connections, on_accept, s, &l, err);
    if (r < 0)
        return r;
    add_listener(s, l);
    if (ret_port)
        *ret_port = listener_port(l);
    return 0;
}

int http_server_listen_unix(
    struct http_server *s, const char *path, unsigned mode, struct error *err)
{
    struct listener *l;
    int r = listener_unix(s->loop, path, mode, s->options.max_connections, on_accept, s, &l, err);
    if (r < 0)
        return r;
    add_listener(s, l);
    return 0;
}

int http_server_listen_fd(struct http_server *s, int fd, struct error *err)
{
    struct listener *l;
    int r = listener_fd(s->loop, fd, s->options.max_connections, on_accept, s, &l, err);
    if (r < 0)
        return r;
    add_listener(s, l);
    return 0;
}

unsigned http_server_connections(const struct http_server *s)
{
    return s->n_conns;
}

void http_server_free(struct http_server *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_listeners; i++)
        listener_close(s->listeners[i]);
    struct http_conn *c;
    while ((c = list_first(&s->conns, struct http_conn, node)) != NULL)
        conn_destroy(c);
    free(s->listeners);
    free(s->server_name);
    free(s);
}

/* The Date header's text, made once a second. */
const char *server_date(struct http_server *s)
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t now = clock_realtime_us() / USEC_PER_SEC;
    struct tm tm;
    if (now != s->date_s && gmtime_r(&now, &tm)) {
        s->date_s = now;
        snprintf(s->date, sizeof(s->date), "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT",
            days + 3 * tm.tm_wday, tm.tm_mday, months + 3 * tm.tm_mon, tm.tm_year + 1900,
            tm.tm_hour, tm.tm_min, tm.tm_sec);
    }
    return s->date;
}
