#include "net/forward.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/parse.h"
#include "base/rng.h"

static const int64_t UPSTREAM_TIMEOUT_US = 5 * USEC_PER_SEC;
enum { DNS_PORT = 53 };

struct question;

struct attempt {
    struct question *question;
    struct upstream *upstream;
    int fd;
    struct loop_fd *watch;
    struct stream_connect *connect;
    struct stream *stream;
    struct buf in;
    int64_t started_us;
    bool over;
};

struct question {
    struct forwarder *f;
    struct list node;
    struct forward_zone *zone;
    forward_cb cb;
    void *userdata;
    struct timer timer;
    struct deferred fail; /* nobody could even be asked */
    struct attempt attempts[FORWARD_PARALLEL];
    size_t n_attempts;
    uint16_t id;
    struct dns_query q;
    size_t n;
    uint8_t query[];
};

struct forwarder {
    struct loop *loop;
    struct list questions;
    size_t n_questions;
    struct cache cache;
    uint8_t reply[DNS_MESSAGE_MAX];
};

static void attempt_end(struct attempt *a)
{
    a->over = true;
    if (a->watch)
        loop_fd_free(a->watch);
    a->watch = NULL;
    if (a->fd >= 0)
        close(a->fd);
    a->fd = -1;
    if (a->connect)
        stream_connect_cancel(a->connect);
    a->connect = NULL;
    if (a->stream)
        stream_close(a->stream);
    a->stream = NULL;
    buf_done(&a->in);
}

static void finish(struct question *q, const void *reply, size_t n)
{
    for (size_t i = 0; i < q->n_attempts; i++)
        attempt_end(&q->attempts[i]);
    timer_stop(&q->timer);
    deferred_cancel(&q->fail);
    list_remove(&q->node);
    q->f->n_questions--;
    if (!reply)
        q->zone->failures++;
    q->cb(reply, n, q->userdata);
    free(q);
}

static void attempt_failed(struct attempt *a)
{
    struct question *q = a->question;
    if (a->over)
        return;
    attempt_end(a);
    a->upstream->timeouts++;
    a->upstream->failures = MIN(a->upstream->failures + 1, (unsigned)UPSTREAM_FAILURES_MAX);
    for (size_t i = 0; i < q->n_attempts; i++)
        if (!q->attempts[i].over)
            return;
    loop_defer(q->f->loop, &q->fail);
}

/* true when it ended the question. SERVFAIL and REFUSED are no answer while another may come. */
static bool answered(struct attempt *a, uint8_t *p, size_t n)
{
    struct question *q = a->question;
    if (!dns_reply_fits(p, n, q->id, q->query, &q->q))
        return false;
    unsigned rcode = p[3] & 15;
    if (rcode == DNS_SERVFAIL || rcode == DNS_REFUSED) {
        for (size_t i = 0; i < q->n_attempts; i++)
            if (&q->attempts[i] != a && !q->attempts[i].over) {
                attempt_failed(a);
                return true;
            }
    }
    a->upstream->failures /= 2;
    a->upstream->total_us += loop_now_us(q->f->loop) - a->started_us;
    cache_put(&q->f->cache, &q->q, p, n, loop_now_us(q->f->loop));
    if (p != q->f->reply)
        memcpy(q->f->reply, p, n); /* a connection's buffer goes with it */
    dns_set_u16(q->f->reply, q->q.id);
    finish(q, q->f->reply, n);
    return true;
}

static void on_readable(void *userdata, unsigned events)
{
    struct attempt *a = userdata;
    struct forwarder *f = a->question->f;
    ssize_t n = recv(a->fd, f->reply, sizeof(f->reply), MSG_DONTWAIT);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            attempt_failed(a);
        return;
    }
    (void)answered(a, f->reply, (size_t)n); /* what does not fit may be forged: wait on */
}

static int ask_udp(struct attempt *a)
{
    struct question *q = a->question;
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } to = {0};
    socklen_t size;
    if (a->upstream->ip.v6) {
        to.in6.sin6_family = AF_INET6;
        to.in6.sin6_port = htons(a->upstream->port);
        memcpy(&to.in6.sin6_addr, a->upstream->ip.bytes, 16);
        size = sizeof(to.in6);
    } else {
        to.in.sin_family = AF_INET;
        to.in.sin_port = htons(a->upstream->port);
        memcpy(&to.in.sin_addr, a->upstream->ip.bytes, 4);
        size = sizeof(to.in);
    }
    a->fd = socket(to.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (a->fd < 0 || connect(a->fd, &to.sa, size) < 0 || send(a->fd, q->query, q->n, 0) < 0)
        return -errno;
    return loop_fd_new(q->f->loop, a->fd, LOOP_READABLE, on_readable, a, &a->watch);
}

static void on_tcp_data(struct stream *s, const char *p, size_t n, void *userdata)
{
    struct attempt *a = userdata;
    buf_append(&a->in, p, n);
    if (a->in.n < 2)
        return;
    size_t size = dns_u16((const uint8_t *)a->in.p);
    if (a->in.n < size + 2)
        return;
    if (!answered(a, (uint8_t *)a->in.p + 2, size))
        attempt_failed(a);
}

static void on_tcp_end(struct stream *s, int status, void *userdata)
{
    attempt_failed(userdata);
}

