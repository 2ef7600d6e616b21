/* Real containers, through a real launcher: with control groups and namespaces when the machine
 * lets us, always as plain processes too. */

#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/parse.h"
#include "base/rng.h"
#include "base/str.h"
#include "containerizer/containerizer.h"
#include "containerizer/proc.h"

#define PATIENCE_US (60 * USEC_PER_SEC)

struct fixture {
    struct loop *loop;
    struct containerizer *c;
    char dir[64], root[64], box[80];
    bool plain;
    bool started, failed, exited, timed_out;
    char error[512];
    pid_t pid;
    uint64_t start_time;
    struct container_exit exit;
    char message[CONTAINER_MESSAGE_MAX];
};

static void on_exit_cb(const struct container_exit *e, void *userdata)
{
    struct fixture *f = userdata;
    assert_false(f->exited);
    f->exited = true;
    f->exit = *e;
    snprintf(f->message, sizeof f->message, "%s", e->message);
}

static void on_started(const struct container_started *s, void *userdata)
{
    struct fixture *f = userdata;
    assert_false(f->started || f->failed);
    if (s->status < 0) {
        f->failed = true;
        snprintf(f->error, sizeof f->error, "%s", s->error);
    } else {
        f->started = true;
        f->pid = s->pid;
        f->start_time = s->start_time;
    }
}

static bool can_isolate(void)
{
    return geteuid() == 0;
}

static void open_containerizer(struct fixture *f)
{
    struct error err = ERROR_INIT;
    struct containerizer_options o = {.runtime_dir = f->dir,
        .cgroups_root = f->root,
        .launcher_path = getenv("DCOS_LAUNCHER"),
        .plain = f->plain,
        .on_exit = on_exit_cb,
        .userdata = f};
    int r = containerizer_new(f->loop, &o, &f->c, &err);
    if (r < 0)
        fail_msg("containerizer_new: %s", err.msg);
}

