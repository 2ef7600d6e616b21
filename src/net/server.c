#include "net/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdalign.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"

enum {
    BATCH = 32,
    TRUSTED_MAX = 64,
    PORT_TRIES = 16,
    UDP_BUFFER = 1024 * 1024,
    BATCHES_PER_TURN = 8
};
enum { TCP_WRITE_MAX = 1024 * 1024 };
static const int64_t TCP_IDLE_US = 10 * USEC_PER_SEC;

union socket_address {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

/* The address that a datagram came to, as the kernel takes it for where the answer leaves from. */
struct ancillary {
    size_t n; /* bytes of data; 0: the socket has one address only */
    alignas(struct cmsghdr) char data[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

struct udp {
    struct dns_server *server;
    int fd;
    bool any; /* bound to a wildcard */
    struct loop_fd *watch;
    struct listener *tcp;
};

struct dns_server {
    struct loop *loop;
    const struct resolver *resolver;
    struct forwarder *forwarder;
    struct udp sockets[SERVER_LISTEN_MAX];
    size_t n_sockets;
    struct network trusted[TRUSTED_MAX];
    size_t n_trusted;
    struct limit limit;
    struct server_counts counts;
    struct list connections;
    uint8_t in[BATCH][DNS_QUERY_MAX + 1], out[BATCH][DNS_UDP_MAX];
    uint8_t tcp_out[DNS_MESSAGE_MAX];
};

/* A question that is being asked upstream. */
struct waiting {
    struct dns_server *server;
    struct connection *connection; /* NULL: UDP, or gone */
    struct list node;
    int fd;
    union socket_address to;
    socklen_t to_n;
    struct ancillary from;
    struct dns_query q;
    size_t n;
    uint8_t query[];
};

struct connection {
    struct dns_server *server;
    struct list node, waiting;
    size_t n_waiting;
    struct stream *stream;
    struct buf in;
    struct timer idle;
    bool trusted, closed;
};

static bool trusted(const struct dns_server *s, const struct address *a)
{
    for (size_t i = 0; i < s->n_trusted; i++)
        if (network_has(&s->trusted[i], a))
            return true;
    return false;
}

/* An IPv4 address that came through a socket for both families. */
static void unmap(struct address *a)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (!a->v6 || memcmp(a->bytes, mapped, sizeof(mapped)) != 0)
        return;
    struct address four = {0};
    memcpy(four.bytes, a->bytes + sizeof(mapped), 4);
    *a = four;
}

static void of_socket(const union socket_address *from, struct address *ret)
{
    *ret = (struct address){.v6 = from->sa.sa_family == AF_INET6};
    if (ret->v6)
        memcpy(ret->bytes, &from->in6.sin6_addr, 16);
    else
        memcpy(ret->bytes, &from->in.sin_addr, 4);
    unmap(ret);
}

static void tcp_send(struct connection *c, const void *p, size_t n)
{
    uint8_t head[2];
    dns_set_u16(head, (unsigned)n);
    stream_write(c->stream, head, sizeof(head));
    stream_write(c->stream, p, n);
}

static void on_forwarded(const void *reply, size_t n, void *userdata)
{
    struct waiting *w = userdata;
    struct dns_server *s = w->server;
    struct connection *c = w->connection;
    uint8_t *out = s->tcp_out;
    size_t cap = c ? DNS_MESSAGE_MAX : MIN(w->q.udp_size, (uint16_t)DNS_UDP_MAX);
    if (!reply) {
        n = resolve_refuse(w->query, &w->q, DNS_SERVFAIL, out, cap);
    } else if (n > cap) {
        n = resolve_truncated(w->query, &w->q, out, cap);
        s->counts.truncated++;
    } else {
        memcpy(out, reply, n);
        if (w->q.question_end <= n)
            memcpy(out + DNS_HEAD, w->query + DNS_HEAD, w->q.question_end - DNS_HEAD);
    }
    if (c) {
        list_remove(&w->node);
        c->n_waiting--;
        tcp_send(c, out, n);
    } else if (w->fd >= 0) {
        struct iovec v = {out, n};
        const struct msghdr m = {.msg_name = &w->to,
            .msg_namelen = w->to_n,
            .msg_iov = &v,
            .msg_iovlen = 1,
            .msg_control = w->from.n > 0 ? w->from.data : NULL,
            .msg_controllen = w->from.n};
        (void)sendmsg(w->fd, &m, MSG_DONTWAIT);
    }
    free(w);
}

/* Size of the answer that can be given at once, or 0. */
static size_t answer(struct dns_server *s, const uint8_t *p, size_t n, bool tcp, bool trust,
    uint8_t *out, size_t cap, struct waiting *w)
{
    struct dns_query q;
    const struct forward_zone *zone = NULL;
    size_t size = 0;
    enum resolved how = resolve(s->resolver, p, n, !tcp, trust, &q, out, cap, &size, &zone);
    if (how == RESOLVED_DROP) {
        s->counts.malformed++;
        return 0;
    }
    if (how == RESOLVED_ANSWER) {
        s->counts.answers++;
        s->counts.truncated += (out[2] & 2) != 0;
        s->counts.malformed += (out[3] & 15) == DNS_FORMERR;
        s->counts.refused += (out[3] & 15) == DNS_REFUSED;
        return size;
    }
    size_t limit = tcp ? cap : MIN(q.udp_size, (uint16_t)DNS_UDP_MAX);
    size = cache_get(forwarder_cache(s->forwarder), p, &q, loop_now_us(s->loop), out, limit);
    if (size > 0) {
        s->counts.cached++;
        return size;
    }
    struct waiting *copy = xcalloc(1, sizeof(*copy) + n);
    *copy = *w;
    copy->q = q;
    copy->n = n;
    memcpy(copy->query, p, n);
    list_init(&copy->node);
    /* The zone is the resolver's, which only lends it as constant. */
    struct forward_zone *z = (struct forward_zone *)(uintptr_t)zone;
    if (forwarder_ask(s->forwarder, z, tcp, p, n, &q, on_forwarded, copy) < 0) {
        free(copy);
        return resolve_refuse(p, &q, DNS_SERVFAIL, out, cap);
    }
    s->counts.forwarded++;
    if (copy->connection) {
        list_push(&copy->connection->waiting, &copy->node);
        copy->connection->n_waiting++;
    }
    return 0;
}

/* ---- UDP ---- */

/* Makes of what came with a datagram what goes with its answer: the same address, and whatever
 * interface leads to the sender. */
static void answer_from(const struct msghdr *m, struct ancillary *ret)
{
    ret->n = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR((struct msghdr *)m, c)) {
        struct in6_pktinfo six;
        struct in_pktinfo four;
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            memcpy(&four, CMSG_DATA(c), sizeof(four));
            four.ipi_ifindex = 0;
            memcpy(CMSG_DATA(c), &four, sizeof(four));
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            memcpy(&six, CMSG_DATA(c), sizeof(six));
            if (!IN6_IS_ADDR_LINKLOCAL(&six.ipi6_addr))
                six.ipi6_ifindex = 0;
            memcpy(CMSG_DATA(c), &six, sizeof(six));
        } else {
            continue;
        }
        ret->n = MIN(m->msg_controllen, sizeof(ret->data));
        return;
    }
}

