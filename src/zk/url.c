#include "zk/url.h"

#include <errno.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/parse.h"

static const char g_scheme[] = "zk://";

void zk_url_done(struct zk_url *u)
{
    free(TAKE_PTR(u->servers));
    free(TAKE_PTR(u->path));
    free(TAKE_PTR(u->auth));
}

bool zk_is_url(const char *text)
{
    return has_prefix(text, g_scheme);
}

static bool is_plain(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= ' ' || (unsigned char)s.p[i] >= 0x7f)
            return false;
    return true;
}

/* Adds one "host:port". Brackets around an IPv6 address go: the client cuts at the last colon. */
static int add_server(struct str server, struct buf *out, struct error *err)
{
    struct str host = server, port = {0};
    size_t colon = server.n;
    while (colon > 0 && server.p[colon - 1] != ':' && server.p[colon - 1] != ']')
        colon--;
    if (colon > 0 && server.p[colon - 1] == ':') {
        host.n = colon - 1;
        port = (struct str){server.p + colon, server.n - colon};
    }
    if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
        host = (struct str){host.p + 1, host.n - 2};
    uint16_t number = ZK_PORT;
    if (host.n == 0 || !is_plain(host) || str_index(host, '/') >= 0 ||
        (port.p && (parse_port(port, &number) < 0 || number == 0)))
        return error_set(err, -EINVAL, "'" STR_FMT "' is not host:port", STR_ARG(server));
    buf_printf(out, "%s" STR_FMT ":%u", out->n > 0 ? "," : "", STR_ARG(host), number);
    return 0;
}

static int check_path(struct str path, struct error *err)
{
    struct str rest = path, part;
    if (path.n == 0)
        return error_set(err, -EINVAL,
            "a path is needed behind the servers, as in zk://host:2181/mesos; '/' itself is not "
            "supported");
    if (path.n > ZK_PATH_MAX)
        return error_set(err, -EINVAL, "the path is longer than %d bytes", ZK_PATH_MAX);
    if (!is_plain(path))
        return error_set(err, -EINVAL, "the path holds a blank or a special character");
    (void)str_split(&rest, '/', &part); /* nothing before the first slash */
    while (str_split(&rest, '/', &part))
        if (part.n == 0 || str_eq_c(part, ".") || str_eq_c(part, ".."))
            return error_set(err, -EINVAL, "the path has an empty, '.' or '..' part");
    return 0;
}

static int parse(struct str rest, struct zk_url *ret, struct error *err)
{
    ptrdiff_t slash = str_index(rest, '/'), at = -1;
    /* A password may hold '/' and '@': the last '@' before the servers counts. */
    for (size_t i = 0; i < rest.n; i++)
        if (rest.p[i] == '@')
            at = (ptrdiff_t)i;
    if (at >= 0) {
        struct str auth = {rest.p, (size_t)at};
        ptrdiff_t colon = str_index(auth, ':');
        if (colon <= 0 || (size_t)colon + 1 == auth.n)
            return error_set(err, -EINVAL, "expected user:password before '@'");
        ret->auth = str_dup(auth);
        rest = (struct str){rest.p + at + 1, rest.n - (size_t)at - 1};
        slash = str_index(rest, '/');
    }
    struct str servers = {rest.p, slash < 0 ? rest.n : (size_t)slash}, server;
    struct str path = {rest.p + servers.n, rest.n - servers.n};
    while (path.n > 0 && path.p[path.n - 1] == '/')
        path.n--;
    if (servers.n == 0)
        return error_set(err, -EINVAL, "no server is named");
    struct buf list = BUF_INIT;
    int r = 0;
    while (r == 0 && str_split(&servers, ',', &server))
        r = add_server(server, &list, err);
    if (r == 0)
        r = check_path(path, err);
    ret->servers = buf_steal(&list);
    ret->path = str_dup(path);
    return r;
}

int zk_url_parse(const char *text, struct zk_url *ret, struct error *err)
{
    struct zk_url u = {0};
    if (!zk_is_url(text))
        return error_set(err, -EINVAL, "expected zk://host:port,host:port/path");
    struct str rest = str_of(text + sizeof(g_scheme) - 1);
    if (rest.n > ZK_URL_MAX)
        return error_set(err, -EINVAL, "zk URL is longer than %d bytes", ZK_URL_MAX);
    int r = parse(rest, &u, err);
    if (r < 0) {
        zk_url_done(&u);
        return error_prefix(err, r, "zk URL");
    }
    *ret = u;
    return 0;
}

int zk_flag_load(const char *text, char **ret, struct error *err)
{
    const char *path = has_prefix(text, "file://") ? text + strlen("file://") : text;
    if (path[0] != '/') {
        if (path != text)
            return error_set(err, -EINVAL, "'%s': expected file:///absolute/path", text);
        *ret = xstrdup(text);
        return 0;
    }
    _cleanup_buf_ struct buf b = BUF_INIT;
    int r = file_read(path, ZK_URL_MAX, &b, err);
    if (r < 0)
        return r;
    struct str content = str_trim(buf_str(&b));
    if (content.n == 0)
        return error_set(err, -EINVAL, "file %s is empty", path);
    *ret = str_dup(content);
    return 0;
}

char *zk_url_shown(const char *text)
{
    const char *at = zk_is_url(text) ? strrchr(text, '@') : NULL;
    return at ? xasprintf("%sxxxxxxxx:xxxxxxxx@%s", g_scheme, at + 1) : xstrdup(text);
}

void zk_hide_passwords(struct flag *flags, size_t n)
{
    static char shown[4][ZK_URL_MAX + 64]; /* a program has few such flags */
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        if (!flags[i].value_text || !zk_is_url(flags[i].value_text))
            continue;
        _cleanup_free_ char *text = zk_url_shown(flags[i].value_text);
        if (streq(text, flags[i].value_text))
            continue;
        if (used == ARRAY_SIZE(shown)) {
            flags[i].secret = true;
            continue;
        }
        (void)snprintf(shown[used], sizeof(shown[used]), "%s", text);
        flags[i].value_text = shown[used++];
    }
}
