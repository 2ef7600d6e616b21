#ifndef DCOS_HTTP_CLIENT_H
#define DCOS_HTTP_CLIENT_H

/*
 * HTTP/1.1 client on our streams: pooled keep-alive connections, both bodies may stream at the same
 * time, redirects are reported and not followed.
 */

#include "http/http.h"
#include "io/stream.h"

struct http_client;
struct http_call;

struct http_client_options {
    unsigned idle_per_host;  /* 0 = 8 */
    int64_t idle_timeout_us; /* 0 = 30 s */
    struct tls_context *tls; /* for https; NULL = system CAs, verified */
};
struct http_client *http_client_new(struct loop *l, const struct http_client_options *options);
/* Aborts calls under way (on_done with -ECANCELED is *not* called). Memory goes later. */
void http_client_free(struct http_client *c);

struct http_response {
    int status;
    struct http_headers headers;
    struct str body; /* collected bodies only, in on_done */
};

struct http_call_options {
    const char *method; /* "GET" */
    const char *host;   /* or unix_path */
    uint16_t port;
    bool tls;
    const char *unix_path;
    const char *target;                /* "/path?query" */
    const char *host_header;           /* NULL: made from host and port */
    const struct http_header *headers; /* extra; copied */
    size_t n_headers;
    const void *body; /* copied; Content-Length is set */
    size_t body_n;
    bool stream_body;   /* chunked request body by http_call_write/_end */
    size_t collect_max; /* > 0: collect the answer's body up to this, else on_data gets it */
    int64_t connect_timeout_us; /* 0 = 5 s */
    int64_t head_timeout_us;    /* 0 = 30 s: until the answer's head */
    int64_t idle_timeout_us;    /* 0 = none: longest silence in the answer's body */
    bool fresh;                 /* own connection, not pooled afterwards */
};

struct http_call_handlers {
    /* Head of the answer arrived. May be NULL. */
    void (*on_response)(struct http_call *call, const struct http_response *res, void *userdata);
    /* Piece of the body; only without collect_max. */
    void (*on_data)(struct http_call *call, const char *p, size_t n, void *userdata);
    /* Exactly once, last: 0 = complete answer in res; negative errno with text = it failed, res may
     * be NULL. The call object is gone after it. */
    void (*on_done)(struct http_call *call, int status, const char *error,
        const struct http_response *res, void *userdata);
    /* The queued request body was handed to the kernel. May be NULL. */
    void (*on_drain)(struct http_call *call, void *userdata);
};

/* Never fails at once: connection problems come through on_done, from the loop. A pooled connection
 * that turns out dead before any byte of the answer is retried once on a new one unless the body
 * streams. */
struct http_call *http_call_start(struct http_client *c, const struct http_call_options *options,
    const struct http_call_handlers *handlers, void *userdata);
void http_call_write(struct http_call *call, const void *p, size_t n); /* one chunk */
void http_call_end(struct http_call *call); /* ends the streamed request body */
size_t http_call_queued(const struct http_call *call);
void http_call_pause(struct http_call *call); /* backpressure on the answer's body */
void http_call_resume(struct http_call *call);
/* Ends it without on_done. */
void http_call_cancel(struct http_call *call);
/* Local address of the connection, once there is one. */
bool http_call_local(const struct http_call *call, struct stream_address *ret);

#endif
