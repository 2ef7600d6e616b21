#include "cli/config.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

static int find_dir(char **ret, struct error *err)
{
    const char *dir = getenv("DCOS_DIR");
    if (dir && *dir) {
        char *absolute = realpath(dir, NULL);
        _cleanup_free_ char *cwd = NULL;
        if (!absolute && dir[0] != '/')
            cwd = getcwd(NULL, 0);
        *ret = absolute ?: cwd ? path_join(cwd, dir) : xstrdup(dir);
        return 0;
    }
    const char *home = getenv("HOME");
    if (!home || !*home) {
        struct passwd *pw = getpwuid(getuid());
        home = pw ? pw->pw_dir : NULL;
    }
    if (!home)
        return error_set(
            err, -ENOENT, "cannot tell your home directory; set DCOS_DIR to a folder for settings");
    *ret = path_join(home, ".dcos");
    return 0;
}

static int read_toml(const char *path, struct toml *ret, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct error why = ERROR_INIT;
    int r = file_read(path, TOML_SIZE_MAX, &text, &why);
    if (r == -ENOENT || r == -ENOTDIR)
        return 0;
    if (r < 0)
        return error_set(err, r, "%s", why.msg);
    r = toml_parse(buf_str(&text), ret, err);
    return r < 0 ? error_prefix(err, r, "%s", path) : 0;
}

struct candidate {
    char *id;
    bool attached, named;
};

/* Chooses between the clusters that are set up; *ret stays NULL when there are none. */
static int find_cluster(const char *dir, char **ret, struct error *err)
{
    _cleanup_free_ char *base = path_join(dir, "clusters");
    const char *wanted = getenv("DCOS_CLUSTER");
    if (wanted && !*wanted)
        wanted = NULL;
    DIR *d = opendir(base);
    if (!d && !wanted)
        return 0;
    if (!d)
        return error_set(
            err, -ENOENT, "no match found: no cluster '%s' is set up in %s", wanted, dir);
    VEC(struct candidate) found = {0};
    for (struct dirent *e; (e = readdir(d));) {
        _cleanup_free_ char *path = path_join(base, e->d_name);
        struct stat st;
        if (e->d_name[0] == '.' || stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
            continue;
        _cleanup_free_ char *attached = path_join(path, "attached");
        struct candidate c = {.id = xstrdup(e->d_name), .attached = path_exists(attached)};
        if (wanted) {
            _cleanup_free_ char *file = path_join(path, "dcos.toml");
            struct toml toml = {0};
            if (streq(wanted, e->d_name))
                c.named = true;
            else if (read_toml(file, &toml, NULL) == 0 && toml_get(&toml, "cluster.name"))
                c.named = streq(toml_get(&toml, "cluster.name")->value, wanted);
            toml_done(&toml);
        }
        vec_push(&found, c);
    }
    closedir(d);
    size_t n = 0, at = 0;
    for (size_t i = 0; i < found.n; i++) {
        bool fits = wanted ? found.items[i].named : found.n == 1 || found.items[i].attached;
        if (fits) {
            n++;
            at = i;
        }
    }
    int r = 0;
    if (n == 1)
        *ret = xstrdup(found.items[at].id);
    else if (wanted)
        r = error_set(err, -ENOENT, "%s: DCOS_CLUSTER is '%s'",
            n ? "multiple matches found" : "no match found", wanted);
    else if (n > 1)
        r = error_set(err, -EINVAL,
            "multiple clusters are attached; name one in DCOS_CLUSTER (they are in %s)", base);
    else if (found.n > 0)
        r = error_set(err, -ENOENT,
            "no cluster is attached; name one in DCOS_CLUSTER (they are in %s)", base);
    VEC_FOREACH (c, &found)
        free(c->id);
    vec_done(&found);
    return r;
}

int config_load(struct config *ret, struct error *err)
{
    struct config c = {0};
    _cleanup_free_ char *cluster = NULL;
    int r = find_dir(&c.dir, err);
    const char *file = getenv("DCOS_CONFIG");
    if (r == 0 && file && *file)
        c.path = xstrdup(file);
    else if (r == 0 && (r = find_cluster(c.dir, &cluster, err)) == 0)
        c.path = cluster ? path_join(c.dir, "clusters", cluster, "dcos.toml")
                         : path_join(c.dir, "dcos.toml");
    if (r == 0)
        r = read_toml(c.path, &c.toml, err);
    if (r < 0) {
        config_done(&c);
        return r;
    }
    *ret = c;
    return 0;
}

void config_done(struct config *c)
{
    free(c->dir);
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

static int save(const struct config *c, struct error *err)
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
    const struct config_key *key = config_key_find(name);
    if (streq(name, "core.dcos_url"))
        toml_unset(&c->toml, "core.dcos_acs_token");
    bool bare = key &&
                (key->type == CONFIG_I64 ||
                    (key->type == CONFIG_BOOL && (streq(value, "true") || streq(value, "false"))));
    toml_set(&c->toml, name, value, bare);
    return save(c, err);
}

int config_unset(struct config *c, const char *name, struct error *err)
{
    int r = check_name(name, err);
    if (r < 0)
        return r;
    if (streq(name, "core.dcos_url"))
        toml_unset(&c->toml, "core.dcos_acs_token");
    if (!toml_unset(&c->toml, name))
        return error_set(err, -ENOENT, "'%s' is not set in %s", name, c->path);
    return save(c, err);
}
