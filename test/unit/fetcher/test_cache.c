#include "fetcher/cache.h"

#include <sys/wait.h>

#include "../transfer/sandbox.h"

struct result {
    int r, fd;
    uint64_t bytes;
    bool hit, bypass;
};

static struct result fetch(struct sandbox *s, const char *name, uint64_t cache_max, uint64_t max)
{
    _cleanup_free_ char *directory = path_join(s->outer, "cache");
    _cleanup_free_ char *source = path_join(s->path, name);
    struct cache cache = {directory, cache_max};
    struct download_options options = {.max_bytes = max};
    struct uri u;
    struct error err = ERROR_INIT;
    struct result result = {.fd = -1};
    assert_int_equal(uri_parse(source, &u, NULL), 0);
    result.r = cache_fetch(
        &cache, &u, &options, &result.fd, &result.bytes, &result.hit, &result.bypass, &err);
    uri_done(&u);
    return result;
}

static void assert_fetched(struct result r, bool hit, const char *text)
{
    char got[64] = "";
    assert_int_equal(r.r, 0);
    assert_int_equal(r.hit, hit);
    assert_int_equal(r.bytes, strlen(text));
    assert_int_equal(pread(r.fd, got, sizeof(got) - 1, 0), strlen(text));
    assert_string_equal(got, text);
    close(r.fd);
}

static void test_second_time_is_a_hit(void **state)
{
    struct sandbox *s = *state;
    write_file(s->path, "a", "first");
    assert_fetched(fetch(s, "a", 1000, 1000), false, "first");
    write_file(s->path, "a", "changed");
    assert_fetched(fetch(s, "a", 1000, 1000), true, "first");
    assert_int_equal(
        fetch(s, "a", 1000, 4).r, -EFBIG); /* the task's own limit holds for hits too */
    struct result r = fetch(s, "absent", 1000, 1000);
    assert_int_equal(r.r, -ENOENT);
    assert_false(r.bypass);
}

static void test_eviction(void **state)
{
    struct sandbox *s = *state;
    write_file(s->path, "a", "aaaa");
    write_file(s->path, "b", "bbbb");
    write_file(s->path, "c", "cccc");
    struct result a = fetch(s, "a", 10, 1000);
    assert_fetched(fetch(s, "b", 10, 1000), false, "bbbb");
    close(fetch(s, "a", 10, 1000).fd);
    /* b was used least recently. */
    assert_fetched(fetch(s, "c", 10, 1000), false, "cccc");
    write_file(s->path, "b", "new");
    assert_fetched(fetch(s, "b", 10, 1000), false, "new");
    /* Now a had to go, though somebody still reads it. */
    assert_fetched(a, false, "aaaa");
    write_file(s->path, "a", "A");
    assert_fetched(fetch(s, "a", 100, 1000), false, "A");
}

static void test_too_large(void **state)
{
    struct sandbox *s = *state;
    write_file(s->path, "a", "12345678");
    struct result r = fetch(s, "a", 7, 1000);
    assert_int_equal(r.r, -EFBIG);
    assert_true(r.bypass);
    r = fetch(s, "a", 1000, 7);
    assert_int_equal(r.r, -EFBIG);
    assert_false(r.bypass);
    assert_fetched(fetch(s, "a", 8, 1000), false, "12345678");
}

static char *cached_path(struct sandbox *s, const char *suffix)
{
    _cleanup_free_ char *directory = path_join(s->outer, "cache");
    char *found = NULL;
    DIR *dir = opendir(directory);
    for (struct dirent *e; (e = readdir(dir));)
        if (!found && has_suffix(e->d_name, suffix))
            found = path_join(directory, e->d_name);
    closedir(dir);
    assert_non_null(found);
    return found;
}

/* What a crash leaves half done is neither used nor kept. */
static void test_leftovers(void **state)
{
    struct sandbox *s = *state;
    write_file(s->path, "a", "whole");
    assert_fetched(fetch(s, "a", 1000, 1000), false, "whole");
    _cleanup_free_ char *data = cached_path(s, ".data");
    _cleanup_free_ char *part = xasprintf("%.*s.part", (int)(strlen(data) - 5), data);
    assert_int_equal(rename(data, part), 0);
    assert_int_equal(truncate(part, 3), 0);
    /* Another download clears it away... */
    write_file(s->path, "b", "other");
    assert_fetched(fetch(s, "b", 1000, 1000), false, "other");
    assert_false(path_exists(part));
    /* ... and one of the same file starts anew. */
    write_file(s->outer, "x", "wh");
    _cleanup_free_ char *x = path_join(s->outer, "x");
    assert_int_equal(rename(x, part), 0);
    assert_fetched(fetch(s, "a", 1000, 1000), false, "whole");
    assert_false(path_exists(part));
}

static void test_no_directory(void **state)
{
    struct sandbox *s = *state;
    write_file(s->outer, "cache", "a file is in the way");
    write_file(s->path, "a", "x");
    struct result r = fetch(s, "a", 1000, 1000);
    assert_int_equal(r.r, -ENOTDIR);
    assert_true(r.bypass);
}

/* Many processes at once: whatever they get is whole, and one of them downloaded. */
static void test_concurrent(void **state)
{
    struct sandbox *s = *state;
    enum { N = 8, FILES = 4 };
    for (unsigned i = 0; i < FILES; i++)
        write_file(s->path, (char[]){(char)('a' + i), '\0'}, "contents");
    int pipefd[2];
    assert_int_equal(pipe2(pipefd, O_CLOEXEC), 0);
    pid_t pids[N];
    for (unsigned i = 0; i < N; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] > 0)
            continue;
        unsigned misses = 0;
        for (unsigned k = 0; k < 40; k++) {
            struct result r = fetch(s, (char[]){(char)('a' + (k + i) % FILES), '\0'}, 1000, 1000);
            misses += !r.hit;
            char got[16] = "";
            if (r.r < 0 || pread(r.fd, got, sizeof(got), 0) != 8 || !streq(got, "contents"))
                _exit(1);
            close(r.fd);
        }
        _exit(write(pipefd[1], &misses, sizeof(misses)) < 0);
    }
    close(pipefd[1]);
    unsigned total = 0, misses;
    for (unsigned i = 0; i < N; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
        assert_int_equal(read(pipefd[0], &misses, sizeof(misses)), sizeof(misses));
        total += misses;
    }
    close(pipefd[0]);
    assert_int_equal(total, FILES);
}

/* The same with a cache that holds only two of the four files. */
static void test_concurrent_eviction(void **state)
{
    struct sandbox *s = *state;
    enum { N = 6, FILES = 4 };
    for (unsigned i = 0; i < FILES; i++)
        write_file(s->path, (char[]){(char)('a' + i), '\0'}, "contents");
    pid_t pids[N];
    for (unsigned i = 0; i < N; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] > 0)
            continue;
        for (unsigned k = 0; k < 40; k++) {
            struct result r = fetch(s, (char[]){(char)('a' + (k * (i + 1)) % FILES), '\0'}, 16, 99);
            char got[16] = "";
            if (r.r < 0 || pread(r.fd, got, sizeof(got), 0) != 8 || !streq(got, "contents"))
                _exit(1);
            close(r.fd);
        }
        _exit(0);
    }
    for (unsigned i = 0; i < N; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(test_##name, sandbox_set_up, sandbox_tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(second_time_is_a_hit),
        CASE(eviction),
        CASE(too_large),
        CASE(leftovers),
        CASE(no_directory),
        CASE(concurrent),
        CASE(concurrent_eviction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
