/* minidcos nspawn inspect, list, destroy, destroy-list, clean */

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "json/writer.h"
#include "minidcos/nspawn/commands.h"

static int run_inspect(const struct invocation *inv, struct error *err)
{
    struct machines m;
    int r = nspawn_load(inv, &m, err);
    if (r != 0)
        return r;
    static const struct {
        enum node_role role;
        const char *key;
    } lists[] = {
        {NODE_AGENT, "agents"}, {NODE_MASTER, "masters"}, {NODE_PUBLIC_AGENT, "public_agents"}};
    _cleanup_free_ char *key = machines_path(&m, "ssh/key");
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &text);
    w.indent = 4;
    jw_begin_object(&w); /* keys sorted */
    jw_field_string(&w, "Cluster ID", m.id);
    jw_field_string(&w, "DC/OS Variant", "DC/OS OSS");
    jw_key(&w, "Nodes");
    jw_begin_object(&w);
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        jw_key(&w, lists[i].key);
        jw_begin_array(&w);
        VEC_FOREACH (node, &m.nodes) {
            if (node->role != lists[i].role)
                continue;
            jw_begin_object(&w);
            jw_field_string(&w, "e2e_reference", node->name);
            jw_field_string(&w, "host_name", node->host);
            jw_field_string(&w, "ip_address", node->ip);
            jw_field_string(&w, "machine_name", node->machine);
            jw_field_bool(&w, "running", groups_alive(&m, node));
            jw_field_string(&w, "ssh_key", key);
            jw_field_string(&w, "ssh_user", "root");
            jw_end_object(&w);
        }
        jw_end_array(&w);
    }
    jw_end_object(&w);
    _cleanup_free_ char *url = xasprintf("http://%s", machines_first(&m, NODE_MASTER)->ip);
    jw_field_string(&w, "Web UI", url);
    jw_end_object(&w);
    printf("%s\n", buf_cstr(&text));
    machines_done(&m);
    return 0;
}

static int run_list(const struct invocation *inv, struct error *err)
{
    _cleanup_free_ char *home = NULL;
    int r = home_of(inv, &home, err);
    if (r < 0)
        return r;
    char **ids;
    size_t n = machines_ids(home, &ids);
    for (size_t i = 0; i < n; i++) {
        printf("%s\n", ids[i]);
        free(ids[i]);
    }
    free(ids);
    return 0;
}

/* ---- end ---- */

/* A record that is missing or cannot be read is no obstacle: all names come from the folder's. */
static int destroy(const char *home, const char *id, struct error *err)
{
    struct machines m;
    machines_init(&m, home, id);
    int lock = nspawn_lock(&m, err);
    int r = lock < 0 ? lock : machines_destroy(&m, err);
    if (r >= 0)
        printf("%s\n", id);
    fd_close(lock);
    machines_done(&m);
    return MIN(r, 0);
}

static int known(const char *home, const char *id, struct error *err)
{
    int r = machines_check_id(id, err);
    _cleanup_free_ char *dir = path_join(home, "nspawn", id);
    return r < 0 ? r
           : path_exists(dir)
               ? 0
               : error_set(err, -ENOENT, "there is no cluster '%s' in %s/nspawn", id, home);
}

static int run_destroy(const struct invocation *inv, struct error *err)
{
    _cleanup_free_ char *home = NULL;
    int r = need_root(err);
    if (r == 0)
        r = home_of(inv, &home, err);
    if (r < 0)
        return r;
    if (known(home, name_of(inv), err) < 0)
        return usage_error(err);
    return destroy(home, name_of(inv), err);
}

static int run_destroy_list(const struct invocation *inv, struct error *err)
{
    _cleanup_free_ char *home = NULL;
    int r = need_root(err), failed = 0;
    if (r == 0)
        r = home_of(inv, &home, err);
    for (size_t i = 0; r >= 0 && i < inv->n_args; i++) {
        struct error why = ERROR_INIT;
        if (known(home, inv->args[i], &why) < 0) {
            fprintf(stderr, "Warning: %s\n", why.msg);
        } else if (destroy(home, inv->args[i], &why) < 0) {
            fprintf(stderr, "Error: %s\n", why.msg);
            failed = 1;
        }
    }
    return r < 0 ? r : failed;
}

