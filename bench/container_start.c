/*
 * Containers started and ended, through a real launcher: groups, limits, namespaces, exec.
 *
 * Usage: bench_container_start [LAUNCHER [COUNT [AT_ONCE [plain|groups|namespaces]]]]
 * Without a launcher: that of the same build.
 *
 * "started" is the time from the launch to its callback (the program runs), "gone" that until
 * on_exit of the last one (killed, groups removed). The program is `sleep`, so that all of them
 * exist together.
 */

#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/parse.h"
#include "base/vec.h"
#include "containerizer/containerizer.h"

enum { COUNT_MAX = 10000 };

struct bench {
    struct loop *loop;
    struct containerizer *c;
    const char *dir;
    unsigned count, at_once, asked, started, failed, gone;
    bool namespaces;
    VEC(int64_t) asked_at;
    VEC(int64_t) latency;
};

static void launch_more(struct bench *b);

static void on_started(const struct container_started *s, void *userdata)
{
    struct bench *b = userdata;
    uint32_t n;
    if (parse_u32(str_of(s->id + 1), &n) == 0)
        vec_push(&b->latency, clock_monotonic_us() - b->asked_at.items[n]);
    if (s->status < 0) {
        fprintf(stderr, "%s: %s\n", s->id, s->error);
        b->failed++;
    } else {
        b->started++;
    }
    launch_more(b);
    if (b->started + b->failed == b->count)
        loop_stop(b->loop);
}

static void on_exit_cb(const struct container_exit *e, void *userdata)
{
    struct bench *b = userdata;
    if (++b->gone == b->started)
        loop_stop(b->loop);
}

static void launch_more(struct bench *b)
{
    static const char *const argv[] = {"/bin/sleep", "3600", NULL};
    static const char *const envp[] = {"PATH=/usr/bin:/bin", NULL};
    while (b->asked < b->count && b->asked - b->started - b->failed < b->at_once) {
        char id[16];
        snprintf(id, sizeof id, "c%u", b->asked);
        struct container_spec spec = {.id = id,
            .argv = argv,
            .envp = envp,
            .cwd = b->dir,
            .stdout_path = "stdout",
            .limits = {.cpus_milli = 100, .mem_bytes = 32 << 20},
            .own_namespaces = b->namespaces};
        vec_push(&b->asked_at, clock_monotonic_us());
        b->asked++;
        struct error err = ERROR_INIT;
        if (containerizer_launch(b->c, &spec, on_started, b, &err) < 0) {
            fprintf(stderr, "%s\n", err.msg);
            exit(1);
        }
    }
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double cpu_seconds(int who)
{
    struct rusage u;
    getrusage(who, &u);
    return (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static unsigned number(int argc, char **argv, int i, unsigned fallback)
{
    uint32_t n;
    if (argc <= i)
        return fallback;
    if (parse_u32(str_of(argv[i]), &n) < 0 || n == 0 || n > COUNT_MAX) {
        fprintf(stderr, "bad number '%s'\n", argv[i]);
        exit(2);
    }
    return n;
}

int main(int argc, char **argv)
{
    _cleanup_free_ char *folder = xstrdup(argv[0]);
    _cleanup_free_ char *launcher = argc > 1 ? xstrdup(argv[1])
                                             : path_join(dirname(folder),
                                                   "../src/containerizer/dcos-launcher");
    struct bench b = {.count = number(argc, argv, 2, 1000), .at_once = number(argc, argv, 3, 32)};
    const char *mode = argc > 4 ? argv[4] : geteuid() == 0 ? "namespaces" : "plain";
    b.namespaces = strcmp(mode, "namespaces") == 0;
    char dir[] = "/tmp/dcos-bench-XXXXXX", root[64];
    b.dir = mkdtemp(dir);
    snprintf(root, sizeof root, "dcos-bench-%d", (int)getpid());
    b.loop = loop_new();
    struct containerizer_options o = {.runtime_dir = b.dir,
        .cgroups_root = root,
        .launcher_path = launcher,
        .plain = strcmp(mode, "plain") == 0,
        .on_exit = on_exit_cb,
        .userdata = &b};
    struct error err = ERROR_INIT;
    if (!b.dir || containerizer_new(b.loop, &o, &b.c, &err) < 0) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    int64_t begin = clock_monotonic_us();
    launch_more(&b);
    loop_run(b.loop);
    int64_t up = clock_monotonic_us();
    for (unsigned i = 0; i < b.count; i++) {
        char id[16];
        snprintf(id, sizeof id, "c%u", i);
        containerizer_destroy(b.c, id);
    }
    if (b.started)
        loop_run(b.loop);
    int64_t gone = clock_monotonic_us();
    containerizer_free(b.c);
    loop_free(b.loop);
    remove_tree(b.dir, NULL);

    qsort(b.latency.items, b.latency.n, sizeof *b.latency.items, compare);
    double start_s = (double)(up - begin) / 1e6;
    printf("mode %s name\ncount %u containers\nat_once %u containers\nfailed %u containers\n", mode,
        b.count, b.at_once, b.failed);
    printf("started %.3f s\nrate %.0f containers/s\n", start_s, b.started / start_s);
    printf("latency.median %.2f ms\nlatency.p99 %.2f ms\n",
        (double)b.latency.items[b.latency.n / 2] / 1e3,
        (double)b.latency.items[b.latency.n * 99 / 100] / 1e3);
    printf("gone %.3f s\n", (double)(gone - up) / 1e6);
    printf("cpu.agent_side %.3f s\ncpu.launcher_and_containers %.3f s\n", cpu_seconds(RUSAGE_SELF),
        cpu_seconds(RUSAGE_CHILDREN));
    vec_done(&b.asked_at);
    vec_done(&b.latency);
    return b.failed ? 1 : 0;
}
