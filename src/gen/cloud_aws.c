#include <errno.h>

#include "base/alloc.h"
#include "base/vec.h"
#include "gen/cloud-internal.h"

/*
 * Templates of CloudFormation. They are put together of parts (clouds/aws-*.json), which refer to
 * each other by name. In one template for all a name is a resource; where the parts are stacks of
 * their own, what a part lacks is made a parameter of it, and the stack around hands it on.
 */

#define OS "debian"

/* What a stack may get from another one. */
static const struct {
    const char *name, *type, *description;
} handed_on[] = {{"Vpc", "AWS::EC2::VPC::Id", "Network"},
    {"PublicSubnet", "AWS::EC2::Subnet::Id",
        "Subnet of masters and public agents, routed to the "
        "internet"},
    {"PrivateSubnet", "AWS::EC2::Subnet::Id",
        "Subnet of agents, which reach the internet through "
        "a gateway"},
    {"NodeSecurityGroup", "AWS::EC2::SecurityGroup::Id", "Lets nodes reach each other"},
    {"AdminSecurityGroup", "AWS::EC2::SecurityGroup::Id", "Lets administrators reach the masters"},
    {"PublicSlaveSecurityGroup", "AWS::EC2::SecurityGroup::Id",
        "Lets everybody reach services on public agents"},
    {"InternalMasterLoadBalancerDnsName", "String", "Name of the load balancer before the masters"},
    {"ClusterName", "String", "Name of the cluster"}};

static json_t *ref(const char *name)
{
    return json_pack("{s:s}", "Ref", name);
}

static json_t *attribute(const char *resource, const char *name)
{
    return json_pack("{s:[s,s]}", "Fn::GetAtt", resource, name);
}

static json_t *section(json_t *template, const char *name)
{
    json_t *s = json_object_get(template, name);
    if (!s) {
        s = json_object();
        json_object_set_new(template, name, s);
    }
    return s;
}

static json_t *new_template(const char *description)
{
    json_t *t = json_object();
    json_object_set_new(t, "AWSTemplateFormatVersion", json_string("2010-09-09"));
    json_object_set_new(t, "Description", json_string(description));
    return t;
}

static void add_metadata(json_t *template, const struct gen *g)
{
    static const char *const names[][2] = {{"DcosImageCommit", "dcos_image_commit"},
        {"BootstrapId", "bootstrap_id"}, {"PackageListId", "cluster_package_list_id"}};
    json_t *metadata = section(template, "Metadata");
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        json_object_set_new(metadata, names[i][0], json_string(gen_value(g, names[i][1])));
}

/* Names of the parameters that parts ask for. */
static json_t *new_arguments(const struct gen *g, bool simple)
{
    static const char *const names[][3] = {
        {"master_type", "DefaultInstanceType", "MasterInstanceType"},
        {"slave_type", "DefaultInstanceType", "PrivateAgentInstanceType"},
        {"public_type", "DefaultInstanceType", "PublicAgentInstanceType"},
        {"slave_count", "SlaveInstanceCount", "PrivateAgentInstanceCount"},
        {"public_count", "PublicSlaveInstanceCount", "PublicAgentInstanceCount"},
        {"master_type_of", "all machines", "masters"}, {"slave_type_of", "all machines", "agents"},
        {"public_type_of", "all machines", "public agents"}};
    json_t *arguments = json_copy((json_t *)(uintptr_t)gen_arguments(g));
    cloud_arguments(g, arguments);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        json_object_set_new(arguments, names[i][0], json_string(names[i][simple ? 1 : 2]));
    return arguments;
}

/* A part into a template; what is there already stays. */
static int add_part(json_t *template, const char *name, const json_t *arguments, struct error *err)
{
    _cleanup_json_ json_t *part = NULL;
    const char *kind;
    json_t *members;
    int r = cloud_render(name, arguments, &part, err);
    if (r < 0)
        return r;
    json_object_foreach(part, kind, members)
        json_object_update_missing(section(template, kind), members);
    return 0;
}

/* ---- what hosts are told ---- */

