/*
 * dcos-https-check HOST PORT PATH: one GET over TLS for a health check, certificates not verified,
 * redirects followed. Prints the status and exits 0, or exits 1. A program of its own so that the
 * executor links no TLS; the executor bounds its time.
 */

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/parse.h"
#include "http/client.h"

enum { REDIRECTS_MAX = 5, BODY_MAX = 1024 * 1024 };

struct check {
    struct loop *loop;
    struct http_client *http;
    unsigned redirects;
    bool tls;
    char host[256], target[4096];
    uint16_t port;
    int status;
};

static void request(struct check *c);

static void on_done(struct http_call *call, int status, const char *error,
    const struct http_response *res, void *userdata)
{
    struct check *c = userdata;
    if (status < 0) {
        fprintf(stderr, "dcos-https-check: %s\n", error);
        loop_stop(c->loop);
        return;
    }
    c->status = res->status;
    struct str location = http_headers_get(&res->headers, "location");
    bool redirect = res->status >= 301 && res->status <= 308 && res->status != 304 && location.n;
    if (redirect && c->redirects++ < REDIRECTS_MAX) {
        struct http_url url;
        if (location.p[0] == '/' && location.n < sizeof c->target) {
            snprintf(c->target, sizeof c->target, STR_FMT, STR_ARG(location));
            request(c);
            return;
        }
        if (http_url_parse(location, &url, NULL) == 0 && url.host.n < sizeof c->host &&
            url.target.n < sizeof c->target) {
            snprintf(c->host, sizeof c->host, STR_FMT, STR_ARG(url.host));
            snprintf(c->target, sizeof c->target, STR_FMT, STR_ARG(url.target));
            c->port = url.port;
            c->tls = url.tls;
            request(c);
            return;
        }
    }
    loop_stop(c->loop);
}

static void request(struct check *c)
{
    static const struct http_call_handlers handlers = {.on_done = on_done};
    struct http_call_options o = {.method = "GET",
        .host = c->host,
        .port = c->port,
        .tls = c->tls,
        .target = c->target,
        .collect_max = BODY_MAX,
        .fresh = true};
    http_call_start(c->http, &o, &handlers, c);
}

int main(int argc, char **argv)
{
    struct check c = {.tls = true};
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        puts("dcos-https-check " DCOS_VERSION);
        return 0;
    }
    if (argc != 4 || parse_port(str_of(argv[2]), &c.port) < 0 || argv[3][0] != '/') {
        fprintf(stderr, "usage: dcos-https-check HOST PORT /PATH\n");
        return 2;
    }
    snprintf(c.host, sizeof c.host, "%s", argv[1]);
    snprintf(c.target, sizeof c.target, "%s", argv[3]);
    struct error err = ERROR_INIT;
    struct tls_context *tls;
    if (tls_context_new_client(NULL, false, &tls, &err) < 0) {
        fprintf(stderr, "dcos-https-check: %s\n", err.msg);
        return 1;
    }
    c.loop = loop_new();
    c.http = http_client_new(c.loop, &(struct http_client_options){.tls = tls});
    request(&c);
    loop_run(c.loop);
    http_client_free(c.http);
    loop_free(c.loop);
    tls_context_free(tls);
    if (c.status)
        printf("%d\n", c.status);
    return c.status ? 0 : 1;
}
