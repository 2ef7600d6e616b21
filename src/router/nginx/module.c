#include <sys/prctl.h>

#include "router/nginx/module.h"

/* Directives and the access handler. */

/* ---- requests ---- */

struct router_request *router_request(ngx_http_request_t *r)
{
    struct router_request *ctx = ngx_http_get_module_ctx(r, ngx_http_dcos_module);
    if (!ctx) {
        ctx = ngx_pcalloc(r->pool, sizeof(*ctx));
        if (ctx)
            ngx_http_set_ctx(r, ctx, ngx_http_dcos_module);
    }
    return ctx;
}

struct table_reader *router_tables(ngx_http_request_t *r)
{
    struct router_main *main = ngx_http_get_module_main_conf(r, ngx_http_dcos_module);
    if (!main->tables && main->folder.len) {
        struct error err = ERROR_INIT;
        if (table_reader_new((const char *)main->folder.data, &main->tables, &err) < 0)
            ngx_log_error(NGX_LOG_ERR, r->connection->log, 0, "no tables: %s", err.msg);
    }
    return main->tables;
}

static ngx_int_t access_handler(ngx_http_request_t *r)
{
    struct router_location *conf = ngx_http_get_module_loc_conf(r, ngx_http_dcos_module);
    if (!conf->here || r != r->main)
        return NGX_DECLINED;
    struct router_request *ctx = router_request(r);
    if (!ctx)
        return NGX_ERROR;
    if (ctx->decided)
        return NGX_DECLINED;
    if (conf->target == ROUTE_SERVICE && route_lacks_slash(&r->uri))
        return answer_slash(r);
    if (conf->auth != ROUTE_OPEN && !ctx->uid.len) {
        ngx_int_t rc = identity_check(r, ctx);
        if (rc == NGX_HTTP_UNAUTHORIZED)
            return answer_unauthorized(r);
        if (rc != NGX_OK)
            return rc;
    }
    if (conf->auth == ROUTE_FULL && conf->rid.len &&
        !identity_may(r, &ctx->uid, (const char *)conf->rid.data, conf->rid.len))
        return answer_forbidden(r);
    if (conf->show != SHOW_NOTHING) {
        ngx_http_finalize_request(
            r, conf->show == SHOW_METRICS ? metrics_show(r) : metrics_show_status(r));
        return NGX_DONE;
    }
    if (conf->absent.len)
        return answer_text(r, 404, "404 Not Found: %V", &conf->absent);
    ngx_int_t rc = route_find(r, conf, ctx);
    if (rc != NGX_OK)
        return rc;
    ctx->decided = true;
    return NGX_DECLINED;
}

/* ---- configuration ---- */

static void *create_main(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(struct router_main));
}

static void *create_location(ngx_conf_t *cf)
{
    struct router_location *l = ngx_pcalloc(cf->pool, sizeof(*l));
    if (l)
        l->here = NGX_CONF_UNSET;
    return l;
}

/* A location stands for itself: nothing is inherited. */
static char *merge_location(ngx_conf_t *cf, void *parent, void *child)
{
    struct router_location *l = child;
    ngx_conf_merge_value(l->here, NGX_CONF_UNSET, 0);
    return NGX_CONF_OK;
}

static char *tables_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    struct router_main *main = conf;
    main->folder = ((ngx_str_t *)cf->args->elts)[1];
    return metrics_zone(cf, main);
}

static char *challenge_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    struct router_main *main = conf;
    main->challenge = ((ngx_str_t *)cf->args->elts)[1];
    return NGX_CONF_OK;
}

static ngx_int_t load(ngx_conf_t *cf, const ngx_str_t *path, ngx_str_t *out)
{
    enum { PAGE_MAX = 64 * 1024 };
    out->data = ngx_pnalloc(cf->pool, PAGE_MAX);
    ngx_fd_t fd = ngx_open_file(path->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);
    if (!out->data || fd == NGX_INVALID_FILE)
        return NGX_ERROR;
    const ssize_t n = ngx_read_fd(fd, out->data, PAGE_MAX);
    ngx_close_file(fd);
    if (n < 0)
        return NGX_ERROR;
    out->len = (size_t)n;
    return NGX_OK;
}

static char *pages_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    struct router_main *main = conf;
    const ngx_str_t *args = cf->args->elts;
    if (load(cf, &args[1], &main->unauthorized) != NGX_OK ||
        load(cf, &args[2], &main->forbidden) != NGX_OK)
        return (char *)(uintptr_t) "cannot read the pages";
    return NGX_CONF_OK;
}

static char *auth_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    struct router_location *l = conf;
    const ngx_str_t *args = cf->args->elts;
    l->here = 1;
    if (ngx_strcmp(args[1].data, "off") == 0)
        l->auth = ROUTE_OPEN;
    else if (ngx_strcmp(args[1].data, "token") == 0)
        l->auth = ROUTE_TOKEN;
    else if (ngx_strcmp(args[1].data, "full") == 0)
        l->auth = ROUTE_FULL;
    else
        return (char *)(uintptr_t) "is off, token, or full";
    if (cf->args->nelts > 2)
        l->rid = args[2];
    return NGX_CONF_OK;
}

