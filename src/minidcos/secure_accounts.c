/* The service accounts of a secure cluster: their keys, and what they may do. */

#include <errno.h>

#include "auth/credentials.h"
#include "auth/rsa.h"
#include "auth/service_account.h"
#include "base/clock.h"
#include "base/file.h"
#include "console/request.h"
#include "json/json.h"
#include "json/writer.h"
#include "minidcos/secure.h"

enum { PERMISSIONS_MAX = 8 };
#define MASTER "dcos:mesos:master:"
#define MARATHON "dcos:service:marathon:marathon:"
#define POLICY                                                                                     \
    {                                                                                              \
        "dcos:iam:policy", "read"                                                                  \
    }
#define LOGIN_PATH "/acs/api/v1/auth/login"

static const char OPERATOR[] = "operator";

static const struct account {
    const char *uid, *description;
    struct {
        const char *rid, *action;
    } permissions[PERMISSIONS_MAX];
} accounts[] = {
    {OPERATOR, "Whoever runs this cluster", {{"dcos:superuser", "full"}}},
    {"dcos_master", "Masters", {POLICY}},
    {"dcos_agent", "Agents", {{MASTER "agent", "create"}, POLICY}},
    {"dcos_marathon", "Marathon",
        {{MASTER "framework:role", "create"}, {MASTER "task:user", "create"},
            {MASTER "reservation:role", "create"}, {MASTER "reservation:principal", "delete"},
            {MASTER "volume:role", "create"}, {MASTER "volume:principal", "delete"}, POLICY}},
    {"dcos_router", "Routers",
        {{MASTER "framework:role", "read"}, {MARATHON "services:/", "read"},
            {MARATHON "admin:events", "read"}, {MARATHON "admin:leader", "read"}, POLICY}},
    {"dcos_net", "Names", {{MASTER "framework:role", "read"}, {MASTER "task:app_id", "read"}}},
};

const char *account_of(enum daemon_kind kind)
{
    switch (kind) {
    case DAEMON_MASTER:
        return "dcos_master";
    case DAEMON_AGENT:
    case DAEMON_PUBLIC_AGENT:
        return "dcos_agent";
    case DAEMON_MARATHON:
        return "dcos_marathon";
    case DAEMON_ROUTER:
        return "dcos_router";
    case DAEMON_NET:
        return "dcos_net";
    case DAEMON_IAM:
    case DAEMON_ZOOKEEPER:
        break;
    }
    return NULL;
}

static int write_secret(
    const struct cluster *c, const char *uid, const char *private_pem, struct error *err)
{
    const struct daemon *iam = cluster_first(c, DAEMON_IAM);
    _cleanup_free_ char *path = xasprintf("%s/secrets/%s.json", c->dir, uid);
    _cleanup_free_ char *base = cluster_url(c, iam);
    _cleanup_free_ char *endpoint = xasprintf("%s%s", base, LOGIN_PATH);
    _cleanup_secret_ struct buf text = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &text);
    jw_begin_object(&w);
    jw_field_string(&w, "scheme", "RS256");
    jw_field_string(&w, "uid", uid);
    jw_field_string(&w, "login_endpoint", endpoint);
    jw_field_string(&w, "private_key", private_pem);
    jw_end_object(&w);
    return file_write_atomic(path, text.p, text.n, 0600, err);
}

static void write_account(struct json_writer *w, const struct account *a, const char *public_pem)
{
    jw_begin_object(w);
    jw_field_string(w, "uid", a->uid);
    jw_field_string(w, "description", a->description);
    jw_field_string(w, "public_key", public_pem);
    jw_key(w, "permissions");
    jw_begin_object(w);
    for (size_t i = 0; i < PERMISSIONS_MAX && a->permissions[i].rid; i++) {
        jw_key(w, a->permissions[i].rid);
        jw_begin_array(w);
        jw_string(w, a->permissions[i].action);
        jw_end_array(w);
    }
    jw_end_object(w);
    jw_end_object(w);
}

int accounts_create(const struct cluster *c, struct error *err)
{
    _cleanup_free_ char *path = cluster_path(c, "secrets/accounts.json");
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct json_writer w;
    int r = 0;
    jw_init(&w, &text);
    jw_begin_object(&w);
    jw_key(&w, "accounts");
    jw_begin_array(&w);
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(accounts); i++) {
        char *public_pem, *private_pem, kid[RSA_KID_SIZE];
        r = rsa_generate(&public_pem, &private_pem, kid, err);
        if (r < 0)
            break;
        write_account(&w, &accounts[i], public_pem);
        r = write_secret(c, accounts[i].uid, private_pem, err);
        free(public_pem);
        rsa_wipe(private_pem);
    }
    jw_end_array(&w);
    jw_end_object(&w);
    return r == 0 ? file_write_atomic(path, text.p, text.n, 0600, err) : r;
}

int accounts_log_in(const struct cluster *c, struct requester *http, char **ret, struct error *err)
{
    _cleanup_free_ char *path = xasprintf("%s/secrets/%s.json", c->dir, OPERATOR);
    _cleanup_secret_ struct buf text = BUF_INIT, token = BUF_INIT, body = BUF_INIT;
    _cleanup_json_ json_t *secret = NULL, *answer = NULL;
    struct reply reply = {0};
    int r = file_read(path, SECRET_FILE_MAX, &text, err);
    if (r == 0)
        r = json_parse(buf_cstr(&text), text.n, &secret, err);
    if (r == 0)
        r = service_token_make(str_of(json_str_at(secret, "private_key", "")), OPERATOR,
            clock_realtime_us() / USEC_PER_SEC, &token, err);
    if (r < 0)
        return r;
    /* Neither of them needs an escape. */
    buf_printf(&body, "{\"uid\":\"%s\",\"token\":\"%s\"}", OPERATOR, buf_cstr(&token));
    const struct request req = {.method = "POST",
        .url = json_str_at(secret, "login_endpoint", ""),
        .body = body.p,
        .body_n = body.n};
    r = requester_send(http, &req, &reply, err);
    if (r < 0) {
        r = -EAGAIN;
    } else if (reply.status != 200 ||
               json_parse(buf_cstr(&reply.body), reply.body.n, &answer, NULL) < 0 ||
               !json_str_at(answer, "token", NULL)) {
        r = error_set(err, -EAGAIN, "the identity service does not let %s in (status %d)", OPERATOR,
            reply.status);
    } else {
        *ret = xstrdup(json_str_at(answer, "token", NULL));
    }
    reply_done(&reply);
    return r;
}
