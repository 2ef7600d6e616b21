/*
 * dcos-check-runner: runs the checks of the cluster or of this node, from the command line or over
 * HTTP.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/options.h"
#include "base/parse.h"
#include "checks/runner.h"
#include "checks/serve.h"
#include "json/yaml_read.h"

enum { SETTINGS_MAX = 256 * 1024, EXIT_FATAL = 1, PORT_DEFAULT = 8000 };

static const char default_checks[] = "/opt/mesosphere/etc/dcos-check-config.json";
static const char default_settings[] = "/opt/mesosphere/etc/dcos-check-runner.yaml";

static const char usage[] =
    "dcos-check-runner: checks of a cluster and its nodes\n"
    "\n"
    "Usage:\n"
    "  dcos-check-runner check TYPE [NAME...] [--list]\n"
    "                     TYPE is cluster, node-prestart or node-poststart; runs all checks of it\n"
    "                     that this node's role has, or those named, side by side\n"
    "  dcos-check-runner http-server [--host=HOST] [--port=PORT | --socket=PATH |\n"
    "                     --systemd-socket] [--base-uri=PATH]\n"
    "\n"
    "Options:\n"
    "  --check-config=FILE   the checks [default: /opt/mesosphere/etc/dcos-check-config.json]\n"
    "  --config=FILE         settings in YAML: role, host, port, base-uri, systemd-socket, "
    "verbose,\n"
    "                        check-config [default: /opt/mesosphere/etc/dcos-check-runner.yaml,\n"
    "                        when it is there]\n"
    "  --role=ROLE           master or agent; without it checks of both run\n"
    "  --socket-group=GROUP  owner of the socket\n"
    "  --verbose             more in the log\n"
    "  --version, --help\n"
    "\n"
    "The result is JSON on stdout. Exit code: 0 fine, 1 a warning, 2 critical, 3 unknown (also a\n"
    "check that does not exist, or took too long), the worst of all checks.\n";

struct options {
    const char *check_config, *config, *role, *host, *port, *base, *socket, *socket_group;
    bool systemd_socket, verbose, list, help, version;
    const char *args[CHECK_ARGS_MAX];
    size_t n_args;
    json_t *settings; /* owns texts of the settings file */
};

static int parse(struct options *o, int argc, char **argv, struct error *err)
{
    const struct option table[] = {{"--check-config", NULL, &o->check_config},
        {"--config", NULL, &o->config}, {"--role", NULL, &o->role}, {"--host", "-a", &o->host},
        {"--port", "-p", &o->port}, {"--base-uri", NULL, &o->base}, {"--socket", NULL, &o->socket},
        {"--socket-group", NULL, &o->socket_group},
        {"--systemd-socket", NULL, NULL, &o->systemd_socket},
        {"--verbose", NULL, NULL, &o->verbose}, {"--list", NULL, NULL, &o->list},
        {"--help", "-h", NULL, &o->help}, {"--version", NULL, NULL, &o->version}};
    return options_parse("dcos-check-runner", table, ARRAY_SIZE(table), argc, argv, o->args,
        ARRAY_SIZE(o->args), &o->n_args, err);
}

/* What the command line left out. */
static int read_settings(struct options *o, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    const char *path = o->config ? o->config : default_settings;
    const struct {
        const char *name;
        const char **text;
        bool *flag;
    } table[] = {{"role", &o->role}, {"host", &o->host}, {"port", &o->port}, {"base-uri", &o->base},
        {"check-config", &o->check_config}, {"systemd-socket", NULL, &o->systemd_socket},
        {"verbose", NULL, &o->verbose}};
    const char *key;
    json_t *value;
    if (!o->config && !path_exists(path))
        return 0;
    int r = file_read(path, SETTINGS_MAX, &text, err);
    if (r == 0)
        r = yaml_read(buf_cstr(&text), text.n, &o->settings, err);
    if (r < 0)
        return error_prefix(err, r, "%s", path);
    if (!json_is_object(o->settings))
        return error_set(err, -EBADMSG, "%s: must be a map", path);
    json_object_foreach(o->settings, key, value)
    {
        const char *s = json_string_value(value);
        size_t i = 0;
        while (i < ARRAY_SIZE(table) && !streq(table[i].name, key))
            i++;
        if (i == ARRAY_SIZE(table) || !s)
            return error_set(err, -EBADMSG, "%s: unknown key \"%.100s\"", path, key);
        if (table[i].text)
            *table[i].text = *table[i].text ? *table[i].text : s;
        else if (parse_bool(str_of(s), table[i].flag) < 0)
            return error_set(err, -EBADMSG, "%s: %s must be true or false", path, key);
    }
    return 0;
}

