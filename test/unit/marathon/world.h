#ifndef DCOS_TEST_MARATHON_WORLD_H
#define DCOS_TEST_MARATHON_WORLD_H

/*
 * The core with everything around it played: a store that keeps what was made durable, a master
 * with one large agent, and a clock. The core can be killed after any item of its output.
 */

#include "marathon/api.h"

struct world_task {
    char *id, *instance, *version;
    int state; /* 0 staging, 1 running, 2 being killed, 3 ended */
};

struct world {
    struct core *core;
    struct core_options options;
    struct app_options app_options;
    struct map store; /* key -> struct record */
    struct map tasks;
    int64_t now_us;
    struct rng rng;
    bool suppressed, subscribed;
    uint64_t offers;
    size_t launched;
};

void world_init(struct world *w, uint64_t seed);
void world_done(struct world *w);
/* Carries out what the core said. With crash_after >= 0 only that many items, then it is killed
 * and started again from the store. */
void world_pump(struct world *w, ssize_t crash_after);
void world_crash(struct world *w);
/* A request; returns the status. The body of the answer goes to *ret when given (caller frees). */
int world_request(
    struct world *w, enum http_method m, const char *path, const char *body, char **ret);
void world_offer(struct world *w);
/* One task takes its next step; false when none has one. `fail`: a running one may fail. */
bool world_step_task(struct world *w, bool fail);
void world_reconcile(struct world *w);
/* Until nothing more happens. */
void world_settle(struct world *w);
size_t world_live(const struct world *w, const char *version); /* NULL: any */
size_t world_running(const struct world *w);

#endif
