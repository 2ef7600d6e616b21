#include "exhibitor/ask.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/macro.h"

enum { TEXT_MAX = 4096 };

struct asked {
    int fd; /* -1: over */
    bool sent;
    char text[TEXT_MAX];
    size_t n;
};

enum answer ask_parse(struct str text)
{
    static const struct {
        const char *mode;
        enum answer answer;
    } modes[] = {{"Mode: leader", ANSWER_LEADER}, {"Mode: follower", ANSWER_FOLLOWER},
        {"Mode: standalone", ANSWER_STANDALONE}};
    struct str line, rest = text;
    if (text.n == 0)
        return ANSWER_NONE;
    while (str_split(&rest, '\n', &line))
        for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
            if (str_eq_c(str_trim(line), modes[i].mode))
                return modes[i].answer;
    return ANSWER_NOT_SERVING;
}

static void end(struct asked *a)
{
    fd_close(a->fd);
    a->fd = -1;
}

static void start(struct asked *a, const char *address, uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    *a = (struct asked){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (a->fd < 0)
        return;
    if (inet_pton(AF_INET, address, &to.sin_addr) != 1 ||
        (connect(a->fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS))
        end(a);
}

static void go_on(struct asked *a)
{
    if (!a->sent) {
        a->sent = send(a->fd, "srvr", 4, MSG_NOSIGNAL) == 4;
        if (!a->sent)
            end(a);
        return;
    }
    ssize_t got = recv(a->fd, a->text + a->n, sizeof(a->text) - a->n, 0);
    if (got > 0)
        a->n += (size_t)got;
    if (got == 0 || (got < 0 && errno != EAGAIN) || a->n == sizeof(a->text))
        end(a);
}

void ask_members(
    const struct document *d, uint16_t port, int timeout_ms, enum answer ret[static MASTERS_MAX])
{
    struct asked asked[MASTERS_MAX];
    const int64_t until_us = clock_monotonic_us() + timeout_ms * USEC_PER_MSEC;
    for (size_t i = 0; i < d->n_members; i++)
        start(&asked[i], d->members[i].address, port);
    for (;;) {
        struct pollfd fds[MASTERS_MAX];
        struct asked *of[MASTERS_MAX];
        nfds_t n = 0;
        for (size_t i = 0; i < d->n_members; i++) {
            if (asked[i].fd < 0)
                continue;
            of[n] = &asked[i];
            fds[n++] = (struct pollfd){
                .fd = asked[i].fd, .events = asked[i].sent ? POLLIN : POLLOUT};
        }
        int64_t left_us = until_us - clock_monotonic_us();
        if (n == 0 || left_us <= 0 || poll(fds, n, (int)(left_us / USEC_PER_MSEC) + 1) < 0)
            break;
        for (nfds_t i = 0; i < n; i++)
            if (fds[i].revents)
                go_on(of[i]);
    }
    for (size_t i = 0; i < d->n_members; i++) {
        end(&asked[i]);
        ret[i] = ask_parse((struct str){asked[i].text, asked[i].n});
    }
}
