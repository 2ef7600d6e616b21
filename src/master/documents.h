#ifndef DCOS_MASTER_DOCUMENTS_H
#define DCOS_MASTER_DOCUMENTS_H

/*
 * Answers that only read, each rendered once per revision of the core for everybody who asks for
 * the same.
 *
 * Small ones are rendered on the loop, once the events at hand are through. From DOCUMENT_OBJECTS
 * tasks and agents on a forked copy of the process renders (io/snapshot.h), so that the loop goes
 * on. Who asks while nothing changed since the fork shares what comes; who asks later gets a
 * rendering of their own time, never an older one, and waits while SNAPSHOTS_MAX are under way.
 *
 * A conditional request gets the entity tag of the revision, and 304 without any rendering when it
 * names that.
 */

#include "http/server.h"
#include "json/writer.h"

struct shell;
struct documents;

enum {
    DOCUMENT_OBJECTS = 4000,              /* about 5 ms of rendering */
    SNAPSHOTS_MAX = 2,                    /* children at a time */
    RENDERED_MAX = 8,                     /* kept for the next who asks */
    RENDERED_BYTES_MAX = 4 * 1024 * 1024, /* larger ones are dropped after a second */
};

/* What somebody wants. Everything in it lives as long as the request. */
struct document_order {
    /* All that the bytes depend on besides the revision: which document, its form, the query, and
     * what the asker may see. */
    const char *key;
    const char *content_type;
    bool conditional; /* has an entity tag */
    /* Appends the body to w->out, by the writer or past it. Runs on the loop or in the child; must
     * change nothing. */
    void (*write)(struct shell *s, void *subject, struct json_writer *w);
    void *subject;
    /* May be NULL: the present revision is what this asker will get. */
    void (*fixed)(struct http_request *req, void *subject);
    /* NULL: answered 200. `body` NULL: it could not be rendered. Not called when the peer is gone.
     */
    void (*done)(struct http_request *req, void *subject, struct blob *body);
};

struct documents *documents_new(struct shell *s);
void documents_free(struct documents *d); /* nobody is answered any more */
void documents_ask(
    struct documents *d, struct http_request *req, const struct document_order *order);
/* Renders at once what is different each time. */
void documents_answer_now(
    struct documents *d, struct http_request *req, const struct document_order *order);

struct documents_stats {
    uint64_t hits;                     /* answered with what somebody else asked for, or 304 */
    uint64_t snapshots, failures;      /* children */
    int64_t last_fork_us, max_fork_us; /* time that the loop stood still for them */
    unsigned under_way, waiting;
};
void documents_stats(const struct documents *d, struct documents_stats *ret);

#endif
