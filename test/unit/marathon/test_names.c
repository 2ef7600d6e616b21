/* Ids, constraints, selectors, legacy fields. */

#include "unit.h"

#include <errno.h>

#include "base/str.h"
#include "marathon/api_internal.h"
#include "marathon/path.h"
#include "marathon/validate.h"

static void test_resolve(void **state)
{
    static const char *const rows[][3] = {
        {"/", "a", "/a"},
        {"/", "/a/b/", "/a/b"},
        {"/a/b", "../c", "/a/c"},
        {"/a", "/x//y", "/x/y"},
        {"/a", "../../..", "/"},
        {"/a", "./b", "/a/b"},
        {"/", "", "/"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char *got = path_resolve(rows[i][0], rows[i][1]);
        assert_string_equal(got, rows[i][2]);
        free(got);
    }
}

static void test_texts(void **state)
{
    static const char *const good[] = {"a", "/a", "a/b", "/a/", "a-b.c", "../x", "0"};
    static const char *const bad[] = {"", "A", "a_b", "-a", "a-", "a..b", ".", "a//b", "a b", "é"};
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        if (!path_text_ok(good[i]))
            fail_msg("refused %s", good[i]);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (path_text_ok(bad[i]))
            fail_msg("took %s", bad[i]);
    assert_null(path_check("/a/b"));
    assert_non_null(path_check("/a/tasks"));
    assert_non_null(path_check("/"));
    struct buf out = BUF_INIT;
    path_safe("/a/b-c/d", &out);
    assert_string_equal(buf_cstr(&out), "a_b-c_d");
    buf_clear(&out);
    path_hostname("/a/b/c", &out);
    assert_string_equal(buf_cstr(&out), "c.b.a");
    buf_done(&out);
    assert_true(path_below("/a/b", "/a") && !path_below("/ab", "/a") && path_below("/a", "/"));
    assert_int_equal(path_depth("/a/b"), 2);
    assert_int_equal(path_depth("/"), 0);
}

#define UUID "9c1a2f44-f370-11eb-8d2b-0242ac120003"

static void test_task_ids(void **state)
{
    struct task_id id;
    assert_int_equal(task_id_parse("shop_web.instance-" UUID "._app.12", &id), 0);
    assert_true(str_eq_c(id.safe_path, "shop_web") && str_eq_c(id.container, "_app"));
    assert_true(str_eq_c(id.instance_id, "shop_web.instance-" UUID));
    assert_int_equal(id.incarnation, 12);
    assert_int_equal(task_id_parse("a.marathon-" UUID "._app", &id), 0);
    assert_int_equal(id.incarnation, 0);
    assert_int_equal(task_id_parse("a_b." UUID, &id), 0);
    assert_true(str_eq_c(id.safe_path, "a_b") && id.instance_id.n == 0);
    assert_int_equal(task_id_parse("a." UUID ".3", &id), 0);
    assert_int_equal(id.incarnation, 3);
    assert_int_equal(task_id_parse("a.instance-nonsense._app.1", &id), -EBADMSG);
    assert_int_equal(task_id_parse("nonsense", &id), -EINVAL);
    assert_int_equal(task_id_parse("", &id), -EINVAL);
}

static bool fits(
    const char *constraint, const char *const *hosts, size_t n, int32_t wanted, const char *at)
{
    struct constraint c;
    struct place places[16];
    const struct place *refs[16];
    json_t *json = json_loads(constraint, 0, NULL);
    assert_null(constraint_check(json));
    assert_int_equal(constraint_read(json, &c, NULL), 0);
    json_decref(json);
    for (size_t i = 0; i < n; i++) {
        places[i] = (struct place){.hostname = hosts[i]};
        refs[i] = &places[i];
    }
    struct place here = {.hostname = at};
    bool ok = constraint_matches(&c, &here, refs, n, wanted);
    constraint_done(&c);
    return ok;
}

static void test_constraints(void **state)
{
    static const char *const ab[] = {"a", "b"};
    static const char *const aab[] = {"a", "a", "b"};
    static const char *const aabb[] = {"a", "a", "b", "b"};
    assert_false(fits("[\"hostname\",\"UNIQUE\"]", ab, 2, 3, "a"));
    assert_true(fits("[\"hostname\",\"UNIQUE\"]", ab, 2, 3, "c"));
    assert_true(fits("[\"hostname\",\"CLUSTER\"]", ab, 0, 3, "a"));
    assert_true(fits("[\"hostname\",\"CLUSTER\"]", ab, 1, 3, "a"));
    assert_false(fits("[\"hostname\",\"CLUSTER\"]", ab, 1, 3, "b"));
    assert_false(fits("[\"hostname\",\"CLUSTER\",\"x\"]", ab, 0, 3, "a"));
    assert_true(fits("[\"hostname\",\"LIKE\",\"a|b\"]", NULL, 0, 1, "b"));
    assert_false(fits("[\"hostname\",\"LIKE\",\"a\"]", NULL, 0, 1, "ab"));
    assert_true(fits("[\"hostname\",\"UNLIKE\",\"a\"]", NULL, 0, 1, "ab"));
    assert_false(fits("[\"rack\",\"LIKE\",\".*\"]", NULL, 0, 1, "a"));
    assert_true(fits("[\"rack\",\"UNLIKE\",\".*\"]", NULL, 0, 1, "a"));
    assert_true(fits("[\"hostname\",\"MAX_PER\",\"2\"]", ab, 2, 4, "a"));
    assert_false(fits("[\"hostname\",\"MAX_PER\",\"2\"]", aab, 3, 4, "a"));
    assert_true(fits("[\"hostname\",\"IS\",\"1.0\"]", NULL, 0, 1, "1"));
    assert_false(fits("[\"hostname\",\"IS\",\"2\"]", NULL, 0, 1, "1"));
    /* 5 over 2: one group may have 3. */
    assert_true(fits("[\"hostname\",\"GROUP_BY\",\"2\"]", aabb, 4, 5, "a"));
    assert_false(fits("[\"hostname\",\"GROUP_BY\",\"2\"]", aabb, 4, 4, "a"));
    assert_false(fits("[\"hostname\",\"GROUP_BY\",\"2\"]", aabb, 4, 5, "c"));
    assert_true(fits("[\"hostname\",\"GROUP_BY\",\"3\"]", aabb, 4, 6, "c"));
    assert_false(fits("[\"hostname\",\"GROUP_BY\"]", aab, 3, 4, "a"));
    assert_true(fits("[\"hostname\",\"GROUP_BY\"]", aab, 3, 4, "b"));
}

static void test_costly_pattern_ends(void **state)
{
    struct regex *re;
    char text[64];
    memset(text, 'a', sizeof(text) - 2);
    text[62] = 'b';
    text[63] = '\0';
    assert_int_equal(regex_new("(a+)+(a+)+(a+)+c", &re, NULL), 0);
    assert_false(regex_full_match(re, text));
    regex_free(re);
    assert_int_equal(regex_new("(", &re, NULL), -EINVAL);
}

static void test_selectors(void **state)
{
    json_t *labels = json_pack("{s:s,s:s}", "a", "1", "b.c", "x y");
    static const struct {
        const char *text;
        int match; /* -1: malformed */
    } rows[] = {
        {"a", 1},
        {"z", 0},
        {"a==1", 1},
        {"a == 2", 0},
        {"a!=2", 1},
        {"z!=2", 0},
        {"a in (1, 2)", 1},
        {"a notin (1)", 0},
        {"z notin (1)", 0},
        {"a,b.c", 1},
        {"b.c==x\\ y", 1},
        {"a=1", -1},
        {"", -1},
        {"a,,b", -1},
        {"a in 1", -1},
        {"a in (1", -1},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        bool match = false;
        int r = selector_match(rows[i].text, labels, &match, NULL);
        if ((r < 0 ? -1 : match) != rows[i].match)
            fail_msg("%s: got %d", rows[i].text, r < 0 ? -1 : match);
    }
    json_decref(labels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resolve),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_task_ids),
        cmocka_unit_test(test_constraints),
        cmocka_unit_test(test_costly_pattern_ends),
        cmocka_unit_test(test_selectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