static void push_text(json_t *pieces, const char *p, size_t n)
{
    if (n)
        json_array_append_new(pieces, json_stringn(p, n));
}

/* Text with marks as an expression. */
static json_t *expression(const char *text, const struct cloud_mark *marks, size_t n)
{
    json_t *pieces = json_array();
    for (;;) {
        const char *next = NULL;
        const struct cloud_mark *mark = NULL;
        for (size_t i = 0; i < n; i++) {
            const char *at = strstr(text, marks[i].mark);
            if (at && (!next || at < next)) {
                next = at;
                mark = &marks[i];
            }
        }
        if (!mark)
            break;
        push_text(pieces, text, (size_t)(next - text));
        json_array_append(pieces, mark->value);
        text = next + strlen(mark->mark);
    }
    push_text(pieces, text, strlen(text));
    return json_pack("{s:{s:[s,o]}}", "Fn::Base64", "Fn::Join", "", pieces);
}

static json_t *of_master_count(const char *what)
{
    return json_pack("{s:[s,o,s]}", "Fn::FindInMap", "ByMasterCount", ref("MasterCount"), what);
}

/* simple: in one template with everything. */
static json_t *expression_at(bool simple, const char *text)
{
    const struct cloud_mark marks[] = {
        {MARK_CLUSTER, ref(simple ? "AWS::StackName" : "ClusterName")},
        {MARK_STACK, ref("AWS::StackName")}, {MARK_REGION, ref("AWS::Region")},
        {MARK_SUFFIX, ref("AWS::URLSuffix")},
        {MARK_MASTERS, simple ? attribute("InternalMasterLoadBalancer", "DNSName")
                              : ref("InternalMasterLoadBalancerDnsName")},
        {MARK_LIST, of_master_count("PackageList")}, {MARK_CONFIG, of_master_count("Config")}};
    json_t *e = expression(text, marks, ARRAY_SIZE(marks));
    for (size_t i = 0; i < ARRAY_SIZE(marks); i++)
        json_decref(marks[i].value);
    return e;
}

static json_t *properties_of(json_t *template, const char *resource)
{
    return json_object_get(
        json_object_get(json_object_get(template, "Resources"), resource), "Properties");
}

static int tell_masters(json_t *template, const struct gen *g, bool simple, struct error *err)
{
    _cleanup_json_ json_t *list = gen_list(g, "master_list");
    for (size_t i = 0; i < json_array_size(list); i++) {
        _cleanup_free_ char *name = xasprintf("Master%zu", i + 1);
        _cleanup_buf_ struct buf text = BUF_INIT;
        int r = cloud_host_data(CLOUD_AWS, g, "master", name, &text, err);
        if (r < 0)
            return r;
        json_t *p = properties_of(template, name);
        json_object_set(p, "PrivateIpAddress", json_array_get(list, i));
        json_object_set_new(p, "UserData", expression_at(simple, buf_cstr(&text)));
    }
    return 0;
}

static void set_launch_data(json_t *template, const char *prefix, json_t *data)
{
    _cleanup_free_ char *name = xasprintf("%sLaunchTemplate", prefix);
    json_object_set_new(
        json_object_get(properties_of(template, name), "LaunchTemplateData"), "UserData", data);
}

struct agents {
    const char *role, *prefix, *part, *file;
};

static const struct agents all_agents[] = {{"slave", "Slave", "aws-agents.json", "priv"},
    {"slave_public", "PublicSlave", "aws-public-agents.json", "pub"}};

static int agent_text(
    const struct agents *a, const struct gen *g, struct buf *out, struct error *err)
{
    _cleanup_free_ char *group = xasprintf("%sServerGroup", a->prefix);
    return cloud_host_data(CLOUD_AWS, g, a->role, group, out, err);
}

/* ---- one template ---- */

