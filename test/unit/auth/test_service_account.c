/* A service account against an identity service made of our own HTTP server, on one loop. */

#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "auth/jwt.h"
#include "auth/login.h"
#include "auth/rsa.h"
#include "auth/service_account.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "http/server.h"
#include "json/writer.h"

enum { STEPS = 100000 };

static char g_dir[32];
static char *g_public, *g_private, *g_other_public, *g_other_private;

struct iam {
    struct loop *loop;
    struct http_server *server;
    uint16_t port;
    const char *knows;    /* public key of the account; NULL: there is none */
    int life_s;           /* of its tokens */
    int status;           /* instead of a token, when not 0 */
    int logins, refusals; /* so far */
    char last[JWT_TEXT_MAX];
};

static bool is_known(const struct iam *m, struct http_request *req, const char *token)
{
    _cleanup_(jwt_keys_freep)
    struct jwt_keys *keys = jwt_keys_new();
    struct jwt jwt;
    if (!m->knows)
        return false;
    assert_int_equal(jwt_keys_add_pem(keys, m->knows, strlen(m->knows), NULL), 0);
    int64_t now_s = clock_realtime_us() / USEC_PER_SEC;
    if (jwt_verify(keys, str_of(token), now_s, &req->arena, &jwt, NULL) < 0)
        return false;
    const struct auth_subject who = {.claims = jwt.claims, .n_claims = jwt.n_claims};
    return streq(auth_claim_get(&who, "uid"), "robot") && jwt.expires_s <= now_s + 300;
}

static void on_body(struct http_request *req)
{
    struct iam *m = req->userdata;
    _cleanup_json_ json_t *body = NULL;
    assert_int_equal(json_parse(req->body.p, req->body.n, &body, NULL), 0);
    assert_true(str_eq_c(req->path, "/acs/api/v1/auth/login"));
    assert_string_equal(json_str_at(body, "uid", ""), "robot");
    int status = m->status                                          ? m->status
                 : is_known(m, req, json_str_at(body, "token", "")) ? 200
                                                                    : 401;
    if (status != 200) {
        m->refusals++;
        http_respond_text(req, status, "no");
        return;
    }
    m->logins++;
    char claims[128];
    int64_t now_s = clock_realtime_us() / USEC_PER_SEC;
    (void)snprintf(claims, sizeof(claims), "{\"uid\":\"robot\",\"n\":%d,\"iat\":%lld,\"exp\":%lld}",
        m->logins, (long long)now_s, (long long)now_s + m->life_s);
    _cleanup_buf_ struct buf token = BUF_INIT, answer = BUF_INIT;
    jwt_make_hs256("any", 3, str_of(claims), &token);
    (void)snprintf(m->last, sizeof(m->last), "Bearer %s", buf_cstr(&token));
    buf_printf(&answer, "{\"token\":\"%s\"}", buf_cstr(&token));
    http_respond(req, 200, "application/json", answer.p, answer.n);
}

static void handle(struct http_request *req, void *userdata)
{
    req->userdata = userdata;
    http_request_collect(req, 0, on_body);
}

static void begin(struct iam *m, int life_s)
{
    *m = (struct iam){.loop = loop_new(), .knows = g_public, .life_s = life_s};
    m->server = http_server_new(m->loop, NULL, handle, m);
    assert_int_equal(http_server_listen(m->server, "127.0.0.1", 0, NULL, &m->port, NULL), 0);
}

static void end(struct iam *m)
{
    http_server_free(m->server);
    loop_free(m->loop);
}

static char *secret(const struct iam *m, const char *key)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct json_writer w;
    _cleanup_free_ char *url = xasprintf("http://127.0.0.1:%u/acs/api/v1/auth/login", m->port);
    jw_init(&w, &text);
    jw_begin_object(&w);
    jw_field_string(&w, "scheme", "RS256");
    jw_field_string(&w, "uid", "robot");
    jw_field_string(&w, "login_endpoint", url);
    jw_field_string(&w, "private_key", key);
    jw_end_object(&w);
    char *path = path_join(g_dir, "secret.json");
    assert_int_equal(file_write_atomic(path, text.p, text.n, 0600, NULL), 0);
    return path;
}

