#ifndef DCOS_MASTER_ACCEPT_H
#define DCOS_MASTER_ACCEPT_H

/* What the files of ACCEPT share. */

#include "master/state.h"

/* The offers of one call, and what its operations make of them. */
struct pool {
    struct master_core *core;
    struct framework *f;
    struct client *client;
    struct agent *agent;
    /* Allocated to the client's role. A shared volume is in it once and stays for every task. */
    struct resources left;
    struct resources later; /* results that this call may not use */
    /* `left` when the first operation was applied: what is there beyond it was made by them. */
    bool changed;
    struct resources before;
    struct arena arena;
};

bool pool_contains(const struct pool *p, const struct resources *r);
void pool_take(struct pool *p, const struct resources *r);

/* Any operation but LAUNCH and LAUNCH_GROUP. */
void accept_operation(struct pool *p, Mesos__V1__Offer__Operation *op);
/* OPERATION_ERROR, when the framework gave an id. */
void refuse_operation(struct master_core *core, struct framework *f,
    const Mesos__V1__Offer__Operation *op, const char *message);

#endif
