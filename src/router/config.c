#include "router/config.h"

#include <errno.h>

#include "base/clock.h"

/* One directive a line, as one would write it. Texts of options stand in double quotes. */

struct writer {
    const struct router_options *o;
    struct buf *out;
};

static bool auth_is_on(const struct router_options *o)
{
    return !streq(o->auth, "false");
}

static void put_auth(struct writer *w, const struct route *r)
{
    const struct router_options *o = w->o;
    if (!auth_is_on(o) || r->flags & ROUTE_OPEN_TO_ALL || (o->agent && !o->cache_needs_auth))
        buf_puts(w->out, "            dcos_auth off;\n");
    else if (!o->permissions || r->flags & ROUTE_TOKEN_ONLY || (!r->rid && !r->target))
        buf_puts(w->out, "            dcos_auth token;\n");
    else if (r->rid)
        buf_printf(w->out, "            dcos_auth full \"dcos:adminrouter:%s\";\n", r->rid);
    else
        buf_puts(w->out, "            dcos_auth full;\n");
}

/* One variable holds them all (nginx/headers.c); names with an empty value are the client's that
 * go no further. */
static void put_headers(struct writer *w, unsigned flags, bool upgrade)
{
    static const char *const names[] = {"Host", "X-Forwarded-For", "X-Forwarded-Proto", "Cookie",
        "Authorization", "Upgrade", "Connection"};
    const char *kind = upgrade ? "_upgrade" : flags & ROUTE_NO_AUTHORIZATION ? "_no_token" : "";
    buf_printf(w->out, "            proxy_set_header X-Real-IP $dcos_headers%s;\n", kind);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        buf_printf(w->out, "            proxy_set_header %s \"\";\n", names[i]);
    if (flags & ROUTE_NO_ENCODING)
        buf_puts(w->out, "            proxy_set_header Accept-Encoding \"\";\n");
}

static void put_proxy_settings(struct writer *w, unsigned flags)
{
    if (flags & ROUTE_STREAMS)
        buf_puts(w->out, "            proxy_buffering off;\n");
    if (flags & ROUTE_STREAMS_REQUEST)
        buf_puts(w->out, "            proxy_request_buffering off;\n");
    if (flags & ROUTE_LONG)
        buf_puts(
            w->out, "            proxy_send_timeout 300s;\n            proxy_read_timeout 300s;\n");
    if (flags & ROUTE_NO_CACHE)
        buf_puts(w->out,
            "            add_header Cache-Control \"no-cache, no-store, must-revalidate\" always;\n"
            "            add_header Pragma \"no-cache\" always;\n"
            "            add_header Expires \"0\" always;\n");
}

static void put_location_head(struct writer *w, const struct route *r)
{
    static const char *const marks[] = {
        [MATCH_EXACT] = "= ", [MATCH_PREFIX] = "^~ ", [MATCH_OUTER] = "", [MATCH_REGEX] = "~ "};
    buf_printf(w->out, "        location %s\"%s\" {\n", marks[r->match], r->path);
}

static void put_slash_redirect(struct writer *w, const struct route *r)
{
    const int n = (int)strlen(r->path) - 1;
    buf_printf(w->out, "        location = \"%.*s\" { return 301 %s$is_args$args; }\n", n, r->path,
        r->path);
}

/* Masters and agents, or the routers of other nodes. */
static void put_kernel_pass(struct writer *w, bool kernel)
{
    const bool tls = kernel && w->o->mesos_tls;
    if (tls && w->o->upstream_ca)
        buf_puts(w->out, "            proxy_ssl_verify on;\n");
    buf_printf(w->out, "            proxy_pass %s;\n        }\n",
        tls ? "https://dcos_checked" : "http://dcos_plain");
}