static void setup(struct fixture *f, bool plain)
{
    *f = (struct fixture){.plain = plain};
    snprintf(f->dir, sizeof f->dir, "/tmp/dcos-test-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    char uuid[UUID_TEXT_SIZE];
    uuid_random_text(uuid);
    snprintf(f->root, sizeof f->root, "dcos-test-%.8s", uuid);
    snprintf(f->box, sizeof f->box, "%s/box", f->dir);
    assert_int_equal(mkdir(f->box, 0755), 0);
    f->loop = loop_new();
    open_containerizer(f);
}

static void give_up(struct timer *t)
{
    fail_msg("waited too long");
}

static void wait_for(struct fixture *f, const bool *flag)
{
    struct timer t;
    timer_init(&t, f->loop, give_up);
    timer_start(&t, PATIENCE_US);
    while (!*flag)
        loop_run_once(f->loop, true);
    timer_stop(&t);
}

static void wait_until(struct fixture *f, bool (*ready)(struct fixture *f))
{
    int64_t deadline = clock_monotonic_us() + PATIENCE_US;
    while (!ready(f)) {
        assert_true(clock_monotonic_us() < deadline);
        loop_run_once(f->loop, false);
    }
}

static void close_all(struct fixture *f)
{
    containerizer_free(f->c);
    loop_free(f->loop);
    assert_int_equal(remove_tree(f->dir, NULL), 0);
}

static void launch_script(
    struct fixture *f, const char *id, const char *script, struct container_limits limits, bool ns)
{
    const char *argv[] = {"sh", "-c", script, NULL};
    const char *envp[] = {"PATH=/usr/bin:/bin", "HELLO=world", NULL};
    struct container_spec spec = {.id = id,
        .argv = argv,
        .envp = envp,
        .cwd = f->box,
        .stdout_path = "stdout",
        .stderr_path = "stderr",
        .limits = limits,
        .own_namespaces = ns};
    struct error err = ERROR_INIT;
    int r = containerizer_launch(f->c, &spec, on_started, f, &err);
    if (r < 0)
        fail_msg("launch: %s", err.msg);
    assert_false(f->started); /* never from inside the call */
}

static void read_box(struct fixture *f, const char *name, struct buf *out)
{
    _cleanup_free_ char *path = path_join(f->box, name);
    buf_clear(out);
    assert_int_equal(file_read(path, 65536, out, NULL), 0);
}

static void check_exit_status(bool plain, bool ns)
{
    struct fixture f;
    setup(&f, plain);
    launch_script(&f, "one", "echo $HELLO; echo bad >&2; exit 3",
        (struct container_limits){.cpus_milli = 100, .mem_bytes = 64 << 20}, ns);
    wait_for(&f, &f.exited);
    assert_true(f.started);
    assert_true(f.pid > 1);
    assert_int_equal(WEXITSTATUS(f.exit.status), 3);
    assert_int_equal(f.exit.limitation, CONTAINER_LIMITATION_NONE);
    _cleanup_buf_ struct buf text = BUF_INIT;
    read_box(&f, "stdout", &text);
    assert_string_equal(buf_cstr(&text), "world\n");
    read_box(&f, "stderr", &text);
    assert_string_equal(buf_cstr(&text), "bad\n");
    assert_int_equal(containerizer_count(f.c), 0);
    close_all(&f);
}

static void test_exit_status(void **state)
{
    check_exit_status(true, false);
    check_exit_status(true, true);
    if (can_isolate()) {
        check_exit_status(false, false);
        check_exit_status(false, true);
    }
}

static void test_cannot_run(void **state)
{
    for (int plain = 0; plain < 2; plain++) {
        for (int ns = 0; ns < 2; ns++) {
            struct fixture f;
            setup(&f, plain);
            const char *argv[] = {"/nonexistent/program", NULL};
            const char *envp[] = {NULL};
            struct container_spec spec = {
                .id = "x", .argv = argv, .envp = envp, .cwd = f.box, .own_namespaces = ns};
            assert_int_equal(containerizer_launch(f.c, &spec, on_started, &f, NULL), 0);
            wait_for(&f, &f.failed);
            assert_non_null(strstr(f.error, "/nonexistent/program"));
            assert_false(f.exited);
            assert_int_equal(containerizer_count(f.c), 0);
            close_all(&f);
        }
    }
}

static bool has_pidfile(struct fixture *f)
{
    _cleanup_free_ char *path = path_join(f->box, "grandchild");
    _cleanup_buf_ struct buf text = BUF_INIT;
    return file_read(path, 64, &text, NULL) == 0 && text.n && text.p[text.n - 1] == '\n';
}

/* The next process in /proc, or 0. */
static pid_t next_process(DIR *proc)
{
    for (struct dirent *e; (e = readdir(proc));) {
        uint32_t pid;
        if (parse_u32(str_of(e->d_name), &pid) == 0)
            return (pid_t)pid;
    }
    return 0;
}

static int64_t marker_processes(const char *marker)
{
    /* Looks for the marker in every command line. */
    int64_t count = 0;
    DIR *proc = opendir("/proc");
    assert_non_null(proc);
    for (pid_t pid; (pid = next_process(proc)) > 0;) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
        _cleanup_buf_ struct buf text = BUF_INIT;
        if (file_read(path, 65536, &text, NULL) == 0 && text.n &&
            memmem(text.p, text.n, marker, strlen(marker)))
            count++;
    }
    closedir(proc);
    return count;
}

static char g_marker[64]; /* in the arguments of the processes of check_destroy() */

static bool markers_gone(struct fixture *f)
{
    (void)f;
    return marker_processes(g_marker) == 0;
}

static void check_destroy(bool plain, bool ns)
{
    struct fixture f;
    setup(&f, plain);
    char *marker = g_marker, script[256];
    snprintf(marker, sizeof g_marker, "%d.%d9137", 3600 + (int)getpid(), plain * 2 + ns);
    /* A grandchild in another session that ignores what can be ignored. */
    snprintf(script, sizeof script,
        "trap '' TERM HUP; setsid sh -c 'trap \"\" TERM HUP; echo up > grandchild; sleep %s; :' & "
        "sleep "
        "%s; :",
        marker, marker);
    launch_script(&f, "many", script, (struct container_limits){0}, ns);
    wait_for(&f, &f.started);
    wait_until(&f, has_pidfile);
    assert_true(marker_processes(marker) >= 2);
    assert_int_equal(containerizer_destroy(f.c, "many"), 0);
    assert_int_equal(containerizer_destroy(f.c, "many"), 0);
    wait_for(&f, &f.exited);
    assert_true(f.exit.destroyed);
    assert_true(WIFSIGNALED(f.exit.status));
    assert_int_equal(WTERMSIG(f.exit.status), SIGKILL);
    /* Plain processes have been sent SIGKILL by now; no group tells when the last one is gone. */
    if (plain)
        wait_until(&f, markers_gone);
    assert_int_equal(marker_processes(marker), 0);
    assert_int_equal(containerizer_destroy(f.c, "many"), -ENOENT);
    close_all(&f);
}

static void test_destroy(void **state)
{
    check_destroy(true, true);
    if (can_isolate()) {
        check_destroy(false, false);
        check_destroy(false, true);
    }
}

