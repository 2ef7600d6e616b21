/* Sessions, election, the lease and the detector, against a real server. */

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "io/loop.h"
#include "zk/detector.h"
#include "zk/lease.h"
#include "zk/member.h"
#include "zk/session-internal.h"
#include "zk_server.h"

static struct zk_server g_zk;

/* Of sessions whose end is the subject, and of others: those do not end while a busy machine does
 * other things. */
#define SHORT_US (3 * USEC_PER_SEC)
#define LONG_US (40 * USEC_PER_SEC)
#define PATIENCE_US (60 * USEC_PER_SEC)

struct contender {
    struct zk_session *s;
    const char *folder, *data;
    char *node;
    pthread_t thread;
    int status;
    atomic_bool over;
};

static struct zk_session *must_connect(const char *path, const char *auth, int64_t timeout_us)
{
    _cleanup_zk_url_ struct zk_url u = {0};
    _cleanup_free_ char *text = xasprintf(
        "zk://%s%s127.0.0.1:%u%s", auth ? auth : "", auth ? "@" : "", g_zk.port, path);
    struct error err = ERROR_INIT;
    struct zk_session *s = NULL;
    if (zk_url_parse(text, &u, &err) < 0 || zk_session_new(&u, timeout_us, &s, &err) < 0 ||
        zk_session_connect(s, PATIENCE_US, NULL, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
    return s;
}

static void pause_briefly(void)
{
    const struct timespec t = {.tv_nsec = 2000000};
    nanosleep(&t, NULL);
}

#define WAIT_FOR(condition)                                                                        \
    do {                                                                                           \
        int64_t until_us = clock_monotonic_us() + PATIENCE_US;                                     \
        while (!(condition)) {                                                                     \
            if (clock_monotonic_us() > until_us)                                                   \
                fail_msg("waited in vain for %s", #condition);                                     \
            pause_briefly();                                                                       \
        }                                                                                          \
    } while (0)

static void *contend(void *arg)
{
    struct contender *c = arg;
    c->status = zk_contend(c->s, c->folder, ZK_MASTER_LABEL, c->data, NULL, NULL, &c->node, NULL);
    c->over = true;
    return NULL;
}

static void begin_with(
    struct contender *c, const char *folder, const char *data, int64_t timeout_us)
{
    *c = (struct contender){
        .s = must_connect(folder, NULL, timeout_us), .folder = folder, .data = data};
    assert_int_equal(pthread_create(&c->thread, NULL, contend, c), 0);
}

static void begin(struct contender *c, const char *folder, const char *data)
{
    begin_with(c, folder, data, LONG_US);
}

static void end(struct contender *c)
{
    zk_session_cancel(c->s);
    pthread_join(c->thread, NULL);
    zk_session_free(c->s);
    free(c->node);
}

static size_t count_members(struct zk_session *s, const char *folder)
{
    _cleanup_zk_names_ struct zk_names names = {0};
    (void)zk_children(s, folder, false, &names);
    return names.n;
}

static void assert_leader(struct zk_session *s, const char *folder, const char *data)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    _cleanup_free_ char *name = NULL;
    assert_int_equal(zk_leader_read(s, folder, ZK_MASTER_LABEL, false, &name, &b), 0);
    assert_string_equal(buf_cstr(&b), data);
}

static void test_one_after_the_other(void **state)
{
    struct contender a, b, c;
    begin(&a, "/queue", "a");
    WAIT_FOR(a.over);
    assert_int_equal(a.status, 0);
    begin(&b, "/queue", "b");
    WAIT_FOR(count_members(a.s, "/queue") == 2);
    begin(&c, "/queue", "c");
    WAIT_FOR(count_members(a.s, "/queue") == 3);
    assert_false(b.over || c.over);
    assert_leader(c.s, "/queue", "a");
    /* Whose node is taken away queues again at the end. */
    _cleanup_zk_names_ struct zk_names names = {0};
    assert_int_equal(zk_children(c.s, "/queue", false, &names), 0);
    const char *first = strrchr(a.node, '/') + 1;
    const char *last = zk_member_before(&names, ZK_MASTER_LABEL, "json.info_4294967295");
    _cleanup_free_ char *of_b = zk_join("/queue", zk_member_before(&names, ZK_MASTER_LABEL, last));
    assert_string_not_equal(of_b, a.node);
    assert_string_not_equal(first, last);
    assert_int_equal(zk_delete(c.s, of_b), 0);
    WAIT_FOR(count_members(a.s, "/queue") == 3);
    end(&a);
    WAIT_FOR(c.over);
    assert_int_equal(c.status, 0);
    assert_false(b.over);
    assert_leader(b.s, "/queue", "c");
    end(&b); /* cancelled while it waits */
    assert_int_equal(b.status, -ECANCELED);
    end(&c);
}

static void on_nothing(zhandle_t *zh, int type, int how, const char *path, void *context)
{
}

/* What a server does with a client that it has not heard of for too long. The session is taken over
 * and closed, again when its owner took it back meanwhile, until it is not known any more. */
static void expire(struct zk_session *s)
{
    const clientid_t id = *zoo_client_id(s->zh);
    _cleanup_free_ char *server = xasprintf("127.0.0.1:%u", g_zk.port);
    bool over = false;
    while (!over) {
        zhandle_t *zh = zookeeper_init(server, on_nothing, 1000, &id, NULL, 0);
        assert_non_null(zh);
        WAIT_FOR(zoo_state(zh) == ZOO_CONNECTED_STATE || is_unrecoverable(zh));
        over = is_unrecoverable(zh) != 0;
        (void)zookeeper_close(zh);
    }
}

/* One who waits joins again with a new session; one who led must not. */
static void test_sessions_that_end(void **state)
{
    struct contender a, b;
    begin(&a, "/lost", "a");
    WAIT_FOR(a.over);
    begin(&b, "/lost", "b");
    WAIT_FOR(count_members(a.s, "/lost") == 2);
    int64_t first = zk_session_id(b.s);
    expire(b.s);
    WAIT_FOR(zk_session_id(b.s) != first && count_members(a.s, "/lost") == 2);
    assert_false(b.over);
    expire(a.s);
    WAIT_FOR(b.over);
    assert_int_equal(b.status, 0);
    WAIT_FOR(zk_session_state(a.s) == ZK_ENDED);
    assert_int_equal(zk_session_connect(a.s, PATIENCE_US, NULL, NULL), -ESTALE);
    end(&a);
    end(&b);
}

static void test_password(void **state)
{
    struct zk_session *joe = must_connect("/guarded", "joe:secret", LONG_US);
    struct zk_session *other = must_connect("/guarded", NULL, LONG_US);
    char *node = NULL;
    assert_int_equal(zk_make_path(joe, "/guarded/private", ZK_PRIVATE), 0);
    assert_int_equal(zk_create_member(joe, "/guarded/m_", "x", 1, &node), 0);
    _cleanup_buf_ struct buf b = BUF_INIT;
    assert_int_equal(zk_get(other, node, false, &b, NULL), 0); /* all may read */
    assert_int_equal(zk_get(other, "/guarded/private", false, &b, NULL), -EACCES);
    ssize_t failed;
    struct zk_op op = {.type = ZK_OP_SET, .path = node, .p = "y", .n = 1, .version = -1};
    assert_int_equal(zk_multi(other, &op, 1, &failed), -EACCES);
    assert_int_equal(failed, 0);
    assert_int_equal(zk_multi(joe, &op, 1, &failed), 0);
    free(node);
    zk_session_free(other);
    zk_session_free(joe);
}

/* ---- lease ---- */

struct lease_test {
    struct contender c;
    struct zk_lease *lease;
    atomic_uint lost;
    char why[ERROR_MSG_MAX];
};

static void on_lost(const char *why, void *userdata)
{
    struct lease_test *t = userdata;
    (void)snprintf(t->why, sizeof(t->why), "%s", why);
    t->lost++;
}

static void lead(struct lease_test *t, const char *folder, int64_t timeout_us)
{
    *t = (struct lease_test){0};
    begin_with(&t->c, folder, "x", timeout_us);
    WAIT_FOR(t->c.over);
    assert_int_equal(zk_lease_start(t->c.s, t->c.node, on_lost, t, &t->lease), 0);
    assert_true(zk_lease_confirm(t->lease));
}

static void test_lease_ends_with_the_node(void **state)
{
    struct lease_test t;
    lead(&t, "/lease1", LONG_US);
    struct zk_session *other = must_connect("/lease1", NULL, LONG_US);
    assert_int_equal(zk_delete(other, t.c.node), 0);
    WAIT_FOR(t.lost == 1);
    assert_string_equal(t.why, "our node in ZooKeeper was removed");
    assert_false(zk_lease_confirm(t.lease));
    zk_lease_free(t.lease);
    end(&t.c);
    zk_session_free(other);
}

/* A server that hangs for a while is nothing; one that is silent for the whole session is the end.
 */
static void test_lease_without_the_server(void **state)
{
    struct lease_test t;
    lead(&t, "/lease2", SHORT_US);
    zk_server_kill(&g_zk, SIGSTOP);
    int64_t stopped_us = clock_monotonic_us();
    assert_true(zk_lease_confirm(t.lease)); /* by the clock */
    assert_true(clock_monotonic_us() - stopped_us < SHORT_US / 4);
    zk_server_kill(&g_zk, SIGCONT);
    WAIT_FOR(zk_session_state(t.c.s) == ZK_CONNECTED);
    assert_true(zk_lease_confirm(t.lease));
    assert_int_equal(t.lost, 0);
    zk_server_kill(&g_zk, SIGSTOP);
    WAIT_FOR(t.lost == 1);
    int64_t took_us = clock_monotonic_us() - stopped_us;
    assert_true(took_us > SHORT_US / 2);
    assert_false(zk_lease_confirm(t.lease));
    assert_int_equal(zk_exists(t.c.s, t.c.node, false, NULL), -ESTALE);
    zk_server_kill(&g_zk, SIGCONT);
    zk_lease_free(t.lease);
    end(&t.c);
}

/* ---- detector ---- */

struct heard {
    unsigned calls;
    char host[64];
    unsigned port;
};

static void on_change(const struct zk_master *leader, void *userdata)
{
    struct heard *h = userdata;
    h->calls++;
    (void)snprintf(h->host, sizeof(h->host), "%s", leader ? zk_master_host(leader) : "");
    h->port = leader ? leader->port : 0;
}

static void hear(struct loop *l, const struct heard *h, unsigned calls)
{
    while (h->calls < calls)
        loop_run_once(l, true);
    assert_int_equal(h->calls, calls);
}

static void test_detector(void **state)
{
    struct loop *l = loop_new();
    struct heard h = {0};
    struct zk_detector *d = NULL;
    _cleanup_zk_url_ struct zk_url u = {0};
    _cleanup_free_ char *text = xasprintf("zk://127.0.0.1:%u/find/me", g_zk.port);
    assert_int_equal(zk_url_parse(text, &u, NULL), 0);
    assert_int_equal(zk_detector_new(l, &u, SHORT_US, on_change, &h, &d, NULL), 0);
    hear(l, &h, 1); /* the folder is not even there */
    assert_string_equal(h.host, "");
    assert_null(zk_detector_leader(d));
    struct contender a, b;
    begin(&a, "/find/me", "{\"hostname\":\"a\",\"port\":1}");
    hear(l, &h, 2);
    assert_string_equal(h.host, "a");
    WAIT_FOR(a.over);
    begin(&b, "/find/me", "{\"hostname\":\"b\",\"port\":2}");
    WAIT_FOR(count_members(a.s, "/find/me") == 2);
    int64_t began_us = clock_monotonic_us();
    end(&a);
    while (strcmp(h.host, "b") != 0) /* there may be a moment without a leader */
        loop_run_once(l, true);
    assert_true(clock_monotonic_us() - began_us < LONG_US / 4); /* not when its session ran out */
    assert_int_equal(zk_detector_leader(d)->port, 2);
    /* Servers that are away for longer than the session: nobody can be found. */
    unsigned calls = h.calls;
    zk_server_kill(&g_zk, SIGKILL);
    hear(l, &h, calls + 1);
    assert_string_equal(h.host, "");
    zk_server_start(&g_zk);
    /* On a slow machine b's session, which is pinned, may be over as well: then c leads. */
    struct contender c;
    begin(&c, "/find/me", "{\"hostname\":\"c\",\"port\":3}");
    while (strcmp(h.host, "b") != 0 && strcmp(h.host, "c") != 0)
        loop_run_once(l, true);
    zk_detector_free(d);
    end(&c);
    end(&b);
    loop_free(l);
}

static int stop_server(void **state)
{
    zk_server_stop(&g_zk);
    return 0;
}

static int start_server(void **state)
{
    zk_server_start(&g_zk);
    return 0;
}

/* The URL names nobody; who serves is told by a file that comes later. */
static void test_servers_of_a_file(void **state)
{
    _cleanup_free_ char *path = path_join(g_zk.folder, "servers");
    _cleanup_free_ char *right = xasprintf("127.0.0.1:1,127.0.0.1:%u", g_zk.port);
    _cleanup_zk_url_ struct zk_url u = {0};
    struct zk_session *s = NULL;
    struct error err = ERROR_INIT;
    int64_t id, again;
    setenv(ZK_SERVERS_VARIABLE, path, 1);
    assert_int_equal(zk_url_parse("zk://127.0.0.1:1/x", &u, &err), 0);
    assert_int_equal(zk_session_new(&u, LONG_US, &s, &err), 0);
    assert_int_equal(zk_session_connect(s, 50 * USEC_PER_MSEC, &id, &err), -ETIMEDOUT);
    assert_int_equal(file_write_atomic(path, right, strlen(right), 0600, &err), 0);
    assert_int_equal(zk_session_connect(s, PATIENCE_US, &id, &err), 0);
    /* The session outlives a change, and the servers that the file names no more. */
    _cleanup_free_ char *other = xasprintf("127.0.0.1:%u", g_zk.port);
    assert_int_equal(file_write_atomic(path, other, strlen(other), 0600, &err), 0);
    for (int i = 0; i < 30; i++) { /* longer than it takes to be seen */
        struct zk_info info;
        assert_int_equal(zk_exists(s, "/zookeeper", false, &info), 0);
        const struct timespec t = {.tv_nsec = 100 * 1000000};
        nanosleep(&t, NULL);
    }
    assert_int_equal(zk_session_connect(s, PATIENCE_US, &again, &err), 0);
    assert_int_equal(id, again);
    zk_session_free(s);
    unsetenv(ZK_SERVERS_VARIABLE);
}

static void on_probe(int status, void *userdata)
{
    atomic_store((atomic_int *)userdata, status);
}

static void *ask(void *userdata)
{
    struct zk_info info;
    return zk_exists(userdata, "/zookeeper", false, &info) == 0 ? userdata : NULL;
}

/* A server takes the connection and says nothing; what was asked of it gets an answer when the
 * session goes on with another one. */
static void test_questions_to_a_silent_server(void **state)
{
    enum { NOT_YET = 1 };
    _cleanup_free_ char *path = path_join(g_zk.folder, "servers");
    _cleanup_free_ char *right = xasprintf("127.0.0.1:%u", g_zk.port);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(at);
    _cleanup_close_ int silent = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(silent, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(silent, 8), 0);
    assert_int_equal(getsockname(silent, (struct sockaddr *)&at, &n), 0);
    _cleanup_free_ char *text = xasprintf("zk://127.0.0.1:%u/x", ntohs(at.sin_port));
    _cleanup_zk_url_ struct zk_url u = {0};
    struct zk_session *s = NULL;
    struct error err = ERROR_INIT;
    pthread_t thread;
    void *found;
    atomic_int status = NOT_YET;
    unlink(path);
    setenv(ZK_SERVERS_VARIABLE, path, 1);
    assert_int_equal(zk_url_parse(text, &u, &err), 0);
    /* So long that the client itself does not lose its patience meanwhile. */
    assert_int_equal(zk_session_new(&u, 10 * PATIENCE_US, &s, &err), 0);
    zk_probe(s, "/zookeeper", on_probe, &status);
    assert_int_equal(pthread_create(&thread, NULL, ask, s), 0);
    assert_int_equal(status, NOT_YET);
    assert_int_equal(file_write_atomic(path, right, strlen(right), 0600, &err), 0);
    WAIT_FOR(status != NOT_YET);
    assert_int_equal(status, -ENOTCONN);
    assert_int_equal(pthread_join(thread, &found), 0);
    assert_int_equal(zk_session_connect(s, PATIENCE_US, NULL, &err), 0);
    assert_ptr_equal(ask(s), s);
    zk_session_free(s);
    unsetenv(ZK_SERVERS_VARIABLE);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_after_the_other),
        cmocka_unit_test(test_password),
        cmocka_unit_test(test_lease_ends_with_the_node),
        cmocka_unit_test(test_lease_without_the_server),
        cmocka_unit_test(test_sessions_that_end),
        cmocka_unit_test(test_detector),
        cmocka_unit_test(test_servers_of_a_file),
        cmocka_unit_test(test_questions_to_a_silent_server),
    };
    if (!zk_server_installed())
        return 77; /* skipped */
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
