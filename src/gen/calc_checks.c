#include <errno.h>

#include "base/alloc.h"
#include "gen/calc.h"
#include "gen/config.h"
#include "gen/gen.h"
#include "gen/rules.h"
#include "pkgpanda/hash.h"

/* Detection scripts, and the checks that a node runs on itself. */

#define CUSTOM_BINS "custom-check-bins"
#define BINS_FOLDER "/opt/mesosphere/active/" CUSTOM_BINS
#define SEARCH_PATH "/opt/mesosphere/bin:/usr/bin:/bin:/sbin"

/* ---- scripts ---- */

static int read_script(struct graph_call *c, const char *name, struct buf *out, struct error *err)
{
    const struct gen_files *files = c->userdata;
    int r = files->read(files->userdata, name, GEN_FILE_MAX, out, err);
    if (r < 0)
        return r;
    json_t *text = memchr(buf_cstr(out), 0, out->n) ? NULL : json_stringn(buf_cstr(out), out->n);
    json_decref(text);
    if (!text)
        return error_set(err, -EINVAL, "%.200s must be text in UTF-8", name);
    return 0;
}

/* A script that must be there. */
static int demand(
    struct graph_call *c, const char *name, const char *what, const char **ret, struct error *err)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    int r = read_script(c, name, &b, err);
    if (r == -ENOENT)
        return error_set(err, r, "%s script '%.200s' must exist", what, name);
    if (r < 0)
        return r;
    if (b.n == 0)
        return error_set(err, -EINVAL, "%s script '%.200s' is empty", what, name);
    *ret = arena_strdup(c->arena, buf_cstr(&b));
    return 0;
}

int calc_ip_detect(struct graph_call *c, const char **ret, struct error *err)
{
    return demand(c, c->in[0], "ip-detect", ret, err);
}

int calc_ip_detect_public(struct graph_call *c, const char **ret, struct error *err)
{
    if (*c->in[0])
        return demand(c, c->in[0], "ip-detect-public", ret, err);
    *ret = c->in[1];
    return 0;
}

int calc_ip6_detect(struct graph_call *c, const char **ret, struct error *err)
{
    if (*c->in[0])
        return demand(c, c->in[0], "ip6-detect", ret, err);
    *ret = "";
    return 0;
}

int calc_fault_domain(struct graph_call *c, const char **ret, struct error *err)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    int r = *c->in[0] ? read_script(c, c->in[0], &b, err) : 0;
    if (r < 0 && r != -ENOENT)
        return r;
    *ret = r < 0 ? "" : arena_strdup(c->arena, buf_cstr(&b));
    return 0;
}

int calc_fault_domain_enabled(struct graph_call *c, const char **ret, struct error *err)
{
    *ret = *c->in[0] ? "true" : "false";
    return 0;
}

/* ---- programs for checks ---- */

/* {} when there are none, else {"id": "custom-check-bins--<sha1>", "files": [names]}. */
int calc_custom_check_bins(struct graph_call *c, const char **ret, struct error *err)
{
    const struct gen_files *files = c->userdata;
    _cleanup_buf_ struct buf text = BUF_INIT, out = BUF_INIT;
    _cleanup_json_ json_t *list = NULL, *json = json_object();
    char sha1[SHA1_TEXT];
    json_t *item;
    size_t i;
    int r = files->list(files->userdata, c->in[0], &text, err);
    if (r == -EISDIR)
        return error_set(err, -EINVAL, "%.200s must not have folders in it", c->in[0]);
    if (r < 0 && r != -ENOENT)
        return r;
    if (r == 0)
        r = rule_parse_list(buf_cstr(&text), &list, err);
    if (r == 0 && json_array_size(list)) {
        json_t *names = json_array(), *sums = json_array();
        json_array_foreach(list, i, item)
        {
            json_array_append(names, json_array_get(item, 0));
            json_array_append(sums, json_array_get(item, 1));
        }
        r = content_hash(sums, sha1, err);
        json_decref(sums);
        json_object_set_new(json, "id", json_sprintf(CUSTOM_BINS "--%s", sha1));
        json_object_set_new(json, "files", names);
    }
    if (r < 0 && r != -ENOENT)
        return r;
    config_dump(json, &out);
    *ret = arena_strdup(c->arena, buf_cstr(&out));
    return 0;
}

int calc_search_path(struct graph_call *c, const char **ret, struct error *err)
{
    *ret = streq(c->in[0], "{}") ? SEARCH_PATH : SEARCH_PATH ":" BINS_FOLDER;
    return 0;
}

/* ---- check_config ---- */

#define CHECKS_PROGRAM "/opt/mesosphere/bin/dcos-checks"
#define EXCLUDED "--exclude=dcos-checks-poststart.service,dcos-checks-poststart.timer"

