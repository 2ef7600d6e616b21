/*
 * Load for net.py: asks a DNS server over UDP, from a few sockets with a window of questions each,
 * and prints how many answers came in how long. load_dns IP PORT SECONDS NAME...
 */

#include <arpa/inet.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "bench_util.h"
#include "net/packet.h"

enum { SOCKETS = 8, WINDOW = 16, NAMES_MAX = 64, QUERY_SIZE = 512 };

struct question {
    uint8_t p[QUERY_SIZE];
    size_t n;
};

static struct question g_questions[NAMES_MAX];

static void make(struct question *q, const char *name)
{
    size_t n = DNS_HEAD;
    memset(q->p, 0, DNS_HEAD);
    q->p[2] = 1;
    q->p[5] = 1;
    uint16_t type = name[0] == '_' ? DNS_SRV : DNS_A;
    if (!dns_name_write((struct str){name, strlen(name)}, q->p, sizeof(q->p) - 4, &n)) {
        fprintf(stderr, "%s is no name\n", name);
        exit(1);
    }
    dns_set_u16(q->p + n, type);
    dns_set_u16(q->p + n + 2, DNS_CLASS_IN);
    q->n = n + 4;
}

static void ask(int fd, unsigned id, size_t n_names)
{
    struct question *q = &g_questions[id % n_names];
    dns_set_u16(q->p, id & 0xffff);
    (void)!send(fd, q->p, q->n, 0);
}

int main(int argc, char **argv)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    struct pollfd fds[SOCKETS];
    uint32_t port, seconds;
    size_t n_names = (size_t)argc - 4;
    if (argc < 5 || n_names > NAMES_MAX || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1 ||
        parse_u32(str_of(argv[2]), &port) < 0 || parse_u32(str_of(argv[3]), &seconds) < 0) {
        fprintf(stderr, "load_dns IP PORT SECONDS NAME...\n");
        return 1;
    }
    to.sin_port = htons((uint16_t)port);
    for (size_t i = 0; i < n_names; i++)
        make(&g_questions[i], argv[4 + i]);
    unsigned id = 0;
    uint64_t answers = 0, wrong = 0;
    for (size_t i = 0; i < SOCKETS; i++) {
        fds[i] = (struct pollfd){.fd = socket(AF_INET, SOCK_DGRAM, 0), .events = POLLIN};
        if (fds[i].fd < 0 || connect(fds[i].fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
            perror("connect");
            return 1;
        }
        for (size_t k = 0; k < WINDOW; k++)
            ask(fds[i].fd, id++, n_names);
    }
    int64_t began = clock_monotonic_us(), until = began + (int64_t)seconds * USEC_PER_SEC,
            now = began;
    while ((now = clock_monotonic_us()) < until) {
        uint8_t p[DNS_UDP_MAX];
        if (poll(fds, SOCKETS, 100) == 0)
            for (size_t i = 0; i < SOCKETS; i++)
                ask(fds[i].fd, id++, n_names); /* some were lost: keep the window open */
        for (size_t i = 0; i < SOCKETS; i++)
            for (ssize_t n; (n = recv(fds[i].fd, p, sizeof(p), MSG_DONTWAIT)) > 0;) {
                answers++;
                wrong += n < DNS_HEAD || (p[3] & 15) != 0 || dns_u16(p + 6) == 0;
                ask(fds[i].fd, id++, n_names);
            }
    }
    printf("%llu %llu %lld\n", (unsigned long long)answers, (unsigned long long)wrong,
        (long long)(now - began));
    return 0;
}
