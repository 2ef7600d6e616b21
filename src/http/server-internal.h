#ifndef DCOS_HTTP_SERVER_INTERNAL_H
#define DCOS_HTTP_SERVER_INTERNAL_H

/*
 * Inside of the server. A connection (struct http_conn) parses one request at a time; an exchange
 * (struct exchange) is that request and its answer. The connection holds one reference to its
 * exchange and lets go when the answer is out and the request's body is in, or when the peer is
 * gone; the exchange then points to no connection and ignores what is asked of it.
 *
 *   server.c   listening, connections, timeouts, feeding the parser
 *   request.c  making requests, reading their bodies
 *   respond.c  answers
 *   routes.c   tables of routes
 *   compress.c gzip both ways
 */

#include "base/list.h"
#include "http/parser.h"
#include "http/server.h"

enum {
    CONN_INPUT_MAX = 64 * 1024 + HTTP_HEAD_MAX, /* bytes of pipelined requests that wait */
    DISCARD_MAX = 256 * 1024, /* body bytes read for nothing to keep a connection */
    GZIP_MIN = 1024,
    GZIP_MAX = 1024 * 1024, /* larger answers would hold up the loop; they go as they are */
};

enum body_mode {
    BODY_UNDECIDED, /* nothing is read until the handler says what it wants */
    BODY_COLLECT,
    BODY_STREAM,
    BODY_DISCARD,
};

struct exchange {
    struct http_request pub; /* first: the handler's pointer is ours */
    unsigned refs;
    struct http_conn *conn; /* NULL once the exchange is over */
    struct loop *loop;
    void (*collected)(struct http_request *req);
    void (*on_data)(struct http_request *req, const char *p, size_t n);
    void (*on_end)(struct http_request *req, int status);
    void (*on_drain)(struct http_request *req);
    struct deferred deferred; /* tells the handler that the body is complete */
    struct buf body;          /* collected, or what gunzip made of it */
    struct buf headers_out;
    size_t body_max, discarded;
    uint64_t length; /* Content-Length of the request, when has_length */
    enum body_mode mode;
    unsigned minor;
    bool has_length, has_body;
    bool body_complete; /* the parser saw the end of the request */
    bool body_told;     /* and so did the handler */
    bool paused;        /* by the handler */
    bool expect;        /* 100-continue is waited for */
    bool accepts_gzip;
    bool begun, streaming, ended;
    bool chunked_out, no_body_out;
    bool close_told;
    bool params_parsed;
    bool content_encoding_set;
    size_t stream_buffer_max; /* 0 = the server's */
    /* routing */
    const struct http_route *route;
    void *route_userdata;
    struct str vars[HTTP_ROUTE_VARS_MAX];
};

struct http_conn {
    struct http_server *server;
    struct list node;
    struct stream *stream; /* NULL once closed */
    struct http_parser *parser;
    struct exchange *ex;
    struct buf in;      /* bytes the parser did not take yet */
    struct timer timer; /* for input: idle, head, body */
    struct timer write_timer;
    struct deferred turn;
    unsigned refs;
    size_t taken_before; /* output progress at the last look of write_timer */
    size_t written;
    int64_t body_seen_us; /* when a byte of a body came last */
    enum { TIMER_NONE, TIMER_IDLE, TIMER_HEAD, TIMER_BODY } timing;
    bool is_unix, eof, reading, feeding;
    bool keep_alive; /* after the exchange in progress */
    bool broken;     /* to be torn down on the next turn */
    bool lingering;  /* an answer is out and the connection ends after it */
    bool want_feed;  /* the parser may go on with `in` */
};

struct http_server {
    struct loop *loop;
    struct http_server_options options;
    char *server_name;
    http_handler handler;
    void *userdata;
    struct listener **listeners;
    size_t n_listeners;
    struct list conns;
    unsigned n_conns;
    int64_t date_s; /* second that `date` tells */
    char date[40];
};

/* ---- server.c ---- */
void conn_write(struct http_conn *c, const void *p, size_t n);
void conn_write_blob(struct http_conn *c, struct blob *b);
/* Makes the connection look at its state on the next turn of the loop. */
void conn_kick(struct http_conn *c);
/* Closes the socket now; the exchange is told on the next turn. */
void conn_break(struct http_conn *c);
/* Lets the parser go on. */
void conn_continue(struct http_conn *c);
void conn_body_timer(struct http_conn *c);
const char *server_date(struct http_server *s);

/* ---- request.c ---- */
/* 0 and a new exchange, or the status to refuse with. */
int exchange_new(struct http_conn *c, const struct http_head *head, struct exchange **ret);
void exchange_unref(struct exchange *x);
/* Parser events. body: false = pause. */
bool exchange_body(struct exchange *x, const char *p, size_t n);
void exchange_body_complete(struct exchange *x);
/* The connection is gone or the exchange is over: tells the handler, once. */
void exchange_close(struct exchange *x, int status);

/* ---- respond.c ---- */
/* Writes a whole error answer that closes the connection, without an exchange. */
void conn_refuse(struct http_conn *c, int status, const char *why);

/* ---- compress.c ---- */
bool gzip_compress(const void *p, size_t n, struct buf *out);
/* 0, or the HTTP status that says what is wrong: 400, 413. */
int gzip_expand(const void *p, size_t n, size_t max, struct buf *out);

/* ---- url.c ---- */
int http_params_parse_with(
    struct str text, bool skip_bad, struct arena *arena, struct http_params *ret);

#endif
