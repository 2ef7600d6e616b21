/* How many commits per second the store takes, each an atomic put of one 512-byte value, and how
 * fast all entries are read. Prints `name value unit` lines. Usage: bench_store [DIRECTORY|URL
 * [SECONDS]] */

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/parse.h"
#include "io/loop.h"
#include "store/store.h"

enum { VALUE_SIZE = 512, KEYS = 20000, PAGE = 1000 };

struct walk {
    char last[STORE_KEY_MAX + 1];
    size_t n;
};

struct bench {
    struct loop *loop;
    struct store *store;
    uint64_t started, finished;
    bool stopping;
};

static void start_one(struct bench *b);

static void on_done(int status, ssize_t failed_op, const int64_t *versions, void *userdata)
{
    struct bench *b = userdata;
    if (status < 0) {
        fprintf(stderr, "commit: %s\n", store_failure(b->store));
        exit(1);
    }
    b->finished++;
    if (!b->stopping)
        start_one(b);
}

static void start_one(struct bench *b)
{
    char key[32], value[VALUE_SIZE];
    memset(value, (int)(b->started & 0x7f), sizeof(value));
    (void)snprintf(key, sizeof(key), "bench/%05llu", (unsigned long long)b->started++ % KEYS);
    struct store_op op = {STORE_PUT, key, value, sizeof(value), STORE_ANY_VERSION};
    struct error err = ERROR_INIT;
    if (store_commit(b->store, &op, 1, on_done, b, &err) < 0) {
        fprintf(stderr, "%s\n", err.msg);
        exit(1);
    }
}

static int64_t cpu_us(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * USEC_PER_SEC + u.ru_utime.tv_usec +
           u.ru_stime.tv_usec;
}

static void run(struct bench *b, unsigned in_flight, int64_t duration_us)
{
    struct store_stats before, after;
    store_stats(b->store, &before);
    b->started = b->finished = 0;
    b->stopping = false;
    int64_t cpu = cpu_us(), start = clock_monotonic_us(), now = start;
    for (unsigned i = 0; i < in_flight; i++)
        start_one(b);
    while (b->finished < b->started) {
        loop_run_once(b->loop, true);
        now = clock_monotonic_us();
        b->stopping = now - start >= duration_us;
    }
    store_stats(b->store, &after);
    double seconds = (double)(now - start) / 1e6, done = (double)b->finished;
    printf("store_commits_%u_in_flight %.0f commits/s\n", in_flight, done / seconds);
    printf("store_commits_%u_in_flight_per_flush %.1f commits\n", in_flight,
        done / (double)(after.flushes - before.flushes));
    printf("store_commits_%u_in_flight_cpu %.1f us/commit\n", in_flight,
        (double)(cpu_us() - cpu) / done);
}

static bool count(const struct store_entry *e, void *userdata)
{
    struct walk *w = userdata;
    (void)snprintf(w->last, sizeof(w->last), "%s", e->key);
    w->n++;
    return true;
}

/* As a new leader reads: in pages. */
static void read_all(struct bench *b)
{
    struct walk w = {.last = ""};
    struct error err = ERROR_INIT;
    int64_t start = clock_monotonic_us();
    int n;
    do {
        n = store_list(b->store, "", w.last[0] ? w.last : NULL, PAGE, count, &w, &err);
        if (n < 0) {
            fprintf(stderr, "%s\n", err.msg);
            exit(1);
        }
    } while (n > 0);
    printf("store_read_%zu_entries %.1f ms\n", w.n,
        (double)(clock_monotonic_us() - start) / (double)USEC_PER_MSEC);
}

int main(int argc, char **argv)
{
    int64_t seconds = 3;
    if (argc > 3 || (argc == 3 && parse_i64(str_of(argv[2]), &seconds) < 0)) {
        fprintf(stderr, "usage: %s [DIRECTORY|URL [SECONDS]]\n", argv[0]);
        return 2;
    }
    bool given = argc > 1 && strstr(argv[1], "://");
    _cleanup_free_ char *directory = xasprintf(
        "%s/dcos-bench-store-XXXXXX", argc > 1 && !given ? argv[1] : "/var/tmp");
    if (!given && !mkdtemp(directory)) {
        perror(directory);
        return 1;
    }
    _cleanup_free_ char *url = given ? xstrdup(argv[1])
                                     : xasprintf("sqlite:%s/store.db", directory);
    struct bench b = {.loop = loop_new()};
    struct error err = ERROR_INIT;
    if (store_open(b.loop, url, &b.store, &err) < 0) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    static const unsigned in_flight[] = {1, 64, 1024};
    for (size_t i = 0; i < ARRAY_SIZE(in_flight); i++)
        run(&b, in_flight[i], seconds * USEC_PER_SEC);
    read_all(&b);
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    printf("store_peak_memory %ld KB\n", u.ru_maxrss);
    store_close(b.store);
    loop_free(b.loop);
    return !given && remove_tree(directory, &err) < 0;
}
