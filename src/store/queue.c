#include "store/queue.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"

enum { GROUP_BATCHES_MAX = 1024, GROUP_BYTES_MAX = 8 * 1024 * 1024 };

#define RETRY_FIRST_US (50 * USEC_PER_MSEC)
#define RETRY_LAST_US (2 * USEC_PER_SEC)

/* ---- writer thread ---- */

static bool is_transient(int r)
{
    return r == -ENOSPC || r == -EDQUOT || r == -EBUSY;
}

/* Waits before the next attempt; false when the store is being closed. The mutex is held. */
static bool wait_before_retry(struct store_queue *q, int64_t delay_us)
{
    int64_t until = clock_monotonic_us() + delay_us;
    struct timespec at = {
        .tv_sec = until / USEC_PER_SEC, .tv_nsec = until % USEC_PER_SEC * NSEC_PER_USEC};
    while (!q->stop && pthread_cond_timedwait(&q->retry, &q->mutex, &at) == 0) {
    }
    return !q->stop;
}

static int try_once(struct store_queue *q, bool lead, uint64_t *ret_epoch, struct error *err)
{
    return lead ? q->backend->lead(q->backend, q->info, ret_epoch, err)
                : q->backend->flush(q->backend, &q->flushing, err);
}

/* One durable step, tried again as long as that may help. Called with the mutex held, which is let
 * go meanwhile. */
static int write_durably(struct store_queue *q, bool lead, uint64_t *ret_epoch)
{
    int r = q->failed;
    int64_t delay_us = RETRY_FIRST_US;
    while (r == 0) {
        struct error err = ERROR_INIT;
        pthread_mutex_unlock(&q->mutex);
        r = try_once(q, lead, ret_epoch, &err);
        pthread_mutex_lock(&q->mutex);
        if (r >= 0) {
            q->complaint = (struct error)ERROR_INIT;
            return 0;
        }
        q->complaint = err;
        if (!is_transient(r)) {
            q->failed = r;
        } else if (wait_before_retry(q, delay_us)) {
            delay_us = MIN(2 * delay_us, RETRY_LAST_US);
            r = 0;
        }
    }
    return r;
}

static void take_group(struct store_queue *q)
{
    size_t n = 0, bytes = 0;
    LIST_FOREACH_SAFE (batch, &q->queue, struct store_batch, node) {
        if (n == GROUP_BATCHES_MAX || (n > 0 && bytes + batch->bytes > GROUP_BYTES_MAX))
            break;
        list_remove(&batch->node);
        list_push(&q->flushing, &batch->node);
        n++;
        bytes += batch->bytes;
    }
}

static void write_group(struct store_queue *q)
{
    take_group(q);
    q->flush_started_us = clock_monotonic_us();
    int r = write_durably(q, false, NULL);
    int64_t took_us = clock_monotonic_us() - q->flush_started_us;
    q->flush_started_us = 0;
    q->stats.flushes++;
    q->stats.last_flush_us = took_us;
    q->stats.max_flush_us = MAX(q->stats.max_flush_us, took_us);
    LIST_FOREACH (batch, &q->flushing, struct store_batch, node) {
        if (r < 0) {
            batch->status = r;
            batch->failed_op = -1;
        }
        q->stats.commits++;
    }
    list_splice(&q->done, &q->flushing);
    loop_wakeup_send(q->wakeup);
    if (q->backend->idle && r == 0) {
        pthread_mutex_unlock(&q->mutex);
        q->backend->idle(q->backend);
        pthread_mutex_lock(&q->mutex);
    }
}

static void write_epoch(struct store_queue *q)
{
    uint64_t epoch = 0;
    q->lead_status = write_durably(q, true, &epoch);
    q->lead_epoch = epoch;
    q->lead_state = LEAD_ANSWERED;
    loop_wakeup_send(q->wakeup);
}

static void *writer_main(void *arg)
{
    struct store_queue *q = arg;
    pthread_mutex_lock(&q->mutex);
    for (;;) {
        if (q->lead_state == LEAD_LOCKED && !q->stop)
            write_epoch(q);
        else if (!list_empty(&q->queue))
            write_group(q);
        else if (q->stop)
            break;
        else
            pthread_cond_wait(&q->work, &q->mutex);
    }
    pthread_mutex_unlock(&q->mutex);
    return NULL;
}

static void *locker_main(void *arg)
{
    struct store_queue *q = arg;
    struct error err = ERROR_INIT;
    int r = q->backend->lock(q->backend, q->info, &err);
    pthread_mutex_lock(&q->mutex);
    if (r < 0) {
        q->complaint = err;
        q->lead_status = r;
        q->lead_state = LEAD_ANSWERED;
        loop_wakeup_send(q->wakeup);
    } else {
        q->lead_state = LEAD_LOCKED;
        q->locked_us = clock_monotonic_us();
        pthread_cond_signal(&q->work);
        loop_wakeup_send(q->wakeup); /* to watch over how long the epoch takes */
    }
    pthread_mutex_unlock(&q->mutex);
    return NULL;
}