static void on_connected(struct stream *s, int status, const char *error, void *userdata)
{
    static const struct stream_handlers handlers = {.on_data = on_tcp_data, .on_end = on_tcp_end};
    struct attempt *a = userdata;
    struct question *q = a->question;
    uint8_t head[2];
    a->connect = NULL;
    if (!s) {
        attempt_failed(a);
        return;
    }
    a->stream = s;
    stream_set_handlers(s, &handlers, a);
    dns_set_u16(head, (unsigned)q->n);
    stream_write(s, head, sizeof(head));
    stream_write(s, q->query, q->n);
    stream_read_start(s);
}

static void attempt_start(struct question *q, struct upstream *u, bool tcp)
{
    struct attempt *a = &q->attempts[q->n_attempts++];
    *a = (struct attempt){.question = q, .upstream = u, .fd = -1};
    a->started_us = loop_now_us(q->f->loop);
    u->requests++;
    if (tcp) {
        const struct stream_connect_options o = {
            .host = u->text, .port = u->port, .timeout_us = UPSTREAM_TIMEOUT_US};
        a->connect = stream_connect_start(q->f->loop, &o, on_connected, a);
    } else if (ask_udp(a) < 0) {
        attempt_failed(a);
    }
}

static void on_timeout(struct timer *t)
{
    struct question *q = container_of(t, struct question, timer);
    for (size_t i = 0; i < q->n_attempts; i++)
        attempt_failed(&q->attempts[i]);
}

static void on_fail(struct deferred *d)
{
    finish(container_of(d, struct question, fail), NULL, 0);
}

/* Two with the fewest failures; chance decides among equals. */
static size_t choose(const struct forward_zone *z, struct upstream *ret[FORWARD_PARALLEL])
{
    size_t n = 0, start;
    uint32_t r;
    random_bytes(&r, sizeof(r));
    start = z->n_upstreams ? r % z->n_upstreams : 0;
    for (; n < FORWARD_PARALLEL && n < z->n_upstreams; n++) {
        struct upstream *best = NULL;
        for (size_t i = 0; i < z->n_upstreams; i++) {
            struct upstream *u = z->upstreams[(start + i) % z->n_upstreams];
            if ((n == 0 || u != ret[0]) && (!best || u->failures < best->failures))
                best = u;
        }
        ret[n] = best;
    }
    return n;
}

int forwarder_ask(struct forwarder *f, struct forward_zone *zone, bool tcp, const void *query,
    size_t n, const struct dns_query *q, forward_cb cb, void *userdata)
{
    struct upstream *to[FORWARD_PARALLEL];
    if (f->n_questions >= FORWARD_PENDING_MAX)
        return -EBUSY;
    struct question *question = xcalloc(1, sizeof(*question) + n);
    question->f = f;
    question->zone = zone;
    question->cb = cb;
    question->userdata = userdata;
    question->q = *q;
    question->n = n;
    memcpy(question->query, query, n);
    random_bytes(&question->id, sizeof(question->id));
    dns_set_u16(question->query, question->id);
    timer_init(&question->timer, f->loop, on_timeout);
    deferred_init(&question->fail, on_fail);
    list_init(&question->node);
    list_push(&f->questions, &question->node);
    f->n_questions++;
    zone->requests++;
    timer_start(&question->timer, UPSTREAM_TIMEOUT_US);
    size_t n_to = choose(zone, to);
    for (size_t i = 0; i < n_to; i++)
        attempt_start(question, to[i], tcp);
    if (n_to == 0)
        loop_defer(f->loop, &question->fail);
    return 0;
}

struct cache *forwarder_cache(struct forwarder *f)
{
    return &f->cache;
}

struct upstream *upstream_new(struct str text)
{
    struct upstream u = {.port = DNS_PORT};
    struct str host = text, port = {0};
    if (text.n > 0 && text.p[0] == '[') {
        ptrdiff_t end = str_index(text, ']');
        if (end < 0)
            return NULL;
        host = (struct str){text.p + 1, (size_t)end - 1};
        port = (struct str){text.p + end + 1, text.n - (size_t)end - 1};
    } else {
        ptrdiff_t colon = str_index(text, ':');
        struct str after = colon < 0 ? (struct str){0}
                                     : (struct str){text.p + colon + 1, text.n - (size_t)colon - 1};
        if (colon >= 0 && str_index(after, ':') < 0) {
            host.n = (size_t)colon;
            port = (struct str){text.p + colon, text.n - (size_t)colon};
        }
    }
    if (host.n >= sizeof(u.text))
        return NULL;
    memcpy(u.text, host.p, host.n);
    u.text[host.n] = '\0';
    if (address_parse(u.text, &u.ip) < 0)
        return NULL;
    if (port.n > 0 &&
        (port.p[0] != ':' || parse_port((struct str){port.p + 1, port.n - 1}, &u.port) < 0 ||
            u.port == 0))
        return NULL;
    return xmemdup(&u, sizeof(u));
}

struct forwarder *forwarder_new(struct loop *l)
{
    struct forwarder *f = xnew(struct forwarder);
    f->loop = l;
    list_init(&f->questions);
    cache_init(&f->cache);
    return f;
}

void forwarder_free(struct forwarder *f)
{
    if (!f)
        return;
    while (!list_empty(&f->questions))
        finish(list_first(&f->questions, struct question, node), NULL, 0);
    cache_done(&f->cache);
    free(f);
}
