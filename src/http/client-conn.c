#include <errno.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "http/client-internal.h"

static void conn_unref(struct client_conn *c)
{
    if (--c->refs)
        return;
    http_parser_free(c->parser);
    buf_done(&c->in);
    free(c->key);
    free(c);
}

void client_conn_close(struct client_conn *c)
{
    if (!c->stream)
        return;
    stream_close(TAKE_PTR(c->stream));
    timer_stop(&c->idle);
    deferred_cancel(&c->feed);
    list_remove(&c->node);
    c->call = NULL;
    conn_unref(c);
}

/* ---- input ---- */

static int parsed_head(void *userdata, const struct http_head *head)
{
    struct client_conn *c = userdata;
    c->keep_alive = head->keep_alive;
    return c->call ? call_head(c->call, head) : 0;
}

static bool parsed_body(void *userdata, const char *p, size_t n)
{
    struct client_conn *c = userdata;
    return c->call && call_body(c->call, p, n);
}

static const struct http_parser_events parser_events = {parsed_head, parsed_body};

static void parse_failed(struct client_conn *c, int status)
{
    call_failed(c->call, status == 431 ? -EMSGSIZE : -EBADMSG, http_parser_error(c->parser));
}

static size_t feed(struct client_conn *c, const char *p, size_t n)
{
    size_t done = 0;
    while ((done < n || http_parser_paused(c->parser)) && c->call && !c->call->paused) {
        size_t used;
        int r = http_parser_feed(c->parser, p + done, n - done, &used);
        done += used;
        if (!c->call)
            break;
        if (r < 0) {
            parse_failed(c, -r);
            break;
        }
        if (r == HTTP_PARSE_DONE && c->call->got_head) {
            c->keep_alive = c->keep_alive && done == n;
            call_complete(c->call);
            break;
        }
        if (r == HTTP_PARSE_MORE && used == 0)
            break; /* an incomplete head */
    }
    return done;
}

static void input(struct client_conn *c, const char *p, size_t n)
{
    if (c->feeding) {
        loop_defer(c->client->loop, &c->feed);
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
    if (c->in.n == 0 && c->in.cap)
        buf_done(&c->in);
    c->feeding = false;
    if (c->stream && c->call && c->call->paused)
        stream_read_stop(c->stream);
    conn_unref(c);
}

static void on_feed(struct deferred *d)
{
    struct client_conn *c = container_of(d, struct client_conn, feed);
    if (c->call && !c->call->paused) {
        c->refs++;
        input(c, NULL, 0);
        if (c->stream && c->call && !c->call->paused)
            stream_read_start(c->stream);
        conn_unref(c);
    }
}

void client_conn_resume(struct client_conn *c)
{
    loop_defer(c->client->loop, &c->feed);
}

static void on_data(struct stream *s, const char *p, size_t n, void *userdata)
{
    struct client_conn *c = userdata;
    (void)s;
    c->answered = true;
    if (c->call)
        input(c, p, n);
    else
        client_conn_close(c); /* an idle connection has nothing to say */
}

static void on_end(struct stream *s, int status, void *userdata)
{
    struct client_conn *c = userdata;
    (void)s;
    if (!c->call) {
        client_conn_close(c);
        return;
    }
    if (status == 0 && c->call->got_head && http_parser_finish(c->parser) == HTTP_PARSE_DONE) {
        c->keep_alive = false;
        call_complete(c->call);
        return;
    }
    call_failed(c->call, status < 0 ? status : -ECONNRESET,
        status < 0 ? errno_text(status) : "the connection ended before the answer was complete");
}

static void on_drain(struct stream *s, void *userdata)
{
    struct client_conn *c = userdata;
    (void)s;
    if (c->call)
        call_drained(c->call);
}

/* ---- life ---- */

static void on_idle(struct timer *t)
{
    client_conn_close(container_of(t, struct client_conn, idle));
}

struct client_conn *client_conn_new(struct http_client *client, const char *key, struct stream *s)
{
    static const struct stream_handlers handlers = {on_data, on_end, on_drain};
    struct client_conn *c = xnew(struct client_conn);
    c->refs = 1;
    c->client = client;
    c->key = xstrdup(key);
    c->stream = s;
    c->parser = http_parser_new(true, &parser_events, c);
    list_init(&c->node);
    timer_init(&c->idle, client->loop, on_idle);
    deferred_init(&c->feed, on_feed);
    stream_set_handlers(s, &handlers, c);
    stream_read_start(s);
    return c;
}

void client_conn_use(struct client_conn *c, struct http_call *call)
{
    c->call = call;
    c->answered = false;
}

struct client_conn *client_pool_take(struct http_client *client, const char *key)
{
    LIST_FOREACH (c, &client->idle, struct client_conn, node) {
        if (!streq(c->key, key))
            continue;
        list_remove(&c->node);
        timer_stop(&c->idle);
        c->reused = true;
        return c;
    }
    return NULL;
}

void client_conn_release(struct client_conn *c, bool reuse)
{
    struct http_client *client = c->client;
    c->call = NULL;
    if (!reuse || !c->keep_alive || stream_write_queued(c->stream) > 0) {
        client_conn_close(c);
        return;
    }
    /* The oldest of this peer makes room. */
    unsigned n = 0;
    struct client_conn *oldest = NULL;
    LIST_FOREACH (i, &client->idle, struct client_conn, node)
        if (streq(i->key, c->key)) {
            n++;
            oldest = i;
        }
    if (n >= client->options.idle_per_host)
        client_conn_close(oldest);
    list_push_front(&client->idle, &c->node);
    timer_start(&c->idle, client->options.idle_timeout_us);
}
