/*
 * TLS as a filter of streams: OpenSSL between two memory buffers. A library of its own, so that
 * programs that never speak TLS do not link OpenSSL.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/alloc.h"
#include "io/stream-internal.h"

enum { TLS_STEP = 16 * 1024 };

struct tls {
    struct tls_context base; /* first: what the core sees */
    SSL_CTX *ctx;
    bool server, verify;
    unsigned refs; /* the owner's and each stream's */
};

struct stream_filter {
    struct stream *stream;
    struct tls *tls;
    SSL *ssl;
    struct buf pending;         /* written before the handshake is complete */
    bool ready, failed, closed; /* closed: the peer said so */
    bool busy;                  /* inside of pump(): the owner is being called */
    bool gone;                  /* freed meanwhile */
};

static const struct stream_filter_ops ops;

/* ---- contexts ---- */

static int tls_error(struct error *err, int code, const char *what, const char *subject)
{
    unsigned long e = ERR_get_error();
    char text[256] = "unknown error";
    if (e)
        ERR_error_string_n(e, text, sizeof(text));
    ERR_clear_error();
    return error_set(
        err, code, "%s%s%s: %s", what, subject ? " " : "", subject ? subject : "", text);
}

static void unref(struct tls *t)
{
    if (--t->refs)
        return;
    SSL_CTX_free(t->ctx);
    free(t);
}

static struct tls *context_new(bool server)
{
    struct tls *t = xnew(struct tls);
    t->base.ops = &ops;
    t->server = server;
    t->refs = 1;
    t->ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    if (!t->ctx)
        abort(); /* out of memory */
    SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(t->ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    /* Idle connections give their buffers back. */
    SSL_CTX_set_mode(t->ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY);
    return t;
}

static int use_certificate(
    struct tls *t, const char *cert_path, const char *key_path, struct error *err)
{
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(t->ctx, cert_path) != 1)
        return tls_error(err, -EINVAL, "certificate", cert_path);
    if (SSL_CTX_use_PrivateKey_file(t->ctx, key_path, SSL_FILETYPE_PEM) != 1)
        return tls_error(err, -EINVAL, "private key", key_path);
    if (SSL_CTX_check_private_key(t->ctx) != 1)
        return tls_error(err, -EINVAL, "private key does not fit the certificate", key_path);
    return 0;
}

