#include <errno.h>

#include "base/alloc.h"
#include "storage/request.h"
#include "storage/storage.h"

/* Any web server, for reading. */

static int http_request(
    struct storage *s, const char *method, const char *path, int fd, struct error *err)
{
    struct request q = REQUEST_INIT;
    _cleanup_free_ char *encoded = request_encode(path, true);
    _cleanup_free_ char *url = xasprintf("%s%s", s->url, encoded);
    q.method = method;
    q.url = url;
    q.answer_fd = fd;
    int r = request_run(&q, err);
    if (r == 0 && q.status != 200)
        r = request_refused(&q, path, err);
    request_done(&q);
    return r;
}

static int http_exists(struct storage *s, const char *path, struct error *err)
{
    int r = http_request(s, "HEAD", path, -1, err);
    return r == -ENOENT ? 0 : r < 0 ? r : 1;
}

static int http_get(struct storage *s, const char *path, int fd, struct error *err)
{
    return http_request(s, "GET", path, fd, err);
}

static void http_free(struct storage *s)
{
    free(s);
}

int storage_http_new(const json_t *options, struct storage **ret, struct error *err)
{
    static const struct storage_ops ops = {
        .exists = http_exists, .get = http_get, .free = http_free};
    const char *url = NULL;
    const struct storage_option table[] = {{"url", &url, true}};
    int r = storage_options(options, table, ARRAY_SIZE(table), err);
    if (r < 0)
        return r;
    if (!has_suffix(url, "/"))
        return error_set(err, -EINVAL, "the option url ends with a slash");
    struct storage *s = xnew(struct storage);
    s->ops = &ops;
    s->url = xstrdup(url);
    s->read_only = true;
    *ret = s;
    return 0;
}
