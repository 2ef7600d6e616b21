/* Requests per second over keep-alive connections: http_rps [CONNECTIONS [REQUESTS]]. Server and
 * client are two processes, one thread each. */

#include <signal.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "bench_util.h"
#include "http/client.h"
#include "http/server.h"

enum { CONNECTIONS = 64, REQUESTS = 200000 };

static void handler(struct http_request *req, void *userdata)
{
    (void)userdata;
    http_respond(req, 200, "text/plain", "hello, world\n", 13);
}

static void on_term(void *userdata, int signum)
{
    (void)signum;
    loop_stop(userdata);
}

static int serve(int port_fd)
{
    struct loop *l = loop_new();
    struct http_server *server = http_server_new(l, NULL, handler, NULL);
    struct loop_signal *term = loop_signal_new(l, SIGTERM, on_term, l);
    uint16_t port;
    if (http_server_listen(server, "127.0.0.1", 0, NULL, &port, NULL) < 0 ||
        write(port_fd, &port, sizeof(port)) != sizeof(port))
        return 1;
    loop_run(l);
    loop_signal_free(term);
    http_server_free(server);
    loop_free(l);
    return 0;
}

struct state {
    struct loop *loop;
    struct http_client *client;
    uint16_t port;
    uint32_t left, open;
    unsigned failed;
};

static void next(struct state *s);

static void on_done(struct http_call *call, int status, const char *error,
    const struct http_response *res, void *userdata)
{
    struct state *s = userdata;
    (void)call, (void)error;
    s->failed += status < 0 || res->status != 200 || res->body.n != 13;
    s->open--;
    if (s->left)
        next(s);
    else if (!s->open)
        loop_stop(s->loop);
}

static void next(struct state *s)
{
    static const struct http_call_handlers handlers = {.on_done = on_done};
    struct http_call_options o = {
        .host = "127.0.0.1", .port = s->port, .target = "/hello", .collect_max = 1024};
    s->left--;
    s->open++;
    http_call_start(s->client, &o, &handlers, s);
}

int main(int argc, char **argv)
{
    uint32_t connections = CONNECTIONS, requests = REQUESTS;
    int port_pipe[2];
    if ((argc > 1 && parse_u32(str_of(argv[1]), &connections) < 0) ||
        (argc > 2 && parse_u32(str_of(argv[2]), &requests) < 0) || !connections || !requests) {
        fprintf(stderr, "usage: %s [CONNECTIONS [REQUESTS]]\n", argv[0]);
        return 2;
    }
    if (pipe(port_pipe) < 0)
        return 1;
    pid_t child = fork();
    if (child == 0)
        _exit(serve(port_pipe[1]));
    struct state s = {.loop = loop_new(), .left = requests};
    struct http_client_options options = {.idle_per_host = connections};
    s.client = http_client_new(s.loop, &options);
    if (read(port_pipe[0], &s.port, sizeof(s.port)) != sizeof(s.port))
        return 1;
    int64_t start = clock_monotonic_us();
    for (uint32_t i = 0; i < connections && s.left; i++)
        next(&s);
    loop_run(s.loop);
    double wall = (double)(clock_monotonic_us() - start) / 1e6;
    http_client_free(s.client);
    loop_free(s.loop);
    int status;
    kill(child, SIGTERM);
    waitpid(child, &status, 0);
    double server_cpu = bench_cpu_s(RUSAGE_CHILDREN);

    bench_machine();
    printf("connections %u count\n", connections);
    printf("requests %u count\n", requests);
    printf("failed %u count\n", s.failed);
    printf("wall %.3f s\n", wall);
    printf("rate %.0f requests/s\n", requests / wall);
    printf("server_cpu %.3f s\n", server_cpu);
    printf("server_cpu_per_request %.2f us\n", server_cpu * 1e6 / requests);
    printf("client_cpu %.3f s\n", bench_cpu_s(RUSAGE_SELF));
    printf("server_peak_rss %ld KB\n", bench_peak_kb(RUSAGE_CHILDREN));
    return s.failed ? 1 : 0;
}
