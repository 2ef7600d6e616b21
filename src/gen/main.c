#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/options.h"
#include "base/parse.h"
#include "base/vec.h"
#include "gen/cloud.h"
#include "gen/explain.h"
#include "json/writer.h"

/* The command line of dcos-gen. */

static const char usage[] =
    "dcos-gen: from config.yaml to what nodes are configured with\n"
    "\n"
    "Usage:\n"
    "  dcos-gen validate [options]        tell everything that is wrong, with lines\n"
    "  dcos-gen generate [options]        write configuration packages and lists\n"
    "  dcos-gen cloud-config [options]    print what a host needs before there are packages, for "
    "cloud-init\n"
    "  dcos-gen value NAME [options]      print one value that was worked out\n"
    "  dcos-gen aws | azure [options]     what generate writes, and a template of a whole cluster\n"
    "  dcos-gen params [--json]           all parameters\n"
    "  dcos-gen --explain PARAM           what it is, its type and default, its value and where "
    "that is from\n"
    "\n"
    "Options:\n"
    "  --config=FILE        [default: genconf/config.yaml]\n"
    "  --folder=DIR         where relative names in it begin [default: the working folder]\n"
    "  --extra=DIR          extension, see docs/gen.md [default: gen_extra]\n"
    "  --artifacts=DIR      the release: complete/complete.latest.json names its packages\n"
    "  --output=DIR         generate: where to write [default: genconf/serve]\n"
    "  --masters=N          aws, azure: how many [default: 1]\n"
    "  --download-url=URL   aws, azure: the templates for all numbers of masters, nested ones too, "
    "and the\n"
    "                       page with launch buttons, which will be found there\n"
    "  --set NAME=VALUE     a value that config.yaml must not change, as provider=aws; may be "
    "repeated\n"
    "  --late NAME=EXPRESSION   a value that only the host knows\n"
    "  --quiet              no warnings\n"
    "  --json               machine-readable\n"
    "  --version, --help\n"
    "\n"
    "BOOTSTRAP_ID, BOOTSTRAP_VARIANT and DCOS_IMAGE_COMMIT are taken from the environment.\n"
    "Exit code: 0 fine, 1 the configuration is wrong, 2 something else is.\n";

enum { EXIT_WRONG = 1, EXIT_TROUBLE = 2, SETTINGS_MAX = 1000, COMPLETE_MAX = 4 * 1024 * 1024 };

struct options {
    const char *command, *name;
    const char *config, *folder, *artifacts, *output, *explain, *extra;
    const char *masters_text, *download_url;
    struct buf text; /* of the configuration */
    uint32_t masters;
    enum cloud_kind cloud;
    bool json, quiet, help, version, for_cloud;
    VEC(struct gen_setting) settings;
};

static int add_setting(struct options *o, const char *text, bool late, struct error *err)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text)
        return error_set(err, -EINVAL, "'%.100s' is not of the form NAME=VALUE", text);
    if (o->settings.n == SETTINGS_MAX)
        return error_set(err, -EINVAL, "more than %d settings", (int)SETTINGS_MAX);
    vec_push(&o->settings, (struct gen_setting){.name = xstrndup(text, (size_t)(equals - text)),
                               .value = xstrdup(equals + 1),
                               .fixed = true,
                               .late = late});
    return 0;
}

static int add_settings(
    struct options *o, const struct option_values *values, bool late, struct error *err)
{
    int r = 0;
    for (size_t i = 0; i < values->n && r == 0; i++)
        r = add_setting(o, values->items[i], late, err);
    return r;
}

