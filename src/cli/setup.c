#include "cli/setup.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "http/http.h"

void setup_flags_of(const struct invocation *inv, struct setup_flags *ret)
{
    *ret = (struct setup_flags){.ca_certs = option_text(inv, "ca-certs"),
        .name = option_text(inv, "name"),
        .insecure = option_bool(inv, "insecure"),
        .no_check = option_bool(inv, "no-check"),
        .no_timeout = option_bool(inv, "no-timeout")};
    login_flags_of(inv, &ret->login);
}

int setup_url(const char *text, char **ret, struct error *err)
{
    struct http_url url;
    struct error why = ERROR_INIT;
    _cleanup_free_ char *full = xasprintf("%s%s", strstr(text, "://") ? "" : "https://", text);
    if (http_url_parse(str_of(full), &url, &why) < 0)
        return error_set(err, -EINVAL, "'%s' is no URL of a cluster: %s", text, why.msg);
    if (url.userinfo.n || str_index(url.target, '?') >= 0)
        return error_set(err, -EINVAL,
            "'%s' is no URL of a cluster: it may have a path, but neither user nor query", text);
    char *host = full + (url.host.p - full);
    for (size_t i = 0; i < url.host.n; i++)
        host[i] = (char)tolower((unsigned char)host[i]);
    for (size_t n = strlen(full); n > 0 && full[n - 1] == '/';)
        full[--n] = '\0';
    *ret = TAKE_PTR(full);
    return 0;
}

/* Of one setup. */
struct attempt {
    struct cli *c;
    const struct setup_flags *flags;
    char *url;
    struct buf authorities; /* PEM text that the settings get; empty: the system's */
    char *ca_file;          /* where it is until the settings have a folder */
    char *token, *id, *name;
};

static const char *verify_of(const struct attempt *a)
{
    if (a->flags->insecure)
        return "false";
    return a->ca_file ?: "true";
}

static int reconnect(struct attempt *a, const char *token, struct error *err)
{
    const struct cli_connection how = {
        .token = token, .verify = verify_of(a), .timeout = a->flags->no_timeout ? "0" : NULL};
    return cli_connect(a->c, &how, err);
}

static int use_authorities(struct attempt *a, struct error *err)
{
    char path[] = "/tmp/dcos-ca-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, -errno, "cannot make a temporary file");
    a->ca_file = xstrdup(path);
    int r = fd_write_all(fd, a->authorities.p, a->authorities.n);
    fd_close(fd);
    return r < 0 ? error_errno(err, r, "cannot write %s", path) : 0;
}

/* HEAD of the front page: where the cluster really is. */
static int find_url(struct attempt *a, struct error *err)
{
    struct reply reply = {0};
    _cleanup_free_ char *page = xasprintf("%s/", a->url);
    int r = cli_send_raw(
        a->c, &(struct request){.method = "HEAD", .url = page, .token = ""}, &reply, err);
    if (r == 0 && reply.status != 200)
        r = error_set(err, -EPROTO, "HTTP %d error for %s", reply.status, page);
    char *found = NULL;
    if (r == 0) {
        char *query = strpbrk(reply.url, "?#");
        if (query)
            *query = '\0';
        r = setup_url(reply.url, &found, err);
    }
    if (r == 0) {
        free(a->url);
        a->url = found;
    }
    reply_done(&reply);
    return r;
}

static int reach(struct attempt *a, struct error *err)
{
    struct error why = ERROR_INIT;
    int r = 0;
    if (a->flags->ca_certs && !a->flags->insecure) {
        r = file_read(a->flags->ca_certs, TOML_SIZE_MAX, &a->authorities, err);
        if (r == 0)
            r = use_authorities(a, err);
    }
    if (r == 0)
        r = reconnect(a, NULL, err);
    if (r < 0)
        return r;
    r = find_url(a, &why);
    if (r < 0 && is_unknown_authority(why.msg) && !a->flags->ca_certs) {
        r = authority_fetch(a->c, a->url, a->flags->no_check, &a->authorities, err);
        if (r == 0)
            r = use_authorities(a, err);
        if (r == 0)
            r = reconnect(a, NULL, err);
        return r < 0 ? r : find_url(a, err);
    }
    if (r < 0 && strstr(why.msg, "certificate"))
        return error_set(err, r,
            "An SSL error occurred. To configure your SSL settings, please use --ca-certs or "
            "--insecure (%s)",
            why.msg);
    return r < 0 ? error_set(err, r, "%s", why.msg) : 0;
}

