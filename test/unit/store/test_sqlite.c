/* What only the SQLite implementation has: a file, its version, its disk, other processes. */

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include "fixture.h"
#include "store/lock.h"

static int set_up(void **state)
{
    struct fixture *f = xnew(struct fixture);
    fixture_init(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture_done(*state);
    free(*state);
    return 0;
}

static const char *path_of(const struct fixture *f)
{
    return f->url + strlen("sqlite:");
}

static void assert_refused(struct fixture *f, const char *url, int code, const char *says)
{
    struct store *s;
    struct error err = ERROR_INIT;
    assert_int_equal(store_open(f->loop, url, &s, &err), code);
    if (!strstr(err.msg, says))
        fail_msg("'%s' lacks '%s'", err.msg, says);
}

static void run_sql(const char *path, const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void test_survives_reopening(void **state)
{
    struct fixture *f = *state;
    struct store *s = must_open(f, f->url);
    int64_t v = put(f, s, "a", "1");
    store_close(s);
    s = must_open(f, f->url);
    assert_value(s, "a", "1");
    assert_true(put(f, s, "b", "2") > v);
    store_close(s);
}

static void test_modes(void **state)
{
    struct fixture *f = *state;
    mode_t before = umask(0);
    struct store *s = must_open(f, f->url);
    put(f, s, "a", "1");
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
        _cleanup_free_ char *path = xasprintf("%s%s", path_of(f), suffixes[i]);
        struct stat st;
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
    }
    umask(before);
    store_close(s);
}

static void test_refusals(void **state)
{
    struct fixture *f = *state;
    char url[160];
    (void)snprintf(url, sizeof(url), "sqlite:%s/none/x.db", f->directory);
    assert_refused(f, url, -ENOENT, "does not exist; create it");
    (void)snprintf(url, sizeof(url), "sqlite:%s", f->directory);
    assert_refused(f, url, -EINVAL, "not a regular file");
    (void)snprintf(url, sizeof(url), "sqlite:%s/text/x.db", f->directory);
    _cleanup_free_ char *text = path_join(f->directory, "text");
    static const char words[] = "this is not a database but long enough to have a header of one, "
                                "or so it seems to whoever only looks at its length";
    assert_int_equal(file_write_atomic(text, words, sizeof(words), 0600, NULL), 0);
    assert_refused(f, url, -ENOTDIR, "not a directory");
    (void)snprintf(url, sizeof(url), "sqlite:%s", text);
    assert_refused(f, url, -EUCLEAN, "not a database, or damaged");
    /* A refusal leaves the file as it was. */
    _cleanup_buf_ struct buf b = BUF_INIT;
    assert_int_equal(file_read(text, 4096, &b, NULL), 0);
    assert_int_equal(b.n, sizeof(words));
    assert_memory_equal(b.p, words, b.n);
}

static void test_foreign_and_newer(void **state)
{
    struct fixture *f = *state;
    run_sql(path_of(f), "CREATE TABLE other (x)");
    assert_refused(f, f->url, -EINVAL, "database of another program");
    assert_int_equal(unlink(path_of(f)), 0);
    store_close(must_open(f, f->url));
    run_sql(path_of(f), "UPDATE meta SET value = 2 WHERE name = 'schema'");
    assert_refused(f, f->url, -EPROTONOSUPPORT, "written by a newer release");
    run_sql(path_of(f), "UPDATE meta SET value = 1 WHERE name = 'schema'");
    store_close(must_open(f, f->url));
}

static void test_truncated(void **state)
{
    struct fixture *f = *state;
    struct store *s = must_open(f, f->url);
    char value[8192];
    memset(value, 'x', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    put(f, s, "a", value);
    store_close(s);
    assert_int_equal(truncate(path_of(f), 5000), 0);
    assert_refused(f, f->url, -EUCLEAN, "damaged");
}

/* A page of the data went bad behind our back: reads say so. */
static void test_damaged_page(void **state)
{
    struct fixture *f = *state;
    struct store *s = must_open(f, f->url);
    put(f, s, "a", "1");
    store_close(s);
    _cleanup_close_ int fd = open(path_of(f), O_RDWR | O_CLOEXEC);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    char noise[4096];
    memset(noise, 0xa5, sizeof(noise));
    for (off_t at = 4096; at < st.st_size; at += 4096)
        assert_int_equal(pwrite(fd, noise, sizeof(noise), at), sizeof(noise));
    assert_refused(f, f->url, -EUCLEAN, "damaged");
}

struct leader {
    unsigned calls, lost;
    uint64_t epoch;
};

static void on_leader(int status, uint64_t epoch, void *userdata)
{
    struct leader *l = userdata;
    assert_int_equal(status, 0);
    l->calls++;
    l->epoch = epoch;
}

static void on_lost(void *userdata)
{
    ((struct leader *)userdata)->lost++;
}

/* The lock file is removed under the leader, so that a second one can lead: the first one can do no
 * harm any more, and learns of it at its next commit. */
static void test_stale_epoch(void **state)
{
    struct fixture *f = *state;
    struct store *s1 = must_open(f, f->url), *s2 = must_open(f, f->url);
    struct leader l1 = {0}, l2 = {0};
    store_on_lost(s1, on_lost, &l1);
    assert_int_equal(store_lead(s1, "1", on_leader, &l1), 0);
    while (!l1.calls)
        loop_run_once(f->loop, true);
    put(f, s1, "k", "1");
    _cleanup_free_ char *lock = xasprintf("%s.lock", path_of(f));
    assert_int_equal(unlink(lock), 0);
    assert_int_equal(store_lead(s2, "2", on_leader, &l2), 0);
    while (!l2.calls)
        loop_run_once(f->loop, true);
    assert_true(l2.epoch > l1.epoch);
    struct store_op op = op_put("k", "stale", STORE_ANY_VERSION);
    struct result r = commit(f, s1, &op, 1);
    assert_int_equal(r.status, -EAGAIN);
    assert_int_equal(r.failed_op, -1);
    assert_int_equal(l1.lost, 1);
    assert_int_equal(store_epoch(s1), 0);
    assert_string_equal(store_failure(s1), "another process leads now");
    assert_int_equal(commit(f, s1, &op, 1).status, -EAGAIN);
    assert_int_equal(l1.lost, 1);
    put(f, s2, "k", "2");
    assert_value(s1, "k", "2");
    store_close(s1);
    store_close(s2);
}

/* True once a thread waits for a lock that this process holds, as the kernel sees it. */
static bool somebody_waits(void)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    assert_int_equal(file_read("/proc/locks", 1 << 20, &b, NULL), 0);
    return strstr(buf_cstr(&b), "-> OFDLCK") != NULL;
}

/* The lock file is removed while one waits for it: what it gets in the end excludes nobody, so it
 * has to take the lock on the file that is there. */
static void test_lock_file_removed_while_waiting(void **state)
{
    struct fixture *f = *state;
    struct store *s1 = must_open(f, f->url), *s2 = must_open(f, f->url);
    struct leader l1 = {0}, l2 = {0};
    assert_int_equal(store_lead(s1, "1", on_leader, &l1), 0);
    while (!l1.calls)
        loop_run_once(f->loop, true);
    assert_int_equal(store_lead(s2, "2", on_leader, &l2), 0);
    while (!somebody_waits())
        (void)poll(NULL, 0, 1);
    _cleanup_free_ char *lock = xasprintf("%s.lock", path_of(f));
    assert_int_equal(unlink(lock), 0);
    store_close(s1);
    while (!l2.calls)
        loop_run_once(f->loop, true);
    assert_int_equal(leader_lock_held(lock, NULL), 1);
    store_close(s2);
    assert_int_equal(leader_lock_held(lock, NULL), 0);
}

/* ---- other processes ---- */

static void child_acknowledge(
    int status, ssize_t failed_op, const int64_t *versions, void *userdata)
{
    uint32_t *number = userdata;
    if (status != 0 || write(STDOUT_FILENO, number, sizeof(*number)) < 0)
        _exit(1);
    free(number);
}

/* Commits for ever, 16 at a time, and writes the number of each acknowledged one to stdout. */
static void child_commits(const char *url, uint32_t first)
{
    struct loop *loop = loop_new();
    struct store *s;
    if (store_open(loop, url, &s, NULL) < 0)
        _exit(1);
    struct leader l = {0};
    if (store_lead(s, "child", on_leader, &l) < 0)
        _exit(1);
    while (!l.calls)
        loop_run_once(loop, true);
    for (uint32_t n = first;; n++) {
        char key[32], value[512];
        (void)snprintf(key, sizeof(key), "n/%u", n);
        memset(value, (int)('a' + n % 26), sizeof(value));
        /* Two keys in one batch: both are there, or neither. */
        struct store_op ops[] = {{STORE_PUT, key, value, sizeof(value), STORE_ABSENT},
            {STORE_PUT, "last", &n, sizeof(n), STORE_ANY_VERSION}};
        if (store_commit(s, ops, 2, child_acknowledge, xmemdup(&n, sizeof(n)), NULL) < 0)
            _exit(1);
        struct store_stats stats;
        for (store_stats(s, &stats); stats.queued >= 16; store_stats(s, &stats))
            loop_run_once(loop, true);
    }
}

static pid_t fork_committer(const char *url, uint32_t first, int *ret_fd)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(fds[1], STDOUT_FILENO);
        child_commits(url, first);
    }
    close(fds[1]);
    *ret_fd = fds[0];
    return pid;
}