static int parse(struct options *o, int argc, char **argv, struct error *err)
{
    struct option_values set = {0}, late = {0};
    const char *args[2] = {0};
    size_t n = 0;
    const struct option table[] = {{"--config", NULL, &o->config}, {"--folder", NULL, &o->folder},
        {"--extra", NULL, &o->extra}, {"--artifacts", NULL, &o->artifacts},
        {"--output", NULL, &o->output}, {"--masters", NULL, &o->masters_text},
        {"--download-url", NULL, &o->download_url}, {"--explain", NULL, &o->explain},
        {"--set", .texts = &set}, {"--late", .texts = &late}, {"--json", NULL, NULL, &o->json},
        {"--quiet", NULL, NULL, &o->quiet}, {"--version", NULL, NULL, &o->version},
        {"--help", "-h", NULL, &o->help}};
    int r = options_parse(
        "dcos-gen", table, ARRAY_SIZE(table), argc, argv, args, ARRAY_SIZE(args), &n, err);
    if (r == 0)
        r = add_settings(o, &set, false, err);
    if (r == 0)
        r = add_settings(o, &late, true, err);
    vec_done(&set);
    vec_done(&late);
    if (r < 0)
        return r;
    o->command = args[0];
    o->name = args[1];
    if (o->name && !streq(o->command, "value"))
        return error_set(err, -EINVAL, "unknown argument %.100s, see dcos-gen --help", o->name);
    if (!o->command && !o->explain && !o->help && !o->version)
        return error_set(err, -EINVAL, "a command is missing, see dcos-gen --help");
    o->for_cloud = o->command && (streq(o->command, "aws") || streq(o->command, "azure"));
    o->cloud = o->for_cloud && streq(o->command, "azure") ? CLOUD_AZURE : CLOUD_AWS;
    if (parse_u32(str_of(o->masters_text ? o->masters_text : "1"), &o->masters) < 0)
        return error_set(err, -EINVAL, "--masters needs a number");
    if (o->command && streq(o->command, "value") && !o->name)
        return error_set(err, -EINVAL, "value needs the name of a parameter");
    return 0;
}

/* ---- the configuration ---- */

static int read_artifacts(struct options *o, struct error *err)
{
    _cleanup_free_ char *path = path_join(o->artifacts, "complete/complete.latest.json");
    _cleanup_buf_ struct buf b = BUF_INIT, ids = BUF_INIT;
    _cleanup_json_ json_t *complete = NULL;
    int r = file_read(path, COMPLETE_MAX, &b, err);
    if (r == 0)
        r = json_parse(buf_cstr(&b), b.n, &complete, err);
    if (r < 0)
        return error_prefix(err, r, "%s", path);
    const char *bootstrap = json_str_at(complete, "bootstrap", NULL);
    if (!bootstrap || !json_is_array(json_at(complete, "packages")))
        return error_set(err, -EINVAL, "%s has no bootstrap or packages", path);
    json_dump(json_at(complete, "packages"), &ids);
    vec_push(&o->settings,
        (struct gen_setting){xstrdup("bootstrap_id"), xstrdup(bootstrap), .fixed = true});
    vec_push(&o->settings,
        (struct gen_setting){xstrdup("package_ids"), xstrdup(buf_cstr(&ids)), .fixed = true});
    return 0;
}

static void read_environment(struct options *o)
{
    static const struct {
        const char *variable, *name;
        bool fixed;
    } table[] = {{"BOOTSTRAP_ID", "bootstrap_id", false},
        {"BOOTSTRAP_VARIANT", "bootstrap_variant", false},
        {"DCOS_IMAGE_COMMIT", "dcos_image_commit", true}};
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        const char *value = getenv(table[i].variable);
        if (value)
            vec_push(&o->settings, (struct gen_setting){xstrdup(table[i].name), xstrdup(value),
                                       .fixed = table[i].fixed});
    }
    /* Without a release a configuration can be looked at, but nothing be made of it. */
    if (!o->command || (!streq(o->command, "generate") && !o->for_cloud))
        vec_push(&o->settings, (struct gen_setting){xstrdup("bootstrap_id"), xstrdup("unknown")});
}

static struct gen_input input_of(struct options *o)
{
    return (struct gen_input){.config = buf_cstr(&o->text),
        .config_n = o->text.n,
        .folder = o->folder,
        .extra = o->extra,
        .settings = o->settings.items,
        .n_settings = o->settings.n};
}

