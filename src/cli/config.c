#include "cli/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/parse.h"
#include "http/http.h"

const struct config_key config_keys[] = {
    {"cluster.name", "name of the cluster, for people", CONFIG_STRING},
    {"core.dcos_acs_token", "the DC/OS authentication token", CONFIG_STRING},
    {"core.dcos_url", "the public master URL of your DC/OS cluster", CONFIG_URL},
    {"core.mesos_master_url", "the Mesos master, without the cluster's front door", CONFIG_URL},
    {"core.pagination", "whether long output is shown page by page", CONFIG_BOOL},
    {"core.prompt_login", "whether a login may be asked for", CONFIG_BOOL},
    {"core.reporting", "whether usage may be reported (nothing is)", CONFIG_BOOL},
    {"core.ssh_proxy_ip", "address of a host that SSH goes through", CONFIG_STRING},
    {"core.ssh_user", "user for SSH to nodes", CONFIG_STRING},
    {"core.ssl_verify", "true, false, or the path of CA certificates", CONFIG_VERIFY},
    {"core.timeout", "seconds to wait for an answer, 0 for ever", CONFIG_I64},
    {"job.service_name", "name of the job service", CONFIG_STRING},
    {"job.url", "the job service, without the cluster's front door", CONFIG_URL},
    {"marathon.url", "Marathon, without the cluster's front door", CONFIG_URL},
    {"package.cosmos_url", "the package service, without the cluster's front door", CONFIG_URL},
};
const size_t config_n_keys = ARRAY_SIZE(config_keys);

const struct config_key *config_key_find(const char *name)
{
    for (size_t i = 0; i < config_n_keys; i++) {
        if (streq(config_keys[i].name, name))
            return &config_keys[i];
    }
    return NULL;
}

/* ---- which file ---- */

int config_open(const char *path, struct config *ret, struct error *err)
{
    struct config c = {.path = xstrdup(path)};
    int r = settings_read(path, &c.toml, err);
    if (r < 0)
        config_done(&c);
    else
        *ret = c;
    return r;
}

/* The file of the current cluster, or *ret stays NULL where none is set up. */
static int find_cluster(char **ret, struct error *err)
{
    const char *wanted = getenv("DCOS_CLUSTER");
    struct clusters all;
    int r = clusters_load(&all, err);
    if (r < 0)
        return r;
    if (all.items.n > 0 || (wanted && *wanted)) {
        ssize_t i = clusters_current(&all, err);
        if (i < 0)
            r = (int)i;
        else
            *ret = xstrdup(all.items.items[i].path);
    }
    clusters_done(&all);
    return r;
}

int config_load(struct config *ret, struct error *err)
{
    _cleanup_free_ char *path = NULL, *dir = NULL;
    const char *file = getenv("DCOS_CONFIG");
    int r = 0;
    if (file && *file)
        return config_open(file, ret, err);
    r = find_cluster(&path, err);
    if (r == 0 && !path && (r = clusters_dir(&dir, err)) == 0)
        path = path_join(dir, "dcos.toml");
    return r < 0 ? r : config_open(path, ret, err);
}

void config_done(struct config *c)
{
    free(c->path);
    toml_done(&c->toml);
    *c = (struct config){0};
}

/* ---- values ---- */

static const char *env_of(char *variable, size_t size, const char *prefix, const char *name)
{
    snprintf(variable, size, "DCOS_%s%s%s", prefix, *prefix ? "_" : "", name);
    for (char *p = variable; *p; p++)
        *p = *p == '-' || *p == '.' ? '_' : (char)toupper((unsigned char)*p);
    const char *value = getenv(variable);
    return value && *value ? value : NULL;
}

const char *config_env(const char *name, char *variable, size_t size)
{
    const char *value = NULL;
    if (has_prefix(name, "core.")) {
        const char *key = name + strlen("core.");
        if (has_prefix(key, "dcos_"))
            value = env_of(variable, size, "", key + strlen("dcos_"));
        if (!value)
            value = env_of(variable, size, "", key);
    }
    return value ?: env_of(variable, size, "", name);
}

char *config_get(const struct config *c, const char *name)
{
    char variable[128];
    const char *env = config_env(name, variable, sizeof(variable));
    if (env)
        return xstrdup(env);
    const struct toml_line *line = toml_get(&c->toml, name);
    return line ? xstrdup(line->value) : NULL;
}

static bool is_bool(const char *value)
{
    static const char *const words[] = {
        "1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (streq(value, words[i]))
            return true;
    }
    return false;
}

int config_check(const char *name, const char *value, struct error *err)
{
    const struct config_key *key = config_key_find(name);
    int64_t number;
    struct http_url url;
    struct error why = ERROR_INIT;
    switch (key ? key->type : CONFIG_STRING) {
    case CONFIG_I64:
        if (parse_i64(str_of(value), &number) < 0)
            return error_set(
                err, -EINVAL, "%s: unable to cast \"%s\" of type string to int64", name, value);
        return 0;
    case CONFIG_BOOL:
        if (!is_bool(value))
            return error_set(
                err, -EINVAL, "%s: unable to cast \"%s\" of type string to bool", name, value);
        return 0;
    case CONFIG_VERIFY:
        if (!is_bool(value) && !path_exists(value))
            return error_set(err, -EINVAL, "%s: stat %s: no such file or directory", name, value);
        return 0;
    case CONFIG_URL:
        if (http_url_parse(str_of(value), &url, &why) < 0)
            return error_set(err, -EINVAL,
                "%s: '%s' is no URL (%s); it looks like http://10.0.0.1:8080", name, value,
                why.msg);
        return 0;
    default:
        return 0;
    }
}

int config_save(const struct config *c, struct error *err)
{
    _cleanup_free_ char *dir = xstrdup(c->path);
    char *slash = strrchr(dir, '/');
    if (slash && slash != dir) {
        *slash = '\0';
        int r = mkdir_all(dir, 0755, err);
        if (r < 0)
            return r;
    }
    _cleanup_buf_ struct buf text = BUF_INIT;
    toml_write(&c->toml, &text);
    return file_write_atomic(c->path, buf_cstr(&text), text.n, 0600, err);
}

static int check_name(const char *name, struct error *err)
{
    const char *dot = strrchr(name, '.');
    if (!dot || dot == name || !dot[1] || strstr(name, "..") || strchr(name, '\n'))
        return error_set(err, -EINVAL,
            "'%s' is no setting; names look like core.dcos_url (see 'dcos config keys')", name);
    return 0;
}

int config_set(struct config *c, const char *name, const char *value, struct error *err)
{
    int r = check_name(name, err);
    if (r == 0)
        r = config_check(name, value, err);
    if (r < 0)
        return r;
    if (streq(name, "core.dcos_url"))
        toml_unset(&c->toml, "core.dcos_acs_token");
    config_put(c, name, value);
    return config_save(c, err);
}

void config_put(struct config *c, const char *name, const char *value)
{
    const struct config_key *key = config_key_find(name);
    bool bare = key &&
                (key->type == CONFIG_I64 ||
                    (key->type == CONFIG_BOOL && (streq(value, "true") || streq(value, "false"))));
    toml_set(&c->toml, name, value, bare);
}

int config_unset(struct config *c, const char *name, struct error *err)
{
    int r = check_name(name, err);
    if (r < 0)
        return r;
    if (streq(name, "core.dcos_url"))
        toml_unset(&c->toml, "core.dcos_acs_token");
    return toml_unset(&c->toml, name) ? config_save(c, err) : 0;
}
