#include <string.h>

#include "iam/shell.h"

/* /auth: open to everybody. /internal: for the other daemons of the cluster. */

static void jwks(struct iam_call *c)
{
    _cleanup_buf_ struct buf body = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &body);
    keys_write_jwks(c->iam, &w);
    call_document(c, 200, &body);
}

static void write_provider(struct json_writer *w, const char *id, const char *type,
    const char *method, const char *url, const char *description)
{
    jw_key(w, id);
    jw_begin_object(w);
    jw_field_string(w, "authentication-type", type);
    jw_field_string(w, "client-method", method);
    jw_key(w, "config");
    jw_begin_object(w);
    jw_field_string(w, "start_flow_url", url);
    jw_end_object(w);
    jw_field_string(w, "description", description);
    jw_end_object(w);
}

static void write_oidc(const char *id, const char *description, void *userdata)
{
    _cleanup_buf_ struct buf url = BUF_INIT;
    buf_puts(&url, "/acs/api/v1/auth/login?oidc-provider=");
    http_escape(&url, str_of(id));
    buf_puts(&url, "&target=dcos:authenticationresponse:html");
    write_provider(userdata, id, "oidc-authorization-code-flow", "browser-prompt-authtoken",
        buf_cstr(&url), description);
}

static void providers(struct iam_call *c)
{
    static const char login[] = "/acs/api/v1/auth/login";
    _cleanup_buf_ struct buf body = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &body);
    jw_begin_object(&w);
    write_provider(&w, "dcos-services", "dcos-uid-servicekey",
        "dcos-servicecredential-post-receive-authtoken", login, "Default DC/OS service provider");
    write_provider(&w, "dcos-users", "dcos-uid-password",
        "dcos-usercredential-post-receive-authtoken", login, "Default DC/OS login provider");
    oidc_each(c->iam, write_oidc, &w);
    jw_end_object(&w);
    call_document(c, 200, &body);
}

void auth_handle(struct iam_call *c)
{
    enum http_method m = c->req->method;
    bool reads = m == HTTP_GET || m == HTTP_HEAD;
    const char *what = c->n_seg >= 2 ? c->seg[1] : "";
    if (streq(what, "login") && c->n_seg == 2) {
        if (m == HTTP_POST)
            login_post(c);
        else if (reads)
            oidc_login(c);
        else
            call_not_allowed(c, "GET, POST");
    } else if (streq(what, "logout") && c->n_seg == 2) {
        login_logout(c);
    } else if (streq(what, "jwks") && c->n_seg == 2 && reads) {
        jwks(c);
    } else if (streq(what, "providers") && c->n_seg == 2 && reads) {
        providers(c);
    } else if (streq(what, "oidc") && c->n_seg >= 3) {
        oidc_providers(c);
    } else {
        call_refuse(c, 404, "ERR_NOT_FOUND", "There is nothing at this path");
    }
}

/* GET /internal/policyquery?uid=&rid=&action= */
static void policy_query(struct iam_call *c)
{
    struct str uid = http_request_param(c->req, "uid"), rid = http_request_param(c->req, "rid"),
               action = http_request_param(c->req, "action");
    unsigned bit = policy_action_parse(action);
    if (!uid.n || !rid.n || rid.n > POLICY_RID_MAX || !bit) {
        call_refuse(c, 400, "ERR_INVALID_DATA",
            "Give `uid`, `rid` and `action` (create, read, update, delete or full)");
        return;
    }
    bool allowed = policy_allows(&c->iam->core.policy, arena_strndup(&c->req->arena, uid.p, uid.n),
        arena_strndup(&c->req->arena, rid.p, rid.n), bit);
    _cleanup_buf_ struct buf body = BUF_INIT;
    buf_printf(&body, "{\"allowed\":%s}", allowed ? "true" : "false");
    call_document(c, 200, &body);
}

void internal_handle(struct iam_call *c)
{
    const char *what = c->n_seg == 2 ? c->seg[1] : "";
    if (streq(what, "policyquery") && c->req->method == HTTP_GET) {
        policy_query(c);
    } else if (streq(what, "policy") && c->req->method == HTTP_GET) {
        follow_begin(c);
    } else if (streq(what, "rotate-key") && c->req->method == HTTP_POST) {
        if (keys_rotate(c->iam))
            http_respond(c->req, 202, NULL, NULL, 0);
        else
            call_refuse(c, 409, "ERR_TOO_MANY_KEYS",
                "There are %d keys already; old ones go when the tokens they signed have expired",
                IAM_KEYS_MAX);
    } else {
        call_refuse(c, 404, "ERR_NOT_FOUND", "There is nothing at this path");
    }
}
