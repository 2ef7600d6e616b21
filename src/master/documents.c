#include "master/documents.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "io/snapshot.h"
#include "master/shell.h"
#include "master/state.h"

enum { FLUSH_BYTES = 256 * 1024, TAG_SIZE = 64 };
#define RENDERED_KEEP_US USEC_PER_SEC

/* One who waits. */
struct reader {
    struct list node;         /* in waiting, or in the document that is under way */
    struct http_request *req; /* referenced */
    struct document_order order;
};

/* One document at one revision. */
struct rendered {
    struct documents *documents;
    struct list node; /* in documents.rendered, oldest first */
    char *key;
    uint64_t version;
    struct blob *body;         /* NULL while it is under way */
    struct snapshot *snapshot; /* then */
    struct list readers;       /* then: who waits for it */
};

struct documents {
    struct shell *shell;
    struct list waiting; /* struct reader */
    struct deferred answer;
    struct list rendered;
    size_t n_rendered;
    struct timer keep; /* drops the large ones */
    struct documents_stats stats;
};

/* ---- rendering ---- */

/* Tasks and agents that a document may show. */
static size_t count_objects(const struct master_core *core)
{
    size_t n = map_size(&core->agents);
    MAP_FOREACH (e, &core->frameworks) {
        const struct framework *f = e->value;
        n += map_size(&f->tasks) + f->n_unreachable + f->n_completed;
    }
    LIST_FOREACH (f, &core->completed_frameworks, struct framework, node)
        n += f->n_completed;
    return n;
}

static struct blob *render(struct shell *s, const struct document_order *order)
{
    struct buf body = BUF_INIT;
    struct json_writer w;
    blob_begin(&body);
    jw_init(&w, &body);
    order->write(s, order->subject, &w);
    return blob_end(&body);
}

static void pass_on(struct json_writer *w, void *userdata)
{
    const int *out = userdata;
    snapshot_write(*out, buf_cstr(w->out), w->out->n);
    buf_clear(w->out);
}

static void render_in_child(int out, void *userdata)
{
    struct rendered *r = userdata;
    const struct reader *first = list_first(&r->readers, struct reader, node);
    struct buf body = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &body);
    w.flush = pass_on;
    w.flush_at = FLUSH_BYTES;
    w.userdata = &out;
    first->order.write(r->documents->shell, first->order.subject, &w);
    pass_on(&w, &out);
}

/* ---- answering ---- */

/* Weak: gzip makes other bytes of the same document. */
static void entity_tag(const struct documents *d, const char *key, char ret[TAG_SIZE])
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    for (const char *c = key; *c; c++)
        hash = (hash ^ (unsigned char)*c) * UINT64_C(1099511628211);
    const struct shell *s = d->shell;
    snprintf(ret, TAG_SIZE, "W/\"%.8s-%" PRIx64 "-%" PRIx64 "\"", s->master_id,
        master_core_version(s->core), hash);
}

/* Whether the list of If-None-Match has the tag; weak comparison. */
static bool tag_matches(struct str list, const char *tag)
{
    struct str want = str_of(tag + 2); /* without W/ */
    while (list.n > 0) {
        while (list.n > 0 && (*list.p == ' ' || *list.p == ',' || *list.p == '\t')) {
            list.p++;
            list.n--;
        }
        if (list.n > 0 && *list.p == '*')
            return true;
        if (str_has_prefix(list, STR("W/"))) {
            list.p += 2;
            list.n -= 2;
        }
        if (str_has_prefix(list, want))
            return true;
        const char *comma = list.n ? memchr(list.p, ',', list.n) : NULL;
        size_t skip = comma ? (size_t)(comma - list.p) + 1 : list.n;
        list.p += skip;
        list.n -= skip;
    }
    return false;
}

static bool answer_unchanged(struct documents *d, struct reader *q)
{
    char tag[TAG_SIZE];
    if (!q->order.conditional)
        return false;
    entity_tag(d, q->order.key, tag);
    http_set_header(q->req, "ETag", tag);
    http_set_header(q->req, "Cache-Control", "no-cache"); /* ask again, with the tag */
    struct str list = http_headers_join(&q->req->headers, "If-None-Match", &q->req->arena);
    if (!list.p || !tag_matches(list, tag))
        return false;
    d->stats.hits++;
    http_respond(q->req, 304, NULL, NULL, 0);
    return true;
}

static void reader_free(struct reader *q)
{
    list_remove(&q->node);
    http_request_unref(q->req);
    free(q);
}

static void deliver(struct reader *q, struct blob *body)
{
    if (http_request_gone(q->req))
        return;
    if (q->order.done)
        q->order.done(q->req, q->order.subject, body);
    else if (body)
        http_respond_blob(q->req, 200, q->order.content_type, body);
    else
        http_respond_text(q->req, 500, "The document could not be made");
}

static void fix(struct reader *q)
{
    if (q->order.fixed)
        q->order.fixed(q->req, q->order.subject);
}

static void forget(struct rendered *r)
{
    struct reader *q;
    r->documents->n_rendered--;
    list_remove(&r->node);
    if (r->snapshot)
        snapshot_cancel(r->snapshot);
    while ((q = list_first(&r->readers, struct reader, node)))
        reader_free(q);
    free(r->key);
    blob_unref(r->body);
    free(r);
}

/* Memory of large documents is held only while they are asked for. */
static void on_keep(struct timer *t)
{
    struct documents *d = container_of(t, struct documents, keep);
    LIST_FOREACH_SAFE (r, &d->rendered, struct rendered, node)
        if (r->body && r->body->n > RENDERED_BYTES_MAX)
            forget(r);
}