struct built_in {
    const char *name, *description, *timeout, *role;
    const char *cmd[8];
    enum { ALWAYS, WITH_TIME, WITH_ZOOKEEPER } when;
};

/* Upstream's, without what looks for Docker, unzip and CockroachDB, which nothing here needs. */
static const struct built_in built_ins[] = {
    {"components_master", "All DC/OS components are healthy", "30s", "master",
        {CHECKS_PROGRAM, "--role=master", "components", EXCLUDED}},
    {"components_agent", "All DC/OS components are healthy", "30s", "agent",
        {CHECKS_PROGRAM, "--role=agent", "components", "--port=61001", EXCLUDED}},
    {"xz", "The xz utility is available", "5s", NULL, {CHECKS_PROGRAM, "executable", "xz"}},
    {"tar", "The tar utility is available", "5s", NULL, {CHECKS_PROGRAM, "executable", "tar"}},
    {"curl", "The curl utility is available", "5s", NULL, {CHECKS_PROGRAM, "executable", "curl"}},
    {"ip_detect_script", "The IP detect script produces valid output", "30s", NULL,
        {CHECKS_PROGRAM, "ip"}},
    {"mesos_master_replog_synchronized", "The Mesos master has its registry", "30s", "master",
        {CHECKS_PROGRAM, "--role=master", "mesos-metrics"}},
    {"mesos_agent_registered_with_masters", "The Mesos agent has registered with the masters",
        "30s", "agent", {CHECKS_PROGRAM, "--role=agent", "mesos-metrics"}},
    {"journald_dir_permissions", "The journal's folder can be read by its group", "5s", NULL,
        {CHECKS_PROGRAM, "journald"}},
    {"zookeeper_serving", "ZooKeeper on this node is in a quorum", "30s", "master",
        {CHECKS_PROGRAM, "zookeeper"}, WITH_ZOOKEEPER},
    {"clock_sync", "The system clock is in sync", "5s", NULL, {CHECKS_PROGRAM, "time"}, WITH_TIME},
};

static bool is_wanted(const struct built_in *b, bool time, bool zookeeper)
{
    return b->when == ALWAYS || (b->when == WITH_TIME && time) ||
           (b->when == WITH_ZOOKEEPER && zookeeper);
}

static json_t *definition(const struct built_in *b)
{
    json_t *check = json_object(), *cmd = json_array();
    json_object_set_new(check, "description", json_string(b->description));
    for (size_t i = 0; i < ARRAY_SIZE(b->cmd) && b->cmd[i]; i++)
        json_array_append_new(cmd, json_string(b->cmd[i]));
    json_object_set_new(check, "cmd", cmd);
    json_object_set_new(check, "timeout", json_string(b->timeout));
    if (b->role)
        json_object_set_new(check, "roles", json_pack("[s]", b->role));
    return check;
}

static json_t *member(json_t *object, const char *key, json_t *fresh)
{
    json_t *value = json_object_get(object, key);
    if (value) {
        json_decref(fresh);
        return value;
    }
    json_object_set_new(object, key, fresh);
    return fresh;
}

const char *calc_built_in_check(size_t i)
{
    return i < ARRAY_SIZE(built_ins) ? built_ins[i].name : NULL;
}

/* Inputs: custom_checks check_time check_search_path check_ld_library_path uses_zookeeper
 * custom_check_bins. */
int calc_check_config(struct graph_call *c, const char **ret, struct error *err)
{
    _cleanup_json_ json_t *json = NULL;
    _cleanup_buf_ struct buf b = BUF_INIT;
    int r = rule_parse_dictionary(c->in[0], &json, err);
    if (r < 0)
        return r;
    json_t *node = member(json, "node_checks", json_object());
    json_t *checks = member(node, "checks", json_object());
    json_t *poststart = member(node, "poststart", json_array());
    for (size_t i = 0; i < ARRAY_SIZE(built_ins); i++) {
        if (!is_wanted(&built_ins[i], streq(c->in[1], "true"), streq(c->in[4], "true")))
            continue;
        json_object_set_new(checks, built_ins[i].name, definition(&built_ins[i]));
        json_array_append_new(poststart, json_string(built_ins[i].name));
    }
    bool behind = !streq(c->in[5], "{}") && !strstr(c->in[2], BINS_FOLDER);
    _cleanup_free_ char *path = xasprintf("%s%s", c->in[2], behind ? ":" BINS_FOLDER : "");
    json_object_set_new(
        json, "check_env", json_pack("{s:s,s:s}", "PATH", path, "LD_LIBRARY_PATH", c->in[3]));
    config_dump(json, &b);
    *ret = arena_strdup(c->arena, buf_cstr(&b));
    return 0;
}
