#include "cli/cli.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/parse.h"
#include "io/stream.h"

enum { TIMEOUT_DEFAULT_S = 180, INPUT_MAX = 16 * 1024 * 1024 };

void cli_done(struct cli *c)
{
    requester_free(c->http);
    if (c->tls)
        tls_context_free(c->tls);
    config_done(&c->config);
}

int cli_config(struct cli *c, struct config **ret, struct error *err)
{
    if (!c->config_loaded) {
        int r = config_load(&c->config, err);
        if (r < 0)
            return r;
        c->config_loaded = true;
    }
    *ret = &c->config;
    return 0;
}

static bool is_false(const char *text)
{
    static const char *const words[] = {"0", "f", "F", "FALSE", "false", "False"};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (streq(text, words[i]))
            return true;
    }
    return false;
}

int cli_connect(struct cli *c, const struct cli_connection *how, struct error *err)
{
    int64_t seconds = TIMEOUT_DEFAULT_S;
    if (how->timeout) {
        int r = config_check("core.timeout", how->timeout, err);
        if (r < 0)
            return r;
        parse_i64(str_of(how->timeout), &seconds);
        if (seconds < 0 || seconds > INT32_MAX)
            seconds = 0;
    }
    const char *insecure = getenv("DCOS_TLS_INSECURE");
    bool check = !(how->verify && is_false(how->verify)) && !(insecure && *insecure);
    const char *ca_path = how->verify && strchr(how->verify, '/') ? how->verify : NULL;
    struct tls_context *tls = NULL;
    if (!check || ca_path) {
        int r = tls_context_new_client(check ? ca_path : NULL, check, &tls, err);
        if (r < 0)
            return error_prefix(err, r, "core.ssl_verify");
    }
    requester_free(c->http);
    if (c->tls)
        tls_context_free(c->tls);
    c->tls = tls;
    c->http = requester_new(
        &(struct requester_options){.user_agent = "dcos-cli/" DCOS_VERSION " linux",
            .token = how->token,
            .tls = c->tls,
            .timeout_us = seconds * USEC_PER_SEC,
            .trace = c->verbosity >= 2});
    return 0;
}

int cli_connect_to(struct cli *c, const struct known_cluster *k, struct error *err)
{
    const struct cli_connection how = {.token = known_get(k, "core.dcos_acs_token", NULL),
        .verify = known_get(k, "core.ssl_verify", NULL),
        .timeout = known_get(k, "core.timeout", NULL)};
    return cli_connect(c, &how, err);
}

