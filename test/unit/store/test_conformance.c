/* What every implementation of the store does alike. */

#include "fixture.h"
#include "store/memory.h"
#include "zk_server.h"

struct setup {
    struct fixture f;
    const char *url;
    struct store *s;
};

static const char g_memory_url[] = "memory:shared";
static struct zk_server g_zk;

static int set_up(void **state, const char *url)
{
    struct setup *t = xnew(struct setup);
    fixture_init(&t->f);
    t->url = url ? url : t->f.url;
    t->s = must_open(&t->f, t->url);
    *state = t;
    return 0;
}

static int set_up_sqlite(void **state)
{
    return set_up(state, NULL);
}

static int set_up_memory(void **state)
{
    return set_up(state, g_memory_url);
}

/* A folder of its own for each test. */
static int set_up_zk(void **state)
{
    static char url[64];
    static unsigned n;
    (void)snprintf(url, sizeof(url), "zk://127.0.0.1:%u/test%u", g_zk.port, n++);
    return set_up(state, url);
}

static int tear_down(void **state)
{
    struct setup *t = *state;
    store_close(t->s);
    fixture_done(&t->f);
    free(t);
    return 0;
}

static void test_put_get_delete(void **state)
{
    struct setup *t = *state;
    assert_value(t->s, "a", NULL);
    int64_t v1 = put(&t->f, t->s, "a", "one");
    assert_true(v1 > 0);
    assert_value(t->s, "a", "one");
    int64_t v2 = put(&t->f, t->s, "a", "");
    assert_true(v2 > v1);
    _cleanup_buf_ struct buf b = BUF_INIT;
    int64_t version = 0;
    assert_int_equal(store_get(t->s, "a", &b, &version, NULL), 0);
    assert_int_equal(b.n, 0);
    assert_int_equal(version, v2);
    struct store_op del = op_delete("a", STORE_ANY_VERSION);
    assert_int_equal(commit(&t->f, t->s, &del, 1).status, 0);
    assert_value(t->s, "a", NULL);
    assert_int_equal(commit(&t->f, t->s, &del, 1).status, 0); /* absent already: fine */
    /* A version is never given twice, not even to a key that was away. */
    assert_true(put(&t->f, t->s, "a", "again") > v2);
}

static void test_binary_values(void **state)
{
    struct setup *t = *state;
    char value[256];
    for (size_t i = 0; i < sizeof(value); i++)
        value[i] = (char)i;
    struct store_op op = {STORE_PUT, "bin", value, sizeof(value), STORE_ANY_VERSION};
    assert_int_equal(commit(&t->f, t->s, &op, 1).status, 0);
    _cleanup_buf_ struct buf b = BUF_INIT;
    assert_int_equal(store_get(t->s, "bin", &b, NULL, NULL), 0);
    assert_int_equal(b.n, sizeof(value));
    assert_memory_equal(b.p, value, sizeof(value));
}

static void test_versions(void **state)
{
    struct setup *t = *state;
    int64_t v = put(&t->f, t->s, "there", "x");
    const struct {
        struct store_op op;
        int status;
    } cases[] = {
        {op_check("there", v), 0},
        {op_check("there", STORE_ANY_VERSION), 0},
        {op_check("there", v + 1), -EAGAIN},
        {op_check("there", STORE_ABSENT), -EAGAIN},
        {op_check("absent", STORE_ABSENT), 0},
        {op_check("absent", v), -EAGAIN},
        {op_put("there", "y", STORE_ABSENT), -EAGAIN},
        {op_put("there", "y", v + 1), -EAGAIN},
        {op_put("absent", "y", v), -EAGAIN},
        {op_delete("there", v + 1), -EAGAIN},
        {op_delete("there", STORE_ABSENT), -EAGAIN},
        {op_delete("absent", STORE_ABSENT), 0},
        {op_put("there", "z", v), 0},
        {op_put("there", "z", v), -EAGAIN},
        {op_put("new", "n", STORE_ABSENT), 0},
        {op_put("new", "n", STORE_ABSENT), -EAGAIN},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct result r = commit(&t->f, t->s, &cases[i].op, 1);
        if (r.status != cases[i].status)
            fail_msg("case %zu: status %d, expected %d", i, r.status, cases[i].status);
        assert_int_equal(r.failed_op, r.status == 0 ? -1 : 0);
    }
    assert_value(t->s, "there", "z");
    assert_value(t->s, "new", "n");
    assert_value(t->s, "absent", NULL);
}

