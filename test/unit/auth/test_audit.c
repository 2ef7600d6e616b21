#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "auth/audit.h"
#include "base/alloc.h"
#include "base/file.h"
#include "json/json.h"

static char g_dir[32];
static char *g_path;

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(g_dir, sizeof(g_dir), "/tmp/test-audit-XXXXXX");
    assert_non_null(mkdtemp(g_dir));
    g_path = path_join(g_dir, "audit.log");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(g_path);
    return remove_tree(g_dir, NULL);
}

static const struct auth_claim claims[] = {{"cid", "c1"}};
static const struct auth_subject bob = {.principal = "bob"};
static const struct auth_subject token = {.claims = claims, .n_claims = 1};

static void lines(void **state)
{
    (void)state;
    struct audit *a;
    assert_int_equal(audit_open(g_path, "dcos-x", &a, NULL), 0);
    struct audit_entry e = {.time_us = 1700000000123000,
        .who = &bob,
        .from = "127.0.0.1:1",
        .action = "POST /teardown",
        .status = 200};
    assert_int_equal(audit_write(a, &e), 0);
    e.who = &token;
    e.object = "x\n\"y\"";
    assert_int_equal(audit_write(a, &e), 0);
    audit_close(a);
    _cleanup_buf_ struct buf text = BUF_INIT;
    assert_int_equal(file_read(g_path, 10000, &text, NULL), 0);
    assert_string_equal(text.p,
        "{\"time\":\"2023-11-14T22:13:20.123Z\",\"program\":\"dcos-x\",\"who\":\"bob\","
        "\"from\":\"127.0.0.1:1\",\"action\":\"POST /teardown\",\"object\":null,\"status\":200}\n"
        "{\"time\":\"2023-11-14T22:13:20.123Z\",\"program\":\"dcos-x\",\"who\":null,"
        "\"claims\":[\"cid=c1\"],\"from\":\"127.0.0.1:1\",\"action\":\"POST /teardown\","
        "\"object\":\"x\\n\\\"y\\\"\",\"status\":200}\n");
    struct stat st;
    assert_int_equal(stat(g_path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void bounded(void **state)
{
    (void)state;
    struct audit *a;
    assert_int_equal(truncate(g_path, 0), 0);
    assert_int_equal(audit_open(g_path, "dcos-x", &a, NULL), 0);
    char *large = xmalloc(100001);
    memset(large, '\x01', 100000);
    large[100000] = '\0';
    struct auth_claim many[] = {{large, large}, {large, large}, {large, large}, {large, large}};
    struct auth_subject who = {.claims = many, .n_claims = ARRAY_SIZE(many)};
    struct audit_entry e = {
        .who = &who, .from = large, .action = large, .object = large, .status = 403};
    assert_int_equal(audit_write(a, &e), 0);
    audit_close(a);
    free(large);
    _cleanup_buf_ struct buf text = BUF_INIT;
    assert_int_equal(file_read(g_path, AUDIT_LINE_MAX, &text, NULL), 0);
    _cleanup_json_ json_t *doc = NULL;
    assert_int_equal(json_parse(text.p, text.n, &doc, NULL), 0);
}

static void survives_rotation(void **state)
{
    (void)state;
    struct audit *a;
    _cleanup_free_ char *old = path_join(g_dir, "audit.log.1");
    assert_int_equal(audit_open(g_path, "dcos-x", &a, NULL), 0);
    struct audit_entry e = {.who = &bob, .from = "", .action = "first", .status = 200};
    assert_int_equal(rename(g_path, old), 0);
    assert_int_equal(audit_write(a, &e), 0); /* still to the old file */
    assert_int_equal(audit_reopen(a, NULL), 0);
    e.action = "second";
    assert_int_equal(audit_write(a, &e), 0);
    _cleanup_buf_ struct buf one = BUF_INIT;
    _cleanup_buf_ struct buf two = BUF_INIT;
    assert_int_equal(file_read(old, 100000, &one, NULL), 0);
    assert_int_equal(file_read(g_path, 100000, &two, NULL), 0);
    assert_non_null(strstr(one.p, "first"));
    assert_null(strstr(one.p, "second"));
    assert_non_null(strstr(two.p, "second"));
    /* Where the folder is gone the open file stays. */
    assert_int_equal(remove_tree(g_dir, NULL), 0);
    struct error err = ERROR_INIT;
    assert_true(audit_reopen(a, &err) < 0);
    assert_int_equal(audit_write(a, &e), 0);
    audit_close(a);
    assert_int_equal(mkdir_all(g_dir, 0700, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines),
        cmocka_unit_test(bounded),
        cmocka_unit_test(survives_rotation),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
