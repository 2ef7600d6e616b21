#ifndef DCOS_HTTP_SERVER_H
#define DCOS_HTTP_SERVER_H

/*
 * HTTP/1.1 server on our streams.
 *
 * The handler is called when the head of a request is complete. It then either answers at once, or
 * asks for the body (http_request_collect / http_request_stream), and may answer at any later time
 * from the loop. Answering while the request body still streams in is allowed: that is how one
 * connection carries records both ways.
 *
 * A request object lives until its answer was ended *and* handed over or the connection broke, plus
 * any references taken with http_request_ref(). on_close tells when the peer is gone or the
 * exchange is over; after that response calls are ignored. Everything in it (path, headers, arena)
 * lives as long as the object.
 *
 * Requests of one connection are handled one after the other (pipelined ones wait).
 */

#include "http/http.h"
#include "io/stream.h"

struct http_server;
struct http_request;
struct auth_subject;

struct http_server_options {
    int64_t head_timeout_us;  /* 0 = 10 s: from the first byte of a head to its end */
    int64_t idle_timeout_us;  /* 0 = 75 s: between requests of a connection */
    int64_t body_timeout_us;  /* 0 = 60 s: without any byte of a body that is being collected */
    int64_t write_timeout_us; /* 0 = 60 s: a peer that takes nothing of an answer is cut off */
    unsigned max_connections; /* 0 = 16384; more wait in the backlog */
    size_t stream_buffer_max; /* 0 = 4 MiB: queued bytes at which a streaming answer's peer is cut
                                 off */
    const char *server_name;  /* Server header; NULL = none */
};

typedef void (*http_handler)(struct http_request *req, void *userdata);

struct http_server *http_server_new(struct loop *l, const struct http_server_options *options,
    http_handler handler, void *userdata);
int http_server_listen(struct http_server *s, const char *host, uint16_t port,
    struct tls_context *tls, uint16_t *ret_port, struct error *err);
int http_server_listen_unix(
    struct http_server *s, const char *path, unsigned mode, struct error *err);
/* On a socket that was handed over (systemd); see listener_fd(). */
int http_server_listen_fd(struct http_server *s, int fd, struct error *err);
unsigned http_server_connections(const struct http_server *s);
/* Stops listening and closes every connection (answers in progress are cut). Memory goes later. */
void http_server_free(struct http_server *s);

/* ---- the request ---- */
struct http_request {
    enum http_method method;
    struct str method_name;
    struct str target; /* as sent */
    struct str path; /* percent-decoded and checked: no NUL, no "..", "." segments resolved away is
                        refused with 400 */
    struct str raw_path;       /* before decoding, without the query */
    struct str query;          /* raw, without '?' */
    struct http_params params; /* of the query; parsed on first http_request_param() */
    struct http_headers headers;
    struct stream_address peer;
    bool peer_is_unix;
    struct ucred peer_cred; /* when peer_is_unix */
    bool keep_alive;
    struct arena arena;                         /* dies with the request */
    struct str body;                            /* after http_request_collect's callback */
    void *userdata;                             /* for the handler's own state */
    void (*on_close)(struct http_request *req); /* see above; may be NULL; called exactly once */
    /* The answer begins with this status, or the connection broke before (0). Once; may be NULL. */
    void (*on_answer)(struct http_request *req, int status);
    void *answer_userdata;              /* for on_answer */
    const struct auth_subject *subject; /* who calls, for whoever authenticates; NULL at first */
};

struct loop *http_request_loop(struct http_request *req);
struct str http_request_header(const struct http_request *req, const char *name);
/* Query parameter, decoded; {NULL,0} when absent. Bad escapes count as absent. */
struct str http_request_param(struct http_request *req, const char *name);
/* All values of a repeated query parameter: fills up to max, returns how many there are. */
size_t http_request_param_all(
    struct http_request *req, const char *name, struct str *values, size_t max);
