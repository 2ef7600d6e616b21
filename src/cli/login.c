#include "cli/login.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "auth/service_account.h"
#include "base/clock.h"
#include "base/file.h"
#include "console/prompt.h"
#include "json/writer.h"

enum { SECRET_MAX = 64 * 1024 };

static const char WELL_KNOWN[] = "/pkgpanda/active.buildinfo.full.json";
static const char LOGIN_PATH[] = "/acs/api/v1/auth/login";
static const char AUTH0[] = "dcos-oidc-auth0";

static const char *env_or_null(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

void login_flags_of(const struct invocation *inv, struct login_flags *ret)
{
    *ret = (struct login_flags){.provider = option_text(inv, "provider"),
        .username = option_text(inv, "username") ?: env_or_null("DCOS_USERNAME"),
        .password = option_text(inv, "password"),
        .password_file = option_text(inv, "password-file"),
        .private_key = option_text(inv, "private-key")};
    if (!ret->password && !ret->password_file)
        ret->password = env_or_null("DCOS_PASSWORD");
}

int private_file_read(const char *path, struct buf *out, struct error *err)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return error_errno(err, -errno, "cannot read %s", path);
    unsigned mode = st.st_mode & 07777;
    if (mode & ~0600u)
        return error_set(err, -EACCES,
            "permissions %04o for '%s' are too open, expected 0400 or 0600", mode, path);
    return file_read(path, SECRET_MAX, out, err);
}

/* ---- providers ---- */

static void put_provider(
    json_t *all, const char *id, const char *type, const char *method, const char *path)
{
    json_t *p = json_object(), *config = json_object();
    json_object_set_new(config, "start_flow_url", json_string(path));
    json_object_set_new(p, "authentication-type", json_string(type));
    json_object_set_new(p, "client-method", json_string(method));
    json_object_set_new(p, "config", config);
    json_object_set_new(p, "description", json_string(""));
    json_object_set_new(all, id, p);
}

static void put_auth0(json_t *all)
{
    put_provider(all, AUTH0, "oidc-implicit-flow", "browser-prompt-oidcidtoken-get-authtoken",
        "/login?redirect_uri=urn:ietf:wg:oauth:2.0:oob");
}

int login_providers(struct cli *c, const char *url, json_t **ret, struct error *err)
{
    struct reply reply = {0};
    _cleanup_free_ char *known = xasprintf("%s%s", url, WELL_KNOWN);
    _cleanup_free_ char *list = xasprintf("%s/acs/api/v1/auth/providers", url);
    char challenge[sizeof(reply.www_authenticate)];
    *ret = NULL;
    int r = cli_send_raw(
        c, &(struct request){.method = "HEAD", .url = known, .token = ""}, &reply, err);
    int status = reply.status;
    snprintf(challenge, sizeof(challenge), "%s", reply.www_authenticate);
    if (r == 0 && status != 200 && status != 401)
        r = error_set(err, -EPROTO, "expected status code 401, got %d", status);
    if (r < 0 || status == 200) {
        reply_done(&reply);
        return r;
    }
    json_t *all = NULL;
    r = cli_send_raw(c, &(struct request){.url = list, .token = ""}, &reply, err);
    bool told = r == 0 && reply.status == 200;
    if (told)
        r = cli_parse_reply("the identity service", &reply, &all, err);
    reply_done(&reply);
    if (r < 0)
        return r;
    if (told && !json_is_object(all)) {
        json_decref(all);
        return error_set(err, -EPROTO, "the identity service gave no login providers");
    }
    if (!told) {
        all = json_object();
        if (streq(challenge, "acsjwt")) {
            put_provider(all, "dcos-users", "dcos-uid-password",
                "dcos-usercredential-post-receive-authtoken", LOGIN_PATH);
        } else if (!streq(challenge, "oauthjwt")) {
            json_decref(all);
            return error_set(
                err, -EPROTO, "unsupported WWW-Authenticate challenge '%s'", challenge);
        }
    }
    /* The challenge of the open edition: its users came from Auth0. A service that names its own
     * providers knows better. */
    if (streq(challenge, "oauthjwt") && !told)
        put_auth0(all);
    *ret = all;
    return 0;
}

char *login_method(const json_t *provider)
{
    static const struct {
        const char *type, *text;
        bool described; /* which of several it is */
    } methods[] = {
        {"dcos-uid-password", "Log in using a standard DC/OS user account (username and password)",
            false},
        {"dcos-uid-servicekey",
            "Log in using a DC/OS service user account (username and private key)", false},
        {"dcos-uid-password-ldap", "Log in using an LDAP user account (username and password)",
            false},
        {"saml-sp-initiated", "Log in using SAML 2.0", true},
        {"oidc-authorization-code-flow", "Log in using OpenID Connect", true},
        {"oidc-implicit-flow", "Log in using OpenID Connect", true},
    };
    const char *type = json_str_at(provider, "authentication-type", "");
    const char *text = json_str_at(provider, "description", "");
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
        if (streq(type, methods[i].type))
            return methods[i].described ? xasprintf("%s (%s)", methods[i].text, text)
                                        : xstrdup(methods[i].text);
    }
    return xstrdup(*text ? text : type);
}

