/*
 * The front end of every store.
 *
 * store_commit() copies the batch into a queue. A writer thread takes everything that queued up
 * while it wrote the last group, hands it to the implementation as one durable step, and moves the
 * batches to a list of finished ones, which the loop then answers in order. So a commit costs the
 * loop a copy and a callback, and under load one sync of the disk is shared by all that wait.
 *
 * Lists: `queue` and `done` are touched under the mutex only. `flushing` is filled and emptied
 * under the mutex by the writer, which alone looks at its batches in between.
 */

#include "store/store.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "store/backend.h"

enum {
    GROUP_BATCHES_MAX = 1024,
    GROUP_BYTES_MAX = 8 * 1024 * 1024,
    SLOW_REPEAT = 10, /* times the first delay between two reports */
};

#define RETRY_FIRST_US (50 * USEC_PER_MSEC)
#define RETRY_LAST_US (2 * USEC_PER_SEC)

enum lead_state {
    LEAD_NO,       /* not asked for, or the lock thread waits */
    LEAD_LOCKED,   /* the writer has to raise the epoch */
    LEAD_ANSWERED, /* result is there, the loop has not looked yet */
    LEAD_OVER,     /* the callback was called */
};

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

    pthread_t writer, locker;
    bool locker_started;
    char *info;

    pthread_mutex_t mutex;
    pthread_cond_t work;  /* something to write, or stop */
    pthread_cond_t retry; /* stop, for a writer that waits before it tries again */
    struct list queue, flushing, done;
    size_t unanswered;
    bool stop;
    int failed; /* final errno, 0 while storage works */
    struct error complaint;
    enum lead_state lead_state;
    int lead_status;
    uint64_t lead_epoch;
    int64_t flush_started_us; /* 0 when none runs */
    struct store_stats stats;
};

struct store_backend *store_backend(struct store *s)
{
    return s->backend;
}

/* ---- writer thread ---- */

static bool is_transient(int r)
{
    return r == -ENOSPC || r == -EDQUOT || r == -EBUSY;
}

/* Waits before the next attempt; false when the store is being closed. Called with the mutex held.
 */
static bool wait_before_retry(struct store *s, int64_t delay_us)
{
    int64_t until = clock_monotonic_us() + delay_us;
    struct timespec at = {
        .tv_sec = until / USEC_PER_SEC, .tv_nsec = until % USEC_PER_SEC * NSEC_PER_USEC};
    while (!s->stop && pthread_cond_timedwait(&s->retry, &s->mutex, &at) == 0) {
    }
    return !s->stop;
}

static int try_once(struct store *s, bool lead, uint64_t *ret_epoch, struct error *err)
{
    return lead ? s->backend->lead(s->backend, s->info, ret_epoch, err)
                : s->backend->flush(s->backend, &s->flushing, err);
}

/* One durable step, tried again as long as that may help. Called with the mutex held, which is let
 * go meanwhile. */
static int write_durably(struct store *s, bool lead, uint64_t *ret_epoch)
{
    int r = s->failed;
    int64_t delay_us = RETRY_FIRST_US;
    while (r == 0) {
        struct error err = ERROR_INIT;
        pthread_mutex_unlock(&s->mutex);
        r = try_once(s, lead, ret_epoch, &err);
        pthread_mutex_lock(&s->mutex);
        if (r >= 0) {
            s->complaint = (struct error)ERROR_INIT;
            return 0;
        }
        s->complaint = err;
        if (!is_transient(r)) {
            s->failed = r;
        } else if (wait_before_retry(s, delay_us)) {
            delay_us = MIN(2 * delay_us, RETRY_LAST_US);
            r = 0;
        }
    }
    return r;
}

static void take_group(struct store *s)
{
    size_t n = 0, bytes = 0;
    LIST_FOREACH_SAFE (batch, &s->queue, struct store_batch, node) {
        if (n == GROUP_BATCHES_MAX || (n > 0 && bytes + batch->bytes > GROUP_BYTES_MAX))
            break;
        list_remove(&batch->node);
        list_push(&s->flushing, &batch->node);
        n++;
        bytes += batch->bytes;
    }
}

