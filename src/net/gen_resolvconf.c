#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/flags.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/rng.h"
#include "net/resolvconf.h"

/*
 * Asks the node's name servers for ready.spartan and writes /etc/resolv.conf accordingly. Meant to
 * be run once a minute. RESOLVERS and SEARCH are read from the environment where no flag is given,
 * as upstream's environment files (dns_config, dns_search_config) have them.
 */

static const char PROBE[] = "ready.spartan";
enum { TRIES = 2, DNS_PORT = 53 };

struct options {
    const char *path, *kept, *addresses, *upstreams, *search;
    int64_t wait_us;
    bool undo;
};

struct server {
    struct address ip;
    uint16_t port;
};
struct servers {
    struct server items[RESOLVCONF_CANDIDATES_MAX];
    size_t n;
};

/* "ip", "ip:port", "[ip6]:port" */
static int parse_server(struct str text, struct server *ret)
{
    char ip[ADDRESS_TEXT];
    struct str host = text;
    *ret = (struct server){.port = DNS_PORT};
    ptrdiff_t colon = str_index(text, ':');
    if (text.n > 0 && text.p[0] == '[') {
        ptrdiff_t end = str_index(text, ']');
        if (end < 0)
            return -EINVAL;
        host = (struct str){text.p + 1, (size_t)end - 1};
        struct str port = {text.p + end + 1, text.n - (size_t)end - 1};
        if (port.n > 0 &&
            (port.p[0] != ':' || parse_port((struct str){port.p + 1, port.n - 1}, &ret->port) < 0))
            return -EINVAL;
    } else if (colon >= 0 &&
               str_index((struct str){text.p + colon + 1, text.n - (size_t)colon - 1}, ':') < 0) {
        host.n = (size_t)colon;
        if (parse_port((struct str){text.p + colon + 1, text.n - (size_t)colon - 1}, &ret->port) <
            0)
            return -EINVAL;
    }
    if (host.n >= sizeof(ip) || ret->port == 0)
        return -EINVAL;
    memcpy(ip, host.p, host.n);
    ip[host.n] = '\0';
    return address_parse(ip, &ret->ip);
}

static int parse_servers(const char *list, const char *what, struct servers *ret, struct error *err)
{
    struct str rest = str_of(list), part;
    while (list && str_split(&rest, ',', &part)) {
        part = str_trim(part);
        if (part.n == 0)
            continue;
        if (ret->n == RESOLVCONF_CANDIDATES_MAX)
            return error_set(
                err, -EINVAL, "%s: more than %d servers", what, RESOLVCONF_CANDIDATES_MAX);
        if (parse_server(part, &ret->items[ret->n]) < 0)
            return error_set(
                err, -EINVAL, "%s: '" STR_FMT "' is not ip[:port]", what, STR_ARG(part));
        ret->n++;
    }
    return 0;
}

/* ---- who answers ---- */

static int connect_to(const struct server *s)
{
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } to = {0};
    if (s->ip.v6) {
        to.in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(s->port)};
        memcpy(&to.in6.sin6_addr, s->ip.bytes, 16);
    } else {
        to.in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(s->port)};
        memcpy(&to.in.sin_addr, s->ip.bytes, 4);
    }
    int fd = socket(to.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, &to.sa, s->ip.v6 ? sizeof(to.in6) : sizeof(to.in)) < 0)
        fd = fd_close(fd);
    return fd;
}

/* Whether it is an answer without an error, with an address in it. */
static bool ready(const uint8_t *p, size_t n, const uint8_t *query, const struct dns_query *q)
{
    return n >= DNS_HEAD && dns_reply_fits(p, n, q->id, query, q) && (p[3] & 15) == DNS_NOERROR &&
           dns_u16(p + 6) > 0;
}

static void ask_all(const struct servers *s, int64_t wait_us, bool ret[RESOLVCONF_CANDIDATES_MAX])
{
    uint8_t query[DNS_HEAD + NAME_WIRE_MAX + 4] = {0}, reply[DNS_UDP_MAX];
    struct dns_query q;
    struct pollfd fds[RESOLVCONF_CANDIDATES_MAX];
    size_t n = DNS_HEAD;
    random_bytes(query, 2);
    query[2] = 1; /* recursion desired */
    query[5] = 1; /* one question */
    bool written = dns_name_write(str_of(PROBE), query, sizeof(query) - 4, &n);
    dns_set_u16(query + n, DNS_A);
    dns_set_u16(query + n + 2, DNS_CLASS_IN);
    n += 4;
    if (!written || dns_query_read(query, n, &q) < 0)
        return;
    for (size_t i = 0; i < s->n; i++)
        fds[i] = (struct pollfd){.fd = connect_to(&s->items[i]), .events = POLLIN};
    int64_t began = clock_monotonic_us();
    for (int64_t t = 0; t < TRIES; t++) {
        for (size_t i = 0; i < s->n; i++)
            if (fds[i].fd >= 0)
                (void)send(fds[i].fd, query, n, 0); /* asked twice, since it may be lost */
        size_t open = 1;
        for (int64_t left;
             open > 0 && (left = began + wait_us * (t + 1) / TRIES - clock_monotonic_us()) > 0;) {
            (void)poll(fds, s->n, (int)(left / USEC_PER_MSEC) + 1);
            open = 0;
            for (size_t i = 0; i < s->n; i++) {
                ssize_t got = fds[i].fd >= 0 && fds[i].revents
                                  ? recv(fds[i].fd, reply, sizeof(reply), 0)
                                  : -1;
                if (got > 0 && ready(reply, (size_t)got, query, &q))
                    ret[i] = true;
                /* One that refuses (ECONNREFUSED) may come up before the second question. */
                if (ret[i])
                    fds[i].fd = fd_close(fds[i].fd);
                open += fds[i].fd >= 0;
            }
        }
    }
    for (size_t i = 0; i < s->n; i++)
        fds[i].fd = fd_close(fds[i].fd);
}

