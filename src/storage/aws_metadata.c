#include "storage/aws_metadata.h"

#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "json/json.h"
#include "storage/request.h"

enum { TOKEN_SECONDS = 300, PLAIN_MAX = 1024 };

static int ask(const char *endpoint, const char *method, const char *path, const char *header,
    struct buf *ret, struct error *err)
{
    struct request q = REQUEST_INIT;
    _cleanup_free_ char *url = xasprintf("%s/latest/%s", endpoint, path);
    q.method = method;
    q.url = url;
    q.body = "";
    q.direct = true;
    request_header(&q, "%s", header);
    int r = request_run(&q, err);
    if (r == 0 && (q.status < 200 || q.status > 299))
        r = error_set(err, q.status == 404 ? -ENOENT : -EIO, "%s: the metadata service answers %ld",
            url, q.status);
    if (r == 0)
        buf_append(ret, q.answer.p, q.answer.n);
    if (q.answer.n)
        explicit_bzero(q.answer.p, q.answer.n);
    request_done(&q);
    return r;
}

/* One line of text, safe in a header and a path. */
static int ask_word(const char *endpoint, const char *method, const char *path, const char *header,
    char **ret, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    int r = ask(endpoint, method, path, header, &text, err);
    if (r < 0)
        return r;
    struct str line = str_trim(buf_str(&text));
    if (line.n == 0 || line.n > PLAIN_MAX)
        return error_set(err, -EBADMSG, "%s: the metadata service says nothing useful", path);
    for (size_t i = 0; i < line.n; i++)
        if (line.p[i] <= ' ' || line.p[i] > '~')
            return error_set(err, -EBADMSG, "%s: the metadata service says more than a word", path);
    *ret = str_dup(line);
    return 0;
}

int aws_metadata_open(struct aws_metadata *m, const char *endpoint, struct error *err)
{
    _cleanup_free_ char *token = NULL;
    _cleanup_free_ char *lifetime = xasprintf(
        "X-aws-ec2-metadata-token-ttl-seconds: %d", (int)TOKEN_SECONDS);
    int r = ask_word(endpoint, "PUT", "api/token", lifetime, &token, err);
    if (r < 0)
        return r;
    *m = (struct aws_metadata){endpoint, xasprintf("X-aws-ec2-metadata-token: %s", token)};
    return 0;
}

void aws_metadata_done(struct aws_metadata *m)
{
    free(TAKE_PTR(m->header));
}

int aws_metadata_word(const struct aws_metadata *m, const char *path, char **ret, struct error *err)
{
    return ask_word(m->endpoint, "GET", path, m->header, ret, err);
}

int aws_metadata_credentials(
    const struct aws_metadata *m, struct aws_credentials *ret, struct error *err)
{
    static const char folder[] = "meta-data/iam/security-credentials/";
    _cleanup_free_ char *role = NULL;
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_json_ json_t *json = NULL;
    int r = aws_metadata_word(m, folder, &role, err);
    if (r < 0)
        return r == -ENOENT ? error_set(err, r, "this machine has no role") : r;
    _cleanup_free_ char *path = xasprintf("%s%s", folder, role);
    r = ask(m->endpoint, "GET", path, m->header, &text, err);
    if (r == 0)
        r = json_parse(buf_cstr(&text), text.n, &json, err);
    if (text.n)
        explicit_bzero(text.p, text.n);
    if (r < 0)
        return r;
    const char *key = json_str_at(json, "AccessKeyId", NULL),
               *secret = json_str_at(json, "SecretAccessKey", NULL),
               *token = json_str_at(json, "Token", NULL);
    if (!key || !secret || !token || strpbrk(token, "\r\n"))
        return error_set(err, -EBADMSG, "the role %s has no credentials yet", role);
    *ret = (struct aws_credentials){xstrdup(key), xstrdup(secret), xstrdup(token)};
    return 0;
}

void aws_credentials_done(struct aws_credentials *c)
{
    if (c->secret)
        explicit_bzero(c->secret, strlen(c->secret));
    free(TAKE_PTR(c->key));
    free(TAKE_PTR(c->secret));
    free(TAKE_PTR(c->token));
}
