#ifndef DCOS_TEST_FUZZ_HTTP_MESSAGE_H
#define DCOS_TEST_FUZZ_HTTP_MESSAGE_H

/*
 * Messages through the parser, whole and in pieces: both ways must see the same messages. The first
 * byte of the input sets the size of the pieces.
 */

#include <assert.h>
#include <string.h>

#include "base/alloc.h"
#include "http/parser.h"

struct fuzz_seen {
    struct buf log; /* what was parsed, as text */
    unsigned heads;
    size_t pause_every, bodies;
};

static inline int fuzz_on_head(void *userdata, const struct http_head *head)
{
    struct fuzz_seen *s = userdata;
    assert(head->headers.n <= HTTP_HEADERS_MAX);
    assert(head->target.n <= HTTP_HEAD_MAX);
    buf_printf(&s->log, "head %.*s %.*s %d %u %d %d %llu\n", STR_ARG(head->method),
        STR_ARG(head->target), head->status, head->minor, head->keep_alive, head->chunked,
        (unsigned long long)head->length);
    for (size_t i = 0; i < head->headers.n; i++)
        buf_printf(&s->log, "%.*s=%.*s\n", STR_ARG(head->headers.items[i].name),
            STR_ARG(head->headers.items[i].value));
    s->heads++;
    return 0;
}

static inline bool fuzz_on_body(void *userdata, const char *p, size_t n)
{
    struct fuzz_seen *s = userdata;
    buf_append(&s->log, p, n);
    return s->pause_every == 0 || ++s->bodies % s->pause_every != 0;
}

/* Returns the last result; the log says what was seen. */
static inline int fuzz_parse(
    bool responses, const char *p, size_t n, size_t step, struct fuzz_seen *s)
{
    static const struct http_parser_events events = {fuzz_on_head, fuzz_on_body};
    struct http_parser *parser = http_parser_new(responses, &events, s);
    struct buf in = BUF_INIT;
    int r = 0;
    for (size_t at = 0; at < n && r >= 0; at += step) {
        buf_append(&in, p + at, MIN(step, n - at));
        size_t used = 1;
        while (in.n > 0 || http_parser_paused(parser)) {
            /* An exact copy, so that reading past the end is seen. */
            char *exact = xmemdup(buf_cstr(&in), in.n);
            r = http_parser_feed(parser, exact, in.n, &used);
            assert(used <= in.n);
            free(exact);
            buf_consume(&in, used);
            if (r == HTTP_PARSE_DONE)
                buf_puts(&s->log, "\ndone\n");
            if (r < 0 || (r == HTTP_PARSE_MORE && used == 0 && in.n > 0))
                break;
        }
        assert(in.n <= HTTP_HEAD_MAX + step);
    }
    if (r >= 0 && responses && http_parser_finish(parser) == HTTP_PARSE_DONE)
        buf_puts(&s->log, "\nfinished\n");
    if (r < 0) {
        assert(-r >= 400 && -r < 600 && *http_parser_error(parser));
        size_t used;
        assert(http_parser_feed(parser, "x", 1, &used) < 0); /* stays failed */
    }
    buf_done(&in);
    http_parser_free(parser);
    return r;
}

static inline int fuzz_message(bool responses, const uint8_t *data, size_t size)
{
    if (size < 1 || size > 256 * 1024)
        return 0;
    struct fuzz_seen whole = {0}, pieces = {.pause_every = data[0] % 4};
    const char *p = (const char *)data + 1;
    int a = fuzz_parse(responses, p, size - 1, size, &whole);
    int b = fuzz_parse(responses, p, size - 1, 1 + data[0] / 4, &pieces);
    assert((a < 0) == (b < 0));
    assert(whole.heads == pieces.heads);
    assert(whole.log.n == pieces.log.n &&
           (whole.log.n == 0 || memcmp(whole.log.p, pieces.log.p, whole.log.n) == 0));
    buf_done(&whole.log);
    buf_done(&pieces.log);
    return 0;
}

#endif
