#ifndef DCOS_STORE_QUEUE_H
#define DCOS_STORE_QUEUE_H

/*
 * The threads behind a store: one writes, one waits for leadership.
 *
 * The writer takes everything that queued up while it wrote the last group, hands it to the
 * implementation as one durable step, and moves the batches to a list of finished ones, which the
 * loop then answers in order. So a commit costs the loop a copy and a callback, and under load one
 * sync of the disk is shared by all that wait. All functions are for the loop's thread.
 *
 * Lists: `queue` and `done` are touched under the mutex only. `flushing` is filled and emptied
 * under the mutex by the writer, which alone looks at its batches in between.
 */

#include <pthread.h>

#include "store/backend.h"

enum queue_lead_state {
    LEAD_NO,       /* not asked for, or the lock thread waits */
    LEAD_LOCKED,   /* the writer has to raise the epoch */
    LEAD_ANSWERED, /* result is there, the loop has not looked yet */
    LEAD_OVER,     /* the loop has it */
};

struct store_queue {
    struct store_backend *backend;
    struct loop_wakeup *wakeup; /* sent when there is something to take */
    pthread_t writer, locker;
    bool locker_started;
    char *info; /* of us as leader */

    pthread_mutex_t mutex;
    pthread_cond_t work;  /* something to write, or stop */
    pthread_cond_t retry; /* stop, for a writer that waits before it tries again */
    struct list queue, flushing, done;
    size_t unanswered;
    bool stop;
    int failed; /* final errno, 0 while storage works */
    struct error complaint;
    enum queue_lead_state lead_state;
    int64_t locked_us; /* when the lock was ours */
    int lead_status;
    uint64_t lead_epoch;
    int64_t flush_started_us; /* 0 when none runs */
    struct store_stats stats;
    bool lost; /* leadership */
    char lost_why[ERROR_MSG_MAX];
};

/* Negative errno when no thread can be started; nothing is left over then. */
int queue_start(struct store_queue *q, struct store_backend *backend, struct loop_wakeup *wakeup);
/* Ends the wait for leadership, writes what waits (trying once if storage complains), ends the
 * threads and frees the batches. */
void queue_stop(struct store_queue *q);
void queue_push(struct store_queue *q, struct store_batch *batch);
/* -EALREADY the second time. */
int queue_lead(struct store_queue *q, const char *info);

/* What is finished since the last call. */
struct queue_answers {
    struct list done; /* of struct store_batch, the caller's from now on */
    bool led;         /* the bid for leadership was decided */
    int lead_status;
    uint64_t lead_epoch;
    bool lost; /* leadership, as lost_why says */
    char lost_why[ERROR_MSG_MAX];
    bool waiting;                /* for the disk: batches, or the epoch */
    char failure[ERROR_MSG_MAX]; /* of a failure for good, else "" */
};
/* From any thread. */
void queue_lost(struct store_queue *q, const char *why);
void queue_complain(struct store_queue *q, const char *why);
void queue_take(struct store_queue *q, struct queue_answers *ret);

/* Since when the oldest batch, or the epoch, waits for the disk, 0 = none does, and what storage
 * last complained of. */
int64_t queue_oldest(struct store_queue *q, char reason[ERROR_MSG_MAX]);
void queue_stats(const struct store_queue *q, struct store_stats *ret);

#endif
