/* Memory of a server with many open, silent streaming answers: http_idle [STREAMS]. The readers
 * live in a child process of their own. */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "bench_util.h"
#include "http/server.h"

enum { STREAMS = 10000, STREAMS_MAX = 19900 };

struct state {
    struct loop *loop;
    unsigned begun, want;
};

static void handler(struct http_request *req, void *userdata)
{
    struct state *s = userdata;
    http_respond_begin(req, 200, "text/event-stream");
    http_respond_write(req, ": hello\n\n", 9);
    if (++s->begun == s->want)
        loop_stop(s->loop);
}

static void settled(struct timer *t)
{
    loop_stop(t->loop);
}

/* Opens the streams and holds them until the other end of `hold` is closed. */
static int readers(unsigned n, int port_fd, int hold)
{
    static const char request[] = "GET /events HTTP/1.1\r\nHost: bench\r\nUser-Agent: bench/1\r\n"
                                  "Accept: text/event-stream\r\n\r\n";
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    uint16_t port;
    char c;
    if (read(port_fd, &port, sizeof(port)) != sizeof(port))
        return 1;
    sin.sin_port = htons(port);
    for (unsigned i = 0; i < n; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 ||
            fd_write_all(fd, request, sizeof(request) - 1) < 0) {
            perror("reader");
            return 1;
        }
    }
    return read(hold, &c, 1) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    uint32_t n = STREAMS;
    int port_pipe[2], hold[2];
    uint16_t port;
    struct error err = ERROR_INIT;
    if (argc > 1 && (parse_u32(str_of(argv[1]), &n) < 0 || n == 0 || n > STREAMS_MAX)) {
        fprintf(stderr, "usage: %s [STREAMS up to %d]\n", argv[0], STREAMS_MAX);
        return 2;
    }
    if (pipe(port_pipe) < 0 || pipe(hold) < 0)
        return 1;
    pid_t child = fork();
    if (child == 0) {
        close(port_pipe[1]);
        close(hold[1]);
        _exit(readers(n, port_pipe[0], hold[0]));
    }
    close(port_pipe[0]);
    close(hold[0]);

    struct state s = {.loop = loop_new(), .want = n};
    struct http_server_options options = {.max_connections = n + 1};
    struct http_server *server = http_server_new(s.loop, &options, handler, &s);
    uint64_t before = bench_pss_kb();
    if (http_server_listen(server, "127.0.0.1", 0, NULL, &port, &err) < 0) {
        fprintf(stderr, "%s\n", err.msg);
        kill(child, SIGKILL);
        return 1;
    }
    int64_t start = clock_monotonic_us();
    if (write(port_pipe[1], &port, sizeof(port)) != sizeof(port))
        return 1;
    loop_run(s.loop);
    int64_t opened = clock_monotonic_us();
    struct timer t;
    timer_init(&t, s.loop, settled);
    timer_start(&t, USEC_PER_SEC);
    loop_run(s.loop);
    uint64_t after = bench_pss_kb();

    bench_machine();
    printf("streams %u count\n", n);
    printf("open_time %.3f s\n", (double)(opened - start) / 1e6);
    printf("server_cpu %.3f s\n", bench_cpu_s(RUSAGE_SELF));
    printf("pss_before %lu KB\n", (unsigned long)before);
    printf("pss_idle %lu KB\n", (unsigned long)after);
    printf("per_stream %.0f B\n", (double)(after - before) * 1024 / n);
    printf("peak_rss %ld KB\n", bench_peak_kb(RUSAGE_SELF));

    close(hold[1]);
    http_server_free(server);
    loop_free(s.loop);
    int status;
    waitpid(child, &status, 0);
    return status == 0 ? 0 : 1;
}