static void test_batch_is_atomic(void **state)
{
    struct setup *t = *state;
    int64_t v = put(&t->f, t->s, "old", "x");
    struct store_op ops[] = {op_put("b1", "1", STORE_ANY_VERSION), op_delete("old", v),
        op_put("b2", "2", STORE_ABSENT), op_check("b1", STORE_ABSENT)};
    struct result r = commit(&t->f, t->s, ops, 4);
    assert_int_equal(r.status, -EAGAIN);
    assert_int_equal(r.failed_op, 3); /* operations see those before them */
    assert_value(t->s, "b1", NULL);
    assert_value(t->s, "b2", NULL);
    assert_value(t->s, "old", "x");
    r = commit(&t->f, t->s, ops, 3);
    assert_int_equal(r.status, 0);
    assert_true(r.versions[0] > v && r.versions[2] > r.versions[0]);
    assert_int_equal(r.versions[1], 0);
    assert_value(t->s, "b1", "1");
    assert_value(t->s, "b2", "2");
    assert_value(t->s, "old", NULL);
    assert_int_equal(commit(&t->f, t->s, NULL, 0).status, 0);
}

/* A batch that fails takes nothing down that is flushed together with it. */
static void test_failure_in_a_group(void **state)
{
    struct setup *t = *state;
    enum { N = 50 };
    struct result r[N];
    char key[16];
    for (size_t i = 0; i < N; i++) {
        (void)snprintf(key, sizeof(key), "g/%02zu", i);
        struct store_op op = op_put(key, "v", i % 5 == 2 ? 12345678 : STORE_ANY_VERSION);
        must_start(t->s, &op, 1, &r[i]);
    }
    while (r[N - 1].calls == 0)
        loop_run_once(t->f.loop, true);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(r[i].calls, 1);
        assert_int_equal(r[i].status, i % 5 == 2 ? -EAGAIN : 0);
        (void)snprintf(key, sizeof(key), "g/%02zu", i);
        assert_value(t->s, key, i % 5 == 2 ? NULL : "v");
    }
    struct store_stats stats;
    store_stats(t->s, &stats);
    assert_int_equal(stats.commits, N);
    assert_int_equal(stats.queued, 0);
    assert_true(stats.flushes >= 1 && stats.flushes <= N);
    assert_true(stats.max_flush_us >= stats.last_flush_us);
}

