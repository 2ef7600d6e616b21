#ifndef DCOS_CONSOLE_REQUEST_H
#define DCOS_CONSOLE_REQUEST_H

/*
 * HTTP for programs that do one thing after the other: each call runs the event loop until its
 * answer is there. Follows redirects. Not for daemons.
 */

#include "base/buf.h"
#include "base/error.h"

struct requester;
struct tls_context;

struct requester_options {
    const char *user_agent;
    const char *token;       /* NULL or "": no Authorization header */
    struct tls_context *tls; /* borrowed; NULL = the system's authorities, where TLS is linked */
    int64_t timeout_us;      /* for a whole answer; 0 = none */
    bool trace;              /* requests and answers on stderr */
};

struct requester *requester_new(const struct requester_options *options); /* never NULL */
void requester_free(struct requester *r);

struct request {
    const char *method;       /* NULL = "GET" */
    const char *url;          /* absolute, http or https */
    const char *unix_path;    /* the URL's host is only named in the header then */
    const char *accept;       /* NULL = "application/json" */
    const char *content_type; /* NULL = "application/json" when there is a body */
    const void *body;
    size_t body_n;
    /* Bytes of a 2xx answer as they come, instead of reply.body; return false to stop. No timeout
     * is set on such an answer. */
    bool (*on_data)(const char *p, size_t n, void *userdata);
    void *userdata;
    bool secret;        /* neither body is traced */
    const char *token;  /* instead of the requester's; "" = none is sent */
    int64_t timeout_us; /* instead of the requester's; 0 = that one */
};

enum { REPLY_BODY_MAX = 512 * 1024 * 1024, REDIRECTS_MAX = 10 };

struct reply {
    int status;
    struct buf body;
    char content_type[128];
    char deployment_id[64];     /* header Marathon-Deployment-Id */
    char www_authenticate[128]; /* header WWW-Authenticate */
    char *url;                  /* that answered, after redirects */
};

void reply_done(struct reply *r);

/* 0 when an answer came, whatever its status. Otherwise a message that names host and reason;
 * -ECONNREFUSED, -ETIMEDOUT and the like. `ret` must be zero or hold an earlier answer. */
int requester_send(
    struct requester *r, const struct request *req, struct reply *ret, struct error *err);
/* Waits. */
void requester_pause(struct requester *r, int64_t us);

#endif
