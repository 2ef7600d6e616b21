/* What only the store in ZooKeeper has: answers that are lost, sessions that end, packets and
 * formats. */

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "fixture.h"
#include "store/zk.h"
#include "zk_server.h"

static struct zk_server g_zk;

/* ---- a wire that loses things ---- */

enum wire {
    WIRE_WHOLE,
    WIRE_LOSES_WRITES,  /* from the next transaction on, nothing reaches the server */
    WIRE_LOSES_ANSWERS, /* from the next transaction on, nothing comes back */
    WIRE_SILENT,        /* nothing comes back */
};

enum { ZK_MULTI = 14 }; /* kind of a request */

struct proxy {
    int listener;
    uint16_t port;
    atomic_int wire;
    atomic_bool cut, stop;
    pthread_t thread;
};

static int dial(uint16_t port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        fd = fd_close(fd);
    return fd;
}

static uint32_t number_at(const char *p)
{
    uint32_t n;
    memcpy(&n, p, sizeof(n));
    return ntohl(n);
}

static bool pass_on(int to, const char *p, ssize_t n, bool lose)
{
    return n > 0 && (lose || fd_write_all(to, p, (size_t)n) == 0);
}

/* Cuts the stream into requests, of which it passes on what the wire does not lose. */
static bool pass_requests(
    struct proxy *p, struct buf *pending, int server, const char *bytes, ssize_t n, bool *seen)
{
    int wire = p->wire; /* looked at after the read: it may just have been set */
    if (n <= 0)
        return false;
    buf_append(pending, bytes, (size_t)n);
    bool open = true;
    while (open && pending->n >= 12 && pending->n >= 4 + (size_t)number_at(pending->p)) {
        size_t size = 4 + (size_t)number_at(pending->p);
        *seen |= wire != WIRE_WHOLE && number_at(pending->p + 8) == ZK_MULTI;
        open = pass_on(server, pending->p, (ssize_t)size, *seen && wire == WIRE_LOSES_WRITES);
        buf_consume(pending, size);
    }
    return open;
}

static void serve(struct proxy *p, int client, int server)
{
    struct pollfd fds[] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
    bool open = client >= 0 && server >= 0, seen = false;
    _cleanup_buf_ struct buf pending = BUF_INIT;
    char bytes[65536];
    while (open && !p->stop && !p->cut) {
        if (poll(fds, 2, 5) <= 0)
            continue;
        if (fds[0].revents) {
            ssize_t n = read(client, bytes, sizeof(bytes));
            open = pass_requests(p, &pending, server, bytes, n, &seen);
        }
        if (open && fds[1].revents) {
            ssize_t n = read(server, bytes, sizeof(bytes));
            int wire = p->wire;
            open = pass_on(
                client, bytes, n, wire == WIRE_SILENT || (seen && wire == WIRE_LOSES_ANSWERS));
        }
    }
    if (p->cut) {
        p->wire = WIRE_WHOLE;
        p->cut = false;
    }
    fd_close(client);
    fd_close(server);
}

static void *proxy_main(void *arg)
{
    struct proxy *p = arg;
    struct pollfd fd = {p->listener, POLLIN, 0};
    while (!p->stop) {
        if (poll(&fd, 1, 5) <= 0)
            continue;
        int client = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);
        serve(p, client, dial(g_zk.port));
    }
    return NULL;
}

