#include "base/log.h"
#include "master/shell.h"
#include "wire/codec.h"

/* POST /api/internal/agent: records both ways on one exchange (src/wire/internal.proto). */

static void log_registration(const struct peer *p, const Dcos__Internal__Register *reg)
{
    const Mesos__V1__AgentInfo *info = reg->agent_info;
    log_info("agent registers hostname=%s id=%s tasks=%zu link=%llu",
        info && info->hostname ? info->hostname : "",
        info && info->id && info->id->value ? info->id->value : "new", reg->n_tasks,
        (unsigned long long)p->id);
}

static bool on_record(const char *record, size_t n, void *userdata)
{
    struct peer *p = userdata;
    struct shell *s = p->shell;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m;
    struct error err = ERROR_INIT;
    if (wire_unpack(&dcos__internal__agent_record__descriptor, &arena, record, n, &m, &err) < 0) {
        log_warn("agent sent an unreadable record, closing its link error=%s", err.msg);
        p->broken = true;
        return false;
    }
    const Dcos__Internal__AgentRecord *rec = (const Dcos__Internal__AgentRecord *)m;
    if (rec->register_)
        log_registration(p, rec->register_);
    if (rec->unregister)
        log_info("agent leaves link=%llu", (unsigned long long)p->id);
    master_core_agent_record(s->core, p->id, rec, shell_now(s));
    return true;
}

static void on_data(struct http_request *req, const char *bytes, size_t n)
{
    struct peer *p = req->userdata;
    struct error err = ERROR_INIT;
    if (!p || p->ended)
        return;
    struct shell *s = p->shell;
    if (recordio_decode(&p->decoder, bytes, n, on_record, p, &err) < 0) {
        log_warn("agent link is broken, closing it error=%s", err.msg);
        p->broken = true;
    }
    shell_wake(s);
    if (p->broken)
        http_respond_abort(req); /* may free the peer */
}

static void on_end(struct http_request *req, int status)
{
    /* The agent finished its side (or broke off): end ours, on_close follows. */
    struct peer *p = req->userdata;
    if (p)
        peer_end(p);
}

void agent_link_handle(struct http_request *req, void *userdata)
{
    struct shell *s = userdata;
    if (!master_enter_agent(&s->security, req) || !shell_require_leader(s, req))
        return;
    if (req->method != HTTP_POST) {
        http_set_header(req, "Allow", "POST");
        http_respond_text(req, 405, "Expecting 'POST'");
        return;
    }
    if (!str_eq_c(http_request_header(req, "Content-Type"), "application/x-protobuf")) {
        http_respond_text(req, 415, "Expecting 'Content-Type' of application/x-protobuf");
        return;
    }
    peer_new(s, PEER_AGENT, req, false);
    http_respond_begin(req, 200, "application/x-protobuf");
    http_request_stream(req, on_data, on_end);
}
