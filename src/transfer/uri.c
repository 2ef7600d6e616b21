#include "transfer/uri.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/str.h"

enum { URI_MAX = 8192 };

static int set_path(struct uri *u, const char *path, struct error *err)
{
    u->kind = URI_FILE;
    u->path = path;
    const char *slash = strrchr(path, '/');
    u->name = slash ? slash + 1 : path;
    if (!*u->name || streq(u->name, ".") || streq(u->name, ".."))
        return error_set(err, -EINVAL, "the URI names no file");
    return 0;
}

/* "file:///path" and "file://localhost/path". */
static int parse_file(struct uri *u, const char *rest, struct error *err)
{
    if (has_prefix(rest, "localhost/"))
        rest += strlen("localhost");
    if (*rest != '/')
        return error_set(err, -EINVAL, "a file URI needs an absolute path, as in file:///etc/motd");
    return set_path(u, rest, err);
}

static int parse_remote(struct uri *u, const char *rest, struct error *err)
{
    const char *slash = strchr(rest, '/');
    if (!slash || slash == rest)
        return error_set(err, -EINVAL, "the URI needs a host and a path after it");
    u->name = strrchr(slash, '/') + 1;
    if (!*u->name || streq(u->name, ".") || streq(u->name, ".."))
        return error_set(err, -EINVAL, "the URI names no file: nothing follows its last slash");
    return 0;
}

static int parse_scheme(struct uri *u, struct error *err)
{
    static const struct {
        const char *scheme;
        enum uri_kind kind;
    } schemes[] = {{"http", URI_HTTP}, {"https", URI_HTTP}, {"ftp", URI_FTP}, {"ftps", URI_FTP},
        {"file", URI_FILE}};
    const char *end = strstr(u->text, "://");
    if (!end && *u->text == '/')
        return set_path(u, u->text, err);
    if (!end)
        return error_set(err, -EINVAL, "relative paths are not supported: use an absolute one");
    struct str scheme = {u->text, (size_t)(end - u->text)};
    for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
        if (!str_ieq_c(scheme, schemes[i].scheme))
            continue;
        u->kind = schemes[i].kind;
        return u->kind == URI_FILE ? parse_file(u, end + 3, err) : parse_remote(u, end + 3, err);
    }
    return error_set(err, -EINVAL,
        "scheme '%.*s' is not supported: use http, https, ftp, ftps, file or an absolute path",
        (int)MIN(scheme.n, (size_t)32), scheme.p);
}

int uri_parse(const char *text, struct uri *ret, struct error *err)
{
    while (*text == ' ' || *text == '\t')
        text++;
    if (!*text)
        return error_set(err, -EINVAL, "the URI is empty");
    if (strlen(text) > URI_MAX)
        return error_set(err, -EINVAL, "the URI is longer than %d bytes", URI_MAX);
    for (const char *p = text; *p; p++)
        if (*p == '\\' || *p == '\'' || (unsigned char)*p < 0x20 || *p == 0x7f)
            return error_set(
                err, -EINVAL, "the URI holds a backslash, a single quote or a control character");
    struct uri u = {.text = xstrdup(text)};
    int r = parse_scheme(&u, err);
    if (r < 0) {
        uri_done(&u);
        return r;
    }
    *ret = u;
    return 0;
}

void uri_done(struct uri *u)
{
    free(u->text);
    *u = (struct uri){0};
}

enum uri_content uri_content_of(const char *name)
{
    static const struct {
        const char *suffix;
        enum uri_content content;
    } suffixes[] = {{".tar", URI_TAR}, {".tgz", URI_TAR}, {".tar.gz", URI_TAR}, {".tbz2", URI_TAR},
        {".tar.bz2", URI_TAR}, {".txz", URI_TAR}, {".tar.xz", URI_TAR}, {".zip", URI_ZIP},
        {".gz", URI_GZIP}};
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
        if (has_suffix(name, suffixes[i].suffix))
            return suffixes[i].content;
    return URI_PLAIN;
}

char *uri_display(const char *text)
{
    const char *host = strstr(text, "://");
    if (!host)
        return xstrdup(text);
    host += 3;
    const char *at = NULL;
    for (const char *p = host; *p && *p != '/' && *p != '?' && *p != '#'; p++)
        if (*p == '@')
            at = p;
    return at ? xasprintf("%.*s%s", (int)(host - text), text, at + 1) : xstrdup(text);
}
