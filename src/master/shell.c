#include "master/shell.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "master/election.h"
#include "wire/codec.h"

/* Time that cannot go back and does not jump with the wall clock. */
int64_t shell_now(const struct shell *s)
{
    return s->start_real_us + (clock_monotonic_us() - s->start_mono_us);
}

void shell_wake(struct shell *s)
{
    loop_defer(s->loop, &s->wake);
}

bool shell_require_leader(struct shell *s, struct http_request *req)
{
    if (s->leading && s->recovered)
        return true;
    if (s->leading) {
        http_respond_text(req, 503, "Master has not finished recovery");
        return false;
    }
    _cleanup_buf_ struct buf leader = BUF_INIT;
    if (!election_leader(s, &leader)) {
        http_respond_text(req, 503, "No leader elected");
        return false;
    }
    /* Scheme-relative on purpose: a proxy in front may speak TLS. */
    http_set_header_f(req, "Location", "//%s" STR_FMT, buf_cstr(&leader), STR_ARG(req->target));
    http_respond(req, 307, NULL, NULL, 0);
    return false;
}

/* ---- peers ---- */

static void peer_closed(struct http_request *req)
{
    struct peer *p = req->userdata;
    struct shell *s = p->shell;
    int64_t now = shell_now(s);
    if (!s->core) { /* the process is ending */
        peer_free(p);
        return;
    }
    switch (p->kind) {
    case PEER_AGENT:
        log_info("agent's link ended link=%llu", (unsigned long long)p->id);
        master_core_agent_closed(s->core, p->id, now);
        break;
    case PEER_SCHEDULER:
        log_info("framework's stream ended stream=%llu", (unsigned long long)p->id);
        master_core_scheduler_closed(s->core, p->id, now);
        break;
    case PEER_OPERATOR:
        break;
    }
    peer_free(p);
    shell_wake(s);
}

struct peer *peer_new(struct shell *s, enum peer_kind kind, struct http_request *req, bool json)
{
    struct peer *p = xnew(struct peer);
    p->shell = s;
    p->id = ++s->next_peer;
    p->kind = kind;
    p->req = req;
    p->json = json;
    p->queue_max = PEER_QUEUE_MAX;
    list_init(&p->dirty);
    list_init(&p->node);
    recordio_decoder_init(&p->decoder, WIRE_MESSAGE_MAX);
    req->userdata = p;
    req->on_close = peer_closed;
    http_request_ref(req);
    umap_put(&s->peers, p->id, p);
    if (kind == PEER_OPERATOR) {
        list_push(&s->operators, &p->node);
        s->n_operators++;
    }
    return p;
}

void peer_free(struct peer *p)
{
    struct shell *s = p->shell;
    umap_remove(&s->peers, p->id);
    list_remove(&p->dirty);
    operator_stream_leave(p);
    buf_done(&p->out);
    recordio_decoder_done(&p->decoder);
    p->req->on_close = NULL;
    p->req->userdata = NULL;
    http_request_unref(p->req);
    free(p);
}

/* Nothing is sent to it any more, and the connection goes. */
static void cut_off(struct peer *p, size_t queued)
{
    static const char *const kinds[] = {
        [PEER_AGENT] = "an agent's link",
        [PEER_SCHEDULER] = "a framework's stream",
        [PEER_OPERATOR] = "an operator's stream",
    };
    log_warn("%s is cut off, its peer reads too slowly peer=%llu queued_bytes=%zu limit=%zu",
        kinds[p->kind], (unsigned long long)p->id, queued, p->queue_max);
    p->ended = true;
    buf_done(&p->out);
    list_remove(&p->dirty);
    operator_stream_leave(p);
    http_respond_abort(p->req);
}

void peer_send(struct peer *p, const void *bytes, size_t n)
{
    if (p->ended)
        return;
    recordio_append(&p->out, bytes, n);
    if (p->holding && p->out.n > p->queue_max) {
        cut_off(p, p->out.n);
        return;
    }
    if (!p->holding && list_empty(&p->dirty))
        list_push(&p->shell->dirty, &p->dirty);
}

/* Writing and ending may find the connection broken, and then the peer is freed on the way: nothing
 * of it is touched afterwards. */
static void hand_over(struct peer *p, bool end)
{
    struct http_request *req = p->req;
    struct buf out = p->out;
    p->out = (struct buf)BUF_INIT;
    list_remove(&p->dirty);
    if (end) {
        p->ended = true;
        operator_stream_leave(p);
    }
    http_request_ref(req);
    if (out.n)
        http_respond_write(req, out.p, out.n);
    if (end)
        http_respond_end(req);
    http_request_unref(req);
    buf_done(&out);
}

void peer_flush(struct peer *p)
{
    size_t queued = http_respond_queued(p->req);
    if (queued > p->queue_max)
        cut_off(p, queued);
    else
        hand_over(p, false);
}

void peer_end(struct peer *p)
{
    if (!p->ended)
        hand_over(p, true);
}

/* ---- the pump ---- */

static void send_scheduler(struct peer *p, const struct master_effect *e)
{
    if (!p->json) {
        peer_send(p, e->data, e->n);
        return;
    }
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m;
    struct error err = ERROR_INIT;
    if (wire_unpack(&mesos__v1__scheduler__event__descriptor, &arena, e->data, e->n, &m, &err) <
        0) {
        log_error("event cannot be read back error=%s", err.msg);
        return;
    }
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &text);
    wire_to_json(&w, m);
    peer_send(p, text.p, text.n);
}

