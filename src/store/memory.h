#ifndef DCOS_STORE_MEMORY_H
#define DCOS_STORE_MEMORY_H

/*
 * The store for tests: nothing is durable, and failures come on demand. "memory:" is private to the
 * store that opened it; stores of one process that open the same "memory:NAME" share data and
 * leadership, for as long as one of them is open.
 */

#include "store/store.h"

/* The nth flush from now (1 = the next) returns `status`, a negative errno: -ENOSPC is tried again,
 * -EIO is final. 0 takes the order back. */
void store_memory_fail(struct store *s, unsigned nth, int status);
/* Flushes, and the epoch of a new leader, wait until released. */
void store_memory_hold(struct store *s, bool hold);

#endif