static void test_limits(void **state)
{
    struct setup *t = *state;
    static char big[STORE_VALUE_MAX + 1], long_key[STORE_KEY_MAX + 2];
    memset(long_key, 'k', STORE_KEY_MAX + 1);
    struct error err = ERROR_INIT;
    struct store_op op = {STORE_PUT, "big", big, sizeof(big), STORE_ANY_VERSION};
    assert_int_equal(store_commit(t->s, &op, 1, NULL, NULL, &err), -EMSGSIZE);
    op.n = STORE_VALUE_MAX;
    assert_int_equal(commit(&t->f, t->s, &op, 1).status, 0);
    _cleanup_buf_ struct buf b = BUF_INIT;
    assert_int_equal(store_get(t->s, "big", &b, NULL, NULL), 0);
    assert_int_equal(b.n, STORE_VALUE_MAX);

    op = op_put(long_key, "", STORE_ANY_VERSION);
    assert_int_equal(store_commit(t->s, &op, 1, NULL, NULL, &err), -EMSGSIZE);
    op = op_put(long_key + 1, "", STORE_ANY_VERSION);
    assert_int_equal(commit(&t->f, t->s, &op, 1).status, 0);

    struct store_op three[3];
    for (size_t i = 0; i < 3; i++)
        three[i] = (struct store_op){STORE_PUT, "k", big, STORE_BATCH_MAX / 3, STORE_ANY_VERSION};
    assert_int_equal(store_commit(t->s, three, 3, NULL, NULL, &err), -EMSGSIZE);

    struct store_op *many = xnew_array(struct store_op, STORE_BATCH_OPS_MAX + 1);
    for (size_t i = 0; i < STORE_BATCH_OPS_MAX + 1; i++)
        many[i] = op_check("none", STORE_ABSENT);
    assert_int_equal(
        store_commit(t->s, many, STORE_BATCH_OPS_MAX + 1, NULL, NULL, &err), -EMSGSIZE);
    assert_int_equal(commit(&t->f, t->s, many, STORE_BATCH_OPS_MAX).status, 0);
    free(many);

    static const char *const malformed[] = {
        "", "/a", "a/", "a//b", ".", "a/../b", "a\nb", "a\x7f", NULL};
    for (size_t i = 0; i < ARRAY_SIZE(malformed); i++) {
        op = (struct store_op){STORE_PUT, malformed[i], "", 0, STORE_ANY_VERSION};
        if (store_commit(t->s, &op, 1, NULL, NULL, &err) != -EINVAL)
            fail_msg("key '%s' was let in", malformed[i] ? malformed[i] : "(null)");
    }
    op = op_put("k", "v", -2);
    assert_int_equal(store_commit(t->s, &op, 1, NULL, NULL, &err), -EINVAL);
}

struct seen {
    struct buf keys;
    unsigned stop_after;
};

static bool see(const struct store_entry *e, void *userdata)
{
    struct seen *seen = userdata;
    assert_true(e->version > 0);
    buf_printf(&seen->keys, "%s=" STR_FMT " ", e->key, STR_ARG(e->value));
    return seen->stop_after == 0 || --seen->stop_after > 0;
}

static void check_list(struct store *s, const char *prefix, const char *after, size_t max,
    unsigned stop_after, const char *expected)
{
    struct seen seen = {.stop_after = stop_after};
    struct error err = ERROR_INIT;
    int n = store_list(s, prefix, after, max, see, &seen, &err);
    assert_string_equal(buf_cstr(&seen.keys), expected);
    int parts = 0;
    for (const char *p = expected; *p; p++)
        parts += *p == ' ';
    assert_int_equal(n, parts);
    buf_done(&seen.keys);
}

static void test_list(void **state)
{
    struct setup *t = *state;
    static const char *const keys[] = {
        "a/2", "a", "a/1", "a/10", "a0", "b/\xff", "b/\xff\xff", "b0", "a.", "a/1/x"};
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        put(&t->f, t->s, keys[i], "v");
    check_list(t->s, "a/", NULL, 100, 0, "a/1=v a/1/x=v a/10=v a/2=v ");
    check_list(t->s, "a", NULL, 100, 0, "a=v a.=v a/1=v a/1/x=v a/10=v a/2=v a0=v ");
    check_list(t->s, "a/", NULL, 2, 0, "a/1=v a/1/x=v ");
    check_list(t->s, "a/", "a/1/x", 2, 0, "a/10=v a/2=v ");
    check_list(t->s, "a/", "a/2", 2, 0, "");
    check_list(t->s, "a/", "a", 1, 0, "a/1=v ");    /* after lies before the prefix */
    check_list(t->s, "a/", "a/15", 9, 0, "a/2=v "); /* after need not exist */
    check_list(t->s, "a/", "b", 9, 0, "");          /* after lies behind the prefix */
    check_list(t->s, "a/1", "a/1", 9, 0, "a/1/x=v a/10=v ");
    check_list(t->s, "b/\xff", NULL, 9, 0, "b/\xff=v b/\xff\xff=v ");
    check_list(t->s, "zz", NULL, 9, 0, "");
    check_list(t->s, "a/", NULL, 0, 0, "");
    check_list(t->s, "a/", NULL, 9, 2, "a/1=v a/1/x=v "); /* fn says stop */
    check_list(t->s, "", NULL, 3, 0, "a=v a.=v a/1=v ");
    check_list(t->s, "", "b/\xff\xff", 3, 0, "b0=v ");
}