int cloud_aws_simple(const struct gen *g, json_t **ret, struct error *err)
{
    static const char *const parts[] = {"aws-node.json", "aws-network.json", "aws-masters.json",
        "aws-agents.json", "aws-public-agents.json"};
    _cleanup_free_ char *description = xasprintf("DC/OS %s: %s master(s), agents, public agents",
        gen_value(g, "dcos_version"), gen_value(g, "num_masters"));
    _cleanup_json_ json_t *arguments = new_arguments(g, true), *t = new_template(description);
    int r = 0;
    add_metadata(t, g);
    for (size_t i = 0; i < ARRAY_SIZE(parts) && r == 0; i++)
        r = add_part(t, parts[i], arguments, err);
    if (r == 0)
        r = tell_masters(t, g, true, err);
    for (size_t i = 0; i < ARRAY_SIZE(all_agents) && r == 0; i++) {
        _cleanup_buf_ struct buf text = BUF_INIT;
        r = agent_text(&all_agents[i], g, &text, err);
        if (r == 0)
            set_launch_data(t, all_agents[i].prefix, expression_at(true, buf_cstr(&text)));
    }
    if (r < 0)
        return r;
    /* The machines are told the balancer's name; nobody outside needs it. */
    json_object_del(section(t, "Outputs"), "InternalMasterLoadBalancerDnsName");
    *ret = TAKE_PTR(t);
    return 0;
}

/* ---- several templates ---- */

/* Names that are referred to. */
static void collect_refs(const json_t *value, json_t *refs)
{
    const char *key;
    json_t *member;
    size_t i;
    const char *name = json_str_at(value, "Ref", NULL);
    if (name)
        json_object_set_new(refs, name, json_true());
    if (json_is_object(value)) {
        json_object_foreach((json_t *)(uintptr_t)value, key, member) collect_refs(member, refs);
    }
    json_array_foreach((json_t *)(uintptr_t)value, i, member) collect_refs(member, refs);
}

/* What only matters where the other part is in the same template. */
static void drop_foreign_order(json_t *resources)
{
    const char *name;
    json_t *resource;
    json_object_foreach(resources, name, resource)
    {
        json_t *depends = json_object_get(resource, "DependsOn");
        bool here = json_object_get(resources, json_string_value(depends)) != NULL;
        for (size_t i = json_array_size(depends); i > 0; i--) {
            if (!json_object_get(resources, json_string_value(json_array_get(depends, i - 1))))
                json_array_remove(depends, i - 1);
        }
        if (json_is_array(depends) ? json_array_size(depends) == 0 : !here)
            json_object_del(resource, "DependsOn");
    }
}

static void ask_for_rest(json_t *template, size_t n_counts, struct gen *const *all)
{
    _cleanup_json_ json_t *refs = json_object();
    json_t *resources = section(template, "Resources"),
           *parameters = section(template, "Parameters");
    drop_foreign_order(resources);
    collect_refs(resources, refs);
    for (size_t i = 0; i < ARRAY_SIZE(handed_on); i++) {
        const char *name = handed_on[i].name;
        if (json_object_get(refs, name) && !json_object_get(resources, name))
            json_object_set_new(parameters, name,
                json_pack("{s:s,s:s}", "Type", handed_on[i].type, "Description",
                    handed_on[i].description));
    }
    if (!json_object_get(refs, "MasterCount"))
        return;
    json_t *values = json_array();
    for (size_t i = 0; i < n_counts; i++)
        json_array_append_new(values, json_string(gen_value(all[i], "num_masters")));
    json_object_set_new(parameters, "MasterCount",
        json_pack("{s:s,s:s,s:o}", "Type", "String", "Description", "How many masters there are",
            "AllowedValues", values));
}

static void give_out(json_t *template, const char *name, json_t *value)
{
    json_t *output = json_object();
    json_object_set_new(output, "Value", value);
    json_object_set_new(section(template, "Outputs"), name, output);
}

/* "cloudformation/<variant>.<name><what>.json". */
static char *named(const char *variant, const char *name, const char *what)
{
    return xasprintf("cloudformation/%s%s%s%s.json", variant, *variant ? "." : "", name, what);
}

static const json_t *add_result(json_t *list, const char *path, json_t *template)
{
    json_t *item = json_object();
    json_object_set_new(item, "path", json_string(path));
    json_object_set_new(item, "template", template);
    json_array_append_new(list, item);
    return template;
}

