#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/rng.h"
#include "exhibitor/view.h"

enum { ASK_TIMEOUT_MS = 1000, CONFLICTS_MAX = 10, CONFLICT_PAUSE_MS = 100 };

struct worker {
    struct worker_options options;
    struct shared *shared; /* NULL: the ensemble is fixed */
    struct core core;
    uint64_t remembered;    /* generation in shared.json */
    struct core_local last; /* as told to the store */
    int64_t stored_us;      /* when the store was looked at */
    char told[160], failure[ERROR_MSG_MAX];
    bool settled;

    pthread_t thread;
    pthread_mutex_t mutex; /* the rest */
    pthread_cond_t changed;
    bool stop;
    struct view view;
};

/* False when it is time to end. */
static bool pause_for(struct worker *w, int64_t us)
{
    int64_t until_us = clock_monotonic_us() + us;
    struct timespec at = {
        .tv_sec = until_us / USEC_PER_SEC, .tv_nsec = until_us % USEC_PER_SEC * NSEC_PER_USEC};
    pthread_mutex_lock(&w->mutex);
    while (!w->stop && pthread_cond_timedwait(&w->changed, &w->mutex, &at) == 0) {
    }
    bool go_on = !w->stop;
    pthread_mutex_unlock(&w->mutex);
    return go_on;
}

static void ask(struct worker *w, const struct document *d, struct core_local *local)
{
    enum answer answers[MASTERS_MAX] = {0};
    ask_members(d, w->options.client_port, ASK_TIMEOUT_MS, answers);
    local->n_sees = 0;
    local->serving = false;
    for (size_t i = 0; i < d->n_members; i++) {
        if (answers[i] != ANSWER_NONE)
            local->sees[local->n_sees++] = d->members[i].id;
        if (streq(d->members[i].address, w->options.core.address))
            local->serving = answer_serves(answers[i]);
    }
    pthread_mutex_lock(&w->mutex);
    w->view.document = *d;
    memcpy(w->view.answers, answers, sizeof(answers));
    pthread_mutex_unlock(&w->mutex);
}

static int read_stored(struct worker *w, struct document *ret, char **ret_tag, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    int r = shared_read(w->shared, &text, ret_tag, err);
    return r < 0 ? r : document_parse(text.p, text.n, ret, err);
}

/* What is known of members stays on this disk before anything is done with it. */
static int remember(struct worker *w, struct error *err)
{
    if (!w->core.has_known || w->core.known.generation == w->remembered)
        return 0;
    int r = local_remember(&w->options.local, &w->core.known, err);
    if (r == 0)
        w->remembered = w->core.known.generation;
    return r;
}

static int do_action(
    struct worker *w, const struct document *d, const struct core_result *result, struct error *err)
{
    char target[ENSEMBLE_TEXT_MAX] = "";
    int r = remember(w, err);
    if (r == 0 && result->action == CORE_APPLY)
        document_ensemble(d, target);
    return r < 0 || result->action == CORE_NOTHING ? r : local_want(&w->options.local, target, err);
}

/* -EAGAIN when somebody else wrote first. */
static int one_step(struct worker *w, struct core_local *local, struct error *err)
{
    struct document stored;
    struct core_result result;
    _cleanup_free_ char *tag = NULL;
    _cleanup_buf_ struct buf text = BUF_INIT;
    int r = read_stored(w, &stored, &tag, err);
    const bool there = r == 0;
    if (r < 0 && r != -ENOENT)
        return r;
    if (there && stored.generation != w->view.document.generation)
        ask(w, &stored, local);
    r = local_look(&w->options.local, local, err);
    if (r < 0)
        return r;
    core_step(&w->core, there ? &stored : NULL, local, clock_monotonic_us(), &result);
    if (result.write) {
        document_write(&result.document, &text);
        r = shared_write(w->shared, tag, &text, err);
    }
    if (r == -EAGAIN)
        return r;
    int done = there ? do_action(w, &stored, &result, r < 0 ? NULL : err) : 0;
    w->settled = result.settled;
    pthread_mutex_lock(&w->mutex);
    w->view.settled = result.settled;
    snprintf(w->view.state, sizeof(w->view.state), "%s", result.state);
    pthread_mutex_unlock(&w->mutex);
    if (!streq(result.state, w->told)) {
        log_info("%s", result.state);
        snprintf(w->told, sizeof(w->told), "%s", result.state);
    }
    return r < 0 ? r : done;
}

