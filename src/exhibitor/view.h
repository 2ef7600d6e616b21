#ifndef DCOS_EXHIBITOR_VIEW_H
#define DCOS_EXHIBITOR_VIEW_H

/*
 * What the thread that works found out, for the one that answers. The worker looks at ZooKeeper
 * every `poll_us`, and at the store as often while something is under way, else every
 * `settled_us`.
 */

#include <pthread.h>

#include "exhibitor/ask.h"
#include "exhibitor/core.h"
#include "exhibitor/local.h"
#include "exhibitor/shared.h"

struct view {
    struct document document;         /* generation 0: there is no ensemble */
    enum answer answers[MASTERS_MAX]; /* of its members */
    char address[MASTER_ADDRESS_MAX]; /* this master's */
    bool settled;
    char state[160];
};

struct worker_options {
    struct core_options core;
    struct local local;
    int64_t poll_us, settled_us;
    uint16_t client_port;
};

struct worker;

/* With `shared` NULL the ensemble is `fixed`. Takes neither; both must outlive the worker. Starts a
 * thread. */
int worker_new(const struct worker_options *o, struct shared *shared, const struct document *fixed,
    struct worker **ret, struct error *err);
void worker_free(struct worker *w); /* ends the thread, after what it is doing */
void worker_view(struct worker *w, struct view *ret);

#endif
