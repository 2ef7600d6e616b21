
#include <errno.h>

#include "base/alloc.h"
#include "base/embed.h"
#include "gen/cloud-internal.h"
#include "gen/config.h"
#include "gen/template.h"

extern const struct embedded gen_clouds[];
extern const struct embedded gen_detect[];

/* Bytes that marks may become more than they are: names of stacks, ids, a balancer's name. */
enum { MARKS_MAX = 1024 };

/* What the system's own image may lack. */
static const char packages[] = "packages: [curl, iproute2, tar, unzip, xz-utils]\n";

static const char *embedded(const struct embedded *files, const char *name)
{
    for (; files->name; files++) {
        if (streq(files->name, name))
            return files->text;
    }
    return NULL;
}

/* Puts settings of the cloud before those of the caller. */
static int gen_with(const struct gen_setting *own, size_t n, const struct gen_input *in,
    struct gen **ret, struct error *err)
{
    struct gen_input all = *in;
    _cleanup_free_ struct gen_setting *settings = xnew_array(
        struct gen_setting, n + in->n_settings);
    memcpy(settings, own, n * sizeof(*own));
    if (in->n_settings)
        memcpy(settings + n, in->settings, in->n_settings * sizeof(*settings));
    all.settings = settings;
    all.n_settings = n + in->n_settings;
    return gen_new(&all, ret, err);
}

static int gen_masters(enum cloud_kind kind, unsigned masters, bool has_masters, bool has_name,
    const struct gen_input *in, struct gen **ret, struct error *err)
{
    _cleanup_buf_ struct buf list = BUF_INIT;
    const char *provider = kind == CLOUD_AWS ? "aws" : "azure";
    struct gen_setting own[8];
    size_t n = 0;
    if (masters < 1 || masters > CLOUD_MASTERS_MAX)
        return error_set(err, -EINVAL, "from 1 to %d masters", (int)CLOUD_MASTERS_MAX);
    for (unsigned i = 1; i <= masters; i++)
        buf_printf(&list, "%s\"10.0.4.1%u\"", i > 1 ? ", " : "[", i);
    buf_putc(&list, ']');
    own[n++] = (struct gen_setting){"provider", provider, .fixed = true};
    own[n++] = (struct gen_setting){"platform", provider, .fixed = true};
    own[n++] = (struct gen_setting){"master_discovery", "static", .fixed = true};
    own[n++] = (struct gen_setting){"exhibitor_storage_backend", "static", .fixed = true};
    own[n++] = (struct gen_setting){"ip_detect_contents",
        embedded(gen_detect, kind == CLOUD_AWS ? "ip-detect.aws" : "ip-detect.azure")};
    own[n++] = (struct gen_setting){
        "fault_domain_detect_contents", embedded(gen_detect, "fault-domain-detect")};
    if (!has_masters)
        own[n++] = (struct gen_setting){"master_list", buf_cstr(&list), .fixed = true};
    if (!has_name)
        own[n++] = (struct gen_setting){"cluster_name", MARK_CLUSTER, .late = true};
    return gen_with(own, n, in, ret, err);
}

int cloud_gen(enum cloud_kind kind, unsigned masters, const struct gen_input *in, struct gen **ret,
    struct error *err)
{
    return gen_masters(kind, masters, false, false, in, ret, err);
}

int cloud_gen_own(unsigned masters, const struct gen_input *in, struct gen **ret, struct error *err)
{
    struct config config;
    int r = config_read(in->config, in->config_n, &config, err);
    if (r < 0)
        return r;
    bool has_masters = config_get(&config, "master_list") != NULL;
    bool has_name = config_get(&config, "cluster_name") != NULL;
    config_done(&config);
    return gen_masters(CLOUD_AWS, masters ? masters : 1, has_masters, has_name, in, ret, err);
}

char *cloud_file_name(enum cloud_kind kind, const char *variant, unsigned masters)
{
    const char *dot = *variant ? "." : "";
    if (kind == CLOUD_AZURE)
        return xasprintf("azure/%s%sdcos-%umaster.azuredeploy.json", variant, dot, masters);
    if (masters == 1 || masters == 3)
        return xasprintf("cloudformation/%s%s%s-master.cloudformation.json", variant, dot,
            masters == 1 ? "single" : "multi");
    return xasprintf("cloudformation/%s%s%u-master.cloudformation.json", variant, dot, masters);
}

