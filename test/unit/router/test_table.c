#include "unit.h"

#include <stdio.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "router/table.h"

struct world {
    char folder[64];
    struct table_writer *writer;
    struct table_reader *reader;
};

static int setup(void **state)
{
    static struct world w;
    snprintf(w.folder, sizeof(w.folder), "/tmp/dcos-table-XXXXXX");
    assert_non_null(mkdtemp(w.folder));
    assert_int_equal(table_reader_new(w.folder, &w.reader, NULL), -ENOENT);
    assert_int_equal(table_writer_new(w.folder, -1, &w.writer, NULL), 0);
    assert_int_equal(table_reader_new(w.folder, &w.reader, NULL), 0);
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    table_reader_free(w->reader);
    table_writer_free(w->writer);
    return remove_tree(w->folder, NULL);
}

static void put(struct world *w, const char *key, const char *value)
{
    struct table_builder b = {0};
    assert_int_equal(table_add(&b, key, value, strlen(value)), 0);
    assert_int_equal(table_publish(w->writer, TABLE_ROUTES, 5, &b, NULL), 0);
}

static const char *get(const struct table_view *v, const char *key, size_t *n)
{
    return table_get(v, key, strlen(key), n);
}

static void publishes_and_replaces(void **state)
{
    struct world *w = *state;
    size_t n = 0;
    assert_null(table_current(w->reader, TABLE_ROUTES));
    put(w, "a", "first");
    const struct table_view *v = table_current(w->reader, TABLE_ROUTES);
    assert_non_null(v);
    assert_int_equal(table_view_bits(v), 5);
    assert_int_equal(table_view_generation(v), 1);
    assert_memory_equal(get(v, "a", &n), "first", 5);
    assert_int_equal(n, 5);
    assert_null(get(v, "b", &n));
    assert_null(get(v, "", &n));
    put(w, "b", "second");
    v = table_current(w->reader, TABLE_ROUTES);
    assert_int_equal(table_view_generation(v), 2);
    assert_null(get(v, "a", &n));
    assert_memory_equal(get(v, "b", &n), "second", 6);
    /* The other table is not touched. */
    assert_null(table_current(w->reader, TABLE_POLICY));
}

static void holds_many_rows(void **state)
{
    struct world *w = *state;
    struct table_builder b = {0};
    char key[32], value[32];
    for (int i = 0; i < 50000; i++) {
        snprintf(key, sizeof(key), "m:service-%d", i);
        snprintf(value, sizeof(value), "%d", i * 7);
        assert_int_equal(table_add(&b, key, value, strlen(value)), 0);
    }
    /* The later row of a key wins. */
    assert_int_equal(table_add(&b, "m:service-3", "again", 5), 0);
    assert_int_equal(table_publish(w->writer, TABLE_ROUTES, 0, &b, NULL), 0);
    assert_int_equal(b.n, 0);
    const struct table_view *v = table_current(w->reader, TABLE_ROUTES);
    for (int i = 0; i < 50000; i++) {
        size_t n = 0;
        snprintf(key, sizeof(key), "m:service-%d", i);
        snprintf(value, sizeof(value), "%d", i * 7);
        const char *found = get(v, key, &n);
        assert_non_null(found);
        assert_int_equal((uintptr_t)found % 8, 0);
        if (i != 3) {
            assert_int_equal(n, strlen(value));
            assert_memory_equal(found, value, n);
        }
    }
    size_t n = 0, pos = 0, rows = 0;
    assert_memory_equal(get(v, "m:service-3", &n), "again", 5);
    struct str k, text;
    while (table_next(v, &pos, &k, &text))
        rows++;
    assert_int_equal(rows, 50001);
}

static void refuses_what_is_too_large(void **state)
{
    (void)state;
    struct table_builder b = {0};
    char *key = calloc(1, TABLE_KEY_MAX + 2);
    memset(key, 'k', TABLE_KEY_MAX + 1);
    assert_int_equal(table_add(&b, key, "", 0), -E2BIG);
    assert_int_equal(table_add(&b, "k", key, (size_t)TABLE_VALUE_MAX + 1), -E2BIG);
    assert_int_equal(b.n, 0);
    free(key);
    table_builder_done(&b);
}

