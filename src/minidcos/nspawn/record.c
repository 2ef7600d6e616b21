#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/parse.h"
#include "json/writer.h"
#include "minidcos/nspawn/nspawn.h"

enum {
    ID_MAX = 40,
    RECORD_MAX = 1024 * 1024,
    RECORD_FORMAT = 1,
};

const char *const role_words[NODE_ROLES] = {"master", "agent", "public_agent"};

int machines_check_id(const char *id, struct error *err)
{
    size_t n = strlen(id);
    bool good = n > 0 && n <= ID_MAX && isalnum((unsigned char)id[0]);
    for (size_t i = 0; i < n; i++)
        good = good && (isalnum((unsigned char)id[i]) || strchr("_.-", id[i]));
    if (!good)
        return error_set(err, -EINVAL,
            "'%s' cannot be a cluster's id; use letters, digits, '_', '.' and '-', at most %d of "
            "them, the first a letter or digit",
            id, ID_MAX);
    return 0;
}

void machines_init(struct machines *m, const char *home, const char *id)
{
    *m = (struct machines){.home = xstrdup(home), .id = xstrdup(id)};
    m->dir = path_join(home, "nspawn", id);
    /* FNV-1a: the same folder always gives the same names, also when its record is lost. */
    uint32_t hash = 2166136261u;
    for (const char *p = m->dir; *p; p++)
        hash = (hash ^ (unsigned char)*p) * 16777619u;
    snprintf(m->hash, sizeof(m->hash), "%08x", (unsigned)hash);
    snprintf(m->bridge, sizeof(m->bridge), "mdc-%s", m->hash);
    m->label = xasprintf("%s-%s", id, m->hash);
}

void machines_done(struct machines *m)
{
    VEC_FOREACH (node, &m->nodes) {
        free(node->name);
        free(node->host);
        free(node->machine);
        free(node->ip);
    }
    VEC_FOREACH (v, &m->volumes) {
        free(v->spec);
        free(v->source);
        free(v->target);
    }
    vec_done(&m->nodes);
    vec_done(&m->volumes);
    vec_done(&m->ports);
    free(m->home);
    free(m->id);
    free(m->dir);
    free(m->label);
    free(m->tree);
    *m = (struct machines){0};
}

char *machines_path(const struct machines *m, const char *name)
{
    return path_join(m->dir, name);
}

size_t machines_count(const struct machines *m, enum node_role role)
{
    size_t n = 0;
    VEC_FOREACH (node, &m->nodes)
        n += node->role == role;
    return n;
}

const struct node *machines_first(const struct machines *m, enum node_role role)
{
    VEC_FOREACH (node, &m->nodes) {
        if (node->role == role)
            return node;
    }
    return NULL;
}

void machines_add(struct machines *m, enum node_role role)
{
    static const char *const words[NODE_ROLES] = {"master", "agent", "public-agent"};
    unsigned index = (unsigned)machines_count(m, role);
    struct node node = {.role = role,
        .index = index,
        .name = xasprintf("%s_%u", role_words[role], index),
        .host = xasprintf("%s-%s-%u", m->id, words[role], index),
        .machine = xasprintf("%s-%zu", m->hash, m->nodes.n)};
    /* An id may have what a host name may not. */
    for (char *p = node.host; *p; p++) {
        if (!isalnum((unsigned char)*p))
            *p = '-';
    }
    vec_push(&m->nodes, node);
}

char *machines_address(const struct machines *m, unsigned last)
{
    return xasprintf(
        "%u.%u.%u.%u", m->network >> 24, (m->network >> 16) & 255, (m->network >> 8) & 255, last);
}

void machines_number(struct machines *m)
{
    for (size_t i = 0; i < m->nodes.n; i++) {
        free(m->nodes.items[i].ip);
        m->nodes.items[i].ip = machines_address(m, NODE_ADDRESS_FIRST + (unsigned)i);
    }
}

const struct node *machines_node(const struct machines *m, const char *word, struct error *err)
{
    VEC_FOREACH (node, &m->nodes) {
        if (streq(node->name, word) || streq(node->host, word) || streq(node->ip, word) ||
            streq(node->machine, word))
            return node;
    }
    error_set(err, -ENOENT,
        "cluster '%s' has no node '%s'; a node is <role>_<n> (master_0, agent_0, public_agent_0), "
        "its address, its host name or its machine's name",
        m->id, word);
    return NULL;
}

/* ---- machines.json ---- */

