/* The front end of every store: limits, callbacks, watches, leadership as the loop sees it. */

#include "store/store.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "store/queue.h"

enum { SLOW_REPEAT = 10 }; /* times the first delay between two reports */

struct store_watch {
    struct list node;
    struct store *store; /* NULL once the store is closed */
    char *prefix;
    void (*fn)(const struct store_entry *e, void *userdata);
    void *userdata;
    bool freed; /* while a walk over the watches is under way */
};

struct store {
    struct store_backend *backend;
    struct loop *loop;
    struct loop_wakeup *wakeup;

    /* Only on the loop's thread. */
    struct list watches;
    unsigned walking; /* walks over the watches under way */
    bool delivering, close_asked;
    uint64_t epoch;
    bool lost;
    store_leader_cb lead_cb;
    void *lead_userdata;
    void (*lost_fn)(void *userdata);
    void *lost_userdata;
    struct timer slow_timer;
    int64_t slow_after_us;
    void (*slow_fn)(int64_t waited_us, const char *reason, void *userdata);
    void *slow_userdata;
    char failure[ERROR_MSG_MAX];

    struct store_host host;
    struct store_queue queue;
};

struct store_backend *store_backend(struct store *s)
{
    return s->backend;
}

/* ---- opening and closing ---- */

static void deliver(void *userdata);
static void on_slow_timer(struct timer *t);

static void watch_slowness(struct store *s)
{
    if (s->slow_fn && !timer_active(&s->slow_timer))
        timer_start(&s->slow_timer, s->slow_after_us);
}

static int open_backend(struct loop *l, const char *url, const struct store_options *o,
    struct store_backend **ret, struct error *err)
{
    if (has_prefix(url, "sqlite:"))
        return store_sqlite_open(url + strlen("sqlite:"), ret, err);
    if (has_prefix(url, "memory:"))
        return store_memory_open(url + strlen("memory:"), ret, err);
    if (has_prefix(url, "zk://"))
        return store_zk_open(l, url, o, ret, err);
    return error_set(err, -EINVAL,
        "store '%s': expected sqlite:PATH, as in sqlite:/var/lib/dcos/master.db, or "
        "zk://host:port,.../path",
        url);
}

static void host_lost(void *userdata, const char *why)
{
    struct store *s = userdata;
    queue_lost(&s->queue, why);
}

static void host_complain(void *userdata, const char *why)
{
    struct store *s = userdata;
    queue_complain(&s->queue, why);
}

int store_open(struct loop *l, const char *url, struct store **ret, struct error *err)
{
    static const struct store_options defaults = {0};
    return store_open_with(l, url, &defaults, ret, err);
}

int store_open_with(struct loop *l, const char *url, const struct store_options *o,
    struct store **ret, struct error *err)
{
    struct store_backend *backend;
    int r = open_backend(l, url, o, &backend, err);
    if (r < 0)
        return r;
    struct store *s = xnew(struct store);
    s->loop = l;
    s->backend = backend;
    s->host = (struct store_host){s, host_lost, host_complain};
    backend->host = &s->host;
    list_init(&s->watches);
    timer_init(&s->slow_timer, l, on_slow_timer);
    s->wakeup = loop_wakeup_new(l, deliver, s);
    r = queue_start(&s->queue, backend, s->wakeup);
    if (r < 0) {
        loop_wakeup_free(s->wakeup);
        backend->free(backend);
        free(s);
        return error_errno(err, r, "store: thread");
    }
    *ret = s;
    return 0;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    if (s->delivering) {
        s->close_asked = true; /* done when the callbacks have returned */
        return;
    }
    queue_stop(&s->queue);
    loop_wakeup_free(s->wakeup);
    timer_stop(&s->slow_timer);
    s->backend->free(s->backend);
    LIST_FOREACH_SAFE (w, &s->watches, struct store_watch, node) {
        list_remove(&w->node);
        w->store = NULL;
    }
    free(s);
}

/* ---- answers ---- */

static void notify_watches(struct store *s, const struct store_batch *batch)
{
    if (list_empty(&s->watches))
        return;
    s->walking++;
    for (size_t i = 0; i < batch->n; i++) {
        const struct store_op *op = &batch->ops[i];
        if (op->type == STORE_CHECK)
            continue;
        struct store_entry e = {.key = op->key, .version = batch->new_versions[i]};
        if (op->type == STORE_PUT)
            e.value = (struct str){op->value, op->n};
        LIST_FOREACH (w, &s->watches, struct store_watch, node)
            if (!w->freed && has_prefix(op->key, w->prefix))
                w->fn(&e, w->userdata);
    }
    s->walking--;
    LIST_FOREACH_SAFE (w, &s->watches, struct store_watch, node)
        if (w->freed && s->walking == 0) {
            w->freed = false;
            store_watch_free(w);
        }
}

