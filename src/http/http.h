#ifndef DCOS_HTTP_HTTP_H
#define DCOS_HTTP_HTTP_H

/* HTTP/1.1 vocabulary shared by server and client. */

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

/* Limits of everything that a peer can send; exceeding one gives the status named. */
enum {
    HTTP_TARGET_MAX = 16 * 1024,     /* 414 */
    HTTP_HEAD_MAX = 64 * 1024,       /* 431, all header bytes */
    HTTP_HEADERS_MAX = 128,          /* 431 */
    HTTP_BODY_MAX = 8 * 1024 * 1024, /* 413, default of collected bodies */
};

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_DELETE,
    HTTP_PATCH,
    HTTP_OPTIONS,
    HTTP_METHOD_OTHER,
};
const char *http_method_name(enum http_method m);
enum http_method http_method_parse(struct str name);
const char *http_status_text(int status); /* "Not Found"; "Unknown" for others */

struct http_header {
    struct str name, value;
};

/* In order of arrival; at most HTTP_HEADERS_MAX. The array lives with its request or response. */
struct http_headers {
    const struct http_header *items;
    size_t n;
};

/* First value of a header, case ignored; {NULL,0} when absent. */
struct str http_headers_get(const struct http_headers *h, const char *name);
/* All values of a header joined with ", " in the arena; {NULL,0} when absent. */
struct str http_headers_join(const struct http_headers *h, const char *name, struct arena *arena);

/* Percent-decoding to the arena; '+' becomes a blank when `plus`. {NULL,0} for bad escapes or %00.
 */
struct str http_unescape(struct str text, bool plus, struct arena *arena);
void http_escape(struct buf *out, struct str text); /* everything but unreserved characters */

struct http_param {
    struct str name, value; /* decoded */
};
struct http_params {
    struct http_param *items;
    size_t n;
};
/* Query string or application/x-www-form-urlencoded body. Bad escapes: -EINVAL. At most 1000. */
int http_params_parse(struct str text, struct arena *arena, struct http_params *ret);
/* First value; {NULL,0} when absent. */
struct str http_params_get(const struct http_params *p, const char *name);

struct http_url {
    bool tls;
    struct str host;     /* without brackets */
    uint16_t port;       /* default filled in */
    struct str target;   /* path and query, "/" at least */
    struct str userinfo; /* may be empty */
};
/* Absolute http:// or https:// URL. The views point into text. */
int http_url_parse(struct str text, struct http_url *ret, struct error *err);

/* Accept header as Mesos reads it: a comma list with parameters cut, compared to "type/subtype",
 * then to the wildcards; q of 0 or less excludes. A missing header accepts everything. */
bool http_accepts(struct str accept, const char *media_type);
/* A Content-Type without its parameters. */
struct str http_media_type(struct str content_type);

#endif