static int connect_by_settings(struct cli *c, struct error *err)
{
    struct config *config;
    int r = cli_config(c, &config, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *token = config_get(config, "core.dcos_acs_token");
    _cleanup_free_ char *verify = config_get(config, "core.ssl_verify");
    _cleanup_free_ char *timeout = config_get(config, "core.timeout");
    const struct cli_connection how = {token, verify, timeout};
    return cli_connect(c, &how, err);
}

int cli_send_raw(struct cli *c, const struct request *req, struct reply *ret, struct error *err)
{
    int r = c->http ? 0 : connect_by_settings(c, err);
    return r < 0 ? r : requester_send(c->http, req, ret, err);
}

int cli_base_url(struct cli *c, const char *direct, const char *suffix, char **ret,
    bool *ret_direct, struct error *err)
{
    struct config *config;
    int r = cli_config(c, &config, err);
    if (r < 0)
        return r;
    bool is_direct = true;
    char *url = direct ? config_get(config, direct) : NULL;
    if (!url || !*url) {
        free(url);
        url = config_get(config, "core.dcos_url");
        is_direct = false;
    }
    if (!url || !*url) {
        free(url);
        if (direct)
            return error_set(err, -ENOENT,
                "no cluster is known; run 'dcos cluster setup URL', or 'dcos config set "
                "core.dcos_url URL' (or set "
                "%s)",
                direct);
        return error_set(err, -ENOENT,
            "no cluster is known; run 'dcos cluster setup URL', or 'dcos config set core.dcos_url "
            "URL'");
    }
    if (!strstr(url, "://")) {
        char *full = xasprintf("%s%s", is_direct ? "http://" : "https://", url);
        free(url);
        url = full;
    }
    size_t n = strlen(url);
    while (n > 0 && url[n - 1] == '/')
        url[--n] = '\0';
    *ret = is_direct ? xstrdup(url) : xasprintf("%s%s", url, suffix);
    free(url);
    if (ret_direct)
        *ret_direct = is_direct;
    return 0;
}

int cli_send(struct cli *c, const char *what, const struct request *req, struct reply *ret,
    struct error *err)
{
    int r = c->http ? 0 : connect_by_settings(c, err);
    if (r < 0)
        return r;
    struct error why = ERROR_INIT;
    r = requester_send(c->http, req, ret, &why);
    if (r < 0) {
        if (strstr(why.msg, "certificate") || strstr(why.msg, "SSL"))
            return error_set(err, r,
                "An SSL error occurred. To configure your SSL settings, please run: 'dcos config "
                "set core.ssl_verify <value>' (%s)",
                why.msg);
        return error_set(err, r,
            "cannot reach %s: %s; check that the cluster runs and that 'dcos config show' names it",
            what, why.msg);
    }
    if (ret->status == 401)
        return error_set(err, -EACCES, "authentication failed, please run `dcos auth login`");
    if (ret->status == 403 && !strstr(buf_cstr(&ret->body), "\"message\""))
        return error_set(err, -EACCES, "you are not authorized to perform this operation");
    return 0;
}

int cli_parse_reply(const char *what, const struct reply *reply, json_t **ret, struct error *err)
{
    struct error why = ERROR_INIT;
    int r = json_parse(buf_cstr(&reply->body), reply->body.n, ret, &why);
    return r < 0 ? error_set(err, r, "%s answered something that is not JSON: %s", what, why.msg)
                 : 0;
}

int cli_get_json(struct cli *c, const char *what, const char *url, json_t **ret, struct error *err)
{
    struct reply reply = {0};
    int r = cli_send(c, what, &(struct request){.url = url}, &reply, err);
    if (r == 0 && reply.status == 503)
        r = error_set(err, -EAGAIN,
            "could not connect to the leading mesos master; it may still be starting, try again");
    else if (r == 0 && reply.status / 100 != 2)
        r = error_set(err, reply.status == 404 ? -ENOENT : -EPROTO, "%s: HTTP %d error for %s",
            what, reply.status, url);
    if (r == 0)
        r = cli_parse_reply(what, &reply, ret, err);
    reply_done(&reply);
    return r;
}

static int read_stdin(struct buf *out, struct error *err)
{
    if (isatty(STDIN_FILENO))
        return error_set(err, -EINVAL,
            "we currently don't support reading from the TTY; name a file or pipe the JSON in");
    for (;;) {
        char chunk[16384];
        ssize_t n = read(STDIN_FILENO, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, -errno, "cannot read stdin");
        if (n == 0)
            return 0;
        if (out->n + (size_t)n > INPUT_MAX)
            return error_set(err, -EFBIG, "stdin is larger than %d MB", INPUT_MAX >> 20);
        buf_append(out, chunk, (size_t)n);
    }
}

int cli_read_json(struct cli *c, const char *resource, json_t **ret, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct error why = ERROR_INIT;
    int r;
    if (!resource || streq(resource, "-")) {
        r = read_stdin(&text, err);
        if (r < 0)
            return r;
    } else if (has_prefix(resource, "http://") || has_prefix(resource, "https://")) {
        struct reply reply = {0};
        r = cli_send(c, resource, &(struct request){.url = resource, .accept = "*/*"}, &reply, err);
        if (r == 0 && reply.status != 200)
            r = error_set(err, -ENOENT,
                "can't read from resource: %s. Please check that it exists (HTTP %d)", resource,
                reply.status);
        if (r == 0)
            buf_append(&text, reply.body.p, reply.body.n);
        reply_done(&reply);
        if (r < 0)
            return r;
    } else {
        r = file_read(resource, INPUT_MAX, &text, &why);
        if (r < 0)
            return error_set(err, r,
                "can't read from resource: %s. Please check that it exists (%s)", resource,
                errno_text(r));
    }
    r = json_parse(buf_cstr(&text), text.n, ret, &why);
    if (r < 0)
        return error_set(err, r, "error loading JSON: %s: %s", resource ?: "stdin", why.msg);
    return 0;
}

void print_table(struct table *t)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    table_print(t, &text);
    fwrite(text.p, 1, text.n, stdout);
    table_done(t);
}