static void lose(struct store *s, const char *why)
{
    if (s->lost)
        return;
    s->lost = true;
    (void)snprintf(s->failure, sizeof(s->failure), "%s", why);
    if (s->lost_fn)
        s->lost_fn(s->lost_userdata);
}

static void answer(struct store *s, struct store_batch *batch)
{
    if (batch->status == 0)
        notify_watches(s, batch);
    else if (batch->status == -EAGAIN && batch->failed_op < 0)
        lose(s, "another process leads now");
    if (batch->cb && !s->close_asked)
        batch->cb(batch->status, batch->failed_op, batch->new_versions, batch->userdata);
    free(batch);
}

static void answer_leader(struct store *s, int status, uint64_t epoch)
{
    if (status == 0)
        s->epoch = epoch;
    store_leader_cb cb = s->lead_cb;
    s->lead_cb = NULL;
    cb(status, epoch, s->lead_userdata);
}

/* The loop's side of the writer: calls back for everything that is finished. */
static void deliver(void *userdata)
{
    struct store *s = userdata;
    struct queue_answers answers;
    queue_take(&s->queue, &answers);
    if (answers.failure[0])
        memcpy(s->failure, answers.failure, sizeof(s->failure));
    if (answers.waiting)
        watch_slowness(s);
    else
        timer_stop(&s->slow_timer);
    s->delivering = true;
    if (answers.lost)
        lose(s, answers.lost_why);
    if (answers.led)
        answer_leader(s, answers.lead_status, answers.lead_epoch);
    LIST_FOREACH_SAFE (batch, &answers.done, struct store_batch, node)
        answer(s, batch);
    s->delivering = false;
    if (s->close_asked)
        store_close(s);
}

const char *store_failure(const struct store *s)
{
    return s->failure;
}

/* ---- leadership ---- */

int store_lead(struct store *s, const char *info, store_leader_cb cb, void *userdata)
{
    int r = queue_lead(&s->queue, info);
    if (r < 0)
        return r;
    s->lead_cb = cb;
    s->lead_userdata = userdata;
    return 0;
}

void store_on_lost(struct store *s, void (*fn)(void *userdata), void *userdata)
{
    s->lost_fn = fn;
    s->lost_userdata = userdata;
}

uint64_t store_epoch(const struct store *s)
{
    return s->lost ? 0 : s->epoch;
}

bool store_confirm(struct store *s)
{
    if (s->lost)
        return false;
    return s->epoch == 0 || !s->backend->confirm || s->backend->confirm(s->backend);
}

int store_leader_info(struct store *s, struct buf *ret, struct error *err)
{
    return s->backend->leader_info(s->backend, store_epoch(s) > 0, ret, err);
}

/* ---- commits ---- */