int tls_context_new_server(
    const char *cert_path, const char *key_path, struct tls_context **ret, struct error *err)
{
    struct tls *t = context_new(true);
    int r = use_certificate(t, cert_path, key_path, err);
    if (r < 0) {
        unref(t);
        return r;
    }
    SSL_CTX_set_options(t->ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
    *ret = &t->base;
    return 0;
}

int tls_context_new_client(
    const char *ca_path, bool verify, struct tls_context **ret, struct error *err)
{
    struct tls *t = context_new(false);
    int r = 0;
    ERR_clear_error();
    t->verify = verify;
    if (ca_path) {
        if (SSL_CTX_load_verify_file(t->ctx, ca_path) != 1)
            r = tls_error(err, -EINVAL, "certificate authorities", ca_path);
    } else if (verify && SSL_CTX_set_default_verify_paths(t->ctx) != 1) {
        r = tls_error(err, -EINVAL, "certificate authorities of the system", NULL);
    }
    if (r < 0) {
        unref(t);
        return r;
    }
    SSL_CTX_set_verify(t->ctx, verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    *ret = &t->base;
    return 0;
}

int tls_context_require_client(struct tls_context *server, const char *ca_path, struct error *err)
{
    static const unsigned char session_context[] = "dcos";
    struct tls *t = (struct tls *)server;
    ERR_clear_error();
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(ca_path);
    if (!names || SSL_CTX_load_verify_file(t->ctx, ca_path) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return tls_error(err, -EINVAL, "certificate authorities", ca_path);
    }
    SSL_CTX_set_client_CA_list(t->ctx, names);
    SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_session_id_context(t->ctx, session_context, sizeof(session_context));
    t->verify = true;
    return 0;
}

int tls_context_set_certificate(
    struct tls_context *client, const char *cert_path, const char *key_path, struct error *err)
{
    return use_certificate((struct tls *)client, cert_path, key_path, err);
}

void tls_context_free(struct tls_context *t)
{
    if (t)
        unref((struct tls *)t);
}

static int default_client(struct tls_context **ret, struct error *err)
{
    return tls_context_new_client(NULL, true, ret, err);
}

__attribute__((constructor)) static void announce(void)
{
    stream_tls_default_client = default_client;
}

/* ---- filters ---- */

/* Hands what OpenSSL wants to send to the transport. */
static void send_out(struct stream_filter *f)
{
    BIO *bio = SSL_get_wbio(f->ssl);
    char *p;
    long n = BIO_get_mem_data(bio, &p);
    if (n > 0) {
        stream_transport_write(f->stream, p, (size_t)n);
        (void)BIO_reset(bio);
    }
}

static void broken(struct stream_filter *f)
{
    char text[256] = "TLS failed";
    unsigned long e = ERR_get_error();
    long verify = SSL_get_verify_result(f->ssl);
    if (!f->ready && f->tls->verify && verify != X509_V_OK)
        snprintf(text, sizeof(text), "certificate: %s", X509_verify_cert_error_string(verify));
    else if (e)
        snprintf(text, sizeof(text), "TLS: %s",
            ERR_reason_error_string(e) ? ERR_reason_error_string(e) : "failed");
    ERR_clear_error();
    f->failed = true;
    send_out(f); /* the alert */
    stream_filter_failed(f->stream, f->ready ? -EPROTO : -ECONNABORTED, text);
}

static void write_plain(struct stream_filter *f, const char *p, size_t n)
{
    while (n > 0) {
        size_t done = 0, step = MIN(n, (size_t)1 << 30);
        ERR_clear_error();
        if (SSL_write_ex(f->ssl, p, step, &done) != 1) {
            broken(f); /* memory takes everything: nothing to wait for */
            return;
        }
        p += done;
        n -= done;
        send_out(f);
    }
}

static void handshake(struct stream_filter *f)
{
    ERR_clear_error();
    int r = SSL_do_handshake(f->ssl);
    int e = SSL_get_error(f->ssl, r);
    if (r != 1 && e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE) {
        broken(f);
        return;
    }
    send_out(f);
    if (r != 1)
        return;
    f->ready = true;
    if (f->pending.n) {
        struct buf pending = f->pending;
        f->pending = (struct buf)BUF_INIT;
        write_plain(f, pending.p, pending.n);
        buf_done(&pending);
    }
    if (!f->gone && !f->failed)
        stream_filter_ready(f->stream);
}

/* Goes on as far as the bytes received allow. The owner is called from here and may close. */
static void pump(struct stream_filter *f)
{
    if (f->busy)
        return;
    f->busy = true;
    if (!f->ready && !f->failed)
        handshake(f);
    _cleanup_free_ char *plain = NULL;
    while (!f->gone && f->ready && !f->failed && !f->closed && f->stream->reading) {
        size_t n = 0;
        if (BIO_ctrl_pending(SSL_get_rbio(f->ssl)) == 0 && SSL_pending(f->ssl) == 0)
            break;
        if (!plain)
            plain = xmalloc(TLS_STEP);
        ERR_clear_error();
        int r = SSL_read_ex(f->ssl, plain, TLS_STEP, &n);
        int e = r == 1 ? SSL_ERROR_NONE : SSL_get_error(f->ssl, r);
        send_out(f); /* key updates, alerts */
        if (r == 1) {
            stream_deliver(f->stream, plain, n);
        } else if (e == SSL_ERROR_ZERO_RETURN) {
            f->closed = f->stream->end_pending = true; /* whether or not the wire ends too */
            stream_kick(f->stream);
        } else if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) {
            break;
        } else {
            broken(f);
        }
    }
    f->busy = false;
    if (f->gone) {
        unref(f->tls);
        free(f);
    }
}

static struct stream_filter *attach(
    struct tls_context *context, struct stream *s, const char *server_name)
{
    struct stream_filter *f = xnew(struct stream_filter);
    struct in6_addr address;
    f->stream = s;
    f->tls = (struct tls *)context;
    f->tls->refs++;
    f->ssl = SSL_new(f->tls->ctx);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    if (!f->ssl || !in || !out)
        abort(); /* out of memory */
    BIO_set_mem_eof_return(in, -1);
    SSL_set_bio(f->ssl, in, out);
    if (f->tls->server) {
        SSL_set_accept_state(f->ssl);
        return f;
    }
    SSL_set_connect_state(f->ssl);
    bool numeric = uv_inet_pton(AF_INET, server_name, &address) == 0 ||
                   uv_inet_pton(AF_INET6, server_name, &address) == 0;
    if (numeric) {
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(f->ssl), server_name);
    } else if (*server_name) {
        SSL_set_tlsext_host_name(f->ssl, server_name);
        SSL_set1_host(f->ssl, server_name);
    }
    handshake(f); /* says hello */
    return f;
}

static void input(struct stream_filter *f, const char *p, size_t n)
{
    BIO_write(SSL_get_rbio(f->ssl), p, (int)n);
    pump(f);
}

static int input_end(struct stream_filter *f)
{
    if (!f->ready)
        return -ECONNRESET;
    /* Without the peer's word the end may be an attacker's. */
    bool held = BIO_ctrl_pending(SSL_get_rbio(f->ssl)) > 0 || SSL_pending(f->ssl) > 0;
    return f->closed || held ? 0 : -ECONNRESET;
}

static void output(struct stream_filter *f, const void *p, size_t n)
{
    if (f->failed)
        return;
    if (f->ready)
        write_plain(f, p, n);
    else
        buf_append(&f->pending, p, n);
}

static void shut(struct stream_filter *f)
{
    if (!f->ready || f->failed)
        return;
    ERR_clear_error();
    SSL_shutdown(f->ssl);
    ERR_clear_error();
    send_out(f);
}

static size_t pending(const struct stream_filter *f)
{
    return f->pending.n;
}

static void free_filter(struct stream_filter *f)
{
    SSL_free(f->ssl);
    buf_done(&f->pending);
    f->gone = true;
    if (f->busy)
        return; /* pump() frees it */
    unref(f->tls);
    free(f);
}

static const struct stream_filter_ops ops = {
    .attach = attach,
    .input = input,
    .input_end = input_end,
    .output = output,
    .shutdown = shut,
    .resume = pump,
    .pending = pending,
    .free = free_filter,
    .free_context = tls_context_free,
};