static size_t answer_udp(
    struct udp *u, const struct mmsghdr *m, const struct ancillary *at, uint8_t *out)
{
    struct dns_server *s = u->server;
    struct address from;
    union socket_address *name = m->msg_hdr.msg_name;
    of_socket(name, &from);
    bool trust = trusted(s, &from);
    s->counts.udp++;
    struct waiting w = {
        .server = s, .fd = u->fd, .to = *name, .to_n = m->msg_hdr.msg_namelen, .from = *at};
    enum limit_verdict v = trust ? LIMIT_ANSWER
                                 : limit_check(&s->limit, &from, loop_now_us(s->loop));
    if (v != LIMIT_ANSWER)
        s->counts.limited++;
    if (v == LIMIT_DROP)
        return 0;
    const uint8_t *p = m->msg_hdr.msg_iov->iov_base;
    if (v == LIMIT_TRUNCATE) {
        struct dns_query q;
        return dns_query_read(p, m->msg_len, &q) == 0 ? resolve_truncated(p, &q, out, DNS_UDP_MAX)
                                                      : 0;
    }
    return answer(s, p, m->msg_len, false, trust, out, DNS_UDP_MAX, &w);
}

static void on_udp(void *userdata, unsigned events)
{
    struct udp *u = userdata;
    struct dns_server *s = u->server;
    for (size_t turn = 0; turn < BATCHES_PER_TURN; turn++) {
        struct mmsghdr in[BATCH] = {0}, out[BATCH] = {0};
        struct iovec in_v[BATCH], out_v[BATCH];
        struct ancillary at[BATCH];
        union socket_address from[BATCH];
        for (size_t i = 0; i < BATCH; i++) {
            in_v[i] = (struct iovec){s->in[i], sizeof(s->in[i])};
            in[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
                .msg_namelen = sizeof(from[i]),
                .msg_iov = &in_v[i],
                .msg_iovlen = 1,
                .msg_control = u->any ? at[i].data : NULL,
                .msg_controllen = u->any ? sizeof(at[i].data) : 0};
        }
        int n = recvmmsg(u->fd, in, BATCH, MSG_DONTWAIT, NULL);
        if (n <= 0)
            return;
        unsigned n_out = 0;
        for (int i = 0; i < n; i++) {
            at[i].n = 0;
            if (u->any)
                answer_from(&in[i].msg_hdr, &at[i]);
            size_t size = answer_udp(u, &in[i], &at[i], s->out[n_out]);
            if (size == 0)
                continue;
            out_v[n_out] = (struct iovec){s->out[n_out], size};
            out[n_out].msg_hdr = (struct msghdr){.msg_name = &from[i],
                .msg_namelen = in[i].msg_hdr.msg_namelen,
                .msg_iov = &out_v[n_out],
                .msg_iovlen = 1,
                .msg_control = at[i].n > 0 ? at[i].data : NULL,
                .msg_controllen = at[i].n};
            n_out++;
        }
        for (unsigned sent = 0; sent < n_out;) {
            int r = sendmmsg(u->fd, out + sent, n_out - sent, MSG_DONTWAIT);
            sent += r > 0 ? (unsigned)r : 1; /* one that cannot be sent is lost, as any may be */
        }
        if (n < BATCH)
            return;
    }
}

