#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/parse.h"
#include "http/pass.h"
#include "marathon/shell.h"

/*
 * One of several Marathons that does not lead passes calls on to the one that does, as upstream: a
 * router or a client may talk to any. A call that came from another Marathon goes no further. Who
 * wants events is sent to the leader.
 */

#define LOOK_US (200 * USEC_PER_MSEC)  /* between looks at who leads */
#define SILENCE_US (60 * USEC_PER_SEC) /* in an answer */

static const char VIA[] = "X-Marathon-Via";

/* "host:port" of the other that leads, into the standby's address. Who led before may be gone
 * without a word: its connections would stay silent for long. */
static bool find_leader(struct shell *s)
{
    struct standby *b = &s->standby;
    const int64_t now = clock_monotonic_us();
    if (b->looked_us && now - b->looked_us < LOOK_US)
        return b->port != 0;
    b->looked_us = now;
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (store_leader_info(s->store, &text, NULL) < 0)
        return b->port != 0;
    const char *colon = strrchr(buf_cstr(&text), ':');
    const size_t n = colon ? (size_t)(colon - buf_cstr(&text)) : 0;
    uint16_t port;
    if (!n || str_eq_c(buf_str(&text), s->address) || n >= sizeof(b->host) ||
        parse_port(str_of(colon + 1), &port) < 0) {
        b->port = 0;
        return false;
    }
    if (b->port == port && strlen(b->host) == n && memcmp(b->host, buf_cstr(&text), n) == 0)
        return port != 0;
    memcpy(b->host, buf_cstr(&text), n);
    b->host[n] = '\0';
    b->port = port;
    if (port)
        log_info("standing by, calls go to the leader address=%s:%u", b->host, b->port);
    return port != 0;
}

static void answered(int status, const char *error, void *userdata)
{
    struct shell *s = userdata;
    if (status >= 0 && status != 503)
        return;
    if (error)
        log_warn("the leader does not answer address=%s:%u error=%s", s->standby.host,
            s->standby.port, error);
    s->standby.port = 0;
}

static void refuse(struct http_request *req, void *userdata)
{
    http_respond_text(req, 502, "Connection to leader refused.");
}

static void pass_on(struct http_request *req)
{
    struct shell *s = req->userdata;
    const char *via = arena_printf(&req->arena, "1.1 %s", s->address);
    struct str before = http_headers_join(&req->headers, "X-Forwarded-For", &req->arena);
    const char *clients = arena_printf(
        &req->arena, STR_FMT "%s%s", STR_ARG(before), before.n ? ", " : "", req->peer.host);
    const struct http_header headers[] = {
        {str_of(VIA), str_of(via)}, {STR("X-Forwarded-For"), str_of(clients)}};
    const struct http_pass_options o = {.client = s->standby.client,
        .host = s->standby.host,
        .port = s->standby.port,
        .tls = s->info.tls,
        .headers = headers,
        .n_headers = ARRAY_SIZE(headers),
        .idle_timeout_us = SILENCE_US,
        .on_answer = answered,
        .refuse = refuse,
        .userdata = s};
    if (!s->standby.port) {
        refuse(req, s);
        return;
    }
    http_set_header(req, VIA, via);
    http_pass_on(req, &o);
}

bool standby_pass_on(struct shell *s, struct http_request *req)
{
    if (s->stopping || store_epoch(s->store) || !find_leader(s))
        return false;
    const struct standby *b = &s->standby;
    if (str_has_prefix(req->path, STR("/v2/events"))) {
        http_set_header_f(req, "Location",
            strchr(b->host, ':') ? "http%s://[%s]:%u" STR_FMT : "http%s://%s:%u" STR_FMT,
            s->info.tls ? "s" : "", b->host, b->port, STR_ARG(req->target));
        http_respond(req, 302, NULL, NULL, 0);
        return true;
    }
    if (http_request_header(req, VIA).p) {
        http_respond_text(req, 502, "Detected proxying loop.");
        return true;
    }
    if (!s->standby.client) {
        const struct http_client_options options = {.tls = s->standby.tls};
        s->standby.client = http_client_new(s->loop, &options);
    }
    http_request_collect(req, API_BODY_MAX, pass_on);
    return true;
}

void standby_close(struct shell *s)
{
    if (s->standby.client)
        http_client_free(TAKE_PTR(s->standby.client));
}