static void old_files_go(void **state)
{
    struct world *w = *state;
    char path[128];
    for (int i = 0; i < 5; i++)
        put(w, "a", "x");
    for (int i = 1; i <= 5; i++) {
        snprintf(path, sizeof(path), "%s/routes.%d", w->folder, i);
        assert_int_equal(path_exists(path), i >= 4);
    }
}

static void a_writer_goes_on_where_the_last_one_was(void **state)
{
    struct world *w = *state;
    put(w, "a", "x");
    table_writer_free(w->writer);
    w->writer = NULL;
    /* What it left counts, also for new readers. */
    struct table_reader *late = NULL;
    assert_int_equal(table_reader_new(w->folder, &late, NULL), 0);
    assert_non_null(table_current(late, TABLE_ROUTES));
    table_reader_free(late);
    assert_int_equal(table_writer_new(w->folder, -1, &w->writer, NULL), 0);
    assert_int_equal(table_generation(w->writer, TABLE_ROUTES), 1);
    put(w, "b", "y");
    assert_int_equal(table_view_generation(table_current(w->reader, TABLE_ROUTES)), 2);
}

static void broken_files_leave_the_old_table(void **state)
{
    struct world *w = *state;
    char path[128];
    size_t n = 0;
    put(w, "a", "x");
    assert_non_null(table_current(w->reader, TABLE_ROUTES));
    put(w, "b", "y");
    snprintf(path, sizeof(path), "%s/routes.2", w->folder);
    static const char *const junk[] = {
        "", "dcostbl1", "not a table, but long enough to be a header of one....."};
    for (size_t i = 0; i < ARRAY_SIZE(junk); i++) {
        assert_int_equal(file_write_atomic(path, junk[i], strlen(junk[i]), 0644, NULL), 0);
        const struct table_view *v = table_current(w->reader, TABLE_ROUTES);
        assert_memory_equal(get(v, "a", &n), "x", 1);
    }
    unlink(path);
    assert_non_null(get(table_current(w->reader, TABLE_ROUTES), "a", &n));
    put(w, "c", "z");
    assert_non_null(get(table_current(w->reader, TABLE_ROUTES), "c", &n));
}

/* A reader in another process never sees half a table, and a killed writer leaves a whole one. */
static void killed_writers_leave_whole_tables(void **state)
{
    struct world *w = *state;
    for (int round = 0; round < 5; round++) {
        const pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            for (unsigned i = 0;; i++) {
                struct table_builder b = {0};
                char key[32];
                for (unsigned k = 0; k < 200; k++) {
                    snprintf(key, sizeof(key), "k%u", k);
                    (void)table_add(&b, key, &i, sizeof(i));
                }
                if (table_publish(w->writer, TABLE_ROUTES, 0, &b, NULL) < 0)
                    _exit(1);
            }
        }
        for (int looks = 0; looks < 2000;) {
            const struct table_view *v = table_current(w->reader, TABLE_ROUTES);
            if (!v)
                continue;
            unsigned first = 0, last = 0;
            memcpy(&first, get(v, "k0", NULL), sizeof(first));
            memcpy(&last, get(v, "k199", NULL), sizeof(last));
            assert_int_equal(first, last);
            looks++;
        }
        int status = 0;
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(publishes_and_replaces, setup, teardown),
        cmocka_unit_test_setup_teardown(holds_many_rows, setup, teardown),
        cmocka_unit_test(refuses_what_is_too_large),
        cmocka_unit_test_setup_teardown(old_files_go, setup, teardown),
        cmocka_unit_test_setup_teardown(a_writer_goes_on_where_the_last_one_was, setup, teardown),
        cmocka_unit_test_setup_teardown(broken_files_leave_the_old_table, setup, teardown),
        cmocka_unit_test_setup_teardown(killed_writers_leave_whole_tables, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