static void carry_out(struct shell *s, const struct master_effect *e)
{
    if (e->type == EFFECT_OPERATOR_EVENT) {
        operator_stream_event(s, e);
        return;
    }
    struct peer *p = umap_get(&s->peers, e->peer);
    if (!p)
        return; /* gone meanwhile; the core learns it by its own event */
    switch (e->type) {
    case EFFECT_AGENT_SEND:
        peer_send(p, e->data, e->n);
        break;
    case EFFECT_SCHEDULER_SEND:
        send_scheduler(p, e);
        break;
    case EFFECT_AGENT_CLOSE:
    case EFFECT_SCHEDULER_CLOSE:
        log_info("closing %s peer=%llu",
            e->type == EFFECT_AGENT_CLOSE ? "the link of an agent" : "the stream of a framework",
            (unsigned long long)p->id);
        peer_end(p);
        break;
    case EFFECT_OPERATOR_EVENT:
        break;
    }
}

void shell_registry_size(struct shell *s, const char *key, size_t n, bool removed)
{
    struct registry_size *old = map_get(&s->registry_sizes, key);
    if (old) {
        s->registry_bytes -= old->n;
        if (removed) {
            map_remove(&s->registry_sizes, key);
            free(old);
            return;
        }
    } else if (removed) {
        return;
    } else {
        size_t length = strlen(key) + 1;
        old = xmalloc(sizeof(*old) + length);
        memcpy(old->key, key, length);
        map_put(&s->registry_sizes, old->key, old);
    }
    old->n = strlen(key) + n;
    s->registry_bytes += old->n;
}

struct commit {
    struct shell *shell;
    int64_t began_us;
    uint64_t last;
};

static void committed(int status, ssize_t failed_op, const int64_t *new_versions, void *userdata)
{
    struct commit *c = userdata;
    struct shell *s = c->shell;
    if (status < 0) {
        /* Memory is ahead of the disk now: the only safe way on is a new start from the disk. */
        log_error("cannot store state, ending error=%s", store_failure(s->store));
        s->failure = 1;
        loop_stop(s->loop);
    } else {
        s->durable = c->last;
        metric_timer_add(&s->store_ms, clock_monotonic_us() - c->began_us);
        shell_wake(s);
    }
    free(c);
}

static void commit_batch(struct shell *s, const struct store_op *ops, size_t n, uint64_t last)
{
    struct commit *c = xnew(struct commit);
    *c = (struct commit){s, clock_monotonic_us(), last};
    struct error err = ERROR_INIT;
    if (store_commit(s->store, ops, n, committed, c, &err) < 0) {
        log_error("cannot store state, ending error=%s", err.msg);
        free(c);
        s->failure = 1;
        loop_stop(s->loop);
    }
}

static void commit_mutations(struct shell *s)
{
    struct store_op ops[STORE_BATCH_OPS_MAX];
    struct master_mutation *taken[STORE_BATCH_OPS_MAX];
    struct master_mutation *m = master_core_take_mutation(s->core);
    while (m) {
        size_t n = 0, bytes = 0;
        while (m && n < STORE_BATCH_OPS_MAX) {
            size_t more = store_op_size(m->key, m->n);
            if (n > 0 && bytes + more > STORE_BATCH_MAX)
                break;
            shell_registry_size(s, m->key, m->n, m->remove);
            ops[n] = (struct store_op){.type = m->remove ? STORE_DELETE : STORE_PUT,
                .key = m->key,
                .value = m->value,
                .n = m->n,
                .version = STORE_ANY_VERSION};
            taken[n++] = m;
            bytes += more;
            m = master_core_take_mutation(s->core);
        }
        commit_batch(s, ops, n, taken[n - 1]->number);
        for (size_t i = 0; i < n; i++)
            free(taken[i]);
    }
}

void shell_respond_durable(struct shell *s, struct http_request *req, uint64_t before, int status,
    const char *content_type)
{
    uint64_t last = master_core_last_mutation(s->core);
    if (last == before || last <= s->durable) {
        http_respond(req, status, content_type, NULL, 0);
        return;
    }
    struct promise *p = xnew(struct promise);
    http_request_ref(req);
    p->req = req;
    p->after = last;
    p->status = status;
    p->content_type = content_type;
    list_push(&s->promises, &p->node);
}

static void keep_promises(struct shell *s)
{
    struct promise *p;
    while ((p = list_first(&s->promises, struct promise, node)) && p->after <= s->durable) {
        list_remove(&p->node);
        http_respond(p->req, p->status, p->content_type, NULL, 0);
        http_request_unref(p->req);
        free(p);
    }
}

void shell_forget_promises(struct shell *s)
{
    struct promise *p;
    while ((p = list_first(&s->promises, struct promise, node))) {
        list_remove(&p->node);
        http_request_unref(p->req);
        free(p);
    }
}

void shell_drain(struct shell *s)
{
    commit_mutations(s);
    struct master_effect *e;
    while ((e = master_core_take_effect(s->core, s->durable))) {
        carry_out(s, e);
        free(e);
    }
}

void shell_pump(struct deferred *d)
{
    struct shell *s = container_of(d, struct shell, wake);
    if (!shell_ready(s) || s->failure || !store_confirm(s->store))
        return;
    shell_drain(s);
    keep_promises(s);
    struct peer *p;
    while ((p = list_first(&s->dirty, struct peer, dirty)))
        peer_flush(p);
    int64_t deadline = master_core_next_deadline(s->core);
    if (deadline == INT64_MAX)
        timer_stop(&s->timer);
    else
        timer_start(&s->timer, deadline - shell_now(s));
}
