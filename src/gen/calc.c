#include "gen/calc.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/parse.h"
#include "gen/config.h"
#include "gen/gen.h"
#include "gen/rules.h"

/* Masters, lists, logs, the router, the console. */

static int give(struct graph_call *c, const char **ret, const char *text)
{
    *ret = arena_strdup(c->arena, text);
    return 0;
}

static int give_buf(struct graph_call *c, const char **ret, const struct buf *b)
{
    return give(c, ret, buf_cstr(b));
}

static int give_json(struct graph_call *c, const char **ret, const json_t *json)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    config_dump(json, &b);
    return give_buf(c, ret, &b);
}

static int give_bool(const char **ret, bool value)
{
    *ret = value ? "true" : "false";
    return 0;
}

int calc_has(struct graph_call *c, const char **ret, struct error *err)
{
    return give_bool(ret, c->in[0] && *c->in[0]);
}

int calc_same(struct graph_call *c, const char **ret, struct error *err)
{
    *ret = c->in[0];
    return 0;
}

/* ---- masters ---- */

int calc_count_masters(struct graph_call *c, const char **ret, struct error *err)
{
    _cleanup_json_ json_t *list = NULL;
    int r = rule_parse_list(c->in[0], &list, err);
    if (r < 0)
        return r;
    *ret = arena_printf(c->arena, "%zu", json_array_size(list));
    return 0;
}

int calc_quorum(struct graph_call *c, const char **ret, struct error *err)
{
    uint64_t n;
    int r = parse_u64(str_of(c->in[0]), &n);
    if (r < 0)
        return error_set(err, r, "num_masters is no number");
    *ret = arena_printf(c->arena, "%llu", (unsigned long long)(n / 2 + 1));
    return 0;
}

static bool several(const char *num_masters)
{
    return !streq(num_masters, "1");
}

int calc_uses_zookeeper(struct graph_call *c, const char **ret, struct error *err)
{
    return give_bool(ret, several(c->in[0]));
}

/* Behind a load balancer master_list may say where the installer finds the masters; nodes do not
 * count on it. */
static bool is_static(const char *master_discovery)
{
    return streq(master_discovery, "static");
}

/* Inputs: num_masters master_discovery. */
int calc_follows_zookeeper(struct graph_call *c, const char **ret, struct error *err)
{
    return give_bool(ret, several(c->in[0]) && !is_static(c->in[1]));
}

/* Input: exhibitor_address. */
int calc_exhibitor_url(struct graph_call *c, const char **ret, struct error *err)
{
    *ret = c->in[0] ? arena_printf(c->arena, "http://%s:8181", c->in[0]) : "";
    return 0;
}

int calc_master_ips(struct graph_call *c, const char **ret, struct error *err)
{
    *ret = c->in[0] && is_static(c->in[1]) ? c->in[0] : "[]";
    return 0;
}

enum { ZK_NAMES = 5 /* zk-1.zk and so on, that dcos-net gives */ };

static void add_server_names(json_t *list, const char *num_masters)
{
    uint64_t n;
    if (parse_u64(str_of(num_masters), &n) < 0)
        n = ZK_NAMES;
    for (uint64_t i = 1; i <= MIN(n, (uint64_t)ZK_NAMES); i++) {
        _cleanup_free_ char *name = xasprintf("zk-%llu.zk", (unsigned long long)i);
        json_array_append_new(list, json_string(name));
    }
}

/* Inputs: num_masters master_list exhibitor_address zk_client_port master_discovery. With one
 * master "address:5050", else zk://... of all. Behind a load balancer its address stands for the
 * one master; several have the names that dcos-net gives to ZooKeeper's servers. */
static int zk_or_address(
    struct graph_call *c, const char *path, const char **ret, struct error *err)
{
    _cleanup_json_ json_t *list = NULL;
    _cleanup_buf_ struct buf b = BUF_INIT;
    json_t *item;
    size_t i;
    if (c->in[1] && is_static(c->in[4])) {
        int r = rule_parse_list(c->in[1], &list, err);
        if (r < 0)
            return r;
    } else {
        list = json_array();
        if (!several(c->in[0]))
            json_array_append_new(list, json_string(c->in[2]));
        else
            add_server_names(list, c->in[0]);
    }
    if (several(c->in[0]))
        buf_puts(&b, "zk://");
    else if (!streq(path, "/mesos"))
        return give(c, ret, "");
    json_array_foreach(list, i, item)
    {
        buf_printf(&b, "%s%s:%s", i ? "," : "", json_string_value(item),
            several(c->in[0]) ? c->in[3] : "5050");
    }
    if (several(c->in[0]))
        buf_puts(&b, path);
    return give_buf(c, ret, &b);
}

