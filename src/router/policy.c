#include "auth/policy.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "http/recordio.h"
#include "router/router.h"

/*
 * Follows the identity service: documents, then changes. The table is published when the service
 * said that all was told, and after that once per batch of changes. While it cannot be reached the
 * last table stays: tokens verify, and new logins are the service's to refuse.
 */

#define SILENCE_US (20 * USEC_PER_SEC) /* it says something every five seconds */

struct policy_follower {
    struct router *router;
    struct retry retry;
    struct http_call *call;
    struct login_watch login;
    struct recordio_decoder decoder;
    struct policy policy;
    struct deferred publish;
    bool synced, broken;
};

/* What the router's rules may ask for: its own resources, and those that cover them. */
static bool concerns_router(const char *rid)
{
    static const char own[] = "dcos:adminrouter";
    const size_t n = strlen(rid);
    if (has_prefix(rid, own))
        return rid[sizeof(own) - 1] == '\0' || rid[sizeof(own) - 1] == ':';
    return n < sizeof(own) - 1 && strncmp(rid, own, n) == 0 && own[n] == ':';
}

struct grants {
    struct buf rids;
    uint32_t n;
    bool superuser;
};

static void grant(struct map *users, const char *uid, const char *rid, bool superuser)
{
    struct grants *g = map_get(users, uid);
    if (!g)
        return;
    if (superuser) {
        g->superuser = true;
    } else if (g->rids.n + strlen(rid) + 1 < TABLE_VALUE_MAX / 2) {
        buf_append(&g->rids, rid, strlen(rid) + 1);
        g->n++;
    }
}

static void grant_acl(struct map *users, const struct policy *p, const struct policy_acl *a)
{
    const bool superuser = streq(a->rid, "dcos:superuser");
    if (!superuser && !concerns_router(a->rid))
        return;
    const unsigned any = POLICY_CREATE | POLICY_READ | POLICY_UPDATE | POLICY_DELETE | POLICY_FULL;
    const unsigned needed = superuser ? any : POLICY_FULL;
    MAP_FOREACH (e, &a->users) {
        const struct policy_entry *entry = e->value;
        if (entry->actions & needed)
            grant(users, e->key, a->rid, superuser);
    }
    MAP_FOREACH (e, &a->groups) {
        const struct policy_entry *entry = e->value;
        const struct policy_group *group = map_get(&p->groups, e->key);
        if (!group || !(entry->actions & needed))
            continue;
        MAP_FOREACH (member, &group->members)
            grant(users, member->key, a->rid, superuser);
    }
}

static void add_user(struct table_builder *b, const struct policy_user *u, struct grants *g)
{
    _cleanup_buf_ struct buf row = BUF_INIT, key = BUF_INIT;
    const struct policy_row head = {
        .revoked_before_us = u->revoked_before_us, .superuser = g->superuser, .n_rids = g->n};
    buf_append(&row, &head, sizeof(head));
    buf_append(&row, g->rids.p, g->rids.n);
    buf_printf(&key, "u:%s", u->uid);
    if (table_add(b, buf_cstr(&key), row.p, row.n) < 0)
        log_warn("too many permissions, the user has none at the router user=%s", u->uid);
}

static void publish(struct deferred *d)
{
    struct policy_follower *f = container_of(d, struct policy_follower, publish);
    if (!f->synced)
        return;
    struct table_builder b = {0};
    /* Keys come first: the module reads them up to the first user. */
    MAP_FOREACH (e, &f->policy.keys) {
        const struct policy_public_key *k = e->value;
        _cleanup_buf_ struct buf key = BUF_INIT;
        buf_printf(&key, "k:%s", k->kid);
        (void)table_add(&b, buf_cstr(&key), k->pem, strlen(k->pem)); /* its size is IAM's limit */
    }
    struct map users = MAP_INIT;
    MAP_FOREACH (e, &f->policy.users)
        map_put(&users, e->key, xnew(struct grants));
    MAP_FOREACH (e, &f->policy.acls)
        grant_acl(&users, &f->policy, e->value);
    MAP_FOREACH (e, &users) {
        struct grants *g = e->value;
        add_user(&b, map_get(&f->policy.users, e->key), g);
        buf_done(&g->rids);
        free(g);
    }
    map_done(&users);
    struct error err = ERROR_INIT;
    if (table_publish(f->router->tables, TABLE_POLICY, 0, &b, &err) < 0)
        log_error("the policy is not published, the last one stays error=%s", err.msg);
    table_builder_done(&b);
}

