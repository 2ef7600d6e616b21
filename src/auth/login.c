#include "auth/login.h"

#include <errno.h>

#include "auth/credentials.h"
#include "base/alloc.h"

struct login {
    char *principal;
    struct buf header;
    char *token_file;
};

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
    struct login *l = xnew(struct login);
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
    struct login *l = xnew(struct login);
    struct credential c = {xstrdup(principal), xstrndup(secret.p, secret.n)};
    r = use_credential(l, &c);
    credential_done(&c);
    *ret = l;
    return r;
}

void login_free(struct login *l)
{
    if (!l)
        return;
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
