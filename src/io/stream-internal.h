#ifndef DCOS_IO_STREAM_INTERNAL_H
#define DCOS_IO_STREAM_INTERNAL_H

/*
 * Inside of streams: the transport below (a libuv handle) and an optional filter (TLS) between it
 * and the owner. The core knows filters through this table alone, so that programs without TLS do
 * not link it.
 */

#include "io/loop-internal.h"
#include "io/stream.h"

struct stream_filter;

struct stream_filter_ops {
    /* A filter for a new stream. `server_name` is for the connecting side, else NULL. */
    struct stream_filter *(*attach)(
        struct tls_context *t, struct stream *s, const char *server_name);
    /* Bytes from the wire. Calls stream_deliver, stream_transport_write, stream_filter_failed. */
    void (*input)(struct stream_filter *f, const char *p, size_t n);
    /* The wire ended. Returns the status that on_end should see. */
    int (*input_end)(struct stream_filter *f);
    /* Bytes of the owner. */
    void (*output)(struct stream_filter *f, const void *p, size_t n);
    /* Announces the end of our side. */
    void (*shutdown)(struct stream_filter *f);
    /* Delivers what was held back while the owner did not read. */
    void (*resume)(struct stream_filter *f);
    /* Bytes of the owner that wait for the handshake. */
    size_t (*pending)(const struct stream_filter *f);
    void (*free)(struct stream_filter *f);
    void (*free_context)(struct tls_context *t);
};

struct tls_context {
    const struct stream_filter_ops *ops;
};

/* Filled by the TLS library when it is linked: a client context with the system's authorities. */
extern int (*stream_tls_default_client)(struct tls_context **ret, struct error *err);

/* Part of the output queue. */
struct stream_segment {
    struct stream_segment *next;
    struct blob *blob; /* or NULL: the bytes are in data */
    size_t off;        /* where what is left begins */
    size_t n, cap;     /* bytes that are left; room in data, without blob */
    char data[];
};

struct stream {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    struct loop *loop;
    struct stream_handlers handlers;
    void *userdata;
    struct deferred deferred; /* flush, then report what there is to report */
    struct stream_segment *out_head, *out_tail;
    size_t out_n; /* bytes in the list above */
    struct listener *listener;
    struct stream_filter *filter;
    const struct stream_filter_ops *filter_ops;
    struct stream_linger *linger;
    void (*on_ready)(struct stream *s, int status, const char *error); /* handshake, for connect */
    void *ready_data;
    int error; /* negative errno to report, or reported */
    bool is_unix, reading, wire_reading, closing, shutdown_wanted, shutdown_sent;
    bool eof;      /* wire ended */
    bool told_end; /* on_end(0) was called */
    bool told_error;
    bool end_pending; /* eof seen by the filter, to be told when the owner reads */
    bool writing;     /* something was queued since on_drain was called */
};

/* A stream without a descriptor yet; `is_unix` selects the kind. */
struct stream *stream_new(struct loop *l, bool is_unix);
/* Puts TLS between the transport and the owner. */
void stream_attach_tls(struct stream *s, struct tls_context *t, const char *server_name);
/* Starts reading from the wire, whatever the owner wants: handshakes need it. */
void stream_wire_start(struct stream *s);
void stream_transport_write(struct stream *s, const void *p, size_t n);
void stream_deliver(struct stream *s, const char *p, size_t n);
/* The filter cannot go on: the stream is broken. */
void stream_filter_failed(struct stream *s, int status, const char *error);
/* The handshake is complete. */
void stream_filter_ready(struct stream *s);
/* Schedules a flush and reports of this stream. */
void stream_kick(struct stream *s);

void listener_stream_gone(struct listener *l);

#endif
