#include "minidcos/cluster.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/parse.h"
#include "json/writer.h"

enum { CLUSTER_FILE_MAX = 4 * 1024 * 1024, CLUSTER_FORMAT = 1, HTTPS_PORT = 443 };

static const char *const kinds[] = {
    "master", "marathon", "agent", "public-agent", "zookeeper", "iam", "net", "router"};
static const char *const states[] = {"stopped", "starting", "running", "waiting"};

const char *daemon_state_text(enum daemon_state s)
{
    return states[s];
}

const char *daemon_kind_text(enum daemon_kind k)
{
    return kinds[k];
}

int cluster_check_name(const char *name, struct error *err)
{
    size_t n = strlen(name);
    bool good = n > 0 && n <= CLUSTER_NAME_MAX && isalnum((unsigned char)name[0]);
    for (size_t i = 0; i < n; i++)
        good = good && (isalnum((unsigned char)name[i]) || strchr("_.-", name[i]));
    /* "cli" is the folder of the command line's settings, "nspawn" that of clusters of machines. */
    if (!good || streq(name, "cli") || streq(name, "nspawn"))
        return error_set(err, -EINVAL,
            "'%s' cannot name a cluster; use letters, digits, '_', '.' and '-', at most %d of them",
            name, CLUSTER_NAME_MAX);
    return 0;
}

void cluster_init(struct cluster *c, const char *home, const char *name)
{
    *c = (struct cluster){.home = xstrdup(home), .name = xstrdup(name)};
    c->dir = path_join(home, name);
    /* FNV-1a: the same place always gives the same id, also when cluster.json is lost. */
    uint32_t hash = 2166136261u;
    for (const char *p = c->dir; *p; p++)
        hash = (hash ^ (unsigned char)*p) * 16777619u;
    c->id = xasprintf("%s-%06x", name, (unsigned)(hash & 0xffffff));
}

static void daemon_done(struct daemon *d)
{
    free(d->name);
    free(d->ip);
    free(d->work_dir);
    free(d->log);
    free(d->ready_file);
    free(d->cgroups_root);
    free(d->last_exit);
    VEC_FOREACH (arg, &d->argv)
        free(*arg);
    vec_done(&d->argv);
}

void cluster_done(struct cluster *c)
{
    VEC_FOREACH (d, &c->daemons)
        daemon_done(d);
    vec_done(&c->daemons);
    free(c->home);
    free(c->name);
    free(c->dir);
    free(c->id);
    *c = (struct cluster){0};
}

char *cluster_path(const struct cluster *c, const char *name)
{
    return path_join(c->dir, name);
}

char *cluster_url(const struct cluster *c, const struct daemon *d)
{
    bool plain = d->kind == DAEMON_NET || d->kind == DAEMON_ZOOKEEPER;
    bool tls = (c->secure && !plain) || d->kind == DAEMON_ROUTER;
    return tls && d->port == HTTPS_PORT
               ? xasprintf("https://%s", d->ip)
               : xasprintf("http%s://%s:%u", tls ? "s" : "", d->ip, d->port);
}

struct daemon *cluster_add(struct cluster *c, enum daemon_kind kind, const char *name)
{
    vec_push(&c->daemons, (struct daemon){.kind = kind, .name = xstrdup(name)});
    struct daemon *d = &c->daemons.items[c->daemons.n - 1];
    d->work_dir = cluster_path(c, name);
    d->log = xasprintf("%s/logs/%s.log", c->dir, name);
    d->ready_file = xasprintf("%s/run/%s.ready", c->dir, name);
    return d;
}

struct daemon *cluster_first(const struct cluster *c, enum daemon_kind kind)
{
    for (size_t i = 0; i < c->daemons.n; i++) {
        if (c->daemons.items[i].kind == kind)
            return &c->daemons.items[i];
    }
    return NULL;
}

/* ---- cluster.json ---- */

