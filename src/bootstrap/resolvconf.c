#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "bootstrap/bootstrap.h"

enum {
    SERVERS = 3,
    DNS_PORT = 53,
    ANSWER_TIMEOUT_MS = 1000,
    HEADER_BYTES = 12,
    FALLBACK_MAX = 3, /* the C library reads no more */
};

static const char *const servers[SERVERS] = {"198.51.100.1", "198.51.100.2", "198.51.100.3"};

/* "ready.spartan", type A, class IN, as a question with the given id. */
static const unsigned char question[] = "\0\0\1\0\0\1\0\0\0\0\0\0"
                                        "\5ready\7spartan\0"
                                        "\0\1\0\1";

/* Sends the question to every server and waits for the answers at once. */
static void ask_all(bool answers[SERVERS])
{
    struct pollfd fds[SERVERS];
    for (size_t i = 0; i < SERVERS; i++) {
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(DNS_PORT)};
        answers[i] = false;
        fds[i] = (struct pollfd){
            .fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), .events = POLLIN};
        unsigned char packet[sizeof(question) - 1];
        memcpy(packet, question, sizeof(packet));
        packet[1] = (unsigned char)(i + 1);
        /* Connected, so that only this server's answer comes in. A server that cannot be reached is
         * one that does not answer. */
        if (inet_pton(AF_INET, servers[i], &to.sin_addr) != 1 || fds[i].fd < 0 ||
            connect(fds[i].fd, (const struct sockaddr *)&to, sizeof(to)) < 0 ||
            send(fds[i].fd, packet, sizeof(packet), 0) < 0)
            fds[i].fd = fd_close(fds[i].fd);
    }
    const int64_t end = clock_monotonic_us() + ANSWER_TIMEOUT_MS * USEC_PER_MSEC;
    for (;;) {
        bool waiting = false;
        for (size_t i = 0; i < SERVERS; i++)
            waiting |= fds[i].fd >= 0;
        const int64_t left = end - clock_monotonic_us();
        if (!waiting || left <= 0 || poll(fds, SERVERS, (int)(left / USEC_PER_MSEC) + 1) <= 0)
            break;
        for (size_t i = 0; i < SERVERS; i++) {
            unsigned char packet[512];
            if (fds[i].fd < 0 || !fds[i].revents)
                continue;
            ssize_t n = recv(fds[i].fd, packet, sizeof(packet), 0);
            answers[i] = n >= HEADER_BYTES && packet[1] == i + 1 && (packet[2] & 0x80) &&
                         (packet[3] & 0x0f) == 0;
            fds[i].fd = fd_close(fds[i].fd);
        }
    }
    for (size_t i = 0; i < SERVERS; i++)
        fd_close(fds[i].fd);
}

void resolvconf_text(
    const bool answers[3], const char *fallback, const char *search, struct buf *ret)
{
    bool any = false;
    buf_puts(ret, "# Written by dcos-gen-resolvconf every minute; changes are lost.\n"
                  "options timeout:1 attempts:3\n");
    if (search && *search)
        buf_printf(ret, "search %s\n", search);
    for (size_t i = 0; i < SERVERS; i++) {
        if (!answers[i])
            continue;
        buf_printf(ret, "nameserver %s\n", servers[i]);
        any = true;
    }
    struct str rest = str_of(fallback ? fallback : ""), part;
    for (size_t n = 0; !any && n < FALLBACK_MAX && str_split(&rest, ',', &part);) {
        char address[INET6_ADDRSTRLEN], binary[sizeof(struct in6_addr)];
        part = str_trim(part);
        /* "ip:53" of an IPv4 address: resolv.conf knows no ports, and another one cannot be named.
         */
        ptrdiff_t colon = str_index(part, ':');
        if (colon > 0 && memchr(part.p, '.', part.n)) {
            if (!str_eq_c((struct str){part.p + colon + 1, part.n - (size_t)colon - 1}, "53"))
                continue;
            part.n = (size_t)colon;
        }
        snprintf(address, sizeof(address), STR_FMT, STR_ARG(part));
        if (inet_pton(AF_INET, address, binary) != 1 && inet_pton(AF_INET6, address, binary) != 1)
            continue;
        buf_printf(ret, "nameserver %s\n", address);
        n++;
    }
}

/* Whatever was there, a link to systemd-resolved's file too, is replaced. A file that is a mount
 * of its own, as in containers, can only be written to. */
static int replace(const char *path, const struct buf *text, struct error *err)
{
    int r = file_write_atomic(path, text->p, text->n, 0644, err);
    if (r != -EBUSY && r != -EXDEV)
        return r;
    _cleanup_close_ int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, -errno, "%s", path);
    r = fd_write_all(fd, text->p, text->n);
    return r < 0 ? error_errno(err, r, "%s", path) : 0;
}

int resolvconf_run(const struct node *n, struct error *err)
{
    bool answers[SERVERS];
    _cleanup_buf_ struct buf text = BUF_INIT, now = BUF_INIT;
    _cleanup_free_ char *path = node_path(n, "/etc/resolv.conf");
    char target[8];
    ask_all(answers);
    resolvconf_text(answers, node_setting("RESOLVERS"), node_setting("SEARCH"), &text);
    if (!memmem(text.p, text.n, "nameserver", strlen("nameserver")))
        return error_set(err, -EAGAIN,
            "no server of names answers and RESOLVERS has none that /etc/resolv.conf can name: "
            "it stays as it is");
    const bool link = readlink(path, target, sizeof(target)) >= 0;
    if (!link && file_read(path, NODE_TEXT_MAX, &now, NULL) >= 0 && now.n == text.n &&
        memcmp(now.p, text.p, text.n) == 0)
        return 0;
    log_info("writing /etc/resolv.conf answering=%d", answers[0] + answers[1] + answers[2]);
    return replace(path, &text, err);
}
