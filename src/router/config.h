#ifndef DCOS_ROUTER_CONFIG_H
#define DCOS_ROUTER_CONFIG_H

/*
 * nginx's configuration, made from options and the table of routes (routes.c). No I/O.
 *
 * Routes follow Admin Router's; a route whose backend is not configured answers 404 once the
 * caller is known, and says so.
 */

#include "base/buf.h"
#include "base/error.h"

enum backend {
    BACKEND_NONE,
    BACKEND_IAM,
    BACKEND_COSMOS,
    BACKEND_NAMES, /* mesos-dns' HTTP API */
    BACKEND_NET,
    BACKEND_DIAGNOSTICS,
    BACKEND_CHECKS,
    BACKEND_LOG,
    BACKEND_METRICS,
    BACKEND_PKGPANDA,
    BACKEND_UI_UPDATE,
    BACKEND_EXHIBITOR,
    BACKENDS,
};

struct router_options {
    bool agent; /* routes of an agent's node; else a master's */
    const char *ip;
    uint16_t port, tls_port; /* 0: none */
    const char *tls_cert, *tls_key, *ca_cert;
    const char *tls_protocols, *tls_ciphers;
    const char *run_dir, *nginx, *nginx_module, *user, *group;
    int64_t workers, worker_connections;
    const char *master, *marathon, *iam_socket;
    const char *backends[BACKENDS]; /* "HOST:PORT" or "unix:/path"; NULL: not there */
    bool mesos_tls;                 /* masters and agents speak TLS */
    const char *upstream_ca, *upstream_name;
    uint16_t agent_router_port, leader_router_port;
    const char *host_ip;
    const char *auth; /* exactly "false" turns it off */
    bool cache_needs_auth, permissions;
    const char *challenge;
    const char *frame_options, *ui_dir, *metadata_dir, *access_log, *log_level;
    const char *oauth_redirector, *oauth_client_id, *cluster_id;
    int64_t header_timeout_us, stale_limit_us;
    bool detached; /* nginx is somebody else's to start */
};

enum route_match {
    MATCH_EXACT,
    MATCH_PREFIX, /* nothing inside it is matched by a regex: those are not even tried */
    MATCH_OUTER,  /* a prefix with paths inside it that belong to a regex */
    MATCH_REGEX,
};

enum {
    ON_MASTER = 1u << 0,
    ON_AGENT = 1u << 1,
    ROUTE_OPEN_TO_ALL = 1u << 2,
    ROUTE_NO_AUTHORIZATION = 1u << 3, /* the token stops here */
    ROUTE_NO_CACHE = 1u << 4,         /* the three headers that forbid caching */
    ROUTE_STREAMS = 1u << 5,          /* answers are not buffered */
    ROUTE_STREAMS_REQUEST = 1u << 6,  /* nor requests */
    ROUTE_LOCATION = 1u << 7,         /* Location headers are put behind the prefix */
    ROUTE_NO_ENCODING = 1u << 8,      /* Accept-Encoding stops here */
    ROUTE_SLASH = 1u << 9,            /* without its last slash: 301 */
    ROUTE_LONG = 1u << 10,            /* 300 s between bytes */
    ROUTE_TOKEN_ONLY = 1u << 11,      /* the backend decides who may */
};

struct route {
    enum route_match match;
    const char *path;
    unsigned flags;
    enum backend backend;
    const char *target; /* of dcos_target, or NULL */
    const char *prefix, *replacement;
    const char *rid; /* behind "dcos:adminrouter:", or NULL */
    const char *tag;
    const char *own_text; /* directives in place of a proxy, or NULL */
};
extern const struct route routes[];
extern const size_t n_routes;

const char *backend_name(enum backend b); /* of its upstream block and flag */

/* Appends the configuration. Every text from options is checked to be free of what would end a
 * directive: -EINVAL names it. */
int config_write(const struct router_options *o, struct buf *out, struct error *err);

/* Bodies of refusals and the landing page. */
extern const char page_unauthorized[], page_forbidden[], page_landing[];

#endif