static int load(struct options *o, bool may_be_absent, struct gen **ret, struct error *err)
{
    int r = o->artifacts ? read_artifacts(o, err) : 0;
    if (r < 0)
        return r;
    read_environment(o);
    r = file_read(o->config, GEN_CONFIG_MAX, &o->text, err);
    if (r < 0)
        return r == -ENOENT && may_be_absent ? 0 : r;
    struct gen_input in = input_of(o);
    r = o->for_cloud ? cloud_gen(o->cloud, o->masters, &in, ret, err) : gen_new(&in, ret, err);
    return r < 0 ? error_prefix(err, r, "%s", o->config) : 0;
}

/* ---- what is printed ---- */

static void print_problem(const struct options *o, const char *kind, const struct gen_problem *p)
{
    fprintf(stderr, "%s", o->config);
    if (p->line)
        fprintf(stderr, ":%u", p->line);
    fprintf(stderr, ": %s%s%s%s\n", kind, p->name, *p->name ? ": " : "", p->message);
}

static void write_problems(
    struct json_writer *w, const char *key, const struct gen_problem *p, size_t n)
{
    jw_key(w, key);
    jw_begin_object(w);
    for (size_t i = 0; i < n; i++) {
        if (i && streq(p[i].name, p[i - 1].name))
            continue;
        jw_key(w, p[i].name);
        jw_begin_object(w);
        jw_field_string(w, "message", p[i].message);
        if (p[i].line)
            jw_field_i64(w, "line", p[i].line);
        jw_end_object(w);
    }
    jw_end_object(w);
}

static void write_unset(struct json_writer *w, const struct gen_problem *p, size_t n)
{
    jw_key(w, "unset");
    jw_begin_array(w);
    for (size_t i = 0; i < n; i++)
        if (p[i].unset)
            jw_string(w, p[i].name);
    jw_end_array(w);
}

/* Returns the exit code. */
static int report(const struct options *o, const struct gen *g)
{
    size_t n_errors, n_warnings;
    const struct gen_problem *errors = gen_errors(g, &n_errors),
                             *warnings = gen_warnings(g, &n_warnings);
    if (o->json) {
        _cleanup_buf_ struct buf b = BUF_INIT;
        struct json_writer w;
        jw_init(&w, &b);
        jw_begin_object(&w);
        jw_field_string(&w, "status", n_errors ? "errors" : "ok");
        write_problems(&w, "errors", errors, n_errors);
        write_problems(&w, "warnings", warnings, n_warnings);
        write_unset(&w, errors, n_errors);
        jw_end_object(&w);
        printf("%s\n", buf_cstr(&b));
        return n_errors ? EXIT_WRONG : 0;
    }
    for (size_t i = 0; i < n_warnings && !o->quiet; i++)
        print_problem(o, "warning: ", &warnings[i]);
    for (size_t i = 0; i < n_errors; i++)
        print_problem(o, "", &errors[i]);
    return n_errors ? EXIT_WRONG : 0;
}

/* Everything for a cloud: the template beside what generate writes. */
static int write_cloud(
    const struct options *o, enum cloud_kind kind, const struct gen *g, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_free_ char *name = cloud_file_name(kind, "", o->masters);
    _cleanup_free_ char *path = path_join(o->output, name), *above = xstrdup(path);
    *strrchr(above, '/') = '\0';
    int r = cloud_template(kind, g, &text, err);
    if (r == 0)
        r = gen_generate(g, o->output, err);
    if (r == 0)
        r = mkdir_all(above, 0755, err);
    if (r == 0)
        r = file_write_atomic(path, buf_cstr(&text), text.n, 0644, err);
    if (r == 0)
        puts(path);
    return r;
}