static char *target_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    static const struct {
        const char *name;
        enum route_target target;
    } kinds[] = {
        {"mesos", ROUTE_MESOS},
        {"agent", ROUTE_AGENT},
        {"service", ROUTE_SERVICE},
        {"agent_router", ROUTE_AGENT_ROUTER},
        {"leader_mesos", ROUTE_LEADER_MESOS},
        {"leader_marathon", ROUTE_LEADER_MARATHON},
    };
    struct router_location *l = conf;
    const ngx_str_t *args = cf->args->elts;
    l->here = 1;
    if (cf->args->nelts > 2) {
        const ngx_int_t port = ngx_atoi(args[2].data, args[2].len);
        if (port < 1 || port > 65535)
            return (char *)(uintptr_t) "has a bad port";
        l->port = (ngx_uint_t)port;
    }
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (ngx_strcmp(args[1].data, kinds[i].name) == 0) {
            l->target = kinds[i].target;
            return NGX_CONF_OK;
        }
    }
    return (char *)(uintptr_t) "names no kind of target";
}

static char *path_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    struct router_location *l = conf;
    const ngx_str_t *args = cf->args->elts;
    l->here = 1;
    if (ngx_strcmp(args[1].data, "-") != 0)
        l->prefix = args[1];
    if (ngx_strcmp(args[2].data, "-") != 0)
        l->replacement = args[2];
    return NGX_CONF_OK;
}

static char *location_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    struct router_location *l = conf;
    l->here = 1;
    l->location = ((ngx_str_t *)cf->args->elts)[1];
    return NGX_CONF_OK;
}

static char *tag_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    struct router_location *l = conf;
    l->here = 1;
    l->tag = ((ngx_str_t *)cf->args->elts)[1];
    return NGX_CONF_OK;
}

static char *absent_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    struct router_location *l = conf;
    l->here = 1;
    l->absent = ((ngx_str_t *)cf->args->elts)[1];
    return NGX_CONF_OK;
}

static char *show_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    struct router_location *l = conf;
    l->here = 1;
    l->show = ngx_strcmp(((ngx_str_t *)cf->args->elts)[1].data, "metrics") == 0 ? SHOW_METRICS
                                                                                : SHOW_STATUS;
    return NGX_CONF_OK;
}

#define IN_MAIN (NGX_HTTP_MAIN_CONF)
#define IN_LOCATION (NGX_HTTP_LOC_CONF)
static ngx_command_t commands[] = {
    {ngx_string("dcos_tables"), IN_MAIN | NGX_CONF_TAKE1, tables_directive,
        NGX_HTTP_MAIN_CONF_OFFSET, 0, NULL},
    {ngx_string("dcos_challenge"), IN_MAIN | NGX_CONF_TAKE1, challenge_directive,
        NGX_HTTP_MAIN_CONF_OFFSET, 0, NULL},
    {ngx_string("dcos_pages"), IN_MAIN | NGX_CONF_TAKE2, pages_directive, NGX_HTTP_MAIN_CONF_OFFSET,
        0, NULL},
    {ngx_string("dcos_auth"), IN_LOCATION | NGX_CONF_TAKE12, auth_directive,
        NGX_HTTP_LOC_CONF_OFFSET, 0, NULL},
    {ngx_string("dcos_target"), IN_LOCATION | NGX_CONF_TAKE12, target_directive,
        NGX_HTTP_LOC_CONF_OFFSET, 0, NULL},
    {ngx_string("dcos_path"), IN_LOCATION | NGX_CONF_TAKE2, path_directive,
        NGX_HTTP_LOC_CONF_OFFSET, 0, NULL},
    {ngx_string("dcos_location"), IN_LOCATION | NGX_CONF_TAKE1, location_directive,
        NGX_HTTP_LOC_CONF_OFFSET, 0, NULL},
    {ngx_string("dcos_tag"), IN_LOCATION | NGX_CONF_TAKE1, tag_directive, NGX_HTTP_LOC_CONF_OFFSET,
        0, NULL},
    {ngx_string("dcos_show"), IN_LOCATION | NGX_CONF_TAKE1, show_directive,
        NGX_HTTP_LOC_CONF_OFFSET, 0, NULL},
    {ngx_string("dcos_absent"), IN_LOCATION | NGX_CONF_TAKE1, absent_directive,
        NGX_HTTP_LOC_CONF_OFFSET, 0, NULL},
    {ngx_string("dcos_peer"), NGX_HTTP_UPS_CONF | NGX_CONF_NOARGS, route_peer_directive, 0, 0,
        NULL},
    ngx_null_command,
};

static ngx_int_t postconfiguration(ngx_conf_t *cf)
{
    ngx_http_core_main_conf_t *core = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    ngx_http_handler_pt *h = ngx_array_push(&core->phases[NGX_HTTP_ACCESS_PHASE].handlers);
    if (!h)
        return NGX_ERROR;
    *h = access_handler;
    h = ngx_array_push(&core->phases[NGX_HTTP_LOG_PHASE].handlers);
    if (!h)
        return NGX_ERROR;
    *h = metrics_log;
    return answer_init(cf);
}

static ngx_http_module_t module_context = {
    .preconfiguration = headers_preconfiguration,
    .postconfiguration = postconfiguration,
    .create_main_conf = create_main,
    .create_loc_conf = create_location,
    .merge_loc_conf = merge_location,
};

/* Workers whose master was killed would go on to hold its ports, so that no other could start. */
static ngx_int_t init_process(ngx_cycle_t *cycle)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM); /* cannot fail with a valid signal */
    return NGX_OK;
}

ngx_module_t ngx_http_dcos_module = {
    NGX_MODULE_V1,
    &module_context,
    commands,
    NGX_HTTP_MODULE,
    NULL,
    NULL,
    init_process,
    NULL,
    NULL,
    NULL,
    NULL,
    NGX_MODULE_V1_PADDING,
};

/* What nginx looks for in a dynamic module. */
ngx_module_t *ngx_modules[] = {&ngx_http_dcos_module, NULL};
char *ngx_module_names[] = {(char *)(uintptr_t) "ngx_http_dcos_module", NULL};
char *ngx_module_order[] = {NULL};
