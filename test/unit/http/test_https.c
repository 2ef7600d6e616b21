#include "unit.h"

#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "http/client.h"
#include "http/server.h"
#include "io/process.h"

/* Server and client over TLS, with a certificate made for the test. */
static int g_done, g_status, g_code;
static size_t g_size;

static void made(const struct process_result *result, void *userdata)
{
    assert_int_equal(result->status, 0);
    *(bool *)userdata = true;
}

static void handler(struct http_request *req, void *userdata)
{
    (void)userdata;
    _cleanup_free_ char *data = xcalloc(1, 500000);
    http_respond(req, 200, "text/plain", data, 500000);
}

static void on_done(struct http_call *call, int status, const char *error,
    const struct http_response *res, void *userdata)
{
    (void)call, (void)error, (void)userdata;
    g_done++;
    g_status = status;
    g_code = res ? res->status : 0;
    g_size = res ? res->body.n : 0;
}

static void over_tls(void **state)
{
    (void)state;
    static const struct http_call_handlers handlers = {.on_done = on_done};
    char dir[] = "/tmp/test-https-XXXXXX";
    assert_non_null(mkdtemp(dir));
    struct loop *l = loop_new();
    bool ready = false;
    const char *argv[] = {"sh", "-c",
        "cd \"$0\" && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
        "-days 2 -keyout key.pem -out cert.pem -subj /CN=x -addext subjectAltName=IP:127.0.0.1",
        dir, NULL};
    struct process_options po = {.argv = argv, .timeout_us = 60000000};
    assert_int_equal(process_start(l, &po, made, &ready, NULL, NULL), 0);
    while (!ready)
        loop_run_once(l, true);
    _cleanup_free_ char *cert = path_join(dir, "cert.pem"), *key = path_join(dir, "key.pem");
    struct tls_context *server_tls, *client_tls;
    uint16_t port;
    assert_int_equal(tls_context_new_server(cert, key, &server_tls, NULL), 0);
    assert_int_equal(tls_context_new_client(cert, true, &client_tls, NULL), 0);
    struct http_server *server = http_server_new(l, NULL, handler, NULL);
    assert_int_equal(http_server_listen(server, "127.0.0.1", 0, server_tls, &port, NULL), 0);
    struct http_client_options trusting = {.tls = client_tls};
    struct http_client *client = http_client_new(l, &trusting);
    struct http_client *strict = http_client_new(l, NULL); /* the system's authorities */
    struct http_call_options o = {
        .host = "127.0.0.1", .port = port, .tls = true, .collect_max = 1 << 20};
    for (int i = 1; i <= 3; i++) {
        http_call_start(client, &o, &handlers, NULL);
        while (g_done < i)
            loop_run_once(l, true);
        assert_int_equal(g_status, 0);
        assert_int_equal(g_code, 200);
        assert_int_equal(g_size, 500000);
        assert_int_equal(http_server_connections(server), 1); /* kept alive */
    }
    http_call_start(strict, &o, &handlers, NULL);
    while (g_done < 4)
        loop_run_once(l, true);
    assert_true(g_status < 0);
    http_client_free(client);
    http_client_free(strict);
    http_server_free(server);
    loop_free(l);
    tls_context_free(server_tls);
    tls_context_free(client_tls);
    remove_tree(dir, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(over_tls)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