static bool read_inside(const struct store_entry *e, void *userdata)
{
    struct store *s = userdata;
    assert_value(s, e->key, "v");
    check_list(s, "n/", NULL, 9, 0, "n/1=v n/2=v ");
    return true;
}

static void test_reads_inside_list(void **state)
{
    struct setup *t = *state;
    put(&t->f, t->s, "n/1", "v");
    put(&t->f, t->s, "n/2", "v");
    assert_int_equal(store_list(t->s, "n/", NULL, 9, read_inside, t->s, NULL), 2);
}

static void note(const struct store_entry *e, void *userdata)
{
    struct buf *b = userdata;
    if (e->value.p)
        buf_printf(b, "%s=" STR_FMT "@%d ", e->key, STR_ARG(e->value), e->version > 0);
    else
        buf_printf(b, "%s gone ", e->key);
}

static struct store_watch *g_watch;

static void note_once(const struct store_entry *e, void *userdata)
{
    note(e, userdata);
    store_watch_free(TAKE_PTR(g_watch));
}

static void test_watch(void **state)
{
    struct setup *t = *state;
    _cleanup_buf_ struct buf all = BUF_INIT, some = BUF_INIT, once = BUF_INIT;
    struct store_watch *w1 = store_watch(t->s, "", note, &all);
    struct store_watch *w2 = store_watch(t->s, "w/", note, &some);
    g_watch = store_watch(t->s, "w/", note_once, &once);
    struct store_op ops[] = {op_put("w/1", "x", STORE_ANY_VERSION), op_check("w/2", STORE_ABSENT),
        op_delete("w/1", STORE_ANY_VERSION), op_put("v", "y", STORE_ANY_VERSION)};
    assert_int_equal(commit(&t->f, t->s, ops, 4).status, 0);
    struct store_op failing = op_put("w/3", "no", 99999999);
    assert_int_equal(commit(&t->f, t->s, &failing, 1).status, -EAGAIN);
    assert_string_equal(buf_cstr(&all), "w/1=x@1 w/1 gone v=y@1 ");
    assert_string_equal(buf_cstr(&some), "w/1=x@1 w/1 gone ");
    assert_string_equal(buf_cstr(&once), "w/1=x@1 ");
    store_watch_free(w1);
    put(&t->f, t->s, "w/4", "z");
    assert_string_equal(buf_cstr(&some), "w/1=x@1 w/1 gone w/4=z@1 ");
    assert_string_equal(buf_cstr(&all), "w/1=x@1 w/1 gone v=y@1 ");
    /* A watch may outlive its store. */
    store_close(t->s);
    store_watch_free(w2);
    t->s = must_open(&t->f, t->url);
}

struct leader {
    unsigned calls, lost;
    int status;
    uint64_t epoch;
};

static void on_leader(int status, uint64_t epoch, void *userdata)
{
    struct leader *l = userdata;
    l->calls++;
    l->status = status;
    l->epoch = epoch;
}

static void on_lost(void *userdata)
{
    struct leader *l = userdata;
    l->lost++;
}

static void lead(struct setup *t, struct store *s, const char *info, struct leader *l)
{
    *l = (struct leader){0};
    store_on_lost(s, on_lost, l);
    assert_int_equal(store_lead(s, info, on_leader, l), 0);
    assert_int_equal(l->calls, 0);
}

static void wait_leader(struct setup *t, const struct leader *l)
{
    while (l->calls == 0)
        loop_run_once(t->f.loop, true);
    assert_int_equal(l->calls, 1);
    assert_int_equal(l->status, 0);
}

static void assert_info(struct store *s, const char *text)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    assert_int_equal(store_leader_info(s, &b, NULL), 0);
    assert_string_equal(buf_cstr(&b), text);
}