int calc_masters(struct graph_call *c, const char **ret, struct error *err)
{
    return zk_or_address(c, "/mesos", ret, err);
}

int calc_master_zk(struct graph_call *c, const char **ret, struct error *err)
{
    return several(c->in[0]) ? zk_or_address(c, "/mesos", ret, err) : give(c, ret, "");
}

int calc_marathon_zk(struct graph_call *c, const char **ret, struct error *err)
{
    return zk_or_address(c, "/marathon", ret, err);
}

int calc_iam_zk(struct graph_call *c, const char **ret, struct error *err)
{
    return zk_or_address(c, "/dcos/iam", ret, err);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int calc_ensemble(struct graph_call *c, const char **ret, struct error *err)
{
    _cleanup_json_ json_t *list = NULL;
    _cleanup_buf_ struct buf b = BUF_INIT;
    json_t *item;
    size_t i, n;
    if (!c->in[0] || !is_static(c->in[1]))
        return give(c, ret, "");
    int r = rule_parse_list(c->in[0], &list, err);
    if (r < 0)
        return r;
    n = json_array_size(list);
    _cleanup_free_ const char **sorted = xnew_array(const char *, n + 1);
    json_array_foreach(list, i, item)
    {
        sorted[i] = json_string_value(item);
    }
    qsort(sorted, n, sizeof(*sorted), by_text);
    for (i = 0; i < n; i++)
        buf_printf(&b, "%s%zu:%s", i ? "," : "", i + 1, sorted[i]);
    return give_buf(c, ret, &b);
}

/* Three packages are needed by ZooKeeper only. */
int calc_cluster_packages_wanted(struct graph_call *c, const char **ret, struct error *err)
{
    static const char *const only_several[] = {"java--", "zookeeper--"};
    _cleanup_json_ json_t *list = NULL, *wanted = json_array();
    json_t *item;
    size_t i;
    int r = rule_parse_list(c->in[0], &list, err);
    if (r < 0)
        return r;
    json_array_foreach(list, i, item)
    {
        const char *id = json_string_value(item);
        bool skip = false;
        if (!id)
            return error_set(err, -EINVAL, "Must be a list of package ids");
        for (size_t k = 0; k < ARRAY_SIZE(only_several); k++)
            skip |= !several(c->in[1]) && has_prefix(id, only_several[k]);
        if (!skip)
            json_array_append(wanted, item);
    }
    return give_json(c, ret, wanted);
}

/* ---- lists ---- */

int calc_join(struct graph_call *c, const char **ret, struct error *err)
{
    _cleanup_json_ json_t *list = NULL;
    _cleanup_buf_ struct buf b = BUF_INIT;
    json_t *item;
    size_t i;
    int r = rule_parse_list(c->in[0], &list, err);
    if (r < 0)
        return r;
    json_array_foreach(list, i, item)
    {
        if (!json_is_string(item))
            return error_set(err, -EINVAL, "Must be a list of texts");
        buf_printf(&b, "%s%s", i ? "," : "", json_string_value(item));
    }
    return give_buf(c, ret, &b);
}

int calc_bind_blacklist(struct graph_call *c, const char **ret, struct error *err)
{
    _cleanup_json_ json_t *reserved = NULL, *more = NULL;
    int r = rule_parse_list(c->in[0], &reserved, err);
    if (r == 0)
        r = rule_parse_list(c->in[1], &more, err);
    if (r < 0)
        return r;
    json_array_extend(reserved, more);
    return give_json(c, ret, reserved);
}

int calc_forward_zones_set(struct graph_call *c, const char **ret, struct error *err)
{
    _cleanup_json_ json_t *zones = NULL;
    int r = rule_parse_dictionary(c->in[0], &zones, err);
    if (r < 0)
        return r;
    return give_bool(ret, json_object_size(zones) > 0);
}

int calc_no_proxy(struct graph_call *c, const char **ret, struct error *err)
{
    _cleanup_json_ json_t *list = NULL;
    _cleanup_buf_ struct buf b = BUF_INIT;
    json_t *item;
    size_t i;
    buf_puts(&b, ".mesos,.thisdcos.directory,.dcos.directory,.zk,127.0.0.1,localhost");
    if (!c->in[0] || !*c->in[0])
        return give_buf(c, ret, &b);
    int r = rule_parse_list(c->in[0], &list, err);
    if (r < 0)
        return r;
    json_array_foreach(list, i, item)
    {
        if (json_is_string(item))
            buf_printf(&b, ",%s", json_string_value(item));
    }
    return give_buf(c, ret, &b);
}

/* ---- logs, containers ---- */

/* int(1 + (mb - 512) / 256 * 10): 512 MB are for what is being written. */
static int log_files(const char *mb, int64_t *ret, struct error *err)
{
    int64_t v;
    int r = parse_i64(str_of(mb), &v);
    if (r < 0 || v > INT64_MAX / 20)
        return error_set(err, -EINVAL, "Must be an integer");
    *ret = 1 + (v - 512) * 10 / 256;
    return 0;
}

int calc_log_files_agent(struct graph_call *c, const char **ret, struct error *err)
{
    int64_t n;
    int r = log_files(c->in[0], &n, err);
    if (r == 0)
        *ret = arena_printf(c->arena, "%lld", (long long)n);
    return r;
}

int calc_log_files_directory(struct graph_call *c, const char **ret, struct error *err)
{
    int64_t n;
    int r = log_files(c->in[0], &n, err);
    if (r == 0)
        *ret = arena_printf(c->arena, "%lld", (long long)n + 25);
    return r;
}

int calc_credentials_owned(struct graph_call *c, const char **ret, struct error *err)
{
    _cleanup_json_ json_t *json = NULL;
    int r = rule_parse_dictionary(c->in[0], &json, err);
    if (r < 0)
        return r;
    return give_bool(ret, json_object_size(json) > 0);
}

int calc_credentials_path(struct graph_call *c, const char **ret, struct error *err)
{
    return give(c, ret,
        streq(c->in[0], "true") ? "/opt/mesosphere/etc/docker_credentials"
                                : "/etc/mesosphere/docker_credentials");
}

int calc_isolation(struct graph_call *c, const char **ret, struct error *err)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    buf_puts(&b,
        "cgroups/all,disk/du,network/cni,filesystem/linux,docker/runtime,docker/volume,volume/"
        "sandbox_path,"
        "volume/secret,volume/csi,posix/rlimits,namespaces/pid,namespaces/ipc,linux/capabilities,"
        "com_mesosphere_dcos_MetricsIsolatorModule");
    if (streq(c->in[0], "true"))
        buf_puts(&b, ",gpu/nvidia");
    if (streq(c->in[1], "true"))
        buf_puts(&b, ",linux/seccomp");
    return give_buf(c, ret, &b);
}

