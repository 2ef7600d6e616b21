/* dcos node list|ls, and what cmd_node_state.c has */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/mesos.h"
#include "console/print.h"

static const char *status_of(const json_t *agent)
{
    const char *drain = json_str_at(json_at(agent, "drain_info"), "state", NULL);
    if (drain && (streq(drain, "DRAINING") || streq(drain, "DRAINED")))
        return drain;
    if (json_bool_at(agent, "deactivated", false))
        return "DEACTIVATED";
    return json_bool_at(agent, "active", false) ? "ACTIVE" : "UNKNOWN";
}

static bool is_public(const json_t *agent)
{
    return streq(json_str_at(json_at(agent, "attributes"), "public_ip", NULL), "true");
}

/* "attributes.rack" looks into objects; anything that is no string is shown as JSON. */
static void put_field(struct table *t, const json_t *host, const char *name)
{
    struct str rest = str_of(name), part;
    while (host && str_split(&rest, '.', &part)) {
        _cleanup_free_ char *key = str_dup(part);
        host = json_at(host, key);
    }
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (json_is_string(host))
        buf_puts(&text, json_string_value(host));
    else if (host)
        json_dump(host, &text);
    table_cell(t, buf_cstr(&text));
}

static void put_public_ips(struct table *t, const json_t *ips)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    for (size_t i = 0; i < json_array_size(ips); i++)
        buf_printf(&text, "%s%s", i ? ", " : "", json_string_value(json_array_get(ips, i)) ?: "?");
    table_cell(t, buf_cstr(&text));
}

struct nodes {
    json_t *state;
    json_t *masters;  /* [{host, ip}], may be NULL */
    json_t *networks; /* of /net/v1/nodes, may be NULL */
};

static const json_t *public_ips(const struct nodes *n, const char *ip)
{
    for (size_t i = 0; ip && i < json_array_size(n->networks); i++) {
        const json_t *node = json_array_get(n->networks, i);
        if (streq(json_str_at(node, "private_ip", NULL), ip))
            return json_at(node, "public_ips");
    }
    return NULL;
}

/* One JSON object per node: the master's own plus what the table shows. */
static json_t *agent_json(const struct nodes *n, const json_t *agent, const json_t *summary)
{
    static const char *const counters[] = {"TASK_STAGING", "TASK_STARTING", "TASK_RUNNING",
        "TASK_KILLING", "TASK_FINISHED", "TASK_KILLED", "TASK_FAILED", "TASK_LOST", "TASK_ERROR",
        "TASK_UNREACHABLE"};
    json_t *out = json_copy((json_t *)(uintptr_t)agent);
    const char *pid = json_str_at(agent, "pid", NULL);
    _cleanup_free_ char *ip = mesos_pid_ip(pid);
    const json_t *ips = public_ips(n, ip);
    json_object_set_new(out, "type", json_string("agent"));
    json_object_set_new(out, "status", json_string(status_of(agent)));
    json_object_set_new(out, "region", json_string(mesos_domain(agent, "region", "")));
    json_object_set_new(out, "zone", json_string(mesos_domain(agent, "zone", "")));
    json_object_set_new(out, "ip", json_string(ip ?: ""));
    json_object_set_new(out, "public_ips", ips ? json_deep_copy(ips) : json_array());
    for (size_t i = 0; i < ARRAY_SIZE(counters); i++)
        json_object_set_new(out, counters[i], json_integer(json_i64_at(summary, counters[i], 0)));
    return out;
}

static bool is_leader(const struct nodes *n, const char *ip)
{
    _cleanup_free_ char *leader = mesos_pid_ip(json_str_at(n->state, "pid", NULL));
    return streq(ip, json_str_at(n->state, "hostname", NULL)) || (leader && streq(ip, leader));
}