static void write_daemon(struct json_writer *w, const struct daemon *d)
{
    jw_begin_object(w);
    jw_field_string(w, "name", d->name);
    jw_field_string(w, "kind", kinds[d->kind]);
    jw_field_string(w, "state", states[d->state]);
    jw_field_string(w, "ip", d->ip);
    jw_field_i64(w, "port", d->port);
    jw_field_i64(w, "pid", d->pid);
    jw_field_i64(w, "start", (int64_t)d->start);
    jw_field_i64(w, "started_us", d->started_us);
    jw_field_i64(w, "restarts", d->restarts);
    if (d->last_exit)
        jw_field_string(w, "last_exit", d->last_exit);
    if (d->cgroups_root) {
        jw_field_string(w, "cgroups_root", d->cgroups_root);
        jw_field_i64(w, "cpus_milli", d->cpus_milli);
        jw_field_i64(w, "mem_mb", d->mem_mb);
        jw_field_i64(w, "disk_mb", d->disk_mb);
        jw_field_i64(w, "ports_from", d->ports_from);
        jw_field_i64(w, "ports_to", d->ports_to);
    }
    jw_field_string(w, "work_dir", d->work_dir);
    jw_field_string(w, "log", d->log);
    jw_field_string(w, "ready_file", d->ready_file);
    jw_key(w, "argv");
    jw_begin_array(w);
    for (size_t i = 0; i < d->argv.n; i++)
        jw_string(w, d->argv.items[i]);
    jw_end_array(w);
    jw_end_object(w);
}

void cluster_to_json(const struct cluster *c, struct buf *out)
{
    struct json_writer w;
    jw_init(&w, out);
    w.indent = 2;
    jw_begin_object(&w);
    jw_field_i64(&w, "format", CLUSTER_FORMAT);
    jw_field_string(&w, "name", c->name);
    jw_field_string(&w, "id", c->id);
    jw_field_string(&w, "dir", c->dir);
    jw_field_i64(&w, "created_us", c->created_us);
    jw_field_i64(&w, "block", c->block);
    jw_field_bool(&w, "secure", c->secure);
    jw_key(&w, "supervisor");
    jw_begin_object(&w);
    jw_field_i64(&w, "pid", c->supervisor_pid);
    jw_field_i64(&w, "start", (int64_t)c->supervisor_start);
    jw_end_object(&w);
    for (size_t i = 0; i < c->daemons.n; i++) {
        const struct daemon *d = &c->daemons.items[i];
        static const char *const names[] = {[DAEMON_MASTER] = "master_url",
            [DAEMON_MARATHON] = "marathon_url",
            [DAEMON_ROUTER] = "url"};
        /* The first master stands for all. */
        if ((size_t)d->kind >= ARRAY_SIZE(names) || !names[d->kind] ||
            (d->kind == DAEMON_MASTER && d != cluster_first(c, d->kind)))
            continue;
        _cleanup_free_ char *url = cluster_url(c, d);
        jw_field_string(&w, names[d->kind], url);
    }
    jw_key(&w, "daemons");
    jw_begin_array(&w);
    for (size_t i = 0; i < c->daemons.n; i++)
        write_daemon(&w, &c->daemons.items[i]);
    jw_end_array(&w);
    jw_end_object(&w);
    buf_putc(out, '\n');
}

int cluster_save(const struct cluster *c, struct error *err)
{
    _cleanup_free_ char *path = cluster_path(c, "cluster.json");
    _cleanup_buf_ struct buf text = BUF_INIT;
    cluster_to_json(c, &text);
    return file_write_atomic(path, text.p, text.n, 0644, err);
}

static int word_index(const char *const *words, size_t n, const char *text)
{
    for (size_t i = 0; i < n; i++) {
        if (streq(words[i], text))
            return (int)i;
    }
    return -1;
}

