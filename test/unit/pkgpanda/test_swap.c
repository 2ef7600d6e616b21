#include <signal.h>
#include <sys/wait.h>

#include "host.h"

/* A real SIGKILL after every step of a change, and what the next run makes of it. */

struct countdown {
    int left;
};

static void kill_at(const char *what, void *userdata)
{
    struct countdown *c = userdata;
    if (--c->left == 0)
        kill(getpid(), SIGKILL);
}

static void make_packages(struct host *h)
{
    make_package(h, "a--1", "{\"environment\":{\"V\":\"1\"}}", "bin/a=1", "etc/x/y=1",
        "dcos.target.wants/a.service=1", "dcos.target.wants/gone.service=1", NULL);
    make_package(h, "a--2", "{\"environment\":{\"V\":\"2\"}}", "bin/a=2", "lib/x/y=2",
        "dcos.target.wants/a.service=2", "dcos.target.wants/added.service=2", NULL);
}

/* All of one set and nothing of the other. */
static void assert_whole(struct host *h, char version)
{
    char text[] = {version, '\0'};
    _cleanup_free_ char *id = xasprintf("a--%c", version);
    _cleanup_free_ char *line = xasprintf("V=%c\n", version);
    assert_active(h, id);
    assert_text(h->root, "bin/a", text);
    assert_text(h->units, "a.service", text);
    assert_int_equal(is_there(h->root, "lib/x/y"), version == '2');
    assert_int_equal(is_there(h->root, "etc/x/y"), version == '1');
    assert_int_equal(is_there(h->units, "gone.service"), version == '1');
    assert_int_equal(is_there(h->units, "added.service"), version == '2');
    assert_int_equal(is_there(h->units, "dcos.target.wants/gone.service"), version == '1');
    _cleanup_free_ char *environment = text_of(h->root, "environment");
    assert_non_null(strstr(environment, line));
    assert_false(is_there(h->root, "install_progress"));
}

static bool killed_in(struct host *h, const char *ids, int at, void (*run)(struct host *h))
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        struct countdown c = {at};
        h->in.step = kill_at;
        h->in.userdata = &c;
        if (run)
            run(h);
        else if (activate(h, ids, NULL) < 0)
            _exit(1);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status))
        assert_int_equal(WEXITSTATUS(status), 0);
    return WIFSIGNALED(status);
}

static void recover_in_child(struct host *h)
{
    if (install_recover(&h->in, NULL) < 0)
        _exit(1);
}

static int recover(struct host *h)
{
    struct error err = ERROR_INIT;
    int r = install_recover(&h->in, &err);
    if (r < 0)
        fail_msg("%s", err.msg);
    return r;
}

static void test_finished_or_undone(void **state)
{
    struct host *h = *state;
    unsigned undone = 0, finished = 0;
    make_packages(h);
    for (int at = 1;; at++) {
        must_activate(h, "a--1");
        bool killed = killed_in(h, "a--2", at, NULL);
        bool begun = is_there(h->root, "install_progress");
        int r = recover(h);
        assert_int_equal(r, begun);
        struct strings ids = {0};
        assert_int_equal(install_active(&h->in, &ids, NULL), 0);
        char version = ids.items[0][3];
        strings_done(&ids);
        assert_whole(h, version);
        /* Once there is a progress file the change is made, whatever comes. */
        if (begun)
            assert_int_equal(version, '2');
        undone += version == '1';
        finished += begun;
        if (!killed)
            break;
    }
    assert_true(undone > 5);
    assert_true(finished > 20);
    assert_whole(h, '2');
}

/* And a recovery that is killed as well, at every step of its own. */
static void test_killed_recovery(void **state)
{
    struct host *h = *state;
    unsigned recoveries = 0;
    make_packages(h);
    for (int at = 1;; at += 2) {
        bool killed = false;
        for (int second = 1;; second++) {
            must_activate(h, "a--1");
            killed = killed_in(h, "a--2", at, NULL);
            if (!is_there(h->root, "install_progress"))
                break;
            recoveries++;
            bool again = killed_in(h, NULL, second, recover_in_child);
            recover(h);
            assert_whole(h, '2');
            if (!again)
                break;
        }
        if (!killed)
            break;
    }
    assert_true(recoveries > 100);
}

/* The next change does it too, without a recovery of its own. */
static void test_next_change(void **state)
{
    struct host *h = *state;
    make_packages(h);
    for (int at = 1;; at++) {
        must_activate(h, "a--1");
        bool killed = killed_in(h, "a--2", at, NULL);
        must_activate(h, "a--1");
        assert_whole(h, '1');
        if (!killed)
            break;
    }
}

static void test_unknown_stage(void **state)
{
    struct host *h = *state;
    struct error err = ERROR_INIT;
    make_packages(h);
    must_activate(h, "a--1");
    assert_int_equal(recover(h), 0);
    put(h->root, "install_progress", "{\"stage\": \"dance\", \"extension\": \".new\"}", 0644);
    assert_int_equal(install_recover(&h->in, &err), -EBADMSG);
    put(h->root, "install_progress", "{\"stage\": \"archive\", \"extension\": \".new\"}", 0644);
    assert_int_equal(install_recover(&h->in, &err), -ENOENT);
    assert_text(h->root, "bin/a", "1");
}

int main(void)
{
    umask(022);
    const struct CMUnitTest tests[] = {HOST_TEST(test_finished_or_undone),
        HOST_TEST(test_killed_recovery), HOST_TEST(test_next_change),
        HOST_TEST(test_unknown_stage)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