#define run_until(m, condition)                                                                    \
    do {                                                                                           \
        int steps = 0;                                                                             \
        while (!(condition) && steps++ < STEPS)                                                    \
            loop_run_once((m)->loop, true);                                                        \
        assert_true(condition);                                                                    \
    } while (0)

struct watcher {
    struct login_watch watch;
    int told;
};

static void on_token(struct login_watch *w)
{
    container_of(w, struct watcher, watch)->told++;
}

static void logs_in_and_renews(void **state)
{
    (void)state;
    struct iam m;
    begin(&m, 2);
    _cleanup_free_ char *path = secret(&m, g_private);
    struct login *l;
    struct watcher w = {0};
    bool exposed = true;
    assert_int_equal(login_new_service(m.loop, path, NULL, &l, &exposed, NULL), 0);
    assert_false(exposed);
    assert_string_equal(login_principal(l), "robot");
    login_watch(l, &w.watch, on_token);
    assert_false(login_ready(l));
    run_until(&m, w.told == 1);
    assert_true(login_ready(l));
    _cleanup_buf_ struct buf shown = BUF_INIT;
    login_header(l, &shown);
    assert_string_equal(buf_cstr(&shown), m.last);
    /* With a fourth of the token's life left. */
    int64_t start = clock_monotonic_us();
    run_until(&m, w.told == 2);
    int64_t waited = clock_monotonic_us() - start;
    assert_in_range(waited, 1400 * USEC_PER_MSEC, 60 * USEC_PER_SEC);
    _cleanup_buf_ struct buf again = BUF_INIT;
    login_header(l, &again);
    assert_string_equal(buf_cstr(&again), m.last);
    assert_string_not_equal(buf_cstr(&again), buf_cstr(&shown));
    login_unwatch(&w.watch);
    login_free(l);
    end(&m);
}

struct told {
    int tokens;
};

static void count(void *userdata)
{
    ((struct told *)userdata)->tokens++;
}

static struct service_account *account(
    struct iam *m, const char *path, struct told *t, int64_t refused_pause_us)
{
    const struct service_account_options o = {.loop = m->loop,
        .file = path,
        .on_token = count,
        .userdata = t,
        .pause_us = USEC_PER_MSEC,
        .refused_pause_us = refused_pause_us};
    struct service_account *a;
    bool exposed;
    assert_int_equal(service_account_new(&o, &a, &exposed, NULL), 0);
    return a;
}

/* The service may come up later, and go away for a while. */
static void service_is_down(void **state)
{
    (void)state;
    struct iam m;
    begin(&m, 2);
    _cleanup_free_ char *path = secret(&m, g_private);
    struct told t = {0};
    http_server_free(m.server);
    struct service_account *a = account(&m, path, &t, USEC_PER_MSEC);
    int64_t until = clock_monotonic_us() + 50 * USEC_PER_MSEC;
    run_until(&m, clock_monotonic_us() > until);
    assert_null(service_account_token(a));
    m.server = http_server_new(m.loop, NULL, handle, &m);
    assert_int_equal(http_server_listen(m.server, "127.0.0.1", m.port, NULL, &m.port, NULL), 0);
    run_until(&m, t.tokens == 1);
    m.status = 503;
    run_until(&m, m.refusals >= 3);
    assert_non_null(service_account_token(a)); /* the old one is all there is */
    m.status = 0;
    run_until(&m, t.tokens == 2);
    service_account_free(a);
    end(&m);
}

/* A key that was rotated counts when it is in the file; an account that was removed when it is made
 * again. */
static void key_and_account_change(void **state)
{
    (void)state;
    struct iam m;
    begin(&m, 1000);
    _cleanup_free_ char *path = secret(&m, g_private);
    struct told t = {0};
    m.knows = g_other_public;
    struct service_account *a = account(&m, path, &t, USEC_PER_MSEC);
    run_until(&m, m.refusals >= 2);
    assert_null(service_account_token(a));
    free(secret(&m, g_other_private));
    run_until(&m, t.tokens == 1);
    service_account_free(a);
    m.knows = NULL;
    m.refusals = 0;
    a = account(&m, path, &t, USEC_PER_MSEC);
    run_until(&m, m.refusals >= 2);
    m.knows = g_other_public;
    run_until(&m, t.tokens == 2);
    service_account_free(a);
    end(&m);
}

