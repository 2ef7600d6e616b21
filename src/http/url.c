/* Percent-escapes, query strings, URLs, and small header values. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parse.h"
#include "base/vec.h"
#include "http/http.h"
#include "http/server-internal.h"

enum { PARAMS_MAX = 1000 };

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

struct str http_unescape(struct str text, bool plus, struct arena *arena)
{
    char *out = arena_alloc(arena, text.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '%') {
            int high = i + 2 < text.n ? hex_digit(text.p[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(text.p[i + 2]) : -1;
            if (low < 0)
                return (struct str){0};
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        if (c == '\0')
            return (struct str){0};
        out[n++] = c;
    }
    out[n] = '\0';
    return (struct str){out, n};
}

void http_escape(struct buf *out, struct str text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            c == '-' || c == '.' || c == '_' || c == '~') {
            buf_putc(out, (char)c);
        } else {
            buf_putc(out, '%');
            buf_putc(out, digits[c >> 4]);
            buf_putc(out, digits[c & 15]);
        }
    }
}

int http_params_parse(struct str text, struct arena *arena, struct http_params *ret)
{
    return http_params_parse_with(text, false, arena, ret);
}

int http_params_parse_with(
    struct str text, bool skip_bad, struct arena *arena, struct http_params *ret)
{
    size_t max = 1;
    for (size_t i = 0; i < text.n; i++)
        max += text.p[i] == '&';
    if (max > PARAMS_MAX)
        return -EINVAL;
    struct http_params params = {.items = arena_new_array(arena, struct http_param, max)};
    struct str part;
    while (str_split(&text, '&', &part)) {
        if (part.n == 0)
            continue;
        ptrdiff_t eq = str_index(part, '=');
        struct str name = part, value = {"", 0};
        if (eq >= 0) {
            name.n = (size_t)eq;
            value = (struct str){part.p + eq + 1, part.n - (size_t)eq - 1};
        }
        struct http_param *item = &params.items[params.n];
        item->name = http_unescape(name, true, arena);
        item->value = http_unescape(value, true, arena);
        if (item->name.p && item->value.p)
            params.n++;
        else if (!skip_bad)
            return -EINVAL;
    }
    *ret = params;
    return 0;
}

struct str http_params_get(const struct http_params *p, const char *name)
{
    for (size_t i = 0; i < p->n; i++)
        if (str_eq_c(p->items[i].name, name))
            return p->items[i].value;
    return (struct str){0};
}

/* Visible ASCII only: anything else would have to be escaped. */
static bool printable(struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] <= ' ' || text.p[i] >= 127)
            return false;
    return true;
}

static int parse_authority(struct str authority, struct http_url *url, struct error *err)
{
    for (size_t i = authority.n; i-- > 0;)
        if (authority.p[i] == '@') {
            url->userinfo = (struct str){authority.p, i};
            authority = (struct str){authority.p + i + 1, authority.n - i - 1};
            break;
        }
    struct str port = {0};
    if (authority.n > 0 && authority.p[0] == '[') {
        ptrdiff_t close = str_index(authority, ']');
        if (close < 0)
            return error_set(err, -EINVAL, "URL: missing ']'");
        url->host = (struct str){authority.p + 1, (size_t)close - 1};
        struct str rest = {authority.p + close + 1, authority.n - (size_t)close - 1};
        if (rest.n > 0) {
            if (rest.p[0] != ':')
                return error_set(err, -EINVAL, "URL: bad text after ']'");
            port = (struct str){rest.p + 1, rest.n - 1};
        }
    } else {
        ptrdiff_t colon = str_index(authority, ':');
        url->host = authority;
        if (colon >= 0) {
            url->host.n = (size_t)colon;
            port = (struct str){authority.p + colon + 1, authority.n - (size_t)colon - 1};
        }
    }
    if (url->host.n == 0)
        return error_set(err, -EINVAL, "URL: no host");
    if (port.n > 0 &&
        (port.p[0] < '0' || port.p[0] > '9' || parse_port(port, &url->port) < 0 || url->port == 0))
        return error_set(err, -EINVAL, "URL: bad port");
    return 0;
}

int http_url_parse(struct str text, struct http_url *ret, struct error *err)
{
    struct http_url url = {.port = 80, .userinfo = {"", 0}};
    struct str scheme = text;
    ptrdiff_t colon = str_index(text, ':');
    if (!printable(text))
        return error_set(err, -EINVAL, "URL: blank or control character");
    scheme.n = colon > 0 ? (size_t)colon : 0;
    if (str_ieq_c(scheme, "https")) {
        url.tls = true;
        url.port = 443;
    } else if (!str_ieq_c(scheme, "http")) {
        return error_set(err, -EINVAL, "URL: must begin with http:// or https://");
    }
    struct str rest = {text.p + colon + 1, text.n - (size_t)colon - 1};
    if (!str_has_prefix(rest, STR("//")))
        return error_set(err, -EINVAL, "URL: must begin with http:// or https://");
    rest = (struct str){rest.p + 2, rest.n - 2};
    ptrdiff_t hash = str_index(rest, '#');
    if (hash >= 0)
        rest.n = (size_t)hash; /* fragments are never sent */
    struct str authority = rest;
    for (size_t i = 0; i < rest.n; i++)
        if (rest.p[i] == '/' || rest.p[i] == '?') {
            authority.n = i;
            break;
        }
    int r = parse_authority(authority, &url, err);
    if (r < 0)
        return r;
    url.target = (struct str){rest.p + authority.n, rest.n - authority.n};
    if (url.target.n == 0)
        url.target = STR("/");
    else if (url.target.p[0] == '?')
        return error_set(err, -EINVAL, "URL: the path must begin with '/'");
    *ret = url;
    return 0;
}

