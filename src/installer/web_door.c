#include <arpa/inet.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/rng.h"
#include "installer/web-internal.h"

enum { HOST_NAME_SIZE = 256, HOST_TEXT_MAX = 255 };

static void draw(char ret[WEB_SECRET_TEXT])
{
    uint8_t bytes[WEB_SECRET_BYTES];
    random_bytes(bytes, sizeof(bytes));
    hex_encode(bytes, sizeof(bytes), ret);
    explicit_bzero(bytes, sizeof(bytes));
}

static bool is_secret(struct str given, const char *secret)
{
    return given.n == WEB_SECRET_TEXT - 1 && CRYPTO_memcmp(given.p, secret, given.n) == 0;
}

static void invite(struct web_door *d)
{
    draw(d->code);
    printf("Open %s/?token=%s in a browser; this address works once\n", d->address, d->code);
    fflush(stdout);
}

int web_door_open(struct web_door *d, const struct installer *in, const char *host, uint16_t port,
    struct error *err)
{
    bool six = strchr(host, ':');
    *d = (struct web_door){
        .address = xasprintf("http://%s%s%s:%u", six ? "[" : "", host, six ? "]" : "", port),
        .cookie = xasprintf("dcos_installer_%u", port),
        .token_path = installer_path(in, "state/web.token")};
    draw(d->session);
    draw(d->token);
    _cleanup_free_ char *folder = installer_path(in, "state"), *line = xasprintf("%s\n", d->token);
    int r = mkdir_all(folder, 0755, err);
    if (r == 0)
        r = file_write_atomic(d->token_path, line, strlen(line), 0600, err);
    explicit_bzero(line, strlen(line));
    if (r < 0) {
        web_door_close(d);
        return r;
    }
    printf("Starting DC/OS installer in web mode on %s\n", d->address);
    if (!has_prefix(host, "127.") && !streq(host, "::1"))
        puts("WARNING: the way there is not encrypted: whoever is on it can read the token");
    printf(
        "Programs send the header 'Authorization: token=...' with what is in %s\n", d->token_path);
    invite(d);
    return 0;
}

void web_door_close(struct web_door *d)
{
    if (d->token_path)
        (void)unlink(d->token_path); /* the token means nothing any more */
    free(d->address);
    free(d->cookie);
    free(d->token_path);
    explicit_bzero(d, sizeof(*d));
}

/* ---- what a request shows ---- */

bool web_host_is_ours(struct str host)
{
    char name[HOST_NAME_SIZE] = "", text[HOST_TEXT_MAX + 1];
    struct in6_addr address;
    if (host.n > 0 && host.p[0] == '[') {
        ptrdiff_t end = str_index(host, ']');
        host = end < 0 ? (struct str){"", 0} : (struct str){host.p + 1, (size_t)end - 1};
    } else {
        ptrdiff_t colon = str_index(host, ':');
        host.n = colon < 0 ? host.n : (size_t)colon;
    }
    if (host.n == 0 || host.n > HOST_TEXT_MAX)
        return false;
    memcpy(text, host.p, host.n);
    text[host.n] = '\0';
    /* Nobody can make a number lead elsewhere than it does. */
    if (inet_pton(AF_INET, text, &address) == 1 || inet_pton(AF_INET6, text, &address) == 1)
        return strlen(text) == host.n;
    (void)gethostname(name, sizeof(name) - 1);
    return str_ieq_c(host, "localhost") || (name[0] && str_ieq_c(host, name));
}

/* A page of somebody else in the operator's browser could post to us too. Browsers say from where;
 * programs need not. */
static bool is_from_elsewhere(const struct http_request *req)
{
    static const char mark[] = "://";
    struct str origin = http_request_header(req, "Origin");
    if (origin.n == 0)
        return false;
    ptrdiff_t at = str_index(origin, ':');
    struct str rest = at < 0 ? origin : (struct str){origin.p + at, origin.n - (size_t)at};
    if (!str_has_prefix(rest, str_of(mark)))
        return true;
    rest = (struct str){rest.p + strlen(mark), rest.n - strlen(mark)};
    return !str_eq(rest, http_request_header(req, "Host"));
}

static bool has_cookie(const struct web_door *d, struct http_request *req)
{
    struct str cookies = http_headers_join(&req->headers, "Cookie", &req->arena), part;
    while (cookies.n > 0 && str_split(&cookies, ';', &part)) {
        part = str_trim(part);
        ptrdiff_t at = str_index(part, '=');
        if (at >= 0 && str_eq_c((struct str){part.p, (size_t)at}, d->cookie) &&
            is_secret((struct str){part.p + at + 1, part.n - (size_t)at - 1}, d->session))
            return true;
    }
    return false;
}

static bool has_token(const struct web_door *d, const struct http_request *req)
{
    static const char *const schemes[] = {"token=", "Bearer "};
    struct str given = http_request_header(req, "Authorization");
    for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
        size_t n = strlen(schemes[i]);
        if (str_has_prefix(given, str_of(schemes[i])) &&
            is_secret((struct str){given.p + n, given.n - n}, d->token))
            return true;
    }
    return false;
}

/* The address with the code, from the operator's terminal. */
static bool let_browser_in(struct web_door *d, struct http_request *req)
{
    struct str code = http_request_param(req, "token");
    if (req->method != HTTP_GET || !str_eq_c(req->path, "/") || !code.p)
        return false;
    if (!is_secret(code, d->code)) {
        http_respond_text(req, 403,
            "403: this address was used already; the installer has printed another one\n");
        return true;
    }
    http_set_header_f(
        req, "Set-Cookie", "%s=%s; Path=/; HttpOnly; SameSite=Strict", d->cookie, d->session);
    http_set_header(req, "Location", "/");
    http_respond_text(req, 302, "302: Found\n");
    invite(d);
    return true;
}

static void refuse(struct http_request *req)
{
    static const char why[] = "not logged in: open the address that the installer printed, or send "
                              "its token in the header Authorization";
    http_set_header(req, "WWW-Authenticate", "token");
    if (str_has_prefix(req->path, STR("/api/")))
        web_answer_take(req, 401, json_pack("{s:s}", "error", why));
    else
        http_respond_text(req, 401, "401: %s\n", why);
}

bool web_door_admit(struct web_door *d, struct http_request *req)
{
    if (!web_host_is_ours(http_request_header(req, "Host"))) {
        http_respond_text(req, 403, "403: the installer does not go by that name\n");
        return false;
    }
    if (is_from_elsewhere(req)) {
        http_respond_text(req, 403, "403: this page does not belong to the installer\n");
        return false;
    }
    if (let_browser_in(d, req))
        return false;
    if (has_cookie(d, req) || has_token(d, req))
        return true;
    refuse(req);
    return false;
}