static void kill_and_reap(pid_t pid)
{
    int status;
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void test_killed_process(void **state)
{
    struct fixture *f = *state;
    uint32_t last = 0, n;
    for (unsigned round = 0; round < 5; round++) {
        int fd;
        pid_t pid = fork_committer(f->url, last + 1000, &fd);
        for (unsigned i = 0; i < 200 + 77 * round; i++) {
            assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
            last = n;
        }
        kill_and_reap(pid);
        while (read(fd, &n, sizeof(n)) == sizeof(n))
            last = n;
        close(fd);

        struct store *s = must_open(f, f->url);
        char key[32];
        _cleanup_buf_ struct buf b = BUF_INIT;
        assert_int_equal(store_get(s, "last", &b, NULL, NULL), 0);
        memcpy(&n, b.p, sizeof(n));
        assert_true(n >= last);
        for (uint32_t i = last; i <= n; i++) {
            (void)snprintf(key, sizeof(key), "n/%u", i);
            buf_clear(&b);
            assert_int_equal(store_get(s, key, &b, NULL, NULL), 0);
            assert_int_equal(b.n, 512);
        }
        (void)snprintf(key, sizeof(key), "n/%u", n + 1);
        assert_value(s, key, NULL);
        store_close(s);
        last = n;
    }
}

static void test_takeover_of_killed_leader(void **state)
{
    struct fixture *f = *state;
    int fd;
    uint32_t n;
    pid_t pid = fork_committer(f->url, 1, &fd);
    assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
    struct store *s = must_open(f, f->url);
    struct leader l = {0};
    _cleanup_buf_ struct buf info = BUF_INIT;
    assert_int_equal(store_leader_info(s, &info, NULL), 0);
    assert_string_equal(buf_cstr(&info), "child");
    assert_int_equal(store_lead(s, "us", on_leader, &l), 0);
    kill_and_reap(pid);
    close(fd);
    while (!l.calls)
        loop_run_once(f->loop, true);
    assert_int_equal(l.epoch, 2);
    put(f, s, "k", "v");
    store_close(s);
}

/* ---- a disk of its own ---- */

struct slow {
    unsigned calls;
    char reason[ERROR_MSG_MAX];
};

static void on_slow(int64_t waited_us, const char *reason, void *userdata)
{
    struct slow *slow = userdata;
    slow->calls++;
    (void)snprintf(slow->reason, sizeof(slow->reason), "%s", reason);
}

static void fill_disk(const char *directory)
{
    _cleanup_free_ char *path = path_join(directory, "ballast");
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    static const char zeros[4096];
    while (write(fd, zeros, sizeof(zeros)) > 0) {
    }
    assert_int_equal(errno, ENOSPC);
}

static void child_full_disk(struct fixture *f)
{
    struct store *s = must_open(f, f->url);
    struct slow slow = {0};
    store_on_slow(s, 20000, on_slow, &slow);
    put(f, s, "before", "1");
    fill_disk(f->directory);
    char value[100000];
    memset(value, 'x', sizeof(value));
    struct store_op big = {STORE_PUT, "big", value, sizeof(value), STORE_ANY_VERSION};
    struct store_op small = op_put("small", "2", STORE_ANY_VERSION);
    struct result r1, r2;
    must_start(s, &big, 1, &r1);
    must_start(s, &small, 1, &r2);
    while (!strstr(slow.reason, "disk is full"))
        loop_run_once(f->loop, true);
    assert_int_equal(r1.calls + r2.calls, 0);
    assert_value(s, "before", "1");
    assert_value(s, "big", NULL);
    assert_value(s, "small", NULL);
    _cleanup_free_ char *ballast = path_join(f->directory, "ballast");
    assert_int_equal(unlink(ballast), 0);
    while (r2.calls == 0)
        loop_run_once(f->loop, true);
    assert_int_equal(r1.calls, 1);
    assert_int_equal(r1.status, 0);
    assert_int_equal(r2.status, 0);
    store_close(s);
    s = must_open(f, f->url);
    assert_value(s, "small", "2");
    store_close(s);

    char url[160];
    fill_disk(f->directory);
    (void)snprintf(url, sizeof(url), "sqlite:%s/new.db", f->directory);
    assert_refused(f, url, -ENOSPC, "disk is full");
    assert_int_equal(unlink(ballast), 0);

    assert_int_equal(
        mount(NULL, f->directory, NULL, MS_REMOUNT | MS_RDONLY, "size=1m,mode=0700"), 0);
    assert_refused(f, f->url, -EROFS, "cannot be written");
}

static void test_full_disk(void **state)
{
    struct fixture *f = *state;
    /* In a child with mounts of its own, which vanish with it. */
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("tmpfs", f->directory, "tmpfs", 0, "size=1m,mode=0700") < 0)
            _exit(77);
        loop_free(f->loop);
        f->loop = loop_new();
        child_full_disk(f);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip(); /* no right to mount */
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_survives_reopening, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_modes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_foreign_and_newer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_truncated, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged_page, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stale_epoch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lock_file_removed_while_waiting, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_killed_process, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_takeover_of_killed_leader, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full_disk, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
