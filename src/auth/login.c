#include "auth/login.h"

#include <errno.h>

#include "auth/credentials.h"
#include "auth/service_account.h"
#include "base/alloc.h"

struct login {
    char *principal;
    struct buf header;
    char *token_file;
    struct service_account *account;
    struct list watches;
};

static struct login *new_login(void)
{
    struct login *l = xnew(struct login);
    list_init(&l->watches);
    return l;
}

static int use_credential(struct login *l, const struct credential *c)
{
    l->principal = xstrdup(c->principal);
    credential_header(c, &l->header);
    return 0;
}

static int read_credential(struct login *l, const char *path, bool *ret_exposed, struct error *err)
{
    _cleanup_secret_ struct buf text = BUF_INIT;
    int r = secret_file_read(path, SECRET_FILE_MAX, &text, ret_exposed, err);
    if (r < 0)
        return r;
    struct credential c;
    r = credential_parse(buf_cstr(&text), text.n, &c, err);
    if (r < 0)
        return error_prefix(err, r, "%s", path);
    r = use_credential(l, &c);
    credential_done(&c);
    return r;
}

int login_new(const char *credential_file, const char *token_file, struct login **ret,
    bool *ret_exposed, struct error *err)
{
    *ret_exposed = false;
    if (credential_file && token_file)
        return error_set(err, -EINVAL, "either a credential or a token");
    struct login *l = new_login();
    int r = 0;
    if (credential_file)
        r = read_credential(l, credential_file, ret_exposed, err);
    if (token_file) {
        _cleanup_secret_ struct buf text = BUF_INIT;
        r = secret_file_read(token_file, SECRET_FILE_MAX, &text, ret_exposed, err);
        l->token_file = xstrdup(token_file);
    }
    if (r < 0) {
        login_free(l);
        return r;
    }
    *ret = l;
    return 0;
}

int login_new_secret(const char *principal, const char *secret_file, struct login **ret,
    bool *ret_exposed, struct error *err)
{
    _cleanup_secret_ struct buf text = BUF_INIT;
    int r = secret_file_read(secret_file, SECRET_FILE_MAX, &text, ret_exposed, err);
    if (r < 0)
        return r;
    struct str secret = {buf_cstr(&text), text.n};
    if (secret.n && secret.p[secret.n - 1] == '\n')
        secret.n--;
    if (!*principal || strchr(principal, ':'))
        return error_set(err, -EINVAL, "a principal is not empty and has no colon");
    struct login *l = new_login();
    struct credential c = {xstrdup(principal), xstrndup(secret.p, secret.n)};
    r = use_credential(l, &c);
    credential_done(&c);
    *ret = l;
    return r;
}

static void on_token(void *userdata)
{
    struct login *l = userdata;
    LIST_FOREACH (w, &l->watches, struct login_watch, node)
        w->fn(w);
}

int login_new_service(struct loop *loop, const char *file, struct tls_context *tls,
    struct login **ret, bool *ret_exposed, struct error *err)
{
    struct login *l = new_login();
    const struct service_account_options options = {
        .loop = loop, .file = file, .tls = tls, .on_token = on_token, .userdata = l};
    int r = service_account_new(&options, &l->account, ret_exposed, err);
    if (r < 0) {
        login_free(l);
        return r;
    }
    l->principal = xstrdup(service_account_uid(l->account));
    *ret = l;
    return 0;
}

int login_open(struct loop *loop, const struct login_files *files, struct tls_context *tls,
    struct login **ret, bool *ret_exposed, struct error *err)
{
    if (!files->service_account)
        return login_new(files->credential, files->token, ret, ret_exposed, err);
    if (files->credential || files->token)
        return error_set(
            err, -EINVAL, "--service_account: a credential or a token is given too: give one");
    int r = login_new_service(loop, files->service_account, tls, ret, ret_exposed, err);
    return r < 0 ? error_prefix(err, r, "--service_account") : 0;
}

void login_free(struct login *l)
{
    if (!l)
        return;
    struct login_watch *w;
    while ((w = list_first(&l->watches, struct login_watch, node)))
        list_remove(&w->node);
    service_account_free(l->account);
    free(l->principal);
    secret_buf_done(&l->header);
    free(l->token_file);
    free(l);
}

const char *login_principal(const struct login *l)
{
    return l ? l->principal : NULL;
}

void login_header(const struct login *l, struct buf *out)
{
    if (!l)
        return;
    buf_append(out, l->header.p, l->header.n);
    if (l->account && service_account_token(l->account))
        buf_printf(out, "Bearer %s", service_account_token(l->account));
    if (!l->token_file)
        return;
    _cleanup_secret_ struct buf text = BUF_INIT;
    bool exposed;
    if (secret_file_read(l->token_file, SECRET_FILE_MAX, &text, &exposed, NULL) < 0)
        return;
    struct str token = str_trim(buf_str(&text));
    buf_puts(out, "Bearer ");
    buf_append(out, token.p, token.n);
}

bool login_ready(const struct login *l)
{
    return !l || !l->account || service_account_token(l->account);
}

void login_refused(struct login *l)
{
    if (l && l->account)
        service_account_refused(l->account);
}

void login_watch(struct login *l, struct login_watch *w, void (*fn)(struct login_watch *w))
{
    w->fn = fn;
    list_init(&w->node);
    if (l)
        list_push(&l->watches, &w->node);
}

void login_unwatch(struct login_watch *w)
{
    if (w->node.next)
        list_remove(&w->node);
}