static bool fits(const json_t *provider, const struct login_flags *f)
{
    bool any = f->username || f->password || f->password_file || f->private_key;
    if (streq(json_str_at(provider, "authentication-type", ""), "dcos-uid-servicekey"))
        return f->private_key != NULL;
    if (has_prefix(json_str_at(provider, "client-method", ""), "browser-"))
        return !any;
    return !f->private_key;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int login_choose(
    const json_t *providers, const struct login_flags *f, const char **ret_id, struct error *err)
{
    if (f->provider) {
        if (!json_at(providers, f->provider))
            return error_set(err, -EINVAL, "unknown login provider ID '%s'", f->provider);
        *ret_id = f->provider;
        return 0;
    }
    VEC(const char *) ids = {0};
    const char *key;
    json_t *p;
    int r = 0;
    json_object_foreach((json_t *)(uintptr_t)providers, key, p)
    {
        if (fits(p, f))
            vec_push(&ids, key);
    }
    if (ids.n)
        qsort(ids.items, ids.n, sizeof(*ids.items), by_text);
    *ret_id = ids.n == 1 ? ids.items[0] : NULL;
    /* Both given: no reason to ask. */
    for (size_t i = 0; f->username && (f->password || f->password_file) && !*ret_id && i < ids.n;
         i++) {
        const char *type = json_str_at(json_at(providers, ids.items[i]), "authentication-type", "");
        if (streq(type, "dcos-uid-password"))
            *ret_id = ids.items[i];
    }
    if (ids.n == 0) {
        r = error_set(err, -ENOENT, "couldn't determine a login provider");
    } else if (!*ret_id) {
        char question[32];
        unsigned choice = 0;
        printf("Please select a login method:\n");
        for (size_t i = 0; i < ids.n; i++) {
            _cleanup_free_ char *text = login_method(json_at(providers, ids.items[i]));
            printf("(%zu) %s\n", i + 1, text);
        }
        snprintf(question, sizeof(question), "(1-%zu): ", ids.n);
        r = prompt_choice(question, (unsigned)ids.n, &choice, err);
        if (r == 0)
            *ret_id = ids.items[choice - 1];
    }
    vec_done(&ids);
    return r;
}

/* ---- the ways to log in ---- */

static char *login_url(const char *url, const json_t *provider)
{
    const char *path = json_str_at(json_at(provider, "config"), "start_flow_url", "");
    if (has_prefix(path, "http://") || has_prefix(path, "https://"))
        return xstrdup(path);
    return xasprintf("%s%s", url, *path ? path : LOGIN_PATH);
}

/* POST of credentials; what they are is wiped. */
static int post_login(struct cli *c, const char *url, const char *uid, const char *key,
    const char *secret, char **ret_token, struct error *err)
{
    _cleanup_buf_ struct buf body = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &body);
    jw_begin_object(&w);
    if (uid)
        jw_field_string(&w, "uid", uid);
    jw_field_string(&w, key, secret);
    jw_end_object(&w);
    struct reply reply = {0};
    _cleanup_json_ json_t *json = NULL;
    int r = cli_send_raw(c,
        &(struct request){.method = "POST",
            .url = url,
            .body = body.p,
            .body_n = body.n,
            .token = "",
            .secret = true},
        &reply, err);
    explicit_bzero(body.p, body.n);
    if (r == 0) {
        (void)json_parse(buf_cstr(&reply.body), reply.body.n, &json, NULL);
        const char *token = json_str_at(json, "token", NULL);
        if (reply.status == 200 && token)
            *ret_token = xstrdup(token);
        else
            r = error_set(err, -EACCES, "%s", json_str_at(json, "description", "couldn't log in"));
    }
    reply_done(&reply);
    return r;
}

static int password_of(const struct login_flags *f, char **ret, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (f->password) {
        *ret = xstrdup(f->password);
        return 0;
    }
    int r = private_file_read(f->password_file, &text, err);
    if (r < 0)
        return r;
    struct str s = str_trim(buf_str(&text));
    *ret = xstrndup(s.p ?: "", s.n);
    explicit_bzero(text.p, text.n);
    return 0;
}

