#include "gen/extra.h"

#include "gen/gen-internal.h"
#include "json/writer.h"
#include "world.h"

/* Extensions in memory. */

struct disk {
    const char *params, *config; /* params.yaml, dcos-config.yaml */
    const char *other;           /* name of one more file */
};

static int disk_read(
    void *userdata, const char *name, size_t max, struct buf *out, struct error *err)
{
    const struct disk *d = userdata;
    const char *text = streq(name, "gen_extra/params.yaml")        ? d->params
                       : streq(name, "gen_extra/dcos-config.yaml") ? d->config
                                                                   : NULL;
    if (!text)
        return world_read(NULL, name, max, out, err);
    buf_puts(out, text);
    return 0;
}

static int disk_list(void *userdata, const char *name, struct buf *out, struct error *err)
{
    const struct disk *d = userdata;
    const char *const names[] = {
        d->params ? "params.yaml" : NULL, d->config ? "dcos-config.yaml" : NULL, d->other};
    if (!streq(name, "gen_extra"))
        return world_list(NULL, name, out, err);
    buf_putc(out, '[');
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (names[i])
            buf_printf(out, "%s[\"%s\", \"\"]", out->n > 1 ? "," : "", names[i]);
    buf_putc(out, ']');
    return 0;
}

static int make(const struct disk *d, const char *config, const char *provider, struct gen **ret,
    struct error *err)
{
    const struct gen_files files = {disk_read, disk_list, (void *)(uintptr_t)d};
    const struct gen_setting settings[] = {
        world_settings[0], world_settings[1], {"provider", provider, .fixed = true}};
    return gen_new(&(struct gen_input){.config = config,
                       .config_n = strlen(config),
                       .settings = settings,
                       .n_settings = ARRAY_SIZE(settings),
                       .files = &files},
        ret, err);
}

static struct gen *made(const struct disk *d, const char *config)
{
    struct gen *g = NULL;
    struct error err = ERROR_INIT;
    if (make(d, config, "onprem", &g, &err) < 0)
        fail_msg("%s", err.msg);
    return g;
}

static const char *content(const struct gen *g, const char *path)
{
    for (size_t i = 0; i < json_array_size(g->config_files); i++) {
        const json_t *file = json_array_get(g->config_files, i);
        if (streq(json_str_at(file, "path", ""), path))
            return json_str_at(file, "content", NULL);
    }
    return NULL;
}

static void test_values(void **state)
{
    static const struct disk disk = {
        .params = "parameters:\n"
                  "  team: {help: who to call}\n"
                  "  level: {default: 3, type: integer, min: 1, max: 5}\n"
                  "  host: {must: '{{ cluster_name }}-{{ team }}.example'}\n"
                  "  note: {optional: true}\n"
                  "  pool: {default: [a, b], type: list}\n"
                  "  ui_banner: {default: true}\n"
                  "  ui_branding: {must: true}\n"
                  "  token: {default: x, secret: true}\n",
        .config = "package:\n- path: /etc/team.env\n  content: |\n    TEAM={{ team }}\n    "
                  "LEVEL={{ level }}\n    HOST={{ host | env }}\n{% for p in pool %}- path: "
                  "/etc/pool/{{ p }}\n  content: x\n{% endfor %}"};
    _cleanup_(gen_freep)
    struct gen *g = made(&disk, WORLD_ONE "team: red\n");
    size_t n;
    world_must_be_ok(g, "extension");
    assert_string_equal(content(g, "/etc/team.env"), "TEAM=red\nLEVEL=3\nHOST=demo-red.example\n");
    assert_non_null(content(g, "/etc/pool/b"));
    assert_non_null(content(g, "/bin/detect_ip"));
    assert_string_equal(gen_value(g, "pool"), "[\"a\", \"b\"]");
    assert_string_equal(gen_value(g, "ui_banner"), "true");
    assert_string_equal(gen_value(g, "ui_branding"), "true");
    assert_null(gen_value(g, "note"));
    assert_non_null(strstr(gen_value(g, "template_filenames"), "\"gen_extra/dcos-config.yaml\""));
    gen_warnings(g, &n);
    assert_int_equal(n, 0);
    assert_true(gen_is_secret(g, "token"));
    assert_null(json_at(gen_arguments(g), "token"));
    assert_string_equal(json_str_at(gen_arguments(g), "team", ""), "red");
    /* A change of the extension gives other packages. */
    struct disk other = disk;
    other.config = "package: []\n";
    _cleanup_(gen_freep)
    struct gen *h = made(&other, WORLD_ONE "team: red\n");
    assert_string_not_equal(gen_value(g, "config_id"), gen_value(h, "config_id"));
}