static int infra(const json_t *arguments, json_t **ret, struct error *err)
{
    _cleanup_json_ json_t *t = new_template("DC/OS: the network of a cluster");
    int r = add_part(t, "aws-network.json", arguments, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < ARRAY_SIZE(handed_on); i++) {
        if (json_object_get(section(t, "Resources"), handed_on[i].name))
            give_out(t, handed_on[i].name, ref(handed_on[i].name));
    }
    *ret = TAKE_PTR(t);
    return 0;
}

static int masters(struct gen *const *all, size_t i, json_t **ret, struct error *err)
{
    _cleanup_free_ char *description = xasprintf("DC/OS %s: %s master(s)",
        gen_value(all[i], "dcos_version"), gen_value(all[i], "num_masters"));
    _cleanup_json_ json_t *arguments = new_arguments(all[i], false), *t = new_template(description);
    add_metadata(t, all[i]);
    int r = add_part(t, "aws-node.json", arguments, err);
    if (r == 0)
        r = add_part(t, "aws-masters.json", arguments, err);
    if (r == 0)
        r = tell_masters(t, all[i], false, err);
    if (r < 0)
        return r;
    ask_for_rest(t, 0, NULL);
    *ret = TAKE_PTR(t);
    return 0;
}

static void replace_all(struct buf *out, const char *text, const char *from, const char *to)
{
    for (const char *at; (at = strstr(text, from)); text = at + strlen(from)) {
        buf_append(out, text, (size_t)(at - text));
        buf_puts(out, to);
    }
    buf_puts(out, text);
}

/* What agents are told for any number of masters: the ids are looked up. */
static int general_text(
    const struct agents *a, struct gen *const *all, size_t n, struct buf *out, struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        _cleanup_buf_ struct buf text = BUF_INIT, listed = BUF_INIT, general = BUF_INIT;
        int r = agent_text(a, all[i], &text, err);
        if (r < 0)
            return r;
        replace_all(
            &listed, buf_cstr(&text), gen_value(all[i], "cluster_package_list_id"), MARK_LIST);
        replace_all(&general, buf_cstr(&listed), gen_value(all[i], "config_id"), MARK_CONFIG);
        if (i == 0)
            buf_puts(out, buf_cstr(&general));
        else if (!streq(buf_cstr(out), buf_cstr(&general)))
            return error_set(
                err, -EINVAL, "what agents are told depends on how many masters there are");
    }
    return 0;
}

static int agents(
    const struct agents *a, struct gen *const *all, size_t n, json_t **ret, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_free_ char *description = xasprintf("DC/OS %s: %s agents",
        gen_value(all[0], "dcos_version"), streq(a->file, "pub") ? "public" : "private");
    _cleanup_json_ json_t *arguments = new_arguments(all[0], false), *t = new_template(description);
    json_t *map = json_object();
    for (size_t i = 0; i < n; i++)
        json_object_set_new(map, gen_value(all[i], "num_masters"),
            json_pack("{s:s,s:s}", "PackageList", gen_value(all[i], "cluster_package_list_id"),
                "Config", gen_value(all[i], "config_id")));
    json_object_set_new(section(t, "Mappings"), "ByMasterCount", map);
    int r = add_part(t, "aws-node.json", arguments, err);
    if (r == 0)
        r = add_part(t, a->part, arguments, err);
    if (r == 0)
        r = general_text(a, all, n, &text, err);
    if (r < 0)
        return r;
    set_launch_data(t, a->prefix, expression_at(false, buf_cstr(&text)));
    ask_for_rest(t, n, all);
    *ret = TAKE_PTR(t);
    return 0;
}