static void put_route(struct writer *w, const struct route *r)
{
    const struct router_options *o = w->o;
    const char *backend = r->backend != BACKEND_NONE ? o->backends[r->backend] : NULL;
    if (r->flags & ROUTE_SLASH)
        put_slash_redirect(w, r);
    put_location_head(w, r);
    put_auth(w, r);
    if (!r->target && !backend) {
        buf_printf(w->out,
            "            dcos_absent \"%s is not part of this cluster.\";\n        }\n",
            backend_name(r->backend));
        return;
    }
    buf_printf(w->out, "            dcos_path \"%s\" \"%s\";\n", r->prefix ? r->prefix : "-",
        r->replacement ? r->replacement : "-");
    if (r->tag)
        buf_printf(w->out, "            dcos_tag %s;\n", r->tag);
    if (r->flags & ROUTE_LOCATION)
        buf_printf(
            w->out, "            dcos_location \"%.*s\";\n", (int)strlen(r->path) - 1, r->path);
    put_headers(w, r->flags, false);
    put_proxy_settings(w, r->flags);
    if (!r->target) {
        const bool tls = has_prefix(backend, "https://");
        if (tls && o->upstream_ca)
            buf_puts(w->out, "            proxy_ssl_verify on;\n");
        buf_printf(w->out, "            proxy_pass %s%s;\n        }\n",
            tls ? "https://" : "http://", backend_name(r->backend));
        return;
    }
    unsigned port = 0;
    if (streq(r->target, "agent_router"))
        port = o->agent_router_port;
    else if (has_prefix(r->target, "leader_"))
        port = o->leader_router_port;
    buf_printf(w->out, "            dcos_target %s", r->target);
    if (port) {
        buf_printf(w->out, " %u;\n", port);
        if (has_prefix(r->target, "leader_"))
            buf_puts(w->out, "            proxy_set_header DCOS-Forwarded $dcos_forwarded;\n");
    } else {
        buf_puts(w->out, ";\n");
    }
    put_kernel_pass(w, port == 0);
}

/* ---- services ---- */

/* Where the module asks mesos-dns: nothing of the client's goes there. */
static void put_names(struct writer *w)
{
    buf_puts(w->out, "        location /_dcos_names/ {\n            internal;\n");
    if (w->o->backends[BACKEND_NAMES])
        buf_puts(w->out, "            subrequest_output_buffer_size 64k;\n"
                         "            proxy_pass_request_headers off;\n"
                         "            proxy_pass_request_body off;\n"
                         "            proxy_set_header Content-Length \"\";\n"
                         "            proxy_set_header Transfer-Encoding \"\";\n"
                         "            proxy_set_header User-Agent \"Master Admin Router\";\n"
                         "            proxy_set_header Host $proxy_host;\n"
                         "            proxy_set_header Connection \"\";\n"
                         "            proxy_connect_timeout 2s;\n"
                         "            proxy_read_timeout 3s;\n"
                         "            proxy_pass http://mesos_dns/;\n");
    else
        buf_puts(w->out, "            return 502;\n");
    buf_puts(w->out, "        }\n");
}

static void put_services(struct writer *w)
{
    static const struct {
        const char *name, *upstream;
        bool raw, checked;
    } ways[] = {
        {"@dcos_http", "http://dcos_plain", false, false},
        {"@dcos_https", "https://dcos_tls", false, false},
        {"@dcos_http_raw", "http://dcos_plain", true, false},
        {"@dcos_https_raw", "https://dcos_tls", true, false},
        {"@dcos_checked", "https://dcos_checked", false, true},
    };
    static const struct route both[] = {
        {MATCH_PREFIX, "/service/", ON_MASTER, .target = "service"},
        {MATCH_PREFIX, "/marathon/", ON_MASTER, .target = "service"},
    };
    buf_puts(w->out, "        location = /marathon { return 307 /marathon/$is_args$args; }\n");
    for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
        put_location_head(w, &both[i]);
        put_auth(w, &both[i]);
        buf_puts(w->out, "            client_max_body_size 32768m;\n"
                         "            dcos_target service;\n        }\n");
    }
    put_names(w);
    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        if (ways[i].checked && !w->o->upstream_ca)
            continue;
        buf_printf(w->out, "        location %s {\n", ways[i].name);
        put_headers(w, 0, true);
        buf_puts(w->out, "            proxy_buffering off;\n"
                         "            client_max_body_size 32768m;\n");
        if (ways[i].raw)
            buf_puts(w->out, "            proxy_request_buffering off;\n"
                             "            proxy_read_timeout 600s;\n");
        if (ways[i].checked)
            buf_puts(w->out, "            proxy_ssl_verify on;\n");
        buf_printf(w->out, "            proxy_pass %s;\n        }\n", ways[i].upstream);
    }
}

/* ---- what the router has itself ---- */