/* ---- what hosts are told ---- */

static void write_file(struct buf *out, const char *path, const char *content, const char *mode)
{
    _cleanup_json_ json_t *file = json_pack(
        "{s:s,s:s,s:s}", "path", path, "content", content, "permissions", mode);
    buf_puts(out, "- ");
    config_dump(file, out);
    buf_putc(out, '\n');
}

const char *cloud_embedded(const char *name)
{
    return embedded(gen_clouds, name);
}

/* Without comments: each host of a template has its own copy, and templates have a limit. */
static void put_unit(const char *content, struct buf *out)
{
    struct str rest = str_of(content), line;
    while (rest.n > 0 && str_split(&rest, '\n', &line)) {
        if (line.n == 0 || *line.p != '#')
            buf_printf(out, STR_FMT "\n", STR_ARG(line));
    }
}

static void write_unit(const char *name, const char *content, bool enable, const char *command,
    struct buf *files, struct buf *commands)
{
    _cleanup_free_ char *path = xasprintf("/etc/systemd/system/%s", name);
    _cleanup_buf_ struct buf text = BUF_INIT;
    put_unit(content, &text);
    write_file(files, path, buf_cstr(&text), "0644");
    if (enable)
        buf_printf(commands, "- [systemctl, enable, %s]\n", name);
    if (command)
        buf_printf(commands, "- [systemctl, %s, --no-block, %s]\n", command, name);
}

static void write_roles(enum cloud_kind kind, const char *role, struct buf *out)
{
    const char *cloud = kind == CLOUD_AWS ? "aws" : "azure";
    const char *const roles[][2] = {{role, ""}, {cloud, ""}, {cloud, "_master"}};
    for (size_t i = 0; i < (streq(role, "master") ? 3 : 2); i++) {
        _cleanup_free_ char *path = xasprintf(
            "/etc/mesosphere/roles/%s%s", roles[i][0], roles[i][1]);
        write_file(out, path, "", "0644");
    }
}

/* What CloudFormation waits for. The unit comes after the others: it starts last. Masters do not
 * ask the load balancer, which hands nobody to himself. */
static void write_signal(
    const char *role, const char *resource, struct buf *out, struct buf *commands)
{
    static const char unit[] = "dcos-cfn-signal.service";
    _cleanup_free_ char *settings = xasprintf("CFN_ENDPOINT=https://cloudformation." MARK_REGION
                                              "." MARK_SUFFIX "\nCFN_REGION=" MARK_REGION
                                              "\nCFN_STACK=" MARK_STACK "\nCFN_RESOURCE=%s\n%s",
        resource, streq(role, "master") ? "" : "DCOS_MASTERS=" MARK_MASTERS "\n");
    write_file(out, "/etc/mesosphere/setup-flags/cfn-signal.env", settings, "0644");
    write_unit(unit, cloud_embedded(unit), true, "start", out, commands);
}

static void put_user_data(enum cloud_kind kind, const struct gen *g, const char *role,
    const char *resource, struct buf *out)
{
    const json_t *config = gen_cloud_config(g);
    _cleanup_buf_ struct buf commands = BUF_INIT;
    json_t *item;
    size_t i;
    buf_printf(out, "#cloud-config\n%swrite_files:\n", role ? packages : "");
    if (role)
        write_roles(kind, role, out);
    json_array_foreach((json_t *)(uintptr_t)json_at(config, "write_files"), i, item)
    {
        write_file(out, json_str_at(item, "path", ""), json_str_at(item, "content", ""),
            json_str_at(item, "permissions", "0644"));
    }
    json_array_foreach((json_t *)(uintptr_t)json_at(config, "units"), i, item)
    {
        write_unit(json_str_at(item, "name", ""), json_str_at(item, "content", ""),
            json_str_at(item, "enable", NULL) != NULL, json_str_at(item, "command", NULL), out,
            &commands);
    }
    if (resource)
        write_signal(role, resource, out, &commands);
    buf_printf(out, "runcmd:\n- [systemctl, daemon-reload]\n%s", buf_cstr(&commands));
}

void cloud_user_data(const struct gen *g, struct buf *out)
{
    put_user_data(CLOUD_AWS, g, NULL, NULL, out);
}