/* A stack in the stack: its parameters come from the others, or from who launches all. */
static void nest(json_t *zen, const char *name, const char *url, const char *path,
    const json_t *child, const json_t *infra_outputs, const json_t *master_outputs,
    const char *count)
{
    json_t *own = section(zen, "Parameters"), *given = json_object(), *properties = json_object();
    const char *parameter;
    json_t *definition;
    json_object_foreach((json_t *)(uintptr_t)json_at(child, "Parameters"), parameter, definition)
    {
        _cleanup_free_ char *output = xasprintf("Outputs.%s", parameter);
        json_t *value;
        if (json_object_get(infra_outputs, parameter)) {
            value = attribute("InfraStack", output);
        } else if (json_object_get(master_outputs, parameter)) {
            value = attribute("MasterStack", output);
        } else if (streq(parameter, "ClusterName")) {
            value = ref("AWS::StackName");
        } else if (streq(parameter, "MasterCount")) {
            value = json_string(count);
        } else {
            json_t *copy = json_copy(definition);
            /* The stack below looks the image up, this one only hands on where. */
            if (has_prefix(json_str_at(copy, "Type", ""), "AWS::SSM::Parameter::"))
                json_object_set_new(copy, "Type", json_string("String"));
            json_object_set_new(own, parameter, copy);
            value = ref(parameter);
        }
        json_object_set_new(given, parameter, value);
    }
    _cleanup_free_ char *at = xasprintf("%s/%s", url, path);
    json_object_set_new(properties, "TemplateURL", json_string(at));
    json_object_set_new(properties, "Parameters", given);
    json_object_set_new(section(zen, "Resources"), name,
        json_pack("{s:s,s:o}", "Type", "AWS::CloudFormation::Stack", "Properties", properties));
}

struct child {
    const char *stack;
    char *path;
    const json_t *template; /* of the list of results */
};

static json_t *zen(const struct gen *g, const char *url, const struct child *children, size_t n)
{
    static const char *const outputs[][2] = {{"MasterStack", "DnsAddress"},
        {"MasterStack", "InternalMasterLoadBalancerDnsName"},
        {"PublicAgentStack", "PublicSlaveDnsAddress"}};
    _cleanup_free_ char *description = xasprintf(
        "DC/OS %s: %s master(s), agents, public agents, as nested stacks",
        gen_value(g, "dcos_version"), gen_value(g, "num_masters"));
    json_t *t = new_template(description);
    add_metadata(t, g);
    for (size_t i = 0; i < n; i++)
        nest(t, children[i].stack, url, children[i].path, children[i].template,
            json_object_get(children[0].template, "Outputs"),
            i > 1 ? json_object_get(children[1].template, "Outputs") : NULL,
            gen_value(g, "num_masters"));
    for (size_t i = 0; i < ARRAY_SIZE(outputs); i++) {
        _cleanup_free_ char *output = xasprintf("Outputs.%s", outputs[i][1]);
        give_out(t, outputs[i][1], attribute(outputs[i][0], output));
    }
    return t;
}

int cloud_aws_advanced(struct gen *const *all, size_t n, const char *variant, const char *url,
    json_t *ret, struct error *err)
{
    _cleanup_json_ json_t *arguments = new_arguments(all[0], false);
    struct child children[] = {{"InfraStack", named(variant, "infra", ""), NULL},
        {"MasterStack", NULL, NULL},
        {"PrivateAgentStack", named(variant, OS "-advanced-", "priv-agent"), NULL},
        {"PublicAgentStack", named(variant, OS "-advanced-", "pub-agent"), NULL}};
    json_t *made = NULL;
    int r = infra(arguments, &made, err);
    if (r == 0)
        children[0].template = add_result(ret, children[0].path, made);
    for (size_t i = 0; i < ARRAY_SIZE(all_agents) && r == 0; i++) {
        r = agents(&all_agents[i], all, n, &made, err);
        if (r == 0)
            children[2 + i].template = add_result(ret, children[2 + i].path, made);
    }
    for (size_t i = 0; i < n && r == 0; i++) {
        const char *count = gen_value(all[i], "num_masters");
        _cleanup_free_ char *path = named(variant, OS "-zen-", count);
        free(children[1].path);
        children[1].path = named(variant, OS "-advanced-master-", count);
        r = masters(all, i, &made, err);
        if (r == 0) {
            children[1].template = add_result(ret, children[1].path, made);
            add_result(ret, path, zen(all[i], url, children, ARRAY_SIZE(children)));
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(children); i++)
        free(children[i].path);
    return r;
}
