#include "cli/iam.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "http/http.h"

int iam_call(struct cli *c, const char *method, const char *path, const json_t *body, json_t **ret,
    struct error *err)
{
    _cleanup_free_ char *url = NULL;
    _cleanup_free_ char *suffix = xasprintf("/acs/api/v1%s", path);
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_json_ json_t *json = NULL;
    struct reply reply = {0};
    int r = cli_base_url(c, NULL, suffix, &url, NULL, err);
    if (r < 0)
        return r;
    if (body)
        json_dump(body, &text);
    r = cli_send(c, "the identity service",
        &(struct request){.method = method,
            .url = url,
            .body = text.p,
            .body_n = text.n,
            .secret = json_at(body, "password") != NULL},
        &reply, err);
    if (text.n)
        explicit_bzero(text.p, text.n); /* it may hold a password */
    int status = reply.status;
    if (r == 0 && reply.body.n)
        (void)json_parse(buf_cstr(&reply.body), reply.body.n, &json, NULL);
    reply_done(&reply);
    if (r < 0)
        return r;
    if (status / 100 == 2) {
        if (ret)
            *ret = TAKE_PTR(json);
        return 0;
    }
    const char *why = json_str_at(json, "description", NULL);
    const char *code = json_str_at(json, "code", "");
    int result = status == 409                                       ? -EEXIST
                 : status == 404 || has_prefix(code, "ERR_UNKNOWN_") ? -ENOENT
                                                                     : -EPROTO;
    return why ? error_set(err, result, "%s", why)
               : error_set(err, result, "HTTP %d error for %s", status, url);
}

void iam_path(struct buf *out, const char *collection, const char *id)
{
    buf_printf(out, "/%s/", collection);
    if (!streq(collection, "acls")) {
        http_escape(out, str_of(id));
        return;
    }
    /* Only slashes need it twice: a proxy may not pass %2F on. */
    struct str rest = str_of(id), part;
    for (bool first = true; str_split(&rest, '/', &part); first = false) {
        if (!first)
            buf_puts(out, "%252F");
        http_escape(out, part);
    }
}

static void permission_path(
    struct buf *out, const char *who, const char *id, const char *rid, const char *action)
{
    iam_path(out, "acls", rid);
    iam_path(out, who, id);
    buf_putc(out, '/');
    http_escape(out, str_of(action));
}

int iam_grant(struct cli *c, const char *who, const char *id, const char *rid, const char *action,
    const char *description, struct error *err)
{
    _cleanup_buf_ struct buf acl = BUF_INIT, path = BUF_INIT;
    _cleanup_json_ json_t *body = json_object();
    iam_path(&acl, "acls", rid);
    permission_path(&path, who, id, rid, action);
    json_object_set_new(body, "description", json_string(description));
    int r = iam_call(c, "PUT", buf_cstr(&acl), body, NULL, err);
    if (r < 0 && r != -EEXIST)
        return r;
    return iam_call(c, "PUT", buf_cstr(&path), NULL, NULL, err);
}

int iam_revoke(struct cli *c, const char *who, const char *id, const char *rid, const char *action,
    struct error *err)
{
    _cleanup_buf_ struct buf path = BUF_INIT;
    permission_path(&path, who, id, rid, action);
    return iam_call(c, "DELETE", buf_cstr(&path), NULL, NULL, err);
}
