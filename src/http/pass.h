#ifndef DCOS_HTTP_PASS_H
#define DCOS_HTTP_PASS_H

/*
 * Passing a request on to another server of the same kind, and its answer back: what a process that
 * does not lead does with calls. Answers may stream; a client that does not take them slows the
 * other server down. Headers that concern one connection only stay behind, and so does compression.
 */

#include "http/client.h"
#include "http/server.h"

enum { HTTP_PASS_AHEAD_MAX = 1024 * 1024 }; /* bytes of an answer that its client has not taken */

struct http_pass_options {
    struct http_client *client; /* outlives the passing, see on_end */
    const char *host;
    uint16_t port;
    bool tls;
    /* Added; what the client sent under these names stays behind. Copied. */
    const struct http_header *headers;
    size_t n_headers;
    int64_t idle_timeout_us; /* longest silence in an answer; 0 = none */
    /* Once: status of the answer, or a negative errno with text when none came. May be NULL. */
    void (*on_answer)(int status, const char *error, void *userdata);
    /* Answers the client when none came. */
    void (*refuse)(struct http_request *req, void *userdata);
    /* Once, last: neither client nor userdata are needed any more. May be NULL. */
    void (*on_end)(void *userdata);
    void *userdata;
};

/* The body was collected. Takes over the request's userdata and on_close. */
void http_pass_on(struct http_request *req, const struct http_pass_options *o);

#endif
