#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "master/shell.h"
#include "wire/codec.h"

/*
 * SUBSCRIBE of the operator API: a snapshot, then what changes.
 *
 * The snapshot of a large cluster is made aside (documents.h) and takes a while. It shows the core
 * at one moment, when `fixed` is called: events that the core had made by then are part of it, even
 * when they still wait for the store, and are not told again; later ones wait behind it.
 */

static const int64_t HEARTBEAT_US = 15 * USEC_PER_SEC;

static void send_one(struct peer *p, const Mesos__V1__Master__Event *e)
{
    _cleanup_buf_ struct buf bytes = BUF_INIT;
    if (p->json) {
        struct json_writer w;
        jw_init(&w, &bytes);
        wire_to_json(&w, &e->base);
    } else {
        wire_pack(&e->base, &bytes);
    }
    peer_send(p, bytes.p, bytes.n);
}

static void send_heartbeat(struct peer *p)
{
    Mesos__V1__Master__Event beat = MESOS__V1__MASTER__EVENT__INIT;
    beat.has_type = true;
    beat.type = MESOS__V1__MASTER__EVENT__TYPE__HEARTBEAT;
    send_one(p, &beat);
}

/* Whether the subscriber may see the event at all. */
static bool shown(const struct view *v, const struct master_effect *e)
{
    if (!e->framework_user)
        return true;
    return e->task_user ? view_task_user(v, e->framework_user, e->task_user)
                        : view_framework_user(v, e->framework_user);
}

/* An agent's arrival tells of roles: for who does not see all of them it is written apart. */
static void send_without_roles(struct peer *p, const struct view *v, const void *bytes, size_t n)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m;
    if (wire_unpack(&mesos__v1__master__event__descriptor, &arena, bytes, n, &m, NULL) < 0)
        return;
    const Mesos__V1__Master__Event *e = (const Mesos__V1__Master__Event *)m;
    if (e->agent_added && e->agent_added->agent)
        view_agent(v, e->agent_added->agent, &arena);
    send_one(p, e);
}

void operator_stream_event(struct shell *s, const struct master_effect *e)
{
    const void *bytes = e->data;
    size_t n = e->n;
    uint64_t number = ++s->operator_events;
    if (list_empty(&s->operators))
        return;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m = NULL;
    _cleanup_buf_ struct buf text = BUF_INIT; /* encoded once for all who want JSON */
    LIST_FOREACH_SAFE (p, &s->operators, struct peer, node) {
        struct view view;
        view_init(&view, s->authorizer, p->req->subject);
        if (number <= p->seen || !shown(&view, e))
            continue;
        if (!view.roles && !e->framework_user) {
            send_without_roles(p, &view, bytes, n);
            continue;
        }
        if (!p->json) {
            peer_send(p, bytes, n);
            continue;
        }
        if (text.n == 0) {
            if (wire_unpack(&mesos__v1__master__event__descriptor, &arena, bytes, n, &m, NULL) < 0)
                return;
            struct json_writer w;
            jw_init(&w, &text);
            wire_to_json(&w, m);
        }
        peer_send(p, text.p, text.n);
    }
}

void operator_stream_heartbeat(struct timer *t)
{
    struct shell *s = container_of(t, struct shell, operator_heartbeat);
    LIST_FOREACH (p, &s->operators, struct peer, node)
        if (!p->holding)
            send_heartbeat(p);
    if (!list_empty(&s->operators)) {
        timer_start(t, HEARTBEAT_US);
        shell_wake(s);
    }
}

void operator_stream_leave(struct peer *p)
{
    struct shell *s = p->shell;
    if (p->kind != PEER_OPERATOR || list_empty(&p->node))
        return;
    list_remove(&p->node);
    if (--s->n_operators == 0 && s->core)
        master_core_operator_events(s->core, false);
}

/* ---- the beginning ---- */

static void write_snapshot(struct shell *s, void *subject, struct json_writer *w)
{
    (void)s;
    write_subscribed(subject, (double)HEARTBEAT_US / (double)USEC_PER_SEC, w);
}

static void fixed(struct http_request *req, void *subject)
{
    struct peer *p = req->userdata;
    (void)subject;
    if (!p)
        return;
    buf_clear(&p->out);
    p->seen = master_core_operator_events_made(p->shell->core);
}

/* The snapshot is out: from now on the usual limit is enough. */
static void drained(struct http_request *req)
{
    struct peer *p = req->userdata;
    if (p)
        p->queue_max = PEER_QUEUE_MAX;
}

static void begin_stream(struct http_request *req, void *subject, struct blob *body)
{
    struct peer *p = req->userdata;
    (void)subject;
    if (!p || p->ended)
        return;
    if (!body) {
        log_warn("operator's stream is cut off, there is no snapshot stream=%" PRIu64, p->id);
        http_respond_abort(req);
        return;
    }
    struct buf later = p->out;
    p->out = (struct buf)BUF_INIT;
    p->holding = false;
    p->queue_max = PEER_QUEUE_MAX + body->n;
    send_heartbeat(p);
    buf_append(&p->out, later.p, later.n);
    buf_done(&later);
    shell_wake(p->shell);
    char frame[24];
    int n = snprintf(frame, sizeof(frame), "%zu\n", body->n);
    http_respond_on_drain(req, drained);
    http_respond_write(req, frame, (size_t)n);
    http_respond_write_blob(req, body); /* the peer may be gone now */
}

void operator_subscribe(struct operator_call *c)
{
    struct shell *s = c->s;
    struct http_request *req = c->req;
    while (s->n_operators > 0 && s->n_operators >= s->operators_max) {
        struct peer *oldest = list_first(&s->operators, struct peer, node);
        log_warn("operator's stream is ended, there are too many stream=%" PRIu64 " limit=%zu",
            oldest->id, s->operators_max);
        peer_end(oldest);
    }
    struct peer *p = peer_new(s, PEER_OPERATOR, req, c->json);
    p->holding = true;
    master_core_operator_events(s->core, true);
    if (!timer_active(&s->operator_heartbeat))
        timer_start(&s->operator_heartbeat, HEARTBEAT_US);
    const struct document_order order = {
        .key = arena_printf(
            &req->arena, "v1 SUBSCRIBE %s %s", c->json ? "json" : "protobuf", c->view_key),
        .write = write_snapshot,
        .subject = c,
        .fixed = fixed,
        .done = begin_stream,
    };
    http_respond_limit(req, SIZE_MAX); /* peer_send knows the limit, and tells the reason */
    http_respond_begin(req, 200, c->json ? "application/json" : "application/x-protobuf");
    documents_ask(s->documents, req, &order);
}