static void test_memory_limit(void **state)
{
    struct fixture f;
    setup(&f, false);
    if (!containerizer_has_cgroups(f.c)) {
        close_all(&f);
        print_message("needs root and control groups\n");
        skip();
    }
    /* tail keeps the one long line in memory; only a part of the container is killed for it. */
    launch_script(&f, "fat", "head -c 400000000 /dev/zero | tail | wc -c; sleep 3600",
        (struct container_limits){.mem_bytes = 32 << 20}, false);
    wait_for(&f, &f.exited);
    assert_int_equal(f.exit.limitation, CONTAINER_LIMITATION_MEMORY);
    assert_int_equal(f.exit.mem_limit_bytes, 32 << 20);
    assert_non_null(strstr(f.message, "Memory limit exceeded"));
    close_all(&f);
}

static void test_usage_and_update(void **state)
{
    struct fixture f;
    setup(&f, false);
    launch_script(&f, "busy",
        "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo up > grandchild; sleep 3600",
        (struct container_limits){.cpus_milli = 500, .mem_bytes = 64 << 20}, true);
    wait_for(&f, &f.started);
    wait_until(&f, has_pidfile);
    struct container_usage u;
    assert_int_equal(containerizer_usage(f.c, "busy", &u), 0);
    assert_true(u.cpus_user_time_us + u.cpus_system_time_us > 0);
    assert_true(u.mem_rss_bytes > 0);
    assert_int_equal(u.mem_limit_bytes, 64 << 20);
    assert_true(u.processes >= 2);
    struct container_limits more = {.cpus_milli = 1000, .mem_bytes = 128 << 20};
    assert_int_equal(containerizer_update(f.c, "busy", &more, NULL), 0);
    assert_int_equal(containerizer_usage(f.c, "busy", &u), 0);
    assert_int_equal(u.mem_limit_bytes, 128 << 20);
    if (containerizer_has_cgroups(f.c)) {
        assert_int_equal(u.cpus_soft_limit_milli, 1000);
        struct container_limits less = {.cpus_milli = 1000, .mem_bytes = 64 << 20};
        assert_int_equal(containerizer_update(f.c, "busy", &less, NULL), 0);
        assert_int_equal(containerizer_usage(f.c, "busy", &u), 0);
        assert_int_equal(u.mem_limit_bytes, 128 << 20); /* never lowered */
    }
    assert_int_equal(containerizer_update(f.c, "nobody", &more, NULL), -ENOENT);
    containerizer_destroy(f.c, "busy");
    wait_for(&f, &f.exited);
    close_all(&f);
}