static int steps(struct worker *w, struct core_local *local, struct error *err)
{
    unsigned char chance;
    int r = one_step(w, local, err);
    for (int i = 0; r == -EAGAIN && i < CONFLICTS_MAX; i++) {
        random_bytes(&chance, 1);
        if (!pause_for(w, CONFLICT_PAUSE_MS * USEC_PER_MSEC * (1 + chance % 8)))
            return 0;
        *err = (struct error)ERROR_INIT;
        r = one_step(w, local, err);
    }
    return r;
}

/* Whether the store has to be looked at now: something is under way, or changed here. */
static bool is_due(const struct worker *w, const struct core_local *local)
{
    return !w->settled || w->last.serving != local->serving || w->last.n_sees != local->n_sees ||
           clock_monotonic_us() - w->stored_us >= w->options.settled_us;
}

static void tick(struct worker *w)
{
    struct error err = ERROR_INIT;
    struct core_local local = {0};
    const struct document now = w->view.document; /* only this thread writes it */
    int r = 0;
    ask(w, &now, &local);
    if (w->shared && is_due(w, &local)) {
        r = steps(w, &local, &err);
        w->stored_us = clock_monotonic_us();
        w->last = local;
    }
    if (r == 0)
        r = local_tell_servers(&w->options.local, &w->view.document, &err);
    if (r < 0 && !streq(w->failure, err.msg))
        log_warn("the ensemble is as it was, this is tried again error=%s", err.msg);
    else if (r == 0 && w->failure[0])
        log_info("the shared configuration can be used again");
    snprintf(w->failure, sizeof(w->failure), "%s", r < 0 ? err.msg : "");
}

static void *work(void *userdata)
{
    struct worker *w = userdata;
    do {
        tick(w);
    } while (pause_for(w, w->options.poll_us));
    return NULL;
}

/* What this machine knew when it ended last; nothing when it was no member. */
static int restore(struct worker *w, struct error *err)
{
    struct document known;
    int r = local_known(&w->options.local, &known, err);
    if (r < 0 && r != -ENOENT)
        return error_prefix(err, r, "shared.json");
    core_init(&w->core, &w->options.core, r == 0 ? &known : NULL);
    if (w->core.has_known) {
        w->remembered = w->core.known.generation;
        w->view.document = known;
    }
    return 0;
}

int worker_new(const struct worker_options *o, struct shared *shared, const struct document *fixed,
    struct worker **ret, struct error *err)
{
    struct worker *w = xnew(struct worker);
    pthread_condattr_t attr;
    w->options = *o;
    w->shared = shared;
    snprintf(w->view.address, sizeof(w->view.address), "%s", o->core.address);
    snprintf(w->view.state, sizeof(w->view.state), "%s", fixed ? "fixed servers" : "starts");
    w->view.settled = fixed != NULL;
    if (fixed)
        w->view.document = *fixed;
    pthread_mutex_init(&w->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->changed, &attr);
    pthread_condattr_destroy(&attr);
    int r = shared ? restore(w, err) : 0;
    if (r == 0 && (r = -pthread_create(&w->thread, NULL, work, w)) < 0)
        r = error_errno(err, r, "thread");
    if (r < 0) {
        pthread_cond_destroy(&w->changed);
        pthread_mutex_destroy(&w->mutex);
        free(w);
        return r;
    }
    *ret = w;
    return 0;
}

void worker_free(struct worker *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->mutex);
    w->stop = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->mutex);
    free(w);
}

void worker_view(struct worker *w, struct view *ret)
{
    pthread_mutex_lock(&w->mutex);
    *ret = w->view;
    pthread_mutex_unlock(&w->mutex);
}