static json_t *master_json(const struct nodes *n, const json_t *host)
{
    const char *ip = json_str_at(host, "ip", "");
    bool leader = is_leader(n, ip);
    json_t *out = json_object();
    const json_t *ips = public_ips(n, ip);
    json_object_set_new(out, "hostname", json_string(json_str_at(host, "host", "")));
    json_object_set_new(out, "ip", json_string(ip));
    json_object_set_new(out, "type", json_string(leader ? "master (leader)" : "master (standby)"));
    json_object_set_new(out, "public_ips", ips ? json_deep_copy(ips) : json_array());
    if (leader) {
        static const char *const keys[] = {"id", "pid", "version"};
        for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
            const json_t *value = json_at(n->state, keys[i]);
            if (value)
                json_object_set_new(out, keys[i], json_deep_copy(value));
        }
        json_object_set_new(out, "region", json_string(mesos_domain(n->state, "region", "")));
        json_object_set_new(out, "zone", json_string(mesos_domain(n->state, "zone", "")));
    }
    return out;
}

/* Masters by mesos-dns; without it, the one that answered. */
static void fetch_rest(struct cli *c, struct nodes *n)
{
    bool direct = false;
    _cleanup_free_ char *url = NULL, *net = NULL;
    if (cli_base_url(c, "core.mesos_master_url", "/mesos_dns/v1/hosts/master.mesos", &url, &direct,
            NULL) == 0 &&
        !direct)
        cli_get_json(c, "mesos-dns", url, &n->masters, NULL);
    if (!direct && cli_base_url(c, NULL, "/net/v1/nodes", &net, NULL, NULL) == 0)
        cli_get_json(c, "dcos-net", net, &n->networks, NULL);
    if (json_array_size(n->masters) == 0) {
        _cleanup_free_ char *ip = mesos_pid_ip(json_str_at(n->state, "pid", NULL));
        const char *hostname = json_str_at(n->state, "hostname", "");
        json_decref(n->masters);
        n->masters = json_array();
        json_t *self = json_object();
        json_object_set_new(self, "host", json_string(hostname));
        json_object_set_new(self, "ip", json_string(ip ?: hostname));
        json_array_append_new(n->masters, self);
    }
}

static void print_json(struct cli *c, const struct nodes *n, const char *only)
{
    _cleanup_json_ json_t *summary = NULL, *out = json_array();
    mesos_get(c, "/state-summary", &summary, NULL);
    const json_t *agents = json_at(n->state, "slaves");
    for (size_t i = 0; i < json_array_size(agents); i++) {
        const json_t *a = json_array_get(agents, i);
        const char *id = json_str_at(a, "id", "");
        if (!only || streq(id, only))
            json_array_append_new(out, agent_json(n, a, mesos_agent(summary, id)));
    }
    for (size_t i = 0; i < json_array_size(n->masters); i++) {
        json_t *m = master_json(n, json_array_get(n->masters, i));
        if (!only || streq(json_str_at(m, "id", NULL), only))
            json_array_append(out, m);
        json_decref(m);
    }
    json_print(out, 4, 0, stdout);
}

