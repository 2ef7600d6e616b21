#include "../unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/file.h"
#include "exhibitor/object_lock.h"

enum { THREADS = 4, ROUNDS = 12 };

static char *g_folder;
static atomic_int g_inside, g_most, g_rounds;

static struct storage *open_storage(void)
{
    _cleanup_json_ json_t *options = json_object();
    struct storage *s = NULL;
    struct error err = ERROR_INIT;
    json_object_set_new(options, "kind", json_string("local_path"));
    json_object_set_new(options, "path", json_string(g_folder));
    if (storage_open("test", options, &s, &err) < 0)
        fail_msg("%s", err.msg);
    return s;
}

static int set_up(void **state)
{
    g_folder = mkdtemp(xstrdup("/tmp/dcos-test-XXXXXX"));
    return g_folder ? 0 : -1;
}

static int tear_down(void **state)
{
    int r = remove_tree(g_folder, NULL);
    free(g_folder);
    return r;
}

static void *contend(void *userdata)
{
    struct storage *s = open_storage();
    for (int i = 0; i < ROUNDS; i++) {
        struct object_lock l;
        if (object_lock_take(&l, s, userdata, 60 * USEC_PER_SEC, 120 * USEC_PER_SEC, NULL) < 0)
            continue;
        int now = atomic_fetch_add(&g_inside, 1) + 1;
        if (now > atomic_load(&g_most))
            atomic_store(&g_most, now);
        sched_yield();
        atomic_fetch_sub(&g_inside, 1);
        atomic_fetch_add(&g_rounds, 1);
        object_lock_drop(&l);
    }
    storage_free(s);
    return NULL;
}

static void test_one_at_a_time(void **state)
{
    pthread_t threads[THREADS];
    static char names[THREADS][16];
    _cleanup_strings_ struct strings left = {0};
    struct error err = ERROR_INIT;
    for (int i = 0; i < THREADS; i++) {
        snprintf(names[i], sizeof(names[i]), "10.0.0.%d", i + 1);
        assert_int_equal(pthread_create(&threads[i], NULL, contend, names[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&g_most), 1);
    assert_int_equal(atomic_load(&g_rounds), THREADS * ROUNDS);
    struct storage *s = open_storage();
    assert_int_equal(storage_list(s, OBJECT_LOCK_FOLDER, &left, &err), 0);
    assert_int_equal(left.n, 0);
    storage_free(s);
}

/* Who died holds others up for the lease; a new process of the same machine removes its own. */
static void test_leftovers(void **state)
{
    struct storage *s = open_storage();
    struct error err = ERROR_INIT;
    struct object_lock dead, l, other;
    const int64_t brief_us = 300 * USEC_PER_MSEC;
    assert_int_equal(object_lock_take(&dead, s, "10.0.0.1", brief_us, brief_us, &err), 0);
    assert_int_equal(
        object_lock_take(&l, s, "10.0.0.2", brief_us, 60 * USEC_PER_SEC, &err), -ETIMEDOUT);
    assert_int_equal(object_lock_take(&l, s, "10.0.0.2", 60 * USEC_PER_SEC, 2 * brief_us, &err), 0);
    assert_true(object_lock_holds(&l));
    assert_false(object_lock_holds(&dead));
    assert_int_equal(object_lock_take(&other, s, "10.0.0.2", brief_us, 60 * USEC_PER_SEC, &err), 0);
    object_lock_drop(&other);
    storage_free(s);
}

static void test_names(void **state)
{
    static const char *const bad[] = {"", "number-", "number-1", "number-x-a", "number-0-a",
        "number-1-", "choosing-", "other", "number-99999999999-a"};
    uint32_t number;
    struct str owner;
    assert_true(object_lock_parse("number-00000012-10.0.0.1_ab", &number, &owner));
    assert_int_equal(number, 12);
    assert_true(str_eq_c(owner, "10.0.0.1_ab"));
    assert_true(object_lock_parse("choosing-a_b", &number, &owner));
    assert_int_equal(number, 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(object_lock_parse(bad[i], &number, &owner));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_at_a_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_leftovers, set_up, tear_down),
        cmocka_unit_test(test_names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