int cloud_host_data(enum cloud_kind kind, const struct gen *g, const char *role,
    const char *resource, struct buf *out, struct error *err)
{
    put_user_data(kind, g, role, resource, out);
    if (out->n > CLOUD_USER_DATA_MAX - MARKS_MAX)
        return error_set(err, -EFBIG, "what cloud-init is told has %zu bytes, more than %d", out->n,
            (int)(CLOUD_USER_DATA_MAX - MARKS_MAX));
    return 0;
}

/* ---- templates ---- */

static void arm_text(struct buf *b, const char *p, size_t n)
{
    buf_putc(b, '\'');
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\'')
            buf_putc(b, '\'');
        buf_putc(b, p[i]);
    }
    buf_putc(b, '\'');
}

/* Text with markers as an expression of the Azure Resource Manager, whose texts double single
 * quotes. */
static json_t *azure_expression(const char *text)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    buf_puts(&b, "[base64(concat(");
    for (const char *at; (at = strstr(text, MARK_CLUSTER)); text = at + strlen(MARK_CLUSTER)) {
        arm_text(&b, text, (size_t)(at - text));
        buf_puts(&b, ", resourceGroup().name, ");
    }
    arm_text(&b, text, strlen(text));
    buf_puts(&b, "))]");
    return json_string(buf_cstr(&b));
}

void cloud_arguments(const struct gen *g, json_t *arguments)
{
    _cleanup_json_ json_t *list = gen_list(g, "master_list");
    json_t *numbers = json_array();
    _cleanup_buf_ struct buf targets = BUF_INIT;
    for (size_t i = 1; i <= json_array_size(list); i++) {
        json_array_append_new(numbers, json_sprintf("%zu", i));
        buf_printf(&targets, "%s{\"Id\": {\"Ref\": \"Master%zu\"}}", i > 1 ? ", " : "", i);
    }
    json_object_set_new(arguments, "master_numbers", numbers);
    json_object_set_new(arguments, "master_targets", json_string(buf_cstr(&targets)));
    json_object_set_new(arguments, "door_ports", json_pack("[s,s]", "80", "443"));
    json_object_set_new(arguments, "internal_ports",
        json_pack("[s,s,s,s,s,s]", "80", "443", "2181", "5050", "8080", "8181"));
    json_object_set_new(arguments, "door_names", json_pack("[s,s]", "masters", "public"));
}

int cloud_render(const char *name, const json_t *arguments, json_t **ret, struct error *err)
{
    _cleanup_(template_freep)
    struct template *t = NULL;
    _cleanup_buf_ struct buf out = BUF_INIT;
    const char *text = cloud_embedded(name);
    int r = template_parse(text, strlen(text), &t, err);
    if (r == 0)
        r = template_render(t, arguments, NULL, 0, &out, err);
    /* What a value may have broken is seen here and not by the cloud. */
    if (r == 0)
        r = json_parse(buf_cstr(&out), out.n, ret, err);
    return r < 0 ? error_prefix(err, r, "%s", name) : 0;
}

static int to_buf(const char *p, size_t n, void *out)
{
    buf_append(out, p, n);
    return 0;
}

void cloud_write(const json_t *template, struct buf *out)
{
    json_dump_callback(template, to_buf, out, JSON_INDENT(1) | JSON_COMPACT);
    buf_putc(out, '\n');
}

static int azure_simple(const struct gen *g, json_t **ret, struct error *err)
{
    static const char *const roles[] = {"master", "slave", "slave_public"};
    _cleanup_json_ json_t *arguments = json_copy((json_t *)(uintptr_t)gen_arguments(g));
    cloud_arguments(g, arguments);
    for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
        _cleanup_buf_ struct buf text = BUF_INIT, dump = BUF_INIT;
        int r = cloud_host_data(CLOUD_AZURE, g, roles[i], NULL, &text, err);
        if (r < 0)
            return r;
        _cleanup_json_ json_t *expression = azure_expression(buf_cstr(&text));
        config_dump(expression, &dump);
        _cleanup_free_ char *name = xasprintf("user_data_%s", roles[i]);
        json_object_set_new(arguments, name, json_string(buf_cstr(&dump)));
    }
    return cloud_render("azure.json", arguments, ret, err);
}

int cloud_template(enum cloud_kind kind, const struct gen *g, struct buf *out, struct error *err)
{
    _cleanup_json_ json_t *whole = NULL;
    int r = kind == CLOUD_AWS ? cloud_aws_simple(g, &whole, err) : azure_simple(g, &whole, err);
    if (r == 0)
        cloud_write(whole, out);
    return r;
}
