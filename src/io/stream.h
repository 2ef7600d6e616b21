#ifndef DCOS_IO_STREAM_H
#define DCOS_IO_STREAM_H

/*
 * Byte streams: TCP, unix sockets, and TLS over either, behind one type.
 *
 * A stream belongs to one owner, who sets the handlers and ends with stream_close(). Reading is
 * off until stream_read_start(). Writes are queued without copying limits of their own:
 * stream_write_queued() tells how much waits, and on_drain is called when it falls under the low
 * mark.
 */

#include <sys/socket.h>

#include "base/buf.h"
#include "io/loop.h"

struct stream;
struct tls_context;

/* Immutable bytes shared by many writers (an event encoded once for all its subscribers). */
struct blob {
    unsigned refs;
    size_t n;
    size_t mapped; /* bytes of the mapping it lives in; 0 = on the heap */
    char p[];
};
struct blob *blob_new(const void *p, size_t n); /* refs = 1 */
struct blob *blob_ref(struct blob *b);
void blob_unref(struct blob *b); /* NULL is fine */
/* A large one without a copy: between the two the buffer (empty at first, no limit) is appended to;
 * its first BLOB_HEAD bytes are not ours. blob_end empties it. */
enum { BLOB_HEAD = sizeof(struct blob) };
void blob_begin(struct buf *b);
struct blob *blob_end(struct buf *b); /* refs = 1 */

struct stream_handlers {
    /* n bytes that are valid during the call; the handler may stop reading or close. */
    void (*on_data)(struct stream *s, const char *p, size_t n, void *userdata);
    /* Peer finished sending (status 0, while reading only) or the connection broke (negative
     * errno). Once each: a stream whose peer only finished sending can still break later. */
    void (*on_end)(struct stream *s, int status, void *userdata);
    /* Everything queued was handed to the kernel. May be NULL. */
    void (*on_drain)(struct stream *s, void *userdata);
};

struct stream_address {
    char host[108]; /* numeric address, or the path of a unix socket */
    uint16_t port;  /* 0 for unix sockets */
    bool is_unix;
};

void stream_set_handlers(struct stream *s, const struct stream_handlers *h, void *userdata);
void stream_read_start(struct stream *s);
void stream_read_stop(struct stream *s);
void stream_write(struct stream *s, const void *p, size_t n); /* copies */
void stream_write_blob(struct stream *s, struct blob *b);     /* takes a reference of its own */
size_t stream_write_queued(const struct stream *s); /* bytes not yet taken by the kernel */
void stream_shutdown(struct stream *s); /* sends FIN / close_notify after what is queued */
/* Ends it: no handler is called any more, queued bytes are dropped, memory goes later. */
void stream_close(struct stream *s);
/* Like stream_close, but lets queued bytes go out first, for at most timeout_us. */
void stream_close_after_flush(struct stream *s, int64_t timeout_us);
void stream_peer(const struct stream *s, struct stream_address *ret);
void stream_local(const struct stream *s, struct stream_address *ret);
/* Credentials of a unix peer; -ENOTSUP for others. */
int stream_peer_cred(const struct stream *s, struct ucred *ret);
bool stream_is_tls(const struct stream *s);
struct loop *stream_loop(const struct stream *s);

/* Connecting. */
struct stream_connect_options {
    const char *host; /* name or numeric address; resolved on the pool */
    uint16_t port;
    const char *unix_path;       /* instead of host and port */
    const char *bind_host;       /* local address or NULL */
    struct tls_context *tls;     /* NULL = plain */
    const char *tls_server_name; /* verified and sent as SNI; NULL = host */
    int64_t timeout_us;          /* 0 = 10 s */
};
struct stream_connect;
/* cb gets a stream (status 0) that the receiver owns, or NULL and a negative errno with err text.
 */
typedef void (*stream_connect_cb)(struct stream *s, int status, const char *error, void *userdata);
struct stream_connect *stream_connect_start(struct loop *l,
    const struct stream_connect_options *options, stream_connect_cb cb, void *userdata);
void stream_connect_cancel(struct stream_connect *c); /* cb is not called any more */

/* Listening. */
struct listener;
typedef void (*listener_cb)(struct stream *s, void *userdata); /* the receiver owns s */
/* Port 0 picks one. `tls` may be NULL. Accepting pauses while `max_connections` are open. */
int listener_tcp(struct loop *l, const char *host, uint16_t port, struct tls_context *tls,
    unsigned max_connections, listener_cb cb, void *userdata, struct listener **ret,
    struct error *err);
/* Replaces a stale socket file. Mode is that of the file. */
int listener_unix(struct loop *l, const char *path, unsigned mode, unsigned max_connections,
    listener_cb cb, void *userdata, struct listener **ret, struct error *err);
/* A socket that somebody else made and that may listen already, as systemd hands over; TCP or unix.
 * It is the listener's when that was made; a unix socket's file stays. */
int listener_fd(struct loop *l, int fd, unsigned max_connections, listener_cb cb, void *userdata,
    struct listener **ret, struct error *err);
uint16_t listener_port(const struct listener *l);
void listener_close(struct listener *l); /* open streams stay */

/* TLS 1.2+ contexts, to be shared. */
int tls_context_new_server(
    const char *cert_path, const char *key_path, struct tls_context **ret, struct error *err);
/* `ca_path` NULL = the system's; `verify` false accepts anything (health checks). */
int tls_context_new_client(
    const char *ca_path, bool verify, struct tls_context **ret, struct error *err);
/* Clients of the server must show a certificate that an authority of the file signed. */
int tls_context_require_client(struct tls_context *server, const char *ca_path, struct error *err);
/* The client shows this certificate to servers that ask for one. */
int tls_context_set_certificate(
    struct tls_context *client, const char *cert_path, const char *key_path, struct error *err);
void tls_context_free(struct tls_context *t);

#endif