static bool on_record(const char *p, size_t n, void *userdata)
{
    struct policy_follower *f = userdata;
    _cleanup_json_ json_t *record = NULL;
    struct error err = ERROR_INIT;
    if (json_parse(p, n, &record, &err) < 0) {
        log_warn("identity service: a record is not JSON error=%s", err.msg);
        f->broken = true;
        return false;
    }
    const char *key = json_str_at(record, "key", NULL);
    if (key) {
        const json_t *value = json_object_get(record, "value");
        if (policy_apply(&f->policy, key, json_is_null(value) ? NULL : value, &err) < 0)
            log_warn("identity service: a document is not understood, ignoring key=%s error=%s",
                key, err.msg);
        else if (f->synced)
            loop_defer(f->router->loop, &f->publish);
    } else if (json_bool_at(record, "synced", false)) {
        f->synced = true;
        retry_worked(&f->retry);
        log_info("following the identity service users=%zu", map_size(&f->policy.users));
        loop_defer(f->router->loop, &f->publish);
    }
    return true;
}

static void on_data(struct http_call *call, const char *p, size_t n, void *userdata)
{
    struct policy_follower *f = userdata;
    struct error err = ERROR_INIT;
    if (recordio_decode(&f->decoder, p, n, on_record, f, &err) < 0 || f->broken) {
        log_warn("identity service: the stream broke error=%s", err.msg);
        http_call_cancel(call);
        f->call = NULL;
        retry_later(&f->retry);
    }
}

static void on_response(struct http_call *call, const struct http_response *res, void *userdata)
{
    struct policy_follower *f = userdata;
    if (res->status == 200)
        return;
    if (!f->retry.told)
        log_warn("identity service refuses to be followed status=%d; it wants a superuser's token "
                 "(--token_file, --service_account) or its unix socket (--iam_socket)",
            res->status);
    f->retry.told = true;
    if (res->status == 401)
        login_refused(f->router->login);
    http_call_cancel(call);
    f->call = NULL;
    retry_later(&f->retry);
}

static void on_done(struct http_call *call, int status, const char *error,
    const struct http_response *res, void *userdata)
{
    struct policy_follower *f = userdata;
    f->call = NULL;
    if (!f->retry.told)
        log_warn("identity service is not followed, known tokens go on to verify error=%s",
            error ? error : "the stream ended");
    f->retry.told = true;
    retry_later(&f->retry);
}

static void begin(struct timer *t)
{
    struct policy_follower *f = container_of(t, struct policy_follower, retry.timer);
    struct router *r = f->router;
    struct host_port to;
    if (!r->options.iam_socket && !login_ready(r->login))
        return; /* on_login() begins */
    recordio_decoder_done(&f->decoder);
    recordio_decoder_init(&f->decoder, ROUTER_POLICY_RECORD_MAX);
    policy_done(&f->policy);
    f->policy = (struct policy)POLICY_INIT;
    f->synced = f->broken = false;
    deferred_cancel(&f->publish);
    _cleanup_buf_ struct buf shown = BUF_INIT;
    if (!r->options.iam_socket)
        login_header(r->login, &shown);
    const struct http_header headers[] = {
        {STR("User-Agent"), STR("Master Admin Router")}, {STR("Authorization"), buf_str(&shown)}};
    struct http_call_options o = {.method = "GET",
        .target = "/acs/api/v1/internal/policy",
        .headers = headers,
        .n_headers = shown.n ? 2 : 1,
        .idle_timeout_us = SILENCE_US,
        .fresh = true};
    if (r->options.iam_socket) {
        o.unix_path = r->options.iam_socket;
    } else {
        (void)host_port_parse(str_of(r->options.backends[BACKEND_IAM]), &to); /* checked at start */
        o.host = to.host;
        o.port = to.port;
        o.tls = to.tls;
    }
    static const struct http_call_handlers handlers = {
        .on_response = on_response, .on_data = on_data, .on_done = on_done};
    f->call = http_call_start(r->http, &o, &handlers, f);
}

static void on_login(struct login_watch *w)
{
    struct policy_follower *f = container_of(w, struct policy_follower, login);
    if (!f->call)
        timer_start(&f->retry.timer, 0);
}

struct policy_follower *policy_follower_new(struct router *r)
{
    struct policy_follower *f = xnew(struct policy_follower);
    f->router = r;
    deferred_init(&f->publish, publish);
    recordio_decoder_init(&f->decoder, ROUTER_POLICY_RECORD_MAX);
    retry_init(&f->retry, r, begin);
    login_watch(r->login, &f->login, on_login);
    timer_start(&f->retry.timer, 0);
    return f;
}

void policy_follower_free(struct policy_follower *f)
{
    if (!f)
        return;
    login_unwatch(&f->login);
    timer_stop(&f->retry.timer);
    deferred_cancel(&f->publish);
    if (f->call)
        http_call_cancel(f->call);
    recordio_decoder_done(&f->decoder);
    policy_done(&f->policy);
    free(f);
}