static void check_recover(bool plain)
{
    struct fixture f;
    setup(&f, plain);
    /* The agent stops and comes back: the container goes on under the same pid. */
    launch_script(&f, "kept", "while [ ! -e stop ]; do sleep 0.02; done; exit 5",
        (struct container_limits){0}, true);
    wait_for(&f, &f.started);
    pid_t pid = f.pid;
    struct fixture orphan = f;
    f.started = false;
    launch_script(
        &f, "orphan", "echo up > grandchild; sleep 3600", (struct container_limits){0}, true);
    wait_for(&f, &f.started);
    orphan.pid = f.pid;
    orphan.start_time = f.start_time;
    containerizer_free(f.c);
    open_containerizer(&f);
    struct container_recover items[] = {{.id = "kept"}, {.id = "gone", .pid = 1, .start_time = 1}};
    containerizer_recover(f.c, items, 2);
    wait_for(&f, &f.exited);
    assert_string_equal(f.exit.id == NULL ? "" : "x", "x");
    assert_int_equal(f.exit.status, -1);
    assert_int_equal(containerizer_count(f.c), 1);
    assert_int_equal(containerizer_pid(f.c, "kept"), pid);
    f.exited = false;
    _cleanup_free_ char *stop = path_join(f.box, "stop");
    fd_close(open(stop, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    wait_for(&f, &f.exited);
    assert_true(WIFEXITED(f.exit.status));
    assert_int_equal(WEXITSTATUS(f.exit.status), 5);
    /* Nobody named the other one: it was ended. */
    int64_t deadline = clock_monotonic_us() + PATIENCE_US;
    struct proc_stat s;
    while (proc_stat_read(orphan.pid, &s) == 0 && s.state != 'Z' &&
           s.start_time == orphan.start_time) {
        assert_true(clock_monotonic_us() < deadline);
        loop_run_once(f.loop, false);
    }
    /* Launches wait for the sweep and work after it. */
    f.started = f.exited = false;
    launch_script(&f, "orphan", "exit 0", (struct container_limits){0}, false);
    wait_for(&f, &f.exited);
    assert_int_equal(f.exit.status, 0);
    close_all(&f);
}

static void test_recover(void **state)
{
    check_recover(true);
    if (can_isolate())
        check_recover(false);
}

/* Ids of processes from before a restart of the machine are strangers': nothing happens to them. */
static void test_recover_after_the_machine_restarted(void **state)
{
    struct fixture f;
    setup(&f, true);
    containerizer_recover(f.c, NULL, 0);
    launch_script(&f, "known", "while [ ! -e stop ]; do sleep 0.02; done",
        (struct container_limits){0}, true);
    wait_for(&f, &f.started);
    pid_t known = f.pid;
    struct container_recover item = {.id = "known", .pid = f.pid, .start_time = f.start_time};
    f.started = false;
    launch_script(&f, "leftover", "while [ ! -e stop ]; do sleep 0.02; done",
        (struct container_limits){0}, true);
    wait_for(&f, &f.started);
    pid_t leftover = f.pid;
    containerizer_free(f.c);
    _cleanup_free_ char *boot = path_join(f.dir, "boot_id");
    assert_int_equal(access(boot, F_OK), 0);
    assert_int_equal(file_write_atomic(boot, "another\n", 8, 0644, NULL), 0);
    f.started = false;
    open_containerizer(&f);
    containerizer_recover(f.c, &item, 1);
    wait_for(&f, &f.exited);
    assert_int_equal(f.exit.status, -1);
    f.exited = false;
    launch_script(&f, "next", "exit 0", (struct container_limits){0}, false); /* after the sweep */
    wait_for(&f, &f.exited);
    assert_int_equal(kill(known, 0), 0);
    assert_int_equal(kill(leftover, 0), 0);
    _cleanup_free_ char *stop = path_join(f.box, "stop");
    fd_close(open(stop, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    int64_t deadline = clock_monotonic_us() + PATIENCE_US;
    struct proc_stat s;
    pid_t pids[] = {known, leftover};
    for (size_t i = 0; i < ARRAY_SIZE(pids); i++) {
        while (proc_stat_read(pids[i], &s) == 0 && s.state != 'Z') {
            assert_true(clock_monotonic_us() < deadline);
            loop_run_once(f.loop, false);
        }
    }
    /* Noted by now: the machine is the same one again. */
    _cleanup_buf_ struct buf text = BUF_INIT;
    assert_int_equal(file_read(boot, 100, &text, NULL), 0);
    assert_string_not_equal(buf_cstr(&text), "another\n");
    close_all(&f);
}

/* Nothing of ours reaches the program: descriptors, signals, environment. */
static void check_clean(bool plain, bool ns)
{
    struct fixture f;
    setup(&f, plain);
    int leak[2] = {dup(1), open("/dev/null", O_RDONLY)}; /* NOLINT(android-cloexec-open) */
    assert_true(leak[0] >= 0 && leak[1] >= 0);
    containerizer_free(f.c); /* the next launcher inherits them, and what follows */
    sighandler_t before = signal(SIGPIPE, SIG_IGN);
    sigset_t mask, old;
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGUSR2);
    sigprocmask(SIG_BLOCK, &mask, &old);
    setenv("OUR_SECRET", "1", 1);
    open_containerizer(&f);
    launch_script(&f, "clean",
        "exec 5>/dev/null; cd /proc/$$; ls fd; grep -E 'Sig(Blk|Ign)' /proc/self/status; "
        "tr '\\0' '\\n' <environ | grep -v DCOS_ | sort",
        (struct container_limits){0}, ns);
    wait_for(&f, &f.exited);
    sigprocmask(SIG_SETMASK, &old, NULL);
    signal(SIGPIPE, before);
    unsetenv("OUR_SECRET");
    _cleanup_buf_ struct buf text = BUF_INIT;
    read_box(&f, "stdout", &text);
    assert_non_null(strstr(buf_cstr(&text), "0\n1\n2\n5\n"));
    assert_ptr_equal(strstr(buf_cstr(&text), "0\n1\n2\n5\nSigBlk"), buf_cstr(&text));
    assert_non_null(strstr(buf_cstr(&text), "SigBlk:\t0000000000000000\n"));
    assert_non_null(strstr(buf_cstr(&text), "SigIgn:\t0000000000000000\n"));
    assert_null(strstr(buf_cstr(&text), "OUR_SECRET"));
    assert_non_null(strstr(buf_cstr(&text), "\nHELLO=world\nPATH=/usr/bin:/bin\n"));
    close(leak[0]);
    close(leak[1]);
    close_all(&f);
}

static void test_clean(void **state)
{
    check_clean(true, false);
    check_clean(true, true);
    if (can_isolate())
        check_clean(false, true);
}

/* Two agents below one root: what one of them does not know may be the other's. */
static void test_shared_root(void **state)
{
    if (!can_isolate())
        skip();
    struct fixture a, b;
    setup(&a, false);
    launch_script(&a, "theirs", "while [ ! -e stop ]; do sleep 0.02; done; exit 4",
        (struct container_limits){0}, false);
    wait_for(&a, &a.started);
    setup(&b, false);
    containerizer_free(b.c);
    snprintf(b.root, sizeof b.root, "%s", a.root);
    open_containerizer(&b);
    containerizer_recover(b.c, NULL, 0);
    launch_script(&b, "mine", "exit 0", (struct container_limits){0}, false); /* after the sweep */
    wait_for(&b, &b.exited);
    _cleanup_free_ char *stop = path_join(a.box, "stop");
    fd_close(open(stop, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    wait_for(&a, &a.exited);
    assert_true(WIFEXITED(a.exit.status));
    assert_int_equal(WEXITSTATUS(a.exit.status), 4);
    close_all(&b);
    close_all(&a);
}

static pid_t child_named(const char *name)
{
    pid_t found = 0;
    DIR *proc = opendir("/proc");
    assert_non_null(proc);
    for (pid_t pid; found == 0 && (pid = next_process(proc)) > 0;) {
        struct proc_stat s;
        if (proc_stat_read(pid, &s) < 0 || s.ppid != getpid() || s.state == 'Z')
            continue;
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
        _cleanup_buf_ struct buf text = BUF_INIT;
        if (file_read(path, 64, &text, NULL) == 0 && str_eq_c(str_trim(buf_str(&text)), name))
            found = pid;
    }
    closedir(proc);
    return found;
}

static void test_launcher_killed(void **state)
{
    struct fixture f;
    setup(&f, !can_isolate());
    launch_script(&f, "first", "while [ ! -e stop ]; do sleep 0.02; done; exit 6",
        (struct container_limits){0}, true);
    wait_for(&f, &f.started);
    pid_t launcher = child_named("dcos-launcher");
    assert_true(launcher > 0);
    kill(launcher, SIGKILL);
    /* Asked while it is dead or dying: the next one does it. */
    f.started = false;
    launch_script(&f, "second", "exit 7", (struct container_limits){0}, false);
    wait_for(&f, &f.exited);
    assert_int_equal(WEXITSTATUS(f.exit.status), 7);
    f.exited = false;
    _cleanup_free_ char *stop = path_join(f.box, "stop");
    fd_close(open(stop, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    wait_for(&f, &f.exited);
    assert_int_equal(WEXITSTATUS(f.exit.status), 6);
    close_all(&f);
}

static void test_bad_specs(void **state)
{
    struct fixture f;
    setup(&f, true);
    const char *argv[] = {"true", NULL};
    static const char *const ids[] = {"", ".", "..", "a/b", ".a", "a b", "a\n"};
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        struct container_spec spec = {.id = ids[i], .argv = argv, .cwd = "/tmp"};
        assert_int_equal(containerizer_launch(f.c, &spec, on_started, &f, NULL), -EINVAL);
    }
    struct container_spec spec = {.id = "a", .argv = argv, .cwd = "relative"};
    assert_int_equal(containerizer_launch(f.c, &spec, on_started, &f, NULL), -EINVAL);
    spec.cwd = "/tmp";
    spec.user = "no-such-user-here";
    assert_int_equal(containerizer_launch(f.c, &spec, on_started, &f, NULL), 0);
    assert_int_equal(containerizer_launch(f.c, &spec, on_started, &f, NULL), -EEXIST);
    wait_for(&f, &f.failed);
    assert_non_null(strstr(f.error, "no-such-user-here"));
    close_all(&f);
}

int main(void)
{
    if (!getenv("DCOS_LAUNCHER")) {
        fprintf(stderr, "set DCOS_LAUNCHER to the dcos-launcher program\n");
        return 2;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exit_status),
        cmocka_unit_test(test_cannot_run),
        cmocka_unit_test(test_destroy),
        cmocka_unit_test(test_memory_limit),
        cmocka_unit_test(test_usage_and_update),
        cmocka_unit_test(test_recover),
        cmocka_unit_test(test_recover_after_the_machine_restarted),
        cmocka_unit_test(test_clean),
        cmocka_unit_test(test_shared_root),
        cmocka_unit_test(test_launcher_killed),
        cmocka_unit_test(test_bad_specs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
