#include "auth/jwt.h"
#include "base/arena.h"
#include "router/head.h"
#include "router/nginx/module.h"

#include <openssl/sha.h>

/*
 * Tokens. A signature costs some 30 microseconds to verify, so tokens that were verified are kept
 * together with their claims that count (a digest of them would cost a microsecond a request). What
 * may change is looked at for every request: the expiry, whether the user is there and the token
 * not revoked (a row of the policy table). Other keys empty the cache.
 */

enum { CACHE_BITS = 11, KEPT_TOKEN_MAX = 2048, UID_MAX = 96 };

struct cached {
    u_char *token;
    size_t n, room;
    int64_t expires_s, issued_us;
    uint64_t keys; /* number of the set of keys that verified it; 0 = empty */
    char uid[UID_MAX + 1];
};

/* Of this worker. */
static struct cached *g_cache;
static struct jwt_keys *g_keys;
static u_char g_keys_digest[SHA256_DIGEST_LENGTH];
static uint64_t g_keys_number, g_keys_generation;

/* Keys come first in the policy table. */
static void keys_refresh(const struct table_view *policy)
{
    if (g_keys && g_keys_generation == table_view_generation(policy))
        return;
    g_keys_generation = table_view_generation(policy);
    SHA256_CTX hash;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    SHA256_Init(&hash);
    size_t pos = 0;
    struct str key, value;
    while (table_next(policy, &pos, &key, &value) && str_has_prefix(key, STR("k:")))
        SHA256_Update(&hash, value.p, value.n);
    u_char digest[SHA256_DIGEST_LENGTH];
    SHA256_Final(digest, &hash);
#pragma GCC diagnostic pop
    if (g_keys && memcmp(digest, g_keys_digest, sizeof(digest)) == 0)
        return;
    memcpy(g_keys_digest, digest, sizeof(digest));
    if (g_keys)
        jwt_keys_free(g_keys);
    g_keys = jwt_keys_new();
    g_keys_number++;
    pos = 0;
    while (table_next(policy, &pos, &key, &value) && str_has_prefix(key, STR("k:"))) {
        struct error err = ERROR_INIT;
        if (jwt_keys_add_pem(g_keys, value.p, value.n, &err) < 0)
            ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                "a key of the policy is unusable: %s, ignoring", err.msg);
    }
}

static struct str view(const ngx_str_t *s)
{
    return (struct str){(const char *)s->data, s->len};
}

static const char auth_cookie[] = "dcos-acs-auth-cookie";

static bool find_token(ngx_http_request_t *r, struct router_request *ctx)
{
    struct str token = {0};
    if (r->headers_in.authorization) {
        if (!head_token(view(&r->headers_in.authorization->value), &token))
            return false;
    } else {
        HEADER_FOREACH(r, cookie, cookies, h)
        {
            if (!ctx->from_cookie)
                ctx->from_cookie = head_cookie(view(&h->value), auth_cookie, &token);
        }
    }
    ctx->token.data = (u_char *)(uintptr_t)token.p;
    ctx->token.len = token.n;
    return token.n > 0;
}

/* A signature is as good as random, so its end chooses the place. */
static struct cached *place_of(const ngx_str_t *token)
{
    uint64_t end;
    memcpy(&end, token->data + token->len - sizeof(end), sizeof(end));
    return &g_cache[(end * UINT64_C(0x9e3779b97f4a7c15)) >> (64 - CACHE_BITS)];
}

/* How long it takes tells nothing about where they differ. */
static bool same_bytes(const u_char *a, const u_char *b, size_t n)
{
    uint64_t differ = 0;
    for (; n >= sizeof(differ); a += sizeof(differ), b += sizeof(differ), n -= sizeof(differ)) {
        uint64_t x, y;
        memcpy(&x, a, sizeof(x));
        memcpy(&y, b, sizeof(y));
        differ |= x ^ y;
    }
    for (; n; n--)
        differ |= *a++ ^ *b++;
    return differ == 0;
}

static bool copy_token(struct cached *c, const ngx_str_t *token, ngx_log_t *log)
{
    if (c->room < token->len) {
        u_char *fresh = ngx_alloc(token->len, log);
        if (!fresh)
            return false;
        ngx_free(c->token);
        c->token = fresh;
        c->room = token->len;
    }
    memcpy(c->token, token->data, token->len);
    c->n = token->len;
    return true;
}