static bool key_is_valid(const char *key)
{
    /* What no file system or ZooKeeper could hold is refused here as well, so that state can move
     * from one implementation to another. */
    if (!*key)
        return false;
    for (const char *p = key; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return false;
    struct str rest = str_of(key), part;
    while (str_split(&rest, '/', &part))
        if (part.n == 0 || str_eq_c(part, ".") || str_eq_c(part, ".."))
            return false;
    return true;
}

static int check_op(const struct store_op *op, size_t i, struct error *err)
{
    if (!op->key || !key_is_valid(op->key))
        return error_set(
            err, -EINVAL, "operation %zu: malformed key '%.64s'", i, op->key ? op->key : "");
    if (strlen(op->key) > STORE_KEY_MAX)
        return error_set(
            err, -EMSGSIZE, "key '%.64s...' is longer than %d bytes", op->key, STORE_KEY_MAX);
    if (op->version < STORE_ANY_VERSION)
        return error_set(err, -EINVAL, "key '%s': malformed version", op->key);
    if (op->type == STORE_PUT && op->n > STORE_VALUE_MAX)
        return error_set(err, -EMSGSIZE, "value of '%s' has %zu bytes, more than %d", op->key,
            op->n, STORE_VALUE_MAX);
    return 0;
}

static int check_batch(const struct store_op *ops, size_t n, size_t *ret_bytes, struct error *err)
{
    if (n > STORE_BATCH_OPS_MAX)
        return error_set(
            err, -EMSGSIZE, "batch of %zu operations, more than %d", n, STORE_BATCH_OPS_MAX);
    size_t bytes = 0, counted = 0;
    for (size_t i = 0; i < n; i++) {
        int r = check_op(&ops[i], i, err);
        if (r < 0)
            return r;
        size_t value = ops[i].type == STORE_PUT ? ops[i].n : 0;
        bytes += strlen(ops[i].key) + value;
        counted += store_op_size(ops[i].key, value);
    }
    if (counted > STORE_BATCH_MAX)
        return error_set(
            err, -EMSGSIZE, "batch of %zu bytes, more than %d", counted, STORE_BATCH_MAX);
    *ret_bytes = bytes;
    return 0;
}

static struct store_batch *copy_batch(const struct store_op *ops, size_t n, size_t bytes)
{
    /* Operations, versions, then keys (with NUL) and values back to back. */
    size_t fixed = sizeof(struct store_batch) + n * (sizeof(struct store_op) + sizeof(int64_t));
    struct store_batch *batch = xmalloc(fixed + bytes + n);
    memset(batch, 0, fixed);
    list_init(&batch->node);
    batch->n = n;
    batch->bytes = bytes;
    batch->failed_op = -1;
    batch->new_versions = (int64_t *)(void *)(batch->ops + n);
    char *p = (char *)batch + fixed;
    for (size_t i = 0; i < n; i++) {
        struct store_op *op = &batch->ops[i];
        *op = ops[i];
        size_t key_size = strlen(ops[i].key) + 1;
        op->key = memcpy(p, ops[i].key, key_size);
        p += key_size;
        if (op->type == STORE_PUT) {
            if (op->n > 0)
                memcpy(p, ops[i].value, op->n);
            op->value = p;
            p += op->n;
        }
    }
    return batch;
}

int store_commit(struct store *s, const struct store_op *ops, size_t n, store_commit_cb cb,
    void *userdata, struct error *err)
{
    size_t bytes = 0;
    int r = check_batch(ops, n, &bytes, err);
    if (r < 0)
        return r;
    struct store_batch *batch = copy_batch(ops, n, bytes);
    batch->cb = cb;
    batch->userdata = userdata;
    /* A leader that lost keeps its old epoch, so that nothing of it gets through. */
    batch->epoch = s->epoch;
    batch->queued_us = clock_monotonic_us();
    queue_push(&s->queue, batch);
    watch_slowness(s);
    return 0;
}

/* ---- reads ---- */

int store_get(
    struct store *s, const char *key, struct buf *ret, int64_t *ret_version, struct error *err)
{
    return s->backend->get(s->backend, key, ret, ret_version, err);
}

int store_list(struct store *s, const char *prefix, const char *after, size_t max,
    bool (*fn)(const struct store_entry *e, void *userdata), void *userdata, struct error *err)
{
    return s->backend->list(s->backend, prefix, after, max, fn, userdata, err);
}

struct store_watch *store_watch(struct store *s, const char *prefix,
    void (*fn)(const struct store_entry *e, void *userdata), void *userdata)
{
    struct store_watch *w = xnew(struct store_watch);
    w->store = s;
    w->prefix = xstrdup(prefix);
    w->fn = fn;
    w->userdata = userdata;
    list_push(&s->watches, &w->node);
    return w;
}

void store_watch_free(struct store_watch *w)
{
    if (!w)
        return;
    if (w->store && w->store->walking > 0) {
        w->freed = true;
        return;
    }
    if (w->store)
        list_remove(&w->node);
    free(w->prefix);
    free(w);
}

/* ---- slowness and statistics ---- */

void store_on_slow(struct store *s, int64_t after_us,
    void (*fn)(int64_t waited_us, const char *reason, void *userdata), void *userdata)
{
    s->slow_after_us = after_us;
    s->slow_fn = fn;
    s->slow_userdata = userdata;
}

static void on_slow_timer(struct timer *t)
{
    struct store *s = container_of(t, struct store, slow_timer);
    char reason[ERROR_MSG_MAX];
    int64_t queued_us = queue_oldest(&s->queue, reason);
    if (queued_us == 0)
        return;
    int64_t waited_us = clock_monotonic_us() - queued_us;
    bool report = waited_us >= s->slow_after_us;
    timer_start(t, report ? SLOW_REPEAT * s->slow_after_us : s->slow_after_us - waited_us);
    if (report && s->slow_fn)
        s->slow_fn(waited_us, reason, s->slow_userdata);
}

void store_stats(const struct store *s, struct store_stats *ret)
{
    queue_stats(&s->queue, ret);
}