struct orphans {
    VEC(char *) dirs;
};

static void find_orphan(const char *dir, void *userdata)
{
    struct orphans *o = userdata;
    if (!path_exists(dir))
        vec_push(&o->dirs, xstrdup(dir));
}

/* A bridge whose folder somebody removed: the folder's path still tells all names. */
static int remove_orphan(const char *dir, struct error *err)
{
    const char *id = strrchr(dir, '/'), *end = strstr(dir, "/nspawn/");
    if (!id || !end || end + strlen("/nspawn") != id || machines_check_id(id + 1, err) < 0)
        return 0;
    _cleanup_free_ char *home = xstrndup(dir, (size_t)(end - dir));
    struct machines m;
    machines_init(&m, home, id + 1);
    int r = machines_destroy(&m, err);
    if (r >= 0)
        printf("%s\n", dir);
    machines_done(&m);
    return r;
}

static int run_clean(const struct invocation *inv, struct error *err)
{
    _cleanup_free_ char *home = NULL;
    int r = need_root(err), failed = 0;
    if (r == 0)
        r = home_of(inv, &home, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *folder = path_join(home, "nspawn");
    VEC(char *) ids = {0};
    DIR *dir = opendir(folder);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (machines_check_id(e->d_name, NULL) == 0)
            vec_push(&ids, xstrdup(e->d_name));
    }
    if (dir)
        closedir(dir);
    struct error why = ERROR_INIT;
    VEC_FOREACH (id, &ids) {
        if (destroy(home, *id, &why) < 0) {
            fprintf(stderr, "Error: %s\n", why.msg);
            failed = 1;
        }
        free(*id);
    }
    vec_done(&ids);
    struct orphans o = {0};
    network_each(find_orphan, &o);
    VEC_FOREACH (path, &o.dirs) {
        if (remove_orphan(*path, &why) < 0) {
            fprintf(stderr, "Error: %s\n", why.msg);
            failed = 1;
        }
        free(*path);
    }
    vec_done(&o.dirs);
    /* After the nodes, which may have them mounted. */
    if (sidecars_clean(home, &why) < 0) {
        fprintf(stderr, "Error: %s\n", why.msg);
        failed = 1;
    }
    _cleanup_free_ char *cache = NULL;
    if (nspawn_cache_find(inv, &cache, &why) == 0)
        tree_clean(cache);
    return failed;
}

static const struct option_spec inspect_options[] = {OPTION_CLUSTER, OPTIONS_COMMON};
static const struct option_spec clean_options[] = {OPTIONS_COMMON, OPTION_CACHE};
static const struct option_spec list_options[] = {OPTIONS_COMMON};

const struct command nspawn_inspect = {.name = "inspect",
    .summary = "Print what a cluster consists of, as JSON",
    OPTIONS(inspect_options),
    .run = run_inspect};
const struct command nspawn_list = {.name = "list",
    .summary = "Print the ids of all clusters of the folder",
    OPTIONS(list_options),
    .run = run_list};
const struct command nspawn_destroy = {.name = "destroy",
    .summary = "End a cluster and remove every trace of it",
    OPTIONS(inspect_options),
    .run = run_destroy};
const struct command nspawn_destroy_list = {.name = "destroy-list",
    .arguments = "<id>...",
    .summary = "Destroy several clusters; unknown ones are warned about",
    OPTIONS(list_options),
    .min_args = 1,
    .max_args = UINT_MAX,
    .run = run_destroy_list};
const struct command nspawn_clean = {.name = "clean",
    .summary = "Destroy all clusters and sidecars of the folder, and what is left of others whose "
               "folder is gone",
    OPTIONS(clean_options),
    .run = run_clean};