/* ---- TCP ---- */

static void connection_close(struct connection *c)
{
    LIST_FOREACH_SAFE (w, &c->waiting, struct waiting, node) {
        list_remove(&w->node);
        w->connection = NULL;
        w->fd = -1;
    }
    timer_stop(&c->idle);
    list_remove(&c->node);
    stream_close(c->stream);
    buf_done(&c->in);
    free(c);
}

static void on_idle(struct timer *t)
{
    struct connection *c = container_of(t, struct connection, idle);
    if (c->n_waiting > 0)
        timer_start(t, TCP_IDLE_US);
    else
        connection_close(c);
}

static void on_tcp_data(struct stream *stream, const char *p, size_t n, void *userdata)
{
    struct connection *c = userdata;
    struct dns_server *s = c->server;
    size_t pos = 0;
    buf_append(&c->in, p, n);
    while (c->in.n - pos >= 2) {
        const uint8_t *m = (const uint8_t *)c->in.p + pos;
        size_t size = dns_u16(m);
        if (size > DNS_QUERY_MAX || size < DNS_HEAD || c->n_waiting >= SERVER_TCP_PENDING_MAX ||
            stream_write_queued(stream) > TCP_WRITE_MAX) {
            connection_close(c);
            return;
        }
        if (c->in.n - pos < size + 2)
            break;
        struct waiting w = {.server = s, .connection = c, .fd = -1};
        s->counts.tcp++;
        size_t out = answer(s, m + 2, size, true, c->trusted, s->tcp_out, sizeof(s->tcp_out), &w);
        if (out > 0)
            tcp_send(c, s->tcp_out, out);
        pos += size + 2;
        timer_start(&c->idle, TCP_IDLE_US);
    }
    buf_consume(&c->in, pos);
}

static void on_tcp_end(struct stream *stream, int status, void *userdata)
{
    struct connection *c = userdata;
    c->closed = true;
    if (status < 0 || (c->n_waiting == 0 && stream_write_queued(stream) == 0))
        connection_close(c);
}

static void on_tcp_drain(struct stream *stream, void *userdata)
{
    struct connection *c = userdata;
    if (c->closed && c->n_waiting == 0)
        connection_close(c);
}