static void print_nodes(
    const struct nodes *n, const char *only, const char *const *fields, size_t n_fields)
{
    const char *headers[TABLE_COLUMNS_MAX] = {
        "HOSTNAME", "IP", "PUBLIC IP(S)", "ID", "TYPE", "STATUS", "REGION", "ZONE"};
    char *names[TABLE_COLUMNS_MAX];
    size_t k = 8;
    for (size_t i = 0; i < n_fields; i++) {
        names[i] = xstrdup(fields[i]);
        for (char *p = names[i]; *p; p++)
            *p = *p == '_' || *p == '.' ? ' ' : *p;
        headers[k++] = names[i];
    }
    struct table t;
    table_init(&t, headers, k);
    const json_t *agents = json_at(n->state, "slaves");
    for (size_t i = 0; i < json_array_size(agents); i++) {
        const json_t *a = json_array_get(agents, i);
        const char *id = json_str_at(a, "id", "");
        if (only && !streq(id, only))
            continue;
        _cleanup_free_ char *ip = mesos_pid_ip(json_str_at(a, "pid", NULL));
        table_cell(&t, json_str_at(a, "hostname", ""));
        table_cell(&t, ip);
        put_public_ips(&t, public_ips(n, ip));
        table_cell(&t, id);
        table_cell(&t, is_public(a) ? "agent (public)" : "agent");
        table_cell(&t, status_of(a));
        table_cell(&t, mesos_domain(a, "region", ""));
        table_cell(&t, mesos_domain(a, "zone", ""));
        for (size_t f = 0; f < n_fields; f++)
            put_field(&t, a, fields[f]);
    }
    for (size_t i = 0; i < json_array_size(n->masters); i++) {
        _cleanup_json_ json_t *m = master_json(n, json_array_get(n->masters, i));
        const char *id = json_str_at(m, "id", NULL);
        if (only && !streq(id, only))
            continue;
        const char *region = json_str_at(m, "region", ""), *zone = json_str_at(m, "zone", "");
        table_cell(&t, json_str_at(m, "hostname", ""));
        table_cell(&t, json_str_at(m, "ip", ""));
        put_public_ips(&t, json_at(m, "public_ips"));
        table_cell(&t, id ?: "N/A");
        table_cell(&t, json_str_at(m, "type", ""));
        table_cell(&t, "");
        table_cell(&t, *region ? region : "N/A");
        table_cell(&t, *zone ? zone : "N/A");
        for (size_t f = 0; f < n_fields; f++)
            put_field(&t, m, fields[f]);
    }
    print_table(&t);
    for (size_t i = 0; i < n_fields; i++)
        free(names[i]);
}

static int list(const struct invocation *inv, const char *only, struct error *err)
{
    struct cli *c = cli_of(inv);
    const char *const *fields;
    size_t n_fields = option_list(inv, "field", &fields);
    if (n_fields > TABLE_COLUMNS_MAX - 8)
        return error_set(err, -EINVAL, "at most %d fields fit a table", TABLE_COLUMNS_MAX - 8);
    struct nodes n = {0};
    int r = mesos_state(c, &n.state, err);
    if (r < 0)
        return r;
    fetch_rest(c, &n);
    if (option_bool(inv, "json"))
        print_json(c, &n, only);
    else
        print_nodes(&n, only, fields, n_fields);
    json_decref(n.state);
    json_decref(n.masters);
    json_decref(n.networks);
    return 0;
}

static int run_list(const struct invocation *inv, struct error *err)
{
    return list(inv, option_text(inv, "mesos-id"), err);
}

static int run_bare(const struct invocation *inv, struct error *err)
{
    if (getenv("DCOS_CLI_STRICT_DEPRECATIONS")) {
        command_help(inv->command, inv->path, false, stdout);
        return 0;
    }
    fprintf(stderr, "\"dcos node\" is deprecated, please use \"dcos node list\".\n");
    return list(inv, NULL, err);
}

static const struct option_spec list_options[] = {
    {"field", 0, OPTION_LIST, "Name of an extra field to print (repeat it for more)"}, OPTION_JSON,
    {"mesos-id", 0, OPTION_STRING, "Only the node with this id"}};
static const struct option_spec bare_options[] = {
    {"field", 0, OPTION_LIST, "Name of an extra field to print (repeat it for more)",
        .hidden = true},
    {"json", 0, OPTION_BOOL, "Print in JSON format", .hidden = true}};

static const struct command *const children[] = {&command_node_deactivate,
    &command_node_decommission, &command_node_drain,
    COMMAND(.name = "list", .summary = "Show all nodes in the cluster", OPTIONS(list_options),
        .run = run_list),
    COMMAND(.name = "ls", .summary = "Show all nodes in the cluster", OPTIONS(list_options),
        .hidden = true, .run = run_list),
    &command_node_reactivate};
const struct command command_node = {.name = "node",
    .summary = "View DC/OS node information, and take nodes out of service",
    OPTIONS(bare_options),
    CHILDREN(children),
    .run = run_bare};