static void write_group(struct store *s)
{
    take_group(s);
    s->flush_started_us = clock_monotonic_us();
    int r = write_durably(s, false, NULL);
    int64_t took_us = clock_monotonic_us() - s->flush_started_us;
    s->flush_started_us = 0;
    s->stats.flushes++;
    s->stats.last_flush_us = took_us;
    s->stats.max_flush_us = MAX(s->stats.max_flush_us, took_us);
    LIST_FOREACH (batch, &s->flushing, struct store_batch, node) {
        if (r < 0) {
            batch->status = r;
            batch->failed_op = -1;
        }
        s->stats.commits++;
    }
    list_splice(&s->done, &s->flushing);
    loop_wakeup_send(s->wakeup);
    if (s->backend->idle && r == 0) {
        pthread_mutex_unlock(&s->mutex);
        s->backend->idle(s->backend);
        pthread_mutex_lock(&s->mutex);
    }
}

static void write_epoch(struct store *s)
{
    uint64_t epoch = 0;
    s->lead_status = write_durably(s, true, &epoch);
    s->lead_epoch = epoch;
    s->lead_state = LEAD_ANSWERED;
    loop_wakeup_send(s->wakeup);
}

static void *writer_main(void *arg)
{
    struct store *s = arg;
    pthread_mutex_lock(&s->mutex);
    for (;;) {
        if (s->lead_state == LEAD_LOCKED && !s->stop)
            write_epoch(s);
        else if (!list_empty(&s->queue))
            write_group(s);
        else if (s->stop)
            break;
        else
            pthread_cond_wait(&s->work, &s->mutex);
    }
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}

static void *locker_main(void *arg)
{
    struct store *s = arg;
    struct error err = ERROR_INIT;
    int r = s->backend->lock(s->backend, &err);
    pthread_mutex_lock(&s->mutex);
    if (r < 0) {
        s->complaint = err;
        s->lead_status = r;
        s->lead_state = LEAD_ANSWERED;
        loop_wakeup_send(s->wakeup);
    } else {
        s->lead_state = LEAD_LOCKED;
        pthread_cond_signal(&s->work);
    }
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}

/* Signals are for the thread of the loop. */
static int start_thread(pthread_t *ret, void *(*fn)(void *), struct store *s)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(ret, NULL, fn, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -r;
}

/* ---- opening and closing ---- */

static void deliver(void *userdata);
static void on_slow_timer(struct timer *t);

static int open_backend(const char *url, struct store_backend **ret, struct error *err)
{
    if (has_prefix(url, "sqlite:"))
        return store_sqlite_open(url + strlen("sqlite:"), ret, err);
    if (has_prefix(url, "memory:"))
        return store_memory_open(url + strlen("memory:"), ret, err);
    return error_set(err, -EINVAL,
        "store '%s': expected sqlite:PATH, as in sqlite:/var/lib/dcos/master.db", url);
}

int store_open(struct loop *l, const char *url, struct store **ret, struct error *err)
{
    struct store_backend *backend;
    int r = open_backend(url, &backend, err);
    if (r < 0)
        return r;
    struct store *s = xnew(struct store);
    s->loop = l;
    s->backend = backend;
    list_init(&s->watches);
    list_init(&s->queue);
    list_init(&s->flushing);
    list_init(&s->done);
    pthread_mutex_init(&s->mutex, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->work, &attr);
    pthread_cond_init(&s->retry, &attr);
    pthread_condattr_destroy(&attr);
    timer_init(&s->slow_timer, l, on_slow_timer);
    s->wakeup = loop_wakeup_new(l, deliver, s);
    r = start_thread(&s->writer, writer_main, s);
    if (r < 0) {
        loop_wakeup_free(s->wakeup);
        backend->free(backend);
        free(s);
        return error_errno(err, r, "store '%s': thread", url);
    }
    *ret = s;
    return 0;
}

static void free_batches(struct list *head)
{
    LIST_FOREACH_SAFE (batch, head, struct store_batch, node)
        free(batch);
    list_init(head);
}

