/* Documents of other daemons, one after the other. */

#include <errno.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "checks/probe.h"
#include "http/client.h"
#include "io/stream.h"

enum {
    DOCUMENT_MAX = 64 * 1024 * 1024,
    HEAD_TIMEOUT_S = 10,
    IDLE_TIMEOUT_S = 20,
    QUOTED_MAX = 200
};

struct fetch {
    struct loop *loop;
    const char *what;
    json_t *document;
    int result;
    struct error *err;
};

static void on_done(struct http_call *call, int status, const char *error,
    const struct http_response *res, void *userdata)
{
    struct fetch *f = userdata;
    (void)call;
    if (status < 0)
        f->result = error_set(f->err, status, "%s: %s", f->what, error);
    else if (res->status != 200)
        f->result = error_set(f->err, res->status == 404 ? -ENOENT : -EPROTO,
            "%s: answered %d: %.*s", f->what, res->status,
            (int)MIN(res->body.n, (size_t)QUOTED_MAX), res->body.p ? res->body.p : "");
    else if (json_parse(res->body.p, res->body.n, &f->document, f->err) < 0)
        f->result = error_prefix(f->err, -EBADMSG, "%s", f->what);
    loop_stop(f->loop);
}

int probe_fetch(const struct probe *p, const char *host, uint16_t port, const bool *tls,
    const char *target, json_t **ret, struct error *err)
{
    static const struct http_call_handlers handlers = {.on_done = on_done};
    bool use_tls = tls ? *tls : p->tls;
    struct tls_context *context = NULL;
    _cleanup_free_ char *what = xasprintf(
        "%s://%s:%u%s", use_tls ? "https" : "http", host, port, target);
    struct fetch f = {.what = what, .err = err};
    int r = use_tls ? tls_context_new_client(p->ca_file, true, &context, err) : 0;
    if (r < 0)
        return r;
    f.loop = loop_new();
    const struct http_client_options client_options = {.tls = context};
    struct http_client *client = http_client_new(f.loop, &client_options);
    const struct http_call_options call = {.method = "GET",
        .host = host,
        .port = port,
        .tls = use_tls,
        .target = target,
        .collect_max = DOCUMENT_MAX,
        .head_timeout_us = HEAD_TIMEOUT_S * USEC_PER_SEC,
        .idle_timeout_us = IDLE_TIMEOUT_S * USEC_PER_SEC,
        .fresh = true};
    http_call_start(client, &call, &handlers, &f);
    loop_run(f.loop);
    http_client_free(client);
    loop_free(f.loop);
    tls_context_free(context);
    if (f.result == 0)
        *ret = f.document;
    return f.result;
}