int machines_save(const struct machines *m, struct error *err)
{
    struct json_writer w;
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_free_ char *path = machines_path(m, "machines.json");
    jw_init(&w, &text);
    w.indent = 2;
    jw_begin_object(&w);
    jw_field_i64(&w, "format", RECORD_FORMAT);
    jw_field_string(&w, "id", m->id);
    jw_field_i64(&w, "created_us", m->created_us);
    jw_field_string(&w, "tree", m->tree);
    jw_field_i64(&w, "network", m->network);
    jw_field_bool(&w, "installed", m->installed);
    for (enum node_role role = 0; role < NODE_ROLES; role++)
        jw_field_i64(&w, role_words[role], (int64_t)machines_count(m, role));
    jw_key(&w, "volumes");
    jw_begin_array(&w);
    VEC_FOREACH (v, &m->volumes) {
        jw_begin_object(&w);
        jw_field_string(&w, "spec", v->spec);
        jw_field_i64(&w, "roles", v->roles);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    jw_key(&w, "ports");
    jw_begin_array(&w);
    VEC_FOREACH (p, &m->ports) {
        jw_begin_object(&w);
        jw_field_i64(&w, "host", p->host);
        jw_field_i64(&w, "node", p->node);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    jw_end_object(&w);
    buf_putc(&text, '\n');
    return file_write_atomic(path, text.p, text.n, 0644, err);
}

static int read_record(struct machines *m, const json_t *json, struct error *err)
{
    int64_t network = json_i64_at(json, "network", 0);
    m->created_us = json_i64_at(json, "created_us", 0);
    m->installed = json_bool_at(json, "installed", false);
    if (json_str_at(json, "tree", NULL))
        m->tree = xstrdup(json_str_at(json, "tree", NULL));
    if (json_i64_at(json, "format", 0) != RECORD_FORMAT || network < 0 || network > UINT32_MAX)
        return error_set(err, -EBADMSG, "it is not a record of this program");
    m->network = (uint32_t)network;
    int64_t sum = 0;
    for (enum node_role role = 0; role < NODE_ROLES; role++) {
        int64_t n = json_i64_at(json, role_words[role], 0);
        if (n < 0 || (sum += n) > NODES_MAX)
            return error_set(err, -EBADMSG, "it has more than %d nodes", NODES_MAX);
        for (int64_t i = 0; i < n; i++)
            machines_add(m, role);
    }
    machines_number(m);
    const json_t *volumes = json_at(json, "volumes"), *ports = json_at(json, "ports");
    for (size_t i = 0; i < json_array_size(volumes); i++) {
        const json_t *v = json_array_get(volumes, i);
        struct volume volume = {.roles = (unsigned)json_i64_at(v, "roles", 0)};
        int r = volume_parse(json_str_at(v, "spec", ""), &volume, err);
        if (r < 0)
            return r;
        volume.spec = xstrdup(json_str_at(v, "spec", ""));
        vec_push(&m->volumes, volume);
    }
    for (size_t i = 0; i < json_array_size(ports); i++) {
        const json_t *p = json_array_get(ports, i);
        vec_push(&m->ports, ((struct port_map){.host = (uint16_t)json_i64_at(p, "host", 0),
                                .node = (uint16_t)json_i64_at(p, "node", 0)}));
    }
    return 0;
}

int machines_load(const char *home, const char *id, struct machines *ret, struct error *err)
{
    struct machines m;
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_json_ json_t *json = NULL;
    int r = machines_check_id(id, err);
    if (r < 0)
        return r;
    machines_init(&m, home, id);
    _cleanup_free_ char *path = machines_path(&m, "machines.json");
    if (!path_exists(path)) {
        machines_done(&m);
        return error_set(err, -ENOENT,
            "there is no cluster '%s' in %s/nspawn; 'minidcos nspawn list' shows those that are",
            id, home);
    }
    r = file_read(path, RECORD_MAX, &text, err);
    if (r == 0)
        r = json_parse(buf_cstr(&text), text.n, &json, err);
    if (r == 0)
        r = read_record(&m, json, err);
    if (r < 0) {
        machines_done(&m);
        return error_prefix(err, r, "%s", path);
    }
    *ret = m;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

size_t machines_ids(const char *home, char ***ret)
{
    VEC(char *) ids = {0};
    _cleanup_free_ char *folder = path_join(home, "nspawn");
    DIR *dir = opendir(folder);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        _cleanup_free_ char *file = path_join(folder, e->d_name, "machines.json");
        if (machines_check_id(e->d_name, NULL) == 0 && path_exists(file))
            vec_push(&ids, xstrdup(e->d_name));
    }
    if (dir)
        closedir(dir);
    if (ids.n)
        qsort(ids.items, ids.n, sizeof(*ids.items), by_name);
    *ret = ids.items;
    return ids.n;
}
