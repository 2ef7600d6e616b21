#include "zk/lease.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

enum {
    QUESTIONS = 10, /* in one session timeout */
    EXIT_STUCK = 70,
};

#define LAST_WORDS_US (500 * USEC_PER_MSEC)

struct zk_lease {
    struct zk_session *s;
    char *node;
    void (*on_lost)(const char *why, void *userdata);
    void *userdata;
    pthread_t thread;

    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct loop_wakeup *wakeup;
    bool stop, lost, asking;
    int64_t started_us;
    int64_t asked_us;     /* the question under way */
    int64_t confirmed_us; /* when the last question that got a yes was asked */
    unsigned silent;      /* questions since the loop last turned */
    bool confirming;      /* the loop waits for us, not for something else */
};

static int64_t valid_us(struct zk_lease *l)
{
    return zk_session_timeout_us(l->s) / 4 * 3;
}

/* The mutex is held. */
static bool is_valid(struct zk_lease *l)
{
    return !l->lost && clock_boottime_us() - l->confirmed_us < valid_us(l);
}

static void lose(struct zk_lease *l, const char *why)
{
    pthread_mutex_lock(&l->mutex);
    bool news = !l->lost && !l->stop;
    l->lost = true;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->mutex);
    if (!news)
        return;
    zk_session_give_up(l->s);
    l->on_lost(why, l->userdata);
}

/* On a thread of the client, or on ours. */
static void on_answer(int status, void *userdata)
{
    struct zk_lease *l = userdata;
    pthread_mutex_lock(&l->mutex);
    l->asking = false;
    if (status == 0)
        l->confirmed_us = MAX(l->confirmed_us, l->asked_us);
    bool gone = status == -ENOENT;
    /* A yes to a question from before the process was stopped: ask a new one. */
    bool again = status == 0 && l->confirming && !is_valid(l);
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->mutex);
    if (again)
        zk_session_wake(l->s);
    if (gone)
        lose(l, "our node in ZooKeeper was removed");
}

static void ask(struct zk_lease *l)
{
    pthread_mutex_lock(&l->mutex);
    bool idle = !l->asking;
    if (idle) {
        l->asking = true;
        l->asked_us = clock_boottime_us();
    }
    pthread_mutex_unlock(&l->mutex);
    if (idle)
        zk_probe(l->s, l->node, on_answer, l);
}

/* The loop stands still: nothing that it still has in hand may be sent once another leads. */
static _noreturn_ void end_stuck(struct zk_lease *l)
{
    log_error("the loop stands still, giving up leadership and ending");
    pthread_mutex_lock(&l->mutex);
    l->lost = true;
    pthread_mutex_unlock(&l->mutex);
    /* Others need not wait for the session to run out. */
    uint64_t seen = zk_session_events(l->s);
    zk_drop(l->s, l->node);
    zk_session_wait(l->s, seen, LAST_WORDS_US);
    _exit(EXIT_STUCK);
}

/* Counts questions, not time: a process that was stopped as a whole is not stuck. */
static void watch_loop(struct zk_lease *l)
{
    pthread_mutex_lock(&l->mutex);
    bool stuck = l->wakeup && !l->confirming && l->silent++ > QUESTIONS;
    struct loop_wakeup *wakeup = l->wakeup;
    if (wakeup)
        loop_wakeup_send(wakeup);
    pthread_mutex_unlock(&l->mutex);
    if (stuck)
        end_stuck(l);
}

static void check(struct zk_lease *l)
{
    if (zk_session_state(l->s) == ZK_ENDED) {
        lose(l, "the session with ZooKeeper is over");
        return;
    }
    pthread_mutex_lock(&l->mutex);
    bool silent = clock_boottime_us() - MAX(l->confirmed_us, l->started_us) >
                  zk_session_timeout_us(l->s);
    pthread_mutex_unlock(&l->mutex);
    if (silent)
        lose(l, "no word from ZooKeeper for longer than the session lasts");
}

static void *lease_main(void *arg)
{
    struct zk_lease *l = arg;
    int64_t next_us = 0;
    for (;;) {
        uint64_t seen = zk_session_events(l->s);
        pthread_mutex_lock(&l->mutex);
        bool stop = l->stop;
        pthread_mutex_unlock(&l->mutex);
        if (stop)
            return NULL;
        /* At each change of the connection at once, else in turn. */
        ask(l);
        check(l);
        if (clock_boottime_us() >= next_us) {
            watch_loop(l);
            next_us = clock_boottime_us() + zk_session_timeout_us(l->s) / QUESTIONS;
        }
        zk_session_wait(l->s, seen, zk_session_timeout_us(l->s) / QUESTIONS);
    }
}

static int start_thread(struct zk_lease *l)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(&l->thread, NULL, lease_main, l);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -r;
}

static void destroy(struct zk_lease *l)
{
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->mutex);
    free(l->node);
    free(l);
}

int zk_lease_start(struct zk_session *s, const char *node,
    void (*on_lost)(const char *why, void *userdata), void *userdata, struct zk_lease **ret)
{
    struct zk_lease *l = xnew(struct zk_lease);
    l->s = s;
    l->node = xstrdup(node);
    l->on_lost = on_lost;
    l->userdata = userdata;
    /* Not valid before the first answer, but not lost either. */
    l->started_us = clock_boottime_us();
    l->confirmed_us = INT64_MIN / 2;
    pthread_mutex_init(&l->mutex, NULL);
    pthread_cond_init(&l->changed, NULL);
    int r = start_thread(l);
    if (r < 0) {
        destroy(l);
        return r;
    }
    *ret = l;
    return 0;
}

void zk_lease_free(struct zk_lease *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->mutex);
    l->stop = true;
    pthread_mutex_unlock(&l->mutex);
    zk_session_wake(l->s);
    pthread_join(l->thread, NULL);
    /* The client may still owe an answer. */
    pthread_mutex_lock(&l->mutex);
    while (l->asking)
        pthread_cond_wait(&l->changed, &l->mutex);
    pthread_mutex_unlock(&l->mutex);
    destroy(l);
}

bool zk_lease_confirm(struct zk_lease *l)
{
    pthread_mutex_lock(&l->mutex);
    l->silent = 0;
    if (!is_valid(l) && !l->lost) {
        l->confirming = true;
        pthread_mutex_unlock(&l->mutex);
        zk_session_wake(l->s); /* asks at once */
        pthread_mutex_lock(&l->mutex);
        while (!is_valid(l) && !l->lost)
            pthread_cond_wait(&l->changed, &l->mutex);
        l->confirming = false;
    }
    bool valid = !l->lost;
    pthread_mutex_unlock(&l->mutex);
    return valid;
}

void zk_lease_beat(struct zk_lease *l)
{
    pthread_mutex_lock(&l->mutex);
    l->silent = 0;
    pthread_mutex_unlock(&l->mutex);
}

void zk_lease_set_wakeup(struct zk_lease *l, struct loop_wakeup *w)
{
    pthread_mutex_lock(&l->mutex);
    l->wakeup = w;
    pthread_mutex_unlock(&l->mutex);
}