/* ---- the file ---- */

static int choose(const struct options *o, struct buf *text, struct error *err)
{
    struct servers own = {0}, upstreams = {0};
    struct address chosen[RESOLVCONF_CANDIDATES_MAX];
    bool answers[RESOLVCONF_CANDIDATES_MAX] = {0};
    size_t n = 0;
    int r = parse_servers(o->addresses, "--addresses", &own, err);
    if (r == 0)
        r = parse_servers(o->upstreams, "--upstream_resolvers", &upstreams, err);
    if (r == 0)
        r = resolvconf_check_search(o->search, err);
    if (r < 0)
        return r;
    ask_all(&own, o->wait_us, answers);
    for (size_t i = 0; i < own.n; i++)
        if (answers[i])
            chosen[n++] = own.items[i].ip;
    if (n == 0) {
        for (size_t i = 0; i < upstreams.n; i++)
            if (upstreams.items[i].port == DNS_PORT) /* the file knows no other */
                chosen[n++] = upstreams.items[i].ip;
        struct rng rng;
        uint64_t seed;
        random_bytes(&seed, sizeof(seed));
        rng_init(&rng, seed);
        for (size_t i = n; i > 1; i--) {
            size_t k = (size_t)rng_below(&rng, i);
            struct address swapped = chosen[i - 1];
            chosen[i - 1] = chosen[k];
            chosen[k] = swapped;
        }
        log_warn("no name server of this node answers for %s, %zu others are used", PROBE,
            MIN(n, (size_t)RESOLVCONF_SERVERS_MAX));
    }
    if (n == 0)
        return error_set(err, -EHOSTUNREACH,
            "no name server of this node answers, and there are no upstream resolvers with port "
            "53: the file stays as it is");
    resolvconf_text(chosen, n, o->search, text);
    return 0;
}

static int run(const struct options *o, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (o->undo) {
        int r = resolvconf_undo(o->path, o->kept, err);
        if (r >= 0)
            log_info(r > 0 ? "what was there before is back file=%s"
                           : "the file is not ours, it stays file=%s",
                o->path);
        return r;
    }
    int r = choose(o, &text, err);
    if (r == 0)
        r = resolvconf_write(o->path, o->kept, buf_str(&text), err);
    if (r > 0)
        log_info("written file=%s", o->path);
    return r;
}

int main(int argc, char **argv)
{
    struct options o = {0};
    struct flag flags[] = {
        {"file", FLAG_STRING, &o.path, "/etc/resolv.conf", "PATH", "what is written"},
        {"kept", FLAG_STRING, &o.kept, "/var/lib/dcos/resolv.conf.kept", "PATH",
            "where that goes which was there before"},
        {"addresses", FLAG_STRING, &o.addresses, "198.51.100.1,198.51.100.2,198.51.100.3", "LIST",
            "name servers of this node; those that answer for ready.spartan are written"},
        {"upstream_resolvers", FLAG_STRING, &o.upstreams, NULL, "LIST",
            "written when none of them answers, up to three, in any order; default is $RESOLVERS"},
        {"search", FLAG_STRING, &o.search, NULL, "DOMAINS",
            "search domains, blanks between them; default is $SEARCH"},
        {"wait", FLAG_DURATION, &o.wait_us, "2secs", "DURATION", "how long to wait for answers"},
        {"undo", FLAG_BOOL, &o.undo, "false", NULL, "put back what was there before"},
    };
    static const struct program program = {.name = "dcos-gen-resolvconf",
        .summary = "Writes resolv.conf: this node's name servers while they answer.",
        .env_prefix = "DCOS_GEN_RESOLVCONF",
        .version = DCOS_VERSION};
    struct error err = ERROR_INIT;
    log_init("dcos-gen-resolvconf");
    int status = flags_parse(&program, flags, ARRAY_SIZE(flags), argc, argv, &err);
    if (status < 0)
        fprintf(stderr, "dcos-gen-resolvconf: %s\n", err.msg);
    if (status != 0)
        return status > 0 ? 0 : 2;
    if (!o.upstreams)
        o.upstreams = secure_getenv("RESOLVERS");
    if (!o.search)
        o.search = secure_getenv("SEARCH");
    status = run(&o, &err);
    if (status < 0)
        log_error("failed file=%s error=%s", o.path, err.msg);
    return status < 0 ? 1 : 0;
}