/* Signals are for the thread of the loop. */
static int start_thread(pthread_t *ret, void *(*fn)(void *), struct store_queue *q)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(ret, NULL, fn, q);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -r;
}

/* ---- the loop's side ---- */

static void done(struct store_queue *q)
{
    struct list *const lists[] = {&q->queue, &q->flushing, &q->done};
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
        LIST_FOREACH_SAFE (batch, lists[i], struct store_batch, node) {
            list_remove(&batch->node);
            free(batch);
        }
    pthread_cond_destroy(&q->work);
    pthread_cond_destroy(&q->retry);
    pthread_mutex_destroy(&q->mutex);
    free(TAKE_PTR(q->info));
}

int queue_start(struct store_queue *q, struct store_backend *backend, struct loop_wakeup *wakeup)
{
    *q = (struct store_queue){.backend = backend, .wakeup = wakeup};
    list_init(&q->queue);
    list_init(&q->flushing);
    list_init(&q->done);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&q->mutex, NULL);
    pthread_cond_init(&q->work, &attr);
    pthread_cond_init(&q->retry, &attr);
    pthread_condattr_destroy(&attr);
    int r = start_thread(&q->writer, writer_main, q);
    if (r < 0)
        done(q);
    return r;
}

void queue_stop(struct store_queue *q)
{
    pthread_mutex_lock(&q->mutex);
    q->stop = true;
    pthread_cond_broadcast(&q->work);
    pthread_cond_broadcast(&q->retry);
    pthread_mutex_unlock(&q->mutex);
    if (q->backend->closing)
        q->backend->closing(q->backend);
    if (q->locker_started) {
        q->backend->cancel_lock(q->backend);
        pthread_join(q->locker, NULL);
    }
    pthread_join(q->writer, NULL);
    done(q);
}

void queue_push(struct store_queue *q, struct store_batch *batch)
{
    pthread_mutex_lock(&q->mutex);
    list_push(&q->queue, &batch->node);
    q->unanswered++;
    pthread_cond_signal(&q->work);
    pthread_mutex_unlock(&q->mutex);
}

int queue_lead(struct store_queue *q, const char *info)
{
    if (q->locker_started)
        return -EALREADY;
    q->info = xstrdup(info);
    int r = start_thread(&q->locker, locker_main, q);
    if (r < 0)
        free(TAKE_PTR(q->info));
    q->locker_started = r == 0;
    return r;
}

void queue_lost(struct store_queue *q, const char *why)
{
    pthread_mutex_lock(&q->mutex);
    if (!q->lost)
        (void)snprintf(q->lost_why, sizeof(q->lost_why), "%s", why);
    q->lost = true;
    pthread_mutex_unlock(&q->mutex);
    loop_wakeup_send(q->wakeup);
}

void queue_complain(struct store_queue *q, const char *why)
{
    pthread_mutex_lock(&q->mutex);
    (void)snprintf(q->complaint.msg, sizeof(q->complaint.msg), "%s", why);
    pthread_mutex_unlock(&q->mutex);
}

void queue_take(struct store_queue *q, struct queue_answers *ret)
{
    list_init(&ret->done);
    ret->failure[0] = '\0';
    pthread_mutex_lock(&q->mutex);
    ret->lost = q->lost;
    memcpy(ret->lost_why, q->lost_why, sizeof(ret->lost_why));
    list_splice(&ret->done, &q->done);
    LIST_FOREACH (batch, &ret->done, struct store_batch, node)
        q->unanswered--;
    ret->led = q->lead_state == LEAD_ANSWERED;
    ret->lead_status = q->lead_status;
    ret->lead_epoch = q->lead_epoch;
    if (ret->led)
        q->lead_state = LEAD_OVER;
    ret->waiting = q->unanswered > 0 || q->lead_state == LEAD_LOCKED;
    if (q->failed || (ret->led && q->lead_status < 0))
        memcpy(ret->failure, q->complaint.msg, sizeof(ret->failure));
    pthread_mutex_unlock(&q->mutex);
}

int64_t queue_oldest(struct store_queue *q, char reason[ERROR_MSG_MAX])
{
    pthread_mutex_lock(&q->mutex);
    struct store_batch *oldest = list_first(&q->flushing, struct store_batch, node);
    if (!oldest)
        oldest = list_first(&q->queue, struct store_batch, node);
    int64_t since_us = oldest ? oldest->queued_us : 0;
    if (q->lead_state == LEAD_LOCKED && (since_us == 0 || q->locked_us < since_us))
        since_us = q->locked_us;
    memcpy(reason, q->complaint.msg, ERROR_MSG_MAX);
    pthread_mutex_unlock(&q->mutex);
    return since_us;
}

void queue_stats(const struct store_queue *q, struct store_stats *ret)
{
    pthread_mutex_t *mutex = (pthread_mutex_t *)&q->mutex;
    pthread_mutex_lock(mutex);
    *ret = q->stats;
    ret->queued = q->unanswered;
    if (q->flush_started_us)
        ret->max_flush_us = MAX(ret->max_flush_us, clock_monotonic_us() - q->flush_started_us);
    pthread_mutex_unlock(mutex);
}