static void keep(struct documents *d, const struct blob *body)
{
    if (body->n > RENDERED_BYTES_MAX)
        timer_start(&d->keep, RENDERED_KEEP_US);
}

static struct rendered *rendered_new(struct documents *d, const char *key)
{
    struct rendered *r = xnew(struct rendered);
    *r = (struct rendered){
        .documents = d, .key = xstrdup(key), .version = master_core_version(d->shell->core)};
    list_init(&r->node);
    list_init(&r->readers);
    list_push(&d->rendered, &r->node);
    d->n_rendered++;
    LIST_FOREACH_SAFE (old, &d->rendered, struct rendered, node)
        if (d->n_rendered > RENDERED_MAX && old != r && !old->snapshot)
            forget(old);
    return r;
}

static void on_snapshot(struct blob *body, const char *error, void *userdata)
{
    struct rendered *r = userdata;
    struct documents *d = r->documents;
    struct reader *q;
    r->snapshot = NULL;
    d->stats.under_way--;
    if (body) {
        r->body = blob_ref(body);
        keep(d, body);
    } else {
        d->stats.failures++;
        log_error("a document could not be made document=%s error=%s", r->key, error);
    }
    while ((q = list_first(&r->readers, struct reader, node))) {
        list_remove(&q->node);
        deliver(q, body);
        reader_free(q);
    }
    if (!body)
        forget(r);
    if (!list_empty(&d->waiting))
        loop_defer(d->shell->loop, &d->answer);
}

/* Takes the reader over when it returns true. */
static bool render_aside(struct documents *d, struct reader *q)
{
    struct rendered *r = rendered_new(d, q->order.key);
    struct error err = ERROR_INIT;
    list_push(&r->readers, &q->node);
    int64_t before = clock_monotonic_us();
    if (snapshot_start(d->shell->loop, render_in_child, on_snapshot, r, &r->snapshot, &err) < 0) {
        log_warn("documents hold up the loop error=%s", err.msg);
        list_remove(&q->node);
        forget(r);
        return false;
    }
    d->stats.last_fork_us = clock_monotonic_us() - before;
    d->stats.max_fork_us = MAX(d->stats.max_fork_us, d->stats.last_fork_us);
    d->stats.snapshots++;
    d->stats.under_way++;
    return true;
}

static struct rendered *find(struct documents *d, const char *key)
{
    uint64_t version = master_core_version(d->shell->core);
    LIST_FOREACH (r, &d->rendered, struct rendered, node)
        if (r->version == version && streq(r->key, key))
            return r;
    return NULL;
}

/* False: it has to wait. */
static bool answer(struct documents *d, struct reader *q)
{
    struct shell *s = d->shell;
    struct rendered *r = find(d, q->order.key);
    list_remove(&q->node);
    if (http_request_gone(q->req) || answer_unchanged(d, q)) {
        reader_free(q);
        return true;
    }
    if (r) {
        d->stats.hits++;
        fix(q);
        if (!r->body) {
            list_push(&r->readers, &q->node);
            return true;
        }
    } else {
        bool large = count_objects(s->core) >= DOCUMENT_OBJECTS;
        if (large && d->stats.under_way >= SNAPSHOTS_MAX) {
            list_push(&d->waiting, &q->node);
            return false;
        }
        fix(q);
        if (large && render_aside(d, q))
            return true;
        r = rendered_new(d, q->order.key);
        r->body = render(s, &q->order);
    }
    keep(d, r->body);
    deliver(q, r->body);
    reader_free(q);
    return true;
}

static void on_answer(struct deferred *deferred)
{
    struct documents *d = container_of(deferred, struct documents, answer);
    /* Those that go on waiting are put behind the others. */
    struct reader *q;
    size_t n = 0;
    LIST_FOREACH (each, &d->waiting, struct reader, node)
        n++;
    while (n-- > 0 && (q = list_first(&d->waiting, struct reader, node)))
        answer(d, q);
}

/* ---- for the handlers ---- */

struct documents *documents_new(struct shell *s)
{
    struct documents *d = xnew(struct documents);
    d->shell = s;
    list_init(&d->waiting);
    list_init(&d->rendered);
    deferred_init(&d->answer, on_answer);
    timer_init(&d->keep, s->loop, on_keep);
    return d;
}

void documents_free(struct documents *d)
{
    struct reader *q;
    struct rendered *r;
    deferred_cancel(&d->answer);
    timer_stop(&d->keep);
    while ((q = list_first(&d->waiting, struct reader, node)))
        reader_free(q);
    while ((r = list_first(&d->rendered, struct rendered, node)))
        forget(r);
    free(d);
}

void documents_ask(
    struct documents *d, struct http_request *req, const struct document_order *order)
{
    struct reader *q = xnew(struct reader);
    *q = (struct reader){.req = req, .order = *order};
    list_init(&q->node);
    http_request_ref(req);
    list_push(&d->waiting, &q->node);
    loop_defer(d->shell->loop, &d->answer);
}

void documents_answer_now(
    struct documents *d, struct http_request *req, const struct document_order *order)
{
    struct blob *body = render(d->shell, order);
    http_respond_blob(req, 200, order->content_type, body);
    blob_unref(body);
}

void documents_stats(const struct documents *d, struct documents_stats *ret)
{
    *ret = d->stats;
    LIST_FOREACH (q, &d->waiting, struct reader, node)
        ret->waiting++;
}
