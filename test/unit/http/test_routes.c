#include "unit.h"

#include <stdio.h>

#include "base/alloc.h"
#include "http/client.h"
#include "http/server.h"

/* Through a server: what a router answers is what a client sees. */
static struct loop *g_loop;
static struct http_server *g_server;
static struct http_client *g_client;
static uint16_t g_port;
static int g_done, g_status;
static char g_body[512], g_allow[64];

static void tell(struct http_request *req, void *userdata)
{
    struct str id = http_route_var(req, "id"), rest = http_route_var(req, "rest"),
               none = http_route_var(req, "none");
    struct str two[2] = {0};
    size_t n = http_request_param_all(req, "q", two, 2);
    assert_null(none.p);
    http_respond_text(req, 200, "%s id=%.*s rest=%.*s q=%zu:%.*s,%.*s p=%.*s body=%.*s",
        (const char *)userdata, STR_ARG(id), STR_ARG(rest), n, STR_ARG(two[0]), STR_ARG(two[1]),
        STR_ARG(http_request_param(req, "p")), STR_ARG(req->body));
}

static void literal(struct http_request *req, void *userdata)
{
    (void)userdata;
    http_respond_text(req, 200, "literal");
}

static const struct http_route routes[] = {
    {1u << HTTP_GET, "/v2/apps", literal, 0},
    {1u << HTTP_POST | 1u << HTTP_PUT, "/v2/apps", tell, 100},
    {1u << HTTP_GET, "/v2/apps/:id/tasks", tell, 0},
    {1u << HTTP_GET, "/v2/apps/*rest", tell, 0},
    {1u << HTTP_DELETE, "/v2/apps/*rest", tell, 0},
    {0, "/any/:id", tell, 0},
    {1u << HTTP_GET, "/", literal, 0},
};

static void handler(struct http_request *req, void *userdata)
{
    (void)userdata;
    http_route(req, routes, ARRAY_SIZE(routes), (void *)(uintptr_t) "data");
}

static void on_done(struct http_call *call, int status, const char *error,
    const struct http_response *res, void *userdata)
{
    (void)call, (void)error, (void)userdata;
    assert_int_equal(status, 0);
    g_done++;
    g_status = res->status;
    struct str allow = http_headers_get(&res->headers, "Allow");
    snprintf(g_allow, sizeof(g_allow), "%.*s", STR_ARG(allow));
    snprintf(g_body, sizeof(g_body), "%.*s", STR_ARG(res->body));
}

static void ask(const char *method, const char *target, const char *body)
{
    static const struct http_call_handlers handlers = {.on_done = on_done};
    struct http_call_options o = {.method = method,
        .host = "127.0.0.1",
        .port = g_port,
        .target = target,
        .body = body,
        .body_n = body ? strlen(body) : 0,
        .collect_max = 1000};
    g_done = 0;
    http_call_start(g_client, &o, &handlers, NULL);
    while (!g_done)
        loop_run_once(g_loop, true);
}

static int setup(void **state)
{
    (void)state;
    g_loop = loop_new();
    g_server = http_server_new(g_loop, NULL, handler, NULL);
    g_client = http_client_new(g_loop, NULL);
    return http_server_listen(g_server, "127.0.0.1", 0, NULL, &g_port, NULL);
}

static int teardown(void **state)
{
    (void)state;
    http_client_free(g_client);
    http_server_free(g_server);
    loop_free(g_loop);
    return 0;
}

static void matches(void **state)
{
    (void)state;
    static const struct {
        const char *method, *target, *body;
        int status;
        const char *answer, *allow;
    } cases[] = {
        {"GET", "/", NULL, 200, "literal", ""},
        {"GET", "/v2/apps", NULL, 200, "literal", ""},
        {"HEAD", "/v2/apps", NULL, 200, "", ""},
        {"POST", "/v2/apps?q=1&q=2&q=3&p=%7e", "text", 200, "data id= rest= q=3:1,2 p=~ body=text",
            ""},
        {"PUT", "/v2/apps?p=%zz&q=ok", "", 200, "data id= rest= q=1:ok, p= body=", ""},
        {"GET", "/v2/apps/a/tasks", NULL, 200, "data id=a rest= q=0:, p= body=", ""},
        {"GET", "/v2/apps/a%20b/c/d", NULL, 200, "data id= rest=a b/c/d q=0:, p= body=", ""},
        {"GET", "/v2/apps//tasks", NULL, 200, "data id= rest=/tasks q=0:, p= body=", ""},
        {"DELETE", "/v2/apps/x/tasks", NULL, 200, "data id= rest=x/tasks q=0:, p= body=", ""},
        {"PATCH", "/any/7", NULL, 200, "data id=7 rest= q=0:, p= body=", ""},
        {"DELETE", "/v2/apps", NULL, 405, NULL, "GET, HEAD, POST, PUT"},
        {"POST", "/v2/apps/x", "", 405, NULL, "GET, HEAD, DELETE"},
        {"PROPFIND", "/", NULL, 405, NULL, "GET, HEAD"},
        {"GET", "/v2/apps/", NULL, 404, NULL, ""},
        {"GET", "/v2/app", NULL, 404, NULL, ""},
        {"GET", "/v2/appsx", NULL, 404, NULL, ""},
        {"GET", "/any/", NULL, 404, NULL, ""},
        {"GET", "/any/1/2", NULL, 404, NULL, ""},
        {"GET", "//", NULL, 404, NULL, ""},
        {"POST", "/v2/apps",
            "12345678901234567890123456789012345678901234567890123456789012345678901234567890"
            "123456789012345678901",
            413, NULL, ""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        ask(cases[i].method, cases[i].target, cases[i].body);
        if (g_status != cases[i].status ||
            (cases[i].answer && strcmp(g_body, cases[i].answer) != 0) ||
            strcmp(g_allow, cases[i].allow) != 0)
            fail_msg("%s %s: %d, %s, Allow: %s", cases[i].method, cases[i].target, g_status, g_body,
                g_allow);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(matches, setup, teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
