#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "release/release.h"
#include "unit.h"

static const struct repository master = {"testing", "master", "K"};

static json_t *parse(const char *text)
{
    json_t *json = NULL;
    struct error err = ERROR_INIT;
    if (json_parse(text, strlen(text), &json, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
    return json;
}

static void test_commands(void **state)
{
    static const struct {
        const char *artifacts, *commands;
    } rows[] = {
        {"[{\"channel_path\":\"version\",\"local_content\":\"2.3.0-dev\",\"content_type\":\"text/"
         "plain\"}]",
            "{\"stage1\":[{\"method\":\"upload\",\"if_not_exists\":false,\"args\":{\"destination_"
            "path\":"
            "\"testing/master/commit/K/version\",\"no_cache\":true,\"blob\":\"2.3.0-dev\","
            "\"content_type\":\"text/plain\"}}],"
            "\"stage2\":[{\"method\":\"copy\",\"if_not_exists\":false,\"args\":{\"source_path\":"
            "\"testing/master/commit/K/version\",\"destination_path\":\"testing/master/"
            "version\"}}]}"},
        {"[{\"reproducible_path\":\"packages/a/a--1.tar.xz\",\"local_path\":\"/x\"}]",
            "{\"stage1\":[{\"method\":\"upload\",\"if_not_exists\":true,\"args\":{\"destination_"
            "path\":"
            "\"testing/packages/a/a--1.tar.xz\",\"no_cache\":false,\"local_path\":\"/"
            "x\"}}],\"stage2\":[]}"},
        {"[{\"reproducible_path\":\"r\",\"channel_path\":\"c\",\"local_path\":\"/x\"}]",
            "{\"stage1\":[{\"method\":\"upload\",\"if_not_exists\":true,\"args\":{\"destination_"
            "path\":"
            "\"testing/r\",\"no_cache\":false,\"local_path\":\"/x\"}},"
            "{\"method\":\"copy\",\"if_not_exists\":false,\"args\":{\"source_path\":\"testing/r\","
            "\"destination_path\":\"testing/master/commit/K/c\"}}],"
            "\"stage2\":[{\"method\":\"copy\",\"if_not_exists\":false,\"args\":{\"source_path\":"
            "\"testing/master/commit/K/c\",\"destination_path\":\"testing/master/c\"}}]}"},
        {"[{\"reproducible_path\":\"r\",\"local_copy_from\":\"old/r\"}]",
            "{\"stage1\":[{\"method\":\"copy\",\"if_not_exists\":true,\"args\":{\"source_path\":"
            "\"old/r\","
            "\"destination_path\":\"testing/r\"}}],\"stage2\":[]}"},
        {"[]", "{\"stage1\":[],\"stage2\":[]}"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err = ERROR_INIT;
        _cleanup_json_ json_t *artifacts = parse(rows[i].artifacts);
        _cleanup_json_ json_t *wanted = parse(rows[i].commands), *commands = NULL;
        assert_int_equal(release_commands(&master, artifacts, &commands, &err), 0);
        if (!json_equal(commands, wanted))
            fail_msg("%s gives %s", rows[i].artifacts, json_dumps(commands, 0));
    }
}

static void test_channel_without_name(void **state)
{
    const struct repository r = {"stable", "", "K"};
    struct error err = ERROR_INIT;
    _cleanup_json_ json_t *artifacts = parse("[{\"channel_path\":\"v\",\"local_content\":\"1\"}]");
    _cleanup_json_ json_t *commands = NULL;
    assert_int_equal(release_commands(&r, artifacts, &commands, &err), 0);
    const json_t *copy = json_at(json_array_get(json_at(commands, "stage2"), 0), "args");
    assert_string_equal(json_str_at(copy, "source_path", ""), "stable/commit/K/v");
    assert_string_equal(json_str_at(copy, "destination_path", ""), "stable/v");
}

static void test_refusals(void **state)
{
    static const char *const rows[] = {
        "[{\"channel_path\":\"a\",\"local_path\":\"b\",\"x\":\"y\"}]", "[{\"local_path\":\"b\"}]",
        "[{\"channel_path\":\"a\"}]",
        "[{\"channel_path\":\"a\",\"local_path\":\"b\",\"local_content\":\"c\"}]",
        "[{\"channel_path\":\"a\",\"local_content\":\"c\",\"local_copy_from\":1}]",
        "[{\"channel_path\":1,\"local_path\":\"b\"}]", "[3]"};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err = ERROR_INIT;
        _cleanup_json_ json_t *artifacts = parse(rows[i]), *commands = NULL;
        if (release_commands(&master, artifacts, &commands, &err) != -EINVAL)
            fail_msg("%s passed", rows[i]);
    }
}

static void test_strip(void **state)
{
    _cleanup_json_ json_t *given = parse(
        "{\"local_a\":1,\"b\":[{\"local_path\":\"x\",\"c\":{\"local_\":1,\"d\":2}}]}");
    _cleanup_json_ json_t *wanted = parse("{\"b\":[{\"c\":{\"d\":2}}]}");
    _cleanup_json_ json_t *stripped = release_strip_locals(given);
    assert_true(json_equal(stripped, wanted));
}

/* ---- a publisher that is cut off ---- */

/* A storage in memory that fails for good after some calls. */
struct memory {
    struct storage base;
    json_t *files; /* path to text */
    int left;
};

static struct memory *of(struct storage *s)
{
    return container_of(s, struct memory, base);
}

static int mem_put(
    struct storage *s, const char *path, const struct storage_content *c, struct error *err)
{
    if (of(s)->left-- <= 0)
        return error_set(err, -EIO, "cut off");
    json_object_set_new(of(s)->files, path, json_stringn(c->bytes, c->n));
    return 0;
}

static int mem_copy(struct storage *s, const char *from, const char *to, struct error *err)
{
    const char *text = json_str_at(of(s)->files, from, NULL);
    assert_non_null(text); /* nothing is copied that is not there */
    const struct storage_content c = {.bytes = text, .n = strlen(text)};
    return mem_put(s, to, &c, err);
}

static int mem_exists(struct storage *s, const char *path, struct error *err)
{
    return json_at(of(s)->files, path) != NULL;
}

static void mem_free(struct storage *s)
{
}

/* Two files, of which the second names the first, as metadata.json names all others; published in
 * version 1 and then in version 2, cut off at each step. Whoever reads the second finds the first
 * in the version that it names. */
static void test_cut_off(void **state)
{
    static const struct storage_ops ops = {
        .put = mem_put, .copy = mem_copy, .exists = mem_exists, .free = mem_free};
    char name[] = "m";
    for (int steps = 0, whole = 0; !whole; steps++) {
        struct memory m = {
            .base = {.ops = &ops, .name = name}, .files = json_object(), .left = 1000};
        struct storage *storages[] = {&m.base};
        const struct release_config c = {.storages = storages, .n = 1, .preferred = &m.base};
        for (int version = 1; version <= 2; version++) {
            struct error err = ERROR_INIT;
            char text[512];
            const struct repository r = {"testing", "master", version == 1 ? "K1" : "K2"};
            (void)snprintf(text, sizeof(text),
                "[{\"reproducible_path\":\"p%d\",\"local_content\":\"%d\"},"
                "{\"channel_path\":\"installer\",\"local_content\":\"%d\"},"
                "{\"channel_path\":\"metadata.json\",\"local_content\":\"%d\"}]",
                version, version, version, version);
            _cleanup_json_ json_t *artifacts = parse(text), *commands = NULL;
            assert_int_equal(release_commands(&r, artifacts, &commands, &err), 0);
            if (version == 2)
                m.left = steps;
            int status = release_run(&c, commands, false, &err);
            whole = status == 0;
            const char *shown = json_str_at(m.files, "testing/master/metadata.json", NULL);
            assert_non_null(shown);
            char package[64];
            (void)snprintf(package, sizeof(package), "testing/p%s", shown);
            assert_string_equal(json_str_at(m.files, package, NULL), shown);
            const char *installer = json_str_at(m.files, "testing/master/installer", NULL);
            assert_true(streq(installer, shown) || (streq(installer, "2") && streq(shown, "1")));
            (void)snprintf(package, sizeof(package), "testing/p%s", installer);
            assert_non_null(json_str_at(m.files, package, NULL));
            (void)snprintf(package, sizeof(package), "testing/master/commit/K%s/installer", shown);
            assert_string_equal(json_str_at(m.files, package, NULL), shown);
        }
        json_decref(m.files);
        assert_true(steps < 50);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_commands),
        cmocka_unit_test(test_channel_without_name), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_strip), cmocka_unit_test(test_cut_off)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
