#include "iam/oidc.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"

/*
 * Providers of OpenID Connect: their configuration. oidc_flow.c has the login.
 *
 *     GET    /auth/oidc/providers            id -> description, for everybody
 *     GET    /auth/oidc/providers/{id}       for superusers, without the secret
 *     PUT    /auth/oidc/providers/{id}       201, 409
 *     PATCH  /auth/oidc/providers/{id}       204
 *     DELETE /auth/oidc/providers/{id}       204
 *     GET    /auth/oidc/callback             where providers send people back to
 */

enum { TEXT_MAX = 2048, CERTIFICATES_MAX = 64 * 1024, ID_MAX = 64 };

void oidc_provider_unref(struct oidc_provider *p)
{
    if (!p || --p->refs)
        return;
    tls_context_free(p->tls);
    if (p->client)
        http_client_free(p->client);
    jwt_keys_free(p->keys);
    json_decref(p->document);
    free(p->authorization_endpoint);
    free(p->token_endpoint);
    free(p->jwks_uri);
    free(p);
}

static const char *field(const struct oidc_provider *p, const char *name)
{
    return json_str_at(p->document, name, "");
}

const char *oidc_issuer(const struct oidc_provider *p)
{
    return field(p, "issuer");
}

/* ---- documents ---- */

static bool text_ok(const json_t *o, const char *name, size_t max, bool required, struct error *err)
{
    const json_t *v = json_at(o, name);
    if (!v) {
        if (required)
            error_set(err, -EINVAL, "`%s` must be given", name);
        return !required;
    }
    if (!json_is_string(v) || json_string_length(v) == 0 || json_string_length(v) > max) {
        error_set(err, -EINVAL, "`%s` must be a string of 1 to %zu bytes", name, max);
        return false;
    }
    return true;
}

static bool url_ok(const json_t *o, const char *name, struct error *err)
{
    struct http_url url;
    const char *text = json_str_at(o, name, "");
    if (http_url_parse(str_of(text), &url, NULL) == 0 && !url.userinfo.n && !strchr(text, '#'))
        return true;
    error_set(err, -EINVAL, "`%s` must be a URL with http:// or https://", name);
    return false;
}

/* 0, or -EINVAL with the first thing that is wrong. */
static int check_document(const json_t *o, struct error *err)
{
    static const char *const known[] = {"description", "issuer", "base_url", "client_id",
        "client_secret", "ca_certs", "verify_server_certificate"};
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)o, name, value)
    {
        bool found = false;
        for (size_t i = 0; i < ARRAY_SIZE(known); i++)
            found = found || streq(name, known[i]);
        if (!found)
            return error_set(err, -EINVAL, "Unknown property `%.64s`", name);
    }
    for (size_t i = 0; i < 5; i++)
        if (!text_ok(o, known[i], TEXT_MAX, true, err))
            return -EINVAL;
    if (!text_ok(o, "ca_certs", CERTIFICATES_MAX, false, err) || !url_ok(o, "issuer", err) ||
        !url_ok(o, "base_url", err))
        return -EINVAL;
    const json_t *verify = json_at(o, "verify_server_certificate");
    if (verify && !json_is_boolean(verify))
        return error_set(err, -EINVAL, "`verify_server_certificate` must be true or false");
    return 0;
}

static bool id_ok(const char *id)
{
    size_t n = strlen(id);
    for (const char *c = id; *c; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
                *c == '-' || *c == '_'))
            return false;
    return n > 0 && n <= ID_MAX;
}

/* Certificates are read from files: this one has no name. */
static int context_of_text(
    const char *pem, bool verify, struct tls_context **ret, struct error *err)
{
    int fd = memfd_create("certificates", MFD_CLOEXEC);
    if (fd < 0)
        return error_errno(err, errno, "cannot read `ca_certs`");
    int r = fd_write_all(fd, pem, strlen(pem));
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (r < 0)
        error_set(err, r, "cannot read `ca_certs`");
    else if ((r = tls_context_new_client(path, verify, ret, err)) < 0)
        error_set(err, r, "`ca_certs` has no certificates in PEM form");
    close(fd);
    return r;
}

/* Takes the document over. */
static int put_provider(struct iam *s, const char *id, json_t *document, struct error *err)
{
    struct oidc_provider *p = xcalloc(1, sizeof(*p) + strlen(id) + 1);
    memcpy(p->id, id, strlen(id) + 1);
    p->refs = 1;
    p->document = document;
    p->iam = s;
    const char *certificates = json_str_at(document, "ca_certs", NULL);
    bool verify = json_bool_at(document, "verify_server_certificate", true);
    int r = certificates ? context_of_text(certificates, verify, &p->tls, err)
                         : tls_context_new_client(NULL, verify, &p->tls, err);
    if (r < 0) {
        oidc_provider_unref(p);
        return r;
    }
    p->client = http_client_new(s->loop, &(struct http_client_options){.tls = p->tls});
    oidc_provider_unref(map_remove(&s->providers, id));
    map_put(&s->providers, p->id, p);
    return 0;
}