static int read_daemon(struct cluster *c, const json_t *json, struct error *err)
{
    const char *name = json_str_at(json, "name", NULL), *ip = json_str_at(json, "ip", NULL);
    int kind = word_index(kinds, ARRAY_SIZE(kinds), json_str_at(json, "kind", NULL));
    int state = word_index(states, ARRAY_SIZE(states), json_str_at(json, "state", NULL));
    int64_t port = json_i64_at(json, "port", -1), pid = json_i64_at(json, "pid", 0);
    if (!name || !ip || kind < 0 || state < 0 || port < 0 || port > UINT16_MAX || pid < 0 ||
        pid > INT32_MAX)
        return error_set(err, -EBADMSG, "a daemon's entry is incomplete");
    struct daemon *d = cluster_add(c, (enum daemon_kind)kind, name);
    d->state = (enum daemon_state)state;
    d->ip = xstrdup(ip);
    d->port = (uint16_t)port;
    d->pid = (pid_t)pid;
    d->start = (uint64_t)json_i64_at(json, "start", 0);
    d->started_us = json_i64_at(json, "started_us", 0);
    d->restarts = json_i64_at(json, "restarts", 0);
    const char *last_exit = json_str_at(json, "last_exit", NULL);
    const char *cgroups = json_str_at(json, "cgroups_root", NULL);
    d->last_exit = last_exit ? xstrdup(last_exit) : NULL;
    d->cgroups_root = cgroups ? xstrdup(cgroups) : NULL;
    d->cpus_milli = json_i64_at(json, "cpus_milli", 0);
    d->mem_mb = json_i64_at(json, "mem_mb", 0);
    d->disk_mb = json_i64_at(json, "disk_mb", 0);
    d->ports_from = (uint16_t)json_i64_at(json, "ports_from", 0);
    d->ports_to = (uint16_t)json_i64_at(json, "ports_to", 0);
    const json_t *argv = json_at(json, "argv");
    for (size_t i = 0; i < json_array_size(argv) && i < DAEMON_ARGS_MAX; i++) {
        const char *arg = json_string_value(json_array_get(argv, i));
        if (!arg)
            return error_set(err, -EBADMSG, "a daemon's argv is wrong");
        vec_push(&d->argv, xstrdup(arg));
    }
    if (d->argv.n == 0)
        return error_set(err, -EBADMSG, "a daemon's argv is empty");
    return 0;
}

int cluster_load(const char *home, const char *name, struct cluster *ret, struct error *err)
{
    struct cluster c;
    int r = cluster_check_name(name, err);
    if (r < 0)
        return r;
    cluster_init(&c, home, name);
    _cleanup_free_ char *path = cluster_path(&c, "cluster.json");
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_json_ json_t *json = NULL;
    struct error why = ERROR_INIT;
    r = file_read(path, CLUSTER_FILE_MAX, &text, &why);
    if (r < 0) {
        cluster_done(&c);
        if (r == -ENOENT || r == -ENOTDIR)
            return error_set(err, -ENOENT,
                "there is no cluster '%s' in %s; make it with 'minidcos create %s'", name, home,
                name);
        return error_set(err, r, "%s", why.msg);
    }
    r = json_parse(text.p, text.n, &json, &why);
    if (r == 0 && json_i64_at(json, "format", 0) != CLUSTER_FORMAT)
        r = error_set(&why, -EBADMSG, "it is of another version of minidcos");
    if (r == 0) {
        const json_t *supervisor = json_at(json, "supervisor"), *all = json_at(json, "daemons");
        c.created_us = json_i64_at(json, "created_us", 0);
        c.block = json_i64_at(json, "block", 0);
        c.secure = json_bool_at(json, "secure", false);
        c.supervisor_pid = (pid_t)json_i64_at(supervisor, "pid", 0);
        c.supervisor_start = (uint64_t)json_i64_at(supervisor, "start", 0);
        for (size_t i = 0; r == 0 && i < json_array_size(all); i++)
            r = read_daemon(&c, json_array_get(all, i), &why);
    }
    if (r < 0) {
        cluster_done(&c);
        return error_set(
            err, r, "%s: %s; 'minidcos destroy %s' clears the cluster away", path, why.msg, name);
    }
    *ret = c;
    return 0;
}

/* ---- names of daemons and nodes ---- */

int cluster_resolve(struct cluster *c, const char *word, bool *chosen, struct error *err)
{
    static const char *const roles[] = {"master_", "master_", "agent_", "public_agent_", "master_",
        "master_", "master_", "master_"};
    int n = 0;
    uint64_t per_kind[ARRAY_SIZE(kinds)] = {0};
    for (size_t i = 0; i < c->daemons.n; i++) {
        const struct daemon *d = &c->daemons.items[i];
        char node[64];
        snprintf(
            node, sizeof(node), "%s%llu", roles[d->kind], (unsigned long long)per_kind[d->kind]++);
        chosen[i] = streq(word, "all") || streq(word, d->name) || streq(word, d->ip) ||
                    streq(word, node);
        n += chosen[i];
    }
    if (n > 0)
        return n;
    _cleanup_buf_ struct buf names = BUF_INIT;
    VEC_FOREACH (d, &c->daemons)
        buf_printf(&names, " %s", d->name);
    return error_set(err, -ENOENT, "'%s' is no daemon or node of cluster '%s'; there are:%s", word,
        c->name, buf_cstr(&names));
}