static void test_leadership(void **state)
{
    struct setup *t = *state;
    struct store *second = must_open(&t->f, t->url);
    struct leader l1, l2;
    assert_info(t->s, "");
    assert_int_equal(store_epoch(t->s), 0);
    lead(t, t->s, "first", &l1);
    wait_leader(t, &l1);
    assert_int_equal(store_epoch(t->s), l1.epoch);
    assert_true(l1.epoch > 0);
    assert_int_equal(store_lead(t->s, "twice", on_leader, &l1), -EALREADY);
    assert_info(t->s, "first");
    assert_info(second, "first");
    lead(t, second, "second", &l2);
    put(&t->f, t->s, "k", "of the first");
    put(&t->f, t->s, "k", "of the first again");
    assert_int_equal(l2.calls, 0);
    assert_int_equal(store_epoch(second), 0);
    store_close(t->s);
    wait_leader(t, &l2);
    assert_true(l2.epoch > l1.epoch);
    assert_info(second, "second");
    assert_value(second, "k", "of the first again");
    t->s = second;
    assert_int_equal(l1.lost + l2.lost, 0);
}

/* Closing while another one leads does not wait for it. */
static void test_close_while_waiting(void **state)
{
    struct setup *t = *state;
    struct leader l1, l2;
    lead(t, t->s, "first", &l1);
    wait_leader(t, &l1);
    for (unsigned i = 0; i < 20; i++) {
        struct store *second = must_open(&t->f, t->url);
        lead(t, second, "second", &l2);
        if (i % 2)
            put(&t->f, t->s, "k", "v");
        store_close(second);
        assert_int_equal(l2.calls, 0);
    }
    assert_info(t->s, "first");
    store_close(t->s);
    t->s = must_open(&t->f, t->url);
    assert_info(t->s, "");
}

static void close_in_commit(int status, ssize_t failed_op, const int64_t *versions, void *userdata)
{
    struct setup *t = userdata;
    store_close(TAKE_PTR(t->s));
}

static void test_close_in_callback(void **state)
{
    struct setup *t = *state;
    struct store *keep = must_open(&t->f, t->url);
    struct store_op op = op_put("last", "words", STORE_ANY_VERSION);
    struct result never = {0};
    assert_int_equal(store_commit(t->s, &op, 1, close_in_commit, t, NULL), 0);
    must_start(t->s, &op, 1, &never);
    while (t->s)
        loop_run_once(t->f.loop, true);
    assert_int_equal(never.calls, 0);
    assert_value(keep, "last", "words");
    t->s = keep;
}

/* What waits is written on close, though nobody is called. */
static void test_close_writes(void **state)
{
    struct setup *t = *state;
    struct store *keep = must_open(&t->f, t->url);
    struct result r[20];
    char key[16];
    for (size_t i = 0; i < ARRAY_SIZE(r); i++) {
        (void)snprintf(key, sizeof(key), "c/%zu", i);
        struct store_op op = op_put(key, "v", STORE_ANY_VERSION);
        must_start(t->s, &op, 1, &r[i]);
    }
    store_close(t->s);
    t->s = keep;
    for (size_t i = 0; i < ARRAY_SIZE(r); i++) {
        (void)snprintf(key, sizeof(key), "c/%zu", i);
        assert_int_equal(r[i].calls, 0);
        assert_value(keep, key, "v");
    }
}

#define CASE(name, kind)                                                                           \
    {                                                                                              \
#kind "/" #name, test_##name, set_up_##kind, tear_down, NULL                               \
    }
#define CASES(kind)                                                                                \
    CASE(put_get_delete, kind), CASE(binary_values, kind), CASE(versions, kind),                   \
        CASE(batch_is_atomic, kind), CASE(failure_in_a_group, kind), CASE(limits, kind),           \
        CASE(list, kind), CASE(reads_inside_list, kind), CASE(watch, kind),                        \
        CASE(leadership, kind), CASE(close_while_waiting, kind), CASE(close_in_callback, kind),    \
        CASE(close_writes, kind)

int main(void)
{
    static const struct CMUnitTest tests[] = {CASES(sqlite), CASES(memory)};
    static const struct CMUnitTest tests_zk[] = {CASES(zk)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (zk_server_installed()) {
        zk_server_start(&g_zk);
        failed += cmocka_run_group_tests(tests_zk, NULL, NULL);
        zk_server_stop(&g_zk);
    }
    return failed;
}