static void on_accept(struct stream *stream, void *userdata)
{
    static const struct stream_handlers handlers = {
        .on_data = on_tcp_data, .on_end = on_tcp_end, .on_drain = on_tcp_drain};
    struct dns_server *s = userdata;
    struct stream_address peer;
    struct address a;
    struct connection *c = xnew(struct connection);
    c->server = s;
    c->stream = stream;
    list_init(&c->node);
    list_init(&c->waiting);
    stream_peer(stream, &peer);
    if (address_parse(peer.host, &a) == 0) {
        unmap(&a);
        c->trusted = trusted(s, &a);
    }
    list_push(&s->connections, &c->node);
    timer_init(&c->idle, s->loop, on_idle);
    timer_start(&c->idle, TCP_IDLE_US);
    stream_set_handlers(stream, &handlers, c);
    stream_read_start(stream);
}

/* ---- life ---- */

static bool is_any(const struct address *a)
{
    static const struct address none;
    return memcmp(a->bytes, none.bytes, sizeof(none.bytes)) == 0;
}

static int bind_udp(const struct address *a, uint16_t port, uint16_t *ret_port)
{
    union socket_address name = {0};
    socklen_t size = a->v6 ? sizeof(name.in6) : sizeof(name.in);
    int fd = socket(a->v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (a->v6) {
        name.in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
        memcpy(&name.in6.sin6_addr, a->bytes, 16);
        /* [::] is IPv4 as well, as it is for TCP. */
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){!is_any(a)}, sizeof(int));
    } else {
        name.in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
        memcpy(&name.in.sin_addr, a->bytes, 4);
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int){UDP_BUFFER}, sizeof(int));
    int status = 0;
    if (is_any(a) && a->v6)
        status = setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &(int){1}, sizeof(int));
    else if (is_any(a))
        status = setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &(int){1}, sizeof(int));
    if (status < 0 || bind(fd, &name.sa, size) < 0 || getsockname(fd, &name.sa, &size) < 0) {
        int r = -errno;
        close(fd);
        return r;
    }
    *ret_port = ntohs(a->v6 ? name.in6.sin6_port : name.in.sin_port);
    return fd;
}

int dns_server_listen(
    struct dns_server *s, const char *host, uint16_t port, uint16_t *ret_port, struct error *err)
{
    struct address a;
    if (s->n_sockets == SERVER_LISTEN_MAX || address_parse(host, &a) < 0)
        return error_set(err, -EINVAL, "%s is no address to listen on, or they are too many", host);
    struct udp *u = &s->sockets[s->n_sockets];
    int r = -EADDRINUSE;
    for (unsigned tries = 0; tries < (port ? 1 : PORT_TRIES); tries++) {
        uint16_t got = 0;
        int fd = bind_udp(&a, port, &got);
        if (fd < 0)
            return error_errno(err, fd, "cannot listen on UDP %s:%u", host, port);
        *u = (struct udp){.server = s, .fd = fd, .any = is_any(&a)};
        r = listener_tcp(
            s->loop, host, got, NULL, SERVER_CONNECTIONS_MAX, on_accept, s, &u->tcp, err);
        if (r == 0)
            r = loop_fd_new(s->loop, fd, LOOP_READABLE, on_udp, u, &u->watch);
        if (r == 0) {
            s->n_sockets++;
            *ret_port = got;
            return 0;
        }
        if (u->tcp)
            listener_close(u->tcp);
        close(fd);
    }
    return r;
}

void dns_server_trust(struct dns_server *s, const struct network *n)
{
    if (s->n_trusted < TRUSTED_MAX)
        s->trusted[s->n_trusted++] = *n;
}

const struct server_counts *dns_server_counts(const struct dns_server *s)
{
    return &s->counts;
}

struct dns_server *dns_server_new(struct loop *l, const struct resolver *r, struct forwarder *f)
{
    struct dns_server *s = xnew(struct dns_server);
    s->loop = l;
    s->resolver = r;
    s->forwarder = f;
    list_init(&s->connections);
    return s;
}

void dns_server_free(struct dns_server *s)
{
    if (!s)
        return;
    LIST_FOREACH_SAFE (c, &s->connections, struct connection, node)
        connection_close(c);
    for (size_t i = 0; i < s->n_sockets; i++) {
        listener_close(s->sockets[i].tcp);
        loop_fd_free(s->sockets[i].watch);
        close(s->sockets[i].fd);
    }
    free(s);
}