/* The folder's own name of an artifact that is text. */
static int write_artifact(const struct options *o, const json_t *artifact, struct error *err)
{
    const char *name = json_str_at(artifact, "channel_path", NULL),
               *text = json_str_at(artifact, "local_content", NULL);
    if (!name || !text)
        return 0; /* is there already */
    _cleanup_free_ char *path = path_join(o->output, name), *above = xstrdup(path);
    *strrchr(above, '/') = '\0';
    int r = mkdir_all(above, 0755, err);
    if (r == 0)
        r = file_write_atomic(path, text, strlen(text), 0644, err);
    if (r == 0)
        puts(path);
    return r;
}

static int write_all(struct options *o, const struct gen *g, struct error *err)
{
    _cleanup_json_ json_t *list = NULL;
    const struct gen_input in = input_of(o);
    const struct cloud_variant variant = {gen_value(g, "bootstrap_variant"),
        gen_value(g, "bootstrap_id"), gen_value(g, "package_ids")};
    const struct cloud_release release = {.in = &in,
        .variants = &variant,
        .n_variants = 1,
        .commit = gen_value(g, "dcos_image_commit"),
        .version = gen_value(g, "dcos_version"),
        .download_url = o->download_url,
        .folder = o->output};
    int r = cloud_artifacts(o->cloud, &release, &list, err);
    for (size_t i = 0; i < json_array_size(list) && r == 0; i++)
        r = write_artifact(o, json_array_get(list, i), err);
    return r;
}

static int print_value(const struct options *o, const struct gen *g, struct error *err)
{
    const char *value = gen_value(g, o->name);
    if (!value)
        return error_set(err, -ENOENT, "%.100s has no value", o->name);
    if (gen_is_secret(g, o->name))
        return error_set(err, -EACCES, "%.100s is secret", o->name);
    puts(value);
    return 0;
}

static int run(struct options *o, struct error *err)
{
    _cleanup_(gen_freep)
    struct gen *g = NULL;
    _cleanup_buf_ struct buf out = BUF_INIT;
    int r;
    if (o->explain) {
        r = load(o, true, &g, err);
        if (r == 0)
            r = explain_param(o->explain, g, &out, err);
        fputs(buf_cstr(&out), stdout);
        return r;
    }
    if (streq(o->command, "params")) {
        explain_list(o->json, &out);
        fputs(buf_cstr(&out), stdout);
        return 0;
    }
    bool validate = streq(o->command, "validate"), generate = streq(o->command, "generate"),
         cloud = streq(o->command, "cloud-config"), value = streq(o->command, "value");
    if (!validate && !generate && !cloud && !value && !o->for_cloud)
        return error_set(err, -EINVAL, "unknown command %.100s, see dcos-gen --help", o->command);
    r = load(o, false, &g, err);
    if (r < 0)
        return r;
    if (value && gen_value(g, o->name))
        return print_value(o, g, err);
    int code = report(o, g);
    if (code || validate)
        return code;
    if (value)
        return print_value(o, g, err);
    if (o->download_url && o->for_cloud)
        return write_all(o, g, err);
    if (o->for_cloud)
        return write_cloud(o, o->cloud, g, err);
    if (generate)
        return gen_generate(g, o->output, err);
    cloud_user_data(g, &out);
    fputs(buf_cstr(&out), stdout);
    return 0;
}

int main(int argc, char **argv)
{
    struct options o = {.config = "genconf/config.yaml", .output = "genconf/serve"};
    struct error err = ERROR_INIT;
    log_init("dcos-gen");
    int r = parse(&o, argc, argv, &err);
    if (r == 0 && (o.help || o.version)) {
        printf("%s", o.help ? usage : "dcos-gen " DCOS_VERSION "\n");
        return 0;
    }
    if (r == 0)
        r = run(&o, &err);
    if (r < 0)
        fprintf(stderr, "dcos-gen: %s\n", err.msg);
    VEC_FOREACH (s, &o.settings) {
        free((char *)(uintptr_t)s->name);
        free((char *)(uintptr_t)s->value);
    }
    vec_done(&o.settings);
    buf_done(&o.text);
    return r < 0 ? EXIT_TROUBLE : r;
}
