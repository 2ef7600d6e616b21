#ifndef DCOS_SIM_HOLDING_H
#define DCOS_SIM_HOLDING_H

/* Reservations and volumes with names of their own: holding.c. */

#include "world.h"

enum holding_state { HOLDING_UNKNOWN, HOLDING_EXISTS, HOLDING_GONE };

struct sim_holding {
    char *name;
    unsigned agent; /* index */
    bool volume;
    bool lost; /* with its agent */
    bool disk;
    int64_t milli; /* of a reservation */
    enum holding_state state;
    unsigned asked; /* requests about it so far */
};

struct sim_holding *holding_new(
    struct world *w, const struct sim_agent *a, bool volume, const char *prefix);
/* A request about it is sent: nothing is known until it is answered. */
void holding_ask(struct world *w, const char *name, struct sim_holding *ret_before);
unsigned holding_asked(struct world *w, const char *name);
/* The answer to the request that was number `asked`. */
void holding_set(struct world *w, const char *name, enum holding_state state, unsigned asked);
/* The name in the label of a reservation, or NULL. */
const char *holding_label(const Mesos__V1__Resource *r);
/* The agent removes the folder of a volume. */
void holding_removed(struct world *w, const struct sim_agent *a, const char *id);
/* For a defect: whether it is in use or not. */
void holding_remove_later(struct world *w, struct sim_agent *a, const char *id);
void holdings_lose(struct world *w, const struct sim_agent *a);
void holdings_check(struct world *w);
void holdings_settled(struct world *w);
void holdings_free(struct world *w);

/* ---- sched_operation.c: operations of schedulers ---- */

struct sched_operation {
    char *id;
    Mesos__V1__Offer__Operation__Type type;
    char *holding; /* what it makes or gives up */
    bool makes;
    bool in_part; /* gives up less than all */
    unsigned asked;
    struct sim_holding before;
    char *agent_id;
    uint8_t last_uuid[16];
    bool done;
};

/* Perhaps an operation on the offer, whose result is then in `pool`; NULL: none. */
struct resources;
Mesos__V1__Offer__Operation *operation_for(struct world *w, struct sim_scheduler *s,
    struct sim_agent *a, const Mesos__V1__Offer *o, struct resources *pool, struct arena *arena);
void operation_status(
    struct world *w, struct sim_scheduler *s, const Mesos__V1__OperationStatus *status);
void operations_reconcile(struct world *w, struct sim_scheduler *s);
/* An operator takes a reservation or a volume away, or reserves. The status of the call. */
int operator_operate(struct world *w, struct sim_master *m, struct sim_agent *a);
void operations_clear(struct sim_scheduler *s);

#endif
