#ifndef DCOS_HTTP_PARSER_H
#define DCOS_HTTP_PARSER_H

/*
 * Incremental parser of requests or responses: llhttp in its strict mode, behind a look-out of our
 * own that finds the end of a head, bounds it, and refuses what RFC 9112 lets a server refuse
 * although parsers differ in it (bare CR or LF, folded lines, control characters, lengths stated
 * twice): differences between two parsers in a row are how requests are smuggled.
 *
 * Heads are parsed when they are there whole; until then nothing is consumed, and the caller keeps
 * the bytes.
 */

#include "http/http.h"

struct http_parser;

/* Views into the bytes fed; valid during on_head. */
struct http_head {
    struct str method, target; /* requests */
    int status;                /* responses */
    unsigned minor;            /* HTTP/1.x */
    bool keep_alive;
    bool chunked;
    bool has_length;
    bool has_body; /* requests: chunked or a length above 0 */
    uint64_t length;
    struct http_headers headers;
};

struct http_parser_events {
    /* 0 = go on; > 0 = refuse with this status (requests), or HTTP_PARSE_NO_BODY for responses. */
    int (*on_head)(void *userdata, const struct http_head *head);
    /* False = pause after this piece. */
    bool (*on_body)(void *userdata, const char *p, size_t n);
};

enum { HTTP_PARSE_NO_BODY = 1 };

enum {
    HTTP_PARSE_MORE = 0,   /* wants more bytes */
    HTTP_PARSE_DONE = 1,   /* a message is complete; the next may follow in the bytes left */
    HTTP_PARSE_PAUSED = 2, /* call again with what was not consumed */
    /* < 0: negative HTTP status that describes what is wrong: -400, -413, -414, -431, -501, -505 */
};

struct http_parser *http_parser_new(
    bool responses, const struct http_parser_events *events, void *userdata);
void http_parser_free(struct http_parser *p);
/* Nothing of a message was seen since the last one was complete. */
bool http_parser_between(const struct http_parser *p);
/* Parses from the start of what is unconsumed. *ret_consumed is set in any case. */
int http_parser_feed(struct http_parser *p, const char *data, size_t n, size_t *ret_consumed);
/* It stopped at the handler's wish, and may have more to tell without more bytes: feed it, be it
 * with none. */
bool http_parser_paused(const struct http_parser *p);
/* After a head: stops before the body; feed again to go on. To be called in on_head. */
void http_parser_pause(struct http_parser *p);
/* The connection ended. HTTP_PARSE_DONE when that completes a response, else a negative status. */
int http_parser_finish(struct http_parser *p);
/* What was wrong, for a person. */
const char *http_parser_error(const struct http_parser *p);

#endif