static int role_of(const struct options *o, unsigned *ret, struct error *err)
{
    if (!o->role)
        *ret = CHECK_ANY;
    else if (streq(o->role, "master"))
        *ret = CHECK_MASTER;
    else if (streq(o->role, "agent"))
        *ret = CHECK_AGENT;
    else
        return error_set(err, -EINVAL, "role %.64s: must be master or agent", o->role);
    return 0;
}

static void print(struct json_writer *w)
{
    fwrite(w->out->p, 1, w->out->n, stdout);
    putchar('\n');
}

static void on_done(struct check_run *run, void *userdata)
{
    (void)run;
    loop_stop(userdata);
}

static int run_checks(const struct check_config *c, const struct check_choice *choice)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct json_writer w;
    struct loop *loop = loop_new();
    jw_init(&w, &text);
    w.indent = 2;
    struct check_run *run = check_run_start(loop, c, choice, on_done, loop);
    loop_run(loop);
    int status = check_run_status(run);
    check_run_write(run, &w);
    print(&w);
    check_run_free(run);
    loop_free(loop);
    return status;
}

static int cmd_check(
    const struct options *o, const struct check_config *c, unsigned role, struct error *err)
{
    struct check_choice choice = {.role = role, .names = o->args + 2};
    if (o->n_args < 2 || check_type_parse(o->args[1], &choice.type) < 0)
        return error_set(err, -EINVAL,
            "the type of checks must be one of cluster, node-prestart, node-poststart");
    choice.n_names = o->n_args - 2;
    if (!o->list)
        return run_checks(c, &choice);
    const char *missing[CHECK_ARGS_MAX];
    if (check_missing(c, &choice, missing) > 0)
        return error_set(err, -ENOENT, "%s: check not found", missing[0]);
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &text);
    w.indent = 2;
    check_list_write(c, &choice, &w);
    print(&w);
    return 0;
}

static int cmd_serve(
    const struct options *o, const struct check_config *c, unsigned role, struct error *err)
{
    _cleanup_free_ char *base = xstrdup(o->base ? o->base : "/system/checks/v1");
    struct serve_options options = {.base = base,
        .host = o->host ? o->host : "127.0.0.1",
        .port = PORT_DEFAULT,
        .socket = o->socket,
        .socket_group = o->socket_group,
        .systemd_socket = o->systemd_socket,
        .role = role};
    if (o->port && parse_port(str_of(o->port), &options.port) < 0)
        return error_set(err, -EINVAL, "port %.32s: must be 0 to 65535", o->port);
    size_t n = strlen(base);
    while (n > 0 && base[n - 1] == '/')
        base[--n] = '\0';
    if (n > 0 && base[0] != '/')
        return error_set(err, -EINVAL, "base-uri %.100s: must begin with a slash", base);
    return checks_serve(c, &options, err);
}

static int run(struct options *o, struct error *err)
{
    _cleanup_(check_config_freep)
    struct check_config *config = NULL;
    unsigned role = CHECK_ANY;
    int r = read_settings(o, err);
    if (r == 0)
        r = role_of(o, &role, err);
    if (r == 0 && o->verbose)
        log_set_level(LOG_DEBUG);
    if (r == 0)
        r = check_config_load(o->check_config ? o->check_config : default_checks, &config, err);
    if (r < 0)
        return r;
    if (streq(o->args[0], "check"))
        return cmd_check(o, config, role, err);
    if (streq(o->args[0], "http-server") && o->n_args == 1)
        return cmd_serve(o, config, role, err);
    return error_set(
        err, -EINVAL, "unknown command %.64s, see dcos-check-runner --help", o->args[0]);
}

int main(int argc, char **argv)
{
    struct options o = {0};
    struct error err = ERROR_INIT;
    log_init("dcos-check-runner");
    int r = parse(&o, argc, argv, &err);
    if (r == 0 && o.version) {
        printf("dcos-check-runner %s\n", DCOS_VERSION);
        return 0;
    }
    if (r == 0 && (o.help || o.n_args == 0)) {
        fputs(usage, o.help ? stdout : stderr);
        return o.help ? 0 : EXIT_FATAL;
    }
    if (r == 0)
        r = run(&o, &err);
    json_decref(o.settings);
    if (r < 0)
        fprintf(stderr, "dcos-check-runner: %s\n", err.msg);
    return r < 0 ? EXIT_FATAL : r;
}
