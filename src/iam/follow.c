#include "base/alloc.h"
#include "base/clock.h"
#include "http/recordio.h"
#include "iam/shell.h"

/*
 * GET /internal/policy: the documents of auth/policy.h as a stream of records (RecordIO, JSON), for
 * daemons that decide by themselves: {"key":...,"value":{...}} for each, {"synced":true}, then the
 * same for each change (value null: removed) and {"heartbeat":true} every few seconds, so that
 * a follower knows when it stopped hearing.
 */

#define HEARTBEAT_US (5 * USEC_PER_SEC)

struct follower {
    struct list node;
    struct iam *iam;
    struct http_request *req; /* referenced */
};

static void follower_closed(struct http_request *req)
{
    struct follower *f = req->userdata;
    list_remove(&f->node);
    f->iam->n_followers--;
    req->userdata = NULL;
    req->on_close = NULL;
    http_request_unref(req);
    free(f);
}

static void send_record(struct follower *f, const struct buf *text)
{
    _cleanup_buf_ struct buf record = BUF_INIT;
    recordio_append(&record, text->p, text->n);
    http_respond_write(f->req, record.p, record.n);
}

static void make_record(struct buf *out, const char *key, const char *shown)
{
    struct json_writer w;
    jw_init(&w, out);
    jw_begin_object(&w);
    jw_field_string(&w, "key", key);
    jw_key(&w, "value");
    if (shown)
        jw_raw(&w, shown, strlen(shown));
    else
        jw_null(&w);
    jw_end_object(&w);
}

/* Writing may find the connection broken, and then the follower is gone. */
static void send_all(struct iam *s, const struct buf *text)
{
    struct list copy;
    list_init(&copy);
    struct follower *f;
    while ((f = list_first(&s->followers, struct follower, node))) {
        list_remove(&f->node);
        list_push(&copy, &f->node);
    }
    while ((f = list_first(&copy, struct follower, node))) {
        list_remove(&f->node);
        list_push(&s->followers, &f->node);
        send_record(f, text);
    }
}

void follow_publish(struct iam *s, const char *key, const char *shown)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    make_record(&text, key, shown);
    send_all(s, &text);
}

static void heartbeat(struct timer *t)
{
    struct iam *s = container_of(t, struct iam, follow_timer);
    _cleanup_buf_ struct buf text = BUF_INIT;
    buf_puts(&text, "{\"heartbeat\":true}");
    send_all(s, &text);
    if (!list_empty(&s->followers))
        timer_start(t, HEARTBEAT_US);
}

static void append_document(struct buf *out, const char *kind, const char *name, json_t *document)
{
    _cleanup_buf_ struct buf key = BUF_INIT, value = BUF_INIT, text = BUF_INIT;
    policy_key(&key, kind, name);
    json_dump(document, &value);
    json_decref(document);
    make_record(&text, buf_cstr(&key), buf_cstr(&value));
    recordio_append(out, text.p, text.n);
}

void follow_begin(struct iam_call *c)
{
    struct iam *s = c->iam;
    if (s->n_followers >= FOLLOWERS_MAX) {
        call_refuse(c, 503, "ERR_BUSY", "Too many daemons follow the policy");
        return;
    }
    struct follower *f = xnew(struct follower);
    list_init(&f->node);
    f->iam = s;
    f->req = c->req;
    http_request_ref(c->req);
    c->req->userdata = f;
    c->req->on_close = follower_closed;
    list_push(&s->followers, &f->node);
    s->n_followers++;
    _cleanup_buf_ struct buf all = BUF_INIT;
    const struct policy *p = &s->core.policy;
    MAP_FOREACH (e, &p->keys) {
        const struct policy_public_key *k = e->value;
        json_t *document = json_object();
        json_object_set_new(document, "public_key", json_string(k->pem));
        json_object_set_new(document, "current", json_boolean(k->current));
        append_document(&all, "keys", e->key, document);
    }
    MAP_FOREACH (e, &p->users)
        append_document(&all, "users", e->key, policy_user_document(e->value));
    MAP_FOREACH (e, &p->groups)
        append_document(&all, "groups", e->key, policy_group_document(e->value));
    MAP_FOREACH (e, &p->acls)
        append_document(&all, "acls", e->key, policy_acl_document(e->value));
    static const char synced[] = "{\"synced\":true}";
    recordio_append(&all, synced, sizeof(synced) - 1);
    http_respond_limit(c->req, all.n + FOLLOWER_QUEUE_MAX);
    http_respond_begin(c->req, 200, "application/json");
    http_respond_write(c->req, all.p, all.n);
    if (!timer_active(&s->follow_timer)) {
        timer_init(&s->follow_timer, s->loop, heartbeat);
        timer_start(&s->follow_timer, HEARTBEAT_US);
    }
}

void follow_stop(struct iam *s)
{
    timer_stop(&s->follow_timer);
}