static void put_own(struct writer *w, const char *location, const char *path, unsigned flags,
    const char *rid, const char *text)
{
    const struct route r = {.flags = flags, .rid = rid};
    buf_printf(w->out, "        location %s\"%s\" {\n", location, path);
    put_auth(w, &r);
    put_proxy_settings(w, flags);
    buf_puts(w->out, text);
    buf_puts(w->out, "        }\n");
}

static void put_files(struct writer *w)
{
    const struct router_options *o = w->o;
    _cleanup_buf_ struct buf text = BUF_INIT;
    put_own(w, "= ", "/dcos-metadata/dcos-version.json", ROUTE_OPEN_TO_ALL, NULL,
        "            add_header Cache-Control no-cache;\n");
    put_own(w, "= ", "/nginx/metrics", ROUTE_OPEN_TO_ALL, NULL, "            dcos_show metrics;\n");
    if (o->agent) {
        put_own(
            w, "", "/", ROUTE_OPEN_TO_ALL, NULL, "            dcos_absent \"nothing is here.\";\n");
        return;
    }
    put_own(w, "= ", "/nginx/status", ROUTE_OPEN_TO_ALL, NULL, "            dcos_show status;\n");
    put_own(w, "= ", "/pkgpanda/active.buildinfo.full.json", ROUTE_NO_CACHE, "ops:metadata", "");
    put_own(w, "", "/dcos-metadata/", 0, "ops:metadata", "");
    put_own(w, "", "/metadata", 0, "ops:metadata",
        "            default_type application/json;\n            try_files /metadata =404;\n");
    put_own(w, "", "/acs/api/v1/internal/", 0, "acs",
        "            dcos_absent \"not for callers outside of the node.\";\n");
    if (o->ca_cert)
        buf_printf(&text,
            "            alias \"%s\";\n            default_type application/x-pem-file;\n",
            o->ca_cert);
    else
        buf_puts(
            &text, "            dcos_absent \"this cluster has no certificate authority.\";\n");
    put_own(w, "= ", "/ca/dcos-ca.crt", ROUTE_OPEN_TO_ALL, NULL, buf_cstr(&text));
    buf_clear(&text);
    if (o->oauth_redirector)
        buf_printf(&text,
            "            return 302 \"%s/login?client=%s&cluster_id=%s$dcos_login_args\";\n",
            o->oauth_redirector, o->oauth_client_id ? o->oauth_client_id : "",
            o->cluster_id ? o->cluster_id : "");
    else
        buf_puts(&text, "            return 302 \"/#/login\";\n");
    put_own(w, "= ", "/login", ROUTE_OPEN_TO_ALL, NULL, buf_cstr(&text));
    buf_printf(w->out,
        "        location / {\n            root \"%s\";\n            expires 30s;\n"
        "            add_header X-Frame-Options \"%s\";\n        }\n"
        "        location /assets {\n            root \"%s\";\n            expires 2d;\n"
        "            gzip_static on;\n            gzip_proxied any;\n            gzip_vary on;\n"
        "            add_header X-Frame-Options \"%s\";\n        }\n",
        o->ui_dir, o->frame_options, o->ui_dir, o->frame_options);
}

static void put_cache(struct writer *w)
{
    const struct route r = {
        .flags = w->o->cache_needs_auth ? 0 : ROUTE_OPEN_TO_ALL, .rid = "ops:mesos"};
    buf_puts(w->out,
        "        location = /cache/master { return 301 /cache/master/$is_args$args; }\n"
        "        location /cache/master/ {\n");
    put_auth(w, &r);
    buf_puts(w->out,
        "            dcos_target mesos;\n"
        "            dcos_path /cache -;\n"
        "            dcos_tag Mesos;\n"
        "            proxy_set_header Connection \"\";\n"
        "            proxy_set_header Cookie $dcos_cookie;\n"
        "            proxy_set_header Authorization $dcos_authorization;\n"
        "            proxy_cache dcos_master;\n"
        "            proxy_cache_key \"$dcos_uid $request_uri\";\n"
        "            proxy_cache_valid 200 5s;\n"
        "            proxy_cache_lock on;\n"
        "            proxy_cache_bypass $http_cache_control;\n"
        "            proxy_ignore_headers Cache-Control Expires Set-Cookie Vary X-Accel-Redirect "
        "X-Accel-Limit-Rate X-Accel-Charset X-Accel-Expires;\n"
        "            add_header X-Cache-Status $upstream_cache_status;\n");
    put_kernel_pass(w, true);
}

