#ifndef DCOS_ROUTER_NGINX_MODULE_H
#define DCOS_ROUTER_NGINX_MODULE_H

/*
 * The part of the router that lives in nginx's workers: who is it, may they, where to. The daemon
 * (src/router) writes the configuration and the tables (router/table.h); a request is decided here
 * without asking anybody.
 *
 * Directives, all written by the daemon:
 *
 *     http:      dcos_tables <folder>;             where the tables are
 *                dcos_pages <401 file> <403 file>; bodies of refusals
 *                dcos_challenge <text>;            WWW-Authenticate of a 401
 *     location:  dcos_auth off|token|full <rid>;   nobody is asked; any valid token; and permission
 *                dcos_target <kind> [<port>];      mesos agent service agent_router leader_mesos
 *                                                  leader_marathon: the upstream is picked by table
 *                dcos_path <prefix> <replacement>; path for the upstream; "-" is nothing
 *                dcos_location <prefix>;           Location headers get it in front
 *                dcos_tag <name>;                  upstream's name in metrics
 *                dcos_absent <text>;               404 with that text
 *                dcos_show metrics|status;         answers with them
 *     upstream:  dcos_peer;                        connects to where the target is
 *
 * Variables: $dcos_uid, $dcos_cookie (without the router's cookies), $dcos_authorization,
 * $dcos_forwarded; $dcos_headers, $dcos_headers_no_token, $dcos_headers_upgrade (headers.c).
 *
 * The path is what nginx matched locations with, never another reading of the same bytes: a raw
 * path is passed on as it came only when it has nothing in it that two readers could take
 * differently (see path.c).
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "router/table.h"

enum { ROUTER_CANDIDATES_MAX = 10, ROUTER_WAIT_STEP_MS = 20, ROUTER_WAIT_MAX_MS = 10000 };

enum route_target {
    ROUTE_FIXED,
    ROUTE_MESOS,
    ROUTE_AGENT,
    ROUTE_SERVICE,
    ROUTE_AGENT_ROUTER,
    ROUTE_LEADER_MESOS,
    ROUTE_LEADER_MARATHON,
};

enum route_auth { ROUTE_OPEN, ROUTE_TOKEN, ROUTE_FULL };
enum route_show { SHOW_NOTHING, SHOW_METRICS, SHOW_STATUS };

struct router_main {
    ngx_str_t folder, challenge;
    ngx_str_t unauthorized, forbidden; /* bodies */
    struct table_reader *tables;       /* of this worker */
    struct metrics *metrics;           /* shared by the workers */
};

struct router_location {
    ngx_uint_t auth, target, show, port;
    ngx_str_t rid, prefix, replacement, location, tag, absent;
    ngx_flag_t here;       /* any directive of ours */
    struct series *series; /* of `tag`, once this worker has counted one; see metrics.c */
};

/* A request's headers of one name. Before 1.23 nginx kept them in an array. */
#if nginx_version >= 1023000
#define HEADER_FOREACH(r, list, array, h)                                                          \
    for (ngx_table_elt_t *h = (r)->headers_in.list; h; h = h->next)
#else
#define HEADER_FOREACH(r, list, array, h)                                                          \
    for (ngx_uint_t h##_i = 0; h##_i < (r)->headers_in.array.nelts; h##_i++)                       \
        for (ngx_table_elt_t *h = ((ngx_table_elt_t **)(r)->headers_in.array.elts)[h##_i],         \
                             *h##_once = h;                                                        \
             h##_once; h##_once = NULL)
#endif

enum names { NAMES_UNASKED, NAMES_ASKED, NAMES_FOUND, NAMES_NOTHING, NAMES_FAILED };

struct router_request {
    ngx_str_t uid, token;
    bool from_cookie;
    bool decided;
    struct {
        struct sockaddr_storage address;
        socklen_t length;
        ngx_str_t name; /* as text, for logs; in `text` */
        u_char text[NGX_SOCKADDR_STRLEN];
        bool tls;
    } upstream;
    ngx_str_t location;              /* prefix for Location headers; empty: they are left alone */
    ngx_str_t service;               /* name as in the path */
    struct router_location *counted; /* whose tag counts it */
    ngx_str_t forwarded;             /* "true" on a hop to another master */
    enum names names;                /* what names.c knows of the candidate */
    ngx_uint_t named_candidate;
    struct target named;
    ngx_event_t wait;
    ngx_msec_t waited_ms;
    ngx_http_request_t *request;
};

extern ngx_module_t ngx_http_dcos_module;

struct router_request *router_request(ngx_http_request_t *r); /* made when there is none */
/* The worker's tables; NULL while the daemon has not made them. */
struct table_reader *router_tables(ngx_http_request_t *r);

/* ---- identity.c ---- */

/* Whose token it is: NGX_OK with ctx->uid and ctx->token, or NGX_HTTP_UNAUTHORIZED. */
ngx_int_t identity_check(ngx_http_request_t *r, struct router_request *ctx);
bool identity_may(ngx_http_request_t *r, const ngx_str_t *uid, const char *rid, size_t n);

/* ---- headers.c ---- */

ngx_int_t headers_preconfiguration(ngx_conf_t *cf); /* adds the variables */

/* ---- path.c ---- */

/* Sets the path that the upstream gets: `replacement` in the place of `prefix`. */
ngx_int_t path_map(ngx_http_request_t *r, const ngx_str_t *prefix, const ngx_str_t *replacement);

/* ---- route.c ---- */

/* Finds the upstream. NGX_OK; NGX_AGAIN when it must wait; NGX_DONE when it was answered. */
ngx_int_t route_find(
    ngx_http_request_t *r, struct router_location *conf, struct router_request *ctx);
/* "/service/<name>" with nothing behind it, where the name is one segment of plain letters. */
bool route_lacks_slash(const ngx_str_t *uri);
char *route_peer_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* ---- names.c ---- */

/* Starts to ask; NGX_AGAIN, and the phases run again when ctx->names is more than NAMES_ASKED. */
ngx_int_t names_ask(ngx_http_request_t *r, struct router_request *ctx, const char *name, size_t n);

/* ---- answer.c ---- */

/* Answers and finalizes: returns NGX_DONE. */
ngx_int_t answer_text(ngx_http_request_t *r, ngx_uint_t status, const char *fmt, ...);
/* Redirects to the same path with a slash behind it: returns the status to end the phase with. */
ngx_int_t answer_slash(ngx_http_request_t *r);
ngx_int_t answer_unauthorized(ngx_http_request_t *r);
ngx_int_t answer_forbidden(ngx_http_request_t *r);
ngx_int_t answer_init(ngx_conf_t *cf); /* header filter */

/* ---- metrics.c ---- */

char *metrics_zone(ngx_conf_t *cf, struct router_main *main);
ngx_int_t metrics_log(ngx_http_request_t *r);
ngx_int_t metrics_show(ngx_http_request_t *r);
ngx_int_t metrics_show_status(ngx_http_request_t *r);

#endif