/* A token that somebody refuses is replaced, not more often than every few seconds. */
static void refused_token(void **state)
{
    (void)state;
    struct iam m;
    begin(&m, 1000);
    _cleanup_free_ char *path = secret(&m, g_private);
    struct told t = {0};
    struct service_account *a = account(&m, path, &t, 400 * USEC_PER_MSEC);
    service_account_refused(a); /* there is none yet */
    run_until(&m, t.tokens == 1);
    for (int i = 1; i <= 2; i++) {
        int64_t start = clock_monotonic_us();
        while (t.tokens == i && clock_monotonic_us() - start < 60 * USEC_PER_SEC) {
            service_account_refused(a);
            loop_run_once(m.loop, false);
        }
        assert_int_equal(t.tokens, i + 1);
        assert_in_range(clock_monotonic_us() - start, i * 390 * USEC_PER_MSEC, 60 * USEC_PER_SEC);
    }
    assert_int_equal(m.logins, 3);
    service_account_free(a);
    end(&m);
}

static void wrong_files(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "x", "{}", "[]",
        "{\"uid\":\"u\",\"private_key\":\"PRIVATE\"}",
        "{\"uid\":\"\",\"private_key\":\"PRIVATE\",\"login_endpoint\":\"http://h/\"}",
        "{\"uid\":\"u\",\"private_key\":\"PRIVATE\",\"login_endpoint\":\"http://h/\"}",
        "{\"uid\":\"u\",\"private_key\":\"PRIVATE\",\"login_endpoint\":\"ftp://h/\"}",
        "{\"scheme\":\"H\",\"uid\":\"u\",\"private_key\":\"P\",\"login_endpoint\":\"http://h/\"}"};
    struct loop *loop = loop_new();
    _cleanup_free_ char *path = path_join(g_dir, "wrong.json");
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct login *l = NULL;
        bool exposed;
        struct error err = ERROR_INIT;
        assert_int_equal(file_write_atomic(path, texts[i], strlen(texts[i]), 0600, NULL), 0);
        assert_true(login_new_service(loop, path, NULL, &l, &exposed, &err) < 0);
        assert_null(l);
        assert_non_null(strstr(err.msg, path));
        assert_null(strstr(err.msg, "PRIVATE"));
    }
    struct login *l = NULL;
    bool exposed;
    const struct login_files two = {.token = path, .service_account = path};
    assert_int_equal(login_open(loop, &two, NULL, &l, &exposed, NULL), -EINVAL);
    loop_free(loop);
}

static void login_tokens(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf token = BUF_INIT;
    assert_int_equal(service_token_make(str_of(g_private), "robot", 1000, &token, NULL), 0);
    struct arena arena = ARENA_INIT;
    struct jwt_keys *keys = jwt_keys_new();
    struct jwt jwt;
    assert_int_equal(jwt_keys_add_pem(keys, g_public, strlen(g_public), NULL), 0);
    assert_int_equal(jwt_verify(keys, buf_str(&token), 1000, &arena, &jwt, NULL), 0);
    assert_true(jwt.asymmetric);
    assert_string_equal(jwt.payload, "{\"uid\":\"robot\",\"exp\":1300}");
    assert_int_equal(jwt_verify(keys, buf_str(&token), 1300, &arena, &jwt, NULL), -EACCES);
    struct error err = ERROR_INIT;
    assert_true(service_token_make(str_of(g_public), "robot", 1000, &token, &err) < 0);
    assert_null(strstr(err.msg, "BEGIN"));
    jwt_keys_free(keys);
    arena_done(&arena);
}

static int set_up(void **state)
{
    (void)state;
    char kid[RSA_KID_SIZE];
    (void)snprintf(g_dir, sizeof(g_dir), "/tmp/test-account-XXXXXX");
    assert_non_null(mkdtemp(g_dir));
    assert_int_equal(rsa_generate(&g_public, &g_private, kid, NULL), 0);
    assert_int_equal(rsa_generate(&g_other_public, &g_other_private, kid, NULL), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rsa_wipe(g_private);
    rsa_wipe(g_other_private);
    free(g_public);
    free(g_other_public);
    return remove_tree(g_dir, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logs_in_and_renews),
        cmocka_unit_test(service_is_down),
        cmocka_unit_test(key_and_account_change),
        cmocka_unit_test(refused_token),
        cmocka_unit_test(wrong_files),
        cmocka_unit_test(login_tokens),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