static void put_upstreams(struct writer *w)
{
    static const char *const found[] = {"dcos_plain", "dcos_tls", "dcos_checked"};
    for (size_t i = 0; i < ARRAY_SIZE(found); i++)
        buf_printf(w->out,
            "    upstream %s {\n        server 127.0.0.1:1;\n        dcos_peer;\n"
            "        keepalive 256;\n        keepalive_requests 1000000;\n    }\n",
            found[i]);
    for (int b = BACKEND_NONE + 1; b < BACKENDS; b++) {
        const char *where = w->o->backends[b];
        if (!where)
            continue;
        if (has_prefix(where, "https://"))
            where += 8;
        else if (has_prefix(where, "http://"))
            where += 7;
        buf_printf(w->out,
            "    upstream %s {\n        server %s;\n        keepalive 64;\n"
            "        keepalive_requests 1000000;\n    }\n",
            backend_name((enum backend)b), where);
    }
}

static void put_listeners(struct writer *w)
{
    const struct router_options *o = w->o;
    const char *open = strchr(o->ip, ':') ? "[" : "", *end = *open ? "]" : "";
    if (o->port)
        buf_printf(w->out, "        listen %s%s%s:%u default_server backlog=1024;\n", open, o->ip,
            end, o->port);
    if (!o->tls_port)
        return;
    buf_printf(w->out,
        "        listen %s%s%s:%u default_server ssl http2 backlog=1024;\n"
        "        ssl_certificate \"%s\";\n        ssl_certificate_key \"%s\";\n"
        "        ssl_protocols %s;\n        ssl_ciphers \"%s\";\n        ssl_prefer_server_ciphers "
        "on;\n"
        "        ssl_session_cache shared:dcos_tls:1m;\n        ssl_session_tickets off;\n",
        open, o->ip, end, o->tls_port, o->tls_cert, o->tls_key, o->tls_protocols, o->tls_ciphers);
}

static void put_server(struct writer *w)
{
    const struct router_options *o = w->o;
    buf_puts(w->out, "    server {\n");
    put_listeners(w);
    buf_printf(w->out, "        server_name %s;\n        root \"%s/documents\";\n",
        o->agent ? "agent.mesos" : "master.mesos leader.mesos", o->run_dir);
    for (size_t i = 0; i < n_routes; i++) {
        if (routes[i].flags & (o->agent ? ON_AGENT : ON_MASTER))
            put_route(w, &routes[i]);
    }
    put_files(w);
    if (!o->agent) {
        put_services(w);
        put_cache(w);
    }
    buf_puts(w->out, "    }\n");
}