static int get_json(struct attempt *a, const char *path, json_t **ret, struct error *err)
{
    _cleanup_free_ char *url = xasprintf("%s%s", a->url, path);
    return cli_get_json(a->c, "the cluster", url, ret, err);
}

static int identify(struct attempt *a, struct error *err)
{
    _cleanup_json_ json_t *metadata = NULL, *summary = NULL;
    int r = get_json(a, "/metadata", &metadata, err);
    if (r < 0)
        return r;
    const char *id = json_str_at(metadata, "CLUSTER_ID", "");
    if (!cluster_id_valid(id))
        return error_set(
            err, -EPROTO, "%s/metadata names no usable CLUSTER_ID ('%.64s')", a->url, id);
    a->id = xstrdup(id);
    if (!a->flags->name)
        (void)get_json(a, "/mesos/state-summary", &summary, NULL);
    const char *name = a->flags->name ?: json_str_at(summary, "cluster", "");
    a->name = xstrdup(*name ? name : id);
    return 0;
}

static int write_settings(struct attempt *a, struct error *err)
{
    struct clusters all;
    struct config config = {0};
    _cleanup_free_ char *dir = NULL;
    int r = clusters_dir(&dir, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *folder = path_join(dir, "clusters", a->id);
    _cleanup_free_ char *file = path_join(folder, "dcos.toml");
    _cleanup_free_ char *ca = path_join(folder, "dcos_ca.crt");
    r = mkdir_all(folder, 0755, err);
    if (r == 0)
        r = config_open(file, &config, err);
    if (r == 0 && a->authorities.n)
        r = file_write_atomic(ca, a->authorities.p, a->authorities.n, 0644, err);
    if (r == 0) {
        config_put(&config, "cluster.name", a->name);
        config_put(&config, "core.dcos_url", a->url);
        config_put(&config, "core.dcos_acs_token", a->token);
        config_put(&config, "core.timeout", a->flags->no_timeout ? "0" : "180");
        if (has_prefix(a->url, "https:"))
            config_put(&config, "core.ssl_verify",
                a->flags->insecure ? "false"
                : a->authorities.n ? ca
                                   : "true");
        else
            toml_unset(&config.toml, "core.ssl_verify");
        r = config_save(&config, err);
    }
    config_done(&config);
    if (r < 0 || a->flags->keep_attached)
        return r;
    r = clusters_load(&all, err);
    if (r < 0)
        return r;
    ssize_t i = clusters_find(&all, a->id, false, err);
    r = i < 0 ? (int)i : clusters_attach(&all, (size_t)i, err);
    clusters_done(&all);
    return r;
}

int setup(struct cli *c, const char *url, const struct setup_flags *flags, char **ret_id,
    struct error *err)
{
    struct attempt a = {.c = c, .flags = flags};
    const char *ready = getenv("DCOS_CLUSTER_SETUP_ACS_TOKEN");
    int r = setup_url(url, &a.url, err);
    if (r == 0 && !strstr(url, "://") && c->verbosity >= 1)
        fprintf(stderr, "Missing scheme in cluster URL, assuming HTTPS.\n");
    if (r == 0)
        r = reach(&a, err);
    if (r == 0 && ready && *ready)
        a.token = xstrdup(ready);
    else if (r == 0)
        r = login(c, a.url, &flags->login, &a.token, err);
    if (r == 0)
        r = reconnect(&a, a.token, err);
    if (r == 0)
        r = identify(&a, err);
    if (r == 0)
        r = write_settings(&a, err);
    if (a.ca_file)
        unlink(a.ca_file);
    if (r == 0 && ret_id)
        *ret_id = TAKE_PTR(a.id);
    if (a.token)
        explicit_bzero(a.token, strlen(a.token));
    free(a.token);
    free(a.url);
    free(a.ca_file);
    free(a.id);
    free(a.name);
    buf_done(&a.authorities);
    return r;
}
