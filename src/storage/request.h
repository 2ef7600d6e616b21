#ifndef DCOS_STORAGE_REQUEST_H
#define DCOS_STORAGE_REQUEST_H

/*
 * One HTTP request, of a storage or to Amazon, waited for. Connections, TLS, proxies and Amazon's
 * signatures are libcurl's. Answers of 500, 502, 503 and 504, 429 and broken connections are tried
 * again, five times in all, with growing pauses.
 */

#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "pkgpanda/names.h"

enum { REQUEST_ANSWER_MAX = 64 * 1024 * 1024, REQUEST_TRIES = 5 };

struct request {
    const char *method; /* GET, HEAD, PUT, DELETE */
    const char *url;
    struct strings headers; /* "Name: value" */
    /* Body: a file (body_fd >= 0, from its start, body_n bytes) or bytes; GET and HEAD have none.
     */
    const char *body;
    int body_fd;
    uint64_t body_n;
    int answer_fd; /* >= 0: the body of a 2xx answer goes there */
    /* Amazon's signature, version 4, when aws_key is set. aws_service: NULL = "s3". */
    const char *aws_service, *aws_region, *aws_key, *aws_secret;
    bool direct; /* past any proxy of the environment */

    long status;
    struct buf answer;         /* the body, unless it went to answer_fd */
    struct buf answer_headers; /* lines, as they came */
};

#define REQUEST_INIT                                                                               \
    {                                                                                              \
        .body_fd = -1, .answer_fd = -1                                                             \
    }
void request_header(struct request *q, const char *fmt, ...) _printf_(2, 3);
/* 0 when an answer came, whatever its status; -EIO, -ETIMEDOUT. */
int request_run(struct request *q, struct error *err);
void request_done(struct request *q);
/* Value of a header of the answer; caller frees. NULL when it has none. */
char *request_answer_header(const struct request *q, const char *name);
/* -ENOENT for 404, -EACCES for 401 and 403, else -EIO, with the start of what the server said. */
int request_refused(const struct request *q, const char *what, struct error *err);

/* The condition of a write as a header: the version with this tag, or NULL for nothing there. */
void request_condition(struct request *q, const char *tag);
/* What the answer to such a write means: -EAGAIN, -EOPNOTSUPP, or as request_refused(). */
int request_condition_refused(const struct request *q, const char *what, struct error *err);

/* Percent-encodes for a URL; slashes stay when `slashes`. Caller frees. */
char *request_encode(const char *text, bool slashes);
/* Adds the texts of all elements <tag> of an XML document, entities replaced. */
void request_xml_texts(const struct buf *xml, const char *tag, struct strings *ret);

#endif