static void put_head(struct writer *w)
{
    const struct router_options *o = w->o;
    struct buf *out = w->out;
    buf_puts(out, "# Made by dcos-router at its start: changes are lost.\n");
    if (o->user)
        buf_printf(out, "user %s %s;\n", o->user, o->group ? o->group : "");
    if (o->workers)
        buf_printf(out, "worker_processes %lld;\n", (long long)o->workers);
    else
        buf_puts(out, "worker_processes auto;\n");
    buf_printf(out,
        "daemon off;\npid \"%s/nginx.pid\";\nerror_log \"%s/error.log\" %s;\n"
        "worker_shutdown_timeout 60s;\nload_module \"%s\";\n"
        "events {\n    worker_connections %lld;\n}\nhttp {\n",
        o->run_dir, o->run_dir, o->log_level, o->nginx_module, (long long)o->worker_connections);
    if (o->access_log)
        buf_printf(out,
            "    log_format dcos '$remote_addr uid=$dcos_uid [$time_iso8601] \"$request\" $status "
            "$body_bytes_sent $request_time $upstream_addr $upstream_response_time';\n"
            "    access_log \"%s\" dcos;\n",
            o->access_log);
    else
        buf_puts(out, "    access_log off;\n");
    static const char *const kinds[] = {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"};
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        buf_printf(out, "    %s_temp_path \"%s/tmp/%s\";\n", kinds[i], o->run_dir, kinds[i]);
    buf_printf(out,
        "    dcos_tables \"%s/tables\";\n"
        "    dcos_pages \"%s/pages/401.html\" \"%s/pages/403.html\";\n"
        "    dcos_challenge \"%s\";\n",
        o->run_dir, o->run_dir, o->run_dir, o->challenge);
    buf_printf(out, "    client_header_timeout %llds;\n    client_body_timeout 60s;\n",
        (long long)MAX(o->header_timeout_us / USEC_PER_SEC, (int64_t)1));
    buf_puts(out,
        "    types {\n        text/html html; text/css css; application/javascript js;\n"
        "        application/json json; image/svg+xml svg; image/png png; image/x-icon ico;\n"
        "        font/woff woff; font/woff2 woff2; text/plain txt; application/x-pem-file crt "
        "pem;\n    }\n"
        "    default_type application/octet-stream;\n"
        "    server_tokens off;\n"
        "    absolute_redirect off;\n"
        "    sendfile on;\n    tcp_nopush on;\n"
        "    reset_timedout_connection on;\n"
        "    client_max_body_size 1024m;\n"
        "    client_header_buffer_size 4k;\n"
        "    large_client_header_buffers 4 16k;\n"
        "    keepalive_timeout 65s;\n    keepalive_requests 100000;\n"
        "    send_timeout 60s;\n"
        "    proxy_http_version 1.1;\n"
        "    proxy_connect_timeout 60s;\n    proxy_send_timeout 60s;\n    proxy_read_timeout 60s;\n"
        "    proxy_redirect off;\n"
        "    proxy_buffer_size 16k;\n    proxy_buffers 8 16k;\n    proxy_busy_buffers_size 32k;\n"
        /* A service may not send clients to places inside, nor set limits. */
        "    proxy_ignore_headers X-Accel-Redirect X-Accel-Limit-Rate X-Accel-Charset "
        "X-Accel-Expires;\n"
        "    proxy_pass_header X-Accel-Buffering;\n"
        "    proxy_ssl_session_reuse off;\n");
    if (o->upstream_ca)
        buf_printf(out, "    proxy_ssl_trusted_certificate \"%s\";\n    proxy_ssl_name \"%s\";\n",
            o->upstream_ca, o->upstream_name);
    if (!o->agent)
        buf_printf(out,
            "    proxy_cache_path \"%s/cache\" levels=1:2 keys_zone=dcos_master:1m max_size=1g "
            "inactive=10m;\n"
            "    map $args $dcos_login_args { \"\" \"\"; default \"&$args\"; }\n",
            o->run_dir);
}

/* ---- checks ---- */

static int check(const char *what, const char *text, struct error *err)
{
    for (const char *p = text ? text : ""; *p; p++) {
        if (*p < ' ' || strchr("\"\\;{}$#'", *p))
            return error_set(err, -EINVAL, "%s: nginx's configuration cannot hold '%c'", what,
                *p < ' ' ? '?' : *p);
    }
    return 0;
}

int config_write(const struct router_options *o, struct buf *out, struct error *err)
{
    const struct {
        const char *what, *text;
    } texts[] = {
        {"--ip", o->ip},
        {"--tls_cert", o->tls_cert},
        {"--tls_key", o->tls_key},
        {"--ca_cert", o->ca_cert},
        {"--tls_protocols", o->tls_protocols},
        {"--tls_ciphers", o->tls_ciphers},
        {"--run_dir", o->run_dir},
        {"--nginx_module", o->nginx_module},
        {"--user", o->user},
        {"--group", o->group},
        {"--upstream_ca", o->upstream_ca},
        {"--upstream_name", o->upstream_name},
        {"--www_authenticate", o->challenge},
        {"--frame_options", o->frame_options},
        {"--ui_dir", o->ui_dir},
        {"--access_log", o->access_log},
        {"--nginx_log_level", o->log_level},
        {"--oauth_redirector", o->oauth_redirector},
        {"--oauth_client_id", o->oauth_client_id},
        {"--cluster_id_file", o->cluster_id},
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        int r = check(texts[i].what, texts[i].text, err);
        if (r < 0)
            return r;
    }
    for (int b = BACKEND_NONE + 1; b < BACKENDS; b++) {
        int r = check(backend_name((enum backend)b), o->backends[b], err);
        if (r < 0)
            return r;
    }
    struct writer w = {.o = o, .out = out};
    put_head(&w);
    put_upstreams(&w);
    put_server(&w);
    buf_puts(out, "}\n");
    return 0;
}