static void wipe(char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

static int by_password(struct cli *c, const char *url, const struct login_flags *f,
    char **ret_token, struct error *err)
{
    bool asks = !f->username || !(f->password || f->password_file);
    for (int attempt = 1;; attempt++) {
        _cleanup_free_ char *asked = NULL;
        char *password = NULL;
        int r = 0;
        if (!f->username)
            r = prompt_line("Username: ", false, &asked, err);
        if (r == 0 && (f->password || f->password_file))
            r = password_of(f, &password, err);
        else if (r == 0)
            r = prompt_line("Password: ", true, &password, err);
        if (r == 0)
            r = post_login(c, url, f->username ?: asked, "password", password, ret_token, err);
        wipe(password);
        if (r != -EACCES || !asks || attempt == PROMPT_ATTEMPTS)
            return r;
        fprintf(stderr, "Error: %s\n", err->msg);
    }
}

static int by_service_key(struct cli *c, const char *url, const struct login_flags *f,
    char **ret_token, struct error *err)
{
    _cleanup_buf_ struct buf pem = BUF_INIT, token = BUF_INIT;
    _cleanup_free_ char *asked = NULL;
    if (!f->private_key)
        return error_set(err, -EINVAL, "this login needs --private-key=FILE and --username=ID");
    int r = private_file_read(f->private_key, &pem, err);
    if (r == 0 && !f->username)
        r = prompt_line("Username: ", false, &asked, err);
    if (r == 0)
        r = service_token_make(
            buf_str(&pem), f->username ?: asked, clock_realtime_us() / USEC_PER_SEC, &token, err);
    if (pem.n)
        explicit_bzero(pem.p, pem.n);
    if (r < 0)
        return r;
    return post_login(c, url, f->username ?: asked, "token", buf_cstr(&token), ret_token, err);
}

/* HEAD with the token: 200 and 403 mean that it is one. */
static int check_token(struct cli *c, const char *url, const char *token, struct error *err)
{
    _cleanup_free_ char *known = xasprintf("%s%s", url, WELL_KNOWN);
    struct reply reply = {0};
    int r = cli_send_raw(
        c, &(struct request){.method = "HEAD", .url = known, .token = token}, &reply, err);
    int status = reply.status;
    reply_done(&reply);
    if (r < 0 || status == 200 || status == 403)
        return r;
    return status == 401 ? error_set(err, -EACCES, "invalid auth token")
                         : error_set(err, -EPROTO, "HTTP %d error for %s", status, known);
}

static int by_browser(struct cli *c, const char *url, const json_t *provider, bool id_token,
    char **ret_token, struct error *err)
{
    _cleanup_free_ char *start = login_url(url, provider);
    _cleanup_free_ char *post = xasprintf("%s%s", url, LOGIN_PATH);
    fprintf(stderr, "If your browser didn't open, please go to the following link:\n\n    %s\n\n",
        start);
    (void)browser_open(start, NULL);
    for (int attempt = 1;; attempt++) {
        char *pasted = NULL;
        int r = prompt_line(id_token ? "Enter OpenID Connect ID Token: "
                                     : "Enter the authentication token from the browser: ",
            true, &pasted, err);
        if (r < 0)
            return r;
        struct str text = str_trim(str_of(pasted));
        char *token = xstrndup(text.p ?: "", text.n);
        wipe(pasted);
        r = id_token ? post_login(c, post, NULL, "token", token, ret_token, err)
                     : check_token(c, url, token, err);
        if (r == 0 && !id_token)
            *ret_token = TAKE_PTR(token);
        wipe(token);
        if (r != -EACCES || attempt == PROMPT_ATTEMPTS)
            return r;
        fprintf(stderr, "Error: %s\n", err->msg);
    }
}

int login(struct cli *c, const char *url, const struct login_flags *f, char **ret_token,
    struct error *err)
{
    _cleanup_json_ json_t *all = NULL;
    const char *id;
    int r = login_providers(c, url, &all, err);
    if (r < 0)
        return r;
    if (!all) {
        fprintf(stderr, "The cluster asks for no login.\n");
        *ret_token = xstrdup("");
        return 0;
    }
    r = login_choose(all, f, &id, err);
    if (r < 0)
        return r;
    const json_t *provider = json_at(all, id);
    const char *method = json_str_at(provider, "client-method", "");
    _cleanup_free_ char *post = login_url(url, provider);
    if (streq(method, "dcos-usercredential-post-receive-authtoken") ||
        streq(method, "dcos-credential-post-receive-authtoken"))
        return by_password(c, post, f, ret_token, err);
    if (streq(method, "dcos-servicecredential-post-receive-authtoken"))
        return by_service_key(c, post, f, ret_token, err);
    if (streq(method, "browser-prompt-oidcidtoken-get-authtoken"))
        return by_browser(c, url, provider, true, ret_token, err);
    if (streq(method, "browser-prompt-authtoken"))
        return by_browser(c, url, provider, false, ret_token, err);
    return error_set(
        err, -ENOTSUP, "login provider '%s' wants a login that is not known: '%s'", id, method);
}