void store_close(struct store *s)
{
    if (!s)
        return;
    if (s->delivering) {
        s->close_asked = true; /* done when the callbacks have returned */
        return;
    }
    pthread_mutex_lock(&s->mutex);
    s->stop = true;
    pthread_cond_broadcast(&s->work);
    pthread_cond_broadcast(&s->retry);
    pthread_mutex_unlock(&s->mutex);
    if (s->locker_started) {
        s->backend->cancel_lock(s->backend);
        pthread_join(s->locker, NULL);
    }
    pthread_join(s->writer, NULL);
    loop_wakeup_free(s->wakeup);
    timer_stop(&s->slow_timer);
    s->backend->free(s->backend);
    free_batches(&s->queue);
    free_batches(&s->done);
    LIST_FOREACH_SAFE (w, &s->watches, struct store_watch, node) {
        list_remove(&w->node);
        w->store = NULL;
    }
    pthread_cond_destroy(&s->work);
    pthread_cond_destroy(&s->retry);
    pthread_mutex_destroy(&s->mutex);
    free(s->info);
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

static void lose(struct store *s)
{
    if (s->lost)
        return;
    s->lost = true;
    if (s->lost_fn)
        s->lost_fn(s->lost_userdata);
}

static void answer(struct store *s, struct store_batch *batch)
{
    if (batch->status == 0)
        notify_watches(s, batch);
    else if (batch->status == -EAGAIN && batch->failed_op < 0)
        lose(s);
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
    struct list done;
    list_init(&done);
    pthread_mutex_lock(&s->mutex);
    list_splice(&done, &s->done);
    bool led = s->lead_state == LEAD_ANSWERED;
    int status = s->lead_status;
    uint64_t epoch = s->lead_epoch;
    if (led)
        s->lead_state = LEAD_OVER;
    if (s->failed || (led && status < 0))
        memcpy(s->failure, s->complaint.msg, sizeof(s->failure));
    LIST_FOREACH (batch, &done, struct store_batch, node)
        s->unanswered--;
    if (s->unanswered == 0)
        timer_stop(&s->slow_timer);
    pthread_mutex_unlock(&s->mutex);

    s->delivering = true;
    if (led)
        answer_leader(s, status, epoch);
    LIST_FOREACH_SAFE (batch, &done, struct store_batch, node)
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
    if (s->locker_started)
        return -EALREADY;
    s->info = xstrdup(info);
    s->lead_cb = cb;
    s->lead_userdata = userdata;
    int r = start_thread(&s->locker, locker_main, s);
    if (r < 0) {
        free(TAKE_PTR(s->info));
        return r;
    }
    s->locker_started = true;
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
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        int r = check_op(&ops[i], i, err);
        if (r < 0)
            return r;
        bytes += strlen(ops[i].key) + (ops[i].type == STORE_PUT ? ops[i].n : 0);
    }
    if (bytes > STORE_BATCH_MAX)
        return error_set(
            err, -EMSGSIZE, "batch of %zu bytes, more than %d", bytes, STORE_BATCH_MAX);
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
    pthread_mutex_lock(&s->mutex);
    list_push(&s->queue, &batch->node);
    s->unanswered++;
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->mutex);
    if (s->slow_fn && !timer_active(&s->slow_timer))
        timer_start(&s->slow_timer, s->slow_after_us);
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
    pthread_mutex_lock(&s->mutex);
    struct store_batch *oldest = list_first(&s->flushing, struct store_batch, node);
    if (!oldest)
        oldest = list_first(&s->queue, struct store_batch, node);
    int64_t queued_us = oldest ? oldest->queued_us : 0;
    memcpy(reason, s->complaint.msg, sizeof(reason));
    pthread_mutex_unlock(&s->mutex);
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
    pthread_mutex_t *mutex = (pthread_mutex_t *)&s->mutex;
    pthread_mutex_lock(mutex);
    *ret = s->stats;
    ret->queued = s->unanswered;
    if (s->flush_started_us)
        ret->max_flush_us = MAX(ret->max_flush_us, clock_monotonic_us() - s->flush_started_us);
    pthread_mutex_unlock(mutex);
}