static void proxy_start(struct proxy *p)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    *p = (struct proxy){.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    assert_int_equal(bind(p->listener, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(p->listener, 8), 0);
    assert_int_equal(getsockname(p->listener, (struct sockaddr *)&a, &n), 0);
    p->port = ntohs(a.sin_port);
    assert_int_equal(pthread_create(&p->thread, NULL, proxy_main, p), 0);
}

static void proxy_stop(struct proxy *p)
{
    p->stop = true;
    pthread_join(p->thread, NULL);
    fd_close(p->listener);
}

/* ---- cases ---- */

struct setup {
    struct fixture f;
    struct proxy proxy;
    char url[64], direct_url[64];
    struct store *s;      /* through the proxy */
    struct store *direct; /* beside it */
};

static int set_up_with(void **state, int64_t session_timeout_us)
{
    static unsigned n;
    struct setup *t = xnew(struct setup);
    fixture_init(&t->f);
    proxy_start(&t->proxy);
    n++;
    (void)snprintf(t->url, sizeof(t->url), "zk://127.0.0.1:%u/zk%u", t->proxy.port, n);
    (void)snprintf(t->direct_url, sizeof(t->direct_url), "zk://127.0.0.1:%u/zk%u", g_zk.port, n);
    const struct store_options o = {.session_timeout_us = session_timeout_us};
    assert_int_equal(store_open_with(t->f.loop, t->url, &o, &t->s, NULL), 0);
    t->direct = must_open(&t->f, t->direct_url);
    *state = t;
    return 0;
}

/* Sessions do not end while a busy machine does other things. */
static int set_up(void **state)
{
    return set_up_with(state, 40 * USEC_PER_SEC);
}

static int set_up_short(void **state)
{
    return set_up_with(state, 4 * USEC_PER_SEC);
}

static int tear_down(void **state)
{
    struct setup *t = *state;
    store_close(t->direct);
    store_close(t->s);
    proxy_stop(&t->proxy);
    fixture_done(&t->f);
    free(t);
    return 0;
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
    ((struct leader *)userdata)->lost++;
}

static void lead(struct setup *t, struct store *s, struct leader *l)
{
    *l = (struct leader){0};
    store_on_lost(s, on_lost, l);
    assert_int_equal(store_lead(s, "info", on_leader, l), 0);
    while (l->calls == 0)
        loop_run_once(t->f.loop, true);
    assert_int_equal(l->status, 0);
}

static int64_t version_of(struct store *s, const char *key)
{
    int64_t version = 0;
    _cleanup_buf_ struct buf b = BUF_INIT;
    int r = store_get(s, key, &b, &version, NULL);
    return r == 0 ? version : 0;
}

/* The answer to a commit is lost together with the connection, after the commit took effect. */
static void test_lost_answer(void **state)
{
    struct setup *t = *state;
    struct leader l;
    lead(t, t->s, &l);
    int64_t before = put(&t->f, t->s, "a", "one");
    for (int round = 0; round < 3; round++) {
        struct store_op ops[] = {op_put("a", "two", before), op_put("b", "x", STORE_ANY_VERSION)};
        struct result r;
        t->proxy.wire = WIRE_LOSES_ANSWERS;
        must_start(t->s, ops, 2, &r);
        while (version_of(t->direct, "a") == before)
            loop_run_once(t->f.loop, false);
        assert_int_equal(r.calls, 0);
        t->proxy.cut = true;
        while (r.calls == 0)
            loop_run_once(t->f.loop, true);
        assert_int_equal(r.status, 0);
        assert_int_equal(r.versions[0], before + 1); /* once: a second time had counted on */
        assert_int_equal(r.versions[1], before + 2);
        assert_int_equal(version_of(t->direct, "a"), before + 1);
        before = put(&t->f, t->s, "a", "one");
        assert_int_equal(before, r.versions[1] + 1);
    }
    assert_int_equal(l.lost, 0);
}

/* The request is lost: it is sent again. */
static void test_lost_request(void **state)
{
    struct setup *t = *state;
    struct leader l;
    lead(t, t->s, &l);
    int64_t before = put(&t->f, t->s, "a", "one");
    struct store_op op = op_put("a", "two", before);
    struct result r;
    t->proxy.wire = WIRE_LOSES_WRITES;
    must_start(t->s, &op, 1, &r);
    int64_t until_us = clock_monotonic_us() + 200 * USEC_PER_MSEC;
    while (clock_monotonic_us() < until_us) {
        loop_run_once(t->f.loop, false);
        assert_int_equal(version_of(t->direct, "a"), before);
    }
    assert_int_equal(r.calls, 0);
    t->proxy.cut = true;
    while (r.calls == 0)
        loop_run_once(t->f.loop, true);
    assert_int_equal(r.status, 0);
    assert_int_equal(version_of(t->direct, "a"), before + 1);
    assert_int_equal(l.lost, 0);
}

/* No word for a whole session: it is over by our own clock, and nothing is written any more. */
static void test_session_runs_out(void **state)
{
    struct setup *t = *state;
    struct leader l;
    lead(t, t->s, &l);
    assert_true(store_confirm(t->s));
    put(&t->f, t->s, "a", "one");
    t->proxy.wire = WIRE_SILENT;
    struct store_op op = op_put("a", "two", 12345678);
    struct result r;
    must_start(t->s, &op, 1, &r);
    while (r.calls == 0 || l.lost == 0)
        loop_run_once(t->f.loop, true);
    assert_true(r.status < 0);
    assert_int_equal(l.lost, 1);
    assert_int_equal(store_epoch(t->s), 0);
    assert_false(store_confirm(t->s));
    assert_string_not_equal(store_failure(t->s), "");
    t->proxy.cut = true;
    struct result again;
    must_start(t->s, &op, 1, &again);
    while (again.calls == 0)
        loop_run_once(t->f.loop, true);
    assert_true(again.status < 0);
    assert_value(t->direct, "a", "one");
}

/* A leader whose epoch is over is refused, even if nobody told it. */
static void test_stale_epoch(void **state)
{
    struct setup *t = *state;
    struct leader old;
    lead(t, t->s, &old);
    put(&t->f, t->s, "a", "one");
    /* Somebody raises the epoch without an election. */
    struct store_backend *b = store_backend(t->direct);
    uint64_t epoch = 0;
    assert_int_equal(b->lead(b, "", &epoch, NULL), 0);
    assert_int_equal(epoch, old.epoch + 1);
    struct store_op op = op_put("a", "two", STORE_ANY_VERSION);
    struct result r = commit(&t->f, t->s, &op, 1);
    assert_int_equal(r.status, -EAGAIN);
    assert_int_equal(r.failed_op, -1);
    assert_int_equal(old.lost, 1);
    assert_string_equal(store_failure(t->s), "another process leads now");
    assert_value(t->direct, "a", "one");
}

/* The largest batches fit into a packet. */
static void test_largest_batches(void **state)
{
    struct setup *t = *state;
    static char value[STORE_VALUE_MAX], keys[STORE_BATCH_OPS_MAX][STORE_KEY_MAX + 1];
    memset(value, 'v', sizeof(value));
    struct store_op two[] = {
        {STORE_PUT, "big/1", value, STORE_VALUE_MAX - 40000, STORE_ANY_VERSION},
        {STORE_PUT, "big/2", value, STORE_VALUE_MAX - 10000, STORE_ANY_VERSION}};
    size_t size = store_op_size("big/1", two[0].n) + store_op_size("big/2", two[1].n);
    two[1].n -= size > STORE_BATCH_MAX ? size - STORE_BATCH_MAX : 0;
    size = store_op_size("big/1", two[0].n) + store_op_size("big/2", two[1].n);
    assert_true(size > STORE_BATCH_MAX - 1000 && size <= STORE_BATCH_MAX);
    assert_int_equal(commit(&t->f, t->s, two, 2).status, 0);
    /* Keys that are escaped whole. */
    struct store_op many[STORE_BATCH_OPS_MAX];
    size_t n = 0;
    for (size = 0; n < STORE_BATCH_OPS_MAX; n++) {
        memset(keys[n], ' ', 200);
        (void)snprintf(keys[n] + 196, 8, "%04zu", n);
        many[n] = (struct store_op){STORE_PUT, keys[n], value, 90, STORE_ANY_VERSION};
        size += store_op_size(keys[n], 90);
        if (size > STORE_BATCH_MAX)
            break;
    }
    assert_int_equal(commit(&t->f, t->s, many, n).status, 0);
    assert_int_equal(version_of(t->direct, keys[n - 1]) > 0, 1);
}

struct walk {
    char last[STORE_KEY_MAX + 1];
    size_t n;
};

static bool step(const struct store_entry *e, void *userdata)
{
    struct walk *w = userdata;
    assert_true(strcmp(e->key, w->last) > 0);
    (void)snprintf(w->last, sizeof(w->last), "%s", e->key);
    w->n++;
    return true;
}

/* Pages over many buckets, in order, while keys come and go. */
static void test_many_keys(void **state)
{
    struct setup *t = *state;
    enum { BATCHES = 10, EACH = 500, PAGE = 700 };
    static char keys[EACH][24];
    for (size_t i = 0; i < BATCHES; i++) {
        struct store_op ops[EACH];
        for (size_t k = 0; k < EACH; k++) {
            (void)snprintf(keys[k], sizeof(keys[k]), "k/%05zu", i * EACH + k);
            ops[k] = op_put(keys[k], "v", STORE_ABSENT);
        }
        assert_int_equal(commit(&t->f, t->s, ops, EACH).status, 0);
    }
    struct walk w = {.last = ""};
    int n;
    do {
        n = store_list(t->s, "k/", w.last[0] ? w.last : NULL, PAGE, step, &w, NULL);
        assert_true(n >= 0);
        if (w.n == PAGE) {
            struct store_op ops[] = {op_put("k/00699x", "v", STORE_ABSENT),
                op_put("k/00000x", "v", STORE_ABSENT), op_delete("k/04999", STORE_ANY_VERSION)};
            assert_int_equal(commit(&t->f, t->s, ops, 3).status, 0);
        }
    } while (n > 0);
    assert_int_equal(w.n, BATCHES * EACH); /* one more behind us, one ahead, one gone */
}

static void test_formats(void **state)
{
    struct setup *t = *state;
    struct store_backend *b = store_backend(t->direct);
    struct zk_store *z = container_of(b, struct zk_store, backend);
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"dcos-store 2 7 7 x 7", "newer release"},
        {"dcos-store 1 7 x", "is not ours"},
        {"something else", "is not ours"},
        {"", "is not ours"},
    };
    put(&t->f, t->direct, "a", "v");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct zk_op set = {.type = ZK_OP_SET,
            .path = z->state,
            .p = cases[i].text,
            .n = strlen(cases[i].text),
            .version = -1};
        ssize_t failed;
        assert_int_equal(zk_multi(z->session, &set, 1, &failed), 0);
        struct store *s = must_open(&t->f, t->direct_url);
        struct store_op op = op_put("a", "w", STORE_ANY_VERSION);
        assert_int_equal(commit(&t->f, s, &op, 1).status, -EBADMSG);
        if (!strstr(store_failure(s), cases[i].why))
            fail_msg("'%s': %s", cases[i].text, store_failure(s));
        store_close(s);
    }
    /* An entry that somebody else wrote. */
    _cleanup_free_ char *path = zk_store_path(z, "a");
    struct zk_op set = {.type = ZK_OP_SET, .path = path, .p = "?", .n = 1, .version = -1};
    ssize_t failed;
    assert_int_equal(zk_multi(z->session, &set, 1, &failed), 0);
    _cleanup_buf_ struct buf value = BUF_INIT;
    assert_int_equal(store_get(t->direct, "a", &value, NULL, NULL), -EBADMSG);
}