void http_request_ref(struct http_request *req);
void http_request_unref(struct http_request *req);

/* Collects the body (gzip Content-Encoding is undone) and calls fn with req->body set. Larger than
 * max (0 = HTTP_BODY_MAX): 413 is answered here and fn is not called. Without a body fn is still
 * called, from the loop. */
void http_request_collect(
    struct http_request *req, size_t max, void (*fn)(struct http_request *req));
/* Streams the body: on_data for each piece, then on_end(status) once: 0 = complete. Reading pauses
 * between http_request_pause and _resume. */
void http_request_stream(struct http_request *req,
    void (*on_data)(struct http_request *req, const char *p, size_t n),
    void (*on_end)(struct http_request *req, int status));
void http_request_pause(struct http_request *req);
void http_request_resume(struct http_request *req);

/* ---- the answer: each request is answered once; later calls are ignored ---- */
/* Adds a header to the answer; before http_respond* . Values with CR, LF or NUL are dropped. */
void http_set_header(struct http_request *req, const char *name, const char *value);
void http_set_header_f(struct http_request *req, const char *name, const char *fmt, ...)
    _printf_(3, 4);
/* Whole answer; body is copied. Content-Length is set; content_type may be NULL when n = 0. gzip is
 * applied when the client accepts it and n >= 1024. */
void http_respond(
    struct http_request *req, int status, const char *content_type, const void *body, size_t n);
/* The same without a copy: the bytes are shared with whoever else gets them. */
void http_respond_blob(
    struct http_request *req, int status, const char *content_type, struct blob *body);
void http_respond_text(struct http_request *req, int status, const char *fmt, ...) _printf_(3, 4);
void http_respond_json(struct http_request *req, int status, const struct buf *body);
/* Whether jsonp may name it: letters, digits, "_", "$", "."; at most 256. */
bool http_callback_valid(struct str name);
/* 200 with the document; ?jsonp=NAME gets a script that calls NAME with it. */
void http_respond_jsonp(struct http_request *req, const struct buf *body);
/* Streaming answer (chunked): begin, write..., end. */
void http_respond_begin(struct http_request *req, int status, const char *content_type);
void http_respond_write(
    struct http_request *req, const void *p, size_t n); /* one chunk, sent at once */
void http_respond_write_blob(struct http_request *req, struct blob *b);
void http_respond_end(struct http_request *req);
/* Cuts the connection without ending the answer properly. */
void http_respond_abort(struct http_request *req);
/* Bytes queued to the peer; with on_drain set the callback tells when they are gone. */
size_t http_respond_queued(const struct http_request *req);
void http_respond_on_drain(struct http_request *req, void (*fn)(struct http_request *req));
bool http_responded(const struct http_request *req);    /* answer begun or connection gone */
bool http_request_gone(const struct http_request *req); /* connection gone */
/* Instead of stream_buffer_max, for this streaming answer. */
void http_respond_limit(struct http_request *req, size_t queued_max);

/* ---- routing by table ---- */
/*
 * Patterns are matched against the decoded path: literal segments, ":name" for one segment, and a
 * final
 * "*name" for the rest (at least one character). First match in table order wins; a path that
 * matches with no method that fits gives 405 with Allow. HEAD is answered by the GET route without
 * a body.
 */
struct http_route {
    unsigned methods; /* 1u << HTTP_GET | ..., 0 = any */
    const char *pattern;
    http_handler handler;
    size_t body_max; /* > 0: the body is collected before the handler is called */
};
enum { HTTP_ROUTE_VARS_MAX = 8 };
/* Calls the handler of the route, or answers 404 / 405 and returns false. */
bool http_route(
    struct http_request *req, const struct http_route *routes, size_t n, void *userdata);
/* Value of ":name" or "*name" of the matched route; {NULL,0} when there is none. */
struct str http_route_var(const struct http_request *req, const char *name);

#endif