int calc_overlay(struct graph_call *c, const char **ret, struct error *err)
{
    _cleanup_json_ json_t *json = NULL;
    json_t *item;
    size_t i;
    int r = rule_parse_dictionary(c->in[0], &json, err);
    if (r < 0)
        return r;
    json_array_foreach(json_object_get(json, "overlays"), i, item)
    {
        if (streq(c->in[1], "false") && !json_object_get(item, "subnet"))
            json_object_set_new(item, "enabled", json_false());
    }
    return give_json(c, ret, json);
}

/* ---- router and console ---- */

int calc_tls_protocols(struct graph_call *c, const char **ret, struct error *err)
{
    static const char *const names[] = {"TLSv1", "TLSv1.1", "TLSv1.2 TLSv1.3"};
    _cleanup_buf_ struct buf b = BUF_INIT;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (streq(c->in[i], "true"))
            buf_printf(&b, "%s%s", b.n ? " " : "", names[i]);
    }
    return give_buf(c, ret, &b);
}

/* "null" and truth values are what they say; the rest is text. */
static json_t *loose(const char *text)
{
    if (streq(text, "null"))
        return json_null();
    if (streq(text, "true"))
        return json_true();
    if (streq(text, "false"))
        return json_false();
    return json_string(text);
}

int calc_ui_config(struct graph_call *c, const char **ret, struct error *err)
{
    static const struct {
        const char *group, *name;
    } fields[] = {{"banner", "enabled"}, {"banner", "backgroundColor"},
        {"banner", "foregroundColor"}, {"banner", "headerTitle"}, {"banner", "headerContent"},
        {"banner", "footerContent"}, {"banner", "imagePath"}, {"banner", "dismissible"},
        {"branding", "enabled"}, {"external-links", "enabled"}, {"networking", "enabled"},
        {"organization", "enabled"}, {"tracking", "enabled"}, {"ui_update", "enabled"},
        {"intercom", "enabled"}};
    _cleanup_json_ json_t *json = json_object(), *config = json_object();
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        json_t *group = json_object_get(config, fields[i].group);
        if (!group) {
            group = json_object();
            json_object_set_new(config, fields[i].group, group);
        }
        json_object_set_new(group, fields[i].name, loose(c->in[i]));
    }
    json_object_set(json, "uiConfiguration", config);
    return give_json(c, ret, json);
}