static void test_names(void **state)
{
    static const char *const keys[] = {
        "a", "agents/S12", "a b%c", "\xff\xfe", "..x", "x.", "%41", "\xc3\xa4/\xe2\x82\xac"};
    struct setup *t = *state;
    struct zk_store *z = container_of(store_backend(t->direct), struct zk_store, backend);
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        _cleanup_free_ char *path = zk_store_path(z, keys[i]);
        char key[STORE_KEY_MAX + 1];
        assert_true(zk_store_key(strrchr(path, '/') + 1, key));
        assert_string_equal(key, keys[i]);
    }
    static const char *const bad[] = {"", "%", "%4", "%zz", "a b", "a\n"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        char key[STORE_KEY_MAX + 1];
        assert_false(zk_store_key(bad[i], key));
    }
}

static int start_server(void **state)
{
    zk_server_start(&g_zk);
    return 0;
}

static int stop_server(void **state)
{
    zk_server_stop(&g_zk);
    return 0;
}

#define CASE(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(lost_answer),
        CASE(lost_request),
        cmocka_unit_test_setup_teardown(test_session_runs_out, set_up_short, tear_down),
        CASE(stale_epoch),
        CASE(largest_batches),
        CASE(many_keys),
        CASE(formats),
        CASE(names),
    };
    if (!zk_server_installed())
        return 77; /* skipped */
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