static const struct cached *verify(ngx_http_request_t *r, const ngx_str_t *token, const char **why)
{
    ngx_log_t *log = r->connection->log;
    if (!g_cache) {
        g_cache = ngx_calloc(((size_t)1 << CACHE_BITS) * sizeof(*g_cache), log);
        if (!g_cache)
            return NULL;
    }
    /* What is too short for a token fails below; what is very long is verified each time. */
    static struct cached passing;
    const bool kept = token->len >= sizeof(uint64_t) && token->len <= KEPT_TOKEN_MAX;
    struct cached *c = kept ? place_of(token) : &passing;
    if (kept && c->keys == g_keys_number && c->n == token->len &&
        same_bytes(c->token, token->data, token->len))
        return c;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct jwt jwt;
    struct error err = ERROR_INIT;
    if (jwt_verify(g_keys, view(token), ngx_time(), &arena, &jwt, &err) < 0) {
        ngx_log_error(NGX_LOG_INFO, log, 0, "Invalid token. Reason: %s", err.msg);
        *why = NULL;
        return NULL;
    }
    const char *uid = NULL;
    for (size_t i = 0; i < jwt.n_claims; i++) {
        if (streq(jwt.claims[i].name, "uid"))
            uid = jwt.claims[i].value;
    }
    if (!jwt.asymmetric || !uid || !*uid || strlen(uid) > UID_MAX) {
        *why = "Missing uid";
        return NULL;
    }
    if (kept && !copy_token(c, token, log))
        return NULL;
    c->expires_s = jwt.expires_s;
    c->issued_us = jwt.issued_us;
    c->keys = g_keys_number;
    memcpy(c->uid, uid, strlen(uid) + 1);
    return c;
}

static const struct policy_row *user_row(const struct table_view *policy, const char *uid, size_t n)
{
    char key[UID_MAX + 3] = "u:";
    if (n > UID_MAX)
        return NULL;
    memcpy(key + 2, uid, n);
    return table_get(policy, key, n + 2, NULL);
}

static bool counts(const struct policy_row *row, const struct cached *c)
{
    return row && (!row->revoked_before_us || c->issued_us >= row->revoked_before_us);
}

ngx_int_t identity_check(ngx_http_request_t *r, struct router_request *ctx)
{
    if (!find_token(r, ctx)) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0, "No auth token in request.");
        return NGX_HTTP_UNAUTHORIZED;
    }
    struct table_reader *tables = router_tables(r);
    const struct table_view *policy = tables ? table_current(tables, TABLE_POLICY) : NULL;
    if (!policy) {
        ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
            "no keys of the identity service are known yet: every token is refused");
        return NGX_HTTP_UNAUTHORIZED;
    }
    keys_refresh(policy);
    const char *why = "no memory";
    const struct cached *c = verify(r, &ctx->token, &why);
    if (c && c->expires_s && c->expires_s <= ngx_time()) {
        c = NULL;
        why = "expired";
    }
    if (c && !counts(user_row(policy, c->uid, strlen(c->uid)), c)) {
        c = NULL;
        why = "its user is unknown or it was revoked";
    }
    if (!c) {
        if (why)
            ngx_log_error(NGX_LOG_INFO, r->connection->log, 0, "Invalid token. Reason: %s", why);
        return NGX_HTTP_UNAUTHORIZED;
    }
    ctx->uid.len = strlen(c->uid);
    ctx->uid.data = ngx_pnalloc(r->pool, ctx->uid.len + 1);
    if (!ctx->uid.data)
        return NGX_ERROR;
    memcpy(ctx->uid.data, c->uid, ctx->uid.len + 1);
    return NGX_OK;
}

bool identity_may(ngx_http_request_t *r, const ngx_str_t *uid, const char *rid, size_t n)
{
    struct table_reader *tables = router_tables(r);
    const struct table_view *policy = tables ? table_current(tables, TABLE_POLICY) : NULL;
    const struct policy_row *row = policy ? user_row(policy, (const char *)uid->data, uid->len)
                                          : NULL;
    if (!row)
        return false;
    if (row->superuser)
        return true;
    const char *entry = row->rids;
    for (uint32_t i = 0; i < row->n_rids; i++, entry += strlen(entry) + 1) {
        if (head_covers(entry, (struct str){rid, n}))
            return true;
    }
    return false;
}