/* ---- header lists ---- */

struct str http_headers_get(const struct http_headers *h, const char *name)
{
    for (size_t i = 0; i < h->n; i++)
        if (str_ieq_c(h->items[i].name, name))
            return h->items[i].value;
    return (struct str){0};
}

struct str http_headers_join(const struct http_headers *h, const char *name, struct arena *arena)
{
    size_t n = 0, found = 0, at = 0;
    struct str last = {0};
    for (size_t i = 0; i < h->n; i++)
        if (str_ieq_c(h->items[i].name, name)) {
            last = h->items[i].value;
            n += last.n + 2;
            found++;
        }
    if (found <= 1)
        return last;
    char *out = arena_alloc(arena, n + 1);
    for (size_t i = 0; i < h->n; i++) {
        struct str value = h->items[i].value;
        if (!str_ieq_c(h->items[i].name, name))
            continue;
        if (at > 0) {
            memcpy(out + at, ", ", 2);
            at += 2;
        }
        if (value.n)
            memcpy(out + at, value.p, value.n);
        at += value.n;
    }
    out[at] = '\0';
    return (struct str){out, at};
}

/* ---- names ---- */

static const char *const method_names[] = {
    [HTTP_GET] = "GET",
    [HTTP_HEAD] = "HEAD",
    [HTTP_POST] = "POST",
    [HTTP_PUT] = "PUT",
    [HTTP_DELETE] = "DELETE",
    [HTTP_PATCH] = "PATCH",
    [HTTP_OPTIONS] = "OPTIONS",
};

const char *http_method_name(enum http_method m)
{
    return m < HTTP_METHOD_OTHER ? method_names[m] : "OTHER";
}

enum http_method http_method_parse(struct str name)
{
    for (enum http_method m = 0; m < HTTP_METHOD_OTHER; m++)
        if (str_eq_c(name, method_names[m]))
            return m;
    return HTTP_METHOD_OTHER;
}

const char *http_status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } names[] = {
        {100, "Continue"},
        {101, "Switching Protocols"},
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Payload Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Entity"},
        {423, "Locked"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (names[i].status == status)
            return names[i].text;
    return "Unknown";
}

/* ---- Content-Type and Accept ---- */

struct str http_media_type(struct str content_type)
{
    ptrdiff_t i = str_index(content_type, ';');
    if (i >= 0)
        content_type.n = (size_t)i;
    return str_trim(content_type);
}

/* A quality that is no number accepts nothing either. */
static bool zero_quality(struct str params)
{
    struct str param;
    while (str_split(&params, ';', &param)) {
        param = str_trim(param);
        if (param.n < 2 || (param.p[0] | 0x20) != 'q' || param.p[1] != '=')
            continue;
        double q;
        return parse_double(str_trim((struct str){param.p + 2, param.n - 2}), &q) < 0 || q <= 0;
    }
    return false;
}

bool http_accepts(struct str accept, const char *media_type)
{
    if (str_trim(accept).n == 0)
        return accept.p == NULL || accept.n == 0;
    struct str want = str_of(media_type), type = want;
    ptrdiff_t slash = str_index(want, '/');
    if (slash >= 0)
        type.n = (size_t)slash;
    /* The most specific entry decides: exact, then type wildcard, then the full wildcard. */
    int best = -1;
    bool accepted = false;
    struct str entry;
    while (str_split(&accept, ',', &entry)) {
        ptrdiff_t semicolon = str_index(entry, ';');
        struct str name = entry, params = {"", 0};
        if (semicolon >= 0) {
            name.n = (size_t)semicolon;
            params = (struct str){entry.p + semicolon + 1, entry.n - (size_t)semicolon - 1};
        }
        name = str_trim(name);
        int rank = -1;
        if (str_ieq_c(name, media_type))
            rank = 2;
        else if (str_eq_c(name, "*/*") || str_eq_c(name, "*"))
            rank = 0;
        else if (name.n == type.n + 2 && str_has_suffix(name, STR("/*")) &&
                 strncasecmp(name.p, type.p, type.n) == 0)
            rank = 1;
        if (rank > best) {
            best = rank;
            accepted = !zero_quality(params);
        }
    }
    return accepted;
}
