#include "gen/cloud.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/embed.h"
#include "gen/config.h"
#include "gen/template.h"

extern const struct embedded gen_clouds[];
extern const struct embedded gen_detect[];

/* Stands for a value that only the cloud knows, until the text is cut there. */
#define STACK_NAME "@@stack_name@@"

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

int cloud_gen(enum cloud_kind kind, unsigned masters, const struct gen_input *in, struct gen **ret,
    struct error *err)
{
    _cleanup_buf_ struct buf list = BUF_INIT;
    struct gen_input all = *in;
    const char *provider = kind == CLOUD_AWS ? "aws" : "azure";
    if (masters < 1 || masters > CLOUD_MASTERS_MAX)
        return error_set(err, -EINVAL, "from 1 to %d masters", (int)CLOUD_MASTERS_MAX);
    for (unsigned i = 1; i <= masters; i++)
        buf_printf(&list, "%s\"10.0.4.1%u\"", i > 1 ? ", " : "[", i);
    buf_putc(&list, ']');
    const struct gen_setting own[] = {{"provider", provider, .fixed = true},
        {"platform", provider, .fixed = true}, {"master_discovery", "static", .fixed = true},
        {"exhibitor_storage_backend", "static", .fixed = true},
        {"master_list", buf_cstr(&list), .fixed = true}, {"cluster_name", STACK_NAME, .late = true},
        {"ip_detect_contents",
            embedded(gen_detect, kind == CLOUD_AWS ? "ip-detect.aws" : "ip-detect.azure")},
        {"fault_domain_detect_contents", embedded(gen_detect, "fault-domain-detect")}};
    _cleanup_free_ struct gen_setting *settings = xnew_array(
        struct gen_setting, ARRAY_SIZE(own) + in->n_settings);
    memcpy(settings, own, sizeof(own));
    if (in->n_settings)
        memcpy(settings + ARRAY_SIZE(own), in->settings, in->n_settings * sizeof(*settings));
    all.settings = settings;
    all.n_settings = ARRAY_SIZE(own) + in->n_settings;
    return gen_new(&all, ret, err);
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

void cloud_user_data(const struct gen *g, const char *role, struct buf *out)
{
    const json_t *config = gen_cloud_config(g);
    _cleanup_buf_ struct buf commands = BUF_INIT;
    json_t *item;
    size_t i;
    buf_printf(out, "#cloud-config\n%swrite_files:\n", role ? packages : "");
    if (role) {
        _cleanup_free_ char *path = xasprintf("/etc/mesosphere/roles/%s", role);
        write_file(out, path, "", "0644");
    }
    json_array_foreach((json_t *)(uintptr_t)json_at(config, "write_files"), i, item)
    {
        write_file(out, json_str_at(item, "path", ""), json_str_at(item, "content", ""),
            json_str_at(item, "permissions", "0644"));
    }
    json_array_foreach((json_t *)(uintptr_t)json_at(config, "units"), i, item)
    {
        const char *name = json_str_at(item, "name", ""),
                   *command = json_str_at(item, "command", NULL);
        _cleanup_free_ char *path = xasprintf("/etc/systemd/system/%s", name);
        write_file(out, path, json_str_at(item, "content", ""), "0644");
        if (json_str_at(item, "enable", NULL))
            buf_printf(&commands, "- [systemctl, enable, %s]\n", name);
        if (command)
            buf_printf(&commands, "- [systemctl, %s, --no-block, %s]\n", command, name);
    }
    buf_printf(out, "runcmd:\n- [systemctl, daemon-reload]\n%s", buf_cstr(&commands));
}

/* ---- templates ---- */

/* Text with markers as an expression of CloudFormation. */
static json_t *aws_expression(const char *text)
{
    json_t *pieces = json_array();
    for (const char *at; (at = strstr(text, STACK_NAME)); text = at + strlen(STACK_NAME)) {
        json_array_append_new(pieces, json_stringn(text, (size_t)(at - text)));
        json_array_append_new(pieces, json_pack("{s:s}", "Ref", "AWS::StackName"));
    }
    json_array_append_new(pieces, json_string(text));
    return json_pack("{s:{s:[s,o]}}", "Fn::Base64", "Fn::Join", "", pieces);
}

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

/* The same for the Azure Resource Manager, whose texts double single quotes. */
static json_t *azure_expression(const char *text)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    buf_puts(&b, "[base64(concat(");
    for (const char *at; (at = strstr(text, STACK_NAME)); text = at + strlen(STACK_NAME)) {
        arm_text(&b, text, (size_t)(at - text));
        buf_puts(&b, ", resourceGroup().name, ");
    }
    arm_text(&b, text, strlen(text));
    buf_puts(&b, "))]");
    return json_string(buf_cstr(&b));
}

static int add_user_data(enum cloud_kind kind, const struct gen *g, const char *role,
    json_t *arguments, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT, dump = BUF_INIT;
    cloud_user_data(g, role, &text);
    if (text.n > CLOUD_USER_DATA_MAX)
        return error_set(err, -EFBIG, "what cloud-init is told has %zu bytes, more than %d", text.n,
            (int)CLOUD_USER_DATA_MAX);
    _cleanup_json_ json_t *expression = kind == CLOUD_AWS ? aws_expression(buf_cstr(&text))
                                                          : azure_expression(buf_cstr(&text));
    config_dump(expression, &dump);
    _cleanup_free_ char *name = xasprintf("user_data_%s", role);
    json_object_set_new(arguments, name, json_string(buf_cstr(&dump)));
    return 0;
}

static void add_masters(const struct gen *g, json_t *arguments)
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
    json_object_set_new(arguments, "door_names", json_pack("[s,s]", "masters", "public"));
}

int cloud_template(enum cloud_kind kind, const struct gen *g, struct buf *out, struct error *err)
{
    static const char *const roles[] = {"master", "slave", "slave_public"};
    _cleanup_json_ json_t *arguments = json_copy((json_t *)(uintptr_t)gen_arguments(g)),
                          *whole = NULL;
    _cleanup_(template_freep)
    struct template *t = NULL;
    const char *text = embedded(gen_clouds, kind == CLOUD_AWS ? "aws.json" : "azure.json");
    int r = 0;
    add_masters(g, arguments);
    for (size_t i = 0; i < ARRAY_SIZE(roles) && r == 0; i++)
        r = add_user_data(kind, g, roles[i], arguments, err);
    if (r == 0)
        r = template_parse(text, strlen(text), &t, err);
    if (r == 0)
        r = template_render(t, arguments, NULL, 0, out, err);
    /* What a value may have broken is seen here and not by the cloud. */
    if (r == 0)
        r = json_parse(buf_cstr(out), out->n, &whole, err);
    return r;
}
