/*
 * Routing by table. A pattern is compared segment by segment with the decoded path; the values of
 * its variables stay views into that path.
 */

#include <string.h>

#include "http/server-internal.h"

static bool match(const char *pattern, struct str path, struct str *vars)
{
    const char *p = pattern;
    size_t i = 0, n = 0;
    for (;;) {
        if (*p == '*') {
            if (i == path.n || n == HTTP_ROUTE_VARS_MAX)
                return false;
            vars[n] = (struct str){path.p + i, path.n - i};
            return true;
        }
        if (*p == ':') {
            size_t start = i;
            while (i < path.n && path.p[i] != '/')
                i++;
            if (i == start || n == HTTP_ROUTE_VARS_MAX)
                return false;
            vars[n++] = (struct str){path.p + start, i - start};
            p += strcspn(p, "/");
            continue;
        }
        if (*p == '\0' || i == path.n)
            return *p == '\0' && i == path.n;
        if (*p != path.p[i])
            return false;
        p++;
        i++;
    }
}

static bool method_fits(const struct http_route *route, enum http_method method)
{
    if (route->methods == 0 || (route->methods & (1u << method)))
        return true;
    return method == HTTP_HEAD && (route->methods & (1u << HTTP_GET));
}

static void refuse_method(struct http_request *req, unsigned allowed)
{
    _cleanup_buf_ struct buf allow = BUF_INIT;
    if (allowed & (1u << HTTP_GET))
        allowed |= 1u << HTTP_HEAD;
    for (enum http_method m = 0; m < HTTP_METHOD_OTHER; m++)
        if (allowed & (1u << m))
            buf_printf(&allow, "%s%s", allow.n ? ", " : "", http_method_name(m));
    http_set_header(req, "Allow", buf_cstr(&allow));
    http_respond_text(req, 405, "Allowed here: %s.\n", buf_cstr(&allow));
}

static void run_collected(struct http_request *req)
{
    struct exchange *x = (struct exchange *)req;
    x->route->handler(req, x->route_userdata);
}

bool http_route(struct http_request *req, const struct http_route *routes, size_t n, void *userdata)
{
    struct exchange *x = (struct exchange *)req;
    unsigned allowed = 0;
    for (size_t i = 0; i < n; i++) {
        const struct http_route *route = &routes[i];
        if (!match(route->pattern, req->path, x->vars))
            continue;
        if (!method_fits(route, req->method)) {
            allowed |= route->methods;
            continue;
        }
        x->route = route;
        x->route_userdata = userdata;
        if (route->body_max > 0)
            http_request_collect(req, route->body_max, run_collected);
        else
            route->handler(req, userdata);
        return true;
    }
    memset(x->vars, 0, sizeof(x->vars));
    if (allowed)
        refuse_method(req, allowed);
    else
        http_respond_text(req, 404, "Nothing is served at this path.\n");
    return false;
}

struct str http_route_var(const struct http_request *req, const char *name)
{
    const struct exchange *x = (const struct exchange *)req;
    size_t n = 0, len = strlen(name);
    if (!x->route)
        return (struct str){0};
    for (const char *p = x->route->pattern; *p; p++) {
        if ((*p != ':' && *p != '*') || (p > x->route->pattern && p[-1] != '/'))
            continue;
        size_t var = strcspn(p + 1, "/");
        if (var == len && memcmp(p + 1, name, len) == 0)
            return x->vars[n];
        n++;
    }
    return (struct str){0};
}