static void test_wrong_values(void **state)
{
    static const struct {
        const char *description, *yaml, *message;
    } table[] = {
        {"{}", "", "Must set p, no way to calculate value."},
        {"{when: {use_proxy: true}}", "", NULL},
        {"{when: {ui_banner: false}}", "", "Must set p, no way to calculate value."},
        {"{must: 1}", "p: 2\n",
            "p must be calculated, but was explicitly set in the configuration. Remove it from the "
            "configuration."},
        {"{one_of: [a, 1]}", "p: b\n", "Must be one of 'a', '1'. Got 'b'."},
        {"{one_of: [a, 1]}", "p: 1\n", NULL},
        {"{type: boolean}", "p: maybe\n", "Must be one of 'true', 'false'. Got 'maybe'."},
        {"{type: integer, max: 5}", "p: 6\n",
            "Must be between -9223372036854775808 and 5 inclusive"},
        {"{min: 5}", "p: 4\n", "Must be above or equal to 5"},
        {"{pattern: 'a+|b'}", "p: aac\n", "Must match the pattern 'a+|b'. Got 'aac'."},
        {"{pattern: 'a+|b'}", "p: b\n", NULL},
        {"{pattern: 'a+|b', message: Only a or b.}", "p: c\n", "Only a or b."},
        {"{pattern: 'a+', secret: true}", "p: hunter2\n",
            "Is not allowed. The value is secret and not shown."},
        {"{}", "p: \"a\\nb\"\n", "Must be one line of text, without control characters"},
        {"{type: text}", "p: \"a\\nb\"\n", NULL},
        {"{type: list}", "p: {}\n", "Must be a JSON list, got dict"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        _cleanup_buf_ struct buf params = BUF_INIT, config = BUF_INIT;
        buf_printf(&params, "parameters:\n  p: %s\n", table[i].description);
        buf_printf(&config, WORLD_ONE "%s", table[i].yaml);
        _cleanup_(gen_freep)
        struct gen *g = made(&(struct disk){.params = buf_cstr(&params)}, buf_cstr(&config));
        const struct gen_problem *p = world_error(g, "p");
        if (!streq(p ? p->message : NULL, table[i].message))
            fail_msg("%s: %s", table[i].description, p ? p->message : "fine");
        if (p)
            assert_int_equal(p->unset, !*table[i].yaml);
    }
}

static void test_bad_extensions(void **state)
{
    static const struct {
        struct disk disk;
        const char *message;
    } table[] = {
        {{"parameters: []\n"}, "gen_extra/params.yaml: parameters must be a mapping"},
        {{"more: 1\n"}, "line 1: unknown key 'more'"},
        {{"parameters: {dcos_version: {default: 1}}\n"}, "dcos_version: is the release's"},
        {{"parameters: {A: {}}\n"}, "A: a name has lower-case letters"},
        {{"parameters: {a: 1}\n"}, "a: must be a mapping"},
        {{"parameters: {a: {colour: red}}\n"}, "a: unknown key 'colour'"},
        {{"parameters: {a: {type: number}}\n"}, "a: type must be one of"},
        {{"parameters: {a: {pattern: '('}}\n"}, "a: pattern: "},
        {{"parameters: {a: {pattern: 'a{999}{999}'}}\n"}, "a: a pattern that is too long"},
        {{"parameters: {a: {default: 1, must: 2}}\n"}, "a: default, must and optional exclude"},
        {{"parameters: {a: {default: 1.5}}\n"}, "a number with a fraction"},
        {{"parameters: {a: {default: '{{ b }}'}}\n"}, "a: there is no parameter b"},
        {{"parameters: {a: {default: '{{ b'}}\n"}, "gen_extra/params.yaml: a: line 1"},
        {{"parameters: {a: {when: {b: 1}}}\n"}, "a: there is no parameter b"},
        {{"parameters: {a: {default: '{{ exhibitor_admin_password }}'}}\n"}, "which is secret"},
        {{"parameters: {a: {one_of: []}}\n"}, "a: one_of must be a list"},
        {{"parameters: {a: {min: x}}\n"}, "a: min and max must be integers"},
        {{"parameters: {a: {default: '{{ a }}'}}\n"}, "a is worked out of itself"},
        {{.other = "calc.py"}, "gen_extra/calc.py: extensions are not read as Python here"},
        {{.other = "dcos-confg.yaml"}, "gen_extra/dcos-confg.yaml would not be used"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct gen *g = NULL;
        struct error err = ERROR_INIT;
        if (make(&table[i].disk, WORLD_ONE, "onprem", &g, &err) == 0)
            fail_msg("%s passed", table[i].message);
        if (!strstr(err.msg, table[i].message))
            fail_msg("%s: %s", table[i].message, err.msg);
    }
}

/* What templates do is told like what config.yaml does. */
static void test_bad_templates(void **state)
{
    static const char *const table[][2] = {
        {"package:\n- path: /bin/detect_ip\n  content: x\n", "/bin/detect_ip is there twice"},
        {"package: {}\n", "gen_extra/dcos-config.yaml: 'package' is in two templates"},
        {"package:\n- path: /x\n  content: {{ nothing }}\n", "gen_extra/dcos-config.yaml: "},
        {"{{ x", "gen_extra/dcos-config.yaml: line 1"}};
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        _cleanup_(gen_freep)
        struct gen *g = made(&(struct disk){.config = table[i][0]}, WORLD_ONE);
        const struct gen_problem *p = world_error(g, "");
        if (!p || !strstr(p->message, table[i][1]))
            fail_msg("%s: %s", table[i][1], p ? p->message : "fine");
    }
    _cleanup_(gen_freep)
    struct gen *fine = made(&(struct disk){.other = "README"}, WORLD_ONE);
    world_must_be_ok(fine, "a file that says something to people");
}

static void test_provider_defaults(void **state)
{
    static const struct disk disk = {
        .params = "provider_template_defaults: {oauth_enabled: false}\n"};
    static const char *const providers[][2] = {{"onprem", "true"}, {"aws", "false"}};
    for (size_t i = 0; i < ARRAY_SIZE(providers); i++) {
        _cleanup_(gen_freep)
        struct gen *g = NULL;
        assert_int_equal(make(&disk, WORLD_ONE, providers[i][0], &g, NULL), 0);
        assert_string_equal(gen_value(g, "oauth_enabled"), providers[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_wrong_values),
        cmocka_unit_test(test_bad_extensions),
        cmocka_unit_test(test_bad_templates),
        cmocka_unit_test(test_provider_defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