int oidc_load(struct iam *s, const char *key, struct str value, struct error *err)
{
    json_t *o = NULL;
    int r = json_parse(value.p, value.n, &o, err);
    if (r < 0)
        return r;
    return put_provider(s, key + strlen("oidc/"), o, err);
}

void oidc_each(struct iam *s, void (*fn)(const char *id, const char *description, void *userdata),
    void *userdata)
{
    MAP_FOREACH (e, &s->providers)
        fn(e->key, field(e->value, "description"), userdata);
}

/* ---- the calls ---- */

static void write_description(const char *id, const char *description, void *userdata)
{
    jw_field_string(userdata, id, description);
}

static void list(struct iam_call *c)
{
    _cleanup_buf_ struct buf body = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &body);
    jw_begin_object(&w);
    oidc_each(c->iam, write_description, &w);
    jw_end_object(&w);
    call_document(c, 200, &body);
}

static void show(struct iam_call *c, const struct oidc_provider *p)
{
    json_t *o = json_copy(p->document);
    json_object_del(o, "client_secret");
    _cleanup_buf_ struct buf body = BUF_INIT;
    json_dump(o, &body);
    json_decref(o);
    call_document(c, 200, &body);
}

static void change(struct iam_call *c, const char *id, json_t *document, int status)
{
    struct error err = ERROR_INIT;
    if (document) {
        if (check_document(document, &err) < 0 ||
            put_provider(c->iam, id, json_incref(document), &err) < 0) {
            call_refuse(c, 400, "ERR_INVALID_DATA", "%s", err.msg);
            json_decref(document);
            return;
        }
    } else {
        oidc_provider_unref(map_remove(&c->iam->providers, id));
    }
    iam_put_document(&c->iam->core, "oidc", id, document);
    log_info("identity provider changed provider=%s by=%s", id, c->uid ? c->uid : "local");
    const struct iam_reply reply = {.status = status};
    call_finish(c, &reply);
}

static void one(struct iam_call *c, const char *id)
{
    struct oidc_provider *p = map_get(&c->iam->providers, id);
    enum http_method m = c->req->method;
    if (!c->superuser) {
        call_refuse(c, c->uid ? 403 : 401, c->uid ? "ERR_FORBIDDEN" : "ERR_UNAUTHENTICATED",
            "This needs the permission dcos:superuser");
    } else if (m == HTTP_PUT) {
        if (p)
            call_refuse(c, 409, "ERR_PROVIDER_EXISTS", "Provider `%s` already exists", id);
        else if (!id_ok(id))
            call_refuse(c, 400, "ERR_INVALID_DATA",
                "A provider's id has 1 to %d letters, digits, '-' and '_'", ID_MAX);
        else if (map_size(&c->iam->providers) >= OIDC_PROVIDERS_MAX)
            call_refuse(
                c, 400, "ERR_INVALID_DATA", "There are %d providers already", OIDC_PROVIDERS_MAX);
        else if (!json_is_object(c->body))
            call_refuse(
                c, 400, "ERR_INVALID_DATA", "Request has bad Content-Type or lacks JSON data");
        else
            change(c, id, json_incref(c->body), 201);
    } else if (!p) {
        call_refuse(c, 400, "ERR_UNKNOWN_PROVIDER_ID", "Provider `%.64s` is not known", id);
    } else if (m == HTTP_GET || m == HTTP_HEAD) {
        show(c, p);
    } else if (m == HTTP_PATCH && json_is_object(c->body)) {
        json_t *merged = json_copy(p->document);
        json_object_update(merged, c->body);
        change(c, id, merged, 204);
    } else if (m == HTTP_DELETE) {
        change(c, id, NULL, 204);
    } else if (m == HTTP_PATCH) {
        call_refuse(c, 400, "ERR_INVALID_DATA", "Request has bad Content-Type or lacks JSON data");
    } else {
        call_not_allowed(c, "GET, PUT, PATCH, DELETE");
    }
}

void oidc_providers(struct iam_call *c)
{
    bool reads = c->req->method == HTTP_GET || c->req->method == HTTP_HEAD;
    if (c->n_seg == 3 && streq(c->seg[2], "providers") && reads)
        list(c);
    else if (c->n_seg == 3 && streq(c->seg[2], "callback") && reads)
        oidc_callback(c);
    else if (c->n_seg == 4 && streq(c->seg[2], "providers"))
        one(c, c->seg[3]);
    else
        call_refuse(c, 404, "ERR_NOT_FOUND", "There is nothing at this path");
}
