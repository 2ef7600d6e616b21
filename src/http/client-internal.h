#ifndef DCOS_HTTP_CLIENT_INTERNAL_H
#define DCOS_HTTP_CLIENT_INTERNAL_H

/*
 * Inside of the client. A call runs on one connection at a time; connections without a call wait in
 * the client's pool, watched for the peer's closing.
 *
 *   client.c       calls: start, answer, end
 *   client-conn.c  connections and their pool
 *   client-head.c  the text of a request's head
 */

#include "base/list.h"
#include "http/client.h"
#include "http/parser.h"

struct client_conn {
    struct http_client *client;
    struct list node; /* in the pool while idle */
    char *key;        /* where it leads */
    struct stream *stream;
    struct http_parser *parser;
    struct http_call *call; /* NULL while idle */
    struct buf in;          /* bytes the parser did not take yet */
    struct timer idle;
    struct deferred feed;
    unsigned refs;
    bool reused, answered; /* of the call in progress: came from the pool; a byte came back */
    bool feeding, keep_alive;
};

struct http_client {
    struct loop *loop;
    struct http_client_options options;
    struct tls_context *own_tls; /* made when https is used without a context given */
    struct list calls;
    struct list idle; /* newest first */
};

struct http_call {
    struct http_client *client; /* NULL once over */
    struct list node;
    unsigned refs;
    struct http_call_handlers handlers;
    void *userdata;
    struct deferred begin;
    struct timer timer; /* head, then silence of the body */
    struct stream_connect *connect;
    struct client_conn *conn;
    char *key, *host, *unix_path;
    uint16_t port;
    bool tls;
    struct buf request; /* head and body, or what was written before there is a connection */
    size_t collect_max;
    int64_t connect_timeout_us, head_timeout_us, idle_timeout_us;
    struct http_response res;
    void *res_memory;
    struct buf body;
    int64_t seen_us;
    const char *bad_request; /* why it cannot be sent */
    bool head_only, stream_body, body_ended, fresh, retried, got_head, paused;
};

/* ---- client.c ---- */
void call_failed(struct http_call *call, int status, const char *error);
int call_head(struct http_call *call, const struct http_head *head);
bool call_body(struct http_call *call, const char *p, size_t n);
void call_complete(struct http_call *call);
void call_drained(struct http_call *call);
void http_call_ref(struct http_call *call);
void http_call_unref(struct http_call *call);

/* ---- client-conn.c ---- */
/* An idle connection to `key`, taken out of the pool, or NULL. */
struct client_conn *client_pool_take(struct http_client *client, const char *key);
struct client_conn *client_conn_new(struct http_client *client, const char *key, struct stream *s);
/* Binds a call to it. */
void client_conn_use(struct client_conn *c, struct http_call *call);
/* The call is over: to the pool when `reuse`, else closed. */
void client_conn_release(struct client_conn *c, bool reuse);
void client_conn_close(struct client_conn *c);
/* The call was resumed. */
void client_conn_resume(struct client_conn *c);

/* ---- client-head.c ---- */
/* Writes the head (and the body, unless it streams). NULL, or what is wrong with the options. */
const char *client_put_request(const struct http_call_options *o, struct buf *out);
char *client_key(const struct http_call_options *o);

#endif
